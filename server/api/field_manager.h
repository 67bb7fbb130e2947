/* field_manager.h - whose fields a request writes: managedFields of creates, updates and patches,
 * and PATCH with an applied configuration (server-side apply). */
#pragma once

#include "lib/object/managed_fields.h"
#include "server/api/api_internal.h"

/* Sets metadata.managedFields of a document that is complete with its defaults, but not yet with
 * what the server allots. present NULL: creation. Nothing when the request is an apply, whose
 * result has them already. */
void field_manager_track(struct api_request *req, const struct kind *kind, const char *part,
	const struct json *present, struct json *doc);

/* Checks the query of an apply request, reads its body, and changes or creates the object. */
void field_manager_apply(struct api_request *req);

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
/* The steps of it, for the scale subresource: is it one; its body as a document of `kind`; what
 * comes of a configuration of the object itself. */
bool field_manager_is_apply(const struct api_request *req);
int field_manager_read(
	struct api_request *req, const struct kind *kind, struct json **ret) _must_check_;
int field_manager_merge(struct update *u, const struct json *config, const struct json *present,
	struct json **ret) _must_check_;

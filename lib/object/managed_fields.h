/* managed_fields.h - metadata.managedFields kept up to date: who set which fields of an object
 * (Kubernetes: "Server-Side Apply", "Field management"). Pure.
 *
 * The caller gives the present document and the wanted one, complete with defaults but without what
 * the server allots by itself; the wanted one's metadata.managedFields is set here. What stands
 * there before is what the client sent: taken when it is sound and not empty, else the present one
 * counts; [{}] begins anew. */
#pragma once

#include "lib/object/fields.h"
#include "lib/object/status.h"

#define FIELD_MANAGER_MAX 128	     /* bytes of a manager's name */
#define ANNOTATIONS_MAX (256u << 10) /* bytes of an object's annotations in all */

struct field_writer {
	const char *manager;	 /* "kubectl"; "" becomes "unknown" */
	const char *subresource; /* "" or "status", "scale", ... */
	const char *now;	 /* RFC 3339 */
	const struct kind *kind; /* as which the documents are written */
	/* Entries of versions that are not served any more are dropped; NULL: all are served. */
	const struct kind_registry *kinds;
};

/* After create (`present` NULL), update, and patch. The present document's sets are trusted. */
void managed_fields_update(struct arena *a, const struct field_writer *w,
	const struct json *present, struct json *doc);

/* Server-side apply of a configuration to the present document (NULL: to nothing). The result has
 * its metadata.managedFields. 409 with the causes for fields that others own with another value
 * unless `force`; 500 in upstream's words for a configuration that does not fit the schema. */
int managed_fields_apply(struct arena *a, const struct field_writer *w, bool force,
	const struct json *present, const struct json *config, struct json **ret,
	struct status *st) _must_check_;

/* Whether two documents differ in nothing but times of entries: such a write is none. */
bool managed_fields_same_document(const struct json *x, const struct json *y);

/* The manager of a request that names none: the user agent up to "/", printable, at most 128
 * bytes. */
const char *manager_of_user_agent(struct arena *a, const char *user_agent);

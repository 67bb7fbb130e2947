/* delete.h - one deletion, for whatever deletes: DELETE, collections, eviction, restart of a
 * virtual machine. */
#pragma once

#include "lib/object/object.h"

struct api_request;

struct delete_options {
	int64_t grace_s;
	bool grace_given;
	const char *policy; /* propagationPolicy; NULL = the kind's default */
	bool orphan_given, orphan;
	const char *uid, *revision; /* preconditions; NULL = none */
};

/* From the body, then the query. Negative with req->st filled. */
int delete_options_parse(struct api_request *req, struct delete_options *ret) _must_check_;
/* From the DeleteOptions in another body; NULL: there are none. */
int delete_options_read(
	struct api_request *req, const struct json *body, struct delete_options *ret) _must_check_;

struct deletion {
	struct api_request *req;
	const struct kind *kind;
	const char *namespace, *name;
	struct delete_options options;
	/* st.doc NULL: done; result is the last or the marked state (NULL on dry runs of nothing).
	 */
	void (*done)(struct deletion *d, struct object *result);
	void *user;
	/* set inside */
	struct status st;
	struct json *doc; /* as the kind's storage has it */
	bool removed;
};
void deletion_run(struct deletion *d);

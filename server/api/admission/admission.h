/* admission.h - the chain of admission plugins (Kubernetes: "Admission Control in Kubernetes") that
 * every write of an object passes, whoever makes it: first those that complete the document, after
 * its defaults and before it is validated; then, when it is valid, those that may only refuse it.
 *
 * The chain runs while nothing else can write the object, and does not wait for anything: what it
 * asks for comes from the cache. */
#pragma once

#include "server/api/api_internal.h"

struct admission;

enum admission_operation { ADMISSION_CREATE, ADMISSION_UPDATE, ADMISSION_DELETE };

/* Plugins beside the usual ones, and plugins left out: upstream's names with commas between them,
 * NULL = none. */
struct admission_options {
	const char *enable, *disable;
};

/* -EINVAL for a name that no plugin has. */
int admission_options_check(const struct admission_options *options, struct err *err) _must_check_;
int admission_create(struct api *api, const struct admission_options *options,
	struct admission **ret, struct err *err) _must_check_;
void admission_destroy(struct admission *a); /* NULL allowed */

/* One write on its way through the chain. */
struct admission_review {
	struct api_request *req;
	const struct kind *kind;
	enum admission_operation operation;
	const char *namespace, *name;
	const char *part;	/* "" or the subresource that is written */
	struct json *doc;	/* may be changed by mutating plugins only; NULL for deletions */
	const struct json *old; /* NULL for creations */
};

/* Negative with req->st filled when a plugin refuses. */
int admission_mutate(const struct admission_review *r) _must_check_;
int admission_validate(const struct admission_review *r) _must_check_;
int admission_delete(const struct admission_review *r) _must_check_;

/* True when the refusal may be over in a moment (the default service account of a new namespace is
 * being made): `again` is called once, later, to run the write anew. A request waits once. */
bool admission_wait(struct api_request *req, void (*again)(void *user), void *user);

/* The write is done, or failed: what it reserved is no longer. */
void admission_settle(struct api_request *req);
/* Ends what waits and what watches: before the cache is closed. NULL allowed. */
void admission_shutdown(struct admission *a);

/* access.h - what a request wants to do, in the terms that authorization speaks: a verb on a
 * resource, or on a path that is no resource.
 *
 * It is made from the same route that the request is then served by, so what is asked for and what
 * is done can't differ. The verbs are those of Kubernetes' request attributes:
 *
 *	GET, HEAD of an object	get		POST	create
 *	GET of a collection	list, watch	PUT	update
 *	DELETE of an object	delete		PATCH	patch
 *	DELETE of a collection	deletecollection
 *	paths that are no resource: the method in lower case */
#pragma once

#include "lib/object/status.h"
#include "server/api/auth/user.h"
#include "server/api/requests/query.h"
#include "server/api/requests/router.h"

struct access {
	const struct api_user *user;
	const char *verb;
	bool is_resource;
	/* Resources; "" where there is none. A Namespace object is in the namespace it makes. */
	const char *namespace, *group, *version, *resource, *subresource, *name;
	const char *path; /* not resources */
	/* Set by access_set_verb. */
	uint32_t verb_bit; /* 0 for verbs that are not among the usual ones */
};

/* The bit of a verb, 0 for unusual ones. */
uint32_t access_verb_bit(const char *verb);
void access_set_verb(struct access *x, const char *verb);
struct access access_of_request(struct arena *a, const struct api_user *user, const char *method,
	const char *path, const struct route *route, const struct query *query);
/* 403 in upstream's words; reason NULL or "" = none. Returns -EREMOTEIO. */
int access_forbidden(
	struct arena *a, struct status *st, const struct access *x, const char *reason);
/* Quoted, with escapes: texts of clients in messages. */
const char *text_quoted(struct arena *a, const char *s);

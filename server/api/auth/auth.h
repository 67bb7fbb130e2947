/* auth.h - who asks, and may he? The two questions before a request is served.
 *
 *	credentials --> authentication --> impersonation --> authorization --> the request
 *	                401                403                403
 *
 * Requests without credentials are system:anonymous's. Requests from this process carry no HTTP
 * request and are not asked. */
#pragma once

#include "server/api/auth/rbac.h"

struct api;
struct api_request;
struct auth;

/* Reads the roles and bindings from the cache. */
int auth_create(struct cache *cache, const struct kind_registry *kinds, struct auth **ret,
	struct err *err) _must_check_;
void auth_close(struct auth *auth);   /* before the cache is closed; questions are still answered */
void auth_destroy(struct auth *auth); /* NULL allowed */

/* Fills req->user. Negative with req->st filled. */
int auth_authenticate(struct api_request *req) _must_check_;
/* May req->user do what the request's route says? Negative with req->st filled. */
int auth_authorize(struct api_request *req) _must_check_;

/* The question itself, for those who ask it about others or about more than the request: verbs such
 * as escalate, bind, approve. */
bool auth_allows(struct api *api, const struct access *x);
struct rbac *auth_rbac(struct auth *auth);

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
struct tokens;

struct auth_options {
	const char *issuer;   /* of service account tokens; NULL = the usual one of clusters */
	const char *sa_key;   /* PEM: signs service account tokens; NULL = there are none */
	const char *sa_pub;   /* PEM: further keys whose tokens are taken; NULL = none */
	const char *ca_cert;  /* PEM: goes into token secrets; NULL = left out */
	const char *keys_url; /* where /openid/v1/jwks is reached; NULL = at the issuer */
	/* Lines "token,user,uid,group,group" as in upstream's token file; NULL = none. */
	const char *token_file;
};

/* Of a token file's text: -EINVAL with the line that is wrong. */
int auth_check_tokens(const char *text, struct err *err) _must_check_;

/* Reads the roles and bindings from the cache. The options are copied. */
int auth_create(struct api *api, const struct auth_options *options, struct auth **ret,
	struct err *err) _must_check_;
void auth_close(struct auth *auth);   /* before the cache is closed; questions are still answered */
void auth_destroy(struct auth *auth); /* NULL allowed */

/* Fills req->user, with impersonation. Negative with req->st filled. */
int auth_authenticate(struct api_request *req) _must_check_;
/* May req->user do what the request's route says? Negative with req->st filled. */
int auth_authorize(struct api_request *req) _must_check_;

/* The same with another verb: a change that turns out to be a creation needs the right to create.
 */
int auth_authorize_verb(struct api_request *req, const char *verb) _must_check_;

/* The question itself, for those who ask it about others or about more than the request: verbs such
 * as escalate, bind, approve. */
bool auth_allows(struct api *api, const struct access *x);
/* The same, with what upstream says about the answer; "" when it says nothing. */
bool auth_decide(
	struct auth *auth, struct arena *a, const struct access *x, const char **ret_reason);
struct rbac *auth_rbac(struct auth *auth);
struct tokens *auth_tokens(struct auth *auth); /* NULL when there are none */
const char *auth_ca_cert(const struct auth *auth);

/* Whose is the token? audiences as for tokens_authenticate. */
int auth_token_user(struct api *api, struct arena *a, const char *token,
	const struct json *audiences, struct api_user *ret, struct json **ret_audiences,
	struct err *err) _must_check_;

/* Subresources and kinds that are answered here. */
void api_token_request(struct api_request *req);
/* TokenReview, SubjectAccessReview and the like. False: not of these. */
bool api_review(struct api_request *req);
/* /openid/v1/jwks and /.well-known/openid-configuration. False: not of these. */
bool api_openid(struct api_request *req);

struct hook;
/* Completes a Secret that is to hold a service account's token; others are left alone. */
void token_secret_fill(struct hook *h, struct json *doc);

/* tokens.h - tokens of service accounts: issued, and examined.
 *
 * A token is good while its signature, issuer, audience and times are, and its account and the
 * object that it is bound to (pod, secret, node or machine) exist with the uid they had. The first
 * part is remembered for tokens that were seen (a bounded number of them), the second is looked up
 * each time: deleting the account or the object ends the token at once. */
#pragma once

#include "lib/base/clock.h"
#include "server/api/auth/jwt.h"
#include "server/api/auth/user.h"
#include "server/store/cache.h"

struct tokens;

struct tokens_options {
	struct cache *cache;
	const struct kind_registry *kinds;
	struct clock *clock;
	const char *issuer;	 /* in the claim iss, and the audience that is meant by none */
	const char *private_pem; /* signs */
	const char *public_pem;	 /* further keys whose tokens are taken; NULL = none */
};
int tokens_create(
	const struct tokens_options *options, struct tokens **ret, struct err *err) _must_check_;
void tokens_destroy(struct tokens *t); /* NULL allowed */

const char *tokens_issuer(const struct tokens *t);

struct token_request {
	const struct object *account;
	const struct json *audiences; /* array of strings, not empty */
	int64_t lifetime_s;
	/* At most one of them, or pod and node. NULL = not bound. */
	const struct object *pod, *secret, *node;
	const struct object *machine; /* VirtualMachineInstance */
	const char *node_name;	      /* of a pod whose Node is not there; NULL otherwise */
	const char *id;		      /* a fresh uuid */
};
int tokens_issue(struct tokens *t, struct arena *a, const struct token_request *request,
	char **ret_token, int64_t *ret_expires_ns, struct err *err) _must_check_;
/* The old form, kept in a Secret: without an end, for as long as the Secret holds it. */
int tokens_issue_for_secret(struct tokens *t, struct arena *a, const struct object *account,
	const char *secret, char **ret_token, struct err *err) _must_check_;

/* Whose is it? audiences NULL = ours; else an array of which the token must have one.
 * *ret_audiences (may be NULL) are those that it has. The user is in the arena. */
int tokens_authenticate(struct tokens *t, struct arena *a, const char *token,
	const struct json *audiences, struct api_user *ret, struct json **ret_audiences,
	struct err *err) _must_check_;

/* For tokens of other purposes: their claims are the caller's business, and must name an issuer
 * that is not tokens_issuer(). */
int tokens_sign(struct tokens *t, struct arena *a, const struct json *claims, char **ret_token,
	struct err *err) _must_check_;
/* -EINVAL: it was not signed here. The times are not looked at. */
int tokens_verify(struct tokens *t, struct arena *a, const char *token,
	const struct json **ret_claims, struct err *err) _must_check_;

/* {"keys":[...]}: RFC 7517. */
struct json *tokens_key_set(struct arena *a, const struct tokens *t);
/* The algorithms of the keys, for the OpenID configuration. */
struct json *tokens_algorithms(struct arena *a, const struct tokens *t);

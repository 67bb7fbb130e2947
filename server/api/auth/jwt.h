/* jwt.h - JSON Web Tokens (RFC 7519) in their compact signed form (RFC 7515), ES256 and RS256.
 *
 * Strict: three base64url parts without padding and in their one right form, a header that names
 * exactly the key's algorithm, no "crit", no duplicate members, bounded in size and depth. What is
 * in the claims is the caller's business. */
#pragma once

#include "lib/base/err.h"
#include "lib/json/json.h"

#define JWT_SIZE_MAX (16u << 10)

struct jwt_key;

/* A private key (PEM, PKCS#8 or the older forms): ECDSA P-256 signs ES256, RSA of 2048 bits and
 * more RS256. */
int jwt_key_from_private(const char *pem, struct jwt_key **ret, struct err *err) _must_check_;
/* The first public key of the text; *ret_rest is what stands behind it, NULL when there is none:
 * call again. */
int jwt_key_from_public(
	const char *pem, struct jwt_key **ret, const char **ret_rest, struct err *err) _must_check_;
void jwt_key_destroy(struct jwt_key *k); /* NULL allowed */
/* A new ES256 pair; malloc'd texts. */
int jwt_make_keys(char **ret_private_pem, char **ret_public_pem, struct err *err) _must_check_;

/* base64url(SHA-256(SubjectPublicKeyInfo)), as Kubernetes names keys. */
const char *jwt_key_id(const struct jwt_key *k);
const char *jwt_key_algorithm(const struct jwt_key *k);
/* The public half as a JSON Web Key (RFC 7517). */
struct json *jwt_key_public(struct arena *a, const struct jwt_key *k);

int jwt_sign(struct arena *a, const struct jwt_key *k, const struct json *claims, char **ret,
	struct err *err) _must_check_;

struct jwt {
	const struct json *claims;	/* an object */
	const char *algorithm, *key_id; /* key_id NULL when the header has none */
	struct str signed_part;
	const char *signature;
	size_t signature_size;
};
/* -EINVAL when it is not of the right form. The text must outlive *ret. */
int jwt_parse(struct arena *a, struct str text, struct jwt *ret, struct err *err) _must_check_;
/* Is it signed with this key? */
bool jwt_verify(const struct jwt *t, const struct jwt_key *k);

#include "server/api/auth/jwt.h"

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#define COORDINATE_SIZE 32 /* P-256 */
#define RSA_BITS_MIN 2048
#define DEPTH_MAX 16

struct jwt_key {
	EVP_PKEY *pkey;
	bool rsa;
	char id[44];
};

static void key_free_p(EVP_PKEY **key)
{
	EVP_PKEY_free(*key);
}

static void bio_free_p(BIO **b)
{
	BIO_free(*b);
}

static void signature_free_p(ECDSA_SIG **s)
{
	ECDSA_SIG_free(*s);
}

static void md_free_p(EVP_MD_CTX **c)
{
	EVP_MD_CTX_free(*c);
}

static void bn_free_p(BIGNUM **n)
{
	BN_free(*n);
}

static int key_error(struct err *err, const char *what)
{
	ERR_clear_error();
	return err_set(err, -EINVAL, "%s", what);
}

static bool is_p256(const EVP_PKEY *pkey)
{
	char group[32] = "";
	return EVP_PKEY_get_group_name(pkey, group, sizeof(group), NULL) == 1 &&
	       (streq(group, "prime256v1") || streq(group, "P-256"));
}

/* Takes the key over. */
static int key_new(EVP_PKEY *pkey, struct jwt_key **ret, struct err *err)
{
	_cleanup_(key_free_p) EVP_PKEY *owned = pkey;
	bool rsa = EVP_PKEY_is_a(pkey, "RSA");
	if (rsa ? EVP_PKEY_get_bits(pkey) < RSA_BITS_MIN
		: !EVP_PKEY_is_a(pkey, "EC") || !is_p256(pkey))
		return err_set(err, -EINVAL,
			"the key is neither ECDSA P-256 nor RSA with at least %d bits",
			RSA_BITS_MIN);
	unsigned char *der = NULL, hash[32];
	int size = i2d_PUBKEY(pkey, &der);
	unsigned hash_size = 0;
	bool ok = size > 0 &&
		  EVP_Digest(der, (size_t)size, hash, &hash_size, EVP_sha256(), NULL) == 1;
	OPENSSL_free(der);
	if (!ok)
		return key_error(err, "the public key can't be written");
	struct jwt_key *k = xcalloc(1, sizeof(*k));
	struct arena a = ARENA_INIT;
	memcpy(k->id, base64url_encode(&a, hash, sizeof(hash)), sizeof(k->id));
	arena_finish(&a);
	k->pkey = TAKE_PTR(owned);
	k->rsa = rsa;
	*ret = k;
	return 0;
}

int jwt_key_from_private(const char *pem, struct jwt_key **ret, struct err *err)
{
	_cleanup_(bio_free_p) BIO *b = BIO_new_mem_buf(pem, -1);
	EVP_PKEY *pkey = b ? PEM_read_bio_PrivateKey(b, NULL, NULL, "") : NULL;
	if (!pkey)
		return key_error(err, "no private key in PEM form");
	return key_new(pkey, ret, err);
}

int jwt_key_from_public(
	const char *pem, struct jwt_key **ret, const char **ret_rest, struct err *err)
{
	static const char end[] = "-----END PUBLIC KEY-----";
	_cleanup_(bio_free_p) BIO *b = BIO_new_mem_buf(pem, -1);
	EVP_PKEY *pkey = b ? PEM_read_bio_PUBKEY(b, NULL, NULL, NULL) : NULL;
	if (!pkey)
		return key_error(err, "no public key in PEM form");
	const char *behind = strstr(pem, end);
	behind = behind ? behind + sizeof(end) - 1 : NULL;
	*ret_rest = behind && strstr(behind, "-----BEGIN PUBLIC KEY-----") ? behind : NULL;
	return key_new(pkey, ret, err);
}

void jwt_key_destroy(struct jwt_key *k)
{
	if (!k)
		return;
	EVP_PKEY_free(k->pkey);
	free(k);
}

static char *bio_text(BIO *b)
{
	char *p = NULL;
	long size = BIO_get_mem_data(b, &p);
	return xstrndup(p, (size_t)size);
}

int jwt_make_keys(char **ret_private_pem, char **ret_public_pem, struct err *err)
{
	_cleanup_(key_free_p) EVP_PKEY *pkey = EVP_EC_gen("P-256");
	_cleanup_(bio_free_p) BIO *private = BIO_new(BIO_s_secmem());
	_cleanup_(bio_free_p) BIO *public = BIO_new(BIO_s_mem());
	if (!pkey || !private || !public ||
		PEM_write_bio_PrivateKey(private, pkey, NULL, NULL, 0, NULL, NULL) != 1 ||
		PEM_write_bio_PUBKEY(public, pkey) != 1)
		return key_error(err, "a key pair can't be made");
	*ret_private_pem = bio_text(private);
	*ret_public_pem = bio_text(public);
	return 0;
}

const char *jwt_key_id(const struct jwt_key *k)
{
	return k->id;
}

const char *jwt_key_algorithm(const struct jwt_key *k)
{
	return k->rsa ? "RS256" : "ES256";
}

static void set_number(struct arena *a, struct json *jwk, const struct jwt_key *k,
	const char *param, const char *name, int size)
{
	BIGNUM *n = NULL;
	if (EVP_PKEY_get_bn_param(k->pkey, param, &n) != 1)
		abort(); /* every such key has it */
	int bytes = size ? size : BN_num_bytes(n);
	unsigned char *data = arena_alloc(a, (size_t)bytes);
	BN_bn2binpad(n, data, bytes);
	BN_free(n);
	json_set_str(a, jwk, name, base64url_encode(a, data, (size_t)bytes));
}

struct json *jwt_key_public(struct arena *a, const struct jwt_key *k)
{
	struct json *jwk = json_new_object(a);
	json_set_str(a, jwk, "use", "sig");
	json_set_str(a, jwk, "kty", k->rsa ? "RSA" : "EC");
	json_set_str(a, jwk, "kid", k->id);
	if (!k->rsa)
		json_set_str(a, jwk, "crv", "P-256");
	json_set_str(a, jwk, "alg", jwt_key_algorithm(k));
	if (k->rsa) {
		set_number(a, jwk, k, OSSL_PKEY_PARAM_RSA_N, "n", 0);
		set_number(a, jwk, k, OSSL_PKEY_PARAM_RSA_E, "e", 0);
	} else {
		set_number(a, jwk, k, OSSL_PKEY_PARAM_EC_PUB_X, "x", COORDINATE_SIZE);
		set_number(a, jwk, k, OSSL_PKEY_PARAM_EC_PUB_Y, "y", COORDINATE_SIZE);
	}
	return jwk;
}

/* ECDSA signatures are two plain numbers in a token (RFC 7518 3.4), and DER in OpenSSL. */
static char *plain_signature(struct arena *a, const unsigned char *der, size_t size)
{
	const unsigned char *p = der;
	_cleanup_(signature_free_p) ECDSA_SIG *s = d2i_ECDSA_SIG(NULL, &p, (long)size);
	unsigned char *out = arena_alloc(a, 2 * COORDINATE_SIZE);
	if (!s || BN_bn2binpad(ECDSA_SIG_get0_r(s), out, COORDINATE_SIZE) < 0 ||
		BN_bn2binpad(ECDSA_SIG_get0_s(s), out + COORDINATE_SIZE, COORDINATE_SIZE) < 0)
		return NULL;
	return base64url_encode(a, out, 2 * COORDINATE_SIZE);
}

static bool verify(const struct jwt_key *k, struct str text, const void *signature, size_t size)
{
	_cleanup_(md_free_p) EVP_MD_CTX *c = EVP_MD_CTX_new();
	bool ok =
		c && EVP_DigestVerifyInit(c, NULL, EVP_sha256(), NULL, k->pkey) == 1 &&
		EVP_DigestVerify(c, signature, size, (const unsigned char *)text.p, text.size) == 1;
	ERR_clear_error();
	return ok;
}

static bool verify_plain(const struct jwt_key *k, const struct jwt *t)
{
	if (t->signature_size != 2 * COORDINATE_SIZE)
		return false;
	const unsigned char *p = (const unsigned char *)t->signature;
	_cleanup_(signature_free_p) ECDSA_SIG *s = ECDSA_SIG_new();
	_cleanup_(bn_free_p) BIGNUM *r = BN_bin2bn(p, COORDINATE_SIZE, NULL);
	_cleanup_(bn_free_p) BIGNUM *n = BN_bin2bn(p + COORDINATE_SIZE, COORDINATE_SIZE, NULL);
	if (!s || !r || !n || ECDSA_SIG_set0(s, r, n) != 1)
		return false;
	r = n = NULL; /* the signature's now */
	unsigned char *der = NULL;
	int size = i2d_ECDSA_SIG(s, &der);
	bool ok = size > 0 && verify(k, t->signed_part, der, (size_t)size);
	OPENSSL_free(der);
	return ok;
}

bool jwt_verify(const struct jwt *t, const struct jwt_key *k)
{
	if (!streq(t->algorithm, jwt_key_algorithm(k)))
		return false;
	return k->rsa ? verify(k, t->signed_part, t->signature, t->signature_size)
		      : verify_plain(k, t);
}

int jwt_sign(struct arena *a, const struct jwt_key *k, const struct json *claims, char **ret,
	struct err *err)
{
	struct json *header = json_new_object(a);
	json_set_str(a, header, "alg", jwt_key_algorithm(k));
	json_set_str(a, header, "kid", k->id);
	const char *h = json_text(a, header), *c = json_text(a, claims);
	char *text = arena_printf(
		a, "%s.%s", base64url_encode(a, h, strlen(h)), base64url_encode(a, c, strlen(c)));
	unsigned char signature[1024]; /* RSA up to 8192 bits */
	size_t size = sizeof(signature);
	_cleanup_(md_free_p) EVP_MD_CTX *md = EVP_MD_CTX_new();
	if (!md || EVP_DigestSignInit(md, NULL, EVP_sha256(), NULL, k->pkey) != 1 ||
		EVP_DigestSign(md, signature, &size, (const unsigned char *)text, strlen(text)) !=
			1)
		return key_error(err, "the token can't be signed");
	const char *plain =
		k->rsa ? base64url_encode(a, signature, size) : plain_signature(a, signature, size);
	if (!plain)
		return key_error(err, "the token can't be signed");
	*ret = arena_printf(a, "%s.%s", text, plain);
	return 0;
}

static int bad(struct err *err, const char *what)
{
	return err_set(err, -EINVAL, "token: %s", what);
}

/* One text has one encoding: what does not come out the same is refused. */
static int decode_part(struct arena *a, struct str part, char **ret, size_t *ret_size)
{
	if (!part.size || base64url_decode(a, part, ret, ret_size) < 0)
		return -EINVAL;
	const char *again = base64url_encode(a, *ret, *ret_size);
	return str_eq(part, again) ? 0 : -EINVAL;
}

static void on_duplicate(void *user, const char *path)
{
	(void)path;
	*(bool *)user = true;
}

static int parse_part(struct arena *a, struct str part, struct json **ret)
{
	char *text;
	size_t size;
	bool duplicates = false;
	struct json_limits limits = {.depth = DEPTH_MAX,
		.size_bytes = JWT_SIZE_MAX,
		.on_duplicate = on_duplicate,
		.user = &duplicates};
	if (decode_part(a, part, &text, &size) < 0 ||
		json_parse(a, text, size, &limits, ret, NULL) < 0)
		return -EINVAL;
	return duplicates || !json_is(*ret, JSON_OBJECT) ? -EINVAL : 0;
}

int jwt_parse(struct arena *a, struct str text, struct jwt *ret, struct err *err)
{
	struct str rest = text, parts[3];
	struct json *header, *claims;
	size_t n = 0;
	if (text.size > JWT_SIZE_MAX)
		return bad(err, "too large");
	while (n < 3 && str_split(&rest, '.', &parts[n]))
		n++;
	if (n != 3 || rest.p)
		return bad(err, "not three parts");
	if (parse_part(a, parts[0], &header) < 0)
		return bad(err, "malformed header");
	const struct json *algorithm = json_get(header, "alg"), *id = json_get(header, "kid");
	if (!json_is(algorithm, JSON_STRING) || json_get(header, "crit") ||
		(id && !json_is(id, JSON_STRING)))
		return bad(err, "unsupported header");
	if (parse_part(a, parts[1], &claims) < 0)
		return bad(err, "malformed claims");
	char *signature;
	size_t size;
	if (decode_part(a, parts[2], &signature, &size) < 0)
		return bad(err, "malformed signature");
	*ret = (struct jwt){
		.claims = claims,
		.algorithm = json_str(algorithm),
		.key_id = json_str(id),
		.signed_part = {text.p, (size_t)(parts[2].p - text.p) - 1},
		.signature = signature,
		.signature_size = size,
	};
	return 0;
}

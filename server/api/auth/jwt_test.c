/* Tokens: what is taken, and the many ways in which one is not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/pem.h>

#include "server/api/auth/jwt.h"

static struct jwt_key *key_make(void)
{
	_cleanup_(free_p) char *private = NULL;
	_cleanup_(free_p) char *public = NULL;
	struct jwt_key *k;
	assert_int_equal(jwt_make_keys(&private, &public, NULL), 0);
	assert_int_equal(jwt_key_from_private(private, &k, NULL), 0);
	return k;
}

static char *rsa_pem(int bits)
{
	EVP_PKEY *pkey = EVP_RSA_gen((unsigned)bits);
	BIO *b = BIO_new(BIO_s_mem());
	assert_int_equal(PEM_write_bio_PrivateKey(b, pkey, NULL, NULL, 0, NULL, NULL), 1);
	char *p;
	long size = BIO_get_mem_data(b, &p);
	char *text = xstrndup(p, (size_t)size);
	BIO_free(b);
	EVP_PKEY_free(pkey);
	return text;
}

static const struct json *claims_of(struct arena *a, const char *text)
{
	struct json *doc;
	assert_int_equal(json_parse(a, text, strlen(text), NULL, &doc, NULL), 0);
	return doc;
}

static bool good(const struct jwt_key *k, const char *token)
{
	struct arena a = ARENA_INIT;
	struct jwt t;
	bool ok = jwt_parse(&a, str_from(token), &t, NULL) == 0 && jwt_verify(&t, k);
	arena_finish(&a);
	return ok;
}

/* header and claims as they are; the signature is that of `signed_like`'s key when given. */
static char *forge(struct arena *a, const char *header, const char *claims, const char *signature)
{
	return arena_printf(a, "%s.%s.%s", base64url_encode(a, header, strlen(header)),
		base64url_encode(a, claims, strlen(claims)), signature);
}

static void round_trip(struct jwt_key *k, const char *algorithm)
{
	struct arena a = ARENA_INIT;
	char *token;
	struct jwt t;
	assert_string_equal(jwt_key_algorithm(k), algorithm);
	assert_int_equal(
		jwt_sign(&a, k, claims_of(&a, "{\"sub\":\"x\",\"n\":1}"), &token, NULL), 0);
	assert_int_equal(jwt_parse(&a, str_from(token), &t, NULL), 0);
	assert_true(jwt_verify(&t, k));
	assert_string_equal(json_str(json_get(t.claims, "sub")), "x");
	assert_string_equal(t.key_id, jwt_key_id(k));
	/* Any other character anywhere makes it another token, and no good one. */
	size_t size = strlen(token);
	for (size_t i = 0; i < size; i++) {
		char *other = arena_strdup(&a, token);
		other[i] = other[i] == 'A' ? 'B' : 'A';
		if (good(k, other))
			fail_msg("changed at %zu of %zu, and still taken", i, size);
	}
	for (size_t i = 0; i < size; i++)
		assert_false(good(k, arena_memdup(&a, token, i)));
	arena_finish(&a);
}

static void test_ecdsa(void **state)
{
	(void)state;
	for (int i = 0; i < 20; i++) { /* numbers of a signature may begin with zeros */
		struct jwt_key *k = key_make();
		struct arena a = ARENA_INIT;
		char *token;
		assert_int_equal(jwt_sign(&a, k, claims_of(&a, "{}"), &token, NULL), 0);
		assert_true(good(k, token));
		arena_finish(&a);
		jwt_key_destroy(k);
	}
	struct jwt_key *k = key_make();
	round_trip(k, "ES256");
	jwt_key_destroy(k);
}

static void test_rsa(void **state)
{
	(void)state;
	_cleanup_(free_p) char *pem = rsa_pem(2048);
	_cleanup_(free_p) char *small = rsa_pem(1024);
	struct jwt_key *k;
	assert_int_equal(jwt_key_from_private(pem, &k, NULL), 0);
	round_trip(k, "RS256");
	jwt_key_destroy(k);
	assert_int_equal(jwt_key_from_private(small, &k, NULL), -EINVAL);
	assert_int_equal(jwt_key_from_private("nonsense", &k, NULL), -EINVAL);
}

static void test_other_keys(void **state)
{
	(void)state;
	struct arena a = ARENA_INIT;
	struct jwt_key *k = key_make(), *other = key_make(), *rsa;
	_cleanup_(free_p) char *pem = rsa_pem(2048);
	assert_int_equal(jwt_key_from_private(pem, &rsa, NULL), 0);
	char *token, *rsa_token;
	assert_int_equal(jwt_sign(&a, k, claims_of(&a, "{}"), &token, NULL), 0);
	assert_int_equal(jwt_sign(&a, rsa, claims_of(&a, "{}"), &rsa_token, NULL), 0);
	assert_true(good(k, token));
	assert_false(good(other, token));
	assert_false(good(rsa, token));
	assert_false(good(k, rsa_token));
	jwt_key_destroy(k);
	jwt_key_destroy(other);
	jwt_key_destroy(rsa);
	arena_finish(&a);
}

static void test_algorithms(void **state)
{
	(void)state;
	struct arena a = ARENA_INIT;
	struct jwt_key *k = key_make();
	static const char *const headers[] = {"{\"alg\":\"none\"}", "{\"alg\":\"NONE\"}",
		"{\"alg\":\"HS256\"}", "{\"alg\":\"RS256\"}", "{\"alg\":\"es256\"}",
		"{\"alg\":\"ES384\"}", "{\"alg\":null}", "{\"alg\":[\"ES256\"]}", "{}", "[]",
		"null", "\"ES256\"", "{\"alg\":\"ES256\",\"crit\":[\"b64\"]}",
		"{\"alg\":\"none\",\"alg\":\"ES256\"}", "{\"alg\":\"ES256\",\"kid\":7}",
		"{\"alg\":\"ES256\"", "{\"alg\":\"ES256\"}{}", ""};
	char zeros[64] = {0}, all_ones[64];
	memset(all_ones, 0xff, sizeof(all_ones));
	const char *const signatures[] = {"", "AA", base64url_encode(&a, zeros, 64),
		base64url_encode(&a, all_ones, 64), base64url_encode(&a, zeros, 63)};
	for (size_t i = 0; i < ARRAY_LEN(headers); i++)
		for (size_t s = 0; s < ARRAY_LEN(signatures); s++)
			if (good(k, forge(&a, headers[i], "{\"sub\":\"x\"}", signatures[s])))
				fail_msg("taken: %s with signature %zu", headers[i], s);
	for (size_t s = 0; s < ARRAY_LEN(signatures); s++)
		assert_false(good(k, forge(&a, "{\"alg\":\"ES256\"}", "{}", signatures[s])));
	jwt_key_destroy(k);
	arena_finish(&a);
}

static void test_forms(void **state)
{
	(void)state;
	struct arena a = ARENA_INIT;
	struct jwt_key *k = key_make();
	char *token;
	assert_int_equal(jwt_sign(&a, k, claims_of(&a, "{\"a\":1}"), &token, NULL), 0);
	const char *const bad[] = {"", ".", "..", "...", "a.b.c", "e30.e30.", "e30..e30",
		arena_printf(&a, "%s.", token), arena_printf(&a, ".%s", token),
		arena_printf(&a, "%s=", token), arena_printf(&a, "%s\n", token),
		arena_printf(&a, " %s", token), arena_printf(&a, "%s.e30", token),
		arena_printf(&a, "%s\t", token)};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (good(k, bad[i]))
			fail_msg("taken: '%s'", bad[i]);
	/* Deep, large, twice the same claim. */
	char *deep = arena_alloc(&a, 2001);
	memset(deep, '[', 1000);
	memset(deep + 1000, ']', 1000);
	deep[2000] = '\0';
	struct jwt t;
	char *nested =
		forge(&a, "{\"alg\":\"ES256\"}", arena_printf(&a, "{\"a\":%s}", deep), "AAAA");
	assert_int_equal(jwt_parse(&a, str_from(nested), &t, NULL), -EINVAL);
	char *twice = forge(&a, "{\"alg\":\"ES256\"}", "{\"sub\":\"a\",\"sub\":\"b\"}", "AAAA");
	assert_int_equal(jwt_parse(&a, str_from(twice), &t, NULL), -EINVAL);
	char *huge = arena_alloc(&a, (1 << 20) + 1);
	memset(huge, 'A', 1 << 20);
	huge[1 << 20] = '\0';
	assert_int_equal(jwt_parse(&a, str_from(huge), &t, NULL), -EINVAL);
	/* The unused bits of a part's last character must be zero: one token, one text. */
	assert_int_equal(jwt_parse(&a, str_from("eyJhbGciOiJFUzI1NiJ9.e30.AB"), &t, NULL), -EINVAL);
	assert_int_equal(jwt_parse(&a, str_from("eyJhbGciOiJFUzI1NiJ9.e30.AA"), &t, NULL), 0);
	jwt_key_destroy(k);
	arena_finish(&a);
}

static void test_public_keys(void **state)
{
	(void)state;
	struct arena a = ARENA_INIT;
	char *private[2], *public[2], *token;
	for (int i = 0; i < 2; i++)
		assert_int_equal(jwt_make_keys(&private[i], &public[i], NULL), 0);
	const char *rest = arena_printf(&a, "# old\n%s\n%s", public[0], public[1]);
	for (int i = 0; i < 2; i++) {
		struct jwt_key *k, *p;
		assert_non_null(rest);
		assert_int_equal(jwt_key_from_public(rest, &p, &rest, NULL), 0);
		assert_int_equal(jwt_key_from_private(private[i], &k, NULL), 0);
		assert_string_equal(jwt_key_id(k), jwt_key_id(p));
		assert_int_equal(jwt_sign(&a, k, claims_of(&a, "{}"), &token, NULL), 0);
		assert_true(good(p, token));
		struct json *jwk = jwt_key_public(&a, p);
		assert_string_equal(json_str(json_get(jwk, "crv")), "P-256");
		assert_int_equal(strlen(json_str(json_get(jwk, "x"))), 43);
		assert_int_equal(strlen(json_str(json_get(jwk, "y"))), 43);
		jwt_key_destroy(k);
		jwt_key_destroy(p);
		free(private[i]);
		free(public[i]);
	}
	assert_null(rest);
	arena_finish(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ecdsa),
		cmocka_unit_test(test_rsa),
		cmocka_unit_test(test_other_keys),
		cmocka_unit_test(test_algorithms),
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_public_keys),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

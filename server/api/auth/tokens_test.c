/* Service account tokens against what is there: whose they are, and what ends them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "server/api/auth/test_cache.h"
#include "server/api/auth/tokens.h"

#define ISSUER "https://kubernetes.default.svc.cluster.local"

struct test_clock {
	struct clock clock;
	int64_t now_ns;
};

static int64_t now_of(struct clock *c)
{
	return ((struct test_clock *)c)->now_ns;
}

struct fixture {
	struct test_cache cache;
	struct test_clock clock;
	struct tokens *tokens;
	struct arena arena;
};

static struct tokens *tokens_new(struct fixture *f, const char *private, const char *public)
{
	struct tokens *t;
	struct err err = ERR_INIT;
	if (tokens_create(
		    &(struct tokens_options){
			    .cache = f->cache.cache,
			    .kinds = f->cache.kinds,
			    .clock = &f->clock.clock,
			    .issuer = ISSUER,
			    .private_pem = private,
			    .public_pem = public,
		    },
		    &t, &err) < 0)
		fail_msg("%s", err.msg);
	return t;
}

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	test_cache_open(&f->cache);
	f->clock = (struct test_clock){{now_of, now_of}, INT64_C(1700000000) * NS_PER_S};
	_cleanup_(free_p) char *private = NULL;
	_cleanup_(free_p) char *public = NULL;
	assert_int_equal(jwt_make_keys(&private, &public, NULL), 0);
	f->tokens = tokens_new(f, private, NULL);
	test_cache_put(&f->cache, "{\"apiVersion\":\"v1\",\"kind\":\"ServiceAccount\",\"metadata\":"
				  "{\"namespace\":\"t\",\"name\":\"a\",\"uid\":\"u-a\"}}");
	test_cache_put(&f->cache, "{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":"
				  "{\"namespace\":\"t\",\"name\":\"p\",\"uid\":\"u-p\"}}");
	test_cache_put(&f->cache, "{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":"
				  "{\"namespace\":\"t\",\"name\":\"s\",\"uid\":\"u-s\"}}");
	test_cache_put(&f->cache, "{\"apiVersion\":\"kubevirt.io/"
				  "v1\",\"kind\":\"VirtualMachineInstance\",\"metadata\":"
				  "{\"namespace\":\"t\",\"name\":\"m\",\"uid\":\"u-m\"}}");
	test_cache_put(&f->cache, "{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":"
				  "{\"name\":\"n\",\"uid\":\"u-n\"}}");
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	tokens_destroy(f->tokens);
	arena_finish(&f->arena);
	test_cache_close(&f->cache);
	free(f);
	return 0;
}

/* The one of KubeVirt's group among them. */
static const struct kind *kind_of(struct fixture *f, const char *plural)
{
	return kind_by_resource(f->cache.kinds,
		streq(plural, "virtualmachineinstances") ? "kubevirt.io" : "", "v1", plural);
}

static const struct object *object_of(
	struct fixture *f, const char *plural, const char *namespace, const char *name)
{
	const struct object *o = cache_get(f->cache.cache, kind_of(f, plural), namespace, name);
	assert_non_null(o);
	return o;
}

static struct json *audiences(struct fixture *f, const char *first, const char *second)
{
	struct json *list = json_new_array(&f->arena);
	json_push(&f->arena, list, json_new_string(&f->arena, first));
	if (second)
		json_push(&f->arena, list, json_new_string(&f->arena, second));
	return list;
}

enum bound { BOUND_NOTHING, BOUND_POD, BOUND_POD_ON_NODE, BOUND_SECRET, BOUND_NODE, BOUND_MACHINE };

static char *issue(struct fixture *f, enum bound bound, const char *audience)
{
	struct token_request request = {
		.account = object_of(f, "serviceaccounts", "t", "a"),
		.audiences = audiences(f, audience, NULL),
		.lifetime_s = 600,
		.id = "an-id",
	};
	if (bound == BOUND_POD || bound == BOUND_POD_ON_NODE)
		request.pod = object_of(f, "pods", "t", "p");
	if (bound == BOUND_NODE || bound == BOUND_POD_ON_NODE)
		request.node = object_of(f, "nodes", "", "n");
	if (bound == BOUND_SECRET)
		request.secret = object_of(f, "secrets", "t", "s");
	if (bound == BOUND_MACHINE)
		request.machine = object_of(f, "virtualmachineinstances", "t", "m");
	char *token;
	int64_t expires_ns;
	assert_int_equal(
		tokens_issue(f->tokens, &f->arena, &request, &token, &expires_ns, NULL), 0);
	assert_int_equal(expires_ns, f->clock.now_ns + 600 * NS_PER_S);
	return token;
}

static bool good(struct fixture *f, const char *token)
{
	struct api_user user;
	/* Twice: as it comes, and as it is remembered. */
	bool first = tokens_authenticate(f->tokens, &f->arena, token, NULL, &user, NULL, NULL) == 0;
	bool second =
		tokens_authenticate(f->tokens, &f->arena, token, NULL, &user, NULL, NULL) == 0;
	assert_int_equal(first, second);
	return first;
}

static void test_who(void **state)
{
	struct fixture *f = *state;
	struct api_user user;
	struct json *common;
	char *token = issue(f, BOUND_POD_ON_NODE, ISSUER);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(tokens_authenticate(
					 f->tokens, &f->arena, token, NULL, &user, &common, NULL),
			0);
		assert_string_equal(user.name, "system:serviceaccount:t:a");
		assert_string_equal(user.uid, "u-a");
		assert_int_equal(user.group_count, 3);
		assert_true(user_in_group(&user, "system:serviceaccounts"));
		assert_true(user_in_group(&user, "system:serviceaccounts:t"));
		assert_true(user_in_group(&user, "system:authenticated"));
		assert_string_equal(json_text(&f->arena, user.extra),
			"{\"authentication.kubernetes.io/credential-id\":[\"JTI=an-id\"],"
			"\"authentication.kubernetes.io/node-name\":[\"n\"],"
			"\"authentication.kubernetes.io/node-uid\":[\"u-n\"],"
			"\"authentication.kubernetes.io/pod-name\":[\"p\"],"
			"\"authentication.kubernetes.io/pod-uid\":[\"u-p\"]}");
		assert_string_equal(json_text(&f->arena, common), "[\"" ISSUER "\"]");
	}
}

static void test_times(void **state)
{
	struct fixture *f = *state;
	char *token = issue(f, BOUND_NOTHING, ISSUER);
	int64_t issued = f->clock.now_ns;
	assert_true(good(f, token));
	f->clock.now_ns = issued + 600 * NS_PER_S - 1;
	assert_true(good(f, token));
	f->clock.now_ns = issued + 600 * NS_PER_S;
	assert_false(good(f, token));
	f->clock.now_ns = issued - 3600 * NS_PER_S;
	assert_false(good(f, token));
	f->clock.now_ns = issued;
	assert_true(good(f, token));
}

static void test_audiences(void **state)
{
	struct fixture *f = *state;
	struct api_user user;
	struct json *common;
	char *other = issue(f, BOUND_NOTHING, "vault"), *own = issue(f, BOUND_NOTHING, ISSUER);
	assert_false(good(f, other));
	assert_int_equal(tokens_authenticate(f->tokens, &f->arena, other,
				 audiences(f, "x", "vault"), &user, &common, NULL),
		0);
	assert_string_equal(json_text(&f->arena, common), "[\"vault\"]");
	assert_true(tokens_authenticate(f->tokens, &f->arena, own, audiences(f, "x", "vault"),
			    &user, &common, NULL) < 0);
	/* A token that was good for one audience is not so for another. */
	assert_true(good(f, own));
	assert_true(tokens_authenticate(f->tokens, &f->arena, own, audiences(f, "vault", NULL),
			    &user, &common, NULL) < 0);
	assert_false(good(f, other));
}

static void check_end(struct fixture *f, enum bound bound, const char *plural,
	const char *namespace, const char *name, const char *again)
{
	char *token = issue(f, bound, ISSUER);
	assert_true(good(f, token));
	test_cache_remove(&f->cache, kind_of(f, plural), namespace, name);
	assert_false(good(f, token));
	test_cache_put(&f->cache, again); /* the same name is not the same object */
	assert_false(good(f, token));
}

static void test_ends(void **state)
{
	struct fixture *f = *state;
	check_end(f, BOUND_POD, "pods", "t", "p",
		"{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":"
		"{\"namespace\":\"t\",\"name\":\"p\",\"uid\":\"u-p2\"}}");
	check_end(f, BOUND_SECRET, "secrets", "t", "s",
		"{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":"
		"{\"namespace\":\"t\",\"name\":\"s\",\"uid\":\"u-s2\"}}");
	check_end(f, BOUND_MACHINE, "virtualmachineinstances", "t", "m",
		"{\"apiVersion\":\"kubevirt.io/"
		"v1\",\"kind\":\"VirtualMachineInstance\",\"metadata\":"
		"{\"namespace\":\"t\",\"name\":\"m\",\"uid\":\"u-m2\"}}");
	check_end(f, BOUND_NODE, "nodes", "", "n",
		"{\"apiVersion\":\"v1\",\"kind\":\"Node\",\"metadata\":"
		"{\"name\":\"n\",\"uid\":\"u-n2\"}}");
	check_end(f, BOUND_NOTHING, "serviceaccounts", "t", "a",
		"{\"apiVersion\":\"v1\",\"kind\":\"ServiceAccount\",\"metadata\":"
		"{\"namespace\":\"t\",\"name\":\"a\",\"uid\":\"u-a2\"}}");
}

/* While a pod ends its token still works, for a while. */
static void test_deletion(void **state)
{
	struct fixture *f = *state;
	char *token = issue(f, BOUND_POD, ISSUER), time[TIME_RFC3339_ROOM];
	time_format_rfc3339(f->clock.now_ns, time);
	test_cache_put(&f->cache,
		arena_printf(&f->arena,
			"{\"apiVersion\":\"v1\",\"kind\":\"Pod\",\"metadata\":{\"namespace\":\"t\","
			"\"name\":\"p\",\"uid\":\"u-p\",\"deletionTimestamp\":\"%s\"}}",
			time));
	assert_true(good(f, token));
	f->clock.now_ns += 59 * NS_PER_S;
	assert_true(good(f, token));
	f->clock.now_ns += 2 * NS_PER_S;
	assert_false(good(f, token));
}

static void put_secret(struct fixture *f, const char *name, const char *token)
{
	test_cache_put(&f->cache,
		arena_printf(&f->arena,
			"{\"apiVersion\":\"v1\",\"kind\":\"Secret\",\"metadata\":{\"namespace\":"
			"\"t\",\"name\":\"%s\",\"uid\":\"u-l\"},\"data\":{\"token\":\"%s\"}}",
			name, base64_encode(&f->arena, token, strlen(token))));
}

static void test_legacy(void **state)
{
	struct fixture *f = *state;
	char *token;
	assert_int_equal(tokens_issue_for_secret(f->tokens, &f->arena,
				 object_of(f, "serviceaccounts", "t", "a"), "old", &token, NULL),
		0);
	assert_false(good(f, token)); /* no such secret */
	put_secret(f, "old", "something else");
	assert_false(good(f, token));
	put_secret(f, "old", token);
	assert_true(good(f, token));
	f->clock.now_ns += INT64_C(10) * 365 * 86400 * NS_PER_S;
	assert_true(good(f, token));
	put_secret(f, "old", "something else");
	assert_false(good(f, token));
	put_secret(f, "old", token);
	assert_true(good(f, token));
	test_cache_remove(
		&f->cache, kind_by_resource(f->cache.kinds, "", "v1", "secrets"), "t", "old");
	assert_false(good(f, token));
}

/* Signed by us, and yet not as we would have written it. */
static void test_claims(void **state)
{
	struct fixture *f = *state;
	_cleanup_(free_p) char *private = NULL;
	_cleanup_(free_p) char *public = NULL;
	struct jwt_key *k;
	assert_int_equal(jwt_make_keys(&private, &public, NULL), 0);
	assert_int_equal(jwt_key_from_private(private, &k, NULL), 0);
	tokens_destroy(f->tokens);
	f->tokens = tokens_new(f, private, NULL);
#define OWN                                                                                        \
	"\"kubernetes.io\":{\"namespace\":\"t\",\"serviceaccount\":{\"name\":\"a\",\"uid\":"       \
	"\"u-a\"}}"
#define SUB "\"sub\":\"system:serviceaccount:t:a\""
#define ISS "\"iss\":\"" ISSUER "\""
#define AUD "\"aud\":[\"" ISSUER "\"]"
#define EXP "\"exp\":1700000600"
	static const struct {
		bool good;
		const char *claims;
	} rows[] = {
		{true, "{" ISS "," AUD "," EXP "," SUB "," OWN "}"},
		{true, "{" ISS ",\"aud\":\"" ISSUER "\"," EXP "," SUB "," OWN "}"},
		{false, "{" ISS "," AUD "," SUB "," OWN "}"},
		{false, "{" ISS "," AUD ",\"exp\":0," SUB "," OWN "}"},
		{false, "{" ISS "," AUD ",\"exp\":\"1700000600\"," SUB "," OWN "}"},
		{false, "{" ISS "," AUD ",\"exp\":-5," SUB "," OWN "}"},
		{false, "{" ISS "," AUD ",\"exp\":1e300," SUB "," OWN "}"},
		{false, "{" ISS "," AUD ",\"exp\":9223372036854775807," SUB "," OWN "}"},
		{false, "{" ISS "," AUD "," EXP ",\"nbf\":1700000600," SUB "," OWN "}"},
		{false, "{" AUD "," EXP "," SUB "," OWN "}"},
		{false, "{\"iss\":\"https://evil\"," AUD "," EXP "," SUB "," OWN "}"},
		{false, "{" ISS "," EXP "," SUB "," OWN "}"},
		{false, "{" ISS ",\"aud\":[]," EXP "," SUB "," OWN "}"},
		{false, "{" ISS ",\"aud\":[[\"" ISSUER "\"]]," EXP "," SUB "," OWN "}"},
		{false, "{" ISS "," AUD "," EXP "," OWN "}"},
		{false, "{" ISS "," AUD "," EXP ",\"sub\":\"system:serviceaccount:t:b\"," OWN "}"},
		{false, "{" ISS "," AUD "," EXP ",\"sub\":\"kubernetes-admin\"," OWN "}"},
		{false, "{" ISS "," AUD "," EXP "," SUB "}"},
		{false, "{" ISS "," AUD "," EXP "," SUB ",\"kubernetes.io\":[]}"},
		{false, "{" ISS "," AUD "," EXP "," SUB
			",\"kubernetes.io\":{\"namespace\":\"t\",\"serviceaccount\":{\"name\":"
			"\"a\"}}}"},
		{false, "{" ISS "," AUD "," EXP "," SUB
			",\"kubernetes.io\":{\"namespace\":\"t\",\"pod\":{},\"serviceaccount\":"
			"{\"name\":\"a\",\"uid\":\"u-a\"}}}"},
		{false, "{" ISS "," AUD "," EXP "," SUB
			",\"kubernetes.io\":{\"serviceaccount\":{\"name\":\"a\",\"uid\":"
			"\"u-a\"}}}"},
		{false, "{\"iss\":\"kubernetes/serviceaccount\"," AUD "," EXP "," SUB "," OWN "}"},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct json *doc;
		char *token;
		assert_int_equal(json_parse(&f->arena, rows[i].claims, strlen(rows[i].claims), NULL,
					 &doc, NULL),
			0);
		assert_int_equal(jwt_sign(&f->arena, k, doc, &token, NULL), 0);
		if (good(f, token) != rows[i].good)
			fail_msg("row %zu: %s", i, rows[i].claims);
	}
	jwt_key_destroy(k);
}

static void test_rotation(void **state)
{
	struct fixture *f = *state;
	char *private[2], *public[2];
	for (int i = 0; i < 2; i++)
		assert_int_equal(jwt_make_keys(&private[i], &public[i], NULL), 0);
	tokens_destroy(f->tokens);
	f->tokens = tokens_new(f, private[0], NULL);
	char *old = issue(f, BOUND_NOTHING, ISSUER);
	tokens_destroy(f->tokens);
	f->tokens = tokens_new(f, private[1], NULL);
	assert_false(good(f, old));
	tokens_destroy(f->tokens);
	f->tokens = tokens_new(f, private[1], public[0]);
	assert_true(good(f, old));
	assert_true(good(f, issue(f, BOUND_NOTHING, ISSUER)));
	assert_int_equal(json_count(json_get(tokens_key_set(&f->arena, f->tokens), "keys")), 2);
	for (int i = 0; i < 2; i++) {
		free(private[i]);
		free(public[i]);
	}
}

/* More tokens than are remembered. */
static void test_many(void **state)
{
	struct fixture *f = *state;
	char *tokens[1500];
	for (size_t i = 0; i < ARRAY_LEN(tokens); i++) {
		tokens[i] = issue(f, BOUND_NOTHING, ISSUER);
		assert_true(good(f, tokens[i]));
	}
	for (size_t i = 0; i < ARRAY_LEN(tokens); i += 100)
		assert_true(good(f, tokens[i]));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_who, setup, teardown),
		cmocka_unit_test_setup_teardown(test_times, setup, teardown),
		cmocka_unit_test_setup_teardown(test_audiences, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ends, setup, teardown),
		cmocka_unit_test_setup_teardown(test_deletion, setup, teardown),
		cmocka_unit_test_setup_teardown(test_legacy, setup, teardown),
		cmocka_unit_test_setup_teardown(test_claims, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rotation, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

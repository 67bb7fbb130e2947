/* Keys, requests, and when a token is renewed and when it is over. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "node/pod/pod_tokens.h"

static struct json *parse(struct arena *a, const char *text)
{
	struct json *doc = NULL;
	assert_int_equal(json_parse(a, text, strlen(text), NULL, &doc, NULL), 0);
	return doc;
}

static void test_request(void **state)
{
	struct arena a = ARENA_INIT;
	char *key = pod_tokens_key(&a,
		parse(&a, "{\"audience\":\"vault/x\",\"expirationSeconds\":600,\"path\":\"t\"}"));
	assert_string_equal(key, "600/vault/x");
	assert_string_equal(pod_tokens_key(&a, parse(&a, "{\"path\":\"t\"}")), "3600/");
	struct json *pod = parse(&a, "{\"metadata\":{\"name\":\"p\",\"uid\":\"u\"}}");
	struct json *body = parse(&a, pod_tokens_request(&a, pod, key));
	assert_string_equal(json_path_str(body, "spec.audiences[0]"), "vault/x");
	assert_int_equal(json_path_int(body, "spec.expirationSeconds", 0), 600);
	assert_string_equal(json_path_str(body, "spec.boundObjectRef.kind"), "Pod");
	assert_string_equal(json_path_str(body, "spec.boundObjectRef.name"), "p");
	assert_string_equal(json_path_str(body, "spec.boundObjectRef.uid"), "u");
	body = parse(&a, pod_tokens_request(&a, pod, "3607/"));
	assert_int_equal(json_count(json_path(body, "spec.audiences")), 0);
	arena_finish(&a);
}

static void test_life(void **state)
{
	struct arena a = ARENA_INIT;
	struct err err = ERR_INIT;
	struct pod_tokens *t = pod_tokens_create();
	int64_t start;
	assert_int_equal(time_parse_rfc3339("2026-01-01T00:00:00Z", &start), 0);
	assert_null(pod_tokens_get(t, "3607/", start));
	assert_true(pod_tokens_due_ns(t) == INT64_MAX);
	assert_false(pod_tokens_fresh(t, "3607/", start));
	assert_int_equal(
		pod_tokens_set(t, "3607/", parse(&a, "{\"status\":{}}"), start, &err), -EBADMSG);
	struct json *answer = parse(&a, "{\"status\":{\"token\":\"one\","
					"\"expirationTimestamp\":\"2026-01-01T01:00:00Z\"}}");
	assert_int_equal(pod_tokens_set(t, "3607/", answer, start, &err), 0);
	assert_string_equal(pod_tokens_get(t, "3607/", start), "one");
	assert_null(pod_tokens_get(t, "600/", start));
	assert_true(pod_tokens_due_ns(t) == start + 48 * 60 * NS_PER_S);
	assert_true(pod_tokens_fresh(t, "3607/", start + (48 * 60 - 1) * NS_PER_S));
	assert_false(pod_tokens_fresh(t, "3607/", start + 48 * 60 * NS_PER_S));
	/* Due, yet better than none while the server can't be reached. */
	assert_string_equal(pod_tokens_get(t, "3607/", start + 59 * 60 * NS_PER_S), "one");
	assert_null(pod_tokens_get(t, "3607/", start + 60 * 60 * NS_PER_S));
	/* However long it is good, a token is renewed once a day. */
	answer = parse(&a, "{\"status\":{\"token\":\"two\","
			   "\"expirationTimestamp\":\"2027-01-01T00:00:00Z\"}}");
	assert_int_equal(pod_tokens_set(t, "3607/", answer, start, &err), 0);
	assert_string_equal(pod_tokens_get(t, "3607/", start), "two");
	assert_true(pod_tokens_fresh(t, "3607/", start + 23 * 3600 * NS_PER_S));
	assert_false(pod_tokens_fresh(t, "3607/", start + 24 * 3600 * NS_PER_S));
	pod_tokens_destroy(t);
	arena_finish(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request),
		cmocka_unit_test(test_life),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Which rules cover which, and what is missing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "server/api/auth/policy.h"

static struct policy parse(struct arena *a, const char *text)
{
	struct json *doc;
	assert_int_equal(json_parse(a, text, strlen(text), NULL, &doc, NULL), 0);
	return policy_decode(a, doc);
}

#define RULE(groups, resources, names, verbs)                                                      \
	"{\"apiGroups\":" groups ",\"resources\":" resources ",\"resourceNames\":" names           \
	",\"verbs\":" verbs "}"
#define URLS(urls, verbs) "{\"nonResourceURLs\":" urls ",\"verbs\":" verbs "}"
#define ALL "[\"*\"]"

static void test_covers(void **state)
{
	(void)state;
	static const struct {
		const char *have, *wanted;
		const char *missing[3];
	} rows[] = {
		{"[]", "[]", {NULL}},
		{"[" RULE(ALL, ALL, "[]", ALL) "]",
			"[" RULE("[\"a\"]", "[\"b/c\"]", "[]", "[\"x\"]") "]", {NULL}},
		{"[" RULE(ALL, ALL, "[]", ALL) "]", "[" URLS("[\"/x\"]", "[\"get\"]") "]",
			{"{NonResourceURLs:[\"/x\"], Verbs:[\"get\"]}"}},
		{"[" URLS("[\"*\"]", ALL) "]", "[" URLS("[\"/x\"]", "[\"get\"]") "]", {NULL}},
		{"[" URLS("[\"/a/*\"]", ALL) "]", "[" URLS("[\"/a/b*\",\"/a\"]", "[\"get\"]") "]",
			{"{NonResourceURLs:[\"/a\"], Verbs:[\"get\"]}"}},
		{"[" RULE("[\"\"]", "[\"pods\"]", "[]", "[\"get\",\"list\"]") "]",
			"[" RULE(
				"[\"\"]", "[\"pods\"]", "[]", "[\"get\",\"delete\",\"patch\"]") "]",
			{"{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"delete\" "
			 "\"patch\"]}"}},
		{"[" RULE("[\"\"]", "[\"pods\"]", "[]", "[\"get\"]") "]",
			"[" RULE("[\"\"]", "[\"pods\"]", "[\"p\"]", "[\"get\"]") "]", {NULL}},
		{"[" RULE("[\"\"]", "[\"pods\"]", "[\"p\"]", "[\"get\"]") "]",
			"[" RULE("[\"\"]", "[\"pods\"]", "[]", "[\"get\"]") "]",
			{"{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"get\"]}"}},
		{"[" RULE("[\"\"]", "[\"pods\"]", "[\"p\"]", "[\"get\"]") "]",
			"[" RULE("[\"\"]", "[\"pods\"]", "[\"p\",\"q\"]", "[\"get\"]") "]",
			{"{APIGroups:[\"\"], Resources:[\"pods\"], ResourceNames:[\"q\"], "
			 "Verbs:[\"get\"]}"}},
		{"[" RULE("[\"\"]", "[\"*/scale\"]", "[]", "[\"get\"]") "]",
			"[" RULE("[\"\"]", "[\"pods/scale\",\"pods\"]", "[]", "[\"get\"]") "]",
			{"{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"get\"]}"}},
		{"[" RULE("[\"\"]", "[\"pods/*\"]", "[]", "[\"get\"]") "]",
			"[" RULE("[\"\"]", "[\"pods/log\"]", "[]", "[\"get\"]") "]",
			{"{APIGroups:[\"\"], Resources:[\"pods/log\"], Verbs:[\"get\"]}"}},
		{"[" RULE("[\"\"]", "[\"pods\"]", "[]", "[\"get\"]") "]",
			"[" RULE("[\"\",\"apps\"]", "[\"pods\"]", "[]", "[\"get\"]") "]",
			{"{APIGroups:[\"apps\"], Resources:[\"pods\"], Verbs:[\"get\"]}"}},
		{"[" RULE("[\"\"]", "[\"pods\"]", "[]", "[\"get\"]") "," RULE(
			 "[\"\"]", "[\"pods\"]", "[]", "[\"list\"]") "]",
			"[" RULE("[\"\"]", "[\"pods\"]", "[]", "[\"get\",\"list\",\"*\"]") "]",
			{"{APIGroups:[\"\"], Resources:[\"pods\"], Verbs:[\"*\"]}"}},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct arena a = ARENA_INIT;
		struct policy have = parse(&a, rows[i].have), wanted = parse(&a, rows[i].wanted);
		struct policy missing;
		assert_int_equal(policy_covers(&a, &have, &wanted, &missing), 0);
		size_t n = 0;
		while (rows[i].missing[n])
			n++;
		if (missing.count != n)
			fail_msg("row %zu: %zu missing", i, missing.count);
		for (size_t m = 0; m < n; m++)
			assert_string_equal(
				policy_rule_text(&a, &missing.rules[m]), rows[i].missing[m]);
		arena_finish(&a);
	}
}

/* A role may multiply to any number of combinations: that is refused before it takes its time. */
static void test_bounds(void **state)
{
	(void)state;
	struct arena a = ARENA_INIT;
	struct buf list = BUF_INIT;
	buf_add_char(&list, '[');
	for (int i = 0; i < 1000; i++)
		buf_printf(&list, "%s\"n%d\"", i ? "," : "", i);
	buf_add_char(&list, ']');
	struct policy wanted =
		parse(&a, arena_printf(&a, "[{\"apiGroups\":%s,\"resources\":%s,\"verbs\":%s}]",
				  list.data, list.data, list.data));
	struct policy have = {0}, missing;
	assert_int_equal(policy_covers(&a, &have, &wanted, &missing), -E2BIG);
	buf_finish(&list);
	arena_finish(&a);
}

static const char *list_of(struct arena *a, const char *prefix, int count)
{
	_cleanup_(buf_finish) struct buf list = BUF_INIT;
	for (int i = 0; i < count; i++)
		buf_printf(&list, "%c\"%s%d\"", i ? ',' : '[', prefix, i);
	buf_add_char(&list, ']');
	return arena_memdup(a, list.data, list.size);
}

/* Many parts of one resource take room for each of them, not for each pair. */
static void test_many_verbs(void **state)
{
	(void)state;
	struct arena a = ARENA_INIT;
	enum { COUNT = 40000 };
	struct policy wanted =
		parse(&a, arena_printf(&a, "[" RULE("[\"\"]", "[\"pods\"]", "[]", "%s") "]",
				  list_of(&a, "v", COUNT)));
	struct policy have = {0}, missing;
	size_t before = a.used_bytes;
	assert_int_equal(policy_covers(&a, &have, &wanted, &missing), 0);
	assert_true(a.used_bytes - before < 4u << 20);
	assert_int_equal(missing.count, 1);
	assert_int_equal(missing.rules[0].verbs.count, COUNT);
	for (size_t i = 0; i < COUNT; i++)
		assert_string_equal(
			missing.rules[0].verbs.items[i], wanted.rules[0].verbs.items[i]);
	arena_finish(&a);
}

/* Long lists held and long lists asked for are refused before they are compared. */
static void test_many_names(void **state)
{
	(void)state;
	struct arena a = ARENA_INIT;
	const char *names = list_of(&a, "n", 20000);
	struct policy p = parse(&a, arena_printf(&a,
					    "[" RULE("[\"\"]", "[\"pods\"]", "%s", "[\"get\"]") "]",
					    names)),
		      missing;
	assert_int_equal(policy_covers(&a, &p, &p, &missing), -E2BIG);
	arena_finish(&a);
}

static void test_pack(void **state)
{
	(void)state;
	struct arena a = ARENA_INIT;
	struct policy p =
		parse(&a, "[" RULE("[\"\",\"apps\"]", "[\"pods\"]", "[\"n\"]",
				  "[\"get\"]") "," URLS("[\"/x\"]", "[\"get\",\"put\"]") "]");
	struct policy_rule *packed = policy_pack(&p);
	struct json *before = policy_encode(&a, &p);
	struct json *after = policy_encode(&a, &(struct policy){packed, p.count});
	assert_true(json_equal(before, after));
	assert_int_equal(json_count(after), 2);
	free(packed);
	assert_null(policy_pack(&(struct policy){0}));
	arena_finish(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_covers),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_many_verbs),
		cmocka_unit_test(test_many_names),
		cmocka_unit_test(test_pack),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

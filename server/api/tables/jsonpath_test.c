#include "server/api/tables/jsonpath.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static const char text[] =
	"{\"spec\":{\"replicas\":3,\"a.b/c\":\"dots\",\"hosts\":[\"h0\",\"h1\",\"h2\"]},"
	"\"status\":{\"conditions\":[{\"type\":\"Other\",\"status\":\"No\",\"n\":1},{\"type\":"
	"\"Ready\",\"status\":\"Yes\",\"n\":5,\"extra\":true}],\"rules\":[{},{\"host\":\"x\"}]}}";

static void paths(void **state)
{
	static const struct {
		const char *path, *found; /* JSON; NULL = nothing */
	} all[] = {
		{".spec.replicas", "3"},
		{"{.spec.replicas}", "3"},
		{"$.spec.replicas", "3"},
		{".spec['a.b/c']", "\"dots\""},
		{".spec.a\\.b/c", "\"dots\""},
		{".spec.hosts[0]", "\"h0\""},
		{".spec.hosts[-1]", "\"h2\""},
		{".spec.hosts[-4]", NULL},
		{".spec.hosts[1:]", "\"h1\""},
		{".spec.hosts[:1]", "\"h0\""},
		{".spec.hosts[3]", NULL},
		{".spec.hosts[*]", "\"h0\""},
		{".status.rules[*].host", "\"x\""},
		{".status.conditions[?(@.type==\"Ready\")].status", "\"Yes\""},
		{".status.conditions[?(@.type=='Ready')].status", "\"Yes\""},
		{".status.conditions[?(@.type != 'Other')].status", "\"Yes\""},
		{".status.conditions[?(@.n>2)].type", "\"Ready\""},
		{".status.conditions[?(@.n<=1)].type", "\"Other\""},
		{".status.conditions[?(@.extra)].type", "\"Ready\""},
		{".status.conditions[?(@.extra==true)].type", "\"Ready\""},
		{".status.conditions[?(@.type=='None')].status", NULL},
		{"..host", "\"x\""},
		{".nothing.there", NULL},
	};
	struct arena a = ARENA_INIT;
	struct json *doc;

	assert_int_equal(json_parse(&a, text, sizeof(text) - 1, NULL, &doc, NULL), 0);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
		const struct json *found = jsonpath_first(doc, all[i].path);

		assert_true(jsonpath_valid(all[i].path));
		if (all[i].found && !found)
			fail_msg("%s finds nothing", all[i].path);
		if (all[i].found)
			assert_string_equal(json_text(&a, found), all[i].found);
		else
			assert_null(found);
	}
	arena_finish(&a);
}

static void what_is_no_path(void **state)
{
	static const char *const all[] = {"spec", ".", ".a[", ".a[x]", ".a['b", ".a[?(b)]",
		".a[?(@.b=='c]", ".a[?(@.b=c)]", ".a..", "{.a}b", ".a[1:2:3]"};

	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		if (jsonpath_valid(all[i]))
			fail_msg("%s is a path", all[i]);
}

/* Searches that share an allowance end together; plain ones take little of it. */
static void allowance(void **state)
{
	struct arena a = ARENA_INIT;
	struct json *doc = json_new_object(&a), *items = json_new_array(&a);
	json_set(&a, doc, "items", items);
	json_set_str(&a, doc, "name", "x");
	for (int i = 0; i < 5000; i++)
		json_push(&a, items, json_new_int(&a, i));
	size_t left = 100000, before = left;
	assert_non_null(jsonpath_first_within(doc, ".name", &left));
	assert_in_range(before - left, 1, 8);
	assert_null(jsonpath_first_within(doc, "..none", &left));
	assert_in_range(before - left, 5000, 20000);
	for (int i = 0; i < 50; i++)
		assert_null(jsonpath_first_within(doc, "..none", &left));
	assert_int_equal(left, 0);
	assert_null(jsonpath_first_within(doc, ".name", &left));
	assert_non_null(jsonpath_first(doc, ".name"));
	arena_finish(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(paths),
		cmocka_unit_test(what_is_no_path),
		cmocka_unit_test(allowance),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "lib/object/selector.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct kind_registry *registry;

static int setup(void **state)
{
	struct err err = ERR_INIT;

	registry = kind_registry_create();
	return kind_registry_load_builtin(registry, &err);
}

static int teardown(void **state)
{
	kind_registry_destroy(registry);
	return 0;
}

static void reads_as(const char *text, const char *expected)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct selector s, again;
	struct status st = {0};

	if (selector_parse_labels(&a, text, &s, &st) < 0)
		fail_msg("%s", json_str(json_get(st.doc, "message")));
	assert_string_equal(selector_text(&a, &s), expected);
	again = selector_copy(&a, &s);
	assert_string_equal(selector_text(&a, &again), expected);
}

static void is_refused(const char *text, const char *message)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct selector s;
	struct status st = {0};

	assert_int_equal(selector_parse_labels(&a, text, &s, &st), -EREMOTEIO);
	assert_int_equal(st.code, 400);
	assert_string_equal(json_str(json_get(st.doc, "message")), message);
}

static void test_language(void **state)
{
	reads_as("", "");
	reads_as("a=b", "a=b");
	reads_as(" z == y , a!=b", "a!=b,z=y");
	reads_as("a in (c, b),!x,example.com/y", "a in (b,c),example.com/y,!x");
	reads_as("a notin (b)", "a notin (b)");
	reads_as("a=,b", "a=,b");
	reads_as("in in (in,notin)", "in in (in,notin)");
	reads_as("a>5,b<7", "a>5,b<7");
	reads_as("a in (,b)", "a in (,b)");
}

static void test_refusals(void **state)
{
	is_refused("a===b", "unable to parse requirement: found '=', expected: identifier");
	is_refused("a,", "found '', expected: identifier after ','");
	is_refused(",a", "found ',', expected: !, identifier, or 'end of string'");
	is_refused("a b",
		"unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt");
	is_refused("a in b", "unable to parse requirement: found 'b' expected: '('");
	is_refused("a in ()",
		"unable to parse requirement: values: Invalid value: []string{}: for 'in', 'notin' "
		"operators, values set can't be empty");
	is_refused("a in (b", "unable to parse requirement: found '', expected: ',' or ')'");
	is_refused("!a=b", "found '=', expected: ',' or 'end of string'");
	is_refused("a>b", "unable to parse requirement: values[0]: Invalid value: \"b\": for 'Gt', "
			  "'Lt' operators, the "
			  "value must be an integer");
}

static bool matches(const char *text, const char *labels)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct selector s;
	struct status st = {0};
	struct json *map;

	assert_int_equal(json_parse(&a, labels, strlen(labels), NULL, &map, NULL), 0);
	assert_int_equal(selector_parse_labels(&a, text, &s, &st), 0);
	return selector_matches_label_map(&s, map);
}

static void test_matching(void **state)
{
	const char *labels = "{\"a\":\"b\",\"n\":\"7\",\"e\":\"\"}";

	assert_true(matches("", labels));
	assert_true(matches("a=b,n=7", labels));
	assert_false(matches("a=c", labels));
	assert_true(matches("a!=c,zz!=c", labels));
	assert_true(matches("a in (x,b)", labels));
	assert_false(matches("zz in (x,b)", labels));
	assert_true(matches("zz notin (x)", labels));
	assert_true(matches("e", labels));
	assert_true(matches("e=", labels));
	assert_true(matches("!zz", labels));
	assert_false(matches("!a", labels));
	assert_true(matches("n>6,n<8", labels));
	assert_false(matches("a>6", labels));
}

static void test_fields(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	_cleanup_(object_unref_p) struct object *o = NULL;
	const struct kind *pod = kind_by_name(registry, "", "v1", "Pod");
	const struct kind *map = kind_by_name(registry, "", "v1", "ConfigMap");
	const char *text =
		"{\"metadata\":{\"name\":\"p\",\"namespace\":\"n\"},\"spec\":{\"nodeName\":\"x\"},"
		"\"status\":{\"phase\":\"Running\"}}";
	struct status st = {0};
	struct selector s;

	assert_int_equal(object_from_bytes(pod, text, strlen(text), &o, NULL), 0);
	assert_int_equal(selector_parse_fields(&a, pod,
				 "spec.nodeName=x,status.phase!=Failed,metadata.name==p,spec."
				 "hostNetwork=false",
				 &s, &st),
		0);
	assert_int_equal(s.count, 4);
	assert_true(selector_matches_fields(&s, o));
	assert_int_equal(selector_parse_fields(&a, pod, "spec.nodeName=", &s, &st), 0);
	assert_false(selector_matches_fields(&s, o));
	assert_int_equal(selector_parse_fields(&a, pod, "metadata.name=a\\,b\\=c", &s, &st), 0);
	assert_string_equal(s.items[0].values[0], "a,b=c");
	assert_int_equal(selector_parse_fields(&a, map, "data.x=y", &s, &st), -EREMOTEIO);
	assert_string_equal(json_str(json_get(st.doc, "message")),
		"\"data.x\" is not a known field selector: only \"metadata.name\", "
		"\"metadata.namespace\"");
	assert_int_equal(selector_parse_fields(&a, map, "abc", &s, &st), -EREMOTEIO);
	assert_string_equal(json_str(json_get(st.doc, "message")),
		"invalid selector: 'abc'; can't understand 'abc'");
}

static void test_label_selector_documents(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const char *text =
		"{\"matchLabels\":{\"a\":\"b\"},\"matchExpressions\":[{\"key\":\"c\",\"operator\":"
		"\"In\",\"values\":[\"e\",\"d\"]},{\"key\":\"f\",\"operator\":\"DoesNotExist\"}]}";
	const char *bad = "{\"matchExpressions\":[{\"key\":\"c\",\"operator\":\"Like\"}]}";
	struct err err = ERR_INIT;
	struct selector s;
	struct json *doc;

	assert_int_equal(json_parse(&a, text, strlen(text), NULL, &doc, NULL), 0);
	assert_int_equal(selector_from_label_selector(&a, doc, &s, &err), 0);
	assert_string_equal(selector_text(&a, &s), "a=b,c in (d,e),!f");
	assert_int_equal(selector_from_label_selector(&a, NULL, &s, &err), 0);
	assert_false(selector_matches_labels(&s, NULL, 0));
	assert_int_equal(selector_from_label_selector(&a, json_new_object(&a), &s, &err), 0);
	assert_true(selector_matches_labels(&s, NULL, 0));
	assert_int_equal(json_parse(&a, bad, strlen(bad), NULL, &doc, NULL), 0);
	assert_int_equal(selector_from_label_selector(&a, doc, &s, &err), -EINVAL);
	assert_string_equal(err.msg, "\"Like\" is not a valid label selector operator");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_language),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_matching),
		cmocka_unit_test(test_fields),
		cmocka_unit_test(test_label_selector_documents),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

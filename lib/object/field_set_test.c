#include "lib/object/field_set.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct arena a;

static const struct json *read_set(const char *text)
{
	const struct json *set = NULL;
	struct err err = ERR_INIT;
	struct json *v;

	assert_int_equal(json_parse(&a, text, strlen(text), NULL, &v, &err), 0);
	assert_int_equal(field_set_read(&a, v, &set, &err), 0);
	return set;
}

static const char *text_of(const struct json *set)
{
	return set ? json_text(&a, set) : "{}";
}

static void sets_come_into_one_form(void **state)
{
	static const struct {
		const char *given, *read;
	} cases[] = {
		{"{}", "{}"},
		{"{\"f:b\":{},\"f:a\":{}}", "{\"f:a\":{},\"f:b\":{}}"},
		{"{\"f:a\":{\".\":{}}}", "{\"f:a\":{}}"},
		{"{\"f:a\":{\"f:b\":{},\".\":{}}}", "{\"f:a\":{\".\":{},\"f:b\":{}}}"},
		{"{\"k:{\\\"b\\\":1, \\\"a\\\":\\\"x\\\"}\":{}}",
			"{\"k:{\\\"a\\\":\\\"x\\\",\\\"b\\\":1}\":{}}"},
		{"{\"v: \\\"x\\\"\":{}}", "{\"v:\\\"x\\\"\":{}}"},
		/* Fields before keys before values before indexes; numbers as numbers. */
		{"{\"i:1\":{},\"v:10\":{},\"v:9\":{},\"k:{\\\"p\\\":443}\":{},\"k:{\\\"p\\\":80}\":"
		 "{},"
		 "\"f:z\":{}}",
			"{\"f:z\":{},\"k:{\\\"p\\\":80}\":{},\"k:{\\\"p\\\":443}\":{},\"v:9\":{},"
			"\"v:10\":{},\"i:1\":{}}"},
		/* Digits in strings are text. */
		{"{\"v:\\\"9\\\"\":{},\"v:\\\"10\\\"\":{}}",
			"{\"v:\\\"10\\\"\":{},\"v:\\\"9\\\"\":{}}"},
		/* Two spellings of one step become one. */
		{"{\"k:{\\\"a\\\":1}\":{\"f:x\":{}},\"k:{ \\\"a\\\":1}\":{\"f:y\":{}}}",
			"{\"k:{\\\"a\\\":1}\":{\"f:x\":{},\"f:y\":{}}}"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_string_equal(text_of(read_set(cases[i].given)), cases[i].read);
}

static void bad_sets_are_refused(void **state)
{
	static const char *const bad[] = {"[]", "{\"a\":{}}", "{\"f:a\":[]}", "{\"f:a\":null}",
		"{\"x:a\":{}}", "{\"k:1\":{}}", "{\"k:{\":{}}", "{\"k:{\\\"a\\\":{}}\":{}}",
		"{\"v:x\":{}}", "{\"i:-1\":{}}", "{\"i:x\":{}}", "{\"\":{}}", "{\"f\":{}}"};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		const struct json *set;
		struct err err = ERR_INIT;
		struct json *v;

		assert_int_equal(json_parse(&a, bad[i], strlen(bad[i]), NULL, &v, &err), 0);
		assert_int_equal(field_set_read(&a, v, &set, &err), -EINVAL);
		assert_true(err.msg[0]);
	}
}

static void operations(void **state)
{
	static const struct {
		const char *x, *y, *both, *all, *left;
	} cases[] = {
		{"{}", "{}", "{}", "{}", "{}"},
		{"{\"f:a\":{}}", "{}", "{}", "{\"f:a\":{}}", "{\"f:a\":{}}"},
		{"{}", "{\"f:a\":{}}", "{}", "{\"f:a\":{}}", "{}"},
		{"{\"f:a\":{},\"f:c\":{}}", "{\"f:b\":{},\"f:c\":{}}", "{\"f:c\":{}}",
			"{\"f:a\":{},\"f:b\":{},\"f:c\":{}}", "{\"f:a\":{}}"},
		/* A path is in a set or not, whatever lies below it. */
		{"{\"f:a\":{\".\":{},\"f:b\":{}}}", "{\"f:a\":{}}", "{\"f:a\":{}}",
			"{\"f:a\":{\".\":{},\"f:b\":{}}}", "{\"f:a\":{\"f:b\":{}}}"},
		{"{\"f:a\":{}}", "{\"f:a\":{\"f:b\":{}}}", "{}", "{\"f:a\":{\".\":{},\"f:b\":{}}}",
			"{\"f:a\":{}}"},
		{"{\"f:a\":{\"f:b\":{},\"f:c\":{}}}", "{\"f:a\":{\".\":{},\"f:b\":{}}}",
			"{\"f:a\":{\"f:b\":{}}}", "{\"f:a\":{\".\":{},\"f:b\":{},\"f:c\":{}}}",
			"{\"f:a\":{\"f:c\":{}}}"},
		/* Steps that lead nowhere go. */
		{"{\"f:a\":{\"f:b\":{\"f:c\":{}}},\"f:d\":{}}", "{\"f:a\":{\"f:b\":{\"f:c\":{}}}}",
			"{\"f:a\":{\"f:b\":{\"f:c\":{}}}}",
			"{\"f:a\":{\"f:b\":{\"f:c\":{}}},\"f:d\":{}}", "{\"f:d\":{}}"},
		{"{\"f:a\":{\"f:b\":{}}}", "{\"f:a\":{\"f:c\":{}}}", "{}",
			"{\"f:a\":{\"f:b\":{},\"f:c\":{}}}", "{\"f:a\":{\"f:b\":{}}}"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct json *x = read_set(cases[i].x), *y = read_set(cases[i].y);
		const struct json *both = field_set_intersection(&a, x, y);
		const struct json *all = field_set_union(&a, x, y);
		const struct json *left = field_set_difference(&a, x, y);

		assert_string_equal(text_of(both), cases[i].both);
		assert_string_equal(text_of(field_set_intersection(&a, y, x)), cases[i].both);
		assert_string_equal(text_of(all), cases[i].all);
		assert_string_equal(text_of(field_set_union(&a, y, x)), cases[i].all);
		assert_string_equal(text_of(left), cases[i].left);
		assert_true(field_set_equal(field_set_union(&a, left, both), x));
		assert_true(field_set_equal(x, read_set(text_of(x))));
	}
}

static void what_does_not_change_is_the_same(void **state)
{
	const struct json *x = read_set("{\"f:a\":{\".\":{},\"f:b\":{}},\"f:c\":{}}");

	assert_ptr_equal(field_set_union(&a, x, read_set("{\"f:a\":{\"f:b\":{}}}")), x);
	assert_ptr_equal(field_set_difference(&a, x, read_set("{\"f:d\":{}}")), x);
	assert_ptr_equal(field_set_difference(&a, x, NULL), x);
}

/* Beyond the size at which objects get an index. */
static void big_sets(void **state)
{
	struct json *x = json_new_object(&a), *y = json_new_object(&a);
	const struct json *sx, *sy;

	for (int i = 0; i < 200; i++) {
		json_set(&a, x, arena_printf(&a, "k:{\"n\":%d}", (i * 7) % 200),
			json_new_object(&a));
		if (i % 2)
			json_set(&a, y, arena_printf(&a, "k:{\"n\":%d}", i), json_new_object(&a));
	}
	assert_int_equal(field_set_read(&a, x, &sx, NULL), 0);
	assert_int_equal(field_set_read(&a, y, &sy, NULL), 0);
	assert_int_equal(json_count(sx), 200);
	assert_string_equal(sx->members[9].name, "k:{\"n\":9}");
	assert_string_equal(sx->members[10].name, "k:{\"n\":10}");
	assert_non_null(json_get(sx, "k:{\"n\":150}"));
	assert_true(field_set_equal(field_set_intersection(&a, sx, sy), sy));
	assert_int_equal(json_count(field_set_difference(&a, sx, sy)), 100);
	assert_ptr_equal(field_set_union(&a, sx, sy), sx);
}

static void add_path(void *user, const char *path)
{
	struct buf *out = user;

	buf_printf(out, "%s\n", path);
}

static void paths_in_words(void **state)
{
	const struct json *set =
		read_set("{\"f:spec\":{\"f:list\":{\"k:{\\\"name\\\":\\\"a\\\",\\\"port\\\":80}\":{"
			 "\".\":{},\"f:image\":{}}},\"f:replicas\":{}},"
			 "\"f:set\":{\"v:\\\"x\\\"\":{},\"v:true\":{},\"i:3\":{}}}");
	_cleanup_(buf_finish) struct buf out = BUF_INIT;

	field_set_each(set, add_path, &out);
	/* What ends at a level comes before what lies below it. */
	assert_string_equal(out.data, ".set[=\"x\"]\n.set[=true]\n.set[3]\n"
				      ".spec.replicas\n"
				      ".spec.list[name=\"a\",port=80]\n"
				      ".spec.list[name=\"a\",port=80].image\n");
	assert_string_equal(
		text_of(field_set_path(&a, "spec.replicas")), "{\"f:spec\":{\"f:replicas\":{}}}");
}

static int finish(void **state)
{
	arena_finish(&a);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(sets_come_into_one_form, finish),
		cmocka_unit_test_teardown(bad_sets_are_refused, finish),
		cmocka_unit_test_teardown(operations, finish),
		cmocka_unit_test_teardown(what_does_not_change_is_the_same, finish),
		cmocka_unit_test_teardown(big_sets, finish),
		cmocka_unit_test_teardown(paths_in_words, finish),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "lib/json/json.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static struct arena arena;

static int setup(void **state)
{
	arena_init(&arena);
	return 0;
}

static int teardown(void **state)
{
	arena_finish(&arena);
	return 0;
}

static struct json *parse(const char *text)
{
	struct json *v = NULL;
	struct err err = ERR_INIT;

	if (json_parse(&arena, text, strlen(text), NULL, &v, &err) < 0)
		fail_msg("refused '%s': %s", text, err.msg);
	return v;
}

struct text {
	const char *p;
	size_t size;
};
#define T(lit)                                                                                     \
	{                                                                                          \
		lit, sizeof(lit) - 1                                                               \
	}

/* By the classes of RFC 8259: whitespace, literals, structure, numbers, strings. */
static const struct text accepted[] = {
	T("null"),
	T("true"),
	T("false"),
	T("0"),
	T("-0"),
	T("\"\""),
	T("[]"),
	T("{}"),
	T(" \t\r\n[ \t\r\n] \t\r\n"),
	T("{ \"a\" : [ 1 , 2 ] , \"b\" : { } }"),
	T("[[[[[]]]]]"),
	T("[null,1,\"1\",{}]"),
	T("{\"\":0}"),
	T("{\"a\":{\"b\":[{\"c\":null}]}}"),
	T("{\"a\":1,\"a\":2}"),
	T("{\"a\\u0000b\":1}"),
	/* numbers */
	T("[123]"),
	T("[-1]"),
	T("[0e1]"),
	T("[0e+1]"),
	T("[0E-1]"),
	T("[1E22]"),
	T("[123.456e78]"),
	T("[123e45]"),
	T("[-123.0]"),
	T("[0.1]"),
	T("[-0.0]"),
	T("[1e-400]"),
	T("[123e-10000000000000000000]"),
	T("[100000000000000000000]"),
	T("[0.00000000000000000000000000000000000000000000000000000000000000000000000000001]"),
	/* strings */
	T("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\""),
	T("\"\\u0060\\u012a\\u12AB\""),
	T("\"\\u0000\""),
	T("\"\\uD801\\udc37\""),
	T("\"\\ud83d\\ude39\\ud83d\\udc8d\""),
	T("\"\\uDBFF\\uDFFE\""),
	T("\"\\\\u0000\""),
	T("\"\\\\n\""),
	T("\"\\uFFFF\\uFDD0\""),
	T("\"\x7f\""),
	T("\"\xc2\x80\xdf\xbf\""),
	T("\"\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf\""),
	T("\"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\""),
	T("\"\xe2\x80\xa8\xe2\x80\xa9\""),
	T("\"/* no comment */\""),
	T("\"a string of more than sixteen bytes, \xc3\xa9 and on for some more\""),
};

static const struct text refused[] = {
	T(""),
	T(" "),
	T("\xef\xbb\xbf{}"),
	T("\xef\xbb\xbf"),
	T("\xff\xfe[\0]\0"),
	T("nul"),
	T("nulL"),
	T("nullx"),
	T("True"),
	T("TRUE"),
	T("tru"),
	T("fals"),
	T("undefined"),
	T("NaN"),
	T("-NaN"),
	T("Infinity"),
	T("-Infinity"),
	T("a"),
	T("'a'"),
	T("{\0}"),
	T("\0"),
	T("1\0"),
	T("[1\0]"),
	/* structure */
	T("["),
	T("]"),
	T("{"),
	T("}"),
	T("[1"),
	T("[1,"),
	T("[,1]"),
	T("[1,]"),
	T("[1,,2]"),
	T("[1 2]"),
	T("[1}"),
	T("{\"a\":1]"),
	T("[1]]"),
	T("[1]x"),
	T("1 2"),
	T("{}{}"),
	T("[\"a\",\n4\n,1,"),
	T("[\"a\""),
	T("[[[[[]]]]"),
	T("{\"a\""),
	T("{\"a\":"),
	T("{\"a\":1"),
	T("{\"a\":1,"),
	T("{\"a\":1,}"),
	T("{,\"a\":1}"),
	T("{\"a\" 1}"),
	T("{\"a\",1}"),
	T("{\"a\"::1}"),
	T("{:1}"),
	T("{1:1}"),
	T("{a:1}"),
	T("{'a':1}"),
	T("{null:1}"),
	T("{[]:1}"),
	T("{\"a\":1 \"b\":2}"),
	T("[1:2]"),
	T("[/**/]"),
	T("[1]//"),
	T("[1]#"),
	T("<.>"),
	T("[\f1]"),
	T("[\v1]"),
	T("[\xc2\xa0"
	  "1]"),
	T("[\xe2\x81\xa0]"),
	/* numbers */
	T("-"),
	T("+1"),
	T("[--1]"),
	T("[-a]"),
	T("01"),
	T("-01"),
	T("00"),
	T("-012"),
	T("1."),
	T("[1.]"),
	T("[-2.]"),
	T("[.5]"),
	T("[-.5]"),
	T("[0.e1]"),
	T("[0.1.2]"),
	T("[1e]"),
	T("[1e+]"),
	T("[1e-]"),
	T("[1eE2]"),
	T("[1.0e]"),
	T("[0e"),
	T("[9.e+]"),
	T("[0x1F]"),
	T("[1_000]"),
	T("[1 000]"),
	T("[1+2]"),
	T("[1ea]"),
	T("[123\xe5]"),
	T("[\xef\xbc\x91]"),
	T("[1e400]"),
	T("[-1e400]"),
	/* strings */
	T("\""),
	T("\"a"),
	T("\"\\\""),
	T("\"\\"),
	T("\"\\x41\""),
	T("\"\\a\""),
	T("\"\\'\""),
	T("\"\\0\""),
	T("\"\\u\""),
	T("\"\\u1\""),
	T("\"\\u00A"),
	T("\"\\u00g0\""),
	T("\"\\U0041\""),
	T("\"\\\xf0\x9f\x8c\x80\""),
	T("\"\t\""),
	T("\"\n\""),
	T("\"\0\""),
	T("\"\x1f\""),
	T("\"long enough for sixteen \x01 bytes\""),
	T("[\"a\0a\"]"),
	/* surrogates */
	T("\"\\ud800\""),
	T("\"\\ud800a\""),
	T("\"\\udfaa\""),
	T("\"\\ud800\\ud800\""),
	T("\"\\ud800\\n\""),
	T("\"\\ud800\\u\""),
	T("\"\\ud800\\u1\""),
	T("\"\\uD834\\u0041\""),
	T("\"\\ude39\\ud83d\""),
	/* UTF-8 */
	T("\"\x80\""),
	T("\"\xbf\""),
	T("\"\xc0\xaf\""),
	T("\"\xc1\xbf\""),
	T("\"\xe0\x80\xaf\""),
	T("\"\xe0\x9f\xbf\""),
	T("\"\xed\xa0\x80\""),
	T("\"\xed\xbf\xbf\""),
	T("\"\xf0\x80\x80\xaf\""),
	T("\"\xf0\x8f\xbf\xbf\""),
	T("\"\xf4\x90\x80\x80\""),
	T("\"\xf5\x80\x80\x80\""),
	T("\"\xf8\x88\x80\x80\x80\""),
	T("\"\xfc\x80\x80\x80\x80\x80\""),
	T("\"\xff\""),
	T("\"\xe9\""),
	T("\"\xc3\""),
	T("\"\xe2\x82\""),
	T("\"\xf0\x9f\x98\""),
	T("\"\xf0\x9f\x98"),
	T("\"\xc3"),
	T("\"\\n\xff\""),
	T("\xe9"),
};

static void test_accepted(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(accepted); i++) {
		struct json *v = NULL;
		struct err err = ERR_INIT;

		if (json_parse(&arena, accepted[i].p, accepted[i].size, NULL, &v, &err) != 0)
			fail_msg("refused '%s': %s", accepted[i].p, err.msg);
		assert_non_null(v);
		assert_int_equal(err.code, 0);
	}
}

static void test_refused(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(refused); i++) {
		struct json *v = NULL;
		struct err err = ERR_INIT;

		if (json_parse(&arena, refused[i].p, refused[i].size, NULL, &v, &err) != -EINVAL)
			fail_msg("accepted '%s' (%zu)", refused[i].p, i);
		assert_null(v);
		assert_int_equal(err.code, -EINVAL);
		assert_memory_equal(err.msg, "offset ", 7);
	}
}

/* Each prefix of a document is refused, with the exact memory given, so ASan sees overreads. */
static void test_truncated(void **state)
{
	static const char text[] =
		"{\"a\":[1,-2.5e3,true,false,null,\"\\u00e9\\ud83d\\ude00\xc3\xa9\"],\"b\":{}}";

	for (size_t size = 0; size < sizeof(text) - 1; size++) {
		char *part = xmalloc(size);
		struct json *v;

		memcpy(part, text, size);
		assert_int_equal(json_parse(&arena, part, size, NULL, &v, NULL), -EINVAL);
		free(part);
	}
	parse(text);
}

static void test_errors_tell_the_offset(void **state)
{
	struct err err = ERR_INIT;
	struct json *v;

	assert_int_equal(json_parse(&arena, "{\"a\": tru}", 10, NULL, &v, &err), -EINVAL);
	assert_string_equal(err.msg, "offset 6: expected a value");
	assert_int_equal(json_parse(&arena, "{\"a\": 1", 7, NULL, &v, &err), -EINVAL);
	assert_string_equal(err.msg, "offset 7: unexpected end of text");
}

static void test_integers(void **state)
{
	static const struct {
		const char *text;
		int64_t n;
	} ints[] = {
		{"0", 0},
		{"-0", 0},
		{"-1", -1},
		{"9007199254740993", INT64_C(9007199254740993)},
		{"9223372036854775807", INT64_MAX},
		{"-9223372036854775808", INT64_MIN},
		{"-9223372036854775807", -INT64_MAX},
	};
	static const struct {
		const char *text;
		double d;
	} doubles[] = {
		{"9223372036854775808", 0x1p63},
		{"-9223372036854775809", -0x1p63},
		{"18446744073709551616", 0x1p64},
		{"100000000000000000000000", 1e23},
		{"5.0", 5},
		{"1e2", 100},
		{"0.1", 0.1},
		{"-2.5", -2.5},
		{"123456789012345678e-3", 123456789012345.678},
		{"1.7976931348623157e308", 1.7976931348623157e308},
		{"4.9e-324", 4.9e-324},
		{"2.2250738585072011e-308", 2.2250738585072011e-308},
		{"9007199254740993.0", 9007199254740992.0},
		{"1e-400", 0},
		{"0e999999999999", 0},
		{"1e22", 1e22},
		{"1e23", 1e23},
		{"8.5e-22", 8.5e-22},
		{"0.30000000000000004", 0.30000000000000004},
	};

	for (size_t i = 0; i < ARRAY_LEN(ints); i++) {
		struct json *v = parse(ints[i].text);

		assert_int_equal(v->type, JSON_INT);
		assert_true(v->i == ints[i].n);
	}
	for (size_t i = 0; i < ARRAY_LEN(doubles); i++) {
		struct json *v = parse(doubles[i].text);

		assert_int_equal(v->type, JSON_DOUBLE);
		if (v->d != doubles[i].d)
			fail_msg("%s gave %.17g", doubles[i].text, v->d);
	}
	assert_true(signbit(parse("-0.0")->d));
}

static void test_strings(void **state)
{
	struct json *v = parse("\"\\u0041\\u00e9\\u20ac\\ud83d\\ude00\\\"\\\\\\/\\b\\f\\n\\r\\t\"");

	assert_string_equal(v->s, "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\"\\/\b\f\n\r\t");
	v = parse("\"a\\u0000b\"");
	assert_int_equal(v->count, 3);
	assert_memory_equal(v->s, "a\0b", 4);
	v = parse("{\"a\\u0000\":1,\"a\":2}");
	assert_int_equal(v->count, 2);
	assert_int_equal(json_get_n(v, "a\0", 2)->i, 1);
	assert_int_equal(json_get(v, "a")->i, 2);
}

/* Escapes and non-ASCII at every distance from the ends of 16-byte loads. */
static void test_string_positions(void **state)
{
	for (size_t before = 0; before < 40; before++) {
		for (size_t after = 0; after < 20; after++) {
			_cleanup_(buf_finish) struct buf text = BUF_INIT, want = BUF_INIT;
			struct json *v;

			buf_printf(&text, "\"%.*s\xc3\xa9\\n%.*s\xe2\x82\xac\\u0041\"", (int)before,
				"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", (int)after,
				"yyyyyyyyyyyyyyyyyyyy");
			buf_printf(&want,
				"%.*s\xc3\xa9\n%.*s\xe2\x82\xac"
				"A",
				(int)before, "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", (int)after,
				"yyyyyyyyyyyyyyyyyyyy");
			v = parse(text.data);
			assert_int_equal(v->count, want.size);
			assert_string_equal(v->s, want.data);
		}
	}
}

static void collect(void *user, const char *path)
{
	buf_printf(user, "%s;", path);
}

static void test_duplicates(void **state)
{
	_cleanup_(buf_finish) struct buf seen = BUF_INIT;
	struct json_limits limits = JSON_LIMITS_DEFAULT;
	const char *text = "{\"spec\":{\"replicas\":1,\"x\":0,\"replicas\":2,\"replicas\":3},"
			   "\"list\":[0,{\"in\":[[{\"k\":1,\"k\":2}]]}],\"spec\":{\"y\":1}}";
	struct json *v;

	limits.on_duplicate = collect;
	limits.user = &seen;
	assert_int_equal(json_parse(&arena, text, strlen(text), &limits, &v, NULL), 0);
	assert_string_equal(seen.data, "spec.replicas;spec.replicas;list[1].in[0][0].k;spec;");
	/* The last wins, where the first stood. */
	assert_string_equal(
		json_text(&arena, v), "{\"spec\":{\"y\":1},\"list\":[0,{\"in\":[[{\"k\":2}]]}]}");
	buf_clear(&seen);
	assert_int_equal(json_parse(&arena, "[{\"a\":{\"a\":1}}]", 15, &limits, &v, NULL), 0);
	assert_string_equal(seen.data, "");
}

/* In objects that have an index, too. */
static void test_duplicates_in_big_object(void **state)
{
	_cleanup_(buf_finish) struct buf seen = BUF_INIT, text = BUF_INIT;
	struct json_limits limits = JSON_LIMITS_DEFAULT;
	struct json *v;

	buf_add_str(&text, "{\"o\":{");
	for (int i = 0; i < 1000; i++)
		buf_printf(&text, "%s\"k%d\":%d", i ? "," : "", i % 900, i);
	buf_add_str(&text, "}}");
	limits.on_duplicate = collect;
	limits.user = &seen;
	assert_int_equal(json_parse(&arena, text.data, text.size, &limits, &v, NULL), 0);
	assert_memory_equal(seen.data, "o.k0;o.k1;", 10);
	assert_string_equal(seen.data + seen.size - 6, "o.k99;");
	v = json_get(v, "o");
	assert_int_equal(v->count, 900);
	for (int i = 0; i < 900; i++) {
		assert_string_equal(v->members[i].name, json_new_printf(&arena, "k%d", i)->s);
		assert_int_equal(v->members[i].value->i, i < 100 ? i + 900 : i);
		assert_ptr_equal(json_get(v, v->members[i].name), v->members[i].value);
	}
}

static void count_one(void *user, const char *path)
{
	(*(unsigned *)user)++;
}

/* Each report climbs to the root, so that many from deep down would take seconds. */
static void test_duplicates_are_told_so_often_only(void **state)
{
	_cleanup_(buf_finish) struct buf text = BUF_INIT;
	struct json_limits limits = JSON_LIMITS_DEFAULT;
	unsigned count = 0;
	struct json *v;

	buf_add_str(&text, "{\"a\":1");
	for (int i = 0; i < 2 * JSON_DUPLICATES_MAX; i++)
		buf_printf(&text, ",\"a\":%d", i);
	buf_add_str(&text, "}");
	limits.on_duplicate = count_one;
	limits.user = &count;
	assert_int_equal(json_parse(&arena, text.data, text.size, &limits, &v, NULL), 0);
	assert_int_equal(count, JSON_DUPLICATES_MAX);
	assert_int_equal(v->count, 1);
	assert_int_equal(json_int_or(json_get(v, "a"), -1), 2 * JSON_DUPLICATES_MAX - 1);
}

static void test_duplicate_path_is_cut(void **state)
{
	_cleanup_(buf_finish) struct buf seen = BUF_INIT, text = BUF_INIT;
	struct json_limits limits = JSON_LIMITS_DEFAULT;
	struct json *v;

	buf_add_str(&text, "{\"");
	for (int i = 0; i < 400; i++)
		buf_add_str(&text, "\xe2\x82\xac");
	buf_add_str(&text, "\":{\"a\":1,\"a\":2}}");
	limits.on_duplicate = collect;
	limits.user = &seen;
	assert_int_equal(json_parse(&arena, text.data, text.size, &limits, &v, NULL), 0);
	assert_true(seen.size < 513 && seen.size > 500);
	assert_true(utf8_valid(seen.data, seen.size));
	assert_string_equal(seen.data + seen.size - 3, ".a;");
}

static void test_depth_limit(void **state)
{
	char text[1024];
	struct err err = ERR_INIT;
	struct json *v;

	for (int i = 0; i < 256; i++) {
		text[i] = '[';
		text[256 + i] = ']';
	}
	assert_int_equal(json_parse(&arena, text, 512, NULL, &v, NULL), 0);
	memset(text, '[', 257);
	memset(text + 257, ']', 257);
	assert_int_equal(json_parse(&arena, text, 514, NULL, &v, &err), -E2BIG);
	assert_int_equal(err.code, -E2BIG);

	struct json_limits limits = {.depth = 2, .size_bytes = 100};
	assert_int_equal(json_parse(&arena, "[{},{},[]]", 10, &limits, &v, NULL), 0);
	assert_int_equal(json_parse(&arena, "[{\"a\":{}}]", 10, &limits, &v, NULL), -E2BIG);
}

static void test_size_limit(void **state)
{
	struct json_limits limits = {.depth = 9, .size_bytes = 5};
	struct json *v;

	assert_int_equal(json_parse(&arena, "[1,2]", 5, &limits, &v, NULL), 0);
	assert_int_equal(json_parse(&arena, "[1,23]", 6, &limits, &v, NULL), -E2BIG);
}

/* Long flat documents, so that the value stack moves to the heap. */
static void test_many_values(void **state)
{
	_cleanup_(buf_finish) struct buf text = BUF_INIT;
	struct json *v;

	buf_add_char(&text, '[');
	for (int i = 0; i < 100000; i++)
		buf_printf(&text, "%s[%d,\"s%d\"]", i ? "," : "", i, i);
	buf_add_char(&text, ']');
	v = parse(text.data);
	assert_int_equal(json_count(v), 100000);
	for (int i = 0; i < 100000; i += 777) {
		assert_int_equal(json_at(json_at(v, i), 0)->i, i);
		assert_string_equal(
			json_str(json_at(json_at(v, i), 1)), json_new_printf(&arena, "s%d", i)->s);
	}
}

/* The text may go away or change: nothing points into it. */
static void test_text_is_copied(void **state)
{
	char text[] = "{\"name\":\"value\"}";
	struct json *v;

	assert_int_equal(json_parse(&arena, text, sizeof(text) - 1, NULL, &v, NULL), 0);
	memset(text, 'x', sizeof(text));
	assert_string_equal(json_path_str(v, "name"), "value");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accepted),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_truncated),
		cmocka_unit_test(test_errors_tell_the_offset),
		cmocka_unit_test(test_integers),
		cmocka_unit_test(test_strings),
		cmocka_unit_test(test_string_positions),
		cmocka_unit_test(test_duplicates),
		cmocka_unit_test(test_duplicates_in_big_object),
		cmocka_unit_test(test_duplicates_are_told_so_often_only),
		cmocka_unit_test(test_duplicate_path_is_cut),
		cmocka_unit_test(test_depth_limit),
		cmocka_unit_test(test_size_limit),
		cmocka_unit_test(test_many_values),
		cmocka_unit_test(test_text_is_copied),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

#include "lib/json/json.h"
#include "lib/base/random.h"

#include <math.h>
#include <stdio.h>
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

	assert_int_equal(json_parse(&arena, text, strlen(text), NULL, &v, NULL), 0);
	return v;
}

static void test_compact(void **state)
{
	static const char *const texts[] = {"null", "true", "false", "0", "-1", "\"\"", "[]", "{}",
		"[1,\"a\",[],{}]", "{\"b\":1,\"a\":{\"z\":[true,false,null]}}",
		"9223372036854775807", "-9223372036854775808"};

	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		assert_string_equal(json_text(&arena, parse(texts[i])), texts[i]);
}

static void test_pretty(void **state)
{
	_cleanup_(buf_finish) struct buf out = BUF_INIT;

	json_write_pretty(&out, parse("{\"a\":[1,{}],\"b\":[],\"c\":{\"d\":\"e\"}}"));
	assert_string_equal(out.data, "{\n"
				      "  \"a\": [\n"
				      "    1,\n"
				      "    {}\n"
				      "  ],\n"
				      "  \"b\": [],\n"
				      "  \"c\": {\n"
				      "    \"d\": \"e\"\n"
				      "  }\n"
				      "}");
}

static void test_escapes(void **state)
{
	_cleanup_(buf_finish) struct buf out = BUF_INIT;

	json_write_string(&out, "\"\\/\b\f\n\r\t\x01\x1f\x7f\xc3\xa9\0<", 15);
	assert_string_equal(
		out.data, "\"\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\xc3\xa9\\u0000<\"");
}

/* Each byte at each distance from the ends of what is scanned at once. */
static void test_escape_positions(void **state)
{
	for (size_t size = 1; size < 40; size++) {
		for (size_t at = 0; at < size; at++) {
			for (int c = 0; c < 0x80; c++) {
				_cleanup_(buf_finish) struct buf out = BUF_INIT;
				char *s = xmalloc(size);
				struct json *v = NULL;

				if (c >= 0x40 && c != '\\' && c != 0x7f) {
					free(s);
					continue;
				}
				memset(s, 'x', size);
				s[at] = (char)c;
				json_write_string(&out, s, size);
				assert_int_equal(strlen(out.data), out.size);
				assert_int_equal(
					json_parse(&arena, out.data, out.size, NULL, &v, NULL), 0);
				assert_int_equal(v->count, size);
				assert_memory_equal(v->s, s, size);
				arena_reset(&arena);
				free(s);
			}
		}
	}
}

static void test_doubles(void **state)
{
	static const struct {
		double d;
		const char *text;
	} cases[] = {
		{5.0, "5"},
		{-5.0, "-5"},
		{0.0, "0"},
		{-0.0, "-0"},
		{0.1, "0.1"},
		{0.3, "0.3"},
		{0.1 + 0.2, "0.30000000000000004"},
		{1.0 / 3, "0.3333333333333333"},
		{100, "100"},
		{1234.5, "1234.5"},
		{1e20, "100000000000000000000"},
		{123456789012345680000.0, "123456789012345680000"},
		{1e21, "1e+21"},
		{-1e21, "-1e+21"},
		{1.5e300, "1.5e+300"},
		{1e23, "1e+23"},
		{0.000001, "0.000001"},
		{0.00000123, "0.00000123"},
		{0.0000001, "1e-7"},
		{1.25e-9, "1.25e-9"},
		{5e-324, "5e-324"},
		{1.5e-323, "1.5e-323"},
		{2.2250738585072014e-308, "2.2250738585072014e-308"},
		{1.7976931348623157e308, "1.7976931348623157e+308"},
		{9007199254740993.0, "9007199254740992"},
		{0x1p63, "9223372036854776000"},
		{NAN, "null"},
		{INFINITY, "null"},
		{-INFINITY, "null"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_string_equal(
			json_text(&arena, json_new_double(&arena, cases[i].d)), cases[i].text);
}

/* What is written reads back as the same double, and no text with fewer digits does. */
static void test_doubles_round_trip_shortest(void **state)
{
	struct random r = random_seeded(11);

	for (int i = 0; i < 20000; i++) {
		uint64_t bits = random_u64(&r);
		char *text, shorter[40];
		int digits = 0;
		double d;

		if (i % 4 == 0)
			bits &= ~((UINT64_C(1) << 52) - 1); /* a power of two */
		memcpy(&d, &bits, sizeof(d));
		if (!isfinite(d) || d == 0)
			continue;
		text = json_text(&arena, json_new_double(&arena, d));
		assert_true(strtod(text, NULL) == d);
		for (const char *p = text; *p && *p != 'e'; p++)
			digits += *p >= '0' && *p <= '9' && (digits > 0 || *p != '0');
		/* Plain whole numbers may end in zeros that are not digits of the value. */
		if (!strchr(text, '.') && !strchr(text, 'e'))
			continue;
		if (digits > 1) {
			snprintf(shorter, sizeof(shorter), "%.*e", digits - 2, d);
			if (strtod(shorter, NULL) == d)
				fail_msg("%s could be %s", text, shorter);
		}
		arena_reset(&arena);
	}
}

/* A big document, written and parsed, is equal to itself. */
static void test_round_trip(void **state)
{
	struct json *list = json_new_array(&arena), *back = NULL;
	_cleanup_(buf_finish) struct buf out = BUF_INIT;

	for (int i = 0; i < 500; i++) {
		struct json *o = json_new_object(&arena);

		json_set(&arena, o, "name", json_new_printf(&arena, "pod-%d \"\\\n", i));
		json_set_int(&arena, o, "n", i * INT64_C(1234567890123));
		json_set(&arena, o, "d", json_new_double(&arena, i / 7.0));
		json_set_bool(&arena, o, "b", i & 1);
		json_path_set(&arena, o, "metadata.labels.app", json_new_null(&arena));
		json_push(&arena, list, o);
	}
	json_write(&out, list);
	assert_int_equal(json_parse(&arena, out.data, out.size, NULL, &back, NULL), 0);
	assert_true(json_equal(list, back));
	buf_clear(&out);
	json_write_pretty(&out, list);
	assert_int_equal(json_parse(&arena, out.data, out.size, NULL, &back, NULL), 0);
	assert_true(json_equal(list, back));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_compact),
		cmocka_unit_test(test_pretty),
		cmocka_unit_test(test_escapes),
		cmocka_unit_test(test_escape_positions),
		cmocka_unit_test(test_doubles),
		cmocka_unit_test(test_doubles_round_trip_shortest),
		cmocka_unit_test(test_round_trip),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

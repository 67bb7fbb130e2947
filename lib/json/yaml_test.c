#include "lib/json/json.h"

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

/* The YAML's JSON text. */
static const char *as_json(const char *text)
{
	struct json *v = NULL;
	struct err err = ERR_INIT;

	if (yaml_parse(&arena, text, strlen(text), NULL, &v, &err) < 0)
		fail_msg("refused '%s': %s", text, err.msg);
	return json_text(&arena, v);
}

static int parse_code(const char *text)
{
	struct json *v = NULL;
	struct err err = ERR_INIT;
	int r = yaml_parse(&arena, text, strlen(text), NULL, &v, &err);

	assert_int_equal(err.code, r);
	return r;
}

struct pair {
	const char *yaml, *json;
};

static void check(const struct pair *pairs, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		const char *json = as_json(pairs[i].yaml);

		if (strcmp(json, pairs[i].json) != 0)
			fail_msg("'%s' gave %s, not %s", pairs[i].yaml, json, pairs[i].json);
	}
}

static void test_plain_scalars(void **state)
{
	static const struct pair pairs[] = {
		{"y", "true"},
		{"Y", "true"},
		{"yes", "true"},
		{"Yes", "true"},
		{"YES", "true"},
		{"on", "true"},
		{"On", "true"},
		{"ON", "true"},
		{"true", "true"},
		{"True", "true"},
		{"TRUE", "true"},
		{"n", "false"},
		{"N", "false"},
		{"no", "false"},
		{"No", "false"},
		{"NO", "false"},
		{"off", "false"},
		{"Off", "false"},
		{"OFF", "false"},
		{"false", "false"},
		{"False", "false"},
		{"FALSE", "false"},
		{"yES", "\"yES\""},
		{"tRUE", "\"tRUE\""},
		{"oN", "\"oN\""},
		{"~", "null"},
		{"null", "null"},
		{"Null", "null"},
		{"NULL", "null"},
		{"nULL", "\"nULL\""},
		{"", "null"},
		{"0", "0"},
		{"-0", "0"},
		{"+12", "12"},
		{"-12", "-12"},
		{"0x1F", "31"},
		{"0X1f", "31"},
		{"-0x10", "-16"},
		{"0o17", "15"},
		{"017", "15"},
		{"-017", "-15"},
		{"0b101", "5"},
		{"-0b101", "-5"},
		{"08", "8"},
		{"019", "19"},
		{"1_000", "1000"},
		{"0x_ff", "255"},
		{"0xg", "\"0xg\""},
		{"0x", "\"0x\""},
		{"0b2", "\"0b2\""},
		{"9223372036854775807", "9223372036854775807"},
		{"-9223372036854775808", "-9223372036854775808"},
		{"9223372036854775808", "9223372036854776000"},
		{"0xffffffffffffffff", "18446744073709552000"},
		{"1.5", "1.5"},
		{"922337203685477632.0", "922337203685477600"},
		{"5.0", "5"},
		{"1e3", "1000"},
		{"1E3", "1000"},
		{".5", "0.5"},
		{"-.5", "-0.5"},
		{"5.", "5"},
		{"1e21", "1e+21"},
		{"1.2.3", "\"1.2.3\""},
		{"1e", "\"1e\""},
		{"._5", "\"._5\""},
		{".", "\".\""},
		{"-", "[null]"},
		{"+", "\"+\""},
		{"1e999", "\"1e999\""},
		{"100m", "\"100m\""},
		{"1Gi", "\"1Gi\""},
		{"1:30", "\"1:30\""},
		{"190:20:30", "\"190:20:30\""},
		{"2001-12-14", "\"2001-12-14\""},
		{"2001-12-14T21:59:43Z", "\"2001-12-14T21:59:43Z\""},
		{"1-2-3", "\"1-2-3\""},
		{"hello world", "\"hello world\""},
		{"=", "\"=\""},
		{"192.168.0.1", "\"192.168.0.1\""},
		{"1__0", "10"},
		{"_1", "\"_1\""},
	};

	check(pairs, ARRAY_LEN(pairs));
}

static void test_quoted_and_tagged(void **state)
{
	static const struct pair pairs[] = {
		{"'yes'", "\"yes\""},
		{"\"1\"", "\"1\""},
		{"''", "\"\""},
		{"|\n  a\n  b\n", "\"a\\nb\\n\""},
		{">-\n  a\n  b\n", "\"a b\""},
		{"|\n  12\n", "\"12\\n\""},
		{"\"\\u00e9\\n\\0\"", "\"\xc3\xa9\\n\\u0000\""},
		{"!!str 12", "\"12\""},
		{"!!str yes", "\"yes\""},
		{"!!int '12'", "12"},
		{"!!float 3", "3"},
		{"!!bool 'on'", "true"},
		{"!!null ''", "null"},
		{"!!binary aGk=", "\"hi\""},
		{"!!timestamp 2001-12-14", "\"2001-12-14\""},
		{"!mine 12", "\"12\""},
		{"!!map {a: 1}", "{\"a\":1}"},
		{"!!seq [1]", "[1]"},
	};
	static const char *const bad[] = {"!!int x", "!!bool 1", "!!float yes", "!!null x",
		"!!binary '?'", "!!binary /w==", "!!timestamp 12", "!!int 1.5"};

	check(pairs, ARRAY_LEN(pairs));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(parse_code(bad[i]), -EINVAL);
}

static void test_collections(void **state)
{
	static const struct pair pairs[] = {
		{"a: 1\nb:\n- x\n- k: 2\n  z: [1, {q: r}]\nc: {}\nd: []\ne:\n",
			"{\"a\":1,\"b\":[\"x\",{\"k\":2,\"z\":[1,{\"q\":\"r\"}]}],\"c\":{},\"d\":[]"
			","
			"\"e\":null}"},
		{"# only a comment\n", "null"},
		{"{\"json\": [1, true, null, \"x\"]}", "{\"json\":[1,true,null,\"x\"]}"},
		{"%YAML 1.1\n---\na: 1\n...\n", "{\"a\":1}"},
		{"--- 1\n--- 2\n", "1"},
		{"\xef\xbb\xbf"
		 "a: 1",
			"{\"a\":1}"},
	};
	static const char *const bad[] = {"a: b: c", "[1", "{a", "a:\n\t- b", "- a\nb: c", "*x",
		"\"\\ud800\"", "a: \xff", "a: 'x", "%YAML 1.x", "@x", "`x", "a: !<bad", "\x01"};

	check(pairs, ARRAY_LEN(pairs));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		if (parse_code(bad[i]) != -EINVAL)
			fail_msg("accepted '%s'", bad[i]);
}

static void test_keys(void **state)
{
	static const struct pair pairs[] = {
		{"on: 1\nno: 2", "{\"true\":1,\"false\":2}"},
		{"'on': 1", "{\"on\":1}"},
		{"0x10: a\n-1: b", "{\"16\":\"a\",\"-1\":\"b\"}"},
		{"1.5: a\n1000000.0: b\n0.1: c", "{\"1.5\":\"a\",\"1e+06\":\"b\",\"0.1\":\"c\"}"},
		{".inf: a\n.nan: b", "{\".inf\":\"a\",\".nan\":\"b\"}"},
		{"2001-12-14: x", "{\"2001-12-14\":\"x\"}"},
		{"a: &k name\n*k : 1", "{\"a\":\"name\",\"name\":1}"},
	};

	check(pairs, ARRAY_LEN(pairs));
	assert_int_equal(parse_code("~: 1"), -EINVAL);
	assert_int_equal(parse_code("? [a]\n: 1"), -EINVAL);
	assert_int_equal(parse_code("? {a: b}\n: 1"), -EINVAL);
	assert_int_equal(parse_code("a: &k [1]\n*k : 1"), -EINVAL);
}

static void test_not_finite(void **state)
{
	static const char *const bad[] = {".inf", "-.inf", ".nan", "a: .NaN", "[.INF]"};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_int_equal(parse_code(bad[i]), -EINVAL);
}

static void test_aliases(void **state)
{
	static const struct pair pairs[] = {
		{"a: &x {k: 1}\nb: *x", "{\"a\":{\"k\":1},\"b\":{\"k\":1}}"},
		{"[&a 1, &a 2, *a]", "[1,2,2]"},
		{"base: &b {x: 1, z: 2}\nc:\n  <<: *b\n  x: 3",
			"{\"base\":{\"x\":1,\"z\":2},\"c\":{\"x\":3,\"z\":2}}"},
		{"c:\n  x: 3\n  <<: {x: 1, z: 4}", "{\"c\":{\"x\":3,\"z\":4}}"},
		{"<<: [{a: 1}, {a: 2, b: 2}]\nc: 3", "{\"c\":3,\"a\":1,\"b\":2}"},
		{"'<<': 1", "{\"<<\":1}"},
		{"[<<]", "[\"<<\"]"},
	};
	struct json *v;

	check(pairs, ARRAY_LEN(pairs));
	assert_int_equal(parse_code("&a [*a]"), -EINVAL);
	assert_int_equal(parse_code("a: &a {b: *a}"), -EINVAL);
	assert_int_equal(parse_code("[*none]"), -EINVAL);
	assert_int_equal(parse_code("<<: 1"), -EINVAL);
	assert_int_equal(parse_code("<<: [1]"), -EINVAL);
	/* Anchors end with their document. */
	assert_int_equal(yaml_parse_all(&arena, "&a 1\n--- *a", 11, NULL, &v, NULL), -EINVAL);
	/* An alias is a copy: changing one leaves the other. */
	assert_int_equal(yaml_parse(&arena, "a: &x {k: 1}\nb: *x", 18, NULL, &v, NULL), 0);
	json_path_set(&arena, v, "a.k", json_new_int(&arena, 2));
	assert_int_equal(json_path_int(v, "b.k", 0), 1);
}

static void test_alias_bombs(void **state)
{
	_cleanup_(buf_finish) struct buf text = BUF_INIT;
	size_t before;

	/* Ten times ten times ten ... */
	buf_add_str(&text, "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
	for (int i = 1; i < 10; i++) {
		buf_printf(&text, "a%d: &a%d [", i, i);
		for (int k = 0; k < 10; k++)
			buf_printf(&text, "%s*a%d", k ? ", " : "", i - 1);
		buf_add_str(&text, "]\n");
	}
	before = arena.used_bytes;
	assert_int_equal(parse_code(text.data), -E2BIG);
	assert_true(arena.used_bytes - before < 64u << 20);

	/* The same through merges, and one long string many times. */
	buf_clear(&text);
	buf_add_str(&text, "a: &a '");
	for (int i = 0; i < 10000; i++)
		buf_add_str(&text, "0123456789");
	buf_add_str(&text, "'\nb: [");
	for (int i = 0; i < 100; i++)
		buf_add_str(&text, "*a, ");
	buf_add_str(&text, "]\n");
	assert_int_equal(parse_code(text.data), -E2BIG);

	/* Nesting by aliases counts as nesting. */
	buf_clear(&text);
	buf_add_str(&text, "- &a0 [[[[[[[[[[]]]]]]]]]]\n");
	for (int i = 1; i < 40; i++)
		buf_printf(&text, "- &a%d [[[[[[[[[[*a%d]]]]]]]]]]\n", i, i - 1);
	assert_int_equal(parse_code(text.data), -E2BIG);
}

static void test_limits(void **state)
{
	struct json_limits limits = {.depth = 2, .size_bytes = 20};
	char deep[2000];
	struct json *v;

	assert_int_equal(yaml_parse(&arena, "[[1]]", 5, &limits, &v, NULL), 0);
	assert_int_equal(yaml_parse(&arena, "[[[1]]]", 7, &limits, &v, NULL), -E2BIG);
	assert_int_equal(yaml_parse(&arena, "{a: {b: {}}}", 12, &limits, &v, NULL), -E2BIG);
	assert_int_equal(
		yaml_parse(&arena, "aaaaaaaaaaaaaaaaaaaaa", 21, &limits, &v, NULL), -E2BIG);
	memset(deep, '[', 101);
	memset(deep + 101, ']', 101);
	assert_int_equal(yaml_parse(&arena, deep, 202, NULL, &v, NULL), -E2BIG);
	assert_int_equal(yaml_parse(&arena, deep + 1, 200, NULL, &v, NULL), 0);
	memset(deep, '[', sizeof(deep));
	assert_int_equal(yaml_parse(&arena, deep, sizeof(deep), NULL, &v, NULL), -E2BIG);
}

/* libyaml compares each directive with all before it: 3 MiB of them took minutes. */
static void test_tag_directives(void **state)
{
	static const char *const breaks[] = {
		"\n", "\r", "\xc2\x85", "\xe2\x80\xa8", "\xe2\x80\xa9"};

	assert_int_equal(parse_code("%TAG !e! tag:example.com,2000:\n--- !e!x a\n"), 0);
	for (size_t i = 0; i < ARRAY_LEN(breaks); i++) {
		_cleanup_(buf_finish) struct buf text = BUF_INIT;

		for (int k = 0; k < 200000; k++)
			buf_printf(&text, "%%TAG !%d! b%s", k, breaks[i]);
		buf_add_str(&text, "--- a\n");
		assert_int_equal(parse_code(text.data), -E2BIG);
	}
	/* In a text they are nothing. */
	_cleanup_(buf_finish) struct buf text = BUF_INIT;

	buf_add_str(&text, "a: |\n");
	for (int k = 0; k < 1000; k++)
		buf_add_str(&text, "  %TAG ! b\n");
	assert_int_equal(parse_code(text.data), 0);
	/* UTF-16 would hide them; other encodings are not taken. */
	struct json *v;

	assert_int_equal(yaml_parse(&arena, "\xff\xfe-\0 \0a\0", 8, NULL, &v, NULL), -EINVAL);
}

static void collect(void *user, const char *path)
{
	buf_printf(user, "%s;", path);
}

static void test_duplicates(void **state)
{
	_cleanup_(buf_finish) struct buf seen = BUF_INIT;
	struct json_limits limits = JSON_LIMITS_DEFAULT;
	const char *text = "a:\n- b: 1\n- b: 1\n  c: {d: 1, d: 2}\n  b: 3\na: 4\n";
	struct json *v;

	limits.on_duplicate = collect;
	limits.user = &seen;
	assert_int_equal(yaml_parse(&arena, text, strlen(text), &limits, &v, NULL), 0);
	assert_string_equal(seen.data, "a[1].c.d;a[1].b;a;");
	assert_string_equal(json_text(&arena, v), "{\"a\":4}");
}

static void test_streams(void **state)
{
	static const struct pair pairs[] = {
		{"", "[]"},
		{"---\n---\n", "[]"},
		{"a: 1\n---\n# nothing\n---\nb: 2\n...\n---\n- c\n",
			"[{\"a\":1},{\"b\":2},[\"c\"]]"},
		{"--- ~\n--- 0\n", "[0]"},
	};
	struct json *v;

	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		assert_int_equal(yaml_parse_all(&arena, pairs[i].yaml, strlen(pairs[i].yaml), NULL,
					 &v, NULL),
			0);
		assert_string_equal(json_text(&arena, v), pairs[i].json);
	}
	assert_int_equal(yaml_parse_all(&arena, "a: 1\n--- [", 10, NULL, &v, NULL), -EINVAL);
}

static void test_error_position(void **state)
{
	struct err err = ERR_INIT;
	struct json *v;

	assert_int_equal(yaml_parse(&arena, "a: 1\nb: *none\n", 14, NULL, &v, &err), -EINVAL);
	assert_string_equal(err.msg, "line 2, column 4: unknown anchor");
}

static const char *as_yaml(const struct json *v)
{
	_cleanup_(buf_finish) struct buf out = BUF_INIT;

	yaml_write(&out, v);
	return arena_strdup(&arena, out.data);
}

static void test_write(void **state)
{
	const char *text = "apiVersion: v1\n"
			   "kind: Pod\n"
			   "metadata:\n"
			   "  annotations:\n"
			   "    a: \"true\"\n"
			   "    \"on\": \"12\"\n"
			   "    t: \"2001-12-14T00:00:00Z\"\n"
			   "  labels: {}\n"
			   "spec:\n"
			   "  containers:\n"
			   "  - args:\n"
			   "    - --x=1\n"
			   "    - |\n"
			   "      line 1\n"
			   "      line 2\n"
			   "    image: nginx:1.2\n"
			   "    ports: []\n"
			   "  k: 5\n"
			   "  f: 0.5\n"
			   "  z: null\n";
	struct json *v;

	assert_int_equal(yaml_parse(&arena, text, strlen(text), NULL, &v, NULL), 0);
	assert_string_equal(as_yaml(v), text);
}

/* Every string comes back as that string. */
static void test_write_round_trip(void **state)
{
	static const char *const strings[] = {"", " ", "a", "yes", "Yes", "n", "null", "~", "1",
		"1.5", "0x1f", "1_000", "1:30", "12:30:45", ".inf", ".nan", "-", "- a", "a: b",
		"a #b", "#a", "@a", "`a", "%a", "&a", "*a", "!a", "|", ">", "'", "\"", "{", "[",
		"}", "]", ",", "?", "? a", ":", ":a", "a:", "<<", "=", "a\n", "\na", "a\n\n",
		"a\nb", " a\nb", "a \nb", "\ta", "a\tb", "a\t\nb", "\r\n", "\x01", "\x7f",
		"\xc2\x85", "\xe2\x80\xa8", "\xef\xbb\xbf", "\xc3\xa9", "\xf0\x9f\x98\x80", "---",
		"...", "--- a", "2001-12-14", "2001-1-1 1:2:3", "08", "0o7", "+1", "1e3", "1e999",
		"trailing ", "\\", "a\\nb", "\n", "\n\n", " \n", "a\n b\n  c", "key: |\n  x"};

	for (size_t i = 0; i < ARRAY_LEN(strings); i++) {
		struct json *v = json_new_object(&arena), *list = json_array_at(&arena, v, "list");
		struct json *back = NULL;
		struct err err = ERR_INIT;
		const char *text;

		json_push(&arena, list, json_new_string(&arena, strings[i]));
		json_set_str(&arena, v, "value", strings[i]);
		json_set_str(&arena, v, strings[i], "key");
		for (int root = 0; root < 2; root++) {
			const struct json *from = root ? json_get(v, "value") : v;

			text = as_yaml(from);
			if (yaml_parse(&arena, text, strlen(text), NULL, &back, &err) < 0)
				fail_msg("%s: '%s'", err.msg, text);
			if (!json_equal(from, back))
				fail_msg("'%s' came back as %s", text, json_text(&arena, back));
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain_scalars),
		cmocka_unit_test(test_quoted_and_tagged),
		cmocka_unit_test(test_collections),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_not_finite),
		cmocka_unit_test(test_aliases),
		cmocka_unit_test(test_alias_bombs),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_tag_directives),
		cmocka_unit_test(test_duplicates),
		cmocka_unit_test(test_streams),
		cmocka_unit_test(test_error_position),
		cmocka_unit_test(test_write),
		cmocka_unit_test(test_write_round_trip),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

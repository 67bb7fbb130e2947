/* json_suite_test.c - the parser against RFC 8259 by classes of texts: what every parser must take
 * and what it becomes, what every parser must refuse, and what the RFC leaves open and this parser
 * decides. The texts of json_parse_test.c are about this parser's own paths; these are about the
 * language. */
#include "lib/json/json.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

struct taken {
	const char *text;
	size_t size;
	const char *written; /* compact, of the same value */
};
struct refused {
	const char *text;
	size_t size;
};
/* clang-format off */
#define Y(text, written) {text, sizeof(text) - 1, written}
#define N(text) {text, sizeof(text) - 1}
/* clang-format on */

static const struct taken numbers[] = {
	Y("0", "0"),
	Y("-0", "0"),
	Y("7", "7"),
	Y("-7", "-7"),
	Y("10", "10"),
	Y("100", "100"),
	Y("1234567890", "1234567890"),
	Y("4294967296", "4294967296"),
	Y("-2147483649", "-2147483649"),
	Y("9007199254740992", "9007199254740992"),
	Y("9007199254740993", "9007199254740993"),
	Y("9223372036854775807", "9223372036854775807"),
	Y("-9223372036854775808", "-9223372036854775808"),
	Y("0.5", "0.5"),
	Y("-0.5", "-0.5"),
	Y("0.25", "0.25"),
	Y("1.5", "1.5"),
	Y("10.125", "10.125"),
	Y("-123.75", "-123.75"),
	Y("1.50", "1.5"),
	Y("0.50000", "0.5"),
	Y("0.1", "0.1"),
	Y("3.141592653589793", "3.141592653589793"),
	Y("1e-1", "0.1"),
	Y("1E-1", "0.1"),
	Y("5e-1", "0.5"),
	Y("5E-01", "0.5"),
	Y("25e-2", "0.25"),
	Y("0.5e0", "0.5"),
	Y("0.5E+0", "0.5"),
	Y("0.5e-00", "0.5"),
	Y("0.05e1", "0.5"),
	Y("0.005E2", "0.5"),
	Y("-0.05e+1", "-0.5"),
	Y("1250e-3", "1.25"),
	Y("12.5e-1", "1.25"),
};

static const struct taken strings[] = {
	Y("\"\"", "\"\""),
	Y("\" \"", "\" \""),
	Y("\"a\"", "\"a\""),
	Y("\"\\\"\"", "\"\\\"\""),
	Y("\"\\\\\"", "\"\\\\\""),
	Y("\"\\/\"", "\"/\""),
	Y("\"/\"", "\"/\""),
	Y("\"\\n\"", "\"\\n\""),
	Y("\"\\r\"", "\"\\r\""),
	Y("\"\\t\"", "\"\\t\""),
	Y("\"\\u000a\"", "\"\\n\""),
	Y("\"\\u0022\"", "\"\\\"\""),
	Y("\"\\u005c\"", "\"\\\\\""),
	Y("\"\\u005C\"", "\"\\\\\""),
	Y("\"\\u002f\"", "\"/\""),
	Y("\"\\u0041\"", "\"A\""),
	Y("\"\\\\u0041\"", "\"\\\\u0041\""),
	Y("\"\\\\\\u0041\"", "\"\\\\A\""),
	Y("\"\\u00e9\"", "\"\xc3\xa9\""),
	Y("\"\\u00E9\"", "\"\xc3\xa9\""),
	Y("\"\\u0080\"", "\"\xc2\x80\""),
	Y("\"\\u07ff\"", "\"\xdf\xbf\""),
	Y("\"\\u0800\"", "\"\xe0\xa0\x80\""),
	Y("\"\\u20ac\"", "\"\xe2\x82\xac\""),
	Y("\"\\ud7ff\"", "\"\xed\x9f\xbf\""),
	Y("\"\\ue000\"", "\"\xee\x80\x80\""),
	Y("\"\\ufffd\"", "\"\xef\xbf\xbd\""),
	Y("\"\\ufffe\"", "\"\xef\xbf\xbe\""),
	Y("\"\\uffff\"", "\"\xef\xbf\xbf\""),
	Y("\"\\ufeff\"", "\"\xef\xbb\xbf\""),
	Y("\"\xef\xbb\xbf\"", "\"\xef\xbb\xbf\""),
	Y("\"\\ud800\\udc00\"", "\"\xf0\x90\x80\x80\""),
	Y("\"\\udbff\\udfff\"", "\"\xf4\x8f\xbf\xbf\""),
	Y("\"\\uD83D\\uDE00\"", "\"\xf0\x9f\x98\x80\""),
	Y("\"\\ud83D\\uDe00!\"", "\"\xf0\x9f\x98\x80!\""),
	Y("\"\xc2\x80\"", "\"\xc2\x80\""),
	Y("\"\xdf\xbf\"", "\"\xdf\xbf\""),
	Y("\"\xe0\xa0\x80\"", "\"\xe0\xa0\x80\""),
	Y("\"\xed\x9f\xbf\"", "\"\xed\x9f\xbf\""),
	Y("\"\xee\x80\x80\"", "\"\xee\x80\x80\""),
	Y("\"\xef\xbf\xbf\"", "\"\xef\xbf\xbf\""),
	Y("\"\xf0\x90\x80\x80\"", "\"\xf0\x90\x80\x80\""),
	Y("\"\xf3\xbf\xbf\xbf\"", "\"\xf3\xbf\xbf\xbf\""),
	Y("\"\xf4\x8f\xbf\xbf\"", "\"\xf4\x8f\xbf\xbf\""),
	Y("\"\x7f\"", "\"\x7f\""),
	Y("\"[1,2]\"", "\"[1,2]\""),
	Y("\"{}:,\"", "\"{}:,\""),
	Y("\"null\"", "\"null\""),
	Y("\"// #\"", "\"// #\""),
};

static const struct taken structures[] = {
	Y("null", "null"),
	Y("true", "true"),
	Y("false", "false"),
	Y("[]", "[]"),
	Y("{}", "{}"),
	Y(" []", "[]"),
	Y("[] ", "[]"),
	Y("[ ]", "[]"),
	Y("\t[\t]\t", "[]"),
	Y("\r\n[\r\n]\r\n", "[]"),
	Y("{\n}", "{}"),
	Y(" \n\r\t1 \n\r\t", "1"),
	Y("\n\"a\"\n", "\"a\""),
	Y("[null]", "[null]"),
	Y("[true,false,null]", "[true,false,null]"),
	Y("[1,\n2\r,\t3 ]", "[1,2,3]"),
	Y("[[]]", "[[]]"),
	Y("[[],[]]", "[[],[]]"),
	Y("[[],{}]", "[[],{}]"),
	Y("[{}]", "[{}]"),
	Y("[\"\"]", "[\"\"]"),
	Y("[1,null,null,null,2]", "[1,null,null,null,2]"),
	Y("{\"a\":null}", "{\"a\":null}"),
	Y("{\"a\":[]}", "{\"a\":[]}"),
	Y("{\"a\":{}}", "{\"a\":{}}"),
	Y("{\"a\":{\"a\":{\"a\":{}}}}", "{\"a\":{\"a\":{\"a\":{}}}}"),
	Y("{\"a\" : 1 , \"b\" : 2}", "{\"a\":1,\"b\":2}"),
	Y("{\"b\":1,\"a\":2}", "{\"b\":1,\"a\":2}"),
	Y("{\"\":1}", "{\"\":1}"),
	Y("{\"\":{\"\":[]}}", "{\"\":{\"\":[]}}"),
	Y("{\" \":1}", "{\" \":1}"),
	Y("{\"\\u0061\":1}", "{\"a\":1}"),
	Y("{\"\xc3\xa9\":1}", "{\"\xc3\xa9\":1}"),
	Y("{\"a.b\":{\"c[0]\":1}}", "{\"a.b\":{\"c[0]\":1}}"),
	Y("{\"a\":\"b\",\"b\":\"a\"}", "{\"a\":\"b\",\"b\":\"a\"}"),
	/* Duplicates: the last one wins and stands where the first stood. */
	Y("{\"a\":1,\"a\":2}", "{\"a\":2}"),
	Y("{\"a\":1,\"a\":1}", "{\"a\":1}"),
	Y("{\"a\":1,\"b\":2,\"a\":{}}", "{\"a\":{},\"b\":2}"),
	Y("{\"a\":1,\"\\u0061\":2}", "{\"a\":2}"),
	Y("{\"\":1,\"\":2}", "{\"\":2}"),
	Y("{\"a\":1,\"A\":2}", "{\"a\":1,\"A\":2}"),
};

/* clang-format off */
static const struct refused bad_numbers[] = {
	N("+0"), N("+1"), N("++1"), N("-+1"), N("+-1"), N("--1"), N("-"), N("- 1"), N("[-]"),
	N("[- 1]"), N("00"), N("01"), N("-00"), N("-01"), N("000"), N("00.5"), N("-00.5"),
	N("01e1"), N("[1,02]"), N("{\"a\":03}"), N("."), N(".0"), N(".5"), N("-.5"), N(".e1"),
	N("1."), N("-1."), N("0."), N("1.e1"), N("1.E+1"), N("1.-1"), N("1..2"), N("1.2."),
	N("1.2.3"), N("1e"), N("1E"), N("1e+"), N("1e-"), N("1E+"), N("1.5e"), N("1e1.5"),
	N("1e1e1"), N("1e+-1"), N("1e 1"), N("1 e1"), N("e1"), N("1f"), N("1d"), N("1L"), N("0x"),
	N("0x0"), N("0xA"), N("-0x1"), N("0b1"), N("0o7"), N("1,000"), N("1'000"), N("1_0"),
	N("1/2"), N("1%"), N("$1"), N("1-1"), N("NaN"), N("[NaN]"), N("nan"), N("-NaN"), N("Inf"),
	N("inf"), N("Infinity"), N("+Infinity"), N("-Infinity"), N("[-Infinity]"), N("1\xc2\xb2"),
	N("\xd9\xa1"), N("\xef\xbc\x91"), N("1\xe2\x82"),
};

static const struct refused bad_structures[] = {
	N(""), N(" "), N("\n"), N("\t\r\n "), N(","), N(":"), N("]"), N("}"), N("["), N("{"),
	N("[["), N("[]]"), N("{}}"), N("[}"), N("{]"), N("[{]}"), N("{[}]"), N("[,"), N("[,]"),
	N("[,,]"), N("[1,]"), N("[1,,]"), N("[,1]"), N("[1,,1]"), N("[1 1]"), N("[1\n1]"),
	N("[1;2]"), N("[1:2]"), N("[\"a\":1]"), N("[\"a\",]"), N("[null,]"), N("[[],]"), N("[1, ]"),
	N("[] []"), N("[],"), N("[];"), N("[]#"), N("[]//"), N("[] null"), N("1,2"), N("1,"),
	N("1]"), N("1}"), N("\"a\"\"b\""), N("\"a\",\"b\""), N("\"a\":1"), N("{},{}"), N("{} x"),
	N("{,}"), N("{\"a\"}"), N("{\"a\":}"), N("{\"a\":1,}"), N("{\"a\":1,,}"),
	N("{\"a\":1,,\"b\":2}"), N("{\"a\" \"b\"}"), N("{\"a\",\"b\"}"), N("{\"a\"=1}"),
	N("{\"a\"=>1}"), N("{\"a\"::1}"), N("{\"a\":1:2}"), N("{\"a\":1 \"b\":2}"),
	N("{\"a\":1;\"b\":2}"), N("{\"a\":1]"), N("{:1}"), N("{1:2}"), N("{1}"), N("{a:1}"),
	N("{a}"), N("{$a:1}"), N("{'a':1}"), N("{`a`:1}"), N("{true:1}"), N("{null:1}"),
	N("{[]:1}"), N("{{}:1}"), N("{\"a\":a}"), N("{\"a\":'b'}"), N("['a']"), N("'a'"), N("'"),
	N("[a]"), N("[\"a\" + \"b\"]"), N("...[]"), N("[...]"), N("(1)"), N("<a>"), N("*"),
	N("[*]"), N("\\u0031"), N("[\\u0031]"), N("\\"), N("@"), N("n"), N("nu"), N("nul"),
	N("nulll"), N("Null"), N("NULL"), N("t"), N("tru"), N("truth"), N("True"), N("TRUE"),
	N("f"), N("fals"), N("falsey"), N("False"), N("[nul]"), N("[tru]"), N("[fals]"),
	N("[truefalse]"), N("[true false]"), N("undefined"), N("None"), N("yes"), N("//\n1"),
	N("/**/1"), N("/* a */"), N("[1/**/]"), N("[1//\n]"), N("[/*,*/1]"), N("{/**/}"),
	N("{\"a\"/**/:1}"), N("{\"a\":/**/1}"), N("# 1"), N("--1"), N("1 // one"), N("1 # one"),
	N("<!-- -->1"), N("\xef\xbb\xbf"), N("\xef\xbb\xbf[]"), N("\xef\xbb\xbf\"a\""),
	N("[\xef\xbb\xbf]"), N("[]\xef\xbb\xbf"), N("\xef\xbb{}"), N("\xfe\xff\0["),
	N("\xff\xfe[\0"), N("[\0"), N("\0["), N("[\0]"), N("[]\0"), N("{\"a\"\0:1}"), N("\f[]"),
	N("[]\f"), N("\v1"), N("[\b]"), N("[\x7f]"), N("[\x01]"), N("\x1b[0m"), N("[\xc2\x85]"),
	N("[\xc2\xa0]"), N("[\xe2\x80\x83]"), N("[\xe2\x80\xa8]"), N("[\xe2\x80\x8b]"),
	N("[\xe3\x80\x80]"), N("[\xff]"), N("\xc3\xa9"),
};

static const struct refused bad_strings[] = {
	N("\""), N("\"a"), N("a\""), N("\"\"\""), N("\"\\\""), N("\"\\"), N("\"\\\\\\\""),
	N("\"\\ \""), N("\"\\a\""), N("\"\\e\""), N("\"\\v\""), N("\"\\x\""), N("\"\\x00\""),
	N("\"\\0\""), N("\"\\1\""), N("\"\\101\""), N("\"\\'\""), N("\"\\`\""), N("\"\\N\""),
	N("\"\\B\""), N("\"\\T\""), N("\"\\\n\""), N("\"\\\t\""), N("\"\\\0\""),
	N("\"\\\xc3\xa9\""), N("\"\\u\""), N("\"\\u0\""), N("\"\\u00\""), N("\"\\u004\""),
	N("\"\\u004"), N("\"\\u 041\""), N("\"\\u0 41\""), N("\"\\u004g\""), N("\"\\u+041\""),
	N("\"\\u-041\""), N("\"\\u0x41\""), N("\"\\u{41}\""), N("\"\\U0041\""), N("\"\\u\\u0041\""),
	N("\"\\uFFF\""),
	N("\"\\u\xc3\xa9"
	  "41\""),
	N("[\"a\nb\"]"), N("[\"a\rb\"]"), N("[\"a\tb\"]"), N("{\"a\n\":1}"), N("{\"a\":\"b}"),
	N("{\"a:1}"), N("{a\":1}"), N("{\"\\q\":1}"), N("{\"\xff\":1}"),
	/* halves of pairs, in escapes: refused, as the text could not be written as UTF-8 */
	N("\"\\ud800\""), N("\"\\udbff\""), N("\"\\udc00\""), N("\"\\udfff\""), N("\"\\uD800\""),
	N("\"a\\ud800b\""), N("\"\\ud800\\ud800\""), N("\"\\udc00\\ud800\""),
	N("\"\\udc00\\udc00\""), N("\"\\ud800\\u0041\""), N("\"\\ud800\\ue000\""),
	N("\"\\ud800\\udbff\""), N("\"\\ud800\\\""), N("\"\\ud800\\n\""), N("\"\\ud800\\\\udc00\""),
	N("\"\\ud800 \\udc00\""), N("\"\\ud800\\udc0\""), N("\"\\ud800\\udc0g\""),
	N("\"\\ud800udc00\""), N("{\"\\ud800\":1}"), N("[\"\\ud83d\",\"\\ude00\"]"),
	/* the same in UTF-8 */
	N("\"\xed\xa0\x80\""), N("\"\xed\xaf\xbf\""), N("\"\xed\xb0\x80\""), N("\"\xed\xbf\xbf\""),
	N("\"\xed\xa0\x80\xed\xb0\x80\""), N("\"\\ud800\xed\xb0\x80\""),
	/* overlong forms */
	N("\"\xc0\x80\""), N("\"\xc0\xa2\""), N("\"\xc1\x81\""), N("\"\xc1\xbf\""),
	N("\"\xe0\x80\x80\""), N("\"\xe0\x81\x81\""), N("\"\xe0\x9f\xbf\""),
	N("\"\xf0\x80\x80\x80\""), N("\"\xf0\x80\x81\x81\""), N("\"\xf0\x8f\xbf\xbf\""),
	/* beyond U+10FFFF, and bytes that UTF-8 does not have */
	N("\"\xf4\x90\x80\x80\""), N("\"\xf4\xbf\xbf\xbf\""), N("\"\xf5\x80\x80\x80\""),
	N("\"\xf7\xbf\xbf\xbf\""), N("\"\xf8\x88\x80\x80\x80\""), N("\"\xfc\x84\x80\x80\x80\x80\""),
	N("\"\xfe\""), N("\"\xff\""), N("\"\xff\xff\""),
	/* lone and missing continuation bytes */
	N("\"\x80\""), N("\"a\xbf\""), N("\"\x80\x80\""), N("\"\xc3\xa9\xa9\""), N("\"\xc3\""),
	N("\"\xc3(\""), N("\"\xc3\xc3\""), N("\"\xe2\""), N("\"\xe2\x82\""), N("\"\xe2(\xa1\""),
	N("\"\xe2\x82(\""), N("\"\xf0\x9f\""), N("\"\xf0\x9f\x98\""), N("\"\xf0(\x8c\xbc\""),
	N("\"\xf0\x90(\xbc\""), N("\"\xf0\x90\x8c(\""), N("\"\xe9\""), N("\"caf\xe9 noir\""),
	N("\"\xc3"), N("\"\xf0\x9f\x98"),
};

/* clang-format on */

static int parse(struct arena *a, const char *text, size_t size, struct json **ret, struct err *err)
{
	/* With no byte behind it, so that ASan sees who reads on. */
	char *exact = xmalloc(size ? size : 1);
	memcpy(exact, text, size);
	int r = json_parse(a, exact, size, NULL, ret, err);
	free(exact);
	return r;
}

static void check_taken(const char *text, size_t size, const char *written)
{
	struct arena a = ARENA_INIT;
	struct err err = ERR_INIT;
	struct json *v = NULL, *again = NULL;
	if (parse(&a, text, size, &v, &err) < 0)
		fail_msg("refused '%s': %s", text, err.msg);
	const char *got = json_text(&a, v);
	if (!streq(got, written))
		fail_msg("'%s' became '%s', not '%s'", text, got, written);
	/* What is written is the same value. */
	assert_int_equal(parse(&a, got, strlen(got), &again, &err), 0);
	assert_true(json_equal(v, again));
	arena_finish(&a);
}

static void check_refused(const char *text, size_t size)
{
	struct arena a = ARENA_INIT;
	struct err err = ERR_INIT;
	struct json *v = NULL;
	int r = parse(&a, text, size, &v, &err);
	if (r != -EINVAL)
		fail_msg("'%.*s' gave %d", (int)size, text, r);
	assert_null(v);
	size_t offset;
	assert_int_equal(sscanf(err.msg, "offset %zu: ", &offset), 1);
	if (offset > size)
		fail_msg("'%.*s': %s", (int)size, text, err.msg);
	arena_finish(&a);
}

#define CHECK_TAKEN(table)                                                                         \
	for (size_t i = 0; i < ARRAY_LEN(table); i++)                                              \
	check_taken((table)[i].text, (table)[i].size, (table)[i].written)
#define CHECK_REFUSED(table)                                                                       \
	for (size_t i = 0; i < ARRAY_LEN(table); i++)                                              \
	check_refused((table)[i].text, (table)[i].size)

static void test_taken(void **state)
{
	CHECK_TAKEN(numbers);
	CHECK_TAKEN(strings);
	CHECK_TAKEN(structures);
}

/* Every value that stands alone also stands in an array, in an object and among whitespace. */
static void test_taken_within_others(void **state)
{
	static const struct {
		const char *before, *after;
	} around[] = {{"[", "]"}, {"{\"a\":", "}"}, {"[0,", ",0]"}, {"[[", "]]"}};
	static const struct {
		const struct taken *rows;
		size_t count;
	} tables[] = {{numbers, ARRAY_LEN(numbers)}, {strings, ARRAY_LEN(strings)},
		{structures, ARRAY_LEN(structures)}};
	for (size_t t = 0; t < ARRAY_LEN(tables); t++) {
		for (size_t i = 0; i < tables[t].count; i++) {
			const struct taken *row = &tables[t].rows[i];
			for (size_t w = 0; w < ARRAY_LEN(around); w++) {
				struct arena a = ARENA_INIT;
				const char *text = arena_printf(&a, "%s %s\n%s", around[w].before,
					row->text, around[w].after);
				check_taken(text, strlen(text),
					arena_printf(&a, "%s%s%s", around[w].before, row->written,
						around[w].after));
				arena_finish(&a);
			}
		}
	}
}

static void test_refused(void **state)
{
	CHECK_REFUSED(bad_numbers);
	CHECK_REFUSED(bad_structures);
	CHECK_REFUSED(bad_strings);
}

/* Of a value that begins with a bracket or a quote, every true beginning is refused, and so is
 * everything right behind its end. */
static void test_cut_and_followed(void **state)
{
	for (size_t i = 0; i < ARRAY_LEN(structures) + ARRAY_LEN(strings); i++) {
		const struct taken *row = i < ARRAY_LEN(structures)
						  ? &structures[i]
						  : &strings[i - ARRAY_LEN(structures)];
		const char *text = row->text;
		if (!strchr("[{\"", text[0]) || text[row->size - 1] == ' ')
			continue;
		for (size_t size = 0; size < row->size; size++)
			check_refused(text, size);
		static const char *const behind[] = {",", ":", "]", "}", "0", "\"", "null", "[]",
			"{}", "\\", "/", "#", "'", "\xff"};
		for (size_t b = 0; b < ARRAY_LEN(behind); b++) {
			struct arena a = ARENA_INIT;
			const char *longer = arena_printf(&a, "%s%s", text, behind[b]);
			check_refused(longer, strlen(longer));
			arena_finish(&a);
		}
	}
}

/* All of them, in a string, in a name and between values. */
static void test_control_characters(void **state)
{
	for (int c = 0; c < 0x20; c++) {
		const char in_string[] = {'"', 'a', (char)c, 'b', '"'};
		const char in_name[] = {'{', '"', (char)c, '"', ':', '1', '}'};
		const char between[] = {'[', (char)c, '1', ']'};
		check_refused(in_string, sizeof(in_string));
		check_refused(in_name, sizeof(in_name));
		if (c != '\t' && c != '\n' && c != '\r')
			check_refused(between, sizeof(between));
		/* Escaped they are welcome. */
		char escaped[16];
		snprintf(escaped, sizeof(escaped), "\"\\u%04x\"", (unsigned)c);
		struct arena a = ARENA_INIT;
		struct json *v;
		assert_int_equal(parse(&a, escaped, strlen(escaped), &v, NULL), 0);
		assert_int_equal(v->count, 1);
		assert_int_equal(v->s[0], c);
		arena_finish(&a);
	}
}

/* Of the characters behind a backslash, nine mean something, and u wants more. */
static void test_escapes(void **state)
{
	static const char letters[] = "\"\\/bfnrt", meaning[] = "\"\\/\b\f\n\r\t";
	for (int c = 0; c < 256; c++) {
		const char text[] = {'"', '\\', (char)c, '"'};
		const char *known = c ? strchr(letters, c) : NULL;
		if (!known) {
			check_refused(text, sizeof(text));
			continue;
		}
		struct arena a = ARENA_INIT;
		struct json *v;
		assert_int_equal(parse(&a, text, sizeof(text), &v, NULL), 0);
		assert_int_equal(v->count, 1);
		assert_int_equal(v->s[0], meaning[known - letters]);
		arena_finish(&a);
	}
}

static char *nested(size_t depth, const char *open, const char *inner, const char *close)
{
	size_t o = strlen(open), c = strlen(close), n = strlen(inner);
	char *text = xmalloc(depth * (o + c) + n + 1), *p = text;
	for (size_t i = 0; i < depth; i++)
		p = mempcpy(p, open, o);
	p = mempcpy(p, inner, n);
	for (size_t i = 0; i < depth; i++)
		p = mempcpy(p, close, c);
	*p = '\0';
	return text;
}

static int parse_nested(size_t depth, const char *open, const char *inner, const char *close)
{
	struct arena a = ARENA_INIT;
	struct json *v = NULL;
	char *text = nested(depth, open, inner, close);
	int r = parse(&a, text, strlen(text), &v, NULL);
	if (r == 0) {
		const char *written = json_text(&a, v);
		assert_string_equal(written, text);
	}
	free(text);
	arena_finish(&a);
	return r;
}

/* The RFC lets a parser limit the depth. Ours takes 256, and whatever is deeper costs no stack,
 * closed or not. */
static void test_depth(void **state)
{
	static const struct {
		const char *open, *inner, *close;
	} forms[] = {{"[", "1", "]"}, {"{\"a\":", "1", "}"}, {"[0,", "[]", ",0]"}};
	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
		const char *open = forms[i].open, *close = forms[i].close;
		assert_int_equal(parse_nested(100, open, "1", close), 0);
		assert_int_equal(parse_nested(256, open, "1", close), 0);
		assert_int_equal(parse_nested(257, open, "1", close), -E2BIG);
		assert_int_equal(parse_nested(100000, open, "1", close), -E2BIG);
		assert_int_equal(parse_nested(100000, open, "", ""), -E2BIG);
		assert_int_equal(parse_nested(256, open, "1", ""), -EINVAL);
		assert_int_equal(parse_nested(256, open, "", ""), -EINVAL);
	}
	assert_int_equal(parse_nested(100000, "", "", "]"), -EINVAL);
	assert_int_equal(parse_nested(100000, "[],", "1", ""), -EINVAL);
}

/* What the RFC leaves to the parser. */
static void test_left_open(void **state)
{
	static const struct {
		const char *text;
		int r;
		const char *written; /* NULL when refused */
	} rows[] = {
		/* More than a double can hold is refused: it could not be written again. */
		{"1e309", -EINVAL, NULL},
		{"-1e309", -EINVAL, NULL},
		{"1e400", -EINVAL, NULL},
		{"123.456e78999", -EINVAL, NULL},
		{"0.4e00669999999999999999999999999999999999999999999999969999999006", -EINVAL,
			NULL},
		{"1e+99999999999999999999999999", -EINVAL, NULL},
		/* Less than it can hold is nothing, and so is nothing of any size. */
		{"1e-400", 0, "0"},
		{"123e-10000000", 0, "0"},
		{"1e-99999999999999999999999999", 0, "0"},
		{"0e99999999999999999999999999", 0, "0"},
		{"0.0e400", 0, "0"},
		/* Integers beyond int64 are doubles. */
		{"9223372036854775808", 0, "9223372036854776000"},
		{"-9223372036854775809", 0, "-9223372036854776000"},
		{"18446744073709551616", 0, "18446744073709552000"},
		{"100000000000000000000", 0, "100000000000000000000"},
		{"1e20", 0, "100000000000000000000"},
		/* Noncharacters are characters. */
		{"\"\xef\xb7\x90\"", 0, "\"\xef\xb7\x90\""},
		{"\"\xf0\x9f\xbf\xbf\"", 0, "\"\xf0\x9f\xbf\xbf\""},
		{"\"\\udbff\\udffe\"", 0, "\"\xf4\x8f\xbf\xbe\""},
	};
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (rows[i].r == 0)
			check_taken(rows[i].text, strlen(rows[i].text), rows[i].written);
		else
			check_refused(rows[i].text, strlen(rows[i].text));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_taken),
		cmocka_unit_test(test_taken_within_others),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_cut_and_followed),
		cmocka_unit_test(test_control_characters),
		cmocka_unit_test(test_escapes),
		cmocka_unit_test(test_depth),
		cmocka_unit_test(test_left_open),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "lib/base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void test_compare(void **state)
{
	assert_true(str_eq(STR("abc"), "abc"));
	assert_false(str_eq(STR("ab"), "abc"));
	assert_false(str_eq(STR("abcd"), "abc"));
	assert_true(str_eq(str_from(NULL), ""));
	assert_true(streq(NULL, NULL));
	assert_false(streq(NULL, ""));
	assert_false(streq("", NULL));
	assert_true(str_has_prefix("kube-system", "kube-"));
	assert_false(str_has_prefix("kub", "kube-"));
	assert_true(str_has_suffix("a.yaml", ".yaml"));
	assert_false(str_has_suffix("yaml", ".yaml"));
}

static void test_split(void **state)
{
	struct str rest = STR("a,,b"), part;

	assert_true(str_split(&rest, ',', &part) && str_eq(part, "a"));
	assert_true(str_split(&rest, ',', &part) && str_eq(part, ""));
	assert_true(str_split(&rest, ',', &part) && str_eq(part, "b"));
	assert_false(str_split(&rest, ',', &part));
	rest = STR("a,");
	assert_true(str_split(&rest, ',', &part) && str_eq(part, "a"));
	assert_true(str_split(&rest, ',', &part) && str_eq(part, ""));
	assert_false(str_split(&rest, ',', &part));
	rest = STR("");
	assert_true(str_split(&rest, ',', &part) && str_eq(part, ""));
	assert_false(str_split(&rest, ',', &part));
}

static void test_parse_u64(void **state)
{
	static const struct {
		const char *text;
		int r;
		uint64_t n;
	} cases[] = {
		{"0", 0, 0},
		{"007", 0, 7},
		{"18446744073709551615", 0, UINT64_MAX},
		{"18446744073709551616", -ERANGE, 0},
		{"99999999999999999999999", -ERANGE, 0},
		{"99999999999999999999999x", -EINVAL, 0},
		{"", -EINVAL, 0},
		{"-1", -EINVAL, 0},
		{"+1", -EINVAL, 0},
		{" 1", -EINVAL, 0},
		{"1 ", -EINVAL, 0},
		{"0x1", -EINVAL, 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		uint64_t n = 0;

		assert_int_equal(parse_u64(str_from(cases[i].text), &n), cases[i].r);
		assert_int_equal(n, cases[i].n);
	}
}

static void test_parse_i64(void **state)
{
	static const struct {
		const char *text;
		int r;
		int64_t n;
	} cases[] = {
		{"9223372036854775807", 0, INT64_MAX},
		{"9223372036854775808", -ERANGE, 0},
		{"-9223372036854775808", 0, INT64_MIN},
		{"-9223372036854775809", -ERANGE, 0},
		{"-0", 0, 0},
		{"+5", 0, 5},
		{"-", -EINVAL, 0},
		{"--1", -EINVAL, 0},
		{"1.0", -EINVAL, 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		int64_t n = 0;

		assert_int_equal(parse_i64(str_from(cases[i].text), &n), cases[i].r);
		assert_int_equal(n, cases[i].n);
	}
}

static void test_utf8(void **state)
{
	static const char *const good[] = {"", "plain text of more than 8 bytes", "\xc2\x80",
		"\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80", "\xef\xbf\xbf",
		"\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf",
		("1234567\xc3\xa9"
		 "12345678")};
	static const char *const bad[] = {"\x80", "\xc0\x80", "\xc1\xbf", "\xe0\x9f\xbf",
		"\xed\xa0\x80", "\xed\xbf\xbf", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80",
		"\xf5\x80\x80\x80", "\xff", "\xc3", "\xe2\x82", "\xf0\x9f\x98", "\xc3\x28",
		"12345678\xe2\x28\xa1", "\xf0\x9f\x98\x28"};

	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_true(utf8_valid(good[i], strlen(good[i])));
	for (size_t i = 0; i < ARRAY_LEN(bad); i++)
		assert_false(utf8_valid(bad[i], strlen(bad[i])));
	assert_true(utf8_valid("a\0b", 3));
}

/* Reference values of FNV-1a: these names are seen by clients and must never change. */
static void test_fnv(void **state)
{
	assert_int_equal(fnv1a_32("", 0), 0x811c9dc5);
	assert_int_equal(fnv1a_32("a", 1), 0xe40c292c);
	assert_int_equal(fnv1a_32("foobar", 6), 0xbf9cf968);
	assert_true(fnv1a_64("", 0) == UINT64_C(0xcbf29ce484222325));
	assert_true(fnv1a_64("foobar", 6) == UINT64_C(0x85944171f73967e8));
}

static void repairs(const char *text, const char *expected)
{
	char room[64];

	strcpy(room, text);
	utf8_repair(room, strlen(room));
	assert_string_equal(room, expected);
	assert_true(utf8_valid(room, strlen(room)));
}

static void test_utf8_repair(void **state)
{
	repairs("", "");
	repairs("plain", "plain");
	repairs("gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f");
	repairs("\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80");
	repairs("cut \xe2\x82", "cut ??");
	repairs("\x80mid\xff end", "?mid? end");
	repairs("\xed\xa0\x80", "???");		   /* a surrogate */
	repairs("\xe2\x82\xc3\xbc", "??\xc3\xbc"); /* the next character is kept */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_compare),
		cmocka_unit_test(test_split),
		cmocka_unit_test(test_parse_u64),
		cmocka_unit_test(test_parse_i64),
		cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_fnv),
		cmocka_unit_test(test_utf8_repair),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "lib/base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void test_format(void **state)
{
	char s[TIME_RFC3339_ROOM], m[TIME_RFC3339_MICRO_ROOM];

	time_format_rfc3339(0, s);
	assert_string_equal(s, "1970-01-01T00:00:00Z");
	time_format_rfc3339(INT64_C(1136239445999999999), s);
	assert_string_equal(s, "2006-01-02T22:04:05Z");
	time_format_rfc3339_micro(INT64_C(1136239445000009999), m);
	assert_string_equal(m, "2006-01-02T22:04:05.000009Z");
	time_format_rfc3339_micro(-1, m);
	assert_string_equal(m, "1969-12-31T23:59:59.999999Z");
	time_format_rfc3339(INT64_MAX, s);
	assert_string_equal(s, "2262-04-11T23:47:16Z");
	time_format_rfc3339(INT64_MIN, s);
	assert_string_equal(s, "1677-09-21T00:12:43Z");
}

static void test_parse(void **state)
{
	static const struct {
		const char *text;
		int64_t ns;
	} good[] = {
		{"1970-01-01T00:00:00Z", 0},
		{"2006-01-02T15:04:05-07:00", INT64_C(1136239445) * NS_PER_S},
		{"2000-02-29T23:59:59.5Z", INT64_C(951868799500000000)},
		{"1970-01-01T00:00:00.000000001Z", 1},
		{"1969-12-31T23:59:59.999999999Z", -1},
		{"1970-01-01T05:30:00+05:30", 0},
		{"2262-04-11T23:47:16.854775807Z", INT64_MAX},
		{"1677-09-21T00:12:43.145224192Z", INT64_MIN},
	};
	static const char *const bad[] = {"", "1970", "1970-01-01", "1970-01-01 00:00:00Z",
		"1970-01-01T00:00:00", "1970-13-01T00:00:00Z", "1970-00-01T00:00:00Z",
		"1970-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "1970-04-31T00:00:00Z",
		"1970-01-01T24:00:00Z", "1970-01-01T00:60:00Z", "1970-01-01T00:00:60Z",
		"1970-01-01T00:00:00.Z", "1970-01-01T00:00:00.0000000001Z", "1970-01-01T00:00:00Zx",
		"1970-01-01T00:00:00+5:00", "1970-01-01T00:00:00+0500", "1970-01-01T00:00:00+24:00",
		"-970-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z",
		"2262-04-11T23:47:16.854775808Z", "1677-09-21T00:12:43.145224191Z",
		"1970-01-01t00:00:00z"};

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		int64_t ns = 42;

		assert_int_equal(time_parse_rfc3339(good[i].text, &ns), 0);
		assert_true(ns == good[i].ns);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		int64_t ns = 42;

		if (time_parse_rfc3339(bad[i], &ns) != -EINVAL)
			fail_msg("accepted '%s'", bad[i]);
		assert_int_equal(ns, 42);
	}
}

/* Every day for 500 years goes there and back. */
static void test_days_round_trip(void **state)
{
	char s[TIME_RFC3339_ROOM], before[TIME_RFC3339_ROOM] = "";

	for (int64_t day = -106000; day < 106000; day++) {
		int64_t ns;

		time_format_rfc3339(day * 86400 * NS_PER_S, s);
		assert_int_equal(time_parse_rfc3339(s, &ns), 0);
		assert_true(ns == day * 86400 * NS_PER_S);
		assert_true(strcmp(before, s) < 0);
		memcpy(before, s, sizeof(s));
	}
}

static void test_duration_parse(void **state)
{
	static const struct {
		const char *text;
		int64_t ns;
	} good[] = {
		{"0", 0},
		{"-0", 0},
		{"300ms", 300 * NS_PER_MS},
		{"-1.5h", -5400 * NS_PER_S},
		{"2h45m", 9900 * NS_PER_S},
		{"+5s", 5 * NS_PER_S},
		{".5s", 500 * NS_PER_MS},
		{"1.s", NS_PER_S},
		{"1us1\xc2\xb5s1\xce\xbcs1ns", 3001},
		{"0.000000001s", 1},
		{"0.3333333333333333333333h", INT64_C(1200000000000)},
		{"9223372036854775807ns", INT64_MAX},
		{"-9223372036854775808ns", INT64_MIN},
		{"1h1h", 7200 * NS_PER_S},
	};
	static const char *const bad[] = {"", "3", "-", "s", ".", "-.", ".s", "+.s", "1e3s", "1 s",
		"1x", "1.1.1s", "3000000h", "9223372036854775808ns", "9223372036854775809ns",
		"-9223372036854775809ns", "99999999999999999999s", "5d"};

	for (size_t i = 0; i < ARRAY_LEN(good); i++) {
		int64_t ns = 42;

		if (duration_parse(good[i].text, &ns) != 0 || ns != good[i].ns)
			fail_msg("'%s' gave %lld", good[i].text, (long long)ns);
	}
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		int64_t ns = 42;

		if (duration_parse(bad[i], &ns) != -EINVAL)
			fail_msg("accepted '%s'", bad[i]);
		assert_int_equal(ns, 42);
	}
}

static void test_duration_human(void **state)
{
	enum { M = 60, H = 3600, D = 24 * H, Y = 365 * D };
	static const struct {
		int64_t s;
		const char *text;
	} cases[] = {
		{-2, "<invalid>"},
		{-1, "0s"},
		{0, "0s"},
		{1, "1s"},
		{119, "119s"},
		{120, "2m"},
		{2 * M + 1, "2m1s"},
		{10 * M - 1, "9m59s"},
		{10 * M, "10m"},
		{10 * M + 1, "10m"},
		{3 * H - 1, "179m"},
		{3 * H, "3h"},
		{3 * H + M, "3h1m"},
		{8 * H - 1, "7h59m"},
		{8 * H, "8h"},
		{8 * H + 59 * M, "8h"},
		{48 * H - 1, "47h"},
		{48 * H, "2d"},
		{2 * D + H, "2d1h"},
		{8 * D - 1, "7d23h"},
		{8 * D, "8d"},
		{8 * D + 23 * H, "8d"},
		{2 * (int64_t)Y - 1, "729d"},
		{2 * (int64_t)Y, "2y"},
		{2 * (int64_t)Y + D, "2y1d"},
		{8 * (int64_t)Y - 1, "7y364d"},
		{8 * (int64_t)Y, "8y"},
		{8 * (int64_t)Y + 364 * (int64_t)D, "8y"},
	};
	struct arena a = ARENA_INIT;

	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_string_equal(duration_human(&a, cases[i].s * NS_PER_S), cases[i].text);
	assert_string_equal(duration_human(&a, 119 * NS_PER_S + 999 * NS_PER_MS), "119s");
	arena_finish(&a);
}

static void test_system(void **state)
{
	struct clock *c = clock_system();
	int64_t first = c->mono_ns(c);

	assert_true(c->mono_ns(c) >= first);
	assert_true(c->wall_ns(c) > INT64_C(1577836800) * NS_PER_S);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_format),
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_days_round_trip),
		cmocka_unit_test(test_duration_parse),
		cmocka_unit_test(test_duration_human),
		cmocka_unit_test(test_system),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

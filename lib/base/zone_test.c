#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <time.h>

#include "lib/base/clock.h"
#include "lib/base/zone_rule.h"

static int64_t utc(const char *text)
{
	int64_t ns;
	assert_int_equal(time_parse_rfc3339(text, &ns), 0);
	return ns / NS_PER_S;
}

static void test_rules(void **state)
{
	static const struct {
		const char *rule, *at;
		int64_t offset_s;
		const char *begin, *end; /* NULL = open */
	} cases[] = {
		{"KST-9", "2026-01-01T00:00:00Z", 9 * 3600, NULL, NULL},
		{"<+0545>-5:45", "2026-01-01T00:00:00Z", 20700, NULL, NULL},
		{"CET-1CEST,M3.5.0,M10.5.0/3", "2026-03-29T00:59:59Z", 3600, "2025-10-26T01:00:00Z",
			"2026-03-29T01:00:00Z"},
		{"CET-1CEST,M3.5.0,M10.5.0/3", "2026-03-29T01:00:00Z", 7200, "2026-03-29T01:00:00Z",
			"2026-10-25T01:00:00Z"},
		{"EST5EDT,M3.2.0,M11.1.0", "2026-12-31T23:00:00Z", -5 * 3600,
			"2026-11-01T06:00:00Z", "2027-03-14T07:00:00Z"},
		/* South of the equator. */
		{"AEST-10AEDT,M10.1.0,M4.1.0/3", "2026-01-15T00:00:00Z", 11 * 3600,
			"2025-10-04T16:00:00Z", "2026-04-04T16:00:00Z"},
		/* A negative time of day, and half an hour. */
		{"<-02>2<-01>,M3.5.0/-1,M10.5.0/0", "2026-07-01T00:00:00Z", -3600,
			"2026-03-29T01:00:00Z", "2026-10-25T01:00:00Z"},
		{"<+1030>-10:30<+11>-11,M10.1.0,M4.1.0", "2026-07-01T00:00:00Z", 37800,
			"2026-04-04T15:00:00Z", "2026-10-03T15:30:00Z"},
		/* Days of the year, with and without February 29. */
		{"AAA0BBB,J60,J300", "2024-03-01T02:00:00Z", 3600, "2024-03-01T02:00:00Z",
			"2024-10-27T01:00:00Z"},
		{"AAA0BBB,59,300", "2024-02-29T02:00:00Z", 3600, "2024-02-29T02:00:00Z",
			"2024-10-27T01:00:00Z"},
		{"AAA0BBB,59,300", "2023-03-01T01:59:59Z", 0, NULL, NULL},
		/* Summer all year. */
		{"XXX3EDT4,0/0,J365/23", "2026-06-01T00:00:00Z", -4 * 3600, NULL, NULL},
		{"XXX3EDT4,0/0,J365/23", "2026-12-31T23:59:59Z", -4 * 3600, NULL, NULL},
	};
	for (size_t n = 0; n < ARRAY_LEN(cases); n++) {
		struct zone_rule r;
		assert_int_equal(zone_rule_parse(cases[n].rule, strlen(cases[n].rule), &r), 0);
		struct zone_span span = zone_rule_at(&r, utc(cases[n].at));
		assert_int_equal(span.offset_s, cases[n].offset_s);
		if (cases[n].begin)
			assert_int_equal(span.begin_s, utc(cases[n].begin));
		if (cases[n].end)
			assert_int_equal(span.end_s, utc(cases[n].end));
	}
}

static void test_bad_rules(void **state)
{
	static const char *const bad[] = {"", "K", "KST", "KST-", "KST-25", "KST-9:60", "<KST-9",
		"CET-1CEST", "CET-1CEST,M3.5.0", "CET-1CEST,M13.5.0,M10.5.0", "CET-1CEST,M3.6.0,1",
		"CET-1CEST,J0,1", "CET-1CEST,366,1", "CET-1CEST,1,2x", "CET-1CEST,1/168,2",
		"KST-9 "};
	for (size_t n = 0; n < ARRAY_LEN(bad); n++) {
		struct zone_rule r;
		assert_int_equal(zone_rule_parse(bad[n], strlen(bad[n]), &r), -EINVAL);
	}
}

/* What the C library says of the same zone. It reads TZ, which nothing but this test changes. */
static void test_against_libc(void **state)
{
	static const char *const names[] = {"Asia/Seoul", "America/New_York", "Europe/London",
		"Australia/Lord_Howe", "Africa/Casablanca", "America/Sao_Paulo", "Asia/Kathmandu",
		"Pacific/Apia", "Europe/Dublin", "America/Nuuk", "Asia/Gaza", "Etc/GMT+12"};
	for (size_t n = 0; n < ARRAY_LEN(names); n++) {
		struct zone *z;
		struct err err = ERR_INIT;
		if (zone_load(names[n], &z, &err) < 0)
			fail_msg("%s: is the package tzdata installed?", err.msg);
		assert_int_equal(setenv("TZ", names[n], 1), 0);
		tzset();
		/* Every 37 hours, from 1850 to 2150. */
		for (int64_t at = INT64_C(-3786825600); at < INT64_C(5680281600);
			at += INT64_C(37) * 3600) {
			time_t t = (time_t)at;
			struct tm tm;
			assert_non_null(localtime_r(&t, &tm));
			struct zone_span span = zone_at(z, at);
			if (span.offset_s != tm.tm_gmtoff)
				fail_msg("%s at %lld: %lld, not %ld", names[n], (long long)at,
					(long long)span.offset_s, tm.tm_gmtoff);
			assert_true(span.begin_s <= at && at < span.end_s);
		}
		zone_destroy(z);
	}
	unsetenv("TZ");
	tzset();
}

static void test_names(void **state)
{
	static const char *const bad[] = {"", "/etc/passwd", "../x", "Asia/../x", "Asia//Seoul",
		"Asia/", ".", "Asia/./Seoul", "-x", "a b", "Asia/Seoul\n", "x\\y"};
	struct zone *z;
	for (size_t n = 0; n < ARRAY_LEN(bad); n++) {
		assert_false(zone_name_valid(bad[n]));
		assert_int_equal(zone_load(bad[n], &z, NULL), -EINVAL);
	}
	assert_int_equal(zone_load("Nowhere/Land", &z, NULL), -ENOENT);
	assert_int_equal(zone_load("Asia", &z, NULL), -ENOENT);
	assert_int_equal(zone_load("zone.tab", &z, NULL), -EBADMSG);
	assert_int_equal(zone_load("UTC", &z, NULL), 0);
	assert_int_equal(zone_at(z, 0).offset_s, 0);
	zone_destroy(z);
}

/* Cut anywhere and with any byte changed, a file is refused or read, never more. */
static void test_damage(void **state)
{
	static const unsigned char good[] =
		"TZif2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0"
		"\4"
		"\0\0\0\0\0\0UTC\0"
		"TZif2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0\2\0\0\0"
		"\4"
		"\0\0\0\0\0\0\0\100\1\0\0\16\20\0\0\0\0\34\40\1\0AAA\0\nAAA-2\n";
	const size_t size = sizeof(good) - 1;
	struct zone *z;
	assert_int_equal(zone_parse(good, size, &z, NULL), 0);
	assert_int_equal(zone_at(z, 63).offset_s, 3600);
	assert_int_equal(zone_at(z, 64).offset_s, 7200);
	zone_destroy(z);
	for (size_t cut = 0; cut < size; cut++)
		assert_int_equal(zone_parse(good, cut, &z, NULL), -EBADMSG);
	for (size_t at = 0; at < size; at++)
		for (unsigned byte = 0; byte < 256; byte += 5) {
			unsigned char copy[sizeof(good)];
			memcpy(copy, good, sizeof(good));
			copy[at] = (unsigned char)byte;
			if (zone_parse(copy, size, &z, NULL) == 0) {
				(void)zone_at(z, INT64_MAX);
				(void)zone_at(z, INT64_MIN);
				zone_destroy(z);
			}
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rules),
		cmocka_unit_test(test_bad_rules),
		cmocka_unit_test(test_against_libc),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_damage),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

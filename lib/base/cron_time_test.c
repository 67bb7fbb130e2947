#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "lib/base/cron.h"

static int64_t at(const char *text)
{
	int64_t ns;
	assert_int_equal(time_parse_rfc3339(text, &ns), 0);
	return ns;
}

static struct zone *zone(const char *name)
{
	struct zone *z;
	struct err err = ERR_INIT;
	if (zone_load(name, &z, &err) < 0)
		fail_msg("%s: is the package tzdata installed?", err.msg);
	return z;
}

static struct cron cron(const char *schedule)
{
	struct cron c;
	assert_int_equal(cron_parse(schedule, &c, NULL), 0);
	return c;
}

static void test_next(void **state)
{
	static const struct {
		const char *schedule, *zone, *after, *next; /* NULL = never */
	} cases[] = {
		{"* * * * *", "UTC", "2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z"},
		{"* * * * *", "UTC", "2026-01-01T00:00:59.999Z", "2026-01-01T00:01:00Z"},
		{"0/15 * * * *", "UTC", "2012-07-09T14:45:00Z", "2012-07-09T15:00:00Z"},
		{"20-35/15 * * * *", "UTC", "2012-07-09T14:35:00Z", "2012-07-09T15:20:00Z"},
		{"5 10 * * *", "UTC", "2012-12-31T23:59:59Z", "2013-01-01T10:05:00Z"},
		{"0 0 29 2 *", "UTC", "2013-07-09T23:35:00Z", "2016-02-29T00:00:00Z"},
		{"@hourly", "UTC", "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z"},
		{"@weekly", "UTC", "2026-11-21T08:00:00Z", "2026-11-22T00:00:00Z"},
		{"@yearly", "UTC", "2026-11-21T08:00:00Z", "2027-01-01T00:00:00Z"},
		{"0 0 * feb Mon", "UTC", "2026-01-01T00:00:00Z", "2026-02-02T00:00:00Z"},
		/* One of the two days is enough when both are restricted, */
		{"0 0 1,15 * sun", "UTC", "2012-07-08T00:00:00Z", "2012-07-15T00:00:00Z"},
		{"0 0 1,15 * sun", "UTC", "2012-07-15T00:00:00Z", "2012-07-22T00:00:00Z"},
		{"0 0 13 * fri", "UTC", "2026-11-21T08:00:00Z", "2026-11-27T00:00:00Z"},
		/* a field with a star restricts nothing. */
		{"0 0 * * mon", "UTC", "2012-07-15T00:00:00Z", "2012-07-16T00:00:00Z"},
		{"0 0 */10 * sun", "UTC", "2012-07-15T00:00:00Z", "2012-07-21T00:00:00Z"},
		{"0 0 1,15 * *", "UTC", "2012-07-09T00:00:00Z", "2012-07-15T00:00:00Z"},
		/* Days that never come. */
		{"0 0 30 2 *", "UTC", "2026-01-01T00:00:00Z", NULL},
		{"0 0 31 4,6,9,11 *", "UTC", "2026-01-01T00:00:00Z", NULL},
		{"0 0 29 2 *", "UTC", "2097-01-01T00:00:00Z", NULL}, /* 2100 is no leap year */
		/* Local time, and distances that are no whole hours. */
		{"0 9 * * *", "Asia/Seoul", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"},
		{"0 9 * * *", "Asia/Kathmandu", "2026-01-01T00:00:00Z", "2026-01-01T03:15:00Z"},
		{"0 0 1 * *", "Pacific/Auckland", "2026-06-29T12:00:00Z", "2026-06-30T12:00:00Z"},
		/* Clocks go forward: 02:30 is left out. */
		{"30 2 11 mar ?", "America/New_York", "2012-03-11T00:00:00-05:00",
			"2013-03-11T02:30:00-04:00"},
		{"30 2 * * *", "America/New_York", "2012-03-10T03:00:00-05:00",
			"2012-03-12T02:30:00-04:00"},
		{"0 * * * *", "America/New_York", "2012-03-11T00:00:00-05:00",
			"2012-03-11T01:00:00-05:00"},
		{"0 * * * *", "America/New_York", "2012-03-11T01:00:00-05:00",
			"2012-03-11T03:00:00-04:00"},
		{"0 0 * * *", "America/Sao_Paulo", "2018-11-03T12:00:00-03:00",
			"2018-11-05T00:00:00-02:00"}, /* at midnight */
		/* Clocks go back: 01:00 comes twice. */
		{"0 * * * *", "America/New_York", "2012-11-04T00:00:00-04:00",
			"2012-11-04T01:00:00-04:00"},
		{"0 * * * *", "America/New_York", "2012-11-04T01:00:00-04:00",
			"2012-11-04T01:00:00-05:00"},
		{"0 * * * *", "America/New_York", "2012-11-04T01:00:00-05:00",
			"2012-11-04T02:00:00-05:00"},
		{"0 1 * * *", "America/New_York", "2012-11-04T01:00:00-04:00",
			"2012-11-04T01:00:00-05:00"},
		{"0 1 * * *", "America/New_York", "2012-11-04T01:00:00-05:00",
			"2012-11-05T01:00:00-05:00"},
		{"0 2 * * *", "America/New_York", "2012-11-04T00:00:00-04:00",
			"2012-11-04T02:00:00-05:00"},
		/* Half an hour. */
		{"15 2 * * *", "Australia/Lord_Howe", "2026-10-03T14:00:00Z",
			"2026-10-04T15:15:00Z"},
		{"45 1 * * *", "Australia/Lord_Howe", "2026-04-04T14:45:00Z",
			"2026-04-04T15:15:00Z"},
		/* A day that a zone left out: Samoa went over the date line. */
		{"0 12 30 12 *", "Pacific/Apia", "2011-12-01T00:00:00Z", "2012-12-29T22:00:00Z"},
		{"@every 90m", "UTC", "2026-01-01T00:00:00.5Z", "2026-01-01T01:30:00Z"},
	};
	for (size_t n = 0; n < ARRAY_LEN(cases); n++) {
		struct cron c = cron(cases[n].schedule);
		struct zone *z = zone(cases[n].zone);
		char text[TIME_RFC3339_ROOM] = "never", wanted[TIME_RFC3339_ROOM] = "never";
		int64_t next_ns = cron_next(&c, z, at(cases[n].after));
		if (next_ns)
			time_format_rfc3339(next_ns, text);
		if (cases[n].next)
			time_format_rfc3339(at(cases[n].next), wanted);
		zone_destroy(z);
		if (strcmp(text, wanted) != 0)
			fail_msg("%s in %s after %s: %s, not %s", cases[n].schedule, cases[n].zone,
				cases[n].after, text, wanted);
	}
}

static void test_last(void **state)
{
	static const struct {
		const char *schedule, *after, *until, *last; /* NULL = none */
		unsigned count;
	} cases[] = {
		{"0 * * * *", "2026-01-01T00:00:00Z", "2026-01-01T00:59:59Z", NULL, 0},
		{"0 * * * *", "2026-01-01T00:00:00Z", "2026-01-01T01:00:00Z",
			"2026-01-01T01:00:00Z", 1},
		{"0 * * * *", "2026-01-01T00:00:00Z", "2026-01-01T03:30:00Z",
			"2026-01-01T03:00:00Z", 3},
		{"* * * * *", "2000-01-01T00:00:00Z", "2026-01-01T03:30:30Z",
			"2026-01-01T03:30:00Z", 101},
		{"0 0 1 1 *", "1900-01-01T00:00:00Z", "2026-06-01T00:00:00Z",
			"2026-01-01T00:00:00Z", 56}, /* none before 1970 */
		{"* 3 1 1 *", "2000-01-01T00:00:00Z", "2026-12-31T00:00:00Z",
			"2026-01-01T03:59:00Z", 101},
		{"0 0 30 2 *", "2000-01-01T00:00:00Z", "2026-12-31T00:00:00Z", NULL, 0},
		{"@every 1h", "2026-01-01T00:30:00Z", "2026-01-01T04:29:00Z",
			"2026-01-01T03:30:00Z", 3},
		{"@every 1s", "2000-01-01T00:00:00Z", "2026-01-01T00:00:00Z",
			"2026-01-01T00:00:00Z", 101},
	};
	struct zone *z = zone("UTC");
	for (size_t n = 0; n < ARRAY_LEN(cases); n++) {
		struct cron c = cron(cases[n].schedule);
		unsigned count;
		int64_t last_ns =
			cron_last(&c, z, at(cases[n].after), at(cases[n].until), 101, &count);
		assert_int_equal(last_ns, cases[n].last ? at(cases[n].last) : 0);
		assert_int_equal(count, cases[n].count);
	}
	zone_destroy(z);
}

/* Minute by minute through a year with changes of clocks. */
static void test_against_minutes(void **state)
{
	static const char *const schedules[] = {"17 1-3 * * *", "*/20 2 * 3,11 0", "0 0 1,31 * 1"};
	struct zone *z = zone("America/New_York");
	for (size_t n = 0; n < ARRAY_LEN(schedules); n++) {
		struct cron c = cron(schedules[n]);
		int64_t next_ns = 0, end_ns = at("2027-01-01T00:00:00Z");
		for (int64_t t = at("2026-01-01T00:00:00Z"); t < end_ns; t += 60 * NS_PER_S) {
			if (next_ns <= t)
				next_ns = cron_next(&c, z, t);
			int64_t m = t + 60 * NS_PER_S, s = m / NS_PER_S;
			int64_t local = s + zone_at(z, s).offset_s, days = local / 86400;
			int year, month, day;
			date_from_days(days, &year, &month, &day);
			bool by_day = c.day >> day & 1, by_week = c.weekday >> (days + 4) % 7 & 1;
			bool star = (c.day & CRON_ANY) || (c.weekday & CRON_ANY);
			bool fits = (c.minute >> local / 60 % 60 & 1) &&
				    (c.hour >> local / 3600 % 24 & 1) && (c.month >> month & 1) &&
				    (star ? by_day && by_week : by_day || by_week);
			assert_int_equal(fits, next_ns == m);
		}
	}
	zone_destroy(z);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_next),
		cmocka_unit_test(test_last),
		cmocka_unit_test(test_against_minutes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

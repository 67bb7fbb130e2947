/* cron_time.c - when a schedule's times are. Minutes are looked at by local clocks within spans of
 * one offset from UTC, so that a change of clocks needs no rules of its own. */
#include "lib/base/clock.h"
#include "lib/base/cron.h"

#define MINUTE_S 60
#define HOUR_S 3600
#define DAY_S 86400
#define YEARS 5
#define END_S INT64_C(9214646400) /* 2262: int64 nanoseconds end */

static int64_t floor_div(int64_t a, int64_t b)
{
	return a / b - (a % b < 0);
}

static bool has(uint64_t bits, int64_t n)
{
	return bits >> n & 1;
}

static bool day_fits(const struct cron *c, int64_t days, int month, int day)
{
	int64_t weekday = ((days + 4) % 7 + 7) % 7; /* 1970-01-01 was a Thursday */
	if (!has(c->month, month))
		return false;
	bool by_day = has(c->day, day), by_weekday = has(c->weekday, weekday);
	return (c->day & CRON_ANY) || (c->weekday & CRON_ANY) ? by_day && by_weekday
							      : by_day || by_weekday;
}

/* The first local time at or after `local_s` that may fit and is not known not to: the same one
 * when it does. */
static int64_t step(const struct cron *c, int64_t local_s, int *ret_year)
{
	int64_t days = floor_div(local_s, DAY_S), in_day = local_s - days * DAY_S;
	int month, day;
	date_from_days(days, ret_year, &month, &day);
	if (!day_fits(c, days, month, day))
		return (days + 1) * DAY_S;
	if (!has(c->hour, in_day / HOUR_S))
		return days * DAY_S + (in_day / HOUR_S + 1) * HOUR_S;
	int64_t minute = in_day % HOUR_S / MINUTE_S;
	if (!has(c->minute, minute) || in_day % MINUTE_S)
		return days * DAY_S + (in_day / MINUTE_S + 1) * MINUTE_S;
	return local_s;
}

int64_t cron_next(const struct cron *c, const struct zone *zone, int64_t after_ns)
{
	after_ns = MAX(after_ns, 0);
	int64_t at_s = after_ns / NS_PER_S + 1;
	int last_year = 0, year = 0;
	if (c->every_ns)
		return after_ns > END_S * NS_PER_S - c->every_ns
			       ? 0
			       : (after_ns + c->every_ns) / NS_PER_S * NS_PER_S;
	while (at_s < END_S) {
		struct zone_span span = zone_at(zone, at_s);
		int64_t local_s = at_s + span.offset_s;
		for (;;) {
			int64_t next_s = step(c, local_s, &year);
			if (!last_year)
				last_year = year + YEARS;
			if (year > last_year)
				return 0;
			if (next_s == local_s)
				return local_s - span.offset_s < END_S
					       ? (local_s - span.offset_s) * NS_PER_S
					       : 0;
			local_s = next_s;
			/* The clocks are changed before that. */
			if (local_s - span.offset_s >= span.end_s)
				break;
		}
		at_s = span.end_s;
	}
	return 0;
}

static int64_t last_of_every(const struct cron *c, int64_t after_ns, int64_t until_ns,
	unsigned most, unsigned *ret_count)
{
	int64_t first_ns = cron_next(c, NULL, after_ns);
	if (!first_ns || first_ns > until_ns)
		return 0;
	int64_t more = (until_ns - first_ns) / c->every_ns;
	*ret_count = (unsigned)MIN(more + 1, (int64_t)most);
	return first_ns + more * c->every_ns;
}

int64_t cron_last(const struct cron *c, const struct zone *zone, int64_t after_ns, int64_t until_ns,
	unsigned most, unsigned *ret_count)
{
	*ret_count = 0;
	if (c->every_ns)
		return last_of_every(c, after_ns, until_ns, most, ret_count);
	int64_t at_ns = after_ns, last_ns = 0;
	while (*ret_count < most && (at_ns = cron_next(c, zone, at_ns)) && at_ns <= until_ns) {
		last_ns = at_ns;
		++*ret_count;
	}
	if (!last_ns || *ret_count < most)
		return last_ns;
	/* Too many to look at each: from the end back, in windows that grow. */
	for (int64_t window_ns = HOUR_S * NS_PER_S;; window_ns *= 2) {
		int64_t begin_ns = until_ns - window_ns;
		if (begin_ns < last_ns || window_ns > INT64_MAX / 4)
			begin_ns = last_ns;
		int64_t found_ns = 0;
		for (at_ns = begin_ns; (at_ns = cron_next(c, zone, at_ns)) && at_ns <= until_ns;)
			found_ns = at_ns;
		if (found_ns || begin_ns == last_ns)
			return found_ns ? found_ns : last_ns;
	}
}

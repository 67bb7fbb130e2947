#include "lib/base/zone_rule.h"

#include "lib/base/clock.h"

#define DAY_S 86400
/* Beyond these no year fits an int. */
#define FAR_S INT64_C(1000000000000)

/* ---- parsing: p moves on, NULL after a failure ---- */

static const char *number(const char *p, const char *end, int min, int max, int *ret)
{
	int n = 0, digits = 0;
	while (p && p < end && *p >= '0' && *p <= '9' && digits < 3) {
		n = n * 10 + (*p++ - '0');
		digits++;
	}
	*ret = n;
	return digits && n >= min && n <= max ? p : NULL;
}

static bool is(const char *p, const char *end, char c)
{
	return p && p < end && *p == c;
}

static const char *name(const char *p, const char *end)
{
	const char *begin = p;
	if (is(p, end, '<')) {
		while (p < end && *p != '>')
			p++;
		return p < end ? p + 1 : NULL;
	}
	while (p && p < end && ((*p >= 'A' && *p <= 'Z') || (*p >= 'a' && *p <= 'z')))
		p++;
	return p && p - begin >= 3 ? p : NULL;
}

/* [+-]HH[:MM[:SS]] */
static const char *time_of(const char *p, const char *end, int max_hours, int64_t *ret)
{
	int sign = 1, parts[3] = {0};
	if (is(p, end, '-') || is(p, end, '+'))
		sign = *p++ == '-' ? -1 : 1;
	p = number(p, end, 0, max_hours, &parts[0]);
	for (int n = 1; n < 3 && is(p, end, ':'); n++)
		p = number(p + 1, end, 0, 59, &parts[n]);
	*ret = sign * (parts[0] * INT64_C(3600) + parts[1] * 60 + parts[2]);
	return p;
}

static const char *day(const char *p, const char *end, struct zone_rule_day *ret)
{
	if (!is(p, end, ','))
		return NULL;
	p++;
	*ret = (struct zone_rule_day){.time_s = 2 * 3600};
	if (is(p, end, 'M')) {
		ret->kind = ZONE_RULE_WEEKDAY;
		p = number(p + 1, end, 1, 12, &ret->month);
		p = is(p, end, '.') ? number(p + 1, end, 1, 5, &ret->week) : NULL;
		p = is(p, end, '.') ? number(p + 1, end, 0, 6, &ret->day) : NULL;
	} else if (is(p, end, 'J')) {
		ret->kind = ZONE_RULE_JULIAN;
		p = number(p + 1, end, 1, 365, &ret->day);
	} else {
		ret->kind = ZONE_RULE_DAY;
		p = number(p, end, 0, 365, &ret->day);
	}
	return is(p, end, '/') ? time_of(p + 1, end, 167, &ret->time_s) : p;
}

int zone_rule_parse(const char *text, size_t size, struct zone_rule *ret)
{
	struct zone_rule r = {0};
	const char *end = text + size, *p = name(text, end);
	p = time_of(p, end, 24, &r.standard_s);
	r.standard_s = -r.standard_s; /* POSIX counts westward */
	if (p && p < end) {
		r.changes = true;
		p = name(p, end);
		r.summer_s = r.standard_s + 3600;
		if (p && p < end && *p != ',') {
			p = time_of(p, end, 24, &r.summer_s);
			r.summer_s = -r.summer_s;
		}
		p = day(p, end, &r.to_summer);
		p = day(p, end, &r.to_standard);
	}
	if (p != end)
		return -EINVAL;
	*ret = r;
	return 0;
}

/* ---- looking up ---- */

static bool is_leap(int64_t year)
{
	return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* The local time of a change, as if it were UTC. */
static int64_t change_in(const struct zone_rule_day *d, int64_t year)
{
	int64_t days = days_from_date(year, 1, 1);
	if (d->kind == ZONE_RULE_DAY) {
		days += d->day;
	} else if (d->kind == ZONE_RULE_JULIAN) {
		days += d->day - 1 + (is_leap(year) && d->day >= 60);
	} else {
		days = days_from_date(year, d->month, 1);
		int64_t next = d->month == 12 ? days_from_date(year + 1, 1, 1)
					      : days_from_date(year, d->month + 1, 1);
		/* 1970-01-01 was a Thursday. */
		int64_t first = ((days + 4) % 7 + 7) % 7;
		days += (d->day - first + 7) % 7 + (d->week - 1) * 7;
		if (days >= next)
			days -= 7;
	}
	return days * DAY_S + d->time_s;
}

struct zone_span zone_rule_at(const struct zone_rule *r, int64_t utc_s)
{
	struct zone_span span = {INT64_MIN, INT64_MAX, r->standard_s};
	if (!r->changes || utc_s > FAR_S || utc_s < -FAR_S)
		return span;
	int year, month, day_of_month;
	date_from_days(
		(utc_s >= 0 ? utc_s : utc_s - DAY_S + 1) / DAY_S, &year, &month, &day_of_month);
	/* Changes of the years around it. Of two at once the later in this order holds: a summer
	 * time that ends when the next one begins lasts all year. */
	for (int64_t y = (int64_t)year - 1; y <= (int64_t)year + 1; y++) {
		int64_t on = change_in(&r->to_summer, y) - r->standard_s,
			off = change_in(&r->to_standard, y) - r->summer_s;
		const struct {
			int64_t at, offset_s;
		} changes[2] = {{MIN(on, off), on < off ? r->summer_s : r->standard_s},
			{MAX(on, off), on < off ? r->standard_s : r->summer_s}};
		for (size_t n = 0; n < ARRAY_LEN(changes); n++) {
			if (changes[n].at <= utc_s && changes[n].at >= span.begin_s) {
				span.begin_s = changes[n].at;
				span.offset_s = changes[n].offset_s;
			} else if (changes[n].at > utc_s) {
				span.end_s = MIN(span.end_s, changes[n].at);
			}
		}
	}
	return span;
}

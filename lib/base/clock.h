/* clock.h - time as a parameter. Real code gets clock_system(); simulations move a struct clock
 * of their own. */
#pragma once

#include "lib/base/arena.h"

struct clock {
	int64_t (*wall_ns)(struct clock *c); /* since 1970-01-01T00:00:00Z; may jump */
	int64_t (*mono_ns)(struct clock *c); /* never goes back */
};

struct clock *clock_system(void);

#define NS_PER_S INT64_C(1000000000)
#define NS_PER_MS INT64_C(1000000)
#define TIME_RFC3339_ROOM 21	   /* 2006-01-02T15:04:05Z and NUL */
#define TIME_RFC3339_MICRO_ROOM 28 /* 2006-01-02T15:04:05.000000Z and NUL */

/* Days since 1970-01-01 of a date in the proleptic Gregorian calendar, and back. Years of any sign,
 * months from 1; days beyond the month's end go on into the next. */
int64_t days_from_date(int64_t year, int64_t month, int64_t day);
void date_from_days(int64_t days, int *ret_year, int *ret_month, int *ret_day);

/* metav1.Time and metav1.MicroTime in UTC, as Kubernetes writes them. */
void time_format_rfc3339(int64_t wall_ns, char ret[TIME_RFC3339_ROOM]);
void time_format_rfc3339_micro(int64_t wall_ns, char ret[TIME_RFC3339_MICRO_ROOM]);
/* RFC 3339 with any offset and up to nine decimals; -EINVAL otherwise. */
int time_parse_rfc3339(const char *s, int64_t *ret_wall_ns) _must_check_;
/* A Go duration: "300ms", "-1.5h", "2h45m". */
int duration_parse(const char *s, int64_t *ret_ns) _must_check_;
/* As Go writes one: "5m0s", "1.5s", "300ms", "0s". */
char *duration_text(struct arena *a, int64_t ns);
/* Kubernetes' table ages: "59s", "3m5s", "7h", "3d", "2y5d". A clock that is up to two seconds
 * behind gives "0s", a more negative duration "<invalid>". */
char *duration_human(struct arena *a, int64_t ns);

/* zone_rule.h - the text form of a zone that POSIX has for TZ ("CET-1CEST,M3.5.0,M10.5.0/3"). */
#pragma once

#include "lib/base/zone.h"

struct zone_rule_day {
	enum {
		ZONE_RULE_JULIAN,  /* day 1 to 365, February 29 never counted */
		ZONE_RULE_DAY,	   /* day 0 to 365 */
		ZONE_RULE_WEEKDAY, /* the week'th weekday of a month, 5 = the last */
	} kind;
	int day, week, month;
	int64_t time_s; /* of that day, by local time before the change */
};

struct zone_rule {
	bool changes; /* there is a summer time */
	int64_t standard_s, summer_s;
	struct zone_rule_day to_summer, to_standard;
};

int zone_rule_parse(
	const char *text, size_t size, struct zone_rule *ret) _must_check_; /* -EINVAL */
struct zone_span zone_rule_at(const struct zone_rule *r, int64_t utc_s);

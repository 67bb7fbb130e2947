/* cron.h - schedules as crontab(5) writes them: five fields, names of months and days, lists,
 * ranges and steps, and the words @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly
 * and
 * "@every DURATION". What is taken, and the words of the errors, are those of the parser that
 * Kubernetes uses for CronJob.spec.schedule. */
#pragma once

#include "lib/base/err.h"
#include "lib/base/zone.h"

struct cron {
	/* Bit n is set when n fits; in a field that is "*" or "?", CRON_ANY is set, too. */
	uint64_t minute, hour, day, month, weekday;
	int64_t every_ns; /* of "@every"; 0 = the fields hold */
};
#define CRON_ANY (1ull << 63)

int cron_parse(const char *text, struct cron *ret, struct err *err) _must_check_; /* -EINVAL */

/* The first time after `after_ns` (wall; after 1970) that fits, by the clocks of a zone; 0 when
 * there is none within five years. A day fits by its number or its weekday when both are
 * restricted, as crontab(5) has it. What falls into the hour that a change of clocks leaves out
 * does not take place; what falls into the repeated one takes place twice. */
int64_t cron_next(const struct cron *c, const struct zone *zone, int64_t after_ns);
/* The last time in (after_ns, until_ns]; 0 when there is none. *ret_count is how many there are, at
 * most `most`. */
int64_t cron_last(const struct cron *c, const struct zone *zone, int64_t after_ns, int64_t until_ns,
	unsigned most, unsigned *ret_count);

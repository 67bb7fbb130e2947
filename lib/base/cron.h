/* cron.h - schedules as crontab(5) writes them: five fields, names of months and days, lists,
 * ranges and steps, and the words @yearly, @annually, @monthly, @weekly, @daily, @midnight, @hourly
 * and
 * "@every DURATION". What is taken, and the words of the errors, are those of the parser that
 * Kubernetes uses for CronJob.spec.schedule. */
#pragma once

#include "lib/base/err.h"

struct cron {
	/* Bit n is set when n fits; in a field that is "*" or "?", CRON_ANY is set, too. */
	uint64_t minute, hour, day, month, weekday;
	int64_t every_ns; /* of "@every"; 0 = the fields hold */
};
#define CRON_ANY (1ull << 63)

int cron_parse(const char *text, struct cron *ret, struct err *err) _must_check_; /* -EINVAL */

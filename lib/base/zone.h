/* zone.h - time zones by the system's database (tzdata): TZif files, RFC 8536, and the POSIX rule
 * at their end for years to come. Nothing of it touches the process's own zone (TZ, tzset). */
#pragma once

#include "lib/base/err.h"

#define ZONE_DIRECTORY "/usr/share/zoneinfo"

struct zone;

/* A span of time in which local clocks keep one distance from UTC. */
struct zone_span {
	int64_t begin_s, end_s; /* UTC, the end excluded; INT64_MIN and INT64_MAX when open */
	int64_t offset_s;	/* local = UTC + offset */
};

/* By name ("Asia/Seoul"); "UTC" needs no database. -EINVAL for what can't be a name, -ENOENT for
 * one that is not there, -EBADMSG for a file that is none. */
int zone_load(const char *name, struct zone **ret, struct err *err) _must_check_;
/* From a file's bytes. */
int zone_parse(const void *data, size_t size, struct zone **ret, struct err *err) _must_check_;
void zone_destroy(struct zone *z); /* NULL allowed */
/* Names are letters, digits, "-", "_", "+" and ".", in parts between slashes. */
bool zone_name_valid(const char *name);

struct zone_span zone_at(const struct zone *z, int64_t utc_s);

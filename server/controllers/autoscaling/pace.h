/* pace.h - how fast an autoscaler may follow its metrics: stabilization windows, policies and the
 * bounds (HorizontalPodAutoscaler spec.behavior). Pure: remembers what it is told, time comes in.
 */
#pragma once

#include "lib/base/vec.h"
#include "lib/json/json.h"

struct pace_policy {
	bool percent;
	int64_t value, period_s;
};

#define PACE_POLICIES_MAX 32 /* more than that are not looked at */

struct pace_rules {
	enum { PACE_MAX, PACE_MIN, PACE_DISABLED } select;
	int64_t window_s;
	struct pace_policy policies[PACE_POLICIES_MAX];
	size_t policy_count;
};

struct pace_limits {
	int64_t min, max;
	bool has_behavior;
	struct pace_rules up, down; /* when has_behavior */
};

/* From spec (v2, with its defaults). */
void pace_limits_read(const struct json *spec, struct pace_limits *ret);

/* What was advised and done of late. */
struct pace_point {
	int64_t time_ns, replicas;
};
struct pace_memory {
	VEC(struct pace_point) advised, up, down;
	bool met;
};
void pace_memory_finish(struct pace_memory *m);
/* The size that it is met at is the first advice: who has just begun shrinks nothing in haste. */
void pace_met(struct pace_memory *m, int64_t current, int64_t now_ns);

struct pace_verdict {
	int64_t replicas;
	const char *able_reason, *able_message; /* condition AbleToScale (True) */
	bool limited;				/* condition ScalingLimited */
	const char *limited_reason, *limited_message;
};

/* What becomes of `advised` replicas; remembers it. now_ns: monotonic. */
struct pace_verdict pace_decide(const struct pace_limits *l, struct pace_memory *m, int64_t current,
	int64_t advised, int64_t now_ns);
/* It was done. */
void pace_done(struct pace_memory *m, int64_t from, int64_t to, int64_t now_ns);

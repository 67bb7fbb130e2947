#include "server/controllers/autoscaling/pace.h"

#include <math.h>

#include "lib/base/clock.h"

#define WINDOW_S 300		  /* without behavior: downwards */
#define KEPT_NS (3600 * NS_PER_S) /* the longest window and period that the API takes */
#define QUICK_FACTOR 2		  /* without behavior: so many times the present number, */
#define QUICK_LEAST 4		  /* or this */

static void rules_read(const struct json *r, int64_t window_s, struct pace_rules *ret)
{
	const char *select = json_str_or(json_get(r, "selectPolicy"), "Max");
	*ret = (struct pace_rules){
		.select = streq(select, "Disabled") ? PACE_DISABLED
			  : streq(select, "Min")    ? PACE_MIN
						    : PACE_MAX,
		.window_s = json_int_or(json_get(r, "stabilizationWindowSeconds"), window_s),
	};
	JSON_FOR_EACH_ITEM(p, json_get(r, "policies")) {
		if (ret->policy_count == PACE_POLICIES_MAX)
			break;
		ret->policies[ret->policy_count++] = (struct pace_policy){
			.percent = streq(json_str(json_get(p, "type")), "Percent"),
			.value = json_int_or(json_get(p, "value"), 0),
			.period_s = json_int_or(json_get(p, "periodSeconds"), 0),
		};
	}
}

void pace_limits_read(const struct json *spec, struct pace_limits *ret)
{
	const struct json *behavior = json_get(spec, "behavior");
	*ret = (struct pace_limits){
		.min = json_int_or(json_get(spec, "minReplicas"), 1),
		.max = json_int_or(json_get(spec, "maxReplicas"), 1),
		.has_behavior = json_is(behavior, JSON_OBJECT),
	};
	if (!ret->has_behavior)
		return;
	rules_read(json_get(behavior, "scaleUp"), 0, &ret->up);
	rules_read(json_get(behavior, "scaleDown"), WINDOW_S, &ret->down);
}

void pace_memory_finish(struct pace_memory *m)
{
	VEC_FINISH(&m->advised);
	VEC_FINISH(&m->up);
	VEC_FINISH(&m->down);
}

/* Points come in order of time. */
#define FORGET(list, before_ns)                                                                    \
	do {                                                                                       \
		size_t _gone = 0;                                                                  \
		while (_gone < (list)->count && (list)->items[_gone].time_ns < (before_ns))        \
			_gone++;                                                                   \
		if (_gone) {                                                                       \
			(list)->count -= _gone;                                                    \
			memmove((list)->items, (list)->items + _gone,                              \
				(list)->count * sizeof(*(list)->items));                           \
		}                                                                                  \
	} while (0)

static int64_t sum_since(const struct pace_point *points, size_t count, int64_t since_ns)
{
	int64_t sum = 0;
	for (size_t i = 0; i < count; i++)
		if (points[i].time_ns >= since_ns)
			sum += points[i].replicas;
	return sum;
}

/* How far the policies let it go from `current`, upwards or downwards. */
static int64_t policy_bound(const struct pace_rules *r, const struct pace_memory *m, bool up,
	int64_t current, int64_t now_ns)
{
	if (r->select == PACE_DISABLED)
		return current;
	/* Max is the policy that lets it go farthest. */
	bool greatest = up == (r->select == PACE_MAX);
	int64_t bound = greatest ? INT64_MIN : INT64_MAX;
	for (size_t i = 0; i < r->policy_count; i++) {
		const struct pace_policy *p = &r->policies[i];
		int64_t since_ns = now_ns - p->period_s * NS_PER_S;
		int64_t begin = current - sum_since(m->up.items, m->up.count, since_ns) +
				sum_since(m->down.items, m->down.count, since_ns);
		double change =
			p->percent ? (double)begin * (double)p->value / 100 : (double)p->value;
		int64_t at = up ? (int64_t)ceil((double)begin + change)
				: (int64_t)((double)begin - change);
		bound = greatest ? MAX(bound, at) : MIN(bound, at);
	}
	if (r->policy_count == 0)
		return current;
	return up ? MAX(bound, current) : MIN(bound, current);
}

static int64_t stabilize(const struct pace_limits *l, struct pace_memory *m, int64_t current,
	int64_t advised, int64_t now_ns, struct pace_verdict *v)
{
	int64_t up_s = l->has_behavior ? l->up.window_s : 0;
	int64_t down_s = l->has_behavior ? l->down.window_s : WINDOW_S;
	int64_t least = advised, most = advised, to = current;
	for (size_t i = 0; i < m->advised.count; i++) {
		const struct pace_point *p = &m->advised.items[i];
		if (p->time_ns > now_ns - up_s * NS_PER_S)
			least = MIN(least, p->replicas);
		if (p->time_ns > now_ns - down_s * NS_PER_S)
			most = MAX(most, p->replicas);
	}
	struct pace_point point = {now_ns, advised};
	FORGET(&m->advised, now_ns - KEPT_NS);
	VEC_PUSH(&m->advised, point);
	to = MAX(to, least);
	to = MIN(to, most);
	v->able_reason = "ReadyForNewScale";
	v->able_message = "recommended size matches current size";
	if (to != advised && advised >= current) {
		v->able_reason = "ScaleUpStabilized";
		v->able_message = "recent recommendations were lower than current one, applying "
				  "the lowest recent recommendation";
	} else if (to != advised) {
		v->able_reason = "ScaleDownStabilized";
		v->able_message = "recent recommendations were higher than current one, applying "
				  "the highest recent recommendation";
	}
	return to;
}

void pace_met(struct pace_memory *m, int64_t current, int64_t now_ns)
{
	struct pace_point point = {now_ns, current};
	if (!m->met)
		VEC_PUSH(&m->advised, point);
	m->met = true;
}

static void limit_by(
	struct pace_verdict *v, int64_t replicas, const char *reason, const char *message)
{
	v->replicas = replicas;
	v->limited = true;
	v->limited_reason = reason;
	v->limited_message = message;
}

struct pace_verdict pace_decide(const struct pace_limits *l, struct pace_memory *m, int64_t current,
	int64_t advised, int64_t now_ns)
{
	struct pace_verdict v = {
		.limited_reason = "DesiredWithinRange",
		.limited_message = "the desired count is within the acceptable range",
	};
	int64_t wanted = v.replicas = stabilize(l, m, current, advised, now_ns, &v);
	FORGET(&m->up, now_ns - KEPT_NS);
	FORGET(&m->down, now_ns - KEPT_NS);
	int64_t most = l->has_behavior ? policy_bound(&l->up, m, true, current, now_ns)
				       : MAX(QUICK_FACTOR * current, (int64_t)QUICK_LEAST);
	int64_t least = l->has_behavior ? policy_bound(&l->down, m, false, current, now_ns) : 0;
	if (wanted > l->max && l->max <= most)
		limit_by(&v, l->max, "TooManyReplicas",
			"the desired replica count is more than the maximum replica count");
	else if (wanted > most && wanted > current)
		limit_by(&v, most, "ScaleUpLimit",
			"the desired replica count is increasing faster than the maximum scale "
			"rate");
	else if (wanted < l->min && l->min >= least)
		limit_by(&v, l->min, "TooFewReplicas",
			wanted == 0 ? "the desired replica count is zero"
				    : "the desired replica count is less than the minimum replica "
				      "count");
	else if (wanted < least && wanted < current)
		limit_by(&v, least, "ScaleDownLimit",
			"the desired replica count is decreasing faster than the maximum scale "
			"rate");
	return v;
}

void pace_done(struct pace_memory *m, int64_t from, int64_t to, int64_t now_ns)
{
	struct pace_point point = {now_ns, to > from ? to - from : from - to};
	if (to > from)
		VEC_PUSH(&m->up, point);
	else if (to < from)
		VEC_PUSH(&m->down, point);
}

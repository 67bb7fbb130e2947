#include "server/controllers/autoscaling/advice.h"

#include <math.h>

#include "lib/base/clock.h"

#define CPU_START_NS (300 * NS_PER_S) /* so long a pod's CPU may be that of its start */
#define READINESS_NS (30 * NS_PER_S)  /* so long its readiness may not have been looked at */

enum part {
	PART_NONE,    /* does not count */
	PART_MISSING, /* counts, tells nothing */
	PART_UNREADY, /* counts, what it tells is no load yet */
	PART_TELLS,
};

/* Whether what a pod uses is its start rather than its load. */
static bool is_starting(const struct advice_pod *p, int64_t now_ns)
{
	if (!p->has_ready || p->started_ns == 0)
		return true;
	if (p->started_ns + CPU_START_NS > now_ns)
		return !p->ready || p->metric_time_ns < p->ready_since_ns + p->window_ns;
	/* Not ready, and never was since soon after it started. */
	return !p->ready && p->started_ns + READINESS_NS > p->ready_since_ns;
}

static enum part part_of(const struct advice_goal *g, const struct advice_pod *p)
{
	if (p->gone)
		return PART_NONE;
	if (p->pending)
		return PART_UNREADY;
	if (!p->has_metric)
		return PART_MISSING;
	return g->cpu && is_starting(p, g->now_ns) ? PART_UNREADY : PART_TELLS;
}

struct sums {
	double used, requested;
	int64_t pods;
};

static double ratio_of(const struct advice_goal *g, const struct sums *s)
{
	if (g->utilization)
		return floor(s->used * 100 / s->requested) / (double)g->target;
	return floor(s->used / (double)s->pods) / (double)g->target;
}

/* As much as makes no difference in the direction that the ratio points: what a pod that tells
 * nothing counts as. */
static double assumed(const struct advice_goal *g, const struct advice_pod *p, double ratio)
{
	if (ratio >= 1)
		return 0;
	if (!g->utilization)
		return (double)g->target;
	return (double)p->request * (double)MAX(g->target, (int64_t)100) / 100;
}

static int64_t ceil_count(double ratio, int64_t pods)
{
	double n = ceil(ratio * (double)pods);
	return n > (double)INT32_MAX ? INT32_MAX : (int64_t)n;
}

int advise(const struct advice_goal *g, const struct advice_pod *pods, size_t count,
	int64_t current, struct advice *ret, struct err *err)
{
	struct sums told = {0};
	int64_t missing = 0, unready = 0;
	for (size_t i = 0; i < count; i++) {
		enum part part = part_of(g, &pods[i]);
		missing += part == PART_MISSING;
		unready += part == PART_UNREADY;
		if (part != PART_TELLS)
			continue;
		told.used += (double)pods[i].metric;
		told.requested += (double)pods[i].request;
		told.pods++;
	}
	if (told.pods == 0)
		return err_set(err, -ENODATA,
			"did not receive metrics for targeted pods (pods might be unready)");
	if (g->utilization && told.requested <= 0)
		return err_set(err, -ENODATA, "no metrics returned matched known pods");
	double ratio = ratio_of(g, &told);
	*ret = (struct advice){
		.replicas = current,
		.utilization = g->utilization ? (int64_t)(told.used * 100 / told.requested) : 0,
		.average = (int64_t)(told.used / (double)told.pods),
	};
	/* Unready pods matter only where more would be asked for: they will take some of the load.
	 */
	bool count_unready = unready > 0 && ratio > 1;
	if (!count_unready && missing == 0) {
		if (fabs(1 - ratio) > g->tolerance)
			ret->replicas = ceil_count(ratio, told.pods);
		return 0;
	}
	if (ratio == 1)
		return 0;
	struct sums all = told;
	for (size_t i = 0; i < count; i++) {
		enum part part = part_of(g, &pods[i]);
		if (part != PART_MISSING && !(part == PART_UNREADY && count_unready))
			continue;
		all.used += part == PART_MISSING ? assumed(g, &pods[i], ratio) : 0;
		all.requested += (double)pods[i].request;
		all.pods++;
	}
	double careful = ratio_of(g, &all);
	if (fabs(1 - careful) <= g->tolerance || (ratio < 1 && careful > 1) ||
		(ratio > 1 && careful < 1))
		return 0;
	int64_t wanted = ceil_count(careful, all.pods);
	/* What is only assumed never turns the direction around. */
	if ((careful < 1 && wanted > current) || (careful > 1 && wanted < current))
		return 0;
	ret->replicas = wanted;
	return 0;
}

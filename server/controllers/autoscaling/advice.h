/* advice.h - how many replicas one metric asks for (Kubernetes: "Horizontal Pod Autoscaling",
 * algorithm details). Pure: facts about pods in, a number out. */
#pragma once

#include "lib/base/err.h"

/* What is known of one pod that the workload's selector finds. Amounts are in thousandths. */
struct advice_pod {
	const char *name;
	bool gone;		/* failed or being deleted: does not count */
	bool pending;		/* does not run yet */
	bool has_ready, ready;	/* its condition Ready, if it has one */
	int64_t ready_since_ns; /* the condition's last change */
	int64_t started_ns;	/* status.startTime; 0 = none */
	bool has_metric;
	int64_t metric;
	int64_t metric_time_ns, window_ns; /* the window ends at the time */
	int64_t request; /* of the resource, over the containers that are measured */
};

struct advice_goal {
	bool cpu;	  /* CPU that a pod uses while it starts says nothing */
	bool utilization; /* target is a percentage of the requests, else an amount a pod */
	int64_t target;	  /* > 0 */
	double tolerance; /* so far off the target nothing is changed: 0.1 */
	int64_t now_ns;	  /* wall clock */
};

struct advice {
	int64_t replicas;
	int64_t utilization; /* percent of the requests; 0 unless goal->utilization */
	int64_t average;     /* a pod, thousandths */
};

/* current: replicas wanted now. -ENODATA: no pod tells anything. */
int advise(const struct advice_goal *goal, const struct advice_pod *pods, size_t count,
	int64_t current, struct advice *ret, struct err *err) _must_check_;

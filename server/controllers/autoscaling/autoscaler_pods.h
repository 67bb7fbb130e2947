/* autoscaler_pods.h - what the advice wants to know of a workload's pods, out of their documents
 * and those of metrics.k8s.io. Inside the autoscaler's loop only. */
#pragma once

#include "lib/object/object.h"
#include "server/controllers/autoscaling/advice.h"

/* One metric of spec.metrics that is of resources. */
struct autoscaler_metric {
	const char *resource;  /* "cpu" */
	const char *container; /* NULL = all of a pod */
	bool utilization;
	int64_t target; /* percent, or thousandths */
};

/* False: it is of another type, or says no target. */
bool autoscaler_metric_read(const struct json *spec, struct autoscaler_metric *ret);
/* items: the list of PodMetrics. One entry a pod, in the arena. -ENODATA: a request that the
 * utilization counts from is missing. */
int autoscaler_pods(struct arena *a, const struct autoscaler_metric *m, struct object **pods,
	size_t count, const struct json *items, struct advice_pod **ret,
	struct err *err) _must_check_;

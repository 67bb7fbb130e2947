/* disruption_plan.h - how many pods of a PodDisruptionBudget may be evicted. Pure. (Kubernetes:
 * "Specifying a Disruption Budget for your Application", "Disruptions".) */
#pragma once

#include "lib/json/json.h"

/* An eviction that was allowed counts as done for so long; then something kept the pod. */
#define DISRUPTION_TIMEOUT_S 120

struct budget_pod {
	const char *name;
	bool deleting, ready;
};

struct budget {
	const struct json *spec;
	const struct json *disrupted; /* status.disruptedPods; may be NULL */
	const struct budget_pod *pods;
	size_t count;
	int64_t scale;	/* replicas that the pods' controllers want; only when budget_needs_scale */
	int64_t now_ns; /* wall */
};

struct budget_status {
	int64_t allowed, current, desired, expected;
	/* The evictions that still count, in the arena; NULL = none. */
	struct json *disrupted;
	const struct budget_pod **kept; /* evicted long ago, and still there */
	size_t kept_count;
	int64_t again_ms; /* when the next eviction no longer counts; -1 = none */
};

/* Percentages and maxUnavailable are of what the pods' controllers want. */
bool budget_needs_scale(const struct json *spec);
struct budget_status budget_status(struct arena *a, const struct budget *b);
/* disruptedPods as a merge patch that makes `wanted` (NULL = none) of `has`; NULL = it is so. */
struct json *budget_disrupted_patch(
	struct arena *a, const struct json *has, const struct json *wanted);

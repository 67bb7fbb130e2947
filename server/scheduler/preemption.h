/* preemption.h - which workloads of lower priority would have to go so that one fits, and where
 * that hurts least. Pure. (Kubernetes: "Pod Priority and Preemption", "Disruptions".) */
#pragma once

#include "server/scheduler/scheduler_core.h"

/* A PodDisruptionBudget. */
struct budget {
	const char *ns;
	struct selector pods;
	int64_t allowed;	/* disruptions */
	const char **disrupted; /* names of pods that count already */
	size_t disrupted_count;
};

struct preemption {
	const char *node; /* NULL: no use. Valid until nodes change */
	struct assigned **victims;
	size_t count;
	const char *message; /* why not, as it follows "preemption: " */
};

/* After core_place has found no node for the workload, and before anything has changed. What is
 * returned is in the arena. */
struct preemption preempt(struct scheduler_core *c, const struct workload *w,
	const struct budget *budgets, size_t budget_count, struct random *random, struct arena *a);

/* advise_gather.h - what runs, from lists of API objects, as lib/placement/advise.h wants to be
 * told. Pure. */
#pragma once

#include "lib/json/json.h"

/* Lists as the API answers them; NULL = it has none. */
struct advise_lists {
	const struct json *deployments, *stateful_sets, *daemon_sets, *replica_sets, *pods;
	const struct json *autoscalers, *machines, *instances;
};

/* Measurements, added up over samples and replicas. */
struct advise_samples;
struct advise_samples *advise_samples_create(struct arena *a);
/* One answer of metrics.k8s.io: of pods, or of virtual machines. */
void advise_samples_add(struct advise_samples *s, const struct json *metrics);

/* Workloads {namespace, name, kind, spec, annotations, replicas, restarts, autoscaler, claims,
 * usage}; those that another workload makes are part of it, and Applications speak for theirs. */
struct json *advise_gather(
	struct arena *a, const struct advise_lists *lists, const struct advise_samples *samples);

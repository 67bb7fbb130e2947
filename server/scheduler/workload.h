/* workload.h - the scheduler's view of pods, virtual machine instances and nodes: documents in,
 * plain numbers and selectors out. Pure. */
#pragma once

#include "server/scheduler/scheduler_core.h"

/* Everything returned is in the arena. */
void workload_from_pod(struct arena *a, const struct json *pod, struct workload *ret);
/* CPU: resources.requests.cpu, or the guest's vCPUs. Memory: the guest's and what QEMU adds. */
void workload_from_instance(struct arena *a, const struct json *vmi, struct workload *ret);
void workload_node(
	struct arena *a, const struct object *node, const struct json *doc, struct core_node *ret);

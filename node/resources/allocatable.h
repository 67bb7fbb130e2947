/* allocatable.h - what a node has, and what of that pods may have (Kubernetes, "Reserve Compute
 * Resources for System Daemons"):
 *
 *   capacity     what the machine has
 *   allocatable  capacity - kubeReserved - systemReserved - hard eviction threshold; memory also
 *                without what is set aside as huge pages. The scheduler fills this.
 *   enforced     the same without the eviction threshold: what the control group of all pods is
 *                limited to, so that eviction comes before the kernel does */
#pragma once

#include "node/node_config.h"
#include "node/resources/qos.h"

struct node_amounts {
	int64_t cpu_milli, memory_bytes, ephemeral_bytes, pods, pids;
	struct {
		struct hugepage_size size;
		int64_t bytes;
	} hugepages[HUGEPAGE_SIZES_MAX];
	size_t hugepage_count;
};

/* Huge pages that the kernel has set aside. sys: "/sys/kernel/mm/hugepages". */
void node_amounts_read_hugepages(const char *sys, struct node_amounts *ret);
/* Processes and threads that the kernel allows; 0 = not known. proc: "/proc". */
int64_t node_pids_max(const char *proc);

void node_allocatable(const struct node_config *config, const struct node_amounts *capacity,
	struct node_amounts *ret);
void node_enforced(const struct node_config *config, const struct node_amounts *capacity,
	struct node_amounts *ret);
/* "cpu", "memory", "ephemeral-storage", "hugepages-*", "pods", as the Node's status has them. */
struct json *node_amounts_json(struct arena *a, const struct node_amounts *amounts);

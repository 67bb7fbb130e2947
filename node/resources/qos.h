/* qos.h - what a pod's requests and limits come to: its quality of service class, and the numbers
 * that its control group and its containers get. Pure; the formulas are Kubernetes' ("Pod Quality
 * of Service Classes", "Resource Management for Pods and Containers", "Node-pressure Eviction"). */
#pragma once

#include "lib/json/json.h"

enum pod_qos { QOS_GUARANTEED, QOS_BURSTABLE, QOS_BEST_EFFORT };
enum pod_qos pod_qos(const struct json *pod);
const char *pod_qos_name(enum pod_qos q);

/* What a pod may have in all, of requests: pod_request() of node/pod/pod_resources.h. Containers
 * and sidecars together or what is the most while the init containers run, and the pod's overhead.
 * 0 = no limit. */
int64_t pod_limit_total(const struct json *pod, const char *resource);

#define CPU_SHARES_MIN 2
#define CPU_SHARES_MAX 262144
#define CPU_PERIOD_US 100000

int64_t cpu_shares(int64_t cpu_milli);
/* 0 = no limit. At least 1 ms of each period, which is the least that the kernel takes. */
int64_t cpu_quota_us(int64_t cpu_milli, int64_t period_us);
/* cgroup v2's measure of the same: 1 to 10000. */
int64_t cpu_weight(int64_t shares);

/* Sizes of huge pages: limits of hugepages-2Mi in both spellings. */
#define HUGEPAGE_SIZES_MAX 8
struct hugepage_size {
	int64_t bytes;
	char resource[32]; /* "hugepages-2Mi" */
	char cgroup[16];   /* "2MB", as the hugetlb controller spells it */
};
void hugepage_size_fill(int64_t bytes, struct hugepage_size *ret);

/* What a control group is told; 0 = nothing is said of it, and no limit is set. */
struct cgroup_values {
	int64_t cpu_shares, cpu_quota_us, cpu_period_us;
	int64_t memory_bytes, pids;
	struct {
		const struct hugepage_size *size;
		int64_t bytes; /* 0 is a limit: none may be had */
	} hugepages[HUGEPAGE_SIZES_MAX];
	size_t hugepage_count;
};
/* How a node does it. */
struct qos_rules {
	const struct hugepage_size *sizes;
	size_t size_count;
	int64_t pids_limit;	 /* of a pod; <= 0 = none */
	int64_t quota_period_us; /* 0 = limits of CPU are not enforced */
	int64_t node_memory;
};
/* Of the pod as a whole. */
void pod_cgroup_values(
	const struct json *pod, const struct qos_rules *rules, struct cgroup_values *ret);
/* Of one of its containers. */
void container_cgroup_values(
	const struct json *container, const struct qos_rules *rules, struct cgroup_values *ret);

/* The kernel's preference for killing when memory is short: -1000 never, 1000 first. */
int container_oom_score_adj(
	const struct json *pod, const struct json *container, int64_t node_memory);

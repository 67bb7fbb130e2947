/* qos.c - see qos.h. */
#include "node/resources/qos.h"

#include <stdio.h>

#include "lib/object/quantity.h"
#include "node/pod/pod_resources.h"

static int64_t milli(const struct json *list, const char *resource)
{
	return quantity_json_milli(json_get(list, resource), 0);
}

static int64_t whole(const struct json *list, const char *resource)
{
	return quantity_json_value(json_get(list, resource), 0);
}

/* ---- class ---- */

static void look_at(const struct json *c, bool *any, bool *guaranteed)
{
	static const char *const names[] = {"cpu", "memory"};

	for (size_t k = 0; k < ARRAY_LEN(names); k++) {
		int64_t limit = milli(json_path(c, "resources.limits"), names[k]);
		int64_t request = milli(json_path(c, "resources.requests"), names[k]);
		*any = *any || limit > 0 || request > 0;
		if (limit <= 0 || (request > 0 && request != limit))
			*guaranteed = false;
	}
}

static void look_at_all(const struct json *containers, bool *any, bool *guaranteed)
{
	JSON_FOR_EACH_ITEM(c, containers)
		look_at(c, any, guaranteed);
}

enum pod_qos pod_qos(const struct json *pod)
{
	bool any = false, guaranteed = true;

	/* What the pod asks for as a whole goes before what its containers do. */
	if (json_path(pod, "spec.resources.limits") || json_path(pod, "spec.resources.requests")) {
		look_at(json_get(pod, "spec"), &any, &guaranteed);
	} else {
		look_at_all(json_path(pod, "spec.initContainers"), &any, &guaranteed);
		look_at_all(json_path(pod, "spec.containers"), &any, &guaranteed);
	}
	if (!any)
		return QOS_BEST_EFFORT;
	return guaranteed ? QOS_GUARANTEED : QOS_BURSTABLE;
}

const char *pod_qos_name(enum pod_qos q)
{
	switch (q) {
	case QOS_GUARANTEED:
		return "Guaranteed";
	case QOS_BURSTABLE:
		return "Burstable";
	case QOS_BEST_EFFORT:
		break;
	}
	return "BestEffort";
}

/* ---- sums ---- */

static int64_t limit_of(const struct json *container, const char *resource)
{
	const struct json *limits = json_path(container, "resources.limits");

	return MAX(streq(resource, "cpu") ? milli(limits, resource) : whole(limits, resource), 0);
}

/* Amounts are what somebody wrote: sums of them must not overflow. */
static int64_t add(int64_t a, int64_t b)
{
	int64_t sum;

	return __builtin_add_overflow(a, b, &sum) ? INT64_MAX : sum;
}

int64_t pod_limit_total(const struct json *pod, const char *resource)
{
	const struct json *own = json_path(pod, "spec.resources.limits");
	const struct json *overhead = json_path(pod, "spec.overhead");
	int64_t running = 0, sidecars = 0, starting = 0;

	JSON_FOR_EACH_ITEM(c, json_path(pod, "spec.containers"))
		running = add(running, limit_of(c, resource));
	JSON_FOR_EACH_ITEM(c, json_path(pod, "spec.initContainers")) {
		int64_t limit = limit_of(c, resource);
		/* A sidecar stays; an init container runs beside the sidecars before it. */
		if (streq(json_str(json_get(c, "restartPolicy")), "Always")) {
			sidecars = add(sidecars, limit);
			limit = 0;
		}
		starting = MAX(starting, add(sidecars, limit));
	}
	int64_t sum = MAX(add(running, sidecars), starting);
	if (json_get(own, resource))
		sum = limit_of(json_get(pod, "spec"), resource);
	if (sum == 0)
		return 0;
	int64_t more =
		streq(resource, "cpu") ? milli(overhead, resource) : whole(overhead, resource);
	return add(sum, MAX(more, 0));
}

/* ---- the kernel's numbers ---- */

int64_t cpu_shares(int64_t cpu_milli)
{
	enum { SHARES_PER_CPU = 1024 };
	__int128 shares = (__int128)cpu_milli * SHARES_PER_CPU / 1000;

	return (int64_t)MIN(MAX(shares, CPU_SHARES_MIN), CPU_SHARES_MAX);
}

int64_t cpu_quota_us(int64_t cpu_milli, int64_t period_us)
{
	enum { QUOTA_MIN_US = 1000 };
	__int128 quota = (__int128)cpu_milli * period_us / 1000;

	if (cpu_milli <= 0 || period_us <= 0)
		return 0;
	return (int64_t)MIN(MAX(quota, QUOTA_MIN_US), INT64_MAX);
}

int64_t cpu_weight(int64_t shares)
{
	shares = MIN(MAX(shares, CPU_SHARES_MIN), CPU_SHARES_MAX);
	return 1 + (shares - CPU_SHARES_MIN) * 9999 / (CPU_SHARES_MAX - CPU_SHARES_MIN);
}

void hugepage_size_fill(int64_t bytes, struct hugepage_size *ret)
{
	static const char *const units[] = {"", "K", "M", "G", "T"};
	int64_t n = bytes;
	size_t unit = 0;

	while (n >= 1024 && n % 1024 == 0 && unit + 1 < ARRAY_LEN(units)) {
		n /= 1024;
		unit++;
	}
	ret->bytes = bytes;
	snprintf(ret->resource, sizeof(ret->resource), "hugepages-%lld%s%s", (long long)n,
		units[unit], unit ? "i" : "");
	snprintf(ret->cgroup, sizeof(ret->cgroup), "%lld%sB", (long long)(n % 100000), units[unit]);
}

static bool all_limited(const struct json *containers, const char *resource)
{
	JSON_FOR_EACH_ITEM(c, containers) {
		if (milli(json_path(c, "resources.limits"), resource) <= 0)
			return false;
	}
	return true;
}

static bool limits_declared(const struct json *pod, const char *resource)
{
	if (milli(json_path(pod, "spec.resources.limits"), resource) > 0)
		return true;
	return all_limited(json_path(pod, "spec.initContainers"), resource) &&
	       all_limited(json_path(pod, "spec.containers"), resource);
}

static void set_quota(struct cgroup_values *v, int64_t cpu_milli, const struct qos_rules *rules)
{
	v->cpu_quota_us = cpu_quota_us(cpu_milli, rules->quota_period_us);
	v->cpu_period_us = v->cpu_quota_us ? rules->quota_period_us : 0;
}

void pod_cgroup_values(
	const struct json *pod, const struct qos_rules *rules, struct cgroup_values *ret)
{
	enum pod_qos qos = pod_qos(pod);
	size_t sizes = MIN(rules->size_count, (size_t)HUGEPAGE_SIZES_MAX);

	*ret = (struct cgroup_values){
		.cpu_shares = CPU_SHARES_MIN,
		.pids = MAX(rules->pids_limit, 0),
		.hugepage_count = sizes,
	};
	if (qos != QOS_BEST_EFFORT) {
		ret->cpu_shares = cpu_shares(pod_request(pod, "cpu"));
		if (limits_declared(pod, "cpu"))
			set_quota(ret, pod_limit_total(pod, "cpu"), rules);
		if (limits_declared(pod, "memory"))
			ret->memory_bytes = pod_limit_total(pod, "memory");
	}
	for (size_t i = 0; i < sizes; i++) {
		ret->hugepages[i].size = &rules->sizes[i];
		ret->hugepages[i].bytes = pod_limit_total(pod, rules->sizes[i].resource);
	}
}

void container_cgroup_values(
	const struct json *container, const struct qos_rules *rules, struct cgroup_values *ret)
{
	size_t sizes = MIN(rules->size_count, (size_t)HUGEPAGE_SIZES_MAX);

	*ret = (struct cgroup_values){
		.cpu_shares = cpu_shares(container_request(container, "cpu")),
		.memory_bytes = limit_of(container, "memory"),
		.hugepage_count = sizes,
	};
	set_quota(ret, limit_of(container, "cpu"), rules);
	for (size_t i = 0; i < sizes; i++) {
		ret->hugepages[i].size = &rules->sizes[i];
		ret->hugepages[i].bytes = limit_of(container, rules->sizes[i].resource);
	}
}

/* ---- memory is short ---- */

enum { OOM_GUARANTEED = -997, OOM_BEST_EFFORT = 1000 };

static int64_t burstable_score(const struct json *container, int64_t node_memory)
{
	int64_t request = container_request(container, "memory");

	return 1000 - (int64_t)((__int128)1000 * request / node_memory);
}

static bool is_sidecar_of(const struct json *pod, const struct json *container)
{
	JSON_FOR_EACH_ITEM(c, json_path(pod, "spec.initContainers")) {
		if (c == container)
			return streq(json_str(json_get(c, "restartPolicy")), "Always");
	}
	return false;
}

int container_oom_score_adj(
	const struct json *pod, const struct json *container, int64_t node_memory)
{
	if (pod_is_critical(pod) &&
		streq(json_path_str(pod, "spec.priorityClassName"), "system-node-critical"))
		return OOM_GUARANTEED;
	switch (pod_qos(pod)) {
	case QOS_GUARANTEED:
		return OOM_GUARANTEED;
	case QOS_BEST_EFFORT:
		return OOM_BEST_EFFORT;
	case QOS_BURSTABLE:
		break;
	}
	if (node_memory <= 0)
		return OOM_BEST_EFFORT - 1;
	int64_t adj = burstable_score(container, node_memory);
	/* A sidecar that serves the others must not be taken before them. */
	if (is_sidecar_of(pod, container)) {
		JSON_FOR_EACH_ITEM(c, json_path(pod, "spec.containers"))
			adj = MIN(adj, burstable_score(c, node_memory));
	}
	/* Between guaranteed and best effort, whatever was asked for. */
	return (int)MIN(MAX(adj, 1000 + OOM_GUARANTEED), OOM_BEST_EFFORT - 1);
}

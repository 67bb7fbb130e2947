/* cadvisor.h - /metrics/cadvisor: figures of each container under the names, labels and types that
 * cAdvisor has for them, so that dashboards made for those work. */
#pragma once

#include "node/stats/cgroup_usage.h"
#include "node/stats/usage.h"

struct pod_manager;

void cadvisor_write(const struct usage *u, struct pod_manager *pods, struct cgroup_finder *groups,
	int64_t now_ns, struct buf *out);

/* pod_refusal.h - settings that this node can't give: the pod is refused, Failed with a reason.
 * Pure. */
#pragma once

#include "lib/json/json.h"

struct node_abilities {
	bool apparmor;			    /* the kernel has it, enabled */
	bool supplemental_groups_policy;    /* the runtime knows it */
	const char *const *allowed_sysctls; /* beside the safe ones: names, or prefixes with '*';
					       NULL at the end */
};

struct pod_refusal {
	const char *reason, *message; /* in Kubernetes' words; in the arena */
};
bool pod_is_refused(struct arena *a, const struct json *pod, const struct node_abilities *node,
	struct pod_refusal *ret);

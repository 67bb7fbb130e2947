/* usage.h - what one object counts for (Kubernetes: "Resource Quotas"): a pod for "pods", its cpu
 * and memory, ...; a service for its ports; a claim for its storage; everything for "count/...". */
#pragma once

#include "lib/object/kind.h"
#include "server/quota/amounts.h"

/* Can an object of the kind count for the resource at all? */
bool usage_covers(const struct kind *k, const char *resource);
/* All that the object counts for. A pod that has ended is only an object. */
struct amounts usage_of(struct arena *a, const struct kind *k, const struct json *doc);
/* `cpu for: a,b; memory for: a`: the resources of `resources` that a quota makes each container
 * name, and those that do not; NULL when all do. */
const char *usage_missing(struct arena *a, const struct json *pod, const char *const *resources,
	size_t resource_count);

/* One requirement of a quota on the pods that it counts. */
struct usage_scope {
	const char *name;     /* "Terminating", "PriorityClass", ... */
	const char *operator; /* In, NotIn, Exists, DoesNotExist */
	const struct json *values;
};
bool usage_scope_matches(const struct usage_scope *s, const struct json *pod);

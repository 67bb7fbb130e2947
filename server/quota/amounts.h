/* amounts.h - lists of named quantities (ResourceList: "cpu" 500m, "memory" 1Gi), and what a pod
 * asks for in all (Kubernetes: "Resource Management for Pods and Containers"). */
#pragma once

#include "lib/object/quantity.h"

struct amount {
	const char *name; /* not owned */
	struct quantity value;
	bool binary; /* shown as "1Gi" rather than as "1073741824" */
};

struct amounts {
	struct amount *items; /* in the arena, in the order of first mention */
	size_t count, room;
	uint32_t *index; /* by name, once they are many: the place in items + 1, 0 = free */
	size_t index_room;
};

struct amount *amounts_find(const struct amounts *list, const char *name); /* NULL when absent */
void amounts_set(struct arena *a, struct amounts *list, struct amount amount);
void amounts_add(struct arena *a, struct amounts *list, struct amount amount);
void amounts_max(struct arena *a, struct amounts *list, struct amount amount);
/* The members of a map of quantities; what is none is left out. */
void amounts_add_map(struct arena *a, struct amounts *list, const struct json *map);
char *amount_text(struct arena *a, const struct amount *amount);
/* False when the value is no quantity. */
bool amount_of(const char *name, const struct json *value, struct amount *ret);

/* `part` "requests" or "limits" of a pod spec: the sum over containers and sidecars (init
 * containers with restartPolicy Always), or what an init container needs beside the sidecars before
 * it where that is more. Overhead is not counted. */
struct amounts pod_amounts(struct arena *a, const struct json *spec, const char *part);

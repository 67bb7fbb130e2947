/* resize.h - in-place resize of pods (KEP-1287): what a container has, what it is to have, and
 * whether that may be. Pure; pod_resize.c does it. */
#pragma once

#include "lib/json/json.h"

/* The part of a container's resources that can change while it runs; 0 = none. */
struct container_amounts {
	int64_t cpu_request_milli, cpu_limit_milli;
	int64_t memory_request, memory_limit; /* bytes */
};
/* resources: {"requests": ..., "limits": ...}, or NULL. */
void container_amounts_read(const struct json *resources, struct container_amounts *ret);
bool container_amounts_equal(const struct container_amounts *a, const struct container_amounts *b);
/* Whether the container's resizePolicy wants a restart for this change. */
bool container_resize_restarts(const struct json *container, const struct container_amounts *from,
	const struct container_amounts *to);

enum resize_verdict {
	RESIZE_FITS,
	RESIZE_DEFERRED,   /* not now: other pods are in the way */
	RESIZE_INFEASIBLE, /* never on this node */
};
/* What the node can give to pods, and what the others have of it. */
struct resize_room {
	int64_t cpu_milli, memory;
	int64_t cpu_used_milli, memory_used;
};
/* Whether a pod may request so much; if not, why is text for its status. */
enum resize_verdict resize_check(const struct resize_room *room, int64_t cpu_milli, int64_t memory,
	char *why, size_t why_size);

/* How far a pod's resize is, for its status. */
struct resize_state {
	enum resize_verdict pending; /* RESIZE_FITS = nothing waits to be allowed */
	bool in_progress;
	char *message; /* of what is pending */
	char *error;   /* of what is in progress; NULL = none */
};

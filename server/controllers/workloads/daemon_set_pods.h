/* daemon_set_pods.h - a DaemonSet's pods as documents. Pure. */
#pragma once

#include "lib/object/object.h"

/* The template's spec with the tolerations that every daemon pod has. */
struct json *daemon_pod_spec(struct arena *a, const struct json *set);
/* For one node: placed there by the scheduler, through required node affinity. */
struct json *daemon_new_pod(struct arena *a, const struct object *set, const struct json *doc,
	const struct json *spec, const char *hash, const char *node);
/* The node that a pod is on, or is meant for; NULL = none. */
const char *daemon_target(struct arena *a, const struct object *pod);

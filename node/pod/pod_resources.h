/* pod_resources.h - what a pod asks of its node. Pure. */
#pragma once

#include "node/pod/pod_model.h"

/* The pod's request of a resource by its name: milli for "cpu", units for all others. Containers
 * run together, init containers one after the other beside the sidecars started before them; the
 * pod's own resources count before its containers', overhead comes on top. Between 0 and 2^48. */
int64_t pod_request(const struct json *pod, const char *resource);
/* One container's; a limit alone is a request too. */
int64_t container_request(const struct json *container, const char *resource);
/* Sum of the containers' limits; 0 = none of them has one. */
int64_t pod_limit(const struct json *pod, const char *resource);

/* What the node does not take away for others: static pods, mirror pods, and system priorities
 * (2000000000 and more). */
bool pod_is_critical(const struct json *pod);
/* Read from a file or URL, not from the API. */
bool pod_is_static(const struct json *pod);
bool pod_tolerates(const struct json *pod, const char *key, const char *value, const char *effect);

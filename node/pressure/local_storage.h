/* local_storage.h - limits of what a pod may use of the node's disk: emptyDir sizes, containers'
 * ephemeral-storage, and their sum. Pure. */
#pragma once

#include "node/stats/disk_usage.h"

/* Whether any such limit is set. */
bool local_storage_limited(const struct json *pod);
/* Whether containers' writable layers matter for them. */
bool local_storage_needs_layers(const struct json *pod);

struct layer_disk {
	const char *container;
	uint64_t used_bytes;
};
/* Why the pod must go, in Kubernetes' words; NULL when it keeps its limits. Layers that are on a
 * file system of images apart from the pods' data are not counted: pass none. */
const char *local_storage_excess(struct arena *a, const struct json *pod, const struct pod_disk *d,
	const struct layer_disk *layers, size_t layer_count);

/* static_manifest.h - a Pod from a file on the node: what kubelets make of one. Pure.
 *
 * The name gets "-NODE" behind it, the namespace is "default" unless given, the node is this one,
 * and taints that evict do not. metadata.uid is a hash of node, path and content: it stays over
 * restarts and is another as soon as the file says something else. Annotations
 * kubernetes.io/config.hash (the uid), config.source ("file") and config.seen. Since the pod must
 * run without the API, it may refer to none of its objects. */
#pragma once

#include "lib/object/object.h"

struct static_origin {
	const struct kind_registry *kinds;
	const struct kind *pod_kind;
	const char *node_name; /* as in the Node */
	const char *path;
	int64_t seen_ns; /* wall clock */
};

/* -EINVAL with the reason, without the path. */
int static_manifest_read(const struct static_origin *o, const char *text, size_t size,
	struct object **ret, struct err *err) _must_check_;

/* The Pod that stands for it in the API, owned by the Node. */
struct json *static_mirror_make(
	struct arena *a, const struct object *pod, const char *node_name, const char *node_uid);
/* What a mirror pod says it mirrors, NULL for other pods. Lives in the arena. */
const char *static_mirror_hash(struct arena *a, const struct object *pod);
/* The same pod as one that is being deleted, with its own grace period. */
struct object *static_leaving(const struct object *pod, int64_t now_ns);

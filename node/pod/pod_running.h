/* pod_running.h - what runs of this node's pods, for those who count and measure. */
#pragma once

#include "node/pod/pod_manager.h"

struct pod_counts {
	size_t sandboxes;	      /* that are ready */
	size_t desired[2], active[2]; /* of the API, of files: all, and those that are not over */
	size_t mirrors;
	size_t containers_created, containers_running, containers_exited;
};
void pod_manager_count(struct pod_manager *m, struct pod_counts *ret);

/* One container that runs. */
struct container_here {
	const char *ns, *pod, *uid, *container, *id, *image;
	const struct json *pod_doc; /* lives during the call */
	int64_t started_ns;	    /* wall clock */
	bool host_network;
};
void pod_manager_walk_running(struct pod_manager *m,
	void (*each)(void *user, const struct container_here *c), void *user);
/* PodList of what runs, with names and images alone, as kubelets have it at /runningpods/. */
void pod_manager_list_running(struct pod_manager *m, struct buf *out);

/* daemon_set_plan.h - what a DaemonSet does on each node: makes, replaces or removes its pod. Pure:
 * nodes with their pods in, actions out. (Kubernetes: "DaemonSet", "Perform a Rolling Update on a
 * DaemonSet"; KEP-1591 for surging.) */
#pragma once

#include "lib/object/object.h"

struct daemon_pod {
	struct object *object;
	bool succeeded, failed;
	bool deleting;
	bool scheduled;	       /* bound to its node, not only meant for it */
	bool ready, available; /* available: for minReadySeconds */
	bool updated;	       /* of the present revision */
	int64_t created_ns;
};

struct daemon_node {
	const char *name;
	bool exists; /* else pods are meant for it that can never run */
	bool should_run;
	bool may_stay;	/* a pod that runs there is left alone */
	bool backs_off; /* the next failed pod there must wait to be removed */
	struct daemon_pod *pods;
	size_t count;
};

struct daemon_action {
	enum { DAEMON_CREATE, DAEMON_DELETE } what;
	enum { DAEMON_BECAUSE, DAEMON_FAILED, DAEMON_SUCCEEDED } why;
	const struct daemon_node *node;
	struct object *pod; /* to delete */
};

struct daemon_limits {
	int64_t surge, unavailable; /* not both 0 */
};
/* maxSurge and maxUnavailable (both rounded up) of so many nodes. */
struct daemon_limits daemon_limits(
	int64_t desired, const struct json *max_surge, const struct json *max_unavailable);

/* One pod on each node that should have one; with `surge`, an old one and a new one while the new
 * one gets ready. Sorts each node's pods, the one that counts first. */
size_t daemon_manage(struct arena *a, struct daemon_node *nodes, size_t count, bool surge,
	struct daemon_action **ret);
/* The next steps of a rolling update; for when daemon_manage has nothing to do. */
size_t daemon_roll(struct arena *a, const struct daemon_node *nodes, size_t count,
	const struct daemon_limits *limits, struct daemon_action **ret);

struct daemon_counts {
	int64_t desired, current, misscheduled, ready, updated, available;
};
/* After daemon_manage, which sorts. */
struct daemon_counts daemon_count(const struct daemon_node *nodes, size_t count);

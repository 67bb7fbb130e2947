/* node_state.h - the scheduler's view of a node: its document in plain numbers and texts. Pure. */
#pragma once

#include "server/scheduler/workload.h"

struct node_image {
	const char *name;
	int64_t size_bytes;
};

struct node_state {
	const char *name;
	int64_t allocatable[RESOURCES];
	int64_t pods; /* so many workloads may be there */
	const struct extended *extended;
	size_t extended_count;
	bool unschedulable;
	const struct object_label *labels; /* sorted by key */
	size_t label_count;
	const struct taint *taints;
	size_t taint_count;
	const struct node_image *images;
	size_t image_count;
};

/* What is returned is in the arena, or borrowed from the object. */
void node_state_read(struct arena *a, const struct object *node, struct node_state *ret);
struct node_state node_state_copy(struct arena *a, const struct node_state *n);

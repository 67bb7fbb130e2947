/* stateful_set_plan.h - what a StatefulSet does next: which pods it makes and which it deletes, and
 * whom their claims belong to. Pure: pods in, actions out. (Kubernetes: "StatefulSets", sections on
 * pod management policies, update strategies and claim retention.) */
#pragma once

#include "lib/object/object.h"

struct stateful_pod {
	struct object *object; /* NULL: there is none of this ordinal */
	int64_t ordinal;
	bool terminal; /* Succeeded or Failed: it is made anew */
	bool deleting;
	bool ready;	      /* and running */
	bool available;	      /* ready for minReadySeconds */
	const char *revision; /* name; "" = none */
};

struct stateful_set {
	int64_t start, replicas; /* ordinals start .. start + replicas - 1 */
	bool parallel;
	bool on_delete;
	int64_t partition;		 /* ordinals from start + partition on are updated */
	int64_t max_unavailable;	 /* that an update may make, at least 1 */
	const char *current, *update;	 /* revisions */
	const struct stateful_pod *pods; /* in any order */
	size_t count;
};

struct stateful_action {
	enum { STATEFUL_CREATE, STATEFUL_DELETE } what;
	int64_t ordinal;
	struct object *pod; /* to delete */
	bool updated;	    /* to create: by the update revision, else by the current one */
};
/* In the arena. Ordered sets get one action at most; those of parallel sets can go together. */
size_t stateful_plan(struct arena *a, const struct stateful_set *set, struct stateful_action **ret);

/* The ordinal of "PARENT-N"; -1 when the name is no such one. */
int64_t stateful_ordinal(const char *parent, const char *pod);

/* status' numbers. Pods that are deleted still count as replicas. */
struct stateful_counts {
	int64_t replicas, ready, available, current, updated;
};
struct stateful_counts stateful_count(const struct stateful_set *set);
/* A rolling update is over: the update revision is the current one from now on. */
bool stateful_complete(const struct stateful_set *set, const struct stateful_counts *counts);

/* Whom a claim belongs to, so that it goes with them. */
enum claim_keeper { KEEPER_NOBODY, KEEPER_SET, KEEPER_POD };
enum claim_keeper stateful_claim_keeper(
	bool delete_with_set, bool delete_when_scaled, bool beyond_replicas);

/* pressure_decide.h - what a node that runs short of memory, disk, or processes does about it: pure
 * functions of observations and time. Rules are Kubernetes' (Node-pressure Eviction): a threshold
 * is met while less is available than it says, and stays met until its minimum reclaim is free too;
 * a soft one counts after its grace period; a node condition stays for the transition period after
 * the last threshold of it was met. Times are monotonic nanoseconds. */
#pragma once

#include "lib/json/json.h"
#include "node/node_config.h"

/* One signal: what is available of what there is. */
struct signal_value {
	bool known;
	int64_t available, capacity; /* bytes, inodes, or processes */
};
struct signals {
	struct signal_value of[SIGNAL_COUNT];
	bool image_fs_apart; /* images are on another file system than the pods' data */
};

enum pressure_condition { PRESSURE_MEMORY, PRESSURE_DISK, PRESSURE_PID, PRESSURE_COUNT };
const char *pressure_condition_name(enum pressure_condition c); /* "MemoryPressure" */
enum pressure_condition pressure_of_signal(enum node_signal s);

/* What is taken back, by the name that messages have for it. */
enum pressure_resource { RES_MEMORY, RES_STORAGE, RES_INODES, RES_PIDS, RES_COUNT };
const char *pressure_resource_name(enum pressure_resource r); /* "memory", "ephemeral-storage" */
enum pressure_resource pressure_resource_of(enum node_signal s);

/* Memory between two observations. All zero at first. */
struct pressure_state {
	struct pressure_mark {
		bool met;
		int64_t since_ns;
	} hard[SIGNAL_COUNT], soft[SIGNAL_COUNT];
	bool condition[PRESSURE_COUNT];
	bool seen[PRESSURE_COUNT];
	int64_t seen_ns[PRESSURE_COUNT]; /* when a threshold of it was last met */
};

/* What must be done now; any false: nothing. */
struct pressure_due {
	bool any, hard;
	enum node_signal signal;
	int64_t threshold, available; /* as observed */
};

/* Takes an observation in. *due is the most urgent threshold whose grace is over: memory before all
 * others, hard before soft. */
void pressure_observe(const struct node_config *config, struct pressure_state *state,
	const struct signals *now, int64_t now_ns, struct pressure_due *due);

/* A pod that may have to go. */
struct pod_load {
	const char *uid;
	const struct json *pod;
	int64_t priority;
	bool critical; /* is never evicted */
	bool known;    /* its usage is */
	int64_t usage[RES_COUNT], request[RES_COUNT];
};
/* Sorts: who goes first comes first. Above its request, then lower priority, then more above it. */
void pressure_rank(struct pod_load *pods, size_t count, enum pressure_resource r);

/* For the pod's message. */
struct container_load {
	const char *name;
	int64_t usage;
};
char *pressure_message(struct arena *a, const struct pressure_due *due, const struct json *pod,
	const struct container_load *containers, size_t count);
/* How long the pod has: hard 1 s, soft the shorter of the node's and its own. */
int64_t pressure_grace_s(const struct node_config *config, bool hard, const struct json *pod);
/* Whether a new pod may come here; the message says why not ("The node had condition: ..."). */
bool pressure_admits(struct arena *a, const bool condition[PRESSURE_COUNT], const struct json *pod,
	const char **ret_message);

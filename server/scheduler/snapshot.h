/* snapshot.h - the nodes in arrays and what is placed on them, kept up by each event: what a
 * scheduling pass looks at. Only for the scheduler's own files; scheduler_core.h is the face.
 *
 * A node has a slot, a number below slot_count that is its row in every array as long as it is
 * known. A node that is not known but carries workloads has one too, without `alive`: it is what a
 * node becomes when it goes, and what it is before it comes. */
#pragma once

#include "lib/base/table.h"
#include "lib/base/vec.h"
#include "server/scheduler/counters.h"
#include "server/scheduler/node_state.h"

#define NO_SLOT UINT32_MAX

/* What every pass reads of every node it looks at. */
struct node_row {
	int64_t allocatable[RESOURCES], used[RESOURCES];
	int64_t pods, pods_used;
	int64_t scored[2]; /* sums of workload.scored */
	uint32_t taints;   /* number of its set of taints; 0 = none */
	bool alive, unschedulable;
	bool nominated; /* some workload waits for it to be freed */
};

struct assigned;

struct node_info {
	struct arena arena; /* of state */
	struct node_state state;
	uint32_t slot;
	char *name;
	struct extended *used; /* beside CPU, memory and storage */
	size_t used_count, used_room;
	VEC(struct assigned *) assigned;
	VEC(struct workload *) nominated;   /* references */
	size_t port_holders, claim_holders; /* of `assigned`, those with host ports, with claims */
};

/* A workload on a node. */
struct assigned {
	struct workload *workload; /* a reference */
	uint32_t slot;
	uint32_t at_node, at_namespace; /* where it stands in the lists of its node and namespace */
	bool removed;			/* for a trial: not counted at present */
	struct held_entry *held;	/* its terms; as many as the workload has (counters.h) */
};

/* Distinct lists of taints, of which a cluster has few. */
struct taint_set {
	const struct taint *taints;
	size_t count;
	unsigned refs;
	char *key;
	struct arena arena;
};

/* The values that a label has on the nodes, numbered. Made when a workload first asks for the
 * label.
 */
struct domain {
	char *value;
	uint32_t nodes; /* that have it; a number with none is free */
};
struct column {
	char *key;
	int32_t *at; /* of a slot: number of the value, -1 = absent */
	VEC(struct domain) domains;
	VEC(uint32_t) free;
	struct table by_value; /* value -> number + 1 */
	uint64_t last_used;    /* pass */
};

struct pods_of_namespace {
	VEC(struct assigned *) pods;
	struct arena arena; /* of labels */
	const struct object_label *labels;
	size_t label_count;
	bool known; /* there is such a namespace */
};

struct priority_count {
	int64_t priority;
	size_t count;
};

struct snapshot {
	struct node_row *rows;
	struct node_info **info; /* NULL: free */
	uint32_t slot_count, slot_room;
	VEC(uint32_t) free_slots;
	struct table by_name; /* name -> node_info */
	uint32_t *order;      /* slots of the nodes that are alive, zones taking turns */
	uint32_t alive_count;
	bool order_stale;
	uint32_t start; /* place in order where the next pass begins */

	VEC(struct taint_set) taint_sets;
	struct table taint_set_by_key; /* -> number */
	struct table columns;	       /* label -> column */
	struct table images;	       /* name -> number of nodes that have it */
	struct table assigned;	       /* uid -> assigned */
	struct table namespaces;       /* name -> pods_of_namespace */
	struct table nominated;	       /* uid -> node_info */
	struct counters counters;
	VEC(struct priority_count) priorities; /* of the assigned ones; few are different */
	uint64_t pass;			       /* number of the present pass */
};

void snapshot_init(struct snapshot *s);
void snapshot_finish(struct snapshot *s);

/* What changed for the better, so that workloads that wait can be told. */
#define NODE_ADDED 1u
#define NODE_ALLOCATABLE 2u /* more room */
#define NODE_LABELS 4u
#define NODE_TAINTS 8u
unsigned snapshot_node_set(struct snapshot *s, const struct node_state *n, uint32_t *ret_slot);
void snapshot_node_remove(struct snapshot *s, const char *name);

struct assigned *snapshot_assign(struct snapshot *s, struct workload *w, const char *node);
/* The same for a moment: it stays nominated where it is. */
struct assigned *snapshot_try(struct snapshot *s, struct workload *w, uint32_t slot);
void snapshot_unassign(struct snapshot *s, struct assigned *as);
struct assigned *snapshot_assigned(const struct snapshot *s, const char *uid);
/* Counts or no longer counts it on its node; for trials, which put everything back. */
void snapshot_account(struct snapshot *s, struct assigned *as, bool there);
/* NULL: no longer. */
void snapshot_nominate(struct snapshot *s, struct workload *w, const char *node);
void snapshot_namespace_set(struct snapshot *s, const char *name, const struct object_label *labels,
	size_t count, bool known);
/* Is anything assigned whose priority is lower? */
bool snapshot_has_lower(const struct snapshot *s, int64_t priority);
struct pods_of_namespace *snapshot_namespace(const struct snapshot *s, const char *name);

/* The column of a label; NULL when no node has it. It stays valid until the pass ends. */
struct column *snapshot_column(struct snapshot *s, const char *label);
int32_t column_domain(const struct column *c, const char *value); /* -1 = none */
const uint32_t *snapshot_order(struct snapshot *s);
int64_t *node_extended_used(struct node_info *i, const char *name, bool add);
int64_t node_extended_allocatable(const struct node_info *i, const char *name);

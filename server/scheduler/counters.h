/* counters.h - which pods are where, by what selects them: for affinity, anti-affinity and spread.
 *
 * Two sides. A counter has, for each node, how many of the pods there it selects: made when a
 * workload first asks, kept up from then on, dropped when it was not used for long. A held term is
 * a term of affinity that pods on nodes have about others: it knows its holders as long as there
 * are any. Both are found by what they select, so that a pod that comes or goes meets only those
 * that concern it. */
#pragma once

#include "server/scheduler/pod_index.h"

struct snapshot;
struct assigned;

enum held_kind { HELD_ANTI, HELD_AFFINITY, HELD_PREFERRED };

struct holder {
	uint32_t slot;
	struct assigned *assigned;
	uint32_t nth; /* of the assigned's terms */
};

struct held_term {
	struct arena arena; /* of the term's copy */
	struct pod_term term;
	enum held_kind kind;
	char *key;
	VEC(struct holder) holders;
};

struct held_entry {
	struct held_term *term;
	uint32_t at; /* in its holders */
};

struct counter {
	struct arena arena;
	struct pod_matcher *matchers; /* a pod counts that all of them match */
	size_t matcher_count;
	char *key;
	int32_t *count;	    /* by slot */
	uint64_t last_used; /* pass */
};

/* Entries by what their matcher needs: a namespace and a label's value, only one of these, or
 * nothing that a look-up could use. Each is in one bucket. */
struct matcher_index {
	struct table buckets; /* -> VEC of entries */
	size_t count;
};

struct counters {
	struct pod_index pods;
	struct table by_key; /* -> counter */
	struct matcher_index index;
	struct table held; /* key -> held_term */
	struct matcher_index held_index;
	size_t held_count[3]; /* by kind: terms that have holders */
};

void counters_init(struct counters *c);
void counters_finish(struct counters *c);

/* Of all pods on nodes that are selected by all of the matchers. Valid until the pass ends. */
const struct counter *counters_get(
	struct snapshot *s, const struct pod_matcher *const *matchers, size_t count);
/* A pod comes (1) or goes (-1). */
void counters_account(struct snapshot *s, struct assigned *as, int sign);
void counters_grow(struct snapshot *s, uint32_t old_room, uint32_t room);
/* A namespace has other labels: what was counted by them is stale. */
void counters_namespace_changed(struct snapshot *s);

/* Calls back for each held term that is about this workload. */
void counters_each_held(struct snapshot *s, const struct workload *w,
	void (*each)(void *user, struct held_term *t), void *user);

/* pass.h - one workload looks for a node: what is worked out once before nodes are looked at, the
 * filters that a node must pass, the scores of those that do. Pure; upstream's default profile, its
 * order, arithmetic and weights ("Scheduler Configuration"). */
#pragma once

#include "lib/base/random.h"
#include "server/scheduler/pod_affinity.h"
#include "server/scheduler/snapshot.h"
#include "server/scheduler/spread.h"
#include "server/scheduler/volumes.h"

/* Why a node is refused: a code, and above it a detail. The order is that of the filters. */
enum refusal {
	FITS,
	REFUSED_UNSCHEDULABLE,
	REFUSED_NAME,
	REFUSED_TAINT, /* detail: number of the set of taints, place of the taint in it */
	REFUSED_AFFINITY,
	REFUSED_PORTS,
	REFUSED_RESOURCES, /* detail: bits by LACKS_ */
	REFUSED_CLAIM_IN_USE,
	REFUSED_VOLUME_LIMIT,
	REFUSED_VOLUME_AFFINITY,
	REFUSED_VOLUME_GONE,
	REFUSED_NO_VOLUME,
	REFUSED_VOLUME_ZONE,
	REFUSED_SPREAD,
	REFUSED_SPREAD_LABEL,
	REFUSED_BY_OTHERS,
	REFUSED_POD_AFFINITY,
	REFUSED_POD_ANTI_AFFINITY,
	REFUSED_NOT_ASKED,  /* matchFields leave it out: no reason is shown */
	REFUSED_NO_VICTIMS, /* these two only by preemption */
	REFUSED_NOT_HELPFUL,
	REFUSALS
};
#define REFUSAL(code, detail) ((uint32_t)(code) | (uint32_t)(detail) << 8)
#define REFUSAL_CODE(r) ((enum refusal)((r)&0xff))
#define REFUSAL_DETAIL(r) ((r) >> 8)
#define REFUSAL_BIT(code) (UINT32_C(1) << (code))
#define LACKS_PODS 1u
#define LACKS_FIRST 2u	   /* CPU, MEMORY, STORAGE */
#define LACKS_EXTENDED 16u /* the workload's first extended resource */
#define LACKS_EXTENDED_MAX 19
/* No victim could help: the node itself is wrong. */
bool refusal_is_final(uint32_t refusal);

/* A requirement on a label, worked out against the values that nodes have. */
struct label_test {
	const struct column *column;
	int32_t value;	       /* the only one that passes, when `passes` is NULL */
	const uint8_t *passes; /* by value */
	bool absent;	       /* nodes without the label pass */
};
struct node_test {
	struct label_test *labels;
	size_t count;
	const struct selector *fields; /* NULL = none */
	bool never;
	int64_t weight;
};

struct pass {
	struct snapshot *s;
	const struct workload *w;
	struct arena *a;
	bool tolerates_unschedulable;
	int32_t *taint_verdicts; /* by set: -1 = tolerated, place of the first that is not, -2 =
				    unknown */
	struct node_test selector;
	bool has_selector;
	struct node_test *terms, *preferred;
	const uint32_t *only; /* slots that matchFields name */
	size_t only_count;
	bool only_some;
	struct spread_pass spread;
	struct affinity_pass affinity;
	struct volume_pass volumes;
	const char *refused; /* no node will do: why */
	enum refusal refused_by;
	uint32_t *refusals; /* by slot, of this pass; valid where the node was looked at */
};

void pass_begin(struct pass *p, struct snapshot *s, const struct volumes *v,
	const struct workload *w, struct arena *a);
/* Only as much as pass_check_node needs. */
void pass_begin_node(struct pass *p, struct snapshot *s, const struct workload *w, struct arena *a);
uint32_t pass_check(struct pass *p, uint32_t slot);
/* The same when nobody waits for the node. */
uint32_t pass_check_plain(struct pass *p, uint32_t slot);
/* What depends on nothing but the node and what is on it. */
uint32_t pass_check_node(struct pass *p, uint32_t slot);
/* Takes a workload off its node, or puts it back, for a trial. */
void pass_account(struct pass *p, struct assigned *as, bool there);

/* Node affinity and taints: whom other parts ask about nodes. */
bool pass_node_selected(const struct pass *p, uint32_t slot);
int32_t pass_untolerated(struct pass *p, uint32_t taint_set); /* -1 = none */
bool node_test_passes(const struct node_test *t, const struct snapshot *s, uint32_t slot);
struct node_test node_test_make(struct snapshot *s, struct arena *a, const struct selector *labels);
struct node_test node_term_test(struct snapshot *s, struct arena *a, const struct node_term *term);

/* The best of these nodes; ties are broken by chance. */
uint32_t pass_best(struct pass *p, const uint32_t *slots, size_t count, struct random *random);
/* The sum that pass_best compares, for tests and figures: one for each slot. */
void pass_scores(struct pass *p, const uint32_t *slots, size_t count, int64_t *ret_scores);

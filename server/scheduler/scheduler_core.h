/* scheduler_core.h - which node is best for a workload, given what is where: the scheduler without
 * clock, API and queue. Randomness for ties is passed in. */
#pragma once

#include "lib/base/random.h"
#include "server/scheduler/pass.h"

struct scheduler_core {
	struct snapshot snapshot;
	struct volumes volumes;
	struct arena scratch; /* of the present pass */
	struct pass pass;     /* the latest: valid until the next, or until something changes */
	uint32_t *fitting;
	size_t fitting_room;
};

void core_init(struct scheduler_core *c);
void core_finish(struct scheduler_core *c);

/* Counts a workload on a node, which need not be known yet. Again for the same uid: replaces it. */
void core_assign(struct scheduler_core *c, struct workload *w, const char *node);
/* False when it was not assigned. */
bool core_unassign(struct scheduler_core *c, const char *uid);

struct placement {
	uint32_t slot;
	const char *node;    /* NULL: none will do. Valid until nodes change */
	uint32_t refused_by; /* bits by enum refusal: what stood in the way on any node */
	const char *message; /* in upstream's words, without what preemption says; in the arena */
};
struct placement core_place(
	struct scheduler_core *c, struct workload *w, struct random *random, struct arena *a);

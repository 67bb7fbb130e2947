#include "server/scheduler/scheduler_core.h"

#include "server/scheduler/messages.h"

/* So many nodes that fit are enough to choose from: all of a small cluster, half of a larger one,
 * and a falling share of a large one. */
#define ENOUGH_MIN 100
#define SHARE_MOST 50 /* percent */
#define SHARE_LEAST 5
#define SHARE_FALLS 125 /* nodes to one percent less */

void core_init(struct scheduler_core *c)
{
	*c = (struct scheduler_core){0};
	snapshot_init(&c->snapshot);
}

void core_finish(struct scheduler_core *c)
{
	snapshot_finish(&c->snapshot);
	volumes_finish(&c->volumes);
	arena_finish(&c->scratch);
	free(c->fitting);
}

void core_assign(struct scheduler_core *c, struct workload *w, const char *node)
{
	core_unassign(c, w->uid);
	snapshot_assign(&c->snapshot, w, node);
}

bool core_unassign(struct scheduler_core *c, const char *uid)
{
	struct assigned *as = snapshot_assigned(&c->snapshot, uid);
	if (as)
		snapshot_unassign(&c->snapshot, as);
	return as;
}

static size_t enough(size_t nodes)
{
	if (nodes <= ENOUGH_MIN)
		return nodes;
	size_t falls = nodes / SHARE_FALLS;
	size_t share = falls > SHARE_MOST - SHARE_LEAST ? SHARE_LEAST : SHARE_MOST - falls;
	return MAX(nodes * share / 100, (size_t)ENOUGH_MIN);
}

/* Nodes that fit, from where the pass before left off. */
static size_t find(struct scheduler_core *c, struct pass *p)
{
	struct snapshot *s = &c->snapshot;
	const uint32_t *order = snapshot_order(s);
	size_t count = 0, wanted = enough(s->alive_count);
	uint32_t looked = 0, at = s->start;
	for (; looked < s->alive_count && count < wanted; looked++) {
		uint32_t slot = order[at];
		at = at + 1 == s->alive_count ? 0 : at + 1;
		uint32_t refusal = pass_check(p, slot);
		p->refusals[slot] = refusal;
		if (!refusal)
			c->fitting[count++] = slot;
	}
	s->start = at;
	return count;
}

static size_t find_among(struct scheduler_core *c, struct pass *p)
{
	struct snapshot *s = &c->snapshot;
	const uint32_t *order = snapshot_order(s);
	size_t count = 0;
	for (size_t n = 0; n < p->only_count; n++) {
		p->refusals[p->only[n]] = pass_check(p, p->only[n]);
		if (!p->refusals[p->only[n]])
			c->fitting[count++] = p->only[n];
	}
	if (count)
		return count;
	for (uint32_t n = 0; n < s->alive_count; n++) {
		bool asked = false;
		for (size_t m = 0; m < p->only_count && !asked; m++)
			asked = p->only[m] == order[n];
		if (!asked)
			p->refusals[order[n]] = REFUSED_NOT_ASKED;
	}
	return 0;
}

static uint32_t all_refusals(const struct pass *p, struct snapshot *s)
{
	const uint32_t *order = snapshot_order(s);
	uint32_t bits = p->refused ? REFUSAL_BIT(p->refused_by) : 0;
	for (uint32_t n = 0; n < s->alive_count && !p->refused; n++)
		bits |= REFUSAL_BIT(REFUSAL_CODE(p->refusals[order[n]]));
	return bits;
}

struct placement core_place(
	struct scheduler_core *c, struct workload *w, struct random *random, struct arena *a)
{
	struct snapshot *s = &c->snapshot;
	struct pass *p = &c->pass;
	arena_reset(&c->scratch);
	if (c->fitting_room < s->slot_room) {
		c->fitting_room = s->slot_room;
		c->fitting = xrealloc(c->fitting, c->fitting_room * sizeof(*c->fitting));
	}
	pass_begin(p, s, &c->volumes, w, &c->scratch);
	size_t count = p->refused ? 0 : p->only_some ? find_among(c, p) : find(c, p);
	if (count) {
		uint32_t slot = pass_best(p, c->fitting, count, random);
		return (struct placement){.slot = slot, .node = s->info[slot]->name};
	}
	return (struct placement){
		.refused_by = all_refusals(p, s), .message = message_refused(p, a)};
}

#include "server/scheduler/preemption.h"

#include "lib/base/clock.h"
#include "server/scheduler/messages.h"

/* So many nodes where it would work are enough to choose from. */
#define CANDIDATES_MIN 100
#define CANDIDATES_SHARE 10 /* percent of the nodes */

struct victim {
	struct assigned *assigned;
	int64_t priority, started_ns; /* never started: now, or later than any */
	bool violates;
};

struct candidate {
	uint32_t slot;
	struct victim *victims;
	size_t count;
	int64_t violations, highest, sum, earliest_ns;
};

static int64_t started_ns(const struct workload *w)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const char *text = json_path_str(object_doc(w->object, &a), "status.startTime");
	int64_t ns;
	return text && time_parse_rfc3339(text, &ns) == 0 ? ns : INT64_MAX;
}

/* The most important first: those are the first to be spared. */
static int by_importance(const void *pa, const void *pb)
{
	const struct victim *a = pa, *b = pb;
	if (a->priority != b->priority)
		return a->priority > b->priority ? -1 : 1;
	if (a->started_ns != b->started_ns)
		return a->started_ns < b->started_ns ? -1 : 1;
	return strcmp(a->assigned->workload->uid, b->assigned->workload->uid);
}

static bool named(const struct budget *b, const char *name)
{
	for (size_t n = 0; n < b->disrupted_count; n++)
		if (streq(b->disrupted[n], name))
			return true;
	return false;
}

/* In order of importance each uses up what its budgets allow; who comes when nothing is left would
 * violate them. */
static void find_violations(struct victim *victims, size_t count, const struct budget *budgets,
	size_t budget_count, struct arena *a)
{
	int64_t *left = arena_alloc(a, (budget_count + 1) * sizeof(*left));
	for (size_t n = 0; n < budget_count; n++)
		left[n] = budgets[n].allowed;
	for (size_t n = 0; n < count; n++) {
		const struct workload *w = victims[n].assigned->workload;
		victims[n].violates = false;
		for (size_t m = 0; m < budget_count; m++) {
			const struct budget *b = &budgets[m];
			if (!streq(b->ns, w->ns) || !b->pods.count || !w->label_count ||
				!selector_matches_labels(&b->pods, w->labels, w->label_count) ||
				named(b, w->name))
				continue;
			if (--left[m] < 0)
				victims[n].violates = true;
		}
	}
}

struct trial {
	struct pass *pass;
	const struct budget *budgets;
	size_t budget_count;
	struct arena *a;
};

static size_t find_lower(const struct trial *t, const struct node_info *i, struct victim *victims)
{
	size_t count = 0;
	for (size_t n = 0; n < i->assigned.count; n++) {
		struct assigned *as = i->assigned.items[n];
		if (as->workload->priority < t->pass->w->priority)
			victims[count++] =
				(struct victim){.assigned = as, .priority = as->workload->priority};
	}
	return count;
}

/* Their objects are parsed for it: only where it helps that they go. */
static void put_in_order(struct victim *victims, size_t count)
{
	for (size_t n = 0; n < count; n++)
		victims[n].started_ns = started_ns(victims[n].assigned->workload);
	if (count > 1)
		qsort(victims, count, sizeof(*victims), by_importance);
}

/* Spares whom it can; the others stay removed. */
static void reprieve(const struct trial *t, struct candidate *c, struct victim *all, size_t count)
{
	for (int violating = 1; violating >= 0; violating--)
		for (size_t n = 0; n < count; n++) {
			if (all[n].violates != violating)
				continue;
			pass_account(t->pass, all[n].assigned, true);
			if (!pass_check(t->pass, c->slot))
				continue;
			pass_account(t->pass, all[n].assigned, false);
			c->violations += all[n].violates;
		}
}

static void sum_up(struct candidate *c)
{
	c->highest = INT64_MIN;
	for (size_t n = 0; n < c->count; n++) {
		const struct victim *v = &c->victims[n];
		/* So that two of negative priority weigh more than one. */
		c->sum += v->priority + INT32_MAX + INT64_C(1);
		if (v->priority < c->highest)
			continue;
		if (v->priority > c->highest)
			c->earliest_ns = INT64_MAX;
		c->highest = v->priority;
		c->earliest_ns = MIN(c->earliest_ns, v->started_ns);
	}
}

/* Everything is as it was when this returns. False with the reason when it would not help. */
static bool try_node(
	const struct trial *t, uint32_t slot, struct candidate *ret, uint32_t *ret_refusal)
{
	const struct node_info *i = t->pass->s->info[slot];
	struct victim *all = arena_alloc(t->a, (i->assigned.count + 1) * sizeof(*all));
	size_t count = find_lower(t, i, all);
	if (!count) {
		*ret_refusal = REFUSED_NO_VICTIMS;
		return false;
	}
	*ret = (struct candidate){.slot = slot, .victims = all};
	for (size_t n = 0; n < count; n++)
		pass_account(t->pass, all[n].assigned, false);
	*ret_refusal = pass_check(t->pass, slot);
	if (!*ret_refusal) {
		put_in_order(all, count);
		find_violations(all, count, t->budgets, t->budget_count, t->a);
		reprieve(t, ret, all, count);
	}
	for (size_t n = 0; n < count; n++) {
		if (!all[n].assigned->removed)
			continue;
		pass_account(t->pass, all[n].assigned, true);
		all[ret->count++] = all[n];
	}
	sum_up(ret);
	return !*ret_refusal;
}

static bool better(const struct candidate *a, const struct candidate *b)
{
	if (a->violations != b->violations)
		return a->violations < b->violations;
	if (a->highest != b->highest)
		return a->highest < b->highest;
	if (a->sum != b->sum)
		return a->sum < b->sum;
	if (a->count != b->count)
		return a->count < b->count;
	return a->earliest_ns > b->earliest_ns;
}

/* Room is being made already: on the node that it was promised, something of lower priority ends.
 */
static bool must_wait(const struct pass *p)
{
	const struct node_info *i =
		p->w->nominated ? table_get(&p->s->by_name, p->w->nominated) : NULL;
	if (!i || !p->s->rows[i->slot].alive || p->refused ||
		refusal_is_final(p->refusals[i->slot]))
		return false;
	for (size_t n = 0; n < i->assigned.count; n++)
		if (i->assigned.items[n]->workload->terminating &&
			i->assigned.items[n]->workload->priority < p->w->priority)
			return true;
	return false;
}

static struct preemption take(const struct trial *t, const struct candidate *best)
{
	struct preemption r = {.node = t->pass->s->info[best->slot]->name};
	r.victims = arena_alloc(t->a, (best->count + 1) * sizeof(struct assigned *));
	for (size_t n = 0; n < best->count; n++)
		r.victims[r.count++] = best->victims[n].assigned;
	return r;
}

struct preemption preempt(struct scheduler_core *core, const struct workload *w,
	const struct budget *budgets, size_t budget_count, struct random *random, struct arena *a)
{
	struct pass *p = &core->pass;
	struct snapshot *s = &core->snapshot;
	struct trial t = {p, budgets, budget_count, a};
	if (w->never_preempts)
		return (struct preemption){
			.message = "not eligible due to preemptionPolicy=Never."};
	if (must_wait(p))
		return (struct preemption){.message =
						   "not eligible due to a terminating pod on the "
						   "nominated node."};
	uint32_t count = s->alive_count, found = 0;
	const uint32_t *order = snapshot_order(s);
	uint32_t enough = MAX(count * CANDIDATES_SHARE / 100, (uint32_t)CANDIDATES_MIN);
	uint32_t from = count ? (uint32_t)random_below(random, count) : 0;
	struct candidate best = {0};
	bool any = snapshot_has_lower(s, w->priority);
	for (uint32_t n = 0; n < count && found < enough; n++) {
		uint32_t slot = order[(from + n) % count], *refusal = &p->refusals[slot];
		struct candidate c;
		if (p->refused || refusal_is_final(*refusal)) {
			*refusal = REFUSED_NOT_HELPFUL;
			continue;
		}
		if (!any) {
			*refusal = REFUSED_NO_VICTIMS;
			continue;
		}
		if (try_node(&t, slot, &c, refusal) && (!found++ || better(&c, &best)))
			best = c;
	}
	if (found)
		return take(&t, &best);
	p->refused = NULL;
	return (struct preemption){.message = message_refused(p, a)};
}

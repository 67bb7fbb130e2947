#include "server/scheduler/spread.h"

#include <math.h>

#include "server/scheduler/pass.h"

#define NOT_COUNTED -1

static const struct counter *counter_of(struct pass *p, const struct spread *c)
{
	const struct pod_matcher *m = &c->pods;
	return counters_get(p->s, &m, 1);
}

static bool every_node_counts(const struct pass *p, const struct spread *c)
{
	return (c->every_node || (!p->has_selector && !p->w->has_terms)) && !c->skip_tainted;
}

static bool node_counts(struct pass *p, const struct spread *c, uint32_t slot)
{
	return (c->every_node || (!p->has_selector && !p->w->has_terms) ||
		       pass_node_selected(p, slot)) &&
	       (!c->skip_tainted || pass_untolerated(p, p->s->rows[slot].taints) < 0);
}

static bool has_all_labels(const struct spread_test *tests, size_t count, uint32_t slot)
{
	for (size_t n = 0; n < count; n++)
		if (tests[n].column->at[slot] < 0)
			return false;
	return true;
}

static void find_least(struct spread_test *t)
{
	int64_t domains = 0;
	t->least = INT64_MAX;
	for (size_t n = 0; n < t->value_count; n++) {
		if (t->sum[n] == NOT_COUNTED)
			continue;
		domains++;
		t->least = MIN(t->least, t->sum[n]);
	}
	if (domains < MAX(t->constraint->min_domains, 1))
		t->least = 0;
	t->stale = false;
}

static struct spread_test make(struct pass *p, const struct spread *c)
{
	return (struct spread_test){
		.constraint = c,
		.column = snapshot_column(p->s, c->topology_key),
		.counter = counter_of(p, c),
		.stale = true,
	};
}

/* Nodes without the label, and slots without a node, have no value in the column. */
static void count_test(
	struct pass *p, struct spread_test *t, const struct spread_test *tests, size_t count)
{
	const int32_t *at = t->column->at, *here = t->counter->count;
	bool simple = count == 1 && every_node_counts(p, t->constraint);
	t->value_count = t->column->domains.count;
	t->sum = arena_alloc(p->a, (t->value_count + 1) * sizeof(*t->sum));
	for (size_t n = 0; n < t->value_count; n++)
		t->sum[n] = simple && t->column->domains.items[n].value ? 0 : NOT_COUNTED;
	for (uint32_t slot = 0; slot < p->s->slot_count; slot++) {
		if (at[slot] < 0 || (simple && !here[slot]))
			continue;
		if (!simple && (!has_all_labels(tests, count, slot) ||
				       !node_counts(p, t->constraint, slot)))
			continue;
		t->sum[at[slot]] = MAX(t->sum[at[slot]], 0) + here[slot];
	}
}

void spread_begin(struct pass *p)
{
	struct spread_test *all = arena_alloc(p->a, p->w->spread_count * sizeof(*all));
	size_t count = 0;
	for (size_t n = 0; n < p->w->spread_count; n++)
		if (p->w->spreads[n].required)
			all[count++] = make(p, &p->w->spreads[n]);
	for (size_t n = 0; n < count; n++)
		count_test(p, &all[n], all, count);
	p->spread = (struct spread_pass){all, count};
}

uint32_t spread_check(struct pass *p, uint32_t slot)
{
	for (size_t n = 0; n < p->spread.count; n++) {
		struct spread_test *t = &p->spread.tests[n];
		int32_t at = t->column->at[slot];
		if (at < 0)
			return REFUSED_SPREAD_LABEL;
		if (t->stale)
			find_least(t);
		int64_t here = MAX(t->sum[at], 0) + t->constraint->matches_itself;
		if (here - t->least > t->constraint->max_skew)
			return REFUSED_SPREAD;
	}
	return FITS;
}

void spread_account(struct pass *p, const struct assigned *as, int sign)
{
	for (size_t n = 0; n < p->spread.count; n++) {
		struct spread_test *t = &p->spread.tests[n];
		int32_t at = t->column->at[as->slot];
		if (at < 0 || t->sum[at] == NOT_COUNTED ||
			!has_all_labels(p->spread.tests, p->spread.count, as->slot) ||
			!node_counts(p, t->constraint, as->slot) ||
			!pod_matcher_matches(&t->constraint->pods, as->workload, NULL, 0))
			continue;
		t->sum[at] += sign;
		t->stale = true;
	}
}

/* ---- scores ---- */

struct wish {
	struct spread_test t;
	double weight;
};

/* Domains that none of the nodes in question is in are not worth counting. */
static void count_wish(struct pass *p, struct wish *w, const struct wish *wishes, size_t count,
	const uint32_t *slots, size_t slot_count, bool need_all)
{
	struct spread_test *t = &w->t;
	struct snapshot *s = p->s;
	size_t domains = 0;
	t->value_count = t->column->domains.count;
	t->sum = arena_alloc(p->a, (t->value_count + 1) * sizeof(*t->sum));
	for (size_t n = 0; n < t->value_count; n++)
		t->sum[n] = NOT_COUNTED;
	for (size_t n = 0; n < slot_count; n++) {
		int32_t at = t->column->at[slots[n]];
		bool all = true;
		for (size_t m = 0; m < count && need_all; m++)
			all &= wishes[m].t.column->at[slots[n]] >= 0;
		if (at < 0 || !all || t->sum[at] != NOT_COUNTED)
			continue;
		t->sum[at] = 0;
		domains++;
	}
	for (uint32_t slot = 0; slot < s->slot_count; slot++) {
		int32_t at = t->column->at[slot], here = t->counter->count[slot];
		if (!here || at < 0 || t->sum[at] == NOT_COUNTED)
			continue;
		if (node_counts(p, t->constraint, slot))
			t->sum[at] += here;
	}
	w->weight = log((double)domains + 2);
}

void spread_score(
	struct pass *p, const uint32_t *slots, size_t count, int64_t weight, int64_t *scores)
{
	size_t wish_count = 0;
	struct wish *wishes = arena_alloc(p->a, (p->w->spread_count + 1) * sizeof(*wishes));
	for (size_t n = 0; n < p->w->spread_count; n++)
		if (!p->w->spreads[n].required)
			wishes[wish_count++].t = make(p, &p->w->spreads[n]);
	if (!wish_count)
		return;
	bool need_all = !p->w->spreads_by_default;
	for (size_t n = 0; n < wish_count; n++)
		count_wish(p, &wishes[n], wishes, wish_count, slots, count, need_all);
	int64_t *raw = arena_alloc(p->a, (count + 1) * sizeof(*raw));
	int64_t least = INT64_MAX, most = INT64_MIN;
	for (size_t n = 0; n < count; n++) {
		double sum = 0;
		raw[n] = -1;
		bool all = true;
		for (size_t m = 0; m < wish_count; m++) {
			const struct spread_test *t = &wishes[m].t;
			int32_t at = t->column->at[slots[n]];
			if (at < 0)
				all = false;
			else
				sum += t->sum[at] * wishes[m].weight +
				       (double)(t->constraint->max_skew - 1);
		}
		if (!all && need_all)
			continue;
		raw[n] = (int64_t)round(sum);
		least = MIN(least, raw[n]);
		most = MAX(most, raw[n]);
	}
	for (size_t n = 0; n < count; n++)
		if (raw[n] >= 0)
			scores[n] +=
				weight * (most == 0 ? 100 : 100 * (most + least - raw[n]) / most);
}

#include "server/scheduler/pod_affinity.h"

#include "server/scheduler/pass.h"

#define HARD_AFFINITY_WEIGHT 1 /* of others' required terms, when nodes are scored */

static bool matches(const struct pass *p, const struct pod_matcher *m, const struct workload *w)
{
	const struct pods_of_namespace *ns =
		m->by_namespace_labels ? snapshot_namespace(p->s, w->ns) : NULL;
	return pod_matcher_matches(m, w, ns ? ns->labels : NULL, ns ? ns->label_count : 0);
}

static bool matches_all(
	const struct pass *p, const struct pod_term *terms, size_t count, const struct workload *w)
{
	for (size_t n = 0; n < count; n++)
		if (!matches(p, &terms[n].pods, w))
			return false;
	return true;
}

static struct affinity_sum empty_sum(struct pass *p, const char *label, const struct pod_term *term)
{
	struct affinity_sum sum = {.column = snapshot_column(p->s, label), .term = term};
	sum.sum = arena_zalloc(p->a, (sum.column->domains.count + 1) * sizeof(*sum.sum));
	return sum;
}

/* Pods that all these terms select, by the label of one of them. */
static struct affinity_sum count_term(struct pass *p, const struct pod_term *term,
	const struct counter *counter, int64_t *ret_total)
{
	struct affinity_sum sum = empty_sum(p, term->topology_key, term);
	for (uint32_t slot = 0; slot < p->s->slot_count; slot++) {
		int32_t at = sum.column->at[slot];
		if (!counter->count[slot] || at < 0)
			continue;
		sum.sum[at] += counter->count[slot];
		*ret_total += counter->count[slot];
	}
	return sum;
}

static const struct counter *counter_of_all(
	struct pass *p, const struct pod_term *terms, size_t count)
{
	const struct pod_matcher **all =
		arena_alloc(p->a, count * sizeof(const struct pod_matcher *));
	size_t distinct = 0;
	for (size_t n = 0; n < count; n++) {
		bool again = false;
		for (size_t m = 0; m < distinct; m++)
			again |= streq(all[m]->key, terms[n].pods.key);
		if (!again)
			all[distinct++] = &terms[n].pods;
	}
	return counters_get(p->s, all, distinct);
}

static struct affinity_sum *refusing_sum(struct pass *p, const char *label)
{
	struct affinity_pass *f = &p->affinity;
	for (size_t n = 0; n < f->refusing_count; n++)
		if (streq(f->refusing[n].column->key, label))
			return &f->refusing[n];
	if (f->refusing_count == f->refusing_room) {
		size_t room = f->refusing_room ? 2 * f->refusing_room : 4;
		struct affinity_sum *more = arena_alloc(p->a, room * sizeof(*more));
		if (f->refusing_count)
			memcpy(more, f->refusing, f->refusing_count * sizeof(*more));
		f->refusing = more;
		f->refusing_room = room;
	}
	f->refusing[f->refusing_count] = empty_sum(p, label, NULL);
	return &f->refusing[f->refusing_count++];
}

static void add_refusing(void *user, struct held_term *t)
{
	struct pass *p = user;
	if (t->kind != HELD_ANTI)
		return;
	struct affinity_sum *sum = refusing_sum(p, t->term.topology_key);
	for (size_t n = 0; n < t->holders.count; n++) {
		int32_t at = sum->column->at[t->holders.items[n].slot];
		if (at >= 0)
			sum->sum[at]++;
	}
}

void affinity_begin(struct pass *p)
{
	struct affinity_pass *f = &p->affinity;
	const struct workload *w = p->w;
	int64_t unused = 0;
	*f = (struct affinity_pass){0};
	if (p->s->counters.held_count[HELD_ANTI])
		counters_each_held(p->s, w, add_refusing, p);
	f->active =
		w->affinity_count || w->anti_affinity_count || p->s->counters.held_count[HELD_ANTI];
	if (w->affinity_count) {
		const struct counter *c = counter_of_all(p, w->affinity, w->affinity_count);
		f->with = arena_alloc(p->a, w->affinity_count * sizeof(*f->with));
		for (size_t n = 0; n < w->affinity_count; n++)
			f->with[n] = count_term(p, &w->affinity[n], c, &f->with_total);
		f->matches_itself = matches_all(p, w->affinity, w->affinity_count, w);
	}
	if (w->anti_affinity_count)
		f->without = arena_alloc(p->a, w->anti_affinity_count * sizeof(*f->without));
	for (size_t n = 0; n < w->anti_affinity_count; n++) {
		const struct pod_term *t = &w->anti_affinity[n];
		f->without[n] = count_term(p, t, counter_of_all(p, t, 1), &unused);
	}
}

static bool satisfies(const struct pass *p, uint32_t slot)
{
	const struct affinity_pass *f = &p->affinity;
	bool there = true;
	for (size_t n = 0; n < p->w->affinity_count; n++) {
		int32_t at = f->with[n].column->at[slot];
		if (at < 0)
			return false;
		there &= f->with[n].sum[at] > 0;
	}
	return there || (f->with_total == 0 && f->matches_itself);
}

uint32_t affinity_check(struct pass *p, uint32_t slot)
{
	const struct affinity_pass *f = &p->affinity;
	if (p->w->affinity_count && !satisfies(p, slot))
		return REFUSED_POD_AFFINITY;
	for (size_t n = 0; n < p->w->anti_affinity_count; n++) {
		int32_t at = f->without[n].column->at[slot];
		if (at >= 0 && f->without[n].sum[at] > 0)
			return REFUSED_POD_ANTI_AFFINITY;
	}
	for (size_t n = 0; n < f->refusing_count; n++) {
		int32_t at = f->refusing[n].column->at[slot];
		if (at >= 0 && f->refusing[n].sum[at] > 0)
			return REFUSED_BY_OTHERS;
	}
	return FITS;
}

void affinity_account(struct pass *p, const struct assigned *as, int sign)
{
	struct affinity_pass *f = &p->affinity;
	const struct workload *w = p->w, *other = as->workload;
	for (size_t n = 0; n < other->anti_affinity_count; n++) {
		const struct pod_term *t = &other->anti_affinity[n];
		if (!matches(p, &t->pods, w))
			continue;
		struct affinity_sum *sum = refusing_sum(p, t->topology_key);
		int32_t at = sum->column->at[as->slot];
		f->active = true;
		if (at >= 0)
			sum->sum[at] += sign;
	}
	bool with = w->affinity_count && matches_all(p, w->affinity, w->affinity_count, other);
	for (size_t n = 0; n < w->affinity_count && with; n++) {
		int32_t at = f->with[n].column->at[as->slot];
		if (at < 0)
			continue;
		f->with[n].sum[at] += sign;
		f->with_total += sign;
	}
	for (size_t n = 0; n < w->anti_affinity_count; n++) {
		int32_t at = f->without[n].column->at[as->slot];
		if (at >= 0 && matches(p, &w->anti_affinity[n].pods, other))
			f->without[n].sum[at] += sign;
	}
}

/* ---- scores ---- */

struct wishes {
	struct pass *p;
	VEC(struct affinity_sum) sums; /* weights by value of a label */
};

static struct affinity_sum *wish_sum(struct wishes *x, const char *label)
{
	for (size_t n = 0; n < x->sums.count; n++)
		if (streq(x->sums.items[n].column->key, label))
			return &x->sums.items[n];
	VEC_PUSH(&x->sums, empty_sum(x->p, label, NULL));
	return &x->sums.items[x->sums.count - 1];
}

static void add_held(void *user, struct held_term *t)
{
	struct wishes *x = user;
	if (t->kind == HELD_ANTI)
		return;
	int64_t weight = t->kind == HELD_AFFINITY ? HARD_AFFINITY_WEIGHT : t->term.weight;
	struct affinity_sum *sum = wish_sum(x, t->term.topology_key);
	for (size_t n = 0; n < t->holders.count; n++) {
		int32_t at = sum->column->at[t->holders.items[n].slot];
		if (at >= 0)
			sum->sum[at] += (int32_t)weight;
	}
}

static void add_own(struct wishes *x, const struct pod_term *t)
{
	struct pass *p = x->p;
	const struct counter *c = counter_of_all(p, t, 1);
	struct affinity_sum *sum = wish_sum(x, t->topology_key);
	for (uint32_t slot = 0; slot < p->s->slot_count; slot++) {
		int32_t at = sum->column->at[slot];
		if (c->count[slot] && at >= 0)
			sum->sum[at] += (int32_t)t->weight * c->count[slot];
	}
}

void affinity_score(
	struct pass *p, const uint32_t *slots, size_t count, int64_t weight, int64_t *scores)
{
	const size_t *held = p->s->counters.held_count;
	struct wishes x = {.p = p};
	if (held[HELD_AFFINITY] || held[HELD_PREFERRED])
		counters_each_held(p->s, p->w, add_held, &x);
	for (size_t n = 0; n < p->w->preferred_pods_count; n++)
		add_own(&x, &p->w->preferred_pods[n]);
	int64_t *raw = arena_zalloc(p->a, (count + 1) * sizeof(*raw));
	int64_t least = INT64_MAX, most = INT64_MIN;
	for (size_t n = 0; n < count && x.sums.count; n++) {
		for (size_t m = 0; m < x.sums.count; m++) {
			int32_t at = x.sums.items[m].column->at[slots[n]];
			raw[n] += at < 0 ? 0 : x.sums.items[m].sum[at];
		}
		least = MIN(least, raw[n]);
		most = MAX(most, raw[n]);
	}
	for (size_t n = 0; n < count && most > least && x.sums.count; n++)
		scores[n] += weight *
			     (int64_t)(100 * ((double)(raw[n] - least) / (double)(most - least)));
	VEC_FINISH(&x.sums);
}

#include "server/controllers/workloads/stateful_set_plan.h"

#define ORDINAL_MAX INT32_MAX
/* Pods made in one pass; a set that wants a thousand million of them costs no more than that. */
#define CREATE_MAX 500

int64_t stateful_ordinal(const char *parent, const char *pod)
{
	size_t size = strlen(parent);
	uint64_t n;
	if (strncmp(pod, parent, size) != 0 || pod[size] != '-' ||
		parse_u64(str_from(pod + size + 1), &n) < 0 || n > ORDINAL_MAX)
		return -1;
	return (int64_t)n;
}

struct plan {
	const struct stateful_set *set;
	const struct stateful_pod **replicas; /* by ordinal - start; NULL = none */
	int64_t seen; /* of the replicas, from the first: all, or CREATE_MAX of them are missing */
	const struct stateful_pod **condemned; /* highest ordinal first */
	size_t condemned_count;
	struct stateful_action *actions;
	size_t count;
};

static int highest_first(const void *pa, const void *pb)
{
	const struct stateful_pod *a = *(const struct stateful_pod *const *)pa,
				  *b = *(const struct stateful_pod *const *)pb;
	return (a->ordinal < b->ordinal) - (a->ordinal > b->ordinal);
}

static void sort_out(struct arena *a, struct plan *p)
{
	const struct stateful_set *set = p->set;
	p->replicas = arena_zalloc(a, ((size_t)p->seen + 1) * sizeof(*p->replicas));
	p->condemned = arena_alloc(a, (set->count + 1) * sizeof(*p->condemned));
	for (size_t n = 0; n < set->count; n++) {
		const struct stateful_pod *pod = &set->pods[n];
		int64_t at = pod->ordinal - set->start;
		if (at >= 0 && at < p->seen)
			p->replicas[at] = pod;
		else if (pod->ordinal >= 0 && (at < 0 || at >= set->replicas))
			p->condemned[p->condemned_count++] = pod;
	}
	if (p->condemned_count > 1)
		qsort(p->condemned, p->condemned_count, sizeof(*p->condemned), highest_first);
}

static bool unavailable(const struct stateful_pod *pod)
{
	return !pod || !pod->available || pod->deleting;
}

static void add_delete(struct plan *p, const struct stateful_pod *pod)
{
	p->actions[p->count++] = (struct stateful_action){
		.what = STATEFUL_DELETE, .ordinal = pod->ordinal, .pod = pod->object};
}

/* The pods that should be there. False = nothing else may happen before they are. */
static bool plan_replicas(struct plan *p)
{
	const struct stateful_set *set = p->set;
	bool on = true;
	for (int64_t n = 0; n < p->seen; n++) {
		const struct stateful_pod *pod = p->replicas[n];
		if (!pod) {
			p->actions[p->count++] = (struct stateful_action){.what = STATEFUL_CREATE,
				.ordinal = set->start + n,
				.updated = set->on_delete || n >= set->partition};
			on = false;
		} else if (pod->terminal) {
			if (!pod->deleting)
				add_delete(p, pod);
			on = false;
		} else if (!set->parallel && unavailable(pod)) {
			on = false;
		}
		if (!on && !set->parallel)
			return false;
	}
	return on || set->parallel;
}

/* Those beyond the number that is wanted. In order, one goes when all before it are available;
 * but for the first that is not, which nothing else would ever mend. */
static bool plan_condemned(struct plan *p)
{
	const struct stateful_pod *first_unavailable = NULL;
	for (size_t n = p->condemned_count; n > 0 && !first_unavailable; n--)
		if (unavailable(p->condemned[n - 1]))
			first_unavailable = p->condemned[n - 1];
	for (size_t n = 0; n < p->condemned_count; n++) {
		const struct stateful_pod *pod = p->condemned[n];
		if (p->set->parallel) {
			if (!pod->deleting)
				add_delete(p, pod);
			continue;
		}
		if (!pod->deleting && (pod->available || pod == first_unavailable))
			add_delete(p, pod);
		return false;
	}
	return true;
}

/* Pods of another revision go, from the highest ordinal down to the partition, and each waits for
 * those above it. A pod below that is not available keeps none above it from being updated. */
static void plan_update(struct plan *p)
{
	const struct stateful_set *set = p->set;
	for (int64_t n = set->replicas - 1; n >= set->partition; n--) {
		const struct stateful_pod *pod = p->replicas[n];
		if (pod && !pod->deleting && !streq(pod->revision, set->update)) {
			add_delete(p, pod);
			return;
		}
		if (unavailable(pod))
			return;
	}
}

/* The same with several at a time. What is not available anyway costs nothing. */
static void plan_wide_update(struct plan *p)
{
	const struct stateful_set *set = p->set;
	int64_t down = 0;
	for (int64_t n = 0; n < set->replicas; n++)
		down += unavailable(p->replicas[n]);
	for (int64_t n = set->replicas - 1; n >= set->partition; n--) {
		const struct stateful_pod *pod = p->replicas[n];
		if (!pod || pod->deleting || streq(pod->revision, set->update))
			continue;
		bool costs = !unavailable(pod);
		if (costs && down >= set->max_unavailable)
			continue;
		add_delete(p, pod);
		down += costs;
	}
}

size_t stateful_plan(struct arena *a, const struct stateful_set *set, struct stateful_action **ret)
{
	struct plan p = {
		.set = set, .seen = MIN(MAX(set->replicas, 0), (int64_t)set->count + CREATE_MAX)};
	p.actions = arena_alloc(a, ((size_t)p.seen + set->count + 1) * sizeof(*p.actions));
	*ret = p.actions;
	sort_out(a, &p);
	if (!plan_replicas(&p) || !plan_condemned(&p) || set->on_delete)
		return p.count;
	/* A parallel set acts on what is missing and what is too much first. */
	if (p.count)
		return p.count;
	if (set->max_unavailable > 1)
		plan_wide_update(&p);
	else
		plan_update(&p);
	return p.count;
}

struct stateful_counts stateful_count(const struct stateful_set *set)
{
	struct stateful_counts c = {0};
	for (size_t n = 0; n < set->count; n++) {
		const struct stateful_pod *pod = &set->pods[n];
		c.replicas++;
		c.ready += pod->ready;
		c.available += pod->available;
		if (pod->deleting)
			continue;
		c.current += streq(pod->revision, set->current);
		c.updated += streq(pod->revision, set->update);
	}
	return c;
}

bool stateful_complete(const struct stateful_set *set, const struct stateful_counts *c)
{
	return !set->on_delete && c->updated == set->replicas && c->ready == set->replicas &&
	       c->replicas == set->replicas;
}

enum claim_keeper stateful_claim_keeper(
	bool delete_with_set, bool delete_when_scaled, bool beyond_replicas)
{
	if (delete_when_scaled && beyond_replicas)
		return KEEPER_POD;
	return delete_with_set ? KEEPER_SET : KEEPER_NOBODY;
}

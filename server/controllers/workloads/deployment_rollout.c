#include "server/controllers/workloads/deployment_rollout.h"

#include <math.h>

#include "server/controllers/meta.h"

static int64_t part_of(const struct json *v, int64_t whole, bool round_up)
{
	return v ? count_or_part(v, whole, round_up) : percent_of(25, whole, round_up);
}

struct rollout_limits rollout_limits(
	int64_t replicas, const struct json *max_surge, const struct json *max_unavailable)
{
	struct rollout_limits l = {
		.replicas = replicas,
		.surge = part_of(max_surge, replicas, true),
		.unavailable = part_of(max_unavailable, replicas, false),
	};
	if (!l.surge && !l.unavailable)
		l.unavailable = 1;
	l.unavailable = MIN(l.unavailable, replicas);
	return l;
}

int64_t rollout_grow_new(const struct rollout_limits *l, int64_t new_replicas, int64_t total)
{
	if (new_replicas >= l->replicas)
		return l->replicas;
	int64_t room = l->replicas + l->surge - total;
	if (room <= 0)
		return new_replicas;
	return new_replicas + MIN(room, l->replicas - new_replicas);
}

static int older_first(const void *pa, const void *pb)
{
	const struct rollout_set *a = *(struct rollout_set *const *)pa,
				 *b = *(struct rollout_set *const *)pb;
	if (a->created_ns != b->created_ns)
		return a->created_ns < b->created_ns ? -1 : 1;
	return strcmp(a->name, b->name);
}

static int larger_then_newer(const void *pa, const void *pb)
{
	const struct rollout_set *a = *(struct rollout_set *const *)pa,
				 *b = *(struct rollout_set *const *)pb;
	if (a->replicas != b->replicas)
		return a->replicas > b->replicas ? -1 : 1;
	return older_first(pb, pa);
}

static int larger_then_older(const void *pa, const void *pb)
{
	const struct rollout_set *a = *(struct rollout_set *const *)pa,
				 *b = *(struct rollout_set *const *)pb;
	if (a->replicas != b->replicas)
		return a->replicas > b->replicas ? -1 : 1;
	return older_first(pa, pb);
}

int64_t rollout_shrink_old(const struct rollout_limits *l, const struct rollout_set *new,
	struct rollout_set **olds, size_t count)
{
	int64_t total = new ? new->replicas : 0, available = new ? new->available : 0,
		old_total = 0;
	for (size_t n = 0; n < count; n++) {
		olds[n]->target = olds[n]->replicas;
		old_total += olds[n]->replicas;
		available += olds[n]->available;
	}
	total += old_total;
	int64_t min_available = l->replicas - l->unavailable;
	int64_t new_unavailable = new ? new->replicas - new->available : 0;
	int64_t may_go = total - min_available - new_unavailable;
	if (!old_total || may_go <= 0)
		return 0;
	qsort(olds, count, sizeof(*olds), older_first);

	/* Replicas that serve nobody go first: they cost no availability. */
	int64_t gone = 0;
	for (size_t n = 0; n < count && gone < may_go; n++) {
		int64_t idle = MAX(olds[n]->replicas - olds[n]->available, 0);
		int64_t part = MIN(may_go - gone, idle);
		olds[n]->target -= part;
		gone += part;
	}
	int64_t surplus = available - min_available, taken = 0;
	for (size_t n = 0; n < count && taken < surplus; n++) {
		int64_t part = MIN(olds[n]->target, surplus - taken);
		olds[n]->target -= part;
		taken += part;
	}
	return gone + taken;
}

static int64_t share(
	const struct rollout_limits *l, int64_t status_replicas, const struct rollout_set *set)
{
	if (l->replicas == 0)
		return -set->replicas;
	int64_t base = set->max_replicas ? set->max_replicas : status_replicas;
	if (base <= 0)
		return 0;
	double size = (double)set->replicas * (double)(l->replicas + l->surge) / (double)base;
	return (int64_t)llround(size) - set->replicas;
}

void rollout_spread(const struct rollout_limits *l, int64_t status_replicas,
	struct rollout_set **sets, size_t count)
{
	int64_t total = 0, spread = 0;
	for (size_t n = 0; n < count; n++)
		total += sets[n]->replicas;
	int64_t change = (l->replicas ? l->replicas + l->surge : 0) - total;
	if (count > 1)
		qsort(sets, count, sizeof(*sets),
			change > 0 ? larger_then_newer : larger_then_older);
	for (size_t n = 0; n < count; n++) {
		int64_t part = 0, left = change - spread;
		if (sets[n]->replicas && left)
			part = share(l, status_replicas, sets[n]);
		part = change > 0 ? MIN(part, left) : MAX(part, left);
		sets[n]->target = sets[n]->replicas + part;
		spread += part;
	}
	/* What rounding left over goes to the largest. */
	if (count && change)
		sets[0]->target = MAX(sets[0]->target + change - spread, 0);
	for (size_t n = 0; n < count; n++)
		sets[n]->target = MAX(sets[n]->target, 0);
}

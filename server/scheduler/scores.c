/* scores.c - which of the nodes that will do is best: upstream's scores of 0 to 100, and its
 * weights.
 */
#include <math.h>

#include "server/scheduler/pass.h"

#define WEIGHT_TAINTS 3
#define WEIGHT_NODE_AFFINITY 2
#define WEIGHT_SPREAD 2
#define WEIGHT_POD_AFFINITY 2

#define IMAGE_LEAST (INT64_C(23) << 20)
#define IMAGE_MOST_PER_CONTAINER (INT64_C(1000) << 20)

static int64_t least_allocated(const struct node_row *row, const struct workload *w)
{
	int64_t sum = 0, counted = 0;
	for (size_t n = CPU; n <= MEMORY; n++) {
		int64_t all = row->allocatable[n], used = row->scored[n] + w->scored[n];
		if (!all)
			continue;
		counted++;
		if (used <= all)
			sum += (all - used) * 100 / all;
	}
	return counted ? sum / counted : 0;
}

static int64_t balanced(const struct node_row *row, const struct workload *w)
{
	double share[2], away;
	for (size_t n = CPU; n <= MEMORY; n++) {
		if (!row->allocatable[n])
			return 100; /* of one resource alone, or none */
		share[n] = (double)(row->used[n] + w->request[n]) / (double)row->allocatable[n];
		share[n] = MIN(share[n], 1.0);
	}
	away = fabs((share[CPU] - share[MEMORY]) / 2);
	return (int64_t)((1 - away) * 100);
}

/* 100 for the most, or for the least when `reverse`. */
static void add_normalized(
	int64_t *scores, const int64_t *raw, size_t count, int64_t weight, bool reverse)
{
	int64_t most = 0;
	for (size_t n = 0; n < count; n++)
		most = MAX(most, raw[n]);
	for (size_t n = 0; n < count; n++) {
		int64_t score = most ? raw[n] * 100 / most : 0;
		scores[n] += weight * (reverse ? 100 - score : score);
	}
}

static void taints(struct pass *p, const uint32_t *slots, size_t count, int64_t *scores)
{
	struct snapshot *s = p->s;
	int64_t *by_set = arena_zalloc(p->a, s->taint_sets.count * sizeof(*by_set));
	bool any = false;
	for (size_t set = 1; set < s->taint_sets.count; set++)
		for (size_t n = 0; n < s->taint_sets.items[set].count; n++) {
			const struct taint *t = &s->taint_sets.items[set].taints[n];
			if (t->effect != TAINT_PREFER_NO_SCHEDULE || workload_tolerates(p->w, t))
				continue;
			by_set[set]++;
			any = true;
		}
	if (!any)
		return; /* the same for all */
	int64_t *raw = arena_alloc(p->a, (count + 1) * sizeof(*raw));
	for (size_t n = 0; n < count; n++)
		raw[n] = by_set[s->rows[slots[n]].taints];
	add_normalized(scores, raw, count, WEIGHT_TAINTS, true);
}

static void node_affinity(struct pass *p, const uint32_t *slots, size_t count, int64_t *scores)
{
	if (!p->w->preferred_count)
		return;
	int64_t *raw = arena_zalloc(p->a, (count + 1) * sizeof(*raw));
	for (size_t n = 0; n < count; n++)
		for (size_t m = 0; m < p->w->preferred_count; m++)
			if (p->preferred[m].weight &&
				node_test_passes(&p->preferred[m], p->s, slots[n]))
				raw[n] += p->preferred[m].weight;
	add_normalized(scores, raw, count, WEIGHT_NODE_AFFINITY, false);
}

/* An image counts by its size, and by how many nodes have it, so that the first node which has it
 * does not draw everything. */
static void images(struct pass *p, const uint32_t *slots, size_t count, int64_t *scores)
{
	const struct workload *w = p->w;
	double *share = arena_alloc(p->a, (w->image_count + 1) * sizeof(*share));
	bool any = false;
	for (size_t n = 0; n < w->image_count; n++) {
		uintptr_t nodes = (uintptr_t)table_get(&p->s->images, w->images[n]);
		share[n] = (double)nodes / (double)MAX(p->s->alive_count, 1u);
		any |= nodes > 0;
	}
	if (!any)
		return;
	int64_t most = IMAGE_MOST_PER_CONTAINER * (int64_t)w->image_count;
	for (size_t n = 0; n < count; n++) {
		const struct node_state *node = &p->s->info[slots[n]]->state;
		int64_t sum = 0;
		for (size_t m = 0; m < node->image_count; m++)
			for (size_t k = 0; k < w->image_count; k++)
				if (streq(node->images[m].name, w->images[k]))
					sum += (int64_t)((double)node->images[m].size_bytes *
							 share[k]);
		sum = MIN(MAX(sum, IMAGE_LEAST), most);
		scores[n] += 100 * (sum - IMAGE_LEAST) / (most - IMAGE_LEAST);
	}
}

void pass_scores(struct pass *p, const uint32_t *slots, size_t count, int64_t *ret)
{
	for (size_t n = 0; n < count; n++) {
		const struct node_row *row = &p->s->rows[slots[n]];
		ret[n] = least_allocated(row, p->w) + balanced(row, p->w);
	}
	if (p->s->taint_sets.count > 1)
		taints(p, slots, count, ret);
	node_affinity(p, slots, count, ret);
	images(p, slots, count, ret);
	if (p->w->spread_count)
		spread_score(p, slots, count, WEIGHT_SPREAD, ret);
	affinity_score(p, slots, count, WEIGHT_POD_AFFINITY, ret);
}

uint32_t pass_best(struct pass *p, const uint32_t *slots, size_t count, struct random *random)
{
	if (count == 1)
		return slots[0];
	int64_t *scores = arena_alloc(p->a, count * sizeof(*scores));
	pass_scores(p, slots, count, scores);
	size_t best = 0;
	uint64_t ties = 1;
	for (size_t n = 1; n < count; n++) {
		if (scores[n] > scores[best]) {
			best = n;
			ties = 1;
		} else if (scores[n] == scores[best] && random_below(random, ++ties) == 0) {
			best = n;
		}
	}
	return slots[best];
}

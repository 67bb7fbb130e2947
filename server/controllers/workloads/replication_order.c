#include "server/controllers/workloads/replication_order.h"

/* -1, 0, 1 as a is less, equal, more. */
static int order(int64_t a, int64_t b)
{
	return (a > b) - (a < b);
}

static int64_t bucket(int64_t since_ns, int64_t now_ns)
{
	if (!now_ns)
		return -since_ns;
	uint64_t age_ns = now_ns > since_ns ? (uint64_t)(now_ns - since_ns) : 0;
	return age_ns ? 63 - __builtin_clzll(age_ns) : -1;
}

/* Of two times, each with its bucket: one that is not known before any other. */
static int younger(int64_t a_ns, int64_t a_bucket, int64_t b_ns, int64_t b_bucket,
	const struct object *a, const struct object *b)
{
	if (a_ns == b_ns)
		return 0;
	if (!a_ns || !b_ns)
		return a_ns ? 1 : -1;
	int r = order(a_bucket, b_bucket);
	return r ? r : strcmp(a->uid, b->uid);
}

static int compare(const void *pa, const void *pb)
{
	const struct deletion_rank *a = pa, *b = pb;
	const struct pod_view *x = a->pod, *y = b->pod;
	int r = order(x->node[0] != '\0', y->node[0] != '\0');
	if (!r)
		r = order(x->phase, y->phase);
	if (!r)
		r = order(x->ready, y->ready);
	if (!r)
		r = order(x->deletion_cost, y->deletion_cost);
	if (!r)
		r = order(b->neighbours, a->neighbours);
	if (!r)
		r = younger(x->ready_since_ns, a->ready_bucket, y->ready_since_ns, b->ready_bucket,
			a->object, b->object);
	if (!r)
		r = order(y->restarts, x->restarts);
	if (!r)
		r = younger(x->created_ns, a->created_bucket, y->created_ns, b->created_bucket,
			a->object, b->object);
	return r ? r : strcmp(a->object->uid, b->object->uid);
}

void deletion_order(struct deletion_rank *ranks, size_t count, int64_t now_ns)
{
	for (size_t n = 0; n < count; n++) {
		ranks[n].ready_bucket = bucket(ranks[n].pod->ready_since_ns, now_ns);
		ranks[n].created_bucket = bucket(ranks[n].pod->created_ns, now_ns);
	}
	qsort(ranks, count, sizeof(*ranks), compare);
}

#include "server/controllers/workloads/replication_order.h"

/* -1, 0, 1 as a is less, equal, more. */
static int order(int64_t a, int64_t b)
{
	return (a > b) - (a < b);
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
		r = order(y->ready_since_ns, x->ready_since_ns);
	if (!r)
		r = order(y->restarts, x->restarts);
	if (!r)
		r = order(y->created_ns, x->created_ns);
	return r ? r : strcmp(a->object->name, b->object->name);
}

void deletion_order(struct deletion_rank *ranks, size_t count)
{
	qsort(ranks, count, sizeof(*ranks), compare);
}

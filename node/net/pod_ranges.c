#include "node/net/pod_ranges.h"

#include <stdlib.h>

#include "node/net/netd/netd_proto.h"

static bool overlap(const struct net_range *a, const struct net_range *b)
{
	return net_range_has(a, &b->address) || net_range_has(b, &a->address);
}

/* By address; at one address the narrowest last, and of equal ones the first of the list. */
static int by_place(const void *x, const void *y)
{
	const struct pod_range *a = *(struct pod_range *const *)x,
			       *b = *(struct pod_range *const *)y;
	int r = memcmp(&a->range.address, &b->range.address, sizeof(a->range.address));

	if (r)
		return r;
	if (a->range.prefix != b->range.prefix)
		return a->range.prefix < b->range.prefix ? -1 : 1;
	return a > b ? -1 : a < b;
}

/* The range of the sorted ones that has the address, if any. */
static struct pod_range *range_of(
	struct pod_range *const *sorted, size_t count, const struct net_address *a)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (memcmp(&sorted[middle]->range.address, a, sizeof(*a)) <= 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low && net_range_has(&sorted[low - 1]->range, a) ? sorted[low - 1] : NULL;
}

static const char *by_itself(
	const struct net_range *r, const struct net_range *taken, size_t taken_count)
{
	if (!netd_range_ok(r, r->address.family))
		return "it is not a range for pods: unicast, no wider than /8";
	for (size_t i = 0; i < taken_count; i++)
		if (taken[i].address.family && overlap(r, &taken[i]))
			return "it overlaps the range of services or of this node's pods";
	return NULL;
}

void pod_ranges_check(struct pod_range *list, size_t count, const struct net_range *taken,
	size_t taken_count, const struct net_address here[2])
{
	struct pod_range **sorted = xcalloc(count + 1, sizeof(struct pod_range *)), *r;
	size_t n = 0, first;

	for (size_t i = 0; i < count; i++) {
		list[i].refused = by_itself(&list[i].range, taken, taken_count);
		if (!list[i].refused)
			sorted[n++] = &list[i];
	}
	qsort(sorted, n, sizeof(struct pod_range *), by_place);
	/* Ranges that overlap lie one in the other: what has any later one has the next. */
	first = n;
	for (size_t i = n; i-- > 0;) {
		if (first < n && overlap(&sorted[i]->range, &sorted[first]->range))
			sorted[i]->refused = "another Node's range is in it, or the same";
		else
			sorted[--first] = sorted[i];
	}
	/* Nor may it take what is sent to a node. */
	for (size_t i = 0; i < count + 2; i++) {
		r = range_of(
			sorted + first, n - first, i < count ? &list[i].node : &here[i - count]);
		if (r)
			r->refused = "a node's address is in it";
	}
	free(sorted);
}

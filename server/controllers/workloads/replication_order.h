/* replication_order.h - which of a set's pods goes first when there are too many. Pure. */
#pragma once

#include "server/controllers/pod_views.h"

struct deletion_rank {
	const struct pod_view *pod;
	struct object *object;
	int64_t neighbours; /* active pods of the same family on the pod's node */
	/* inside replication_order.c */
	int64_t ready_bucket, created_bucket;
};
/* Sorts: first goes first. Unassigned before assigned; Pending, Unknown, Running; not ready before
 * ready; lower deletion cost; more neighbours; ready for less time; more restarts; younger. Times
 * count by the power of two of the age, so that it is not always the newest pods that go, and those
 * of one power go in the order of their uids, which is any (KEP-2185); with now_ns 0 they count as
 * they are. */
void deletion_order(struct deletion_rank *ranks, size_t count, int64_t now_ns);

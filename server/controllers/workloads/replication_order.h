/* replication_order.h - which of a set's pods goes first when there are too many. Pure. */
#pragma once

#include "server/controllers/pod_views.h"

struct deletion_rank {
	const struct pod_view *pod;
	struct object *object;
	int64_t neighbours; /* ready pods of the same family on the pod's node */
};
/* Sorts: first goes first. Unassigned before assigned; Pending, Unknown, Running; not ready before
 * ready; lower deletion cost; more neighbours; ready for less time; more restarts; younger. */
void deletion_order(struct deletion_rank *ranks, size_t count);

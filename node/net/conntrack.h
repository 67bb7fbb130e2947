/* conntrack.h - forgets translations of UDP: a client that keeps sending keeps its entry alive, so
 * without this it would go on to an endpoint that is gone. TCP ends by itself. */
#pragma once

#include "node/net/netd_proto.h"

/* For each endpoint of UDP that the ops remove (and that no op of the same batch puts back): its
 * entries go. Best effort: the number of them, or negative errno. */
int conntrack_forget(const struct netd_op *ops, size_t count);

/* conntrack.h - forgets connections.
 *
 * Translations of UDP: a client that keeps sending keeps its entry alive, so
 * without this it would go on to an endpoint that is gone. TCP ends by itself.
 */
#pragma once

#include "node/net/netd/netd_proto.h"

/* Does what the ops of type NETD_FORGET say. Best effort: the number of connections that are
 * forgotten, or negative errno. */
int conntrack_forget(const struct netd_op *ops, size_t count);

/* `ops` is all that services are (a full synchronisation): forgets translations of UDP to what is
 * no endpoint of theirs any more, or that were made before there was one; as after a time in which
 * no agent ran. Best effort, as above. */
int conntrack_forget_stale(const struct netd_op *ops, size_t count);

/* Whatever goes to or from one of these addresses: they are somebody else's now, and what was let
 * through for the one before must not be for the one after. Best effort, as above. */
int conntrack_forget_addresses(const struct net_address *list, size_t count);

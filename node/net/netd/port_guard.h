/* port_guard.h - keeps the bridge's ports to the addresses that their pods and machines were given.
 * Part of netd.
 *
 * Policies, here and on other nodes, judge by addresses; so whoever may send raw packets must not
 * send from another's. The table "bridge hanok-ports" sees each frame where it enters a bridge:
 *
 *   known                ports that are judged; all others pass
 *   macs own_macs        a MAC of a known port comes from that port alone
 *   own4 own6            port and address: these may be sources, in ARP too
 *   range4 range6        pods' ranges of all nodes: no other address of theirs may
 *   checked checked_macs ports of other bridges, and the one MAC that each may send from
 *   targets own_targets  likewise what neighbour advertisements speak of; of this node's range no
 *                        free address either, nor may it be tried for doubles
 *
 * An address outside the pods' ranges is whatever the guest makes of it (a network of its own
 * between guests). What only routers and DHCP servers say is dropped: no pod is one. */
#pragma once

#include "node/net/netd/nft_batch.h"

#define NETD_PORTS_TABLE "hanok-ports"

/* The table as text for nft(8): idempotent, keeps the elements that are there. */
void port_guard_write(struct buf *out, const struct netd_config *c, const struct net_range *nets);
/* 1 = the table is there, 0 = it is not, or negative. */
int port_guard_exists(struct nft_socket *s);
/* The elements for these ports, beside those that are there or (replace) in their place. One
 * transaction. -EINVAL for ports that are wrong, else what the kernel says. */
int port_guard_apply(struct nft_socket *s, const struct netd_config *c,
	const struct netd_port *ports, size_t count, bool replace, struct err *err) _must_check_;

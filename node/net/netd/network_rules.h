/* network_rules.h - what passes between networks of the node's own and everything else. Part of
 * netd.
 *
 * The table "ip hanok-networks", written as a whole: of a network with NAT guests go out by the
 * host's address, and only what they asked for, or a port mapping leads to them, comes in; of an
 * isolated one nothing goes anywhere but DHCP to the node. Bridges of ours have no IPv6 at all
 * (networks.c), so there is none to be judged. What goes between two ports of one bridge passes. */
#pragma once

#include "node/net/netd/netd_proto.h"

#define NETD_NETWORKS_TABLE "hanok-networks"

/* As text for nft(8); removes the table when there are none but of kind NETD_GIVEN. */
void network_rules_write(struct buf *out, const struct netd_network *list, size_t count);

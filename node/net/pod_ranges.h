/* pod_ranges.h - which of the ranges that Nodes say to have for their pods are believed. A Node's
 * podCIDR becomes a route of this host and an element of a set of disjoint ranges: one that is as
 * wide as half of the internet, or another's too, must not take anything from the rest. */
#pragma once

#include "node/net/address.h"

struct pod_range {
	struct net_range range;
	struct net_address node; /* where it is sent to */
	const char *refused;	 /* result: why; NULL = it is believed */
};
/* taken: ranges that are somebody else's: services, this node's pods. here: this node's own
 * addresses; family 0 = none. Of two that overlap the narrower one is believed, of equal ones
 * the first in the list. */
void pod_ranges_check(struct pod_range *list, size_t count, const struct net_range *taken,
	size_t taken_count, const struct net_address here[2]);

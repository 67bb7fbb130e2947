/* address.h - an IPv4 or IPv6 address, and a range of them, in one form for both. Bytes are in
 * network order; those of IPv4 are the first four, the rest is zero, so that comparing memory
 * compares addresses. */
#pragma once

#include <netinet/in.h>

#include "lib/base/str.h"

#define NET_ADDRESS_TEXT INET6_ADDRSTRLEN

struct net_address {
	uint32_t family; /* AF_INET, AF_INET6; 0 = none */
	uint8_t bytes[16];
};

struct net_range {
	struct net_address address; /* host bits are zero */
	uint32_t prefix;
};

/* -EINVAL when it is neither; NULL is not an address. */
int net_address_parse(const char *text, struct net_address *ret) _must_check_;
/* Returns ret. */
const char *net_address_format(const struct net_address *a, char ret[NET_ADDRESS_TEXT]);
struct net_address net_address_v4(uint32_t network_order);
uint32_t net_address_to_v4(const struct net_address *a); /* network order; 0 if it is not IPv4 */
static inline bool net_address_eq(const struct net_address *a, const struct net_address *b)
{
	return !memcmp(a, b, sizeof(*a));
}
/* 4 or 16. */
static inline size_t net_address_size(const struct net_address *a)
{
	return a->family == AF_INET6 ? 16 : 4;
}
/* Something that a packet may be sent to from another host: not unspecified, loopback, multicast
 * or broadcast. */
bool net_address_is_unicast(const struct net_address *a);
/* No address: all zero. */
static inline bool net_address_is_none(const struct net_address *a)
{
	static const struct net_address none;

	return !memcmp(a, &none, sizeof(none));
}
/* Well formed: a known family, unused bytes zero. */
bool net_address_is_valid(const struct net_address *a);
/* The address `n` after this one. */
struct net_address net_address_plus(const struct net_address *a, uint32_t n);

/* "10.244.0.0/24", "fd00::/64": host bits must be zero; -EINVAL. */
int net_range_parse(const char *text, struct net_range *ret) _must_check_;
/* The same with host bits, which are cleared: "10.1.2.3/8" is 10.0.0.0/8. */
int net_range_parse_loose(const char *text, struct net_range *ret) _must_check_;
bool net_range_has(const struct net_range *r, const struct net_address *a);
bool net_range_is_valid(const struct net_range *r); /* host bits zero, prefix in bounds */
/* Returns ret. */
const char *net_range_format(const struct net_range *r, char ret[NET_ADDRESS_TEXT + 4]);

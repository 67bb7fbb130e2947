/* links.h - the kernel's links, addresses and routes, by rtnetlink. Each function brings about a
 * state and does nothing when it is there already. Calls take microseconds, so they run on the
 * loop's thread. */
#pragma once

#include <net/if.h>

#include "lib/base/err.h"
#include "node/net/address.h"

/* Marks our routes (rtm_protocol), so that stale ones are found and others' are left alone. */
#define LINKS_ROUTE_PROTOCOL 104

struct links;
int links_open(struct links **ret, struct err *err) _must_check_;
void links_close(struct links *l);

/* An address with the prefix of its network. */
struct links_address {
	struct net_address address;
	unsigned prefix;
};
/* The bridge exists, has these addresses (and no others but IPv6 link-local ones), and is up.
 * Its MAC address is made from `seed`, so that it does not change with its ports. */
int links_ensure_bridge(struct links *l, const char *name, const struct links_address *addresses,
	size_t count, const char *seed, struct err *err) _must_check_;

struct links_route {
	struct net_range to;
	struct net_address via; /* family 0 = directly on the bridge */
};
/* Exactly these routes of ours exist. A gateway that can't be reached is left out and told in *err
 * with -EHOSTUNREACH, after the others were done. */
int links_set_routes(struct links *l, const char *bridge, const struct links_route *routes,
	size_t count, struct err *err) _must_check_;

/* Every port of the bridge may get back what it sent (bridge port flag "hairpin"). */
int links_set_hairpin(struct links *l, const char *bridge, struct err *err) _must_check_;

/* What there is. */
struct links_info {
	char name[IFNAMSIZ];
	unsigned index, master; /* of the kernel; master 0 = of no bridge */
	bool bridge;
	char alias[128]; /* cut when it is longer */
};
/* All links, in *ret, which is to be freed. */
int links_read(
	struct links *l, struct links_info **ret, size_t *ret_count, struct err *err) _must_check_;
/* mtu 0: stays as it is. */
int links_set_alias(struct links *l, const char *name, const char *alias, unsigned mtu,
	struct err *err) _must_check_;
int links_delete(struct links *l, const char *name, struct err *err) _must_check_;

/* Writes a value under /proc/sys unless it is there; false when that can't be. */
bool links_sysctl(const char *path, const char *value);

/* net_config.h - what a NetworkAttachmentDefinition says (k8s.cni.cncf.io/v1, spec.config): a CNI
 * network configuration or list of them, read once and checked. Pure.
 *
 * Types (docs/decisions/0021):
 *     bridge, cnv-bridge   a bridge of the host: the administrator's with its uplink, or one that
 *                          is made while guests use it
 *     hanok-nat            a network of its own with DHCP; out by the host's address, in by
 *                          portMappings
 *     hanok-isolated       a network of its own without a way out
 *
 * Members and their meaning are CNI's (SPEC.md, plugins bridge, host-local and portmap) where CNI
 * has them; `hosts` in ipam and `ip` in portMappings are additions. */
#pragma once

#include <net/if.h>

#include "lib/json/json.h"
#include "node/net/address.h"

#define NET_CONFIG_MAX_BYTES 65536
#define NET_CONFIG_HOSTS_MAX 4096
#define NET_CONFIG_PORTS_MAX 1024
#define NET_CONFIG_NAMES_MAX 8

enum net_kind { NET_KIND_BRIDGE, NET_KIND_NAT, NET_KIND_ISOLATED };

/* A guest whose address is fixed. */
struct net_config_host {
	uint8_t mac[6];
	struct net_address address;
};

/* A port of the node that leads to a guest. */
struct net_config_port {
	struct net_address host; /* of the node; family 0 = all */
	struct net_address to;
	uint8_t proto; /* IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP */
	uint16_t port, to_port;
};

struct net_config {
	enum net_kind kind;
	char bridge[IFNAMSIZ];
	bool mac_check; /* guests send from their own MAC address alone */
	unsigned mtu;	/* 0 = the host's default */
	/* Without a range the node gives no addresses. */
	struct net_range range;	     /* family 0 = none */
	struct net_address gateway;  /* the node's own in it */
	bool default_route;	     /* guests are told to go out by the gateway */
	struct net_address from, to; /* what guests without a fixed address get */
	struct net_config_host *hosts;
	size_t host_count;
	struct net_config_port *ports;
	size_t port_count;
	const char *servers[NET_CONFIG_NAMES_MAX + 1]; /* dns; lists end with NULL */
	const char *searches[NET_CONFIG_NAMES_MAX + 1];
};

/* The text of spec.config; `name` ("NAMESPACE/NAME") makes the bridge's name where none is given.
 * What *ret points to is in the arena. -EINVAL: it is wrong; -EOPNOTSUPP: it asks for what this
 * node can't do. Both name the member. */
int net_config_read(struct arena *a, const char *name, const char *text, size_t size,
	struct net_config *ret, struct err *err) _must_check_;
/* The fixed address of a MAC address; NULL. */
const struct net_config_host *net_config_host_of(const struct net_config *c, const uint8_t mac[6]);
/* The fixed address is somebody's. */
bool net_config_is_fixed(const struct net_config *c, const struct net_address *address);

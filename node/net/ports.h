/* ports.h - which port of the bridge is whose: tells netd, which keeps each to its addresses
 * (port_guard.h). */
#pragma once

#include <uv.h>

#include "node/net/netd_client.h"

#define PORTS_CNI_RESULTS "/var/lib/cni/results"

/* A port as the host calls it, and the MAC address behind it. */
struct net_port {
	char name[NETD_PORT_NAME];
	uint8_t mac[6];
};

struct ports;
struct ports *ports_create(uv_loop_t *loop, struct netd_client *netd);
void ports_destroy(struct ports *p); /* NULL allowed */
/* A pod or machine has this port and these addresses, in place of what it had. */
void ports_set(struct ports *p, const char *uid, const struct net_port *port,
	const struct net_address *addresses, size_t count);
/* A port of another bridge, where addresses are the guests' matter: it is kept to its MAC. */
void ports_set_mac(struct ports *p, const char *uid, const struct net_port *port);
void ports_remove(struct ports *p, const char *uid);
/* Who else on the pods' bridge has this MAC address; NULL. */
const char *ports_owner_of_mac(const struct ports *p, const uint8_t mac[6], const char *but);

/* netd has no state any more; it can take everything. */
void ports_stale(struct ports *p);
void ports_resync(struct ports *p);
/* The answer to one of our messages; false: it is not ours. */
bool ports_result(struct ports *p, uint32_t serial, int code, const char *text);

/* What the runtime's CNI library keeps about a sandbox's interface: -ENOENT, -EBADMSG. */
int ports_read_cni(const char *directory, const char *network, const char *sandbox,
	struct net_port *ret) _must_check_;
/* "02:00:00:00:00:01"; -EINVAL. */
int ports_read_mac(const char *text, uint8_t ret[6]) _must_check_;

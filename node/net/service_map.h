/* service_map.h - from Services and their endpoints to elements of the kernel's maps. Pure: it
 * keeps what the kernel is supposed to hold and says, for each change, the smallest set of
 * operations.
 *
 * An endpoint keeps its slots as long as it can, so a change of one endpoint of a service costs a
 * few elements, whatever the number of services or endpoints. */
#pragma once

#include "lib/base/vec.h"
#include "node/net/netd_proto.h"

/* Slots that one service may take in all, ports beyond them lead nowhere: 60,000 ports of one
 * Service times its endpoints would be more than all others together. */
#define SERVICE_SLOTS_MAX (1u << 17)

struct service_map;

struct service_target {
	uint32_t address; /* network byte order */
	uint16_t port;
};

struct service_port {
	uint8_t proto;			      /* IPPROTO_TCP, IPPROTO_UDP */
	uint16_t port, node_port;	      /* node_port 0 = none */
	const struct service_target *targets; /* ready ones; order and repetition don't matter */
	size_t target_count;
};

struct service_desc {
	uint32_t address; /* cluster IP; 0 = only node ports */
	uint8_t affinity; /* step of netd_proto.h */
	const struct service_port *ports;
	size_t port_count;
};

typedef VEC(struct netd_op) netd_ops;

struct service_map *service_map_create(void);
void service_map_destroy(struct service_map *m);
/* What service `key` ("namespace/name") shall be now; desc NULL = it is gone. Appends operations.
 * An address and port that another service has stays with that one until it lets go (a service made
 * anew may be seen before the old one is gone); false says so: ask again after the next change. */
bool service_map_set(
	struct service_map *m, const char *key, const struct service_desc *desc, netd_ops *ops);
/* Everything, begun with a flush: for a kernel table of unknown content. */
void service_map_all(const struct service_map *m, netd_ops *ops);
size_t service_map_count(const struct service_map *m); /* ports with endpoints */

/* service_map.h - from Services and their endpoints to elements of the kernel's maps. Pure: it
 * keeps what the kernel is supposed to hold and says, for each change, the smallest set of
 * operations.
 *
 * An endpoint keeps its slots as long as it can, so a change of one endpoint of a service costs a
 * few elements, whatever the number of services or endpoints. */
#pragma once

#include "lib/base/vec.h"
#include "node/net/netd/netd_proto.h"

/* Slots that one service may take in all, groups beyond them are empty: 60,000 ports of one
 * Service times its endpoints would be more than all others together. */
#define SERVICE_SLOTS_MAX (1u << 17)

struct service_map;

struct service_target {
	struct net_address address;
	uint16_t port;
};

/* Endpoints with one way to choose among them. */
struct service_group {
	char name[24]; /* unique within the service, the same from change to change */
	enum netd_kind kind;
	uint32_t seconds;		      /* clients are remembered so long; 0 = not */
	const struct service_target *targets; /* order and repetition don't matter */
	size_t target_count;
};

/* What clients see. */
struct service_front {
	struct net_address address; /* unspecified = a node port; the family counts */
	uint8_t proto;		    /* IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP */
	uint16_t port;
	int group;			 /* index into the groups */
	int inside;			 /* another one for pods and this node; -1 = the same */
	enum netd_verdict empty;	 /* without endpoints in `group` */
	const struct net_range *sources; /* that may come; NULL = all */
	size_t source_count;
};

struct service_desc {
	const struct service_group *groups;
	size_t group_count;
	const struct service_front *fronts;
	size_t front_count;
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
/* Whose element an operation is about; NULL = nobody's. A walk over all services. */
const char *service_map_owner(const struct service_map *m, const struct netd_op *op);
size_t service_map_fronts(const struct service_map *m);
size_t service_map_slots(const struct service_map *m);

/* netd_proto.h - what the agent and `hanok netd` say to each other over their socketpair.
 *
 * Both ends are the same program on the same machine, so records are C structs; but netd trusts
 * nothing in them: netd_check_* below is the whole of what it will do on request. Ports are in host
 * byte order.
 *
 * A message is a header and `size` bytes: a config, or an array of ops that become one transaction
 * (those of network policies: policy_ops.h).
 * netd answers each message with a result carrying its serial; it also sends NETD_LOST with serial
 * 0 when somebody removed its tables.
 *
 * There are two tables of one shape, `ip hanok` and `ip6 hanok`; the family of an op's address says
 * which one it concerns. A connection to a service takes this way:
 *
 *     address, protocol, port        services, node_ports: the group it goes to (in the mark)
 *     group                          groups: the chain for this number of slots
 *     group, slot chosen by chance   endpoints: where it goes
 *
 * A *front* is what a client sees: an address (or any of the node's) with a port. A *group* is a
 * set of endpoints with one way to be chosen; several fronts may lead to it. */
#pragma once

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "node/net/address.h"

#define NETD_TABLE "hanok"
#define NETD_MESSAGE_MAX_BYTES (64u << 20)
#define NETD_PORT_NAME 16   /* IFNAMSIZ */
#define NETD_NETS_MAX 10000 /* nodes of a cluster, two ranges each */
#define NETD_SERVERS_MAX 16384

/* How many slots a group's endpoints are spread over: one each up to 64, then enough that the
 * shares are about equal. The classes are fixed, so that the kernel has a chain for each from the
 * start. */
#define NETD_SLOTS_EXACT 64
#define NETD_SLOTS_MANY 1024
#define NETD_SLOTS_MOST 8190
unsigned netd_slots_for(size_t endpoint_count);

/* A group is named by a packet mark, which the first packet of a connection carries from the
 * choice to the end of its way through this node:
 *
 *     31 30 | 29 ... 13 | 12 ... 0
 *     kind  | index     | slot + 1, where the client is remembered
 */
enum netd_kind {
	NETD_INSIDE = 1,  /* sources that are not of the cluster are masqueraded */
	NETD_OUTSIDE = 2, /* all sources are masqueraded */
	NETD_KEEP = 3,	  /* the source is kept */
};
#define NETD_GROUP_MASK 0xffffe000u
#define NETD_GROUPS_MAX (1u << 17)
static inline uint32_t netd_group(enum netd_kind kind, uint32_t index)
{
	return (uint32_t)kind << 30 | index << 13;
}

#define NETD_AFFINITY_MAX_SECONDS 86400

enum netd_message {
	NETD_CONFIG = 1,
	NETD_OPS,
	NETD_RESULT,
	NETD_LOST,
	NETD_POLICY,
	NETD_PORTS,	   /* ports of the bridge: an array in place of all earlier ones */
	NETD_PORTS_MORE,   /* likewise, beside them */
	NETD_NETWORKS,	   /* networks of the node's own: an array in place of all earlier ones */
	NETD_SERVERS,	   /* servers kept from pods: an array in place of all earlier ones */
	NETD_SERVERS_MORE, /* likewise, beside those that the kernel has */
};

/* Code of a result: the configuration is in force, but elements were lost on the way. */
#define NETD_EMPTIED 1

struct netd_header {
	uint32_t size; /* of what follows */
	uint32_t type;
	uint32_t serial;
	int32_t code; /* result: 0, negative errno or NETD_EMPTIED */
};

/* What a family needs; without it, its address.family is 0 and it has no table. */
struct netd_family {
	struct net_range pods;	   /* this node's range */
	struct net_range services; /* the cluster's; family 0 = none */
	uint32_t bridge_calls_ip;  /* packets between ports of one bridge pass these rules too */
};

/* Followed by net_count struct net_range: the pod ranges of all nodes. */
struct netd_config {
	struct netd_family v4, v6;
	uint32_t net_count;
};

enum netd_op_type {
	NETD_FLUSH = 1, /* forgets all elements of a part; first op of a full synchronisation */
	NETD_FRONT,	/* address, proto, port -> verdict, group, inside */
	NETD_GROUP,	/* group -> slot_count, seconds */
	NETD_ENDPOINT,	/* group, slot -> to, to_port; seconds as its group's */
	NETD_HAIRPIN,	/* to: an endpoint that may reach itself through a service */
	NETD_FIREWALL,	/* address, proto, port: only the sources below may come */
	NETD_SOURCE,	/* address, proto, port, to/to_prefix */
	NETD_HOST_PORT, /* address, proto, port -> to, to_port */
	NETD_FORGET,	/* no element: connections of UDP to a front end, those that were led to
			 * to/to_port, or all when that is none */
	NETD_OP_TYPES,
};

enum netd_part { NETD_SERVICES = 1, NETD_HOST_PORTS };

enum netd_verdict {
	NETD_TRANSLATE,
	NETD_REFUSE, /* reset or unreachable: no endpoints at all */
	NETD_DROP,   /* none on this node: another one will answer */
};

struct netd_op {
	uint8_t type, remove; /* remove: of an element exactly as it was added */
	uint8_t proto;	      /* IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP */
	uint8_t verdict;      /* front: for sources that `inside` does not cover */
	uint16_t port, to_port;
	uint32_t group;		    /* mark of the group */
	uint32_t inside;	    /* front: another group for pods and this node; 0 = the same */
	uint16_t slot, slot_count;  /* endpoint: which; group: how many (a class) */
	uint32_t seconds;	    /* group, endpoint: clients are remembered; 0 = not */
	uint16_t part, to_prefix;   /* flush: which; source: of the range `to` */
	struct net_address address; /* unspecified = any address of this node */
	struct net_address to;
};

/* One address of a pod's or machine's port; a port with several occurs several times. */
struct netd_port {
	char name[NETD_PORT_NAME]; /* filled up with zeros */
	uint8_t mac[6];
	uint8_t zero[2];
	struct net_address address; /* family 0: a port of another bridge, kept to its MAC */
};

enum netd_network_kind {
	NETD_NAT,      /* guests go out by the host's address */
	NETD_ISOLATED, /* no way out */
	NETD_GIVEN,    /* a bridge to others: no rules of its own */
};

/* A bridge that guests are on, beside that of the pods (network_rules.h). */
struct netd_network {
	char bridge[NETD_PORT_NAME]; /* filled up with zeros */
	uint32_t kind;		     /* enum netd_network_kind */
	struct net_range range;	     /* IPv4; family 0 = not with NAT, and without addresses */
};

/* A server that trusts this node by its address (server_rules.h). */
struct netd_server {
	struct net_address address; /* family 0: at any address of this node */
	uint16_t port;		    /* 1 ... 65535 */
	uint8_t proto;		    /* IPPROTO_TCP, IPPROTO_UDP */
	uint8_t zero;
};

/* Values in range, addresses where they may be. */
int netd_check_port(const struct netd_port *p, struct err *err) _must_check_;
int netd_check_network(const struct netd_network *n, struct err *err) _must_check_;
int netd_check_server(const struct netd_server *s, struct err *err) _must_check_;
int netd_check_config(const struct netd_config *c, size_t size, struct err *err) _must_check_;
int netd_check_op(
	const struct netd_op *op, const struct netd_config *config, struct err *err) _must_check_;
/* A range that pods or services may have: not so wide that it takes over the host's own traffic. */
bool netd_range_ok(const struct net_range *n, uint32_t family);
bool netd_any_address(const struct net_address *a); /* all zero */

/* The fixed part of a family's table, as text for nft(8): idempotent, keeps the elements that are
 * there. */
void netd_ruleset_write(struct buf *out, const struct netd_config *c, const struct net_range *nets,
	uint32_t family, const char *bridge);
/* Name of the chain that a group with this many slots goes to. */
void netd_chain_name(char ret[32], bool sticky, unsigned slots);

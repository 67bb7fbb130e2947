/* policy_ops.h - what the agent tells `hanok netd` about network policies, beside netd_proto.h.
 *
 * A message of type NETD_POLICY is an array of ops that become one transaction, in their order.
 * They describe tables "hanok-policy" (family inet; family bridge too where packets between two
 * ports of a bridge do not pass the rules of IP):
 *
 *   egress, ingress   base chains at the forward hook, after destinations were translated and
 *                     before sources are; what belongs to a known connection passes
 *   names             base chain at the input hook: what pods ask of the cluster's DNS on this node
 *                     is egress too. Nothing else that is for the node itself is judged
 *   out4 in4 out6 in6 maps: address of an isolated pod -> the chain that judges it
 *   cN                such a chain, or a policy's: rules that allow, jumps, a drop at the end
 *   sN                a set that rules of chains look into
 *   self4 self6       addresses of this node's pods with themselves; what comes out of the bridge
 *                     with any other source (but an IPv6 link-local one) is dropped: nobody else
 *                     is there, and a guest that takes another address is out of its policies
 *   own4 own6         this node's addresses of the cluster's DNS
 *   group4 group6     multicast and broadcast, when a pod here is isolated for ingress
 *
 * An address that is in no map is not isolated. Numbers N are the agent's. */
#pragma once

#include "lib/base/err.h"
#include "lib/base/vec.h"
#include "node/net/address.h"

#define NETD_POLICY_TABLE "hanok-policy"
#define NETD_POLICY_SETS_MAX 20000
#define NETD_POLICY_CHAINS_MAX 20000
#define NETD_POLICY_ELEMENTS_MAX 4000000

enum netd_policy_type {
	NETD_POLICY_RESET = 1, /* tables with nothing in them, in place of any; only as first op */
	NETD_POLICY_CLEAR,     /* no tables; the only op */
	NETD_POLICY_SET_NEW,
	NETD_POLICY_SET_DELETE,
	NETD_POLICY_ELEMENT,
	NETD_POLICY_CHAIN_NEW,
	NETD_POLICY_CHAIN_EMPTY, /* takes its rules away */
	NETD_POLICY_CHAIN_DELETE,
	NETD_POLICY_ALLOW, /* a rule: peers and ports as given -> accept */
	NETD_POLICY_JUMP,  /* a rule: on to chain `peers` */
	NETD_POLICY_DROP,  /* a rule */
	NETD_POLICY_ISOLATE,
	NETD_POLICY_SELF,
	NETD_POLICY_GROUP,  /* a range of addresses for many; stays until a reset */
	NETD_POLICY_OWN,    /* an address of the cluster's DNS here; stays until a reset */
	NETD_POLICY_FORGET, /* connections of the address: it is somebody else's now */
};

enum netd_policy_set {
	NETD_SET_PEERS = 1, /* addresses */
	NETD_SET_RANGES,    /* ranges of addresses */
	NETD_SET_PORTS,	    /* protocol and range of ports; no family */
	NETD_SET_NAMED,	    /* destination address, protocol, port */
};

enum policy_direction { POLICY_INGRESS, POLICY_EGRESS };

struct netd_policy_op {
	uint8_t type, remove;
	uint8_t set;	   /* kind of set `id`; of ALLOW: kind of `peers`, 0 = any peer */
	uint8_t ports_set; /* ALLOW: PORTS or NAMED; 0 = any port and protocol */
	uint8_t direction;
	uint8_t proto;	/* element of PORTS, NAMED */
	uint8_t bridge; /* RESET: family bridge too */
	uint8_t zero;
	uint16_t port, last_port; /* PORTS: a range; NAMED: port alone */
	uint32_t family;	  /* of sets and of ALLOW: AF_INET, AF_INET6, 0 = both or neither */
	uint32_t id;		  /* of the set or chain; > 0 */
	uint32_t peers, ports;	  /* sets of ALLOW */
	struct net_address address, last;
};
typedef VEC(struct netd_policy_op) netd_policy_ops;

/* Values in range, addresses where they may be; not whether sets and chains exist, which the kernel
 * says. */
int netd_check_policy_op(const struct netd_policy_op *op, struct err *err) _must_check_;

/* netd_proto.h - what the agent and `hanok netd` say to each other over their socketpair.
 *
 * Both ends are the same program on the same machine, so records are C structs; but netd trusts
 * nothing in them: netd_check_* below is the whole of what it will do on request. All addresses are
 * IPv4, in network byte order; ports in host byte order.
 *
 * A message is a header and `size` bytes: a config, or an array of ops that become one transaction.
 * netd answers each message with a result carrying its serial; it also sends NETD_LOST with serial
 * 0 when somebody removed its table. */
#pragma once

#include "lib/base/buf.h"
#include "lib/base/err.h"
#include "lib/base/str.h"

#define NETD_TABLE "hanok"
#define NETD_MESSAGE_MAX_BYTES (64u << 20)
#define NETD_NETS_MAX 5000 /* nodes of a cluster */

/* How many slots a service's endpoints are spread over: one each up to 64, then enough that the
 * shares are about equal. The classes are fixed, so that the kernel has a chain for each from the
 * start. */
#define NETD_SLOTS_EXACT 64
#define NETD_SLOTS_MANY 1024
#define NETD_SLOTS_MOST 8192
unsigned netd_slots_for(size_t endpoint_count);

/* Session affinity comes in steps, since each time-out is a rule: the next longer one is taken. */
extern const uint32_t netd_affinity_seconds[];
#define NETD_AFFINITY_STEPS 7
uint8_t netd_affinity_step(int64_t seconds); /* 1..7; 0 for none */

enum netd_message { NETD_CONFIG = 1, NETD_OPS, NETD_RESULT, NETD_LOST };

struct netd_header {
	uint32_t size; /* of what follows */
	uint32_t type;
	uint32_t serial;
	int32_t code; /* result: 0 or negative errno */
};

struct netd_net {
	uint32_t address;
	uint32_t prefix;
};

/* Followed by net_count struct netd_net: the pod ranges of all nodes. */
struct netd_config {
	struct netd_net pods, services; /* this node's range, the cluster's service range */
	uint32_t bridge_calls_ip; /* packets between ports of one bridge pass these rules too */
	uint32_t net_count;
};

enum netd_op_type {
	NETD_FLUSH = 1, /* forgets all elements; first op of a full synchronisation */
	NETD_SERVICE,	/* address, proto, port -> slots, affinity */
	NETD_ENDPOINT,	/* address, proto, port, slot -> to_address, to_port */
	NETD_NODE_PORT, /* as SERVICE without address */
	NETD_NODE_PORT_ENDPOINT,
	NETD_HAIRPIN, /* to_address: an endpoint that may reach itself through a service */
};

struct netd_op {
	uint8_t type, remove; /* remove: only the key matters */
	uint8_t proto;	      /* IPPROTO_TCP, IPPROTO_UDP */
	uint8_t affinity;     /* step, 0 = none */
	uint32_t address;
	uint16_t port;
	uint16_t slot; /* endpoint: which; service: how many (a class) */
	uint32_t to_address;
	uint16_t to_port;
	uint16_t zero;
};

/* Values in range, addresses where they may be. */
int netd_check_config(const struct netd_config *c, size_t size, struct err *err) _must_check_;
int netd_check_op(
	const struct netd_op *op, const struct netd_config *config, struct err *err) _must_check_;

/* The fixed part of the table, as text for nft(8): idempotent, keeps the elements that are there.
 */
void netd_ruleset_write(struct buf *out, const struct netd_config *c, const struct netd_net *nets,
	const char *bridge);
/* Name of the chain that a service with this many slots goes to. */
void netd_chain_name(char ret[32], bool node_port, bool affinity, unsigned slots);

bool netd_net_has(const struct netd_net *n, uint32_t address);
/* "10.244.0.0/24" to a net whose host bits are zero; -EINVAL. */
int netd_net_parse(const char *cidr, struct netd_net *ret) _must_check_;

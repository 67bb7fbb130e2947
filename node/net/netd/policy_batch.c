#include <netinet/in.h>

#include "node/net/netd/policy_batch.h"

#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <net/if.h>
#include <stdio.h>

#define ELEMENTS_PER_MESSAGE 400 /* see nft_batch.c */
#define ETH_IP 0x0800
#define ETH_IPV6 0x86dd

/* Before the services' own rules at the same hook, which refuse what is for no service. */
#define EGRESS_PRIORITY (-20)
#define INGRESS_PRIORITY (-19)

/* Types of keys as nft(8) numbers them, so that it can list the tables. */
enum { TYPE_IPV4 = 7, TYPE_IPV6 = 8, TYPE_PROTO = 12, TYPE_PORT = 13, TYPE_BITS = 6 };

struct batch {
	struct buf out;
	uint32_t seq, set_serial;
	uint8_t family; /* NFPROTO_INET, NFPROTO_BRIDGE */
	const char *bridge_name;
};

static const char *v(uint32_t family)
{
	return family == AF_INET6 ? "6" : "4";
}

/* ---- sets ---- */

static void set_name(char ret[16], uint32_t id)
{
	snprintf(ret, 16, "s%u", id);
}

static void chain_name(char ret[16], uint32_t id)
{
	snprintf(ret, 16, "c%u", id);
}

static void new_set(struct batch *b, const char *name, uint32_t flags, uint32_t type, uint32_t size)
{
	struct nlmsghdr *h = nft_message(&b->out, NFT_MSG_NEWSET, NLM_F_CREATE, b->family, &b->seq);
	struct nlattr *desc, *list, *field;

	mnl_attr_put_strz(h, NFTA_SET_TABLE, NETD_POLICY_TABLE);
	mnl_attr_put_strz(h, NFTA_SET_NAME, name);
	mnl_attr_put_u32(h, NFTA_SET_ID, htonl(++b->set_serial));
	mnl_attr_put_u32(h, NFTA_SET_FLAGS, htonl(flags));
	mnl_attr_put_u32(h, NFTA_SET_KEY_TYPE, htonl(type));
	mnl_attr_put_u32(h, NFTA_SET_KEY_LEN, htonl(size));
	if (flags & NFT_SET_MAP)
		mnl_attr_put_u32(h, NFTA_SET_DATA_TYPE, htonl(NFT_DATA_VERDICT));
	/* No size: the kernel would make room for so many at once. */
	if (flags & NFT_SET_CONCAT) {
		desc = mnl_attr_nest_start(h, NFTA_SET_DESC);
		list = mnl_attr_nest_start(h, NFTA_SET_DESC_CONCAT);
		for (uint32_t bytes = 1; bytes <= 2; bytes++) { /* protocol, port */
			field = mnl_attr_nest_start(h, NFTA_LIST_ELEM);
			mnl_attr_put_u32(h, NFTA_SET_FIELD_LEN, htonl(bytes));
			mnl_attr_nest_end(h, field);
		}
		mnl_attr_nest_end(h, list);
		mnl_attr_nest_end(h, desc);
	}
	nft_message_end(&b->out, h);
}

static void new_set_of(struct batch *b, const char *name, uint8_t kind, uint32_t family)
{
	uint32_t type = family == AF_INET6 ? TYPE_IPV6 : TYPE_IPV4;
	uint32_t size = family == AF_INET6 ? 16 : 4;
	uint32_t ports = TYPE_PROTO << TYPE_BITS | TYPE_PORT;

	if (kind == NETD_SET_PEERS)
		new_set(b, name, 0, type, size);
	else if (kind == NETD_SET_RANGES)
		new_set(b, name, NFT_SET_INTERVAL, type, size);
	else if (kind == NETD_SET_PORTS)
		new_set(b, name, NFT_SET_INTERVAL | NFT_SET_CONCAT, ports, 8);
	else
		new_set(b, name, 0, type << 2 * TYPE_BITS | ports, size + 8);
}

static void delete_set(struct batch *b, const char *name)
{
	struct nlmsghdr *h = nft_message(&b->out, NFT_MSG_DELSET, 0, b->family, &b->seq);

	mnl_attr_put_strz(h, NFTA_SET_TABLE, NETD_POLICY_TABLE);
	mnl_attr_put_strz(h, NFTA_SET_NAME, name);
	nft_message_end(&b->out, h);
}

/* A message about elements of one set, which several ops in a row share. */
struct elements {
	struct nlmsghdr *h;
	struct nlattr *list;
	char name[16];
	bool remove;
	unsigned count;
};

static void end_elements(struct batch *b, struct elements *e)
{
	if (!e->h)
		return;
	mnl_attr_nest_end(e->h, e->list);
	nft_message_end(&b->out, e->h);
	e->h = NULL;
}

static void begin_element(struct batch *b, struct elements *e, const char *name, bool remove)
{
	if (e->h && (strcmp(e->name, name) != 0 || e->remove != remove ||
			    e->count >= ELEMENTS_PER_MESSAGE))
		end_elements(b, e);
	if (!e->h) {
		snprintf(e->name, sizeof(e->name), "%s", name);
		e->remove = remove;
		e->count = 0;
		e->h = nft_message(&b->out, remove ? NFT_MSG_DELSETELEM : NFT_MSG_NEWSETELEM,
			remove ? 0 : NLM_F_CREATE, b->family, &b->seq);
		mnl_attr_put_strz(e->h, NFTA_SET_ELEM_LIST_TABLE, NETD_POLICY_TABLE);
		mnl_attr_put_strz(e->h, NFTA_SET_ELEM_LIST_SET, name);
		e->list = mnl_attr_nest_start(e->h, NFTA_SET_ELEM_LIST_ELEMENTS);
	}
	e->count++;
}

static void put_value(struct nlmsghdr *h, uint16_t attribute, const void *p, size_t size)
{
	struct nlattr *nest = mnl_attr_nest_start(h, attribute);

	mnl_attr_put(h, NFTA_DATA_VALUE, size, p);
	mnl_attr_nest_end(h, nest);
}

static void put_key(struct elements *e, const void *p, size_t size, uint32_t flags)
{
	struct nlattr *element = mnl_attr_nest_start(e->h, NFTA_LIST_ELEM);

	put_value(e->h, NFTA_SET_ELEM_KEY, p, size);
	if (flags)
		mnl_attr_put_u32(e->h, NFTA_SET_ELEM_FLAGS, htonl(flags));
	mnl_attr_nest_end(e->h, element);
}

static void put_range(struct batch *b, struct elements *e, const char *name,
	const struct net_address *first, const struct net_address *last)
{
	size_t size = net_address_size(first);
	struct net_address after = net_address_plus(last, 1);

	begin_element(b, e, name, false);
	put_key(e, first->bytes, size, 0);
	/* A range up to the last address there is has no end. */
	if (memcmp(after.bytes, last->bytes, size) > 0)
		put_key(e, after.bytes, size, NFT_SET_ELEM_INTERVAL_END);
	e->count++;
}

static void put_ports(
	struct batch *b, struct elements *e, const char *name, const struct netd_policy_op *op)
{
	uint8_t first[8] = {op->proto}, last[8] = {op->proto};
	struct nlattr *element;

	first[4] = (uint8_t)(op->port >> 8);
	first[5] = (uint8_t)op->port;
	last[4] = (uint8_t)(op->last_port >> 8);
	last[5] = (uint8_t)op->last_port;
	begin_element(b, e, name, false);
	element = mnl_attr_nest_start(e->h, NFTA_LIST_ELEM);
	put_value(e->h, NFTA_SET_ELEM_KEY, first, sizeof(first));
	put_value(e->h, NFTA_SET_ELEM_KEY_END, last, sizeof(last));
	mnl_attr_nest_end(e->h, element);
}

static void put_element(struct batch *b, struct elements *e, const struct netd_policy_op *op)
{
	size_t size = net_address_size(&op->address);
	uint8_t key[24] = {0};
	char name[16];

	set_name(name, op->id);
	if (op->set == NETD_SET_RANGES) {
		put_range(b, e, name, &op->address, &op->last);
	} else if (op->set == NETD_SET_PORTS) {
		put_ports(b, e, name, op);
	} else if (op->set == NETD_SET_PEERS) {
		begin_element(b, e, name, op->remove);
		put_key(e, op->address.bytes, size, 0);
	} else {
		memcpy(key, op->address.bytes, size);
		key[size] = op->proto;
		key[size + 4] = (uint8_t)(op->port >> 8);
		key[size + 5] = (uint8_t)op->port;
		begin_element(b, e, name, op->remove);
		put_key(e, key, size + 8, 0);
	}
}

static void put_verdict(struct nlmsghdr *h, uint16_t attribute, int32_t code, const char *chain)
{
	struct nlattr *data = mnl_attr_nest_start(h, attribute);
	struct nlattr *verdict = mnl_attr_nest_start(h, NFTA_DATA_VERDICT);

	mnl_attr_put_u32(h, NFTA_VERDICT_CODE, htonl((uint32_t)code));
	if (chain)
		mnl_attr_put_strz(h, NFTA_VERDICT_CHAIN, chain);
	mnl_attr_nest_end(h, verdict);
	mnl_attr_nest_end(h, data);
}

static void put_isolate(struct batch *b, struct elements *e, const struct netd_policy_op *op)
{
	char name[16], chain[16];
	struct nlattr *element;

	snprintf(name, sizeof(name), "%s%s", op->direction == POLICY_EGRESS ? "out" : "in",
		v(op->address.family));
	begin_element(b, e, name, op->remove);
	element = mnl_attr_nest_start(e->h, NFTA_LIST_ELEM);
	put_value(e->h, NFTA_SET_ELEM_KEY, op->address.bytes, net_address_size(&op->address));
	chain_name(chain, op->id);
	if (!op->remove)
		put_verdict(e->h, NFTA_SET_ELEM_DATA, NFT_JUMP, chain);
	mnl_attr_nest_end(e->h, element);
}

static void put_self(struct batch *b, struct elements *e, const struct netd_policy_op *op)
{
	size_t size = net_address_size(&op->address);
	uint8_t key[32];
	char name[16];

	snprintf(name, sizeof(name), "self%s", v(op->address.family));
	memcpy(key, op->address.bytes, size);
	memcpy(key + size, op->address.bytes, size);
	begin_element(b, e, name, op->remove);
	put_key(e, key, 2 * size, 0);
}

static void put_own(struct batch *b, struct elements *e, const struct netd_policy_op *op)
{
	char name[16];

	snprintf(name, sizeof(name), "own%s", v(op->address.family));
	begin_element(b, e, name, op->remove);
	put_key(e, op->address.bytes, net_address_size(&op->address), 0);
}

static void put_group(struct batch *b, struct elements *e, const struct netd_policy_op *op)
{
	char name[16];

	snprintf(name, sizeof(name), "group%s", v(op->family));
	put_range(b, e, name, &op->address, &op->last);
}

/* ---- chains and rules ---- */

/* hook: -1 = none, the chain is jumped to. */
static void new_chain(struct batch *b, const char *name, int hook_number, int32_t base_priority)
{
	struct nlmsghdr *h =
		nft_message(&b->out, NFT_MSG_NEWCHAIN, NLM_F_CREATE, b->family, &b->seq);
	struct nlattr *hook;

	mnl_attr_put_strz(h, NFTA_CHAIN_TABLE, NETD_POLICY_TABLE);
	mnl_attr_put_strz(h, NFTA_CHAIN_NAME, name);
	if (hook_number >= 0) {
		hook = mnl_attr_nest_start(h, NFTA_CHAIN_HOOK);
		/* NF_BR_FORWARD is the same number as NF_INET_FORWARD. */
		mnl_attr_put_u32(h, NFTA_HOOK_HOOKNUM, htonl((uint32_t)hook_number));
		mnl_attr_put_u32(h, NFTA_HOOK_PRIORITY, htonl((uint32_t)base_priority));
		mnl_attr_nest_end(h, hook);
		mnl_attr_put_u32(h, NFTA_CHAIN_POLICY, htonl(NF_ACCEPT));
		mnl_attr_put_strz(h, NFTA_CHAIN_TYPE, "filter");
	}
	nft_message_end(&b->out, h);
}

static void chain_message(
	struct batch *b, uint16_t type, uint16_t table, uint16_t chain, uint32_t id)
{
	struct nlmsghdr *h = nft_message(&b->out, type, 0, b->family, &b->seq);
	char name[16];

	chain_name(name, id);
	mnl_attr_put_strz(h, table, NETD_POLICY_TABLE);
	mnl_attr_put_strz(h, chain, name);
	nft_message_end(&b->out, h);
}

/* A rule being written: expressions, one after another. */
struct rule {
	struct nlmsghdr *h;
	struct nlattr *list, *element, *data;
};

static struct rule rule_begin(struct batch *b, const char *chain)
{
	struct rule r;

	r.h = nft_message(
		&b->out, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, b->family, &b->seq);
	mnl_attr_put_strz(r.h, NFTA_RULE_TABLE, NETD_POLICY_TABLE);
	mnl_attr_put_strz(r.h, NFTA_RULE_CHAIN, chain);
	r.list = mnl_attr_nest_start(r.h, NFTA_RULE_EXPRESSIONS);
	return r;
}

static void rule_end(struct batch *b, struct rule *r)
{
	mnl_attr_nest_end(r->h, r->list);
	nft_message_end(&b->out, r->h);
}

static void expr_begin(struct rule *r, const char *name)
{
	r->element = mnl_attr_nest_start(r->h, NFTA_LIST_ELEM);
	mnl_attr_put_strz(r->h, NFTA_EXPR_NAME, name);
	r->data = mnl_attr_nest_start(r->h, NFTA_EXPR_DATA);
}

static void expr_end(struct rule *r)
{
	mnl_attr_nest_end(r->h, r->data);
	mnl_attr_nest_end(r->h, r->element);
}

static void expr_meta(struct rule *r, uint32_t key, uint32_t to)
{
	expr_begin(r, "meta");
	mnl_attr_put_u32(r->h, NFTA_META_KEY, htonl(key));
	mnl_attr_put_u32(r->h, NFTA_META_DREG, htonl(to));
	expr_end(r);
}

static void expr_payload(struct rule *r, uint32_t base, uint32_t at, uint32_t size, uint32_t to)
{
	expr_begin(r, "payload");
	mnl_attr_put_u32(r->h, NFTA_PAYLOAD_DREG, htonl(to));
	mnl_attr_put_u32(r->h, NFTA_PAYLOAD_BASE, htonl(base));
	mnl_attr_put_u32(r->h, NFTA_PAYLOAD_OFFSET, htonl(at));
	mnl_attr_put_u32(r->h, NFTA_PAYLOAD_LEN, htonl(size));
	expr_end(r);
}

static void expr_cmp(struct rule *r, uint32_t op, const void *p, size_t size)
{
	expr_begin(r, "cmp");
	mnl_attr_put_u32(r->h, NFTA_CMP_SREG, htonl(NFT_REG_1));
	mnl_attr_put_u32(r->h, NFTA_CMP_OP, htonl(op));
	put_value(r->h, NFTA_CMP_DATA, p, size);
	expr_end(r);
}

static void expr_mask(struct rule *r, uint32_t mask)
{
	uint32_t zero = 0;

	expr_begin(r, "bitwise");
	mnl_attr_put_u32(r->h, NFTA_BITWISE_SREG, htonl(NFT_REG_1));
	mnl_attr_put_u32(r->h, NFTA_BITWISE_DREG, htonl(NFT_REG_1));
	mnl_attr_put_u32(r->h, NFTA_BITWISE_LEN, htonl(4));
	put_value(r->h, NFTA_BITWISE_MASK, &mask, sizeof(mask));
	put_value(r->h, NFTA_BITWISE_XOR, &zero, sizeof(zero));
	expr_end(r);
}

static void expr_not_in(struct rule *r, const char *set)
{
	expr_begin(r, "lookup");
	mnl_attr_put_strz(r->h, NFTA_LOOKUP_SET, set);
	mnl_attr_put_u32(r->h, NFTA_LOOKUP_SREG, htonl(NFT_REG_1));
	mnl_attr_put_u32(r->h, NFTA_LOOKUP_FLAGS, htonl(NFT_LOOKUP_F_INV));
	expr_end(r);
}

/* verdict: the set is a map of verdicts. */
static void expr_lookup(struct rule *r, const char *set, bool verdict)
{
	expr_begin(r, "lookup");
	mnl_attr_put_strz(r->h, NFTA_LOOKUP_SET, set);
	mnl_attr_put_u32(r->h, NFTA_LOOKUP_SREG, htonl(NFT_REG_1));
	if (verdict)
		mnl_attr_put_u32(r->h, NFTA_LOOKUP_DREG, htonl(NFT_REG_VERDICT));
	expr_end(r);
}

static void expr_verdict(struct rule *r, int32_t code, const char *chain)
{
	expr_begin(r, "immediate");
	mnl_attr_put_u32(r->h, NFTA_IMMEDIATE_DREG, htonl(NFT_REG_VERDICT));
	put_verdict(r->h, NFTA_IMMEDIATE_DATA, code, chain);
	expr_end(r);
}

/* Of this family, whatever the table's is: chains are shared by an isolated pod's addresses. */
static void expr_family(struct rule *r, uint32_t family)
{
	uint16_t type = htons(family == AF_INET6 ? ETH_IPV6 : ETH_IP);

	expr_meta(r, NFT_META_PROTOCOL, NFT_REG_1);
	expr_cmp(r, NFT_CMP_EQ, &type, sizeof(type));
}

/* Source or destination into registers from `to` on, four bytes each. */
static void expr_address(struct rule *r, uint32_t family, bool source, uint32_t to)
{
	if (family == AF_INET6)
		expr_payload(r, NFT_PAYLOAD_NETWORK_HEADER, source ? 8 : 24, 16, to);
	else
		expr_payload(r, NFT_PAYLOAD_NETWORK_HEADER, source ? 12 : 16, 4, to);
}

/* Protocol and destination port; TCP, UDP and SCTP have it at the same place. Others are not in any
 * of the sets that this is looked up in. */
static void expr_port(struct rule *r, uint32_t to)
{
	expr_meta(r, NFT_META_L4PROTO, to);
	expr_payload(r, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, to + 1);
}

static void put_allow(struct batch *b, const struct netd_policy_op *op)
{
	char chain[16], set[16];
	struct rule r;

	chain_name(chain, op->id);
	r = rule_begin(b, chain);
	if (op->family)
		expr_family(&r, op->family);
	if (op->peers) {
		set_name(set, op->peers);
		expr_address(&r, op->family, op->direction == POLICY_INGRESS, NFT_REG_1);
		expr_lookup(&r, set, false);
	}
	set_name(set, op->ports);
	if (op->ports_set == NETD_SET_NAMED) {
		expr_address(&r, op->family, false, NFT_REG32_00);
		expr_port(&r, NFT_REG32_00 + (op->family == AF_INET6 ? 4 : 1));
		expr_lookup(&r, set, false);
	} else if (op->ports_set == NETD_SET_PORTS) {
		expr_port(&r, NFT_REG32_00);
		expr_lookup(&r, set, false);
	}
	expr_verdict(&r, NF_ACCEPT, NULL);
	rule_end(b, &r);
}

static void put_verdict_rule(struct batch *b, uint32_t id, int32_t code, const char *to)
{
	char chain[16];
	struct rule r;

	chain_name(chain, id);
	r = rule_begin(b, chain);
	expr_verdict(&r, code, to);
	rule_end(b, &r);
}

/* ---- the fixed part ---- */

static void table_message(struct batch *b, uint16_t type)
{
	struct nlmsghdr *h = nft_message(
		&b->out, type, type == NFT_MSG_NEWTABLE ? NLM_F_CREATE : 0, b->family, &b->seq);

	mnl_attr_put_strz(h, NFTA_TABLE_NAME, NETD_POLICY_TABLE);
	nft_message_end(&b->out, h);
}

/* ct state established,related accept */
static void known_connections(struct batch *b, const char *chain)
{
	struct rule r = rule_begin(b, chain);
	uint32_t mask = 1u << 1 | 1u << 2, zero = 0;

	expr_begin(&r, "ct");
	mnl_attr_put_u32(r.h, NFTA_CT_KEY, htonl(NFT_CT_STATE));
	mnl_attr_put_u32(r.h, NFTA_CT_DREG, htonl(NFT_REG_1));
	expr_end(&r);
	expr_mask(&r, mask);
	expr_cmp(&r, NFT_CMP_NEQ, &zero, sizeof(zero));
	expr_verdict(&r, NF_ACCEPT, NULL);
	rule_end(b, &r);
}

/* Without neighbour discovery and multicast listening no IPv6 address can be reached: types 130 to
 * 136 (RFC 4861, 2710) and 143 (RFC 3810). Not what a router says, advertisements (134) and
 * redirects (137): no pod is one. */
static void neighbours(struct batch *b, const char *chain)
{
	static const uint8_t ranges[][2] = {{130, 133}, {135, 136}, {143, 143}};
	uint8_t icmp = IPPROTO_ICMPV6;

	for (size_t i = 0; i < ARRAY_LEN(ranges); i++) {
		struct rule r = rule_begin(b, chain);

		expr_family(&r, AF_INET6);
		expr_meta(&r, NFT_META_L4PROTO, NFT_REG_1);
		expr_cmp(&r, NFT_CMP_EQ, &icmp, 1);
		expr_payload(&r, NFT_PAYLOAD_TRANSPORT_HEADER, 0, 1, NFT_REG_1);
		expr_cmp(&r, NFT_CMP_GTE, &ranges[i][0], 1);
		expr_cmp(&r, NFT_CMP_LTE, &ranges[i][1], 1);
		expr_verdict(&r, NF_ACCEPT, NULL);
		rule_end(b, &r);
	}
}

static void itself(struct batch *b, const char *chain, uint32_t family)
{
	struct rule r = rule_begin(b, chain);

	expr_family(&r, family);
	expr_address(&r, family, true, NFT_REG32_00);
	expr_address(&r, family, false, NFT_REG32_00 + (family == AF_INET6 ? 4 : 1));
	expr_lookup(&r, family == AF_INET6 ? "self6" : "self4", false);
	expr_verdict(&r, NF_ACCEPT, NULL);
	rule_end(b, &r);
}

static void expr_from_bridge(struct batch *b, struct rule *r)
{
	char name[IFNAMSIZ] = "";

	snprintf(name, sizeof(name), "%s", b->bridge_name);
	expr_meta(r, b->family == NFPROTO_BRIDGE ? NFT_META_BRI_IIFNAME : NFT_META_IIFNAME,
		NFT_REG_1);
	expr_cmp(r, NFT_CMP_EQ, name, sizeof(name));
}

/* A pod or guest that uses an address which nobody here was given would be judged as whoever has
 * it, or not at all. Link-local ones of IPv6 are everybody's own choice; `group6` has them. */
static void drop_unknown_source(struct batch *b, struct rule *r, uint32_t family)
{
	uint32_t mask = htonl(0xffc00000), link_local = htonl(0xfe800000);

	expr_from_bridge(b, r);
	if (family == AF_INET6) {
		expr_payload(r, NFT_PAYLOAD_NETWORK_HEADER, 8, 4, NFT_REG_1);
		expr_mask(r, mask);
		expr_cmp(r, NFT_CMP_NEQ, &link_local, sizeof(link_local));
	}
	expr_address(r, family, true, NFT_REG32_00);
	expr_address(r, family, true, NFT_REG32_00 + (family == AF_INET6 ? 4 : 1));
	expr_not_in(r, family == AF_INET6 ? "self6" : "self4");
	expr_verdict(r, NF_DROP, NULL);
}

static void known_sources(struct batch *b, uint32_t family)
{
	struct rule r = rule_begin(b, "egress");

	expr_family(&r, family);
	drop_unknown_source(b, &r, family);
	rule_end(b, &r);
}

/* What is for nobody's address in particular, or from no address that could be judged. */
static void group_traffic(struct batch *b, uint32_t family, bool source)
{
	struct rule r = rule_begin(b, "ingress");

	expr_family(&r, family);
	expr_from_bridge(b, &r);
	expr_address(&r, family, source, NFT_REG_1);
	expr_lookup(&r, family == AF_INET6 ? "group6" : "group4", false);
	expr_verdict(&r, NF_DROP, NULL);
	rule_end(b, &r);
}

static void judge(struct batch *b, const char *chain, uint32_t family)
{
	bool egress = *chain == 'e';
	struct rule r = rule_begin(b, chain);
	char name[16];

	snprintf(name, sizeof(name), "%s%s", egress ? "out" : "in", v(family));
	expr_family(&r, family);
	expr_address(&r, family, egress, NFT_REG_1);
	expr_lookup(&r, name, true);
	rule_end(b, &r);
}

static struct rule question(struct batch *b, uint32_t family, uint8_t protocol)
{
	struct rule r = rule_begin(b, "names");
	uint16_t port = htons(53);

	expr_family(&r, family);
	expr_meta(&r, NFT_META_L4PROTO, NFT_REG_1);
	expr_cmp(&r, NFT_CMP_EQ, &protocol, 1);
	expr_payload(&r, NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2, NFT_REG_1);
	expr_cmp(&r, NFT_CMP_EQ, &port, sizeof(port));
	expr_address(&r, family, false, NFT_REG_1);
	expr_lookup(&r, family == AF_INET6 ? "own6" : "own4", false);
	return r;
}

/* Questions to this node's DNS: no packet of theirs is forwarded. */
static void names(struct batch *b)
{
	static const uint32_t families[] = {AF_INET, AF_INET6};
	static const uint8_t protocols[] = {IPPROTO_UDP, IPPROTO_TCP};

	new_chain(b, "names", NF_INET_LOCAL_IN, EGRESS_PRIORITY);
	known_connections(b, "names");
	for (size_t i = 0; i < ARRAY_LEN(families); i++)
		for (size_t k = 0; k < ARRAY_LEN(protocols); k++) {
			struct rule r = question(b, families[i], protocols[k]);

			drop_unknown_source(b, &r, families[i]);
			rule_end(b, &r);
			r = question(b, families[i], protocols[k]);
			expr_address(&r, families[i], true, NFT_REG_1);
			expr_lookup(&r, families[i] == AF_INET6 ? "out6" : "out4", true);
			rule_end(b, &r);
		}
}

static void new_tables(struct batch *b)
{
	static const char *const bases[] = {"egress", "ingress"};
	static const uint32_t families[] = {AF_INET, AF_INET6};

	table_message(b, NFT_MSG_NEWTABLE);
	table_message(b, NFT_MSG_DELTABLE);
	table_message(b, NFT_MSG_NEWTABLE);
	for (size_t i = 0; i < ARRAY_LEN(families); i++) {
		uint32_t type = families[i] == AF_INET6 ? TYPE_IPV6 : TYPE_IPV4;
		uint32_t size = families[i] == AF_INET6 ? 16 : 4;
		char name[16];

		snprintf(name, sizeof(name), "out%s", v(families[i]));
		new_set(b, name, NFT_SET_MAP, type, size);
		snprintf(name, sizeof(name), "in%s", v(families[i]));
		new_set(b, name, NFT_SET_MAP, type, size);
		snprintf(name, sizeof(name), "self%s", v(families[i]));
		new_set(b, name, 0, type << TYPE_BITS | type, 2 * size);
		snprintf(name, sizeof(name), "group%s", v(families[i]));
		new_set(b, name, NFT_SET_INTERVAL, type, size);
		snprintf(name, sizeof(name), "own%s", v(families[i]));
		new_set(b, name, 0, type, size);
	}
	new_chain(b, "egress", NF_INET_FORWARD, EGRESS_PRIORITY);
	new_chain(b, "ingress", NF_INET_FORWARD, INGRESS_PRIORITY);
	if (b->family == NFPROTO_INET)
		names(b);
	for (size_t i = 0; i < ARRAY_LEN(bases); i++) {
		known_connections(b, bases[i]);
		neighbours(b, bases[i]);
		for (size_t f = 0; f < ARRAY_LEN(families); f++) {
			if (i == 0) {
				known_sources(b, families[f]);
			} else {
				group_traffic(b, families[f], false);
				group_traffic(b, families[f], true);
			}
			itself(b, bases[i], families[f]);
			judge(b, bases[i], families[f]);
		}
	}
}

/* ---- transactions ---- */

static void put_op(struct batch *b, struct elements *e, const struct netd_policy_op *op)
{
	char name[16];

	switch ((enum netd_policy_type)op->type) {
	case NETD_POLICY_ELEMENT:
		put_element(b, e, op);
		return;
	case NETD_POLICY_ISOLATE:
		put_isolate(b, e, op);
		return;
	case NETD_POLICY_SELF:
		put_self(b, e, op);
		return;
	case NETD_POLICY_GROUP:
		put_group(b, e, op);
		return;
	case NETD_POLICY_OWN:
		put_own(b, e, op);
		return;
	default:
		break;
	}
	end_elements(b, e);
	switch ((enum netd_policy_type)op->type) {
	case NETD_POLICY_RESET:
		new_tables(b);
		break;
	case NETD_POLICY_CLEAR:
		table_message(b, NFT_MSG_NEWTABLE); /* it need not be there */
		table_message(b, NFT_MSG_DELTABLE);
		break;
	case NETD_POLICY_SET_NEW:
		set_name(name, op->id);
		new_set_of(b, name, op->set, op->family);
		break;
	case NETD_POLICY_SET_DELETE:
		set_name(name, op->id);
		delete_set(b, name);
		break;
	case NETD_POLICY_CHAIN_NEW:
		chain_name(name, op->id);
		new_chain(b, name, -1, 0);
		break;
	case NETD_POLICY_CHAIN_EMPTY:
		chain_message(b, NFT_MSG_DELRULE, NFTA_RULE_TABLE, NFTA_RULE_CHAIN, op->id);
		break;
	case NETD_POLICY_CHAIN_DELETE:
		chain_message(b, NFT_MSG_DELCHAIN, NFTA_CHAIN_TABLE, NFTA_CHAIN_NAME, op->id);
		break;
	case NETD_POLICY_ALLOW:
		put_allow(b, op);
		break;
	case NETD_POLICY_JUMP:
		chain_name(name, op->peers);
		put_verdict_rule(b, op->id, NFT_JUMP, name);
		break;
	case NETD_POLICY_DROP:
		put_verdict_rule(b, op->id, NF_DROP, NULL);
		break;
	case NETD_POLICY_ELEMENT:
	case NETD_POLICY_ISOLATE:
	case NETD_POLICY_SELF:
	case NETD_POLICY_GROUP:
	case NETD_POLICY_OWN:
	case NETD_POLICY_FORGET:
		break;
	}
}

/* Checks all ops, and counts what would be there after them. */
static int check(
	struct policy_tables *t, const struct netd_policy_op *ops, size_t count, struct err *err)
{
	for (size_t i = 0; i < count; i++) {
		int r = netd_check_policy_op(&ops[i], err);

		if (r < 0)
			return err_context(err, r, "operation %zu", i);
		if (ops[i].type == NETD_POLICY_RESET || ops[i].type == NETD_POLICY_CLEAR) {
			if (i != 0 || (ops[i].type == NETD_POLICY_CLEAR && count != 1))
				return err_set(err, -EINVAL, "operation %zu must be alone", i);
			*t = (struct policy_tables){
				.there = ops[i].type == NETD_POLICY_RESET,
				.bridge = ops[i].bridge,
			};
		} else if (!t->there && ops[i].type != NETD_POLICY_FORGET) {
			return err_set(err, -EINVAL, "operation %zu before there are tables", i);
		}
		if (ops[i].type == NETD_POLICY_ELEMENT && ops[i].remove)
			t->elements -= t->elements != 0;
		else if (ops[i].type == NETD_POLICY_ELEMENT)
			t->elements++;
		t->sets += ops[i].type == NETD_POLICY_SET_NEW;
		t->sets -= ops[i].type == NETD_POLICY_SET_DELETE && t->sets;
		t->chains += ops[i].type == NETD_POLICY_CHAIN_NEW;
		t->chains -= ops[i].type == NETD_POLICY_CHAIN_DELETE && t->chains;
		if (t->sets > NETD_POLICY_SETS_MAX || t->chains > NETD_POLICY_CHAINS_MAX ||
			t->elements > NETD_POLICY_ELEMENTS_MAX)
			return err_set(err, -E2BIG,
				"network policies need more than %d sets, %d chains or %d elements",
				NETD_POLICY_SETS_MAX, NETD_POLICY_CHAINS_MAX,
				NETD_POLICY_ELEMENTS_MAX);
	}
	return 0;
}

int policy_apply(struct nft_socket *s, struct policy_tables *t, const char *bridge_name,
	const struct netd_policy_op *ops, size_t count, struct err *err)
{
	struct batch b = {.bridge_name = bridge_name};
	struct policy_tables after = *t;
	struct elements e = {.h = NULL};
	bool bridge = t->bridge;
	int r = check(&after, ops, count, err);

	if (r < 0)
		return r;
	if (!t->there) /* an earlier agent's may be */
		bridge = nft_table_exists(s, NFPROTO_BRIDGE, NETD_POLICY_TABLE, NULL) == 1;
	b.seq = nft_batch_begin(s, &b.out);
	for (int i = 0; i < (after.bridge ? 2 : 1); i++) {
		b.family = i ? NFPROTO_BRIDGE : NFPROTO_INET;
		for (size_t n = 0; n < count; n++)
			put_op(&b, &e, &ops[n]);
		end_elements(&b, &e);
	}
	if (bridge && !after.bridge) {
		b.family = NFPROTO_BRIDGE;
		table_message(&b, NFT_MSG_DELTABLE);
	}
	r = nft_batch_commit(s, &b.out, b.seq, err);
	buf_finish(&b.out);
	if (r == 0)
		*t = after;
	return r;
}

int policy_tables_exist(struct nft_socket *s, const struct policy_tables *t, struct err *err)
{
	int r;

	if (!t->there)
		return 1;
	r = nft_table_exists(s, NFPROTO_INET, NETD_POLICY_TABLE, err);
	if (r == 1 && t->bridge)
		r = nft_table_exists(s, NFPROTO_BRIDGE, NETD_POLICY_TABLE, err);
	return r;
}

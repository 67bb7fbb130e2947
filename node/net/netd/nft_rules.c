#include "node/net/netd/nft_rules.h"

#include <endian.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <stdio.h>

/* Registers of 32 bits: an address takes one or four, what follows it is behind. */
#define REG NFT_REG32_00
static uint32_t behind_address(uint32_t family)
{
	return family == AF_INET6 ? NFT_REG32_04 : NFT_REG32_01;
}

/* An expression of a rule under way. */
struct expr {
	struct nlmsghdr *h;
	struct nlattr *outer, *data;
};

static struct expr begin(struct nlmsghdr *h, const char *name)
{
	struct expr e = {.h = h, .outer = mnl_attr_nest_start(h, NFTA_LIST_ELEM)};

	mnl_attr_put_strz(h, NFTA_EXPR_NAME, name);
	e.data = mnl_attr_nest_start(h, NFTA_EXPR_DATA);
	return e;
}

static void end(struct expr e)
{
	mnl_attr_nest_end(e.h, e.data);
	mnl_attr_nest_end(e.h, e.outer);
}

static void put(struct expr e, uint16_t type, uint32_t value)
{
	mnl_attr_put_u32(e.h, type, htobe32(value));
}

static void load_mark(struct nlmsghdr *h, uint32_t reg)
{
	struct expr e = begin(h, "meta");

	put(e, NFTA_META_KEY, NFT_META_MARK);
	put(e, NFTA_META_DREG, reg);
	end(e);
}

static void store_mark(struct nlmsghdr *h, uint32_t reg)
{
	struct expr e = begin(h, "meta");

	put(e, NFTA_META_KEY, NFT_META_MARK);
	put(e, NFTA_META_SREG, reg);
	end(e);
}

static void choose(struct nlmsghdr *h, uint32_t reg, unsigned count)
{
	struct expr e = begin(h, "numgen");

	put(e, NFTA_NG_DREG, reg);
	put(e, NFTA_NG_MODULUS, count);
	put(e, NFTA_NG_TYPE, NFT_NG_RANDOM);
	put(e, NFTA_NG_OFFSET, 0);
	end(e);
}

/* From the key that begins in REG to the value that begins there. */
static void look_up(struct nlmsghdr *h, const char *map)
{
	struct expr e = begin(h, "lookup");

	mnl_attr_put_strz(h, NFTA_LOOKUP_SET, map);
	put(e, NFTA_LOOKUP_SREG, REG);
	put(e, NFTA_LOOKUP_DREG, REG);
	end(e);
}

static void translate(struct nlmsghdr *h, uint32_t family)
{
	struct expr e = begin(h, "nat");
	uint32_t port = behind_address(family);

	put(e, NFTA_NAT_TYPE, NFT_NAT_DNAT);
	put(e, NFTA_NAT_FAMILY, family);
	put(e, NFTA_NAT_REG_ADDR_MIN, REG);
	put(e, NFTA_NAT_REG_ADDR_MAX, REG);
	put(e, NFTA_NAT_REG_PROTO_MIN, port);
	put(e, NFTA_NAT_REG_PROTO_MAX, port);
	end(e);
}

static void go_to(struct nlmsghdr *h, const char *chain)
{
	struct expr e = begin(h, "immediate");
	struct nlattr *data, *verdict;

	put(e, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
	data = mnl_attr_nest_start(h, NFTA_IMMEDIATE_DATA);
	verdict = mnl_attr_nest_start(h, NFTA_DATA_VERDICT);
	put(e, NFTA_VERDICT_CODE, (uint32_t)NFT_GOTO);
	mnl_attr_put_strz(h, NFTA_VERDICT_CHAIN, chain);
	mnl_attr_nest_end(h, verdict);
	mnl_attr_nest_end(h, data);
	end(e);
}

static void put_bytes(struct nlmsghdr *h, uint16_t type, uint32_t value)
{
	struct nlattr *nest = mnl_attr_nest_start(h, type);

	mnl_attr_put(h, NFTA_DATA_VALUE, sizeof(value), &value); /* marks are in host order */
	mnl_attr_nest_end(h, nest);
}

static void mask_group(struct nlmsghdr *h, uint32_t reg)
{
	struct expr e = begin(h, "bitwise");

	put(e, NFTA_BITWISE_SREG, reg);
	put(e, NFTA_BITWISE_DREG, reg);
	put(e, NFTA_BITWISE_LEN, 4);
	put_bytes(h, NFTA_BITWISE_MASK, NETD_GROUP_MASK);
	put_bytes(h, NFTA_BITWISE_XOR, 0);
	end(e);
}

static void load_source(struct nlmsghdr *h, uint32_t family)
{
	struct expr e = begin(h, "payload");

	put(e, NFTA_PAYLOAD_DREG, REG);
	put(e, NFTA_PAYLOAD_BASE, NFT_PAYLOAD_NETWORK_HEADER);
	put(e, NFTA_PAYLOAD_OFFSET, family == AF_INET6 ? 8 : 12);
	put(e, NFTA_PAYLOAD_LEN, family == AF_INET6 ? 16 : 4);
	end(e);
}

static void update_affinity(struct nlmsghdr *h, uint32_t value_reg, uint32_t seconds)
{
	struct expr e = begin(h, "dynset");

	mnl_attr_put_strz(h, NFTA_DYNSET_SET_NAME, "affinity");
	put(e, NFTA_DYNSET_OP, NFT_DYNSET_OP_UPDATE);
	put(e, NFTA_DYNSET_SREG_KEY, REG);
	put(e, NFTA_DYNSET_SREG_DATA, value_reg);
	mnl_attr_put_u64(h, NFTA_DYNSET_TIMEOUT, htobe64((uint64_t)seconds * 1000));
	end(e);
}

/* A transaction, the table and chain that it works at. */
struct work {
	struct buf out;
	uint32_t family, seq;
	struct nlmsghdr *h;
	struct nlattr *list;
};

/* The chain is there and empty. */
static void clear_chain(struct work *w, const char *chain)
{
	struct nlmsghdr *h =
		nft_message(&w->out, NFT_MSG_NEWCHAIN, NLM_F_CREATE, (uint8_t)w->family, &w->seq);

	mnl_attr_put_strz(h, NFTA_CHAIN_TABLE, NETD_TABLE);
	mnl_attr_put_strz(h, NFTA_CHAIN_NAME, chain);
	nft_message_end(&w->out, h);
	h = nft_message(&w->out, NFT_MSG_DELRULE, 0, (uint8_t)w->family, &w->seq);
	mnl_attr_put_strz(h, NFTA_RULE_TABLE, NETD_TABLE);
	mnl_attr_put_strz(h, NFTA_RULE_CHAIN, chain);
	nft_message_end(&w->out, h);
}

static struct nlmsghdr *begin_rule(struct work *w, const char *chain)
{
	w->h = nft_message(
		&w->out, NFT_MSG_NEWRULE, NLM_F_CREATE | NLM_F_APPEND, (uint8_t)w->family, &w->seq);
	mnl_attr_put_strz(w->h, NFTA_RULE_TABLE, NETD_TABLE);
	mnl_attr_put_strz(w->h, NFTA_RULE_CHAIN, chain);
	w->list = mnl_attr_nest_start(w->h, NFTA_RULE_EXPRESSIONS);
	return w->h;
}

static void end_rule(struct work *w)
{
	mnl_attr_nest_end(w->h, w->list);
	nft_message_end(&w->out, w->h);
}

static void add_pick(struct work *w, unsigned slots)
{
	char chain[32];
	struct nlmsghdr *h;

	/* dnat to mark . numgen random mod N map @endpoints */
	netd_chain_name(chain, false, slots);
	clear_chain(w, chain);
	h = begin_rule(w, chain);
	load_mark(h, REG);
	choose(h, NFT_REG32_01, slots);
	look_up(h, "endpoints");
	translate(h, w->family);
	end_rule(w);

	/* mark set mark . numgen random mod N map @sticky_slots goto sticky-chosen */
	snprintf(chain, sizeof(chain), "sticky-anew-%u", slots);
	clear_chain(w, chain);
	h = begin_rule(w, chain);
	load_mark(h, REG);
	choose(h, NFT_REG32_01, slots);
	look_up(h, "sticky_slots");
	store_mark(h, REG);
	go_to(h, "sticky-chosen");
	end_rule(w);
}

int nft_pick_rules(struct nft_socket *s, uint32_t family, struct err *err)
{
	struct work w = {.family = family};
	int r;

	w.seq = nft_batch_begin(s, &w.out);
	for (unsigned i = 1; i <= NETD_SLOTS_EXACT; i++)
		add_pick(&w, i);
	add_pick(&w, NETD_SLOTS_MANY);
	add_pick(&w, NETD_SLOTS_MOST);
	r = nft_batch_commit(s, &w.out, w.seq, err);
	buf_finish(&w.out);
	return r;
}

int nft_remember_rule(struct nft_socket *s, uint32_t family, uint32_t seconds, struct err *err)
{
	struct work w = {.family = family};
	uint32_t group = behind_address(family);
	struct nlmsghdr *h;
	char chain[32];
	int r;

	snprintf(chain, sizeof(chain), "remember-%u", seconds);
	w.seq = nft_batch_begin(s, &w.out);
	clear_chain(&w, chain);
	/* update @affinity { saddr . mark & NETD_GROUP_MASK timeout N : mark } */
	h = begin_rule(&w, chain);
	load_source(h, family);
	load_mark(h, group);
	mask_group(h, group);
	load_mark(h, group + 1);
	update_affinity(h, group + 1, seconds);
	end_rule(&w);
	r = nft_batch_commit(s, &w.out, w.seq, err);
	buf_finish(&w.out);
	return r;
}

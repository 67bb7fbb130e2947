#include "node/net/netd/port_guard.h"

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <stdio.h>

#define ELEMENTS_PER_MESSAGE 400 /* see nft_batch.c */
/* Before br_netfilter takes packets to the rules of IP, which may change their addresses. */
#define PRIORITY "-350"

#define IN "bridge " NETD_PORTS_TABLE " "

static const char *const chains[] = {"says-arp", "says-ip", "says-ip6"};

static const char rules[] =
	"	set known { type ifname; }\n"
	"	set macs { type ether_addr; }\n"
	"	set own_macs { type ifname . ether_addr; }\n"
	"	set checked { type ifname; }\n"
	"	set checked_macs { type ifname . ether_addr; }\n"
	"	set own4 { type ifname . ipv4_addr; }\n"
	"	set own6 { type ifname . ipv6_addr; }\n"
	"	set targets { typeof @th,64,128; }\n"
	"	set own_targets { typeof iifname . @th,64,128; }\n"
	"	chain says-arp {\n"
	"		iifname . arp saddr ip @own4 accept\n"
	"		arp saddr ip @range4 drop\n	}\n"
	"	chain says-ip {\n"
	"		udp sport 67 udp dport 68 drop\n"
	"		iifname . ip saddr @own4 accept\n"
	"		ip saddr @range4 drop\n	}\n"
	"	chain says-ip6 {\n"
	"		icmpv6 type { nd-router-advert, nd-redirect } drop\n"
	"		udp sport 547 udp dport 546 drop\n"
	"		icmpv6 type nd-neighbor-advert @th,64,128 @targets "
	"iifname . @th,64,128 != @own_targets drop\n"
	"		iifname . ip6 saddr @own6 accept\n"
	"		ip6 saddr @range6 drop\n	}\n"
	"	chain ports {\n"
	"		iifname @checked iifname . ether saddr != @checked_macs drop\n"
	"		iifname != @known accept\n"
	"		ether saddr @macs iifname . ether saddr != @own_macs drop\n"
	"		meta protocol vmap { ip : goto says-ip, ip6 : goto says-ip6, "
	"arp : goto says-arp }\n	}\n";

static void write_ranges(
	struct buf *out, const struct netd_config *c, const struct net_range *nets, uint32_t family)
{
	const struct net_range *own = family == AF_INET6 ? &c->v6.pods : &c->v4.pods;
	bool v6 = family == AF_INET6, any = false;
	char text[NET_ADDRESS_TEXT + 4];

	buf_printf(out, "\tset range%u {\n\t\ttype ipv%u_addr\n\t\tflags interval\n", v6 ? 6u : 4u,
		v6 ? 6u : 4u);
	for (uint32_t i = 0; i <= c->net_count; i++) {
		const struct net_range *r = i ? &nets[i - 1] : own;

		if (r->address.family != family ||
			(i && (net_range_has(own, &r->address) || net_range_has(r, &own->address))))
			continue;
		buf_printf(
			out, "%s%s", any ? ", " : "\t\telements = { ", net_range_format(r, text));
		any = true;
	}
	buf_add_str(out, any ? " }\n\t}\n" : "\t}\n");
}

/* What nobody has yet is nobody's either, so that an address can be tried for doubles before its
 * port is known. nft(8) of Debian 12 knows no field for the target: whole bytes of it do. */
static void write_tried(struct buf *out, const struct net_range *own)
{
	static const char *const messages[] = {
		"nd-neighbor-solicit ip6 saddr ::", "nd-neighbor-advert"};

	if (own->address.family != AF_INET6 || own->prefix % 8 || own->prefix > 64)
		return;
	for (size_t i = 0; i < ARRAY_LEN(messages); i++) {
		buf_printf(out, "insert rule " IN "says-ip6 icmpv6 type %s @th,64,%u 0x",
			messages[i], own->prefix);
		for (uint32_t n = 0; n < own->prefix / 8; n++)
			buf_printf(out, "%02x", own->address.bytes[n]);
		buf_add_str(out, " iifname . @th,64,128 != @own_targets drop\n");
	}
}

void port_guard_write(struct buf *out, const struct netd_config *c, const struct net_range *nets)
{
	buf_add_str(out, "add table bridge " NETD_PORTS_TABLE "\n");
	for (size_t i = 0; i < ARRAY_LEN(chains); i++)
		buf_printf(out, "add chain " IN "%s\nflush chain " IN "%s\n", chains[i], chains[i]);
	buf_add_str(out,
		"add chain " IN "ports { type filter hook prerouting priority " PRIORITY
		"; policy accept; }\nflush chain " IN "ports\n"
		"add set " IN "range4 { type ipv4_addr; flags interval; }\nflush set " IN "range4\n"
		"add set " IN "range6 { type ipv6_addr; flags interval; }\nflush set " IN "range6\n"
		"table bridge " NETD_PORTS_TABLE " {\n");
	write_ranges(out, c, nets, AF_INET);
	write_ranges(out, c, nets, AF_INET6);
	buf_add_str(out, rules);
	buf_add_str(out, "}\n");
	write_tried(out, &c->v6.pods);
}

enum target {
	KNOWN,
	MACS,
	OWN_MACS,
	OWN4,
	OWN6,
	TARGETS,
	OWN_TARGETS,
	CHECKED,
	CHECKED_MACS,
	TARGET_COUNT
};
static const struct {
	const char *name;
	uint32_t family; /* of addresses that it is for; 0 = of no matter */
	bool port;	 /* a key begins with the port's name */
	bool mac;	 /* and has the MAC address, no other */
	bool other;	 /* of ports of other bridges */
} targets[TARGET_COUNT] = {
	[KNOWN] = {"known", .port = true},
	[MACS] = {"macs", .mac = true},
	[OWN_MACS] = {"own_macs", .port = true, .mac = true},
	[OWN4] = {"own4", AF_INET, .port = true},
	[OWN6] = {"own6", AF_INET6, .port = true},
	[TARGETS] = {"targets", AF_INET6},
	[OWN_TARGETS] = {"own_targets", AF_INET6, .port = true},
	[CHECKED] = {"checked", .port = true, .other = true},
	[CHECKED_MACS] = {"checked_macs", .port = true, .mac = true, .other = true},
};

static struct nlmsghdr *begin(struct buf *out, uint16_t type, uint32_t *seq, enum target t)
{
	struct nlmsghdr *h = nft_message(
		out, type, type == NFT_MSG_NEWSETELEM ? NLM_F_CREATE : 0, NFPROTO_BRIDGE, seq);

	mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_TABLE, NETD_PORTS_TABLE);
	mnl_attr_put_strz(h, NFTA_SET_ELEM_LIST_SET, targets[t].name);
	return h;
}

static void put_key(struct nlmsghdr *h, enum target t, const struct netd_port *p)
{
	struct nlattr *element = mnl_attr_nest_start(h, NFTA_LIST_ELEM);
	struct nlattr *nest = mnl_attr_nest_start(h, NFTA_SET_ELEM_KEY);
	uint8_t key[40] = {0};
	size_t size = 0;

	if (targets[t].port) {
		memcpy(key, p->name, sizeof(p->name));
		size = sizeof(p->name);
	}
	if (targets[t].mac) {
		memcpy(key + size, p->mac, sizeof(p->mac));
		size += size ? 8 : sizeof(p->mac); /* fields fill words where there are several */
	} else if (targets[t].family) {
		memcpy(key + size, p->address.bytes, net_address_size(&p->address));
		size += net_address_size(&p->address);
	}
	mnl_attr_put(h, NFTA_DATA_VALUE, size, key);
	mnl_attr_nest_end(h, nest);
	mnl_attr_nest_end(h, element);
}

static void put_elements(
	struct buf *out, uint32_t *seq, enum target t, const struct netd_port *ports, size_t count)
{
	struct nlmsghdr *h = NULL;
	struct nlattr *list = NULL;
	unsigned n = 0;

	for (size_t i = 0; i < count; i++) {
		if ((targets[t].family && ports[i].address.family != targets[t].family) ||
			targets[t].other != !ports[i].address.family)
			continue;
		if (h && n % ELEMENTS_PER_MESSAGE == 0) {
			mnl_attr_nest_end(h, list);
			nft_message_end(out, h);
			h = NULL;
		}
		if (!h) {
			h = begin(out, NFT_MSG_NEWSETELEM, seq, t);
			list = mnl_attr_nest_start(h, NFTA_SET_ELEM_LIST_ELEMENTS);
		}
		put_key(h, t, &ports[i]);
		n++;
	}
	if (h) {
		mnl_attr_nest_end(h, list);
		nft_message_end(out, h);
	}
}

/* The node's own address is its alone. */
static void put_gateway(struct buf *out, uint32_t *seq, const struct netd_config *c)
{
	struct netd_port gateway = {.address = c->v6.pods.address};

	if (!gateway.address.family)
		return;
	gateway.address = net_address_plus(&gateway.address, 1);
	put_elements(out, seq, TARGETS, &gateway, 1);
}

int port_guard_apply(struct nft_socket *s, const struct netd_config *c,
	const struct netd_port *ports, size_t count, bool replace, struct err *err)
{
	struct buf out = BUF_INIT;
	uint32_t seq;
	int r;

	for (size_t i = 0; i < count; i++) {
		r = netd_check_port(&ports[i], err);
		if (r < 0)
			return err_context(err, r, "port %zu", i);
	}
	seq = nft_batch_begin(s, &out);
	for (int t = 0; t < TARGET_COUNT; t++) {
		if (replace)
			nft_message_end(
				&out, begin(&out, NFT_MSG_DELSETELEM, &seq, (enum target)t));
		put_elements(&out, &seq, (enum target)t, ports, count);
	}
	put_gateway(&out, &seq, c);
	r = nft_batch_commit(s, &out, seq, err);
	buf_finish(&out);
	return r;
}

int port_guard_exists(struct nft_socket *s)
{
	return nft_table_exists(s, NFPROTO_BRIDGE, NETD_PORTS_TABLE, NULL);
}

#include "node/net/netd/server_rules.h"

#include <linux/netfilter.h>

#define TABLE "inet " NETD_SERVERS_TABLE

static const char *const sets[] = {
	"servers4 { type ipv4_addr . inet_proto . inet_service; }",
	"servers6 { type ipv6_addr . inet_proto . inet_service; }",
	"own { type inet_proto . inet_service; }",
	"bridges { type ifname; }",
	"given { type ifname; }",
	"same { type ifname . ifname; }",
};
#define SERVER_SETS 3 /* the first ones */

static const char rules[] =
	"add chain " TABLE " judge\n"
	"add chain " TABLE " forward { type filter hook forward priority filter; policy accept; }\n"
	"add chain " TABLE " input { type filter hook input priority filter; policy accept; }\n"
	"flush chain " TABLE " judge\nflush chain " TABLE " forward\nflush chain " TABLE " input\n"
	"add rule " TABLE " judge meta l4proto != { tcp, udp } return\n"
	"add rule " TABLE " judge ip daddr . meta l4proto . th dport @servers4 "
	"reject with icmpx type admin-prohibited\n"
	"add rule " TABLE " judge ip6 daddr . meta l4proto . th dport @servers6 "
	"reject with icmpx type admin-prohibited\n"
	"add rule " TABLE " judge fib daddr type local meta l4proto . th dport @own "
	"reject with icmpx type admin-prohibited\n"
	"add rule " TABLE " forward iifname @bridges goto judge\n"
	"add rule " TABLE " forward iifname @given iifname . oifname != @same goto judge\n"
	"add rule " TABLE " forward ct status dnat ct direction original goto judge\n"
	"add rule " TABLE " input iifname @bridges goto judge\n";

static void write_server(struct buf *out, const struct netd_server *s)
{
	char text[NET_ADDRESS_TEXT];

	if (s->address.family)
		buf_printf(out, "add element " TABLE " servers%d { %s . %u . %u }\n",
			s->address.family == AF_INET6 ? 6 : 4,
			net_address_format(&s->address, text), s->proto, s->port);
	else
		buf_printf(out, "add element " TABLE " own { %u . %u }\n", s->proto, s->port);
}

static void write_network(struct buf *out, const struct netd_network *n)
{
	const char *b = n->bridge;

	if (n->kind == NETD_NAT)
		buf_printf(out, "add element " TABLE " bridges { \"%s\" }\n", b);
	else if (n->kind == NETD_GIVEN)
		buf_printf(out,
			"add element " TABLE " given { \"%s\" }\n"
			"add element " TABLE " same { \"%s\" . \"%s\" }\n",
			b, b, b);
}

void server_rules_write(struct buf *out, const struct server_rules *r)
{
	buf_add_str(out, "add table " TABLE "\n");
	if (!r->server_count && !r->more_servers) {
		buf_add_str(out, "delete table " TABLE "\n");
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(sets); i++) {
		buf_printf(out, "add set " TABLE " %s\n", sets[i]);
		if (i < SERVER_SETS ? !r->more_servers : !r->more_networks)
			buf_printf(out, "flush set " TABLE " %.*s\n", (int)strcspn(sets[i], " "),
				sets[i]);
	}
	buf_add_str(out, rules);
	buf_printf(out, "add element " TABLE " bridges { \"%s\" }\n", r->bridge);
	for (size_t i = 0; i < r->network_count; i++)
		write_network(out, &r->networks[i]);
	for (size_t i = 0; i < r->server_count; i++)
		write_server(out, &r->servers[i]);
}

int server_rules_exist(struct nft_socket *s)
{
	return nft_table_exists(s, NFPROTO_INET, NETD_SERVERS_TABLE, NULL);
}

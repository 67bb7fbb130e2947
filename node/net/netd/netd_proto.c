#include "node/net/netd/netd_proto.h"

#include <stdio.h>

unsigned netd_slots_for(size_t count)
{
	if (count <= NETD_SLOTS_EXACT)
		return (unsigned)count;
	/* Half as many endpoints as slots still gives shares of two and three. */
	return count <= NETD_SLOTS_MANY / 2 ? NETD_SLOTS_MANY : NETD_SLOTS_MOST;
}

bool netd_any_address(const struct net_address *a)
{
	static const uint8_t zero[16];

	return !memcmp(a->bytes, zero, sizeof(zero));
}

bool netd_range_ok(const struct net_range *n, uint32_t family)
{
	uint32_t bits = family == AF_INET6 ? 128 : 32;

	return n->address.family == family && net_range_is_valid(n) && n->prefix >= 8 &&
	       n->prefix <= bits - 2 && net_address_is_unicast(&n->address);
}

static bool apart(const struct net_range *a, const struct net_range *b)
{
	return !net_range_has(a, &b->address) && !net_range_has(b, &a->address);
}

static bool family_ok(const struct netd_family *f, uint32_t family)
{
	return netd_range_ok(&f->pods, family) && f->bridge_calls_ip <= 1 &&
	       (!f->services.address.family ||
		       (netd_range_ok(&f->services, family) && apart(&f->pods, &f->services)));
}

int netd_check_config(const struct netd_config *c, size_t size, struct err *err)
{
	const struct net_range *nets = (const struct net_range *)(c + 1);

	if (size < sizeof(*c) || c->net_count > NETD_NETS_MAX ||
		size != sizeof(*c) + c->net_count * sizeof(*nets))
		return err_set(err, -EINVAL, "configuration of the wrong size");
	if (!c->v4.pods.address.family && !c->v6.pods.address.family)
		return err_set(err, -EINVAL, "configuration without a pod range");
	if ((c->v4.pods.address.family && !family_ok(&c->v4, AF_INET)) ||
		(c->v6.pods.address.family && !family_ok(&c->v6, AF_INET6)))
		return err_set(err, -EINVAL,
			"pod and service ranges must be apart, no wider than /8, unicast");
	for (uint32_t i = 0; i < c->net_count; i++)
		if ((!netd_range_ok(&nets[i], AF_INET) && !netd_range_ok(&nets[i], AF_INET6)) ||
			!apart(&c->v4.services, &nets[i]) || !apart(&c->v6.services, &nets[i]))
			return err_set(err, -EINVAL, "pod range %u is not a usable range", i);
	return 0;
}

int netd_check_port(const struct netd_port *p, struct err *err)
{
	size_t length = strnlen(p->name, sizeof(p->name));
	bool ok = length > 0 && length < sizeof(p->name) && !p->zero[0] && !p->zero[1];

	for (size_t i = 0; ok && i < sizeof(p->name); i++)
		ok = i < length ? p->name[i] > ' ' && p->name[i] < 127 && p->name[i] != '/'
				: p->name[i] == 0;
	if (!ok)
		return err_set(err, -EINVAL, "not the name of a port");
	if (p->mac[0] & 1)
		return err_set(err, -EINVAL, "%s: a MAC address of many", p->name);
	if (p->address.family ? !net_address_is_unicast(&p->address)
			      : !net_address_is_none(&p->address))
		return err_set(err, -EINVAL, "%s: not a unicast address", p->name);
	return 0;
}

int netd_check_network(const struct netd_network *n, struct err *err)
{
	size_t length = strnlen(n->bridge, sizeof(n->bridge));
	bool ok = length > 0 && length < sizeof(n->bridge) && n->bridge[0] != '-';

	/* It becomes text between quotes. */
	for (size_t i = 0; ok && i < sizeof(n->bridge); i++)
		ok = i < length
			     ? n->bridge[i] == '-' || n->bridge[i] == '_' || n->bridge[i] == '.' ||
				       (n->bridge[i] >= '0' && n->bridge[i] <= '9') ||
				       (n->bridge[i] >= 'a' && n->bridge[i] <= 'z') ||
				       (n->bridge[i] >= 'A' && n->bridge[i] <= 'Z')
			     : n->bridge[i] == 0;
	if (!ok)
		return err_set(err, -EINVAL, "not the name of a bridge");
	if (n->kind > NETD_GIVEN)
		return err_set(err, -EINVAL, "%s: kind %u is not known", n->bridge, n->kind);
	if (n->kind != NETD_NAT && !n->range.address.family)
		return n->range.prefix || !net_address_is_none(&n->range.address)
			       ? err_set(err, -EINVAL, "%s: not a range", n->bridge)
			       : 0;
	if (n->range.address.family != AF_INET || !net_range_is_valid(&n->range) ||
		n->range.prefix < 8 || !net_address_is_unicast(&n->range.address))
		return err_set(err, -EINVAL, "%s: not a range", n->bridge);
	return 0;
}

int netd_check_server(const struct netd_server *s, struct err *err)
{
	if ((s->proto != IPPROTO_TCP && s->proto != IPPROTO_UDP) || !s->port || s->zero)
		return err_set(err, -EINVAL, "protocol %u port %u", s->proto, s->port);
	if (s->address.family
			? !net_address_is_valid(&s->address) || !net_address_is_unicast(&s->address)
			: !net_address_is_none(&s->address))
		return err_set(err, -EINVAL, "server is not a unicast address");
	return 0;
}

static bool slots_ok(unsigned slots)
{
	return (slots >= 1 && slots <= NETD_SLOTS_EXACT) || slots == NETD_SLOTS_MANY ||
	       slots == NETD_SLOTS_MOST;
}

static bool group_ok(uint32_t group)
{
	return group >> 30 && !(group & 0x1fff) && (group & 0x3fffffff);
}

static bool has_table(const struct netd_config *c, const struct net_address *a)
{
	return (a->family == AF_INET && c->v4.pods.address.family) ||
	       (a->family == AF_INET6 && c->v6.pods.address.family);
}

static int check_front(const struct netd_op *op, struct err *err)
{
	if (op->verdict > NETD_DROP)
		return err_set(err, -EINVAL, "verdict %u is not known", op->verdict);
	if ((op->verdict == NETD_TRANSLATE) != (op->group != 0) ||
		(op->group && !group_ok(op->group)) || (op->inside && !group_ok(op->inside)))
		return err_set(err, -EINVAL, "group %08x, inside %08x", op->group, op->inside);
	return 0;
}

int netd_check_op(const struct netd_op *op, const struct netd_config *config, struct err *err)
{
	bool keyed = op->type == NETD_FRONT || op->type == NETD_FIREWALL ||
		     op->type == NETD_SOURCE || op->type == NETD_HOST_PORT ||
		     op->type == NETD_FORGET;
	bool with_target =
		op->type == NETD_ENDPOINT || op->type == NETD_HAIRPIN || op->type == NETD_HOST_PORT;

	if (op->type < NETD_FLUSH || op->type >= NETD_OP_TYPES || op->remove > 1)
		return err_set(err, -EINVAL, "operation %u is not known", op->type);
	if (op->type == NETD_FLUSH)
		return op->part == NETD_SERVICES || op->part == NETD_HOST_PORTS
			       ? 0
			       : err_set(err, -EINVAL, "part %u is not known", op->part);
	if (!has_table(config, &op->address) || !net_address_is_valid(&op->address))
		return err_set(err, -EINVAL, "addresses of family %u are not configured",
			op->address.family);
	if (keyed && ((op->proto != IPPROTO_TCP && op->proto != IPPROTO_UDP &&
			      op->proto != IPPROTO_SCTP) ||
			     !op->port))
		return err_set(err, -EINVAL, "protocol %u port %u", op->proto, op->port);
	/* Nobody may take over what the host says to itself. */
	if (keyed && !netd_any_address(&op->address) && !net_address_is_unicast(&op->address))
		return err_set(err, -EINVAL, "address is not unicast");
	if (with_target &&
		(op->to.family != op->address.family || !net_address_is_unicast(&op->to) ||
			(op->type != NETD_HAIRPIN && !op->to_port)))
		return err_set(err, -EINVAL, "endpoint is not a unicast address with a port");
	switch ((enum netd_op_type)op->type) {
	case NETD_FRONT:
		return check_front(op, err);
	case NETD_GROUP:
		if (!group_ok(op->group) || !slots_ok(op->slot_count) ||
			op->seconds > NETD_AFFINITY_MAX_SECONDS)
			return err_set(err, -EINVAL, "group %08x, %u slots, %u seconds", op->group,
				op->slot_count, op->seconds);
		break;
	case NETD_ENDPOINT:
		if (!group_ok(op->group) || op->slot >= NETD_SLOTS_MOST)
			return err_set(err, -EINVAL, "group %08x, slot %u", op->group, op->slot);
		break;
	case NETD_SOURCE:
		if (op->to.family != op->address.family ||
			!net_range_is_valid(&(struct net_range){op->to, op->to_prefix}))
			return err_set(err, -EINVAL, "source is not a range");
		break;
	default:
		break;
	}
	return 0;
}

void netd_chain_name(char ret[32], bool sticky, unsigned slots)
{
	snprintf(ret, 32, "%s-%u", sticky ? "sticky" : "pick", slots);
}

/* Words of a family. */
struct words {
	uint32_t family;
	const char *table, *address_type, *ip, *icmp, *loopback, *multicast;
};
static const struct words v4 = {
	AF_INET, "ip", "ipv4_addr", "ip", "icmp", "127.0.0.0/8", "224.0.0.0/4"};
static const struct words v6 = {AF_INET6, "ip6", "ipv6_addr", "ip6", "icmpv6", "::1", "ff00::/8"};

/* Writes text in which $T is the table, $A the type of addresses, $I the header, $M what ICMP is
 * called, $L loopback and $X multicast. */
static void add(struct buf *out, const struct words *w, const char *text)
{
	for (const char *p = text; *p; p++) {
		const char *word = NULL;

		if (*p == '$') {
			switch (p[1]) {
			case 'T':
				word = w->table;
				break;
			case 'A':
				word = w->address_type;
				break;
			case 'I':
				word = w->ip;
				break;
			case 'M':
				word = w->icmp;
				break;
			case 'L':
				word = w->loopback;
				break;
			case 'X':
				word = w->multicast;
				break;
			}
		}
		if (word) {
			buf_add_str(out, word);
			p++;
		} else {
			buf_add(out, p, 1);
		}
	}
}

static void add_range(struct buf *out, const struct net_range *r)
{
	char text[NET_ADDRESS_TEXT + 4];

	buf_add_str(out, net_range_format(r, text));
}

#define GROUP_MASK "0xffffe000"
#define TRANSPORT "meta l4proto { tcp, udp, sctp }"

/* Beside the chains that choose (nft_rules.h): where clients are remembered, the mark says the slot
 * too once it is known; one that leads nowhere any more is chosen anew. */
static void add_sticky_chains(struct buf *out, const struct words *w, unsigned slots)
{
	char sticky[32];

	netd_chain_name(sticky, true, slots);
	buf_printf(out,
		"\tchain %s {\n"
		"\t\tmeta mark set %s saddr . meta mark map @affinity goto sticky-again-%u\n"
		"\t\tgoto sticky-anew-%u\n\t}\n",
		sticky, w->ip, slots, slots);
	buf_printf(out,
		"\tchain sticky-again-%u {\n"
		"\t\tmeta mark & " GROUP_MASK " vmap @remember\n"
		"\t\t" TRANSPORT " dnat %s to meta mark map @sticky_endpoints\n"
		"\t\tmeta mark set meta mark & " GROUP_MASK "\n"
		"\t\tgoto sticky-anew-%u\n\t}\n",
		slots, w->ip, slots);
}

static void add_chains(struct buf *out, const struct words *w,
	void (*each)(struct buf *out, const struct words *w, unsigned slots))
{
	for (unsigned i = 1; i <= NETD_SLOTS_EXACT; i++)
		each(out, w, i);
	each(out, w, NETD_SLOTS_MANY);
	each(out, w, NETD_SLOTS_MOST);
}

/* All are named first, since they refer to each other; those with rules from nft_rules.h are left
 * as they are, the others begin empty. */
static void name_chains(struct buf *out, const struct words *w, unsigned slots)
{
	buf_printf(out,
		"add chain %s " NETD_TABLE " pick-%u\nadd chain %s " NETD_TABLE " sticky-anew-%u\n"
		"add chain %s " NETD_TABLE " sticky-%u\nflush chain %s " NETD_TABLE " sticky-%u\n"
		"add chain %s " NETD_TABLE " sticky-again-%u\nflush chain %s " NETD_TABLE
		" sticky-again-%u\n",
		w->table, slots, w->table, slots, w->table, slots, w->table, slots, w->table, slots,
		w->table, slots);
}

static const struct {
	const char *name, *hook; /* NULL = not called by the kernel */
} chains[] = {
	{"sticky-chosen", NULL},
	{"dispatch", NULL},
	{"inside", NULL},
	{"own-address", NULL},
	{"translate", NULL},
	{"refuse", NULL},
	{"discard", NULL},
	{"source-check", NULL},
	{"prerouting", "type nat hook prerouting priority -100"},
	{"output", "type nat hook output priority -100"},
	{"postrouting", "type nat hook postrouting priority 100"},
	{"filter-prerouting", "type filter hook prerouting priority -110"},
	{"filter-input", "type filter hook input priority 0"},
	{"forward", "type filter hook forward priority 0"},
	{"filter-output", "type filter hook output priority 0"},
};

static void clear_chains(struct buf *out, const struct words *w)
{
	for (size_t i = 0; i < ARRAY_LEN(chains); i++) {
		buf_printf(out, "add chain %s " NETD_TABLE " %s", w->table, chains[i].name);
		if (chains[i].hook)
			buf_printf(out, " { %s; policy accept; }", chains[i].hook);
		buf_printf(out, "\nflush chain %s " NETD_TABLE " %s\n", w->table, chains[i].name);
	}
}

static const struct words *words_of(uint32_t family)
{
	return family == AF_INET6 ? &v6 : &v4;
}

static const char maps[] =
	"	set hairpin { type $A . $A; }\n"
	"	map services { type $A . inet_proto . inet_service : mark; }\n"
	"	map services_inside { type $A . inet_proto . inet_service : mark; }\n"
	"	map node_ports { type inet_proto . inet_service : mark; }\n"
	"	map node_ports_inside { type inet_proto . inet_service : mark; }\n"
	"	map groups { type mark : verdict; }\n"
	"	map endpoints { type mark . mark : $A . inet_service; }\n"
	"	map sticky_slots { type mark . mark : mark; }\n"
	"	map sticky_endpoints { type mark : $A . inet_service; }\n"
	"	map remember { type mark : verdict; }\n"
	"	map affinity { type $A . mark : mark; size 65536; flags "
	"dynamic,timeout; }\n"
	"	map no_endpoints { type $A . inet_proto . inet_service : verdict; }\n"
	"	map no_endpoint_node_ports { type inet_proto . inet_service : verdict; }\n"
	"	set firewalled { type $A . inet_proto . inet_service; }\n"
	"	set sources { type $A . inet_proto . inet_service . $A; flags interval; }\n"
	"	map host_ports { type inet_proto . inet_service : $A . inet_service; }\n"
	"	map host_address_ports { type $A . inet_proto . inet_service : $A . inet_service; "
	"}\n";

/* Loopback addresses stay local: translating them would need route_localnet. */
static const char translate[] =
	"	chain sticky-chosen {\n"
	"		meta mark & " GROUP_MASK " vmap @remember\n"
	"		" TRANSPORT " dnat $I to meta mark map @sticky_endpoints\n	}\n"
	"	chain dispatch {\n		meta mark vmap @groups\n	}\n"
	"	chain inside {\n"
	"		meta mark set $I daddr . meta l4proto . th dport map @services_inside goto "
	"dispatch\n"
	"		fib daddr type local $I daddr != $L meta mark set meta l4proto . th dport "
	"map @node_ports_inside goto dispatch\n	}\n"
	"	chain own-address {\n"
	"		meta mark set meta l4proto . th dport map @node_ports goto dispatch\n"
	"		" TRANSPORT
	" dnat $I to $I daddr . meta l4proto . th dport map @host_address_ports\n"
	"		" TRANSPORT " dnat $I to meta l4proto . th dport map @host_ports\n	}\n"
	"	chain translate {\n"
	"		$I saddr @cluster jump inside\n"
	"		$I saddr != @cluster fib saddr type local jump inside\n"
	"		meta mark set $I daddr . meta l4proto . th dport map @services goto "
	"dispatch\n"
	"		fib daddr type local $I daddr != $L goto own-address\n	}\n"
	"	chain prerouting {\n"
	"		" TRANSPORT " jump translate\n	}\n"
	"	chain output {\n"
	"		" TRANSPORT " jump translate\n	}\n"
	"	chain postrouting {\n"
	"		ct status dnat $I saddr . $I daddr @hairpin masquerade fully-random\n"
	"		ct status dnat meta mark & 0xc0000000 == 0x80000000 masquerade "
	"fully-random\n"
	"		ct status dnat meta mark & 0xc0000000 == 0x40000000 $I saddr != @cluster "
	"masquerade fully-random\n";

/* What still has a service address after translation was not translated: there is no such
 * service. */
static const char refuse[] =
	"	chain refuse {\n		meta l4proto tcp reject with tcp reset\n"
	"		reject with $M type port-unreachable\n	}\n"
	"	chain discard {\n		drop\n	}\n"
	"	chain source-check {\n"
	"		$I daddr . meta l4proto . th dport . $I saddr @sources return\n"
	"		drop\n	}\n"
	"	chain filter-prerouting {\n"
	"		ct state new " TRANSPORT
	" $I daddr . meta l4proto . th dport @firewalled goto source-check\n	}\n"
	"	chain filter-input {\n"
	"		ct state new " TRANSPORT
	" $I daddr . meta l4proto . th dport vmap @no_endpoints\n"
	"		ct state new " TRANSPORT
	" fib daddr type local $I daddr != $L meta l4proto "
	". th dport vmap @no_endpoint_node_ports\n	}\n"
	"	chain forward {\n"
	"		ct state new " TRANSPORT
	" $I daddr . meta l4proto . th dport vmap @no_endpoints\n";

void netd_ruleset_write(struct buf *out, const struct netd_config *c, const struct net_range *nets,
	uint32_t family, const char *bridge)
{
	const struct words *w = words_of(family);
	const struct netd_family *f = family == AF_INET6 ? &c->v6 : &c->v4;

	/* The set of ranges changes as a whole; rules go, elements of maps stay. */
	add(out, w, "add table $T " NETD_TABLE "\n");
	clear_chains(out, w);
	add_chains(out, w, name_chains);
	add(out, w,
		"add set $T " NETD_TABLE " cluster { type $A; flags interval; }\n"
		"flush set $T " NETD_TABLE " cluster\n"
		"table $T " NETD_TABLE " {\n"
		"\tset cluster {\n\t\ttype $A\n\t\tflags interval\n\t\telements = { ");
	add_range(out, &f->pods);
	for (uint32_t i = 0; i < c->net_count; i++) {
		if (nets[i].address.family != family || !apart(&nets[i], &f->pods))
			continue;
		buf_add_str(out, ", ");
		add_range(out, &nets[i]);
	}
	buf_add_str(out, " }\n\t}\n");
	add(out, w, maps);
	add_chains(out, w, add_sticky_chains);
	add(out, w, translate);
	/* A pod that goes through a port of this node may meet itself. */
	buf_printf(out,
		"\t\tct status dnat meta mark & 0xc0000000 == 0 iifname \"%s\" oifname \"%s\" "
		"masquerade fully-random\n",
		bridge, bridge);
	if (!f->bridge_calls_ip)
		/* The answer would go from port to port without coming back through here. */
		buf_printf(out,
			"\t\tct status dnat iifname \"%s\" oifname \"%s\" masquerade "
			"fully-random\n",
			bridge, bridge);
	add(out, w, "\t\t$I saddr @cluster $I daddr != @cluster oifname != \"");
	buf_add_str(out, bridge);
	add(out, w, "\" $I daddr != $X masquerade fully-random\n\t}\n");
	add(out, w, refuse);
	for (int i = 0; i < 2; i++) {
		if (i)
			add(out, w,
				"\tchain filter-output {\n"
				"\t\tct state new " TRANSPORT
				" $I daddr . meta l4proto . th dport vmap @no_endpoints\n");
		if (f->services.address.family) {
			add(out, w, "\t\t$I daddr ");
			add_range(out, &f->services);
			buf_add_str(out, " goto refuse\n");
		}
		buf_add_str(out, "\t}\n");
	}
	buf_add_str(out, "}\n");
}

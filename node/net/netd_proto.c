#include "node/net/netd_proto.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

const uint32_t netd_affinity_seconds[NETD_AFFINITY_STEPS] = {
	60, 300, 900, 1800, 3600, 10800, 86400};

unsigned netd_slots_for(size_t count)
{
	if (count <= NETD_SLOTS_EXACT)
		return (unsigned)count;
	/* Half as many endpoints as slots still gives shares of two and three. */
	return count <= NETD_SLOTS_MANY / 2 ? NETD_SLOTS_MANY : NETD_SLOTS_MOST;
}

uint8_t netd_affinity_step(int64_t seconds)
{
	if (seconds <= 0)
		return 0;
	for (uint8_t i = 0; i < NETD_AFFINITY_STEPS; i++)
		if (seconds <= netd_affinity_seconds[i])
			return (uint8_t)(i + 1);
	return NETD_AFFINITY_STEPS;
}

static uint32_t mask_of(uint32_t prefix)
{
	return prefix ? htonl(UINT32_MAX << (32 - prefix)) : 0;
}

bool netd_net_has(const struct netd_net *n, uint32_t address)
{
	return ((n->address ^ address) & mask_of(n->prefix)) == 0;
}

int netd_net_parse(const char *cidr, struct netd_net *ret)
{
	const char *slash = strchr(cidr, '/');
	char address[INET_ADDRSTRLEN];
	struct in_addr in;
	uint64_t prefix;

	if (!slash || (size_t)(slash - cidr) >= sizeof(address))
		return -EINVAL;
	memcpy(address, cidr, (size_t)(slash - cidr));
	address[slash - cidr] = '\0';
	if (inet_pton(AF_INET, address, &in) != 1 || parse_u64(str_from(slash + 1), &prefix) < 0 ||
		prefix > 32 || (in.s_addr & ~mask_of((uint32_t)prefix)))
		return -EINVAL;
	*ret = (struct netd_net){.address = in.s_addr, .prefix = (uint32_t)prefix};
	return 0;
}

/* A range that pods or services may have: not so wide that it takes over the host's own traffic. */
static bool net_ok(const struct netd_net *n)
{
	uint32_t first = ntohl(n->address);

	return n->prefix >= 8 && n->prefix <= 30 && !(n->address & ~mask_of(n->prefix)) &&
	       first >> 24 != 0 && first >> 24 != 127 && first >> 24 < 224;
}

static bool unicast(uint32_t address)
{
	uint32_t top = ntohl(address) >> 24;

	return top != 0 && top != 127 && top < 224;
}

int netd_check_config(const struct netd_config *c, size_t size, struct err *err)
{
	const struct netd_net *nets = (const struct netd_net *)(c + 1);

	if (size < sizeof(*c) || c->net_count > NETD_NETS_MAX ||
		size != sizeof(*c) + c->net_count * sizeof(*nets) || c->bridge_calls_ip > 1)
		return err_set(err, -EINVAL, "configuration of the wrong size");
	if (!net_ok(&c->pods) || !net_ok(&c->services) ||
		netd_net_has(&c->services, c->pods.address) ||
		netd_net_has(&c->pods, c->services.address))
		return err_set(
			err, -EINVAL, "pod and service ranges must be apart, /8 to /30, unicast");
	for (uint32_t i = 0; i < c->net_count; i++)
		if (!net_ok(&nets[i]) || netd_net_has(&c->services, nets[i].address))
			return err_set(err, -EINVAL, "pod range %u is not a usable range", i);
	return 0;
}

static bool slots_ok(unsigned slots)
{
	return (slots >= 1 && slots <= NETD_SLOTS_EXACT) || slots == NETD_SLOTS_MANY ||
	       slots == NETD_SLOTS_MOST;
}

int netd_check_op(const struct netd_op *op, const struct netd_config *config, struct err *err)
{
	bool service = op->type == NETD_SERVICE || op->type == NETD_NODE_PORT;
	bool endpoint = op->type == NETD_ENDPOINT || op->type == NETD_NODE_PORT_ENDPOINT;
	bool with_address = op->type == NETD_SERVICE || op->type == NETD_ENDPOINT;

	if (op->type < NETD_FLUSH || op->type > NETD_HAIRPIN || op->remove > 1 || op->zero)
		return err_set(err, -EINVAL, "operation %u is not known", op->type);
	if (op->type == NETD_FLUSH)
		return 0;
	if (op->type == NETD_HAIRPIN)
		return unicast(op->to_address) ? 0
					       : err_set(err, -EINVAL, "endpoint is not unicast");
	if ((op->proto != IPPROTO_TCP && op->proto != IPPROTO_UDP) || !op->port)
		return err_set(err, -EINVAL, "protocol %u port %u", op->proto, op->port);
	if (with_address ? !netd_net_has(&config->services, op->address) : op->address != 0)
		return err_set(err, -EINVAL, "address is not in the service range");
	if (op->remove)
		return 0;
	if (service && (!slots_ok(op->slot) || op->affinity > NETD_AFFINITY_STEPS))
		return err_set(err, -EINVAL, "%u slots, affinity %u", op->slot, op->affinity);
	if (endpoint && (op->slot >= NETD_SLOTS_MOST || !unicast(op->to_address) || !op->to_port))
		return err_set(err, -EINVAL, "endpoint is not a unicast address with a port");
	return 0;
}

void netd_chain_name(char ret[32], bool node_port, bool affinity, unsigned slots)
{
	snprintf(ret, 32, "%s%s-%u", node_port ? "node" : "service", affinity ? "-sticky" : "",
		slots);
}

static void add_net(struct buf *out, const struct netd_net *n)
{
	char text[INET_ADDRSTRLEN];

	inet_ntop(AF_INET, &n->address, text, sizeof(text));
	buf_printf(out, "%s/%u", text, n->prefix);
}

/* One chain for each number of slots: choose one, remember it if asked to, translate. An endpoint
 * map's key ends in the slot, which travels in the packet's mark between two rules of one chain. */
static void add_pick_chains(struct buf *out, bool node_port, unsigned slots)
{
	const char *key =
		node_port ? "meta l4proto . th dport" : "ip daddr . meta l4proto . th dport";
	const char *map = node_port ? "node_port_endpoints" : "endpoints";
	const char *steps = node_port ? "node_port_affinity" : "service_affinity";
	char name[32];

	netd_chain_name(name, node_port, false, slots);
	buf_printf(out,
		"\tchain %s {\n\t\tmeta mark set numgen random mod %u\n"
		"\t\tmeta l4proto { tcp, udp } dnat ip to %s . meta mark map @%s\n\t}\n",
		name, slots, key, map);
	netd_chain_name(name, node_port, true, slots);
	/* No endpoint has slot 0xffffffff, so a client without memory falls through to a choice; so
	 * does one whose slot is gone. */
	buf_printf(out,
		"\tchain %s {\n\t\tmeta mark set 0xffffffff\n"
		"\t\tmeta mark set ip saddr . ip daddr . meta l4proto . th dport map @affinity\n"
		"\t\tmeta mark != 0xffffffff %s vmap @%s\n"
		"\t\tmeta l4proto { tcp, udp } dnat ip to %s . meta mark map @%s\n"
		"\t\tmeta mark set numgen random mod %u\n"
		"\t\t%s vmap @%s\n"
		"\t\tmeta l4proto { tcp, udp } dnat ip to %s . meta mark map @%s\n\t}\n",
		name, key, steps, key, map, slots, key, steps, key, map);
}

void netd_ruleset_write(struct buf *out, const struct netd_config *c, const struct netd_net *nets,
	const char *bridge)
{
	unsigned slots[NETD_SLOTS_EXACT + 2];

	for (unsigned i = 0; i < NETD_SLOTS_EXACT; i++)
		slots[i] = i + 1;
	slots[NETD_SLOTS_EXACT] = NETD_SLOTS_MANY;
	slots[NETD_SLOTS_EXACT + 1] = NETD_SLOTS_MOST;

	/* The set of ranges changes as a whole; rules go, elements of maps stay. */
	buf_add_str(out, "add table ip " NETD_TABLE "\nflush table ip " NETD_TABLE "\n"
			 "add set ip " NETD_TABLE " cluster { type ipv4_addr; flags interval; }\n"
			 "flush set ip " NETD_TABLE " cluster\n");
	buf_add_str(out,
		"table ip " NETD_TABLE " {\n"
		"\tset cluster {\n\t\ttype ipv4_addr\n\t\tflags interval\n\t\telements = { ");
	add_net(out, &c->pods);
	for (uint32_t i = 0; i < c->net_count; i++) {
		if (nets[i].address == c->pods.address)
			continue;
		buf_add_str(out, ", ");
		add_net(out, &nets[i]);
	}
	buf_add_str(out,
		" }\n\t}\n"
		"\tset hairpin {\n\t\ttype ipv4_addr . ipv4_addr\n\t}\n"
		"\tmap services {\n\t\ttype ipv4_addr . inet_proto . inet_service : verdict\n\t}\n"
		"\tmap endpoints {\n\t\ttype ipv4_addr . inet_proto . inet_service . mark : "
		"ipv4_addr . "
		"inet_service\n\t}\n"
		"\tmap service_affinity {\n\t\ttype ipv4_addr . inet_proto . inet_service : "
		"verdict\n\t}\n"
		"\tmap node_ports {\n\t\ttype inet_proto . inet_service : verdict\n\t}\n"
		"\tmap node_port_endpoints {\n\t\ttype inet_proto . inet_service . mark : "
		"ipv4_addr . "
		"inet_service\n\t}\n"
		"\tmap node_port_affinity {\n\t\ttype inet_proto . inet_service : verdict\n\t}\n"
		"\tmap affinity {\n\t\ttype ipv4_addr . ipv4_addr . inet_proto . inet_service : "
		"mark\n"
		"\t\tsize 65536\n\t\tflags dynamic,timeout\n\t}\n");
	for (unsigned i = 0; i < NETD_AFFINITY_STEPS; i++)
		buf_printf(out,
			"\tchain remember-%u {\n\t\tupdate @affinity { ip saddr . ip daddr . meta "
			"l4proto . "
			"th dport timeout %us : meta mark }\n\t}\n",
			i + 1, netd_affinity_seconds[i]);
	for (size_t i = 0; i < ARRAY_LEN(slots); i++) {
		add_pick_chains(out, false, slots[i]);
		add_pick_chains(out, true, slots[i]);
	}
	/* Loopback addresses stay local: translating them would need route_localnet. */
	buf_add_str(out,
		"\tchain translate {\n"
		"\t\tip daddr . meta l4proto . th dport vmap @services\n"
		"\t\tfib daddr type local ip daddr != 127.0.0.0/8 meta l4proto . th dport vmap "
		"@node_ports\n\t}\n"
		"\tchain prerouting {\n\t\ttype nat hook prerouting priority dstnat; policy "
		"accept;\n"
		"\t\tmeta l4proto { tcp, udp } jump translate\n\t}\n"
		"\tchain output {\n\t\ttype nat hook output priority -100; policy accept;\n"
		"\t\tmeta l4proto { tcp, udp } jump translate\n\t}\n"
		"\tchain postrouting {\n\t\ttype nat hook postrouting priority srcnat; policy "
		"accept;\n"
		"\t\tct status dnat ip saddr . ip daddr @hairpin masquerade fully-random\n"
		"\t\tct status dnat ip saddr != @cluster masquerade fully-random\n");
	if (!c->bridge_calls_ip)
		/* The answer would go from port to port without coming back through here. */
		buf_printf(out,
			"\t\tct status dnat iifname \"%s\" oifname \"%s\" masquerade "
			"fully-random\n",
			bridge, bridge);
	buf_printf(out,
		"\t\tip saddr @cluster ip daddr != @cluster oifname != \"%s\" ip daddr != "
		"224.0.0.0/4 "
		"masquerade fully-random\n\t}\n",
		bridge);
	/* What still has a service address here was not translated: there is no such service. */
	buf_add_str(out,
		"\tchain refuse {\n\t\tmeta l4proto tcp reject with tcp reset\n"
		"\t\treject with icmp type port-unreachable\n\t}\n"
		"\tchain forward {\n\t\ttype filter hook forward priority filter; policy accept;\n"
		"\t\tip daddr ");
	add_net(out, &c->services);
	buf_add_str(out,
		" goto refuse\n\t}\n"
		"\tchain filter-output {\n\t\ttype filter hook output priority filter; policy "
		"accept;\n\t\tip daddr ");
	add_net(out, &c->services);
	buf_add_str(out, " goto refuse\n\t}\n}\n");
}

#include "node/net/networks/net_config.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "node/net/ports.h"

static int bad(struct err *err, const char *member, const char *what)
{
	return err_set(err, -EINVAL, "spec.config: %s: %s", member, what);
}

static int read_address_of(const struct json *v, const char *member, const struct net_range *range,
	struct net_address *ret, struct err *err)
{
	if (net_address_parse(json_str(v), ret) < 0 || ret->family != AF_INET)
		return bad(err, member, "must be an IPv4 address");
	if (range->address.family && !net_range_has(range, ret))
		return bad(err, member, "must be in the subnet");
	return 0;
}

static uint32_t number(const struct net_address *a)
{
	return ntohl(net_address_to_v4(a));
}

/* The first and last addresses of a range name the network and everybody in it. */
static int check_inside(const struct net_config *c, const struct net_address *a, const char *member,
	struct err *err)
{
	uint32_t first = number(&c->range.address),
		 last = first | (uint32_t)(UINT32_MAX >> c->range.prefix);

	if (number(a) == first || number(a) == last)
		return bad(err, member, "must not be the network's or the broadcast address");
	return 0;
}

static int read_hosts(
	struct arena *a, const struct json *list, struct net_config *c, struct err *err)
{
	size_t count = json_count(list);
	int r = 0;

	if (list && !json_is(list, JSON_ARRAY))
		return bad(err, "ipam.hosts", "must be a list");
	if (count > NET_CONFIG_HOSTS_MAX)
		return bad(err, "ipam.hosts", "are too many");
	c->hosts = arena_alloc(a, (count + 1) * sizeof(*c->hosts));
	JSON_FOR_EACH_ITEM(it, list) {
		struct net_config_host *h = &c->hosts[c->host_count];
		char member[64];

		*h = (struct net_config_host){.mac = {0}};
		snprintf(member, sizeof(member), "ipam.hosts[%zu].mac", c->host_count);
		if (ports_read_mac(json_path_str(it, "mac"), h->mac) < 0 || h->mac[0] & 1)
			return bad(err, member,
				"must be a unicast MAC address like 02:00:00:12:34:56");
		if (net_config_host_of(c, h->mac))
			return bad(err, member, "occurs twice");
		snprintf(member, sizeof(member), "ipam.hosts[%zu].ip", c->host_count);
		r = read_address_of(json_get(it, "ip"), member, &c->range, &h->address, err);
		if (r == 0)
			r = check_inside(c, &h->address, member, err);
		if (r < 0)
			return r;
		if (net_address_eq(&h->address, &c->gateway))
			return bad(err, member, "is the gateway's");
		if (net_config_is_fixed(c, &h->address))
			return bad(err, member, "occurs twice");
		c->host_count++;
	}
	return 0;
}

/* As of CNI's host-local: subnet, rangeStart, rangeEnd, gateway, or one of `ranges`. */
static int read_range(
	struct arena *a, const struct json *ipam, struct net_config *c, struct err *err)
{
	const struct json *ranges = json_get(ipam, "ranges"), *from = ipam;
	uint32_t first, last;
	int r;

	if (json_count(ranges)) {
		if (json_count(ranges) > 1 || json_count(json_at(ranges, 0)) > 1)
			return err_set(err, -EOPNOTSUPP,
				"spec.config: ipam.ranges: one IPv4 range is supported");
		from = json_at(json_at(ranges, 0), 0);
	}
	if (net_range_parse(json_path_str(from, "subnet"), &c->range) < 0 ||
		c->range.address.family != AF_INET)
		return bad(err, "ipam.subnet", "must be an IPv4 range like 192.168.150.0/24");
	if (c->range.prefix < 8 || c->range.prefix > 30 ||
		!net_address_is_unicast(&c->range.address))
		return bad(err, "ipam.subnet", "must be between /8 and /30, of unicast addresses");
	first = number(&c->range.address);
	last = first | (uint32_t)(UINT32_MAX >> c->range.prefix);
	c->gateway = net_address_plus(&c->range.address, 1);
	if (json_get(from, "gateway")) {
		r = read_address_of(
			json_get(from, "gateway"), "ipam.gateway", &c->range, &c->gateway, err);
		if (r == 0)
			r = check_inside(c, &c->gateway, "ipam.gateway", err);
		if (r < 0)
			return r;
	}
	c->from = net_address_v4(htonl(first + 1));
	c->to = net_address_v4(htonl(last - 1));
	if (json_get(from, "rangeStart")) {
		r = read_address_of(
			json_get(from, "rangeStart"), "ipam.rangeStart", &c->range, &c->from, err);
		if (r == 0)
			r = check_inside(c, &c->from, "ipam.rangeStart", err);
		if (r < 0)
			return r;
	}
	if (json_get(from, "rangeEnd")) {
		r = read_address_of(
			json_get(from, "rangeEnd"), "ipam.rangeEnd", &c->range, &c->to, err);
		if (r == 0)
			r = check_inside(c, &c->to, "ipam.rangeEnd", err);
		if (r < 0)
			return r;
	}
	if (number(&c->from) > number(&c->to))
		return bad(err, "ipam.rangeEnd", "comes before rangeStart");
	return read_hosts(a, json_get(ipam, "hosts"), c, err);
}

static int read_ipam(
	struct arena *a, const struct json *ipam, struct net_config *c, struct err *err)
{
	const char *type = json_path_str(ipam, "type");

	if (c->kind == NET_KIND_BRIDGE) {
		/* The LAN has its own ways to give addresses; guests ask there. */
		if (!json_count(ipam) || streq(type, "dhcp"))
			return 0;
		return err_set(err, -EOPNOTSUPP,
			"spec.config: ipam: on a bridge of the host guests get their addresses "
			"from what is behind it; for addresses from the node use type "
			"hanok-nat or hanok-isolated");
	}
	if (json_count(ipam) && type && !streq(type, "host-local"))
		return err_set(err, -EOPNOTSUPP,
			"spec.config: ipam.type: '%s' is not supported; use host-local", type);
	if (!json_get(ipam, "subnet") && !json_count(json_get(ipam, "ranges")))
		return c->kind == NET_KIND_ISOLATED && !json_count(ipam)
			       ? 0
			       : bad(err, "ipam.subnet", "is missing");
	return read_range(a, ipam, c, err);
}

static int read_port(const struct json *it, size_t index, struct net_config *c, struct err *err)
{
	struct net_config_port *p = &c->ports[c->port_count];
	const char *proto = json_str_or(json_get(it, "protocol"), "tcp");
	int64_t from = json_int_or(json_get(it, "hostPort"), 0),
		to = json_int_or(json_get(it, "containerPort"), 0);
	char member[64];
	int r;

	*p = (struct net_config_port){.port = 0};
	snprintf(member, sizeof(member), "portMappings[%zu]", index);
	if (from < 1 || from > 65535 || to < 1 || to > 65535)
		return bad(err, member, "hostPort and containerPort must be between 1 and 65535");
	if (!strcasecmp(proto, "tcp"))
		p->proto = IPPROTO_TCP;
	else if (!strcasecmp(proto, "udp"))
		p->proto = IPPROTO_UDP;
	else if (!strcasecmp(proto, "sctp"))
		p->proto = IPPROTO_SCTP;
	else
		return bad(err, member, "protocol must be tcp, udp or sctp");
	p->port = (uint16_t)from;
	p->to_port = (uint16_t)to;
	if (json_get(it, "hostIP")) {
		snprintf(member, sizeof(member), "portMappings[%zu].hostIP", index);
		r = read_address_of(json_get(it, "hostIP"), member,
			&(struct net_range){.prefix = 0}, &p->host, err);
		if (r < 0)
			return r;
		if (!p->host.bytes[0])
			p->host.family = 0; /* 0.0.0.0 is all */
		else if (!net_address_is_unicast(&p->host))
			return bad(
				err, member, "must be an address of the node, not a loopback one");
	}
	snprintf(member, sizeof(member), "portMappings[%zu].ip", index);
	r = read_address_of(json_get(it, "ip"), member, &c->range, &p->to, err);
	if (r == 0)
		r = check_inside(c, &p->to, member, err);
	if (r < 0)
		return r;
	for (size_t i = 0; i < c->port_count; i++)
		if (c->ports[i].port == p->port && c->ports[i].proto == p->proto &&
			net_address_eq(&c->ports[i].host, &p->host))
			return bad(err, member, "this hostPort occurs twice");
	c->port_count++;
	return 0;
}

static int read_ports(
	struct arena *a, const struct json *list, struct net_config *c, struct err *err)
{
	size_t count = json_count(list), index = 0;

	if (!list)
		return 0;
	if (!json_is(list, JSON_ARRAY) || count > NET_CONFIG_PORTS_MAX)
		return bad(err, "portMappings", "must be a list of at most 1024");
	if (count && c->kind != NET_KIND_NAT)
		return bad(err, "portMappings", "need type hanok-nat");
	c->ports = arena_alloc(a, (count + 1) * sizeof(*c->ports));
	JSON_FOR_EACH_ITEM(it, list) {
		int r = read_port(it, index++, c, err);

		if (r < 0)
			return r;
	}
	return 0;
}

static int read_names(struct arena *a, const struct json *list, const char *member,
	const char **ret, struct err *err)
{
	size_t n = 0;

	if (json_count(list) > NET_CONFIG_NAMES_MAX)
		return bad(err, member, "are more than 8");
	JSON_FOR_EACH_ITEM(it, list) {
		const char *text = json_str(it);

		if (!text)
			return bad(err, member, "must be texts");
		ret[n++] = arena_strdup(a, text);
	}
	return 0;
}

/* What the kernel takes for the name of a link, and no path. */
static bool link_name_ok(const char *s)
{
	size_t size = strlen(s);

	return size && size < IFNAMSIZ && s[0] != '.' && s[0] != '-' &&
	       strspn(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.") ==
		       size;
}

static int read_bridge(
	const char *name, const struct json *config, struct net_config *c, struct err *err)
{
	const char *bridge = json_path_str(config, "bridge");

	if (!bridge && c->kind != NET_KIND_BRIDGE) {
		snprintf(c->bridge, sizeof(c->bridge), "hkb%011llx",
			(unsigned long long)(fnv1a_64(name, strlen(name)) & 0xfffffffffff));
		return 0;
	}
	/* CNI's plugin takes cni0 for one without a name, which other pods use. */
	if (!bridge || !link_name_ok(bridge))
		return bad(err, "bridge", "must be the name of a bridge, at most 15 characters");
	/* hanok0 keeps pods to their addresses: it is the pod network, and nobody else's. */
	if (streq(bridge, "hanok0"))
		return bad(err, "bridge", "hanok0 is the pod network's");
	snprintf(c->bridge, sizeof(c->bridge), "%s", bridge);
	return 0;
}

/* Members that mean another network than this one would be. */
static int refuse(const struct json *config, const struct net_config *c, struct err *err)
{
	if (json_int_or(json_get(config, "vlan"), 0) || json_count(json_get(config, "vlanTrunk")))
		return err_set(err, -EOPNOTSUPP,
			"spec.config: vlan: tagged networks are not supported by this node agent; "
			"make a bridge on the VLAN device (eth0.100) and name that one");
	for (size_t i = 0; c->kind == NET_KIND_BRIDGE && i < 3; i++) {
		static const char *const members[] = {"isGateway", "ipMasq", "isDefaultGateway"};

		if (json_bool_or(json_get(config, members[i]), false))
			return err_set(err, -EOPNOTSUPP,
				"spec.config: %s: use type hanok-nat for a network that leads out "
				"by the node",
				members[i]);
	}
	if (json_get(config, "ipMasq") && !json_bool_or(json_get(config, "ipMasq"), true) &&
		c->kind == NET_KIND_NAT)
		return bad(err, "ipMasq", "is what type hanok-nat is");
	return 0;
}

static int read_one(struct arena *a, const char *name, const struct json *config,
	struct net_config *c, struct err *err)
{
	const char *type = json_path_str(config, "type");
	const struct json *mtu = json_get(config, "mtu");
	int r;

	if (streq(type, "bridge") || streq(type, "cnv-bridge"))
		c->kind = NET_KIND_BRIDGE;
	else if (streq(type, "hanok-nat"))
		c->kind = NET_KIND_NAT;
	else if (streq(type, "hanok-isolated"))
		c->kind = NET_KIND_ISOLATED;
	else
		return err_set(err, type ? -EOPNOTSUPP : -EINVAL,
			"spec.config: type: '%s' is not supported; use bridge, hanok-nat or "
			"hanok-isolated",
			type ? type : "");
	/* CNI's default is off; in a network of our own nobody has a reason for another's. */
	c->mac_check = json_bool_or(json_get(config, "macspoofchk"), c->kind != NET_KIND_BRIDGE);
	if (mtu && (json_int_or(mtu, -1) < 0 || json_int_or(mtu, -1) > 65535))
		return bad(err, "mtu", "must be between 0 and 65535");
	c->mtu = (unsigned)json_int_or(mtu, 0);
	if (c->mtu && c->mtu < 68)
		return bad(err, "mtu", "must be at least 68");
	r = read_bridge(name, config, c, err);
	if (r == 0)
		r = refuse(config, c, err);
	if (r == 0)
		r = read_ipam(a, json_get(config, "ipam"), c, err);
	if (r == 0)
		r = read_ports(a, json_get(config, "portMappings"), c, err);
	if (r == 0)
		r = read_names(a, json_path(config, "dns.nameservers"), "dns.nameservers",
			c->servers, err);
	if (r == 0)
		r = read_names(a, json_path(config, "dns.search"), "dns.search", c->searches, err);
	c->default_route =
		c->kind == NET_KIND_NAT && json_bool_or(json_get(config, "isDefaultGateway"), true);
	return r;
}

int net_config_read(struct arena *a, const char *name, const char *text, size_t size,
	struct net_config *ret, struct err *err)
{
	static const struct json_limits limits = {.depth = 16, .size_bytes = NET_CONFIG_MAX_BYTES};
	struct net_config c = {.kind = NET_KIND_BRIDGE};
	const struct json *config;
	struct json *doc;
	int r = json_parse(a, text, size, &limits, &doc, err);

	if (r < 0)
		return err_context(err, -EINVAL, "spec.config is not JSON");
	config = doc;
	if (json_get(doc, "plugins")) {
		/* What follows the first one (tuning, ...) changes a pod's own end. */
		config = json_at(json_get(doc, "plugins"), 0);
		for (size_t i = 1; i < json_count(json_get(doc, "plugins")); i++)
			if (!streq(json_path_str(json_at(json_get(doc, "plugins"), i), "type"),
				    "tuning"))
				return err_set(err, -EOPNOTSUPP,
					"spec.config: plugins[%zu]: only the first plugin is "
					"supported",
					i);
	}
	if (!json_is(config, JSON_OBJECT))
		return err_set(err, -EINVAL, "spec.config is not an object");
	r = read_one(a, name, config, &c, err);
	if (r == 0)
		*ret = c;
	return r;
}

const struct net_config_host *net_config_host_of(const struct net_config *c, const uint8_t mac[6])
{
	for (size_t i = 0; i < c->host_count; i++)
		if (!memcmp(c->hosts[i].mac, mac, 6))
			return &c->hosts[i];
	return NULL;
}

bool net_config_is_fixed(const struct net_config *c, const struct net_address *address)
{
	for (size_t i = 0; i < c->host_count; i++)
		if (net_address_eq(&c->hosts[i].address, address))
			return true;
	return false;
}

#include "node/net/netd/links.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <libmnl/libmnl.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdio.h>

#include "lib/base/str.h"
#include "lib/base/vec.h"

#define ROOM 32768

/* libmnl's own macro narrows a pointer difference silently. */
#define FOR_EACH_ATTRIBUTE(a, h, header_size)                                                      \
	for ((a) = mnl_nlmsg_get_payload_offset((h), (header_size));                               \
		mnl_attr_ok((a), (int)((char *)mnl_nlmsg_get_payload_tail(h) - (char *)(a)));      \
		(a) = mnl_attr_next(a))

struct links {
	struct mnl_socket *nl;
	uint32_t seq;
	char room[ROOM];
};

int links_open(struct links **ret, struct err *err)
{
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	int on = 1;

	if (!nl || mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0) {
		int r = -errno;

		if (nl)
			mnl_socket_close(nl);
		return err_errno(err, r, "open a route netlink socket");
	}
	mnl_socket_setsockopt(nl, NETLINK_CAP_ACK, &on, sizeof(on));
	*ret = xcalloc(1, sizeof(**ret));
	(*ret)->nl = nl;
	return 0;
}

void links_close(struct links *l)
{
	if (!l)
		return;
	mnl_socket_close(l->nl);
	free(l);
}

static struct nlmsghdr *begin(struct links *l, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *h = mnl_nlmsg_put_header(l->room);

	h->nlmsg_type = type;
	h->nlmsg_flags = (uint16_t)(NLM_F_REQUEST | flags);
	h->nlmsg_seq = ++l->seq;
	return h;
}

/* Sends what begin() started and reads answers until the kernel is done. */
static int talk(struct links *l, struct nlmsghdr *h, mnl_cb_t each, void *user)
{
	unsigned port = mnl_socket_get_portid(l->nl);
	int r;

	if (mnl_socket_sendto(l->nl, h, h->nlmsg_len) < 0)
		return -errno;
	do {
		ssize_t n = mnl_socket_recvfrom(l->nl, l->room, sizeof(l->room));

		if (n < 0)
			return -errno;
		r = mnl_cb_run(l->room, (size_t)n, l->seq, port, each, user);
	} while (r > MNL_CB_STOP);
	return r < 0 ? -errno : 0;
}

static void make_mac(const char *seed, uint8_t ret[6])
{
	uint64_t h = fnv1a_64(seed, strlen(seed));

	memcpy(ret, &h, 6);
	ret[0] = 0x0a; /* locally administered, unicast */
}

static int ensure_link(struct links *l, const char *name, const char *seed)
{
	unsigned index = if_nametoindex(name);
	struct nlmsghdr *h =
		begin(l, RTM_NEWLINK, NLM_F_ACK | (index ? 0 : NLM_F_CREATE | NLM_F_EXCL));
	struct ifinfomsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
	struct nlattr *info;
	uint8_t mac[6];

	m->ifi_family = AF_UNSPEC;
	m->ifi_index = (int)index;
	m->ifi_change = IFF_UP;
	m->ifi_flags = IFF_UP;
	if (!index) {
		make_mac(seed, mac);
		mnl_attr_put_strz(h, IFLA_IFNAME, name);
		mnl_attr_put(h, IFLA_ADDRESS, sizeof(mac), mac);
		info = mnl_attr_nest_start(h, IFLA_LINKINFO);
		mnl_attr_put_strz(h, IFLA_INFO_KIND, "bridge");
		mnl_attr_nest_end(h, info);
	}
	return talk(l, h, NULL, NULL);
}

struct address_seen {
	unsigned index;
	const struct links_address *wanted;
	size_t count;
	uint64_t there;			  /* bit of each wanted one */
	VEC(struct links_address) others; /* of the link that are not ours */
};

static bool link_local(const struct net_address *a)
{
	return a->family == AF_INET6 && a->bytes[0] == 0xfe && (a->bytes[1] & 0xc0) == 0x80;
}

/* An address of an attribute; false when it is of another size than the family's. */
static bool read_address(const struct nlattr *a, uint32_t family, struct net_address *ret)
{
	struct net_address out = {.family = family};

	if (mnl_attr_get_payload_len(a) != net_address_size(&out))
		return false;
	memcpy(out.bytes, mnl_attr_get_payload(a), net_address_size(&out));
	*ret = out;
	return true;
}

static int see_address(const struct nlmsghdr *h, void *user)
{
	struct address_seen *seen = user;
	const struct ifaddrmsg *m = mnl_nlmsg_get_payload(h);
	struct links_address have = {.prefix = m->ifa_prefixlen};
	const struct nlattr *a;

	if (h->nlmsg_type != RTM_NEWADDR || m->ifa_index != seen->index ||
		(m->ifa_family != AF_INET && m->ifa_family != AF_INET6))
		return MNL_CB_OK;
	FOR_EACH_ATTRIBUTE(a, h, sizeof(*m))
	{
		/* IPv6 has only the second. */
		if (mnl_attr_get_type(a) == IFA_LOCAL ||
			(mnl_attr_get_type(a) == IFA_ADDRESS && !have.address.family))
			read_address(a, m->ifa_family, &have.address);
	}
	if (!have.address.family || link_local(&have.address))
		return MNL_CB_OK;
	for (size_t i = 0; i < seen->count; i++) {
		if (have.prefix == seen->wanted[i].prefix &&
			net_address_eq(&have.address, &seen->wanted[i].address)) {
			seen->there |= 1ull << i;
			return MNL_CB_OK;
		}
	}
	VEC_PUSH(&seen->others, have);
	return MNL_CB_OK;
}

static void put_address(struct nlmsghdr *h, uint16_t type, const struct net_address *a)
{
	mnl_attr_put(h, type, net_address_size(a), a->bytes);
}

static int change_address(
	struct links *l, bool add, unsigned index, const struct links_address *which)
{
	struct nlmsghdr *h = begin(l, add ? RTM_NEWADDR : RTM_DELADDR,
		(uint16_t)(NLM_F_ACK | (add ? NLM_F_CREATE | NLM_F_REPLACE : 0)));
	struct ifaddrmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
	unsigned prefix = which->prefix;

	m->ifa_family = (uint8_t)which->address.family;
	m->ifa_prefixlen = (uint8_t)prefix;
	m->ifa_index = index;
	/* The range is ours alone; and nothing could ask on a bridge without ports. */
	m->ifa_flags = which->address.family == AF_INET6 ? IFA_F_NODAD : 0;
	put_address(h, IFA_LOCAL, &which->address);
	put_address(h, IFA_ADDRESS, &which->address);
	if (add && which->address.family == AF_INET) {
		uint32_t broadcast = net_address_to_v4(&which->address) |
				     htonl(prefix < 32 ? UINT32_MAX >> prefix : 0);

		mnl_attr_put_u32(h, IFA_BROADCAST, broadcast);
	}
	return talk(l, h, NULL, NULL);
}

int links_ensure_bridge(struct links *l, const char *name, const struct links_address *addresses,
	size_t count, const char *seed, struct err *err)
{
	struct address_seen seen = {.wanted = addresses, .count = MIN(count, (size_t)64)};
	struct nlmsghdr *h;
	struct ifaddrmsg *m;
	int r = ensure_link(l, name, seed);

	if (r < 0)
		return err_errno(err, r, "make the bridge %s", name);
	seen.index = if_nametoindex(name);
	h = begin(l, RTM_GETADDR, NLM_F_DUMP);
	m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
	m->ifa_family = AF_UNSPEC;
	r = talk(l, h, see_address, &seen);
	for (size_t i = 0; r == 0 && i < seen.count; i++)
		if (!(seen.there & 1ull << i))
			r = change_address(l, true, seen.index, &addresses[i]);
	/* An address of an earlier pod range would take its packets from their new owner. */
	for (size_t i = 0; r == 0 && i < seen.others.count; i++)
		r = change_address(l, false, seen.index, &seen.others.items[i]);
	VEC_FINISH(&seen.others);
	return r < 0 ? err_errno(err, r, "give the bridge %s its addresses", name) : 0;
}

struct routes_seen {
	VEC(struct links_route) items;
};

static int see_route(const struct nlmsghdr *h, void *user)
{
	struct routes_seen *seen = user;
	const struct rtmsg *m = mnl_nlmsg_get_payload(h);
	struct links_route route = {
		.to = {.address.family = m->rtm_family, .prefix = m->rtm_dst_len}};
	const struct nlattr *a;

	if (h->nlmsg_type != RTM_NEWROUTE ||
		(m->rtm_family != AF_INET && m->rtm_family != AF_INET6) ||
		m->rtm_protocol != LINKS_ROUTE_PROTOCOL || m->rtm_table != RT_TABLE_MAIN)
		return MNL_CB_OK;
	FOR_EACH_ATTRIBUTE(a, h, sizeof(*m))
	{
		if (mnl_attr_get_type(a) == RTA_DST)
			read_address(a, m->rtm_family, &route.to.address);
		else if (mnl_attr_get_type(a) == RTA_GATEWAY)
			read_address(a, m->rtm_family, &route.via);
	}
	VEC_PUSH(&seen->items, route);
	return MNL_CB_OK;
}

static int change_route(struct links *l, bool add, const struct links_route *route, unsigned index)
{
	struct nlmsghdr *h = begin(l, add ? RTM_NEWROUTE : RTM_DELROUTE,
		(uint16_t)(NLM_F_ACK | (add ? NLM_F_CREATE | NLM_F_REPLACE : 0)));
	struct rtmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
	bool v4 = route->to.address.family == AF_INET, direct = !route->via.family;

	m->rtm_family = (uint8_t)route->to.address.family;
	m->rtm_dst_len = (uint8_t)route->to.prefix;
	m->rtm_table = RT_TABLE_MAIN;
	m->rtm_protocol = LINKS_ROUTE_PROTOCOL;
	m->rtm_scope = !add ? RT_SCOPE_NOWHERE : v4 && direct ? RT_SCOPE_LINK : RT_SCOPE_UNIVERSE;
	m->rtm_type = add ? RTN_UNICAST : RTN_UNSPEC;
	put_address(h, RTA_DST, &route->to.address);
	if (add && !direct)
		put_address(h, RTA_GATEWAY, &route->via);
	else if (add)
		mnl_attr_put_u32(h, RTA_OIF, index);
	return talk(l, h, NULL, NULL);
}

static bool same_route(const struct links_route *a, const struct links_route *b)
{
	return net_address_eq(&a->to.address, &b->to.address) && a->to.prefix == b->to.prefix &&
	       net_address_eq(&a->via, &b->via);
}

static bool has_route(const struct links_route *list, size_t count, const struct links_route *want)
{
	for (size_t i = 0; i < count; i++)
		if (same_route(&list[i], want))
			return true;
	return false;
}

int links_set_routes(struct links *l, const char *bridge, const struct links_route *routes,
	size_t count, struct err *err)
{
	unsigned index = if_nametoindex(bridge);
	struct nlmsghdr *h = begin(l, RTM_GETROUTE, NLM_F_DUMP);
	struct rtmsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
	struct routes_seen seen = {0};
	int r, result = 0;

	m->rtm_family = AF_UNSPEC;
	r = talk(l, h, see_route, &seen);
	if (r < 0)
		result = err_errno(err, r, "read the routes");
	for (size_t i = 0; result == 0 && i < seen.items.count; i++)
		if (!has_route(routes, count, &seen.items.items[i]))
			change_route(l, false, &seen.items.items[i], index);
	for (size_t i = 0; (result == 0 || result == -EHOSTUNREACH) && i < count; i++) {
		char to[NET_ADDRESS_TEXT + 4], via[NET_ADDRESS_TEXT] = "the bridge";

		if (has_route(seen.items.items, seen.items.count, &routes[i]))
			continue;
		r = change_route(l, true, &routes[i], index);
		if (r == 0)
			continue;
		if (routes[i].via.family)
			net_address_format(&routes[i].via, via);
		result = err_errno(err, r == -ENETUNREACH || r == -EHOSTUNREACH ? -EHOSTUNREACH : r,
			"route to %s by %s", net_range_format(&routes[i].to, to), via);
	}
	VEC_FINISH(&seen.items);
	return result;
}

struct ports_seen {
	unsigned bridge;
	VEC(int) items; /* interface indexes */
};

static int see_port(const struct nlmsghdr *h, void *user)
{
	struct ports_seen *seen = user;
	const struct ifinfomsg *m = mnl_nlmsg_get_payload(h);
	const struct nlattr *a;

	if (h->nlmsg_type != RTM_NEWLINK)
		return MNL_CB_OK;
	FOR_EACH_ATTRIBUTE(a, h, sizeof(*m))
	if (mnl_attr_get_type(a) == IFLA_MASTER && mnl_attr_get_payload_len(a) == 4 &&
		mnl_attr_get_u32(a) == seen->bridge)
		VEC_PUSH(&seen->items, m->ifi_index);
	return MNL_CB_OK;
}

int links_set_hairpin(struct links *l, const char *bridge, struct err *err)
{
	struct ports_seen seen = {.bridge = if_nametoindex(bridge)};
	struct nlmsghdr *h = begin(l, RTM_GETLINK, NLM_F_DUMP);
	struct ifinfomsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
	int r;

	m->ifi_family = AF_UNSPEC;
	r = talk(l, h, see_port, &seen);
	for (size_t i = 0; r == 0 && i < seen.items.count; i++) {
		struct nlattr *nest;

		h = begin(l, RTM_SETLINK, NLM_F_ACK);
		m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
		m->ifi_family = AF_BRIDGE;
		m->ifi_index = seen.items.items[i];
		nest = mnl_attr_nest_start(h, IFLA_PROTINFO | NLA_F_NESTED);
		mnl_attr_put_u8(h, IFLA_BRPORT_MODE, 1);
		mnl_attr_nest_end(h, nest);
		r = talk(l, h, NULL, NULL);
		if (r == -ENODEV)
			r = 0; /* gone meanwhile */
	}
	VEC_FINISH(&seen.items);
	return r < 0 ? err_errno(err, r, "set hairpin mode on the ports of %s", bridge) : 0;
}

struct links_seen {
	VEC(struct links_info) items;
};

static bool is_bridge(const struct nlattr *info)
{
	const struct nlattr *a;

	for (a = mnl_attr_get_payload(info);
		mnl_attr_ok(a, (int)((const char *)mnl_attr_get_payload(info) +
				       mnl_attr_get_payload_len(info) - (const char *)a));
		a = mnl_attr_next(a)) {
		if (mnl_attr_get_type(a) == IFLA_INFO_KIND)
			return streq(mnl_attr_get_str(a), "bridge");
	}
	return false;
}

static int see_link(const struct nlmsghdr *h, void *user)
{
	struct links_seen *seen = user;
	const struct ifinfomsg *m = mnl_nlmsg_get_payload(h);
	struct links_info one = {.index = (unsigned)m->ifi_index};
	const struct nlattr *a;

	if (h->nlmsg_type != RTM_NEWLINK)
		return MNL_CB_OK;
	FOR_EACH_ATTRIBUTE(a, h, sizeof(*m))
	switch (mnl_attr_get_type(a)) {
	case IFLA_IFNAME:
		snprintf(one.name, sizeof(one.name), "%s", mnl_attr_get_str(a));
		break;
	case IFLA_IFALIAS:
		snprintf(one.alias, sizeof(one.alias), "%s", mnl_attr_get_str(a));
		break;
	case IFLA_MASTER:
		one.master = mnl_attr_get_u32(a);
		break;
	case IFLA_LINKINFO:
		one.bridge = is_bridge(a);
		break;
	default:
		break;
	}
	VEC_PUSH(&seen->items, one);
	return MNL_CB_OK;
}

int links_read(struct links *l, struct links_info **ret, size_t *ret_count, struct err *err)
{
	struct nlmsghdr *h = begin(l, RTM_GETLINK, NLM_F_DUMP);
	struct ifinfomsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
	struct links_seen seen = {0};
	int r;

	m->ifi_family = AF_UNSPEC;
	r = talk(l, h, see_link, &seen);
	if (r < 0) {
		VEC_FINISH(&seen.items);
		return err_errno(err, r, "read the links");
	}
	*ret = seen.items.items;
	*ret_count = seen.items.count;
	return 0;
}

int links_set_alias(
	struct links *l, const char *name, const char *alias, unsigned mtu, struct err *err)
{
	struct nlmsghdr *h = begin(l, RTM_NEWLINK, NLM_F_ACK);
	struct ifinfomsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
	int r;

	m->ifi_family = AF_UNSPEC;
	m->ifi_index = (int)if_nametoindex(name);
	mnl_attr_put(h, IFLA_IFALIAS, strlen(alias), alias);
	if (mtu)
		mnl_attr_put_u32(h, IFLA_MTU, mtu);
	r = m->ifi_index ? talk(l, h, NULL, NULL) : -ENODEV;
	return r < 0 ? err_errno(err, r, "name the bridge %s", name) : 0;
}

int links_delete(struct links *l, const char *name, struct err *err)
{
	struct nlmsghdr *h = begin(l, RTM_DELLINK, NLM_F_ACK);
	struct ifinfomsg *m = mnl_nlmsg_put_extra_header(h, sizeof(*m));
	int r;

	m->ifi_family = AF_UNSPEC;
	m->ifi_index = (int)if_nametoindex(name);
	r = m->ifi_index ? talk(l, h, NULL, NULL) : 0;
	return r < 0 && r != -ENODEV ? err_errno(err, r, "remove the link %s", name) : 0;
}

bool links_sysctl(const char *path, const char *value)
{
	char have[64] = "";
	_cleanup_(close_p) int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n;

	if (fd < 0)
		return false;
	n = read(fd, have, sizeof(have) - 1);
	if (n > 0 && have[n - 1] == '\n')
		have[n - 1] = '\0';
	if (streq(have, value))
		return true;
	close(fd);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	return fd >= 0 && write(fd, value, strlen(value)) == (ssize_t)strlen(value);
}

#include "node/net/networks/networks.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <ifaddrs.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/base/log.h"
#include "lib/base/vec.h"
#include "node/net/dhcp.h"
#include "node/net/netd/links.h"
#include "node/net/networks/net_leases.h"
#include "node/net/ports.h"
#include "node/net/tap_name.h"

#define ALIAS "hanok network"
#define ALIAS_ROOM ((int)sizeof(((struct links_info *)0)->alias))
/* What an earlier agent made stays so long unless its guests are told before. */
#define KEEP_MS 30000
#define RETRY_MS 5000

/* A guest's interface. */
struct user {
	char *uid, *owner, *interface, *hostname;
	char mac[18];
	struct net_address address; /* family 0 = none */
};

struct network {
	struct networks *all;
	char *name, *file; /* "NAMESPACE/NAME", and with '_' for names of files */
	struct arena arena;
	struct net_config config; /* in the arena */
	uint64_t revision;	  /* of the object that it was read from */
	struct dhcp *dhcp;
	VEC(struct user) users;
};

struct networks {
	struct networks_config c;
	char *directory, *leases;
	struct informer *definitions;
	VEC(struct network *) list; /* each has users */
	struct net_range taken[8];
	size_t taken_count;
	bool complete;	 /* all guests that run were told */
	bool live;	 /* netd can be told */
	uint32_t serial; /* unanswered; 0 = none */
	struct buf sent; /* what netd has */
	uint64_t created_ms;
	uv_timer_t timer; /* until what is left over may go, or netd is asked again */
};

/* ---- guests ---- */

static void user_finish(struct user *u)
{
	free(u->uid);
	free(u->owner);
	free(u->interface);
	free(u->hostname);
}

static struct user *find_user(const struct network *w, const char *uid, const char *interface)
{
	for (size_t i = 0; i < w->users.count; i++)
		if (streq(w->users.items[i].uid, uid) &&
			streq(w->users.items[i].interface, interface))
			return &w->users.items[i];
	return NULL;
}

static struct network *find(const struct networks *n, const char *name)
{
	for (size_t i = 0; i < n->list.count; i++)
		if (streq(n->list.items[i]->name, name))
			return n->list.items[i];
	return NULL;
}

static bool bridge_is_used(const struct networks *n, const char *bridge)
{
	for (size_t i = 0; i < n->list.count; i++)
		if (streq(n->list.items[i]->config.bridge, bridge))
			return true;
	return false;
}

/* What keeps the address: the machine's interface, not this life of it. */
static char *lease_key(const char *owner, const char *interface)
{
	return xasprintf("%s/%s", owner, interface);
}

static char *user_id(const struct user *u)
{
	return xasprintf("%s-%s", u->uid, u->interface);
}

static bool key_in_use(void *user, const char *key)
{
	const struct network *w = user;

	for (size_t i = 0; i < w->users.count; i++) {
		_cleanup_(free_p) char *own =
			lease_key(w->users.items[i].owner, w->users.items[i].interface);

		if (streq(own, key))
			return true;
	}
	return false;
}

static char *lease_directory(const struct network *w)
{
	return xasprintf("%s/%s", w->all->leases, w->file);
}

/* ---- the host's links ---- */

static const struct links_info *find_link(
	const struct links_info *list, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (streq(list[i].name, name))
			return &list[i];
	return NULL;
}

static bool has_ports(const struct links_info *list, size_t count, unsigned bridge)
{
	for (size_t i = 0; i < count; i++)
		if (list[i].master == bridge)
			return true;
	return false;
}

/* As long as what is read of one: of a longer name the beginning, and what tells it from others. */
static void write_alias(const struct network *w, char ret[ALIAS_ROOM])
{
	_cleanup_(free_p) char *whole = w->config.kind == NET_KIND_BRIDGE
						? xstrdup(ALIAS)
						: xasprintf(ALIAS " %s", w->name);
	size_t size = strlen(whole);

	if (size < ALIAS_ROOM)
		memcpy(ret, whole, size + 1);
	else
		snprintf(ret, ALIAS_ROOM, "%.*s %016llx", ALIAS_ROOM - 18, whole,
			(unsigned long long)fnv1a_64(whole, size));
}

static int make_bridge(const struct network *w, bool exists, const char *alias, struct err *err)
{
	const struct net_config *c = &w->config;
	struct links *links = w->all->c.links;
	struct links_address gateway = {c->gateway, c->range.prefix};
	_cleanup_(free_p) char *seed = xasprintf("%s %s", w->all->c.node->name, c->bridge);
	_cleanup_(free_p) char *no_ipv6 =
		xasprintf("/proc/sys/net/ipv6/conf/%s/disable_ipv6", c->bridge);
	int r = links_ensure_bridge(
		links, c->bridge, &gateway, c->range.address.family ? 1 : 0, seed, err);

	if (r == 0 && !exists)
		r = links_set_alias(links, c->bridge, alias, c->mtu, err);
	if (r == 0)
		links_sysctl(no_ipv6, "1"); /* no file: the kernel has none */
	return r;
}

static int ensure_bridge(const struct network *w, struct err *err)
{
	const struct net_config *c = &w->config;
	_cleanup_(free_p) struct links_info *list = NULL;
	const struct links_info *have;
	char alias[ALIAS_ROOM];
	size_t count;
	int r = links_read(w->all->c.links, &list, &count, err);

	if (r < 0)
		return r;
	have = find_link(list, count, c->bridge);
	write_alias(w, alias);
	if (have && !have->bridge)
		return err_set(err, -EEXIST, "the link %s of the host is no bridge", c->bridge);
	if (have && !streq(have->alias, alias)) {
		if (c->kind != NET_KIND_BRIDGE)
			return err_set(err, -EEXIST,
				"the bridge %s is there already, and is not this network's",
				c->bridge);
		if (str_has_prefix(have->alias, ALIAS))
			return err_set(err, -EEXIST,
				"the bridge %s belongs to another network (%s)", c->bridge,
				have->alias + strlen(ALIAS));
		return 0; /* the administrator's */
	}
	return make_bridge(w, have != NULL, alias, err);
}

static bool overlap(const struct net_range *a, const struct net_range *b)
{
	return a->address.family && a->address.family == b->address.family &&
	       (net_range_has(a, &b->address) || net_range_has(b, &a->address));
}

/* What the host is in by other links: a range of ours would take its packets. */
static int check_host(const struct network *w, struct err *err)
{
	struct ifaddrs *list = NULL;
	int r = 0;

	if (getifaddrs(&list) < 0)
		return err_errno(err, -errno, "read the addresses of the host");
	for (const struct ifaddrs *i = list; i && r == 0; i = i->ifa_next) {
		struct net_range range = {.prefix = 32};
		struct net_address own;
		uint32_t mask;

		if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET || !i->ifa_netmask ||
			streq(i->ifa_name, w->config.bridge))
			continue;
		own = net_address_v4(((struct sockaddr_in *)i->ifa_addr)->sin_addr.s_addr);
		mask = ((struct sockaddr_in *)i->ifa_netmask)->sin_addr.s_addr;
		range.address = net_address_v4(net_address_to_v4(&own) & mask);
		range.prefix = (uint32_t)__builtin_popcount(mask);
		if (net_range_has(&w->config.range, &own))
			r = err_set(err, -EINVAL,
				"spec.config: ipam.subnet: the node's own address is in it (that "
				"of %s)",
				i->ifa_name);
		else if (overlap(&w->config.range, &range))
			r = err_set(err, -EINVAL,
				"spec.config: ipam.subnet: overlaps with the network that the node "
				"is in by %s",
				i->ifa_name);
	}
	freeifaddrs(list);
	return r;
}

static int check_range(const struct network *w, struct err *err)
{
	const struct networks *n = w->all;

	if (!w->config.range.address.family)
		return 0;
	for (size_t i = 0; i < n->taken_count; i++)
		if (overlap(&w->config.range, &n->taken[i]))
			return err_set(err, -EINVAL,
				"spec.config: ipam.subnet: overlaps with the range of pods or "
				"services");
	for (size_t i = 0; i < n->list.count; i++)
		if (n->list.items[i] != w &&
			overlap(&w->config.range, &n->list.items[i]->config.range))
			return err_set(err, -EINVAL,
				"spec.config: ipam.subnet: overlaps with that of network %s",
				n->list.items[i]->name);
	return check_host(w, err);
}

/* ---- DHCP ---- */

static void dhcp_report(void *user, const char *problem)
{
	struct network *w = user;

	if (problem)
		log_warn("network of the node", "network", w->name, "problem", problem, NULL);
}

static bool is_user(void *user, const char *id)
{
	const struct network *w = user;

	for (size_t i = 0; i < w->users.count; i++) {
		_cleanup_(free_p) char *own = user_id(&w->users.items[i]);

		if (streq(own, id))
			return true;
	}
	return false;
}

static void ensure_dhcp(struct network *w)
{
	const struct net_config *c = &w->config;
	_cleanup_(free_p) char *directory = NULL;
	char network[NET_ADDRESS_TEXT], mask[16], gateway[NET_ADDRESS_TEXT];
	struct in_addr bits;

	if (w->dhcp || !c->range.address.family)
		return;
	directory = xasprintf("%s/%s", w->all->directory, w->file);
	mkdir(w->all->c.directory, 0755);
	mkdir(w->all->directory, 0755);
	bits.s_addr = htonl(UINT32_MAX << (32 - c->range.prefix));
	inet_ntop(AF_INET, &bits, mask, sizeof(mask));
	/* Guests that run and are not told yet will be. */
	dhcp_forget_others(directory, is_user, w);
	w->dhcp = dhcp_create(w->all->c.node->loop,
		&(struct dhcp_config){
			.bridge = c->bridge,
			.network = net_address_format(&c->range.address, network),
			.netmask = mask,
			.gateway =
				c->default_route ? net_address_format(&c->gateway, gateway) : NULL,
			.directory = directory,
		},
		dhcp_report, w);
}

static int tell_dhcp(struct network *w, const struct user *u, struct err *err)
{
	_cleanup_(free_p) char *id = user_id(u);
	_cleanup_(free_p) char *options =
		dhcp_resolver_options(id, &(struct dhcp_resolvers){.servers = w->config.servers,
						  .searches = w->config.searches});
	char address[NET_ADDRESS_TEXT];

	if (!w->dhcp)
		return 0;
	return dhcp_add(w->dhcp, id, u->mac, net_address_format(&u->address, address), u->hostname,
		options, err);
}

/* ---- rules ---- */

static void tell_ports(const struct network *w)
{
	_cleanup_(free_p) char *owner = xasprintf("network %s", w->name);
	VEC(struct net_host_port) ports = {0};

	for (size_t i = 0; w->users.count && i < w->config.port_count; i++) {
		const struct net_config_port *p = &w->config.ports[i];
		struct net_host_port one;

		memset(&one, 0, sizeof(one)); /* compared as memory */
		one.address = p->host;
		one.to = p->to;
		one.proto = p->proto;
		one.port = p->port;
		one.to_port = p->to_port;
		VEC_PUSH(&ports, one);
	}
	host_ports_set(w->all->c.host_ports, owner, ports.items, ports.count);
	VEC_FINISH(&ports);
}

static void guard(const struct network *w, const struct user *u, bool there)
{
	_cleanup_(free_p) char *id = user_id(u);
	struct net_port port;

	memset(&port, 0, sizeof(port));
	net_tap_name_of(u->uid, u->interface, port.name);
	if (there && w->config.mac_check && ports_read_mac(u->mac, port.mac) == 0)
		ports_set_mac(w->all->c.ports, id, &port);
	else
		ports_remove(w->all->c.ports, id);
}

static enum netd_network_kind netd_kind_of(const struct network *w)
{
	if (w->config.kind == NET_KIND_BRIDGE)
		return NETD_GIVEN;
	return w->config.kind == NET_KIND_ISOLATED ? NETD_ISOLATED : NETD_NAT;
}

/* A bridge that an earlier agent made, with guests on it that were not told yet. */
static bool some_unclaimed(struct networks *n)
{
	_cleanup_(free_p) struct links_info *list = NULL;
	size_t count;

	if (uv_now(n->c.node->loop) - n->created_ms >= KEEP_MS ||
		links_read(n->c.links, &list, &count, NULL) < 0)
		return false;
	for (size_t i = 0; i < count; i++)
		if (list[i].bridge && str_has_prefix(list[i].alias, ALIAS) &&
			!bridge_is_used(n, list[i].name) && has_ports(list, count, list[i].index))
			return true;
	return false;
}

static void on_timer(uv_timer_t *t);

static void tell_netd(struct networks *n)
{
	_cleanup_(buf_finish) struct buf all = BUF_INIT;

	if (!n->live || !n->complete)
		return;
	if (some_unclaimed(n)) {
		uv_timer_start(&n->timer, on_timer, RETRY_MS, 0);
		return;
	}
	for (size_t i = 0; i < n->list.count; i++) {
		const struct network *w = n->list.items[i];
		struct netd_network one;

		memset(&one, 0, sizeof(one));
		memcpy(one.bridge, w->config.bridge, strlen(w->config.bridge));
		one.kind = netd_kind_of(w);
		one.range = w->config.range;
		buf_add(&all, &one, sizeof(one));
	}
	if (n->sent.data && all.size == n->sent.size &&
		(!all.size || !memcmp(all.data, n->sent.data, all.size)))
		return;
	n->serial = netd_client_send(n->c.netd, NETD_NETWORKS, all.data, all.size);
	if (!n->serial) {
		n->live = false; /* netd is gone: networks_resync will come */
		return;
	}
	buf_clear(&n->sent);
	buf_add_str(&n->sent, ""); /* data is there: something was sent */
	buf_add(&n->sent, all.data, all.size);
}

bool networks_result(struct networks *n, uint32_t serial, int code, const char *text)
{
	if (!n->serial || serial != n->serial)
		return false;
	n->serial = 0;
	if (code < 0) {
		log_warn("rules of the node's own networks are not in the kernel", "error", text,
			NULL);
		buf_finish(&n->sent);
		uv_timer_start(&n->timer, on_timer, RETRY_MS, 0);
	}
	return true;
}

void networks_stale(struct networks *n)
{
	n->live = false;
	n->serial = 0;
	buf_finish(&n->sent);
}

void networks_resync(struct networks *n)
{
	networks_stale(n);
	n->live = true;
	tell_netd(n);
}

/* ---- coming and going ---- */

static void remove_bridge(struct networks *n, const char *name)
{
	struct err err = ERR_INIT;

	if (links_delete(n->c.links, name, &err) < 0)
		log_warn("network of the node", "problem", err.msg, NULL);
}

/* An earlier agent's, of the network that the alias names. */
static void end_dhcp(struct networks *n, const char *alias)
{
	_cleanup_(free_p) char *file = NULL, *directory = NULL;
	char *slash;

	/* One that is used has another bridge now, and a dnsmasq of its own. */
	if (!str_has_prefix(alias, ALIAS " ") || find(n, alias + strlen(ALIAS " ")))
		return;
	file = xstrdup(alias + strlen(ALIAS " "));
	slash = strchr(file, '/');
	if (!slash || strchr(slash + 1, '/'))
		return;
	*slash = '_';
	directory = xasprintf("%s/%s", n->directory, file);
	dhcp_end_earlier(directory);
}

/* Bridges of ours that nobody uses. */
static void sweep(struct networks *n)
{
	_cleanup_(free_p) struct links_info *list = NULL;
	size_t count;

	if (!n->complete || links_read(n->c.links, &list, &count, NULL) < 0)
		return;
	for (size_t i = 0; i < count; i++)
		if (list[i].bridge && str_has_prefix(list[i].alias, ALIAS) &&
			!bridge_is_used(n, list[i].name) &&
			!has_ports(list, count, list[i].index)) {
			end_dhcp(n, list[i].alias);
			remove_bridge(n, list[i].name);
		}
}

static bool file_is_used(const struct networks *n, const char *file)
{
	for (size_t i = 0; i < n->list.count; i++)
		if (streq(n->list.items[i]->file, file))
			return true;
	return false;
}

/* Addresses that were kept go with the network; those of one that is there, or that guests are on
 * still, stay. */
static void sweep_leases(struct networks *n)
{
	DIR *dir = opendir(n->leases);

	for (struct dirent *e; dir && (e = readdir(dir));) {
		_cleanup_(free_p) char *ns = xstrdup(e->d_name);
		_cleanup_(free_p) char *path = xasprintf("%s/%s", n->leases, e->d_name);
		char *name = strchr(ns, '_');
		DIR *one;

		if (!name)
			continue;
		*name++ = '\0';
		if (informer_get(n->definitions, ns, name) || file_is_used(n, e->d_name) ||
			!(one = opendir(path)))
			continue;
		for (struct dirent *f; (f = readdir(one));)
			if (f->d_name[0] != '.')
				unlinkat(dirfd(one), f->d_name, 0);
		closedir(one);
		rmdir(path);
	}
	if (dir)
		closedir(dir);
}

static void on_timer(uv_timer_t *t)
{
	struct networks *n = t->data;

	tell_netd(n);
	sweep(n);
}

static void network_destroy(struct network *w)
{
	dhcp_destroy(w->dhcp);
	for (size_t i = 0; i < w->users.count; i++)
		user_finish(&w->users.items[i]);
	VEC_FINISH(&w->users);
	arena_finish(&w->arena);
	free(w->name);
	free(w->file);
	free(w);
}

static void forget(struct networks *n, struct network *w)
{
	for (size_t i = 0; i < n->list.count; i++)
		if (n->list.items[i] == w) {
			VEC_REMOVE(&n->list, i);
			break;
		}
	tell_ports(w);
	network_destroy(w);
	tell_netd(n);
	sweep(n);
	if (n->complete && informer_synced(n->definitions))
		sweep_leases(n);
}

static int read_config(struct network *w, const struct object *o, struct net_config *ret,
	struct arena *a, struct err *err)
{
	_cleanup_(arena_finish) struct arena b = ARENA_INIT;
	const struct json *config = json_path(object_doc(o, &b), "spec.config");

	/* Without one the network's name would be that of a file on each host; there are none. */
	if (!json_str(config) || !*json_str(config))
		return err_set(err, -EINVAL, "network attachment definition %s has no spec.config",
			w->name);
	int r = net_config_read(a, w->name, json_str(config), config->count, ret, err);

	return r < 0 ? err_context(err, r, "network attachment definition %s", w->name) : 0;
}

/* The definition that an interface names. */
static int look_up(struct networks *n, const struct net_attachment *a, char **ret_name,
	const struct object **ret, struct err *err)
{
	const char *slash = strchr(a->network, '/');
	_cleanup_(free_p) char *ns =
		slash ? xstrndup(a->network, (size_t)(slash - a->network)) : xstrdup(a->namespace);
	const char *name = slash ? slash + 1 : a->network;

	if (!informer_synced(n->definitions) && !informer_absent(n->definitions))
		return err_set(err, -EAGAIN,
			"the network attachment definitions are not known to the node yet");
	*ret = informer_get(n->definitions, ns, name);
	if (!*ret)
		return err_set(err, -ENOENT, "failed to locate network attachment definition %s/%s",
			ns, name);
	*ret_name = xasprintf("%s/%s", ns, name);
	return 0;
}

static struct network *network_new(struct networks *n, const char *name)
{
	struct network *w = xcalloc(1, sizeof(*w));

	w->all = n;
	w->name = xstrdup(name);
	w->file = xstrdup(name);
	*strchr(w->file, '/') = '_';
	return w;
}

static int add_user(
	struct network *w, const struct net_attachment *a, struct user **ret, struct err *err)
{
	struct user *have = find_user(w, a->uid, a->interface);
	_cleanup_(free_p) char *directory = lease_directory(w);
	_cleanup_(free_p) char *key = lease_key(a->owner, a->interface);
	const struct net_leases_user in_use = {key_in_use, w};
	struct user u = {.address.family = 0};
	uint8_t mac[6];
	int r = 0;

	for (size_t i = 0; i < w->users.count; i++)
		if (&w->users.items[i] != have && !strcasecmp(w->users.items[i].mac, a->mac))
			return err_set(err, -EEXIST, "MAC address %s is that of %s on network %s",
				a->mac, w->users.items[i].owner, w->name);
	if (ports_read_mac(a->mac, mac) < 0)
		return err_set(err, -EINVAL, "'%s' is not a MAC address", a->mac);
	if (w->config.range.address.family) {
		mkdir(w->all->leases, 0700);
		if (mkdir(directory, 0700) < 0 && errno != EEXIST)
			r = err_errno(err, -errno, "make '%s'", directory);
		else
			r = net_leases_choose(
				directory, &w->config, key, mac, &in_use, &u.address, err);
	}
	/* A definition may have given a guest's address to another one by `hosts`. */
	for (size_t i = 0; r == 0 && u.address.family && i < w->users.count; i++) {
		const struct user *other = &w->users.items[i];

		if (other != have && net_address_eq(&other->address, &u.address) &&
			!(streq(other->owner, a->owner) && streq(other->interface, a->interface)))
			r = err_set(err, -EEXIST, "its address is that of %s, which runs",
				other->owner);
	}
	if (r < 0)
		return err_context(err, r, "network %s", w->name);
	if (!have) {
		u.uid = xstrdup(a->uid);
		u.owner = xstrdup(a->owner);
		u.interface = xstrdup(a->interface);
		u.hostname = xstrdup(a->hostname ? a->hostname : "");
		VEC_PUSH(&w->users, u);
		have = &w->users.items[w->users.count - 1];
	}
	have->address = u.address;
	snprintf(have->mac, sizeof(have->mac), "%s", a->mac);
	*ret = have;
	return 0;
}

static int attach(struct network *w, const struct net_attachment *a, struct net_attached *ret,
	struct err *err)
{
	struct user *u = NULL;
	int r = check_range(w, err);

	if (r == 0)
		r = ensure_bridge(w, err);
	if (r < 0)
		return err_context(err, r, "network %s", w->name);
	r = add_user(w, a, &u, err);
	if (r < 0)
		return r;
	ensure_dhcp(w);
	r = tell_dhcp(w, u, err);
	if (r < 0)
		return r;
	guard(w, u, true);
	tell_ports(w);
	*ret = (struct net_attached){.mtu = w->config.mtu};
	snprintf(ret->bridge, sizeof(ret->bridge), "%s", w->config.bridge);
	net_tap_name_of(a->uid, a->interface, ret->tap);
	if (u->address.family)
		net_address_format(&u->address, ret->address);
	return 0;
}

int networks_attach(struct networks *n, const struct net_attachment *a, struct net_attached *ret,
	struct err *err)
{
	_cleanup_(free_p) char *name = NULL;
	const struct object *o;
	struct network *w;
	bool fresh;
	int r = look_up(n, a, &name, &o, err);

	if (r < 0)
		return r;
	w = find(n, name);
	fresh = !w;
	if (fresh) {
		w = network_new(n, name);
		r = read_config(w, o, &w->config, &w->arena, err);
		if (r < 0) {
			network_destroy(w);
			return r;
		}
		w->revision = o->revision;
		VEC_PUSH(&n->list, w);
	}
	r = attach(w, a, ret, err);
	if (!w->users.count)
		forget(n, w);
	else if (r == 0)
		tell_netd(n);
	return r;
}

static bool is_among(const char *name, const char *const *list, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (streq(list[i], name))
			return true;
	return false;
}

void networks_detach(struct networks *n, const char *uid, const char *const *keep, size_t count)
{
	for (size_t i = n->list.count; i-- > 0;) {
		struct network *w = n->list.items[i];

		for (size_t k = w->users.count; k-- > 0;) {
			struct user *u = &w->users.items[k];
			_cleanup_(free_p) char *id = NULL, *directory = NULL;

			if (!streq(u->uid, uid) || is_among(u->interface, keep, count))
				continue;
			id = user_id(u);
			directory = lease_directory(w);
			if (w->dhcp)
				dhcp_remove(w->dhcp, id);
			if (u->address.family)
				net_leases_touch(directory, &u->address);
			guard(w, u, false);
			user_finish(u);
			VEC_REMOVE(&w->users, k);
		}
		if (!w->users.count)
			forget(n, w);
	}
}

void networks_complete(struct networks *n)
{
	n->complete = true;
	if (some_unclaimed(n))
		uv_timer_start(&n->timer, on_timer, RETRY_MS, 0);
	tell_netd(n);
	sweep(n);
}

void networks_set_taken(struct networks *n, const struct net_range *taken, size_t count)
{
	n->taken_count = MIN(count, ARRAY_LEN(n->taken));
	for (size_t i = 0; i < n->taken_count; i++)
		n->taken[i] = taken[i];
}

/* ---- what the definitions say ---- */

/* What guests that run are bound to. */
static bool same_network(const struct net_config *a, const struct net_config *b)
{
	return a->kind == b->kind && streq(a->bridge, b->bridge) && a->mtu == b->mtu &&
	       a->default_route == b->default_route && a->range.prefix == b->range.prefix &&
	       net_address_eq(&a->range.address, &b->range.address) &&
	       net_address_eq(&a->gateway, &b->gateway);
}

static void reread(struct network *w, const struct object *o)
{
	struct arena a = ARENA_INIT;
	struct net_config now;
	struct err err = ERR_INIT;

	if (o->revision == w->revision)
		return;
	w->revision = o->revision;
	if (read_config(w, o, &now, &a, &err) < 0 || !same_network(&w->config, &now)) {
		client_event(w->all->c.node->client, o, NULL, "Warning", "NetworkInUse",
			"%s: it stays as it was until its last guest on node %s has stopped",
			err.code ? err.msg : "the network has another shape", w->all->c.node->name);
		arena_finish(&a);
		return;
	}
	arena_finish(&w->arena);
	w->arena = a;
	w->config = now;
	for (size_t i = 0; i < w->users.count; i++) {
		guard(w, &w->users.items[i], true);
		if (tell_dhcp(w, &w->users.items[i], &err) < 0)
			dhcp_report(w, err.msg);
	}
	tell_ports(w);
}

static void definition_changed(void *user, const struct object *old, const struct object *new)
{
	struct networks *n = user;
	_cleanup_(free_p) char *name = new ? xasprintf("%s/%s", new->namespace, new->name) : NULL;
	struct network *w = new ? find(n, name) : NULL;

	if (w)
		reread(w, new);
	else if (!new && n->complete)
		sweep_leases(n);
}

static void definitions_listed(void *user)
{
	sweep_leases(user);
}

struct networks *networks_create(const struct networks_config *c)
{
	static const struct informer_handler on_definition = {
		.changed = definition_changed, .synced = definitions_listed};
	struct networks *n = xcalloc(1, sizeof(*n));

	n->c = *c;
	n->directory = xasprintf("%s/networks", c->directory);
	n->leases = xasprintf("%s/network-addresses", c->node->data_dir);
	n->created_ms = uv_now(c->node->loop);
	uv_timer_init(c->node->loop, &n->timer);
	n->timer.data = n;
	n->definitions = informer_create(c->node->client,
		kind_by_name(
			c->node->kinds, "k8s.cni.cncf.io", "v1", "NetworkAttachmentDefinition"),
		NULL, NULL, NULL);
	informer_add_handler(n->definitions, &on_definition, n);
	informer_start(n->definitions);
	return n;
}

static void freed(uv_handle_t *h)
{
	free(h->data);
}

void networks_destroy(struct networks *n)
{
	if (!n)
		return;
	informer_destroy(n->definitions);
	for (size_t i = 0; i < n->list.count; i++)
		network_destroy(n->list.items[i]);
	VEC_FINISH(&n->list);
	buf_finish(&n->sent);
	free(n->directory);
	free(n->leases);
	uv_close((uv_handle_t *)&n->timer, freed);
}

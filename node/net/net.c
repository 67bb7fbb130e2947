#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/base/log.h"
#include "lib/base/vec.h"
#include "node/net/dhcp.h"
#include "node/net/dns_child.h"
#include "node/net/import_net.h"
#include "node/net/lease.h"
#include "node/net/net_internal.h"
#include "node/net/netd_client.h"
#include "node/net/networks/networks.h"
#include "node/net/pod_ranges.h"
#include "node/net/policy/policies.h"
#include "node/net/service/host_ports.h"
#include "node/net/service/services.h"
#include "node/net/trusting.h"

#define CNI_DIRECTORY "/etc/cni/net.d"
#define CNI_FILE CNI_DIRECTORY "/10-hanok.conflist"
#define RETRY_MS 5000
#define SETTLE_MS 20 /* node changes come in bursts */

static void tell(struct node_net *net)
{
	static const char *const reasons[PART_COUNT] = {
		"PodRangeMissing", "BridgeNotReady", "RulesNotReady", "DHCPNotReady"};

	for (int i = 0; i < PART_COUNT; i++) {
		if (!net->problems[i])
			continue;
		node_report(net->node, "network", false, reasons[i], net->problems[i]);
		net->reported = true;
		net->reported_ready = false;
		return;
	}
	if (net->reported && net->reported_ready)
		return;
	net->reported = net->reported_ready = true;
	node_report(
		net->node, "network", true, "NetworkReady", "bridge, rules and DHCP are in place");
}

static void problem(struct node_net *net, enum part part, const char *text)
{
	if (streq(text, net->problems[part]))
		return;
	if (text)
		log_warn("node network", "problem", text, NULL);
	free(net->problems[part]);
	net->problems[part] = text ? xstrdup(text) : NULL;
	tell(net);
}

static void settle(struct node_net *net);

static void on_timer(uv_timer_t *t)
{
	settle(t->data);
}

static void settle_in(struct node_net *net, unsigned ms)
{
	uv_timer_start(&net->timer, on_timer, ms, 0);
}

/* The first address of a family in status.addresses. */
static bool internal_ip(const struct json *doc, uint32_t family, struct net_address *ret)
{
	JSON_FOR_EACH_ITEM(it, json_path(doc, "status.addresses"))
		if (streq(json_str(json_get(it, "type")), "InternalIP") &&
			net_address_parse(json_str(json_get(it, "address")), ret) == 0 &&
			ret->family == family)
			return true;
	return false;
}

/* A node's range of a family. */
static bool pod_range(const struct json *doc, uint32_t family, struct net_range *ret)
{
	const struct json *all = json_path(doc, "spec.podCIDRs");

	JSON_FOR_EACH_ITEM(it, all)
		if (net_range_parse(json_str(it), ret) == 0 && ret->address.family == family)
			return true;
	return !json_count(all) && net_range_parse(json_path_str(doc, "spec.podCIDR"), ret) == 0 &&
	       ret->address.family == family;
}

/* Another node's range and the address to send it to; false while either is missing. */
static bool route_to(const struct json *doc, uint32_t family, struct pod_range *ret)
{
	return pod_range(doc, family, &ret->range) && internal_ip(doc, family, &ret->node);
}

/* A range of the Node of this name that is not believed. */
static void add_refused(struct buf *text, const char *node, const struct pod_range *r)
{
	char range[NET_ADDRESS_TEXT + 4];

	if (text->size < 4096)
		buf_printf(text, "%sNode %s: spec.podCIDRs: %s: %s", text->size ? "; " : "", node,
			net_range_format(&r->range, range), r->refused);
}

static void tell_refused(struct node_net *net, const struct buf *text)
{
	_cleanup_(free_p) char *now = text->size ? xstrndup(text->data, text->size) : NULL;

	if (streq(now, net->refused))
		return;
	if (now)
		log_warn("pod ranges of nodes are left out", "ranges", now, NULL);
	free(net->refused);
	net->refused = TAKE_PTR(now);
}

static struct links_address gateway_of(const struct net_range *pods)
{
	return (struct links_address){net_address_plus(&pods->address, 1), pods->prefix};
}

static int ensure_links(
	struct node_net *net, const struct links_route *routes, size_t count, struct err *err)
{
	struct links_address addresses[2] = {gateway_of(&net->pods)};
	size_t address_count = 1;
	int r;

	if (!links_sysctl("/proc/sys/net/ipv4/ip_forward", "1"))
		return err_set(
			err, -EACCES, "can't set net.ipv4.ip_forward = 1, which pods and VMs need");
	if (net->pods6.address.family) {
		/* Forwarding makes the kernel deaf to router advertisements: whoever lives by them
		 * says accept_ra=2, as with any router. */
		if (!links_sysctl("/proc/sys/net/ipv6/conf/all/forwarding", "1"))
			return err_set(err, -EACCES,
				"can't set net.ipv6.conf.all.forwarding = 1, which IPv6 of pods "
				"needs");
		addresses[address_count++] = gateway_of(&net->pods6);
	}
	r = links_ensure_bridge(
		net->links, NET_BRIDGE, addresses, address_count, net->node->name, err);
	if (r < 0)
		return r;
	return links_set_routes(net->links, NET_BRIDGE, routes, count, err);
}

static int write_file(const char *path, const struct buf *text, struct err *err)
{
	_cleanup_(free_p) char *fresh = xasprintf("%s.new", path);
	_cleanup_(close_p) int fd =
		open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0644);

	if (fd < 0 || write(fd, text->data, text->size) != (ssize_t)text->size ||
		rename(fresh, path) < 0)
		return err_errno(err, -errno, "write %s", path);
	return 0;
}

static int ensure_cni(struct node_net *net, struct err *err)
{
	_cleanup_(buf_finish) struct buf want = BUF_INIT;
	char room[256], have[4096], range6[NET_ADDRESS_TEXT + 4] = "";
	_cleanup_(close_p) int fd = -1;
	ssize_t n;

	if (!lease_plugin("bridge", room, sizeof(room)) ||
		!lease_plugin("host-local", room, sizeof(room)))
		return err_set(err, -ENOENT,
			"the CNI plugins bridge and host-local are not in /opt/cni/bin or "
			"/usr/lib/cni (Debian package containernetworking-plugins)");
	if (net->pods6.address.family)
		net_range_format(&net->pods6, range6);
	lease_write_conflist(&want, NET_BRIDGE, net->cidr, range6);
	fd = open(CNI_FILE, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, have, sizeof(have));
	/* The runtime reads the file again whenever it changes. */
	if (n == (ssize_t)want.size && !memcmp(have, want.data, want.size))
		return 0;
	mkdir("/etc/cni", 0755);
	mkdir(CNI_DIRECTORY, 0755);
	return write_file(CNI_FILE, &want, err);
}

static void send_config(struct node_net *net, const struct links_route *routes, size_t count)
{
	struct netd_config c = {
		.v4 = {.pods = net->pods,
			.services = net->service_net,
			.bridge_calls_ip =
				links_sysctl("/proc/sys/net/bridge/bridge-nf-call-iptables", "1")},
		.v6 = {.pods = net->pods6, .services = net->service_net6},
	};
	struct buf body = BUF_INIT;

	if (!c.v6.pods.address.family)
		c.v6.services.address.family = 0;
	else
		c.v6.bridge_calls_ip =
			links_sysctl("/proc/sys/net/bridge/bridge-nf-call-ip6tables", "1");
	for (size_t i = 0; i < count; i++)
		c.net_count += routes[i].via.family != 0;
	c.net_count = MIN(c.net_count, (uint32_t)NETD_NETS_MAX);
	buf_add(&body, &c, sizeof(c));
	for (size_t i = 0, n = 0; i < count && n < c.net_count; i++) {
		if (!routes[i].via.family)
			continue;
		buf_add(&body, &routes[i].to, sizeof(routes[i].to));
		n++;
	}
	if (!net->netd_fresh && body.size == net->config.size &&
		!memcmp(body.data, net->config.data, body.size)) {
		buf_finish(&body);
		return;
	}
	buf_finish(&net->config);
	net->config = body;
	net->config_serial = netd_client_send(net->netd, NETD_CONFIG, body.data, body.size);
}

static void dhcp_report(void *user, const char *text)
{
	problem(user, PART_DHCP, text);
}

static void ensure_dhcp(struct node_net *net)
{
	if (!net->dhcp)
		net->dhcp = dhcp_create(net->node->loop,
			&(struct dhcp_config){
				.bridge = NET_BRIDGE,
				.network = net->network,
				.netmask = net->netmask,
				.gateway = net->gateway,
				.directory = net->directory,
			},
			dhcp_report, net);
}

static void dns_report(void *user, const char *text)
{
	struct node_net *net = user;

	if (text)
		log_warn("cluster DNS", "problem", text, NULL);
	node_report(net->node, "dns", !text, text ? "DNSNotReady" : "DNSReady",
		text ? text : "the cluster's names are served on the bridge's address");
}

static void ensure_dns(struct node_net *net)
{
	const struct node_config *c = net->node->config;

	if (!net->dns)
		net->dns = dns_child_create(net->node->loop,
			&(struct dns_child_config){
				.program = net->dns_program,
				.kubeconfig = net->node->kubeconfig,
				.address = net->gateway,
				.domain = c->cluster_domain,
				.resolv_conf = c->resolv_conf,
				.directory = net->directory,
			},
			dns_report, net);
}

/* The second pod range and the zone come from our Node. A range is given once and stays. */
static void read_own_node(struct node_net *net)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct object *o = informer_get(net->nodes, NULL, net->node->name);
	struct net_range range;

	if (!o)
		return;
	if (!net->pods6.address.family && pod_range(object_doc(o, &a), AF_INET6, &range)) {
		if (access("/proc/sys/net/ipv6/conf/all/forwarding", F_OK) != 0) {
			if (!net->told_no_ipv6)
				log_warn("the cluster gives this node an IPv6 range, but its "
					 "kernel has "
					 "no IPv6: pods get IPv4 only",
					NULL);
			net->told_no_ipv6 = true;
		} else {
			net->pods6 = range;
		}
	}
	services_set_place(net->services, object_label(o, "topology.kubernetes.io/zone"), true,
		net->pods6.address.family != 0);
	host_ports_offer(net->host_ports, true, net->pods6.address.family != 0);
}

/* Every node answers for the cluster's DNS at its gateway's addresses. */
static void tell_dns(struct node_net *net, const struct links_route *routes, size_t count)
{
	VEC(struct net_address) all = {0};

	VEC_PUSH(&all, gateway_of(&net->pods).address);
	if (net->pods6.address.family)
		VEC_PUSH(&all, gateway_of(&net->pods6).address);
	for (size_t i = 0; i < count; i++)
		if (routes[i].via.family)
			VEC_PUSH(&all, gateway_of(&routes[i].to).address);
	policies_set_dns(net->policies, all.items, all.count);
	VEC_FINISH(&all);
}

static void tell_imports(struct node_net *net)
{
	char range6[NET_ADDRESS_TEXT + 4] = "";

	if (net->pods6.address.family)
		net_range_format(&net->pods6, range6);
	import_net_set_ranges(net->imports, net->cidr, range6);
}

struct import_net *net_imports(struct node_net *net)
{
	return net->imports;
}

/* Brings the host to what the API says; called on every change and again while something fails. */
static void settle(struct node_net *net)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	_cleanup_(buf_finish) struct buf refused = BUF_INIT;
	VEC(struct links_route) routes = {0};
	VEC(struct pod_range) ranges = {0};
	VEC(const char *) names = {0};
	struct net_range taken[4];
	struct net_address here[2] = {{0}};
	struct err err = ERR_INIT;
	struct object **nodes;
	size_t count;
	int r;

	if (!*net->cidr || !net->nodes_synced)
		return;
	read_own_node(net);
	taken[0] = net->pods;
	taken[1] = net->pods6;
	taken[2] = net->service_net;
	taken[3] = net->service_net6;
	networks_set_taken(net->networks, taken, ARRAY_LEN(taken));
	if (net_address_parse(net->node->host_ip, &here[0]) < 0)
		here[0].family = 0;
	if (net_address_parse(net->node->host_ip6, &here[1]) < 0)
		here[1].family = 0;
	if (net->service_net.address.family)
		VEC_PUSH(&routes, ((struct links_route){.to = net->service_net}));
	if (net->pods6.address.family && net->service_net6.address.family)
		VEC_PUSH(&routes, ((struct links_route){.to = net->service_net6}));
	count = informer_list(net->nodes, NULL, &a, &nodes);
	for (size_t i = 0; i < count; i++) {
		const struct json *doc;
		struct pod_range range = {.refused = NULL};

		if (streq(nodes[i]->name, net->node->name))
			continue;
		doc = object_doc(nodes[i], &a);
		for (int f = 0; f < (net->pods6.address.family ? 2 : 1); f++) {
			if (!route_to(doc, f ? AF_INET6 : AF_INET, &range))
				continue;
			VEC_PUSH(&ranges, range);
			VEC_PUSH(&names, nodes[i]->name);
		}
	}
	pod_ranges_check(ranges.items, ranges.count, taken, ARRAY_LEN(taken), here);
	for (size_t i = 0; i < ranges.count; i++) {
		const struct pod_range *range = &ranges.items[i];

		if (range->refused)
			add_refused(&refused, names.items[i], range);
		else
			VEC_PUSH(&routes, ((struct links_route){range->range, range->node}));
	}
	tell_refused(net, &refused);
	VEC_FINISH(&ranges);
	VEC_FINISH(&names);
	tell_dns(net, routes.items, routes.count);
	r = ensure_links(net, routes.items, routes.count, &err);
	if (r == 0)
		r = ensure_cni(net, &err);
	problem(net, PART_LINKS, r < 0 ? err.msg : NULL);
	if (r == 0 || r == -EHOSTUNREACH) {
		ensure_dhcp(net);
		ensure_dns(net);
		tell_imports(net);
		if (net->netd_there)
			send_config(net, routes.items, routes.count);
	}
	VEC_FINISH(&routes);
	if (r < 0)
		settle_in(net, RETRY_MS);
}

static void netd_fresh(void *user, const char *why)
{
	struct node_net *net = user;

	log_info("netd is given all rules", "because", why, NULL);
	net->netd_there = net->netd_fresh = true;
	policies_stale(net->policies);
	networks_stale(net->networks);
	trusting_stale(net->trusting);
	settle_in(net, 0);
}

static void netd_result(void *user, uint32_t serial, int code, const char *text)
{
	struct node_net *net = user;

	if (serial != net->config_serial) {
		if (!policies_result(net->policies, serial, code, text) &&
			!host_ports_result(net->host_ports, serial, code, text) &&
			!networks_result(net->networks, serial, code, text) &&
			!trusting_result(net->trusting, serial, code, text))
			services_result(net->services, serial, code, text);
		return;
	}
	net->config_serial = 0;
	problem(net, PART_NETD, code < 0 ? text : NULL);
	if (code < 0) {
		net->netd_fresh = true; /* the same again */
		settle_in(net, RETRY_MS);
		return;
	}
	if (net->netd_fresh || code == NETD_EMPTIED) {
		net->netd_fresh = false;
		services_resync(net->services);
		host_ports_resync(net->host_ports);
		networks_resync(net->networks);
		trusting_resync(net->trusting);
		policies_resync(net->policies, (const struct net_range[]){net->pods, net->pods6},
			net->pods6.address.family ? 2 : 1);
	}
}

static void node_changed(void *user, const struct object *old, const struct object *new)
{
	struct node_net *net = user;

	/* Heartbeats change nothing here, but telling costs as much as doing: wait for a pause. */
	if (!uv_is_active((uv_handle_t *)&net->timer))
		settle_in(net, SETTLE_MS);
}

static void nodes_listed(void *user)
{
	struct node_net *net = user;

	net->nodes_synced = true;
	settle_in(net, 0);
}

/* By the directory that this program was started from: an update may put others there. */
static void find_dns_program(struct node_net *net)
{
	ssize_t n = readlink("/proc/self/exe", net->dns_program, sizeof(net->dns_program) - 16);
	char *slash;

	net->dns_program[MAX(n, 0)] = '\0';
	slash = strrchr(net->dns_program, '/');
	strcpy(slash ? slash + 1 : net->dns_program, "hanok-dns");
}

/* At most one range of each family, in any order; ret_v6 has family 0 when there is none. */
static bool read_service_ranges(
	const char *text, struct net_range *ret_v4, struct net_range *ret_v6)
{
	_cleanup_(free_p) char *copy = xstrdup(text);
	struct net_range none = {.prefix = 0};
	char *rest = copy;

	*ret_v4 = *ret_v6 = none;
	for (char *one; (one = strsep(&rest, ","));) {
		struct net_range r, *to;

		if (net_range_parse(one, &r) < 0)
			return false;
		to = r.address.family == AF_INET6 ? ret_v6 : ret_v4;
		if (to->address.family)
			return false;
		*to = r;
	}
	return true;
}

bool net_service_ranges_ok(const char *text)
{
	struct net_range v4, v6;

	return read_service_ranges(text, &v4, &v6);
}

int net_create(struct node *n, struct node_net **ret, struct err *err)
{
	static const struct netd_client_handler on_netd = {
		.fresh = netd_fresh, .result = netd_result};
	static const struct informer_handler on_node = {
		.changed = node_changed, .synced = nodes_listed};
	struct node_net *net = xcalloc(1, sizeof(*net));
	int r = links_open(&net->links, err);

	if (r < 0) {
		free(net);
		return r;
	}
	net->node = n;
	list_init(&net->calls);
	if (!read_service_ranges(n->service_cidr, &net->service_net, &net->service_net6))
		abort(); /* node.c asked net_service_ranges_ok */
	snprintf(net->directory, sizeof(net->directory), "/run/hanok-node-%.80s", n->name);
	find_dns_program(net);
	uv_timer_init(n->loop, &net->timer);
	net->timer.data = net;
	net->netd = netd_client_create(n->loop, NULL, &on_netd, net);
	net->nodes = informer_create(
		n->client, kind_by_name(n->kinds, "", "v1", "Node"), NULL, NULL, NULL);
	informer_add_handler(net->nodes, &on_node, net);
	informer_start(net->nodes);
	net->services = services_create(n, net->netd);
	net->host_ports = host_ports_create(n->loop, net->netd);
	n->policies = net->policies = policies_create(n, net->netd);
	net->networks = networks_create(&(struct networks_config){
		.node = n,
		.links = net->links,
		.netd = net->netd,
		.host_ports = net->host_ports,
		.ports = policies_ports(net->policies),
		.directory = net->directory,
	});
	net->trusting = trusting_create(n->loop, net->netd);
	net->imports = import_net_create(n->loop, net->directory);
	problem(net, PART_RANGE, "the node has no pod range (spec.podCIDR) yet");
	net_set_pod_cidr(net, n->pod_cidr);
	*ret = net;
	return 0;
}

static void freed(uv_handle_t *h)
{
	free(h->data);
}

void net_destroy(struct node_net *net)
{
	if (!net || net->destroyed)
		return;
	net->destroyed = true;
	net_calls_cancel_all(net);
	import_net_destroy(net->imports);
	networks_destroy(net->networks);
	trusting_destroy(net->trusting);
	services_destroy(net->services);
	policies_destroy(net->policies);
	net->node->policies = NULL;
	host_ports_destroy(net->host_ports);
	informer_destroy(net->nodes);
	netd_client_destroy(net->netd);
	dhcp_destroy(net->dhcp);
	dns_child_destroy(net->dns);
	links_close(net->links);
	buf_finish(&net->config);
	free(net->refused);
	for (int i = 0; i < PART_COUNT; i++)
		free(net->problems[i]);
	uv_close((uv_handle_t *)&net->timer, freed);
}

void net_set_pod_cidr(struct node_net *net, const char *cidr)
{
	struct net_address gateway;
	struct in_addr mask;

	if (!cidr || !*cidr || streq(cidr, net->cidr))
		return;
	if (net_range_parse(cidr, &net->pods) < 0 || net->pods.address.family != AF_INET ||
		net->pods.prefix < 8 || net->pods.prefix > 30) {
		problem(net, PART_RANGE, "the node's pod range is not a usable IPv4 range");
		return;
	}
	snprintf(net->cidr, sizeof(net->cidr), "%s", cidr);
	net_address_format(&net->pods.address, net->network);
	gateway = net_address_plus(&net->pods.address, 1);
	net_address_format(&gateway, net->gateway);
	mask.s_addr = htonl(UINT32_MAX << (32 - net->pods.prefix));
	inet_ntop(AF_INET, &mask, net->netmask, sizeof(net->netmask));
	problem(net, PART_RANGE, NULL);
	problem(net, PART_NETD, "the rules are not in the kernel yet");
	settle_in(net, 0);
}

void net_ports_changed(struct node_net *net)
{
	struct err err = ERR_INIT;

	/* Once br_netfilter has translated a packet back to the port it came from, the bridge
	 * itself forwards it, and would not do so to the same port. */
	if (links_set_hairpin(net->links, NET_BRIDGE, &err) < 0)
		log_warn("node network", "problem", err.msg, NULL);
}

int net_attach(struct node_net *net, const struct net_attachment *a, struct net_attached *ret,
	struct err *err)
{
	return networks_attach(net->networks, a, ret, err);
}

void net_detach(struct node_net *net, const char *uid, const char *const *keep, size_t count)
{
	networks_detach(net->networks, uid, keep, count);
}

void net_attachments_complete(struct node_net *net)
{
	networks_complete(net->networks);
}

void net_trusting_set(
	struct node_net *net, const struct netd_server *list, size_t count, bool whole)
{
	trusting_set(net->trusting, list, count, whole);
}

void net_host_ports_set(
	struct node_net *net, const char *owner, const struct net_host_port *ports, size_t count)
{
	host_ports_set(net->host_ports, owner, ports, count);
}

void net_pod_changed(struct node_net *net, const struct object *old, const struct object *new)
{
	host_ports_of_pod(net->host_ports, old, new);
	policies_changed(net->policies, old, new);
}

void net_mirror_changed(struct node_net *net, const struct object *old, const struct object *new)
{
	host_ports_of_pod(net->host_ports, old, new);
}

void net_pods_listed(struct node_net *net)
{
	host_ports_complete(net->host_ports);
	policies_listed(net->policies, false);
}

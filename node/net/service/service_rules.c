#include "node/net/service/service_rules.h"

#include <stdio.h>

#define PROXY_NAME_LABEL "service.kubernetes.io/service-proxy-name"
#define TARGETS_MAX (1u << 18) /* of all ports of one service */
#define AFFINITY_SECONDS 10800
#define FRONTS_MAX (1u << 16)

typedef VEC(struct service_target) target_list;

static uint8_t protocol(const char *name)
{
	return !name || streq(name, "TCP") ? IPPROTO_TCP
	       : streq(name, "UDP")	   ? IPPROTO_UDP
	       : streq(name, "SCTP")	   ? IPPROTO_SCTP
					   : 0;
}

static bool is(const struct json *spec, const char *field, const char *value)
{
	return streq(json_str(json_get(spec, field)), value);
}

static bool is_ready(const struct json *endpoint)
{
	return json_path_bool(endpoint, "conditions.ready", true);
}

/* Still answers, though it is about to end. */
static bool is_ending(const struct json *endpoint)
{
	return json_path_bool(endpoint, "conditions.serving", is_ready(endpoint)) &&
	       json_path_bool(endpoint, "conditions.terminating", false);
}

static bool is_local(const struct json *endpoint, const struct service_place *place)
{
	return streq(json_str(json_get(endpoint, "nodeName")), place->node);
}

static bool hinted(const struct json *endpoint, const char *list, const char *name)
{
	JSON_FOR_EACH_ITEM(hint, json_path(endpoint, list))
		if (streq(json_str(json_get(hint, "name")), name))
			return true;
	return false;
}

/* Endpoints of one port in one family. */
struct view {
	struct json *const *slices;
	size_t slice_count;
	const struct service_place *place;
	uint32_t family;
	const char *port_name;
	uint8_t proto;
	const char *hints, *hint; /* only those with this hint; NULL = all */
};

static uint16_t number_in(const struct view *v, const struct json *slice)
{
	int64_t number = 0;

	if (!is(slice, "addressType", v->family == AF_INET6 ? "IPv6" : "IPv4"))
		return 0;
	JSON_FOR_EACH_ITEM(p, json_get(slice, "ports"))
		if (streq(json_str_or(json_get(p, "name"), ""), v->port_name) &&
			protocol(json_str(json_get(p, "protocol"))) == v->proto)
			number = json_int_or(json_get(p, "port"), 0);
	return number > 0 && number <= 65535 ? (uint16_t)number : 0;
}

#define FOR_EACH_ENDPOINT(e, number, v)                                                            \
	for (size_t slice_ = 0; slice_ < (v)->slice_count; slice_++)                               \
		for (uint16_t number = number_in((v), (v)->slices[slice_]); number; number = 0)    \
			JSON_FOR_EACH_ITEM(e, json_get((v)->slices[slice_], "endpoints"))

/* Hints count when every ready endpoint has some and one is for us: otherwise a zone or a node
 * would be left without an endpoint while its hints are on their way. */
static bool hints_usable(const struct view *v, const char *hints, const char *name)
{
	bool any = false;

	if (!name || !*name)
		return false;
	FOR_EACH_ENDPOINT(e, number, v)
	{
		if (!is_ready(e))
			continue;
		if (!json_count(json_path(e, hints)))
			return false;
		any |= hinted(e, hints, name);
	}
	return any;
}

static void choose_hints(struct view *v)
{
	static const char nodes[] = "hints.forNodes", zones[] = "hints.forZones";

	v->hints = NULL;
	if (hints_usable(v, nodes, v->place->node)) {
		v->hints = nodes;
		v->hint = v->place->node;
	} else if (hints_usable(v, zones, v->place->zone)) {
		v->hints = zones;
		v->hint = v->place->zone;
	}
}

static void add_target(
	const struct json *endpoint, uint16_t number, uint32_t family, target_list *out)
{
	struct service_target t = {.port = number};

	/* "Clients must not use more than the first": API reference, Endpoint.addresses. */
	if (net_address_parse(json_str(json_at(json_get(endpoint, "addresses"), 0)), &t.address) ==
			0 &&
		(!family || t.address.family == family) && net_address_is_unicast(&t.address) &&
		out->count < TARGETS_MAX)
		VEC_PUSH(out, t);
}

static void add_targets(const struct view *v, bool local, bool ending, target_list *out)
{
	FOR_EACH_ENDPOINT(e, number, v)
	{
		if (local && !is_local(e, v->place))
			continue;
		if (ending ? !is_ending(e) : !is_ready(e))
			continue;
		if (!local && !ending && v->hints && !hinted(e, v->hints, v->hint))
			continue;
		add_target(e, number, v->family, out);
	}
}

/* Ready ones; without any, those that still serve (KEP-1669). */
static void choose(struct view *v, bool local, struct arena *a, struct service_group *ret)
{
	target_list list = {0};
	struct service_target *copy;

	choose_hints(v);
	add_targets(v, local, false, &list);
	if (!list.count)
		add_targets(v, local, true, &list);
	copy = arena_zalloc(a, (list.count + 1) * sizeof(*copy));
	if (list.count)
		memcpy(copy, list.items, list.count * sizeof(*copy));
	ret->targets = copy;
	ret->target_count = list.count;
	VEC_FINISH(&list);
}

struct builder {
	struct arena *a;
	const struct json *spec;
	struct view view;
	struct service_group *groups;
	struct service_front *fronts;
	size_t group_count, front_count, front_room;
	uint32_t seconds;
	struct net_range *sources;
	size_t source_count;
};

static int new_group(struct builder *b, char letter, enum netd_kind kind, uint16_t port,
	const struct service_group *same_targets)
{
	struct service_group *g = &b->groups[b->group_count];

	*g = *same_targets;
	g->kind = kind;
	g->seconds = b->seconds;
	snprintf(g->name, sizeof(g->name), "%c%c %u/%u", b->view.family == AF_INET6 ? '6' : '4',
		letter, port, b->view.proto);
	return (int)b->group_count++;
}

static void new_front(struct builder *b, const struct service_front *like,
	const struct net_address *address, uint16_t port, bool with_sources)
{
	struct service_front *f;

	if (b->front_count >= b->front_room)
		return;
	f = &b->fronts[b->front_count++];
	*f = *like;
	f->address = *address;
	f->port = port;
	if (with_sources && b->source_count) {
		f->sources = b->sources;
		f->source_count = b->source_count;
	}
}

static void new_fronts_of_list(struct builder *b, const struct service_front *like,
	const struct json *list, const char *field, uint16_t port)
{
	JSON_FOR_EACH_ITEM(it, list) {
		struct net_address address;

		/* A load balancer that is a proxy wants to be asked itself (KEP-1860). */
		if (field && is(it, "ipMode", "Proxy"))
			continue;
		if (net_address_parse(json_str(field ? json_get(it, field) : it), &address) < 0 ||
			address.family != b->view.family || !net_address_is_unicast(&address))
			continue;
		new_front(b, like, &address, port, field != NULL);
	}
}

static void add_port(struct builder *b, const struct json *service, const struct json *port,
	const struct net_address *cluster_ip)
{
	bool balanced = is(b->spec, "type", "LoadBalancer");
	bool outside_local = is(b->spec, "externalTrafficPolicy", "Local");
	bool inside_local = is(b->spec, "internalTrafficPolicy", "Local");
	int64_t node_port = json_int_or(json_get(port, "nodePort"), 0);
	int64_t number = json_int_or(json_get(port, "port"), 0);
	struct service_group all = {.target_count = 0}, local = {.target_count = 0};
	struct service_front front = {.proto = b->view.proto, .inside = -1};
	const struct json *external_ips = json_get(b->spec, "externalIPs");
	const struct json *ingress =
		balanced ? json_path(service, "status.loadBalancer.ingress") : NULL;

	if (number < 1 || number > 65535)
		return;
	if (is(b->spec, "type", "ClusterIP") || node_port < 0 || node_port > 65535)
		node_port = 0;
	choose(&b->view, false, b->a, &all);
	if (inside_local || outside_local)
		choose(&b->view, true, b->a, &local);

	front.group =
		new_group(b, 'i', NETD_INSIDE, (uint16_t)number, inside_local ? &local : &all);
	front.empty = inside_local && all.target_count ? NETD_DROP : NETD_REFUSE;
	new_front(b, &front, cluster_ip, (uint16_t)number, false);
	if (!node_port && !json_count(external_ips) && !json_count(ingress))
		return;
	if (outside_local) {
		/* Pods and this node need not care where the endpoints are. */
		front.inside = inside_local ? new_group(b, 'c', NETD_INSIDE, (uint16_t)number, &all)
					    : front.group;
		front.group = new_group(b, 'k', NETD_KEEP, (uint16_t)number, &local);
		front.empty = all.target_count ? NETD_DROP : NETD_REFUSE;
	} else {
		front.group = new_group(b, 'o', NETD_OUTSIDE, (uint16_t)number, &all);
		front.empty = NETD_REFUSE;
	}
	if (node_port)
		new_front(b, &front, &(struct net_address){.family = b->view.family},
			(uint16_t)node_port, false);
	new_fronts_of_list(b, &front, external_ips, NULL, (uint16_t)number);
	new_fronts_of_list(b, &front, ingress, "ip", (uint16_t)number);
}

/* loadBalancerSourceRanges of the family, none of them within another: the kernel's set wants them
 * apart. */
static void read_sources(struct builder *b)
{
	const struct json *list = json_get(b->spec, "loadBalancerSourceRanges");

	b->source_count = 0;
	b->sources = arena_zalloc(b->a, (json_count(list) + 1) * sizeof(*b->sources));
	JSON_FOR_EACH_ITEM(it, list) {
		const char *text = json_str(it);
		_cleanup_(free_p) char *plain = NULL;
		struct net_range r;
		bool covered = false;

		if (!text)
			continue;
		text += strspn(text, " \t\n");
		plain = xstrndup(text, strcspn(text, " \t\n"));
		if (net_range_parse_loose(plain, &r) < 0 || r.address.family != b->view.family)
			continue;
		for (size_t i = 0; i < b->source_count; i++)
			covered |= b->sources[i].prefix <= r.prefix &&
				   net_range_has(&b->sources[i], &r.address);
		if (covered)
			continue;
		for (size_t i = b->source_count; i > 0; i--)
			if (net_range_has(&r, &b->sources[i - 1].address) &&
				b->sources[i - 1].prefix >= r.prefix)
				b->sources[i - 1] = b->sources[--b->source_count];
		b->sources[b->source_count++] = r;
	}
	for (size_t i = 0; i < b->source_count; i++)
		if (!b->sources[i].prefix)
			b->source_count = 0; /* all */
}

static bool proxied(const struct json *service)
{
	const struct json *spec = json_get(service, "spec");
	const char *ip = json_str(json_get(spec, "clusterIP"));

	return !is(spec, "type", "ExternalName") && ip && *ip && !streq(ip, "None") &&
	       !json_get(json_path(service, "metadata.labels"), PROXY_NAME_LABEL);
}

static int by_address(const void *a, const void *b)
{
	const struct service_target *x = a, *y = b;

	return memcmp(&x->address, &y->address, sizeof(x->address));
}

static size_t count_local(const struct builder *b)
{
	target_list list = {0};
	size_t count = 0;

	for (size_t s = 0; s < b->view.slice_count; s++)
		JSON_FOR_EACH_ITEM(e, json_get(b->view.slices[s], "endpoints"))
			if (is_ready(e) && is_local(e, b->view.place))
				add_target(e, 0, 0, &list);
	if (list.count > 1)
		qsort(list.items, list.count, sizeof(*list.items), by_address);
	for (size_t i = 0; i < list.count; i++)
		count += i == 0 || by_address(&list.items[i - 1], &list.items[i]) != 0;
	VEC_FINISH(&list);
	return count;
}

/* Each time that clients are remembered for is a chain in the kernel: seconds up to a minute,
 * minutes up to an hour, quarter hours up to a day are some 200 at most. */
static uint32_t affinity_seconds(int64_t wanted)
{
	uint32_t s = (uint32_t)MIN(MAX(wanted, INT64_C(1)), (int64_t)NETD_AFFINITY_MAX_SECONDS);
	uint32_t step = s <= 60 ? 1 : s <= 3600 ? 60 : 900;

	return (s + step - 1) / step * step;
}

void service_rules_build(struct arena *a, const struct json *service, struct json *const *slices,
	size_t slice_count, const struct service_place *place, struct service_desc *ret,
	struct service_health *ret_health)
{
	const struct json *spec = json_get(service, "spec"), *ports = json_get(spec, "ports");
	const struct json *ips = json_get(spec, "clusterIPs");
	struct builder b = {
		.a = a,
		.spec = spec,
		.view = {.slices = slices, .slice_count = slice_count, .place = place},
	};
	size_t ip_count = MAX(json_count(ips), (size_t)1);

	*ret = (struct service_desc){.group_count = 0};
	*ret_health = (struct service_health){.port = 0};
	if (!proxied(service))
		return;
	if (is(spec, "sessionAffinity", "ClientIP"))
		b.seconds = affinity_seconds(json_path_int(
			spec, "sessionAffinityConfig.clientIP.timeoutSeconds", AFFINITY_SECONDS));
	b.groups = arena_zalloc(a, sizeof(*b.groups) * 3 * (json_count(ports) + 1) * ip_count);
	b.front_room = (2 + json_count(json_get(spec, "externalIPs")) +
			       json_count(json_path(service, "status.loadBalancer.ingress"))) *
		       (json_count(ports) + 1) * ip_count;
	b.front_room = MIN(b.front_room, (size_t)FRONTS_MAX);
	b.fronts = arena_zalloc(a, sizeof(*b.fronts) * b.front_room);
	for (size_t i = 0; i < ip_count; i++) {
		const struct json *ip =
			json_count(ips) ? json_at(ips, i) : json_get(spec, "clusterIP");
		struct net_address address;

		if (net_address_parse(json_str(ip), &address) < 0 ||
			!net_address_is_unicast(&address) ||
			!place->has[address.family == AF_INET6])
			continue;
		b.view.family = address.family;
		read_sources(&b);
		JSON_FOR_EACH_ITEM(p, ports) {
			b.view.port_name = json_str_or(json_get(p, "name"), "");
			b.view.proto = protocol(json_str(json_get(p, "protocol")));
			if (b.view.proto)
				add_port(&b, service, p, &address);
		}
	}
	ret->groups = b.groups;
	ret->group_count = b.group_count;
	ret->fronts = b.fronts;
	ret->front_count = b.front_count;
	if (is(spec, "type", "LoadBalancer") && is(spec, "externalTrafficPolicy", "Local")) {
		int64_t port = json_int_or(json_get(spec, "healthCheckNodePort"), 0);

		if (port > 0 && port <= 65535)
			ret_health->port = (uint16_t)port;
		ret_health->local_endpoints = count_local(&b);
	}
}

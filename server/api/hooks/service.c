/* service.c - services: the address in the cluster, ports on nodes, and what follows from the type.
 */
#include <inttypes.h>

#include "server/api/hooks/service_families.h"
#include "server/api/hooks/service_rules.h"

#define NODE_PORT_FIRST 30000
#define NODE_PORT_LAST 32767
#define LOAD_BALANCER_SHOWN 16 /* characters of the external address in a table */

static const char *type_of(const struct json *doc)
{
	return json_str_or(json_path(doc, "spec.type"), "ClusterIP");
}

static bool is_external_name(const struct json *doc)
{
	return streq(type_of(doc), "ExternalName");
}

static bool wants_node_ports(const struct json *doc)
{
	const char *type = type_of(doc);
	return streq(type, "NodePort") || streq(type, "LoadBalancer");
}

static const char *cluster_ip(const struct json *doc)
{
	return json_str_or(json_path(doc, "spec.clusterIP"), "");
}

static void set_cluster_ip(struct arena *a, struct json *doc, const char *ip)
{
	struct json *spec = json_get(doc, "spec"), *list = json_new_array(a);
	json_set_str(a, spec, "clusterIP", ip);
	json_push(a, list, json_new_string(a, ip));
	json_set(a, spec, "clusterIPs", list);
}

/* clusterIP and clusterIPs[0] say the same; either may be given. */
static void align_cluster_ips(struct arena *a, struct json *doc, const struct json *old)
{
	struct json *spec = json_get(doc, "spec");
	const char *one = cluster_ip(doc);
	const char *first = json_str_or(json_at(json_get(spec, "clusterIPs"), 0), "");
	const char *was = old ? cluster_ip(old) : "";
	if (*one && (!*first || (!streq(one, was) && streq(first, was))))
		set_cluster_ip(a, doc, one);
	else if (!*one && *first && !streq(first, was))
		json_set_str(a, spec, "clusterIP", first);
	else if (!*one && *first)
		json_remove(spec, "clusterIPs");
}

static void set_defaults(struct hook *h, struct json *doc)
{
	struct arena *a = h->arena;
	struct json *spec = json_get(doc, "spec");
	if (!spec)
		return;
	JSON_FOR_EACH_ITEM(p, json_get(spec, "ports")) {
		const struct json *target = json_get(p, "targetPort");
		bool unset = !target || (json_is(target, JSON_INT) && target->i == 0) ||
			     (json_is(target, JSON_STRING) && !*json_str(target));
		if (unset && json_get(p, "port"))
			json_set(a, p, "targetPort", json_get(p, "port"));
	}
	if (streq(json_str(json_get(spec, "sessionAffinity")), "ClientIP")) {
		struct json *config = json_object_at(a, spec, "sessionAffinityConfig");
		struct json *ip = json_object_at(a, config, "clientIP");
		if (!json_get(ip, "timeoutSeconds"))
			json_set_int(a, ip, "timeoutSeconds", 10800);
	}
	if (streq(type_of(doc), "LoadBalancer"))
		JSON_FOR_EACH_ITEM(i, json_path(doc, "status.loadBalancer.ingress"))
			if (*json_str_or(json_get(i, "ip"), "") && !json_get(i, "ipMode"))
				json_set_str(a, i, "ipMode", "VIP");
	if (is_external_name(doc))
		return;
	if (!json_get(spec, "internalTrafficPolicy"))
		json_set_str(a, spec, "internalTrafficPolicy", "Cluster");
	if (wants_node_ports(doc) && !json_get(spec, "externalTrafficPolicy"))
		json_set_str(a, spec, "externalTrafficPolicy", "Cluster");
	if (streq(type_of(doc), "LoadBalancer") && !json_get(spec, "allocateLoadBalancerNodePorts"))
		json_set_bool(a, spec, "allocateLoadBalancerNodePorts", true);
}

/* What only the former type of the service had, and the client merely sent back. */
static void drop_left_overs(struct json *spec, const struct json *doc, const struct json *old)
{
	static const char *const of_load_balancers[] = {"loadBalancerClass", "healthCheckNodePort"};
	const struct json *was = json_get(old, "spec");
	if (service_is_accessible(old) && !service_is_accessible(doc) &&
		json_equal(json_get(was, "externalTrafficPolicy"),
			json_get(spec, "externalTrafficPolicy")))
		json_remove(spec, "externalTrafficPolicy");
	if (streq(type_of(old), "LoadBalancer") && !streq(type_of(doc), "LoadBalancer") &&
		json_equal(json_get(was, "loadBalancerClass"), json_get(spec, "loadBalancerClass")))
		json_remove(spec, of_load_balancers[0]);
	if (service_needs_health_check(old) && !service_needs_health_check(doc) &&
		json_equal(json_get(was, "healthCheckNodePort"),
			json_get(spec, "healthCheckNodePort")))
		json_remove(spec, of_load_balancers[1]);
}

static void complete(struct hook *h, struct json *doc, const struct json *old)
{
	struct arena *a = h->arena;
	struct json *spec = json_object_at(a, doc, "spec");
	if (!streq(json_str(json_get(spec, "sessionAffinity")), "ClientIP"))
		json_remove(spec, "sessionAffinityConfig");
	if (is_external_name(doc)) {
		json_remove(spec, "clusterIP");
		json_remove(spec, "clusterIPs");
		json_remove(spec, "ipFamilies");
		json_remove(spec, "ipFamilyPolicy");
		json_remove(spec, "internalTrafficPolicy");
		json_remove(spec, "externalTrafficPolicy");
		return;
	}
	if (old)
		drop_left_overs(spec, doc, old);
	if (!streq(type_of(doc), "LoadBalancer"))
		json_remove(spec, "allocateLoadBalancerNodePorts");
	align_cluster_ips(a, doc, old);
	service_families_default(h, doc, old);
}

static int prepare_create(struct hook *h, struct json *doc)
{
	json_path_set(h->arena, doc, "status.loadBalancer", json_new_object(h->arena));
	complete(h, doc, NULL);
	return 0;
}

/* What was given to the service stays its own when an update does not mention it. */
static int prepare_update(struct hook *h, struct json *doc, const struct json *old)
{
	struct arena *a = h->arena;
	if (streq(h->part, "status"))
		return 0;
	complete(h, doc, old);
	if (!is_external_name(doc) && !is_external_name(old) && !*cluster_ip(doc) &&
		*cluster_ip(old))
		set_cluster_ip(a, doc, cluster_ip(old));
	if (service_needs_health_check(doc) && service_needs_health_check(old) &&
		!json_path_int(doc, "spec.healthCheckNodePort", 0))
		json_path_set(a, doc, "spec.healthCheckNodePort",
			json_path(old, "spec.healthCheckNodePort"));
	JSON_FOR_EACH_ITEM(p, json_path(doc, "spec.ports")) {
		if (!wants_node_ports(doc)) {
			/* Left over from another type; a new one is refused by the checks. */
			JSON_FOR_EACH_ITEM(was, json_path(old, "spec.ports"))
				if (wants_node_ports(old) && json_get(p, "nodePort") &&
					json_equal(
						json_get(was, "nodePort"), json_get(p, "nodePort")))
					json_remove(p, "nodePort");
			continue;
		}
		if (json_path_int(p, "nodePort", 0))
			continue;
		JSON_FOR_EACH_ITEM(was, json_path(old, "spec.ports"))
			if (json_equal(json_get(was, "port"), json_get(p, "port")) &&
				json_equal(json_get(was, "protocol"), json_get(p, "protocol")) &&
				json_path_int(was, "nodePort", 0))
				json_set(a, p, "nodePort", json_get(was, "nodePort"));
	}
	return 0;
}

static void validate_ports(struct hook *h, const struct json *doc)
{
	const struct json *ports = json_path(doc, "spec.ports");
	struct json_seen names = {.arena = h->arena, .by = {"name"}};
	struct json_seen numbers = {.arena = h->arena, .by = {"port", "protocol"}};
	size_t i = 0;
	JSON_FOR_EACH_ITEM(p, ports) {
		const char *at = arena_printf(h->arena, "spec.ports[%zu]", i);
		const char *name = json_str_or(json_get(p, "name"), "");
		if (!*name && json_count(ports) > 1)
			field_error(h->errors, FIELD_REQUIRED,
				arena_printf(h->arena, "%s.name", at), NULL, NULL);
		if (*name && json_seen_put(&names, p))
			field_error(h->errors, FIELD_DUPLICATE,
				arena_printf(h->arena, "%s.name", at), json_get(p, "name"), NULL);
		if (json_get(p, "port") && json_get(p, "protocol") && json_seen_put(&numbers, p)) {
			struct json *v = json_new_object(h->arena);
			json_set(h->arena, v, "protocol", json_get(p, "protocol"));
			json_set(h->arena, v, "port", json_get(p, "port"));
			field_error(h->errors, FIELD_DUPLICATE, at, v, NULL);
		}
		if (json_path_int(p, "nodePort", 0) && !wants_node_ports(doc))
			field_error(h->errors, FIELD_FORBIDDEN,
				arena_printf(h->arena, "%s.nodePort", at), NULL,
				"may not be used when `type` is '%s'", type_of(doc));
		i++;
	}
	if (i == 0 && !is_external_name(doc) && !streq(cluster_ip(doc), "None"))
		field_error(h->errors, FIELD_REQUIRED, "spec.ports", NULL, NULL);
}

static void validate(struct hook *h, const struct json *doc)
{
	if (streq(h->part, "status"))
		return;
	validate_ports(h, doc);
	const char *ip = cluster_ip(doc);
	if (streq(ip, "None") && wants_node_ports(doc))
		field_error(h->errors, FIELD_INVALID, "spec.clusterIPs[0]",
			json_path(doc, "spec.clusterIP"),
			"may not be set to 'None' for %s services", type_of(doc));
	service_rules_validate(h, doc);
}

static void validate_update(struct hook *h, const struct json *doc, const struct json *old)
{
	const char *now = cluster_ip(doc), *was = cluster_ip(old);
	service_rules_validate_update(h, doc, old);
	if (*was && !streq(was, now) && !is_external_name(doc) && !is_external_name(old))
		field_error(h->errors, FIELD_INVALID, "spec.clusterIPs[0]",
			json_path(doc, "spec.clusterIPs"), "may not change once set");
	/* Only what is allocated is checked against the ranges: nothing else may come in its place.
	 */
	const struct json *second = json_at(json_path(doc, "spec.clusterIPs"), 1);
	const struct json *second_was = json_at(json_path(old, "spec.clusterIPs"), 1);
	if (second && second_was && !json_equal(second, second_was) && !is_external_name(doc))
		field_error(h->errors, FIELD_INVALID, "spec.clusterIPs[1]",
			json_path(doc, "spec.clusterIPs"), "may not change once set");
}

static const char *ipv4_of(const struct json *doc)
{
	int i = service_families_find(doc, 4);
	return i < 0 ? "" : json_str(json_at(json_path(doc, "spec.clusterIPs"), (size_t)i));
}

/* The one of IPv4 stands before or behind the other, as the families do. */
static void put_ipv4(struct arena *a, struct json *doc, const char *ip)
{
	struct json *spec = json_get(doc, "spec"), *list = json_get(spec, "clusterIPs");
	if (!json_count(list) ||
		streq(json_str(json_at(json_get(spec, "ipFamilies"), 0)), "IPv4")) {
		struct json *both = json_new_array(a);
		json_push(a, both, json_new_string(a, ip));
		JSON_FOR_EACH_ITEM(it, list)
			json_push(a, both, it);
		json_set(a, spec, "clusterIPs", both);
		json_set_str(a, spec, "clusterIP", ip);
		return;
	}
	json_push(a, list, json_new_string(a, ip));
}

static bool in_service_range(const struct api *api, const char *ip, uint32_t *ret)
{
	uint32_t n;
	if (ip_parse(ip, &n) < 0 || n < api->service_range.base)
		return false;
	*ret = n - api->service_range.base;
	return *ret < api->service_ips.count;
}

static int take_ip(struct hook *h, struct json *doc)
{
	struct api *api = h->api;
	const char *ip = ipv4_of(doc);
	uint32_t n, last = api->service_ips.count - 1;
	if (streq(cluster_ip(doc), "None") || !service_families_wants(doc, 4))
		return 0;
	if (*ip) {
		const char *problem = NULL;
		if (!in_service_range(api, ip, &n) || n == 0 || n == last)
			problem = arena_printf(h->arena,
				"provided IP is not in the valid range. The range of valid IPs is "
				"%s",
				api->options.service_cidr);
		else if (allocator_take(&api->service_ips, n) < 0)
			problem = "provided IP is already allocated";
		if (problem)
			field_error(h->errors, FIELD_INVALID, "spec.clusterIPs",
				json_path(doc, "spec.clusterIPs"),
				"failed to allocated ip:%s with error:%s", ip, problem);
		else
			claim_add(h->arena, &h->req->claims, &api->service_ips, n, false);
		return 0;
	}
	/* The low addresses are left to those who choose one themselves, as long as there are
	 * others; the very first is the API's own. */
	uint32_t count = api->service_ips.count;
	uint32_t first = count <= 16 ? 2 : MIN(MAX(16u, count / 16), 256u);
	if (allocator_take_any(&api->service_ips, first, &api->random, &n) < 0 &&
		allocator_take_first(&api->service_ips, 2, &n) < 0)
		return status_internal(
			h->arena, h->st, "failed to allocate a serviceIP: range is full");
	claim_add(h->arena, &h->req->claims, &api->service_ips, n, false);
	put_ipv4(h->arena, doc, ip_format(h->arena, api->service_range.base + n));
	return 0;
}

static bool has_node_port(const struct json *doc, int64_t port)
{
	if (json_path_int(doc, "spec.healthCheckNodePort", 0) == port)
		return true;
	JSON_FOR_EACH_ITEM(p, json_path(doc, "spec.ports"))
		if (json_path_int(p, "nodePort", 0) == port)
			return true;
	return false;
}

static bool claimed(const struct hook *h, const struct allocator *from, uint32_t n)
{
	for (const struct claim *c = h->req->claims; c; c = c->next)
		if (c->from == from && c->n == n && !c->give)
			return true;
	return false;
}

static int take_node_ports(struct hook *h, struct json *doc, const struct json *old)
{
	struct api *api = h->api;
	size_t i = 0;
	if (json_is(json_path(doc, "spec.allocateLoadBalancerNodePorts"), JSON_BOOL) &&
		!json_path_bool(doc, "spec.allocateLoadBalancerNodePorts", true))
		return 0;
	JSON_FOR_EACH_ITEM(p, json_path(doc, "spec.ports")) {
		const char *at = arena_printf(h->arena, "spec.ports[%zu].nodePort", i++);
		int64_t port = json_path_int(p, "nodePort", 0);
		uint32_t n;
		if (port) {
			n = (uint32_t)(port - NODE_PORT_FIRST);
			/* One number may serve several protocols of the same service. */
			if (has_node_port(old, port) || claimed(h, &api->node_ports, n))
				continue;
			if (port < NODE_PORT_FIRST || port > NODE_PORT_LAST)
				field_error(h->errors, FIELD_INVALID, at, json_get(p, "nodePort"),
					"provided port is not in the valid range. The range of "
					"valid ports is "
					"%d-%d",
					NODE_PORT_FIRST, NODE_PORT_LAST);
			else if (allocator_take(&api->node_ports, n) < 0)
				field_error(h->errors, FIELD_INVALID, at, json_get(p, "nodePort"),
					"provided port is already allocated");
			else
				claim_add(h->arena, &h->req->claims, &api->node_ports, n, false);
			continue;
		}
		if (allocator_take_any(&api->node_ports, 0, &api->random, &n) < 0)
			return status_internal(
				h->arena, h->st, "failed to allocate a nodePort: range is full");
		claim_add(h->arena, &h->req->claims, &api->node_ports, n, false);
		json_set_int(h->arena, p, "nodePort", NODE_PORT_FIRST + (int64_t)n);
	}
	return 0;
}

static int take_health_check_port(struct hook *h, struct json *doc, const struct json *old)
{
	struct api *api = h->api;
	const struct json *given = json_path(doc, "spec.healthCheckNodePort");
	int64_t port = json_int_or(given, 0);
	uint32_t n = (uint32_t)(port - NODE_PORT_FIRST);
	if (old && port && has_node_port(old, port))
		return 0;
	if (!port) {
		if (allocator_take_any(&api->node_ports, 0, &api->random, &n) < 0)
			return status_internal(
				h->arena, h->st, "failed to allocate a nodePort: range is full");
		json_path_set(h->arena, doc, "spec.healthCheckNodePort",
			json_new_int(h->arena, NODE_PORT_FIRST + (int64_t)n));
	} else if (port < NODE_PORT_FIRST || port > NODE_PORT_LAST ||
		   allocator_take(&api->node_ports, n) < 0) {
		return status_internal(h->arena, h->st,
			"failed to allocate requested HealthCheck NodePort %lld: provided port is "
			"%s",
			(long long)port,
			port < NODE_PORT_FIRST || port > NODE_PORT_LAST ? "not in the valid range"
									: "already allocated");
	}
	claim_add(h->arena, &h->req->claims, &api->node_ports, n, false);
	return 0;
}

static int allocate(struct hook *h, struct json *doc, const struct json *old)
{
	struct api *api = h->api;
	uint32_t n;
	int r = 0;
	bool had_ip =
		old && !is_external_name(old) && (*ipv4_of(old) || streq(cluster_ip(old), "None"));
	if (!is_external_name(doc) && !had_ip)
		r = take_ip(h, doc);
	if (r == 0)
		r = service_families_allocate(h, doc, old);
	if (r == 0 && wants_node_ports(doc))
		r = take_node_ports(h, doc, old);
	if (r == 0 && service_needs_health_check(doc))
		r = take_health_check_port(h, doc, old);
	if (r < 0 || !old)
		return r;
	/* What the service no longer has is free again. */
	if (had_ip && (is_external_name(doc) || !*ipv4_of(doc)) &&
		in_service_range(api, ipv4_of(old), &n))
		claim_add(h->arena, &h->req->claims, &api->service_ips, n, true);
	JSON_FOR_EACH_ITEM(p, json_path(old, "spec.ports")) {
		int64_t port = json_path_int(p, "nodePort", 0);
		if (port >= NODE_PORT_FIRST && !(wants_node_ports(doc) && has_node_port(doc, port)))
			claim_add(h->arena, &h->req->claims, &api->node_ports,
				(uint32_t)(port - NODE_PORT_FIRST), true);
	}
	int64_t port = json_path_int(old, "spec.healthCheckNodePort", 0);
	if (port >= NODE_PORT_FIRST && !has_node_port(doc, port))
		claim_add(h->arena, &h->req->claims, &api->node_ports,
			(uint32_t)(port - NODE_PORT_FIRST), true);
	return 0;
}

static void occupy_one(struct allocator *a, uint32_t n, bool taken)
{
	if (!taken)
		allocator_give(a, n);
	else if (allocator_take(a, n) < 0)
		return; /* one node port for two protocols */
}

static void occupy(struct api *api, const struct json *doc, bool taken)
{
	uint32_t n;
	if (in_service_range(api, ipv4_of(doc), &n))
		occupy_one(&api->service_ips, n, taken);
	service_families_occupy(api, doc, taken);
	JSON_FOR_EACH_ITEM(p, json_path(doc, "spec.ports")) {
		int64_t port = json_path_int(p, "nodePort", 0);
		if (port >= NODE_PORT_FIRST && port <= NODE_PORT_LAST)
			occupy_one(&api->node_ports, (uint32_t)(port - NODE_PORT_FIRST), taken);
	}
	int64_t port = json_path_int(doc, "spec.healthCheckNodePort", 0);
	if (port >= NODE_PORT_FIRST && port <= NODE_PORT_LAST)
		occupy_one(&api->node_ports, (uint32_t)(port - NODE_PORT_FIRST), taken);
}

static struct json *external_ip_cell(const struct table_row *row)
{
	_cleanup_(buf_finish) struct buf text = BUF_INIT;
	if (is_external_name(row->doc))
		return cell_text(
			row, "%s", json_str_or(json_path(row->doc, "spec.externalName"), ""));
	if (streq(type_of(row->doc), "LoadBalancer"))
		JSON_FOR_EACH_ITEM(i, json_path(row->doc, "status.loadBalancer.ingress")) {
			const char *ip = json_str_or(json_get(i, "ip"), "");
			buf_printf(&text, "%s%s", text.size ? "," : "",
				*ip ? ip : json_str_or(json_get(i, "hostname"), ""));
		}
	if (text.size > LOAD_BALANCER_SHOWN) {
		text.size = LOAD_BALANCER_SHOWN - 3;
		buf_add_str(&text, "...");
	}
	JSON_FOR_EACH_ITEM(i, json_path(row->doc, "spec.externalIPs"))
		buf_printf(&text, "%s%s", text.size ? "," : "", json_str_or(i, ""));
	if (!text.size)
		buf_add_str(
			&text, streq(type_of(row->doc), "LoadBalancer") ? "<pending>" : "<none>");
	return json_new_string_n(row->arena, text.data, text.size);
}

static struct json *ports_cell(const struct table_row *row)
{
	struct arena *a = row->arena;
	_cleanup_(buf_finish) struct buf text = BUF_INIT;
	JSON_FOR_EACH_ITEM(p, json_path(row->doc, "spec.ports")) {
		int64_t node = json_path_int(p, "nodePort", 0);
		buf_printf(&text, "%s%" PRId64 "%s/%s", text.size ? "," : "",
			json_path_int(p, "port", 0), node ? arena_printf(a, ":%" PRId64, node) : "",
			json_str_or(json_get(p, "protocol"), "TCP"));
	}
	return cell_text(row, "%s", text.size ? text.data : "<none>");
}

static struct json *cell(const struct table_row *row, const char *column)
{
	if (streq(column, "Cluster-IP"))
		return cell_text(
			row, "%s", *cluster_ip(row->doc) ? cluster_ip(row->doc) : "<none>");
	if (streq(column, "External-IP"))
		return external_ip_cell(row);
	if (streq(column, "Port(s)"))
		return ports_cell(row);
	if (streq(column, "Selector"))
		return cell_text(row, "%s",
			labels_text(row->arena, json_path(row->doc, "spec.selector"), "<none>"));
	return NULL;
}

const struct kind_hooks hooks_service = {
	.group = "",
	.kind = "Service",
	.set_defaults = set_defaults,
	.prepare_create = prepare_create,
	.prepare_update = prepare_update,
	.validate = validate,
	.validate_update = validate_update,
	.allocate = allocate,
	.occupy = occupy,
	.cell = cell,
	.delete_returns_object = true,
};

/* network.c - NetworkPolicy, IPAddress, ServiceCIDR. */
#include "server/api/hooks/validate.h"

/* Without types a policy is about what comes in, and about what goes out if it says so. */
static void default_types(struct hook *h, struct json *doc)
{
	struct json *spec = json_get(doc, "spec");
	if (json_count(json_get(spec, "policyTypes")) > 0)
		return;
	struct json *types = json_new_array(h->arena);
	json_push(h->arena, types, json_new_string(h->arena, "Ingress"));
	if (json_count(json_get(spec, "egress")) > 0)
		json_push(h->arena, types, json_new_string(h->arena, "Egress"));
	json_set(h->arena, spec, "policyTypes", types);
}

static void check_policy_port(struct hook *h, const struct json *p, const char *path)
{
	static const char *const protocols[] = {"TCP", "UDP", "SCTP", NULL};
	const struct json *port = json_get(p, "port"), *end = json_get(p, "endPort");
	const char *port_field = at(h, "%s.port", path), *end_field = at(h, "%s.endPort", path);
	if (json_get(p, "protocol"))
		check_one_of(h, at(h, "%s.protocol", path), json_get(p, "protocol"), protocols);
	if (!port) {
		if (end)
			invalid(h, end_field, end,
				"may not be specified when `port` is not specified");
		return;
	}
	if (json_is(port, JSON_STRING)) {
		if (end)
			invalid(h, end_field, end,
				"may not be specified when `port` is non-numeric");
		check_rule_at(h, RULE_PORT, port_field, port);
		return;
	}
	check_port_at(h, port_field, port);
	if (!end)
		return;
	if (json_int_or(end, 0) < json_int_or(port, 0))
		invalid(h, end_field, end, "must be greater than or equal to `port`");
	check_port_at(h, end_field, end);
}

static void check_block(struct hook *h, const struct json *block, const char *path)
{
	const struct json *range = json_get(block, "cidr");
	struct ip outer, inner;
	if (!require_text(h, at(h, "%s.cidr", path), range))
		return;
	check_cidr_at(h, at(h, "%s.cidr", path), range);
	if (cidr_read(range->s, &outer) < 0)
		return;
	size_t i = 0;
	JSON_FOR_EACH_ITEM(e, json_get(block, "except")) {
		const char *field = at(h, "%s.except[%zu]", path, i++);
		check_cidr_at(h, field, e);
		if (cidr_read(json_str_or(e, ""), &inner) < 0)
			continue;
		if (!cidr_contains(&outer, &inner) || outer.prefix >= inner.prefix)
			invalid(h, field, e, "must be a strict subset of `cidr`");
	}
}

static void check_peer(struct hook *h, const struct json *peer, const char *path)
{
	static const char *const selectors[] = {"podSelector", "namespaceSelector"};
	const struct json *block = json_get(peer, "ipBlock");
	size_t count = block ? 1 : 0;
	for (size_t i = 0; i < ARRAY_LEN(selectors); i++) {
		const struct json *s = json_get(peer, selectors[i]);
		if (!s)
			continue;
		count++;
		check_label_selector(h, s, at(h, "%s.%s", path, selectors[i]));
	}
	if (block)
		check_block(h, block, at(h, "%s.ipBlock", path));
	if (count == 0)
		required(h, path, "must specify a peer");
	else if (count > 1 && block)
		forbidden(h, path, "may not specify both ipBlock and another peer");
}

static void check_policy_rules(
	struct hook *h, const struct json *spec, const char *direction, const char *peers)
{
	size_t i = 0;
	JSON_FOR_EACH_ITEM(r, json_get(spec, direction)) {
		const char *path = at(h, "spec.%s[%zu]", direction, i++);
		size_t n = 0;
		JSON_FOR_EACH_ITEM(p, json_get(r, "ports"))
			check_policy_port(h, p, at(h, "%s.ports[%zu]", path, n++));
		n = 0;
		JSON_FOR_EACH_ITEM(p, json_get(r, peers))
			check_peer(h, p, at(h, "%s.%s[%zu]", path, peers, n++));
	}
}

static void policy_validate(struct hook *h, const struct json *doc)
{
	static const char *const types[] = {"Ingress", "Egress", NULL};
	const struct json *spec = json_get(doc, "spec"), *wanted = json_get(spec, "policyTypes");
	check_label_selector(h, json_get(spec, "podSelector"), "spec.podSelector");
	check_policy_rules(h, spec, "ingress", "from");
	check_policy_rules(h, spec, "egress", "to");
	if (json_count(wanted) > 2) {
		invalid(h, "spec.policyTypes", wanted, "may not specify more than two policyTypes");
		return;
	}
	size_t i = 0;
	JSON_FOR_EACH_ITEM(t, wanted)
		check_one_of(h, at(h, "spec.policyTypes[%zu]", i++), t, types);
}

static struct json *policy_cell(const struct table_row *row, const char *column)
{
	struct selector s;
	if (!streq(column, "Pod-Selector"))
		return NULL;
	if (selector_from_label_selector(
		    row->arena, json_path(row->doc, "spec.podSelector"), &s, NULL) < 0)
		return cell_text(row, "<error>");
	return cell_text(row, "%s", s.count ? selector_text(row->arena, &s) : "<none>");
}

const struct kind_hooks hooks_network_policy = {
	.group = "networking.k8s.io",
	.kind = "NetworkPolicy",
	.set_defaults = default_types,
	.validate = policy_validate,
	.cell = policy_cell,
};

/* Services get their addresses from the range of the server's options: what these two kinds say is
 * kept and told, and changes nothing yet. The server's own objects need no warning. */
static int warn_no_effect(struct hook *h, const char *what)
{
	if (h->req && h->req->http)
		api_warn(h->req, what);
	return 0;
}

static int address_prepare_create(struct hook *h, struct json *unused)
{
	return warn_no_effect(h, "this server does not yet keep addresses of services clear of "
				 "IPAddress objects: the object is stored without effect");
}

static void address_validate(struct hook *h, const struct json *doc)
{
	const struct json *parent = json_path(doc, "spec.parentRef");
	const struct json *name = json_path(doc, "metadata.name");
	struct ip ip;
	if (*json_str_or(name, "") && ip_read(name->s, &ip) < 0)
		check_ip_at(h, "metadata.name", name);
	if (!parent)
		return; /* the schema has said so */
	if (*json_str_or(json_get(parent, "group"), ""))
		check_rule_at(
			h, RULE_DNS_SUBDOMAIN, "spec.parentRef.group", json_get(parent, "group"));
	check_name_at(
		h, RULE_PATH_SEGMENT, "spec.parentRef.resource", json_get(parent, "resource"));
	check_name_at(h, RULE_PATH_SEGMENT, "spec.parentRef.name", json_get(parent, "name"));
	if (*json_str_or(json_get(parent, "namespace"), ""))
		check_rule_at(h, RULE_PATH_SEGMENT, "spec.parentRef.namespace",
			json_get(parent, "namespace"));
}

static void address_validate_update(struct hook *h, const struct json *doc, const struct json *old)
{
	check_fixed(h, "spec.parentRef", doc, old, "spec.parentRef");
}

static struct json *address_cell(const struct table_row *row, const char *column)
{
	const struct json *p = json_path(row->doc, "spec.parentRef");
	if (!streq(column, "ParentRef"))
		return NULL;
	if (!p)
		return cell_text(row, "<none>");
	const char *group = json_str_or(json_get(p, "group"), "");
	const char *namespace = json_str_or(json_get(p, "namespace"), "");
	return cell_text(row, "%s%s%s/%s%s%s", json_str_or(json_get(p, "resource"), ""),
		*group ? "." : "", group, namespace, *namespace ? "/" : "",
		json_str_or(json_get(p, "name"), ""));
}

const struct kind_hooks hooks_ip_address = {
	.group = "networking.k8s.io",
	.kind = "IPAddress",
	.prepare_create = address_prepare_create,
	.validate = address_validate,
	.validate_update = address_validate_update,
	.cell = address_cell,
};

/* Ready is what the server itself uses. */
static int range_prepare_create(struct hook *h, struct json *doc)
{
	static const char not_used[] = "this server takes addresses of services from "
				       "--service-cidr only: the range is stored without effect";
	if (!h->api)
		return 0;
	bool used = streq(
		json_str(json_at(json_path(doc, "spec.cidrs"), 0)), h->api->options.service_cidr);
	char time[TIME_RFC3339_ROOM];
	time_format_rfc3339(h->now_ns, time);
	struct json *condition = json_new_object(h->arena), *list = json_new_array(h->arena);
	json_set_str(h->arena, condition, "type", "Ready");
	json_set_str(h->arena, condition, "status", used ? "True" : "False");
	json_set_str(h->arena, condition, "lastTransitionTime", time);
	json_set_str(h->arena, condition, "reason", used ? "" : "NotUsed");
	json_set_str(h->arena, condition, "message",
		used ? "Kubernetes Service CIDR is ready" : not_used);
	json_push(h->arena, list, condition);
	json_path_set(h->arena, doc, "status.conditions", list);
	return used ? 0 : warn_no_effect(h, not_used);
}

static void range_validate(struct hook *h, const struct json *doc)
{
	static const char field[] = "spec.cidrs";
	const struct json *list = json_path(doc, field);
	struct ip one, two;
	if (json_count(list) == 0) {
		required(h, field, "at least one CIDR required");
		return;
	}
	if (json_count(list) > 2) {
		invalid(h, field, json_get(doc, "spec"), "may only hold up to 2 values");
		return;
	}
	size_t i = 0;
	JSON_FOR_EACH_ITEM(c, list)
		check_cidr_at(h, at(h, "%s[%zu]", field, i++), c);
	if (json_count(list) == 2 && cidr_read(json_str_or(json_at(list, 0), ""), &one) == 0 &&
		cidr_read(json_str_or(json_at(list, 1), ""), &two) == 0 && one.family == two.family)
		invalid(h, field, list,
			"may specify no more than one IP for each IP family, i.e 192.168.0.0/24 "
			"and 2001:db8::/64");
}

static void range_validate_update(struct hook *h, const struct json *doc, const struct json *old)
{
	const struct json *now = json_path(doc, "spec.cidrs");
	const struct json *was = json_path(old, "spec.cidrs");
	/* The range of the other family may be added. */
	bool grows = json_count(was) == 1 && json_count(now) == 2;
	if (json_count(now) != json_count(was) && !grows) {
		field_immutable(h, "spec.cidrs", now);
		return;
	}
	for (size_t i = 0; i < json_count(was); i++)
		if (!json_equal(json_at(now, i), json_at(was, i)))
			field_immutable(h, at(h, "spec.cidrs[%zu]", i), json_at(now, i));
}

static struct json *range_cell(const struct table_row *row, const char *column)
{
	if (!streq(column, "CIDRs"))
		return NULL;
	const char *text = "";
	JSON_FOR_EACH_ITEM(c, json_path(row->doc, "spec.cidrs"))
		text = arena_printf(
			row->arena, "%s%s%s", text, *text ? "," : "", json_str_or(c, ""));
	return cell_text(row, "%s", text);
}

const struct kind_hooks hooks_service_cidr = {
	.group = "networking.k8s.io",
	.kind = "ServiceCIDR",
	.prepare_create = range_prepare_create,
	.validate = range_validate,
	.validate_update = range_validate_update,
	.cell = range_cell,
};

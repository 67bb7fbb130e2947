/* endpoints.c - Endpoints and EndpointSlice. */
#include <inttypes.h>

#include "server/api/hooks/validate.h"

#define SHOWN_MAX 3 /* addresses in a table's cell; the rest is counted */

static const char *shown(struct arena *a, const char *text, const char *item)
{
	return arena_printf(a, "%s%s%s", text, *text ? "," : "", item);
}

static struct json *finish(const struct table_row *row, const char *text, size_t count)
{
	if (count == 0)
		return cell_text(row, "<none>");
	if (count > SHOWN_MAX)
		return cell_text(row, "%s + %zu more...", text, count - SHOWN_MAX);
	return cell_text(row, "%s", text);
}

static struct json *endpoints_cell(const struct table_row *row, const char *column)
{
	if (!streq(column, "Endpoints"))
		return NULL;
	struct arena *a = row->arena;
	const char *text = "";
	size_t count = 0;
	JSON_FOR_EACH_ITEM(subset, json_get(row->doc, "subsets")) {
		const struct json *ports = json_get(subset, "ports");
		size_t port_count = MAX(json_count(ports), 1);
		for (size_t p = 0; p < port_count; p++) {
			JSON_FOR_EACH_ITEM(address, json_get(subset, "addresses")) {
				if (count++ >= SHOWN_MAX)
					continue;
				const char *ip = json_str_or(json_get(address, "ip"), "");
				int64_t port = json_path_int(json_at(ports, p), "port", 0);
				text = shown(a, text,
					port ? arena_printf(a,
						       strchr(ip, ':') ? "[%s]:%" PRId64
								       : "%s:%" PRId64,
						       ip, port)
					     : ip);
			}
		}
	}
	return finish(row, text, count);
}

const struct kind_hooks hooks_endpoints = {
	.group = "",
	.kind = "Endpoints",
	.cell = endpoints_cell,
};

static struct json *slice_cell(const struct table_row *row, const char *column)
{
	struct arena *a = row->arena;
	const char *text = "";
	size_t count = 0;
	if (streq(column, "Ports")) {
		JSON_FOR_EACH_ITEM(p, json_get(row->doc, "ports")) {
			if (count++ >= SHOWN_MAX)
				continue;
			const char *name = json_str_or(json_get(p, "name"), "");
			const struct json *port = json_get(p, "port");
			text = shown(a, text,
				json_is(port, JSON_INT) ? arena_printf(a, "%" PRId64, port->i)
				: *name			? name
							: "*");
		}
		return count ? finish(row, text, count) : cell_text(row, "<unset>");
	}
	if (!streq(column, "Endpoints"))
		return NULL;
	JSON_FOR_EACH_ITEM(e, json_get(row->doc, "endpoints"))
		JSON_FOR_EACH_ITEM(address, json_get(e, "addresses"))
			if (count++ < SHOWN_MAX)
				text = shown(a, text, json_str_or(address, ""));
	return count ? finish(row, text, count) : cell_text(row, "<unset>");
}

/* Addresses that lead nowhere, or only to the node itself. The path is made when it is needed:
 * slices are long and written often. */
static void check_endpoint_address(
	struct hook *h, const struct json *value, size_t endpoint, size_t index, int family)
{
	const char *text = json_str_or(value, "");
	const unsigned char *b;
	const char *problems[4];
	size_t n = 0;
	struct ip ip;
	if (ip_read(text, &ip) < 0) {
		problems[n++] = family == 4 ? "must be a valid IPv4 address"
					    : "must be a valid IPv6 address";
		problems[n++] = "must be a valid IP address";
	} else {
		b = ip.bytes;
		bool zero = true;
		for (size_t i = 0; i < (ip.family == 4 ? 4u : 16u) - 1; i++)
			zero = zero && b[i] == 0;
		unsigned last = b[ip.family == 4 ? 3 : 15];
		if (ip.family != family)
			problems[n++] = family == 4 ? "must be a valid IPv4 address"
						    : "must be a valid IPv6 address";
		if (zero && last == 0)
			problems[n++] = arena_printf(h->arena, "may not be unspecified (%s)", text);
		if (ip.family == 4 ? b[0] == 127 : zero && last == 1)
			problems[n++] = "may not be in the loopback range (127.0.0.0/8, ::1/128)";
		if (ip.family == 4 ? b[0] == 169 && b[1] == 254
				   : b[0] == 0xfe && (b[1] & 0xc0) == 0x80)
			problems[n++] = "may not be in the link-local range (169.254.0.0/16, "
					"fe80::/10)";
		if (ip.family == 4 ? b[0] == 224 && b[1] == 0 && b[2] == 0
				   : b[0] == 0xff && (b[1] & 0xf) == 2)
			problems[n++] = "may not be in the link-local multicast range "
					"(224.0.0.0/24, ff02::/10)";
	}
	for (size_t i = 0; i < n; i++)
		invalid(h, at(h, "endpoints[%zu].addresses[%zu]", endpoint, index), value, "%s",
			problems[i]);
}

/* A domain name of two segments at least; a dot behind it is let pass. */
static void check_domain_name(struct hook *h, const char *field, const struct json *value)
{
	size_t size = json_is(value, JSON_STRING) ? value->count : 0;
	if (size > 0 && value->s[size - 1] == '.')
		value = json_new_string_n(h->arena, value->s, size - 1);
	check_full_name_at(h, field, value, 2);
}

static void check_hints(struct hook *h, const struct json *hints, const char *path)
{
	static const char *const lists[] = {"forZones", "forNodes"};
	for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
		const struct json *list = json_get(hints, lists[l]);
		const char *field = at(h, "%s.%s", path, lists[l]);
		if (json_count(list) > 8) {
			too_many(h, field, json_count(list), 8);
			continue;
		}
		struct json_seen seen = {.arena = h->arena, .by = {"name"}};
		for (size_t i = 0; i < json_count(list); i++) {
			const struct json *name = json_get(json_at(list, i), "name");
			const char *name_field = at(h, "%s[%zu].name", field, i);
			if (json_seen_put(&seen, json_at(list, i)))
				duplicate(h, name_field, name);
			check_rule_at(h, l == 0 ? RULE_LABEL_VALUE : RULE_DNS_SUBDOMAIN, name_field,
				name);
		}
	}
}

static void check_endpoint(struct hook *h, const struct json *e, size_t index, const char *type)
{
	const struct json *addresses = json_get(e, "addresses"), *node = json_get(e, "nodeName");
	const struct json *topology = json_get(e, "deprecatedTopology");
	const struct json *hostname = json_get(e, "hostname"), *hints = json_get(e, "hints");
	size_t n = 0;
	if (json_count(addresses) == 0)
		required(h, at(h, "endpoints[%zu].addresses", index),
			"must contain at least 1 address");
	else if (json_count(addresses) > 100)
		too_many(h, at(h, "endpoints[%zu].addresses", index), json_count(addresses), 100);
	JSON_FOR_EACH_ITEM(address, addresses) {
		if (streq(type, "FQDN"))
			check_domain_name(
				h, at(h, "endpoints[%zu].addresses[%zu]", index, n), address);
		else
			check_endpoint_address(h, address, index, n, type[3] - '0');
		n++;
	}
	if (node && !rule_holds(RULE_DNS_SUBDOMAIN, json_str_or(node, "")))
		check_rule_at(h, RULE_DNS_SUBDOMAIN, at(h, "endpoints[%zu].nodeName", index), node);
	if (json_count(topology) > 16)
		too_many(h, at(h, "endpoints[%zu].deprecatedTopology", index), json_count(topology),
			16);
	if (hostname)
		check_rule_at(h, RULE_DNS_LABEL, at(h, "endpoints[%zu].hostname", index), hostname);
	if (hints)
		check_hints(h, hints, at(h, "endpoints[%zu].hints", index));
}

static void slice_validate(struct hook *h, const struct json *doc)
{
	static const char *const types[] = {"FQDN", "IPv4", "IPv6", NULL};
	const struct json *endpoints = json_get(doc, "endpoints"), *ports = json_get(doc, "ports");
	const char *type = json_str_or(json_get(doc, "addressType"), "");
	size_t i = 0;
	if (json_count(endpoints) > 1000)
		too_many(h, "endpoints", json_count(endpoints), 1000);
	else if (is_one_of(type, types))
		JSON_FOR_EACH_ITEM(e, endpoints)
			check_endpoint(h, e, i++, type);
	if (json_count(ports) > 20000) {
		too_many(h, "ports", json_count(ports), 20000);
		return;
	}
	struct json_seen names = {.arena = h->arena, .by = {"name"}};
	for (i = 0; i < json_count(ports); i++) {
		const struct json *p = json_at(ports, i);
		if (json_seen_put(&names, p))
			duplicate(h, at(h, "ports[%zu].name", i), json_get(p, "name"));
		if (json_get(p, "appProtocol"))
			check_rule_at(h, RULE_QUALIFIED_NAME, at(h, "ports[%zu].appProtocol", i),
				json_get(p, "appProtocol"));
	}
}

static void slice_validate_update(struct hook *h, const struct json *doc, const struct json *old)
{
	if (!json_equal(json_get(doc, "addressType"), json_get(old, "addressType")))
		field_immutable(h, "addressType", json_get(doc, "addressType"));
}

const struct kind_hooks hooks_endpoint_slice = {
	.group = "discovery.k8s.io",
	.kind = "EndpointSlice",
	.validate = slice_validate,
	.validate_update = slice_validate_update,
	.cell = slice_cell,
};

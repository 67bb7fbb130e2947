/* endpoints.c - Endpoints and EndpointSlice. */
#include <inttypes.h>

#include "server/api/hooks/hooks_internal.h"

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

static void slice_validate(struct hook *h, const struct json *doc)
{
	size_t i = 0;
	bool ipv4 = streq(json_str(json_get(doc, "addressType")), "IPv4");
	JSON_FOR_EACH_ITEM(e, json_get(doc, "endpoints")) {
		size_t n = 0;
		JSON_FOR_EACH_ITEM(address, json_get(e, "addresses")) {
			uint32_t ip;
			if (ipv4 && ip_parse(json_str_or(address, ""), &ip) < 0)
				field_error(h->errors, FIELD_INVALID,
					arena_printf(
						h->arena, "endpoints[%zu].addresses[%zu]", i, n),
					address, "must be a valid IPv4 address");
			n++;
		}
		if (n == 0)
			field_error(h->errors, FIELD_REQUIRED,
				arena_printf(h->arena, "endpoints[%zu].addresses", i), NULL,
				"must contain at least 1 address");
		i++;
	}
	if (i > 1000)
		field_error(h->errors, FIELD_TOO_MANY, "endpoints",
			json_new_int(h->arena, (int64_t)i), "must have at most 1000 items");
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

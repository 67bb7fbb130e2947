#include <arpa/inet.h>

#include "server/api/hooks/workload.h"

/* A node's range is the n-th /24 of the pod range. */
static bool subnet_of(const struct api *api, const struct json *doc, uint32_t *ret)
{
	struct ip_range r;
	const char *cidr = json_path_str(doc, "spec.podCIDR");
	if (!cidr || ip_range_parse(cidr, &r) < 0 || r.prefix != 24)
		return false;
	uint32_t n = (r.base - api->pod_range.base) >> 8;
	*ret = n;
	return r.base >= api->pod_range.base && n < api->pod_subnets.count;
}

/* podCIDR is the first of podCIDRs: whichever a client sets, the other follows. */
static void pair_pod_cidrs(struct hook *h, struct json *spec)
{
	struct json *one = json_get(spec, "podCIDR"), *all = json_get(spec, "podCIDRs");
	if (one && !json_count(all)) {
		all = json_new_array(h->arena);
		json_push(h->arena, all, one);
		json_set(h->arena, spec, "podCIDRs", all);
	} else if (!one && json_count(all)) {
		json_set(h->arena, spec, "podCIDR", json_at(all, 0));
	}
}

static int prepare_create(struct hook *h, struct json *doc)
{
	pair_pod_cidrs(h, json_object_at(h->arena, doc, "spec"));
	return 0;
}

/* The n-th /64 of the second range. */
static struct json *second_range(struct arena *a, const struct api *api, uint32_t n)
{
	char text[INET6_ADDRSTRLEN];
	struct ip range = api->pod_range6;
	for (size_t i = 0; i < 4; i++)
		range.bytes[7 - i] |= (unsigned char)(n >> 8 * i);
	inet_ntop(AF_INET6, range.bytes, text, sizeof(text));
	return json_new_string(a, arena_printf(a, "%s/64", text));
}

static int allocate(struct hook *h, struct json *doc, const struct json *old)
{
	struct api *api = h->api;
	uint32_t n;
	if (old)
		return 0;
	if (json_path_str(doc, "spec.podCIDR")) {
		if (subnet_of(api, doc, &n)) {
			if (allocator_take(&api->pod_subnets, n) < 0) {
				field_error(h->errors, FIELD_INVALID, "spec.podCIDR",
					json_path(doc, "spec.podCIDR"),
					"is another node's already");
				return 0;
			}
			claim_add(h->arena, &h->req->claims, &api->pod_subnets, n, false);
		}
		return 0;
	}
	/* A node may also get addresses for its pods elsewhere: it is one all the same. */
	if (allocator_take_first(&api->pod_subnets, 0, &n) < 0) {
		api_warn(h->req, "no pod range is left for another node: the server's --pod-cidr "
				 "is used up; this node has none");
		return 0;
	}
	claim_add(h->arena, &h->req->claims, &api->pod_subnets, n, false);
	char *cidr = arena_printf(
		h->arena, "%s/24", ip_format(h->arena, api->pod_range.base + (n << 8)));
	struct json *spec = json_object_at(h->arena, doc, "spec"), *list = json_new_array(h->arena);
	json_set_str(h->arena, spec, "podCIDR", cidr);
	json_push(h->arena, list, json_new_string(h->arena, cidr));
	if (api->pod_range6.prefix)
		json_push(h->arena, list, second_range(h->arena, api, n));
	json_set(h->arena, spec, "podCIDRs", list);
	return 0;
}

static int prepare_update(struct hook *h, struct json *doc, const struct json *old)
{
	/* Agents that register anew do not repeat what the server gave them. */
	static const char *const kept[] = {"podCIDR", "podCIDRs", "providerID"};
	struct json *spec = json_object_at(h->arena, doc, "spec");
	for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
		struct json *was = json_get(json_get(old, "spec"), kept[i]);
		if (was && !json_get(spec, kept[i]))
			json_set(h->arena, spec, kept[i], was);
	}
	pair_pod_cidrs(h, spec);
	return 0;
}

static void taints_validate(struct hook *h, const struct json *taints)
{
	struct json_seen seen = {.arena = h->arena, .by = {"key", "effect"}};
	for (size_t i = 0; i < json_count(taints); i++) {
		const struct json *t = json_at(taints, i), *value = json_get(t, "value");
		if (*json_str_or(value, ""))
			check_rule_at(
				h, RULE_LABEL_VALUE, at(h, "metadata.taints[%zu].value", i), value);
		if (json_seen_put(&seen, t))
			field_error(h->errors, FIELD_DUPLICATE, at(h, "metadata.taints[%zu]", i), t,
				"taints must be unique by key and effect pair");
	}
}

static void amounts_validate(struct hook *h, const struct json *doc)
{
	static const char *const lists[] = {"capacity", "allocatable"};
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		JSON_FOR_EACH_MEMBER(m, json_get(json_get(doc, "status"), lists[i]))
			if (!resource_is_positive(m->value) || strchr(m->name, '/') ||
				streq(m->name, "pods"))
				resource_amount_validate(h,
					at(h, "status.%s.%s", lists[i], m->name), m->name,
					m->value);
}

static void validate(struct hook *h, const struct json *doc)
{
	taints_validate(h, json_path(doc, "spec.taints"));
	amounts_validate(h, doc);
	size_t i = 0;
	JSON_FOR_EACH_ITEM(range, json_path(doc, "spec.podCIDRs"))
		check_cidr_at(h, at(h, "spec.podCIDRs[%zu]", i++), range);
}

static void addresses_validate(struct hook *h, const struct json *addresses)
{
	struct json_seen seen = {.arena = h->arena};
	for (size_t i = 0; i < json_count(addresses); i++)
		if (json_seen_put(&seen, json_at(addresses, i)))
			duplicate(h, at(h, "status.addresses[%zu]", i), json_at(addresses, i));
}

static void validate_update(struct hook *h, const struct json *doc, const struct json *old)
{
	if (streq(h->part, "status"))
		amounts_validate(h, doc);
	addresses_validate(h, json_path(doc, "status.addresses"));
	static const char *const fixed[] = {"podCIDR", "podCIDRs", "providerID"};
	for (size_t i = 0; i < ARRAY_LEN(fixed); i++) {
		const struct json *was = json_get(json_get(old, "spec"), fixed[i]);
		if (json_count(was) && !json_equal(was, json_get(json_get(doc, "spec"), fixed[i])))
			field_error(h->errors, FIELD_FORBIDDEN,
				arena_printf(h->arena, "spec.%s", fixed[i]), NULL,
				"node updates may not change %s except from \"\" to valid",
				fixed[i]);
	}
}

static void occupy(struct api *api, const struct json *doc, bool taken)
{
	uint32_t n;
	if (!subnet_of(api, doc, &n))
		return;
	if (!taken)
		allocator_give(&api->pod_subnets, n);
	else if (allocator_take(&api->pod_subnets, n) < 0)
		return; /* two nodes share a range: told by the nodes' own check */
}

static const char *ready_text(const struct json *doc)
{
	JSON_FOR_EACH_ITEM(c, json_path(doc, "status.conditions"))
		if (streq(json_str(json_get(c, "type")), "Ready"))
			return streq(json_str(json_get(c, "status")), "True") ? "Ready"
									      : "NotReady";
	return "Unknown";
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static const char *roles_text(struct arena *a, const struct json *doc)
{
	const struct json *labels = json_path(doc, "metadata.labels");
	const char **roles = arena_alloc(a, (json_count(labels) + 1) * sizeof(*roles));
	size_t count = 0;
	JSON_FOR_EACH_MEMBER(m, labels) {
		if (str_has_prefix(m->name, "node-role.kubernetes.io/") && m->name[24])
			roles[count++] = m->name + 24;
		else if (streq(m->name, "kubernetes.io/role") && *json_str_or(m->value, ""))
			roles[count++] = json_str(m->value);
	}
	if (count == 0)
		return "<none>";
	qsort(roles, count, sizeof(*roles), by_text);
	const char *text = roles[0];
	for (size_t i = 1; i < count; i++)
		text = arena_printf(a, "%s,%s", text, roles[i]);
	return text;
}

static const char *address_text(const struct json *doc, const char *type)
{
	JSON_FOR_EACH_ITEM(i, json_path(doc, "status.addresses"))
		if (streq(json_str(json_get(i, "type")), type))
			return json_str_or(json_get(i, "address"), "<none>");
	return "<none>";
}

static struct json *cell(const struct table_row *row, const char *column)
{
	const struct json *doc = row->doc;
	if (streq(column, "Status"))
		return cell_text(row, "%s%s", ready_text(doc),
			json_path_bool(doc, "spec.unschedulable", false) ? ",SchedulingDisabled"
									 : "");
	if (streq(column, "Roles"))
		return cell_text(row, "%s", roles_text(row->arena, doc));
	if (streq(column, "Internal-IP"))
		return cell_text(row, "%s", address_text(doc, "InternalIP"));
	if (streq(column, "External-IP"))
		return cell_text(row, "%s", address_text(doc, "ExternalIP"));
	static const char *const info[][2] = {{"Version", "status.nodeInfo.kubeletVersion"},
		{"OS-Image", "status.nodeInfo.osImage"},
		{"Kernel-Version", "status.nodeInfo.kernelVersion"},
		{"Container-Runtime", "status.nodeInfo.containerRuntimeVersion"}};
	for (size_t i = 0; i < ARRAY_LEN(info); i++) {
		if (!streq(column, info[i][0]))
			continue;
		const char *text = json_str_or(json_path(doc, info[i][1]), "");
		return cell_text(row, "%s", *text || i == 0 ? text : "<unknown>");
	}
	return NULL;
}

const struct kind_hooks hooks_node = {
	.group = "",
	.kind = "Node",
	.prepare_create = prepare_create,
	.prepare_update = prepare_update,
	.validate = validate,
	.validate_update = validate_update,
	.allocate = allocate,
	.occupy = occupy,
	.cell = cell,
};

#include "server/api/hooks/service_families.h"

#include <arpa/inet.h>

static const char *word_of(int family)
{
	return family == 6 ? "IPv6" : "IPv4";
}

static int family_of(const struct json *ip)
{
	const char *text = json_str_or(ip, "");

	return strchr(text, ':') ? 6 : strchr(text, '.') ? 4 : 0;
}

static bool is_external_name(const struct json *doc)
{
	return streq(json_path_str(doc, "spec.type"), "ExternalName");
}

static bool is_headless(const struct json *doc)
{
	return streq(json_path_str(doc, "spec.clusterIP"), "None");
}

static bool selects(const struct json *doc)
{
	const struct json *selector = json_path(doc, "spec.selector");

	JSON_FOR_EACH_MEMBER(m, selector)
		return m != NULL;
	return false;
}

static bool dual(const struct hook *h)
{
	return h->api && h->api->service_range6.prefix;
}

int service_families_find(const struct json *doc, int family)
{
	int i = 0;

	JSON_FOR_EACH_ITEM(ip, json_path(doc, "spec.clusterIPs")) {
		if (family_of(ip) == family)
			return i;
		i++;
	}
	return -1;
}

bool service_families_wants(const struct json *doc, int family)
{
	JSON_FOR_EACH_ITEM(f, json_path(doc, "spec.ipFamilies"))
		if (streq(json_str(f), word_of(family)))
			return true;
	return false;
}

static void add_family(struct hook *h, struct json *spec, int family)
{
	json_push(h->arena, json_array_at(h->arena, spec, "ipFamilies"),
		json_new_string(h->arena, word_of(family)));
}

static void add_other_family(struct hook *h, struct json *spec)
{
	const struct json *list = json_get(spec, "ipFamilies");

	if (json_count(list) == 1)
		add_family(h, spec, streq(json_str(json_at(list, 0)), "IPv6") ? 4 : 6);
}

/* To SingleStack: the first of two stays. */
static void drop_second(struct json *spec, const struct json *old)
{
	static const char *const lists[] = {"ipFamilies", "clusterIPs"};

	for (size_t i = 0; old && i < ARRAY_LEN(lists); i++) {
		struct json *list = json_get(spec, lists[i]);

		if (json_count(list) == 2 &&
			json_equal(list, json_get(json_get(old, "spec"), lists[i])))
			list->count = 1;
	}
}

/* What an update leaves out stays as it was. */
static void keep_old(struct hook *h, struct json *spec, const struct json *old)
{
	static const char *const kept[] = {"ipFamilyPolicy", "ipFamilies"};
	const struct json *was = json_get(old, "spec");

	if (!old || is_external_name(old))
		return;
	for (size_t i = 0; i < ARRAY_LEN(kept); i++)
		if (!json_get(spec, kept[i]) && json_get(was, kept[i]))
			json_set(h->arena, spec, kept[i],
				json_copy(h->arena, json_get(was, kept[i])));
	/* One who knows only clusterIP sends the first address alone. */
	if (json_count(json_get(spec, "clusterIPs")) == 1 &&
		json_count(json_get(was, "clusterIPs")) == 2 &&
		!streq(json_str(json_get(spec, "ipFamilyPolicy")), "SingleStack") &&
		json_count(json_get(spec, "ipFamilies")) == 2 &&
		json_equal(json_at(json_get(spec, "clusterIPs"), 0),
			json_at(json_get(was, "clusterIPs"), 0)))
		json_set(h->arena, spec, "clusterIPs",
			json_copy(h->arena, json_get(was, "clusterIPs")));
}

void service_families_default(struct hook *h, struct json *doc, const struct json *old)
{
	struct json *spec = json_get(doc, "spec");
	const char *policy;

	keep_old(h, spec, old);
	policy = json_str(json_get(spec, "ipFamilyPolicy"));
	if (streq(policy, "SingleStack"))
		drop_second(spec, old);
	if (!is_headless(doc)) {
		size_t i = 0;

		JSON_FOR_EACH_ITEM(ip, json_get(spec, "clusterIPs"))
			if (i++ >= json_count(json_get(spec, "ipFamilies")) && family_of(ip))
				add_family(h, spec, family_of(ip));
	}
	if (!policy) {
		bool wide = json_count(json_get(spec, "clusterIPs")) > 1 ||
			    json_count(json_get(spec, "ipFamilies")) > 1 ||
			    (is_headless(doc) && !selects(doc) && dual(h));

		policy = wide ? "RequireDualStack" : "SingleStack";
		json_set_str(h->arena, spec, "ipFamilyPolicy", policy);
	}
	if (!json_count(json_get(spec, "ipFamilies")))
		add_family(h, spec, 4);
	if (streq(policy, "PreferDualStack") ? dual(h)
					     : streq(policy, "RequireDualStack") && dual(h))
		add_other_family(h, spec);
}

static void check_addresses(struct hook *h, const struct json *spec)
{
	const struct json *ips = json_get(spec, "clusterIPs"),
			  *families = json_get(spec, "ipFamilies");
	size_t i = 0;

	if (json_count(ips) > 2)
		invalid(h, "spec.clusterIPs", ips, "may only hold up to 2 values");
	if (json_count(ips) > 1 && streq(json_str(json_at(ips, 0)), "None"))
		invalid(h, "spec.clusterIPs", ips, "'None' must be the first and only value");
	else if (json_count(ips) == 2 && family_of(json_at(ips, 0)) == family_of(json_at(ips, 1)))
		invalid(h, "spec.clusterIPs", ips,
			"may specify no more than one IP for each IP family");
	JSON_FOR_EACH_ITEM(ip, ips) {
		const char *want = json_str(json_at(families, i));

		if (family_of(ip) && want && !streq(want, word_of(family_of(ip))))
			invalid(h, at(h, "spec.clusterIPs[%zu]", i), ip,
				"expected an %s value as indicated by `ipFamilies[%zu]`", want, i);
		i++;
	}
}

void service_families_validate(struct hook *h, const struct json *doc)
{
	static const char *const known[] = {"IPv4", "IPv6", NULL};
	const struct json *spec = json_get(doc, "spec"), *families = json_get(spec, "ipFamilies");
	const struct json *policy = json_get(spec, "ipFamilyPolicy");
	struct json_seen seen = {.arena = h->arena};
	bool free_choice = is_headless(doc) && !selects(doc); /* nobody allocates for it */
	size_t i = 0;

	JSON_FOR_EACH_ITEM(family, families) {
		const char *field = at(h, "spec.ipFamilies[%zu]", i++);

		if (!check_one_of(h, field, family, known))
			continue;
		if (json_seen_put(&seen, family))
			duplicate(h, field, family);
		else if (!dual(h) && !free_choice && !streq(json_str(family), "IPv4"))
			invalid(h, field, family, "not configured on this cluster");
	}
	if (!dual(h) && !free_choice && streq(json_str(policy), "RequireDualStack"))
		invalid(h, "spec.ipFamilyPolicy", policy,
			"this cluster is not configured for dual-stack services");
	if (streq(json_str(policy), "SingleStack") && json_count(families) > 1)
		invalid(h, "spec.ipFamilyPolicy", policy,
			"must be RequireDualStack or PreferDualStack when multiple 'ipFamilies' "
			"are specified");
	if (streq(json_str(policy), "SingleStack") && json_count(json_get(spec, "clusterIPs")) > 1)
		invalid(h, "spec.ipFamilyPolicy", policy,
			"must be RequireDualStack or PreferDualStack when multiple 'clusterIPs' "
			"are specified");
	check_addresses(h, spec);
}

/* ---- addresses of the second range ---- */

static bool in_range(const struct api *api, const struct json *ip, uint32_t *ret)
{
	struct ip a;
	uint32_t n = 0;

	if (!api->service_range6.prefix || ip_read(json_str_or(ip, ""), &a) < 0 || a.family != 6 ||
		!cidr_contains(&api->service_range6, &a))
		return false;
	for (size_t i = 12; i < 16; i++)
		n = n << 8 | (uint32_t)(a.bytes[i] ^ api->service_range6.bytes[i]);
	*ret = n;
	return n < api->service_ips6.count;
}

static char *format(struct arena *arena, const struct api *api, uint32_t n)
{
	char text[INET6_ADDRSTRLEN];
	struct ip a = api->service_range6;

	for (size_t i = 0; i < 4; i++)
		a.bytes[15 - i] |= (unsigned char)(n >> 8 * i);
	inet_ntop(AF_INET6, a.bytes, text, sizeof(text));
	return arena_strdup(arena, text);
}

/* Which place the family's address has: that of the family. */
static size_t place_of(const struct json *doc)
{
	return streq(json_str(json_at(json_path(doc, "spec.ipFamilies"), 0)), "IPv6") ? 0 : 1;
}

static void put_address(struct hook *h, struct json *doc, const char *ip)
{
	struct json *spec = json_get(doc, "spec"), *was = json_get(spec, "clusterIPs");
	struct json *list = json_new_array(h->arena);
	bool first = place_of(doc) == 0;

	if (first) {
		json_push(h->arena, list, json_new_string(h->arena, ip));
		json_set_str(h->arena, spec, "clusterIP", ip);
	}
	JSON_FOR_EACH_ITEM(it, was)
		json_push(h->arena, list, it);
	if (!first)
		json_push(h->arena, list, json_new_string(h->arena, ip));
	json_set(h->arena, spec, "clusterIPs", list);
}

static int take(struct hook *h, struct json *doc)
{
	struct api *api = h->api;
	int at_ = service_families_find(doc, 6);
	const struct json *given = at_ < 0 ? NULL : json_at(json_path(doc, "spec.clusterIPs"), at_);
	uint32_t n, count = api->service_ips6.count;

	if (given) {
		const char *problem = NULL;

		if (!in_range(api, given, &n) || n == 0)
			problem = arena_printf(h->arena,
				"provided IP is not in the valid range. The range of valid IPs is "
				"%s",
				api->options.service_cidr6);
		else if (allocator_take(&api->service_ips6, n) < 0)
			problem = "provided IP is already allocated";
		if (problem)
			field_error(h->errors, FIELD_INVALID, "spec.clusterIPs",
				json_path(doc, "spec.clusterIPs"),
				"failed to allocated ip:%s with error:%s", json_str(given),
				problem);
		else
			claim_add(h->arena, &h->req->claims, &api->service_ips6, n, false);
		return 0;
	}
	if (allocator_take_any(&api->service_ips6, MIN(MAX(16u, count / 16), 256u) % count,
		    &api->random, &n) < 0 &&
		allocator_take_first(&api->service_ips6, 1, &n) < 0)
		return status_internal(
			h->arena, h->st, "failed to allocate a serviceIP: range is full");
	claim_add(h->arena, &h->req->claims, &api->service_ips6, n, false);
	put_address(h, doc, format(h->arena, api, n));
	return 0;
}

int service_families_allocate(struct hook *h, struct json *doc, const struct json *old)
{
	bool has, had = old && !is_external_name(old) && service_families_find(old, 6) >= 0;
	int r = 0;
	uint32_t n;

	if (!dual(h))
		return 0;
	has = !is_external_name(doc) && !is_headless(doc) && service_families_wants(doc, 6);
	if (has && !had)
		r = take(h, doc);
	if (had && !has &&
		in_range(h->api,
			json_at(json_path(old, "spec.clusterIPs"), service_families_find(old, 6)),
			&n))
		claim_add(h->arena, &h->req->claims, &h->api->service_ips6, n, true);
	return r;
}

void service_families_occupy(struct api *api, const struct json *doc, bool taken)
{
	uint32_t n;

	JSON_FOR_EACH_ITEM(ip, json_path(doc, "spec.clusterIPs")) {
		if (!in_range(api, ip, &n))
			continue;
		if (!taken)
			allocator_give(&api->service_ips6, n);
		else if (allocator_take(&api->service_ips6, n) < 0)
			continue; /* two claim it: the first has it */
	}
}

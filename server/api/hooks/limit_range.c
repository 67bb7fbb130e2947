/* limit_range.c - LimitRange: bounds and defaults within a namespace. */
#include "server/api/hooks/workload.h"

#include "lib/object/quantity.h"

static void fill(struct arena *a, struct json *to, const struct json *from)
{
	JSON_FOR_EACH_MEMBER(m, from)
		if (!json_get_n(to, m->name, m->name_size))
			json_set_n(a, to, m->name, m->name_size, m->value);
}

/* What containers may have at most is what they get, and so on. */
static void set_defaults(struct hook *h, struct json *doc)
{
	struct arena *a = h->arena;
	JSON_FOR_EACH_ITEM(limit, json_path(doc, "spec.limits")) {
		if (!streq(json_str(json_get(limit, "type")), "Container"))
			continue;
		const struct json *most = json_get(limit, "max"), *least = json_get(limit, "min");
		const struct json *given = json_get(limit, "default");
		if (json_count(most) || json_count(given))
			fill(a, json_object_at(a, limit, "default"), most);
		given = json_get(limit, "default");
		if (json_count(given) || json_count(least) ||
			json_count(json_get(limit, "defaultRequest"))) {
			struct json *requests = json_object_at(a, limit, "defaultRequest");
			fill(a, requests, given);
			fill(a, requests, least);
		}
	}
}

static void type_validate(struct hook *h, const struct json *type, const char *at)
{
	static const char *const types[] = {"Pod", "Container", "PersistentVolumeClaim", NULL};
	const char *text = json_str_or(type, "");
	size_t before = field_error_count(h->errors);
	check_rule_at(h, RULE_QUALIFIED_NAME, at, type);
	if (before == field_error_count(h->errors) && !strchr(text, '/') && !is_one_of(text, types))
		invalid(h, at, type, "must be a standard limit type or fully qualified");
}

static void names_validate(
	struct hook *h, const struct json *limit, const char *list, const char *at)
{
	const char *type = json_str_or(json_get(limit, "type"), "");
	JSON_FOR_EACH_MEMBER(m, json_get(limit, list)) {
		const char *field = at_key(h, at_child(h, at, list), m->name);
		if (streq(type, "Pod") || streq(type, "Container"))
			container_resource_name_validate(h, field, m->name);
		else
			resource_name_validate(h, field, m->name);
	}
}

static double number(const struct json *v)
{
	struct quantity q;
	return quantity_parse(json_str_or(v, ""), &q) < 0 ? 0 : (double)q.nano / 1e9;
}

/* "TEXT A is greater than TEXT B" when it is. */
static void ordered(struct hook *h, const char *at, const struct json *shown, const char *low_text,
	const struct json *low, const char *high_text, const struct json *high)
{
	if (low && high && resource_compare(low, high) > 0)
		invalid(h, at, shown, "%s value %s is greater than %s value %s", low_text,
			json_str_or(low, ""), high_text, json_str_or(high, ""));
}

static void amounts_validate(
	struct hook *h, const struct json *limit, const char *name, const char *at)
{
	const struct json *least = json_get(json_get(limit, "min"), name);
	const struct json *most = json_get(json_get(limit, "max"), name);
	const struct json *set = json_get(json_get(limit, "default"), name);
	const struct json *asked = json_get(json_get(limit, "defaultRequest"), name);
	const struct json *ratio = json_get(json_get(limit, "maxLimitRequestRatio"), name);
	const char *least_at = at_key(h, at_child(h, at, "min"), name);
	const char *set_at = at_key(h, at_child(h, at, "default"), name);
	const char *asked_at = at_key(h, at_child(h, at, "defaultRequest"), name);
	const char *ratio_at = at_key(h, at_child(h, at, "maxLimitRequestRatio"), name);
	ordered(h, least_at, least, "min", least, "max", most);
	ordered(h, asked_at, asked, "min", least, "default request", asked);
	ordered(h, asked_at, asked, "default request", asked, "max", most);
	ordered(h, asked_at, asked, "default request", asked, "default limit", set);
	ordered(h, set_at, least, "min", least, "default", set);
	ordered(h, set_at, most, "default", set, "max", most);
	if (ratio && number(ratio) < 1)
		invalid(h, ratio_at, ratio, "ratio %s is less than 1", json_str_or(ratio, ""));
	if (ratio && least && most && number(least) > 0 &&
		number(ratio) > number(most) / number(least))
		invalid(h, ratio_at, ratio, "ratio %s is greater than max/min = %f",
			json_str_or(ratio, ""), number(most) / number(least));
	if (!resource_may_overcommit(name) && set && asked && resource_compare(set, asked) != 0)
		invalid(h, asked_at, asked,
			"default value %s must equal to defaultRequest value %s in %s",
			json_str_or(set, ""), json_str_or(asked, ""), name);
}

static void limit_validate(struct hook *h, const struct json *limit, const char *at)
{
	static const char *const lists[] = {
		"max", "min", "default", "defaultRequest", "maxLimitRequestRatio"};
	const char *type = json_str_or(json_get(limit, "type"), "");
	bool pod = streq(type, "Pod");
	struct json *names = json_new_object(h->arena);
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		const struct json *list = json_get(limit, lists[i]);
		if (pod && (i == 2 || i == 3)) {
			if (json_count(list))
				forbid(h, at_child(h, at, lists[i]),
					"may not be specified when `type` is 'Pod'");
			continue;
		}
		if (i == 4 && streq(type, "PersistentVolumeClaim") &&
			!json_get(json_get(limit, "min"), "storage") &&
			!json_get(json_get(limit, "max"), "storage"))
			required(h, at_child(h, at, "limits"),
				"either minimum or maximum storage value is required, but neither "
				"was provided");
		names_validate(h, limit, lists[i], at);
		fill(h->arena, names, list);
	}
	JSON_FOR_EACH_MEMBER(m, names)
		amounts_validate(h, limit, m->name, at);
}

static void validate(struct hook *h, const struct json *doc)
{
	const struct json *limits = json_path(doc, "spec.limits");
	struct json_seen types = {.arena = h->arena, .by = {"type"}};
	for (size_t i = 0; i < json_count(limits); i++) {
		const struct json *type = json_get(json_at(limits, i), "type");
		const char *at = arena_printf(h->arena, "spec.limits[%zu]", i);
		type_validate(h, type, at_child(h, at, "type"));
		if (json_seen_put(&types, json_at(limits, i)))
			duplicate(h, at_child(h, at, "type"), type);
		limit_validate(h, json_at(limits, i), at);
	}
}

const struct kind_hooks hooks_limit_range = {
	.group = "",
	.kind = "LimitRange",
	.set_defaults = set_defaults,
	.validate = validate,
};

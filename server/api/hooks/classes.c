/* classes.c - PriorityClass and RuntimeClass: what pods name. */
#include <inttypes.h>

#include "lib/object/quantity.h"
#include "server/api/hooks/validate.h"

#define USER_PRIORITY_MAX 1000000000

static const struct {
	const char *name;
	int64_t value;
} system_classes[] = {
	{"system-node-critical", 2000001000},
	{"system-cluster-critical", 2000000000},
};

static int check_only_default(struct hook *h, const struct json *doc)
{
	const char *name = json_str_or(json_path(doc, "metadata.name"), "");
	if (!h->req || !json_path_bool(doc, "globalDefault", false))
		return 0;
	const struct kind *k =
		kind_by_name(h->api->kinds, "scheduling.k8s.io", "v1", "PriorityClass");
	struct cache_page page;
	cache_list(h->api->cache, &(struct cache_query){.kind = k}, h->arena, &page);
	for (size_t i = 0; i < page.count; i++) {
		if (streq(page.items[i]->name, name) ||
			!json_path_bool(
				object_doc(page.items[i], h->arena), "globalDefault", false))
			continue;
		return status_forbidden(h->arena, h->st, k, name,
			at(h,
				"PriorityClass %s is already marked as default. Only one default "
				"can exist",
				page.items[i]->name));
	}
	return 0;
}

static int priority_prepare_create(struct hook *h, struct json *doc)
{
	json_path_set(h->arena, doc, "metadata.generation", json_new_int(h->arena, 1));
	return check_only_default(h, doc);
}

static int priority_prepare_update(struct hook *h, struct json *doc, const struct json *unused)
{
	return check_only_default(h, doc);
}

static void priority_validate(struct hook *h, const struct json *doc)
{
	const char *name = json_str_or(json_path(doc, "metadata.name"), "");
	int64_t value = json_path_int(doc, "value", 0);
	static const char prefix[] = "system-";
	if (!str_has_prefix(name, prefix)) {
		if (value > USER_PRIORITY_MAX)
			forbidden(h, "value",
				at(h, "maximum allowed value of a user defined priority is %d",
					USER_PRIORITY_MAX));
		return;
	}
	const char *why = at(h, "%s is not a known system priority class", name);
	for (size_t i = 0; i < ARRAY_LEN(system_classes); i++) {
		if (!streq(system_classes[i].name, name))
			continue;
		why = value != system_classes[i].value
			      ? at(h, "value of %s PriorityClass must be %" PRId64, name,
					system_classes[i].value)
		      : json_path_bool(doc, "globalDefault", false)
			      ? at(h, "globalDefault of %s PriorityClass must be false", name)
			      : NULL;
	}
	if (why)
		forbidden(h, "metadata.name",
			at(h,
				"priority class names with '%s' prefix are reserved for system use "
				"only. error: %s",
				prefix, why));
}

static void priority_validate_update(struct hook *h, const struct json *doc, const struct json *old)
{
	if (json_path_int(doc, "value", 0) != json_path_int(old, "value", 0))
		forbidden(h, "value", "may not be changed in an update.");
	check_fixed(h, "preemptionPolicy", doc, old, "preemptionPolicy");
}

static struct json *priority_cell(const struct table_row *row, const char *column)
{
	if (streq(column, "Value"))
		return cell_int(row, "value");
	if (streq(column, "Global-Default"))
		return json_new_bool(row->arena, json_path_bool(row->doc, "globalDefault", false));
	if (streq(column, "PreemptionPolicy"))
		return cell_text(
			row, "%s", json_str_or(json_path(row->doc, "preemptionPolicy"), "<unset>"));
	return NULL;
}

const struct kind_hooks hooks_priority_class = {
	.group = "scheduling.k8s.io",
	.kind = "PriorityClass",
	.prepare_create = priority_prepare_create,
	.prepare_update = priority_prepare_update,
	.validate = priority_validate,
	.validate_update = priority_validate_update,
	.cell = priority_cell,
};

static void check_toleration(struct hook *h, const struct json *t, const char *path)
{
	static const char *const effects[] = {"NoSchedule", "PreferNoSchedule", "NoExecute", NULL};
	const struct json *key = json_get(t, "key"), *value = json_get(t, "value");
	const struct json *seconds = json_get(t, "tolerationSeconds");
	const char *op = json_str_or(json_get(t, "operator"), "");
	const char *effect = json_str_or(json_get(t, "effect"), "");
	if (*json_str_or(key, ""))
		check_rule_at(h, RULE_QUALIFIED_NAME, at(h, "%s.key", path), key);
	else if (!streq(op, "Exists"))
		invalid(h, at(h, "%s.operator", path), json_get(t, "operator"),
			"operator must be Exists when `key` is empty, which means \"match all "
			"values and all keys\"");
	if (seconds && !streq(effect, "NoExecute"))
		invalid(h, at(h, "%s.effect", path), json_get(t, "effect"),
			"effect must be 'NoExecute' when `tolerationSeconds` is set");
	if (streq(op, "Exists") && *json_str_or(value, ""))
		invalid(h, at(h, "%s.operator", path), t,
			"value must be empty when `operator` is 'Exists'");
	else if ((!*op || streq(op, "Equal")) && value)
		check_rule_at(h, RULE_LABEL_VALUE, at(h, "%s.operator", path), value);
	if (*effect)
		check_one_of(h, at(h, "%s.effect", path), json_get(t, "effect"), effects);
}

static void runtime_validate(struct hook *h, const struct json *doc)
{
	check_rule_at(h, RULE_DNS_LABEL, "handler", json_get(doc, "handler"));
	JSON_FOR_EACH_MEMBER(m, json_path(doc, "overhead.podFixed")) {
		const char *field = at(h, "overhead.limits[%s]", m->name);
		const char *amount = json_str_or(m->value, "");
		if (!rule_holds(RULE_QUALIFIED_NAME, m->name))
			check_rule_at(h, RULE_QUALIFIED_NAME, field,
				json_new_string_n(h->arena, m->name, m->name_size));
		if (*amount == '-')
			invalid(h, field, m->value, "must be greater than or equal to 0");
	}
	size_t i = 0;
	JSON_FOR_EACH_ITEM(t, json_path(doc, "scheduling.tolerations"))
		check_toleration(h, t, at(h, "scheduling.tolerations[%zu]", i++));
}

static void runtime_validate_update(struct hook *h, const struct json *doc, const struct json *old)
{
	check_fixed(h, "handler", doc, old, "handler");
}

const struct kind_hooks hooks_runtime_class = {
	.group = "node.k8s.io",
	.kind = "RuntimeClass",
	.validate = runtime_validate,
	.validate_update = runtime_validate_update,
};

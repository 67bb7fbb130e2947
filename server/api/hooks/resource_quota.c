/* resource_quota.c - ResourceQuota: what may be counted, and of which objects. */
#include "server/api/hooks/workload.h"

static const char *const quota_resources[] = {"cpu", "memory", "ephemeral-storage", "requests.cpu",
	"requests.memory", "requests.storage", "requests.ephemeral-storage", "limits.cpu",
	"limits.memory", "limits.ephemeral-storage", "pods", "resourcequotas", "services",
	"replicationcontrollers", "secrets", "persistentvolumeclaims", "configmaps",
	"services.nodeports", "services.loadbalancers", NULL};

static bool is_quota_resource(const char *name)
{
	return is_one_of(name, quota_resources) || resource_is_hugepages(name) ||
	       str_has_prefix(name, "requests.hugepages-");
}

static void amounts_validate(struct hook *h, const struct json *list, const char *at)
{
	JSON_FOR_EACH_MEMBER(m, list) {
		const char *field = at_key(h, at, m->name);
		if (!is_one_of(m->name, quota_resources) &&
			!str_has_prefix(m->name, "requests.hugepages-"))
			resource_name_validate(h, field, m->name);
		if (!strchr(m->name, '/') && !is_quota_resource(m->name))
			invalid_text(h, field, m->name, "must be a standard resource for quota");
		resource_amount_validate(h, field, m->name, m->value);
	}
}

static const char *const scopes[] = {"Terminating", "NotTerminating", "BestEffort", "NotBestEffort",
	"PriorityClass", "CrossNamespacePodAffinity", NULL};

/* Scopes pick pods, so they fit only what pods use. */
static bool scope_fits(const char *scope, const char *resource)
{
	static const char *const of_pods[] = {"pods", "cpu", "memory", "limits.cpu",
		"limits.memory", "requests.cpu", "requests.memory", NULL};
	if (!is_one_of(scope, scopes))
		return true;
	return streq(scope, "BestEffort") ? streq(resource, "pods") : is_one_of(resource, of_pods);
}

static void scope_fits_all(struct hook *h, const struct json *spec, const char *scope,
	const struct json *shown, const char *at)
{
	JSON_FOR_EACH_MEMBER(m, json_get(spec, "hard"))
		if (is_quota_resource(m->name) && !scope_fits(scope, m->name))
			invalid(h, at, shown, "unsupported scope applied to resource");
}

static void conflicts_validate(
	struct hook *h, const struct json *names, const struct json *shown, const char *at)
{
	static const char *const pairs[][2] = {
		{"BestEffort", "NotBestEffort"}, {"Terminating", "NotTerminating"}};
	for (size_t i = 0; i < ARRAY_LEN(pairs); i++) {
		bool one = false, other = false;
		JSON_FOR_EACH_ITEM(n, names) {
			one |= streq(json_str(n), pairs[i][0]);
			other |= streq(json_str(n), pairs[i][1]);
		}
		if (one && other)
			invalid(h, at, shown, "conflicting scopes");
	}
}

static void scopes_validate(struct hook *h, const struct json *spec)
{
	const struct json *list = json_get(spec, "scopes");
	JSON_FOR_EACH_ITEM(s, list) {
		if (!is_one_of(json_str_or(s, ""), scopes))
			invalid(h, "spec.scopes", list, "unsupported scope");
		scope_fits_all(h, spec, json_str_or(s, ""), list, "spec.scopes");
	}
	conflicts_validate(h, list, list, "spec.scopes");
}

static void requirement_validate(struct hook *h, const struct json *spec, const struct json *e)
{
	static const char at[] = "spec.scopeSelector.matchExpressions";
	const char *scope = json_str_or(json_get(e, "scopeName"), "");
	const struct json *operator= json_get(e, "operator"), *values = json_get(e, "values");
	const char *op = json_str_or(operator, "");
	if (!is_one_of(scope, scopes))
		invalid(h, at_child(h, at, "scopeName"), json_get(e, "scopeName"),
			"unsupported scope");
	scope_fits_all(h, spec, scope, json_get(spec, "scopeSelector"), at);
	if (is_one_of(scope, scopes) && !streq(scope, "PriorityClass") && !streq(op, "Exists"))
		invalid(h, at_child(h, at, "operator"), operator,
			"must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, "
			"ResourceQuotaScopeNotTerminating, ResourceQuotaScopeBestEffort, "
			"ResourceQuotaScopeNotBestEffort or "
			"ResourceQuotaScopeCrossNamespacePodAffinity");
	if (streq(op, "In") || streq(op, "NotIn")) {
		if (!json_count(values))
			required(h, at_child(h, at, "values"),
				"must be at least one value when `operator` is 'In' or 'NotIn' for "
				"scope selector");
	} else if (streq(op, "Exists") || streq(op, "DoesNotExist")) {
		if (json_count(values))
			invalid(h, at_child(h, at, "values"), values,
				"must be no value when `operator` is 'Exist' or 'DoesNotExist' for "
				"scope selector");
	} else {
		invalid(h, at_child(h, at, "operator"), operator, "not a valid selector operator");
	}
}

static void validate(struct hook *h, const struct json *doc)
{
	const struct json *spec = json_get(doc, "spec");
	struct json *names = json_new_array(h->arena);
	amounts_validate(h, json_get(spec, "hard"), "spec.hard");
	scopes_validate(h, spec);
	JSON_FOR_EACH_ITEM(e, json_path(spec, "scopeSelector.matchExpressions")) {
		requirement_validate(h, spec, e);
		if (json_get(e, "scopeName"))
			json_push(h->arena, names, json_get(e, "scopeName"));
	}
	conflicts_validate(h, names, names, "spec.scopeSelector.matchExpressions");
}

static bool contains(const struct json *list, const struct json *text)
{
	JSON_FOR_EACH_ITEM(i, list)
		if (json_equal(i, text))
			return true;
	return false;
}

static bool same_set(const struct json *a, const struct json *b)
{
	JSON_FOR_EACH_ITEM(i, a)
		if (!contains(b, i))
			return false;
	JSON_FOR_EACH_ITEM(i, b)
		if (!contains(a, i))
			return false;
	return true;
}

static void validate_update(struct hook *h, const struct json *doc, const struct json *old)
{
	if (streq(h->part, "status")) {
		amounts_validate(h, json_path(doc, "status.hard"), "status.hard");
		amounts_validate(h, json_path(doc, "status.used"), "status.used");
		return;
	}
	const struct json *now = json_path(doc, "spec.scopes");
	if (!same_set(now, json_path(old, "spec.scopes")))
		invalid(h, "spec.scopes", now ? now : json_new_array(h->arena),
			"field is immutable");
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct json_member *)a)->name, ((const struct json_member *)b)->name);
}

/* "name: used/hard, ..." of the limits or of all others. */
static struct json *usage_cell(const struct table_row *row, bool limits)
{
	const struct json *hard = json_path(row->doc, "status.hard");
	const struct json *used = json_path(row->doc, "status.used");
	size_t count = json_count(hard);
	if (!count)
		return json_new_string(row->arena, "");
	struct json_member *sorted = arena_alloc(row->arena, count * sizeof(*sorted));
	memcpy(sorted, json_members(hard), count * sizeof(*sorted));
	qsort(sorted, count, sizeof(*sorted), by_name);
	const char *text = "";
	for (size_t i = 0; i < count; i++)
		if (str_has_prefix(sorted[i].name, "limits") == limits)
			text = arena_printf(row->arena, "%s%s%s: %s/%s", text, *text ? ", " : "",
				sorted[i].name, json_str_or(json_get(used, sorted[i].name), "0"),
				json_str_or(sorted[i].value, ""));
	return cell_text(row, "%s", text);
}

static struct json *cell(const struct table_row *row, const char *column)
{
	if (streq(column, "Request") || streq(column, "Limit"))
		return usage_cell(row, streq(column, "Limit"));
	return NULL;
}

const struct kind_hooks hooks_resource_quota = {
	.group = "",
	.kind = "ResourceQuota",
	.validate = validate,
	.validate_update = validate_update,
	.cell = cell,
	.delete_returns_object = true,
};

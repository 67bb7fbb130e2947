#include "server/api/hooks/admission_rules.h"

#define CONDITIONS_MAX 64

const char *const match_policies[] = {"Equivalent", "Exact", NULL};
const char *const failure_policies[] = {"Fail", "Ignore", NULL};

/* A list with "*" has nothing else. */
static void check_alone(
	struct hook *h, const struct json *list, const char *field, const char *what)
{
	if (json_count(list) > 1 && has_text(list, "*"))
		invalid(h, field, list, "if '*' is present, must not specify other %s", what);
}

static bool had_before(const struct json *list, size_t end, const char *s)
{
	for (size_t i = 0; i < end; i++)
		if (streq(json_str(json_at(list, i)), s))
			return true;
	return false;
}

/* "pods", "pods/log", "pods/x*", and with wildcards on either side: what a wildcard says is not
 * said again. */
static void check_resources(struct hook *h, const struct json *list, const char *field)
{
	bool star = false, plain = false;
	if (json_count(list) == 0)
		required(h, field, NULL);
	for (size_t i = 0; i < json_count(list); i++) {
		const struct json *item = json_at(list, i);
		const char *s = json_str_or(item, ""), *slash = strchr(s, '/');
		const char *path = at(h, "%s[%zu]", field, i);
		if (!require_text(h, path, item))
			continue;
		star |= streq(s, "*");
		if (!slash) {
			plain = !streq(s, "*");
			continue;
		}
		const char *resource = arena_memdup(h->arena, s, (size_t)(slash - s));
		if (had_before(list, i, at(h, "%s/*", resource)))
			invalid(h, path, item, "if '%s/*' is present, must not specify %s",
				resource, s);
		if (had_before(list, i, at(h, "*/%s", slash + 1)))
			invalid(h, path, item, "if '*/%s' is present, must not specify %s",
				slash + 1, s);
	}
	if (json_count(list) > 1 && has_text(list, "*/*"))
		invalid(h, field, list, "if '*/*' is present, must not specify other resources");
	if (star && plain)
		invalid(h, field, list,
			"if '*' is present, must not specify other resources without "
			"subresources");
}

static void check_resource_names(struct hook *h, const struct json *names, const char *path)
{
	struct json_seen seen = {.arena = h->arena};
	for (size_t i = 0; i < json_count(names); i++) {
		const struct json *name = json_at(names, i);
		const char *field = at(h, "%s.resourceNames[%zu]", path, i);
		check_rule_at(h, RULE_PATH_SEGMENT, field, name);
		if (json_seen_put(&seen, name))
			duplicate(h, field, name);
	}
}

void check_admission_rule(struct hook *h, const struct json *rule, const char *path)
{
	static const char *const known[] = {"*", "CONNECT", "CREATE", "DELETE", "UPDATE", NULL};
	static const char *const scopes[] = {"*", "Cluster", "Namespaced", NULL};
	const struct json *operations = json_get(rule, "operations");
	const struct json *groups = json_get(rule, "apiGroups");
	const struct json *versions = json_get(rule, "apiVersions");
	const char *field = at(h, "%s.operations", path);
	check_resource_names(h, json_get(rule, "resourceNames"), path);
	if (json_count(operations) == 0)
		required(h, field, NULL);
	check_alone(h, operations, field, "operations");
	for (size_t i = 0; i < json_count(operations); i++)
		check_one_of(h, at(h, "%s[%zu]", field, i), json_at(operations, i), known);
	field = at(h, "%s.apiGroups", path);
	if (json_count(groups) == 0)
		required(h, field, NULL);
	check_alone(h, groups, field, "API groups");
	field = at(h, "%s.apiVersions", path);
	if (json_count(versions) == 0)
		required(h, field, NULL);
	check_alone(h, versions, field, "API versions");
	for (size_t i = 0; i < json_count(versions); i++)
		require_text(h, at(h, "%s[%zu]", field, i), json_at(versions, i));
	check_resources(h, json_get(rule, "resources"), at(h, "%s.resources", path));
	check_one_of(h, at(h, "%s.scope", path), json_get(rule, "scope"), scopes);
}

bool is_blank(const char *s)
{
	return !s[strspn(s, " \t\n\v\f\r")];
}

void check_match_conditions(struct hook *h, const struct json *list, const char *path)
{
	if (json_count(list) > CONDITIONS_MAX)
		field_error(h->errors, FIELD_TOO_MANY, path,
			json_new_int(h->arena, (int64_t)json_count(list)),
			"must have at most %d items", CONDITIONS_MAX);
	struct json_seen names = {.arena = h->arena, .by = {"name"}};
	for (size_t i = 0; i < json_count(list); i++) {
		const struct json *c = json_at(list, i), *name = json_get(c, "name");
		const char *field = at(h, "%s[%zu]", path, i);
		if (is_blank(json_str_or(json_get(c, "expression"), "")))
			required(h, at(h, "%s.expression", field), NULL);
		check_name_at(h, RULE_QUALIFIED_NAME, at(h, "%s.name", field), name);
		if (*json_str_or(name, "") && json_seen_put(&names, c))
			duplicate(h, at(h, "%s.name", field), name);
	}
}

void check_group_version(struct hook *h, const char *field, const struct json *value)
{
	if (!require_text(h, field, value))
		return;
	const char *slash = strchr(value->s, '/'), *problem;
	const char *version = slash ? slash + 1 : value->s;
	if (slash && strchr(version, '/')) {
		invalid(h, field, value, "unexpected GroupVersion string: %s", value->s);
		return;
	}
	if (slash && slash > value->s) {
		const char *group = arena_memdup(h->arena, value->s, (size_t)(slash - value->s));
		problem = rule_text(h->arena, RULE_DNS_SUBDOMAIN, group);
		if (problem)
			invalid(h, field, json_new_string(h->arena, group), "%s", problem);
	}
	problem = rule_text(h->arena, RULE_DNS_1035_LABEL, version);
	if (!*version)
		invalid(h, field, value, "version must be specified");
	else if (problem)
		invalid(h, field, json_new_string(h->arena, version), "%s", problem);
}

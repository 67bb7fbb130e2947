/* flow_control.c - FlowSchema and PriorityLevelConfiguration. */
#include <math.h>

#include "server/api/hooks/validate.h"

#define PRECEDENCE_MAX 10000
#define QUEUES_MAX 10000000
#define HASH_BITS_MAX 60

static int warn_no_effect(struct hook *h, struct json *unused)
{
	if (h->req)
		api_warn(h->req, "this server does not queue requests by flow schemas and "
				 "priority levels yet: the object is stored without effect");
	return 0;
}

/* ---- FlowSchema ---- */

static const char *const verbs[] = {"create", "delete", "deletecollection", "get", "list", "patch",
	"proxy", "update", "watch", NULL};

/* At least one; "*" stands alone. True when the items must be looked at. */
static bool check_list(struct hook *h, const struct json *list, const char *field,
	const char *missing, const char *what)
{
	if (json_count(list) == 0) {
		required(h, field, missing);
		return false;
	}
	if (!has_text(list, "*"))
		return true;
	if (json_count(list) > 1)
		invalid(h, field, list, "if '*' is present, must not specify other %s", what);
	return false;
}

static void check_verbs(struct hook *h, const struct json *rule, const char *path)
{
	const struct json *list = json_get(rule, "verbs");
	const char *field = at(h, "%s.verbs", path);
	bool known = true;
	if (!check_list(h, list, field, "verbs must contain at least one value", "verbs"))
		return;
	JSON_FOR_EACH_ITEM(v, list)
		known = known && is_one_of(json_str_or(v, ""), verbs);
	if (!known)
		check_one_of(h, field, list, verbs);
}

static void check_resource_rule(struct hook *h, const struct json *rule, const char *path)
{
	const struct json *namespaces = json_get(rule, "namespaces");
	const char *field = at(h, "%s.namespaces", path);
	check_verbs(h, rule, path);
	check_list(h, json_get(rule, "apiGroups"), at(h, "%s.apiGroups", path),
		"resource rules must supply at least one api group", "api groups");
	check_list(h, json_get(rule, "resources"), at(h, "%s.resources", path),
		"resource rules must supply at least one resource", "resources");
	if (json_count(namespaces) == 0 && json_path_bool(rule, "clusterScope", false))
		return;
	if (!check_list(h, namespaces, field,
		    "resource rules that are not cluster scoped must supply at least one "
		    "namespace",
		    "namespaces"))
		return;
	for (size_t i = 0; i < json_count(namespaces); i++) {
		const struct json *n = json_at(namespaces, i);
		const char *problem = rule_text(h->arena, RULE_DNS_LABEL, json_str_or(n, ""));
		if (problem)
			invalid(h, at(h, "%s[%zu]", field, i), n,
				"each member of this list must be '*' or a DNS-1123 label; %s",
				problem);
	}
}

static const char *path_problem(const char *s)
{
	const char *star = strchr(s, '*');
	if (!*s)
		return "must not be empty";
	if (streq(s, "/"))
		return NULL;
	if (*s != '/')
		return "must start with slash";
	if (strchr(s, ' '))
		return "must not contain white-space";
	if (strstr(s, "//"))
		return "must not contain double slash";
	if (star && (star[1] || star[-1] != '/'))
		return "wildcard can only do suffix matching";
	return NULL;
}

static void check_path_rule(struct hook *h, const struct json *rule, const char *path)
{
	const struct json *urls = json_get(rule, "nonResourceURLs");
	const char *field = at(h, "%s.nonResourceURLs", path);
	check_verbs(h, rule, path);
	if (!check_list(h, urls, field, "nonResourceURLs must contain at least one value",
		    "non-resource URLs"))
		return;
	for (size_t i = 0; i < json_count(urls); i++) {
		const char *problem = path_problem(json_str_or(json_at(urls, i), ""));
		if (problem)
			invalid(h, at(h, "%s[%zu]", field, i), json_at(urls, i), "%s", problem);
	}
}

static void check_service_account(struct hook *h, const struct json *s, const char *path)
{
	const struct json *name = json_get(s, "name"), *namespace = json_get(s, "namespace");
	if (require_text(h, at(h, "%s.name", path), name) && !streq(name->s, "*"))
		check_rule_at(h, RULE_DNS_SUBDOMAIN, at(h, "%s.name", path), name);
	if (*json_str_or(namespace, ""))
		check_rule_at(h, RULE_DNS_LABEL, at(h, "%s.namespace", path), namespace);
	else
		required(h, at(h, "%s.namespace", path),
			"must specify namespace for service account");
}

static void check_subject(struct hook *h, const struct json *s, const char *path)
{
	static const struct {
		const char *kind, *member;
	} types[] = {{"ServiceAccount", "serviceAccount"}, {"User", "user"}, {"Group", "group"}};
	static const char *const kinds[] = {"Group", "ServiceAccount", "User", NULL};
	const char *kind = json_str_or(json_get(s, "kind"), "");
	if (!is_one_of(kind, kinds)) {
		check_one_of(h, at(h, "%s.kind", path), json_get(s, "kind"), kinds);
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		const struct json *body = json_get(s, types[i].member);
		const char *field = at(h, "%s.%s", path, types[i].member);
		bool wanted = streq(kind, types[i].kind);
		if (wanted && !body)
			required(h, field,
				at(h, "%s is required when subject kind is '%s'", types[i].member,
					kind));
		else if (wanted && streq(kind, "ServiceAccount"))
			check_service_account(h, body, field);
		else if (wanted)
			require_text(h, at(h, "%s.name", field), json_get(body, "name"));
		else if (body)
			forbidden(h, field,
				at(h, "%s is forbidden when subject kind is not '%s'",
					types[i].member, types[i].kind));
	}
}

static void check_flow_rule(struct hook *h, const struct json *rule, const char *path)
{
	const struct json *resources = json_get(rule, "resourceRules");
	const struct json *others = json_get(rule, "nonResourceRules");
	const struct json *subjects = json_get(rule, "subjects");
	if (json_count(subjects) == 0)
		required(h, at(h, "%s.subjects", path), "subjects must contain at least one value");
	for (size_t i = 0; i < json_count(subjects); i++)
		check_subject(h, json_at(subjects, i), at(h, "%s.subjects[%zu]", path, i));
	if (json_count(resources) + json_count(others) == 0)
		required(h, path,
			"at least one of resourceRules and nonResourceRules has to be non-empty");
	for (size_t i = 0; i < json_count(resources); i++)
		check_resource_rule(
			h, json_at(resources, i), at(h, "%s.resourceRules[%zu]", path, i));
	for (size_t i = 0; i < json_count(others); i++)
		check_path_rule(h, json_at(others, i), at(h, "%s.nonResourceRules[%zu]", path, i));
}

static void check_conditions(struct hook *h, const struct json *doc)
{
	const struct json *list = json_path(doc, "status.conditions");
	struct json_seen types = {.arena = h->arena, .by = {"type"}};
	for (size_t i = 0; i < json_count(list); i++) {
		const struct json *type = json_get(json_at(list, i), "type");
		const char *field = at(h, "status.conditions[%zu].type", i);
		if (json_seen_put(&types, json_at(list, i)))
			duplicate(h, field, type);
		if (!*json_str_or(type, ""))
			required(h, field, "must not be empty");
	}
}

static void schema_validate(struct hook *h, const struct json *doc)
{
	static const char *const methods[] = {"ByNamespace", "ByUser", NULL};
	const struct json *spec = json_get(doc, "spec");
	const struct json *precedence = json_get(spec, "matchingPrecedence");
	const struct json *level = json_path(spec, "priorityLevelConfiguration.name");
	const struct json *method = json_get(spec, "distinguisherMethod");
	const char *name = json_str_or(json_path(doc, "metadata.name"), "");
	int64_t n = json_int_or(precedence, 0);
	size_t i = 0;
	if (n <= 0)
		invalid(h, "spec.matchingPrecedence", precedence, "must be a positive value");
	if (n > PRECEDENCE_MAX)
		invalid(h, "spec.matchingPrecedence", precedence, "must not be greater than %d",
			PRECEDENCE_MAX);
	if (n == 1 && !streq(name, "exempt"))
		invalid(h, "spec.matchingPrecedence", precedence,
			"only the schema named 'exempt' may have matchingPrecedence 1");
	if (method)
		check_one_of(h, "spec.distinguisherMethod.type", json_get(method, "type"), methods);
	if (*json_str_or(level, ""))
		check_rule_at(h, RULE_DNS_SUBDOMAIN, "spec.priorityLevelConfiguration.name", level);
	else
		required(h, "spec.priorityLevelConfiguration.name",
			"must reference a priority level");
	JSON_FOR_EACH_ITEM(r, json_get(spec, "rules"))
		check_flow_rule(h, r, at(h, "spec.rules[%zu]", i++));
	check_conditions(h, doc);
}

static void status_validate_update(
	struct hook *h, const struct json *doc, const struct json *unused)
{
	if (streq(h->part, "status"))
		check_conditions(h, doc);
}

static struct json *schema_cell(const struct table_row *row, const char *column)
{
	if (streq(column, "MatchingPrecedence"))
		return cell_int(row, "spec.matchingPrecedence");
	if (streq(column, "DistinguisherMethod"))
		return cell_text(row, "%s",
			json_str_or(
				json_path(row->doc, "spec.distinguisherMethod.type"), "<none>"));
	if (!streq(column, "MissingPL"))
		return NULL;
	JSON_FOR_EACH_ITEM(c, json_path(row->doc, "status.conditions"))
		if (streq(json_str(json_get(c, "type")), "Dangling"))
			return cell_text(row, "%s", json_str_or(json_get(c, "status"), ""));
	return cell_text(row, "?");
}

const struct kind_hooks hooks_flow_schema = {
	.group = "flowcontrol.apiserver.k8s.io",
	.kind = "FlowSchema",
	.prepare_create = warn_no_effect,
	.validate = schema_validate,
	.validate_update = status_validate_update,
	.cell = schema_cell,
};

/* ---- PriorityLevelConfiguration ---- */

static void check_percent(struct hook *h, const struct json *value, const char *field)
{
	if (value && (json_int_or(value, 0) < 0 || json_int_or(value, 0) > 100))
		invalid(h, field, value, "must be between 0 and 100, inclusive");
}

static void check_shares(struct hook *h, const struct json *level, const char *path)
{
	const struct json *shares = json_get(level, "nominalConcurrencyShares");
	if (json_int_or(shares, 0) < 0)
		invalid(h, at(h, "%s.nominalConcurrencyShares", path), shares,
			"must be a non-negative integer");
	check_percent(h, json_get(level, "lendablePercent"), at(h, "%s.lendablePercent", path));
}

static void check_queuing(struct hook *h, const struct json *q, const char *path)
{
	const struct json *queues = json_get(q, "queues"), *hand = json_get(q, "handSize");
	const struct json *length = json_get(q, "queueLengthLimit");
	const char *hand_field = at(h, "%s.handSize", path);
	int64_t deck = json_int_or(queues, 0), size = json_int_or(hand, 0);
	if (json_int_or(length, 0) <= 0)
		invalid(h, at(h, "%s.queueLengthLimit", path), length, "must be positive");
	if (deck <= 0)
		invalid(h, at(h, "%s.queues", path), queues, "must be positive");
	else if (deck > QUEUES_MAX)
		invalid(h, at(h, "%s.queues", path), queues, "must not be greater than %d",
			QUEUES_MAX);
	if (size <= 0)
		invalid(h, hand_field, hand, "must be positive");
	else if (size > deck)
		invalid(h, hand_field, hand, "should not be greater than queues (%lld)",
			(long long)deck);
	/* Bits of a hash that choose the hand. */
	else if (ceil(log2((double)deck) * (double)size) > HASH_BITS_MAX)
		invalid(h, hand_field, hand,
			"required entropy bits of deckSize %lld and handSize %lld should not be "
			"greater than %d",
			(long long)deck, (long long)size, HASH_BITS_MAX);
}

static void check_limited(struct hook *h, const struct json *limited)
{
	static const char *const types[] = {"Queue", "Reject", NULL};
	static const char path[] = "spec.limited.limitResponse";
	const struct json *response = json_get(limited, "limitResponse");
	const struct json *queuing = json_get(response, "queuing");
	const struct json *borrowing = json_get(limited, "borrowingLimitPercent");
	const char *type = json_str_or(json_get(response, "type"), "");
	const char *field = at(h, "%s.queuing", path);
	check_shares(h, limited, "spec.limited");
	if (!is_one_of(type, types))
		check_one_of(h, at(h, "%s.type", path), json_get(response, "type"), types);
	else if (streq(type, "Reject") && queuing)
		forbidden(h, field, "must be nil if limited.limitResponse.type is not Limited");
	else if (streq(type, "Queue") && !queuing)
		required(h, field, "must not be empty if limited.limitResponse.type is Limited");
	else if (queuing)
		check_queuing(h, queuing, field);
	if (json_int_or(borrowing, 0) < 0)
		invalid(h, "spec.limited.borrowingLimitPercent", borrowing,
			"if specified, must be a non-negative integer");
}

static void level_validate(struct hook *h, const struct json *doc)
{
	static const char *const types[] = {"Exempt", "Limited", NULL};
	const struct json *spec = json_get(doc, "spec");
	const struct json *limited = json_get(spec, "limited"), *exempt = json_get(spec, "exempt");
	const char *name = json_str_or(json_path(doc, "metadata.name"), "");
	const char *type = json_str_or(json_get(spec, "type"), "");
	if (streq(name, "exempt") != streq(type, "Exempt"))
		invalid(h, "spec.type", json_get(spec, "type"),
			"type must be 'Exempt' if and only if name is 'exempt'");
	if (!is_one_of(type, types))
		check_one_of(h, "spec.type", json_get(spec, "type"), types);
	if (streq(type, "Exempt") && limited)
		forbidden(h, "spec.limited", "must be nil if the type is not Limited");
	if (streq(type, "Exempt") && exempt)
		check_shares(h, exempt, "spec.exempt");
	if (streq(type, "Limited") && exempt)
		forbidden(h, "spec.exempt", "must be nil if the type is Limited");
	if (streq(type, "Limited") && !limited)
		required(h, "spec.limited", "must not be empty when type is Limited");
	if (streq(type, "Limited") && limited)
		check_limited(h, limited);
	check_conditions(h, doc);
}

static struct json *number_cell(const struct table_row *row, const char *path)
{
	const struct json *v = json_path(row->doc, path);
	return v ? json_copy(row->arena, v) : cell_text(row, "<none>");
}

static struct json *level_cell(const struct table_row *row, const char *column)
{
	static const char *const cells[][2] = {
		{"NominalConcurrencyShares", "spec.limited.nominalConcurrencyShares"},
		{"Queues", "spec.limited.limitResponse.queuing.queues"},
		{"HandSize", "spec.limited.limitResponse.queuing.handSize"},
		{"QueueLengthLimit", "spec.limited.limitResponse.queuing.queueLengthLimit"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cells); i++)
		if (streq(column, cells[i][0]))
			return number_cell(row, cells[i][1]);
	return NULL;
}

const struct kind_hooks hooks_priority_level_configuration = {
	.group = "flowcontrol.apiserver.k8s.io",
	.kind = "PriorityLevelConfiguration",
	.prepare_create = warn_no_effect,
	.validate = level_validate,
	.validate_update = status_validate_update,
	.cell = level_cell,
};

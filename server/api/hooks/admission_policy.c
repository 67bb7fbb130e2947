/* admission_policy.c - ValidatingAdmissionPolicy and ValidatingAdmissionPolicyBinding. Their
 * expressions are kept as they are: this server does not evaluate CEL. */
#include "server/api/hooks/admission_rules.h"

#define ANNOTATIONS_MAX 20
#define VALUE_EXPRESSION_MAX 5120

static int warn_no_effect(struct hook *h, struct json *unused)
{
	if (h->req)
		api_warn(h->req, "this server does not evaluate admission policies yet: the "
				 "object is stored without effect");
	return 0;
}

/* Defaults of a MatchResources are in the schema: there only when it is. */
static void check_match(struct hook *h, const struct json *m, const char *path)
{
	size_t i = 0;
	if (!m)
		return;
	check_one_of(h, at(h, "%s.matchPolicy", path), json_get(m, "matchPolicy"), match_policies);
	check_label_selector(
		h, json_get(m, "namespaceSelector"), at(h, "%s.namespaceSelector", path));
	check_label_selector(h, json_get(m, "objectSelector"), at(h, "%s.objectSelector", path));
	JSON_FOR_EACH_ITEM(r, json_get(m, "resourceRules"))
		check_admission_rule(h, r, at(h, "%s.resourceRules[%zu]", path, i++));
	i = 0;
	JSON_FOR_EACH_ITEM(r, json_get(m, "excludeResourceRules"))
		check_admission_rule(h, r, at(h, "%s.excludeResourceRules[%zu]", path, i++));
}

static void check_param_kind(struct hook *h, const struct json *p)
{
	const struct json *kind = json_get(p, "kind");
	check_group_version(h, "spec.paramKind.apiVersion", json_get(p, "apiVersion"));
	if (!require_text(h, "spec.paramKind.kind", kind))
		return;
	const char *problem =
		rule_text(h->arena, RULE_DNS_1035_LABEL, lower_text(h->arena, kind->s));
	if (problem)
		invalid(h, "spec.paramKind.kind", kind,
			"may have mixed case, but should otherwise match: %s", problem);
}

static bool is_identifier(const char *s)
{
	static const char *const reserved[] = {"true", "false", "null", "in", "as", "break",
		"const", "continue", "else", "for", "function", "if", "import", "let", "loop",
		"package", "namespace", "return", "var", "void", "while", NULL};
	if (*s >= '0' && *s <= '9')
		return false;
	for (const char *p = s; *p; p++)
		if (!(*p == '_' || (*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'z') ||
			    (*p >= 'A' && *p <= 'Z')))
			return false;
	return !is_one_of(s, reserved);
}

static void check_variables(struct hook *h, const struct json *list)
{
	size_t i = 0;
	JSON_FOR_EACH_ITEM(v, list) {
		const char *path = at(h, "spec.variables[%zu]", i++);
		const char *name = json_str_or(json_get(v, "name"), "");
		if (is_blank(name))
			required(h, at(h, "%s.name", path), "name is not specified");
		else if (!is_identifier(name))
			invalid(h, at(h, "%s.name", path), json_get(v, "name"),
				"name is not a valid CEL identifier");
		if (is_blank(json_str_or(json_get(v, "expression"), "")))
			required(h, at(h, "%s.expression", path), "expression is not specified");
	}
}

/* With line breaks at its ends they don't count. */
static bool breaks_lines(const char *s)
{
	s += strspn(s, " \t\n\v\f\r");
	size_t line = strcspn(s, "\n\r");
	return !is_blank(s + line);
}

static void check_validations(struct hook *h, const struct json *list)
{
	static const char *const reasons[] = {
		"Forbidden", "Invalid", "RequestEntityTooLarge", NULL};
	size_t i = 0;
	JSON_FOR_EACH_ITEM(v, list) {
		const char *path = at(h, "spec.validations[%zu]", i++);
		const struct json *message = json_get(v, "message");
		const struct json *made = json_get(v, "messageExpression");
		const char *text = json_str_or(message, ""), *field = at(h, "%s.message", path);
		if (is_blank(json_str_or(json_get(v, "expression"), "")))
			required(h, at(h, "%s.expression", path), "expression is not specified");
		if (*json_str_or(made, "") && is_blank(made->s))
			invalid(h, at(h, "%s.messageExpression", path), made,
				"must be non-empty if specified");
		if (*text && is_blank(text))
			invalid(h, field, message, "message must be non-empty if specified");
		else if (breaks_lines(text))
			invalid(h, field, message, "message must not contain line breaks");
		if (json_get(v, "reason"))
			check_one_of(h, at(h, "%s.reason", path), json_get(v, "reason"), reasons);
	}
}

static void check_annotations(struct hook *h, const struct json *doc, const struct json *list)
{
	static const char field[] = "spec.auditAnnotations";
	const char *name = json_str_or(json_path(doc, "metadata.name"), "");
	if (json_count(list) > ANNOTATIONS_MAX)
		invalid(h, field, list, "must not have more than %d auditAnnotations",
			ANNOTATIONS_MAX);
	struct json_seen keys = {.arena = h->arena, .by = {"key"}};
	for (size_t i = 0; i < json_count(list); i++) {
		const struct json *a = json_at(list, i), *key = json_get(a, "key");
		const char *value = json_str_or(json_get(a, "valueExpression"), "");
		const char *path = at(h, "%s[%zu]", field, i);
		if (*name)
			check_rule_at(h, RULE_QUALIFIED_NAME, at(h, "%s.key", path),
				json_new_printf(h->arena, "%s/%s", name, json_str_or(key, "")));
		else
			invalid(h, at(h, "%s.key", path), key,
				"requires metadata.name be non-empty");
		if (is_blank(value))
			required(h, at(h, "%s.valueExpression", path),
				"valueExpression is not specified");
		else if (strlen(value) > VALUE_EXPRESSION_MAX)
			required(h, at(h, "%s.valueExpression", path),
				at(h, "must not exceed %d bytes in length", VALUE_EXPRESSION_MAX));
		if (json_seen_put(&keys, json_at(list, i)))
			duplicate(h, at(h, "%s.key", path), key);
	}
}

static void policy_validate(struct hook *h, const struct json *doc)
{
	static const char either[] =
		"validations or auditAnnotations must contain at least one item";
	const struct json *spec = json_get(doc, "spec");
	const struct json *match = json_get(spec, "matchConstraints");
	const struct json *validations = json_get(spec, "validations");
	const struct json *annotations = json_get(spec, "auditAnnotations");
	check_one_of(h, "spec.failurePolicy", json_get(spec, "failurePolicy"), failure_policies);
	if (json_get(spec, "paramKind"))
		check_param_kind(h, json_get(spec, "paramKind"));
	if (!match)
		required(h, "spec.matchConstraints", NULL);
	check_match(h, match, "spec.matchConstraints");
	if (match && json_count(json_get(match, "resourceRules")) == 0)
		required(h, "spec.matchConstraints.resourceRules", NULL);
	check_match_conditions(h, json_get(spec, "matchConditions"), "spec.matchConditions");
	check_variables(h, json_get(spec, "variables"));
	if (json_count(validations) + json_count(annotations) == 0) {
		required(h, "spec.validations", either);
		required(h, "spec.auditAnnotations", either);
		return;
	}
	check_validations(h, validations);
	check_annotations(h, doc, annotations);
}

static void policy_validate_update(
	struct hook *h, const struct json *doc, const struct json *unused)
{
	size_t i = 0;
	if (!streq(h->part, "status"))
		return;
	JSON_FOR_EACH_ITEM(w, json_path(doc, "status.typeChecking.expressionWarnings")) {
		const char *path = at(h, "status.typeChecking.expressionWarnings[%zu]", i++);
		require_text(h, at(h, "%s.warning", path), json_get(w, "warning"));
		if (is_blank(json_str_or(json_get(w, "fieldRef"), "")))
			required(h, at(h, "%s.fieldRef", path), NULL);
	}
}

static struct json *policy_cell(const struct table_row *row, const char *column)
{
	const struct json *p = json_path(row->doc, "spec.paramKind");
	if (streq(column, "Validations"))
		return json_new_int(
			row->arena, (int64_t)json_count(json_path(row->doc, "spec.validations")));
	if (!streq(column, "ParamKind"))
		return NULL;
	if (!p)
		return cell_text(row, "<unset>");
	return cell_text(row, "%s/%s", json_str_or(json_get(p, "apiVersion"), ""),
		json_str_or(json_get(p, "kind"), ""));
}

const struct kind_hooks hooks_validating_admission_policy = {
	.group = "admissionregistration.k8s.io",
	.kind = "ValidatingAdmissionPolicy",
	.prepare_create = warn_no_effect,
	.validate = policy_validate,
	.validate_update = policy_validate_update,
	.cell = policy_cell,
};

static void check_param_ref(struct hook *h, const struct json *p)
{
	static const char *const actions[] = {"Deny", "Allow", NULL};
	static const char both[] = "name and selector are mutually exclusive";
	const struct json *name = json_get(p, "name"), *selector = json_get(p, "selector");
	const struct json *action = json_get(p, "parameterNotFoundAction");
	bool named = *json_str_or(name, "");
	if (named)
		check_rule_at(h, RULE_PATH_SEGMENT, "spec.paramRef.name", name);
	if (named && selector)
		forbidden(h, "spec.paramRef.name", both);
	if (selector)
		check_label_selector(h, selector, "spec.paramRef.selector");
	if (named && selector)
		forbidden(h, "spec.paramRef.selector", both);
	if (!named && !selector)
		required(h, "spec.paramRef", "one of name or selector must be specified");
	if (require_text(h, "spec.paramRef.parameterNotFoundAction", action))
		check_one_of(h, "spec.paramRef.parameterNotFoundAction", action, actions);
}

static void check_actions(struct hook *h, const struct json *list)
{
	static const char *const known[] = {"Audit", "Deny", "Warn", NULL};
	static const char field[] = "spec.validationActions";
	struct json_seen seen = {.arena = h->arena};
	for (size_t i = 0; i < json_count(list); i++) {
		const char *path = at(h, "%s[%zu]", field, i);
		check_one_of(h, path, json_at(list, i), known);
		if (json_seen_put(&seen, json_at(list, i)))
			duplicate(h, path, json_at(list, i));
	}
	if (has_text(list, "Deny") && has_text(list, "Warn"))
		invalid(h, field, list,
			"must not contain both Deny and Warn (repeating the same validation "
			"failure information in the API response and headers serves no purpose)");
	if (json_count(list) == 0)
		required(h, field, "at least one validation action is required");
}

static void binding_validate(struct hook *h, const struct json *doc)
{
	const struct json *spec = json_get(doc, "spec");
	check_name_at(h, RULE_DNS_SUBDOMAIN, "spec.policyName", json_get(spec, "policyName"));
	if (json_get(spec, "paramRef"))
		check_param_ref(h, json_get(spec, "paramRef"));
	check_match(h, json_get(spec, "matchResources"), "spec.matchResources");
	check_actions(h, json_get(spec, "validationActions"));
}

static struct json *binding_cell(const struct table_row *row, const char *column)
{
	const struct json *p = json_path(row->doc, "spec.paramRef");
	const char *name = json_str_or(json_get(p, "name"), "");
	const char *namespace = json_str_or(json_get(p, "namespace"), "");
	struct selector s;
	if (!streq(column, "ParamRef"))
		return NULL;
	if (*name)
		return cell_text(row, "%s/%s", *namespace ? namespace : "*", name);
	if (json_get(p, "selector") &&
		selector_from_label_selector(row->arena, json_get(p, "selector"), &s, NULL) == 0)
		return cell_text(row, "%s", selector_text(row->arena, &s));
	return cell_text(row, "<unset>");
}

const struct kind_hooks hooks_validating_admission_policy_binding = {
	.group = "admissionregistration.k8s.io",
	.kind = "ValidatingAdmissionPolicyBinding",
	.prepare_create = warn_no_effect,
	.validate = binding_validate,
	.cell = binding_cell,
};

/* pod_affinity.c - where pods may run: affinity, tolerations, spreading. */
#include "server/api/hooks/pod_spec.h"

void node_selector_requirements_validate(
	struct hook *h, const struct json *list, const char *at, bool with_values)
{
	size_t i = 0;
	JSON_FOR_EACH_ITEM(e, list) {
		const char *field = at_item(h, at, i++);
		const char *operator= json_str_or(json_get(e, "operator"), "");
		const struct json *values = json_get(e, "values");
		const char *values_at = at_child(h, field, "values");
		if (streq(operator, "In") || streq(operator, "NotIn")) {
			if (!json_count(values))
				required(h, values_at,
					"must be specified when `operator` is 'In' or 'NotIn'");
		} else if (streq(operator, "Exists") || streq(operator, "DoesNotExist")) {
			if (json_count(values))
				forbid(h, values_at,
					"may not be specified when `operator` is 'Exists' or "
					"'DoesNotExist'");
		} else if (json_count(values) != 1 &&
			   (streq(operator, "Gt") || streq(operator, "Lt"))) {
			required(h, values_at,
				"must be specified single value when `operator` is 'Lt' or 'Gt'");
		}
		for (size_t n = 0; with_values && n < json_count(values); n++)
			check_rule_at(
				h, RULE_LABEL_VALUE, at_item(h, values_at, n), json_at(values, n));
	}
}

static void fields_validate(struct hook *h, const struct json *list, const char *at)
{
	size_t i = 0;
	JSON_FOR_EACH_ITEM(e, list) {
		const char *field = at_item(h, at, i++);
		const char *operator= json_str_or(json_get(e, "operator"), "");
		const struct json *values = json_get(e, "values"), *key = json_get(e, "key");
		if (!streq(operator, "In") && !streq(operator, "NotIn"))
			invalid(h, at_child(h, field, "operator"), json_get(e, "operator"),
				"not a valid selector operator");
		else if (json_count(values) != 1)
			required(h, at_child(h, field, "values"),
				"must be only one value when `operator` is 'In' or 'NotIn' for "
				"node field selector");
		if (!streq(json_str(key), "metadata.name"))
			invalid(h, at_child(h, field, "key"), key,
				"not a valid field selector key");
		else
			for (size_t n = 0; n < json_count(values); n++)
				check_rule_at(h, RULE_DNS_SUBDOMAIN,
					arena_printf(h->arena, "%s.values[%zu]", field, n),
					json_at(values, n));
	}
}

static void term_validate(struct hook *h, const struct json *term, const char *at, bool with_values)
{
	node_selector_requirements_validate(h, json_get(term, "matchExpressions"),
		at_child(h, at, "matchExpressions"), with_values);
	fields_validate(h, json_get(term, "matchFields"), at_child(h, at, "matchFields"));
}

void node_selector_validate(struct hook *h, const struct json *selector, const char *at)
{
	size_t i = 0;
	JSON_FOR_EACH_ITEM(term, json_get(selector, "nodeSelectorTerms"))
		term_validate(h, term, arena_printf(h->arena, "%s.nodeSelectorTerms[%zu]", at, i++),
			true);
}

static void weight_validate(struct hook *h, const struct json *term, const char *at)
{
	const struct json *weight = json_get(term, "weight");
	int64_t n = json_int_or(weight, 0);
	if (n < 1 || n > 100)
		invalid(h, at_child(h, at, "weight"), weight ? weight : json_new_int(h->arena, 0),
			"must be in the range 1-100");
}

static void node_affinity_validate(struct hook *h, const struct json *affinity, const char *at)
{
	const struct json *terms =
		json_get(affinity, "requiredDuringSchedulingIgnoredDuringExecution");
	size_t i = 0;
	if (present(terms))
		node_selector_validate(h, terms,
			at_child(h, at, "requiredDuringSchedulingIgnoredDuringExecution"));
	JSON_FOR_EACH_ITEM(
		term, json_get(affinity, "preferredDuringSchedulingIgnoredDuringExecution")) {
		const char *field = arena_printf(h->arena,
			"%s.preferredDuringSchedulingIgnoredDuringExecution[%zu]", at, i++);
		weight_validate(h, term, field);
		term_validate(
			h, json_get(term, "preference"), at_child(h, field, "preference"), false);
	}
}

static bool selector_names(const struct json *selector, const char *key)
{
	if (json_get(json_get(selector, "matchLabels"), key))
		return true;
	JSON_FOR_EACH_ITEM(e, json_get(selector, "matchExpressions"))
		if (streq(json_str(json_get(e, "key")), key))
			return true;
	return false;
}

static void label_keys_validate(struct hook *h, const struct json *keys,
	const struct json *selector, const char *at, const char *name, bool overlap_refused)
{
	if (!json_count(keys))
		return;
	if (!present(selector)) {
		forbid(h, at, "must not be specified when labelSelector is not set");
		return;
	}
	size_t i = 0;
	JSON_FOR_EACH_ITEM(key, keys) {
		const char *field = at_item(h, at, i++);
		check_rule_at(h, RULE_QUALIFIED_NAME, field, key);
		if (overlap_refused && selector_names(selector, json_str_or(key, "")))
			invalid(h, field, key, "exists in both %s and labelSelector", name);
	}
}

static void pod_term_validate(struct hook *h, const struct json *term, const char *at)
{
	const struct json *selector = json_get(term, "labelSelector");
	const struct json *match = json_get(term, "matchLabelKeys");
	const struct json *mismatch = json_get(term, "mismatchLabelKeys");
	check_label_selector(h, selector, at_child(h, at, "labelSelector"));
	check_label_selector(
		h, json_get(term, "namespaceSelector"), at_child(h, at, "namespaceSelector"));
	JSON_FOR_EACH_ITEM(ns, json_get(term, "namespaces"))
		check_rule_at(h, RULE_DNS_LABEL, at_child(h, at, "namespace"), ns);
	label_keys_validate(
		h, match, selector, at_child(h, at, "matchLabelKeys"), "matchLabelKeys", false);
	label_keys_validate(h, mismatch, selector, at_child(h, at, "mismatchLabelKeys"),
		"mismatchLabelKeys", false);
	size_t i = 0;
	JSON_FOR_EACH_ITEM(key, match) {
		JSON_FOR_EACH_ITEM(other, mismatch)
			if (json_equal(key, other))
				invalid(h, arena_printf(h->arena, "%s.matchLabelKeys[%zu]", at, i),
					key, "exists in both matchLabelKeys and mismatchLabelKeys");
		i++;
	}
}

static void pod_terms_validate(struct hook *h, const struct json *affinity, const char *at)
{
	size_t i = 0;
	JSON_FOR_EACH_ITEM(
		term, json_get(affinity, "requiredDuringSchedulingIgnoredDuringExecution"))
		pod_term_validate(h, term,
			arena_printf(h->arena,
				"%s.requiredDuringSchedulingIgnoredDuringExecution[%zu]", at, i++));
	i = 0;
	JSON_FOR_EACH_ITEM(
		term, json_get(affinity, "preferredDuringSchedulingIgnoredDuringExecution")) {
		const char *field = arena_printf(h->arena,
			"%s.preferredDuringSchedulingIgnoredDuringExecution[%zu]", at, i++);
		weight_validate(h, term, field);
		pod_term_validate(h, json_get(term, "podAffinityTerm"),
			at_child(h, field, "podAffinityTerm"));
	}
}

void pod_affinity_validate(struct hook *h, const struct json *affinity, const char *at)
{
	static const char *const of_pods[] = {"podAffinity", "podAntiAffinity"};
	if (!present(affinity))
		return;
	if (present(json_get(affinity, "nodeAffinity")))
		node_affinity_validate(
			h, json_get(affinity, "nodeAffinity"), at_child(h, at, "nodeAffinity"));
	for (size_t i = 0; i < ARRAY_LEN(of_pods); i++)
		if (present(json_get(affinity, of_pods[i])))
			pod_terms_validate(
				h, json_get(affinity, of_pods[i]), at_child(h, at, of_pods[i]));
}

static void toleration_validate(struct hook *h, const struct json *t, const char *at)
{
	const struct json *key = json_get(t, "key"), *value = json_get(t, "value");
	const char *operator= json_str_or(json_get(t, "operator"), "");
	if (*json_str_or(key, ""))
		check_rule_at(h, RULE_QUALIFIED_NAME, at_child(h, at, "key"), key);
	else if (!streq(operator, "Exists"))
		invalid(h, at_child(h, at, "operator"), json_get(t, "operator"),
			"operator must be Exists when `key` is empty, which means \"match all "
			"values and all keys\"");
	if (present(json_get(t, "tolerationSeconds")) &&
		!streq(json_str(json_get(t, "effect")), "NoExecute"))
		invalid(h, at_child(h, at, "effect"), json_get(t, "effect"),
			"effect must be 'NoExecute' when `tolerationSeconds` is set");
	if (!*json_str_or(value, ""))
		return;
	if (streq(operator, "Exists"))
		invalid(h, at_child(h, at, "operator"), value,
			"value must be empty when `operator` is 'Exists'");
	else
		check_rule_at(h, RULE_LABEL_VALUE, at_child(h, at, "operator"), value);
}

/* The two that every pod gets. */
static bool everyday(const struct json *t)
{
	return json_count(t) == 4 &&
	       str_has_prefix(json_str_or(json_get(t, "key"), ""), "node.kubernetes.io/") &&
	       streq(json_str(json_get(t, "operator")), "Exists") &&
	       streq(json_str(json_get(t, "effect")), "NoExecute") &&
	       rule_holds(RULE_QUALIFIED_NAME, json_str(json_get(t, "key"))) &&
	       json_get(t, "tolerationSeconds");
}

void tolerations_validate(struct hook *h, const struct json *tolerations, const char *at)
{
	size_t i = 0;
	JSON_FOR_EACH_ITEM(t, tolerations) {
		if (!everyday(t))
			toleration_validate(h, t, at_item(h, at, i));
		i++;
	}
}

static void constraint_validate(struct hook *h, const struct json *c, const char *at)
{
	const struct json *key = json_get(c, "topologyKey"), *least = json_get(c, "minDomains");
	const struct json *skew = json_get(c, "maxSkew");
	const char *action = json_str_or(json_get(c, "whenUnsatisfiable"), "");
	if (skew && json_int_or(skew, 1) <= 0)
		invalid(h, at_child(h, at, "maxSkew"), skew, "must be greater than zero");
	if (*json_str_or(key, ""))
		check_rule_at(h, RULE_QUALIFIED_NAME, at_child(h, at, "topologyKey"), key);
	if (present(least)) {
		if (json_int_or(least, 0) <= 0)
			invalid(h, at_child(h, at, "minDomains"), least,
				"must be greater than zero");
		if (!streq(action, "DoNotSchedule"))
			invalid(h, at_child(h, at, "minDomains"), least,
				"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not "
				"%s",
				action);
	}
	label_keys_validate(h, json_get(c, "matchLabelKeys"), json_get(c, "labelSelector"),
		at_child(h, at, "matchLabelKeys"), "matchLabelKeys", true);
	check_label_selector(h, json_get(c, "labelSelector"), at_child(h, at, "labelSelector"));
}

void topology_spread_validate(struct hook *h, const struct json *constraints, const char *at)
{
	/* Told at those that come again later. */
	struct json_seen later = {.arena = h->arena, .by = {"topologyKey", "whenUnsatisfiable"}};
	bool *again = arena_zalloc(h->arena, json_count(constraints) + 1);
	for (size_t i = json_count(constraints); i-- > 0;)
		again[i] = json_seen_put(&later, json_at(constraints, i)) != NULL;
	for (size_t i = 0; i < json_count(constraints); i++) {
		const struct json *c = json_at(constraints, i);
		const char *field = at_item(h, at, i);
		constraint_validate(h, c, field);
		if (again[i])
			duplicate(h, at_child(h, field, "{topologyKey, whenUnsatisfiable}"),
				json_new_printf(h->arena, "{%s, %s}",
					json_str_or(json_get(c, "topologyKey"), ""),
					json_str_or(json_get(c, "whenUnsatisfiable"), "")));
	}
}

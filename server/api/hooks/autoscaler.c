/* autoscaler.c - HorizontalPodAutoscaler: bounds, metrics, and how fast the number may change. */
#include "server/api/hooks/workload.h"

#include "lib/object/quantity.h"

#define PERIOD_MAX_S 1800
#define WINDOW_MAX_S 3600
#define METRICS_SHOWN 2

/* ---- what is filled in ---- */

static void add_policy(
	struct arena *a, struct json *list, const char *type, int64_t value, int64_t period_s)
{
	struct json *p = json_new_object(a);
	json_set_str(a, p, "type", type);
	json_set_int(a, p, "value", value);
	json_set_int(a, p, "periodSeconds", period_s);
	json_push(a, list, p);
}

static void default_rules(struct arena *a, struct json *behavior, const char *name, bool up)
{
	struct json *rules = json_object_at(a, behavior, name);
	json_remove(rules, "tolerance"); /* not in this version */
	if (up && !present(json_get(rules, "stabilizationWindowSeconds")))
		json_set_int(a, rules, "stabilizationWindowSeconds", 0);
	if (!present(json_get(rules, "selectPolicy")))
		json_set_str(a, rules, "selectPolicy", "Max");
	if (present(json_get(rules, "policies")))
		return;
	struct json *list = json_array_at(a, rules, "policies");
	if (up)
		add_policy(a, list, "Pods", 4, 15);
	add_policy(a, list, "Percent", 100, 15);
}

static void set_defaults(struct hook *h, struct json *doc)
{
	struct arena *a = h->arena;
	struct json *spec = json_object_at(a, doc, "spec");
	if (*h->part)
		return;
	if (!json_count(json_get(spec, "metrics"))) {
		struct json *list = json_new_array(a), *metric = json_new_object(a);
		json_set_str(a, metric, "type", "Resource");
		json_path_set(a, metric, "resource.name", json_new_string(a, "cpu"));
		json_path_set(a, metric, "resource.target.type", json_new_string(a, "Utilization"));
		json_path_set(a, metric, "resource.target.averageUtilization", json_new_int(a, 80));
		json_push(a, list, metric);
		json_set(a, spec, "metrics", list);
	}
	struct json *behavior = json_get(spec, "behavior");
	if (present(behavior)) {
		default_rules(a, behavior, "scaleUp", true);
		default_rules(a, behavior, "scaleDown", false);
	}
}

/* ---- metrics ---- */

static bool is_positive(const struct json *quantity)
{
	struct quantity q;
	return quantity_parse(json_str_or(quantity, ""), &q) == 0 && q.nano > 0;
}

static void target_validate(struct hook *h, const struct json *target, const char *at)
{
	static const char *const types[] = {"Utilization", "Value", "AverageValue", NULL};
	static const char *const amounts[] = {"value", "averageValue"};
	const struct json *type = json_get(target, "type");
	const struct json *share = json_get(target, "averageUtilization");
	if (!*json_str_or(type, ""))
		required(h, at_child(h, at, "type"), "must specify a metric target type");
	if (!is_one_of(json_str_or(type, ""), types))
		invalid(h, at_child(h, at, "type"), type,
			"must be either Utilization, Value, or AverageValue");
	for (size_t i = 0; i < ARRAY_LEN(amounts); i++) {
		const struct json *v = json_get(target, amounts[i]);
		if (present(v) && !is_positive(v))
			invalid(h, at_child(h, at, amounts[i]), v, "must be positive");
	}
	if (present(share) && json_int_or(share, 0) < 1)
		invalid(h, at_child(h, at, "averageUtilization"), share, "must be greater than 0");
}

static void metric_name_validate(struct hook *h, const struct json *source, const char *at)
{
	const struct json *name = json_path(source, "metric.name");
	if (!*json_str_or(name, ""))
		required(h, at_child(h, at, "metric.name"), "must specify a metric name");
	else
		check_rule_at(h, RULE_PATH_SEGMENT, at_child(h, at, "metric.name"), name);
}

static bool has_target(const struct json *source, const char *name)
{
	return present(json_get(json_get(source, "target"), name));
}

static void object_validate(struct hook *h, const struct json *source, const char *at)
{
	metric_name_validate(h, source, at);
	target_validate(h, json_get(source, "target"), at_child(h, at, "target"));
	if (!has_target(source, "value") && !has_target(source, "averageValue"))
		required(h, at_child(h, at, "target.averageValue"),
			"must set either a target value or averageValue");
}

static void external_validate(struct hook *h, const struct json *source, const char *at)
{
	metric_name_validate(h, source, at);
	target_validate(h, json_get(source, "target"), at_child(h, at, "target"));
	bool value = has_target(source, "value"), average = has_target(source, "averageValue");
	if (!value && !average)
		required(h, at_child(h, at, "target.averageValue"),
			"must set either a target value for metric or a per-pod target");
	if (value && average)
		forbid(h, at_child(h, at, "target.value"),
			"may not set both a target value for metric and a per-pod target");
}

static void pods_validate(struct hook *h, const struct json *source, const char *at)
{
	metric_name_validate(h, source, at);
	target_validate(h, json_get(source, "target"), at_child(h, at, "target"));
	if (!has_target(source, "averageValue"))
		required(h, at_child(h, at, "target.averageValue"),
			"must specify a positive target averageValue");
}

static void resource_validate(struct hook *h, const struct json *source, const char *at)
{
	if (!*json_str_or(json_get(source, "name"), ""))
		required(h, at_child(h, at, "name"), "must specify a resource name");
	const struct json *container = json_get(source, "container");
	if (str_has_suffix(at, ".containerResource")) {
		if (!*json_str_or(container, ""))
			required(h, at_child(h, at, "container"), "must specify a container");
		else
			check_rule_at(h, RULE_DNS_LABEL, at_child(h, at, "container"), container);
	}
	target_validate(h, json_get(source, "target"), at_child(h, at, "target"));
	bool share = has_target(source, "averageUtilization");
	bool average = has_target(source, "averageValue");
	if (!share && !average)
		required(h, at_child(h, at, "target.averageUtilization"),
			"must set either a target raw value or a target utilization");
	if (share && average)
		forbid(h, at_child(h, at, "target.averageValue"),
			"may not set both a target raw value and a target utilization");
}

static const struct {
	const char *type, *field;
	void (*validate)(struct hook *h, const struct json *source, const char *at);
} sources[] = {
	/* in the order in which they are looked at */
	{"Object", "object", object_validate},
	{"External", "external", external_validate},
	{"Pods", "pods", pods_validate},
	{"Resource", "resource", resource_validate},
	{"ContainerResource", "containerResource", resource_validate},
};

static void metric_validate(struct hook *h, const struct json *metric, const char *at)
{
	static const char *const types[] = {
		"ContainerResource", "External", "Object", "Pods", "Resource", NULL};
	const char *type = json_str_or(json_get(metric, "type"), "");
	if (!*type)
		required(h, at_child(h, at, "type"), "must specify a metric source type");
	if (!is_one_of(type, types))
		unsupported(h, at_child(h, at, "type"), json_get(metric, "type"), types);
	size_t count = 0;
	for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
		const struct json *source = json_get(metric, sources[i].field);
		if (present(source) && count++ == 0)
			sources[i].validate(h, source, at_child(h, at, sources[i].field));
	}
	for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
		bool wanted = streq(type, sources[i].type);
		bool given = present(json_get(metric, sources[i].field));
		if (wanted && !given)
			required(h, at_child(h, at, sources[i].field),
				"must populate information for the given metric source");
		if (!wanted && given && count != 1)
			forbid(h, at_child(h, at, sources[i].field),
				"must populate the given metric source only");
	}
}

/* ---- behaviour ---- */

static void policy_validate(struct hook *h, const struct json *policy, const char *at)
{
	static const char *const types[] = {"Percent", "Pods", NULL};
	const struct json *value = json_get(policy, "value"),
			  *period = json_get(policy, "periodSeconds");
	check_one_of(h, at_child(h, at, "type"), json_get(policy, "type"), types);
	if (json_int_or(value, 0) <= 0)
		invalid(h, at_child(h, at, "value"), value, "must be greater than zero");
	if (json_int_or(period, 0) <= 0)
		invalid(h, at_child(h, at, "periodSeconds"), period, "must be greater than zero");
	if (json_int_or(period, 0) > PERIOD_MAX_S)
		invalid(h, at_child(h, at, "periodSeconds"), period,
			"must be less than or equal to %d", PERIOD_MAX_S);
}

static void rules_validate(struct hook *h, const struct json *rules, const char *at)
{
	static const char *const selects[] = {"Disabled", "Max", "Min", NULL};
	const struct json *window = json_get(rules, "stabilizationWindowSeconds");
	if (json_int_or(window, 0) < 0)
		invalid(h, at_child(h, at, "stabilizationWindowSeconds"), window,
			"must be greater than or equal to zero");
	if (json_int_or(window, 0) > WINDOW_MAX_S)
		invalid(h, at_child(h, at, "stabilizationWindowSeconds"), window,
			"must be less than or equal to %d", WINDOW_MAX_S);
	check_one_of(h, at_child(h, at, "selectPolicy"), json_get(rules, "selectPolicy"), selects);
	const struct json *policies = json_get(rules, "policies");
	const char *policies_at = at_child(h, at, "policies");
	if (!json_count(policies))
		required(h, policies_at, "must specify at least one Policy");
	size_t i = 0;
	JSON_FOR_EACH_ITEM(p, policies)
		policy_validate(h, p, at_item(h, policies_at, i++));
}

static void validate(struct hook *h, const struct json *doc)
{
	const struct json *spec = json_get(doc, "spec"), *behavior = json_get(spec, "behavior");
	const struct json *least = json_get(spec, "minReplicas"),
			  *most = json_get(spec, "maxReplicas");
	if (present(least) && json_int_or(least, 1) < 1)
		invalid(h, "spec.minReplicas", least, "must be greater than or equal to 1");
	if (json_int_or(most, 0) < 1)
		invalid(h, "spec.maxReplicas", most, "must be greater than 0");
	if (present(least) && json_int_or(most, 0) < json_int_or(least, 0))
		invalid(h, "spec.maxReplicas", most,
			"must be greater than or equal to `minReplicas`");
	size_t i = 0;
	JSON_FOR_EACH_ITEM(metric, json_get(spec, "metrics"))
		metric_validate(h, metric, arena_printf(h->arena, "spec.metrics[%zu]", i++));
	if (!present(behavior))
		return;
	if (present(json_get(behavior, "scaleUp")))
		rules_validate(h, json_get(behavior, "scaleUp"), "spec.behavior.scaleUp");
	if (present(json_get(behavior, "scaleDown")))
		rules_validate(h, json_get(behavior, "scaleDown"), "spec.behavior.scaleDown");
}

/* ---- tables ---- */

static const char *text_of(struct arena *a, const struct json *v, const char *none)
{
	if (json_is(v, JSON_INT))
		return arena_printf(a, "%lld", (long long)v->i);
	return json_str_or(v, none);
}

static const char *metric_text(
	struct arena *a, const struct json *metric, const struct json *status)
{
	const char *type = json_str_or(json_get(metric, "type"), "");
	for (size_t i = 0; i < ARRAY_LEN(sources); i++) {
		if (!streq(sources[i].type, type))
			continue;
		const struct json *source = json_get(metric, sources[i].field);
		const struct json *target = json_get(source, "target");
		const struct json *now = json_get(json_get(status, sources[i].field), "current");
		bool average = present(json_get(target, "averageValue"));
		const char *amount = average ? "averageValue" : "value";
		if (sources[i].validate != resource_validate)
			return arena_printf(a, "%s/%s%s",
				text_of(a, json_get(now, amount), "<unknown>"),
				text_of(a, json_get(target, amount), ""),
				average && !streq(type, "Pods") ? " (avg)" : "");
		const char *name = json_str_or(json_get(source, "name"), "");
		if (average)
			return arena_printf(a, "%s: %s/%s", name,
				text_of(a, json_get(now, amount), "<unknown>"),
				text_of(a, json_get(target, amount), ""));
		const struct json *share = json_get(target, "averageUtilization");
		const struct json *used = json_get(now, "averageUtilization");
		return arena_printf(a, "%s: %s%s/%s%s", name, text_of(a, used, "<unknown>"),
			present(used) ? "%" : "", text_of(a, share, "<auto>"),
			present(share) ? "%" : "");
	}
	return "<unknown type>";
}

static struct json *targets_cell(const struct table_row *row)
{
	const struct json *metrics = json_path(row->doc, "spec.metrics");
	const struct json *current = json_path(row->doc, "status.currentMetrics");
	size_t count = json_count(metrics);
	const char *text = "";
	if (!count)
		return cell_text(row, "<none>");
	for (size_t i = 0; i < MIN(count, (size_t)METRICS_SHOWN); i++)
		text = arena_printf(row->arena, "%s%s%s", text, i ? ", " : "",
			metric_text(row->arena, json_at(metrics, i), json_at(current, i)));
	return count > METRICS_SHOWN
		       ? cell_text(row, "%s + %zu more...", text, count - METRICS_SHOWN)
		       : cell_text(row, "%s", text);
}

static struct json *cell(const struct table_row *row, const char *column)
{
	const struct json *ref = json_path(row->doc, "spec.scaleTargetRef");
	const struct json *least = json_path(row->doc, "spec.minReplicas");
	if (streq(column, "Reference"))
		return cell_text(row, "%s/%s", json_str_or(json_get(ref, "kind"), ""),
			json_str_or(json_get(ref, "name"), ""));
	if (streq(column, "Targets"))
		return targets_cell(row);
	if (streq(column, "MinPods"))
		return cell_text(row, "%s", text_of(row->arena, least, "<unset>"));
	if (streq(column, "MaxPods"))
		return cell_int(row, "spec.maxReplicas");
	if (streq(column, "Replicas"))
		return cell_int(row, "status.currentReplicas");
	return NULL;
}

const struct kind_hooks hooks_autoscaler = {
	.group = "autoscaling",
	.kind = "HorizontalPodAutoscaler",
	.set_defaults = set_defaults,
	.validate = validate,
	.cell = cell,
};

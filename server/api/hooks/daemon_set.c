/* daemon_set.c - DaemonSet: one pod on each node that fits. */
#include "server/api/hooks/workload.h"

/* Counts changes of the template, from before there was metadata.generation. */
#define TEMPLATE_GENERATION "deprecated.daemonset.template.generation"

static void set_template_generation(struct arena *a, struct json *doc, int64_t generation)
{
	struct json *meta = json_object_at(a, doc, "metadata");
	json_set(a, json_object_at(a, meta, "annotations"), TEMPLATE_GENERATION,
		json_new_printf(a, "%lld", (long long)generation));
}

static void set_defaults(struct hook *h, struct json *doc)
{
	struct arena *a = h->arena;
	struct json *spec = json_object_at(a, doc, "spec"), *pod = json_path(spec, "template.spec");
	struct json *strategy = json_object_at(a, spec, "updateStrategy");
	if (streq(json_str(json_get(strategy, "type")), "RollingUpdate")) {
		struct json *rolling = json_object_at(a, strategy, "rollingUpdate");
		if (!present(json_get(rolling, "maxUnavailable")))
			json_set_int(a, rolling, "maxUnavailable", 1);
		if (!present(json_get(rolling, "maxSurge")))
			json_set_int(a, rolling, "maxSurge", 0);
	}
	if (pod)
		pod_spec_default(a, pod);
}

static int prepare_create(struct hook *h, struct json *doc)
{
	set_template_generation(h->arena, doc, 1);
	return 0;
}

static int prepare_update(struct hook *h, struct json *doc, const struct json *old)
{
	int64_t generation = 1;
	const char *text =
		json_str(json_get(json_path(old, "metadata.annotations"), TEMPLATE_GENERATION));
	if (*h->part)
		return 0;
	if (text && parse_i64(str_from(text), &generation) < 0)
		generation = 1;
	if (!json_equal(json_path(doc, "spec.template"), json_path(old, "spec.template")))
		generation++;
	set_template_generation(h->arena, doc, generation);
	return 0;
}

static void strategy_validate(struct hook *h, const struct json *strategy)
{
	static const char *const types[] = {"RollingUpdate", "OnDelete", NULL};
	static const char unavailable_at[] = "spec.updateStrategy.rollingUpdate.maxUnavailable";
	static const char surge_at[] = "spec.updateStrategy.rollingUpdate.maxSurge";
	const struct json *rolling = json_get(strategy, "rollingUpdate");
	const struct json *unavailable = json_get(rolling, "maxUnavailable");
	const struct json *surge = json_get(rolling, "maxSurge");
	if (!is_one_of(json_str_or(json_get(strategy, "type"), ""), types)) {
		unsupported(h, "spec.updateStrategy", strategy, types);
		return;
	}
	if (!streq(json_str(json_get(strategy, "type")), "RollingUpdate"))
		return;
	check_percent_at(h, unavailable_at, unavailable);
	check_percent_at(h, surge_at, surge);
	bool some_down = count_or_percent(unavailable) != 0,
	     some_more = count_or_percent(surge) != 0;
	if (some_down && some_more)
		invalid(h, surge_at, surge, "may not be set when maxUnavailable is non-zero");
	else if (!some_down && !some_more)
		required(h, unavailable_at, "cannot be 0 when maxSurge is 0");
}

static void validate(struct hook *h, const struct json *doc)
{
	const struct json *spec = json_get(doc, "spec");
	workload_selector_validate(h, spec, "daemonset");
	pod_template_validate(h, json_get(spec, "template"), "spec.template");
	always_running_validate(h, spec, "DaemonSet");
	strategy_validate(h, json_get(spec, "updateStrategy"));
}

static void validate_update(struct hook *h, const struct json *doc, const struct json *old)
{
	if (*h->part) {
		int64_t now = json_path_int(doc, "status.collisionCount", 0);
		if (now < json_path_int(old, "status.collisionCount", 0))
			invalid(h, "status.collisionCount", json_new_int(h->arena, now),
				"cannot be decremented");
		return;
	}
	fixed_selector_validate(h, doc, old);
}

static struct json *cell(const struct table_row *row, const char *column)
{
	static const char *const counts[][2] = {
		{"Desired", "status.desiredNumberScheduled"},
		{"Current", "status.currentNumberScheduled"},
		{"Ready", "status.numberReady"},
		{"Up-to-date", "status.updatedNumberScheduled"},
		{"Available", "status.numberAvailable"},
	};
	for (size_t i = 0; i < ARRAY_LEN(counts); i++)
		if (streq(column, counts[i][0]))
			return cell_int(row, counts[i][1]);
	if (streq(column, "Node Selector"))
		return cell_text(row, "%s",
			labels_text(row->arena,
				json_path(row->doc, "spec.template.spec.nodeSelector"), "<none>"));
	return cell_workload(row, column);
}

const struct kind_hooks hooks_daemon_set = {
	.group = "apps",
	.kind = "DaemonSet",
	.set_defaults = set_defaults,
	.prepare_create = prepare_create,
	.prepare_update = prepare_update,
	.validate = validate,
	.validate_update = validate_update,
	.cell = cell,
};

/* disruption_budget.c - PodDisruptionBudget: how many of some pods may be evicted at a time. */
#include "server/api/hooks/workload.h"

static void validate(struct hook *h, const struct json *doc)
{
	static const char *const bounds[] = {"minAvailable", "maxUnavailable"};
	const struct json *spec = json_get(doc, "spec");
	if (present(json_get(spec, "minAvailable")) && present(json_get(spec, "maxUnavailable")))
		invalid(h, "spec", spec, "minAvailable and maxUnavailable cannot be both set");
	for (size_t i = 0; i < ARRAY_LEN(bounds); i++)
		check_percent_at(h, at_child(h, "spec", bounds[i]), json_get(spec, bounds[i]));
	check_label_selector(h, json_get(spec, "selector"), "spec.selector");
}

static struct json *bound_cell(const struct table_row *row, const char *path)
{
	const struct json *v = json_path(row->doc, path);
	if (!present(v))
		return cell_text(row, "N/A");
	return json_is(v, JSON_INT) ? cell_text(row, "%lld", (long long)v->i)
				    : cell_text(row, "%s", json_str_or(v, ""));
}

static struct json *cell(const struct table_row *row, const char *column)
{
	if (streq(column, "Min Available"))
		return bound_cell(row, "spec.minAvailable");
	if (streq(column, "Max Unavailable"))
		return bound_cell(row, "spec.maxUnavailable");
	if (streq(column, "Allowed Disruptions"))
		return cell_int(row, "status.disruptionsAllowed");
	return NULL;
}

const struct kind_hooks hooks_disruption_budget = {
	.group = "policy",
	.kind = "PodDisruptionBudget",
	.validate = validate,
	.cell = cell,
};

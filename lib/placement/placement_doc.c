/* placement_doc.c - a decision as a document, and that document as a table for people. */
#include <inttypes.h>

#include "lib/placement/placement.h"

struct json *placement_decision_doc(struct arena *a, const struct placement_decision *d)
{
	struct json *doc = json_new_object(a), *scores = json_new_object(a),
		    *criteria = json_new_array(a), *constraints = json_new_array(a);
	json_set_str(a, doc, "isolation", placement_isolation_name(d->isolation));
	json_set_int(a, scores, "virtualMachine", d->machine_score);
	json_set_int(a, scores, "container", d->container_score);
	json_set(a, doc, "scores", scores);
	for (size_t i = 0; i < PLACEMENT_CRITERIA; i++) {
		const struct placement_criterion *c = &d->criteria[i];
		struct json *row = json_new_object(a);
		json_set_str(a, row, "name", c->name);
		json_set_str(a, row, "value", c->value);
		json_set_int(a, row, "weight", c->weight);
		json_set_int(a, row, "virtualMachine", c->machine);
		json_set_int(a, row, "container", c->container);
		json_set_str(a, row, "reason", c->reason);
		json_push(a, criteria, row);
	}
	json_set(a, doc, "criteria", criteria);
	for (size_t i = 0; i < d->constraint_count; i++) {
		const struct placement_constraint *c = &d->constraints[i];
		struct json *row = json_new_object(a);
		json_set_str(a, row, "name", c->name);
		json_set_str(a, row, "excludes", placement_isolation_name(c->excludes));
		json_set_str(a, row, "reason", c->reason);
		json_push(a, constraints, row);
	}
	if (d->constraint_count)
		json_set(a, doc, "constraints", constraints);
	json_set(a, doc, "reasons", d->reasons);
	if (json_count(d->contradictions))
		json_set(a, doc, "contradictions", d->contradictions);
	return doc;
}

const char *placement_short_reason(struct arena *a, const struct json *decision)
{
	const char *first = json_str_or(json_at(json_get(decision, "reasons"), 0), "");
	return arena_memdup(a, first, strcspn(first, ":"));
}

static void print_list(struct buf *out, const char *heading, const struct json *texts)
{
	if (!json_count(texts))
		return;
	buf_printf(out, "\n%s\n", heading);
	JSON_FOR_EACH_ITEM(t, texts)
		buf_printf(out, "  %s\n", json_str_or(t, ""));
}

void placement_print(struct buf *out, const struct json *decision)
{
	const char *isolation = json_str_or(json_get(decision, "isolation"), "");
	int64_t machine = json_path_int(decision, "scores.virtualMachine", 0),
		container = json_path_int(decision, "scores.container", 0);
	buf_printf(out, "Decision: %s\n\n", isolation[0] ? isolation : "neither fits");
	buf_printf(out, "%-16s %-17s %6s  %14s  %10s  %s\n", "CRITERION", "VALUE", "WEIGHT",
		"VIRTUALMACHINE", "CONTAINER", "REASON");
	JSON_FOR_EACH_ITEM(c, json_get(decision, "criteria")) {
		int64_t weight = json_path_int(c, "weight", 0);
		int64_t m = json_path_int(c, "virtualMachine", 0),
			k = json_path_int(c, "container", 0);
		buf_printf(out,
			"%-16s %-17s %6" PRId64 "  %8" PRId64 " (%2" PRId64 ")  %5" PRId64
			" (%2" PRId64 ")  %s\n",
			json_str_or(json_get(c, "name"), ""), json_str_or(json_get(c, "value"), ""),
			weight, weight * m, m, weight * k, k,
			json_str_or(json_get(c, "reason"), ""));
	}
	buf_printf(out, "%-16s %-17s %6s  %8" PRId64 "       %5" PRId64 "\n", "sum", "", "",
		machine, container);
	if (json_count(json_get(decision, "constraints"))) {
		buf_printf(out, "\nCONSTRAINTS (before all weights)\n");
		JSON_FOR_EACH_ITEM(c, json_get(decision, "constraints"))
			buf_printf(out, "  not a %s: %s (%s)\n",
				json_str_or(json_get(c, "excludes"), ""),
				json_str_or(json_get(c, "name"), ""),
				json_str_or(json_get(c, "reason"), ""));
	}
	print_list(out, "REASONS", json_get(decision, "reasons"));
	print_list(out, "CONTRADICTIONS", json_get(decision, "contradictions"));
}

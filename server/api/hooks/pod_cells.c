/* pod_cells.c - a pod's row: how many containers are ready, what it is doing, how often it began
 * anew. */
#include <inttypes.h>

#include "server/api/hooks/hooks_internal.h"
#include "server/api/tables/table.h"

static bool is_sidecar(const struct json *doc, const struct json *status)
{
	JSON_FOR_EACH_ITEM(c, json_path(doc, "spec.initContainers"))
		if (json_equal(json_get(c, "name"), json_get(status, "name")))
			return streq(json_str(json_get(c, "restartPolicy")), "Always");
	return false;
}

static const char *terminated_text(struct arena *a, const struct json *terminated)
{
	const char *reason = json_str_or(json_get(terminated, "reason"), "");
	int64_t signal = json_path_int(terminated, "signal", 0);
	if (*reason)
		return reason;
	if (signal)
		return arena_printf(a, "Signal:%" PRId64, signal);
	return arena_printf(a, "ExitCode:%" PRId64, json_path_int(terminated, "exitCode", 0));
}

/* While init containers are at work, the first that is not done names the state. NULL = all are
 * done. */
static const char *init_text(struct arena *a, const struct json *doc)
{
	size_t i = 0, total = json_count(json_path(doc, "spec.initContainers"));
	JSON_FOR_EACH_ITEM(s, json_path(doc, "status.initContainerStatuses")) {
		const struct json *terminated = json_path(s, "state.terminated");
		const char *waiting = json_path_str(s, "state.waiting.reason");
		size_t n = i++;
		if (terminated && json_path_int(terminated, "exitCode", 0) == 0)
			continue;
		if (is_sidecar(doc, s) && json_path_bool(s, "started", false))
			continue;
		if (terminated)
			return arena_printf(a, "Init:%s", terminated_text(a, terminated));
		if (waiting && *waiting && !streq(waiting, "PodInitializing"))
			return arena_printf(a, "Init:%s", waiting);
		return arena_printf(a, "Init:%zu/%zu", n, total);
	}
	return NULL;
}

static bool ready_condition(const struct json *doc)
{
	JSON_FOR_EACH_ITEM(c, json_path(doc, "status.conditions"))
		if (streq(json_str(json_get(c, "type")), "Ready"))
			return streq(json_str(json_get(c, "status")), "True");
	return false;
}

static const char *status_text(struct arena *a, const struct json *doc)
{
	const char *phase = json_str_or(json_path(doc, "status.phase"), "");
	const char *own = json_str_or(json_path(doc, "status.reason"), "");
	const char *text = *own ? own : phase;
	JSON_FOR_EACH_ITEM(c, json_path(doc, "status.conditions"))
		if (streq(json_str(json_get(c, "type")), "PodScheduled") &&
			streq(json_str(json_get(c, "reason")), "SchedulingGated"))
			text = "SchedulingGated";
	const char *init = init_text(a, doc);
	if (init) {
		text = init;
	} else {
		const struct json *statuses = json_path(doc, "status.containerStatuses");
		bool running = false;
		for (size_t i = json_count(statuses); i-- > 0;) {
			const struct json *s = json_at(statuses, i);
			const char *waiting = json_path_str(s, "state.waiting.reason");
			const struct json *terminated = json_path(s, "state.terminated");
			if (waiting && *waiting)
				text = waiting;
			else if (terminated)
				text = terminated_text(a, terminated);
			else if (json_path_bool(s, "ready", false) && json_path(s, "state.running"))
				running = true;
		}
		if (streq(text, "Completed") && running)
			text = ready_condition(doc) ? "Running" : "NotReady";
	}
	if (json_path(doc, "metadata.deletionTimestamp") && !streq(phase, "Succeeded") &&
		!streq(phase, "Failed"))
		text = streq(own, "NodeLost") ? "Unknown" : "Terminating";
	return text;
}

static const char *restarts_text(const struct table_row *row)
{
	static const char *const lists[] = {
		"status.containerStatuses", "status.initContainerStatuses"};
	int64_t total = 0, newest = 0, at;
	for (size_t l = 0; l < ARRAY_LEN(lists); l++)
		JSON_FOR_EACH_ITEM(s, json_path(row->doc, lists[l])) {
			if (l == 1 && !is_sidecar(row->doc, s) && !init_text(row->arena, row->doc))
				continue;
			total += json_path_int(s, "restartCount", 0);
			const char *t = json_path_str(s, "lastState.terminated.finishedAt");
			if (t && time_parse_rfc3339(t, &at) == 0)
				newest = MAX(newest, at);
		}
	if (total && newest)
		return arena_printf(row->arena, "%" PRId64 " (%s ago)", total,
			duration_human(row->arena, row->now_ns - newest));
	return arena_printf(row->arena, "%" PRId64, total);
}

static struct json *ready_cell(const struct table_row *row)
{
	const struct json *doc = row->doc;
	size_t ready = 0, total = json_count(json_path(doc, "spec.containers"));
	JSON_FOR_EACH_ITEM(s, json_path(doc, "status.containerStatuses"))
		ready += json_path_bool(s, "ready", false) && json_path(s, "state.running");
	JSON_FOR_EACH_ITEM(c, json_path(doc, "spec.initContainers"))
		total += streq(json_str(json_get(c, "restartPolicy")), "Always");
	JSON_FOR_EACH_ITEM(s, json_path(doc, "status.initContainerStatuses"))
		ready += is_sidecar(doc, s) && json_path_bool(s, "ready", false);
	return cell_text(row, "%zu/%zu", ready, total);
}

static struct json *gates_cell(const struct table_row *row)
{
	const struct json *gates = json_path(row->doc, "spec.readinessGates");
	size_t met = 0;
	if (!json_count(gates))
		return cell_text(row, "<none>");
	JSON_FOR_EACH_ITEM(g, gates)
		JSON_FOR_EACH_ITEM(c, json_path(row->doc, "status.conditions"))
			met += json_equal(json_get(c, "type"), json_get(g, "conditionType")) &&
			       streq(json_str(json_get(c, "status")), "True");
	return cell_text(row, "%zu/%zu", met, json_count(gates));
}

static struct json *text_or_none(const struct table_row *row, const char *path)
{
	const char *text = json_str_or(json_path(row->doc, path), "");
	return cell_text(row, "%s", *text ? text : "<none>");
}

struct json *pod_cell(const struct table_row *row, const char *column)
{
	if (streq(column, "Ready"))
		return ready_cell(row);
	if (streq(column, "Status"))
		return cell_text(row, "%s", status_text(row->arena, row->doc));
	if (streq(column, "Restarts"))
		return cell_text(row, "%s", restarts_text(row));
	if (streq(column, "IP"))
		return text_or_none(row, "status.podIP");
	if (streq(column, "Node"))
		return text_or_none(row, "spec.nodeName");
	if (streq(column, "Nominated Node"))
		return text_or_none(row, "status.nominatedNodeName");
	if (streq(column, "Readiness Gates"))
		return gates_cell(row);
	return NULL;
}

struct json *pod_row_conditions(const struct table_row *row)
{
	const char *phase = json_str_or(json_path(row->doc, "status.phase"), "");
	bool failed = streq(phase, "Failed");
	if (!failed && !streq(phase, "Succeeded"))
		return NULL;
	struct arena *a = row->arena;
	struct json *list = json_new_array(a), *c = json_new_object(a);
	json_set_str(a, c, "type", "Completed");
	json_set_str(a, c, "status", "True");
	json_set_str(a, c, "reason", phase);
	json_set_str(a, c, "message",
		failed ? "The pod failed." : "The pod has completed successfully.");
	json_push(a, list, c);
	return list;
}

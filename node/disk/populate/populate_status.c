#include "node/disk/populate/populate_status.h"

#include <stdio.h>

#include "lib/base/clock.h"

/* As the server has it: lastTransitionTime moves with the status, lastHeartbeatTime with the rest.
 */
static bool set_condition(struct arena *a, struct json *list, const char *type, bool is,
	const char *reason, const char *message, const char *now)
{
	const char *status = is ? "True" : "False";
	struct json *c = NULL;
	bool turned, changed;

	JSON_FOR_EACH_ITEM(it, list)
		if (streq(json_str(json_get(it, "type")), type))
			c = it;
	if (!c) {
		c = json_new_object(a);
		json_set_str(a, c, "type", type);
		json_push(a, list, c);
	}
	turned = !streq(json_str(json_get(c, "status")), status);
	changed = turned || !streq(json_str_or(json_get(c, "reason"), ""), reason) ||
		  !streq(json_str_or(json_get(c, "message"), ""), message);
	if (!changed)
		return false;
	json_set_str(a, c, "status", status);
	json_set_str(a, c, "reason", reason);
	json_set_str(a, c, "message", message);
	if (turned)
		json_set_str(a, c, "lastTransitionTime", now);
	json_set_str(a, c, "lastHeartbeatTime", now);
	return true;
}

struct json *populate_status_patch(
	struct arena *a, const struct json *doc, const struct populate_state *s, int64_t wall_ns)
{
	struct json *patch = json_new_object(a), *status = json_new_object(a), *conditions;
	const struct json *was = json_get(doc, "status");
	char now[TIME_RFC3339_ROOM], progress[16] = "N/A";
	bool changed = false, over = streq(s->phase, "Succeeded");

	time_format_rfc3339(wall_ns, now);
	conditions = json_is(json_get(was, "conditions"), JSON_ARRAY)
			     ? json_copy(a, json_get(was, "conditions"))
			     : json_new_array(a);
	if (over)
		snprintf(progress, sizeof(progress), "100.0%%");
	else if (s->part >= 0)
		snprintf(progress, sizeof(progress), "%.2f%%", s->part * 100);
	changed |= set_condition(a, conditions, "Running", s->running, s->reason, s->message, now);
	changed |= set_condition(
		a, conditions, "Ready", over, s->running ? "TransferRunning" : "", "", now);
	if (!streq(json_str(json_get(was, "phase")), s->phase)) {
		json_set_str(a, status, "phase", s->phase);
		changed = true;
	}
	if (!streq(json_str(json_get(was, "progress")), progress)) {
		json_set_str(a, status, "progress", progress);
		changed = true;
	}
	if (json_int_or(json_get(was, "restartCount"), 0) != (int64_t)s->restarts) {
		json_set_int(a, status, "restartCount", s->restarts);
		changed = true;
	}
	if (!changed)
		return NULL;
	json_set(a, status, "conditions", conditions);
	json_path_set(a, patch, "metadata.resourceVersion",
		json_copy(a, json_path(doc, "metadata.resourceVersion")));
	json_set(a, patch, "status", status);
	return patch;
}

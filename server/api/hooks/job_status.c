/* job_status.c - what a job's status may say. Only what an update changes is looked at, so that a
 * status which was let in before does not stand in the way of the next. */
#include "server/api/hooks/job.h"

struct job_status {
	struct hook *h;
	const struct json *spec, *now, *was;
	bool complete, failed, success_met, failure_target, finished;
};

static bool changed(const struct job_status *s, const char *name)
{
	return !json_equal(json_get(s->now, name), json_get(s->was, name));
}

static bool condition_set(const struct job_status *s, const char *type)
{
	return condition_true(s->now, type) && !condition_true(s->was, type);
}

static int64_t count_of(const struct json *status, const char *name)
{
	return json_int_or(json_get(status, name), 0);
}

static void conditions_error(const struct job_status *s, const char *text)
{
	field_error(s->h->errors, FIELD_INVALID, "status.conditions", NULL, "%s", text);
}

static void uncounted_validate(const struct job_status *s)
{
	static const char *const lists[] = {"succeeded", "failed"};
	const struct json *uncounted = json_get(s->now, "uncountedTerminatedPods");
	_cleanup_(table_finish) struct table seen = {0};
	for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
		size_t i = 0;
		JSON_FOR_EACH_ITEM(uid, json_get(uncounted, lists[l])) {
			char *at = arena_printf(s->h->arena,
				"status.uncountedTerminatedPods.%s[%zu]", lists[l], i++);
			const char *text = json_str_or(uid, "");
			if (!*text)
				invalid(s->h, at, uid, "must not be empty");
			else if (table_set(&seen, text, (void *)text))
				field_error(s->h->errors, FIELD_DUPLICATE, at, uid, NULL);
		}
	}
}

static void conditions_validate(const struct job_status *s)
{
	static const char *const terminal[] = {"Failed", "Complete", "FailureTarget"};
	if (s->complete && s->failed)
		conditions_error(s, "cannot set Complete=True and Failed=true conditions");
	if (s->complete && s->failure_target)
		conditions_error(s, "cannot set Complete=True and FailureTarget=true conditions");
	if (s->success_met && s->failed)
		conditions_error(
			s, "cannot set SuccessCriteriaMet=True and Failed=true conditions");
	if (s->success_met && s->failure_target)
		conditions_error(
			s, "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions");
	for (size_t i = 0; i < ARRAY_LEN(terminal); i++)
		if (condition_true(s->was, terminal[i]) && !condition_true(s->now, terminal[i]))
			conditions_error(s, arena_printf(s->h->arena,
						    "cannot disable the terminal %s=True condition",
						    terminal[i]));
	if (condition_true(s->was, "SuccessCriteriaMet") && !s->success_met)
		conditions_error(s, "cannot disable the SuccessCriteriaMet=True condition");
}

static void times_validate(const struct job_status *s)
{
	const struct json *start = json_get(s->now, "startTime");
	const struct json *end = json_get(s->now, "completionTime");
	const struct json *old_start = json_get(s->was, "startTime");
	const struct json *old_end = json_get(s->was, "completionTime");
	bool end_changed = changed(s, "completionTime") || condition_set(s, "Complete");
	int64_t from, to;
	if (end_changed && present(end) && !s->complete)
		invalid(s->h, "status.completionTime", end,
			"cannot set completionTime when there is no Complete=True condition");
	if (end_changed && !present(end) && s->complete)
		required(s->h, "status.completionTime",
			"completionTime is required for Complete jobs");
	if (present(start) && present(end) && (end_changed || changed(s, "startTime")) &&
		time_parse_rfc3339(json_str_or(start, ""), &from) == 0 &&
		time_parse_rfc3339(json_str_or(end, ""), &to) == 0 && to < from)
		invalid(s->h, "status.completionTime", end,
			"must be equal to or after `startTime`");
	if (present(end) && present(old_end) && !json_equal(end, old_end))
		invalid(s->h, "status.completionTime", end, "field is immutable");
	if (s->finished && !present(start) &&
		(condition_set(s, "Complete") || condition_set(s, "Failed") || present(old_start)))
		required(s->h, "status.startTime", "startTime is required for finished job");
	/* A job that goes on after a suspension starts anew. */
	bool resumed = condition_true(s->was, "Suspended") && !condition_true(s->now, "Suspended");
	if (present(old_start) && !json_equal(start, old_start) && !(resumed && present(start)) &&
		!json_bool_or(json_get(s->spec, "suspend"), false))
		required(s->h, "status.startTime",
			"startTime cannot be removed for unsuspended job");
}

static void counters_validate(const struct job_status *s)
{
	static const char *const counters[] = {"failed", "succeeded"};
	const struct json *uncounted = json_get(s->now, "uncountedTerminatedPods");
	for (size_t i = 0; i < ARRAY_LEN(counters); i++)
		if (count_of(s->now, counters[i]) < count_of(s->was, counters[i]))
			invalid(s->h, arena_printf(s->h->arena, "status.%s", counters[i]),
				json_new_int(s->h->arena, count_of(s->now, counters[i])),
				"cannot decrease the %s counter", counters[i]);
	if (s->finished && count_of(s->now, "active") > 0)
		invalid(s->h, "status.active", json_get(s->now, "active"),
			"active>0 is invalid for finished job");
	if (s->finished && json_count(json_get(uncounted, "failed")) +
					   json_count(json_get(uncounted, "succeeded")) >
				   0)
		invalid(s->h, "status.uncountedTerminatedPods", uncounted,
			"must be empty for finished job");
	if (s->finished && count_of(s->now, "terminating") > 0)
		invalid(s->h, "status.terminating", json_get(s->now, "terminating"),
			"terminating>0 is invalid for finished job");
	if ((changed(s, "ready") || changed(s, "active")) &&
		count_of(s->now, "ready") > count_of(s->now, "active"))
		invalid(s->h, "status.ready", json_get(s->now, "ready"),
			"cannot set more ready pods than active");
}

static void indexes_validate(const struct job_status *s)
{
	static const char *const lists[] = {"completedIndexes", "failedIndexes"};
	int64_t completions = json_int_or(json_get(s->spec, "completions"), 0);
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		const struct json *list = json_get(s->now, lists[i]);
		struct err err = ERR_INIT;
		int64_t unused;
		char *at = arena_printf(s->h->arena, "status.%s", lists[i]);
		if (!changed(s, lists[i]) || !present(list))
			continue;
		if (present(json_get(s->spec, "completions")) &&
			job_indexes_parse(json_str_or(list, ""), completions, &unused, &err) < 0)
			invalid(s->h, at, list, "error parsing %s: %s", lists[i], err.msg);
		if (i == 0 && list->count &&
			!streq(json_str(json_get(s->spec, "completionMode")), "Indexed"))
			invalid(s->h, at, list,
				"cannot set non-empty completedIndexes when non-indexed completion "
				"mode");
		if (i == 1 && !present(json_get(s->spec, "backoffLimitPerIndex")))
			invalid(s->h, at, list,
				"cannot set non-null failedIndexes when backoffLimitPerIndex is "
				"null");
	}
}

static struct json *same_condition(struct arena *a, const struct json *terminal, const char *type)
{
	struct json *c = json_copy(a, terminal);
	json_set_str(a, c, "type", type);
	return c;
}

void job_status_prepare(struct hook *h, struct json *doc, const struct json *old)
{
	static const char *const steps[][2] = {
		{"Complete", "SuccessCriteriaMet"}, {"Failed", "FailureTarget"}};
	const struct job_status s = {
		.now = json_get(doc, "status"), .was = json_get(old, "status")};
	for (size_t i = 0; i < ARRAY_LEN(steps); i++) {
		struct json *all = json_get(s.now, "conditions"), *mended;
		if (!condition_set(&s, steps[i][0]) || condition_true(s.now, steps[i][1]))
			continue;
		mended = json_new_array(h->arena);
		JSON_FOR_EACH_ITEM(c, all) {
			if (streq(json_str(json_get(c, "type")), steps[i][0]))
				json_push(
					h->arena, mended, same_condition(h->arena, c, steps[i][1]));
			if (!streq(json_str(json_get(c, "type")), steps[i][1]))
				json_push(h->arena, mended, c);
		}
		json_set(h->arena, json_get(doc, "status"), "conditions", mended);
	}
}

void job_status_validate(struct hook *h, const struct json *doc, const struct json *old)
{
	struct job_status s = {
		.h = h,
		.spec = json_get(doc, "spec"),
		.now = json_get(doc, "status"),
		.was = json_get(old, "status"),
	};
	s.complete = condition_true(s.now, "Complete");
	s.failed = condition_true(s.now, "Failed");
	s.success_met = condition_true(s.now, "SuccessCriteriaMet");
	s.failure_target = condition_true(s.now, "FailureTarget");
	s.finished = s.complete || s.failed;
	uncounted_validate(&s);
	conditions_validate(&s);
	times_validate(&s);
	counters_validate(&s);
	indexes_validate(&s);
}

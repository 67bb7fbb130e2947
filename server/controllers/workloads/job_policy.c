#include "server/controllers/workloads/job_policy.h"

#include <inttypes.h>

/* The first container that ended with an exit code the rule names. */
static const struct json *match_exit_codes(const struct json *pod, const struct json *rule)
{
	static const char *const lists[] = {"containerStatuses", "initContainerStatuses"};
	const char *name = json_str(json_get(rule, "containerName"));
	bool wanted = streq(json_str(json_get(rule, "operator")), "In");
	for (size_t n = 0; n < ARRAY_LEN(lists); n++)
		JSON_FOR_EACH_ITEM(c, json_get(json_get(pod, "status"), lists[n])) {
			const struct json *ended = json_path(c, "state.terminated");
			int64_t code = json_int_or(json_get(ended, "exitCode"), 0);
			if (!ended || !code ||
				(name && !streq(name, json_str(json_get(c, "name")))))
				continue;
			bool listed = false;
			JSON_FOR_EACH_ITEM(v, json_get(rule, "values"))
				listed |= json_int_or(v, 0) == code;
			if (listed == wanted)
				return c;
		}
	return NULL;
}

static const char *match_condition(const struct json *pod, const struct json *patterns)
{
	JSON_FOR_EACH_ITEM(c, json_path(pod, "status.conditions"))
		JSON_FOR_EACH_ITEM(p, patterns)
			if (json_equal(json_get(c, "type"), json_get(p, "type")) &&
				streq(json_str(json_get(c, "status")),
					json_str_or(json_get(p, "status"), "True")))
				return json_str_or(json_get(c, "type"), "");
	return NULL;
}

static enum job_failure_action action_of(const struct json *rule)
{
	const char *text = json_str_or(json_get(rule, "action"), "");
	return streq(text, "FailJob")	  ? JOB_FAILURE_FAIL_JOB
	       : streq(text, "FailIndex") ? JOB_FAILURE_FAIL_INDEX
	       : streq(text, "Ignore")	  ? JOB_FAILURE_IGNORE
	       : streq(text, "Count")	  ? JOB_FAILURE_COUNT
					  : JOB_FAILURE_NO_RULE;
}

enum job_failure_action job_failure_action(struct arena *a, const struct json *policy,
	const struct json *pod, const char **ret_message)
{
	size_t at = 0;
	JSON_FOR_EACH_ITEM(rule, json_get(policy, "rules")) {
		const struct json *codes = json_get(rule, "onExitCodes"), *container = NULL;
		enum job_failure_action action = action_of(rule);
		const char *condition = NULL;
		size_t index = at++;
		if (json_is(codes, JSON_OBJECT))
			container = match_exit_codes(pod, codes);
		else
			condition = match_condition(pod, json_get(rule, "onPodConditions"));
		/* A rule with an action from a later version is passed over. */
		if ((!container && !condition) || action == JOB_FAILURE_NO_RULE)
			continue;
		if (action != JOB_FAILURE_FAIL_JOB)
			return action;
		const char *ns = json_str_or(json_path(pod, "metadata.namespace"), ""),
			   *name = json_str_or(json_path(pod, "metadata.name"), "");
		*ret_message =
			container
				? arena_printf(a,
					  "Container %s for pod %s/%s failed with exit code "
					  "%" PRId64 " matching FailJob rule at index %zu",
					  json_str_or(json_get(container, "name"), ""), ns, name,
					  json_path_int(container, "state.terminated.exitCode", 0),
					  index)
				: arena_printf(a,
					  "Pod %s/%s has condition %s matching FailJob rule at "
					  "index %zu",
					  ns, name, condition, index);
		return action;
	}
	return JOB_FAILURE_NO_RULE;
}

const char *job_success_rule(
	struct arena *a, const struct json *policy, int64_t completions, struct index_set succeeded)
{
	size_t at = 0;
	if (!succeeded.count)
		return NULL;
	JSON_FOR_EACH_ITEM(rule, json_get(policy, "rules")) {
		const char *indexes = json_str(json_get(rule, "succeededIndexes"));
		int64_t count = json_int_or(json_get(rule, "succeededCount"), -1);
		size_t index = at++;
		bool met;
		if (indexes) {
			struct index_set wanted = index_set_parse(a, indexes, completions);
			int64_t done = index_set_common(wanted, succeeded);
			met = wanted.count &&
			      (done == index_set_size(wanted) || (count >= 0 && done >= count));
		} else {
			met = count >= 0 && index_set_size(succeeded) >= count;
		}
		if (met)
			return arena_printf(a, "Matched rules at index %zu", index);
	}
	return NULL;
}

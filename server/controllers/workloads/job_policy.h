/* job_policy.h - what a job says about single pods: what a failure means (spec.podFailurePolicy),
 * and which indexes are enough (spec.successPolicy). */
#pragma once

#include "lib/json/json.h"
#include "server/controllers/workloads/index_set.h"

enum job_failure_action {
	JOB_FAILURE_NO_RULE, /* counts as Count does */
	JOB_FAILURE_COUNT,
	JOB_FAILURE_IGNORE,
	JOB_FAILURE_FAIL_INDEX,
	JOB_FAILURE_FAIL_JOB,
};

/* The first rule that a failed pod matches. For FAIL_JOB *ret_message says why, in the arena. */
enum job_failure_action job_failure_action(struct arena *a, const struct json *policy,
	const struct json *pod, const char **ret_message);

/* The message of the first rule that holds ("Matched rules at index 0"); NULL = none does. */
const char *job_success_rule(struct arena *a, const struct json *policy, int64_t completions,
	struct index_set succeeded);

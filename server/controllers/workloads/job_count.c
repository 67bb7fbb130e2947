/* job_count.c - how pods that ended come into a job's status, and how the job ends. */
#include "server/controllers/meta.h"
#include "server/controllers/workloads/job_plan.h"

static struct json *new_condition(struct job_pass *p, const char *type, const char *status,
	const char *reason, const char *message)
{
	struct json *c = json_new_object(p->a), *now = meta_time(p->a, p->now_ns);
	json_set_str(p->a, c, "type", type);
	json_set_str(p->a, c, "status", status);
	json_set(p->a, c, "lastProbeTime", now);
	json_set(p->a, c, "lastTransitionTime", now);
	if (reason[0])
		json_set_str(p->a, c, "reason", reason);
	if (message[0])
		json_set_str(p->a, c, "message", message);
	return c;
}

/* False when it is there already. A condition that was never there is not added as False. */
static bool put_condition(struct job_pass *p, const char *type, const char *status,
	const char *reason, const char *message)
{
	const struct json *old = condition_find(p->conditions, type);
	if (old ? streq(json_str(json_get(old, "status")), status) &&
				streq(json_str_or(json_get(old, "reason"), ""), reason) &&
				streq(json_str_or(json_get(old, "message"), ""), message)
		: streq(status, "False"))
		return false;
	struct json *all = condition_drop(p->a, p->conditions, type);
	json_push(p->a, all, new_condition(p, type, status, reason, message));
	p->conditions = all;
	return true;
}

static void note_suspension(struct job_pass *p)
{
	if (p->suspended) {
		p->suspend_changed =
			put_condition(p, "Suspended", "True", "JobSuspended", "Job suspended");
		return;
	}
	p->suspend_changed = put_condition(p, "Suspended", "False", "JobResumed", "Job resumed");
	/* The deadline counts from when the job goes on. */
	if (p->suspend_changed)
		p->start_time = meta_time(p->a, p->now_ns);
}

void job_conclude(struct job_pass *p, bool all_done)
{
	if (p->finish) {
		if (!all_done)
			p->finish = NULL; /* what is left would not be counted */
		return;
	}
	bool reached = p->completions < 0 ? p->succeeded > 0 : p->succeeded >= p->completions;
	if (reached && p->active == 0) {
		p->finish = "SuccessCriteriaMet";
		p->reason = "CompletionsReached";
		p->message = "Reached expected number of succeeded pods";
	} else if (p->managed) {
		note_suspension(p);
	}
}

static bool may_untrack(const struct job_pass *p, const struct job_pod *pod)
{
	if (p->deleting || p->finish || pod->view.succeeded)
		return true;
	return pod->failed && !pod->delayed;
}

static bool failing(const struct job_pass *p)
{
	return streq(p->finish, "FailureTarget");
}

void job_count_ended(struct job_pass *p)
{
	int64_t *indexes = arena_alloc(p->a, (p->pod_count + 1) * sizeof(*indexes));
	size_t index_count = 0, listed = 0;
	for (size_t n = 0; n < p->pod_count; n++)
		listed += p->pods[n].uncounted != JOB_NOT_LISTED;
	for (size_t n = 0; n < p->pod_count; n++) {
		struct job_pod *pod = &p->pods[n];
		int64_t index = pod->view.completion_index;
		if (!pod->tracked || !may_untrack(p, pod))
			continue;
		pod->untrack = true;
		if (pod->uncounted || !pod->valid)
			continue;
		if (pod->view.succeeded && p->indexed) {
			if (!index_set_has(p->was_succeeded_indexes, index))
				indexes[index_count++] = index;
		} else if (pod->view.succeeded) {
			pod->uncounted = JOB_LISTED_SUCCEEDED;
			listed++;
		} else if ((pod->failed || failing(p)) && pod->action != JOB_FAILURE_IGNORE) {
			pod->uncounted = JOB_LISTED_FAILED;
			listed++;
		}
		if (listed + index_count >= JOB_BURST) {
			/* Lists are kept short, and other jobs get their turn. */
			p->too_many = true;
			break;
		}
	}
	if (p->indexed) {
		p->succeeded_indexes = index_set_union(
			p->a, p->was_succeeded_indexes, index_set_of(p->a, indexes, index_count));
		p->counted_succeeded = index_set_size(p->succeeded_indexes);
	}
	if (p->finish)
		p->new_condition = put_condition(p, p->finish, "True", p->reason, p->message);
}

void job_count_untracked(struct job_pass *p)
{
	size_t left = 0;
	for (size_t n = 0; n < p->pod_count; n++) {
		struct job_pod *pod = &p->pods[n];
		if (pod->uncounted && !pod->tracked) {
			/* Succeeded indexes were counted before. */
			if (pod->uncounted == JOB_LISTED_FAILED)
				p->counted_failed++;
			else if (!p->indexed)
				p->counted_succeeded++;
			pod->uncounted = JOB_NOT_LISTED;
		}
		left += pod->uncounted != JOB_NOT_LISTED;
	}
	if (!p->finish || p->too_many || left || p->terminating || p->active)
		return;
	const struct json *now = meta_time(p->a, p->now_ns);
	p->finished = true;
	put_condition(p, failing(p) ? "Failed" : "Complete", "True", p->reason, p->message);
	if (!p->start_time)
		p->start_time = now; /* it was over before it began */
	if (!failing(p))
		p->completion_time = now;
}

/* A list as it should be, or null where it should go. NULL = absent is fine. */
static struct json *list_uids(const struct job_pass *p, enum job_uncounted which, const char *name)
{
	struct json *uids = json_new_array(p->a);
	for (size_t n = 0; n < p->pod_count; n++)
		if (p->pods[n].uncounted == which)
			json_push(p->a, uids, json_new_string(p->a, p->pods[n].object->uid));
	if (json_count(uids))
		return uids;
	return json_get(json_get(p->status, "uncountedTerminatedPods"), name) ? json_new_null(p->a)
									      : NULL;
}

struct json *job_status(const struct job_pass *p)
{
	struct arena *a = p->a;
	struct json *s = json_new_object(a), *uncounted = json_new_object(a);
	static const char *const lists[] = {
		[JOB_LISTED_SUCCEEDED] = "succeeded", [JOB_LISTED_FAILED] = "failed"};
	for (size_t n = JOB_LISTED_SUCCEEDED; n <= JOB_LISTED_FAILED; n++) {
		struct json *uids = list_uids(p, (enum job_uncounted)n, lists[n]);
		if (uids)
			json_set(a, uncounted, lists[n], uids);
	}
	json_set(a, s, "uncountedTerminatedPods", uncounted);
	json_set(a, s, "conditions",
		json_count(p->conditions) ? (struct json *)p->conditions : json_new_null(a));
	if (p->start_time)
		json_set(a, s, "startTime", (struct json *)p->start_time);
	if (p->completion_time)
		json_set(a, s, "completionTime", (struct json *)p->completion_time);
	json_set(a, s, "active", count_or_null(a, p->active));
	json_set_int(a, s, "ready", p->ready);
	json_set_int(a, s, "terminating", p->terminating);
	json_set(a, s, "succeeded", count_or_null(a, p->counted_succeeded));
	json_set(a, s, "failed", count_or_null(a, p->counted_failed));
	if (p->indexed) {
		char *done = index_set_text(a, p->succeeded_indexes);
		json_set(a, s, "completedIndexes",
			done[0] ? json_new_string(a, done) : json_new_null(a));
	}
	if (p->per_index_limit >= 0)
		json_set_str(a, s, "failedIndexes", index_set_text(a, p->failed_indexes));
	return s;
}

#include "server/controllers/workloads/job_plan.h"

#include "lib/base/table.h"
#include "server/controllers/meta.h"
#include "server/controllers/workloads/replication_order.h"

#define BACKOFF_NS (10 * NS_PER_S)
#define BACKOFF_MAX_NS (360 * NS_PER_S)

/* ---- reading ---- */

bool job_is_finished(const struct json *job)
{
	const struct json *conditions = json_path(job, "status.conditions");
	return condition_is(conditions, "Complete", "True") ||
	       condition_is(conditions, "Failed", "True");
}

static void read_spec(struct job_pass *p, bool deleting)
{
	const struct json *spec = p->spec;
	p->indexed = streq(json_str(json_get(spec, "completionMode")), "Indexed");
	p->suspended = json_bool_or(json_get(spec, "suspend"), false);
	p->deleting = deleting;
	p->only_replace_failed = streq(json_str(json_get(spec, "podReplacementPolicy")), "Failed");
	p->parallelism = json_int_or(json_get(spec, "parallelism"), 1);
	p->completions = json_int_or(json_get(spec, "completions"), p->indexed ? 0 : -1);
	p->backoff_limit = json_int_or(json_get(spec, "backoffLimit"), 6);
	p->per_index_limit =
		p->indexed ? json_int_or(json_get(spec, "backoffLimitPerIndex"), -1) : -1;
	p->max_failed_indexes = json_int_or(json_get(spec, "maxFailedIndexes"), -1);
	p->deadline_s = json_int_or(json_get(spec, "activeDeadlineSeconds"), -1);
}

/* Uids on the list whose pods are tracked no longer are what is left to count. */
static void read_uncounted(struct job_pass *p)
{
	_cleanup_(table_finish) struct table listed = {0};
	static const struct {
		const char *list;
		enum job_uncounted as;
	} lists[] = {{"succeeded", JOB_LISTED_SUCCEEDED}, {"failed", JOB_LISTED_FAILED}};
	const struct json *uncounted = json_get(p->status, "uncountedTerminatedPods");
	for (size_t n = 0; n < ARRAY_LEN(lists); n++)
		JSON_FOR_EACH_ITEM(uid, json_get(uncounted, lists[n].list))
			if (json_str(uid))
				table_set(&listed, json_str(uid), (void *)(uintptr_t)lists[n].as);
	for (size_t n = 0; n < p->pod_count && listed.count; n++)
		if (p->pods[n].tracked)
			p->pods[n].uncounted = (enum job_uncounted)(uintptr_t)table_remove(
				&listed, p->pods[n].object->uid);
	struct table_iter it = table_iterate(&listed);
	while (table_next(&it))
		if ((enum job_uncounted)(uintptr_t)it.value == JOB_LISTED_SUCCEEDED)
			p->counted_succeeded++;
		else
			p->counted_failed++;
}

static int by_index(const void *pa, const void *pb)
{
	const struct job_pod *a = pa, *b = pb;
	int64_t x = a->view.completion_index, y = b->view.completion_index;
	return x != y ? (x > y) - (x < y) : strcmp(a->object->name, b->object->name);
}

static void read_pod(struct job_pass *p, struct job_pod *pod)
{
	const struct pod_view *v = &pod->view;
	bool deleting = pod->object->deleting;
	pod->tracked = v->job_tracked;
	pod->valid =
		!p->indexed || (v->completion_index >= 0 && v->completion_index < p->completions);
	/* A pod that is being deleted before it had a node has nobody who would end it. */
	pod->failed = v->failed ||
		      (deleting && !v->succeeded && (!p->only_replace_failed || !v->node[0]));
	if (v->active) {
		p->active++;
		p->ready += v->ready;
	} else if (deleting && !v->terminal) {
		p->terminating++;
	}
	const struct json *policy = json_get(p->spec, "podFailurePolicy");
	if (pod->failed && pod->tracked && json_is(policy, JSON_OBJECT)) {
		const char *message = NULL;
		pod->action =
			job_failure_action(p->a, policy, object_doc(pod->object, p->a), &message);
		if (pod->action == JOB_FAILURE_FAIL_JOB && !p->fail_job_message)
			p->fail_job_message = message;
	}
}

static bool counts_as_failed(const struct job_pod *pod)
{
	return pod->failed && pod->action != JOB_FAILURE_IGNORE;
}

/* Indexes of tracked pods for which `wanted` holds. */
static struct index_set indexes_where(
	struct job_pass *p, bool (*wanted)(const struct job_pass *p, const struct job_pod *pod))
{
	int64_t *some = arena_alloc(p->a, (p->pod_count + 1) * sizeof(*some));
	size_t count = 0;
	for (size_t n = 0; n < p->pod_count; n++)
		if (p->pods[n].valid && wanted(p, &p->pods[n]))
			some[count++] = p->pods[n].view.completion_index;
	return index_set_of(p->a, some, count);
}

static bool has_succeeded(const struct job_pass *p, const struct job_pod *pod)
{
	return pod->tracked && pod->view.succeeded;
}

static bool has_failed_index(const struct job_pass *p, const struct job_pod *pod)
{
	if (!pod->tracked || !counts_as_failed(pod) ||
		index_set_has(p->succeeded_indexes, pod->view.completion_index))
		return false;
	return pod->action == JOB_FAILURE_FAIL_INDEX ||
	       pod->view.index_failures >= p->per_index_limit;
}

static bool is_active(const struct job_pass *p, const struct job_pod *pod)
{
	return pod->view.active;
}

static bool is_terminating(const struct job_pass *p, const struct job_pod *pod)
{
	return pod->object->deleting && !pod->view.terminal;
}

static int64_t all_failures(const struct job_pod *pod)
{
	return pod->view.index_failures + pod->view.index_ignored_failures;
}

/* Of the failed pods of an index that has no other pod, the last one is kept. */
static void find_delayed(struct job_pass *p)
{
	struct index_set active = indexes_where(p, is_active);
	struct job_pod *last = NULL;
	for (size_t n = 0; n < p->pod_count; n++) {
		struct job_pod *pod = &p->pods[n];
		int64_t index = pod->view.completion_index;
		if (!pod->tracked || !pod->valid || !pod->failed ||
			index_set_has(p->succeeded_indexes, index) ||
			index_set_has(p->failed_indexes, index) || index_set_has(active, index))
			continue;
		if (last && last->view.completion_index == index) {
			if (all_failures(pod) < all_failures(last) ||
				pod->view.finished_ns < last->view.finished_ns)
				continue;
			last->delayed = false;
		}
		pod->delayed = true;
		last = pod;
	}
}

static void read_indexes(struct job_pass *p)
{
	p->was_succeeded_indexes = index_set_parse(
		p->a, json_str(json_get(p->status, "completedIndexes")), p->completions);
	p->succeeded_indexes =
		index_set_union(p->a, p->was_succeeded_indexes, indexes_where(p, has_succeeded));
	p->succeeded = index_set_size(p->succeeded_indexes);
	if (p->per_index_limit < 0)
		return;
	p->failed_indexes = index_set_union(p->a,
		index_set_parse(
			p->a, json_str(json_get(p->status, "failedIndexes")), p->completions),
		indexes_where(p, has_failed_index));
	find_delayed(p);
}

struct job_pass *job_pass_read(struct arena *a, const struct json *job, bool deleting,
	struct object **pods, size_t pod_count, struct pod_views *views, int64_t now_ns)
{
	struct job_pass *p = ARENA_NEW(a, struct job_pass);
	p->a = a;
	p->now_ns = now_ns;
	p->doc = job;
	p->spec = json_get(job, "spec");
	p->status = json_get(job, "status");
	p->conditions = json_get(p->status, "conditions");
	p->start_time = json_get(p->status, "startTime");
	p->again_ms = -1;
	read_spec(p, deleting);
	p->pods = arena_zalloc(a, (pod_count + 1) * sizeof(*p->pods));
	p->pod_count = pod_count;
	for (size_t n = 0; n < pod_count; n++) {
		p->pods[n].object = pods[n];
		p->pods[n].view = *pod_view(views, pods[n]);
		read_pod(p, &p->pods[n]);
	}
	if (p->indexed)
		qsort(p->pods, pod_count, sizeof(*p->pods), by_index);
	p->counted_succeeded = json_int_or(json_get(p->status, "succeeded"), 0);
	p->counted_failed = json_int_or(json_get(p->status, "failed"), 0);
	read_uncounted(p);
	p->succeeded = p->counted_succeeded;
	p->failed = p->counted_failed;
	for (size_t n = 0; n < pod_count; n++) {
		const struct job_pod *pod = &p->pods[n];
		bool fresh = pod->tracked && pod->valid && !pod->uncounted;
		p->succeeded +=
			pod->uncounted == JOB_LISTED_SUCCEEDED || (fresh && pod->view.succeeded);
		p->failed +=
			pod->uncounted == JOB_LISTED_FAILED || (fresh && counts_as_failed(pod));
	}
	if (p->indexed)
		read_indexes(p);
	if (!p->start_time && !p->suspended)
		p->start_time = meta_time(a, now_ns);
	return p;
}

/* ---- is it over? ---- */

static void finish(struct job_pass *p, const char *type, const char *reason, const char *message)
{
	p->finish = type;
	p->reason = reason;
	p->message = message;
}

static void fail(struct job_pass *p, const char *reason, const char *message)
{
	finish(p, "FailureTarget", reason, message);
}

/* What was decided in an earlier pass stays decided. */
static bool finish_as_before(struct job_pass *p)
{
	static const char *const types[] = {"SuccessCriteriaMet", "FailureTarget"};
	for (size_t n = 0; n < ARRAY_LEN(types); n++)
		if (condition_is(p->conditions, types[n], "True")) {
			const struct json *c = condition_find(p->conditions, types[n]);
			finish(p, types[n], json_str_or(json_get(c, "reason"), ""),
				json_str_or(json_get(c, "message"), ""));
			return true;
		}
	return false;
}

static bool too_many_restarts(const struct job_pass *p)
{
	int64_t restarts = 0;
	if (!streq(json_str(json_path(p->spec, "template.spec.restartPolicy")), "OnFailure"))
		return false;
	for (size_t n = 0; n < p->pod_count; n++)
		if (!p->pods[n].view.terminal)
			restarts += p->pods[n].view.restarts_sum;
	return p->backoff_limit ? restarts >= p->backoff_limit : restarts > 0;
}

static void again_in(struct job_pass *p, int64_t ns)
{
	int64_t ms = ns / NS_PER_MS + 1;
	if (p->again_ms < 0 || ms < p->again_ms)
		p->again_ms = ms;
}

static bool past_deadline(struct job_pass *p)
{
	if (p->deadline_s < 0 || !p->start_time || p->suspended)
		return false;
	/* A deadline in far years must not overflow. */
	int64_t ran_ns = p->now_ns - meta_time_ns(p->start_time),
		most_ns = MIN(p->deadline_s, INT64_C(4000000000)) * NS_PER_S;
	if (ran_ns >= most_ns)
		return true;
	again_in(p, most_ns - ran_ns);
	return false;
}

static void finish_by_indexes(struct job_pass *p)
{
	int64_t failed = index_set_size(p->failed_indexes);
	if (p->max_failed_indexes >= 0 && failed > p->max_failed_indexes)
		fail(p, "MaxFailedIndexesExceeded",
			"Job has exceeded the specified maximal number of failed indexes");
	else if (failed && failed + p->succeeded >= p->completions)
		fail(p, "FailedIndexes", "Job has failed indexes");
	if (p->finish)
		return;
	const char *met = job_success_rule(
		p->a, json_get(p->spec, "successPolicy"), p->completions, p->succeeded_indexes);
	if (met)
		finish(p, "SuccessCriteriaMet", "SuccessPolicy", met);
}

static void decide_finish(struct job_pass *p)
{
	if (finish_as_before(p))
		return;
	if (p->fail_job_message)
		fail(p, "PodFailurePolicy", p->fail_job_message);
	else if (p->failed > p->backoff_limit || too_many_restarts(p))
		fail(p, "BackoffLimitExceeded", "Job has reached the specified backoff limit");
	else if (past_deadline(p))
		fail(p, "DeadlineExceeded", "Job was active longer than specified deadline");
	else if (p->indexed)
		finish_by_indexes(p);
}

/* ---- pods to delete ---- */

/* Pods that should not be: without a place among the indexes, or not the best of their index. */
static size_t misplaced(struct job_pass *p, struct deletion_rank *ranks, size_t count)
{
	struct deletion_rank *group = arena_alloc(p->a, (count + 1) * sizeof(*group));
	size_t gone = 0, kept = 0;
	struct deletion_rank *keep = arena_alloc(p->a, (count + 1) * sizeof(*keep));
	struct deletion_rank *out = arena_alloc(p->a, (count + 1) * sizeof(*out));
	for (size_t n = 0; n < count;) {
		size_t members = 0;
		int64_t index = ranks[n].pod->completion_index;
		bool valid = index >= 0 && index < p->completions;
		for (; n < count && ranks[n].pod->completion_index == index; n++)
			group[members++] = ranks[n];
		deletion_order(group, members, 0);
		for (size_t m = 0; m < members; m++)
			if (valid && m + 1 == members)
				keep[kept++] = group[m];
			else
				out[gone++] = group[m];
	}
	memcpy(ranks, out, gone * sizeof(*ranks));
	memcpy(ranks + gone, keep, kept * sizeof(*ranks));
	return gone;
}

static void remove_surplus(struct job_pass *p, int64_t wanted)
{
	struct deletion_rank *ranks = arena_zalloc(p->a, ((size_t)p->active + 1) * sizeof(*ranks));
	size_t count = 0, gone = 0;
	for (size_t n = 0; n < p->pod_count; n++)
		if (p->pods[n].view.active)
			ranks[count++] = (struct deletion_rank){
				.pod = &p->pods[n].view, .object = p->pods[n].object};
	if (p->indexed)
		gone = misplaced(p, ranks, count);
	size_t surplus = (size_t)MAX(p->active - wanted, 0);
	if (gone < surplus) {
		deletion_order(ranks + gone, count - gone, 0);
		gone = surplus;
	}
	gone = MIN(gone, (size_t)JOB_BURST);
	p->remove = arena_alloc(p->a, (gone + 1) * sizeof(struct job_pod *));
	for (size_t n = 0; n < gone; n++)
		p->remove[p->remove_count++] =
			CONTAINER_OF((struct pod_view *)ranks[n].pod, struct job_pod, view);
}

static void remove_all(struct job_pass *p, bool tracked)
{
	p->remove = arena_alloc(p->a, (p->pod_count + 1) * sizeof(struct job_pod *));
	p->remove_tracked = tracked;
	for (size_t n = 0; n < p->pod_count; n++)
		if (p->pods[n].view.active)
			p->remove[p->remove_count++] = &p->pods[n];
}

/* ---- pods to create ---- */

int64_t job_backoff_left_ns(int64_t failures, int64_t last_failure_ns, int64_t now_ns)
{
	int64_t wait_ns = BACKOFF_NS;
	if (!failures)
		return 0;
	while (--failures > 0 && wait_ns < BACKOFF_MAX_NS)
		wait_ns *= 2;
	return MAX(MIN(wait_ns, BACKOFF_MAX_NS) - (now_ns - last_failure_ns), 0);
}

/* Failures since the last success, of pods that are still there to be seen. */
static int64_t backoff_left_ns(const struct job_pass *p)
{
	int64_t success_ns = INT64_MIN, failure_ns = 0, failures = 0;
	for (size_t n = 0; n < p->pod_count; n++)
		if (p->pods[n].view.succeeded)
			success_ns = MAX(success_ns, p->pods[n].view.finished_ns);
	for (size_t n = 0; n < p->pod_count; n++) {
		const struct job_pod *pod = &p->pods[n];
		/* One that was taken away (suspension, fewer wanted) is no failure. */
		bool failed =
			pod->tracked ? pod->failed : pod->view.failed && !pod->object->deleting;
		if (!failed || !pod->valid || pod->view.finished_ns <= success_ns)
			continue;
		failures++;
		failure_ns = MAX(failure_ns, pod->view.finished_ns);
	}
	return job_backoff_left_ns(failures, failure_ns, p->now_ns);
}

static struct job_pod *delayed_of(const struct job_pass *p, int64_t index)
{
	size_t low = 0, high = p->pod_count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (p->pods[middle].view.completion_index < index)
			low = middle + 1;
		else
			high = middle;
	}
	for (; low < p->pod_count && p->pods[low].view.completion_index == index; low++)
		if (p->pods[low].delayed)
			return &p->pods[low];
	return NULL;
}

static void choose_indexes(struct job_pass *p, size_t most)
{
	struct index_set taken =
		index_set_union(p->a, p->succeeded_indexes, indexes_where(p, is_active));
	if (p->only_replace_failed)
		taken = index_set_union(p->a, taken, indexes_where(p, is_terminating));
	taken = index_set_union(p->a, taken, p->failed_indexes);
	int64_t *free_indexes = arena_alloc(p->a, (most + 1) * sizeof(*free_indexes));
	size_t count = index_set_missing(taken, p->completions, most, free_indexes);
	p->create_indexes = free_indexes;
	p->replaced = arena_zalloc(p->a, (count + 1) * sizeof(struct job_pod *));
	for (size_t n = 0; n < count; n++) {
		struct job_pod *before = delayed_of(p, free_indexes[n]);
		int64_t wait_ns = before ? job_backoff_left_ns(all_failures(before) + 1,
						   before->view.finished_ns, p->now_ns)
					 : 0;
		if (wait_ns) {
			again_in(p, wait_ns);
			continue;
		}
		p->replaced[p->create_count] = before;
		free_indexes[p->create_count++] = free_indexes[n];
	}
}

static void manage(struct job_pass *p)
{
	int64_t wanted;
	p->managed = true;
	if (p->suspended) {
		remove_all(p, false);
		return;
	}
	if (p->completions < 0)
		wanted = p->succeeded ? p->active : p->parallelism;
	else
		wanted = MAX(MIN(p->completions - p->succeeded, p->parallelism), 0);
	/* A pass deletes or creates, never both. */
	remove_surplus(p, wanted);
	int64_t missing = wanted - p->active - (p->only_replace_failed ? p->terminating : 0);
	if (p->remove_count || missing <= 0)
		return;
	int64_t wait_ns = p->per_index_limit < 0 ? backoff_left_ns(p) : 0;
	if (wait_ns) {
		again_in(p, wait_ns);
		return;
	}
	p->create_count = (size_t)MIN(missing, JOB_BURST);
	if (p->indexed) {
		size_t most = p->create_count;
		p->create_count = 0;
		choose_indexes(p, most);
	}
}

void job_decide(struct job_pass *p)
{
	decide_finish(p);
	if (p->finish)
		remove_all(p, true);
	else if (!p->deleting)
		manage(p);
}

#include "server/controllers/workloads/deployment_status.h"

#include "server/controllers/meta.h"

#define NO_DEADLINE INT32_MAX /* upstream's word for "never" */

static int64_t count_of(const struct json *status, const char *name)
{
	return json_int_or(json_get(status, name), 0);
}

bool deployment_complete(const struct json *doc, const struct json *status)
{
	int64_t replicas = json_path_int(doc, "spec.replicas", 1);
	return count_of(status, "updatedReplicas") == replicas &&
	       count_of(status, "replicas") == replicas &&
	       count_of(status, "availableReplicas") == replicas &&
	       count_of(status, "observedGeneration") >=
		       json_path_int(doc, "metadata.generation", 0);
}

static bool progressed(const struct json *was, const struct json *is)
{
	int64_t old_was = count_of(was, "replicas") - count_of(was, "updatedReplicas");
	int64_t old_is = count_of(is, "replicas") - count_of(is, "updatedReplicas");
	return count_of(is, "updatedReplicas") > count_of(was, "updatedReplicas") ||
	       old_is < old_was || count_of(is, "readyReplicas") > count_of(was, "readyReplicas") ||
	       count_of(is, "availableReplicas") > count_of(was, "availableReplicas");
}

static struct json *set_progress(struct arena *a, struct json *conditions, const char *status,
	const char *reason, const char *message, int64_t now_ns)
{
	struct condition c = {"Progressing", status, reason, message, true};
	return condition_set(a, conditions, &c, now_ns);
}

/* lastUpdateTime is the clock of the progress deadline: every step forward winds it up. */
static struct json *touch_progress(struct arena *a, struct json *conditions, const char *reason,
	const char *message, int64_t now_ns)
{
	struct json *old = condition_find(conditions, "Progressing");
	struct json *since = streq(json_str(json_get(old, "status")), "True")
				     ? json_get(old, "lastTransitionTime")
				     : NULL;
	struct json *all = set_progress(
		a, condition_drop(a, conditions, "Progressing"), "True", reason, message, now_ns);
	if (since)
		json_set(a, condition_find(all, "Progressing"), "lastTransitionTime", since);
	return all;
}

static int64_t deadline_left_ns(const struct json *condition, int64_t deadline_s, int64_t now_ns)
{
	int64_t since_ns = meta_time_ns(json_get(condition, "lastUpdateTime"));
	if (!since_ns)
		since_ns = meta_time_ns(json_get(condition, "lastTransitionTime"));
	return since_ns + deadline_s * NS_PER_S - now_ns;
}

static struct json *rolling_progress(struct arena *a, const struct deployment_view *d,
	struct json *conditions, const struct json *status, int64_t now_ns, int64_t *ret_check_ms)
{
	int64_t deadline_s = json_path_int(d->doc, "spec.progressDeadlineSeconds", 600);
	if (deadline_s == NO_DEADLINE)
		return condition_drop(a, conditions, "Progressing");
	const struct json *was = json_get(d->doc, "status");
	struct json *present = condition_find(conditions, "Progressing");
	const char *reason = json_str_or(json_get(present, "reason"), "");
	const char *what = d->new_set
				   ? arena_printf(a, "ReplicaSet \"%s\"", d->new_set->object->name)
				   : arena_printf(a, "Deployment \"%s\"", d->object->name);
	bool was_complete = streq(reason, "NewReplicaSetAvailable") &&
			    count_of(status, "replicas") == count_of(status, "updatedReplicas");
	if (was_complete)
		return conditions;
	if (deployment_complete(d->doc, status))
		return touch_progress(a, conditions, "NewReplicaSetAvailable",
			arena_printf(a, "%s has successfully progressed.", what), now_ns);
	if (progressed(was, status))
		return touch_progress(a, conditions, "ReplicaSetUpdated",
			arena_printf(a, "%s is progressing.", what), now_ns);
	if (!present || streq(reason, "NewReplicaSetAvailable") ||
		streq(reason, "ProgressDeadlineExceeded"))
		return conditions;
	int64_t left_ns = deadline_left_ns(present, deadline_s, now_ns);
	if (left_ns > 0) {
		*ret_check_ms = left_ns / NS_PER_MS + 1;
		return conditions;
	}
	return set_progress(a, conditions, "False", "ProgressDeadlineExceeded",
		arena_printf(a, "%s has timed out progressing.", what), now_ns);
}

static struct json *availability(struct arena *a, const struct deployment_view *d,
	struct json *conditions, int64_t available, int64_t now_ns)
{
	bool enough = available >= d->limits->replicas - d->limits->unavailable;
	struct condition c = {"Available", enough ? "True" : "False",
		enough ? "MinimumReplicasAvailable" : "MinimumReplicasUnavailable",
		enough ? "Deployment has minimum availability."
		       : "Deployment does not have minimum availability.",
		true};
	return condition_set(a, conditions, &c, now_ns);
}

static struct json *replica_failure(
	struct arena *a, const struct deployment_view *d, struct json *conditions, int64_t now_ns)
{
	struct json *found = NULL;
	if (d->new_set)
		found = condition_find(
			json_path(d->new_set->doc, "status.conditions"), "ReplicaFailure");
	for (size_t n = 0; n < d->count && !found; n++)
		found = condition_find(
			json_path(d->sets[n].doc, "status.conditions"), "ReplicaFailure");
	if (!found)
		return condition_find(conditions, "ReplicaFailure")
			       ? condition_drop(a, conditions, "ReplicaFailure")
			       : conditions;
	struct condition c = {"ReplicaFailure", json_str_or(json_get(found, "status"), "True"),
		json_str_or(json_get(found, "reason"), ""),
		json_str_or(json_get(found, "message"), ""), true};
	return condition_set(a, conditions, &c, now_ns);
}

struct json *deployment_status(
	struct arena *a, const struct deployment_view *d, int64_t now_ns, int64_t *ret_check_ms)
{
	int64_t specified = 0, replicas = 0, ready = 0, available = 0;
	for (size_t n = 0; n < d->count; n++) {
		specified += d->sets[n].size.replicas;
		replicas += d->sets[n].status_replicas;
		ready += d->sets[n].ready;
		available += d->sets[n].size.available;
	}
	struct json *status = json_new_object(a);
	json_set_int(
		a, status, "observedGeneration", json_path_int(d->doc, "metadata.generation", 0));
	json_set(a, status, "replicas", count_or_null(a, replicas));
	json_set(a, status, "updatedReplicas",
		count_or_null(a, d->new_set ? d->new_set->status_replicas : 0));
	json_set(a, status, "readyReplicas", count_or_null(a, ready));
	json_set(a, status, "availableReplicas", count_or_null(a, available));
	json_set(a, status, "unavailableReplicas", count_or_null(a, MAX(specified - available, 0)));
	if (d->collisions)
		json_set_int(a, status, "collisionCount", d->collisions);

	struct json *conditions = json_path(d->doc, "status.conditions");
	if (!conditions)
		conditions = json_new_array(a);
	*ret_check_ms = -1;
	conditions = availability(a, d, conditions, available, now_ns);
	if (d->progress_reason)
		conditions = set_progress(a, conditions, d->progress_status, d->progress_reason,
			d->progress_message, now_ns);
	else if (!d->paused)
		conditions = rolling_progress(a, d, conditions, status, now_ns, ret_check_ms);
	conditions = replica_failure(a, d, conditions, now_ns);
	json_set(a, status, "conditions", conditions);
	return status;
}

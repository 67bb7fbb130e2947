#include "server/controllers/snapshots/snapshot.h"

#define DEADLINE_DEFAULT_NS (300 * NS_PER_S)

int64_t snapshot_deadline_ns(const struct json *doc)
{
	const char *text = json_path_str(doc, "spec.failureDeadline");
	int64_t wait_ns = DEADLINE_DEFAULT_NS;

	if (text && duration_parse(text, &wait_ns) < 0)
		wait_ns = DEADLINE_DEFAULT_NS;
	return wait_ns == 0 ? 0 : time_after(json_path(doc, "metadata.creationTimestamp"), wait_ns);
}

static struct json *volume_lists(struct arena *a, const struct json *content)
{
	struct json *included = json_new_array(a), *excluded = json_new_array(a);
	struct json *lists = json_new_object(a);

	JSON_FOR_EACH_ITEM(v, vm_volumes(json_path(content, "spec.source.virtualMachine"))) {
		const char *name = json_str_or(json_get(v, "name"), "");
		bool in = false;

		JSON_FOR_EACH_ITEM(b, json_path(content, "spec.volumeBackups"))
			in = in || streq(json_str(json_get(b, "volumeName")), name);
		if (*name)
			json_push(a, in ? included : excluded, json_new_string(a, name));
	}
	if (json_count(included))
		json_set(a, lists, "includedVolumes", included);
	if (json_count(excluded))
		json_set(a, lists, "excludedVolumes", excluded);
	return lists;
}

static void add_indication(struct arena *a, struct json *names, struct json *list, const char *name,
	const char *message)
{
	struct json *one = json_new_object(a);

	json_push(a, names, json_new_string(a, name));
	json_set_str(a, one, "indication", name);
	json_set_str(a, one, "message", message);
	json_push(a, list, one);
}

static bool had_indication(const struct snapshot_pass *p, const char *name)
{
	JSON_FOR_EACH_ITEM(it, json_path(p->doc, "status.indications"))
		if (streq(json_str(it), name))
			return true;
	return false;
}

/* Upstream's words, in the order of their names. */
static void set_indications(struct arena *a, const struct snapshot_pass *p, struct json *status)
{
	const struct json *conditions = json_path(p->instance_doc, "status.conditions");
	struct json *names = json_new_array(a), *list = json_new_array(a);
	bool paused = condition_is(conditions, "Paused", "True");
	bool agent = !paused && condition_is(conditions, "AgentConnected", "True");

	if (!p->instance_doc)
		return;
	if (agent)
		add_indication(a, names, list, "GuestAgent",
			"Guest agent was active and attempted to quiesce the filesystem for "
			"application consistency.");
	else if (!paused)
		add_indication(a, names, list, "NoGuestAgent",
			"Guest agent was not available. Snapshot is crash-consistent and may not "
			"be "
			"application-consistent.");
	add_indication(a, names, list, "Online",
		"Snapshot taken while the VM was running. Consistency depends on guest-agent "
		"quiescing.");
	const char *error = json_path_str(p->content_doc, "status.error.message");
	bool quiesce_failed = error ? strstr(error, "Failed freezing vm") != NULL
				    : had_indication(p, "QuiesceFailed");
	if (paused)
		add_indication(a, names, list, "Paused",
			"Snapshot taken while the VM was paused. Snapshot is crash-consistent and "
			"may not be application-consistent.");
	/* Said also when a later try went well: upstream's is not taken back either. */
	if (quiesce_failed)
		add_indication(a, names, list, "QuiesceFailed",
			"Quiescing the guest's file systems by its agent failed.");
	json_set(a, status, "indications", names);
	json_set(a, status, "sourceIndications", list);
}

static void copy_from_content(struct arena *a, const struct snapshot_pass *p, struct json *status)
{
	static const char *const names[] = {"creationTime", "readyToUse", "error"};
	const struct json *from = json_get(p->content_doc, "status");

	if (!json_count(from))
		return;
	json_set_str(a, status, "virtualMachineSnapshotContentName", p->content->name);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		struct json *v = json_get(from, names[i]);
		json_set(a, status, names[i], v ? json_copy(a, v) : json_new_null(a));
	}
}

struct json *snapshot_status(struct arena *a, const struct snapshot_pass *p, int64_t now_ns)
{
	const struct json *was = json_get(p->doc, "status");
	struct json *status = json_new_object(a), *conditions = json_get(was, "conditions");
	const char *phase = json_str_or(json_get(was, "phase"), "");
	int64_t deadline = snapshot_deadline_ns(p->doc);
	bool ended = snapshot_ended(p->doc);

	if (!was)
		json_set_bool(a, status, "readyToUse", false);
	if (p->vm && !json_get(was, "sourceUID"))
		json_set_str(a, status, "sourceUID", p->vm->uid);
	copy_from_content(a, p, status);
	bool created = json_is(json_get(status, "creationTime"), JSON_STRING);
	const struct json *error = json_get(status, "error");
	if (p->error) {
		struct json *e = json_new_object(a);
		const char *said = json_path_str(was, "error.message");
		const char *since = json_path_str(was, "error.time");
		json_set_str(a, e, "message", p->error);
		json_set(a, e, "time",
			streq(said, p->error) && since ? json_new_string(a, since)
						       : meta_time(a, now_ns));
		json_set(a, status, "error", e);
		error = e;
	}
	if (streq(phase, "Failed") || (!ended && !created && deadline && now_ns > deadline)) {
		json_set_str(a, status, "phase", "Failed");
		conditions = reason_condition(
			a, conditions, "Failure", "True", "snapshot deadline exceeded", now_ns);
		conditions = reason_condition(
			a, conditions, "Progressing", "False", "Operation failed", now_ns);
	} else if (ended || created) {
		json_set_str(a, status, "phase", "Succeeded");
		conditions = reason_condition(
			a, conditions, "Progressing", "False", "Operation complete", now_ns);
		if (p->content_doc)
			json_set(a, status, "snapshotVolumes", volume_lists(a, p->content_doc));
	} else {
		json_set_str(a, status, "phase", p->o->deleting ? "Deleting" : "InProgress");
		conditions = reason_condition(a, conditions, "Progressing",
			p->vm && p->locked && !p->o->deleting ? "True" : "False",
			p->o->deleting ? "VM snapshot is deleting"
			: p->vm	       ? p->lock_message
				       : "Source does not exist",
			now_ns);
		set_indications(a, p, status);
	}
	const struct json *ready = json_get(status, "readyToUse");
	bool usable = json_bool_or(ready ? ready : json_get(was, "readyToUse"), false);
	conditions = reason_condition(a, conditions, "Ready", usable ? "True" : "False",
		usable ? "Ready" : "Not ready", now_ns);
	if (json_count(error))
		conditions = reason_condition(
			a, conditions, "Progressing", "False", "In error state", now_ns);
	json_set(a, status, "conditions", (struct json *)conditions);
	return status;
}

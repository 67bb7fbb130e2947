/* snapshot.c - snapshots of virtual machines: made, listed, gone back to, deleted. */
#include <stdio.h>
#include <time.h>

#include "cli/virt/virt.h"

#define GROUP "snapshot.kubevirt.io/v1beta1"
/* Says what a snapshot was made after; where a tree has its edges from. */
#define PARENT_ANNOTATION "hanok.io/parent-snapshot"
#define MEMORY_ANNOTATION "hanok.io/snapshot-memory"

static const char *failure_of(const struct json *object)
{
	const char *message = json_path_str(object, "status.error.message");
	JSON_FOR_EACH_ITEM(c, json_path(object, "status.conditions")) {
		const char *type = json_str_or(json_get(c, "type"), "");
		if (!message && (streq(type, "Failure") || streq(type, "Ready")))
			message =
				json_str(json_get(c, "message")) ?: json_str(json_get(c, "reason"));
	}
	return message ? message : "no reason was given";
}

static int until_ready(void *user, const struct json *object, struct err *err)
{
	if (!object)
		return err_set(err, -ENOENT, "it was deleted");
	if (streq(json_str_or(json_path(object, "status.phase"), ""), "Failed"))
		return err_set(err, -EIO, "it failed: %s", failure_of(object));
	return json_path_bool(object, "status.readyToUse", false);
}

static int until_complete(void *user, const struct json *object, struct err *err)
{
	if (!object)
		return err_set(err, -ENOENT, "it was deleted");
	JSON_FOR_EACH_ITEM(c, json_path(object, "status.conditions")) {
		if (streq(json_str_or(json_get(c, "type"), ""), "Failure") &&
			streq(json_str_or(json_get(c, "status"), ""), "True"))
			return err_set(err, -EIO, "it failed: %s",
				json_str_or(json_get(c, "message"), "no reason was given"));
	}
	return json_path_bool(object, "status.complete", false);
}

static struct json *about(struct virt *v, const char *kind, const char *name, const char *field,
	const struct virt_target *t)
{
	struct arena *a = &v->arena;
	struct json *it = json_new_object(a),
		    *ref = json_object_at(a, json_object_at(a, it, "spec"), field);
	json_set_str(a, it, "apiVersion", GROUP);
	json_set_str(a, it, "kind", kind);
	json_path_set(a, it, "metadata.name", json_new_string(a, name));
	json_set_str(a, ref, "apiGroup", "kubevirt.io");
	json_set_str(a, ref, "kind", "VirtualMachine");
	json_set_str(a, ref, "name", t->name);
	return it;
}

static const char *fresh_name(struct virt *v, const char *stem)
{
	char when[32];
	time_t now = time(NULL);
	struct tm tm;
	gmtime_r(&now, &tm);
	strftime(when, sizeof(when), "%Y%m%d-%H%M%S", &tm);
	return arena_printf(&v->arena, "%s-%s", stem, when);
}

static int wait_for(struct virt *v, const char *namespace, const char *resource, const char *name,
	api_session_until *until, struct err *err)
{
	int64_t seconds = 300;
	int r = virt_number(v, "timeout", 1, 86400, &seconds, err);
	if (r < 0 || virt_has(v, "no-wait"))
		return r;
	return api_session_wait(v->session, virt_path(v, GROUP, namespace, resource, NULL, NULL),
		name, (unsigned)seconds, until, NULL, err);
}

static int create(struct virt *v, struct err *err)
{
	struct arena *a = &v->arena;
	struct virt_target t;
	int r = virt_target(v, v->args[0], &t, err);
	if (r < 0)
		return r;
	const char *name = v->arg_count > 1 ? v->args[1] : fresh_name(v, t.name);
	struct json *it = about(v, "VirtualMachineSnapshot", name, "source", &t);
	if (virt_has(v, "memory"))
		json_set_str(a, json_object_at(a, json_get(it, "metadata"), "annotations"),
			MEMORY_ANNOTATION, "true");
	if (virt_value(v, "failure-deadline"))
		json_path_set(a, it, "spec.failureDeadline",
			json_new_string(a, virt_value(v, "failure-deadline")));
	r = virt_send(v, "POST",
		virt_path(v, GROUP, t.namespace, "virtualmachinesnapshots", NULL, NULL), NULL, it,
		NULL, err);
	if (r == 0)
		r = wait_for(v, t.namespace, "virtualmachinesnapshots", name, until_ready, err);
	if (r < 0)
		return err_context(err, r, "snapshot '%s' of virtual machine '%s/%s'", name,
			t.namespace, t.name);
	virt_say(&t, arena_printf(a, "snapshot %s %s", name,
			     virt_has(v, "no-wait") ? "requested" : "is there"));
	return 0;
}

static int restore(struct virt *v, struct err *err)
{
	struct arena *a = &v->arena;
	struct virt_target t;
	int r = virt_target(v, v->args[0], &t, err);
	if (r < 0)
		return r;
	const char *snapshot = v->args[1],
		   *name = fresh_name(v, arena_printf(a, "restore-%s", snapshot));
	struct json *it = about(v, "VirtualMachineRestore", name, "target", &t);
	json_path_set(a, it, "spec.virtualMachineSnapshotName", json_new_string(a, snapshot));
	if (virt_has(v, "stop"))
		json_path_set(
			a, it, "spec.targetReadinessPolicy", json_new_string(a, "StopTarget"));
	r = virt_send(v, "POST",
		virt_path(v, GROUP, t.namespace, "virtualmachinerestores", NULL, NULL), NULL, it,
		NULL, err);
	if (r == 0)
		r = wait_for(v, t.namespace, "virtualmachinerestores", name, until_complete, err);
	if (r < 0)
		return err_context(err, r, "restore virtual machine '%s/%s' from snapshot '%s'",
			t.namespace, t.name, snapshot);
	virt_say(&t, arena_printf(a, "%s snapshot %s",
			     virt_has(v, "no-wait") ? "goes back to" : "is as in", snapshot));
	return 0;
}

static int until_gone(void *user, const struct json *object, struct err *err)
{
	return object == NULL;
}

static int delete (struct virt *v, struct err *err)
{
	const char *name = v->args[0];
	int r = virt_send(v, "DELETE",
		virt_path(v, GROUP, v->namespace, "virtualmachinesnapshots", name, NULL), NULL,
		NULL, NULL, err);
	if (r == 0)
		r = wait_for(v, v->namespace, "virtualmachinesnapshots", name, until_gone, err);
	if (r < 0)
		return err_context(err, r, "delete snapshot '%s/%s'", v->namespace, name);
	printf("snapshot %s/%s: deleted\n", v->namespace, name);
	return 0;
}

static const char *source_of(const struct json *snapshot)
{
	return json_str_or(json_path(snapshot, "spec.source.name"), "");
}

static const char *name_of(const struct json *object)
{
	return json_str_or(json_path(object, "metadata.name"), "");
}

static const char *parent_of(const struct json *snapshot)
{
	return json_str_or(
		json_get(json_path(snapshot, "metadata.annotations"), PARENT_ANNOTATION), "");
}

static bool is_meant(struct virt *v, const struct json *snapshot)
{
	return v->arg_count == 0 || streq(source_of(snapshot), v->args[0]);
}

/* Is the snapshot that this one came after still there? */
static bool has_parent(const struct json *list, const struct json *snapshot)
{
	JSON_FOR_EACH_ITEM(it, list) {
		if (streq(name_of(it), parent_of(snapshot)) &&
			streq(source_of(it), source_of(snapshot)))
			return true;
	}
	return false;
}

static bool is_below(const struct json *list, const struct json *it, const struct json *parent)
{
	return parent ? streq(parent_of(it), name_of(parent)) &&
				streq(source_of(it), source_of(parent))
		      : !has_parent(list, it);
}

/* Lines of those below `parent` (NULL: those without one). A chain of parents may be a circle: then
 * nobody is without, and depth ends the rest. */
static void print_branch(struct virt *v, const struct json *list, const struct json *parent,
	const char *indent, unsigned depth)
{
	size_t left = 0;
	JSON_FOR_EACH_ITEM(it, list) {
		left += is_meant(v, it) && is_below(list, it, parent);
	}
	JSON_FOR_EACH_ITEM(it, list) {
		if (depth > 256 || !is_meant(v, it) || !is_below(list, it, parent))
			continue;
		bool last = --left == 0;
		printf("%s%s%s%s%s%s\n", indent, parent ? (last ? "`- " : "+- ") : "", name_of(it),
			parent ? "" : arena_printf(&v->arena, "  (of %s)", source_of(it)),
			json_path_bool(it, "status.readyToUse", false) ? "" : "  not ready",
			json_get(json_path(it, "metadata.annotations"), MEMORY_ANNOTATION)
				? "  with memory"
				: "");
		print_branch(v, list, it,
			arena_printf(&v->arena, "%s%s", indent,
				!parent ? ""
				: last	? "   "
					: "|  "),
			depth + 1);
	}
}

static int list(struct virt *v, struct err *err)
{
	struct json *doc;
	int r = virt_get(v,
		virt_path(v, GROUP, v->namespace, "virtualmachinesnapshots", NULL, NULL), &doc,
		err);
	if (r < 0)
		return r;
	const struct json *items = json_get(doc, "items");
	if (virt_has(v, "tree")) {
		print_branch(v, items, NULL, "", 0);
		return 0;
	}
	static const char *const titles[] = {
		"NAME", "MACHINE", "PHASE", "READY", "AFTER", "INDICATIONS", "AGE"};
	struct virt_table t = virt_table(v, ARRAY_LEN(titles), titles);
	JSON_FOR_EACH_ITEM(it, items) {
		if (!is_meant(v, it))
			continue;
		struct buf indications = BUF_INIT;
		JSON_FOR_EACH_ITEM(i, json_path(it, "status.indications")) {
			buf_printf(&indications, "%s%s", indications.size ? "," : "",
				json_str_or(i, ""));
		}
		virt_table_cell(&t, name_of(it));
		virt_table_cell(&t, source_of(it));
		virt_table_cell(&t, json_path_str(it, "status.phase"));
		virt_table_cell(&t, json_path_bool(it, "status.readyToUse", false) ? "yes" : "no");
		virt_table_cell(&t, parent_of(it));
		virt_table_cell(&t, indications.data);
		virt_table_cell(&t, virt_age(v, json_path_str(it, "metadata.creationTimestamp")));
		buf_finish(&indications);
	}
	virt_table_print(&t);
	return 0;
}

#define WAIT_FLAGS                                                                                 \
	{"no-wait", 0, NULL, "return when it is asked for"},                                       \
	{                                                                                          \
		"timeout", 0, "SECONDS", "to wait; default 300"                                    \
	}
static const struct virt_flag create_flags[] = {
	{"memory", 0, NULL, "with what is in its memory, of a running machine"},
	{"failure-deadline", 0, "DURATION", "given up after that, 5m"}, WAIT_FLAGS, {0}};
static const struct virt_flag restore_flags[] = {
	{"stop", 0, NULL, "stop the machine first, if it runs"}, WAIT_FLAGS, {0}};
static const struct virt_flag wait_flags[] = {WAIT_FLAGS, {0}};
static const struct virt_flag list_flags[] = {{"tree", 0, NULL, "which came after which"}, {0}};

const struct virt_verb virt_snapshot_verbs[] = {
	{"snapshot-create", "NAME [SNAPSHOT]", 1, 2, "make one", create, create_flags, false},
	{"snapshot-list", "[NAME]", 0, 1, "what there is", list, list_flags, false},
	{"snapshot-restore|snapshot-revert", "NAME SNAPSHOT", 2, 2, "go back to one", restore,
		restore_flags, false},
	{"snapshot-delete", "SNAPSHOT", 1, 1, "delete one", delete, wait_flags, false},
	{0},
};

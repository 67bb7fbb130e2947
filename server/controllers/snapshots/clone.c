/* clone.c - VirtualMachineClone: a new machine out of another, or of a snapshot of one.
 *
 *   (none) -> SnapshotInProgress -> RestoreInProgress -> CreatingTargetVM -> Succeeded
 *              of a machine: a        into a machine       what was only for
 *              snapshot of its own    that is not there    the clone goes
 *
 *   Failed: the snapshot or the restore did; the words are in the condition and the event.
 *
 * (KubeVirt user guide: "Clone API".) */
#include "server/controllers/snapshots/clone_patches.h"

#define COMPONENT "clone-controller"
#define RETRY_MS 5000

struct clones {
	struct loop *loop;
	struct client *client;
	struct informer *clones, *snapshots, *contents, *restores, *machines;
};

struct pass {
	struct clones *c;
	struct object *o;
	struct json *doc;
	const char *phase, *snapshot, *restore, *target;
	bool of_machine; /* its source is one; else a snapshot */
};

/* ---- status ---- */

static void set_status(struct sync *s, struct json *status, const char *progressing,
	const char *ready, const char *reason)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	int64_t now = loop_wall_ns(s->loop);
	struct json *list = json_path(p->doc, "status.conditions");

	if (!status)
		status = json_new_object(a);
	list = reason_condition(a, list, "Progressing", progressing, reason, now);
	json_set(a, status, "conditions", reason_condition(a, list, "Ready", ready, reason, now));
	sync_status(s, p->o, p->doc, status, NULL, NULL);
}

static void move(struct sync *s, const char *phase, const char *member, const char *name)
{
	struct json *status = json_new_object(&s->arena);

	json_set_str(&s->arena, status, "phase", phase);
	if (member)
		json_set_str(&s->arena, status, member, name);
	set_status(s, status, "True", "False", "Still processing");
}

static void tell(struct sync *s, const char *type, const char *reason, const char *text)
{
	struct pass *p = s->state;

	client_event_as(p->c->client, COMPONENT, p->o, NULL, type, reason, "%s", text);
}

static void fail(struct sync *s, const char *event, const char *text)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	struct json *status = json_new_object(a);
	struct condition progressing = {"Progressing", "False", "Failed", text, false},
			 ready = {"Ready", "False", "Failed", text, false};
	int64_t now = loop_wall_ns(s->loop);
	struct json *list = json_path(p->doc, "status.conditions");

	tell(s, "Warning", event, text);
	json_set_str(a, status, "phase", "Failed");
	list = condition_set(a, list, &progressing, now);
	json_set(a, status, "conditions", condition_set(a, list, &ready, now));
	sync_status(s, p->o, p->doc, status, NULL, NULL);
}

static void wait_for_source(struct sync *s, const char *event, const char *text)
{
	tell(s, "Warning", event, text);
	set_status(s, NULL, "False", "False", "Pending");
	sync_again(s, RETRY_MS);
}

/* ---- parts of its own ---- */

static struct json *new_part(struct sync *s, const char *kind, const char *name)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	struct json *doc = json_new_object(a), *meta = json_object_at(a, doc, "metadata");

	json_set_str(a, doc, "apiVersion", "snapshot.kubevirt.io/v1beta1");
	json_set_str(a, doc, "kind", kind);
	json_set_str(a, meta, "name", name);
	json_set_str(a, meta, "namespace", s->ns);
	json_push(a, json_array_at(a, meta, "ownerReferences"), owner_reference(a, p->o));
	return doc;
}

static struct json *reference(
	struct arena *a, const char *group, const char *kind, const char *name)
{
	struct json *ref = json_new_object(a);

	json_set_str(a, ref, "apiGroup", group);
	json_set_str(a, ref, "kind", kind);
	json_set_str(a, ref, "name", name);
	return ref;
}

struct making {
	const char *phase, *member, *name, *event, *text, *error;
};

static void on_made(struct sync *s, const struct client_result *r, void *user)
{
	struct making *m = user;

	if (client_ok(r) || r->code == 409) {
		tell(s, "Normal", m->event, m->text);
		move(s, m->phase, m->member, m->name);
	} else if (r->code == 400 || r->code == 403 || r->code == 422) {
		fail(s, m->error, arena_strdup(&s->arena, r->message));
	} else {
		sync_check(s, r);
	}
}

static void make_snapshot(struct sync *s)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	const char *source = json_str_or(json_path(p->doc, "spec.source.name"), "");
	const char *name = arena_printf(a, "tmp-snapshot-%s", p->o->uid);
	struct json *doc = new_part(s, "VirtualMachineSnapshot", name);
	struct making *m = ARENA_NEW(a, struct making);

	if (!informer_get(p->c->machines, s->ns, source)) {
		wait_for_source(s, "SourceDoesNotExist",
			arena_printf(
				a, "Source does not exist: VirtualMachine %s/%s", s->ns, source));
		return;
	}
	json_path_set(a, doc, "spec.source", reference(a, "kubevirt.io", "VirtualMachine", source));
	*m = (struct making){"SnapshotInProgress", "snapshotName", name, "SnapshotCreated",
		arena_printf(a, "created snapshot %s for clone %s", name, p->o->name),
		"SnapshotCreationFailed"};
	sync_create(s, informer_kind(p->c->snapshots), s->ns, doc, on_made, m);
}

static const char *target_name(struct sync *s, const struct json *vm)
{
	struct pass *p = s->state;
	const char *name = json_path_str(p->doc, "spec.target.name");

	return name && *name ? name
			     : arena_printf(&s->arena, "%s-clone-%.5s",
				       json_str_or(json_path(vm, "metadata.name"), ""), p->o->uid);
}

static void make_restore(struct sync *s, const struct json *vm)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	const char *name = arena_printf(a, "tmp-restore-%s", p->o->uid);
	const char *target = target_name(s, vm);
	const char *mode = annotation_of(p->doc, DISK_MODE_ANNOTATION);
	struct json *doc = new_part(s, "VirtualMachineRestore", name), *patches;
	struct making *m = ARENA_NEW(a, struct making);
	struct err err = ERR_INIT;

	if (clone_patches(a, p->doc, vm, &patches, &err) < 0) {
		fail(s, "RestoreCreationFailed", arena_strdup(a, err.msg));
		return;
	}
	if (informer_get(p->c->machines, s->ns, target)) {
		fail(s, "RestoreCreationFailed",
			arena_printf(a,
				"VirtualMachine %s/%s exists already: name another one in "
				"spec.target.name, or delete it",
				s->ns, target));
		return;
	}
	if (mode)
		annotation_patch(a, doc, DISK_MODE_ANNOTATION, mode);
	json_path_set(a, doc, "spec.target", reference(a, "kubevirt.io", "VirtualMachine", target));
	json_path_set(a, doc, "spec.virtualMachineSnapshotName", json_new_string(a, p->snapshot));
	if (json_count(patches))
		json_path_set(a, doc, "spec.patches", patches);
	if (streq(json_path_str(p->doc, "spec.volumeNamePolicy"), "PrefixTargetName"))
		json_path_set(
			a, doc, "spec.volumeRestorePolicy", json_new_string(a, "PrefixTargetName"));
	*m = (struct making){"RestoreInProgress", "restoreName", name, "RestoreCreated",
		arena_printf(a, "created restore %s for clone %s", name, p->o->name),
		"RestoreCreationFailed"};
	sync_create(s, informer_kind(p->c->restores), s->ns, doc, on_made, m);
}

/* ---- steps ---- */

static void follow_snapshot(struct sync *s)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	struct object *o = informer_get(p->c->snapshots, s->ns, p->snapshot), *content;
	struct json *doc = o ? object_doc(o, a) : NULL;

	if (!o && p->of_machine && streq(p->phase, "SnapshotInProgress")) {
		sync_again(s, RETRY_MS); /* the cache may be behind; gone for good is seen then */
		make_snapshot(s);
		return;
	}
	if (!o) {
		wait_for_source(s, "SourceDoesNotExist",
			arena_printf(a, "Source does not exist: VirtualMachineSnapshot %s/%s",
				s->ns, p->snapshot));
		return;
	}
	if (streq(json_path_str(doc, "status.phase"), "Failed")) {
		fail(s, "SnapshotFailed",
			arena_printf(a, "snapshot %s failed: %s", p->snapshot,
				json_str_or(json_path(doc, "status.error.message"),
					"its deadline is over")));
		return;
	}
	content = informer_get(p->c->contents, s->ns, snapshot_content_name(a, o, doc));
	if (!snapshot_ready(doc) || !content) {
		move(s, "SnapshotInProgress", "snapshotName", p->snapshot);
		return;
	}
	tell(s, "Normal", "SnapshotReady",
		arena_printf(
			a, "snapshot %s for clone %s is ready to use", p->snapshot, p->o->name));
	make_restore(s, json_path(object_doc(content, a), "spec.source.virtualMachine"));
}

static void follow_restore(struct sync *s)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	struct object *o = informer_get(p->c->restores, s->ns, p->restore);
	struct json *doc = o ? object_doc(o, a) : NULL;
	struct json *failure = condition_find(json_path(doc, "status.conditions"), "Failure");

	if (!o) {
		sync_again(s, RETRY_MS); /* not seen yet; or somebody deleted it: anew */
		follow_snapshot(s);
		return;
	}
	if (failure) {
		fail(s, "RestoreFailed",
			arena_printf(a, "restore %s failed: %s", p->restore,
				json_str_or(json_get(failure, "reason"), "")));
		return;
	}
	if (!json_path_bool(doc, "status.complete", false))
		return;
	tell(s, "Normal", "RestoreReady",
		arena_printf(a, "restore %s for clone %s is ready to use", p->restore, p->o->name));
	move(s, "CreatingTargetVM", "targetName",
		json_str_or(json_path(doc, "spec.target.name"), ""));
}

/* What was made for the clone alone. */
static void remove_parts(struct sync *s)
{
	struct pass *p = s->state;
	struct object *snapshot = p->of_machine && p->snapshot
					  ? informer_get(p->c->snapshots, s->ns, p->snapshot)
					  : NULL;
	struct object *restore =
		p->restore ? informer_get(p->c->restores, s->ns, p->restore) : NULL;

	if (snapshot && !snapshot->deleting)
		sync_delete(s, snapshot, -1, NULL, NULL, NULL);
	if (restore && !restore->deleting)
		sync_delete(s, restore, -1, NULL, NULL, NULL);
}

static void clean_up(struct sync *s)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	struct json *status = json_new_object(a);

	if (!p->target || !informer_get(p->c->machines, s->ns, p->target)) {
		sync_again(s, RETRY_MS); /* the cache is behind */
		return;
	}
	remove_parts(s);
	tell(s, "Normal", "TargetVMCreated",
		arena_printf(a, "created target VM %s for clone %s", p->target, p->o->name));
	json_set_str(a, status, "phase", "Succeeded");
	json_set(a, status, "snapshotName", json_new_null(a));
	json_set(a, status, "restoreName", json_new_null(a));
	set_status(s, status, "False", "True", "Ready");
}

static void reconcile(struct sync *s)
{
	struct clones *c = s->self;
	struct object *o = informer_get(c->clones, s->ns, s->name);
	struct pass *p = ARENA_NEW(&s->arena, struct pass);

	if (!o || o->deleting)
		return;
	s->state = p;
	*p = (struct pass){.c = c, .o = sync_hold(s, o)};
	p->doc = object_doc(o, &s->arena);
	p->phase = json_str_or(json_path(p->doc, "status.phase"), "");
	p->of_machine =
		streq(json_str_or(json_path(p->doc, "spec.source.kind"), ""), "VirtualMachine");
	p->snapshot = p->of_machine ? json_path_str(p->doc, "status.snapshotName")
				    : json_path_str(p->doc, "spec.source.name");
	p->restore = json_path_str(p->doc, "status.restoreName");
	p->target = json_path_str(p->doc, "status.targetName");
	if (streq(p->phase, "Failed"))
		remove_parts(s);
	if (streq(p->phase, "Succeeded") || streq(p->phase, "Failed"))
		return;
	if (streq(p->phase, "CreatingTargetVM"))
		clean_up(s);
	else if (p->restore)
		follow_restore(s);
	else if (p->snapshot)
		follow_snapshot(s);
	else
		make_snapshot(s);
}

/* ---- events ---- */

static void on_clone(void *user, const struct object *old, const struct object *new)
{
	loop_add_object(((struct clones *)user)->loop, new ? new : old);
}

/* A snapshot or a restore: of a clone, or a snapshot that clones are made of. */
static void on_part(void *user, const struct object *old, const struct object *new)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct clones *c = user;
	const struct object *o = new ? new : old;
	const struct object_owner *owner = object_controller(o);
	struct object **all;
	size_t count;

	if (owner && streq(owner->kind, "VirtualMachineClone")) {
		loop_add(c->loop, o->namespace, owner->name);
		return;
	}
	count = informer_list(c->clones, o->namespace, &a, &all);
	for (size_t i = 0; i < count; i++)
		if (streq(json_path_str(object_doc(all[i], &a), "spec.source.name"), o->name))
			loop_add_object(c->loop, all[i]);
}

static void *create(struct shared *sh)
{
	static const struct informer_handler clones = {.changed = on_clone},
					     parts = {.changed = on_part};
	struct clones *c = xcalloc(1, sizeof(*c));

	c->client = sh->client;
	c->loop = loop_create(sh->client, COMPONENT, 2, reconcile, c);
	c->clones = shared_informer(sh, "clone.kubevirt.io", "v1beta1", "VirtualMachineClone");
	c->snapshots =
		shared_informer(sh, "snapshot.kubevirt.io", "v1beta1", "VirtualMachineSnapshot");
	c->contents = shared_informer(
		sh, "snapshot.kubevirt.io", "v1beta1", "VirtualMachineSnapshotContent");
	c->restores =
		shared_informer(sh, "snapshot.kubevirt.io", "v1beta1", "VirtualMachineRestore");
	c->machines = shared_informer(sh, "kubevirt.io", "v1", "VirtualMachine");
	informer_add_handler(c->clones, &clones, c);
	informer_add_handler(c->snapshots, &parts, c);
	informer_add_handler(c->restores, &parts, c);
	return c;
}

static void start(void *self)
{
	loop_start(((struct clones *)self)->loop);
}

static void destroy(void *self)
{
	struct clones *c = self;

	loop_destroy(c->loop);
	free(c);
}

const struct controller_class virtual_machine_clone_controller = {
	"virtualmachineclone", create, start, destroy};

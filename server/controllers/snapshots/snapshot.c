/* snapshot.c - VirtualMachineSnapshot: see snapshot.h. One write to an object a pass: its event
 * brings the next. */
#include "server/controllers/snapshots/snapshot.h"

#define COMPONENT "snapshot-controller"
#define RETRY_MS 5000
#define HANDED_ON_MS 20 /* until the cache has seen it */

static bool keeps_content(const struct snapshot_pass *p)
{
	return streq(json_path_str(p->doc, "spec.deletionPolicy"), "Retain") &&
	       snapshot_ready(p->content_doc);
}

static void delete_content(struct sync *s, struct object *content, const struct json *doc)
{
	if (!finalizer_set(s, content, doc, CONTENT_FINALIZER, false) && !content->deleting)
		sync_delete(s, content, -1, NULL, NULL, NULL);
}

/* A content of disks is its agent's to take. One without is whole as it is. */
static void finish_content(struct sync *s, struct snapshot_pass *p)
{
	struct arena *a = &s->arena;
	struct json *status = json_new_object(a);

	if (object_label(p->content, NODE_LABEL) ||
		json_path(p->content_doc, "status.creationTime"))
		return;
	json_set(a, status, "creationTime", meta_time(a, loop_wall_ns(s->loop)));
	json_set_bool(a, status, "readyToUse", true);
	sync_status(s, p->content, p->content_doc, status, NULL, NULL);
}

/* ---- the tree ---- */

static bool is_of_vm(const struct snapshot_pass *p, const struct json *other)
{
	return streq(json_path_str(other, "spec.source.name"),
		json_path_str(p->doc, "spec.source.name"));
}

/* Those that a clone makes for itself are nobody's parent. */
static bool is_in_tree(const struct snapshot_pass *p)
{
	return !object_controller(p->o);
}

/* A snapshot that goes hands its children to its parent. */
static bool hand_on_children(struct sync *s, struct snapshot_pass *p)
{
	struct arena *a = &s->arena;
	const char *parent = annotation_of(p->doc, PARENT_ANNOTATION);
	struct object **all;
	size_t count = informer_list(p->c->snapshots, s->ns, a, &all);
	bool wrote = false;

	if (parent && !*parent)
		parent = NULL;
	for (size_t i = 0; i < count; i++) {
		struct json *doc = object_doc(all[i], a), *patch = json_new_object(a);

		if (all[i]->deleting || !is_of_vm(p, doc) ||
			!streq(annotation_of(doc, PARENT_ANNOTATION), p->o->name))
			continue;
		annotation_patch(a, patch, PARENT_ANNOTATION, parent);
		sync_patch(s, all[i], NULL, patch, NULL, NULL);
		wrote = true;
	}
	if (p->vm && streq(annotation_of(p->vm_doc, CURRENT_ANNOTATION), p->o->name)) {
		struct json *patch = json_new_object(a);

		annotation_patch(a, patch, CURRENT_ANNOTATION, parent);
		sync_patch(s, p->vm, NULL, patch, NULL, NULL);
		wrote = true;
	}
	return wrote;
}

/* Before it is taken: where the machine is. */
static bool note_parent(struct sync *s, struct snapshot_pass *p)
{
	struct json *patch = json_new_object(&s->arena);
	const char *current = annotation_of(p->vm_doc, CURRENT_ANNOTATION);

	if (!is_in_tree(p) || annotation_of(p->doc, PARENT_ANNOTATION))
		return false;
	annotation_patch(&s->arena, patch, PARENT_ANNOTATION, current ? current : "");
	sync_patch(s, p->o, NULL, patch, NULL, NULL);
	return true;
}

/* After it: it is what the machine stands on. While it is locked, so that nothing comes between. */
static bool note_current(struct sync *s, struct snapshot_pass *p)
{
	struct json *patch = json_new_object(&s->arena);

	if (!is_in_tree(p) || !p->locked || p->o->deleting || !snapshot_ready(p->content_doc) ||
		streq(annotation_of(p->vm_doc, CURRENT_ANNOTATION), p->o->name))
		return false;
	annotation_patch(&s->arena, patch, CURRENT_ANNOTATION, p->o->name);
	sync_patch(s, p->vm, NULL, patch, NULL, NULL);
	return true;
}

/* ---- a pass ---- */

/* True: something was written, the rest is for the next pass. */
static bool act_on_source(struct sync *s, struct snapshot_pass *p)
{
	bool progressing = !snapshot_ended(p->doc) && !p->terminating;

	if (!p->vm)
		return false;
	if (!progressing) {
		if (note_current(s, p))
			return true;
		if (snapshot_ended(p->doc) || !p->content || keeps_content(p))
			return snapshot_unlock(s, p);
		return false;
	}
	if (!p->locked) {
		if (note_parent(s, p) || snapshot_lock(s, p))
			return true;
		sync_again(s, RETRY_MS);
	} else if (!p->content) {
		snapshot_create_content(s, p);
	} else {
		finish_content(s, p);
	}
	return false;
}

static void reconcile_known(struct sync *s, struct snapshot_pass *p)
{
	int64_t now = loop_wall_ns(s->loop), deadline = snapshot_deadline_ns(p->doc);
	bool late = !snapshot_ended(p->doc) && deadline && now > deadline &&
		    !json_path(p->content_doc, "status.creationTime");

	p->terminating =
		p->o->deleting || late || streq(json_path_str(p->doc, "status.phase"), "Failed");
	if (!p->terminating && finalizer_set(s, p->o, p->doc, SNAPSHOT_FINALIZER, true))
		return;
	if (json_get(p->doc, "status") && act_on_source(s, p))
		return;
	bool content_goes = p->terminating && p->content && !keeps_content(p);
	if (content_goes)
		delete_content(s, p->content, p->content_doc);
	else if (p->terminating && p->content &&
		 finalizer_set(s, p->content, p->content_doc, CONTENT_FINALIZER, false))
		return;
	if (sync_status(s, p->o, p->doc, snapshot_status(&s->arena, p, now), NULL, NULL))
		return;
	/* Not before the content is gone: nobody else would delete it. */
	if (p->o->deleting && !p->locked && !content_goes) {
		if (hand_on_children(s, p))
			sync_again(s, HANDED_ON_MS);
		else
			finalizer_set(s, p->o, p->doc, SNAPSHOT_FINALIZER, false);
	}
	if (!snapshot_ended(p->doc) && deadline)
		sync_again(s, MAX((deadline - now) / NS_PER_MS + 1, 1));
}

/* A content may outlive its snapshot: nothing holds it any more. */
static void let_contents_go(struct sync *s, struct snapshots *c)
{
	struct object **all;
	size_t count = informer_list(c->contents, s->ns, &s->arena, &all);

	for (size_t i = 0; i < count; i++) {
		struct json *doc = object_doc(all[i], &s->arena);

		if (streq(json_path_str(doc, "spec.virtualMachineSnapshotName"), s->name))
			finalizer_set(s, all[i], doc, CONTENT_FINALIZER, false);
	}
}

static void find_machine(struct sync *s, struct snapshot_pass *p)
{
	const char *name = json_str_or(json_path(p->doc, "spec.source.name"), "");
	const char *uid = json_path_str(p->doc, "status.sourceUID");
	struct object *vm = informer_get(p->c->machines, s->ns, name);
	struct object *instance = informer_get(p->c->instances, s->ns, name);

	if (!vm || (uid && !streq(uid, vm->uid)))
		return;
	p->vm = sync_hold(s, vm);
	p->vm_doc = object_doc(vm, &s->arena);
	if (instance)
		p->instance_doc = object_doc(instance, &s->arena);
	p->locked = streq(json_path_str(p->vm_doc, "status.snapshotInProgress"), p->o->name) &&
		    meta_has_finalizer(p->vm_doc, SOURCE_FINALIZER);
	p->lock_message =
		p->locked ? "Source locked and operation in progress" : "Source not locked";
}

static void reconcile(struct sync *s)
{
	struct snapshots *c = s->self;
	struct object *o = informer_get(c->snapshots, s->ns, s->name);
	struct snapshot_pass *p = ARENA_NEW(&s->arena, struct snapshot_pass);

	if (!o) {
		let_contents_go(s, c);
		return;
	}
	s->state = p;
	*p = (struct snapshot_pass){.c = c, .o = sync_hold(s, o)};
	p->doc = object_doc(o, &s->arena);
	struct object *content =
		informer_get(c->contents, s->ns, snapshot_content_name(&s->arena, o, p->doc));
	if (content) {
		p->content = sync_hold(s, content);
		p->content_doc = object_doc(content, &s->arena);
	}
	find_machine(s, p);
	reconcile_known(s, p);
}

/* ---- events ---- */

static void on_snapshot(void *user, const struct object *old, const struct object *new)
{
	loop_add_object(((struct snapshots *)user)->loop, new ? new : old);
}

static void on_content(void *user, const struct object *old, const struct object *new)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct object *o = new ? new : old;
	const char *name = json_path_str(object_doc(o, &a), "spec.virtualMachineSnapshotName");

	if (name)
		loop_add(((struct snapshots *)user)->loop, o->namespace, name);
}

/* A machine, or its instance: they have one name. Snapshots that are over don't look at it. */
static void on_machine(void *user, const struct object *old, const struct object *new)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct snapshots *c = user;
	const struct object *o = new ? new : old;
	struct object **all;
	size_t count = informer_list(c->snapshots, o->namespace, &a, &all);
	const char *holder =
		count ? json_path_str(object_doc(o, &a), "status.snapshotInProgress") : NULL;

	for (size_t i = 0; i < count; i++) {
		struct json *doc = object_doc(all[i], &a);

		if (streq(json_path_str(doc, "spec.source.name"), o->name) &&
			(!snapshot_ended(doc) || all[i]->deleting || streq(holder, all[i]->name)))
			loop_add_object(c->loop, all[i]);
	}
}

/* Claims may be what a lock waits for. */
static void on_claim(void *user, const struct object *old, const struct object *new)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct snapshots *c = user;
	const struct object *o = new ? new : old;
	struct object **all;
	size_t count = informer_list(c->snapshots, o->namespace, &a, &all);

	for (size_t i = 0; i < count; i++)
		if (!snapshot_ended(object_doc(all[i], &a)))
			loop_add_object(c->loop, all[i]);
}

static void *create(struct shared *sh)
{
	static const struct informer_handler snapshots = {.changed = on_snapshot},
					     contents = {.changed = on_content},
					     machines = {.changed = on_machine},
					     claims = {.changed = on_claim};
	struct snapshots *c = xcalloc(1, sizeof(*c));

	c->client = sh->client;
	c->loop = loop_create(sh->client, COMPONENT, 2, reconcile, c);
	c->snapshots =
		shared_informer(sh, "snapshot.kubevirt.io", "v1beta1", "VirtualMachineSnapshot");
	c->contents = shared_informer(
		sh, "snapshot.kubevirt.io", "v1beta1", "VirtualMachineSnapshotContent");
	c->machines = shared_informer(sh, "kubevirt.io", "v1", "VirtualMachine");
	c->instances = shared_informer(sh, "kubevirt.io", "v1", "VirtualMachineInstance");
	c->claims = shared_informer(sh, "", "v1", "PersistentVolumeClaim");
	c->classes = shared_informer(sh, "storage.k8s.io", "v1", "StorageClass");
	c->data_volumes = shared_informer(sh, "cdi.kubevirt.io", "v1beta1", "DataVolume");
	informer_add_handler(c->snapshots, &snapshots, c);
	informer_add_handler(c->contents, &contents, c);
	informer_add_handler(c->machines, &machines, c);
	informer_add_handler(c->instances, &machines, c);
	informer_add_handler(c->claims, &claims, c);
	informer_add_handler(c->data_volumes, &claims, c);
	return c;
}

static void start(void *self)
{
	loop_start(((struct snapshots *)self)->loop);
}

static void destroy(void *self)
{
	struct snapshots *c = self;

	loop_destroy(c->loop);
	free(c);
}

const struct controller_class virtual_machine_snapshot_controller = {
	"virtualmachinesnapshot", create, start, destroy};

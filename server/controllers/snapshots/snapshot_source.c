/* snapshot_source.c - the machine of a snapshot: locked while it is taken, and written down with
 * the claims of its disks. */
#include "server/controllers/snapshots/snapshot.h"

/* ---- which claims ---- */

static struct json *claim_doc(struct arena *a, const struct snapshot_pass *p, const char *name)
{
	struct object *o = informer_get(p->c->claims, p->o->namespace, name);

	return o && !o->deleting ? object_doc(o, a) : NULL;
}

/* Only directories of our own provisioner hold layers. */
static bool can_be_taken(struct arena *a, const struct snapshot_pass *p, const struct json *claim)
{
	const char *class = json_str_or(json_path(claim, "spec.storageClassName"), "");
	struct object *o = *class ? informer_get(p->c->classes, "", class) : NULL;

	return o && streq(json_path_str(object_doc(o, a), "provisioner"), LOCAL_PROVISIONER) &&
	       !streq(json_path_str(claim, "spec.volumeMode"), "Block");
}

/* NULL = all are fit; else upstream's words for what isn't. */
static const char *unfit_claim(struct arena *a, const struct snapshot_pass *p)
{
	JSON_FOR_EACH_ITEM(v, vm_volumes(p->vm_doc)) {
		const char *name = volume_claim(v);
		struct json *claim = name ? claim_doc(a, p, name) : NULL;

		if (!name)
			continue;
		if (!claim)
			return arena_printf(a, "volume doesnt exist: %s", name);
		if (!streq(json_path_str(claim, "status.phase"), "Bound"))
			return arena_printf(a, "volume not bound: %s", name);
		if (!claim_is_populated(a, p->c->data_volumes, p->o->namespace, claim))
			return arena_printf(a, "volume not populated: %s", name);
	}
	return NULL;
}

/* ---- the lock ---- */

bool snapshot_lock(struct sync *s, struct snapshot_pass *p)
{
	struct arena *a = &s->arena;
	const char *holder = json_path_str(p->vm_doc, "status.snapshotInProgress");
	const char *unfit = p->locked ? NULL : unfit_claim(a, p);
	struct json *patch = json_new_object(a);

	if (p->locked)
		return false;
	if (unfit) {
		p->lock_message = arena_printf(a, "Source not locked source %s/%s %s",
			p->o->namespace, p->vm->name, unfit);
	} else if (holder && !streq(holder, p->o->name)) {
		p->lock_message =
			arena_printf(a, "Source not locked snapshot \"%s\" in progress", holder);
	} else if (json_path_str(p->vm_doc, "status.restoreInProgress")) {
		p->lock_message = arena_printf(a, "Source not locked restore \"%s\" in progress",
			json_path_str(p->vm_doc, "status.restoreInProgress"));
	} else if (!holder) {
		json_path_set(
			a, patch, "status.snapshotInProgress", json_new_string(a, p->o->name));
		sync_patch(s, p->vm, "status", patch, NULL, NULL);
		return true;
	} else {
		return finalizer_set(s, p->vm, p->vm_doc, SOURCE_FINALIZER, true);
	}
	return false;
}

bool snapshot_unlock(struct sync *s, struct snapshot_pass *p)
{
	struct arena *a = &s->arena;
	struct json *patch = json_new_object(a);

	if (!streq(json_path_str(p->vm_doc, "status.snapshotInProgress"), p->o->name))
		return false;
	if (finalizer_set(s, p->vm, p->vm_doc, SOURCE_FINALIZER, false))
		return true;
	json_path_set(a, patch, "status.snapshotInProgress", json_new_null(a));
	sync_patch(s, p->vm, "status", patch, NULL, NULL);
	return true;
}

/* ---- what is kept ---- */

static struct json *kept_metadata(struct arena *a, const struct json *doc)
{
	struct json *meta = json_copy(a, json_get(doc, "metadata"));

	json_remove(meta, "managedFields");
	return meta;
}

static struct json *backup_of(struct arena *a, const struct snapshot_pass *p,
	const struct json *volume, const struct json *claim)
{
	struct json *backup = json_new_object(a), *kept = json_new_object(a);
	const char *name = json_str_or(json_get(volume, "name"), "");

	json_set_str(a, backup, "volumeName", name);
	json_set(a, kept, "metadata", kept_metadata(a, claim));
	json_set(a, kept, "spec", json_copy(a, json_get(claim, "spec")));
	json_set(a, backup, "persistentVolumeClaim", kept);
	json_set(a, backup, "volumeSnapshotName",
		json_new_printf(a, "vmsnapshot-%s-volume-%s", p->o->uid, name));
	return backup;
}

/* All disks of a machine are on one node: that of the claims. ret_left: one that is in no snapshot.
 */
static const char *add_backups(
	struct arena *a, struct snapshot_pass *p, struct json *backups, const char **ret_left)
{
	const char *node = NULL;

	JSON_FOR_EACH_ITEM(v, vm_volumes(p->vm_doc)) {
		const char *name = volume_claim(v);
		struct json *claim = name ? claim_doc(a, p, name) : NULL;

		if (claim && !can_be_taken(a, p, claim) && !vm_is_memory_dump(v))
			*ret_left = arena_printf(a, "PVC %s is in no snapshot", name);
		/* A dump is no disk: nothing of it is restored. */
		if (!claim || vm_is_memory_dump(v) || !can_be_taken(a, p, claim))
			continue;
		const char *there = annotation_of(claim, SELECTED_NODE_ANNOTATION);
		if (node && !streq(node, there))
			p->error = arena_printf(a,
				"the disks of VirtualMachine %s are on two nodes, %s and %s: "
				"they can't be taken at one moment",
				p->vm->name, node, there ? there : "another");
		node = there ? there : "";
		json_push(a, backups, backup_of(a, p, v, claim));
	}
	return node;
}

static void on_made(struct sync *s, const struct client_result *r, void *user)
{
	struct snapshot_pass *p = s->state;

	if (client_ok(r))
		client_event_as(p->c->client, loop_name(s->loop), p->o, NULL, "Normal",
			"SuccessfulVirtualMachineSnapshotContentCreate",
			"Successfully created VirtualMachineSnapshotContent %s",
			snapshot_content_name(&s->arena, p->o, p->doc));
	else if (r->code != 409)
		sync_check(s, r);
}

static bool keeps_memory(struct sync *s, const struct snapshot_pass *p, const char *left)
{
	const char *useless = vm_memory_useless(&s->arena, p->vm_doc);

	if (!streq(annotation_of(p->doc, MEMORY_ANNOTATION), "true") || !p->instance_doc)
		return false;
	if (!useless)
		useless = left;
	if (useless)
		client_event_as(p->c->client, loop_name(s->loop), p->o, NULL, "Warning",
			"MemoryNotKept", "The guest's memory is not kept, only its disks are: %s",
			useless);
	return !useless;
}

void snapshot_create_content(struct sync *s, struct snapshot_pass *p)
{
	struct arena *a = &s->arena;
	struct json *doc = json_new_object(a), *meta = json_object_at(a, doc, "metadata");
	struct json *spec = json_object_at(a, doc, "spec"), *vm = json_new_object(a);
	struct json *backups = json_new_array(a);
	const char *left = NULL, *node = add_backups(a, p, backups, &left);
	bool memory;

	if (p->error)
		return;
	memory = keeps_memory(s, p, left);
	json_set_str(a, doc, "apiVersion", "snapshot.kubevirt.io/v1beta1");
	json_set_str(a, doc, "kind", "VirtualMachineSnapshotContent");
	json_set_str(a, meta, "name", snapshot_content_name(a, p->o, p->doc));
	json_set_str(a, meta, "namespace", s->ns);
	json_push(a, json_array_at(a, meta, "finalizers"), json_new_string(a, CONTENT_FINALIZER));
	if (node)
		json_set_str(a, json_object_at(a, meta, "labels"), NODE_LABEL, node);
	if (memory)
		json_set_str(a, json_object_at(a, meta, "annotations"), MEMORY_ANNOTATION, "true");
	json_set_str(a, spec, "virtualMachineSnapshotName", p->o->name);
	json_set(a, vm, "metadata", kept_metadata(a, p->vm_doc));
	json_set(a, vm, "spec", json_copy(a, json_get(p->vm_doc, "spec")));
	json_path_set(a, spec, "source.virtualMachine", vm);
	if (json_count(backups))
		json_set(a, spec, "volumeBackups", backups);
	sync_create(s, informer_kind(p->c->contents), s->ns, doc, on_made, NULL);
}

/* restore.c - VirtualMachineRestore: a machine goes back to a snapshot, or a new one is made of it.
 *
 *   machine stopped (by targetReadinessPolicy) -> locked by status.restoreInProgress -> claims
 * made, each filled by its node's agent before it is Bound -> DataVolumes of templates -> machine
 * written
 *   -> old DataVolumes deleted -> unlocked, complete
 *
 * Each step is seen in objects, so that it goes on from wherever it was left. One write to an
 * object a pass; its event brings the next. */
#include "server/controllers/snapshots/restore_vm.h"

#define COMPONENT "restore-controller"
#define GRACE_NS (300 * NS_PER_S)
#define RETRY_MS 5000

struct restores {
	struct loop *loop;
	struct client *client;
	struct informer *restores, *snapshots, *contents, *machines, *instances, *claims,
		*data_volumes;
};

struct pass {
	struct restores *c;
	struct object *o, *vm; /* vm NULL = there is none */
	struct json *doc, *vm_doc, *content_doc, *snapshot_doc;
	const char *target;
	bool restored; /* the machine was written */
	bool reported;
};

/* ---- status ---- */

static struct json *conditions(struct sync *s, const char *progressing, const char *why,
	const char *ready, const char *ready_why)
{
	struct pass *p = s->state;
	int64_t now = loop_wall_ns(s->loop);
	struct json *list = json_path(p->doc, "status.conditions");

	list = reason_condition(&s->arena, list, "Progressing", progressing, why, now);
	return reason_condition(&s->arena, list, "Ready", ready, ready_why, now);
}

static void set_status(struct sync *s, struct json *more, const char *progressing, const char *why,
	const char *ready, const char *ready_why)
{
	struct pass *p = s->state;
	struct json *status = more ? more : json_new_object(&s->arena);

	json_set(
		&s->arena, status, "conditions", conditions(s, progressing, why, ready, ready_why));
	if (!json_path(p->doc, "status.complete"))
		json_set_bool(&s->arena, status, "complete", false);
	sync_status(s, p->o, p->doc, status, NULL, NULL);
}

/* An error that may mend itself: it is tried again. Of several the first is told: each other one
 * would change the status, which brings the next pass at once. */
static void report(struct sync *s, const char *message)
{
	struct pass *p = s->state;

	if (p->reported)
		return;
	p->reported = true;
	client_event_as(p->c->client, COMPONENT, p->o, NULL, "Warning",
		"VirtualMachineRestoreError", "VirtualMachineRestore encountered error %s",
		message);
	set_status(s, NULL, "False", message, "False", message);
	sync_again(s, RETRY_MS);
}

static void fail(struct sync *s, const char *why)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	struct json *status = json_new_object(a);
	struct condition c = {"Failure", "True", why, why, false};

	json_set(a, status, "conditions",
		condition_set(a,
			conditions(s, "False", "Operation failed", "False", "Operation failed"), &c,
			loop_wall_ns(s->loop)));
	sync_status(s, p->o, p->doc, status, NULL, NULL);
}

/* ---- the target ---- */

static void stop_target(struct sync *s)
{
	struct pass *p = s->state;
	const char *strategy = json_path_str(p->vm_doc, "spec.runStrategy");

	/* Asked once: a machine that is to be halted is on its way. */
	if (streq(strategy, "Halted"))
		return;
	struct client_request r = {
		.method = "PUT",
		.path = arena_printf(&s->arena,
			"/apis/subresources.kubevirt.io/v1/namespaces/%s/virtualmachines/%s/stop",
			s->ns, p->vm->name),
		.body = "{}",
		.body_size = 2,
	};
	sync_request(s, &r, NULL, NULL);
}

static void target_not_ready(struct sync *s)
{
	struct pass *p = s->state;
	const char *policy = json_str_or(
		json_path(p->doc, "spec.targetReadinessPolicy"), "WaitGracePeriodAndFail");
	int64_t left = meta_time_ns(json_path(p->doc, "metadata.creationTimestamp")) + GRACE_NS -
		       loop_wall_ns(s->loop);

	client_event_as(p->c->client, COMPONENT, p->o, NULL, "Normal", "RestoreTargetNotReady",
		"Restore target VMI still exists");
	if (streq(policy, "FailImmediate")) {
		fail(s, "Restore target not ready");
		return;
	}
	if (streq(policy, "WaitGracePeriodAndFail") && left < 0) {
		fail(s, "Restore target failed to be ready within 5m0s");
		return;
	}
	if (streq(policy, "WaitGracePeriodAndFail"))
		sync_again(s, left / NS_PER_MS + 1);
	if (streq(policy, "StopTarget"))
		stop_target(s);
	set_status(s, NULL, "False", "Waiting for target to be ready", "False",
		"Waiting for target to be ready");
}

static bool set_in_progress(struct sync *s, bool on)
{
	struct pass *p = s->state;
	struct json *patch = json_new_object(&s->arena);
	const char *holder = json_path_str(p->vm_doc, "status.restoreInProgress");

	if (!p->vm || on == streq(holder, p->o->name) || (on && p->restored))
		return false;
	if (!on && !streq(holder, p->o->name))
		return false;
	json_path_set(&s->arena, patch, "status.restoreInProgress",
		on ? json_new_string(&s->arena, p->o->name) : json_new_null(&s->arena));
	if (!on && json_path(p->vm_doc, "status.memoryDumpRequest"))
		json_path_set(
			&s->arena, patch, "status.memoryDumpRequest", json_new_null(&s->arena));
	sync_patch(s, p->vm, "status", patch, NULL, NULL);
	return true;
}

/* ---- the snapshot ---- */

static bool find_snapshot(struct sync *s)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	const char *name = json_str_or(json_path(p->doc, "spec.virtualMachineSnapshotName"), "");
	struct object *o = informer_get(p->c->snapshots, s->ns, name);
	const char *content, *wrong = NULL;

	if (!o) {
		report(s, arena_printf(a, "VMSnapshot %s/%s does not exist", s->ns, name));
		return false;
	}
	p->snapshot_doc = object_doc(o, a);
	content = json_str_or(
		json_path(p->snapshot_doc, "status.virtualMachineSnapshotContentName"), "");
	if (streq(json_path_str(p->snapshot_doc, "status.phase"), "Failed"))
		wrong = "failed and is invalid to use";
	else if (!snapshot_ready(p->snapshot_doc))
		wrong = "not ready";
	if (wrong) {
		report(s, arena_printf(a, "VMSnapshot %s/%s %s", s->ns, name, wrong));
		return false;
	}
	o = informer_get(p->c->contents, s->ns, content);
	if (!o) {
		report(s,
			arena_printf(a, "VMSnapshotContent %s/%s does not exist", s->ns, content));
		return false;
	}
	p->content_doc = object_doc(o, a);
	if (!snapshot_ready(p->content_doc)) {
		report(s, arena_printf(a, "VMSnapshotContent %s/%s not ready", s->ns, content));
		return false;
	}
	return true;
}

/* ---- claims ---- */

static void on_created(struct sync *s, const struct client_result *r, void *user)
{
	if (client_ok(r) || r->code == 409)
		return;
	if (r->code == 422 || r->code == 400 || r->code == 403)
		report(s, arena_strdup(&s->arena, r->message));
	else
		sync_check(s, r);
}

static void own(struct arena *a, struct json *doc, const struct object *vm)
{
	json_push(a, json_array_at(a, json_object_at(a, doc, "metadata"), "ownerReferences"),
		owner_reference(a, vm));
}

static bool has_mark(struct sync *s, const struct json *doc)
{
	struct pass *p = s->state;

	return streq(annotation_of(doc, LAST_RESTORE_ANNOTATION), restore_mark(&s->arena, p->doc));
}

/* A DataVolume must not make its claim anew while that is replaced. */
static bool hold_data_volume(struct sync *s, const struct json *claim)
{
	struct pass *p = s->state;

	JSON_FOR_EACH_ITEM(ref, json_path(claim, "metadata.ownerReferences")) {
		struct object *o = streq(json_str(json_get(ref, "kind")), "DataVolume")
					   ? informer_get(p->c->data_volumes, s->ns,
						     json_str_or(json_get(ref, "name"), ""))
					   : NULL;
		struct json *patch = json_new_object(&s->arena);

		if (!o || annotation_of(object_doc(o, &s->arena), PREPOPULATED_ANNOTATION))
			continue;
		annotation_patch(&s->arena, patch, RESTORE_NAME_ANNOTATION, p->o->name);
		annotation_patch(&s->arena, patch, PREPOPULATED_ANNOTATION, "true");
		sync_patch(s, o, NULL, patch, NULL, NULL);
		return true;
	}
	return false;
}

/* The DataVolume that was held so, now or by an earlier restore (whose claim is the machine's),
 * goes on with the claim that takes the old one's place. */
static bool has_held(struct sync *s, const char *name)
{
	struct pass *p = s->state;
	struct object *o = informer_get(p->c->data_volumes, s->ns, name);

	return o && annotation_of(object_doc(o, &s->arena), PREPOPULATED_ANNOTATION);
}

static bool owned_by_machine(const struct pass *p)
{
	return p->vm && !streq(json_path_str(p->doc, "spec.volumeOwnershipPolicy"), "None");
}

/* Only the claim that was snapshot is replaced: another one of that name is somebody's disk. */
static bool replaces(const struct pass *p, const struct json *item, const char *name)
{
	if (!streq(json_path_str(p->doc, "spec.volumeRestorePolicy"), "InPlace"))
		return false;
	JSON_FOR_EACH_ITEM(b, json_path(p->content_doc, "spec.volumeBackups"))
		if (json_equal(json_get(b, "volumeName"), json_get(item, "volumeName")))
			return streq(json_path_str(b, "persistentVolumeClaim.metadata.name"), name);
	return false;
}

/* The guest itself goes on, where the snapshot has its memory. A new machine boots: its addresses
 * and its name are others. */
static bool goes_on(const struct pass *p)
{
	return p->vm && streq(annotation_of(p->content_doc, MEMORY_ANNOTATION), "true");
}

/* False: there is something to wait for. */
static bool claim_is_there(struct sync *s, const struct json *item)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	const char *name = json_str_or(json_get(item, "persistentVolumeClaim"), "");
	struct object *o = informer_get(p->c->claims, s->ns, name);
	struct json *claim = o ? object_doc(o, a) : NULL;

	if (!o) {
		struct json *doc = restore_claim(a, p->doc, p->content_doc, item,
			annotation_of(p->doc, DISK_MODE_ANNOTATION));
		if (owned_by_machine(p) && !json_get(item, "dataVolumeName"))
			own(a, doc, p->vm);
		if (goes_on(p))
			annotation_patch(a, doc, DISK_MEMORY_ANNOTATION, "true");
		if (has_held(s, name))
			annotation_patch(a, doc, POPULATED_FOR_ANNOTATION, name);
		sync_create(s, informer_kind(p->c->claims), s->ns, doc, on_created, NULL);
		return false;
	}
	if (!has_mark(s, claim)) {
		if (!replaces(p, item, name)) {
			report(s, arena_printf(a,
					  "PersistentVolumeClaim %s/%s exists already and is not "
					  "this "
					  "restore's: delete it, or give another name in "
					  "spec.volumeRestoreOverrides",
					  s->ns, name));
			return false;
		}
		if (!hold_data_volume(s, claim) && !o->deleting)
			sync_delete(s, o, -1, NULL, NULL, NULL);
		return false;
	}
	return streq(json_path_str(claim, "status.phase"), "Bound");
}

static bool claims_are_there(struct sync *s)
{
	struct pass *p = s->state;
	bool all = true;

	JSON_FOR_EACH_ITEM(item, json_path(p->doc, "status.restores"))
		all = claim_is_there(s, item) && all;
	return all;
}

/* ---- DataVolumes ---- */

static bool data_volumes_are_there(struct sync *s, const struct json *vm)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	bool all = true;

	JSON_FOR_EACH_ITEM(t, json_path(vm, "spec.dataVolumeTemplates")) {
		const char *name = json_str_or(json_path(t, "metadata.name"), "");
		struct object *o = informer_get(p->c->data_volumes, s->ns, name);
		bool ours = false;

		JSON_FOR_EACH_ITEM(item, json_path(p->doc, "status.restores"))
			ours = ours || streq(json_str(json_get(item, "dataVolumeName")), name);
		if (!ours)
			continue; /* its volume is not in the snapshot: the machine makes it */
		if (!o) {
			struct json *doc = restore_data_volume(a, p->doc, t);
			if (p->vm)
				own(a, doc, p->vm);
			sync_create(
				s, informer_kind(p->c->data_volumes), s->ns, doc, on_created, NULL);
			all = false;
			continue;
		}
		const char *phase = json_str_or(json_path(object_doc(o, a), "status.phase"), "");
		all = all && (streq(phase, "Succeeded") || streq(phase, "WaitForFirstConsumer"));
	}
	return all;
}

static struct json *obsolete(struct sync *s, const struct json *vm)
{
	struct pass *p = s->state;
	struct json *names = json_new_array(&s->arena);

	JSON_FOR_EACH_ITEM(old, json_path(p->vm_doc, "spec.dataVolumeTemplates")) {
		const struct json *name = json_path(old, "metadata.name");
		bool stays = false;

		JSON_FOR_EACH_ITEM(new, json_path(vm, "spec.dataVolumeTemplates"))
			stays = stays || json_equal(json_path(new, "metadata.name"), name);
		if (!stays && name)
			json_push(&s->arena, names, json_copy(&s->arena, name));
	}
	return names;
}

/* A template may name what another machine has. */
static bool is_others(const struct pass *p, const struct object *o)
{
	const struct object_owner *owner = object_controller(o);

	return owner && p->vm && !streq(owner->uid, p->vm->uid);
}

static bool delete_obsolete(struct sync *s)
{
	struct pass *p = s->state;
	bool wrote = false;

	JSON_FOR_EACH_ITEM(name, json_path(p->doc, "status.deletedDataVolumes")) {
		struct object *o = informer_get(p->c->data_volumes, s->ns, json_str_or(name, ""));
		if (!o || o->deleting || is_others(p, o))
			continue;
		sync_delete(s, o, -1, NULL, NULL, NULL);
		wrote = true;
	}
	return wrote;
}

/* ---- the machine ---- */

/* Nobody else would delete what was made for a machine that will not be. */
static void remove_claims(struct sync *s)
{
	struct pass *p = s->state;

	JSON_FOR_EACH_ITEM(item, json_path(p->doc, "status.restores")) {
		const char *name = json_str_or(json_get(item, "persistentVolumeClaim"), "");
		const char *volume = json_str_or(json_get(item, "dataVolumeName"), "");
		struct object *claim = informer_get(p->c->claims, s->ns, name);
		struct object *dv =
			*volume ? informer_get(p->c->data_volumes, s->ns, volume) : NULL;

		if (dv && !dv->owner_count &&
			streq(annotation_of(object_doc(dv, &s->arena), RESTORE_NAME_ANNOTATION),
				p->o->name))
			sync_delete(s, dv, -1, NULL, NULL, NULL);
		if (claim && has_mark(s, object_doc(claim, &s->arena)))
			sync_delete(s, claim, -1, NULL, NULL, NULL);
	}
}

/* A new machine that the API does not take will not be taken later. */
static void on_machine_made(struct sync *s, const struct client_result *r, void *user)
{
	if (r->code == 422 || r->code == 400) {
		remove_claims(s);
		fail(s, arena_strdup(&s->arena, r->message));
		return;
	}
	on_created(s, r, user);
}

/* What machines that are here have as templates: the API has asked their writers for their rights
 * where the disks come from. That of the snapshot, and the target. */
static struct json *asked_templates(struct sync *s)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	const char *name = json_str_or(
		json_path(p->content_doc, "spec.source.virtualMachine.metadata.name"), "");
	struct object *source = informer_get(p->c->machines, s->ns, name);
	const struct json *docs[] = {p->vm_doc, source ? object_doc(source, a) : NULL};
	struct json *all = json_new_array(a);

	for (size_t i = 0; i < ARRAY_LEN(docs); i++)
		JSON_FOR_EACH_ITEM(t, json_path(docs[i], "spec.dataVolumeTemplates"))
			json_push(a, all, t);
	return all;
}

static void write_machine(struct sync *s)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	struct err err = ERR_INIT;
	struct json *vm, *gone;

	if (restore_machine(a, p->doc, p->content_doc, p->vm_doc, asked_templates(s), &vm, &err) <
		0) {
		if (!p->vm)
			remove_claims(s);
		fail(s, arena_strdup(a, err.msg));
		return;
	}
	if (!data_volumes_are_there(s, vm)) {
		set_status(s, NULL, "True", "Creating new PVCs", "False", "Waiting for new PVCs");
		return;
	}
	gone = obsolete(s, vm);
	if (json_count(gone) && !json_equal(json_path(p->doc, "status.deletedDataVolumes"), gone)) {
		struct json *status = json_new_object(a);
		json_set(a, status, "deletedDataVolumes", gone);
		set_status(s, status, "True", "Updating target spec", "False",
			"Waiting for target update");
		return;
	}
	if (p->vm)
		sync_update(s, informer_kind(p->c->machines), s->ns, p->vm->name, NULL, vm,
			on_created, NULL);
	else
		sync_create(s, informer_kind(p->c->machines), s->ns, vm, on_machine_made, NULL);
}

/* What its patches make of it can be seen before anything is made. */
static bool can_be_made(struct sync *s, const struct json *list)
{
	struct pass *p = s->state;
	struct json *doc = json_copy(&s->arena, p->doc), *vm;
	struct err err = ERR_INIT;

	json_path_set(&s->arena, doc, "status.restores", json_copy(&s->arena, list));
	if (restore_machine(
		    &s->arena, doc, p->content_doc, p->vm_doc, asked_templates(s), &vm, &err) == 0)
		return true;
	fail(s, arena_strdup(&s->arena, err.msg));
	return false;
}

/* Claims and DataVolumes that were made before their machine was there. */
static bool own_parts(struct sync *s)
{
	struct pass *p = s->state;
	bool wrote = false;

	JSON_FOR_EACH_ITEM(item, json_path(p->doc, "status.restores")) {
		const char *volume = json_str(json_get(item, "dataVolumeName"));
		const char *claim = json_str_or(json_get(item, "persistentVolumeClaim"), "");
		struct object *o = volume ? informer_get(p->c->data_volumes, s->ns, volume)
					  : informer_get(p->c->claims, s->ns, claim);
		struct json *patch = json_new_object(&s->arena);

		if (!o || o->owner_count || o->deleting || !owned_by_machine(p))
			continue;
		own(&s->arena, patch, p->vm);
		sync_patch(s, o, NULL, patch, NULL, NULL);
		wrote = true;
	}
	return wrote;
}

static void complete(struct sync *s)
{
	struct pass *p = s->state;
	struct json *status = json_new_object(&s->arena);

	client_event_as(p->c->client, COMPONENT, p->o, NULL, "Normal",
		"VirtualMachineRestoreComplete", "Successfully completed VirtualMachineRestore %s",
		p->o->name);
	json_set_bool(&s->arena, status, "complete", true);
	json_set(&s->arena, status, "restoreTime", meta_time(&s->arena, loop_wall_ns(s->loop)));
	set_status(s, status, "False", "Operation complete", "True", "Operation complete");
}

/* ---- a pass ---- */

static bool set_metadata(struct sync *s)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	struct json *patch = json_new_object(a);

	if (!p->o->owner_count && p->vm) {
		own(a, patch, p->vm);
		sync_patch(s, p->o, NULL, patch, NULL, NULL);
		return true;
	}
	return finalizer_set(s, p->o, p->doc, RESTORE_FINALIZER, true);
}

/* Disks that were made for a new machine, which was not made any more. */
static bool has_parts_of_none(const struct pass *p)
{
	return !p->vm && !json_path_bool(p->doc, "status.complete", false) &&
	       json_count(json_path(p->doc, "status.restores")) &&
	       !streq(json_path_str(p->doc, "spec.volumeRestorePolicy"), "InPlace");
}

/* The cache may be behind: what cannot be undone is asked of the server. */
static void on_no_target(struct sync *s, const struct client_result *r, void *user)
{
	struct pass *p = s->state;

	if (r->code != 404 && !client_ok(r)) {
		sync_check(s, r);
		return;
	}
	if (r->code == 404)
		remove_claims(s);
	finalizer_set(s, p->o, p->doc, RESTORE_FINALIZER, false);
}

static void let_go(struct sync *s)
{
	struct pass *p = s->state;

	if (set_in_progress(s, false))
		return;
	if (has_parts_of_none(p) && meta_has_finalizer(p->doc, RESTORE_FINALIZER))
		sync_get(s, informer_kind(p->c->machines), s->ns, p->target, on_no_target, NULL);
	else
		finalizer_set(s, p->o, p->doc, RESTORE_FINALIZER, false);
}

static bool is_another(const struct pass *p)
{
	const char *source = json_path_str(p->snapshot_doc, "status.sourceUID");

	return p->vm && !p->restored && source && !streq(source, p->vm->uid);
}

static void advance(struct sync *s)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	const char *holder = json_path_str(p->vm_doc, "status.restoreInProgress");
	const char *snapshot = json_path_str(p->vm_doc, "status.snapshotInProgress");

	/* What is restored needs it no more: it may be gone. */
	if (!p->restored && !find_snapshot(s))
		return;
	if (is_another(p)) {
		report(s, "restore source and restore target are different but restore target "
			  "already "
			  "exists");
		return;
	}
	if (holder && !streq(holder, p->o->name)) {
		report(s, arena_printf(a, "vm restore %s in progress", holder));
		return;
	}
	if (snapshot && !p->restored) {
		report(s, arena_printf(a, "vm snapshot %s in progress", snapshot));
		return;
	}
	if (set_in_progress(s, true))
		return;
	if (!json_path(p->doc, "status.restores") &&
		json_count(restore_list(a, p->doc, p->content_doc))) {
		struct json *status = json_new_object(a);
		if (!can_be_made(s, restore_list(a, p->doc, p->content_doc)))
			return;
		json_set(a, status, "restores", restore_list(a, p->doc, p->content_doc));
		set_status(s, status, "True", "Creating new PVCs", "False", "Waiting for new PVCs");
		return;
	}
	if (!p->restored) {
		if (claims_are_there(s))
			write_machine(s);
		return;
	}
	if (!own_parts(s) && !delete_obsolete(s) && !set_in_progress(s, false))
		complete(s);
}

static void reconcile_known(struct sync *s)
{
	struct pass *p = s->state;
	const struct json *list = json_path(p->doc, "status.conditions");

	if (p->o->deleting)
		let_go(s);
	else if (!json_get(p->doc, "status"))
		set_status(s, NULL, "True", "Initializing VirtualMachineRestore", "False",
			"Initializing VirtualMachineRestore");
	else if (json_path_bool(p->doc, "status.complete", false))
		return;
	else if (condition_find(list, "Failure"))
		(void)set_in_progress(s, false); /* the machine may be started again */
	else if (set_metadata(s))
		return;
	else if (!p->restored && informer_get(p->c->instances, s->ns, p->target))
		target_not_ready(s);
	else
		advance(s);
}

static void reconcile(struct sync *s)
{
	struct restores *c = s->self;
	struct object *o = informer_get(c->restores, s->ns, s->name), *vm;
	struct pass *p = ARENA_NEW(&s->arena, struct pass);

	if (!o)
		return;
	s->state = p;
	*p = (struct pass){.c = c, .o = sync_hold(s, o)};
	p->doc = object_doc(o, &s->arena);
	p->target = json_str_or(json_path(p->doc, "spec.target.name"), "");
	vm = informer_get(c->machines, s->ns, p->target);
	if (vm) {
		p->vm = sync_hold(s, vm);
		p->vm_doc = object_doc(vm, &s->arena);
		p->restored = has_mark(s, p->vm_doc);
	}
	reconcile_known(s);
}

/* ---- events ---- */

static void on_restore(void *user, const struct object *old, const struct object *new)
{
	loop_add_object(((struct restores *)user)->loop, new ? new : old);
}

/* Those that have `value` there; member NULL = all that are not complete. */
static void tell(struct restores *c, const char *ns, const char *member, const char *value)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object **all;
	size_t count = informer_list(c->restores, ns, &a, &all);

	for (size_t i = 0; i < count; i++) {
		struct json *doc = object_doc(all[i], &a);

		if (!json_path_bool(doc, "status.complete", false) &&
			(!member || streq(json_path_str(doc, member), value)))
			loop_add_object(c->loop, all[i]);
	}
}

/* A machine or its instance. */
static void on_target(void *user, const struct object *old, const struct object *new)
{
	const struct object *o = new ? new : old;

	tell(user, o->namespace, "spec.target.name", o->name);
}

static void on_snapshot(void *user, const struct object *old, const struct object *new)
{
	const struct object *o = new ? new : old;

	tell(user, o->namespace, "spec.virtualMachineSnapshotName", o->name);
}

/* A claim or a DataVolume: those that a restore makes say so. One that it waits to be gone does
 * not, or names an earlier restore that made it. */
static void on_part(void *user, const struct object *old, const struct object *new)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct restores *c = user;
	const struct object *o = new ? new : old;
	static const char member[] = "\"" RESTORE_NAME_ANNOTATION "\"";
	const char *name = NULL;

	if (memmem(o->bytes->data, o->bytes->size, member, sizeof(member) - 1))
		name = annotation_of(object_doc(o, &a), RESTORE_NAME_ANNOTATION);
	if (name)
		loop_add(c->loop, o->namespace, name);
	if (!new || new->deleting)
		tell(c, o->namespace, NULL, NULL);
}

static void *create(struct shared *sh)
{
	static const struct informer_handler restores = {.changed = on_restore},
					     targets = {.changed = on_target},
					     snapshots = {.changed = on_snapshot},
					     parts = {.changed = on_part};
	struct restores *c = xcalloc(1, sizeof(*c));

	c->client = sh->client;
	c->loop = loop_create(sh->client, COMPONENT, 2, reconcile, c);
	c->restores =
		shared_informer(sh, "snapshot.kubevirt.io", "v1beta1", "VirtualMachineRestore");
	c->snapshots =
		shared_informer(sh, "snapshot.kubevirt.io", "v1beta1", "VirtualMachineSnapshot");
	c->contents = shared_informer(
		sh, "snapshot.kubevirt.io", "v1beta1", "VirtualMachineSnapshotContent");
	c->machines = shared_informer(sh, "kubevirt.io", "v1", "VirtualMachine");
	c->instances = shared_informer(sh, "kubevirt.io", "v1", "VirtualMachineInstance");
	c->claims = shared_informer(sh, "", "v1", "PersistentVolumeClaim");
	c->data_volumes = shared_informer(sh, "cdi.kubevirt.io", "v1beta1", "DataVolume");
	informer_add_handler(c->restores, &restores, c);
	informer_add_handler(c->snapshots, &snapshots, c);
	informer_add_handler(c->machines, &targets, c);
	informer_add_handler(c->instances, &targets, c);
	informer_add_handler(c->claims, &parts, c);
	informer_add_handler(c->data_volumes, &parts, c);
	return c;
}

static void start(void *self)
{
	loop_start(((struct restores *)self)->loop);
}

static void destroy(void *self)
{
	struct restores *c = self;

	loop_destroy(c->loop);
	free(c);
}

const struct controller_class virtual_machine_restore_controller = {
	"virtualmachinerestore", create, start, destroy};

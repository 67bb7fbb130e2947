/* VirtualMachine: keeps, or does not keep, an instance of the same name, as its run strategy says.
 */
#include <inttypes.h>

#include "lib/base/log.h"
#include "server/controllers/controller.h"
#include "server/controllers/meta.h"
#include "server/controllers/machines/virtual_machine_plan.h"
#include "server/controllers/machines/virtual_machine_sizes.h"
#include "server/controllers/machines/virtual_machine_volumes.h"
#include "server/controllers/machines/vm_live_changes.h"
#include "server/controllers/machines/vm_revision.h"

#define COMPONENT "virtualmachine-controller"
#define FINALIZER                                                                                  \
	"foregroundDeleteVirtualMachine" /* the node agent's: until the guest has stopped */
#define FIXED_HASH "fixed.hanok.io/template-hash" /* of what can't change while it runs */
#define WHOLE_HASH "whole.hanok.io/template-hash"
#define GENERATION "kubevirt.io/vm-generation"

struct machines {
	struct loop *loop;
	struct client *client;
	struct informer *machines, *instances, *revisions, *settings;
	struct machine_volumes *volumes;
	struct machine_sizes *sizes;
};

struct pass {
	struct machines *c;
	struct object *vm, *instance; /* instance NULL = none of ours */
	struct json *doc, *instance_doc;
	struct vm_plan plan;
	struct volumes_state volumes;
	struct sizes_state sizes;
	const char *strategy;
	struct vm_live_changes live;		      /* of the running instance */
	struct json *unplugged;			      /* patch of the machine; NULL = none */
	const char *failure_reason, *failure_message; /* NULL = none */
};

static char *hash_of(struct arena *a, const struct json *spec)
{
	_cleanup_(buf_finish) struct buf text = BUF_INIT;
	json_write(&text, spec);
	return arena_printf(a, "%016" PRIx64, fnv1a_64(text.data ? text.data : "", text.size));
}

/* The template with instancetype and preference; *ret_conflicts: fields that both have. */
static struct json *whole_template(
	struct arena *a, const struct pass *p, const struct json **ret_conflicts)
{
	struct json *template = json_copy(a, json_path(p->doc, "spec.template"));
	if (!template)
		template = json_new_object(a);
	*ret_conflicts = instancetype_apply(a, p->sizes.found[ROLE_INSTANCETYPE],
		p->sizes.found[ROLE_PREFERENCE], template, "spec");
	return template;
}

/* The KubeVirt object's strategy of rolling changes out: everything waits for the next start. */
static bool says_stage(struct arena *a, const struct object *settings)
{
	return settings &&
	       streq(json_path_str(object_doc(settings, a), "spec.configuration.vmRolloutStrategy"),
		       "Stage");
}

static bool is_staged(struct arena *a, const struct machines *c)
{
	struct object **all;
	return informer_list(c->settings, NULL, a, &all) && says_stage(a, all[0]);
}

/* What a change of the template means for the instance that runs. */
static struct vm_live_changes look_for_changes(struct arena *a, const struct pass *p)
{
	const struct json *annotations = json_path(p->instance_doc, "metadata.annotations");
	const char *was = json_str(json_get(annotations, FIXED_HASH));
	const char *whole = json_str(json_get(annotations, WHOLE_HASH));
	const char *phase = json_str_or(json_path(p->instance_doc, "status.phase"), "");
	const struct json *conflicts;
	if (!was || p->sizes.reason)
		return (struct vm_live_changes){0};
	const struct json *wanted = json_get(whole_template(a, p, &conflicts), "spec");
	if (whole && is_staged(a, p->c))
		return vm_live_staged(conflicts || !streq(whole, hash_of(a, wanted)));
	bool differs = conflicts || !streq(was, hash_of(a, vm_live_fixed(a, wanted)));
	struct vm_live_changes c = vm_live_changes(a, wanted, p->instance_doc, differs);
	/* One on its way out is changed no more; that it is out of date holds until the next is
	 * there: whoever restarts machines one by one must not take it for done. */
	if (vm_phase_final(phase) || p->instance->deleting)
		c.patch = NULL;
	return c;
}

/* Neither the instance that is made now nor what is compared with it has any part in them. */
static void forget_unplugged(struct arena *a, struct pass *p)
{
	static const char *const lists[] = {
		"spec.template.spec.domain.devices.interfaces", "spec.template.spec.networks"};
	p->unplugged =
		vm_live_unplugged(a, json_path(p->doc, "spec.template.spec"), p->instance_doc);
	for (size_t i = 0; p->unplugged && i < ARRAY_LEN(lists); i++)
		json_path_set(a, p->doc, lists[i], json_copy(a, json_path(p->unplugged, lists[i])));
}

/* Status. */

static struct json *mirror(
	struct arena *a, const struct pass *p, struct json *conditions, int64_t now_ns)
{
	/* The instance's conditions show on the machine; what concerns only the instance does not.
	 */
	struct json *theirs = json_path(p->instance_doc, "status.conditions");
	struct json *all = json_new_array(a);
	JSON_FOR_EACH_ITEM(c, conditions) {
		const char *type = json_str_or(json_get(c, "type"), "");
		bool own = streq(type, "Ready") || streq(type, "Failure") ||
			   streq(type, "RestartRequired") || streq(type, "DataVolumesReady");
		if (own || condition_find(theirs, type))
			json_push(a, all, c);
	}
	conditions = all;
	JSON_FOR_EACH_ITEM(c, theirs) {
		struct condition m = {json_str_or(json_get(c, "type"), ""),
			json_str_or(json_get(c, "status"), "Unknown"),
			json_str(json_get(c, "reason")), json_str(json_get(c, "message")), false};
		if (!streq(m.type, "Ready") && !streq(m.type, "Synchronized"))
			conditions = condition_set(a, conditions, &m, now_ns);
	}
	struct json *ready = condition_find(theirs, "Ready");
	struct condition r = {"Ready", "False", "VMINotExists", "VMI does not exist", false};
	if (ready) {
		r.status = json_str_or(json_get(ready, "status"), "Unknown");
		r.reason = json_str(json_get(ready, "reason"));
		r.message = json_str(json_get(ready, "message"));
	} else if (p->instance) {
		r.reason = "GuestNotRunning";
		r.message = "Guest VM is not reported as running";
	}
	return condition_set(a, conditions, &r, now_ns);
}

static struct json *restart_required(
	struct arena *a, const struct pass *p, struct json *conditions, int64_t now_ns)
{
	if (!p->live.restart)
		return condition_find(conditions, "RestartRequired")
			       ? condition_drop(a, conditions, "RestartRequired")
			       : conditions;
	struct condition c = {"RestartRequired", "True", NULL, p->live.restart, false};
	return condition_set(a, conditions, &c, now_ns);
}

static struct json *data_volumes_ready(
	struct arena *a, const struct pass *p, struct json *conditions, int64_t now_ns)
{
	bool ready = p->volumes.data_volumes == p->volumes.data_volumes_ready;
	struct condition c = {"DataVolumesReady", ready ? "True" : "False",
		ready ? "AllDVsReady" : "NotAllDVsReady",
		ready ? "All of the VMI's DVs are bound and ready"
		      : "Not all of the VMI's DVs are ready",
		false};
	if (p->volumes.data_volumes)
		return condition_set(a, conditions, &c, now_ns);
	return condition_find(conditions, c.type) ? condition_drop(a, conditions, c.type)
						  : conditions;
}

/* The generation that the instance was made of; null without one. */
static struct json *observed_generation(struct arena *a, const struct pass *p)
{
	const char *text =
		json_str(json_get(json_path(p->instance_doc, "metadata.annotations"), GENERATION));
	return text ? json_new_int(a, strtoll(text, NULL, 10)) : json_new_null(a);
}

/* Equal in all but order and identity: keeps the status from being written again and again. */
static void write_status(struct sync *s)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	int64_t now_ns = loop_wall_ns(s->loop);
	struct json *conditions = json_path(p->doc, "status.conditions");
	conditions = mirror(a, p, conditions, now_ns);
	conditions = restart_required(a, p, conditions, now_ns);
	conditions = data_volumes_ready(a, p, conditions, now_ns);
	if (p->failure_reason) {
		struct condition c = {
			"Failure", "True", p->failure_reason, p->failure_message, false};
		conditions = condition_set(a, conditions, &c, now_ns);
	} else if (condition_find(conditions, "Failure") && (p->instance || !p->plan.start)) {
		conditions = condition_drop(a, conditions, "Failure");
	}
	int64_t generation = json_path_int(p->doc, "metadata.generation", 0);
	struct json *status = json_new_object(a);
	json_set(a, status, "created", p->instance ? json_new_bool(a, true) : json_new_null(a));
	bool ready = condition_is(json_path(p->instance_doc, "status.conditions"), "Ready", "True");
	json_set(a, status, "ready", ready ? json_new_bool(a, true) : json_new_null(a));
	json_set_str(a, status, "printableStatus", p->plan.printable_status);
	/* Only when an instance was made: so it shows whether the strategy ever took effect. */
	if (p->instance || json_path_str(p->doc, "status.runStrategy"))
		json_set_str(a, status, "runStrategy", p->strategy);
	json_set(a, status, "desiredGeneration",
		p->instance ? json_new_int(a, generation) : json_new_null(a));
	json_set(a, status, "observedGeneration", observed_generation(a, p));
	/* As they were, while it is not known what the machine means. */
	if (!p->sizes.reason) {
		static const char *const refs[SIZE_ROLES] = {
			[ROLE_INSTANCETYPE] = "instancetypeRef",
			[ROLE_PREFERENCE] = "preferenceRef"};
		for (size_t i = 0; i < SIZE_ROLES; i++)
			json_set(a, status, refs[i],
				p->sizes.refs[i] ? p->sizes.refs[i] : json_new_null(a));
	}
	json_set(a, status, "volumeSnapshotStatuses",
		machine_volumes_snapshots(p->c->volumes, a, p->vm, p->doc));
	json_set(a, status, "conditions", conditions);
	json_set(a, status, "stateChangeRequests", json_copy(a, p->plan.requests));
	json_set(a, status, "startFailure", json_copy(a, p->plan.start_failure));
	sync_status(s, p->vm, p->doc, status, NULL, NULL);
}

/* Acting. */

static void on_created(struct sync *s, const struct client_result *r, void *user)
{
	struct pass *p = s->state;
	if (client_ok(r)) {
		client_event_as(p->c->client, COMPONENT, p->vm, NULL, "Normal", "SuccessfulCreate",
			"Started the virtual machine by creating the new virtual machine instance "
			"%s",
			p->vm->name);
	} else if (r->code == 409) {
		s->failed = true; /* there is one that the cache has not seen yet */
	} else if (!sync_namespace_terminating(r)) {
		s->failed = true;
		p->failure_reason = "FailedCreate";
		p->failure_message = arena_printf(
			&s->arena, "Error creating virtual machine instance: %s", r->message);
		client_event_as(p->c->client, COMPONENT, p->vm, NULL, "Warning", "FailedCreate",
			"Error creating virtual machine instance %s: %s", p->vm->name, r->message);
		s->next = write_status;
	}
}

/* The template changed after it was checked against its instancetype. */
static void refuse_start(struct sync *s, const struct json *conflicts)
{
	struct pass *p = s->state;
	_cleanup_(buf_finish) struct buf text = BUF_INIT;
	JSON_FOR_EACH_ITEM(c, conflicts)
		buf_printf(&text, "%s%s", text.size ? ", " : "", json_str(c));
	s->failed = true;
	p->failure_reason = "FailedCreate";
	p->failure_message =
		arena_printf(&s->arena, "VMI conflicts with instancetype spec in fields: [%.*s]",
			(int)text.size, text.data);
	client_event_as(p->c->client, COMPONENT, p->vm, NULL, "Warning", "FailedCreate",
		"Error creating virtual machine instance: Failed to apply instancetype: %s",
		p->failure_message);
	s->next = write_status;
}

static void start_instance(struct sync *s)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	if (s->failed)
		return;
	const struct json *conflicts;
	struct json *template = whole_template(a, p, &conflicts);
	if (conflicts) {
		refuse_start(s, conflicts);
		return;
	}
	const struct json *from = json_get(template, "metadata");
	struct json *doc = json_new_object(a), *meta = json_object_at(a, doc, "metadata");
	json_set_str(a, doc, "apiVersion", "kubevirt.io/v1");
	json_set_str(a, doc, "kind", "VirtualMachineInstance");
	json_set_str(a, meta, "name", p->vm->name);
	json_set_str(a, meta, "namespace", p->vm->namespace);
	struct json *labels = json_get(from, "labels") ? json_copy(a, json_get(from, "labels"))
						       : json_new_object(a);
	json_set_str(a, labels, "kubevirt.io/vm", p->vm->name);
	json_set(a, meta, "labels", labels);
	struct json *annotations = json_get(from, "annotations")
					   ? json_copy(a, json_get(from, "annotations"))
					   : json_new_object(a);
	json_set(a, annotations, GENERATION,
		json_new_printf(a, "%" PRId64, json_path_int(p->doc, "metadata.generation", 0)));
	json_set_str(a, annotations, FIXED_HASH,
		hash_of(a, vm_live_fixed(a, json_get(template, "spec"))));
	json_set_str(a, annotations, WHOLE_HASH, hash_of(a, json_get(template, "spec")));
	const char *plugged = vm_live_plugged(a, json_get(template, "spec"));
	if (*plugged)
		json_set_str(a, annotations, VM_PLUGGED_ANNOTATION, plugged);
	machine_sizes_annotate(a, p->doc, annotations);
	json_set(a, meta, "annotations", annotations);
	json_push(a, json_array_at(a, meta, "finalizers"), json_new_string(a, FINALIZER));
	json_push(a, json_array_at(a, meta, "ownerReferences"), owner_reference(a, p->vm));
	struct json *spec = json_get(template, "spec");
	/* The machine's identity for its guest: the same after every start. */
	if (spec && !json_path(spec, "domain.firmware.uuid"))
		json_set_str(a, json_object_at(a, json_object_at(a, spec, "domain"), "firmware"),
			"uuid", p->vm->uid);
	if (!spec)
		spec = json_new_object(a);
	if (p->plan.paused)
		json_set_str(a, spec, "startStrategy", "Paused");
	json_set(a, doc, "spec", spec);
	sync_create(s, informer_kind(p->c->instances), p->vm->namespace, doc, on_created, NULL);
}

static void on_start_revision(struct sync *s, const struct client_result *r, void *user)
{
	struct pass *p = s->state;
	if (client_ok(r) || r->code == 409 || sync_namespace_terminating(r))
		return;
	s->failed = true;
	p->failure_reason = "FailedCreate";
	p->failure_message = arena_printf(&s->arena,
		"Error creating virtual machine instance: create its ControllerRevision: %s",
		r->message);
	s->next = write_status;
}

/* What is started is kept first; that of an earlier start goes. */
static void keep_revision(struct sync *s)
{
	struct pass *p = s->state;
	struct machines *c = p->c;
	const char *name = vm_revision_name(
		&s->arena, p->vm->uid, json_path_int(p->doc, "metadata.generation", 1));
	bool there = false;
	struct object **all;
	size_t count = informer_by_index(c->revisions, "owner", p->vm->uid, &s->arena, &all);
	for (size_t i = 0; i < count; i++) {
		if (streq(all[i]->name, name))
			there = true;
		else if (vm_revision_is(all[i]->name, p->vm->uid))
			sync_delete(s, all[i], -1, NULL, NULL, NULL);
	}
	if (!there)
		sync_create(s, informer_kind(c->revisions), p->vm->namespace,
			vm_revision_new(&s->arena, p->vm, p->doc, p->sizes.refs), on_start_revision,
			NULL);
	s->next = start_instance;
}

static void on_deleted(struct sync *s, const struct client_result *r, void *user)
{
	struct pass *p = s->state;
	if (client_ok(r))
		client_event_as(p->c->client, COMPONENT, p->vm, NULL, "Normal", "SuccessfulDelete",
			"Stopped the virtual machine by deleting the virtual machine instance %s",
			p->vm->name);
	else if (r->code != 404)
		sync_check(s, r);
}

static void on_volume_created(struct sync *s, const struct client_result *r, void *user)
{
	struct pass *p = s->state;
	const char *name = user;
	if (client_ok(r)) {
		client_event_as(p->c->client, COMPONENT, p->vm, NULL, "Normal",
			"SuccessfulDataVolumeCreate", "Created DataVolume %s", name);
	} else if (r->code == 409) {
		s->failed = true; /* there is one that the cache has not seen yet */
	} else if (!sync_namespace_terminating(r)) {
		s->failed = true;
		p->failure_reason = "FailedCreate";
		p->failure_message =
			arena_printf(&s->arena, "failed to create DataVolume: %s", r->message);
		client_event_as(p->c->client, COMPONENT, p->vm, NULL, "Warning",
			"FailedDataVolumeCreate", "Error creating DataVolume %s: %s", name,
			r->message);
		s->next = write_status;
	}
}

/* A start that was asked of a halted machine (a paused one): it is to run from now on. */
static void run_always(struct sync *s)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	struct json *patch = json_new_object(a), *spec = json_object_at(a, patch, "spec");
	if (json_path_str(p->doc, "spec.runStrategy"))
		json_set_str(a, spec, "runStrategy", "Always");
	else
		json_set_bool(a, spec, "running", true);
	sync_patch(s, p->vm, NULL, patch, NULL, NULL);
}

static void on_changed(struct sync *s, const struct client_result *r, void *user)
{
	struct pass *p = s->state;
	/* What the server does not take live waits for the next start; its words say why. */
	if (r->code == 422 || r->code == 403)
		client_event_as(p->c->client, COMPONENT, p->vm, NULL, "Warning", "FailedUpdate",
			"Error changing the running virtual machine instance %s: %s", p->vm->name,
			r->message);
	else if (r->code != 404)
		sync_check(s, r);
}

/* After the status: a failure must be on record before the instance that shows it is deleted. */
static void act(struct sync *s)
{
	struct pass *p = s->state;
	if (s->failed)
		return;
	if (p->volumes.missing && !p->vm->deleting)
		sync_create(s, machine_volumes_kind(p->c->volumes), p->vm->namespace,
			p->volumes.missing, on_volume_created,
			(void *)json_path_str(p->volumes.missing, "metadata.name"));
	if (p->plan.to_always)
		run_always(s);
	else if (p->unplugged && !p->vm->deleting)
		sync_patch(s, p->vm, NULL, p->unplugged, NULL, NULL);
	if (p->live.patch && !p->plan.stop)
		sync_patch(s, p->instance, NULL, p->live.patch, on_changed, NULL);
	if (p->plan.stop)
		sync_delete(s, p->instance, -1, NULL, on_deleted, NULL);
	else if (p->plan.start)
		keep_revision(s);
	if (p->plan.again_ms >= 0)
		sync_again(s, p->plan.again_ms);
}

static int64_t running_since_ns(const struct json *instance)
{
	JSON_FOR_EACH_ITEM(t, json_path(instance, "status.phaseTransitionTimestamps"))
		if (streq(json_str(json_get(t, "phase")), "Running"))
			return meta_time_ns(json_get(t, "phaseTransitionTimestamp"));
	return 0;
}

static void settle(struct sync *s)
{
	write_status(s);
	s->next = act;
}

static void on_revision_made(struct sync *s, const struct client_result *r, void *user)
{
	struct pass *p = s->state;
	if (client_ok(r) || r->code == 409) /* it is there, but not in the cache yet */
		return;
	s->failed = true;
	p->plan.start = false;
	p->sizes.reason = p->failure_reason = "FailedCreate";
	p->failure_message = arena_printf(&s->arena,
		"error encountered while storing instancetype.kubevirt.io controllerRevisions: "
		"failed to create ControllerRevision: %s",
		r->message);
}

/* What the machine means is kept before its status refers to it. */
static void bind_sizes(struct sync *s)
{
	struct pass *p = s->state;
	for (size_t i = 0; i < SIZE_ROLES && !p->vm->deleting; i++)
		if (p->sizes.missing[i])
			sync_create(s, machine_sizes_kind(p->c->sizes), p->vm->namespace,
				p->sizes.missing[i], on_revision_made, NULL);
	s->next = settle;
}

static void on_revision(struct sync *s, const struct client_result *r, void *user)
{
	if (client_ok(r))
		s->failed = true; /* the cache is behind: all of it again */
	else if (r->code == 404)
		settle(s);
	else
		sync_check(s, r);
}

static void reconcile(struct sync *s)
{
	struct machines *c = s->self;
	struct arena *a = &s->arena;
	struct object *vm = informer_get(c->machines, s->ns, s->name);
	if (!vm)
		return;
	struct pass *p = ARENA_NEW(a, struct pass);
	s->state = p;
	p->c = c;
	p->vm = sync_hold(s, vm);
	p->doc = object_doc(vm, a);
	p->strategy = vm_strategy(p->doc);
	p->volumes = machine_volumes_look(c->volumes, a, vm, p->doc);
	p->sizes = machine_sizes_look(c->sizes, a, vm, p->doc);
	struct object *instance = informer_get(c->instances, s->ns, s->name);
	const struct object_owner *owner = instance ? object_controller(instance) : NULL;
	struct vm_facts f = {
		.strategy = p->strategy,
		.strategy_was = json_str_or(json_path(p->doc, "status.runStrategy"), ""),
		.deleting = vm->deleting,
		.locked = json_path_str(p->doc, "status.restoreInProgress") != NULL,
		.volumes_ready = p->volumes.ready,
		.volume_error = p->volumes.error != NULL,
		.volume_lost = p->volumes.lost != NULL,
		.volumes_provisioning = p->volumes.provisioning,
		.volumes_unbound = p->volumes.unbound,
		.requests = json_path(p->doc, "status.stateChangeRequests"),
		.start_failure = json_path(p->doc, "status.startFailure"),
		.now_ns = loop_wall_ns(s->loop),
	};
	bool foreign = instance && !(owner && streq(owner->uid, vm->uid));
	if (instance && !foreign) {
		p->instance = sync_hold(s, instance);
		p->instance_doc = object_doc(instance, a);
		const struct json *status = json_get(p->instance_doc, "status");
		f.instance = (struct vm_instance){
			.uid = instance->uid,
			.phase = json_str_or(json_get(status, "phase"), ""),
			.deleting = instance->deleting,
			.conditions = json_get(status, "conditions"),
			.migrating = json_get(status, "migrationState") &&
				     !json_path_bool(status, "migrationState.completed", false),
			.running_since_ns = running_since_ns(p->instance_doc),
		};
	}
	forget_unplugged(a, p);
	if (p->instance)
		p->live = look_for_changes(a, p);
	p->plan = vm_plan(a, &f);
	if (foreign && p->plan.start) {
		p->plan.start = false;
		p->failure_reason = "FailedCreate";
		p->failure_message = arena_printf(a,
			"a virtual machine instance '%s' that does not belong to this virtual "
			"machine exists",
			s->name);
	}
	if (p->sizes.reason && !vm->deleting) {
		p->plan.start = false;
		p->failure_reason = p->sizes.reason;
		p->failure_message = p->sizes.message;
	}
	if (p->sizes.lost_revision)
		sync_get(s, machine_sizes_kind(c->sizes), s->ns, p->sizes.lost_revision,
			on_revision, NULL);
	else
		bind_sizes(s);
}

/* Events. */

static void on_machine(void *user, const struct object *old, const struct object *new)
{
	struct machines *c = user;
	loop_add_object(c->loop, new ? new : old);
}

/* Another strategy of rolling out concerns them all. */
static void on_settings(void *user, const struct object *old, const struct object *new)
{
	struct machines *c = user;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object **all;
	if (says_stage(&a, old) == says_stage(&a, new))
		return;
	size_t count = informer_list(c->machines, NULL, &a, &all);
	for (size_t i = 0; i < count; i++)
		loop_add_object(c->loop, all[i]);
}

static void *create(struct shared *sh)
{
	/* An instance has its machine's name: one handler does for both. */
	static const struct informer_handler handler = {.changed = on_machine};
	static const struct informer_handler settings = {.changed = on_settings};
	struct machines *c = xcalloc(1, sizeof(*c));
	c->client = sh->client;
	c->loop = loop_create(sh->client, COMPONENT, 5, reconcile, c);
	c->machines = shared_informer(sh, "kubevirt.io", "v1", "VirtualMachine");
	c->instances = shared_informer(sh, "kubevirt.io", "v1", "VirtualMachineInstance");
	c->revisions = shared_informer(sh, "apps", "v1", "ControllerRevision");
	informer_add_index(c->revisions, "owner");
	c->settings = shared_informer(sh, "kubevirt.io", "v1", "KubeVirt");
	c->volumes = machine_volumes_create(sh, c->loop);
	c->sizes = machine_sizes_create(sh, c->loop);
	informer_add_handler(c->machines, &handler, c);
	informer_add_handler(c->instances, &handler, c);
	informer_add_handler(c->settings, &settings, c);
	return c;
}

static void start(void *self)
{
	loop_start(((struct machines *)self)->loop);
}

static void destroy(void *self)
{
	struct machines *c = self;
	loop_destroy(c->loop);
	machine_volumes_destroy(c->volumes);
	machine_sizes_destroy(c->sizes);
	free(c);
}

const struct controller_class virtual_machine_controller = {
	"virtualmachine", create, start, destroy};

#include "server/controllers/machines/virtual_machine_volumes.h"

#include "server/controllers/machines/waiters.h"
#include "server/controllers/meta.h"

struct machine_volumes {
	struct loop *loop;
	struct informer *data_volumes, *claims;
	struct waiters waiters; /* by "NAMESPACE/NAME" of a data volume or claim */
};

static void wait_for(struct machine_volumes *v, const struct object *vm, const char *name)
{
	_cleanup_(free_p) char *key = xasprintf("%s/%s", vm->namespace, name);
	waiters_add(&v->waiters, key, vm);
}

static void wake(struct machine_volumes *v, const struct object *o)
{
	_cleanup_(free_p) char *key = xasprintf("%s/%s", o->namespace, o->name);
	waiters_wake(&v->waiters, key);
	const struct object_owner *owner = object_controller(o);
	if (owner && streq(owner->kind, "VirtualMachine"))
		loop_add(v->loop, o->namespace, owner->name);
}

static void on_change(void *user, const struct object *old, const struct object *new)
{
	wake(user, new ? new : old);
}

/* Progress of an import is no news. */
static void on_data_volume(void *user, const struct object *old, const struct object *new)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	if (old && new) {
		const struct json *was = object_doc(old, &a), *is = object_doc(new, &a);
		if (streq(json_path_str(was, "status.phase"), json_path_str(is, "status.phase")) &&
			json_equal(json_path(was, "status.conditions"),
				json_path(is, "status.conditions")) &&
			old->deleting == new->deleting)
			return;
	}
	wake(user, new ? new : old);
}

struct machine_volumes *machine_volumes_create(struct shared *sh, struct loop *loop)
{
	static const struct informer_handler claim_handler = {.changed = on_change},
					     volume_handler = {.changed = on_data_volume};
	struct machine_volumes *v = xcalloc(1, sizeof(*v));
	v->loop = loop;
	v->waiters.loop = loop;
	v->data_volumes = shared_informer(sh, "cdi.kubevirt.io", "v1beta1", "DataVolume");
	v->claims = shared_informer(sh, "", "v1", "PersistentVolumeClaim");
	informer_add_handler(v->data_volumes, &volume_handler, v);
	informer_add_handler(v->claims, &claim_handler, v);
	return v;
}

void machine_volumes_destroy(struct machine_volumes *v)
{
	if (!v)
		return;
	waiters_finish(&v->waiters);
	free(v);
}

const struct kind *machine_volumes_kind(const struct machine_volumes *v)
{
	return informer_kind(v->data_volumes);
}

static struct json *new_data_volume(
	struct arena *a, const struct object *vm, const struct json *template)
{
	const struct json *from = json_get(template, "metadata");
	struct json *doc = json_new_object(a), *meta = json_object_at(a, doc, "metadata");
	json_set_str(a, doc, "apiVersion", "cdi.kubevirt.io/v1beta1");
	json_set_str(a, doc, "kind", "DataVolume");
	json_set_str(a, meta, "name", json_str_or(json_get(from, "name"), ""));
	json_set_str(a, meta, "namespace", vm->namespace);
	struct json *labels = json_get(from, "labels") ? json_copy(a, json_get(from, "labels"))
						       : json_new_object(a);
	json_set_str(a, labels, "kubevirt.io/created-by", vm->uid);
	json_set(a, meta, "labels", labels);
	struct json *annotations = json_get(from, "annotations")
					   ? json_copy(a, json_get(from, "annotations"))
					   : json_new_object(a);
	json_set_str(a, annotations, "cdi.kubevirt.io/allowClaimAdoption", "true");
	json_set(a, meta, "annotations", annotations);
	json_push(a, json_array_at(a, meta, "ownerReferences"), owner_reference(a, vm));
	json_set(a, doc, "spec", json_copy(a, json_get(template, "spec")));
	return doc;
}

/* Its volume comes with the first consumer: the instance must be there for that. */
static bool waits_for_consumer(const char *phase)
{
	return streq(phase, "WaitForFirstConsumer") || streq(phase, "PendingPopulation");
}

static const char *failure_of(struct arena *a, const char *name, const struct json *status)
{
	if (streq(json_str(json_get(status, "phase")), "Failed"))
		return arena_printf(a, "DataVolume %s failed to import disk image", name);
	const struct json *running = condition_find(json_get(status, "conditions"), "Running");
	if (streq(json_str(json_get(running, "status")), "False") &&
		(streq(json_str(json_get(running, "reason")), "Error") ||
			streq(json_str(json_get(running, "reason")), "ImagePullFailed")))
		return arena_printf(a,
			"DataVolume %s importer has stopped running due to an error: %s", name,
			json_str_or(json_get(running, "message"), ""));
	return NULL;
}

/* A data volume that the machine names, by a template or in a volume. */
static void look_at_data_volume(struct machine_volumes *v, struct arena *a, const struct object *vm,
	const char *name, struct volumes_state *s)
{
	const struct object *dv = informer_get(v->data_volumes, vm->namespace, name);
	const struct json *status = dv ? json_get(object_doc(dv, a), "status") : NULL;
	const char *phase = json_str_or(json_get(status, "phase"), "");
	if (!dv && informer_get(v->claims, vm->namespace, name)) {
		s->data_volumes_ready++; /* it was filled once, and the volume kept */
		return;
	}
	if (!dv && !s->lost)
		s->lost = arena_strdup(a, name);
	if (streq(phase, "Succeeded")) {
		s->data_volumes_ready++;
		return;
	}
	wait_for(v, vm, name);
	const char *error = failure_of(a, name, status);
	if (error)
		s->error = error;
	else if (dv && *phase && !waits_for_consumer(phase))
		s->provisioning = true;
}

static void look_at_claim(struct machine_volumes *v, struct arena *a, const struct object *vm,
	const char *name, struct volumes_state *s)
{
	const struct object *claim = informer_get(v->claims, vm->namespace, name);
	const struct json *status = claim ? json_get(object_doc(claim, a), "status") : NULL;
	if (streq(json_str(json_get(status, "phase")), "Bound"))
		return;
	wait_for(v, vm, name);
	if (claim)
		s->unbound = true;
	else if (!informer_get(v->data_volumes, vm->namespace, name) && !s->lost)
		s->lost = arena_strdup(a, name);
}

static void look_at_template(struct machine_volumes *v, struct arena *a, const struct object *vm,
	const struct json *template, struct volumes_state *s)
{
	const char *name = json_path_str(template, "metadata.name");
	if (!name)
		return;
	const struct object *dv = informer_get(v->data_volumes, vm->namespace, name);
	if (!dv) {
		/* A claim of that name is taken as it is. */
		if (informer_get(v->claims, vm->namespace, name))
			return;
		s->ready = false;
		wait_for(v, vm, name);
		if (!s->missing)
			s->missing = new_data_volume(a, vm, template);
		return;
	}
	const char *phase = json_str_or(json_path(object_doc(dv, a), "status.phase"), "");
	if (!streq(phase, "Succeeded") && !waits_for_consumer(phase))
		s->ready = false;
	if (!streq(phase, "Succeeded"))
		wait_for(v, vm, name);
}

struct volumes_state machine_volumes_look(
	struct machine_volumes *v, struct arena *a, const struct object *vm, const struct json *doc)
{
	struct volumes_state s = {.ready = true};
	JSON_FOR_EACH_ITEM(t, json_path(doc, "spec.dataVolumeTemplates"))
		look_at_template(v, a, vm, t, &s);
	JSON_FOR_EACH_ITEM(volume, json_path(doc, "spec.template.spec.volumes")) {
		const char *dv = json_path_str(volume, "dataVolume.name");
		const char *claim = json_path_str(volume, "persistentVolumeClaim.claimName");
		if (!claim)
			claim = json_path_str(volume, "ephemeral.persistentVolumeClaim.claimName");
		if (dv) {
			s.data_volumes++;
			look_at_data_volume(v, a, vm, dv, &s);
		}
		if (dv || claim)
			look_at_claim(v, a, vm, dv ? dv : claim, &s);
	}
	if (s.missing)
		s.lost = NULL; /* it is only not made yet */
	return s;
}

struct json *machine_volumes_snapshots(
	struct machine_volumes *v, struct arena *a, const struct object *vm, const struct json *doc)
{
	struct json *all = json_new_array(a);
	JSON_FOR_EACH_ITEM(volume, json_path(doc, "spec.template.spec.volumes")) {
		const char *name = json_str_or(json_get(volume, "name"), "");
		const char *claim = json_path_str(volume, "dataVolume.name");
		struct json *s = json_new_object(a);
		if (!claim)
			claim = json_path_str(volume, "persistentVolumeClaim.claimName");
		json_set_str(a, s, "name", name);
		json_set_bool(a, s, "enabled", claim && *claim);
		if (!claim)
			json_set(a, s, "reason",
				json_new_printf(a,
					"Snapshot is not supported for this volumeSource type [%s]",
					name));
		else if (!informer_get(v->claims, vm->namespace, claim)) {
			json_set_bool(a, s, "enabled", false);
			json_set_str(a, s, "reason", "PVC not found");
		}
		json_push(a, all, s);
	}
	return json_count(all) ? all : json_new_null(a);
}

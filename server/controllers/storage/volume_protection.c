/* Volumes and claims that are in use stay when they are deleted: their finalizers (set when they
 * are created) are taken away when no pod or virtual machine runs with the claim, and no claim has
 * the volume (Kubernetes: "Storage Object in Use Protection"). */
#include "lib/base/table.h"
#include "server/controllers/controller.h"

#define CLAIM_FINALIZER "kubernetes.io/pvc-protection"
#define VOLUME_FINALIZER "kubernetes.io/pv-protection"

/* ---- both kinds ---- */

static bool has(const struct json *doc, const char *finalizer)
{
	JSON_FOR_EACH_ITEM(f, json_path(doc, "metadata.finalizers"))
		if (streq(json_str(f), finalizer))
			return true;
	return false;
}

/* Sets or takes away the finalizer, unless it is as wanted. */
static void set(struct sync *s, struct object *o, const struct json *doc, const char *finalizer,
	bool wanted)
{
	struct arena *a = &s->arena;
	if (has(doc, finalizer) == wanted)
		return;
	struct json *list = json_new_array(a), *patch = json_new_object(a);
	JSON_FOR_EACH_ITEM(f, json_path(doc, "metadata.finalizers"))
		if (!streq(json_str(f), finalizer))
			json_push(a, list, f);
	if (wanted)
		json_push(a, list, json_new_string(a, finalizer));
	json_path_set(a, patch, "metadata.finalizers", json_count(list) ? list : json_new_null(a));
	sync_patch(s, o, NULL, patch, NULL, NULL);
}

/* ---- claims ---- */

struct claims {
	struct loop *loop;
	struct informer *claims, *pods, *machines;
	struct table leaving; /* "NAMESPACE/NAME" of claims that are being deleted */
};

static bool uses(const struct object *o, const struct json *pod, const char *claim)
{
	const char *phase = json_str_or(json_path(pod, "status.phase"), "");
	const char *node = json_str_or(json_path(pod, "spec.nodeName"), "");
	if (!*node || streq(phase, "Succeeded") || streq(phase, "Failed"))
		return false;
	JSON_FOR_EACH_ITEM(v, json_path(pod, "spec.volumes")) {
		if (streq(json_path_str(v, "persistentVolumeClaim.claimName"), claim))
			return true;
		/* The claim of an ephemeral volume is called POD-VOLUME. */
		size_t size = strlen(o->name);
		if (json_get(v, "ephemeral") && strncmp(claim, o->name, size) == 0 &&
			claim[size] == '-' &&
			streq(claim + size + 1, json_str_or(json_get(v, "name"), "")))
			return true;
	}
	return false;
}

/* A dataVolume stands for the claim of its name (KubeVirt). */
static bool machine_uses(const struct json *vmi, const char *claim)
{
	static const char *const paths[] = {"persistentVolumeClaim.claimName", "dataVolume.name",
		"ephemeral.persistentVolumeClaim.claimName"};
	const char *phase = json_str_or(json_path(vmi, "status.phase"), "");
	const char *node = json_str_or(json_path(vmi, "status.nodeName"), "");

	if (!*node || streq(phase, "Succeeded") || streq(phase, "Failed"))
		return false;
	JSON_FOR_EACH_ITEM(v, json_path(vmi, "spec.volumes"))
		for (size_t i = 0; i < ARRAY_LEN(paths); i++)
			if (streq(json_path_str(v, paths[i]), claim))
				return true;
	return false;
}

static bool machine_in_use(struct claims *c, struct sync *s)
{
	struct object **list;
	size_t count = informer_list(c->machines, s->ns, &s->arena, &list);

	for (size_t i = 0; i < count; i++) {
		_cleanup_(arena_finish) struct arena scratch = ARENA_INIT;

		if (machine_uses(object_doc(list[i], &scratch), s->name))
			return true;
	}
	return false;
}

static bool claim_in_use(struct claims *c, struct sync *s)
{
	struct object **pods;
	size_t count = informer_list(c->pods, s->ns, &s->arena, &pods);
	for (size_t i = 0; i < count; i++) {
		struct arena scratch = ARENA_INIT;
		bool used = uses(pods[i], object_doc(pods[i], &scratch), s->name);
		arena_finish(&scratch);
		if (used)
			return true;
	}
	return machine_in_use(c, s);
}

static void reconcile_claim(struct sync *s)
{
	struct claims *c = s->self;
	struct object *o = informer_get(c->claims, s->ns, s->name);
	if (!o)
		return;
	const struct json *doc = object_doc(o, &s->arena);
	if (!o->deleting)
		set(s, o, doc, CLAIM_FINALIZER, true);
	else if (has(doc, CLAIM_FINALIZER) && !claim_in_use(c, s))
		set(s, o, doc, CLAIM_FINALIZER, false);
}

static void on_claim(void *user, const struct object *old, const struct object *new)
{
	struct claims *c = user;
	const struct object *o = new ? new : old;
	struct arena a = ARENA_INIT;
	const char *key = arena_printf(&a, "%s/%s", o->namespace, o->name);
	if (new &&new->deleting)
		table_set(&c->leaving, key, c);
	else
		table_remove(&c->leaving, key);
	arena_finish(&a);
	if (new)
		loop_add_object(c->loop, new);
}

/* Pods are many, and claims that wait for them are few: those are looked at. */
static void on_pod(void *user, const struct object *old, const struct object *new)
{
	struct claims *c = user;
	const struct object *o = new ? new : old;
	size_t size = strlen(o->namespace);
	if (!c->leaving.count)
		return;
	for (struct table_iter it = table_iterate(&c->leaving); table_next(&it);)
		if (strncmp(it.key, o->namespace, size) == 0 && it.key[size] == '/')
			loop_add(c->loop, o->namespace, it.key + size + 1);
}

static void *claims_create(struct shared *sh)
{
	static const struct informer_handler claim_handler = {.changed = on_claim},
					     pod_handler = {.changed = on_pod};
	struct claims *c = xcalloc(1, sizeof(*c));
	c->loop = loop_create(sh->client, "pvc-protection-controller", 1, reconcile_claim, c);
	c->claims = shared_informer(sh, "", "v1", "PersistentVolumeClaim");
	c->pods = shared_informer(sh, "", "v1", "Pod");
	informer_add_handler(c->claims, &claim_handler, c);
	c->machines = shared_informer(sh, "kubevirt.io", "v1", "VirtualMachineInstance");
	informer_add_handler(c->pods, &pod_handler, c);
	informer_add_handler(c->machines, &pod_handler, c);
	return c;
}

static void claims_start(void *self)
{
	loop_start(((struct claims *)self)->loop);
}

static void claims_destroy(void *self)
{
	struct claims *c = self;
	loop_destroy(c->loop);
	table_finish(&c->leaving);
	free(c);
}

const struct controller_class claim_protection_controller = {
	"pvc-protection", claims_create, claims_start, claims_destroy};

/* ---- volumes ---- */

struct volumes {
	struct loop *loop;
	struct informer *volumes;
};

static void reconcile_volume(struct sync *s)
{
	struct volumes *c = s->self;
	struct object *o = informer_get(c->volumes, "", s->name);
	if (!o)
		return;
	const struct json *doc = object_doc(o, &s->arena);
	if (!o->deleting)
		set(s, o, doc, VOLUME_FINALIZER, true);
	else if (!streq(json_path_str(doc, "status.phase"), "Bound"))
		set(s, o, doc, VOLUME_FINALIZER, false);
}

static void on_volume(void *user, const struct object *old, const struct object *new)
{
	struct volumes *c = user;
	if (new)
		loop_add_object(c->loop, new);
}

static void *volumes_create(struct shared *sh)
{
	static const struct informer_handler handler = {.changed = on_volume};
	struct volumes *c = xcalloc(1, sizeof(*c));
	c->loop = loop_create(sh->client, "pv-protection-controller", 1, reconcile_volume, c);
	c->volumes = shared_informer(sh, "", "v1", "PersistentVolume");
	informer_add_handler(c->volumes, &handler, c);
	return c;
}

static void volumes_start(void *self)
{
	loop_start(((struct volumes *)self)->loop);
}

static void volumes_destroy(void *self)
{
	struct volumes *c = self;
	loop_destroy(c->loop);
	free(c);
}

const struct controller_class volume_protection_controller = {
	"pv-protection", volumes_create, volumes_start, volumes_destroy};

#include "server/controllers/machines/virtual_machine_sizes.h"

#include <inttypes.h>

#include "server/controllers/machines/waiters.h"
#include "server/controllers/meta.h"

#define GROUP "instancetype.kubevirt.io"
#define VERSION "v1beta1"

static const struct {
	const char *kind, *annotation;
} kinds[] = {
	{"VirtualMachineInstancetype", "kubevirt.io/instancetype-name"},
	{"VirtualMachineClusterInstancetype", "kubevirt.io/cluster-instancetype-name"},
	{"VirtualMachinePreference", "kubevirt.io/preference-name"},
	{"VirtualMachineClusterPreference", "kubevirt.io/cluster-preference-name"},
};

struct machine_sizes {
	struct informer *objects[ARRAY_LEN(kinds)], *revisions;
	struct waiters waiters; /* by "KIND NAMESPACE/NAME" */
};

static const char *key_of(
	struct arena *a, const char *kind, const char *namespace, const char *name)
{
	return arena_printf(a, "%s %s/%s", kind, namespace, name);
}

static void on_change(void *user, const struct object *old, const struct object *new)
{
	struct machine_sizes *v = user;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	if (new)
		waiters_wake(&v->waiters, key_of(&a, new->kind->kind, new->namespace, new->name));
}

struct machine_sizes *machine_sizes_create(struct shared *sh, struct loop *loop)
{
	static const struct informer_handler handler = {.changed = on_change};
	struct machine_sizes *v = xcalloc(1, sizeof(*v));
	v->waiters.loop = loop;
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		v->objects[i] = shared_informer(sh, GROUP, VERSION, kinds[i].kind);
		informer_add_handler(v->objects[i], &handler, v);
	}
	v->revisions = shared_informer(sh, "apps", "v1", "ControllerRevision");
	return v;
}

void machine_sizes_destroy(struct machine_sizes *v)
{
	if (v)
		waiters_finish(&v->waiters);
	free(v);
}

const struct kind *machine_sizes_kind(const struct machine_sizes *v)
{
	return informer_kind(v->revisions);
}

static const struct json *get(void *user, struct arena *a, const char *group, const char *kind,
	const char *namespace, const char *name)
{
	struct machine_sizes *v = user;
	const struct object *o = NULL;
	if (streq(group, "apps"))
		o = informer_get(v->revisions, namespace, name);
	for (size_t i = 0; i < ARRAY_LEN(kinds) && streq(group, GROUP); i++)
		if (streq(kinds[i].kind, kind))
			o = informer_get(v->objects[i], namespace, name);
	return o ? object_doc(o, a) : NULL;
}

/* KubeVirt's name: what it is a revision of shows in it. */
static const char *revision_name(
	struct arena *a, const struct object *vm, const struct json *object)
{
	const struct json *meta = json_get(object, "metadata");
	return arena_printf(a, "%s-%s-" VERSION "-%s-%" PRId64, vm->name,
		json_str_or(json_get(meta, "name"), ""), json_str_or(json_get(meta, "uid"), ""),
		json_int_or(json_get(meta, "generation"), 1));
}

static struct json *new_revision(
	struct arena *a, const struct object *vm, const struct json *object, const char *name)
{
	static const char *const dropped[] = {
		"labels", "annotations", "finalizers", "ownerReferences", "managedFields"};
	const struct json *from = json_get(object, "metadata");
	struct json *doc = json_new_object(a), *meta = json_object_at(a, doc, "metadata");
	struct json *labels = json_object_at(a, meta, "labels"), *data = json_copy(a, object);
	json_set_str(a, doc, "apiVersion", "apps/v1");
	json_set_str(a, doc, "kind", "ControllerRevision");
	json_set_str(a, meta, "name", name);
	json_set_str(a, meta, "namespace", vm->namespace);
	json_set(a, labels, GROUP "/object-generation",
		json_new_printf(a, "%" PRId64, json_int_or(json_get(from, "generation"), 1)));
	json_set(a, labels, GROUP "/object-kind", json_copy(a, json_get(object, "kind")));
	json_set(a, labels, GROUP "/object-name", json_copy(a, json_get(from, "name")));
	json_set(a, labels, GROUP "/object-uid", json_copy(a, json_get(from, "uid")));
	json_set_str(a, labels, GROUP "/object-version", VERSION);
	json_push(a, json_array_at(a, meta, "ownerReferences"), owner_reference(a, vm));
	for (size_t i = 0; i < ARRAY_LEN(dropped); i++)
		json_remove(json_get(data, "metadata"), dropped[i]);
	json_set(a, doc, "data", data);
	json_set_int(a, doc, "revision", 0);
	return doc;
}

static void look(struct machine_sizes *v, struct arena *a, const struct object *vm,
	const struct json *doc, enum instancetype_role role, struct sizes_state *s)
{
	struct instancetype_source source = {get, v};
	const struct json *matcher = instancetype_matcher(doc, role);
	struct err err = ERR_INIT;
	const char *revision = NULL;
	if (!matcher)
		return;
	int r = instancetype_find(
		&source, a, doc, vm->namespace, role, &s->found[role], &revision, &err);
	if (r < 0) {
		s->reason = role == ROLE_INSTANCETYPE ? "FailedFindInstancetype"
						      : "FailedFindPreference";
		s->message = arena_strdup(a, err.msg);
		if (revision)
			s->lost_revision = revision;
		const char *kind = instancetype_kind(json_str(json_get(matcher, "kind")), role);
		if (!revision && kind)
			waiters_add(&v->waiters,
				key_of(a, kind, instancetype_is_cluster(kind) ? "" : vm->namespace,
					json_str_or(json_get(matcher, "name"), "")),
				vm);
		return;
	}
	if (!revision) {
		revision = revision_name(a, vm, s->found[role]);
		if (!informer_get(v->revisions, vm->namespace, revision))
			s->missing[role] = new_revision(a, vm, s->found[role], revision);
	}
	struct json *ref = json_new_object(a);
	json_set_str(a, ref, "name", json_str_or(json_get(matcher, "name"), ""));
	json_set_str(a, ref, "kind", json_str_or(json_get(matcher, "kind"), ""));
	json_set_str(a, json_object_at(a, ref, "controllerRevisionRef"), "name", revision);
	s->refs[role] = ref;
}

struct sizes_state machine_sizes_look(
	struct machine_sizes *v, struct arena *a, const struct object *vm, const struct json *doc)
{
	struct sizes_state s = {0};
	look(v, a, vm, doc, ROLE_INSTANCETYPE, &s);
	look(v, a, vm, doc, ROLE_PREFERENCE, &s);
	return s;
}

void machine_sizes_annotate(struct arena *a, const struct json *vm, struct json *annotations)
{
	static const enum instancetype_role roles[] = {ROLE_INSTANCETYPE, ROLE_PREFERENCE};
	for (size_t i = 0; i < ARRAY_LEN(roles); i++) {
		const struct json *matcher = instancetype_matcher(vm, roles[i]);
		const char *kind = instancetype_kind(json_str(json_get(matcher, "kind")), roles[i]);
		for (size_t n = 0; n < ARRAY_LEN(kinds) && matcher; n++)
			if (streq(kinds[n].kind, kind))
				json_set_str(a, annotations, kinds[n].annotation,
					json_str_or(json_get(matcher, "name"), ""));
	}
}

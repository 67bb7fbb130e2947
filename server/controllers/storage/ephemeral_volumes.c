/* The claims of pods' ephemeral volumes: each is called POD-VOLUME, is made from the volume's
 * template, and goes with its pod (Kubernetes: "Generic ephemeral volumes"). */
#include <string.h>

#include "server/controllers/controller.h"
#include "server/controllers/meta.h"

#define COMPONENT "ephemeral_volume"

struct ephemeral {
	struct loop *loop;
	struct client *client;
	struct informer *pods, *claims;
};

/* A volume whose claim is being made. */
struct making {
	struct object *pod;
	const char *volume, *claim;
};

static void on_made(struct sync *s, const struct client_result *r, void *user)
{
	const struct making *m = user;
	struct ephemeral *e = s->self;

	/* A claim that is there already is not in the cache yet: the next run sees whose it is. */
	if (!client_ok(r) && r->code != 409 && !sync_namespace_terminating(r))
		client_event_as(e->client, COMPONENT, m->pod, NULL, "Warning", "FailedBinding",
			"ephemeral volume %s: create PVC %s: %s", m->volume, m->claim, r->message);
	sync_check(s, r);
}

static void make(struct sync *s, struct object *pod, const char *volume, const char *name,
	const struct json *template)
{
	struct ephemeral *e = s->self;
	struct arena *a = &s->arena;
	static const char *const copied[] = {"labels", "annotations"};
	struct json *doc = json_new_object(a), *meta = json_object_at(a, doc, "metadata");
	struct json *owners = json_new_array(a);
	struct making *m = ARENA_NEW(a, struct making);

	json_set_str(a, doc, "apiVersion", "v1");
	json_set_str(a, doc, "kind", "PersistentVolumeClaim");
	json_set_str(a, meta, "name", name);
	json_set_str(a, meta, "namespace", s->ns);
	for (size_t i = 0; i < ARRAY_LEN(copied); i++) {
		const struct json *v = json_get(json_get(template, "metadata"), copied[i]);
		if (v)
			json_set(a, meta, copied[i], json_copy(a, v));
	}
	json_push(a, owners, owner_reference(a, pod));
	json_set(a, meta, "ownerReferences", owners);
	if (json_get(template, "spec"))
		json_set(a, doc, "spec", json_copy(a, json_get(template, "spec")));
	*m = (struct making){sync_hold(s, pod), volume, name};
	sync_create(s, informer_kind(e->claims), s->ns, doc, on_made, m);
}

static const struct json *controller_of(const struct json *doc)
{
	JSON_FOR_EACH_ITEM(ref, json_path(doc, "metadata.ownerReferences"))
		if (json_bool_or(json_get(ref, "controller"), false))
			return ref;
	return NULL;
}

static void reconcile(struct sync *s)
{
	struct ephemeral *e = s->self;
	struct object *pod = informer_get(e->pods, s->ns, s->name);

	if (!pod || pod->deleting)
		return;
	JSON_FOR_EACH_ITEM(v, json_path(object_doc(pod, &s->arena), "spec.volumes")) {
		const struct json *template = json_path(v, "ephemeral.volumeClaimTemplate");
		const char *volume = json_str_or(json_get(v, "name"), "");
		if (!template)
			continue;
		const char *name = arena_printf(&s->arena, "%s-%s", pod->name, volume);
		struct object *claim = informer_get(e->claims, s->ns, name);
		if (!claim) {
			make(s, pod, volume, name, template);
			continue;
		}
		const struct json *ref = controller_of(object_doc(claim, &s->arena));
		if (streq(json_str(json_get(ref, "uid")), pod->uid))
			continue;
		client_event_as(e->client, COMPONENT, pod, NULL, "Warning", "FailedBinding",
			"ephemeral volume %s: PVC \"%s/%s\" (uid: \"%s\") was not created for the "
			"pod",
			volume, claim->namespace, claim->name, claim->uid);
		s->failed = true;
	}
}

/* Of thousands of pods few have such volumes: only those that may are parsed. */
static bool may_have_some(const struct object *pod)
{
	static const char member[] = "\"ephemeral\"";
	return memmem(pod->bytes->data, pod->bytes->size, member, sizeof(member) - 1) != NULL;
}

/* What a pod's volumes are does not change. */
static void on_pod(void *user, const struct object *old, const struct object *new)
{
	struct ephemeral *e = user;

	if (new && !new->deleting && (!old || !streq(old->uid, new->uid)) && may_have_some(new))
		loop_add_object(e->loop, new);
}

/* The claim of a pod that still is there is made anew. */
static void on_claim(void *user, const struct object *old, const struct object *new)
{
	struct ephemeral *e = user;
	struct arena a = ARENA_INIT;

	if (new)
		return;
	const struct json *ref = controller_of(object_doc(old, &a));
	const char *name = json_str(json_get(ref, "name"));
	if (name && streq(json_str(json_get(ref, "kind")), "Pod"))
		loop_add(e->loop, old->namespace, name);
	arena_finish(&a);
}

static void *create(struct shared *sh)
{
	static const struct informer_handler pod_handler = {.changed = on_pod},
					     claim_handler = {.changed = on_claim};
	struct ephemeral *e = xcalloc(1, sizeof(*e));

	e->client = sh->client;
	e->loop = loop_create(sh->client, COMPONENT, 1, reconcile, e);
	e->pods = shared_informer(sh, "", "v1", "Pod");
	e->claims = shared_informer(sh, "", "v1", "PersistentVolumeClaim");
	informer_add_handler(e->pods, &pod_handler, e);
	informer_add_handler(e->claims, &claim_handler, e);
	return e;
}

static void start(void *self)
{
	loop_start(((struct ephemeral *)self)->loop);
}

static void destroy(void *self)
{
	struct ephemeral *e = self;

	loop_destroy(e->loop);
	free(e);
}

const struct controller_class ephemeral_volume_controller = {
	"ephemeral-volume", create, start, destroy};

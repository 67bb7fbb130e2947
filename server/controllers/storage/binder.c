/* binder.c - PersistentVolumes and their claims: see binder.h. (Kubernetes: "Persistent Volumes",
 * lifecycle of a volume and claim.) */
#include "server/controllers/storage/binder.h"

#include <stdarg.h>

void binder_tell(struct binder *b, const struct object *about, const char *type, const char *reason,
	const char *fmt, ...)
{
	_cleanup_(buf_finish) struct buf text = BUF_INIT;
	va_list ap;
	va_start(ap, fmt);
	buf_vprintf(&text, fmt, ap);
	va_end(ap);
	client_event_as(b->client, "persistentvolume-controller", about, NULL, type, reason, "%s",
		text.data ? text.data : "");
}

static void add_pending(struct binder *b)
{
	struct arena a = ARENA_INIT;
	struct object **all;
	size_t count = informer_list(b->claims, NULL, &a, &all);
	for (size_t i = 0; i < count; i++) {
		struct arena scratch = ARENA_INIT;
		const struct json *doc = object_doc(all[i], &scratch);
		if (!streq(json_path_str(doc, "status.phase"), "Bound"))
			loop_add_object(b->claims_loop, all[i]);
		arena_finish(&scratch);
	}
	arena_finish(&a);
}

/* Claims and volumes are thousands: looking for a name is much cheaper than parsing. */
static bool mentions(const struct object *o, const char *name)
{
	return memmem(o->bytes->data, o->bytes->size, name, strlen(name));
}

static void on_claim(void *user, const struct object *old, const struct object *new)
{
	struct binder *b = user;
	struct arena a = ARENA_INIT;
	const struct object *o = new ? new : old;
	const char *volume = json_path_str(object_doc(o, &a), "spec.volumeName");
	if (new)
		loop_add_object(b->claims_loop, new);
	if (volume && *volume)
		loop_add(b->volumes_loop, "", volume);
	/* A volume that was kept for it. */
	struct object **all;
	size_t count = new &&old ? 0 : informer_list(b->volumes, NULL, &a, &all);
	for (size_t i = 0; i < count; i++)
		if (mentions(all[i], o->name) &&
			volume_owner_of(o, object_doc(all[i], &a)) == VOLUME_OURS)
			loop_add_object(b->volumes_loop, all[i]);
	arena_finish(&a);
}

static void on_volume(void *user, const struct object *old, const struct object *new)
{
	struct binder *b = user;
	struct arena a = ARENA_INIT;
	const struct object *o = new ? new : old;
	const struct json *ref = json_path(object_doc(o, &a), "spec.claimRef");
	const char *ns = json_str(json_get(ref, "namespace")),
		   *name = json_str(json_get(ref, "name"));
	if (new)
		loop_add_object(b->volumes_loop, new);
	if (ns && name)
		loop_add(b->claims_loop, ns, name);
	else if (new)
		add_pending(b);
	arena_finish(&a);
}

static void on_class(void *user, const struct object *old, const struct object *new)
{
	add_pending(user);
}

static void *create(struct shared *sh)
{
	static const struct informer_handler claim_handler = {.changed = on_claim},
					     volume_handler = {.changed = on_volume},
					     class_handler = {.changed = on_class};
	struct binder *b = xcalloc(1, sizeof(*b));
	b->client = sh->client;
	b->claims = shared_informer(sh, "", "v1", "PersistentVolumeClaim");
	b->volumes = shared_informer(sh, "", "v1", "PersistentVolume");
	b->classes = shared_informer(sh, "storage.k8s.io", "v1", "StorageClass");
	b->nodes = shared_informer(sh, "", "v1", "Node");
	b->claims_loop =
		loop_create(sh->client, "persistent-volume-binder", 1, binder_reconcile_claim, b);
	b->volumes_loop =
		loop_create(sh->client, "persistent-volume-binder", 1, binder_reconcile_volume, b);
	informer_add_handler(b->claims, &claim_handler, b);
	informer_add_handler(b->volumes, &volume_handler, b);
	informer_add_handler(b->classes, &class_handler, b);
	return b;
}

static void start(void *self)
{
	struct binder *b = self;
	loop_start(b->claims_loop);
	loop_start(b->volumes_loop);
}

static void destroy(void *self)
{
	struct binder *b = self;
	loop_destroy(b->claims_loop);
	loop_destroy(b->volumes_loop);
	free(b);
}

const struct controller_class volume_binder_controller = {
	"persistentvolume-binder", create, start, destroy};

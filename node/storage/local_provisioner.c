#include "node/storage/local_provisioner.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/client/wakeup.h"
#include "lib/object/quantity.h"
#include "node/storage/local_removal.h"
#include "node/volume/volume.h"

#define COMPONENT "hanok-local-provisioner"
#define RETRY_MS 10000
#define SCAN_MS 600000
#define HOSTNAME_LABEL "kubernetes.io/hostname"

/* A request that is under way. */
struct writing {
	struct list link;
	struct local_provisioner *p;
	struct client_call *call;
};

struct local_provisioner {
	struct node *n;
	char *directory;
	const struct kind *volume_kind;
	struct informer *claims, *volumes, *classes;
	struct wakeup *retry, *look, *scan;
	struct local_removals *removals;
	struct list writings;
};

static void look_soon(struct local_provisioner *p)
{
	if (!wakeup_armed(p->look))
		wakeup_in(p->look, 0);
}

static void look_later(struct local_provisioner *p)
{
	if (!wakeup_armed(p->retry))
		wakeup_in(p->retry, RETRY_MS);
}

static struct writing *writing_new(struct local_provisioner *p)
{
	struct writing *w = xcalloc(1, sizeof(*w));

	w->p = p;
	list_append(&p->writings, &w->link);
	return w;
}

static void writing_free(struct writing *w)
{
	list_remove(&w->link);
	free(w);
}

static void on_written(void *user, const struct client_result *r)
{
	struct writing *w = user;

	/* Conflicts and the like come with an event of their own; all else is tried again. */
	if (!client_ok(r) && r->code != 409 && r->code != 404) {
		log_warn("local volumes", "problem", r->message, NULL);
		look_later(w->p);
	}
	writing_free(w);
}

/* ---- making ---- */

static char *path_of(struct arena *a, const struct local_provisioner *p, const char *volume)
{
	return arena_printf(a, "%s/%s", p->directory, volume);
}

static const struct json *class_of(
	struct local_provisioner *p, struct arena *a, const struct json *claim)
{
	const char *name = json_str_or(json_path(claim, "spec.storageClassName"), "");
	struct object *o = *name ? informer_get(p->classes, "", name) : NULL;
	const struct json *doc = o ? object_doc(o, a) : NULL;

	return streq(json_str(json_get(doc, "provisioner")), LOCAL_PROVISIONER) ? doc : NULL;
}

static const char *annotation(const struct json *doc, const char *name)
{
	return json_str(json_get(json_path(doc, "metadata.annotations"), name));
}

static int64_t wanted_bytes(const struct json *claim)
{
	return quantity_json_value(json_path(claim, "spec.resources.requests.storage"), 0);
}

static int make_directory(struct local_provisioner *p, struct arena *a, const struct json *claim,
	const char *path, struct err *err)
{
	struct statvfs fs;
	int64_t wanted = wanted_bytes(claim);

	if (streq(json_path_str(claim, "spec.volumeMode"), "Block"))
		return err_set(err, -ENOTSUP,
			"spec.volumeMode: provisioner " LOCAL_PROVISIONER
			" makes directories, not block devices: use Filesystem");
	int r = volume_make_dirs(p->directory, 0711, err);
	if (r < 0)
		return r;
	if (statvfs(p->directory, &fs) < 0)
		return err_errno(err, -errno, "size of the file system of '%s'", p->directory);
	int64_t there = (int64_t)(fs.f_blocks * fs.f_frsize);
	if (wanted > there)
		return err_set(err, -ENOSPC,
			"the claim wants %s, the whole file system of '%s' on node \"%s\" has %s: "
			"ask for less, or choose another storage class",
			json_str_or(json_path(claim, "spec.resources.requests.storage"), ""),
			p->directory, p->n->name, arena_printf(a, "%" PRId64 "Mi", there >> 20));
	if (mkdir(path, 0777) < 0 && errno != EEXIST)
		return err_errno(err, -errno, "create directory '%s'", path);
	/* Whatever user the container has. */
	if (chmod(path, 0777) < 0)
		return err_errno(err, -errno, "change mode of '%s'", path);
	return 0;
}

/* Pods that use it go where it is. */
static struct json *node_affinity(struct arena *a, const struct local_provisioner *p)
{
	struct json *affinity = json_new_object(a), *terms = json_new_array(a);
	struct json *term = json_new_object(a), *list = json_new_array(a);
	struct json *rule = json_new_object(a), *values = json_new_array(a);
	const char *host = p->n->object ? object_label(p->n->object, HOSTNAME_LABEL) : NULL;

	json_push(a, values, json_new_string(a, host ? host : p->n->name));
	json_set_str(a, rule, "key", HOSTNAME_LABEL);
	json_set_str(a, rule, "operator", "In");
	json_set(a, rule, "values", values);
	json_push(a, list, rule);
	json_set(a, term, "matchExpressions", list);
	json_push(a, terms, term);
	json_path_set(a, affinity, "required.nodeSelectorTerms", terms);
	return affinity;
}

static struct json *volume_doc(struct local_provisioner *p, struct arena *a,
	const struct object *claim, const struct json *doc, const struct json *class,
	const char *name, const char *path)
{
	struct json *pv = json_new_object(a), *spec = json_new_object(a), *ref = json_new_object(a);
	struct json *meta = json_object_at(a, pv, "metadata");
	const char *size = json_path_str(doc, "spec.resources.requests.storage");
	static const char *const copied[] = {"storageClassName", "accessModes", "volumeMode"};

	json_set_str(a, pv, "apiVersion", "v1");
	json_set_str(a, pv, "kind", "PersistentVolume");
	json_set_str(a, meta, "name", name);
	json_set_str(a, json_object_at(a, meta, "annotations"), "pv.kubernetes.io/provisioned-by",
		LOCAL_PROVISIONER);
	json_path_set(a, spec, "capacity.storage", json_new_string(a, size ? size : "0"));
	for (size_t i = 0; i < ARRAY_LEN(copied); i++) {
		const struct json *v = json_get(json_get(doc, "spec"), copied[i]);
		if (v)
			json_set(a, spec, copied[i], json_copy(a, v));
	}
	json_set_str(a, spec, "persistentVolumeReclaimPolicy",
		json_str_or(json_get(class, "reclaimPolicy"), "Delete"));
	json_path_set(a, spec, "local.path", json_new_string(a, path));
	json_set(a, spec, "nodeAffinity", node_affinity(a, p));
	json_set_str(a, ref, "kind", "PersistentVolumeClaim");
	json_set_str(a, ref, "apiVersion", "v1");
	json_set_str(a, ref, "namespace", claim->namespace);
	json_set_str(a, ref, "name", claim->name);
	json_set_str(a, ref, "uid", claim->uid);
	json_set(a, spec, "claimRef", ref);
	json_set(a, pv, "spec", spec);
	return pv;
}

static void provision(struct local_provisioner *p, struct arena *a, const struct object *claim,
	const struct json *doc, const struct json *class)
{
	const char *name = arena_printf(a, "pvc-%s", claim->uid);
	const char *path = path_of(a, p, name);
	struct err err = ERR_INIT;

	if (informer_get(p->volumes, "", name))
		return; /* the binder's turn */
	if (make_directory(p, a, doc, path, &err) < 0) {
		client_event_as(p->n->client, COMPONENT, claim, NULL, "Warning",
			"ProvisioningFailed",
			"failed to provision volume with StorageClass \"%s\": %s",
			json_path_str(class, "metadata.name"), err.msg);
		look_later(p);
		return;
	}
	struct writing *w = writing_new(p);
	w->call = client_create(p->n->client, p->volume_kind, NULL,
		volume_doc(p, a, claim, doc, class, name, path), on_written, w);
	client_event_as(p->n->client, COMPONENT, claim, NULL, "Normal", "ProvisioningSucceeded",
		"Successfully provisioned volume %s", name);
}

/* ---- growing ---- */

static void grow(struct local_provisioner *p, struct arena *a, const struct object *claim,
	const struct json *doc, const struct json *class)
{
	const char *name = json_str_or(json_path(doc, "spec.volumeName"), "");
	struct object *volume = informer_get(p->volumes, "", name);
	const struct json *pv = volume ? object_doc(volume, a) : NULL;
	struct json *patch = json_new_object(a);

	if (!pv || !json_bool_or(json_get(class, "allowVolumeExpansion"), false) ||
		!streq(json_path_str(pv, "spec.local.path"), path_of(a, p, name)) ||
		!streq(json_path_str(pv, "spec.claimRef.uid"), claim->uid) ||
		wanted_bytes(doc) <= quantity_json_value(json_path(pv, "spec.capacity.storage"), 0))
		return;
	json_path_set(a, patch, "metadata.resourceVersion",
		json_new_printf(a, "%" PRIu64, volume->revision));
	json_path_set(a, patch, "spec.capacity.storage",
		json_copy(a, json_path(doc, "spec.resources.requests.storage")));
	struct writing *w = writing_new(p);
	w->call = client_patch(p->n->client, p->volume_kind, NULL, name, NULL,
		"application/merge-patch+json", patch, on_written, w);
}

/* ---- looking ---- */

static void look_at_claims(struct local_provisioner *p)
{
	struct arena a = ARENA_INIT;
	struct object **list;
	size_t count = informer_list(p->claims, NULL, &a, &list);

	for (size_t i = 0; i < count; i++) {
		struct arena scratch = ARENA_INIT;
		const struct json *doc = object_doc(list[i], &scratch);
		const struct json *class = list[i]->deleting ? NULL : class_of(p, &scratch, doc);
		bool bound = *json_str_or(json_path(doc, "spec.volumeName"), "");
		/* The binder asks by the annotation, when nothing that is there will do. */
		if (class && bound)
			grow(p, &scratch, list[i], doc, class);
		else if (class &&
			 streq(annotation(doc, "volume.kubernetes.io/selected-node"), p->n->name) &&
			 streq(annotation(doc, "volume.kubernetes.io/storage-provisioner"),
				 LOCAL_PROVISIONER))
			provision(p, &scratch, list[i], doc, class);
		arena_finish(&scratch);
	}
	arena_finish(&a);
}

static void look_at_volumes(struct local_provisioner *p)
{
	struct arena a = ARENA_INIT;
	struct object **list;
	size_t count = informer_list(p->volumes, NULL, &a, &list);

	for (size_t i = 0; i < count; i++) {
		struct arena scratch = ARENA_INIT;
		const struct json *doc = object_doc(list[i], &scratch);
		const char *path = path_of(&scratch, p, list[i]->name);
		/* Only what this provisioner made, here: the name and the path go together. */
		if (streq(json_path_str(doc, "status.phase"), "Released") &&
			streq(json_path_str(doc, "spec.persistentVolumeReclaimPolicy"), "Delete") &&
			streq(annotation(doc, "pv.kubernetes.io/provisioned-by"),
				LOCAL_PROVISIONER) &&
			streq(json_path_str(doc, "spec.local.path"), path) &&
			str_has_prefix(list[i]->name, "pvc-") && !list[i]->deleting &&
			json_equal(json_path(doc, "spec.nodeAffinity"), node_affinity(&scratch, p)))
			local_removals_begin(p->removals, list[i]);
		arena_finish(&scratch);
	}
	arena_finish(&a);
}

static void on_look(void *user)
{
	struct local_provisioner *p = user;

	if (!informer_synced(p->claims) || !informer_synced(p->volumes) ||
		!informer_synced(p->classes))
		return;
	look_at_claims(p);
	look_at_volumes(p);
	if (!wakeup_armed(p->scan))
		wakeup_in(p->scan, 0);
}

/* Now and then: who is to remove a directory by hand hears of it once. */
static void on_scan(void *user)
{
	struct local_provisioner *p = user;

	local_removals_scan(p->removals);
	wakeup_in(p->scan, SCAN_MS);
}

static void on_removal_again(void *user)
{
	struct local_provisioner *p = user;

	look_later(p);
	wakeup_in(p->scan, RETRY_MS);
}

static void on_changed(void *user, const struct object *old, const struct object *new)
{
	look_soon(user);
}

static void on_synced(void *user)
{
	look_soon(user);
}

static struct informer *watch(struct local_provisioner *p, const char *group, const char *kind)
{
	static const struct informer_handler handler = {.changed = on_changed, .synced = on_synced};
	struct informer *i = informer_create(
		p->n->client, kind_by_name(p->n->kinds, group, "v1", kind), NULL, NULL, NULL);

	informer_add_handler(i, &handler, p);
	informer_start(i);
	return i;
}

struct local_provisioner *local_provisioner_create(struct node *n)
{
	struct local_provisioner *p = xcalloc(1, sizeof(*p));

	p->n = n;
	p->directory = xasprintf("%s/local", n->data_dir);
	p->volume_kind = kind_by_name(n->kinds, "", "v1", "PersistentVolume");
	list_init(&p->writings);
	p->look = wakeup_create(n->loop, n->clock, on_look, p);
	p->retry = wakeup_create(n->loop, n->clock, on_look, p);
	p->claims = watch(p, "", "PersistentVolumeClaim");
	p->volumes = watch(p, "", "PersistentVolume");
	p->classes = watch(p, "storage.k8s.io", "StorageClass");
	p->scan = wakeup_create(n->loop, n->clock, on_scan, p);
	p->removals = local_removals_create(n, p->directory, p->volumes, on_removal_again, p);
	return p;
}

void local_provisioner_destroy(struct local_provisioner *p)
{
	if (!p)
		return;
	local_removals_destroy(p->removals);
	wakeup_destroy(p->scan);
	LIST_FOR_EACH(w, &p->writings, struct writing, link) {
		client_cancel(p->n->client, w->call);
		writing_free(w);
	}
	informer_destroy(p->claims);
	informer_destroy(p->volumes);
	informer_destroy(p->classes);
	wakeup_destroy(p->look);
	wakeup_destroy(p->retry);
	free(p->directory);
	free(p);
}

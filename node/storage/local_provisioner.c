#include "node/storage/local_provisioner.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/base/table.h"
#include "lib/client/wakeup.h"
#include "lib/object/quantity.h"
#include "node/disk/fill.h"
#include "node/storage/local_pool.h"
#include "node/storage/local_removal.h"
#include "node/storage/provisioned.h"
#include "node/volume/volume.h"

#define COMPONENT "hanok-local-provisioner"
#define RETRY_MS 10000
#define SCAN_MS 600000
#define GATHER_MS 50 /* many claims come at once */
#define HOSTNAME_LABEL "kubernetes.io/hostname"

/* A directory that is filled before its volume is made. */
struct filling {
	struct list link;
	struct local_provisioner *p;
	struct object *claim;
	struct disk_fill *fill;
};

/* A request that is under way. */
struct writing {
	struct list link;
	struct local_provisioner *p;
	struct client_call *call;
	struct object *claim; /* that a volume is made for; NULL = another request */
};

struct local_provisioner {
	struct node *n;
	char *directory;
	const struct kind *volume_kind;
	struct informer *claims, *volumes, *classes;
	struct wakeup *retry, *look, *scan;
	/* What is to be looked at: keys of claims, names of volumes, or everything. */
	struct table due_claims, due_volumes;
	bool all_due;
	struct table again; /* keys of claims that are tried again by and by */
	struct local_removals *removals;
	struct list writings, fillings;
};

static void look_soon(struct local_provisioner *p)
{
	if (!wakeup_armed(p->look))
		wakeup_in(p->look, GATHER_MS);
}

static void note_claim(
	struct local_provisioner *p, struct table *due, const char *ns, const char *name)
{
	_cleanup_(free_p) char *key = xasprintf("%s/%s", ns, name);

	table_set(due, key, p);
}

/* claim NULL = all. */
static void look_later(struct local_provisioner *p, const struct object *claim)
{
	if (claim)
		note_claim(p, &p->again, claim->namespace, claim->name);
	else
		p->all_due = true;
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
	object_unref(w->claim);
	free(w);
}

static void on_written(void *user, const struct client_result *r)
{
	struct writing *w = user;

	if (w->claim && client_ok(r))
		client_event_as(w->p->n->client, COMPONENT, w->claim, NULL, "Normal",
			"ProvisioningSucceeded", "Successfully provisioned volume pvc-%s",
			w->claim->uid);
	/* Conflicts and the like come with an event of their own; all else is tried again. */
	if (!client_ok(r) && r->code != 409 && r->code != 404) {
		log_warn("local volumes", "problem", r->message, NULL);
		look_later(w->p, w->claim);
	}
	writing_free(w);
}

/* ---- making ---- */

static char *path_of(struct arena *a, const struct local_provisioner *p, const char *volume)
{
	return arena_printf(a, "%s/%s", p->directory, volume);
}

static int make_directory(struct local_provisioner *p, struct arena *a, const struct json *claim,
	const struct json *class, const char *path, struct err *err)
{
	struct local_pool pool;
	int64_t wanted = provisioned_wanted_bytes(claim);

	if (streq(json_path_str(claim, "spec.volumeMode"), "Block"))
		return err_set(err, -ENOTSUP,
			"spec.volumeMode: provisioner " LOCAL_PROVISIONER
			" makes directories, not block devices: use Filesystem");
	int r = volume_make_dirs(p->directory, 0711, err);
	if (r < 0)
		return r;
	r = local_pool_read(p->volumes, p->directory, &pool, err);
	if (r < 0)
		return r;
	local_pool_tell(&pool, "local");
	r = local_pool_admit(&pool, json_get(class, "parameters"), wanted, err);
	if (r < 0)
		return r;
	int64_t there = pool.capacity_bytes;
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
	struct json *pv = provisioned_volume(a, claim, doc, class, LOCAL_PROVISIONER, name);

	json_path_set(a, pv, "spec.local.path", json_new_string(a, path));
	json_path_set(a, pv, "spec.nodeAffinity", node_affinity(a, p));
	return pv;
}

static void not_provisioned(struct local_provisioner *p, const struct object *claim,
	const struct json *doc, const struct err *err)
{
	client_event_as(p->n->client, COMPONENT, claim, NULL, "Warning", "ProvisioningFailed",
		"failed to provision volume with StorageClass \"%s\": %s",
		json_str_or(json_path(doc, "spec.storageClassName"), ""), err->msg);
	look_later(p, claim);
}

static void filling_free(struct filling *f)
{
	list_remove(&f->link);
	object_unref(f->claim);
	free(f);
}

static void on_filled(void *user, const struct err *err)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct filling *f = user;
	struct local_provisioner *p = f->p;

	if (err) {
		not_provisioned(p, f->claim, object_doc(f->claim, &a), err);
	} else {
		note_claim(p, &p->due_claims, f->claim->namespace, f->claim->name);
		wakeup_in(p->look, 0);
	}
	filling_free(f);
}

/* False: it is under way, or has just begun. */
static bool is_filled(struct local_provisioner *p, const struct object *claim, const char *path)
{
	struct filling *f;

	if (disk_fill_done(path))
		return true;
	LIST_FOR_EACH(under_way, &p->fillings, struct filling, link) {
		if (streq(under_way->claim->uid, claim->uid))
			return false;
	}
	f = xcalloc(1, sizeof(*f));
	f->p = p;
	f->claim = object_ref((struct object *)(uintptr_t)claim);
	list_append(&p->fillings, &f->link);
	f->fill = disk_fill_start(&(struct disk_fill_options){
		.node = p->n, .claim = f->claim, .directory = path, .done = on_filled, .user = f});
	return false;
}

static void provision(struct local_provisioner *p, struct arena *a, const struct object *claim,
	const struct json *doc, const struct json *class)
{
	const char *name = arena_printf(a, "pvc-%s", claim->uid);
	const char *path = path_of(a, p, name);
	struct err err = ERR_INIT;

	if (informer_get(p->volumes, "", name))
		return; /* the binder's turn */
	LIST_FOR_EACH(under_way, &p->writings, struct writing, link) {
		if (under_way->claim && streq(under_way->claim->uid, claim->uid))
			return;
	}
	if (disk_fill_wanted(doc) && !is_filled(p, claim, path))
		return;
	if (make_directory(p, a, doc, class, path, &err) < 0) {
		not_provisioned(p, claim, doc, &err);
		return;
	}
	struct writing *w = writing_new(p);
	w->claim = object_ref((struct object *)(uintptr_t)claim);
	w->call = client_create(p->n->client, p->volume_kind, NULL,
		volume_doc(p, a, claim, doc, class, name, path), on_written, w);
}

/* ---- growing ---- */

static bool may_grow(struct local_provisioner *p, const struct object *claim,
	const struct json *class, int64_t more_bytes)
{
	struct local_pool pool;
	struct err err = ERR_INIT;

	if (local_pool_read(p->volumes, p->directory, &pool, &err) == 0 &&
		local_pool_admit(&pool, json_get(class, "parameters"), more_bytes, &err) == 0)
		return true;
	client_event_as(p->n->client, COMPONENT, claim, NULL, "Warning", "VolumeResizeFailed", "%s",
		err.msg);
	return false;
}

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
		provisioned_wanted_bytes(doc) <=
			quantity_json_value(json_path(pv, "spec.capacity.storage"), 0))
		return;
	if (!may_grow(p, claim, class,
		    provisioned_wanted_bytes(doc) -
			    quantity_json_value(json_path(pv, "spec.capacity.storage"), 0))) {
		look_later(p, claim);
		return;
	}
	json_path_set(a, patch, "metadata.resourceVersion",
		json_new_printf(a, "%" PRIu64, volume->revision));
	json_path_set(a, patch, "spec.capacity.storage",
		json_copy(a, json_path(doc, "spec.resources.requests.storage")));
	struct writing *w = writing_new(p);
	w->call = client_patch(p->n->client, p->volume_kind, NULL, name, NULL,
		"application/merge-patch+json", patch, on_written, w);
}

/* ---- looking ---- */

static void look_at_claim(struct local_provisioner *p, const struct object *claim)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;

	if (claim->deleting)
		return;
	const struct json *doc = object_doc(claim, &a);
	const struct json *class = provisioned_class(p->classes, &a, doc, LOCAL_PROVISIONER);
	/* The binder asks by the annotation, when nothing that is there will do. */
	if (class && *json_str_or(json_path(doc, "spec.volumeName"), ""))
		grow(p, &a, claim, doc, class);
	else if (class &&
		 streq(provisioned_annotation(doc, "volume.kubernetes.io/selected-node"),
			 p->n->name) &&
		 streq(provisioned_annotation(doc, "volume.kubernetes.io/storage-provisioner"),
			 LOCAL_PROVISIONER))
		provision(p, &a, claim, doc, class);
}

static void look_at_volume(struct local_provisioner *p, const struct object *volume)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const char *path = path_of(&a, p, volume->name);

	if (volume->deleting || !str_has_prefix(volume->name, "pvc-"))
		return;
	const struct json *doc = object_doc(volume, &a);
	/* Only what this provisioner made, here: the name and the path go together. */
	if (streq(json_path_str(doc, "status.phase"), "Released") &&
		streq(json_path_str(doc, "spec.persistentVolumeReclaimPolicy"), "Delete") &&
		streq(provisioned_annotation(doc, PROVISIONED_BY), LOCAL_PROVISIONER) &&
		streq(json_path_str(doc, "spec.local.path"), path) &&
		json_equal(json_path(doc, "spec.nodeAffinity"), node_affinity(&a, p)))
		local_removals_begin(p->removals, (struct object *)(uintptr_t)volume);
}

static void look_at_all(struct local_provisioner *p, struct informer *informer,
	void (*look)(struct local_provisioner *p, const struct object *o))
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object **list;
	size_t count = informer_list(informer, NULL, &a, &list);

	for (size_t i = 0; i < count; i++)
		look(p, list[i]);
}

static void look_at_due(struct local_provisioner *p, struct informer *informer, struct table due,
	void (*look)(struct local_provisioner *p, const struct object *o))
{
	for (struct table_iter i = table_iterate(&due); table_next(&i);) {
		const char *slash = strchr(i.key, '/');
		_cleanup_(free_p) char *ns = xstrndup(i.key, slash ? (size_t)(slash - i.key) : 0);
		struct object *o = informer_get(informer, ns, slash ? slash + 1 : i.key);
		if (o)
			look(p, o);
	}
	table_finish(&due);
}

/* What fails is put among those of the next time, not of this one. */
static struct table take(struct table *t)
{
	struct table all = *t;

	*t = TABLE_INIT;
	return all;
}

static void on_look(void *user)
{
	struct local_provisioner *p = user;
	bool all = p->all_due;

	if (!informer_synced(p->claims) || !informer_synced(p->volumes) ||
		!informer_synced(p->classes))
		return;
	struct table claims = take(&p->due_claims), volumes = take(&p->due_volumes);
	p->all_due = false;
	if (all) {
		table_finish(&claims);
		table_finish(&volumes);
		look_at_all(p, p->claims, look_at_claim);
		look_at_all(p, p->volumes, look_at_volume);
	} else {
		look_at_due(p, p->claims, claims, look_at_claim);
		look_at_due(p, p->volumes, volumes, look_at_volume);
	}
	if (!wakeup_armed(p->scan))
		wakeup_in(p->scan, 0);
}

static void on_retry(void *user)
{
	struct local_provisioner *p = user;

	if (p->all_due)
		on_look(p);
	look_at_due(p, p->claims, take(&p->again), look_at_claim);
}

static void tell_pool(struct local_provisioner *p)
{
	struct local_pool pool;

	if (local_pool_read(p->volumes, p->directory, &pool, NULL) == 0)
		local_pool_tell(&pool, "local");
}

/* Now and then: who is to remove a directory by hand hears of it once. */
static void on_scan(void *user)
{
	struct local_provisioner *p = user;

	local_removals_scan(p->removals);
	tell_pool(p);
	wakeup_in(p->scan, SCAN_MS);
}

static void on_removal_again(void *user)
{
	struct local_provisioner *p = user;

	look_later(p, NULL);
	wakeup_in(p->scan, RETRY_MS);
}

/* Nobody waits for it any more, and no volume would ever lead to it. */
static void stop_filling(struct local_provisioner *p, const struct object *claim)
{
	LIST_FOR_EACH(f, &p->fillings, struct filling, link) {
		_cleanup_(free_p) char *name = NULL;

		if (!streq(f->claim->uid, claim->uid))
			continue;
		name = xasprintf("pvc-%s", claim->uid);
		disk_fill_cancel(f->fill);
		filling_free(f);
		local_removals_drop(p->removals, name);
		return;
	}
}

static void on_claim(void *user, const struct object *old, const struct object *new)
{
	struct local_provisioner *p = user;

	if (old && (!new || !streq(old->uid, new->uid)))
		stop_filling(p, old);
	if (new) {
		note_claim(p, &p->due_claims, new->namespace, new->name);
		look_soon(p);
	}
}

/* The claim it is for may have waited for it, or for it to go. */
static void on_volume(void *user, const struct object *old, const struct object *new)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct local_provisioner *p = user;
	const struct json *doc = object_doc(new ? new : old, &a);
	const char *ns = json_path_str(doc, "spec.claimRef.namespace");
	const char *name = json_path_str(doc, "spec.claimRef.name");

	if (ns && name)
		note_claim(p, &p->due_claims, ns, name);
	if (new)
		table_set(&p->due_volumes, new->name, p);
	look_soon(p);
}

static void look_at_everything(struct local_provisioner *p)
{
	p->all_due = true;
	look_soon(p);
}

static void on_class(void *user, const struct object *old, const struct object *new)
{
	look_at_everything(user);
}

static void on_synced(void *user)
{
	look_at_everything(user);
}

static struct informer *watch(struct local_provisioner *p, const char *group, const char *kind,
	const struct informer_handler *handler)
{
	struct informer *i = informer_create(
		p->n->client, kind_by_name(p->n->kinds, group, "v1", kind), NULL, NULL, NULL);

	informer_add_handler(i, handler, p);
	return i;
}

struct local_provisioner *local_provisioner_create(struct node *n)
{
	static const struct informer_handler claims = {.changed = on_claim, .synced = on_synced};
	static const struct informer_handler volumes = {.changed = on_volume, .synced = on_synced};
	static const struct informer_handler classes = {.changed = on_class, .synced = on_synced};
	struct local_provisioner *p = xcalloc(1, sizeof(*p));

	p->n = n;
	p->due_claims = p->due_volumes = p->again = TABLE_INIT;
	p->directory = xasprintf("%s/local", n->data_dir);
	p->volume_kind = kind_by_name(n->kinds, "", "v1", "PersistentVolume");
	list_init(&p->writings);
	list_init(&p->fillings);
	p->look = wakeup_create(n->loop, n->clock, on_look, p);
	p->retry = wakeup_create(n->loop, n->clock, on_retry, p);
	p->claims = n->claims = watch(p, "", "PersistentVolumeClaim", &claims);
	p->volumes = n->volumes = watch(p, "", "PersistentVolume", &volumes);
	p->classes = watch(p, "storage.k8s.io", "StorageClass", &classes);
	p->scan = wakeup_create(n->loop, n->clock, on_scan, p);
	p->removals = local_removals_create(n, p->directory, p->volumes, on_removal_again, p);
	return p;
}

struct informer *local_provisioner_classes(struct local_provisioner *p)
{
	return p->classes;
}

void local_provisioner_start(struct local_provisioner *p)
{
	informer_start(p->claims);
	informer_start(p->volumes);
	informer_start(p->classes);
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
	p->n->claims = p->n->volumes = NULL;
	LIST_FOR_EACH(f, &p->fillings, struct filling, link) {
		disk_fill_cancel(f->fill);
		filling_free(f);
	}
	informer_destroy(p->claims);
	informer_destroy(p->volumes);
	informer_destroy(p->classes);
	wakeup_destroy(p->look);
	wakeup_destroy(p->retry);
	table_finish(&p->due_claims);
	table_finish(&p->due_volumes);
	table_finish(&p->again);
	free(p->directory);
	free(p);
}

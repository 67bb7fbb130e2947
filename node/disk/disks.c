#include "lib/object/quantity.h"
#include "lib/object/selector.h"
#include "node/disk/disks_internal.h"
#include "node/volume/file_work.h"

#define POPULATOR_KIND "DataVolume"
#define UPLOAD_TARGET "cdi.kubevirt.io/storage.upload.target"

static void on_claim(void *user, const struct object *old, const struct object *new)
{
	const struct object *o = new ? new : old;

	claim_disks_look(user, o->namespace, o->name);
}

static void on_volume(void *user, const struct object *old, const struct object *new)
{
	claim_disks_look(user, NULL, NULL);
}

static void on_synced(void *user)
{
	claim_disks_look(user, NULL, NULL);
}

struct disks *disks_create(struct node *n)
{
	static const struct informer_handler claims = {.changed = on_claim, .synced = on_synced};
	static const struct informer_handler volumes = {.changed = on_volume, .synced = on_synced};
	struct disks *d = xcalloc(1, sizeof(*d));

	d->n = n;
	d->directory = xasprintf("%s/local", n->data_dir);
	list_init(&d->opened);
	informer_add_handler(n->claims, &claims, d);
	informer_add_handler(n->volumes, &volumes, d);
	n->check_claim = disks_check_held;
	return d;
}

void disks_destroy(struct disks *d)
{
	if (!d)
		return;
	while (!list_empty(&d->opened)) {
		/* Who opened them is gone already: nothing may be left. */
		list_remove(d->opened.next);
	}
	d->n->check_claim = NULL;
	table_finish(&d->held);
	free(d->directory);
	free(d);
}

static uintptr_t held_count(const struct disks *d, const char *directory)
{
	return (uintptr_t)table_get(&d->held, directory);
}

void disks_hold(struct disks *d, const char *directory)
{
	table_set(&d->held, directory, (void *)(held_count(d, directory) + 1));
}

void disks_release(struct disks *d, const char *directory)
{
	uintptr_t count = held_count(d, directory);

	if (count > 1) {
		table_set(&d->held, directory, (void *)(count - 1));
		return;
	}
	table_remove(&d->held, directory);
	claim_disks_look(d, NULL, NULL);
}

struct releasing {
	struct node *n;
	char *directory;
};

static void wait_on_thread(void *user)
{
	/* Its turn is all that was waited for. */
}

static void on_waited(void *user, bool cancelled)
{
	struct releasing *r = user;

	if (!cancelled && r->n->disks)
		disks_release(r->n->disks, r->directory);
	free(r->directory);
	free(r);
}

void disks_release_after(struct disks *d, const char *directory, const char *key)
{
	struct releasing *r = xcalloc(1, sizeof(*r));

	r->n = d->n;
	r->directory = xstrdup(directory);
	file_work_queue(d->n->files, key, wait_on_thread, on_waited, r);
}

bool disks_held(const struct disks *d, const char *directory)
{
	return held_count(d, directory) > 0;
}

void disks_ask_guests(struct disks *d, const struct disks_guests *g)
{
	d->guests = g ? *g : (struct disks_guests){0};
}

bool disks_in_use(const struct disks *d, const char *ns, const char *claim)
{
	/* Nobody answers for guests yet: there may be one. */
	if (!d->guests.in_use)
		return d->n->vms != NULL;
	return d->guests.in_use(d->guests.user, ns, claim);
}

bool disks_directory_in_use(const struct disks *d, const char *ns, const char *directory)
{
	if (disks_held(d, directory))
		return true;
	return d->guests.has ? d->guests.has(d->guests.user, ns, directory) : d->n->vms != NULL;
}

void disks_changed(struct disks *d, const char *ns, const char *claim)
{
	claim_disks_look(d, ns, claim);
}

/* The DataVolume that the claim is of; or, of a claim that asks for an upload itself, the one that
 * is of the claim. */
static const char *populator(const struct object *claim, const struct json *doc)
{
	const struct object_owner *o = object_controller(claim);

	if (o)
		return streq(o->kind, POPULATOR_KIND) &&
				       str_has_prefix(o->api_version, "cdi.kubevirt.io/")
			       ? o->name
			       : NULL;
	return json_get(json_path(doc, "metadata.annotations"), UPLOAD_TARGET) ? claim->name : NULL;
}

static int wait_for(const char **ret_reason, const char *reason)
{
	*ret_reason = reason;
	return -EAGAIN;
}

static int nfs_place(struct arena *a, const char *ns, const char *claim, const struct json *pv,
	struct claim_place *p, struct claim_place *ret, struct err *err)
{
	struct nfs_place *nfs = arena_zalloc(a, sizeof(*nfs));
	int r;

	if (streq(json_path_str(pv, "spec.volumeMode"), "Block"))
		return err_set(err, -EOPNOTSUPP,
			"PVC %s/%s: volume \"%s\": nfs volumes have no volumeMode Block", ns, claim,
			p->volume);
	r = nfs_place_read(a, pv, nfs, err);
	if (r < 0)
		return err_context(err, r, "PVC %s/%s: volume \"%s\"", ns, claim, p->volume);
	p->nfs = nfs;
	*ret = *p;
	return 0;
}

const char *claim_place_text(struct arena *a, const struct claim_place *p)
{
	return p->nfs ? nfs_url(a, p->nfs, NULL) : p->directory ? p->directory : p->device;
}

int claim_place_find(struct disks *d, struct arena *a, const char *ns, const char *claim,
	struct claim_place *ret, const char **ret_reason, struct err *err)
{
	struct node *n = d->n;
	struct object *o, *volume;
	const struct json *doc, *pv, *terms;
	struct claim_place p = {0};
	const char *by;

	*ret_reason = "DiskNotReady";
	if (!informer_synced(n->claims) || !informer_synced(n->volumes))
		return err_set(err, wait_for(ret_reason, "DiskNotReady"),
			"the claims of the cluster are not known yet");
	o = informer_get(n->claims, ns, claim);
	if (!o)
		return err_set(err, wait_for(ret_reason, "FailedPvcNotFound"),
			"PVC %s/%s does not exist, waiting for it to appear", ns, claim);
	doc = object_doc(o, a);
	p.volume = json_str_or(json_path(doc, "spec.volumeName"), "");
	volume = *p.volume ? informer_get(n->volumes, "", p.volume) : NULL;
	if (!volume || !streq(json_path_str(doc, "status.phase"), "Bound"))
		return err_set(err, wait_for(ret_reason, "WaitingForVolumeBinding"),
			"PVC %s/%s is not bound to a volume yet", ns, claim);
	if (o->deleting)
		return err_set(err, -EBUSY, "PVC %s/%s is being deleted", ns, claim);
	pv = object_doc(volume, a);
	if (!streq(json_path_str(pv, "spec.claimRef.uid"), o->uid))
		return err_set(err, -EINVAL, "PVC %s/%s: volume \"%s\" is bound to another claim",
			ns, claim, p.volume);
	terms = json_path(pv, "spec.nodeAffinity.required.nodeSelectorTerms");
	if (terms && !(n->object && selector_node_terms_hold(a, terms, n->object)))
		return err_set(err, -EPERM,
			"PVC %s/%s: volume \"%s\" can't be reached from node \"%s\"", ns, claim,
			p.volume, n->name);
	p.capacity_bytes = MAX(quantity_json_value(json_path(doc, "status.capacity.storage"), 0),
		quantity_json_value(json_path(pv, "spec.capacity.storage"), 0));
	by = populator(o, doc);
	p.populated_by = by ? arena_strdup(a, by) : NULL;
	p.volume = arena_strdup(a, p.volume);
	if (json_path(pv, "spec.nfs"))
		return nfs_place(a, ns, claim, pv, &p, ret, err);
	const char *path = json_path_str(pv, "spec.local.path");
	bool local = path != NULL;
	if (!path)
		path = json_path_str(pv, "spec.hostPath.path");
	if (!path || *path != '/')
		return err_set(err, -EOPNOTSUPP,
			"PVC %s/%s: volume \"%s\" is neither local nor hostPath nor nfs: this node "
			"can't give it to a guest",
			ns, claim, p.volume);
	if (streq(json_path_str(pv, "spec.volumeMode"), "Block")) {
		if (!local)
			return err_set(err, -EOPNOTSUPP,
				"PVC %s/%s: volume \"%s\": hostPath volumes have no volumeMode "
				"Block: use a local volume whose path is the device",
				ns, claim, p.volume);
		p.device = arena_strdup(a, path);
	} else {
		p.directory = arena_strdup(a, path);
		p.own = streq(path, arena_printf(a, "%s/%s", d->directory, p.volume));
	}
	*ret = p;
	return 0;
}

/* binder_claims.c - a claim's way to its volume:
 *
 *	no volume named --> found one: the volume is marked with the claim, then the claim named
 *	                --> none: a provisioner is asked, or it waits
 *	volume named, not complete --> by the user, or a step of ours is missing: as far as it goes
 *	complete --> checked; Lost when the volume is not there or is another's
 */
#include "lib/object/quantity.h"
#include "server/controllers/meta.h"
#include "server/controllers/storage/binder.h"

struct claim_pass {
	struct binder *b;
	struct object *claim;
	struct volume_wish wish;
	struct object *volume; /* that it is to be bound to */
	const struct json *volume_doc;
	bool named_by_user; /* spec.volumeName was there before us */
};

static void set_phase(struct sync *s, const char *phase)
{
	struct claim_pass *p = s->state;
	struct arena *a = &s->arena;
	struct json *status = json_new_object(a);
	json_set_str(a, status, "phase", phase);
	if (streq(phase, "Bound")) {
		const struct json *spec = json_get(p->volume_doc, "spec");
		json_set(a, status, "accessModes", json_copy(a, json_get(spec, "accessModes")));
		struct json *capacity = json_new_object(a);
		struct json *size = json_path(spec, "capacity.storage");
		if (size)
			json_set(a, capacity, "storage", json_copy(a, size));
		json_set(a, status, "capacity", capacity);
	}
	sync_status(s, p->claim, p->wish.doc, status, NULL, NULL);
}

static void on_named(struct sync *s, const struct client_result *r, void *user)
{
	sync_check(s, r); /* its event brings the status */
}

/* The volume is the claim's: the claim says so, too. */
static void name_volume(struct sync *s)
{
	struct claim_pass *p = s->state;
	struct arena *a = &s->arena;
	if (s->failed)
		return;
	const struct json *spec = json_get(p->wish.doc, "spec");
	bool named = streq(json_str_or(json_get(spec, "volumeName"), ""), p->volume->name);
	if (named && volume_annotation(p->wish.doc, ANNOTATION_BIND_COMPLETED)) {
		set_phase(s, "Bound");
		return;
	}
	struct json *patch = json_new_object(a);
	if (!named) {
		json_path_set(a, patch, "spec.volumeName", json_new_string(a, p->volume->name));
	}
	struct json *annotations =
		json_object_at(a, json_object_at(a, patch, "metadata"), "annotations");
	json_set_str(a, annotations, ANNOTATION_BIND_COMPLETED, "yes");
	if (!p->named_by_user)
		json_set_str(a, annotations, ANNOTATION_BOUND_BY_CONTROLLER, "yes");
	sync_patch(s, p->claim, NULL, patch, on_named, NULL);
}

static struct json *claim_reference(struct arena *a, const struct object *claim)
{
	struct json *ref = json_new_object(a);
	json_set_str(a, ref, "kind", "PersistentVolumeClaim");
	json_set_str(a, ref, "apiVersion", "v1");
	json_set_str(a, ref, "namespace", claim->namespace);
	json_set_str(a, ref, "name", claim->name);
	json_set_str(a, ref, "uid", claim->uid);
	json_set(a, ref, "resourceVersion",
		json_new_printf(a, "%llu", (unsigned long long)claim->revision));
	return ref;
}

/* A volume that is gone must not be named: the claim would be lost for good. */
static void on_marked(struct sync *s, const struct client_result *r, void *user)
{
	sync_check(s, r);
}

static void bind_to(struct sync *s, struct object *volume)
{
	struct claim_pass *p = s->state;
	struct arena *a = &s->arena;
	p->volume = sync_hold(s, volume);
	p->volume_doc = object_doc(volume, a);
	s->next = name_volume;
	const struct json *ref = json_path(p->volume_doc, "spec.claimRef");
	if (streq(json_str(json_get(ref, "uid")), p->claim->uid))
		return;
	struct json *patch = json_new_object(a);
	json_path_set(a, patch, "spec.claimRef", claim_reference(a, p->claim));
	if (!json_count(ref))
		json_set_str(a,
			json_object_at(a, json_object_at(a, patch, "metadata"), "annotations"),
			ANNOTATION_BOUND_BY_CONTROLLER, "yes");
	sync_patch(s, volume, NULL, patch, on_marked, NULL);
}

/* ---- no volume ---- */

static const struct json *class_of(struct sync *s, const char **ret_name)
{
	struct claim_pass *p = s->state;
	*ret_name = volume_class(p->wish.doc);
	struct object *class = **ret_name ? informer_get(p->b->classes, "", *ret_name) : NULL;
	return class ? object_doc(class, &s->arena) : NULL;
}

static void ask_provisioner(struct sync *s, const char *provisioner)
{
	struct claim_pass *p = s->state;
	struct arena *a = &s->arena;
	binder_tell(p->b, p->claim, "Normal", "ExternalProvisioning",
		"Waiting for a volume to be created either by the external provisioner '%s' or "
		"manually by the system administrator. If volume creation is delayed, please "
		"verify that the provisioner is running and correctly registered.",
		provisioner);
	if (streq(volume_annotation(p->wish.doc, ANNOTATION_PROVISIONER), provisioner)) {
		set_phase(s, "Pending");
		return;
	}
	struct json *patch = json_new_object(a);
	struct json *annotations =
		json_object_at(a, json_object_at(a, patch, "metadata"), "annotations");
	json_set_str(a, annotations, ANNOTATION_PROVISIONER, provisioner);
	json_set_str(a, annotations, ANNOTATION_PROVISIONER_BETA, provisioner);
	sync_patch(s, p->claim, NULL, patch, NULL, NULL);
}

static void wait_for_volume(
	struct sync *s, const struct json *class, const char *name, bool delayed)
{
	struct claim_pass *p = s->state;
	const char *provisioner = json_str_or(json_get(class, "provisioner"), "");
	sync_again(s, BINDER_RESYNC_MS);
	if (delayed) {
		binder_tell(p->b, p->claim, "Normal", "WaitForFirstConsumer",
			"waiting for first consumer to be created before binding");
	} else if (!*name) {
		binder_tell(p->b, p->claim, "Normal", "FailedBinding",
			"no persistent volumes available for this claim and no storage class is "
			"set");
	} else if (!class) {
		binder_tell(p->b, p->claim, "Warning", "ProvisioningFailed",
			"storageclass.storage.k8s.io \"%s\" not found", name);
	} else if (streq(provisioner, "kubernetes.io/no-provisioner")) {
		binder_tell(p->b, p->claim, "Normal", "FailedBinding",
			"no persistent volumes available for this claim and its storage class "
			"makes none");
	} else {
		ask_provisioner(s, provisioner);
		return;
	}
	set_phase(s, "Pending");
}

static void find_volume(struct sync *s)
{
	struct claim_pass *p = s->state;
	const char *name;
	const struct json *class = class_of(s, &name);
	const char *node = volume_annotation(p->wish.doc, ANNOTATION_SELECTED_NODE);
	bool delayed = !node && streq(json_str(json_get(class, "volumeBindingMode")),
					"WaitForFirstConsumer");
	if (node)
		p->wish.node = informer_get(p->b->nodes, "", node);
	struct object **all;
	size_t count = informer_list(p->b->volumes, NULL, &s->arena, &all);
	/* A node that is not known reaches no volume. */
	/* A disk that is to be filled is made for it: other volumes hold something else. */
	bool reserved = delayed || volume_annotation(p->wish.doc, ANNOTATION_DISK_FROM);
	struct object *found = node && !p->wish.node
				       ? NULL
				       : volume_find(&s->arena, &p->wish, all, count, reserved);
	if (found)
		bind_to(s, found);
	else
		wait_for_volume(s, class, name, delayed);
}

/* ---- a volume is named ---- */

static void lost(struct sync *s, const char *reason, const char *message)
{
	struct claim_pass *p = s->state;
	if (!streq(json_path_str(p->wish.doc, "status.phase"), "Lost"))
		binder_tell(p->b, p->claim, "Warning", reason, "%s", message);
	set_phase(s, "Lost");
}

static void on_volume(struct sync *s, const struct client_result *r, void *user)
{
	if (r->code == 404)
		lost(s, "ClaimLost",
			"Bound claim has lost its PersistentVolume. Data on the volume is lost!");
	else if (client_ok(r))
		sync_again(s, 1000); /* the cache is behind */
	else
		sync_check(s, r);
}

static void check_bound(struct sync *s, const char *name, struct object *volume)
{
	struct claim_pass *p = s->state;
	if (!volume) {
		sync_get(s, informer_kind(p->b->volumes), "", name, on_volume, NULL);
		return;
	}
	if (volume_owner_of(p->claim, object_doc(volume, &s->arena)) == VOLUME_OTHERS) {
		lost(s, "ClaimMisbound",
			"Two claims are bound to the same volume, this one is bound incorrectly");
		return;
	}
	bind_to(s, volume);
}

static void take_named(struct sync *s, struct object *volume)
{
	struct claim_pass *p = s->state;
	const struct json *doc = volume ? object_doc(volume, &s->arena) : NULL;
	enum volume_owner owner = volume ? volume_owner_of(p->claim, doc) : VOLUME_OTHERS;
	p->named_by_user = !volume_annotation(p->wish.doc, ANNOTATION_BOUND_BY_CONTROLLER);
	const char *why =
		owner == VOLUME_FREE ? volume_unfit(&s->arena, &p->wish, volume, doc) : NULL;
	/* Who names a volume has chosen it. */
	if (why && str_has_prefix(why, "its labels"))
		why = NULL;
	if (owner != VOLUME_OTHERS && !why) {
		bind_to(s, volume);
		return;
	}
	sync_again(s, BINDER_RESYNC_MS);
	if (why)
		binder_tell(p->b, p->claim, "Warning", "VolumeMismatch",
			"Cannot bind to requested volume \"%s\": %s", volume->name, why);
	else if (volume)
		binder_tell(p->b, p->claim, "Warning", "FailedBinding",
			"volume \"%s\" already bound to a different claim.", volume->name);
	set_phase(s, "Pending");
}

void binder_reconcile_claim(struct sync *s)
{
	struct binder *b = s->self;
	struct object *o = informer_get(b->claims, s->ns, s->name);
	if (!o || o->deleting)
		return;
	struct claim_pass *p = s->state = ARENA_NEW(&s->arena, struct claim_pass);
	p->b = b;
	p->claim = sync_hold(s, o);
	volume_wish_read(&s->arena, o, &p->wish);
	const char *name = json_str_or(json_path(p->wish.doc, "spec.volumeName"), "");
	struct object *volume = *name ? informer_get(b->volumes, "", name) : NULL;
	if (!*name)
		find_volume(s);
	else if (volume_annotation(p->wish.doc, ANNOTATION_BIND_COMPLETED))
		check_bound(s, name, volume);
	else
		take_named(s, volume);
}

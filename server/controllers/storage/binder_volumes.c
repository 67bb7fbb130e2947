/* binder_volumes.c - a volume looks after its claim: it is Available while nobody has it, Bound
 * while its claim names it, and when the claim has gone Released, and then what its reclaim policy
 * says. Who made it (the provisioner that an annotation names) also deletes it. */
#include "server/controllers/meta.h"
#include "server/controllers/storage/binder.h"

struct volume_pass {
	struct binder *b;
	struct object *volume;
	struct json *doc;
};

static void set_phase(struct sync *s, const char *phase, const char *message)
{
	struct volume_pass *p = s->state;
	struct arena *a = &s->arena;
	struct json *status = json_new_object(a);
	json_set_str(a, status, "phase", phase);
	json_set(a, status, "message", message ? json_new_string(a, message) : json_new_null(a));
	if (!streq(json_path_str(p->doc, "status.phase"), phase))
		json_set(a, status, "lastPhaseTransitionTime", meta_time(a, loop_wall_ns(s->loop)));
	sync_status(s, p->volume, p->doc, status, NULL, NULL);
}

/* Given back: to nobody, or, when it was kept by hand, to that claim's name. */
static void unbind(struct sync *s)
{
	struct volume_pass *p = s->state;
	struct arena *a = &s->arena;
	struct json *patch = json_new_object(a);
	if (volume_annotation(p->doc, ANNOTATION_BOUND_BY_CONTROLLER)) {
		json_path_set(a, patch, "spec.claimRef", json_new_null(a));
		json_set(a, json_object_at(a, json_object_at(a, patch, "metadata"), "annotations"),
			ANNOTATION_BOUND_BY_CONTROLLER, json_new_null(a));
	} else {
		json_path_set(a, patch, "spec.claimRef.uid", json_new_null(a));
		json_path_set(a, patch, "spec.claimRef.resourceVersion", json_new_null(a));
	}
	sync_patch(s, p->volume, NULL, patch, NULL, NULL);
}

static void release(struct sync *s)
{
	struct volume_pass *p = s->state;
	const char *phase = json_str_or(json_path(p->doc, "status.phase"), "");
	const char *policy =
		json_str_or(json_path(p->doc, "spec.persistentVolumeReclaimPolicy"), "Retain");
	if (streq(phase, "Failed"))
		return;
	if (!streq(phase, "Released")) {
		set_phase(s, "Released", NULL); /* its event goes on */
		return;
	}
	if (p->volume->deleting)
		return;
	if (streq(policy, "Delete") && !volume_annotation(p->doc, ANNOTATION_PROVISIONED_BY)) {
		const char *why = arena_printf(&s->arena,
			"error getting deleter volume plugin for volume \"%s\": no volume plugin "
			"matched",
			p->volume->name);
		binder_tell(p->b, p->volume, "Warning", "VolumeFailedDelete", "%s", why);
		set_phase(s, "Failed", why);
	} else if (streq(policy, "Recycle")) {
		const char *why = "No recycler plugin found for the volume!";
		binder_tell(p->b, p->volume, "Warning", "VolumeFailedRecycle", "%s", why);
		set_phase(s, "Failed", why);
	}
}

static void on_claim(struct sync *s, const struct client_result *r, void *user)
{
	struct volume_pass *p = s->state;
	struct json *claim = NULL;
	const char *uid = json_str_or(json_path(p->doc, "spec.claimRef.uid"), "");
	if (client_ok(r) && json_parse(&s->arena, r->body, r->body_size, NULL, &claim, NULL) < 0)
		claim = NULL;
	if (r->code == 404 || (claim && !streq(json_path_str(claim, "metadata.uid"), uid)))
		release(s);
	else if (client_ok(r))
		sync_again(s, 1000); /* the cache is behind */
	else
		sync_check(s, r);
}

/* What seems to be without its claim may lose its contents: the server is asked, not the cache. */
static void release_if_gone(struct sync *s, const char *ns, const char *name)
{
	struct volume_pass *p = s->state;
	sync_get(s, informer_kind(p->b->claims), ns, name, on_claim, NULL);
}

void binder_reconcile_volume(struct sync *s)
{
	struct binder *b = s->self;
	struct object *o = informer_get(b->volumes, "", s->name);
	if (!o)
		return;
	struct volume_pass *p = s->state = ARENA_NEW(&s->arena, struct volume_pass);
	p->b = b;
	p->volume = sync_hold(s, o);
	p->doc = object_doc(o, &s->arena);
	const struct json *ref = json_path(p->doc, "spec.claimRef");
	const char *uid = json_str_or(json_get(ref, "uid"), "");
	const char *ns = json_str_or(json_get(ref, "namespace"), "");
	const char *name = json_str_or(json_get(ref, "name"), "");
	if (!json_count(ref) || !*uid) {
		if (o->deleting)
			return;
		set_phase(s, "Available", NULL);
		if (*name)
			loop_add(b->claims_loop, ns, name);
		return;
	}
	struct object *claim = informer_get(b->claims, ns, name);
	/* Also of one that is being deleted: it goes when it is Bound no more. */
	if (!claim || !streq(claim->uid, uid)) {
		release_if_gone(s, ns, name);
		return;
	}
	if (o->deleting)
		return;
	const char *named =
		json_str_or(json_path(object_doc(claim, &s->arena), "spec.volumeName"), "");
	if (streq(named, o->name))
		set_phase(s, "Bound", NULL);
	else if (!*named)
		loop_add_object(b->claims_loop, claim); /* half done */
	else if (volume_annotation(p->doc, ANNOTATION_PROVISIONED_BY) &&
		 streq(json_path_str(p->doc, "spec.persistentVolumeReclaimPolicy"), "Delete"))
		release(s); /* made for a claim that took another */
	else
		unbind(s);
}

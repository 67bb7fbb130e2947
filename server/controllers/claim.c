#include "server/controllers/claim.h"

#include "server/controllers/meta.h"

struct adoption {
	const struct object *owner;
	struct object **orphans; /* held by the sync */
	size_t count;
	const char *finalizer; /* that goes with it; NULL = none */
};

static struct json *references(struct arena *a, const struct object *child, const char *without_uid)
{
	struct json *refs = json_new_array(a);
	JSON_FOR_EACH_ITEM(ref, json_path(object_doc(child, a), "metadata.ownerReferences"))
		if (!streq(json_str(json_get(ref, "uid")), without_uid))
			json_push(a, refs, ref);
	return refs;
}

static void patch_references(
	struct sync *s, const struct object *child, struct json *refs, const char *finalizer)
{
	struct json *patch = json_new_object(&s->arena);
	json_path_set(&s->arena, patch, "metadata.ownerReferences", refs);
	if (finalizer) {
		struct json *doc = object_doc(child, &s->arena), *all = json_new_array(&s->arena);
		JSON_FOR_EACH_ITEM(it, json_path(doc, "metadata.finalizers"))
			if (!streq(json_str(it), finalizer))
				json_push(&s->arena, all, it);
		json_push(&s->arena, all, json_new_string(&s->arena, finalizer));
		json_path_set(&s->arena, patch, "metadata.finalizers", all);
	}
	sync_patch(s, child, NULL, patch, NULL, NULL);
}

static void on_owner(struct sync *s, const struct client_result *r, void *user)
{
	struct adoption *ad = user;
	struct json *doc = NULL;
	if (!client_ok(r) || json_parse(&s->arena, r->body, r->body_size, NULL, &doc, NULL) < 0) {
		if (r->code != 404)
			sync_check(s, r);
	} else if (streq(json_path_str(doc, "metadata.uid"), ad->owner->uid) &&
		   !json_path(doc, "metadata.deletionTimestamp")) {
		for (size_t n = 0; n < ad->count; n++) {
			struct json *refs = references(&s->arena, ad->orphans[n], NULL);
			json_push(&s->arena, refs, owner_reference(&s->arena, ad->owner));
			patch_references(s, ad->orphans[n], refs, ad->finalizer);
		}
	}
}

static struct claim claim(struct sync *s, const struct object *owner,
	const struct selector *selector, struct informer *children, claim_fits *fits,
	const char *finalizer)
{
	struct arena *a = &s->arena;
	struct object **all;
	size_t count = informer_list(children, owner->namespace, a, &all);
	struct claim c = {.mine = arena_alloc(a, (count + 1) * sizeof(*c.mine))};
	struct object **orphans = arena_alloc(a, (count + 1) * sizeof(*orphans));
	size_t orphan_count = 0;
	for (size_t n = 0; n < count; n++) {
		struct object *child = all[n];
		const struct object_owner *controller = object_controller(child);
		bool matches = selector_matches_labels(selector, child->labels, child->label_count);
		if (controller && !streq(controller->uid, owner->uid))
			continue;
		matches = matches && (!fits || fits(owner, child));
		if (controller && matches)
			c.mine[c.count++] = child;
		else if (controller && !owner->deleting)
			patch_references(s, child, references(a, child, owner->uid), NULL);
		else if (!controller && matches && !owner->deleting && !child->deleting)
			orphans[orphan_count++] = child;
	}
	if (!orphan_count)
		return c;
	c.changing = true;
	struct adoption *ad = ARENA_NEW(a, struct adoption);
	ad->owner = sync_hold(s, owner);
	ad->orphans = orphans;
	ad->count = orphan_count;
	ad->finalizer = finalizer;
	for (size_t n = 0; n < orphan_count; n++)
		sync_hold(s, orphans[n]);
	sync_get(s, owner->kind, owner->namespace, owner->name, on_owner, ad);
	return c;
}

struct claim claim_children(struct sync *s, const struct object *owner,
	const struct selector *selector, struct informer *children)
{
	return claim(s, owner, selector, children, NULL, NULL);
}

struct claim claim_children_that(struct sync *s, const struct object *owner,
	const struct selector *selector, struct informer *children, claim_fits *fits)
{
	return claim(s, owner, selector, children, fits, NULL);
}

struct claim claim_children_with_finalizer(struct sync *s, const struct object *owner,
	const struct selector *selector, struct informer *children, const char *finalizer)
{
	return claim(s, owner, selector, children, NULL, finalizer);
}

struct object *claim_owner(struct informer *owners, const struct object *child)
{
	const struct object_owner *ref = object_controller(child);
	if (!ref || !streq(ref->kind, informer_kind(owners)->kind))
		return NULL;
	struct object *owner = informer_get(owners, child->namespace, ref->name);
	return owner && streq(owner->uid, ref->uid) ? owner : NULL;
}

bool claim_selector(struct arena *a, const struct object *owner, struct selector *ret)
{
	const struct json *selector = json_path(object_doc(owner, a), "spec.selector");
	if (!owner->kind->group[0])
		selector_from_map(a, selector, ret);
	else if (selector_from_label_selector(a, selector, ret, NULL) < 0)
		return false;
	return ret->count && !ret->nothing;
}

void claim_tell(
	struct loop *l, struct informer *owners, const struct object *old, const struct object *new)
{
	struct object *was = old ? claim_owner(owners, old) : NULL,
		      *is = new ? claim_owner(owners, new) : NULL;
	if (was)
		loop_add_object(l, was);
	if (is && is != was)
		loop_add_object(l, is);
	if (!new || new->deleting || object_controller(new))
		return;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object **all;
	size_t count = informer_list(owners, new->namespace, &a, &all);
	for (size_t n = 0; n < count; n++) {
		struct selector selector;
		if (claim_selector(&a, all[n], &selector) &&
			selector_matches_labels(&selector, new->labels, new->label_count))
			loop_add_object(l, all[n]);
	}
}

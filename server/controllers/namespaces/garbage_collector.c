/* Garbage collection by owner references (Kubernetes: "Garbage Collection", "Owners and
 * Dependents").
 *
 * The graph is in the informers: an index from an owner's uid to its dependents, and a table of all
 * uids. A key is the uid of an object to look at:
 *   - it is being deleted with `orphan`: its dependents lose their reference, then the finalizer
 * goes;
 *   - it is being deleted with `foregroundDeletion`: its dependents are deleted first;
 *   - it has owners, and none of them is there: it is deleted;
 *   - some are there: references to those that are not are removed. */
#include <inttypes.h>

#include "lib/base/log.h"
#include "lib/base/table.h"
#include "lib/object/custom.h"
#include "server/controllers/controller.h"
#include "server/controllers/meta.h"

#define ORPHAN "orphan"
#define FOREGROUND "foregroundDeletion"

struct collector {
	struct loop *loop;
	struct client *client;
	VEC(struct informer *) informers; /* all kinds that can be deleted */
	VEC(struct informer *) own;	  /* of these, those of kinds that came later */
	struct kind_observer observer;
	struct table by_uid; /* uid -> object (a reference) */
	/* Custom objects that are gone: once their kind is, too, nobody can be asked for them. */
	struct table gone;
};

#define GONE_MAX 100000

/* Dependents. */

static size_t dependents(
	struct collector *c, const char *uid, struct arena *a, struct object ***ret)
{
	size_t total = 0, room = 0;
	struct object **all = NULL;
	for (size_t n = 0; n < c->informers.count; n++) {
		struct object **some;
		size_t count = informer_by_index(c->informers.items[n], "owner", uid, a, &some);
		if (!count)
			continue;
		all = arena_grow(a, all, room * sizeof(*all), (total + count) * sizeof(*all));
		room = total + count;
		memcpy(all + total, some, count * sizeof(*all));
		total += count;
	}
	*ret = all;
	return total;
}

static struct json *references_without(
	struct arena *a, const struct json *doc, const char *const *uids, size_t count)
{
	struct json *rest = json_new_array(a);
	JSON_FOR_EACH_ITEM(ref, json_path(doc, "metadata.ownerReferences")) {
		bool drop = false;
		for (size_t n = 0; n < count; n++)
			drop |= streq(json_str(json_get(ref, "uid")), uids[n]);
		if (!drop)
			json_push(a, rest, ref);
	}
	return rest;
}

static void patch_references(struct sync *s, const struct object *o, struct json *refs)
{
	struct json *patch = json_new_object(&s->arena);
	json_path_set(&s->arena, patch, "metadata.ownerReferences",
		json_count(refs) ? refs : json_new_null(&s->arena));
	sync_patch(s, o, NULL, patch, NULL, NULL);
}

static void drop_finalizer(
	struct sync *s, const struct object *o, const struct json *doc, const char *finalizer)
{
	struct arena *a = &s->arena;
	struct json *rest = json_new_array(a), *patch = json_new_object(a);
	JSON_FOR_EACH_ITEM(f, json_path(doc, "metadata.finalizers"))
		if (!streq(json_str(f), finalizer))
			json_push(a, rest, f);
	json_path_set(a, patch, "metadata.finalizers", json_count(rest) ? rest : json_new_null(a));
	sync_patch(s, o, NULL, patch, NULL, NULL);
}

struct pass {
	struct collector *c;
	struct object *object;
	struct json *doc;
	/* owners, as far as the classification has come */
	const char **absent, **waiting;
	size_t absent_count, waiting_count, solid_count;
	bool dependents_block; /* something still refers to it and blocks its deletion */
};

static void orphan_dependents(struct sync *s)
{
	struct pass *p = s->state;
	struct object **all;
	size_t count = dependents(p->c, p->object->uid, &s->arena, &all);
	if (!count) {
		drop_finalizer(s, p->object, p->doc, ORPHAN);
		return;
	}
	for (size_t n = 0; n < count; n++)
		patch_references(s, all[n],
			references_without(
				&s->arena, object_doc(all[n], &s->arena), &p->object->uid, 1));
}

static bool blocks(const struct object *dependent, const char *owner_uid)
{
	for (size_t n = 0; n < dependent->owner_count; n++)
		if (streq(dependent->owners[n].uid, owner_uid))
			return dependent->owners[n].block_owner_deletion;
	return false;
}

static void delete_dependents_first(struct sync *s)
{
	struct pass *p = s->state;
	struct object **all;
	size_t count = dependents(p->c, p->object->uid, &s->arena, &all), blocking = 0;
	for (size_t n = 0; n < count; n++) {
		if (!blocks(all[n], p->object->uid))
			continue;
		blocking++;
		/* It decides for itself: it may have another owner that stays. */
		if (!all[n]->deleting)
			loop_add(s->loop, "", all[n]->uid);
	}
	if (!blocking)
		drop_finalizer(s, p->object, p->doc, FOREGROUND);
}

/* Owners. */

static void delete_object(struct sync *s)
{
	struct pass *p = s->state;
	const char *policy = meta_has_finalizer(p->doc, ORPHAN)	      ? "Orphan"
			     : meta_has_finalizer(p->doc, FOREGROUND) ? "Foreground"
								      : "Background";
	/* Owners that wait for it want it gone with all that depends on it. */
	if (p->waiting_count && p->dependents_block)
		policy = "Foreground";
	sync_delete(s, p->object, -1, policy, NULL, NULL);
}

static void delete_unblocked(struct sync *s)
{
	if (!s->failed)
		delete_object(s);
}

static bool waits(const struct pass *p, const char *uid)
{
	for (size_t n = 0; n < p->waiting_count; n++)
		if (streq(p->waiting[n], uid))
			return true;
	return false;
}

/* A dependent that waits for its own dependents may wait, through them, for this object, which
 * would then wait for itself: its owners no longer wait for it. */
static bool unblock_owners(struct sync *s, struct object **all, size_t count)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	size_t n = 0;
	while (n < count &&
		!(all[n]->deleting && meta_has_finalizer(object_doc(all[n], a), FOREGROUND)))
		n++;
	if (n == count || !p->waiting_count)
		return false;
	struct json *refs = json_copy(a, json_path(p->doc, "metadata.ownerReferences"));
	bool changed = false;
	JSON_FOR_EACH_ITEM(ref, refs) {
		if (!waits(p, json_str_or(json_get(ref, "uid"), "")) ||
			!json_bool_or(json_get(ref, "blockOwnerDeletion"), false))
			continue;
		json_set_bool(a, ref, "blockOwnerDeletion", false);
		changed = true;
	}
	if (changed)
		patch_references(s, p->object, refs);
	return changed;
}

static void decide(struct sync *s)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	if (s->failed)
		return;
	if (!p->solid_count) {
		struct object **all;
		size_t dependent_count = dependents(p->c, p->object->uid, a, &all);
		p->dependents_block = dependent_count > 0;
		if (unblock_owners(s, all, dependent_count))
			s->next = delete_unblocked;
		else
			delete_object(s);
		return;
	}
	size_t count = 0;
	const char **gone =
		arena_alloc(a, (p->absent_count + p->waiting_count + 1) * sizeof(*gone));
	for (size_t n = 0; n < p->absent_count; n++)
		gone[count++] = p->absent[n];
	for (size_t n = 0; n < p->waiting_count; n++)
		gone[count++] = p->waiting[n];
	if (count)
		patch_references(s, p->object, references_without(a, p->doc, gone, count));
}

static void on_owner(struct sync *s, const struct client_result *r, void *user)
{
	struct pass *p = s->state;
	const char *uid = user;
	struct json *doc;
	if (r->code == 404) {
		p->absent[p->absent_count++] = uid;
	} else if (!client_ok(r)) {
		s->failed = true;
	} else if (json_parse(&s->arena, r->body, r->body_size, NULL, &doc, NULL) == 0 &&
		   streq(json_path_str(doc, "metadata.uid"), uid)) {
		p->solid_count++; /* there, but not yet in the cache */
	} else {
		p->absent[p->absent_count++] = uid; /* another object of that name */
	}
}

static void tell_invalid_namespace(struct sync *s, const struct object_owner *owner)
{
	struct pass *p = s->state;
	const char *ns = p->object->namespace;
	client_event_as(p->c->client, loop_name(s->loop), p->object, NULL, "Warning",
		"OwnerRefInvalidNamespace",
		"ownerRef [%s/%s, namespace: %s, name: %s, uid: %s] does not exist in namespace "
		"\"%s\"",
		owner->api_version, owner->kind, ns, owner->name, owner->uid, ns);
}

/* What no cache knows may be too new for it: the server is asked before anything is deleted. */
static void ask_for_owner(struct sync *s, const struct object_owner *owner)
{
	struct pass *p = s->state;
	char group[128], version[64];
	gv_split(owner->api_version, group, version);
	const struct kind *k = kind_by_name(p->c->client->kinds, group, version, owner->kind);
	if (!k || !k->served) {
		/* A kind that this server does not have: nobody can say that the owner is gone. */
		p->solid_count++;
		return;
	}
	if (k->namespaced && !p->object->namespace[0]) {
		/* Nobody can say in which namespace to look: such an object stays. */
		tell_invalid_namespace(s, owner);
		p->solid_count++;
		return;
	}
	const struct object *elsewhere = table_get(&p->c->by_uid, owner->uid);
	if (elsewhere && k->namespaced)
		tell_invalid_namespace(s, owner);
	sync_get(s, k, p->object->namespace, owner->name, on_owner,
		arena_strdup(&s->arena, owner->uid));
}

static void classify_owners(struct sync *s)
{
	struct pass *p = s->state;
	struct arena *a = &s->arena;
	const struct object *o = p->object;
	p->absent = arena_alloc(a, (o->owner_count + 1) * sizeof(*p->absent));
	p->waiting = arena_alloc(a, (o->owner_count + 1) * sizeof(*p->waiting));
	for (size_t n = 0; n < o->owner_count; n++) {
		struct object *owner = table_get(&p->c->by_uid, o->owners[n].uid);
		if (!owner && table_get(&p->c->gone, o->owners[n].uid))
			p->absent[p->absent_count++] = o->owners[n].uid;
		else if (!owner || (owner->namespace[0] && !streq(owner->namespace, o->namespace)))
			ask_for_owner(s, &o->owners[n]);
		else if (owner->deleting && meta_has_finalizer(object_doc(owner, a), FOREGROUND))
			p->waiting[p->waiting_count++] = o->owners[n].uid;
		else
			p->solid_count++;
	}
	s->next = decide;
}

static void reconcile(struct sync *s)
{
	struct collector *c = s->self;
	struct object *o = table_get(&c->by_uid, s->name);
	if (!o)
		return;
	struct pass *p = ARENA_NEW(&s->arena, struct pass);
	s->state = p;
	p->c = c;
	p->object = sync_hold(s, o);
	if (!o->deleting && !o->owner_count)
		return;
	p->doc = object_doc(o, &s->arena);
	if (o->deleting) {
		if (meta_has_finalizer(p->doc, ORPHAN))
			orphan_dependents(s);
		else if (meta_has_finalizer(p->doc, FOREGROUND))
			delete_dependents_first(s);
		return;
	}
	classify_owners(s);
}

/* Events. */

static void look_at_dependents(struct collector *c, const char *uid)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object **all;
	size_t count = dependents(c, uid, &a, &all);
	for (size_t n = 0; n < count; n++)
		loop_add(c->loop, "", all[n]->uid);
}

/* Owners that wait for their dependents look again when one changes or goes. */
static void look_at_owners(struct collector *c, const struct object *o)
{
	for (size_t n = 0; n < o->owner_count; n++) {
		struct object *owner = table_get(&c->by_uid, o->owners[n].uid);
		if (owner && owner->deleting)
			loop_add(c->loop, "", owner->uid);
	}
}

static void remember_gone(struct collector *c, const char *uid)
{
	if (c->gone.count >= GONE_MAX)
		table_finish(&c->gone);
	table_set(&c->gone, uid, c);
}

static bool owners_changed(const struct object *old, const struct object *new)
{
	if (old->owner_count != new->owner_count)
		return true;
	for (size_t n = 0; n < new->owner_count; n++)
		if (!streq(old->owners[n].uid, new->owners[n].uid))
			return true;
	return false;
}

static void on_object(void *user, const struct object *old, const struct object *new)
{
	struct collector *c = user;
	if (!new) {
		struct object *known = table_remove(&c->by_uid, old->uid);
		if (old->kind->custom)
			remember_gone(c, old->uid);
		look_at_owners(c, old);
		look_at_dependents(c, old->uid);
		object_unref(known);
		return;
	}
	object_unref(table_set(&c->by_uid, new->uid, object_ref((struct object *)new)));
	bool began = new->deleting && !(old && old->deleting);
	if (new->deleting || (old ? owners_changed(old, new) : new->owner_count > 0))
		loop_add(c->loop, "", new->uid);
	if (old)
		look_at_owners(c, old); /* its reference may be gone */
	if (began)
		look_at_dependents(c, new->uid);
}

static const struct informer_handler handler = {.changed = on_object};

static void follow(struct collector *c, struct informer *i)
{
	informer_add_index(i, "owner");
	informer_add_handler(i, &handler, c);
	VEC_PUSH(&c->informers, i);
}

static bool is_followed(const struct kind *k)
{
	return (k->served || k->custom) && kind_is_storage(k) && kind_has_verb(k, "list") &&
	       kind_has_verb(k, "watch") && kind_has_verb(k, "delete") && !streq(k->kind, "Event");
}

/* An informer stays when its kind goes: it then sees nothing, until the kind comes back. */
static void on_kind(struct kind_observer *o, const struct kind *k)
{
	struct collector *c = CONTAINER_OF(o, struct collector, observer);
	if (!is_followed(k))
		return;
	for (size_t n = 0; n < c->informers.count; n++)
		if (informer_kind(c->informers.items[n])->slot == k->slot)
			return;
	struct informer *i = informer_create(c->client, k, NULL, NULL, NULL);
	VEC_PUSH(&c->own, i);
	follow(c, i);
	informer_start(i);
}

static void *create(struct shared *sh)
{
	struct collector *c = xcalloc(1, sizeof(*c));
	c->client = sh->client;
	c->loop = loop_create(sh->client, "garbage-collector-controller", 20, reconcile, c);
	struct kind_registry *r = (struct kind_registry *)sh->client->kinds;
	for (size_t n = 0; n < kind_count(r); n++) {
		const struct kind *k = kind_at(r, n);
		if (is_followed(k))
			follow(c, shared_informer(sh, k->group, k->version, k->kind));
	}
	c->observer.changed = on_kind;
	kind_registry_observe(r, &c->observer);
	return c;
}

static void start(void *self)
{
	loop_start(((struct collector *)self)->loop);
}

static void destroy(void *self)
{
	struct collector *c = self;
	loop_destroy(c->loop);
	struct table_iter it = table_iterate(&c->by_uid);
	while (table_next(&it))
		object_unref(it.value);
	table_finish(&c->by_uid);
	table_finish(&c->gone);
	kind_registry_unobserve(&c->observer);
	for (size_t n = 0; n < c->own.count; n++)
		informer_destroy(c->own.items[n]);
	VEC_FINISH(&c->own);
	VEC_FINISH(&c->informers);
	free(c);
}

const struct controller_class garbage_collector_controller = {
	"garbagecollector", create, start, destroy};

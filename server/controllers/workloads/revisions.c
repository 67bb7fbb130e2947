#include "server/controllers/workloads/revisions.h"

#include <inttypes.h>

#include "server/controllers/meta.h"

#define OWNER_NAME_MAX 223 /* so that a hash still fits behind it in a name */

static int by_name(const void *pa, const void *pb)
{
	const struct json_member *a = pa, *b = pb;
	return strcmp(a->name, b->name);
}

static void sort_members(struct json *v)
{
	JSON_FOR_EACH_ITEM(it, v)
		sort_members(it);
	JSON_FOR_EACH_MEMBER(m, v)
		sort_members(m->value);
	if (json_members(v) && json_count(v) > 1) {
		qsort(json_members(v), json_count(v), sizeof(struct json_member), by_name);
		json_reindex(v);
	}
}

struct json *revision_data(struct arena *a, const struct json *owner)
{
	struct json *data = json_new_object(a), *spec = json_new_object(a);
	struct json *template = json_copy(a, json_path(owner, "spec.template"));
	if (!template)
		template = json_new_object(a);
	json_set(a, json_object_at(a, template, "metadata"), "creationTimestamp", json_new_null(a));
	json_set_str(a, template, "$patch", "replace");
	json_set(a, spec, "template", template);
	json_set(a, data, "spec", spec);
	sort_members(data);
	return data;
}

char *revision_hash(struct arena *a, const struct json *data, int64_t collisions)
{
	static const char alphabet[] = "bcdfghjklmnpqrstvwxz2456789";
	_cleanup_(buf_finish) struct buf text = BUF_INIT;
	json_write(&text, data);
	if (collisions)
		buf_printf(&text, "%" PRId64, collisions);
	char *hash = arena_printf(a, "%" PRIu32, fnv1a_32(text.data, text.size));
	for (char *c = hash; *c; c++)
		*c = alphabet[(unsigned char)*c % (sizeof(alphabet) - 1)];
	return hash;
}

char *revision_name(struct arena *a, const char *owner, const char *hash)
{
	return arena_printf(a, "%.*s-%s", OWNER_NAME_MAX, owner, hash);
}

struct json *revision_new(struct arena *a, const struct object *owner, const struct json *doc,
	const char *hash, const char *hash_label, const struct json *data, int64_t number)
{
	struct json *revision = json_new_object(a), *meta = json_new_object(a),
		    *refs = json_new_array(a);
	struct json *labels = json_copy(a, json_path(doc, "spec.template.metadata.labels"));
	if (!labels)
		labels = json_new_object(a);
	json_set_str(a, labels, hash_label, hash);
	json_set_str(a, revision, "apiVersion", "apps/v1");
	json_set_str(a, revision, "kind", "ControllerRevision");
	json_set(a, revision, "metadata", meta);
	json_set_str(a, meta, "name", revision_name(a, owner->name, hash));
	json_set_str(a, meta, "namespace", owner->namespace);
	json_set(a, meta, "labels", labels);
	/* The change's cause is among them. */
	if (json_path(doc, "metadata.annotations"))
		json_set(a, meta, "annotations", json_path(doc, "metadata.annotations"));
	json_push(a, refs, owner_reference(a, owner));
	json_set(a, meta, "ownerReferences", refs);
	json_set(a, revision, "data", (struct json *)data);
	json_set_int(a, revision, "revision", number);
	return revision;
}

static int by_number(const void *pa, const void *pb)
{
	const struct revision *a = pa, *b = pb;
	if (a->number != b->number)
		return a->number < b->number ? -1 : 1;
	return strcmp(a->name, b->name);
}

size_t revisions_surplus(struct revision *items, size_t count, int64_t limit,
	bool (*live)(void *user, const struct revision *r), void *user)
{
	size_t idle = 0;
	for (size_t n = 0; n < count; n++)
		if (!live(user, &items[n])) {
			struct revision r = items[n];
			items[n] = items[idle];
			items[idle++] = r;
		}
	if (idle > 1)
		qsort(items, idle, sizeof(*items), by_number);
	return (int64_t)idle > limit ? idle - (size_t)MAX(limit, 0) : 0;
}

/* The revision of the present template, in a sync. */

static struct revision read_revision(struct arena *a, const struct object *owner, struct object *o)
{
	struct json *doc = object_doc(o, a);
	size_t owner_size = MIN(strlen(owner->name), (size_t)OWNER_NAME_MAX);
	return (struct revision){
		.object = o,
		.doc = doc,
		.number = json_path_int(doc, "revision", 0),
		.name = o->name,
		.hash = strlen(o->name) > owner_size ? o->name + owner_size + 1 : o->name,
		.template = json_path(doc, "data.spec.template"),
	};
}

struct revision *revisions_find(const struct revisions *r, const char *name)
{
	for (size_t n = 0; n < r->count; n++)
		if (streq(r->items[n].name, name))
			return &r->items[n];
	return NULL;
}

struct search {
	struct revisions *r;
	struct json *data;
	int64_t number; /* that the revision of the present template should have */
};

static void make(struct sync *s, struct search *q);

/* Puts an answer of the server in place of, or behind, what the cache had. */
static void take(
	struct sync *s, struct search *q, const struct client_result *res, struct revision *place)
{
	struct revisions *r = q->r;
	struct object *o;
	if (object_from_bytes(informer_kind(r->informer), res->body, res->body_size, &o, NULL) <
		0) {
		s->failed = true;
		return;
	}
	if (!place)
		place = &r->items[r->count++];
	*place = read_revision(&s->arena, r->owner, sync_hold(s, o));
	object_unref(o);
	r->update = place;
	r->fresh = true;
	s->next = r->then;
}

static void on_renumbered(struct sync *s, const struct client_result *res, void *user)
{
	struct search *q = user;
	if (client_ok(res))
		take(s, q, res, q->r->update);
	else
		sync_check(s, res);
}

/* The name is taken: by what another sync made and the cache has not seen, or by another template
 * of the same hash. */
static void on_taken(struct sync *s, const struct client_result *res, void *user)
{
	struct search *q = user;
	struct revisions *r = q->r;
	struct json *doc;
	if (!client_ok(res)) {
		sync_check(s, res);
		s->failed = true;
		return;
	}
	if (json_parse(&s->arena, res->body, res->body_size, NULL, &doc, NULL) == 0) {
		bool ours = false;
		JSON_FOR_EACH_ITEM(ref, json_path(doc, "metadata.ownerReferences"))
			ours |= streq(json_str(json_get(ref, "uid")), r->owner->uid);
		if (ours && json_equal(json_get(doc, "data"), q->data)) {
			take(s, q, res, NULL);
			return;
		}
	}
	r->collisions++;
	make(s, q);
}

static void on_made(struct sync *s, const struct client_result *res, void *user)
{
	struct search *q = user;
	struct revisions *r = q->r;
	if (client_ok(res)) {
		take(s, q, res, NULL);
	} else if (res->code == 409 && streq(res->reason, "AlreadyExists")) {
		char *hash = revision_hash(&s->arena, q->data, r->collisions);
		sync_get(s, informer_kind(r->informer), r->owner->namespace,
			revision_name(&s->arena, r->owner->name, hash), on_taken, q);
	} else {
		sync_check(s, res);
	}
}

static void make(struct sync *s, struct search *q)
{
	struct revisions *r = q->r;
	char *hash = revision_hash(&s->arena, q->data, r->collisions);
	struct json *doc =
		revision_new(&s->arena, r->owner, r->doc, hash, r->hash_label, q->data, q->number);
	sync_create(s, informer_kind(r->informer), r->owner->namespace, doc, on_made, q);
}

bool revisions_sync(struct sync *s, struct revisions *r, const struct selector *selector)
{
	struct arena *a = &s->arena;
	struct claim claim = claim_children(s, r->owner, selector, r->informer);
	if (claim.changing)
		return false;
	r->items = arena_alloc(a, (claim.count + 1) * sizeof(*r->items));
	for (size_t n = 0; n < claim.count; n++)
		r->items[r->count++] = read_revision(a, r->owner, sync_hold(s, claim.mine[n]));
	if (r->count > 1)
		qsort(r->items, r->count, sizeof(*r->items), by_number);

	struct search *q = ARENA_NEW(a, struct search);
	q->r = r;
	q->data = revision_data(a, r->doc);
	q->number = r->count ? r->items[r->count - 1].number + 1 : 1;
	for (size_t n = r->count; n > 0 && !r->update; n--)
		if (json_equal(json_get(r->items[n - 1].doc, "data"), q->data))
			r->update = &r->items[n - 1];
	if (!r->update) {
		make(s, q);
	} else if (r->update->number + 1 == q->number) {
		s->next = r->then;
	} else {
		struct json *patch = json_new_object(a);
		json_set_int(a, patch, "revision", q->number);
		sync_patch(s, r->update->object, NULL, patch, on_renumbered, q);
	}
	return true;
}

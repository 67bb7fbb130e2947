#include "server/scheduler/default_spread.h"

#include "lib/base/table.h"
#include "lib/base/vec.h"

/* Something that selects pods: a service, or a controller. */
struct selecting {
	struct arena arena;
	struct selector pods;
	uint64_t revision; /* that was read */
	char *bucket;	   /* services: where it is found */
};

struct bucket {
	VEC(struct selecting *) services;
};

struct default_spread {
	struct table services; /* struct selecting by namespace/name */
	struct table buckets;  /* struct bucket by namespace and the first pair of the selector */
	struct table owners;   /* struct selecting by uid, of those that were asked for */
	struct informer *replica_sets, *stateful_sets, *replication_controllers;
};

static void selecting_free(struct selecting *s)
{
	arena_finish(&s->arena);
	free(s->bucket);
	free(s);
}

static char *bucket_name(const char *ns, const char *key, const char *value)
{
	return xasprintf("%s\x01%s\x01%s", ns, key, value);
}

/* ---- services ---- */

static void remove_service(struct default_spread *d, const char *key)
{
	struct selecting *s = table_remove(&d->services, key);
	if (!s)
		return;
	struct bucket *b = table_get(&d->buckets, s->bucket);
	for (size_t n = 0; n < b->services.count; n++)
		if (b->services.items[n] == s)
			b->services.items[n--] = b->services.items[--b->services.count];
	if (!b->services.count) {
		table_remove(&d->buckets, s->bucket);
		VEC_FINISH(&b->services);
		free(b);
	}
	selecting_free(s);
}

static void add_service(struct default_spread *d, const char *key, const struct object *o)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct json *map = json_path(object_doc(o, &a), "spec.selector");
	struct selector pods;
	if (!json_count(map))
		return;
	selector_from_map(&a, map, &pods);
	struct selecting *s = xcalloc(1, sizeof(*s));
	s->pods = selector_copy(&s->arena, &pods);
	s->bucket = bucket_name(o->namespace, pods.items[0].key, pods.items[0].values[0]);
	struct bucket *b = table_get(&d->buckets, s->bucket);
	if (!b) {
		b = xcalloc(1, sizeof(*b));
		table_set(&d->buckets, s->bucket, b);
	}
	VEC_PUSH(&b->services, s);
	table_set(&d->services, key, s);
}

static void on_service(void *user, const struct object *old, const struct object *new)
{
	const struct object *o = new ? new : old;
	_cleanup_(free_p) char *key = xasprintf("%s/%s", o->namespace, o->name);
	remove_service(user, key);
	if (new)
		add_service(user, key, new);
}

/* ---- controllers ---- */

static void on_owner(void *user, const struct object *old, const struct object *new)
{
	struct default_spread *d = user;
	if (new)
		return; /* read again when it is asked for */
	struct selecting *s = table_remove(&d->owners, old->uid);
	if (s)
		selecting_free(s);
}

static struct informer *kept_of(struct default_spread *d, const struct object_owner *owner)
{
	bool apps = strncmp(owner->api_version, "apps/", 5) == 0;
	if (apps && streq(owner->kind, "ReplicaSet"))
		return d->replica_sets;
	if (apps && streq(owner->kind, "StatefulSet"))
		return d->stateful_sets;
	if (streq(owner->api_version, "v1") && streq(owner->kind, "ReplicationController"))
		return d->replication_controllers;
	return NULL;
}

/* What the workload's controller selects; NULL when it has none that does. */
static const struct selector *owner_selects(struct default_spread *d, const struct workload *w)
{
	const struct object_owner *owner = object_controller(w->object);
	struct informer *kept = owner ? kept_of(d, owner) : NULL;
	if (!kept)
		return NULL;
	const struct object *o = informer_get(kept, w->ns, owner->name);
	struct selecting *s = table_get(&d->owners, owner->uid);
	/* Selectors of replica sets and stateful sets never change, their status often does. */
	bool fixed = kept != d->replication_controllers;
	if (s && (fixed || !o || s->revision == o->revision))
		return &s->pods;
	if (!o || !streq(o->uid, owner->uid))
		return NULL;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct json *doc = json_path(object_doc(o, &a), "spec.selector");
	struct selector pods = {0};
	struct err err = ERR_INIT;
	if (!fixed)
		selector_from_map(&a, doc, &pods);
	else if (selector_from_label_selector(&a, doc, &pods, &err) < 0 || pods.nothing)
		return NULL;
	if (s)
		selecting_free(s);
	s = xcalloc(1, sizeof(*s));
	s->revision = o->revision;
	s->pods = selector_copy(&s->arena, &pods);
	table_set(&d->owners, owner->uid, s);
	return &s->pods;
}

/* ---- */

struct requirements {
	VEC(struct requirement) items;
};

static bool same_requirement(const struct requirement *a, const struct requirement *b)
{
	if (!streq(a->key, b->key) || a->op != b->op || a->value_count != b->value_count)
		return false;
	for (size_t n = 0; n < a->value_count; n++)
		if (!streq(a->values[n], b->values[n]))
			return false;
	return true;
}

static void add_all(struct requirements *all, const struct selector *s)
{
	for (size_t n = 0; n < s->count; n++) {
		bool there = false;
		for (size_t m = 0; m < all->items.count && !there; m++)
			there = same_requirement(&all->items.items[m], &s->items[n]);
		if (!there)
			VEC_PUSH(&all->items, s->items[n]);
	}
}

void default_spread_apply(struct default_spread *d, struct workload *w)
{
	struct requirements all = {0};
	if (w->spread_count && !w->spreads_by_default)
		return;
	for (size_t l = 0; l < w->label_count; l++) {
		_cleanup_(free_p) char *name =
			bucket_name(w->ns, w->labels[l].key, w->labels[l].value);
		const struct bucket *b = table_get(&d->buckets, name);
		for (size_t n = 0; b && n < b->services.count; n++)
			if (selector_matches_labels(
				    &b->services.items[n]->pods, w->labels, w->label_count))
				add_all(&all, &b->services.items[n]->pods);
	}
	const struct selector *owner = owner_selects(d, w);
	if (owner)
		add_all(&all, owner);
	struct selector pods = {.items = all.items.items, .count = all.items.count};
	workload_spread_by_default(w, &pods);
	VEC_FINISH(&all.items);
}

struct default_spread *default_spread_create(struct informers *f)
{
	static const struct informer_handler service_handler = {.changed = on_service},
					     owner_handler = {.changed = on_owner};
	struct default_spread *d = xcalloc(1, sizeof(*d));
	d->replica_sets = informers_get(f, "apps", "v1", "ReplicaSet");
	d->stateful_sets = informers_get(f, "apps", "v1", "StatefulSet");
	d->replication_controllers = informers_get(f, "", "v1", "ReplicationController");
	informer_add_handler(informers_get(f, "", "v1", "Service"), &service_handler, d);
	informer_add_handler(d->replica_sets, &owner_handler, d);
	informer_add_handler(d->stateful_sets, &owner_handler, d);
	informer_add_handler(d->replication_controllers, &owner_handler, d);
	return d;
}

void default_spread_destroy(struct default_spread *d)
{
	if (!d)
		return;
	struct table_iter it = table_iterate(&d->buckets);
	while (table_next(&it)) {
		struct bucket *b = it.value;
		VEC_FINISH(&b->services);
		free(b);
	}
	struct table *const tables[] = {&d->services, &d->owners};
	for (size_t n = 0; n < ARRAY_LEN(tables); n++) {
		it = table_iterate(tables[n]);
		while (table_next(&it))
			selecting_free(it.value);
		table_finish(tables[n]);
	}
	table_finish(&d->buckets);
	free(d);
}

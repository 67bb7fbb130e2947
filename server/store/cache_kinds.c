/* cache_kinds.c - resources that come, change and go while the cache is open: those of custom
 * kinds. The store never changes by that: its rows stay as they were written, and are shown as the
 * kind would have them now. */
#include "lib/base/log.h"
#include "lib/object/custom.h"
#include "server/store/cache_private.h"

struct kind_cache *cache_add_slot(struct cache *c, const struct kind *storage)
{
	size_t slot = storage->slot;
	if (slot >= c->slot_count) {
		size_t count = MAX(slot + 1, c->slot_count * 2);
		c->by_slot = xrealloc(c->by_slot, count * sizeof(*c->by_slot));
		for (; c->slot_count < count; c->slot_count++)
			c->by_slot[c->slot_count] = NULL;
	}
	if (!c->by_slot[slot]) {
		struct kind_cache *kc = xcalloc(1, sizeof(*kc));
		list_init(&kc->watchers);
		kc->ring.floor = c->revision;
		c->by_slot[slot] = kc;
	}
	c->by_slot[slot]->kind = storage;
	return c->by_slot[slot];
}

void cache_add_unknown(struct cache *c, const char *key, struct blob *value, uint64_t revision)
{
	struct unknown_row row = {xstrdup(key), value, revision};
	VEC_PUSH(&c->unknown, row);
}

static void unknown_free(struct unknown_row *row)
{
	free(row->key);
	blob_unref(row->value);
}

void cache_finish_unknown(struct cache *c)
{
	for (size_t i = 0; i < c->unknown.count; i++)
		unknown_free(&c->unknown.items[i]);
	VEC_FINISH(&c->unknown);
}

size_t cache_unknown_count(const struct cache *c)
{
	return c->unknown.count;
}

bool cache_kind_busy(const struct cache *c, const struct kind *storage)
{
	return cache_kind(c, storage)->writes_in_flight > 0;
}

static void adopt(struct kind_cache *kc, struct object_set *set, const struct blob *value,
	uint64_t revision, const char *what)
{
	struct object *o = NULL;
	struct err err = ERR_INIT;
	if (object_adopt(kc->kind, value->data, value->size, revision, &o, &err) < 0) {
		log_error("an object can't be read; it is left out", "object", what, "reason",
			err.msg, NULL);
		return;
	}
	object_set_put(set, o);
	object_unref(o);
}

static void adopt_unknown(struct cache *c, struct kind_cache *kc)
{
	_cleanup_(free_p) char *prefix = xasprintf("/%s/%s/", kc->kind->group, kc->kind->plural);
	size_t kept = 0;
	for (size_t i = 0; i < c->unknown.count; i++) {
		struct unknown_row row = c->unknown.items[i];
		if (str_has_prefix(row.key, prefix)) {
			adopt(kc, &kc->objects, row.value, row.revision, row.key);
			unknown_free(&row);
		} else {
			c->unknown.items[kept++] = row;
		}
	}
	c->unknown.count = kept;
}

/* What was derived from the objects as they were. */
static void forget(struct cache *c, struct kind_cache *kc)
{
	cache_index_finish(kc);
	cache_history_finish(kc);
	event_ring_clear(&kc->ring, c->revision);
	kc->generation++;
	cache_watch_mark(c, kc);
}

/* Writes on their way compare with the object as it is shown now. */
static void rebind_writes(struct cache *c, struct kind_cache *kc)
{
	struct table_iter it = table_iterate(&c->pending);
	while (table_next(&it)) {
		struct list *waiting = it.value;
		LIST_FOR_EACH(w, waiting, struct write, link) {
			if (w->kc != kc || !w->before)
				continue;
			struct object *now = object_set_get(&kc->objects, w->namespace, w->name);
			if (!now)
				continue;
			object_ref(now);
			object_unref(w->before);
			w->before = now;
		}
	}
}

void cache_kind_changed(struct cache *c, const struct kind *storage)
{
	struct kind_cache *kc = cache_add_slot(c, storage);
	struct object_set fresh = OBJECT_SET_INIT;
	struct object_set_iter it = object_set_after(&kc->objects, "", "");
	for (struct object *o; (o = object_set_next(&it)) != NULL;)
		adopt(kc, &fresh, o->bytes, o->revision, o->name);
	object_set_finish(&kc->objects);
	kc->objects = fresh;
	adopt_unknown(c, kc);
	forget(c, kc);
	rebind_writes(c, kc);
}

void cache_kind_removed(struct cache *c, const struct kind *storage)
{
	struct kind_cache *kc = cache_kind(c, storage);
	struct object_set_iter it = object_set_after(&kc->objects, "", "");
	for (struct object *o; (o = object_set_next(&it)) != NULL;) {
		_cleanup_(free_p) char *key = cache_store_key(storage, o->namespace, o->name);
		cache_add_unknown(c, key, blob_ref(o->bytes), o->revision);
	}
	object_set_finish(&kc->objects);
	kc->objects = OBJECT_SET_INIT;
	forget(c, kc);
}

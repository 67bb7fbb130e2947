/* cache.c - the objects themselves: loading, reading, writing through to the store. */
#include "lib/base/log.h"
#include "lib/object/custom.h"
#include "server/store/cache_private.h"

#define TRIM_EVERY_MS 30000

struct kind_cache *cache_kind(const struct cache *c, const struct kind *k)
{
	return c->by_slot[k->slot];
}

char *cache_store_key(const struct kind *k, const char *namespace, const char *name)
{
	const char *group = *k->group ? k->group : "core";
	if (k->namespaced)
		return xasprintf("/%s/%s/%s/%s", group, k->plural, namespace, name);
	return xasprintf("/%s/%s/%s", group, k->plural, name);
}

static const struct kind *kind_of_key(const struct cache *c, const char *key)
{
	struct str rest = str_from(key), empty, group, plural;
	if (!str_split(&rest, '/', &empty) || !str_split(&rest, '/', &group) ||
		!str_split(&rest, '/', &plural))
		return NULL;
	for (size_t i = 0; i < c->slot_count; i++) {
		const struct kind *k = c->by_slot[i] ? c->by_slot[i]->kind : NULL;
		if (!k || k->custom)
			continue; /* those come later: see cache_kind_changed */
		if (k->served && kind_is_storage(k) && str_eq(plural, k->plural) &&
			str_eq(group, *k->group ? k->group : "core"))
			return k;
	}
	return NULL;
}

static void on_trimmer(uv_timer_t *h)
{
	struct cache *c = h->data;
	int64_t now = c->clock->mono_ns(c->clock);
	for (size_t i = 0; i < c->slot_count; i++) {
		struct kind_cache *kc = c->by_slot[i];
		if (!kc)
			continue;
		event_ring_trim(&kc->ring, now);
		cache_history_trim(kc);
	}
}

static void on_kick(uv_async_t *h)
{
}

struct cache *cache_create(uv_loop_t *loop, const struct kind_registry *kinds, struct store *store,
	struct clock *clock)
{
	struct cache *c = xcalloc(1, sizeof(*c));
	c->loop = loop;
	c->kinds = kinds;
	c->store = store;
	c->clock = clock;
	for (size_t i = 0; i < kind_count(kinds); i++)
		if (kind_is_storage(kind_at(kinds, i)))
			cache_add_slot(c, kind_at(kinds, i));
	uv_check_init(loop, &c->notifier);
	c->notifier.data = c;
	uv_timer_init(loop, &c->gather);
	c->gather.data = c;
	uv_timer_init(loop, &c->trimmer);
	c->trimmer.data = c;
	uv_timer_start(&c->trimmer, on_trimmer, TRIM_EVERY_MS, TRIM_EVERY_MS);
	uv_unref((uv_handle_t *)&c->trimmer);
	uv_async_init(loop, &c->kick, on_kick);
	uv_unref((uv_handle_t *)&c->kick);
	c->kick.data = c;
	c->handles_open = 4;
	return c;
}

struct load {
	struct cache *cache;
	struct err err;
	int r;
};

static void load_row(void *user, const char *key, const void *value, size_t size, uint64_t revision)
{
	struct load *l = user;
	const struct kind *k = kind_of_key(l->cache, key);
	if (!k) {
		cache_add_unknown(l->cache, key, blob_new(value, size), revision);
		return;
	}
	struct object *o = NULL;
	struct err err = ERR_INIT;
	int r = object_from_written(k, value, size, revision, &o, &err);
	if (r < 0) {
		if (l->r == 0)
			l->r = err_set(&l->err, r, "object '%s': %s", key, err.msg);
		return;
	}
	object_set_put(&cache_kind(l->cache, k)->objects, o);
	object_unref(o);
}

int cache_load(struct cache *c, struct err *err)
{
	struct load l = {.cache = c};
	int r = c->store->ops->load(c->store, load_row, &l, &c->revision, err);
	if (r < 0)
		return r;
	if (l.r < 0)
		return err_set(err, l.r, "the store holds what can't be read: %s", l.err.msg);
	/* What happened before can't be told to watchers any more. */
	for (size_t i = 0; i < c->slot_count; i++)
		if (c->by_slot[i])
			c->by_slot[i]->ring.floor = c->revision;
	return 0;
}

uint64_t cache_revision(const struct cache *c)
{
	return c->revision;
}

struct object *cache_get(
	const struct cache *c, const struct kind *k, const char *namespace, const char *name)
{
	return object_set_get(&cache_kind(c, k)->objects, k->namespaced ? namespace : "", name);
}

uint64_t cache_version(const struct cache *c, const struct kind *k)
{
	return cache_kind(c, k)->ring.end;
}

size_t cache_count(const struct cache *c, const struct kind *k)
{
	return cache_kind(c, k)->objects.count;
}

static bool query_matches(const struct cache_query *q, const struct object *o)
{
	if (q->labels && !selector_matches_labels(q->labels, o->labels, o->label_count))
		return false;
	return !q->fields || selector_matches_fields(q->fields, o);
}

static bool has_requirements(const struct selector *s)
{
	return s && (s->count > 0 || s->nothing);
}

static void list(struct cache *c, const struct cache_query *q, const struct object_set *exceptions,
	uint64_t revision, struct arena *a, struct cache_page *ret)
{
	struct kind_cache *kc = cache_kind(c, q->kind);
	const struct object_set *set = cache_index_find(c, kc, q->labels, q->fields);
	if (!set)
		set = &kc->objects;
	const char *namespace =
		q->namespace && *q->namespace && q->kind->namespaced ? q->namespace : NULL;
	const char *from_namespace = q->after_namespace ? q->after_namespace
				     : namespace	? namespace
							: "";
	struct cache_walk walk = cache_walk_start(
		set, exceptions, revision, from_namespace, q->after_name ? q->after_name : "");
	bool selective = has_requirements(q->labels) || has_requirements(q->fields);

	*ret = (struct cache_page){.revision = revision};
	size_t most = MAX(set->count + (exceptions ? exceptions->count : 0), (size_t)1);
	size_t room = q->limit ? MIN(q->limit, most) : most;
	ret->items = arena_alloc(a, room * sizeof(struct object *));
	for (struct object *o; (o = cache_walk_next(&walk)) != NULL;) {
		if (namespace && !streq(o->namespace, namespace))
			break;
		if (selective && !query_matches(q, o))
			continue;
		if (q->limit && ret->count == q->limit) {
			ret->more = true;
			if (selective)
				break;
			ret->remaining++;
			continue;
		}
		ret->items[ret->count++] = o;
	}
}

/* Making an index or a history on the way changes no answer. */
static struct cache *writable(const struct cache *c)
{
	return (struct cache *)(uintptr_t)c;
}

void cache_list(
	const struct cache *c, const struct cache_query *q, struct arena *a, struct cache_page *ret)
{
	list(writable(c), q, NULL, c->revision, a, ret);
}

int cache_list_at(const struct cache *c, const struct cache_query *q, uint64_t revision,
	struct arena *a, struct cache_page *ret)
{
	const struct object_set *exceptions = NULL;
	if (revision < c->revision) {
		int r = cache_history_find(
			writable(c), cache_kind(c, q->kind), revision, &exceptions);
		if (r < 0)
			return r;
	}
	list(writable(c), q, exceptions, MIN(revision, c->revision), a, ret);
	return 0;
}

/* Makes a change visible: the set, the indexes, the events. Takes no references. */
static void apply(struct cache *c, struct kind_cache *kc, struct object *before,
	struct object *after, bool removed, uint64_t revision)
{
	if (removed)
		object_set_remove(&kc->objects, after->namespace, after->name);
	else
		object_set_put(&kc->objects, after);
	cache_index_update(kc, before, removed ? NULL : after);
	c->revision = MAX(c->revision, revision);
	kc->ring.present_bytes = kc->objects.bytes;
	event_ring_push(&kc->ring, revision, c->clock->mono_ns(c->clock), after, before, removed);
	cache_watch_mark(c, kc);
}

static void write_free(struct write *w)
{
	object_unref(w->before);
	blob_unref(w->stored);
	free(w->namespace);
	free(w->name);
	free(w->key);
	free(w);
}

/* Frees a finished write; returns the next one that waits for the same key, or NULL. */
static struct write *write_finish(struct write *w)
{
	struct cache *c = w->cache;
	struct list *waiting = table_get(&c->pending, w->key);
	struct list *next = NULL;
	if (waiting) {
		list_remove(&w->link);
		if (list_empty(waiting)) {
			table_remove(&c->pending, w->key);
			free(waiting);
		} else {
			next = waiting->next;
		}
	}
	write_free(w);
	return next ? CONTAINER_OF(next, struct write, link) : NULL;
}

static struct object *last_state(const struct write *w, uint64_t revision)
{
	struct object *o = NULL;
	if (w->stored) {
		struct err err = ERR_INIT;
		const struct kind *k = w->kc->kind;
		/* The definition may have changed since this was decided. */
		bool same = w->generation == w->kc->generation;
		int r = (same ? object_from_stored : object_adopt)(
			k, w->stored->data, w->stored->size, revision, &o, &err);
		if (r < 0) {
			log_error("an accepted object can't be read", "key", w->key, "reason",
				err.msg, NULL);
			abort();
		}
		return o;
	}
	struct arena a = ARENA_INIT;
	o = object_new(w->kc->kind, &a, object_doc(w->before, &a), revision);
	arena_finish(&a);
	return o;
}

static void maybe_close(struct cache *c);
static void run_writes(struct write *w);

static void on_committed(void *user, int r, uint64_t revision, const struct err *err)
{
	struct write *w = user;
	struct cache *c = w->cache;
	struct object *result = NULL;
	c->writes_in_flight--;
	w->kc->writes_in_flight--;
	if (r == 0) {
		result = last_state(w, revision);
		apply(c, w->kc, w->before, result, w->removing, revision);
	}
	w->done(w->user, r, result, err);
	object_unref(result);
	run_writes(write_finish(w));
	maybe_close(c);
}

/* Decides one write. True when it is on its way to the store, false when it needed no change. */
static bool write_start(struct write *w)
{
	struct cache *c = w->cache;
	struct object *present = cache_get(c, w->kc->kind, w->namespace, w->name);
	if (present)
		object_ref(present);
	struct cache_change change = c->closing ? (struct cache_change){.verdict = CACHE_NOTHING}
						: w->decide(w->user, present);
	if (change.verdict == CACHE_REMOVE && !present)
		change.verdict = CACHE_NOTHING;
	if (change.verdict == CACHE_NOTHING) {
		struct err closing = ERR_INIT;
		int r = c->closing ? err_set(&closing, -ESHUTDOWN, "the server is stopping") : 0;
		blob_unref(change.stored);
		w->done(w->user, r, r < 0 ? NULL : present, r < 0 ? &closing : NULL);
		object_unref(present);
		return false;
	}
	w->before = present;
	w->stored = change.stored;
	w->removing = change.verdict == CACHE_REMOVE;
	struct store_change store_change = {
		.key = w->key,
		.expect_revision = present ? present->revision : 0,
		.value = w->removing ? NULL : w->stored,
	};
	w->generation = w->kc->generation;
	w->kc->writes_in_flight++;
	c->writes_in_flight++;
	c->store->ops->txn(c->store, &store_change, on_committed, w);
	return true;
}

/* Works through the writes of one key until one has to wait for the store. */
static void run_writes(struct write *w)
{
	while (w && !write_start(w))
		w = write_finish(w);
}

void cache_write(struct cache *c, const struct kind *k, const char *namespace, const char *name,
	cache_decide *decide, cache_done *done, void *user)
{
	struct write *w = xcalloc(1, sizeof(*w));
	list_init(&w->link);
	w->cache = c;
	w->kc = cache_kind(c, k);
	w->namespace = xstrdup(k->namespaced ? namespace : "");
	w->name = xstrdup(name);
	w->key = cache_store_key(k->storage, w->namespace, name);
	w->decide = decide;
	w->done = done;
	w->user = user;
	struct list *waiting = table_get(&c->pending, w->key);
	bool first = waiting == NULL;
	if (first) {
		waiting = xmalloc(sizeof(*waiting));
		list_init(waiting);
		table_set(&c->pending, w->key, waiting);
	}
	list_append(waiting, &w->link);
	if (first)
		run_writes(w);
}

static void cache_free(struct cache *c)
{
	for (size_t i = 0; i < c->slot_count; i++) {
		struct kind_cache *kc = c->by_slot[i];
		if (!kc)
			continue;
		cache_index_finish(kc);
		cache_history_finish(kc);
		event_ring_finish(&kc->ring);
		object_set_finish(&kc->objects);
		free(kc);
	}
	void (*closed)(void *) = c->closed;
	void *user = c->closed_user;
	table_finish(&c->pending);
	free(c->by_slot);
	cache_finish_unknown(c);
	free(c);
	if (closed)
		closed(user);
}

static void on_handle_closed(uv_handle_t *h)
{
	struct cache *c = h->data;
	if (--c->handles_open == 0)
		cache_free(c);
}

static void on_store_closed(void *user)
{
	struct cache *c = user;
	uv_close((uv_handle_t *)&c->notifier, on_handle_closed);
	uv_close((uv_handle_t *)&c->gather, on_handle_closed);
	uv_close((uv_handle_t *)&c->trimmer, on_handle_closed);
	uv_close((uv_handle_t *)&c->kick, on_handle_closed);
}

/* Once nothing is on its way to the store any more, it may close. */
static void maybe_close(struct cache *c)
{
	if (!c->closing || c->writes_in_flight > 0 || !c->store)
		return;
	struct store *store = TAKE_PTR(c->store);
	store->ops->close(store, on_store_closed, c);
}

void cache_close(struct cache *c, void (*done)(void *), void *user)
{
	c->closing = true;
	c->closed = done;
	c->closed_user = user;
	maybe_close(c);
}

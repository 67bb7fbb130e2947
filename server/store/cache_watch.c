/* cache_watch.c - watchers: cursors into a kind's recent events. */
#include "server/store/cache_private.h"

struct cache_watcher {
	struct list link; /* in kind_cache.watchers */
	struct cache *cache;
	struct kind_cache *kc;
	char *namespace;    /* NULL = all */
	struct arena arena; /* of the selectors */
	struct selector labels, fields;
	bool selective;	     /* one of them has requirements */
	uint64_t sequence;   /* next event to look at */
	uint64_t since;	     /* revision that everything up to has been seen */
	struct object *left; /* of the last event, when it told that an object stopped matching */
	bool shares;	     /* others see the last event as this one does */
	void (*notify)(void *user);
	void *user;
};

int cache_watch(struct cache *c, const struct cache_watch_options *o, void (*notify)(void *user),
	void *user, struct cache_watcher **ret)
{
	struct kind_cache *kc = cache_kind(c, o->kind);
	uint64_t sequence;
	if (!event_ring_seek(&kc->ring, o->since, &sequence))
		return -ESTALE;
	struct cache_watcher *w = xcalloc(1, sizeof(*w));
	w->cache = c;
	w->kc = kc;
	w->namespace = o->namespace && *o->namespace ? xstrdup(o->namespace) : NULL;
	if (o->labels)
		w->labels = selector_copy(&w->arena, o->labels);
	if (o->fields)
		w->fields = selector_copy(&w->arena, o->fields);
	w->selective = w->labels.count || w->fields.count || w->labels.nothing || w->fields.nothing;
	w->sequence = sequence;
	w->since = o->since;
	w->notify = notify;
	w->user = user;
	list_append(&kc->watchers, &w->link);
	if (sequence < kc->ring.end)
		cache_watch_mark(c, kc);
	*ret = w;
	return 0;
}

static bool matches(const struct cache_watcher *w, const struct object *o)
{
	return !w->selective || (selector_matches_labels(&w->labels, o->labels, o->label_count) &&
					selector_matches_fields(&w->fields, o));
}

static enum cache_event_type own_type(const struct ring_event *e)
{
	return e->removed ? CACHE_DELETED : e->before ? CACHE_MODIFIED : CACHE_ADDED;
}

/* What the event is to someone who sees only matching objects; false: nothing. */
static bool seen_type(
	const struct cache_watcher *w, const struct ring_event *e, enum cache_event_type *ret)
{
	if (w->namespace && !streq(w->namespace, e->object->namespace))
		return false;
	bool before = e->before && matches(w, e->before);
	bool after = !e->removed && matches(w, e->object);
	if (!before && !after)
		return false;
	*ret = !after ? CACHE_DELETED : before ? CACHE_MODIFIED : CACHE_ADDED;
	return true;
}

/* An object that stopped matching is told in the state in which it last matched, at the revision at
 * which it left (as upstream's watch cache has it): what came after is not for this watcher to see.
 */
static struct object *last_seen(struct cache_watcher *w, const struct ring_event *e)
{
	struct arena a = ARENA_INIT;
	object_unref(w->left);
	struct object *o = object_new(e->before->kind, &a, object_doc(e->before, &a), e->revision);
	arena_finish(&a);
	return o;
}

int cache_watch_next(struct cache_watcher *w, struct cache_event *ret)
{
	struct event_ring *ring = &w->kc->ring;
	if (w->sequence < ring->first)
		return -ESTALE;
	struct ring_event *e;
	while ((e = event_ring_at(ring, w->sequence)) != NULL) {
		w->sequence++;
		if (e->revision <= w->since)
			continue; /* the watch began at a revision that was yet to come */
		w->since = e->revision;
		enum cache_event_type type;
		if (!seen_type(w, e, &type))
			continue;
		ret->type = type;
		ret->object = e->object;
		ret->revision = e->revision;
		w->shares = type == own_type(e);
		if (!w->shares && type == CACHE_DELETED)
			ret->object = w->left = last_seen(w, e);
		ret->line = w->shares ? e->line : NULL;
		return 1;
	}
	return 0;
}

void cache_watch_share(struct cache_watcher *w, struct blob *line)
{
	if (w->shares)
		event_ring_set_line(&w->kc->ring, w->sequence - 1, line);
	else
		blob_unref(line);
}

uint64_t cache_watch_revision(const struct cache_watcher *w)
{
	bool at_end = w->sequence == w->kc->ring.end;
	return at_end ? MAX(w->since, w->cache->revision) : w->since;
}

void cache_watch_close(struct cache_watcher *w)
{
	if (!w)
		return;
	list_remove(&w->link);
	object_unref(w->left);
	arena_finish(&w->arena);
	free(w->namespace);
	free(w);
}

/* To wake a hundred watchers costs as much as some writes, for one event or for ten. When events
 * come fast they are told of together; an event that follows on a quiet time is told at once. */
#define MANY_WATCHERS 32
#define FAST_NS (8 * NS_PER_MS)
#define GATHER_MS 2

static void on_gather(uv_timer_t *h)
{
	struct cache *c = h->data;
	c->notifying = false;
	cache_watch_notify_all(c);
}

static void on_notifier(uv_check_t *h)
{
	struct cache *c = h->data;
	uv_check_stop(h);
	c->notifying = false;
	cache_watch_notify_all(c);
}

void cache_watch_mark(struct cache *c, struct kind_cache *kc)
{
	kc->dirty = true;
	if (c->notifying || c->closing)
		return;
	c->notifying = true;
	if (c->notified >= MANY_WATCHERS &&
		c->clock->mono_ns(c->clock) - c->notified_ns < FAST_NS) {
		uv_timer_start(&c->gather, on_gather, GATHER_MS, 0);
		return;
	}
	uv_check_start(&c->notifier, on_notifier);
	/* A mark from outside the poll phase (a timer) must not wait for the next event from there.
	 */
	uv_async_send(&c->kick);
}

void cache_watch_notify_all(struct cache *c)
{
	c->notified = 0;
	c->notified_ns = c->clock->mono_ns(c->clock);
	for (size_t i = 0; i < c->slot_count; i++) {
		struct kind_cache *kc = c->by_slot[i];
		if (!kc || !kc->dirty)
			continue;
		kc->dirty = false;
		/* A callback may close any watcher: walk over those marked now, from a list of
		 * their own. */
		struct list todo;
		list_init(&todo);
		while (!list_empty(&kc->watchers)) {
			struct list *first = kc->watchers.next;
			list_remove(first);
			list_append(&todo, first);
		}
		while (!list_empty(&todo)) {
			struct cache_watcher *w =
				CONTAINER_OF(todo.next, struct cache_watcher, link);
			list_remove(&w->link);
			list_append(&kc->watchers, &w->link);
			c->notified++;
			w->notify(w->user);
		}
	}
}

/* cache_history.c - a kind's objects as of an earlier revision.
 *
 * Nothing is stored for it. The event ring holds, of each change, the object before it; so what was
 * there at revision N is the present set, except for the objects that have events after N: of those
 * it is the state before the first such event. These exceptions are gathered in a set, in the order
 * of the present one, and kept for the next page of the same list, which only adds what has
 * happened since. */
#include "server/store/cache_private.h"

/* Events that may be gone through for new histories: two rings at once, then one a second. Lists of
 * ever other revisions would else keep the loop from all other work; those that are being paged
 * through only pay for what is new. */
#define BUDGET_EVENTS (2 * (int64_t)EVENT_RING_MAX_COUNT)
#define BUDGET_EVENTS_PER_S (int64_t) EVENT_RING_MAX_COUNT

static bool may_start(struct cache *c)
{
	int64_t now = c->clock->mono_ns(c->clock);
	int64_t earned =
		MIN((now - c->histories_at_ns) / (NS_PER_S / BUDGET_EVENTS_PER_S), BUDGET_EVENTS);
	c->histories_spent = MAX(c->histories_spent - earned, 0);
	c->histories_at_ns = now;
	return c->histories_spent < BUDGET_EVENTS;
}

static void history_drop(struct kind_cache *kc, size_t at)
{
	object_set_finish(&kc->histories.items[at].exceptions);
	VEC_REMOVE(&kc->histories, at);
}

static int history_get(
	struct cache *c, struct kind_cache *kc, uint64_t revision, struct cache_history **ret)
{
	size_t oldest = 0;
	for (size_t i = 0; i < kc->histories.count; i++) {
		if (kc->histories.items[i].revision == revision) {
			*ret = &kc->histories.items[i];
			return 0;
		}
		if (kc->histories.items[i].used < kc->histories.items[oldest].used)
			oldest = i;
	}
	struct cache_history fresh = {.revision = revision};
	if (!event_ring_seek(&kc->ring, revision, &fresh.sequence))
		return -ESTALE;
	if (!may_start(c))
		return -EAGAIN;
	if (kc->histories.count == CACHE_HISTORY_MAX)
		history_drop(kc, oldest);
	VEC_PUSH(&kc->histories, fresh);
	*ret = &kc->histories.items[kc->histories.count - 1];
	return 0;
}

int cache_history_find(
	struct cache *c, struct kind_cache *kc, uint64_t revision, const struct object_set **ret)
{
	struct cache_history *h;
	cache_history_trim(kc);
	int r = history_get(c, kc, revision, &h);
	if (r < 0)
		return r;
	h->used = ++c->query_count;
	for (struct ring_event *e; (e = event_ring_at(&kc->ring, h->sequence)) != NULL;
		h->sequence++, c->histories_spent++) {
		/* A creation is itself the exception: its revision says that it was not there. */
		struct object *then = e->before ? e->before : e->object;
		if (!object_set_get(&h->exceptions, then->namespace, then->name))
			object_set_put(&h->exceptions, then);
	}
	*ret = &h->exceptions;
	return 0;
}

void cache_history_trim(struct kind_cache *kc)
{
	for (size_t i = kc->histories.count; i-- > 0;)
		if (kc->histories.items[i].revision < kc->ring.floor)
			history_drop(kc, i);
}

void cache_history_finish(struct kind_cache *kc)
{
	while (kc->histories.count > 0)
		history_drop(kc, kc->histories.count - 1);
	VEC_FINISH(&kc->histories);
}

/* ---- both sets in one order ---- */

struct cache_walk cache_walk_start(const struct object_set *live,
	const struct object_set *exceptions, uint64_t revision, const char *namespace,
	const char *name)
{
	struct cache_walk w = {.revision = revision};
	w.live = object_set_after(live, namespace, name);
	w.next_live = object_set_next(&w.live);
	if (exceptions) {
		w.past = object_set_after(exceptions, namespace, name);
		w.next_past = object_set_next(&w.past);
	}
	return w;
}

static int compare(const struct object *a, const struct object *b)
{
	int c = strcmp(a->namespace, b->namespace);
	return c != 0 ? c : strcmp(a->name, b->name);
}

struct object *cache_walk_next(struct cache_walk *w)
{
	while (w->next_past) {
		int order = w->next_live ? compare(w->next_live, w->next_past) : 1;
		if (order < 0)
			break;
		struct object *o = w->next_past;
		w->next_past = object_set_next(&w->past);
		if (order == 0)
			w->next_live = object_set_next(&w->live);
		if (o->revision <= w->revision)
			return o;
	}
	struct object *o = w->next_live;
	if (o)
		w->next_live = object_set_next(&w->live);
	return o;
}

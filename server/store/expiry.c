#include "server/store/expiry.h"

#include "lib/base/log.h"
#include "lib/base/util.h"

#define MARKS 33 /* the time-to-live in 32 steps */
#define PAGE 256

struct mark {
	int64_t at_ns; /* monotonic */
	uint64_t revision;
};

struct expiry {
	struct cache *cache;
	const struct kind *kind;
	struct clock *clock;
	int64_t ttl_ns;
	uv_timer_t timer;
	struct mark marks[MARKS]; /* oldest first */
	size_t mark_count;
	uint64_t limit; /* what was not written after this revision goes */
	unsigned under_way;
	bool sweeping, more, destroyed, closed;
	char *after_namespace, *after_name; /* of the last page */
};

/* One object's removal; it may have been written since it was found. */
struct removal {
	struct expiry *e;
	uint64_t limit;
};

static void sweep(struct expiry *e);

static void free_when_done(struct expiry *e)
{
	if (!e->closed || e->under_way > 0)
		return;
	free(e->after_namespace);
	free(e->after_name);
	free(e);
}

static struct cache_change decide(void *user, const struct object *present)
{
	struct removal *r = user;
	return (struct cache_change){
		.verdict = present && present->revision <= r->limit ? CACHE_REMOVE : CACHE_NOTHING};
}

static void done(void *user, int r, struct object *result, const struct err *err)
{
	struct removal *removal = user;
	struct expiry *e = removal->e;
	if (r < 0)
		log_warn("an object that has expired stays for now", "kind", e->kind->kind, "error",
			err->msg, NULL);
	free(removal);
	e->under_way--;
	if (e->destroyed)
		free_when_done(e);
	else if (e->under_way == 0 && e->sweeping)
		sweep(e);
}

static void remove_old(struct expiry *e, const struct object *o)
{
	if (o->revision > e->limit)
		return;
	struct removal *r = xcalloc(1, sizeof(*r));
	*r = (struct removal){e, e->limit};
	e->under_way++;
	cache_write(e->cache, e->kind, o->namespace, o->name, decide, done, r);
}

static void remember_place(struct expiry *e, const struct object *last)
{
	free(e->after_namespace);
	free(e->after_name);
	e->after_namespace = last ? xstrdup(last->namespace) : NULL;
	e->after_name = last ? xstrdup(last->name) : NULL;
}

/* Page after page, the next one when the removals of this one are through. */
static void sweep(struct expiry *e)
{
	e->sweeping = true;
	while (e->more && e->under_way == 0) {
		struct arena a = ARENA_INIT;
		struct cache_page page;
		cache_list(e->cache,
			&(struct cache_query){.kind = e->kind,
				.after_namespace = e->after_namespace,
				.after_name = e->after_name,
				.limit = PAGE},
			&a, &page);
		e->more = page.more;
		remember_place(e, page.count ? page.items[page.count - 1] : NULL);
		/* One more than there are, so that none that finishes at once goes on from here. */
		e->under_way++;
		for (size_t i = 0; i < page.count; i++)
			remove_old(e, page.items[i]);
		e->under_way--;
		arena_finish(&a);
	}
	e->sweeping = e->more || e->under_way > 0;
}

void expiry_tick(struct expiry *e)
{
	int64_t now = e->clock->mono_ns(e->clock);
	size_t old = 0;
	while (old < e->mark_count && e->marks[old].at_ns <= now - e->ttl_ns)
		old++;
	bool moved = old > 0 && e->marks[old - 1].revision > e->limit;
	if (moved)
		e->limit = e->marks[old - 1].revision;
	memmove(e->marks, e->marks + old, (e->mark_count - old) * sizeof(*e->marks));
	e->mark_count -= old;
	/* Marks this far apart are never more than fit. */
	if (e->mark_count == 0 ||
		now - e->marks[e->mark_count - 1].at_ns >= e->ttl_ns / (MARKS - 1))
		e->marks[e->mark_count++] = (struct mark){now, cache_revision(e->cache)};
	if (!moved || e->sweeping || cache_count(e->cache, e->kind) == 0)
		return;
	remember_place(e, NULL);
	e->more = true;
	sweep(e);
}

static void on_timer(uv_timer_t *timer)
{
	expiry_tick(timer->data);
}

struct expiry *expiry_create(uv_loop_t *loop, struct cache *cache, const struct kind *kind,
	struct clock *clock, int64_t ttl_ns)
{
	struct expiry *e = xcalloc(1, sizeof(*e));
	*e = (struct expiry){.cache = cache, .kind = kind, .clock = clock, .ttl_ns = ttl_ns};
	uint64_t step_ms = (uint64_t)MAX(ttl_ns / (MARKS - 1) / NS_PER_MS, INT64_C(1000));
	uv_timer_init(loop, &e->timer);
	e->timer.data = e;
	uv_timer_start(&e->timer, on_timer, step_ms, step_ms);
	uv_unref((uv_handle_t *)&e->timer);
	expiry_tick(e);
	return e;
}

static void on_closed(uv_handle_t *timer)
{
	struct expiry *e = timer->data;
	e->closed = true;
	free_when_done(e);
}

void expiry_destroy(struct expiry *e)
{
	if (!e)
		return;
	e->destroyed = true;
	uv_close((uv_handle_t *)&e->timer, on_closed);
}

/* The contract of watches, over a million events: a cache on a store that answers at once, and
 * watchers of all sorts that read fast, slowly or not at all, leave and come back.
 *
 * Each watcher keeps what it was told, as a client would. Asserted of every event: Ordered
 * (revisions rise), Unique (none twice), Filter (only what the watcher asked for; the type fits
 * what it has seen), and of every state: Reliable and Resumable (a watcher that has read up to
 * revision N has exactly what a list as of N has, across reconnects), Bookmarkable (so says the
 * bookmark), Atomic (one revision is one event). What can't be told any more is announced: -ESTALE,
 * never a gap.
 *
 * HANOK_TEST_LONG=1: ten million. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "server/store/cache.h"
#include "server/store/event_ring.h"
#include "server/store/test_kind.h"

enum { KEYS = 400, NAMESPACES = 4, WATCHERS = 24, APPS = 3 };

static unsigned seed = 11;

static unsigned below(unsigned n)
{
	return (unsigned)rand_r(&seed) % n;
}

/* ---- a store that is durable at once ---- */

struct instant_store {
	struct store base;
	uint64_t revision;
};

static int instant_load(
	struct store *s, store_row *row, void *user, uint64_t *ret_revision, struct err *err)
{
	*ret_revision = CONTAINER_OF(s, struct instant_store, base)->revision;
	return 0;
}

static void instant_txn(
	struct store *s, const struct store_change *change, store_done *done, void *user)
{
	done(user, 0, ++CONTAINER_OF(s, struct instant_store, base)->revision, NULL);
}

static void instant_compact(struct store *s, uint64_t revision)
{
}

static void instant_close(struct store *s, void (*done)(void *user), void *user)
{
	done(user);
}

static const struct store_ops instant_ops = {
	"instant", instant_load, instant_txn, instant_compact, instant_close};

/* ---- time ---- */

static int64_t now_ns = 1;

static int64_t test_now(struct clock *c)
{
	return now_ns;
}

/* ---- watchers ---- */

struct watcher {
	const char *namespace; /* NULL = all */
	int app;	       /* label; -1 = all */
	unsigned speed;	       /* events it reads at a time; 0 = reads nothing for long */
	struct arena arena;
	struct selector labels;
	struct cache_watcher *watch; /* NULL: between two connections */
	uint64_t resume;	     /* newest revision it has seen */
	uint64_t seen[KEYS];	     /* revision of each object that it knows, 0 = none */
	uint64_t events, expired, resumed, checked;
};

struct world {
	uv_loop_t loop;
	struct clock clock;
	struct instant_store store;
	struct kind_registry *kinds;
	const struct kind *kind;
	struct cache *cache;
	struct blob *things[KEYS][APPS];
	struct watcher watchers[WATCHERS];
	uint64_t written;
};

static const char *namespace_of(size_t key)
{
	static const char *const names[NAMESPACES] = {"a", "b", "c", "d"};
	return names[key % NAMESPACES];
}

static size_t key_of(const struct object *o)
{
	return (size_t)strtoul(o->name + 1, NULL, 10);
}

static struct cache_query query_of(const struct world *w, const struct watcher *c)
{
	return (struct cache_query){.kind = w->kind,
		.namespace = c->namespace,
		.labels = c->app >= 0 ? &c->labels : NULL};
}

static void nothing(void *user)
{
}

static void relist(struct world *w, struct watcher *c)
{
	struct arena a = ARENA_INIT;
	struct cache_page page;
	struct cache_query q = query_of(w, c);
	cache_list(w->cache, &q, &a, &page);
	memset(c->seen, 0, sizeof(c->seen));
	for (size_t i = 0; i < page.count; i++)
		c->seen[key_of(page.items[i])] = page.items[i]->revision;
	c->resume = page.revision;
	arena_finish(&a);
}

static void connect_watcher(struct world *w, struct watcher *c)
{
	struct cache_watch_options o = {.kind = w->kind,
		.namespace = c->namespace,
		.labels = c->app >= 0 ? &c->labels : NULL,
		.since = c->resume};
	if (cache_watch(w->cache, &o, nothing, NULL, &c->watch) == 0) {
		c->resumed++;
		return;
	}
	c->expired++;
	relist(w, c);
	o.since = c->resume;
	assert_int_equal(cache_watch(w->cache, &o, nothing, NULL, &c->watch), 0);
}

static void take_event(struct world *w, struct watcher *c, const struct cache_event *e)
{
	size_t key = key_of(e->object);
	char app[32];
	assert_true(e->revision > c->resume); /* Ordered, Unique, Atomic */
	assert_int_equal(e->object->revision, e->revision);
	assert_true(!c->namespace || streq(e->object->namespace, c->namespace));
	if (c->app >= 0) {
		snprintf(app, sizeof(app), "app%d", c->app);
		assert_string_equal(object_label(e->object, "app"), app);
	}
	assert_int_equal(e->type, e->type == CACHE_DELETED ? CACHE_DELETED
				  : c->seen[key]	   ? CACHE_MODIFIED
							   : CACHE_ADDED);
	assert_true(e->type != CACHE_DELETED || c->seen[key]);
	c->seen[key] = e->type == CACHE_DELETED ? 0 : e->revision;
	c->resume = e->revision;
	c->events++;
}

/* What the watcher has is what was there at the revision that it says it has seen. */
static void check_state(struct world *w, struct watcher *c, uint64_t revision)
{
	struct arena a = ARENA_INIT;
	struct cache_page page;
	struct cache_query q = query_of(w, c);
	size_t count = 0;
	if (cache_list_at(w->cache, &q, revision, &a, &page) == 0) {
		for (size_t i = 0; i < page.count; i++)
			assert_int_equal(c->seen[key_of(page.items[i])], page.items[i]->revision);
		for (size_t i = 0; i < KEYS; i++)
			count += c->seen[i] != 0;
		assert_int_equal(count, page.count);
		c->checked++;
	}
	arena_finish(&a);
}

static void read_events(struct world *w, struct watcher *c)
{
	struct cache_event e;
	int r = 0;
	if (!c->watch) {
		connect_watcher(w, c);
		return;
	}
	for (unsigned i = 0; i < c->speed && (r = cache_watch_next(c->watch, &e)) == 1; i++)
		take_event(w, c, &e);
	if (r == -ESTALE) {
		c->expired++;
		cache_watch_close(c->watch);
		c->watch = NULL;
		relist(w, c);
		return;
	}
	/* A bookmark may come at any time; going on from there misses nothing. */
	uint64_t bookmark = cache_watch_revision(c->watch);
	assert_true(bookmark >= c->resume);
	if (below(50) == 0) {
		check_state(w, c, bookmark);
		c->resume = bookmark;
	}
	if (below(40) == 0) {
		cache_watch_close(c->watch);
		c->watch = NULL;
	}
}

/* ---- writers ---- */

struct change {
	struct world *w;
	size_t key;
	bool remove;
};

static struct cache_change decide(void *user, const struct object *present)
{
	struct change *c = user;
	if (c->remove)
		return (struct cache_change){.verdict = CACHE_REMOVE};
	return (struct cache_change){
		.verdict = CACHE_PUT, .stored = blob_ref(c->w->things[c->key][below(APPS)])};
}

static void on_done(void *user, int r, struct object *result, const struct err *err)
{
	struct change *c = user;
	assert_int_equal(r, 0);
	c->w->written += result != NULL;
}

static void write_some(struct world *w, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		struct change c = {w, below(KEYS), below(4) == 0};
		char name[16];
		snprintf(name, sizeof(name), "t%zu", c.key);
		cache_write(w->cache, w->kind, namespace_of(c.key), name, decide, on_done, &c);
	}
}

/* ---- */

static void world_create(struct world *w)
{
	struct err err = ERR_INIT;
	uv_loop_init(&w->loop);
	w->clock = *clock_system();
	w->clock.mono_ns = test_now;
	w->store.base.ops = &instant_ops;
	w->kinds = test_kinds_create();
	w->kind = test_kind(w->kinds);
	w->cache = cache_create(&w->loop, w->kinds, &w->store.base, &w->clock);
	assert_int_equal(cache_load(w->cache, &err), 0);
	for (size_t i = 0; i < KEYS; i++)
		for (int app = 0; app < APPS; app++) {
			char name[32], label[32];
			snprintf(name, sizeof(name), "t%zu", i);
			snprintf(label, sizeof(label), "app%d", app);
			w->things[i][app] = test_thing(w->kind, namespace_of(i), name, label, NULL);
		}
	for (size_t i = 0; i < WATCHERS; i++) {
		struct watcher *c = &w->watchers[i];
		struct status st = {0};
		char text[32];
		c->namespace = i % 3 == 1 ? namespace_of(i) : NULL;
		c->app = i % 4 < 2 ? -1 : (int)(i % APPS);
		c->speed = (unsigned[]){5, 40, 1000, 100000}[i % 4 ^ (i / 4 % 4)];
		snprintf(text, sizeof(text), "app=app%d", MAX(c->app, 0));
		assert_int_equal(selector_parse_labels(&c->arena, text, &c->labels, &st), 0);
		relist(w, c);
	}
}

static void on_closed(void *user)
{
	bool *closed = user;
	*closed = true;
}

static void world_destroy(struct world *w)
{
	bool closed = false;
	for (size_t i = 0; i < WATCHERS; i++) {
		cache_watch_close(w->watchers[i].watch);
		arena_finish(&w->watchers[i].arena);
	}
	cache_close(w->cache, on_closed, &closed);
	while (!closed)
		uv_run(&w->loop, UV_RUN_ONCE);
	for (size_t i = 0; i < KEYS; i++)
		for (int app = 0; app < APPS; app++)
			blob_unref(w->things[i][app]);
	kind_registry_destroy(w->kinds);
	assert_int_equal(uv_loop_close(&w->loop), 0);
}

static void test_contract(void **state)
{
	static struct world w;
	const char *s = getenv("HANOK_TEST_LONG");
	uint64_t wanted = s && *s && strcmp(s, "0") != 0 ? 10000000 : 1000000, told = 0;
	uint64_t expired = 0, resumed = 0, checked = 0;
	world_create(&w);
	while (w.written < wanted) {
		/* Bursts, and now and then minutes in which nothing happens. */
		write_some(&w, 1 + below(300));
		now_ns += below(2000) == 0 ? 200 * NS_PER_S : below(1000) * NS_PER_MS / 10;
		for (unsigned i = 0; i < 4; i++)
			read_events(&w, &w.watchers[below(WATCHERS)]);
		uv_run(&w.loop, UV_RUN_NOWAIT);
	}
	for (size_t i = 0; i < WATCHERS; i++) {
		struct watcher *c = &w.watchers[i];
		c->speed = UINT32_MAX;
		uint64_t newest = cache_revision(w.cache);
		while (!c->watch || cache_watch_revision(c->watch) < newest)
			read_events(&w, c);
		check_state(&w, c, newest);
		told += c->events;
		expired += c->expired;
		resumed += c->resumed;
		checked += c->checked;
	}
	print_message(
		"%lu changes, %lu events told, %lu resumed, %lu expired, %lu states compared\n",
		(unsigned long)w.written, (unsigned long)told, (unsigned long)resumed,
		(unsigned long)expired, (unsigned long)checked);
	assert_true(told > wanted && resumed > 300 && expired > 10 && checked > 200);
	world_destroy(&w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_contract)};
	return cmocka_run_group_tests_name("watch_contract", tests, NULL, NULL);
}

/* The cache over a real SQLite file: atomic writes in line, lists with selectors and pages, watches
 * with their synthesized events, and what a restart keeps. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "server/store/cache.h"
#include "server/store/test_kind.h"

struct fixture {
	char dir[64], path[96];
	uv_loop_t loop;
	struct kind_registry *kinds;
	const struct kind *kind;
	struct clock *clock;
	struct cache *cache;
	bool closed;
};

static void open_cache(struct fixture *f)
{
	struct store *store = NULL;
	struct err err = ERR_INIT;
	if (store_sqlite_open(&f->loop, f->path, &store, &err) < 0)
		fail_msg("%s", err.msg);
	f->cache = cache_create(&f->loop, f->kinds, store, f->clock);
	if (cache_load(f->cache, &err) < 0)
		fail_msg("%s", err.msg);
	f->closed = false;
}

static void on_closed(void *user)
{
	struct fixture *f = user;
	f->closed = true;
}

static void close_cache(struct fixture *f)
{
	cache_close(f->cache, on_closed, f);
	while (!f->closed)
		uv_run(&f->loop, UV_RUN_ONCE);
}

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	strcpy(f->dir, "/tmp/hanok-cache-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/hanok.db", f->dir);
	uv_loop_init(&f->loop);
	f->kinds = test_kinds_create();
	f->kind = test_kind(f->kinds);
	f->clock = clock_system();
	open_cache(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	close_cache(f);
	kind_registry_destroy(f->kinds);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	const char *const suffixes[] = {"", "-wal", "-shm", ".lock"};
	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		char name[128];
		snprintf(name, sizeof(name), "%s%s", f->path, suffixes[i]);
		unlink(name);
	}
	rmdir(f->dir);
	free(f);
	return 0;
}

struct write {
	struct fixture *f;
	const char *namespace, *name, *app, *node;
	enum cache_verdict verdict;
	uint64_t saw; /* revision of the present object when decided, 0 = none */
	uint64_t result;
	int r, decided, done;
};

static struct cache_change decide(void *user, const struct object *present)
{
	struct write *w = user;
	w->decided++;
	w->saw = present ? present->revision : 0;
	struct cache_change c = {.verdict = w->verdict};
	if (w->verdict == CACHE_PUT)
		c.stored = test_thing(w->f->kind, w->namespace, w->name, w->app, w->node);
	return c;
}

static void on_done(void *user, int r, struct object *result, const struct err *err)
{
	struct write *w = user;
	w->done++;
	w->r = r;
	w->result = result ? result->revision : 0;
}

static void start(struct write *w)
{
	cache_write(w->f->cache, w->f->kind, w->namespace, w->name, decide, on_done, w);
}

static struct write finish(struct write *w)
{
	while (w->done == 0)
		uv_run(&w->f->loop, UV_RUN_ONCE);
	return *w;
}

static struct write put(
	struct fixture *f, const char *ns, const char *name, const char *app, const char *node)
{
	struct write w = {.f = f,
		.namespace = ns,
		.name = name,
		.app = app,
		.node = node,
		.verdict = CACHE_PUT};
	start(&w);
	return finish(&w);
}

static struct write drop(struct fixture *f, const char *ns, const char *name)
{
	struct write w = {.f = f, .namespace = ns, .name = name, .verdict = CACHE_REMOVE};
	start(&w);
	return finish(&w);
}

static void test_writes_of_one_key_stand_in_line(void **state)
{
	struct fixture *f = *state;
	struct write w[5];
	for (int i = 0; i < 5; i++) {
		w[i] = (struct write){.f = f,
			.namespace = "a",
			.name = "x",
			.verdict = i == 2   ? CACHE_NOTHING
				   : i == 3 ? CACHE_REMOVE
					    : CACHE_PUT};
		start(&w[i]);
	}
	assert_int_equal(w[0].decided, 1);
	assert_int_equal(w[1].decided, 0);		     /* waits for the first */
	assert_null(cache_get(f->cache, f->kind, "a", "x")); /* not durable yet */
	finish(&w[4]);
	uint64_t first = w[0].result;
	assert_int_equal(w[0].saw, 0);
	assert_int_equal(w[1].saw, first);
	assert_int_equal(w[1].result, first + 1);
	assert_int_equal(w[2].saw, first + 1);
	assert_int_equal(w[2].result, first + 1); /* nothing changed */
	assert_int_equal(w[3].saw, first + 1);
	assert_int_equal(w[3].result, first + 2);
	assert_int_equal(w[4].saw, 0);
	assert_int_equal(cache_get(f->cache, f->kind, "a", "x")->revision, first + 3);
	for (int i = 0; i < 5; i++)
		assert_int_equal(w[i].done, 1);
}

static void test_many_waiting_no_ops(void **state)
{
	enum { COUNT = 20000 };
	struct fixture *f = *state;
	struct write first = {.f = f, .namespace = "a", .name = "x", .verdict = CACHE_PUT};
	static struct write w[COUNT];
	start(&first);
	for (int i = 0; i < COUNT; i++) {
		w[i] = (struct write){.f = f, .namespace = "a", .name = "x"};
		start(&w[i]);
	}
	finish(&first);
	for (int i = 0; i < COUNT; i++)
		assert_int_equal(finish(&w[i]).saw, first.result);
}

static void names_of(
	struct fixture *f, struct cache_query q, char *text, size_t size, struct cache_page *page)
{
	struct arena a = ARENA_INIT;
	q.kind = f->kind;
	cache_list(f->cache, &q, &a, page);
	text[0] = '\0';
	for (size_t i = 0; i < page->count; i++) {
		size_t used = strlen(text);
		snprintf(text + used, size - used, "%s/%s ", page->items[i]->namespace,
			page->items[i]->name);
	}
	arena_finish(&a);
}

static void test_list(void **state)
{
	struct fixture *f = *state;
	put(f, "b", "two", "web", "n1");
	put(f, "a", "one", "db", "n2");
	put(f, "b", "three", "web", "n2");
	put(f, "c", "four", NULL, "n1");
	char text[4096];
	struct cache_page page;
	names_of(f, (struct cache_query){0}, text, sizeof(text), &page);
	assert_string_equal(text, "a/one b/three b/two c/four ");
	names_of(f, (struct cache_query){.namespace = "b"}, text, sizeof(text), &page);
	assert_string_equal(text, "b/three b/two ");
	names_of(f, (struct cache_query){.limit = 2}, text, sizeof(text), &page);
	assert_string_equal(text, "a/one b/three ");
	assert_true(page.more);
	assert_int_equal(page.remaining, 2);
	names_of(f, (struct cache_query){.limit = 2, .after_namespace = "b", .after_name = "three"},
		text, sizeof(text), &page);
	assert_string_equal(text, "b/two c/four ");
	assert_false(page.more);

	struct arena a = ARENA_INIT;
	struct selector labels;
	struct status st = {0};
	assert_int_equal(selector_parse_labels(&a, "app=web", &labels, &st), 0);
	names_of(f, (struct cache_query){.labels = &labels}, text, sizeof(text), &page);
	assert_string_equal(text, "b/three b/two ");
	arena_finish(&a);
}

static void test_index_agrees_with_walk(void **state)
{
	struct fixture *f = *state;
	char name[16], node[16], expected[8192], text[8192];
	for (int i = 0; i < 200; i++) {
		snprintf(name, sizeof(name), "t%03d", i);
		snprintf(node, sizeof(node), "n%d", i % 7);
		put(f, "a", name, NULL, node);
	}
	struct arena a = ARENA_INIT;
	struct selector fields;
	struct status st = {0};
	struct cache_page page;
	assert_int_equal(selector_parse_fields(&a, f->kind, "spec.nodeName=n3", &fields, &st), 0);
	names_of(f, (struct cache_query){.fields = &fields}, text, sizeof(text), &page);
	/* The index is there now: moves and removals must reach it. */
	put(f, "a", "t003", NULL, "n5");
	put(f, "a", "t004", NULL, "n3");
	drop(f, "a", "t010");
	expected[0] = '\0';
	for (int i = 0; i < 200; i++) {
		bool here = (i % 7 == 3 && i != 3 && i != 10) || i == 4;
		size_t used = strlen(expected);
		if (here)
			snprintf(expected + used, sizeof(expected) - used, "a/t%03d ", i);
	}
	names_of(f, (struct cache_query){.fields = &fields}, text, sizeof(text), &page);
	assert_string_equal(text, expected);
	arena_finish(&a);
}

static void on_notify(void *user)
{
	int *count = user;
	(*count)++;
}

static void next_is(struct cache_watcher *w, enum cache_event_type type, const char *name)
{
	struct cache_event e;
	assert_int_equal(cache_watch_next(w, &e), 1);
	assert_int_equal(e.type, type);
	assert_string_equal(e.object->name, name);
}

static void test_watch(void **state)
{
	struct fixture *f = *state;
	put(f, "a", "old", NULL, NULL);
	uint64_t since = cache_revision(f->cache);
	int notified = 0;
	struct cache_watcher *w = NULL;
	struct cache_event e;
	struct cache_watch_options o = {.kind = f->kind, .since = since};
	assert_int_equal(cache_watch(f->cache, &o, on_notify, &notified, &w), 0);
	assert_int_equal(cache_watch_next(w, &e), 0);
	put(f, "a", "x", NULL, NULL);
	uv_run(&f->loop, UV_RUN_NOWAIT);
	assert_true(notified >= 1);
	put(f, "a", "x", "web", NULL);
	struct write gone = drop(f, "a", "x");
	next_is(w, CACHE_ADDED, "x");
	next_is(w, CACHE_MODIFIED, "x");
	next_is(w, CACHE_DELETED, "x");
	assert_int_equal(cache_watch_next(w, &e), 0);
	assert_int_equal(cache_watch_revision(w), gone.result);
	cache_watch_close(w);

	/* From the past: everything since comes again. */
	assert_int_equal(cache_watch(f->cache, &o, on_notify, &notified, &w), 0);
	next_is(w, CACHE_ADDED, "x");
	cache_watch_close(w);

	/* From the future: nothing up to that revision, which others told the client, comes. */
	o.since = cache_revision(f->cache) + 1;
	assert_int_equal(cache_watch(f->cache, &o, on_notify, &notified, &w), 0);
	put(f, "a", "told", NULL, NULL);
	assert_int_equal(cache_watch_next(w, &e), 0);
	put(f, "a", "news", NULL, NULL);
	next_is(w, CACHE_ADDED, "news");
	assert_int_equal(cache_watch_next(w, &e), 0);
	cache_watch_close(w);
}

static void test_watch_with_selector(void **state)
{
	struct fixture *f = *state;
	struct arena a = ARENA_INIT;
	struct selector labels;
	struct status st = {0};
	assert_int_equal(selector_parse_labels(&a, "app=web", &labels, &st), 0);
	struct cache_watcher *w = NULL;
	int notified = 0;
	struct cache_watch_options o = {.kind = f->kind,
		.labels = &labels,
		.namespace = "a",
		.since = cache_revision(f->cache)};
	assert_int_equal(cache_watch(f->cache, &o, on_notify, &notified, &w), 0);
	arena_finish(&a); /* the watcher has its own copy */
	put(f, "a", "x", "db", NULL);
	put(f, "b", "y", "web", NULL);
	put(f, "a", "x", "web", NULL);
	put(f, "a", "x", "web", "n1");
	struct write left = put(f, "a", "x", "db", "n1");
	put(f, "a", "x", "web", NULL);
	drop(f, "a", "x");
	next_is(w, CACHE_ADDED, "x");
	next_is(w, CACHE_MODIFIED, "x");
	/* It left: told as it was when it last matched, at the revision at which it left. */
	struct cache_event e;
	assert_int_equal(cache_watch_next(w, &e), 1);
	assert_int_equal(e.type, CACHE_DELETED);
	assert_string_equal(object_label(e.object, "app"), "web");
	assert_int_equal(e.object->revision, e.revision);
	assert_int_equal(e.revision, left.result);
	next_is(w, CACHE_ADDED, "x");
	next_is(w, CACHE_DELETED, "x");
	assert_int_equal(cache_watch_next(w, &e), 0);
	cache_watch_close(w);
}

static struct blob *next_line(struct cache_watcher *w)
{
	struct cache_event e;
	assert_int_equal(cache_watch_next(w, &e), 1);
	return e.line;
}

/* How one watcher has written an event, others get who see the same, and nobody else. */
static void test_watch_shares(void **state)
{
	struct fixture *f = *state;
	struct arena a = ARENA_INIT;
	struct selector labels;
	struct status st = {0};
	assert_int_equal(selector_parse_labels(&a, "app=web", &labels, &st), 0);
	struct cache_watch_options o = {.kind = f->kind, .since = cache_revision(f->cache)};
	struct cache_watcher *all[2], *web;
	int notified = 0;
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(cache_watch(f->cache, &o, on_notify, &notified, &all[i]), 0);
	o.labels = &labels;
	assert_int_equal(cache_watch(f->cache, &o, on_notify, &notified, &web), 0);
	put(f, "a", "x", "db", NULL);
	put(f, "a", "x", "web", NULL); /* to the one that selects it is new */
	put(f, "a", "x", "web", "n1");
	for (unsigned i = 0; i < 3; i++) {
		struct blob *line = blob_new("line", 4);
		assert_null(next_line(all[0]));
		cache_watch_share(all[0], blob_ref(line));
		assert_ptr_equal(next_line(all[1]), line);
		if (i == 1) {
			assert_null(next_line(web));
			cache_watch_share(web, blob_new("own", 3));
		} else if (i == 2) {
			assert_ptr_equal(next_line(web), line);
		}
		blob_unref(line);
	}
	for (unsigned i = 0; i < 2; i++)
		cache_watch_close(all[i]);
	cache_watch_close(web);
	arena_finish(&a);
}

/* What a list as of a revision must be: written down when that revision was the newest. */
enum { PAST_NAMES = 40, PAST_STEPS = 300 };
struct past {
	uint64_t revision;
	uint64_t object_revision[PAST_NAMES]; /* 0 = absent */
	bool web[PAST_NAMES];
};

static void past_check(
	struct fixture *f, const struct past *p, const struct selector *labels, size_t limit)
{
	struct arena a = ARENA_INIT;
	struct cache_query q = {
		.kind = f->kind, .labels = labels, .limit = limit, .namespace = "a"};
	struct cache_page page;
	size_t at = 0, left = 0;
	for (size_t i = 0; i < PAST_NAMES; i++)
		left += p->object_revision[i] && (!labels || p->web[i]);
	do {
		assert_int_equal(cache_list_at(f->cache, &q, p->revision, &a, &page), 0);
		assert_int_equal(page.revision, p->revision);
		for (size_t i = 0; i < page.count; i++, at++) {
			while (!p->object_revision[at] || (labels && !p->web[at]))
				at++;
			char name[16];
			snprintf(name, sizeof(name), "t%02zu", at);
			assert_string_equal(page.items[i]->name, name);
			assert_int_equal(page.items[i]->revision, p->object_revision[at]);
		}
		left -= page.count;
		if (!labels)
			assert_int_equal(page.remaining, left);
		assert_int_equal(page.more, left > 0);
		if (page.count) {
			q.after_namespace = "a";
			q.after_name = page.items[page.count - 1]->name;
		}
	} while (page.more);
	assert_int_equal(left, 0);
	arena_finish(&a);
}

static void test_list_at_any_revision(void **state)
{
	struct fixture *f = *state;
	static struct past past[PAST_STEPS];
	struct past now = {0};
	struct arena a = ARENA_INIT;
	struct selector labels;
	struct status st = {0};
	struct cache_page page;
	assert_int_equal(selector_parse_labels(&a, "app=web", &labels, &st), 0);
	unsigned seed = 7;
	put(f, "b", "other", "web", NULL);
	for (int step = 0; step < PAST_STEPS; step++) {
		size_t i = (size_t)rand_r(&seed) % PAST_NAMES;
		char name[16];
		snprintf(name, sizeof(name), "t%02zu", i);
		if (now.object_revision[i] && rand_r(&seed) % 3 == 0) {
			now.revision = drop(f, "a", name).result;
			now.object_revision[i] = 0;
		} else {
			now.web[i] = rand_r(&seed) % 2;
			now.revision = put(f, "a", name, now.web[i] ? "web" : "db", NULL).result;
			now.object_revision[i] = now.revision;
		}
		past[step] = now;
		/* Some past is looked at again and again while it grows older. */
		const struct past *old = &past[step / 50 * 50];
		past_check(f, old, NULL, 0);
		past_check(f, old, &labels, 3);
	}
	for (int step = 0; step < PAST_STEPS; step++) {
		past_check(f, &past[step], NULL, 7);
		past_check(f, &past[step], &labels, 0);
	}
	/* Nothing is known from before the first event, and the future has not begun. */
	struct cache_query q = {.kind = f->kind};
	close_cache(f);
	open_cache(f);
	assert_int_equal(cache_list_at(f->cache, &q, now.revision - 1, &a, &page), -ESTALE);
	assert_int_equal(cache_list_at(f->cache, &q, now.revision, &a, &page), 0);
	assert_int_equal(cache_list_at(f->cache, &q, UINT64_MAX, &a, &page), 0);
	assert_int_equal(page.revision, now.revision);
	arena_finish(&a);
}

static int64_t slow_ns;

static int64_t slow_clock_ns(struct clock *c)
{
	return slow_ns;
}

/* Lists of ever other revisions are not for free; one that is being paged through goes on. */
static void test_histories_are_bounded(void **state)
{
	struct fixture *f = *state;
	static struct clock clock = {slow_clock_ns, slow_clock_ns};
	struct arena a = ARENA_INIT;
	struct cache_query q = {.kind = f->kind, .limit = 1};
	struct cache_page page;
	enum { STEPS = 800 };
	static struct write w[STEPS];
	close_cache(f);
	slow_ns = 5 * NS_PER_S;
	f->clock = &clock;
	open_cache(f);
	for (size_t i = 0; i < STEPS; i++) {
		w[i] = (struct write){.f = f,
			.namespace = "a",
			.name = i % 2 ? "odd" : "even",
			.app = i % 4 < 2 ? "web" : "db",
			.verdict = CACHE_PUT};
		start(&w[i]);
	}
	while (!w[STEPS - 1].done || !w[STEPS - 2].done)
		uv_run(&f->loop, UV_RUN_ONCE);
	assert_int_equal(cache_list_at(f->cache, &q, w[STEPS / 2].result, &a, &page), 0);
	size_t refused = 0;
	for (size_t i = 1; i < STEPS - 1; i++) {
		int r = cache_list_at(f->cache, &q, w[i].result, &a, &page);
		assert_true(r == 0 || r == -EAGAIN);
		refused += r < 0;
		/* In use all the time. */
		r = cache_list_at(f->cache, &q, w[STEPS / 2].result, &a, &page);
		assert_int_equal(r, 0);
		assert_int_equal(page.revision, w[STEPS / 2].result);
	}
	assert_in_range(refused, STEPS / 2, STEPS * 3 / 4);
	assert_int_equal(cache_list_at(f->cache, &q, w[1].result, &a, &page), -EAGAIN);
	slow_ns += NS_PER_S / 10;
	assert_int_equal(cache_list_at(f->cache, &q, w[1].result, &a, &page), 0);
	arena_finish(&a);
}

static void test_restart(void **state)
{
	struct fixture *f = *state;
	put(f, "a", "x", "web", "n1");
	drop(f, "a", "x");
	struct write w = put(f, "a", "y", "web", "n1");
	close_cache(f);
	open_cache(f);
	assert_int_equal(cache_revision(f->cache), w.result);
	assert_null(cache_get(f->cache, f->kind, "a", "x"));
	struct object *o = cache_get(f->cache, f->kind, "a", "y");
	assert_int_equal(o->revision, w.result);
	assert_string_equal(object_label(o, "app"), "web");
	struct cache_watcher *watcher = NULL;
	int notified = 0;
	struct cache_watch_options options = {.kind = f->kind, .since = w.result - 1};
	assert_int_equal(cache_watch(f->cache, &options, on_notify, &notified, &watcher), -ESTALE);
	options.since = w.result;
	assert_int_equal(cache_watch(f->cache, &options, on_notify, &notified, &watcher), 0);
	cache_watch_close(watcher);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
			test_writes_of_one_key_stand_in_line, setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_waiting_no_ops, setup, teardown),
		cmocka_unit_test_setup_teardown(test_list, setup, teardown),
		cmocka_unit_test_setup_teardown(test_index_agrees_with_walk, setup, teardown),
		cmocka_unit_test_setup_teardown(test_watch, setup, teardown),
		cmocka_unit_test_setup_teardown(test_watch_with_selector, setup, teardown),
		cmocka_unit_test_setup_teardown(test_watch_shares, setup, teardown),
		cmocka_unit_test_setup_teardown(test_list_at_any_revision, setup, teardown),
		cmocka_unit_test_setup_teardown(test_histories_are_bounded, setup, teardown),
		cmocka_unit_test_setup_teardown(test_restart, setup, teardown),
	};
	return cmocka_run_group_tests_name("cache", tests, NULL, NULL);
}

/* Objects that nobody writes go after their time, those that somebody does stay. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "server/store/expiry.h"
#include "server/store/test_kind.h"

#define TTL (3600 * NS_PER_S)

struct fixture {
	char dir[64], path[96];
	uv_loop_t loop;
	struct kind_registry *kinds;
	const struct kind *kind;
	struct cache *cache;
	struct clock clock;
	int64_t now_ns;
	struct expiry *expiry;
	bool closed, written;
};

static struct fixture *of_clock(struct clock *c)
{
	return (struct fixture *)((char *)c - offsetof(struct fixture, clock));
}

static int64_t now(struct clock *c)
{
	return of_clock(c)->now_ns;
}

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	struct store *store = NULL;
	struct err err = ERR_INIT;
	strcpy(f->dir, "/tmp/hanok-expiry-XXXXXX");
	assert_non_null(mkdtemp(f->dir));
	snprintf(f->path, sizeof(f->path), "%s/hanok.db", f->dir);
	f->clock = (struct clock){now, now};
	f->now_ns = NS_PER_S;
	uv_loop_init(&f->loop);
	f->kinds = test_kinds_create();
	f->kind = test_kind(f->kinds);
	if (store_sqlite_open(&f->loop, f->path, &store, &err) < 0)
		fail_msg("%s", err.msg);
	f->cache = cache_create(&f->loop, f->kinds, store, &f->clock);
	if (cache_load(f->cache, &err) < 0)
		fail_msg("%s", err.msg);
	f->expiry = expiry_create(&f->loop, f->cache, f->kind, &f->clock, TTL);
	*state = f;
	return 0;
}

static void on_closed(void *user)
{
	struct fixture *f = user;
	f->closed = true;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	expiry_destroy(f->expiry);
	cache_close(f->cache, on_closed, f);
	while (!f->closed)
		uv_run(&f->loop, UV_RUN_ONCE);
	uv_run(&f->loop, UV_RUN_DEFAULT);
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
	const char *name, *app;
};

static struct cache_change decide(void *user, const struct object *present)
{
	struct write *w = user;
	return (struct cache_change){.verdict = CACHE_PUT,
		.stored = test_thing(w->f->kind, "default", w->name, w->app, NULL)};
}

static void on_done(void *user, int r, struct object *result, const struct err *err)
{
	struct write *w = user;
	assert_int_equal(r, 0);
	w->f->written = true;
}

static void put(struct fixture *f, const char *name, const char *app)
{
	struct write w = {f, name, app};
	f->written = false;
	cache_write(f->cache, f->kind, "default", name, decide, on_done, &w);
	while (!f->written)
		uv_run(&f->loop, UV_RUN_ONCE);
}

static void pass(struct fixture *f, int minutes)
{
	for (int i = 0; i < minutes; i++) {
		f->now_ns += 60 * NS_PER_S;
		expiry_tick(f->expiry);
	}
}

/* Until `count` are left; what never comes ends the test by meson's timeout. */
static void await_count(struct fixture *f, size_t count)
{
	while (cache_count(f->cache, f->kind) != count)
		uv_run(&f->loop, UV_RUN_ONCE);
}

static bool there(struct fixture *f, const char *name)
{
	return cache_get(f->cache, f->kind, "default", name) != NULL;
}

static void test_goes_after_its_time(void **state)
{
	struct fixture *f = *state;
	put(f, "one", "a");
	pass(f, 59);
	put(f, "two", "a");
	assert_true(there(f, "one"));
	pass(f, 4);
	await_count(f, 1);
	assert_true(there(f, "two"));
	pass(f, 60);
	await_count(f, 0);
}

static void test_a_write_prolongs_it(void **state)
{
	struct fixture *f = *state;
	put(f, "kept", "a");
	put(f, "old", "a");
	pass(f, 40);
	put(f, "kept", "b");
	pass(f, 24);
	await_count(f, 1);
	assert_true(there(f, "kept"));
	pass(f, 40);
	await_count(f, 0);
}

static void test_more_than_a_page(void **state)
{
	struct fixture *f = *state;
	char name[32];
	for (int i = 0; i < 600; i++) {
		snprintf(name, sizeof(name), "thing-%d", i);
		put(f, name, "a");
	}
	pass(f, 30);
	put(f, "late", "a");
	pass(f, 34);
	await_count(f, 1);
	assert_true(there(f, "late"));
}

/* The server ends in the middle of a sweep. */
static void test_destroyed_while_sweeping(void **state)
{
	struct fixture *f = *state;
	put(f, "one", "a");
	put(f, "two", "a");
	pass(f, 63);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_goes_after_its_time, setup, teardown),
		cmocka_unit_test_setup_teardown(test_a_write_prolongs_it, setup, teardown),
		cmocka_unit_test_setup_teardown(test_more_than_a_page, setup, teardown),
		cmocka_unit_test_setup_teardown(test_destroyed_while_sweeping, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

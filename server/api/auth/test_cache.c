#include "server/api/auth/test_cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

void test_cache_open(struct test_cache *t)
{
	struct err err = ERR_INIT;
	struct store *store = NULL;
	*t = (struct test_cache){.closed = false};
	strcpy(t->dir, "/tmp/hanok-auth-XXXXXX");
	assert_non_null(mkdtemp(t->dir));
	uv_loop_init(&t->loop);
	t->kinds = kind_registry_create();
	if (kind_registry_load_builtin(t->kinds, &err) < 0)
		fail_msg("%s", err.msg);
	char path[96];
	snprintf(path, sizeof(path), "%s/hanok.db", t->dir);
	if (store_sqlite_open(&t->loop, path, &store, &err) < 0)
		fail_msg("%s", err.msg);
	t->cache = cache_create(&t->loop, t->kinds, store, clock_system());
	if (cache_load(t->cache, &err) < 0)
		fail_msg("%s", err.msg);
}

static void on_closed(void *user)
{
	*(bool *)user = true;
}

void test_cache_close(struct test_cache *t)
{
	cache_close(t->cache, on_closed, &t->closed);
	while (!t->closed)
		uv_run(&t->loop, UV_RUN_ONCE);
	kind_registry_destroy(t->kinds);
	assert_int_equal(uv_loop_close(&t->loop), 0);
	char command[128];
	snprintf(command, sizeof(command), "rm -rf '%s'", t->dir);
	assert_int_equal(system(command), 0);
}

struct write {
	struct cache_change change;
	bool done;
};

static struct cache_change decide(void *user, const struct object *present)
{
	struct write *w = user;
	if (w->change.verdict == CACHE_REMOVE && !present)
		return (struct cache_change){.verdict = CACHE_NOTHING};
	return w->change;
}

static void done(void *user, int r, struct object *result, const struct err *err)
{
	struct write *w = user;
	if (r < 0)
		fail_msg("%s", err->msg);
	w->done = true;
}

static void run(struct test_cache *t, const struct kind *k, const char *namespace, const char *name,
	struct cache_change change)
{
	struct write w = {change, false};
	cache_write(t->cache, k, namespace, name, decide, done, &w);
	while (!w.done)
		uv_run(&t->loop, UV_RUN_ONCE);
}

void test_cache_put_doc(struct test_cache *t, struct arena *a, struct json *doc)
{
	char group[128], version[64];
	gv_split(json_str(json_get(doc, "apiVersion")), group, version);
	const struct kind *k =
		kind_by_name(t->kinds, group, version, json_str(json_get(doc, "kind")));
	assert_non_null(k);
	const char *ns = json_str_or(json_path(doc, "metadata.namespace"), "");
	const char *name = json_path_str(doc, "metadata.name");
	run(t, k, ns, name,
		(struct cache_change){
			.verdict = CACHE_PUT, .stored = object_stored_form(k, a, doc)});
}

void test_cache_put(struct test_cache *t, const char *text)
{
	struct arena a = ARENA_INIT;
	struct json *doc;
	assert_int_equal(json_parse(&a, text, strlen(text), NULL, &doc, NULL), 0);
	test_cache_put_doc(t, &a, doc);
	arena_finish(&a);
}

void test_cache_remove(
	struct test_cache *t, const struct kind *k, const char *namespace, const char *name)
{
	run(t, k, namespace, name, (struct cache_change){.verdict = CACHE_REMOVE});
}

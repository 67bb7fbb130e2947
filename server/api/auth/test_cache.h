/* test_cache.h - a cache over an empty store with all built-in kinds, for the tests of this folder.
 */
#pragma once

#include "server/store/cache.h"

struct test_cache {
	char dir[64];
	uv_loop_t loop;
	struct kind_registry *kinds;
	struct cache *cache;
	bool closed;
};

void test_cache_open(struct test_cache *t);
void test_cache_close(struct test_cache *t);
/* Writes the object, whose kind, namespace and name are in the text (JSON), and waits until it can
 * be read. */
void test_cache_put(struct test_cache *t, const char *text);
void test_cache_put_doc(struct test_cache *t, struct arena *a, struct json *doc);
void test_cache_remove(
	struct test_cache *t, const struct kind *k, const char *namespace, const char *name);

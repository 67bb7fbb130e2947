/* The ordered set against a plain sorted array, under random puts and removals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/base/random.h"
#include "server/store/object_set.h"
#include "server/store/test_kind.h"

enum { NAMES = 1500 };

static struct object *make(const struct kind *k, int i)
{
	char name[16];
	snprintf(name, sizeof(name), "n%05d", i);
	struct blob *b = test_thing(k, i % 3 == 0 ? "a" : i % 3 == 1 ? "b" : "c", name, NULL, NULL);
	struct object *o = NULL;
	assert_int_equal(object_from_stored(k, b->data, b->size, (uint64_t)i + 1, &o, NULL), 0);
	blob_unref(b);
	return o;
}

static void check_order(const struct object_set *s, size_t expected)
{
	struct object_set_iter it = object_set_after(s, "", "");
	const struct object *before = NULL;
	size_t count = 0, bytes = 0;
	for (struct object *o; (o = object_set_next(&it)) != NULL; before = o, count++) {
		bytes += o->bytes->size;
		if (!before)
			continue;
		int c = strcmp(before->namespace, o->namespace);
		assert_true(c < 0 || (c == 0 && strcmp(before->name, o->name) < 0));
	}
	assert_int_equal(count, expected);
	assert_int_equal(s->count, expected);
	assert_int_equal(s->bytes, bytes);
}

static void test_random_changes(void **state)
{
	struct kind_registry *r = test_kinds_create();
	const struct kind *k = test_kind(r);
	static struct object *all[NAMES];
	static bool present[NAMES];
	for (int i = 0; i < NAMES; i++)
		all[i] = make(k, i);
	struct object_set s = OBJECT_SET_INIT;
	struct random rnd = random_seeded(42);
	size_t count = 0;
	for (int step = 0; step < 30000; step++) {
		size_t i = random_below(&rnd, NAMES);
		bool growing = (step / 5000) % 2 == 0;
		if (random_below(&rnd, 10) < (growing ? 8u : 2u)) {
			object_set_put(&s, all[i]);
			count += !present[i];
			present[i] = true;
		} else {
			assert_int_equal(
				object_set_remove(&s, all[i]->namespace, all[i]->name), present[i]);
			count -= present[i];
			present[i] = false;
		}
		assert_ptr_equal(object_set_get(&s, all[i]->namespace, all[i]->name),
			present[i] ? all[i] : NULL);
		if (step % 1000 == 0)
			check_order(&s, count);
	}
	check_order(&s, count);
	object_set_finish(&s);
	for (int i = 0; i < NAMES; i++) {
		assert_int_equal(all[i]->refs, 1);
		object_unref(all[i]);
	}
	kind_registry_destroy(r);
}

static void test_after(void **state)
{
	struct kind_registry *r = test_kinds_create();
	const struct kind *k = test_kind(r);
	struct object_set s = OBJECT_SET_INIT;
	for (int i = 0; i < 600; i++) {
		struct object *o = make(k, i);
		object_set_put(&s, o);
		object_unref(o);
	}
	struct object_set_iter it = object_set_after(&s, "a", "n00003");
	assert_string_equal(object_set_next(&it)->name, "n00006");
	it = object_set_after(&s, "a", "n00004"); /* not there */
	assert_string_equal(object_set_next(&it)->name, "n00006");
	it = object_set_after(&s, "a", "zzz");
	assert_string_equal(object_set_next(&it)->namespace, "b");
	it = object_set_after(&s, "c", "zzz");
	assert_null(object_set_next(&it));
	object_set_finish(&s);
	kind_registry_destroy(r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_changes),
		cmocka_unit_test(test_after),
	};
	return cmocka_run_group_tests_name("object_set", tests, NULL, NULL);
}

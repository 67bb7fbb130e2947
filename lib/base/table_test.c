#include "lib/base/random.h"
#include "lib/base/table.h"

#include <stdio.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void *value(size_t n)
{
	return (void *)(uintptr_t)(n + 1);
}

static const char *key(size_t n)
{
	static char room[32];

	snprintf(room, sizeof(room), "key-%zu", n);
	return room;
}

static void test_basics(void **state)
{
	struct table t = TABLE_INIT;

	assert_null(table_get(&t, "a"));
	assert_null(table_remove(&t, "a"));
	assert_null(table_set(&t, "a", value(1)));
	assert_ptr_equal(table_set(&t, "a", value(2)), value(1));
	assert_int_equal(t.count, 1);
	assert_ptr_equal(table_get_n(&t, "abc", 1), value(2));
	assert_null(table_get_n(&t, "abc", 2));
	assert_null(table_set(&t, "", value(3)));
	assert_ptr_equal(table_get(&t, ""), value(3));
	assert_ptr_equal(table_remove(&t, "a"), value(2));
	assert_null(table_get(&t, "a"));
	table_finish(&t);
	assert_null(table_get(&t, ""));
}

/* Against a plain array, with about as many removals as additions. */
static void test_random_against_model(void **state)
{
	enum { KEYS = 500 };
	struct random r = random_seeded(7);
	struct table t = TABLE_INIT;
	void *model[KEYS] = {0};
	size_t count = 0;

	for (size_t step = 0; step < 50000; step++) {
		size_t n = random_below(&r, KEYS);

		if (random_below(&r, 2)) {
			assert_ptr_equal(table_set(&t, key(n), value(step)), model[n]);
			count += !model[n];
			model[n] = value(step);
		} else {
			assert_ptr_equal(table_remove(&t, key(n)), model[n]);
			count -= !!model[n];
			model[n] = NULL;
		}
		assert_int_equal(t.count, count);
	}
	for (size_t n = 0; n < KEYS; n++)
		assert_ptr_equal(table_get(&t, key(n)), model[n]);
	table_finish(&t);
}

/* Coming and going keys must not make the table grow for ever. */
static void test_churn_stays_small(void **state)
{
	struct table t = TABLE_INIT;

	for (size_t i = 0; i < 20000; i++) {
		table_set(&t, key(i), value(i));
		if (i >= 10)
			assert_ptr_equal(table_remove(&t, key(i - 10)), value(i - 10));
	}
	assert_int_equal(t.count, 10);
	assert_true(t.room <= 64);
	table_finish(&t);
}

static void test_iterate_and_remove(void **state)
{
	struct table t = TABLE_INIT;
	unsigned char seen[1000] = {0};
	size_t count = 0;

	for (size_t i = 0; i < ARRAY_LEN(seen); i++)
		table_set(&t, key(i), value(i));
	for (struct table_iter it = table_iterate(&t); table_next(&it); count++) {
		size_t n = (size_t)(uintptr_t)it.value - 1;

		assert_string_equal(it.key, key(n));
		assert_false(seen[n]);
		seen[n] = 1;
		if (n % 3 == 0)
			table_remove(&t, it.key);
	}
	assert_int_equal(count, ARRAY_LEN(seen));
	count = 0;
	for (struct table_iter it = table_iterate(&t); table_next(&it); count++)
		assert_true(((uintptr_t)it.value - 1) % 3 != 0);
	assert_int_equal(count, t.count);
	table_finish(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_basics),
		cmocka_unit_test(test_random_against_model),
		cmocka_unit_test(test_churn_stays_small),
		cmocka_unit_test(test_iterate_and_remove),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

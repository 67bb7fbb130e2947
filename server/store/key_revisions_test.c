/* Revisions by hash, against a plain array, with hashes that collide in their slots. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "server/store/key_revisions.h"

enum { KEYS = 3000 };

/* Many hashes share their low bits: long runs of slots. */
static uint64_t hash_of(size_t i)
{
	return (uint64_t)(i % 50) | (uint64_t)i << 32;
}

static void test_against_array(void **state)
{
	static uint64_t model[KEYS];
	struct key_revisions m = {0};
	unsigned seed = 3;
	size_t count = 0;
	assert_int_equal(key_revisions_get(&m, 5), 0);
	key_revisions_set(&m, 5, 0);
	for (uint64_t step = 1; step < 60000; step++) {
		size_t i = (size_t)rand_r(&seed) % KEYS;
		/* Grows for a while, then shrinks to nothing. */
		bool put = (uint64_t)rand_r(&seed) % 60000 > step;
		count += put && !model[i];
		count -= !put && model[i];
		model[i] = put ? step : 0;
		key_revisions_set(&m, hash_of(i), model[i]);
		assert_int_equal(m.count, count);
		if (step % 997 == 0)
			for (size_t k = 0; k < KEYS; k++)
				assert_int_equal(key_revisions_get(&m, hash_of(k)), model[k]);
	}
	for (size_t k = 0; k < KEYS; k++)
		key_revisions_set(&m, hash_of(k), 0);
	assert_int_equal(m.count, 0);
	assert_true(m.room <= 256);
	key_revisions_finish(&m);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_against_array)};
	return cmocka_run_group_tests_name("key_revisions", tests, NULL, NULL);
}

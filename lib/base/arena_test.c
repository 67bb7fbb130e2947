#include "lib/base/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void test_alignment_and_contents(void **state)
{
	struct arena a = ARENA_INIT;
	char *all[500];

	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		all[i] = arena_alloc(&a, i + 1);
		assert_int_equal((uintptr_t)all[i] % 16, 0);
		memset(all[i], (int)(i & 0xff), i + 1);
	}
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		for (size_t k = 0; k <= i; k++)
			assert_int_equal((unsigned char)all[i][k], i & 0xff);
	assert_int_equal(a.used_bytes, 500 * 501 / 2);
	arena_finish(&a);
	assert_int_equal(a.used_bytes, 0);
}

static void test_zero_size(void **state)
{
	struct arena a = ARENA_INIT;
	char *p = arena_alloc(&a, 0), *q = arena_alloc(&a, 0);

	assert_non_null(p);
	assert_ptr_not_equal(p, q);
	arena_finish(&a);
}

static void test_big_and_small(void **state)
{
	struct arena a = ARENA_INIT;
	char *small = arena_strdup(&a, "abc"), *big = arena_zalloc(&a, 5u << 20);

	assert_int_equal(big[(5u << 20) - 1], 0);
	assert_string_equal(small, "abc");
	/* The block of the small one is still in use: the next one lands close to it. */
	char *next = arena_strdup(&a, "def");
	assert_true(next > small && next < small + 4096);
	arena_finish(&a);
}

static void test_grow(void **state)
{
	struct arena a = ARENA_INIT;
	char *p = arena_alloc(&a, 10);

	memcpy(p, "0123456789", 10);
	assert_ptr_equal(arena_grow(&a, p, 10, 100), p); /* the newest: in place */
	arena_alloc(&a, 1);
	char *q = arena_grow(&a, p, 100, 200);
	assert_ptr_not_equal(q, p);
	assert_memory_equal(q, "0123456789", 10);
	q = arena_grow(&a, q, 200, 1u << 20);
	assert_memory_equal(q, "0123456789", 10);
	q[(1u << 20) - 1] = 1;
	assert_non_null(arena_grow(&a, NULL, 0, 8));
	arena_finish(&a);
}

static void test_reset_keeps_one_block(void **state)
{
	struct arena a = ARENA_INIT;

	for (int i = 0; i < 1000; i++)
		arena_alloc(&a, 100);
	arena_reset(&a);
	assert_non_null(a.head);
	assert_int_equal(a.used_bytes, 0);
	struct arena_block *kept = a.head;
	char *p = arena_zalloc(&a, 1000);
	assert_int_equal(p[999], 0);
	assert_ptr_equal(a.head, kept);
	/* A huge block is not kept. */
	arena_finish(&a);
	arena_alloc(&a, 64u << 20);
	arena_reset(&a);
	assert_null(a.head);
	assert_string_equal(arena_strdup(&a, "again"), "again");
	arena_finish(&a);
}

static void test_text(void **state)
{
	struct arena a = ARENA_INIT;
	char *s = arena_printf(&a, "%0500d|%s", 7, "x");

	assert_int_equal(strlen(s), 502);
	assert_string_equal(s + 499, "7|x");
	assert_string_equal(arena_printf(&a, "%d", 5), "5");
	assert_memory_equal(arena_memdup(&a, "a\0b", 3), "a\0b", 4);
	assert_string_equal(arena_memdup(&a, NULL, 0), "");
	arena_finish(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alignment_and_contents),
		cmocka_unit_test(test_zero_size),
		cmocka_unit_test(test_big_and_small),
		cmocka_unit_test(test_grow),
		cmocka_unit_test(test_reset_keeps_one_block),
		cmocka_unit_test(test_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

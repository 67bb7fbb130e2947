#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "lib/base/listing.h"
#include "lib/base/str.h"

static void test_words(void **state)
{
	(void)state;
	struct arena a = ARENA_INIT;
	struct listing l = {.between = ", "};
	assert_string_equal(listing_take(&l, &a), "");
	listing_add(&l, "%s", "a");
	listing_add(&l, "\"%s\"", "b");
	listing_add(&l, "%d", 3);
	assert_int_equal(l.count, 3);
	assert_string_equal(listing_take(&l, &a), "a, \"b\", 3");
	assert_int_equal(l.count, 0);
	listing_add(&l, "c");
	assert_string_equal(listing_take(&l, &a), "c");
	arena_finish(&a);
}

static void test_bounds(void **state)
{
	(void)state;
	struct arena a = ARENA_INIT;
	struct listing l = {.between = ","};
	for (int i = 0; i < LISTING_MAX; i++)
		listing_add(&l, "x");
	assert_false(l.full);
	for (int i = 0; i < 1000; i++)
		listing_add(&l, "x");
	const char *text = listing_take(&l, &a);
	assert_int_equal(strlen(text), 2 * LISTING_MAX + 3);
	assert_true(str_has_suffix(text, "x,x,..."));

	char *big = arena_alloc(&a, LISTING_BYTES_MAX + 1);
	memset(big, 'x', LISTING_BYTES_MAX - 1);
	memcpy(big + LISTING_BYTES_MAX - 1, "\xc3", 2);
	listing_add(&l, "%s\xa9", big); /* e with an accent, across the bound */
	listing_add(&l, "more");
	text = listing_take(&l, &a);
	assert_int_equal(strlen(text), LISTING_BYTES_MAX + 3);
	assert_true(str_has_suffix(text, "x?..."));
	assert_true(utf8_valid(text, strlen(text)));
	arena_finish(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_bounds),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

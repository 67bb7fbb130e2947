#include "server/api/allocator.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void test_every_number_once(void **state)
{
	struct allocator a;
	struct random r = random_seeded(1);
	uint32_t n, seen = 0;
	allocator_init(&a, 200);
	for (unsigned i = 0; i < 150; i++) {
		assert_int_equal(allocator_take_any(&a, 50, &r, &n), 0);
		assert_in_range(n, 50, 199);
		seen++;
	}
	assert_int_equal(seen, a.taken);
	assert_int_equal(allocator_take_any(&a, 50, &r, &n), -ENOSPC);
	assert_int_equal(allocator_take_first(&a, 0, &n), 0);
	assert_int_equal(n, 0);
	allocator_give(&a, 77);
	assert_int_equal(allocator_take_any(&a, 50, &r, &n), 0);
	assert_int_equal(n, 77);
	assert_int_equal(allocator_take(&a, 77), -EEXIST);
	assert_int_equal(allocator_take(&a, 200), -ERANGE);
	allocator_give(&a, 5000);
	allocator_finish(&a);
}

static void test_claims(void **state)
{
	_cleanup_(arena_finish) struct arena arena = ARENA_INIT;
	struct allocator a;
	struct claim *claims = NULL;
	allocator_init(&a, 10);
	assert_int_equal(allocator_take(&a, 1), 0);
	assert_int_equal(allocator_take(&a, 2), 0);
	claim_add(&arena, &claims, &a, 2, false); /* taken by this request */
	claim_add(&arena, &claims, &a, 1, true);  /* given up by it */
	claims_settle(&claims, false);
	assert_true(allocator_taken(&a, 1));
	assert_false(allocator_taken(&a, 2));
	assert_int_equal(allocator_take(&a, 2), 0);
	claim_add(&arena, &claims, &a, 2, false);
	claim_add(&arena, &claims, &a, 1, true);
	claims_settle(&claims, true);
	assert_false(allocator_taken(&a, 1));
	assert_true(allocator_taken(&a, 2));
	allocator_finish(&a);
}

static void test_ranges(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct ip_range r;
	assert_int_equal(ip_range_parse("10.96.0.0/16", &r), 0);
	assert_int_equal(r.prefix, 16);
	assert_string_equal(ip_format(&a, r.base + 257), "10.96.1.1");
	assert_int_equal(ip_range_parse("10.96.3.4/16", &r), 0);
	assert_string_equal(ip_format(&a, r.base), "10.96.0.0");
	assert_int_equal(ip_range_parse("10.96.0.0", &r), -EINVAL);
	assert_int_equal(ip_range_parse("10.96.0.0/33", &r), -EINVAL);
	assert_int_equal(ip_range_parse("::/64", &r), -EINVAL);
	uint32_t ip;
	assert_int_equal(ip_parse("1.2.3", &ip), -EINVAL);
	assert_int_equal(ip_parse("255.255.255.255", &ip), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_number_once),
		cmocka_unit_test(test_claims),
		cmocka_unit_test(test_ranges),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

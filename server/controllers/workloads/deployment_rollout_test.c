#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "server/controllers/workloads/deployment_rollout.h"

static struct rollout_limits limits(int64_t replicas, const char *surge, const char *unavailable)
{
	struct arena a = ARENA_INIT;
	struct rollout_limits l =
		rollout_limits(replicas, surge ? json_new_string(&a, surge) : NULL,
			unavailable ? json_new_string(&a, unavailable) : NULL);
	arena_finish(&a);
	return l;
}

static struct rollout_limits numbers(int64_t replicas, int64_t surge, int64_t unavailable)
{
	struct arena a = ARENA_INIT;
	struct rollout_limits l =
		rollout_limits(replicas, json_new_int(&a, surge), json_new_int(&a, unavailable));
	arena_finish(&a);
	return l;
}

static void test_limits(void **state)
{
	struct rollout_limits l = limits(10, NULL, NULL); /* 2.5 up, 2.5 down */
	assert_int_equal(l.surge, 3);
	assert_int_equal(l.unavailable, 2);
	l = limits(1, NULL, NULL);
	assert_int_equal(l.surge, 1);
	assert_int_equal(l.unavailable, 0);
	l = limits(3, "0%", "10%"); /* both round to 0: something must give */
	assert_int_equal(l.surge, 0);
	assert_int_equal(l.unavailable, 1);
	l = limits(4, "100%", "100%");
	assert_int_equal(l.surge, 4);
	assert_int_equal(l.unavailable, 4);
	l = numbers(2, 0, 5); /* not more than there are */
	assert_int_equal(l.unavailable, 2);
	l = numbers(0, 0, 0);
	assert_int_equal(l.unavailable, 0);
}

static void test_grow(void **state)
{
	struct rollout_limits l = numbers(10, 3, 2);
	assert_int_equal(rollout_grow_new(&l, 0, 10), 3); /* up to 13 in all */
	assert_int_equal(rollout_grow_new(&l, 3, 13), 3); /* full */
	assert_int_equal(rollout_grow_new(&l, 3, 11), 5);
	assert_int_equal(rollout_grow_new(&l, 9, 9), 10);   /* never above what is wanted */
	assert_int_equal(rollout_grow_new(&l, 12, 12), 10); /* shrinks to it */
	assert_int_equal(rollout_grow_new(&l, 0, 0), 10);
}

static void test_shrink(void **state)
{
	struct rollout_limits l = numbers(10, 3, 2);
	struct rollout_set new = {"n", 3, 0, 13, 2, 0}, old = {"o", 10, 10, 13, 1, 0};
	struct rollout_set *olds[] = {&old};
	/* All 10 old ones are available, 8 must stay: 2 go while none of the new 3 is ready. */
	assert_int_equal(rollout_shrink_old(&l, &new, olds, 1), 2);
	assert_int_equal(old.target, 8);
	/* The 3 new are ready: 13 - 8 = 5 go. */
	new.available = 3;
	assert_int_equal(rollout_shrink_old(&l, &new, olds, 1), 5);
	assert_int_equal(old.target, 5);
	/* 8 old, of which 3 are broken, new ones not ready: the broken go, the 5 others stay. */
	new = (struct rollout_set){"n", 5, 0, 13, 2, 0};
	old = (struct rollout_set){"o", 8, 5, 13, 1, 0};
	assert_int_equal(rollout_shrink_old(&l, &new, olds, 1), 0);
	assert_int_equal(old.target, 8);
	new.replicas = 2; /* 10 in all, may go: 10 - 8 - 2 = 0 */
	assert_int_equal(rollout_shrink_old(&l, &new, olds, 1), 0);
	new = (struct rollout_set){
		"n", 5, 5, 13, 2, 0}; /* 13 - 8 - 0 = 5: 3 idle, then 10 - 8 = 2 */
	assert_int_equal(rollout_shrink_old(&l, &new, olds, 1), 5);
	assert_int_equal(old.target, 3);
	/* The oldest set goes first. */
	struct rollout_set older = {"p", 4, 4, 13, 0, 0};
	struct rollout_set *two[] = {&old, &older};
	old = (struct rollout_set){"o", 4, 4, 13, 1, 0};
	new = (struct rollout_set){"n", 5, 5, 13, 2, 0};
	assert_int_equal(rollout_shrink_old(&l, &new, two, 2), 5);
	assert_int_equal(older.target, 0);
	assert_int_equal(old.target, 3);
	/* Nothing left to shrink. */
	old.replicas = older.replicas = 0;
	assert_int_equal(rollout_shrink_old(&l, &new, two, 2), 0);
}

static void test_spread(void **state)
{
	/* 10 replicas with surge 3: 8 old, 5 new (the documentation's example), scaled to 15 with
	 * surge 3: 5 more in all. Old: 8 * 18 / 13 = 11.08 -> 11, new: 5 * 18 / 13 = 6.9 -> 7. */
	struct rollout_limits l = numbers(15, 3, 2);
	struct rollout_set old = {"o", 8, 8, 13, 1, 0}, new = {"n", 5, 0, 13, 2, 0};
	struct rollout_set *sets[] = {&new, &old};
	rollout_spread(&l, 13, sets, 2);
	assert_int_equal(old.target, 11);
	assert_int_equal(new.target, 7);
	/* Down to 5: 8 in all. Old 8 * 8 / 13 = 4.9 -> 5, new 5 * 8 / 13 = 3.08 -> 3. */
	l = numbers(5, 3, 2);
	rollout_spread(&l, 13, sets, 2);
	assert_int_equal(old.target, 5);
	assert_int_equal(new.target, 3);
	/* To nothing. */
	l = numbers(0, 3, 2);
	rollout_spread(&l, 13, sets, 2);
	assert_int_equal(old.target, 0);
	assert_int_equal(new.target, 0);
	/* Equal sizes, one more: the newer one grows. 2 * 5 / 4 = 2.5 -> 3 for the first, nothing
	 * left. */
	l = numbers(5, 0, 1);
	old = (struct rollout_set){"o", 2, 2, 4, 1, 0};
	new = (struct rollout_set){"n", 2, 2, 4, 2, 0};
	rollout_spread(&l, 4, sets, 2);
	assert_int_equal(new.target, 3);
	assert_int_equal(old.target, 2);
	/* One less: the older one shrinks. 2 * 3 / 4 = 1.5 -> 2, 2: the left-over goes to the
	 * first. */
	l = numbers(3, 0, 1);
	rollout_spread(&l, 4, sets, 2);
	assert_int_equal(old.target, 1);
	assert_int_equal(new.target, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_grow),
		cmocka_unit_test(test_shrink),
		cmocka_unit_test(test_spread),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

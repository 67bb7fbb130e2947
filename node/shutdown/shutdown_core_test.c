/* shutdown_core_test.c - groups of pods and the order of their end, on a clock of our own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "node/shutdown/shutdown_core.h"

#define T0 (1000 * NS_PER_S)

static void regular_and_critical(void **state)
{
	struct node_config c = *node_config_default();
	struct shutdown_group g[SHUTDOWN_GROUPS_MAX];

	assert_int_equal(shutdown_groups(&c, g), 0);
	c.shutdown_grace_ms = 30000;
	c.shutdown_grace_critical_ms = 10000;
	assert_int_equal(shutdown_groups(&c, g), 2);
	assert_int_equal(g[0].grace_s, 20);
	assert_int_equal(g[1].grace_s, 10);
	assert_int_equal(shutdown_total_s(g, 2), 30);
	assert_int_equal(shutdown_group_of(g, 2, -5), 0);
	assert_int_equal(shutdown_group_of(g, 2, 1999999999), 0);
	assert_int_equal(shutdown_group_of(g, 2, 2000000000), 1);
}

static void by_priority(void **state)
{
	static const struct node_shutdown_step steps[] = {{100000, 10}, {0, 60}, {10000, 20}};
	struct node_config c = *node_config_default();
	struct shutdown_group g[SHUTDOWN_GROUPS_MAX];

	c.shutdown_by_priority = steps;
	c.shutdown_by_priority_count = 3;
	assert_int_equal(shutdown_groups(&c, g), 3);
	assert_int_equal(g[0].priority, 0);
	assert_int_equal(g[1].priority, 10000);
	assert_int_equal(g[2].priority, 100000);
	assert_int_equal(shutdown_group_of(g, 3, -1), 0);
	assert_int_equal(shutdown_group_of(g, 3, 99999), 1);
	assert_int_equal(shutdown_group_of(g, 3, 2000000000), 2);
	assert_int_equal(shutdown_total_s(g, 3), 90);
}

static void one_after_the_other(void **state)
{
	static const struct shutdown_group g[] = {{0, 20}, {2000000000, 10}};
	struct shutdown_core c;

	shutdown_core_init(&c, g, 2, T0);
	assert_int_equal(shutdown_core_next(&c, true, T0).action, SHUTDOWN_WAIT);
	shutdown_core_prepare(&c, true, T0);
	struct shutdown_step s = shutdown_core_next(&c, true, T0);
	assert_int_equal(s.action, SHUTDOWN_END_GROUP);
	assert_int_equal(c.at, 0);
	assert_int_equal(s.wake_ns, T0 + 20 * NS_PER_S);
	assert_int_equal(shutdown_core_next(&c, true, T0 + 5 * NS_PER_S).action, SHUTDOWN_WAIT);
	/* They have gone early. */
	s = shutdown_core_next(&c, false, T0 + 6 * NS_PER_S);
	assert_int_equal(s.action, SHUTDOWN_END_GROUP);
	assert_int_equal(c.at, 1);
	assert_int_equal(s.wake_ns, T0 + 16 * NS_PER_S);
	/* These don't: their time ends. */
	assert_int_equal(
		shutdown_core_next(&c, true, T0 + 16 * NS_PER_S - 1).action, SHUTDOWN_WAIT);
	assert_int_equal(shutdown_core_next(&c, true, T0 + 16 * NS_PER_S).action, SHUTDOWN_LET_GO);
	assert_int_equal(c.sm.state, SHUTDOWN_ENDED);
	assert_int_equal(shutdown_core_next(&c, false, T0 + 17 * NS_PER_S).action, SHUTDOWN_WAIT);
}

static void called_off(void **state)
{
	static const struct shutdown_group g[] = {{0, 20}, {2000000000, 10}};
	struct shutdown_core c;

	shutdown_core_init(&c, g, 2, T0);
	shutdown_core_prepare(&c, true, T0);
	shutdown_core_prepare(&c, true, T0); /* said twice */
	assert_int_equal(shutdown_core_next(&c, true, T0).action, SHUTDOWN_END_GROUP);
	shutdown_core_prepare(&c, false, T0 + NS_PER_S);
	assert_int_equal(shutdown_core_next(&c, true, T0 + 99 * NS_PER_S).action, SHUTDOWN_WAIT);
	assert_int_equal(c.sm.state, SHUTDOWN_HOLDING);
	shutdown_core_prepare(&c, true, T0 + 100 * NS_PER_S);
	assert_int_equal(
		shutdown_core_next(&c, true, T0 + 100 * NS_PER_S).action, SHUTDOWN_END_GROUP);
	assert_int_equal(c.at, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(regular_and_critical),
		cmocka_unit_test(by_priority),
		cmocka_unit_test(one_after_the_other),
		cmocka_unit_test(called_off),
	};

	return cmocka_run_group_tests_name("shutdown", tests, NULL, NULL);
}

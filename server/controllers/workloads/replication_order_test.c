#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "server/controllers/workloads/replication_order.h"

#define NOW (INT64_C(1000000) * NS_PER_S)

static struct pod_view pods[8];
static struct object objects[8];
static struct deletion_rank ranks[8];
static size_t count;

/* A pod that runs, ready for the given seconds, made as long ago. */
static struct pod_view *add(const char *uid, int64_t ready_s)
{
	objects[count] = (struct object){.uid = uid, .name = uid};
	pods[count] = (struct pod_view){.node = "n",
		.phase = POD_RUNNING,
		.ready = ready_s > 0,
		.ready_since_ns = ready_s > 0 ? NOW - ready_s * NS_PER_S : 0,
		.created_ns = NOW - (ready_s + 10) * NS_PER_S};
	ranks[count] = (struct deletion_rank){.pod = &pods[count], .object = &objects[count]};
	return &pods[count++];
}

static void expect_at(const char *uids, int64_t now_ns)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const char *is = "";
	deletion_order(ranks, count, now_ns);
	for (size_t n = 0; n < count; n++)
		is = arena_printf(&a, "%s%s", is, ranks[n].object->uid);
	assert_string_equal(is, uids);
	count = 0;
}

static void expect(const char *uids)
{
	expect_at(uids, NOW);
}

static void test_order(void **state)
{
	add("a", 100);
	add("b", 100)->node = "";
	add("c", 100)->phase = POD_PENDING;
	add("d", 0);
	add("e", 100)->deletion_cost = -1;
	add("f", 100)->deletion_cost = 1;
	expect("bcdeaf");
	add("a", 100);
	add("b", 100);
	ranks[1].neighbours = 2;
	expect("ba");
	add("a", 100);
	add("b", 100)->restarts = 1;
	expect("ba");
}

static void test_times(void **state)
{
	/* 2, 40 and 50 (the same power of two: by uid), and 1000 seconds */
	add("d", 1000);
	add("c", 40);
	add("b", 50);
	add("a", 2);
	expect("abcd");
	add("a", 50);
	add("b", 40);
	expect_at("ba", 0); /* exactly */
	/* Ready since the same moment: restarts, then age. */
	add("a", 100)->created_ns = NOW - 5000 * NS_PER_S;
	add("b", 100);
	expect("ba");
	add("a", 100)->created_ns = 0;
	add("b", 100);
	expect("ab");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_times),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "server/controllers/meta.h"
#include "server/controllers/workloads/disruption_plan.h"

static struct json *parse(struct arena *a, const char *text)
{
	struct json *v;
	char *copy = arena_strdup(a, text);
	for (char *c = copy; *c; c++)
		if (*c == '\'')
			*c = '"';
	assert_int_equal(json_parse(a, copy, strlen(copy), NULL, &v, NULL), 0);
	return v;
}

/* Pods: a letter each: r ready, u not, d ready and being deleted. Their names are p0, p1, ... */
static void check(const char *spec, const char *pods, int64_t scale, int64_t expected,
	int64_t desired, int64_t current, int64_t allowed)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct budget_pod items[16];
	struct budget b = {.spec = parse(&a, spec), .pods = items, .scale = scale};
	for (const char *c = pods; *c; c++, b.count++)
		items[b.count] = (struct budget_pod){
			arena_printf(&a, "p%zu", b.count), *c == 'd', *c == 'r' || *c == 'd'};
	struct budget_status s = budget_status(&a, &b);
	assert_int_equal(s.expected, expected);
	assert_int_equal(s.desired, desired);
	assert_int_equal(s.current, current);
	assert_int_equal(s.allowed, allowed);
	assert_null(s.disrupted);
	assert_int_equal(s.again_ms, -1);
}

static void test_numbers(void **state)
{
	check("{'minAvailable':2}", "rrr", 99, 3, 2, 3, 1);
	check("{'minAvailable':2}", "ru", 99, 2, 2, 1, 0);
	check("{'minAvailable':2}", "rrd", 99, 3, 2, 2, 0);
	check("{'minAvailable':0}", "rrr", 99, 3, 0, 3, 3);
	check("{'minAvailable':0}", "", 99, 0, 0, 0, 0);
	check("{'minAvailable':'50%'}", "rrr", 5, 5, 3, 3, 0); /* up */
	check("{'minAvailable':'50%'}", "rrrr", 4, 4, 2, 4, 2);
	check("{'maxUnavailable':1}", "rrr", 3, 3, 2, 3, 1);
	check("{'maxUnavailable':'30%'}", "rrrr", 4, 4, 2, 4, 2); /* up */
	check("{'maxUnavailable':10}", "rr", 2, 2, 0, 2, 2);
	check("{'maxUnavailable':1}", "rr", 0, 0, 0, 2, 0);
	check("{}", "rr", 2, 0, 0, 2, 0);
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	assert_true(budget_needs_scale(parse(&a, "{'maxUnavailable':1}")));
	assert_true(budget_needs_scale(parse(&a, "{'minAvailable':'1%'}")));
	assert_false(budget_needs_scale(parse(&a, "{'minAvailable':1}")));
}

static void test_disrupted(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct budget_pod pods[] = {
		{"p0", false, true}, {"p1", false, true}, {"p2", true, true}, {"p3", false, true}};
	struct budget b = {.spec = parse(&a, "{'minAvailable':1}"),
		.pods = pods,
		.count = 4,
		.disrupted =
			parse(&a, "{'p0':'2026-01-01T00:00:00Z','p2':'2026-01-01T00:00:00Z',"
				  "'p3':'2025-12-31T23:58:30Z','gone':'2026-01-01T00:00:00Z'}")};
	b.now_ns = meta_time_ns(json_new_string(&a, "2026-01-01T00:00:20Z"));
	struct budget_status s = budget_status(&a, &b);
	/* p0 is as good as gone, and p3 for ten seconds more. */
	assert_int_equal(s.current, 1);
	assert_int_equal(json_count(s.disrupted), 2);
	assert_int_equal(s.kept_count, 0);
	assert_in_range(s.again_ms, 10000, 10001);
	struct json *patch = budget_disrupted_patch(&a, b.disrupted, s.disrupted);
	assert_true(json_is(json_get(patch, "gone"), JSON_NULL));
	assert_true(json_is(json_get(patch, "p2"), JSON_NULL));
	assert_null(budget_disrupted_patch(&a, s.disrupted, s.disrupted));
	assert_null(budget_disrupted_patch(&a, NULL, NULL));

	b.now_ns += 20 * NS_PER_S;
	s = budget_status(&a, &b);
	assert_int_equal(s.current, 2);
	assert_int_equal(s.kept_count, 1);
	assert_string_equal(s.kept[0]->name, "p3");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_disrupted),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

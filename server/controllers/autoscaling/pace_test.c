#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/base/clock.h"
#include "server/controllers/autoscaling/pace.h"

static struct pace_limits limits_of(const char *spec)
{
	struct arena a = ARENA_INIT;
	struct json *doc;
	struct pace_limits l;
	assert_int_equal(json_parse(&a, spec, strlen(spec), NULL, &doc, NULL), 0);
	pace_limits_read(doc, &l);
	arena_finish(&a);
	return l;
}

static int64_t now_s = 10000;
static struct pace_verdict decide(
	const struct pace_limits *l, struct pace_memory *m, int64_t current, int64_t advised)
{
	struct pace_verdict v = pace_decide(l, m, current, advised, now_s * NS_PER_S);
	pace_done(m, current, v.replicas, now_s * NS_PER_S);
	return v;
}

static void test_plain(void **state)
{
	struct pace_limits l = limits_of("{\"minReplicas\":2,\"maxReplicas\":20}");
	struct pace_memory m = {0};
	struct pace_verdict v = decide(&l, &m, 2, 3);
	assert_int_equal(v.replicas, 3);
	assert_false(v.limited);
	assert_string_equal(v.limited_reason, "DesiredWithinRange");
	v = decide(&l, &m, 3, 12);
	assert_int_equal(v.replicas, 6);
	assert_string_equal(v.limited_reason, "ScaleUpLimit");
	v = decide(&l, &m, 15, 40);
	assert_int_equal(v.replicas, 20);
	assert_string_equal(v.limited_reason, "TooManyReplicas");
	/* From one to four at once. */
	v = decide(&l, &m, 1, 9);
	assert_int_equal(v.replicas, 4);
	pace_memory_finish(&m);
}

/* The first measurement after a start is low: no haste. */
static void test_met(void **state)
{
	struct pace_limits l = limits_of("{\"minReplicas\":1,\"maxReplicas\":20}");
	struct pace_memory m = {0};
	pace_met(&m, 4, now_s * NS_PER_S);
	now_s += 130;
	pace_met(&m, 4, now_s * NS_PER_S);
	assert_int_equal(decide(&l, &m, 4, 0).replicas, 4);
	assert_int_equal(decide(&l, &m, 4, 6).replicas, 6);
	now_s += 301;
	pace_met(&m, 6, now_s * NS_PER_S);
	assert_int_equal(decide(&l, &m, 6, 0).replicas, 1);
	pace_memory_finish(&m);
}

static void test_plain_down(void **state)
{
	struct pace_limits l = limits_of("{\"minReplicas\":2,\"maxReplicas\":20}");
	struct pace_memory m = {0};
	struct pace_verdict v = decide(&l, &m, 10, 10);
	assert_string_equal(v.able_reason, "ReadyForNewScale");
	now_s += 60;
	v = decide(&l, &m, 10, 3);
	assert_int_equal(v.replicas, 10);
	assert_string_equal(v.able_reason, "ScaleDownStabilized");
	now_s += 239;
	v = decide(&l, &m, 10, 4);
	assert_int_equal(v.replicas, 10);
	/* The advice of ten is 300 s old: the highest since then is four. */
	now_s += 1;
	v = decide(&l, &m, 10, 3);
	assert_int_equal(v.replicas, 4);
	now_s += 1000;
	v = decide(&l, &m, 4, 0);
	assert_int_equal(v.replicas, 2);
	assert_string_equal(v.limited_reason, "TooFewReplicas");
	assert_string_equal(v.limited_message, "the desired replica count is zero");
	pace_memory_finish(&m);
}

static void test_policies(void **state)
{
	struct pace_limits l = limits_of(
		"{\"minReplicas\":1,\"maxReplicas\":100,\"behavior\":{\"scaleUp\":{\"policies\":["
		"{\"type\":\"Pods\",\"value\":4,\"periodSeconds\":60},"
		"{\"type\":\"Percent\",\"value\":10,\"periodSeconds\":60}]},"
		"\"scaleDown\":{\"stabilizationWindowSeconds\":0,\"selectPolicy\":\"Min\","
		"\"policies\":[{\"type\":\"Pods\",\"value\":5,\"periodSeconds\":60},"
		"{\"type\":\"Percent\",\"value\":50,\"periodSeconds\":60}]}}}");
	struct pace_memory m = {0};
	struct pace_verdict v = decide(&l, &m, 10, 90);
	assert_int_equal(v.replicas, 14);
	assert_string_equal(v.limited_reason, "ScaleUpLimit");
	/* All of this minute's change is used up. */
	now_s += 30;
	assert_int_equal(decide(&l, &m, 14, 90).replicas, 14);
	now_s += 31;
	assert_int_equal(decide(&l, &m, 14, 90).replicas, 18);
	now_s += 61;
	/* Ten percent of 60 are more than four. */
	assert_int_equal(decide(&l, &m, 60, 90).replicas, 66);
	now_s += 61;
	/* Down by the smaller of five and the half. */
	v = decide(&l, &m, 66, 1);
	assert_int_equal(v.replicas, 61);
	assert_string_equal(v.limited_reason, "ScaleDownLimit");
	now_s += 61;
	assert_int_equal(decide(&l, &m, 4, 1).replicas, 2);
	pace_memory_finish(&m);
}

static void test_disabled_and_windows(void **state)
{
	struct pace_limits l =
		limits_of("{\"minReplicas\":1,\"maxReplicas\":100,\"behavior\":{\"scaleUp\":{"
			  "\"stabilizationWindowSeconds\":120,"
			  "\"policies\":[{\"type\":\"Pods\",\"value\":50,\"periodSeconds\":15}]},"
			  "\"scaleDown\":{\"selectPolicy\":\"Disabled\"}}}");
	struct pace_memory m = {0};
	now_s += 5000;
	assert_int_equal(decide(&l, &m, 10, 10).replicas, 10);
	now_s += 60;
	struct pace_verdict v = decide(&l, &m, 10, 30);
	assert_int_equal(v.replicas, 10);
	assert_string_equal(v.able_reason, "ScaleUpStabilized");
	now_s += 61;
	assert_int_equal(decide(&l, &m, 10, 30).replicas, 30);
	now_s += 1000;
	v = decide(&l, &m, 30, 5);
	assert_int_equal(v.replicas, 30);
	assert_string_equal(v.limited_reason, "ScaleDownLimit");
	pace_memory_finish(&m);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_plain),
		cmocka_unit_test(test_met),
		cmocka_unit_test(test_plain_down),
		cmocka_unit_test(test_policies),
		cmocka_unit_test(test_disabled_and_windows),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

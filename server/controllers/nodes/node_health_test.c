#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/base/clock.h"
#include "server/controllers/nodes/node_health.h"

#define NOW (INT64_C(1700000000) * NS_PER_S)

static struct json *parse(struct arena *a, const char *text)
{
	struct json *doc;
	struct err err = ERR_INIT;
	if (json_parse(a, text, strlen(text), NULL, &doc, &err) < 0)
		fail_msg("%s", err.msg);
	return doc;
}

static void test_silent_node(void **state)
{
	struct arena a = ARENA_INIT;
	struct json *node =
		parse(&a, "{\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"True\"},"
			  "{\"type\":\"Other\",\"status\":\"True\"}]}}");
	struct json *c = node_conditions_unknown(&a, node, NOW);
	assert_int_equal(json_count(c), 5); /* three that were never reported are added */
	assert_string_equal(json_path_str(c, "[0].status"), "Unknown");
	assert_string_equal(json_path_str(c, "[0].reason"), "NodeStatusUnknown");
	assert_string_equal(json_path_str(c, "[1].status"), "True");
	json_path_set(&a, node, "status.conditions", c);
	assert_ptr_equal(node_conditions_unknown(&a, node, NOW), c);
	assert_int_equal(node_state(node), NODE_UNKNOWN);
	arena_finish(&a);
}

static void test_taints(void **state)
{
	struct arena a = ARENA_INIT;
	struct json *node = parse(&a,
		"{\"spec\":{\"taints\":[{\"key\":\"mine\",\"effect\":\"NoSchedule\"}]},"
		"\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":\"False\"}]}}");
	struct json *t = node_taints(&a, node, false, false, NOW);
	assert_true(node_has_taint(t, "mine", "NoSchedule"));
	assert_true(node_has_taint(t, "node.kubernetes.io/not-ready", "NoSchedule"));
	assert_false(node_has_taint(t, "node.kubernetes.io/not-ready", "NoExecute"));
	json_path_set(&a, node, "spec.taints", node_taints(&a, node, true, false, NOW));
	assert_true(node_has_taint(
		json_path(node, "spec.taints"), "node.kubernetes.io/not-ready", "NoExecute"));
	/* False becomes Unknown: the eviction goes on under the other name. */
	json_path_set(&a, json_path(node, "status.conditions[0]"), "status",
		json_new_string(&a, "Unknown"));
	t = node_taints(&a, node, false, false, NOW);
	assert_true(node_has_taint(t, "node.kubernetes.io/unreachable", "NoExecute"));
	assert_false(node_has_taint(t, "node.kubernetes.io/not-ready", "NoExecute"));
	/* Everything is down: nobody is evicted. */
	t = node_taints(&a, node, false, true, NOW);
	assert_false(node_has_taint(t, "node.kubernetes.io/unreachable", "NoExecute"));
	/* Back again: only the user's stays. */
	json_path_set(
		&a, json_path(node, "status.conditions[0]"), "status", json_new_string(&a, "True"));
	t = node_taints(&a, node, false, false, NOW);
	assert_int_equal(json_count(t), 1);
	json_path_set(&a, node, "spec.taints", t);
	assert_ptr_equal(node_taints(&a, node, false, false, NOW), t);
	arena_finish(&a);
}

static void test_eviction_time(void **state)
{
	struct arena a = ARENA_INIT;
	/* 2023-11-14T22:13:20Z is NOW. */
	struct json *taints =
		parse(&a, "[{\"key\":\"node.kubernetes.io/unreachable\",\"effect\":\"NoExecute\","
			  "\"timeAdded\":\"2023-11-14T22:13:20Z\"},{\"key\":\"x\",\"effect\":"
			  "\"NoSchedule\"}]");
	assert_true(node_eviction_time_ns(taints, NULL, NOW + 5) == NOW + 5);
	struct json *t =
		parse(&a, "[{\"key\":\"node.kubernetes.io/unreachable\",\"operator\":\"Exists\","
			  "\"effect\":\"NoExecute\",\"tolerationSeconds\":300}]");
	assert_true(node_eviction_time_ns(taints, t, NOW) == NOW + 300 * NS_PER_S);
	t = parse(&a, "[{\"operator\":\"Exists\"}]");
	assert_true(node_eviction_time_ns(taints, t, NOW) == INT64_MAX);
	t = parse(&a, "[{\"key\":\"other\",\"operator\":\"Exists\"}]");
	assert_true(node_eviction_time_ns(taints, t, NOW) == NOW);
	/* The shortest of several counts. */
	t = parse(&a, "[{\"operator\":\"Exists\",\"tolerationSeconds\":60},{\"key\":\"node."
		      "kubernetes.io/unreachable\","
		      "\"operator\":\"Exists\",\"tolerationSeconds\":10}]");
	assert_true(node_eviction_time_ns(taints, t, NOW) == NOW + 10 * NS_PER_S);
	assert_true(node_eviction_time_ns(NULL, NULL, NOW) == INT64_MAX);
	arena_finish(&a);
}

static void test_zones(void **state)
{
	assert_int_equal(zone_state(3, 1), ZONE_NORMAL);
	assert_int_equal(zone_state(1, 1), ZONE_FULL);
	assert_int_equal(zone_state(3, 2), ZONE_NORMAL); /* 67 %, but only two */
	assert_int_equal(zone_state(5, 3), ZONE_PARTIAL);
	assert_int_equal(zone_state(6, 3), ZONE_NORMAL);
	assert_true(zone_interval_ns(ZONE_NORMAL, 3) == 10 * NS_PER_S);
	assert_true(zone_interval_ns(ZONE_PARTIAL, 5) == INT64_MAX);
	assert_true(zone_interval_ns(ZONE_PARTIAL, 51) == 100 * NS_PER_S);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_silent_node),
		cmocka_unit_test(test_taints),
		cmocka_unit_test(test_eviction_time),
		cmocka_unit_test(test_zones),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

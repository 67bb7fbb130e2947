#include "server/api/tables/table.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "lib/base/clock.h"

#define NOW "2025-01-02T00:00:00Z"

static struct kind_registry *registry;

static int setup(void **state)
{
	registry = kind_registry_create();
	return kind_registry_load_builtin(registry, NULL);
}

static int teardown(void **state)
{
	kind_registry_destroy(registry);
	return 0;
}

/* The cells of the one row that the object makes, as JSON text. */
static char *cells(struct arena *a, const char *group, const char *kind, const char *text)
{
	struct json *doc, *table;
	struct buf out = BUF_INIT;
	struct table_writer t = {.kind = kind_by_name(registry, group, "v1", kind),
		.version = "v1",
		.include = INCLUDE_NONE,
		.out = &out};
	assert_non_null(t.kind);
	assert_int_equal(time_parse_rfc3339(NOW, &t.now_ns), 0);
	assert_int_equal(json_parse(a, text, strlen(text), NULL, &doc, NULL), 0);
	table_begin(&t, "", true);
	table_add(&t, a, doc);
	table_end(&t);
	assert_int_equal(json_parse(a, out.data, out.size, NULL, &table, NULL), 0);
	buf_finish(&out);
	assert_int_equal(json_count(json_get(table, "columnDefinitions")),
		json_count(json_path(table, "rows[0].cells")));
	return json_text(a, json_path(table, "rows[0].cells"));
}

static void test_pods(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	assert_string_equal(
		cells(&a, "", "Pod",
			"{\"metadata\":{\"name\":\"p\",\"creationTimestamp\":\"2025-01-01T23:55:"
			"00Z\"},"
			"\"spec\":{\"nodeName\":\"n1\",\"containers\":[{\"name\":\"a\"},{\"name\":"
			"\"b\"}]},"
			"\"status\":{\"phase\":\"Running\",\"podIP\":\"10.244.0.5\","
			"\"containerStatuses\":["
			"{\"name\":\"a\",\"ready\":true,\"restartCount\":2,\"state\":{\"running\":{"
			"}},"
			"\"lastState\":{\"terminated\":{\"finishedAt\":\"2025-01-01T23:59:00Z\"}}},"
			"{\"name\":\"b\",\"ready\":false,\"restartCount\":0,\"state\":{\"waiting\":"
			"{"
			"\"reason\":\"CrashLoopBackOff\"}}}]}}"),
		"[\"p\",\"1/2\",\"CrashLoopBackOff\",\"2 (60s "
		"ago)\",\"5m\",\"10.244.0.5\",\"n1\",\"<none>\","
		"\"<none>\"]");
	assert_string_equal(
		cells(&a, "", "Pod",
			"{\"metadata\":{\"name\":\"p\",\"deletionTimestamp\":\"" NOW "\"},"
			"\"spec\":{\"containers\":[{\"name\":\"a\"}]},\"status\":{\"phase\":"
			"\"Running\"}}"),
		"[\"p\",\"0/"
		"1\",\"Terminating\",\"0\",\"<unknown>\",\"<none>\",\"<none>\",\"<none>\",\"<none>"
		"\"]");
	assert_string_equal(cells(&a, "", "Pod",
				    "{\"metadata\":{\"name\":\"p\"},\"spec\":{\"initContainers\":[{"
				    "\"name\":\"i\"},{"
				    "\"name\":\"j\"}],\"containers\":[{\"name\":\"a\"}]},"
				    "\"status\":{\"phase\":\"Pending\","
				    "\"initContainerStatuses\":[{\"name\":\"i\",\"state\":{"
				    "\"terminated\":{\"exitCode\":0}}}"
				    ",{\"name\":\"j\",\"state\":{\"running\":{}}}]}}"),
		"[\"p\",\"0/1\",\"Init:1/"
		"2\",\"0\",\"<unknown>\",\"<none>\",\"<none>\",\"<none>\",\"<none>\"]");
}

static void test_services(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	assert_string_equal(cells(&a, "", "Service",
				    "{\"metadata\":{\"name\":\"s\"},\"spec\":{\"type\":"
				    "\"NodePort\",\"clusterIP\":"
				    "\"10.96.1.2\",\"selector\":{\"b\":\"2\",\"a\":\"1\"},"
				    "\"ports\":[{\"port\":80,"
				    "\"nodePort\":30080,\"protocol\":\"TCP\"},{\"port\":53,"
				    "\"protocol\":\"UDP\"}]}}"),
		"[\"s\",\"NodePort\",\"10.96.1.2\",\"<none>\",\"80:30080/TCP,53/"
		"UDP\",\"<unknown>\",\"a=1,b=2\"]");
}

static void test_nodes(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	assert_string_equal(cells(&a, "", "Node",
				    "{\"metadata\":{\"name\":\"n\",\"labels\":{\"node-role."
				    "kubernetes.io/worker\":\"\","
				    "\"node-role.kubernetes.io/"
				    "control-plane\":\"\"}},\"spec\":{\"unschedulable\":true},"
				    "\"status\":{\"conditions\":[{\"type\":\"Ready\",\"status\":"
				    "\"True\"}],\"nodeInfo\":{"
				    "\"kubeletVersion\":\"v1\"},\"addresses\":[{\"type\":"
				    "\"InternalIP\",\"address\":"
				    "\"10.0.0.1\"}]}}"),
		"[\"n\",\"Ready,SchedulingDisabled\",\"control-plane,worker\",\"<unknown>\",\"v1\","
		"\"10.0.0.1\","
		"\"<none>\",\"<unknown>\",\"<unknown>\",\"<unknown>\"]");
}

static void test_workloads(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	assert_string_equal(
		cells(&a, "apps", "Deployment",
			"{\"metadata\":{\"name\":\"d\"},\"spec\":{\"replicas\":3,\"selector\":{"
			"\"matchLabels\":"
			"{\"a\":\"b\"}},\"template\":{\"spec\":{\"containers\":[{\"name\":\"x\","
			"\"image\":\"i\"},"
			"{\"name\":\"y\",\"image\":\"j\"}]}}},\"status\":{\"readyReplicas\":1}}"),
		"[\"d\",\"1/3\",0,0,\"<unknown>\",\"x,y\",\"i,j\",\"a=b\"]");
}

static void test_events(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	assert_string_equal(cells(&a, "", "Event",
				    "{\"metadata\":{\"name\":\"e\"},\"involvedObject\":{\"kind\":"
				    "\"Pod\",\"name\":\"p\"},"
				    "\"type\":\"Normal\",\"reason\":\"Pulled\",\"message\":"
				    "\"done\\n\",\"lastTimestamp\":"
				    "\"2025-01-01T23:59:30Z\",\"count\":4,\"source\":{"
				    "\"component\":\"kubelet\",\"host\":"
				    "\"n1\"}}"),
		"[\"30s\",\"Normal\",\"Pulled\",\"pod/p\",\"\",\"kubelet, "
		"n1\",\"done\",\"<unknown>\",\"4\",\"e\"]");
}

static void test_paths(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	static const char text[] = "{\"a\":{\"b.c\":[1,{\"t\":\"x\",\"v\":7}]}}";
	struct json *doc;
	assert_int_equal(json_parse(&a, text, strlen(text), NULL, &doc, NULL), 0);
	assert_int_equal(json_int_or(table_path(&a, doc, ".a['b.c'][0]"), 0), 1);
	assert_int_equal(json_int_or(table_path(&a, doc, ".a['b.c'][?(@.t=='x')].v"), 0), 7);
	assert_int_equal(json_int_or(table_path(&a, doc, "{.a['b.c'][?(@.t == \"x\")].v}"), 0), 7);
	assert_null(table_path(&a, doc, ".a['b.c'][?(@.t=='y')].v"));
	assert_null(table_path(&a, doc, ".a['b.c'][9]"));
	assert_null(table_path(&a, doc, ".a['b.c'"));
	assert_null(table_path(&a, doc, "a"));
	assert_null(table_path(&a, doc, ".a['b.c'][?(@.t=='x"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pods),
		cmocka_unit_test(test_services),
		cmocka_unit_test(test_nodes),
		cmocka_unit_test(test_workloads),
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_paths),
	};
	return cmocka_run_group_tests(tests, setup, teardown);
}

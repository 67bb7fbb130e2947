/* What an Application's parts look like, and when a part is as wanted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "server/controllers/applications/application_parts.h"

static struct json *parse(struct arena *a, const char *text)
{
	struct json *doc = NULL;
	struct err err = ERR_INIT;
	if (yaml_parse(a, text, strlen(text), NULL, &doc, &err) < 0)
		fail_msg("%s", err.msg);
	return doc;
}

static const struct kind kind = {.kind = "Application", .group = "hanok.io", .gv = "hanok.io/v1"};
static const struct object app = {.kind = &kind, .namespace = "default", .name = "web", .uid = "u"};

static void test_as_wanted(void **state)
{
	static const struct {
		const char *live, *wanted;
		bool same;
	} cases[] = {
		{"{a: 1, b: {c: x, d: default}}", "{a: 1, b: {c: x}}", true},
		{"{a: 1}", "{a: 2}", false},
		{"{}", "{a: 1}", false},
		{"{}", "{a: {}, b: []}", true},
		{"{l: [{n: x, d: 1}]}", "{l: [{n: x}]}", true},
		{"{l: [{n: x}, {n: y}]}", "{l: [{n: x}]}", false},
		{"{l: [{n: y}]}", "{l: [{n: x}]}", false},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_(arena_finish) struct arena a = ARENA_INIT;
		assert_int_equal(
			part_is_as_wanted(parse(&a, cases[i].live), parse(&a, cases[i].wanted)),
			cases[i].same);
	}
}

/* What the server allotted, and an autoscaler's size, are taken over; all else is as wanted. */
static void test_renewed(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct json *live = parse(&a,
		"{metadata: {uid: u, labels: {theirs: x, old: y}}, spec: {clusterIP: 10.0.0.1, "
		"replicas: 7, gone: z, ports: [{port: 80, nodePort: 30001}, {port: 81, nodePort: "
		"30002}]}}");
	struct json *wanted = parse(&a,
		"{kind: Service, metadata: {labels: {old: new}}, spec: {type: NodePort, ports: "
		"[{port: 80, protocol: TCP}]}}");
	struct json *doc = part_renewed(&a, live, wanted);
	assert_true(json_equal(json_get(doc, "spec"),
		parse(&a, "{type: NodePort, clusterIP: 10.0.0.1, replicas: 7, ports: [{port: 80, "
			  "protocol: TCP, nodePort: 30001}]}")));
	assert_true(
		json_equal(json_path(doc, "metadata.labels"), parse(&a, "{theirs: x, old: new}")));
	/* A Service that is no longer on the nodes gives its ports back. */
	wanted = parse(&a, "{kind: Service, spec: {type: ClusterIP, ports: [{port: 80}]}}");
	assert_null(json_path(part_renewed(&a, live, wanted), "spec.ports[0].nodePort"));
}

static void test_names(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	static const struct {
		const char *name;
		int64_t number;
	} cases[] = {{"web-0", 0}, {"web-12", 12}, {"web-01", -1}, {"web-", -1}, {"web", -1},
		{"webs-1", -1}, {"web-1x", -1}, {"web--1", -1}};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++)
		assert_int_equal(application_machine_number(&app, cases[i].name), cases[i].number);
	assert_string_equal(application_machine_name(&a, &app, 3), "web-3");
}

/* Sizes, and what a guest is told instead of a container. */
static void test_machine(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct json *doc = parse(&a,
		"spec:\n"
		"  disk: {containerDisk: {image: d}}\n"
		"  resources: {requests: {cpu: 1500m, memory: 1Gi}}\n"
		"  env: [{name: QUOTE, value: \"it's\"}, {name: LINES, value: \"a\\nb\"}]\n"
		"  command: [run, \"a b\"]\n"
		"  volumes: [{name: data, emptyDir: {}}]\n"
		"  ports: [{port: 53, protocol: UDP}, {port: 80, targetPort: 8080}]\n"
		"  profile: {criticality: best-effort}\n");
	struct json *vm = application_machine(&a, &app, doc, 0);
	struct json *spec = json_path(vm, "spec.template.spec");
	assert_int_equal(json_path_int(spec, "domain.cpu.cores", 0), 2);
	assert_string_equal(json_path_str(spec, "domain.memory.guest"), "1Gi");
	assert_string_equal(json_path_str(spec, "volumes[1].emptyDisk.capacity"), "1Gi");
	assert_int_equal(json_path_int(spec, "readinessProbe.tcpSocket.port", 0), 8080);
	assert_string_equal(json_path_str(spec, "priorityClassName"), "hanok-best-effort");
	assert_null(json_get(spec, "affinity"));
	const char *data = json_path_str(spec, "volumes[2].cloudInitNoCloud.userData");
	struct json *config = parse(&a, data);
	assert_string_equal(json_path_str(config, "write_files[0].content"),
		"# variables of the application\nQUOTE='it'\\''s'\nLINES='a\nb'\n");
	assert_string_equal(json_path_str(config, "write_files[1].content"),
		"#!/bin/sh\nset -a\n. /etc/hanok/environment\nset +a\n'run' 'a b' </dev/null "
		">/dev/console 2>&1 &\n");
	assert_string_equal(json_path_str(config, "runcmd[0]"), "/bin/sh /etc/hanok/start");
	/* What the user writes stands in its place. */
	json_path_set(&a, doc, "spec.cloudInit.userData", json_new_string(&a, "#!/bin/sh"));
	vm = application_machine(&a, &app, doc, 0);
	assert_string_equal(
		json_path_str(vm, "spec.template.spec.volumes[2].cloudInitNoCloud.userData"),
		"#!/bin/sh");
}

static void test_budget(void **state)
{
	static const struct {
		const char *spec, *member;
	} cases[] = {
		{"{spec: {replicas: 1}}", NULL},
		{"{spec: {replicas: 0, profile: {criticality: mission-critical}}}", NULL},
		{"{spec: {replicas: 1, profile: {criticality: mission-critical}}}", "minAvailable"},
		{"{spec: {replicas: 2}}", "maxUnavailable"},
		{"{spec: {minReplicas: 2, maxReplicas: 5}}", "maxUnavailable"},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_(arena_finish) struct arena a = ARENA_INIT;
		struct json *budget = application_budget(&a, &app, parse(&a, cases[i].spec));
		assert_int_equal(budget != NULL, cases[i].member != NULL);
		if (budget)
			assert_int_equal(
				json_int_or(json_get(json_get(budget, "spec"), cases[i].member), 0),
				1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_as_wanted),
		cmocka_unit_test(test_renewed),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_machine),
		cmocka_unit_test(test_budget),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

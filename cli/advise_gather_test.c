/* From lists of API objects to what the adviser is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/advise_gather.h"

static const char lists_text[] =
	"deployments: {items: [{metadata: {namespace: a, name: web, uid: d1, annotations: {is: "
	"own, "
	"  too: z}}, spec: {replicas: 2, template: {metadata: {annotations: {is: template}}, spec: "
	"  {containers: [{name: c}]}}}}]}\n"
	"replica_sets: {items: [{metadata: {namespace: a, name: web-1, uid: r1, ownerReferences: "
	"  [{uid: d1, controller: true}]}}, {metadata: {namespace: a, name: lone, uid: r2}}]}\n"
	"stateful_sets: {items: [{metadata: {namespace: a, name: db, uid: s1}, spec: "
	"  {volumeClaimTemplates: [{}], template: {spec: {}}}}]}\n"
	"pods: {items: [{metadata: {namespace: a, name: p1, uid: u1, ownerReferences: [{uid: r1, "
	"  controller: true}]}, status: {containerStatuses: [{restartCount: 3}, {restartCount: "
	"  4}]}}, {metadata: {namespace: a, name: p2, uid: u2, ownerReferences: [{uid: r1, "
	"  controller: true}]}}, {metadata: {namespace: a, name: bare, uid: u3}}]}\n"
	"autoscalers: {items: [{metadata: {namespace: a}, spec: {minReplicas: 2, maxReplicas: 9, "
	"  scaleTargetRef: {kind: Deployment, name: web}}}]}\n"
	"machines: {items: [{metadata: {namespace: a, name: p1, uid: m1}, spec: {template: {spec: "
	"  {domain: {}}}}}, {metadata: {namespace: a, name: app-0, uid: m2, ownerReferences: "
	"  [{uid: application, controller: true}]}}]}\n"
	"instances: {items: [{metadata: {namespace: a, name: p1, uid: i1, ownerReferences: [{uid: "
	"  m1, controller: true}]}}]}\n";

static struct json *parse(struct arena *a, const char *text)
{
	struct json *doc = NULL;
	struct err err = ERR_INIT;
	if (yaml_parse(a, text, strlen(text), NULL, &doc, &err) < 0)
		fail_msg("%s", err.msg);
	return doc;
}

static const struct json *find(const struct json *all, const char *kind, const char *name)
{
	JSON_FOR_EACH_ITEM(w, all)
		if (streq(json_str(json_get(w, "kind")), kind) &&
			streq(json_str(json_get(w, "name")), name))
			return w;
	return NULL;
}

static struct json *gather(struct arena *a, const struct advise_samples *samples)
{
	struct json *l = parse(a, lists_text);
	struct advise_lists lists = {.deployments = json_get(l, "deployments"),
		.stateful_sets = json_get(l, "stateful_sets"),
		.replica_sets = json_get(l, "replica_sets"),
		.pods = json_get(l, "pods"),
		.autoscalers = json_get(l, "autoscalers"),
		.machines = json_get(l, "machines"),
		.instances = json_get(l, "instances")};
	return advise_gather(a, &lists, samples);
}

static void test_workloads(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct json *all = gather(&a, advise_samples_create(&a));
	const struct json *web = find(all, "Deployment", "web");
	assert_int_equal(json_count(all), 5);
	assert_non_null(find(all, "ReplicaSet", "lone"));
	assert_non_null(find(all, "Pod", "bare"));
	assert_non_null(find(all, "VirtualMachine", "p1"));
	assert_true(json_path_bool(find(all, "StatefulSet", "db"), "claims", false));
	assert_int_equal(json_path_int(web, "replicas", 0), 2);
	assert_int_equal(json_path_int(web, "restarts", 0), 7);
	assert_int_equal(json_path_int(web, "autoscaler.max", 0), 9);
	assert_string_equal(json_path_str(web, "annotations.is"), "own");
	assert_string_equal(json_path_str(web, "annotations.too"), "z");
	assert_null(json_get(web, "usage"));
}

static void test_usage(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct advise_samples *s = advise_samples_create(&a);
	static const char *const answers[] = {
		"{items: [{metadata: {namespace: a, name: p1}, timestamp: '1', containers: "
		"[{usage: "
		"{cpu: 100m, memory: 1Mi}}, {usage: {cpu: 100m, memory: 1Mi}}]}, {metadata: "
		"{namespace: a, name: p2}, timestamp: '1', containers: [{usage: {cpu: '0', memory: "
		"3Mi}}]}]}",
		/* p1 has not been measured again. */
		"{items: [{metadata: {namespace: a, name: p1}, timestamp: '1', containers: "
		"[{usage: "
		"{cpu: 900m, memory: 1Mi}}]}, {metadata: {namespace: a, name: p2}, timestamp: '2', "
		"containers: [{usage: {cpu: 400m, memory: 1Mi}}]}]}",
		"{items: [{metadata: {namespace: a, name: p1}, timestamp: '1', usage: {cpu: '2', "
		"memory: 1Gi}}]}"};
	for (size_t i = 0; i < ARRAY_LEN(answers); i++)
		advise_samples_add(s, parse(&a, answers[i]));
	struct json *all = gather(&a, s);
	const struct json *web = json_get(find(all, "Deployment", "web"), "usage");
	assert_int_equal(json_path_int(web, "samples", 0), 3);
	assert_int_equal(json_path_int(web, "cpuMeanMilli", 0), 200);
	assert_int_equal(json_path_int(web, "cpuPeakMilli", 0), 400);
	assert_int_equal(json_path_int(web, "cpuDeviationMilli", 0), 163);
	assert_int_equal(json_path_int(web, "memoryPeakBytes", 0), 3 << 20);
	const struct json *vm = json_get(find(all, "VirtualMachine", "p1"), "usage");
	assert_int_equal(json_path_int(vm, "samples", 0), 1);
	assert_int_equal(json_path_int(vm, "cpuPeakMilli", 0), 2000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_workloads),
		cmocka_unit_test(test_usage),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* pod_admit_test.c - which pods fit a node, in whose words they are refused, and who goes for
 * critical ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <time.h>

#include "lib/object/builtin.h"
#include "node/pod/pod_admit.h"

static struct kind_registry *kinds;

static struct json *parse(struct arena *a, const char *text)
{
	struct json *v = NULL;
	struct err err = ERR_INIT;

	if (yaml_parse(a, text, strlen(text), NULL, &v, &err) < 0)
		fail_msg("%s", err.msg);
	return v;
}

static const char node_text[] =
	"apiVersion: v1\n"
	"kind: Node\n"
	"metadata: {name: node1, uid: n, resourceVersion: '5', labels: {disk: ssd, zone: a}}\n"
	"spec: {taints: [{key: old, value: x, effect: NoSchedule}, {key: bad, effect: "
	"NoExecute}]}\n"
	"status: {allocatable: {cpu: '2', memory: 1Gi, pods: '4', ephemeral-storage: 10Gi}}\n";

static struct object *node_object(void)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct json *doc = parse(&a, node_text);
	_cleanup_(buf_finish) struct buf b = BUF_INIT;
	struct object *o = NULL;
	struct err err = ERR_INIT;

	json_write(&b, doc);
	if (object_from_bytes(
		    kind_by_resource(kinds, "", "v1", "nodes"), b.data, b.size, &o, &err) < 0)
		fail_msg("%s", err.msg);
	return o;
}

#define TOLERATES "tolerations: [{operator: Exists}]"
#define CPU(amount) "containers: [{name: c, resources: {requests: {cpu: " amount "}}}]"

/* Residents are separated by "---". */
struct given {
	struct arena a;
	struct object *node;
	struct pod_resident others[8];
	size_t count;
};

static void given(struct given *g, const char *const *residents)
{
	static const char *const uids[] = {"r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7"};

	*g = (struct given){.a = ARENA_INIT, .node = node_object()};
	for (; residents && residents[g->count]; g->count++)
		g->others[g->count] = (struct pod_resident){
			uids[g->count], pod_ask_make(parse(&g->a, residents[g->count]))};
}

static struct pod_verdict verdict(struct given *g, const char *pod)
{
	const struct json *doc = parse(&g->a, pod);
	struct pod_ask *ask = pod_ask_make(doc);
	struct pod_verdict v;

	pod_admit(&g->a, g->node, doc, ask, g->others, g->count, &v);
	pod_ask_destroy(ask);
	return v;
}

static void done(struct given *g)
{
	for (size_t i = 0; i < g->count; i++)
		pod_ask_destroy((struct pod_ask *)(uintptr_t)g->others[i].ask);
	object_unref(g->node);
	arena_finish(&g->a);
}

static void rules(void **state)
{
	static const char *const residents[] = {"spec: {" CPU("1500m") "}",
		"spec: {containers: [{name: c, ports: [{containerPort: 80, hostPort: 8080, hostIP: "
		"10.0.0.1}]}]}",
		NULL};
	static const struct {
		const char *pod, *reason, *message;
	} cases[] = {
		{"spec: {" TOLERATES ", " CPU("500m") "}", NULL, NULL},
		{"spec: {" TOLERATES ", " CPU("501m") "}", "OutOfcpu",
			"Node didn't have enough resource: cpu, requested: 501, used: 1500, "
			"capacity: 2000"},
		{"spec: {" TOLERATES ", containers: [{resources: {limits: {memory: 2Gi}}}]}",
			"OutOfmemory",
			"Node didn't have enough resource: memory, requested: 2147483648, used: 0, "
			"capacity: 1073741824"},
		{"spec: {" TOLERATES ", containers: [{resources: {limits: {example.com/gpu: 2}}}]}",
			NULL, NULL},
		{"spec: {" TOLERATES ", nodeSelector: {disk: ssd}}", NULL, NULL},
		{"spec: {" TOLERATES ", nodeSelector: {disk: hdd}}", "NodeAffinity",
			"Predicate NodeAffinity failed"},
		{"spec: {" TOLERATES ", affinity: {nodeAffinity: "
		 "{requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: "
		 "[{matchExpressions: [{key: zone, operator: NotIn, values: [a]}]}]}}}}",
			"NodeAffinity", "Predicate NodeAffinity failed"},
		{"spec: {" TOLERATES ", containers: [{ports: [{hostPort: 8080, protocol: TCP}]}]}",
			"NodePorts", "Predicate NodePorts failed"},
		{"spec: {" TOLERATES ", containers: [{ports: [{hostPort: 8080, protocol: UDP}]}]}",
			NULL, NULL},
		{"spec: {" TOLERATES
		 ", containers: [{ports: [{hostPort: 8080, hostIP: 10.0.0.2}]}]}",
			NULL, NULL},
		{"spec: {containers: [{name: c}]}", "TaintToleration",
			"Predicate TaintToleration failed"},
		{"{metadata: {annotations: {kubernetes.io/config.source: file}}, spec: "
		 "{containers: "
		 "[{name: c}]}}",
			NULL, NULL},
	};
	struct given g;

	given(&g, residents);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct pod_verdict v = verdict(&g, cases[i].pod);
		if (v.admitted != !cases[i].reason)
			fail_msg("%s: %s", cases[i].pod, v.message ? v.message : "admitted");
		if (v.admitted)
			continue;
		assert_string_equal(v.reason, cases[i].reason);
		assert_string_equal(v.message, cases[i].message);
	}
	done(&g);
}

static void number_of_pods(void **state)
{
	static const char *const residents[] = {
		"spec: {}", "spec: {}", "spec: {}", "spec: {}", NULL};
	struct given g;

	given(&g, residents);
	struct pod_verdict v = verdict(&g, "spec: {" TOLERATES "}");
	assert_string_equal(v.reason, "OutOfpods");
	assert_string_equal(v.message,
		"Node didn't have enough resource: pods, requested: 1, used: 4, capacity: 4");
	g.count--;
	v = verdict(&g, "spec: {" TOLERATES "}");
	assert_true(v.admitted);
	g.count++;
	done(&g);
}

static void nothing_known_of_the_node(void **state)
{
	struct given g;

	given(&g, NULL);
	object_unref(TAKE_PTR(g.node));
	assert_true(verdict(&g, "spec: {" CPU("99") "}").admitted);
	done(&g);
}

#define GUARANTEED(cpu)                                                                            \
	"spec: {containers: [{name: c, resources: {limits: {cpu: " cpu                             \
	", memory: 1Mi}, requests: {cpu: " cpu ", memory: 1Mi}}}]}"

static bool has_victim(const struct pod_verdict *v, const char *uid)
{
	for (size_t i = 0; i < v->victim_count; i++) {
		if (streq(v->victims[i], uid))
			return true;
	}
	return false;
}

/* Each name is looked at once, however many there are. */
static void many_names(void **state)
{
	enum { COUNT = 30000 };
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	_cleanup_(buf_finish) struct buf b = BUF_INIT;
	struct json *doc;

	buf_add_str(&b, "{\"spec\":{\"containers\":[{\"resources\":{\"limits\":{");
	for (int i = 0; i < COUNT; i++)
		buf_printf(&b, "%s\"a.b/%d\":\"1\"", i ? "," : "", i);
	buf_add_str(&b, "}}}]}}");
	assert_int_equal(json_parse(&a, b.data, b.size, NULL, &doc, NULL), 0);
	clock_t before = clock();
	struct pod_ask *ask = pod_ask_make(doc);
	assert_true(clock() - before < CLOCKS_PER_SEC);
	assert_int_equal(ask->amounts.count, COUNT + 3);
	pod_ask_destroy(ask);
}

static void preemption(void **state)
{
	/* 2000m in use: 900 guaranteed, 500 + 300 burstable, and a critical one's 300. */
	static const char *const residents[] = {GUARANTEED("900m"), "spec: {" CPU("500m") "}",
		"spec: {" CPU("300m") "}", "spec: {priority: 2000000000, " CPU("300m") "}", NULL};
	struct given g;

	given(&g, residents);
	/* One of the pods' number goes as well: four are the most. */
	struct pod_verdict v =
		verdict(&g, "spec: {" TOLERATES ", priority: 2000000000, " CPU("200m") "}");
	assert_true(v.admitted);
	assert_int_equal(v.victim_count, 1);
	assert_true(has_victim(&v, "r2")); /* the smallest that is enough */
	v = verdict(&g, "spec: {" TOLERATES ", priority: 2000000000, " CPU("600m") "}");
	assert_true(v.admitted && has_victim(&v, "r1") && has_victim(&v, "r2"));
	assert_int_equal(v.victim_count, 2);
	/* The guaranteed one gives what the burstable ones can't. */
	v = verdict(&g, "spec: {" TOLERATES ", priority: 2000000000, " CPU("1") "}");
	assert_true(v.admitted && has_victim(&v, "r0"));
	/* A critical one goes for a higher priority only. */
	v = verdict(&g, "spec: {" TOLERATES ", priority: 2000000000, " CPU("1900m") "}");
	assert_false(v.admitted);
	assert_string_equal(v.reason, "UnexpectedAdmissionError");
	assert_string_equal(v.message,
		"Unexpected error while attempting to recover from admission failure: preemption: "
		"error finding a set of pods to preempt: no set of running pods found to reclaim "
		"resources: [(res: cpu, q: 200), ]");
	v = verdict(&g, "spec: {" TOLERATES ", priority: 2000001000, " CPU("1900m") "}");
	assert_true(v.admitted && has_victim(&v, "r3"));
	/* Others have to do without. */
	v = verdict(&g, "spec: {" TOLERATES ", priority: 1000, " CPU("200m") "}");
	assert_string_equal(v.reason, "OutOfpods");
	done(&g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rules),
		cmocka_unit_test(number_of_pods),
		cmocka_unit_test(nothing_known_of_the_node),
		cmocka_unit_test(preemption),
		cmocka_unit_test(many_names),
	};
	struct err err = ERR_INIT;

	kinds = kind_registry_create();
	if (kind_registry_load_builtin(kinds, &err) < 0)
		return 1;
	int r = cmocka_run_group_tests_name("admission of pods", tests, NULL, NULL);
	kind_registry_destroy(kinds);
	return r;
}

/* What objects count for, what quotas refuse and in which words, and accounts that always add up.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/base/random.h"
#include "server/quota/amounts.h"
#include "server/quota/quota.h"

static struct kind pods = {.group = "", .plural = "pods", .resource = "pods"};
static struct kind services = {.group = "", .plural = "services", .resource = "services"};
static struct kind claims = {
	.group = "", .plural = "persistentvolumeclaims", .resource = "persistentvolumeclaims"};
static struct kind maps = {.group = "", .plural = "configmaps", .resource = "configmaps"};
static struct kind deployments = {
	.group = "apps", .plural = "deployments", .resource = "deployments.apps"};

static struct json *parse(struct arena *a, const char *text)
{
	struct json *doc = NULL;
	struct err err = ERR_INIT;
	/* YAML, so that it can be read. */
	if (yaml_parse(a, text, strlen(text), NULL, &doc, &err) < 0)
		fail_msg("%s: %s", text, err.msg);
	return doc;
}

static struct quota *quota(struct arena *a, const char *spec)
{
	return quota_create(parse(a, arena_printf(a, "{metadata: {name: q}, spec: {%s}}", spec)));
}

static void assert_used(struct arena *a, const struct quota *q, const char *want)
{
	struct json *wanted = parse(a, arena_printf(a, "{%s}", want)), *used = quota_used(q, a);
	if (!json_equal(wanted, used))
		fail_msg("used %s, want %s", json_text(a, used), json_text(a, wanted));
}

#define CPU(name, request, limit)                                                                  \
	"{name: " name ", resources: {requests: {cpu: \"" request "\"}, limits: {cpu: \"" limit    \
	"\"}}}"

static void test_usage(void **state)
{
	static const struct {
		const struct kind *k;
		const char *hard, *doc, *used;
	} cases[] = {
		{&pods, "pods: 5, count/pods: 5", "{spec: {containers: [{name: a}]}}",
			"pods: \"1\", count/pods: \"1\""},
		{&pods, "pods: 5, count/pods: 5",
			"{spec: {containers: [{name: a}]}, status: {phase: Succeeded}}",
			"pods: \"0\", count/pods: \"1\""},
		{&pods, "cpu: 5, requests.cpu: 5, limits.cpu: 5",
			"{spec: {containers: [" CPU("a", "100m", "1") ", " CPU("b", "1", "2") "]}}",
			"cpu: 1100m, requests.cpu: 1100m, limits.cpu: \"3\""},
		/* An init container alone needs more than the others together. */
		{&pods, "requests.cpu: 5, limits.cpu: 5",
			"{spec: {initContainers: [" CPU("i", "4", "4") "], containers: [" CPU(
				"a", "1", "1") "]}}",
			"requests.cpu: \"4\", limits.cpu: \"4\""},
		/* A sidecar runs beside both. */
		{&pods, "requests.cpu: 5",
			"{spec: {initContainers: [{name: s, restartPolicy: Always, resources: "
			"{requests: {cpu: 500m}}}, " CPU("i", "4", "4") "], containers: [" CPU(
				"a", "1", "1") "]}}",
			"requests.cpu: 4500m"},
		{&pods, "requests.cpu: 5, limits.cpu: 5, requests.memory: 5Gi, limits.memory: 5Gi",
			"{spec: {overhead: {cpu: 250m, memory: 64Mi}, containers: [" CPU(
				"a", "1", "1") "]}}",
			"requests.cpu: 1250m, limits.cpu: 1250m, requests.memory: 64Mi, "
			"limits.memory: \"0\""},
		{&pods,
			"requests.example.com/gpu: 5, hugepages-2Mi: 1Gi, "
			"requests.ephemeral-storage: 1Gi, "
			"limits.ephemeral-storage: 2Gi",
			"{spec: {containers: [{name: a, resources: {requests: {example.com/gpu: "
			"\"2\", "
			"hugepages-2Mi: 4Mi, ephemeral-storage: 1Gi}, limits: {ephemeral-storage: "
			"1536Mi}}}]}}",
			"requests.example.com/gpu: \"2\", hugepages-2Mi: 4Mi, "
			"requests.ephemeral-storage: 1Gi, limits.ephemeral-storage: 1536Mi"},
		{&services, "services: 1, services.nodeports: 9, services.loadbalancers: 1",
			"{spec: {type: NodePort, ports: [{port: 1}, {port: 2}]}}",
			"services: \"1\", services.nodeports: \"2\", services.loadbalancers: "
			"\"0\""},
		{&services, "services.nodeports: 9, services.loadbalancers: 1",
			"{spec: {type: LoadBalancer, ports: [{port: 1}]}}",
			"services.nodeports: \"1\", services.loadbalancers: \"1\""},
		{&services, "services.nodeports: 9",
			"{spec: {type: LoadBalancer, allocateLoadBalancerNodePorts: false, ports: "
			"[{port: 1}, {port: 2, nodePort: 30000}]}}",
			"services.nodeports: \"1\""},
		{&claims,
			"persistentvolumeclaims: 9, requests.storage: 9Gi, "
			"gold.storageclass.storage.k8s.io/requests.storage: 9Gi, "
			"gold.storageclass.storage.k8s.io/persistentvolumeclaims: 9, "
			"tin.storageclass.storage.k8s.io/requests.storage: 9Gi",
			"{spec: {storageClassName: gold, resources: {requests: {storage: 2Gi}}}}",
			"persistentvolumeclaims: \"1\", requests.storage: 2Gi, "
			"gold.storageclass.storage.k8s.io/requests.storage: 2Gi, "
			"gold.storageclass.storage.k8s.io/persistentvolumeclaims: \"1\", "
			"tin.storageclass.storage.k8s.io/requests.storage: \"0\""},
		{&maps, "configmaps: 3, count/configmaps: 3, secrets: 1", "{data: {}}",
			"configmaps: \"1\", count/configmaps: \"1\", secrets: \"0\""},
		{&deployments, "count/deployments.apps: 3, count/deployments: 3", "{}",
			"count/deployments.apps: \"1\", count/deployments: \"0\""},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct arena a = ARENA_INIT;
		struct quota *q = quota(&a, arena_printf(&a, "hard: {%s}", cases[i].hard));
		struct json *doc = parse(&a, cases[i].doc);
		quota_observe(q, cases[i].k, "x", doc);
		assert_used(&a, q, cases[i].used);
		quota_observe(q, cases[i].k, "x", doc); /* told twice, counted once */
		assert_used(&a, q, cases[i].used);
		quota_destroy(q);
		arena_finish(&a);
	}
}

static void test_scopes(void **state)
{
	static const char best_effort[] = "{spec: {containers: [{name: a}]}}",
			  burstable[] = "{spec: {containers: [" CPU("a", "1", "2") "]}}",
			  ending[] = "{spec: {activeDeadlineSeconds: 5, containers: [{name: a}]}}",
			  high[] = "{spec: {priorityClassName: high, containers: [{name: a}]}}",
			  crossing[] = "{spec: {affinity: {podAntiAffinity: {"
				       "preferredDuringSchedulingIgnoredDuringExecution: [{"
				       "podAffinityTerm: {namespaceSelector: {}}}]}}, containers: "
				       "[{name: a}]}}";
	static const struct {
		const char *spec, *pod;
		bool counts;
	} cases[] = {
		{"scopes: [BestEffort]", best_effort, true},
		{"scopes: [BestEffort]", burstable, false},
		{"scopes: [NotBestEffort]", burstable, true},
		{"scopes: [NotBestEffort]", best_effort, false},
		{"scopes: [Terminating]", ending, true},
		{"scopes: [Terminating]", best_effort, false},
		{"scopes: [NotTerminating]", ending, false},
		{"scopes: [NotTerminating, BestEffort]", best_effort, true},
		{"scopes: [NotTerminating, BestEffort]", burstable, false},
		{"scopes: [PriorityClass]", high, true},
		{"scopes: [PriorityClass]", best_effort, false},
		{"scopes: [CrossNamespacePodAffinity]", crossing, true},
		{"scopes: [CrossNamespacePodAffinity]", high, false},
#define EXPRESSION(e) "scopeSelector: {matchExpressions: [{scopeName: PriorityClass, " e "}]}"
		{EXPRESSION("operator: In, values: [low, high]"), high, true},
		{EXPRESSION("operator: In, values: [low]"), high, false},
		{EXPRESSION("operator: NotIn, values: [low]"), high, true},
		{EXPRESSION("operator: NotIn, values: [high]"), high, false},
		{EXPRESSION("operator: DoesNotExist"), best_effort, true},
		{EXPRESSION("operator: DoesNotExist"), high, false},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct arena a = ARENA_INIT;
		struct quota *q = quota(
			&a, arena_printf(&a, "hard: {pods: 0, services: 0}, %s", cases[i].spec));
		const char *why = quota_refuses(q, &a, &pods, "x", parse(&a, cases[i].pod));
		if (!why != !cases[i].counts)
			fail_msg("case %zu: %s with %s", i, cases[i].spec, cases[i].pod);
		/* Nothing but pods has scopes. */
		assert_null(quota_refuses(q, &a, &services, "x", parse(&a, "{spec: {}}")));
		quota_destroy(q);
		arena_finish(&a);
	}
}

static void test_words(void **state)
{
	struct arena a = ARENA_INIT;
	struct quota *q = quota(&a, "hard: {pods: 2, requests.cpu: 1, limits.memory: 1Gi}");
	struct json *pod = parse(&a, "{spec: {containers: [{name: b}, {name: a}], initContainers: "
				     "[{name: i, resources: {requests: {cpu: 1}}}]}}");
	assert_string_equal(quota_refuses(q, &a, &pods, "x", pod),
		"failed quota: q: must specify limits.memory for: a,b,i; requests.cpu for: a,b");
	pod = parse(&a, "{spec: {containers: [{name: b, resources: {requests: {cpu: 600m}, limits: "
			"{memory: 768Mi}}}]}}");
	assert_null(quota_refuses(q, &a, &pods, "x", pod));
	quota_reserve(q, &pods, "x", pod);
	assert_string_equal(quota_refuses(q, &a, &pods, "y", pod),
		"exceeded quota: q, requested: limits.memory=768Mi,requests.cpu=600m, used: "
		"limits.memory=768Mi,requests.cpu=600m, limited: "
		"limits.memory=1Gi,requests.cpu=1");
	/* Writing it again asks for nothing more. */
	assert_null(quota_refuses(q, &a, &pods, "x", pod));
	quota_destroy(q);

	q = quota(&a, "hard: {services.nodeports: 3}");
	quota_observe(q, &services, "s",
		parse(&a, "{spec: {type: NodePort, ports: [{port: 1}, {port: 2}]}}"));
	assert_string_equal(
		quota_refuses(q, &a, &services, "s",
			parse(&a, "{spec: {type: NodePort, ports: [{port: 1}, {port: 2}, {port: "
				  "3}, {port: 4}]}}")),
		"exceeded quota: q, requested: services.nodeports=2, used: services.nodeports=2, "
		"limited: services.nodeports=3");
	quota_destroy(q);
	arena_finish(&a);
}

static void test_over_already(void **state)
{
	struct arena a = ARENA_INIT;
	struct quota *q = quota(&a, "hard: {pods: 1, secrets: 0}");
	struct json *pod = parse(&a, "{spec: {containers: [{name: a}]}}");
	/* A quota that came late: what is there stays, nothing more comes. */
	quota_observe(q, &pods, "x", pod);
	quota_observe(q, &pods, "y", pod);
	assert_used(&a, q, "pods: \"2\", secrets: \"0\"");
	assert_string_equal(quota_refuses(q, &a, &pods, "z", pod),
		"exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=1");
	assert_null(quota_refuses(q, &a, &maps, "m", parse(&a, "{}")));
	quota_scan_begin(q, &pods);
	quota_observe(q, &pods, "y", pod);
	quota_scan_end(q, &pods);
	assert_used(&a, q, "pods: \"1\", secrets: \"0\"");
	assert_false(quota_differs(q, parse(&a, "{spec: {hard: {secrets: 0, pods: 1}}}")));
	assert_true(quota_differs(q, parse(&a, "{spec: {hard: {secrets: 1, pods: 1}}}")));
	assert_true(quota_differs(
		q, parse(&a, "{spec: {hard: {secrets: 0, pods: 1}, scopes: [BestEffort]}}")));
	quota_destroy(q);
	arena_finish(&a);
}

/* Many objects come, change and go, with reservations between, in any order; at each moment the sum
 * is that of a simple model. */
static void test_adds_up(void **state)
{
	enum { OBJECTS = 12, STEPS = 20000 };
	struct random random = random_seeded(42);
	struct arena a = ARENA_INIT;
	struct quota *q = quota(&a, "hard: {requests.cpu: 100}");
	int64_t counted[OBJECTS] = {0}, reserved[OBJECTS] = {0};
	for (int step = 0; step < STEPS; step++) {
		struct arena s = ARENA_INIT;
		size_t n = random_below(&random, OBJECTS);
		int64_t cpu = 1 + (int64_t)random_below(&random, 9);
		char name[16];
		snprintf(name, sizeof(name), "p%zu", n);
		struct json *pod = parse(&s, arena_printf(&s,
						     "{spec: {containers: [{name: a, resources: "
						     "{requests: {cpu: \"%lld\"}}}]}}",
						     (long long)cpu));
		switch (random_below(&random, 4)) {
		case 0:
			quota_observe(q, &pods, name, pod);
			counted[n] = cpu;
			break;
		case 1:
			quota_observe(q, &pods, name, NULL);
			counted[n] = 0;
			break;
		case 2:
			quota_reserve(q, &pods, name, pod);
			reserved[n] = cpu;
			break;
		case 3:
			quota_release(q, &pods, name);
			reserved[n] = 0;
			break;
		}
		int64_t sum = 0;
		for (size_t i = 0; i < OBJECTS; i++)
			sum += MAX(counted[i], reserved[i]);
		const struct json *used = json_get(quota_used(q, &s), "requests.cpu");
		assert_int_equal(quantity_json_value(used, -1), sum);
		arena_finish(&s);
	}
	quota_destroy(q);
	arena_finish(&a);
}

/* Many names, sidecars and init containers take room and time for each, not for each pair. */
static void test_many(void **state)
{
	(void)state;
	enum { COUNT = 6000 };
	struct arena a = ARENA_INIT;
	struct json *spec = json_new_object(&a), *inits = json_array_at(&a, spec, "initContainers");
	for (int i = 0; i < 2 * COUNT; i++) {
		struct json *c = json_new_object(&a);
		if (i < COUNT)
			json_set_str(&a, c, "restartPolicy", "Always");
		struct json *map = json_object_at(&a, json_object_at(&a, c, "resources"), "limits");
		json_set_int(&a, map, arena_printf(&a, "example.org/r%d", i % COUNT), 1 + i % 7);
		json_push(&a, inits, c);
	}
	size_t before = a.used_bytes;
	struct amounts all = pod_amounts(&a, spec, "limits");
	assert_true(a.used_bytes - before < 8u << 20);
	assert_int_equal(all.count, COUNT);
	for (int i = 0; i < COUNT; i++) {
		const struct amount *found =
			amounts_find(&all, arena_printf(&a, "example.org/r%d", i));
		int64_t want = 1 + i % 7 + 1 + (i + COUNT) % 7;
		assert_ptr_equal(found, &all.items[i]);
		assert_true(found->value.nano == (__int128)want * 1000000000);
	}
	assert_null(amounts_find(&all, "example.org/r"));
	arena_finish(&a);
}

int main(void)
{
	pods.storage = &pods;
	services.storage = &services;
	claims.storage = &claims;
	maps.storage = &maps;
	deployments.storage = &deployments;
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_usage),
		cmocka_unit_test(test_scopes),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_over_already),
		cmocka_unit_test(test_adds_up),
		cmocka_unit_test(test_many),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "test/sim/sim.h"

#define CONTROLLERS "nodelifecycle,podgc,replicaset,virtualmachineinstance"

static void begin(struct sim *s, uint64_t seed, int nodes)
{
	char name[16];
	sim_begin(s, seed, CONTROLLERS, true);
	for (int n = 1; n <= nodes; n++) {
		snprintf(name, sizeof(name), "n%d", n);
		fake_node_add(s->nodes, name, "8", "8Gi", 110);
	}
	fake_api_create_text(s->api,
		"{'apiVersion':'apps/"
		"v1','kind':'ReplicaSet','metadata':{'name':'web'},'spec':{'replicas':6,"
		"'selector':{'matchLabels':{'app':'web'}},'template':{'metadata':{'labels':{'app':'"
		"web'}},"
		"'spec':{'tolerations':[{'key':'node.kubernetes.io/"
		"unreachable','operator':'Exists','effect':"
		"'NoExecute','tolerationSeconds':300}],'containers':[{'name':'c','image':'i'}]}}}"
		"}");
}

static size_t pods_on(struct sim *s, const char *node, bool going)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object **all;
	size_t count = fake_api_list(s->api, "Pod", "default", &a, &all), here = 0;
	for (size_t n = 0; n < count; n++)
		here += streq(object_field(all[n], "spec.nodeName"), node) &&
			all[n]->deleting == going;
	return here;
}

static bool six_ready(struct sim *s)
{
	return sim_int(s, "ReplicaSet", "web", "status.readyReplicas", 0) == 6;
}

static bool unknown(struct sim *s)
{
	return sim_condition_is(s, "Node", "n1", "Ready", "Unknown", "NodeStatusUnknown");
}

static bool tainted(struct sim *s, const char *effect)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	JSON_FOR_EACH_ITEM(t, json_path(sim_doc(s, &a, "Node", "n1"), "spec.taints"))
		if (streq(json_str(json_get(t, "key")), "node.kubernetes.io/unreachable") &&
			streq(json_str(json_get(t, "effect")), effect))
			return true;
	return false;
}

static bool evicting(struct sim *s)
{
	return pods_on(s, "n1", false) == 0;
}

static bool clean(struct sim *s)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	return json_count(json_path(sim_doc(s, &a, "Node", "n1"), "spec.taints")) == 0 &&
	       sim_condition_is(s, "Node", "n1", "Ready", "True", NULL);
}

static void test_partition(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		begin(&s, seed, 3);
		sim_until(&s, six_ready, 60000);
		sim_run_ms(&s, 12000);
		assert_true(pods_on(&s, "n1", false) > 0);
		fake_node_silence(s.nodes, "n1", true);
		int64_t from_ns = s.clock.now_ns;
		sim_faults(&s, seed % 2 == 0);
		sim_run_ms(&s, 29000);
		assert_false(unknown(&s));
		sim_until(&s, unknown, 60000);
		int64_t took_s = (s.clock.now_ns - from_ns) / NS_PER_S;
		if (seed % 2)
			assert_in_range(
				took_s, 30, 50); /* the last heartbeat was up to 10 s before */
		sim_run_ms(&s, 30000);
		sim_faults(&s, false);
		sim_run_ms(&s, 30000);
		assert_true(tainted(&s, "NoSchedule"));
		assert_true(tainted(&s, "NoExecute"));
		assert_int_equal(sim_int(&s, "ReplicaSet", "web", "status.readyReplicas", 0) +
					 (int64_t)pods_on(&s, "n1", false),
			6);
		/* 300 s are tolerated; then the pods go, and others come up elsewhere. */
		assert_false(evicting(&s));
		sim_run_ms(&s, 190000);
		assert_false(evicting(&s));
		sim_until(&s, evicting, 120000);
		took_s = (s.clock.now_ns - from_ns) / NS_PER_S;
		assert_in_range(took_s, 330, 420);
		sim_until(&s, six_ready, 60000);
		/* Back again: the taints go, what was to be deleted ends. */
		fake_node_silence(s.nodes, "n1", false);
		sim_until(&s, clean, 60000);
		sim_run_ms(&s, 60000);
		assert_int_equal(pods_on(&s, "n1", true), 0);
		sim_end(&s);
	}
}

/* When all nodes are silent the fault is more likely here: nobody is evicted. */
static void test_all_silent(void **state)
{
	struct sim s;
	begin(&s, 1, 2);
	sim_until(&s, six_ready, 60000);
	fake_node_silence(s.nodes, "n1", true);
	fake_node_silence(s.nodes, "n2", true);
	sim_run_ms(&s, 600000);
	assert_true(unknown(&s));
	assert_true(tainted(&s, "NoSchedule"));
	assert_false(tainted(&s, "NoExecute"));
	assert_int_equal(pods_on(&s, "n1", false) + pods_on(&s, "n2", false), 6);
	sim_end(&s);
}

static bool none_on_removed(struct sim *s)
{
	return pods_on(s, "n1", false) + pods_on(s, "n1", true) == 0 && six_ready(s);
}

static bool instance_failed(struct sim *s)
{
	return sim_text_is(s, "VirtualMachineInstance", "vm", "status.phase", "Failed");
}

/* A node that is gone for good takes its pods and machines with it. */
static void test_removed(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		begin(&s, seed, 2);
		sim_until(&s, six_ready, 60000);
		fake_api_create_text(s.api,
			"{'apiVersion':'kubevirt.io/"
			"v1','kind':'VirtualMachineInstance','metadata':{'name':'vm',"
			"'finalizers':['foregroundDeleteVirtualMachine']},'spec':{'domain':{'"
			"devices':{}}},"
			"'status':{'nodeName':'n1','phase':'Running'}}");
		sim_run_ms(&s, 5000);
		sim_faults(&s, true);
		fake_api_delete(s.api, "Node", "", "n1", -1, NULL);
		sim_run_ms(&s, 30000);
		assert_true(pods_on(&s, "n1", false) > 0);
		sim_faults(&s, false);
		sim_until(&s, none_on_removed, 200000);
		sim_until(&s, instance_failed, 100000);
		fake_api_delete(s.api, "VirtualMachineInstance", "default", "vm", -1, NULL);
		sim_run_ms(&s, 60000);
		assert_null(fake_api_get(s.api, "VirtualMachineInstance", "default", "vm"));
		sim_end(&s);
	}
}

static size_t nodes_with_ttl(struct sim *s, const char *ttl)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object **all;
	size_t count = fake_api_list(s->api, "Node", NULL, &a, &all), with = 0;
	for (size_t n = 0; n < count; n++)
		with += streq(ttl,
			json_str(json_get(json_path(object_doc(all[n], &a), "metadata.annotations"),
				"node.alpha.kubernetes.io/ttl")));
	return with;
}

static bool hundred_short(struct sim *s)
{
	return nodes_with_ttl(s, "0") == 100;
}

static bool all_longer(struct sim *s)
{
	return nodes_with_ttl(s, "15") == 101;
}

static bool few_short(struct sim *s)
{
	return nodes_with_ttl(s, "0") == 89;
}

static void test_ttl(void **state)
{
	struct sim s;
	char name[16];
	sim_begin(&s, 1, "ttl", false);
	sim_faults(&s, true);
	for (int n = 0; n < 100; n++) {
		snprintf(name, sizeof(name), "n%d", n);
		fake_node_add(s.nodes, name, "8", "8Gi", 110);
	}
	sim_until(&s, hundred_short, 300000);
	fake_node_add(s.nodes, "more", "8", "8Gi", 110);
	sim_until(&s, all_longer, 300000);
	/* Far fewer than a hundred lead back. */
	for (int n = 0; n < 12; n++) {
		snprintf(name, sizeof(name), "n%d", n);
		fake_api_delete(s.api, "Node", "", name, -1, NULL);
	}
	sim_until(&s, few_short, 300000);
	sim_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_partition),
		cmocka_unit_test(test_all_silent),
		cmocka_unit_test(test_removed),
		cmocka_unit_test(test_ttl),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

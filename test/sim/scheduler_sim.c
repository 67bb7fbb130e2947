#include "test/sim/sim.h"

static void make_pod(struct sim *s, const char *name, const char *cpu, const char *extra)
{
	fake_api_create_text(s->api,
		"{'apiVersion':'v1','kind':'Pod','metadata':{'name':'%s'},'spec':{%s'containers':[{"
		"'name':'c',"
		"'image':'i','resources':{'requests':{'cpu':'%s','memory':'64Mi'}}}]}}",
		name, extra, cpu);
}

static void make_instance(struct sim *s, const char *name, int cores, const char *memory)
{
	fake_api_create_text(s->api,
		"{'apiVersion':'kubevirt.io/"
		"v1','kind':'VirtualMachineInstance','metadata':{'name':'%s'},"
		"'spec':{'domain':{'cpu':{'cores':%d},'memory':{'guest':'%s'},'devices':{}}}}",
		name, cores, memory);
}

/* What each node carries, in millis of CPU; fails the test above 4 cores. */
static size_t check_nodes(struct sim *s, size_t *ret_placed)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object **nodes, **all;
	size_t count = fake_api_list(s->api, "Node", NULL, &a, &nodes), full = 0;
	*ret_placed = 0;
	for (size_t n = 0; n < count; n++) {
		int64_t milli = 0;
		size_t many = fake_api_list(s->api, "Pod", NULL, &a, &all);
		for (size_t m = 0; m < many; m++)
			if (streq(object_field(all[m], "spec.nodeName"), nodes[n]->name)) {
				milli += 300;
				(*ret_placed)++;
			}
		many = fake_api_list(s->api, "VirtualMachineInstance", NULL, &a, &all);
		for (size_t m = 0; m < many; m++)
			if (streq(object_field(all[m], "status.nodeName"), nodes[n]->name)) {
				milli += 1000;
				(*ret_placed)++;
			}
		assert_true(milli <= 4000);
		full += milli > 3700;
	}
	return full;
}

static void check_each_change(void *user, const struct object *old, const struct object *new)
{
	size_t placed;
	if (new &&
		(streq(new->kind->kind, "Pod") || streq(new->kind->kind, "VirtualMachineInstance")))
		check_nodes(user, &placed);
}

static bool all_placed(struct sim *s)
{
	size_t placed;
	check_nodes(s, &placed);
	return placed == 50;
}

static bool most_full(struct sim *s)
{
	size_t placed;
	return check_nodes(s, &placed) == 3;
}

/* 40 pods of 0.3 and 10 machines of 10 vCPUs, which are 1 CPU: 22 CPUs, on 3 nodes of 4, then on 3
 * more. */
static void test_never_too_much(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		char name[32];
		sim_begin(&s, seed, "-*", true);
		sim_faults(&s, true);
		fake_api_on_change(s.api, check_each_change, &s);
		for (int n = 0; n < 3; n++) {
			snprintf(name, sizeof(name), "n%d", n);
			fake_node_add(s.nodes, name, "4", "64Gi", 110);
		}
		for (int n = 0; n < 40; n++) {
			snprintf(name, sizeof(name), "p%d", n);
			make_pod(&s, name, "300m", "");
			if (n % 4)
				continue;
			snprintf(name, sizeof(name), "v%d", n / 4);
			make_instance(&s, name, 10, "1Gi");
		}
		sim_run_ms(&s, 60000);
		sim_faults(&s, false);
		sim_until(&s, most_full, 400000);
		sim_faults(&s, true);
		for (int n = 3; n < 6; n++) {
			snprintf(name, sizeof(name), "n%d", n);
			fake_node_add(s.nodes, name, "4", "64Gi", 110);
		}
		sim_run_ms(&s, 30000);
		sim_faults(&s, false);
		sim_until(&s, all_placed, 400000);
		sim_end(&s);
	}
}

static bool big_refused(struct sim *s)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct json *doc = sim_doc(s, &a, "Pod", "big");
	return streq(json_path_str(doc, "status.conditions[0].message"),
		       "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) had untolerated "
		       "taint {only: vms}. preemption: 0/2 nodes are available: 1 No preemption "
		       "victims found for incoming pod, 1 Preemption is not helpful for "
		       "scheduling.") &&
	       sim_condition_is(s, "Pod", "big", "PodScheduled", "False", "Unschedulable");
}

static bool big_placed(struct sim *s)
{
	return sim_text_is(s, "Pod", "big", "spec.nodeName", "n3");
}

static bool instance_refused(struct sim *s)
{
	return sim_condition_is(
		s, "VirtualMachineInstance", "huge", "PodScheduled", "False", "Unschedulable");
}

static void test_says_why(void **state)
{
	struct sim s;
	sim_begin(&s, 1, "-*", true);
	fake_node_add(s.nodes, "n1", "2", "4Gi", 110);
	fake_node_add(s.nodes, "n2", "16", "64Gi", 110);
	fake_api_patch_text(s.api, "Node", "", "n2",
		"{'spec':{'taints':[{'key':'only','value':'vms','effect':'NoSchedule'}]}}");
	make_pod(&s, "big", "3", "");
	make_instance(&s, "huge", 1, "8Gi");
	sim_until(&s, big_refused, 10000);
	sim_until(&s, instance_refused, 10000);
	fake_node_add(s.nodes, "n3", "4", "4Gi", 110);
	sim_until(&s, big_placed, 30000);
	sim_end(&s);
}

static void make_pod_with_port(
	struct sim *s, const char *name, const char *ip, const char *protocol)
{
	fake_api_create_text(s->api,
		"{'apiVersion':'v1','kind':'Pod','metadata':{'name':'%s'},'spec':{'containers':[{"
		"'name':'c','image':'i','ports':[{'containerPort':80,'hostPort':8080,'hostIP':'%s',"
		"'protocol':'%s'}]}]}}",
		name, ip, protocol);
}

static bool port_is_refused(struct sim *s)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct json *doc = sim_doc(s, &a, "Pod", "second");
	return streq(json_path_str(doc, "status.conditions[0].message"),
		"0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod "
		"ports. preemption: 0/1 nodes are available: 1 No preemption victims found for "
		"incoming pod.");
}

static bool others_are_placed(struct sim *s)
{
	return sim_text_is(s, "Pod", "first", "spec.nodeName", "n1") &&
	       sim_text_is(s, "Pod", "datagrams", "spec.nodeName", "n1") &&
	       sim_text_is(s, "Pod", "elsewhere", "spec.nodeName", "n1");
}

static bool second_is_placed(struct sim *s)
{
	return sim_text_is(s, "Pod", "second", "spec.nodeName", "n2");
}

static void test_host_ports(void **state)
{
	struct sim s;
	sim_begin(&s, 1, "-*", true);
	fake_node_add(s.nodes, "n1", "4", "4Gi", 110);
	make_pod_with_port(&s, "first", "10.0.0.1", "TCP");
	make_pod_with_port(&s, "datagrams", "", "UDP");
	make_pod_with_port(&s, "elsewhere", "10.0.0.2", "TCP");
	sim_until(&s, others_are_placed, 10000);
	make_pod_with_port(&s, "second", "0.0.0.0", "TCP");
	sim_until(&s, port_is_refused, 10000);
	fake_node_add(s.nodes, "n2", "4", "4Gi", 110);
	sim_until(&s, second_is_placed, 30000);
	sim_end(&s);
}

static bool selected(struct sim *s)
{
	return sim_text_is(s, "Pod", "a", "spec.nodeName", "n2") &&
	       sim_text_is(s, "Pod", "b", "spec.nodeName", "n1") &&
	       sim_text_is(s, "Pod", "c", "spec.nodeName", "n2");
}

static void test_selects(void **state)
{
	struct sim s;
	sim_begin(&s, 1, "-*", true);
	fake_node_add(s.nodes, "n1", "4", "4Gi", 110);
	fake_node_add(s.nodes, "n2", "4", "4Gi", 110);
	fake_api_patch_text(
		s.api, "Node", "", "n2", "{'metadata':{'labels':{'disk':'ssd','n':'7'}}}");
	make_pod(&s, "a", "100m", "'nodeSelector':{'disk':'ssd'},");
	make_pod(&s, "b", "100m",
		"'affinity':{'nodeAffinity':{'requiredDuringSchedulingIgnoredDuringExecution':{"
		"'nodeSelectorTerms':[{'matchExpressions':[{'key':'disk','operator':'DoesNotExist'}"
		"]}]}}},");
	make_pod(&s, "c", "100m",
		"'affinity':{'nodeAffinity':{'requiredDuringSchedulingIgnoredDuringExecution':{"
		"'nodeSelectorTerms':[{'matchExpressions':[{'key':'n','operator':'Gt','values':['6'"
		"]}]}]}}},");
	make_pod(&s, "other", "100m", "'schedulerName':'mine',");
	make_pod(&s, "gated", "100m", "'schedulingGates':[{'name':'wait'}],");
	sim_until(&s, selected, 20000);
	sim_run_ms(&s, 20000);
	assert_true(sim_text_is(&s, "Pod", "other", "spec.nodeName", NULL));
	assert_true(sim_text_is(&s, "Pod", "gated", "spec.nodeName", NULL));
	sim_end(&s);
}

/* Small pods of one kind spread evenly. */
static void test_spreads(void **state)
{
	struct sim s;
	char name[32];
	sim_begin(&s, 3, "-*", true);
	for (int n = 0; n < 4; n++) {
		snprintf(name, sizeof(name), "n%d", n);
		fake_node_add(s.nodes, name, "8", "8Gi", 110);
	}
	for (int n = 0; n < 20; n++) {
		snprintf(name, sizeof(name), "p%d", n);
		make_pod(&s, name, "100m", "");
	}
	sim_run_ms(&s, 10000);
	for (int n = 0; n < 4; n++) {
		_cleanup_(arena_finish) struct arena a = ARENA_INIT;
		struct object **pods;
		size_t here = 0, count = fake_api_list(s.api, "Pod", NULL, &a, &pods);
		snprintf(name, sizeof(name), "n%d", n);
		for (size_t m = 0; m < count; m++)
			here += streq(object_field(pods[m], "spec.nodeName"), name);
		assert_int_equal(here, 5);
	}
	sim_end(&s);
}

static void make_urgent(struct sim *s, const char *name, int cpu, int priority, const char *extra)
{
	fake_api_create_text(s->api,
		"{'apiVersion':'v1','kind':'Pod','metadata':{'name':'%s','labels':{'app':'%s'}},"
		"'spec':{'priority':%d,%s'terminationGracePeriodSeconds':1,'containers':[{'name':"
		"'c','image':'i','resources':{'requests':{'cpu':'%d'}}}]}}",
		name, name, priority, extra, cpu);
}

static bool runs_on(struct sim *s, const char *name, const char *node)
{
	return sim_text_is(s, "Pod", name, "spec.nodeName", node);
}

static bool low_ones_run(struct sim *s)
{
	return runs_on(s, "low", "n1") && runs_on(s, "guarded", "n2") && runs_on(s, "middle", "n3");
}

static bool high_runs(struct sim *s)
{
	return runs_on(s, "high", "n1");
}

static bool polite_says_why(struct sim *s)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	return streq(json_path_str(sim_doc(s, &a, "Pod", "polite"), "status.conditions[0].message"),
		"0/3 nodes are available: 3 Insufficient cpu. preemption: not eligible due to "
		"preemptionPolicy=Never.");
}

static void check_victims(void *user, const struct object *old, const struct object *new)
{
	if (!new || !streq(new->kind->kind, "Pod") || !new->deleting || old->deleting)
		return;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	assert_string_equal(new->name, "low");
	const char *reason = "";
	JSON_FOR_EACH_ITEM(c, json_path(object_doc(new, &a), "status.conditions"))
		if (streq(json_str(json_get(c, "type")), "DisruptionTarget"))
			reason = json_str_or(json_get(c, "reason"), "");
	assert_string_equal(reason, "PreemptionByScheduler");
	*(int *)user += 1;
}

/* Three nodes are full: of the pods there, one has a budget that allows nothing, one has a higher
 * priority; the third makes room. */
static void test_preempts(void **state)
{
	struct sim s;
	int victims = 0;
	sim_begin(&s, 1, "-*", true);
	fake_node_add(s.nodes, "n1", "4", "4Gi", 110);
	fake_node_add(s.nodes, "n2", "4", "4Gi", 110);
	fake_node_add(s.nodes, "n3", "4", "4Gi", 110);
	for (int n = 1; n <= 3; n++) {
		char name[8];
		snprintf(name, sizeof(name), "n%d", n);
		fake_api_patch_text(
			s.api, "Node", "", name, "{'metadata':{'labels':{'n':'%s'}}}", name);
	}
	fake_api_create_text(s.api,
		"{'apiVersion':'policy/v1','kind':'PodDisruptionBudget','metadata':{'name':'b'},"
		"'spec':{'minAvailable':1,'selector':{'matchLabels':{'app':'guarded'}}},'status':{"
		"'disruptionsAllowed':0,'currentHealthy':1,'desiredHealthy':1,'expectedPods':1}}");
	make_urgent(&s, "low", 3, 0, "'nodeSelector':{'n':'n1'},");
	make_urgent(&s, "guarded", 3, 0, "'nodeSelector':{'n':'n2'},");
	make_urgent(&s, "middle", 3, 5, "'nodeSelector':{'n':'n3'},");
	sim_until(&s, low_ones_run, 20000);
	make_urgent(&s, "polite", 2, 10, "'preemptionPolicy':'Never',");
	sim_until(&s, polite_says_why, 20000);
	fake_api_on_change(s.api, check_victims, &victims);
	make_urgent(&s, "high", 2, 10, "");
	sim_until(&s, high_runs, 60000);
	assert_int_equal(victims, 1);
	assert_true(sim_text_is(&s, "Pod", "high", "status.nominatedNodeName", "n1"));
	/* What the victim leaves is enough for both, and more than who waits needs. */
	sim_run_ms(&s, 20000);
	assert_true(runs_on(&s, "polite", "n1"));
	sim_end(&s);
}

static bool machine_runs(struct sim *s)
{
	return sim_text_is(s, "VirtualMachineInstance", "bank", "status.phase", "Running");
}

/* A virtual machine's priority counts like a pod's. */
static void test_machine_preempts(void **state)
{
	struct sim s;
	sim_begin(&s, 1, "-*", true);
	fake_node_add(s.nodes, "n1", "4", "4Gi", 110);
	make_urgent(&s, "low", 3, 0, "");
	sim_run_ms(&s, 10000);
	assert_true(runs_on(&s, "low", "n1"));
	fake_api_create_text(s.api,
		"{'apiVersion':'kubevirt.io/v1','kind':'VirtualMachineInstance','metadata':{"
		"'name':'bank','annotations':{'hanok.io/priority':'1000000'}},'spec':{'domain':{"
		"'resources':{'requests':{'cpu':'2','memory':'1Gi'}},'devices':{}}}}");
	sim_until(&s, machine_runs, 60000);
	assert_null(fake_api_get(s.api, "Pod", "default", "low"));
	sim_end(&s);
}

static size_t pods_on(struct sim *s, const char *node, const char *app)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object **pods;
	size_t here = 0, count = fake_api_list(s->api, "Pod", NULL, &a, &pods);
	for (size_t m = 0; m < count; m++)
		here += streq(object_field(pods[m], "spec.nodeName"), node) &&
			object_label(pods[m], "app") && streq(object_label(pods[m], "app"), app);
	return here;
}

/* One node has so much room that balance alone would put all there: services and controllers keep
 * their pods apart all the same. */
static void test_spreads_by_default(void **state)
{
	struct sim s;
	char name[32];
	sim_begin(&s, 5, "-*", true);
	for (int n = 0; n < 4; n++) {
		snprintf(name, sizeof(name), "n%d", n);
		fake_node_add(s.nodes, name, n ? "8" : "100", n ? "16Gi" : "400Gi", 110);
		fake_api_patch_text(s.api, "Node", "", name,
			"{'metadata':{'labels':{'kubernetes.io/"
			"hostname':'%s','topology.kubernetes.io/zone':'z%d'}}}",
			name, n % 2);
	}
	fake_api_create_text(s.api, "{'apiVersion':'v1','kind':'Service','metadata':{'name':'s'},"
				    "'spec':{'selector':{'app':'served'}}}");
	struct object *set = fake_api_create_text(s.api,
		"{'apiVersion':'apps/v1','kind':'ReplicaSet','metadata':{'name':'r'},'spec':{"
		"'replicas':0,'selector':{'matchLabels':{'app':'owned'}},'template':{'metadata':{"
		"'labels':{'app':'owned'}},'spec':{'containers':[{'name':'c','image':'i'}]}}}}");
	sim_run_ms(&s, 2000);
	for (int n = 0; n < 8; n++) {
		static const char spec[] = "'spec':{'containers':[{'name':'c','image':'i',"
					   "'resources':{'requests':{'cpu':'500m'}}}]}";
		fake_api_create_text(s.api,
			"{'apiVersion':'v1','kind':'Pod','metadata':{'name':'served-%d','labels':{"
			"'app':'served'}},%s}",
			n, spec);
		fake_api_create_text(s.api,
			"{'apiVersion':'v1','kind':'Pod','metadata':{'name':'owned-%d','labels':{"
			"'app':'owned'},'ownerReferences':[{'apiVersion':'apps/v1','kind':"
			"'ReplicaSet','name':'r','uid':'%s','controller':true}]},%s}",
			n, set->uid, spec);
	}
	sim_run_ms(&s, 10000);
	for (int n = 0; n < 4; n++) {
		snprintf(name, sizeof(name), "n%d", n);
		assert_int_equal(pods_on(&s, name, "served"), 2);
		assert_int_equal(pods_on(&s, name, "owned"), 2);
	}
	sim_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_never_too_much),
		cmocka_unit_test(test_says_why),
		cmocka_unit_test(test_host_ports),
		cmocka_unit_test(test_selects),
		cmocka_unit_test(test_spreads),
		cmocka_unit_test(test_spreads_by_default),
		cmocka_unit_test(test_preempts),
		cmocka_unit_test(test_machine_preempts),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

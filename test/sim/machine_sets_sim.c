#include "test/sim/sim.h"

#define CONTROLLERS                                                                                \
	"virtualmachine,virtualmachineinstance,virtualmachineinstancereplicaset,"                  \
	"virtualmachinepool,garbagecollector"

#define TEMPLATE                                                                                   \
	"'metadata':{'labels':{'app':'web'}},'spec':{'domain':{'memory':{'guest':'128Mi'},'"       \
	"devices':{}}}"

static void begin(struct sim *s, uint64_t seed)
{
	sim_begin(s, seed, CONTROLLERS, true);
	fake_node_add(s->nodes, "n1", "16", "32Gi", 110);
}

static bool has(struct sim *s, const char *kind, const char *name, int count)
{
	return sim_int(s, kind, name, "status.replicas", 0) == count &&
	       sim_int(s, kind, name, "status.readyReplicas", 0) == count;
}

static bool three_instances(struct sim *s)
{
	return sim_count(s, "VirtualMachineInstance") == 3 &&
	       has(s, "VirtualMachineInstanceReplicaSet", "web", 3) &&
	       sim_text_is(s, "VirtualMachineInstanceReplicaSet", "web", "status.labelSelector",
		       "app=web");
}

static bool one_instance(struct sim *s)
{
	return sim_count(s, "VirtualMachineInstance") == 1 &&
	       has(s, "VirtualMachineInstanceReplicaSet", "web", 1);
}

static void patch(struct sim *s, const char *kind, const char *text)
{
	fake_api_patch_text(s->api, kind, "default", "web", "%s", text);
}

static void test_replica_set(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		begin(&s, seed);
		sim_faults(&s, true);
		fake_api_create_text(s.api,
			"{'apiVersion':'kubevirt.io/v1','kind':"
			"'VirtualMachineInstanceReplicaSet','metadata':{'name':"
			"'web'},'spec':{'replicas':3,'selector':{'matchLabels':{"
			"'app':'web'}},'template':{" TEMPLATE "}}}");
		sim_run_ms(&s, 10000);
		sim_faults(&s, false);
		sim_until(&s, three_instances, 400000);
		sim_holds(&s, three_instances, 20000);
		sim_faults(&s, true);
		patch(&s, "VirtualMachineInstanceReplicaSet", "{'spec':{'replicas':1}}");
		sim_run_ms(&s, 10000);
		sim_faults(&s, false);
		sim_until(&s, one_instance, 400000);
		sim_holds(&s, one_instance, 20000);
		/* Paused: what is wanted is not made. */
		patch(&s, "VirtualMachineInstanceReplicaSet",
			"{'spec':{'replicas':3,'paused':true}}");
		sim_run_ms(&s, 5000);
		assert_true(sim_condition_is(&s, "VirtualMachineInstanceReplicaSet", "web",
			"ReplicaPaused", "True", "Paused"));
		assert_int_equal(sim_count(&s, "VirtualMachineInstance"), 1);
		patch(&s, "VirtualMachineInstanceReplicaSet", "{'spec':{'paused':false}}");
		sim_until(&s, three_instances, 60000);
		sim_end(&s);
	}
}

static bool pool_runs(struct sim *s)
{
	return sim_count(s, "VirtualMachine") == 2 && has(s, "VirtualMachinePool", "web", 2) &&
	       sim_text_is(s, "VirtualMachine", "web-0", "status.printableStatus", "Running") &&
	       sim_text_is(s, "VirtualMachine", "web-1", "status.printableStatus", "Running");
}

static bool memory_is(struct sim *s, const char *size)
{
	return pool_runs(s) &&
	       sim_text_is(
		       s, "VirtualMachineInstance", "web-0", "spec.domain.memory.guest", size) &&
	       sim_text_is(s, "VirtualMachineInstance", "web-1", "spec.domain.memory.guest", size);
}

static bool pool_updated(struct sim *s)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object **all;
	size_t count = fake_api_list(s->api, "ControllerRevision", "default", &a, &all), pools = 0;

	/* Its machines have some, too, of their starts. */
	for (size_t i = 0; i < count; i++) {
		const struct object_owner *owner = object_controller(all[i]);

		pools += owner && streq(owner->kind, "VirtualMachinePool");
	}
	/* What nobody has any more does not stay. */
	return memory_is(s, "256Mi") && pools == 1;
}

static bool first_alone(struct sim *s)
{
	return sim_count(s, "VirtualMachine") == 1 &&
	       fake_api_get(s->api, "VirtualMachine", "default", "web-0") &&
	       has(s, "VirtualMachinePool", "web", 1);
}

static void test_pool(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		begin(&s, seed);
		sim_faults(&s, true);
		fake_api_create_text(s.api,
			"{'apiVersion':'pool.kubevirt.io/"
			"v1beta1','kind':'VirtualMachinePool','metadata':{"
			"'name':'web'},'spec':{'replicas':2,'maxUnavailable':1,'selector':{"
			"'matchLabels':{'app':'web'}},'virtualMachineTemplate':{'metadata':{'"
			"labels':{"
			"'app':'web'}},'spec':{'runStrategy':'Always','template':{" TEMPLATE
			"}}}}}");
		sim_run_ms(&s, 10000);
		sim_faults(&s, false);
		sim_until(&s, pool_runs, 400000);
		sim_holds(&s, pool_runs, 20000);
		/* A changed template comes to machines and, one after the other, to instances. */
		sim_faults(&s, true);
		patch(&s, "VirtualMachinePool",
			"{'spec':{'virtualMachineTemplate':{'spec':{'template':{'spec':{'domain':{"
			"'memory':{'guest':'256Mi'}}}}}}}}");
		sim_run_ms(&s, 10000);
		sim_faults(&s, false);
		sim_until(&s, pool_updated, 400000);
		/* The highest number goes first. */
		patch(&s, "VirtualMachinePool", "{'spec':{'replicas':1}}");
		sim_until(&s, first_alone, 100000);
		sim_holds(&s, first_alone, 20000);
		sim_end(&s);
	}
}

static bool volume_made(struct sim *s)
{
	return fake_api_get(s->api, "DataVolume", "default", "root-0") &&
	       fake_api_get(s->api, "DataVolume", "default", "root-1");
}

static void test_pool_volumes(void **state)
{
	struct sim s;
	begin(&s, 1);
	fake_api_create_text(s.api,
		"{'apiVersion':'pool.kubevirt.io/"
		"v1beta1','kind':'VirtualMachinePool','metadata':{'name':"
		"'web'},'spec':{'replicas':2,'selector':{'matchLabels':{'app':'web'}},"
		"'virtualMachineTemplate':{'metadata':{'labels':{'app':'web'}},'spec':{'"
		"runStrategy':"
		"'Halted','dataVolumeTemplates':[{'metadata':{'name':'root'},'spec':{'source':{'"
		"blank':{"
		"}},'storage':{'resources':{'requests':{'storage':'1Gi'}}}}}],'template':{'"
		"metadata':{"
		"'labels':{'app':'web'}},'spec':{'volumes':[{'name':'root','dataVolume':{'name':'"
		"root'}}]"
		",'domain':{'devices':{}}}}}}}}");
	sim_until(&s, volume_made, 60000);
	sim_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_replica_set),
		cmocka_unit_test(test_pool),
		cmocka_unit_test(test_pool_volumes),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

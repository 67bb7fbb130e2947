#include "test/sim/sim.h"

#define CONTROLLERS "virtualmachine,virtualmachineinstance"

static void begin(struct sim *s, uint64_t seed, const char *strategy)
{
	sim_begin(s, seed, CONTROLLERS, true);
	fake_node_add(s->nodes, "n1", "8", "8Gi", 110);
	fake_api_create_text(s->api,
		"{'apiVersion':'kubevirt.io/"
		"v1','kind':'VirtualMachine','metadata':{'name':'vm'},'spec':{"
		"'runStrategy':'%s','template':{'metadata':{'labels':{'app':'web'}},'spec':{'"
		"domain':{"
		"'memory':{'guest':'512Mi'},'devices':{}}}}}}",
		strategy);
}

static bool status_is(struct sim *s, const char *status)
{
	return sim_text_is(s, "VirtualMachine", "vm", "status.printableStatus", status);
}

static bool runs(struct sim *s)
{
	return status_is(s, "Running") && sim_count(s, "VirtualMachineInstance") == 1 &&
	       sim_text_is(s, "VirtualMachineInstance", "vm", "metadata.labels.app", "web") &&
	       sim_condition_is(s, "VirtualMachine", "vm", "Ready", "True", NULL);
}

static bool stopped(struct sim *s)
{
	return status_is(s, "Stopped") && sim_count(s, "VirtualMachineInstance") == 0 &&
	       sim_condition_is(s, "VirtualMachine", "vm", "Ready", "False", "VMINotExists");
}

static void set_strategy(struct sim *s, const char *strategy)
{
	fake_api_patch_text(s->api, "VirtualMachine", "default", "vm",
		"{'spec':{'runStrategy':'%s'}}", strategy);
}

static char first_uid[40];
static void remember_uid(struct sim *s)
{
	snprintf(first_uid, sizeof(first_uid), "%s",
		fake_api_get(s->api, "VirtualMachineInstance", "default", "vm")->uid);
}

static bool runs_anew(struct sim *s)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object *vmi = fake_api_get(s->api, "VirtualMachineInstance", "default", "vm");
	return runs(s) && vmi && !streq(vmi->uid, first_uid) &&
	       !json_count(json_path(
		       sim_doc(s, &a, "VirtualMachine", "vm"), "status.stateChangeRequests"));
}

static void ask(struct sim *s, const char *requests)
{
	fake_api_patch_text(s->api, "VirtualMachine", "default", "vm",
		"{'status':{'stateChangeRequests':%s}}", requests);
}

static void test_always(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		begin(&s, seed, "Halted");
		sim_until(&s, stopped, 60000);
		sim_faults(&s, true);
		set_strategy(&s, "Always");
		sim_run_ms(&s, 10000);
		sim_faults(&s, false);
		sim_until(&s, runs, 200000);
		/* Restart: this instance is to go, and another one to come. */
		remember_uid(&s);
		char requests[200];
		snprintf(requests, sizeof(requests),
			"[{'action':'Stop','uid':'%s'},{'action':'Start'}]", first_uid);
		sim_faults(&s, true);
		ask(&s, requests);
		sim_run_ms(&s, 10000);
		sim_faults(&s, false);
		sim_until(&s, runs_anew, 200000);
		sim_holds(&s, runs_anew, 20000);
		/* Deleted by hand: comes back. */
		remember_uid(&s);
		fake_api_delete(s.api, "VirtualMachineInstance", "default", "vm", -1, NULL);
		sim_until(&s, runs_anew, 60000);
		sim_faults(&s, true);
		set_strategy(&s, "Halted");
		sim_run_ms(&s, 10000);
		sim_faults(&s, false);
		sim_until(&s, stopped, 200000);
		sim_holds(&s, stopped, 20000);
		sim_end(&s);
	}
}

static void test_manual(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		begin(&s, seed, "Manual");
		sim_until(&s, stopped, 60000);
		sim_holds(&s, stopped, 20000);
		sim_faults(&s, true);
		ask(&s, "[{'action':'Start'}]");
		sim_run_ms(&s, 10000);
		sim_faults(&s, false);
		sim_until(&s, runs, 200000);
		remember_uid(&s);
		char requests[100];
		snprintf(requests, sizeof(requests), "[{'action':'Stop','uid':'%s'}]", first_uid);
		ask(&s, requests);
		sim_until(&s, stopped, 60000);
		sim_holds(&s, stopped, 20000);
		sim_end(&s);
	}
}

static bool crash_looping(struct sim *s)
{
	return status_is(s, "CrashLoopBackOff");
}

static size_t created;
static void count_created(void *user, const struct object *old, const struct object *new)
{
	created += !old && new &&streq(new->kind->kind, "VirtualMachineInstance");
}

static void test_crash_back_off(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		begin(&s, seed, "Always");
		fake_nodes_crash_instances(s.nodes, "Failed");
		created = 0;
		fake_api_on_change(s.api, count_created, NULL);
		sim_until(&s, crash_looping, 60000);
		/* 10, 20, 40, 80, 160, 300, 300 s between starts. */
		sim_run_ms(&s, 600000);
		assert_in_range(created, 5, 7);
		assert_true(sim_int(&s, "VirtualMachine", "vm",
				    "status.startFailure.consecutiveFailCount", 0) >= 5);
		fake_nodes_crash_instances(s.nodes, NULL);
		sim_until(&s, runs, 400000);
		/* After ten good minutes nothing is held against it any more. */
		sim_run_ms(&s, 700000);
		fake_api_patch_text(s.api, "VirtualMachine", "default", "vm",
			"{'metadata':{'labels':{'x':'y'}}}");
		sim_run_ms(&s, 5000);
		assert_int_equal(sim_int(&s, "VirtualMachine", "vm",
					 "status.startFailure.consecutiveFailCount", 0),
			0);
		sim_end(&s);
	}
}

static bool ended(struct sim *s)
{
	return status_is(s, "Stopped") && sim_count(s, "VirtualMachineInstance") == 1;
}

/* A guest that switches itself off is left off, unless the machine is to run always. */
static void test_switched_off(void **state)
{
	static const char *const strategies[] = {"RerunOnFailure", "Manual", "Once"};
	for (size_t n = 0; n < ARRAY_LEN(strategies); n++) {
		struct sim s;
		begin(&s, n + 1, strategies[n]);
		if (n == 1)
			ask(&s, "[{'action':'Start'}]");
		sim_until(&s, runs, 60000);
		fake_api_patch_text(s.api, "VirtualMachineInstance", "default", "vm",
			"{'status':{'phase':'Succeeded'}}");
		sim_until(&s, ended, 20000);
		sim_holds(&s, ended, 60000);
		sim_end(&s);
	}
	struct sim s;
	begin(&s, 4, "Always");
	sim_until(&s, runs, 60000);
	remember_uid(&s);
	fake_api_patch_text(s.api, "VirtualMachineInstance", "default", "vm",
		"{'status':{'phase':'Succeeded'}}");
	sim_until(&s, runs_anew, 60000);
	sim_end(&s);
}

static bool restart_required(struct sim *s)
{
	return sim_condition_is(s, "VirtualMachine", "vm", "RestartRequired", "True", NULL);
}

static bool restart_not_required(struct sim *s)
{
	return !restart_required(s);
}

static bool plugged(struct sim *s)
{
	return sim_text_is(s, "VirtualMachineInstance", "vm", "spec.volumes[0].name", "hot") &&
	       sim_text_is(s, "VirtualMachineInstance", "vm",
		       "spec.domain.devices.disks[0].disk.bus", "scsi") &&
	       sim_int(s, "VirtualMachineInstance", "vm", "spec.domain.cpu.sockets", 0) == 2 &&
	       !restart_required(s);
}

static bool one_second(struct sim *s)
{
	return sim_int(s, "VirtualMachineInstance", "vm", "spec.terminationGracePeriodSeconds",
		       0) == 1;
}

/* A stop gives its own time, which the template's does not come over. */
static void test_grace_of_stop(void **state)
{
	struct sim s;
	begin(&s, 1, "Always");
	sim_until(&s, runs, 60000);
	fake_api_patch_text(s.api, "VirtualMachine", "default", "vm",
		"{'spec':{'template':{'spec':{'terminationGracePeriodSeconds':1}}}}");
	sim_until(&s, one_second, 20000);
	fake_api_patch_text(s.api, "VirtualMachineInstance", "default", "vm",
		"{'metadata':{'annotations':{'hanok.io/stop-grace':'true'}}}");
	fake_api_patch_text(s.api, "VirtualMachine", "default", "vm",
		"{'spec':{'template':{'spec':{'terminationGracePeriodSeconds':60}}}}");
	sim_holds(&s, one_second, 20000);
	sim_end(&s);
}

static bool unplugged(struct sim *s)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct json *spec = json_get(sim_doc(s, &a, "VirtualMachineInstance", "vm"), "spec");
	return !json_count(json_get(spec, "volumes")) &&
	       !json_count(json_path(spec, "domain.devices.disks"));
}

/* What can change live comes to the instance; the rest says that it waits. */
static void test_live_changes(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		begin(&s, seed, "Halted");
		sim_until(&s, stopped, 60000);
		fake_api_patch_text(s.api, "VirtualMachine", "default", "vm",
			"{'spec':{'runStrategy':'Always','template':{'spec':{'domain':{'cpu':{"
			"'sockets':1,'maxSockets':2}}}}}}");
		sim_until(&s, runs, 200000);
		remember_uid(&s);
		sim_faults(&s, true);
		fake_api_patch_text(s.api, "VirtualMachine", "default", "vm",
			"{'spec':{'template':{'spec':{'volumes':[{'name':'hot',"
			"'persistentVolumeClaim':{'claimName':'c','hotpluggable':true}}],"
			"'domain':{'cpu':{'sockets':2},'devices':{'disks':[{'name':'hot',"
			"'disk':{'bus':'scsi'}}]}}}}}}");
		sim_run_ms(&s, 5000);
		sim_faults(&s, false);
		sim_until(&s, plugged, 100000);
		sim_holds(&s, plugged, 20000);
		fake_api_patch_text(s.api, "VirtualMachine", "default", "vm",
			"{'spec':{'template':{'spec':{'volumes':[],'domain':{'cpu':{'sockets':1},"
			"'devices':{'disks':[]}}}}}}");
		sim_until(&s, unplugged, 100000);
		sim_until(&s, restart_required, 100000); /* one socket less */
		assert_string_equal(
			fake_api_get(s.api, "VirtualMachineInstance", "default", "vm")->uid,
			first_uid);
		sim_end(&s);
	}
}

/* What the node could not plug in waits for the next start. */
static void test_memory_fails(void **state)
{
	struct sim s;
	begin(&s, 2, "Always");
	sim_until(&s, runs, 60000);
	sim_run_ms(&s, 2000);
	assert_false(restart_required(&s));
	fake_api_patch_text(s.api, "VirtualMachineInstance", "default", "vm",
		"{'status':{'conditions':[{'type':'Ready','status':'True'},"
		"{'type':'HotMemoryChange','status':'False','reason':'Memory Hotplug Failed'}]}}");
	sim_until(&s, restart_required, 30000);
	fake_api_patch_text(s.api, "VirtualMachineInstance", "default", "vm",
		"{'status':{'conditions':[{'type':'Ready','status':'True'}]}}");
	sim_until(&s, restart_not_required, 30000);
	sim_end(&s);
}

static bool has_revision(struct sim *s)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct json *vm = sim_doc(s, &a, "VirtualMachine", "vm");
	const char *name =
		arena_printf(&a, "revision-start-vm-%s-%d", json_path_str(vm, "metadata.uid"),
			(int)json_path_int(vm, "metadata.generation", 0));
	const struct object *r = fake_api_get(s->api, "ControllerRevision", "default", name);
	return r && sim_count(s, "ControllerRevision") == 1 &&
	       json_equal(json_path(object_doc(r, &a), "data.spec"), json_get(vm, "spec"));
}

/* What it was when it was started is kept, for one start. */
static void test_revision(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		begin(&s, seed, "Always");
		sim_faults(&s, true);
		sim_run_ms(&s, 5000);
		sim_faults(&s, false);
		sim_until(&s, runs, 200000);
		sim_until(&s, has_revision, 60000);
		remember_uid(&s);
		fake_api_patch_text(s.api, "VirtualMachine", "default", "vm",
			"{'spec':{'template':{'spec':{'hostname':'other'}}}}");
		sim_until(&s, restart_required, 60000);
		assert_false(has_revision(&s));
		assert_int_equal(sim_count(&s, "ControllerRevision"), 1);
		sim_faults(&s, true);
		fake_api_delete(s.api, "VirtualMachineInstance", "default", "vm", -1, NULL);
		sim_run_ms(&s, 5000);
		sim_faults(&s, false);
		sim_until(&s, runs_anew, 200000);
		sim_until(&s, has_revision, 60000);
		assert_false(restart_required(&s));
		sim_end(&s);
	}
}

static bool selects(struct sim *s)
{
	return sim_text_is(s, "VirtualMachineInstance", "vm", "spec.nodeSelector.disk", "fast") &&
	       !restart_required(s);
}

static void select_nodes(struct sim *s, const char *value)
{
	fake_api_patch_text(s->api, "VirtualMachine", "default", "vm",
		"{'spec':{'template':{'spec':{'nodeSelector':%s}}}}", value);
}

/* Under the strategy Stage every change waits; under LiveUpdate only some do. */
static void test_staged(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		begin(&s, seed, "Always");
		fake_api_create_text(s.api, "{'apiVersion':'kubevirt.io/v1','kind':'KubeVirt',"
					    "'metadata':{'name':'kubevirt'},'spec':{"
					    "'configuration':{'vmRolloutStrategy':'Stage'}}}");
		sim_until(&s, runs, 200000);
		sim_run_ms(&s, 2000);
		assert_false(restart_required(&s));
		sim_faults(&s, true);
		select_nodes(&s, "{'disk':'fast'}");
		sim_run_ms(&s, 5000);
		sim_faults(&s, false);
		sim_until(&s, restart_required, 60000);
		assert_false(selects(&s));
		select_nodes(&s, "null");
		sim_until(&s, restart_not_required, 60000);
		select_nodes(&s, "{'disk':'fast'}");
		sim_until(&s, restart_required, 60000);
		fake_api_patch_text(s.api, "KubeVirt", "default", "kubevirt",
			"{'spec':{'configuration':{'vmRolloutStrategy':'LiveUpdate'}}}");
		sim_until(&s, selects, 60000);
		sim_end(&s);
	}
}

static bool unschedulable(struct sim *s)
{
	return status_is(s, "ErrorUnschedulable");
}

static void test_says_so(void **state)
{
	struct sim s;
	begin(&s, 1, "Always");
	sim_until(&s, runs, 60000);
	sim_run_ms(&s, 2000);
	assert_false(restart_required(&s));
	fake_api_patch_text(s.api, "VirtualMachine", "default", "vm",
		"{'spec':{'template':{'spec':{'domain':{'memory':{'guest':'64Gi'}}}}}}");
	sim_until(&s, restart_required, 10000);
	fake_api_delete(s.api, "VirtualMachineInstance", "default", "vm", -1, NULL);
	sim_until(&s, unschedulable, 30000);
	assert_false(restart_required(&s));
	/* Unplaced, it has no node that could let it go. */
	set_strategy(&s, "Halted");
	sim_until(&s, stopped, 30000);
	sim_end(&s);
}

static bool foreign_refused(struct sim *s)
{
	return sim_condition_is(s, "VirtualMachine", "vm", "Failure", "True", "FailedCreate");
}

static void test_foreign_instance(void **state)
{
	struct sim s;
	begin(&s, 1, "Halted");
	fake_api_create_text(s.api, "{'apiVersion':'kubevirt.io/"
				    "v1','kind':'VirtualMachineInstance','metadata':{'name':'vm'},"
				    "'spec':{'domain':{'devices':{}}}}");
	sim_run_ms(&s, 5000);
	assert_int_equal(sim_count(&s, "VirtualMachineInstance"), 1);
	set_strategy(&s, "Always");
	sim_until(&s, foreign_refused, 10000);
	fake_api_delete(s.api, "VirtualMachineInstance", "default", "vm", -1, NULL);
	sim_until(&s, runs, 60000);
	assert_false(foreign_refused(&s));
	sim_end(&s);
}

/* Templates of data volumes: made at once, and waited for. */

static bool volume_made(struct sim *s)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object *dv = fake_api_get(s->api, "DataVolume", "default", "vm-root");
	const struct object_owner *owner = dv ? object_controller(dv) : NULL;
	return owner && streq(owner->kind, "VirtualMachine") &&
	       sim_text_is(s, "DataVolume", "vm-root", "spec.storage.resources.requests.storage",
		       "1Gi");
}

static void volume_phase(struct sim *s, const char *phase)
{
	fake_api_patch_text(
		s->api, "DataVolume", "default", "vm-root", "{'status':{'phase':'%s'}}", phase);
}

static bool provisioning(struct sim *s)
{
	return status_is(s, "Provisioning") && sim_count(s, "VirtualMachineInstance") == 0 &&
	       sim_condition_is(
		       s, "VirtualMachine", "vm", "DataVolumesReady", "False", "NotAllDVsReady");
}

static bool volume_error(struct sim *s)
{
	return status_is(s, "DataVolumeError") && sim_count(s, "VirtualMachineInstance") == 0;
}

static bool waits_for_binding(struct sim *s)
{
	return sim_count(s, "VirtualMachineInstance") == 1;
}

static void begin_with_volume(struct sim *s, uint64_t seed)
{
	sim_begin(s, seed, CONTROLLERS, true);
	fake_node_add(s->nodes, "n1", "8", "8Gi", 110);
	fake_api_create_text(s->api,
		"{'apiVersion':'kubevirt.io/v1','kind':'VirtualMachine','metadata':{'name':'vm'},"
		"'spec':{'runStrategy':'Always','dataVolumeTemplates':[{'metadata':{'name':'vm-"
		"root'},"
		"'spec':{'source':{'blank':{}},'storage':{'resources':{'requests':{'storage':'1Gi'}"
		"}}}}"
		"],'template':{'spec':{'volumes':[{'name':'root','dataVolume':{'name':'vm-root'}}],"
		"'domain':{'memory':{'guest':'512Mi'},'devices':{}}}}}}");
}

static void test_data_volumes(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		begin_with_volume(&s, seed);
		sim_faults(&s, true);
		sim_run_ms(&s, 10000);
		sim_faults(&s, false);
		sim_until(&s, volume_made, 100000);
		assert_int_equal(sim_count(&s, "VirtualMachineInstance"), 0);
		volume_phase(&s, "ImportInProgress");
		sim_until(&s, provisioning, 100000);
		sim_holds(&s, provisioning, 20000);
		volume_phase(&s, "Failed");
		sim_until(&s, volume_error, 100000);
		/* It comes with its first consumer. */
		volume_phase(&s, "WaitForFirstConsumer");
		sim_until(&s, waits_for_binding, 100000);
		sim_end(&s);
	}
}

static bool runs_paused(struct sim *s)
{
	return runs(s) && sim_text_is(s, "VirtualMachine", "vm", "spec.runStrategy", "Always") &&
	       sim_text_is(s, "VirtualMachineInstance", "vm", "spec.startStrategy", "Paused");
}

/* A paused start of a halted machine makes it run always, and its first instance paused. */
static void test_paused_start(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		begin(&s, seed, "Halted");
		sim_until(&s, stopped, 60000);
		sim_faults(&s, true);
		ask(&s, "[{'action':'Start','data':{'paused':'true'}}]");
		sim_run_ms(&s, 10000);
		sim_faults(&s, false);
		sim_until(&s, runs_paused, 200000);
		sim_end(&s);
	}
}

/* One that failed runs again; one that was stopped by request does not. */
static void test_rerun_on_failure(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		char requests[100];
		begin(&s, seed, "RerunOnFailure");
		sim_until(&s, runs, 60000);
		remember_uid(&s);
		fake_api_patch_text(s.api, "VirtualMachineInstance", "default", "vm",
			"{'status':{'phase':'Failed'}}");
		sim_faults(&s, true);
		sim_run_ms(&s, 10000);
		sim_faults(&s, false);
		sim_until(&s, runs_anew, 200000);
		remember_uid(&s);
		snprintf(requests, sizeof(requests), "[{'action':'Stop','uid':'%s'}]", first_uid);
		ask(&s, requests);
		sim_until(&s, stopped, 60000);
		sim_holds(&s, stopped, 60000);
		ask(&s, "[{'action':'Start'}]");
		sim_until(&s, runs, 60000);
		sim_end(&s);
	}
}

/* Instancetypes: waited for, kept as a revision, and changed without a change of the machine. */

static bool size_missing(struct sim *s)
{
	return sim_count(s, "VirtualMachineInstance") == 0 &&
	       sim_condition_is(
		       s, "VirtualMachine", "vm", "Failure", "True", "FailedFindInstancetype");
}

static bool runs_with(struct sim *s, const char *memory)
{
	/* Of its size, and of its start. */
	return runs(s) && sim_count(s, "ControllerRevision") == 2 &&
	       sim_text_is(s, "VirtualMachineInstance", "vm", "spec.domain.memory.guest", memory) &&
	       sim_text_is(s, "VirtualMachine", "vm", "status.instancetypeRef.name", "small") &&
	       sim_condition_is(s, "VirtualMachine", "vm", "Ready", "True", NULL);
}

static bool runs_small(struct sim *s)
{
	return runs_with(s, "128Mi");
}

static void make_size(struct sim *s, const char *memory)
{
	fake_api_create_text(s->api,
		"{'apiVersion':'instancetype.kubevirt.io/v1beta1','kind':"
		"'VirtualMachineClusterInstancetype','metadata':{'name':'small'},'spec':{'cpu':{"
		"'guest':1},'memory':{'guest':'%s'}}}",
		memory);
}

static void test_instancetype(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		sim_begin(&s, seed, CONTROLLERS, true);
		fake_node_add(s.nodes, "n1", "8", "8Gi", 110);
		fake_api_create_text(s.api,
			"{'apiVersion':'kubevirt.io/v1','kind':'VirtualMachine','metadata':{'name':"
			"'vm'},'spec':{'runStrategy':'Always','instancetype':{'name':'small','kind'"
			":"
			"'virtualmachineclusterinstancetype'},'template':{'metadata':{'labels':{"
			"'app':'web'}},'spec':{'domain':{'devices':{}}}}}}");
		sim_until(&s, size_missing, 60000);
		sim_faults(&s, true);
		make_size(&s, "128Mi");
		sim_run_ms(&s, 10000);
		sim_faults(&s, false);
		sim_until(&s, runs_small, 200000);
		/* Another size of that name is for machines to come. */
		remember_uid(&s);
		fake_api_delete(s.api, "VirtualMachineClusterInstancetype", "", "small", -1, NULL);
		make_size(&s, "256Mi");
		fake_api_delete(s.api, "VirtualMachineInstance", "default", "vm", -1, NULL);
		sim_until(&s, runs_anew, 60000);
		sim_until(&s, runs_small, 60000);
		sim_end(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_always),
		cmocka_unit_test(test_manual),
		cmocka_unit_test(test_crash_back_off),
		cmocka_unit_test(test_switched_off),
		cmocka_unit_test(test_says_so),
		cmocka_unit_test(test_foreign_instance),
		cmocka_unit_test(test_data_volumes),
		cmocka_unit_test(test_paused_start),
		cmocka_unit_test(test_rerun_on_failure),
		cmocka_unit_test(test_instancetype),
		cmocka_unit_test(test_live_changes),
		cmocka_unit_test(test_memory_fails),
		cmocka_unit_test(test_revision),
		cmocka_unit_test(test_staged),
		cmocka_unit_test(test_grace_of_stop),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

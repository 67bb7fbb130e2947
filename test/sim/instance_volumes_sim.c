/* What a VirtualMachineInstance says of its data volumes and claims. */
#include "test/sim/sim.h"

#define VMI "VirtualMachineInstance"

static bool lost(struct sim *s)
{
	return sim_condition_is(s, VMI, "vm", "Synchronized", "False", "FailedPvcNotFound") &&
	       sim_condition_is(s, VMI, "vm", "DataVolumesReady", "False", "NotAllDVsReady") &&
	       sim_condition_is(s, VMI, "vm", "Provisioning", "True", NULL);
}

static bool has(struct sim *s, const char *type)
{
	return sim_condition_is(s, VMI, "vm", type, "True", NULL) ||
	       sim_condition_is(s, VMI, "vm", type, "False", NULL);
}

static bool found(struct sim *s)
{
	return !has(s, "Synchronized") &&
	       sim_condition_is(s, VMI, "vm", "DataVolumesReady", "False", "NotAllDVsReady");
}

static bool filled(struct sim *s)
{
	return !has(s, "Provisioning") && !has(s, "Synchronized") &&
	       sim_condition_is(s, VMI, "vm", "DataVolumesReady", "True", "AllDVsReady");
}

static bool unknown(struct sim *s)
{
	return sim_condition_is(s, VMI, "vm", "DataVolumesReady", "Unknown", "NotAllDVsReady");
}

static bool says_nothing(struct sim *s)
{
	return !has(s, "DataVolumesReady") && !has(s, "Provisioning") && !unknown(s);
}

static void set(struct sim *s, const char *phase, const char *ready)
{
	fake_api_patch_text(s->api, "DataVolume", "default", "root",
		"{'status':{'phase':'%s','conditions':[{'type':'Ready','status':'%s'}]}}", phase,
		ready);
}

static void test_volumes(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		sim_begin(&s, seed, "virtualmachineinstance", false);
		sim_faults(&s, true);
		fake_api_create_text(s.api,
			"{'apiVersion':'cdi.kubevirt.io/v1beta1','kind':'DataVolume','metadata':{"
			"'name':'root'},'spec':{'source':{'blank':{}},'storage':{'resources':{"
			"'requests':{'storage':'1Gi'}}}}}");
		set(&s, "Pending", "False");
		fake_api_create_text(s.api,
			"{'apiVersion':'kubevirt.io/v1','kind':'VirtualMachineInstance',"
			"'metadata':{'name':'vm'},'spec':{'domain':{'devices':{}},'volumes':["
			"{'name':'root','dataVolume':{'name':'root'}},{'name':'data',"
			"'persistentVolumeClaim':{'claimName':'data'}}]},'status':{'phase':"
			"'Pending'}}");
		sim_run_ms(&s, 5000);
		sim_faults(&s, false);
		sim_until(&s, lost, 100000);
		sim_holds(&s, lost, 10000);
		fake_api_create_text(s.api,
			"{'apiVersion':'v1','kind':'PersistentVolumeClaim','metadata':{'name':"
			"'data'},'spec':{'accessModes':['ReadWriteOnce'],'resources':{'requests':{"
			"'storage':'1Gi'}}}}");
		sim_until(&s, found, 60000);
		set(&s, "ImportInProgress", "Unknown");
		sim_until(&s, unknown, 60000);
		set(&s, "Succeeded", "True");
		sim_until(&s, filled, 60000);
		/* What the node says of it stays. */
		fake_api_patch_text(s.api, VMI, "default", "vm",
			"{'status':{'nodeName':'n1','conditions':[{'type':'Synchronized','status':"
			"'False','reason':'ErrImagePull'}]}}");
		fake_api_delete(s.api, "PersistentVolumeClaim", "default", "data", -1, NULL);
		sim_run_ms(&s, 5000);
		assert_true(
			sim_condition_is(&s, VMI, "vm", "Synchronized", "False", "ErrImagePull"));
		/* A data volume that went after it was filled is none any more. */
		fake_api_delete(s.api, "DataVolume", "default", "root", -1, NULL);
		sim_until(&s, says_nothing, 60000);
		sim_end(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_volumes)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

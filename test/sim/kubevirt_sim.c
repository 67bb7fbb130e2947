/* The objects by which clients see that the platform of virtual machines is there. */
#include "test/sim/sim.h"

#define IGNORED "ConfigurationIgnored"

static bool kubevirt_is_deployed(struct sim *s)
{
	return sim_text_is(s, "KubeVirt", "kv", "status.phase", "Deployed") &&
	       sim_condition_is(s, "KubeVirt", "kv", "Available", "True", "AllComponentsReady") &&
	       sim_condition_is(
		       s, "KubeVirt", "kv", "Progressing", "False", "AllComponentsReady") &&
	       sim_condition_is(s, "KubeVirt", "kv", "Degraded", "False", "AllComponentsReady") &&
	       sim_condition_is(s, "KubeVirt", "kv", "Created", "True", "AllResourcesCreated");
}

static bool names_what_is_ignored(struct sim *s)
{
	return kubevirt_is_deployed(s) &&
	       sim_condition_is(s, "KubeVirt", "kv", IGNORED, "True", "NotFollowed");
}

static bool names_nothing(struct sim *s)
{
	return kubevirt_is_deployed(s) &&
	       !sim_condition_is(s, "KubeVirt", "kv", IGNORED, "True", "NotFollowed");
}

static bool cdi_is_deployed(struct sim *s)
{
	return sim_text_is(s, "CDI", "cdi", "status.phase", "Deployed") &&
	       sim_condition_is(s, "CDI", "cdi", "Available", "True", "DeployCompleted");
}

static void patch(struct sim *s, const char *text)
{
	fake_api_patch_text(s->api, "KubeVirt", "default", "kv", "%s", text);
}

static void test_platform(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		sim_begin(&s, seed, "kubevirt,cdi", false);
		sim_faults(&s, true);
		fake_api_create_text(s.api,
			"{'apiVersion':'kubevirt.io/v1','kind':'KubeVirt','metadata':{'name':'kv'},"
			"'spec':{}}");
		fake_api_create_text(s.api,
			"{'apiVersion':'cdi.kubevirt.io/v1beta1','kind':'CDI','metadata':{'name':"
			"'cdi'},'spec':{}}");
		sim_run_ms(&s, 5000);
		sim_faults(&s, false);
		sim_until(&s, names_nothing, 100000);
		sim_until(&s, cdi_is_deployed, 100000);
		patch(&s, "{'spec':{'configuration':{'migrations':{'bandwidthPerMigration':'1Gi'}}}"
			  "}");
		sim_until(&s, names_what_is_ignored, 60000);
		sim_holds(&s, names_what_is_ignored, 10000);
		patch(&s, "{'spec':{'configuration':{'migrations':null,'cpuModel':'host-model'}}}");
		sim_until(&s, names_nothing, 60000);
		/* What others wrote into the status does not stay. */
		patch(&s, "{'status':{'phase':'Deploying'}}");
		sim_until(&s, names_nothing, 60000);
		sim_end(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_platform)};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "test/sim/sim.h"

static bool has_account(struct sim *s)
{
	return fake_api_get(s->api, "ServiceAccount", "team", "default") &&
	       fake_api_get(s->api, "ServiceAccount", "default", "default");
}

static bool gone(struct sim *s)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object **all;
	return !fake_api_get(s->api, "Namespace", "", "team") &&
	       !fake_api_list(s->api, "Pod", "team", &a, &all) &&
	       !fake_api_list(s->api, "ConfigMap", "team", &a, &all) &&
	       !fake_api_list(s->api, "Deployment", "team", &a, &all) &&
	       !fake_api_list(s->api, "ServiceAccount", "team", &a, &all);
}

static bool configuration_gone;
static void watch_order(void *user, const struct object *old, const struct object *new)
{
	struct sim *s = user;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object **all;
	/* Configuration must outlive what runs. */
	if (!new &&streq(old->kind->kind, "ConfigMap") &&
		fake_api_list(s->api, "Pod", "team", &a, &all))
		configuration_gone = true;
	/* Nothing may be left behind when the namespace goes. */
	if (!new &&streq(old->kind->kind, "Namespace"))
		assert_true(gone(s));
}

static void fill(struct sim *s)
{
	fake_api_create_text(
		s->api, "{'apiVersion':'v1','kind':'Namespace','metadata':{'name':'team'}}");
	fake_api_create_text(s->api, "{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'c',"
				     "'namespace':'team'}}");
	fake_api_create_text(s->api,
		"{'apiVersion':'apps/"
		"v1','kind':'Deployment','metadata':{'name':'web','namespace':'team'},"
		"'spec':{'replicas':3,'selector':{'matchLabels':{'app':'web'}},'template':{'"
		"metadata':{"
		"'labels':{'app':'web'}},'spec':{'containers':[{'name':'c','image':'i'}]}}}}");
	fake_api_create_text(s->api,
		"{'apiVersion':'kubevirt.io/"
		"v1','kind':'VirtualMachine','metadata':{'name':'vm','namespace':"
		"'team'},'spec':{'runStrategy':'Always','template':{'spec':{'domain':{'devices':{}}"
		"}}}}");
}

static bool running(struct sim *s)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object **all;
	return fake_api_list(s->api, "Pod", "team", &a, &all) == 3 &&
	       fake_api_list(s->api, "VirtualMachineInstance", "team", &a, &all) == 1 &&
	       has_account(s);
}

static void test_deletes_all(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		sim_begin(&s, seed, "*", true);
		fake_node_add(s.nodes, "n1", "8", "8Gi", 110);
		fill(&s);
		sim_until(&s, running, 100000);
		configuration_gone = false;
		fake_api_on_change(s.api, watch_order, &s);
		sim_faults(&s, true);
		fake_api_delete(s.api, "Namespace", "", "team", -1, NULL);
		sim_run_ms(&s, 30000);
		sim_faults(&s, false);
		sim_until(&s, gone, 400000);
		assert_false(configuration_gone);
		sim_end(&s);
	}
}

static bool says_what_remains(struct sim *s)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object *o = fake_api_get(s->api, "Namespace", "", "team");
	JSON_FOR_EACH_ITEM(c, json_path(o ? object_doc(o, &a) : NULL, "status.conditions"))
		if (streq(json_str(json_get(c, "type")), "NamespaceFinalizersRemaining"))
			return streq(json_str(json_get(c, "message")),
				"Some content in the namespace has finalizers remaining: "
				"example.com/hold in 1 "
				"resource instances");
	return false;
}

static void test_waits_for_finalizers(void **state)
{
	struct sim s;
	sim_begin(&s, 1, "namespace,serviceaccount", false);
	fake_api_create_text(
		s.api, "{'apiVersion':'v1','kind':'Namespace','metadata':{'name':'team'}}");
	fake_api_create_text(s.api, "{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'"
				    "held','namespace':'team',"
				    "'finalizers':['example.com/hold']}}");
	sim_run_ms(&s, 5000);
	fake_api_delete(s.api, "Namespace", "", "team", -1, NULL);
	sim_until(&s, says_what_remains, 30000);
	sim_holds(&s, says_what_remains, 60000);
	fake_api_patch_text(s.api, "ConfigMap", "team", "held", "{'metadata':{'finalizers':null}}");
	sim_until(&s, gone, 60000);
	sim_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_deletes_all),
		cmocka_unit_test(test_waits_for_finalizers),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

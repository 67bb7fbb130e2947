#include "test/sim/sim.h"

#define CONTROLLERS "endpoint,endpointslice"

static void make_service(struct sim *s, const char *ports)
{
	fake_api_create_text(s->api,
		"{'apiVersion':'v1','kind':'Service','metadata':{'name':'web','labels':{'team':'a'}"
		"},'spec':{"
		"'selector':{'app':'web'},'clusterIP':'10.96.0.10','ports':%s}}",
		ports);
}

static void make_pod(struct sim *s, const char *name, const char *port)
{
	fake_api_create_text(s->api,
		"{'apiVersion':'v1','kind':'Pod','metadata':{'name':'%s','labels':{'app':'web'}},'"
		"spec':{"
		"'nodeName':'n1','containers':[{'name':'c','image':'i','ports':[{'name':'http',"
		"'containerPort':%s}]}]}}",
		name, port);
}

static void make_instance(struct sim *s, const char *name)
{
	fake_api_create_text(s->api,
		"{'apiVersion':'kubevirt.io/"
		"v1','kind':'VirtualMachineInstance','metadata':{'name':'%s',"
		"'labels':{'app':'web'},'finalizers':['foregroundDeleteVirtualMachine']},'spec':{'"
		"domain':{"
		"'devices':{'interfaces':[{'name':'default','bridge':{},'ports':[{'name':'http','"
		"port':8080}"
		"]}]}},'networks':[{'name':'default','pod':{}}]},'status':{'nodeName':'n1','phase':"
		"'Scheduled'}}",
		name);
}

/* Addresses of Endpoints: how many are ready, and how many come from virtual machines. */
static size_t ready_addresses(struct sim *s, size_t *ret_machines)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	size_t count = 0;
	*ret_machines = 0;
	JSON_FOR_EACH_ITEM(subset, json_get(sim_doc(s, &a, "Endpoints", "web"), "subsets"))
		JSON_FOR_EACH_ITEM(address, json_get(subset, "addresses")) {
			count++;
			*ret_machines += streq(
				json_path_str(address, "targetRef.kind"), "VirtualMachineInstance");
		}
	return count;
}

static size_t slice_endpoints(struct sim *s, size_t *ret_slices, size_t *ret_largest)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object **all;
	size_t count = 0;
	*ret_slices = fake_api_list(s->api, "EndpointSlice", "default", &a, &all);
	*ret_largest = 0;
	for (size_t n = 0; n < *ret_slices; n++) {
		struct json *endpoints = json_get(object_doc(all[n], &a), "endpoints");
		*ret_largest = MAX(*ret_largest, json_count(endpoints));
		JSON_FOR_EACH_ITEM(e, endpoints)
			count += json_path_bool(e, "conditions.ready", false);
	}
	return count;
}

static bool serves(struct sim *s, size_t all, size_t machines)
{
	size_t is_machines, slices, largest;
	return ready_addresses(s, &is_machines) == all && is_machines == machines &&
	       slice_endpoints(s, &slices, &largest) == all && largest <= 100;
}

static bool three_and_one(struct sim *s)
{
	return serves(s, 4, 1);
}

static bool two_and_one(struct sim *s)
{
	return serves(s, 3, 1);
}

static bool two(struct sim *s)
{
	return serves(s, 2, 0);
}

static bool empty_slice(struct sim *s)
{
	size_t slices, largest;
	return slice_endpoints(s, &slices, &largest) == 0 && slices == 1 && largest == 0;
}

/* Containers and a virtual machine answer for one service; they come and go. */
static void test_mixed(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		sim_begin(&s, seed, CONTROLLERS, false);
		fake_node_add(s.nodes, "n1", "8", "8Gi", 110);
		make_service(&s, "[{'name':'http','port':80,'protocol':'TCP','targetPort':8080}]");
		sim_until(&s, empty_slice, 30000);
		sim_faults(&s, true);
		make_pod(&s, "a", "8080");
		make_pod(&s, "b", "8080");
		make_pod(&s, "c", "8080");
		make_instance(&s, "vm");
		sim_run_ms(&s, 20000);
		sim_faults(&s, false);
		sim_until(&s, three_and_one, 100000);
		assert_true(sim_text_is(&s, "Endpoints", "web", "metadata.labels.team", "a"));

		/* No longer ready: out of the addresses, but not out of sight. */
		sim_faults(&s, true);
		fake_api_patch_text(s.api, "Pod", "default", "b",
			"{'status':{'conditions':[{'type':'Ready','status':'False'}]}}");
		sim_run_ms(&s, 5000);
		sim_faults(&s, false);
		sim_until(&s, two_and_one, 100000);
		struct arena a = ARENA_INIT;
		struct json *doc = sim_doc(&s, &a, "Endpoints", "web");
		assert_string_equal(
			json_path_str(doc, "subsets[0].notReadyAddresses[0].targetRef.name"), "b");
		assert_int_equal(json_path_int(doc, "subsets[0].ports[0].port", 0), 8080);
		arena_finish(&a);

		sim_faults(&s, true);
		fake_api_delete(s.api, "VirtualMachineInstance", "default", "vm", -1, NULL);
		sim_run_ms(&s, 5000);
		sim_faults(&s, false);
		sim_until(&s, two, 100000);
		sim_holds(&s, two, 10000);
		sim_end(&s);
	}
}

static bool two_groups(struct sim *s)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct json *subsets = json_get(sim_doc(s, &a, "Endpoints", "web"), "subsets");
	return json_count(subsets) == 2 && json_count(json_path(subsets, "[0].addresses")) == 1 &&
	       json_count(json_path(subsets, "[1].addresses")) == 2 &&
	       json_path_int(subsets, "[0].ports[0].port", 0) == 3000 &&
	       json_path_int(subsets, "[1].ports[0].port", 0) == 8080;
}

static bool only_labelled(struct sim *s)
{
	size_t machines;
	return ready_addresses(s, &machines) == 0;
}

static void test_named_ports(void **state)
{
	struct sim s;
	sim_begin(&s, 1, CONTROLLERS, false);
	fake_node_add(s.nodes, "n1", "8", "8Gi", 110);
	make_service(&s, "[{'port':80,'protocol':'TCP','targetPort':'http'}]");
	make_pod(&s, "a", "3000");
	make_pod(&s, "b", "8080");
	make_instance(&s, "vm"); /* its port is named on its interface */
	sim_until(&s, two_groups, 30000);
	/* Another selector: nobody is left. */
	fake_api_patch_text(
		s.api, "Service", "default", "web", "{'spec':{'selector':{'app':'other'}}}");
	sim_until(&s, only_labelled, 30000);
	sim_until(&s, empty_slice, 30000);
	/* The service goes: so do the endpoints. */
	fake_api_delete(s.api, "Service", "default", "web", -1, NULL);
	sim_run_ms(&s, 10000);
	assert_null(fake_api_get(s.api, "Endpoints", "default", "web"));
	sim_end(&s);
}

static bool all_250(struct sim *s)
{
	size_t slices, largest, machines;
	return slice_endpoints(s, &slices, &largest) == 250 && slices >= 3 && slices <= 5 &&
	       largest <= 100 && ready_addresses(s, &machines) == 250;
}

static void test_many(void **state)
{
	struct sim s;
	char name[32];
	sim_begin(&s, 2, CONTROLLERS, false);
	fake_node_add(s.nodes, "n1", "8", "8Gi", 500);
	sim_faults(&s, true);
	make_service(&s, "[{'port':80,'protocol':'TCP','targetPort':80}]");
	for (int n = 0; n < 250; n++) {
		snprintf(name, sizeof(name), "p%d", n);
		make_pod(&s, name, "80");
	}
	sim_run_ms(&s, 20000);
	sim_faults(&s, false);
	sim_until(&s, all_250, 200000);
	sim_holds(&s, all_250, 5000);
	sim_end(&s);
}

static bool zoned(struct sim *s)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object **all;
	size_t count = fake_api_list(s->api, "EndpointSlice", "default", &a, &all);
	struct json *doc = count == 1 ? object_doc(all[0], &a) : NULL;
	return streq(json_path_str(doc, "endpoints[0].zone"), "z1") &&
	       streq(json_path_str(doc, "endpoints[0].hints.forZones[0].name"), "z1");
}

static void test_zones(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		sim_begin(&s, seed, CONTROLLERS, false);
		fake_node_add(s.nodes, "n1", "8", "8Gi", 110);
		make_service(&s, "[{'port':80,'protocol':'TCP','targetPort':80}]");
		fake_api_patch_text(s.api, "Service", "default", "web",
			"{'spec':{'trafficDistribution':'PreferClose'}}");
		make_pod(&s, "a", "80");
		sim_faults(&s, true);
		fake_api_patch_text(s.api, "Node", "", "n1",
			"{'metadata':{'labels':{'topology.kubernetes.io/zone':'z1'}}}");
		sim_run_ms(&s, 10000);
		sim_faults(&s, false);
		sim_until(&s, zoned, 100000);
		sim_end(&s);
	}
}

/* What the slices of a service's mirrored endpoints say: "10.0.0.1 true," of each. */
static char *mirrored(struct sim *s, struct arena *a, size_t *ret_slices)
{
	struct object **all;
	*ret_slices = fake_api_list(s->api, "EndpointSlice", "default", a, &all);
	char *text = "";
	for (size_t n = 0; n < *ret_slices; n++)
		JSON_FOR_EACH_ITEM(e, json_path(object_doc(all[n], a), "endpoints"))
			text = arena_printf(a, "%s%s %d,", text, json_path_str(e, "addresses[0]"),
				json_path_bool(e, "conditions.ready", false));
	return text;
}

static bool mirrors_three(struct sim *s)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	size_t slices;
	const char *text = mirrored(s, &a, &slices);
	return slices == 2 && strstr(text, "10.0.0.1 1,10.0.0.2 0,") && strstr(text, "fd00::1 1,");
}

static bool mirrors_one(struct sim *s)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	size_t slices;
	return streq(mirrored(s, &a, &slices), "10.0.0.9 1,") && slices == 1;
}

static bool mirrors_none(struct sim *s)
{
	return sim_count(s, "EndpointSlice") == 0;
}

static void test_mirroring(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		sim_begin(&s, seed, "endpointslicemirroring", false);
		sim_faults(&s, true);
		fake_api_create_text(s.api,
			"{'apiVersion':'v1','kind':'Service','metadata':{'name':'web'},'spec':{"
			"'clusterIP':'10.96.0.10','ports':[{'port':80,'protocol':'TCP'}]}}");
		fake_api_create_text(s.api,
			"{'apiVersion':'v1','kind':'Endpoints','metadata':{'name':'web','labels':{"
			"'team':'a'}},'subsets':[{'addresses':[{'ip':'10.0.0.1'},{'ip':'fd00::1'}],"
			"'notReadyAddresses':[{'ip':'10.0.0.2'}],'ports':[{'name':'http','port':80"
			",'protocol':'TCP'}]}]}");
		sim_run_ms(&s, 20000);
		sim_faults(&s, false);
		sim_until(&s, mirrors_three, 100000);
		sim_faults(&s, true);
		fake_api_patch_text(s.api, "Endpoints", "default", "web",
			"{'subsets':[{'addresses':[{'ip':'10.0.0.9'}],'ports':[{'port':81,"
			"'protocol':'TCP'}]}]}");
		sim_run_ms(&s, 20000);
		sim_faults(&s, false);
		sim_until(&s, mirrors_one, 100000);
		sim_holds(&s, mirrors_one, 5000);
		/* A service with a selector has slices of its own. */
		fake_api_patch_text(
			s.api, "Service", "default", "web", "{'spec':{'selector':{'app':'web'}}}");
		sim_until(&s, mirrors_none, 30000);
		fake_api_patch_text(
			s.api, "Service", "default", "web", "{'spec':{'selector':null}}");
		sim_until(&s, mirrors_one, 30000);
		fake_api_patch_text(s.api, "Endpoints", "default", "web",
			"{'metadata':{'labels':{'endpointslice.kubernetes.io/"
			"skip-mirror':'true'}}}");
		sim_until(&s, mirrors_none, 30000);
		sim_end(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_mixed),
		cmocka_unit_test(test_named_ports),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_zones),
		cmocka_unit_test(test_mirroring),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

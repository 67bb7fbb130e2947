#include "test/sim/sim.h"

#include "server/controllers/meta.h"

#define CONTROLLERS                                                                                \
	"application,deployment,replicaset,virtualmachine,virtualmachineinstance,"                 \
	"endpointslice,garbagecollector"

/* What a client of the Service would meet: set once it has been answered; from then on there must
 * be, in the Endpoints at every moment, somebody who is really there. */
static bool watching, was_served;
static size_t gaps;
/* Told to have left its virtual machines while guests still ran. */
static size_t too_early;
static bool removing;

static bool answers(struct sim *s, struct arena *a, const struct json *endpoint)
{
	const char *kind = json_path_str(endpoint, "targetRef.kind");
	struct object *o =
		fake_api_get(s->api, kind, "default", json_path_str(endpoint, "targetRef.name"));
	if (!json_path_bool(endpoint, "conditions.ready", true) || !o || o->deleting)
		return false;
	JSON_FOR_EACH_ITEM(c, json_path(object_doc(o, a), "status.conditions"))
		if (streq(json_str(json_get(c, "type")), "Ready"))
			return streq(json_str(json_get(c, "status")), "True");
	return false;
}

static size_t served_by(struct sim *s, const char *kind)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object **slices;
	size_t count = fake_api_list(s->api, "EndpointSlice", "default", &a, &slices), served = 0;
	for (size_t n = 0; n < count; n++)
		JSON_FOR_EACH_ITEM(e, json_get(object_doc(slices[n], &a), "endpoints"))
			served += answers(s, &a, e) &&
				  (!kind || streq(json_path_str(e, "targetRef.kind"), kind));
	return served;
}

static bool both_served;
static void watch_service(void *user, const struct object *old, const struct object *new)
{
	struct sim *s = user;
	if (!watching)
		return;
	size_t served = served_by(s, NULL);
	was_served |= served > 0;
	gaps += was_served && !served;
	bool done = sim_text_is(s, "Application", "web", "status.move.phase", NULL) &&
		    sim_text_is(s, "Application", "web", "status.isolation", "Container");
	too_early += removing && done && sim_count(s, "VirtualMachineInstance") > 0;
	removing = sim_text_is(s, "Application", "web", "status.move.phase", "Removing");
	both_served |= served_by(s, "Pod") > 0 && served_by(s, "VirtualMachineInstance") > 0;
}

static void begin(struct sim *s, uint64_t seed, const char *more)
{
	sim_begin(s, seed, CONTROLLERS, true);
	fake_node_add(s->nodes, "n1", "32", "32Gi", 200);
	fake_node_add(s->nodes, "n2", "32", "32Gi", 200);
	watching = was_served = both_served = false;
	gaps = too_early = 0;
	removing = false;
	fake_api_create_text(s->api,
		"{'apiVersion':'hanok.io/v1','kind':'Application','metadata':{'name':'web'},'spec':"
		"{'image':'web:1','disk':{'containerDisk':{'image':'vm:1'}},'ports':[{'port':80}],"
		"'replicas':2%s}}",
		more);
}

static void patch(struct sim *s, const char *text)
{
	fake_api_patch_text(s->api, "Application", "default", "web", "%s", text);
}

static const char critical[] =
	"{'spec':{'profile':{'criticality':'mission-critical','load':'steady'}}}";
static const char swinging[] = "{'spec':{'profile':{'criticality':'standard','load':'variable'}}}";

static bool settled(struct sim *s)
{
	return sim_condition_is(s, "Application", "web", "Ready", "True", "ReplicasReady") &&
	       sim_condition_is(s, "Application", "web", "Progressing", "True", "Complete") &&
	       sim_int(s, "Application", "web", "status.observedGeneration", 0) ==
		       sim_int(s, "Application", "web", "metadata.generation", 0) &&
	       sim_text_is(s, "Application", "web", "status.move.phase", NULL);
}

static bool in_containers(struct sim *s)
{
	return settled(s) &&
	       sim_text_is(s, "Application", "web", "status.isolation", "Container") &&
	       sim_count(s, "Deployment") == 1 && sim_count(s, "VirtualMachine") == 0 &&
	       sim_count(s, "VirtualMachineInstance") == 0 && sim_count(s, "Pod") == 2 &&
	       sim_count(s, "PodDisruptionBudget") == 1 && served_by(s, "Pod") == 2;
}

static bool in_machines(struct sim *s)
{
	return settled(s) &&
	       sim_text_is(s, "Application", "web", "status.isolation", "VirtualMachine") &&
	       sim_count(s, "Deployment") == 0 && sim_count(s, "Pod") == 0 &&
	       sim_count(s, "PodDisruptionBudget") == 0 && sim_count(s, "VirtualMachine") == 2 &&
	       served_by(s, "VirtualMachineInstance") == 2;
}

/* There and back again with everything going wrong, and never nobody who answers. */
static void test_moves(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		begin(&s, seed, "");
		sim_faults(&s, true);
		sim_run_ms(&s, 20000);
		sim_faults(&s, false);
		sim_until(&s, in_containers, 300000);
		watching = true;
		fake_api_on_change(s.api, watch_service, &s);
		sim_faults(&s, true);
		patch(&s, critical);
		sim_run_ms(&s, 30000);
		sim_faults(&s, false);
		sim_until(&s, in_machines, 300000);
		assert_true(was_served && both_served);
		both_served = false;
		sim_faults(&s, true);
		patch(&s, swinging);
		sim_run_ms(&s, 30000);
		sim_faults(&s, false);
		sim_until(&s, in_containers, 300000);
		assert_true(both_served);
		assert_int_equal(gaps, 0);
		assert_int_equal(too_early, 0);
		size_t writes = fake_api_write_count(s.api);
		watching = false;
		sim_run_ms(&s, 5000);
		sim_holds(&s, in_containers, 30000);
		/* At rest nothing is written but heartbeats. */
		assert_true(fake_api_write_count(s.api) - writes < 40);
		sim_end(&s);
	}
}

/* The profile changes its mind at any point of a move. */
static void test_turns_back(void **state)
{
	sim_for_seeds(seed)
	{
		for (int64_t after_ms = 0; after_ms <= 21000; after_ms += 3000) {
			struct sim s;
			begin(&s, seed, "");
			sim_until(&s, in_containers, 300000);
			watching = true;
			fake_api_on_change(s.api, watch_service, &s);
			patch(&s, critical);
			sim_run_ms(&s, after_ms);
			sim_faults(&s, seed % 2);
			patch(&s, swinging);
			sim_run_ms(&s, 10000);
			sim_faults(&s, false);
			sim_until(&s, in_containers, 300000);
			assert_int_equal(gaps, 0);
			sim_end(&s);
		}
	}
}

static bool stuck(struct sim *s)
{
	return sim_condition_is(s, "Application", "web", "Progressing", "False",
		       "ProgressDeadlineExceeded") &&
	       sim_text_is(s, "Application", "web", "status.isolation", "Container") &&
	       sim_text_is(s, "Application", "web", "status.move.phase", "Starting") &&
	       sim_count(s, "Deployment") == 1 && served_by(s, "Pod") == 2;
}

/* A side that never comes up: the other one stays. */
static void test_new_side_fails(void **state)
{
	struct sim s;
	begin(&s, 1, ",'progressDeadlineSeconds':60");
	sim_until(&s, in_containers, 300000);
	watching = true;
	fake_api_on_change(s.api, watch_service, &s);
	fake_nodes_crash_instances(s.nodes, "Failed");
	patch(&s, critical);
	sim_run_ms(&s, 55000);
	assert_false(stuck(&s));
	sim_until(&s, stuck, 20000);
	sim_run_ms(&s, 300000);
	assert_true(stuck(&s));
	fake_nodes_crash_instances(s.nodes, NULL);
	sim_until(&s, in_machines, 900000);
	assert_int_equal(gaps, 0);
	sim_end(&s);
}

static bool gone(struct sim *s)
{
	return !sim_count(s, "Application") && !sim_count(s, "Deployment") &&
	       !sim_count(s, "Service") && !sim_count(s, "Pod") &&
	       !sim_count(s, "PodDisruptionBudget");
}

static bool all_gone(struct sim *s)
{
	return gone(s) && !sim_count(s, "VirtualMachine") &&
	       !sim_count(s, "VirtualMachineInstance");
}

/* Deleted in the foreground, an application stays until its guests have shut down. */
static void watch_removal(void *user, const struct object *old, const struct object *new)
{
	struct sim *s = user;
	too_early += !sim_count(s, "Application") && sim_count(s, "VirtualMachineInstance") > 0;
}

static void test_removal_waits(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		begin(&s, seed, ",'profile':{'criticality':'mission-critical'}");
		sim_until(&s, in_machines, 300000);
		fake_api_on_change(s.api, watch_removal, &s);
		fake_api_delete(s.api, "Application", "default", "web", -1, "Foreground");
		sim_until(&s, all_gone, 300000);
		assert_int_equal(too_early, 0);
		sim_end(&s);
	}
}

static bool stuck_by_image(struct sim *s)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object *o = fake_api_get(s->api, "Application", "default", "web");
	JSON_FOR_EACH_ITEM(c, json_path(object_doc(o, &a), "status.conditions"))
		if (streq(json_str(json_get(c, "type")), "Progressing"))
			return streq(json_str(json_get(c, "reason")), "ProgressDeadlineExceeded") &&
			       strstr(json_str_or(json_get(c, "message"), ""),
				       ": ImagePullBackOff: Back-off pulling image") &&
			       served_by(s, "VirtualMachineInstance") == 2;
	return false;
}

/* Containers that never come up: the first pod's words are the application's. */
static void test_broken_image(void **state)
{
	struct sim s;
	begin(&s, 1, ",'progressDeadlineSeconds':60,'profile':{'criticality':'mission-critical'}");
	sim_until(&s, in_machines, 300000);
	fake_nodes_broken_image(s.nodes, "web:1");
	patch(&s, swinging);
	sim_until(&s, stuck_by_image, 90000);
	sim_holds(&s, stuck_by_image, 30000);
	patch(&s, "{'spec':{'image':'web:2'}}");
	sim_until(&s, in_containers, 300000);
	sim_end(&s);
}

static bool recommended(struct sim *s)
{
	return settled(s) &&
	       sim_condition_is(
		       s, "Application", "web", "MoveRecommended", "True", "DecisionChanged") &&
	       sim_text_is(
		       s, "Application", "web", "status.decision.isolation", "VirtualMachine") &&
	       sim_text_is(s, "Application", "web", "status.isolation", "Container") &&
	       sim_count(s, "VirtualMachine") == 0;
}

static bool fixed_in_machines(struct sim *s)
{
	return in_machines(s) &&
	       sim_condition_is(s, "Application", "web", "Placed", "True", "Fixed");
}

static void test_policies(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		begin(&s, seed, ",'placement':{'policy':'Recommend'}");
		sim_until(&s, in_containers, 300000);
		sim_faults(&s, true);
		patch(&s, critical);
		sim_run_ms(&s, 10000);
		sim_faults(&s, false);
		sim_until(&s, recommended, 60000);
		sim_holds(&s, recommended, 30000);
		patch(&s, "{'spec':{'placement':{'policy':'Auto'}}}");
		sim_until(&s, in_machines, 300000);
		patch(&s, "{'spec':{'placement':{'policy':'Fixed','isolation':'Container'}}}");
		sim_until(&s, in_containers, 300000);
		patch(&s, "{'spec':{'placement':{'isolation':'VirtualMachine'}}}");
		sim_until(&s, fixed_in_machines, 300000);
		patch(&s, swinging);
		sim_run_ms(&s, 10000);
		sim_holds(&s, fixed_in_machines, 30000);
		sim_end(&s);
	}
}

static bool not_placed(struct sim *s)
{
	return sim_condition_is(s, "Application", "web", "Placed", "False", "NeitherFits") &&
	       sim_condition_is(
		       s, "Application", "web", "ProfileConsistent", "False", "Contradiction") &&
	       sim_count(s, "Deployment") == 0 && sim_count(s, "VirtualMachine") == 0;
}

static bool side_excluded(struct sim *s)
{
	return sim_condition_is(s, "Application", "web", "Placed", "False", "SideExcluded") &&
	       sim_count(s, "Deployment") == 1 && sim_count(s, "Pod") == 2;
}

static void test_neither_fits(void **state)
{
	struct sim s;
	begin(&s, 1,
		",'profile':{'isolation':'strict'},'volumes':[{'name':'c','configMap':{'name':'c'}}"
		"]");
	sim_until(&s, not_placed, 10000);
	sim_holds(&s, not_placed, 10000);
	patch(&s, "{'spec':{'profile':{'isolation':'shared'}}}");
	sim_until(&s, in_containers, 60000);
	/* What runs is left alone when it is made impossible under it. */
	patch(&s, "{'spec':{'placement':{'policy':'Recommend'},'profile':{'isolation':'strict'}}}");
	sim_until(&s, side_excluded, 60000);
	sim_holds(&s, side_excluded, 10000);
	sim_end(&s);
}

static bool weights_wrong(struct sim *s)
{
	return sim_condition_is(
		       s, "Application", "web", "WeightsValid", "False", "InvalidWeights") &&
	       sim_text_is(s, "Application", "web", "status.isolation", "VirtualMachine") &&
	       sim_count(s, "VirtualMachine") == 2 && sim_count(s, "Deployment") == 0;
}

static bool weights_fine(struct sim *s)
{
	return in_machines(s) &&
	       !sim_condition_is(s, "Application", "web", "WeightsValid", "False", NULL);
}

/* Weights move applications, and wrong ones leave what runs where it is. */
static void test_weights(void **state)
{
	struct sim s;
	begin(&s, 1, "");
	sim_until(&s, in_containers, 300000);
	fake_api_create_text(
		s.api, "{'apiVersion':'v1','kind':'Namespace','metadata':{'name':'kube-system'}}");
	fake_api_create_text(s.api,
		"{'apiVersion':'v1','kind':'ConfigMap','metadata':{'namespace':'kube-system',"
		"'name':'hanok-placement'},'data':{'legacy':'0','latencyClass':'7'}}");
	patch(&s, "{'spec':{'profile':{'latencyClass':'relaxed'}}}");
	sim_until(&s, in_machines, 300000);
	fake_api_patch_text(s.api, "ConfigMap", "kube-system", "hanok-placement",
		"{'data':{'latencyClass':'many','legacy':'20'}}");
	sim_until(&s, weights_wrong, 20000);
	sim_holds(&s, weights_wrong, 20000);
	fake_api_patch_text(s.api, "ConfigMap", "kube-system", "hanok-placement",
		"{'data':{'latencyClass':'40','legacy':null}}");
	sim_until(&s, weights_fine, 20000);
	fake_api_delete(s.api, "ConfigMap", "kube-system", "hanok-placement", 0, NULL);
	sim_until(&s, in_containers, 300000);
	sim_end(&s);
}

static bool mended(struct sim *s)
{
	return in_containers(s) &&
	       sim_text_is(
		       s, "Deployment", "web", "spec.template.spec.containers[0].image", "web:1") &&
	       sim_int(s, "Deployment", "web", "spec.replicas", 0) == 2 &&
	       sim_text_is(s, "Deployment", "web", "metadata.ownerReferences[0].name", "web") &&
	       sim_count(s, "Service") == 1;
}

/* What others change is changed back, what they take is made again, what lost its owner is taken
 * in; and all goes with the application. */
static void test_drift(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		begin(&s, seed, "");
		sim_until(&s, in_containers, 300000);
		sim_faults(&s, true);
		fake_api_patch_text(s.api, "Deployment", "default", "web",
			"{'spec':{'replicas':5,'template':{'spec':{'containers':[{'name':'web',"
			"'image':'other:1'}]}}}}");
		fake_api_delete(s.api, "Service", "default", "web", 0, NULL);
		sim_run_ms(&s, 5000);
		fake_api_patch_text(s.api, "Deployment", "default", "web",
			"{'metadata':{'ownerReferences':null}}");
		sim_run_ms(&s, 10000);
		sim_faults(&s, false);
		sim_until(&s, mended, 300000);
		sim_faults(&s, true);
		fake_api_delete(s.api, "Application", "default", "web", 0, NULL);
		sim_run_ms(&s, 10000);
		sim_faults(&s, false);
		sim_until(&s, gone, 300000);
		sim_end(&s);
	}
}

static bool name_taken(struct sim *s)
{
	return sim_condition_is(s, "Application", "web", "Progressing", "False", "NameTaken") &&
	       sim_text_is(s, "Service", "web", "spec.selector.app", "other");
}

static void test_name_taken(void **state)
{
	struct sim s;
	sim_begin(&s, 1, CONTROLLERS, true);
	fake_node_add(s.nodes, "n1", "32", "32Gi", 200);
	fake_api_create_text(s.api,
		"{'apiVersion':'v1','kind':'Service','metadata':{'name':'web'},'spec':{'selector':"
		"{'app':'other'},'ports':[{'port':1}]}}");
	fake_api_create_text(s.api,
		"{'apiVersion':'hanok.io/v1','kind':'Application','metadata':{'name':'web'},'spec':"
		"{'image':'web:1','replicas':2,'ports':[{'port':80}]}}");
	sim_until(&s, name_taken, 20000);
	sim_holds(&s, name_taken, 20000);
	fake_api_delete(s.api, "Service", "default", "web", 0, NULL);
	sim_until(&s, in_containers, 60000);
	sim_end(&s);
}

static bool three_machines(struct sim *s)
{
	return settled(s) && sim_count(s, "VirtualMachine") == 3 &&
	       served_by(s, "VirtualMachineInstance") == 3;
}

static bool one_machine(struct sim *s)
{
	return settled(s) && sim_count(s, "VirtualMachine") == 1 &&
	       sim_count(s, "VirtualMachineInstance") == 1;
}

static bool all_renewed(struct sim *s)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object **all;
	size_t count = fake_api_list(s->api, "VirtualMachineInstance", "default", &a, &all);
	for (size_t n = 0; n < count; n++)
		if (!streq(json_path_str(
				   object_doc(all[n], &a), "spec.volumes[0].containerDisk.image"),
			    "vm:2"))
			return false;
	return three_machines(s);
}

/* Another image goes round the machines one by one, with somebody who answers all the time. */
static void test_machines_scale_and_roll(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		begin(&s, seed, ",'profile':{'criticality':'mission-critical'}");
		sim_until(&s, in_machines, 300000);
		patch(&s, "{'spec':{'replicas':3}}");
		sim_until(&s, three_machines, 300000);
		watching = true;
		fake_api_on_change(s.api, watch_service, &s);
		patch(&s, "{'spec':{'disk':{'containerDisk':{'image':'vm:2'}}}}");
		sim_until(&s, all_renewed, 600000);
		assert_int_equal(gaps, 0);
		watching = false;
		patch(&s, "{'spec':{'replicas':1}}");
		sim_until(&s, one_machine, 300000);
		sim_end(&s);
	}
}

static bool budgeted(struct sim *s)
{
	return sim_count(s, "PodDisruptionBudget") == 1 &&
	       sim_int(s, "PodDisruptionBudget", "ledger-deployment-critical",
		       "spec.maxUnavailable", 0) == 1 &&
	       sim_text_is(s, "PodDisruptionBudget", "ledger-deployment-critical",
		       "spec.selector.matchLabels.app", "ledger");
}

static bool theirs_only(struct sim *s)
{
	return sim_count(s, "PodDisruptionBudget") == 1 &&
	       sim_text_is(s, "PodDisruptionBudget", "theirs", "metadata.name", "theirs");
}

static bool no_budget(struct sim *s)
{
	return sim_count(s, "PodDisruptionBudget") == 0;
}

static void patch_ledger(struct sim *s, const char *text)
{
	fake_api_patch_text(s->api, "Deployment", "default", "ledger", "%s", text);
}

/* A budget follows the annotation and the size, and gives way to somebody else's. */
static void test_annotated(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		sim_begin(&s, seed, "workload-annotations,garbagecollector", false);
		fake_api_create_text(s.api,
			"{'apiVersion':'apps/v1','kind':'Deployment','metadata':{'name':'ledger',"
			"'annotations':{'hanok.io/criticality':'mission-critical'}},'spec':{"
			"'replicas':1,'selector':{'matchLabels':{'app':'ledger'}},'template':{"
			"'metadata':{'labels':{'app':'ledger'}},'spec':{'containers':[{'name':'c',"
			"'image':'i'}]}}}}");
		sim_faults(&s, true);
		sim_holds(&s, no_budget, 5000);
		patch_ledger(&s, "{'spec':{'replicas':3}}");
		sim_run_ms(&s, 5000);
		sim_faults(&s, false);
		sim_until(&s, budgeted, 60000);
		sim_holds(&s, budgeted, 5000);
		sim_faults(&s, true);
		fake_api_create_text(s.api,
			"{'apiVersion':'policy/v1','kind':'PodDisruptionBudget','metadata':{"
			"'name':'theirs'},'spec':{'minAvailable':1,'selector':{'matchLabels':{"
			"'app':'ledger'}}}}");
		sim_run_ms(&s, 5000);
		sim_faults(&s, false);
		sim_until(&s, theirs_only, 60000);
		sim_holds(&s, theirs_only, 5000);
		fake_api_delete(s.api, "PodDisruptionBudget", "default", "theirs", 0, NULL);
		sim_until(&s, budgeted, 60000);
		fake_api_patch_text(s.api, "PodDisruptionBudget", "default",
			"ledger-deployment-critical", "{'spec':{'maxUnavailable':3}}");
		sim_until(&s, budgeted, 60000);
		patch_ledger(
			&s, "{'metadata':{'annotations':{'hanok.io/criticality':'standard'}}}");
		sim_until(&s, no_budget, 60000);
		patch_ledger(&s,
			"{'metadata':{'annotations':{'hanok.io/criticality':'mission-critical'}}}");
		sim_until(&s, budgeted, 60000);
		fake_api_delete(s.api, "Deployment", "default", "ledger", 0, NULL);
		sim_until(&s, no_budget, 60000);
		sim_end(&s);
	}
}

static bool one_budget(struct sim *s)
{
	return sim_count(s, "PodDisruptionBudget") == 1;
}

static bool two_budgets(struct sim *s)
{
	return sim_count(s, "PodDisruptionBudget") == 2;
}

static void critical_workload(struct sim *s, const char *name, const char *app)
{
	fake_api_create_text(s->api,
		"{'apiVersion':'apps/v1','kind':'Deployment','metadata':{'name':'%s',"
		"'annotations':{'hanok.io/criticality':'mission-critical'}},'spec':{"
		"'replicas':2,'selector':{'matchLabels':{'app':'%s'}},'template':{'metadata':{"
		"'labels':{'app':'%s'}},'spec':{'containers':[{'name':'c','image':'i'}]}}}}",
		name, app, app);
}

/* One budget for each pod, and one for workloads with the longest names. */
static void test_annotated_neighbours(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		char long_name[254];
		sim_begin(&s, seed, "workload-annotations,garbagecollector", false);
		sim_faults(&s, true);
		critical_workload(&s, "a", "same");
		critical_workload(&s, "b", "same");
		sim_run_ms(&s, 5000);
		sim_faults(&s, false);
		sim_until(&s, one_budget, 60000);
		sim_run_ms(&s, 5000);
		sim_holds(&s, one_budget, 20000);
		bool has_a = fake_api_get(
			s.api, "PodDisruptionBudget", "default", "a-deployment-critical");
		fake_api_delete(s.api, "Deployment", "default", has_a ? "a" : "b", 0, NULL);
		sim_run_ms(&s, 20000);
		assert_true(one_budget(&s));
		assert_non_null(fake_api_get(s.api, "PodDisruptionBudget", "default",
			has_a ? "b-deployment-critical" : "a-deployment-critical"));
		memset(long_name, 'n', 253);
		long_name[223] = '.';
		long_name[253] = 0;
		critical_workload(&s, long_name, "other");
		sim_until(&s, two_budgets, 60000);
		sim_end(&s);
	}
}

/* A failure's message that changes from turn to turn does not wake who wrote it. */
static void test_news(void **state)
{
	static const char with[] = "{'status':{'conditions':[{'type':'ReplicaFailure','status':"
				   "'True','reason':'%s','message':'%s'}]}}";
	struct sim s;
	sim_begin(&s, 1, "workload-annotations", false);
	critical_workload(&s, "a", "same");
	const char *const changes[][2] = {
		{"FailedCreate", "used: 1"}, {"FailedCreate", "used: 2"}, {"Other", "used: 2"}};
	const bool news[] = {true, false, true};
	for (size_t n = 0; n < ARRAY_LEN(changes); n++) {
		struct object *old = object_ref(fake_api_get(s.api, "Deployment", "default", "a"));
		fake_api_patch_text(
			s.api, "Deployment", "default", "a", with, changes[n][0], changes[n][1]);
		struct object *new = fake_api_get(s.api, "Deployment", "default", "a");
		assert_true(old->revision != new->revision);
		assert_int_equal(meta_is_news(old, new), news[n]);
		assert_true(meta_is_news(NULL, new));
		assert_true(meta_is_news(old, NULL));
		object_unref(old);
	}
	sim_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_moves),
		cmocka_unit_test(test_turns_back),
		cmocka_unit_test(test_new_side_fails),
		cmocka_unit_test(test_broken_image),
		cmocka_unit_test(test_removal_waits),
		cmocka_unit_test(test_policies),
		cmocka_unit_test(test_neither_fits),
		cmocka_unit_test(test_weights),
		cmocka_unit_test(test_drift),
		cmocka_unit_test(test_name_taken),
		cmocka_unit_test(test_machines_scale_and_roll),
		cmocka_unit_test(test_annotated),
		cmocka_unit_test(test_annotated_neighbours),
		cmocka_unit_test(test_news),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "test/sim/sim.h"

#define CONTROLLERS "garbagecollector,deployment,replicaset"

static void make_deployment(struct sim *s)
{
	fake_api_create_text(s->api,
		"{'apiVersion':'apps/"
		"v1','kind':'Deployment','metadata':{'name':'web'},'spec':{'replicas':4,"
		"'selector':{'matchLabels':{'app':'web'}},'template':{'metadata':{'labels':{'app':'"
		"web'}},"
		"'spec':{'containers':[{'name':'c','image':'i'}]}}}}");
}

static bool four_pods(struct sim *s)
{
	return sim_count(s, "Pod") == 4 &&
	       sim_int(s, "Deployment", "web", "status.availableReplicas", 0) == 4;
}

static bool nothing_left(struct sim *s)
{
	return !sim_count(s, "Deployment") && !sim_count(s, "ReplicaSet") && !sim_count(s, "Pod");
}

static bool sets_remain(struct sim *s)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object **all;
	return !sim_count(s, "Deployment") &&
	       fake_api_list(s->api, "ReplicaSet", "default", &a, &all) == 1 &&
	       all[0]->owner_count == 0 && sim_count(s, "Pod") == 4;
}

static void begin(struct sim *s, uint64_t seed)
{
	sim_begin(s, seed, CONTROLLERS, true);
	fake_node_add(s->nodes, "n1", "8", "8Gi", 110);
	make_deployment(s);
	sim_until(s, four_pods, 100000);
}

static void test_background(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		begin(&s, seed);
		sim_faults(&s, true);
		fake_api_delete(s.api, "Deployment", "default", "web", -1, "Background");
		sim_run_ms(&s, 20000);
		sim_faults(&s, false);
		sim_until(&s, nothing_left, 400000);
		sim_end(&s);
	}
}

static bool out_of_order;
static void watch_order(void *user, const struct object *old, const struct object *new)
{
	struct sim *s = user;
	if (new || !old)
		return;
	if (streq(old->kind->kind, "Deployment"))
		out_of_order |= sim_count(s, "ReplicaSet") > 0;
	if (streq(old->kind->kind, "ReplicaSet"))
		out_of_order |= sim_count(s, "Pod") > 0;
}

static void test_foreground(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		begin(&s, seed);
		out_of_order = false;
		fake_api_on_change(s.api, watch_order, &s);
		/* Repeats and delays, but a server that keeps its promises: what is gone from the
		 * cache is gone. */
		fake_api_set_faults(
			s.api, &(struct fake_faults){
				       .refuse = 10, .repeat_event = 10, .delay_max_ms = 200});
		fake_api_delete(s.api, "Deployment", "default", "web", -1, "Foreground");
		sim_until(&s, nothing_left, 400000);
		assert_false(out_of_order);
		sim_end(&s);
	}
}

static void test_orphan(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		begin(&s, seed);
		sim_faults(&s, true);
		fake_api_delete(s.api, "Deployment", "default", "web", -1, "Orphan");
		sim_run_ms(&s, 20000);
		sim_faults(&s, false);
		sim_until(&s, sets_remain, 400000);
		sim_holds(&s, sets_remain, 30000);
		/* The same deployment again takes its old set up. */
		make_deployment(&s);
		sim_until(&s, four_pods, 100000);
		assert_int_equal(sim_count(&s, "ReplicaSet"), 1);
		sim_end(&s);
	}
}

/* One of two owners goes: the dependent stays, without the reference. A dependent whose owner never
 * existed goes. */
static void test_owners(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		sim_begin(&s, seed, "garbagecollector", false);
		struct object *a = fake_api_create_text(
			s.api, "{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'a'}}");
		struct object *b = fake_api_create_text(
			s.api, "{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'b'}}");
		fake_api_create_text(s.api,
			"{'apiVersion':'v1','kind':'Secret','metadata':{'name':'both','"
			"ownerReferences':[{"
			"'apiVersion':'v1','kind':'ConfigMap','name':'a','uid':'%s'},{'apiVersion':"
			"'v1','kind':"
			"'ConfigMap','name':'b','uid':'%s'}]}}",
			a->uid, b->uid);
		sim_run_ms(&s, 5000);
		sim_faults(&s, true);
		fake_api_delete(s.api, "ConfigMap", "default", "a", -1, NULL);
		fake_api_create_text(s.api, "{'apiVersion':'v1','kind':'Secret','metadata':{'name':"
					    "'lost','ownerReferences':[{"
					    "'apiVersion':'v1','kind':'ConfigMap','name':'a','uid':"
					    "'00000000-0000-4000-8000-000000000000'}]}}");
		fake_api_create_text(s.api,
			"{'apiVersion':'v1','kind':'Secret','metadata':{'name':'strange','"
			"ownerReferences':[{"
			"'apiVersion':'example.com/v1','kind':'Thing','name':'a','uid':"
			"'00000000-0000-4000-8000-000000000001'}]}}");
		sim_run_ms(&s, 20000);
		sim_faults(&s, false);
		sim_run_ms(&s, 100000);
		struct object *both = fake_api_get(s.api, "Secret", "default", "both");
		assert_non_null(both);
		assert_int_equal(both->owner_count, 1);
		assert_string_equal(both->owners[0].name, "b");
		assert_null(fake_api_get(s.api, "Secret", "default", "lost"));
		/* Of a kind that is not known here: nobody can say that its owner is gone. */
		assert_non_null(fake_api_get(s.api, "Secret", "default", "strange"));
		sim_end(&s);
	}
}

static struct object *owned(
	struct sim *s, const char *kind, const char *name, const char *owner, const char *owner_uid)
{
	return fake_api_create_text(s->api,
		"{'apiVersion':'v1','kind':'%s','metadata':{'name':'%s','ownerReferences':[{"
		"'apiVersion':'v1','kind':'ConfigMap','name':'%s','uid':'%s','blockOwnerDeletion':"
		"true}]}}",
		kind, name, owner, owner_uid);
}

/* Two that own each other, one of them deleted in the foreground: each would wait for the other. */
static void test_cycle(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		sim_begin(&s, seed, "garbagecollector", false);
		struct object *a = fake_api_create_text(
			s.api, "{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'a'}}");
		struct object *b = owned(&s, "ConfigMap", "b", "a", a->uid);
		fake_api_patch_text(s.api, "ConfigMap", "default", "a",
			"{'metadata':{'ownerReferences':[{'apiVersion':'v1','kind':'ConfigMap','"
			"name':'b','uid':'%s','blockOwnerDeletion':true}]}}",
			b->uid);
		sim_run_ms(&s, 5000);
		assert_int_equal(sim_count(&s, "ConfigMap"), 2);
		sim_faults(&s, seed % 2);
		fake_api_delete(s.api, "ConfigMap", "default", "a", -1, "Foreground");
		sim_run_ms(&s, 20000);
		sim_faults(&s, false);
		sim_run_ms(&s, 100000);
		assert_int_equal(sim_count(&s, "ConfigMap"), 0);
		sim_end(&s);
	}
}

static bool told_of_namespace(struct sim *s, const char *about)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object **all;
	size_t count = fake_api_list(s->api, "Event", NULL, &a, &all);
	for (size_t n = 0; n < count; n++) {
		struct json *doc = object_doc(all[n], &a);
		if (streq(json_path_str(doc, "reason"), "OwnerRefInvalidNamespace") &&
			streq(json_path_str(doc, "involvedObject.name"), about))
			return true;
	}
	return false;
}

/* An owner in another namespace is none, and is told; one in a namespace that nobody can name keeps
 * what it is said to own. */
static void test_other_namespace(void **state)
{
	struct sim s;
	sim_begin(&s, 1, "garbagecollector", false);
	fake_api_create_text(
		s.api, "{'apiVersion':'v1','kind':'Namespace','metadata':{'name':'other'}}");
	struct object *a = fake_api_create_text(s.api,
		"{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'a','namespace':'other'}"
		"}");
	owned(&s, "Secret", "far", "a", a->uid);
	owned(&s, "Namespace", "wide", "a", a->uid);
	sim_run_ms(&s, 20000);
	assert_null(fake_api_get(s.api, "Secret", "default", "far"));
	assert_true(told_of_namespace(&s, "far"));
	assert_non_null(fake_api_get(s.api, "Namespace", "", "wide"));
	assert_true(told_of_namespace(&s, "wide"));
	sim_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_background),
		cmocka_unit_test(test_foreground),
		cmocka_unit_test(test_orphan),
		cmocka_unit_test(test_owners),
		cmocka_unit_test(test_cycle),
		cmocka_unit_test(test_other_namespace),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

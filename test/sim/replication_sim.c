#include "test/sim/sim.h"

static const char set_text[] = "{'apiVersion':'%s','kind':'%s','metadata':{'name':'web','namespace'"
			       ":'default'},'spec':{'replicas':%d,"
			       "'selector':%s,'template':{'metadata':{'labels':{'app':'web'}},'"
			       "spec':{'containers':[{'name':'c',"
			       "'image':'web:1'}]}}}}";

static size_t owned(struct sim *s, const char *kind)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object **all, *set = fake_api_get(s->api, kind, "default", "web");
	size_t count = fake_api_list(s->api, "Pod", "default", &a, &all), mine = 0;
	for (size_t n = 0; n < count; n++) {
		const struct object_owner *owner = object_controller(all[n]);
		mine += set && owner && streq(owner->uid, set->uid) && !all[n]->deleting;
	}
	return mine;
}

static bool twenty_ready(struct sim *s)
{
	return owned(s, "ReplicaSet") == 20 && sim_count(s, "Pod") == 20 &&
	       sim_int(s, "ReplicaSet", "web", "status.readyReplicas", 0) == 20 &&
	       sim_int(s, "ReplicaSet", "web", "status.replicas", 0) == 20;
}

static bool five_ready(struct sim *s)
{
	return owned(s, "ReplicaSet") == 5 && sim_count(s, "Pod") == 5 &&
	       sim_int(s, "ReplicaSet", "web", "status.readyReplicas", 0) == 5;
}

static bool none_left(struct sim *s)
{
	return sim_count(s, "Pod") == 0 &&
	       sim_int(s, "ReplicaSet", "web", "status.replicas", -1) == 0;
}

static void test_converges(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		sim_begin(&s, seed, "replicaset", true);
		fake_node_add(s.nodes, "n1", "8", "8Gi", 110);
		sim_faults(&s, true);
		fake_api_create_text(s.api, set_text, "apps/v1", "ReplicaSet", 20,
			"{'matchLabels':{'app':'web'}}");
		sim_run_ms(&s, 30000);
		sim_faults(&s, false);
		sim_until(&s, twenty_ready, 400000);
		sim_holds(&s, twenty_ready, 30000);

		sim_faults(&s, true);
		fake_api_patch_text(
			s.api, "ReplicaSet", "default", "web", "{'spec':{'replicas':5}}");
		sim_run_ms(&s, 20000);
		sim_faults(&s, false);
		sim_until(&s, five_ready, 400000);
		/* What disappears is replaced. */
		struct arena a = ARENA_INIT;
		struct object **pods;
		fake_api_list(s.api, "Pod", "default", &a, &pods);
		char *gone = arena_strdup(&a, pods[0]->name);
		fake_api_delete(s.api, "Pod", "default", gone, 0, NULL);
		arena_finish(&a);
		sim_until(&s, five_ready, 60000);
		fake_api_patch_text(
			s.api, "ReplicaSet", "default", "web", "{'spec':{'replicas':0}}");
		sim_until(&s, none_left, 60000);
		sim_end(&s);
	}
}

static size_t most_pods;
static void count_pods(void *user, const struct object *old, const struct object *new)
{
	struct sim *s = user;
	if (new &&streq(new->kind->kind, "Pod"))
		most_pods = MAX(most_pods, owned(s, "ReplicaSet"));
}

/* On an API that keeps its promises, not one pod too many is ever made, however slow it is. */
static void test_exact(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		sim_begin(&s, seed, "replicaset", true);
		fake_node_add(s.nodes, "n1", "8", "8Gi", 110);
		fake_api_set_faults(
			s.api, &(struct fake_faults){
				       .delay_max_ms = 700, .repeat_event = 10, .break_watch = 5});
		most_pods = 0;
		fake_api_on_change(s.api, count_pods, &s);
		fake_api_create_text(s.api, set_text, "apps/v1", "ReplicaSet", 20,
			"{'matchLabels':{'app':'web'}}");
		sim_until(&s, twenty_ready, 400000);
		sim_holds(&s, twenty_ready, 20000);
		assert_int_equal(most_pods, 20);
		assert_true(sim_count(&s, "Event") >= 20);
		sim_end(&s);
	}
}

static void test_adoption(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		sim_begin(&s, seed, "replicaset", true);
		fake_node_add(s.nodes, "n1", "8", "8Gi", 110);
		sim_faults(&s, true);
		for (int n = 0; n < 3; n++)
			fake_api_create_text(s.api,
				"{'apiVersion':'v1','kind':'Pod','metadata':{'name':'stray%d','"
				"labels':{'app':"
				"'web'}},'spec':{'containers':[{'name':'c','image':'web:1'}]}}",
				n);
		sim_run_ms(&s, 5000);
		fake_api_create_text(s.api, set_text, "apps/v1", "ReplicaSet", 5,
			"{'matchLabels':{'app':'web'}}");
		sim_run_ms(&s, 20000);
		sim_faults(&s, false);
		sim_until(&s, five_ready, 400000);
		assert_non_null(fake_api_get(s.api, "Pod", "default", "stray0"));
		/* Relabelled: released, and replaced. */
		fake_api_patch_text(
			s.api, "Pod", "default", "stray0", "{'metadata':{'labels':{'app':'x'}}}");
		sim_run_ms(&s, 30000);
		assert_int_equal(owned(&s, "ReplicaSet"), 5);
		assert_int_equal(sim_count(&s, "Pod"), 6);
		assert_null(object_controller(fake_api_get(s.api, "Pod", "default", "stray0")));
		sim_end(&s);
	}
}

static bool rc_ready(struct sim *s)
{
	return owned(s, "ReplicationController") == 3 &&
	       sim_int(s, "ReplicationController", "web", "status.readyReplicas", 0) == 3;
}

static void test_replication_controller(void **state)
{
	struct sim s;
	sim_begin(&s, 1, "replicationcontroller", true);
	fake_node_add(s.nodes, "n1", "8", "8Gi", 110);
	fake_api_create_text(s.api, set_text, "v1", "ReplicationController", 3, "{'app':'web'}");
	sim_until(&s, rc_ready, 30000);
	sim_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_converges),
		cmocka_unit_test(test_exact),
		cmocka_unit_test(test_adoption),
		cmocka_unit_test(test_replication_controller),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

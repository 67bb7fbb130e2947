#include "test/sim/sim.h"

static const char deployment_text[] =
	"{'apiVersion':'apps/"
	"v1','kind':'Deployment','metadata':{'name':'web','namespace':'default'},'spec':{"
	"'replicas':10,'selector':{'matchLabels':{'app':'web'}},'strategy':%s,'template':{'"
	"metadata':{"
	"'labels':{'app':'web'}},'spec':{'containers':[{'name':'c','image':'web:1'}]}}}}";
static const char rolling[] =
	"{'type':'RollingUpdate','rollingUpdate':{'maxSurge':3,'maxUnavailable':2}}";

static void begin(struct sim *s, uint64_t seed, const char *strategy)
{
	sim_begin(s, seed, "deployment,replicaset", true);
	fake_node_add(s->nodes, "n1", "32", "32Gi", 200);
	fake_api_create_text(s->api, deployment_text, strategy);
}

static void set_image(struct sim *s, const char *image)
{
	fake_api_patch_text(s->api, "Deployment", "default", "web",
		"{'spec':{'template':{'spec':{'containers':[{'name':'c','image':'%s'}]}}}}", image);
}

/* The number of ReplicaSets with replicas, and the image of the last of them. */
static size_t active_sets(struct sim *s, char image[64], int64_t *ret_replicas)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object **all;
	size_t count = fake_api_list(s->api, "ReplicaSet", "default", &a, &all), active = 0;
	*ret_replicas = 0;
	for (size_t n = 0; n < count; n++) {
		struct json *doc = object_doc(all[n], &a);
		int64_t replicas = json_path_int(doc, "spec.replicas", 0);
		*ret_replicas += replicas;
		if (!replicas)
			continue;
		active++;
		snprintf(image, 64, "%s",
			json_path_str(doc, "spec.template.spec.containers[0].image"));
	}
	return active;
}

static bool complete(struct sim *s, const char *image, int64_t replicas)
{
	char is[64];
	int64_t total;
	return active_sets(s, is, &total) == 1 && streq(is, image) && total == replicas &&
	       sim_count(s, "Pod") == (size_t)replicas &&
	       sim_int(s, "Deployment", "web", "status.updatedReplicas", 0) == replicas &&
	       sim_int(s, "Deployment", "web", "status.availableReplicas", 0) == replicas &&
	       sim_int(s, "Deployment", "web", "status.replicas", 0) == replicas &&
	       sim_int(s, "Deployment", "web", "status.observedGeneration", 0) ==
		       sim_int(s, "Deployment", "web", "metadata.generation", 0) &&
	       sim_condition_is(
		       s, "Deployment", "web", "Progressing", "True", "NewReplicaSetAvailable") &&
	       sim_condition_is(s, "Deployment", "web", "Available", "True", NULL);
}

static bool first_complete(struct sim *s)
{
	return complete(s, "web:1", 10);
}

static bool second_complete(struct sim *s)
{
	return complete(s, "web:2", 10);
}

static bool second_of_six(struct sim *s)
{
	return complete(s, "web:2", 6);
}

static bool revision_is(struct sim *s, const char *revision)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	return streq(json_str(json_get(
			     json_path(sim_doc(s, &a, "Deployment", "web"), "metadata.annotations"),
			     "deployment.kubernetes.io/revision")),
		revision);
}

static void test_rolls_and_undoes(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		begin(&s, seed, rolling);
		sim_faults(&s, true);
		sim_run_ms(&s, 20000);
		sim_faults(&s, false);
		sim_until(&s, first_complete, 400000);
		assert_true(revision_is(&s, "1"));
		sim_faults(&s, true);
		set_image(&s, "web:2");
		sim_run_ms(&s, 20000);
		sim_faults(&s, false);
		sim_until(&s, second_complete, 400000);
		assert_true(revision_is(&s, "2"));
		assert_int_equal(sim_count(&s, "ReplicaSet"), 2);
		/* Undo is the old template again: the old set is taken up, under a new revision. */
		set_image(&s, "web:1");
		sim_until(&s, first_complete, 400000);
		assert_true(revision_is(&s, "3"));
		assert_int_equal(sim_count(&s, "ReplicaSet"), 2);
		sim_holds(&s, first_complete, 30000);
		sim_end(&s);
	}
}

static int64_t most_specified, least_available;
static bool watching;
static void watch_limits(void *user, const struct object *old, const struct object *new)
{
	struct sim *s = user;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	char image[64];
	int64_t total, available = 0;
	struct object **pods;
	if (!watching)
		return;
	active_sets(s, image, &total);
	most_specified = MAX(most_specified, total);
	size_t count = fake_api_list(s->api, "Pod", "default", &a, &pods);
	for (size_t n = 0; n < count; n++)
		available += !pods[n]->deleting && streq(json_path_str(object_doc(pods[n], &a),
								 "status.conditions[0].status"),
							   "True");
	least_available = MIN(least_available, available);
}

/* Never above replicas + surge, never below replicas - unavailable, whatever the delays. */
static void test_limits_hold(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		begin(&s, seed, rolling);
		fake_api_set_faults(s.api, &(struct fake_faults){.delay_max_ms = 400});
		sim_until(&s, first_complete, 400000);
		most_specified = 0;
		least_available = 10;
		watching = true;
		fake_api_on_change(s.api, watch_limits, &s);
		set_image(&s, "web:2");
		sim_until(&s, second_complete, 400000);
		watching = false;
		assert_in_range(most_specified, 11, 13);
		assert_in_range(least_available, 8, 10);
		sim_end(&s);
	}
}

static bool two_running(struct sim *s)
{
	return watching;
}

static void watch_mixture(void *user, const struct object *old, const struct object *new)
{
	struct sim *s = user;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object **pods;
	size_t count = fake_api_list(s->api, "Pod", "default", &a, &pods), first = 0, second = 0;
	for (size_t n = 0; n < count; n++) {
		const char *image =
			json_path_str(object_doc(pods[n], &a), "spec.containers[0].image");
		first += streq(image, "web:1");
		second += streq(image, "web:2");
	}
	watching |= first && second;
}

static void test_recreate(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		begin(&s, seed, "{'type':'Recreate'}");
		fake_api_set_faults(s.api, &(struct fake_faults){.delay_max_ms = 100});
		sim_until(&s, first_complete, 400000);
		watching = false;
		fake_api_on_change(s.api, watch_mixture, &s);
		set_image(&s, "web:2");
		sim_until(&s, second_complete, 400000);
		assert_false(two_running(&s));
		sim_end(&s);
	}
}

static bool sized_to_twenty(struct sim *s)
{
	char image[64];
	int64_t total;
	return active_sets(s, image, &total) == 2 && total == 23;
}

static bool paused_noted(struct sim *s)
{
	return sim_condition_is(
		s, "Deployment", "web", "Progressing", "Unknown", "DeploymentPaused");
}

static void test_pause_and_scale(void **state)
{
	struct sim s;
	begin(&s, 1, rolling);
	sim_until(&s, first_complete, 100000);
	/* A new image that never gets ready: the rollout stands at 5 new and 8 old. */
	fake_nodes_broken_image(s.nodes, "web:2");
	set_image(&s, "web:2");
	sim_run_ms(&s, 20000);
	char image[64];
	int64_t total;
	assert_int_equal(active_sets(&s, image, &total), 2);
	assert_int_equal(total, 13);
	fake_api_patch_text(s.api, "Deployment", "default", "web", "{'spec':{'paused':true}}");
	sim_until(&s, paused_noted, 10000);
	/* Scaled while paused: both grow in proportion, 20 + 3 in all. */
	fake_api_patch_text(s.api, "Deployment", "default", "web", "{'spec':{'replicas':20}}");
	sim_until(&s, sized_to_twenty, 10000);
	fake_api_patch_text(
		s.api, "Deployment", "default", "web", "{'spec':{'replicas':6,'paused':false}}");
	fake_nodes_broken_image(s.nodes, NULL);
	/* Pods that were broken stay so: their successors are fine. */
	struct arena a = ARENA_INIT;
	struct object **pods;
	sim_run_ms(&s, 10000);
	size_t count = fake_api_list(s.api, "Pod", "default", &a, &pods);
	char **names = arena_alloc(&a, count * sizeof(*names));
	for (size_t n = 0; n < count; n++)
		names[n] = arena_strdup(&a, pods[n]->name);
	for (size_t n = 0; n < count; n++) {
		struct object *pod = fake_api_get(s.api, "Pod", "default", names[n]);
		if (pod && streq(json_path_str(object_doc(pod, &a), "spec.containers[0].image"),
				   "web:2"))
			fake_api_delete(s.api, "Pod", "default", names[n], 0, NULL);
	}
	arena_finish(&a);
	sim_until(&s, second_of_six, 100000);
	sim_end(&s);
}

static bool deadline_exceeded(struct sim *s)
{
	return sim_condition_is(
		s, "Deployment", "web", "Progressing", "False", "ProgressDeadlineExceeded");
}

static void test_deadline(void **state)
{
	struct sim s;
	begin(&s, 1, rolling);
	sim_until(&s, first_complete, 100000);
	fake_api_patch_text(
		s.api, "Deployment", "default", "web", "{'spec':{'progressDeadlineSeconds':60}}");
	fake_nodes_broken_image(s.nodes, "web:2");
	set_image(&s, "web:2");
	sim_run_ms(&s, 50000);
	assert_false(deadline_exceeded(&s));
	sim_until(&s, deadline_exceeded, 60000);
	/* 8 of the old ones still serve. */
	assert_int_equal(sim_int(&s, "Deployment", "web", "status.availableReplicas", 0), 8);
	sim_end(&s);
}

static bool three_sets(struct sim *s)
{
	return sim_count(s, "ReplicaSet") == 3;
}

static void test_history(void **state)
{
	struct sim s;
	begin(&s, 1, rolling);
	fake_api_patch_text(
		s.api, "Deployment", "default", "web", "{'spec':{'revisionHistoryLimit':2}}");
	sim_until(&s, first_complete, 100000);
	for (int n = 0; n < 4; n++) {
		set_image(&s, n % 2 ? "web:2" : n ? "web:4" : "web:3");
		sim_run_ms(&s, 60000);
	}
	set_image(&s, "web:5");
	sim_run_ms(&s, 60000);
	sim_until(&s, three_sets, 10000);
	sim_holds(&s, three_sets, 10000);
	sim_end(&s);
}

static bool rolled_after_collision(struct sim *s)
{
	return sim_int(s, "Deployment", "web", "status.collisionCount", 0) == 1 &&
	       first_complete(s);
}

/* The name that the new set would have is taken by a set of somebody else. */
static void test_collision(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		struct arena a = ARENA_INIT;
		struct object **sets;
		begin(&s, seed, rolling);
		sim_until(&s, first_complete, 100000);
		fake_api_list(s.api, "ReplicaSet", "default", &a, &sets);
		char *name = arena_strdup(&a, sets[0]->name);
		sim_end(&s);

		sim_begin(&s, seed, "deployment,replicaset", true);
		fake_node_add(s.nodes, "n1", "32", "32Gi", 200);
		fake_api_create_text(s.api,
			"{'apiVersion':'apps/"
			"v1','kind':'ReplicaSet','metadata':{'name':'%s'},'spec':{"
			"'replicas':0,'selector':{'matchLabels':{'other':'x'}},'template':{'"
			"metadata':{"
			"'labels':{'other':'x'}},'spec':{'containers':[{'name':'c','image':'i'}]}}}"
			"}",
			name);
		fake_api_create_text(s.api, deployment_text, rolling);
		sim_faults(&s, seed % 2);
		sim_run_ms(&s, 10000);
		sim_faults(&s, false);
		sim_until(&s, rolled_after_collision, 200000);
		assert_int_equal(sim_count(&s, "ReplicaSet"), 2);
		arena_finish(&a);
		sim_end(&s);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rolls_and_undoes),
		cmocka_unit_test(test_limits_hold),
		cmocka_unit_test(test_recreate),
		cmocka_unit_test(test_pause_and_scale),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_history),
		cmocka_unit_test(test_collision),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

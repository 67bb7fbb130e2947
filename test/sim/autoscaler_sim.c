#include "test/sim/sim.h"

#define MOST 12
#define LEAST 2

static int64_t load_milli; /* what all pods together use, evenly */

/* What metrics.k8s.io would tell now: `load_milli` spread over the pods that run. */
static void measure(struct sim *s)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object **pods;
	size_t count = fake_api_list(s->api, "Pod", "default", &a, &pods), running = 0;
	char now[TIME_RFC3339_ROOM];
	time_format_rfc3339(s->clock.epoch_ns + s->clock.now_ns, now);
	for (size_t i = 0; i < count; i++)
		running += json_path(object_doc(pods[i], &a), "status.podIP") != NULL;
	for (size_t i = 0; i < count; i++) {
		if (!json_path(object_doc(pods[i], &a), "status.podIP"))
			continue;
		int each = (int)(load_milli / (int64_t)running);
		if (fake_api_get(s->api, "PodMetrics", "default", pods[i]->name))
			fake_api_patch_text(s->api, "PodMetrics", "default", pods[i]->name,
				"{'timestamp':'%s','containers':[{'name':'c','usage':{'cpu':'%dm',"
				"'memory':'10Mi'}}]}",
				now, each);
		else
			fake_api_create_text(s->api,
				"{'apiVersion':'metrics.k8s.io/v1beta1','kind':'PodMetrics',"
				"'metadata':{'name':'%s','namespace':'default'},"
				"'timestamp':'%s','window':'15s','containers':[{'name':'c',"
				"'usage':{'cpu':'%dm','memory':'10Mi'}}]}",
				pods[i]->name, now, each);
	}
}

static void run(struct sim *s, int64_t ms)
{
	for (int64_t done = 0; done < ms; done += 5000) {
		measure(s);
		sim_run_ms(s, 5000);
	}
}

static void changed(void *user, const struct object *old, const struct object *new)
{
	struct sim *s = user;
	if (!new || !streq(new->kind->kind, "Deployment"))
		return;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	int64_t replicas = json_path_int(object_doc(new, &a), "spec.replicas", -1);
	if (replicas < LEAST || replicas > MOST)
		fail_msg("seed %d: %d replicas", (int)s->seed, (int)replicas);
}

static int64_t size(struct sim *s)
{
	return sim_int(s, "Deployment", "web", "spec.replicas", -1);
}

static void create(struct sim *s)
{
	fake_api_create_text(s->api,
		"{'apiVersion':'apps/v1','kind':'Deployment','metadata':{'name':'web','namespace':"
		"'default'},'spec':{'replicas':3,'selector':{'matchLabels':{'app':'web'}},"
		"'template':{'metadata':{'labels':{'app':'web'}},'spec':{'containers':[{'name':'c',"
		"'image':'web:1','resources':{'requests':{'cpu':'100m'}}}]}}}}");
	fake_api_create_text(s->api,
		"{'apiVersion':'autoscaling/v2','kind':'HorizontalPodAutoscaler','metadata':{"
		"'name':'web','namespace':'default'},'spec':{'minReplicas':%d,'maxReplicas':%d,"
		"'scaleTargetRef':{'apiVersion':'apps/v1','kind':'Deployment','name':'web'},"
		"'metrics':[{'type':'Resource','resource':{'name':'cpu','target':{"
		"'type':'Utilization','averageUtilization':50}}}]}}",
		LEAST, MOST);
}

static void test_follows_the_load(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		sim_begin(&s, seed, "*", true);
		fake_node_add(s.nodes, "n1", "64", "64Gi", 110);
		fake_api_on_change(s.api, changed, &s);
		load_milli = 150;
		create(&s);
		run(&s, 60000);
		assert_int_equal(size(&s), 3);
		assert_true(sim_condition_is(&s, "HorizontalPodAutoscaler", "web", "ScalingActive",
			"True", "ValidMetricFound"));
		load_milli = 1000; /* asks for 20 */
		sim_faults(&s, true);
		run(&s, 300000);
		sim_faults(&s, false);
		run(&s, 120000);
		assert_int_equal(size(&s), MOST);
		assert_true(sim_condition_is(&s, "HorizontalPodAutoscaler", "web", "ScalingLimited",
			"True", "TooManyReplicas"));
		assert_int_equal(
			sim_int(&s, "HorizontalPodAutoscaler", "web", "status.currentReplicas", -1),
			MOST);
		load_milli = 300;
		run(&s, 120000); /* stays for five minutes */
		assert_int_equal(size(&s), MOST);
		sim_faults(&s, true);
		run(&s, 600000);
		sim_faults(&s, false);
		run(&s, 420000);
		assert_int_equal(size(&s), 6);
		run(&s, 120000);
		assert_int_equal(size(&s), 6);
		sim_end(&s);
	}
}

static void test_nothing_is_known(void **state)
{
	struct sim s;
	sim_begin(&s, 1, "*", true);
	fake_node_add(s.nodes, "n1", "64", "64Gi", 110);
	create(&s);
	sim_run_ms(&s, 120000);
	assert_int_equal(size(&s), 3);
	assert_true(sim_condition_is(&s, "HorizontalPodAutoscaler", "web", "ScalingActive", "False",
		"FailedGetResourceMetric"));
	/* Out of bounds it is brought in without any metrics. */
	fake_api_patch_text(
		s.api, "HorizontalPodAutoscaler", "default", "web", "{'spec':{'minReplicas':5}}");
	sim_run_ms(&s, 30000);
	assert_int_equal(size(&s), 5);
	/* Two of them for the same pods: none moves them. */
	fake_api_create_text(s.api,
		"{'apiVersion':'autoscaling/v2','kind':'HorizontalPodAutoscaler','metadata':{"
		"'name':'rival','namespace':'default'},'spec':{'minReplicas':2,'maxReplicas':9,"
		"'scaleTargetRef':{'apiVersion':'apps/v1','kind':'Deployment','name':'web'},"
		"'metrics':[{'type':'Resource','resource':{'name':'cpu','target':{"
		"'type':'Utilization','averageUtilization':50}}}]}}");
	load_milli = 2000;
	run(&s, 120000);
	assert_int_equal(size(&s), 5);
	assert_true(sim_condition_is(&s, "HorizontalPodAutoscaler", "web", "ScalingActive", "False",
		"AmbiguousSelector"));
	assert_true(sim_condition_is(&s, "HorizontalPodAutoscaler", "rival", "ScalingActive",
		"False", "AmbiguousSelector"));
	fake_api_delete(s.api, "HorizontalPodAutoscaler", "default", "rival", 0, NULL);
	run(&s, 120000);
	assert_int_equal(size(&s), MOST);
	/* Switched off by hand. */
	fake_api_on_change(s.api, NULL, NULL);
	fake_api_patch_text(s.api, "Deployment", "default", "web", "{'spec':{'replicas':0}}");
	run(&s, 60000);
	assert_int_equal(size(&s), 0);
	assert_true(sim_condition_is(
		&s, "HorizontalPodAutoscaler", "web", "ScalingActive", "False", "ScalingDisabled"));
	fake_api_delete(s.api, "Deployment", "default", "web", 0, NULL);
	run(&s, 60000);
	assert_true(sim_condition_is(
		&s, "HorizontalPodAutoscaler", "web", "AbleToScale", "False", "FailedGetScale"));
	sim_end(&s);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_follows_the_load),
		cmocka_unit_test(test_nothing_is_known),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

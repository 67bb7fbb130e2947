#include "test/sim/sim.h"

static const char set_text[] =
	"{'apiVersion':'apps/v1','kind':'DaemonSet','metadata':{'name':'agent','namespace':"
	"'default'},'spec':{'selector':{'matchLabels':{'app':'agent'}},'template':{'metadata':{"
	"'labels':{'app':'agent'}},'spec':{'containers':[{'name':'c','image':'agent:1'}]}}%s}}";

static void begin(struct sim *s, uint64_t seed, int nodes, const char *more)
{
	sim_begin(s, seed, "daemonset", true);
	for (int n = 0; n < nodes; n++) {
		char name[16];
		snprintf(name, sizeof(name), "n%d", n);
		fake_node_add(s->nodes, name, "4", "4Gi", 50);
	}
	fake_api_create_text(s->api, set_text, more);
}

static void set_image(struct sim *s, const char *image)
{
	fake_api_patch_text(s->api, "DaemonSet", "default", "agent",
		"{'spec':{'template':{'spec':{'containers':[{'name':'c','image':'%s'}]}}}}", image);
}

/* How many pods run on that node (NULL = on all) and are not on their way out. */
static int64_t running(struct sim *s, const char *node, const char *image)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object **all;
	size_t count = fake_api_list(s->api, "Pod", "default", &a, &all);
	int64_t found = 0;
	for (size_t n = 0; n < count; n++) {
		struct json *doc = object_doc(all[n], &a);
		found += !all[n]->deleting &&
			 (!node || streq(json_path_str(doc, "spec.nodeName"), node)) &&
			 streq(json_path_str(doc, "status.phase"), "Running") &&
			 (!image || streq(json_path_str(doc, "spec.containers[0].image"), image));
	}
	return found;
}

static bool each_has_one(struct sim *s, int64_t nodes, const char *image)
{
	for (int n = 0; n < nodes; n++) {
		char name[16];
		snprintf(name, sizeof(name), "n%d", n);
		if (running(s, name, image) != 1)
			return false;
	}
	return sim_count(s, "Pod") == (size_t)nodes &&
	       sim_int(s, "DaemonSet", "agent", "status.desiredNumberScheduled", 0) == nodes &&
	       sim_int(s, "DaemonSet", "agent", "status.currentNumberScheduled", 0) == nodes &&
	       sim_int(s, "DaemonSet", "agent", "status.updatedNumberScheduled", 0) == nodes &&
	       sim_int(s, "DaemonSet", "agent", "status.numberReady", 0) == nodes &&
	       sim_int(s, "DaemonSet", "agent", "status.numberAvailable", 0) == nodes &&
	       sim_int(s, "DaemonSet", "agent", "status.observedGeneration", 0) ==
		       sim_int(s, "DaemonSet", "agent", "metadata.generation", 0);
}

static bool five_first(struct sim *s)
{
	return each_has_one(s, 5, "agent:1");
}

static bool five_second(struct sim *s)
{
	return each_has_one(s, 5, "agent:2");
}

static bool six_first(struct sim *s)
{
	return each_has_one(s, 6, "agent:1");
}

static void test_one_each(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		begin(&s, seed, 5, "");
		sim_faults(&s, true);
		sim_run_ms(&s, 20000);
		sim_faults(&s, false);
		sim_until(&s, five_first, 400000);
		sim_holds(&s, five_first, 20000);
		fake_node_add(s.nodes, "n5", "4", "4Gi", 50);
		sim_until(&s, six_first, 60000);
		assert_int_equal(sim_count(&s, "ControllerRevision"), 1);
		sim_end(&s);
	}
}

static bool not_on_first(struct sim *s)
{
	return running(s, "n0", NULL) == 0 && running(s, NULL, NULL) == 4 &&
	       sim_int(s, "DaemonSet", "agent", "status.desiredNumberScheduled", 0) == 4;
}

static bool stays_on_first(struct sim *s)
{
	return running(s, "n0", NULL) == 1 &&
	       sim_int(s, "DaemonSet", "agent", "status.numberMisscheduled", 0) == 1 &&
	       sim_int(s, "DaemonSet", "agent", "status.desiredNumberScheduled", 0) == 4;
}

static bool on_one(struct sim *s)
{
	return running(s, "n3", NULL) == 1 && running(s, NULL, NULL) == 1;
}

static void test_eligible(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		begin(&s, seed, 5, "");
		sim_until(&s, five_first, 60000);
		/* What is there stays where nothing new may be placed; and leaves where nothing may
		 * run. Unschedulable nodes are no hindrance. */
		fake_api_patch_text(s.api, "Node", "", "n0",
			"{'spec':{'taints':[{'key':'k','effect':'NoSchedule'}]}}");
		sim_until(&s, stays_on_first, 20000);
		fake_api_patch_text(s.api, "Node", "", "n0",
			"{'spec':{'taints':[{'key':'k','effect':'NoExecute'}]}}");
		sim_until(&s, not_on_first, 20000);
		sim_holds(&s, not_on_first, 10000);
		fake_api_patch_text(s.api, "Node", "", "n0",
			"{'spec':{'unschedulable':true,'taints':[{'key':'node.kubernetes.io/"
			"unschedulable','effect':'NoSchedule'}]}}");
		sim_faults(&s, true);
		sim_run_ms(&s, 10000);
		sim_faults(&s, false);
		sim_until(&s, five_first, 200000);
		fake_api_patch_text(s.api, "DaemonSet", "default", "agent",
			"{'spec':{'template':{'spec':{'nodeSelector':{'kubernetes.io/hostname':"
			"'n3'}}}}}");
		sim_until(&s, on_one, 60000);
		sim_end(&s);
	}
}

static int64_t least, most, most_on_one;
static bool watching;
static void watch_numbers(void *user, const struct object *old, const struct object *new)
{
	struct sim *s = user;
	if (!watching)
		return;
	least = MIN(least, running(s, NULL, NULL));
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object **all;
	size_t count = fake_api_list(s->api, "Pod", "default", &a, &all);
	int64_t there = 0;
	for (size_t n = 0; n < count; n++)
		there += !all[n]->deleting;
	most = MAX(most, there);
	for (int n = 0; n < 5; n++) {
		char name[16];
		snprintf(name, sizeof(name), "n%d", n);
		most_on_one = MAX(most_on_one, running(s, name, NULL));
	}
}

static void roll(struct sim *s, uint64_t seed, const char *strategy, bool faults)
{
	char more[200];
	snprintf(more, sizeof(more),
		",'updateStrategy':{'type':'RollingUpdate','rollingUpdate':{%s}}", strategy);
	begin(s, seed, 5, more);
	sim_until(s, five_first, 60000);
	least = most = 5;
	most_on_one = 1;
	watching = true;
	fake_api_on_change(s->api, watch_numbers, s);
	sim_faults(s, faults);
	set_image(s, "agent:2");
	sim_run_ms(s, 20000);
	sim_faults(s, false);
	sim_until(s, five_second, 400000);
	watching = false;
	assert_int_equal(sim_count(s, "ControllerRevision"), 2);
	sim_end(s);
}

static void test_rolls(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		roll(&s, seed, "'maxUnavailable':2", true);
		assert_in_range(least, 3, 4);
		assert_int_equal(most_on_one, 1);
		roll(&s, seed, "'maxUnavailable':0,'maxSurge':2", false);
		assert_int_equal(least, 5);
		assert_in_range(most, 6, 7);
	}
}

static bool failed_is_replaced(struct sim *s)
{
	return five_first(s);
}

static void test_failed(void **state)
{
	struct sim s;
	begin(&s, 1, 5, "");
	sim_until(&s, five_first, 60000);
	/* Each time the wait is longer: 1 s, 2 s, 4 s, ... */
	int64_t last_ms = 0;
	for (int n = 0; n < 5; n++) {
		struct arena a = ARENA_INIT;
		struct object **pods;
		size_t count = fake_api_list(s.api, "Pod", "default", &a, &pods);
		for (size_t m = 0; m < count; m++)
			if (streq(json_path_str(object_doc(pods[m], &a), "spec.nodeName"), "n2")) {
				fake_api_patch_text(s.api, "Pod", "default", pods[m]->name,
					"{'status':{'phase':'Failed'}}");
				break;
			}
		arena_finish(&a);
		int64_t before_ns = s.clock.now_ns;
		sim_until(&s, failed_is_replaced, 60000);
		int64_t took_ms = (s.clock.now_ns - before_ns) / NS_PER_MS;
		if (n >= 3)
			assert_true(took_ms > last_ms);
		last_ms = took_ms;
	}
	assert_true(last_ms > 5000);
	sim_end(&s);
}

static bool gone_with_node(struct sim *s)
{
	return sim_count(s, "Pod") == 4;
}

/* A pod that never could be placed goes with its node. */
static void test_node_gone(void **state)
{
	struct sim s;
	begin(&s, 1, 4, "");
	fake_node_add(s.nodes, "n9", "4", "4Gi", 0); /* takes no pods */
	sim_run_ms(&s, 20000);
	assert_int_equal(sim_count(&s, "Pod"), 5);
	fake_api_delete(s.api, "Node", "", "n9", 0, NULL);
	sim_until(&s, gone_with_node, 20000);
	sim_end(&s);
}

static bool by_hand(struct sim *s)
{
	return running(s, NULL, "agent:1") == 4 && running(s, NULL, "agent:2") == 1;
}

static void test_on_delete(void **state)
{
	struct sim s;
	begin(&s, 1, 5, ",'updateStrategy':{'type':'OnDelete'}");
	sim_until(&s, five_first, 60000);
	set_image(&s, "agent:2");
	sim_run_ms(&s, 20000);
	assert_int_equal(running(&s, NULL, "agent:1"), 5);
	struct arena a = ARENA_INIT;
	struct object **pods;
	fake_api_list(s.api, "Pod", "default", &a, &pods);
	char *name = arena_strdup(&a, pods[0]->name);
	fake_api_delete(s.api, "Pod", "default", name, 0, NULL);
	arena_finish(&a);
	sim_until(&s, by_hand, 20000);
	sim_holds(&s, by_hand, 10000);
	sim_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_one_each),
		cmocka_unit_test(test_eligible),
		cmocka_unit_test(test_rolls),
		cmocka_unit_test(test_failed),
		cmocka_unit_test(test_node_gone),
		cmocka_unit_test(test_on_delete),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

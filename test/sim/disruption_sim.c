#include "test/sim/sim.h"

static const char deployment_text[] =
	"{'apiVersion':'apps/v1','kind':'Deployment','metadata':{'name':'web','namespace':"
	"'default'},'spec':{'replicas':5,'selector':{'matchLabels':{'app':'web'}},'template':{"
	"'metadata':{'labels':{'app':'web'}},'spec':{'containers':[{'name':'c','image':'web:1'}]}"
	"}}}";
static const char budget_text[] =
	"{'apiVersion':'policy/v1','kind':'PodDisruptionBudget','metadata':{'name':'web',"
	"'namespace':'default'},'spec':{%s,'selector':{'matchLabels':{'app':'web'}}}}";

static void begin(struct sim *s, uint64_t seed, const char *bound)
{
	sim_begin(s, seed, "deployment,replicaset,disruption", true);
	fake_node_add(s->nodes, "n1", "32", "32Gi", 200);
	fake_api_create_text(s->api, "%s", deployment_text);
	fake_api_create_text(s->api, budget_text, bound);
}

static int64_t status(struct sim *s, const char *name)
{
	char path[64];
	snprintf(path, sizeof(path), "status.%s", name);
	return sim_int(s, "PodDisruptionBudget", "web", path, 0);
}

static bool settled(struct sim *s, int64_t expected, int64_t desired, int64_t allowed)
{
	return status(s, "expectedPods") == expected && status(s, "desiredHealthy") == desired &&
	       status(s, "currentHealthy") == 5 && status(s, "disruptionsAllowed") == allowed &&
	       sim_condition_is(s, "PodDisruptionBudget", "web", "DisruptionAllowed",
		       allowed ? "True" : "False", allowed ? "SufficientPods" : "InsufficientPods");
}

static bool two_may_go(struct sim *s)
{
	return settled(s, 5, 3, 2);
}

static bool one_may_go(struct sim *s)
{
	return settled(s, 5, 4, 1);
}

static bool none_may_go(struct sim *s)
{
	return settled(s, 5, 5, 0);
}

static void test_numbers(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		begin(&s, seed, "'minAvailable':3");
		sim_faults(&s, true);
		sim_run_ms(&s, 20000);
		sim_faults(&s, false);
		sim_until(&s, two_may_go, 400000);
		fake_api_patch_text(s.api, "PodDisruptionBudget", "default", "web",
			"{'spec':{'minAvailable':'70%%'}}");
		sim_until(&s, one_may_go, 20000);
		fake_api_patch_text(s.api, "PodDisruptionBudget", "default", "web",
			"{'spec':{'minAvailable':null,'maxUnavailable':'40%%'}}");
		sim_until(&s, two_may_go, 20000);
		fake_api_patch_text(s.api, "PodDisruptionBudget", "default", "web",
			"{'spec':{'maxUnavailable':0}}");
		sim_until(&s, none_may_go, 20000);
		sim_end(&s);
	}
}

/* As an eviction does it: what the status allows is taken from it in one step. */
static bool evict(struct sim *s, const char *except)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	char now[TIME_RFC3339_ROOM];
	struct object **pods;
	int64_t allowed = status(s, "disruptionsAllowed");
	if (allowed < 1)
		return false;
	size_t count = fake_api_list(s->api, "Pod", "default", &a, &pods);
	for (size_t n = 0; n < count; n++) {
		if (pods[n]->deleting || streq(pods[n]->name, except) ||
			!sim_condition_is(s, "Pod", pods[n]->name, "Ready", "True", NULL))
			continue;
		char *name = arena_strdup(&a, pods[n]->name);
		time_format_rfc3339(s->clock.clock.wall_ns(&s->clock.clock), now);
		fake_api_patch_text(s->api, "PodDisruptionBudget", "default", "web",
			"{'status':{'disruptionsAllowed':%d,'disruptedPods':{'%s':'%s'}}}",
			(int)allowed - 1, name, now);
		if (!except)
			fake_api_delete(s->api, "Pod", "default", name, -1, NULL);
		return true;
	}
	return false;
}

static int64_t healthy(struct sim *s)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object **pods;
	size_t count = fake_api_list(s->api, "Pod", "default", &a, &pods);
	int64_t ready = 0;
	for (size_t n = 0; n < count; n++)
		ready += !pods[n]->deleting &&
			 sim_condition_is(s, "Pod", pods[n]->name, "Ready", "True", NULL);
	return ready;
}

/* However late and often the loop hears of it, evictions never take more than the budget has. */
static void test_holds(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		begin(&s, seed, "'minAvailable':3");
		sim_until(&s, two_may_go, 100000);
		unsigned evicted = 0;
		sim_faults(&s, true);
		for (int n = 0; n < 600; n++) {
			evicted += evict(&s, NULL);
			assert_true(healthy(&s) >= 3);
			sim_run_ms(&s, 100);
		}
		sim_faults(&s, false);
		assert_true(evicted > 5);
		sim_until(&s, two_may_go, 400000);
		sim_end(&s);
	}
}

static bool nothing_disrupted(struct sim *s)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	return json_count(json_path(
		       sim_doc(s, &a, "PodDisruptionBudget", "web"), "status.disruptedPods")) == 0;
}

static bool less_allowed(struct sim *s)
{
	return status(s, "disruptionsAllowed") == 1 && status(s, "currentHealthy") == 4;
}

/* An eviction that something kept from happening counts for two minutes. */
static void test_kept(void **state)
{
	struct sim s;
	begin(&s, 1, "'minAvailable':3");
	sim_until(&s, two_may_go, 100000);
	assert_true(evict(&s, ""));
	sim_until(&s, less_allowed, 10000);
	sim_holds(&s, less_allowed, 100000);
	sim_until(&s, nothing_disrupted, 30000);
	sim_until(&s, two_may_go, 1000);
	sim_end(&s);
}

static bool can_not_tell(struct sim *s)
{
	return sim_condition_is(s, "PodDisruptionBudget", "web", "DisruptionAllowed", "False",
		       "SyncFailed") &&
	       status(s, "disruptionsAllowed") == 0;
}

static void test_no_scale(void **state)
{
	struct sim s;
	sim_begin(&s, 1, "disruption", false);
	fake_api_create_text(s.api,
		"{'apiVersion':'v1','kind':'Pod','metadata':{'name':'p','labels':{'app':'web'},"
		"'ownerReferences':[{'apiVersion':'apps/v1','kind':'DaemonSet','name':'d','uid':"
		"'u','controller':true}]},'spec':{'containers':[{'name':'c','image':'i'}]}}");
	fake_api_create_text(s.api, budget_text, "'maxUnavailable':1");
	sim_until(&s, can_not_tell, 10000);
	sim_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_numbers),
		cmocka_unit_test(test_holds),
		cmocka_unit_test(test_kept),
		cmocka_unit_test(test_no_scale),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

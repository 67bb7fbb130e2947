#include "test/sim/sim.h"

#include "lib/base/table.h"
#include "server/controllers/workloads/job_plan.h"

static const char job_text[] =
	"{'apiVersion':'batch/v1','kind':'Job','metadata':{'name':'j','namespace':'default'},"
	"'spec':{%s,'selector':{'matchLabels':{'job':'j'}},'manualSelector':true,"
	"'template':{'metadata':{'labels':{'job':'j'}},'spec':{'restartPolicy':'Never',"
	"'containers':[{'name':'c','image':'i'}]}}}}";

/* What really happened, by uid, for comparison with what the job says. */
struct watcher {
	struct sim *sim;
	struct table succeeded, failed;	     /* pods that ended while they were tracked */
	int64_t most_succeeded, most_failed; /* the job said so */
	size_t most_pods;		     /* at a time, of those that were to be counted */
	unsigned fail_percent;
	int64_t fail_index; /* its pods always fail; -1 = none */
	bool repeated_index;
};

static bool tracked(const struct object *pod)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	JSON_FOR_EACH_ITEM(it, json_path(object_doc(pod, &a), "metadata.finalizers"))
		if (streq(json_str(it), JOB_TRACKING_FINALIZER))
			return true;
	return false;
}

static void on_pod_change(struct watcher *w, const struct object *old, const struct object *new)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const char *phase = json_str_or(json_path(object_doc(new, &a), "status.phase"), "");
	if (old && !tracked(old))
		return;
	if (streq(phase, "Succeeded"))
		table_set(&w->succeeded, new->uid, w);
	/* Without a policy a pod that is being deleted has failed, unless it still succeeds. */
	else if (streq(phase, "Failed") || new->deleting)
		table_set(&w->failed, new->uid, w);
}

static void on_job_change(struct watcher *w, const struct object *new)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct json *status = json_path(object_doc(new, &a), "status");
	int64_t succeeded = json_int_or(json_get(status, "succeeded"), 0),
		failed = json_int_or(json_get(status, "failed"), 0);
	/* Counters never go back, and never say more than there was. */
	assert_true(succeeded >= w->most_succeeded);
	assert_true(failed >= w->most_failed);
	assert_true((size_t)succeeded <= w->succeeded.count);
	w->most_succeeded = succeeded;
	w->most_failed = failed;
}

static size_t counted_pods(struct watcher *w)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object **pods;
	size_t count = fake_api_list(w->sim->api, "Pod", "default", &a, &pods), n = 0;
	for (size_t i = 0; i < count; i++) {
		const char *phase =
			json_str_or(json_path(object_doc(pods[i], &a), "status.phase"), "");
		n += !pods[i]->deleting && !streq(phase, "Succeeded") && !streq(phase, "Failed");
	}
	return n;
}

static void on_change(void *user, const struct object *old, const struct object *new)
{
	struct watcher *w = user;
	if (!new)
		return;
	if (streq(new->kind->kind, "Pod")) {
		on_pod_change(w, old, new);
		w->most_pods = MAX(w->most_pods, counted_pods(w));
	} else if (streq(new->kind->kind, "Job")) {
		on_job_change(w, new);
	}
}

static const char *pod_end(void *user, const struct object *pod, int *ret_code)
{
	struct watcher *w = user;
	const char *index = object_label(pod, "batch.kubernetes.io/job-completion-index");
	_cleanup_(free_p) char *bad = xasprintf("%lld", (long long)w->fail_index);
	if (streq(index, bad) || random_below(&w->sim->random, 100) < w->fail_percent) {
		*ret_code = 1;
		return "Failed";
	}
	return "Succeeded";
}

static void begin(struct sim *s, struct watcher *w, uint64_t seed, const char *list)
{
	sim_begin(s, seed, list, true);
	*w = (struct watcher){.sim = s, .fail_index = -1};
	fake_node_add(s->nodes, "n1", "64", "64Gi", 500);
	fake_nodes_end_pods(s->nodes, pod_end, w);
	fake_api_on_change(s->api, on_change, w);
}

static void end(struct sim *s, struct watcher *w)
{
	table_finish(&w->succeeded);
	table_finish(&w->failed);
	sim_end(s);
}

/* The process that runs the loops is killed, and another one begins. */
static void restart(struct sim *s, const char *list)
{
	controllers_destroy(s->controllers);
	s->controllers = controllers_create(s->controllers_client, list, NULL, NULL);
}

static bool complete(struct sim *s)
{
	return sim_condition_is(s, "Job", "j", "Complete", "True", NULL);
}

static bool failed(struct sim *s)
{
	return sim_condition_is(s, "Job", "j", "Failed", "True", NULL);
}

static bool none_tracked(struct sim *s)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object **pods;
	size_t count = fake_api_list(s->api, "Pod", "default", &a, &pods);
	for (size_t n = 0; n < count; n++)
		if (tracked(pods[n]))
			return false;
	return true;
}

/* Everything goes wrong that may, and the loops are killed again and again: each pod is counted
 * once. Answers are not lost here, so that not one pod too many is made. */
static void test_counts(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		struct watcher w;
		begin(&s, &w, seed, "job");
		w.fail_percent = 10;
		fake_api_set_faults(s.api, &(struct fake_faults){.refuse = 10,
						   .lose_event = 3,
						   .repeat_event = 10,
						   .late_event = 3,
						   .break_watch = 2,
						   .delay_max_ms = 200});
		fake_api_create_text(
			s.api, job_text, "'completions':25,'parallelism':6,'backoffLimit':1000");
		for (int n = 0; n < 40 && !complete(&s); n++) {
			sim_run_ms(&s, 1000 + (int64_t)random_below(&s.random, 20000));
			restart(&s, "job");
		}
		sim_faults(&s, false);
		sim_until(&s, complete, 3600000);
		sim_until(&s, none_tracked, 60000);
		assert_int_equal(sim_int(&s, "Job", "j", "status.succeeded", 0), 25);
		assert_int_equal(w.succeeded.count, 25);
		assert_int_equal(sim_int(&s, "Job", "j", "status.failed", 0), w.failed.count);
		assert_true(w.most_pods <= 6);
		end(&s, &w);
	}
}

/* Lost answers, too: pods may be made twice then, but nothing is counted twice. */
static void test_lost_answers(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		struct watcher w;
		begin(&s, &w, seed, "job");
		w.fail_percent = 5;
		sim_faults(&s, true);
		fake_api_create_text(
			s.api, job_text, "'completions':20,'parallelism':5,'backoffLimit':1000");
		for (int n = 0; n < 6; n++) {
			sim_run_ms(&s, 20000);
			restart(&s, "job");
		}
		sim_faults(&s, false);
		sim_until(&s, complete, 3600000);
		sim_until(&s, none_tracked, 60000);
		int64_t succeeded = sim_int(&s, "Job", "j", "status.succeeded", 0);
		assert_true(succeeded >= 20 && (size_t)succeeded <= w.succeeded.count);
		end(&s, &w);
	}
}

static void test_indexed(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		struct watcher w;
		begin(&s, &w, seed, "job");
		w.fail_percent = 15;
		sim_faults(&s, true);
		fake_api_create_text(s.api, job_text,
			"'completionMode':'Indexed','completions':20,'parallelism':6,"
			"'backoffLimit':1000");
		sim_run_ms(&s, 30000);
		restart(&s, "job");
		sim_run_ms(&s, 30000);
		sim_faults(&s, false);
		sim_until(&s, complete, 3600000);
		sim_until(&s, none_tracked, 60000);
		assert_true(sim_text_is(&s, "Job", "j", "status.completedIndexes", "0-19"));
		assert_int_equal(sim_int(&s, "Job", "j", "status.succeeded", 0), 20);
		end(&s, &w);
	}
}

static void test_failing_index(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		struct watcher w;
		begin(&s, &w, seed, "job");
		w.fail_index = 3;
		fake_api_set_faults(s.api, &(struct fake_faults){.refuse = 10,
						   .repeat_event = 10,
						   .break_watch = 5,
						   .delay_max_ms = 200});
		fake_api_create_text(s.api, job_text,
			"'completionMode':'Indexed','completions':8,'parallelism':4,"
			"'backoffLimitPerIndex':2");
		sim_run_ms(&s, 20000);
		restart(&s, "job");
		sim_until(&s, failed, 3600000);
		sim_until(&s, none_tracked, 60000);
		assert_true(sim_condition_is(&s, "Job", "j", "Failed", "True", "FailedIndexes"));
		assert_true(sim_text_is(&s, "Job", "j", "status.failedIndexes", "3"));
		assert_true(sim_text_is(&s, "Job", "j", "status.completedIndexes", "0-2,4-7"));
		/* The first pod and two more. */
		assert_int_equal(sim_int(&s, "Job", "j", "status.failed", 0), 3);
		end(&s, &w);
	}
}

static void test_fails(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		struct watcher w;
		begin(&s, &w, seed, "job");
		w.fail_percent = 100;
		sim_faults(&s, true);
		fake_api_create_text(
			s.api, job_text, "'completions':4,'parallelism':2,'backoffLimit':3");
		sim_run_ms(&s, 20000);
		sim_faults(&s, false);
		sim_until(&s, failed, 600000);
		sim_until(&s, none_tracked, 60000);
		assert_true(
			sim_condition_is(&s, "Job", "j", "Failed", "True", "BackoffLimitExceeded"));
		assert_true(sim_int(&s, "Job", "j", "status.failed", 0) >= 4);
		assert_int_equal(sim_int(&s, "Job", "j", "status.active", 0), 0);
		end(&s, &w);
	}
}

static bool suspended(struct sim *s)
{
	return sim_condition_is(s, "Job", "j", "Suspended", "True", NULL) &&
	       sim_count(s, "Pod") == 0;
}

static bool four_run(struct sim *s)
{
	return sim_int(s, "Job", "j", "status.active", 0) == 4 &&
	       sim_int(s, "Job", "j", "status.ready", 0) == 4;
}

static void test_suspension(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		struct watcher w;
		begin(&s, &w, seed, "job");
		fake_nodes_end_pods(s.nodes, NULL, NULL);
		fake_api_create_text(s.api, job_text, "'completions':8,'parallelism':4");
		sim_until(&s, four_run, 60000);
		sim_faults(&s, true);
		fake_api_patch_text(s.api, "Job", "default", "j", "{'spec':{'suspend':true}}");
		sim_run_ms(&s, 20000);
		sim_faults(&s, false);
		sim_until(&s, suspended, 200000);
		assert_int_equal(sim_int(&s, "Job", "j", "status.failed", 0), 0);
		fake_api_patch_text(s.api, "Job", "default", "j", "{'spec':{'suspend':false}}");
		sim_until(&s, four_run, 60000);
		fake_nodes_end_pods(s.nodes, pod_end, &w);
		sim_until(&s, complete, 600000);
		assert_int_equal(sim_int(&s, "Job", "j", "status.succeeded", 0), 8);
		assert_int_equal(sim_int(&s, "Job", "j", "status.failed", 0), 0);
		end(&s, &w);
	}
}

static bool nothing_left(struct sim *s)
{
	return sim_count(s, "Pod") == 0 && sim_count(s, "Job") == 0;
}

/* Finalizers keep nobody from going. */
static void test_deletion(void **state)
{
	static const char *const policies[] = {"Background", "Foreground"};
	sim_for_seeds(seed)
	{
		struct sim s;
		struct watcher w;
		begin(&s, &w, seed, "job,garbagecollector");
		fake_nodes_end_pods(s.nodes, NULL, NULL);
		fake_api_create_text(s.api, job_text, "'completions':8,'parallelism':4");
		sim_until(&s, four_run, 60000);
		sim_faults(&s, true);
		fake_api_delete(s.api, "Job", "default", "j", -1, policies[seed % 2]);
		sim_run_ms(&s, 20000);
		sim_faults(&s, false);
		sim_until(&s, nothing_left, 600000);
		end(&s, &w);
	}
}

/* Pods with the labels of a job come under its count. */
static void test_adoption(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		struct watcher w;
		begin(&s, &w, seed, "job");
		fake_api_create_text(s.api,
			"{'apiVersion':'v1','kind':'Pod','metadata':{'name':'stray','labels':{"
			"'job':'j'}},'spec':{'restartPolicy':'Never','containers':[{'name':'c',"
			"'image':'i'}]}}");
		fake_api_create_text(s.api, job_text, "'completions':2,'parallelism':2");
		sim_until(&s, complete, 600000);
		assert_non_null(object_controller(fake_api_get(s.api, "Pod", "default", "stray")));
		sim_until(&s, none_tracked, 60000);
		end(&s, &w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_counts),
		cmocka_unit_test(test_lost_answers),
		cmocka_unit_test(test_indexed),
		cmocka_unit_test(test_failing_index),
		cmocka_unit_test(test_fails),
		cmocka_unit_test(test_suspension),
		cmocka_unit_test(test_deletion),
		cmocka_unit_test(test_adoption),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

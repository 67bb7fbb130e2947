#include "test/sim/sim.h"

#include "lib/base/table.h"

static const char cron_text[] =
	"{'apiVersion':'batch/v1','kind':'CronJob','metadata':{'name':'c','namespace':'default'},"
	"'spec':{'schedule':'*/5 * * * *',%s,'jobTemplate':{'spec':{'manualSelector':true,"
	"'selector':{'matchLabels':{'of':'c'}},'template':{'metadata':{'labels':{'of':'c'}},'spec':"
	"{"
	"'restartPolicy':'Never','containers':[{'name':'c','image':'i'}]}}}}}}";

#define JOBS "cronjob,job,ttl-after-finished,garbagecollector"

/* Every run that was ever made, by name. */
struct watcher {
	struct table runs;
	size_t repeated; /* names that came twice */
	size_t most_at_once;
	struct sim *sim;
};

static size_t unfinished(struct sim *s)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object **jobs;
	size_t count = fake_api_list(s->api, "Job", "default", &a, &jobs), n = 0;
	for (size_t i = 0; i < count; i++)
		n += !jobs[i]->deleting &&
		     !json_path(object_doc(jobs[i], &a), "status.completionTime");
	return n;
}

static void on_change(void *user, const struct object *old, const struct object *new)
{
	struct watcher *w = user;
	if (old || !streq(new->kind->kind, "Job"))
		return;
	w->repeated += table_set(&w->runs, new->name, w) != NULL;
	w->most_at_once = MAX(w->most_at_once, unfinished(w->sim));
}

static const char *end_at_once(void *user, const struct object *pod, int *ret_code)
{
	return "Succeeded";
}

static void begin(struct sim *s, struct watcher *w, uint64_t seed, fake_pod_end *end)
{
	sim_begin(s, seed, JOBS, true);
	*w = (struct watcher){.sim = s};
	fake_node_add(s->nodes, "n1", "64", "64Gi", 500);
	fake_nodes_end_pods(s->nodes, end, NULL);
	fake_api_on_change(s->api, on_change, w);
}

static void end(struct sim *s, struct watcher *w)
{
	table_finish(&w->runs);
	sim_end(s);
}

static bool three_left(struct sim *s)
{
	return sim_count(s, "Job") == 3 && sim_int(s, "CronJob", "c", "status.active", 0) == 0;
}

/* One run for each time, never two, whatever fails and is killed; only the last of them stay. */
static void test_runs(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		struct watcher w;
		begin(&s, &w, seed, end_at_once);
		sim_faults(&s, true);
		fake_api_create_text(s.api, cron_text, "'successfulJobsHistoryLimit':3");
		for (int n = 0; n < 12; n++) {
			sim_run_ms(&s, 100000 + (int64_t)random_below(&s.random, 300000));
			controllers_destroy(s.controllers);
			s.controllers = controllers_create(s.controllers_client, JOBS, NULL, NULL);
		}
		sim_faults(&s, false);
		int64_t minutes = s.clock.now_ns / NS_PER_S / 60;
		sim_run_ms(&s, 30 * 60000);
		assert_int_equal(w.repeated, 0);
		/* What was due while nobody looked is made up for by one run only. */
		assert_true((int64_t)w.runs.count >= 6 && (int64_t)w.runs.count <= minutes / 5 + 7);
		sim_run_ms(&s, 5 * 60000 - s.clock.now_ns / NS_PER_MS % (5 * 60000) + 60000);
		sim_until(&s, three_left, 100000);
		end(&s, &w);
	}
}

static void test_policies(void **state)
{
	static const struct {
		const char *policy;
		size_t least_at_once, most_at_once, least_runs, most_runs;
	} cases[] = {{"Forbid", 1, 1, 1, 1}, {"Replace", 1, 1, 4, 8}, {"Allow", 4, 8, 4, 8}};
	for (size_t n = 0; n < ARRAY_LEN(cases); n++)
		sim_for_seeds(seed)
		{
			struct sim s;
			struct watcher w;
			_cleanup_(free_p) char *policy =
				xasprintf("'concurrencyPolicy':'%s'", cases[n].policy);
			begin(&s, &w, seed, NULL);
			fake_api_set_faults(s.api, &(struct fake_faults){.refuse = 10,
							   .repeat_event = 10,
							   .break_watch = 5,
							   .delay_max_ms = 200});
			fake_api_create_text(s.api, cron_text, policy);
			sim_run_ms(&s, 31 * 60000);
			assert_in_range(
				w.most_at_once, cases[n].least_at_once, cases[n].most_at_once);
			assert_in_range(w.runs.count, cases[n].least_runs, cases[n].most_runs);
			assert_int_equal(w.repeated, 0);
			end(&s, &w);
		}
}

/* What has the name of a run that is gone is not that run. */
static void test_name_taken(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		struct watcher w;
		_cleanup_(arena_finish) struct arena a = ARENA_INIT;
		begin(&s, &w, seed, NULL);
		fake_api_create_text(s.api, cron_text, "'concurrencyPolicy':'Forbid'");
		sim_run_ms(&s, 11 * 60000);
		const struct json *active =
			json_at(json_path(sim_doc(&s, &a, "CronJob", "c"), "status.active"), 0);
		const char *name = json_str(json_get(active, "name"));
		assert_non_null(name);
		fake_api_delete(s.api, "Job", "default", name, 0, "Background");
		assert_null(fake_api_get(s.api, "Job", "default", name));
		fake_api_create_text(s.api,
			"{'apiVersion':'batch/v1','kind':'Job','metadata':{'name':'%s'},'spec':{"
			"'suspend':true,'manualSelector':true,'selector':{'matchLabels':{'of':'x'}}"
			","
			"'template':{'metadata':{'labels':{'of':'x'}},'spec':{'restartPolicy':"
			"'Never','containers':[{'name':'c','image':'i'}]}}}}",
			name);
		sim_run_ms(&s, 11 * 60000);
		active = json_at(json_path(sim_doc(&s, &a, "CronJob", "c"), "status.active"), 0);
		assert_non_null(active);
		assert_string_not_equal(json_str_or(json_get(active, "name"), ""), name);
		end(&s, &w);
	}
}

static bool no_jobs(struct sim *s)
{
	return sim_count(s, "Job") == 0 && sim_count(s, "Pod") == 0;
}

static void test_ttl(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		struct watcher w;
		begin(&s, &w, seed, end_at_once);
		sim_faults(&s, true);
		for (int n = 0; n < 5; n++)
			fake_api_create_text(s.api,
				"{'apiVersion':'batch/v1','kind':'Job','metadata':{'name':'j%d'},"
				"'spec':{'ttlSecondsAfterFinished':30,'selector':{'matchLabels':{"
				"'job':'j%d'}},'manualSelector':true,'template':{'metadata':{"
				"'labels':{'job':'j%d'}},'spec':{'restartPolicy':'Never',"
				"'containers':[{'name':'c','image':'i'}]}}}}",
				n, n, n);
		sim_run_ms(&s, 20000);
		assert_int_equal(sim_count(&s, "Job"), 5);
		sim_faults(&s, false);
		sim_until(&s, no_jobs, 400000);
		end(&s, &w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_runs),
		cmocka_unit_test(test_policies),
		cmocka_unit_test(test_name_taken),
		cmocka_unit_test(test_ttl),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

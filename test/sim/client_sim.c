#include "test/sim/sim.h"

#include "lib/client/informer.h"
#include "lib/client/wakeup.h"
#include "lib/client/workqueue.h"

/* Work queue. */

struct worker {
	struct workqueue *q;
	struct sim_clock *clock;
	char ran[64][16];
	int64_t at_ms[64];
	unsigned count;
	bool hold;	 /* keys stay under way */
	unsigned fail;	 /* so many more times */
	int64_t rest_ms; /* of each key after it ran */
};

static void on_key(void *user, const char *key)
{
	struct worker *w = user;
	assert_in_range(w->count, 0, 63);
	snprintf(w->ran[w->count], sizeof(w->ran[0]), "%s", key);
	w->at_ms[w->count++] = w->clock->now_ns / NS_PER_MS;
	if (w->hold)
		return;
	bool failed = w->fail > 0;
	if (failed)
		w->fail--;
	if (w->rest_ms)
		workqueue_rest(w->q, key, w->rest_ms);
	workqueue_done(w->q, key, failed);
}

static void run(struct sim_clock *c, int64_t ms)
{
	int64_t end_ns = c->now_ns + ms * NS_PER_MS, next_ns;
	while ((next_ns = wakeup_run_due(&c->clock)) <= end_ns)
		c->now_ns = next_ns;
	c->now_ns = end_ns;
}

static void queue_begin(struct worker *w, struct sim_clock *c, unsigned workers)
{
	sim_clock_init(c);
	*w = (struct worker){.clock = c};
	w->q = workqueue_create(NULL, &c->clock, "test", workers, on_key, w);
}

static void test_queue_merges(void **state)
{
	struct sim_clock c;
	struct worker w;
	queue_begin(&w, &c, 2);
	workqueue_add(w.q, "a");
	workqueue_add(w.q, "b");
	workqueue_add(w.q, "a");
	run(&c, 100);
	assert_int_equal(w.count, 0); /* not started */
	workqueue_start(w.q);
	run(&c, 100);
	assert_int_equal(w.count, 2);
	/* While it runs: once more after that, however often it is added. */
	w.hold = true;
	workqueue_add(w.q, "a");
	run(&c, 1);
	workqueue_add(w.q, "a");
	workqueue_add(w.q, "a");
	run(&c, 100);
	assert_int_equal(w.count, 3);
	workqueue_done(w.q, "a", false);
	run(&c, 1);
	assert_int_equal(w.count, 4);
	/* Two workers: the third key waits. */
	workqueue_add(w.q, "b");
	workqueue_add(w.q, "c");
	run(&c, 100);
	assert_int_equal(w.count, 5);
	assert_int_equal(workqueue_length(w.q), 3);
	workqueue_done(w.q, "a", false);
	run(&c, 1);
	assert_string_equal(w.ran[5], "c");
	workqueue_destroy(w.q);
}

static void test_queue_delays(void **state)
{
	struct sim_clock c;
	struct worker w;
	queue_begin(&w, &c, 1);
	workqueue_start(w.q);
	workqueue_add_after(w.q, "late", 500);
	workqueue_add_after(w.q, "soon", 100);
	workqueue_add_after(w.q, "late", 300); /* earliest wins */
	workqueue_add_after(w.q, "soon", 900);
	run(&c, 1000);
	assert_int_equal(w.count, 2);
	assert_string_equal(w.ran[0], "soon");
	assert_int_equal(w.at_ms[0], 100);
	assert_int_equal(w.at_ms[1], 300);
	/* 5, 10, 20, 40 ms between tries; forgotten after a success. */
	w.count = 0;
	w.fail = 4;
	workqueue_add(w.q, "x");
	run(&c, 1000);
	assert_int_equal(w.count, 5);
	assert_int_equal(w.at_ms[1] - w.at_ms[0], 5);
	assert_int_equal(w.at_ms[2] - w.at_ms[1], 10);
	assert_int_equal(w.at_ms[4] - w.at_ms[3], 40);
	w.count = 0;
	w.fail = 1;
	workqueue_add(w.q, "x");
	run(&c, 1000);
	assert_int_equal(w.at_ms[1] - w.at_ms[0], 5);
	/* Many delayed keys come in order. */
	w.count = 0;
	for (int n = 0; n < 60; n++) {
		char key[16];
		snprintf(key, sizeof(key), "k%d", n);
		workqueue_add_after(w.q, key, 1 + (n * 37) % 61);
	}
	run(&c, 1000);
	assert_int_equal(w.count, 60);
	for (int n = 1; n < 60; n++)
		assert_true(w.at_ms[n - 1] <= w.at_ms[n]);
	workqueue_destroy(w.q);
}

static void test_queue_rests(void **state)
{
	struct sim_clock c;
	struct worker w;
	queue_begin(&w, &c, 1);
	workqueue_start(w.q);
	w.rest_ms = 100;
	workqueue_add(w.q, "a");
	run(&c, 10);
	/* Many adds are one run, when the rest is over; other keys do not wait for it. */
	workqueue_add(w.q, "a");
	workqueue_add(w.q, "a");
	workqueue_add_after(w.q, "a", 20);
	workqueue_add(w.q, "b");
	run(&c, 500);
	assert_int_equal(w.count, 3);
	assert_string_equal(w.ran[1], "b");
	assert_string_equal(w.ran[2], "a");
	assert_int_equal(w.at_ms[2], 100);
	/* A delay that is longer than the rest, a failure, and an add while the key is under way.
	 */
	w.count = 0;
	w.fail = 1;
	workqueue_add(w.q, "a");
	run(&c, 0);
	workqueue_add_after(w.q, "a", 250);
	run(&c, 150);
	assert_int_equal(w.count, 2);
	assert_int_equal(w.at_ms[1] - w.at_ms[0], 100);
	run(&c, 1000);
	w.count = 0;
	w.hold = true;
	workqueue_add(w.q, "a");
	run(&c, 1);
	workqueue_add(w.q, "a");
	w.hold = false;
	workqueue_rest(w.q, "a", 50);
	workqueue_done(w.q, "a", false);
	run(&c, 49);
	assert_int_equal(w.count, 1);
	run(&c, 1);
	assert_int_equal(w.count, 2);
	/* Nothing is wanted: the key is forgotten. */
	run(&c, 1000);
	assert_int_equal(w.count, 2);
	assert_int_equal(workqueue_length(w.q), 0);
	workqueue_destroy(w.q);
}

/* Informer: what it holds is compared with the store, through all faults. */

static size_t adds, removes;
static void on_change(void *user, const struct object *old, const struct object *new)
{
	adds += !old;
	removes += !new;
	if (old && new)
		assert_string_equal(old->uid, new->uid);
}

static bool same(struct fake_api *f, struct informer *i)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object **theirs, **ours, **some;
	size_t count = fake_api_list(f, "ConfigMap", NULL, &a, &theirs);
	if (informer_list(i, NULL, &a, &ours) != count)
		return false;
	for (size_t n = 0; n < count; n++)
		if (!streq(ours[n]->uid, theirs[n]->uid) ||
			ours[n]->revision != theirs[n]->revision)
			return false;
	/* The indexes agree with the list. */
	size_t in_default = informer_by_index(i, "namespace", "default", &a, &some);
	for (size_t n = 0; n < count; n++) {
		for (size_t m = 0; m < ours[n]->owner_count; m++) {
			size_t of_owner = informer_by_index(
				       i, "owner", ours[n]->owners[m].uid, &a, &some),
			       k = 0;
			while (k < of_owner && some[k] != ours[n])
				k++;
			assert_true(k < of_owner);
		}
	}
	return in_default == count && adds - removes == count;
}

static void change_something(struct fake_api *f, struct random *r)
{
	char name[16];
	snprintf(name, sizeof(name), "c%u", (unsigned)random_below(r, 20));
	struct object *o = fake_api_get(f, "ConfigMap", "default", name);
	if (!o)
		fake_api_create_text(f,
			"{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'%s','"
			"ownerReferences':[{"
			"'apiVersion':'v1','kind':'Pod','name':'p','uid':"
			"'00000000-0000-4000-8000-00000000000%u'}]}}",
			name, (unsigned)random_below(r, 3));
	else if (random_below(r, 3) == 0)
		fake_api_delete(f, "ConfigMap", "default", name, -1, NULL);
	else if (random_below(r, 3) == 0)
		fake_api_patch_text(
			f, "ConfigMap", "default", name, "{'metadata':{'ownerReferences':null}}");
	else
		fake_api_patch_text(f, "ConfigMap", "default", name, "{'data':{'n':'%u'}}",
			(unsigned)random_below(r, 1000));
}

static void test_informer(void **state)
{
	sim_for_seeds(seed)
	{
		struct sim s;
		sim_begin(&s, seed, "-*", false);
		struct client *c = fake_api_client(s.api, "test");
		struct informer *i = informer_create(
			c, kind_by_name(s.kinds, "", "v1", "ConfigMap"), NULL, NULL, NULL);
		static const struct informer_handler handler = {.changed = on_change};
		adds = removes = 0;
		informer_add_handler(i, &handler, NULL);
		informer_add_index(i, "owner");
		informer_add_index(i, "namespace");
		sim_faults(&s, true);
		informer_start(i);
		for (int n = 0; n < 2000; n++) {
			change_something(s.api, &s.random);
			sim_run_ms(&s, (int64_t)random_below(&s.random, 100));
		}
		assert_true(informer_synced(i));
		sim_faults(&s, false);
		sim_run_ms(&s, 60000);
		assert_true(same(s.api, i));
		informer_destroy(i);
		client_destroy(c);
		sim_end(&s);
	}
}

/* Without lost or late events it is never wrong for longer than the delay, and never lists again.
 */
static void test_informer_follows(void **state)
{
	struct sim s;
	sim_begin(&s, 7, "-*", false);
	struct client *c = fake_api_client(s.api, "test");
	struct informer *i =
		informer_create(c, kind_by_name(s.kinds, "", "v1", "ConfigMap"), NULL, NULL, NULL);
	static const struct informer_handler handler = {.changed = on_change};
	adds = removes = 0;
	informer_add_handler(i, &handler, NULL);
	informer_add_index(i, "owner");
	informer_add_index(i, "namespace");
	fake_api_set_faults(s.api, &(struct fake_faults){.repeat_event = 20, .delay_max_ms = 20});
	informer_start(i);
	sim_run_ms(&s, 1000);
	for (int n = 0; n < 300; n++) {
		change_something(s.api, &s.random);
		sim_run_ms(&s, 30);
		assert_true(same(s.api, i));
	}
	informer_destroy(i);
	client_destroy(c);
	sim_end(&s);
}

/* Events: the same again raises the count; later, or another text, is another event. */
static void test_events(void **state)
{
	struct sim s;
	sim_begin(&s, 1, "-*", false);
	struct client *c = fake_api_client(s.api, "tester");
	struct object *o = fake_api_create_text(
		s.api, "{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'c'}}");
	for (int n = 0; n < 3; n++) {
		client_event(c, o, NULL, "Normal", "Tested", "number %d", 1);
		sim_run_ms(&s, 1000);
	}
	assert_int_equal(sim_count(&s, "Event"), 1);
	struct arena a = ARENA_INIT;
	struct object **all;
	fake_api_list(s.api, "Event", "default", &a, &all);
	struct json *doc = object_doc(all[0], &a);
	assert_int_equal(json_path_int(doc, "count", 0), 3);
	assert_string_equal(json_path_str(doc, "involvedObject.uid"), o->uid);
	assert_string_equal(json_path_str(doc, "source.component"), "tester");
	assert_string_not_equal(
		json_path_str(doc, "firstTimestamp"), json_path_str(doc, "lastTimestamp"));
	client_event(c, o, NULL, "Normal", "Tested", "number %d", 2);
	sim_run_ms(&s, 700000);
	client_event(c, o, NULL, "Normal", "Tested", "number %d", 1);
	sim_run_ms(&s, 1000);
	assert_int_equal(sim_count(&s, "Event"), 3);
	/* A text beyond the limit is cut, not refused. */
	char *text = arena_alloc(&a, 5001);
	memset(text, 'x', 5000);
	text[5000] = '\0';
	client_event(c, o, NULL, "Warning", "Long", "%s", text);
	sim_run_ms(&s, 1000);
	assert_int_equal(sim_count(&s, "Event"), 4);
	/* Their times are whole seconds: the names are in the order in which they came. */
	enum { STEPS = 20 };
	const char *names[STEPS] = {0};
	for (int n = 0; n < STEPS; n++)
		client_event(c, o, NULL, "Normal", "Ordered", "%d", n);
	sim_run_ms(&s, 1000);
	size_t count = fake_api_list(s.api, "Event", "default", &a, &all);
	for (size_t i = 0; i < count; i++) {
		doc = object_doc(all[i], &a);
		if (streq(json_path_str(doc, "reason"), "Ordered"))
			names[atoi(json_path_str(doc, "message"))] = all[i]->name;
	}
	for (int n = 1; n < STEPS; n++)
		assert_true(strcmp(names[n - 1], names[n]) < 0);
	arena_finish(&a);
	client_destroy(c);
	sim_end(&s);
}

static void test_names(void **state)
{
	struct sim s;
	struct err err = ERR_INIT;
	sim_begin(&s, 1, "-*", false);
	assert_null(controllers_create(s.controllers_client, "deployment,nonsense", NULL, &err));
	assert_non_null(strstr(err.msg, "nonsense"));
	struct controllers *c =
		controllers_create(s.controllers_client, "*,-deployment", NULL, &err);
	assert_non_null(c);
	assert_false(controllers_running(c));
	sim_run_ms(&s, 1000);
	assert_true(controllers_running(c));
	controllers_destroy(c);
	sim_end(&s);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_queue_merges),
		cmocka_unit_test(test_queue_delays),
		cmocka_unit_test(test_queue_rests),
		cmocka_unit_test(test_informer),
		cmocka_unit_test(test_informer_follows),
		cmocka_unit_test(test_events),
		cmocka_unit_test(test_names),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

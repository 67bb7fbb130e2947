/* ref_watch_sim.c - what pods refer to, watched and looked at on a server that loses, repeats and
 * delays: each pod ends up with the newest, and nobody asks all the time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include <inttypes.h>

#include "lib/client/wakeup.h"
#include "node/pod/pod_tokens.h"
#include "node/pod/ref_watch.h"
#include "test/sim/fake_api.h"

enum { PODS = 2, MAPS = REF_WATCHES_MAX + 4, SEEDS = 3 };

struct test_pod {
	struct test *t;
	char uid[16];
	char *text; /* the pod's document */
	struct pod_refs_fetch *fetch;
	struct wakeup *retry;
	struct pod_tokens *tokens;
	bool again;
	uint64_t seen[MAPS];
	size_t fetches;
};

struct test {
	struct sim_clock clock;
	struct random random;
	struct fake_api *api;
	struct node n;
	struct ref_watches *watches;
	struct test_pod pods[PODS];
	size_t maps; /* each pod refers to all of them */
};

static void on_fetched(void *user, struct pod_refs *r, const struct err *err)
{
	struct test_pod *p = user;
	bool immutable, failed = false;

	p->fetch = NULL;
	for (size_t i = 0; r && i < p->t->maps; i++) {
		char name[32];
		snprintf(name, sizeof(name), "m%zu", i);
		uint64_t seen = pod_refs_revision(r, "configmaps", name, &immutable);
		p->seen[i] = MAX(p->seen[i], seen);
		failed = failed || pod_refs_problem(r, "configmaps", name, NULL) < 0;
	}
	bool again = ref_watches_saw(p->t->watches, p->uid, r) || p->again;
	p->again = false;
	pod_refs_destroy(r);
	if (again || failed)
		wakeup_in(p->retry, again ? 200 : 1000);
}

static struct json *document(struct test_pod *p, struct arena *a)
{
	struct json *doc;

	assert_int_equal(json_parse(a, p->text, strlen(p->text), NULL, &doc, NULL), 0);
	return doc;
}

static void fetch(void *user)
{
	struct test_pod *p = user;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;

	p->fetches++;
	p->fetch = pod_refs_fetch(
		&p->t->n, document(p, &a), POD_REFS_VOLUMES, p->tokens, on_fetched, p);
}

static void on_changed(void *user, const char *uid)
{
	struct test *t = user;

	for (size_t i = 0; i < PODS; i++) {
		struct test_pod *p = &t->pods[i];
		if (!streq(p->uid, uid))
			continue;
		if (p->fetch)
			p->again = true;
		else
			wakeup_in(p->retry, 0);
	}
}

static void begin(struct test *t, uint64_t seed, struct kind_registry *kinds, size_t maps)
{
	*t = (struct test){.maps = maps};
	sim_clock_init(&t->clock);
	t->random = random_seeded(seed);
	t->api = fake_api_create(kinds, &t->clock.clock, &t->random);
	fake_api_create_text(t->api, "{'apiVersion':'v1','kind':'Namespace','metadata':{'name':"
				     "'default'}}");
	t->n.clock = &t->clock.clock;
	t->n.kinds = kinds;
	t->n.client = fake_api_client(t->api, "test");
	t->watches = ref_watches_create(&t->n, on_changed, t);
	for (size_t i = 0; i < PODS; i++) {
		_cleanup_(arena_finish) struct arena a = ARENA_INIT;
		struct test_pod *p = &t->pods[i];
		const char *volumes = "";
		for (size_t k = 0; k < maps; k++)
			volumes = arena_printf(&a,
				"%s%s{\"name\":\"v%zu\",\"configMap\":{\"name\":\"m%zu\"}}",
				volumes, k ? "," : "", k, k);
		p->t = t;
		snprintf(p->uid, sizeof(p->uid), "uid-%zu", i);
		p->text = xasprintf("{\"metadata\":{\"namespace\":\"default\",\"name\":\"p\"},"
				    "\"spec\":{\"volumes\":[%s]}}",
			volumes);
		p->tokens = pod_tokens_create();
		p->retry = wakeup_create(NULL, &t->clock.clock, fetch, p);
		ref_watches_add(t->watches, p->uid, document(p, &a), POD_REFS_VOLUMES);
		fetch(p);
	}
}

static void end(struct test *t)
{
	for (size_t i = 0; i < PODS; i++) {
		struct test_pod *p = &t->pods[i];
		pod_refs_fetch_cancel(p->fetch);
		wakeup_destroy(p->retry);
		ref_watches_drop(t->watches, p->uid);
		pod_tokens_destroy(p->tokens);
		free(p->text);
	}
	ref_watches_destroy(t->watches);
	client_destroy(t->n.client);
	fake_api_destroy(t->api);
}

static void run(struct test *t, int64_t ms)
{
	int64_t end_ns = t->clock.now_ns + ms * NS_PER_MS, next_ns;

	while ((next_ns = wakeup_run_due(&t->clock.clock)) <= end_ns)
		t->clock.now_ns = next_ns;
	t->clock.now_ns = end_ns;
}

static void assert_all_seen(struct test *t, uint64_t seed)
{
	for (size_t k = 0; k < t->maps; k++) {
		char name[32];
		snprintf(name, sizeof(name), "m%zu", k);
		struct object *o = fake_api_get(t->api, "ConfigMap", "default", name);
		for (size_t i = 0; o && i < PODS; i++) {
			if (t->pods[i].seen[k] != o->revision)
				fail_msg("seed %" PRIu64 ": pod %zu has %s of %" PRIu64
					 ", the newest is %" PRIu64,
					seed, i, name, t->pods[i].seen[k], o->revision);
		}
	}
}

static size_t fetches(const struct test *t)
{
	size_t n = 0;

	for (size_t i = 0; i < PODS; i++)
		n += t->pods[i].fetches;
	return n;
}

static void make(struct test *t, size_t k)
{
	fake_api_create_text(t->api,
		"{'apiVersion':'v1','kind':'ConfigMap','metadata':{'name':'m%zu','namespace':"
		"'default'},'data':{'k':'0'}}",
		k);
}

static void change(struct test *t, size_t k, int64_t value)
{
	char name[32];

	snprintf(name, sizeof(name), "m%zu", k);
	if (fake_api_get(t->api, "ConfigMap", "default", name))
		fake_api_patch_text(t->api, "ConfigMap", "default", name,
			"{'data':{'k':'%" PRId64 "'}}", value);
	else
		make(t, k);
}

/* What comes, changes, goes and comes again is seen by all, watched or polled, whatever was lost.
 */
static void all_see_the_newest(void **state)
{
	static const struct fake_faults bad = {.refuse = 10,
		.lose_answer = 5,
		.lose_event = 10,
		.repeat_event = 10,
		.late_event = 10,
		.break_watch = 10,
		.delay_max_ms = 50};
	static const struct fake_faults none;
	struct kind_registry *kinds = kind_registry_create();
	struct err err = ERR_INIT;

	assert_int_equal(kind_registry_load_builtin(kinds, &err), 0);
	for (uint64_t seed = 1; seed <= SEEDS; seed++) {
		struct test t;
		begin(&t, seed, kinds, MAPS);
		for (size_t k = 0; k < MAPS; k += 2)
			make(&t, k);
		fake_api_set_faults(t.api, &bad);
		for (int64_t round = 0; round < 30; round++) {
			size_t k = (size_t)random_below(&t.random, MAPS);
			char name[32];
			snprintf(name, sizeof(name), "m%zu", k);
			if (round % 7 == 6 && fake_api_get(t.api, "ConfigMap", "default", name))
				fake_api_delete(t.api, "ConfigMap", "default", name, -1, NULL);
			else
				change(&t, k, round);
			run(&t, (int64_t)random_below(&t.random, 3000));
		}
		fake_api_set_faults(t.api, &none);
		run(&t, 100000);
		assert_all_seen(&t, seed);
		end(&t);
	}
	kind_registry_destroy(kinds);
}

/* What can't change any more needs no watch: one that was looked at now and then gets it. */
static void watches_are_passed_on(void **state)
{
	struct kind_registry *kinds = kind_registry_create();
	struct err err = ERR_INIT;
	struct test t;

	assert_int_equal(kind_registry_load_builtin(kinds, &err), 0);
	begin(&t, 1, kinds, MAPS);
	for (size_t k = 0; k < MAPS; k++)
		make(&t, k);
	run(&t, 20000);
	for (size_t k = 0; k < MAPS - REF_WATCHES_MAX; k++) {
		char name[32];
		snprintf(name, sizeof(name), "m%zu", k);
		fake_api_patch_text(t.api, "ConfigMap", "default", name, "{'immutable':true}");
	}
	run(&t, 20000);
	for (size_t k = REF_WATCHES_MAX; k < MAPS; k++)
		change(&t, k, 1);
	run(&t, 100);
	assert_all_seen(&t, 1);
	end(&t);
	kind_registry_destroy(kinds);
}

/* Without faults: a change is seen at once where there is a watch, and costs one look a pod. */
static void one_change_one_look(void **state)
{
	struct kind_registry *kinds = kind_registry_create();
	struct err err = ERR_INIT;
	struct test t;

	assert_int_equal(kind_registry_load_builtin(kinds, &err), 0);
	begin(&t, 1, kinds, 3);
	make(&t, 0);
	make(&t, 1);
	run(&t, 10000);
	size_t before = fetches(&t);
	run(&t, 600000);
	assert_int_equal(fetches(&t), before);
	change(&t, 0, 1);
	run(&t, 100);
	assert_all_seen(&t, 1);
	assert_int_equal(fetches(&t), before + PODS);
	/* One that goes is looked for once, not again and again. */
	fake_api_delete(t.api, "ConfigMap", "default", "m1", -1, NULL);
	run(&t, 60000);
	assert_in_range(fetches(&t), before + PODS, before + 2 * PODS);
	/* One that is waited for is seen when it comes. */
	before = fetches(&t);
	make(&t, 2);
	run(&t, 100);
	assert_all_seen(&t, 1);
	assert_int_equal(fetches(&t), before + PODS);
	end(&t);
	kind_registry_destroy(kinds);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_see_the_newest),
		cmocka_unit_test(one_change_one_look),
		cmocka_unit_test(watches_are_passed_on),
	};

	return cmocka_run_group_tests_name("what pods refer to", tests, NULL, NULL);
}

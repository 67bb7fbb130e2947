#include "test/sim/sim.h"

#include <inttypes.h>

#include "lib/base/log.h"
#include "lib/client/wakeup.h"

#define STEP_MS 100 /* between two looks at a condition */

void sim_begin(struct sim *s, uint64_t seed, const char *list, bool with_scheduler)
{
	*s = (struct sim){.seed = seed, .random = random_seeded(seed)};
	struct err err = ERR_INIT;
	log_set_level(LOG_ERROR);
	sim_clock_init(&s->clock);
	s->kinds = kind_registry_create();
	if (kind_registry_load_builtin(s->kinds, &err) < 0)
		fail_msg("%s", err.msg);
	s->api = fake_api_create(s->kinds, &s->clock.clock, &s->random);
	s->nodes = fake_nodes_create(s->api, &s->clock.clock, &s->random);
	fake_api_create_text(
		s->api, "{'apiVersion':'v1','kind':'Namespace','metadata':{'name':'default'}}");
	s->controllers_client = fake_api_client(s->api, "kube-controller-manager");
	s->controllers = controllers_create(s->controllers_client, list, NULL, &err);
	if (!s->controllers)
		fail_msg("%s", err.msg);
	if (!with_scheduler)
		return;
	s->scheduler_client = fake_api_client(s->api, "default-scheduler");
	s->scheduler = scheduler_create(s->scheduler_client);
}

void sim_end(struct sim *s)
{
	scheduler_destroy(s->scheduler);
	controllers_destroy(s->controllers);
	client_destroy(s->scheduler_client);
	client_destroy(s->controllers_client);
	fake_nodes_destroy(s->nodes);
	fake_api_destroy(s->api);
	kind_registry_destroy(s->kinds);
}

void sim_faults(struct sim *s, bool on)
{
	static const struct fake_faults bad = {.refuse = 10,
		.lose_answer = 5,
		.lose_event = 3,
		.repeat_event = 10,
		.late_event = 3,
		.break_watch = 2,
		.delay_max_ms = 200};
	static const struct fake_faults none = {.delay_max_ms = 5};
	fake_api_set_faults(s->api, on ? &bad : &none);
}

void sim_run_ms(struct sim *s, int64_t ms)
{
	int64_t end_ns = s->clock.now_ns + ms * NS_PER_MS;
	for (;;) {
		int64_t next_ns = wakeup_run_due(&s->clock.clock);
		if (next_ns > end_ns)
			break;
		s->clock.now_ns = next_ns;
	}
	s->clock.now_ns = end_ns;
}

void sim_until_named(struct sim *s, sim_condition *condition, const char *name, int64_t max_ms)
{
	for (int64_t ms = 0; ms <= max_ms; ms += STEP_MS) {
		if (condition(s))
			return;
		sim_run_ms(s, STEP_MS);
	}
	fail_msg("seed %" PRIu64 ": not after %" PRId64 " ms: %s", s->seed, max_ms, name);
}

void sim_holds_named(struct sim *s, sim_condition *condition, const char *name, int64_t ms)
{
	for (int64_t at = 0; at <= ms; at += STEP_MS) {
		if (!condition(s))
			fail_msg("seed %" PRIu64 ": no longer after %" PRId64 " ms: %s", s->seed,
				at, name);
		sim_run_ms(s, STEP_MS);
	}
}

size_t sim_count(struct sim *s, const char *kind)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object **all;
	return fake_api_list(s->api, kind, "default", &a, &all);
}

struct json *sim_doc(struct sim *s, struct arena *a, const char *kind, const char *name)
{
	struct object *o = fake_api_get(s->api, kind, "default", name);
	if (!o)
		o = fake_api_get(s->api, kind, "", name);
	return o ? object_doc(o, a) : NULL;
}

int64_t sim_int(
	struct sim *s, const char *kind, const char *name, const char *path, int64_t fallback)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	return json_path_int(sim_doc(s, &a, kind, name), path, fallback);
}

bool sim_text_is(
	struct sim *s, const char *kind, const char *name, const char *path, const char *text)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	return streq(json_path_str(sim_doc(s, &a, kind, name), path), text);
}

bool sim_condition_is(struct sim *s, const char *kind, const char *name, const char *type,
	const char *status, const char *reason)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	JSON_FOR_EACH_ITEM(c, json_path(sim_doc(s, &a, kind, name), "status.conditions"))
		if (streq(json_str(json_get(c, "type")), type))
			return streq(json_str(json_get(c, "status")), status) &&
			       (!reason || streq(json_str(json_get(c, "reason")), reason));
	return false;
}

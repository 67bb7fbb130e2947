/* pod_decide_test.c - tables of single decisions, and a simulation: a runtime made of random
 * delays, exits and failures under a virtual clock, with the rules of pods checked at every step.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include "lib/base/random.h"
#include "node/pod/pod_decide.h"

#define S NS_PER_S

static struct container_view main_container(void)
{
	return (struct container_view){.started = true};
}

static struct pod_view running_view(struct container_view *c, size_t n)
{
	return (struct pod_view){
		.state = POD_RUNNING,
		.listed = true,
		.setup_ready = true,
		.sandbox_exists = true,
		.sandbox_ready = true,
		.containers = c,
		.container_count = n,
		.stop_by_ns = 30 * S,
	};
}

static bool has(const struct pod_decision *d, enum pod_action_type type, size_t container)
{
	for (size_t i = 0; i < d->action_count; i++) {
		if (d->actions[i].type == type && d->actions[i].container == container)
			return true;
	}
	return false;
}

static struct pod_decision decide(const struct pod_view *v, int64_t now)
{
	static struct pod_decision d;

	pod_decide(v, now, &d);
	return d;
}

static void new_waits_for_the_list(void **state)
{
	struct container_view c = main_container();
	struct pod_view v = running_view(&c, 1);

	v.state = POD_NEW;
	v.listed = false;
	assert_int_equal(decide(&v, 0).next, POD_NEW);
	v.listed = true;
	assert_int_equal(decide(&v, 0).next, POD_SETUP);
	v.ended = true;
	assert_int_equal(decide(&v, 0).next, POD_STOPPING);
	v.ended = false;
	v.deleting = true;
	assert_int_equal(decide(&v, 0).next, POD_STOPPING);
}

static void image_comes_before_start(void **state)
{
	struct container_view c = main_container();
	struct pod_view v = running_view(&c, 1);
	struct pod_decision d = decide(&v, 0);

	assert_true(has(&d, POD_DO_IMAGE, 0));
	assert_false(has(&d, POD_DO_START, 0));
	c.image = IMAGE_WORKING;
	assert_int_equal(decide(&v, 0).action_count, 0);
	c.image = IMAGE_READY;
	d = decide(&v, 0);
	assert_true(has(&d, POD_DO_START, 0));
	c.busy = true;
	assert_int_equal(decide(&v, 0).action_count, 0);
}

static void failed_image_waits(void **state)
{
	struct container_view c = main_container();
	struct pod_view v = running_view(&c, 1);

	c.image = IMAGE_FAILED;
	c.retry_ns = 10 * S;
	struct pod_decision d = decide(&v, 3 * S);
	assert_int_equal(d.action_count, 0);
	assert_int_equal(d.wake_ns, 10 * S);
	d = decide(&v, 10 * S);
	assert_true(has(&d, POD_DO_IMAGE, 0));
}

static void restart_policies(void **state)
{
	static const struct {
		enum pod_restart_policy policy;
		int exit_code;
		bool restarts;
		enum pod_phase phase;
	} cases[] = {
		{POD_RESTART_ALWAYS, 0, true, PHASE_PENDING},
		{POD_RESTART_ALWAYS, 1, true, PHASE_PENDING},
		{POD_RESTART_ON_FAILURE, 0, false, PHASE_SUCCEEDED},
		{POD_RESTART_ON_FAILURE, 1, true, PHASE_PENDING},
		{POD_RESTART_NEVER, 0, false, PHASE_SUCCEEDED},
		{POD_RESTART_NEVER, 1, false, PHASE_FAILED},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct container_view c = main_container();
		struct pod_view v = running_view(&c, 1);
		c.run = RUN_EXITED;
		c.in_sandbox = true;
		c.image = IMAGE_READY;
		c.exit_code = cases[i].exit_code;
		v.restart_policy = cases[i].policy;
		struct pod_decision d = decide(&v, 0);
		assert_int_equal(has(&d, POD_DO_START, 0), cases[i].restarts);
		assert_int_equal(d.ended, !cases[i].restarts);
		if (d.ended)
			assert_int_equal(d.phase, cases[i].phase);
	}
}

static void crash_loop_waits(void **state)
{
	struct container_view c = main_container();
	struct pod_view v = running_view(&c, 1);

	c.run = RUN_EXITED;
	c.in_sandbox = true;
	c.image = IMAGE_READY;
	c.exit_code = 1;
	c.finished_ns = 100 * S;
	/* The first restart is at once, the next after 10 s, 20 s, ... */
	struct pod_decision d = decide(&v, 100 * S);
	assert_true(has(&d, POD_DO_START, 0));
	assert_int_equal(d.held_count, 0);
	backoff_raise(&c.restart, 100 * S);
	d = decide(&v, 101 * S);
	assert_int_equal(d.action_count, 0);
	assert_int_equal(d.wake_ns, 110 * S);
	assert_int_equal(d.held_count, 1);
	assert_int_equal(d.held[0], 0);
	d = decide(&v, 110 * S);
	assert_true(has(&d, POD_DO_START, 0));
	assert_int_equal(d.held_count, 0);
	backoff_raise(&c.restart, 110 * S);
	assert_int_equal(container_wait_until(&c, 110 * S), 120 * S);
	for (int i = 0; i < 10; i++)
		backoff_raise(&c.restart, 110 * S);
	assert_int_equal(c.restart.delay_ns, POD_BACKOFF_MAX_NS);
	/* Ten good minutes are forgiven. */
	assert_int_equal(container_wait_until(&c, 110 * S + 601 * S), 0);
	backoff_raise(&c.restart, 110 * S + 601 * S);
	assert_int_equal(c.restart.delay_ns, POD_BACKOFF_FIRST_NS);
}

static void init_containers_go_in_order(void **state)
{
	struct container_view c[3] = {main_container(), main_container(), main_container()};
	struct pod_view v = running_view(c, 3);

	c[0].init = c[1].init = true;
	for (int i = 0; i < 3; i++)
		c[i].image = IMAGE_READY;
	struct pod_decision d = decide(&v, 0);
	assert_int_equal(d.action_count, 1);
	assert_true(has(&d, POD_DO_START, 0));
	c[0].run = RUN_RUNNING;
	c[0].in_sandbox = true;
	assert_int_equal(decide(&v, 0).action_count, 0);
	c[0].run = RUN_EXITED;
	d = decide(&v, 0);
	assert_int_equal(d.action_count, 1);
	assert_true(has(&d, POD_DO_START, 1));
	assert_false(pod_initialized(&v));
	c[1].run = RUN_EXITED;
	c[1].in_sandbox = true;
	assert_true(pod_initialized(&v));
	d = decide(&v, 0);
	assert_true(has(&d, POD_DO_START, 2));
	/* A failed one is repeated, or ends the pod that never restarts. */
	c[1].exit_code = 1;
	d = decide(&v, 0);
	assert_true(has(&d, POD_DO_START, 1));
	v.restart_policy = POD_RESTART_NEVER;
	d = decide(&v, 0);
	assert_true(d.ended && d.phase == PHASE_FAILED);
}

static void sidecars_start_first_and_stop_last(void **state)
{
	struct container_view c[2] = {main_container(), main_container()};
	struct pod_view v = running_view(c, 2);

	c[0].init = c[0].sidecar = true;
	c[0].image = c[1].image = IMAGE_READY;
	struct pod_decision d = decide(&v, 0);
	assert_true(has(&d, POD_DO_START, 0) && d.action_count == 1);
	c[0].run = RUN_RUNNING;
	c[0].in_sandbox = true;
	c[0].started = false;
	assert_int_equal(decide(&v, 0).action_count, 0);
	c[0].started = true;
	d = decide(&v, 0);
	assert_true(has(&d, POD_DO_START, 1));
	c[1].run = RUN_RUNNING;
	c[1].in_sandbox = true;
	/* It dies: it comes back beside the main container. */
	c[0].run = RUN_EXITED;
	d = decide(&v, 0);
	assert_true(has(&d, POD_DO_START, 0) && !d.ended);
	c[0].run = RUN_RUNNING;
	v.deleting = true;
	v.state = POD_STOPPING;
	d = decide(&v, 0);
	assert_true(has(&d, POD_DO_KILL, 1) && !has(&d, POD_DO_KILL, 0));
	c[1].run = RUN_EXITED;
	d = decide(&v, 0);
	assert_true(has(&d, POD_DO_KILL, 0));
}

static void changed_or_sick_containers_are_replaced(void **state)
{
	struct container_view c = main_container();
	struct pod_view v = running_view(&c, 1);

	c.run = RUN_RUNNING;
	c.in_sandbox = true;
	assert_int_equal(decide(&v, 0).action_count, 0);
	c.hash_differs = true;
	struct pod_decision d = decide(&v, 0);
	assert_true(has(&d, POD_DO_KILL, 0) && d.actions[0].why == KILL_CHANGED);
	c.hash_differs = false;
	c.sick = KILL_LIVENESS;
	d = decide(&v, 0);
	assert_true(has(&d, POD_DO_KILL, 0) && d.actions[0].why == KILL_LIVENESS);
	c.killing = true;
	assert_int_equal(decide(&v, 0).action_count, 0);
}

static void dead_sandbox_is_replaced(void **state)
{
	struct container_view c = main_container();
	struct pod_view v = running_view(&c, 1);

	v.sandbox_ready = false;
	c.run = RUN_RUNNING;
	struct pod_decision d = decide(&v, 0);
	assert_true(has(&d, POD_DO_KILL, 0));
	c.run = RUN_EXITED;
	d = decide(&v, 0);
	assert_int_equal(d.actions[0].type, POD_DO_RUN_SANDBOX);
	v.restart_policy = POD_RESTART_NEVER;
	c.exit_code = 1;
	d = decide(&v, 0);
	assert_true(d.ended && d.phase == PHASE_FAILED);
	/* What was created and never started (the agent was killed in between) has not run yet. */
	c.run = RUN_CREATED;
	d = decide(&v, 0);
	assert_false(d.ended);
	assert_int_equal(d.actions[0].type, POD_DO_RUN_SANDBOX);
}

static void deadline_ends_the_pod(void **state)
{
	struct container_view c = main_container();
	struct pod_view v = running_view(&c, 1);

	c.run = RUN_RUNNING;
	c.in_sandbox = true;
	v.deadline_ns = 60 * S;
	assert_int_equal(decide(&v, 59 * S).wake_ns, 60 * S);
	struct pod_decision d = decide(&v, 60 * S);
	assert_true(d.ended && d.phase == PHASE_FAILED);
	assert_string_equal(d.reason, "DeadlineExceeded");
	assert_int_equal(d.next, POD_STOPPING);
}

static void urgent_stop_overtakes(void **state)
{
	struct container_view c = main_container();
	struct pod_view v = running_view(&c, 1);

	v.state = POD_STOPPING;
	v.deleting = true;
	c.run = RUN_RUNNING;
	c.killing = true;
	c.kill_by_ns = v.stop_by_ns = 30 * S;
	assert_int_equal(decide(&v, 0).action_count, 0);
	/* Time that goes by makes it no more urgent. */
	assert_int_equal(decide(&v, 20 * S).action_count, 0);
	v.stop_by_ns = 0;
	struct pod_decision d = decide(&v, 0);
	assert_true(has(&d, POD_DO_KILL, 0) && d.actions[0].grace_s == 0);
}

static void failed_stops_wait(void **state)
{
	struct container_view c = main_container();
	struct pod_view v = running_view(&c, 1);

	v.state = POD_STOPPING;
	v.deleting = true;
	c.run = RUN_RUNNING;
	c.kill_retry_ns = 5 * S;
	struct pod_decision d = decide(&v, 4 * S);
	assert_int_equal(d.action_count, 0);
	assert_int_equal(d.wake_ns, 5 * S);
	d = decide(&v, 5 * S);
	assert_true(has(&d, POD_DO_KILL, 0));
	/* The same for one that is sick: it keeps running, and that is all. */
	v.state = POD_RUNNING;
	v.deleting = false;
	c.in_sandbox = true;
	c.sick = KILL_STARTUP;
	d = decide(&v, 4 * S);
	assert_int_equal(d.action_count, 0);
	assert_int_equal(d.wake_ns, 5 * S);
}

static void leaving_goes_step_by_step(void **state)
{
	struct container_view c = main_container();
	struct pod_view v = running_view(&c, 1);

	v.state = POD_STOPPING;
	c.run = RUN_EXITED;
	assert_int_equal(decide(&v, 0).actions[0].type, POD_DO_STOP_SANDBOX);
	v.sandbox_ready = false;
	assert_int_equal(decide(&v, 0).next, POD_FINISHED);
	v.deleting = true;
	assert_int_equal(decide(&v, 0).next, POD_REMOVING);
	v.state = POD_REMOVING;
	assert_int_equal(decide(&v, 0).actions[0].type, POD_DO_REMOVE);
	v.removed = true;
	assert_int_equal(decide(&v, 0).next, POD_CONFIRMING);
	v.state = POD_CONFIRMING;
	assert_int_equal(decide(&v, 0).actions[0].type, POD_DO_CONFIRM);
	v.absent = true;
	assert_int_equal(decide(&v, 0).next, POD_GONE);
}

static void phases(void **state)
{
	struct container_view c[2] = {main_container(), main_container()};
	struct pod_view v = running_view(c, 2);

	assert_int_equal(pod_phase_compute(&v), PHASE_PENDING);
	c[0].run = RUN_RUNNING;
	assert_int_equal(pod_phase_compute(&v), PHASE_PENDING);
	c[1].run = RUN_RUNNING;
	assert_int_equal(pod_phase_compute(&v), PHASE_RUNNING);
	c[1].run = RUN_EXITED;
	c[1].exit_code = 1;
	assert_int_equal(pod_phase_compute(&v), PHASE_RUNNING);
	c[0].run = RUN_EXITED;
	assert_int_equal(pod_phase_compute(&v), PHASE_RUNNING);
	v.restart_policy = POD_RESTART_NEVER;
	assert_int_equal(pod_phase_compute(&v), PHASE_FAILED);
	c[1].exit_code = 0;
	assert_int_equal(pod_phase_compute(&v), PHASE_SUCCEEDED);
	/* On its way to a restart the pod does not fall back to Pending. */
	v.restart_policy = POD_RESTART_ALWAYS;
	c[1].run = RUN_CREATED;
	c[1].attempt = 1;
	assert_int_equal(pod_phase_compute(&v), PHASE_RUNNING);
}

static void ephemeral_containers_run_once(void **state)
{
	struct container_view c[3] = {main_container(), main_container(), main_container()};
	struct pod_view v = running_view(c, 3);

	/* They need not wait for init containers. */
	c[0].init = true;
	c[2].ephemeral = true;
	struct pod_decision d = decide(&v, 0);
	assert_true(has(&d, POD_DO_IMAGE, 0) && has(&d, POD_DO_IMAGE, 2));
	assert_false(has(&d, POD_DO_IMAGE, 1));
	c[2].image = IMAGE_READY;
	d = decide(&v, 0);
	assert_true(has(&d, POD_DO_START, 2));
	c[2].run = RUN_RUNNING;
	c[2].in_sandbox = true;
	assert_false(pod_initialized(&v));
	assert_int_equal(pod_phase_compute(&v), PHASE_PENDING);
	c[0].run = RUN_EXITED;
	c[0].in_sandbox = true;
	c[1].run = RUN_RUNNING;
	c[1].in_sandbox = true;
	c[2].run = RUN_EXITED;
	c[2].exit_code = 1;
	/* Its end means nothing to the pod, and it does not come back. */
	assert_int_equal(decide(&v, 0).action_count, 0);
	assert_int_equal(pod_phase_compute(&v), PHASE_RUNNING);
	/* The pod's end is its end. */
	c[2].run = RUN_RUNNING;
	c[1].run = RUN_EXITED;
	v.restart_policy = POD_RESTART_NEVER;
	d = decide(&v, 0);
	assert_true(d.ended && d.phase == PHASE_SUCCEEDED);
	v.state = POD_STOPPING;
	d = decide(&v, 0);
	assert_true(has(&d, POD_DO_KILL, 2));
}

static void backoff_is_forgotten_by_what_ran_well(void **state)
{
	struct backoff b = {0};

	backoff_raise_since(&b, 0, 0);
	backoff_raise_since(&b, 10 * S, 20 * S);
	assert_int_equal(b.delay_ns, 20 * S);
	assert_int_equal(backoff_until(&b, 30 * S, 35 * S), 50 * S);
	/* It ran for more than ten minutes: no delay, and the next begins anew. */
	assert_int_equal(backoff_until(&b, 621 * S, 621 * S), 0);
	backoff_raise_since(&b, 621 * S, 621 * S);
	assert_int_equal(b.delay_ns, 10 * S);
	/* Waiting is not running: after 300 s of delay the next failure still counts. */
	b = (struct backoff){.delay_ns = 300 * S, .updated_ns = 0};
	assert_int_equal(backoff_until(&b, 400 * S, 650 * S), 700 * S);
	backoff_raise_since(&b, 400 * S, 700 * S);
	assert_int_equal(b.delay_ns, 300 * S);
}

static void backoff_is_recalled_from_the_runtime(void **state)
{
	/* Attempt, created; the one before: created, finished; delay. */
	static const struct {
		unsigned attempt;
		int64_t created, last_created, last_finished, delay;
	} cases[] = {
		{0, 0, 0, 0, 0},
		{1, 101, 99, 100, 10},
		{2, 112, 100, 101, 20},
		{3, 135, 112, 114, 40},
		{5, 200, 100, 115, 160},
		{6, 500, 100, 110, 300},
		{9, 1000, 0, 0, 300},
		/* Restarted at once: whatever the count, it had run well. */
		{7, 101, 0 + 50, 100, 10},
		{7, 1801, 1000, 1800, 10},
		/* A slow image: no more than its count allows. */
		{2, 900, 100, 101, 20},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct backoff b = backoff_recall(cases[i].attempt, cases[i].created * S,
			cases[i].last_created * S, cases[i].last_finished * S);
		assert_int_equal(b.delay_ns / S, cases[i].delay);
	}
}

/* ---- simulation ---- */

enum { SIM_CONTAINERS = 7, SIM_SPEC_CONTAINERS = 5, SIM_EVENTS = 64 };

enum sim_what {
	SIM_OP_DONE,
	SIM_EXIT,
	SIM_SANDBOX_DIES,
	SIM_DEBUG,  /* an ephemeral container is added */
	SIM_RESIZE, /* a container gets resources that need a restart */
	SIM_DELETE,
	SIM_ABSENT
};

struct sim_event {
	int64_t at;
	enum sim_what what;
	struct pod_action action; /* of SIM_OP_DONE */
	size_t container;	  /* of SIM_EXIT */
	unsigned attempt;
	bool used;
};

struct sim {
	struct random random;
	int64_t now;
	struct pod_view v;
	struct container_view c[SIM_CONTAINERS];
	size_t inits;
	int64_t last_start[SIM_CONTAINERS];
	unsigned starts[SIM_CONTAINERS];
	struct sim_event events[SIM_EVENTS];
	unsigned trouble; /* percent of operations that fail */
};

static bool chance(struct sim *s, unsigned percent)
{
	return random_below(&s->random, 100) < percent;
}

static void after(struct sim *s, int64_t ns, struct sim_event e)
{
	for (size_t i = 0; i < SIM_EVENTS; i++) {
		if (!s->events[i].used) {
			s->events[i] = e;
			s->events[i].at = s->now + ns;
			s->events[i].used = true;
			return;
		}
	}
	fail_msg("too many things at once: the decision repeats itself");
}

/* A main container ran in this sandbox: initialization is over. */
static bool seen_main(struct sim *s)
{
	for (size_t i = 0; i < s->v.container_count; i++) {
		if (container_is_main(&s->c[i]) && s->c[i].run != RUN_NONE && s->c[i].in_sandbox)
			return true;
	}
	return false;
}

static void begin(struct sim *s, const struct pod_action *a)
{
	struct container_view *c =
		&s->v.containers[a->container < SIM_CONTAINERS ? a->container : 0];
	int64_t ms = 1 + (int64_t)random_below(&s->random, 400), grace_s;

	switch (a->type) {
	case POD_DO_SETUP:
		assert_false(s->v.setup_busy);
		s->v.setup_busy = true;
		break;
	case POD_DO_RUN_SANDBOX:
		assert_false(s->v.sandbox_busy);
		for (size_t i = 0; i < s->v.container_count; i++)
			assert_true(s->c[i].run != RUN_RUNNING);
		s->v.sandbox_busy = true;
		break;
	case POD_DO_STOP_SANDBOX:
		assert_false(s->v.sandbox_busy);
		for (size_t i = 0; i < s->v.container_count; i++)
			assert_true(s->c[i].run != RUN_RUNNING);
		s->v.sandbox_busy = true;
		break;
	case POD_DO_IMAGE:
		assert_true(c->image != IMAGE_WORKING && !c->busy);
		c->image = IMAGE_WORKING;
		break;
	case POD_DO_START:
		/* The rules that matter. */
		assert_false(c->busy || c->killing);
		assert_true(c->run != RUN_RUNNING);
		assert_int_equal(c->image, IMAGE_READY);
		assert_true(s->v.sandbox_ready);
		assert_false(s->v.deleting || s->v.absent || s->v.ended);
		if (c->ephemeral)
			assert_int_equal(s->starts[a->container], 0);
		if (c->run == RUN_EXITED && c->in_sandbox)
			assert_true(container_restarts(&s->v, c));
		if (c->run == RUN_EXITED)
			assert_int_equal(container_wait_until(c, s->now), 0);
		for (size_t i = 0; i < a->container; i++) {
			const struct container_view *before = &s->c[i];
			if (!before->init || before->sidecar)
				continue;
			if (!c->ephemeral)
				assert_true(seen_main(s) ||
					    (before->run == RUN_EXITED && before->exit_code == 0 &&
						    before->in_sandbox));
		}
		c->busy = true;
		break;
	case POD_DO_KILL:
		assert_true(c->run == RUN_RUNNING || c->run == RUN_UNKNOWN);
		assert_true(c->kill_retry_ns <= s->now);
		c->killing = true;
		grace_s = a->grace_s < 0 ? 30 : a->grace_s;
		c->kill_by_ns = a->why == KILL_STOPPING ? s->v.stop_by_ns : s->now + grace_s * S;
		ms = 1 + (int64_t)random_below(&s->random, (uint64_t)(grace_s * 1000 + 100));
		break;
	case POD_DO_REMOVE:
		assert_false(s->v.remove_busy);
		for (size_t i = 0; i < s->v.container_count; i++)
			assert_true(s->c[i].run != RUN_RUNNING && !s->c[i].busy);
		s->v.remove_busy = true;
		break;
	case POD_DO_CONFIRM:
		assert_true(s->v.removed && !s->v.confirm_busy);
		s->v.confirm_busy = true;
		break;
	}
	after(s, ms * NS_PER_MS, (struct sim_event){.what = SIM_OP_DONE, .action = *a});
}

static void started(struct sim *s, size_t i)
{
	struct container_view *c = &s->c[i];

	if (c->run != RUN_NONE) {
		c->attempt++;
		backoff_raise_since(&c->restart, c->finished_ns, s->now);
	}
	s->starts[i]++;
	s->last_start[i] = s->now;
	c->run = RUN_RUNNING;
	c->in_sandbox = true;
	c->started = true;
	c->sick = KILL_NOT;
	c->hash_differs = false;
	c->image = IMAGE_UNKNOWN;
	/* Init containers end; others may. */
	if ((c->init && !c->sidecar) || chance(s, 70))
		after(s, (int64_t)random_below(&s->random, 900) * S,
			(struct sim_event){
				.what = SIM_EXIT, .container = i, .attempt = c->attempt});
}

static void op_done(struct sim *s, const struct pod_action *a)
{
	struct container_view *c =
		&s->v.containers[a->container < SIM_CONTAINERS ? a->container : 0];
	bool ok = !chance(s, s->trouble);

	switch (a->type) {
	case POD_DO_SETUP:
		s->v.setup_busy = false;
		s->v.setup_ready = ok;
		s->v.setup_retry_ns = s->now + S;
		break;
	case POD_DO_RUN_SANDBOX:
		s->v.sandbox_busy = false;
		s->v.sandbox_retry_ns = s->now + S;
		if (!ok)
			break;
		s->v.sandbox_exists = s->v.sandbox_ready = true;
		for (size_t i = 0; i < s->v.container_count; i++)
			s->c[i].in_sandbox = false;
		if (chance(s, 10))
			after(s, (int64_t)random_below(&s->random, 500) * S,
				(struct sim_event){.what = SIM_SANDBOX_DIES});
		break;
	case POD_DO_STOP_SANDBOX:
		s->v.sandbox_busy = false;
		if (ok)
			s->v.sandbox_ready = false;
		break;
	case POD_DO_IMAGE:
		c->image = ok ? IMAGE_READY : IMAGE_FAILED;
		c->retry_ns = ok ? 0 : s->now + 10 * S;
		break;
	case POD_DO_START:
		c->busy = false;
		if (ok)
			started(s, a->container);
		else
			c->retry_ns = s->now + 10 * S;
		break;
	case POD_DO_KILL:
		if (!ok)
			c->kill_retry_ns = s->now + S;
		else if (c->run == RUN_RUNNING) {
			c->run = RUN_EXITED;
			c->exit_code = 143;
			c->finished_ns = s->now;
		}
		c->killing = false;
		break;
	case POD_DO_REMOVE:
		s->v.remove_busy = false;
		s->v.removed = ok;
		s->v.remove_retry_ns = s->now + S;
		break;
	case POD_DO_CONFIRM:
		s->v.confirm_busy = false;
		s->v.remove_retry_ns = s->now + S;
		if (ok)
			s->v.absent = true;
		break;
	}
}

static void happen(struct sim *s, const struct sim_event *e)
{
	struct container_view *c = &s->c[e->container];

	switch (e->what) {
	case SIM_OP_DONE:
		op_done(s, &e->action);
		break;
	case SIM_EXIT:
		if (c->run != RUN_RUNNING || c->attempt != e->attempt || c->busy)
			break;
		if (chance(s, 10)) {
			c->sick = chance(s, 50) ? KILL_LIVENESS : KILL_POST_START;
			break;
		}
		c->run = RUN_EXITED;
		c->exit_code = chance(s, 40) ? 1 : 0;
		c->finished_ns = s->now;
		break;
	case SIM_SANDBOX_DIES:
		if (!s->v.sandbox_busy)
			s->v.sandbox_ready = false;
		break;
	case SIM_DEBUG:
		if (s->v.container_count < SIM_CONTAINERS)
			s->c[s->v.container_count++] =
				(struct container_view){.ephemeral = true, .started = true};
		break;
	case SIM_RESIZE:
		if (c->run == RUN_RUNNING && !c->ephemeral && e->container < s->v.container_count)
			c->sick = KILL_RESIZED;
		break;
	case SIM_DELETE:
		s->v.deleting = true;
		s->v.stop_by_ns = s->now + 30 * S;
		break;
	case SIM_ABSENT:
		s->v.absent = true;
		s->v.stop_by_ns = s->now + S;
		break;
	}
}

/* Runs one pod's whole life; returns how often the decision was asked. */
static unsigned live(uint64_t seed)
{
	static struct sim sim;
	static struct pod_decision d;
	struct sim *s = &sim;
	unsigned asked = 0;

	*s = (struct sim){.random = random_seeded(seed), .now = 1000000 * S};
	s->v.containers = s->c;
	s->v.container_count = 1 + random_below(&s->random, SIM_SPEC_CONTAINERS);
	s->inits = random_below(&s->random, s->v.container_count);
	s->v.restart_policy = (enum pod_restart_policy)random_below(&s->random, 3);
	s->v.listed = true;
	s->trouble = (unsigned)random_below(&s->random, 30);
	for (size_t i = 0; i < s->inits; i++) {
		s->c[i].init = true;
		s->c[i].sidecar = chance(s, 30);
	}
	if (chance(s, 20))
		s->v.deadline_ns = s->now + (int64_t)random_below(&s->random, 3000) * S;
	for (unsigned n = (unsigned)random_below(&s->random, 3); n > 0; n--)
		after(s, (int64_t)random_below(&s->random, 1800) * S,
			(struct sim_event){.what = SIM_DEBUG});
	if (chance(s, 20))
		after(s, (int64_t)random_below(&s->random, 1800) * S,
			(struct sim_event){.what = SIM_RESIZE,
				.container = random_below(&s->random, s->v.container_count)});
	after(s, (int64_t)random_below(&s->random, 7200) * S,
		(struct sim_event){.what = chance(s, 80) ? SIM_DELETE : SIM_ABSENT});

	while (s->v.state != POD_GONE) {
		assert_true(++asked < 100000);
		pod_decide(&s->v, s->now, &d);
		if (d.ended && !s->v.ended) {
			s->v.ended = true;
			s->v.stop_by_ns = s->now + 30 * S;
		}
		if (d.next != s->v.state) {
			/* Aborts on a move that the diagram does not have. */
			struct sm sm;
			sm_init(&sm, &pod_state_class, s, "sim", s->v.state, s->now);
			sm_move(&sm, d.next, s->now);
			s->v.state = d.next;
			continue;
		}
		for (size_t i = 0; i < d.action_count; i++)
			begin(s, &d.actions[i]);
		/* Sleep until something happens: the pod must never wait for nothing. */
		struct sim_event *next = NULL;
		for (size_t i = 0; i < SIM_EVENTS; i++) {
			if (s->events[i].used && (!next || s->events[i].at < next->at))
				next = &s->events[i];
		}
		if (next && next->at <= d.wake_ns) {
			next->used = false;
			s->now = next->at;
			struct sim_event e = *next;
			happen(s, &e);
		} else {
			assert_true(d.wake_ns != INT64_MAX);
			assert_true(d.wake_ns > s->now);
			s->now = d.wake_ns;
		}
	}
	for (size_t i = 0; i < s->v.container_count; i++) {
		assert_true(s->c[i].run != RUN_RUNNING);
		if (s->c[i].ephemeral)
			assert_true(s->starts[i] <= 1);
	}
	return asked;
}

static void simulated_lives(void **state)
{
	for (uint64_t seed = 1; seed <= 3000; seed++)
		assert_true(live(seed) > 5);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(new_waits_for_the_list),
		cmocka_unit_test(image_comes_before_start),
		cmocka_unit_test(failed_image_waits),
		cmocka_unit_test(restart_policies),
		cmocka_unit_test(crash_loop_waits),
		cmocka_unit_test(init_containers_go_in_order),
		cmocka_unit_test(sidecars_start_first_and_stop_last),
		cmocka_unit_test(changed_or_sick_containers_are_replaced),
		cmocka_unit_test(dead_sandbox_is_replaced),
		cmocka_unit_test(deadline_ends_the_pod),
		cmocka_unit_test(urgent_stop_overtakes),
		cmocka_unit_test(failed_stops_wait),
		cmocka_unit_test(leaving_goes_step_by_step),
		cmocka_unit_test(phases),
		cmocka_unit_test(ephemeral_containers_run_once),
		cmocka_unit_test(backoff_is_forgotten_by_what_ran_well),
		cmocka_unit_test(backoff_is_recalled_from_the_runtime),
		cmocka_unit_test(simulated_lives),
	};

	return cmocka_run_group_tests_name("pod_decide", tests, NULL, NULL);
}

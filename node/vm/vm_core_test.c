/* A libvirt made of one domain, with failures, lost answers and restarts of daemon and agent at
 * random; whatever happens, the guest is started once, runs until it ends or is to go, and leaves
 * nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>

#include "lib/base/random.h"
#include "node/vm/vm_core.h"

struct world {
	struct random random;
	unsigned trouble; /* one in so many actions fails; 0 = none */
	int64_t now;
	struct vm_core core;
	/* libvirt and the host */
	bool defined, running, daemon_up, deaf; /* deaf: the guest ignores the power button */
	bool saved, paused;
	int restores;
	bool no_disk; /* none can be had */
	int end;      /* how it ended: 0 not, 1 in order, 2 crash */
	bool prepared;
	int starts; /* of the guest by us */
	/* the object */
	bool deleting, finalizer;
	bool ran; /* phase Running was written */
	enum vm_outcome phase;
	int64_t stop_asked_at, stopped_at;
};

static bool unlucky(struct world *w)
{
	return w->trouble && random_below(&w->random, w->trouble) == 0;
}

static enum vm_domain see(const struct world *w)
{
	return !w->defined   ? VM_DOMAIN_ABSENT
	       : w->running  ? w->paused ? VM_DOMAIN_PAUSED : VM_DOMAIN_RUNNING
	       : w->saved    ? VM_DOMAIN_SAVED
	       : w->end == 1 ? VM_DOMAIN_ENDED
	       : w->end == 2 ? VM_DOMAIN_BROKEN
			     : VM_DOMAIN_DEFINED;
}

static void event(struct world *w)
{
	if (!unlucky(w) && w->daemon_up)
		vm_core_domain(&w->core, see(w), w->now);
}

static void perform(struct world *w, enum vm_action a)
{
	/* An action may fail before it did anything, or its answer may be lost after it did. */
	bool before = unlucky(w), after = unlucky(w);

	if (a == VM_DO_ABORT)
		a = VM_DO_PREPARE, before = true;
	before |= a == VM_DO_PREPARE && w->no_disk;
	if (!before) {
		switch (a) {
		case VM_DO_LOOKUP:
			if (!after)
				vm_core_domain(&w->core, see(w), w->now);
			break;
		case VM_DO_PREPARE:
			assert_false(w->running);
			w->prepared = true;
			break;
		case VM_DO_DEFINE:
			assert_true(w->prepared);
			assert_false(w->running);
			w->defined = true;
			break;
		case VM_DO_START:
			assert_true(w->defined);
			assert_false(w->running); /* nothing is started twice */
			assert_int_equal(w->end, 0);
			w->running = true;
			w->starts++;
			event(w);
			break;
		case VM_DO_RESTORE:
			assert_true(w->defined);
			assert_false(w->running);
			assert_false(w->deleting);
			w->restores++;
			/* One whose file somebody removed is not to be started afresh. */
			assert_true(w->saved);
			w->saved = false;
			w->running = true;
			event(w);
			break;
		case VM_DO_RESUME:
			if (w->running)
				w->paused = false;
			event(w);
			break;
		case VM_DO_SHUTDOWN:
			if (!w->stop_asked_at)
				w->stop_asked_at = w->now;
			if (!w->deaf && w->running && !w->paused) {
				w->running = false;
				w->end = 1;
				w->stopped_at = w->now;
				event(w);
			}
			break;
		case VM_DO_DESTROY:
			assert_true(w->deleting || w->core.finished || w->core.host_ends ||
				    w->core.unhealthy);
			if (w->running) {
				w->running = false;
				w->end = 1;
				w->stopped_at = w->now;
			}
			break;
		case VM_DO_CLEAN:
			assert_false(w->running && !w->deleting && !w->core.finished);
			w->running = w->defined = w->prepared = w->saved = w->paused = false;
			w->end = 0;
			break;
		case VM_DO_RELEASE:
			assert_false(w->defined || w->prepared);
			assert_true(w->deleting);
			w->finalizer = false;
			break;
		case VM_DO_NOTHING:
		case VM_DO_ABORT:
			fail();
		}
	}
	vm_core_done(&w->core, a, !before && !after, w->now);
}

/* What the worker writes to the object after each round. */
static void write_status(struct world *w)
{
	if (w->core.outcome != VM_OUTCOME_NONE)
		w->phase = w->core.outcome;
	else if (w->core.sm.state == VM_RUNNING || w->core.sm.state == VM_SAVED)
		w->ran = true;
}

static void restart_agent(struct world *w)
{
	vm_core_init(&w->core, "t", w->now);
	w->core.grace_ns = 30 * NS_PER_S;
	w->core.was_running = w->ran;
	w->core.finished = w->phase != VM_OUTCOME_NONE;
	w->core.deleting = w->deleting;
	vm_core_libvirt(&w->core, w->daemon_up);
}

static void run(struct world *w, int64_t ns)
{
	int64_t until = w->now + ns;
	unsigned rounds = 0;

	while (w->now < until) {
		struct vm_step s;

		w->core.deleting = w->deleting;
		w->core.finished |=
			w->phase != VM_OUTCOME_NONE && w->core.outcome == VM_OUTCOME_NONE;
		s = vm_core_next(&w->core, w->now);
		write_status(w);
		if (s.action != VM_DO_NOTHING) {
			w->now += NS_PER_MS;
			perform(w, s.action);
			write_status(w);
			if (++rounds > 20000)
				fail_msg("busy without end in state %s", sm_name(&w->core.sm));
			continue;
		}
		w->now = MIN(until, MAX(s.wake_ns, w->now + NS_PER_MS));
	}
}

static struct world fresh(uint64_t seed)
{
	struct world w = {.random = random_seeded(seed),
		.now = NS_PER_S,
		.daemon_up = true,
		.finalizer = true};

	restart_agent(&w);
	return w;
}

static void starts_runs_and_goes(void **state)
{
	struct world w = fresh(1);

	run(&w, NS_PER_S);
	assert_int_equal(w.core.sm.state, VM_RUNNING);
	assert_int_equal(w.starts, 1);
	w.deleting = true;
	run(&w, NS_PER_S);
	assert_int_equal(w.core.sm.state, VM_RELEASED);
	assert_false(w.finalizer);
	assert_int_equal(w.phase, VM_OUTCOME_SUCCEEDED);
}

static void a_deaf_guest_is_killed_after_its_grace(void **state)
{
	struct world w = fresh(1);

	run(&w, NS_PER_S);
	w.deaf = w.deleting = true;
	run(&w, 29 * NS_PER_S);
	assert_true(w.running);
	run(&w, 3 * NS_PER_S);
	assert_false(w.running);
	assert_true(w.stopped_at - w.stop_asked_at >= 30 * NS_PER_S);
	assert_int_equal(w.core.sm.state, VM_RELEASED);
}

/* Whose disks could not be had, many times over: nobody waits for the next try to be rid of it. */
static void what_never_started_goes_at_once(void **state)
{
	struct world w = fresh(1);

	w.no_disk = true;
	run(&w, 1200 * NS_PER_S);
	assert_int_equal(w.core.sm.state, VM_WAITING);
	w.deleting = true;
	run(&w, 2 * NS_PER_S);
	assert_int_equal(w.core.sm.state, VM_RELEASED);
	assert_int_equal(w.starts, 0);
}

static void the_host_goes_down(void **state)
{
	struct world w = fresh(1), late = fresh(2);

	run(&w, NS_PER_S);
	w.deaf = true;
	w.core.host_ends = true;
	w.core.host_grace_ns = 10 * NS_PER_S;
	run(&w, 9 * NS_PER_S);
	assert_true(w.running);
	run(&w, 3 * NS_PER_S);
	assert_false(w.running);
	assert_true(w.stopped_at - w.stop_asked_at < 12 * NS_PER_S);
	/* The object is nobody's to release but who deletes it. */
	assert_int_equal(w.core.sm.state, VM_CLEAN);
	assert_true(w.finalizer);

	/* None begins, unless the host stays up after all. */
	late.core.host_ends = true;
	run(&late, 60 * NS_PER_S);
	assert_int_equal(late.starts, 0);
	late.core.host_ends = false;
	run(&late, NS_PER_S);
	assert_int_equal(late.core.sm.state, VM_RUNNING);
}

/* Its liveness probe failed: stopped in order, and not started again here. */
static void an_unhealthy_guest_is_stopped(void **state)
{
	for (int deaf = 0; deaf < 2; deaf++) {
		struct world w = fresh(1);

		run(&w, NS_PER_S);
		w.deaf = deaf;
		w.core.unhealthy = true;
		run(&w, 40 * NS_PER_S);
		assert_false(w.running);
		assert_int_equal(w.core.sm.state, VM_CLEAN);
		assert_int_equal(w.starts, 1);
		assert_int_not_equal(w.phase, VM_OUTCOME_NONE);
		assert_true(w.finalizer);
	}
}

static void the_guest_ends_by_itself(void **state)
{
	for (int end = 1; end <= 2; end++) {
		struct world w = fresh(1);

		run(&w, NS_PER_S);
		w.running = false;
		w.end = end;
		vm_core_domain(&w.core, see(&w), w.now);
		run(&w, NS_PER_S);
		assert_int_equal(w.phase, end == 1 ? VM_OUTCOME_SUCCEEDED : VM_OUTCOME_FAILED);
		assert_int_equal(w.core.sm.state, VM_CLEAN);
		assert_false(w.defined);
		run(&w, 600 * NS_PER_S);
		assert_int_equal(w.starts, 1); /* starting it again is the controller's affair */
		assert_true(w.finalizer);
	}
}

static void a_new_agent_adopts(void **state)
{
	struct world w = fresh(1);

	run(&w, NS_PER_S);
	restart_agent(&w);
	run(&w, NS_PER_S);
	assert_int_equal(w.core.sm.state, VM_RUNNING);
	assert_int_equal(w.starts, 1);

	/* It ended while no agent was there. */
	w.running = false;
	w.end = 2;
	restart_agent(&w);
	run(&w, NS_PER_S);
	assert_int_equal(w.phase, VM_OUTCOME_FAILED);
}

static void the_host_was_restarted(void **state)
{
	struct world w = fresh(1);

	run(&w, NS_PER_S);
	w.running = false; /* defined, and libvirt knows of no end */
	restart_agent(&w);
	run(&w, NS_PER_S);
	assert_int_equal(w.phase, VM_OUTCOME_FAILED);
	assert_int_equal(w.starts, 1);
}

static void save(struct world *w)
{
	w->running = w->paused = false;
	w->saved = true;
	vm_core_domain(&w->core, see(w), w->now);
}

static void a_saved_guest_waits_and_comes_back(void **state)
{
	struct world w = fresh(1);

	run(&w, NS_PER_S);
	save(&w);
	run(&w, 600 * NS_PER_S);
	assert_int_equal(w.core.sm.state, VM_SAVED);
	assert_int_equal(w.phase, VM_OUTCOME_NONE);
	/* Over a new agent, and a host that was off. */
	restart_agent(&w);
	run(&w, 600 * NS_PER_S);
	assert_int_equal(w.core.sm.state, VM_SAVED);
	assert_int_equal(w.restores, 0);
	w.core.restore = true;
	run(&w, NS_PER_S);
	assert_int_equal(w.core.sm.state, VM_RUNNING);
	assert_int_equal(w.restores, 1);
	assert_int_equal(w.starts, 1);

	/* Deleted while saved: nothing stays, nothing is asked. */
	save(&w);
	run(&w, NS_PER_S);
	w.deleting = true;
	run(&w, NS_PER_S);
	assert_int_equal(w.core.sm.state, VM_RELEASED);
	assert_int_equal(w.stop_asked_at, 0);
}

/* It was shutting down in order to restart when it was saved. */
static struct world restored_to_restart(int64_t until_ns)
{
	struct world w = fresh(1);

	run(&w, NS_PER_S);
	save(&w);
	run(&w, NS_PER_S);
	w.core.restore = true;
	w.core.reboot_until_ns = w.now + until_ns;
	run(&w, NS_PER_S);
	assert_int_equal(w.core.sm.state, VM_RUNNING);
	return w;
}

static void power_off(struct world *w, enum vm_domain how)
{
	w->running = false;
	vm_core_domain(&w->core, how, w->now);
}

static void a_restart_goes_on_after_a_save(void **state)
{
	struct world w = restored_to_restart(60 * NS_PER_S);

	power_off(&w, VM_DOMAIN_ENDED);
	run(&w, NS_PER_S);
	assert_int_equal(w.core.sm.state, VM_RUNNING);
	assert_int_equal(w.starts, 2);
	assert_int_equal(w.phase, VM_OUTCOME_NONE);
	/* Once. */
	power_off(&w, VM_DOMAIN_ENDED);
	run(&w, NS_PER_S);
	assert_int_equal(w.starts, 2);
	assert_int_equal(w.phase, VM_OUTCOME_SUCCEEDED);

	/* While no agent looked, too. */
	w = restored_to_restart(60 * NS_PER_S);
	int64_t until = w.core.reboot_until_ns;
	w.running = false;
	w.end = 1;
	restart_agent(&w);
	w.core.reboot_until_ns = until;
	w.core.was_running = true;
	assert_int_equal(vm_core_next(&w.core, w.now).action, VM_DO_LOOKUP);
	vm_core_domain(&w.core, VM_DOMAIN_ENDED, w.now);
	vm_core_done(&w.core, VM_DO_LOOKUP, true, w.now);
	assert_int_equal(vm_core_next(&w.core, w.now).action, VM_DO_START);

	/* Not if it takes too long, crashes, or is to stop. */
	w = restored_to_restart(60 * NS_PER_S);
	run(&w, 61 * NS_PER_S);
	power_off(&w, VM_DOMAIN_ENDED);
	run(&w, NS_PER_S);
	assert_int_equal(w.phase, VM_OUTCOME_SUCCEEDED);
	w = restored_to_restart(60 * NS_PER_S);
	power_off(&w, VM_DOMAIN_BROKEN);
	run(&w, NS_PER_S);
	assert_int_equal(w.phase, VM_OUTCOME_FAILED);
	w = restored_to_restart(60 * NS_PER_S);
	w.deleting = true;
	run(&w, NS_PER_S);
	assert_int_equal(w.core.sm.state, VM_RELEASED);
	assert_int_equal(w.starts, 1);
}

static void a_lost_saved_state_is_said(void **state)
{
	struct world w = fresh(1);

	run(&w, NS_PER_S);
	save(&w);
	run(&w, NS_PER_S);
	w.saved = false; /* somebody removed it, and nobody told */
	w.core.restore = true;
	w.core.domain = VM_DOMAIN_UNKNOWN;
	run(&w, NS_PER_S);
	assert_int_equal(w.phase, VM_OUTCOME_FAILED);
	assert_int_equal(w.restores, 0);
}

/* It could not hear the power button. */
static void a_paused_guest_is_woken_to_power_off(void **state)
{
	struct world w = fresh(1);

	run(&w, NS_PER_S);
	w.paused = true;
	vm_core_domain(&w.core, see(&w), w.now);
	w.deleting = true;
	run(&w, NS_PER_S);
	assert_int_equal(w.core.sm.state, VM_RELEASED);
	assert_int_equal(w.end, 0);
	assert_true(w.stop_asked_at > 0);
	assert_true(w.stopped_at - w.stop_asked_at < NS_PER_S);
}

static void failures_are_spaced(void **state)
{
	struct world w = fresh(1);
	int tries = 0;
	int64_t end = w.now + 600 * NS_PER_S;

	while (w.now < end) {
		struct vm_step s = vm_core_next(&w.core, w.now);

		if (s.action == VM_DO_LOOKUP) {
			vm_core_domain(&w.core, VM_DOMAIN_ABSENT, w.now);
			vm_core_done(&w.core, s.action, true, w.now);
		} else if (s.action == VM_DO_PREPARE) {
			tries++;
			vm_core_done(&w.core, s.action, false, w.now);
		} else {
			assert_int_equal(s.action, VM_DO_NOTHING);
			w.now = s.wake_ns;
		}
	}
	assert_true(tries >= 8 && tries <= 11); /* 1, 2, 4 ... 256, 300 s */
	w.core.deleting = true;
	assert_int_equal(vm_core_next(&w.core, w.now).action, VM_DO_CLEAN);
}

static void preparing_is_given_up_on_deletion(void **state)
{
	struct world w = fresh(1);
	struct vm_step s;

	s = vm_core_next(&w.core, w.now);
	assert_int_equal(s.action, VM_DO_LOOKUP);
	perform(&w, s.action);
	assert_int_equal(vm_core_next(&w.core, w.now).action, VM_DO_PREPARE);
	assert_int_equal(vm_core_next(&w.core, w.now).action, VM_DO_NOTHING);
	w.core.deleting = w.deleting = true;
	assert_int_equal(vm_core_next(&w.core, w.now).action, VM_DO_ABORT);
	vm_core_done(&w.core, VM_DO_PREPARE, false, w.now);
	run(&w, NS_PER_S);
	assert_int_equal(w.core.sm.state, VM_RELEASED);
	assert_int_equal(w.starts, 0);
}

static void whatever_happens(void **state)
{
	for (uint64_t seed = 1; seed <= 3000; seed++) {
		struct world w = fresh(seed);
		unsigned steps = 1 + (unsigned)random_below(&w.random, 12);

		w.trouble = 3 + (unsigned)random_below(&w.random, 10);
		w.deaf = random_below(&w.random, 3) == 0;
		for (unsigned i = 0; i < steps; i++) {
			switch (random_below(&w.random, 8)) {
			case 0:
				restart_agent(&w);
				break;
			case 1:
				w.daemon_up = !w.daemon_up;
				vm_core_libvirt(&w.core, w.daemon_up);
				break;
			case 2:
				if (w.running && random_below(&w.random, 2)) {
					w.running = false;
					w.end = 1 + (int)random_below(&w.random, 2);
					event(&w);
				}
				break;
			case 3:
				w.deleting |= random_below(&w.random, 4) == 0;
				break;
			case 4:
				if (w.running && !w.deleting && w.end == 0) {
					w.running = false;
					w.saved = true;
					event(&w);
				}
				break;
			case 5:
				if (w.saved || w.running) {
					w.core.restore = w.saved;
					w.paused = w.running && random_below(&w.random, 2);
					event(&w);
				}
				break;
			default:
				run(&w, (int64_t)random_below(&w.random, 20) * NS_PER_S);
			}
		}
		/* Then peace: within the longest pause it gets where it should be. */
		w.trouble = 0;
		w.daemon_up = true;
		vm_core_libvirt(&w.core, false);
		vm_core_libvirt(&w.core, true);
		run(&w, 400 * NS_PER_S);
		if (w.phase == VM_OUTCOME_NONE && !w.deleting) {
			assert_int_equal(w.core.sm.state, w.saved ? VM_SAVED : VM_RUNNING);
			assert_true(w.running != w.saved);
			assert_int_equal(w.starts, 1);
		}
		w.deleting = true;
		run(&w, 400 * NS_PER_S);
		if (w.core.sm.state != VM_RELEASED)
			fail_msg("seed %d: stuck in %s", (int)seed, sm_name(&w.core.sm));
		assert_false(w.running || w.defined || w.prepared || w.finalizer);
		assert_true(w.starts <= 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(starts_runs_and_goes),
		cmocka_unit_test(a_deaf_guest_is_killed_after_its_grace),
		cmocka_unit_test(what_never_started_goes_at_once),
		cmocka_unit_test(the_host_goes_down),
		cmocka_unit_test(an_unhealthy_guest_is_stopped),
		cmocka_unit_test(the_guest_ends_by_itself),
		cmocka_unit_test(a_new_agent_adopts),
		cmocka_unit_test(the_host_was_restarted),
		cmocka_unit_test(a_saved_guest_waits_and_comes_back),
		cmocka_unit_test(a_restart_goes_on_after_a_save),
		cmocka_unit_test(a_lost_saved_state_is_said),
		cmocka_unit_test(a_paused_guest_is_woken_to_power_off),
		cmocka_unit_test(failures_are_spaced),
		cmocka_unit_test(preparing_is_given_up_on_deletion),
		cmocka_unit_test(whatever_happens),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

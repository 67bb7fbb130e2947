#include "node/vm/vm_core.h"

#define RETRY_MIN_NS (1 * NS_PER_S)
#define RETRY_MAX_NS (300 * NS_PER_S)
/* A guest whose system is just starting does not hear the power button. */
#define ASK_AGAIN_NS (10 * NS_PER_S)

static const struct sm_state states[] = {
	[VM_LOOKING] = {"Looking",
		SM_ALLOW(VM_PREPARING) | SM_ALLOW(VM_RUNNING) | SM_ALLOW(VM_SAVED) |
			SM_ALLOW(VM_STARTING) | SM_ALLOW(VM_STOPPING) | SM_ALLOW(VM_CLEANING),
		false},
	[VM_PREPARING] = {"Preparing",
		SM_ALLOW(VM_DEFINING) | SM_ALLOW(VM_WAITING) | SM_ALLOW(VM_CLEANING), false},
	[VM_DEFINING] = {"Defining",
		SM_ALLOW(VM_STARTING) | SM_ALLOW(VM_WAITING) | SM_ALLOW(VM_CLEANING), false},
	[VM_STARTING] = {"Starting",
		SM_ALLOW(VM_RUNNING) | SM_ALLOW(VM_WAITING) | SM_ALLOW(VM_STOPPING) |
			SM_ALLOW(VM_CLEANING),
		false},
	[VM_RUNNING] = {"Running",
		SM_ALLOW(VM_STARTING) | SM_ALLOW(VM_SAVED) | SM_ALLOW(VM_STOPPING) |
			SM_ALLOW(VM_CLEANING),
		false},
	[VM_SAVED] = {"Saved", SM_ALLOW(VM_RUNNING) | SM_ALLOW(VM_CLEANING), false},
	[VM_STOPPING] = {"Stopping", SM_ALLOW(VM_KILLING) | SM_ALLOW(VM_CLEANING), false},
	[VM_KILLING] = {"Killing", SM_ALLOW(VM_CLEANING), false},
	[VM_WAITING] = {"Waiting", SM_ALLOW(VM_LOOKING) | SM_ALLOW(VM_CLEANING), false},
	[VM_CLEANING] = {"Cleaning", SM_ALLOW(VM_CLEAN), false},
	[VM_CLEAN] = {"Clean", SM_ALLOW(VM_RELEASED), false},
	[VM_RELEASED] = {"Released", 0, true},
};

static const struct sm_class class = {
	.name = "vm worker",
	.states = states,
	.state_count = ARRAY_LEN(states),
};

void vm_core_init(struct vm_core *c, const char *label, int64_t now_ns)
{
	*c = (struct vm_core){.domain = VM_DOMAIN_UNKNOWN};
	sm_init(&c->sm, &class, c, label, VM_LOOKING, now_ns);
}

bool vm_core_alive(const struct vm_core *c)
{
	return c->domain == VM_DOMAIN_RUNNING || c->domain == VM_DOMAIN_PAUSED;
}

const char *vm_action_name(enum vm_action a)
{
	static const char *const names[] = {"nothing", "lookup", "prepare", "abort", "define",
		"start", "restore", "resume", "shutdown", "destroy", "clean", "release"};

	return names[a];
}

static bool ended(const struct vm_core *c)
{
	return c->domain == VM_DOMAIN_ENDED || c->domain == VM_DOMAIN_BROKEN;
}

static void fail(struct vm_core *c, int64_t now)
{
	int64_t pause = RETRY_MIN_NS << MIN(c->failures, 10u);

	c->restarts = false;
	c->failures++;
	c->retry_at_ns = now + MIN(pause, RETRY_MAX_NS);
	sm_move(&c->sm, VM_WAITING, now);
}

static void stop(struct vm_core *c, int64_t now)
{
	c->kill_at_ns = now + (c->host_ends ? MIN(c->grace_ns, c->host_grace_ns) : c->grace_ns);
	c->ask_at_ns = now;
	c->asks = 0;
	c->resumed = false;
	sm_move(&c->sm, VM_STOPPING, now);
}

static bool was_restarting(const struct vm_core *c, int64_t now)
{
	return c->domain == VM_DOMAIN_ENDED && now < c->reboot_until_ns && !c->deleting &&
	       !c->finished && !c->host_ends && !c->unhealthy;
}

static void start_again(struct vm_core *c, int64_t now)
{
	c->restarts = true;
	c->reboot_until_ns = 0;
	c->domain = VM_DOMAIN_DEFINED;
	sm_move(&c->sm, VM_STARTING, now);
}

/* The guest is over: what became of it is said once. */
static void over(struct vm_core *c, int64_t now)
{
	if (c->outcome == VM_OUTCOME_NONE && !c->finished)
		c->outcome = c->domain == VM_DOMAIN_ENDED || c->deleting ? VM_OUTCOME_SUCCEEDED
									 : VM_OUTCOME_FAILED;
	sm_move(&c->sm, VM_CLEANING, now);
}

static struct vm_step start_action(struct vm_core *c, enum vm_action a)
{
	c->busy = a;
	return (struct vm_step){a, INT64_MAX};
}

static const struct vm_step nothing = {VM_DO_NOTHING, INT64_MAX};

/* LOOKING with a known domain. */
static void looked(struct vm_core *c, int64_t now)
{
	if (vm_core_alive(c))
		c->deleting || c->finished ? stop(c, now) : sm_move(&c->sm, VM_RUNNING, now);
	else if (c->domain == VM_DOMAIN_SAVED && !c->deleting && !c->finished)
		sm_move(&c->sm, VM_SAVED, now);
	else if (was_restarting(c, now))
		start_again(c, now);
	else if (ended(c) || (c->was_running && !c->finished))
		over(c, now); /* while no agent looked, or with the host */
	else if (c->deleting || c->finished)
		sm_move(&c->sm, VM_CLEANING, now);
	else
		sm_move(&c->sm, VM_PREPARING, now);
}

static struct vm_step stopping(struct vm_core *c, int64_t now)
{
	if (!vm_core_alive(c)) {
		over(c, now);
		return vm_core_next(c, now);
	}
	if (now >= c->kill_at_ns) {
		sm_move(&c->sm, VM_KILLING, now);
		return vm_core_next(c, now);
	}
	if (c->domain == VM_DOMAIN_PAUSED && !c->resumed) {
		c->resumed = true;
		return start_action(c, VM_DO_RESUME);
	}
	if (now >= c->ask_at_ns) {
		c->ask_at_ns = now + ASK_AGAIN_NS;
		c->asks++;
		return start_action(c, VM_DO_SHUTDOWN);
	}
	return (struct vm_step){VM_DO_NOTHING, MIN(c->kill_at_ns, c->ask_at_ns)};
}

struct vm_step vm_core_next(struct vm_core *c, int64_t now)
{
	bool unwanted = c->deleting || c->finished;

	if (c->busy == VM_DO_PREPARE && unwanted) {
		/* The owner ends the preparation and says so. */
		return (struct vm_step){VM_DO_ABORT, INT64_MAX};
	}
	if (c->busy)
		return nothing;
	if (c->sm.state == VM_RELEASED)
		return nothing;
	if (c->sm.state == VM_CLEAN) {
		if (!c->deleting)
			return nothing;
		if (now < c->retry_at_ns)
			return (struct vm_step){VM_DO_NOTHING, c->retry_at_ns};
		return start_action(c, VM_DO_RELEASE);
	}
	if (!c->libvirt_up)
		return nothing;
	/* What is to be cleaned away is cleaned whatever it is. */
	if (c->domain == VM_DOMAIN_UNKNOWN && c->sm.state != VM_CLEANING) {
		if (now < c->look_at_ns)
			return (struct vm_step){VM_DO_NOTHING, c->look_at_ns};
		return start_action(c, VM_DO_LOOKUP);
	}

	/* What has not begun does not begin now. */
	if (c->host_ends && !unwanted && !vm_core_alive(c) &&
		(c->sm.state == VM_PREPARING || c->sm.state == VM_DEFINING ||
			c->sm.state == VM_WAITING))
		return nothing;

	switch ((enum vm_state)c->sm.state) {
	case VM_LOOKING:
		looked(c, now);
		return vm_core_next(c, now);
	case VM_PREPARING:
		if (unwanted) {
			sm_move(&c->sm, VM_CLEANING, now);
			return vm_core_next(c, now);
		}
		return start_action(c, VM_DO_PREPARE);
	case VM_DEFINING:
		if (unwanted) {
			sm_move(&c->sm, VM_CLEANING, now);
			return vm_core_next(c, now);
		}
		return start_action(c, VM_DO_DEFINE);
	case VM_STARTING:
		if (vm_core_alive(c)) {
			c->failures = 0;
			c->restarts = false;
			if (unwanted)
				stop(c, now);
			else
				sm_move(&c->sm, VM_RUNNING, now);
			return vm_core_next(c, now);
		}
		if (ended(c)) {
			over(c, now);
			return vm_core_next(c, now);
		}
		if (unwanted) {
			sm_move(&c->sm, VM_CLEANING, now);
			return vm_core_next(c, now);
		}
		return start_action(c, VM_DO_START);
	case VM_RUNNING:
		if (c->domain == VM_DOMAIN_SAVED && !unwanted) {
			c->restore = false; /* that was for an earlier one */
			sm_move(&c->sm, VM_SAVED, now);
			return vm_core_next(c, now);
		}
		if (!vm_core_alive(c)) {
			if (was_restarting(c, now))
				start_again(c, now);
			else
				over(c, now);
			return vm_core_next(c, now);
		}
		if (unwanted || c->host_ends || c->unhealthy) {
			stop(c, now);
			return vm_core_next(c, now);
		}
		return nothing;
	case VM_SAVED:
		if (vm_core_alive(c)) { /* by us, or by somebody's virsh */
			c->restore = false;
			sm_move(&c->sm, VM_RUNNING, now);
			return vm_core_next(c, now);
		}
		/* What was saved is gone, and with it what the guest was doing. */
		if (c->domain != VM_DOMAIN_SAVED || unwanted) {
			over(c, now);
			return vm_core_next(c, now);
		}
		return c->restore && !c->host_ends ? start_action(c, VM_DO_RESTORE) : nothing;
	case VM_STOPPING:
		return stopping(c, now);
	case VM_KILLING:
		if (vm_core_alive(c)) {
			if (now < c->retry_at_ns)
				return (struct vm_step){VM_DO_NOTHING, c->retry_at_ns};
			return start_action(c, VM_DO_DESTROY);
		}
		over(c, now);
		return vm_core_next(c, now);
	case VM_WAITING:
		if (unwanted) {
			c->retry_at_ns = now; /* that was the pause before the next start */
			sm_move(&c->sm, VM_CLEANING, now);
			return vm_core_next(c, now);
		}
		if (now < c->retry_at_ns)
			return (struct vm_step){VM_DO_NOTHING, c->retry_at_ns};
		sm_move(&c->sm, VM_LOOKING, now);
		return vm_core_next(c, now);
	case VM_CLEANING:
		if (now < c->retry_at_ns)
			return (struct vm_step){VM_DO_NOTHING, c->retry_at_ns};
		return start_action(c, VM_DO_CLEAN);
	case VM_CLEAN:
	case VM_RELEASED:
		break;
	}
	return nothing;
}

void vm_core_done(struct vm_core *c, enum vm_action action, bool ok, int64_t now)
{
	c->busy = VM_DO_NOTHING;
	switch (action) {
	case VM_DO_PREPARE:
		if (c->sm.state != VM_PREPARING)
			break;
		if (ok)
			sm_move(&c->sm, VM_DEFINING, now);
		else if (c->deleting || c->finished)
			sm_move(&c->sm, VM_CLEANING, now);
		else
			fail(c, now);
		break;
	case VM_DO_DEFINE:
		if (c->sm.state != VM_DEFINING)
			break;
		if (ok) {
			c->domain = VM_DOMAIN_DEFINED;
			sm_move(&c->sm, VM_STARTING, now);
		} else {
			c->domain = VM_DOMAIN_UNKNOWN;
			fail(c, now);
		}
		break;
	case VM_DO_START:
		if (c->sm.state != VM_STARTING)
			break;
		if (ok && !vm_core_alive(c) && !ended(c)) {
			c->domain = VM_DOMAIN_RUNNING;
		} else if (!ok) {
			c->domain = VM_DOMAIN_UNKNOWN; /* the answer may have been lost, not the
							  start */
			fail(c, now);
		}
		break;
	case VM_DO_DESTROY:
		c->domain = VM_DOMAIN_UNKNOWN; /* look what came of it */
		c->retry_at_ns = ok ? now : now + RETRY_MIN_NS;
		break;
	case VM_DO_LOOKUP:
		if (!ok) {
			c->domain = VM_DOMAIN_UNKNOWN;
			c->look_at_ns = now + RETRY_MIN_NS;
		}
		break;
	case VM_DO_CLEAN:
		if (ok) {
			c->domain = VM_DOMAIN_ABSENT;
			sm_move(&c->sm, VM_CLEAN, now);
		} else {
			c->retry_at_ns = now + RETRY_MIN_NS;
		}
		break;
	case VM_DO_RELEASE:
		if (ok)
			sm_move(&c->sm, VM_RELEASED, now);
		else
			c->retry_at_ns = now + RETRY_MIN_NS;
		break;
	case VM_DO_RESTORE:
		c->restore = false;
		c->domain = VM_DOMAIN_UNKNOWN; /* look what came of it */
		break;
	case VM_DO_RESUME:
	case VM_DO_SHUTDOWN: /* the domain's own events say whether it helped */
	case VM_DO_NOTHING:
	case VM_DO_ABORT:
		break;
	}
}

void vm_core_grace(struct vm_core *c, int64_t grace_ns, int64_t now)
{
	c->grace_ns = MAX(0, MIN(grace_ns, INT32_MAX * NS_PER_S));
	if (c->sm.state == VM_STOPPING)
		c->kill_at_ns = MIN(c->kill_at_ns, now + c->grace_ns);
}

void vm_core_libvirt(struct vm_core *c, bool up)
{
	if (up && !c->libvirt_up)
		c->domain = VM_DOMAIN_UNKNOWN; /* what happened meanwhile was not told */
	c->libvirt_up = up;
}

void vm_core_domain(struct vm_core *c, enum vm_domain domain, int64_t now)
{
	/* Once the guest is over its domain's last events mean nothing any more. */
	if (c->sm.state == VM_CLEANING || c->sm.state == VM_CLEAN || c->sm.state == VM_RELEASED)
		return;
	/* Half-way events of our own start: the answer to it decides. */
	if (c->busy == VM_DO_DEFINE)
		return;
	c->domain = domain;
}

/* pod_decide.c - see pod_decide.h. One function a state. */
#include "node/pod/pod_decide.h"

static const struct sm_state states[] = {
	[POD_NEW] = {"new", SM_ALLOW(POD_SETUP) | SM_ALLOW(POD_STOPPING), false},
	[POD_SETUP] = {"setup", SM_ALLOW(POD_RUNNING) | SM_ALLOW(POD_STOPPING), false},
	[POD_RUNNING] = {"running", SM_ALLOW(POD_STOPPING), false},
	[POD_STOPPING] = {"stopping", SM_ALLOW(POD_FINISHED) | SM_ALLOW(POD_REMOVING), false},
	[POD_FINISHED] = {"finished", SM_ALLOW(POD_REMOVING), false},
	[POD_REMOVING] = {"removing", SM_ALLOW(POD_CONFIRMING), false},
	[POD_CONFIRMING] = {"confirming", SM_ALLOW(POD_GONE), false},
	[POD_GONE] = {"gone", 0, true},
};
const struct sm_class pod_state_class = {
	.name = "pod worker",
	.states = states,
	.state_count = ARRAY_LEN(states),
};

int64_t backoff_until(const struct backoff *b, int64_t since_ns, int64_t now_ns)
{
	if (b->delay_ns == 0 || since_ns - b->updated_ns > POD_BACKOFF_FORGET_NS)
		return 0;
	int64_t until = since_ns + b->delay_ns;
	return until > now_ns ? until : 0;
}

void backoff_raise(struct backoff *b, int64_t now_ns)
{
	backoff_raise_since(b, now_ns, now_ns);
}

void backoff_raise_since(struct backoff *b, int64_t since_ns, int64_t now_ns)
{
	if (b->delay_ns == 0 || since_ns - b->updated_ns > POD_BACKOFF_FORGET_NS)
		b->delay_ns = POD_BACKOFF_FIRST_NS;
	else
		b->delay_ns = MIN(b->delay_ns * 2, POD_BACKOFF_MAX_NS);
	b->updated_ns = now_ns;
}

struct backoff backoff_recall(
	unsigned attempt, int64_t created_ns, int64_t last_created_ns, int64_t last_finished_ns)
{
	struct backoff b = {.delay_ns = POD_BACKOFF_FIRST_NS, .updated_ns = created_ns};
	bool known = last_created_ns > 0 && last_finished_ns > 0;

	if (attempt == 0)
		return (struct backoff){0};
	if (known && last_finished_ns - last_created_ns > POD_BACKOFF_FORGET_NS)
		return b;
	/* As often as it was started, and no longer than twice what it waited the last time. */
	int64_t waited = known ? created_ns - last_finished_ns : INT64_MAX;
	for (unsigned i = 1; i < attempt && b.delay_ns < POD_BACKOFF_MAX_NS; i++) {
		if (b.delay_ns > waited)
			break;
		b.delay_ns = MIN(b.delay_ns * 2, POD_BACKOFF_MAX_NS);
	}
	return b;
}

static void act(struct pod_decision *d, struct pod_action action)
{
	if (d->action_count < ARRAY_LEN(d->actions))
		d->actions[d->action_count++] = action;
}

static void wake_at(struct pod_decision *d, int64_t ns)
{
	d->wake_ns = MIN(d->wake_ns, ns);
}

bool container_is_main(const struct container_view *c)
{
	return !c->init && !c->ephemeral;
}

bool container_is_up(const struct container_view *c)
{
	return c->run == RUN_RUNNING && !c->busy;
}

bool container_restarts(const struct pod_view *v, const struct container_view *c)
{
	if (v->ended)
		return false;
	if (c->run != RUN_EXITED)
		return true;
	if (c->ephemeral)
		return false;
	if (c->sidecar)
		return true;
	switch (v->restart_policy) {
	case POD_RESTART_NEVER:
		return false;
	case POD_RESTART_ON_FAILURE:
		return c->exit_code != 0;
	case POD_RESTART_ALWAYS:
		/* An init container that succeeded has done its part. */
		return !c->init || c->exit_code != 0;
	}
	return false;
}

int64_t container_wait_until(const struct container_view *c, int64_t now_ns)
{
	if (c->run != RUN_EXITED && c->run != RUN_CREATED)
		return 0;
	return backoff_until(&c->restart, c->finished_ns, now_ns);
}

static bool alive(const struct container_view *c)
{
	return c->run == RUN_RUNNING || c->run == RUN_UNKNOWN;
}

/* Something is under way with it. */
static bool waiting(const struct container_view *c)
{
	return c->busy || c->killing || c->unread;
}

/* The container should run and does not: image first, then create and start. */
static void bring_up(const struct pod_view *v, size_t i, int64_t now, struct pod_decision *d)
{
	const struct container_view *c = &v->containers[i];

	int64_t until = container_wait_until(c, now);
	if (until) {
		if (d->held_count < ARRAY_LEN(d->held))
			d->held[d->held_count++] = i;
		wake_at(d, until);
		return;
	}
	if (c->retry_ns > now) {
		wake_at(d, c->retry_ns);
		return;
	}
	switch (c->image) {
	case IMAGE_WORKING:
		break;
	case IMAGE_UNKNOWN:
	case IMAGE_FAILED:
		act(d, (struct pod_action){.type = POD_DO_IMAGE, .container = i});
		break;
	case IMAGE_READY:
		act(d, (struct pod_action){.type = POD_DO_START, .container = i});
		break;
	}
}

static void kill_one(size_t i, enum pod_kill_why why, int64_t grace_s, struct pod_decision *d)
{
	act(d, (struct pod_action){
		       .type = POD_DO_KILL, .container = i, .why = why, .grace_s = grace_s});
}

/* A runtime that can't stop it now is not asked all the time. */
static void kill_or_wait(const struct container_view *c, size_t i, enum pod_kill_why why,
	int64_t grace_s, int64_t now, struct pod_decision *d)
{
	if (c->kill_retry_ns > now)
		wake_at(d, c->kill_retry_ns);
	else
		kill_one(i, why, grace_s, d);
}

/* Ends a running container that is to be replaced. True when it was one. */
static bool replace(const struct container_view *c, size_t i, int64_t now, struct pod_decision *d)
{
	if (!alive(c) || c->killing)
		return false;
	if (c->hash_differs)
		kill_or_wait(c, i, KILL_CHANGED, -1, now, d);
	else if (c->run == RUN_UNKNOWN)
		kill_or_wait(c, i, KILL_UNKNOWN, -1, now, d);
	else if (c->sick)
		kill_or_wait(c, i, c->sick, -1, now, d);
	else
		return false;
	return true;
}

static void end_pod(struct pod_decision *d, enum pod_phase phase, const char *reason)
{
	d->ended = true;
	d->phase = phase;
	d->reason = reason;
	d->next = POD_STOPPING;
}

/* Whether any main container ran in this sandbox: then initialisation is over, even if the init
 * containers have been removed meanwhile. */
static bool main_seen(const struct pod_view *v)
{
	for (size_t i = 0; i < v->container_count; i++) {
		const struct container_view *c = &v->containers[i];
		if (container_is_main(c) && c->run != RUN_NONE && c->in_sandbox)
			return true;
	}
	return false;
}

static bool init_done(const struct container_view *c)
{
	if (!c->in_sandbox)
		return false;
	if (c->sidecar)
		return c->run == RUN_RUNNING && c->started;
	return c->run == RUN_EXITED && !c->unread && c->exit_code == 0;
}

bool pod_initialized(const struct pod_view *v)
{
	if (main_seen(v))
		return true;
	for (size_t i = 0; i < v->container_count; i++) {
		const struct container_view *c = &v->containers[i];
		if (c->init && !init_done(c) &&
			!(v->ended && c->run == RUN_EXITED && c->exit_code == 0))
			return false;
	}
	return true;
}

/* Whatever the others do; once. */
static void decide_ephemeral(const struct pod_view *v, int64_t now, struct pod_decision *d)
{
	for (size_t i = 0; i < v->container_count; i++) {
		const struct container_view *c = &v->containers[i];
		if (c->ephemeral && !c->busy && !c->killing &&
			(c->run == RUN_NONE || (c->run == RUN_CREATED && c->attempt == 0)))
			bring_up(v, i, now, d);
	}
}

static void decide_containers(const struct pod_view *v, int64_t now, struct pod_decision *d)
{
	bool seen = main_seen(v);

	decide_ephemeral(v, now, d);
	for (size_t i = 0; i < v->container_count; i++) {
		const struct container_view *c = &v->containers[i];
		if (!c->init || (seen && !c->sidecar))
			continue;
		if (waiting(c) || replace(c, i, now, d)) {
			if (!seen)
				return;
			continue;
		}
		if (init_done(c))
			continue;
		if (alive(c) && c->in_sandbox) {
			if (!seen)
				return; /* the next one's turn comes later */
			continue;
		}
		/* What ran in an earlier sandbox is done again in this one. */
		if (c->in_sandbox && !container_restarts(v, c)) {
			end_pod(d, PHASE_FAILED, NULL);
			return;
		}
		bring_up(v, i, now, d);
		if (!seen)
			return;
	}

	bool all_done = true, all_ok = true;
	for (size_t i = 0; i < v->container_count; i++) {
		const struct container_view *c = &v->containers[i];
		if (!container_is_main(c))
			continue;
		if (waiting(c) || alive(c)) {
			all_done = false;
			if (!c->busy && !c->unread)
				replace(c, i, now, d);
			continue;
		}
		if (container_restarts(v, c)) {
			all_done = false;
			bring_up(v, i, now, d);
		} else if (c->exit_code != 0) {
			all_ok = false;
		}
	}
	if (all_done)
		end_pod(d, all_ok ? PHASE_SUCCEEDED : PHASE_FAILED, NULL);
}

/* The sandbox has died (its pause process, or the machine): whether there is still something to
 * run. */
static bool wants_sandbox(const struct pod_view *v)
{
	bool ran = false, todo = false;

	for (size_t i = 0; i < v->container_count; i++) {
		const struct container_view *c = &v->containers[i];
		/* Created by an agent that was killed before it could start it: it never ran. */
		ran = ran || (c->run != RUN_NONE && (c->run != RUN_CREATED || c->attempt > 0));
		if (container_is_main(c) && container_restarts(v, c))
			todo = true;
	}
	if (v->restart_policy == POD_RESTART_NEVER && ran)
		return false;
	return todo;
}

static void decide_running(const struct pod_view *v, int64_t now, struct pod_decision *d)
{
	if (v->sandbox_busy)
		return;
	if (v->sandbox_exists && v->sandbox_ready) {
		decide_containers(v, now, d);
		return;
	}

	/* Nothing may be left of the dead sandbox before there is a new one. */
	bool left = false;
	for (size_t i = 0; i < v->container_count; i++) {
		const struct container_view *c = &v->containers[i];
		if (waiting(c)) {
			left = true;
		} else if (alive(c)) {
			kill_or_wait(c, i, KILL_NO_SANDBOX, 0, now, d);
			left = true;
		}
	}
	if (left)
		return;
	if (!wants_sandbox(v)) {
		end_pod(d, pod_phase_at_end(v), NULL);
		return;
	}
	if (v->sandbox_retry_ns > now)
		wake_at(d, v->sandbox_retry_ns);
	else
		act(d, (struct pod_action){.type = POD_DO_RUN_SANDBOX});
}

/* Main containers first, all at once; then sidecars from the last to the first. */
static void decide_stopping(const struct pod_view *v, int64_t now, struct pod_decision *d)
{
	bool wait = v->sandbox_busy || v->setup_busy;
	int64_t left_s = (MAX(v->stop_by_ns - now, 0) + NS_PER_S - 1) / NS_PER_S;

	for (int sidecars = 0; sidecars <= 1; sidecars++) {
		for (size_t k = v->container_count; k-- > 0;) {
			const struct container_view *c = &v->containers[k];
			if (c->sidecar != (sidecars == 1))
				continue;
			if (sidecars && wait)
				return;
			if (c->busy) {
				wait = true;
			} else if (alive(c) || c->killing) {
				wait = true;
				/* A later wish may be more urgent than the stop under way. */
				if (!c->killing || (alive(c) && v->stop_by_ns < c->kill_by_ns))
					kill_or_wait(c, k, KILL_STOPPING, left_s, now, d);
			}
		}
	}
	if (wait)
		return;
	if (v->sandbox_exists && v->sandbox_ready)
		act(d, (struct pod_action){.type = POD_DO_STOP_SANDBOX});
	else
		d->next = v->deleting || v->absent ? POD_REMOVING : POD_FINISHED;
}

void pod_decide(const struct pod_view *v, int64_t now, struct pod_decision *d)
{
	bool leaving = v->deleting || v->absent;

	d->next = v->state;
	d->ended = false;
	d->phase = PHASE_PENDING;
	d->reason = NULL;
	d->action_count = 0;
	d->held_count = 0;
	d->wake_ns = INT64_MAX;

	switch (v->state) {
	case POD_NEW:
		if (v->listed)
			d->next = leaving || v->ended ? POD_STOPPING : POD_SETUP;
		return;
	case POD_SETUP:
	case POD_RUNNING:
		if (leaving || v->ended) {
			d->next = POD_STOPPING;
			return;
		}
		if (v->deadline_ns && now >= v->deadline_ns) {
			end_pod(d, PHASE_FAILED, "DeadlineExceeded");
			return;
		}
		if (v->deadline_ns)
			wake_at(d, v->deadline_ns);
		if (v->state == POD_RUNNING) {
			decide_running(v, now, d);
			return;
		}
		if (v->setup_ready)
			d->next = POD_RUNNING;
		else if (v->setup_busy)
			return;
		else if (v->setup_retry_ns > now)
			wake_at(d, v->setup_retry_ns);
		else
			act(d, (struct pod_action){.type = POD_DO_SETUP});
		return;
	case POD_STOPPING:
		decide_stopping(v, now, d);
		return;
	case POD_FINISHED:
		if (leaving)
			d->next = POD_REMOVING;
		return;
	case POD_REMOVING:
		if (v->removed)
			d->next = POD_CONFIRMING;
		else if (v->remove_busy)
			return;
		else if (v->remove_retry_ns > now)
			wake_at(d, v->remove_retry_ns);
		else
			act(d, (struct pod_action){.type = POD_DO_REMOVE});
		return;
	case POD_CONFIRMING:
		if (v->absent)
			d->next = POD_GONE;
		else if (v->confirm_busy)
			return;
		else if (v->remove_retry_ns > now)
			wake_at(d, v->remove_retry_ns);
		else
			act(d, (struct pod_action){.type = POD_DO_CONFIRM});
		return;
	case POD_GONE:
		return;
	}
}

enum pod_phase pod_phase_at_end(const struct pod_view *v)
{
	for (size_t i = 0; i < v->container_count; i++) {
		const struct container_view *c = &v->containers[i];
		if (container_is_main(c) &&
			(c->run != RUN_EXITED || c->unread || c->exit_code != 0))
			return PHASE_FAILED;
	}
	return PHASE_SUCCEEDED;
}

bool pod_runs(const struct pod_view *v)
{
	for (size_t i = 0; i < v->container_count; i++) {
		if (alive(&v->containers[i]) || v->containers[i].busy)
			return true;
	}
	return false;
}

enum pod_phase pod_phase_compute(const struct pod_view *v)
{
	size_t mains = 0, waiting = 0, running = 0, stopped = 0, succeeded = 0;

	if (!pod_initialized(v)) {
		for (size_t i = 0; i < v->container_count; i++) {
			const struct container_view *c = &v->containers[i];
			if (c->init && c->in_sandbox && c->run == RUN_EXITED && c->exit_code != 0 &&
				!container_restarts(v, c))
				return PHASE_FAILED;
		}
		return PHASE_PENDING;
	}
	for (size_t i = 0; i < v->container_count; i++) {
		const struct container_view *c = &v->containers[i];
		if (!container_is_main(c))
			continue;
		mains++;
		if (c->unread) {
			running++;
			continue;
		}
		switch (c->busy && c->run == RUN_RUNNING ? RUN_CREATED : c->run) {
		case RUN_RUNNING:
		case RUN_UNKNOWN:
			running++;
			break;
		case RUN_EXITED:
			stopped++;
			succeeded += c->exit_code == 0;
			break;
		case RUN_CREATED:
			/* On its way to a restart it still counts as the one that stopped. */
			if (c->attempt > 0)
				stopped++;
			else
				waiting++;
			break;
		case RUN_NONE:
			waiting++;
			break;
		}
	}
	if (waiting > 0)
		return PHASE_PENDING;
	if (running > 0 || mains == 0)
		return PHASE_RUNNING;
	if (v->restart_policy == POD_RESTART_ALWAYS)
		return PHASE_RUNNING;
	if (succeeded == stopped)
		return PHASE_SUCCEEDED;
	return v->restart_policy == POD_RESTART_NEVER ? PHASE_FAILED : PHASE_RUNNING;
}

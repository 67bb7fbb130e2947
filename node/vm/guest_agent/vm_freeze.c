#include "node/vm/guest_agent/vm_freeze.h"

#include <stdio.h>
#include <unistd.h>

#include "lib/base/log.h"
#include "node/vm/image/image_files.h"

/* Writing out what a busy guest has in memory takes its time. */
#define FREEZE_TIMEOUT_S 60
#define THAW_AGAIN_MS 5000
#define ABSENT_AGAIN_MS 30000

struct vm_freeze {
	struct vm_freeze_options o;
	char *path, *label;
	uv_timer_t timer;
	bool limited;		 /* a thaw is due at: */
	int64_t thaw_at_wall_ns; /* clocks of one boot only would not survive the host's */
	/* Under way. */
	bool freeze;
	int64_t thaw_after_ns;
	struct agent_call *call;
	vm_freeze_done *done; /* NULL = nobody waits */
	void *user;
	bool later; /* done is told from the timer: err */
	struct err err;
	bool destroyed;
};

static void on_timer(uv_timer_t *t);
static void thaw_now(struct vm_freeze *f);

static int64_t wall(const struct vm_freeze *f)
{
	return f->o.clock->wall_ns(f->o.clock);
}

static void arm(struct vm_freeze *f)
{
	int64_t left = f->thaw_at_wall_ns - wall(f);

	if (f->limited)
		uv_timer_start(&f->timer, on_timer,
			left > 0 ? (uint64_t)(left / NS_PER_MS + 1) : THAW_AGAIN_MS, 0);
	else
		uv_timer_stop(&f->timer);
}

static void forget(struct vm_freeze *f)
{
	f->limited = false;
	unlink(f->path);
}

/* A thaw is due then, by this agent or the next one. */
static int thaw_at(struct vm_freeze *f, int64_t wall_ns, struct err *err)
{
	char text[32];
	int r;

	f->limited = true;
	f->thaw_at_wall_ns = wall_ns;
	snprintf(text, sizeof(text), "%lld", (long long)wall_ns);
	r = files_write(f->path, text, strlen(text), 0600, err);
	if (r < 0)
		f->limited = false;
	return r;
}

static void tell(struct vm_freeze *f, const struct err *err)
{
	vm_freeze_done *done = f->done;
	void *user = f->user;

	f->done = NULL;
	if (done)
		done(user, err);
}

static void ended(struct vm_freeze *f, const struct err *err)
{
	arm(f);
	if (f->o.agent)
		guest_agent_look(f->o.agent);
	tell(f, err);
}

static void thawed(void *user, const struct json *value, const struct err *err)
{
	struct vm_freeze *f = user;

	f->call = NULL;
	if (value) {
		forget(f);
		log_info("virtual machine", "vmi", f->label, "event", "its file systems are thawed",
			NULL);
	} else {
		log_warn("a guest could not be thawed", "vmi", f->label, "error", err->msg, NULL);
	}
	ended(f, err);
}

static void frozen(void *user, const struct json *value, const struct err *err)
{
	struct vm_freeze *f = user;

	f->call = NULL;
	if (!value) {
		/* Some of its file systems may be frozen, or soon be. */
		f->err = *err;
		f->freeze = false;
		if (thaw_at(f, wall(f) + THAW_AGAIN_MS * NS_PER_MS, NULL) < 0)
			f->limited = true;
		err_context(&f->err, err->code, "Failed to freeze VMI");
		ended(f, &f->err);
		return;
	}
	if (!f->thaw_after_ns)
		forget(f);
	log_info("virtual machine", "vmi", f->label, "event", "its file systems are frozen", NULL);
	ended(f, NULL);
}

/* What the guest is now decides whether anything is to be done. */
static void status_here(void *user, const struct json *value, const struct err *err)
{
	struct vm_freeze *f = user;
	bool is_frozen = streq(json_str(value), "frozen");
	struct err why = ERR_INIT;
	int64_t after;

	f->call = NULL;
	if (!value) {
		/* No agent: perhaps the guest restarts, and then nothing is frozen any more. */
		if (f->limited && f->thaw_at_wall_ns <= wall(f))
			f->thaw_at_wall_ns = wall(f) + ABSENT_AGAIN_MS * NS_PER_MS;
		ended(f, err);
		return;
	}
	if (is_frozen == f->freeze) {
		if (!f->freeze)
			forget(f);
		ended(f, NULL);
		return;
	}
	if (!f->freeze) {
		f->call = guest_agent_call(f->o.agent,
			&(struct agent_command){.name = "guest-fsfreeze-thaw",
				.timeout_s = FREEZE_TIMEOUT_S,
				.urgent = true},
			thawed, f);
		return;
	}
	/* Who asked for no limit gets none. But if this agent ends before the guest has answered,
	 * nobody is told that it worked, and so nobody would thaw. */
	after = f->thaw_after_ns ? f->thaw_after_ns
				 : FREEZE_TIMEOUT_S * NS_PER_S + THAW_AGAIN_MS * NS_PER_MS;
	if (thaw_at(f, wall(f) + after, &why) < 0) {
		ended(f, &why);
		return;
	}
	f->call = guest_agent_call(f->o.agent,
		&(struct agent_command){.name = "guest-fsfreeze-freeze",
			.timeout_s = FREEZE_TIMEOUT_S,
			.urgent = true},
		frozen, f);
}

static void begin(struct vm_freeze *f)
{
	f->call = guest_agent_call(f->o.agent,
		&(struct agent_command){.name = "guest-fsfreeze-status", .urgent = true},
		status_here, f);
}

static void on_timer(uv_timer_t *t)
{
	struct vm_freeze *f = t->data;

	if (f->call)
		return; /* its end arms anew */
	thaw_now(f);
}

static void thaw_now(struct vm_freeze *f)
{
	f->freeze = false;
	begin(f);
}

struct vm_freeze *vm_freeze_create(const struct vm_freeze_options *o)
{
	struct vm_freeze *f = xcalloc(1, sizeof(*f));
	char text[32];
	ssize_t n;

	f->o = *o;
	f->path = xstrdup(o->path);
	f->label = xstrdup(o->label);
	uv_timer_init(o->loop, &f->timer);
	f->timer.data = f;
	n = files_read(f->path, text, sizeof(text));
	if (n > 0 && parse_i64((struct str){text, (size_t)n}, &f->thaw_at_wall_ns) == 0) {
		f->limited = true;
		/* The clock may have been set back meanwhile. */
		f->thaw_at_wall_ns = MIN(f->thaw_at_wall_ns, wall(f) + 3600 * NS_PER_S);
		arm(f);
	}
	return f;
}

static void freed(uv_handle_t *h)
{
	struct vm_freeze *f = h->data;

	free(f->path);
	free(f->label);
	free(f);
}

void vm_freeze_destroy(struct vm_freeze *f)
{
	struct err err = ERR_INIT;

	if (!f || f->destroyed)
		return;
	f->destroyed = true;
	agent_call_cancel(TAKE_PTR(f->call));
	err_set(&err, -ECANCELED, "the guest stopped");
	tell(f, &err);
	uv_close((uv_handle_t *)&f->timer, freed);
}

static void want(
	struct vm_freeze *f, bool freeze, int64_t thaw_after_ns, vm_freeze_done *done, void *user)
{
	struct err err = ERR_INIT;

	if (f->done) {
		err_set(&err, -EBUSY, "a freeze or unfreeze is under way");
		done(user, &err);
		return;
	}
	/* A thaw by time that is under way is let go: what is asked now counts. */
	agent_call_cancel(TAKE_PTR(f->call));
	f->freeze = freeze;
	f->thaw_after_ns = thaw_after_ns;
	f->done = done;
	f->user = user;
	begin(f);
}

void vm_freeze_freeze(struct vm_freeze *f, int64_t thaw_after_ns, vm_freeze_done *done, void *user)
{
	want(f, true, thaw_after_ns, done, user);
}

void vm_freeze_thaw(struct vm_freeze *f, vm_freeze_done *done, void *user)
{
	want(f, false, 0, done, user);
}

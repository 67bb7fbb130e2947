/* logind.c - see logind.h. */
#include "node/shutdown/logind.h"

#include "lib/base/log.h"
#include "lib/client/wakeup.h"

#ifdef HAVE_SYSTEMD

#include <dlfcn.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <systemd/sd-bus.h>

#define LOGIN "org.freedesktop.login1"
#define LOGIN_PATH "/org/freedesktop/login1"
#define LOGIN_MANAGER "org.freedesktop.login1.Manager"
#define USEC_PER_S UINT64_C(1000000)

enum {
	RETRY_MS = 30000,
	RELOADED_MS = 1000, /* logind has read its configuration by then */
	SIGNAL_RELOAD = 1,  /* SIGHUP */
};

/* What is used of libsystemd. */
#define FUNCTIONS(X)                                                                               \
	X(sd_bus_open_system)                                                                      \
	X(sd_bus_flush_close_unref)                                                                \
	X(sd_bus_get_fd)                                                                           \
	X(sd_bus_get_events)                                                                       \
	X(sd_bus_get_timeout)                                                                      \
	X(sd_bus_process)                                                                          \
	X(sd_bus_call_method_async)                                                                \
	X(sd_bus_match_signal_async)                                                               \
	X(sd_bus_message_read)                                                                     \
	X(sd_bus_message_is_method_error)                                                          \
	X(sd_bus_message_get_error)

struct library {
#define MEMBER(name) __typeof__(name) *name;
	FUNCTIONS(MEMBER)
};
static struct library lib;

static int library_load(struct err *err)
{
	static void *handle;

	if (handle)
		return 0;
	void *h = dlopen("libsystemd.so.0", RTLD_NOW | RTLD_LOCAL);
	if (!h)
		return err_set(err, -ENOSYS, "libsystemd.so.0 is not installed");
#define LOAD(name)                                                                                 \
	*(void **)&lib.name = dlsym(h, #name);                                                     \
	if (!lib.name)                                                                             \
		return err_set(err, -ENOSYS, "libsystemd.so.0 has no %s", #name);
	FUNCTIONS(LOAD)
	handle = h;
	return 0;
}

struct logind {
	uv_loop_t *loop;
	struct clock *clock;
	struct logind_handler handler;
	void *user;
	int64_t wanted_s;
	char *drop_in;
	sd_bus *bus;	      /* NULL between attempts */
	uv_poll_t *poll;      /* on the bus's descriptor */
	struct wakeup *timer; /* the bus's own time-outs; the next attempt */
	struct wakeup *process;
	int lock;	  /* descriptor; -1 = not held */
	bool told_reload; /* logind was given the drop-in */
	bool closing;	  /* fail() ran inside sd_bus_process() */
	int64_t delay_s;  /* that logind allows */
};

static void connect_bus(struct logind *l);

/* ---- the loop ---- */

static void on_poll_closed(uv_handle_t *h)
{
	free(h);
}

static void disconnect(struct logind *l)
{
	if (l->poll) {
		uv_poll_stop(l->poll);
		uv_close((uv_handle_t *)l->poll, on_poll_closed);
		l->poll = NULL;
	}
	if (l->bus)
		lib.sd_bus_flush_close_unref(TAKE_PTR(l->bus));
}

static void drop_lock(struct logind *l)
{
	if (l->lock >= 0)
		close(l->lock);
	l->lock = -1;
}

/* The bus may be in the middle of its work: it is closed when that is done. */
static void fail(struct logind *l, const struct err *err)
{
	if (l->closing)
		return;
	l->closing = true;
	drop_lock(l);
	l->handler.state(l->user, false, 0, err);
	wakeup_in(l->process, 0);
	wakeup_in(l->timer, RETRY_MS);
}

static void on_poll(uv_poll_t *p, int status, int events);

static void watch(struct logind *l)
{
	int events = lib.sd_bus_get_events(l->bus);
	uint64_t until = UINT64_MAX;

	uv_poll_start(l->poll,
		(events & POLLIN ? UV_READABLE : 0) | (events & POLLOUT ? UV_WRITABLE : 0),
		on_poll);
	if (lib.sd_bus_get_timeout(l->bus, &until) < 0 || until == UINT64_MAX)
		return;
	/* CLOCK_MONOTONIC in microseconds, as the clock's. */
	int64_t wait = (int64_t)(until / 1000) - l->clock->mono_ns(l->clock) / NS_PER_MS;
	wakeup_in(l->process, MAX(wait, 0));
}

static void on_process(void *user)
{
	struct logind *l = user;
	struct err err = ERR_INIT;

	if (l->closing) {
		disconnect(l);
		l->closing = false;
		return;
	}
	for (int r = 1; l->bus && r > 0 && !l->closing;) {
		r = lib.sd_bus_process(l->bus, NULL);
		if (r < 0) {
			err_errno(&err, r, "system bus");
			fail(l, &err);
		}
	}
	if (l->bus && !l->closing)
		watch(l);
}

static void on_poll(uv_poll_t *p, int status, int events)
{
	struct logind *l = p->data;

	on_process(l);
}

/* ---- calls ---- */

static bool answered(struct logind *l, sd_bus_message *m, const char *what)
{
	struct err err = ERR_INIT;

	if (!lib.sd_bus_message_is_method_error(m, NULL))
		return true;
	const sd_bus_error *e = lib.sd_bus_message_get_error(m);
	err_set(&err, -EIO, "%s: %s", what, e && e->message ? e->message : "failed");
	fail(l, &err);
	return false;
}

static void check(struct logind *l, int r, const char *what)
{
	struct err err = ERR_INIT;

	if (r >= 0)
		return;
	err_errno(&err, r, "%s", what);
	fail(l, &err);
}

static int on_inhibited(sd_bus_message *m, void *user, sd_bus_error *error)
{
	struct logind *l = user;
	int fd = -1;

	if (!answered(l, m, "inhibitor lock of logind"))
		return 0;
	/* The message owns the descriptor. */
	if (lib.sd_bus_message_read(m, "h", &fd) < 0 || (fd = fcntl(fd, F_DUPFD_CLOEXEC, 3)) < 0) {
		check(l, -EBADMSG, "inhibitor lock of logind");
		return 0;
	}
	drop_lock(l);
	l->lock = fd;
	l->handler.state(l->user, true, l->delay_s, NULL);
	return 0;
}

void logind_hold(struct logind *l)
{
	if (l->bus && !l->closing && l->lock < 0)
		check(l,
			lib.sd_bus_call_method_async(l->bus, NULL, LOGIN, LOGIN_PATH, LOGIN_MANAGER,
				"Inhibit", on_inhibited, l, "ssss", "shutdown", "hanok-node",
				"Pods and virtual machines are ended in order", "delay"),
			"inhibitor lock of logind");
}

void logind_let_go(struct logind *l)
{
	drop_lock(l);
}

static void ask_delay(struct logind *l);

static void on_reloaded(void *user)
{
	struct logind *l = user;

	if (l->bus && !l->closing)
		ask_delay(l);
	else if (!l->bus)
		connect_bus(l);
}

static int on_reload(sd_bus_message *m, void *user, sd_bus_error *error)
{
	struct logind *l = user;

	/* Whatever came of it, the next look says. */
	wakeup_in(l->timer, RELOADED_MS);
	return 0;
}

static bool write_drop_in(struct logind *l)
{
	_cleanup_(free_p) char *text =
		xasprintf("# hanok node: graceful shutdown\n[Login]\nInhibitDelayMaxSec=%lld\n",
			(long long)l->wanted_s);
	int fd = open(l->drop_in, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

	if (fd >= 0)
		close(fd);
	if (!ok)
		log_warn("logind could not be told to wait longer at a shutdown", "file",
			l->drop_in, NULL);
	return ok;
}

static int on_delay(sd_bus_message *m, void *user, sd_bus_error *error)
{
	struct logind *l = user;
	uint64_t usec = 0;

	if (!answered(l, m, "InhibitDelayMaxUSec of logind"))
		return 0;
	if (lib.sd_bus_message_read(m, "v", "t", &usec) < 0) {
		check(l, -EBADMSG, "InhibitDelayMaxUSec of logind");
		return 0;
	}
	l->delay_s = (int64_t)MIN(usec / USEC_PER_S, (uint64_t)INT32_MAX);
	if (l->delay_s < l->wanted_s && l->drop_in && !l->told_reload) {
		l->told_reload = true;
		if (write_drop_in(l)) {
			check(l,
				lib.sd_bus_call_method_async(l->bus, NULL,
					"org.freedesktop.systemd1", "/org/freedesktop/systemd1",
					"org.freedesktop.systemd1.Manager", "KillUnit", on_reload,
					l, "ssi", "systemd-logind.service", "all", SIGNAL_RELOAD),
				"reload of logind");
			return 0;
		}
	}
	logind_hold(l);
	return 0;
}

static void ask_delay(struct logind *l)
{
	check(l,
		lib.sd_bus_call_method_async(l->bus, NULL, LOGIN, LOGIN_PATH,
			"org.freedesktop.DBus.Properties", "Get", on_delay, l, "ss", LOGIN_MANAGER,
			"InhibitDelayMaxUSec"),
		"InhibitDelayMaxUSec of logind");
	if (l->bus && !l->closing)
		watch(l);
}

static int on_prepare(sd_bus_message *m, void *user, sd_bus_error *error)
{
	struct logind *l = user;
	int going_down = 0;

	if (lib.sd_bus_message_read(m, "b", &going_down) >= 0)
		l->handler.prepare(l->user, going_down);
	return 0;
}

static int on_matched(sd_bus_message *m, void *user, sd_bus_error *error)
{
	struct logind *l = user;

	/* Nothing can be missed from here on. */
	if (answered(l, m, "signals of logind"))
		ask_delay(l);
	return 0;
}

static void connect_bus(struct logind *l)
{
	struct err err = ERR_INIT;
	int r = library_load(&err);

	if (r == 0) {
		r = lib.sd_bus_open_system(&l->bus);
		if (r < 0)
			err_errno(&err, r, "system bus");
	}
	if (r < 0) {
		l->bus = NULL;
		l->handler.state(l->user, false, 0, &err);
		wakeup_in(l->timer, RETRY_MS);
		return;
	}
	l->poll = xcalloc(1, sizeof(*l->poll));
	l->poll->data = l;
	uv_poll_init(l->loop, l->poll, lib.sd_bus_get_fd(l->bus));
	check(l,
		lib.sd_bus_match_signal_async(l->bus, NULL, LOGIN, LOGIN_PATH, LOGIN_MANAGER,
			"PrepareForShutdown", on_prepare, on_matched, l),
		"signals of logind");
	wakeup_in(l->process, 0);
}

struct logind *logind_create(uv_loop_t *loop, struct clock *clock, int64_t wanted_s,
	const char *drop_in, const struct logind_handler *handler, void *user)
{
	struct logind *l = xcalloc(1, sizeof(*l));

	l->loop = loop;
	l->clock = clock;
	l->handler = *handler;
	l->user = user;
	l->wanted_s = wanted_s;
	l->drop_in = drop_in ? xstrdup(drop_in) : NULL;
	l->lock = -1;
	l->timer = wakeup_create(loop, clock, on_reloaded, l);
	l->process = wakeup_create(loop, clock, on_process, l);
	wakeup_in(l->timer, 0);
	return l;
}

void logind_destroy(struct logind *l)
{
	if (!l)
		return;
	disconnect(l);
	drop_lock(l);
	wakeup_destroy(l->timer);
	wakeup_destroy(l->process);
	free(l->drop_in);
	free(l);
}

#else

struct logind {
	struct wakeup *timer;
	struct logind_handler handler;
	void *user;
};

static void on_timer(void *user)
{
	struct logind *l = user;
	struct err err = ERR_INIT;

	err_set(&err, -ENOSYS, "this program was built without libsystemd");
	l->handler.state(l->user, false, 0, &err);
}

struct logind *logind_create(uv_loop_t *loop, struct clock *clock, int64_t wanted_s,
	const char *drop_in, const struct logind_handler *handler, void *user)
{
	struct logind *l = xcalloc(1, sizeof(*l));

	l->handler = *handler;
	l->user = user;
	l->timer = wakeup_create(loop, clock, on_timer, l);
	wakeup_in(l->timer, 0);
	return l;
}

void logind_destroy(struct logind *l)
{
	if (!l)
		return;
	wakeup_destroy(l->timer);
	free(l);
}

void logind_let_go(struct logind *l)
{
}

void logind_hold(struct logind *l)
{
}

#endif

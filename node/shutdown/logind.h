/* logind.h - systemd-logind as the one who knows that the host is about to go down: a delay
 * inhibitor lock (org.freedesktop.login1.Manager.Inhibit) holds the shutdown up until it is let go
 * of, at most for logind's InhibitDelayMaxSec, and the signal PrepareForShutdown says when.
 *
 * libsystemd is loaded when it is asked for, so that hosts that do without pay nothing. Built
 * without its headers, or on a host without logind: said once through `state`. */
#pragma once

#include <uv.h>

#include "lib/base/clock.h"
#include "lib/base/err.h"

struct logind;
struct logind_handler {
	/* true: the host is about to go down; false: not any more. */
	void (*prepare)(void *user, bool going_down);
	/* ready: the lock is held and will be for as long as was wanted, or for delay_s only.
	 * Otherwise err says why not; it is tried again. */
	void (*state)(void *user, bool ready, int64_t delay_s, const struct err *err);
};
/* wanted_s: how long a shutdown should be held up. Where logind allows less, it is told by
 * `drop_in` (a file of logind.conf.d; NULL = leave it) and asked to read it. */
struct logind *logind_create(uv_loop_t *loop, struct clock *clock, int64_t wanted_s,
	const char *drop_in, const struct logind_handler *handler, void *user);
void logind_destroy(struct logind *l); /* lets go of the lock; NULL allowed */
void logind_let_go(struct logind *l);
/* Takes the lock again after a shutdown that was called off. */
void logind_hold(struct logind *l);

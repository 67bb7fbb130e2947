/* wakeup.h - a one-shot timer on the libuv loop, or, with loop NULL, on the clock of a simulation.
 *
 * Whatever waits in lib/client and in the control loops waits by a wakeup, so all of it can run
 * under a virtual clock: the simulation moves its clock and calls wakeup_run_due(). */
#pragma once

#include <uv.h>

#include "lib/base/clock.h"

struct wakeup;
typedef void wakeup_fire(void *user);

struct wakeup *wakeup_create(uv_loop_t *loop, struct clock *clock, wakeup_fire *fire, void *user);
void wakeup_destroy(struct wakeup *w); /* NULL allowed; may be called from inside fire */
/* Fires once, delay_ms from now, never inside this call. Armed already: the new time replaces it.
 */
void wakeup_in(struct wakeup *w, int64_t delay_ms);
void wakeup_at(struct wakeup *w, int64_t mono_ns);
void wakeup_cancel(struct wakeup *w);
bool wakeup_armed(const struct wakeup *w);

/* Simulation: fires what is due on this clock, in order of time, and returns when the next one is
 * due (monotonic ns; INT64_MAX = none). */
int64_t wakeup_run_due(struct clock *clock);

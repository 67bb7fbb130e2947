/* workqueue.h - keys to reconcile: de-duplicated, one worker a key at a time, rate-limited on
 * failure (5 ms doubling to 1000 s), delayed adds. Pure but for the clock and timer that are passed
 * in. */
#pragma once

#include <uv.h>

#include "lib/base/clock.h"

struct workqueue;
/* Called for one key; the work ends (now or later) with workqueue_done, exactly once. A key added
 * meanwhile is run again after that. */
typedef void workqueue_work(void *user, const char *key);
struct workqueue *workqueue_create(uv_loop_t *loop, struct clock *clock, const char *name,
	unsigned workers /* keys at the same time */, workqueue_work *work, void *user);
/* Keys under way are forgotten: their owner cancels the work and calls workqueue_done no more. */
void workqueue_destroy(struct workqueue *q);
void workqueue_add(struct workqueue *q, const char *key);
void workqueue_add_after(
	struct workqueue *q, const char *key, int64_t delay_ms); /* earliest wins */
/* failed: run again after its back-off; else the back-off is forgotten. */
void workqueue_done(struct workqueue *q, const char *key, bool failed);
/* Of a key under way, before it is done: it is not run again within this time, whoever adds it. */
void workqueue_rest(struct workqueue *q, const char *key, int64_t rest_ms);
void workqueue_start(struct workqueue *q);	    /* nothing runs before (informers sync first) */
size_t workqueue_length(const struct workqueue *q); /* waiting to run now, and running */
/* For simulation without a loop (loop NULL): runs what is due now, returns when the next is due
 * (monotonic ns; INT64_MAX = nothing). */
int64_t workqueue_run_due(struct workqueue *q);

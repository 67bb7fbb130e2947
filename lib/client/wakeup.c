#include "lib/client/wakeup.h"

#include "lib/base/list.h"

struct wakeup {
	uv_timer_t timer; /* unused without a loop */
	uv_loop_t *loop;
	struct clock *clock;
	wakeup_fire *fire;
	void *user;
	bool armed;
	bool firing; /* a timer started with 0 now would run again before anything else of the loop
		      */
	int64_t due_ns;
	uint64_t order;	  /* among equal times, first armed fires first */
	struct list link; /* in `simulated` while armed without a loop */
};

/* Armed wakeups of all simulated clocks of the (single-threaded) test process. */
static struct list simulated = {&simulated, &simulated};
static uint64_t next_order;

struct wakeup *wakeup_create(uv_loop_t *loop, struct clock *clock, wakeup_fire *fire, void *user)
{
	struct wakeup *w = xcalloc(1, sizeof(*w));
	w->loop = loop;
	w->clock = clock;
	w->fire = fire;
	w->user = user;
	list_init(&w->link);
	if (loop) {
		uv_timer_init(loop, &w->timer);
		w->timer.data = w;
	}
	return w;
}

static void on_closed(uv_handle_t *h)
{
	free(h->data);
}

void wakeup_destroy(struct wakeup *w)
{
	if (!w)
		return;
	list_remove(&w->link);
	if (!w->loop) {
		free(w);
		return;
	}
	w->armed = false;
	uv_close((uv_handle_t *)&w->timer, on_closed);
}

static void on_timer(uv_timer_t *t)
{
	struct wakeup *w = t->data;
	/* uv counts whole milliseconds of its own cached time: it may be early by less than one. */
	int64_t left_ns = w->due_ns - w->clock->mono_ns(w->clock);
	if (left_ns > 0) {
		uv_timer_start(t, on_timer, (uint64_t)(left_ns / NS_PER_MS + 1), 0);
		return;
	}
	w->armed = false;
	w->firing = true;
	w->fire(w->user);
	w->firing = false;
}

void wakeup_at(struct wakeup *w, int64_t mono_ns)
{
	w->due_ns = mono_ns;
	w->armed = true;
	if (!w->loop) {
		list_remove(&w->link);
		w->order = next_order++;
		list_append(&simulated, &w->link);
		return;
	}
	int64_t left_ns = mono_ns - w->clock->mono_ns(w->clock);
	uint64_t ms = left_ns > 0 ? (uint64_t)((left_ns + NS_PER_MS - 1) / NS_PER_MS)
		      : w->firing ? 1
				  : 0;
	uv_timer_start(&w->timer, on_timer, ms, 0);
}

void wakeup_in(struct wakeup *w, int64_t delay_ms)
{
	wakeup_at(w, w->clock->mono_ns(w->clock) + delay_ms * NS_PER_MS);
}

void wakeup_cancel(struct wakeup *w)
{
	w->armed = false;
	if (w->loop)
		uv_timer_stop(&w->timer);
	else
		list_remove(&w->link);
}

bool wakeup_armed(const struct wakeup *w)
{
	return w->armed;
}

int64_t wakeup_run_due(struct clock *clock)
{
	for (;;) {
		struct wakeup *first = NULL;
		LIST_FOR_EACH(w, &simulated, struct wakeup, link) {
			if (w->clock != clock)
				continue;
			if (!first || w->due_ns < first->due_ns ||
				(w->due_ns == first->due_ns && w->order < first->order))
				first = w;
		}
		if (!first)
			return INT64_MAX;
		if (first->due_ns > clock->mono_ns(clock))
			return first->due_ns;
		list_remove(&first->link);
		first->armed = false;
		first->fire(first->user);
	}
}

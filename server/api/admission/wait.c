/* wait.c - writes that were refused only because something that is made by a control loop is not
 * there yet: they try again when an object of that kind appears in their namespace, and give up
 * after a second. */
#include "server/api/admission/admission_internal.h"

#define WAIT_MS 1000

struct admission_wait {
	struct list link; /* in admission.waits; empty when it is being closed */
	struct cache_watcher *watcher;
	uv_timer_t timer;
	void (*again)(void *user);
	void *user;
};

static void closed(uv_handle_t *h)
{
	free(CONTAINER_OF(h, struct admission_wait, timer));
}

static void fire(struct admission_wait *w)
{
	list_remove(&w->link);
	cache_watch_close(w->watcher);
	uv_close((uv_handle_t *)&w->timer, closed);
	w->again(w->user);
}

static void on_timer(uv_timer_t *h)
{
	fire(CONTAINER_OF(h, struct admission_wait, timer));
}

static void on_notify(void *user)
{
	struct admission_wait *w = user;
	struct cache_event e;
	int r;
	bool seen = false;
	while ((r = cache_watch_next(w->watcher, &e)) > 0)
		seen = true;
	/* Not from inside the cache's round of notifications. */
	if (seen || r < 0)
		uv_timer_start(&w->timer, on_timer, 0, 0);
}

bool admission_wait(struct api_request *req, void (*again)(void *user), void *user)
{
	struct api *api = req->api;
	const struct kind *kind = TAKE_PTR(req->awaits);
	if (!kind || req->waited || api->stopping)
		return false;
	req->waited = true;
	struct admission_wait *w = xcalloc(1, sizeof(*w));
	w->again = again;
	w->user = user;
	if (cache_watch(api->cache,
		    &(struct cache_watch_options){
			    .kind = kind,
			    .namespace = req->route.namespace,
			    .since = cache_revision(api->cache),
		    },
		    on_notify, w, &w->watcher) < 0) {
		free(w);
		return false;
	}
	list_append(&api->admission->waits, &w->link);
	uv_timer_init(api->loop, &w->timer);
	uv_timer_start(&w->timer, on_timer, WAIT_MS, 0);
	return true;
}

void admission_waits_end(struct admission *a)
{
	while (!list_empty(&a->waits))
		fire(CONTAINER_OF(a->waits.next, struct admission_wait, link));
}

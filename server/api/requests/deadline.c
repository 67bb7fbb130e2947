#include "server/api/requests/deadline.h"

#include "server/api/api_internal.h"

/* Both lists are ordered by when they end: the usual time is the same for all, so that most
 * requests are put at an end; those with a time of their own are found a place. */
struct deadlines {
	struct api *api;
	uv_timer_t timer;
	uint64_t fires_ms; /* the timer, while it is active */
	struct list usual, own;
};

static struct api_request *first_of(struct list *l)
{
	return list_empty(l) ? NULL : CONTAINER_OF(l->next, struct api_request, deadline);
}

static struct api_request *next_to_end(struct deadlines *d)
{
	struct api_request *usual = first_of(&d->usual), *own = first_of(&d->own);
	if (!usual || !own)
		return usual ? usual : own;
	return own->ends_ms < usual->ends_ms ? own : usual;
}

/* In memory of our own: the request's is still being worked with. */
static void answer_late(struct api_request *req)
{
	struct arena a = ARENA_INIT;
	struct status st = {0};
	_cleanup_(buf_finish) struct buf out = BUF_INIT;
	status_set(&a, &st, 504, "Timeout",
		"Timeout: request did not complete within the allotted timeout");
	json_set(&a, st.doc, "details", json_new_object(&a));
	json_write(&out, st.doc);
	buf_add_char(&out, '\n');
	if (http_respond_early(req->http, 504, "application/json", api_http_headers(req, NULL),
		    out.data, out.size)) {
		api_count_answer(req, 504);
		req->late = true;
	}
	arena_finish(&a);
}

static void on_timer(uv_timer_t *timer);

static void timer_set(struct deadlines *d)
{
	struct api_request *req = next_to_end(d);
	if (!req)
		return;
	uint64_t now = uv_now(d->api->loop);
	d->fires_ms = req->ends_ms;
	uv_timer_start(&d->timer, on_timer, req->ends_ms > now ? req->ends_ms - now : 0, 0);
}

/* Often for nothing: it stays as it is when the request that it was set for is answered. */
static void on_timer(uv_timer_t *timer)
{
	struct deadlines *d = timer->data;
	uint64_t now = uv_now(d->api->loop);
	struct api_request *req;
	while ((req = next_to_end(d)) && req->ends_ms <= now) {
		list_remove(&req->deadline);
		answer_late(req);
	}
	timer_set(d);
}

struct deadlines *deadlines_create(struct api *api)
{
	struct deadlines *d = xcalloc(1, sizeof(*d));
	d->api = api;
	list_init(&d->usual);
	list_init(&d->own);
	uv_timer_init(api->loop, &d->timer);
	uv_unref((uv_handle_t *)&d->timer);
	d->timer.data = d;
	return d;
}

static void on_closed(uv_handle_t *timer)
{
	free(timer->data);
}

void deadlines_close(struct deadlines *d)
{
	if (!d)
		return;
	LIST_FOR_EACH(req, &d->usual, struct api_request, deadline)
		list_remove(&req->deadline);
	LIST_FOR_EACH(req, &d->own, struct api_request, deadline)
		list_remove(&req->deadline);
	uv_close((uv_handle_t *)&d->timer, on_closed);
}

int deadline_read(struct api_request *req)
{
	const char *text = query_get(&req->query, "timeout");
	int64_t ns;
	if (!text || !*text)
		return 0;
	if (duration_parse(text, &ns) < 0)
		return status_bad_request(
			req->arena, &req->st, "invalid timeout specified in the request URL");
	/* None, as upstream takes it: the server's holds. */
	if (ns > 0)
		req->timeout_ms = (uint64_t)(ns / NS_PER_MS + (ns % NS_PER_MS > 0));
	return 0;
}

void deadline_start(struct api_request *req)
{
	struct deadlines *d = req->api->deadlines;
	uint64_t usual_ms = req->api->options.request_timeout_ms;
	if (!d)
		return;
	bool own = req->timeout_ms && (usual_ms == 0 || req->timeout_ms < usual_ms);
	if (!own && usual_ms == 0)
		return;
	req->ends_ms = uv_now(req->api->loop) + (own ? req->timeout_ms : usual_ms);
	struct list *place = own ? &d->own : &d->usual;
	while (own && place->prev != &d->own &&
		CONTAINER_OF(place->prev, struct api_request, deadline)->ends_ms > req->ends_ms)
		place = place->prev;
	list_append(place, &req->deadline);
	if (!uv_is_active((uv_handle_t *)&d->timer) || req->ends_ms < d->fires_ms)
		timer_set(d);
}

void deadline_stop(struct api_request *req)
{
	list_remove(&req->deadline);
}

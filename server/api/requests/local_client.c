/* local_client.c - lib/client's transport for the process that serves the API: requests go straight
 * to api_handle, lists and watches to the cache. Answers wait in a queue until the next turn of the
 * loop, so that no callback runs inside the call that caused it. */
#include "lib/base/log.h"
#include "server/api/api_internal.h"

struct local_client {
	struct client client;
	struct api *api;
	uv_idle_t *idle; /* runs while `due` holds anything; own memory, it outlives us for its
			    close */
	struct list due; /* struct client_call.queued, struct client_watch.queued */
	size_t calls;	 /* that have not been freed: a write may be on its way to the disk */
	bool destroyed;	 /* only waits for the last of them */
};

/* What the queue holds. */
struct queued {
	struct list in;
	void (*run)(struct queued *q);
};

struct client_call {
	struct queued queued;
	struct local_client *local;
	struct arena arena;
	bool cancelled, answered;
	struct api_request *req;
	/* request */
	client_done *done;
	void *user;
	int code;
	struct buf body;
	/* list */
	client_list_done *list_done;
	struct cache_page page;
	const char *message;
};

struct client_watch {
	struct queued queued;
	struct local_client *local;
	struct arena arena;
	struct client_watch_handler handler;
	void *user;
	struct cache_watcher *watcher; /* NULL when the watch could not begin */
	int refused;		       /* HTTP code of that */
	const char *message;
	bool pumping, closed;
};

static struct local_client *local_of(struct client *c)
{
	return CONTAINER_OF(c, struct local_client, client);
}

static void on_idle(uv_idle_t *idle)
{
	struct local_client *l = idle->data;
	/* What these callbacks queue waits for the next turn. */
	struct list now;
	list_init(&now);
	LIST_FOR_EACH(q, &l->due, struct queued, in) {
		list_remove(&q->in);
		list_append(&now, &q->in);
	}
	while (!list_empty(&now)) {
		struct queued *q = CONTAINER_OF(now.next, struct queued, in);
		list_remove(&q->in);
		q->run(q);
	}
	if (idle->data && list_empty(&l->due))
		uv_idle_stop(idle);
}

static void idle_closed(uv_handle_t *h)
{
	free(h);
}

static void free_when_unused(struct local_client *l)
{
	if (!l->destroyed || l->calls > 0)
		return;
	l->idle->data = NULL;
	uv_idle_stop(l->idle);
	uv_close((uv_handle_t *)l->idle, idle_closed);
	free(l);
}

static void queue(struct local_client *l, struct queued *q)
{
	if (!list_empty(&q->in))
		return;
	list_append(&l->due, &q->in);
	uv_idle_start(l->idle, on_idle);
}

static struct client_call *call_new(
	struct local_client *l, void (*run)(struct queued *q), void *user)
{
	struct client_call *call = xcalloc(1, sizeof(*call));
	list_init(&call->queued.in);
	call->queued.run = run;
	call->local = l;
	call->user = user;
	l->calls++;
	return call;
}

static void call_free(struct client_call *call)
{
	struct local_client *l = call->local;
	list_remove(&call->queued.in);
	for (size_t i = 0; i < call->page.count; i++)
		object_unref(call->page.items[i]);
	buf_finish(&call->body);
	arena_finish(&call->arena);
	free(call);
	l->calls--;
	free_when_unused(l);
}

/* Failure's words out of the Status body. */
static void read_failure(struct client_call *call, struct client_result *r)
{
	struct json *st;
	r->reason = r->message = "";
	if (r->code < 400 || json_parse(&call->arena, r->body, r->body_size, NULL, &st, NULL) < 0)
		return;
	r->reason = json_str_or(json_get(st, "reason"), "");
	r->message = json_str_or(json_get(st, "message"), "");
}

static void run_answer(struct queued *q)
{
	struct client_call *call = CONTAINER_OF(q, struct client_call, queued);
	struct client_result r = {
		.code = call->code,
		.body = call->body.data ? call->body.data : "",
		.body_size = call->body.size,
	};
	read_failure(call, &r);
	if (call->cancelled || call->local->destroyed) {
		call_free(call);
		return;
	}
	if (call->done)
		call->done(call->user, &r);
	else if (!client_ok(&r))
		log_warn("request failed", "client", call->local->client.user_agent, "method",
			call->req->method, "path", call->req->path, "message", r.message, NULL);
	call_free(call);
}

static void respond(struct api_request *req, int code, const char *content_type, const char *extra,
	const struct http_part *parts, size_t count)
{
	struct client_call *call = req->caller;
	call->code = code;
	call->answered = true;
	for (size_t i = 0; i < count; i++) {
		if (parts[i].blob)
			buf_add(&call->body, parts[i].blob->data, parts[i].blob->size);
		else
			buf_add(&call->body, parts[i].text, parts[i].text_size);
	}
	queue(call->local, &call->queued);
}

static struct client_call *local_request(
	struct client *c, const struct client_request *cr, client_done *done, void *user)
{
	static const char *const masters[] = {"system:masters"};
	struct local_client *l = local_of(c);
	struct client_call *call = call_new(l, run_answer, user);
	call->done = done;
	struct arena *a = &call->arena;
	struct api_request *req = ARENA_NEW(a, struct api_request);
	char *path;
	if (percent_decode(a, str_from(cr->path), false, &path) < 0)
		path = arena_strdup(a, cr->path); /* which nothing is served at */
	*req = (struct api_request){
		.api = l->api,
		.arena = a,
		.method = arena_strdup(a, cr->method),
		.path = path,
		.query = query_parse(a, cr->query),
		.content_type = cr->content_type ? arena_strdup(a, cr->content_type) : NULL,
		.accept = cr->accept ? arena_strdup(a, cr->accept) : NULL,
		.user_agent = c->user_agent,
		.body = arena_memdup(a, cr->body ? cr->body : "", cr->body_size),
		.body_size = cr->body_size,
		.user = {.name = c->user_agent, .groups = (const char **)masters, .group_count = 1},
		.started_ns = l->api->clock->mono_ns(l->api->clock),
		.respond = respond,
		.caller = call,
	};
	call->req = req;
	api_handle(req);
	return call;
}

static void local_cancel(struct client *c, struct client_call *call)
{
	/* The write goes on; its answer goes nowhere. */
	call->cancelled = true;
	if (call->list_done)
		call_free(call);
}

static void run_list(struct queued *q)
{
	struct client_call *call = CONTAINER_OF(q, struct client_call, queued);
	struct client_list_result r = {
		.code = call->code,
		.message = call->message ? call->message : "",
		.items = call->page.items,
		.count = call->page.count,
		.revision = call->page.revision,
	};
	if (!call->local->destroyed)
		call->list_done(call->user, &r);
	call_free(call);
}

static int parse_selectors(struct arena *a, const struct kind *k, const char *labels,
	const char *fields, struct selector *ret_labels, struct selector *ret_fields, int *ret_code,
	const char **ret_message)
{
	struct status st = {0};
	int r = 0;
	*ret_labels = *ret_fields = (struct selector){0};
	if (labels && *labels)
		r = selector_parse_labels(a, labels, ret_labels, &st);
	if (r == 0 && fields && *fields)
		r = selector_parse_fields(a, k, fields, ret_fields, &st);
	if (r < 0) {
		*ret_code = st.code;
		*ret_message = json_str_or(json_get(st.doc, "message"), "");
	}
	return r;
}

static struct client_call *local_list(
	struct client *c, const struct client_list_options *o, client_list_done *done, void *user)
{
	struct local_client *l = local_of(c);
	struct client_call *call = call_new(l, run_list, user);
	call->list_done = done;
	struct selector labels, fields;
	if (parse_selectors(&call->arena, o->kind, o->label_selector, o->field_selector, &labels,
		    &fields, &call->code, &call->message) == 0) {
		cache_list(l->api->cache,
			&(struct cache_query){
				.kind = o->kind,
				.namespace = o->namespace,
				.labels = labels.count ? &labels : NULL,
				.fields = fields.count ? &fields : NULL,
			},
			&call->arena, &call->page);
		for (size_t i = 0; i < call->page.count; i++)
			object_ref(call->page.items[i]);
		call->code = 200;
	}
	queue(l, &call->queued);
	return call;
}

static void watch_free(struct client_watch *w)
{
	list_remove(&w->queued.in);
	cache_watch_close(w->watcher);
	arena_finish(&w->arena);
	free(w);
}

/* Ends the watch with an error event; the handler's `ended` may do anything but close it. */
static void watch_fail(struct client_watch *w, int code, const char *message)
{
	struct client_event e = {.type = CLIENT_ERROR, .code = code, .message = message};
	w->pumping = true;
	w->handler.event(w->user, &e);
	if (!w->closed)
		w->handler.ended(w->user);
	watch_free(w);
}

static void run_watch(struct queued *q)
{
	struct client_watch *w = CONTAINER_OF(q, struct client_watch, queued);
	static const int types[] = {[CACHE_ADDED] = CLIENT_ADDED,
		[CACHE_MODIFIED] = CLIENT_MODIFIED,
		[CACHE_DELETED] = CLIENT_DELETED};
	if (!w->watcher) {
		watch_fail(w, w->refused, w->message);
		return;
	}
	w->pumping = true;
	struct cache_event e;
	int r = 0;
	while (!w->closed && (r = cache_watch_next(w->watcher, &e)) > 0) {
		struct client_event ce = {
			.type = types[e.type], .object = e.object, .revision = e.revision};
		w->handler.event(w->user, &ce);
	}
	w->pumping = false;
	if (w->closed)
		watch_free(w);
	else if (r < 0)
		watch_fail(w, 410, "too old resource version");
}

static void on_notify(void *user)
{
	struct client_watch *w = user;
	queue(w->local, &w->queued);
}

static struct client_watch *local_watch(struct client *c, const struct client_watch_options *o,
	const struct client_watch_handler *h, void *user)
{
	struct local_client *l = local_of(c);
	struct client_watch *w = xcalloc(1, sizeof(*w));
	list_init(&w->queued.in);
	w->queued.run = run_watch;
	w->local = l;
	w->handler = *h;
	w->user = user;
	struct selector labels, fields;
	if (parse_selectors(&w->arena, o->kind, o->label_selector, o->field_selector, &labels,
		    &fields, &w->refused, &w->message) == 0) {
		int r = cache_watch(l->api->cache,
			&(struct cache_watch_options){
				.kind = o->kind,
				.namespace = o->namespace,
				.labels = labels.count ? &labels : NULL,
				.fields = fields.count ? &fields : NULL,
				.since = o->since,
			},
			on_notify, w, &w->watcher);
		if (r < 0) {
			w->watcher = NULL;
			w->refused = 410;
			w->message = "too old resource version";
		}
	}
	queue(l, &w->queued); /* what happened since `since` is due already */
	return w;
}

static void local_watch_close(struct client *c, struct client_watch *w)
{
	if (w->pumping)
		w->closed = true; /* freed when the pump comes back */
	else
		watch_free(w);
}

static void local_destroy(struct client *c)
{
	struct local_client *l = local_of(c);
	l->destroyed = true;
	l->calls++; /* ours, so that the last one of these does not free what is in use here */
	while (!list_empty(&l->due)) {
		struct queued *q = CONTAINER_OF(l->due.next, struct queued, in);
		list_remove(&q->in);
		if (q->run == run_answer || q->run == run_list)
			call_free(CONTAINER_OF(q, struct client_call, queued));
	}
	l->calls--;
	free_when_unused(l);
}

static const struct client_ops local_ops = {
	.request = local_request,
	.cancel = local_cancel,
	.list = local_list,
	.watch = local_watch,
	.watch_close = local_watch_close,
	.destroy = local_destroy,
};

struct client *local_client_create(struct api *api, const char *user_agent)
{
	struct local_client *l = xcalloc(1, sizeof(*l));
	l->client = (struct client){
		.ops = &local_ops,
		.loop = api->loop,
		.kinds = api->kinds,
		.clock = api->clock,
		.user_agent = user_agent,
	};
	l->api = api;
	list_init(&l->due);
	l->idle = xcalloc(1, sizeof(*l->idle));
	uv_idle_init(api->loop, l->idle);
	l->idle->data = l;
	return &l->client;
}

#include <inttypes.h>

#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/base/vec.h"
#include "lib/client/client.h"
#include "lib/client/endpoint.h"
#include "lib/http/http_client.h"

#define PAGE_ITEMS 500
#define CALL_TIMEOUT_MS 30000
/* One line of a watch: an object (at most 3 MiB as sent, more once escaped) and its envelope. */
#define LINE_MAX_BYTES (16u << 20)
#define ERROR_BODY_MAX_BYTES (64u << 10)

struct https_client {
	struct client base;
	struct http_endpoint *endpoint;
	char *prefix;	    /* path prefix of the server's URL */
	char *host;	    /* "10.0.0.1:6443" */
	char *auth_headers; /* "Authorization: Bearer ...\r\n" or "" */
	char *user_agent;
	struct list calls, watches;
};

struct client_call {
	struct https_client *h;
	struct list link;
	struct http_call *http;
	char method[8];
	client_done *done;
	client_list_done *list_done; /* lists only */
	void *user;

	/* lists: what came so far */
	const struct kind *kind;
	char *base_query; /* selectors; "" = none */
	char *path;
	VEC(struct object *) items;
	unsigned restarts; /* after expired continue tokens */
};

struct client_watch {
	struct https_client *h;
	struct list link;
	struct http_call *http;
	const struct kind *kind;
	const struct client_watch_handler *handler;
	void *user;
	struct buf pending; /* an unfinished line */
	struct arena arena; /* of the line at hand */
	int status;	    /* of the answer; 0 before */
	bool in_event;	    /* handler is running: closing waits for its return */
	bool closed;	    /* by the user: nothing more is reported */
	bool failed;	    /* an error event was reported: only `ended` follows */
};

static char *make_headers(
	struct arena *a, struct https_client *h, const char *content_type, const char *accept)
{
	return arena_printf(a, "%s%s%s%sAccept: %s\r\nUser-Agent: %s\r\n",
		h->auth_headers ? h->auth_headers : "", content_type ? "Content-Type: " : "",
		content_type ? content_type : "", content_type ? "\r\n" : "",
		accept ? accept : "application/json", h->user_agent);
}

static void tell_answer(struct https_client *h, const char *method, int code)
{
	if (h->base.answered)
		h->base.answered(h->host, method, code);
}

static void call_free(struct client_call *call)
{
	list_remove(&call->link);
	for (size_t n = 0; n < call->items.count; n++)
		object_unref(call->items.items[n]);
	VEC_FINISH(&call->items);
	free(call->base_query);
	free(call->path);
	free(call);
}

static struct client_call *call_new(struct https_client *h, void *user)
{
	struct client_call *call = xcalloc(1, sizeof(*call));
	call->h = h;
	call->user = user;
	list_append(&h->calls, &call->link);
	return call;
}

/* What a failed answer says about itself. */
static void read_status(struct arena *a, const struct http_response *r, struct client_result *ret)
{
	struct json *doc;
	ret->reason = "Unknown";
	ret->message = arena_printf(a, "the server answered %d", r->status);
	if (json_parse(a, r->body, r->body_size, NULL, &doc, NULL) < 0)
		return;
	ret->reason = json_str_or(json_get(doc, "reason"), ret->reason);
	ret->message = json_str_or(json_get(doc, "message"), ret->message);
}

static void on_request_done(void *user, const struct http_response *r, const struct err *err)
{
	struct client_call *call = user;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct client_result res = {.body = "", .reason = "", .message = ""};
	if (!r) {
		res.message = err->msg;
	} else {
		res.code = r->status;
		res.body = r->body;
		res.body_size = r->body_size;
		if (!client_ok(&res))
			read_status(&a, r, &res);
	}
	tell_answer(call->h, call->method, res.code);
	client_done *done = call->done;
	void *done_user = call->user;
	call_free(call);
	done(done_user, &res);
}

static struct client_call *https_request(
	struct client *c, const struct client_request *req, client_done *done, void *user)
{
	struct https_client *h = CONTAINER_OF(c, struct https_client, base);
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct client_call *call = call_new(h, user);
	call->done = done;
	snprintf(call->method, sizeof(call->method), "%s", req->method);
	const char *type = req->content_type ? req->content_type : "application/json";
	struct http_call_options o = {
		.method = req->method,
		.target = arena_printf(&a, "%s%s%s%s", h->prefix, req->path,
			req->query && req->query[0] ? "?" : "", req->query ? req->query : ""),
		.headers = make_headers(&a, h, req->body_size ? type : NULL, req->accept),
		.body = req->body,
		.body_size = req->body_size,
		.timeout_ms = req->timeout_ms ? req->timeout_ms : CALL_TIMEOUT_MS,
		.done = on_request_done,
		.user = call,
	};
	call->http = http_call(h->endpoint, &o);
	return call;
}

static void https_cancel(struct client *c, struct client_call *call)
{
	if (call->http)
		http_call_cancel(call->http);
	call_free(call);
}

/* Lists. */

static void list_page(struct client_call *call, const char *continue_token);

static void list_finish(struct client_call *call, int code, const char *message, uint64_t revision)
{
	struct client_list_result res = {
		.code = code,
		.message = message,
		.items = call->items.items,
		.count = call->items.count,
		.revision = revision,
	};
	/* The callback may destroy the client, and every call with it: this one is out of reach by
	 * then. */
	list_remove(&call->link);
	call->list_done(call->user, &res);
	call_free(call);
}

static uint64_t revision_of(const struct json *doc)
{
	uint64_t revision = 0;
	const char *text = json_path_str(doc, "metadata.resourceVersion");
	if (!text || parse_u64(str_from(text), &revision) < 0)
		return 0;
	return revision;
}

/* Reads a page's items; false when it is no list. */
static bool take_page(struct client_call *call, struct arena *a, const struct http_response *r,
	struct json **ret_doc, struct err *err)
{
	struct json_limits limits = JSON_LIMITS_DEFAULT;
	limits.size_bytes = 64u << 20;
	if (json_parse(a, r->body, r->body_size, &limits, ret_doc, err) < 0)
		return false;
	JSON_FOR_EACH_ITEM(item, json_get(*ret_doc, "items")) {
		if (!json_path_str(item, "metadata.name"))
			continue;
		struct object *o = object_new(call->kind, a, item, revision_of(item));
		VEC_PUSH(&call->items, o);
	}
	return true;
}

static void on_page(void *user, const struct http_response *r, const struct err *err)
{
	struct client_call *call = user;
	call->http = NULL;
	tell_answer(call->h, "GET", r ? r->status : 0);
	if (!r) {
		list_finish(call, 0, err->msg, 0);
		return;
	}
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	if (r->status == 410 && call->items.count && call->restarts++ < 3) {
		/* The continue token is too old: the pages so far belong to another revision. */
		for (size_t n = 0; n < call->items.count; n++)
			object_unref(call->items.items[n]);
		call->items.count = 0;
		list_page(call, NULL);
		return;
	}
	if (r->status != 200) {
		struct client_result res = {0};
		read_status(&a, r, &res);
		list_finish(call, r->status, res.message, 0);
		return;
	}
	struct json *doc;
	struct err parse_err = ERR_INIT;
	if (!take_page(call, &a, r, &doc, &parse_err)) {
		list_finish(call, 0, parse_err.msg, 0);
		return;
	}
	const char *token = json_path_str(doc, "metadata.continue");
	if (token && token[0])
		list_page(call, token);
	else
		list_finish(call, 200, "", revision_of(doc));
}

static void list_page(struct client_call *call, const char *continue_token)
{
	struct https_client *h = call->h;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct http_call_options o = {
		.method = "GET",
		.target = arena_printf(&a, "%s%s?limit=%d%s%s%s", h->prefix, call->path, PAGE_ITEMS,
			call->base_query, continue_token ? "&continue=" : "",
			continue_token ? percent_encode(&a, str_from(continue_token)) : ""),
		.headers = make_headers(&a, h, NULL, NULL),
		.timeout_ms = CALL_TIMEOUT_MS,
		.done = on_page,
		.user = call,
	};
	call->http = http_call(h->endpoint, &o);
}

/* "&labelSelector=...&fieldSelector=..." */
static char *selectors(struct arena *a, const char *labels, const char *fields)
{
	char *l = labels && labels[0] ? arena_printf(a, "&labelSelector=%s",
						percent_encode(a, str_from(labels)))
				      : arena_strdup(a, "");
	if (!fields || !fields[0])
		return l;
	return arena_printf(a, "%s&fieldSelector=%s", l, percent_encode(a, str_from(fields)));
}

static struct client_call *https_list(
	struct client *c, const struct client_list_options *o, client_list_done *done, void *user)
{
	struct https_client *h = CONTAINER_OF(c, struct https_client, base);
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct client_call *call = call_new(h, user);
	call->kind = o->kind;
	call->list_done = done;
	call->base_query = xstrdup(selectors(&a, o->label_selector, o->field_selector));
	call->path = xstrdup(client_path(&a, o->kind, o->namespace, NULL, NULL));
	list_page(call, NULL);
	return call;
}

/* Watches. */

static void watch_free(struct client_watch *w)
{
	if (w->http)
		http_call_cancel(w->http);
	list_remove(&w->link);
	buf_finish(&w->pending);
	arena_finish(&w->arena);
	free(w);
}

static void report(struct client_watch *w, const struct client_event *e)
{
	if (w->failed)
		return;
	w->failed = e->type == CLIENT_ERROR;
	w->handler->event(w->user, e);
}

static void report_error(struct client_watch *w, int code, const char *message)
{
	struct client_event e = {.type = CLIENT_ERROR, .code = code, .message = message};
	report(w, &e);
}

static void on_line(struct client_watch *w, const char *line, size_t size)
{
	static const char *const names[] = {[CLIENT_ADDED] = "ADDED",
		[CLIENT_MODIFIED] = "MODIFIED",
		[CLIENT_DELETED] = "DELETED",
		[CLIENT_BOOKMARK] = "BOOKMARK",
		[CLIENT_ERROR] = "ERROR"};
	struct json_limits limits = JSON_LIMITS_DEFAULT;
	limits.size_bytes = LINE_MAX_BYTES;
	struct json *doc;
	struct err err = ERR_INIT;
	arena_reset(&w->arena);
	if (json_parse(&w->arena, line, size, &limits, &doc, &err) < 0) {
		report_error(w, 0, err.msg);
		return;
	}
	const char *type = json_str_or(json_get(doc, "type"), "");
	struct json *object = json_get(doc, "object");
	if (streq(type, "ERROR")) {
		report_error(w, (int)json_path_int(object, "code", 500),
			json_str_or(json_get(object, "message"), "the watch failed"));
		return;
	}
	struct client_event e = {.revision = revision_of(object)};
	if (streq(type, "BOOKMARK")) {
		e.type = CLIENT_BOOKMARK;
		report(w, &e);
		return;
	}
	unsigned t = 0;
	while (t <= CLIENT_DELETED && !streq(type, names[t]))
		t++;
	if (t > CLIENT_DELETED || !json_path_str(object, "metadata.name")) {
		report_error(w, 0, "the server sent an event of an unknown form");
		return;
	}
	_cleanup_(object_unref_p) struct object *o =
		object_new(w->kind, &w->arena, object, e.revision);
	e.type = t;
	e.object = o;
	report(w, &e);
}

static void on_watch_begin(void *user, const struct http_response *r)
{
	struct client_watch *w = user;
	w->status = r->status;
}

static void on_watch_data(void *user, const char *p, size_t size)
{
	struct client_watch *w = user;
	if (w->status != 200) {
		if (w->pending.size < ERROR_BODY_MAX_BYTES)
			buf_add(&w->pending, p, MIN(size, ERROR_BODY_MAX_BYTES - w->pending.size));
		return;
	}
	w->in_event = true;
	const char *end = p + size;
	while (p < end && !w->closed && !w->failed) {
		const char *nl = memchr(p, '\n', (size_t)(end - p));
		size_t part = nl ? (size_t)(nl - p) : (size_t)(end - p);
		if (w->pending.size + part > LINE_MAX_BYTES) {
			report_error(w, 0, "the server sent an event larger than 16 MiB");
			break;
		}
		if (nl && !w->pending.size) {
			if (part)
				on_line(w, p, part);
		} else {
			buf_add(&w->pending, p, part);
			if (nl) {
				on_line(w, w->pending.data, w->pending.size);
				buf_clear(&w->pending);
			}
		}
		p += part + 1;
	}
	w->in_event = false;
	if (w->closed) {
		watch_free(w);
	} else if (w->failed) {
		const struct client_watch_handler *handler = w->handler;
		void *handler_user = w->user;
		watch_free(w);
		handler->ended(handler_user);
	}
}

static void on_watch_done(void *user, const struct http_response *r, const struct err *err)
{
	struct client_watch *w = user;
	w->http = NULL;
	w->in_event = true;
	tell_answer(w->h, "GET", w->status);
	if (r && w->status != 200) {
		struct http_response body = {.status = w->status,
			.body = w->pending.data ? w->pending.data : "",
			.body_size = w->pending.size};
		struct client_result res = {0};
		read_status(&w->arena, &body, &res);
		report_error(w, w->status, res.message);
	}
	w->in_event = false;
	const struct client_watch_handler *handler = w->handler;
	void *handler_user = w->user;
	bool closed = w->closed;
	watch_free(w);
	if (!closed)
		handler->ended(handler_user);
}

static struct client_watch *https_watch(struct client *c, const struct client_watch_options *o,
	const struct client_watch_handler *handler, void *user)
{
	struct https_client *h = CONTAINER_OF(c, struct https_client, base);
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct client_watch *w = xcalloc(1, sizeof(*w));
	w->h = h;
	w->kind = o->kind;
	w->handler = handler;
	w->user = user;
	list_append(&h->watches, &w->link);
	/* Spread over five minutes, so that the watches of many clients do not end together. */
	unsigned timeout_s = 300 + (unsigned)random_below(client_random(c), 300);
	struct http_call_options call = {
		.method = "GET",
		.target = arena_printf(&a,
			"%s%s?watch=true&allowWatchBookmarks=true&resourceVersion=%" PRIu64
			"&timeoutSeconds=%u%s",
			h->prefix, client_path(&a, o->kind, o->namespace, NULL, NULL), o->since,
			timeout_s, selectors(&a, o->label_selector, o->field_selector)),
		.headers = make_headers(&a, h, NULL, NULL),
		.timeout_ms = CALL_TIMEOUT_MS,
		.begin = on_watch_begin,
		.data = on_watch_data,
		.done = on_watch_done,
		.user = w,
	};
	w->http = http_call(h->endpoint, &call);
	return w;
}

static void https_watch_close(struct client *c, struct client_watch *w)
{
	w->closed = true;
	if (!w->in_event)
		watch_free(w);
}

static void https_destroy(struct client *c)
{
	struct https_client *h = CONTAINER_OF(c, struct https_client, base);
	LIST_FOR_EACH(call, &h->calls, struct client_call, link)
		https_cancel(c, call);
	LIST_FOR_EACH(w, &h->watches, struct client_watch, link) {
		if (!w->in_event) {
			watch_free(w);
			continue;
		}
		/* Called from its own event: freed when that returns. */
		w->closed = true;
		list_remove(&w->link);
		if (w->http)
			http_call_cancel(TAKE_PTR(w->http));
	}
	http_endpoint_destroy(h->endpoint);
	free(h->prefix);
	free(h->host);
	if (h->auth_headers)
		explicit_bzero(h->auth_headers, strlen(h->auth_headers));
	free(h->auth_headers);
	free(h->user_agent);
	free(h);
}

static const struct client_ops https_ops = {
	.request = https_request,
	.cancel = https_cancel,
	.list = https_list,
	.watch = https_watch,
	.watch_close = https_watch_close,
	.destroy = https_destroy,
};

struct http_endpoint *client_https_endpoint(struct client *c, const char **ret_headers)
{
	if (c->ops != &https_ops)
		return NULL;
	struct https_client *h = CONTAINER_OF(c, struct https_client, base);
	*ret_headers = h->auth_headers;
	return h->endpoint;
}

static int create(uv_loop_t *loop, const struct kind_registry *kinds, const struct kubeconfig *k,
	const char *user_agent, struct client **ret, struct err *err)
{
	struct http_endpoint *endpoint = NULL;
	int r = client_endpoint_create(loop, k, &endpoint, err);
	if (r < 0)
		return r;
	struct https_client *h = xcalloc(1, sizeof(*h));
	h->base.ops = &https_ops;
	h->base.loop = loop;
	h->base.kinds = kinds;
	h->base.clock = clock_system();
	h->user_agent = xstrdup(user_agent);
	h->base.user_agent = h->user_agent;
	h->prefix = xstrdup(k->path);
	h->host = xstrdup(k->host);
	h->auth_headers = client_auth_headers(k);
	h->endpoint = endpoint;
	list_init(&h->calls);
	list_init(&h->watches);
	*ret = &h->base;
	return 0;
}

int client_https_create(uv_loop_t *loop, const struct kind_registry *kinds,
	const char *kubeconfig_path, const char *user_agent, struct client **ret, struct err *err)
{
	struct kubeconfig k;
	int r = kubeconfig_load(kubeconfig_path, NULL, &k, err);
	if (r < 0)
		return r;
	r = create(loop, kinds, &k, user_agent, ret, err);
	kubeconfig_finish(&k);
	return r;
}

/* http_proxy.c - see http_proxy.h.
 *
 *	asked ---> relaying ---> over       an ordinary answer: header, then pieces
 *	   \                      ^
 *	    `----> joined --------'         101: both connections become one stream
 *
 * Either side may go away at any time; whoever is left is told. */
#include "lib/http/http_proxy.h"

#include <stdio.h>
#include <strings.h>

struct proxy {
	struct http_request *req; /* NULL once the client was answered or went away */
	struct http_endpoint *endpoint;
	struct http_call *call; /* NULL once over */
	struct arena arena;
	const char *prefix, *extra;
	void (*failed)(struct http_request *req, const struct err *err, void *user);
	void *user;
	bool begun;
	uv_idle_t end; /* frees us outside of the endpoint's callbacks */
};

/* Of one connection only, and what we authenticated by: that is for us alone. */
static bool is_private(const struct http_header *headers, size_t count, const char *name)
{
	static const char *const names[] = {"connection", "keep-alive", "proxy-connection",
		"proxy-authenticate", "proxy-authorization", "te", "trailer", "transfer-encoding",
		"upgrade", "host", "content-length", "expect", "authorization", "http2-settings"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (strcasecmp(names[i], name) == 0)
			return true;
	if (strncasecmp(name, "impersonate-", 12) == 0)
		return true;
	for (size_t i = 0; i < count; i++)
		if (strcasecmp(headers[i].name, "connection") == 0 &&
			http_list_has(headers[i].value, name))
			return true;
	return false;
}

static void proxy_closed(uv_handle_t *h)
{
	struct proxy *p = CONTAINER_OF((uv_idle_t *)h, struct proxy, end);
	arena_finish(&p->arena);
	free(p);
}

static void on_end(uv_idle_t *idle)
{
	struct proxy *p = CONTAINER_OF(idle, struct proxy, end);
	uv_idle_stop(idle);
	http_endpoint_destroy(p->endpoint);
	uv_close((uv_handle_t *)idle, proxy_closed);
}

static void proxy_end(struct proxy *p)
{
	uv_idle_start(&p->end, on_end);
}

static struct http_request *take_request(struct proxy *p)
{
	struct http_request *req = TAKE_PTR(p->req);
	req->user = NULL;
	req->cancelled = NULL;
	return req;
}

static void on_client_gone(struct http_request *req)
{
	struct proxy *p = req->user;
	(void)take_request(p);
	if (p->call)
		http_call_cancel(p->call);
	p->call = NULL;
	http_abort(req);
	proxy_end(p);
}

static void on_client_drained(struct http_request *req)
{
	struct proxy *p = req->user;
	if (p && p->call)
		http_call_resume(p->call);
}

/* A redirect to a path of that server leads, for the client, below the prefix. */
static const char *rewrite_location(struct proxy *p, const char *location)
{
	const char *host = strstr(location, "://");
	if (!p->prefix)
		return location;
	if (host && (strncasecmp(location, "http://", 7) == 0 ||
			    strncasecmp(location, "https://", 8) == 0)) {
		host += 3;
		size_t size = strcspn(host, "/?#");
		const char *ours = http_endpoint_host(p->endpoint);
		if (size != strlen(ours) || strncasecmp(host, ours, size) != 0)
			return location;
		location = host + size;
	} else if (location[0] != '/' || location[1] == '/') {
		return location;
	}
	return arena_printf(&p->arena, "%s%s%s", p->prefix, *location == '/' ? "" : "/", location);
}

static const char *answer_headers(struct proxy *p, const struct http_response *r, bool upgraded)
{
	_cleanup_(buf_finish) struct buf out = BUF_INIT;
	buf_add_str(&out, p->extra);
	for (size_t i = 0; i < r->header_count; i++) {
		const struct http_header *h = &r->headers[i];
		const char *value = h->value;
		/* These we write ourselves. */
		if (strcasecmp(h->name, "date") == 0 ||
			(!upgraded && strcasecmp(h->name, "content-type") == 0) ||
			is_private(r->headers, r->header_count, h->name))
			continue;
		if (strcasecmp(h->name, "location") == 0)
			value = rewrite_location(p, value);
		buf_printf(&out, "%s: %s\r\n", h->name, value);
	}
	return arena_memdup(&p->arena, out.data ? out.data : "", out.size);
}

static void on_begin(void *user, const struct http_response *r)
{
	struct proxy *p = user;
	if (!p->req)
		return;
	p->begun = true;
	if (r->status == 204 || r->status == 304) { /* they have no body, nor framing for one */
		http_respond(
			take_request(p), r->status, NULL, answer_headers(p, r, false), NULL, 0);
		return;
	}
	http_stream_begin(p->req, r->status, http_response_header(r, "Content-Type"),
		answer_headers(p, r, false));
	http_stream_on_drained(p->req, on_client_drained);
}

static void on_data(void *user, const char *data, size_t size)
{
	struct proxy *p = user;
	if (!p->req)
		return;
	http_stream_write(p->req, data, size);
	if (http_stream_queued(p->req) > STREAM_HIGH_BYTES)
		http_call_pause(p->call);
}

static void on_done(void *user, const struct http_response *r, const struct err *err)
{
	struct proxy *p = user;
	p->call = NULL;
	if (p->req) {
		struct http_request *req = take_request(p);
		if (r)
			http_stream_end(req);
		else if (p->begun)
			http_abort(req); /* cut short: it must not be taken for the whole */
		else
			p->failed(req, err, p->user);
	}
	proxy_end(p);
}

static void on_upgraded(void *user, struct stream *there, const struct http_response *r)
{
	struct proxy *p = user;
	p->call = NULL;
	struct stream *here = NULL;
	if (p->req) {
		const char *protocol = http_response_header(r, "Upgrade");
		here = http_upgrade(take_request(p), protocol ? protocol : "websocket",
			answer_headers(p, r, true));
	}
	if (here)
		stream_join(here, there, NULL, NULL);
	else
		stream_close(there);
	proxy_end(p);
}

static const char *request_headers(struct proxy *p, const char *upgrade)
{
	const struct http_request *req = p->req;
	_cleanup_(buf_finish) struct buf out = BUF_INIT;
	_cleanup_(buf_finish) struct buf via = BUF_INIT; /* who it has come through before */
	for (size_t i = 0; i < req->header_count; i++) {
		const struct http_header *h = &req->headers[i];
		if (strcasecmp(h->name, "x-forwarded-for") == 0)
			buf_printf(&via, "%s, ", h->value);
		else if (p->prefix && strcasecmp(h->name, "x-forwarded-uri") == 0)
			continue; /* ours is the one that is true */
		else if (!is_private(req->headers, req->header_count, h->name))
			buf_printf(&out, "%s: %s\r\n", h->name, h->value);
	}
	if (upgrade)
		buf_printf(&out, "Connection: Upgrade\r\nUpgrade: %s\r\n", upgrade);
	const char *port = strrchr(req->peer_address, ':');
	if (port)
		buf_printf(&out, "X-Forwarded-For: %s%.*s\r\n", via.size ? via.data : "",
			(int)(port - req->peer_address), req->peer_address);
	/* As it was sent: the decoded path may hold line ends. */
	if (p->prefix)
		buf_printf(&out, "X-Forwarded-Uri: %.*s\r\n", (int)strcspn(req->target, "?"),
			req->target);
	return arena_memdup(&p->arena, out.data ? out.data : "", out.size);
}

void http_proxy(struct http_request *req, const struct http_proxy_options *o)
{
	struct proxy *p = xcalloc(1, sizeof(*p));
	const char *upgrade = NULL;
	p->req = req;
	p->prefix = o->prefix ? arena_strdup(&p->arena, o->prefix) : NULL;
	p->extra = arena_strdup(&p->arena, o->extra ? o->extra : "");
	p->failed = o->failed;
	p->user = o->user;
	uv_idle_init(o->loop, &p->end);
	p->endpoint = http_endpoint_create(&(struct http_endpoint_options){
		.loop = o->loop,
		.address = o->address,
		.tls = o->tls,
		.tls_name = o->tls_name,
		.host = o->host,
		.max_idle = 1,
	});
	req->user = p;
	req->cancelled = on_client_gone;
	bool upgrades = http_wants_upgrade(req, &upgrade);
	p->call = http_call(
		p->endpoint, &(struct http_call_options){
				     .method = req->method,
				     .target = o->target,
				     .headers = request_headers(p, upgrade),
				     .body = req->body,
				     .body_size = req->body_size,
				     .timeout_ms = o->timeout_ms ? o->timeout_ms : HTTP_NO_TIMEOUT,
				     .begin = on_begin,
				     .data = on_data,
				     .done = on_done,
				     .upgraded = upgrades ? on_upgraded : NULL,
				     .user = p,
			     });
}

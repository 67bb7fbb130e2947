#include "lib/http/http_client.h"

#include "lib/base/buf.h"
#include "lib/base/list.h"
#include "lib/base/str.h"

#include <openssl/ssl.h>
#include <strings.h>

#define TIMEOUT_MS 30000
#define BODY_MAX_BYTES (64u << 20)
#define MAX_IDLE 8
#define INTERIM_MAX 16 /* answers of 1xx before the one proper: each takes memory until the end */

/* A call:
 *
 *     CONNECT --> HEAD --> BODY --> OVER
 *        |         |        |        ^
 *        +---------+--------+--------+    failure, cancel, upgrade
 *
 * From CONNECT and HEAD it may start again on a new connection, when an idle one turned out to be
 * closed. OVER lasts while a callback of the call is running, or until the loop tells `done`. */
enum call_state { CALL_CONNECT, CALL_HEAD, CALL_BODY, CALL_OVER };

struct http_endpoint {
	uv_loop_t *loop;
	char *address, *tls_name, *host;
	SSL_CTX *tls;
	unsigned max_idle, idle_count;
	struct list idle;  /* connections */
	struct list calls; /* not OVER */
	struct list due;   /* OVER, whose done(error) is to be called from the loop */
	uv_timer_t timer;
	uv_idle_t later;   /* goes through `due` */
	uint64_t armed_ms; /* when the timer fires; 0 = it is stopped */
	unsigned open_handles;
	bool destroyed;
};

struct client_conn {
	struct list link; /* in endpoint->idle, while idle */
	struct http_endpoint *endpoint;
	struct stream *stream;
	struct http_call *call; /* NULL = idle or closing */
	bool used_before, closing;
};

struct http_call {
	struct list link; /* in endpoint->calls or ->due */
	struct http_endpoint *endpoint;
	struct http_call_options o; /* texts and body are NULL: they are in `request` */
	enum call_state state;
	struct stream_connect *connecting;
	struct client_conn *conn;
	struct http_parser parser;
	struct arena arena;
	struct buf request; /* kept until the first byte of the answer, to send it again */
	struct buf body;
	struct http_response r;
	struct err err;	      /* while in `due` */
	uint64_t deadline_ms; /* loop time, 0 = none */
	unsigned interim_count;
	bool is_head;
	bool repeatable; /* may be sent again after a lost connection */
	bool paused;
	bool pinned; /* one of its callbacks is running */
	bool is_due; /* in endpoint->due */
};

static void call_start(struct http_call *c, bool fresh);
static void on_later(uv_idle_t *idle);

const char *http_response_header(const struct http_response *r, const char *name)
{
	return http_headers_get(r->headers, r->header_count, name);
}

/* Connections */

static void conn_close(struct client_conn *conn)
{
	if (conn->closing)
		return;
	conn->closing = true;
	conn->call = NULL;
	if (!list_empty(&conn->link)) {
		conn->endpoint->idle_count--;
		list_remove(&conn->link);
	}
	stream_close(conn->stream);
}

static void conn_release(struct client_conn *conn)
{
	struct http_endpoint *e = conn->endpoint;
	conn->call = NULL;
	if (e->destroyed || e->idle_count >= e->max_idle) {
		conn_close(conn);
		return;
	}
	conn->used_before = true;
	e->idle_count++;
	list_append(&e->idle, &conn->link);
}

/* Calls */

static void call_free(struct http_call *c)
{
	http_parser_finish(&c->parser);
	arena_finish(&c->arena);
	buf_finish(&c->request);
	buf_finish(&c->body);
	free(c);
}

static void endpoint_free_if_over(struct http_endpoint *e);

/* Takes the call off its connection and the endpoint's list; nothing is told. */
static void call_detach(struct http_call *c)
{
	c->state = CALL_OVER;
	c->deadline_ms = 0;
	list_remove(&c->link);
	if (c->connecting)
		stream_connect_cancel(TAKE_PTR(c->connecting));
	if (c->conn)
		conn_close(TAKE_PTR(c->conn));
}

static void call_tell(struct http_call *c, const struct http_response *r, const struct err *err)
{
	struct http_endpoint *e = c->endpoint;
	bool pinned = c->pinned;
	c->pinned = true; /* done may cancel, uselessly */
	if (c->o.done)
		c->o.done(c->o.user, r, err);
	c->pinned = pinned;
	if (!pinned)
		call_free(c);
	endpoint_free_if_over(e);
}

static void call_fail(struct http_call *c, const struct err *err)
{
	bool again = c->conn && c->conn->used_before && c->state == CALL_HEAD && c->request.size &&
		     c->repeatable && err->code == -ECONNRESET && !c->endpoint->destroyed;
	if (again) {
		conn_close(TAKE_PTR(c->conn));
		call_start(c, true);
		return;
	}
	struct err copy = *err;
	call_detach(c);
	call_tell(c, NULL, &copy);
}

static void call_fail_text(struct http_call *c, int code, const char *text)
{
	struct err err = ERR_INIT;
	err_set(&err, code, "%s", text);
	call_fail(c, &err);
}

static void call_done(struct http_call *c, bool reusable)
{
	struct client_conn *conn = TAKE_PTR(c->conn);
	call_detach(c);
	if (reusable)
		conn_release(conn);
	else
		conn_close(conn);
	c->r.body = c->body.size ? c->body.data : "";
	c->r.body_size = c->body.size;
	call_tell(c, &c->r, NULL);
}

static void call_upgrade(struct http_call *c, const char *rest, size_t size)
{
	struct client_conn *conn = TAKE_PTR(c->conn);
	struct stream *s = TAKE_PTR(conn->stream);
	struct http_endpoint *e = c->endpoint;
	free(conn);
	call_detach(c);
	stream_set_handler(s, NULL, NULL);
	stream_read_stop(s);
	stream_unread(s, rest, size);
	c->r.body = "";
	c->o.upgraded(c->o.user, s, &c->r);
	endpoint_free_if_over(e);
}

/* The head of an answer is in. False when the feeding is to stop. */
static bool call_on_head(struct http_call *c)
{
	struct http_parser *p = &c->parser;
	if (p->status < 200 && p->status != 101) { /* 100, 103: the answer proper follows */
		bool answers_head = p->answers_head;
		if (++c->interim_count > INTERIM_MAX) {
			call_fail_text(c, -EPROTO, "the server sends no answer, only news of it");
			return false;
		}
		http_parser_init(p, true, &c->arena);
		p->answers_head = answers_head;
		return true;
	}
	c->r = (struct http_response){.status = p->status,
		.headers = p->headers,
		.header_count = p->header_count,
		.body = "",
		.arena = &c->arena};
	c->state = CALL_BODY;
	if (p->status == 101) {
		if (c->o.upgraded)
			return true;
		call_fail_text(c, -EPROTO, "the server switched protocols without being asked");
		return false;
	}
	if (c->o.data)
		c->deadline_ms = 0;
	if (c->o.begin)
		c->o.begin(c->o.user, &c->r);
	if (c->state != CALL_OVER && !c->o.data && p->has_length && !p->answers_head &&
		p->content_length > c->o.body_max_bytes) {
		call_fail_text(c, -EMSGSIZE, "the answer is too large");
		return false;
	}
	return c->state != CALL_OVER;
}

static bool call_on_body(struct http_call *c, struct str piece)
{
	if (c->o.data) {
		c->o.data(c->o.user, piece.p, piece.size);
		return c->state != CALL_OVER;
	}
	if (c->body.size + piece.size > c->o.body_max_bytes) {
		call_fail_text(c, -EMSGSIZE, "the answer is too large");
		return false;
	}
	buf_add(&c->body, piece.p, piece.size);
	return true;
}

static void call_feed(struct http_call *c, const char *data, size_t size)
{
	bool again = true;
	c->pinned = true;
	buf_finish(&c->request);
	while (again) {
		enum http_event event;
		struct str piece;
		if (c->paused && size > 0) {
			stream_unread(c->conn->stream, data, size);
			break;
		}
		size_t used = http_parser_feed(&c->parser, data, size, &event, &piece);
		data += used;
		size -= used;
		switch (event) {
		case HTTP_NEED_MORE:
			again = false;
			break;
		case HTTP_HEAD:
			again = call_on_head(c);
			if (again && c->parser.status == 101 && c->state == CALL_BODY) {
				call_upgrade(c, data, size);
				again = false;
			}
			break;
		case HTTP_BODY:
			again = call_on_body(c, piece);
			break;
		case HTTP_END:
			call_done(c, c->parser.keep_alive && size == 0);
			again = false;
			break;
		case HTTP_BAD:
			call_fail_text(c, -EBADMSG, c->parser.reason);
			again = false;
			break;
		}
	}
	c->pinned = false;
	if (c->state == CALL_OVER && !c->is_due)
		call_free(c);
}

static void on_read(void *user, const char *data, size_t size)
{
	struct client_conn *conn = user;
	if (conn->call)
		call_feed(conn->call, data, size);
	else
		conn_close(conn); /* nobody asked */
}

static void on_eof(void *user)
{
	struct client_conn *conn = user;
	struct http_call *c = conn->call;
	if (!c) {
		conn_close(conn);
	} else if (http_parser_eof(&c->parser) == HTTP_END && c->state == CALL_BODY) {
		call_done(c, false);
	} else {
		call_fail_text(c, -ECONNRESET, "the server closed the connection in the middle");
	}
}

static void on_error(void *user, int code, const char *text)
{
	struct client_conn *conn = user;
	struct http_call *c = conn->call;
	if (c)
		call_fail_text(c, code == -EPIPE ? -ECONNRESET : code, text);
	else
		conn_close(conn);
}

static void on_closed(void *user)
{
	struct client_conn *conn = user;
	free(conn);
}

static void call_send(struct http_call *c, struct client_conn *conn)
{
	conn->call = c;
	c->conn = conn;
	c->state = CALL_HEAD;
	stream_write(conn->stream, c->request.data, c->request.size);
	if (!c->paused)
		stream_read_start(conn->stream);
}

static void on_connected(void *user, struct stream *s, const struct err *err)
{
	static const struct stream_handler handler = {
		.read = on_read,
		.eof = on_eof,
		.error = on_error,
		.closed = on_closed,
	};
	struct http_call *c = user;
	c->connecting = NULL;
	if (!s) {
		call_fail(c, err);
		return;
	}
	struct client_conn *conn = xcalloc(1, sizeof(*conn));
	conn->endpoint = c->endpoint;
	conn->stream = s;
	list_init(&conn->link);
	stream_set_handler(s, &handler, conn);
	call_send(c, conn);
}

/* `fresh`: not on a connection that was used before. */
static void call_start(struct http_call *c, bool fresh)
{
	struct http_endpoint *e = c->endpoint;
	http_parser_init(&c->parser, true, &c->arena);
	c->parser.answers_head = c->is_head;
	if (!fresh && !list_empty(&e->idle)) {
		/* The one used last: it is the least likely to have been given up by the server. */
		struct client_conn *conn = CONTAINER_OF(e->idle.prev, struct client_conn, link);
		list_remove(&conn->link);
		e->idle_count--;
		call_send(c, conn);
		return;
	}
	c->state = CALL_CONNECT;
	c->connecting =
		stream_connect(e->loop, e->address, e->tls, e->tls_name, 0, on_connected, c);
}

/* Timeouts */

static void on_timer(uv_timer_t *timer);

static void arm(struct http_endpoint *e, uint64_t deadline_ms)
{
	if (e->destroyed || (e->armed_ms && e->armed_ms <= deadline_ms))
		return;
	uint64_t now = uv_now(e->loop);
	e->armed_ms = deadline_ms;
	uv_timer_start(&e->timer, on_timer, deadline_ms > now ? deadline_ms - now : 0, 0);
}

static void on_timer(uv_timer_t *timer)
{
	struct http_endpoint *e = timer->data;
	uint64_t now = uv_now(e->loop), next = 0;
	struct list late;
	e->armed_ms = 0;
	list_init(&late);
	LIST_FOR_EACH(c, &e->calls, struct http_call, link) {
		if (c->deadline_ms && c->deadline_ms <= now) {
			list_remove(&c->link);
			list_append(&late, &c->link);
		} else if (c->deadline_ms && (!next || c->deadline_ms < next)) {
			next = c->deadline_ms;
		}
	}
	if (next)
		arm(e, next);
	/* A callback may cancel any of them, or destroy the endpoint (whose memory stays until its
	 * handles are closed). */
	while (!list_empty(&late)) {
		struct http_call *c = CONTAINER_OF(late.next, struct http_call, link);
		call_fail_text(c, -ETIMEDOUT, "the server did not answer in time");
	}
}

/* The public side */

static void build_request(struct http_call *c, const struct http_call_options *o)
{
	struct buf *b = &c->request;
	bool has_body = o->body_size > 0 || strcmp(o->method, "POST") == 0 ||
			strcmp(o->method, "PUT") == 0 || strcmp(o->method, "PATCH") == 0;
	buf_reserve(b, 256 + strlen(o->target) + o->body_size);
	buf_add_str(b, o->method);
	buf_add_char(b, ' ');
	buf_add_str(b, o->target);
	buf_add_str(b, " HTTP/1.1\r\nHost: ");
	buf_add_str(b, c->endpoint->host);
	buf_add_str(b, "\r\n");
	if (o->headers)
		buf_add_str(b, o->headers);
	if (has_body)
		buf_printf(b, "Content-Length: %zu\r\n", o->body_size);
	buf_add_str(b, "\r\n");
	if (o->body_size)
		buf_add(b, o->body, o->body_size);
}

/* Whole lines "Name: value\r\n" and nothing else: no line may be ended but where we do. */
static bool lines_valid(const char *p)
{
	while (*p) {
		size_t name = strcspn(p, ": \t\r\n");
		if (name == 0 || p[name] != ':')
			return false;
		p += name + 1;
		while ((unsigned char)*p >= ' ' || *p == '\t')
			p++;
		if (p[0] != '\r' || p[1] != '\n')
			return false;
		p += 2;
	}
	return true;
}

static bool request_valid(const struct http_call_options *o)
{
	return *o->method && !o->method[strcspn(o->method, " \t\r\n:/")] && *o->target &&
	       http_target_valid(o->target) && (!o->headers || lines_valid(o->headers));
}

/* Tells of the failure in the next turn of the loop. */
static void call_fail_later(struct http_call *c, int code, const char *text)
{
	call_detach(c);
	c->is_due = true;
	err_set(&c->err, code, "%s", text);
	list_append(&c->endpoint->due, &c->link);
	uv_idle_start(&c->endpoint->later, on_later);
}

struct http_call *http_call(struct http_endpoint *e, const struct http_call_options *options)
{
	struct http_call *c = xcalloc(1, sizeof(*c));
	c->endpoint = e;
	arena_init(&c->arena);
	build_request(c, options);
	c->o = *options;
	c->o.method = c->o.target = c->o.headers = NULL;
	c->o.body = NULL;
	c->is_head = strcmp(options->method, "HEAD") == 0;
	c->repeatable = c->is_head || strcmp(options->method, "GET") == 0 ||
			strcmp(options->method, "OPTIONS") == 0;
	if (!c->o.body_max_bytes)
		c->o.body_max_bytes = BODY_MAX_BYTES;
	list_append(&e->calls, &c->link);
	if (!request_valid(options)) {
		call_fail_later(c, -EINVAL, "the request's target or a header is malformed");
		return c;
	}
	if (options->timeout_ms != HTTP_NO_TIMEOUT) {
		unsigned timeout_ms = options->timeout_ms ? options->timeout_ms : TIMEOUT_MS;
		c->deadline_ms = uv_now(e->loop) + timeout_ms;
		arm(e, c->deadline_ms);
	}
	call_start(c, false);
	return c;
}

void http_call_cancel(struct http_call *c)
{
	if (!c)
		return;
	call_detach(c);
	c->is_due = false;
	if (!c->pinned)
		call_free(c);
}

void http_call_pause(struct http_call *c)
{
	c->paused = true;
	if (c->conn)
		stream_read_stop(c->conn->stream);
}

void http_call_resume(struct http_call *c)
{
	c->paused = false;
	if (c->conn)
		stream_read_start(c->conn->stream);
}

struct http_endpoint *http_endpoint_create(const struct http_endpoint_options *options)
{
	struct http_endpoint *e = xcalloc(1, sizeof(*e));
	const char *address = options->address;
	e->loop = options->loop;
	e->address = xstrdup(address);
	e->tls_name = options->tls_name ? xstrdup(options->tls_name) : NULL;
	if (options->host)
		e->host = xstrdup(options->host);
	else
		e->host = xstrdup(str_has_prefix(address, "tcp://") ? address + 6 : "localhost");
	if (options->tls) {
		SSL_CTX_up_ref(options->tls);
		e->tls = options->tls;
	}
	e->max_idle = options->max_idle ? options->max_idle : MAX_IDLE;
	list_init(&e->idle);
	list_init(&e->calls);
	list_init(&e->due);
	uv_timer_init(e->loop, &e->timer);
	uv_idle_init(e->loop, &e->later);
	e->timer.data = e->later.data = e;
	e->open_handles = 2;
	return e;
}

static void endpoint_free_if_over(struct http_endpoint *e)
{
	if (!e->destroyed || e->open_handles || !list_empty(&e->calls) || !list_empty(&e->due))
		return;
	if (e->tls)
		SSL_CTX_free(e->tls);
	free(e->address);
	free(e->tls_name);
	free(e->host);
	free(e);
}

static void on_handle_closed(uv_handle_t *h)
{
	struct http_endpoint *e = h->data;
	e->open_handles--;
	endpoint_free_if_over(e);
}

static void on_later(uv_idle_t *idle)
{
	struct http_endpoint *e = idle->data;
	/* The handles are closed last, so the endpoint survives what `done` does. */
	while (!list_empty(&e->due)) {
		struct http_call *c = CONTAINER_OF(e->due.next, struct http_call, link);
		list_remove(&c->link);
		c->is_due = false;
		call_tell(c, NULL, &c->err);
	}
	uv_idle_stop(&e->later);
	if (!e->destroyed)
		return;
	uv_close((uv_handle_t *)&e->timer, on_handle_closed);
	uv_close((uv_handle_t *)&e->later, on_handle_closed);
}

const char *http_endpoint_host(const struct http_endpoint *e)
{
	return e->host;
}

void http_endpoint_destroy(struct http_endpoint *e)
{
	if (!e || e->destroyed)
		return;
	e->destroyed = true;
	uv_timer_stop(&e->timer);
	while (!list_empty(&e->idle))
		conn_close(CONTAINER_OF(e->idle.next, struct client_conn, link));
	LIST_FOR_EACH(c, &e->calls, struct http_call, link)
		call_fail_later(c, -ECANCELED, "the endpoint was closed");
	uv_idle_start(&e->later, on_later);
}

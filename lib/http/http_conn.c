#include "lib/http/h2_impl.h"

#include <stdio.h>

/* Pipelined requests beyond this wait in the kernel. */
#define IN_MAX_BYTES (64u << 10)
#define HANDSHAKE_MS 10000u

/* Connections */

static void exchange_end(struct http_conn *c)
{
	struct http_exchange *x = TAKE_PTR(c->x);
	http_exchange_close(x);
	http_exchange_release(x);
}

void http_conn_free_if_over(struct http_conn *c)
{
	struct http_server *s = c->server;
	if (c->stream || c->x || c->pinned || (c->h2 && h2_busy(c->h2)))
		return;
	list_remove(&c->link);
	h2_destroy(c->h2);
	buf_finish(&c->in);
	free(c);
	http_server_conn_gone(s);
}

static void conn_deadline(struct http_conn *c, unsigned ms)
{
	c->deadline_ms = uv_now(c->server->loop) + ms;
}

static void conn_idle(struct http_conn *c)
{
	c->state = CONN_IDLE;
	conn_deadline(c, c->server->idle_timeout_ms);
}

void http_conn_linger(struct http_conn *c)
{
	c->state = CONN_LINGERING;
	c->deadline_ms = 0; /* set when all is written */
	buf_finish(&c->in);
	stream_shutdown(c->stream);
	stream_read_start(c->stream);
}

/* The answer to what never became a request. */
static void conn_refuse(struct http_conn *c, int status, const char *extra, const char *text)
{
	struct http_exchange *x = c->x;
	if (!x->req.method)
		x->req.method = "";
	x->keep_alive = false;
	x->in_handler = true; /* we end it here */
	char *body = arena_printf(&x->req.arena, "%s\n", text);
	http_respond(&x->req, status, "text/plain; charset=utf-8", extra, body, strlen(body));
	exchange_end(c);
	http_conn_linger(c);
}

static void conn_refuse_now(struct http_conn *c)
{
	conn_refuse(c, 429, "Retry-After: 1\r\n", "too many large requests at the same time");
}

/* The head is in. False when the request was refused. */
static bool conn_on_head(struct http_conn *c)
{
	struct http_exchange *x = c->x;
	struct http_parser *p = &x->parser;
	struct http_request *req = &x->req;
	req->method = p->method;
	req->target = p->target;
	req->headers = p->headers;
	req->header_count = p->header_count;
	x->keep_alive = p->keep_alive;
	if (!http_exchange_parse_target(x)) {
		conn_refuse(c, 400, NULL, "malformed request target");
		return false;
	}
	if (c->server->takes_body && (p->chunked || p->content_length > 0) && !p->http10 &&
		c->server->takes_body(req)) {
		req->body_is_open = true;
		x->keep_alive = false;
		return true;
	}
	if (p->has_length && p->content_length > HTTP_BODY_MAX_BYTES) {
		conn_refuse(c, 413, NULL, "the body is larger than 3 MiB");
		return false;
	}
	/* Better told before the body than in the middle of it. */
	if (!http_exchange_count(x) ||
		(p->content_length > HTTP_HELD_FREE_BYTES &&
			c->server->held_bytes + p->content_length > c->server->held_max_bytes)) {
		conn_refuse_now(c);
		return false;
	}
	if (p->expect_continue && !p->http10 && (p->chunked || p->content_length > 0)) {
		static const char text[] = "HTTP/1.1 100 Continue\r\n\r\n";
		stream_write(c->stream, text, sizeof(text) - 1);
	}
	conn_deadline(c, c->server->idle_timeout_ms);
	x->body_mark = HTTP_BODY_STEP_BYTES;
	return true;
}

static bool conn_on_body(struct http_conn *c, struct str piece)
{
	struct http_exchange *x = c->x;
	if (x->body.size + piece.size > HTTP_BODY_MAX_BYTES) {
		conn_refuse(c, 413, NULL, "the body is larger than 3 MiB");
		return false;
	}
	buf_add(&x->body, piece.p, piece.size);
	if (!http_exchange_count(x)) {
		conn_refuse_now(c);
		return false;
	}
	if (x->body.size >= x->body_mark) {
		x->body_mark = x->body.size + HTTP_BODY_STEP_BYTES;
		conn_deadline(c, c->server->idle_timeout_ms);
	}
	return true;
}

/* The answer is complete; *c->x is over. */
static void conn_answered(struct http_conn *c)
{
	bool keep_alive = c->x->keep_alive && !c->server->stopping;
	exchange_end(c);
	if (!c->stream || c->gone)
		return;
	if (keep_alive)
		conn_idle(c);
	else
		http_conn_linger(c);
}

/* The request is complete. Bytes behind it are `rest`. True when it was answered at once. */
static bool conn_dispatch(struct http_conn *c, const char *rest, size_t rest_size)
{
	struct http_exchange *x = c->x;
	struct http_request *req = &x->req;
	req->body = x->body.size ? x->body.data : "";
	req->body_size = x->body.size;
	req->received_ns = (int64_t)uv_hrtime();
	http_exchange_identify(x);
	c->state = CONN_HANDLING;
	c->deadline_ms = 0;
	c->rest = rest;
	c->rest_size = rest_size;
	x->in_handler = true;
	c->server->handler(req, c->server->user);
	x->in_handler = false;
	c->rest = NULL;
	c->rest_size = 0;
	if (x->answer == ANSWER_DONE) {
		conn_answered(c);
		return true;
	}
	if (rest_size)
		buf_add(&c->in, rest, rest_size);
	if (c->in.size > IN_MAX_BYTES)
		stream_read_stop(c->stream);
	return false;
}

/* Takes bytes from the client until they are used up, a request is left with its handler, or the
 * answers pile up. */
static void conn_process(struct http_conn *c, const char *data, size_t size)
{
	c->pinned = true;
	while (size > 0 && c->stream && !c->gone &&
		(c->state == CONN_IDLE || c->state == CONN_READING)) {
		if (!c->x && stream_queued(c->stream) > STREAM_HIGH_BYTES) {
			buf_add(&c->in, data, size);
			c->throttled = true;
			stream_read_stop(c->stream);
			break;
		}
		if (!c->x) {
			c->x = http_exchange_new(c);
			c->state = CONN_READING;
			conn_deadline(c, c->server->idle_timeout_ms);
		}
		for (bool again = true; again;) {
			enum http_event event;
			struct str piece;
			size_t used = http_parser_feed(&c->x->parser, data, size, &event, &piece);
			data += used;
			size -= used;
			switch (event) {
			case HTTP_NEED_MORE:
				again = false;
				if (!http_exchange_count(c->x))
					conn_refuse_now(c);
				break;
			case HTTP_HEAD:
				again = conn_on_head(c);
				if (again && c->x->req.body_is_open) {
					(void)conn_dispatch(c, data, size);
					again = false;
					size = 0;
				}
				break;
			case HTTP_BODY:
				again = conn_on_body(c, piece);
				break;
			case HTTP_END:
				(void)conn_dispatch(c, data, size);
				again = false;
				break;
			case HTTP_BAD:
				conn_refuse(c, c->x->parser.status, NULL, c->x->parser.reason);
				again = false;
				break;
			}
		}
	}
	c->pinned = false;
}

/* The client went away, or may as well have. */
void http_conn_drop(struct http_conn *c)
{
	bool was_pinned = c->pinned;
	c->pinned = true;
	c->gone = true;
	/* c->stream stays until it says closed, and takes no more writes. */
	stream_close(c->stream);
	struct http_exchange *x = c->x;
	if (c->h2)
		h2_dropped(c->h2);
	if (x && c->state != CONN_HANDLING) {
		exchange_end(c);
	} else if (x && x->answer != ANSWER_DONE && !x->cancel_told) {
		x->cancel_told = true;
		if (x->req.cancelled)
			x->req.cancelled(&x->req);
	}
	c->pinned = was_pinned;
	http_conn_free_if_over(c);
}

/* Between requests, after an answer or when the client takes bytes again: goes on with what it sent
 * meanwhile. May free the connection. */
static void conn_go_on(struct http_conn *c)
{
	if (c->stream && !c->gone && c->state == CONN_IDLE) {
		struct buf in = c->in;
		c->in = BUF_INIT;
		conn_process(c, in.data, in.size);
		buf_finish(&in);
		if (c->stream && (c->state == CONN_IDLE || c->state == CONN_READING) &&
			!c->throttled) {
			if (c->eof)
				http_conn_linger(c);
			else
				stream_read_start(c->stream);
		} else if (c->stream && c->state == CONN_HANDLING && c->in.size <= IN_MAX_BYTES) {
			stream_read_start(c->stream); /* to notice its end */
		}
	}
	http_conn_free_if_over(c);
}

static void conn_take(struct http_conn *c, const char *data, size_t size)
{
	if (c->state == CONN_LINGERING)
		return;
	if (c->h2) {
		h2_read(c->h2, data, size);
		return;
	}
	if (c->state == CONN_HANDLING) {
		buf_add(&c->in, data, size);
		if (c->in.size > IN_MAX_BYTES)
			stream_read_stop(c->stream);
		return;
	}
	conn_process(c, data, size);
	http_conn_free_if_over(c);
}

/* The first bytes say which protocol is spoken; usually those of the first read suffice. */
static void conn_first(struct http_conn *c, const char *data, size_t size)
{
	struct buf in = c->in;
	c->in = BUF_INIT;
	buf_add(&in, data, size);
	enum h2_guess guess = h2_guess(c->stream, in.data, in.size);
	if (guess == H2_MAYBE) {
		c->in = in;
		return;
	}
	c->known = true;
	if (guess == H2_YES)
		h2_start(c);
	conn_take(c, in.data, in.size);
	buf_finish(&in);
}

static void on_read(void *user, const char *data, size_t size)
{
	struct http_conn *c = user;
	if (c->known)
		conn_take(c, data, size);
	else
		conn_first(c, data, size);
}

static void on_eof(void *user)
{
	struct http_conn *c = user;
	c->eof = true;
	if (c->state == CONN_LINGERING) {
		if (stream_queued(c->stream) == 0)
			http_conn_drop(c);
	} else if (c->h2) {
		http_conn_drop(c);
	} else if (c->state == CONN_IDLE || c->state == CONN_READING) {
		if (c->throttled)
			return;
		if (stream_queued(c->stream) == 0) {
			http_conn_drop(c);
			return;
		}
		/* It asks no more, but still takes the last answer. */
		if (c->x)
			exchange_end(c);
		http_conn_linger(c);
	} else if (c->x->answer != ANSWER_DONE && !c->x->cancel_told) {
		/* A client that ends its direction has most likely gone; the answer may still be
		 * read by one that only said that it asks no more. */
		c->x->cancel_told = true;
		if (c->x->req.cancelled)
			c->x->req.cancelled(&c->x->req);
	}
}

static void on_error(void *user, int code, const char *text)
{
	http_conn_drop(user);
}

static void on_drained(void *user)
{
	struct http_conn *c = user;
	if (c->h2) {
		h2_flush(c->h2);
		return;
	}
	if (c->x && c->x->drained && c->x->answer == ANSWER_STREAMING)
		c->x->drained(&c->x->req);
	if (c->throttled) {
		c->throttled = false;
		conn_go_on(c);
	}
}

static void on_flushed(void *user)
{
	struct http_conn *c = user;
	if (c->state != CONN_LINGERING) {
		if (c->h2)
			h2_flush(c->h2);
		return;
	}
	if (c->eof)
		http_conn_drop(c);
	else
		conn_deadline(c, MIN(HTTP_LINGER_MS, c->server->idle_timeout_ms));
}

static void on_closed(void *user)
{
	struct http_conn *c = user;
	stream_count_held(c->stream, NULL);
	c->stream = NULL;
	http_conn_free_if_over(c);
}

void http_conn_advance(struct http_conn *c)
{
	conn_answered(c);
	conn_go_on(c);
}

void http_conn_stop(struct http_conn *c)
{
	if (c->h2)
		h2_stop(c->h2);
	else if (c->state == CONN_IDLE)
		http_conn_drop(c);
}

bool http_conn_stalled(struct http_conn *c, uint64_t now_ms)
{
	size_t queued = stream_queued(c->stream);
	uint64_t written = stream_written(c->stream);
	if (queued == 0 || written != c->written || c->stalled_ms == 0) {
		c->written = written;
		c->stalled_ms = now_ms;
	}
	return queued > 0 && now_ms - c->stalled_ms >= c->server->idle_timeout_ms;
}

void http_conn_tick(struct http_conn *c, uint64_t now_ms)
{
	if (!c->stream || c->gone)
		return;
	size_t queued = stream_queued(c->stream);
	if (!c->greeted && stream_is_ready(c->stream)) {
		c->greeted = true;
		if (c->state == CONN_IDLE && !c->known)
			conn_idle(c);
	}
	if (http_conn_stalled(c, now_ms)) {
		http_conn_drop(c);
	} else if (c->h2 && c->state != CONN_LINGERING) {
		h2_tick(c->h2, now_ms);
	} else if (queued > 0 && c->state == CONN_IDLE) {
		conn_deadline(c, c->server->idle_timeout_ms); /* still taking the last answer */
	} else if (c->deadline_ms && now_ms >= c->deadline_ms) {
		http_conn_drop(c);
	}
}

void http_conn_start(struct http_server *s, int fd)
{
	static const struct stream_handler handler = {
		.read = on_read,
		.eof = on_eof,
		.error = on_error,
		.drained = on_drained,
		.flushed = on_flushed,
		.closed = on_closed,
	};
	struct stream *stream;
	int r = s->tls ? stream_from_fd_tls(s->loop, fd, s->tls, &stream, NULL)
		       : stream_from_fd(s->loop, fd, &stream, NULL);
	if (r < 0) {
		close(fd);
		return;
	}
	struct http_conn *c = xcalloc(1, sizeof(*c));
	c->server = s;
	c->stream = stream;
	stream_count_held(stream, &s->waiting_bytes);
	list_append(&s->conns, &c->link);
	s->conn_count++;
	conn_idle(c);
	if (s->tls)
		conn_deadline(c, MIN(HANDSHAKE_MS, s->idle_timeout_ms));
	stream_set_handler(stream, &handler, c);
	stream_read_start(stream);
}

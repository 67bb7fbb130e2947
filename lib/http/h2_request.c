#include "lib/http/h2_impl.h"

/* Beyond what nghttp2 lets a client open at a time: streams that it has reset count until their
 * handlers are through, so that work for nothing is bounded. */
#define EXCHANGES_MAX 500
/* Of bodies that were refused. */
#define DROPPED_MAX_BYTES (4u << 20)

static struct http_exchange *exchange_find(nghttp2_session *ng, int32_t id)
{
	return nghttp2_session_get_stream_user_data(ng, id);
}

void h2_exchange_deadline(struct http_exchange *x)
{
	struct http_server *s = x->conn->server;
	x->deadline_ms = uv_now(s->loop) + s->idle_timeout_ms;
}

static void exchange_gone(struct http_exchange *x)
{
	struct h2_session *h = x->conn->h2;
	list_remove(&x->link);
	list_remove(&x->ready);
	h->exchange_count--;
	h->idle_ms = uv_now(x->conn->server->loop);
	http_exchange_close(x);
	http_exchange_release(x);
}

/* Large requests are not kept, nor counted, for as long as the client takes their answers. */
static void forget_request(struct http_exchange *x)
{
	if (x->req.arena.used_bytes > HTTP_HELD_FREE_BYTES)
		arena_finish(&x->req.arena);
	if (x->body.room > HTTP_HELD_FREE_BYTES)
		buf_finish(&x->body);
}

/* The answer is complete and the handler has returned. */
static void exchange_answered(struct http_exchange *x)
{
	if (!x->open) {
		exchange_gone(x);
		return;
	}
	http_exchange_close(x); /* what is left in `out` goes as the client takes it */
	forget_request(x);
}

void h2_advance(struct http_exchange *x)
{
	struct http_conn *c = x->conn;
	exchange_answered(x);
	http_conn_free_if_over(c);
}

void h2_exchange_closed(struct http_exchange *x)
{
	x->open = false;
	(void)nghttp2_session_set_stream_user_data(x->conn->h2->ng, x->stream_id, NULL);
	stream_queue_clear(&x->out);
	if (!x->handed || (x->answer == ANSWER_DONE && !x->in_handler && list_empty(&x->ready))) {
		exchange_gone(x);
	} else if (x->answer != ANSWER_DONE && !x->cancel_told) {
		x->cancel_told = true;
		if (x->req.cancelled)
			x->req.cancelled(&x->req);
	}
}

/* An answer of our own; what the client still sends is not wanted. */
static void refuse(struct http_exchange *x, int status, const char *extra, const char *text)
{
	x->handed = true;
	x->deadline_ms = 0;
	x->in_handler = true; /* we end it here */
	if (!x->req.method)
		x->req.method = "";
	char *body = arena_printf(&x->req.arena, "%s\n", text);
	http_respond(&x->req, status, "text/plain; charset=utf-8", extra, body, strlen(body));
	x->in_handler = false;
	exchange_answered(x);
}

static void refuse_now(struct http_exchange *x)
{
	refuse(x, 429, "Retry-After: 1\r\n", "too many large requests at the same time");
}

static void dispatch(struct http_exchange *x)
{
	struct http_request *req = &x->req;
	struct http_server *s = x->conn->server;
	req->body = x->body.size ? x->body.data : "";
	req->body_size = x->body.size;
	req->received_ns = (int64_t)uv_hrtime();
	http_exchange_identify(x);
	x->handed = true;
	x->deadline_ms = 0;
	x->in_handler = true;
	s->handler(req, s->user);
	x->in_handler = false;
	if (x->answer == ANSWER_DONE)
		exchange_answered(x);
}

bool http_body_follow(struct http_request *req,
	void (*data)(struct http_request *req, const char *p, size_t size),
	void (*end)(struct http_request *req))
{
	struct http_exchange *x = exchange_of(req);

	if (!x->conn->h2)
		return false;
	if (!req->body_is_open)
		abort(); /* it has been read */
	x->body_data = data;
	x->body_end = end;
	return true;
}

void http_body_taken(struct http_request *req, size_t size)
{
	struct http_exchange *x = exchange_of(req);

	if (!x->open || !size)
		return;
	(void)nghttp2_session_consume_stream(x->conn->h2->ng, x->stream_id, size);
	h2_mark(x->conn->h2);
}

/* Frames */

/* Violations that nghttp2 lets pass: priorities, which it does not read as we do not use them, and
 * headers for a stream that has ended, unless we are who has reset it. */
static void refuse_connection(struct h2_session *h, uint32_t code)
{
	(void)nghttp2_session_terminate_session(h->ng, code);
}

static int on_begin_frame(nghttp2_session *ng, const nghttp2_frame_hd *hd, void *user)
{
	struct h2_session *h = user;
	if (!h2_budget_frame(
		    &h->budget, uv_now(h->conn->server->loop), hd->type, hd->flags, hd->length))
		h2_calm(h);
	else if (hd->type == NGHTTP2_PRIORITY && hd->stream_id == 0)
		refuse_connection(h, NGHTTP2_PROTOCOL_ERROR);
	else if (hd->type == NGHTTP2_HEADERS && hd->stream_id > h->reset_id &&
		 hd->stream_id <= nghttp2_session_get_last_proc_stream_id(ng) &&
		 !nghttp2_session_find_stream(ng, hd->stream_id))
		refuse_connection(h, NGHTTP2_STREAM_CLOSED);
	return 0;
}

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
	struct h2_session *h = user;
	if (frame->headers.cat != NGHTTP2_HCAT_REQUEST || h->conn->gone)
		return 0;
	if (h->exchange_count >= EXCHANGES_MAX) {
		h2_calm(h);
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	}
	struct http_exchange *x = http_exchange_new(h->conn);
	x->stream_id = frame->hd.stream_id;
	x->open = true;
	h2_exchange_deadline(x);
	list_append(&h->exchanges, &x->link);
	h->exchange_count++;
	(void)nghttp2_session_set_stream_user_data(ng, x->stream_id, x);
	return 0;
}

/* Those of HPACK's static table live as long as the program. */
static const char *text_of(struct arena *a, nghttp2_rcbuf *b)
{
	nghttp2_vec v = nghttp2_rcbuf_get_buf(b);
	return nghttp2_rcbuf_is_static(b) ? (const char *)v.base : arena_memdup(a, v.base, v.len);
}

static void add_header(struct http_exchange *x, const char *name, const char *value)
{
	struct http_request *req = &x->req;
	if (req->header_count == x->header_room) {
		size_t room = x->header_room ? x->header_room * 2 : 12;
		req->headers = arena_grow(&req->arena, req->headers,
			x->header_room * sizeof(*req->headers), room * sizeof(*req->headers));
		x->header_room = room;
	}
	req->headers[req->header_count++] = (struct http_header){name, value};
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, nghttp2_rcbuf *name_buf,
	nghttp2_rcbuf *value_buf, uint8_t flags, void *user)
{
	struct h2_session *h = user;
	struct http_exchange *x = exchange_find(ng, frame->hd.stream_id);
	size_t size =
		nghttp2_rcbuf_get_buf(name_buf).len + nghttp2_rcbuf_get_buf(value_buf).len + 32;
	if (!h2_budget_header(&h->budget, size)) {
		h2_calm(h);
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	}
	if (!x || x->too_large || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0; /* trailers are of no use to us */
	x->head_size += size;
	if (x->head_size > HTTP_HEADER_MAX_BYTES || x->req.header_count >= HTTP_HEADER_MAX_COUNT) {
		x->too_large = true;
		return 0;
	}
	const char *name = text_of(&x->req.arena, name_buf);
	const char *value = text_of(&x->req.arena, value_buf);
	if (*name != ':')
		add_header(x, name, value);
	else if (streq(name, ":method"))
		x->req.method = value;
	else if (streq(name, ":path"))
		x->req.target = value;
	else if (streq(name, ":authority"))
		add_header(x, "host", value);
	return 0;
}

static bool content_length(const struct http_request *req, uint64_t *ret)
{
	const char *text = http_header_get(req, "content-length");
	return text && parse_u64(str_from(text), ret) == 0;
}

static void tell_continue(struct h2_session *h, struct http_exchange *x, bool end)
{
	const char *expect = end ? NULL : http_header_get(&x->req, "expect");
	nghttp2_nv nv = {(uint8_t *)":status", (uint8_t *)"100", 7, 3, NGHTTP2_NV_FLAG_NONE};

	if (expect && strcasecmp(expect, "100-continue") == 0)
		(void)nghttp2_submit_headers(
			h->ng, NGHTTP2_FLAG_NONE, x->stream_id, NULL, &nv, 1, NULL);
}

/* The head is in. False when the request was refused. */
static bool on_head(struct h2_session *h, struct http_exchange *x, bool end)
{
	struct http_request *req = &x->req;
	uint64_t length = 0;
	if (x->too_large) {
		refuse(x, 431, NULL, "the header is too large");
		return false;
	}
	if (!req->method || !req->target) { /* CONNECT names none */
		refuse(x, 405, NULL, "no such method");
		return false;
	}
	if (!http_target_valid(req->target) || !http_exchange_parse_target(x)) {
		refuse(x, 400, NULL, "malformed request target");
		return false;
	}
	struct http_server *s = h->conn->server;
	if (!end && s->takes_body && s->takes_body(req)) {
		req->body_is_open = true;
		tell_continue(h, x, end);
		return true;
	}
	if (content_length(req, &length) && length > HTTP_BODY_MAX_BYTES) {
		refuse(x, 413, NULL, "the body is larger than 3 MiB");
		return false;
	}
	if (!http_exchange_count(x) ||
		(length > HTTP_HELD_FREE_BYTES && s->held_bytes + length > s->held_max_bytes)) {
		refuse_now(x);
		return false;
	}
	tell_continue(h, x, end);
	x->body_mark = HTTP_BODY_STEP_BYTES;
	h2_exchange_deadline(x);
	return true;
}

/* An open body, for whose pieces somebody still waits. */
static bool body_wanted(const struct http_exchange *x)
{
	return x->handed && x->req.body_is_open && x->body_data && x->answer == ANSWER_NONE &&
	       !x->early && !x->cancel_told;
}

static int on_frame(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
	struct h2_session *h = user;
	if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)
		return 0;
	struct http_exchange *x = exchange_find(ng, frame->hd.stream_id);
	bool end = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
	if (x && end && body_wanted(x) && x->body_end)
		x->body_end(&x->req);
	if (!x || x->handed)
		return 0;
	if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST &&
		!on_head(h, x, end))
		return 0;
	if (end || x->req.body_is_open)
		dispatch(x);
	return 0;
}

static int on_data(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *data, size_t size,
	void *user)
{
	struct http_exchange *x = exchange_find(ng, id);
	/* Windows open again at once: bodies are bounded. Only an open one waits for who takes it,
	 * while others on the connection go on. */
	if (x && body_wanted(x)) {
		(void)nghttp2_session_consume_connection(ng, size);
		x->body_data(&x->req, (const char *)data, size);
		return 0;
	}
	(void)nghttp2_session_consume(ng, id, size);
	if (x && x->handed) {
		x->dropped += size;
		if (x->dropped > DROPPED_MAX_BYTES)
			(void)nghttp2_submit_rst_stream(
				ng, NGHTTP2_FLAG_NONE, id, NGHTTP2_NO_ERROR);
		return 0;
	}
	if (!x)
		return 0;
	if (x->body.size + size > HTTP_BODY_MAX_BYTES) {
		refuse(x, 413, NULL, "the body is larger than 3 MiB");
		return 0;
	}
	buf_add(&x->body, data, size);
	if (!http_exchange_count(x)) {
		refuse_now(x);
		return 0;
	}
	if (x->body.size >= x->body_mark) {
		x->body_mark = x->body.size + HTTP_BODY_STEP_BYTES;
		h2_exchange_deadline(x);
	}
	return 0;
}

static int on_stream_close(nghttp2_session *ng, int32_t id, uint32_t error, void *user)
{
	struct http_exchange *x = exchange_find(ng, id);
	if (x && x->open)
		h2_exchange_closed(x);
	return 0;
}

void h2_request_callbacks(nghttp2_session_callbacks *callbacks)
{
	nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
	nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback2(callbacks, on_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
}

#include "lib/http/h2_impl.h"

#include <stdio.h>

#define FIELDS_FEW 16 /* room without a look at how many there are */
/* The connection's queue is kept this short, so that no stream waits long behind another's bytes.
 */
#define QUEUE_MAX_BYTES STREAM_LOW_BYTES

/* Answers */

static nghttp2_nv field(const char *name, size_t name_size, const char *value, size_t value_size)
{
	return (nghttp2_nv){.name = (uint8_t *)name,
		.namelen = name_size,
		.value = (uint8_t *)value,
		.valuelen = value_size,
		.flags = NGHTTP2_NV_FLAG_NONE};
}

#define FIELD(name, value) field(name, sizeof(name) - 1, value, strlen(value))

static size_t line_count(const char *lines)
{
	size_t n = 0;
	for (const char *p = lines; p && *p; n++) {
		p = strstr(p, "\r\n");
		p = p ? p + 2 : NULL;
	}
	return n;
}

/* Header lines as HTTP/1 has them, less those that speak of the connection. */
static size_t fields_of_lines(struct arena *a, const char *lines, nghttp2_nv *ret, size_t room)
{
	static const char *const skipped[] = {"connection", "keep-alive", "transfer-encoding"};
	size_t n = 0;
	for (char *p = arena_strdup(a, lines), *end; *p && n < room; p = end) {
		char *stop = strstr(p, "\r\n");
		end = stop ? stop + 2 : p + strlen(p);
		if (stop)
			*stop = 0;
		char *colon = strchr(p, ':');
		if (!colon)
			continue;
		*colon = 0;
		for (char *q = p; *q; q++)
			if (*q >= 'A' && *q <= 'Z')
				*q = (char)(*q | 0x20);
		char *value = colon + 1 + strspn(colon + 1, " \t");
		bool skip = false;
		for (size_t i = 0; i < ARRAY_LEN(skipped); i++)
			skip |= streq(p, skipped[i]);
		if (!skip)
			ret[n++] = field(p, (size_t)(colon - p), value, strlen(value));
	}
	return n;
}

/* Gives nghttp2 as much as there is and fits; it is sent by on_send_data. */
static ssize_t on_want_data(nghttp2_session *ng, int32_t id, uint8_t *room, size_t size,
	uint32_t *flags, nghttp2_data_source *source, void *user)
{
	struct http_exchange *x = source->ptr;
	size_t n = MIN(size, x->out.bytes);
	if (n == 0 && !x->out_ended) {
		x->deferred = true;
		x->deadline_ms = 0;
		return NGHTTP2_ERR_DEFERRED;
	}
	*flags |= NGHTTP2_DATA_FLAG_NO_COPY;
	if (n == x->out.bytes && x->out_ended)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	x->framed = true;
	return (ssize_t)n;
}

void h2_answer_begin(struct http_exchange *x, int status, const char *content_type,
	const char *extra, const size_t *size, bool body)
{
	struct h2_session *h = x->conn->h2;
	nghttp2_nv few[FIELDS_FEW], *fields = few;
	char status_text[12], size_text[24];
	size_t n = 0;
	if (!x->open)
		return;
	snprintf(status_text, sizeof(status_text), "%d", status);
	size_t room = 4 + line_count(extra);
	if (room > FIELDS_FEW)
		fields = arena_alloc(&x->req.arena, room * sizeof(*fields));
	fields[n++] = FIELD(":status", status_text);
	fields[n++] = FIELD("date", http_server_date(h->conn->server));
	if (content_type)
		fields[n++] = FIELD("content-type", content_type);
	if (size) {
		snprintf(size_text, sizeof(size_text), "%zu", *size);
		fields[n++] = FIELD("content-length", size_text);
	}
	if (extra)
		n += fields_of_lines(&x->req.arena, extra, fields + n, room - n);
	nghttp2_data_provider provider = {.source.ptr = x, .read_callback = on_want_data};
	if (!body)
		x->out_ended = true;
	if (nghttp2_submit_response(h->ng, x->stream_id, fields, n, body ? &provider : NULL))
		h2_answer_abort(x);
	h2_mark(h);
}

static void out_grown(struct http_exchange *x)
{
	struct h2_session *h = x->conn->h2;
	if (x->out.bytes > STREAM_HIGH_BYTES)
		x->above_high = true;
	if (x->deferred) {
		x->deferred = false;
		(void)nghttp2_session_resume_data(h->ng, x->stream_id);
	}
	if (!x->deadline_ms)
		h2_exchange_deadline(x);
	h2_mark(h);
}

void h2_answer_write(struct http_exchange *x, const void *p, size_t size)
{
	if (!x->open || size == 0)
		return;
	stream_queue_add(&x->out, p, size);
	out_grown(x);
}

void h2_answer_write_part(struct http_exchange *x, struct blob *b, size_t start, size_t size)
{
	if (!x->open || size == 0)
		return;
	stream_queue_add_part(&x->out, b, start, size);
	out_grown(x);
}

void h2_answer_write_blob(struct http_exchange *x, struct blob *b)
{
	h2_answer_write_part(x, b, 0, b->size);
}

void h2_answer_end(struct http_exchange *x)
{
	x->out_ended = true;
	if (x->open)
		out_grown(x);
}

void h2_answer_abort(struct http_exchange *x)
{
	if (!x->open)
		return;
	if (!x->framed)
		stream_queue_clear(&x->out);
	(void)nghttp2_submit_rst_stream(
		x->conn->h2->ng, NGHTTP2_FLAG_NONE, x->stream_id, NGHTTP2_INTERNAL_ERROR);
	h2_mark(x->conn->h2);
}

/* Frames */

static bool queue_full(const struct http_conn *c)
{
	return stream_queued(c->stream) >= QUEUE_MAX_BYTES;
}

static ssize_t on_send(nghttp2_session *ng, const uint8_t *data, size_t size, int flags, void *user)
{
	struct http_conn *c = ((struct h2_session *)user)->conn;
	if (queue_full(c))
		return NGHTTP2_ERR_WOULDBLOCK;
	stream_write(c->stream, data, size);
	return (ssize_t)size;
}

static int on_send_data(nghttp2_session *ng, nghttp2_frame *frame, const uint8_t *frame_header,
	size_t size, nghttp2_data_source *source, void *user)
{
	struct h2_session *h = user;
	struct http_exchange *x = source->ptr;
	if (queue_full(h->conn))
		return NGHTTP2_ERR_WOULDBLOCK;
	stream_write(h->conn->stream, frame_header, 9);
	stream_write_queue(h->conn->stream, &x->out, size);
	x->framed = false;
	h2_budget_sent(&h->budget, size);
	if (x->out.bytes)
		h2_exchange_deadline(x);
	if (x->above_high && x->out.bytes < STREAM_LOW_BYTES)
		h->drained = true;
	return 0;
}

/* The whole answer is out, and the client still sends: for a moment that is read and dropped, since
 * some take a reset for a failure even if the answer came before it. */
static int on_sent(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
	struct h2_session *h = user;
	if (frame->hd.type == NGHTTP2_RST_STREAM)
		h->reset_id = MAX(h->reset_id, frame->hd.stream_id);
	if ((frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) ||
		!(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		return 0;
	h2_budget_answered(&h->budget);
	struct http_exchange *x = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
	if (x)
		x->deadline_ms = uv_now(h->conn->server->loop) + HTTP_LINGER_MS;
	return 0;
}

void h2_answer_callbacks(nghttp2_session_callbacks *callbacks)
{
	nghttp2_session_callbacks_set_send_callback(callbacks, on_send);
	nghttp2_session_callbacks_set_send_data_callback(callbacks, on_send_data);
	nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_sent);
}

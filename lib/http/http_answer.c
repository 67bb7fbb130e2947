#include "lib/http/h2_impl.h"
#include "lib/http/http_range.h"

#include <stdio.h>

#define HEAD_ROOM 512

void http_answer_done(struct http_exchange *x)
{
	struct http_conn *c = x->conn;
	if (x->answer == ANSWER_DONE)
		return;
	x->answer = ANSWER_DONE;
	if (x->stream_id)
		h2_answer_end(x);
	if (x->in_handler)
		return;
	list_append(&c->server->ready, &x->ready);
	http_server_run_ready(c->server);
}

/* A head in the making: on the stack, and in a buf when it does not fit. */
struct head {
	char room[HEAD_ROOM];
	size_t size;
	struct buf more;
};

static void head_add(struct head *h, const char *p, size_t size)
{
	if (h->more.size == 0 && size <= sizeof(h->room) - h->size) {
		memcpy(h->room + h->size, p, size);
		h->size += size;
		return;
	}
	buf_add(&h->more, p, size);
}

static void head_add_str(struct head *h, const char *s)
{
	head_add(h, s, strlen(s));
}

static void head_add_u64(struct head *h, uint64_t n)
{
	char text[24];
	char *p = text + sizeof(text);
	do
		*--p = (char)('0' + n % 10);
	while (n /= 10);
	head_add(h, p, (size_t)(text + sizeof(text) - p));
}

static void head_begin(struct head *h, struct http_exchange *x, int status)
{
	h->size = 0;
	h->more = BUF_INIT;
	head_add_str(h, "HTTP/1.1 ");
	head_add_u64(h, (uint64_t)status);
	head_add_str(h, " ");
	head_add_str(h, http_reason(status));
	head_add_str(h, "\r\nDate: ");
	head_add_str(h, http_server_date(x->conn->server));
	head_add_str(h, "\r\n");
}

static void head_add_common(
	struct head *h, struct http_exchange *x, const char *content_type, const char *extra)
{
	if (content_type) {
		head_add_str(h, "Content-Type: ");
		head_add_str(h, content_type);
		head_add_str(h, "\r\n");
	}
	if (!x->keep_alive || x->conn->server->stopping)
		head_add_str(h, "Connection: close\r\n");
	else if (x->parser.http10)
		head_add_str(h, "Connection: keep-alive\r\n");
	if (extra)
		head_add_str(h, extra);
}

static void head_end(struct head *h, struct stream *s)
{
	head_add(h, "\r\n", 2);
	stream_write(s, h->room, h->size);
	if (h->more.size)
		stream_write(s, h->more.data, h->more.size);
	buf_finish(&h->more);
}

static bool answers_head(const struct http_exchange *x)
{
	return strcmp(x->req.method, "HEAD") == 0;
}

static bool status_has_body(int status)
{
	return status >= 200 && status != 204 && status != 304;
}

bool http_answer_unwanted(const struct http_exchange *x)
{
	return x->early || (x->stream_id ? !x->open : !x->conn->stream || x->conn->gone);
}

bool http_answer_begin(struct http_exchange *x, int status, const char *content_type,
	const char *extra, size_t size)
{
	struct head h;
	if (x->answer != ANSWER_NONE)
		abort(); /* answered twice */
	if (!x->conn->stream || x->early)
		return false;
	bool body = size > 0 && !answers_head(x) && status_has_body(status);
	if (x->stream_id) {
		h2_answer_begin(x, status, content_type, extra,
			status_has_body(status) ? &size : NULL, body);
		return body;
	}
	head_begin(&h, x, status);
	if (status_has_body(status)) {
		head_add_str(&h, "Content-Length: ");
		head_add_u64(&h, size);
		head_add_str(&h, "\r\n");
	}
	head_add_common(&h, x, content_type, extra);
	head_end(&h, x->conn->stream);
	return body;
}

void http_answer_write(struct http_exchange *x, const void *p, size_t size)
{
	if (x->stream_id)
		h2_answer_write(x, p, size);
	else
		stream_write(x->conn->stream, p, size);
}

void http_answer_write_blob(struct http_exchange *x, struct blob *b)
{
	if (x->stream_id)
		h2_answer_write_blob(x, b);
	else
		stream_write_blob(x->conn->stream, b);
}

static size_t parts_size(const struct http_part *parts, size_t count)
{
	size_t size = 0;
	for (size_t i = 0; i < count; i++)
		size += parts[i].blob ? parts[i].blob->size : parts[i].text_size;
	return size;
}

static void write_parts(struct http_exchange *x, const struct http_part *parts, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (parts[i].blob)
			http_answer_write_blob(x, parts[i].blob);
		else
			http_answer_write(x, parts[i].text, parts[i].text_size);
	}
}

bool http_answer_refused(struct http_exchange *x, size_t size)
{
	static const char text[] = "too many answers wait to be taken\n";
	struct http_server *s = x->conn->server;
	if (size <= HTTP_WAITING_FREE_BYTES || s->waiting_bytes + size <= s->waiting_max_bytes ||
		strcmp(x->req.method, "GET") != 0)
		return false;
	http_respond(&x->req, 429, "text/plain; charset=utf-8", "Retry-After: 1\r\n", text,
		sizeof(text) - 1);
	return true;
}

void http_respond(struct http_request *req, int status, const char *content_type, const char *extra,
	const void *body, size_t size)
{
	struct http_exchange *x = exchange_of(req);
	if (http_answer_refused(x, size))
		return;
	if (http_answer_begin(x, status, content_type, extra, size))
		http_answer_write(x, body, size);
	http_answer_done(x);
}

bool http_respond_early(struct http_request *req, int status, const char *content_type,
	const char *extra, const void *body, size_t size)
{
	struct http_exchange *x = exchange_of(req);
	if (x->answer != ANSWER_NONE || http_answer_unwanted(x))
		return false;
	x->keep_alive = false; /* the next request would wait for the handler */
	if (http_answer_begin(x, status, content_type, extra, size))
		http_answer_write(x, body, size);
	x->early = true;
	if (x->stream_id)
		h2_answer_end(x);
	return true;
}

bool http_answered(const struct http_request *req)
{
	const struct http_exchange *x = exchange_of(req);
	return x->early || x->answer != ANSWER_NONE;
}

void http_respond_parts(struct http_request *req, int status, const char *content_type,
	const char *extra, const struct http_part *parts, size_t count)
{
	struct http_exchange *x = exchange_of(req);
	size_t copied = 0;
	for (size_t i = 0; i < count; i++)
		copied += parts[i].blob ? 0 : parts[i].text_size;
	if (http_answer_refused(x, copied))
		return;
	if (http_answer_begin(x, status, content_type, extra, parts_size(parts, count)))
		write_parts(x, parts, count);
	http_answer_done(x);
}

/* size NULL = as long as it becomes. */
static void stream_begin(struct http_exchange *x, int status, const char *content_type,
	const char *extra, const uint64_t *size)
{
	struct head h;
	if (x->answer != ANSWER_NONE)
		abort(); /* answered twice */
	x->answer = ANSWER_STREAMING;
	if (x->early)
		return;
	x->sized = size && !answers_head(x);
	x->owed = size ? *size : 0;
	if (x->stream_id) {
		size_t stated = size ? (size_t)*size : 0;
		if (x->conn->stream)
			h2_answer_begin(x, status, content_type, extra, size ? &stated : NULL,
				!answers_head(x));
		return;
	}
	x->chunked = !size && !x->parser.http10;
	if (!size && !x->chunked)
		x->keep_alive = false;
	if (!x->conn->stream)
		return;
	head_begin(&h, x, status);
	if (x->chunked)
		head_add_str(&h, "Transfer-Encoding: chunked\r\n");
	if (size) {
		head_add_str(&h, "Content-Length: ");
		head_add_u64(&h, *size);
		head_add_str(&h, "\r\n");
	}
	head_add_common(&h, x, content_type, extra);
	head_end(&h, x->conn->stream);
}

void http_stream_begin(
	struct http_request *req, int status, const char *content_type, const char *extra)
{
	stream_begin(exchange_of(req), status, content_type, extra, NULL);
}

void http_stream_begin_sized(struct http_request *req, int status, const char *content_type,
	const char *extra, uint64_t size)
{
	stream_begin(exchange_of(req), status, content_type, extra, &size);
}

/* Is a piece of the body wanted? */
static bool piece_wanted(struct http_exchange *x, size_t size)
{
	if (x->sized && x->answer == ANSWER_STREAMING) {
		/* Too much: it never comes out even, and the end closes the connection. */
		x->owed = size > x->owed ? UINT64_MAX : x->owed - size;
		if (x->owed == UINT64_MAX)
			return false;
	}
	return x->answer == ANSWER_STREAMING && size > 0 && !x->early && !answers_head(x) &&
	       x->conn->stream;
}

#define CHUNK_LINE_ROOM 24

/* What stands before a chunk, at the end of the room. */
static struct str chunk_line(char *room, size_t size)
{
	static const char digits[] = "0123456789abcdef";
	char *p = room + CHUNK_LINE_ROOM;
	*--p = '\n';
	*--p = '\r';
	do
		*--p = digits[size & 15];
	while (size >>= 4);
	return (struct str){p, (size_t)(room + CHUNK_LINE_ROOM - p)};
}

static void write_chunk_line(struct stream *s, size_t size)
{
	char room[CHUNK_LINE_ROOM];
	struct str line = chunk_line(room, size);
	stream_write(s, line.p, line.size);
}

void http_stream_write_parts(struct http_request *req, const struct http_part *parts, size_t count)
{
	struct http_exchange *x = exchange_of(req);
	size_t size = parts_size(parts, count);
	if (!piece_wanted(x, size))
		return;
	if (x->chunked)
		write_chunk_line(x->conn->stream, size);
	write_parts(x, parts, count);
	if (x->chunked)
		stream_write(x->conn->stream, "\r\n", 2);
}

void http_stream_write(struct http_request *req, const void *p, size_t size)
{
	http_stream_write_parts(req, &(struct http_part){.text = p, .text_size = size}, 1);
}

struct blob *http_piece_new(const struct http_part *parts, size_t count)
{
	char room[CHUNK_LINE_ROOM];
	size_t size = parts_size(parts, count);
	struct str line = chunk_line(room, size);
	struct blob *piece = blob_alloc(line.size + size + 2);
	char *p = mempcpy(piece->data, line.p, line.size);
	for (size_t i = 0; i < count; i++)
		p = parts[i].blob ? mempcpy(p, parts[i].blob->data, parts[i].blob->size)
				  : mempcpy(p, parts[i].text, parts[i].text_size);
	memcpy(p, "\r\n", 2);
	return piece;
}

void http_stream_write_piece(struct http_request *req, struct blob *piece)
{
	struct http_exchange *x = exchange_of(req);
	size_t line = (size_t)((char *)memchr(piece->data, '\n', piece->size) + 1 - piece->data);
	size_t size = piece->size - line - 2;
	if (!piece_wanted(x, size))
		return;
	if (x->chunked) {
		stream_write_blob(x->conn->stream, piece);
		return;
	}
	if (x->stream_id)
		h2_answer_write_part(x, piece, line, size);
	else
		stream_write(x->conn->stream, piece->data + line, size);
}

size_t http_stream_queued(const struct http_request *req)
{
	const struct http_exchange *x = exchange_of(req);
	if (x->stream_id)
		return x->out.bytes;
	return x->conn->stream ? stream_queued(x->conn->stream) : 0;
}

void http_stream_on_drained(struct http_request *req, void (*drained)(struct http_request *))
{
	exchange_of(req)->drained = drained;
}

void http_stream_tell_drained(struct http_request *req)
{
	struct http_exchange *x = exchange_of(req);
	if (x->stream_id)
		x->above_high = true;
	else if (x->conn->stream)
		stream_tell_drained(x->conn->stream);
}

void http_stream_end(struct http_request *req)
{
	struct http_exchange *x = exchange_of(req);
	if (x->answer == ANSWER_DONE)
		return;
	if (x->answer == ANSWER_STREAMING && x->sized && x->owed) {
		http_abort(req);
		return;
	}
	if (x->answer == ANSWER_STREAMING && x->chunked && x->conn->stream && !answers_head(x))
		stream_write(x->conn->stream, "0\r\n\r\n", 5);
	http_answer_done(x);
}

void http_abort(struct http_request *req)
{
	struct http_exchange *x = exchange_of(req);
	if (x->early) {
		/* the answer that went out is whole */
	} else if (x->stream_id) {
		h2_answer_abort(x);
	} else {
		x->conn->gone = true;
		stream_close(x->conn->stream);
	}
	http_answer_done(x);
}

bool http_wants_upgrade(const struct http_request *req, const char **ret_protocol)
{
	const struct http_exchange *x = exchange_of(req);
	if (!x->parser.upgrade || x->parser.http10)
		return false;
	*ret_protocol = x->parser.upgrade;
	return true;
}

/* The stream goes to the handler, with what has come of it already. NULL when the client has gone.
 */
static struct stream *hand_out(struct http_exchange *x)
{
	struct http_conn *c = x->conn;

	if (x->answer != ANSWER_NONE)
		abort(); /* answered twice */
	if (!c->stream || c->gone || c->eof || x->cancel_told || x->early) {
		http_abort(&x->req);
		return NULL;
	}
	struct stream *s = TAKE_PTR(c->stream);
	stream_set_handler(s, NULL, NULL);
	stream_count_held(s, NULL);
	stream_read_stop(s);
	return s;
}

static void hand_out_rest(struct http_conn *c, struct stream *s)
{
	if (c->rest_size) {
		stream_unread(s, c->rest, c->rest_size);
		c->rest_size = 0;
	} else if (c->in.size) {
		stream_unread(s, c->in.data, c->in.size);
		buf_finish(&c->in);
	}
}

struct stream *http_take_over(struct http_request *req)
{
	struct http_exchange *x = exchange_of(req);
	if (!req->body_is_open)
		abort(); /* it has been read */
	struct stream *s = hand_out(x);
	if (!s)
		return NULL;
	hand_out_rest(x->conn, s);
	http_answer_done(x);
	return s;
}

struct stream *http_upgrade(struct http_request *req, const char *protocol, const char *extra)
{
	struct http_exchange *x = exchange_of(req);
	struct http_conn *c = x->conn;
	struct head h;
	struct stream *s = hand_out(x);
	if (!s)
		return NULL;
	head_begin(&h, x, 101);
	head_add_str(&h, "Connection: Upgrade\r\nUpgrade: ");
	head_add_str(&h, protocol);
	head_add_str(&h, "\r\n");
	if (extra)
		head_add_str(&h, extra);
	head_end(&h, s);
	hand_out_rest(c, s);
	http_answer_done(x);
	return s;
}

const char *http_header_get(const struct http_request *req, const char *name)
{
	return http_headers_get(req->headers, req->header_count, name);
}

const char *http_query_get(struct http_request *req, const char *name, unsigned nth)
{
	struct str rest = str_from(req->query), part;
	size_t name_size = strlen(name);
	while (str_split(&rest, '&', &part)) {
		struct str key;
		struct str value = part;
		char *text;
		if (!str_split(&value, '=', &key))
			continue;
		if (memchr(key.p, '%', key.size) || memchr(key.p, '+', key.size)) {
			if (percent_decode(&req->arena, key, true, &text) < 0 || !streq(text, name))
				continue;
		} else if (key.size != name_size || memcmp(key.p, name, name_size) != 0) {
			continue;
		}
		if (percent_decode(&req->arena, value.p ? value : STR(""), true, &text) < 0)
			continue;
		if (nth-- == 0)
			return text;
	}
	return NULL;
}

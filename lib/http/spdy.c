#include "lib/http/spdy.h"

#include "lib/base/list.h"

#include <stdio.h>

#define DATA_FRAME_BYTES (32u << 10)
#define LINGER_MS 5000
/* Above this, what makes us answer (pings, refusals) waits in the kernel. Far above where writers
 * stop, so that two sides that wait for each other cannot come of it. */
#define ANSWERS_MAX_BYTES (16u << 20)

/* A stream, from SYN_STREAM on. Each direction ends on its own:
 *
 *     ours:    WAITING (opened by us, not yet accepted; writes are held) -> OPEN -> ENDED
 *     theirs:  OPEN -> ENDED
 *
 * A released stream (nobody holds its handle) lives on until what it held back is sent. */
struct spdy_stream {
	struct list link;
	struct spdy_session *session;
	struct spdy_stream_handler h;
	void *user;
	uint32_t id;
	int64_t window;	 /* bytes that the peer takes; counts only if session->windows */
	struct buf held; /* written, not sent */
	bool accepted;	 /* either side has sent SYN_REPLY */
	bool end_wanted, end_sent;
	bool peer_ended;
	bool released;
	bool paused;
	bool drain_owed; /* the writer was told of much, part of which is held back */
};

struct spdy_session {
	struct stream *stream;
	struct spdy_handler h;
	void *user;
	struct spdy_decoder decoder;
	struct spdy_encoder encoder;
	uv_timer_t timer; /* bounds the end */
	uint64_t written; /* while ending: bytes that the peer had taken when last looked at */
	struct list streams;
	unsigned stream_count, paused_count, open_handles;
	uint32_t next_id, last_peer_id;
	int64_t window;		/* of the session, towards the peer */
	int64_t initial_window; /* of new streams, as the peer said */
	bool server;
	bool windows;	/* the peer counts */
	bool gone_away; /* no new streams */
	bool closing;
	bool throttled; /* not read: the peer does not take our answers */
	char text[128]; /* why it ended; "" in order */
};

const char *spdy_header_get(const struct spdy_header *headers, size_t count, const char *name)
{
	for (size_t i = 0; i < count; i++)
		if (streq(headers[i].name, name))
			return headers[i].value;
	return NULL;
}

/* Sending */

static void send_control(struct spdy_session *s, enum spdy_type type, uint32_t id, uint32_t value)
{
	_cleanup_(buf_finish) struct buf b = BUF_INIT;
	spdy_encode_control(&b, type, id, value);
	stream_write(s->stream, b.data, b.size);
}

static void send_headers(struct spdy_session *s, enum spdy_type type, uint32_t id,
	const struct spdy_header *headers, size_t count)
{
	_cleanup_(buf_finish) struct buf b = BUF_INIT;
	spdy_encode_headers(&s->encoder, &b, type, id, false, headers, count);
	stream_write(s->stream, b.data, b.size);
}

static void send_data(struct spdy_session *s, uint32_t id, bool fin, const char *p, size_t size)
{
	_cleanup_(buf_finish) struct buf b = BUF_INIT;
	spdy_encode_data_head(&b, id, fin, size);
	stream_write(s->stream, b.data, b.size);
	if (size)
		stream_write(s->stream, p, size);
}

/* Reads on, unless there is a reason not to. */
static void session_read(struct spdy_session *s)
{
	if (s->stream && (s->closing || (s->paused_count == 0 && !s->throttled)))
		stream_read_start(s->stream);
}

static void stream_forget(struct spdy_stream *st)
{
	struct spdy_session *s = st->session;
	if (st->paused)
		spdy_resume(st);
	list_remove(&st->link);
	s->stream_count--;
	buf_finish(&st->held);
	free(st);
}

/* As much of `p` as the peer takes now. Returns the bytes sent. */
static size_t send_some(struct spdy_stream *st, const char *p, size_t size)
{
	struct spdy_session *s = st->session;
	size_t sent = 0;
	while (sent < size) {
		size_t n = MIN(size - sent, DATA_FRAME_BYTES);
		if (s->windows) {
			int64_t room = MIN(st->window, s->window);
			if (room <= 0)
				break;
			n = MIN(n, (size_t)room);
		}
		st->window -= (int64_t)n;
		s->window -= (int64_t)n;
		send_data(s, st->id, false, p + sent, n);
		sent += n;
	}
	return sent;
}

/* Sends what was held back and may go now. May free a released stream. */
static void stream_push(struct spdy_stream *st)
{
	if (!st->accepted)
		return;
	if (st->held.size)
		buf_drop_front(&st->held, send_some(st, st->held.data, st->held.size));
	if (st->held.size)
		return;
	if (st->end_wanted && !st->end_sent) {
		st->end_sent = true;
		send_data(st->session, st->id, true, NULL, 0);
	}
	if (st->released && st->end_sent)
		stream_forget(st);
}

/* The peer made room: sends what waited for it. A writer that stopped because of bytes held back
 * hears of it now; if they all went to the connection's queue and are much there, it will hear
 * again. */
static void push_all(struct spdy_session *s)
{
	bool tell = false;
	LIST_FOR_EACH(st, &s->streams, struct spdy_stream, link) {
		bool owed = st->drain_owed && !st->released && st->accepted;
		stream_push(st); /* frees none but released ones */
		if (owed && st->held.size < STREAM_LOW_BYTES) {
			st->drain_owed = st->held.size > 0;
			tell = true;
		}
	}
	if (tell && !s->closing && s->h.drained)
		s->h.drained(s->user);
}

/* The end */

/* A peer that is slow, but takes what is written, gets it all. */
static void on_timer(uv_timer_t *timer)
{
	struct spdy_session *s = timer->data;
	uint64_t written = stream_written(s->stream);
	if (written != s->written) {
		s->written = written;
		uv_timer_start(&s->timer, on_timer, LINGER_MS, 0);
		return;
	}
	stream_close(s->stream);
}

/* GOAWAY, the rest of the queue, our end; the connection is closed when the peer ends too. */
static void session_end(struct spdy_session *s, uint32_t status, const char *text)
{
	if (s->closing)
		return;
	s->closing = true;
	if (text)
		snprintf(s->text, sizeof(s->text), "%s", text);
	send_control(s, SPDY_GOAWAY, s->last_peer_id, status);
	stream_shutdown(s->stream);
	stream_read_start(s->stream);
	s->written = stream_written(s->stream);
	uv_timer_start(&s->timer, on_timer, LINGER_MS, 0);
}

static void session_gone(struct spdy_session *s)
{
	if (--s->open_handles > 0)
		return;
	if (s->h.closed)
		s->h.closed(s->user, s->text[0] ? s->text : NULL);
	spdy_decoder_finish(&s->decoder);
	spdy_encoder_finish(&s->encoder);
	free(s);
}

static void on_timer_closed(uv_handle_t *h)
{
	session_gone(h->data);
}

/* Tells the holder that the stream is over, and lets go of it. */
static void stream_broken(struct spdy_stream *st, int status)
{
	struct spdy_stream_handler h = st->h;
	void *user = st->user;
	bool tell = !st->released && h.reset;
	/* No frame may be sent for it any more, nor it be found by what the callback does. */
	list_remove(&st->link);
	st->released = true;
	if (tell)
		h.reset(user, status);
	stream_forget(st);
}

static void on_closed(void *user)
{
	struct spdy_session *s = user;
	s->closing = true;
	s->gone_away = true;
	while (!list_empty(&s->streams))
		stream_broken(
			CONTAINER_OF(s->streams.next, struct spdy_stream, link), SPDY_SESSION_GONE);
	s->stream = NULL;
	uv_close((uv_handle_t *)&s->timer, on_timer_closed);
	session_gone(s);
}

/* Receiving */

static struct spdy_stream *find_stream(struct spdy_session *s, uint32_t id)
{
	LIST_FOR_EACH(st, &s->streams, struct spdy_stream, link)
		if (st->id == id)
			return st;
	return NULL;
}

static struct spdy_stream *stream_new(struct spdy_session *s, uint32_t id)
{
	struct spdy_stream *st = xcalloc(1, sizeof(*st));
	st->session = s;
	st->id = id;
	st->window = s->initial_window;
	list_append(&s->streams, &st->link);
	s->stream_count++;
	return st;
}

static void on_syn_stream(struct spdy_session *s, const struct spdy_frame *f)
{
	bool theirs = (f->id & 1) == (s->server ? 1 : 0);
	if (f->id == 0 || !theirs || f->id <= s->last_peer_id) {
		session_end(s, SPDY_PROTOCOL_ERROR, "the peer opened a stream out of order");
		return;
	}
	s->last_peer_id = f->id;
	if (!s->h.opened || s->gone_away || s->stream_count >= SPDY_STREAMS_MAX) {
		send_control(s, SPDY_RST_STREAM, f->id, SPDY_REFUSED_STREAM);
		return;
	}
	struct spdy_stream *st = stream_new(s, f->id);
	st->peer_ended = f->fin;
	if (f->unidirectional)
		st->end_wanted = st->end_sent = true;
	s->h.opened(s->user, st, f->headers, f->header_count, f->fin);
	st = find_stream(s, f->id);
	if (st && !st->accepted) {
		send_control(s, SPDY_RST_STREAM, f->id, SPDY_REFUSED_STREAM);
		stream_forget(st);
	}
}

static bool is_ours(const struct spdy_session *s, uint32_t id)
{
	return id != 0 && (id & 1) == (s->server ? 0 : 1);
}

static void peer_ended(struct spdy_session *s, uint32_t id)
{
	struct spdy_stream *st = find_stream(s, id);
	if (!st || st->peer_ended)
		return;
	st->peer_ended = true;
	if (!st->released && st->h.eof)
		st->h.eof(st->user);
}

static void on_syn_reply(struct spdy_session *s, const struct spdy_frame *f)
{
	struct spdy_stream *st = find_stream(s, f->id);
	if (!st || st->accepted)
		return;
	st->accepted = true;
	if (!st->released && st->h.replied)
		st->h.replied(st->user, f->headers, f->header_count);
	push_all(s);
	if (f->fin)
		peer_ended(s, f->id);
}

static void on_data(struct spdy_session *s, const struct spdy_frame *f)
{
	struct spdy_stream *st = find_stream(s, f->id);
	if (s->windows && f->data.size) {
		send_control(s, SPDY_WINDOW_UPDATE, 0, (uint32_t)f->data.size);
		if (st)
			send_control(s, SPDY_WINDOW_UPDATE, f->id, (uint32_t)f->data.size);
	}
	if (st && !st->released && !st->peer_ended && f->data.size && st->h.data)
		st->h.data(st->user, f->data.p, f->data.size);
	if (f->fin)
		peer_ended(s, f->id);
}

static void on_window_update(struct spdy_session *s, const struct spdy_frame *f)
{
	int64_t more = f->value & INT32_MAX;
	s->windows = true;
	if (f->id == 0) {
		s->window = MIN(s->window + more, INT32_MAX);
	} else {
		struct spdy_stream *st = find_stream(s, f->id);
		if (st)
			st->window = MIN(st->window + more, INT32_MAX);
	}
	push_all(s);
}

static void on_settings(struct spdy_session *s, const struct spdy_frame *f)
{
	if (f->window < 0)
		return;
	int64_t change = f->window - s->initial_window;
	s->windows = true;
	s->initial_window = f->window;
	LIST_FOR_EACH(st, &s->streams, struct spdy_stream, link)
		st->window += change;
	push_all(s);
}

/* A stream of ours that the peer will not look at any more. */
static struct spdy_stream *find_untaken(struct spdy_session *s, uint32_t last_id)
{
	LIST_FOR_EACH(st, &s->streams, struct spdy_stream, link)
		if (!st->accepted && st->id > last_id && is_ours(s, st->id))
			return st;
	return NULL;
}

static void on_frame(struct spdy_session *s, const struct spdy_frame *f)
{
	struct spdy_stream *st;
	switch (f->type) {
	case SPDY_DATA:
		on_data(s, f);
		break;
	case SPDY_SYN_STREAM:
		on_syn_stream(s, f);
		break;
	case SPDY_SYN_REPLY:
		on_syn_reply(s, f);
		break;
	case SPDY_HEADERS: /* nobody uses them; the end that they may carry counts */
		if (f->fin)
			peer_ended(s, f->id);
		break;
	case SPDY_RST_STREAM:
		st = find_stream(s, f->id);
		if (st)
			stream_broken(st, (int)(f->value & INT32_MAX));
		break;
	case SPDY_PING:
		if ((f->id & 1) == (s->server ? 1 : 0)) /* theirs, not an answer */
			send_control(s, SPDY_PING, f->id, 0);
		break;
	case SPDY_GOAWAY:
		s->gone_away = true;
		while ((st = find_untaken(s, f->id)))
			stream_broken(st, SPDY_REFUSED_STREAM);
		break;
	case SPDY_WINDOW_UPDATE:
		on_window_update(s, f);
		break;
	case SPDY_SETTINGS:
		on_settings(s, f);
		break;
	}
}

static void on_read(void *user, const char *data, size_t size)
{
	struct spdy_session *s = user;
	while (!s->closing) {
		enum spdy_event event;
		struct spdy_frame f;
		if (stream_queued(s->stream) > ANSWERS_MAX_BYTES && !s->throttled) {
			s->throttled = true;
			stream_read_stop(s->stream);
		}
		if (s->paused_count || s->throttled) {
			stream_unread(s->stream, data, size);
			return;
		}
		size_t used = spdy_decoder_feed(&s->decoder, data, size, &event, &f);
		data += used;
		size -= used;
		if (event == SPDY_NEED_MORE)
			return;
		if (event == SPDY_BAD) {
			session_end(s, SPDY_PROTOCOL_ERROR, s->decoder.reason);
			return;
		}
		on_frame(s, &f);
	}
}

static void on_eof(void *user)
{
	struct spdy_session *s = user;
	stream_close(s->stream);
}

static void on_error(void *user, int code, const char *text)
{
	struct spdy_session *s = user;
	if (!s->closing)
		snprintf(s->text, sizeof(s->text), "%s", text);
	stream_close(s->stream);
}

static void on_drained(void *user)
{
	struct spdy_session *s = user;
	if (s->throttled) {
		s->throttled = false;
		session_read(s);
	}
	if (!s->closing && s->h.drained)
		s->h.drained(s->user);
}

/* The user's side */

struct spdy_session *spdy_session_create(
	struct stream *stream, bool server, const struct spdy_handler *h, void *user)
{
	static const struct stream_handler handler = {
		.read = on_read,
		.eof = on_eof,
		.error = on_error,
		.drained = on_drained,
		.closed = on_closed,
	};
	struct spdy_session *s = xcalloc(1, sizeof(*s));
	s->stream = stream;
	s->h = *h;
	s->user = user;
	s->server = server;
	s->next_id = server ? 2 : 1;
	s->window = s->initial_window = SPDY_WINDOW_BYTES;
	list_init(&s->streams);
	spdy_decoder_init(&s->decoder);
	spdy_encoder_init(&s->encoder);
	uv_timer_init(stream_loop(stream), &s->timer);
	s->timer.data = s;
	s->open_handles = 2;
	stream_set_handler(stream, &handler, s);
	stream_read_start(stream);
	return s;
}

void spdy_session_close(struct spdy_session *s)
{
	if (s->stream)
		session_end(s, 0, NULL);
}

struct spdy_stream *spdy_open(struct spdy_session *s, const struct spdy_header *headers,
	size_t count, const struct spdy_stream_handler *h, void *user)
{
	if (s->closing || s->gone_away || s->next_id > INT32_MAX)
		return NULL;
	struct spdy_stream *st = stream_new(s, s->next_id);
	s->next_id += 2;
	st->h = *h;
	st->user = user;
	send_headers(s, SPDY_SYN_STREAM, st->id, headers, count);
	return st;
}

void spdy_accept(struct spdy_stream *st, const struct spdy_header *headers, size_t count,
	const struct spdy_stream_handler *h, void *user)
{
	st->h = *h;
	st->user = user;
	st->accepted = true;
	send_headers(st->session, SPDY_SYN_REPLY, st->id, headers, count);
}

void spdy_write(struct spdy_stream *st, const void *p, size_t size)
{
	if (st->end_wanted || st->released || st->session->closing || size == 0)
		return;
	size_t sent = 0;
	if (st->accepted && st->held.size == 0)
		sent = send_some(st, p, size);
	if (sent < size)
		buf_add(&st->held, (const char *)p + sent, size - sent);
	if (st->held.size && spdy_queued(st) > STREAM_HIGH_BYTES)
		st->drain_owed = true;
}

void spdy_end(struct spdy_stream *st)
{
	if (st->released) /* in its `reset` callback */
		return;
	st->end_wanted = true;
	stream_push(st);
}

void spdy_close(struct spdy_stream *st)
{
	if (!st || st->released)
		return;
	if (st->paused)
		spdy_resume(st);
	st->released = true;
	st->end_wanted = true;
	st->h = (struct spdy_stream_handler){0};
	stream_push(st);
}

void spdy_reset(struct spdy_stream *st, enum spdy_status status)
{
	if (!st || st->released)
		return;
	send_control(st->session, SPDY_RST_STREAM, st->id, (uint32_t)status);
	stream_forget(st);
}

void spdy_pause(struct spdy_stream *st)
{
	if (st->paused)
		return;
	st->paused = true;
	if (st->session->paused_count++ == 0 && !st->session->closing)
		stream_read_stop(st->session->stream);
}

void spdy_resume(struct spdy_stream *st)
{
	if (!st->paused)
		return;
	st->paused = false;
	st->session->paused_count--;
	session_read(st->session);
}

size_t spdy_queued(const struct spdy_stream *st)
{
	return st->held.size + (st->session->stream ? stream_queued(st->session->stream) : 0);
}

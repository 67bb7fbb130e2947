#include "lib/http/http_test_util.h"

#include "lib/http/spdy.h"

#include <zlib.h>

/* One stream as its user sees it. */
struct end {
	struct spdy_stream *st;
	struct side *side;
	struct buf in;
	char name[64]; /* header "streamtype" */
	unsigned replied, eof, reset;
	int status;
};

/* One session. */
struct side {
	struct spdy_session *session;
	struct end ends[8];
	unsigned opened, closed, drained;
	char text[128];
	/* What its callbacks do. */
	bool refuse, ignore, echo, pause_on_data, reset_on_data, close_on_data, end_in_reset,
		close_session_on_data;
};

struct world {
	struct fixture f; /* its loop only */
	struct side client, server;
	int fd; /* in place of a client that speaks SPDY: raw bytes; -1 = none */
};

static void on_replied(void *user, const struct spdy_header *headers, size_t count)
{
	struct end *e = user;
	e->replied++;
}

static void on_data(void *user, const char *p, size_t size)
{
	struct end *e = user;
	buf_add(&e->in, p, size);
	if (e->side->echo)
		spdy_write(e->st, p, size);
	if (e->side->pause_on_data)
		spdy_pause(e->st);
	if (e->side->reset_on_data)
		spdy_reset(TAKE_PTR(e->st), SPDY_CANCEL);
	else if (e->side->close_on_data)
		spdy_close(TAKE_PTR(e->st));
	if (e->side->close_session_on_data)
		spdy_session_close(e->side->session);
}

static void on_eof(void *user)
{
	struct end *e = user;
	e->eof++;
	if (e->side->echo)
		spdy_end(e->st);
}

static void on_reset(void *user, int status)
{
	struct end *e = user;
	assert_non_null(e->st);
	if (e->side->end_in_reset) {
		spdy_write(e->st, "late", 4);
		spdy_pause(e->st);
		spdy_end(e->st);
		spdy_close(e->st);
		spdy_reset(e->st, SPDY_CANCEL);
	}
	e->st = NULL;
	e->reset++;
	e->status = status;
}

static const struct spdy_stream_handler end_handler = {
	.replied = on_replied,
	.data = on_data,
	.eof = on_eof,
	.reset = on_reset,
};

static void on_opened(void *user, struct spdy_stream *st, const struct spdy_header *headers,
	size_t count, bool fin)
{
	static const struct spdy_header answer = {"x", "y"};
	struct side *side = user;
	struct end *e = &side->ends[side->opened++ % ARRAY_LEN(side->ends)];
	const char *name = spdy_header_get(headers, count, "streamtype");
	snprintf(e->name, sizeof(e->name), "%s", name ? name : "");
	if (side->refuse) {
		spdy_reset(st, SPDY_REFUSED_STREAM);
	} else if (!side->ignore) {
		e->st = st;
		e->side = side;
		e->eof = fin;
		spdy_accept(st, &answer, 1, &end_handler, e);
	}
}

static void on_drained(void *user)
{
	struct side *side = user;
	side->drained++;
}

static void on_closed(void *user, const char *text)
{
	struct side *side = user;
	side->session = NULL;
	side->closed++;
	snprintf(side->text, sizeof(side->text), "%s", text ? text : "");
}

static const struct spdy_handler side_handler = {
	.opened = on_opened,
	.drained = on_drained,
	.closed = on_closed,
};

static void start(struct world *w, struct side *side, int fd)
{
	struct stream *s;
	assert_int_equal(stream_from_fd(&w->f.loop, fd, &s, NULL), 0);
	side->session = spdy_session_create(s, side == &w->server, &side_handler, side);
}

static int setup_with(void **state, bool raw)
{
	struct world *w = xcalloc(1, sizeof(*w));
	int fd[2];
	alarm(600);
	assert_int_equal(uv_loop_init(&w->f.loop), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
	start(w, &w->server, fd[0]);
	w->fd = -1;
	if (raw)
		w->fd = fd[1];
	else
		start(w, &w->client, fd[1]);
	*state = w;
	return 0;
}

static int setup(void **state)
{
	return setup_with(state, false);
}

static int setup_raw(void **state)
{
	return setup_with(state, true);
}

static int teardown(void **state)
{
	struct world *w = *state;
	if (w->fd >= 0)
		close(w->fd);
	struct side *sides[] = {&w->client, &w->server};
	for (int i = 0; i < 2; i++) {
		if (sides[i]->session)
			spdy_session_close(sides[i]->session);
	}
	run_while(&w->f, w->client.session || w->server.session, 10000);
	for (int i = 0; i < 2; i++) {
		for (size_t k = 0; k < ARRAY_LEN(sides[i]->ends); k++) {
			assert_null(sides[i]->ends[k].st); /* each was told */
			buf_finish(&sides[i]->ends[k].in);
		}
	}
	uv_run(&w->f.loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&w->f.loop), 0);
	free(w);
	return 0;
}

static struct end *open_end(struct side *side, unsigned at, const char *name)
{
	struct spdy_header h[] = {{"StreamType", name}, {"port", "80"}};
	struct end *e = &side->ends[at];
	e->side = side;
	e->st = spdy_open(side->session, h, 2, &end_handler, e);
	return e;
}

/* --- frames --- */

static size_t decode_all(
	struct spdy_decoder *d, struct buf *b, struct spdy_frame *ret, enum spdy_event *ret_event)
{
	return spdy_decoder_feed(d, b->data, b->size, ret_event, ret);
}

static void test_headers_round_trip(void **state)
{
	static const struct spdy_header in[] = {
		{"Method", "GET"}, {"a", "1"}, {"a", ""}, {"a", "3"}, {"empty", ""}};
	struct spdy_encoder e;
	struct spdy_decoder d;
	struct spdy_frame f;
	enum spdy_event event;
	spdy_encoder_init(&e);
	spdy_decoder_init(&d);
	for (uint32_t i = 1; i < 200; i += 2) { /* one compression for all of them */
		struct buf b = BUF_INIT;
		spdy_encode_headers(&e, &b, SPDY_SYN_STREAM, i, i % 3 == 0, in, ARRAY_LEN(in));
		assert_int_equal(decode_all(&d, &b, &f, &event), b.size);
		assert_int_equal(event, SPDY_FRAME);
		assert_int_equal(f.type, SPDY_SYN_STREAM);
		assert_int_equal(f.id, i);
		assert_int_equal(f.fin, i % 3 == 0);
		assert_int_equal(f.header_count, 5);
		assert_string_equal(f.headers[0].name, "method");
		assert_string_equal(f.headers[0].value, "GET");
		assert_string_equal(f.headers[2].name, "a");
		assert_string_equal(f.headers[2].value, "");
		assert_string_equal(f.headers[3].value, "3");
		assert_string_equal(f.headers[4].name, "empty");
		if (i > 1)
			assert_true(b.size < 60);
		buf_finish(&b);
	}
	spdy_encoder_finish(&e);
	spdy_decoder_finish(&d);
}

/* What is known of the dictionary by its specification: size and checksum. A block compressed with
 * it tells the checksum in its header. */
static void test_dictionary(void **state)
{
	struct spdy_encoder e;
	struct buf b = BUF_INIT;
	spdy_encoder_init(&e);
	spdy_encode_headers(&e, &b, SPDY_SYN_REPLY, 1, false, NULL, 0);
	const unsigned char *z = (const unsigned char *)b.data + 12;
	assert_true(z[1] & 0x20); /* a dictionary is needed */
	assert_memory_equal(z + 2, "\xe3\xc6\xa7\xc2", 4);
	buf_finish(&b);
	spdy_encoder_finish(&e);
}

static void check_bad(const char *bytes, size_t size, const char *reason)
{
	struct spdy_decoder d;
	struct spdy_frame f;
	enum spdy_event event;
	spdy_decoder_init(&d);
	(void)spdy_decoder_feed(&d, bytes, size, &event, &f);
	assert_int_equal(event, SPDY_BAD);
	assert_string_equal(d.reason, reason);
	assert_int_equal(spdy_decoder_feed(&d, bytes, size, &event, &f), 0);
	assert_int_equal(event, SPDY_BAD);
	spdy_decoder_finish(&d);
}

#define BAD(bytes, reason) check_bad(bytes, sizeof(bytes) - 1, reason)

static void test_bad_frames(void **state)
{
	BAD("\x80\x02\x00\x06\x00\x00\x00\x04\x00\x00\x00\x01", "not SPDY version 3");
	BAD("\x80\x03\x00\x01\x00\x01\x00\x01", "control frame too large");
	BAD("\x80\x03\x00\x06\x00\x00\x00\x03\x00\x00\x00", "control frame of a wrong size");
	BAD("\x80\x03\x00\x03\x00\x00\x00\x00", "control frame of a wrong size");
	BAD("\x80\x03\x00\x01\x00\x00\x00\x09\x00\x00\x00\x01\x00\x00\x00\x00\x00",
		"malformed SYN_STREAM");
	BAD("\x80\x03\x00\x04\x00\x00\x00\x04\x00\x00\x00\x01", "malformed SETTINGS");
	BAD("\x80\x03\x00\x02\x00\x00\x00\x08\x00\x00\x00\x01zzzz",
		"header block cannot be decompressed");
}

/* A block as a peer compresses it that has its own mind: `text` is not checked by the encoder. */
static void add_block(z_stream *z, struct buf *to, const char *text, size_t size)
{
	static unsigned char room[200000];
	z->next_in = (unsigned char *)text;
	z->avail_in = (uInt)size;
	z->next_out = room;
	z->avail_out = sizeof(room);
	assert_int_equal(deflate(z, Z_SYNC_FLUSH), Z_OK);
	size_t n = sizeof(room) - z->avail_out;
	const unsigned char head[] = {0x80, 3, 0, SPDY_SYN_REPLY, 0, (unsigned char)((n + 4) >> 16),
		(unsigned char)((n + 4) >> 8), (unsigned char)(n + 4), 0, 0, 0, 1};
	buf_add(to, head, sizeof(head));
	buf_add(to, room, n);
}

static void check_bad_block(const char *text, size_t size, const char *reason)
{
	z_stream z = {0};
	struct buf b = BUF_INIT;
	assert_int_equal(deflateInit(&z, 9), Z_OK);
	add_block(&z, &b, text, size);
	deflateEnd(&z);
	check_bad(b.data, b.size, reason);
	buf_finish(&b);
}

#define BAD_BLOCK(text, reason) check_bad_block(text, sizeof(text) - 1, reason)

static void test_bad_header_blocks(void **state)
{
	BAD_BLOCK("\0\0", "malformed header block");
	BAD_BLOCK("\0\0\0\1\0\0\0\1A\0\0\0\0", "malformed header block"); /* upper case */
	BAD_BLOCK("\0\0\0\1\0\0\0\0\0\0\0\0", "malformed header block");  /* no name */
	BAD_BLOCK("\0\0\0\1\0\0\0\1a\xff\xff\xff\xff", "malformed header block");
	BAD_BLOCK("\0\0\0\0\0", "malformed header block"); /* more than it says */
	BAD_BLOCK("\0\1\0\0", "too many headers");
	/* A value of more parts than there may be headers. */
	char text[4 + 5 + 4 + 200] = "\0\0\0\1\0\0\0\1a\0\0\0\xc8";
	check_bad_block(text, sizeof(text), "too many headers");
	/* A bomb: 16 MiB in 16 KiB. */
	char *zeros = xcalloc(1, 16 << 20);
	check_bad_block(zeros, 16 << 20, "header block too large");
	free(zeros);
}

/* --- sessions --- */

static void test_echo(void **state)
{
	struct world *w = *state;
	w->server.echo = true;
	struct end *in = open_end(&w->client, 0, "stdin"), *out = open_end(&w->client, 1, "stdout");
	size_t size = 3 << 20;
	char *big = xmalloc(size);
	for (size_t i = 0; i < size; i++)
		big[i] = (char)(i * 31 + i / 256);
	spdy_write(in->st, big, size); /* before the peer took the stream */
	spdy_write(out->st, "b", 1);
	spdy_end(out->st);
	run_while(&w->f, in->in.size < size || !out->eof, 20000);
	assert_memory_equal(in->in.data, big, size);
	assert_string_equal(out->in.data, "b");
	assert_int_equal(in->replied, 1);
	assert_int_equal(in->eof, 0);
	assert_string_equal(w->server.ends[0].name, "stdin");
	assert_string_equal(w->server.ends[1].name, "stdout");
	/* Ours ended; theirs goes on. */
	spdy_end(in->st);
	run_while(&w->f, !in->eof, 5000);
	assert_int_equal(w->server.ends[0].eof, 1);
	free(big);
	spdy_close(TAKE_PTR(in->st));
	spdy_session_close(w->client.session);
	run_while(&w->f, w->client.session || w->server.session, 5000);
	assert_string_equal(w->client.text, "");
	assert_string_equal(w->server.text, "");
	assert_int_equal(out->status, SPDY_SESSION_GONE);
	assert_int_equal(w->server.ends[0].reset, 1);
	assert_null(w->server.ends[0].st);
}

static void test_server_opens(void **state)
{
	struct world *w = *state;
	struct end *e = open_end(&w->server, 0, "error");
	spdy_write(e->st, "x", 1);
	spdy_close(TAKE_PTR(e->st)); /* what was held back still goes */
	run_while(&w->f, !w->client.ends[0].eof, 5000);
	assert_string_equal(w->client.ends[0].in.data, "x");
	assert_string_equal(w->client.ends[0].name, "error");
}

static void test_refused(void **state)
{
	struct world *w = *state;
	w->server.refuse = true;
	struct end *e = open_end(&w->client, 0, "stdin");
	run_while(&w->f, !e->reset, 5000);
	assert_int_equal(e->status, SPDY_REFUSED_STREAM);
	/* Not taken is refused, too. */
	w->server.refuse = false;
	w->server.ignore = true;
	e = open_end(&w->client, 1, "stdin");
	run_while(&w->f, !e->reset, 5000);
	assert_int_equal(e->status, SPDY_REFUSED_STREAM);
}

static void test_reset_in_data(void **state)
{
	struct world *w = *state;
	w->server.reset_on_data = w->client.end_in_reset = true;
	struct end *e = open_end(&w->client, 0, "stdin");
	spdy_write(e->st, "a", 1);
	spdy_end(e->st); /* DATA and the end come behind each other */
	run_while(&w->f, !e->reset, 5000);
	assert_int_equal(e->status, SPDY_CANCEL);
	/* The session goes on. */
	w->server.reset_on_data = false;
	w->server.echo = true;
	e = open_end(&w->client, 1, "stdin");
	spdy_write(e->st, "a", 1);
	run_while(&w->f, !e->in.size, 5000);
}

static void test_close_in_data(void **state)
{
	struct world *w = *state;
	w->server.close_on_data = true;
	struct end *e = open_end(&w->client, 0, "stdin");
	run_while(&w->f, !e->replied, 5000);
	for (int i = 0; i < 10; i++) /* a frame each */
		spdy_write(e->st, "a", 1);
	run_while(&w->f, !e->eof, 5000);
	assert_int_equal(w->server.ends[0].in.size, 1);
	/* The whole session, in a callback. */
	w->server.close_on_data = false;
	w->server.close_session_on_data = true;
	e = open_end(&w->client, 1, "stdin");
	spdy_write(e->st, "a", 1);
	run_while(&w->f, w->client.session || w->server.session, 5000);
	assert_int_equal(e->status, SPDY_SESSION_GONE);
	assert_int_equal(w->client.closed, 1);
	assert_int_equal(w->server.closed, 1);
}

static void test_pause(void **state)
{
	struct world *w = *state;
	static char piece[32768];
	w->server.pause_on_data = true;
	struct end *e = open_end(&w->client, 0, "stdin"), *to = &w->server.ends[0];
	run_while(&w->f, !e->replied, 5000);
	size_t sent = 0;
	while (spdy_queued(e->st) <= 4 * STREAM_HIGH_BYTES) {
		spdy_write(e->st, piece, sizeof(piece));
		sent += sizeof(piece);
	}
	run_while(&w->f, !to->in.size, 5000);
	size_t before = to->in.size;
	run_turns(&w->f, 50);
	assert_true(to->in.size == before && before < sent);
	assert_int_equal(w->client.drained, 0);
	w->server.pause_on_data = false;
	spdy_resume(to->st);
	run_while(&w->f, to->in.size < sent || !w->client.drained, 20000);
	assert_int_equal(spdy_queued(e->st), 0);
	/* A paused stream that is let go pauses nobody. */
	w->server.pause_on_data = true;
	spdy_write(e->st, "x", 1);
	run_while(&w->f, to->in.size < sent + 1, 5000);
	spdy_close(TAKE_PTR(to->st));
	run_while(&w->f, !e->eof, 5000);
	w->server.pause_on_data = false;
	e = open_end(&w->client, 1, "stdin");
	spdy_write(e->st, "x", 1);
	run_while(&w->f, !w->server.ends[1].in.size, 5000);
}

/* More than the mark, held back until the peer takes the stream: the writer is told to go on. */
static void test_drained_after_reply(void **state)
{
	struct world *w = *state;
	static char piece[STREAM_HIGH_BYTES];
	struct end *e = open_end(&w->client, 0, "stdin");
	spdy_write(e->st, piece, sizeof(piece));
	assert_true(spdy_queued(e->st) > STREAM_HIGH_BYTES);
	run_while(&w->f, !w->client.drained, 5000);
	run_while(&w->f, w->server.ends[0].in.size < sizeof(piece), 5000);
}

/* --- a peer of raw bytes --- */

static void raw_bytes(struct world *w, const void *p, size_t size)
{
	assert_int_equal(send(w->fd, p, size, MSG_NOSIGNAL), size);
}

/* Frames from the session until one of the type. The data is collected. */
static struct spdy_frame next_frame(
	struct world *w, struct spdy_decoder *d, struct buf *data, enum spdy_type type)
{
	static char room[1];
	for (;;) {
		enum spdy_event event = SPDY_NEED_MORE;
		struct spdy_frame f;
		run_while(&w->f, recv(w->fd, room, 1, MSG_PEEK) < 0, 5000);
		assert_int_equal(recv(w->fd, room, 1, 0), 1);
		(void)spdy_decoder_feed(d, room, 1, &event, &f);
		assert_int_not_equal(event, SPDY_BAD);
		if (event != SPDY_FRAME)
			continue;
		if (f.type == SPDY_DATA && f.data.size)
			buf_add(data, f.data.p, f.data.size);
		if (f.type == type)
			return f;
	}
}

static void raw_open(struct world *w, uint32_t id)
{
	struct buf b = BUF_INIT;
	struct spdy_encoder e;
	spdy_encoder_init(&e);
	spdy_encode_headers(&e, &b, SPDY_SYN_STREAM, id, false, NULL, 0);
	raw_bytes(w, b.data, b.size);
	spdy_encoder_finish(&e);
	buf_finish(&b);
}

static void test_ping_and_goaway(void **state)
{
	struct world *w = *state;
	struct spdy_decoder d;
	struct buf b = BUF_INIT;
	spdy_decoder_init(&d);
	spdy_encode_control(&b, SPDY_PING, 2, 0); /* an answer to nothing */
	spdy_encode_control(&b, SPDY_PING, 7, 0);
	spdy_encode_control(&b, SPDY_GOAWAY, 0, 0);
	struct end *e = open_end(&w->server, 0, "a");
	raw_bytes(w, b.data, b.size);
	struct spdy_frame f = next_frame(w, &d, NULL, SPDY_PING);
	assert_int_equal(f.id, 7);
	/* Going away, it will not look at our stream any more, nor at new ones. */
	run_while(&w->f, !e->reset, 5000);
	assert_int_equal(e->status, SPDY_REFUSED_STREAM);
	assert_null(spdy_open(w->server.session, NULL, 0, &end_handler, NULL));
	spdy_decoder_finish(&d);
	buf_finish(&b);
}

static void test_windows(void **state)
{
	static const unsigned char settings[] = {
		0x80, 3, 0, 4, 0, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0, 7, 0, 0, 0, 100};
	struct world *w = *state;
	struct spdy_decoder d;
	struct buf b = BUF_INIT, data = BUF_INIT;
	static char piece[2 * STREAM_HIGH_BYTES];
	spdy_decoder_init(&d);
	raw_bytes(w, settings, sizeof(settings));
	raw_open(w, 1);
	run_while(&w->f, !w->server.opened, 5000);
	struct end *e = &w->server.ends[0];
	spdy_write(e->st, piece, sizeof(piece));
	run_turns(&w->f, 10);
	assert_int_equal(spdy_queued(e->st), sizeof(piece) - 100);
	(void)next_frame(w, &d, &data, SPDY_SYN_REPLY);
	while (data.size < 100)
		(void)next_frame(w, &d, &data, SPDY_DATA);
	/* Both windows must be open: the stream's, and the session's of 64 KiB. */
	spdy_encode_control(&b, SPDY_WINDOW_UPDATE, 1, 50);
	raw_bytes(w, b.data, b.size);
	while (data.size < 150)
		(void)next_frame(w, &d, &data, SPDY_DATA);
	buf_clear(&b);
	spdy_encode_control(&b, SPDY_WINDOW_UPDATE, 1, INT32_MAX);
	raw_bytes(w, b.data, b.size);
	while (data.size < SPDY_WINDOW_BYTES)
		(void)next_frame(w, &d, &data, SPDY_DATA);
	run_turns(&w->f, 10);
	assert_int_equal(spdy_queued(e->st), sizeof(piece) - SPDY_WINDOW_BYTES);
	assert_int_equal(w->server.drained, 0);
	/* The peer's data is counted for it. */
	buf_clear(&b);
	spdy_encode_data_head(&b, 1, false, 5);
	buf_add_str(&b, "hello");
	raw_bytes(w, b.data, b.size);
	struct spdy_frame f = next_frame(w, &d, &data, SPDY_WINDOW_UPDATE);
	assert_int_equal(f.id, 0);
	assert_int_equal(f.value, 5);
	f = next_frame(w, &d, &data, SPDY_WINDOW_UPDATE);
	assert_int_equal(f.id, 1);
	assert_string_equal(e->in.data, "hello");
	/* With room for all, the writer hears of it. */
	buf_clear(&b);
	spdy_encode_control(&b, SPDY_WINDOW_UPDATE, 0, sizeof(piece));
	raw_bytes(w, b.data, b.size);
	run_while(&w->f, !w->server.drained, 5000);
	spdy_decoder_finish(&d);
	buf_finish(&b);
	buf_finish(&data);
}

static void test_streams_out_of_order(void **state)
{
	struct world *w = *state;
	raw_open(w, 2); /* ours to give */
	struct spdy_decoder d;
	spdy_decoder_init(&d);
	struct spdy_frame f = next_frame(w, &d, NULL, SPDY_GOAWAY);
	assert_int_equal(f.value, SPDY_PROTOCOL_ERROR);
	assert_int_equal(w->server.opened, 0);
	close(w->fd);
	w->fd = -1;
	run_while(&w->f, w->server.session, 5000);
	assert_string_equal(w->server.text, "the peer opened a stream out of order");
	spdy_decoder_finish(&d);
}

static void test_garbage(void **state)
{
	struct world *w = *state;
	raw_open(w, 1);
	run_while(&w->f, !w->server.opened, 5000);
	raw_bytes(w, "GET / HTTP/1.1\r\n\r\n", 18); /* a data frame of no stream: harmless */
	raw_bytes(w, "\xff\xff\xff\xff\xff\xff\xff\xff", 8);
	close(w->fd);
	w->fd = -1;
	run_while(&w->f, w->server.session, 5000);
	assert_int_equal(w->server.ends[0].reset, 1);
}

static void test_peer_vanishes(void **state)
{
	struct world *w = *state;
	raw_open(w, 1);
	run_while(&w->f, !w->server.opened, 5000);
	static char piece[STREAM_HIGH_BYTES];
	spdy_write(w->server.ends[0].st, piece, sizeof(piece));
	close(w->fd);
	w->fd = -1;
	run_while(&w->f, w->server.session, 5000);
	assert_int_equal(w->server.ends[0].status, SPDY_SESSION_GONE);
	assert_int_equal(w->server.closed, 1);
}

/* Asking without taking the answers must not pile them up in memory. */
static void test_ping_flood(void **state)
{
	struct world *w = *state;
	struct buf b = BUF_INIT;
	for (int i = 0; i < 4096; i++)
		spdy_encode_control(&b, SPDY_PING, 1, 0);
	size_t sent = 0;
	unsigned stalled = 0; /* turns of the loop in which nothing was taken */
	while (stalled < 100 && sent < 64u << 20) {
		size_t at = sent % b.size;
		ssize_t n = send(w->fd, b.data + at, b.size - at, MSG_NOSIGNAL);
		stalled = n > 0 ? 0 : stalled + 1;
		if (n > 0)
			sent += (size_t)n;
		run_turns(&w->f, 1);
	}
	assert_int_equal(stalled, 100);
	assert_true(sent < 20u << 20);
	buf_finish(&b);
}

static void on_parted(void *joined)
{
	*(bool *)joined = false;
}

/* The program stops while two streams are joined, whose other ends do not leave. */
static void test_streams_break(void **state)
{
	struct stream *streams[2];
	int a[2], b[2];
	bool joined = true;
	struct err err = ERR_INIT;
	uv_loop_t loop;

	alarm(60);
	uv_loop_init(&loop);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, a), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, b), 0);
	assert_int_equal(stream_from_fd(&loop, a[0], &streams[0], &err), 0);
	assert_int_equal(stream_from_fd(&loop, b[0], &streams[1], &err), 0);
	stream_join(streams[0], streams[1], on_parted, &joined);
	uv_run(&loop, UV_RUN_NOWAIT);
	assert_true(joined);
	streams_break();
	uv_run(&loop, UV_RUN_DEFAULT);
	assert_false(joined);
	assert_int_equal(uv_loop_close(&loop), 0);
	close(a[1]);
	close(b[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_streams_break),
		cmocka_unit_test(test_headers_round_trip),
		cmocka_unit_test(test_dictionary),
		cmocka_unit_test(test_bad_frames),
		cmocka_unit_test(test_bad_header_blocks),
		cmocka_unit_test_setup_teardown(test_echo, setup, teardown),
		cmocka_unit_test_setup_teardown(test_server_opens, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reset_in_data, setup, teardown),
		cmocka_unit_test_setup_teardown(test_close_in_data, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pause, setup, teardown),
		cmocka_unit_test_setup_teardown(test_drained_after_reply, setup, teardown),
		cmocka_unit_test_setup_teardown(test_ping_and_goaway, setup_raw, teardown),
		cmocka_unit_test_setup_teardown(test_windows, setup_raw, teardown),
		cmocka_unit_test_setup_teardown(test_streams_out_of_order, setup_raw, teardown),
		cmocka_unit_test_setup_teardown(test_garbage, setup_raw, teardown),
		cmocka_unit_test_setup_teardown(test_peer_vanishes, setup_raw, teardown),
		cmocka_unit_test_setup_teardown(test_ping_flood, setup_raw, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

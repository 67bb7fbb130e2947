/* SPDY from a hostile peer. The frames' decoder tells the same however the bytes are cut; a session
 * in either role, whose user does everything in every callback, lets go of every stream.
 *
 * Input: a byte of flags, then either raw bytes for the decoder, or operations for a session:
 * frames that are built (so that header blocks are well compressed), raw bytes, and calls of the
 * user. */
#include "lib/http/spdy.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/socket.h>

enum { FLAG_SESSION = 1, FLAG_SERVER = 2, FLAG_LAZY = 4 };

#define STREAMS_HELD 8

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct input {
	const uint8_t *p;
	size_t size;
};

static uint8_t take(struct input *in)
{
	if (in->size == 0)
		return 0;
	in->size--;
	return *in->p++;
}

/* The decoder */

static void note(struct buf *out, const struct spdy_frame *f)
{
	if (f->type == SPDY_DATA) {
		if (f->data.size)
			buf_add(out, f->data.p, f->data.size);
		if (f->fin)
			buf_printf(out, "<fin %u>", f->id);
		return;
	}
	if (f->header_count > SPDY_HEADER_MAX_COUNT || f->window > INT32_MAX)
		abort();
	buf_printf(out, "<%d %u %u %" PRId64 " %d%d", f->type, f->id, f->value, f->window, f->fin,
		f->unidirectional);
	for (size_t i = 0; i < f->header_count; i++) {
		if (!*f->headers[i].name)
			abort();
		buf_printf(out, " %s=%s", f->headers[i].name, f->headers[i].value);
	}
	buf_add_char(out, '>');
}

static void transcript(struct input in, size_t step, struct buf *out)
{
	struct spdy_decoder d;
	spdy_decoder_init(&d);
	for (;;) {
		enum spdy_event event;
		struct spdy_frame f;
		size_t n = MIN(step, in.size);
		char *copy = xmalloc(MAX(n, 1u));

		memcpy(copy, in.p, n);
		size_t used = spdy_decoder_feed(&d, copy, n, &event, &f);
		if (used > n || (event == SPDY_NEED_MORE && used != n))
			abort();
		if (event == SPDY_FRAME)
			note(out, &f);
		free(copy);
		in.p += used;
		in.size -= used;
		if (event == SPDY_BAD) {
			buf_printf(out, "<bad %s>", d.reason);
			break;
		}
		if (event == SPDY_NEED_MORE && in.size == 0)
			break;
	}
	if (d.text.size > SPDY_HEADER_MAX_BYTES || d.block.size > SPDY_CONTROL_MAX_BYTES)
		abort();
	spdy_decoder_finish(&d);
}

static void fuzz_decoder(struct input in)
{
	struct buf whole = BUF_INIT, cut = BUF_INIT;
	transcript(in, SIZE_MAX, &whole);
	transcript(in, 3, &cut);
	if (whole.size != cut.size || (whole.size && memcmp(whole.data, cut.data, whole.size) != 0))
		abort();
	buf_finish(&whole);
	buf_finish(&cut);
}

/* The session */

static uv_loop_t *loop;
static struct spdy_session *session;
static struct spdy_stream *held[STREAMS_HELD]; /* handles that are good */
static uint8_t action;			       /* what the next callback does */

static void act(uint8_t what, unsigned at);

static void let_go(struct spdy_stream **at, bool reset)
{
	struct spdy_stream *st = TAKE_PTR(*at);
	if (reset)
		spdy_reset(st, SPDY_CANCEL);
	else
		spdy_close(st);
}

static void on_replied(void *user, const struct spdy_header *headers, size_t count)
{
	(void)spdy_header_get(headers, count, "a");
	act(action, (unsigned)((struct spdy_stream **)user - held));
}

static void on_data(void *user, const char *p, size_t size)
{
	act(action, (unsigned)((struct spdy_stream **)user - held));
}

static void on_eof(void *user)
{
	act(action, (unsigned)((struct spdy_stream **)user - held));
}

static void on_reset(void *user, int status)
{
	struct spdy_stream **at = user;
	if (!*at)
		abort(); /* told of a stream that was let go */
	act(action, (unsigned)(at - held));
	*at = NULL;
}

static const struct spdy_stream_handler stream_handler = {
	.replied = on_replied,
	.data = on_data,
	.eof = on_eof,
	.reset = on_reset,
};

static struct spdy_stream **free_place(void)
{
	for (unsigned i = 0; i < STREAMS_HELD; i++)
		if (!held[i])
			return &held[i];
	return NULL;
}

static void on_opened(void *user, struct spdy_stream *st, const struct spdy_header *headers,
	size_t count, bool fin)
{
	struct spdy_stream **at = free_place();
	if (!at) {
		spdy_reset(st, SPDY_REFUSED_STREAM);
		return;
	}
	*at = st;
	spdy_accept(st, headers, MIN(count, 2u), &stream_handler, at);
	act(action, (unsigned)(at - held));
}

static void on_drained(void *user)
{
	act(action, 0);
}

static void on_closed(void *user, const char *text)
{
	for (unsigned i = 0; i < STREAMS_HELD; i++)
		if (held[i])
			abort(); /* was not told */
	session = NULL;
}

/* One call of the user. */
static void act(uint8_t what, unsigned at)
{
	static const char bytes[100000];
	static const struct spdy_header h[] = {
		{"Streamtype", "stdin"}, {"port", "80"}, {"port", "81"}};
	struct spdy_stream **place = &held[at % STREAMS_HELD];
	switch (what % 16) {
	case 1:
		place = free_place();
		if (place && session)
			*place = spdy_open(session, h, ARRAY_LEN(h), &stream_handler, place);
		return;
	case 2:
		if (session)
			spdy_session_close(session);
		return;
	default:
		break;
	}
	if (!*place)
		return;
	switch (what % 16) {
	case 3:
		spdy_write(*place, bytes, 10);
		break;
	case 4:
		spdy_write(*place, bytes, sizeof(bytes));
		break;
	case 5:
		spdy_end(*place);
		break;
	case 6:
		let_go(place, false);
		break;
	case 7:
		let_go(place, true);
		break;
	case 8:
		spdy_pause(*place);
		break;
	case 9:
		spdy_resume(*place);
		break;
	case 10:
		(void)spdy_queued(*place);
		break;
	default:
		break;
	}
}

static void build_headers(
	struct spdy_encoder *e, struct buf *to, enum spdy_type type, struct input *in)
{
	struct spdy_header h[20];
	char values[20][8];
	uint32_t id = take(in);
	uint8_t how = take(in);
	size_t count = MIN((size_t)(how >> 3), ARRAY_LEN(h));
	for (size_t i = 0; i < count; i++) {
		snprintf(values[i], sizeof(values[i]), "%u", i ? (unsigned)i : take(in));
		h[i] = (struct spdy_header){i % 3 ? "streamtype" : values[i], values[i]};
	}
	spdy_encode_headers(e, to, type, id, how & 1, h, count);
}

/* One operation; bytes for the session are added to `to`. */
static void operate(struct input *in, struct spdy_encoder *e, struct buf *to)
{
	static const char bytes[1024];
	uint8_t op = take(in);
	uint32_t id = take(in);
	switch (op % 16) {
	case 0:
		build_headers(e, to, SPDY_SYN_STREAM, in);
		break;
	case 1:
		build_headers(e, to, SPDY_SYN_REPLY, in);
		break;
	case 2:
		build_headers(e, to, SPDY_HEADERS, in);
		break;
	case 3:
		spdy_encode_data_head(to, id, op & 16, op & 32 ? sizeof(bytes) : 1);
		buf_add(to, bytes, op & 32 ? sizeof(bytes) : 1);
		break;
	case 4:
		spdy_encode_control(to, SPDY_RST_STREAM, id, take(in));
		break;
	case 5:
		spdy_encode_control(to, SPDY_PING, id, 0);
		break;
	case 6:
		spdy_encode_control(to, SPDY_GOAWAY, id, 0);
		break;
	case 7:
		spdy_encode_control(to, SPDY_WINDOW_UPDATE, id, (uint32_t)take(in) << (op >> 4));
		break;
	case 8: { /* SETTINGS with an initial window */
		uint32_t window = (uint32_t)take(in) << (op >> 4);
		const unsigned char frame[20] = {0x80, 3, 0, 4, 0, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0, 7,
			(unsigned char)(window >> 24), (unsigned char)(window >> 16),
			(unsigned char)(window >> 8), (unsigned char)window};
		buf_add(to, frame, sizeof(frame));
		break;
	}
	case 9: { /* raw */
		size_t n = MIN(id, in->size);
		if (n)
			buf_add(to, in->p, n);
		in->p += n;
		in->size -= n;
		break;
	}
	case 10:
		action = (uint8_t)id;
		break;
	default:
		act((uint8_t)id, op >> 4);
		break;
	}
}

static void turn(int fd, bool lazy)
{
	char room[65536];
	uv_run(loop, UV_RUN_NOWAIT);
	while (!lazy && recv(fd, room, sizeof(room), MSG_DONTWAIT) > 0)
		;
}

static void fuzz_session(struct input in, bool server, bool lazy)
{
	static const struct spdy_handler handler = {
		.opened = on_opened,
		.drained = on_drained,
		.closed = on_closed,
	};
	struct spdy_encoder e;
	struct stream *s;
	int fd[2];
	if (!loop) {
		loop = xcalloc(1, sizeof(*loop));
		if (uv_loop_init(loop) < 0)
			abort();
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd) < 0)
		return;
	if (stream_from_fd(loop, fd[0], &s, NULL) < 0)
		abort();
	spdy_encoder_init(&e);
	action = 0;
	session = spdy_session_create(s, server, &handler, NULL);
	for (int i = 0; in.size && i < 200; i++) {
		struct buf to = BUF_INIT;
		operate(&in, &e, &to);
		if (to.size)
			(void)send(fd[1], to.data, to.size, MSG_NOSIGNAL);
		buf_finish(&to);
		turn(fd[1], lazy);
	}
	turn(fd[1], false);
	action = 0;
	close(fd[1]);
	for (int i = 0; session && i < 100000; i++) {
		if (i == 10)
			spdy_session_close(session); /* a paused one does not see the end */
		uv_run(loop, UV_RUN_NOWAIT);
	}
	if (session)
		abort();
	spdy_encoder_finish(&e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 1)
		return 0;
	struct input in = {data + 1, size - 1};
	if (data[0] & FLAG_SESSION)
		fuzz_session(in, data[0] & FLAG_SERVER, data[0] & FLAG_LAZY);
	else
		fuzz_decoder(in);
	return 0;
}

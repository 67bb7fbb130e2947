/* The protocol as RFC 9113 and RFC 7541 have it, in raw frames over plain connections. A case is a
 * script of frames and what must come of it.
 *
 *   script:  "TYPE FLAGS STREAM PAYLOAD" a frame, several parted by ';'. All in hexadecimal, the
 *            payload with spaces where it reads better; "*N" repeats the payload's last byte to N
 *            bytes (decimal), "L=N" before the payload states a length other than the payload's.
 *   want:    what must come, alternatives parted by '|':
 *            "goaway CODE", "rst STREAM CODE", "status STREAM CODE", "pong", "ack", "close",
 *            "body STREAM N" (bytes on that stream). A code in hexadecimal.
 *            "fine" = nothing of rst, goaway, close; and a ping is answered. */
#include "lib/http/http_test_util.h"
#include "lib/http/h2_impl.h"

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

/* Header blocks: :method :scheme http, :path, :authority "a". */
#define GET "82 86 84 41 01 61"
#define POST "83 86 84 41 01 61"
#define GET_BIG "82 86 04 04 2f 62 69 67 41 01 61"		/* /big */
#define GET_LATER "82 86 04 06 2f 6c 61 74 65 72 41 01 61"	/* /later */
#define OPEN "1 4 1 " POST					/* a stream that is left open */
#define POST_FOLLOW "83 86 04 07 2f 66 6f 6c 6c 6f 77 41 01 61" /* /follow */

/* --- the server --- */

#define LATER_MAX 1024
static struct http_request *later[LATER_MAX];
static unsigned later_count, cancelled_count, handled_count, closed_count;
static char big_body[100000];

static void on_cancelled(struct http_request *req)
{
	cancelled_count++;
	for (unsigned i = 0; i < later_count; i++)
		if (later[i] == req)
			later[i] = later[--later_count];
	http_abort(req);
}

static void on_closed(struct http_request *req)
{
	closed_count++;
}

/* A body that is taken as it comes. */
static struct {
	struct http_request *req;
	size_t size;
	bool ended;
} followed;

static bool is_followed(const struct http_request *req)
{
	return streq(req->path, "/follow");
}

static void on_followed(struct http_request *req, const char *p, size_t size)
{
	followed.size += size;
}

static void on_followed_end(struct http_request *req)
{
	followed.ended = true;
}

static void on_followed_gone(struct http_request *req)
{
	followed.req = NULL;
	cancelled_count++;
	http_abort(req);
}

static void handler(struct http_request *req, void *user)
{
	handled_count++;
	req->closed = on_closed;
	if (req->body_is_open) {
		assert_true(http_body_follow(req, on_followed, on_followed_end));
		req->cancelled = on_followed_gone;
		followed.req = req;
	} else if (streq(req->path, "/big")) {
		struct blob *b = blob_new(big_body, sizeof(big_body));
		http_respond_parts(req, 200, NULL, NULL, &(struct http_part){.blob = b}, 1);
		blob_unref(b);
	} else if (streq(req->path, "/later") && later_count < LATER_MAX) {
		req->cancelled = on_cancelled;
		later[later_count++] = req;
	} else {
		http_respond(req, 200, "text/plain", "X-Upper: a\r\nConnection: close\r\n",
			req->body_size ? req->body : "ok", req->body_size ? req->body_size : 2);
	}
}

static void answer_later(void)
{
	while (later_count) {
		struct http_request *req = later[--later_count];
		http_stream_begin(req, 200, "text/plain", NULL);
		http_stream_write(req, "one", 3);
		http_stream_end(req);
	}
}

/* --- a client --- */

struct frame {
	uint8_t type, flags;
	uint32_t stream;
	size_t size, at; /* of the payload in `in` */
};

struct peer {
	struct fixture *f;
	int fd;
	struct buf in;
	struct frame frames[4096];
	size_t frame_count, parsed;
	int status[64]; /* by stream */
	size_t body[64];
	nghttp2_hd_inflater *inflater;
	bool closed;
};

static void put_frame(struct buf *b, unsigned type, unsigned flags, uint32_t stream,
	const void *payload, size_t size, size_t stated)
{
	const uint8_t head[9] = {(uint8_t)(stated >> 16), (uint8_t)(stated >> 8), (uint8_t)stated,
		(uint8_t)type, (uint8_t)flags, (uint8_t)(stream >> 24), (uint8_t)(stream >> 16),
		(uint8_t)(stream >> 8), (uint8_t)stream};
	buf_add(b, head, sizeof(head));
	if (size)
		buf_add(b, payload, size);
}

static void put_script(struct buf *b, const char *script)
{
	while (*script) {
		char *end;
		unsigned type = (unsigned)strtoul(script, &end, 16);
		unsigned flags = (unsigned)strtoul(end, &end, 16);
		uint32_t stream = (uint32_t)strtoul(end, &end, 16);
		struct buf payload = BUF_INIT;
		size_t stated = SIZE_MAX;
		while (*end == ' ')
			end++;
		if (str_has_prefix(end, "L="))
			stated = strtoul(end + 2, &end, 10);
		while (*end && *end != ';') {
			if (*end == '*') {
				size_t n = strtoul(end + 1, &end, 10);
				char last = payload.size ? payload.data[payload.size - 1] : 0;
				while (payload.size < n)
					buf_add_char(&payload, last);
			} else if (*end == ' ') {
				end++;
			} else {
				char two[3] = {end[0], end[1], 0};
				buf_add_char(&payload, (char)strtoul(two, NULL, 16));
				end += 2;
			}
		}
		put_frame(b, type, flags, stream, payload.data, payload.size,
			stated == SIZE_MAX ? payload.size : stated);
		buf_finish(&payload);
		script = *end ? end + 1 : end;
	}
}

static void peer_take_block(struct peer *p, const struct frame *f)
{
	uint8_t *in = (uint8_t *)p->in.data + f->at;
	size_t size = f->size;
	for (;;) {
		nghttp2_nv nv;
		int flags = 0;
		ssize_t n = nghttp2_hd_inflate_hd2(p->inflater, &nv, &flags, in, size, 1);
		assert_true(n >= 0);
		in += n;
		size -= (size_t)n;
		if (flags & NGHTTP2_HD_INFLATE_EMIT) {
			if (nv.namelen == 7 && memcmp(nv.name, ":status", 7) == 0 && f->stream < 64)
				p->status[f->stream] = atoi((const char *)nv.value);
			for (size_t i = 0; i < nv.namelen; i++)
				assert_false(nv.name[i] >= 'A' && nv.name[i] <= 'Z');
			assert_false(nv.namelen == 10 && memcmp(nv.name, "connection", 10) == 0);
		}
		if (flags & NGHTTP2_HD_INFLATE_FINAL) {
			nghttp2_hd_inflate_end_headers(p->inflater);
			return;
		}
	}
}

static void peer_receive(struct peer *p)
{
	char room[65536];
	for (;;) {
		ssize_t n = recv(p->fd, room, sizeof(room), MSG_DONTWAIT);
		if (n > 0) {
			buf_add(&p->in, room, (size_t)n);
			continue;
		}
		if (n == 0 || errno != EAGAIN)
			p->closed = true;
		break;
	}
	while (p->in.size - p->parsed >= 9 && p->frame_count < ARRAY_LEN(p->frames)) {
		const uint8_t *h = (const uint8_t *)p->in.data + p->parsed;
		struct frame f = {.type = h[3],
			.flags = h[4],
			.size = (size_t)(h[0] << 16 | h[1] << 8 | h[2]),
			.stream = (uint32_t)(h[5] << 24 | h[6] << 16 | h[7] << 8 | h[8]),
			.at = p->parsed + 9};
		if (p->in.size - f.at < f.size)
			break;
		p->parsed = f.at + f.size;
		p->frames[p->frame_count++] = f;
		if (f.type == NGHTTP2_HEADERS)
			peer_take_block(p, &f);
		if (f.type == NGHTTP2_DATA && f.stream < 64)
			p->body[f.stream] += f.size;
	}
}

static void peer_turn(struct peer *p, int turns)
{
	while (turns-- > 0) {
		uv_run(&p->f->loop, UV_RUN_NOWAIT);
		peer_receive(p);
	}
}

static void peer_send(struct peer *p, const void *data, size_t size)
{
	const char *at = data;
	int in_vain = 0;
	while (size && !p->closed && in_vain < 100) {
		ssize_t n = send(p->fd, at, size, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n > 0) {
			at += n;
			size -= (size_t)n;
			in_vain = 0;
		} else if (errno != EAGAIN) {
			break;
		} else {
			in_vain++;
		}
		peer_turn(p, 2);
	}
	peer_turn(p, 6);
}

static void peer_script(struct peer *p, const char *script)
{
	_cleanup_(buf_finish) struct buf b = BUF_INIT;
	put_script(&b, script);
	peer_send(p, b.data, b.size);
}

/* With what every connection begins with, unless `raw`. */
static struct peer *peer_on(struct fixture *f, int fd, bool raw)
{
	struct peer *p = xcalloc(1, sizeof(*p));
	p->f = f;
	p->fd = fd;
	assert_int_equal(nghttp2_hd_inflate_new(&p->inflater), 0);
	if (!raw) {
		peer_send(p, PREFACE, strlen(PREFACE));
		peer_script(p, "4 0 0");
	}
	return p;
}

/* Over a pair of sockets, where what was sent is there at once. */
static struct peer *peer_open(struct fixture *f, bool raw)
{
	int fd[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
	http_conn_start(f->server, fd[0]);
	return peer_on(f, fd[1], raw);
}

static void peer_close(struct peer *p)
{
	close(p->fd);
	peer_turn(p, 4);
	nghttp2_hd_inflate_del(p->inflater);
	buf_finish(&p->in);
	free(p);
}

static uint32_t code_at(const struct peer *p, size_t at)
{
	const uint8_t *c = (const uint8_t *)p->in.data + at;
	return (uint32_t)c[0] << 24 | (uint32_t)c[1] << 16 | (uint32_t)c[2] << 8 | c[3];
}

static bool saw(const struct peer *p, uint8_t type, int64_t stream, int64_t code)
{
	for (size_t i = 0; i < p->frame_count; i++) {
		const struct frame *f = &p->frames[i];
		if (f->type != type || (stream >= 0 && f->stream != stream))
			continue;
		if (code < 0 || code_at(p, f->at + (type == NGHTTP2_GOAWAY ? 4 : 0)) == code)
			return true;
	}
	return false;
}

static bool saw_flag(const struct peer *p, uint8_t type, uint8_t flag)
{
	for (size_t i = 0; i < p->frame_count; i++)
		if (p->frames[i].type == type && (p->frames[i].flags & flag))
			return true;
	return false;
}

static bool met(struct peer *p, const char *want)
{
	unsigned a = 0, b = 0;
	if (sscanf(want, "goaway %x", &a) == 1)
		return saw(p, NGHTTP2_GOAWAY, 0, a) && p->closed;
	if (sscanf(want, "rst %u %x", &a, &b) == 2)
		return saw(p, NGHTTP2_RST_STREAM, a, b);
	if (sscanf(want, "status %u %u", &a, &b) == 2)
		return p->status[a] == (int)b && !saw(p, NGHTTP2_GOAWAY, -1, -1);
	if (sscanf(want, "body %u %u", &a, &b) == 2)
		return p->body[a] == b && !saw(p, NGHTTP2_GOAWAY, -1, -1);
	if (str_has_prefix(want, "pong"))
		return saw_flag(p, NGHTTP2_PING, NGHTTP2_FLAG_ACK);
	if (str_has_prefix(want, "ack"))
		return saw_flag(p, NGHTTP2_SETTINGS, NGHTTP2_FLAG_ACK);
	if (str_has_prefix(want, "close"))
		return p->closed;
	if (str_has_prefix(want, "fine")) {
		peer_script(p, "6 0 0 0102030405060708");
		return !p->closed && saw_flag(p, NGHTTP2_PING, NGHTTP2_FLAG_ACK) &&
		       !saw(p, NGHTTP2_RST_STREAM, -1, -1) && !saw(p, NGHTTP2_GOAWAY, -1, -1);
	}
	fail_msg("no such expectation: %s", want);
	return false;
}

static bool met_any(struct peer *p, const char *want)
{
	for (; want; want = strchr(want, '|')) {
		want += strspn(want, "| ");
		if (met(p, want))
			return true;
	}
	return false;
}

static const struct protocol_case {
	const char *name, *script, *want;
} cases[] = {
	/* The basics. */
	{"a request", "1 5 1 " GET, "status 1 200"},
	{"a body", "1 4 1 " POST ";0 1 1 61626364", "body 1 4"},
	{"an empty last DATA", "1 4 1 " POST ";0 0 1 6161;0 1 1", "body 1 2"},
	{"padded HEADERS", "1 d 1 03 " GET " 000000", "status 1 200"},
	{"padded DATA", "1 4 1 " POST ";0 9 1 02 6161 0000", "body 1 2"},
	{"HEADERS with priority", "1 25 1 0000000010 " GET, "status 1 200"},
	{"several streams", "1 5 1 " GET ";1 5 3 " GET ";1 5 5 " GET, "status 5 200"},
	{"trailers", "1 4 1 " POST ";0 0 1 6162;1 5 1 00 01 78 01 79", "body 1 2"},
	{"HEAD", "1 5 1 02 04 48454144 86 84 41 01 61", "status 1 200"},
	{"what it answers HEAD has no body", "1 5 1 02 04 48454144 86 84 41 01 61", "body 1 0"},
	{"a literal that is never indexed", "1 5 1 " GET " 10 01 78 01 79", "status 1 200"},
	{"a literal not indexed", "1 5 1 " GET " 00 01 78 01 79", "status 1 200"},
	{"a Huffman-coded value", "1 5 1 82 86 84 41 8c f1e3c2e5f23a6ba0ab90f4ff", "status 1 200"},
	{"an indexed field of the dynamic table", "1 5 1 " GET ";1 5 3 82 86 84 be",
		"status 3 200"},
	{"a smaller table", "1 5 1 20 " GET, "status 1 200"},
	{"a table made small, then large", "1 5 1 20 3f e1 1f " GET, "status 1 200"},

	/* 3.4 and 4.1: preface and frames */
	{"settings are acknowledged", "4 0 0 0003 00000064", "ack"},
	{"an unknown frame type", "16 0 0 00000000", "fine"},
	{"one on a stream", OPEN ";16 ff 1 00000000", "fine"},
	{"undefined flags", "6 16 0 0000000000000000", "pong"},
	{"the reserved bit", "6 0 80000000 0000000000000000", "pong"},

	/* 4.2 */
	{"DATA of the largest size", "1 4 1 " POST ";0 1 1 61*16384", "body 1 16384"},
	{"DATA above it", "1 4 1 " POST ";0 1 1 61*16385", "goaway 6|rst 1 6"},
	{"HEADERS above it", "1 5 1 " GET " 00 01 78 01*16385", "goaway 6"},

	/* 4.3 */
	{"a broken header block", "1 5 1 0040002f", "goaway 9"},
	{"PRIORITY inside of a header block", "1 1 1 " GET ";2 0 1 0000000010;9 4 1", "goaway 1"},
	{"another stream's HEADERS inside", "1 1 1 " GET ";1 5 3 " GET, "goaway 1"},
	{"an unknown frame inside", "1 1 1 " GET ";16 0 1 00", "goaway 1"},
	{"DATA inside", "1 0 1 " POST ";0 1 1 61", "goaway 1"},

	/* 5.1: states */
	{"DATA on an idle stream", "0 1 1 61", "goaway 1"},
	{"RST_STREAM on one", "3 0 1 00000008", "goaway 1"},
	{"WINDOW_UPDATE on one", "8 0 1 00000064", "goaway 1"},
	{"CONTINUATION on one", "9 4 1 " GET, "goaway 1"},
	{"DATA after the end", "1 5 1 " GET_LATER ";0 1 1 61", "rst 1 5|goaway 5"},
	{"HEADERS after the end", "1 5 1 " GET_LATER ";1 5 1 " GET, "rst 1 5|goaway 5"},
	{"CONTINUATION after the end", "1 5 1 " GET_LATER ";9 4 1 " GET, "goaway 1|goaway 5"},
	{"WINDOW_UPDATE after the end", "1 5 1 " GET_LATER ";8 0 1 00000064", "fine"},
	{"DATA after a reset", OPEN ";3 0 1 00000008;0 1 1 61", "rst 1 5|goaway 5|fine"},
	{"HEADERS after a reset", OPEN ";3 0 1 00000008;1 5 1 " GET, "rst 1 5|goaway 5|goaway 1"},
	{"CONTINUATION after one", OPEN ";3 0 1 00000008;9 4 1 " GET, "goaway 5|goaway 1"},
	{"DATA on a closed stream", "1 5 1 " GET ";0 1 1 61", "rst 1 5|goaway 5|fine"},
	{"HEADERS on one", "1 5 1 " GET ";1 5 1 " GET, "rst 1 5|goaway 5|goaway 1"},
	{"CONTINUATION on one", "1 5 1 " GET ";9 4 1 " GET, "goaway 5|goaway 1"},
	{"WINDOW_UPDATE on one", "1 5 1 " GET ";8 0 1 00000064", "fine"},
	{"RST_STREAM on one", "1 5 1 " GET ";3 0 1 00000008", "fine"},
	{"PRIORITY on one", "1 5 1 " GET ";2 0 1 0000000010", "fine"},
	{"PRIORITY on an idle one", "2 0 3 0000000010", "fine"},

	/* 5.1.1 */
	{"an even stream", "1 5 2 " GET, "goaway 1"},
	{"a stream number that goes back", "1 5 5 " GET ";1 5 3 " GET, "goaway 1|goaway 5"},

	/* 6.1 */
	{"DATA on stream 0", "0 1 0 61", "goaway 1"},
	{"padding longer than DATA", OPEN ";0 9 1 06 616161", "goaway 1"},
	{"padding and no room for its length", OPEN ";0 8 1", "goaway 1|goaway 6"},
	/* 6.2 */
	{"HEADERS on stream 0", "1 5 0 " GET, "goaway 1"},
	{"padding longer than HEADERS", "1 d 1 ff " GET, "goaway 1"},
	/* 6.3 */
	{"PRIORITY on stream 0", "2 0 0 0000000010", "goaway 1"},
	{"PRIORITY of 4 bytes", OPEN ";2 0 1 00000000", "goaway 6|rst 1 6"},
	/* 6.4 */
	{"RST_STREAM on stream 0", "3 0 0 00000008", "goaway 1"},
	{"RST_STREAM of 3 bytes", OPEN ";3 0 1 000000", "goaway 6"},
	{"RST_STREAM of an unknown code", OPEN ";3 0 1 000000ff", "fine"},
	/* 6.5 */
	{"an acknowledgement with a payload", "4 1 0 0003 00000064", "goaway 6"},
	{"SETTINGS on a stream", "4 0 1 0003 00000064", "goaway 1"},
	{"SETTINGS of 3 bytes", "4 0 0 000300", "goaway 6"},
	{"ENABLE_PUSH of 2", "4 0 0 0002 00000002", "goaway 1"},
	{"an initial window too large", "4 0 0 0004 80000000", "goaway 3"},
	{"a frame size too small", "4 0 0 0005 00003fff", "goaway 1"},
	{"a frame size too large", "4 0 0 0005 01000000", "goaway 1"},
	{"an unknown setting", "4 0 0 00ff 00000001", "fine"},
	{"a setting twice: the last one holds", "4 0 0 0004 00000064 0004 00000001;1 5 1 " GET_BIG,
		"body 1 1"},
	/* 6.6 */
	{"PUSH_PROMISE from a client", "5 4 1 00000002 " GET, "goaway 1"},
	/* 6.7 */
	{"PING", "6 0 0 0102030405060708", "pong"},
	{"PING on a stream", "6 0 1 0102030405060708", "goaway 1"},
	{"PING of 6 bytes", "6 0 0 010203040506", "goaway 6"},
	{"an answered PING", "6 1 0 0102030405060708", "fine"},
	/* 6.8 */
	{"GOAWAY on a stream", "7 0 1 00000000 00000000", "goaway 1"},
	{"GOAWAY of 4 bytes", "7 0 0 00000000", "goaway 6"},
	{"GOAWAY lets requests end", "1 4 1 " POST ";7 0 0 00000000 000000ff;0 1 1 61",
		"status 1 200"},
	/* 6.9 */
	{"a window update of 0", "8 0 0 00000000", "goaway 1"},
	{"one on a stream", OPEN ";8 0 1 00000000", "rst 1 1|goaway 1"},
	{"WINDOW_UPDATE of 3 bytes", "8 0 0 000001", "goaway 6"},
	{"a window of 1 byte", "4 0 0 0004 00000001;1 5 1 " GET, "body 1 1"},
	{"a window of none", "4 0 0 0004 00000000;1 5 1 " GET, "body 1 0"},
	{"that grows by an update", "4 0 0 0004 00000000;1 5 1 " GET ";8 0 1 00000001", "body 1 1"},
	{"that grows by a setting", "4 0 0 0004 00000000;1 5 1 " GET ";4 0 0 0004 00000001",
		"body 1 1"},
	{"a window below 0",
		"4 0 0 0004 00000003;1 5 1 " GET_BIG ";4 0 0 0004 00000002;8 0 1 00000002",
		"body 1 4"},
	{"the connection's window", "4 0 0 0004 00100000;1 5 1 " GET_BIG, "body 1 65535"},
	{"and its update", "4 0 0 0004 00100000;1 5 1 " GET_BIG ";8 0 0 00000010", "body 1 65551"},
	{"the connection's window overflows", "8 0 0 7fffffff;8 0 0 7fffffff", "goaway 3"},
	{"a stream's does", OPEN ";8 0 1 7fffffff;8 0 1 7fffffff", "rst 1 3|goaway 3"},
	{"by a setting", "4 0 0 0004 00000000;1 5 1 " GET_BIG ";8 0 1 7fffffff;4 0 0 0004 7fffffff",
		"goaway 3|rst 1 3"},
	/* 6.10 */
	{"CONTINUATIONs", "1 1 1 82 86;9 0 1 84;9 4 1 41 01 61", "status 1 200"},
	{"an empty HEADERS, then CONTINUATION", "1 1 1;9 4 1 " GET, "status 1 200"},
	{"CONTINUATION after END_HEADERS", "1 4 1 " POST ";9 4 1 " GET, "goaway 1"},
	{"CONTINUATION on stream 0", "1 1 1 " GET ";9 4 0 " GET, "goaway 1"},
	{"CONTINUATION of another stream", "1 1 1 " GET ";9 4 3 " GET, "goaway 1"},
	{"CONTINUATION after DATA", OPEN ";0 0 1 61;9 4 1 " GET, "goaway 1"},

	/* 8.1 */
	{"HEADERS in the middle of a body", OPEN ";0 0 1 61;1 4 1 00 01 78 01 79",
		"rst 1 1|goaway 1"},
	{"a pseudo-header in trailers", OPEN ";0 0 1 61;1 5 1 82", "rst 1 1|goaway 1"},
	/* 8.2 */
	{"an upper case name", "1 5 1 " GET " 00 01 58 01 79", "rst 1 1|goaway 1"},
	{"a name with a space", "1 5 1 " GET " 00 03 78 20 79 01 79",
		"rst 1 1|goaway 1|status 1 200"},
	{"a NUL in a value", "1 5 1 " GET " 00 01 78 02 00 79", "rst 1 1|goaway 1|status 1 200"},
	{"an empty name", "1 5 1 " GET " 00 00 01 79", "rst 1 1|goaway 1|status 1 200"},
	{"connection", "1 5 1 " GET " 00 0a 636f6e6e656374696f6e 01 79", "rst 1 1|goaway 1"},
	{"transfer-encoding",
		"1 4 1 " POST " 00 11 7472616e736665722d656e636f64696e67 07 6368756e6b6564",
		"rst 1 1|goaway 1"},
	{"upgrade", "1 5 1 " GET " 00 07 75706772616465 01 79", "rst 1 1|goaway 1"},
	{"te: gzip", "1 5 1 " GET " 00 02 7465 04 677a6970", "rst 1 1|goaway 1"},
	{"te: trailers", "1 5 1 " GET " 00 02 7465 08 747261696c657273", "status 1 200"},
	/* 8.3 */
	{"an unknown pseudo-header", "1 5 1 " GET " 00 02 3a78 01 79", "rst 1 1|goaway 1"},
	{":status in a request", "1 5 1 " GET " 88", "rst 1 1|goaway 1"},
	{"a pseudo-header behind a header", "1 5 1 82 86 00 01 78 01 79 84 41 01 61",
		"rst 1 1|goaway 1"},
	{"an empty :path", "1 5 1 82 86 04 00 41 01 61", "rst 1 1|goaway 1|status 1 400"},
	{"a :path without a slash", "1 5 1 82 86 04 01 61 41 01 61", "rst 1 1|status 1 400"},
	{"no :method", "1 5 1 86 84 41 01 61", "rst 1 1|goaway 1"},
	{"no :scheme", "1 5 1 82 84 41 01 61", "rst 1 1|goaway 1"},
	{"no :path", "1 5 1 82 86 41 01 61", "rst 1 1|goaway 1"},
	{":method twice", "1 5 1 82 82 86 84 41 01 61", "rst 1 1|goaway 1"},
	{":scheme twice", "1 5 1 82 86 86 84 41 01 61", "rst 1 1|goaway 1"},
	{":path twice", "1 5 1 82 86 84 84 41 01 61", "rst 1 1|goaway 1"},
	{":authority twice", "1 5 1 " GET " 01 01 62", "rst 1 1|goaway 1"},
	{"a fragment in :path", "1 5 1 82 86 04 03 2f 23 61 41 01 61", "rst 1 1|status 1 400"},
	{"no ASCII in it", "1 5 1 82 86 04 03 2f c3 a4 41 01 61", "rst 1 1|status 1 400"},
	{"CONNECT", "1 4 1 02 07 434f4e4e454354 41 01 61", "status 1 405|rst 1 1"},
	{"a way out of the tree", "1 5 1 82 86 04 06 2f612f2e2e2f 41 01 61", "status 1 400"},
	/* 8.1.1 */
	{"more than content-length", "1 4 1 " POST " 0f 0d 01 31;0 1 1 6162", "rst 1 1|goaway 1"},
	{"less than it", "1 4 1 " POST " 0f 0d 01 33;0 1 1 6162", "rst 1 1|goaway 1"},
	{"less than it, in pieces", "1 4 1 " POST " 0f 0d 01 35;0 0 1 6162;0 1 1 6162",
		"rst 1 1|goaway 1"},
	{"content-length twice", "1 4 1 " POST " 0f 0d 01 31 0f 0d 01 31;0 1 1 61",
		"rst 1 1|goaway 1"},
	{"no number", "1 4 1 " POST " 0f 0d 01 78;0 1 1 61", "rst 1 1|goaway 1"},
	{"3 MiB and a byte", "1 4 1 " POST " 0f 0d 07 33313435373239", "status 1 413"},

	/* RFC 7541 */
	{"an index beyond the tables", "1 5 1 " GET " ff 00", "goaway 9"},
	{"a name's index beyond them", "1 5 1 " GET " 7f 80 01 01 61", "goaway 9"},
	{"index 0", "1 5 1 " GET " 80", "goaway 9"},
	{"an integer without end", "1 5 1 " GET " ff ff ff ff ff ff ff ff ff ff ff", "goaway 9"},
	{"a string longer than the block", "1 5 1 " GET " 00 01 78 7f 79", "goaway 9"},
	{"Huffman padding longer than 7 bits", "1 5 1 " GET " 00 85 f2b24a84ff 84 49509f ff",
		"goaway 9"},
	{"Huffman padding of zeros", "1 5 1 " GET " 00 85 f2b24a8400 83 49509f", "goaway 9"},
	{"Huffman EOS", "1 5 1 " GET " 00 85 f2b24a84ff 87 497f ff ff ff ff 00", "goaway 9"},
	{"a table's size at the end", "1 5 1 " GET " 20", "goaway 9"},
	{"a table larger than allowed", "1 5 1 3f e2 1f " GET, "goaway 9"},
	{"a block that ends in the middle", "1 5 1 82 86 84 41 05 61", "goaway 9"},
};

static int setup(void **state)
{
	later_count = cancelled_count = handled_count = closed_count = 0;
	*state = fixture_create(false, handler, 0);
	return 0;
}

static int teardown(void **state)
{
	fixture_destroy(*state);
	return 0;
}

static void test_protocol(void **state)
{
	unsigned bad = 0;
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const struct protocol_case *c = &cases[i];
		struct peer *p = peer_open(*state, false);
		peer_script(p, c->script);
		if (!met_any(p, c->want)) {
			bad++;
			print_error("%s: wanted %s; status %d, body %zu%s\n", c->name, c->want,
				p->status[1], p->body[1], p->closed ? ", closed" : "");
			for (size_t n = 0; n < p->frame_count; n++)
				print_error("  frame %u on %u, %zu bytes%s%x\n", p->frames[n].type,
					p->frames[n].stream, p->frames[n].size,
					p->frames[n].size >= 4 ? ", begins " : "",
					p->frames[n].size >= 4 ? code_at(p, p->frames[n].at) : 0);
		}
		peer_close(p);
		assert_int_equal(((struct fixture *)*state)->server->conn_count, 0);
	}
	assert_int_equal(bad, 0);
	assert_int_equal(handled_count, closed_count);
}

/* The same must come of any cut. */
static void test_cuts(void **state)
{
	for (size_t step = 1; step <= 33; step += 8) {
		struct peer *p = peer_open(*state, true);
		_cleanup_(buf_finish) struct buf b = BUF_INIT;
		buf_add_str(&b, PREFACE);
		put_script(&b, "4 0 0 0003 00000064;1 4 1 " POST ";0 1 1 61626364;1 5 3 " GET);
		for (size_t at = 0; at < b.size; at += step)
			peer_send(p, b.data + at, MIN(step, b.size - at));
		assert_int_equal(p->status[1], 200);
		assert_int_equal(p->body[1], 4);
		assert_int_equal(p->status[3], 200);
		peer_close(p);
	}
}

static void test_bad_preface(void **state)
{
	struct peer *p = peer_open(*state, true);
	peer_send(p, "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", 24);
	assert_true(p->closed);
	peer_close(p);
	p = peer_open(*state, true);
	peer_send(p, "PRI * HTTP/3.0\r\n\r\n", 18);
	assert_true(p->in.size > 12 && memcmp(p->in.data, "HTTP/1.1 400", 12) != 0);
	peer_close(p);
	p = peer_open(*state, true); /* the first frame must be SETTINGS */
	peer_send(p, PREFACE, strlen(PREFACE));
	peer_script(p, "6 0 0 0102030405060708");
	assert_true(met(p, "goaway 1"));
	peer_close(p);
}

/* Frames that cost the client nothing: after so many comes ENHANCE_YOUR_CALM. */
static void flood(void **state, const char *first, const char *script, unsigned count)
{
	struct peer *p = peer_open(*state, false);
	_cleanup_(buf_finish) struct buf b = BUF_INIT;
	if (*first)
		peer_script(p, first);
	for (unsigned i = 0; i < count; i++)
		put_script(&b, script);
	peer_send(p, b.data, b.size);
	if (!saw(p, NGHTTP2_GOAWAY, 0, NGHTTP2_ENHANCE_YOUR_CALM) || !p->closed)
		fail_msg("a flood of %s: no ENHANCE_YOUR_CALM", script);
	peer_close(p);
}

static void test_floods(void **state)
{
	flood(state, "", "6 0 0 0102030405060708", 5000);
	flood(state, "", "4 0 0 0003 00000064", 5000);
	flood(state, "", "2 0 1 0000000010", 5000);
	flood(state, OPEN, "0 0 1", 5000);
	flood(state, OPEN, "0 8 1 00", 5000);
	flood(state, OPEN, "8 0 1 00000001", 5000);
	flood(state, "1 1 1 82", "9 0 1", 100);
	flood(state, "1 1 1 82", "9 0 1 00 01 78 01 79", 100);
}

/* Requests that are reset at once, each with work behind it. */
static void test_rapid_reset(void **state)
{
	struct peer *p = peer_open(*state, false);
	_cleanup_(buf_finish) struct buf b = BUF_INIT;
	for (unsigned i = 0; i < 5000; i++) {
		char script[128];
		snprintf(script, sizeof(script), "1 5 %x " GET_LATER ";3 0 %x 00000008", 2 * i + 1,
			2 * i + 1);
		put_script(&b, script);
	}
	peer_send(p, b.data, b.size);
	assert_true(saw(p, NGHTTP2_GOAWAY, 0, NGHTTP2_ENHANCE_YOUR_CALM));
	assert_true(p->closed);
	assert_true(handled_count < 1000);
	assert_int_equal(cancelled_count, handled_count);
	peer_close(p);
	assert_int_equal(handled_count, closed_count);
}

/* A table entry of 4,000 bytes, named again and again with one byte each. */
static void test_header_bomb(void **state)
{
	struct peer *p = peer_open(*state, false);
	_cleanup_(buf_finish) struct buf b = BUF_INIT, block = BUF_INIT;
	buf_add(&block,
		"\x82\x86\x84\x41\x01"
		"a\x40\x01x\x7f\xa1\x1e",
		12);
	for (int i = 0; i < 4000; i++)
		buf_add_char(&block, 'y');
	for (int i = 0; i < 12000; i++)
		buf_add_char(&block, (char)0xbe);
	put_frame(&b, NGHTTP2_HEADERS, 5, 1, block.data, block.size, block.size);
	peer_send(p, b.data, b.size);
	assert_true(saw(p, NGHTTP2_GOAWAY, 0, NGHTTP2_ENHANCE_YOUR_CALM));
	assert_true(p->closed);
	assert_int_equal(handled_count, 0);
	peer_close(p);
}

/* Too large, but not so large that the connection is at stake. */
static void test_large_header(void **state)
{
	struct peer *p = peer_open(*state, false);
	_cleanup_(buf_finish) struct buf b = BUF_INIT, block = BUF_INIT;
	buf_add(&block,
		"\x82\x86\x84\x41\x01"
		"a\x40\x01x\x7f\xa1\x1e",
		12);
	for (int i = 0; i < 4000; i++)
		buf_add_char(&block, 'y');
	for (int i = 0; i < 20; i++)
		buf_add_char(&block, (char)0xbe);
	put_frame(&b, NGHTTP2_HEADERS, 5, 1, block.data, block.size, block.size);
	put_script(&b, "1 5 3 " GET);
	peer_send(p, b.data, b.size);
	assert_int_equal(p->status[1], 431);
	assert_int_equal(p->status[3], 200);
	peer_close(p);
}

static void open_streams(struct peer *p, unsigned first, unsigned count)
{
	_cleanup_(buf_finish) struct buf b = BUF_INIT;
	for (unsigned i = first; i < first + count; i++) {
		char script[128];
		snprintf(script, sizeof(script), "1 5 %x " GET_LATER, 2 * i + 1);
		put_script(&b, script);
	}
	peer_send(p, b.data, b.size);
}

static void test_too_many_streams(void **state)
{
	struct peer *p = peer_open(*state, false);
	open_streams(p, 0, 260); /* it may not have seen the limit yet */
	assert_int_equal(handled_count, 250);
	assert_true(saw(p, NGHTTP2_RST_STREAM, 501, NGHTTP2_REFUSED_STREAM));
	answer_later();
	peer_turn(p, 6);
	assert_int_equal(p->status[1], 200);
	assert_int_equal(p->body[1], 3);
	peer_script(p, "4 1 0");
	open_streams(p, 300, 251); /* it has */
	assert_int_equal(handled_count, 500);
	assert_true(saw(p, NGHTTP2_GOAWAY, 0, NGHTTP2_PROTOCOL_ERROR));
	peer_close(p);
	assert_int_equal(cancelled_count, 250);
	assert_int_equal(handled_count, closed_count);
}

/* A reader that takes nothing leaves the others alone, and what it is owed stays short. */
static void test_slow_stream(void **state)
{
	struct peer *p = peer_open(*state, false);
	peer_script(p, "4 0 0 0004 00000000;1 5 1 " GET_LATER);
	assert_int_equal(later_count, 1);
	struct http_request *req = later[0];
	http_stream_begin(req, 200, NULL, NULL);
	unsigned writes = 0;
	for (; http_stream_queued(req) <= STREAM_HIGH_BYTES; writes++)
		http_stream_write(req, big_body, sizeof(big_body));
	assert_true(writes < 13);
	peer_script(p, "4 0 0 0004 0000ffff;1 5 3 " GET);
	assert_int_equal(p->status[3], 200);
	peer_close(p);
	assert_int_equal(cancelled_count, 1);
}

static unsigned drained_count;

static void on_drained(struct http_request *req)
{
	drained_count++;
	http_stream_end(req);
	later_count = 0;
}

static void test_drained(void **state)
{
	struct peer *p = peer_open(*state, false);
	drained_count = 0;
	peer_script(p, "4 0 0 0004 7fffffff;8 0 0 7f000000;1 5 1 " GET_LATER);
	struct http_request *req = later[0];
	http_stream_begin(req, 200, NULL, NULL);
	http_stream_on_drained(req, on_drained);
	size_t size = 0;
	struct blob *piece = http_piece_new(
		&(struct http_part){.text = big_body, .text_size = sizeof(big_body)}, 1);
	for (; http_stream_queued(req) <= 8 * STREAM_HIGH_BYTES; size += 2 * sizeof(big_body)) {
		http_stream_write(req, big_body, sizeof(big_body));
		http_stream_write_piece(req, piece);
	}
	blob_unref(piece);
	assert_int_equal(drained_count, 0);
	for (int i = 0; i < 2000 && p->body[1] < size; i++)
		peer_turn(p, 1);
	peer_turn(p, 4);
	assert_int_equal(drained_count, 1);
	assert_int_equal(p->body[1], size);
	peer_close(p);
	assert_int_equal(closed_count, 1);
}

/* The stream is given up while a frame of it waits for room in the connection's queue. */
static void test_abort_of_full(void **state)
{
	struct fixture *f = *state;
	struct peer *p = peer_open(f, false);
	peer_script(p, "4 0 0 0004 7fffffff;8 0 0 7f000000;1 5 1 " GET_LATER);
	struct http_request *req = later[0];
	http_stream_begin(req, 200, NULL, NULL);
	while (http_stream_queued(req) <= 8 * STREAM_HIGH_BYTES)
		http_stream_write(req, big_body, sizeof(big_body));
	for (int i = 0; i < 20; i++) /* nobody reads */
		uv_run(&f->loop, UV_RUN_NOWAIT);
	struct http_exchange *x = CONTAINER_OF(req, struct http_exchange, req);
	assert_true(x->framed);
	http_abort(req);
	later_count = 0;
	peer_turn(p, 100);
	assert_true(saw(p, NGHTTP2_RST_STREAM, 1, NGHTTP2_INTERNAL_ERROR));
	peer_script(p, "1 5 3 " GET);
	assert_int_equal(p->status[3], 200);
	peer_close(p);
	assert_int_equal(closed_count, 2);
}

/* While the client leaves an answer untaken, its request takes no memory. */
static void test_answered_request(void **state)
{
	struct fixture *f = *state;
	struct peer *p = peer_open(f, false);
	peer_script(p, "4 0 0 0004 00000000;1 4 1 " POST " 00 01 78 7f 80 60" /* x: 12,415 bytes */
		       " 79 *12427");
	peer_script(p, "0 0 1 61 *16384;0 1 1 61 *16384");
	assert_int_equal(p->status[1], 200);
	assert_int_equal(p->body[1], 0);
	struct http_conn *c = CONTAINER_OF(f->server->conns.next, struct http_conn, link);
	struct http_exchange *x = CONTAINER_OF(c->h2->exchanges.next, struct http_exchange, link);
	assert_int_equal(x->out.bytes, 32768);
	assert_int_equal(x->body.room, 0);
	assert_int_equal(x->req.arena.used_bytes, 0);
	assert_int_equal(f->server->held_bytes, 0);
	peer_script(p, "4 0 0 0004 0000ffff");
	assert_int_equal(p->body[1], 32768);
	peer_close(p);
}

/* Answered in place of the handler, whose request stays until it is through. */
static void test_answer_early(void **state)
{
	struct peer *p = peer_open(*state, false);
	peer_script(p, "1 5 1 " GET_LATER ";1 5 3 " GET_LATER);
	assert_int_equal(later_count, 2);
	later[0]->cancelled = later[1]->cancelled = NULL; /* these handlers only know one end */
	assert_true(http_respond_early(later[0], 504, NULL, NULL, "slow", 4));
	assert_false(http_respond_early(later[0], 504, NULL, NULL, "slow", 4));
	peer_turn(p, 6);
	assert_int_equal(p->status[1], 504);
	assert_int_equal(p->body[1], 4);
	assert_int_equal(closed_count, 0);
	http_respond(later[0], 200, NULL, NULL, "late", 4);
	peer_turn(p, 6);
	assert_int_equal(closed_count, 1);
	/* The handler is through before the client takes the answer. */
	peer_script(p, "4 0 0 0004 00000000;1 5 5 " GET_LATER);
	later[2]->cancelled = NULL;
	assert_true(http_respond_early(later[2], 504, NULL, NULL, "slow", 4));
	peer_turn(p, 6);
	http_respond(later[2], 200, NULL, NULL, "later", 5);
	peer_script(p, "8 0 5 00000010");
	peer_turn(p, 6);
	assert_int_equal(p->status[5], 504);
	assert_int_equal(p->body[5], 4);
	/* Nobody waits: nothing is done. */
	peer_script(p, "3 0 3 00000008");
	assert_false(http_respond_early(later[1], 504, NULL, NULL, "slow", 4));
	http_respond(later[1], 200, NULL, NULL, "late", 4);
	later_count = 0;
	peer_turn(p, 6);
	assert_int_equal(closed_count, 3);
	peer_close(p);
}

static void test_stop(void **state)
{
	struct fixture *f = *state;
	struct peer *idle = peer_open(f, false), *busy = peer_open(f, false);
	peer_script(busy, "1 5 1 " GET_LATER);
	fixture_stop(f, 5000);
	peer_turn(idle, 6);
	peer_turn(busy, 6);
	assert_true(met(idle, "goaway 0"));
	assert_true(saw(busy, NGHTTP2_GOAWAY, 0, NGHTTP2_NO_ERROR));
	assert_false(busy->closed);
	answer_later();
	peer_turn(busy, 8);
	assert_int_equal(busy->status[1], 200);
	assert_int_equal(busy->body[1], 3);
	assert_true(busy->closed);
	peer_close(idle);
	peer_close(busy);
	assert_true(f->stopped);
}

/* What cuts a silent client, and a stream that gets no further. */
static int setup_impatient(void **state)
{
	setup(state);
	fixture_destroy(*state);
	*state = fixture_create(false, handler, 100);
	return 0;
}

static void test_timeouts(void **state)
{
	struct fixture *f = *state;
	/* Deadlines are looked at as long as something was accepted. */
	struct peer *silent = peer_on(f, raw_connect(f), false), *slow = peer_open(f, false),
		    *stuck = peer_open(f, false);
	peer_script(slow, "1 4 1 " POST);
	peer_script(stuck, "4 0 0 0004 00000000;1 5 1 " GET_BIG);
	run_while(f, (peer_receive(silent), !silent->closed), 5000);
	assert_true(saw(silent, NGHTTP2_GOAWAY, 0, NGHTTP2_NO_ERROR));
	run_while(f, (peer_receive(slow), !saw(slow, NGHTTP2_RST_STREAM, 1, NGHTTP2_CANCEL)), 5000);
	run_while(
		f, (peer_receive(stuck), !saw(stuck, NGHTTP2_RST_STREAM, 1, NGHTTP2_CANCEL)), 5000);
	peer_close(silent);
	peer_close(slow);
	peer_close(stuck);
}

static size_t count_frames(const struct peer *p, uint8_t type, uint32_t stream)
{
	size_t count = 0;
	for (size_t i = 0; i < p->frame_count; i++)
		count += p->frames[i].type == type && p->frames[i].stream == stream;
	return count;
}

/* A body of any size is the handler's as it comes, no faster than it takes it, and does not hold up
 * what else is asked on the connection. */
static void test_followed_body(void **state)
{
	struct fixture *f = *state;
	struct peer *p = peer_open(f, false);
	memset(&followed, 0, sizeof(followed));
	f->server->takes_body = is_followed;
	peer_script(p, "4 1 0;1 4 1 " POST_FOLLOW); /* settings hold once they are acknowledged */
	assert_non_null(followed.req);
	for (int i = 0; i < 16; i++)
		peer_script(p, "0 0 1 61*16384");
	assert_int_equal(followed.size, 256 << 10);
	assert_false(followed.ended);
	assert_int_equal(count_frames(p, NGHTTP2_WINDOW_UPDATE, 1), 0);
	peer_script(p, "1 4 3 " POST ";0 1 3 61*16384");
	assert_int_equal(p->status[3], 200);
	http_body_taken(followed.req, 256 << 10);
	peer_turn(p, 6);
	assert_int_equal(count_frames(p, NGHTTP2_WINDOW_UPDATE, 1), 1);
	for (int i = 0; i < 15; i++)
		peer_script(p, "0 0 1 61*16384");
	peer_script(p, "0 1 1 61*16384");
	assert_int_equal(followed.size, 512 << 10);
	assert_true(followed.ended);
	http_respond(followed.req, 200, NULL, NULL, "ok", 2);
	peer_turn(p, 6);
	assert_int_equal(p->status[1], 200);

	/* One more than the window allows. */
	peer_script(p, "1 4 5 " POST_FOLLOW);
	for (int i = 0; i < 16; i++)
		peer_script(p, "0 0 5 61*16384");
	peer_script(p, "0 0 5 61");
	assert_int_equal(cancelled_count, 1);
	assert_null(followed.req);
	peer_close(p);
}

/* Answered before its end, or never: what still comes is dropped. */
static void test_followed_body_refused(void **state)
{
	struct fixture *f = *state;
	struct peer *p = peer_open(f, false);
	memset(&followed, 0, sizeof(followed));
	f->server->takes_body = is_followed;
	peer_script(p, "1 4 1 " POST_FOLLOW ";0 0 1 61*100");
	http_respond(followed.req, 403, NULL, NULL, "no", 2);
	peer_script(p, "0 0 1 61*100;0 1 1 61");
	assert_int_equal(followed.size, 100);
	assert_int_equal(p->status[1], 403);
	peer_script(p, "1 4 3 " POST_FOLLOW ";0 0 3 61*100;3 0 3 00000008");
	assert_int_equal(cancelled_count, 1);
	peer_script(p, "1 4 5 " POST_FOLLOW ";0 0 5 61*100");
	peer_close(p);
	assert_int_equal(cancelled_count, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_protocol, setup, teardown),
		cmocka_unit_test_setup_teardown(test_cuts, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_preface, setup, teardown),
		cmocka_unit_test_setup_teardown(test_floods, setup, teardown),
		cmocka_unit_test_setup_teardown(test_rapid_reset, setup, teardown),
		cmocka_unit_test_setup_teardown(test_header_bomb, setup, teardown),
		cmocka_unit_test_setup_teardown(test_large_header, setup, teardown),
		cmocka_unit_test_setup_teardown(test_too_many_streams, setup, teardown),
		cmocka_unit_test_setup_teardown(test_slow_stream, setup, teardown),
		cmocka_unit_test_setup_teardown(test_drained, setup, teardown),
		cmocka_unit_test_setup_teardown(test_abort_of_full, setup, teardown),
		cmocka_unit_test_setup_teardown(test_answered_request, setup, teardown),
		cmocka_unit_test_setup_teardown(test_answer_early, setup, teardown),
		cmocka_unit_test_setup_teardown(test_followed_body, setup, teardown),
		cmocka_unit_test_setup_teardown(test_followed_body_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stop, setup, teardown),
		cmocka_unit_test_setup_teardown(test_timeouts, setup_impatient, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

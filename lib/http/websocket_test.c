#include "lib/http/http_test_util.h"

#include "lib/http/websocket.h"

/* One side of a connection: what came, and how it ended. */
struct side {
	struct websocket *w;
	struct buf in;
	unsigned count, code, drained;
	bool text, echo, stop_after_one, close_on_message;
};

static struct side server_side;

static void on_message(void *user, bool text, const char *p, size_t size)
{
	struct side *s = user;
	assert_non_null(p); /* of an empty message, too */
	buf_add(&s->in, p, size);
	s->count++;
	s->text = text;
	if (s->echo)
		websocket_send(s->w, text, p, size);
	if (s->stop_after_one)
		websocket_read_stop(s->w);
	if (s->close_on_message)
		websocket_close(s->w, 1001);
}

static void on_drained(void *user)
{
	struct side *s = user;
	s->drained++;
}

static void on_closed(void *user, unsigned code)
{
	struct side *s = user;
	s->w = NULL;
	s->code = code;
}

static const struct websocket_handler side_handler = {
	.message = on_message,
	.drained = on_drained,
	.closed = on_closed,
};

static void handler(struct http_request *req, void *user)
{
	static const char *const protocols[] = {"v5.channel.k8s.io", "v4.channel.k8s.io", NULL};
	const char *protocol;
	struct err err = ERR_INIT;
	int r = websocket_accept(req, streq(req->path, "/any") ? NULL : protocols, &side_handler,
		&server_side, &server_side.w, &protocol, &err);
	if (r < 0)
		http_respond(req, r == -ENOPROTOOPT ? 403 : 400, "text/plain", NULL, err.msg,
			strlen(err.msg));
}

static int setup(void **state)
{
	server_side = (struct side){0};
	*state = fixture_create(false, handler, 0);
	return 0;
}

static int setup_tls(void **state)
{
	server_side = (struct side){0};
	*state = fixture_create(true, handler, 0);
	return 0;
}

static int teardown(void **state)
{
	buf_finish(&server_side.in);
	fixture_destroy(*state);
	return 0;
}

static char *headers_text;
static bool accepted;
static char chosen[64];

static void on_upgraded(void *user, struct stream *s, const struct http_response *r)
{
	struct result *to = user;
	const char *p = http_response_header(r, "Sec-WebSocket-Protocol");
	accepted = websocket_client_accepted(headers_text, r);
	snprintf(chosen, sizeof(chosen), "%s", p ? p : "");
	to->stream = s;
}

static void connect_side(struct fixture *f, struct side *client, const char *protocols)
{
	struct arena a = ARENA_INIT;
	struct result r = {0};
	struct http_call_options o = call_options(&r, "GET", protocols ? "/k8s" : "/any");
	o.headers = headers_text = websocket_client_headers(&a, protocols);
	o.upgraded = on_upgraded;
	http_call(f->endpoint, &o);
	run_while(f, !r.stream, 5000);
	client->w = websocket_client(r.stream, &side_handler, client);
	assert_true(accepted);
	arena_finish(&a);
}

static void test_echo(void **state)
{
	struct fixture *f = *state;
	struct side c = {0};
	connect_side(f, &c, "v1.x, v4.channel.k8s.io, v5.channel.k8s.io");
	assert_string_equal(chosen, "v5.channel.k8s.io");
	server_side.echo = true;
	websocket_send(c.w, true, "h\xc3\xa9llo", 6);
	run_while(f, c.count < 1, 5000);
	assert_true(c.text && server_side.text);
	assert_string_equal(c.in.data, "h\xc3\xa9llo");
	websocket_send(c.w, false, "", 0);
	run_while(f, c.count < 2, 5000);
	assert_false(c.text);
	/* A message at the limit comes whole; several come in order. */
	char *big = xmalloc(WEBSOCKET_MESSAGE_MAX_BYTES);
	for (size_t i = 0; i < WEBSOCKET_MESSAGE_MAX_BYTES; i++)
		big[i] = (char)(i * 31);
	buf_clear(&c.in);
	websocket_send(c.w, false, big, WEBSOCKET_MESSAGE_MAX_BYTES);
	websocket_send(c.w, false, "x", 1);
	run_while(f, c.count < 4, 20000);
	assert_int_equal(c.in.size, WEBSOCKET_MESSAGE_MAX_BYTES + 1);
	assert_memory_equal(c.in.data, big, WEBSOCKET_MESSAGE_MAX_BYTES);
	free(big);
	websocket_close(c.w, 1000);
	run_while(f, c.w || server_side.w, 5000);
	assert_int_equal(c.code, 1000);
	assert_int_equal(server_side.code, 1000);
	buf_finish(&c.in);
}

static void test_close_in_callback(void **state)
{
	struct fixture *f = *state;
	struct side c = {0};
	connect_side(f, &c, NULL);
	assert_string_equal(chosen, "");
	server_side.close_on_message = true;
	for (int i = 0; i < 3; i++)
		websocket_send(c.w, false, "x", 1);
	run_while(f, c.w || server_side.w, 5000);
	assert_int_equal(server_side.count, 1);
	assert_int_equal(c.code, 1001);
	buf_finish(&c.in);
}

static void test_too_large(void **state)
{
	struct fixture *f = *state;
	struct side c = {0};
	connect_side(f, &c, NULL);
	char *big = xcalloc(1, WEBSOCKET_MESSAGE_MAX_BYTES + 1);
	websocket_send(c.w, false, big, WEBSOCKET_MESSAGE_MAX_BYTES + 1);
	run_while(f, c.w || server_side.w, 5000);
	assert_int_equal(server_side.code, 1009);
	assert_int_equal(server_side.count, 0);
	assert_true(c.code == 1009 || c.code == 1006);
	free(big);
}

static void test_back_pressure(void **state)
{
	struct fixture *f = *state;
	struct side c = {0};
	connect_side(f, &c, NULL);
	server_side.stop_after_one = true;
	static char piece[32768];
	unsigned sent = 0;
	while (websocket_queued(c.w) <= 16 * STREAM_HIGH_BYTES) {
		websocket_send(c.w, false, piece, sizeof(piece));
		sent++;
	}
	run_while(f, server_side.count < 1, 5000);
	run_turns(f, 50);
	assert_int_equal(server_side.count, 1);
	assert_int_equal(c.drained, 0);
	server_side.stop_after_one = false;
	websocket_read_start(server_side.w);
	run_while(f, server_side.count < sent, 20000);
	assert_int_equal(c.drained, 1);
	assert_int_equal(server_side.in.size, sent * sizeof(piece));
	websocket_close(server_side.w, 1000);
	run_while(f, c.w || server_side.w, 5000);
}

static void test_refusals(void **state)
{
	struct fixture *f = *state;
	struct result r = {0};
	struct http_call_options o = call_options(&r, "GET", "/k8s");
	static const struct {
		const char *headers;
		int status;
	} cases[] = {
		{NULL, 400},
		{"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
		 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: v9, "
		 "v8\r\n",
			403},
		{"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 12\r\n"
		 "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
			400},
		{"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
		 "Sec-WebSocket-Key: c2hvcnQ=\r\n",
			400},
		{"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n", 400},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		o.headers = cases[i].headers;
		http_call(f->endpoint, &o);
		wait_result(f, &r);
		assert_int_equal(r.status, cases[i].status);
		assert_true(r.body.size > 0);
		result_reset(&r);
	}
}

static int raw_websocket(struct fixture *f)
{
	int fd = raw_connect(f);
	struct buf in = BUF_INIT;
	raw_send(fd,
		"GET /any HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
	while (!in.data || !strstr(in.data, "\r\n\r\n"))
		raw_read(f, fd, &in, in.size + 1);
	/* The example of RFC 6455, 1.3. */
	assert_non_null(strstr(in.data, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
	buf_finish(&in);
	return fd;
}

static void raw_bytes(int fd, struct str s)
{
	assert_int_equal(send(fd, s.p, s.size, MSG_NOSIGNAL), s.size);
}

static void test_frames_by_hand(void **state)
{
	struct fixture *f = *state;
	struct buf in = BUF_INIT;
	int fd = raw_websocket(f);
	/* Masked "Hello" of RFC 6455, 5.7, in two fragments with a ping between. */
	raw_bytes(fd, STR("\x01\x83\x00\x00\x00\x00Hel"));
	raw_bytes(fd, STR("\x89\x82\x01\x02\x03\x04\x69\x6b"));
	raw_bytes(fd, STR("\x80\x82\x00\x00\x00\x00lo"));
	run_while(f, server_side.count < 1, 5000);
	assert_string_equal(server_side.in.data, "Hello");
	raw_read(f, fd, &in, 4);
	assert_memory_equal(in.data, "\x8a\x02hi", 4);
	raw_bytes(fd, STR("\x88\x82\x00\x00\x00\x00\x03\xe8"));
	buf_clear(&in);
	raw_read(f, fd, &in, SIZE_MAX);
	assert_int_equal(in.size, 4);
	assert_memory_equal(in.data, "\x88\x02\x03\xe8", 4);
	run_while(f, server_side.w, 5000);
	assert_int_equal(server_side.code, 1000);
	buf_finish(&in);
	close(fd);
}

static void test_broken_frames(void **state)
{
	struct fixture *f = *state;
	static const struct {
		struct str frame;
		unsigned code;
	} cases[] = {
		{{"\x81\x01x", 3}, 1002},		 /* not masked */
		{{"\xc1\x81\0\0\0\0x", 7}, 1002},	 /* reserved bit */
		{{"\x83\x81\0\0\0\0x", 7}, 1002},	 /* unknown opcode */
		{{"\x80\x81\0\0\0\0x", 7}, 1002},	 /* continues nothing */
		{{"\x09\x80\0\0\0\0", 6}, 1002},	 /* fragmented ping */
		{{"\x81\x82\0\0\0\0\xc3\x28", 8}, 1007}, /* not UTF-8 */
		{{"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\0\0x", 15}, 1009},
	};
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf in = BUF_INIT;
		int fd = raw_websocket(f);
		raw_bytes(fd, cases[i].frame);
		raw_read(f, fd, &in, SIZE_MAX);
		assert_true(in.size >= 2);
		assert_int_equal((unsigned char)in.data[0], 0x88);
		if (in.size >= 4)
			assert_int_equal((unsigned char)in.data[2] << 8 | (unsigned char)in.data[3],
				cases[i].code);
		close(fd);
		run_while(f, server_side.w, 5000);
		assert_int_equal(server_side.code, cases[i].code);
		buf_finish(&in);
	}
	int fd = raw_websocket(f);
	close(fd);
	run_while(f, server_side.w, 5000);
	assert_int_equal(server_side.code, 1006);
}

/* Asking without taking the answers must not pile them up in memory. */
static void test_ping_flood(void **state)
{
	struct fixture *f = *state;
	static char pings[131 * 512];
	for (size_t i = 0; i < sizeof(pings); i += 131)
		memcpy(pings + i, "\x89\xfd\0\0\0\0", 6); /* 125 bytes */
	int fd = raw_websocket(f);
	size_t sent = 0;
	unsigned stalled = 0; /* turns of the loop in which nothing was taken */
	while (stalled < 100 && sent < 128u << 20) {
		size_t at = sent % sizeof(pings);
		ssize_t n = send(fd, pings + at, sizeof(pings) - at, MSG_NOSIGNAL);
		stalled = n > 0 ? 0 : stalled + 1;
		if (n > 0)
			sent += (size_t)n;
		run_turns(f, 1);
	}
	assert_int_equal(stalled, 100);
	assert_true(websocket_queued(server_side.w) < 18u << 20);
	assert_int_equal(server_side.drained, 0);
	/* They all come when they are taken. */
	struct buf in = BUF_INIT;
	raw_read(f, fd, &in, sent / 131 * 127);
	assert_int_equal(server_side.drained, 1);
	buf_finish(&in);
	close(fd);
	run_while(f, server_side.w, 5000);
}

#define PLAIN(t) cmocka_unit_test_setup_teardown(t, setup, teardown)
#define TLS(t)                                                                                     \
	{                                                                                          \
#t "_tls", t, setup_tls, teardown, NULL                                            \
	}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PLAIN(test_echo),
		TLS(test_echo),
		PLAIN(test_close_in_callback),
		PLAIN(test_too_large),
		PLAIN(test_back_pressure),
		TLS(test_back_pressure),
		PLAIN(test_refusals),
		PLAIN(test_frames_by_hand),
		PLAIN(test_broken_frames),
		PLAIN(test_ping_flood),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

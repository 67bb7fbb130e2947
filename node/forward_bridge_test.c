/* A WebSocket client and a runtime around the bridge: what one says, the other gets. */
#include "node/bridge_test.h"
#include "node/forward_bridge.h"

static int bridge_start(struct http_request *req, struct stream *runtime)
{
	return forward_bridge_start(req, runtime, NULL);
}

static void test_tunnel(void **state)
{
	struct fixture *f = *state;
	struct client c;
	struct pipe_end e = {0};
	struct stream *runtime = client_connect(f, &c, "/", "SPDY/3.1+portforward.k8s.io");
	assert_int_equal(started, 0);
	stream_set_handler(runtime, &pipe_end_handler, &e);
	stream_read_start(runtime);
	websocket_send(c.w, false, "\x80\x03spdy", 6);
	run_while(f, e.in.size < 6, 5000);
	assert_memory_equal(e.in.data, "\x80\x03spdy", 6);
	stream_write(runtime, "back", 4);
	run_while(f, c.messages < 1, 5000);
	assert_memory_equal(c.in.data,
		"\x04"
		"back",
		5);
	/* More than the queues take, both ways. */
	static char big[200000];
	for (int i = 0; i < 40; i++)
		websocket_send(c.w, false, big, sizeof(big));
	run_while(f, e.in.size < 6 + 40 * sizeof(big), 20000);
	stream_shutdown(runtime);
	run_while(f, c.w, 5000);
	assert_int_equal(c.code, 1000);
	stream_close(runtime);
	run_while(f, !e.closed, 5000);
	buf_finish(&e.in);
	client_end(&c);
}

static void test_tunnel_client_first(void **state)
{
	struct fixture *f = *state;
	struct client c;
	struct pipe_end e = {0};
	struct stream *runtime = client_connect(f, &c, "/", "SPDY/3.1+portforward.k8s.io");
	stream_set_handler(runtime, &pipe_end_handler, &e);
	stream_read_start(runtime);
	websocket_send(c.w, true, "text", 4); /* no byte of SPDY is text */
	run_while(f, c.w, 5000);
	assert_int_equal(c.code, 1003);
	run_while(f, !e.eof && !e.error, 5000);
	stream_close(runtime);
	run_while(f, !e.closed, 5000);
	buf_finish(&e.in);
	client_end(&c);
}

/* A runtime that answers in upper case on data streams, and says its port on error streams. */
struct runtime {
	struct spdy_session *session;
	struct spdy_stream *data[4];
	unsigned data_count, error_count, ended;
	bool errors_first;
};

static void on_runtime_data(void *user, const char *p, size_t size)
{
	struct spdy_stream **st = user;
	char upper[64];
	for (size_t i = 0; i < size && i < sizeof(upper); i++)
		upper[i] = (char)(p[i] & ~0x20);
	spdy_write(*st, upper, size);
}

static void on_runtime_eof(void *user)
{
}

static void on_runtime_reset(void *user, int status)
{
	struct spdy_stream **st = user;
	if (st)
		*st = NULL;
}

static void on_opened(
	void *user, struct spdy_stream *st, const struct spdy_header *h, size_t count, bool fin)
{
	static const struct spdy_stream_handler data_handler = {
		.data = on_runtime_data, .eof = on_runtime_eof, .reset = on_runtime_reset};
	struct runtime *r = user;
	const char *port = spdy_header_get(h, count, "port");
	bool error = streq(spdy_header_get(h, count, "streamtype"), "error");
	assert_non_null(port);
	assert_non_null(spdy_header_get(h, count, "requestid"));
	if (error) {
		r->errors_first |= r->error_count == r->data_count;
		r->error_count++;
		spdy_accept(st, NULL, 0, &data_handler, NULL);
		if (streq(port, "81"))
			spdy_write(st, "refused", 7);
		spdy_close(st);
		return;
	}
	r->data[r->data_count] = st;
	spdy_accept(st, NULL, 0, &data_handler, &r->data[r->data_count]);
	r->data_count++;
}

static void on_session_closed(void *user, const char *text)
{
	struct runtime *r = user;
	r->session = NULL;
}

static void test_channels(void **state)
{
	static const struct spdy_handler spdy = {.opened = on_opened, .closed = on_session_closed};
	struct fixture *f = *state;
	struct client c;
	struct runtime r = {0};
	struct stream *s = client_connect(f, &c, "/?ports=80,81", "v4.channel.k8s.io");
	r.session = spdy_session_create(s, true, &spdy, &r);
	assert_int_equal(started, 0);
	run_while(f, r.data_count < 2 || c.messages < 5, 5000);
	assert_true(r.errors_first);
	/* The port on every channel. */
	assert_non_null(memmem(c.in.data, c.in.size, "\x03\x00\x50\x00", 4));
	assert_non_null(memmem(c.in.data, c.in.size, "\x03\x01\x50\x00", 4));
	assert_non_null(memmem(c.in.data, c.in.size, "\x03\x02\x51\x00", 4));
	assert_non_null(memmem(c.in.data, c.in.size, "\x03\x03\x51\x00", 4));
	assert_non_null(memmem(c.in.data, c.in.size, "\x08\x03refused", 9));
	websocket_send(c.w, false, "\x02hello", 6);
	run_while(f, c.messages < 6, 5000);
	assert_non_null(memmem(c.in.data, c.in.size, "\x06\x02HELLO", 7));
	websocket_send(c.w, false, "\x07none", 5); /* no such channel */
	spdy_end(r.data[0]);
	spdy_end(r.data[1]);
	run_while(f, c.w || r.session, 5000);
	assert_int_equal(c.code, 1000);
	client_end(&c);
}

static void test_channels_base64(void **state)
{
	static const struct spdy_handler spdy = {.opened = on_opened, .closed = on_session_closed};
	struct fixture *f = *state;
	struct client c;
	struct runtime r = {0};
	struct stream *s = client_connect(f, &c, "/?ports=80", "v4.base64.channel.k8s.io");
	r.session = spdy_session_create(s, true, &spdy, &r);
	run_while(f, c.messages < 2, 5000);
	assert_non_null(memmem(c.in.data, c.in.size, "0UAA=", 5));
	websocket_send(c.w, true, "0aGVsbG8=", 9);
	run_while(f, c.messages < 3, 5000);
	assert_non_null(memmem(c.in.data, c.in.size, "0SEVMTE8=", 9));
	client_end(&c); /* the client goes first */
	run_while(f, r.session, 5000);
}

static void test_refused(void **state)
{
	static const char *const bad[][2] = {{"/", "v4.channel.k8s.io"},
		{"/?ports=0", "v4.channel.k8s.io"}, {"/?ports=80,x", "v4.channel.k8s.io"},
		{"/?ports=65536", "v4.channel.k8s.io"}, {"/?ports=80", "v9.channel.k8s.io"}};
	struct fixture *f = *state;
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		struct client c;
		struct stream *s = client_connect(f, &c, bad[i][0], bad[i][1]);
		assert_true(started < 0);
		assert_int_equal(c.r.status, 400);
		/* There is a colon in each: kubectl reads such text as YAML. */
		run_while(f, !c.r.done, 5000);
		assert_non_null(strstr(c.r.body.data, "\"kind\":\"Status\""));
		assert_non_null(strstr(c.r.body.data, "\"code\":400"));
		stream_close(s);
		client_end(&c);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_tunnel, setup, teardown),
		cmocka_unit_test_setup_teardown(test_tunnel_client_first, setup, teardown),
		cmocka_unit_test_setup_teardown(test_channels, setup, teardown),
		cmocka_unit_test_setup_teardown(test_channels_base64, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused, setup, teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* grpc_call_test.c - the client against a small nghttp2 server in the same loop: answers, failures,
 * time limits, streams, lost connections. The messages are CRI's Version: request and response both
 * have a string as field 1, so the server can echo bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include <nghttp2/nghttp2.h>

#include "api/proto/cri.pb-c.h"
#include "lib/base/buf.h"
#include "lib/base/str.h"
#include "lib/grpc/grpc.h"

/* ---- server ---- */

struct request {
	char path[64];
	struct buf in, out;
	size_t sent;
	bool trailers_fail;
};

static uv_loop_t loop;
static uv_pipe_t listener;
static uv_pipe_t *connection;
static nghttp2_session *server;
static char socket_path[64], address[80];
static unsigned connections;

static void on_closed(uv_handle_t *h)
{
	free(h);
}

static void request_free(struct request *r)
{
	if (!r)
		return;
	buf_finish(&r->in);
	buf_finish(&r->out);
	free(r);
}

static void server_drop(void)
{
	/* nghttp2 does not tell of streams that end with the session. */
	for (int32_t id = 1; server && id < 200; id += 2)
		request_free(nghttp2_session_get_stream_user_data(server, id));
	if (server)
		nghttp2_session_del(server);
	server = NULL;
	if (connection)
		uv_close((uv_handle_t *)connection, on_closed);
	connection = NULL;
}

struct out {
	uv_write_t req;
	char data[];
};

static void on_written(uv_write_t *w, int status)
{
	free(w->data);
}

static void server_flush(void)
{
	const uint8_t *p;

	for (ssize_t n; server && (n = nghttp2_session_mem_send(server, &p)) > 0;) {
		struct out *o = xmalloc(sizeof(*o) + (size_t)n);
		memcpy(o->data, p, (size_t)n);
		uv_buf_t b = uv_buf_init(o->data, (unsigned)n);
		o->req.data = o;
		uv_write(&o->req, (uv_stream_t *)connection, &b, 1, on_written);
	}
}

static nghttp2_nv nv(const char *name, const char *value)
{
	return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name),
		strlen(value), 0};
}

static ssize_t on_body(nghttp2_session *s, int32_t id, uint8_t *to, size_t room, uint32_t *flags,
	nghttp2_data_source *source, void *user)
{
	struct request *r = source->ptr;
	size_t n = MIN(room, r->out.size - r->sent);

	if (n > 0)
		memcpy(to, r->out.data + r->sent, n);
	r->sent += n;
	if (r->sent == r->out.size) {
		nghttp2_nv trailers[] = {nv("grpc-status", "0")};
		*flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
		nghttp2_submit_trailer(s, id, trailers, 1);
	}
	return (ssize_t)n;
}

static void respond(nghttp2_session *s, int32_t id, struct request *r)
{
	nghttp2_nv head[] = {nv(":status", "200"), nv("content-type", "application/grpc")};
	nghttp2_data_provider body = {.source.ptr = r, .read_callback = on_body};

	if (streq(r->path, "/t/Echo")) {
		buf_add(&r->out, r->in.data, r->in.size);
	} else if (streq(r->path, "/t/Stream")) {
		for (int i = 0; i < 3; i++)
			buf_add(&r->out, r->in.data, r->in.size);
	} else if (streq(r->path, "/t/Big")) {
		buf_add(&r->out, "\0\x7f\0\0\0", 5);
	} else if (streq(r->path, "/t/Garbage")) {
		buf_add(&r->out, "\0\0\0\0\2\x0a\x7f", 7);
	} else if (streq(r->path, "/t/Fail")) {
		nghttp2_nv fail[] = {nv(":status", "200"), nv("content-type", "application/grpc"),
			nv("grpc-status", "5"), nv("grpc-message", "no such %22pod%22: 100%")};
		nghttp2_submit_response(s, id, fail, 4, NULL);
		return;
	} else if (streq(r->path, "/t/Http")) {
		nghttp2_nv fail[] = {nv(":status", "503")};
		nghttp2_submit_response(s, id, fail, 1, NULL);
		return;
	} else {
		return; /* /t/Never */
	}
	nghttp2_submit_response(s, id, head, 2, &body);
}

static int on_begin(nghttp2_session *s, const nghttp2_frame *f, void *user)
{
	nghttp2_session_set_stream_user_data(
		s, f->hd.stream_id, xcalloc(1, sizeof(struct request)));
	return 0;
}

static int on_header(nghttp2_session *s, const nghttp2_frame *f, const uint8_t *name,
	size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags, void *user)
{
	struct request *r = nghttp2_session_get_stream_user_data(s, f->hd.stream_id);

	if (name_size == 5 && memcmp(name, ":path", 5) == 0)
		snprintf(r->path, sizeof(r->path), "%.*s", (int)value_size, (const char *)value);
	return 0;
}

static int on_chunk(
	nghttp2_session *s, uint8_t flags, int32_t id, const uint8_t *data, size_t size, void *user)
{
	struct request *r = nghttp2_session_get_stream_user_data(s, id);

	buf_add(&r->in, data, size);
	return 0;
}

static bool drop_wanted;

static int on_frame(nghttp2_session *s, const nghttp2_frame *f, void *user)
{
	if (!(f->hd.flags & NGHTTP2_FLAG_END_STREAM) ||
		(f->hd.type != NGHTTP2_DATA && f->hd.type != NGHTTP2_HEADERS))
		return 0;
	struct request *r = nghttp2_session_get_stream_user_data(s, f->hd.stream_id);
	if (streq(r->path, "/t/Drop"))
		drop_wanted = true;
	else
		respond(s, f->hd.stream_id, r);
	return 0;
}

static int on_stream_closed(nghttp2_session *s, int32_t id, uint32_t code, void *user)
{
	request_free(nghttp2_session_get_stream_user_data(s, id));
	nghttp2_session_set_stream_user_data(s, id, NULL);
	return 0;
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *b)
{
	*b = uv_buf_init(xmalloc(65536), 65536);
}

static void on_read(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
	if (n > 0 && server) {
		nghttp2_session_mem_recv(server, (uint8_t *)b->base, (size_t)n);
		server_flush();
	}
	free(b->base);
	if (n < 0 || drop_wanted) {
		drop_wanted = false;
		server_drop();
	}
}

static void on_connection(uv_stream_t *l, int status)
{
	nghttp2_session_callbacks *cb;

	server_drop();
	connections++;
	connection = xcalloc(1, sizeof(*connection));
	uv_pipe_init(&loop, connection, 0);
	assert_int_equal(uv_accept(l, (uv_stream_t *)connection), 0);
	nghttp2_session_callbacks_new(&cb);
	nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_chunk);
	nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_closed);
	nghttp2_session_server_new(&server, cb, NULL);
	nghttp2_session_callbacks_del(cb);
	nghttp2_submit_settings(server, 0, NULL, 0);
	server_flush();
	uv_read_start((uv_stream_t *)connection, on_alloc, on_read);
}

/* ---- client ---- */

struct answer {
	int done, status, messages;
	char message[256], text[64];
	struct grpc_channel *destroy;
};

static struct grpc_channel *ch;
/* uv_run(ONCE) runs timers and then waits for more: without this it would wait for the next
 * deadline after the callback that a test waits for. */
static uv_timer_t tick;

static void on_tick(uv_timer_t *t)
{
}

static void on_done(void *user, const struct grpc_result *r)
{
	struct answer *w = user;
	const Cri__VersionResponse *v = r->response;

	w->done++;
	w->status = r->status;
	snprintf(w->message, sizeof(w->message), "%s", r->message);
	snprintf(w->text, sizeof(w->text), "%s", v ? v->version : "");
	if (w->destroy)
		grpc_channel_destroy(w->destroy);
}

static void on_message(void *user, const void *response)
{
	struct answer *w = user;
	const Cri__VersionResponse *v = response;

	w->messages++;
	assert_string_equal(v->version, "hello");
}

static struct grpc_call *call(struct answer *w, const char *method, unsigned timeout_ms)
{
	Cri__VersionRequest q = CRI__VERSION_REQUEST__INIT;

	*w = (struct answer){.status = -1};
	q.version = (char *)(uintptr_t) "hello";
	return grpc_call(
		ch, method, &q.base, &cri__version_response__descriptor, timeout_ms, on_done, w);
}

static void wait_for(struct answer *w)
{
	while (!w->done)
		uv_run(&loop, UV_RUN_ONCE);
}

static void listen_now(void)
{
	unlink(socket_path);
	uv_pipe_init(&loop, &listener, 0);
	assert_int_equal(uv_pipe_bind(&listener, socket_path), 0);
	assert_int_equal(uv_listen((uv_stream_t *)&listener, 8, on_connection), 0);
}

static int setup(void **state)
{
	uv_loop_init(&loop);
	connections = 0;
	snprintf(socket_path, sizeof(socket_path), "/tmp/grpc_test.%d", getpid());
	snprintf(address, sizeof(address), "unix://%s", socket_path);
	listen_now();
	uv_timer_init(&loop, &tick);
	uv_timer_start(&tick, on_tick, 2, 2);
	ch = grpc_channel_create(&(struct grpc_channel_options){.loop = &loop, .address = address});
	return 0;
}

static int teardown(void **state)
{
	grpc_channel_destroy(ch);
	server_drop();
	uv_close((uv_handle_t *)&tick, NULL);
	if (!uv_is_closing((uv_handle_t *)&listener))
		uv_close((uv_handle_t *)&listener, NULL);
	while (uv_run(&loop, UV_RUN_ONCE))
		;
	unlink(socket_path);
	return uv_loop_close(&loop);
}

static void answers(void **state)
{
	struct answer a, b, c;

	/* Not from inside the call, and several share the connection. */
	call(&a, "/t/Echo", 5000);
	call(&b, "/t/Echo", GRPC_NO_TIMEOUT);
	assert_int_equal(a.done + b.done, 0);
	wait_for(&a);
	wait_for(&b);
	assert_int_equal(a.status, GRPC_OK);
	assert_string_equal(a.text, "hello");
	assert_string_equal(b.text, "hello");
	call(&c, "/t/Echo", 5000);
	wait_for(&c);
	assert_int_equal(connections, 1);
}

static void failures(void **state)
{
	struct answer w;

	call(&w, "/t/Fail", 5000);
	wait_for(&w);
	assert_int_equal(w.status, GRPC_NOT_FOUND);
	assert_string_equal(w.message, "no such \"pod\": 100%");
	call(&w, "/t/Http", 5000);
	wait_for(&w);
	assert_int_equal(w.status, GRPC_UNKNOWN);
	call(&w, "/t/Big", 5000);
	wait_for(&w);
	assert_int_equal(w.status, GRPC_RESOURCE_EXHAUSTED);
	call(&w, "/t/Garbage", 5000);
	wait_for(&w);
	assert_int_equal(w.status, GRPC_INTERNAL);
	/* None of that cost the connection. */
	call(&w, "/t/Echo", 5000);
	wait_for(&w);
	assert_int_equal(w.status, GRPC_OK);
	assert_int_equal(connections, 1);
}

static void time_limit(void **state)
{
	struct answer w;
	uint64_t begun = uv_now(&loop);

	call(&w, "/t/Never", 50);
	wait_for(&w);
	assert_int_equal(w.status, GRPC_DEADLINE_EXCEEDED);
	assert_in_range(uv_now(&loop) - begun, 45, 2000);
}

static void streams(void **state)
{
	Cri__VersionRequest q = CRI__VERSION_REQUEST__INIT;
	struct answer w = {0};

	q.version = (char *)(uintptr_t) "hello";
	grpc_call_streaming(ch, "/t/Stream", &q.base, &cri__version_response__descriptor,
		on_message, on_done, &w);
	wait_for(&w);
	assert_int_equal(w.messages, 3);
	assert_int_equal(w.status, GRPC_OK);
}

static void cancelled_calls_are_silent(void **state)
{
	struct answer a, b;
	struct grpc_call *c = call(&a, "/t/Never", GRPC_NO_TIMEOUT);

	grpc_call_cancel(c);
	c = call(&a, "/t/Never", GRPC_NO_TIMEOUT);
	call(&b, "/t/Echo", 5000);
	wait_for(&b);
	grpc_call_cancel(c);
	call(&b, "/t/Echo", 5000);
	wait_for(&b);
	assert_int_equal(a.done, 0);
}

static void lost_connection(void **state)
{
	struct answer a, b;

	call(&a, "/t/Never", GRPC_NO_TIMEOUT);
	call(&b, "/t/Drop", GRPC_NO_TIMEOUT);
	wait_for(&a);
	wait_for(&b);
	assert_int_equal(a.status, GRPC_UNAVAILABLE);
	assert_int_equal(b.status, GRPC_UNAVAILABLE);
	/* In the back-off at once, and still not from inside the call. */
	uint64_t begun = uv_now(&loop);
	call(&a, "/t/Echo", 5000);
	assert_int_equal(a.done, 0);
	wait_for(&a);
	assert_int_equal(a.status, GRPC_UNAVAILABLE);
	assert_true(uv_now(&loop) - begun < 200);
	/* After it the channel is as good as new. */
	do {
		uv_run(&loop, UV_RUN_ONCE);
		call(&a, "/t/Echo", 5000);
		wait_for(&a);
		assert_true(uv_now(&loop) - begun < 5000);
	} while (a.status != GRPC_OK);
	assert_int_equal(connections, 2);
}

static void nobody_there(void **state)
{
	struct answer w;

	uv_close((uv_handle_t *)&listener, NULL);
	unlink(socket_path);
	call(&w, "/t/Echo", 5000);
	wait_for(&w);
	assert_int_equal(w.status, GRPC_UNAVAILABLE);
	assert_non_null(strstr(w.message, socket_path));
}

static void destroyed_in_a_callback(void **state)
{
	struct answer a, b;

	call(&a, "/t/Echo", 5000);
	call(&b, "/t/Never", 5000);
	a.destroy = TAKE_PTR(ch);
	wait_for(&a);
	assert_int_equal(b.done, 0);
}

/* ---- pure parts ---- */

static void frames(void **state)
{
	static const char two[] = "\0\0\0\0\3abc\0\0\0\0\0";
	struct grpc_frame f;

	for (size_t size = 0; size < 8; size++)
		assert_int_equal(grpc_frame_next(two, size, 100, &f), 0);
	assert_int_equal(grpc_frame_next(two, sizeof(two) - 1, 100, &f), 1);
	assert_int_equal(f.size, 3);
	assert_memory_equal(f.data, "abc", 3);
	assert_int_equal(grpc_frame_next(two + f.total_size, 5, 100, &f), 1);
	assert_int_equal(f.size, 0);
	assert_int_equal(grpc_frame_next(two, 5, 2, &f), -EMSGSIZE);
	assert_int_equal(grpc_frame_next("\1\0\0\0\0", 5, 100, &f), -EPROTO);
}

static void texts(void **state)
{
	char room[16], timeout[16];

	grpc_message_decode("a%20b%zz%", 9, room, sizeof(room));
	assert_string_equal(room, "a b%zz%");
	grpc_message_decode("\xff%00x", 5, room, sizeof(room));
	assert_string_equal(room, "??x");
	grpc_message_decode("aaaaaaaaaaaaaa%C3%A9", 20, room, sizeof(room));
	assert_string_equal(room, "aaaaaaaaaaaaaa?");
	grpc_timeout_format(1500, timeout);
	assert_string_equal(timeout, "1500m");
	grpc_timeout_format(4000000000u, timeout);
	assert_string_equal(timeout, "4000000S");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(answers, setup, teardown),
		cmocka_unit_test_setup_teardown(failures, setup, teardown),
		cmocka_unit_test_setup_teardown(time_limit, setup, teardown),
		cmocka_unit_test_setup_teardown(streams, setup, teardown),
		cmocka_unit_test_setup_teardown(cancelled_calls_are_silent, setup, teardown),
		cmocka_unit_test_setup_teardown(lost_connection, setup, teardown),
		cmocka_unit_test_setup_teardown(nobody_there, setup, teardown),
		cmocka_unit_test_setup_teardown(destroyed_in_a_callback, setup, teardown),
		cmocka_unit_test(frames),
		cmocka_unit_test(texts),
	};

	return cmocka_run_group_tests_name("grpc_call", tests, NULL, NULL);
}

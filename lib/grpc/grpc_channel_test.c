/* Channels and calls against a small server of the test's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>
#include <nghttp2/nghttp2.h>

#include "lib/grpc/grpc.h"

/* A message without fields. */
static const ProtobufCMessageDescriptor empty_type = {
	.magic = PROTOBUF_C__MESSAGE_DESCRIPTOR_MAGIC,
	.name = "test.Empty",
	.short_name = "Empty",
	.c_name = "Empty",
	.package_name = "test",
	.sizeof_message = sizeof(ProtobufCMessage),
};
static const ProtobufCMessage empty = PROTOBUF_C_MESSAGE_INIT(&empty_type);

enum { LIMIT_MS = 60000 }; /* reached by what hangs */

struct fixture {
	uv_loop_t loop;
	uv_pipe_t listener;
	uv_timer_t stop;
	char path[64], address[96];
	struct grpc_channel *channel;
	int connections, answers;
	bool goaway; /* the server ends each connection in order after its first answer */
	int ok, failed, calls_left;
	int failures_wanted; /* before the end by time */
	bool stopping;
};

/* ---- server ---- */

struct peer {
	uv_pipe_t pipe;
	struct fixture *f;
	nghttp2_session *session;
	char room[65536];
};

struct output {
	uv_write_t request;
	char data[];
};

static void peer_closed(uv_handle_t *h)
{
	struct peer *p = h->data;

	nghttp2_session_del(p->session);
	free(p);
}

static void on_written(uv_write_t *request, int status)
{
	free(CONTAINER_OF(request, struct output, request));
}

static void peer_flush(struct peer *p)
{
	const uint8_t *data;
	ssize_t n;

	while ((n = nghttp2_session_mem_send(p->session, &data)) > 0) {
		struct output *o = xmalloc(sizeof(*o) + (size_t)n);
		uv_buf_t b = uv_buf_init(o->data, (unsigned)n);

		memcpy(o->data, data, (size_t)n);
		uv_write(&o->request, (uv_stream_t *)&p->pipe, &b, 1, on_written);
	}
}

static nghttp2_nv header(const char *name, const char *value)
{
	return (nghttp2_nv){(uint8_t *)name, (uint8_t *)value, strlen(name), strlen(value),
		NGHTTP2_NV_FLAG_NONE};
}

static ssize_t answer_body(nghttp2_session *session, int32_t id, uint8_t *to, size_t room,
	uint32_t *flags, nghttp2_data_source *source, void *user)
{
	nghttp2_nv trailer = header("grpc-status", "0");

	memset(to, 0, 5);
	*flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
	nghttp2_submit_trailer(session, id, &trailer, 1);
	return 5;
}

static int on_request(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	nghttp2_data_provider body = {.read_callback = answer_body};
	struct peer *p = user;

	if (frame->hd.type == NGHTTP2_DATA && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) {
		nghttp2_nv headers[] = {
			header(":status", "200"), header("content-type", "application/grpc")};

		p->f->answers++;
		nghttp2_submit_response(session, frame->hd.stream_id, headers, 2, &body);
		if (p->f->goaway)
			nghttp2_submit_goaway(
				session, 0, frame->hd.stream_id, NGHTTP2_NO_ERROR, NULL, 0);
	}
	return 0;
}

static void on_alloc(uv_handle_t *h, size_t size, uv_buf_t *ret)
{
	struct peer *p = h->data;

	*ret = uv_buf_init(p->room, sizeof(p->room));
}

static void on_bytes(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
	struct peer *p = s->data;

	if (n > 0)
		n = nghttp2_session_mem_recv(p->session, (uint8_t *)b->base, (size_t)n);
	if (n >= 0)
		peer_flush(p);
	else if (!uv_is_closing((uv_handle_t *)s))
		uv_close((uv_handle_t *)s, peer_closed);
}

static void on_connection(uv_stream_t *listener, int status)
{
	struct fixture *f = listener->data;
	struct peer *p = xcalloc(1, sizeof(*p));
	nghttp2_session_callbacks *callbacks;

	f->connections++;
	p->f = f;
	p->pipe.data = p;
	uv_pipe_init(&f->loop, &p->pipe, 0);
	assert_int_equal(uv_accept(listener, (uv_stream_t *)&p->pipe), 0);
	nghttp2_session_callbacks_new(&callbacks);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_request);
	nghttp2_session_server_new(&p->session, callbacks, p);
	nghttp2_session_callbacks_del(callbacks);
	nghttp2_submit_settings(p->session, 0, NULL, 0);
	uv_read_start((uv_stream_t *)&p->pipe, on_alloc, on_bytes);
}

/* ---- client ---- */

static int setup(void **state)
{
	struct fixture *f = xcalloc(1, sizeof(*f));
	static int n;

	snprintf(f->path, sizeof(f->path), "/tmp/hanok-grpc-%d-%d.sock", (int)getpid(), n++);
	snprintf(f->address, sizeof(f->address), "unix://%s", f->path);
	uv_loop_init(&f->loop);
	uv_timer_init(&f->loop, &f->stop);
	f->stop.data = f;
	*state = f;
	return 0;
}

static void serve(struct fixture *f)
{
	uv_pipe_init(&f->loop, &f->listener, 0);
	f->listener.data = f;
	assert_int_equal(uv_pipe_bind(&f->listener, f->path), 0);
	assert_int_equal(uv_listen((uv_stream_t *)&f->listener, 8, on_connection), 0);
}

static void stop(struct fixture *f)
{
	if (f->stopping)
		return;
	f->stopping = true;
	grpc_channel_destroy(f->channel);
	uv_close((uv_handle_t *)&f->stop, NULL);
	if (f->listener.data)
		uv_close((uv_handle_t *)&f->listener, NULL);
}

static void on_stop(uv_timer_t *t)
{
	struct fixture *f = t->data;

	if (f->failed < f->failures_wanted)
		uv_timer_start(t, on_stop, 1, 0);
	else
		stop(f);
}

static void open_channel(struct fixture *f, uint64_t limit_ms)
{
	f->channel = grpc_channel_create(
		&(struct grpc_channel_options){.loop = &f->loop, .address = f->address});
	uv_timer_start(&f->stop, on_stop, limit_ms, 0);
}

static int teardown(void **state)
{
	struct fixture *f = *state;

	assert_int_equal(uv_loop_close(&f->loop), 0);
	free(f);
	return 0;
}

static void call_on(void *user, const struct grpc_result *r)
{
	struct fixture *f = user;

	if (grpc_ok(r)) {
		assert_non_null(r->response);
		f->ok++;
	} else {
		f->failed++;
	}
	if (--f->calls_left == 0)
		stop(f);
	else
		grpc_call(f->channel, "/test.Test/Do", &empty, &empty_type, LIMIT_MS, call_on, f);
}

static void test_calls_share_a_connection(void **state)
{
	struct fixture *f = *state;

	serve(f);
	open_channel(f, LIMIT_MS);
	f->calls_left = 10;
	for (int i = 0; i < 3; i++)
		grpc_call(f->channel, "/test.Test/Do", &empty, &empty_type, LIMIT_MS, call_on, f);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(f->connections, 1);
	assert_int_equal(f->ok, 10);
	assert_int_equal(f->failed, 0);
}

/* A server that goes away in order costs no call. */
static void test_goaway_is_no_failure(void **state)
{
	struct fixture *f = *state;

	f->goaway = true;
	serve(f);
	open_channel(f, LIMIT_MS);
	f->calls_left = 5;
	grpc_call(f->channel, "/test.Test/Do", &empty, &empty_type, LIMIT_MS, call_on, f);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(f->failed, 0);
	assert_int_equal(f->ok, 5);
	assert_int_equal(f->connections, 5);
}

/* Who calls again from the callback of a call that failed at once does not stop the process. */
static void test_failing_calls_leave_the_loop_its_turn(void **state)
{
	struct fixture *f = *state;

	open_channel(f, 100);
	f->failures_wanted = 2;
	f->calls_left = INT32_MAX;
	grpc_call(f->channel, "/test.Test/Do", &empty, &empty_type, LIMIT_MS, call_on, f);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_true(f->stopping);
	assert_true(f->failed >= f->failures_wanted);
	assert_int_equal(f->ok, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_calls_share_a_connection, setup, teardown),
		cmocka_unit_test_setup_teardown(test_goaway_is_no_failure, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_failing_calls_leave_the_loop_its_turn, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

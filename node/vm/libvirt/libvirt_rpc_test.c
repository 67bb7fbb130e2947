/* The connection to libvirtd against a daemon that takes connections and drops them: calls fail at
 * once and do not hurry the next attempt. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "node/vm/libvirt/libvirt_rpc.h"

struct fixture {
	uv_loop_t loop;
	uv_pipe_t listener;
	char path[64];
	struct libvirt *libvirt;
	int accepted, down, failed;
	uint64_t first_ns, pause_ns; /* the first attempt, and how long after it the second came */
	bool stopping;
};

static void free_handle(uv_handle_t *h)
{
	free(h);
}

static void stop(struct fixture *f)
{
	f->stopping = true;
	libvirt_destroy(f->libvirt);
	uv_close((uv_handle_t *)&f->listener, NULL);
}

static void on_connection(uv_stream_t *listener, int status)
{
	struct fixture *f = listener->data;
	uv_pipe_t *peer = xcalloc(1, sizeof(*peer));

	assert_int_equal(status, 0);
	uv_pipe_init(&f->loop, peer, 0);
	assert_int_equal(uv_accept(listener, (uv_stream_t *)peer), 0);
	uv_close((uv_handle_t *)peer, free_handle);
	if (++f->accepted == 1)
		f->first_ns = uv_hrtime();
	else
		f->pause_ns = uv_hrtime() - f->first_ns;
	if (f->accepted == 2)
		stop(f);
}

static void call_again(void *user, const struct libvirt_reply *r)
{
	struct fixture *f = user;

	assert_false(r->ok);
	assert_int_equal(r->code, LIBVIRT_RPC_DOWN);
	f->failed++;
	if (!f->stopping)
		libvirt_call(f->libvirt, LIBVIRT_CONNECT_GET_LIB_VERSION, NULL, 0, call_again, f);
}

static void on_down(void *user, const struct err *err)
{
	struct fixture *f = user;

	f->down++;
	libvirt_call(f->libvirt, LIBVIRT_CONNECT_GET_LIB_VERSION, NULL, 0, call_again, f);
}

static void calls_do_not_hurry_the_next_attempt(void **state)
{
	static const struct libvirt_handler handler = {.down = on_down};
	struct fixture f = {0};
	char address[96];

	snprintf(f.path, sizeof(f.path), "/tmp/hanok-libvirt-%d.sock", (int)getpid());
	snprintf(address, sizeof(address), "unix://%s", f.path);
	uv_loop_init(&f.loop);
	uv_pipe_init(&f.loop, &f.listener, 0);
	f.listener.data = &f;
	assert_int_equal(uv_pipe_bind(&f.listener, f.path), 0);
	assert_int_equal(uv_listen((uv_stream_t *)&f.listener, 16, on_connection), 0);
	f.libvirt = libvirt_create(&f.loop, clock_system(), address, &handler, &f);
	uv_run(&f.loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&f.loop), 0);
	assert_int_equal(f.down, 1);
	assert_true(f.failed > 2);
	assert_int_equal(f.accepted, 2);
	/* The first pause is 500 ms; libuv's clock may be a little behind. */
	assert_true(f.pause_ns > 450 * (uint64_t)NS_PER_MS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_do_not_hurry_the_next_attempt),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

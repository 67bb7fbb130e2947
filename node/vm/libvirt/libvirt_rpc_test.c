/* The connection to libvirtd, against a daemon that takes connections and drops them: calls fail at
 * once and do not hurry the next attempt; and against one that keeps its answers: the rest waits in
 * line. */
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

#define CALLS 12

/* A daemon that answers its oldest call once it has five. */
struct daemon {
	uv_loop_t loop;
	uv_pipe_t listener, peers[2];
	size_t peer_count;
	bool deaf; /* on the first connection it answers nothing, on the second all at once */
	int ups, downs, timeouts, lost;
	struct libvirt *libvirt;
	struct buf in;
	struct libvirt_header held[CALLS];
	size_t held_count, held_most, long_most, minutes_most, seen_count;
	int32_t seen[CALLS]; /* procedures, in the order in which they came */
	struct libvirt_call *calls[CALLS];
	int answers, cancelled_answers;
};

static void written(uv_write_t *r, int status)
{
	assert_int_equal(status, 0);
	free(r->data);
	free(r);
}

static void daemon_answer(struct daemon *d, const struct libvirt_header *h, const struct buf *body)
{
	struct buf out = BUF_INIT;
	uv_write_t *r = xcalloc(1, sizeof(*r));
	uv_buf_t b;

	libvirt_packet_begin(&out, &(struct libvirt_header){
					   .program = h->program,
					   .version = h->version,
					   .procedure = h->procedure,
					   .type = LIBVIRT_REPLY,
					   .serial = h->serial,
					   .status = LIBVIRT_OK,
				   });
	if (body)
		buf_add(&out, body->data, body->size);
	libvirt_packet_end(&out, 0);
	b = uv_buf_init(out.data, (unsigned)out.size);
	r->data = out.data;
	assert_int_equal(
		uv_write(r, (uv_stream_t *)&d->peers[d->peer_count - 1], &b, 1, written), 0);
}

static void daemon_answer_oldest(struct daemon *d)
{
	struct libvirt_header h = d->held[0];

	memmove(d->held, d->held + 1, --d->held_count * sizeof(*d->held));
	daemon_answer(d, &h, NULL);
}

static size_t daemon_minutes(const struct daemon *d)
{
	size_t n = 0;

	for (size_t i = 0; i < d->held_count; i++)
		n += d->held[i].procedure == LIBVIRT_DOMAIN_SNAPSHOT_CREATE_XML;
	return n;
}

static size_t daemon_long(const struct daemon *d)
{
	size_t n = daemon_minutes(d);

	for (size_t i = 0; i < d->held_count; i++)
		n += d->held[i].procedure == LIBVIRT_DOMAIN_CREATE_WITH_FLAGS;
	return n;
}

static void daemon_call(struct daemon *d, const struct libvirt_header *h)
{
	_cleanup_(buf_finish) struct buf body = BUF_INIT;

	switch (h->procedure) {
	case LIBVIRT_AUTH_LIST:
		xdr_put_u32(&body, 1);
		xdr_put_u32(&body, 0);
		break;
	case LIBVIRT_CONNECT_OPEN:
		break;
	case LIBVIRT_CONNECT_GET_LIB_VERSION:
		xdr_put_u64(&body, 9000000);
		break;
	default:
		if (d->deaf && d->peer_count == 1)
			return;
		if (d->deaf)
			break;
		assert_true(d->seen_count < CALLS);
		d->seen[d->seen_count++] = h->procedure;
		d->held[d->held_count++] = *h;
		d->held_most = MAX(d->held_most, d->held_count);
		d->long_most = MAX(d->long_most, daemon_long(d));
		d->minutes_most = MAX(d->minutes_most, daemon_minutes(d));
		if (d->seen_count == 5)
			for (size_t i = 0; i < 2; i++) /* one under way, one in line */
				libvirt_call_cancel(d->calls[i == 0 ? 0 : CALLS - 1]);
		if (d->seen_count >= 5)
			daemon_answer_oldest(d);
		return;
	}
	daemon_answer(d, h, &body);
}

static void daemon_alloc(uv_handle_t *h, size_t size, uv_buf_t *b)
{
	*b = uv_buf_init(xmalloc(size), (unsigned)size);
}

static void daemon_read(uv_stream_t *s, ssize_t size, const uv_buf_t *b)
{
	struct daemon *d = s->data;
	struct libvirt_header h;
	struct xdr_reader payload;
	struct err err = ERR_INIT;
	ssize_t n;

	if (size > 0)
		buf_add(&d->in, b->base, (size_t)size);
	free(b->base);
	while ((n = libvirt_packet_parse(d->in.data, d->in.size, &h, &payload, &err)) > 0) {
		buf_drop_front(&d->in, (size_t)n);
		daemon_call(d, &h);
	}
}

static void daemon_connection(uv_stream_t *listener, int status)
{
	struct daemon *d = listener->data;
	uv_pipe_t *peer = &d->peers[d->peer_count++];

	assert_int_equal(status, 0);
	assert_true(d->peer_count <= 2);
	buf_clear(&d->in);
	uv_pipe_init(&d->loop, peer, 0);
	peer->data = d;
	assert_int_equal(uv_accept(listener, (uv_stream_t *)peer), 0);
	uv_read_start((uv_stream_t *)peer, daemon_alloc, daemon_read);
}

static void daemon_end(struct daemon *d)
{
	libvirt_destroy(d->libvirt);
	uv_close((uv_handle_t *)&d->listener, NULL);
	for (size_t i = 0; i < d->peer_count; i++)
		uv_close((uv_handle_t *)&d->peers[i], NULL);
}

static void cancelled_done(void *user, const struct libvirt_reply *r)
{
	struct daemon *d = user;

	d->cancelled_answers++;
}

static void answered(void *user, const struct libvirt_reply *r)
{
	struct daemon *d = user;

	assert_true(r->ok);
	/* An answer need not bring a successor, which would be answered. */
	if (++d->answers + 2 == CALLS)
		daemon_end(d);
	else if (d->held_count)
		daemon_answer_oldest(d);
}

static void calls_made(void *user)
{
	struct daemon *d = user;

	/* Eight that last, one kind by what they are, the other by the time they are given; then
	 * four that don't. */
	for (int i = 0; i < CALLS; i++) {
		bool memory = i >= 1 && i <= 3;

		d->calls[i] = libvirt_call(d->libvirt,
			memory	? LIBVIRT_DOMAIN_SNAPSHOT_CREATE_XML
			: i < 8 ? LIBVIRT_DOMAIN_CREATE_WITH_FLAGS
				: LIBVIRT_DOMAIN_GET_INFO,
			NULL, memory ? 1800000 : 0,
			i == 0 || i == CALLS - 1 ? cancelled_done : answered, d);
	}
}

static void daemon_run(struct daemon *d, const struct libvirt_handler *handler)
{
	char path[64], address[96];

	snprintf(path, sizeof(path), "/tmp/hanok-libvirt-%d.sock", (int)getpid());
	snprintf(address, sizeof(address), "unix://%s", path);
	uv_loop_init(&d->loop);
	uv_pipe_init(&d->loop, &d->listener, 0);
	d->listener.data = d;
	assert_int_equal(uv_pipe_bind(&d->listener, path), 0);
	assert_int_equal(uv_listen((uv_stream_t *)&d->listener, 2, daemon_connection), 0);
	d->libvirt = libvirt_create(&d->loop, clock_system(), address, handler, d);
	uv_run(&d->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&d->loop), 0);
	buf_finish(&d->in);
}

static void few_calls_are_under_way_and_the_rest_waits_in_line(void **state)
{
	static const struct libvirt_handler handler = {.up = calls_made};
	struct daemon d = {.in = BUF_INIT};

	daemon_run(&d, &handler);
	assert_int_equal(d.answers, CALLS - 2);
	assert_int_equal(d.cancelled_answers, 0);
	assert_int_equal(d.seen_count, CALLS - 1); /* the cancelled one in line never came */
	assert_int_equal(d.held_most, 5);
	assert_int_equal(d.long_most, 3);
	assert_int_equal(d.minutes_most, 2);
	for (int i = 0; i < 3; i++)
		assert_int_equal(d.seen[i], i > 0 ? LIBVIRT_DOMAIN_SNAPSHOT_CREATE_XML
						  : LIBVIRT_DOMAIN_CREATE_WITH_FLAGS);
	/* Those that don't last pass those that do. */
	for (int i = 3; i < 5; i++)
		assert_int_equal(d.seen[i], LIBVIRT_DOMAIN_GET_INFO);
}

static void not_answered(void *user, const struct libvirt_reply *r)
{
	struct daemon *d = user;

	assert_false(r->ok);
	if (r->code == LIBVIRT_RPC_TIMEOUT)
		d->timeouts++;
	else
		d->lost += r->code == LIBVIRT_RPC_DOWN;
}

static void answered_at_last(void *user, const struct libvirt_reply *r)
{
	struct daemon *d = user;

	assert_true(r->ok);
	d->answers++;
	daemon_end(d);
}

static void deaf_up(void *user)
{
	struct daemon *d = user;

	if (++d->ups == 2) {
		libvirt_call(d->libvirt, LIBVIRT_DOMAIN_GET_INFO, NULL, 0, answered_at_last, d);
		return;
	}
	/* Four that are given up, one that could wait longer, one that stands in line. */
	for (int i = 0; i < 6; i++)
		libvirt_call(
			d->libvirt, LIBVIRT_DOMAIN_GET_INFO, NULL, i < 4 ? 20 : 0, not_answered, d);
}

static void deaf_down(void *user, const struct err *err)
{
	((struct daemon *)user)->downs++;
}

/* Else no call would ever be read again: a guest whose QEMU hangs takes the places of all. */
static void calls_that_are_not_answered_in_time_end_the_connection(void **state)
{
	static const struct libvirt_handler handler = {.up = deaf_up, .down = deaf_down};
	struct daemon d = {.in = BUF_INIT, .deaf = true};

	daemon_run(&d, &handler);
	assert_int_equal(d.timeouts, 4);
	assert_int_equal(d.lost, 2);
	assert_int_equal(d.downs, 1);
	assert_int_equal(d.ups, 2);
	assert_int_equal(d.answers, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(calls_do_not_hurry_the_next_attempt),
		cmocka_unit_test(few_calls_are_under_way_and_the_rest_waits_in_line),
		cmocka_unit_test(calls_that_are_not_answered_in_time_end_the_connection),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

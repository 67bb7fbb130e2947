/* http_test_util.h - a server, an endpoint and raw sockets on one loop, for the tests here. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "lib/http/http_client.h"
#include "lib/http/http_impl.h"
#include "lib/http/tls.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/socket.h>

struct fixture {
	uv_loop_t loop;
	struct http_server *server;
	struct http_endpoint *endpoint;
	int port;
	bool tls, stopping, stopped;
	char *ca_cert, *ca_key;
};

/* What came of a call. */
struct result {
	struct fixture *fixture;
	struct http_call *call;
	bool begun, done, pause_on_data;
	int status;
	char extra[16];
	struct buf body;
	struct err err;
	struct stream *stream;
};

static inline void on_alarm(uv_timer_t *t)
{
	*(bool *)t->data = true;
}

/* Runs the loop while the condition holds; fails after the time, of a machine that has little else
 * to do: a busy one may take longer. */
#define RUN_PATIENCE 12
#define run_while(f, condition, ms)                                                                \
	do {                                                                                       \
		bool _late = false;                                                                \
		uv_timer_t _alarm;                                                                 \
		uv_timer_init(&(f)->loop, &_alarm);                                                \
		_alarm.data = &_late;                                                              \
		uv_update_time(&(f)->loop);                                                        \
		uv_timer_start(&_alarm, on_alarm, RUN_PATIENCE *(ms), 0);                          \
		while ((condition) && !_late)                                                      \
			uv_run(&(f)->loop, UV_RUN_ONCE);                                           \
		bool _failed = (condition);                                                        \
		uv_close((uv_handle_t *)&_alarm, NULL);                                            \
		uv_run(&(f)->loop, UV_RUN_NOWAIT);                                                 \
		if (_failed)                                                                       \
			fail_msg("waited in vain while %s", #condition);                           \
	} while (0)

static inline void run_turns(struct fixture *f, int count)
{
	while (count-- > 0)
		uv_run(&f->loop, UV_RUN_NOWAIT);
}

static inline void result_begin(void *user, const struct http_response *r)
{
	struct result *to = user;
	to->begun = true;
	to->status = r->status;
}

static inline void result_data(void *user, const char *p, size_t size)
{
	struct result *to = user;
	buf_add(&to->body, p, size);
	if (to->pause_on_data)
		http_call_pause(to->call);
}

static inline void result_done(void *user, const struct http_response *r, const struct err *err)
{
	struct result *to = user;
	assert_false(to->done);
	to->done = true;
	if (!r) {
		to->err = *err;
		return;
	}
	to->status = r->status;
	buf_add(&to->body, r->body, r->body_size);
	const char *extra = http_response_header(r, "x-extra");
	snprintf(to->extra, sizeof(to->extra), "%s", extra ? extra : "");
}

static inline void result_upgraded(void *user, struct stream *s, const struct http_response *r)
{
	struct result *to = user;
	assert_int_equal(r->status, 101);
	to->stream = s;
}

static inline struct http_call_options call_options(
	struct result *r, const char *method, const char *target)
{
	return (struct http_call_options){
		.method = method, .target = target, .done = result_done, .user = r};
}

static inline void wait_result(struct fixture *f, struct result *r)
{
	run_while(f, !r->done, 20000);
}

static inline void result_reset(struct result *r)
{
	buf_finish(&r->body);
	*r = (struct result){0};
}

static inline void fixture_set_client(
	struct fixture *f, const char *ca, const char *cert, const char *key, const char *name)
{
	char address[64];
	SSL_CTX *ctx = NULL;
	snprintf(address, sizeof(address), "tcp://127.0.0.1:%d", f->port);
	if (ca) {
		struct str ca_s = str_from(ca), cert_s = str_from(cert), key_s = str_from(key);
		assert_int_equal(tls_client_context(&ca_s, cert ? &cert_s : NULL,
					 key ? &key_s : NULL, &ctx, NULL),
			0);
	}
	http_endpoint_destroy(f->endpoint);
	struct http_endpoint_options eo = {
		.loop = &f->loop, .address = address, .tls = ctx, .tls_name = name};
	f->endpoint = http_endpoint_create(&eo);
	SSL_CTX_free(ctx);
}

static inline struct fixture *fixture_create(bool tls, http_handler *handler, unsigned idle_ms)
{
	static const char *const orgs[] = {"system:masters", "team:b", NULL};
	static const char *const names[] = {"localhost", NULL};
	static const char *const ips[] = {"127.0.0.1", NULL};
	struct fixture *f = xcalloc(1, sizeof(*f));
	alarm(600); /* a test that hangs ends by a signal */
	struct http_server_options o = {
		.loop = &f->loop, .handler = handler, .user = f, .idle_timeout_ms = idle_ms};
	char *cert = NULL, *key = NULL;
	assert_int_equal(uv_loop_init(&f->loop), 0);
	f->tls = tls;
	if (tls) {
		struct pki_request q = {.cn = "server",
			.dns_names = names,
			.ips = ips,
			.server_auth = true,
			.days = 1};
		struct pki_request c = {
			.cn = "alice", .orgs = orgs, .client_auth = true, .days = 1};
		assert_int_equal(pki_make_ca("test", 1, &f->ca_cert, &f->ca_key, NULL), 0);
		assert_int_equal(pki_issue(f->ca_cert, f->ca_key, &q, &cert, &key, NULL), 0);
		struct str ca = str_from(f->ca_cert);
		assert_int_equal(
			tls_server_context(str_from(cert), str_from(key), &ca, &o.tls, NULL), 0);
		free(cert);
		free(key);
		assert_int_equal(pki_issue(f->ca_cert, f->ca_key, &c, &cert, &key, NULL), 0);
	}
	f->server = http_server_create(&o);
	SSL_CTX_free(o.tls);
	assert_int_equal(http_server_listen(f->server, "127.0.0.1:0", &f->port, NULL), 0);
	fixture_set_client(f, f->ca_cert, cert, key, tls ? "localhost" : NULL);
	free(cert);
	free(key);
	return f;
}

static inline void fixture_on_stopped(void *user)
{
	struct fixture *f = user;
	f->stopped = true;
}

static inline void fixture_stop(struct fixture *f, unsigned grace_ms)
{
	f->stopping = true;
	http_server_stop(f->server, grace_ms, fixture_on_stopped, f);
}

static inline void fixture_destroy(struct fixture *f)
{
	http_endpoint_destroy(f->endpoint);
	if (!f->stopping)
		fixture_stop(f, 0);
	while (!f->stopped)
		uv_run(&f->loop, UV_RUN_ONCE);
	http_server_destroy(f->server);
	uv_run(&f->loop, UV_RUN_DEFAULT);
	assert_int_equal(uv_loop_close(&f->loop), 0);
	free(f->ca_cert);
	free(f->ca_key);
	free(f);
}

/* Streams that collect, and streams that echo. */

struct pipe_end {
	struct buf in;
	bool eof, closed;
	int error;
};

static inline void pipe_end_read(void *user, const char *p, size_t size)
{
	struct pipe_end *e = user;
	buf_add(&e->in, p, size);
}

static inline void pipe_end_eof(void *user)
{
	struct pipe_end *e = user;
	e->eof = true;
}

static inline void pipe_end_error(void *user, int code, const char *text)
{
	struct pipe_end *e = user;
	e->error = code;
}

static inline void pipe_end_closed(void *user)
{
	struct pipe_end *e = user;
	e->closed = true;
}

static const struct stream_handler pipe_end_handler = {
	.read = pipe_end_read,
	.eof = pipe_end_eof,
	.error = pipe_end_error,
	.closed = pipe_end_closed,
};

struct echo {
	struct stream *stream;
	bool eof;
};

static inline void echo_read(void *user, const char *p, size_t size)
{
	struct echo *e = user;
	stream_write(e->stream, p, size);
}

static inline void echo_eof(void *user)
{
	struct echo *e = user;
	e->eof = true;
	stream_shutdown(e->stream);
}

static inline void echo_flushed(void *user)
{
	struct echo *e = user;
	if (e->eof)
		stream_close(e->stream);
}

/* Sends back whatever comes, until the other side ends. */
static inline void echo_stream_start(struct stream *s)
{
	static const struct stream_handler handler = {
		.read = echo_read,
		.eof = echo_eof,
		.flushed = echo_flushed,
		.closed = free,
	};
	struct echo *e = xcalloc(1, sizeof(*e));
	e->stream = s;
	stream_set_handler(s, &handler, e);
	stream_read_start(s);
}

/* Raw sockets */

static inline int raw_connect(struct fixture *f)
{
	struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)f->port)};
	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
	return fd;
}

static inline void raw_send(int fd, const char *text)
{
	size_t size = strlen(text);
	assert_int_equal(send(fd, text, size, MSG_NOSIGNAL), size);
}

/* Until `size` bytes are in, or the end when size is SIZE_MAX. */
static inline bool raw_read(struct fixture *f, int fd, struct buf *to, size_t size)
{
	uint64_t begin = uv_hrtime();
	static char room[65536];
	while (to->size < size) {
		ssize_t n = recv(fd, room, MIN(sizeof(room), size - to->size), 0);
		if (n > 0) {
			buf_add(to, room, (size_t)n);
		} else if (n == 0 || errno != EAGAIN) {
			return true;
		} else {
			uv_run(&f->loop, UV_RUN_NOWAIT);
			if (uv_hrtime() - begin > 20000000000u)
				fail_msg("nothing comes, nor the end");
		}
	}
	return false;
}

static inline char *raw_read_all(struct fixture *f, int fd)
{
	struct buf b = BUF_INIT;
	raw_read(f, fd, &b, SIZE_MAX);
	close(fd);
	return buf_take(&b);
}

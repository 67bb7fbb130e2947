/* A server that answers the HTTP client with anything, in any cuts, while the client's user
 * cancels, pauses or destroys the endpoint in the callbacks: each call ends once at most, and
 * nothing stays.
 *
 * Input: a byte of flags, then pieces, each a byte that says its size. */
#include "lib/http/http_client.h"

#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

enum {
	FLAG_DATA = 1,
	FLAG_CANCEL = 2,
	FLAG_DESTROY = 4,
	FLAG_PAUSE = 8,
	FLAG_HEAD = 16,
	FLAG_UPGRADE = 32,
	FLAG_AGAIN = 64,
	FLAG_END = 128,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uv_loop_t *loop;
static int listener;
static char address[64];
static struct http_endpoint *endpoint;
static struct http_call *call; /* NULL when over */
static uint8_t flags;

static void meddle(void)
{
	if (flags & FLAG_PAUSE)
		http_call_pause(call);
	if (flags & FLAG_CANCEL)
		http_call_cancel(TAKE_PTR(call));
	if (flags & FLAG_DESTROY)
		http_endpoint_destroy(TAKE_PTR(endpoint));
}

static void on_begin(void *user, const struct http_response *r)
{
	if (!call || r->status < 100 || r->status > 599)
		abort();
	(void)http_response_header(r, "content-type");
	if (!(flags & FLAG_DATA))
		meddle();
}

static void on_data(void *user, const char *p, size_t size)
{
	if (!call || size == 0)
		abort();
	meddle();
}

static void on_done(void *user, const struct http_response *r, const struct err *err)
{
	if (!call || (r == NULL) != (err != NULL) || (r && r->body[r->body_size]))
		abort();
	call = NULL;
	if (flags & FLAG_DESTROY)
		http_endpoint_destroy(TAKE_PTR(endpoint));
}

static void on_upgraded(void *user, struct stream *s, const struct http_response *r)
{
	call = NULL;
	stream_close(s);
}

static void start(void)
{
	struct http_call_options o = {
		.method = flags & FLAG_HEAD ? "HEAD" : "GET",
		.target = "/",
		.begin = on_begin,
		.data = flags & FLAG_DATA ? on_data : NULL,
		.done = on_done,
		.upgraded = flags & FLAG_UPGRADE ? on_upgraded : NULL,
		.body_max_bytes = 1000,
	};
	call = http_call(endpoint, &o);
}

static void listen_once(void)
{
	struct sockaddr_un a = {.sun_family = AF_UNIX};
	snprintf(a.sun_path, sizeof(a.sun_path), "/tmp/http-client-fuzz.%d", getpid());
	snprintf(address, sizeof(address), "unix://%s", a.sun_path);
	unlink(a.sun_path);
	loop = xcalloc(1, sizeof(*loop));
	listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (uv_loop_init(loop) < 0 || listener < 0 ||
		bind(listener, (struct sockaddr *)&a, sizeof(a)) < 0 || listen(listener, 8) < 0)
		abort();
}

/* The connection that the client has made, if any. */
static int accept_from_client(void)
{
	int fd = -1;
	for (int i = 0; fd < 0 && i < 6; i++) {
		uv_run(loop, UV_RUN_NOWAIT);
		fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	}
	uv_run(loop, UV_RUN_NOWAIT);
	return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!loop)
		listen_once();
	if (size < 1)
		return 0;
	flags = data[0];
	struct http_endpoint_options eo = {.loop = loop, .address = address};
	endpoint = http_endpoint_create(&eo);
	start();
	int fd = accept_from_client();
	for (size_t at = 1; at < size;) {
		size_t n = MIN((size_t)data[at] * 4 + 1, size - at - 1);
		at++;
		if (n && send(fd, data + at, n, MSG_NOSIGNAL) < 0)
			break;
		at += n;
		uv_run(loop, UV_RUN_NOWAIT);
		if (call && n % 2)
			http_call_resume(call);
		if (!call && endpoint && (flags & FLAG_AGAIN))
			start(); /* on the connection that was kept, if it was */
		uv_run(loop, UV_RUN_NOWAIT);
	}
	if (flags & FLAG_END) {
		shutdown(fd, SHUT_WR);
		uv_run(loop, UV_RUN_NOWAIT);
	}
	if (fd >= 0)
		close(fd);
	uv_run(loop, UV_RUN_NOWAIT);
	http_endpoint_destroy(TAKE_PTR(endpoint));
	uv_run(loop, UV_RUN_DEFAULT); /* returns when all handles are closed */
	while ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0)
		close(fd);
	if (call)
		abort();
	return 0;
}

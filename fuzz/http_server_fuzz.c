/* A client of the HTTP server that sends anything, in any cuts: every request that a handler gets
 * is well-formed and is closed once, and nothing stays behind.
 *
 * Input: a byte of flags (how the handler answers), then pieces, each a byte that says its size. */
#include "lib/http/http_impl.h"

#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uv_loop_t loop;
static struct http_server *server;
static unsigned opened, closed;
static uint8_t flags;
static struct http_request *pending;

static void on_closed(struct http_request *req)
{
	closed++;
	if (pending == req)
		pending = NULL;
}

static void on_cancelled(struct http_request *req)
{
	if (flags & 1) {
		if (pending == req)
			pending = NULL;
		http_abort(req);
	}
}

static void answer(struct http_request *req)
{
	pending = NULL;
	switch (flags >> 4 & 3) {
	case 0:
		http_respond(req, 200, "text/plain", NULL, req->body, req->body_size);
		break;
	case 1:
		http_stream_begin(req, 200, NULL, NULL);
		http_stream_write(req, "x", 1);
		http_stream_end(req);
		break;
	case 2:
		http_abort(req);
		break;
	default:
		http_respond(req, 204, NULL, "X: y\r\n", NULL, 0);
		break;
	}
}

static void handler(struct http_request *req, void *user)
{
	if (!req->path || (req->path[0] != '/' && req->path[0] != '*') ||
		req->body[req->body_size] || req->body_size > HTTP_BODY_MAX_BYTES ||
		!utf8_valid(req->path, strlen(req->path)))
		abort();
	(void)http_query_get(req, "a", 1);
	opened++;
	req->closed = on_closed;
	req->cancelled = on_cancelled;
	if (flags & 2) {
		pending = req; /* one at a time on a connection, and there is one connection */
		return;
	}
	answer(req);
}

static void drain(int fd)
{
	char room[4096];
	while (recv(fd, room, sizeof(room), MSG_DONTWAIT) > 0)
		;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd[2];
	if (!server) {
		struct http_server_options o = {.loop = &loop, .handler = handler};
		if (uv_loop_init(&loop) < 0)
			abort();
		server = http_server_create(&o);
	}
	if (size < 1 || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd) < 0)
		return 0;
	flags = data[0];
	opened = closed = 0;
	http_conn_start(server, fd[0]);
	for (size_t at = 1; at < size;) {
		size_t n = MIN((size_t)data[at] * 4 + 1, size - at - 1);
		at++;
		if (n && send(fd[1], data + at, n, MSG_NOSIGNAL) < 0)
			break;
		at += n;
		uv_run(&loop, UV_RUN_NOWAIT);
		if (pending && n % 2)
			answer(pending);
		uv_run(&loop, UV_RUN_NOWAIT);
		drain(fd[1]);
	}
	if (flags & 4) {
		shutdown(fd[1], SHUT_WR);
		uv_run(&loop, UV_RUN_NOWAIT);
	}
	close(fd[1]);
	for (int i = 0; server->conn_count && i < 100000; i++) {
		if (pending && i > 2)
			answer(pending);
		uv_run(&loop, UV_RUN_NOWAIT);
	}
	if (server->conn_count || opened != closed || pending)
		abort();
	return 0;
}

/* A client of the server that speaks HTTP/2, in frames that are mostly well-formed: every request
 * that a handler gets is closed once, and nothing stays behind.
 *
 * Input: a byte of flags (how the handler answers), then frames: type, flags, stream, size of the
 * payload, payload. Type 255 lets a pending request be answered, 254 sends raw bytes instead. */
#include "lib/http/h2_impl.h"

#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PENDING_MAX 64

static uv_loop_t loop;
static struct http_server *server;
static unsigned opened, closed;
static uint8_t flags;
static struct http_request *pending[PENDING_MAX];
static unsigned pending_count;
static char big[70000];

static void forget(struct http_request *req)
{
	for (unsigned i = 0; i < pending_count; i++)
		if (pending[i] == req)
			pending[i--] = pending[--pending_count];
}

static void on_closed(struct http_request *req)
{
	closed++;
	forget(req);
}

static void on_cancelled(struct http_request *req)
{
	if (flags & 1) {
		forget(req);
		http_abort(req);
	}
}

static void answer(struct http_request *req)
{
	forget(req);
	switch (flags >> 4 & 3) {
	case 0:
		http_respond(req, 200, "text/plain", NULL, req->body, req->body_size);
		break;
	case 1:
		http_stream_begin(req, 200, NULL, NULL);
		http_stream_write(req, "x", 1);
		http_stream_write(req, big, sizeof(big));
		http_stream_end(req);
		break;
	case 2:
		http_abort(req);
		break;
	default:
		http_respond(req, 204, NULL, "X: y\r\nConnection: close\r\n", NULL, 0);
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
	(void)http_header_get(req, "host");
	opened++;
	req->closed = on_closed;
	req->cancelled = on_cancelled;
	if ((flags & 2) && pending_count < PENDING_MAX)
		pending[pending_count++] = req;
	else
		answer(req);
}

static void drain(int fd)
{
	char room[65536];
	while (recv(fd, room, sizeof(room), MSG_DONTWAIT) > 0)
		;
}

static void send_all(int fd, const void *p, size_t size)
{
	(void)send(fd, p, size, MSG_NOSIGNAL);
	uv_run(&loop, UV_RUN_NOWAIT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";
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
	opened = closed = pending_count = 0;
	http_conn_start(server, fd[0]);
	send_all(fd[1], preface, sizeof(preface)); /* the NUL is the frame's last byte */
	for (size_t at = 1; at + 4 <= size;) {
		uint8_t type = data[at], frame_flags = data[at + 1], stream = data[at + 2];
		size_t n = MIN((size_t)data[at + 3], size - at - 4);
		const uint8_t head[9] = {0, 0, (uint8_t)n, type, frame_flags, 0, 0, 0, stream};
		at += 4;
		if (type == 255 && pending_count)
			answer(pending[stream % pending_count]);
		if (type < 254)
			send_all(fd[1], head, sizeof(head));
		if (type != 255)
			send_all(fd[1], data + at, n);
		at += n;
		if (!(flags & 8))
			drain(fd[1]);
		uv_run(&loop, UV_RUN_NOWAIT);
	}
	if (flags & 4) {
		shutdown(fd[1], SHUT_WR);
		uv_run(&loop, UV_RUN_NOWAIT);
	}
	close(fd[1]);
	for (int i = 0; server->conn_count && i < 100000; i++) {
		if (pending_count && i > 2)
			answer(pending[0]);
		uv_run(&loop, UV_RUN_NOWAIT);
	}
	if (server->conn_count || opened != closed || pending_count)
		abort();
	return 0;
}

/* Frames as a hostile peer of a WebSocket could send them, to the server's and the client's side,
 * whose user answers, pauses or closes inside the callbacks.
 *
 * Input: a byte of flags, then pieces, each a byte that says its size. */
#include "lib/http/http_impl.h"
#include "lib/http/websocket.h"

#include <sys/socket.h>

enum { FLAG_CLIENT = 1, FLAG_ECHO = 2, FLAG_CLOSE = 4, FLAG_PAUSE = 8, FLAG_HALF = 16 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uv_loop_t loop;
static struct http_server *server;
static struct websocket *w;
static unsigned closed;
static uint8_t flags;

static void on_message(void *user, bool text, const char *p, size_t size)
{
	if (size > WEBSOCKET_MESSAGE_MAX_BYTES || (text && !utf8_valid(p, size)))
		abort();
	if (flags & FLAG_ECHO)
		websocket_send(w, text, p, size);
	if (flags & FLAG_PAUSE)
		websocket_read_stop(w);
	if ((flags & FLAG_CLOSE) && size > 3)
		websocket_close(w, 1000);
}

static void on_closed(void *user, unsigned code)
{
	w = NULL;
	closed++;
}

static const struct websocket_handler websocket_handler = {
	.message = on_message,
	.closed = on_closed,
};

static void handler(struct http_request *req, void *user)
{
	if (websocket_accept(req, NULL, &websocket_handler, NULL, &w, NULL, NULL) < 0)
		abort();
}

static void drain(int fd)
{
	char room[4096];
	while (recv(fd, room, sizeof(room), MSG_DONTWAIT) > 0)
		;
}

static void start(int ours, int peer)
{
	static const char upgrade[] = "GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\n"
				      "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
				      "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n";
	if (flags & FLAG_CLIENT) {
		struct stream *s;
		if (stream_from_fd(&loop, ours, &s, NULL) < 0)
			abort();
		w = websocket_client(s, &websocket_handler, NULL);
		return;
	}
	http_conn_start(server, ours);
	if (send(peer, upgrade, sizeof(upgrade) - 1, MSG_NOSIGNAL) < 0)
		abort();
	for (int i = 0; !w && i < 100; i++)
		uv_run(&loop, UV_RUN_NOWAIT);
	if (!w)
		abort();
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
	closed = 0;
	start(fd[0], fd[1]);
	for (size_t at = 1; at < size;) {
		size_t n = MIN((size_t)data[at] * 4 + 1, size - at - 1);
		at++;
		if (n && send(fd[1], data + at, n, MSG_NOSIGNAL) < 0)
			break;
		at += n;
		uv_run(&loop, UV_RUN_NOWAIT);
		uv_run(&loop, UV_RUN_NOWAIT);
		if (w && n % 2)
			websocket_read_start(w);
		drain(fd[1]);
	}
	if (flags & FLAG_HALF) {
		shutdown(fd[1], SHUT_WR);
		uv_run(&loop, UV_RUN_NOWAIT);
	}
	close(fd[1]);
	for (int i = 0; (w || server->conn_count) && i < 100000; i++) {
		if (w)
			websocket_read_start(w); /* or the end stays unseen */
		uv_run(&loop, UV_RUN_NOWAIT);
	}
	if (w || closed != 1 || server->conn_count)
		abort();
	return 0;
}

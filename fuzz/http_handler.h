/* http_handler.h - the server's side of fuzzing what clients send: a handler that answers in any
 * way, at once or later, and what must hold in the end. For http_server_fuzz.c and h2_fuzz.c.
 *
 * A byte of flags says how: 1 cancelled requests are aborted; 2 answers come later; 4 the client
 * ends its direction first; 8 it reads nothing; bits 4 to 6 what the answer is. */
#pragma once

#include "lib/http/h2_impl.h"

#include <sys/socket.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define PENDING_MAX 64

static uv_loop_t loop;
static struct http_server *server;
static unsigned opened, closed, sources, sources_finished;
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

static bool next_piece(void *user, struct buf *out)
{
	unsigned *left = user;
	buf_add(out, big, sizeof(big));
	return --*left > 0;
}

static void source_finished(void *user)
{
	sources_finished++;
}

static void answer_from_source(struct http_request *req)
{
	unsigned *left = arena_alloc(&req->arena, sizeof(*left));
	*left = 1 + req->body_size % 40;
	sources++;
	http_respond_source(req, 200, "text/plain", NULL,
		&(struct http_source){next_piece, source_finished, left}, req->body_size & 1);
}

static void answer_large(struct http_request *req)
{
	struct http_part parts[40];
	struct blob *b = blob_new(big, sizeof(big));
	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		parts[i] = i % 2 ? (struct http_part){.text = ",", .text_size = 1}
				 : (struct http_part){.blob = b};
	http_respond_large(
		req, 200, "text/plain", NULL, parts, ARRAY_LEN(parts), req->body_size & 1);
	blob_unref(b);
}

static void answer(struct http_request *req)
{
	forget(req);
	switch (flags >> 4 & 7) {
	case 1:
		http_stream_begin(req, 200, NULL, NULL);
		http_stream_write(req, "x", 1);
		http_stream_write(req, big, sizeof(big));
		http_stream_end(req);
		break;
	case 2:
		http_abort(req);
		break;
	case 3:
		http_respond(req, 204, NULL, "X: y\r\nConnection: close\r\n", NULL, 0);
		break;
	case 4: /* too late */
		(void)http_respond_early(req, 504, NULL, NULL, "slow", 4);
		http_respond(req, 200, NULL, NULL, big, sizeof(big));
		break;
	case 5:
		answer_from_source(req);
		break;
	case 6:
		answer_large(req);
		break;
	default:
		http_respond(req, 200, "text/plain", NULL, req->body, req->body_size);
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
	if ((flags & 2) && pending_count < PENDING_MAX) {
		pending[pending_count++] = req;
		if (flags >> 4 == 4) /* the answer in its place goes out before its own */
			(void)http_respond_early(req, 504, NULL, NULL, "slow", 4);
	} else {
		answer(req);
	}
}

/* A client's end of a connection to the server; -1 when there is none. */
static int connect_client(uint8_t how)
{
	int fd[2];
	if (!server) {
		struct http_server_options o = {.loop = &loop, .handler = handler};
		if (uv_loop_init(&loop) < 0)
			abort();
		server = http_server_create(&o);
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd) < 0)
		return -1;
	flags = how;
	opened = closed = pending_count = sources = sources_finished = 0;
	http_conn_start(server, fd[0]);
	return fd[1];
}

static void drain(int fd)
{
	char room[65536];
	while (!(flags & 8) && recv(fd, room, sizeof(room), MSG_DONTWAIT) > 0)
		;
}

/* The client goes; all that was begun must come to its end, and nothing stay behind. */
static void end_client(int fd)
{
	if (flags & 4) {
		shutdown(fd, SHUT_WR);
		uv_run(&loop, UV_RUN_NOWAIT);
	}
	close(fd);
	for (int i = 0; server->conn_count && i < 100000; i++) {
		if (pending_count && i > 2)
			answer(pending[0]);
		uv_run(&loop, UV_RUN_NOWAIT);
	}
	if (server->conn_count || opened != closed || pending_count ||
		sources != sources_finished || server->waiting_bytes || server->held_bytes)
		abort();
}

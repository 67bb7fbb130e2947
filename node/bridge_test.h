/* bridge_test.h - a WebSocket client and a runtime around a bridge, for the tests of both bridges.
 */
#pragma once

#include "lib/http/http_test_util.h"

#include "lib/http/spdy.h"
#include "lib/http/websocket.h"

/* The bridge that is tested. */
static int bridge_start(struct http_request *req, struct stream *runtime);

static struct stream *bridge_end; /* what the handler gives the bridge as its runtime */
static int started;

static void handler(struct http_request *req, void *user)
{
	started = bridge_start(req, TAKE_PTR(bridge_end));
}

struct client {
	struct fixture *f;
	struct result r;
	struct websocket *w;
	struct buf in; /* messages, each behind its size as one byte */
	unsigned messages, code;
};

static void on_message(void *user, bool text, const char *data, size_t size)
{
	struct client *c = user;
	c->messages++;
	buf_add_char(&c->in, (char)size);
	buf_add(&c->in, data, size);
}

static void on_closed(void *user, unsigned code)
{
	struct client *c = user;
	c->w = NULL;
	c->code = code;
}

static const struct websocket_handler client_handler = {.message = on_message, .closed = on_closed};

/* Returns the runtime's end of the bridge. */
static struct stream *client_connect(
	struct fixture *f, struct client *c, const char *target, const char *protocol)
{
	struct arena a = ARENA_INIT;
	struct stream *there;
	int fd[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
	assert_int_equal(stream_from_fd(&f->loop, fd[0], &bridge_end, NULL), 0);
	assert_int_equal(stream_from_fd(&f->loop, fd[1], &there, NULL), 0);
	*c = (struct client){.f = f};
	struct http_call_options o = call_options(&c->r, "GET", target);
	o.headers = websocket_client_headers(&a, protocol);
	o.upgraded = result_upgraded;
	http_call(f->endpoint, &o);
	run_while(f, !c->r.stream && !c->r.done, 5000);
	if (c->r.stream)
		c->w = websocket_client(c->r.stream, &client_handler, c);
	arena_finish(&a);
	return there;
}

static void client_end(struct client *c)
{
	if (c->w)
		websocket_close(c->w, 1000);
	run_while(c->f, c->w, 5000);
	buf_finish(&c->in);
	result_reset(&c->r);
}

static int setup(void **state)
{
	*state = fixture_create(false, handler, 0);
	return 0;
}

static int teardown(void **state)
{
	fixture_destroy(*state);
	return 0;
}

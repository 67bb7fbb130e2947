/* websocket_tunnel.c - see websocket_tunnel.h. Two parties, each of which may go first; a tunnel is
 * gone when both are. */
#include "lib/http/websocket_tunnel.h"

struct tunnel {
	struct websocket *client; /* NULL = gone */
	struct stream *peer;	  /* NULL = gone */
	bool peer_closing, client_closing;
};

static void free_when_over(struct tunnel *t)
{
	if (!t->client && !t->peer)
		free(t);
}

static void end_client(struct tunnel *t, unsigned code)
{
	if (t->client && !t->client_closing) {
		t->client_closing = true;
		websocket_close(t->client, code);
	}
}

static void end_peer(struct tunnel *t)
{
	if (t->peer && !t->peer_closing) {
		t->peer_closing = true;
		stream_close(t->peer);
	}
}

static void on_message(void *user, bool text, const char *data, size_t size)
{
	struct tunnel *t = user;

	if (text) {
		end_client(t, 1003);
		end_peer(t);
		return;
	}
	if (!t->peer || t->peer_closing)
		return;
	stream_write(t->peer, data, size);
	if (stream_queued(t->peer) > STREAM_HIGH_BYTES)
		websocket_read_stop(t->client);
}

static void on_client_drained(void *user)
{
	struct tunnel *t = user;

	if (t->peer && !t->peer_closing)
		stream_read_start(t->peer);
}

static void on_client_closed(void *user, unsigned code)
{
	struct tunnel *t = user;

	t->client = NULL;
	end_peer(t);
	free_when_over(t);
}

static void on_peer_read(void *user, const char *data, size_t size)
{
	struct tunnel *t = user;

	if (!t->client || t->client_closing)
		return;
	websocket_send(t->client, false, data, size);
	if (websocket_queued(t->client) > STREAM_HIGH_BYTES)
		stream_read_stop(t->peer);
}

static void on_peer_eof(void *user)
{
	struct tunnel *t = user;

	end_client(t, 1000);
	end_peer(t);
}

static void on_peer_error(void *user, int code, const char *text)
{
	on_peer_eof(user);
}

static void on_peer_drained(void *user)
{
	struct tunnel *t = user;

	if (t->client && !t->client_closing)
		websocket_read_start(t->client);
}

static void on_peer_closed(void *user)
{
	struct tunnel *t = user;

	t->peer = NULL;
	end_client(t, 1000);
	free_when_over(t);
}

int websocket_tunnel(struct http_request *req, const char *const *protocols, struct stream *peer,
	struct err *err)
{
	static const struct websocket_handler client = {
		.message = on_message,
		.drained = on_client_drained,
		.closed = on_client_closed,
	};
	static const struct stream_handler handler = {
		.read = on_peer_read,
		.eof = on_peer_eof,
		.error = on_peer_error,
		.drained = on_peer_drained,
		.closed = on_peer_closed,
	};
	struct tunnel *t = xcalloc(1, sizeof(*t));
	const char *protocol;

	int r = websocket_accept(req, protocols, &client, t, &t->client, &protocol, err);
	if (r < 0) {
		free(t);
		return r;
	}
	t->peer = peer;
	stream_set_handler(peer, &handler, t);
	stream_read_start(peer);
	return 0;
}

/* forward_bridge.c - see forward_bridge.h. Two parties, each of which may go first; a bridge is
 * gone when both are. */
#include "node/forward_bridge.h"

#include <stdio.h>

#include "lib/http/spdy.h"
#include "lib/http/websocket_tunnel.h"
#include "node/exec_bridge.h"

#define PORTS_MAX 32

static const char tunnel_protocol[] = "SPDY/3.1+portforward.k8s.io";

struct forward;
struct forward_channel {
	struct forward *f;
	unsigned number;
	struct spdy_stream *stream; /* NULL = not open (any more) */
	bool ended;		    /* the runtime will send no more on it */
};

struct forward {
	struct websocket *client;     /* NULL = gone */
	struct spdy_session *runtime; /* NULL = gone */
	bool base64, closing, paused_client, paused_runtime;
	unsigned count; /* of channels: two for each port */
	struct forward_channel channels[2 * PORTS_MAX];
};

static void forward_free_when_over(struct forward *f)
{
	if (!f->client && !f->runtime)
		free(f);
}

static void forward_end_client(struct forward *f, unsigned code)
{
	if (f->client && !f->closing) {
		f->closing = true;
		websocket_close(f->client, code);
	}
}

static void on_message(void *user, bool text, const char *message, size_t size)
{
	struct forward *f = user;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	unsigned channel;
	const char *data;

	if (size == 0 || !f->runtime)
		return;
	if (exec_message_parse(&a, f->base64, text, message, size, &channel, &data, &size) < 0) {
		forward_end_client(f, 1003);
		return;
	}
	if (channel >= f->count || channel % 2 || size == 0 || !f->channels[channel].stream)
		return;
	struct spdy_stream *to = f->channels[channel].stream;
	spdy_write(to, data, size);
	if (spdy_queued(to) > STREAM_HIGH_BYTES && !f->paused_client) {
		f->paused_client = true;
		websocket_read_stop(f->client);
	}
}

static void on_client_drained(void *user)
{
	struct forward *f = user;

	if (!f->paused_runtime)
		return;
	f->paused_runtime = false;
	for (unsigned i = 0; i < f->count; i++)
		if (f->channels[i].stream)
			spdy_resume(f->channels[i].stream);
}

static void on_client_closed(void *user, unsigned code)
{
	struct forward *f = user;

	f->client = NULL;
	if (f->runtime)
		spdy_session_close(f->runtime);
	forward_free_when_over(f);
}

static void on_data(void *user, const char *p, size_t size)
{
	struct forward_channel *c = user;
	struct forward *f = c->f;

	if (!f->client || f->closing || size == 0)
		return;
	exec_message_send(f->client, f->base64, c->number, p, size);
	if (websocket_queued(f->client) > STREAM_HIGH_BYTES && !f->paused_runtime) {
		f->paused_runtime = true;
		for (unsigned i = 0; i < f->count; i++)
			if (f->channels[i].stream)
				spdy_pause(f->channels[i].stream);
	}
}

/* The connections to all ports are over. */
static void check_over(struct forward *f)
{
	for (unsigned i = 0; i < f->count; i++)
		if (f->channels[i].stream && !f->channels[i].ended)
			return;
	if (f->runtime)
		spdy_session_close(f->runtime);
	forward_end_client(f, 1000);
}

static void on_eof(void *user)
{
	struct forward_channel *c = user;

	c->ended = true;
	check_over(c->f);
}

static void on_reset(void *user, int status)
{
	struct forward_channel *c = user;

	c->stream = NULL;
	check_over(c->f);
}

static void on_session_drained(void *user)
{
	struct forward *f = user;

	if (f->paused_client && f->client) {
		f->paused_client = false;
		websocket_read_start(f->client);
	}
}

static void on_session_closed(void *user, const char *text)
{
	struct forward *f = user;

	f->runtime = NULL;
	forward_end_client(f, 1000);
	forward_free_when_over(f);
}

static void open_channel(struct forward *f, unsigned number, unsigned port)
{
	static const struct spdy_stream_handler handler = {
		.data = on_data, .eof = on_eof, .reset = on_reset};
	char port_text[12], id_text[12];
	snprintf(port_text, sizeof(port_text), "%u", port);
	snprintf(id_text, sizeof(id_text), "%u", number / 2);
	struct spdy_header h[] = {{"streamtype", number % 2 ? "error" : "data"},
		{"port", port_text}, {"requestid", id_text}};
	struct forward_channel *c = &f->channels[number];
	c->f = f;
	c->number = number;
	c->stream = spdy_open(f->runtime, h, ARRAY_LEN(h), &handler, c);
	if (c->stream && number % 2)
		spdy_end(c->stream); /* errors come from there only */
	const char first[2] = {(char)(port & 0xff), (char)(port >> 8)};
	exec_message_send(f->client, f->base64, number, first, sizeof(first));
}

/* ?ports=80,81&ports=82; how many, or negative. */
static int parse_ports(struct http_request *req, unsigned ports[PORTS_MAX])
{
	const char *text;
	int n = 0;

	for (unsigned i = 0; (text = http_query_get(req, "ports", i)); i++) {
		struct str rest = str_from(text), one;
		while (str_split(&rest, ',', &one)) {
			uint64_t port;
			if (n == PORTS_MAX || parse_u64(one, &port) < 0 || port == 0 ||
				port > UINT16_MAX)
				return -EINVAL;
			ports[n++] = (unsigned)port;
		}
	}
	return n ? n : -EINVAL;
}

static int refuse(
	struct http_request *req, struct stream *runtime, void *bridge, int r, const char *text)
{
	upgrade_refuse(req, 400, text);
	stream_close(runtime);
	free(bridge);
	return r;
}

static int tunnel_start(struct http_request *req, struct stream *runtime, struct err *err)
{
	static const char *const protocols[] = {tunnel_protocol, NULL};

	int r = websocket_tunnel(req, protocols, runtime, err);
	return r < 0 ? refuse(req, runtime, NULL, r, "no valid WebSocket upgrade") : 0;
}

int forward_bridge_start(struct http_request *req, struct stream *runtime, struct err *err)
{
	static const char *const protocols[] = {
		"v4.channel.k8s.io", "v4.base64.channel.k8s.io", NULL};
	static const struct websocket_handler client = {
		.message = on_message,
		.drained = on_client_drained,
		.closed = on_client_closed,
	};
	static const struct spdy_handler handler = {
		.drained = on_session_drained,
		.closed = on_session_closed,
	};
	if (http_list_has(http_header_get(req, "Sec-WebSocket-Protocol"), tunnel_protocol))
		return tunnel_start(req, runtime, err);
	unsigned ports[PORTS_MAX];
	int count = parse_ports(req, ports);
	if (count < 0)
		return refuse(req, runtime, NULL, err_set(err, count, "bad ports"),
			"query parameter \"ports\": want up to 32 port numbers");
	struct forward *f = xcalloc(1, sizeof(*f));
	const char *protocol;
	int r = websocket_accept(req, protocols, &client, f, &f->client, &protocol, err);
	if (r < 0)
		return refuse(req, runtime, f, r,
			"no WebSocket sub-protocol that this node speaks: "
			"SPDY/3.1+portforward.k8s.io, v4.channel.k8s.io");
	f->base64 = strstr(protocol, "base64") != NULL;
	f->runtime = spdy_session_create(runtime, false, &handler, f);
	f->count = 2 * (unsigned)count;
	for (unsigned i = 0; i < f->count; i += 2) {
		/* The runtime pairs them, errors first. */
		open_channel(f, i + 1, ports[i / 2]);
		open_channel(f, i, ports[i / 2]);
	}
	return 0;
}

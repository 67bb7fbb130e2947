/* exec_bridge.c - see exec_bridge.h. Two parties, each of which may go first; the bridge is gone
 * when both are. The runtime ends its session after the Status on the error stream; only then the
 * client is told, so that no output is lost. */
#include "node/exec_bridge.h"

#include "lib/base/buf.h"
#include "lib/http/spdy.h"
#include "lib/http/websocket.h"
#include "lib/json/json.h"
#include "lib/object/status.h"

#define STATUS_MAX_BYTES (64u << 10)

enum channel { CH_STDIN, CH_STDOUT, CH_STDERR, CH_ERROR, CH_RESIZE, CHANNELS };
enum { CH_CLOSE = 255 };

static const char *const stream_types[CHANNELS] = {
	[CH_STDIN] = "stdin",
	[CH_STDOUT] = "stdout",
	[CH_STDERR] = "stderr",
	[CH_ERROR] = "error",
	[CH_RESIZE] = "resize",
};

struct bridge;
struct bridge_channel {
	struct bridge *b;
	enum channel number;
	struct spdy_stream *stream; /* NULL = not open (any more) */
	bool ended;		    /* the runtime will send no more on it */
};

struct bridge {
	struct websocket *client;     /* NULL = gone */
	struct spdy_session *runtime; /* NULL = gone */
	struct bridge_channel channels[CHANNELS];
	bool plain_errors; /* the first version: the error channel is text, nothing when all is well
			    */
	struct buf status; /* of the runtime, until it is whole; for plain_errors */
	bool base64, paused_client, paused_runtime, closing;
};

static void free_when_over(struct bridge *b)
{
	if (b->client || b->runtime)
		return;
	buf_finish(&b->status);
	free(b);
}

static void end_client(struct bridge *b)
{
	if (b->client && !b->closing) {
		b->closing = true;
		websocket_close(b->client, 1000);
	}
}

/* ---- from the client ---- */

int exec_message_parse(struct arena *a, bool base64, bool text, const char *message, size_t size,
	unsigned *ret_channel, const char **ret_data, size_t *ret_size)
{
	if (size == 0 || text != base64)
		return -EBADMSG;
	if (!base64) {
		*ret_channel = (unsigned char)message[0];
		*ret_data = message + 1;
		*ret_size = size - 1;
		return 0;
	}
	char *plain;
	if (message[0] < '0' || message[0] > '9' ||
		base64_decode(a, (struct str){message + 1, size - 1}, &plain, ret_size) < 0)
		return -EBADMSG;
	*ret_channel = (unsigned)(message[0] - '0');
	*ret_data = plain;
	return 0;
}

static void on_message(void *user, bool text, const char *message, size_t size)
{
	struct bridge *b = user;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	unsigned channel;
	const char *data;

	/* An empty message is a client's way of keeping the connection open. */
	if (size == 0 || !b->runtime)
		return;
	if (exec_message_parse(&a, b->base64, text, message, size, &channel, &data, &size) < 0) {
		b->closing = true;
		websocket_close(b->client, 1003);
		return;
	}
	if (channel == CH_CLOSE) {
		unsigned which = size == 1 ? (unsigned char)data[0] : CHANNELS;
		if (which == CH_STDIN && b->channels[CH_STDIN].stream)
			spdy_end(b->channels[CH_STDIN].stream);
		return;
	}
	if (channel != CH_STDIN && channel != CH_RESIZE)
		return;
	struct spdy_stream *to = b->channels[channel].stream;
	if (!to || size == 0)
		return;
	spdy_write(to, data, size);
	if (spdy_queued(to) > STREAM_HIGH_BYTES && !b->paused_client) {
		b->paused_client = true;
		websocket_read_stop(b->client);
	}
}

static void on_client_drained(void *user)
{
	struct bridge *b = user;

	if (!b->paused_runtime)
		return;
	b->paused_runtime = false;
	for (int i = 0; i < CHANNELS; i++) {
		if (b->channels[i].stream)
			spdy_resume(b->channels[i].stream);
	}
}

static void on_client_closed(void *user, unsigned code)
{
	struct bridge *b = user;

	b->client = NULL;
	if (b->runtime)
		spdy_session_close(b->runtime);
	free_when_over(b);
}

/* ---- from the runtime ---- */

void exec_message_send(
	struct websocket *to, bool base64, unsigned channel, const char *p, size_t size)
{
	_cleanup_(buf_finish) struct buf m = BUF_INIT;
	if (base64) {
		_cleanup_(arena_finish) struct arena a = ARENA_INIT;
		buf_add_char(&m, (char)('0' + (int)channel));
		buf_add_str(&m, base64_encode(&a, p, size));
	} else {
		buf_reserve(&m, size + 1);
		buf_add_char(&m, (char)channel);
		buf_add(&m, p, size);
	}
	websocket_send(to, base64, m.data, m.size);
}

static void on_data(void *user, const char *p, size_t size)
{
	struct bridge_channel *c = user;
	struct bridge *b = c->b;

	if (!b->client || b->closing || size == 0)
		return;
	if (b->plain_errors && c->number == CH_ERROR) {
		if (b->status.size + size <= STATUS_MAX_BYTES)
			buf_add(&b->status, p, size);
		return;
	}
	exec_message_send(b->client, b->base64, c->number, p, size);
	if (websocket_queued(b->client) > STREAM_HIGH_BYTES && !b->paused_runtime && c->stream) {
		b->paused_runtime = true;
		for (int i = 0; i < CHANNELS; i++) {
			if (b->channels[i].stream)
				spdy_pause(b->channels[i].stream);
		}
	}
}

const char *exec_status_text(struct arena *a, const char *status, size_t size)
{
	struct json *v;
	if (size == 0)
		return NULL;
	if (json_parse(a, status, size, NULL, &v, NULL) < 0)
		return arena_memdup(a, status, size); /* a runtime's own words */
	if (streq(json_str(json_get(v, "status")), "Success"))
		return NULL;
	return json_str_or(json_get(v, "message"), "the command failed");
}

/* The runtime has said how it went. */
static void tell_status(struct bridge *b)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const char *text = exec_status_text(&a, b->status.data, b->status.size);
	buf_clear(&b->status);
	if (text && b->client && !b->closing)
		exec_message_send(b->client, b->base64, CH_ERROR, text, strlen(text));
}

/* All that the runtime had to say has been said. */
static void check_over(struct bridge *b)
{
	static const enum channel from_runtime[] = {CH_STDOUT, CH_STDERR, CH_ERROR};

	for (size_t i = 0; i < ARRAY_LEN(from_runtime); i++) {
		const struct bridge_channel *c = &b->channels[from_runtime[i]];
		if (c->stream && !c->ended)
			return;
	}
	if (b->runtime)
		spdy_session_close(b->runtime);
	end_client(b);
}

static void on_eof(void *user)
{
	struct bridge_channel *c = user;

	c->ended = true;
	if (c->number == CH_ERROR)
		tell_status(c->b);
	check_over(c->b);
}

static void on_reset(void *user, int status)
{
	struct bridge_channel *c = user;

	c->stream = NULL;
	if (c->number == CH_ERROR)
		tell_status(c->b);
	/* A runtime that breaks a stream off says no more on it than one that ends it. */
	check_over(c->b);
}

static void on_runtime_drained(void *user)
{
	struct bridge *b = user;

	if (b->paused_client && b->client) {
		b->paused_client = false;
		websocket_read_start(b->client);
	}
}

static void on_runtime_closed(void *user, const char *text)
{
	struct bridge *b = user;

	b->runtime = NULL;
	end_client(b);
	free_when_over(b);
}

static void open_channel(struct bridge *b, enum channel number)
{
	static const struct spdy_stream_handler handler = {
		.data = on_data,
		.eof = on_eof,
		.reset = on_reset,
	};
	struct spdy_header h = {"streamtype", stream_types[number]};

	b->channels[number].stream = spdy_open(b->runtime, &h, 1, &handler, &b->channels[number]);
}

void upgrade_refuse(struct http_request *req, int status, const char *text)
{
	_cleanup_(buf_finish) struct buf body = BUF_INIT;
	struct status st = {0};

	if (!strpbrk(text, ":{[")) {
		http_respond(req, status, "text/plain; charset=utf-8", NULL, text, strlen(text));
		return;
	}
	(void)status_set(&req->arena, &st, status, NULL, "%s", text);
	json_write(&body, st.doc);
	http_respond(req, status, "application/json", NULL, body.data, body.size);
}

int exec_bridge_start(struct http_request *req, struct stream *runtime,
	const struct exec_bridge_options *options, struct err *err)
{
	static const char *const protocols[] = {"v5.channel.k8s.io", "v4.channel.k8s.io",
		"v4.base64.channel.k8s.io", "channel.k8s.io", "base64.channel.k8s.io", NULL};
	static const struct websocket_handler client_handler = {
		.message = on_message,
		.drained = on_client_drained,
		.closed = on_client_closed,
	};
	static const struct spdy_handler runtime_handler = {
		.drained = on_runtime_drained,
		.closed = on_runtime_closed,
	};
	struct bridge *b = xcalloc(1, sizeof(*b));
	const char *protocol;

	for (int i = 0; i < CHANNELS; i++) {
		b->channels[i].b = b;
		b->channels[i].number = (enum channel)i;
	}
	int r = websocket_accept(req, protocols, &client_handler, b, &b->client, &protocol, err);
	if (r < 0) {
		const char *text = "no WebSocket sub-protocol that this node speaks: "
				   "v5.channel.k8s.io, v4.channel.k8s.io, channel.k8s.io";
		upgrade_refuse(req, 400, text);
		stream_close(runtime);
		free(b);
		return r;
	}
	b->base64 = strstr(protocol, "base64") != NULL;
	b->plain_errors = protocol[0] != 'v';
	b->runtime = spdy_session_create(runtime, false, &runtime_handler, b);
	/* The runtime waits for exactly these. */
	open_channel(b, CH_ERROR);
	if (options->in)
		open_channel(b, CH_STDIN);
	if (options->out)
		open_channel(b, CH_STDOUT);
	if (options->errors)
		open_channel(b, CH_STDERR);
	if (options->tty)
		open_channel(b, CH_RESIZE);
	return 0;
}

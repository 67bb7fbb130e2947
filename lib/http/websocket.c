#include "lib/http/websocket.h"

#include "lib/base/random.h"

#include <openssl/evp.h>
#include <strings.h>
#include <wslay/wslay.h>

#define CLOSE_TIMEOUT_MS 5000
/* Above this, what makes us answer (pings) waits in the kernel. Far above where writers stop, so
 * that two sides that wait for each other cannot come of it. */
#define ANSWERS_MAX_BYTES (16u << 20)
#define CODE_NONE 1005
#define CODE_BROKEN 1006

/*  OPEN --> CLOSING --> OVER     CLOSING: a close frame was sent. OVER: nothing is read any more,
 *    |                   ^       the rest is written and the stream closed.
 *    +-------------------+  */
enum websocket_state { WEBSOCKET_OPEN, WEBSOCKET_CLOSING, WEBSOCKET_OVER };

struct websocket {
	struct stream *stream;
	wslay_event_context_ptr ctx;
	struct websocket_handler h;
	void *user;
	uv_timer_t timer; /* for the other side's consent to close */
	const char *in;	  /* bytes that wslay is to take, while in on_read */
	size_t in_size;
	enum websocket_state state;
	unsigned code;	       /* for `closed` */
	unsigned open_handles; /* the timer and the stream */
	uint64_t written;      /* while ending: bytes taken by the other side at the last look */
	bool read_stopped;
	bool throttled; /* not read: the other side does not take our answers */
};

/* wslay's side */

static ssize_t give_bytes(
	wslay_event_context_ptr ctx, uint8_t *to, size_t room, int flags, void *user)
{
	struct websocket *w = user;
	if (w->in_size == 0 || (w->read_stopped && w->state == WEBSOCKET_OPEN)) {
		wslay_event_set_error(ctx, WSLAY_ERR_WOULDBLOCK);
		return -1;
	}
	size_t n = MIN(room, w->in_size);
	memcpy(to, w->in, n);
	w->in += n;
	w->in_size -= n;
	return (ssize_t)n;
}

static ssize_t take_bytes(
	wslay_event_context_ptr ctx, const uint8_t *p, size_t size, int flags, void *user)
{
	struct websocket *w = user;
	stream_write(w->stream, p, size);
	return (ssize_t)size;
}

static int make_mask(wslay_event_context_ptr ctx, uint8_t *to, size_t size, void *user)
{
	struct random r = RANDOM_SYSTEM;
	random_bytes(&r, to, size);
	return 0;
}

static void take_message(
	wslay_event_context_ptr ctx, const struct wslay_event_on_msg_recv_arg *arg, void *user)
{
	struct websocket *w = user;
	if (arg->opcode == WSLAY_CONNECTION_CLOSE) {
		w->code = arg->status_code ? arg->status_code : CODE_NONE;
	} else if (!wslay_is_ctrl_frame(arg->opcode) && w->state == WEBSOCKET_OPEN &&
		   w->h.message) {
		w->h.message(w->user, arg->opcode == WSLAY_TEXT_FRAME,
			arg->msg_length ? (const char *)arg->msg : "", arg->msg_length);
	}
}

/* The stream's side */

/* Nothing more is expected: writes the rest and closes. */
static void websocket_over(struct websocket *w)
{
	if (w->state == WEBSOCKET_OVER)
		return;
	w->state = WEBSOCKET_OVER;
	stream_read_start(w->stream); /* for the end; bytes are dropped */
	stream_shutdown(w->stream);
}

/* One that is slow, but takes what is written, gets it all. */
static void on_timer(uv_timer_t *timer)
{
	struct websocket *w = timer->data;
	uint64_t written = stream_written(w->stream);
	if (written == w->written) {
		stream_close(w->stream);
		return;
	}
	w->written = written;
	uv_timer_start(&w->timer, on_timer, CLOSE_TIMEOUT_MS, 0);
}

static void start_timer(struct websocket *w)
{
	if (uv_is_active((uv_handle_t *)&w->timer))
		return;
	w->written = stream_written(w->stream);
	uv_timer_start(&w->timer, on_timer, CLOSE_TIMEOUT_MS, 0);
}

static void on_read(void *user, const char *data, size_t size)
{
	struct websocket *w = user;
	if (w->state == WEBSOCKET_OVER)
		return;
	if (stream_queued(w->stream) > ANSWERS_MAX_BYTES) {
		w->throttled = true;
		stream_read_stop(w->stream);
		stream_unread(w->stream, data, size);
		return;
	}
	w->in = data;
	w->in_size = size;
	int r = wslay_event_recv(w->ctx);
	if (r == 0 && w->in_size && wslay_event_get_read_enabled(w->ctx))
		stream_unread(w->stream, w->in, w->in_size);
	w->in = NULL;
	w->in_size = 0;
	(void)wslay_event_send(w->ctx); /* pongs, and the answer to a close */
	if (r == 0 && wslay_event_get_read_enabled(w->ctx))
		return;
	/* Closed by both, or broken off by wslay, which then has sent the reason (and for a frame
	 * that cannot be read at all, a close without one). */
	if (r != 0)
		w->code = WSLAY_CODE_PROTOCOL_ERROR;
	else if (!wslay_event_get_close_received(w->ctx))
		w->code = wslay_event_get_status_code_sent(w->ctx);
	start_timer(w);
	websocket_over(w);
}

/* Both sides have said that they are done: nothing can be lost any more. A peer that was broken off
 * may still be sending, and must get to read why before it is reset: it ends, or time does. */
static void on_flushed(void *user)
{
	struct websocket *w = user;
	if (w->state == WEBSOCKET_OVER && wslay_event_get_close_received(w->ctx))
		stream_close(w->stream);
}

static void on_eof(void *user)
{
	struct websocket *w = user;
	stream_close(w->stream);
}

static void on_error(void *user, int code, const char *text)
{
	struct websocket *w = user;
	stream_close(w->stream);
}

/* Reads on, unless there is a reason not to. */
static void websocket_read(struct websocket *w)
{
	if (w->stream && !w->throttled && !(w->read_stopped && w->state == WEBSOCKET_OPEN))
		stream_read_start(w->stream);
}

static void on_drained(void *user)
{
	struct websocket *w = user;
	if (w->throttled) {
		w->throttled = false;
		websocket_read(w);
	}
	if (w->state == WEBSOCKET_OPEN && w->h.drained)
		w->h.drained(w->user);
}

static void websocket_gone(struct websocket *w)
{
	if (--w->open_handles > 0)
		return;
	if (w->h.closed)
		w->h.closed(w->user, w->code);
	wslay_event_context_free(w->ctx);
	free(w);
}

static void on_timer_closed(uv_handle_t *h)
{
	websocket_gone(h->data);
}

static void on_closed(void *user)
{
	struct websocket *w = user;
	w->stream = NULL;
	uv_close((uv_handle_t *)&w->timer, on_timer_closed);
	websocket_gone(w);
}

static struct websocket *websocket_new(
	struct stream *s, bool server, const struct websocket_handler *h, void *user)
{
	static const struct wslay_event_callbacks callbacks = {
		.recv_callback = give_bytes,
		.send_callback = take_bytes,
		.genmask_callback = make_mask,
		.on_msg_recv_callback = take_message,
	};
	static const struct stream_handler handler = {
		.read = on_read,
		.eof = on_eof,
		.error = on_error,
		.drained = on_drained,
		.flushed = on_flushed,
		.closed = on_closed,
	};
	struct websocket *w = xcalloc(1, sizeof(*w));
	w->stream = s;
	w->h = *h;
	w->user = user;
	w->code = CODE_BROKEN;
	int r = server ? wslay_event_context_server_init(&w->ctx, &callbacks, w)
		       : wslay_event_context_client_init(&w->ctx, &callbacks, w);
	if (r != 0)
		abort(); /* out of memory is its only failure */
	wslay_event_config_set_max_recv_msg_length(w->ctx, WEBSOCKET_MESSAGE_MAX_BYTES);
	uv_timer_init(stream_loop(s), &w->timer);
	w->timer.data = w;
	w->open_handles = 2;
	stream_set_handler(s, &handler, w);
	stream_read_start(s);
	return w;
}

/* The handshake: RFC 6455 section 4 */

static char *accept_value(struct arena *a, const char *key)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned size;
	char *text = arena_printf(a, "%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);
	if (EVP_Digest(text, strlen(text), digest, &size, EVP_sha1(), NULL) != 1)
		abort();
	return base64_encode(a, digest, size);
}

static bool valid_key(struct arena *a, const char *key)
{
	char *bytes;
	size_t size;
	return base64_decode(a, str_from(key), &bytes, &size) == 0 && size == 16;
}

/* Clients may spread the list over several headers. */
static bool offers(const struct http_request *req, const char *protocol)
{
	for (size_t i = 0; i < req->header_count; i++)
		if (strcasecmp(req->headers[i].name, "Sec-WebSocket-Protocol") == 0 &&
			http_list_has(req->headers[i].value, protocol))
			return true;
	return false;
}

static int pick_protocol(const struct http_request *req, const char *const *protocols,
	const char **ret, struct err *err)
{
	const char *offered = http_header_get(req, "Sec-WebSocket-Protocol");
	*ret = NULL;
	if (!protocols)
		return 0;
	for (; *protocols; protocols++) {
		if (offers(req, *protocols)) {
			*ret = *protocols;
			return 0;
		}
	}
	return err_set(err, -ENOPROTOOPT, "no known WebSocket protocol among '%s'",
		offered ? offered : "");
}

int websocket_accept(struct http_request *req, const char *const *protocols,
	const struct websocket_handler *h, void *user, struct websocket **ret,
	const char **ret_protocol, struct err *err)
{
	const char *upgrade, *protocol;
	const char *version = http_header_get(req, "Sec-WebSocket-Version");
	const char *key = http_header_get(req, "Sec-WebSocket-Key");
	if (!streq(req->method, "GET") || !http_wants_upgrade(req, &upgrade) ||
		!http_list_has(upgrade, "websocket"))
		return err_set(err, -EPROTO, "not a request for a WebSocket");
	if (!streq(version, "13"))
		return err_set(err, -EPROTO, "WebSocket version 13 is needed");
	if (!key || !valid_key(&req->arena, key))
		return err_set(err, -EPROTO, "malformed Sec-WebSocket-Key");
	int r = pick_protocol(req, protocols, &protocol, err);
	if (r < 0)
		return r;
	char *extra = arena_printf(&req->arena, "Sec-WebSocket-Accept: %s\r\n%s%s%s",
		accept_value(&req->arena, key), protocol ? "Sec-WebSocket-Protocol: " : "",
		protocol ? protocol : "", protocol ? "\r\n" : "");
	struct stream *s = http_upgrade(req, "websocket", extra);
	if (!s)
		return err_set(err, -ECONNRESET, "the client has gone");
	*ret = websocket_new(s, true, h, user);
	if (ret_protocol)
		*ret_protocol = protocol;
	return 0;
}

struct websocket *websocket_client(struct stream *s, const struct websocket_handler *h, void *user)
{
	return websocket_new(s, false, h, user);
}

#define KEY_HEADER "Sec-WebSocket-Key: "

char *websocket_client_headers(struct arena *a, const char *protocols)
{
	struct random r = RANDOM_SYSTEM;
	unsigned char key[16];
	random_bytes(&r, key, sizeof(key));
	return arena_printf(a,
		"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: "
		"13\r\n" KEY_HEADER "%s\r\n%s%s%s",
		base64_encode(a, key, sizeof(key)), protocols ? "Sec-WebSocket-Protocol: " : "",
		protocols ? protocols : "", protocols ? "\r\n" : "");
}

bool websocket_client_accepted(const char *headers, const struct http_response *r)
{
	static const char protocol_header[] = "Sec-WebSocket-Protocol: ";
	struct arena a = ARENA_INIT;
	const char *key = strstr(headers, KEY_HEADER);
	const char *offered = strstr(headers, protocol_header);
	const char *accept = http_response_header(r, "Sec-WebSocket-Accept");
	const char *upgrade = http_response_header(r, "Upgrade");
	const char *protocol = http_response_header(r, "Sec-WebSocket-Protocol");
	bool ok = key && r->status == 101 && http_list_has(upgrade, "websocket");
	if (ok) {
		key += strlen(KEY_HEADER);
		key = arena_memdup(&a, key, strcspn(key, "\r"));
		ok = streq(accept, accept_value(&a, key));
	}
	if (ok && offered) {
		offered += sizeof(protocol_header) - 1;
		offered = arena_memdup(&a, offered, strcspn(offered, "\r"));
		ok = protocol && http_list_has(offered, protocol);
	} else if (ok) {
		ok = !protocol;
	}
	arena_finish(&a);
	return ok;
}

/* The user's side */

void websocket_set_handler(struct websocket *w, const struct websocket_handler *h, void *user)
{
	w->h = *h;
	w->user = user;
}

void websocket_send(struct websocket *w, bool text, const void *p, size_t size)
{
	if (w->state != WEBSOCKET_OPEN)
		return;
	struct wslay_event_msg m = {
		.opcode = text ? WSLAY_TEXT_FRAME : WSLAY_BINARY_FRAME,
		.msg = p,
		.msg_length = size,
	};
	(void)wslay_event_queue_msg(w->ctx, &m);
	(void)wslay_event_send(w->ctx);
}

size_t websocket_queued(const struct websocket *w)
{
	return w->stream ? stream_queued(w->stream) : 0;
}

void websocket_read_stop(struct websocket *w)
{
	w->read_stopped = true;
	if (w->stream && w->state == WEBSOCKET_OPEN)
		stream_read_stop(w->stream);
}

void websocket_read_start(struct websocket *w)
{
	w->read_stopped = false;
	websocket_read(w);
}

void websocket_close(struct websocket *w, unsigned code)
{
	if (w->state != WEBSOCKET_OPEN || !w->stream)
		return;
	w->state = WEBSOCKET_CLOSING;
	(void)wslay_event_queue_close(w->ctx, (uint16_t)code, NULL, 0);
	(void)wslay_event_send(w->ctx);
	start_timer(w);
	stream_read_start(w->stream); /* for the answer */
}

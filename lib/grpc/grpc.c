/* grpc.c - channels and calls. nghttp2 is fed from the stream's read callback; whatever it wants to
 * send goes into the stream's write queue. Calls that end while nghttp2 is working are only moved
 * to `finished`; their callbacks run afterwards, so a callback may start, cancel, or destroy
 * anything. */
#include "lib/grpc/grpc.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>

#include "lib/base/buf.h"
#include "lib/base/list.h"
#include "lib/base/sm.h"
#include "lib/base/str.h"
#include "lib/http/stream.h"

/*
 *   IDLE --call--> CONNECTING --connected--> READY --GOAWAY--> DRAINING
 *    ^                 |                       |                  |
 *    |               failed                  lost        lost / last call ended
 *    |                 v                       |                  |
 *    +----time---- BACKOFF <-------------------+                  |
 *    ^                                                            |
 *    +------------------------------------------------------------+
 */
enum channel_state { CH_IDLE, CH_CONNECTING, CH_READY, CH_DRAINING, CH_BACKOFF };

static const struct sm_state channel_states[] = {
	[CH_IDLE] = {"idle", SM_ALLOW(CH_CONNECTING), false},
	[CH_CONNECTING] = {"connecting", SM_ALLOW(CH_READY) | SM_ALLOW(CH_BACKOFF), false},
	[CH_READY] = {"ready", SM_ALLOW(CH_DRAINING) | SM_ALLOW(CH_BACKOFF), false},
	[CH_DRAINING] = {"draining", SM_ALLOW(CH_IDLE) | SM_ALLOW(CH_BACKOFF), false},
	[CH_BACKOFF] = {"backoff", SM_ALLOW(CH_IDLE), false},
};
static const struct sm_class channel_class = {
	.name = "grpc channel",
	.states = channel_states,
	.state_count = ARRAY_LEN(channel_states),
};

enum { BACKOFF_FIRST_MS = 250, BACKOFF_MAX_MS = 10000 };
enum { WINDOW_BYTES = 1 << 20 };

enum call_state { CALL_WAITING, CALL_ACTIVE, CALL_FINISHED };

struct grpc_call {
	struct list link; /* in the channel's list for its state */
	struct grpc_channel *ch;
	enum call_state state;
	char *method;
	int32_t stream_id; /* -1 before it is sent */
	char *request;	   /* prefix and message */
	size_t request_size, request_sent;
	int64_t started_ns;
	unsigned timeout_ms;
	uint64_t deadline_ms; /* loop time; UINT64_MAX = none */
	const ProtobufCMessageDescriptor *type;
	struct buf in;	   /* response frames not yet handed out */
	int http_status;   /* 0 before the header */
	bool grpc_content; /* content-type was application/grpc */
	int status;	   /* grpc-status; -1 before it is known */
	char *message;	   /* malloc'd or NULL */
	void (*on_message)(void *user, const void *response); /* NULL = unary */
	grpc_done *done;
	void *user;
};

struct grpc_channel {
	uv_loop_t *loop;
	uv_timer_t *timer; /* deadlines, deferred completions, the back-off's end */
	char *address, *tls_name, *user_agent, *metadata_name, *metadata_value;
	grpc_ended *ended;
	SSL_CTX *tls;
	size_t message_max_bytes;
	struct sm sm;
	struct stream_connect *connect;
	struct stream *stream;
	nghttp2_session *session;
	struct list waiting, active, finished; /* of struct grpc_call */
	unsigned backoff_ms;		       /* of the next failure */
	uint64_t backoff_until;		       /* loop time, in CH_BACKOFF */
	char *last_failure;
	unsigned busy; /* depth of dispatching: destroy waits for 0 */
	bool in_timer; /* a timer started anew with 0 would run again before anything else */
	bool destroyed;
};

static int64_t now_ns(struct grpc_channel *ch)
{
	return (int64_t)uv_now(ch->loop) * 1000000;
}

static void call_free(struct grpc_call *call)
{
	list_remove(&call->link);
	buf_finish(&call->in);
	free(call->request);
	free(call->method);
	free(call->message);
	free(call);
}

static void timer_arm(struct grpc_channel *ch);

/* Ends what ch->busy++ began. */
static void release(struct grpc_channel *ch)
{
	if (--ch->busy == 0 && ch->destroyed)
		free(ch);
}

static void call_finish(struct grpc_call *call, int status, const char *message)
{
	struct grpc_channel *ch = call->ch;

	if (call->state == CALL_FINISHED)
		return;
	call->status = status;
	if (message) {
		free(call->message);
		call->message = xstrdup(message);
	}
	call->state = CALL_FINISHED;
	list_remove(&call->link);
	list_append(&ch->finished, &call->link);
	timer_arm(ch);
}

/* Unpacks into the arena; NULL when the bytes are no such message. */
static ProtobufCMessage *unpack(
	const ProtobufCMessageDescriptor *type, struct arena *a, const char *data, size_t size)
{
	ProtobufCAllocator allocator = grpc_arena_allocator(a);

	return protobuf_c_message_unpack(type, &allocator, size, (const uint8_t *)data);
}

static void call_report(struct grpc_call *call)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct grpc_result r = {.status = call->status, .message = ""};
	char text[128];

	if (r.status == GRPC_OK && !call->on_message) {
		struct grpc_frame f;
		int k = grpc_frame_next(
			call->in.data, call->in.size, call->ch->message_max_bytes, &f);
		if (k == 1 && f.total_size == call->in.size)
			r.response = unpack(call->type, &a, f.data, f.size);
		if (!r.response) {
			r.status = GRPC_INTERNAL;
			snprintf(text, sizeof(text), "response of %zu bytes is no single %s",
				call->in.size, call->type->short_name);
			r.message = text;
		}
	} else if (r.status != GRPC_OK) {
		r.message = call->message && *call->message ? call->message
							    : grpc_status_name(r.status);
	}
	if (call->ch->ended && !call->on_message)
		call->ch->ended(call->method, r.status, now_ns(call->ch) - call->started_ns);
	call->done(call->user, &r);
}

/* One message of a streaming call; false when there is none. The lists are walked anew for each,
 * since a callback may cancel any call. */
static bool deliver_one(struct grpc_channel *ch, struct list *calls)
{
	if (ch->destroyed)
		return false;
	LIST_FOR_EACH(call, calls, struct grpc_call, link) {
		struct grpc_frame f;
		if (!call->on_message || grpc_frame_next(call->in.data, call->in.size,
						 ch->message_max_bytes, &f) <= 0)
			continue;
		_cleanup_(arena_finish) struct arena a = ARENA_INIT;
		const void *m = unpack(call->type, &a, f.data, f.size);
		buf_drop_front(&call->in, f.total_size);
		if (m)
			call->on_message(call->user, m);
		return true;
	}
	return false;
}

/* Hands out what came for streaming calls, then what has ended by now: a callback may make calls
 * that fail at once too, and those have to wait for their turn. */
static void dispatch(struct grpc_channel *ch)
{
	struct list ended;

	ch->busy++;
	while (!ch->destroyed && (deliver_one(ch, &ch->active) || deliver_one(ch, &ch->finished)))
		;
	list_init(&ended);
	LIST_FOR_EACH(call, &ch->finished, struct grpc_call, link) {
		list_remove(&call->link);
		list_append(&ended, &call->link);
	}
	while (!list_empty(&ended)) {
		struct grpc_call *call = CONTAINER_OF(ended.next, struct grpc_call, link);
		/* Off the list: the callback can't cancel it any more. */
		list_remove(&call->link);
		if (!ch->destroyed)
			call_report(call);
		call_free(call);
	}
	if (!ch->destroyed)
		timer_arm(ch);
	release(ch);
}

/* ---- connection ---- */

static void connection_drop(struct grpc_channel *ch)
{
	static const struct stream_handler nobody = {0};

	if (ch->session)
		nghttp2_session_del(ch->session);
	ch->session = NULL;
	if (ch->stream) {
		stream_set_handler(ch->stream, &nobody, NULL);
		stream_close(ch->stream);
	}
	ch->stream = NULL;
}

static void fail_calls(struct list *calls, const char *why)
{
	LIST_FOR_EACH(call, calls, struct grpc_call, link)
		call_finish(call, GRPC_UNAVAILABLE, why);
}

/* The connection is of no use any more: ends its calls and waits before the next attempt. */
static void connection_lost(struct grpc_channel *ch, const char *why)
{
	if (ch->sm.state == CH_BACKOFF || ch->sm.state == CH_IDLE)
		return;
	free(ch->last_failure);
	ch->last_failure = xasprintf("%s: %s", ch->address, why);
	connection_drop(ch);
	fail_calls(&ch->active, ch->last_failure);
	fail_calls(&ch->waiting, ch->last_failure);
	sm_move(&ch->sm, CH_BACKOFF, now_ns(ch));
	ch->backoff_until = uv_now(ch->loop) + ch->backoff_ms;
	ch->backoff_ms = MIN(ch->backoff_ms * 2, (unsigned)BACKOFF_MAX_MS);
	timer_arm(ch);
}

static void connection_flush(struct grpc_channel *ch)
{
	while (ch->session) {
		const uint8_t *p;
		ssize_t n = nghttp2_session_mem_send(ch->session, &p);
		if (n <= 0) {
			if (n < 0)
				connection_lost(ch, nghttp2_strerror((int)n));
			break;
		}
		stream_write(ch->stream, p, (size_t)n);
	}
	if (ch->sm.state == CH_DRAINING && list_empty(&ch->active)) {
		/* The server asked for it: no failure, and the next call may connect at once. */
		connection_drop(ch);
		sm_move(&ch->sm, CH_IDLE, now_ns(ch));
		timer_arm(ch);
	} else if (ch->session && !nghttp2_session_want_read(ch->session) &&
		   !nghttp2_session_want_write(ch->session)) {
		connection_lost(ch, "connection ended by the HTTP/2 layer");
	}
}

static ssize_t on_request_bytes(nghttp2_session *session, int32_t id, uint8_t *to, size_t room,
	uint32_t *flags, nghttp2_data_source *source, void *user)
{
	struct grpc_call *call = source->ptr;
	size_t n = MIN(room, call->request_size - call->request_sent);

	memcpy(to, call->request + call->request_sent, n);
	call->request_sent += n;
	if (call->request_sent == call->request_size)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)n;
}

static nghttp2_nv header(const char *name, const char *value)
{
	return (nghttp2_nv){
		.name = (uint8_t *)name,
		.value = (uint8_t *)value,
		.namelen = strlen(name),
		.valuelen = strlen(value),
	};
}

static void call_send(struct grpc_call *call)
{
	struct grpc_channel *ch = call->ch;
	char timeout[16];
	nghttp2_nv headers[10];
	size_t n = 0;

	headers[n++] = header(":method", "POST");
	headers[n++] = header(":scheme", ch->tls ? "https" : "http");
	headers[n++] = header(":path", call->method);
	/* containerd wants some authority; for unix sockets the field's habit is "localhost". */
	headers[n++] = header(":authority", ch->tls_name ? ch->tls_name : "localhost");
	headers[n++] = header("te", "trailers");
	headers[n++] = header("content-type", "application/grpc");
	headers[n++] = header("user-agent", ch->user_agent);
	if (ch->metadata_name)
		headers[n++] = header(ch->metadata_name, ch->metadata_value);
	if (call->timeout_ms != GRPC_NO_TIMEOUT) {
		grpc_timeout_format(call->timeout_ms, timeout);
		headers[n++] = header("grpc-timeout", timeout);
	}

	nghttp2_data_provider body = {.source.ptr = call, .read_callback = on_request_bytes};
	int32_t id = nghttp2_submit_request(ch->session, NULL, headers, n, &body, call);
	if (id < 0) {
		call_finish(call, GRPC_UNAVAILABLE, nghttp2_strerror(id));
		return;
	}
	call->stream_id = id;
	call->state = CALL_ACTIVE;
	list_remove(&call->link);
	list_append(&ch->active, &call->link);
}

static struct grpc_call *call_of(nghttp2_session *session, int32_t id)
{
	struct grpc_call *call = nghttp2_session_get_stream_user_data(session, id);

	return call && call->state == CALL_ACTIVE ? call : NULL;
}

static void call_reset(struct grpc_call *call, int status, const char *message)
{
	if (call->ch->session && call->stream_id > 0) {
		nghttp2_session_set_stream_user_data(call->ch->session, call->stream_id, NULL);
		nghttp2_submit_rst_stream(
			call->ch->session, NGHTTP2_FLAG_NONE, call->stream_id, NGHTTP2_CANCEL);
	}
	call_finish(call, status, message);
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
	size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags, void *user)
{
	struct grpc_call *call = call_of(session, frame->hd.stream_id);
	struct str n = {(const char *)name, name_size}, v = {(const char *)value, value_size};
	int64_t number;

	if (!call || frame->hd.type != NGHTTP2_HEADERS)
		return 0;
	if (str_eq(n, ":status")) {
		call->http_status = parse_i64(v, &number) == 0 && number <= 999 ? (int)number : -1;
	} else if (str_eq(n, "content-type")) {
		call->grpc_content = v.size >= 16 && memcmp(v.p, "application/grpc", 16) == 0;
	} else if (str_eq(n, "grpc-status")) {
		bool good = parse_i64(v, &number) == 0 && number >= 0 && number <= INT32_MAX;
		call->status = good ? (int)number : GRPC_UNKNOWN;
	} else if (str_eq(n, "grpc-message")) {
		char text[4096];
		grpc_message_decode(v.p, v.size, text, sizeof(text));
		free(call->message);
		call->message = xstrdup(text);
	}
	return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
	size_t size, void *user)
{
	struct grpc_call *call = call_of(session, id);
	struct grpc_frame f;

	if (!call)
		return 0;
	size_t max = call->ch->message_max_bytes;
	buf_add(&call->in, data, size);
	int k = grpc_frame_next(call->in.data, call->in.size, max, &f);
	if (k == -EMSGSIZE)
		call_reset(call, GRPC_RESOURCE_EXHAUSTED, "response is larger than the limit");
	else if (k < 0)
		call_reset(call, GRPC_INTERNAL, "response has an unknown or compressed frame");
	else if (k == 1 && !call->on_message && call->in.size > f.total_size)
		call_reset(call, GRPC_INTERNAL, "more than one response");
	return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t error, void *user)
{
	struct grpc_call *call = call_of(session, id);
	char text[128];

	if (!call)
		return 0;
	if (call->status >= 0) {
		call_finish(call, call->status, NULL);
	} else if (error != NGHTTP2_NO_ERROR) {
		snprintf(text, sizeof(text), "stream ended by the server: %s",
			nghttp2_http2_strerror(error));
		call_finish(call,
			error == NGHTTP2_REFUSED_STREAM ? GRPC_UNAVAILABLE : GRPC_INTERNAL, text);
	} else if (call->http_status != 200 || !call->grpc_content) {
		snprintf(text, sizeof(text), "no gRPC answer: HTTP status %d", call->http_status);
		call_finish(
			call, call->http_status == 404 ? GRPC_UNIMPLEMENTED : GRPC_UNKNOWN, text);
	} else {
		call_finish(call, GRPC_INTERNAL, "answer ended without grpc-status");
	}
	return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct grpc_channel *ch = user;

	if (frame->hd.type == NGHTTP2_SETTINGS)
		ch->backoff_ms = BACKOFF_FIRST_MS;
	if (frame->hd.type == NGHTTP2_GOAWAY && ch->sm.state == CH_READY)
		sm_move(&ch->sm, CH_DRAINING, now_ns(ch));
	return 0;
}

static void on_read(void *user, const char *data, size_t size)
{
	struct grpc_channel *ch = user;

	ssize_t n = nghttp2_session_mem_recv(ch->session, (const uint8_t *)data, size);
	if (n < 0)
		connection_lost(ch, nghttp2_strerror((int)n));
	else
		connection_flush(ch);
	dispatch(ch);
}

static void on_eof(void *user)
{
	struct grpc_channel *ch = user;

	connection_lost(ch, "connection closed by the server");
	dispatch(ch);
}

static void on_error(void *user, int code, const char *text)
{
	struct grpc_channel *ch = user;

	connection_lost(ch, text);
	dispatch(ch);
}

static int session_start(struct grpc_channel *ch)
{
	nghttp2_session_callbacks *callbacks;
	nghttp2_settings_entry settings[] = {
		{NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
		{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW_BYTES},
	};

	if (nghttp2_session_callbacks_new(&callbacks))
		return -ENOMEM;
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
	int r = nghttp2_session_client_new(&ch->session, callbacks, ch);
	nghttp2_session_callbacks_del(callbacks);
	if (r)
		return -ENOMEM;
	nghttp2_submit_settings(ch->session, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings));
	nghttp2_session_set_local_window_size(ch->session, NGHTTP2_FLAG_NONE, 0, 4 * WINDOW_BYTES);
	return 0;
}

static void send_waiting(struct grpc_channel *ch)
{
	if (ch->sm.state != CH_READY)
		return;
	LIST_FOR_EACH(call, &ch->waiting, struct grpc_call, link)
		call_send(call);
	connection_flush(ch);
}

static void on_connected(void *user, struct stream *s, const struct err *err)
{
	static const struct stream_handler handler = {
		.read = on_read,
		.eof = on_eof,
		.error = on_error,
	};
	struct grpc_channel *ch = user;

	ch->connect = NULL;
	if (!s) {
		connection_lost(ch, err->msg);
		dispatch(ch);
		return;
	}
	ch->stream = s;
	if (session_start(ch) < 0) {
		connection_lost(ch, "out of memory");
		dispatch(ch);
		return;
	}
	sm_move(&ch->sm, CH_READY, now_ns(ch));
	stream_set_handler(s, &handler, ch);
	stream_read_start(s);
	send_waiting(ch);
}

/* ---- timer ---- */

static void on_timer(uv_timer_t *t)
{
	struct grpc_channel *ch = t->data;
	uint64_t now = uv_now(ch->loop);

	ch->in_timer = true;
	ch->busy++;
	if (ch->sm.state == CH_BACKOFF && now >= ch->backoff_until)
		sm_move(&ch->sm, CH_IDLE, now_ns(ch));
	LIST_FOR_EACH(call, &ch->waiting, struct grpc_call, link)
		if (now >= call->deadline_ms)
			call_finish(
				call, GRPC_DEADLINE_EXCEEDED, "no connection within the time-out");
	LIST_FOR_EACH(call, &ch->active, struct grpc_call, link)
		if (now >= call->deadline_ms)
			call_reset(call, GRPC_DEADLINE_EXCEEDED, "no answer within the time-out");
	if (ch->sm.state == CH_IDLE && !list_empty(&ch->waiting)) {
		sm_move(&ch->sm, CH_CONNECTING, now_ns(ch));
		ch->connect = stream_connect(
			ch->loop, ch->address, ch->tls, ch->tls_name, 0, on_connected, ch);
	}
	send_waiting(ch);
	connection_flush(ch);
	dispatch(ch);
	ch->in_timer = false;
	release(ch);
}

static void timer_arm(struct grpc_channel *ch)
{
	uint64_t due = UINT64_MAX, now = uv_now(ch->loop);

	if (!list_empty(&ch->finished) ||
		(!list_empty(&ch->waiting) &&
			(ch->sm.state == CH_IDLE || ch->sm.state == CH_READY)))
		due = now;
	LIST_FOR_EACH(call, &ch->waiting, struct grpc_call, link)
		due = MIN(due, call->deadline_ms);
	LIST_FOR_EACH(call, &ch->active, struct grpc_call, link)
		due = MIN(due, call->deadline_ms);
	if (ch->sm.state == CH_BACKOFF)
		due = MIN(due, ch->backoff_until);
	if (due == UINT64_MAX)
		uv_timer_stop(ch->timer);
	else
		uv_timer_start(ch->timer, on_timer,
			due > now      ? due - now
			: ch->in_timer ? 1
				       : 0,
			0);
}

/* ---- public ---- */

struct grpc_channel *grpc_channel_create(const struct grpc_channel_options *options)
{
	struct grpc_channel *ch = xcalloc(1, sizeof(*ch));

	ch->loop = options->loop;
	ch->address = xstrdup(options->address);
	ch->tls_name = options->tls_name ? xstrdup(options->tls_name) : NULL;
	ch->user_agent = xstrdup(options->user_agent ? options->user_agent : "hanok");
	if (options->metadata_name) {
		ch->metadata_name = xstrdup(options->metadata_name);
		ch->metadata_value = xstrdup(options->metadata_value);
	}
	ch->tls = options->tls;
	ch->ended = options->ended;
	ch->message_max_bytes =
		options->message_max_bytes ? options->message_max_bytes : GRPC_MESSAGE_MAX_BYTES;
	ch->backoff_ms = BACKOFF_FIRST_MS;
	list_init(&ch->waiting);
	list_init(&ch->active);
	list_init(&ch->finished);
	sm_init(&ch->sm, &channel_class, ch, options->address, CH_IDLE, now_ns(ch));
	ch->timer = xcalloc(1, sizeof(*ch->timer));
	uv_timer_init(ch->loop, ch->timer);
	ch->timer->data = ch;
	return ch;
}

static void handle_free(uv_handle_t *h)
{
	free(h);
}

static void free_calls(struct list *calls)
{
	LIST_FOR_EACH(call, calls, struct grpc_call, link)
		call_free(call);
}

void grpc_channel_destroy(struct grpc_channel *ch)
{
	if (!ch || ch->destroyed)
		return;
	if (ch->connect)
		stream_connect_cancel(ch->connect);
	connection_drop(ch);
	free_calls(&ch->waiting);
	free_calls(&ch->active);
	free_calls(&ch->finished);
	uv_timer_stop(ch->timer);
	uv_close((uv_handle_t *)ch->timer, handle_free);
	free(ch->address);
	free(ch->tls_name);
	free(ch->user_agent);
	free(ch->metadata_name);
	free(ch->metadata_value);
	free(ch->last_failure);
	ch->destroyed = true;
	if (ch->busy == 0)
		free(ch);
}

static struct grpc_call *call_start(struct grpc_channel *ch, const char *method,
	const ProtobufCMessage *request, const ProtobufCMessageDescriptor *type,
	unsigned timeout_ms, void (*on_message)(void *, const void *), grpc_done *done, void *user)
{
	struct grpc_call *call = xcalloc(1, sizeof(*call));
	size_t size = protobuf_c_message_get_packed_size(request);

	*call = (struct grpc_call){
		.ch = ch,
		.state = CALL_WAITING,
		.method = xstrdup(method),
		.stream_id = -1,
		.timeout_ms = timeout_ms,
		.type = type,
		.status = -1,
		.on_message = on_message,
		.done = done,
		.user = user,
	};
	list_init(&call->link);
	list_append(&ch->waiting, &call->link);
	uv_update_time(ch->loop);
	call->started_ns = now_ns(ch);
	call->deadline_ms =
		timeout_ms == GRPC_NO_TIMEOUT ? UINT64_MAX : uv_now(ch->loop) + timeout_ms;
	if (size > ch->message_max_bytes) {
		call_finish(call, GRPC_RESOURCE_EXHAUSTED, "request is larger than the limit");
		return call;
	}
	call->request_size = 5 + size;
	call->request = xmalloc(call->request_size);
	call->request[0] = 0;
	for (int i = 0; i < 4; i++)
		call->request[1 + i] = (char)(size >> (24 - 8 * i) & 0xff);
	protobuf_c_message_pack(request, (uint8_t *)call->request + 5);

	switch ((enum channel_state)ch->sm.state) {
	case CH_BACKOFF:
		call_finish(call, GRPC_UNAVAILABLE, ch->last_failure);
		break;
	case CH_IDLE:
	case CH_READY:
	case CH_CONNECTING:
	case CH_DRAINING:
		break;
	}
	/* Sent from the loop: a READY channel may be inside nghttp2 now, and several calls that are
	 * made in a row then share one write. */
	timer_arm(ch);
	return call;
}

struct grpc_call *grpc_call(struct grpc_channel *ch, const char *method,
	const ProtobufCMessage *request, const ProtobufCMessageDescriptor *response_type,
	unsigned timeout_ms, grpc_done *done, void *user)
{
	return call_start(ch, method, request, response_type, timeout_ms, NULL, done, user);
}

struct grpc_call *grpc_call_streaming(struct grpc_channel *ch, const char *method,
	const ProtobufCMessage *request, const ProtobufCMessageDescriptor *response_type,
	void (*message)(void *user, const void *response), grpc_done *done, void *user)
{
	return call_start(ch, method, request, response_type, GRPC_NO_TIMEOUT, message, done, user);
}

void grpc_call_cancel(struct grpc_call *call)
{
	if (!call)
		return;
	struct grpc_channel *ch = call->ch;
	if (call->state == CALL_ACTIVE && ch->session)
		call_reset(call, GRPC_CANCELLED, NULL);
	call_free(call);
	timer_arm(ch);
}

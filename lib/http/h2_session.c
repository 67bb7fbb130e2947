#include "lib/http/h2_impl.h"

/* As upstream's servers have it. */
#define STREAMS_MAX 250
#define STREAM_WINDOW_BYTES (256 << 10)
#define CONNECTION_WINDOW_BYTES (1 << 20)
#define ACKS_MAX 256 /* of pings and settings that the client does not take */

static void h2_finish(struct h2_session *h);

enum h2_guess h2_guess(const struct stream *s, const char *data, size_t size)
{
	/* Enough to tell it from any method, and short enough to come in one piece. */
	static const char preface[] = "PRI * HTTP/2.0\r\n";
	if (stream_is_secure(s))
		return str_eq(stream_alpn(s), "h2") ? H2_YES : H2_NO;
	size_t n = MIN(size, sizeof(preface) - 1);
	if (memcmp(data, preface, n) != 0)
		return H2_NO;
	return n == sizeof(preface) - 1 ? H2_YES : H2_MAYBE;
}

static nghttp2_session_callbacks *callbacks_get(void)
{
	static nghttp2_session_callbacks *callbacks;
	if (callbacks)
		return callbacks;
	if (nghttp2_session_callbacks_new(&callbacks))
		abort();
	h2_request_callbacks(callbacks);
	h2_answer_callbacks(callbacks);
	return callbacks;
}

static nghttp2_option *options_get(void)
{
	static nghttp2_option *option;
	if (option)
		return option;
	if (nghttp2_option_new(&option))
		abort();
	nghttp2_option_set_no_closed_streams(option, 1);
	nghttp2_option_set_max_outbound_ack(option, ACKS_MAX);
	nghttp2_option_set_no_auto_window_update(option, 1); /* see on_data */
	return option;
}

void h2_start(struct http_conn *c)
{
	static const nghttp2_settings_entry settings[] = {
		{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, STREAMS_MAX},
		{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW_BYTES},
		{NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HTTP_HEADER_MAX_BYTES},
		{NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
	};
	struct h2_session *h = xcalloc(1, sizeof(*h));
	uint64_t now_ms = uv_now(c->server->loop);
	c->h2 = h;
	h->conn = c;
	h->idle_ms = now_ms;
	list_init(&h->exchanges);
	list_init(&h->dirty);
	h2_budget_init(&h->budget, now_ms);
	if (nghttp2_session_server_new2(&h->ng, callbacks_get(), h, options_get()) ||
		nghttp2_submit_settings(h->ng, NGHTTP2_FLAG_NONE, settings, ARRAY_LEN(settings)) ||
		nghttp2_session_set_local_window_size(
			h->ng, NGHTTP2_FLAG_NONE, 0, CONNECTION_WINDOW_BYTES))
		abort(); /* out of memory */
	if (c->server->stopping)
		h2_stop(h);
}

void h2_destroy(struct h2_session *h)
{
	if (!h)
		return;
	list_remove(&h->dirty);
	nghttp2_session_del(h->ng);
	free(h);
}

bool h2_busy(const struct h2_session *h)
{
	return h->inside || !list_empty(&h->exchanges);
}

void h2_mark(struct h2_session *h)
{
	if (h->inside || !list_empty(&h->dirty))
		return;
	list_append(&h->conn->server->dirty, &h->dirty);
	http_server_run_ready(h->conn->server);
}

void h2_calm(struct h2_session *h)
{
	(void)nghttp2_session_terminate_session(h->ng, NGHTTP2_ENHANCE_YOUR_CALM);
	h2_mark(h);
}

void h2_read(struct h2_session *h, const char *data, size_t size)
{
	struct http_conn *c = h->conn;
	h->inside = true;
	ssize_t n = nghttp2_session_mem_recv(h->ng, (const uint8_t *)data, size);
	h->inside = false;
	if (n == NGHTTP2_ERR_BAD_CLIENT_MAGIC) {
		http_conn_drop(c); /* frees it, maybe */
		return;
	}
	if (n < 0)
		h2_calm(h); /* what nghttp2 itself calls a flood */
	h2_flush(h);
}

/* Queues of exchanges that have become short: their handlers go on. */
static void tell_drained(struct h2_session *h)
{
	h->drained = false;
	LIST_FOR_EACH(x, &h->exchanges, struct http_exchange, link) {
		if (!x->above_high || x->out.bytes >= STREAM_LOW_BYTES)
			continue;
		x->above_high = false;
		if (x->drained && x->answer == ANSWER_STREAMING && x->open)
			x->drained(&x->req);
	}
}

void h2_flush(struct h2_session *h)
{
	struct http_conn *c = h->conn;
	if (h->inside)
		return;
	list_remove(&h->dirty);
	bool again = true;
	while (again && !c->gone && c->stream && c->state != CONN_LINGERING) {
		h->inside = true;
		int r = nghttp2_session_send(h->ng);
		if (h->drained)
			tell_drained(h);
		h->inside = false;
		again = r == 0 && nghttp2_session_want_write(h->ng) &&
			stream_queued(c->stream) < STREAM_LOW_BYTES;
		if (r < 0) {
			http_conn_drop(c);
			return;
		}
		if (!nghttp2_session_want_read(h->ng) && !nghttp2_session_want_write(h->ng))
			h2_finish(h);
	}
	http_conn_free_if_over(c);
}

/* Both sides have nothing more to say. */
static void h2_finish(struct h2_session *h)
{
	LIST_FOR_EACH(x, &h->exchanges, struct http_exchange, link)
		if (x->open)
			h2_exchange_closed(x);
	http_conn_linger(h->conn);
}

void h2_dropped(struct h2_session *h)
{
	LIST_FOR_EACH(x, &h->exchanges, struct http_exchange, link)
		if (x->open)
			h2_exchange_closed(x);
}

void h2_stop(struct h2_session *h)
{
	if (h->goaway)
		return;
	h->goaway = true;
	if (list_empty(&h->exchanges))
		(void)nghttp2_session_terminate_session(h->ng, NGHTTP2_NO_ERROR);
	else
		(void)nghttp2_submit_goaway(h->ng, NGHTTP2_FLAG_NONE,
			nghttp2_session_get_last_proc_stream_id(h->ng), NGHTTP2_NO_ERROR, NULL, 0);
	h2_mark(h);
}

void h2_tick(struct h2_session *h, uint64_t now_ms)
{
	unsigned timeout = h->conn->server->idle_timeout_ms;
	LIST_FOR_EACH(x, &h->exchanges, struct http_exchange, link) {
		if (!x->open || !x->deadline_ms || now_ms < x->deadline_ms)
			continue;
		nghttp2_submit_rst_stream(h->ng, NGHTTP2_FLAG_NONE, x->stream_id, NGHTTP2_CANCEL);
		h2_mark(h);
	}
	if (!list_empty(&h->exchanges))
		h->idle_ms = now_ms;
	else if (now_ms - h->idle_ms >= timeout)
		h2_stop(h);
}

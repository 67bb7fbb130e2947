/* h2_impl.h - HTTP/2 in the server (RFC 9113, nghttp2), for http_*.c and h2_*.c only.
 *
 * A session is the h2 side of one http_conn; each of its streams is an http_exchange, so handlers
 * see no difference. What an exchange goes through:
 *
 *              header complete,        message complete           answered, and all of it sent
 *   (created) ----------------> reading ---------------> handed ------------------------------->
 * (gone) |  refused (413, ...)   ^ |
 *                                  `-----------------------' | stream reset, or client gone
 *                                                            v
 *                                     handed, not open: `cancelled` was told; gone once answered
 *
 * Bytes of answers wait in the exchange's `out` until the client's windows let them go, and from
 * there are moved, not copied, into the connection's queue, which is kept short: what a client does
 * not take stays with the stream that it belongs to, and shows in http_stream_queued. */
#pragma once

#include <nghttp2/nghttp2.h>

#include "lib/http/h2_budget.h"
#include "lib/http/http_impl.h"

struct h2_session {
	struct http_conn *conn;
	nghttp2_session *ng;
	struct list exchanges;
	struct list dirty; /* in server->dirty */
	struct h2_budget budget;
	uint64_t idle_ms; /* since when there is no exchange */
	unsigned exchange_count;
	int32_t reset_id; /* the highest stream that we have reset */
	bool inside;	  /* of nghttp2: no sending from within */
	bool drained;	  /* an exchange's queue has become short: `drained` is to be told */
	bool goaway;	  /* no more requests are taken */
};

enum h2_guess { H2_NO, H2_YES, H2_MAYBE };
/* By ALPN, or on plain connections by the preface. */
enum h2_guess h2_guess(const struct stream *s, const char *data, size_t size);

/* h2_session.c */
void h2_start(struct http_conn *c);
void h2_read(struct h2_session *h, const char *data, size_t size);
void h2_flush(struct h2_session *h);		     /* sends what can be sent */
void h2_mark(struct h2_session *h);		     /* ... in the next turn of the loop */
void h2_calm(struct h2_session *h);		     /* GOAWAY ENHANCE_YOUR_CALM */
void h2_stop(struct h2_session *h);		     /* the server stops */
void h2_dropped(struct h2_session *h);		     /* the client is gone */
void h2_tick(struct h2_session *h, uint64_t now_ms); /* deadlines */
bool h2_busy(const struct h2_session *h);	     /* exchanges are left */
void h2_destroy(struct h2_session *h);		     /* NULL allowed */

/* h2_request.c: callbacks of nghttp2 for what comes in. */
void h2_request_callbacks(nghttp2_session_callbacks *callbacks);
void h2_exchange_deadline(struct http_exchange *x);
/* The stream is no more, the exchange is when its handler is through. */
void h2_exchange_closed(struct http_exchange *x);
void h2_advance(struct http_exchange *x); /* answered */

/* h2_answer.c: what goes out. size NULL = not known, or none to tell. */
void h2_answer_begin(struct http_exchange *x, int status, const char *content_type,
	const char *extra, const size_t *size, bool body);
void h2_answer_write(struct http_exchange *x, const void *p, size_t size);
void h2_answer_write_blob(struct http_exchange *x, struct blob *b);
void h2_answer_write_part(struct http_exchange *x, struct blob *b, size_t start, size_t size);
void h2_answer_end(struct http_exchange *x);
void h2_answer_abort(struct http_exchange *x);
void h2_answer_callbacks(nghttp2_session_callbacks *callbacks);

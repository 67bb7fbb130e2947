/* http_impl.h - inside of the HTTP server, for http_*.c and h2_*.c only.
 *
 * A connection (http_conn) is one client's stream. While a request is being read or answered it has
 * an exchange: the request, its parser, body and the state of its answer. Exchanges are kept for
 * reuse by the server, so an idle connection holds neither arena nor buffers.
 *
 * What a connection speaks shows in its first bytes (h2_start takes over for HTTP/2, see
 * h2_impl.h). One of HTTP/1.1 has at most one exchange at a time:
 *
 *              first byte             message complete
 *     +------+ ----------> +---------+ -------------> +----------+
 *     | IDLE |             | READING |                | HANDLING |
 *     +------+ <-------+   +---------+                +----------+
 *        |             |        | malformed               |
 *        |             +--------|-- answered, keep-alive -+
 *        |                      v                         |
 *        |                 +-----------+ <----------------+ answered, not keep-alive
 *        |                 | LINGERING |
 *        v                 +-----------+
 *     stream closed, from any state; the connection is freed when its exchange is over as well.
 *
 * LINGERING: our direction is ended; what the client still sends is read and dropped for a while,
 * since closing on unread bytes would reset the connection under the answer. */
#pragma once

#include "lib/base/buf.h"
#include "lib/base/list.h"
#include "lib/http/http.h"
#include "lib/http/stream_queue.h"

/* What a request may take without counting against the server's limit: leases and other small
 * writes must pass whatever large ones do. */
#define HTTP_HELD_FREE_BYTES (8u << 10)
/* A body must grow by this much within the idle time. */
#define HTTP_BODY_STEP_BYTES (64u << 10)
/* Answers up to this size are given whatever waits. */
#define HTTP_WAITING_FREE_BYTES (8u << 10)
#define HTTP_LINGER_MS 2000

enum conn_state { CONN_IDLE, CONN_READING, CONN_HANDLING, CONN_LINGERING };
enum answer_state { ANSWER_NONE, ANSWER_STREAMING, ANSWER_DONE };

struct http_conn;
struct h2_session;
struct http_large;

struct http_exchange {
	struct http_request req;
	struct http_conn *conn;
	struct http_parser parser;
	struct buf body;
	struct http_exchange *next_free;
	struct list ready; /* in server->ready: the answer was completed outside of the handler */
	size_t held_bytes; /* counted in the server's */
	size_t body_mark;  /* size of the body at which the deadline is next extended */
	enum answer_state answer;
	bool in_handler; /* the handler has not returned yet */
	bool early;	 /* answered in place of the handler, whose own answer goes nowhere */
	bool keep_alive; /* the connection goes on after the answer */
	bool chunked;	 /* the streamed answer is */
	bool sized;	 /* it has a Content-Length, of which `owed` bytes are not written yet */
	uint64_t owed;
	bool cancel_told;
	void (*drained)(struct http_request *req);
	struct http_large *large; /* the rest of a large answer, NULL = none */

	/* HTTP/2 only. */
	struct list link;	 /* in h2_session.exchanges */
	struct stream_queue out; /* of the body, what the client's window has no room for yet */
	uint64_t deadline_ms;	 /* of the request's next part, or of progress in `out`; 0 = none */
	size_t head_size;	 /* of the header list, as RFC 9113 6.5.2 counts */
	size_t header_room;
	size_t dropped; /* bytes that came after the answer */
	int32_t stream_id;
	/* Of a body that is open, see http_body_follow. */
	void (*body_data)(struct http_request *req, const char *p, size_t size);
	void (*body_end)(struct http_request *req);
	bool open : 1;	     /* the stream is; else the client has reset it or is gone */
	bool handed : 1;     /* the handler has it, or it was refused */
	bool out_ended : 1;  /* nothing follows what is in `out` */
	bool deferred : 1;   /* nghttp2 waits for more in `out` */
	bool framed : 1;     /* nghttp2 has a frame of `out` that does not fit yet */
	bool above_high : 1; /* `drained` is owed */
	bool too_large : 1;  /* its header list */
};

struct http_conn {
	struct http_server *server;
	struct list link;	 /* in server->conns */
	struct stream *stream;	 /* NULL when closed or handed out */
	struct http_exchange *x; /* NULL in IDLE and mostly in LINGERING */
	struct h2_session *h2;	 /* NULL = HTTP/1.1 */
	struct buf in;		 /* bytes behind the present request */
	const char *rest;	 /* same, while inside of the handler: not copied yet */
	size_t rest_size;
	uint64_t deadline_ms; /* loop time; 0 = none */
	uint64_t written; /* stream_written at the last look, to notice a client that takes nothing
			   */
	uint64_t stalled_ms; /* since when it takes nothing; 0 = it does */
	enum conn_state state;
	bool greeted;	/* the TLS handshake is done */
	bool known;	/* which protocol it speaks */
	bool eof;	/* the client has ended its direction */
	bool gone;	/* the stream is closing */
	bool throttled; /* the client takes too little to go on with what it asked */
	bool pinned;	/* in use further up the stack: not to be freed */
};

struct http_listener;
struct http_server {
	uv_loop_t *loop;
	SSL_CTX *tls;
	http_handler *handler;
	bool (*takes_body)(const struct http_request *req);
	void *user;
	unsigned idle_timeout_ms, max_connections;
	size_t held_bytes; /* of requests in memory, beyond what is free for each */
	size_t held_max_bytes;
	size_t waiting_bytes; /* of answers that clients have not taken, without blobs of others */
	size_t waiting_max_bytes;
	struct http_listener *listeners;
	struct list conns;
	unsigned conn_count;
	struct list ready;  /* exchanges */
	struct list dirty;  /* h2_sessions that have something to send */
	struct list making; /* http_large whose source is to be asked for the next piece */
	struct http_exchange *free_exchanges;
	unsigned free_exchange_count;
	uv_timer_t tick;   /* deadlines, while there are connections */
	uv_timer_t grace;  /* while stopping */
	uv_idle_t advance; /* for `ready` and `dirty` */
	unsigned open_handles;
	bool stopping, stopped, destroyed;
	void (*done)(void *user);
	void *done_user;
	char date[64];	/* value of Date, made for... */
	int64_t date_s; /* ...this second */
};

static inline struct http_exchange *exchange_of(const struct http_request *req)
{
	return CONTAINER_OF(req, struct http_exchange, req);
}

/* http_exchange.c */
struct http_exchange *http_exchange_new(struct http_conn *c);
/* Counts what the request has come to. False when it is too much for the server at this time. */
bool http_exchange_count(struct http_exchange *x);
void http_exchange_close(struct http_exchange *x);   /* tells the handler that all is over */
void http_exchange_release(struct http_exchange *x); /* gives it back to the server */
void http_exchange_free(struct http_exchange *x);
/* Cuts the target into path and query; false when it is malformed. */
bool http_exchange_parse_target(struct http_exchange *x);
void http_exchange_identify(struct http_exchange *x);

/* http_conn.c */
void http_conn_start(struct http_server *s, int fd);
void http_conn_tick(struct http_conn *c, uint64_t now_ms);
void http_conn_advance(struct http_conn *c); /* after an answer that came later */
void http_conn_stop(struct http_conn *c);    /* closes it if nothing is going on */
void http_conn_drop(struct http_conn *c);    /* closes now; tells the handler */
void http_conn_linger(struct http_conn *c);  /* ends our direction once all is written */
/* Has the client taken nothing of what is queued for the idle time? */
bool http_conn_stalled(struct http_conn *c, uint64_t now_ms);
void http_conn_free_if_over(struct http_conn *c);

/* http_answer.c */
/* Writes the header. True when a body of `size` bytes is to follow. */
bool http_answer_begin(struct http_exchange *x, int status, const char *content_type,
	const char *extra, size_t size);
void http_answer_write(struct http_exchange *x, const void *p, size_t size);
void http_answer_write_blob(struct http_exchange *x, struct blob *b);
/* Nobody takes what is answered. */
bool http_answer_unwanted(const struct http_exchange *x);
/* The answer is complete: the exchange ends when the present callback has returned. */
void http_answer_done(struct http_exchange *x);

/* Would this many more bytes of answers be too many? Then 429 was answered. Answers to what may
 * have changed something always pass. */
bool http_answer_refused(struct http_exchange *x, size_t size);

/* http_large.c */
void http_large_finish(struct http_large *l); /* NULL allowed */
void http_large_make(struct http_server *s);  /* goes through `making` */

/* http_server.c */
/* Goes through `ready`, `making` and `dirty` in the next turn. */
void http_server_run_ready(struct http_server *s);
void http_server_conn_gone(struct http_server *s); /* a connection was freed */
const char *http_server_date(struct http_server *s);

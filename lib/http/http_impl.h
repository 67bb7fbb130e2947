/* http_impl.h - inside of the HTTP server, for http_server.c, http_conn.c and http_answer.c only.
 *
 * A connection (http_conn) is one client's stream. While a request is being read or answered it has
 * an exchange: the request, its parser, body and the state of its answer. Exchanges are kept for
 * reuse by the server, so an idle connection holds neither arena nor buffers.
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

enum conn_state { CONN_IDLE, CONN_READING, CONN_HANDLING, CONN_LINGERING };
enum answer_state { ANSWER_NONE, ANSWER_STREAMING, ANSWER_DONE };

struct http_conn;

struct http_exchange {
	struct http_request req;
	struct http_conn *conn;
	struct http_parser parser;
	struct buf body;
	struct http_exchange *next_free;
	size_t held_bytes; /* counted in the server's */
	enum answer_state answer;
	bool in_handler; /* the handler has not returned yet */
	bool keep_alive; /* the connection goes on after the answer */
	bool chunked;	 /* the streamed answer is */
	bool cancel_told;
	void (*drained)(struct http_request *req);
};

struct http_conn {
	struct http_server *server;
	struct list link;  /* in server->conns */
	struct list ready; /* in server->ready: the answer was completed outside of the handler */
	struct stream *stream;	 /* NULL when closed or handed out */
	struct http_exchange *x; /* NULL in IDLE and mostly in LINGERING */
	struct buf in;		 /* bytes behind the present request */
	const char *rest;	 /* same, while inside of the handler: not copied yet */
	size_t rest_size;
	uint64_t deadline_ms; /* loop time; 0 = none */
	uint64_t written; /* stream_written at the last look, to notice a client that takes nothing
			   */
	uint64_t stalled_ms; /* since when it takes nothing; 0 = it does */
	size_t body_mark;    /* size of the body at which the deadline is next extended */
	enum conn_state state;
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
	void *user;
	unsigned idle_timeout_ms, max_connections;
	size_t held_bytes; /* of requests in memory, beyond what is free for each */
	size_t held_max_bytes;
	struct http_listener *listeners;
	struct list conns;
	unsigned conn_count;
	struct list ready;
	struct http_exchange *free_exchanges;
	unsigned free_exchange_count;
	uv_timer_t tick;   /* deadlines, while there are connections */
	uv_timer_t grace;  /* while stopping */
	uv_idle_t advance; /* connections in `ready` */
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

/* http_conn.c */
void http_conn_start(struct http_server *s, int fd);
void http_conn_tick(struct http_conn *c, uint64_t now_ms);
void http_conn_advance(struct http_conn *c); /* after an answer that came later */
void http_conn_stop(struct http_conn *c);    /* closes it if nothing is going on */
void http_conn_drop(struct http_conn *c);    /* closes now; tells the handler */
void http_exchange_free(struct http_exchange *x);

/* http_answer.c */
/* The answer is complete: the exchange ends when the present callback has returned. */
void http_answer_done(struct http_exchange *x);

/* http_server.c */
void http_server_run_ready(struct http_server *s); /* goes through `ready` in the next turn */
void http_server_conn_gone(struct http_server *s); /* a connection was freed */
const char *http_server_date(struct http_server *s);

/* http.h - HTTP/1.1 server on libuv (RFC 9110, 9112), strict: bare LF, obs-fold, duplicate or
 * malformed Content-Length, Content-Length with Transfer-Encoding, and unknown transfer codings are
 * refused with 400 and the connection is closed.
 *
 * A request is handed to the handler once its header and whole body are in (body limit below). The
 * handler answers now or later, once: http_respond*, http_stream_begin to http_stream_end,
 * http_upgrade or http_abort. The request and its arena live until the callback in which the answer
 * was completed has returned; `closed` is called then. Keep-alive and pipelining (answered in
 * order, one at a time) are handled inside. */
#pragma once

#include "lib/base/arena.h"
#include "lib/base/blob.h"
#include "lib/base/buf.h"
#include "lib/base/str.h"
#include "lib/http/http_parser.h"
#include "lib/http/stream.h"

#define HTTP_BODY_MAX_BYTES (3u << 20) /* 413 above; Kubernetes' limit */

struct http_request {
	struct arena arena;
	const char *method; /* "GET" */
	const char *target; /* as sent: "/api/v1/pods?limit=5" */
	/* Percent-decoded part before '?'. Refused with 400: "%2F" inside a segment, "." and ".."
	 * as segments, what is not UTF-8. */
	const char *path;
	const char *query; /* raw part after '?', "" when none */
	struct http_header *headers;
	size_t header_count;
	const char *body; /* NUL-terminated */
	size_t body_size;
	bool body_is_open; /* it was not read (takes_body): see http_take_over, http_body_follow */
	/* Who is there: from the verified client certificate; "" when none. */
	const char *peer_cn;
	bool peer_refused; /* it showed a certificate that is not good: cn and orgs are empty */
	const char **peer_orgs;
	size_t peer_org_count;
	const char *peer_address;
	int64_t received_ns; /* monotonic */

	/* Set by the handler if it answers later: called once when the client went away before the
	 * answer was complete; the handler must still finish with http_respond_* (which then goes
	 * nowhere) or http_abort. */
	void (*cancelled)(struct http_request *req);
	/* Set by the handler, may stay NULL: called exactly once, when the request is about to be
	 * freed, whatever happened to it. The place to free what `user` holds. */
	void (*closed)(struct http_request *req);
	void *user; /* the handler's own */
	/* Likewise: for who sets `closed` on the way to who answers and uses `user`. */
	void *closed_user;
};

struct http_server;
typedef void http_handler(struct http_request *req, void *user);

struct http_server_options {
	uv_loop_t *loop;
	SSL_CTX *tls; /* NULL = plain; the server takes a reference */
	http_handler *handler;
	void *user;
	/* Whether the handler is to have the request when its header is in, and its body itself, of
	 * any size. HTTP/1.1 and 2; NULL = never. Headers, path and query are there. */
	bool (*takes_body)(const struct http_request *req);
	/* How long a client may take between requests, for a header, for each 64 KiB of a body, and
	 * to take any of what was written to it; 0 = 60 s. Seen up to a quarter late. */
	unsigned idle_timeout_ms;
	unsigned max_connections; /* 0 = 20,000 */
	/* Bytes of requests (heads and bodies) that may be in memory at the same time, not counting
	 * the first 8 KiB of each: what is beyond is refused with 429 and "Retry-After: 1", while
	 * small requests always pass. 0 = 64 MiB. */
	size_t held_max_bytes;
	/* The same for answers that wait for their clients to take them: beyond it what is read is
	 * refused, except for answers of up to 8 KiB. 0 = 256 MiB. */
	size_t waiting_max_bytes;
};

struct http_server *http_server_create(const struct http_server_options *options);
/* "127.0.0.1:6443", "[::1]:0", "unix:///path". May be called several times. ret_port may be NULL.
 */
int http_server_listen(
	struct http_server *s, const char *address, int *ret_port, struct err *err) _must_check_;
/* Stops listening, closes idle connections now and the others after their answer or after grace_ms;
 * then calls done. */
void http_server_stop(struct http_server *s, unsigned grace_ms, void (*done)(void *), void *user);
/* After done, or instead of stop: then all connections are cut, and the memory is freed by the loop
 * once every request has been answered by its handler. */
void http_server_destroy(struct http_server *s);

/* Request helpers. */
const char *http_header_get(const struct http_request *req, const char *name); /* first, or NULL */
/* Decoded value of a query parameter in the request's arena; NULL when absent. nth counts from 0
 * for repeated parameters. Badly escaped ones count as absent. */
const char *http_query_get(struct http_request *req, const char *name, unsigned nth);

/* Whole answers. `extra` headers: "Name: value\r\n..." or NULL. */
void http_respond(struct http_request *req, int status, const char *content_type, const char *extra,
	const void *body, size_t size);
/* Gather-write of blobs between pieces of text: parts are written in order. Either blob or text. */
struct http_part {
	struct blob *blob; /* a reference is taken */
	const char *text;  /* copied */
	size_t text_size;
};
void http_respond_parts(struct http_request *req, int status, const char *content_type,
	const char *extra, const struct http_part *parts, size_t count);
/* The same for many or large parts: they are written as the client takes them, and until then held
 * as references (texts are copied). gzip: compressed (Content-Encoding) if there is room for one
 * more compressor. `cancelled` is taken over. */
void http_respond_large(struct http_request *req, int status, const char *content_type,
	const char *extra, const struct http_part *parts, size_t count, bool gzip);

/* What is made piece by piece, as the client takes it: tables of thousands of rows. An answer of
 * one piece has a Content-Length. */
struct http_source {
	/* Adds the next piece to out, some 64 KiB that take a few milliseconds; false: the last. */
	bool (*next)(void *user, struct buf *out);
	void (*finish)(void *user); /* once: nothing more will be asked for */
	void *user;
};
/* gzip as above. `cancelled` is taken over. */
void http_respond_source(struct http_request *req, int status, const char *content_type,
	const char *extra, const struct http_source *source, bool gzip);

/* Answers in place of a handler that is too slow: what it answers later, as it still must, goes
 * nowhere, and until then the request and its memory stay its own. (A client of HTTP/1 is asked to
 * come by another connection; `cancelled` may be called.) False, and nothing is done, when an
 * answer has begun or nobody waits for one. */
bool http_respond_early(struct http_request *req, int status, const char *content_type,
	const char *extra, const void *body, size_t size);
bool http_answered(const struct http_request *req); /* it has begun */

/* Streamed answers (chunked; HTTP/1.0 clients: until close). */
void http_stream_begin(
	struct http_request *req, int status, const char *content_type, const char *extra);
void http_stream_write(struct http_request *req, const void *p, size_t size);
/* Several parts as one chunk. */
void http_stream_write_parts(struct http_request *req, const struct http_part *parts, size_t count);
/* A piece of a streamed answer that goes to many clients: framed once, held by reference. */
struct blob *http_piece_new(const struct http_part *parts, size_t count);
void http_stream_write_piece(struct http_request *req, struct blob *piece);
size_t http_stream_queued(const struct http_request *req); /* bytes not yet taken by the kernel */
/* Called when the queue fell below STREAM_LOW_BYTES after having been above STREAM_HIGH_BYTES. */
void http_stream_on_drained(struct http_request *req, void (*drained)(struct http_request *));
/* Asks for that call from above STREAM_LOW_BYTES already, for answers that many get at a time. */
void http_stream_tell_drained(struct http_request *req);
void http_stream_end(struct http_request *req);

void http_abort(struct http_request *req); /* closes the connection without (more of) an answer */

/* For a request of HTTP/1.1 whose body is open: the connection, from the first byte of the body on
 * (the caller's now; reading stopped). Who takes it writes the answer, "100 Continue" before it
 * when the client expects that, and closes. Any other answer closes the connection, too. NULL when
 * the client has gone: the request is done with. */
struct stream *http_take_over(struct http_request *req);
/* For one of HTTP/2, which has its connection not for itself; to be called by the handler before it
 * returns. `data` gets the body as it comes, until the request is answered or cancelled; `end`
 * tells that it is whole. What was given counts against the client's window (256 KiB) until
 * http_body_taken says that there is room again. False: it is one of HTTP/1.1. */
bool http_body_follow(struct http_request *req,
	void (*data)(struct http_request *req, const char *p, size_t size),
	void (*end)(struct http_request *req));
void http_body_taken(struct http_request *req, size_t size);
/* True when the request has Connection: Upgrade; *ret_protocol is the Upgrade header's value. */
bool http_wants_upgrade(const struct http_request *req, const char **ret_protocol);
/* Answers 101 with "Connection: Upgrade", "Upgrade: protocol" and extra, and hands out the stream
 * (the caller's now; reading stopped). Bytes that came right behind the request's header are given
 * by the stream's first read. The request is done with. NULL when the client has gone. */
struct stream *http_upgrade(struct http_request *req, const char *protocol, const char *extra);

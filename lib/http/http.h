/* http.h - HTTP/1.1 server on libuv (RFC 9110, 9112), strict: bare LF, obs-fold, duplicate or
 * malformed Content-Length, Content-Length with Transfer-Encoding, and unknown transfer codings are
 * refused with 400 and the connection is closed.
 *
 * A request is handed to the handler once its header and whole body are in (body limit below). The
 * handler answers now or later, once: http_respond*, http_stream_*, or http_upgrade. The request and
 * its arena live until the answer is complete and `closed` was called. Keep-alive and pipelining
 * (answered in order, one at a time) are handled inside. */
#pragma once

#include "lib/base/arena.h"
#include "lib/base/blob.h"
#include "lib/base/str.h"
#include "lib/http/stream.h"

#define HTTP_HEADER_MAX_BYTES (64u << 10)
#define HTTP_BODY_MAX_BYTES (3u << 20) /* 413 above; Kubernetes' limit */
#define HTTP_HEADER_MAX_COUNT 128

struct http_header {
	const char *name; /* as sent; compare with http_header_get (case-insensitive) */
	const char *value; /* trimmed */
};

struct http_request {
	struct arena arena;
	const char *method; /* "GET" */
	const char *target; /* as sent: "/api/v1/pods?limit=5" */
	const char *path;   /* percent-decoded part before '?'; "%2F" inside a segment is refused (400) */
	const char *query;  /* raw part after '?', "" when none */
	struct http_header *headers;
	size_t header_count;
	const char *body; /* NUL-terminated */
	size_t body_size;
	/* Who is there: from the verified client certificate; "" when none. */
	const char *peer_cn;
	const char **peer_orgs;
	size_t peer_org_count;
	const char *peer_address;
	int64_t received_ns; /* monotonic */

	/* Set by the handler if it answers later: called once when the client went away before the
	 * answer was complete; the handler must still finish with http_respond_* (which then goes
	 * nowhere) or http_abort. */
	void (*cancelled)(struct http_request *req);
	void *user; /* the handler's own */
};

struct http_server;
typedef void http_handler(struct http_request *req, void *user);

struct http_server_options {
	uv_loop_t *loop;
	SSL_CTX *tls; /* NULL = plain; the server takes a reference */
	http_handler *handler;
	void *user;
	unsigned idle_timeout_ms; /* keep-alive and slow headers/bodies; 0 = 60 s */
	unsigned max_connections; /* 0 = 20,000 */
};

struct http_server *http_server_create(const struct http_server_options *options);
/* "127.0.0.1:6443", "[::1]:0", "unix:///path". May be called several times. ret_port may be NULL. */
int http_server_listen(struct http_server *s, const char *address, int *ret_port,
	struct err *err) _must_check_;
/* Stops listening, closes idle connections now and the others after their answer or after grace_ms;
 * then calls done. */
void http_server_stop(struct http_server *s, unsigned grace_ms, void (*done)(void *), void *user);
void http_server_destroy(struct http_server *s); /* after done, or when the loop has ended */

/* Request helpers. */
const char *http_header_get(const struct http_request *req, const char *name); /* first, or NULL */
/* Decoded value of a query parameter in the request's arena; NULL when absent. nth counts from 0 for
 * repeated parameters. Badly escaped ones count as absent. */
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

/* Streamed answers (chunked; HTTP/1.0 clients: until close). */
void http_stream_begin(struct http_request *req, int status, const char *content_type,
	const char *extra);
void http_stream_write(struct http_request *req, const void *p, size_t size);
void http_stream_write_blob(struct http_request *req, struct blob *b);
size_t http_stream_queued(const struct http_request *req); /* bytes not yet taken by the kernel */
/* Called when the queue fell below STREAM_LOW_BYTES after having been above STREAM_HIGH_BYTES. */
void http_stream_on_drained(struct http_request *req, void (*drained)(struct http_request *));
void http_stream_end(struct http_request *req);

void http_abort(struct http_request *req); /* closes the connection without (more of) an answer */

/* True when the request has Connection: Upgrade; *ret_protocol is the Upgrade header's value. */
bool http_wants_upgrade(const struct http_request *req, const char **ret_protocol);
/* Answers 101 with "Connection: Upgrade", "Upgrade: protocol" and extra, and hands out the stream
 * (the caller's now; reading stopped). Bytes that came right behind the request's header are given
 * by the stream's first read. The request is freed. */
struct stream *http_upgrade(struct http_request *req, const char *protocol, const char *extra);

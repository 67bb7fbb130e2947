/* stream.h - a byte stream in both directions on the libuv loop: TCP or unix socket, with or
 * without TLS. HTTP, gRPC, libvirt's RPC, consoles and upgraded connections all stand on it.
 *
 * All calls happen on the loop's thread, of which a process has one. Callbacks are never called
 * from inside the call that caused them, except `read` from within the loop. After stream_close()
 * no callback but `closed` comes, and that one exactly once; the memory is freed by the stream
 * after it. */
#pragma once

#include <uv.h>

#include "lib/base/blob.h"
#include "lib/base/err.h"
#include "lib/base/str.h"

struct stream;
typedef struct ssl_ctx_st SSL_CTX;

struct stream_handler {
	/* Bytes came in; they are the stream's and valid for the call only. */
	void (*read)(void *user, const char *data, size_t size);
	/* The peer ended its direction in order (FIN, TLS close_notify). Writing may go on. */
	void (*eof)(void *user);
	/* Broken: reset, TLS failure, write error. Only stream_close() is useful now. May be NULL:
	 * then closed follows by itself. */
	void (*error)(void *user, int code, const char *text);
	/* The write queue fell below the low mark after having been above the high one. May be
	 * NULL. */
	void (*drained)(void *user);
	void (*closed)(void *user);
	/* The write queue became empty: the kernel has it all, and our direction has ended if
	 * stream_shutdown was called. May be NULL. */
	void (*flushed)(void *user);
};

/* Connects; `connected` gets the stream (owned by the caller from now on, reading not started) or
 * NULL and the error. Address forms: "unix:///path", "tcp://host:port". tls NULL = plain; `name`
 * is the SNI and verified host name (NULL: verify only the chain if the context verifies).
 * Host names are resolved on the thread pool. timeout_ms 0 = 10 s. Returns a handle for cancelling
 * (connected is then not called), valid until connected. */
struct stream_connect;
struct stream_connect *stream_connect(uv_loop_t *loop, const char *address, SSL_CTX *tls,
	const char *name, unsigned timeout_ms,
	void (*connected)(void *user, struct stream *s, const struct err *err), void *user);
void stream_connect_cancel(struct stream_connect *c);

/* Takes over an accepted or created descriptor (socket or pipe or pty); plain. */
int stream_from_fd(uv_loop_t *loop, int fd, struct stream **ret, struct err *err) _must_check_;
/* The server's side of TLS on an accepted socket: the handshake begins by itself, a failed one ends
 * in `error`. On failure the descriptor is still the caller's (also of stream_from_fd). */
int stream_from_fd_tls(
	uv_loop_t *loop, int fd, SSL_CTX *tls, struct stream **ret, struct err *err) _must_check_;

/* Sets who hears of events; may be changed at any time (upgrades). The handler is copied; members
 * may be NULL, and NULL for all of it ignores everything. */
void stream_set_handler(struct stream *s, const struct stream_handler *h, void *user);
void stream_read_start(struct stream *s);
void stream_read_stop(struct stream *s); /* back-pressure: the kernel's buffer fills up */

/* Puts bytes in front of those to be read, for a reader that got more than it wanted (upgrades,
 * pauses): the next `read` gives them. */
void stream_unread(struct stream *s, const void *p, size_t size);

/* Queues bytes; copies them, or holds a reference to the blob until written. What was queued during
 * one callback, or between two turns of the loop, goes out together: small writes are cheap, and
 * with TLS they share a record. */
void stream_write(struct stream *s, const void *p, size_t size);
void stream_write_blob(struct stream *s, struct blob *b);
struct stream_queue;
/* Moves bytes from the front of a queue of the caller's. */
void stream_write_queue(struct stream *s, struct stream_queue *from, size_t size);
/* Memory that what is queued takes is counted there from now on; NULL = nowhere. */
void stream_count_held(struct stream *s, size_t *held);
/* Bytes queued and not yet taken by the kernel. Writers stop above STREAM_HIGH_BYTES and go on at
 * `drained`. */
size_t stream_queued(const struct stream *s);
uint64_t stream_written(const struct stream *s); /* bytes taken by the kernel since the beginning */
/* `drained` is to be told though the queue was not above the high mark: for writers that stop
 * earlier. The queue must not be below the low mark. */
void stream_tell_drained(struct stream *s);
#define STREAM_HIGH_BYTES (1u << 20)
#define STREAM_LOW_BYTES (256u << 10)

void stream_shutdown(struct stream *s); /* sends what is queued, then ends our direction */
void stream_close(struct stream *s);	/* now; queued bytes may be lost. NULL allowed */
/* Breaks all that are still open: when the program stops, of those that are joined or bridged no
 * one else knows. Their owners are told as of any error, from inside this call. */
void streams_break(void);

/* From the peer's verified certificate, "" when none: first CN, and all O in order. */
const char *stream_peer_cn(const struct stream *s);
size_t stream_peer_orgs(const struct stream *s, const char **ret, size_t room);
/* The peer showed a certificate that does not verify (tls_server_take_any), or that has expired
 * meanwhile: it is nobody, and should be told so. */
bool stream_peer_refused(const struct stream *s);
const char *stream_peer_address(const struct stream *s); /* "127.0.0.1:51234", "unix" */
bool stream_is_secure(const struct stream *s);		 /* TLS */
/* Is the TLS handshake done? Always true of plain streams. */
bool stream_is_ready(const struct stream *s);
/* What ALPN chose ("h2"); "" when nothing. */
struct str stream_alpn(const struct stream *s);
uv_loop_t *stream_loop(const struct stream *s);

/* Joins two streams until both directions have ended; then closes both and calls done (may be
 * NULL). Handlers are taken over. */
void stream_join(struct stream *a, struct stream *b, void (*done)(void *user), void *user);

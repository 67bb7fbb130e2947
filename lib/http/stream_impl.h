/* stream_impl.h - inside of struct stream, for stream*.c only.
 *
 *              +-----------+   TLS handshake done    +------+
 *   from_fd -> | HANDSHAKE | ----------------------> | OPEN |   (plain streams begin in OPEN)
 *              +-----------+                         +------+
 *                    |  error                    error |  |
 *                    v                                 v  |
 *                 +--------+ <-------------------------+  | stream_close
 *                 | BROKEN |                              v
 *                 +--------+ ---- stream_close -----> +---------+
 *                                                     | CLOSING | -> `closed`, freed
 *                                                     +---------+
 */
#pragma once

#include "lib/base/list.h"
#include "lib/base/buf.h"
#include "lib/http/stream.h"
#include "lib/http/stream_queue.h"

#include <openssl/ssl.h>

enum stream_state { STREAM_HANDSHAKE, STREAM_OPEN, STREAM_BROKEN, STREAM_CLOSING };

/* Who is at the other end; made when first asked for. */
struct stream_peer {
	char address[64];
	char *cn;
	char **orgs;
	size_t org_count;
	int64_t not_after_s;   /* end of the certificate, since 1970 */
	bool refused;	       /* it showed a certificate that does not verify */
	bool certificate_read; /* cn and orgs are final: the handshake was done when they were made
				*/
};

struct stream {
	struct list link; /* in all streams of the process */
	uv_poll_t poll;
	uv_idle_t later; /* runs in the next turn of the loop: deferred reads and writes */
	struct stream_handler h;
	void *user;
	SSL *ssl; /* NULL = plain */
	struct stream_queue queue;
	struct buf sealed; /* TLS records that the kernel has not taken; they go before the queue */
	struct buf unread; /* given back by stream_unread */
	struct stream_peer *peer; /* NULL until asked for */
	uint64_t written_bytes;
	/* Internal to stream_connect: told once when the handshake is done. */
	void (*handshake_done)(void *user);
	int fd;
	int poll_events; /* what `poll` is started with, 0 = stopped */
	enum stream_state state;
	uint8_t open_handles; /* uv handles whose close callback is to come */
	bool is_socket : 1;
	bool reading : 1;	  /* the user wants reads */
	bool eof : 1;		  /* the peer's direction has ended */
	bool above_high : 1;	  /* `drained` is owed */
	bool dirty : 1;		  /* something was queued since the last flush */
	bool dispatching : 1;	  /* inside a callback of this stream: flush comes at its end */
	bool blocked : 1;	  /* the kernel's buffer is full: wait until writable */
	bool shutdown_wanted : 1; /* end our direction when the queue is empty */
	bool shutdown_done : 1;
	bool tls_wants_write : 1;  /* handshake or read waits for the socket to be writable */
	bool tls_read_blocked : 1; /* a write waits for the socket to be readable */
};

/* Creates on a non-blocking descriptor. */
int stream_create(
	uv_loop_t *loop, int fd, SSL *ssl, struct stream **ret, struct err *err) _must_check_;
/* Answers must not wait for more bytes, and a peer that vanished must be noticed even on a stream
 * that only waits (watches). Harmless on what is not TCP. */
void stream_tune_socket(int fd);
/* Breaks the stream and tells the user. From the loop only. */
void stream_fail(struct stream *s, int code, const char *text);

/* What is sealed had this size before; it is counted where the queue is. */
void stream_sealed_counted(struct stream *s, size_t before);

SSL *stream_tls_new(SSL_CTX *ctx, bool server);
void stream_tls_attach(struct stream *s); /* before anything else is done with its `ssl` */
/* Results of the transport: bytes, 0 at the end of the peer's direction (reads), -EAGAIN, or
 * another negative errno with *text for people (static or thread-local storage). */
int stream_tls_set_name(SSL *ssl, const char *name);
int stream_tls_handshake(struct stream *s, const char **ret_text);
ssize_t stream_tls_read(struct stream *s, char *p, size_t room, const char **ret_text);
/* Writes from the queue, several records at a time: 0 when all of these went, else as above. */
int stream_tls_flush(struct stream *s, const char **ret_text);
int stream_tls_shutdown(struct stream *s); /* 0, -EAGAIN; failures do not matter any more */
bool stream_tls_has_pending(const struct stream *s);
void stream_tls_peer(const struct stream *s, struct stream_peer *peer);

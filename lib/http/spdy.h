/* spdy.h - SPDY/3.1 sessions, as Kubernetes' exec, attach and port-forward speak them after an
 * "Upgrade: SPDY/3.1": many streams in both directions over one connection.
 *
 *     session = spdy_session_create(stream, false, &handler, user);
 *     struct spdy_header h[] = { { "streamtype", "stdin" } };
 *     st = spdy_open(session, h, 1, &stream_handler, my);
 *     spdy_write(st, "ls\n", 3);
 *     spdy_end(st);
 *
 * Ownership: the session owns the connection. A stream handle is good until spdy_close or
 * spdy_reset, or until its `reset` callback has returned, which is also called for all that are
 * left when the session ends. `closed` of the session comes last and exactly once; the session is
 * gone after it. As everywhere, no callback comes from inside the call that caused it.
 *
 * What is written before the peer accepted the stream (SYN_REPLY) is held back: Kubernetes' peers
 * drop it. Back-pressure is that of the connection: they have no flow control, so windows only
 * count once the peer has shown that it knows them (SETTINGS with a window, or WINDOW_UPDATE).
 * Pausing one stream therefore pauses the reading of the session. Pings are answered. */
#pragma once

#include "lib/http/spdy_frame.h"
#include "lib/http/stream.h"

struct spdy_session;
struct spdy_stream;

struct spdy_handler {
	/* The peer opened a stream; `fin`: it will send nothing on it. It is refused unless it was
	 * taken with spdy_accept when the callback returns. NULL refuses all. The headers are valid
	 * for the call only. */
	void (*opened)(void *user, struct spdy_stream *st, const struct spdy_header *headers,
		size_t count, bool fin);
	/* The queue of the connection, or what a stream held back, fell below STREAM_LOW_BYTES
	 * after spdy_queued was above STREAM_HIGH_BYTES. */
	void (*drained)(void *user);
	/* text is NULL when the session ended in order. */
	void (*closed)(void *user, const char *text);
};

struct spdy_stream_handler {
	/* The peer accepted the stream. May be NULL. */
	void (*replied)(void *user, const struct spdy_header *headers, size_t count);
	void (*data)(void *user, const char *p, size_t size);
	void (*eof)(void *user); /* the peer will send no more; writing may go on */
	/* enum spdy_status; the handle is gone after it. */
	void (*reset)(void *user, int status);
};

/* The handler is copied. Reading starts at once. */
struct spdy_session *spdy_session_create(
	struct stream *s, bool server, const struct spdy_handler *h, void *user);
/* Sends what is queued and GOAWAY, and ends the connection. */
void spdy_session_close(struct spdy_session *s);

/* Opens a stream; NULL when the session is ending or the peer said that it is going away. */
struct spdy_stream *spdy_open(struct spdy_session *s, const struct spdy_header *headers,
	size_t count, const struct spdy_stream_handler *h, void *user);
/* Answers `opened`, inside of it. */
void spdy_accept(struct spdy_stream *st, const struct spdy_header *headers, size_t count,
	const struct spdy_stream_handler *h, void *user);
void spdy_write(struct spdy_stream *st, const void *p, size_t size);
void spdy_end(struct spdy_stream *st); /* our direction is over, behind what was written */
/* Ends our direction, if it has not, and lets go of the stream: what still comes is dropped. */
void spdy_close(struct spdy_stream *st);
void spdy_reset(struct spdy_stream *st, enum spdy_status status); /* breaks off; lets go */

void spdy_pause(struct spdy_stream *st); /* back-pressure, of the whole session */
void spdy_resume(struct spdy_stream *st);
/* Bytes of the stream held back, and all that the connection has queued. */
size_t spdy_queued(const struct spdy_stream *st);

const char *spdy_header_get(const struct spdy_header *headers, size_t count,
	const char *name); /* lower case; or NULL */

#define SPDY_STREAMS_MAX 1000 /* open at the same time; more are refused */

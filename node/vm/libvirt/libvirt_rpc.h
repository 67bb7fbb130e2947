/* libvirt_rpc.h - a connection to libvirtd on the event loop, without libvirt's library.
 *
 * One struct libvirt stays connected by itself: when the daemon is away it tries again with growing
 * pauses and says so once. Calls made while it is down fail at once with LIBVIRT_RPC_DOWN.
 *
 * libvirtd serves five calls of a connection at a time, so no more are sent; the others wait in
 * line, and of those that last (a guest starts, or its memory is written) only some are under way,
 * so that a guest can be stopped meanwhile. Every call has a deadline, which begins when it is
 * sent; one that stays in line for four times as long fails too. An answer after the deadline is
 * dropped, but until then the call keeps its place; when most places are lost so, the connection is
 * made anew: all calls fail, as when the daemon was away.
 *
 * Callbacks never run inside the call that caused them. */
#pragma once

#include <uv.h>

#include "lib/base/clock.h"
#include "node/vm/libvirt/libvirt_event.h"

struct libvirt;

struct libvirt_handler {
	/* Connected and subscribed to events: what happened before must be asked for. */
	void (*up)(void *user);
	/* The connection broke, or (first = true) could not be made at all; called once per outage.
	 */
	void (*down)(void *user, const struct err *err);
	void (*event)(void *user, const struct libvirt_event *e); /* NULL: none are asked for */
};

/* address: "unix:///run/libvirt/libvirt-sock". */
struct libvirt *libvirt_create(uv_loop_t *loop, struct clock *clock, const char *address,
	const struct libvirt_handler *h, void *user);
void libvirt_destroy(struct libvirt *l); /* calls under way end without a callback; NULL allowed */
bool libvirt_is_up(const struct libvirt *l);
uint64_t libvirt_version(
	const struct libvirt *l); /* 9000000 = 9.0.0; 0 before the first connection */

/* Own failures, in `code`; libvirt's own numbers are positive. */
enum { LIBVIRT_RPC_DOWN = -1, LIBVIRT_RPC_TIMEOUT = -2, LIBVIRT_RPC_BAD = -3 };

struct libvirt_reply {
	bool ok;
	int code;		/* virErrorNumber or LIBVIRT_RPC_*; 0 when ok */
	const char *message;	/* "" when ok */
	struct xdr_reader body; /* when ok: the procedure's result */
};
typedef void libvirt_done(void *user, const struct libvirt_reply *r);
struct libvirt_call;

/* `args` is the packed argument struct (NULL = none); copied. timeout_ms 0 = 30 s. done may be
 * NULL.
 */
struct libvirt_call *libvirt_call(struct libvirt *l, enum libvirt_proc proc, const struct buf *args,
	unsigned timeout_ms, libvirt_done *done, void *user);
void libvirt_call_cancel(struct libvirt_call *c); /* done is not called; c is gone */

/* The usual shapes of arguments. */
struct libvirt_call *libvirt_call_xml(struct libvirt *l, enum libvirt_proc proc, const char *xml,
	uint32_t flags, libvirt_done *done, void *user);
struct libvirt_call *libvirt_call_domain(struct libvirt *l, enum libvirt_proc proc,
	const struct libvirt_domain *d, uint32_t flags, libvirt_done *done, void *user);

/* What flows: a serial console, a picture of the screen. Each has a connection of its own, so that
 * a slow reader holds up nobody else. */
struct libvirt_stream;
struct libvirt_stream_handler {
	void (*opened)(void *user);
	void (*data)(void *user, const char *p, size_t size);
	void (*drained)(void *user); /* libvirt took what was written; may be NULL for reading */
	/* Exactly once; err NULL when libvirt ended it in order (all was sent, the guest stopped,
	 * another took over). The stream is gone after it. */
	void (*closed)(void *user, const struct err *err);
};
/* `args` are the packed arguments of the procedure; copied. */
struct libvirt_stream *libvirt_stream_open(uv_loop_t *loop, const char *address,
	enum libvirt_proc proc, const struct buf *args, const struct libvirt_stream_handler *h,
	void *user);
/* The first serial console of the domain, taken from whoever has it. */
struct libvirt_stream *libvirt_console_open(uv_loop_t *loop, const char *address,
	const struct libvirt_domain *d, const struct libvirt_stream_handler *h, void *user);
/* The picture that the first screen shows, as a file (PPM, or PNG from a later libvirt). */
struct libvirt_stream *libvirt_screenshot_open(uv_loop_t *loop, const char *address,
	const struct libvirt_domain *d, const struct libvirt_stream_handler *h, void *user);
void libvirt_stream_write(struct libvirt_stream *s, const void *p, size_t size);
size_t libvirt_stream_queued(const struct libvirt_stream *s);
void libvirt_stream_read_stop(struct libvirt_stream *s);
void libvirt_stream_read_start(struct libvirt_stream *s);
void libvirt_stream_close(struct libvirt_stream *s); /* no callback after this; NULL allowed */

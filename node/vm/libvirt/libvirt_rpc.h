/* libvirt_rpc.h - a connection to libvirtd on the event loop, without libvirt's library.
 *
 * One struct libvirt stays connected by itself: when the daemon is away it tries again with growing
 * pauses and says so once. Calls made while it is down fail at once with LIBVIRT_RPC_DOWN. Every
 * call has a deadline; an answer after it is dropped.
 *
 * Callbacks never run inside the call that caused them. */
#pragma once

#include <uv.h>

#include "lib/base/clock.h"
#include "node/vm/libvirt/libvirt_proto.h"

struct libvirt;

struct libvirt_handler {
	/* Connected and subscribed to events: what happened before must be asked for. */
	void (*up)(void *user);
	/* The connection broke, or (first = true) could not be made at all; called once per outage.
	 */
	void (*down)(void *user, const struct err *err);
	void (*lifecycle)(void *user, const struct libvirt_domain *d, int event, int detail);
	void (*reboot)(void *user, const struct libvirt_domain *d); /* the guest restarted itself */
	/* The guest agent came or went. */
	void (*agent)(void *user, const struct libvirt_domain *d, bool connected);
};

/* address: "unix:///run/libvirt/libvirt-sock". Events whose callback is NULL are not asked for. */
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

/* `args` is the packed argument struct (NULL = none). timeout_ms 0 = 30 s. done may be NULL. */
struct libvirt_call *libvirt_call(struct libvirt *l, enum libvirt_proc proc, const struct buf *args,
	unsigned timeout_ms, libvirt_done *done, void *user);
void libvirt_call_cancel(struct libvirt_call *c); /* done is not called; c is gone */

/* The usual shapes of arguments. */
struct libvirt_call *libvirt_call_xml(struct libvirt *l, enum libvirt_proc proc, const char *xml,
	uint32_t flags, libvirt_done *done, void *user);
struct libvirt_call *libvirt_call_domain(struct libvirt *l, enum libvirt_proc proc,
	const struct libvirt_domain *d, uint32_t flags, libvirt_done *done, void *user);

/* A serial console. It has a connection of its own, so that a slow reader holds up nobody else. */
struct libvirt_console;
struct libvirt_console_handler {
	void (*opened)(void *user);
	void (*data)(void *user, const char *p, size_t size);
	void (*drained)(void *user); /* libvirt took what was written */
	/* Exactly once; err NULL when libvirt ended it in order (the guest stopped, another took
	 * over). The console is gone after it. */
	void (*closed)(void *user, const struct err *err);
};
/* Opens the first serial console of the domain, taking it from whoever has it. */
struct libvirt_console *libvirt_console_open(uv_loop_t *loop, const char *address,
	const struct libvirt_domain *d, const struct libvirt_console_handler *h, void *user);
void libvirt_console_write(struct libvirt_console *c, const void *p, size_t size);
size_t libvirt_console_queued(const struct libvirt_console *c);
void libvirt_console_read_stop(struct libvirt_console *c);
void libvirt_console_read_start(struct libvirt_console *c);
void libvirt_console_close(struct libvirt_console *c); /* no callback after this; NULL allowed */

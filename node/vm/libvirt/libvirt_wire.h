/* libvirt_wire.h - one socket to libvirtd: connecting, the opening exchange (authentication, open),
 * packets in and out, keepalive. What stands on it: the control connection (libvirt_rpc.c) and
 * consoles (libvirt_console.c). */
#pragma once

#include <uv.h>

#include "node/vm/libvirt/libvirt_proto.h"

struct libvirt_wire;
struct libvirt_wire_handler {
	void (*open)(void *user); /* the opening exchange is done */
	/* Any packet but keepalive and the opening's; the payload is valid for the call only. */
	void (*packet)(void *user, const struct libvirt_header *h, struct xdr_reader payload);
	void (*drained)(void *user); /* may be NULL */
	/* Failed or broken. Called once; only libvirt_wire_close is useful after. */
	void (*broken)(void *user, const struct err *err);
};
struct libvirt_wire *libvirt_wire_create(
	uv_loop_t *loop, const char *address, const struct libvirt_wire_handler *h, void *user);
void libvirt_wire_close(struct libvirt_wire *w); /* no callback after; NULL allowed */
/* Sends a packet; returns its serial. serial 0 = a fresh one. args NULL = empty payload. */
uint32_t libvirt_wire_send(struct libvirt_wire *w, int32_t proc, enum libvirt_packet_type type,
	uint32_t serial, enum libvirt_packet_status status, const void *args, size_t size);
size_t libvirt_wire_queued(const struct libvirt_wire *w);
void libvirt_wire_read_stop(struct libvirt_wire *w);
void libvirt_wire_read_start(struct libvirt_wire *w);

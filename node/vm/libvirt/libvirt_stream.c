#include "node/vm/libvirt/libvirt_rpc.h"
#include "node/vm/libvirt/libvirt_wire.h"

/* A stream in libvirt's RPC is the call that opened it, gone on: packets of type STREAM with the
 * call's serial, status CONTINUE while there is data, OK when it ends, ERROR when it broke. */

#define CHUNK_BYTES 65536u

struct libvirt_stream {
	struct libvirt_stream_handler handler;
	void *user;
	struct libvirt_wire *wire;
	enum libvirt_proc proc; /* that opens it */
	struct buf args;
	uint32_t serial; /* 0 until that was sent */
	bool open;
};

static void end(struct libvirt_stream *c, const struct err *err)
{
	struct libvirt_stream_handler h = c->handler;
	void *user = c->user;

	libvirt_stream_close(c);
	h.closed(user, err);
}

static void wire_open(void *user)
{
	struct libvirt_stream *c = user;

	c->serial = libvirt_wire_send(
		c->wire, (int32_t)c->proc, LIBVIRT_CALL, 0, LIBVIRT_OK, c->args.data, c->args.size);
}

static void wire_packet(void *user, const struct libvirt_header *h, struct xdr_reader payload)
{
	struct libvirt_stream *c = user;
	struct err err = ERR_INIT;

	if (!c->serial || h->serial != c->serial || h->procedure != (int32_t)c->proc)
		return;
	if (h->status == LIBVIRT_ERROR) {
		struct libvirt_error e;

		xdr_get_error(&payload, &e);
		err_set(&err, -EIO, "%s", e.message);
		end(c, &err);
	} else if (h->type == LIBVIRT_REPLY && !c->open) {
		c->open = true;
		c->handler.opened(c->user);
	} else if (h->type == LIBVIRT_STREAM && h->status == LIBVIRT_CONTINUE && payload.left) {
		c->handler.data(c->user, (const char *)payload.p, payload.left);
	} else if (h->type == LIBVIRT_STREAM) {
		end(c, NULL); /* OK, or an empty CONTINUE: both say that no more will come */
	}
}

static void wire_drained(void *user)
{
	struct libvirt_stream *c = user;

	if (c->handler.drained)
		c->handler.drained(c->user);
}

static void wire_broken(void *user, const struct err *err)
{
	end(user, err);
}

struct libvirt_stream *libvirt_stream_open(uv_loop_t *loop, const char *address,
	enum libvirt_proc proc, const struct buf *args, const struct libvirt_stream_handler *h,
	void *user)
{
	static const struct libvirt_wire_handler wire_handler = {
		.open = wire_open,
		.packet = wire_packet,
		.drained = wire_drained,
		.broken = wire_broken,
	};
	struct libvirt_stream *c = xcalloc(1, sizeof(*c));

	c->handler = *h;
	c->user = user;
	c->proc = proc;
	buf_add(&c->args, args->data, args->size);
	c->wire = libvirt_wire_create(loop, address, &wire_handler, c);
	return c;
}

struct libvirt_stream *libvirt_console_open(uv_loop_t *loop, const char *address,
	const struct libvirt_domain *d, const struct libvirt_stream_handler *h, void *user)
{
	_cleanup_(buf_finish) struct buf args = BUF_INIT;

	xdr_put_domain(&args, d);
	xdr_put_optional_string(&args, NULL); /* the first console */
	xdr_put_u32(&args, LIBVIRT_CONSOLE_FORCE);
	return libvirt_stream_open(loop, address, LIBVIRT_DOMAIN_OPEN_CONSOLE, &args, h, user);
}

struct libvirt_stream *libvirt_screenshot_open(uv_loop_t *loop, const char *address,
	const struct libvirt_domain *d, const struct libvirt_stream_handler *h, void *user)
{
	_cleanup_(buf_finish) struct buf args = BUF_INIT;

	xdr_put_domain(&args, d);
	xdr_put_u32(&args, 0); /* the first screen */
	xdr_put_u32(&args, 0);
	return libvirt_stream_open(loop, address, LIBVIRT_DOMAIN_SCREENSHOT, &args, h, user);
}

void libvirt_stream_write(struct libvirt_stream *c, const void *p, size_t size)
{
	const char *at = p;

	while (c->open && size) {
		size_t n = MIN(size, CHUNK_BYTES);

		libvirt_wire_send(c->wire, (int32_t)c->proc, LIBVIRT_STREAM, c->serial,
			LIBVIRT_CONTINUE, at, n);
		at += n;
		size -= n;
	}
}

size_t libvirt_stream_queued(const struct libvirt_stream *c)
{
	return libvirt_wire_queued(c->wire);
}

void libvirt_stream_read_stop(struct libvirt_stream *c)
{
	libvirt_wire_read_stop(c->wire);
}

void libvirt_stream_read_start(struct libvirt_stream *c)
{
	libvirt_wire_read_start(c->wire);
}

void libvirt_stream_close(struct libvirt_stream *c)
{
	if (!c)
		return;
	libvirt_wire_close(c->wire);
	buf_finish(&c->args);
	free(c);
}

#include "node/vm/libvirt/libvirt_rpc.h"
#include "node/vm/libvirt/libvirt_wire.h"

/* A stream in libvirt's RPC is the call that opened it, gone on: packets of type STREAM with the
 * call's serial, status CONTINUE while there is data, OK when it ends, ERROR when it broke. */

#define CHUNK_BYTES 65536u

struct libvirt_console {
	struct libvirt_console_handler handler;
	void *user;
	struct libvirt_wire *wire;
	struct libvirt_domain domain;
	uint32_t serial; /* 0 until OpenConsole was sent */
	bool open;
};

static void end(struct libvirt_console *c, const struct err *err)
{
	struct libvirt_console_handler h = c->handler;
	void *user = c->user;

	libvirt_console_close(c);
	h.closed(user, err);
}

static void wire_open(void *user)
{
	struct libvirt_console *c = user;
	_cleanup_(buf_finish) struct buf args = BUF_INIT;

	xdr_put_domain(&args, &c->domain);
	xdr_put_optional_string(&args, NULL); /* the first console */
	xdr_put_u32(&args, LIBVIRT_CONSOLE_FORCE);
	c->serial = libvirt_wire_send(c->wire, LIBVIRT_DOMAIN_OPEN_CONSOLE, LIBVIRT_CALL, 0,
		LIBVIRT_OK, args.data, args.size);
}

static void wire_packet(void *user, const struct libvirt_header *h, struct xdr_reader payload)
{
	struct libvirt_console *c = user;
	struct err err = ERR_INIT;

	if (!c->serial || h->serial != c->serial || h->procedure != LIBVIRT_DOMAIN_OPEN_CONSOLE)
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
	struct libvirt_console *c = user;

	c->handler.drained(c->user);
}

static void wire_broken(void *user, const struct err *err)
{
	end(user, err);
}

struct libvirt_console *libvirt_console_open(uv_loop_t *loop, const char *address,
	const struct libvirt_domain *d, const struct libvirt_console_handler *h, void *user)
{
	static const struct libvirt_wire_handler wire_handler = {
		.open = wire_open,
		.packet = wire_packet,
		.drained = wire_drained,
		.broken = wire_broken,
	};
	struct libvirt_console *c = xcalloc(1, sizeof(*c));

	c->handler = *h;
	c->user = user;
	c->domain = *d;
	c->wire = libvirt_wire_create(loop, address, &wire_handler, c);
	return c;
}

void libvirt_console_write(struct libvirt_console *c, const void *p, size_t size)
{
	const char *at = p;

	while (c->open && size) {
		size_t n = MIN(size, CHUNK_BYTES);

		libvirt_wire_send(c->wire, LIBVIRT_DOMAIN_OPEN_CONSOLE, LIBVIRT_STREAM, c->serial,
			LIBVIRT_CONTINUE, at, n);
		at += n;
		size -= n;
	}
}

size_t libvirt_console_queued(const struct libvirt_console *c)
{
	return libvirt_wire_queued(c->wire);
}

void libvirt_console_read_stop(struct libvirt_console *c)
{
	libvirt_wire_read_stop(c->wire);
}

void libvirt_console_read_start(struct libvirt_console *c)
{
	libvirt_wire_read_start(c->wire);
}

void libvirt_console_close(struct libvirt_console *c)
{
	if (!c)
		return;
	libvirt_wire_close(c->wire);
	free(c);
}

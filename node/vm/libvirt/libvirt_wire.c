#include "node/vm/libvirt/libvirt_wire.h"

#include "node/vm/libvirt/libvirt_uri.h"

#include <stdio.h>

#include "lib/http/stream.h"

/*            connected         types has "none"      opened
 *  CONNECTING --------> AUTH ------------------> OPEN ------> READY
 *      |                  |                        |            |
 *      +------------------+-----> BROKEN <---------+------------+
 */
enum wire_state { CONNECTING, AUTH, OPEN, READY, BROKEN };

struct libvirt_wire {
	struct libvirt_wire_handler handler;
	void *user;
	enum wire_state state;
	struct stream_connect *connect; /* while CONNECTING */
	struct stream *stream;
	struct buf in; /* the start of a packet whose rest has not come */
	uint32_t serial;
	bool closed;  /* by the owner; memory goes with the stream's `closed` */
	bool stopped; /* the owner wants no more input now */
};

static void wire_free(struct libvirt_wire *w)
{
	buf_finish(&w->in);
	free(w);
}

static void broken(struct libvirt_wire *w, const struct err *err)
{
	if (w->state == BROKEN || w->closed)
		return;
	w->state = BROKEN;
	if (w->stream)
		stream_read_stop(w->stream);
	w->handler.broken(w->user, err);
}

uint32_t libvirt_wire_send(struct libvirt_wire *w, int32_t proc, enum libvirt_packet_type type,
	uint32_t serial, enum libvirt_packet_status status, const void *args, size_t size)
{
	_cleanup_(buf_finish) struct buf out = BUF_INIT;

	if (!serial)
		serial = ++w->serial;
	if (!w->stream || w->state == BROKEN)
		return serial;
	libvirt_packet_begin(&out,
		&(struct libvirt_header){
			.program = proc & LIBVIRT_OF_QEMU ? LIBVIRT_QEMU_PROGRAM : LIBVIRT_PROGRAM,
			.version = 1,
			.procedure = proc & ~LIBVIRT_OF_QEMU,
			.type = type,
			.serial = serial,
			.status = status,
		});
	if (size)
		buf_add(&out, args, size);
	libvirt_packet_end(&out, 0);
	stream_write(w->stream, out.data, out.size);
	return serial;
}

static void send_open(struct libvirt_wire *w)
{
	_cleanup_(buf_finish) struct buf args = BUF_INIT;

	xdr_put_optional_string(&args, "qemu:///system");
	xdr_put_u32(&args, 0);
	w->state = OPEN;
	libvirt_wire_send(
		w, LIBVIRT_CONNECT_OPEN, LIBVIRT_CALL, 0, LIBVIRT_OK, args.data, args.size);
}

/* Root on the local socket needs no authentication; anything else is for people to mend. */
static void opening_reply(
	struct libvirt_wire *w, const struct libvirt_header *h, struct xdr_reader payload)
{
	struct err err = ERR_INIT;

	if (h->type != LIBVIRT_REPLY)
		return;
	if (h->status != LIBVIRT_OK) {
		struct libvirt_error e;

		xdr_get_error(&payload, &e);
		err_set(&err, -EACCES, "open qemu:///system: %s", e.message);
		broken(w, &err);
		return;
	}
	if (w->state == OPEN) {
		w->state = READY;
		w->handler.open(w->user);
		return;
	}
	for (uint32_t left = xdr_get_u32(&payload); left && !payload.bad; left--) {
		if (xdr_get_u32(&payload) == 0 && !payload.bad) {
			send_open(w);
			return;
		}
	}
	err_set(&err, -EACCES,
		"libvirt asks for authentication on its socket; run the agent as root or set "
		"auth_unix_rw = \"none\" in libvirtd.conf");
	broken(w, &err);
}

static void answer_keepalive(struct libvirt_wire *w, const struct libvirt_header *ping)
{
	_cleanup_(buf_finish) struct buf out = BUF_INIT;

	if (ping->procedure != 1)
		return;
	libvirt_packet_begin(&out, &(struct libvirt_header){
					   .program = LIBVIRT_KEEPALIVE_PROGRAM,
					   .version = 1,
					   .procedure = 2,
					   .type = LIBVIRT_MESSAGE,
				   });
	libvirt_packet_end(&out, 0);
	stream_write(w->stream, out.data, out.size);
}

static void packet(
	struct libvirt_wire *w, const struct libvirt_header *h, struct xdr_reader payload)
{
	if (h->program == LIBVIRT_KEEPALIVE_PROGRAM)
		answer_keepalive(w, h);
	else if ((h->program != LIBVIRT_PROGRAM &&
			 (h->program != LIBVIRT_QEMU_PROGRAM || h->type != LIBVIRT_REPLY)) ||
		 h->version != 1)
		return; /* libvirt's other programs: never asked for */
	else if (w->state == READY)
		w->handler.packet(w->user, h, payload);
	else
		opening_reply(w, h, payload);
}

static void on_read(void *user, const char *data, size_t size)
{
	struct libvirt_wire *w = user;
	size_t at = 0;

	buf_add(&w->in, data, size);
	while (!w->closed && w->state != BROKEN) {
		struct libvirt_header h;
		struct xdr_reader payload;
		struct err err = ERR_INIT;
		ssize_t n =
			libvirt_packet_parse(w->in.data + at, w->in.size - at, &h, &payload, &err);

		if (n < 0)
			broken(w, &err);
		if (n <= 0)
			break;
		at += (size_t)n;
		packet(w, &h, payload);
	}
	buf_drop_front(&w->in, at);
	if (!w->in.size)
		buf_finish(&w->in); /* domain XML can be large; idle connections hold nothing */
}

static void on_eof(void *user)
{
	struct err err = ERR_INIT;

	err_set(&err, -ECONNRESET, "libvirt closed the connection");
	broken(user, &err);
}

static void on_error(void *user, int code, const char *text)
{
	struct err err = ERR_INIT;

	err_set(&err, code < 0 ? code : -EIO, "connection to libvirt: %s", text);
	broken(user, &err);
}

static void on_drained(void *user)
{
	struct libvirt_wire *w = user;

	if (w->handler.drained && w->state == READY && !w->closed)
		w->handler.drained(w->user);
}

static void on_closed(void *user)
{
	wire_free(user);
}

static const struct stream_handler wire_stream_handler = {
	.read = on_read,
	.eof = on_eof,
	.error = on_error,
	.drained = on_drained,
	.closed = on_closed,
};

static void connected(void *user, struct stream *s, const struct err *err)
{
	struct libvirt_wire *w = user;

	w->connect = NULL;
	if (!s) {
		broken(w, err);
		return;
	}
	w->stream = s;
	w->state = AUTH;
	stream_set_handler(s, &wire_stream_handler, w);
	if (!w->stopped)
		stream_read_start(s);
	libvirt_wire_send(w, LIBVIRT_AUTH_LIST, LIBVIRT_CALL, 0, LIBVIRT_OK, NULL, 0);
}

struct libvirt_wire *libvirt_wire_create(
	uv_loop_t *loop, const char *address, const struct libvirt_wire_handler *h, void *user)
{
	struct libvirt_wire *w = xcalloc(1, sizeof(*w));

	w->handler = *h;
	w->user = user;
	/* What is no address fails as a connection does, later and with its text. */
	char socket[LIBVIRT_SOCKET_ROOM];
	if (libvirt_socket_address(address, socket, NULL) == 0)
		address = socket;
	w->connect = stream_connect(loop, address, NULL, NULL, 0, connected, w);
	return w;
}

void libvirt_wire_close(struct libvirt_wire *w)
{
	if (!w || w->closed)
		return;
	w->closed = true;
	if (w->connect)
		stream_connect_cancel(w->connect);
	if (w->stream)
		stream_close(w->stream); /* on_closed frees */
	else
		wire_free(w);
}

size_t libvirt_wire_queued(const struct libvirt_wire *w)
{
	return w->stream ? stream_queued(w->stream) : 0;
}

void libvirt_wire_read_stop(struct libvirt_wire *w)
{
	w->stopped = true;
	if (w->stream)
		stream_read_stop(w->stream);
}

void libvirt_wire_read_start(struct libvirt_wire *w)
{
	w->stopped = false;
	if (w->stream && w->state != BROKEN)
		stream_read_start(w->stream);
}

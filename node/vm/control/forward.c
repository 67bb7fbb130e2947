/* forward.c - port-forward: a client's WebSocket to a port of the guest's address. */
#include "node/vm/control/control.h"

#include <arpa/inet.h>
#include <stdio.h>

#include "lib/http/websocket_tunnel.h"

static const char *const protocols[] = {"plain.kubevirt.io", NULL};

static const char *const *wanted(const struct http_request *req)
{
	return http_header_get(req, "Sec-WebSocket-Protocol") ? protocols : NULL;
}

/* ---- TCP ---- */

struct dial {
	struct list link; /* in w->dials */
	struct http_request *req;
	struct stream_connect *connect;
	char target[40];
};

static void connected(void *user, struct stream *s, const struct err *err)
{
	struct dial *d = user;
	struct http_request *req = d->req;
	char target[sizeof(d->target)];
	struct err failure = ERR_INIT;

	memcpy(target, d->target, sizeof(target));
	list_remove(&d->link);
	free(d);
	if (!s) {
		vm_answer_status(req, 500, "InternalError", "dialing VM: %s: %s", target, err->msg);
	} else if (websocket_tunnel(req, wanted(req), s, &failure) < 0) {
		stream_close(s);
		vm_answer_status(req, 400, "BadRequest", "%s", failure.msg);
	}
}

static void dial(struct vm_worker *w, struct http_request *req, unsigned port)
{
	struct dial *d = xcalloc(1, sizeof(*d));

	d->req = req;
	snprintf(d->target, sizeof(d->target), "tcp://%s:%u", w->address, port);
	list_append(&w->dials, &d->link);
	d->connect = stream_connect(w->m->node->loop, d->target, NULL, NULL, 10000, connected, d);
}

void vm_dials_end(struct vm_worker *w)
{
	LIST_FOR_EACH(d, &w->dials, struct dial, link) {
		list_remove(&d->link);
		stream_connect_cancel(d->connect);
		vm_answer_status(d->req, 503, "ServiceUnavailable", "the node agent stops");
		free(d);
	}
}

/* ---- UDP: a message is a datagram, both ways ---- */

#define DATAGRAM_MAX_BYTES 65507u

struct datagrams {
	uv_udp_t udp;
	struct websocket *client; /* NULL = gone */
	char room[DATAGRAM_MAX_BYTES];
};

static void datagrams_freed(uv_handle_t *h)
{
	free(h->data);
}

static void on_message(void *user, bool text, const char *data, size_t size)
{
	struct datagrams *d = user;
	uv_buf_t b = uv_buf_init((char *)(uintptr_t)data, (unsigned)size);

	/* What does not fit is lost, as datagrams are. */
	if (size <= DATAGRAM_MAX_BYTES)
		(void)uv_udp_try_send(&d->udp, &b, 1, NULL);
}

static void on_client_closed(void *user, unsigned code)
{
	struct datagrams *d = user;

	d->client = NULL;
	uv_close((uv_handle_t *)&d->udp, datagrams_freed);
}

static void on_room(uv_handle_t *h, size_t suggested, uv_buf_t *ret)
{
	struct datagrams *d = h->data;

	*ret = uv_buf_init(d->room, sizeof(d->room));
}

static void on_datagram(
	uv_udp_t *u, ssize_t n, const uv_buf_t *b, const struct sockaddr *from, unsigned flags)
{
	struct datagrams *d = u->data;

	/* An answer that nobody listens is no end: the next may be heard. */
	if (n > 0 && from && d->client && websocket_queued(d->client) < STREAM_HIGH_BYTES)
		websocket_send(d->client, false, b->base, (size_t)n);
}

static void forward_datagrams(struct vm_worker *w, struct http_request *req, unsigned port)
{
	static const struct websocket_handler handler = {
		.message = on_message, .closed = on_client_closed};
	struct datagrams *d = xcalloc(1, sizeof(*d));
	struct sockaddr_in to;
	struct err err = ERR_INIT;
	const char *protocol;
	int r;

	uv_udp_init(w->m->node->loop, &d->udp);
	d->udp.data = d;
	r = uv_ip4_addr(w->address, (int)port, &to);
	if (r == 0)
		r = uv_udp_connect(&d->udp, (const struct sockaddr *)&to);
	if (r < 0)
		err_set(&err, r, "dialing VM: udp %s:%u: %s", w->address, port, uv_strerror(r));
	else
		r = websocket_accept(req, wanted(req), &handler, d, &d->client, &protocol, &err);
	if (r < 0) {
		vm_answer_status(req, 400, "BadRequest", "%s", err.msg);
		uv_close((uv_handle_t *)&d->udp, datagrams_freed);
		return;
	}
	uv_udp_recv_start(&d->udp, on_room, on_datagram);
}

void vm_port_forward_serve(struct vm_worker *w, struct http_request *req, const char *more)
{
	struct str rest = str_from(more), port = {0}, protocol = STR("tcp");
	uint64_t number = 0;

	str_split(&rest, '/', &port);
	if (rest.p)
		protocol = rest;
	if (parse_u64(port, &number) < 0 || number < 1 || number > 65535)
		vm_answer_status(req, 400, "BadRequest",
			"port-forward: '%s' is no port: want 1 to 65535", more ? more : "");
	else if (!str_eq(protocol, "tcp") && !str_eq(protocol, "udp"))
		vm_answer_status(req, 400, "BadRequest",
			"port-forward: '" STR_FMT "' is no protocol: want tcp or udp",
			STR_ARG(protocol));
	else if (!vm_core_alive(&w->core))
		vm_answer_conflict(w, req, "VMI is not running");
	else if (!*w->address)
		vm_answer_status(req, 400, "BadRequest",
			"port-forward: the guest has no address on the pod network");
	else if (str_eq(protocol, "udp"))
		forward_datagrams(w, req, (unsigned)number);
	else
		dial(w, req, (unsigned)number);
}

void vm_unavailable_serve(struct vm_worker *w, struct http_request *req, const char *more)
{
	vm_answer_status(req, 400, "BadRequest",
		strstr(req->path, "/vsock")
			? "VSOCK is not available: this node gives its guests no vsock device"
			: "Not configured with USB Redirection");
}

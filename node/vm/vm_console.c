#include "node/vm/vm_internal.h"

#include "lib/base/log.h"
#include "lib/http/websocket.h"

/* A client's WebSocket and libvirt's console stream, joined with back-pressure both ways. The
 * newest client has the console: whoever lost a connection without noticing can always come back.
 */
struct vm_console {
	struct vm_worker *w; /* NULL once another console took its place */
	struct websocket *socket;
	struct libvirt_stream *console; /* NULL when it ended */
};

static void respond(struct http_request *req, int status, const char *text)
{
	http_respond(req, status, "text/plain; charset=utf-8", NULL, text, strlen(text));
}

static void on_opened(void *user)
{
	struct vm_console *c = user;

	websocket_read_start(c->socket);
}

static void on_data(void *user, const char *p, size_t size)
{
	struct vm_console *c = user;

	websocket_send(c->socket, false, p, size);
	if (websocket_queued(c->socket) > STREAM_HIGH_BYTES)
		libvirt_stream_read_stop(c->console);
}

static void on_console_drained(void *user)
{
	struct vm_console *c = user;

	websocket_read_start(c->socket);
}

static void on_console_closed(void *user, const struct err *err)
{
	struct vm_console *c = user;

	c->console = NULL;
	if (err)
		log_info("console ended", "vmi", c->w ? c->w->core.sm.label : "", "error", err->msg,
			NULL);
	websocket_close(c->socket, err ? 1011 : 1000);
}

static void on_message(void *user, bool text, const char *data, size_t size)
{
	struct vm_console *c = user;

	if (!c->console)
		return;
	libvirt_stream_write(c->console, data, size);
	if (libvirt_stream_queued(c->console) > STREAM_HIGH_BYTES)
		websocket_read_stop(c->socket);
}

static void on_socket_drained(void *user)
{
	struct vm_console *c = user;

	if (c->console)
		libvirt_stream_read_start(c->console);
}

static void on_socket_closed(void *user, unsigned code)
{
	struct vm_console *c = user;

	libvirt_stream_close(c->console);
	if (c->w)
		c->w->console = NULL;
	free(c);
}

void vm_console_end(struct vm_worker *w, const char *why)
{
	struct vm_console *c = w->console;

	if (!c)
		return;
	log_debug("console is closed", "vmi", w->core.sm.label, "because", why, NULL);
	w->console = NULL;
	c->w = NULL;
	libvirt_stream_close(TAKE_PTR(c->console));
	websocket_close(c->socket, 1000);
}

void vm_console_serve(struct vm_worker *w, struct http_request *req)
{
	static const char *const protocols[] = {"plain.kubevirt.io", NULL};
	static const struct websocket_handler socket_handler = {
		.message = on_message, .drained = on_socket_drained, .closed = on_socket_closed};
	static const struct libvirt_stream_handler console_handler = {
		.opened = on_opened,
		.data = on_data,
		.drained = on_console_drained,
		.closed = on_console_closed,
	};
	bool offers = http_header_get(req, "Sec-WebSocket-Protocol") != NULL;
	struct err err = ERR_INIT;
	struct websocket *socket;
	const char *protocol;
	struct vm_console *c;
	int r;

	if (!vm_core_alive(&w->core) || !w->m->libvirt || !libvirt_is_up(w->m->libvirt)) {
		respond(req, 400, "the virtual machine is not running");
		return;
	}
	if (w->has_spec && !w->spec.devices.serial_console) {
		respond(req, 400,
			"the virtual machine has no serial console (autoattachSerialConsole)");
		return;
	}
	c = xcalloc(1, sizeof(*c));
	r = websocket_accept(
		req, offers ? protocols : NULL, &socket_handler, c, &socket, &protocol, &err);
	if (r < 0) {
		free(c);
		respond(req, 400, err.msg);
		return;
	}
	vm_console_end(w, "another client opened it");
	c->w = w;
	w->console = c;
	c->socket = socket;
	websocket_read_stop(socket); /* until the console is there */
	c->console = libvirt_console_open(
		w->m->node->loop, w->m->node->libvirt_address, &w->domain, &console_handler, c);
}

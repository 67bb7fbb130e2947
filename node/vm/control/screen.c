/* screen.c - the guest's screen: VNC streams and single pictures. QEMU listens on a socket in
 * libvirt's own directory, where only root and QEMU's user get; the agent connects to it for each
 * client. */
#include "node/vm/control/control.h"

#include <stdio.h>

#include "lib/http/websocket_tunnel.h"
#include "node/vm/control/png.h"
#include "node/vm/libvirt/live_xml.h"

#define NO_GRAPHICS "no graphics devices are present"

/* True when there is a screen to show; else the request is answered. */
static bool has_screen(struct vm_worker *w, struct http_request *req)
{
	if (!vm_core_alive(&w->core)) {
		vm_answer_conflict(w, req, "VMI is not running");
		return false;
	}
	if (w->has_spec && !w->spec.devices.graphics) {
		vm_answer_status(req, 400, "BadRequest", NO_GRAPHICS);
		return false;
	}
	return true;
}

/* ---- VNC:  XML asked for -> socket connected -> joined with the client's ---- */

struct vnc {
	struct list link; /* in w->screens */
	struct http_request *req;
	struct libvirt_call *call;
	struct stream_connect *connect;
	struct libvirt_stream *picture; /* of a screenshot; the others NULL */
	struct png *png;
	uv_loop_t *loop;
};

static void forget(struct vnc *v)
{
	list_remove(&v->link);
	if (v->call)
		libvirt_call_cancel(v->call);
	if (v->connect)
		stream_connect_cancel(v->connect);
	libvirt_stream_close(v->picture);
	png_destroy(v->png);
	free(v);
}

static struct vnc *remember(struct vm_worker *w, struct http_request *req)
{
	struct vnc *v = xcalloc(1, sizeof(*v));

	v->req = req;
	v->loop = w->m->node->loop;
	list_append(&w->screens, &v->link);
	return v;
}

void vm_screens_end(struct vm_worker *w)
{
	LIST_FOR_EACH(v, &w->screens, struct vnc, link) {
		struct http_request *req = v->req;

		forget(v);
		vm_answer_status(req, 503, "ServiceUnavailable", "the node agent stops");
	}
}

static void connected(void *user, struct stream *s, const struct err *err)
{
	static const char *const protocols[] = {"plain.kubevirt.io", NULL};
	struct vnc *v = user;
	struct http_request *req = v->req;
	struct err failure = ERR_INIT;

	v->connect = NULL;
	forget(v);
	if (!s) {
		vm_answer_status(
			req, 500, "InternalError", "connect to the guest's screen: %s", err->msg);
		return;
	}
	bool offers = http_header_get(req, "Sec-WebSocket-Protocol") != NULL;
	if (websocket_tunnel(req, offers ? protocols : NULL, s, &failure) < 0) {
		stream_close(s);
		vm_answer_status(req, 400, "BadRequest", "%s", failure.msg);
	}
}

static void xml_here(void *user, const struct libvirt_reply *r)
{
	struct vnc *v = user;
	struct xdr_reader body = r->body;
	char path[256], address[280];
	struct str xml;

	v->call = NULL;
	if (!r->ok) {
		struct http_request *req = v->req;

		forget(v);
		vm_answer_libvirt(req, "look for the guest's screen", r);
		return;
	}
	xml.p = xdr_get_string(&body, &xml.size);
	if (!live_xml_attribute(xml, "graphics", "type", "vnc", "socket", path, sizeof(path)) &&
		!live_xml_attribute(
			xml, "listen", "type", "socket", "socket", path, sizeof(path))) {
		struct http_request *req = v->req;

		forget(v);
		vm_answer_status(req, 400, "BadRequest", NO_GRAPHICS);
		return;
	}
	snprintf(address, sizeof(address), "unix://%s", path);
	v->connect = stream_connect(v->loop, address, NULL, NULL, 0, connected, v);
}

void vm_vnc_serve(struct vm_worker *w, struct http_request *req, const char *more)
{
	if (!has_screen(w, req))
		return;
	struct vnc *v = remember(w, req);
	v->call = libvirt_call_domain(
		w->m->libvirt, LIBVIRT_DOMAIN_GET_XML_DESC, &w->domain, 0, xml_here, v);
}

/* ---- a picture ---- */

static void on_opened(void *user)
{
}

static void on_data(void *user, const char *p, size_t size)
{
	struct vnc *v = user;
	struct http_request *req = v->req;
	struct err err = ERR_INIT;

	if (png_feed(v->png, p, size, &err) == 0)
		return;
	forget(v);
	vm_answer_status(req, 500, "InternalError", "%s", err.msg);
}

static void on_closed(void *user, const struct err *failure)
{
	struct vnc *v = user;
	struct http_request *req = v->req;
	_cleanup_(buf_finish) struct buf out = BUF_INIT;
	struct err err = ERR_INIT;

	v->picture = NULL; /* gone by itself */
	if (failure)
		err_set(&err, -EIO, "take a picture of the screen: %s", failure->msg);
	else if (png_finish(v->png, &out, &err) == 0)
		err.code = 0;
	forget(v);
	if (err.code)
		vm_answer_status(req, 500, "InternalError", "%s", err.msg);
	else
		http_respond(req, 200, "image/png", NULL, out.data, out.size);
}

void vm_screenshot_serve(struct vm_worker *w, struct http_request *req)
{
	static const struct libvirt_stream_handler handler = {
		.opened = on_opened,
		.data = on_data,
		.closed = on_closed,
	};

	if (!has_screen(w, req))
		return;
	struct vnc *v = remember(w, req);
	v->png = png_create();
	v->picture = libvirt_screenshot_open(
		v->loop, w->m->node->libvirt_address, &w->domain, &handler, v);
}

/* Packets as another process at libvirt's socket could send them, read in every way there is. */
#include "lib/base/str.h"
#include "node/vm/libvirt/libvirt_event.h"
#include "node/vm/libvirt/live_xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_all(struct xdr_reader body)
{
	struct xdr_reader r = body;
	struct libvirt_domain d;
	struct libvirt_error e;
	size_t size;

	xdr_get_error(&r, &e);
	if (!e.message[0] || !utf8_valid(e.message, strlen(e.message)))
		abort();
	r = body;
	while (!r.bad && r.left) {
		xdr_get_domain(&r, &d);
		if (!utf8_valid(d.name, strlen(d.name)))
			abort();
	}
	r = body;
	while (!r.bad && r.left) {
		const char *s = xdr_get_string(&r, &size);

		if (size &&
			(s < (const char *)body.p || s + size > (const char *)body.p + body.left))
			abort();
		xdr_get_optional(&r);
		xdr_get_u64(&r);
	}
}

static void read_event(const struct libvirt_header *h, struct xdr_reader body)
{
	struct libvirt_event e;
	char value[64];

	if (libvirt_event_read(h->procedure, body, &e) &&
		!(utf8_valid(e.device, strlen(e.device)) && utf8_valid(e.path, strlen(e.path)) &&
			utf8_valid(e.reason, strlen(e.reason))))
		abort();
	live_xml_attribute((struct str){(const char *)body.p, body.left}, "a", "b", "c", "d", value,
		sizeof(value));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t at = 0;

	for (;;) {
		struct libvirt_header h;
		struct xdr_reader body;
		struct err err = ERR_INIT;
		ssize_t n = libvirt_packet_parse(data + at, size - at, &h, &body, &err);

		if (n <= 0)
			return 0;
		if (body.left > (size_t)n)
			abort();
		read_all(body);
		read_event(&h, body);
		at += (size_t)n;
	}
}

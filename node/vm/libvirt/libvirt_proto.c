#include "node/vm/libvirt/libvirt_proto.h"

#include <ctype.h>
#include <stdio.h>

#include "lib/base/str.h"

static void put_be32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

static uint32_t get_be32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

void xdr_put_u32(struct buf *out, uint32_t v)
{
	uint8_t b[4];

	put_be32(b, v);
	buf_add(out, b, sizeof(b));
}

void xdr_put_u64(struct buf *out, uint64_t v)
{
	xdr_put_u32(out, (uint32_t)(v >> 32));
	xdr_put_u32(out, (uint32_t)v);
}

void xdr_put_string(struct buf *out, const char *s)
{
	size_t size = strlen(s);

	xdr_put_u32(out, (uint32_t)size);
	buf_add(out, s, size);
	buf_add(out, "\0\0\0", (4 - size % 4) % 4);
}

void xdr_put_optional_string(struct buf *out, const char *s)
{
	xdr_put_u32(out, s ? 1 : 0);
	if (s)
		xdr_put_string(out, s);
}

void xdr_put_domain(struct buf *out, const struct libvirt_domain *d)
{
	xdr_put_string(out, d->name);
	buf_add(out, d->uuid, sizeof(d->uuid));
	xdr_put_u32(out, (uint32_t)d->id);
}

void libvirt_packet_begin(struct buf *out, const struct libvirt_header *h)
{
	xdr_put_u32(out, 0);
	xdr_put_u32(out, h->program);
	xdr_put_u32(out, h->version);
	xdr_put_u32(out, (uint32_t)h->procedure);
	xdr_put_u32(out, h->type);
	xdr_put_u32(out, h->serial);
	xdr_put_u32(out, h->status);
}

void libvirt_packet_end(struct buf *out, size_t start)
{
	put_be32((uint8_t *)out->data + start, (uint32_t)(out->size - start));
}

struct xdr_reader xdr_reader_of(const void *p, size_t size)
{
	return (struct xdr_reader){.p = p, .left = size};
}

/* Returns `size` bytes with their padding skipped, or NULL. */
static const uint8_t *take(struct xdr_reader *r, size_t size)
{
	size_t padded = size + (4 - size % 4) % 4;
	const uint8_t *p = r->p;

	if (r->bad || size > r->left || padded > r->left) {
		r->bad = true;
		return NULL;
	}
	r->p += padded;
	r->left -= padded;
	return p;
}

uint32_t xdr_get_u32(struct xdr_reader *r)
{
	const uint8_t *p = take(r, 4);

	return p ? get_be32(p) : 0;
}

uint64_t xdr_get_u64(struct xdr_reader *r)
{
	uint64_t high = xdr_get_u32(r);
	uint64_t low = xdr_get_u32(r);

	return high << 32 | low;
}

const char *xdr_get_string(struct xdr_reader *r, size_t *ret_size)
{
	size_t size = xdr_get_u32(r);
	const uint8_t *p = take(r, size);

	*ret_size = p ? size : 0;
	return p ? (const char *)p : "";
}

bool xdr_get_optional(struct xdr_reader *r)
{
	uint32_t v = xdr_get_u32(r);

	if (v > 1)
		r->bad = true;
	return !r->bad && v == 1;
}

/* Copies what fits, as valid UTF-8 (it goes into API objects), and NUL-terminates; text inside may
 * not contain NUL itself. */
void xdr_get_text(struct xdr_reader *r, char *ret, size_t room)
{
	size_t size;
	const char *s = xdr_get_string(r, &size);

	if (size >= room)
		size = room - 1;
	size = strnlen(s, size);
	memcpy(ret, s, size);
	ret[size] = '\0';
	utf8_repair(ret, size);
}

void xdr_get_domain(struct xdr_reader *r, struct libvirt_domain *ret)
{
	const uint8_t *uuid;

	*ret = (struct libvirt_domain){.id = -1};
	xdr_get_text(r, ret->name, sizeof(ret->name));
	uuid = take(r, sizeof(ret->uuid));
	if (uuid)
		memcpy(ret->uuid, uuid, sizeof(ret->uuid));
	ret->id = (int32_t)xdr_get_u32(r);
}

void xdr_get_error(struct xdr_reader *r, struct libvirt_error *ret)
{
	*ret = (struct libvirt_error){0};
	ret->code = (int32_t)xdr_get_u32(r);
	xdr_get_u32(r); /* which of libvirt's parts */
	if (xdr_get_optional(r))
		xdr_get_text(r, ret->message, sizeof(ret->message));
	/* Level, object and the pieces of the message follow; nobody needs them. */
	if (r->bad || !ret->message[0])
		snprintf(ret->message, sizeof(ret->message), "libvirt error %d", (int)ret->code);
}

ssize_t libvirt_packet_parse(const void *p, size_t size, struct libvirt_header *ret,
	struct xdr_reader *ret_payload, struct err *err)
{
	struct xdr_reader r = xdr_reader_of(p, size);
	uint32_t length;

	if (size < 4)
		return 0;
	length = xdr_get_u32(&r);
	if (length < LIBVIRT_PACKET_MIN_BYTES || length > LIBVIRT_PACKET_MAX_BYTES)
		return err_set(err, -EBADMSG, "packet of %u bytes from libvirt", length);
	if (size < length)
		return 0;
	*ret = (struct libvirt_header){
		.program = xdr_get_u32(&r),
		.version = 0,
	};
	ret->version = xdr_get_u32(&r);
	ret->procedure = (int32_t)xdr_get_u32(&r);
	ret->type = xdr_get_u32(&r);
	ret->serial = xdr_get_u32(&r);
	ret->status = xdr_get_u32(&r);
	*ret_payload = xdr_reader_of(
		(const uint8_t *)p + LIBVIRT_PACKET_MIN_BYTES, length - LIBVIRT_PACKET_MIN_BYTES);
	return (ssize_t)length;
}

int libvirt_uuid_parse(const char *text, uint8_t ret[LIBVIRT_UUID_BYTES])
{
	uint8_t out[LIBVIRT_UUID_BYTES] = {0};
	size_t digits = 0;

	if (strlen(text) != 36)
		return -EINVAL;
	for (size_t i = 0; i < 36; i++) {
		unsigned char c = (unsigned char)text[i];
		unsigned v;

		if (i == 8 || i == 13 || i == 18 || i == 23) {
			if (c != '-')
				return -EINVAL;
			continue;
		}
		if (!isxdigit(c))
			return -EINVAL;
		v = (unsigned)(isdigit(c) ? c - '0' : tolower(c) - 'a' + 10);
		out[digits / 2] = (uint8_t)(out[digits / 2] << 4 | v);
		digits++;
	}
	memcpy(ret, out, sizeof(out));
	return 0;
}

void libvirt_uuid_format(const uint8_t uuid[LIBVIRT_UUID_BYTES], char ret[37])
{
	static const char hex[] = "0123456789abcdef";
	char *p = ret;

	for (size_t i = 0; i < LIBVIRT_UUID_BYTES; i++) {
		if (i == 4 || i == 6 || i == 8 || i == 10)
			*p++ = '-';
		*p++ = hex[uuid[i] >> 4];
		*p++ = hex[uuid[i] & 15];
	}
	*p = '\0';
}

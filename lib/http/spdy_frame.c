#include "lib/http/spdy_frame.h"

#include <ctype.h>

#define VERSION 3
#define FLAG_FIN 1
#define FLAG_UNIDIRECTIONAL 2
#define SETTINGS_INITIAL_WINDOW 7

/* A word of the dictionary, with its length as it stands there: four bytes, big endian. */
#define W(n, s) "\0\0\0" n s

/* The dictionary of SPDY/3: 1423 bytes, Adler-32 e3c6a7c2 (the test checks both). */
static const char dictionary[] = W("\x07", "options") W("\x04", "head") W("\x04", "post") W(
	"\x03", "put") W("\x06", "delete") W("\x05", "trace") W("\x06", "accept") W("\x0e",
	"accept-charset") W("\x0f", "accept-encoding") W("\x0f", "accept-language") W("\x0d",
	"accept-ranges") W("\x03", "age") W("\x05", "allow") W("\x0d", "authorization") W("\x0d",
	"cache-control") W("\x0a", "connection") W("\x0c", "content-base") W("\x10",
	"content-encoding") W("\x10", "content-language") W("\x0e", "content-length") W("\x10",
	"content-location") W("\x0b", "content-md5") W("\x0d", "content-range") W("\x0c",
	"content-type") W("\x04", "date") W("\x04", "etag") W("\x06", "expect") W("\x07",
	"expires") W("\x04", "from") W("\x04", "host") W("\x08", "if-match") W("\x11",
	"if-modified-since") W("\x0d", "if-none-match") W("\x08", "if-range") W("\x13",
	"if-unmodified-since") W("\x0d", "last-modified") W("\x08", "location") W("\x0c",
	"max-forwards") W("\x06", "pragma") W("\x12", "proxy-authenticate") W("\x13",
	"proxy-authorization") W("\x05", "range") W("\x07", "referer") W("\x0b",
	"retry-after") W("\x06", "server") W("\x02", "te") W("\x07", "trailer") W("\x11",
	"transfer-encoding") W("\x07", "upgrade") W("\x0a", "user-agent") W("\x04",
	"vary") W("\x03", "via") W("\x07", "warning") W("\x10",
	"www-authenticate") W("\x06", "method") W("\x03", "get") W("\x06", "status") W("\x06",
	"200 OK") W("\x07", "version") W("\x08", "HTTP/1.1") W("\x03", "url") W("\x06",
	"public") W("\x0a", "set-cookie") W("\x0a", "keep-alive") W("\x06",
	"origin") "10010120120220520630030230330430530630740240540640740840941041141241341441541641"
		  "7502504505"
		  "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad "
		  "Request"
		  "401 Unauthorized403 Forbidden404 Not Found500 Internal Server Error501 Not "
		  "Implemented"
		  "503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec "
		  "00:00:00 "
		  "Mon, Tue, Wed, Thu, Fri, Sat, Sun, "
		  "GMTchunked,text/html,image/png,image/jpg,image/gif,"
		  "application/xml,application/xhtml+xml,text/plain,text/javascript,public"
		  "privatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0.";

static uint32_t get_u32(const void *p)
{
	const unsigned char *b = p;
	return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

static void put_u32(struct buf *to, uint32_t n)
{
	unsigned char b[4] = {(unsigned char)(n >> 24), (unsigned char)(n >> 16),
		(unsigned char)(n >> 8), (unsigned char)n};
	buf_add(to, b, sizeof(b));
}

/* Decoding */

void spdy_decoder_init(struct spdy_decoder *d)
{
	*d = (struct spdy_decoder){0};
	arena_init(&d->arena);
	if (inflateInit(&d->inflate) != Z_OK)
		abort(); /* out of memory */
}

void spdy_decoder_finish(struct spdy_decoder *d)
{
	inflateEnd(&d->inflate);
	arena_finish(&d->arena);
	buf_finish(&d->block);
	buf_finish(&d->text);
}

static bool bad(struct spdy_decoder *d, const char *reason)
{
	d->reason = reason;
	return false;
}

/* The whole block into d->text. */
static bool decompress(struct spdy_decoder *d, struct str block)
{
	z_stream *z = &d->inflate;
	unsigned char room[4096];
	buf_clear(&d->text);
	z->next_in = (unsigned char *)block.p;
	z->avail_in = (uInt)block.size;
	for (;;) {
		z->next_out = room;
		z->avail_out = sizeof(room);
		int r = inflate(z, Z_SYNC_FLUSH);
		if (r == Z_NEED_DICT) {
			r = inflateSetDictionary(
				z, (const unsigned char *)dictionary, sizeof(dictionary) - 1);
			if (r != Z_OK)
				return bad(d, "not the dictionary of SPDY/3");
			continue;
		}
		if (r != Z_OK && r != Z_BUF_ERROR)
			return bad(d, "header block cannot be decompressed");
		size_t n = sizeof(room) - z->avail_out;
		if (d->text.size + n > SPDY_HEADER_MAX_BYTES)
			return bad(d, "header block too large");
		buf_add(&d->text, room, n);
		if (z->avail_in == 0 && z->avail_out > 0)
			return true;
		if (r == Z_BUF_ERROR && n == 0)
			return bad(d, "header block cannot be decompressed");
	}
}

static bool take_u32(struct str *s, uint32_t *ret)
{
	if (s->size < 4)
		return false;
	*ret = get_u32(s->p);
	s->p += 4;
	s->size -= 4;
	return true;
}

static bool take_string(struct str *s, struct str *ret)
{
	uint32_t size;
	if (!take_u32(s, &size) || size > s->size)
		return false;
	*ret = (struct str){s->p, size};
	s->p += size;
	s->size -= size;
	return true;
}

static bool valid_name(struct str name)
{
	for (size_t i = 0; i < name.size; i++)
		if (name.p[i] <= ' ' || name.p[i] == 0x7f || isupper((unsigned char)name.p[i]))
			return false;
	return name.size > 0;
}

static bool decode_headers(struct spdy_decoder *d, struct str block, struct spdy_frame *f)
{
	uint32_t count;
	if (!decompress(d, block))
		return false;
	struct str s = {d->text.data, d->text.size};
	if (!take_u32(&s, &count))
		return bad(d, "malformed header block");
	if (count > SPDY_HEADER_MAX_COUNT)
		return bad(d, "too many headers");
	f->headers = arena_alloc(&d->arena, SPDY_HEADER_MAX_COUNT * sizeof(*f->headers));
	for (uint32_t i = 0; i < count; i++) {
		struct str name, value, part;
		if (!take_string(&s, &name) || !take_string(&s, &value) || !valid_name(name))
			return bad(d, "malformed header block");
		const char *name_text = arena_memdup(&d->arena, name.p, name.size);
		do { /* several values are separated by NUL */
			const char *end = value.size ? memchr(value.p, 0, value.size) : NULL;
			part = value;
			if (end)
				part.size = (size_t)(end - value.p);
			if (f->header_count == SPDY_HEADER_MAX_COUNT)
				return bad(d, "too many headers");
			f->headers[f->header_count++] = (struct spdy_header){
				name_text, arena_memdup(&d->arena, part.p, part.size)};
			if (!end)
				break;
			value.p = end + 1;
			value.size -= part.size + 1;
		} while (true);
	}
	if (s.size)
		return bad(d, "malformed header block");
	return true;
}

static bool decode_settings(struct spdy_decoder *d, struct str s, struct spdy_frame *f)
{
	uint32_t count, what, value;
	f->window = -1;
	if (!take_u32(&s, &count) || s.size % 8 || s.size / 8 != count)
		return bad(d, "malformed SETTINGS");
	while (take_u32(&s, &what) && take_u32(&s, &value)) {
		if ((what & 0xffffff) != SETTINGS_INITIAL_WINDOW)
			continue;
		if (value > INT32_MAX)
			return bad(d, "malformed SETTINGS");
		f->window = value;
	}
	return true;
}

/* A complete control frame. `known` tells whether its type is one of ours. */
static bool decode_control(struct spdy_decoder *d, struct str s, struct spdy_frame *f, bool *known)
{
	unsigned flags = d->head[4];
	uint32_t ignored;
	f->type = (enum spdy_type)(d->head[2] << 8 | d->head[3]);
	f->fin = (flags & FLAG_FIN) != 0;
	*known = true;
	switch (f->type) {
	case SPDY_SYN_STREAM:
		f->unidirectional = (flags & FLAG_UNIDIRECTIONAL) != 0;
		/* Associated stream, priority and slot mean nothing to us. */
		if (!take_u32(&s, &f->id) || !take_u32(&s, &ignored) || s.size < 2)
			return bad(d, "malformed SYN_STREAM");
		s.p += 2;
		s.size -= 2;
		break;
	case SPDY_SYN_REPLY:
	case SPDY_HEADERS:
		if (!take_u32(&s, &f->id))
			return bad(d, "malformed SYN_REPLY or HEADERS");
		break;
	case SPDY_RST_STREAM:
	case SPDY_GOAWAY:
	case SPDY_WINDOW_UPDATE:
		if (!take_u32(&s, &f->id) || !take_u32(&s, &f->value) || s.size)
			return bad(d, "control frame of a wrong size");
		f->fin = false;
		break;
	case SPDY_PING:
		if (!take_u32(&s, &f->id) || s.size)
			return bad(d, "control frame of a wrong size");
		f->fin = false;
		return true; /* all 32 bits are the id */
	case SPDY_SETTINGS:
		f->fin = false;
		return decode_settings(d, s, f);
	default:
		*known = false;
		return true;
	}
	f->id &= INT32_MAX;
	if (f->type == SPDY_SYN_STREAM || f->type == SPDY_SYN_REPLY || f->type == SPDY_HEADERS)
		return decode_headers(d, s, f);
	return true;
}

static size_t payload_size(const struct spdy_decoder *d)
{
	return (size_t)(get_u32(d->head + 4) & 0xffffff);
}

/* The eight bytes that begin a frame are in. */
static bool begin_frame(struct spdy_decoder *d)
{
	if (d->head[0] & 0x80) {
		if ((get_u32(d->head) >> 16 & 0x7fff) != VERSION)
			return bad(d, "not SPDY version 3");
		if (payload_size(d) > SPDY_CONTROL_MAX_BYTES)
			return bad(d, "control frame too large");
	} else {
		d->in_data = true;
		d->left = payload_size(d);
	}
	return true;
}

static size_t feed_data(struct spdy_decoder *d, const char *data, size_t size, struct spdy_frame *f)
{
	size_t n = MIN(size, d->left);
	d->left -= n;
	f->type = SPDY_DATA;
	f->id = get_u32(d->head);
	f->data = (struct str){data, n};
	if (d->left == 0) {
		f->fin = (d->head[4] & FLAG_FIN) != 0;
		d->in_data = false;
		d->head_size = 0;
	}
	return n;
}

size_t spdy_decoder_feed(struct spdy_decoder *d, const char *data, size_t size,
	enum spdy_event *ret_event, struct spdy_frame *ret)
{
	size_t used = 0;
	*ret = (struct spdy_frame){0};
	*ret_event = SPDY_BAD;
	if (d->reason)
		return 0;
	for (;;) {
		if (d->head_size < sizeof(d->head)) {
			size_t n = MIN(size - used, sizeof(d->head) - d->head_size);
			if (n)
				memcpy(d->head + d->head_size, data + used, n);
			d->head_size += n;
			used += n;
			if (d->head_size < sizeof(d->head))
				break;
			if (!begin_frame(d))
				return used;
		}
		if (d->in_data) {
			if (used == size && d->left > 0)
				break;
			used += feed_data(d, data + used, size - used, ret);
			*ret_event = SPDY_FRAME;
			return used;
		}
		size_t missing = payload_size(d) - d->block.size;
		size_t n = MIN(size - used, missing);
		if (n)
			buf_add(&d->block, data + used, n);
		used += n;
		if (n < missing)
			break;
		bool known;
		arena_reset(&d->arena);
		if (!decode_control(d, (struct str){d->block.data, d->block.size}, ret, &known))
			return used;
		buf_clear(&d->block);
		d->head_size = 0;
		if (known) {
			*ret_event = SPDY_FRAME;
			return used;
		}
		*ret = (struct spdy_frame){0};
	}
	*ret_event = SPDY_NEED_MORE;
	return used;
}

/* Encoding */

void spdy_encoder_init(struct spdy_encoder *e)
{
	e->deflate = (z_stream){0};
	/* A small window holds the dictionary and what repeats; the usual one would cost 256 KiB.
	 */
	if (deflateInit2(&e->deflate, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 12, 3,
		    Z_DEFAULT_STRATEGY) != Z_OK ||
		deflateSetDictionary(&e->deflate, (const unsigned char *)dictionary,
			sizeof(dictionary) - 1) != Z_OK)
		abort(); /* out of memory */
}

void spdy_encoder_finish(struct spdy_encoder *e)
{
	deflateEnd(&e->deflate);
}

static void compress_to(struct spdy_encoder *e, struct buf *to, const struct buf *text)
{
	z_stream *z = &e->deflate;
	unsigned char room[4096];
	z->next_in = (unsigned char *)text->data;
	z->avail_in = (uInt)text->size;
	do {
		z->next_out = room;
		z->avail_out = sizeof(room);
		(void)deflate(z, Z_SYNC_FLUSH);
		buf_add(to, room, sizeof(room) - z->avail_out);
	} while (z->avail_out == 0);
}

static void put_head(struct buf *to, enum spdy_type type, unsigned flags, size_t size)
{
	put_u32(to, UINT32_C(1) << 31 | VERSION << 16 | (uint32_t)type);
	put_u32(to, (uint32_t)flags << 24 | (uint32_t)size);
}

static void put_name(struct buf *to, const char *name)
{
	put_u32(to, (uint32_t)strlen(name));
	for (; *name; name++)
		buf_add_char(to, (char)tolower((unsigned char)*name));
}

static void put_headers(struct buf *to, const struct spdy_header *headers, size_t count)
{
	size_t names = 0;
	for (size_t i = 0; i < count; i++)
		names += i == 0 || !streq(headers[i].name, headers[i - 1].name);
	put_u32(to, (uint32_t)names);
	for (size_t i = 0; i < count;) {
		struct buf values = BUF_INIT;
		size_t first = i;
		put_name(to, headers[i].name);
		for (; i < count && streq(headers[i].name, headers[first].name); i++) {
			if (i > first)
				buf_add_char(&values, 0);
			buf_add_str(&values, headers[i].value);
		}
		put_u32(to, (uint32_t)values.size);
		if (values.size)
			buf_add(to, values.data, values.size);
		buf_finish(&values);
	}
}

void spdy_encode_headers(struct spdy_encoder *e, struct buf *to, enum spdy_type type, uint32_t id,
	bool fin, const struct spdy_header *headers, size_t count)
{
	_cleanup_(buf_finish) struct buf text = BUF_INIT;
	_cleanup_(buf_finish) struct buf block = BUF_INIT;
	put_headers(&text, headers, count);
	put_u32(&block, id);
	if (type == SPDY_SYN_STREAM)
		buf_add(&block, "\0\0\0\0\0",
			6); /* no associated stream, highest priority, no slot */
	compress_to(e, &block, &text);
	put_head(to, type, fin ? FLAG_FIN : 0, block.size);
	buf_add(to, block.data, block.size);
}

void spdy_encode_data_head(struct buf *to, uint32_t id, bool fin, size_t size)
{
	put_u32(to, id);
	put_u32(to, (fin ? (uint32_t)FLAG_FIN << 24 : 0) | (uint32_t)size);
}

void spdy_encode_control(struct buf *to, enum spdy_type type, uint32_t id, uint32_t value)
{
	put_head(to, type, 0, type == SPDY_PING ? 4 : 8);
	put_u32(to, id);
	if (type != SPDY_PING)
		put_u32(to, value);
}

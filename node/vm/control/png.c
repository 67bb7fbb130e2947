#include "node/vm/control/png.h"

#include <ctype.h>
#include <zlib.h>

#define IDAT_BYTES (64u << 10)
#define THROUGH_MAX_BYTES (64u << 20)
#define HEADER_MAX_BYTES 256u /* comments included */

static const unsigned char signature[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};

/*  HEADER -- "P6 W H 255" --> PIXELS -- all rows --> WHOLE
 *    |  PNG's signature
 *    +--> THROUGH                                           */
enum png_state { HEADER, PIXELS, WHOLE, THROUGH };

struct png {
	enum png_state state;
	struct buf head; /* until it can be read */
	struct buf out;
	z_stream z;
	bool z_begun;
	uint32_t width, height;
	size_t row_left;    /* bytes of the row under way that have not come; 0 = at its start */
	uint32_t rows_left; /* the one under way included */
	unsigned char chunk[IDAT_BYTES];
};

struct png *png_create(void)
{
	return xcalloc(1, sizeof(struct png));
}

void png_destroy(struct png *p)
{
	if (!p)
		return;
	if (p->z_begun)
		deflateEnd(&p->z);
	buf_finish(&p->head);
	buf_finish(&p->out);
	free(p);
}

static void put_u32(unsigned char *to, uint32_t v)
{
	to[0] = (unsigned char)(v >> 24);
	to[1] = (unsigned char)(v >> 16);
	to[2] = (unsigned char)(v >> 8);
	to[3] = (unsigned char)v;
}

static void add_chunk(struct buf *out, const char type[4], const void *data, size_t size)
{
	unsigned char word[4];
	uLong crc = crc32(0, (const Bytef *)type, 4);

	if (size)
		crc = crc32(crc, data, (uInt)size);
	put_u32(word, (uint32_t)size);
	buf_add(out, word, 4);
	buf_add(out, type, 4);
	buf_add(out, data, size);
	put_u32(word, (uint32_t)crc);
	buf_add(out, word, 4);
}

static void flush_chunk(struct png *p)
{
	size_t size = IDAT_BYTES - p->z.avail_out;

	if (size)
		add_chunk(&p->out, "IDAT", p->chunk, size);
	p->z.next_out = p->chunk;
	p->z.avail_out = IDAT_BYTES;
}

static void compress_bytes(struct png *p, const void *data, size_t size, int flush)
{
	p->z.next_in = (Bytef *)(uintptr_t)data;
	p->z.avail_in = (uInt)size;
	for (;;) {
		int r = deflate(&p->z, flush);

		if (p->z.avail_out == 0)
			flush_chunk(p);
		else if (r == Z_STREAM_END || flush == Z_NO_FLUSH)
			break;
	}
}

static void begin_picture(struct png *p)
{
	unsigned char ihdr[13] = {[8] = 8 /* bits */, [9] = 2 /* red, green, blue */};

	put_u32(ihdr, p->width);
	put_u32(ihdr + 4, p->height);
	buf_add(&p->out, signature, sizeof(signature));
	add_chunk(&p->out, "IHDR", ihdr, sizeof(ihdr));
	if (deflateInit(&p->z, Z_BEST_SPEED) != Z_OK)
		abort(); /* no memory */
	p->z_begun = true;
	p->z.next_out = p->chunk;
	p->z.avail_out = IDAT_BYTES;
	p->rows_left = p->height;
	p->state = PIXELS;
}

/* A number of the header after blanks and comments: 1 = read, 0 = more is needed, -1 = bad. */
static int header_number(const char *s, size_t size, size_t *at, uint32_t *ret)
{
	uint32_t v = 0;
	size_t i = *at, digits = 0;

	while (i < size && (isspace((unsigned char)s[i]) || s[i] == '#')) {
		if (s[i] == '#')
			while (i < size && s[i] != '\n')
				i++;
		else
			i++;
	}
	for (; i < size && isdigit((unsigned char)s[i]); i++, digits++) {
		if (digits == 6)
			return -1;
		v = v * 10 + (uint32_t)(s[i] - '0');
	}
	if (i == size)
		return 0;
	if (!digits)
		return -1;
	*at = i;
	*ret = v;
	return 1;
}

static int bad(struct err *err)
{
	return err_set(err, -EBADMSG, "the picture of the screen can't be read");
}

/* Returns how many bytes of the head are the header; 0 = more are needed. */
static ssize_t read_header(struct png *p, struct err *err)
{
	const char *s = p->head.data;
	size_t size = p->head.size, at = 2;
	uint32_t numbers[3];

	if (size < 2)
		return 0;
	if (s[0] != 'P' || s[1] != '6')
		return bad(err);
	for (int i = 0; i < 3; i++) {
		int r = header_number(s, size, &at, &numbers[i]);

		if (r < 0 || (r == 0 && size > HEADER_MAX_BYTES))
			return bad(err);
		if (r == 0)
			return 0;
	}
	if (!isspace((unsigned char)s[at]) || numbers[2] != 255)
		return bad(err);
	p->width = numbers[0];
	p->height = numbers[1];
	if (!p->width || !p->height || p->width > PNG_SIDE_MAX || p->height > PNG_SIDE_MAX ||
		(uint64_t)p->width * p->height > PNG_PIXELS_MAX)
		return err_set(err, -EBADMSG, "a screen of %u by %u is too large for a picture",
			p->width, p->height);
	return (ssize_t)at + 1;
}

static int feed_pixels(struct png *p, const unsigned char *at, size_t size, struct err *err)
{
	while (size && p->state == PIXELS) {
		size_t n;

		if (!p->row_left) {
			compress_bytes(p, "", 1, Z_NO_FLUSH); /* filter: none */
			p->row_left = (size_t)p->width * 3;
		}
		n = MIN(size, p->row_left);
		compress_bytes(p, at, n, Z_NO_FLUSH);
		at += n;
		size -= n;
		p->row_left -= n;
		if (!p->row_left && --p->rows_left == 0)
			p->state = WHOLE;
	}
	return size ? bad(err) : 0;
}

int png_feed(struct png *p, const void *data, size_t size, struct err *err)
{
	ssize_t header;

	if (p->state == PIXELS || (p->state == WHOLE && size))
		return p->state == WHOLE ? bad(err) : feed_pixels(p, data, size, err);
	if (p->state == THROUGH) {
		if (p->out.size + size > THROUGH_MAX_BYTES)
			return bad(err);
		buf_add(&p->out, data, size);
		return 0;
	}
	buf_add(&p->head, data, size);
	if (p->head.size >= sizeof(signature) &&
		!memcmp(p->head.data, signature, sizeof(signature))) {
		p->state = THROUGH;
		buf_add(&p->out, p->head.data, p->head.size);
		buf_finish(&p->head);
		return 0;
	}
	if (p->head.size && (unsigned char)p->head.data[0] == signature[0] &&
		p->head.size < sizeof(signature))
		return 0;
	header = read_header(p, err);
	if (header <= 0)
		return (int)header;
	begin_picture(p);
	int r = feed_pixels(
		p, (unsigned char *)p->head.data + header, p->head.size - (size_t)header, err);
	buf_finish(&p->head);
	return r;
}

int png_finish(struct png *p, struct buf *ret, struct err *err)
{
	if (p->state != WHOLE && p->state != THROUGH)
		return bad(err);
	if (p->state == WHOLE) {
		compress_bytes(p, NULL, 0, Z_FINISH);
		flush_chunk(p);
		add_chunk(&p->out, "IEND", NULL, 0);
	}
	*ret = p->out;
	p->out = (struct buf)BUF_INIT;
	return 0;
}

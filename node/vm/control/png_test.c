#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <zlib.h>

#include "node/vm/control/png.h"

static uint32_t be32(const char *at)
{
	const unsigned char *p = (const unsigned char *)at;

	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Walks the chunks with their checksums and gives the pixels behind all rows' filter bytes. */
static void read_png(const struct buf *png, uint32_t *width, uint32_t *height, struct buf *pixels)
{
	struct buf packed = BUF_INIT;
	size_t at = 8;
	bool end = false;

	assert_memory_equal(png->data, "\x89PNG\r\n\x1a\n", 8);
	while (!end) {
		uint32_t size = be32(png->data + at);
		const char *type = png->data + at + 4, *data = type + 4;

		assert_true(at + size + 12 <= png->size);
		assert_int_equal(be32(data + size), crc32(0, (const Bytef *)type, size + 4));
		if (!memcmp(type, "IHDR", 4)) {
			*width = be32(data);
			*height = be32(data + 4);
			assert_memory_equal(data + 8, "\x08\x02\0\0\0", 5);
		} else if (!memcmp(type, "IDAT", 4)) {
			buf_add(&packed, data, size);
		}
		end = !memcmp(type, "IEND", 4);
		at += size + 12;
	}
	assert_int_equal(at, png->size);
	uLongf size = (uLongf)*height * (*width * 3 + 1);
	unsigned char *raw = xcalloc(1, size);
	assert_int_equal(
		uncompress(raw, &size, (const Bytef *)packed.data, (uLong)packed.size), Z_OK);
	assert_int_equal(size, *height * (*width * 3 + 1));
	for (uint32_t y = 0; y < *height; y++) {
		assert_int_equal(raw[y * (*width * 3 + 1)], 0);
		buf_add(pixels, raw + y * (*width * 3 + 1) + 1, *width * 3);
	}
	free(raw);
	buf_finish(&packed);
}

/* Random enough to need several chunks, given in pieces of all sizes. */
static void pictures_keep_their_pixels(void **state)
{
	static const struct {
		const char *header;
		uint32_t width, height;
		size_t piece;
	} cases[] = {
		{"P6\n1 1\n255\n", 1, 1, 1},
		{"P6\n# a comment\n320 200\n255\n", 320, 200, 1000},
		{"P6 7 3 255 ", 7, 3, 1},
		{"P6\n720 400\n255\n", 720, 400, 1u << 20},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct buf in = BUF_INIT, out = BUF_INIT, pixels = BUF_INIT;
		struct png *p = png_create();
		size_t header = strlen(cases[i].header);
		uint32_t seed = 1, width = 0, height = 0;

		buf_add_str(&in, cases[i].header);
		for (uint32_t n = 0; n < cases[i].width * cases[i].height * 3; n++) {
			seed = seed * 1664525 + 1013904223;
			buf_add_char(&in, (char)(seed >> 24));
		}
		for (size_t at = 0; at < in.size; at += cases[i].piece)
			assert_int_equal(
				png_feed(p, in.data + at, MIN(cases[i].piece, in.size - at), NULL),
				0);
		assert_int_equal(png_finish(p, &out, NULL), 0);
		read_png(&out, &width, &height, &pixels);
		assert_int_equal(width, cases[i].width);
		assert_int_equal(height, cases[i].height);
		assert_int_equal(pixels.size, in.size - header);
		assert_memory_equal(pixels.data, in.data + header, pixels.size);
		/* A PNG goes through as it is. */
		struct png *again = png_create();
		struct buf same = BUF_INIT;
		for (size_t at = 0; at < out.size; at += 5)
			assert_int_equal(
				png_feed(again, out.data + at, MIN(5u, out.size - at), NULL), 0);
		assert_int_equal(png_finish(again, &same, NULL), 0);
		assert_int_equal(same.size, out.size);
		assert_memory_equal(same.data, out.data, out.size);
		png_destroy(again);
		png_destroy(p);
		buf_finish(&same);
		buf_finish(&in);
		buf_finish(&out);
		buf_finish(&pixels);
	}
}

static void what_is_no_picture_is_refused(void **state)
{
	static const char *const cases[] = {"P5\n1 1\n255\nx", "P6\n0 5\n255\n",
		"P6\n1 1\n65535\nxxxxxx", "P6\n20000 1\n255\n", "P6\n16384 16384\n255\n",
		"P6\n-1 1\n255\n", "P6\n1 1\n255\nabcd", "P6\n1 1\n255\nab", "P6\n9999999 1\n255\n",
		"", "P6\n1", "\x89PNX........"};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct png *p = png_create();
		struct buf out = BUF_INIT;
		struct err err = ERR_INIT;
		int r = png_feed(p, cases[i], strlen(cases[i]), &err);

		if (r == 0)
			r = png_finish(p, &out, &err);
		assert_int_equal(r, -EBADMSG);
		assert_true(err.msg[0]);
		png_destroy(p);
	}
	/* A header that never ends is not kept. */
	struct png *p = png_create();
	int r = png_feed(p, "P6\n#", 4, NULL);
	for (int i = 0; i < 1000 && r == 0; i++)
		r = png_feed(p, "##########", 10, NULL);
	assert_int_equal(r, -EBADMSG);
	png_destroy(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pictures_keep_their_pixels),
		cmocka_unit_test(what_is_no_picture_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

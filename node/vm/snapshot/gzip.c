#include "node/vm/snapshot/gzip.h"

#include <stdint.h>
#include <stdlib.h>

#include "lib/base/util.h"

#define ROOM_BYTES (64u << 10)

#ifdef HAVE_ISAL

#include <isa-l/igzip_lib.h>

/* Level 2 makes of libraries and programs 1% more than gzip -1, in a seventh of the time. */
#define LEVEL 2

struct gzip {
	struct isal_zstream z;
	uint8_t level[ISAL_DEF_LVL2_DEFAULT];
};

struct gzip *gzip_create(void)
{
	struct gzip *g = xmalloc(sizeof(*g));

	isal_deflate_init(&g->z);
	g->z.gzip_flag = IGZIP_GZIP;
	g->z.level = LEVEL;
	g->z.level_buf = g->level;
	g->z.level_buf_size = sizeof(g->level);
	return g;
}

void gzip_destroy(struct gzip *g)
{
	free(g);
}

static void run(struct gzip *g, struct buf *out)
{
	uint8_t room[ROOM_BYTES];

	do {
		g->z.next_out = room;
		g->z.avail_out = sizeof(room);
		if (isal_deflate(&g->z) != COMP_OK)
			abort(); /* it is only of settings that are none */
		buf_add(out, room, sizeof(room) - g->z.avail_out);
	} while (!g->z.avail_out);
}

void gzip_add(struct gzip *g, const void *p, size_t size, struct buf *out)
{
	for (const char *at = p; size > 0;) {
		size_t n = MIN(size, (size_t)1 << 30);

		g->z.next_in = (uint8_t *)(uintptr_t)at;
		g->z.avail_in = (uint32_t)n;
		run(g, out);
		at += n;
		size -= n;
	}
}

void gzip_end(struct gzip *g, struct buf *out)
{
	g->z.end_of_stream = 1;
	g->z.avail_in = 0;
	run(g, out);
}

#else

#include <zlib.h>

#define WINDOW (15 + 16)

struct gzip {
	z_stream z;
};

struct gzip *gzip_create(void)
{
	struct gzip *g = xcalloc(1, sizeof(*g));

	if (deflateInit2(&g->z, 1, Z_DEFLATED, WINDOW, 8, Z_DEFAULT_STRATEGY) != Z_OK)
		abort(); /* out of memory */
	return g;
}

void gzip_destroy(struct gzip *g)
{
	if (g)
		deflateEnd(&g->z);
	free(g);
}

static void run(struct gzip *g, int flush, struct buf *out)
{
	uint8_t room[ROOM_BYTES];

	do {
		g->z.next_out = room;
		g->z.avail_out = sizeof(room);
		(void)deflate(&g->z, flush);
		buf_add(out, room, sizeof(room) - g->z.avail_out);
	} while (!g->z.avail_out);
}

void gzip_add(struct gzip *g, const void *p, size_t size, struct buf *out)
{
	for (const char *at = p; size > 0;) {
		size_t n = MIN(size, (size_t)1 << 30);

		g->z.next_in = (Bytef *)(uintptr_t)at;
		g->z.avail_in = (uInt)n;
		run(g, Z_NO_FLUSH, out);
		at += n;
		size -= n;
	}
}

void gzip_end(struct gzip *g, struct buf *out)
{
	g->z.avail_in = 0;
	run(g, Z_FINISH, out);
}

#endif

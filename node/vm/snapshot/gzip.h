/* gzip.h - a stream of bytes, compressed as one gzip member (RFC 1952), fast rather than small: by
 * ISA-L where the program is built with it, else by zlib. */
#pragma once

#include "lib/base/buf.h"

struct gzip;
struct gzip *gzip_create(void);
void gzip_destroy(struct gzip *g); /* NULL allowed */
/* What comes of it is added to out, now or with later pieces. */
void gzip_add(struct gzip *g, const void *p, size_t size, struct buf *out);
void gzip_end(struct gzip *g, struct buf *out); /* the rest; once */

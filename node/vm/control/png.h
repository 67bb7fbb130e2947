/* png.h - a picture as QEMU gives it (PPM, binary, 8 bits a colour; netpbm's ppm(5)) made into a
 * PNG (ISO/IEC 15948) as it comes in. The picture is the guest's: sizes are bounded. Pure. */
#pragma once

#include "lib/base/buf.h"
#include "lib/base/err.h"

#define PNG_SIDE_MAX 16384u
#define PNG_PIXELS_MAX (64u << 20)

struct png;
struct png *png_create(void);
void png_destroy(struct png *p); /* NULL allowed */
/* The next bytes of the PPM. What is a PNG already goes through, up to 64 MiB. -EBADMSG: neither.
 */
int png_feed(struct png *p, const void *data, size_t size, struct err *err) _must_check_;
/* No more will come: the whole PNG in *ret, which is the caller's. -EBADMSG: it is not whole. */
int png_finish(struct png *p, struct buf *ret, struct err *err) _must_check_;

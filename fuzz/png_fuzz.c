/* Pictures of a guest's screen, whose size the guest chooses, in pieces: the first byte says how
 * large. What is taken gives a PNG of that size, in time and room that the bounds allow. */
#include <stdlib.h>
#include <string.h>

#include "node/vm/control/png.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct png *p = png_create();
	struct buf out = BUF_INIT;
	struct err err = ERR_INIT;
	size_t piece = size ? (size_t)data[0] + 1 : 1;
	int r = 0;

	for (size_t at = 1; at < size && r == 0; at += piece)
		r = png_feed(p, data + at, MIN(piece, size - at), &err);
	if (r == 0)
		r = png_finish(p, &out, &err);
	if (r != 0 && !err.msg[0])
		abort();
	if (r == 0 && (out.size < 8 || memcmp(out.data, "\x89PNG\r\n\x1a\n", 8) != 0))
		abort();
	png_destroy(p);
	buf_finish(&out);
	return 0;
}

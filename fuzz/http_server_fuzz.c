/* A client of the HTTP server that sends anything, in any cuts: every request that a handler gets
 * is well-formed and is closed once, and nothing stays behind.
 *
 * Input: a byte of flags (how the handler answers), then pieces, each a byte that says its size. */
#include "fuzz/http_handler.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	int fd = size < 1 ? -1 : connect_client(data[0]);
	if (fd < 0)
		return 0;
	for (size_t at = 1; at < size;) {
		size_t n = MIN((size_t)data[at] * 4 + 1, size - at - 1);
		at++;
		if (n && send(fd, data + at, n, MSG_NOSIGNAL) < 0)
			break;
		at += n;
		uv_run(&loop, UV_RUN_NOWAIT);
		if (pending_count && n % 2)
			answer(pending[0]);
		uv_run(&loop, UV_RUN_NOWAIT);
		drain(fd);
	}
	end_client(fd);
	return 0;
}

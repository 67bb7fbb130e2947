/* A client of the server that speaks HTTP/2, in frames that are mostly well-formed: every request
 * that a handler gets is closed once, and nothing stays behind.
 *
 * Input: a byte of flags (how the handler answers), then frames: type, flags, stream, size of the
 * payload, payload. Type 255 lets a pending request be answered, 254 sends raw bytes instead. */
#include "fuzz/http_handler.h"

static void send_all(int fd, const void *p, size_t size)
{
	(void)send(fd, p, size, MSG_NOSIGNAL);
	uv_run(&loop, UV_RUN_NOWAIT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";
	int fd = size < 1 ? -1 : connect_client(data[0]);
	if (fd < 0)
		return 0;
	send_all(fd, preface, sizeof(preface)); /* the NUL is the frame's last byte */
	for (size_t at = 1; at + 4 <= size;) {
		uint8_t type = data[at], frame_flags = data[at + 1], stream = data[at + 2];
		size_t n = MIN((size_t)data[at + 3], size - at - 4);
		const uint8_t head[9] = {0, 0, (uint8_t)n, type, frame_flags, 0, 0, 0, stream};
		at += 4;
		if (type == 255 && pending_count)
			answer(pending[stream % pending_count]);
		if (type < 254)
			send_all(fd, head, sizeof(head));
		if (type != 255)
			send_all(fd, data + at, n);
		at += n;
		drain(fd);
		uv_run(&loop, UV_RUN_NOWAIT);
	}
	end_client(fd);
	return 0;
}

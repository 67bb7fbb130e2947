/* Frames as a gRPC server could send them, and the text of its failures. */
#include "lib/base/str.h"
#include "lib/grpc/grpc.h"

#define MAX_BYTES 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *at = (const char *)data;
	size_t left = size;
	struct grpc_frame f;
	char text[256];

	while (grpc_frame_next(at, left, MAX_BYTES, &f) == 1) {
		if (f.size > MAX_BYTES || f.total_size > left ||
			f.data + f.size != at + f.total_size)
			abort();
		at += f.total_size;
		left -= f.total_size;
	}
	grpc_message_decode((const char *)data, size, text, sizeof(text));
	if (strlen(text) > size || !utf8_valid(text, strlen(text)))
		abort();
	return 0;
}

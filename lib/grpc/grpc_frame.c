/* grpc_frame.c - the parts of gRPC that are plain computation: frames, texts, the arena allocator.
 */
#include "lib/grpc/grpc.h"

#include <stdio.h>

#include "lib/base/str.h"

enum { FRAME_PREFIX_BYTES = 5 };

int grpc_frame_next(const char *data, size_t size, size_t max_bytes, struct grpc_frame *ret)
{
	if (size < 1)
		return 0;
	/* The only flag is "compressed", and this client never offers an encoding. */
	if (data[0] != 0)
		return -EPROTO;
	if (size < FRAME_PREFIX_BYTES)
		return 0;

	const unsigned char *p = (const unsigned char *)data;
	size_t length = (size_t)p[1] << 24 | (size_t)p[2] << 16 | (size_t)p[3] << 8 | (size_t)p[4];
	if (length > max_bytes)
		return -EMSGSIZE;
	if (size - FRAME_PREFIX_BYTES < length)
		return 0;
	ret->data = data + FRAME_PREFIX_BYTES;
	ret->size = length;
	ret->total_size = FRAME_PREFIX_BYTES + length;
	return 1;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

void grpc_message_decode(const char *text, size_t size, char *ret, size_t room)
{
	size_t n = 0;

	for (size_t i = 0; i < size && n + 1 < room; i++) {
		char c = text[i];
		if (c == '%' && i + 2 < size && hex_digit(text[i + 1]) >= 0 &&
			hex_digit(text[i + 2]) >= 0) {
			c = (char)(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2]));
			i += 2;
		}
		ret[n++] = c ? c : '?';
	}
	ret[n] = '\0';
	/* The text ends up in API objects, which are UTF-8; a cut may also have split a character.
	 */
	utf8_repair(ret, n);
}

void grpc_timeout_format(unsigned timeout_ms, char ret[16])
{
	if (timeout_ms <= 99999999)
		snprintf(ret, 16, "%um", timeout_ms);
	else
		snprintf(ret, 16, "%uS", timeout_ms / 1000);
}

const char *grpc_status_name(int status)
{
	static const char *const names[] = {"OK", "Canceled", "Unknown", "InvalidArgument",
		"DeadlineExceeded", "NotFound", "AlreadyExists", "PermissionDenied",
		"ResourceExhausted", "FailedPrecondition", "Aborted", "OutOfRange", "Unimplemented",
		"Internal", "Unavailable", "DataLoss", "Unauthenticated"};

	if (status < 0 || (size_t)status >= ARRAY_LEN(names))
		return "Code(other)";
	return names[status];
}

static void *arena_allocator_alloc(void *user, size_t size)
{
	return arena_alloc(user, size);
}

static void arena_allocator_free(void *user, void *p)
{
}

ProtobufCAllocator grpc_arena_allocator(struct arena *a)
{
	return (ProtobufCAllocator){
		.alloc = arena_allocator_alloc,
		.free = arena_allocator_free,
		.allocator_data = a,
	};
}

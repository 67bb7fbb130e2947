/* Files that become disks: formats, and archives with their descriptors. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "node/disk/disk_probe.h"
#include "node/disk/populate/http_headers.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct bytes {
	const uint8_t *p;
	size_t size;
};

static ssize_t read_bytes(void *user, void *to, size_t size, int64_t offset)
{
	const struct bytes *b = user;
	size_t n;

	if (offset < 0 || (uint64_t)offset >= b->size)
		return 0;
	n = MIN(size, b->size - (size_t)offset);
	memcpy(to, b->p + offset, n);
	return (ssize_t)n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena a = ARENA_INIT;
	struct bytes all = {data, size};
	struct disk_bytes b = {.read = read_bytes, .user = &all, .size_bytes = (int64_t)size};
	struct disk_probe probe;
	struct http_headers h;
	struct err err = ERR_INIT;

	if (disk_probe(&a, &b, &probe, &err) == 0) {
		if (!probe.format == !probe.unpack || probe.offset < 0 || probe.length < 0 ||
			probe.offset > b.size_bytes - probe.length)
			abort();
	} else if (!err.msg[0]) {
		abort();
	}
	http_headers_read(&a, arena_memdup(&a, data, size), &h);
	arena_finish(&a);
	return 0;
}

/* The tables of a VHDX disk. What is fuzzed stands at its table of regions; all other places repeat
 * it, so that whatever a table points to is of the same bytes. */
#include <stdint.h>
#include <stdlib.h>

#include "node/disk/disk_map.h"
#include "node/disk/disk_probe.h"
#include "node/disk/qcow2_write.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REGIONS_AT (192 << 10)
#define FILE_BYTES (INT64_C(1) << 33)

struct bytes {
	const uint8_t *p;
	size_t size;
};

static ssize_t read_bytes(void *user, void *to, size_t size, int64_t offset)
{
	const struct bytes *b = user;

	for (size_t i = 0; i < size; i++)
		((uint8_t *)to)[i] =
			b->p[(uint64_t)(offset + FILE_BYTES - REGIONS_AT + (int64_t)i) % b->size];
	return (ssize_t)size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct arena a = ARENA_INIT;
	struct bytes all = {data, size};
	struct disk_bytes b = {.read = read_bytes, .user = &all, .size_bytes = FILE_BYTES};
	struct disk_map map;
	struct err err = ERR_INIT;
	int64_t bytes, from = 0;

	if (size == 0 || size > 4096)
		return 0;
	if (disk_map_vhdx(&a, &b, &map, &bytes, &err) == 0) {
		if (bytes <= 0 || bytes > QCOW2_WRAP_MAX_BYTES)
			abort();
		for (size_t i = 0; i < map.count; i++) {
			const struct disk_extent *e = &map.extents[i];

			if (e->start < from || e->length <= 0 || e->length > bytes - e->start ||
				e->offset < QCOW2_CLUSTER ||
				e->offset > FILE_BYTES + map.shift_bytes - e->length)
				abort();
			from = e->start + e->length;
		}
	} else if (err.code != -EOPNOTSUPP) {
		abort();
	}
	arena_finish(&a);
	return 0;
}

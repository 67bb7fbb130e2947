/* disk_map.h - where in its file a disk's data are, as "qemu-img map --output=json" tells: whether
 * they can stay there when the file becomes a qcow2 layer (qcow2_write.h). */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "lib/base/arena.h"
#include "lib/base/err.h"

/* In bytes, all three multiples of QCOW2_CLUSTER: of the disk; how many; in the file. */
struct disk_extent {
	int64_t start, length, offset;
};

struct disk_map {
	struct disk_extent *extents; /* by start; what is in none is zeros */
	size_t count;
};

/* -EOPNOTSUPP: they can't: packed, not where clusters may be, two at the same place, of a size that
 * is none, or not said. */
int disk_map_read(struct arena *a, const char *text, size_t size, int64_t disk_bytes,
	int64_t file_bytes, struct disk_map *ret, struct err *err) _must_check_;

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
	/* Where clusters may be is behind where the data are, by the same for all: so the file's
	 * bytes from `shift_from` on go up by `shift_bytes` first (0 = they may stay), and
	 * `offset` is what that makes of them. */
	int64_t shift_from, shift_bytes;
};

/* -EOPNOTSUPP: they can't: packed, not where clusters may be, two at the same place, of a size that
 * is none, or not said. */
int disk_map_read(struct arena *a, const char *text, size_t size, int64_t disk_bytes,
	int64_t file_bytes, struct disk_map *ret, struct err *err) _must_check_;
/* Of a VHDX disk, for which qemu-img does not tell; ret_bytes: its size. */
struct disk_bytes;
int disk_map_vhdx(struct arena *a, const struct disk_bytes *b, struct disk_map *ret,
	int64_t *ret_bytes, struct err *err) _must_check_;
/* For those who make maps: from extents in order, with offsets as they are in the file, to one as
 * above. */
int disk_map_settle(struct arena *a, struct disk_map *map, int64_t disk_bytes, int64_t file_bytes,
	struct err *err) _must_check_;

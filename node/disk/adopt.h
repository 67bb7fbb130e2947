/* adopt.h - a disk whose bytes stand in a file that is kept elsewhere on the same file system (the
 * cache of containerDisks): it is linked as the lowest layer, and an empty one goes on top. */
#pragma once

#include "node/disk/disk_dir.h"

/* The file must be frozen (0444) and fit for use; format "qcow2" or "raw". The disk gets
 * size_bytes. -EXDEV: it is on another file system; -EFBIG: its disk is larger. Blocks for a few
 * small files. */
int disk_adopt(const char *dir, const char *path, const char *format, int64_t size_bytes,
	struct err *err) _must_check_;

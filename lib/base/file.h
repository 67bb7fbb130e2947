/* file.h - small files as a whole. */
#pragma once

#include <sys/stat.h>

#include "lib/base/err.h"
#include "lib/base/str.h"

/* The content, in the arena and with a NUL behind it. -EFBIG when it is larger than max_bytes. */
int file_load(struct arena *a, const char *path, size_t max_bytes, struct str *ret,
	struct err *err) _must_check_;

/* Opens a regular file by a name (relative to `dir`, or AT_FDCWD) that strangers may have given to
 * something else: no link is followed, and a pipe or device is not opened, not even for a moment.
 * The descriptor, which goes with a program no further, or a negative errno; -EINVAL: it is no
 * regular file. flags: O_RDONLY, O_WRONLY or O_RDWR. */
int file_open_regular(int dir, const char *path, int flags, struct stat *ret) _must_check_;

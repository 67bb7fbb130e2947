/* file.h - small files as a whole. */
#pragma once

#include "lib/base/err.h"
#include "lib/base/str.h"

/* The content, in the arena and with a NUL behind it. -EFBIG when it is larger than max_bytes. */
int file_load(struct arena *a, const char *path, size_t max_bytes, struct str *ret,
	struct err *err) _must_check_;

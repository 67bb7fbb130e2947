/* overlay.h - an empty qcow2 file on top of another layer of the same directory, written without a
 * program: a new top must be there within a millisecond, since guests and clones wait for it.
 *
 * (QEMU: docs/interop/qcow2.txt; version 3, clusters of 64 KiB, refcounts of 16 bits.) */
#pragma once

#include "lib/base/err.h"

/* Makes `name` in the open directory, durably; it must not be there. It shows what `backing` (a
 * name in the same directory as a rule, up to 1023 bytes, of the format "qcow2" or "raw") shows, as
 * a disk of size_bytes (up to DISK_SIZE_MAX_BYTES). backing NULL = nothing: zeros. What is half
 * written does not stay. */
int overlay_create(int dir, const char *name, int64_t size_bytes, const char *backing,
	const char *format, struct err *err) _must_check_;
/* How large a disk is, as its file says: of "qcow2" in the header, of "raw" itself, in whole
 * sectors. Nothing that the header names is opened. */
int overlay_backing_size(
	const char *path, const char *format, int64_t *ret_bytes, struct err *err) _must_check_;

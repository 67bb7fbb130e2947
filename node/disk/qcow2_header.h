/* qcow2_header.h - what the beginning of a qcow2 file says, read strictly: whoever made the file
 * may want us to open another one. Pure.
 *
 * (QEMU: docs/interop/qcow2.txt.) */
#pragma once

#include "lib/base/arena.h"
#include "lib/base/err.h"

#define QCOW2_READ_BYTES 65536 /* all that is looked at is within so many bytes */
#define DISK_SIZE_MAX_BYTES (INT64_C(64) << 40)

struct qcow2_header {
	int64_t size_bytes; /* of the disk that the guest sees; 1 ... DISK_SIZE_MAX_BYTES */
	unsigned cluster_bits;
	const char *backing;	    /* as written; NULL = none */
	const char *backing_format; /* NULL = it is not said */
	bool dirty; /* it was not closed: refcounts may be wrong until it is opened for writing */
};

/* The first bytes of the file, as many as there are up to QCOW2_READ_BYTES. -EINVAL: it is no qcow2
 * file, is damaged, or needs something that is never opened here: an external data file,
 * encryption. That it has a backing file is for the caller to judge. */
int qcow2_header_read(struct arena *a, const void *head, size_t size, struct qcow2_header *ret,
	struct err *err) _must_check_;

#include "node/disk/qcow2_write.h"

#include <string.h>

enum { HEADER_BYTES = 104, CLUSTER_BITS = 16, REFCOUNT_ORDER = 4 /* 2^4 bits each */ };
#define EXTENSION_BACKING_FORMAT 0xe2792acau
#define BYTES_PER_ENTRY ((int64_t)QCOW2_CLUSTER * QCOW2_PER_TABLE)

uint32_t qcow2_l1_entries(int64_t size_bytes)
{
	return (uint32_t)((size_bytes + BYTES_PER_ENTRY - 1) / BYTES_PER_ENTRY);
}

void qcow2_put32(struct buf *b, uint32_t v)
{
	for (int shift = 24; shift >= 0; shift -= 8)
		buf_add_char(b, (char)(v >> shift));
}

void qcow2_put64(struct buf *b, uint64_t v)
{
	qcow2_put32(b, (uint32_t)(v >> 32));
	qcow2_put32(b, (uint32_t)v);
}

void qcow2_fill(struct buf *b, size_t size)
{
	static const char zeros[512];

	while (b->size < size)
		buf_add(b, zeros, MIN(sizeof(zeros), size - b->size));
}

void qcow2_put_header(struct buf *b, const struct qcow2_layout *l)
{
	/* Behind the header: the extension (padded to 8 bytes) and the end of extensions. */
	size_t name_at = HEADER_BYTES + 8;

	if (l->backing)
		name_at += 8 + ((strlen(l->backing_format) + 7) & ~(size_t)7);
	buf_add(b, "QFI\xfb", 4);
	qcow2_put32(b, 3);
	qcow2_put64(b, l->backing ? name_at : 0);
	qcow2_put32(b, l->backing ? (uint32_t)strlen(l->backing) : 0);
	qcow2_put32(b, CLUSTER_BITS);
	qcow2_put64(b, (uint64_t)l->size_bytes);
	qcow2_put32(b, 0); /* encryption */
	qcow2_put32(b, l->l1_entries);
	qcow2_put64(b, l->l1_at);
	qcow2_put64(b, l->refcount_at);
	qcow2_put32(b, l->refcount_count);
	qcow2_put32(b, 0); /* internal snapshots */
	qcow2_put64(b, 0);
	qcow2_put64(b, 0); /* features: incompatible, compatible, autoclear */
	qcow2_put64(b, 0);
	qcow2_put64(b, 0);
	qcow2_put32(b, REFCOUNT_ORDER);
	qcow2_put32(b, HEADER_BYTES);
	if (l->backing) {
		qcow2_put32(b, EXTENSION_BACKING_FORMAT);
		qcow2_put32(b, (uint32_t)strlen(l->backing_format));
		buf_add_str(b, l->backing_format);
		qcow2_fill(b, (b->size + 7) & ~(size_t)7);
	}
	qcow2_put64(b, 0);
	if (l->backing)
		buf_add_str(b, l->backing);
	qcow2_fill(b, QCOW2_CLUSTER);
}

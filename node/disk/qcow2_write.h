/* qcow2_write.h - qcow2 files written without a program (QEMU: docs/interop/qcow2.txt; version 3,
 * clusters of 64 KiB, refcounts of 16 bits). */
#pragma once

#include "lib/base/buf.h"
#include "lib/base/err.h"

enum {
	QCOW2_CLUSTER = 1 << 16,
	QCOW2_PER_TABLE = QCOW2_CLUSTER / 8,	/* entries of a table that fills a cluster */
	QCOW2_PER_REFCOUNTS = QCOW2_CLUSTER / 2 /* clusters that one block of refcounts counts */
};

struct qcow2_layout {
	int64_t size_bytes;	 /* of the disk */
	uint64_t l1_at;		 /* the first table, in bytes */
	uint32_t l1_entries;	 /* each stands for a second table of QCOW2_PER_TABLE clusters */
	uint64_t refcount_at;	 /* the table of refcount blocks, in bytes */
	uint32_t refcount_count; /* its clusters */
	const char *backing, *backing_format; /* NULL = none */
};

/* First tables that a disk of this size needs entries for. */
uint32_t qcow2_l1_entries(int64_t size_bytes);
void qcow2_put32(struct buf *b, uint32_t v);
void qcow2_put64(struct buf *b, uint64_t v);
void qcow2_fill(struct buf *b, size_t size); /* zeros up to there */
/* The first cluster. */
void qcow2_put_header(struct buf *b, const struct qcow2_layout *l);

/* The raw image in the file becomes a qcow2 image of the same content, where it is: what says where
 * the data are is put behind them, only the first cluster moves, and zeros become holes. Of
 * clusters that don't begin with zeros no more than that is read. disk_bytes: of the disk, with
 * zeros behind the image; less than the image's = as that. Killed or failed in between it is
 * neither; nothing is synced. path: a regular file of 1 ... QCOW2_WRAP_MAX_BYTES. Blocks. */
#define QCOW2_WRAP_MAX_BYTES (INT64_C(1) << 40)
int qcow2_wrap_raw(const char *path, int64_t disk_bytes, struct err *err) _must_check_;

/* The same of a file that is a disk of another format, whose data are at `map` (disk_map.h):
 * nothing moves; what is no part of it, as the other format's own tables, is given back.
 * image_bytes: of the disk that the file has. Blocks. */
struct disk_map;
int qcow2_wrap_mapped(const char *path, int64_t image_bytes, int64_t disk_bytes,
	const struct disk_map *map, struct err *err) _must_check_;

/* qcow2_enlarge.c: a disk that nobody has open, checked by qemu-img, and without snapshots
 * (disk_probe's is_layer) gets this size, by its header and the end of its first table.
 * -EOPNOTSUPP: it takes more than that, and nothing was changed. Nothing is synced. Blocks. */
int qcow2_enlarge(const char *path, int64_t size_bytes, struct err *err) _must_check_;

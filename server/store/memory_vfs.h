/* memory_vfs.h - a SQLite file layer in memory, for tests: notes every write and sync, can fail at
 * any call, and knows what a power cut would leave.
 *
 * A file has three states: what the programs see (page cache), what is certainly on the disk
 * (synced), and the writes between. A sync that fails leaves the page cache as it is but forgets
 * the writes between: the kernel marks such pages clean, and does not write them again. */
#pragma once

#include <sqlite3.h>

#include "lib/base/util.h"

enum memory_io_type { MEMORY_WRITE, MEMORY_TRUNCATE, MEMORY_SYNC, MEMORY_DELETE, MEMORY_MARK };

/* One noted call. */
struct memory_io {
	enum memory_io_type type;
	unsigned file;	     /* index; of MARK: nothing */
	size_t offset, size; /* TRUNCATE: offset is the new size. MARK: offset is the number */
	char *data;
};

/* What fails, counted over all calls of these kinds. */
enum memory_fault_type {
	FAULT_NONE,
	FAULT_WRITE_FULL,  /* no space: nothing is written */
	FAULT_WRITE_SHORT, /* no space: half is written */
	FAULT_WRITE_EIO,
	FAULT_SYNC_EIO,
	FAULT_READ_EIO,
	FAULT_READ_ONLY, /* writes and syncs */
	FAULT_COUNT,
};

/* Registers the layer as "memory", once. */
void memory_vfs_init(void);
/* All files are gone, nothing is noted, nothing fails. No file may be open. */
void memory_vfs_reset(void);

void memory_vfs_record(bool on);
void memory_vfs_mark(size_t number); /* a note of the test's own between the others */
const struct memory_io *memory_vfs_log(size_t *ret_count);

/* The calls of the fault's kind from the `at`-th on (1 = the next), `count` of them. */
void memory_vfs_fail(enum memory_fault_type type, uint64_t at, uint64_t count);
uint64_t memory_vfs_calls(enum memory_fault_type type); /* of its kind since the last reset/fail */

#define MEMORY_FILES 4
/* The bytes of files, by index: what a crash left. */
struct memory_image {
	struct memory_bytes {
		char *data;
		size_t size;
		bool exists;
	} files[MEMORY_FILES];
};
void memory_image_finish(struct memory_image *image);
void memory_image_apply(struct memory_image *image, const struct memory_io *io);
struct memory_image memory_image_copy(const struct memory_image *image);
/* The layer's files become these, for looking at (no power cut may follow). No file may be open. */
void memory_vfs_install(const struct memory_image *image);
/* What a power cut now would leave: only what is synced. */
void memory_vfs_image_synced(struct memory_image *ret);

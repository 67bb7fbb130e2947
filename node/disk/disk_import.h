/* disk_import.h - makes a foreign file the disk of a directory: unpacks it, finds out what it is
 * (disk_probe.h), lets qemu-img turn it into a qcow2 layer of the wanted size, and publishes that
 * (disk_dir.h). The programs run as a user of their own, under limits, and are told the format;
 * nothing is there for others before the last step. */
#pragma once

#include "node/disk/disk_dir.h"
#include "node/node.h"

struct disk_import;
struct disk_import_options {
	struct node *node;
	const char *directory; /* of the disk */
	/* A file that may be read by all; in `directory` when it is to be taken (renamed, removed).
	 * NULL = an empty disk. */
	const char *path;
	bool take;
	int64_t size_bytes; /* of the disk; the file's must not be larger. 0 = as the file has it */
	bool preallocate;
	/* 0 ... 1; may be NULL. Not before the file is known to be a disk that fits, or packed. */
	void (*progress)(void *user, double part);
	/* Later, once. On failure `path` may still be there. -ENOSPC, -EIO and the like may be
	 * tried again; -EINVAL and -EFBIG are the file's fault. */
	void (*done)(void *user, const struct err *err);
	void *user;
};
struct disk_import *disk_import_start(const struct disk_import_options *o);
void disk_import_cancel(struct disk_import *i); /* done is not called; NULL allowed */

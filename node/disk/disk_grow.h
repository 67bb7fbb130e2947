/* disk_grow.h - makes the disk of a directory larger. Layers of qcow2 by qemu-img, which has no
 * rights: the top is lent to its user meanwhile, and has its owner again afterwards. */
#pragma once

#include "node/disk/disk_dir.h"
#include "node/node.h"

struct disk_grow;
struct disk_grow_options {
	struct node *node;
	const char *directory; /* nobody else opens it: held, and no pod has it */
	const char *top;    /* the name of the layer that was looked at; still the top, or -EBUSY */
	int64_t size_bytes; /* whole sectors */
	/* Later, once. */
	void (*done)(void *user, const struct err *err);
	void *user;
};
struct disk_grow *disk_grow_start(const struct disk_grow_options *o);
void disk_grow_cancel(struct disk_grow *g); /* done is not called; NULL allowed */

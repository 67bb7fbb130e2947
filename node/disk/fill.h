/* fill.h - a claim's directory that begins as a copy of another disk of this node: what a snapshot
 * (VirtualMachineSnapshotContent) of the claim's namespace has of one volume, or another claim of
 * it (spec.dataSource of kind PersistentVolumeClaim), once no guest has that open. Annotations of
 * the claim say which snapshot, and how:
 *
 *	hanok.io/disk-from-content	the content's name
 *	hanok.io/disk-from-volume	the volume's name in it
 *	hanok.io/disk-clone-mode	"linked" (default): shares what is frozen, made at once;
 *					"full": shares nothing, takes the time of a copy
 *	hanok.io/disk-with-memory	"true": with what the guest had in memory, if the snapshot
 *					has it and the disk is linked: the next start goes on there
 *
 * The directory appears whole: whoever finds it there finds a disk in it. */
#pragma once

#include "node/node.h"

bool disk_fill_wanted(const struct json *claim);
/* It is done already. Blocks for a look at a small file. */
bool disk_fill_done(const char *directory);

struct disk_fill;
struct disk_fill_options {
	struct node *node;
	struct object *claim;  /* a reference is taken */
	const char *directory; /* to be made; its parent too */
	/* Later, once. err NULL = it is there. The fill is gone. */
	void (*done)(void *user, const struct err *err);
	void *user;
};
struct disk_fill *disk_fill_start(const struct disk_fill_options *o);
void disk_fill_cancel(struct disk_fill *f); /* done is not called; NULL allowed */
/* Of the contents' disks: DATA/local/.snapshots/UID[/VOLUME]. In the arena. */
char *disk_snapshot_directory(
	struct arena *a, const struct node *n, const char *content_uid, const char *volume);

/* nfs_deliver.h - the last step for a claim on an NFS server: the disk was made whole in a
 * directory of this node, and is written into disk.img there, sparse, by QEMU's own client.
 *
 * Until it is whole it is called ".new-UID" there, UID the DataVolume's. Before it becomes
 * disk.img, the staging directory is told which file it is: after a kill the next agent knows it by
 * that, and a disk.img that somebody else made is never taken for it. */
#pragma once

#include "node/nfs/nfs.h"
#include "node/node.h"

/* Words for a file that is not to be touched; its name comes before. */
#define NFS_FOREIGN                                                                                \
	" is there already, and this DataVolume has not made it: it is left as it is. Remove it, " \
	"or use the claim without a DataVolume"

struct nfs_deliver;
struct nfs_deliver_options {
	struct node *node;
	const struct nfs_place *place; /* lives until done */
	const char *directory;	       /* of the whole disk (disk_dir.h) */
	const char *uid;
	int64_t size_bytes;			   /* at least so large it becomes */
	void (*progress)(void *user, double part); /* 0 ... 1 */
	/* Later, once. -EEXIST: somebody else's disk.img is there. */
	void (*done)(void *user, const struct err *err);
	void *user;
};
struct nfs_deliver *nfs_deliver_start(const struct nfs_deliver_options *o);
void nfs_deliver_cancel(struct nfs_deliver *d); /* done is not called; NULL allowed */

/* What it is called there until it is whole; to be freed. */
char *nfs_deliver_name(const char *uid);

/* Whether a file of the server ("file" of `hanok nfs ... size`) is what was delivered out of the
 * staging directory. Reads a small file. */
bool nfs_deliver_made(const char *directory, const char *file);

/* Where the disk of a DataVolume is made. In the arena. */
char *nfs_staging(struct arena *a, const struct node *n, const char *uid);
/* Removes it, by and by. */
void nfs_staging_remove(struct node *n, const char *uid);
/* Those of DataVolumes that nobody knows; `known` is asked on the loop. */
void nfs_staging_sweep(struct node *n, bool (*known)(void *user, const char *uid), void *user);

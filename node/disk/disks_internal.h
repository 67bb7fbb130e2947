/* disks_internal.h - what the files of node/disk share. Nobody else includes this. */
#pragma once

#include "lib/base/list.h"
#include "lib/base/table.h"
#include "node/disk/disks.h"

struct disks {
	struct node *n;
	char *directory;	    /* of the node's own provisioner */
	struct list opened;	    /* struct claim_disk */
	struct table held;	    /* directory -> how often, as a pointer's value */
	struct disks_guests guests; /* in_use NULL = there are none yet */
	bool qemu_has_nfs;	    /* it has been seen to open a disk there */
};

/* claim_disk.c. ns NULL = all that wait. */
void claim_disks_look(struct disks *d, const char *ns, const char *claim);

/* claim_nfs.c: disk.img in a directory of an NFS server. */
struct claim_nfs;
struct claim_nfs_options {
	struct disks *d;
	const struct nfs_place *place; /* lives until done */
	int64_t wanted_bytes;	       /* it is made so large, and grown */
	bool make;		       /* when there is none */
	bool read_only;		       /* neither made nor grown */
	/* Later, once. -ENODATA: there is none. */
	void (*done)(void *user, const struct err *err);
	void *user;
};
struct claim_nfs *claim_nfs_open(const struct claim_nfs_options *o);
void claim_nfs_cancel(struct claim_nfs *c); /* done is not called; NULL allowed */

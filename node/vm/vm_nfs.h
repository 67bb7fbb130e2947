/* vm_nfs.h - disks that QEMU opens on an NFS server by itself. There QEMU locks nothing: that no
 * two guests of this node write one disk is seen to here. */
#pragma once

#include "node/disk/disks.h"
#include "node/vm/spec/vm_spec.h"

#define VM_NFS_IN_USE "ClaimInUse" /* an instance's reason while it waits for another */

struct vm_manager;

/* The disk is in place->nfs. -EBUSY: another instance of this node has that file, by whatever claim
 * or volume, or it is not known yet who has (an agent that has just started), and the disk is not
 * one that is shared; -EOPNOTSUPP: it can't be had in the way that the volume says. */
int vm_nfs_take(struct node *n, const struct vm_spec *s, struct vm_disk *d, struct arena *a,
	const struct claim_place *place, struct err *err) _must_check_;
/* A guest is over: those that waited for its disks try again. */
void vm_nfs_let_go(struct vm_manager *m);

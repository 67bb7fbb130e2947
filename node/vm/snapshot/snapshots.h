/* snapshots.h - the node's part in snapshots of virtual machines: VirtualMachineSnapshotContents
 * with the label hanok.io/node of this node are taken, and go with their object.
 *
 *   DATA/local/.snapshots/UID/VOLUME/	a disk (node/disk/disk_dir.h) of frozen layers only
 *   DATA/local/.snapshots/UID/guest.memory	of a running guest, if it was asked for
 *
 * What is said in the status is in the directory, durably; a content that says nothing yet is taken
 * (again). What no content claims goes. Layers that only one disk has left are merged: those of a
 * guest that runs by libvirt, down to one below the top; the others by qemu-img. */
#pragma once

#include <stdbool.h>

struct vm_manager;
struct vm_worker;
struct vm_snapshots;

/* n->disks is there; n->volumes has not been started yet. */
struct vm_snapshots *vm_snapshots_create(struct vm_manager *m);
void vm_snapshots_destroy(struct vm_snapshots *s); /* what is half done is for the next agent */
/* With each step of a worker: who waits for it looks again. s NULL allowed. */
void vm_snapshots_follow(struct vm_snapshots *s, struct vm_worker *w);
/* One is being taken, or waits for it. NULL allowed. */
bool vm_snapshots_under_way(const struct vm_snapshots *s);

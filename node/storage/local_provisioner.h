/* local_provisioner.h - makes PersistentVolumes out of directories of this node, for claims of
 * StorageClasses whose provisioner is hanok.io/local, and takes them away again.
 *
 *	claim, node selected by the scheduler --> directory --> PersistentVolume for that claim
 *	volume Released, policy Delete        --> PersistentVolume deleted, directory removed
 *	                                          (local_removal.h)
 *	claim wants more, its class lets it   --> PersistentVolume says more
 *
 * Thin: a directory takes what is written to it, the size is what the claim was promised, and
 * nothing keeps it from taking more. A size above that of the whole file system is refused. */
#pragma once

#include "node/node.h"

#define LOCAL_PROVISIONER "hanok.io/local"

struct local_provisioner;
/* Directories are made below n->data_dir/local. */
struct local_provisioner *local_provisioner_create(struct node *n);
struct informer *local_provisioner_classes(struct local_provisioner *p); /* of StorageClasses */
/* Who else wants to hear of n->claims, n->volumes and the classes has added his handlers. */
void local_provisioner_start(struct local_provisioner *p);
void local_provisioner_destroy(struct local_provisioner *p); /* what is there stays; NULL allowed */

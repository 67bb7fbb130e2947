/* nfs_provisioner.h - makes PersistentVolumes out of directories of an NFS server, without mounting
 * anything (node/nfs). Classes of the provisioner hanok.io/nfs have the parameters
 *
 *	server, share	the server, and the exported directory in which each claim gets one of its
 *			own, called as its volume (pvc-UID)
 *	uid, gid	who makes and opens the files there (107, as KubeVirt's QEMU)
 *	overcommit	as of local volumes (local_pool.h)
 *
 *	claim of such a class, for this node or for any --> directory, PersistentVolume with
 *spec.nfs volume Released, policy Delete	--> put aside (.removing-NAME), deleted as it was
 *seen, then its files go claim wants more, its class lets it	--> PersistentVolume says more
 *
 * Thin, as local volumes are. A claim above the size of the server's file system is refused. */
#pragma once

#include "node/node.h"

#define NFS_PROVISIONER "hanok.io/nfs"

struct nfs_provisioner;
/* After n->claims and n->volumes were made, and before they and the classes start. */
struct nfs_provisioner *nfs_provisioner_create(struct node *n, struct informer *classes);
void nfs_provisioner_destroy(struct nfs_provisioner *p); /* before those; NULL allowed */

/* nfs_servers.h - the NFS servers that this cluster's volumes are on: of PersistentVolumes with
 * spec.nfs, and of StorageClasses whose provisioner is hanok.io/nfs. Their exports trust nodes by
 * their addresses, and pods go out by those; so netd is told of the servers, to keep pods and
 * machines from them (node/net/netd/server_rules.h).
 *
 *   new name --> ASKED (hanok nfs ... ports) --> KNOWN --> asked again every 5 minutes
 *                  | no address                    | no address now: the old ones stay
 *                  +--> asked again after 10 s <---+
 *
 * A name keeps each address that it ever had while a volume names it: connections may still go to
 * it. Until all names are known, what the kernel has from an earlier agent stays. */
#pragma once

#include "node/node.h"

struct nfs_servers;
/* After n->net and n->volumes were made, and before the informers start. `allowed`:
 * the operator lets pods reach them; then nothing is kept from them, and NULL comes back. */
struct nfs_servers *nfs_servers_create(struct node *n, struct informer *classes, bool allowed);
void nfs_servers_destroy(struct nfs_servers *s); /* before those; NULL allowed */

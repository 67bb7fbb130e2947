/* vm_manager.h - the virtual machines of this node: one vm_worker for each VirtualMachineInstance
 * that the scheduler put here (field selector status.nodeName), on libvirt.
 *
 * What runs belongs to libvirt: domains carry the VMI's namespace, name and uid in their metadata,
 * so a new agent adopts what it finds. Destroying the manager leaves all domains running. */
#pragma once

#include "lib/object/machine_requests.h"
#include "node/node.h"

/* Starts informers and the connection to libvirt; never waits for either. n->net must exist. */
int vm_manager_create(struct node *n, struct vm_manager **ret, struct err *err) _must_check_;
void vm_manager_destroy(struct vm_manager *m); /* NULL allowed */
/* The cache of images' files: live as long as the manager. */
struct container_disks *vm_manager_images(struct vm_manager *m);
/* n->disks is there: snapshots of them can be taken. */
void vm_manager_start_snapshots(struct vm_manager *m);

/* The host is about to go down (or not any more): guests are asked to power off and have grace_s,
 * or less where their own is shorter; none is started. */
void vm_manager_host_ends(struct vm_manager *m, bool ends, int64_t grace_s);
bool vm_manager_any_runs(const struct vm_manager *m);
/* What the machines here ask for that are not over; in the arena. */
size_t vm_manager_requests(
	const struct vm_manager *m, struct arena *a, struct machine_request **ret);
/* Gives back cached images of disks that no guest uses. */
void vm_manager_free_disks(struct vm_manager *m);

/* disks.h - the persistent disks of this node's virtual machines: which claim leads to which
 * directory (disk_dir.h) or device, and what is to be waited for until there is a whole disk.
 *
 * A claim that nobody has filled gets an empty disk of its size: a qcow2 layer where the directory
 * is of the node's own provisioner, else a raw disk.img as KubeVirt makes it. A claim of a
 * DataVolume is filled by that, and waited for. A disk that is smaller than its claim grows. */
#pragma once

#include "node/disk/disk_dir.h"
#include "node/nfs/nfs_place.h"
#include "node/node.h"

struct disks;
/* After the informers n->claims and n->volumes were made, and before they start. */
struct disks *disks_create(struct node *n);
void disks_destroy(struct disks *d); /* NULL allowed; claim_disk_cancel comes before */

/* What a claim stands for. */
struct claim_place {
	const char *volume;    /* name of the PersistentVolume */
	const char *directory; /* or: */
	const char *device;    /* a block device of this host, or: */
	/* a directory of a server, with disk.img in it, which QEMU's own client opens */
	const struct nfs_place *nfs;
	bool own;		  /* a directory that this node's provisioner made */
	int64_t capacity_bytes;	  /* what the claim was promised */
	const char *populated_by; /* name of the DataVolume that fills it; NULL = none */
};
/* From the objects that are known now, strings in the arena. -EAGAIN: not yet; others: not as it
 * is. `ret_reason` is a word for conditions. */
int claim_place_find(struct disks *d, struct arena *a, const char *ns, const char *claim,
	struct claim_place *ret, const char **ret_reason, struct err *err) _must_check_;

/* What tells it from others: its directory, device or URL. */
const char *claim_place_text(struct arena *a, const struct claim_place *p);

struct claim_disk_options {
	const char *namespace, *claim; /* live until `done` */
	struct arena *arena;	       /* of what is given to done; outlives the call */
	bool read_only;		       /* nothing is made or grown */
	/* Something is missing that may come; called again when that changes. May be NULL. */
	void (*waits)(void *user, const char *reason, const struct err *err);
	/* Later, once. chain NULL = it is place->device, or disk.img in place->nfs. On failure
	 * place is NULL. */
	void (*done)(void *user, const struct claim_place *place, const struct disk_chain *chain,
		const char *reason, const struct err *err);
	void *user;
};
struct claim_disk;
struct claim_disk *claim_disk_open(struct disks *d, const struct claim_disk_options *o);
void claim_disk_cancel(struct claim_disk *c); /* done is not called; NULL allowed */

/* The directory's layers are worked on: nobody opens the disk before it is let go again, as often
 * as it was held. What was opened before goes on: whoever holds has seen to that. */
void disks_hold(struct disks *d, const char *directory);
void disks_release(struct disks *d, const char *directory);
bool disks_held(const struct disks *d, const char *directory);
/* Lets go of it when all file work of this key that was queued before has ended: of somebody who
 * was cancelled, and whose thread still works there. */
void disks_release_after(struct disks *d, const char *directory, const char *key);

/* Whether a pod of this node has the claim's directory: -EBUSY, and which one. Asked before any
 * program is let at it: what was looked at could be a link to another file when that opens it. Who
 * holds the directory from then on has it for himself: pods wait. */
int disks_check_pods(
	struct node *n, const char *ns, const char *claim, struct err *err) _must_check_;
/* Whether the claim's directory is held, or a guest has not let it go: -EBUSY. (n->check_claim) */
int disks_check_held(
	struct node *n, const char *ns, const char *claim, struct err *err) _must_check_;

/* Known by who runs guests. */
struct disks_guests {
	/* A guest has the disk of the claim open, or is about to; or that is not known yet. */
	bool (*in_use)(void *user, const char *ns, const char *claim);
	/* A guest was seen to have a file of the directory, which a claim of that namespace had
	 * last, whatever its VMI says now; or that is not known yet. */
	bool (*has)(void *user, const char *ns, const char *directory);
	void *user;
};
void disks_ask_guests(struct disks *d, const struct disks_guests *g); /* NULL = none */
bool disks_in_use(const struct disks *d, const char *ns, const char *claim);
/* The directory is held, or a guest has it still, or nobody can say so yet. ns: of its claim. */
bool disks_directory_in_use(const struct disks *d, const char *ns, const char *directory);

/* Something happened to a claim's disk (it was filled): who waits for it looks again. */
void disks_changed(struct disks *d, const char *ns, const char *claim);

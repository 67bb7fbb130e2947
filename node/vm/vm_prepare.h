/* vm_prepare.h - all that must be there before a domain can be defined: images, disks, the
 * cloud-init seed, the address. What belongs to one VMI is in its directory, named for its uid:
 *     DIRECTORY/UID/domain         the domain's UUID and name: proof that the domain is ours
 *     DIRECTORY/UID/NAME.qcow2     overlay or empty disk        NAME.base  its (shared) image
 *     DIRECTORY/UID/NAME.iso       cloud-init seed              kernel, initrd
 * Disks of VMIs are theirs alone and as old as they are: nothing in there outlives the VMI. */
#pragma once

#include "node/net/lease.h"
#include "node/net/net.h"
#include "node/vm/image/container_disks.h"

struct vm_prepare;
struct vm_prepare_options {
	struct node *node;
	struct container_disks *images;
	const char *directory;	  /* of all VMIs */
	const struct object *vmi; /* for events; a reference is taken */
	struct arena *arena;	  /* for paths put into spec; lives as long as spec */
	struct vm_spec *spec;	  /* paths and formats of disks are filled in */
	/* Something is missing that may come, and is waited for; may be told again. */
	void (*waits)(void *user, const char *reason, const struct err *err);
	/* Called later, once. On failure `reason` is a word for the condition. */
	void (*done)(void *user, const char *address, const char *reason, const struct err *err);
	void *user;
};
struct vm_prepare *vm_prepare_start(const struct vm_prepare_options *o);
void vm_prepare_cancel(struct vm_prepare *p); /* done is not called; NULL allowed */

/* Removes the VMI's directory. The address is given back by net_lease_remove. */
void vm_prepare_remove(const char *directory, const char *uid);
/* The domain that the directory of `uid` is for; -ENOENT. */
int vm_prepare_domain(
	const char *directory, const char *uid, char ret_uuid[37], char ret_name[384]) _must_check_;
/* The address that the VM of this namespace and name had last ("" = none known), and remembering
 * it: DIRECTORY-addresses/DOMAIN. A VM that is started again keeps it unless somebody else has it
 * now. */
void vm_address_recall(const char *directory, const char *domain, char ret[16]);
void vm_address_keep(const char *directory, const char *domain, const char *address);
void vm_address_forget(const char *directory, const char *domain);
/* Adds the domains of which one is remembered, but for those that `ret` has already. */
void vm_address_list(const char *directory, struct lease_kept_list *ret);
/* Which address a VMI's first interface has by its uid. */
void vm_prepare_lease_id(const char *uid, char ret[80]);

/* Pure. */
/* Whether `path` (real, without links) is below one of the directories, one a line. */
bool host_disk_allowed(const char *path, const char *directories);

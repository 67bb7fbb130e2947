/* live_plan.h - which steps lead a running domain to what its VMI asks for now. Pure: what the VMI
 * asks for and what libvirt has go in, steps come out; nothing is remembered between two plans, so
 * that a new agent goes on where the one before ended. */
#pragma once

#include "node/vm/live/live_domain.h"

enum live_kind {
	LIVE_MEMORY,	  /* the balloon */
	LIVE_MODULE,	  /* of memory, plugged in: for a guest that has slots for it */
	LIVE_VCPUS,	  /* plugged in; never out: QEMU 7.2 does not survive it without KVM */
	LIVE_CONTROLLER,  /* for the first SCSI disk */
	LIVE_DISK_ATTACH, /* one of spec.disks */
	LIVE_DISK_DETACH, /* one of the domain's */
	LIVE_MEDIUM,	  /* of a CD-ROM drive: put in, changed, taken out */
	LIVE_NIC_ATTACH,
	LIVE_NIC_DETACH,
	LIVE_LINK,
	LIVE_KINDS
};

struct live_step {
	enum live_kind kind;
	const char *name; /* of disk or interface; "" */
	/* The one it is about: */
	const struct vm_disk *disk;
	const struct vm_interface *interface;
	const struct live_disk *old_disk;
	const struct live_interface *old_interface;
	int64_t bytes;	/* memory */
	unsigned count; /* processors */
};

#define LIVE_STEPS_MAX (LIVE_DISKS_MAX + VM_DISKS_MAX + LIVE_INTERFACES_MAX + VM_INTERFACES_MAX + 4)

struct live_plan {
	struct live_step steps[LIVE_STEPS_MAX];
	size_t count;
};

/* In the order in which they are to be done: what goes, goes first. Disks of the spec whose `path`
 * is not known yet (although they have a volume) are left out. */
void live_plan_make(
	const struct vm_spec *want, const struct live_domain *now, struct live_plan *ret);
/* Gives each disk the target that it has in the domain, and a free one to who has none. */
void live_plan_targets(struct vm_spec *want, const struct live_domain *now);
/* What the spec needs to know of a claim: it has no path yet and is not in the domain, or it may be
 * another medium. */
bool live_plan_wants_path(const struct vm_disk *d, const struct live_domain *now);
/* Whether an emulated guest survives `count` processors in all now. QEMU hands out what it has for
 * translated code by regions, at least one a processor, and ends itself (7.2: an assertion) when a
 * new one finds none left; who runs may take one at any moment, until all are emptied together.
 * `said` is QEMU's answer to "info jit"; true when that can't be understood. */
bool live_plan_has_room(const struct live_domain *now, unsigned count, const char *said);
/* "attach disk 'data'" */
void live_step_words(const struct live_step *s, char *ret, size_t room);

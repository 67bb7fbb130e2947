/* live_domain.h - what a running domain has, read from libvirt's description of it. Pure. Only
 * devices with an alias that starts with ua- are the VMI's own; others do not appear. */
#pragma once

#include "node/vm/spec/vm_spec.h"

#define LIVE_DISKS_MAX (2 * VM_DISKS_MAX)
#define LIVE_INTERFACES_MAX (2 * VM_INTERFACES_MAX)

struct live_disk {
	const char *name; /* alias without ua- */
	const char *device, *bus, *target;
	const char *source; /* file, device or URL; "" = none: an empty drive */
	bool is_block;
	const char *nfs_host, *nfs_name; /* of a file that QEMU's NFS client has open; else NULL */
};

struct live_interface {
	const char *name, *mac, *bridge, *tap;
	bool link_down;
};

struct live_domain {
	struct live_disk disks[LIVE_DISKS_MAX];
	size_t disk_count;
	struct live_interface interfaces[LIVE_INTERFACES_MAX];
	size_t interface_count;
	const char *targets[4 * VM_DISKS_MAX]; /* of all disks, others' too */
	size_t target_count;
	unsigned vcpus, vcpus_max;
	int64_t memory_bytes;  /* at most: the balloon gives no more */
	int64_t most_bytes;    /* with modules that can be plugged in; 0 = none can */
	int64_t current_bytes; /* as it was asked for last */
	bool balloon, scsi;    /* there is such a device */
	bool modules;	       /* of memory, plugged in */
};

/* Texts are in the arena. -EINVAL: it is no description of a domain. */
int live_domain_read(struct arena *a, const char *xml, size_t size, struct live_domain *ret,
	struct err *err) _must_check_;
const struct live_disk *live_domain_disk(const struct live_domain *d, const char *name);
const struct live_interface *live_domain_interface(const struct live_domain *d, const char *name);

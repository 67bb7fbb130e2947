/* vm_usage.h - what the guests of this node use, as libvirt counts it. */
#pragma once

#include "node/vm/vm_manager.h"

/* Since the device is there. The name is the VMI's; of what others attached it is libvirt's ("vdb",
 * a tap). */
struct vm_disk_usage {
	const char *name;
	uint64_t read_bytes, written_bytes;
	uint64_t reads, writes, flushes, read_ns, write_ns, flush_ns;
};
struct vm_interface_usage {
	const char *name;
	uint64_t received_bytes, received_packets, received_errors, received_dropped;
	uint64_t sent_bytes, sent_packets, sent_errors, sent_dropped;
};

struct vm_usage {
	const char *ns, *name, *uid; /* of the VirtualMachineInstance */
	uint64_t cpu_ns;	     /* by the whole guest since it started */
	uint64_t resident_bytes;     /* of the host's memory */
	uint64_t most_bytes;	     /* that the guest may use, without its balloon */
	uint64_t guest_bytes;	     /* that the guest may use now (its balloon) */
	/* As the guest sees it, told by its balloon driver; 0 = it has none, or is silent. */
	uint64_t seen_bytes, unused_bytes, usable_bytes;
	uint64_t used_bytes; /* seen, and not usable */
	/* More of the same, in nanoseconds where it is time. */
	uint64_t cpu_user_ns, cpu_system_ns;	       /* of cpu_ns */
	uint64_t vcpu_ns, vcpu_wait_ns, vcpu_delay_ns; /* by all its processors */
	uint64_t cached_bytes, swapped_in_bytes, swapped_out_bytes, major_faults, minor_faults;
	struct vm_disk_usage *disks;
	size_t disk_count;
	struct vm_interface_usage *interfaces;
	size_t interface_count;
};

/* Called once, later, with what runs; items and texts live until it returns. On failure (libvirt is
 * away, does not answer within 10 s) items is NULL and err says why. */
typedef void vm_usage_done(
	void *user, const struct vm_usage *items, size_t count, const struct err *err);
struct vm_usage_call;
struct vm_usage_call *vm_usage_get(struct vm_manager *m, vm_usage_done *done, void *user);
void vm_usage_cancel(struct vm_usage_call *c); /* done is not called; NULL allowed */

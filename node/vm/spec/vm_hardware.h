/* vm_hardware.h - what a virtual machine is made of besides disks and networks, by subject: parts
 * of struct vm_spec. Plain values and texts only, so that two machines can be compared field by
 * field. A text is NULL when nothing was said. */
#pragma once

#include "lib/json/json.h"

#define VM_INPUTS_MAX 8
#define VM_PANIC_DEVICES_MAX 4
#define VM_HOST_DEVICES_MAX 16

enum vm_switch { VM_UNSET, VM_OFF, VM_ON };

struct vm_cpu_feature {
	const char *name, *policy; /* "require" ... */
};

/* How it shares the host's CPUs. */
struct vm_cpu_tuning {
	unsigned max_sockets;  /* vCPUs that can be plugged in later: sockets at most; 0 = none */
	bool dedicated;	       /* a host CPU for each vCPU that nobody else has */
	bool isolate_emulator; /* and one more for QEMU itself */
	bool numa_passthrough; /* the guest sees the NUMA cells of its CPUs */
	bool realtime;
	const char
		*realtime_mask; /* vCPUs that are real-time, as libvirt writes lists; NULL = all */
	int64_t request_milli;	/* weight among others; 0 = nothing asked for */
	int64_t limit_milli;	/* 0 = as much as there is */
};

/* Host CPUs that were given to it: by node/vm/host/cpu_pool.h, when it is prepared. */
struct vm_placement {
	const unsigned *cpus;  /* of vCPU i; NULL = not pinned */
	const unsigned *cells; /* NUMA cell of each of them */
	size_t count;
	const char *emulator; /* list of CPUs for QEMU's own threads; NULL = any */
	const char *shared;   /* list of CPUs that nobody has alone; NULL = all */
};

struct vm_memory {
	int64_t max_bytes;	  /* memory.maxGuest; 0 = none */
	int64_t request_bytes;	  /* what of it the node promises; 0 = all */
	int64_t limit_bytes;	  /* resources.limits.memory; 0 = none */
	int64_t page_bytes;	  /* huge pages; 0 = ordinary ones */
	bool locked;		  /* never swapped, never merged */
	int64_t swap_bytes;	  /* how much may be swapped out; -1 = as the host likes */
	int64_t overhead_bytes;	  /* reservedOverhead.addedOverhead */
	unsigned stats_period_s;  /* of the balloon's figures; 0 = none */
	bool free_page_reporting; /* the guest's free pages go back to the host */
	bool shared;		  /* with processes of the host that serve the guest */
};

struct vm_timer {
	enum vm_switch present;
	const char *tick_policy, *track;
};
struct vm_clock {
	const char *timezone; /* NULL = UTC */
	int64_t offset_s;
	struct vm_timer hpet, kvm, pit, rtc, hyperv;
};

enum vm_hyperv {
	VM_HYPERV_RELAXED,
	VM_HYPERV_VAPIC,
	VM_HYPERV_SPINLOCKS,
	VM_HYPERV_VPINDEX,
	VM_HYPERV_RUNTIME,
	VM_HYPERV_SYNIC,
	VM_HYPERV_SYNICTIMER,
	VM_HYPERV_RESET,
	VM_HYPERV_VENDORID,
	VM_HYPERV_FREQUENCIES,
	VM_HYPERV_REENLIGHTENMENT,
	VM_HYPERV_TLBFLUSH,
	VM_HYPERV_IPI,
	VM_HYPERV_EVMCS,
	VM_HYPERV_COUNT
};
/* Its name in the VMI ("synictimer") and in libvirt ("stimer"). */
extern const struct vm_hyperv_name {
	const char *field, *libvirt;
} vm_hyperv_names[VM_HYPERV_COUNT];

struct vm_features {
	bool acpi, apic, apic_eoi;
	enum vm_switch smm, pvspinlock;
	bool kvm_hidden;
	bool hyperv_passthrough;
	enum vm_switch hyperv[VM_HYPERV_COUNT];
	bool synictimer_direct;
	int64_t spinlocks;     /* tries before the hypervisor is told */
	const char *vendor_id; /* up to 12 characters */
};

struct vm_chassis {
	const char *manufacturer, *version, *serial, *asset, *sku;
};

struct vm_firmware {
	bool bios_serial; /* the BIOS also speaks on the serial port */
	bool efi, secure_boot;
	bool efi_persistent; /* its variables outlive this instance */
	bool tpm, tpm_persistent;
	const char *slic_volume, *slic_secret; /* an ACPI table; NULL = none */
	/* Filled in when the machine is prepared: */
	const char *nvram_file; /* UEFI's variables */
	const char *slic_file;
};

struct vm_input {
	const char *name, *type, *bus; /* "tablet" | "keyboard"; "usb" | "virtio" */
};

/* A device of the host, by the name that the KubeVirt configuration gives its kind. */
struct vm_host_device {
	const char *name, *device_name;
	bool gpu;
	char address[16]; /* "0000:01:00.0", filled in when the machine is prepared */
};

struct vm_devices {
	bool serial_console, serial_log, graphics, balloon, rng, vsock;
	bool no_hotplug;		    /* nothing is kept free for devices that come later */
	bool transitional;		    /* virtio devices that old guests know */
	bool disk_queues, interface_queues; /* one for each vCPU */
	const char *video;		    /* NULL: what fits the firmware */
	const char *sound;		    /* "ich9" | "ac97" | NULL = none */
	const char *watchdog_action;	    /* NULL = no watchdog */
	struct vm_input inputs[VM_INPUTS_MAX];
	size_t input_count;
	const char *panic[VM_PANIC_DEVICES_MAX]; /* models */
	size_t panic_count;
	const char *on_crash; /* "destroy" | "restart" | "preserve" */
	struct vm_host_device host_devices[VM_HOST_DEVICES_MAX];
	size_t host_device_count;
	const char *serial_log_file; /* filled in when the machine is prepared */
};

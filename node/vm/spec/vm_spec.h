/* vm_spec.h - what a VirtualMachineInstance asks for, read once and checked: sizes in range, every
 * disk with its volume, every interface with its network, nothing that this agent can't give. Pure.
 *
 * Field names and meanings are KubeVirt's (kubevirt.io/v1); defaults that KubeVirt leaves to its
 * installation are chosen here and said at the member. */
#pragma once

#include "lib/json/json.h"

#define VM_DISKS_MAX 32
#define VM_INTERFACES_MAX 8
#define VM_CPUS_MAX 512
#define VM_GRACE_DEFAULT_S 30 /* when terminationGracePeriodSeconds is unset */

/* An OCI image and how to get it. */
struct vm_image {
	const char *image;	 /* as written; NULL = none */
	const char *pull_policy; /* "Always" | "IfNotPresent" | "Never"; never NULL */
	const char *pull_secret; /* name of a Secret in the VMI's namespace, or NULL */
};

enum vm_volume {
	VM_VOLUME_CONTAINER_DISK, /* a file of an image, under a qcow2 overlay of this VMI */
	VM_VOLUME_HOST_DISK,
	VM_VOLUME_EMPTY_DISK,
	VM_VOLUME_CLOUD_INIT, /* NoCloud seed */
	VM_VOLUME_CLAIM,      /* persistentVolumeClaim, dataVolume, ephemeral */
};

/* A file below a disk's own, which nobody writes. */
struct vm_layer {
	const char *path, *format;
	bool relabel; /* it is this VM's alone: QEMU's user gets it */
};

struct vm_disk {
	const char *name;				/* of the disk and its volume */
	const char *device;				/* "disk" | "cdrom" | "lun" */
	const char *bus;				/* "virtio" | "sata" | "scsi" | "usb" */
	char target[8];					/* "vda" */
	const char *serial, *cache, *io, *error_policy; /* NULL = libvirt's default */
	int64_t boot_order;				/* 0 = none */
	bool readonly, shareable;

	enum vm_volume volume;
	struct vm_image image;	/* container disk */
	const char *image_path; /* container disk: "/disk/a.qcow2", NULL = the only file in /disk */
	const char *host_path;	/* host disk */
	bool host_create;	/* host disk: DiskOrCreate */
	int64_t capacity_bytes; /* empty disk, created host disk */
	const struct json *cloud_init; /* the cloudInitNoCloud source */
	const char *claim;	       /* of the VMI's namespace */
	bool ephemeral;		       /* claim: under an overlay of this VMI, which goes with it */

	/* Where the bytes are: filled in by whoever prepares the disks (vm_files.h). */
	const char *path, *format;	/* "raw" | "qcow2" */
	bool is_block;			/* path is a block device of the host */
	const struct vm_layer *backing; /* what lies below, the uppermost first */
	size_t backing_count;
};

struct vm_interface {
	const char *name;
	char mac[18];	   /* given, or made from namespace, name and index so that it stays */
	const char *model; /* "virtio", "e1000", ... */
	int64_t boot_order;
};

struct vm_kernel_boot {
	struct vm_image image;
	const char *kernel_path, *initrd_path; /* in the image; NULL = none */
	const char *args;		       /* NULL = none */
	const char *kernel_file, *initrd_file; /* on the host, filled in like vm_disk.path */
};

struct vm_cpu_feature {
	const char *name, *policy; /* "require" ... */
};

struct vm_spec {
	const struct json *object; /* that it was read from */
	const char *namespace, *name, *uid;
	char domain_name[384]; /* NAMESPACE_NAME */
	char uuid[37];	       /* firmware.uuid, else the uid; lower case */
	bool uuid_given;
	const char *system_serial; /* NULL = none */
	const char *hostname;	   /* spec.hostname, else the name up to the first dot */
	const char *machine;	   /* default "q35" */
	const char *cpu_model;	   /* NULL = the host's best (KVM) or a plain one (TCG) */
	const struct vm_cpu_feature *cpu_features;
	size_t cpu_feature_count;
	unsigned sockets, cores, threads;
	int64_t memory_bytes; /* memory.guest, else requests.memory, else limits.memory */
	bool acpi, apic, smm;
	bool efi, secure_boot;
	const char *timezone; /* NULL = UTC */
	int64_t clock_offset_s;
	bool serial_console, graphics, balloon, rng;
	bool reboot_terminates;	     /* rebootPolicy Terminate */
	const char *watchdog_action; /* NULL = no watchdog */
	bool tablet;
	const char *tablet_bus;
	int64_t grace_s;
	bool start_paused;
	struct vm_kernel_boot kernel_boot;
	struct vm_disk disks[VM_DISKS_MAX];
	size_t disk_count;
	struct vm_interface interfaces[VM_INTERFACES_MAX];
	size_t interface_count;
};

/* `vmi` must outlive *ret; derived texts are in the arena. -EINVAL: the object is wrong;
 * -EOPNOTSUPP: it asks for what this agent does not do. Both name the field. */
int vm_spec_read(
	struct arena *a, const struct json *vmi, struct vm_spec *ret, struct err *err) _must_check_;

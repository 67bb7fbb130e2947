/* vm_spec.h - what a VirtualMachineInstance asks for, read once and checked: sizes in range, every
 * disk with its volume, every interface with its network, nothing that this agent can't give. Pure.
 *
 * Field names and meanings are KubeVirt's (kubevirt.io/v1); defaults that KubeVirt leaves to its
 * installation are chosen here and said at the member. */
#pragma once

#include <net/if.h>
#include <netinet/in.h>

#include "lib/object/machine_annotations.h"
#include "node/nfs/nfs_place.h"
#include "node/vm/spec/vm_hardware.h"

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
	VM_VOLUME_CLOUD_INIT, /* a seed: enum vm_seed */
	VM_VOLUME_CLAIM,      /* persistentVolumeClaim, dataVolume, ephemeral */
	VM_VOLUME_NONE,	      /* an empty CD-ROM drive */
};

/* A file below a disk's own, which nobody writes. */
struct vm_layer {
	const char *path, *format;
	bool relabel; /* it is this VM's alone: QEMU's user gets it */
};

/* Small read-only disks made of documents: node/vm/seed/. */
enum vm_seed {
	VM_SEED_NO_CLOUD,
	VM_SEED_CONFIG_DRIVE,
	VM_SEED_SYSPREP,
	VM_SEED_CONFIG_MAP,
	VM_SEED_SECRET,
	VM_SEED_DOWNWARD_API,
	VM_SEED_SERVICE_ACCOUNT,
};

struct vm_disk {
	const char *name;				/* of the disk and its volume */
	const char *device;				/* "disk" | "cdrom" | "lun" */
	const char *bus;				/* "virtio" | "sata" | "scsi" | "usb" */
	char target[8];					/* "vda" */
	const char *serial, *cache, *io, *error_policy; /* NULL = libvirt's default */
	int64_t boot_order;				/* 0 = none */
	bool readonly, shareable;
	bool tray_open;
	bool dedicated_iothread;
	unsigned iothread;     /* which of vm_spec.iothreads, from 1; 0 = none */
	unsigned queues;       /* 0 = QEMU's default */
	bool match_block_size; /* of the volume: the sizes are filled in when it is prepared */
	unsigned logical_block, physical_block, discard_granularity; /* bytes; 0 = default */
	struct machine_io_limits limits;

	enum vm_volume volume;
	struct vm_image image;	/* container disk */
	const char *image_path; /* container disk: "/disk/a.qcow2", NULL = the only file in /disk */
	const char *host_path;	/* host disk */
	bool host_create;	/* host disk: DiskOrCreate */
	int64_t capacity_bytes; /* empty disk, created host disk */
	enum vm_seed seed;
	const struct json *cloud_init; /* seed: the volume's source */
	const struct json
		*fields; /* of downwardAPI and serviceAccount: {path: text}, made before the seed */
	const char *claim; /* of the VMI's namespace */
	bool ephemeral;	   /* claim: under an overlay of this VMI, which goes with it */
	bool hotpluggable; /* claim: it came, or may go, while the guest runs */

	/* Where the bytes are: filled in by whoever prepares the disks (vm_files.h). */
	const char *path, *format;   /* "raw" | "qcow2" */
	bool is_block;		     /* path is a block device of the host */
	const struct nfs_place *nfs; /* path is the URL of nfs_file there; NULL = it is a file */
	const char *nfs_file;
	const struct vm_layer *backing; /* what lies below, the uppermost first */
	size_t backing_count;
};

struct vm_interface {
	const char *name;
	char mac[18];	   /* given, or made from namespace, name and index so that it stays */
	const char *model; /* "virtio", "e1000", ... */
	int64_t boot_order;
	unsigned queues; /* 0 = QEMU's default */
	bool link_down;
	const char *network; /* [NAMESPACE/]NAME of a NetworkAttachmentDefinition; NULL = the
				pods' */
	/* Filled in by whoever attaches it (vm_networks.h); "" = the pod network's. */
	char bridge[IFNAMSIZ], tap[IFNAMSIZ];
	char address[INET6_ADDRSTRLEN]; /* "" = unknown */
	unsigned mtu;			/* 0 = the bridge's */
};

struct vm_kernel_boot {
	struct vm_image image;
	const char *kernel_path, *initrd_path; /* in the image; NULL = none */
	const char *args;		       /* NULL = none */
	const char *kernel_file, *initrd_file; /* on the host, filled in like vm_disk.path */
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
	struct vm_cpu_tuning cpu_tuning;
	struct vm_placement placement; /* filled in when it is prepared */
	struct vm_memory memory;
	struct vm_features features;
	struct vm_clock clock;
	struct vm_firmware firmware;
	struct vm_chassis chassis;
	struct vm_devices devices;
	unsigned iothreads; /* threads of QEMU for disks' requests; 0 = its main thread does it */
	bool reboot_terminates; /* rebootPolicy Terminate */
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
unsigned spec_cpu_count(const struct vm_spec *s); /* at start */
/* The one on the pod network; NULL. */
const struct vm_interface *vm_spec_pod_interface(const struct vm_spec *s);

/* host_caps.h - what this host's libvirt and QEMU can give a machine: read from libvirt's own
 * description of the host (virConnectGetCapabilities) and of the machines it can make
 * (virConnectGetDomainCapabilities, of a q35 machine), and from the kernel. Pure but for
 * host_caps_probe. */
#pragma once

#include "lib/base/arena.h"
#include "lib/base/err.h"
#include "lib/base/util.h"

struct host_cpu {
	unsigned id, cell;
	unsigned core; /* CPUs with the same are threads of one core */
};

struct host_caps {
	bool known; /* libvirt was asked; without that nothing is refused */
	bool kvm;
	uint64_t libvirt_version; /* 9000000 is 9.0.0 */
	unsigned cpus_max;	  /* of one machine */
	/* Lists end with NULL. */
	const char *const *machines,
		*const *machine_is;    /* names; what each stands for ("pc-q35-7.2") */
	const char *const *cpu_models; /* that run here */
	const char *const *hyperv;     /* libvirt's words for what it offers; NULL = not told */
	const char *const *videos;
	const char *const *security; /* "dac", "apparmor", "selinux" */
	bool host_passthrough, host_model;
	bool efi, secure_boot, tpm, virtiofs;
	const char *sev; /* "" = there; else why not */
	struct host_cpu *cpus;
	size_t cpu_count;
	/* Of the kernel: */
	bool cgroup2, swap_limit, lock_memory, vsock, iommu;
};

/* Both texts as libvirt gave them. */
int host_caps_read(struct arena *a, const char *capabilities, size_t size, const char *domain,
	size_t domain_size, struct host_caps *ret, struct err *err) _must_check_;
/* The kernel's part; `root` is "" (or a tree of a test). */
void host_caps_probe(struct host_caps *caps, const char *root);
/* Whether the list has it. NULL list: false. */
bool host_caps_has(const char *const *list, const char *word);
/* What the machine type stands for; NULL when there is no such type here. */
const char *host_caps_machine(const struct host_caps *caps, const char *type);

/* domain_xml.h - libvirt's description of a VM from what the VMI asks for. Pure: same input, same
 * text (golden files in testdata/). Format: https://libvirt.org/formatdomain.html */
#pragma once

#include "node/vm/spec/vm_spec.h"

/* What the host can do and is called. */
struct domain_host {
	bool kvm;     /* the CPU can and /dev/kvm opens; else TCG emulation */
	bool cgroup2; /* weights of CPUs have another scale there */
	/* Limits of memory can be given: libvirt raises that of locked memory with them, which
	 * needs CAP_SYS_RESOURCE. */
	bool memory_limits;
	const char *emulator; /* "/usr/bin/qemu-system-x86_64" */
	const char *bridge;   /* "hanok0" */
	const char *node;     /* name of the Node */
};

/* Every disk must have path and format. -EINVAL when a text can't be in XML (control characters).
 */
int domain_xml_write(struct buf *out, const struct vm_spec *s, const struct domain_host *host,
	struct err *err) _must_check_;
/* One of its devices, as for plugging it in. A CD-ROM drive without path is empty. */
int domain_xml_disk(struct buf *out, const struct vm_spec *s, const struct vm_disk *d,
	struct err *err) _must_check_;
int domain_xml_interface(struct buf *out, const struct vm_spec *s, const struct vm_interface *i,
	const struct domain_host *host, struct err *err) _must_check_;

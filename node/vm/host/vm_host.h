/* vm_host.h - the host under the machines: what it can give, and what each was given. It asks
 * libvirt once a connection, refuses what can't be had (host_check.h), and when a machine is about
 * to be defined gives it its CPUs, the files of its firmware, and devices.
 *
 * Files of a machine beside those of vm_prepare.h, in its own directory and gone with it:
 *     cpus          host CPUs that it has alone (cpu_pool.h)
 *     nvram.fd      UEFI's variables
 *     console.log   what the serial port wrote, when it asked for that (libvirt's virtlogd cuts it)
 * What outlives the instance (efi.persistent, tpm.persistent) belongs to the VirtualMachine:
 * vm_state.h. */
#pragma once

#include "node/vm/host/host_caps.h"
#include "node/vm/spec/vm_spec.h"

struct vm_manager;
struct vm_host;

/* Never waits. */
struct vm_host *vm_host_create(struct vm_manager *m);
void vm_host_destroy(struct vm_host *h); /* NULL allowed */
/* Asks libvirt, which just came up; `then` is called when the answers are in, or can't be had. */
void vm_host_learn(struct vm_host *h, void (*then)(struct vm_manager *m));
const struct host_caps *vm_host_caps(const struct vm_host *h);

/* -EOPNOTSUPP with the field and why this host can't give it. */
int vm_host_check(const struct vm_host *h, const struct vm_spec *s, struct err *err) _must_check_;
/* Fills in what the host gives: placement, files, addresses (texts in the arena). The machine's
 * directory is there, and so are its disks. `ret_reason` is a word for the condition. */
int vm_host_place(struct vm_host *h, struct vm_spec *s, struct arena *a, const char **ret_reason,
	struct err *err) _must_check_;
/* How the guest's QEMU is shut in ("" = it does not run), and whether nothing is missing. Returns
 * its user; < 0 = it does not run. */
int64_t vm_host_confinement(const char *domain, char *ret, size_t room, bool *ret_whole);

/* vm_state.h - what a VirtualMachine keeps on its node between its instances: UEFI's variables
 * (efi.persistent) and the TPM's memory (tpm.persistent).
 *
 *     DATA/vm-state/UID/owner      "NAMESPACE NAME": the VirtualMachine with that uid
 *     DATA/vm-state/UID/nvram.fd   UEFI's variables
 *     DATA/vm-state/UID/tpm        the domain's UUID, by which libvirt names the TPM's directory
 *
 * It goes when the VirtualMachine is gone: each is watched by name, so that the cluster's machines
 * need not all be known here. An instance without a VirtualMachine keeps nothing. */
#pragma once

#include "lib/client/client.h"
#include "lib/client/informer.h"
#include "node/vm/spec/vm_spec.h"

/* Where libvirt's TPMs of the system's instance are: one directory a domain, named by its UUID. */
#define VM_TPM_DIRECTORY "/var/lib/libvirt/swtpm"

struct vm_states;
struct vm_states *vm_states_create(uv_loop_t *loop, struct client *c, const struct kind *machines,
	const char *directory, const char *tpm_directory);
void vm_states_destroy(struct vm_states *v); /* NULL allowed */
/* The directory of the VirtualMachine that owns this instance, made when it is missing, and the
 * TPM's memory under the name that libvirt will look for. *ret NULL: nobody owns it. */
int vm_states_place(struct vm_states *v, const struct vm_spec *s, struct arena *a, const char **ret,
	struct err *err) _must_check_;

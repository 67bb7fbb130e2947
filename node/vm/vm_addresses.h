/* vm_addresses.h - a machine that is stopped keeps its address on the pod network, however few are
 * left, until the machine itself (VirtualMachine) is deleted: looks from time to time whether those
 * that are kept, or remembered (vm_prepare.h), still have one. */
#pragma once

#include "node/node.h"

struct vm_addresses;
struct vm_manager;
struct vm_addresses *vm_addresses_create(struct vm_manager *m);
void vm_addresses_destroy(struct vm_addresses *a); /* NULL allowed */
/* One was kept just now. */
void vm_addresses_kept(struct vm_addresses *a);

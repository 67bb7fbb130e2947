/* machine_macs.h - MAC addresses of virtual machines (VirtualMachine, VirtualMachineInstance): who
 * gives none gets one from the cluster's range and keeps it, and no two machines have the same. */
#pragma once

#include "server/api/hooks/hooks_internal.h"

/* For kind_hooks.allocate and .occupy; the kind is known by the document. */
int machine_macs_allocate(struct hook *h, struct json *doc, const struct json *old);
void machine_macs_occupy(struct api *api, const struct json *doc, bool taken);

/* vm_revision.h - what a VirtualMachine was when its instance was started: a ControllerRevision
 * named revision-start-vm-UID-GENERATION with the machine's spec as data, as KubeVirt keeps it for
 * clients that compare the two. One a machine: the one of its last start. */
#pragma once

#include "server/controllers/machines/virtual_machine_sizes.h"

const char *vm_revision_name(struct arena *a, const char *uid, int64_t generation);
/* One of the machine's with this uid, of whatever generation. */
bool vm_revision_is(const char *name, const char *uid);
/* doc is vm's document; refs those of its status (revisions of what it means), members NULL
 * allowed. */
struct json *vm_revision_new(struct arena *a, const struct object *vm, const struct json *doc,
	struct json *const refs[SIZE_ROLES]);

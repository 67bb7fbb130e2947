/* vm_fields.h - what a volume of downwardAPI tells the guest about its instance: metadata.name,
 * namespace, uid, labels and annotations, as pods are told (node/pod/pod_env.h). Pure. */
#pragma once

#include "node/vm/spec/vm_spec.h"

/* Fills in d->fields, in the arena. -EINVAL names the field: unknown, or a path that is not plain.
 */
int vm_fields_read(
	struct arena *a, const struct vm_spec *s, struct vm_disk *d, struct err *err) _must_check_;

/* seed.h - the small read-only disks that set a guest up: the seed of cloud-init (NoCloud, and
 * OpenStack's config drive version 2), the answer files of Windows' setup (sysprep), and the values
 * of a ConfigMap or Secret. Pure.
 *
 * Layouts: https://cloudinit.readthedocs.io (NoCloud, Config drive); labels and names as KubeVirt
 * has them. What the user wrote goes into the guest as it is, network data of any version too. */
#pragma once

#include "lib/base/buf.h"
#include "node/vm/spec/vm_spec.h"

#define SEED_DOCUMENT_MAX_BYTES (1u << 20) /* of one document: what a Secret may hold */

/* The "data" of an object, NULL = it is not there. config_map: of texts ("data"), else of a Secret
 * (base64). */
typedef const struct json *seed_lookup(void *user, bool config_map, const char *name);

/* Each ConfigMap and Secret that the disk is made of; optional: it may be absent. */
typedef void seed_visit(void *user, bool config_map, const char *name, bool optional);
void seed_refs(const struct vm_spec *s, const struct vm_disk *d, seed_visit *each, void *user);

/* The disk as an ISO 9660 image. -EINVAL, -ENOENT, -E2BIG name the field or object. */
int seed_build(struct buf *out, const struct vm_spec *s, const struct vm_disk *d,
	seed_lookup *lookup, void *user, int64_t wall_ns, struct err *err) _must_check_;

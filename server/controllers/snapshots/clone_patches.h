/* clone_patches.h - in what a clone differs from its source: JSON patch operations, as texts, for
 * the restore that makes it. Pure. */
#pragma once

#include "server/controllers/snapshots/parts.h"

/* An array of texts. Interfaces get the address that newMacAddresses gives them, else none, so that
 * one is made from the new name; firmware UUID, SMBIOS serial (but newSMBiosSerial) and hostname
 * go, for the same reason; labels and annotations that the filters leave out go; then the clone's
 * own patches come. -EINVAL: a filter is no regular expression. */
int clone_patches(struct arena *a, const struct json *clone, const struct json *vm,
	struct json **ret, struct err *err) _must_check_;

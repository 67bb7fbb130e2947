/* pci.h - devices of the host that a machine may have for itself: found by vendor and product in
 * the kernel's tree, and fit to be given away. `root` is "" (or a tree of a test). */
#pragma once

#include "lib/base/arena.h"
#include "lib/base/err.h"

/* A device that matches "10DE:1EB8" (KubeVirt's pciVendorSelector), is bound to vfio-pci with all
 * others of its IOMMU group, and is none of `taken` (ends with NULL). -EOPNOTSUPP or -EBUSY say
 * what is in the way of the one that came furthest. `asked` names what was asked for. */
int pci_find(const char *root, const char *asked, const char *selector, const char *const *taken,
	char ret[16], struct err *err) _must_check_;
/* How many devices match and are fit, free or not; when there are none *why says what is in the way
 * of the one that came furthest. */
unsigned pci_count(const char *root, const char *asked, const char *selector, struct err *why);
/* Addresses that machines of this directory have (DIRECTORY/UID/devices, one a line) but `except`;
 * ends with NULL. */
const char **pci_taken(const char *directory, const char *except, struct arena *a);
/* Writes DIRECTORY/UID/devices. */
int pci_record(const char *directory, const char *uid, const char *const *addresses, size_t count,
	struct err *err) _must_check_;

/* live_disks.h - which file each disk of a running domain is written to, from the XML that libvirt
 * gives of it. Pure. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "lib/base/buf.h"
#include "lib/base/str.h"

struct live_disk {
	char target[16]; /* "vda" */
	char file[512];	 /* of the top layer */
};

/* Finds the disk whose file is in this directory. False: there is none, or its names do not fit. */
bool live_disk_find(struct str xml, const char *directory, struct live_disk *ret);
/* The document of an external snapshot: each of these disks goes on in its new file, all others
 * stay as they are. memory: where the guest's memory goes; NULL = disks only. */
struct live_switch {
	const char *target, *file;
};
void live_snapshot_write(struct buf *out, struct str xml, const struct live_switch *disks,
	size_t count, const char *memory);

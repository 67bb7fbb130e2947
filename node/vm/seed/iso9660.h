/* iso9660.h - a small ISO 9660 image with Rock Ridge and Joliet names, made in memory: what guests
 * read as the seed of cloud-init, an answer file of Windows' setup, or a ConfigMap. ECMA-119 (with
 * level 1 names), IEEE P1282 (RRIP), and Microsoft's Joliet specification; one session. Pure. */
#pragma once

#include "lib/base/buf.h"
#include "lib/base/err.h"

#define ISO_LABEL_MAX 32
#define ISO_NAME_MAX 150 /* of one part of a path; only the first 64 in Joliet */
#define ISO_FILES_MAX 2048
#define ISO_SIZE_MAX (64u << 20) /* of all files together */
#define ISO_DEPTH_MAX 7

struct iso_file {
	const char *path; /* "openstack/latest/user_data": relative, of ASCII */
	const void *data;
	size_t size;
};

/* mode: of the files, e.g. 0400; directories can be read by who may read files. wall_ns: their
 * time. -EINVAL, -E2BIG, -ENAMETOOLONG name the file. */
int iso9660_write(struct buf *out, const char *label, const struct iso_file *files, size_t count,
	unsigned mode, int64_t wall_ns, struct err *err) _must_check_;

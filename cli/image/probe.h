/* probe.h - what a disk image is, by its first bytes: never by its name, and nothing that it names
 * is opened. */
#pragma once

#include "lib/base/err.h"
#include "lib/base/str.h"

struct probe_partition {
	uint64_t start_bytes, size_bytes;
	char type[64]; /* "Linux", "EFI system", or the table's own code */
	char name[73]; /* GPT's, in UTF-8; else "" */
	bool bootable;
};
struct probe {
	/* "qcow2", "raw", "vmdk", "vdi", "vhdx", "vpc", "iso"; of disks in something else: "ova",
	 * "gzip", "xz", "zstd" */
	const char *format;
	uint64_t file_bytes, virtual_bytes; /* virtual_bytes 0 = not told, as by packed ones */
	char backing[1024];		    /* name of the backing file in the header, "" = none */
	bool encrypted, data_file;
	unsigned version;  /* of the format; 0 = it has none */
	const char *table; /* "gpt", "mbr", NULL = none, or not looked for */
	struct probe_partition partitions[128];
	unsigned partition_count;
};
/* -EINVAL when the header contradicts itself. */
int probe_image(const char *path, struct probe *ret, struct err *err) _must_check_;

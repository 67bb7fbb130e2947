/* disk_probe.h - what a file from outside is: judged by its magic and headers, read strictly,
 * before any program opens it. Pure.
 *
 * A file that would make QEMU open another one (a backing file, a parent, an extent, a data file)
 * is refused here; and whatever opens it later is told the format, and told to open nothing below
 * it. */
#pragma once

#include "node/disk/qcow2_header.h"

/* Bytes of the file; the count, less at its end, or a negative errno. */
struct disk_bytes {
	ssize_t (*read)(void *user, void *to, size_t size, int64_t offset);
	void *user;
	int64_t size_bytes;
};

struct disk_probe {
	/* As QEMU calls it: "raw" "qcow2" "vmdk" "vdi" "vhdx" "vpc"; NULL = it is packed: */
	const char *format;
	const char *unpack; /* "gzip" "xz" "zstd": the program that unpacks it; NULL = not packed */
	int64_t offset, length; /* where in the file: of an archive's member */
	const char *member;	/* its name; NULL = the file is no archive */
	/* qcow2 that can be a layer as it is: no backing file, no snapshots, closed properly. */
	bool is_layer;
	int64_t disk_bytes; /* what the guest sees, of raw and qcow2; 0 = ask qemu-img */
};

/* Strings are in the arena, or static. -EINVAL: why it is not accepted. */
int disk_probe(struct arena *a, const struct disk_bytes *b, struct disk_probe *ret,
	struct err *err) _must_check_;

/* ova.c: an OVA archive (a tar of an OVF descriptor and the disks that it names: DMTF DSP0243). The
 * place of the first disk that the descriptor lists; the format there is not judged yet. */
int ova_find_disk(struct arena *a, const struct disk_bytes *b, struct disk_probe *ret,
	struct err *err) _must_check_;
bool ova_is_tar(const uint8_t *head, size_t size);

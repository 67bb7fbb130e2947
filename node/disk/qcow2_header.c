#include "node/disk/qcow2_header.h"

#include <string.h>

enum {
	V2_BYTES = 72,
	V3_BYTES = 104,
	BACKING_MAX = 1023,
	CLUSTER_BITS_MIN = 9,
	CLUSTER_BITS_MAX = 21,
	EXTENSIONS_MAX = 64,
};
#define EXT_END 0u
#define EXT_BACKING_FORMAT 0xe2792acau
#define EXT_DATA_FILE 0x44415441u
#define EXT_LUKS 0x0537be77u

enum {
	BIT_DIRTY = 1 << 0,
	BIT_CORRUPT = 1 << 1,
	BIT_DATA_FILE = 1 << 2,
	BIT_COMPRESSION = 1 << 3,
	BIT_EXTENDED_L2 = 1 << 4,
};

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint64_t get64(const uint8_t *p)
{
	return (uint64_t)get32(p) << 32 | get32(p + 4);
}

/* A text of the file; NULL when it is not all there or is none. */
static const char *text_at(
	struct arena *a, const uint8_t *p, size_t size, uint64_t at, uint32_t length)
{
	if (length == 0 || length > BACKING_MAX || at > size || length > size - at ||
		memchr(p + at, '\0', length))
		return NULL;
	return arena_memdup(a, p + at, length);
}

static int read_extensions(struct arena *a, const uint8_t *p, size_t size, uint64_t at,
	struct qcow2_header *h, struct err *err)
{
	for (int i = 0; i < EXTENSIONS_MAX; i++) {
		uint32_t type, length;

		if (at > size || size - at < 8)
			return 0; /* qemu-img takes the end of the cluster for an end, too */
		type = get32(p + at);
		length = get32(p + at + 4);
		at += 8;
		if (type == EXT_END)
			return 0;
		if (length > size - at)
			return err_set(err, -EINVAL, "the header of the disk is damaged");
		if (type == EXT_DATA_FILE)
			return err_set(err, -EINVAL,
				"the disk has an external data file, which is not allowed");
		if (type == EXT_LUKS)
			return err_set(
				err, -EINVAL, "the disk is encrypted, which is not supported");
		if (type == EXT_BACKING_FORMAT && length) {
			h->backing_format = text_at(a, p, size, at, length);
			if (!h->backing_format)
				return err_set(err, -EINVAL, "the header of the disk is damaged");
		}
		at += ((uint64_t)length + 7) & ~UINT64_C(7);
	}
	return err_set(err, -EINVAL, "the header of the disk is damaged: too many extensions");
}

int qcow2_header_read(
	struct arena *a, const void *head, size_t size, struct qcow2_header *ret, struct err *err)
{
	const uint8_t *p = head;
	struct qcow2_header h = {0};
	uint64_t bytes, backing_at, incompatible = 0, length = V2_BYTES;
	uint32_t version, backing_size;
	int r;

	if (size < V2_BYTES || memcmp(p, "QFI\xfb", 4) != 0)
		return err_set(err, -EINVAL, "it is not a qcow2 file");
	version = get32(p + 4);
	if (version != 2 && version != 3)
		return err_set(
			err, -EINVAL, "qcow2 version %u is not supported, 2 and 3 are", version);
	backing_at = get64(p + 8);
	backing_size = get32(p + 16);
	h.cluster_bits = get32(p + 20);
	bytes = get64(p + 24);
	if (get32(p + 32) != 0)
		return err_set(err, -EINVAL, "the disk is encrypted, which is not supported");
	if (version == 3) {
		if (size < V3_BYTES)
			return err_set(err, -EINVAL, "the header of the disk is cut off");
		incompatible = get64(p + 72);
		length = get32(p + 100);
		if (length < V3_BYTES || length > 4096)
			return err_set(err, -EINVAL, "the header of the disk is damaged");
	}
	if (h.cluster_bits < CLUSTER_BITS_MIN || h.cluster_bits > CLUSTER_BITS_MAX)
		return err_set(err, -EINVAL, "the header of the disk is damaged: cluster size");
	if (bytes == 0 || bytes > (uint64_t)DISK_SIZE_MAX_BYTES)
		return err_set(err, -EINVAL, "the disk's size of %llu bytes is not usable",
			(unsigned long long)bytes);
	if (incompatible & BIT_CORRUPT)
		return err_set(err, -EINVAL, "the disk is marked as corrupt");
	if (incompatible & BIT_DATA_FILE)
		return err_set(
			err, -EINVAL, "the disk has an external data file, which is not allowed");
	if (incompatible & ~(uint64_t)(BIT_DIRTY | BIT_CORRUPT | BIT_DATA_FILE | BIT_COMPRESSION |
				       BIT_EXTENDED_L2))
		return err_set(err, -EINVAL, "the disk needs features that are not known here");
	h.size_bytes = (int64_t)bytes;
	h.dirty = incompatible & BIT_DIRTY;
	if (backing_at) {
		h.backing = text_at(a, p, size, backing_at, backing_size);
		if (!h.backing)
			return err_set(err, -EINVAL,
				"the header of the disk is damaged: name of the backing file");
	}
	r = read_extensions(a, p, size, length, &h, err);
	if (r < 0)
		return r;
	*ret = h;
	return 0;
}

#include "node/disk/overlay.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/buf.h"
#include "node/disk/qcow2_header.h"

enum {
	CLUSTER_BITS = 16,
	CLUSTER = 1 << CLUSTER_BITS,
	BLOCK = 4096,
	HEADER_BYTES = 104,
	REFCOUNT_ORDER = 4, /* 2^4 bits each */
};
#define EXTENSION_BACKING_FORMAT 0xe2792acau
/* One entry of the first table stands for a second table of 8,192 clusters. */
#define BYTES_PER_ENTRY ((int64_t)CLUSTER * (CLUSTER / 8))

static void put32(struct buf *b, uint32_t v)
{
	for (int shift = 24; shift >= 0; shift -= 8)
		buf_add_char(b, (char)(v >> shift));
}

static void put64(struct buf *b, uint64_t v)
{
	put32(b, (uint32_t)(v >> 32));
	put32(b, (uint32_t)v);
}

static void fill(struct buf *b, size_t size)
{
	static const char zeros[512];

	while (b->size < size)
		buf_add(b, zeros, MIN(sizeof(zeros), size - b->size));
}

/*   0 header   1 table of refcount blocks   2 the one block   3... first table (all empty)
 * in clusters. */
static void write_image(struct buf *b, int64_t size_bytes, const char *backing, const char *format)
{
	uint32_t entries = (uint32_t)((size_bytes + BYTES_PER_ENTRY - 1) / BYTES_PER_ENTRY);
	uint32_t clusters = 3 + (entries * 8 + CLUSTER - 1) / CLUSTER;
	/* Behind the header: the extension (padded to 8 bytes) and the end of extensions. */
	size_t name_at = HEADER_BYTES + 8;

	if (backing)
		name_at += 8 + ((strlen(format) + 7) & ~(size_t)7);
	buf_add(b, "QFI\xfb", 4);
	put32(b, 3);
	put64(b, backing ? name_at : 0);
	put32(b, backing ? (uint32_t)strlen(backing) : 0);
	put32(b, CLUSTER_BITS);
	put64(b, (uint64_t)size_bytes);
	put32(b, 0); /* encryption */
	put32(b, entries);
	put64(b, 3 * CLUSTER);
	put64(b, 1 * CLUSTER);
	put32(b, 1); /* clusters of the refcount table */
	put32(b, 0); /* internal snapshots */
	put64(b, 0);
	put64(b, 0); /* features: incompatible, compatible, autoclear */
	put64(b, 0);
	put64(b, 0);
	put32(b, REFCOUNT_ORDER);
	put32(b, HEADER_BYTES);
	if (backing) {
		put32(b, EXTENSION_BACKING_FORMAT);
		put32(b, (uint32_t)strlen(format));
		buf_add_str(b, format);
		fill(b, (b->size + 7) & ~(size_t)7);
	}
	put64(b, 0);
	if (backing)
		buf_add_str(b, backing);
	fill(b, CLUSTER);
	put64(b, 2 * CLUSTER);
	fill(b, 2 * CLUSTER);
	for (uint32_t i = 0; i < clusters; i++)
		buf_add(b, "\0\1", 2);
	fill(b, (size_t)clusters * CLUSTER);
}

int overlay_create(int dir, const char *name, int64_t size_bytes, const char *backing,
	const char *format, struct err *err)
{
	_cleanup_(buf_finish) struct buf image = BUF_INIT;
	_cleanup_(close_p) int fd = -1;
	size_t done = 0;

	if (size_bytes <= 0 || size_bytes > DISK_SIZE_MAX_BYTES)
		return err_set(err, -EINVAL, "'%s': a disk of %lld bytes can't be made", name,
			(long long)size_bytes);
	if (backing && strlen(backing) > 255)
		return err_set(err, -ENAMETOOLONG, "'%s': its backing file's name", name);
	write_image(&image, size_bytes, backing, format);
	fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_errno(err, -errno, "make '%s'", name);
	/* Most of it is zeros, and stays a hole. */
	for (; done < image.size; done += BLOCK) {
		static const char zeros[BLOCK];

		if (memcmp(image.data + done, zeros, BLOCK) != 0 &&
			pwrite(fd, image.data + done, BLOCK, (off_t)done) != BLOCK)
			break;
	}
	if (done == image.size && ftruncate(fd, (off_t)image.size) == 0 && fsync(fd) == 0)
		return 0;
	int code = errno ? -errno : -EIO;
	(void)unlinkat(dir, name, 0);
	return err_errno(err, code, "write '%s'", name);
}

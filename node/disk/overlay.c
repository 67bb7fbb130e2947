#include "node/disk/overlay.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "node/disk/qcow2_header.h"
#include "node/disk/qcow2_write.h"

enum { CLUSTER = QCOW2_CLUSTER, BLOCK = 4096, SECTOR = 512 };

/*   0 header   1 table of refcount blocks   2 the one block   3... first table (all empty)
 * in clusters. */
static void write_image(struct buf *b, int64_t size_bytes, const char *backing, const char *format)
{
	uint32_t entries = qcow2_l1_entries(size_bytes);
	uint32_t clusters = 3 + (entries * 8 + CLUSTER - 1) / CLUSTER;

	qcow2_put_header(b, &(struct qcow2_layout){
				    .size_bytes = size_bytes,
				    .l1_at = 3 * CLUSTER,
				    .l1_entries = entries,
				    .refcount_at = 1 * CLUSTER,
				    .refcount_count = 1,
				    .backing = backing,
				    .backing_format = format,
			    });
	qcow2_put64(b, 2 * CLUSTER);
	qcow2_fill(b, 2 * CLUSTER);
	for (uint32_t i = 0; i < clusters; i++)
		buf_add(b, "\0\1", 2);
	qcow2_fill(b, (size_t)clusters * CLUSTER);
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
	if (backing && strlen(backing) > 1023)
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

int overlay_backing_size(const char *path, const char *format, int64_t *ret_bytes, struct err *err)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	_cleanup_(close_p) int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	uint8_t *head = arena_alloc(&a, QCOW2_READ_BYTES);
	struct qcow2_header h;
	struct stat st;
	ssize_t n;
	int r;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_errno(err, -errno, "open '%s'", path);
	if (!S_ISREG(st.st_mode))
		return err_set(err, -EINVAL, "'%s' is not a regular file", path);
	if (strcmp(format, "qcow2") != 0) {
		*ret_bytes = (st.st_size + SECTOR - 1) / SECTOR * SECTOR;
		return 0;
	}
	n = pread(fd, head, QCOW2_READ_BYTES, 0);
	if (n < 0)
		return err_errno(err, -errno, "read '%s'", path);
	r = qcow2_header_read(&a, head, (size_t)n, &h, err);
	if (r < 0)
		return err_context(err, r, "'%s'", path);
	*ret_bytes = h.size_bytes;
	return 0;
}

#include "node/disk/adopt.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/base/random.h"
#include "lib/base/str.h"
#include "node/disk/overlay.h"

static int size_of(int fd, const char *path, const char *format, int64_t *ret, struct err *err)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	uint8_t *head = arena_alloc(&a, QCOW2_READ_BYTES);
	struct qcow2_header h;
	struct stat st;
	ssize_t n;
	int r;

	if (streq(format, "raw")) {
		if (fstat(fd, &st) < 0)
			return err_errno(err, -errno, "open '%s'", path);
		*ret = (st.st_size + 511) / 512 * 512;
		return 0;
	}
	n = pread(fd, head, QCOW2_READ_BYTES, 0);
	if (n < 0)
		return err_errno(err, -errno, "read '%s'", path);
	r = qcow2_header_read(&a, head, (size_t)n, &h, err);
	if (r < 0)
		return r;
	if (h.backing)
		return err_set(err, -EINVAL, "the disk has a backing file, which is not allowed");
	*ret = h.size_bytes;
	return 0;
}

static int link_file(int dir, const char *path, const char *name)
{
	return linkat(AT_FDCWD, path, dir, name, 0) < 0 ? -errno : 0;
}

int disk_adopt(
	const char *dir, const char *path, const char *format, int64_t size_bytes, struct err *err)
{
	_cleanup_(close_p) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_(close_p) int file = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
	struct random random = RANDOM_SYSTEM;
	char uuid[37], base[64], fresh[64], top[64];
	int64_t bytes = 0;
	int r;

	if (fd < 0 || file < 0)
		return err_errno(err, -errno, "open '%s'", fd < 0 ? dir : path);
	r = size_of(file, path, format, &bytes, err);
	if (r < 0)
		return r;
	if (bytes > size_bytes)
		/* CDI's words. */
		return err_set(err, -EFBIG,
			"Virtual image size %lld is larger than the reported available storage "
			"%lld. A larger PVC is required",
			(long long)bytes, (long long)size_bytes);
	random_uuid(&random, uuid);
	snprintf(base, sizeof(base), "%s.%s", uuid, format);
	disk_dir_new_name(fresh, top);
	r = link_file(fd, path, base);
	if (r < 0)
		return err_errno(err, r, "link '%s' to '%s'", path, dir);
	r = overlay_create(fd, top, size_bytes, base, format, err);
	/* It was fetched a moment ago, perhaps, and the disk is said to be there from now on. */
	if (r == 0 && fsync(file) < 0)
		r = err_errno(err, -errno, "write '%s'", path);
	if (r == 0)
		r = disk_dir_publish(dir, top, size_bytes, err);
	if (r < 0) {
		(void)unlinkat(fd, top, 0);
		(void)unlinkat(fd, base, 0);
	}
	return r;
}

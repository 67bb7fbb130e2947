/* file.c - see file.h. */
#include "lib/base/file.h"

#include <fcntl.h>
#include <stdio.h>

#include "lib/base/buf.h"

int file_load(struct arena *a, const char *path, size_t max_bytes, struct str *ret, struct err *err)
{
	_cleanup_(close_p) int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err_errno(err, -errno, "open '%s'", path);
	_cleanup_(buf_finish) struct buf b = BUF_INIT;
	for (;;) {
		buf_reserve(&b, 4096);
		ssize_t n = read(fd, b.data + b.size, 4096);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return err_errno(err, -errno, "read '%s'", path);
		if (n == 0)
			break;
		b.size += (size_t)n;
		if (b.size > max_bytes)
			return err_set(
				err, -EFBIG, "'%s' is larger than %zu KiB", path, max_bytes >> 10);
	}
	*ret = (struct str){arena_memdup(a, b.data, b.size), b.size};
	return 0;
}

int file_open_regular(int dir, const char *path, int flags, struct stat *ret)
{
	_cleanup_(close_p) int place = openat(dir, path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	char same[64];
	struct stat st;
	int fd;

	if (place < 0 || fstat(place, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	snprintf(same, sizeof(same), "/proc/self/fd/%d", place);
	fd = open(same, flags | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	*ret = st;
	return fd;
}

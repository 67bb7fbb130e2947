#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "node/disk/qcow2_header.h"
#include "node/disk/qcow2_write.h"

/* Of a header of version 3. */
enum {
	HEADER_BYTES = 104,
	SIZE_AT = 24,
	L1_ENTRIES_AT = 36,
	L1_AT = 40,
	SNAPSHOTS_AT = 60,
	INCOMPATIBLE_AT = 72,
	AUTOCLEAR_AT = 88,
	L1_MAX_BYTES = 32 << 20 /* QEMU opens no larger one */
};
#define BIT_COMPRESSION (UINT64_C(1) << 3)

static uint64_t get(const uint8_t *p, size_t size)
{
	uint64_t v = 0;

	for (size_t i = 0; i < size; i++)
		v = v << 8 | p[i];
	return v;
}

static int write_at(
	int fd, const char *path, const void *p, size_t size, uint64_t at, struct err *err)
{
	ssize_t n = pwrite(fd, p, size, (off_t)at);

	return n == (ssize_t)size ? 0 : err_errno(err, n < 0 ? -errno : -EIO, "write '%s'", path);
}

/* In the clusters that the first table has already. Tables of bitmaps (autoclear) would have to
 * grow with the disk, and entries of extended tables are of another size. */
static bool fits(const uint8_t *head, uint64_t entries, uint64_t file_bytes)
{
	uint64_t cluster = UINT64_C(1) << get(head + 20, 4);
	uint64_t had = get(head + L1_ENTRIES_AT, 4), at = get(head + L1_AT, 8);
	uint64_t room = (had * 8 + cluster - 1) / cluster * cluster;

	return get(head + 4, 4) == 3 && !get(head + SNAPSHOTS_AT, 4) &&
	       !get(head + AUTOCLEAR_AT, 8) &&
	       !(get(head + INCOMPATIBLE_AT, 8) & ~BIT_COMPRESSION) && had &&
	       had * 8 <= L1_MAX_BYTES && entries * 8 <= MIN(room, (uint64_t)L1_MAX_BYTES) &&
	       at >= cluster && at % cluster == 0 && at <= file_bytes && had * 8 <= file_bytes - at;
}

static int enlarge(int fd, const char *path, uint64_t size, struct err *err)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	uint8_t *head = arena_alloc(&a, QCOW2_READ_BYTES);
	ssize_t n = pread(fd, head, QCOW2_READ_BYTES, 0);
	_cleanup_(buf_finish) struct buf zeros = BUF_INIT, fresh = BUF_INIT;
	uint64_t had, entries, per_entry;
	struct qcow2_header h;
	struct stat st;
	int r;

	if (n < 0 || fstat(fd, &st) < 0)
		return err_errno(err, -errno, "read '%s'", path);
	r = qcow2_header_read(&a, head, (size_t)n, &h, err);
	if (r < 0)
		return err_context(err, r, "'%s'", path);
	/* A table of one cluster stands for as many clusters as it has entries. */
	per_entry = UINT64_C(1) << (2 * h.cluster_bits - 3);
	entries = (size + per_entry - 1) / per_entry;
	had = get(head + L1_ENTRIES_AT, 4);
	if (size < (uint64_t)h.size_bytes || n < HEADER_BYTES ||
		!fits(head, entries, (uint64_t)st.st_size))
		return err_set(err, -EOPNOTSUPP, "'%s' does not grow by its header alone", path);
	if (entries > had) {
		qcow2_fill(&zeros, (entries - had) * 8);
		r = write_at(fd, path, zeros.data, zeros.size, get(head + L1_AT, 8) + had * 8, err);
	}
	qcow2_put64(&fresh, size);
	qcow2_put32(&fresh, 0); /* encryption: none */
	qcow2_put32(&fresh, (uint32_t)MAX(entries, had));
	return r < 0 ? r : write_at(fd, path, fresh.data, fresh.size, SIZE_AT, err);
}

int qcow2_enlarge(const char *path, int64_t size_bytes, struct err *err)
{
	_cleanup_(close_p) int fd = open(path, O_RDWR | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return err_errno(err, -errno, "open '%s'", path);
	if (!S_ISREG(st.st_mode) || size_bytes <= 0 || size_bytes > DISK_SIZE_MAX_BYTES)
		return err_set(err, -EINVAL, "'%s' is no disk of a usable size", path);
	return enlarge(fd, path, ((uint64_t)size_bytes + 511) / 512 * 512, err);
}

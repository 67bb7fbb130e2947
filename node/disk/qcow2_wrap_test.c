#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "node/disk/qcow2_header.h"
#include "node/disk/qcow2_write.h"

#define CLUSTER QCOW2_CLUSTER

static uint64_t get64(int fd, uint64_t at)
{
	uint8_t b[8];
	uint64_t v = 0;

	assert_int_equal(pread(fd, b, 8, (off_t)at), 8);
	for (size_t i = 0; i < 8; i++)
		v = v << 8 | b[i];
	return v;
}

static unsigned refcount(int fd, uint64_t cluster)
{
	uint64_t table = get64(fd, 48);
	uint64_t block = get64(fd, table + cluster / QCOW2_PER_REFCOUNTS * 8);
	uint8_t b[2];

	assert_int_equal(pread(fd, b, 2, (off_t)(block + cluster % QCOW2_PER_REFCOUNTS * 2)), 2);
	return (unsigned)b[0] << 8 | b[1];
}

/* As a reader of the format sees it. */
static void read_cluster(int fd, uint64_t index, char *to)
{
	uint64_t l1 = get64(fd, get64(fd, 40) + index / QCOW2_PER_TABLE * 8);
	uint64_t l2;

	memset(to, 0, CLUSTER);
	if (!l1)
		return;
	assert_true(l1 >> 63);
	assert_int_equal(refcount(fd, (l1 & ~(UINT64_C(1) << 63)) / CLUSTER), 1);
	l2 = get64(fd, (l1 & ~(UINT64_C(1) << 63)) + index % QCOW2_PER_TABLE * 8);
	if (!l2)
		return;
	assert_true(l2 >> 63);
	l2 &= ~(UINT64_C(1) << 63);
	assert_int_equal(l2 % CLUSTER, 0);
	assert_int_equal(refcount(fd, l2 / CLUSTER), 1);
	assert_int_equal(pread(fd, to, CLUSTER, (off_t)l2), CLUSTER);
}

/* A file of `size` with data (its first byte: 1 + the cluster's number) where `has` says so. */
static void wraps(int64_t size, bool (*has)(uint64_t index))
{
	char path[] = "/tmp/qcow2_wrap_test.XXXXXX";
	int fd = mkstemp(path);
	uint64_t count = (uint64_t)(size + CLUSTER - 1) / CLUSTER, free_clusters = 0;
	_cleanup_(free_p) char *got = xmalloc(CLUSTER);
	_cleanup_(free_p) char *head = xmalloc(QCOW2_READ_BYTES);
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct qcow2_header h;
	struct err err = ERR_INIT;
	struct stat st;

	assert_true(fd >= 0);
	for (uint64_t i = 0; i < count; i++) {
		char c = (char)(1 + i % 100);

		if (has(i))
			assert_int_equal(pwrite(fd, &c, 1, (off_t)(i * CLUSTER)), 1);
	}
	assert_int_equal(ftruncate(fd, size), 0);
	assert_int_equal(qcow2_wrap_raw(path, &err), 0);

	assert_int_equal(pread(fd, head, QCOW2_READ_BYTES, 0), QCOW2_READ_BYTES);
	assert_int_equal(qcow2_header_read(&a, head, QCOW2_READ_BYTES, &h, &err), 0);
	assert_int_equal(h.size_bytes, (size + 511) / 512 * 512);
	assert_null(h.backing);
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_size % CLUSTER, 0);
	for (uint64_t i = 0; i < count; i++) {
		/* All of them where something begins or ends; elsewhere a sample. */
		if (count > 4096 && i % 97 && i + 3 < count && !has(i))
			continue;
		read_cluster(fd, i, got);
		assert_int_equal(got[0], has(i) ? (char)(1 + i % 100) : 0);
		assert_int_equal(got[1], 0);
		if (i)
			assert_int_equal(refcount(fd, i), has(i));
		free_clusters += i && !has(i);
	}
	assert_int_equal(refcount(fd, 0), 1);
	for (uint64_t i = count; i < (uint64_t)st.st_size / CLUSTER; i++)
		assert_int_equal(refcount(fd, i), 1);
	/* The program that it is made for agrees, where it is. */
	if (access("/usr/bin/qemu-img", X_OK) == 0) {
		_cleanup_(free_p) char *command =
			xasprintf("/usr/bin/qemu-img check -q -f qcow2 %s", path);
		assert_int_equal(system(command), 0);
	}
	close(fd);
	unlink(path);
}

static bool all(uint64_t i)
{
	return i < UINT64_MAX;
}
static bool none(uint64_t i)
{
	return i == UINT64_MAX;
}
static bool not_first(uint64_t i)
{
	return i != 0;
}
static bool some(uint64_t i)
{
	return i % 3 == 0;
}
/* Of these sizes the tables are more than one. */
static bool few(uint64_t i)
{
	return i == 0 || i == 8191 || i == 8192 || i == 3 * 8192 + 5 || i == 32768 || i == 40000;
}

static void sizes(void **state)
{
	wraps(1, all);
	wraps(512, all);
	wraps(CLUSTER, all);
	wraps(CLUSTER, none);
	wraps(CLUSTER + 1, all);
	wraps(20 * CLUSTER + 513, some);
	wraps(20 * CLUSTER, not_first);
	wraps(100 * CLUSTER, none);
	wraps(INT64_C(40001) * CLUSTER, few);
	wraps(INT64_C(8192) * CLUSTER, few);
}

/* Zeros that were written are holes afterwards, where the file system has such. */
static void zeros(void **state)
{
	char path[] = "/tmp/qcow2_wrap_test.XXXXXX";
	int fd = mkstemp(path);
	_cleanup_(free_p) char *room = xcalloc(1, 64 * CLUSTER);
	struct err err = ERR_INIT;
	struct stat before, after;

	room[63 * CLUSTER + 7] = 1;
	assert_int_equal(pwrite(fd, room, 64 * CLUSTER, 0), 64 * CLUSTER);
	assert_int_equal(fstat(fd, &before), 0);
	if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, CLUSTER, CLUSTER) == 0) {
		assert_int_equal(qcow2_wrap_raw(path, &err), 0);
		assert_int_equal(fsync(fd), 0);
		assert_int_equal(fstat(fd, &after), 0);
		assert_true(after.st_blocks < before.st_blocks / 2);
	}
	close(fd);
	unlink(path);
}

static void refused(void **state)
{
	struct err err = ERR_INIT;

	assert_int_equal(qcow2_wrap_raw("/nonexistent/disk", &err), -ENOENT);
	assert_int_equal(qcow2_wrap_raw("/dev/null", &err), -EINVAL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes),
		cmocka_unit_test(zeros),
		cmocka_unit_test(refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

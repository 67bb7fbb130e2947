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
	assert_int_equal(qcow2_wrap_raw(path, 0, &err), 0);

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
		assert_int_equal(qcow2_wrap_raw(path, 0, &err), 0);
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

	assert_int_equal(qcow2_wrap_raw("/nonexistent/disk", 0, &err), -ENOENT);
	assert_int_equal(qcow2_wrap_raw("/dev/null", 0, &err), -EINVAL);
}

/* ---- larger than the image ---- */

static void check(const char *path)
{
	_cleanup_(free_p) char *command = xasprintf("/usr/bin/qemu-img check -q -f qcow2 %s", path);

	if (access("/usr/bin/qemu-img", X_OK) == 0)
		assert_int_equal(system(command), 0);
}

static void expect_size(int fd, int64_t size)
{
	_cleanup_(free_p) char *head = xmalloc(QCOW2_READ_BYTES);
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct qcow2_header h;
	ssize_t n = pread(fd, head, QCOW2_READ_BYTES, 0);

	assert_true(n > 0);
	assert_int_equal(qcow2_header_read(&a, head, (size_t)n, &h, NULL), 0);
	assert_int_equal(h.size_bytes, size);
}

static void larger(void **state)
{
	static const int64_t sizes[] = {CLUSTER, 5 * CLUSTER + 512, INT64_C(3) << 29,
		(INT64_C(9000) << 29) + 512 /* a first table of more than one cluster */};

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		char path[] = "/tmp/qcow2_wrap_test.XXXXXX";
		int fd = mkstemp(path);
		_cleanup_(free_p) char *got = xmalloc(CLUSTER);
		struct err err = ERR_INIT;

		assert_int_equal(pwrite(fd, "first", 5, 0), 5);
		assert_int_equal(pwrite(fd, "last", 4, 4 * CLUSTER + 4096), 4);
		assert_int_equal(qcow2_wrap_raw(path, sizes[i] - 1, &err), 0);
		expect_size(fd, MAX(sizes[i], INT64_C(4) * CLUSTER + 4608));
		read_cluster(fd, 0, got);
		assert_memory_equal(got, "first", 6);
		read_cluster(fd, 4, got);
		assert_memory_equal(got + 4096, "last", 5);
		check(path);
		close(fd);
		unlink(path);
	}
}

static void enlarges(void **state)
{
	static const int64_t few = INT64_C(7) << 29; /* one entry of the table each */
	char path[] = "/tmp/qcow2_wrap_test.XXXXXX";
	int fd = mkstemp(path);
	_cleanup_(free_p) char *got = xmalloc(CLUSTER);
	struct err err = ERR_INIT;
	uint64_t table;

	assert_int_equal(pwrite(fd, "first", 5, 0), 5);
	assert_int_equal(qcow2_wrap_raw(path, 0, &err), 0);
	/* What was behind the table's end is no entry. */
	table = get64(fd, 40);
	assert_int_equal(pwrite(fd, "garbage", 7, (off_t)table + 8), 7);
	assert_int_equal(qcow2_enlarge(path, few - 511, &err), 0);
	expect_size(fd, few);
	for (uint64_t i = 1; i < 7; i++)
		assert_int_equal(get64(fd, table + i * 8), 0);
	read_cluster(fd, 0, got);
	assert_memory_equal(got, "first", 6);
	check(path);
	assert_int_equal(qcow2_enlarge(path, (INT64_C(8192) << 29), &err), 0);
	check(path);

	/* One more takes another cluster; smaller it does not get. */
	assert_int_equal(qcow2_enlarge(path, (INT64_C(8192) << 29) + 1, &err), -EOPNOTSUPP);
	assert_int_equal(qcow2_enlarge(path, 512, &err), -EOPNOTSUPP);
	expect_size(fd, INT64_C(8192) << 29);
	/* A table that is said to be outside of the file, and one in the header. */
	assert_int_equal(pwrite(fd, "\0\0\0\1\0\0\0\0", 8, 40), 8);
	assert_int_equal(qcow2_enlarge(path, INT64_C(8192) << 29, &err), -EOPNOTSUPP);
	assert_int_equal(pwrite(fd, "\0\0\0\0\0\0\0\0", 8, 40), 8);
	assert_int_equal(qcow2_enlarge(path, INT64_C(8192) << 29, &err), -EOPNOTSUPP);
	assert_int_equal(ftruncate(fd, 80), 0);
	assert_int_equal(qcow2_enlarge(path, INT64_C(8192) << 29, &err), -EINVAL);
	close(fd);
	unlink(path);
}

/* As qemu-img makes them, of the sizes of clusters and features that there are. */
static void enlarges_qemus(void **state)
{
	static const struct {
		const char *options;
		int result;
	} cases[] = {
		{"cluster_size=65536", 0},
		{"cluster_size=2M", 0},
		{"cluster_size=512", -EOPNOTSUPP}, /* 32 KiB an entry: its cluster is full */
		{"compat=0.10", -EOPNOTSUPP},
		{"extended_l2=on", -EOPNOTSUPP},
		{"compression_type=zstd", 0},
		{"lazy_refcounts=on", 0},
	};

	if (access("/usr/bin/qemu-img", X_OK) < 0)
		skip();
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		char path[] = "/tmp/qcow2_wrap_test.XXXXXX";
		int fd = mkstemp(path), r;
		_cleanup_(free_p) char *make = xasprintf(
			"/usr/bin/qemu-img create -q -f qcow2 -o %s %s 3M", cases[i].options, path);
		_cleanup_(free_p) char *look =
			xasprintf("/usr/bin/qemu-img check -q -f qcow2 %s && "
				  "/usr/bin/qemu-img info -f qcow2 --output=json %s | "
				  "grep -q '\"virtual-size\": %s,'",
				path, path, cases[i].result == 0 ? "2214592512" : "3145728");
		struct err err = ERR_INIT;

		assert_int_equal(system(make), 0);
		r = qcow2_enlarge(path, INT64_C(2112) << 20, &err);
		assert_int_equal(r, cases[i].result);
		assert_int_equal(system(look), 0);
		close(fd);
		unlink(path);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sizes),
		cmocka_unit_test(zeros),
		cmocka_unit_test(larger),
		cmocka_unit_test(enlarges),
		cmocka_unit_test(enlarges_qemus),
		cmocka_unit_test(refused),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

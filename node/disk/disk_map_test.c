#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/str.h"
#include "node/disk/disk_map.h"
#include "node/disk/qcow2_write.h"

#define C ((int64_t)QCOW2_CLUSTER)

static int reads(const char *text, int64_t disk_bytes, int64_t file_bytes, size_t *ret_count)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct disk_map map = {0};
	struct err err = ERR_INIT;
	int r = disk_map_read(&a, text, strlen(text), disk_bytes, file_bytes, &map, &err);

	*ret_count = map.count;
	return r;
}

static void maps(void **state)
{
	static const struct {
		const char *text;
		int64_t disk, file;
		int result;
		size_t count;
	} cases[] = {
		{"[]", 4 * C, C, -1, 0},
		{"[{\"start\":0,\"length\":262144,\"zero\":true}]", 4 * C, C, 0, 0},
		{"[{\"start\":0,\"length\":262144,\"data\":false}]", 4 * C, C, 0, 0},
		{"[{\"start\":0,\"length\":196608,\"data\":false}]", 4 * C, C, -1, 0},
		{"[{\"start\":0,\"length\":65536,\"depth\":0,\"zero\":false,\"data\":true,"
		 "\"offset\":65536},{\"start\":65536,\"length\":65536,\"depth\":0,\"zero\":true,"
		 "\"data\":false}]",
			2 * C, 2 * C, 0, 1},
		/* The last one may be shorter in the file. */
		{"[{\"start\":0,\"length\":65536,\"data\":true,\"offset\":65536}]", C, C + 512, 0,
			1},
		{"[{\"start\":0,\"length\":65536,\"data\":true,\"offset\":65536}]", C, C, -1, 0},
		/* Where the header is to be. */
		{"[{\"start\":0,\"length\":65536,\"data\":true,\"offset\":0}]", C, 9 * C, -1, 0},
		{"[{\"start\":0,\"length\":65536,\"data\":true,\"offset\":66560}]", C, 9 * C, -1,
			0},
		{"[{\"start\":0,\"length\":512,\"data\":true,\"offset\":65536}]", C, 9 * C, -1, 0},
		/* Nobody says where. */
		{"[{\"start\":0,\"length\":65536,\"data\":true}]", C, 9 * C, -1, 0},
		{"[{\"start\":0,\"length\":65536,\"compressed\":true,\"offset\":65536}]", C, 9 * C,
			-1, 0},
		{"[{\"start\":0,\"length\":65536,\"depth\":1,\"offset\":65536}]", C, 9 * C, -1, 0},
		{"[{\"start\":0,\"length\":131072,\"offset\":65536}]", C, 9 * C, -1, 0},
		/* Twice the same place, of the disk and of the file. */
		{"[{\"start\":0,\"length\":65536,\"offset\":65536},"
		 "{\"start\":0,\"length\":65536,\"offset\":131072}]",
			2 * C, 9 * C, -1, 0},
		{"[{\"start\":0,\"length\":131072,\"offset\":131072},"
		 "{\"start\":131072,\"length\":131072,\"offset\":65536}]",
			4 * C, 9 * C, -1, 0},
		{"[{\"start\":0,\"length\":9223372036854710272,\"offset\":65536}]", C, 9 * C, -1,
			0},
		{"[{\"start\":0,\"length\":65536,\"offset\":9223372036854710272}]", C, 9 * C, -1,
			0},
		{"[{\"start\":-65536,\"length\":65536,\"offset\":65536}]", C, 9 * C, -1, 0},
		{"[]", C + 512, C, -1, 0},
		{"[]", 2 * QCOW2_WRAP_MAX_BYTES, C, -1, 0},
		{"[7, null, {}]", C, C, -1, 0},
		{"{\"start\":0}", C, C, -1, 0},
		{"nonsense", C, C, -1, 0},
		{"", C, C, -1, 0},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		size_t count;
		int r = reads(cases[i].text, cases[i].disk, cases[i].file, &count);

		if (r != (cases[i].result ? -EOPNOTSUPP : 0) || count != cases[i].count)
			fail_msg("%s: %d, %zu", cases[i].text, r, count);
	}
}

/* A file with four clusters of tables and data, in no order. */
static void wraps(void **state)
{
	static const struct disk_extent extents[] = {
		{1 * C, 2 * C, 5 * C},
		{8191 * C, 2 * C, 2 * C},
		{20000 * C, 1 * C, 1 * C},
	};
	struct disk_map map = {.extents = (struct disk_extent *)(uintptr_t)extents, .count = 3};
	char path[] = "/tmp/disk_map_test.XXXXXX";
	int fd = mkstemp(path);
	_cleanup_(free_p) char *raw = xasprintf("%s.raw", path);
	_cleanup_(free_p) char *room = xmalloc((size_t)C);
	int to = open(raw, O_RDWR | O_CREAT | O_TRUNC, 0600);
	struct err err = ERR_INIT;

	assert_true(fd >= 0 && to >= 0);
	for (int i = 0; i < 7; i++) {
		memset(room, 'a' + i, (size_t)C);
		assert_int_equal(pwrite(fd, room, (size_t)C, i * C), C);
	}
	assert_int_equal(ftruncate(to, 30000 * C), 0);
	for (size_t i = 0; i < map.count; i++)
		for (int64_t at = 0; at < extents[i].length; at += C) {
			assert_int_equal(pread(fd, room, (size_t)C, extents[i].offset + at), C);
			assert_int_equal(pwrite(to, room, (size_t)C, extents[i].start + at), C);
		}
	assert_int_equal(qcow2_wrap_mapped(path, 30000 * C, &map, &err), 0);
	if (access("/usr/bin/qemu-img", X_OK) == 0) {
		_cleanup_(free_p) char *command =
			xasprintf("/usr/bin/qemu-img check -q -f qcow2 %s && "
				  "/usr/bin/qemu-img compare -q -f raw -F qcow2 %s %s",
				path, raw, path);
		assert_int_equal(system(command), 0);
	}
	/* The same place twice is not taken, whoever asks. */
	map.extents = (struct disk_extent[]){{0, C, C}, {C, C, C}};
	map.count = 2;
	assert_int_equal(qcow2_wrap_mapped(path, 2 * C, &map, &err), -EINVAL);
	close(fd);
	close(to);
	unlink(path);
	unlink(raw);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(maps), cmocka_unit_test(wraps)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

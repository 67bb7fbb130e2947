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
#include "node/disk/disk_probe.h"
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
		/* Where one would be all could be; where not all would be, none. */
		{"[{\"start\":0,\"length\":65536,\"data\":true,\"offset\":66560}]", C, 9 * C, 0, 1},
		{"[{\"start\":0,\"length\":65536,\"data\":true,\"offset\":2560}]", C, C + 2560, 0,
			1},
		{"[{\"start\":0,\"length\":65536,\"data\":true,\"offset\":2560}]", C, 2560, -1, 0},
		{"[{\"start\":0,\"length\":65536,\"offset\":2560},"
		 "{\"start\":65536,\"length\":65536,\"offset\":133632}]",
			2 * C, 9 * C, 0, 2},
		{"[{\"start\":0,\"length\":65536,\"offset\":2560},"
		 "{\"start\":65536,\"length\":65536,\"offset\":133120}]",
			2 * C, 9 * C, -1, 0},
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

/* A file of clusters with tables and data, in no order; they begin behind their place. */
static void wrap_one(int64_t beside)
{
	struct disk_extent extents[] = {
		{1 * C, 2 * C, 5 * C - beside},
		{8191 * C, 2 * C, 2 * C - beside},
		{20000 * C, 1 * C, 1 * C - beside},
	};
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct disk_map map = {.extents = extents, .count = 3};
	char path[] = "/tmp/disk_map_test.XXXXXX";
	int fd = mkstemp(path);
	_cleanup_(free_p) char *raw = xasprintf("%s.raw", path);
	_cleanup_(free_p) char *room = xmalloc((size_t)C);
	int to = open(raw, O_RDWR | O_CREAT | O_TRUNC, 0600);
	struct err err = ERR_INIT;

	assert_true(fd >= 0 && to >= 0);
	for (int i = 0; i < 7; i++) {
		for (int64_t at = 0; at < C; at++)
			room[at] = (char)(i * 31 + at % 251);
		assert_int_equal(pwrite(fd, room, (size_t)C, i * C), C);
	}
	assert_int_equal(ftruncate(fd, 7 * C - beside), 0);
	assert_int_equal(ftruncate(to, 30000 * C), 0);
	for (size_t i = 0; i < map.count; i++)
		for (int64_t at = 0; at < extents[i].length; at += C) {
			assert_int_equal(pread(fd, room, (size_t)C, extents[i].offset + at), C);
			assert_int_equal(pwrite(to, room, (size_t)C, extents[i].start + at), C);
		}
	assert_int_equal(disk_map_settle(&a, &map, 30000 * C, 7 * C - beside, &err), 0);
	assert_int_equal(map.shift_bytes, beside);
	assert_int_equal(qcow2_wrap_mapped(path, 30000 * C, 0, &map, &err), 0);
	if (access("/usr/bin/qemu-img", X_OK) == 0) {
		_cleanup_(free_p) char *command =
			xasprintf("/usr/bin/qemu-img check -q -f qcow2 %s && "
				  "/usr/bin/qemu-img compare -q -f raw -F qcow2 %s %s",
				path, raw, path);
		assert_int_equal(system(command), 0);
	}
	/* The same place twice is not taken, whoever asks. */
	map = (struct disk_map){
		.extents = (struct disk_extent[]){{0, C, C}, {C, C, C}}, .count = 2};
	assert_int_equal(qcow2_wrap_mapped(path, 2 * C, 0, &map, &err), -EINVAL);
	close(fd);
	close(to);
	unlink(path);
	unlink(raw);
}

static void wraps(void **state)
{
	wrap_one(0);
	wrap_one(512);
	wrap_one(62976);
}

/* ---- VHDX ---- */

struct image {
	const uint8_t *bytes;
	int64_t size;
};

static ssize_t read_image(void *user, void *to, size_t size, int64_t offset)
{
	const struct image *i = user;
	size_t n = (size_t)MIN((int64_t)size, MAX(i->size - offset, 0));

	memcpy(to, i->bytes + offset, n);
	return (ssize_t)n;
}

static void put(uint8_t *at, uint64_t v, size_t size)
{
	for (size_t i = 0; i < size; i++)
		at[i] = (uint8_t)(v >> 8 * i);
}

#define MIB ((int64_t)1 << 20)
enum { BAT_AT = 1 << 20, METADATA_AT = 2 << 20, IMAGE_BYTES = 16 << 20 };

/* Of three blocks of 2 MiB: the second at 8 MiB, the third, half of it the disk's, at 4 MiB. */
static uint8_t *make_vhdx(void)
{
	static const char *const guids[] = {
		"\x37\x67\xa1\xca\x36\xfa\x43\x4d\xb3\xb6\x33\xf0\xaa\x44\xe7\x6b",
		"\x24\x42\xa5\x2f\x1b\xcd\x76\x48\xb2\x11\x5d\xbe\xd8\x3b\xf4\xb8",
		"\x1d\xbf\x41\x81\x6f\xa9\x09\x47\xba\x47\xf2\x33\xa8\xfa\xab\x5f"};
	static const uint64_t values[] = {2 << 20, 5 << 20, 512};
	uint8_t *b = xcalloc(1, IMAGE_BYTES), *at;

	memcpy(b, "vhdxfile", 8);
	at = b + (192 << 10);
	memcpy(at, "regi", 4);
	put(at + 8, 2, 4);
	memcpy(at + 16, "\x66\x77\xc2\x2d\x23\xf6\x00\x42\x9d\x64\x11\x5e\x9b\xfd\x4a\x08", 16);
	put(at + 32, BAT_AT, 8);
	put(at + 40, MIB, 4);
	memcpy(at + 48, "\x06\xa2\x7c\x8b\x90\x47\x9a\x4b\xb8\xfe\x57\x5f\x05\x0f\x88\x6e", 16);
	put(at + 64, METADATA_AT, 8);
	put(at + 72, MIB, 4);
	at = b + METADATA_AT;
	memcpy(at, "metadata", 8);
	put(at + 10, 3, 2);
	for (size_t i = 0; i < 3; i++) {
		uint8_t *e = at + 32 + 32 * i;

		memcpy(e, guids[i], 16);
		put(e + 16, 65536 + 16 * i, 4);
		put(e + 20, 8, 4);
		put(at + 65536 + 16 * i, values[i], 8);
	}
	put(b + BAT_AT + 8, 8 * MIB | 6, 8);
	put(b + BAT_AT + 16, 4 * MIB | 6, 8);
	return b;
}

static int read_vhdx(struct arena *a, const uint8_t *bytes, struct disk_map *ret)
{
	struct image image = {bytes, IMAGE_BYTES};
	struct disk_bytes b = {.read = read_image, .user = &image, .size_bytes = IMAGE_BYTES};
	struct err err = ERR_INIT;
	int64_t disk_bytes = 0;
	int r = disk_map_vhdx(a, &b, ret, &disk_bytes, &err);

	if (r == 0)
		assert_int_equal(disk_bytes, 5 * MIB);
	return r;
}

static void vhdx(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	/* What is written at `at` makes it another one. */
	static const struct {
		int64_t at;
		uint64_t value;
		size_t size;
	} bad[] = {
		{192 << 10, 0, 4},		    /* no table of regions */
		{(192 << 10) + 8, 1, 4},	    /* no metadata */
		{(192 << 10) + 32, IMAGE_BYTES, 8}, /* a block table behind the end */
		{(192 << 10) + 40, 16, 4},	    /* a short one */
		{(192 << 10) + 64, UINT64_MAX - 7, 8}, {METADATA_AT, 0, 8},
		{METADATA_AT + 10, 2, 2},	   /* no size of sectors */
		{METADATA_AT + 65536, 3 << 19, 4}, /* blocks of one and a half MiB */
		{METADATA_AT + 65536 + 4, 2, 4},   /* with a parent */
		{METADATA_AT + 65536 + 16, 0, 8},  /* of no size */
		{METADATA_AT + 65536 + 16, UINT64_MAX, 8},
		{METADATA_AT + 65536 + 16, 5 * MIB + 512, 8}, /* a part of a cluster */
		{METADATA_AT + 65536 + 32, 520, 8},
		{BAT_AT + 8, 8 * MIB | 7, 8},  /* partly its parent's */
		{BAT_AT + 8, 4 * MIB | 6, 8},  /* two at the same place */
		{BAT_AT + 8, 16 * MIB | 6, 8}, /* behind the end */
		{BAT_AT + 8, 15 * MIB | 6, 8}, {BAT_AT + 8, UINT64_C(0xfffffffffff00006), 8},
		{BAT_AT + 8, 6, 8}, /* where the header is */
	};
	_cleanup_(free_p) uint8_t *b = make_vhdx();
	struct disk_map map;

	assert_int_equal(read_vhdx(&a, b, &map), 0);
	assert_int_equal(map.count, 2);
	assert_int_equal(map.shift_bytes, 0);
	assert_int_equal(map.extents[0].start, 2 * MIB);
	assert_int_equal(map.extents[0].length, 2 * MIB);
	assert_int_equal(map.extents[0].offset, 8 * MIB);
	assert_int_equal(map.extents[1].start, 4 * MIB);
	assert_int_equal(map.extents[1].length, 1 * MIB);
	assert_int_equal(map.extents[1].offset, 4 * MIB);
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		uint8_t was[8];

		memcpy(was, b + bad[i].at, sizeof(was));
		put(b + bad[i].at, bad[i].value, bad[i].size);
		if (read_vhdx(&a, b, &map) != -EOPNOTSUPP)
			fail_msg("bad VHDX %zu was taken", i);
		memcpy(b + bad[i].at, was, sizeof(was));
	}
	assert_int_equal(read_vhdx(&a, b, &map), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(maps), cmocka_unit_test(wraps), cmocka_unit_test(vhdx)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "lib/base/str.h"
#include "node/child/child.h"
#include "node/disk/layers.h"
#include "node/disk/lend.h"
#include "node/disk/overlay.h"

#define MIB (INT64_C(1) << 20)
#define TOP "00000000-0000-4000-8000-000000000001.qcow2"

static char root[64];
static struct arena arena;

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
	return remove(path);
}

static int setup(void **state)
{
	snprintf(root, sizeof(root), "/tmp/hanok-lend-XXXXXX");
	return mkdtemp(root) ? 0 : -1;
}

static int teardown(void **state)
{
	arena_finish(&arena);
	return nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static const char *at(const char *name)
{
	return arena_printf(&arena, "%s/%s", root, name);
}

/* "a": a disk with one layer. */
static void make_disk(void)
{
	_cleanup_(close_p) int fd = -1;

	assert_int_equal(mkdir(at("a"), 0711), 0);
	fd = open(at("a"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(overlay_create(fd, TOP, MIB, NULL, NULL, NULL), 0);
	assert_int_equal(disk_dir_publish(at("a"), TOP, MIB, NULL), 0);
}

static struct stat status(const char *path)
{
	struct stat st;

	assert_int_equal(lstat(path, &st), 0);
	return st;
}

static void assert_is(const char *path, uid_t owner, mode_t mode)
{
	struct stat st = status(path);

	assert_int_equal(st.st_uid, owner);
	assert_int_equal(st.st_mode & 0777, mode);
}

static void need_root(void)
{
	if (geteuid() != 0)
		skip();
}

static void a_reader_gets_what_it_needs(void **state)
{
	uid_t user = child_user_new();
	struct disk_chain c;
	char frozen[64];

	need_root();
	make_disk();
	assert_int_equal(layers_freeze(at("a"), frozen, NULL), 0);
	assert_int_equal(disk_dir_read(&arena, at("a"), &c, NULL), 0);
	/* Nothing was written: the one layer is the top still, or there is one below. */
	assert_int_equal(disk_lend(&c, user, false, NULL), 0);
	assert_is(c.layers[0].path, user, 0600);
	for (size_t i = 1; i < c.count; i++)
		assert_is(c.layers[i].path, 0, 0444);
	disk_take_back_in(at("a"));
	assert_is(c.layers[0].path, 0, 0600);
}

static void a_writer_gets_only_what_is_the_disks_own(void **state)
{
	uid_t user = child_user_new();
	char fresh[2][64];
	struct disk_chain c;

	need_root();
	make_disk();
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(layers_add(at("a"), fresh[i], NULL), 0);
		assert_int_equal(layers_switch(at("a"), fresh[i], NULL), 0);
	}
	assert_int_equal(disk_dir_read(&arena, at("a"), &c, NULL), 0);
	assert_int_equal(c.count, 3);
	/* The lowest is in another directory, too. */
	assert_int_equal(link(c.layers[2].path, at("other")), 0);
	assert_int_equal(disk_dir_read(&arena, at("a"), &c, NULL), 0);
	assert_int_equal(disk_lend(&c, user, true, NULL), 0);
	assert_is(c.layers[0].path, user, 0600);
	assert_is(c.layers[1].path, user, 0644);
	assert_is(c.layers[2].path, 0, 0444);
	/* A guest was started meanwhile. */
	assert_int_equal(chown(c.layers[0].path, 107, 107), 0);
	disk_take_back_in(at("a"));
	assert_is(c.layers[0].path, 107, 0600);
	assert_is(c.layers[1].path, 0, 0444);

	/* One of others' that is not for everybody is given to nobody. */
	assert_int_equal(chmod(c.layers[2].path, 0400), 0);
	assert_int_equal(disk_lend(&c, user, true, NULL), -EACCES);
	assert_is(c.layers[2].path, 0, 0400);
}

static void links_are_not_followed(void **state)
{
	struct disk_chain c;
	struct err err = ERR_INIT;

	need_root();
	make_disk();
	assert_int_equal(disk_dir_read(&arena, at("a"), &c, NULL), 0);
	assert_int_equal(rename(c.layers[0].path, at("secret")), 0);
	assert_int_equal(symlink(at("secret"), c.layers[0].path), 0);
	assert_int_equal(disk_lend(&c, child_user_new(), true, &err), -ELOOP);
	assert_is(at("secret"), 0, 0600);
}

static void a_size_is_read_without_what_lies_below(void **state)
{
	_cleanup_(close_p) int fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int64_t bytes = 0;
	struct err err = ERR_INIT;

	assert_int_equal(overlay_create(fd, "q", 5 * MIB, "/nowhere/at/all", "raw", NULL), 0);
	assert_int_equal(overlay_backing_size(at("q"), "qcow2", &bytes, NULL), 0);
	assert_int_equal(bytes, 5 * MIB);
	assert_int_equal(ftruncate(fd, 0), -1);
	_cleanup_(close_p) int raw = openat(fd, "r", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	assert_int_equal(ftruncate(raw, 1000), 0);
	assert_int_equal(overlay_backing_size(at("r"), "raw", &bytes, NULL), 0);
	assert_int_equal(bytes, 1024);
	assert_int_equal(overlay_backing_size(at("r"), "qcow2", &bytes, &err), -EINVAL);
	assert_int_equal(symlink("r", at("s")), 0);
	assert_int_equal(overlay_backing_size(at("s"), "raw", &bytes, &err), -ELOOP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_reader_gets_what_it_needs, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_writer_gets_only_what_is_the_disks_own, setup, teardown),
		cmocka_unit_test_setup_teardown(links_are_not_followed, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_size_is_read_without_what_lies_below, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

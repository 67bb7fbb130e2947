/* atomic_writer_test.c - what readers of a written directory see. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "lib/base/arena.h"
#include "lib/base/str.h"
#include "node/volume/atomic_writer.h"
#include "node/volume/volume.h"

static char dir[64];

static int setup(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/atomic_writer_test.XXXXXX");
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	struct err err = ERR_INIT;

	return volumes_remove(dir, &err);
}

static void contents(const char *name, char *ret, size_t room)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	int fd = open(path, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, ret, room - 1);
	if (fd >= 0)
		close(fd);
	snprintf(ret + MAX(n, 0), room - (size_t)MAX(n, 0), "%s", n < 0 ? "(missing)" : "");
}

static void assert_file(const char *name, const char *text)
{
	char room[128];

	contents(name, room, sizeof(room));
	assert_string_equal(room, text);
}

static void current(char ret[128])
{
	char path[128];

	snprintf(path, sizeof(path), "%s/..data", dir);
	ssize_t n = readlink(path, ret, 127);
	assert_true(n > 0);
	ret[n] = '\0';
}

static struct payload_file file(const char *path, const char *data, size_t size, unsigned mode)
{
	return (struct payload_file){.path = path, .data = data, .size = size, .mode = mode};
}

static void writes_updates_and_removes(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct payload p = {0};
	struct err err = ERR_INIT;
	char first[128], second[128], path[300];
	struct stat st;

	payload_add(&a, &p, file("a", "1", 1, 0644));
	payload_add(&a, &p, file("sub/b", "two", 3, 0400));
	assert_int_equal(atomic_writer_write(dir, &p, (gid_t)-1, &err), 0);
	assert_file("a", "1");
	assert_file("sub/b", "two");
	current(first);
	snprintf(path, sizeof(path), "%s/sub/b", dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0400);

	/* The same again changes nothing. */
	assert_int_equal(atomic_writer_write(dir, &p, (gid_t)-1, &err), 0);
	current(second);
	assert_string_equal(first, second);

	/* Changed, one gone, one new: all at once, and the old directory is gone. */
	struct payload q = {0};
	payload_add(&a, &q, file("a", "", 0, 0644));
	payload_add(&a, &q, file("c", "three", 5, 0644));
	assert_int_equal(atomic_writer_write(dir, &q, (gid_t)-1, &err), 0);
	current(second);
	assert_string_not_equal(first, second);
	assert_file("a", "");
	assert_file("c", "three");
	assert_file("sub/b", "(missing)");
	snprintf(path, sizeof(path), "%s/%s", dir, first);
	assert_int_equal(stat(path, &st), -1);
	snprintf(path, sizeof(path), "%s/sub", dir);
	assert_int_equal(lstat(path, &st), -1);

	/* A changed mode is a change, too. */
	q.items[1].mode = 0600;
	assert_int_equal(atomic_writer_write(dir, &q, (gid_t)-1, &err), 0);
	snprintf(path, sizeof(path), "%s/c", dir);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
}

static void keeps_inside(void **state)
{
	static const char *const bad[] = {
		"", "/a", "../a", "a/../b", "a//b", "a/.", "..x", "a/..b"};
	static const char *const good[] = {"a", ".hidden", "a/b/c", "a.b", "a..b"};

	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		assert_false(payload_path_valid(bad[i]));
		struct payload_file f = file(bad[i], "x", 1, 0644);
		struct payload p = {&f, 1, 1};
		assert_int_equal(atomic_writer_write(dir, &p, (gid_t)-1, NULL), -EINVAL);
	}
	for (size_t i = 0; i < ARRAY_LEN(good); i++)
		assert_true(payload_path_valid(good[i]));
}

static void survives_a_torn_update(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct payload p = {0};
	struct err err = ERR_INIT;
	char path[128];

	/* What an agent that was killed in the middle leaves behind. */
	snprintf(path, sizeof(path), "%s/..2020_01_01_00_00_00.000000001", dir);
	assert_int_equal(mkdir(path, 0755), 0);
	snprintf(path, sizeof(path), "%s/..data_tmp", dir);
	assert_int_equal(symlink("nowhere", path), 0);
	payload_add(&a, &p, file("a", "1", 1, 0644));
	assert_int_equal(atomic_writer_write(dir, &p, (gid_t)-1, &err), 0);
	assert_file("a", "1");
	DIR *d = opendir(dir);
	size_t count = 0;
	while (readdir(d))
		count++;
	closedir(d);
	/* . .. ..data, the directory, a */
	assert_int_equal(count, 5);
}

static void later_files_replace_earlier_ones(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct payload p = {0};
	struct err err = ERR_INIT;

	payload_add(&a, &p, file("a/b", "1", 1, 0644));
	payload_add(&a, &p, file("a-b", "2", 1, 0644));
	payload_add(&a, &p, file("a/c", "3", 1, 0644));
	payload_add(&a, &p, file("a.b", "4", 1, 0644));
	payload_add(&a, &p, file("a/b", "5", 1, 0644));
	for (int i = 0; i < 2; i++) {
		assert_int_equal(atomic_writer_write(dir, &p, (gid_t)-1, &err), 0);
		assert_file("a/b", "5");
		assert_file("a-b", "2");
		assert_file("a/c", "3");
		assert_file("a.b", "4");
	}
	assert_string_equal(p.items[0].data, "1");
}

/* ENOSPC on a file system of 64 KiB: readers go on with what they had. */
static void full_disk_keeps_the_old(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct payload p = {0}, q = {0};
	struct err err = ERR_INIT;
	size_t big = 48 << 10;
	char *text = arena_zalloc(&a, big), before[128], after[128];
	memset(text, 'x', big);
	if (mount("tmpfs", dir, "tmpfs", 0, "size=64k") < 0)
		skip(); /* not root, or of a container */
	payload_add(&a, &p, file("a", "old", 3, 0644));
	assert_int_equal(atomic_writer_write(dir, &p, (gid_t)-1, &err), 0);
	current(before);
	payload_add(&a, &q, file("a", "new", 3, 0644));
	payload_add(&a, &q, file("b", text, big, 0644));
	payload_add(&a, &q, file("c", text, big, 0644));
	int r = atomic_writer_write(dir, &q, (gid_t)-1, &err);
	current(after);
	assert_file("a", "old");
	assert_file("b", "(missing)");
	/* What was written of it is gone, so that the next try has the room. */
	q.count = 2;
	assert_int_equal(atomic_writer_write(dir, &q, (gid_t)-1, NULL), 0);
	assert_file("a", "new");
	umount2(dir, MNT_DETACH);
	assert_int_equal(r, -ENOSPC);
	assert_string_equal(before, after);
	assert_non_null(strstr(err.msg, "No space left on device"));
}

static void belongs_to_a_group(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct payload p = {0};
	char path[300], link[128];
	struct stat st;

	if (geteuid() != 0)
		skip();
	payload_add(&a, &p, (struct payload_file){"sub/token", "t", 1, 0600, true, 1000});
	for (int i = 0; i < 2; i++) {
		assert_int_equal(atomic_writer_write(dir, &p, 2000, NULL), 0);
		snprintf(path, sizeof(path), "%s/sub/token", dir);
		assert_int_equal(stat(path, &st), 0);
		assert_int_equal(st.st_mode & 07777, 0640);
		assert_int_equal(st.st_uid, 1000);
		assert_int_equal(st.st_gid, 2000);
	}
	current(link);
	snprintf(path, sizeof(path), "%s/%s/sub", dir, link);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 02755);
	assert_int_equal(st.st_gid, 2000);
}

/* A container may nest directories as deep as it likes. */
static void removes_what_is_very_deep(void **state)
{
	struct rlimit old, few;
	struct err err = ERR_INIT;
	char path[128];

	snprintf(path, sizeof(path), "%s/v", dir);
	assert_int_equal(mkdir(path, 0755), 0);
	int at = open(path, O_RDONLY | O_DIRECTORY);
	for (int i = 0; i < 3000; i++) {
		assert_int_equal(mkdirat(at, "d", 0755), 0);
		assert_int_equal(symlinkat("/", at, "link"), 0);
		int next = openat(at, "d", O_RDONLY | O_DIRECTORY);
		close(at);
		at = next;
	}
	close(at);
	/* As if it had guessed the names of the removal. */
	snprintf(path, sizeof(path), "%s/..deep-0", dir);
	assert_int_equal(mkdir(path, 0755), 0);

	getrlimit(RLIMIT_NOFILE, &old);
	few = (struct rlimit){100, old.rlim_max};
	setrlimit(RLIMIT_NOFILE, &few);
	int r = volumes_remove(dir, &err);
	setrlimit(RLIMIT_NOFILE, &old);
	if (r < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(access(dir, F_OK), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(writes_updates_and_removes, setup, teardown),
		cmocka_unit_test_setup_teardown(keeps_inside, setup, teardown),
		cmocka_unit_test_setup_teardown(survives_a_torn_update, setup, teardown),
		cmocka_unit_test_setup_teardown(later_files_replace_earlier_ones, setup, teardown),
		cmocka_unit_test_setup_teardown(full_disk_keeps_the_old, setup, teardown),
		cmocka_unit_test_setup_teardown(belongs_to_a_group, setup, teardown),
		cmocka_unit_test_setup_teardown(removes_what_is_very_deep, setup, teardown),
	};

	return cmocka_run_group_tests_name("atomic writer", tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "lib/base/str.h"
#include "node/disk/layers.h"
#include "node/disk/overlay.h"

#define MIB (INT64_C(1) << 20)

static char root[64];

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
	return remove(path);
}

static int setup(void **state)
{
	snprintf(root, sizeof(root), "/tmp/hanok-layers-XXXXXX");
	layers_step = NULL;
	return mkdtemp(root) ? 0 : -1;
}

static int teardown(void **state)
{
	return nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static const char *at(const char *name)
{
	static char paths[8][256];
	static unsigned next;
	char *p = paths[next++ % 8];

	snprintf(p, 256, "%s/%s", root, name);
	return p;
}

static bool have_qemu(void)
{
	return system("qemu-img --version >/dev/null 2>&1 && qemu-io --version >/dev/null 2>&1") ==
	       0;
}

static int run(const char *fmt, ...) _printf_(1, 2);
static int run(const char *fmt, ...)
{
	char command[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(command, sizeof(command), fmt, ap);
	va_end(ap);
	return system(command);
}

/* A disk of one empty layer. */
static void make_disk(const char *name)
{
	struct err err = ERR_INIT;
	char fresh[64], top[64];
	int fd;

	assert_int_equal(mkdir(at(name), 0755), 0);
	disk_dir_new_name(fresh, top);
	fd = open(at(name), O_RDONLY | O_DIRECTORY);
	assert_int_equal(overlay_create(fd, top, 64 * MIB, NULL, NULL, &err), 0);
	close(fd);
	assert_int_equal(disk_dir_publish(at(name), top, 64 * MIB, &err), 0);
}

static void top_of(const char *name, char ret[64])
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct err err = ERR_INIT;
	struct disk_chain c;

	if (disk_dir_read(&a, at(name), &c, &err) < 0)
		fail_msg("%s", err.msg);
	snprintf(ret, 64, "%s", c.layers[0].name);
}

/* What a guest would write: a byte all over the MiB with this number. */
static void write_mib(const char *name, int mib, int byte)
{
	char top[64];

	top_of(name, top);
	assert_int_equal(run("qemu-io -f %s -c 'write -P %d %dM 1M' %s/%s >/dev/null",
				 disk_layer_format(top) ? disk_layer_format(top) : "raw", byte, mib,
				 at(name), top),
		0);
}

static bool shows(const char *dir, const char *layer, int mib, int byte)
{
	const char *format = disk_layer_format(layer) ? disk_layer_format(layer) : "raw";

	return run("qemu-io -r -f %s -c 'read -P %d %dM 1M' %s/%s 2>&1 | grep -q 'ops' && "
		   "! qemu-io -r -f %s -c 'read -P %d %dM 1M' %s/%s 2>&1 | grep -q failed",
		       format, byte, mib, at(dir), layer, format, byte, mib, at(dir), layer) == 0;
}

static size_t files_in(const char *name)
{
	DIR *d = opendir(at(name));
	size_t count = 0;

	assert_non_null(d);
	for (struct dirent *e; (e = readdir(d));)
		count += e->d_name[0] != '.' || e->d_name[1] == 'n';
	closedir(d);
	return count;
}

static void test_overlay_is_qcow2(void **state)
{
	static const int64_t sizes[] = {
		512, MIB, 64 * MIB, 3 * 512 * MIB + 512, DISK_SIZE_MAX_BYTES};
	struct err err = ERR_INIT;
	int fd = open(root, O_RDONLY | O_DIRECTORY);

	if (!have_qemu())
		skip();
	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		char name[64], fresh[64];

		disk_dir_new_name(fresh, name);
		assert_int_equal(overlay_create(fd, name, sizes[i], NULL, NULL, &err), 0);
		assert_int_equal(run("qemu-img check -q -f qcow2 %s", at(name)), 0);
		assert_int_equal(run("qemu-img info -f qcow2 %s | grep -q '(%lld bytes)'", at(name),
					 (long long)sizes[i]),
			0);
	}
	assert_int_equal(overlay_create(fd, "x", 0, NULL, NULL, &err), -EINVAL);
	assert_int_equal(
		overlay_create(fd, "x", DISK_SIZE_MAX_BYTES + 1, NULL, NULL, &err), -EINVAL);
	close(fd);
}

static void test_freeze_keeps_what_was(void **state)
{
	struct err err = ERR_INIT;
	char frozen[64], again[64], top[64];
	struct stat st;

	if (!have_qemu())
		skip();
	make_disk("d");
	write_mib("d", 1, 0x11);
	assert_int_equal(layers_freeze(at("d"), frozen, &err), 0);
	top_of("d", top);
	assert_string_not_equal(top, frozen);
	assert_int_equal(stat(at("d"), &st), 0);
	/* Nothing was written since: the same layer is what the disk shows. */
	assert_int_equal(layers_freeze(at("d"), again, &err), 0);
	assert_string_equal(again, frozen);
	write_mib("d", 1, 0x22);
	assert_true(shows("d", top, 1, 0x22));
	assert_true(shows("d", frozen, 1, 0x11));
	assert_int_equal(layers_freeze(at("d"), again, &err), 0);
	assert_string_equal(again, top);
	assert_int_equal(run("qemu-img check -q -f qcow2 %s/%s", at("d"), again), 0);
}

static void test_raw_disk_becomes_a_layer(void **state)
{
	struct err err = ERR_INIT;
	char frozen[64], top[64];

	if (!have_qemu())
		skip();
	assert_int_equal(mkdir(at("d"), 0755), 0);
	assert_int_equal(run("truncate -s 64M %s/disk.img", at("d")), 0);
	write_mib("d", 2, 0x33);
	assert_int_equal(layers_freeze(at("d"), frozen, &err), 0);
	assert_string_equal(disk_layer_format(frozen), "raw");
	top_of("d", top);
	assert_string_equal(disk_layer_format(top), "qcow2");
	assert_true(shows("d", top, 2, 0x33));
	write_mib("d", 2, 0x44);
	assert_true(shows("d", frozen, 2, 0x33));
	assert_int_equal(access(at("d/disk.img"), F_OK), -1);
}

static void test_clones_share_and_stay_apart(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct err err = ERR_INIT;
	struct disk_chain c;
	char frozen[64], top[64];

	if (!have_qemu())
		skip();
	make_disk("d");
	write_mib("d", 1, 0x11);
	assert_int_equal(layers_freeze(at("d"), frozen, &err), 0);
	assert_int_equal(layers_link(at("d"), frozen, at("snapshot"), false, 0, &err), 0);
	assert_int_equal(
		layers_link(at("snapshot"), frozen, at("clone"), true, 128 * MIB, &err), 0);
	assert_int_equal(disk_dir_read(&a, at("snapshot"), &c, &err), -EBUSY);
	assert_int_equal(disk_dir_read_layer(&a, at("snapshot"), NULL, &c, &err), 0);
	assert_string_equal(c.layers[0].name, frozen);
	assert_int_equal(disk_dir_read(&a, at("clone"), &c, &err), 0);
	assert_int_equal(c.count, 2);
	assert_int_equal(c.size_bytes, 128 * MIB);
	assert_int_equal(layers_own(&c), 1);
	write_mib("clone", 1, 0x55);
	write_mib("d", 1, 0x66);
	top_of("clone", top);
	assert_true(shows("clone", top, 1, 0x55));
	assert_true(shows("snapshot", frozen, 1, 0x11));
	/* Who has it goes, in whatever order: the others don't notice. */
	assert_int_equal(run("rm -r %s", at("d")), 0);
	assert_int_equal(run("rm -r %s", at("snapshot")), 0);
	assert_true(shows("clone", top, 1, 0x55));
	assert_int_equal(disk_dir_read(&a, at("clone"), &c, &err), 0);
	assert_int_equal(layers_own(&c), 2);
	/* A clone is never smaller than what it shows. */
	assert_int_equal(
		layers_link(at("clone"), c.layers[1].name, at("small"), true, MIB, &err), -EINVAL);
	assert_int_equal(access(at("small"), F_OK), -1);
}

static void test_memory_goes_with_a_disk_that_nobody_wrote(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct err err = ERR_INIT;
	struct disk_chain c;
	char frozen[64];
	struct stat st;

	if (!have_qemu())
		skip();
	make_disk("d");
	write_mib("d", 1, 0x11);
	assert_int_equal(layers_freeze(at("d"), frozen, &err), 0);
	assert_int_equal(disk_dir_read(&a, at("d"), &c, &err), 0);
	assert_true(layers_untouched(&c));
	assert_int_equal(layers_link_memory(at("d"), frozen, at("c"), 0, at("memory"), &err), 0);
	assert_int_equal(access(at("c/" DISK_MEMORY_NAME), F_OK), -1); /* there was none */
	assert_int_equal(run("echo x >%s", at("memory")), 0);
	assert_int_equal(layers_link_memory(at("d"), frozen, at("m"), 0, at("memory"), &err), 0);
	assert_int_equal(stat(at("m/" DISK_MEMORY_NAME), &st), 0);
	assert_int_equal(st.st_nlink, 2);
	assert_int_equal(disk_dir_read(&a, at("m"), &c, &err), 0);
	assert_true(layers_untouched(&c));
	write_mib("m", 2, 0x22);
	assert_false(layers_untouched(&c));
}

static void test_nothing_foreign_is_linked(void **state)
{
	struct err err = ERR_INIT;
	char frozen[64], path[256];

	make_disk("d");
	top_of("d", frozen);
	/* A top is written to. */
	assert_int_equal(layers_link(at("d"), frozen, at("s"), false, 0, &err), -EBUSY);
	assert_int_equal(access(at("s"), F_OK), -1);
	snprintf(path, sizeof(path), "%s/%s", at("d"), frozen);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/etc/passwd", path), 0);
	assert_true(layers_link(at("d"), frozen, at("s"), false, 0, &err) < 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_true(layers_link(at("d"), frozen, at("s"), false, 0, &err) < 0);
	assert_true(layers_freeze(at("d"), frozen, &err) < 0);
}

/* ---- killed between any two steps ---- */

static int steps_left;

static void die_in_time(const char *what)
{
	if (steps_left-- == 0)
		_exit(99);
}

enum operation { FREEZE, FREEZE_RAW, SNAPSHOT, CLONE, LIVE, OPERATIONS };

static int perform(enum operation o)
{
	struct err err = ERR_INIT;
	char name[64];
	int r;

	switch (o) {
	case FREEZE:
	case FREEZE_RAW:
		return layers_freeze(at("d"), name, &err);
	case LIVE:
		r = layers_add(at("d"), name, &err);
		return r < 0 ? r : layers_switch(at("d"), name, &err);
	default:
		r = layers_freeze(at("d"), name, &err);
		return r < 0 ? r
			     : layers_link(at("d"), name, at(o == CLONE ? "c" : "s"), o == CLONE, 0,
				       &err);
	}
}

static void begin(enum operation o)
{
	_cleanup_(close_p) int fd = -1;
	char top[64];

	if (o == FREEZE_RAW) {
		assert_int_equal(mkdir(at("d"), 0755), 0);
		assert_int_equal(run("truncate -s 64M %s/disk.img", at("d")), 0);
		return;
	}
	make_disk("d");
	/* A byte behind the file's end is content enough: the first table says where data is. */
	top_of("d", top);
	assert_int_equal(
		run("printf '\\200' | dd of=%s/%s bs=1 seek=196608 conv=notrunc 2>/dev/null",
			at("d"), top),
		0);
}

/* The disk is whole, and is what it was but for empty layers on top. */
static void judge(enum operation o)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct err err = ERR_INIT;
	struct disk_chain c;
	size_t extra;

	if (disk_dir_read(&a, at("d"), &c, &err) < 0)
		fail_msg("%s", err.msg);
	assert_int_equal(c.size_bytes, 64 * MIB);
	assert_in_range(c.count, 1, o == LIVE ? 3 : 2);
	assert_int_equal(run("touch %s/0b3d4f5e-0000-4000-8000-000000000001.qcow2", at("d")), 0);
	assert_true(layers_untidy(at("d"), &c));
	layers_tidy(at("d"), &c);
	assert_false(layers_untidy(at("d"), &c));
	extra = streq(c.layers[0].name, DISK_IMAGE_NAME) ? 0 : 1;
	assert_int_equal(files_in("d"), c.count + extra);
	if (disk_dir_read(&a, at("d"), &c, &err) < 0)
		fail_msg("%s", err.msg);
	for (size_t i = 0; i < c.count; i++) {
		struct stat st;

		assert_int_equal(stat(c.layers[i].path, &st), 0);
		if (i > 0)
			assert_int_equal(st.st_mode & 0777, 0444);
		else
			assert_int_equal(st.st_mode & 0200, 0200);
	}
}

static void test_killed_at_any_step(void **state)
{
	for (int o = 0; o < OPERATIONS; o++) {
		bool ended = false;

		for (int kill_at = 0; !ended; kill_at++) {
			int status;
			pid_t child;

			assert_in_range(kill_at, 0, 40);
			begin((enum operation)o);
			child = fork();
			assert_true(child >= 0);
			if (child == 0) {
				steps_left = kill_at;
				layers_step = die_in_time;
				_exit(perform((enum operation)o) == 0 ? 0 : 1);
			}
			assert_int_equal(waitpid(child, &status, 0), child);
			assert_true(WIFEXITED(status));
			assert_int_not_equal(WEXITSTATUS(status), 1);
			ended = WEXITSTATUS(status) == 0;
			judge((enum operation)o);
			/* The next agent does it again, from wherever it was left. */
			assert_int_equal(access(at("s"), F_OK) == 0 || access(at("c"), F_OK) == 0
						 ? 0
						 : perform((enum operation)o),
				0);
			judge((enum operation)o);
			assert_int_equal(teardown(NULL), 0);
			assert_int_equal(setup(NULL), 0);
		}
	}
}

static void write_file(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "x", 1), 1);
	close(fd);
}

static void test_memory_of_others_is_not_ours(void **state)
{
	_cleanup_(free_p) char *path = xstrdup(at("memory")), *link_path = xstrdup(at("link")),
			       *symbolic = xstrdup(at("symbolic"));
	struct err err = ERR_INIT;
	int r;

	assert_int_equal(layers_memory_mark(path, &err), 0); /* there is none */
	write_file(path);
	assert_false(layers_memory_marked(path));
	r = layers_memory_mark(path, &err);
	if (r == -EPERM || r == -EOPNOTSUPP)
		skip(); /* trusted.* is root's */
	assert_int_equal(r, 0);
	assert_true(layers_memory_marked(path));
	assert_int_equal(link(path, link_path), 0);
	assert_true(layers_memory_marked(link_path));
	assert_int_equal(symlink(path, symbolic), 0);
	assert_false(layers_memory_marked(symbolic));
	assert_int_equal(layers_memory_mark(symbolic, &err), -ELOOP);
	assert_int_equal(unlink(path), 0);
	write_file(path);
	assert_false(layers_memory_marked(path));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_overlay_is_qcow2, setup, teardown),
		cmocka_unit_test_setup_teardown(test_freeze_keeps_what_was, setup, teardown),
		cmocka_unit_test_setup_teardown(test_raw_disk_becomes_a_layer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_clones_share_and_stay_apart, setup, teardown),
		cmocka_unit_test_setup_teardown(
			test_memory_goes_with_a_disk_that_nobody_wrote, setup, teardown),
		cmocka_unit_test_setup_teardown(test_memory_of_others_is_not_ours, setup, teardown),
		cmocka_unit_test_setup_teardown(test_nothing_foreign_is_linked, setup, teardown),
		cmocka_unit_test_setup_teardown(test_killed_at_any_step, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

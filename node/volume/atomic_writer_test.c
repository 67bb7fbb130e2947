/* atomic_writer_test.c - what readers of a written directory see. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
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

static void writes_updates_and_removes(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct payload p = {0};
	struct err err = ERR_INIT;
	char first[128], second[128], path[300];
	struct stat st;

	payload_add(&a, &p, (struct payload_file){"a", "1", 1, 0644});
	payload_add(&a, &p, (struct payload_file){"sub/b", "two", 3, 0400});
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
	payload_add(&a, &q, (struct payload_file){"a", "", 0, 0644});
	payload_add(&a, &q, (struct payload_file){"c", "three", 5, 0644});
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
		struct payload_file f = {bad[i], "x", 1, 0644};
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
	payload_add(&a, &p, (struct payload_file){"a", "1", 1, 0644});
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

	payload_add(&a, &p, (struct payload_file){"a/b", "1", 1, 0644});
	payload_add(&a, &p, (struct payload_file){"a-b", "2", 1, 0644});
	payload_add(&a, &p, (struct payload_file){"a/c", "3", 1, 0644});
	payload_add(&a, &p, (struct payload_file){"a.b", "4", 1, 0644});
	payload_add(&a, &p, (struct payload_file){"a/b", "5", 1, 0644});
	for (int i = 0; i < 2; i++) {
		assert_int_equal(atomic_writer_write(dir, &p, (gid_t)-1, &err), 0);
		assert_file("a/b", "5");
		assert_file("a-b", "2");
		assert_file("a/c", "3");
		assert_file("a.b", "4");
	}
	assert_string_equal(p.items[0].data, "1");
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

/* ---- whole volumes ---- */

static struct json *config_map;

static const struct json *find_config_map(void *user, const char *name)
{
	return streq(name, "cfg") ? config_map : NULL;
}

static const struct json *find_nothing(void *user, const char *name)
{
	return NULL;
}

static struct json *parse(struct arena *a, const char *text)
{
	struct json *v = NULL;
	struct err err = ERR_INIT;

	if (json_parse(a, text, strlen(text), NULL, &v, &err) < 0)
		fail_msg("%s", err.msg);
	return v;
}

static void volumes_of_a_pod(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct volume_source source = {
		.config_map = find_config_map,
		.secret = find_nothing,
	};
	struct err err = ERR_INIT;
	const char *path;
	bool read_only;

	config_map =
		parse(&a, "{\"data\":{\"k\":\"v\",\"l\":\"w\"},\"binaryData\":{\"b\":\"AAE=\"}}");
	struct json *pod = parse(&a,
		"{\"spec\":{\"volumes\":[{\"name\":\"e\",\"emptyDir\":{}},"
		"{\"name\":\"c\",\"configMap\":{\"name\":\"cfg\"}},"
		"{\"name\":\"i\",\"configMap\":{\"name\":\"cfg\",\"items\":[{\"key\":\"l\","
		"\"path\":\"x/y\",\"mode\":256}]}},"
		"{\"name\":\"o\",\"configMap\":{\"name\":\"no\",\"optional\":true}}]}}");
	assert_int_equal(volumes_setup(&a, dir, pod, &source, &err), 0);
	assert_file("volumes/c/k", "v");
	assert_file("volumes/i/x/y", "w");
	assert_file("volumes/i/k", "(missing)");
	assert_file("volumes/o/k", "(missing)");
	assert_int_equal(volume_mount_path(&a, dir, pod, "main", 0, parse(&a, "{\"name\":\"e\"}"),
				 NULL, &path, &read_only, &err),
		0);
	assert_true(str_has_suffix(path, "/volumes/e"));
	assert_false(read_only);
	assert_int_equal(volume_mount_path(&a, dir, pod, "main", 0, parse(&a, "{\"name\":\"c\"}"),
				 NULL, &path, &read_only, &err),
		0);
	assert_true(read_only);
	assert_true(volume_mount_path(&a, dir, pod, "main", 0, parse(&a, "{\"name\":\"zz\"}"), NULL,
			    &path, &read_only, &err) < 0);
	assert_true(volume_mount_path(&a, dir, pod, "main", 0, parse(&a, "{\"name\":\"e\"}"),
			    "../../x", &path, &read_only, &err) < 0);

	pod = parse(
		&a, "{\"spec\":{\"volumes\":[{\"name\":\"m\",\"configMap\":{\"name\":\"no\"}}]}}");
	err = ERR_INIT;
	assert_true(volumes_setup(&a, dir, pod, &source, &err) < 0);
	assert_string_equal(
		err.msg, "MountVolume.SetUp failed for volume \"m\" : configmap \"no\" not found");
	pod = parse(&a, "{\"spec\":{\"volumes\":[{\"name\":\"m\",\"nfs\":{\"server\":\"x\"}}]}}");
	err = ERR_INIT;
	assert_true(volumes_setup(&a, dir, pod, &source, &err) < 0);
	assert_non_null(strstr(err.msg, "volume of type nfs"));
}

static const struct json *persistent_volume;

static int find_claim(
	void *user, const char *name, bool own, const struct json **ret, struct err *err)
{
	*ret = persistent_volume;
	return 0;
}

/* The same directory, as an option may have it. */
static void removal_spares_a_claims_data(void **state)
{
	static const char *const forms[] = {"%s/pod", "%s//pod", "%s/./pod", "%s/link/pod"};
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct volume_source source = {.claim = find_claim};
	struct err err = ERR_INIT;
	struct json *pod = parse(&a, "{\"spec\":{\"volumes\":[{\"name\":\"d\","
				     "\"persistentVolumeClaim\":{\"claimName\":\"c\"}}]}}");
	const struct json *mount = parse(&a, "{\"name\":\"d\"}");
	const char *path;
	bool read_only;

	if (geteuid() != 0)
		skip(); /* mounts */
	assert_int_equal(volume_make_dirs(arena_printf(&a, "%s/data/sub", dir), 0755, &err), 0);
	assert_int_equal(symlink(dir, arena_printf(&a, "%s/link", dir)), 0);
	int fd = open(arena_printf(&a, "%s/data/sub/kept", dir), O_WRONLY | O_CREAT, 0600);
	assert_int_equal(write(fd, "v", 1), 1);
	close(fd);
	persistent_volume =
		parse(&a, arena_printf(&a, "{\"spec\":{\"local\":{\"path\":\"%s/data\"}}}", dir));
	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		const char *pod_dir = arena_printf(&a, forms[i], dir);
#pragma GCC diagnostic pop
		assert_int_equal(volumes_setup(&a, pod_dir, pod, &source, &err), 0);
		int r = volume_mount_path(
			&a, pod_dir, pod, "main", 0, mount, "sub", &path, &read_only, &err);
		if (r == -EPERM)
			skip(); /* root, but of a container */
		assert_int_equal(r, 0);
		/* What is mounted still is not gone into. */
		assert_int_equal(volume_remove_tree(pod_dir, &err), -EBUSY);
		assert_file("data/sub/kept", "v");
		err = ERR_INIT;
		assert_int_equal(volumes_remove(pod_dir, &err), 0);
		assert_int_equal(access(pod_dir, F_OK), -1);
		assert_file("data/sub/kept", "v");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(writes_updates_and_removes, setup, teardown),
		cmocka_unit_test_setup_teardown(keeps_inside, setup, teardown),
		cmocka_unit_test_setup_teardown(survives_a_torn_update, setup, teardown),
		cmocka_unit_test_setup_teardown(later_files_replace_earlier_ones, setup, teardown),
		cmocka_unit_test_setup_teardown(removes_what_is_very_deep, setup, teardown),
		cmocka_unit_test_setup_teardown(volumes_of_a_pod, setup, teardown),
		cmocka_unit_test_setup_teardown(removal_spares_a_claims_data, setup, teardown),
	};

	return cmocka_run_group_tests_name("volume", tests, NULL, NULL);
}

/* local_storage_test.c - what pods use of the disk, and their limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "node/pressure/local_storage.h"

#define MI (UINT64_C(1) << 20)

static struct json *parse(struct arena *a, const char *text)
{
	struct json *v = NULL;
	struct err err = ERR_INIT;

	if (yaml_parse(a, text, strlen(text), NULL, &v, &err) < 0)
		fail_msg("%s", err.msg);
	return v;
}

static const char pod_text[] = "metadata: {name: p, namespace: n, uid: u}\n"
			       "spec:\n"
			       "  volumes:\n"
			       "  - {name: free, emptyDir: {}}\n"
			       "  - {name: v, emptyDir: {sizeLimit: 10Mi}}\n"
			       "  - {name: m, emptyDir: {medium: Memory, sizeLimit: 1Mi}}\n"
			       "  - {name: host, hostPath: {path: /}}\n"
			       "  - {name: data, persistentVolumeClaim: {claimName: big}}\n"
			       "  - {name: page, configMap: {name: page}}\n"
			       "  containers:\n"
			       "  - {name: a, resources: {limits: {ephemeral-storage: 20Mi}}}\n"
			       "  - {name: b, resources: {limits: {ephemeral-storage: 1000M}}}\n";

static struct volume_disk *volume(struct pod_disk *d, const char *name)
{
	for (size_t i = 0; i < d->volume_count; i++) {
		if (streq(d->volumes[i].name, name))
			return &d->volumes[i];
	}
	fail_msg("no volume %s", name);
	return NULL;
}

static void which_volumes(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct pod_disk *d = pod_disk_make(parse(&a, pod_text), "/data/pods/u");

	assert_int_equal(d->volume_count, 5); /* hostPath is not the pod's */
	assert_string_equal(volume(d, "v")->path, "/data/pods/u/volumes/v");
	assert_true(volume(d, "v")->ephemeral && volume(d, "page")->ephemeral);
	assert_false(volume(d, "m")->ephemeral || volume(d, "data")->ephemeral);
	assert_string_equal(volume(d, "data")->claim, "big");
	volume(d, "free")->used_bytes = 5;
	volume(d, "m")->used_bytes = 100;
	volume(d, "data")->used_bytes = 1000;
	d->logs[1].used_bytes = 7;
	assert_int_equal(pod_disk_bytes(d), 12);
	pod_disk_destroy(d);
}

static void limits(void **state)
{
	static const struct {
		uint64_t v, free, m, log_a, layer_a, layer_b; /* Mi */
		const char *why;
	} cases[] = {
		{10, 100, 1, 5, 15, 50, NULL},
		{11, 0, 0, 0, 0, 0, "Usage of EmptyDir volume \"v\" exceeds the limit \"10Mi\". "},
		{0, 0, 2, 0, 0, 0, "Usage of EmptyDir volume \"m\" exceeds the limit \"1Mi\". "},
		{0, 0, 0, 5, 16, 0,
			"Container a exceeded its local ephemeral storage limit \"20Mi\". "},
		{0, 960, 0, 5, 15, 15,
			"Pod ephemeral local storage usage exceeds the total limit of containers "
			"1020971520. "},
		{0, 0, 0, 0, 0, 960,
			"Container b exceeded its local ephemeral storage limit \"1G\". "},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		_cleanup_(arena_finish) struct arena a = ARENA_INIT;
		const struct json *pod = parse(&a, pod_text);
		struct pod_disk *d = pod_disk_make(pod, "/data/pods/u");
		struct layer_disk layers[] = {
			{"a", cases[i].layer_a * MI}, {"b", cases[i].layer_b * MI}};
		volume(d, "v")->used_bytes = cases[i].v * MI;
		volume(d, "m")->used_bytes = cases[i].m * MI;
		volume(d, "free")->used_bytes = cases[i].free * MI;
		volume(d, "data")->used_bytes = 5000 * MI;
		d->logs[0].used_bytes = cases[i].log_a * MI;
		const char *why = local_storage_excess(&a, pod, d, layers, 2);
		if (cases[i].why)
			assert_string_equal(why ? why : "(none)", cases[i].why);
		else
			assert_null(why);
		pod_disk_destroy(d);
	}
}

static void who_is_looked_at(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;

	assert_true(local_storage_limited(parse(&a, pod_text)));
	assert_true(local_storage_needs_layers(parse(&a, pod_text)));
	const struct json *dir = parse(&a, "spec: {volumes: [{emptyDir: {sizeLimit: 1Mi}}]}");
	assert_true(local_storage_limited(dir));
	assert_false(local_storage_needs_layers(dir));
	assert_false(
		local_storage_limited(parse(&a, "spec: {volumes: [{emptyDir: {}}], containers: "
						"[{resources: {limits: {cpu: 1}}}]}")));
}

static void fill(const char *path, size_t size)
{
	_cleanup_(free_p) char *bytes = xmalloc(size);
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	memset(bytes, 'x', size);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, size), size);
	close(fd);
}

/* Hard links once, symbolic links not followed. */
static void walk(void **state)
{
	char dir[] = "/tmp/hanok-walk-XXXXXX";
	uint64_t bytes = 0, inodes = 0, again = 0;

	assert_non_null(mkdtemp(dir));
	assert_int_equal(chdir(dir), 0);
	assert_int_equal(mkdir("sub", 0700), 0);
	fill("a", 1 << 20);
	fill("sub/b", 2 << 20);
	assert_int_equal(link("a", "sub/also-a"), 0);
	assert_int_equal(symlink("/usr", "usr"), 0);
	disk_usage_walk(dir, NULL, &bytes, &inodes);
	assert_in_range(bytes, 3 << 20, (3 << 20) + 65536);
	assert_int_equal(inodes, 5); /* itself, sub, a, b, usr */
	disk_usage_walk("/no/such/directory", NULL, &again, &again);
	assert_int_equal(again, 0);
	_Atomic bool stop = true;
	disk_usage_walk(dir, &stop, &again, &inodes);
	assert_true(again < 65536);
	assert_int_equal(unlink("a") | unlink("sub/b") | unlink("sub/also-a") | unlink("usr") |
				 rmdir("sub") | rmdir(dir),
		0);
}

/* A copy by `cp -al`. */
static void many_links(void **state)
{
	enum { FILES = 500 };
	char dir[] = "/tmp/hanok-links-XXXXXX", name[16];
	uint64_t bytes = 0, inodes = 0;
	int result = 0;

	assert_non_null(mkdtemp(dir));
	assert_int_equal(chdir(dir), 0);
	result |= mkdir("copy", 0700);
	for (int i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "copy/%d", i);
		fill(name + 5, 1);
		result |= link(name + 5, name);
	}
	disk_usage_walk(dir, NULL, &bytes, &inodes);
	for (int i = 0; i < FILES; i++) {
		snprintf(name, sizeof(name), "copy/%d", i);
		result |= unlink(name) | unlink(name + 5);
	}
	result |= rmdir("copy") | rmdir(dir);
	assert_int_equal(result, 0);
	assert_int_equal(inodes, FILES + 2);
}

/* However deep somebody digs. */
static void deep_walk(void **state)
{
	enum { DEPTH = 300 };
	char dir[] = "/tmp/hanok-deep-XXXXXX";
	uint64_t bytes = 0, inodes = 0;
	int result = 0;

	assert_non_null(mkdtemp(dir));
	assert_int_equal(chdir(dir), 0);
	for (int i = 0; i < DEPTH; i++)
		result |= mkdir("d", 0700) | mkdir("e", 0700) | chdir("d");
	fill("f", 1 << 20);
	disk_usage_walk(dir, NULL, &bytes, &inodes);
	result |= unlink("f");
	for (int i = 0; i < DEPTH; i++)
		result |= chdir("..") | rmdir("d") | rmdir("e");
	result |= rmdir(dir);
	assert_int_equal(result, 0);
	assert_int_equal(inodes, 2 * DEPTH + 2);
	assert_true(bytes >= 1 << 20);
}

/* What a container writes to /etc/hosts and as its last words is the pod's, too. */
static void own_files(void **state)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	char dir[] = "/tmp/hanok-own-XXXXXX";

	assert_non_null(mkdtemp(dir));
	assert_int_equal(chdir(dir), 0);
	assert_int_equal(mkdir("containers", 0700), 0);
	assert_int_equal(mkdir("containers/c", 0700), 0);
	fill("containers/c/0", 2 << 20);
	fill("etc-hosts", 1 << 20);
	struct pod_disk *d = pod_disk_make(parse(&a, pod_text), dir);
	pod_disk_count_own(d, NULL);
	assert_in_range(pod_disk_bytes(d), 3 << 20, (3 << 20) + 65536);
	assert_int_equal(pod_disk_inodes(d), 4);
	pod_disk_destroy(d);
	assert_int_equal(unlink("containers/c/0") | unlink("etc-hosts") | rmdir("containers/c") |
				 rmdir("containers") | rmdir(dir),
		0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(which_volumes),
		cmocka_unit_test(limits),
		cmocka_unit_test(who_is_looked_at),
		cmocka_unit_test(walk),
		cmocka_unit_test(many_links),
		cmocka_unit_test(deep_walk),
		cmocka_unit_test(own_files),
	};

	return cmocka_run_group_tests_name("local storage", tests, NULL, NULL);
}

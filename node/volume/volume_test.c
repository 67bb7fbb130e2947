/* volume_test.c - the volumes of a pod on real files: what is planned, what is made of it, what a
 * container's mounts lead to, and what is left when the pod goes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>

#include "lib/base/log.h"
#include "node/volume/mountinfo.h"
#include "node/volume/volume.h"

static char dir[64];
static struct arena arena;

static int setup(void **state)
{
	snprintf(dir, sizeof(dir), "/tmp/volume_test.XXXXXX");
	arena_init(&arena);
	return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
	struct err err = ERR_INIT;

	arena_finish(&arena);
	return volumes_remove(dir, &err);
}

static char *at(const char *name)
{
	return arena_printf(&arena, "%s/%s", dir, name);
}

static const char *contents(const char *path)
{
	char *room = arena_zalloc(&arena, 256);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, room, 255);

	if (fd >= 0)
		close(fd);
	return n < 0 ? "(missing)" : room;
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
	close(fd);
}

static struct json *parse(const char *text)
{
	struct json *v = NULL;
	struct err err = ERR_INIT;

	if (json_parse(&arena, text, strlen(text), NULL, &v, &err) < 0)
		fail_msg("%s", err.msg);
	return v;
}

/* ---- sources ---- */

static const char *config_map, *persistent_volume;

static int find_config_map(void *user, const char *name, const struct json **ret, struct err *err)
{
	if (streq(name, "forbidden"))
		return err_set(err, -EIO, "configmaps \"forbidden\" is forbidden");
	*ret = streq(name, "cfg") ? parse(config_map) : NULL;
	return 0;
}

static int find_secret(void *user, const char *name, const struct json **ret, struct err *err)
{
	*ret = streq(name, "sec") ? parse("{\"data\":{\"p\":\"cHc=\"}}") : NULL;
	return 0;
}

static int find_claim(
	void *user, const char *name, bool own, const struct json **ret, struct err *err)
{
	if (!persistent_volume)
		return err_set(err, -ENOENT, "PVC is not bound");
	*ret = parse(persistent_volume);
	return 0;
}

static int find_token(
	void *user, struct arena *a, const struct json *source, const char **ret, struct err *err)
{
	*ret = "token";
	return 0;
}

static const struct volume_source source = {
	.memory_bytes = 1 << 20,
	.config_map = find_config_map,
	.secret = find_secret,
	.claim = find_claim,
	.token = find_token,
};

static struct volume_plan *plan_spec(const char *spec)
{
	const char *text = arena_printf(
		&arena, "{\"metadata\":{\"name\":\"p\",\"namespace\":\"ns\"},\"spec\":%s}", spec);

	return volumes_plan(&arena, at("pod"), parse(text), &source, false);
}

static struct volume_plan *plan_volume(const char *volume)
{
	return plan_spec(arena_printf(&arena, "{\"volumes\":[{\"name\":\"v\",%s}]}", volume));
}

static void assert_failure(const struct volume_plan *p, const char *message)
{
	assert_non_null(volumes_failure(p));
	assert_string_equal(volumes_failure(p)->msg, message);
}

static void make(struct volume_plan *p)
{
	volumes_make(p);
	if (volumes_failure(p))
		fail_msg("%s", volumes_failure(p)->msg);
}

static bool may_mount(void)
{
	bool may = mount("tmpfs", dir, "tmpfs", 0, "") == 0;

	if (may)
		umount2(dir, MNT_DETACH);
	return may;
}

/* ---- plans ---- */

static void volumes_of_a_pod(void **state)
{
	config_map = "{\"data\":{\"k\":\"v\",\"l\":\"w\"},\"binaryData\":{\"b\":\"AAE=\"}}";
	struct volume_plan *p = plan_spec(
		"{\"volumes\":[{\"name\":\"e\",\"emptyDir\":{}},"
		"{\"name\":\"c\",\"configMap\":{\"name\":\"cfg\"}},"
		"{\"name\":\"i\",\"configMap\":{\"name\":\"cfg\",\"items\":[{\"key\":\"l\","
		"\"path\":\"x/y\",\"mode\":256}]}},"
		"{\"name\":\"o\",\"configMap\":{\"name\":\"no\",\"optional\":true}},"
		"{\"name\":\"q\",\"configMap\":{\"name\":\"cfg\",\"optional\":true,\"items\":[{"
		"\"key\":"
		"\"zz\",\"path\":\"zz\"},{\"key\":\"k\",\"path\":\"k\"}]}}]}");
	struct stat st;

	make(p);
	assert_string_equal(contents(at("pod/volumes/c/k")), "v");
	assert_int_equal(stat(at("pod/volumes/c"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0777);
	assert_int_equal(stat(at("pod/volumes/c/b"), &st), 0);
	assert_int_equal(st.st_size, 2);
	assert_string_equal(contents(at("pod/volumes/i/x/y")), "w");
	assert_string_equal(contents(at("pod/volumes/i/k")), "(missing)");
	assert_string_equal(contents(at("pod/volumes/o/k")), "(missing)");
	assert_string_equal(contents(at("pod/volumes/q/k")), "v");
	assert_int_equal(stat(at("pod/volumes/e"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0777);
	/* A refresh looks at contents alone. */
	const struct json *pod = parse("{\"spec\":{\"volumes\":[{\"name\":\"e\",\"emptyDir\":{}},"
				       "{\"name\":\"c\",\"configMap\":{\"name\":\"cfg\"}}]}}");
	p = volumes_plan(&arena, at("pod"), pod, &source, true);
	assert_int_equal(p->count, 1);
	assert_string_equal(p->steps[0].name, "c");
}

/* In the words that users search for; each volume has its own. */
static void failures_say_which(void **state)
{
	static const char failed[] = "MountVolume.SetUp failed for volume \"v\" : ";
	static const struct {
		const char *volume, *message;
	} cases[] = {
		{"\"configMap\":{\"name\":\"no\"}", "configmap \"no\" not found"},
		{"\"secret\":{\"secretName\":\"no\"}", "secret \"no\" not found"},
		{"\"configMap\":{\"name\":\"forbidden\",\"optional\":true}",
			"configmaps \"forbidden\" is forbidden"},
		{"\"configMap\":{\"name\":\"cfg\",\"items\":[{\"key\":\"z\",\"path\":\"z\"}]}",
			"configmap references non-existent config key: z"},
		{"\"secret\":{\"secretName\":\"sec\",\"items\":[{\"key\":\"z\",\"path\":\"z\"}]}",
			"references non-existent secret key: z"},
		{"\"projected\":{\"sources\":[{\"clusterTrustBundle\":{\"name\":\"x\"}}]}",
			"this cluster has no ClusterTrustBundles: project a configMap instead of "
			"clusterTrustBundle"},
		{"\"emptyDir\":{\"medium\":\"Paper\"}", "unknown storage medium \"Paper\""},
		{"\"emptyDir\":{\"medium\":\"HugePages\"}",
			"medium HugePages: hugePages storage requested, but there is no resource "
			"request for huge pages"},
		{"\"nfs\":{\"server\":\"x\"}",
			"no volume plugin matched: this node has no support for volumes of type "
			"nfs, it has configMap, downwardAPI, emptyDir, ephemeral, hostPath, "
			"persistentVolumeClaim, projected and secret"},
	};

	config_map = "{\"data\":{\"k\":\"v\"}}";
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct volume_plan *p = plan_volume(cases[i].volume);
		assert_failure(p, arena_printf(&arena, "%s%s", failed, cases[i].message));
	}
	persistent_volume = NULL;
	assert_failure(plan_volume("\"persistentVolumeClaim\":{\"claimName\":\"c\"}"),
		"Unable to attach or mount volumes: unmounted volumes=[v], unattached volumes=[], "
		"failed to process volumes=[v]: error processing PVC ns/c: PVC is not bound");
	persistent_volume =
		"{\"metadata\":{\"name\":\"pv1\"},\"spec\":{\"capacity\":{},\"csi\":{}}}";
	assert_failure(plan_volume("\"persistentVolumeClaim\":{\"claimName\":\"c\"}"),
		"MountVolume.SetUp failed for volume \"pv1\" : no volume plugin matched: this node "
		"has no support for PersistentVolumes of type csi, it has local and hostPath");
	persistent_volume =
		"{\"metadata\":{\"name\":\"pv1\"},\"spec\":{\"local\":{\"path\":\"/no\"}}}";
	struct volume_plan *p = plan_volume("\"persistentVolumeClaim\":{\"claimName\":\"c\"}");
	volumes_make(p);
	assert_failure(p, "MountVolume.NewMounter initialization failed for volume \"pv1\" : path "
			  "\"/no\" does not exist");
	assert_int_equal(mkdir(at("machine"), 0700), 0);
	assert_int_equal(close(open(at("machine/disk.json"), O_CREAT | O_WRONLY, 0600)), 0);
	persistent_volume = arena_printf(&arena,
		"{\"metadata\":{\"name\":\"pv1\"},\"spec\":{\"local\":{\"path\":\"%s\"}}}",
		at("machine"));
	p = plan_volume("\"persistentVolumeClaim\":{\"claimName\":\"c\"}");
	volumes_make(p);
	assert_failure(p, "MountVolume.SetUp failed for volume \"pv1\" : it is the disk of a "
			  "virtual machine, "
			  "whose layers other disks may share: pods can't have it");
	assert_int_equal(access(at("pod/volumes/v"), F_OK), -1);
	persistent_volume = NULL;
	/* One that can't be does not keep the others from being made. */
	p = plan_spec("{\"volumes\":[{\"name\":\"a\",\"configMap\":{\"name\":\"no\"}},"
		      "{\"name\":\"b\",\"configMap\":{\"name\":\"cfg\"}}]}");
	volumes_make(p);
	assert_non_null(volumes_failure(p));
	assert_string_equal(contents(at("pod/volumes/b/k")), "v");
}

static void sizes_of_memory(void **state)
{
	static const struct {
		const char *spec, *options;
	} cases[] = {
		{"{\"volumes\":[{\"name\":\"v\",\"emptyDir\":{\"medium\":\"Memory\"}}]}",
			"mode=0777,size=1048576"},
		{"{\"volumes\":[{\"name\":\"v\",\"emptyDir\":{\"medium\":\"Memory\",\"sizeLimit\":"
		 "\"8Ki\"}}]}",
			"mode=0777,size=8192"},
		{"{\"containers\":[{\"resources\":{\"limits\":{\"memory\":\"64Ki\"}}}],\"volumes\":"
		 "[{"
		 "\"name\":\"v\",\"emptyDir\":{\"medium\":\"Memory\",\"sizeLimit\":\"80Ki\"}}]}",
			"mode=0777,size=65536"},
		{"{\"containers\":[{\"resources\":{\"limits\":{\"memory\":\"64Ki\"}}},{}],"
		 "\"volumes\":"
		 "[{\"name\":\"v\",\"emptyDir\":{\"medium\":\"Memory\"}}]}",
			"mode=0777,size=1048576"},
		{"{\"containers\":[{\"resources\":{\"requests\":{\"hugepages-2Mi\":\"4Mi\"}}}],"
		 "\"volumes\":[{\"name\":\"v\",\"emptyDir\":{\"medium\":\"HugePages\"}}]}",
			"mode=0777,pagesize=2097152"},
		{"{\"containers\":[{\"resources\":{\"requests\":{\"hugepages-2Mi\":\"4Mi\","
		 "\"hugepages-1Gi\":\"1Gi\"}}}],"
		 "\"volumes\":[{\"name\":\"v\",\"emptyDir\":{\"medium\":\"HugePages-1Gi\"}}]}",
			"mode=0777,pagesize=1073741824"},
	};

	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		struct volume_plan *p = plan_spec(cases[i].spec);
		assert_null(volumes_failure(p));
		assert_string_equal(p->steps[0].options, cases[i].options);
	}
	assert_failure(plan_spec("{\"containers\":[{\"resources\":{\"requests\":{\"hugepages-2Mi\":"
				 "\"4Mi\",\"hugepages-1Gi\":\"1Gi\"}}}],\"volumes\":[{\"name\":"
				 "\"v\",\"emptyDir\":{\"medium\":\"HugePages\"}}]}"),
		"MountVolume.SetUp failed for volume \"v\" : medium: HugePages can't be used if "
		"container requests multiple huge page sizes");
}

static void assert_owner(const char *path, unsigned mode, uid_t uid, gid_t gid)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, mode);
	assert_int_equal(st.st_uid, uid);
	assert_int_equal(st.st_gid, gid);
}

#define TOKEN                                                                                      \
	"\"projected\":{\"defaultMode\":420,\"sources\":[{\"serviceAccountToken\":{\"path\":"      \
	"\"t\"}}]}"

static void tokens_are_the_users(void **state)
{
	if (geteuid() != 0 || !may_mount())
		skip();
	make(plan_spec("{\"containers\":[{}],\"volumes\":[{\"name\":\"v\"," TOKEN "}]}"));
	assert_owner(at("pod/volumes/v/t"), 0644, 0, 0);
	make(plan_spec("{\"securityContext\":{\"runAsUser\":1000},\"containers\":[{},{}],"
		       "\"volumes\":[{\"name\":\"u\"," TOKEN "}]}"));
	assert_owner(at("pod/volumes/u/t"), 0600, 1000, 0);
	make(plan_spec(
		"{\"securityContext\":{\"runAsUser\":1000,\"fsGroup\":2000},\"containers\":[{"
		"\"securityContext\":{\"runAsUser\":1001}},{}],\"volumes\":[{\"name\":\"g\"," TOKEN
		"}]}"));
	assert_owner(at("pod/volumes/g/t"), 0640, 0, 2000);
	assert_owner(at("pod/volumes/v"), 01777, 0, 0);
	assert_owner(at("pod/volumes/g"), 03777, 0, 2000);
	/* Secrets and tokens are on no disk. */
	struct statfs fs;
	assert_int_equal(statfs(at("pod/volumes/v"), &fs), 0);
	assert_int_equal(fs.f_type, 0x01021994);
}

/* An agent that was killed behind mkdir() leaves the group to the next one. */
static void empty_dirs_are_the_groups(void **state)
{
	if (geteuid() != 0)
		skip();
	struct err err = ERR_INIT;
	assert_int_equal(volume_make_dirs(at("pod/volumes/left"), 0777, &err), 0);
	make(plan_spec("{\"securityContext\":{\"fsGroup\":2000},\"volumes\":[{\"name\":\"left\","
		       "\"emptyDir\":{}},{\"name\":\"new\",\"emptyDir\":{}}]}"));
	assert_owner(at("pod/volumes/left"), 02777, 0, 2000);
	assert_owner(at("pod/volumes/new"), 02777, 0, 2000);
}

static void host_paths(void **state)
{
	static const struct {
		const char *type, *name, *message; /* NULL = fine */
	} cases[] = {
		{"", "no", NULL},
		{"Directory", "d", NULL},
		{"Directory", "f", "is not a directory"},
		{"Directory", "no", "is not a directory"},
		{"DirectoryOrCreate", "new/deep", NULL},
		{"DirectoryOrCreate", "f", "is not a directory"},
		{"File", "f", NULL},
		{"File", "d", "is not a file"},
		{"File", "p", "is not a file"},
		{"FileOrCreate", "made", NULL},
		{"FileOrCreate", "d", "is not a file"},
		{"Socket", "f", "is not a socket file"},
		{"CharDevice", "f", "is not a character device"},
		{"BlockDevice", "f", "is not a block device"},
	};
	struct err err;

	assert_int_equal(mkdir(at("d"), 0755), 0);
	write_file(at("f"), "");
	assert_int_equal(mkfifo(at("p"), 0600), 0);
	for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
		const char *path = at(cases[i].name);
		err = ERR_INIT;
		int r = volume_check_host_path(path, cases[i].type, &err);
		if (cases[i].message)
			assert_string_equal(
				err.msg, arena_printf(&arena, "hostPath type check failed: %s %s",
						 path, cases[i].message));
		else
			assert_int_equal(r, 0);
	}
	struct stat st;
	assert_int_equal(stat(at("new/deep"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	assert_int_equal(stat(at("made"), &st), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	assert_int_equal(volume_check_host_path("/dev/null", "CharDevice", &err), 0);
	assert_true(volume_check_host_path("/dev/null", "Wood", &err) < 0);
	assert_string_equal(err.msg, "Wood is an invalid volume type");
}

/* ---- groups ---- */

static void groups(void **state)
{
	struct err err = ERR_INIT;

	if (geteuid() != 0)
		skip();
	assert_int_equal(mkdir(at("v"), 0700), 0);
	assert_int_equal(mkdir(at("v/sub"), 0700), 0);
	assert_int_equal(mkdir(at("v/sub/deep"), 0755), 0);
	write_file(at("v/sub/deep/f"), "");
	write_file(at("outside"), "");
	assert_int_equal(symlink(at("outside"), at("v/sub/link")), 0);
	assert_int_equal(symlink(dir, at("v/up")), 0);
	assert_int_equal(volume_give_to_group(at("v"), 3000, true, &err), 0);
	assert_owner(at("v"), 02770, 0, 3000);
	assert_owner(at("v/sub"), 02770, 0, 3000);
	assert_owner(at("v/sub/deep"), 02775, 0, 3000);
	assert_owner(at("v/sub/deep/f"), 0660, 0, 3000);
	assert_owner(at("outside"), 0600, 0, 0);
	assert_owner(dir, 0700, 0, 0);
	/* Its top says that it is done. */
	write_file(at("v/sub/g"), "");
	assert_int_equal(chown(at("v/sub/g"), 0, 0), 0);
	assert_int_equal(volume_give_to_group(at("v"), 3000, true, &err), 0);
	assert_owner(at("v/sub/g"), 0600, 0, 0);
	assert_int_equal(volume_give_to_group(at("v"), 3000, false, &err), 0);
	assert_owner(at("v/sub/g"), 0660, 0, 3000);
	assert_true(volume_give_to_group(at("no"), 3000, false, &err) < 0);
}

/* More directories in one than are noted at once. */
static void groups_of_many(void **state)
{
	enum { DIRECTORIES = 300 };
	struct err err = ERR_INIT;

	if (geteuid() != 0)
		skip();
	assert_int_equal(mkdir(at("v"), 0700), 0);
	for (int i = 0; i < DIRECTORIES; i++) {
		assert_int_equal(mkdir(at(arena_printf(&arena, "v/%d", i)), 0755), 0);
		write_file(at(arena_printf(&arena, "v/%d/f", i)), "");
	}
	assert_int_equal(volume_give_to_group(at("v"), 3000, false, &err), 0);
	assert_owner(at("v"), 02770, 0, 3000);
	for (int i = 0; i < DIRECTORIES; i++) {
		assert_owner(at(arena_printf(&arena, "v/%d", i)), 02775, 0, 3000);
		assert_owner(at(arena_printf(&arena, "v/%d/f", i)), 0660, 0, 3000);
	}
}

/* ---- mounts of containers ---- */

static int mount_of(const char *mount, const char *sub, struct volume_mount *m, struct err *err)
{
	const struct json *pod = parse(
		arena_printf(&arena, "{\"spec\":{\"volumes\":[{\"name\":\"e\",\"emptyDir\":{}},"
				     "{\"name\":\"c\",\"configMap\":{\"name\":\"cfg\"}}]}}"));
	int r = volume_mount_plan(&arena, at("pod"), pod, "main", 0, parse(mount), sub, m, err);

	return r < 0 ? r : volume_mount_make(&arena, m, err);
}

static void mounts(void **state)
{
	struct volume_mount m;
	struct err err = ERR_INIT;

	assert_int_equal(mount_of("{\"name\":\"e\"}", NULL, &m, &err), 0);
	assert_string_equal(m.host_path, at("pod/volumes/e"));
	assert_false(m.read_only);
	assert_int_equal(mount_of("{\"name\":\"c\"}", NULL, &m, &err), 0);
	assert_true(m.read_only);
	assert_true(mount_of("{\"name\":\"zz\"}", NULL, &m, &err) < 0);
	assert_true(mount_of("{\"name\":\"e\"}", "../../x", &m, &err) < 0);
	assert_string_equal(
		err.msg, "unable to provision SubPath `../../x`: must not contain '..'");
	assert_true(mount_of("{\"name\":\"e\"}", "/etc", &m, &err) < 0);
	assert_string_equal(err.msg, "error SubPath `/etc` must not be an absolute path");
	if (!may_mount())
		skip();
	/* Two dots are no step back in a name. */
	assert_int_equal(mount_of("{\"name\":\"e\"}", "a..b/c", &m, &err), 0);
	assert_int_equal(access(at("pod/volumes/e/a..b/c"), F_OK), 0);
	assert_owner(at("pod/volumes/e/a..b/c"), 0755, 0, 0);
	/* Links of the container: inside is fine, out is not, nor is one to nowhere. */
	assert_int_equal(symlink("a..b", at("pod/volumes/e/in")), 0);
	assert_int_equal(mount_of("{\"name\":\"e\"}", "in/c", &m, &err), 0);
	static const char *const out[] = {"/", "../../..", "/nowhere"};
	for (size_t i = 0; i < ARRAY_LEN(out); i++) {
		(void)unlink(at("pod/volumes/e/out"));
		assert_int_equal(symlink(out[i], at("pod/volumes/e/out")), 0);
		assert_true(mount_of("{\"name\":\"e\"}", "out", &m, &err) < 0);
		assert_string_equal(err.msg, "failed to prepare subPath for volumeMount \"e\" of "
					     "container \"main\"");
		assert_true(mount_of("{\"name\":\"e\"}", "out/etc/made", &m, &err) < 0);
	}
	/* A file, and a directory in its place. */
	write_file(at("pod/volumes/e/x"), "file");
	assert_int_equal(mount_of("{\"name\":\"e\"}", "x", &m, &err), 0);
	assert_string_equal(contents(m.host_path), "file");
	assert_int_equal(unlink(at("pod/volumes/e/x")), 0);
	assert_int_equal(mkdir(at("pod/volumes/e/x"), 0700), 0);
	assert_int_equal(mount_of("{\"name\":\"e\"}", "x", &m, &err), 0);
	struct stat st;
	assert_int_equal(stat(m.host_path, &st), 0);
	assert_true(S_ISDIR(st.st_mode));
}

static atomic_bool swapping;

/* A container that makes of a directory a link to the host's, and back, as fast as it can. */
static void *swap(void *user)
{
	const char *path = user;
	_cleanup_(free_p) char *link = xasprintf("%s.link", path);

	while (atomic_load(&swapping)) {
		(void)!symlink("/etc", link);
		(void)!renameat2(AT_FDCWD, link, AT_FDCWD, path, RENAME_EXCHANGE);
		(void)!rmdir(link);
		(void)!unlink(link);
		(void)!mkdir(link, 0755);
		(void)!renameat2(AT_FDCWD, link, AT_FDCWD, path, RENAME_EXCHANGE);
		(void)!unlink(link);
		(void)!rmdir(link);
	}
	return NULL;
}

static void links_that_are_swapped(void **state)
{
	enum { ROUNDS = 300, ROUNDS_MAX = 100000 };
	struct volume_mount m;
	struct err err = ERR_INIT;
	struct stat root, st;
	pthread_t thread;
	size_t fine = 0;

	if (!may_mount())
		skip();
	assert_int_equal(volume_make_dirs(at("pod/volumes/e/s"), 0755, &err), 0);
	assert_int_equal(stat("/etc", &root), 0);
	char *path = at("pod/volumes/e/s");
	log_set_level(LOG_ERROR); /* each failure is told */
	atomic_store(&swapping, true);
	assert_int_equal(pthread_create(&thread, NULL, swap, path), 0);
	/* On a busy machine the other thread may be stopped at a bad time again and again. */
	for (int i = 0; i < ROUNDS || (fine == 0 && i < ROUNDS_MAX); i++) {
		const char *sub = i % 2 || i >= ROUNDS
					  ? "s"
					  : arena_printf(&arena, "s/hanok-volume-test-%d", i);
		sched_yield();
		if (mount_of("{\"name\":\"e\"}", sub, &m, &err) < 0)
			continue;
		fine++;
		if (stat(m.host_path, &st) == 0 && st.st_dev == root.st_dev)
			assert_int_not_equal(st.st_ino, root.st_ino);
	}
	atomic_store(&swapping, false);
	log_set_level(LOG_INFO);
	pthread_join(thread, NULL);
	assert_true(fine > 0);
	for (int i = 0; i < ROUNDS; i++)
		assert_int_not_equal(
			access(arena_printf(&arena, "/etc/hanok-volume-test-%d", i), F_OK), 0);
}

/* ---- removal ---- */

/* The same directory, as an option may have it. */
static void removal_spares_a_claims_data(void **state)
{
	static const char *const forms[] = {"%s/pod", "%s//pod", "%s/./pod", "%s/link/pod"};
	const struct json *pod = parse("{\"spec\":{\"volumes\":[{\"name\":\"d\","
				       "\"persistentVolumeClaim\":{\"claimName\":\"c\"}}]}}");
	struct err err = ERR_INIT;
	struct volume_mount m;

	if (!may_mount())
		skip();
	assert_int_equal(volume_make_dirs(at("data/sub"), 0755, &err), 0);
	assert_int_equal(symlink(dir, at("link")), 0);
	write_file(at("data/sub/kept"), "v");
	persistent_volume =
		arena_printf(&arena, "{\"spec\":{\"local\":{\"path\":\"%s/data\"}}}", dir);
	for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
		const char *pod_dir = arena_printf(&arena, forms[i], dir);
#pragma GCC diagnostic pop
		make(volumes_plan(&arena, pod_dir, pod, &source, false));
		assert_int_equal(volume_mount_plan(&arena, pod_dir, pod, "main", 0,
					 parse("{\"name\":\"d\"}"), "sub", &m, &err),
			0);
		assert_int_equal(volume_mount_make(&arena, &m, &err), 0);
		/* What is mounted still is not gone into. */
		assert_int_equal(volume_remove_tree(pod_dir, &err), -EBUSY);
		assert_string_equal(contents(at("data/sub/kept")), "v");
		err = ERR_INIT;
		assert_int_equal(volumes_remove(pod_dir, &err), 0);
		assert_int_equal(access(pod_dir, F_OK), -1);
		assert_string_equal(contents(at("data/sub/kept")), "v");
	}
}

static size_t count_mounts(const char *below)
{
	struct mount_table t;
	size_t n = 0;

	assert_int_equal(mountinfo_read(&arena, &t, NULL), 0);
	for (size_t i = 0; i < t.count; i++)
		n += strncmp(t.items[i].path, below, strlen(below)) == 0;
	return n;
}

/* A subPath of a shared mount of the host: what is mounted below that is the host's, and must stay
 * when the pod goes. */
static void removal_spares_the_hosts_mounts(void **state)
{
	struct err err = ERR_INIT;
	struct volume_mount m;

	if (!may_mount())
		skip();
	const struct json *pod = parse(arena_printf(&arena,
		"{\"spec\":{\"volumes\":[{\"name\":\"h\",\"hostPath\":{\"path\":\"%s/host\"}}]}}",
		dir));
	assert_int_equal(mkdir(at("host"), 0755), 0);
	assert_int_equal(mount("tmpfs", at("host"), "tmpfs", 0, ""), 0);
	assert_int_equal(mount(NULL, at("host"), NULL, MS_SHARED, NULL), 0);
	assert_int_equal(volume_make_dirs(at("host/sub/mnt"), 0755, &err), 0);
	static const char *const propagations[] = {"None", "HostToContainer", "Bidirectional"};
	for (size_t i = 0; i < ARRAY_LEN(propagations); i++) {
		const char *mount_doc = arena_printf(
			&arena, "{\"name\":\"h\",\"mountPropagation\":\"%s\"}", propagations[i]);
		assert_int_equal(volume_mount_plan(&arena, at("pod"), pod, "main", 0,
					 parse(mount_doc), "sub", &m, &err),
			0);
		if (volume_mount_make(&arena, &m, &err) < 0)
			fail_msg("%s", err.msg);
		assert_int_equal(mount("tmpfs", at("host/sub/mnt"), "tmpfs", 0, ""), 0);
		write_file(at("host/sub/mnt/kept"), "v");
		assert_int_equal(volumes_remove(at("pod"), &err), 0);
		assert_string_equal(contents(at("host/sub/mnt/kept")), "v");
		assert_int_equal(count_mounts(at("pod")), 0);
		assert_int_equal(count_mounts(at("host")), 2);
		assert_int_equal(umount2(at("host/sub/mnt"), MNT_DETACH), 0);
	}
	assert_int_equal(umount2(at("host"), MNT_DETACH), 0);
}

/* Bidirectional wants a shared mount below it, and says so before the runtime does. */
static void propagation_is_checked(void **state)
{
	struct err err = ERR_INIT;
	struct volume_mount m;

	if (!may_mount())
		skip();
	assert_int_equal(volume_make_dirs(at("pod/volumes/e"), 0755, &err), 0);
	assert_int_equal(mount("tmpfs", at("pod/volumes/e"), "tmpfs", 0, ""), 0);
	assert_int_equal(mount(NULL, at("pod/volumes/e"), NULL, MS_PRIVATE, NULL), 0);
	assert_true(mount_of("{\"name\":\"e\",\"mountPropagation\":\"Bidirectional\"}", NULL, &m,
			    &err) < 0);
	assert_string_equal(err.msg, arena_printf(&arena,
					     "path \"%s/pod/volumes/e\" is mounted on "
					     "\"%s/pod/volumes/e\" but it is not a shared mount",
					     dir, dir));
	assert_int_equal(mount(NULL, at("pod/volumes/e"), NULL, MS_SHARED, NULL), 0);
	assert_int_equal(
		mount_of("{\"name\":\"e\",\"mountPropagation\":\"Bidirectional\"}", NULL, &m, &err),
		0);
	assert_int_equal(m.propagation, MOUNT_SHARED);
}

/* ---- mountinfo ---- */

static void mount_lines(void **state)
{
	struct mount_line m;
	char line[256];

	snprintf(line, sizeof(line),
		"36 35 98:0 /r /a\\040b rw,noatime master:1 shared:2 - ext4 /dev/x rw");
	assert_true(mountinfo_parse(line, &m));
	assert_int_equal(m.id, 36);
	assert_string_equal(m.path, "/a b");
	assert_true(m.shared && m.slave);
	/* Options of the file system are no tags. */
	snprintf(line, sizeof(line), "1 0 0:1 / / rw - x shared:2 master:1");
	assert_true(mountinfo_parse(line, &m));
	assert_false(m.shared || m.slave);
	static const char *const bad[] = {
		"", " ", "x 35 98:0 / / rw -", "36", "36 35 98:0 /r rel rw -", "-1 1 1:1 / / rw -"};
	for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
		snprintf(line, sizeof(line), "%s", bad[i]);
		assert_false(mountinfo_parse(line, &m));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(volumes_of_a_pod, setup, teardown),
		cmocka_unit_test_setup_teardown(failures_say_which, setup, teardown),
		cmocka_unit_test_setup_teardown(sizes_of_memory, setup, teardown),
		cmocka_unit_test_setup_teardown(tokens_are_the_users, setup, teardown),
		cmocka_unit_test_setup_teardown(empty_dirs_are_the_groups, setup, teardown),
		cmocka_unit_test_setup_teardown(host_paths, setup, teardown),
		cmocka_unit_test_setup_teardown(groups, setup, teardown),
		cmocka_unit_test_setup_teardown(groups_of_many, setup, teardown),
		cmocka_unit_test_setup_teardown(mounts, setup, teardown),
		cmocka_unit_test_setup_teardown(links_that_are_swapped, setup, teardown),
		cmocka_unit_test_setup_teardown(removal_spares_a_claims_data, setup, teardown),
		cmocka_unit_test_setup_teardown(removal_spares_the_hosts_mounts, setup, teardown),
		cmocka_unit_test_setup_teardown(propagation_is_checked, setup, teardown),
		cmocka_unit_test_setup_teardown(mount_lines, setup, teardown),
	};

	return cmocka_run_group_tests_name("volumes", tests, NULL, NULL);
}

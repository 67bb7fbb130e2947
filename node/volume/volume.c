/* volume.c - see volume.h. */
#include "node/volume/volume.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>

#include "lib/base/vec.h"
#include "lib/object/quantity.h"
#include "node/volume/atomic_writer.h"
#include "node/volume/claim_volume.h"

enum { TMPFS_MAGIC_NUMBER = 0x01021994 };

int volume_make_dirs(const char *path, unsigned mode, struct err *err)
{
	char part[PATH_MAX];

	if (snprintf(part, sizeof(part), "%s", path) >= (int)sizeof(part))
		return err_set(err, -ENAMETOOLONG, "path '%.64s...' is too long", path);
	for (char *slash = part; (slash = strchr(slash + 1, '/'));) {
		*slash = '\0';
		if (mkdir(part, 0755) < 0 && errno != EEXIST)
			return err_errno(err, -errno, "create directory '%s'", part);
		*slash = '/';
	}
	if (mkdir(part, (mode_t)mode) < 0) {
		if (errno != EEXIST)
			return err_errno(err, -errno, "create directory '%s'", part);
		return 0;
	}
	if (chmod(part, (mode_t)mode) < 0)
		return err_errno(err, -errno, "change mode of '%s'", part);
	return 0;
}

static bool is_tmpfs(const char *path)
{
	struct statfs fs;

	return statfs(path, &fs) == 0 && (unsigned long)fs.f_type == TMPFS_MAGIC_NUMBER;
}

static bool is_mount_point(const char *path)
{
	char parent[PATH_MAX];
	struct stat a, b;

	snprintf(parent, sizeof(parent), "%s/..", path);
	return stat(path, &a) == 0 && stat(parent, &b) == 0 && a.st_dev != b.st_dev;
}

static int mount_tmpfs(const char *path, int64_t size, struct err *err)
{
	char options[64] = "mode=0777";

	if (is_mount_point(path) && is_tmpfs(path))
		return 0;
	if (size > 0)
		snprintf(options, sizeof(options), "mode=0777,size=%lld", (long long)size);
	if (mount("tmpfs", path, "tmpfs", MS_NOSUID | MS_NODEV, options) < 0)
		return err_errno(err, -errno, "mount tmpfs on '%s'", path);
	return 0;
}

static gid_t fs_group(const struct json *pod)
{
	return (gid_t)json_path_int(pod, "spec.securityContext.fsGroup", -1);
}

/* ---- contents ---- */

struct fill {
	struct arena *a;
	const struct volume_source *source;
	struct payload payload;
	unsigned default_mode;
};

static void fill_add(
	struct fill *f, const char *path, const char *data, size_t size, const struct json *mode)
{
	payload_add(f->a, &f->payload,
		(struct payload_file){
			.path = path,
			.data = data,
			.size = size,
			.mode = (unsigned)json_int_or(mode, f->default_mode) & 0777,
		});
}

/* Value of a key of a ConfigMap (data, binaryData) or Secret. 1 = there, 0 = not. */
static int key_value(struct arena *a, const struct json *o, bool secret, const char *key,
	const char **ret, size_t *ret_size, struct err *err)
{
	const struct json *v = json_get(json_get(o, "data"), key);
	bool encoded = secret;

	if (!v && !secret) {
		v = json_get(json_get(o, "binaryData"), key);
		encoded = true;
	}
	if (!json_is(v, JSON_STRING))
		return 0;
	if (!encoded) {
		*ret = v->s;
		*ret_size = v->count;
		return 1;
	}
	char *plain;
	if (base64_decode(a, (struct str){v->s, v->count}, &plain, ret_size) < 0)
		return err_set(err, -EINVAL, "key '%s' is no base64", key);
	*ret = plain;
	return 1;
}

static int fill_object(
	struct fill *f, const struct json *spec, const char *name, bool secret, struct err *err)
{
	const struct json *o = secret ? f->source->secret(f->source->user, name)
				      : f->source->config_map(f->source->user, name);
	bool optional = json_bool_or(json_get(spec, "optional"), false);
	const struct json *items = json_get(spec, "items");
	const char *data;
	size_t size;
	int r;

	if (!o) {
		if (optional)
			return 0;
		return err_set(
			err, -ENOENT, "%s \"%s\" not found", secret ? "secret" : "configmap", name);
	}
	if (json_count(items) > 0) {
		JSON_FOR_EACH_ITEM(item, items) {
			const char *key = json_str_or(json_get(item, "key"), "");
			r = key_value(f->a, o, secret, key, &data, &size, err);
			if (r < 0)
				return r;
			if (r == 0 && !optional)
				return err_set(err, -ENOENT, "references non-existent %s key: %s",
					secret ? "secret" : "config", key);
			if (r > 0)
				fill_add(f, json_str_or(json_get(item, "path"), key), data, size,
					json_get(item, "mode"));
		}
		return 0;
	}
	static const char *const maps[] = {"data", "binaryData"};
	for (size_t i = 0; i < (secret ? 1 : ARRAY_LEN(maps)); i++) {
		JSON_FOR_EACH_MEMBER(m, json_get(o, maps[i])) {
			r = key_value(f->a, o, secret, m->name, &data, &size, err);
			if (r < 0)
				return r;
			if (r > 0)
				fill_add(f, arena_strdup(f->a, m->name), data, size, NULL);
		}
	}
	return 0;
}

static int fill_downward(struct fill *f, const struct json *items, struct err *err)
{
	JSON_FOR_EACH_ITEM(item, items) {
		const struct json *field = json_get(item, "fieldRef");
		const char *value;
		int r = field ? f->source->field(f->source->user, f->a,
					json_str_or(json_get(field, "fieldPath"), ""), &value, err)
			      : f->source->resource(f->source->user, f->a,
					json_get(item, "resourceFieldRef"), &value, err);
		if (r < 0)
			return r;
		fill_add(f, json_str_or(json_get(item, "path"), ""), value, strlen(value),
			json_get(item, "mode"));
	}
	return 0;
}

static int fill_projected(struct fill *f, const struct json *projected, struct err *err)
{
	int r = 0;

	JSON_FOR_EACH_ITEM(src, json_get(projected, "sources")) {
		const struct json *part;
		const char *token;
		if ((part = json_get(src, "configMap"))) {
			r = fill_object(
				f, part, json_str_or(json_get(part, "name"), ""), false, err);
		} else if ((part = json_get(src, "secret"))) {
			r = fill_object(
				f, part, json_str_or(json_get(part, "name"), ""), true, err);
		} else if ((part = json_get(src, "downwardAPI"))) {
			r = fill_downward(f, json_get(part, "items"), err);
		} else if ((part = json_get(src, "serviceAccountToken"))) {
			r = f->source->token(f->source->user, f->a, part, &token, err);
			if (r >= 0)
				fill_add(f, json_str_or(json_get(part, "path"), "token"), token,
					strlen(token), NULL);
		}
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- kinds of volumes ---- */

static int setup_empty_dir(
	const struct json *spec, const struct json *pod, const char *path, struct err *err)
{
	gid_t gid = fs_group(pod);
	int r = volume_make_dirs(path, 0777, err);

	if (r < 0)
		return r;
	const char *medium = json_str_or(json_get(spec, "medium"), "");
	if (streq(medium, "Memory"))
		r = mount_tmpfs(path, quantity_json_value(json_get(spec, "sizeLimit"), 0), err);
	else if (*medium)
		r = err_set(err, -ENOTSUP, "medium \"%s\" is not supported", medium);
	if (r < 0)
		return r;
	/* Once: what the container makes of its mode later stays. */
	struct stat st;
	if (gid != (gid_t)-1 && (stat(path, &st) < 0 || st.st_gid != gid) &&
		(chown(path, (uid_t)-1, gid) < 0 || chmod(path, 02777) < 0))
		return err_errno(err, -errno, "give '%s' to group %u", path, gid);
	return 0;
}

int volume_check_host_path(const struct json *spec, struct err *err)
{
	const char *path = json_str_or(json_get(spec, "path"), "");
	const char *type = json_str_or(json_get(spec, "type"), "");
	struct stat st;
	bool there = stat(path, &st) == 0;

	if (!there && errno != ENOENT)
		return err_errno(err, -errno, "hostPath '%s'", path);
	if (!*type)
		return 0;
	if (streq(type, "DirectoryOrCreate"))
		return there && !S_ISDIR(st.st_mode)
			       ? err_set(err, -ENOTDIR,
					 "hostPath type check failed: %s is not a directory", path)
			       : volume_make_dirs(path, 0755, err);
	if (streq(type, "FileOrCreate") && !there) {
		int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
		if (fd < 0)
			return err_errno(err, -errno, "create '%s'", path);
		close(fd);
		return 0;
	}
	static const struct {
		const char *type, *what;
		unsigned format;
	} checks[] = {
		{"Directory", "a directory", S_IFDIR},
		{"File", "a file", S_IFREG},
		{"FileOrCreate", "a file", S_IFREG},
		{"Socket", "a socket file", S_IFSOCK},
		{"CharDevice", "a character device", S_IFCHR},
		{"BlockDevice", "a block device", S_IFBLK},
	};
	for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
		if (streq(type, checks[i].type))
			return there && (st.st_mode & S_IFMT) == checks[i].format
				       ? 0
				       : err_set(err, -EINVAL,
						 "hostPath type check failed: %s is not %s", path,
						 checks[i].what);
	}
	return err_set(err, -EINVAL, "hostPath type '%s' is not known", type);
}

static int setup_files(struct arena *a, const struct json *volume, const struct json *pod,
	const char *path, const struct volume_source *source, struct err *err)
{
	struct fill f = {.a = a, .source = source};
	const struct json *part;
	bool secret = false;
	int r;

	if ((part = json_get(volume, "configMap"))) {
		f.default_mode = (unsigned)json_path_int(part, "defaultMode", 0644);
		r = fill_object(&f, part, json_str_or(json_get(part, "name"), ""), false, err);
	} else if ((part = json_get(volume, "secret"))) {
		secret = true;
		f.default_mode = (unsigned)json_path_int(part, "defaultMode", 0644);
		r = fill_object(&f, part, json_str_or(json_get(part, "secretName"), ""), true, err);
	} else if ((part = json_get(volume, "downwardAPI"))) {
		f.default_mode = (unsigned)json_path_int(part, "defaultMode", 0644);
		r = fill_downward(&f, json_get(part, "items"), err);
	} else {
		part = json_get(volume, "projected");
		secret = true; /* tokens */
		f.default_mode = (unsigned)json_path_int(part, "defaultMode", 0644);
		r = fill_projected(&f, part, err);
	}
	if (r < 0)
		return r;
	r = volume_make_dirs(path, 0755, err);
	if (r >= 0 && secret)
		r = mount_tmpfs(path, 0, err);
	if (r < 0)
		return r;
	return atomic_writer_write(path, &f.payload, fs_group(pod), err);
}

static char *volume_path(struct arena *a, const char *pod_dir, const char *name)
{
	return arena_printf(a, "%s/volumes/%s", pod_dir, name);
}

static const char *volume_type(const struct json *volume)
{
	JSON_FOR_EACH_MEMBER(m, volume) {
		if (!streq(m->name, "name"))
			return m->name;
	}
	return "emptyDir";
}

int volumes_setup(struct arena *a, const char *pod_dir, const struct json *pod,
	const struct volume_source *source, struct err *err)
{
	static const char *const files[] = {"configMap", "secret", "downwardAPI", "projected"};
	int r = volume_make_dirs(pod_dir, 0750, err);

	if (r < 0)
		return r;
	JSON_FOR_EACH_ITEM(v, json_path(pod, "spec.volumes")) {
		const char *name = json_str_or(json_get(v, "name"), "");
		const char *path = volume_path(a, pod_dir, name);
		bool known = true;
		if (!payload_path_valid(name) || strchr(name, '/'))
			return err_set(err, -EINVAL, "invalid volume name '%s'", name);
		bool is_files = false;
		for (size_t i = 0; i < ARRAY_LEN(files); i++)
			is_files = is_files || json_get(v, files[i]);
		if (json_get(v, "hostPath"))
			r = volume_check_host_path(json_get(v, "hostPath"), err);
		else if (is_files)
			r = setup_files(a, v, pod, path, source, err);
		else if (*claim_volume_name(a, pod, v))
			r = claim_volume_setup(a, pod, v, path, source, err);
		else if (json_get(v, "emptyDir") || json_count(v) == 1)
			r = setup_empty_dir(json_get(v, "emptyDir"), pod, path, err);
		else
			known = false;
		if (!known)
			r = err_set(err, -ENOTSUP,
				"this node has no support for a volume of type %s", volume_type(v));
		if (r < 0)
			return err_context(
				err, r, "MountVolume.SetUp failed for volume \"%s\" ", name);
	}
	return 0;
}

bool volumes_need_refresh(const struct json *pod)
{
	JSON_FOR_EACH_ITEM(v, json_path(pod, "spec.volumes")) {
		if (json_get(v, "configMap") || json_get(v, "secret") ||
			json_get(v, "downwardAPI") || json_get(v, "projected"))
			return true;
	}
	return false;
}

static const struct json *volume_named(const struct json *pod, const char *name)
{
	JSON_FOR_EACH_ITEM(v, json_path(pod, "spec.volumes")) {
		if (streq(json_str(json_get(v, "name")), name))
			return v;
	}
	return NULL;
}

/* Opens a path beneath a directory without ever leaving it, whatever symlinks the container made.
 */
static int open_beneath(int dir, const char *path, struct err *err)
{
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};
	int fd = (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));

	if (fd < 0 && errno == ENOENT) {
		/* A missing subPath is a directory to be made, part by part. */
		char part[PATH_MAX];
		snprintf(part, sizeof(part), "%s", path);
		_cleanup_(close_p) int at = fcntl(dir, F_DUPFD_CLOEXEC, 0);
		struct str rest = str_from(part), name;
		while (at >= 0 && str_split(&rest, '/', &name)) {
			char one[NAME_MAX + 1];
			if (name.size == 0 || name.size > NAME_MAX)
				continue;
			memcpy(one, name.p, name.size);
			one[name.size] = '\0';
			if (mkdirat(at, one, 0750) < 0 && errno != EEXIST)
				return err_errno(err, -errno, "create subPath '%s'", path);
			int next = (int)syscall(SYS_openat2, at, one, &how, sizeof(how));
			if (next < 0)
				return err_errno(err, -errno, "open subPath '%s'", path);
			close(at);
			at = next;
		}
		fd = at;
		at = -1;
	}
	if (fd < 0)
		return err_errno(err, -errno, "open subPath '%s'", path);
	return fd;
}

static int bind_sub_path(struct arena *a, const char *base, const char *sub_path,
	const char *target, const char **ret, struct err *err)
{
	_cleanup_(close_p) int dir = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	if (dir < 0)
		return err_errno(err, -errno, "open '%s'", base);
	_cleanup_(close_p) int fd = open_beneath(dir, sub_path, err);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return err_errno(err, -errno, "stat subPath '%s'", sub_path);
	const char *parent = arena_memdup(a, target, (size_t)(strrchr(target, '/') - target));
	int r = volume_make_dirs(S_ISDIR(st.st_mode) ? target : parent, 0750, err);
	if (r < 0)
		return r;
	if (!S_ISDIR(st.st_mode)) {
		int made = open(target, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
		if (made < 0)
			return err_errno(err, -errno, "create '%s'", target);
		close(made);
	}
	/* A restart of the container sees the file as it is now. */
	umount2(target, MNT_DETACH);
	const char *from = arena_printf(a, "/proc/self/fd/%d", fd);
	if (mount(from, target, NULL, MS_BIND | MS_REC, NULL) < 0)
		return err_errno(err, -errno, "bind subPath '%s'", sub_path);
	*ret = target;
	return 0;
}

int volume_mount_path(struct arena *a, const char *pod_dir, const struct json *pod,
	const char *container, size_t n, const struct json *volume_mount, const char *sub_path,
	const char **ret, bool *ret_read_only, struct err *err)
{
	const char *name = json_str_or(json_get(volume_mount, "name"), "");
	const struct json *v = volume_named(pod, name);

	if (!v)
		return err_set(err, -ENOENT, "volume \"%s\" not found in the pod", name);
	const char *base = json_path_str(v, "hostPath.path");
	*ret_read_only = json_get(v, "configMap") || json_get(v, "secret") ||
			 json_get(v, "downwardAPI") || json_get(v, "projected");
	if (!base)
		base = volume_path(a, pod_dir, name);
	if (*claim_volume_name(a, pod, v)) {
		*ret_read_only = json_path_bool(v, "persistentVolumeClaim.readOnly", false);
		int r = claim_volume_target(a, base, &base, err);
		if (r < 0)
			return r;
	}
	if (!sub_path || !*sub_path) {
		struct stat st;
		/* As the field does it: a hostPath without a type is made when it is missing. */
		if (stat(base, &st) < 0 && errno == ENOENT) {
			int r = volume_make_dirs(base, 0755, err);
			if (r < 0)
				return r;
		}
		*ret = base;
		return 0;
	}
	if (*sub_path == '/' || strstr(sub_path, ".."))
		return err_set(err, -EINVAL, "subPath '%s' must stay inside the volume", sub_path);
	const char *target = arena_printf(a, "%s/subpaths/%s/%s/%zu", pod_dir, name, container, n);
	return bind_sub_path(a, base, sub_path, target, ret, err);
}

/* ---- removal ---- */

/* \040 style escapes of mountinfo. */
static void unescape(char *s)
{
	char *to = s;

	for (char *p = s; *p;) {
		if (p[0] == '\\' && p[1] >= '0' && p[1] <= '3' && p[2] && p[3]) {
			*to++ = (char)((p[1] - '0') * 64 + (p[2] - '0') * 8 + (p[3] - '0'));
			p += 4;
		} else {
			*to++ = *p++;
		}
	}
	*to = '\0';
}

static void unmount_below(const char *path)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	VEC(char *) found = {0};
	char *line = NULL, dir[PATH_MAX];
	size_t room = 0;

	if (!f)
		return;
	/* The kernel's list has no symbolic links, relative paths and doubled slashes. */
	if (!realpath(path, dir)) {
		fclose(f);
		return;
	}
	size_t size = strlen(dir);
	while (getline(&line, &room, f) > 0) {
		char *save, *field = strtok_r(line, " ", &save);
		for (int i = 0; field && i < 4; i++)
			field = strtok_r(NULL, " ", &save);
		if (!field)
			continue;
		unescape(field);
		if (strncmp(field, dir, size) == 0 && field[size] == '/')
			VEC_PUSH(&found, xstrdup(field));
	}
	free(line);
	fclose(f);
	/* Later lines are mounted over earlier ones. */
	for (size_t i = found.count; i-- > 0;) {
		umount2(found.items[i], MNT_DETACH | UMOUNT_NOFOLLOW);
		free(found.items[i]);
	}
	VEC_FINISH(&found);
}

/* Directories deeper than this are moved up first: whoever made them must not decide how many
 * descriptors and how much stack their removal takes. */
enum { REMOVE_DEPTH_MAX = 32 };

struct removal {
	int top; /* directory that deeper ones are moved into */
	dev_t dev;
	unsigned moved;
};

static int move_up(struct removal *m, int dir, const char *name, struct err *err)
{
	char to[32];

	for (;;) {
		snprintf(to, sizeof(to), "..deep-%u", m->moved++);
		if (renameat2(dir, name, m->top, to, RENAME_NOREPLACE) == 0)
			return 0;
		if (errno != EEXIST)
			return err_errno(err, -errno, "move '%s' up", name);
	}
}

/* The directory itself may be a mount, nothing below it: one of the same file system (a subPath of
 * a volume that is a directory of this host) can't be told by its device. */
static int open_to_remove(int parent, const char *name, unsigned depth)
{
	struct open_how how = {
		.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW,
		.resolve = depth ? RESOLVE_NO_XDEV : 0,
	};

	return (int)syscall(SYS_openat2, parent, name, &how, sizeof(how));
}

/* Never crosses into another mount: what is still mounted there is not ours to delete. */
static int remove_below(
	struct removal *m, int parent, const char *name, unsigned depth, struct err *err)
{
	int fd = open_to_remove(parent, name, depth);
	struct stat st;

	if (fd < 0) {
		if (errno == ENOENT)
			return 0;
		if (errno == EXDEV)
			return err_set(err, -EBUSY, "'%s' is still mounted", name);
		if (errno != ENOTDIR && errno != ELOOP)
			return err_errno(err, -errno, "open '%s'", name);
		if (unlinkat(parent, name, 0) < 0 && errno != ENOENT)
			return err_errno(err, -errno, "remove '%s'", name);
		return 0;
	}
	if (fstat(fd, &st) < 0 || st.st_dev != m->dev) {
		close(fd);
		return err_set(err, -EBUSY, "'%s' is still mounted", name);
	}
	if (depth > REMOVE_DEPTH_MAX) {
		close(fd);
		return move_up(m, parent, name, err);
	}
	if (depth == 0)
		m->top = fd;
	DIR *d = fdopendir(fd);
	unsigned moved;
	int r = 0;
	do {
		moved = m->moved;
		for (struct dirent *e; r >= 0 && d && (e = readdir(d));) {
			if (!streq(e->d_name, ".") && !streq(e->d_name, ".."))
				r = remove_below(m, dirfd(d), e->d_name, depth + 1, err);
		}
		if (d)
			rewinddir(d);
	} while (depth == 0 && r >= 0 && d && moved != m->moved);
	if (d)
		closedir(d);
	else
		close(fd);
	if (r < 0)
		return r;
	if (unlinkat(parent, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return err_errno(err, -errno, "remove '%s'", name);
	return 0;
}

int volume_remove_tree(const char *path, struct err *err)
{
	struct stat st;

	if (lstat(path, &st) < 0)
		return errno == ENOENT ? 0 : err_errno(err, -errno, "stat '%s'", path);
	struct removal m = {.top = -1, .dev = st.st_dev};
	int r = remove_below(&m, AT_FDCWD, path, 0, err);
	return r < 0 ? err_context(err, r, "remove '%s'", path) : 0;
}

int volumes_remove(const char *pod_dir, struct err *err)
{
	unmount_below(pod_dir);
	return volume_remove_tree(pod_dir, err);
}

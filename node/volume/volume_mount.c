/* volume_mount.c - the host path behind a container's volumeMount or volumeDevice. A subPath is
 * found beneath its volume whatever links the containers make there meanwhile, and bound to a place
 * that only root can change before the runtime hears of it. */
#include "node/volume/volume.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "lib/base/log.h"
#include "node/volume/claim_volume.h"
#include "node/volume/mountinfo.h"

/* ---- plan ---- */

static const struct json *volume_named(const struct json *pod, const char *name)
{
	JSON_FOR_EACH_ITEM(v, json_path(pod, "spec.volumes")) {
		if (streq(json_str(json_get(v, "name")), name))
			return v;
	}
	return NULL;
}

static bool has_back_step(const char *path)
{
	struct str rest = str_from(path), part;

	while (str_split(&rest, '/', &part)) {
		if (str_eq(part, ".."))
			return true;
	}
	return false;
}

static int plan(struct arena *a, const char *pod_dir, const struct json *pod, const char *container,
	const char *name, struct volume_mount *m, struct err *err)
{
	const struct json *v = volume_named(pod, name);

	if (!v)
		return err_set(err, -ENOENT,
			"volume \"%s\" of container \"%s\" is not among spec.volumes of the pod",
			name, container);
	*m = (struct volume_mount){
		.volume = name,
		.container = container,
		.sub_path = "",
		.is_claim = *claim_volume_name(a, pod, v),
		.read_only = json_get(v, "configMap") || json_get(v, "secret") ||
			     json_get(v, "downwardAPI") || json_get(v, "projected") ||
			     json_path_bool(v, "persistentVolumeClaim.readOnly", false),
	};
	m->base = json_path_str(v, "hostPath.path");
	if (!m->base)
		m->base = arena_printf(a, "%s/volumes/%s", pod_dir, name);
	return 0;
}

int volume_mount_plan(struct arena *a, const char *pod_dir, const struct json *pod,
	const char *container, size_t n, const struct json *volume_mount, const char *sub_path,
	struct volume_mount *ret, struct err *err)
{
	const char *name = json_str_or(json_get(volume_mount, "name"), "");
	const char *propagation = json_str_or(json_get(volume_mount, "mountPropagation"), "");
	int r = plan(a, pod_dir, pod, container, name, ret, err);

	if (r < 0)
		return r;
	ret->propagation = streq(propagation, "Bidirectional")	   ? MOUNT_SHARED
			   : streq(propagation, "HostToContainer") ? MOUNT_SLAVE
								   : MOUNT_PRIVATE;
	ret->read_only = ret->read_only || json_bool_or(json_get(volume_mount, "readOnly"), false);
	if (!sub_path || !*sub_path)
		return 0;
	if (*sub_path == '/')
		return err_set(
			err, -EINVAL, "error SubPath `%s` must not be an absolute path", sub_path);
	if (has_back_step(sub_path))
		return err_set(err, -EINVAL,
			"unable to provision SubPath `%s`: must not contain '..'", sub_path);
	ret->sub_path = sub_path;
	ret->target = arena_printf(a, "%s/subpaths/%s/%s/%zu", pod_dir, name, container, n);
	return 0;
}

int volume_device_plan(struct arena *a, const char *pod_dir, const struct json *pod,
	const char *container, const struct json *device, struct volume_mount *ret, struct err *err)
{
	const char *name = json_str_or(json_get(device, "name"), "");
	int r = plan(a, pod_dir, pod, container, name, ret, err);

	if (r < 0)
		return r;
	if (!ret->is_claim)
		return err_set(err, -EINVAL,
			"volumeDevices of container \"%s\": volume \"%s\" is no "
			"persistentVolumeClaim of a volume with volumeMode Block",
			container, name);
	ret->is_device = true;
	return 0;
}

/* ---- subPath ---- */

static int open_beneath(int dir, const char *path, int flags)
{
	struct open_how how = {
		.flags = (unsigned)flags | O_PATH | O_CLOEXEC,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};

	return (int)syscall(SYS_openat2, dir, path, &how, sizeof(how));
}

/* Part by part, like its volume: what is there (links too, as long as they stay inside) is entered,
 * what is missing is made. */
static int make_beneath(int dir, const char *path, mode_t mode, struct err *err)
{
	struct str rest = str_from(path), name;
	_cleanup_(close_p) int at = fcntl(dir, F_DUPFD_CLOEXEC, 0);

	while (at >= 0 && str_split(&rest, '/', &name)) {
		char one[NAME_MAX + 1];
		if (name.size == 0)
			continue;
		if (name.size > NAME_MAX)
			return err_set(err, -ENAMETOOLONG, "subPath '%s'", path);
		memcpy(one, name.p, name.size);
		one[name.size] = '\0';
		bool made = mkdirat(at, one, 0700) == 0;
		if (!made && errno != EEXIST)
			return err_errno(err, -errno, "create '%s' of subPath '%s'", one, path);
		int next = open_beneath(at, one, made ? O_NOFOLLOW | O_DIRECTORY : 0);
		if (next < 0)
			return err_errno(err, -errno, "open '%s' of subPath '%s'", one, path);
		close(at);
		at = next;
		if (!made)
			continue;
		/* Not by the umask; by descriptor, since its name may be another's by now. */
		char self[32];
		snprintf(self, sizeof(self), "/proc/self/fd/%d", at);
		if (chmod(self, mode) < 0)
			return err_errno(err, -errno, "change mode of '%s'", one);
	}
	int fd = at;
	at = -1;
	return fd < 0 ? err_errno(err, -errno, "open subPath '%s'", path) : fd;
}

static int bind(int fd, const struct volume_mount *m, struct err *err)
{
	static const unsigned long propagations[] = {
		[MOUNT_PRIVATE] = MS_PRIVATE,
		[MOUNT_SLAVE] = MS_SLAVE,
	};
	char from[32];

	snprintf(from, sizeof(from), "/proc/self/fd/%d", fd);
	/* What is mounted below it is not taken along, as in Kubernetes. */
	if (mount(from, m->target, NULL, MS_BIND, NULL) < 0)
		return err_errno(err, -errno, "bind subPath '%s'", m->sub_path);
	/* What happens below it must not reach the volume, unless the pod asks for that. */
	if (m->propagation != MOUNT_SHARED &&
		mount(NULL, m->target, NULL, propagations[m->propagation], NULL) < 0) {
		int r = -errno;
		umount2(m->target, MNT_DETACH | UMOUNT_NOFOLLOW);
		return err_errno(err, r, "propagation of subPath '%s'", m->sub_path);
	}
	return 0;
}

static int bind_sub_path(const char *base, const struct volume_mount *m, struct err *err)
{
	_cleanup_(free_p) char *parent =
		xstrndup(m->target, (size_t)(strrchr(m->target, '/') - m->target));
	_cleanup_(close_p) int dir = open(base, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct stat st;

	if (dir < 0 || fstat(dir, &st) < 0)
		return err_errno(err, -errno, "open '%s'", base);
	_cleanup_(close_p) int fd = open_beneath(dir, m->sub_path, 0);
	if (fd < 0 && errno != ENOENT)
		return err_errno(err, -errno, "open subPath '%s'", m->sub_path);
	if (fd < 0)
		fd = make_beneath(dir, m->sub_path, st.st_mode & 07777, err);
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return err_errno(err, -errno, "stat subPath '%s'", m->sub_path);
	if (S_ISLNK(st.st_mode))
		return err_set(err, -ELOOP, "subPath '%s' is a symbolic link", m->sub_path);
	/* A restart of the container sees what is there now, a file or a directory. */
	(void)mount(NULL, m->target, NULL, MS_PRIVATE | MS_REC, NULL);
	umount2(m->target, MNT_DETACH | UMOUNT_NOFOLLOW);
	if (S_ISDIR(st.st_mode))
		(void)unlink(m->target);
	else
		(void)rmdir(m->target);
	int r = volume_make_dirs(S_ISDIR(st.st_mode) ? m->target : parent, 0750, err);
	if (r < 0)
		return r;
	if (!S_ISDIR(st.st_mode)) {
		_cleanup_(close_p) int made =
			open(m->target, O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0640);
		if (made < 0)
			return err_errno(err, -errno, "create '%s'", m->target);
	}
	return bind(fd, m, err);
}

/* ---- make ---- */

/* The runtime would refuse it, later and in fewer words. */
static int check_propagation(
	struct arena *a, const struct volume_mount *m, const char *path, struct err *err)
{
	struct mount_table t;

	if (m->propagation == MOUNT_PRIVATE)
		return 0;
	_cleanup_(close_p) int fd = open(path, O_PATH | O_CLOEXEC);
	if (fd < 0 || mountinfo_read(a, &t, NULL) < 0)
		return 0;
	const struct mount_line *on = mountinfo_of(&t, fd);
	if (!on || on->shared || (m->propagation == MOUNT_SLAVE && on->slave))
		return 0;
	return err_set(err, -EINVAL,
		m->propagation == MOUNT_SHARED
			? "path \"%s\" is mounted on \"%s\" but it is not a shared mount"
			: "path \"%s\" is mounted on \"%s\" but it is not a shared or slave mount",
		path, on->path);
}

static int check_device(const struct volume_mount *m, const char *path, struct err *err)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return err_errno(err, -errno, "device '%s' of volume \"%s\"", path, m->volume);
	if (!S_ISBLK(st.st_mode))
		return err_set(err, -ENOTBLK, "'%s' of volume \"%s\" is not a block device", path,
			m->volume);
	return 0;
}

int volume_mount_make(struct arena *a, struct volume_mount *m, struct err *err)
{
	const char *base = m->base;
	struct err why = ERR_INIT;
	struct stat st;
	int r;

	if (m->is_claim) {
		r = claim_volume_target(a, base, &base, err);
		if (r < 0)
			return r;
	}
	m->host_path = base;
	if (m->is_device)
		return check_device(m, base, err);
	/* A hostPath without a type is made when it is missing. */
	if (stat(base, &st) < 0 && errno == ENOENT) {
		r = volume_make_dirs(base, 0755, err);
		if (r < 0)
			return r;
	}
	r = check_propagation(a, m, base, err);
	if (r < 0 || !*m->sub_path)
		return r;
	r = bind_sub_path(base, m, &why);
	if (r < 0) {
		/* What it says of the host is not for the pod's owner. */
		log_warn("subPath could not be prepared", "volume", m->volume, "path", base,
			"reason", why.msg, NULL);
		return err_set(err, r,
			"failed to prepare subPath for volumeMount \"%s\" of container \"%s\"",
			m->volume, m->container);
	}
	m->host_path = m->target;
	return 0;
}

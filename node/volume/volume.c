/* volume.c - making what volume_plan.c planned. */
#include "node/volume/volume.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "node/volume/claim_volume.h"

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

static bool is_mount_point(const char *path)
{
	char parent[PATH_MAX];
	struct stat a, b;

	if (snprintf(parent, sizeof(parent), "%s/..", path) >= (int)sizeof(parent))
		return false;
	return stat(path, &a) == 0 && stat(parent, &b) == 0 && a.st_dev != b.st_dev;
}

static int mount_on(const struct volume_step *step, bool contents, struct err *err)
{
	unsigned long flags = MS_NOSUID | MS_NODEV;

	if (is_mount_point(step->path))
		return 0;
	if (contents) {
		/* Kernels before 6.3 do not know that contents are never to be swapped out. */
		_cleanup_(free_p) char *options = xasprintf("%s,noswap", step->options);
		if (mount(step->filesystem, step->path, step->filesystem, flags, options) == 0)
			return 0;
	}
	if (mount(step->filesystem, step->path, step->filesystem, flags, step->options) < 0)
		return err_errno(err, -errno, "mount %s (%s) on '%s'", step->filesystem,
			step->options, step->path);
	return 0;
}

static int make_empty_dir(const struct volume_step *step, struct err *err)
{
	struct stat st;
	bool fresh = stat(step->path, &st) < 0;
	int r = volume_make_dirs(step->path, 0777, err);

	if (r < 0)
		return r;
	if (step->filesystem && !is_mount_point(step->path)) {
		fresh = true;
		r = mount_on(step, false, err);
		if (r < 0)
			return r;
	}
	/* Once: what the container makes of it later stays. An agent that was killed in between has
	 * not come to the top, which is the last. */
	return step->group >= 0
		       ? volume_give_to_group(step->path, (uint32_t)step->group, !fresh, err)
		       : 0;
}

static int make_file(const char *path, struct err *err)
{
	_cleanup_(close_p) int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);

	return fd < 0 ? err_errno(err, -errno, "create '%s'", path) : 0;
}

int volume_check_host_path(const char *path, const char *type, struct err *err)
{
	static const struct {
		const char *type, *what;
		unsigned format;
		bool create;
	} checks[] = {
		{"Directory", "a directory", S_IFDIR, false},
		{"DirectoryOrCreate", "a directory", S_IFDIR, true},
		{"File", "a file", S_IFREG, false},
		{"FileOrCreate", "a file", S_IFREG, true},
		{"Socket", "a socket file", S_IFSOCK, false},
		{"CharDevice", "a character device", S_IFCHR, false},
		{"BlockDevice", "a block device", S_IFBLK, false},
	};
	struct stat st;

	if (!*type)
		return 0;
	bool there = stat(path, &st) == 0;
	if (!there && errno != ENOENT && errno != ENOTDIR)
		return err_errno(err, -errno, "hostPath '%s'", path);
	for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
		if (strcmp(type, checks[i].type) != 0)
			continue;
		if (!there && checks[i].create)
			return checks[i].format == S_IFDIR ? volume_make_dirs(path, 0755, err)
							   : make_file(path, err);
		if (there && (st.st_mode & S_IFMT) == checks[i].format)
			return 0;
		return err_set(err, -EINVAL, "hostPath type check failed: %s is not %s", path,
			checks[i].what);
	}
	return err_set(err, -EINVAL, "%s is an invalid volume type", type);
}

/* The tops of volumes that are written here have the modes that those of Kubernetes have. */
static int own_top(const struct volume_step *step, struct err *err)
{
	mode_t mode = 0777 | (step->sticky ? S_ISVTX : 0u) | (step->group < 0 ? 0u : S_ISGID);
	struct stat st;

	if (stat(step->path, &st) < 0)
		return err_errno(err, -errno, "look at '%s'", step->path);
	if (step->group >= 0 && st.st_gid != (gid_t)step->group &&
		chown(step->path, (uid_t)-1, (gid_t)step->group) < 0)
		return err_errno(err, -errno, "change group of '%s'", step->path);
	if ((st.st_mode & 07777) != mode && chmod(step->path, mode) < 0)
		return err_errno(err, -errno, "change mode of '%s'", step->path);
	return 0;
}

static int make_files(const struct volume_step *step, struct err *err)
{
	int r = volume_make_dirs(step->path, 0755, err);

	if (r >= 0 && step->filesystem)
		r = mount_on(step, true, err);
	if (r >= 0)
		r = own_top(step, err);
	if (r < 0)
		return r;
	return atomic_writer_write(
		step->path, &step->payload, step->group < 0 ? (gid_t)-1 : (gid_t)step->group, err);
}

static void make_one(struct volume_step *step)
{
	struct err why = ERR_INIT;
	int r = 0;

	switch (step->type) {
	case VOLUME_EMPTY_DIR:
		r = make_empty_dir(step, &why);
		break;
	case VOLUME_HOST_PATH:
		r = volume_check_host_path(step->target, step->check, &why);
		break;
	case VOLUME_FILES:
		r = make_files(step, &why);
		break;
	case VOLUME_CLAIM:
		/* Its messages are whole. */
		if (claim_volume_make(step, &why) < 0)
			step->err = why;
		return;
	}
	if (r < 0)
		err_set(&step->err, r, "MountVolume.SetUp failed for volume \"%s\" : %s",
			step->title, why.msg);
}

void volumes_make(struct volume_plan *p)
{
	if (volume_make_dirs(p->pod_dir, 0750, &p->err) < 0)
		return;
	for (size_t i = 0; i < p->count; i++) {
		if (!p->steps[i].err.code)
			make_one(&p->steps[i]);
	}
}

/* volume_remove.c - taking down what a pod had: mounts first, then files, never crossing into what
 * is mounted there still, and never reaching what a mount showed. */
#include "node/volume/volume.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "node/volume/mountinfo.h"

static bool is_below(const char *path, const char *dir, size_t size)
{
	return strncmp(path, dir, size) == 0 && path[size] == '/';
}

/* A mount of a directory of this host (a subPath) may tell the host's own mount of what happens
 * below it: it is cut off first, and then taken away with all that is mounted in it. */
static bool unmount_once(const char *dir)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct mount_table t;
	size_t size = strlen(dir);
	bool any = false;

	if (mountinfo_read(&a, &t, NULL) < 0)
		return false;
	for (size_t i = 0; i < t.count; i++) {
		const char *path = t.items[i].path;
		if (!is_below(path, dir, size))
			continue;
		if (mount(NULL, path, NULL, MS_PRIVATE | MS_REC, NULL) == 0 &&
			umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
			any = true;
	}
	return any;
}

static void unmount_below(const char *path)
{
	enum { ROUNDS_MAX = 64 }; /* one over the other at the same place */
	char dir[PATH_MAX];

	/* The kernel's list has no symbolic links, relative paths and doubled slashes. */
	if (!realpath(path, dir))
		return;
	for (int i = 0; i < ROUNDS_MAX && unmount_once(dir); i++)
		;
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

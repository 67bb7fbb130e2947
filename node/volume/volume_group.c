/* volume_group.c - volume_give_to_group(): a tree that containers of other pods may change while it
 * is walked. One directory is open at a time, however deep it goes; the way back up is taken only
 * if it leads to where the walk came from. */
#include "node/volume/volume.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "lib/base/log.h"
#include "lib/base/vec.h"

enum {
	FILE_BITS = 0660,
	DIRECTORY_BITS = 02770,
	BATCH = 64, /* names of directories that a level holds: one may have millions */
};

struct level {
	dev_t dev;
	ino_t ino;
	VEC(char *)
	names;	   /* directories in it that were read and are to be walked, the next last */
	long at;   /* where reading goes on after these */
	bool read; /* to its end */
};

struct walk {
	gid_t gid;
	dev_t dev; /* of the volume: other file systems are not touched */
	VEC(struct level) levels;
	size_t failures;
	int first_failure; /* negative errno */
};

static bool is_given(const struct stat *st, gid_t gid)
{
	mode_t bits = S_ISDIR(st->st_mode) ? DIRECTORY_BITS : FILE_BITS;

	return st->st_gid == gid && (st->st_mode & bits) == bits;
}

/* fd may be O_PATH. */
static int give_one(int fd, const struct stat *st, gid_t gid)
{
	mode_t bits = S_ISDIR(st->st_mode) ? DIRECTORY_BITS : FILE_BITS;
	char path[32];

	if (is_given(st, gid))
		return 0;
	if (fchownat(fd, "", (uid_t)-1, gid, AT_EMPTY_PATH) < 0)
		return -errno;
	/* chmod() of an O_PATH descriptor goes by its name only. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return chmod(path, (st->st_mode & 07777) | bits) < 0 ? -errno : 0;
}

static void note_failure(struct walk *w, int r)
{
	if (r >= 0)
		return;
	if (w->failures++ == 0)
		w->first_failure = r;
}

static void give_file(struct walk *w, int dir, const char *name)
{
	struct stat st;

	_cleanup_(close_p) int fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0) {
		note_failure(w, errno == ENOENT ? 0 : -errno);
		return;
	}
	if (!S_ISLNK(st.st_mode) && !S_ISDIR(st.st_mode) && st.st_dev == w->dev)
		note_failure(w, give_one(fd, &st, w->gid));
}

/* Gives the files in a directory and notes the directories, until there is a batch of these. */
static int read_on(struct walk *w, int fd, struct level *level)
{
	int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = again < 0 ? NULL : fdopendir(again);
	struct dirent *e = NULL;
	struct stat st;

	if (!d) {
		int r = -errno;
		if (again >= 0)
			close(again);
		return r;
	}
	if (level->at)
		seekdir(d, level->at);
	while (level->names.count < BATCH && (e = readdir(d))) {
		if (streq(e->d_name, ".") || streq(e->d_name, ".."))
			continue;
		if (fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_dev != w->dev ||
			S_ISLNK(st.st_mode))
			continue;
		if (S_ISDIR(st.st_mode))
			VEC_PUSH(&level->names, xstrdup(e->d_name));
		else if (!is_given(&st, w->gid))
			give_file(w, fd, e->d_name);
	}
	level->read = !e;
	level->at = telldir(d);
	closedir(d);
	return 0;
}

static int enter(struct walk *w, int fd)
{
	struct level level = {0};
	struct stat st;

	if (fstat(fd, &st) < 0)
		return -errno;
	level.dev = st.st_dev;
	level.ino = st.st_ino;
	int r = read_on(w, fd, &level);
	if (r >= 0)
		VEC_PUSH(&w->levels, level);
	return r;
}

static void leave(struct walk *w)
{
	struct level *level = &w->levels.items[--w->levels.count];

	for (size_t i = 0; i < level->names.count; i++)
		free(level->names.items[i]);
	VEC_FINISH(&level->names);
}

static int open_directory(int parent, const char *name)
{
	struct open_how how = {
		.flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW,
		.resolve = RESOLVE_NO_XDEV,
	};
	int fd = (int)syscall(SYS_openat2, parent, name, &how, sizeof(how));

	return fd < 0 ? -errno : fd;
}

/* Takes fd. A directory is given after all that is in it. */
static int walk(struct walk *w, int fd)
{
	struct stat st;

	while (w->levels.count > 0) {
		struct level *level = &w->levels.items[w->levels.count - 1];
		if (level->names.count > 0) {
			_cleanup_(free_p) char *name = level->names.items[--level->names.count];
			int next = open_directory(fd, name);
			/* Gone, a mount, or not a directory any more. */
			if (next < 0)
				continue;
			int r = enter(w, next);
			if (r < 0) {
				note_failure(w, r == -ENOENT ? 0 : r);
				close(next);
				continue;
			}
			close(fd);
			fd = next;
			continue;
		}
		if (!level->read) {
			int r = read_on(w, fd, level);
			if (r >= 0)
				continue;
			note_failure(w, r == -ENOENT ? 0 : r);
		}
		if (fstat(fd, &st) == 0)
			note_failure(w, give_one(fd, &st, w->gid));
		leave(w);
		if (w->levels.count == 0)
			break;
		int up = open_directory(fd, "..");
		close(fd);
		fd = up;
		level = &w->levels.items[w->levels.count - 1];
		if (fd < 0 || fstat(fd, &st) < 0 || st.st_dev != level->dev ||
			st.st_ino != level->ino) {
			if (fd >= 0)
				close(fd);
			return -EAGAIN;
		}
	}
	close(fd);
	return 0;
}

int volume_give_to_group(const char *path, uint32_t gid, bool on_root_mismatch, struct err *err)
{
	struct walk w = {.gid = gid};
	struct stat st;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fstat(fd, &st) < 0) {
		int r = -errno;
		if (fd >= 0)
			close(fd);
		return err_errno(err, r, "give '%s' to group %u", path, gid);
	}
	if (on_root_mismatch && is_given(&st, gid)) {
		close(fd);
		return 0;
	}
	w.dev = st.st_dev;
	int r = enter(&w, fd);
	if (r < 0)
		close(fd);
	else
		r = walk(&w, fd);
	while (w.levels.count > 0)
		leave(&w);
	VEC_FINISH(&w.levels);
	if (r < 0)
		return err_errno(
			err, r, "give '%s' to group %u: a directory was moved away", path, gid);
	/* As in Kubernetes, a file that refuses (immutable, for one) keeps no pod from its volume.
	 */
	if (w.failures > 0) {
		_cleanup_(free_p) char *count = xasprintf("%zu", w.failures);
		log_warn("files of a volume do not belong to its group", "path", path, "files",
			count, "first reason", strerror(-w.first_failure), NULL);
	}
	return 0;
}

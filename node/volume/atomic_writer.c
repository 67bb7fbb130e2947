/* atomic_writer.c - see atomic_writer.h. All paths are resolved from descriptors of directories
 * that only root can write, so nothing a container does can redirect them. */
#include "node/volume/atomic_writer.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>

#include "lib/base/arena.h"
#include "lib/base/buf.h"
#include "lib/base/str.h"

void payload_add(struct arena *a, struct payload *p, struct payload_file f)
{
	if (p->count == p->room) {
		size_t room = p->room ? p->room * 2 : 8;
		p->items = arena_grow(
			a, p->items, p->room * sizeof(*p->items), room * sizeof(*p->items));
		p->room = room;
	}
	p->items[p->count++] = f;
}

bool payload_path_valid(const char *path)
{
	struct str rest = str_from(path), part;

	if (!*path || *path == '/' || rest.size > 4096)
		return false;
	while (str_split(&rest, '/', &part)) {
		if (part.size == 0 || part.size > NAME_MAX || str_eq(part, ".") ||
			(part.size >= 2 && part.p[0] == '.' && part.p[1] == '.'))
			return false;
	}
	return true;
}

static int read_whole(int dir, const char *path, struct buf *out)
{
	_cleanup_(close_p) int fd = openat(dir, path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);

	if (fd < 0)
		return -errno;
	for (;;) {
		buf_reserve(out, 4096);
		ssize_t n = read(fd, out->data + out->size, 4096);
		if (n < 0)
			return -errno;
		if (n == 0)
			return 0;
		out->size += (size_t)n;
	}
}

static size_t count_files(int dir_fd, const char *path)
{
	int fd = openat(dir_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	size_t n = 0;

	if (!d) {
		if (fd >= 0)
			close(fd);
		return 0;
	}
	for (struct dirent *e; (e = readdir(d));) {
		if (streq(e->d_name, ".") || streq(e->d_name, ".."))
			continue;
		if (e->d_type == DT_DIR)
			n += count_files(dirfd(d), e->d_name);
		else
			n++;
	}
	closedir(d);
	return n;
}

static bool same(int data, const struct payload *p, gid_t gid)
{
	if (count_files(data, ".") != p->count)
		return false;
	for (size_t i = 0; i < p->count; i++) {
		_cleanup_(buf_finish) struct buf old = BUF_INIT;
		struct stat st;
		if (fstatat(data, p->items[i].path, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
			(st.st_mode & 07777) != p->items[i].mode ||
			(gid != (gid_t)-1 && st.st_gid != gid) ||
			(p->items[i].owned && st.st_uid != p->items[i].user))
			return false;
		if (read_whole(data, p->items[i].path, &old) < 0 || old.size != p->items[i].size ||
			memcmp(old.size ? old.data : "", p->items[i].data, old.size) != 0)
			return false;
	}
	return true;
}

/* mkdir's mode went through the umask. */
static int own_directory(int dir, const char *path, gid_t gid, struct err *err)
{
	if (gid != (gid_t)-1 && fchownat(dir, path, (uid_t)-1, gid, AT_SYMLINK_NOFOLLOW) < 0)
		return err_errno(err, -errno, "change group of '%s'", path);
	if (fchmodat(dir, path, gid == (gid_t)-1 ? 0755 : 02755, 0) < 0)
		return err_errno(err, -errno, "change mode of '%s'", path);
	return 0;
}

static int write_file(int dir, const struct payload_file *f, gid_t gid, struct err *err)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s", f->path);
	for (char *slash = path; (slash = strchr(slash + 1, '/'));) {
		*slash = '\0';
		if (mkdirat(dir, path, 0755) == 0) {
			int r = own_directory(dir, path, gid, err);
			if (r < 0)
				return r;
		} else if (errno != EEXIST) {
			return err_errno(err, -errno, "create directory '%s'", path);
		}
		*slash = '/';
	}
	_cleanup_(close_p) int fd =
		openat(dir, path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_errno(err, -errno, "create '%s'", path);
	for (size_t done = 0; done < f->size;) {
		ssize_t n = write(fd, f->data + done, f->size - done);
		if (n < 0)
			return err_errno(err, -errno, "write '%s'", path);
		done += (size_t)n;
	}
	if ((gid != (gid_t)-1 || f->owned) && fchown(fd, f->owned ? f->user : (uid_t)-1, gid) < 0)
		return err_errno(err, -errno, "change owner of '%s'", path);
	if (fchmod(fd, (mode_t)f->mode) < 0)
		return err_errno(err, -errno, "change mode of '%s'", path);
	return 0;
}

static void remove_tree(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	if (!d) {
		if (fd >= 0)
			close(fd);
		unlinkat(dir, name, 0);
		return;
	}
	for (struct dirent *e; (e = readdir(d));) {
		if (!streq(e->d_name, ".") && !streq(e->d_name, ".."))
			remove_tree(dirfd(d), e->d_name);
	}
	closedir(d);
	unlinkat(dir, name, AT_REMOVEDIR);
}

/* First part of a path: what stands in DIR itself. */
static void first_part(const char *path, char ret[NAME_MAX + 1])
{
	size_t n = strcspn(path, "/");

	memcpy(ret, path, n);
	ret[n] = '\0';
}

/* Byte order with '/' before all others, so that what shares a first part stands together. */
static int compare_paths(const char *a, const char *b)
{
	for (;; a++, b++) {
		int x = *a == '/' ? 1 : (unsigned char)*a, y = *b == '/' ? 1 : (unsigned char)*b;
		if (x != y)
			return x < y ? -1 : 1;
		if (x == 0)
			return 0;
	}
}

struct ordered {
	struct payload_file file;
	size_t at; /* in the payload */
};

static int compare_ordered(const void *a, const void *b)
{
	const struct ordered *x = a, *y = b;
	int r = compare_paths(x->file.path, y->file.path);

	return r ? r : x->at < y->at ? -1 : 1;
}

/* By path, each once: the last of those that have the same. An object may have 100,000 keys. */
static struct payload sorted(const struct payload *p, gid_t gid)
{
	struct ordered *list = xmalloc((p->count + 1) * sizeof(*list));
	struct payload ret = {.items = xmalloc((p->count + 1) * sizeof(*ret.items))};

	for (size_t i = 0; i < p->count; i++) {
		list[i] = (struct ordered){p->items[i], i};
		if (gid != (gid_t)-1)
			list[i].file.mode |= 0440;
	}
	qsort(list, p->count, sizeof(*list), compare_ordered);
	for (size_t i = 0; i < p->count; i++) {
		if (i + 1 == p->count || !streq(list[i].file.path, list[i + 1].file.path))
			ret.items[ret.count++] = list[i].file;
	}
	free(list);
	return ret;
}

static int compare_first_part(const void *key, const void *item)
{
	char part[NAME_MAX + 1];

	first_part(((const struct payload_file *)item)->path, part);
	return compare_paths(key, part);
}

static bool wanted(const struct payload *p, const char *name)
{
	return bsearch(name, p->items, p->count, sizeof(*p->items), compare_first_part) != NULL;
}

/* Links for what is new, and none for what is gone; older data directories go too. */
static int tidy(int dir, const struct payload *p, const char *current, struct err *err)
{
	for (size_t i = 0; i < p->count; i++) {
		char name[NAME_MAX + 1], to[NAME_MAX + 16];
		first_part(p->items[i].path, name);
		snprintf(to, sizeof(to), "..data/%s", name);
		if (symlinkat(to, dir, name) < 0 && errno != EEXIST)
			return err_errno(err, -errno, "link '%s'", name);
	}
	int fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		int r = -errno;
		if (fd >= 0)
			close(fd);
		return err_errno(err, r, "read directory");
	}
	for (struct dirent *e; (e = readdir(d));) {
		if (streq(e->d_name, ".") || streq(e->d_name, "..") || streq(e->d_name, "..data") ||
			streq(e->d_name, current))
			continue;
		if (str_has_prefix(e->d_name, ".."))
			remove_tree(dir, e->d_name);
		else if (!wanted(p, e->d_name))
			unlinkat(dir, e->d_name, 0);
	}
	closedir(d);
	return 0;
}

static int write_sorted(const char *path, const struct payload *p, gid_t gid, struct err *err)
{
	char name[64], stamp[40], old[NAME_MAX + 1] = "";
	struct timespec now;
	struct tm tm;
	int r;

	_cleanup_(close_p) int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return err_errno(err, -errno, "open '%s'", path);

	ssize_t n = readlinkat(dir, "..data", old, sizeof(old) - 1);
	if (n > 0) {
		old[n] = '\0';
		_cleanup_(close_p) int data =
			openat(dir, old, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
		if (data >= 0 && same(data, p, gid))
			return tidy(dir, p, old, err);
	}

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	strftime(stamp, sizeof(stamp), "..%Y_%m_%d_%H_%M_%S", &tm);
	snprintf(name, sizeof(name), "%s.%09ld", stamp, now.tv_nsec);
	if (mkdirat(dir, name, 0755) < 0)
		return err_errno(err, -errno, "create '%s/%s'", path, name);
	_cleanup_(close_p) int fresh = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fresh < 0)
		return err_errno(err, -errno, "open '%s/%s'", path, name);
	r = own_directory(dir, name, gid, err);
	if (r < 0) {
		remove_tree(dir, name);
		return r;
	}
	for (size_t i = 0; i < p->count; i++) {
		r = write_file(fresh, &p->items[i], gid, err);
		if (r < 0) {
			remove_tree(dir, name);
			return err_context(err, r, "in '%s'", path);
		}
	}
	unlinkat(dir, "..data_tmp", 0);
	if (symlinkat(name, dir, "..data_tmp") < 0 ||
		renameat(dir, "..data_tmp", dir, "..data") < 0) {
		r = -errno;
		remove_tree(dir, name);
		return err_errno(err, r, "publish '%s'", path);
	}
	return tidy(dir, p, name, err);
}

int atomic_writer_write(const char *path, const struct payload *p, gid_t gid, struct err *err)
{
	for (size_t i = 0; i < p->count; i++) {
		if (!payload_path_valid(p->items[i].path))
			return err_set(err, -EINVAL, "invalid path '%s'", p->items[i].path);
	}
	struct payload each_once = sorted(p, gid);
	int r = write_sorted(path, &each_once, gid, err);
	free(each_once.items);
	return r;
}

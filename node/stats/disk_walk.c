/* disk_walk.c - counts what is below a directory. What it walks over belongs to containers, which
 * may rename and link while it does: every step is relative to an open directory and follows no
 * link. */
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/base/table.h"
#include "node/stats/disk_usage.h"

enum {
	DEPTH_MAX = 128, /* each level holds a descriptor */
	LINKS_MAX = 1000000,
};
#define FILES_MAX UINT64_C(20000000)

struct walk {
	dev_t device;
	struct table links; /* inodes with several names that have been seen */
	uint64_t bytes, inodes;
	const _Atomic bool *stop;
};

/* True when it is to be counted. */
static bool first_name(struct walk *w, const struct stat *st)
{
	char key[24];

	if (S_ISDIR(st->st_mode) || st->st_nlink < 2)
		return true;
	snprintf(key, sizeof(key), "%llx", (unsigned long long)st->st_ino);
	if (table_get(&w->links, key))
		return false;
	if (w->links.count < LINKS_MAX)
		table_set(&w->links, key, w);
	return true;
}

static void count(struct walk *w, const struct stat *st)
{
	w->bytes += (uint64_t)st->st_blocks * 512;
	w->inodes++;
}

static void walk_below(struct walk *w, int fd, unsigned depth)
{
	DIR *d = fdopendir(fd);

	if (!d) {
		close(fd);
		return;
	}
	for (struct dirent *e;
		w->inodes < FILES_MAX && !(w->stop && *w->stop) && (e = readdir(d));) {
		struct stat st;
		if (streq(e->d_name, ".") || streq(e->d_name, "..") ||
			fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
			st.st_dev != w->device || !first_name(w, &st))
			continue;
		count(w, &st);
		if (!S_ISDIR(st.st_mode) || depth >= DEPTH_MAX)
			continue;
		int child = openat(dirfd(d), e->d_name,
			O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NOATIME);
		if (child >= 0)
			walk_below(w, child, depth + 1);
	}
	closedir(d);
}

void disk_usage_walk(const char *path, const _Atomic bool *stop, uint64_t *bytes, uint64_t *inodes)
{
	struct walk w = {.links = TABLE_INIT, .stop = stop};
	struct stat st;
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	if (fd < 0)
		return;
	if (fstat(fd, &st) < 0) {
		close(fd);
		return;
	}
	w.device = st.st_dev;
	count(&w, &st);
	walk_below(&w, fd, 0);
	table_finish(&w.links);
	*bytes += w.bytes;
	*inodes += w.inodes;
}

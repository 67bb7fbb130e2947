/* disk_walk.c - counts what is below a directory. What it walks over belongs to containers, which
 * may rename and link while it does: every step is relative to an open directory and follows no
 * link. */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "lib/base/table.h"
#include "lib/base/vec.h"
#include "node/stats/disk_usage.h"

enum {
	DEPTH_MAX = 64,	    /* each level holds a descriptor; what is below is walked without */
	DEEP_MAX = 1000000, /* that far */
	LINKS_MAX =
		100000, /* files with several names that are told apart; others count per name */
	DIRECTORY_FLAGS = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOATIME,
};
#define FILES_MAX UINT64_C(20000000)

/* Inodes that have been seen: open addressing, at most half full. No inode is 0. */
struct inode_set {
	uint64_t *slots;
	size_t room, count; /* room: 0 or a power of two */
};

struct walk {
	dev_t device;
	struct inode_set links; /* with several names */
	uint64_t bytes, inodes;
	const _Atomic bool *stop;
};

/* Where it is, or would be. */
static uint64_t *inode_slot(const struct inode_set *s, uint64_t inode)
{
	size_t at = table_hash(&inode, sizeof(inode)) & (s->room - 1);

	while (s->slots[at] && s->slots[at] != inode)
		at = (at + 1) & (s->room - 1);
	return &s->slots[at];
}

static void inode_set_grow(struct inode_set *s)
{
	struct inode_set grown = {.room = MAX(s->room * 2, (size_t)64), .count = s->count};

	grown.slots = xcalloc(grown.room, sizeof(*grown.slots));
	for (size_t i = 0; i < s->room; i++)
		if (s->slots[i])
			*inode_slot(&grown, s->slots[i]) = s->slots[i];
	free(s->slots);
	*s = grown;
}

/* True when it is to be counted. */
static bool first_name(struct walk *w, const struct stat *st)
{
	struct inode_set *seen = &w->links;

	if (S_ISDIR(st->st_mode) || st->st_nlink < 2)
		return true;
	if (seen->count * 2 >= seen->room)
		inode_set_grow(seen);
	uint64_t *slot = inode_slot(seen, st->st_ino);
	if (*slot)
		return false;
	if (seen->count < LINKS_MAX) {
		*slot = st->st_ino;
		seen->count++;
	}
	return true;
}

static void count(struct walk *w, const struct stat *st)
{
	w->bytes += (uint64_t)st->st_blocks * 512;
	w->inodes++;
}

static bool goes_on(const struct walk *w)
{
	return w->inodes < FILES_MAX && !(w->stop && *w->stop);
}

/* Counts what an entry names. A descriptor when it is a directory that is to be entered, else -1.
 */
static int take(struct walk *w, DIR *d, const struct dirent *e)
{
	struct stat st;

	if (streq(e->d_name, ".") || streq(e->d_name, "..") ||
		fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
		st.st_dev != w->device || !first_name(w, &st))
		return -1;
	count(w, &st);
	return S_ISDIR(st.st_mode) ? openat(dirfd(d), e->d_name, DIRECTORY_FLAGS | O_NOFOLLOW) : -1;
}

static DIR *directory_of(int fd)
{
	DIR *d = fdopendir(fd);

	if (!d)
		close(fd);
	return d;
}

/* Where to go on in a directory that was left for one in it. */
struct above {
	ino_t inode;
	long at;
};

/* From `d`, which it closes, to the one above; NULL when that is not where it came from: somebody
 * moved the directory, and the next count finds it at its new place. */
static DIR *go_up(const struct walk *w, DIR *d, const struct above *to)
{
	int fd = openat(dirfd(d), "..", DIRECTORY_FLAGS);
	struct stat st;

	closedir(d);
	if (fd < 0)
		return NULL;
	if (fstat(fd, &st) < 0 || st.st_dev != w->device || st.st_ino != to->inode) {
		close(fd);
		return NULL;
	}
	d = directory_of(fd);
	if (d)
		seekdir(d, to->at);
	return d;
}

/* However deep it goes: one directory is open at a time. Takes fd. */
static void walk_deep(struct walk *w, int fd)
{
	VEC(struct above) above = {0};
	DIR *d = directory_of(fd);

	while (d && goes_on(w)) {
		const struct dirent *e = readdir(d);
		struct stat st;
		if (!e && above.count == 0)
			break;
		if (!e) {
			d = go_up(w, d, &above.items[--above.count]);
			continue;
		}
		int child = take(w, d, e);
		if (child < 0)
			continue;
		if (fstat(dirfd(d), &st) < 0 || above.count >= DEEP_MAX) {
			close(child);
			continue;
		}
		VEC_PUSH(&above, ((struct above){st.st_ino, telldir(d)}));
		closedir(d);
		d = directory_of(child);
	}
	if (d)
		closedir(d);
	VEC_FINISH(&above);
}

/* Takes fd. */
static void walk_below(struct walk *w, int fd, unsigned depth)
{
	DIR *d = directory_of(fd);

	for (struct dirent *e; d && goes_on(w) && (e = readdir(d));) {
		int child = take(w, d, e);
		if (child >= 0 && depth < DEPTH_MAX)
			walk_below(w, child, depth + 1);
		else if (child >= 0)
			walk_deep(w, child);
	}
	if (d)
		closedir(d);
}

void disk_usage_walk(const char *path, const _Atomic bool *stop, uint64_t *bytes, uint64_t *inodes)
{
	struct walk w = {.stop = stop};
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
	free(w.links.slots);
	*bytes += w.bytes;
	*inodes += w.inodes;
}

#include "node/disk/layers.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "lib/base/buf.h"
#include "lib/base/str.h"
#include "node/disk/overlay.h"

#define MEMORY_MARK "trusted.hanok.memory"
#define MODE_FROZEN 0444
#define MODE_DIRECTORY 0711 /* QEMU's user passes through, and lists nothing */

void (*layers_step)(const char *what);

static void step(const char *what)
{
	if (layers_step)
		layers_step(what);
}

static int open_dir(const char *dir, struct err *err)
{
	int fd = open(dir, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 ? err_errno(err, -errno, "open '%s'", dir) : fd;
}

/* A layer, as the file that was looked at. */
static int open_layer(int dir, const char *name, struct err *err)
{
	struct stat st;
	int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return err_errno(err, -errno, "open layer '%s'", name);
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		close(fd);
		return err_set(err, -EINVAL, "layer '%s' is not a regular file", name);
	}
	return fd;
}

static int set_mode(int dir, const char *name, mode_t mode, struct err *err)
{
	_cleanup_(close_p) int fd = open_layer(dir, name, err);

	if (fd < 0)
		return fd;
	return fchmod(fd, mode) < 0 ? err_errno(err, -errno, "change mode of '%s'", name) : 0;
}

/* ---- freeze ---- */

/* A raw disk of the convention becomes a layer under a name of its own: disk.img is what others
 * write to. Both names stay until disk.json says which one counts. */
static int name_raw(int dir, char ret_name[64], struct err *err)
{
	_cleanup_(close_p) int fd = open_layer(dir, DISK_IMAGE_NAME, err);
	char fresh[64], path[64];

	if (fd < 0)
		return fd;
	disk_dir_new_name(fresh, ret_name);
	snprintf(strrchr(ret_name, '.'), 5, ".raw");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (linkat(AT_FDCWD, path, dir, ret_name, AT_SYMLINK_FOLLOW) < 0)
		return err_errno(err, -errno, "link '" DISK_IMAGE_NAME "'");
	step("raw disk named");
	return 0;
}

/* The layer that a new top stands on: the top as it is. */
static int below(int fd, const struct disk_chain *chain, char ret_name[64], struct err *err)
{
	if (streq(chain->layers[0].name, DISK_IMAGE_NAME))
		return name_raw(fd, ret_name, err);
	snprintf(ret_name, 64, "%s", chain->layers[0].name);
	return 0;
}

static int add(const char *dir, int fd, const struct disk_chain *chain, char ret_below[64],
	char ret_name[64], struct err *err)
{
	char fresh[64];
	int r;

	if (chain->count >= DISK_LAYERS_MAX - 1)
		return err_set(err, -EMLINK,
			"the disk '%s' has %zu layers already: delete snapshots of it, or clones "
			"that were made while it ran",
			dir, chain->count);
	r = below(fd, chain, ret_below, err);
	if (r < 0)
		return r;
	disk_dir_new_name(fresh, ret_name);
	r = overlay_create(
		fd, fresh, chain->size_bytes, ret_below, disk_layer_format(ret_below), err);
	if (r < 0)
		return r;
	step("overlay made");
	if (renameat(fd, fresh, fd, ret_name) < 0 || fsync(fd) < 0)
		return err_errno(err, -errno, "rename '%s'", fresh);
	step("overlay named");
	return 0;
}

int layers_add(const char *dir, char ret_name[64], struct err *err)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	_cleanup_(close_p) int fd = open_dir(dir, err);
	struct disk_chain chain;
	char under[64];
	int r;

	if (fd < 0)
		return fd;
	r = disk_dir_read(&a, dir, &chain, err);
	return r < 0 ? r : add(dir, fd, &chain, under, ret_name, err);
}

static int switch_to(const char *dir, int fd, const char *top, struct err *err)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct disk_chain chain;
	int r = disk_dir_read_layer(&a, dir, top, &chain, err);

	if (r < 0)
		return r;
	r = disk_dir_publish(dir, top, chain.size_bytes, err);
	if (r < 0)
		return r;
	step("record written");
	/* Not earlier: the top of a disk can be written. The owner stays: it is QEMU's when a guest
	 * runs, and libvirt's business else. */
	for (size_t i = 1; i < chain.count && r == 0; i++)
		r = set_mode(fd, chain.layers[i].name, MODE_FROZEN, err);
	if (r < 0)
		return r;
	step("modes set");
	(void)unlinkat(fd, DISK_IMAGE_NAME, 0);
	step("old name gone");
	return 0;
}

int layers_switch(const char *dir, const char *top, struct err *err)
{
	_cleanup_(close_p) int fd = open_dir(dir, err);

	return fd < 0 ? fd : switch_to(dir, fd, top, err);
}

static uint64_t get_be(const uint8_t *p, int bytes)
{
	uint64_t v = 0;

	for (int i = 0; i < bytes; i++)
		v = v << 8 | p[i];
	return v;
}

/* Nothing was ever written to the overlay: its first table has no entry. */
static bool is_empty(int dir, const char *name)
{
	_cleanup_(close_p) int fd = open_layer(dir, name, NULL);
	uint8_t head[72], table[4096];
	uint64_t at, entries;

	if (fd < 0 || pread(fd, head, sizeof(head), 0) != (ssize_t)sizeof(head) ||
		memcmp(head, "QFI\xfb", 4) != 0 || get_be(head + 8, 8) == 0 ||
		get_be(head + 60, 4) != 0)
		return false;
	entries = get_be(head + 36, 4);
	at = get_be(head + 40, 8);
	while (entries) {
		size_t n = MIN(entries * 8, sizeof(table));

		if (pread(fd, table, n, (off_t)at) != (ssize_t)n)
			return false;
		for (size_t i = 0; i < n; i++)
			if (table[i])
				return false;
		at += n;
		entries -= n / 8;
	}
	return true;
}

int layers_freeze(const char *dir, char ret_frozen[64], struct err *err)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	_cleanup_(close_p) int fd = open_dir(dir, err);
	struct disk_chain chain;
	char top[64];
	int r;

	if (fd < 0)
		return fd;
	r = disk_dir_read(&a, dir, &chain, err);
	if (r < 0)
		return r;
	if (chain.count > 1 && is_empty(fd, chain.layers[0].name)) {
		snprintf(ret_frozen, 64, "%s", chain.layers[1].name);
		/* An agent that was killed may not have come to it. */
		return switch_to(dir, fd, chain.layers[0].name, err);
	}
	r = add(dir, fd, &chain, ret_frozen, top, err);
	if (r == 0)
		r = switch_to(dir, fd, top, err);
	return r;
}

/* ---- link ---- */

static int link_layer(int from, int to, const char *name, struct err *err)
{
	_cleanup_(close_p) int fd = open_layer(from, name, err);
	char path[64];
	struct stat st;

	if (fd < 0)
		return fd;
	/* What is written to is nobody else's. */
	if (fstat(fd, &st) < 0 || st.st_mode & 0222)
		return err_set(err, -EBUSY, "layer '%s' is not frozen", name);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (linkat(AT_FDCWD, path, to, name, AT_SYMLINK_FOLLOW) < 0)
		return err_errno(err, -errno, "link layer '%s'", name);
	step("layer linked");
	return 0;
}

static void remove_flat(int parent, const char *name)
{
	int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);

	for (struct dirent *e; d && (e = readdir(d));)
		(void)unlinkat(fd, e->d_name, 0);
	if (d)
		closedir(d);
	(void)unlinkat(parent, name, AT_REMOVEDIR);
}

static int fill_directory(const char *from, int from_fd, const char *path, int to_fd,
	const struct disk_chain *chain, bool with_top, int64_t size_bytes, struct err *err)
{
	char fresh[64], top[64];
	int r = 0;

	for (size_t i = 0; i < chain->count && r == 0; i++)
		r = link_layer(from_fd, to_fd, chain->layers[i].name, err);
	if (r < 0)
		return err_context(err, r, "'%s'", from);
	snprintf(top, sizeof(top), "%s", chain->layers[0].name);
	if (with_top) {
		char under[64];

		if (chain->count >= DISK_LAYERS_MAX - 1)
			return err_set(err, -EMLINK,
				"'%s' has %zu layers: no more can be put on it", from,
				chain->count);
		snprintf(under, sizeof(under), "%s", top);
		disk_dir_new_name(fresh, top);
		r = overlay_create(to_fd, top, size_bytes, under, disk_layer_format(under), err);
		if (r < 0)
			return r;
		step("top made");
	}
	return disk_dir_publish(path, top, size_bytes, err);
}

/* A guest's memory stands beside the top that its disk had then. */
static int link_memory(const char *memory, int to, struct err *err)
{
	if (!memory || access(memory, F_OK) < 0)
		return 0;
	if (linkat(AT_FDCWD, memory, to, DISK_MEMORY_NAME, 0) < 0)
		return err_errno(err, -errno, "link '%s'", memory);
	step("memory linked");
	return 0;
}

static int link_all(const char *from, const char *layer, const char *to, bool with_top,
	int64_t size_bytes, const char *memory, struct err *err)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	_cleanup_(close_p) int from_fd = open_dir(from, err), parent = -1, fd = -1;
	const char *slash = strrchr(to, '/'), *path;
	struct disk_chain chain;
	int r;

	if (from_fd < 0)
		return from_fd;
	r = disk_dir_read_layer(&a, from, layer, &chain, err);
	if (r < 0)
		return r;
	if (size_bytes && size_bytes < chain.size_bytes)
		return err_set(err, -EINVAL,
			"the disk has %lld bytes, a clone of %lld bytes would cut it",
			(long long)chain.size_bytes, (long long)size_bytes);
	parent = open_dir(arena_printf(&a, "%.*s", (int)(slash - to), to), err);
	if (parent < 0)
		return parent;
	/* The place is not looked at before it is whole. */
	path = arena_printf(&a, "%.*s/" DISK_NEW_PREFIX "%s", (int)(slash - to), to, slash + 1);
	remove_flat(parent, strrchr(path, '/') + 1);
	if (mkdirat(parent, strrchr(path, '/') + 1, MODE_DIRECTORY) < 0)
		return err_errno(err, -errno, "make '%s'", path);
	step("directory made");
	fd = open_dir(path, err);
	r = fd < 0 ? fd
		   : fill_directory(from, from_fd, path, fd, &chain, with_top,
			     size_bytes ? size_bytes : chain.size_bytes, err);
	if (r == 0)
		r = link_memory(memory, fd, err);
	if (r == 0) {
		step("directory filled");
		/* Over an empty directory too: somebody may have made the place. */
		if (renameat(parent, strrchr(path, '/') + 1, parent, slash + 1) < 0 ||
			fsync(parent) < 0)
			r = err_errno(err, -errno, "make '%s'", to);
	}
	if (r < 0)
		remove_flat(parent, strrchr(path, '/') + 1);
	else
		step("directory named");
	return r;
}

int layers_link(const char *from, const char *layer, const char *to, bool with_top,
	int64_t size_bytes, struct err *err)
{
	return link_all(from, layer, to, with_top, size_bytes, NULL, err);
}

int layers_link_memory(const char *from, const char *layer, const char *to, int64_t size_bytes,
	const char *memory, struct err *err)
{
	return link_all(from, layer, to, true, size_bytes, memory, err);
}

int layers_memory_mark(const char *path, struct err *err)
{
	_cleanup_(close_p) int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return errno == ENOENT ? 0 : err_errno(err, -errno, "open '%s'", path);
	return fsetxattr(fd, MEMORY_MARK, "1", 1, 0) < 0 || fsync(fd) < 0
		       ? err_errno(err, -errno, "mark '%s'", path)
		       : 0;
}

bool layers_memory_marked(const char *path)
{
	_cleanup_(close_p) int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) &&
	       fgetxattr(fd, MEMORY_MARK, NULL, 0) >= 0;
}

bool layers_untouched(const struct disk_chain *chain)
{
	_cleanup_(free_p) char *dir = NULL;
	_cleanup_(close_p) int fd = -1;

	if (chain->count < 2)
		return false;
	dir = xstrndup(chain->layers[0].path,
		(size_t)(strrchr(chain->layers[0].path, '/') - chain->layers[0].path));
	fd = open_dir(dir, NULL);
	return fd >= 0 && is_empty(fd, chain->layers[0].name);
}

/* ---- what is ours ---- */

size_t layers_own(const struct disk_chain *chain)
{
	for (size_t i = 0; i < chain->count; i++) {
		struct stat st;

		if (lstat(chain->layers[i].path, &st) < 0 || st.st_nlink > 1)
			return i;
	}
	return chain->count;
}

static bool in_chain(const struct disk_chain *chain, const char *name)
{
	for (size_t i = 0; i < chain->count; i++)
		if (streq(chain->layers[i].name, name))
			return true;
	return false;
}

bool layers_untidy(const char *dir, const struct disk_chain *chain)
{
	_cleanup_(close_p) int fd = open_dir(dir, NULL);
	DIR *d = fd < 0 ? NULL : opendir(dir);
	bool found = false;

	for (struct dirent *e; d && !found && (e = readdir(d));)
		found = disk_layer_name_ok(e->d_name) && !in_chain(chain, e->d_name);
	if (d)
		closedir(d);
	return found;
}

void layers_tidy(const char *dir, const struct disk_chain *chain)
{
	_cleanup_(close_p) int fd = open_dir(dir, NULL);
	DIR *d = fd < 0 ? NULL : opendir(dir);

	for (struct dirent *e; d && (e = readdir(d));) {
		bool layer = disk_layer_name_ok(e->d_name);

		if (str_has_prefix(e->d_name, DISK_NEW_PREFIX) ||
			(layer && !in_chain(chain, e->d_name)))
			(void)unlinkat(fd, e->d_name, 0);
	}
	if (d)
		closedir(d);
	for (size_t i = 1; fd >= 0 && i < chain->count; i++)
		(void)set_mode(fd, chain->layers[i].name, MODE_FROZEN, NULL);
	/* A raw disk whose name is a layer's now. */
	if (fd >= 0 && chain->count && !streq(chain->layers[0].name, DISK_IMAGE_NAME))
		(void)unlinkat(fd, DISK_IMAGE_NAME, 0);
}

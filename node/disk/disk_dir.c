#include "node/disk/disk_dir.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/base/buf.h"
#include "lib/base/file.h"
#include "lib/base/random.h"
#include "lib/json/json.h"

#define RECORD_MAX_BYTES 4096
#define SECTOR 512

/* Behind the UUID of a layer's name; NULL = it is no layer. */
static const char *layer_suffix(const char *name)
{
	static const char hex[] = "0123456789abcdef";

	for (int i = 0; i < 36; i++)
		if (i == 8 || i == 13 || i == 18 || i == 23 ? name[i] != '-'
							    : !name[i] || !strchr(hex, name[i]))
			return NULL;
	return name + 36;
}

const char *disk_layer_format(const char *name)
{
	const char *suffix = layer_suffix(name);

	return streq(suffix, ".qcow2") ? "qcow2" : streq(suffix, ".raw") ? "raw" : NULL;
}

bool disk_layer_name_ok(const char *name)
{
	return disk_layer_format(name) != NULL;
}

/* Opens a regular file of the directory. */
static int open_file(int dir, const char *name, struct stat *st, struct err *err)
{
	int fd = file_open_regular(dir, name, O_RDONLY, st);

	return fd == -EINVAL ? err_set(err, fd, "'%s' is not a regular file", name)
	       : fd < 0	     ? err_errno(err, fd, "open '%s'", name)
			     : fd;
}

static ssize_t read_head(int fd, void *to, size_t room)
{
	size_t have = 0;

	while (have < room) {
		ssize_t n = pread(fd, (char *)to + have, room - have, (off_t)have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		have += (size_t)n;
	}
	return (ssize_t)have;
}

static void add_layer(struct arena *a, struct disk_chain *c, const char *dir, const char *name,
	const char *format, const struct stat *st)
{
	struct disk_layer *l = &c->layers[c->count];

	l->path = arena_printf(a, "%s/%s", dir, name);
	l->name = arena_strdup(a, name);
	l->format = format;
	l->frozen = c->count > 0 || st->st_nlink > 1;
	c->count++;
}

static int read_raw(
	struct arena *a, int fd, const char *dir, struct disk_chain *ret, struct err *err)
{
	struct stat st;
	_cleanup_(close_p) int file = open_file(fd, DISK_IMAGE_NAME, &st, err);

	if (file < 0)
		return file;
	if (st.st_size <= 0 || st.st_size > DISK_SIZE_MAX_BYTES)
		return err_set(err, -EINVAL,
			"'%s/" DISK_IMAGE_NAME "': the disk's size of %lld bytes is not usable",
			dir, (long long)st.st_size);
	add_layer(a, ret, dir, DISK_IMAGE_NAME, "raw", &st);
	ret->layers[0].frozen = false;
	/* QEMU rounds a raw file up to whole sectors. */
	ret->size_bytes = (st.st_size + SECTOR - 1) / SECTOR * SECTOR;
	return 0;
}

static int read_record(int fd, const char *dir, struct arena *a, const char **ret, struct err *err)
{
	char text[RECORD_MAX_BYTES];
	struct stat st;
	struct json *doc;
	_cleanup_(close_p) int file = open_file(fd, DISK_RECORD_NAME, &st, err);
	ssize_t size;
	int r;

	if (file < 0)
		return file;
	size = read_head(file, text, sizeof(text));
	if (size < 0)
		return err_errno(err, (int)size, "read '%s/" DISK_RECORD_NAME "'", dir);
	r = json_parse(a, text, (size_t)size, NULL, &doc, err);
	if (r < 0)
		return err_context(err, r, "'%s/" DISK_RECORD_NAME "'", dir);
	*ret = json_str_or(json_get(doc, "top"), "");
	if (!disk_layer_name_ok(*ret))
		return err_set(err, -EINVAL,
			"'%s/" DISK_RECORD_NAME "': '%s' is not the name of a layer", dir, *ret);
	return 0;
}

static int read_layers(struct arena *a, int fd, const char *dir, const char *top,
	struct disk_chain *c, struct err *err)
{
	_cleanup_(free_p) uint8_t *head = xmalloc(QCOW2_READ_BYTES);
	const char *name = top;

	while (name) {
		const char *format = disk_layer_format(name);
		struct qcow2_header h;
		struct stat st;
		_cleanup_(close_p) int file = -1;
		ssize_t size;
		int r;

		if (c->count == DISK_LAYERS_MAX)
			return err_set(err, -ELOOP, "'%s': the disk has more than %d layers", dir,
				DISK_LAYERS_MAX);
		/* A ring would have the same name twice. */
		for (size_t i = 0; i < c->count; i++)
			if (streq(c->layers[i].name, name))
				return err_set(
					err, -ELOOP, "'%s': layer %s is below itself", dir, name);
		file = open_file(fd, name, &st, err);
		if (file < 0)
			/* The disk is said to be there: a hole in it is not "none". */
			return err_context(err, file == -ENOENT ? -EINVAL : file,
				"'%s': layer %zu of the disk", dir, c->count);
		if (streq(format, "raw")) {
			if (!c->count)
				c->size_bytes = (st.st_size + SECTOR - 1) / SECTOR * SECTOR;
			add_layer(a, c, dir, name, format, &st);
			return 0;
		}
		size = read_head(file, head, QCOW2_READ_BYTES);
		if (size < 0)
			return err_errno(err, (int)size, "read '%s/%s'", dir, name);
		r = qcow2_header_read(a, head, (size_t)size, &h, err);
		if (r < 0)
			return err_context(err, r, "'%s/%s'", dir, name);
		if (h.backing && !disk_layer_name_ok(h.backing))
			return err_set(err, -EINVAL,
				"'%s/%s': its backing file '%s' is not a layer of the same "
				"directory, which is not allowed",
				dir, name, h.backing);
		if (h.backing && !streq(h.backing_format, disk_layer_format(h.backing)))
			return err_set(err, -EINVAL,
				"'%s/%s': it does not say that its backing file is %s", dir, name,
				disk_layer_format(h.backing));
		if (!c->count)
			c->size_bytes = h.size_bytes;
		add_layer(a, c, dir, name, "qcow2", &st);
		name = h.backing;
	}
	return 0;
}

int disk_dir_read(struct arena *a, const char *dir, struct disk_chain *ret, struct err *err)
{
	_cleanup_(close_p) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct disk_chain *c = arena_zalloc(a, sizeof(*c));
	struct err why = ERR_INIT;
	const char *top;
	int r;

	if (fd < 0)
		return err_errno(err, errno == ENOENT ? -ENOTDIR : -errno, "open '%s'", dir);
	r = read_record(fd, dir, a, &top, &why);
	if (r == 0) {
		r = read_layers(a, fd, dir, top, c, &why);
		if (r == 0 && c->layers[0].frozen)
			r = err_set(&why, -EBUSY,
				"'%s': the top layer %s is shared with another disk", dir, top);
	} else if (r == -ENOENT) {
		r = read_raw(a, fd, dir, c, &why);
	}
	if (r < 0) {
		if (err)
			*err = why;
		return r;
	}
	*ret = *c;
	return 0;
}

int disk_dir_read_layer(struct arena *a, const char *dir, const char *layer, struct disk_chain *ret,
	struct err *err)
{
	_cleanup_(close_p) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct disk_chain *c = arena_zalloc(a, sizeof(*c));
	const char *top = layer;
	int r = 0;

	if (fd < 0)
		return err_errno(err, errno == ENOENT ? -ENOTDIR : -errno, "open '%s'", dir);
	if (!layer)
		r = read_record(fd, dir, a, &top, err);
	else if (!disk_layer_name_ok(layer))
		r = err_set(err, -EINVAL, "'%s' is not the name of a layer", layer);
	if (r == 0)
		r = read_layers(a, fd, dir, top, c, err);
	if (r == 0)
		*ret = *c;
	return r;
}

int disk_dir_publish(const char *dir, const char *top, int64_t size_bytes, struct err *err)
{
	_cleanup_(close_p) int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_(close_p) int file = -1, layer = -1;
	_cleanup_(buf_finish) struct buf text = BUF_INIT;
	static const char fresh[] = DISK_NEW_PREFIX DISK_RECORD_NAME;
	struct stat st;

	if (fd < 0)
		return err_errno(err, -errno, "open '%s'", dir);
	layer = open_file(fd, top, &st, err);
	if (layer < 0)
		return err_context(err, layer, "'%s'", dir);
	if (fsync(layer) < 0)
		return err_errno(err, -errno, "write '%s/%s'", dir, top);
	buf_printf(&text, "{\"top\":\"%s\",\"size\":%lld}\n", top, (long long)size_bytes);
	(void)unlinkat(fd, fresh, 0);
	file = openat(fd, fresh, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	if (file < 0 || write(file, text.data, text.size) != (ssize_t)text.size ||
		fsync(file) < 0 || fsync(fd) < 0 || renameat(fd, fresh, fd, DISK_RECORD_NAME) < 0 ||
		fsync(fd) < 0)
		return err_errno(
			err, errno ? -errno : -EIO, "write '%s/" DISK_RECORD_NAME "'", dir);
	return 0;
}

int disk_dir_set_owner(const char *path, uint32_t owner, mode_t mode, struct err *err)
{
	struct stat st;
	_cleanup_(close_p) int fd = open_file(AT_FDCWD, path, &st, err);

	if (fd < 0)
		return fd;
	if (st.st_nlink != 1)
		return err_set(err, -EINVAL, "'%s' has other names", path);
	return fchown(fd, owner, owner) < 0 || fchmod(fd, mode) < 0
		       ? err_errno(err, -errno, "change owner of '%s'", path)
		       : 0;
}

void disk_dir_new_name(char ret_new[64], char ret_layer[64])
{
	struct random r = RANDOM_SYSTEM;
	char uuid[37];

	random_uuid(&r, uuid);
	snprintf(ret_new, 64, DISK_NEW_PREFIX "%s.qcow2", uuid);
	snprintf(ret_layer, 64, "%s.qcow2", uuid);
}

static void sweep(const char *dir, const char *only, const char *keep)
{
	DIR *d = opendir(dir);

	for (struct dirent *e; d && (e = readdir(d));)
		if (str_has_prefix(e->d_name, only) && !(keep && str_has_prefix(e->d_name, keep)))
			(void)unlinkat(dirfd(d), e->d_name, 0);
	if (d)
		closedir(d);
}

void disk_dir_sweep_but(const char *dir, const char *keep)
{
	sweep(dir, DISK_NEW_PREFIX, keep);
}

void disk_dir_sweep_layers(const char *dir)
{
	DIR *d = opendir(dir);

	for (struct dirent *e; d && (e = readdir(d));)
		if (disk_layer_name_ok(e->d_name))
			(void)unlinkat(dirfd(d), e->d_name, 0);
	if (d)
		closedir(d);
}

void disk_dir_sweep_of(const char *dir, const char *prefix)
{
	sweep(dir, prefix, NULL);
}

void disk_dir_sweep(const char *dir)
{
	disk_dir_sweep_but(dir, NULL);
}

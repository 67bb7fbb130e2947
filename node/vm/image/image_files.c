#include "node/vm/image/image_files.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/json/json.h"
#include "node/vm/image/container_disks.h"

#define DISK_MAX_BYTES (INT64_C(64) << 40)

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *f)
{
	(void)!remove(path);
	return 0;
}

void files_remove_tree(const char *path)
{
	nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

ssize_t files_read(const char *path, char *ret, size_t room)
{
	_cleanup_(close_p) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	size_t have = 0;

	if (fd < 0)
		return -errno;
	while (have < room - 1) {
		ssize_t n = read(fd, ret + have, room - 1 - have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		have += (size_t)n;
	}
	ret[have] = '\0';
	return (ssize_t)have;
}

int files_write(const char *path, const void *p, size_t size, unsigned mode, struct err *err)
{
	_cleanup_(free_p) char *fresh = xasprintf("%s.new", path);
	_cleanup_(close_p) int fd =
		open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode);

	if (fd < 0 || write(fd, p, size) != (ssize_t)size || rename(fresh, path) < 0)
		return err_errno(err, errno ? -errno : -EIO, "write %s", path);
	return 0;
}

/* "-rw-r--r-- 0/0 1234 2026-11-21 03:00:00[.5] name": the name of a regular file, else NULL. */
static const char *regular_file(char *line, int64_t *ret_size)
{
	char *save = NULL, *fields[5];

	for (int i = 0; i < 5; i++) {
		fields[i] = strtok_r(i ? NULL : line, " ", &save);
		if (!fields[i])
			return NULL;
	}
	/* An escaped name is one that nobody sensible gives; and it would have to be unescaped. */
	if (fields[0][0] != '-' || !save || !*save || strchr(save, '\\') ||
		parse_i64(str_from(fields[2]), ret_size) < 0 || *ret_size < 0 ||
		*ret_size > DISK_MAX_BYTES)
		return NULL;
	return save;
}

static const char *plain_name(const char *name)
{
	while (str_has_prefix(name, "./"))
		name += 2;
	while (*name == '/')
		name++;
	return name;
}

void tar_choose(const char *listing, const char *path, struct tar_choice *ret)
{
	struct str rest = str_from(listing), line;
	const char *wanted = path ? plain_name(path) : NULL;
	const char *base = wanted ? strrchr(wanted, '/') : NULL;

	*ret = (struct tar_choice){0};
	base = base ? base + 1 : wanted;
	while (str_split(&rest, '\n', &line)) {
		_cleanup_(free_p) char *copy = xstrndup(line.p, line.size);
		int64_t size;
		const char *stored = regular_file(copy, &size), *name, *last;

		if (!stored || strlen(stored) >= sizeof(ret->name))
			continue;
		name = plain_name(stored);
		last = strrchr(name, '/');
		last = last ? last + 1 : name;
		/* An upper layer's note that a file, or all of a directory, of lower ones is gone.
		 */
		if (str_has_prefix(last, ".wh.")) {
			ret->hidden |=
				streq(last, ".wh..wh..opq") || (base && streq(last + 4, base));
			continue;
		}
		if (wanted ? !streq(name, wanted)
			   : !str_has_prefix(name, "disk/") || strchr(name + 5, '/'))
			continue;
		if (*ret->name)
			continue; /* the first one */
		snprintf(ret->name, sizeof(ret->name), "%s", stored);
		ret->size = size;
	}
}

int disk_info_check(const char *text, size_t size, int64_t *ret_virtual_bytes, struct err *err)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct json *doc;
	const char *format;
	int64_t bytes;
	int r = json_parse(&a, text, size, NULL, &doc, err);

	if (r < 0)
		return err_context(err, r, "answer of qemu-img");
	format = json_str_or(json_get(doc, "format"), "");
	bytes = json_int_or(json_get(doc, "virtual-size"), -1);
	if (!streq(format, "raw") && !streq(format, "qcow2"))
		return err_set(err, -EINVAL, "the format '%s' is neither raw nor qcow2", format);
	/* Such a disk would make QEMU open a file of the image author's choice. */
	if (json_get(doc, "backing-filename") || json_get(doc, "full-backing-filename"))
		return err_set(err, -EINVAL, "the disk has a backing file, which is not allowed");
	if (json_path(doc, "format-specific.data.data-file"))
		return err_set(
			err, -EINVAL, "the disk has an external data file, which is not allowed");
	if (json_bool_or(json_get(doc, "encrypted"), false))
		return err_set(err, -EINVAL, "the disk is encrypted, which is not supported");
	if (json_path_bool(doc, "format-specific.data.corrupt", false))
		return err_set(err, -EINVAL, "the disk is marked as corrupt");
	if (bytes <= 0 || bytes > DISK_MAX_BYTES)
		return err_set(err, -EINVAL, "the disk's size of %lld bytes is not usable",
			(long long)bytes);
	*ret_virtual_bytes = bytes;
	return 0;
}

void image_registry(const char *image, char *ret, size_t room)
{
	size_t first = strcspn(image, "/");

	/* The first part is a host when it looks like one: a dot, a port, or localhost. */
	if (image[first] == '/' && (memchr(image, '.', first) || memchr(image, ':', first) ||
					   (first == 9 && !strncmp(image, "localhost", 9))))
		snprintf(ret, room, "%.*s", (int)MIN(first, (size_t)255), image);
	else
		snprintf(ret, room, "docker.io");
}

bool hosts_toml_insecure(const char *text)
{
	struct str rest = str_from(text), line;

	while (str_split(&rest, '\n', &line)) {
		while (line.size && (*line.p == ' ' || *line.p == '\t'))
			line.p++, line.size--;
		if (!line.size || *line.p == '#')
			continue;
		if (memmem(line.p, line.size, "\"http://", 8))
			return true;
		if (line.size > 11 && !memcmp(line.p, "skip_verify", 11) &&
			memmem(line.p, line.size, "true", 4))
			return true;
	}
	return false;
}

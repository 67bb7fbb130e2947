/* log_files.c - see log_files.h. */
#include "node/logs/log_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#include "lib/base/clock.h"
#include "lib/base/log.h"
#include "lib/base/str.h"

enum { COPY_BYTES = 64 << 10, STAMP_SIZE = sizeof("20060102-150405") - 1 };

/* "20060102-150405" */
static bool is_stamp(const char *p, size_t size)
{
	if (size != STAMP_SIZE || p[8] != '-')
		return false;
	for (size_t i = 0; i < size; i++)
		if (i != 8 && (p[i] < '0' || p[i] > '9'))
			return false;
	return true;
}

/* Names sort by age: a stamp goes before the same with ".gz". */
static int compare(const void *a, const void *b)
{
	return strcmp(((const struct log_file *)a)->path, ((const struct log_file *)b)->path);
}

/* "/dir/0.log" -> "/dir" and "0.log". */
static char *split_path(const char *path, const char **ret_name)
{
	const char *slash = strrchr(path, '/');

	*ret_name = slash ? slash + 1 : path;
	return slash ? xasprintf("%.*s", (int)(slash - path), path) : xstrdup(".");
}

void log_files_list(const char *path, struct log_files *ret)
{
	const char *name;
	_cleanup_(free_p) char *dir = split_path(path, &name);
	size_t size = strlen(name);
	DIR *d = opendir(dir);

	*ret = (struct log_files){0};
	if (!d)
		return;
	for (struct dirent *e; (e = readdir(d));) {
		if (!str_has_prefix(e->d_name, name) || e->d_name[size] != '.')
			continue;
		const char *stamp = e->d_name + size + 1;
		size_t length = strcspn(stamp, ".");
		bool compressed = streq(stamp + length, ".gz");
		if (!is_stamp(stamp, length) || (stamp[length] && !compressed))
			continue;
		struct log_file f = {xasprintf("%s/%s", dir, e->d_name), compressed};
		VEC_PUSH(&ret->rotated, f);
	}
	closedir(d);
	if (ret->rotated.count > 0)
		qsort(ret->rotated.items, ret->rotated.count, sizeof(*ret->rotated.items), compare);
	/* A file and its compressed copy, when that was broken off before the file was removed. */
	for (size_t i = 1; i < ret->rotated.count; i++) {
		struct log_file *copy = &ret->rotated.items[i];
		if (!copy->compressed ||
			!str_has_prefix(copy->path, ret->rotated.items[i - 1].path))
			continue;
		free(copy->path);
		VEC_REMOVE(&ret->rotated, i);
		i--;
	}
}

void log_files_finish(struct log_files *f)
{
	for (size_t i = 0; i < f->rotated.count; i++)
		free(f->rotated.items[i].path);
	VEC_FINISH(&f->rotated);
}

/* ---- rotation ---- */

static int copy_compressed(int from, gzFile to)
{
	_cleanup_(free_p) char *room = xmalloc(COPY_BYTES);

	for (;;) {
		ssize_t n = read(from, room, COPY_BYTES);
		if (n <= 0)
			return n < 0 ? -errno : 0;
		if (gzwrite(to, room, (unsigned)n) != (int)n)
			return -EIO;
	}
}

/* The copy appears under its name when it is whole, and keeps the time of the last line. */
static int compress_file(const char *path, struct err *err)
{
	_cleanup_(free_p) char *temporary = xasprintf("%s.tmp", path);
	_cleanup_(free_p) char *name = xasprintf("%s.gz", path);
	_cleanup_(close_p) int from = open(path, O_RDONLY | O_CLOEXEC);
	struct stat st;

	if (from < 0 || fstat(from, &st) < 0)
		return err_errno(err, -errno, "open '%s'", path);
	int fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, st.st_mode & 0777);
	if (fd < 0)
		return err_errno(err, -errno, "create '%s'", temporary);
	struct timespec times[2] = {st.st_atim, st.st_mtim};
	gzFile to = gzdopen(fd, "wb");
	int r = to ? copy_compressed(from, to) : -ENOMEM;
	if (!to)
		close(fd);
	else if (gzclose(to) != Z_OK && r == 0)
		r = -EIO;
	if (r == 0 && (utimensat(AT_FDCWD, temporary, times, 0) < 0 || rename(temporary, name) < 0))
		r = -errno;
	if (r < 0) {
		unlink(temporary);
		return err_errno(err, r, "compress '%s'", path);
	}
	unlink(path);
	return 0;
}

/* Room for the file that is rotated now; of the rest all are compressed. */
static void tidy_up(const char *path, int64_t keep)
{
	struct log_files files;
	struct err err = ERR_INIT;

	log_files_list(path, &files);
	for (size_t i = 0; i < files.rotated.count; i++) {
		const struct log_file *f = &files.rotated.items[i];
		if ((int64_t)(files.rotated.count - i) > keep)
			unlink(f->path);
		else if (!f->compressed && compress_file(f->path, &err) < 0)
			log_warn("rotated log stays as it is", "reason", err.msg, NULL);
	}
	log_files_finish(&files);
}

int log_rotate(const char *path, const struct log_rotate_limits *limits, int64_t wall_ns,
	char **ret_rotated, struct err *err)
{
	time_t now = (time_t)(wall_ns / NS_PER_S);
	struct stat st;
	struct tm tm;
	char stamp[32];

	if (stat(path, &st) < 0)
		return errno == ENOENT ? LOG_ROTATE_MISSING
				       : err_errno(err, -errno, "stat '%s'", path);
	if (st.st_size <= limits->max_bytes)
		return LOG_ROTATE_NONE;
	tidy_up(path, MAX(limits->max_files - 2, 0));
	gmtime_r(&now, &tm);
	strftime(stamp, sizeof(stamp), "%Y%m%d-%H%M%S", &tm);
	_cleanup_(free_p) char *rotated = xasprintf("%s.%s", path, stamp);
	/* Two within a second, or a clock that was put back: what is there is not overwritten. */
	_cleanup_(free_p) char *compressed = xasprintf("%s.gz", rotated);
	if (access(rotated, F_OK) == 0 || access(compressed, F_OK) == 0)
		return err_set(err, -EEXIST, "'%s' exists", rotated);
	if (rename(path, rotated) < 0)
		return err_errno(err, -errno, "rename '%s'", path);
	*ret_rotated = TAKE_PTR(rotated);
	return LOG_ROTATE_RENAMED;
}

void log_rotate_undo(const char *path, const char *rotated)
{
	if (access(path, F_OK) < 0 && rename(rotated, path) < 0)
		log_warn("log file keeps its new name", "file", rotated, "reason", strerror(errno),
			NULL);
}

void log_files_drop_older(const char *dir, unsigned attempt)
{
	DIR *d = opendir(dir);

	if (!d)
		return;
	for (struct dirent *e; (e = readdir(d));) {
		const char *dot = strchr(e->d_name, '.');
		uint64_t number;
		if (!dot || !str_has_prefix(dot, ".log") ||
			parse_u64((struct str){e->d_name, (size_t)(dot - e->d_name)}, &number) < 0)
			continue;
		if (number < attempt)
			unlinkat(dirfd(d), e->d_name, 0);
	}
	closedir(d);
}

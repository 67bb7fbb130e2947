/* log_reader.c - see log_reader.h. */
#include "node/logs/log_reader.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "lib/base/clock.h"
#include "lib/base/str.h"
#include "node/cri/cri_log.h"
#include "node/logs/log_files.h"

enum {
	CHUNK_BYTES = 64 << 10,
	HEAD_BYTES = 128, /* of a record: time, stream and tag */
};

/* One open file. */
struct part {
	int fd;	   /* -1 = it belongs to gz */
	gzFile gz; /* NULL = not compressed */
	struct stat st;
};

struct log_reader {
	char *path;
	VEC(struct part) parts; /* the first is being read */
};

static void part_close(struct part *p)
{
	if (p->gz)
		gzclose_r(p->gz);
	else if (p->fd >= 0)
		close(p->fd);
}

static int part_open(const char *path, bool compressed, struct part *ret)
{
	_cleanup_(close_p) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW);
	struct part p = {.fd = -1};

	if (fd < 0 || fstat(fd, &p.st) < 0)
		return -errno;
	if (!S_ISREG(p.st.st_mode))
		return -EINVAL;
	if (compressed) {
		p.gz = gzdopen(fd, "rb");
		if (!p.gz)
			return -ENOMEM;
		fd = -1;
	} else {
		p.fd = fd;
		fd = -1;
	}
	*ret = p;
	return 0;
}

static ssize_t part_read(struct part *p, char *to, size_t room)
{
	if (!p->gz)
		return read(p->fd, to, room);
	int n = gzread(p->gz, to, (unsigned)room);
	return n > 0 ? n : 0;
}

static bool same_file(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev;
}

/* ---- where the last lines begin ---- */

/* A record that is a part of a line, with more of it to come. */
static bool is_partial(const char *p, size_t size)
{
	const char *end = p + size;

	for (int i = 0; i < 2; i++) {
		p = memchr(p, ' ', (size_t)(end - p));
		if (!p)
			return false;
		p++;
	}
	return p < end && *p == 'P';
}

/* Backwards from the end of a plain file. *lines: how many are wanted, then how many are still
 * missing when all of the file is among them. newest: an unfinished line at its end counts. */
static int tail_plain(const struct part *p, bool newest, int64_t *lines, off_t *ret)
{
	_cleanup_(free_p) char *room = xmalloc(1 + CHUNK_BYTES + HEAD_BYTES);
	off_t at = p->st.st_size, after = p->st.st_size; /* where the record behind begins */
	bool last = true;

	while (at > 0) {
		size_t size = (size_t)MIN(at, (off_t)CHUNK_BYTES);
		at -= (off_t)size;
		/* With the byte before, which may be the newline that a record begins behind, and
		 * enough behind it for the head of one. */
		size_t lead = at > 0;
		ssize_t n = pread(p->fd, room, lead + size + HEAD_BYTES, at - (off_t)lead);
		if (n < (ssize_t)(lead + size))
			return n < 0 ? -errno : -EIO;
		for (size_t i = lead + size; i-- > lead;) {
			off_t start = at + (off_t)(i - lead);
			if (start > 0 && room[i - 1] != '\n')
				continue;
			bool counts = !is_partial(room + i, (size_t)n - i) || (last && newest);
			if (counts && *lines == 0) {
				*ret = after;
				return 0;
			}
			*lines -= counts;
			last = false;
			after = start;
		}
	}
	*ret = 0;
	return 0;
}

/* Forwards, since it can't be read otherwise: finds the byte behind line number `skip`; skip -1
 * only counts. Returns the number of lines. */
static int64_t walk_compressed(struct part *p, int64_t skip, z_off_t *ret)
{
	_cleanup_(free_p) char *room = xmalloc(CHUNK_BYTES);
	char head[HEAD_BYTES];
	size_t head_size = 0;
	int64_t lines = 0;
	z_off_t at = 0;

	gzrewind(p->gz);
	for (ssize_t n; (n = part_read(p, room, CHUNK_BYTES)) > 0;) {
		for (ssize_t i = 0; i < n; i++) {
			if (room[i] != '\n') {
				if (head_size < sizeof(head))
					head[head_size++] = room[i];
				continue;
			}
			lines += !is_partial(head, head_size);
			head_size = 0;
			if (lines == skip) {
				*ret = at + i + 1;
				return lines;
			}
		}
		at += n;
	}
	return lines;
}

static void tail_compressed(struct part *p, int64_t *lines)
{
	z_off_t at = 0;
	int64_t count = walk_compressed(p, -1, &at);

	if (count > *lines) {
		walk_compressed(p, count - *lines, &at);
		*lines = 0;
	} else {
		*lines -= count;
	}
	gzrewind(p->gz);
	gzseek(p->gz, at, SEEK_SET);
}

/* Drops the parts before those that hold the last lines. */
static int seek_tail(struct log_reader *r, int64_t lines)
{
	size_t i = r->parts.count;
	bool newest = true;

	while (i > 0 && (lines > 0 || newest)) {
		struct part *p = &r->parts.items[--i];
		off_t at = 0;
		if (p->gz) {
			tail_compressed(p, &lines);
		} else {
			int result = tail_plain(p, newest, &lines, &at);
			if (result < 0)
				return result;
			if (lseek(p->fd, at, SEEK_SET) < 0)
				return -errno;
		}
		newest = false;
	}
	while (i-- > 0) {
		part_close(&r->parts.items[0]);
		VEC_REMOVE(&r->parts, 0);
	}
	return 0;
}

/* ---- public ---- */

static int64_t written_ns(const struct part *p)
{
	return (int64_t)p->st.st_mtim.tv_sec * NS_PER_S + p->st.st_mtim.tv_nsec;
}

int log_reader_open(
	const char *path, int64_t tail, int64_t since_ns, struct log_reader **ret, struct err *err)
{
	struct log_reader *r = xcalloc(1, sizeof(*r));
	struct log_files files;
	struct part newest, p;

	r->path = xstrdup(path);
	/* The newest first: if it is rotated away just now, it is found again in the list. */
	int result = part_open(path, false, &newest);
	if (result < 0) {
		log_reader_close(r);
		return err_errno(err, result, "open '%s'", path);
	}
	log_files_list(path, &files);
	for (size_t i = 0; i < files.rotated.count; i++) {
		const struct log_file *f = &files.rotated.items[i];
		_cleanup_(free_p) char *later = xasprintf("%s.gz", f->path);
		if (part_open(f->path, f->compressed, &p) < 0 &&
			(f->compressed || part_open(later, true, &p) < 0))
			continue;
		if (same_file(&p.st, &newest.st)) {
			part_close(&p);
			break;
		}
		if (written_ns(&p) < since_ns)
			part_close(&p);
		else
			VEC_PUSH(&r->parts, p);
	}
	log_files_finish(&files);
	VEC_PUSH(&r->parts, newest);
	result = tail >= 0 ? seek_tail(r, tail) : 0;
	if (result < 0) {
		log_reader_close(r);
		return err_errno(err, result, "read '%s'", path);
	}
	*ret = r;
	return 0;
}

void log_reader_close(struct log_reader *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < r->parts.count; i++)
		part_close(&r->parts.items[i]);
	VEC_FINISH(&r->parts);
	free(r->path);
	free(r);
}

ssize_t log_reader_read(struct log_reader *r, char *to, size_t room)
{
	ssize_t n = part_read(&r->parts.items[0], to, room);

	return n < 0 ? -errno : n;
}

bool log_reader_next(struct log_reader *r)
{
	if (r->parts.count < 2)
		return false;
	part_close(&r->parts.items[0]);
	VEC_REMOVE(&r->parts, 0);
	return true;
}

/* Where the newest file that is open here stands among the rotated ones; it is not there when it
 * was compressed meanwhile. */
static size_t place_of(const struct log_files *files, const struct stat *newest)
{
	struct stat st;

	for (size_t i = 0; i < files->rotated.count; i++)
		if (stat(files->rotated.items[i].path, &st) == 0 && same_file(&st, newest))
			return i;
	return files->rotated.count;
}

bool log_reader_catch_up(struct log_reader *r, size_t max_files)
{
	struct stat newest = r->parts.items[r->parts.count - 1].st;
	size_t before = r->parts.count;
	struct log_files files;
	struct stat st;
	struct part p;

	if (stat(r->path, &st) < 0 || same_file(&st, &newest))
		return false;
	log_files_list(r->path, &files);
	for (size_t i = place_of(&files, &newest) + 1; i < files.rotated.count; i++) {
		const struct log_file *f = &files.rotated.items[i];
		if (part_open(f->path, f->compressed, &p) == 0)
			VEC_PUSH(&r->parts, p);
	}
	log_files_finish(&files);
	if (part_open(r->path, false, &p) == 0) {
		if (same_file(&p.st, &r->parts.items[r->parts.count - 1].st))
			part_close(&p);
		else
			VEC_PUSH(&r->parts, p);
	}
	bool added = r->parts.count > before;
	while (r->parts.count > MAX(max_files, (size_t)1)) {
		part_close(&r->parts.items[0]);
		VEC_REMOVE(&r->parts, 0);
	}
	return added;
}

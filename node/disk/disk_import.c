/*   PROBING --packed--> UNPACKING --> PROBING
 *    | | |
 *    | | +--ours to change: a layer as it is--> CHECKING --> ENLARGING --+
 *    | |                                                       |         |
 *    | +----raw----+                                           |         |
 *    |             v                       not by its header   |         |
 *    |       +--> WRAPPING ------------------------------------|---------+
 *    v       |     ^  its data may stay                        |         |
 *   ASKING --+--> MAPPING --they may not--> CONVERTING --> RESIZING --> PUBLISHING --> done
 *
 * ASKING: qemu-img info, of what was not told by the file's own header.
 */
#include "node/disk/disk_import.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "lib/base/file.h"
#include "node/child/child.h"
#include "node/disk/disk_map.h"
#include "node/disk/disk_probe.h"
#include "node/disk/qcow2_write.h"
#include "node/disk/write_out.h"
#include "node/volume/file_work.h"

#define LONG_MS (24u * 3600 * 1000)
#define SHORT_MS (5 * 60 * 1000)
#define MEMORY_MAX_BYTES (UINT64_C(2) << 30)
#define CPU_MAX_S 60			   /* for looking; converting may take long */
#define MAP_MAX_BYTES (4u << 20)	   /* text of it; more parts are copied */
#define UNPACKED_MAX_PARTS 3		   /* gzip in xz in zstd, and no more */
#define OVERHEAD_BYTES (INT64_C(64) << 20) /* of a qcow2 file, and an eighth of a percent */

/* A map that outlives whoever made it, and the disk's size in it. */
struct place {
	struct disk_map map;
	int64_t disk_bytes;
	struct disk_extent extents[];
};

struct disk_import {
	struct disk_import_options o;
	struct arena arena;
	enum {
		PROBING,
		UNPACKING,
		ASKING,
		CHECKING,
		ENLARGING,
		MAPPING,
		WRAPPING,
		CONVERTING,
		RESIZING,
		PUBLISHING
	} state;
	const char *path; /* of what is read now */
	bool own;	  /* path is ours to rename and remove */
	uid_t user;	  /* whom all programs of this import run as */
	unsigned parts;
	struct disk_probe probe;
	int64_t source_bytes;	   /* the guest's size of the source */
	struct place *place;	   /* where its data are, known without asking; NULL = not */
	char fresh[64], layer[64]; /* the layer that is made */
	struct child *child;
	struct write_out *out; /* of what the child writes */
	struct file_job *job;
	uv_timer_t timer;
	char line[64]; /* what qemu-img says of its progress */
	size_t line_size;
	struct err err;
	bool ended;
};

static const char *in_directory(struct disk_import *i, const char *name)
{
	return arena_printf(&i->arena, "%s/%s", i->o.directory, name);
}

static struct place *keep(const struct disk_map *map, int64_t disk_bytes)
{
	struct place *p = xmalloc(sizeof(*p) + map->count * sizeof(*p->extents));

	p->map = *map;
	p->disk_bytes = disk_bytes;
	p->map.extents = p->extents;
	if (map->count)
		memcpy(p->extents, map->extents, map->count * sizeof(*p->extents));
	return p;
}

static void freed(uv_handle_t *h)
{
	struct disk_import *i = h->data;

	free(i->place);
	arena_finish(&i->arena);
	free(i);
}

void disk_import_cancel(struct disk_import *i)
{
	if (!i || i->ended)
		return;
	i->ended = true;
	child_cancel(i->child);
	write_out_stop(i->out);
	file_job_cancel(i->job);
	if (*i->fresh && i->state != PUBLISHING)
		(void)unlink(in_directory(i, i->fresh));
	if (i->parts)
		(void)unlink(i->path); /* what was unpacked; the source is its owner's */
	uv_close((uv_handle_t *)&i->timer, freed);
}

static void on_end(uv_timer_t *t)
{
	struct disk_import *i = t->data;
	struct disk_import_options o = i->o;
	struct err err = i->err;

	if (!err.code)
		*i->fresh = '\0';
	disk_import_cancel(i);
	o.done(o.user, err.code ? &err : NULL);
}

static void end(struct disk_import *i, const struct err *err)
{
	if (err)
		i->err = *err;
	uv_timer_start(&i->timer, on_end, 0, 0);
}

static void progress(struct disk_import *i, double part)
{
	if (i->o.progress)
		i->o.progress(i->o.user, part);
}

static struct child *run(struct disk_import *i, const char *const *argv, const char *out_path,
	unsigned timeout_ms, unsigned cpu_s, uint64_t file_max,
	void (*output)(void *user, const char *p, size_t size),
	void (*done)(void *user, const struct child_result *r, const struct err *err))
{
	return child_run(&(struct child_options){
		.loop = i->o.node->loop,
		.argv = argv,
		.out_path = out_path,
		.timeout_ms = timeout_ms,
		.memory_bytes_max = MEMORY_MAX_BYTES,
		.cpu_s_max = cpu_s,
		.file_bytes_max = file_max,
		.unprivileged = true,
		.run_as = i->user,
		.output = output,
		.done = done,
		.user = i,
	});
}

/* Programs know neither the claim nor the pool: a full one is told as such. */
static void fail_of(struct disk_import *i, const struct err *failure)
{
	struct err err = *failure;
	struct statvfs fs;

	if (strstr(err.msg, "No space left") ||
		(statvfs(i->o.directory, &fs) == 0 && fs.f_bavail * fs.f_frsize < (1u << 20)))
		err_context(&err, err.code = -ENOSPC,
			"the file system of '%s' is full: make room in it, it is tried again",
			i->o.directory);
	end(i, &err);
}

/* What failed is the file's fault, unless the program did not come to look at it, or was ended by
 * the host, which may have been short of memory: that is tried again. */
static int fault_of(const struct child_result *r, const struct err *failure)
{
	bool host = r->signal ? r->signal == SIGKILL && !r->timed_out
			      : r->exit_code < 0 || r->exit_code == 126 || r->exit_code == 127;

	return host ? failure->code : -EINVAL;
}

/* ---- publishing ---- */

struct publishing {
	struct disk_import *i;
	char *directory, *fresh, *layer, *source;
	int64_t size_bytes;
	struct err err;
};

static void publish(void *user)
{
	struct publishing *p = user;

	if (disk_dir_set_owner(p->fresh, 0, 0600, &p->err) < 0)
		return;
	if (rename(p->fresh, p->layer) < 0) {
		err_errno(&p->err, -errno, "make '%s'", p->layer);
		return;
	}
	if (disk_dir_publish(p->directory, strrchr(p->layer, '/') + 1, p->size_bytes, &p->err) < 0)
		return;
	if (p->source)
		(void)unlink(p->source);
}

static void on_published(void *user, bool cancelled)
{
	struct publishing *p = user;

	if (!cancelled) {
		p->i->job = NULL;
		progress(p->i, 1);
		end(p->i, p->err.code ? &p->err : NULL);
	}
	free(p->directory);
	free(p->fresh);
	free(p->layer);
	free(p->source);
	free(p);
}

static void begin_publish(struct disk_import *i)
{
	struct publishing *p = xcalloc(1, sizeof(*p));

	i->state = PUBLISHING;
	p->i = i;
	p->directory = xstrdup(i->o.directory);
	p->fresh = xstrdup(in_directory(i, i->fresh));
	p->layer = xstrdup(in_directory(i, i->layer));
	p->source = i->path && i->own ? xstrdup(i->path) : NULL;
	p->size_bytes = i->o.size_bytes ? i->o.size_bytes : i->source_bytes;
	i->job = file_work_queue(i->o.node->files, p->directory, publish, on_published, p);
}

/* ---- the size ---- */

static void on_resized(void *user, const struct child_result *r, const struct err *failure)
{
	struct disk_import *i = user;

	i->child = NULL;
	if (failure)
		fail_of(i, failure);
	else
		begin_publish(i);
}

static void begin_resize(struct disk_import *i)
{
	const char *size = arena_printf(&i->arena, "%lld", (long long)i->o.size_bytes);
	const char *argv[] = {
		"qemu-img", "resize", "-q", "-f", "qcow2", in_directory(i, i->fresh), size, NULL};

	i->state = RESIZING;
	if (i->o.size_bytes <= i->source_bytes) {
		begin_publish(i);
		return;
	}
	i->child = run(i, argv, NULL, SHORT_MS, CPU_MAX_S, 0, NULL, on_resized);
}

static bool too_large(struct disk_import *i, int64_t bytes)
{
	struct err err = ERR_INIT;

	i->source_bytes = bytes;
	if (!i->o.size_bytes || bytes <= i->o.size_bytes)
		return false;
	/* CDI's words. */
	err_set(&err, -EFBIG,
		"Virtual image size %lld is larger than the reported available storage %lld. A "
		"larger PVC is required",
		(long long)bytes, (long long)i->o.size_bytes);
	end(i, &err);
	return true;
}

/* Made before a program that has no rights writes to it. */
static int make_target(struct disk_import *i, struct err *err)
{
	const char *path;
	_cleanup_(close_p) int fd = -1;

	disk_dir_new_name(i->fresh, i->layer);
	path = in_directory(i, i->fresh);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0 || fchown(fd, i->user, i->user) < 0)
		return err_errno(err, -errno, "make '%s'", path);
	return 0;
}

/* ---- converting ---- */

/* "    (12.34/100%)\r" */
static void on_convert_output(void *user, const char *p, size_t size)
{
	struct disk_import *i = user;

	for (size_t n = 0; n < size; n++) {
		double percent;

		if (p[n] != '\r' && p[n] != '\n') {
			if (i->line_size < sizeof(i->line) - 1)
				i->line[i->line_size++] = p[n];
			continue;
		}
		i->line[i->line_size] = '\0';
		i->line_size = 0;
		if (sscanf(i->line, " (%lf/", &percent) == 1 && percent >= 0 && percent <= 100)
			progress(i, percent / 100);
	}
}

static void on_converted(void *user, const struct child_result *r, const struct err *failure)
{
	struct disk_import *i = user;

	i->child = NULL;
	write_out_stop(TAKE_PTR(i->out));
	if (failure)
		fail_of(i, failure);
	else
		begin_resize(i);
}

/* The source as QEMU is to open it: this format, this part of this file, and nothing below it. */
static const char *source_of(struct disk_import *i)
{
	struct arena *a = &i->arena;
	struct json *doc = json_new_object(a), *part = json_new_object(a), *file;

	file = json_object_at(a, part, "file");
	json_set_str(a, file, "driver", "file");
	json_set_str(a, file, "filename", i->path);
	json_set_str(a, part, "driver", "raw");
	if (i->probe.member) {
		json_set_int(a, part, "offset", i->probe.offset);
		json_set_int(a, part, "size", i->probe.length);
	}
	if (streq(i->probe.format, "raw"))
		return arena_printf(a, "json:%s", json_text(a, part));
	json_set_str(a, doc, "driver", i->probe.format);
	if (streq(i->probe.format, "qcow2") || streq(i->probe.format, "vmdk"))
		json_set(a, doc, "backing", json_new_null(a));
	json_set(a, doc, "file", i->probe.member ? part : file);
	return arena_printf(a, "json:%s", json_text(a, doc));
}

static void begin_convert(struct disk_import *i)
{
	const char *plain[] = {"qemu-img", "convert", "-p", "-W", "-t", "writeback", "-T",
		"writeback", "-O", "qcow2", source_of(i), NULL, NULL};
	const char *full[] = {"qemu-img", "convert", "-p", "-W", "-S", "0", "-t", "writeback", "-T",
		"writeback", "-O", "qcow2", "-o", "preallocation=falloc", source_of(i), NULL, NULL};
	struct err err = ERR_INIT;
	int64_t most = i->source_bytes + i->source_bytes / 512 + OVERHEAD_BYTES;

	i->state = CONVERTING;
	if (make_target(i, &err) < 0) {
		end(i, &err);
		return;
	}
	plain[11] = full[15] = in_directory(i, i->fresh);
	i->child = run(i, i->o.preallocate ? full : plain, NULL, LONG_MS, 0, (uint64_t)most,
		on_convert_output, on_converted);
	i->out = write_out_start(i->o.node, in_directory(i, i->fresh));
}

/* ---- what becomes a layer where it is ---- */

struct wrapping {
	struct disk_import *i;
	char *path;
	enum { WRAP_RAW, WRAP_PLACE, ENLARGE } what;
	struct place *place;
	int64_t disk_bytes; /* 0 = as the file has it */
	struct err err;
};

static void wrap_on_thread(void *user)
{
	struct wrapping *w = user;

	if (w->what == WRAP_PLACE)
		(void)!qcow2_wrap_mapped(
			w->path, w->place->disk_bytes, w->disk_bytes, &w->place->map, &w->err);
	else if (w->what == WRAP_RAW)
		(void)!qcow2_wrap_raw(w->path, w->disk_bytes, &w->err);
	else
		(void)!qcow2_enlarge(w->path, w->disk_bytes, &w->err);
}

static void on_wrapped(void *user, bool cancelled)
{
	struct wrapping *w = user;

	if (!cancelled) {
		w->i->job = NULL;
		if (w->what == ENLARGE && w->err.code == -EOPNOTSUPP)
			begin_resize(w->i);
		else if (w->err.code)
			fail_of(w->i, &w->err);
		else
			begin_publish(w->i);
	}
	free(w->place);
	free(w->path);
	free(w);
}

/* Under another name before it is changed: whoever goes on with a transfer must not find it. */
static int take_file(struct disk_import *i)
{
	struct err err = ERR_INIT;

	disk_dir_new_name(i->fresh, i->layer);
	if (rename(i->path, in_directory(i, i->fresh)) < 0) {
		err_errno(&err, -errno, "rename '%s'", i->path);
		*i->fresh = '\0';
		end(i, &err);
		return -1;
	}
	i->path = NULL;
	i->parts = 0;
	return 0;
}

static void change(struct disk_import *i, int what, struct place *place)
{
	struct wrapping *w = xcalloc(1, sizeof(*w));

	w->i = i;
	w->path = xstrdup(in_directory(i, i->fresh));
	w->what = what;
	w->place = place;
	w->disk_bytes = i->o.size_bytes;
	i->job = file_work_queue(i->o.node->files, w->path, wrap_on_thread, on_wrapped, w);
}

static void begin_wrap(struct disk_import *i, struct place *place)
{
	i->state = WRAPPING;
	if (take_file(i) < 0)
		free(place);
	else
		change(i, place ? WRAP_PLACE : WRAP_RAW, place);
}

/* ---- a layer as it is ---- */

static void on_checked(void *user, const struct child_result *r, const struct err *failure)
{
	struct disk_import *i = user;
	struct err err = ERR_INIT;

	i->child = NULL;
	/* 3: some clusters belong to nobody, which harms nothing. */
	if (failure && r->exit_code != 3) {
		err = *failure;
		err_context(&err, err.code = fault_of(r, failure), "the qcow2 disk is damaged");
		end(i, &err);
		return;
	}
	if (take_file(i) < 0)
		return;
	if (i->o.size_bytes <= i->source_bytes) {
		begin_publish(i);
		return;
	}
	i->state = ENLARGING;
	change(i, ENLARGE, NULL);
}

static void check(struct disk_import *i)
{
	const char *argv[] = {"qemu-img", "check", "-q", "-f", "qcow2", i->path, NULL};

	i->state = CHECKING;
	i->child = run(i, argv, NULL, LONG_MS, 0, 0, NULL, on_checked);
}

/* ---- where the data are ---- */

static void on_mapped(void *user, const struct child_result *r, const struct err *failure)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct disk_import *i = user;
	struct err unused = ERR_INIT;
	struct disk_map map;
	struct stat st;

	i->child = NULL;
	if (!failure && lstat(i->path, &st) == 0 &&
		disk_map_read(
			&a, r->out, r->out_size, i->source_bytes, st.st_size, &map, &unused) == 0)
		begin_wrap(i, keep(&map, i->source_bytes));
	else
		begin_convert(i);
}

static void map(struct disk_import *i)
{
	const char *argv[] = {"qemu-img", "map", "--output=json", source_of(i), NULL};

	i->state = MAPPING;
	i->child = child_run(&(struct child_options){
		.loop = i->o.node->loop,
		.argv = argv,
		.timeout_ms = SHORT_MS,
		.output_max = MAP_MAX_BYTES,
		.memory_bytes_max = MEMORY_MAX_BYTES,
		.cpu_s_max = CPU_MAX_S,
		.unprivileged = true,
		.run_as = i->user,
		.done = on_mapped,
		.user = i,
	});
}

/* ---- asking ---- */

/* A disk of this size is in the file. */
static void use(struct disk_import *i, int64_t bytes)
{
	if (too_large(i, bytes))
		return;
	progress(i, 0);
	if (i->probe.is_layer && i->own && !i->o.preallocate)
		check(i);
	else if (!i->own || i->probe.member || i->o.preallocate || bytes > QCOW2_WRAP_MAX_BYTES ||
		 streq(i->probe.format, "qcow2"))
		begin_convert(i);
	else if (streq(i->probe.format, "raw"))
		begin_wrap(i, NULL);
	else if (i->place && i->place->disk_bytes == bytes)
		begin_wrap(i, TAKE_PTR(i->place));
	else
		map(i);
}

static void on_told(void *user, const struct child_result *r, const struct err *failure)
{
	struct disk_import *i = user;
	struct err err = ERR_INIT;
	struct json *doc;
	int64_t bytes = 0;

	i->child = NULL;
	if (failure) {
		err = *failure;
		err_context(&err, err.code = fault_of(r, failure), "the %s disk can't be read",
			i->probe.format);
	} else if (json_parse(&i->arena, r->out, r->out_size, NULL, &doc, &err) == 0) {
		bytes = json_int_or(json_get(doc, "virtual-size"), 0);
		if (json_get(doc, "backing-filename") || json_get(doc, "full-backing-filename"))
			err_set(&err, -EINVAL, "the disk has a backing file, which is not allowed");
		else if (json_path(doc, "format-specific.data.data-file"))
			err_set(&err, -EINVAL,
				"the disk has an external data file, which is not allowed");
		else if (json_bool_or(json_get(doc, "encrypted"), false))
			err_set(&err, -EINVAL, "the disk is encrypted, which is not supported");
		else if (bytes <= 0 || bytes > DISK_SIZE_MAX_BYTES)
			err_set(&err, -EINVAL, "the disk's size of %lld bytes is not usable",
				(long long)bytes);
	}
	if (err.code) {
		end(i, &err);
		return;
	}
	use(i, bytes);
}

static void ask(struct disk_import *i)
{
	const char *argv[] = {"qemu-img", "info", "--output=json", source_of(i), NULL};

	i->state = ASKING;
	i->child = run(i, argv, NULL, SHORT_MS, CPU_MAX_S, 0, NULL, on_told);
}

/* ---- unpacking ---- */

static void probe(struct disk_import *i);

static void on_unpacked(void *user, const struct child_result *r, const struct err *failure)
{
	struct disk_import *i = user;
	const char *fresh = in_directory(i, i->fresh);
	struct err err = ERR_INIT;

	i->child = NULL;
	write_out_stop(TAKE_PTR(i->out));
	if (failure && r->signal == SIGXFSZ) {
		err_set(&err, -EFBIG,
			"what is packed is larger than the reported available storage %lld. A "
			"larger PVC is required",
			(long long)i->o.size_bytes);
		end(i, &err);
		return;
	}
	if (failure) {
		err = *failure;
		err.code = fault_of(r, failure);
		fail_of(i, &err);
		return;
	}
	if (i->own && i->path)
		(void)unlink(i->path);
	i->path = fresh;
	i->own = true;
	i->parts++;
	*i->fresh = '\0';
	probe(i);
}

static void unpack(struct disk_import *i)
{
	const char *argv[] = {i->probe.unpack, "-dc", "--", i->path, NULL};
	struct err err = ERR_INIT;
	int64_t most = i->o.size_bytes ? i->o.size_bytes + i->o.size_bytes / 512 + OVERHEAD_BYTES
				       : DISK_SIZE_MAX_BYTES;

	i->state = UNPACKING;
	if (i->parts == UNPACKED_MAX_PARTS) {
		err_set(&err, -EINVAL, "the disk is packed more than %d times", UNPACKED_MAX_PARTS);
		end(i, &err);
		return;
	}
	progress(i, 0);
	disk_dir_new_name(i->fresh, i->layer);
	i->child = run(
		i, argv, in_directory(i, i->fresh), LONG_MS, 0, (uint64_t)most, NULL, on_unpacked);
	i->out = write_out_start(i->o.node, in_directory(i, i->fresh));
}

/* ---- probing ---- */

struct probing {
	struct disk_import *i;
	char *path;
	uid_t owner; /* that it gets; 0 = it stays as it is */
	struct arena arena;
	struct disk_probe probe;
	struct place *place;
	struct err err;
};

static ssize_t read_file(void *user, void *to, size_t size, int64_t offset)
{
	size_t have = 0;

	while (have < size) {
		ssize_t n = pread(*(int *)user, (char *)to + have, size - have,
			(off_t)(offset + (int64_t)have));

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

static void probe_on_thread(void *user)
{
	struct probing *p = user;
	struct stat st;
	_cleanup_(close_p) int fd = file_open_regular(AT_FDCWD, p->path, O_RDONLY, &st);
	struct disk_bytes b = {.read = read_file, .user = &fd};

	if (fd == -EINVAL)
		err_set(&p->err, fd, "'%s' is not a regular file", p->path);
	else if (fd < 0)
		err_errno(&p->err, fd, "open '%s'", p->path);
	if (fd < 0 || (p->owner && disk_dir_set_owner(p->path, p->owner, 0600, &p->err) < 0))
		return;
	b.size_bytes = st.st_size;
	if (disk_probe(&p->arena, &b, &p->probe, &p->err) < 0)
		return;
	/* QEMU does not tell where these are. */
	if (streq(p->probe.format, "vhdx") && !p->probe.member) {
		struct disk_map map;
		int64_t bytes;

		if (disk_map_vhdx(&p->arena, &b, &map, &bytes, NULL) == 0)
			p->place = keep(&map, bytes);
	}
}

/* qemu-img has nothing to add: raw is raw, and what is to be a layer as it is will be checked. */
static bool is_known(const struct disk_import *i)
{
	return i->probe.disk_bytes > 0 && i->probe.disk_bytes <= DISK_SIZE_MAX_BYTES &&
	       (streq(i->probe.format, "raw") ||
		       (i->probe.is_layer && i->own && !i->o.preallocate));
}

static void on_probed(void *user, bool cancelled)
{
	struct probing *p = user;
	struct disk_import *i = p->i;

	if (!cancelled) {
		i->job = NULL;
		i->probe = p->probe;
		i->place = TAKE_PTR(p->place);
		if (p->probe.member)
			i->probe.member = arena_strdup(&i->arena, p->probe.member);
		if (p->err.code)
			end(i, &p->err);
		else if (i->probe.unpack)
			unpack(i);
		else if (is_known(i))
			use(i, i->probe.disk_bytes);
		else
			ask(i);
	}
	arena_finish(&p->arena);
	free(p->place);
	free(p->path);
	free(p);
}

static void probe(struct disk_import *i)
{
	struct probing *p = xcalloc(1, sizeof(*p));

	i->state = PROBING;
	p->i = i;
	p->path = xstrdup(i->path);
	p->owner = i->own ? i->user : 0;
	i->job = file_work_queue(i->o.node->files, i->o.directory, probe_on_thread, on_probed, p);
}

/* ---- an empty disk ---- */

static void begin_empty(struct disk_import *i)
{
	const char *size = arena_printf(&i->arena, "%lld", (long long)i->o.size_bytes);
	const char *plain[] = {"qemu-img", "create", "-q", "-f", "qcow2", NULL, size, NULL};
	const char *full[] = {"qemu-img", "create", "-q", "-f", "qcow2", "-o",
		"preallocation=falloc", NULL, size, NULL};
	struct err err = ERR_INIT;

	i->source_bytes = i->o.size_bytes;
	i->state = CONVERTING;
	if (make_target(i, &err) < 0) {
		end(i, &err);
		return;
	}
	plain[5] = full[7] = in_directory(i, i->fresh);
	i->child = run(i, i->o.preallocate ? full : plain, NULL, LONG_MS, 0, 0, NULL, on_converted);
}

struct disk_import *disk_import_start(const struct disk_import_options *o)
{
	struct disk_import *i = xcalloc(1, sizeof(*i));

	i->o = *o;
	i->o.directory = arena_strdup(&i->arena, o->directory);
	i->path = o->path ? arena_strdup(&i->arena, o->path) : NULL;
	i->own = o->take;
	i->user = child_user_new();
	uv_timer_init(o->node->loop, &i->timer);
	i->timer.data = i;
	if (i->path)
		probe(i);
	else
		begin_empty(i);
	return i;
}

/*   READING the layers --> BLANK file there --> CONVERTING --> which FILE is it?
 *                                                   |                  |
 *                                                   | failed           v
 *                                                   v            NOTING it here
 *                                            is there SPACE?           |
 *                                                   |                  v
 *   done, and why <-- DROPPING the file <-----------+<--taken-- PUBLISHING --> done
 */
#include "node/disk/populate/nfs_deliver.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/base/file.h"
#include "lib/base/vec.h"
#include "node/child/child.h"
#include "node/disk/lend.h"
#include "node/volume/file_work.h"
#include "node/volume/volume.h"

#define MARK "delivered"
#define COPY_TIMEOUT_MS (24u * 3600 * 1000)
#define ROOM_MIN_BYTES (INT64_C(16) << 20)

struct nfs_deliver {
	struct nfs_deliver_options o;
	struct arena arena;
	const char *fresh; /* its name there until it is whole */
	const char *path, *format;
	uid_t run_as; /* whom the program runs as that reads it */
	struct file_job *job;
	struct nfs_call *call;
	struct child *child;
	char line[64]; /* what qemu-img says of its progress */
	size_t line_size;
	struct err why;
};

void nfs_deliver_cancel(struct nfs_deliver *d)
{
	if (!d)
		return;
	file_job_cancel(d->job);
	nfs_call_cancel(d->call);
	child_cancel(d->child);
	arena_finish(&d->arena);
	free(d);
}

static void end(struct nfs_deliver *d, const struct err *err)
{
	struct nfs_deliver_options o = d->o;
	struct err copy = err ? *err : ERR_INIT;

	nfs_deliver_cancel(d);
	o.done(o.user, err ? &copy : NULL);
}

static void call(struct nfs_deliver *d, const char *command, const char *first, const char *second,
	nfs_call_done *done)
{
	d->call = nfs_call(d->o.node->loop, d->o.place, command, first, second, done, d);
}

/* ---- it did not work ---- */

static void on_dropped(void *user, const struct json *answer, const struct err *err)
{
	struct nfs_deliver *d = user;

	d->call = NULL;
	end(d, &d->why);
}

/* QEMU's client does not tell a full file system from other errors. */
static void on_space(void *user, const struct json *answer, const struct err *err)
{
	struct nfs_deliver *d = user;

	d->call = NULL;
	if (err)
		d->why = *err;
	else if (json_int_or(json_get(answer, "available"), 0) < ROOM_MIN_BYTES)
		err_set(&d->why, -ENOSPC, "no space left on nfs://%s%s", d->o.place->server,
			d->o.place->path);
	/* The part of a disk must not take the room that the whole one wants. */
	call(d, "remove", d->fresh, NULL, on_dropped);
}

/* ---- the way there ---- */

static void on_published(void *user, const struct json *answer, const struct err *err)
{
	struct nfs_deliver *d = user;

	d->call = NULL;
	if (err && err->code == -EEXIST) {
		err_set(&d->why, -EEXIST, "nfs://%s%s/" DISK_IMAGE_NAME NFS_FOREIGN,
			d->o.place->server, d->o.place->path);
		call(d, "remove", d->fresh, NULL, on_dropped);
		return;
	}
	end(d, err);
}

/* Durable, before the file has the name by which guests find it. */
struct noting {
	struct nfs_deliver *d;
	char *directory, file[24];
	struct err err;
};

static void note(void *user)
{
	struct noting *n = user;
	_cleanup_(close_p) int dir = open(n->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	_cleanup_(close_p) int fd =
		openat(dir, MARK, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	size_t size = strlen(n->file);

	if (fd < 0 || write(fd, n->file, size) != (ssize_t)size || fsync(fd) < 0 || fsync(dir) < 0)
		err_errno(&n->err, errno ? -errno : -EIO, "write '%s/" MARK "'", n->directory);
}

static void on_noted(void *user, bool cancelled)
{
	struct noting *n = user;
	struct nfs_deliver *d = n->d;

	if (!cancelled) {
		d->job = NULL;
		if (n->err.code)
			end(d, &n->err);
		else
			call(d, "publish", d->fresh, DISK_IMAGE_NAME, on_published);
	}
	free(n->directory);
	free(n);
}

static void on_told(void *user, const struct json *answer, const struct err *err)
{
	struct nfs_deliver *d = user;
	struct noting *n;

	d->call = NULL;
	if (err) {
		end(d, err);
		return;
	}
	n = xcalloc(1, sizeof(*n));
	n->d = d;
	n->directory = xstrdup(d->o.directory);
	snprintf(n->file, sizeof(n->file), "%s", json_str_or(json_get(answer, "file"), ""));
	d->job = file_work_queue(d->o.node->files, n->directory, note, on_noted, n);
}

char *nfs_deliver_name(const char *uid)
{
	return xasprintf(DISK_NEW_PREFIX "%s", uid);
}

bool nfs_deliver_made(const char *directory, const char *file)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct str text;

	return *file &&
	       file_load(&a, arena_printf(&a, "%s/" MARK, directory), 64, &text, NULL) == 0 &&
	       streq(text.p, file);
}

static void on_converted(void *user, const struct child_result *r, const struct err *failure)
{
	struct nfs_deliver *d = user;

	d->child = NULL;
	if (!failure) {
		call(d, "size", d->fresh, NULL, on_told);
		return;
	}
	d->why = *failure;
	call(d, "space", NULL, NULL, on_space);
}

static void on_output(void *user, const char *p, size_t size)
{
	struct nfs_deliver *d = user;

	for (size_t n = 0; n < size; n++) {
		double percent;

		if (p[n] != '\r' && p[n] != '\n') {
			if (d->line_size < sizeof(d->line) - 1)
				d->line[d->line_size++] = p[n];
			continue;
		}
		d->line[d->line_size] = '\0';
		d->line_size = 0;
		if (sscanf(d->line, " (%lf/", &percent) == 1 && percent >= 0 && percent <= 100)
			d->o.progress(d->o.user, percent / 100);
	}
}

static void on_blank(void *user, const struct json *answer, const struct err *err)
{
	struct nfs_deliver *d = user;
	const char *argv[] = {"qemu-img", "convert", "-p", "-n", "--target-is-zero", "-W", "-f",
		d->format, "-O", "raw", d->path, nfs_url_as(&d->arena, d->o.place, d->fresh), NULL};

	d->call = NULL;
	if (err) {
		end(d, err);
		return;
	}
	d->child = child_run(&(struct child_options){
		.loop = d->o.node->loop,
		.argv = argv,
		.timeout_ms = COPY_TIMEOUT_MS,
		.unprivileged = true,
		.run_as = d->run_as,
		.output = on_output,
		.done = on_converted,
		.user = d,
	});
}

struct reading {
	struct nfs_deliver *d;
	char *directory;
	uid_t run_as;
	struct arena arena;
	struct disk_chain chain;
	struct err err;
};

static void read_layers(void *user)
{
	struct reading *r = user;
	_cleanup_(free_p) char *mark = xasprintf("%s/" MARK, r->directory);

	/* What it told of is removed there now, and its number may be another file's. */
	if (unlink(mark) < 0 && errno != ENOENT) {
		err_errno(&r->err, -errno, "remove '%s'", mark);
		return;
	}
	/* It goes when it was delivered: nothing is taken back. */
	if (disk_dir_read(&r->arena, r->directory, &r->chain, &r->err) == 0)
		(void)!disk_lend(&r->chain, r->run_as, false, &r->err);
}

static void on_read(void *user, bool cancelled)
{
	struct reading *r = user;
	struct nfs_deliver *d = r->d;

	if (!cancelled) {
		char size[24];

		d->job = NULL;
		if (r->err.code) {
			end(d, &r->err);
		} else {
			d->path = arena_strdup(&d->arena, r->chain.layers[0].path);
			d->format = arena_strdup(&d->arena, r->chain.layers[0].format);
			snprintf(size, sizeof(size), "%lld",
				(long long)MAX(d->o.size_bytes, r->chain.size_bytes));
			call(d, "blank", d->fresh, arena_strdup(&d->arena, size), on_blank);
		}
	}
	arena_finish(&r->arena);
	free(r->directory);
	free(r);
}

struct nfs_deliver *nfs_deliver_start(const struct nfs_deliver_options *o)
{
	struct nfs_deliver *d = xcalloc(1, sizeof(*d));
	struct reading *r = xcalloc(1, sizeof(*r));

	d->o = *o;
	_cleanup_(free_p) char *fresh = nfs_deliver_name(o->uid);
	d->fresh = arena_strdup(&d->arena, fresh);
	r->d = d;
	r->run_as = d->run_as = child_user_new();
	r->directory = xstrdup(o->directory);
	d->job = file_work_queue(o->node->files, r->directory, read_layers, on_read, r);
	return d;
}

/* ---- where it is made ---- */

char *nfs_staging(struct arena *a, const struct node *n, const char *uid)
{
	return arena_printf(a, "%s/local/.nfs/%s", n->data_dir, uid);
}

static void remove_tree(void *user)
{
	(void)!volume_remove_tree(user, NULL);
}

static void on_removed(void *user, bool cancelled)
{
	free(user);
}

void nfs_staging_remove(struct node *n, const char *uid)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	char *path = xstrdup(nfs_staging(&a, n, uid));

	file_work_queue(n->files, path, remove_tree, on_removed, path);
}

void nfs_staging_sweep(struct node *n, bool (*known)(void *user, const char *uid), void *user)
{
	_cleanup_(free_p) char *path = xasprintf("%s/local/.nfs", n->data_dir);
	DIR *d = opendir(path);

	for (struct dirent *e; d && (e = readdir(d));)
		if (e->d_name[0] != '.' && !known(user, e->d_name))
			nfs_staging_remove(n, e->d_name);
	if (d)
		closedir(d);
}

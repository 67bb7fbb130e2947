/*   LENDING --qcow2--> RESIZING --> TAKING BACK --> done
 *      |  raw: it is done on the thread
 *      +------------------------------------------> done
 */
#include "node/disk/disk_grow.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "node/child/child.h"
#include "node/disk/lend.h"
#include "node/volume/file_work.h"

#define TIMEOUT_MS 120000
#define MEMORY_MAX_BYTES (UINT64_C(2) << 30)

/* What threads work on; theirs alone while a job is queued. */
struct lending {
	struct disk_grow *g; /* not looked at by a thread; NULL = cancelled */
	char *directory, *top;
	int64_t size_bytes;
	bool raw, lent;
	uid_t owner, user; /* before; whom qemu-img runs as */
	gid_t group;
	mode_t mode;
	struct err err;
};

struct disk_grow {
	struct disk_grow_options o;
	struct lending *l; /* NULL while a job has it */
	struct file_job *job;
	struct child *child;
};

static void lending_free(struct lending *l)
{
	free(l->directory);
	free(l->top);
	free(l);
}

static void end(struct disk_grow *g, const struct err *err)
{
	struct disk_grow_options o = g->o;

	free(g);
	o.done(o.user, err->code ? err : NULL);
}

/* ---- threads ---- */

static int open_top(const struct lending *l, int flags, struct stat *st, struct err *err)
{
	_cleanup_(free_p) char *path = xasprintf("%s/%s", l->directory, l->top);
	int fd = open(path, flags | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);

	if (fd < 0 || fstat(fd, st) < 0)
		err_errno(err, -errno, "open '%s'", path);
	else if (!S_ISREG(st->st_mode) || st->st_nlink != 1)
		err_set(err, -EINVAL, "'%s' is not a regular file of one name", path);
	else
		return fd;
	if (fd >= 0)
		close(fd);
	return err->code;
}

static void grow_raw(struct lending *l)
{
	struct stat st;
	_cleanup_(close_p) int fd = open_top(l, O_WRONLY, &st, &l->err);

	if (fd >= 0 && st.st_size < l->size_bytes &&
		(ftruncate(fd, (off_t)l->size_bytes) < 0 || fsync(fd) < 0))
		err_errno(&l->err, -errno, "enlarge '%s/%s'", l->directory, l->top);
}

static void lend(void *user)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct lending *l = user;
	struct disk_chain chain;
	struct stat st;
	_cleanup_(close_p) int fd = -1;

	if (disk_dir_read(&a, l->directory, &chain, &l->err) < 0)
		return;
	if (!streq(chain.layers[0].name, l->top) || chain.layers[0].frozen) {
		err_set(&l->err, -EBUSY, "'%s' has another top now", l->directory);
		return;
	}
	l->raw = streq(chain.layers[0].format, "raw");
	if (l->raw) {
		grow_raw(l);
		return;
	}
	fd = open_top(l, O_RDONLY, &st, &l->err);
	if (fd < 0)
		return;
	l->owner = disk_is_lent(&st) ? 0 : st.st_uid;
	l->group = disk_is_lent(&st) ? 0 : st.st_gid;
	l->mode = st.st_mode & 07777;
	l->user = child_user_new();
	l->lent = true;
	if (fchown(fd, l->user, l->user) < 0 || fchmod(fd, 0600) < 0)
		err_errno(&l->err, -errno, "change owner of '%s/%s'", l->directory, l->top);
}

static void take_back(void *user)
{
	struct lending *l = user;
	struct err err = ERR_INIT;
	struct stat st;
	_cleanup_(close_p) int fd = open_top(l, O_RDONLY, &st, &err);

	/* Whoever else has changed its owner knows why. */
	if (fd >= 0 && disk_is_lent(&st) &&
		(fchown(fd, l->owner, l->group) < 0 || fchmod(fd, l->mode) < 0))
		err_errno(&err, -errno, "change owner of '%s/%s'", l->directory, l->top);
	if (err.code && !l->err.code)
		l->err = err;
}

/* ---- the loop ---- */

static struct file_job *queue(
	struct node *n, struct lending *l, file_job_run *run, file_job_done *done)
{
	return file_work_queue(n->files, l->directory, run, done, l);
}

static void on_taken_back(void *user, bool cancelled)
{
	struct lending *l = user;
	struct disk_grow *g = cancelled ? NULL : l->g;
	struct err err;

	if (cancelled) /* it may not have been done */
		take_back(l);
	err = l->err;
	lending_free(l);
	if (g)
		end(g, &err);
}

static void on_resized(void *user, const struct child_result *r, const struct err *failure)
{
	struct disk_grow *g = user;
	struct lending *l = TAKE_PTR(g->l);

	g->child = NULL;
	if (failure)
		l->err = *failure;
	g->job = queue(g->o.node, l, take_back, on_taken_back);
}

static void resize(struct disk_grow *g)
{
	char size[32];
	const char *argv[] = {"qemu-img", "resize", "-q", "-f", "qcow2", g->l->top, size, NULL};

	snprintf(size, sizeof(size), "%lld", (long long)g->l->size_bytes);
	g->child = child_run(&(struct child_options){
		.loop = g->o.node->loop,
		.argv = argv,
		.directory = g->l->directory,
		.timeout_ms = TIMEOUT_MS,
		.memory_bytes_max = MEMORY_MAX_BYTES,
		.unprivileged = true,
		.run_as = g->l->user,
		.done = on_resized,
		.user = g,
	});
}

static void on_lent(void *user, bool cancelled)
{
	struct lending *l = user;
	struct disk_grow *g = cancelled ? NULL : l->g;
	struct err err = l->err;

	if (cancelled && l->lent)
		take_back(l);
	if (!g || l->raw || (err.code && !l->lent)) {
		lending_free(l);
		if (g)
			end(g, &err);
		return;
	}
	if (err.code) {
		g->job = queue(g->o.node, l, take_back, on_taken_back);
		return;
	}
	g->job = NULL;
	g->l = l;
	resize(g);
}

void disk_grow_cancel(struct disk_grow *g)
{
	if (!g)
		return;
	child_cancel(g->child);
	file_job_cancel(g->job);
	/* The program has it open, which is enough for what is left of its life. */
	if (g->l) {
		g->l->g = NULL;
		queue(g->o.node, g->l, take_back, on_taken_back);
	}
	free(g);
}

struct disk_grow *disk_grow_start(const struct disk_grow_options *o)
{
	struct disk_grow *g = xcalloc(1, sizeof(*g));
	struct lending *l = xcalloc(1, sizeof(*l));

	g->o = *o;
	l->g = g;
	l->directory = xstrdup(o->directory);
	l->top = xstrdup(o->top);
	l->size_bytes = o->size_bytes;
	g->job = queue(o->node, l, lend, on_lent);
	return g;
}

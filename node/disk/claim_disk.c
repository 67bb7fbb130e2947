/* claim_disk.c - from a claim to a disk that a guest can have.
 *
 *   WAITING --claim bound--> READING --whole--> (GROWING) --> done
 *      ^                       |  no disk there
 *      +--- to be filled ------+-------> MAKING ----> READING
 */
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/base/log.h"
#include "node/disk/disk_grow.h"
#include "node/disk/disks_internal.h"
#include "node/disk/lend.h"
#include "node/disk/overlay.h"
#include "node/volume/file_work.h"

#define PODS_LOOK_MS 2000

struct claim_disk {
	struct list link;
	struct disks *d;
	struct claim_disk_options o;
	enum { WAITING, READING, MAKING, GROWING, DONE } state;
	struct arena arena; /* of place */
	struct claim_place place;
	struct disk_chain *chain; /* in o.arena */
	struct file_job *job;
	struct disk_grow *grow;
	struct claim_nfs *nfs;
	bool again;	 /* something changed while it was busy */
	bool grown;	 /* tried once */
	struct err said; /* what it waits for */
	uv_timer_t timer;
	const char *reason;
	struct err err;
};

static void look(struct claim_disk *c);
static void begin_read(struct claim_disk *c);

static void freed(uv_handle_t *h)
{
	struct claim_disk *c = h->data;

	arena_finish(&c->arena);
	free(c);
}

void claim_disk_cancel(struct claim_disk *c)
{
	struct disks *d;

	if (!c)
		return;
	d = c->d;
	list_remove(&c->link);
	file_job_cancel(c->job);
	claim_nfs_cancel(c->nfs);
	if (c->grow) {
		disk_grow_cancel(c->grow);
		/* Its layer is still to be taken back. */
		disks_release_after(d, c->place.directory, c->place.directory);
	}
	uv_close((uv_handle_t *)&c->timer, freed);
	/* Somebody may have waited for what it was making. */
	claim_disks_look(d, NULL, NULL);
}

static const struct nfs_place *copy_nfs(struct arena *a, const struct nfs_place *from)
{
	struct nfs_place *p = arena_alloc(a, sizeof(*p));

	*p = *from;
	p->server = arena_strdup(a, from->server);
	p->path = arena_strdup(a, from->path);
	return p;
}

static void on_end(uv_timer_t *t)
{
	struct claim_disk *c = t->data;
	struct claim_disk_options o = c->o;
	struct arena *a = o.arena;
	struct claim_place place = c->place;
	struct disk_chain *chain = c->chain;
	struct err err = c->err;
	const char *reason = c->reason;

	if (c->state != DONE) {
		look(c);
		return;
	}
	if (!err.code) {
		place.volume = arena_strdup(a, place.volume);
		place.directory = place.directory ? arena_strdup(a, place.directory) : NULL;
		place.device = place.device ? arena_strdup(a, place.device) : NULL;
		place.nfs = place.nfs ? copy_nfs(a, place.nfs) : NULL;
		place.populated_by = NULL;
	}
	claim_disk_cancel(c);
	if (err.code)
		o.done(o.user, NULL, NULL, reason, &err);
	else
		o.done(o.user, &place, chain, "", NULL);
}

static void end(struct claim_disk *c, const char *reason, const struct err *err)
{
	c->state = DONE;
	c->reason = reason;
	if (err)
		c->err = *err;
	uv_timer_start(&c->timer, on_end, 0, 0);
}

static void wait_on(struct claim_disk *c, const char *reason, const struct err *err)
{
	c->state = WAITING;
	if (c->again) {
		uv_timer_start(&c->timer, on_end, 0, 0);
		return;
	}
	if (c->o.waits && !streq(err->msg, c->said.msg)) {
		c->said = *err;
		c->o.waits(c->o.user, reason, err);
	}
}

/* ---- growing ---- */

/* Let go within moments as a rule: that is nothing to tell of. */
static void wait_held(struct claim_disk *c)
{
	struct err err = ERR_INIT;

	err_set(&err, -EAGAIN, "the layers of PVC %s/%s are being worked on", c->o.namespace,
		c->o.claim);
	c->said = err;
	wait_on(c, "DiskBusy", &err);
}

static void wait_pod(struct claim_disk *c, const struct err *err)
{
	uv_timer_start(&c->timer, on_end, PODS_LOOK_MS, 0); /* nobody tells of its end */
	wait_on(c, "ClaimInUse", err);
}

static void on_grown(void *user, const struct err *failure)
{
	struct claim_disk *c = user;

	c->grow = NULL;
	/* It may be in use by another guest: then it stays as it is until the next start. */
	if (failure)
		log_warn("a disk could not be grown to the size of its claim", "claim", c->o.claim,
			"problem", failure->msg, NULL);
	c->grown = true;
	begin_read(c);
	disks_release(c->d, c->place.directory);
}

static bool grow(struct claim_disk *c)
{
	int64_t wanted = c->place.capacity_bytes / 512 * 512;
	struct err err = ERR_INIT;

	if (c->grown || c->o.read_only || wanted <= c->chain->size_bytes ||
		wanted > DISK_SIZE_MAX_BYTES)
		return false;
	/* Again: reading it took its time. From here on nobody else comes to it. */
	if (disks_held(c->d, c->place.directory)) {
		wait_held(c);
		return true;
	}
	if (disks_check_pods(c->d->n, c->o.namespace, c->o.claim, &err) < 0) {
		wait_pod(c, &err);
		return true;
	}
	c->state = GROWING;
	disks_hold(c->d, c->place.directory);
	c->grow = disk_grow_start(&(struct disk_grow_options){
		.node = c->d->n,
		.directory = c->place.directory,
		.top = c->chain->layers[0].name,
		.size_bytes = wanted,
		.done = on_grown,
		.user = c,
	});
	return true;
}

/* ---- making an empty one ---- */

struct making {
	struct claim_disk *c;
	char *directory;
	int64_t size_bytes;
	bool raw;
	struct err err;
};

/* Never over a disk that came into being meanwhile. */
static int make_raw(const struct making *m, struct err *err)
{
	char fresh[64], unused[64];

	disk_dir_new_name(fresh, unused);
	_cleanup_(free_p) char *from = xasprintf("%s/%s", m->directory, fresh);
	_cleanup_(free_p) char *to = xasprintf("%s/" DISK_IMAGE_NAME, m->directory);
	_cleanup_(close_p) int fd =
		open(from, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0 || ftruncate(fd, m->size_bytes) < 0 || fsync(fd) < 0)
		return err_errno(err, -errno, "make '%s'", from);
	if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) < 0) {
		int r = -errno;
		(void)unlink(from);
		return r == -EEXIST ? 0 : err_errno(err, r, "make '%s'", to);
	}
	return 0;
}

static int make_layer(const struct making *m, struct err *err)
{
	_cleanup_(close_p) int fd = open(m->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char fresh[64], layer[64];
	int r;

	if (fd < 0)
		return err_errno(err, -errno, "open '%s'", m->directory);
	disk_dir_new_name(fresh, layer);
	r = overlay_create(fd, fresh, m->size_bytes, NULL, NULL, err);
	if (r == 0 && renameat(fd, fresh, fd, layer) < 0)
		r = err_errno(err, -errno, "make '%s/%s'", m->directory, layer);
	return r < 0 ? r : disk_dir_publish(m->directory, layer, m->size_bytes, err);
}

static void make(void *user)
{
	struct making *m = user;

	if (m->raw)
		(void)!make_raw(m, &m->err);
	else
		(void)!make_layer(m, &m->err);
}

static void on_made(void *user, bool cancelled)
{
	struct making *m = user;
	struct claim_disk *c = m->c;

	if (!cancelled) {
		c->job = NULL;
		if (m->err.code)
			end(c, "DiskNotReady", &m->err);
		else
			begin_read(c);
	}
	free(m->directory);
	free(m);
}

static int64_t size_to_make(const struct claim_disk *c)
{
	return (c->place.capacity_bytes + 511) / 512 * 512;
}

static bool somebody_makes_it(const struct claim_disk *c)
{
	LIST_FOR_EACH(other, &c->d->opened, struct claim_disk, link)
		if (other != c && other->state == MAKING &&
			streq(other->place.directory, c->place.directory))
			return true;
	return false;
}

static void make_disk(struct claim_disk *c)
{
	struct err err = ERR_INIT;
	struct making *m;

	if (somebody_makes_it(c)) {
		c->state = WAITING; /* told when that is over */
		return;
	}
	if (c->place.capacity_bytes <= 0 || c->place.capacity_bytes > DISK_SIZE_MAX_BYTES) {
		err_set(&err, -EINVAL, "PVC %s/%s: its size is not one of a disk", c->o.namespace,
			c->o.claim);
		end(c, "DiskNotReady", &err);
		return;
	}
	c->state = MAKING;
	m = xcalloc(1, sizeof(*m));
	m->c = c;
	m->directory = xstrdup(c->place.directory);
	m->size_bytes = size_to_make(c);
	m->raw = !c->place.own;
	c->job = file_work_queue(c->d->n->files, m->directory, make, on_made, m);
}

/* ---- reading ---- */

struct reading {
	struct claim_disk *c;
	char *directory;
	bool own;
	struct arena arena;
	struct disk_chain chain;
	int result;
	struct err err;
};

static void read_disk(void *user)
{
	struct reading *r = user;

	r->result = disk_dir_read(&r->arena, r->directory, &r->chain, &r->err);
	if (r->result == 0 && r->own)
		disk_take_back(&r->chain);
}

static struct disk_chain *copy_chain(struct arena *a, const struct disk_chain *from)
{
	struct disk_chain *c = arena_alloc(a, sizeof(*c));

	*c = *from;
	for (size_t i = 0; i < c->count; i++) {
		c->layers[i].path = arena_strdup(a, c->layers[i].path);
		c->layers[i].name = arena_strdup(a, c->layers[i].name);
	}
	return c;
}

static void was_read(struct claim_disk *c, struct reading *r)
{
	struct err err = ERR_INIT;

	if (r->result == 0) {
		c->chain = copy_chain(c->o.arena, &r->chain);
		if (!grow(c))
			end(c, "", NULL);
	} else if (r->result != -ENOENT) {
		err = r->err;
		err_context(&err, err.code, "PVC %s/%s", c->o.namespace, c->o.claim);
		end(c, "InvalidDisk", &err);
	} else if (c->place.populated_by) {
		err_set(&err, -EAGAIN, "DataVolume %s/%s is not filled yet", c->o.namespace,
			c->place.populated_by);
		wait_on(c, "DataVolumeNotReady", &err);
	} else if (c->o.read_only) {
		err_set(&err, -ENOENT, "PVC %s/%s has no disk", c->o.namespace, c->o.claim);
		end(c, "DiskNotReady", &err);
	} else {
		make_disk(c);
	}
}

static void on_read(void *user, bool cancelled)
{
	struct reading *r = user;

	if (!cancelled) {
		r->c->job = NULL;
		was_read(r->c, r);
	}
	arena_finish(&r->arena);
	free(r->directory);
	free(r);
}

static void begin_read(struct claim_disk *c)
{
	struct reading *r = xcalloc(1, sizeof(*r));

	c->state = READING;
	c->again = false;
	r->c = c;
	r->directory = xstrdup(c->place.directory);
	r->own = c->place.own;
	c->job = file_work_queue(c->d->n->files, r->directory, read_disk, on_read, r);
}

static void look_at_device(struct claim_disk *c)
{
	struct err err = ERR_INIT;
	struct stat st;

	if (stat(c->place.device, &st) < 0)
		err_errno(&err, -errno, "PVC %s/%s: '%s'", c->o.namespace, c->o.claim,
			c->place.device);
	else if (!S_ISBLK(st.st_mode))
		err_set(&err, -ENOTBLK, "PVC %s/%s: '%s' is not a block device", c->o.namespace,
			c->o.claim, c->place.device);
	end(c, "DiskNotReady", err.code ? &err : NULL);
}

static void on_nfs(void *user, const struct err *failure)
{
	struct claim_disk *c = user;
	struct err err = ERR_INIT;

	c->nfs = NULL;
	if (!failure) {
		end(c, "", NULL);
	} else if (failure->code == -ENODATA && c->place.populated_by) {
		err_set(&err, -EAGAIN, "DataVolume %s/%s is not filled yet", c->o.namespace,
			c->place.populated_by);
		wait_on(c, "DataVolumeNotReady", &err);
	} else {
		err = *failure;
		err_context(&err, err.code, "PVC %s/%s", c->o.namespace, c->o.claim);
		end(c, failure->code == -ENOSYS ? "NotSupported" : "DiskNotReady", &err);
	}
}

static void look_at_nfs(struct claim_disk *c)
{
	c->state = READING;
	c->nfs = claim_nfs_open(&(struct claim_nfs_options){
		.d = c->d,
		.place = c->place.nfs,
		.wanted_bytes = size_to_make(c),
		.make = !c->place.populated_by,
		.read_only = c->o.read_only || c->place.nfs->read_only,
		.done = on_nfs,
		.user = c,
	});
}

static void look(struct claim_disk *c)
{
	struct err err = ERR_INIT;
	const char *reason;
	int r;

	c->again = false;
	arena_finish(&c->arena);
	c->place = (struct claim_place){0};
	r = claim_place_find(c->d, &c->arena, c->o.namespace, c->o.claim, &c->place, &reason, &err);
	if (r == -EAGAIN)
		wait_on(c, reason, &err);
	else if (r < 0)
		end(c, reason, &err);
	else if (c->place.device)
		look_at_device(c);
	else if (c->place.nfs)
		look_at_nfs(c);
	else if (disks_held(c->d, c->place.directory))
		wait_held(c);
	else if (disks_check_pods(c->d->n, c->o.namespace, c->o.claim, &err) < 0)
		wait_pod(c, &err);
	else
		begin_read(c);
}

void claim_disks_look(struct disks *d, const char *ns, const char *claim)
{
	LIST_FOR_EACH(c, &d->opened, struct claim_disk, link) {
		if (ns && (!streq(c->o.namespace, ns) || !streq(c->o.claim, claim)))
			continue;
		c->again = true;
		if (c->state == WAITING)
			uv_timer_start(&c->timer, on_end, 0, 0);
	}
}

struct claim_disk *claim_disk_open(struct disks *d, const struct claim_disk_options *o)
{
	struct claim_disk *c = xcalloc(1, sizeof(*c));

	c->d = d;
	c->o = *o;
	uv_timer_init(d->n->loop, &c->timer);
	c->timer.data = c;
	list_append(&d->opened, &c->link);
	uv_timer_start(&c->timer, on_end, 0, 0); /* looks: callbacks come later only */
	return c;
}

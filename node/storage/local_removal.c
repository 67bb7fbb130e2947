/* local_removal.c - see local_removal.h. */
#include "node/storage/local_removal.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/base/table.h"
#include "lib/base/vec.h"
#include "node/disk/disk_dir.h"
#include "node/disk/disks.h"
#include "node/volume/file_work.h"
#include "node/storage/provisioned.h"
#include "node/volume/volume.h"

#define ASIDE ".removing-"
#define HALF_MADE DISK_NEW_PREFIX "pvc-"
#define ORPHAN_NS (3600 * NS_PER_S)

struct local_removals {
	struct node *n;
	char *directory;
	struct informer *volumes;
	void (*again)(void *user);
	void *user;
	struct list removals;
	struct file_job *scan;
	struct table orphans; /* directory -> struct orphan */
};

/* A volume on its way. */
struct removal {
	struct list link;
	struct local_removals *l;
	char *name, *uid; /* uid NULL = the volume is gone already */
	uint64_t revision;
	struct file_job *job;
	struct client_call *call;
};

struct orphan {
	int64_t since_ns; /* monotonic */
	bool told, seen;
};

static void removal_free(struct removal *r)
{
	list_remove(&r->link);
	file_job_cancel(r->job);
	if (r->call)
		client_cancel(r->l->n->client, r->call);
	free(r->name);
	free(r->uid);
	free(r);
}

static bool is_under_way(const struct local_removals *l, const char *name)
{
	LIST_FOR_EACH(r, &l->removals, struct removal, link) {
		if (streq(r->name, name))
			return true;
	}
	return false;
}

/* ---- file work ---- */

struct move {
	struct removal *r;
	char *from, *to; /* to NULL = remove */
	struct err err;
	void (*done)(struct removal *r, const struct err *err);
};

static void move_on_thread(void *user)
{
	struct move *m = user;

	if (!m->to)
		(void)!volume_remove_tree(m->from, &m->err);
	else if (renameat2(AT_FDCWD, m->from, AT_FDCWD, m->to, RENAME_NOREPLACE) < 0 &&
		 errno != ENOENT)
		err_errno(&m->err, -errno, "rename '%s' to '%s'", m->from, m->to);
}

static void on_moved(void *user, bool cancelled)
{
	struct move *m = user;

	if (!cancelled) {
		m->r->job = NULL;
		m->done(m->r, m->err.code ? &m->err : NULL);
	}
	free(m->from);
	free(m->to);
	free(m);
}

/* from, to: with ASIDE or without; to NULL = remove. */
static void move(struct removal *r, const char *from, const char *to,
	void (*done)(struct removal *r, const struct err *err))
{
	struct move *m = xcalloc(1, sizeof(*m));

	m->r = r;
	m->from = xasprintf("%s/%s%s", r->l->directory, from, r->name);
	m->to = to ? xasprintf("%s/%s%s", r->l->directory, to, r->name) : NULL;
	m->done = done;
	r->job = file_work_queue(r->l->n->files, r->name, move_on_thread, on_moved, m);
}

/* ---- steps ---- */

static void on_over(struct removal *r, const struct err *err)
{
	struct local_removals *l = r->l;

	if (err)
		log_warn("directory of a volume; trying again", "volume", r->name, "problem",
			err->msg, NULL);
	removal_free(r);
	if (err)
		l->again(l->user);
}

static void on_put_back(struct removal *r, const struct err *err)
{
	struct local_removals *l = r->l;

	on_over(r, err);
	/* As it is now, it may have to go all the same. */
	l->again(l->user);
}

static void put_back(struct removal *r)
{
	log_info("volume changed while it was to be removed: its directory stays", "volume",
		r->name, NULL);
	move(r, ASIDE, "", on_put_back);
}

static void on_deleted(void *user, const struct client_result *result)
{
	struct removal *r = user;
	struct err err = ERR_INIT;

	r->call = NULL;
	if (client_ok(result) || result->code == 404) {
		move(r, ASIDE, NULL, on_over);
	} else if (result->code == 409) {
		put_back(r);
	} else {
		/* Perhaps it is deleted, perhaps not: the scan sees. */
		err_set(&err, -EIO, "%s", result->message);
		on_over(r, &err);
	}
}

static void delete_volume(struct removal *r)
{
	r->call = provisioned_delete(r->l->n->client, informer_kind(r->l->volumes), r->name, r->uid,
		r->revision, on_deleted, r);
}

static void on_aside(struct removal *r, const struct err *err)
{
	struct object *volume = informer_get(r->l->volumes, "", r->name);

	if (err) {
		if (volume)
			client_event_as(r->l->n->client, "hanok-local-provisioner", volume, NULL,
				"Warning", "VolumeFailedDelete", "%s", err->msg);
		on_over(r, err);
		return;
	}
	delete_volume(r);
}

static struct removal *removal_new(struct local_removals *l, const char *name)
{
	struct removal *r = xcalloc(1, sizeof(*r));

	r->l = l;
	r->name = xstrdup(name);
	list_append(&l->removals, &r->link);
	return r;
}

void local_removals_begin(struct local_removals *l, const struct object *volume)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const char *path = arena_printf(&a, "%s/%s", l->directory, volume->name);
	const char *ns =
		json_str_or(json_path(object_doc(volume, &a), "spec.claimRef.namespace"), "");

	if (is_under_way(l, volume->name))
		return;
	/* Its claim has gone, but a guest that was asked to let the disk go may not have. */
	if (l->n->disks && disks_directory_in_use(l->n->disks, ns, path)) {
		l->again(l->user);
		return;
	}
	struct removal *r = removal_new(l, volume->name);
	r->uid = xstrdup(volume->uid);
	r->revision = volume->revision;
	move(r, "", ASIDE, on_aside);
}

/* ---- what never was a volume's ---- */

static void drop_on_thread(void *user)
{
	struct err err = ERR_INIT;

	if (volume_remove_tree(user, &err) < 0)
		log_warn("directory without a volume", "problem", err.msg, NULL);
}

static void on_dropped(void *user, bool cancelled)
{
	free(user);
}

static void drop(struct local_removals *l, const char *path, const char *key)
{
	file_work_queue(l->n->files, key, drop_on_thread, on_dropped, xstrdup(path));
}

void local_removals_drop(struct local_removals *l, const char *name)
{
	_cleanup_(free_p) char *path = xasprintf("%s/%s", l->directory, name);

	drop(l, path, path);
}

static bool claim_is_there(const struct local_removals *l, const char *uid)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object **list;
	size_t count = informer_list(l->n->claims, NULL, &a, &list);

	for (size_t i = 0; i < count; i++)
		if (streq(list[i]->uid, uid))
			return true;
	return false;
}

/* A copy (node/disk/fill.h) that an agent began which was killed, and whose claim has gone
 * meanwhile: of one that is there it is begun anew. */
static void drop_half_made(struct local_removals *l, const char *name)
{
	_cleanup_(free_p) char *path = xasprintf("%s/" HALF_MADE "%s", l->directory, name);
	_cleanup_(free_p) char *key = xasprintf("%s/pvc-%s", l->directory, name);

	if (!claim_is_there(l, name))
		drop(l, path, key);
}

/* ---- scan ---- */

struct scan {
	struct local_removals *l;
	char *directory;
	VEC(char *) names;
};

static void scan_on_thread(void *user)
{
	struct scan *s = user;
	DIR *d = opendir(s->directory);

	for (struct dirent *e; d && (e = readdir(d));) {
		if (str_has_prefix(e->d_name, ASIDE) || str_has_prefix(e->d_name, "pvc-") ||
			str_has_prefix(e->d_name, HALF_MADE))
			VEC_PUSH(&s->names, xstrdup(e->d_name));
	}
	if (d)
		closedir(d);
}

/* Whether the volume is to go is decided by who begins: here only what nobody wants is ended, and
 * what somebody wants again is put back. */
static void take_up(struct local_removals *l, const char *name)
{
	struct object *volume = informer_get(l->volumes, "", name);

	if (is_under_way(l, name))
		return;
	if (!volume) {
		move(removal_new(l, name), ASIDE, NULL, on_over);
		return;
	}
	/* The server is deleting it: it can't be wanted again. */
	if (!volume->deleting)
		put_back(removal_new(l, name));
}

static void note_orphan(struct local_removals *l, const char *name)
{
	struct node *n = l->n;
	int64_t now_ns = n->clock->mono_ns(n->clock);
	struct orphan *o = table_get(&l->orphans, name);

	if (informer_get(l->volumes, "", name))
		return;
	if (!o) {
		o = xcalloc(1, sizeof(*o));
		o->since_ns = now_ns;
		table_set(&l->orphans, name, o);
	}
	o->seen = true;
	if (o->told || now_ns - o->since_ns < ORPHAN_NS)
		return;
	o->told = true;
	log_warn("directory without a PersistentVolume; it is kept, remove it by hand", "directory",
		l->directory, "name", name, NULL);
	if (n->object)
		client_event_as(n->client, "hanok-local-provisioner", n->object, NULL, "Warning",
			"OrphanedVolumeDirectory",
			"%s/%s has no PersistentVolume: it is kept, remove it by hand",
			l->directory, name);
}

static void on_scanned(void *user, bool cancelled)
{
	struct scan *s = user;
	struct local_removals *l = s->l;

	if (!cancelled) {
		l->scan = NULL;
		for (struct table_iter it = table_iterate(&l->orphans); table_next(&it);)
			((struct orphan *)it.value)->seen = false;
		for (size_t i = 0; i < s->names.count; i++) {
			if (str_has_prefix(s->names.items[i], ASIDE))
				take_up(l, s->names.items[i] + strlen(ASIDE));
			else if (str_has_prefix(s->names.items[i], HALF_MADE))
				drop_half_made(l, s->names.items[i] + strlen(HALF_MADE));
			else
				note_orphan(l, s->names.items[i]);
		}
		for (struct table_iter it = table_iterate(&l->orphans); table_next(&it);) {
			struct orphan *o = it.value;
			if (o->seen)
				continue;
			table_remove(&l->orphans, it.key);
			free(o);
		}
	}
	for (size_t i = 0; i < s->names.count; i++)
		free(s->names.items[i]);
	VEC_FINISH(&s->names);
	free(s->directory);
	free(s);
}

void local_removals_scan(struct local_removals *l)
{
	if (l->scan)
		return;
	struct scan *s = xcalloc(1, sizeof(*s));
	s->l = l;
	s->directory = xstrdup(l->directory);
	l->scan = file_work_queue(l->n->files, l->directory, scan_on_thread, on_scanned, s);
}

/* ---- life ---- */

struct local_removals *local_removals_create(struct node *n, const char *directory,
	struct informer *volumes, void (*again)(void *user), void *user)
{
	struct local_removals *l = xcalloc(1, sizeof(*l));

	l->n = n;
	l->directory = xstrdup(directory);
	l->volumes = volumes;
	l->again = again;
	l->user = user;
	list_init(&l->removals);
	return l;
}

void local_removals_destroy(struct local_removals *l)
{
	if (!l)
		return;
	file_job_cancel(l->scan);
	LIST_FOR_EACH(r, &l->removals, struct removal, link)
		removal_free(r);
	for (struct table_iter it = table_iterate(&l->orphans); table_next(&it);)
		free(it.value);
	table_finish(&l->orphans);
	free(l->directory);
	free(l);
}

/*   (ASKING the server) --whole--> OVER (Succeeded)
 *      |  no disk, or the claim is of this node
 *   READING --whole--> (DELIVERING to the server) --> OVER (Succeeded)
 *      |  no disk
 *      v
 *   FETCHING --a file--> IMPORTING --whole--> (DELIVERING) --> OVER
 *      ^ |                   |
 *      | +--- failed --------+--> can't be --> OVER (Failed)
 *      |        v
 *      +----- WAITING
 */
#include "node/disk/populate/populate.h"

#include <stdio.h>
#include <sys/statvfs.h>

#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/base/table.h"
#include "lib/client/wakeup.h"
#include "node/disk/disk_import.h"
#include "node/disk/populate/nfs_deliver.h"
#include "node/disk/populate/populate_room.h"
#include "node/disk/populate/populate_status.h"
#include "node/disk/populate/sources.h"
#include "node/volume/file_work.h"
#include "node/volume/volume.h"

#define COMPONENT "datavolume-import-controller"
#define TELL_EVERY_MS 1000
#define RETRY_MIN_MS 2000
#define RETRY_MAX_MS 300000
#define RETRY_UPLOAD_MS 100 /* when it is tried again is up to who uploads */
#define FILE_SPARE_BYTES (INT64_C(64) << 20)
#define ROOM_LOOK_MS 1000
#define POPULATED_ON "hanok.io/populated-on"
#define ASK_AGAIN_MS 1000
#define FETCHED_PART 0.85  /* of the whole work; turning it into a layer is the rest */
#define DELIVERY_PART 0.95 /* from here on, for a disk that goes to a server */

struct populator {
	struct node *n;
	struct container_disks *images;
	struct informer *data_volumes;
	struct disks *disks;
	struct table works; /* uid -> struct work */
	struct table asked; /* uid -> struct asking */
	struct list drops;  /* struct drop */
	struct wakeup *ask_again;
	bool ending, swept;
};

/* Half a disk on a server, of a DataVolume that is gone. */
struct drop {
	struct list link;
	struct nfs_call *call;
};

/* Of the server whether this node is the one that fills the claim. */
struct asking {
	struct populator *p;
	char *uid;
	struct client_call *call;
};

struct work {
	struct populate_job job; /* first: sources have this */
	struct populator *p;
	struct object *dv;  /* newest known */
	struct arena arena; /* of directory and names */
	enum { ASKING, READING, FETCHING, IMPORTING, DELIVERING, WAITING, OVER } phase;
	struct populate_state state;
	struct disk_import *import;
	const struct nfs_place *nfs; /* job.directory is only where it is made; NULL = it stays */
	struct nfs_call *ask;
	struct nfs_deliver *deliver;
	bool own; /* the directory is of this node's provisioner */
	bool delivered;
	bool wrote; /* there may be a part of it on the server */
	struct file_job *read;
	struct client_call *call;
	struct wakeup *retry, *tell, *room;
	bool started;  /* the source has something to stop */
	bool accepted; /* of this attempt; told to the source */
	bool tell_now; /* not only progress has changed */
	bool said_scheduled, said_running;
	int64_t told_ns, begun_ns;
	int64_t done_bytes, total_bytes; /* of the source; 0 = not known */
	int64_t begun_bytes;		 /* what an earlier attempt had, -1 = not known */
	double rate;			 /* bytes a second of this attempt */
};

static int64_t now_of(const struct work *w)
{
	return w->p->n->clock->mono_ns(w->p->n->clock);
}

static struct work *work_of(struct populate_job *j)
{
	return (struct work *)j;
}

static _printf_(4, 5) void say(
	struct work *w, const char *type, const char *suffix, const char *fmt, ...)
{
	char text[1024], reason[64];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	snprintf(reason, sizeof(reason), "%s%s", w->job.source ? w->job.source->word : "", suffix);
	log_info("data volume", "namespace", w->job.namespace, "name", w->job.name, "event", reason,
		"message", text, NULL);
	client_event_as(w->p->n->client, COMPONENT, w->dv, NULL, type, reason, "%s", text);
}

static void stop_work(struct work *w)
{
	file_job_cancel(TAKE_PTR(w->read));
	disk_import_cancel(TAKE_PTR(w->import));
	nfs_call_cancel(TAKE_PTR(w->ask));
	nfs_deliver_cancel(TAKE_PTR(w->deliver));
	if (w->started && w->job.source && w->job.source->stop)
		w->job.source->stop(&w->job);
	w->started = false;
	w->job.user = NULL;
	wakeup_cancel(w->retry);
	wakeup_cancel(w->room);
}

static void work_free(struct work *w)
{
	stop_work(w);
	if (w->call)
		client_cancel(w->p->n->client, w->call);
	wakeup_destroy(w->retry);
	wakeup_destroy(w->tell);
	wakeup_destroy(w->room);
	arena_finish(&w->job.arena);
	arena_finish(&w->arena);
	object_unref(w->dv);
	free(w);
}

static void drop_free(struct drop *d)
{
	list_remove(&d->link);
	nfs_call_cancel(d->call);
	free(d);
}

static void on_dropped(void *user, const struct json *answer, const struct err *err)
{
	struct drop *d = user;

	d->call = NULL;
	if (err && err->code != -ENOENT)
		log_info("half a disk may be left on a server", "problem", err->msg, NULL);
	drop_free(d);
}

static void drop_fresh(struct work *w)
{
	_cleanup_(free_p) char *name = nfs_deliver_name(w->job.uid);
	struct drop *d = xcalloc(1, sizeof(*d));

	/* Nobody writes it from here on. */
	nfs_deliver_cancel(TAKE_PTR(w->deliver));
	list_append(&w->p->drops, &d->link);
	d->call = nfs_call(w->p->n->loop, w->nfs, "remove", name, NULL, on_dropped, d);
}

static void forget(struct work *w)
{
	if (w->nfs)
		nfs_staging_remove(w->p->n, w->job.uid);
	table_remove(&w->p->works, w->job.uid);
	work_free(w);
}

/* Its DataVolume is gone; not when another node has it now, which uses the same name there. */
static void forget_gone(struct work *w)
{
	if (w->nfs && w->wrote)
		drop_fresh(w);
	forget(w);
}

/* ---- status ---- */

static void tell(struct work *w);

static void on_told(void *user, const struct client_result *r)
{
	struct work *w = user;
	struct object *fresh;

	w->call = NULL;
	if (client_ok(r) && object_from_bytes(informer_kind(w->p->data_volumes), r->body,
				    r->body_size, &fresh, NULL) == 0) {
		if (fresh->revision > w->dv->revision) {
			object_unref(w->dv);
			w->dv = fresh;
		} else {
			object_unref(fresh);
		}
	} else if (r->code == 404) {
		forget_gone(w);
		return;
	} else {
		log_debug("status of a data volume was refused", "name", w->job.name, "error",
			r->message, NULL);
		w->told_ns = now_of(w); /* again in a while, or when the newer object is here */
		w->tell_now = false;
	}
	tell(w);
}

static void tell(struct work *w)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct clock *clock = w->p->n->clock;
	struct json *patch;

	if (w->call)
		return;
	if (!w->tell_now && now_of(w) - w->told_ns < TELL_EVERY_MS * NS_PER_MS) {
		if (!wakeup_armed(w->tell))
			wakeup_in(w->tell, TELL_EVERY_MS);
		return;
	}
	patch = populate_status_patch(&a, object_doc(w->dv, &a), &w->state, clock->wall_ns(clock));
	w->tell_now = false;
	w->told_ns = now_of(w);
	if (patch) {
		w->call = client_patch(w->p->n->client, informer_kind(w->p->data_volumes),
			w->job.namespace, w->job.name, "status", "application/merge-patch+json",
			patch, on_told, w);
	} else if (w->phase == OVER) {
		forget(w);
	}
}

static void on_tell(void *user)
{
	tell(user);
}

static _printf_(4, 5) void set_running(
	struct work *w, bool running, const char *reason, const char *fmt, ...)
{
	va_list ap;

	w->state.running = running;
	w->state.reason = reason;
	va_start(ap, fmt);
	vsnprintf(w->state.message, sizeof(w->state.message), fmt, ap);
	va_end(ap);
}

static void set_phase(struct work *w, const char *phase)
{
	if (!streq(w->state.phase, phase))
		w->tell_now = true;
	w->state.phase = phase;
}

static void human_bytes(double bytes, char ret[24])
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
	size_t u = 0;

	for (; bytes >= 1024 && u + 1 < ARRAY_LEN(units); u++)
		bytes /= 1024;
	snprintf(ret, 24, "%.1f %s", bytes, units[u]);
}

/* ---- ends ---- */

static void on_retry(void *user);
static void on_room(void *user);

/* What has come of a file that is no good, and what a source has noted beside it. */
struct sweeping {
	char *directory, prefix[64];
};

static void sweep(void *user)
{
	struct sweeping *s = user;

	disk_dir_sweep_of(s->directory, s->prefix);
}

static void on_swept(void *user, bool cancelled)
{
	struct sweeping *s = user;

	free(s->directory);
	free(s);
}

static void begin_sweep(struct work *w)
{
	struct sweeping *s = xcalloc(1, sizeof(*s));

	s->directory = xstrdup(w->job.directory);
	snprintf(s->prefix, sizeof(s->prefix), DISK_NEW_PREFIX "%s", w->job.uid);
	file_work_queue(w->p->n->files, s->directory, sweep, on_swept, s);
}

static void over(struct work *w, const char *phase)
{
	stop_work(w);
	/* That of one that goes to a server tells what it has made there, until the status does. */
	if (!w->nfs && w->job.directory)
		begin_sweep(w);
	w->phase = OVER;
	set_phase(w, phase);
	w->tell_now = true;
	tell(w);
}

static void begin(struct work *w);

static void on_delivering(void *user, double part)
{
	struct work *w = user;

	w->state.part = DELIVERY_PART + (1 - DELIVERY_PART) * part;
	set_running(w, true, "Pod is running", "The disk is being written to nfs://%s%s",
		w->nfs->server, w->nfs->path);
	tell(w);
}

static void on_delivered(void *user, const struct err *err)
{
	struct work *w = user;

	w->deliver = NULL;
	w->delivered = !err;
	w->wrote = w->wrote && err;
	if (err && err->code == -EEXIST)
		populate_fail(&w->job, err);
	else if (err)
		populate_retry(&w->job, err);
	else
		populate_done(&w->job);
}

static void deliver(struct work *w)
{
	w->phase = DELIVERING;
	w->wrote = true;
	w->deliver = nfs_deliver_start(&(struct nfs_deliver_options){
		.node = w->p->n,
		.place = w->nfs,
		.directory = w->job.directory,
		.uid = w->job.uid,
		.size_bytes = w->job.size_bytes,
		.progress = on_delivering,
		.done = on_delivered,
		.user = w,
	});
}

void populate_done(struct populate_job *j)
{
	struct work *w = work_of(j);
	const char *word = j->source->word;
	char rate[24];

	if (w->nfs && !w->delivered) {
		deliver(w);
		return;
	}
	human_bytes(w->rate, rate);
	set_running(w, false, "Completed", "%s Complete", word);
	/* CDI's words, which people look for. */
	if (streq(word, "Upload"))
		say(w, "Normal", "Succeeded", "Successfully uploaded into %s", j->name);
	else if (streq(word, "Clone"))
		say(w, "Normal", "Succeeded", "Successfully cloned into %s", j->name);
	else
		say(w, "Normal", "Succeeded", "Successfully imported into PVC %s", j->name);
	if (w->done_bytes > 0)
		say(w, "Normal", "Rate", "%lld bytes came at %s/s", (long long)w->done_bytes, rate);
	disks_changed(w->p->disks, j->namespace, j->name);
	if (w->started && j->source->over)
		j->source->over(j, NULL);
	over(w, "Succeeded");
}

void populate_fail(struct populate_job *j, const struct err *err)
{
	struct work *w = work_of(j);

	set_running(w, false, "Error", "%s", err->msg);
	say(w, "Warning", "Failed", "Failed to %s into PVC %s: %s",
		streq(j->source->word, "Import") ? "import" : j->source->word, j->name, err->msg);
	if (w->started && j->source->over)
		j->source->over(j, err);
	over(w, "Failed");
}

static void try_later(struct work *w, const struct err *err, int64_t pause_ms)
{
	struct populate_job *j = &w->job;

	if (w->started && j->source->over)
		j->source->over(j, err);
	stop_work(w);
	w->phase = WAITING;
	w->state.restarts++;
	set_running(w, false, "Error", "%s", err->msg);
	say(w, "Warning", "Error", "%s", err->msg);
	w->tell_now = true;
	wakeup_in(w->retry, MIN(pause_ms, (int64_t)RETRY_MAX_MS));
	tell(w);
}

void populate_retry(struct populate_job *j, const struct err *err)
{
	struct work *w = work_of(j);

	try_later(w, err,
		j->source == &source_upload ? RETRY_UPLOAD_MS
					    : RETRY_MIN_MS << MIN(w->state.restarts, 10u));
}

/* ---- the way there ---- */

int64_t populate_file_max(const struct populate_job *j)
{
	return MIN(j->size_bytes, DISK_SIZE_MAX_BYTES) * 2 + FILE_SPARE_BYTES;
}

void populate_progress(struct populate_job *j, int64_t done_bytes, int64_t total_bytes)
{
	struct work *w = work_of(j);
	char done[24], rate[24];
	double s;

	if (w->begun_bytes < 0)
		w->begun_bytes = done_bytes;
	w->done_bytes = done_bytes;
	w->total_bytes = total_bytes;
	s = (double)(now_of(w) - w->begun_ns) / 1e9;
	if (s > 0)
		w->rate = (double)(done_bytes - w->begun_bytes) / s;
	w->state.part = total_bytes > 0 ? FETCHED_PART * (double)MIN(done_bytes, total_bytes) /
						  (double)total_bytes
					: -1;
	human_bytes((double)done_bytes, done);
	human_bytes(w->rate, rate);
	set_running(w, true, "Pod is running", "%s have come, at %s/s", done, rate);
	tell(w);
}

static void on_import_progress(void *user, double part)
{
	struct work *w = user;

	if (!w->accepted && w->job.source->accepted)
		w->job.source->accepted(&w->job);
	w->accepted = true;
	w->state.part = FETCHED_PART + ((w->nfs ? DELIVERY_PART : 1) - FETCHED_PART) * part;
	set_running(w, true, "Pod is running", "The disk is being written");
	tell(w);
}

static void on_imported(void *user, const struct err *err)
{
	struct work *w = user;

	w->import = NULL;
	if (!err)
		populate_done(&w->job);
	/* Who has uploaded the wrong file may upload another one. */
	else if (w->job.source != &source_upload &&
		 (err->code == -EINVAL || err->code == -EFBIG || err->code == -E2BIG))
		populate_fail(&w->job, err);
	else
		populate_retry(&w->job, err);
}

static void import(struct populate_job *j, const char *path, bool take)
{
	struct work *w = work_of(j);

	w->phase = IMPORTING;
	w->import = disk_import_start(&(struct disk_import_options){
		.node = j->node,
		.directory = j->directory,
		.path = path,
		.take = take,
		.size_bytes = j->size_bytes,
		.preallocate = j->preallocate,
		.progress = path ? on_import_progress : NULL,
		.done = on_imported,
		.user = w,
	});
}

void populate_file(struct populate_job *j, const char *path, bool take)
{
	import(j, path, take);
}

void populate_empty(struct populate_job *j)
{
	import(j, NULL, false);
}

void populate_phase(struct populate_job *j, const char *phase)
{
	struct work *w = work_of(j);

	set_phase(w, phase);
	set_running(w, true, "Pod is running", "%s", "");
	tell(w);
}

/* What an agent before this one has said already. */
static bool had_phase(const struct work *w, const char *phase)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;

	return streq(json_path_str(object_doc(w->dv, &a), "status.phase"), phase);
}

static void fetch(struct work *w)
{
	struct populate_job *j = &w->job;

	w->phase = FETCHING;
	w->started = true;
	w->accepted = false;
	w->begun_ns = now_of(w);
	w->done_bytes = w->total_bytes = 0;
	w->begun_bytes = -1;
	w->rate = 0;
	if (!w->said_running && !had_phase(w, j->source->running))
		say(w, "Normal",
			str_has_suffix(j->source->running, "Ready") ? "Ready" : "InProgress",
			"%s into %s in progress", j->source->word, j->name);
	w->said_running = true;
	set_phase(w, j->source->running);
	set_running(w, true, "Pod is running", "%s", "");
	tell(w);
	if (w->nfs)
		wakeup_in(w->room, ROOM_LOOK_MS);
	j->source->start(j);
}

struct reading {
	struct work *w;
	char *directory, keep[64];
	bool make; /* the directory */
	bool own;  /* what is in it is this node's, not somebody's who keeps it */
	struct arena arena;
	struct disk_chain chain;
	int result;
	struct err err;
};

static void read_disk(void *user)
{
	struct reading *r = user;

	if (r->make && (r->result = volume_make_dirs(r->directory, 0711, &r->err)) < 0)
		return;
	r->result = disk_dir_read(&r->arena, r->directory, &r->chain, &r->err);
	if (r->result != -ENOENT)
		return;
	disk_dir_sweep_but(r->directory, r->keep);
	if (r->own)
		disk_dir_sweep_layers(r->directory);
}

static void on_read(void *user, bool cancelled)
{
	struct reading *r = user;
	struct work *w = r->w;

	if (!cancelled) {
		w->read = NULL;
		if (r->result == 0)
			populate_done(&w->job);
		else if (r->result == -ENOENT)
			fetch(w);
		else if (r->result == -EINVAL || r->result == -ELOOP || r->result == -EBUSY)
			populate_fail(&w->job, &r->err);
		else /* the host's, which may pass: too many open files, a directory to come */
			populate_retry(&w->job, &r->err);
	}
	arena_finish(&r->arena);
	free(r->directory);
	free(r);
}

static void begin_read(struct work *w)
{
	struct reading *r = xcalloc(1, sizeof(*r));

	w->phase = READING;
	r->w = w;
	r->directory = xstrdup(w->job.directory);
	r->make = w->nfs != NULL;
	r->own = w->nfs || w->own;
	snprintf(r->keep, sizeof(r->keep), DISK_NEW_PREFIX "%s", w->job.uid);
	w->read = file_work_queue(w->p->n->files, r->directory, read_disk, on_read, r);
}

/* ---- room ---- */

/* What a disk that goes to a server takes on this node until it is there, nobody was promised: it
 * must not bring the node to where pods are evicted. */
static int check_room(const struct work *w, struct err *err)
{
	const struct node *n = w->p->n;
	int64_t free_bytes, kept, needed = 0;
	struct statvfs fs;

	if (statvfs(n->data_dir, &fs) < 0)
		return 0;
	free_bytes = (int64_t)(fs.f_bavail * fs.f_frsize);
	kept = populate_kept(&n->config->eviction_hard[SIGNAL_NODEFS_AVAILABLE],
		(int64_t)(fs.f_blocks * fs.f_frsize));
	/* Of all that come at the same time, as far as it is known. */
	for (struct table_iter i = table_iterate(&w->p->works); table_next(&i);) {
		const struct work *other = i.value;

		if (other->nfs && other->phase == FETCHING)
			needed += MAX(0, other->total_bytes - other->done_bytes);
	}
	if (populate_has_room(free_bytes, kept, needed))
		return 0;
	return err_set(err, -ENOSPC,
		"the disk is made on this node before it goes to nfs://%s%s, and there is no room "
		"for it: '%s' has %lld MiB left, %lld MiB of them are kept from disks, and %lld "
		"MiB are yet to come: make room, it is tried again",
		w->nfs->server, w->nfs->path, n->data_dir, (long long)(free_bytes >> 20),
		(long long)(kept >> 20), (long long)(needed >> 20));
}

static bool has_room(struct work *w)
{
	struct err err = ERR_INIT;

	if (check_room(w, &err) == 0)
		return true;
	try_later(w, &err, RETRY_MIN_MS << MIN(w->state.restarts, 10u));
	/* Two that wait for each other's room would both wait for ever. */
	nfs_staging_remove(w->p->n, w->job.uid);
	return false;
}

static void on_room(void *user)
{
	struct work *w = user;

	if ((w->phase == FETCHING || w->phase == IMPORTING) && has_room(w))
		wakeup_in(w->room, ROOM_LOOK_MS);
}

static void on_asked(void *user, const struct json *answer, const struct err *err)
{
	struct work *w = user;
	struct err why = ERR_INIT;

	w->ask = NULL;
	if (err) {
		populate_retry(&w->job, err);
	} else if (json_bool_or(json_get(answer, "missing"), true)) {
		if (has_room(w))
			begin_read(w);
	} else if (nfs_deliver_made(w->job.directory, json_str_or(json_get(answer, "file"), ""))) {
		w->delivered = true;
		populate_done(&w->job);
	} else {
		err_set(&why, -EEXIST, "nfs://%s%s/" DISK_IMAGE_NAME NFS_FOREIGN, w->nfs->server,
			w->nfs->path);
		populate_fail(&w->job, &why);
	}
}

static void begin(struct work *w)
{
	if (!w->nfs) {
		begin_read(w);
		return;
	}
	w->phase = ASKING;
	w->ask = nfs_call(w->p->n->loop, w->nfs, "size", DISK_IMAGE_NAME, NULL, on_asked, w);
}

static void on_retry(void *user)
{
	begin(user);
}

/* Its disk is made in a directory of this node's, and then written there. */
static void place_on_server(struct work *w, const struct claim_place *place)
{
	struct nfs_place *nfs = arena_alloc(&w->arena, sizeof(*nfs));

	*nfs = *place->nfs;
	nfs->server = arena_strdup(&w->arena, nfs->server);
	nfs->path = arena_strdup(&w->arena, nfs->path);
	w->nfs = nfs;
	w->job.directory = nfs_staging(&w->arena, w->p->n, w->job.uid);
}

static const struct populate_source *source_of(const struct json *doc, const struct json **ret)
{
	for (size_t i = 0; populate_sources[i]; i++) {
		*ret = json_get(json_path(doc, "spec.source"), populate_sources[i]->field);
		if (*ret)
			return populate_sources[i];
	}
	return NULL;
}

static void refuse(struct work *w, const struct json *doc)
{
	static const struct populate_source none = {.word = "Import"};
	const char *what = "nothing";
	struct err err = ERR_INIT;

	JSON_FOR_EACH_MEMBER(m, json_path(doc, "spec.source"))
		what = m->name;
	w->job.source = &none;
	err_set(&err, -EOPNOTSUPP, "spec.source.%s: this source is not supported", what);
	populate_fail(&w->job, &err);
}

static void start_work(struct populator *p, struct object *dv, const struct claim_place *place)
{
	struct work *w = xcalloc(1, sizeof(*w));
	struct populate_job *j = &w->job;
	const char *content;

	w->p = p;
	w->dv = object_ref(dv);
	w->state.part = -1;
	w->state.reason = "";
	w->retry = wakeup_create(p->n->loop, p->n->clock, on_retry, w);
	w->tell = wakeup_create(p->n->loop, p->n->clock, on_tell, w);
	w->room = wakeup_create(p->n->loop, p->n->clock, on_room, w);
	j->node = p->n;
	j->images = p->images;
	j->doc = object_doc(dv, &w->arena);
	j->namespace = arena_strdup(&w->arena, dv->namespace);
	j->name = arena_strdup(&w->arena, dv->name);
	j->uid = arena_strdup(&w->arena, dv->uid);
	j->directory = place->directory ? arena_strdup(&w->arena, place->directory) : NULL;
	w->own = place->own;
	if (place->nfs)
		place_on_server(w, place);
	j->size_bytes = (place->capacity_bytes + 511) / 512 * 512;
	j->preallocate = json_path_bool(j->doc, "spec.preallocation", false);
	j->source = source_of(j->doc, &j->spec);
	w->state.phase = "ImportScheduled";
	w->state.restarts = (unsigned)json_path_int(j->doc, "status.restartCount", 0);
	table_set(&p->works, j->uid, w);
	content = json_path_str(j->doc, "spec.contentType");
	if (!j->source) {
		refuse(w, j->doc);
		return;
	}
	w->state.phase = j->source->scheduled;
	if (!j->directory || (content && *content && !streq(content, "kubevirt"))) {
		struct err err = ERR_INIT;

		if (!j->directory)
			err_set(&err, -EOPNOTSUPP,
				"volumeMode Block is not supported for DataVolumes: use "
				"Filesystem");
		else
			err_set(&err, -EOPNOTSUPP,
				"spec.contentType: '%s' is not supported, kubevirt is", content);
		/* Who waits for an upload looks for this one. */
		client_event_as(p->n->client, COMPONENT, w->dv, NULL, "Warning", "ErrClaimNotValid",
			"%s", err.msg);
		populate_fail(j, &err);
		return;
	}
	if (!had_phase(w, j->source->scheduled) && !had_phase(w, j->source->running))
		say(w, "Normal", "Scheduled", "%s into %s scheduled", j->source->word, j->name);
	begin(w);
}

static bool is_over(const struct json *doc)
{
	const char *phase = json_path_str(doc, "status.phase");

	return streq(phase, "Succeeded") || streq(phase, "Failed");
}

/* ---- which node ---- */

static void asking_free(struct asking *q)
{
	if (q->call)
		client_cancel(q->p->n->client, q->call);
	free(q->uid);
	free(q);
}

static void on_answered(void *user, const struct client_result *r)
{
	struct asking *q = user;
	struct populator *p = q->p;

	q->call = NULL;
	table_remove(&p->asked, q->uid);
	asking_free(q);
	/* What it says now comes by the watch, or is here already. */
	if (!client_ok(r) && r->code != 404)
		wakeup_in(p->ask_again, ASK_AGAIN_MS);
}

static void ask_for(struct populator *p, const struct object *dv, const struct json *doc)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct json *patch = json_new_object(&a), *meta = json_object_at(&a, patch, "metadata");
	struct asking *q;

	if (table_get(&p->asked, dv->uid))
		return;
	q = xcalloc(1, sizeof(*q));
	q->p = p;
	q->uid = xstrdup(dv->uid);
	table_set(&p->asked, q->uid, q);
	/* Another node may have been faster: then the server refuses. */
	json_set_str(&a, meta, "resourceVersion", json_path_str(doc, "metadata.resourceVersion"));
	json_set_str(&a, json_object_at(&a, meta, "annotations"), POPULATED_ON, p->n->name);
	q->call = client_patch(p->n->client, informer_kind(p->data_volumes), dv->namespace,
		dv->name, NULL, "application/merge-patch+json", patch, on_answered, q);
}

/* NULL = none has said so yet. */
static const char *chosen(struct arena *a, const struct object *dv)
{
	return json_str(
		json_get(json_path(object_doc(dv, a), "metadata.annotations"), POPULATED_ON));
}

/* A directory of a server is there for all nodes, and two must not write to it: the first one that
 * says so in the DataVolume fills it. */
static bool is_chosen(struct populator *p, const struct object *dv)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const char *node = chosen(&a, dv);

	if (!node)
		ask_for(p, dv, object_doc(dv, &a));
	return streq(node, p->n->name);
}

/* Somebody gives it to another node, which uses the same names on the server. */
static bool is_taken_away(const struct work *w, const struct object *dv)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;

	return w->nfs && w->phase != OVER && !streq(chosen(&a, dv), w->p->n->name);
}

static void look(struct populator *p, struct object *dv)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct work *w = table_get(&p->works, dv->uid);
	struct claim_place place;
	const char *reason;

	if (w && dv->deleting) {
		forget_gone(w);
		w = NULL;
	} else if (w && is_taken_away(w, dv)) {
		forget(w);
		w = NULL;
	}
	if (w) {
		if (dv->revision > w->dv->revision) {
			object_unref(w->dv);
			w->dv = object_ref(dv);
			w->tell_now = true;
			tell(w);
		}
		return;
	}
	if (dv->deleting || is_over(object_doc(dv, &a)) ||
		claim_place_find(p->disks, &a, dv->namespace, dv->name, &place, &reason, NULL) <
			0 ||
		!streq(place.populated_by, dv->name) || (place.nfs && !is_chosen(p, dv)))
		return;
	start_work(p, dv, &place);
}

static void on_data_volume(void *user, const struct object *old, const struct object *new)
{
	struct populator *p = user;
	struct work *w = old ? table_get(&p->works, old->uid) : NULL;

	if (w && (!new || !streq(new->uid, old->uid)))
		forget_gone(w);
	if (new)
		look(p, (struct object *)(uintptr_t) new);
}

static void on_claim(void *user, const struct object *old, const struct object *new)
{
	struct populator *p = user;
	struct object *dv = new ? informer_get(p->data_volumes, new->namespace, new->name) : NULL;

	if (dv)
		look(p, dv);
}

static bool is_to_be_filled(const struct populator *p, const struct object *dv)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const char *node = chosen(&a, dv);

	return !is_over(object_doc(dv, &a)) && (!node || streq(node, p->n->name));
}

/* Of one that is over, or another node's, nothing is needed any more. */
static bool is_known(void *user, const char *uid)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct populator *p = user;
	struct object **list;
	size_t count = informer_list(p->data_volumes, NULL, &a, &list);

	for (size_t i = 0; i < count; i++)
		if (streq(list[i]->uid, uid))
			return table_get(&p->works, uid) || is_to_be_filled(p, list[i]);
	return false;
}

static void look_at_all(void *user)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct populator *p = user;
	struct object **list;
	size_t count = informer_list(p->data_volumes, NULL, &a, &list);

	for (size_t i = 0; i < count; i++)
		look(p, list[i]);
	if (informer_synced(p->data_volumes) && !p->swept) {
		p->swept = true;
		nfs_staging_sweep(p->n, is_known, p);
	}
}

static void on_volume(void *user, const struct object *old, const struct object *new)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct populator *p = user;
	const struct json *ref = new ? json_path(object_doc(new, &a), "spec.claimRef") : NULL;
	const char *ns = json_str(json_get(ref, "namespace"));
	const char *name = json_str(json_get(ref, "name"));
	struct object *dv = ns && name ? informer_get(p->data_volumes, ns, name) : NULL;

	if (dv)
		look(p, dv);
}

void populator_upload(
	struct populator *p, struct http_request *req, const char *ns, const char *claim)
{
	struct object *dv = p ? informer_get(p->data_volumes, ns, claim) : NULL;
	struct work *w = dv ? table_get(&p->works, dv->uid) : NULL;

	bool waits = w && w->phase == FETCHING && w->job.source == &source_upload;

	source_upload_serve(waits ? &w->job : NULL, req,
		w && streq(w->state.reason, "Error") ? w->state.message : NULL);
}

struct populator *populator_create(struct node *n, struct container_disks *images)
{
	static const struct informer_handler data_volumes = {
		.changed = on_data_volume, .synced = look_at_all};
	static const struct informer_handler claims = {.changed = on_claim, .synced = look_at_all};
	static const struct informer_handler volumes = {
		.changed = on_volume, .synced = look_at_all};
	struct populator *p = xcalloc(1, sizeof(*p));

	p->n = n;
	p->images = images;
	p->disks = n->disks;
	list_init(&p->drops);
	p->ask_again = wakeup_create(n->loop, n->clock, look_at_all, p);
	p->data_volumes = informer_create(n->client,
		kind_by_name(n->kinds, "cdi.kubevirt.io", "v1beta1", "DataVolume"), NULL, NULL,
		NULL);
	informer_add_handler(p->data_volumes, &data_volumes, p);
	informer_add_handler(n->claims, &claims, p);
	informer_add_handler(n->volumes, &volumes, p);
	informer_start(p->data_volumes);
	return p;
}

void populator_destroy(struct populator *p)
{
	if (!p)
		return;
	for (struct table_iter i = table_iterate(&p->works); table_next(&i);)
		work_free(i.value);
	table_finish(&p->works);
	for (struct table_iter i = table_iterate(&p->asked); table_next(&i);)
		asking_free(i.value);
	table_finish(&p->asked);
	LIST_FOR_EACH(d, &p->drops, struct drop, link)
		drop_free(d);
	wakeup_destroy(p->ask_again);
	informer_destroy(p->data_volumes);
	free(p);
}

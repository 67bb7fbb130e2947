/* take.c - one VirtualMachineSnapshotContent on its way to its disks.
 *
 *   WAITING --nobody runs--> OPENING --disks are there--> STORING ----------------> TELLING
 *      |  ^                                                   ^
 *      |  +---- not as it should be: said, and again          |
 *      |                                                      |
 *      +--a guest runs--> ASKING --> ADDING --> FREEZING --> SWITCHING (thawed after it)
 *            (job over? XML)  (new tops)  (guest agent)   (libvirt, all disks at once)
 *                                  |                          | failed
 *                                  +<--------- SETTLING <-----+
 *
 * When storing fails after the guest was switched, storing alone is tried again.
 *
 * While files are worked on, nobody else opens the disks (disks_hold). disk.json names the new tops
 * before libvirt is asked to switch: a guest that starts later has them on top of what it wrote
 * until then, whether libvirt came to it or not (layers.h). So an agent that is killed anywhere in
 * here leaves whole disks, and the next one takes the content from the beginning. */
#include <stdio.h>
#include <sys/stat.h>

#include "lib/base/log.h"
#include "node/disk/fill.h"
#include "node/vm/snapshot/live_disks.h"
#include "node/vm/snapshot/snapshots_internal.h"
#include "node/volume/volume.h"

#define AGAIN_NS (5 * NS_PER_S)
#define BUSY_NS NS_PER_S
#define FREEZE_TIMEOUT_S 20
#define SWITCH_TIMEOUT_MS 60000u
#define MEMORY_TIMEOUT_MS 1800000u /* all of a guest's memory goes to the disk */
#define MEMORY_ANNOTATION "hanok.io/snapshot-memory"

enum take_state {
	WAITING,
	OPENING,
	ASKING,
	ADDING,
	FREEZING,
	SWITCHING,
	SETTLING,
	STORING,
	TELLING,
};

struct take_volume {
	struct take *t;
	const char *volume, *claim, *claim_uid, *snapshot;
	const char *directory; /* of the claim's disk */
	struct claim_disk *open;
	struct live_disk live;
	char fresh[64]; /* the new top */
	/* Below it: what the guest wrote until it was switched; "" = it was not, or that is stored.
	 * When storing fails (a full disk), it is what is stored later: to switch again would put
	 * one more layer on the guest's disk with each try. */
	char frozen[64];
};

struct take {
	struct vm_snapshots *s;
	struct object *content;
	struct arena arena; /* of texts */
	enum take_state state;
	struct take_volume volumes[SNAPSHOT_VOLUMES_MAX];
	size_t count;
	const char *vm; /* name */
	bool memory, held, frozen;
	bool doomed;	 /* cancelled, ends with its job */
	char worker[37]; /* uid of the VMI that runs; "" = none */
	char *xml;	 /* of its domain */
	size_t opening;	 /* disks that are waited for */
	int64_t not_before_ns;
	char said[256]; /* the last error that was told */
	struct libvirt_call *call;
	struct agent_call *agent;
	struct file_job *job;
	struct client_call *patch;
};

static void again(struct take *t, const struct err *err);

static int64_t now_of(const struct take *t)
{
	return t->s->n->clock->mono_ns(t->s->n->clock);
}

static struct vm_worker *worker_of(const struct take *t)
{
	return *t->worker ? table_get(&t->s->m->workers, t->worker) : NULL;
}

/* ---- disks that nobody else opens ---- */

static void hold(struct take *t)
{
	for (size_t i = 0; i < t->count; i++)
		disks_hold(t->s->n->disks, t->volumes[i].directory);
	t->held = true;
}

static void release(struct take *t)
{
	if (!t->held)
		return;
	t->held = false;
	for (size_t i = 0; i < t->count; i++)
		disks_release(t->s->n->disks, t->volumes[i].directory);
}

static bool somebody_holds(const struct take *t)
{
	for (size_t i = 0; i < t->count; i++)
		if (disks_held(t->s->n->disks, t->volumes[i].directory))
			return true;
	return false;
}

static void close_all(struct take *t)
{
	for (size_t i = 0; i < t->count; i++)
		claim_disk_cancel(TAKE_PTR(t->volumes[i].open));
	t->opening = 0;
}

static void thaw(struct take *t)
{
	struct vm_worker *w = worker_of(t);

	if (t->frozen && w && w->agent)
		thaw_now(t->s, w);
	else if (t->frozen) /* when it is there again */
		table_remove(&t->s->thawed, t->worker);
	t->frozen = false;
}

static void take_free(struct take *t)
{
	arena_finish(&t->arena);
	object_unref(t->content);
	free(t->xml);
	free(t);
}

static void end_all(struct take *t)
{
	table_remove(&t->s->takes, t->content->uid);
	thaw(t);
	close_all(t);
	if (t->call)
		libvirt_call_cancel(TAKE_PTR(t->call));
	agent_call_cancel(TAKE_PTR(t->agent));
	if (t->patch)
		client_cancel(t->s->n->client, TAKE_PTR(t->patch));
}

void take_cancel(struct take *t)
{
	if (!t)
		return;
	end_all(t);
	/* A thread is at the files: nobody else before it has ended. */
	if (t->job) {
		t->doomed = true;
		return;
	}
	release(t);
	take_free(t);
}

void take_destroy(struct take *t)
{
	end_all(t);
	file_job_cancel(t->job);
	release(t);
	take_free(t);
}

/* ---- what is told ---- */

static void on_told(void *user, const struct client_result *r)
{
	struct take *t = user;

	t->patch = NULL;
	if (t->state != TELLING)
		return;
	if (client_ok(r) || r->code == 404) {
		take_cancel(t);
		return;
	}
	t->state = WAITING;
	t->not_before_ns = now_of(t) + AGAIN_NS;
}

static void patch_status(struct take *t, struct arena *a, struct json *status)
{
	struct json *patch = json_new_object(a);

	if (t->patch)
		client_cancel(t->s->n->client, TAKE_PTR(t->patch));
	json_set_str(a, json_object_at(a, patch, "metadata"), "uid", t->content->uid);
	json_set(a, patch, "status", status);
	t->patch = client_patch(t->s->n->client, t->s->kind, t->content->namespace,
		t->content->name, "status", "application/merge-patch+json", patch, on_told, t);
}

static struct json *time_now(struct take *t, struct arena *a)
{
	char text[TIME_RFC3339_ROOM];

	time_format_rfc3339(t->s->n->clock->wall_ns(t->s->n->clock), text);
	return json_new_string(a, text);
}

static void tell_done(struct take *t)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct json *status = json_new_object(&a), *all = json_new_array(&a);
	struct json *now = time_now(t, &a);

	for (size_t i = 0; i < t->count; i++) {
		struct json *one = json_new_object(&a);

		json_set_str(&a, one, "volumeSnapshotName", t->volumes[i].snapshot);
		json_set(&a, one, "creationTime", now);
		json_set_bool(&a, one, "readyToUse", true);
		json_push(&a, all, one);
		client_event(t->s->n->client, t->content, NULL, "Normal",
			"SuccessfulVolumeSnapshotCreate", "Successfully created VolumeSnapshot %s",
			t->volumes[i].snapshot);
	}
	json_set(&a, status, "creationTime", now);
	json_set_bool(&a, status, "readyToUse", true);
	json_set(&a, status, "error", json_new_null(&a));
	if (t->count)
		json_set(&a, status, "volumeSnapshotStatus", all);
	t->state = TELLING;
	patch_status(t, &a, status);
}

/* Back to the beginning, after a while. */
static void again(struct take *t, const struct err *err)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct json *status = json_new_object(&a), *error = json_new_object(&a);

	thaw(t);
	close_all(t);
	release(t);
	t->state = WAITING;
	t->not_before_ns = now_of(t) + AGAIN_NS;
	if (strncmp(t->said, err->msg, sizeof(t->said) - 1) == 0)
		return;
	snprintf(t->said, sizeof(t->said), "%.*s", (int)sizeof(t->said) - 1, err->msg);
	log_warn("snapshot", "content", t->content->name, "problem", err->msg, NULL);
	json_set_str(&a, error, "message", err->msg);
	json_set(&a, error, "time", time_now(t, &a));
	json_set(&a, status, "error", error);
	json_set_bool(&a, status, "readyToUse", false);
	patch_status(t, &a, status);
}

/* Moments: nothing to tell of. */
static void later(struct take *t)
{
	close_all(t);
	t->state = WAITING;
}

/* ---- files ---- */

/* A thread's own. */
struct take_work {
	struct take *t; /* not looked at by the thread */
	struct vm_snapshots *s;
	char *store; /* the content's directory */
	size_t count;
	struct take_work_disk {
		char *directory, *to;
		char active[64]; /* what the guest writes; "" = nobody does */
		char fresh[64], frozen[64];
	} disks[SNAPSHOT_VOLUMES_MAX];
	struct err err;
};

static void work_free(struct take_work *w)
{
	for (size_t i = 0; i < w->count; i++) {
		free(w->disks[i].directory);
		free(w->disks[i].to);
	}
	free(w->store);
	free(w);
}

static void run(struct take *t, file_job_run *what, file_job_done *done)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct take_work *w = xcalloc(1, sizeof(*w));

	w->t = t;
	w->s = t->s;
	w->store = xstrdup(disk_snapshot_directory(&a, t->s->n, t->content->uid, NULL));
	w->count = t->count;
	for (size_t i = 0; i < t->count; i++) {
		struct take_volume *v = &t->volumes[i];
		struct take_work_disk *d = &w->disks[i];
		const char *slash = strrchr(v->live.file, '/');

		d->directory = xstrdup(v->directory);
		d->to = xasprintf("%s/%s", w->store, v->volume);
		if (*t->worker && slash)
			snprintf(d->active, sizeof(d->active), "%.63s", slash + 1);
		memcpy(d->fresh, v->fresh, sizeof(d->fresh));
		memcpy(d->frozen, v->frozen, sizeof(d->frozen));
	}
	t->job = file_work_queue(t->s->n->files, t->content->uid, what, done, w);
}

/* True when the take goes on. */
static bool work_ended(struct take_work *w, bool cancelled, struct take **ret)
{
	struct err err = w->err;
	struct take *t = w->t;

	if (!cancelled) {
		t->job = NULL;
		for (size_t i = 0; i < t->count; i++) {
			memcpy(t->volumes[i].fresh, w->disks[i].fresh, sizeof(w->disks[i].fresh));
			memcpy(t->volumes[i].frozen, w->disks[i].frozen,
				sizeof(w->disks[i].frozen));
		}
		*ret = t;
	}
	work_free(w);
	if (cancelled)
		return false;
	if (t->doomed) {
		/* The content's directory may have been made after it was looked for. */
		sweep_soon(t->s);
		release(t);
		take_free(t);
		return false;
	}
	if (err.code)
		again(t, &err);
	return !err.code;
}

/* Makes the content's directory anew: what is in it from an agent that was killed may be of another
 * moment. */
static int make_store(struct take_work *w)
{
	_cleanup_(free_p) char *parent =
		xstrndup(w->store, (size_t)(strrchr(w->store, '/') - w->store));
	int r = volume_make_dirs(parent, 0711, &w->err);

	if (r == 0 && access(w->store, F_OK) == 0)
		r = volume_remove_tree(w->store, &w->err);
	if (r == 0 && mkdir(w->store, 0711) < 0)
		r = err_errno(&w->err, -errno, "make '%s'", w->store);
	return r;
}

/* Nobody writes the disks. */
static void freeze_and_store(void *user)
{
	struct take_work *w = user;
	int r = make_store(w);

	for (size_t i = 0; i < w->count && r == 0; i++)
		r = layers_freeze(w->disks[i].directory, w->disks[i].fresh, &w->err);
	for (size_t i = 0; i < w->count && r == 0; i++)
		r = layers_link(w->disks[i].directory, w->disks[i].fresh, w->disks[i].to, false, 0,
			&w->err);
}

static void forget_switched(struct take_work *w)
{
	for (size_t i = 0; i < w->count; i++)
		*w->disks[i].frozen = '\0';
}

/* What is not known as saved here is never loaded. */
static void mark_memory(const struct take_work *w)
{
	_cleanup_(free_p) char *path = xasprintf("%s/" DISK_MEMORY_NAME, w->store);
	struct err err = ERR_INIT;

	if (layers_memory_mark(path, &err) == 0)
		return;
	log_warn("memory of a guest is not kept", "problem", err.msg, NULL);
	(void)unlink(path);
}

/* The guest writes to new tops: what was on top is the snapshot. */
static void store_live(void *user)
{
	struct take_work *w = user;

	mark_memory(w);
	for (size_t i = 0; i < w->count; i++)
		if (layers_link(w->disks[i].directory, w->disks[i].frozen, w->disks[i].to, false, 0,
			    &w->err) < 0)
			return;
	forget_switched(w);
}

/* Is the layer that was frozen still just below the top that came upon it then? Later writes may
 * have been merged into what has its name otherwise. */
static bool is_still_below(const struct take_work_disk *d)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct disk_chain chain;
	struct err ignored = ERR_INIT;

	return disk_dir_read_layer(&a, d->directory, d->fresh, &chain, &ignored) == 0 &&
	       chain.count > 1 && streq(chain.layers[1].name, d->frozen);
}

static void store_again(void *user)
{
	struct take_work *w = user;

	for (size_t i = 0; i < w->count; i++)
		if (!is_still_below(&w->disks[i])) {
			forget_switched(w);
			err_set(&w->err, -EAGAIN,
				"the layers were merged before they were stored: it is taken anew");
			return;
		}
	/* The directory stays: the guest's memory may be in it. */
	if (mkdir(w->store, 0711) < 0 && errno != EEXIST) {
		err_errno(&w->err, -errno, "make '%s'", w->store);
		return;
	}
	for (size_t i = 0; i < w->count; i++)
		if (access(w->disks[i].to, F_OK) == 0 &&
			volume_remove_tree(w->disks[i].to, &w->err) < 0)
			return;
	store_live(w);
}

/* disk.json names what the guest writes, and nothing above it is left. */
static int settle(const struct take_work_disk *d, struct err *err)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	_cleanup_(free_p) char *path = xasprintf("%s/%s", d->directory, d->active);
	struct disk_chain chain;
	int r;

	if (streq(d->active, DISK_IMAGE_NAME))
		return 0;
	r = disk_dir_read_layer(&a, d->directory, d->active, &chain, err);
	if (r == 0)
		r = disk_dir_publish(d->directory, d->active, chain.size_bytes, err);
	if (r < 0)
		return r;
	if (chmod(path, 0600) < 0)
		return err_errno(err, -errno, "change mode of '%s'", path);
	layers_tidy(d->directory, &chain);
	return 0;
}

static void settle_all(void *user)
{
	struct take_work *w = user;

	for (size_t i = 0; i < w->count; i++)
		if (settle(&w->disks[i], &w->err) < 0)
			return;
}

static void add_tops(void *user)
{
	struct take_work *w = user;
	int r = make_store(w);

	for (size_t i = 0; i < w->count && r == 0; i++) {
		struct take_work_disk *d = &w->disks[i];

		r = settle(d, &w->err);
		if (r == 0)
			r = layers_add(d->directory, d->fresh, &w->err);
		if (r == 0)
			r = layers_switch(d->directory, d->fresh, &w->err);
	}
}

static void on_stored(void *user, bool cancelled)
{
	struct take *t;

	if (work_ended(user, cancelled, &t)) {
		release(t);
		tell_done(t);
	}
}

/* ---- a guest that runs ---- */

static void on_settled(void *user, bool cancelled)
{
	struct take *t;

	if (!work_ended(user, cancelled, &t))
		return;
	release(t);
	t->state = WAITING;
	t->not_before_ns = now_of(t) + AGAIN_NS;
}

static int find_live_disks(struct take *t, const struct libvirt_reply *r, struct err *err)
{
	struct xdr_reader body = r->body;
	struct str xml;

	if (!r->ok)
		return err_set(err, -EIO, "ask libvirt for the disks of the guest: %s", r->message);
	xml.p = xdr_get_string(&body, &xml.size);
	if (!xml.p)
		return err_set(err, -EBADMSG, "libvirt's answer can't be read");
	free(t->xml);
	t->xml = xstrndup(xml.p, xml.size);
	for (size_t i = 0; i < t->count; i++)
		if (!live_disk_find(xml, t->volumes[i].directory, &t->volumes[i].live))
			return err_set(err, -ENOENT,
				"the guest does not write to the disk of volume \"%s\"",
				t->volumes[i].volume);
	return 0;
}

static void on_failed_xml(void *user, const struct libvirt_reply *r)
{
	struct take *t = user;
	struct err err = ERR_INIT;

	t->call = NULL;
	if (find_live_disks(t, r, &err) < 0)
		again(t, &err);
	else
		run(t, settle_all, on_settled);
}

/* libvirt did not switch, or nobody knows: it is asked what the guest writes to. */
static void switch_failed(struct take *t, const char *doing, const struct libvirt_reply *r)
{
	struct vm_worker *w = worker_of(t);
	struct err err = ERR_INIT;

	err_set(&err, -EIO, "%s: %s", doing, r->message);
	again(t, &err); /* told now; the disks are held until they are settled */
	/* libvirt may be at it still, and need the files: who begins anew waits for the end of it.
	 */
	if (!w || !libvirt_is_up(t->s->m->libvirt) || r->code == LIBVIRT_RPC_TIMEOUT)
		return;
	hold(t);
	t->state = SETTLING;
	t->call = libvirt_call_domain(
		t->s->m->libvirt, LIBVIRT_DOMAIN_GET_XML_DESC, &w->domain, 0, on_failed_xml, t);
}

static void on_switched(void *user, const struct libvirt_reply *r)
{
	struct take *t = user;

	t->call = NULL;
	thaw(t);
	if (!r->ok) {
		switch_failed(t, "take a snapshot of the guest", r);
		return;
	}
	t->state = STORING;
	for (size_t i = 0; i < t->count; i++)
		snprintf(t->volumes[i].frozen, sizeof(t->volumes[i].frozen), "%.63s",
			strrchr(t->volumes[i].live.file, '/') + 1);
	if (t->count) {
		run(t, store_live, on_stored);
	} else {
		release(t);
		tell_done(t);
	}
}

static void switch_guest(struct take *t)
{
	_cleanup_(buf_finish) struct buf args = BUF_INIT, xml = BUF_INIT;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct live_switch disks[SNAPSHOT_VOLUMES_MAX];
	struct vm_worker *w = worker_of(t);
	struct err err = ERR_INIT;

	if (!w || !vm_core_alive(&w->core)) {
		err_set(&err, -EAGAIN, "the guest stopped before its snapshot was taken");
		again(t, &err);
		return;
	}
	t->state = SWITCHING;
	for (size_t i = 0; i < t->count; i++)
		disks[i] = (struct live_switch){t->volumes[i].live.target,
			arena_printf(&a, "%s/%s", t->volumes[i].directory, t->volumes[i].fresh)};
	const char *memory =
		t->memory ? arena_printf(&a, "%s/" DISK_MEMORY_NAME,
				    disk_snapshot_directory(&a, t->s->n, t->content->uid, NULL))
			  : NULL;
	live_snapshot_write(&xml, str_from(t->xml), disks, t->count, memory);
	xdr_put_domain(&args, &w->domain);
	xdr_put_string(&args, xml.data);
	xdr_put_u32(&args, LIBVIRT_SNAPSHOT_NO_METADATA | LIBVIRT_SNAPSHOT_REUSE_EXT |
				   LIBVIRT_SNAPSHOT_ATOMIC |
				   (memory ? LIBVIRT_SNAPSHOT_LIVE : LIBVIRT_SNAPSHOT_DISK_ONLY));
	t->call = libvirt_call(t->s->m->libvirt, LIBVIRT_DOMAIN_SNAPSHOT_CREATE_XML, &args,
		memory ? MEMORY_TIMEOUT_MS : SWITCH_TIMEOUT_MS, on_switched, t);
}

static void on_frozen(void *user, const struct json *value, const struct err *err)
{
	struct take *t = user;
	struct err why = ERR_INIT;

	t->agent = NULL;
	if (err) {
		/* The server knows it by these words. */
		err_set(&why, err->code, "Failed freezing vm: %s", err->msg);
		again(t, &why);
		return;
	}
	switch_guest(t);
}

static void on_added(void *user, bool cancelled)
{
	struct take *t;
	struct vm_worker *w;

	if (!work_ended(user, cancelled, &t))
		return;
	w = worker_of(t);
	/* With its memory a guest goes on where it was: nothing need be on the disks. */
	if (!w || t->memory || w->core.domain != VM_DOMAIN_RUNNING ||
		!guest_agent_present(w->agent)) {
		switch_guest(t);
		return;
	}
	t->state = FREEZING;
	t->frozen = true;
	freeze_remember(t->s, w);
	t->agent = guest_agent_call(w->agent,
		&(struct agent_command){.name = "guest-fsfreeze-freeze",
			.timeout_s = FREEZE_TIMEOUT_S,
			.urgent = true},
		on_frozen, t);
}

static void on_xml(void *user, const struct libvirt_reply *r)
{
	struct take *t = user;
	struct err err = ERR_INIT;

	t->call = NULL;
	if (find_live_disks(t, r, &err) < 0) {
		again(t, &err);
		return;
	}
	t->state = ADDING;
	run(t, add_tops, on_added);
}

static void on_job_info(void *user, const struct libvirt_reply *r)
{
	struct take *t = user;
	struct vm_worker *w = worker_of(t);
	struct xdr_reader body = r->body;

	t->call = NULL;
	if (!w || !r->ok || xdr_get_u32(&body) != LIBVIRT_JOB_NONE) {
		release(t);
		t->not_before_ns = now_of(t) + BUSY_NS;
		later(t);
		return;
	}
	t->call = libvirt_call_domain(
		t->s->m->libvirt, LIBVIRT_DOMAIN_GET_XML_DESC, &w->domain, 0, on_xml, t);
}

/* What an agent before this one asked libvirt for goes on without it, to write the guest's memory
 * most of all: until that has ended its files are not touched. */
static void begin_live(struct take *t, struct vm_worker *w)
{
	_cleanup_(buf_finish) struct buf args = BUF_INIT;

	snprintf(t->worker, sizeof(t->worker), "%s", w->uid);
	if (!libvirt_is_up(t->s->m->libvirt)) {
		later(t);
		return;
	}
	t->state = ASKING;
	hold(t);
	xdr_put_domain(&args, &w->domain);
	t->call = libvirt_call(
		t->s->m->libvirt, LIBVIRT_DOMAIN_GET_JOB_INFO, &args, 0, on_job_info, t);
}

/* ---- disks that nobody writes ---- */

static enum disk_use use_of(struct take *t, struct vm_worker **ret)
{
	const char *claims[SNAPSHOT_VOLUMES_MAX];

	for (size_t i = 0; i < t->count; i++)
		claims[i] = t->volumes[i].claim;
	return disks_use(t->s, t->content->namespace, claims, t->count, ret);
}

static void on_all_open(struct take *t)
{
	struct vm_worker *w;

	/* Somebody may have started it meanwhile. */
	if (use_of(t, &w) != DISK_FREE || somebody_holds(t)) {
		later(t);
		return;
	}
	t->state = STORING;
	hold(t);
	run(t, freeze_and_store, on_stored);
}

static void on_open(void *user, const struct claim_place *place, const struct disk_chain *chain,
	const char *reason, const struct err *err)
{
	struct take_volume *v = user;
	struct take *t = v->t;

	v->open = NULL;
	if (err) {
		again(t, err);
		return;
	}
	if (--t->opening == 0)
		on_all_open(t);
}

static void begin_stopped(struct take *t)
{
	*t->worker = '\0';
	t->state = OPENING;
	t->opening = t->count;
	/* A claim that nobody has used yet gets its empty disk so. */
	for (size_t i = 0; i < t->count; i++)
		t->volumes[i].open =
			claim_disk_open(t->s->n->disks, &(struct claim_disk_options){
								.namespace = t->content->namespace,
								.claim = t->volumes[i].claim,
								.arena = &t->arena,
								.done = on_open,
								.user = &t->volumes[i],
							});
}

/* ---- the beginning ---- */

static int find_places(struct take *t, struct err *err)
{
	for (size_t i = 0; i < t->count; i++) {
		struct take_volume *v = &t->volumes[i];
		struct claim_place place;
		const char *reason;
		int r = claim_place_find(t->s->n->disks, &t->arena, t->content->namespace, v->claim,
			&place, &reason, err);
		struct object *o = informer_get(t->s->n->claims, t->content->namespace, v->claim);

		if (r < 0)
			return r;
		if (place.nfs)
			return err_set(err, -EOPNOTSUPP,
				"PVC %s/%s: its volume \"%s\" is on an NFS server: no snapshot can "
				"be "
				"taken of it, since snapshots are layers that hard links share",
				t->content->namespace, v->claim, place.volume);
		if (!place.own)
			return err_set(err, -EOPNOTSUPP,
				"PVC %s/%s: its volume \"%s\" is none of hanok-local: no snapshot "
				"can be taken of it",
				t->content->namespace, v->claim, place.volume);
		if (!o || (v->claim_uid && !streq(o->uid, v->claim_uid)))
			return err_set(err, -ESTALE,
				"PVC %s/%s is not the one of which a snapshot was to be taken",
				t->content->namespace, v->claim);
		v->directory = place.directory;
	}
	return 0;
}

static void store_what_was_frozen(struct take *t)
{
	t->state = STORING;
	hold(t);
	run(t, store_again, on_stored);
}

void take_look(struct take *t)
{
	struct vm_worker *w = NULL;
	struct err err = ERR_INIT;
	int r;

	if (t->state != WAITING || t->job || now_of(t) < t->not_before_ns ||
		!informer_synced(t->s->n->claims) || !informer_synced(t->s->n->volumes))
		return;
	r = find_places(t, &err);
	if (r < 0) {
		again(t, &err);
		return;
	}
	if (somebody_holds(t))
		return;
	switch (use_of(t, &w)) {
	case DISK_LIVE:
		if (t->count && *t->volumes[0].frozen)
			store_what_was_frozen(t);
		else
			begin_live(t, w);
		break;
	case DISK_FREE:
		for (size_t i = 0; i < t->count; i++)
			*t->volumes[i].frozen = '\0';
		/* Its memory was wanted, and it has none any more. */
		t->memory = false;
		begin_stopped(t);
		break;
	case DISK_BUSY:
		break;
	}
}

static bool is_plain_name(const char *s)
{
	return *s && *s != '.' && !strchr(s, '/');
}

static void read_content(struct take *t)
{
	const struct json *doc = object_doc(t->content, &t->arena);

	t->memory =
		streq(json_str(json_get(json_path(doc, "metadata.annotations"), MEMORY_ANNOTATION)),
			"true");
	t->vm = json_str_or(json_path(doc, "spec.source.virtualMachine.metadata.name"), "");
	JSON_FOR_EACH_ITEM(b, json_path(doc, "spec.volumeBackups")) {
		struct take_volume *v = &t->volumes[t->count];

		if (t->count == SNAPSHOT_VOLUMES_MAX ||
			!is_plain_name(json_str_or(json_get(b, "volumeName"), "")))
			continue;
		*v = (struct take_volume){.t = t,
			.volume = json_str(json_get(b, "volumeName")),
			.claim = json_str_or(
				json_path(b, "persistentVolumeClaim.metadata.name"), ""),
			.claim_uid = json_path_str(b, "persistentVolumeClaim.metadata.uid"),
			.snapshot = json_str_or(json_get(b, "volumeSnapshotName"), "")};
		t->count++;
	}
}

void take_start(struct vm_snapshots *s, struct object *content)
{
	struct take *t = xcalloc(1, sizeof(*t));

	t->s = s;
	t->content = object_ref(content);
	read_content(t);
	table_set(&s->takes, content->uid, t);
	wakeup_in(s->look, 0);
}

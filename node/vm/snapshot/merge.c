/* merge.c - layers that only one disk has left become one again, one disk after the other.
 *
 *   nobody writes the disk: qemu-img commits all of its own layers into the lowest of them, then
 *	disk.json names that one
 *   a guest runs: libvirt commits the own layers below the top into the lowest of them; QEMU
 *changes the header of the layer above. The top stays, so that nothing must be known of a moment at
 *	which one file takes over from another; what is left is merged when the guest has stopped
 *
 * Both copy downwards what is seen anyway: broken off anywhere, the disk shows what it showed, and
 * it is done anew. What libvirt ended while no agent was there leaves its layers behind: the next
 * one removes them. */
#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/base/log.h"
#include "node/child/child.h"
#include "node/disk/lend.h"
#include "node/vm/snapshot/live_disks.h"
#include "node/vm/snapshot/snapshots_internal.h"

#define SOON_MS 1000
#define LATER_MS 3000
#define POLL_MS 500
#define RETRY_MS 30000
#define BUSY_MS 5000
#define COMMIT_TIMEOUT_MS (12u * 3600 * 1000)
#define QEMU_IMG_MEMORY_BYTES (UINT64_C(2) << 30)
#define CANDIDATES_MAX 64

/* What a thread finds, or does. */
struct merge_work {
	struct merges *g; /* not looked at by the thread */
	char *root;	  /* DATA/local */
	struct {
		char name[64]; /* of the volume, and its directory */
		size_t own;
		bool untidy; /* an earlier agent has not seen the end of a merge */
	} found[CANDIDATES_MAX];
	size_t count;
	/* Of one disk. */
	char *directory;
	bool live;
	char top[64], base[64]; /* to be merged, into */
	uid_t run_as;		/* the user of the program that does it */
	struct err err;
};

struct merges {
	struct vm_snapshots *s;
	char *root;
	struct wakeup *look, *poll;
	struct file_job *job;
	struct child *child;
	struct libvirt_call *call;
	/* The disk that is being merged; NULL = none. */
	char *directory;
	char worker[37];
	struct live_disk live;
	char base[64], top[64]; /* no base: there is nothing to be merged, only to be tidied */
	bool lent;		/* to the program that runs */
	char last[64];		/* volume that was tried last: the others come first */
	bool again;
};

static void work_free(struct merge_work *w)
{
	free(w->root);
	free(w->directory);
	free(w);
}

static void queue(struct merges *g, file_job_run *run, file_job_done *done, struct merge_work *w)
{
	w->g = g;
	g->job = file_work_queue(
		g->s->n->files, w->directory ? w->directory : g->root, run, done, w);
}

static struct merge_work *work_of_disk(struct merges *g)
{
	struct merge_work *w = xcalloc(1, sizeof(*w));

	w->directory = xstrdup(g->directory);
	w->live = *g->worker;
	memcpy(w->base, g->base, sizeof(w->base));
	memcpy(w->top, g->top, sizeof(w->top));
	return w;
}

/* The disk is done with, whether it worked or not. */
static void finish(struct merges *g, const struct err *err)
{
	if (err && err->code)
		log_warn("layers of a disk could not be merged", "directory", g->directory,
			"problem", err->msg, NULL);
	disks_release(g->s->n->disks, g->directory);
	free(TAKE_PTR(g->directory));
	wakeup_cancel(g->poll);
	if (err && err->code)
		wakeup_in(g->look, RETRY_MS);
	else
		wakeup_in(g->look, *g->base ? 0 : SOON_MS); /* there may be another */
}

/* ---- the end ---- */

static void end_on_thread(void *user)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct merge_work *w = user;
	struct disk_chain chain;

	if (!w->live && *w->base) {
		_cleanup_(free_p) char *base = xasprintf("%s/%s", w->directory, w->base);

		disk_take_back_in(w->directory);
		if (disk_dir_read_layer(&a, w->directory, w->base, &chain, &w->err) < 0 ||
			disk_dir_publish(w->directory, w->base, chain.size_bytes, &w->err) < 0)
			return;
		if (chmod(base, 0600) < 0) {
			err_errno(&w->err, -errno, "change mode of '%s'", base);
			return;
		}
	}
	if (disk_dir_read(&a, w->directory, &chain, &w->err) == 0)
		layers_tidy(w->directory, &chain);
}

static void on_ended(void *user, bool cancelled)
{
	struct merge_work *w = user;
	struct err err = w->err;

	if (!cancelled) {
		w->g->job = NULL;
		if (!err.code && *w->base)
			log_info("layers of a disk are one again", "directory", w->directory, NULL);
		finish(w->g, &err);
	}
	work_free(w);
}

/* ---- nobody writes ---- */

static void give_up_on_thread(void *user)
{
	disk_take_back_in(((struct merge_work *)user)->directory);
}

static void give_up(struct merges *g, const struct err *err)
{
	struct merge_work *w = work_of_disk(g);

	w->err = *err;
	queue(g, give_up_on_thread, on_ended, w);
}

static void on_committed(void *user, const struct child_result *r, const struct err *failure)
{
	struct merges *g = user;

	g->child = NULL;
	g->lent = false;
	if (failure)
		give_up(g, failure);
	else
		queue(g, end_on_thread, on_ended, work_of_disk(g));
}

static void lend_on_thread(void *user)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct merge_work *w = user;
	struct disk_chain chain;

	w->run_as = child_user_new();
	if (disk_dir_read(&a, w->directory, &chain, &w->err) < 0 ||
		disk_lend(&chain, w->run_as, true, &w->err) != -EACCES)
		return;
	w->run_as = 0;
	w->err = ERR_INIT;
}

static void run_commit(struct merges *g, uid_t run_as);

static void on_lent(void *user, bool cancelled)
{
	struct merge_work *w = user;
	struct merges *g = w->g;
	struct err err = w->err;
	uid_t run_as = w->run_as;

	if (cancelled)
		disk_take_back_in(w->directory);
	else
		g->job = NULL;
	work_free(w);
	if (cancelled)
		return;
	if (err.code)
		give_up(g, &err);
	else
		run_commit(g, run_as);
}

static void commit_stopped(struct merges *g)
{
	queue(g, lend_on_thread, on_lent, work_of_disk(g));
}

static void run_commit(struct merges *g, uid_t run_as)
{
	const char *argv[] = {
		"qemu-img", "commit", "-q", "-d", "-f", "qcow2", "-b", g->base, g->top, NULL};

	g->lent = true;
	g->child = child_run(&(struct child_options){
		.loop = g->s->n->loop,
		.argv = argv,
		.directory = g->directory,
		.timeout_ms = COMMIT_TIMEOUT_MS,
		.memory_bytes_max = QEMU_IMG_MEMORY_BYTES,
		.unprivileged = run_as != 0,
		.run_as = run_as,
		.mortal = true,
		.done = on_committed,
		.user = g,
	});
}

/* ---- a guest runs ---- */

static struct vm_worker *worker_of(const struct merges *g)
{
	return table_get(&g->s->m->workers, g->worker);
}

static void on_job_info(void *user, const struct libvirt_reply *r)
{
	struct merges *g = user;
	struct xdr_reader body = r->body;

	g->call = NULL;
	/* No answer, or no such job: the files say how far it came. */
	if (r->ok && xdr_get_u32(&body) != 0 && !body.bad)
		wakeup_in(g->poll, POLL_MS);
	else
		queue(g, end_on_thread, on_ended, work_of_disk(g));
}

static void on_poll(void *user)
{
	_cleanup_(buf_finish) struct buf args = BUF_INIT;
	struct merges *g = user;
	struct vm_worker *w = worker_of(g);

	if (!w || !libvirt_is_up(g->s->m->libvirt)) {
		queue(g, end_on_thread, on_ended, work_of_disk(g));
		return;
	}
	xdr_put_domain(&args, &w->domain);
	xdr_put_string(&args, g->live.target);
	xdr_put_u32(&args, 0);
	g->call = libvirt_call(
		g->s->m->libvirt, LIBVIRT_DOMAIN_GET_BLOCK_JOB_INFO, &args, 0, on_job_info, g);
}

static void on_commit_begun(void *user, const struct libvirt_reply *r)
{
	struct merges *g = user;
	struct err err = ERR_INIT;

	g->call = NULL;
	if (!r->ok) {
		err_set(&err, -EIO, "%s", r->message);
		finish(g, &err);
		return;
	}
	wakeup_in(g->poll, POLL_MS);
}

/* What QEMU writes is what disk.json names: all that is in no chain is left over. */
static void tidy_live(struct merges *g)
{
	const char *slash = strrchr(g->live.file, '/');
	struct err err = ERR_INIT;

	if (slash && streq(slash + 1, g->top)) {
		queue(g, end_on_thread, on_ended, work_of_disk(g));
		return;
	}
	err_set(&err, -EBUSY, "the guest writes '%s', the disk's top is '%s'", g->live.file,
		g->top);
	finish(g, &err);
}

static void on_xml(void *user, const struct libvirt_reply *r)
{
	_cleanup_(buf_finish) struct buf args = BUF_INIT;
	_cleanup_(free_p) char *base = NULL, *top = NULL;
	struct merges *g = user;
	struct vm_worker *w = worker_of(g);
	struct xdr_reader body = r->body;
	struct err err = ERR_INIT;
	struct stat st;
	struct str xml;

	g->call = NULL;
	xml.p = r->ok ? xdr_get_string(&body, &xml.size) : NULL;
	if (!w || !xml.p || !live_disk_find(xml, g->directory, &g->live)) {
		err_set(&err, -EAGAIN, "the guest's disks are not known");
		finish(g, &err);
		return;
	}
	if (!*g->base) {
		tidy_live(g);
		return;
	}
	base = xasprintf("%s/%s", g->directory, g->base);
	top = xasprintf("%s/%s", g->directory, g->top);
	/* QEMU opens it for writing, as its own user. */
	if (stat(g->live.file, &st) < 0 || chown(base, st.st_uid, st.st_gid) < 0 ||
		chmod(base, 0600) < 0) {
		err_errno(&err, -errno, "change owner of '%s'", base);
		finish(g, &err);
		return;
	}
	xdr_put_domain(&args, &w->domain);
	xdr_put_string(&args, g->live.target);
	xdr_put_optional_string(&args, base);
	xdr_put_optional_string(&args, top);
	xdr_put_u64(&args, 0);
	/* The layer above names the lower one in its header, as all do: within its directory. */
	xdr_put_u32(&args, LIBVIRT_BLOCK_COMMIT_RELATIVE);
	g->call = libvirt_call(
		g->s->m->libvirt, LIBVIRT_DOMAIN_BLOCK_COMMIT, &args, 0, on_commit_begun, g);
}

/* ---- which layers ---- */

static void plan_on_thread(void *user)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct merge_work *w = user;
	struct disk_chain chain;
	size_t own, first = w->live ? 1 : 0;

	if (disk_dir_read(&a, w->directory, &chain, &w->err) < 0)
		return;
	own = layers_own(&chain);
	*w->base = *w->top = '\0';
	if (own < first + 2) {
		if (layers_untidy(w->directory, &chain))
			snprintf(w->top, sizeof(w->top), "%s", chain.layers[0].name);
		return;
	}
	snprintf(w->top, sizeof(w->top), "%s", chain.layers[first].name);
	snprintf(w->base, sizeof(w->base), "%s", chain.layers[own - 1].name);
}

static void on_planned(void *user, bool cancelled)
{
	struct merge_work *w = user;
	struct merges *g = w->g;
	struct err err = w->err;

	if (!cancelled) {
		g->job = NULL;
		memcpy(g->base, w->base, sizeof(g->base));
		memcpy(g->top, w->top, sizeof(g->top));
	}
	work_free(w);
	if (cancelled)
		return;
	if (err.code || !*g->top) {
		finish(g, &err);
	} else if (*g->worker) {
		struct vm_worker *vm = worker_of(g);

		if (vm)
			g->call = libvirt_call_domain(g->s->m->libvirt, LIBVIRT_DOMAIN_GET_XML_DESC,
				&vm->domain, 0, on_xml, g);
		else
			finish(g, NULL);
	} else if (*g->base) {
		commit_stopped(g);
	} else {
		queue(g, end_on_thread, on_ended, work_of_disk(g));
	}
}

/* ---- which disks ---- */

static bool others_have_it(struct merges *g, const char *ns, const char *claim, const char *path)
{
	/* A pod could put a link to another file where qemu-img looks for a layer. */
	return disks_held(g->s->n->disks, path) || disks_check_pods(g->s->n, ns, claim, NULL) < 0;
}

/* For what nobody tells the end of. */
static void look_again(struct merges *g, int64_t ms)
{
	if (!wakeup_armed(g->look))
		wakeup_in(g->look, ms);
}

static bool begin(struct merges *g, const char *volume, size_t own, bool untidy)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object *o = informer_get(g->s->n->volumes, "", volume);
	struct json *doc = o ? object_doc(o, &a) : NULL;
	const char *ns = json_path_str(doc, "spec.claimRef.namespace");
	const char *claim = json_path_str(doc, "spec.claimRef.name");
	const char *path = arena_printf(&a, "%s/%s", g->root, volume);
	struct vm_worker *w = NULL;
	enum disk_use use;

	/* Who uses it, an agent that has just started does not know yet. */
	if (!informer_synced(g->s->n->volumes) || !informer_synced(g->s->m->instances)) {
		look_again(g, BUSY_MS);
		return false;
	}
	if (!ns || !claim)
		return false;
	if (others_have_it(g, ns, claim, path)) {
		look_again(g, RETRY_MS);
		return false;
	}
	use = disks_use(g->s, ns, &claim, 1, &w);
	/* What is left below the top of a guest that runs waits until it has stopped. */
	if (use == DISK_LIVE && own < 3 && !untidy)
		return false;
	/* A guest that this agent has not found yet, after its start; or libvirt is away. */
	if (use == DISK_BUSY || (use == DISK_LIVE && !libvirt_is_up(g->s->m->libvirt))) {
		look_again(g, BUSY_MS);
		return false;
	}
	g->directory = xstrdup(path);
	snprintf(g->last, sizeof(g->last), "%s", volume);
	snprintf(g->worker, sizeof(g->worker), "%s", use == DISK_LIVE ? w->uid : "");
	disks_hold(g->s->n->disks, path);
	queue(g, plan_on_thread, on_planned, work_of_disk(g));
	return true;
}

static void scan_on_thread(void *user)
{
	struct merge_work *w = user;
	DIR *d = opendir(w->root);

	for (struct dirent *e; d && w->count < CANDIDATES_MAX && (e = readdir(d));) {
		_cleanup_(arena_finish) struct arena a = ARENA_INIT;
		struct disk_chain chain;
		size_t own;
		bool untidy;

		if (!str_has_prefix(e->d_name, "pvc-") ||
			strlen(e->d_name) >= sizeof(w->found[0].name))
			continue;
		if (disk_dir_read(&a, arena_printf(&a, "%s/%s", w->root, e->d_name), &chain, NULL) <
			0)
			continue;
		own = layers_own(&chain);
		untidy = layers_untidy(arena_printf(&a, "%s/%s", w->root, e->d_name), &chain);
		if (own < 2 && !untidy)
			continue;
		snprintf(w->found[w->count].name, sizeof(w->found[0].name), "%s", e->d_name);
		w->found[w->count].untidy = untidy;
		w->found[w->count++].own = own;
	}
	if (d)
		closedir(d);
}

static void on_scanned(void *user, bool cancelled)
{
	struct merge_work *w = user;
	struct merges *g = w->g;
	size_t first = 0;

	if (!cancelled) {
		g->job = NULL;
		if (g->again)
			wakeup_in(g->look, SOON_MS);
		while (first < w->count && !streq(w->found[first].name, g->last))
			first++;
		for (size_t i = 0; i < w->count; i++) {
			size_t at = (first + 1 + i) % w->count;

			if (begin(g, w->found[at].name, w->found[at].own, w->found[at].untidy))
				break;
		}
	}
	work_free(w);
}

static void on_look(void *user)
{
	struct merges *g = user;
	struct merge_work *w;

	if (g->job || g->directory) {
		g->again = true;
		return;
	}
	g->again = false;
	w = xcalloc(1, sizeof(*w));
	w->root = xstrdup(g->root);
	queue(g, scan_on_thread, on_scanned, w);
}

void merges_soon(struct merges *g)
{
	if (!wakeup_armed(g->look))
		wakeup_in(g->look, SOON_MS);
}

void merges_later(struct merges *g)
{
	wakeup_in(g->look, LATER_MS);
}

struct merges *merges_create(struct vm_snapshots *s)
{
	struct merges *g = xcalloc(1, sizeof(*g));

	g->s = s;
	g->root = xasprintf("%s/local", s->n->data_dir);
	g->look = wakeup_create(s->n->loop, s->n->clock, on_look, g);
	g->poll = wakeup_create(s->n->loop, s->n->clock, on_poll, g);
	return g;
}

void merges_destroy(struct merges *g)
{
	file_job_cancel(g->job);
	child_cancel(g->child);
	if (g->lent)
		disk_take_back_in(g->directory);
	if (g->call)
		libvirt_call_cancel(g->call);
	wakeup_destroy(g->look);
	wakeup_destroy(g->poll);
	free(g->directory);
	free(g->root);
	free(g);
}

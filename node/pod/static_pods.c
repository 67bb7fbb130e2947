/* static_pods.c - see static_pods.h. */
#include "node/pod/static_pods.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/base/file.h"
#include "lib/base/log.h"
#include "node/pod/static_manifest.h"

enum {
	FILE_MAX_BYTES = 1 << 20,
	FILES_MAX = 1000,
	SETTLE_MS = 300, /* a file that changed this lately may not be written to its end */
	MIRROR_RETRY_MS = 2000,
};

/* One file, by its path. */
struct manifest {
	char *complaint; /* what was said about it last; NULL = nothing */
	struct object *pod;
	int64_t mtime_ns;
	off_t size;
	ino_t inode;
	bool seen; /* in this scan */
};

/* One name, by "NAMESPACE/NAME". */
struct static_pod {
	struct static_pods *s;
	struct object *wanted;	/* NULL = no file says so */
	struct object *running; /* what the worker has; NULL = there is none */
	bool leaving;		/* the worker was told to end */
	bool again;		/* the worker is over, and another one is wanted */
	bool outdated;		/* so the mirror shows what is over */
	struct object *mirror;	/* in the API; NULL = none known */
	struct client_call *call;
	int64_t retry_ns; /* monotonic: no question to the API before */
	bool seen;	  /* in this scan */
};

struct static_pods {
	struct pod_manager *m;
	struct node *n;
	const char *path;
	struct table manifests, pods;
	struct wakeup *scan, *work;
	uv_fs_event_t *watch; /* NULL = none */
	bool hurried;	      /* a scan is due as soon as what changed has settled */
	bool synced;	      /* the API's pods are known */
	bool known;	      /* the files have been read */
};

static void work_in(struct static_pods *s, int64_t ms)
{
	wakeup_in(s->work, ms);
}

static void set_object(struct object **at, const struct object *to)
{
	struct object *old = *at;

	*at = to ? object_ref((struct object *)(uintptr_t)to) : NULL;
	object_unref(old);
}

/* ---- mirrors ---- */

static void on_mirror_written(void *user, const struct client_result *r)
{
	struct static_pod *p = user;
	struct static_pods *s = p->s;

	p->call = NULL;
	if (!client_ok(r) && r->code != 404 && r->code != 409)
		log_warn("a static pod can't be shown in the API yet", "reason", r->message, NULL);
	/* What came of it the informer says; until then, and after a failure, not again. */
	p->retry_ns = mono(s->n) + MIRROR_RETRY_MS * NS_PER_MS;
	work_in(s, MIRROR_RETRY_MS);
}

static bool is_current(const struct static_pod *p)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const char *hash = static_mirror_hash(&a, p->mirror);

	return !p->mirror->deleting && streq(hash, p->wanted->uid);
}

static void mirror_step(struct static_pod *p)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct static_pods *s = p->s;
	struct node *n = s->n;

	if (p->call || !s->synced)
		return;
	bool outdated = p->outdated && !p->leaving && !p->again;
	if (p->mirror && (!p->wanted ? !p->running : outdated || !is_current(p))) {
		if (p->retry_ns > mono(n))
			return;
		p->call = client_delete(n->client, s->m->pod_kind, p->mirror->namespace,
			p->mirror->name, p->mirror->uid, 0, NULL, on_mirror_written, p);
	} else if (!p->mirror && p->wanted) {
		/* Its owner is the Node, which has to be known. */
		if (!n->object || p->retry_ns > mono(n)) {
			work_in(s, MIRROR_RETRY_MS);
			return;
		}
		p->call = client_create(n->client, s->m->pod_kind, p->wanted->namespace,
			static_mirror_make(&a, p->wanted, n->name, n->object->uid),
			on_mirror_written, p);
	}
}

/* ---- workers ---- */

static void worker_step(struct static_pod *p)
{
	struct static_pods *s = p->s;

	if (p->running && !p->leaving &&
		(!p->wanted || p->again || !streq(p->wanted->uid, p->running->uid))) {
		struct object *leaving = static_leaving(p->running, wall(s->n));
		p->leaving = true;
		log_info(p->again ? "static pod is made anew"
				  : "static pod ends: its file is another or gone",
			"namespace", leaving->namespace, "pod", leaving->name, NULL);
		pod_manager_offer(s->m, leaving);
		object_unref(leaving);
	}
	if (!p->running && p->wanted) {
		set_object(&p->running, p->wanted);
		p->leaving = p->again = false;
		log_info("static pod", "namespace", p->wanted->namespace, "pod", p->wanted->name,
			NULL);
		pod_manager_offer(s->m, p->wanted);
		pod_manager_set_mirror(s->m, p->running->uid, p->mirror);
	}
}

static void pod_free(struct static_pod *p)
{
	if (p->call)
		client_cancel(p->s->n->client, p->call);
	object_unref(p->wanted);
	object_unref(p->running);
	object_unref(p->mirror);
	free(p);
}

static void on_work(void *user)
{
	struct static_pods *s = user;

	for (struct table_iter i = table_iterate(&s->pods); table_next(&i);) {
		struct static_pod *p = i.value;
		worker_step(p);
		mirror_step(p);
		if (!p->wanted && !p->running && !p->mirror && !p->call) {
			table_remove(&s->pods, i.key);
			pod_free(p);
		}
	}
}

static struct static_pod *pod_named(struct static_pods *s, const struct object *o)
{
	_cleanup_(free_p) char *key = xasprintf("%s/%s", o->namespace, o->name);
	struct static_pod *p = table_get(&s->pods, key);

	if (!p) {
		p = xcalloc(1, sizeof(*p));
		p->s = s;
		table_set(&s->pods, key, p);
	}
	return p;
}

bool static_pods_take(struct static_pods *s, const struct object *old, const struct object *new)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct object *o = new ? new : old;

	if (!s || !static_mirror_hash(&a, o))
		return false;
	struct static_pod *p = pod_named(s, o);
	/* A namesake that came later may be known already. */
	if (!new && p->mirror && !streq(p->mirror->uid, old->uid))
		return true;
	if (!new || !p->mirror || !streq(new->uid, p->mirror->uid))
		p->outdated = false;
	set_object(&p->mirror, new);
	if (!new)
		p->retry_ns = 0;
	if (p->running)
		pod_manager_set_mirror(s->m, p->running->uid, p->mirror);
	work_in(s, 0);
	return true;
}

bool static_pods_known(const struct static_pods *s)
{
	return !s || s->known;
}

void static_pods_synced(struct static_pods *s)
{
	if (s) {
		s->synced = true;
		work_in(s, 0);
	}
}

static void again(struct static_pods *s, const char *uid)
{
	for (struct table_iter i = table_iterate(&s->pods); table_next(&i);) {
		struct static_pod *p = i.value;
		if (p->running && streq(p->running->uid, uid) && p->wanted) {
			p->again = true;
			p->outdated = p->mirror;
			work_in(s, 0);
		}
	}
}

void pod_manager_again(struct pod_manager *m, const char *reason)
{
	for (struct table_iter it = table_iterate(&m->workers); table_next(&it);) {
		struct pod_worker *w = it.value;
		if (w->is_static && w->view.ended && streq(w->ended_reason, reason))
			again(m->statics, w->uid);
	}
}

void static_pods_gone(struct static_pods *s, const char *uid)
{
	if (!s)
		return;
	for (struct table_iter i = table_iterate(&s->pods); table_next(&i);) {
		struct static_pod *p = i.value;
		if (p->running && streq(p->running->uid, uid)) {
			set_object(&p->running, NULL);
			p->leaving = false;
			work_in(s, 0);
		}
	}
}

/* ---- files ---- */

/* Said once for as long as it is the same. */
static void complain(struct static_pods *s, struct manifest *f, const char *path, const char *why)
{
	if (streq(f->complaint, why))
		return;
	free(f->complaint);
	f->complaint = xstrdup(why);
	log_error("a file of static pods is not used", "file", path, "reason", why, NULL);
	if (s->n->object)
		client_event(s->n->client, s->n->object, NULL, "Warning", "FailedStaticPod",
			"%s: %s", path, why);
}

static void read_manifest(struct static_pods *s, struct manifest *f, const char *path)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct static_origin origin = {
		.kinds = s->n->kinds,
		.pod_kind = s->m->pod_kind,
		.node_name = s->n->name,
		.path = path,
		.seen_ns = wall(s->n),
	};
	struct object *pod;
	struct err err = ERR_INIT;
	struct str text;

	if (file_load(&a, path, FILE_MAX_BYTES, &text, &err) < 0 ||
		static_manifest_read(&origin, text.p, text.size, &pod, &err) < 0) {
		complain(s, f, path, err.msg);
		return;
	}
	free(TAKE_PTR(f->complaint));
	/* The same content is the same pod, whenever it was seen. */
	if (f->pod && streq(f->pod->uid, pod->uid)) {
		object_unref(pod);
		return;
	}
	object_unref(f->pod);
	f->pod = pod;
}

/* True when it has to be looked at again soon. */
static bool scan_file(struct static_pods *s, const char *path)
{
	struct manifest *f = table_get(&s->manifests, path);
	struct stat st;
	bool soon = false;

	if (stat(path, &st) < 0 || !S_ISREG(st.st_mode))
		return false;
	if (!f) {
		f = xcalloc(1, sizeof(*f));
		table_set(&s->manifests, path, f);
	}
	f->seen = true;
	int64_t mtime = (int64_t)st.st_mtim.tv_sec * NS_PER_S + st.st_mtim.tv_nsec;
	int64_t age = wall(s->n) - mtime;
	if (age >= 0 && age < SETTLE_MS * NS_PER_MS)
		soon = true;
	else if (f->mtime_ns != mtime || f->size != st.st_size || f->inode != st.st_ino) {
		read_manifest(s, f, path);
		f->mtime_ns = mtime;
		f->size = st.st_size;
		f->inode = st.st_ino;
	}
	return soon;
}

static bool scan_directory(struct static_pods *s)
{
	struct dirent **list;
	bool soon = false;
	int count = scandir(s->path, &list, NULL, alphasort);

	for (int i = 0; i < count; i++) {
		_cleanup_(free_p) char *path = xasprintf("%s/%s", s->path, list[i]->d_name);
		if (list[i]->d_name[0] != '.' && i < FILES_MAX)
			soon |= scan_file(s, path);
		free(list[i]);
	}
	if (count >= 0)
		free(list);
	return soon;
}

static int by_text(const void *x, const void *y)
{
	return strcmp(*(const char *const *)x, *(const char *const *)y);
}

/* What the files say goes into the pods; of two files for one name the first counts. */
static void apply(struct static_pods *s)
{
	VEC(const char *) paths = {0};

	for (struct table_iter i = table_iterate(&s->manifests); table_next(&i);) {
		struct manifest *f = i.value;
		if (f->seen) {
			VEC_PUSH(&paths, i.key);
			continue;
		}
		table_remove(&s->manifests, i.key);
		object_unref(f->pod);
		free(f->complaint);
		free(f);
	}
	if (paths.count > 1)
		qsort(paths.items, paths.count, sizeof(*paths.items), by_text);
	for (size_t i = 0; i < paths.count; i++) {
		struct manifest *f = table_get(&s->manifests, paths.items[i]);
		f->seen = false;
		if (!f->pod)
			continue;
		struct static_pod *p = pod_named(s, f->pod);
		if (p->seen) {
			complain(s, f, paths.items[i], "another file has a pod of this name");
			continue;
		}
		p->seen = true;
		if (!p->wanted || !streq(p->wanted->uid, f->pod->uid))
			set_object(&p->wanted, f->pod);
	}
	VEC_FINISH(&paths);
	for (struct table_iter i = table_iterate(&s->pods); table_next(&i);) {
		struct static_pod *p = i.value;
		if (!p->seen)
			set_object(&p->wanted, NULL);
		p->seen = false;
	}
}

static void on_changed(uv_fs_event_t *h, const char *name, int events, int status)
{
	struct static_pods *s = h->data;

	/* However often it changes, it is looked at. */
	if (!s->hurried)
		wakeup_in(s->scan, SETTLE_MS);
	s->hurried = true;
}

static void on_watch_closed(uv_handle_t *h)
{
	free(h);
}

static void watch(struct static_pods *s)
{
	s->watch = xcalloc(1, sizeof(*s->watch));
	uv_fs_event_init(s->n->loop, s->watch);
	s->watch->data = s;
	/* Without it the files are looked at every now and then all the same; the directory may
	 * be made later. */
	if (uv_fs_event_start(s->watch, on_changed, s->path, 0) < 0)
		uv_close((uv_handle_t *)TAKE_PTR(s->watch), on_watch_closed);
}

static void on_scan(void *user)
{
	struct static_pods *s = user;
	struct stat st;
	bool soon;

	s->hurried = false;
	if (!s->watch)
		watch(s);
	if (stat(s->path, &st) == 0 && S_ISDIR(st.st_mode))
		soon = scan_directory(s);
	else
		soon = scan_file(s, s->path);
	s->known = s->known || !soon;
	apply(s);
	on_work(s);
	wakeup_in(s->scan, soon ? SETTLE_MS : s->n->config->file_check_ms);
}

struct static_pods *static_pods_create(struct pod_manager *m)
{
	struct static_pods *s = xcalloc(1, sizeof(*s));

	s->m = m;
	s->n = m->n;
	s->path = m->n->config->static_pod_path;
	s->scan = wakeup_create(m->n->loop, m->n->clock, on_scan, s);
	s->work = wakeup_create(m->n->loop, m->n->clock, on_work, s);
	s->known = !*s->path;
	if (*s->path)
		on_scan(s);
	return s;
}

void static_pods_destroy(struct static_pods *s)
{
	if (!s)
		return;
	for (struct table_iter i = table_iterate(&s->pods); table_next(&i);)
		pod_free(i.value);
	table_finish(&s->pods);
	for (struct table_iter i = table_iterate(&s->manifests); table_next(&i);) {
		struct manifest *f = i.value;
		object_unref(f->pod);
		free(f->complaint);
		free(f);
	}
	table_finish(&s->manifests);
	wakeup_destroy(s->scan);
	wakeup_destroy(s->work);
	if (s->watch)
		uv_close((uv_handle_t *)s->watch, on_watch_closed);
	free(s);
}

/* pod_gc.c - see pod_gc.h. */
#include "node/pod/pod_gc.h"

#include "lib/base/log.h"
#include "node/pod/pod_volumes.h"

/* ---- whose ---- */

bool pod_gc_was_here(struct pod_manager *m, const char *uid)
{
	_cleanup_(free_p) char *dir = xasprintf("%s/pods/%s", m->n->data_dir, uid);

	return access(dir, F_OK) == 0;
}

bool pod_gc_is_ours(struct pod_manager *m, const Cri__PodSandbox *s, const char *uid)
{
	return cri_pair_get(s->annotations, s->n_annotations, ANNOTATION_OURS) ||
	       pod_gc_was_here(m, uid);
}

/* ---- dead sandboxes of living pods ---- */

static bool is_empty(const Cri__PodSandbox *s, Cri__Container *const *containers, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (streq(containers[i]->pod_sandbox_id, s->id))
			return false;
	}
	return true;
}

static void on_sandbox_removed(void *user, const struct grpc_result *r)
{
	struct pod_op *op = user;

	op->grpc = NULL;
	/* One that would not go is found again by the next list. */
	if (!grpc_ok(r))
		log_debug("dead sandbox", "pod", op->w->name, "reason", r->message, NULL);
	pod_op_end(op);
}

void pod_gc_sandboxes(struct pod_worker *w, Cri__PodSandbox **sandboxes, size_t sandbox_count,
	Cri__Container **containers, size_t container_count)
{
	if (!w->sandbox_id || w->view.sandbox_busy || !list_empty(&w->ops))
		return;
	for (size_t i = 0; i < sandbox_count; i++) {
		const Cri__PodSandbox *s = sandboxes[i];
		if (s->state == CRI__POD_SANDBOX_STATE__SANDBOX_READY ||
			streq(s->id, w->sandbox_id) || !s->metadata ||
			s->metadata->attempt >= w->view.sandbox_attempt ||
			!is_empty(s, containers, container_count))
			continue;
		struct pod_op *op = pod_op_new(w, SIZE_MAX, "remove dead sandbox");
		op->grpc = cri_remove_sandbox(w->m->cri, s->id, on_sandbox_removed, op);
		return;
	}
}

/* ---- pods that are over ---- */

struct clearance_files {
	char *uid, *dir, *logs;
};

struct clearance {
	struct list link;
	struct pod_manager *m;
	VEC(char *) ids; /* containers first */
	size_t containers, at;
	VEC(struct clearance_files) files;
	size_t files_at;
	struct grpc_call *call;
	struct file_job *job;
	struct wakeup *soon; /* nothing to remove: the answer comes later all the same */
	void (*done)(void *user);
	void *user;
};

static void clearance_free(struct clearance *c)
{
	list_remove(&c->link);
	grpc_call_cancel(c->call);
	file_job_cancel(c->job);
	for (size_t i = 0; i < c->files.count; i++) {
		free(c->files.items[i].uid);
		free(c->files.items[i].dir);
		free(c->files.items[i].logs);
	}
	VEC_FINISH(&c->files);
	wakeup_destroy(c->soon);
	for (size_t i = 0; i < c->ids.count; i++)
		free(c->ids.items[i]);
	VEC_FINISH(&c->ids);
	free(c);
}

static void clear_next(struct clearance *c);

static void on_cleared(void *user, const struct grpc_result *r)
{
	struct clearance *c = user;

	c->call = NULL;
	if (!grpc_ok(r))
		log_warn("container of a pod that is over could not be removed", "id",
			c->ids.items[c->at], "reason", r->message, NULL);
	c->at++;
	clear_next(c);
}

static void on_files_removed(void *user, const struct err *err)
{
	struct clearance *c = user;

	c->job = NULL;
	if (err)
		log_warn("files of a pod that is over could not be removed", "uid",
			c->files.items[c->files_at].uid, "reason", err->msg, NULL);
	c->files_at++;
	clear_next(c);
}

static void clear_next(struct clearance *c)
{
	struct pod_manager *m = c->m;

	if (c->at < c->containers) {
		c->call = cri_remove_container(m->cri, c->ids.items[c->at], on_cleared, c);
	} else if (c->at < c->ids.count) {
		c->call = cri_remove_sandbox(m->cri, c->ids.items[c->at], on_cleared, c);
	} else if (c->files_at < c->files.count) {
		const struct clearance_files *f = &c->files.items[c->files_at];
		c->job = pod_volumes_remove(m->n, f->uid, f->dir, f->logs, on_files_removed, c);
	} else {
		void (*done)(void *user) = c->done;
		void *user = c->user;
		clearance_free(c);
		done(user);
	}
}

static void on_soon(void *user)
{
	clear_next(user);
}

void pod_manager_clear_finished(struct pod_manager *m, void (*done)(void *user), void *user)
{
	struct clearance *c = xcalloc(1, sizeof(*c));
	VEC(char *) sandboxes = {0};

	c->m = m;
	c->done = done;
	c->user = user;
	list_init(&c->link);
	list_append(&m->clearances, &c->link);
	for (struct table_iter it = table_iterate(&m->workers); table_next(&it);) {
		struct pod_worker *w = it.value;
		if (w->sm.state != POD_FINISHED || !list_empty(&w->ops))
			continue;
		for (size_t i = 0; i < w->view.container_count; i++) {
			const struct pod_container *p = &w->containers[i];
			if (p->cur.id)
				VEC_PUSH(&c->ids, xstrdup(p->cur.id));
			if (p->last.id)
				VEC_PUSH(&c->ids, xstrdup(p->last.id));
		}
		if (w->sandbox_id && w->view.sandbox_exists)
			VEC_PUSH(&sandboxes, xstrdup(w->sandbox_id));
		if (access(w->dir, F_OK) < 0)
			continue;
		_cleanup_(arena_finish) struct arena a = ARENA_INIT;
		VEC_PUSH(&c->files, ((struct clearance_files){xstrdup(w->uid), xstrdup(w->dir),
					    xstrdup(pod_log_dir(&a, pod_worker_doc(w, &a)))}));
	}
	c->containers = c->ids.count;
	for (size_t i = 0; i < sandboxes.count; i++)
		VEC_PUSH(&c->ids, sandboxes.items[i]);
	VEC_FINISH(&sandboxes);
	c->soon = wakeup_create(m->n->loop, m->n->clock, on_soon, c);
	wakeup_in(c->soon, 0);
}

void pod_gc_cancel(struct pod_manager *m)
{
	LIST_FOR_EACH(c, &m->clearances, struct clearance, link)
		clearance_free(c);
}

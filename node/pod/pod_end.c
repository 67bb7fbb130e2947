/* pod_end.c - pods that the node ends, not they themselves: evicted, refused, preempted, or on a
 * node that is being shut down. */
#include "node/pod/pod_internal.h"

bool pod_worker_end(struct pod_worker *w, const struct pod_end *e)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;

	if (w->view.ended)
		return false;
	int64_t grace = e->grace_s >= 0 ? e->grace_s
					: pod_seconds(pod_worker_doc(w, &a),
						  "spec.terminationGracePeriodSeconds", 30);
	w->view.ended = true;
	w->ended_phase = PHASE_FAILED;
	free(w->ended_reason);
	free(w->ended_message);
	free(w->disruption);
	w->ended_reason = xstrdup(e->reason);
	w->ended_message = xstrdup(e->message);
	w->disruption = e->disruption ? xstrdup(e->disruption) : NULL;
	/* One that is being deleted has a time limit already; this may only be sooner. */
	int64_t stop_by = wall(w->n) + grace * NS_PER_S;
	w->view.stop_by_ns = w->view.deleting ? MIN(w->view.stop_by_ns, stop_by) : stop_by;
	if (e->event)
		pod_worker_event(w, -1, "Warning", e->event, "%s", e->message);
	pod_worker_poke(w);
	return true;
}

bool pod_manager_end(struct pod_manager *m, const char *uid, const struct pod_end *e)
{
	struct pod_worker *w = table_get(&m->workers, uid);

	return w && pod_worker_end(w, e);
}

static bool runs(const struct pod_worker *w)
{
	for (size_t i = 0; i < w->view.container_count; i++) {
		const struct container_view *c = &w->view.containers[i];
		if (c->busy || c->killing || c->run == RUN_RUNNING || c->run == RUN_UNKNOWN)
			return true;
	}
	return w->view.sandbox_exists && w->view.sandbox_ready;
}

void pod_manager_walk(
	struct pod_manager *m, void (*each)(void *user, const struct pod_here *p), void *user)
{
	for (struct table_iter it = table_iterate(&m->workers); table_next(&it);) {
		struct pod_worker *w = it.value;
		struct pod_here p = {
			.object = w->pod,
			.uid = w->uid,
			.dir = w->dir,
			.ended = w->view.ended,
			.leaving = w->view.deleting || w->view.absent,
			.stopped = w->applied && !runs(w),
			.has_volumes = w->view.setup_busy || w->view.setup_ready || !w->applied,
			.start_ns = w->start_ns,
		};
		each(user, &p);
	}
}

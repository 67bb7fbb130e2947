/* pod_finished.c - a pod that is over and has not been deleted: its containers and logs stay for
 * who asks for them, its volumes are of no use to anybody. */
#include "node/pod/pod_internal.h"

#include <fcntl.h>
#include <stdio.h>

#include "lib/base/log.h"
#include "node/pod/pod_volumes.h"

#define RETRY_MIN_NS (2 * NS_PER_S)
#define RETRY_MAX_NS (122 * NS_PER_S)

/* Before the API knows that it is over, the next agent would begin with the pod's volumes again. */
static bool known_to_be_over(struct pod_worker *w)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct object *o = w->is_static ? w->mirror : w->pod;
	const char *phase = o ? json_path_str(object_doc(o, &a), "status.phase") : NULL;

	return streq(phase, "Succeeded") || streq(phase, "Failed");
}

static bool is_there(const struct pod_worker *w, const char *name)
{
	_cleanup_(free_p) char *path = xasprintf("%s/%s", w->dir, name);

	return access(path, F_OK) == 0;
}

static void on_removed(void *user, const struct err *err)
{
	struct pod_op *op = user;
	struct pod_finished *f = &op->w->finished;

	op->job = NULL;
	f->busy = false;
	f->volumes_gone = !err;
	if (err) {
		f->delay_ns = MIN(MAX(f->delay_ns * 2, RETRY_MIN_NS), RETRY_MAX_NS);
		f->retry_ns = mono(op->w->n) + f->delay_ns;
		log_warn("volumes of a pod that is over could not be removed yet", "namespace",
			op->w->ns, "pod", op->w->name, "reason", err->msg, NULL);
	}
	pod_op_end(op);
}

int64_t pod_finished_step(struct pod_worker *w)
{
	struct pod_finished *f = &w->finished;

	if (w->sm.state != POD_FINISHED || f->volumes_gone || f->busy || !known_to_be_over(w))
		return INT64_MAX;
	if (f->retry_ns > mono(w->n))
		return f->retry_ns - mono(w->n);
	if (!is_there(w, "volumes") && !is_there(w, "subpaths")) {
		f->volumes_gone = true;
		return INT64_MAX;
	}
	_cleanup_(free_p) char *volumes = xasprintf("%s/volumes", w->dir);
	_cleanup_(free_p) char *sub_paths = xasprintf("%s/subpaths", w->dir);
	struct pod_op *op = pod_op_new(w, SIZE_MAX, "remove volumes");
	f->busy = true;
	pod_volumes_forget(w);
	op->job = pod_volumes_remove(w->n, w->uid, volumes, sub_paths, on_removed, op);
	return INT64_MAX;
}

/* pod_leave.c - the operations that take something down: a container, all of a pod, and at last its
 * object. */
#include "node/pod/pod_internal.h"

#include <stdio.h>

#include "lib/base/log.h"
#include "node/pod/pod_volumes.h"
#include "node/resources/resources.h"

enum { STOP_MIN_S = 2 };

/* ---- kill ---- */

static void kill_end(struct pod_op *op)
{
	struct pod_worker *w = op->w;
	size_t i = op->container;
	bool other = false;

	LIST_FOR_EACH(o, &w->ops, struct pod_op, link)
		other = other || (o != op && o->container == i && streq(o->what, op->what));
	w->view.containers[i].killing = other;
	if (!other && w->containers[i].cur.run != RUN_EXITED)
		w->view.containers[i].kill_retry_ns = wall(w->n) + NS_PER_S;
	w->touched_ns[i] = mono(w->n);
	pod_worker_show(w, i);
	pod_op_end(op);
}

static void on_killed_status(void *user, const struct grpc_result *r)
{
	struct pod_op *op = user;
	struct pod_container *c = &op->w->containers[op->container];
	const Cri__ContainerStatusResponse *s = r->response;

	op->grpc = NULL;
	if (streq(c->cur.id, op->id)) {
		if (grpc_ok(r) && s->status) {
			pod_instance_fill(op->w, op->container, &c->cur, s->status);
		} else if (r->status == GRPC_NOT_FOUND) {
			c->cur.run = RUN_EXITED;
			c->cur.detailed = true;
			c->cur.exit_code = 137;
			c->cur.finished_ns = wall(op->w->n);
		}
	}
	kill_end(op);
}

static void on_killed(void *user, const struct grpc_result *r)
{
	struct pod_op *op = user;

	op->grpc = NULL;
	if (!grpc_ok(r) && r->status != GRPC_NOT_FOUND)
		log_warn("container could not be stopped", "pod", op->w->name, "container",
			op->w->containers[op->container].name, "reason", r->message, NULL);
	op->grpc = cri_container_status(op->w->m->cri, op->id, on_killed_status, op);
}

static void stop_now(struct pod_op *op)
{
	int64_t spent = (mono(op->w->n) - op->started_ns) / NS_PER_S;
	int64_t left = op->grace_s - spent;

	/* A hook uses the same grace period, but the container gets a moment in any case. */
	left = op->why == KILL_NO_SANDBOX ? 0 : MAX(left, (int64_t)STOP_MIN_S);
	op->grpc = cri_stop_container(op->w->m->cri, op->id, left, on_killed, op);
}

static void on_pre_stop(void *user, const struct err *err)
{
	struct pod_op *op = user;

	op->hook = NULL;
	if (err)
		pod_worker_event(op->w, (long)op->container, "Warning", "FailedPreStopHook",
			"PreStopHook failed");
	stop_now(op);
}

static void tell_killing(struct pod_worker *w, size_t i, enum pod_kill_why why)
{
	const char *name = w->containers[i].name;
	const struct container_view *v = &w->view.containers[i];
	const char *then = w->view.restart_policy != POD_RESTART_NEVER || v->sidecar
				   ? ", will be restarted"
				   : "";

	switch (why) {
	case KILL_NOT:
	case KILL_STOPPING:
	case KILL_NO_SANDBOX:
		pod_worker_event(w, (long)i, "Normal", "Killing", "Stopping container %s", name);
		break;
	case KILL_CHANGED:
		pod_worker_event(w, (long)i, "Normal", "Killing",
			"Container %s definition changed, will be restarted", name);
		break;
	case KILL_LIVENESS:
		pod_worker_event(w, (long)i, "Normal", "Killing",
			"Container %s failed liveness probe%s", name, then);
		break;
	case KILL_STARTUP:
		pod_worker_event(w, (long)i, "Normal", "Killing",
			"Container %s failed startup probe%s", name, then);
		break;
	case KILL_POST_START:
		pod_worker_event(w, (long)i, "Normal", "Killing", "FailedPostStartHook");
		break;
	case KILL_RESIZED:
		pod_worker_event(w, (long)i, "Normal", "Killing",
			"Container %s resize requires restart", name);
		break;
	case KILL_UNKNOWN:
		pod_worker_event(w, (long)i, "Normal", "Killing",
			"Container is in unknown state, try killing it before starting again");
		break;
	}
}

/* A more urgent stop does not wait for the hook of the one before. */
static void end_hook(struct pod_worker *w, size_t i)
{
	LIST_FOR_EACH(op, &w->ops, struct pod_op, link) {
		if (op->container == i && streq(op->what, "stop container") && op->hook) {
			pod_hook_cancel(TAKE_PTR(op->hook));
			pod_op_end(op);
			return;
		}
	}
}

void pod_op_kill(struct pod_worker *w, size_t i, enum pod_kill_why why, int64_t grace_s)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct json *pod = pod_worker_doc(w, &a);
	const struct json *doc = pod_container_doc(pod, i);
	struct pod_container *c = &w->containers[i];
	struct container_view *v = &w->view.containers[i];
	bool again = v->killing;

	if (again)
		end_hook(w, i);
	struct pod_op *op = pod_op_new(w, i, "stop container");
	if (grace_s < 0)
		grace_s = pod_seconds(pod, "spec.terminationGracePeriodSeconds", 30);
	if (why == KILL_LIVENESS || why == KILL_STARTUP)
		grace_s = pod_seconds(doc,
			why == KILL_LIVENESS ? "livenessProbe.terminationGracePeriodSeconds"
					     : "startupProbe.terminationGracePeriodSeconds",
			grace_s);
	op->id = xstrdup(c->cur.id);
	op->why = why;
	op->grace_s = grace_s;
	v->killing = true;
	/* A stop that begins late is no less urgent for it. */
	v->kill_by_ns = why == KILL_STOPPING ? w->view.stop_by_ns : wall(w->n) + grace_s * NS_PER_S;
	pod_probes_leave(w, i);
	if (!again)
		tell_killing(w, i, why);
	const struct json *hook = json_path(doc, "lifecycle.preStop");
	if (hook && grace_s > 0 && !again && v->run == RUN_RUNNING)
		op->hook = pod_hook_run(w, i, hook, grace_s * 1000, on_pre_stop, op);
	else
		stop_now(op);
}

/* ---- remove ---- */

static void remove_next(struct pod_op *op);

static void remove_failed(struct pod_op *op, const char *text)
{
	struct pod_worker *w = op->w;
	int64_t now = wall(w->n);

	log_warn("pod could not be removed yet", "namespace", w->ns, "pod", w->name, "reason", text,
		NULL);
	pod_worker_event(w, -1, "Warning", "FailedKillPod", "error killing pod: %s", text);
	w->remove_backoff.delay_ns =
		MIN(MAX(w->remove_backoff.delay_ns * 2, NS_PER_S), 60 * NS_PER_S);
	w->view.remove_retry_ns = now + w->remove_backoff.delay_ns;
	w->view.remove_busy = false;
	pod_op_end(op);
}

static void on_removed(void *user, const struct grpc_result *r)
{
	struct pod_op *op = user;

	op->grpc = NULL;
	if (!grpc_ok(r) && r->status != GRPC_NOT_FOUND) {
		remove_failed(op, r->message);
		return;
	}
	remove_next(op);
}

static void on_files_removed(void *user, const struct err *err)
{
	struct pod_op *op = user;
	struct pod_worker *w = op->w;

	op->job = NULL;
	if (err) {
		remove_failed(op, err->msg);
		return;
	}
	w->view.removed = true;
	w->view.remove_busy = false;
	w->view.sandbox_exists = false;
	pod_op_end(op);
}

static void remove_next(struct pod_op *op)
{
	struct pod_worker *w = op->w;

	if (op->queue.count > 0) {
		_cleanup_(free_p) char *id = op->queue.items[0];
		VEC_REMOVE(&op->queue, 0);
		if (op->container_ids > 0) {
			op->container_ids--;
			op->grpc = cri_remove_container(w->m->cri, id, on_removed, op);
		} else {
			op->grpc = cri_remove_sandbox(w->m->cri, id, on_removed, op);
		}
		return;
	}
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	/* Before the directory: by that the next start finds what is left. */
	resources_pod_cgroup_remove(w->n->resources, w->uid);
	op->job = pod_volumes_remove(
		w->n, w->uid, w->dir, pod_log_dir(&a, pod_worker_doc(w, &a)), on_files_removed, op);
}

static void on_remove_sandboxes(void *user, const struct grpc_result *r)
{
	struct pod_op *op = user;
	const Cri__ListPodSandboxResponse *list = r->response;

	op->grpc = NULL;
	if (!grpc_ok(r)) {
		remove_failed(op, r->message);
		return;
	}
	for (size_t i = 0; i < list->n_items; i++)
		VEC_PUSH(&op->queue, xstrdup(list->items[i]->id));
	remove_next(op);
}

static void on_remove_containers(void *user, const struct grpc_result *r)
{
	struct pod_op *op = user;
	const Cri__ListContainersResponse *list = r->response;

	op->grpc = NULL;
	if (!grpc_ok(r)) {
		remove_failed(op, r->message);
		return;
	}
	for (size_t i = 0; i < list->n_containers; i++)
		VEC_PUSH(&op->queue, xstrdup(list->containers[i]->id));
	op->container_ids = op->queue.count;
	op->grpc = cri_list_sandboxes(
		op->w->m->cri, LABEL_POD_UID, op->w->uid, on_remove_sandboxes, op);
}

void pod_op_remove(struct pod_worker *w)
{
	struct pod_op *op = pod_op_new(w, SIZE_MAX, "remove pod");

	w->view.remove_busy = true;
	op->grpc = cri_list_containers(w->m->cri, LABEL_POD_UID, w->uid, on_remove_containers, op);
}

/* ---- confirm ---- */

static void on_confirmed(void *user, const struct client_result *r)
{
	struct pod_op *op = user;
	struct pod_worker *w = op->w;

	op->client = NULL;
	w->view.confirm_busy = false;
	/* Not there, or another pod of that name: either way ours is gone. */
	if (r->code == 404 || r->code == 409)
		w->view.absent = true;
	else if (client_ok(r))
		/* The informer tells when it is gone; finalizers may take their time. */
		w->view.remove_retry_ns = wall(w->n) + 30 * NS_PER_S;
	else {
		log_warn("the end of a pod can't be told, trying again", "namespace", w->ns, "pod",
			w->name, "reason", r->message, NULL);
		w->view.remove_retry_ns = wall(w->n) + NS_PER_S;
	}
	pod_op_end(op);
}

void pod_op_confirm(struct pod_worker *w)
{
	/* Nobody but its file made it: there is nobody to tell. */
	if (w->is_static) {
		w->view.absent = true;
		pod_worker_poke(w);
		return;
	}
	struct pod_op *op = pod_op_new(w, SIZE_MAX, "confirm deletion");

	w->view.confirm_busy = true;
	op->client = client_delete(
		w->n->client, w->m->pod_kind, w->ns, w->name, w->uid, 0, NULL, on_confirmed, op);
}

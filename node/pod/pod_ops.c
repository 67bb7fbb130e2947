/* pod_ops.c - operations of a pod worker, and those on its sandbox. Each is a short chain of
 * callbacks on one struct pod_op; whatever happens it ends in pod_op_end(), which lets the worker
 * decide anew. Cancelling a worker's operations cancels the call each one waits for; nothing is
 * undone, the next look at the runtime shows how far they got. */
#include "node/metrics/node_metrics.h"
#include "node/pod/pod_internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/base/log.h"
#include "node/pod/pod_message.h"
#include "node/resources/resources.h"

struct pod_op *pod_op_new(struct pod_worker *w, size_t container, const char *what)
{
	struct pod_op *op = xcalloc(1, sizeof(*op));

	op->w = w;
	op->container = container;
	op->what = what;
	op->image_uid = -1;
	op->started_ns = mono(w->n);
	list_init(&op->link);
	list_append(&w->ops, &op->link);
	return op;
}

static void op_free(struct pod_op *op)
{
	list_remove(&op->link);
	file_job_cancel(op->job);
	pod_network_cancel(op);
	for (size_t i = 0; i < op->queue.count; i++)
		free(op->queue.items[i]);
	VEC_FINISH(&op->queue);
	pod_refs_destroy(op->refs);
	wakeup_destroy(op->timer);
	free(op->id);
	free(op->image_user);
	free(op);
}

void pod_op_end(struct pod_op *op)
{
	struct pod_worker *w = op->w;

	pod_count_operation(op);
	op_free(op);
	pod_worker_poke(w);
}

void pod_ops_cancel(struct pod_worker *w)
{
	LIST_FOR_EACH(op, &w->ops, struct pod_op, link) {
		grpc_call_cancel(op->grpc);
		pod_refs_fetch_cancel(op->fetch);
		if (op->client)
			client_cancel(w->n->client, op->client);
		pod_hook_cancel(op->hook);
		image_pull_cancel(op->pull);
		resources_call_cancel(op->cgroup);
		op_free(op);
	}
}

int pod_file_write(const char *path, const char *text, unsigned mode, struct err *err)
{
	_cleanup_(close_p) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	size_t size = strlen(text);

	if (fd < 0)
		return err_errno(err, -errno, "create '%s'", path);
	if (fchmod(fd, (mode_t)mode) < 0 || write(fd, text, size) != (ssize_t)size)
		return err_errno(err, -errno, "write '%s'", path);
	return 0;
}

/* ---- sandbox ---- */

const char *pod_worker_ips(struct arena *a, const char *one, const char *two)
{
	return *one && *two ? arena_printf(a, "%s,%s", one, two) : one;
}

static void sandbox_ip(struct pod_worker *w, const Cri__PodSandboxStatus *s)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct json *pod = pod_worker_doc(w, &a);
	const Cri__PodSandboxNetworkStatus *net = s ? s->network : NULL;
	const char *first = net && net->ip ? net->ip : "";
	size_t more = net ? net->n_additional_ips : 0, count = 0;
	const char **ips = arena_alloc(&a, (more + 1) * sizeof(*ips));
	bool host = false;

	if (json_path_bool(pod, "spec.hostNetwork", false)) {
		first = w->n->host_ip;
		host = true;
		more = 0;
	}
	snprintf(w->pod_ip, sizeof(w->pod_ip), "%s", first);
	snprintf(w->pod_ip6, sizeof(w->pod_ip6), "%s",
		net && more ? net->additional_ips[0]->ip
		: host	    ? w->n->host_ip6
			    : "");
	if (*first)
		ips[count++] = first;
	for (size_t i = 0; i < more; i++)
		ips[count++] = net->additional_ips[i]->ip;
	pod_worker_write_hosts(w, ips, count);
}

static void adopt_cgroup(struct pod_worker *w)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;

	resources_pod_adopt(w->n->resources, pod_worker_doc(w, &a));
}

static void sandbox_known(struct pod_op *op)
{
	struct pod_worker *w = op->w;

	w->view.sandbox_busy = false;
	w->sandbox_touched_ns = mono(w->n);
	pod_worker_show_all(w);
	pod_op_end(op);
}

static void on_sandbox_status(void *user, const struct grpc_result *r);

static void ask_sandbox_again(void *user)
{
	struct pod_op *op = user;

	wakeup_destroy(TAKE_PTR(op->timer));
	op->grpc = cri_sandbox_status(op->w->m->cri, op->w->sandbox_id, on_sandbox_status, op);
}

static void ask_sandbox_later(struct pod_op *op)
{
	op->timer = wakeup_create(op->w->n->loop, op->w->n->clock, ask_sandbox_again, op);
	wakeup_in(op->timer, 1000);
}

static void on_sandbox_status(void *user, const struct grpc_result *r)
{
	struct pod_op *op = user;
	struct pod_worker *w = op->w;
	const Cri__PodSandboxStatusResponse *s = r->response;

	op->grpc = NULL;
	if (grpc_ok(r) && s->status && streq(s->status->id, w->sandbox_id)) {
		w->view.sandbox_exists = true;
		w->view.sandbox_ready = s->status->state == CRI__POD_SANDBOX_STATE__SANDBOX_READY;
		if (w->view.sandbox_ready)
			adopt_cgroup(w);
		sandbox_ip(w, s->status);
		if (w->view.sandbox_ready && pod_network_missing(op, s->status)) {
			ask_sandbox_later(op);
			return;
		}
		if (w->view.sandbox_ready && pod_network_wait(op, s->status, sandbox_known))
			return;
	} else if (r->status == GRPC_NOT_FOUND) {
		w->view.sandbox_ready = false;
	} else {
		/* A runtime that can't be asked says nothing about the sandbox: it may well run. */
		w->sandbox_unread = true;
		/* But nothing starts in one whose addresses are not known. */
		if (w->view.sandbox_ready && !*w->pod_ip) {
			ask_sandbox_later(op);
			return;
		}
	}
	sandbox_known(op);
}

void pod_op_sandbox_detail(struct pod_worker *w)
{
	struct pod_op *op = pod_op_new(w, SIZE_MAX, "sandbox status");

	w->view.sandbox_busy = true;
	w->sandbox_unread = false;
	op->grpc = cri_sandbox_status(w->m->cri, w->sandbox_id, on_sandbox_status, op);
}

void pod_sandbox_failed(struct pod_op *op, const char *text)
{
	struct pod_worker *w = op->w;

	metric_add(&metric_started_pod_errors, 1, NULL);
	pod_worker_event(w, -1, "Warning", "FailedCreatePodSandBox",
		"Failed to create pod sandbox: %s", text);
	/* From 1 s, doubling to 32 s: a network that comes up late should not cost 10 s. */
	int64_t delay = w->sandbox_backoff.delay_ns;
	delay = delay ? MIN(delay * 2, 32 * NS_PER_S) : NS_PER_S;
	w->sandbox_backoff.delay_ns = delay;
	w->view.sandbox_retry_ns = wall(w->n) + delay;
	w->view.sandbox_busy = false;
	w->sandbox_touched_ns = mono(w->n);
	pod_op_end(op);
}

void pod_sandbox_on_run(void *user, const struct grpc_result *r)
{
	struct pod_op *op = user;
	struct pod_worker *w = op->w;

	op->grpc = NULL;
	const Cri__RunPodSandboxResponse *s = r->response;
	if (!grpc_ok(r) || !*s->pod_sandbox_id) {
		_cleanup_(free_p) char *text =
			xasprintf("rpc error: code = %s desc = %s", grpc_status_name(r->status),
				grpc_ok(r) ? "the runtime gave no sandbox id" : r->message);
		pod_sandbox_failed(op, text);
		return;
	}
	w->sandbox_backoff = (struct backoff){0};
	free(w->sandbox_id);
	w->sandbox_id = xstrdup(s->pod_sandbox_id);
	w->view.sandbox_exists = w->view.sandbox_ready = true;
	op->grpc = cri_sandbox_status(w->m->cri, w->sandbox_id, on_sandbox_status, op);
}

static void on_old_sandbox_stopped(void *user, const struct grpc_result *r)
{
	struct pod_op *op = user;

	op->grpc = NULL;
	op->w->view.sandbox_attempt++;
	pod_sandbox_run(op);
}

void pod_op_run_sandbox(struct pod_worker *w)
{
	struct pod_op *op = pod_op_new(w, SIZE_MAX, "run sandbox");

	w->view.sandbox_busy = true;
	if (w->view.sandbox_exists) {
		/* Gives its network back; fails harmlessly when it is gone already. */
		pod_worker_event(w, -1, "Normal", "SandboxChanged",
			"Pod sandbox changed, it will be killed and re-created.");
		op->grpc = cri_stop_sandbox(w->m->cri, w->sandbox_id, on_old_sandbox_stopped, op);
	} else {
		pod_sandbox_run(op);
	}
}

static void on_sandbox_stopped(void *user, const struct grpc_result *r)
{
	struct pod_op *op = user;
	struct pod_worker *w = op->w;

	op->grpc = NULL;
	w->view.sandbox_busy = false;
	w->sandbox_touched_ns = mono(w->n);
	if (grpc_ok(r) || r->status == GRPC_NOT_FOUND) {
		w->view.sandbox_ready = false;
		resources_pod_cgroup_remove(w->n->resources, w->uid);
	} else {
		pod_worker_event(
			w, -1, "Warning", "FailedKillPod", "error killing pod: %s", r->message);
		w->view.sandbox_retry_ns = wall(w->n) + NS_PER_S;
	}
	pod_op_end(op);
}

static void on_stop_again(void *user)
{
	struct pod_op *op = user;

	op->grpc = cri_stop_sandbox(op->w->m->cri, op->w->sandbox_id, on_sandbox_stopped, op);
}

void pod_op_stop_sandbox(struct pod_worker *w)
{
	struct pod_op *op = pod_op_new(w, SIZE_MAX, "stop sandbox");
	int64_t wait = w->view.sandbox_retry_ns - wall(w->n);

	w->view.sandbox_busy = true;
	op->timer = wakeup_create(w->n->loop, w->n->clock, on_stop_again, op);
	wakeup_in(op->timer, MAX(wait, 0) / NS_PER_MS);
}

/* ---- details of one container ---- */

/* The container's own words come behind the runtime's. */
static void read_message(struct pod_worker *w, size_t i, struct instance *to)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct json *pod = pod_worker_doc(w, &a), *doc = pod_container_doc(pod, i);
	const char *name = w->containers[i].name, *log = NULL;

	if (to->exit_code != 0 &&
		streq(json_str(json_get(doc, "terminationMessagePolicy")), "FallbackToLogsOnError"))
		log = arena_printf(&a, "%s/%s", pod_log_dir(&a, pod),
			container_log_path(&a, name, to->attempt));
	const char *said = pod_message_read(
		&a, arena_printf(&a, "%s/containers/%s/%u", w->dir, name, to->attempt), log);
	if (!*said)
		return;
	_cleanup_(free_p) char *before = to->message;
	to->message = before && *before ? xasprintf("%s: %s", before, said) : xstrdup(said);
}

void pod_instance_fill(
	struct pod_worker *w, size_t i, struct instance *to, const Cri__ContainerStatus *s)
{
	static const enum container_run runs[] = {
		[CRI__CONTAINER_STATE__CONTAINER_CREATED] = RUN_CREATED,
		[CRI__CONTAINER_STATE__CONTAINER_RUNNING] = RUN_RUNNING,
		[CRI__CONTAINER_STATE__CONTAINER_EXITED] = RUN_EXITED,
		[CRI__CONTAINER_STATE__CONTAINER_UNKNOWN] = RUN_UNKNOWN,
	};

	to->run = (unsigned)s->state < ARRAY_LEN(runs) ? runs[s->state] : RUN_UNKNOWN;
	to->created_ns = s->created_at;
	to->started_ns = s->started_at;
	to->finished_ns = s->finished_at;
	to->exit_code = s->exit_code;
	to->detailed = true;
	free(to->reason);
	to->reason = s->reason ? xstrdup(s->reason) : NULL;
	free(to->message);
	to->message = s->message ? xstrdup(s->message) : NULL;
	free(to->image);
	to->image = s->image ? xstrdup(s->image->image) : NULL;
	free(to->image_ref);
	to->image_ref = s->image_ref ? xstrdup(s->image_ref) : NULL;
	if (to->run == RUN_EXITED)
		read_message(w, i, to);
}

static void replace_text(char **to, const char *s)
{
	free(*to);
	*to = xstrdup(s);
}

void pod_tell_held(struct pod_worker *w, size_t i)
{
	struct pod_container *c = &w->containers[i];

	if (!c->cur.id || streq(c->held_id, c->cur.id))
		return;
	replace_text(&c->held_id, c->cur.id);
	pod_worker_event(w, (long)i, "Warning", "BackOff",
		"Back-off restarting failed container %s in pod %s_%s(%s)", c->name, w->name, w->ns,
		w->uid);
}

static void on_detail(void *user, const struct grpc_result *r)
{
	struct pod_op *op = user;
	struct pod_worker *w = op->w;
	struct pod_container *c = &w->containers[op->container];
	const Cri__ContainerStatusResponse *s = r->response;

	op->grpc = NULL;
	if (grpc_ok(r) && s->status) {
		struct instance *to = streq(c->cur.id, op->id)	  ? &c->cur
				      : streq(c->last.id, op->id) ? &c->last
								  : NULL;
		if (to)
			pod_instance_fill(w, op->container, to, s->status);
		if (to == &c->cur) {
			w->touched_ns[op->container] = mono(w->n);
			pod_worker_show(w, op->container);
			if (to->run == RUN_RUNNING)
				pod_probes_start(w, op->container);
		}
	} else if (r->status == GRPC_NOT_FOUND && streq(c->cur.id, op->id) &&
		   (c->cur.run == RUN_RUNNING || !c->cur.detailed)) {
		/* Someone removed it behind our back. */
		c->cur.run = RUN_EXITED;
		c->cur.detailed = true;
		c->cur.exit_code = 137;
		c->cur.finished_ns = wall(w->n);
		replace_text(&c->cur.reason, "ContainerStatusUnknown");
		replace_text(&c->cur.message, "The container could not be located in the runtime");
		w->touched_ns[op->container] = mono(w->n);
		pod_worker_show(w, op->container);
	}
	pod_op_end(op);
}

static bool detail_under_way(struct pod_worker *w, const char *id)
{
	LIST_FOR_EACH(op, &w->ops, struct pod_op, link) {
		if (streq(op->what, "container status") && streq(op->id, id))
			return true;
	}
	return false;
}

static void detail(struct pod_worker *w, size_t i, const char *id)
{
	if (!id || detail_under_way(w, id))
		return;
	struct pod_op *op = pod_op_new(w, i, "container status");
	op->id = xstrdup(id);
	op->grpc = cri_container_status(w->m->cri, id, on_detail, op);
}

void pod_op_detail(struct pod_worker *w, size_t i)
{
	detail(w, i, w->containers[i].cur.id);
	if (w->containers[i].last.id && !w->containers[i].last.detailed)
		detail(w, i, w->containers[i].last.id);
}

static void on_dead_removed(void *user, const struct grpc_result *r)
{
	struct pod_op *op = user;

	op->grpc = NULL;
	pod_op_end(op);
}

void pod_op_remove_dead(struct pod_worker *w, size_t i, const char *id)
{
	struct pod_op *op = pod_op_new(w, i, "remove dead container");

	op->grpc = cri_remove_container(w->m->cri, id, on_dead_removed, op);
}

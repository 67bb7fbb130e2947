/* pod_ops.c - the operations of a pod worker. Each is a short chain of callbacks on one struct
 * pod_op; whatever happens it ends in pod_op_end(), which lets the worker decide anew. Cancelling a
 * worker's operations cancels the call each one waits for; nothing is undone, the next look at the
 * runtime shows how far they got. */
#include "node/pod/pod_internal.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/stat.h>

#include "lib/base/log.h"
#include "node/cri/cri_log.h"
#include "node/volume/volume.h"

enum { CONFIG_RETRY_S = 10, MESSAGE_MAX_BYTES = 4096, STOP_MIN_S = 2 };

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
	for (size_t i = 0; i < op->queue.count; i++)
		free(op->queue.items[i]);
	VEC_FINISH(&op->queue);
	pod_refs_destroy(op->refs);
	wakeup_destroy(op->timer);
	free(op->id);
	free(op);
}

void pod_op_end(struct pod_op *op)
{
	struct pod_worker *w = op->w;

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
		op_free(op);
	}
}

/* ---- what containers are made of ---- */

static const struct json *source_config_map(void *user, const char *name)
{
	struct pod_op *op = user;

	return pod_refs_config_map(op->refs, name);
}

static const struct json *source_secret(void *user, const char *name)
{
	struct pod_op *op = user;

	return pod_refs_secret(op->refs, name);
}

static void fill_env_context(struct pod_op *op, struct arena *a, struct env_context *ctx)
{
	struct pod_manager *m = op->w->m;
	struct object **list;
	size_t count = 0, n = 0;

	*ctx = (struct env_context){
		.user = op,
		.config_map = source_config_map,
		.secret = source_secret,
		.host_ip = op->w->n->host_ip,
		.pod_ip = op->w->pod_ip,
		.allocatable_cpu_milli = m->node_cpu_milli,
		.allocatable_memory = m->node_memory,
	};
	if (!m->services)
		return;
	count = informer_list(m->services, op->w->ns, a, &list);
	const struct json **docs = arena_alloc(a, (count + 2) * sizeof(*docs));
	for (size_t i = 0; i < count; i++)
		docs[n++] = object_doc(list[i], a);
	struct object *master = informer_get(m->services, "default", "kubernetes");
	if (master && !streq(op->w->ns, "default"))
		docs[n++] = object_doc(master, a);
	ctx->services = docs;
	ctx->service_count = n;
}

static int source_field(
	void *user, struct arena *a, const char *path, const char **ret, struct err *err)
{
	struct pod_op *op = user;
	struct env_context ctx = {
		.host_ip = op->w->n->host_ip,
		.pod_ip = op->w->pod_ip,
	};

	return env_field(a, pod_worker_doc(op->w, a), path, &ctx, ret, err);
}

static int source_resource(
	void *user, struct arena *a, const struct json *ref, const char **ret, struct err *err)
{
	struct pod_op *op = user;
	struct env_context ctx;

	fill_env_context(op, a, &ctx);
	return env_resource(a, pod_worker_doc(op->w, a), NULL, ref, &ctx, ret, err);
}

static int source_token(
	void *user, struct arena *a, const struct json *source, const char **ret, struct err *err)
{
	return err_set(err, -ENOTSUP, "service account tokens are not issued by this node");
}

static int write_whole(const char *path, const char *text, unsigned mode, struct err *err)
{
	_cleanup_(close_p) int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
	size_t size = strlen(text);

	if (fd < 0)
		return err_errno(err, -errno, "create '%s'", path);
	if (fchmod(fd, (mode_t)mode) < 0 || write(fd, text, size) != (ssize_t)size)
		return err_errno(err, -errno, "write '%s'", path);
	return 0;
}

/* ---- setup ---- */

static int setup_volumes(struct pod_op *op, struct err *err)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct volume_source source = {
		.user = op,
		.config_map = source_config_map,
		.secret = source_secret,
		.field = source_field,
		.resource = source_resource,
		.token = source_token,
	};
	const struct json *pod = pod_worker_doc(op->w, &a);

	int r = volumes_setup(&a, op->w->dir, pod, &source, err);
	if (r < 0)
		return r;
	return volume_make_dirs(pod_log_dir(&a, pod), 0755, err);
}

static void setup_failed(struct pod_op *op, const char *text)
{
	struct pod_worker *w = op->w;
	int64_t delay = MIN(INT64_C(1) << MIN(w->setup_failures, 6u), INT64_C(60));

	w->setup_failures++;
	pod_worker_event(w, -1, "Warning", "FailedMount", "%s", text);
	w->view.setup_busy = false;
	w->view.setup_retry_ns = wall(w->n) + delay * NS_PER_S;
	pod_op_end(op);
}

static void setup_with_refs(struct pod_op *op)
{
	struct pod_worker *w = op->w;
	struct err err = ERR_INIT;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;

	if (setup_volumes(op, &err) < 0) {
		setup_failed(op, err.msg);
		return;
	}
	w->view.setup_busy = false;
	w->view.setup_ready = true;
	if (volumes_need_refresh(pod_worker_doc(w, &a)))
		w->refresh_ns = mono(w->n) + 60 * NS_PER_S;
	pod_op_end(op);
}

static void on_setup_refs(void *user, struct pod_refs *r, const struct err *err)
{
	struct pod_op *op = user;

	op->fetch = NULL;
	op->refs = r;
	if (r)
		setup_with_refs(op);
	else
		setup_failed(op, err->msg);
}

void pod_op_setup(struct pod_worker *w)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct pod_op *op = pod_op_new(w, SIZE_MAX, "set up volumes");
	const struct json *pod = pod_worker_doc(w, &a);

	w->view.setup_busy = true;
	if (pod_refs_needed(pod))
		op->fetch = pod_refs_fetch(w->n, pod, on_setup_refs, op);
	else
		setup_with_refs(op);
}

static void on_refresh_refs(void *user, struct pod_refs *r, const struct err *err)
{
	struct pod_op *op = user;
	struct err why = ERR_INIT;

	op->fetch = NULL;
	op->refs = r;
	/* A pod that has begun to leave must not get its volumes back behind the removal. */
	if (r && op->w->sm.state == POD_RUNNING && setup_volumes(op, &why) < 0)
		err = &why;
	else if (r)
		err = NULL;
	if (err)
		log_warn("volumes could not be brought up to date", "namespace", op->w->ns, "pod",
			op->w->name, "reason", err->msg, NULL);
	pod_op_end(op);
}

void pod_op_refresh(struct pod_worker *w)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct pod_op *op = pod_op_new(w, SIZE_MAX, "refresh volumes");

	op->fetch = pod_refs_fetch(w->n, pod_worker_doc(w, &a), on_refresh_refs, op);
}

/* ---- sandbox ---- */

static void sandbox_ip(struct pod_worker *w, const Cri__PodSandboxStatus *s)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct json *pod = pod_worker_doc(w, &a);
	struct err err = ERR_INIT;

	if (json_path_bool(pod, "spec.hostNetwork", false))
		snprintf(w->pod_ip, sizeof(w->pod_ip), "%s", w->n->host_ip);
	else
		snprintf(w->pod_ip, sizeof(w->pod_ip), "%s",
			s && s->network && s->network->ip ? s->network->ip : "");
	if (write_whole(arena_printf(&a, "%s/etc-hosts", w->dir),
		    pod_hosts_file(&a, pod, w->pod_ip), 0644, &err) < 0)
		log_warn("hosts file of pod", "pod", w->name, "reason", err.msg, NULL);
}

static void on_sandbox_status(void *user, const struct grpc_result *r)
{
	struct pod_op *op = user;
	struct pod_worker *w = op->w;
	const Cri__PodSandboxStatusResponse *s = r->response;

	op->grpc = NULL;
	w->view.sandbox_busy = false;
	w->sandbox_touched_ns = mono(w->n);
	if (grpc_ok(r) && s->status && streq(s->status->id, w->sandbox_id)) {
		w->view.sandbox_exists = true;
		w->view.sandbox_ready = s->status->state == CRI__POD_SANDBOX_STATE__SANDBOX_READY;
		sandbox_ip(w, s->status);
	} else if (r->status == GRPC_NOT_FOUND) {
		w->view.sandbox_ready = false;
	} else {
		/* A runtime that can't be asked says nothing about the sandbox: it may well run. */
		w->sandbox_unread = true;
	}
	pod_worker_show_all(w);
	pod_op_end(op);
}

void pod_op_sandbox_detail(struct pod_worker *w)
{
	struct pod_op *op = pod_op_new(w, SIZE_MAX, "sandbox status");

	w->view.sandbox_busy = true;
	w->sandbox_unread = false;
	op->grpc = cri_sandbox_status(w->m->cri, w->sandbox_id, on_sandbox_status, op);
}

static void on_sandbox_run(void *user, const struct grpc_result *r)
{
	struct pod_op *op = user;
	struct pod_worker *w = op->w;

	op->grpc = NULL;
	if (!grpc_ok(r)) {
		int64_t now = wall(w->n);
		pod_worker_event(w, -1, "Warning", "FailedCreatePodSandBox",
			"Failed to create pod sandbox: %s", r->message);
		/* From 1 s, doubling to 32 s: a network that comes up late should not cost 10 s. */
		int64_t delay = w->sandbox_backoff.delay_ns;
		delay = delay ? MIN(delay * 2, 32 * NS_PER_S) : NS_PER_S;
		w->sandbox_backoff.delay_ns = delay;
		w->view.sandbox_retry_ns = now + delay;
		w->view.sandbox_busy = false;
		w->sandbox_touched_ns = mono(w->n);
		pod_op_end(op);
		return;
	}
	const Cri__RunPodSandboxResponse *s = r->response;
	w->sandbox_backoff = (struct backoff){0};
	free(w->sandbox_id);
	w->sandbox_id = xstrdup(s->pod_sandbox_id);
	w->view.sandbox_exists = w->view.sandbox_ready = true;
	op->grpc = cri_sandbox_status(w->m->cri, w->sandbox_id, on_sandbox_status, op);
}

static void run_new_sandbox(struct pod_op *op)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct pod_worker *w = op->w;
	const struct json *pod = pod_worker_doc(w, &a);

	op->grpc = cri_run_sandbox(w->m->cri, pod_sandbox_config(&a, pod, w->view.sandbox_attempt),
		NULL, on_sandbox_run, op);
}

static void on_old_sandbox_stopped(void *user, const struct grpc_result *r)
{
	struct pod_op *op = user;

	op->grpc = NULL;
	op->w->view.sandbox_attempt++;
	run_new_sandbox(op);
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
		run_new_sandbox(op);
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

static void read_message(struct pod_worker *w, size_t i, struct instance *to)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const char *path =
		arena_printf(&a, "%s/containers/%s/%u", w->dir, w->containers[i].name, to->attempt);
	char text[MESSAGE_MAX_BYTES + 1];

	_cleanup_(close_p) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	ssize_t n = fd < 0 ? 0 : read(fd, text, MESSAGE_MAX_BYTES);
	const struct json *doc = pod_container_doc(pod_worker_doc(w, &a), i);
	bool fallback =
		streq(json_str(json_get(doc, "terminationMessagePolicy")), "FallbackToLogsOnError");
	if (n <= 0 && fallback && to->exit_code != 0) {
		const char *log = arena_printf(&a, "%s/%s", pod_log_dir(&a, pod_worker_doc(w, &a)),
			container_log_path(&a, w->containers[i].name, to->attempt));
		n = (ssize_t)cri_log_tail(log, 80, text, 2048);
	}
	if (n <= 0)
		return;
	/* Any process in the container wrote this. */
	for (ssize_t k = 0; k < n; k++)
		text[k] = text[k] ? text[k] : '?';
	utf8_repair(text, (size_t)n);
	text[n] = '\0';
	free(to->message);
	to->message = xstrdup(text);
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

static void tell_backoff(struct pod_worker *w, size_t i)
{
	const struct container_view *v = &w->view.containers[i];

	if (v->run == RUN_EXITED && !w->view.deleting && container_restarts(&w->view, v) &&
		container_wait_until(v, wall(w->n)))
		pod_worker_event(w, (long)i, "Warning", "BackOff",
			"Back-off restarting failed container %s in pod %s_%s(%s)",
			w->containers[i].name, w->name, w->ns, w->uid);
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
		bool was_running = w->view.containers[op->container].run == RUN_RUNNING;
		if (to)
			pod_instance_fill(w, op->container, to, s->status);
		if (to == &c->cur) {
			w->touched_ns[op->container] = mono(w->n);
			pod_worker_show(w, op->container);
			if (to->run == RUN_RUNNING)
				pod_probes_start(w, op->container);
			else if (was_running)
				tell_backoff(w, op->container);
		}
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

/* ---- start ---- */

static void start_end(struct pod_op *op)
{
	struct pod_worker *w = op->w;

	w->view.containers[op->container].busy = false;
	w->touched_ns[op->container] = mono(w->n);
	pod_worker_show(w, op->container);
	pod_op_end(op);
}

static void start_failed(struct pod_op *op, const char *reason, const char *text)
{
	struct pod_worker *w = op->w;
	size_t i = op->container;

	pod_container_wait(&w->containers[i], reason, "%s", text);
	pod_worker_event(w, (long)i, "Warning", "Failed", "Error: %s", text);
	w->view.containers[i].retry_ns = wall(w->n) + CONFIG_RETRY_S * NS_PER_S;
	start_end(op);
}

static void on_post_start(void *user, const struct err *err)
{
	struct pod_op *op = user;
	struct pod_worker *w = op->w;

	op->hook = NULL;
	if (err) {
		pod_worker_event(w, (long)op->container, "Warning", "FailedPostStartHook",
			"PostStartHook failed: %s", err->msg);
		/* The container is killed and restarted by its policy. */
		w->view.containers[op->container].probe_failed = true;
	}
	pod_probes_start(w, op->container);
	start_end(op);
}

static void on_started_status(void *user, const struct grpc_result *r)
{
	struct pod_op *op = user;
	struct pod_worker *w = op->w;
	struct pod_container *c = &w->containers[op->container];
	const Cri__ContainerStatusResponse *s = r->response;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;

	op->grpc = NULL;
	if (grpc_ok(r) && s->status)
		pod_instance_fill(w, op->container, &c->cur, s->status);
	if (c->cur.run == RUN_RUNNING) {
		const struct json *doc = pod_container_doc(pod_worker_doc(w, &a), op->container);
		const struct json *hook = json_path(doc, "lifecycle.postStart");
		if (hook) {
			op->hook = pod_hook_run(w, op->container, hook, 0, on_post_start, op);
			return;
		}
		pod_probes_start(w, op->container);
	}
	start_end(op);
}

static void on_started(void *user, const struct grpc_result *r)
{
	struct pod_op *op = user;
	struct pod_worker *w = op->w;
	struct pod_container *c = &w->containers[op->container];

	op->grpc = NULL;
	if (grpc_ok(r)) {
		pod_container_wait(c, NULL, NULL);
		pod_worker_event(w, (long)op->container, "Normal", "Started",
			"Started container %s", c->name);
		c->cur.run = RUN_RUNNING;
	} else {
		pod_container_wait(c, "RunContainerError", "%s", r->message);
		pod_worker_event(
			w, (long)op->container, "Warning", "Failed", "Error: %s", r->message);
		backoff_raise(&w->view.containers[op->container].restart, wall(w->n));
	}
	op->grpc = cri_container_status(w->m->cri, c->cur.id, on_started_status, op);
}

static void on_created(void *user, const struct grpc_result *r)
{
	struct pod_op *op = user;
	struct pod_worker *w = op->w;
	struct pod_container *c = &w->containers[op->container];
	struct container_view *v = &w->view.containers[op->container];
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;

	op->grpc = NULL;
	if (!grpc_ok(r)) {
		/* An image that went away meanwhile is looked for again. */
		v->image = IMAGE_UNKNOWN;
		start_failed(op, "CreateContainerError", r->message);
		return;
	}
	const Cri__CreateContainerResponse *created = r->response;
	unsigned attempt = c->cur.id ? c->cur.attempt + 1 : 0;
	if (c->cur.id) {
		backoff_raise(&v->restart, wall(w->n));
		instance_finish(&c->last);
		c->last = c->cur;
	}
	c->cur = (struct instance){
		.id = xstrdup(created->container_id),
		.sandbox_id = xstrdup(w->sandbox_id),
		.attempt = attempt,
		.hash = container_hash(pod_container_doc(pod_worker_doc(w, &a), op->container)),
		.run = RUN_CREATED,
		.created_ns = wall(w->n),
	};
	v->started = !c->has_startup;
	v->probe_failed = false;
	c->probe_ready = false;
	/* The next instance asks again, as the pull policy wants. */
	v->image = IMAGE_UNKNOWN;
	pod_worker_event(
		w, (long)op->container, "Normal", "Created", "Created container: %s", c->name);
	op->grpc = cri_start_container(w->m->cri, c->cur.id, on_started, op);
}

static int add_mounts(struct pod_op *op, struct arena *a, const struct json *pod,
	const struct json *doc, unsigned attempt, const struct env_vars *env,
	struct config_mount **ret, size_t *ret_count, struct err *err)
{
	struct pod_worker *w = op->w;
	const struct json *list = json_get(doc, "volumeMounts");
	const char *name = w->containers[op->container].name;
	struct config_mount *m = arena_zalloc(a, (json_count(list) + 3) * sizeof(*m));
	bool own_hosts = false;
	size_t n = 0;
	int r;

	JSON_FOR_EACH_ITEM(vm, list) {
		const char *sub = json_str(json_get(vm, "subPath"));
		const char *expr = json_str(json_get(vm, "subPathExpr"));
		const char *propagation = json_str_or(json_get(vm, "mountPropagation"), "");
		bool read_only;
		size_t room = PATH_MAX;
		if (expr && *expr && !(sub = env_expand(a, expr, env, &room)))
			return err_set(err, -ENAMETOOLONG, "subPathExpr of volume mount %zu", n);
		r = volume_mount_path(
			a, w->dir, pod, name, n, vm, sub, &m[n].host_path, &read_only, err);
		if (r < 0)
			return r;
		m[n].container_path = json_str_or(json_get(vm, "mountPath"), "");
		m[n].read_only = read_only || json_bool_or(json_get(vm, "readOnly"), false);
		if (streq(propagation, "Bidirectional"))
			m[n].propagation = CRI__MOUNT_PROPAGATION__PROPAGATION_BIDIRECTIONAL;
		else if (streq(propagation, "HostToContainer"))
			m[n].propagation = CRI__MOUNT_PROPAGATION__PROPAGATION_HOST_TO_CONTAINER;
		own_hosts = own_hosts || streq(m[n].container_path, "/etc/hosts");
		n++;
	}
	if (!own_hosts && !json_path_bool(pod, "spec.hostNetwork", false))
		m[n++] = (struct config_mount){
			.container_path = "/etc/hosts",
			.host_path = arena_printf(a, "%s/etc-hosts", w->dir),
		};
	const char *message =
		json_str_or(json_get(doc, "terminationMessagePath"), "/dev/termination-log");
	if (*message) {
		const char *dir = arena_printf(a, "%s/containers/%s", w->dir, name);
		const char *path = arena_printf(a, "%s/%u", dir, attempt);
		r = volume_make_dirs(dir, 0755, err);
		if (r >= 0)
			r = write_whole(path, "", 0666, err);
		if (r < 0)
			return r;
		m[n++] = (struct config_mount){.container_path = message, .host_path = path};
	}
	*ret = m;
	*ret_count = n;
	return 0;
}

static int create_container(struct pod_op *op, struct err *err)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct pod_worker *w = op->w;
	struct pod_container *c = &w->containers[op->container];
	const struct json *pod = pod_worker_doc(w, &a);
	const struct json *doc = pod_container_doc(pod, op->container);
	unsigned attempt = c->cur.id ? c->cur.attempt + 1 : 0;
	struct env_context ctx;
	struct env_vars env;
	struct config_mount *mounts = NULL;
	size_t mount_count = 0;
	int r;

	if (container_would_be_root(pod, doc, c->image_uid))
		return err_set(err, -EPERM,
			"container has runAsNonRoot and image will run as root (pod: "
			"\"%s_%s(%s)\", "
			"container: %s)",
			w->name, w->ns, w->uid, c->name);
	fill_env_context(op, &a, &ctx);
	r = env_make(&a, pod, doc, &ctx, &env, err);
	if (r < 0)
		return r;
	r = add_mounts(op, &a, pod, doc, attempt, &env, &mounts, &mount_count, err);
	if (r < 0)
		return r;
	r = volume_make_dirs(arena_printf(&a, "%s/%s", pod_log_dir(&a, pod), c->name), 0755, err);
	if (r < 0)
		return r;
	struct container_config_input in = {
		.pod = pod,
		.container = doc,
		.attempt = attempt,
		.env = &env,
		.mounts = mounts,
		.mount_count = mount_count,
		.image = json_str_or(json_get(doc, "image"), ""),
		.node_memory = w->m->node_memory,
	};
	Cri__ContainerConfig *config = pod_container_config(&a, &in);
	if (!config)
		return err_set(
			err, -E2BIG, "command and args are more than a process can be given");
	op->grpc = cri_create_container(w->m->cri, w->sandbox_id, config,
		pod_sandbox_config(&a, pod, w->view.sandbox_attempt), on_created, op);
	return 0;
}

static void start_with_refs(struct pod_op *op)
{
	struct err err = ERR_INIT;

	int r = create_container(op, &err);
	/* No secret stays longer than it is needed. */
	pod_refs_destroy(TAKE_PTR(op->refs));
	if (r < 0)
		start_failed(op, "CreateContainerConfigError", err.msg);
}

static void on_start_refs(void *user, struct pod_refs *r, const struct err *err)
{
	struct pod_op *op = user;

	op->fetch = NULL;
	op->refs = r;
	if (r)
		start_with_refs(op);
	else
		start_failed(op, "CreateContainerConfigError", err->msg);
}

void pod_op_start(struct pod_worker *w, size_t i)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct pod_op *op = pod_op_new(w, i, "start container");
	const struct json *pod = pod_worker_doc(w, &a);

	w->view.containers[i].busy = true;
	if (pod_refs_needed(pod))
		op->fetch = pod_refs_fetch(w->n, pod, on_start_refs, op);
	else
		start_with_refs(op);
}

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
	int64_t left = op->grace_s;

	/* A hook uses the same grace period, but the container gets a moment in any case. */
	if (left > 0)
		left = MAX(left - spent, (int64_t)STOP_MIN_S);
	op->grpc = cri_stop_container(op->w->m->cri, op->id, left, on_killed, op);
}

static void on_pre_stop(void *user, const struct err *err)
{
	struct pod_op *op = user;

	op->hook = NULL;
	if (err)
		pod_worker_event(op->w, (long)op->container, "Warning", "FailedPreStopHook",
			"PreStopHook failed: %s", err->msg);
	stop_now(op);
}

void pod_op_kill(struct pod_worker *w, size_t i, enum pod_kill_why why, int64_t grace_s)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct json *pod = pod_worker_doc(w, &a);
	const struct json *doc = pod_container_doc(pod, i);
	struct pod_container *c = &w->containers[i];
	struct container_view *v = &w->view.containers[i];
	struct pod_op *op = pod_op_new(w, i, "stop container");
	bool again = v->killing;

	if (grace_s < 0)
		grace_s = pod_seconds(pod, "spec.terminationGracePeriodSeconds", 30);
	if (why == KILL_PROBE)
		grace_s = pod_seconds(doc,
			v->started ? "livenessProbe.terminationGracePeriodSeconds"
				   : "startupProbe.terminationGracePeriodSeconds",
			grace_s);
	op->id = xstrdup(c->cur.id);
	op->why = why;
	op->grace_s = grace_s;
	v->killing = true;
	v->kill_grace_s = grace_s;
	pod_probes_stop(w, i);
	if (!again) {
		switch (why) {
		case KILL_STOPPING:
		case KILL_NO_SANDBOX:
			pod_worker_event(
				w, (long)i, "Normal", "Killing", "Stopping container %s", c->name);
			break;
		case KILL_CHANGED:
			pod_worker_event(w, (long)i, "Normal", "Killing",
				"Container %s definition changed, will be restarted", c->name);
			break;
		case KILL_PROBE:
			pod_worker_event(w, (long)i, "Normal", "Killing",
				v->started ? "Container %s failed liveness probe, will be restarted"
					   : "Container %s failed startup probe, will be restarted",
				c->name);
			break;
		}
	}
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

static void remove_log_dir(const char *dir)
{
	struct err err = ERR_INIT;

	/* The same walk that removes volumes; nothing is mounted there. */
	if (volumes_remove(dir, &err) < 0)
		log_warn("logs could not be removed", "dir", dir, "reason", err.msg, NULL);
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
	struct err err = ERR_INIT;
	if (volumes_remove(w->dir, &err) < 0) {
		remove_failed(op, err.msg);
		return;
	}
	remove_log_dir(pod_log_dir(&a, pod_worker_doc(w, &a)));
	w->view.removed = true;
	w->view.remove_busy = false;
	w->view.sandbox_exists = false;
	pod_op_end(op);
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
	else
		w->view.remove_retry_ns = wall(w->n) + NS_PER_S;
	pod_op_end(op);
}

void pod_op_confirm(struct pod_worker *w)
{
	struct pod_op *op = pod_op_new(w, SIZE_MAX, "confirm deletion");

	w->view.confirm_busy = true;
	op->client = client_delete(
		w->n->client, w->m->pod_kind, w->ns, w->name, w->uid, 0, NULL, on_confirmed, op);
}

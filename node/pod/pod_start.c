/* pod_start.c - the operations that bring containers up, with all that goes into them. */
#include "node/pod/pod_log_link.h"

#include <stdio.h>

#include "lib/base/log.h"
#include "node/pod/pod_mounts.h"
#include "node/pod/pod_volumes.h"
#include "node/resources/cgroup.h"
#include "node/resources/resources.h"

enum { CONFIG_RETRY_S = 10, FIRST_SHOW_MS = 1500 };

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

static void tell_invalid_names(void *user, bool secret, const char *source, const char *names)
{
	struct pod_op *op = user;

	pod_worker_event(op->w, -1, "Warning", "InvalidEnvironmentVariableNames",
		"Keys [%s] from the EnvFrom %s %s/%s were skipped since they are considered "
		"invalid environment variable names.",
		names, secret ? "secret" : "configMap", op->w->ns, source);
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
		.host_ips = pod_worker_ips(a, op->w->n->host_ip, op->w->n->host_ip6),
		.pod_ips = pod_worker_ips(a, op->w->pod_ip, op->w->pod_ip6),
		.invalid_names = tell_invalid_names,
		.allocatable = resources_allocatable(op->w->n->resources),
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
	if (streq(reason, "CreateContainerConfigError"))
		pod_volumes_await_env(w);
	start_end(op);
}

static void on_post_start(void *user, const struct err *err)
{
	struct pod_op *op = user;
	struct pod_worker *w = op->w;

	op->hook = NULL;
	if (err) {
		/* What the hook said may be a secret: it is for the pod's status, not for events.
		 */
		pod_worker_event(w, (long)op->container, "Warning", "FailedPostStartHook",
			"PostStartHook failed");
		pod_container_wait(
			&w->containers[op->container], "PostStartHookError", "%s", err->msg);
		/* The container is killed and restarted by its policy. */
		w->view.containers[op->container].sick = KILL_POST_START;
	} else {
		pod_probes_start(w, op->container);
	}
	start_end(op);
}

/* The pod began to stop meanwhile: nothing more is started. */
static bool leaving(const struct pod_worker *w)
{
	return w->sm.state != POD_RUNNING;
}

void pod_ops_give_up(struct pod_worker *w)
{
	LIST_FOR_EACH(op, &w->ops, struct pod_op, link) {
		bool image = streq(op->what, "image"), start = streq(op->what, "start container");
		if (image || (start && (op->hook || op->fetch))) {
			if (image)
				grpc_call_cancel(TAKE_PTR(op->grpc));
			image_pull_cancel(TAKE_PTR(op->pull));
			pod_refs_fetch_cancel(TAKE_PTR(op->fetch));
			pod_hook_cancel(TAKE_PTR(op->hook));
		}
		bool sandbox = streq(op->what, "run sandbox") || streq(op->what, "sandbox status");
		if (op->admission || (sandbox && op->timer)) {
			w->view.sandbox_busy = false;
			pod_op_end(op);
		} else if (streq(op->what, "set up volumes")) {
			pod_refs_fetch_cancel(TAKE_PTR(op->fetch));
			w->view.setup_busy = false;
			pod_op_end(op);
		} else if (image) {
			w->view.containers[op->container].image = IMAGE_UNKNOWN;
			pod_op_end(op);
		} else if (start && !op->grpc && !op->hook && !op->fetch) {
			start_end(op);
		}
	}
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
		if (hook && !leaving(w)) {
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
	if (grpc_ok(r))
		c->cur.run = RUN_RUNNING;
	pod_count_started(w, op->container, grpc_ok(r));
	if (grpc_ok(r)) {
		pod_container_wait(c, NULL, NULL);
		pod_worker_event(w, (long)op->container, "Normal", "Started",
			"Started container %s", c->name);
		pod_log_link(w, op->container);
	} else {
		pod_container_wait(c, "RunContainerError", "%s", r->message);
		pod_worker_event(
			w, (long)op->container, "Warning", "Failed", "Error: %s", r->message);
		/* Shown for a moment before the back-off is. */
		c->wait_show_ns = wall(w->n) + FIRST_SHOW_MS * NS_PER_MS;
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
	if (!*created->container_id) {
		start_failed(op, "CreateContainerError", "the runtime gave no container id");
		return;
	}
	if (c->cur.id) {
		backoff_raise_since(&v->restart, v->finished_ns, wall(w->n));
		instance_finish(&c->last);
		c->last = c->cur;
	}
	c->cur = (struct instance){
		.id = xstrdup(created->container_id),
		.sandbox_id = xstrdup(w->sandbox_id),
		.attempt = op->attempt,
		.hash = container_hash(pod_container_doc(pod_worker_doc(w, &a), op->container)),
		.run = RUN_CREATED,
		.created_ns = wall(w->n),
	};
	v->started = !c->has_startup;
	v->sick = KILL_NOT;
	pod_resize_created(w, op->container);
	c->probe_ready = false;
	/* The next instance asks again, as the pull policy wants. */
	v->image = IMAGE_UNKNOWN;
	pod_worker_event(
		w, (long)op->container, "Normal", "Created", "Created container: %s", c->name);
	if (leaving(w)) {
		start_end(op);
		return;
	}
	op->grpc = cri_start_container(w->m->cri, c->cur.id, on_started, op);
}

/* The count of restarts goes on where the runtime has forgotten the container: after the loss of
 * its data, for one. */
static unsigned next_attempt(struct pod_worker *w, size_t i, const struct json *pod)
{
	const struct pod_container *c = &w->containers[i];

	if (c->cur.id)
		return MAX(c->cur.attempt, c->last.id ? c->last.attempt : 0) + 1;
	const struct json *was = pod_container_status(pod, c->name);
	const char *id = json_str_or(json_get(was, "containerID"), "");
	int64_t count = json_int_or(json_get(was, "restartCount"), 0);
	return *id && count >= 0 && count < INT32_MAX ? (unsigned)count + 1 : 0;
}

/* The container whose processes an ephemeral one is to see; NULL = none. */
static int find_target(
	struct pod_worker *w, const struct json *doc, const char **ret, struct err *err)
{
	const char *name = json_str_or(json_get(doc, "targetContainerName"), "");

	*ret = NULL;
	if (!*name)
		return 0;
	for (size_t i = 0; i < w->view.container_count; i++) {
		const struct pod_container *c = &w->containers[i];
		if (streq(c->name, name) && c->cur.id) {
			*ret = c->cur.id;
			return 0;
		}
	}
	return err_set(err, -ENOENT, "unable to find target container %s", name);
}

/* A container that is being made: what it is given is planned, and then made on a thread. */
struct creation {
	struct pod_op *op; /* not to be touched when the job was cancelled */
	struct arena arena;
	const struct json *pod, *doc;
	const char *target;
	struct env_vars env;
	struct pod_mounts mounts;
	struct security_rules security;
};

static void creation_free(struct creation *c)
{
	arena_finish(&c->arena);
	free(c);
}

static struct image_user image_user(const struct pod_op *op)
{
	const struct pod_container *c = &op->w->containers[op->container];

	return (struct image_user){c->image_uid, c->image_user};
}

static int create_container(struct creation *c, struct err *err)
{
	struct pod_op *op = c->op;
	struct pod_worker *w = op->w;
	struct container_config_input in = {
		.pod = c->pod,
		.container = c->doc,
		.attempt = op->attempt,
		.env = &c->env,
		.mounts = c->mounts.mounts,
		.mount_count = c->mounts.mount_count,
		.devices = c->mounts.devices,
		.device_count = c->mounts.device_count,
		.image = json_str_or(json_get(c->doc, "image"), ""),
		.image_user = image_user(op),
		.security = &c->security,
		.qos = resources_rules(w->n->resources),
		.cgroup2 = resources_cgroups(w->n->resources)->version == 2,
		.target_id = c->target,
	};

	if (c->mounts.err.code) {
		*err = c->mounts.err;
		return err->code;
	}
	Cri__ContainerConfig *config = pod_container_config(&c->arena, &in);
	if (!config)
		return err_set(
			err, -E2BIG, "command and args are more than a process can be given");
	op->grpc = cri_create_container(w->m->cri, w->sandbox_id, config,
		pod_worker_sandbox_config(w, &c->arena), on_created, op);
	return 0;
}

static void make_mounts(void *user)
{
	struct creation *c = user;

	pod_mounts_make(&c->arena, &c->mounts);
}

static void on_mounts_made(void *user, bool cancelled)
{
	struct creation *c = user;
	struct pod_op *op = c->op;
	struct err err = ERR_INIT;

	if (!cancelled) {
		op->job = NULL;
		int r = leaving(op->w) ? 0 : create_container(c, &err);
		/* No secret stays longer than it is needed. */
		pod_refs_destroy(TAKE_PTR(op->refs));
		if (r < 0)
			start_failed(op, "CreateContainerConfigError", err.msg);
		else if (!op->grpc)
			start_end(op);
	}
	creation_free(c);
}

static int plan_container(struct creation *c, struct err *err)
{
	struct arena *a = &c->arena;
	struct pod_op *op = c->op;
	struct pod_worker *w = op->w;
	struct env_context ctx;

	c->pod = pod_worker_doc(w, a);
	c->doc = pod_resize_doc(w, a, c->pod, op->container);
	op->attempt = next_attempt(w, op->container, c->pod);
	const struct image_user user = image_user(op);
	int r = security_check_user(c->pod, c->doc, &user, err);
	if (r < 0)
		return r;
	pod_worker_security(w, a, &c->security);
	r = security_check_seccomp(c->pod, c->doc, &c->security, err);
	if (r < 0)
		return r;
	r = find_target(w, c->doc, &c->target, err);
	if (r < 0)
		return r;
	c->target = c->target ? arena_strdup(a, c->target) : NULL;
	fill_env_context(op, a, &ctx);
	r = env_make(a, c->pod, c->doc, &ctx, &c->env, err);
	if (r < 0)
		return r;
	return pod_mounts_plan(a,
		&(struct pod_mounts_input){
			.pod = c->pod,
			.container = c->doc,
			.pod_dir = w->dir,
			.attempt = op->attempt,
			.env = &c->env,
			.recursive_read_only = w->n->recursive_read_only,
		},
		&c->mounts, err);
}

static void start_with_refs(struct pod_op *op)
{
	struct creation *c = xcalloc(1, sizeof(*c));
	struct err err = ERR_INIT;

	c->op = op;
	if (plan_container(c, &err) < 0) {
		pod_refs_destroy(TAKE_PTR(op->refs));
		creation_free(c);
		start_failed(op, "CreateContainerConfigError", err.msg);
		return;
	}
	op->job = file_work_queue(op->w->n->files, op->w->uid, make_mounts, on_mounts_made, c);
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
	if (pod_refs_needed(pod, POD_REFS_ENV))
		op->fetch = pod_refs_fetch(w->n, pod, POD_REFS_ENV, w->tokens, on_start_refs, op);
	else
		start_with_refs(op);
}

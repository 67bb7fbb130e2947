/* pod_start.c - the operations that bring something up: volumes, and containers with all that goes
 * into them. */
#include "node/pod/pod_internal.h"

#include <limits.h>
#include <stdio.h>

#include "lib/base/log.h"
#include "lib/object/selector.h"
#include "node/volume/volume.h"

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

/* Who names a node in a pod has passed by the scheduler: a path of another node's volume may lead
 * to somebody else's data here. */
static int source_claim(
	void *user, const char *name, bool own, const struct json **ret_volume, struct err *err)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct pod_op *op = user;
	const struct node *n = op->w->n;
	const struct json *volume;
	int r = pod_refs_claim(op->refs, name, own ? op->w->uid : NULL, &volume, err);

	if (r < 0)
		return r;
	const struct json *terms =
		json_path(volume, "spec.nodeAffinity.required.nodeSelectorTerms");
	if (terms && (!n->object || !selector_node_terms_hold(&a, terms, n->object)))
		return err_set(err, -EPERM,
			"volume \"%s\" is not reached from this node: no matching "
			"NodeSelectorTerms",
			json_str_or(json_path(volume, "metadata.name"), ""));
	*ret_volume = volume;
	return 0;
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
	struct pod_op *op = user;
	const char *token = pod_refs_token(op->refs, source);

	if (!token)
		return err_set(err, -ENOENT, "there is no token for it");
	*ret = arena_strdup(a, token);
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
		.claim = source_claim,
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
	if (pod_refs_needed(pod, POD_REFS_VOLUMES))
		op->fetch =
			pod_refs_fetch(w->n, pod, POD_REFS_VOLUMES, w->tokens, on_setup_refs, op);
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

	op->fetch = pod_refs_fetch(
		w->n, pod_worker_doc(w, &a), POD_REFS_VOLUMES, w->tokens, on_refresh_refs, op);
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
			pod_refs_fetch_cancel(TAKE_PTR(op->fetch));
			pod_hook_cancel(TAKE_PTR(op->hook));
		}
		if (image) {
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
	if (grpc_ok(r)) {
		pod_container_wait(c, NULL, NULL);
		pod_worker_event(w, (long)op->container, "Normal", "Started",
			"Started container %s", c->name);
		c->cur.run = RUN_RUNNING;
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
			r = pod_file_write(path, "", 0666, err);
		if (r < 0)
			return r;
		m[n++] = (struct config_mount){.container_path = message, .host_path = path};
	}
	*ret = m;
	*ret_count = n;
	return 0;
}

/* The count of restarts goes on where the runtime has forgotten the container: after the loss of
 * its data, for one. */
static unsigned next_attempt(struct pod_worker *w, size_t i, const struct json *pod)
{
	const struct pod_container *c = &w->containers[i];

	if (c->cur.id)
		return c->cur.attempt + 1;
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

static int create_container(struct pod_op *op, struct err *err)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct pod_worker *w = op->w;
	struct pod_container *c = &w->containers[op->container];
	const struct json *pod = pod_worker_doc(w, &a);
	const struct json *doc = pod_container_doc(pod, op->container);
	unsigned attempt = op->attempt = next_attempt(w, op->container, pod);
	const char *target;
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
	r = find_target(w, doc, &target, err);
	if (r < 0)
		return r;
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
		.target_id = target,
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
	if (pod_refs_needed(pod, POD_REFS_ENV))
		op->fetch = pod_refs_fetch(w->n, pod, POD_REFS_ENV, w->tokens, on_start_refs, op);
	else
		start_with_refs(op);
}

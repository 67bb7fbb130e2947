/* pod_volumes.c - the operations that make a pod's volumes and keep their contents up to date. What
 * they refer to is fetched, a plan is made from it on the loop, and carried out on a thread; what
 * hangs there holds up this pod alone. */
#include "node/pod/pod_volumes.h"

#include <fcntl.h>

#include "lib/base/log.h"
#include "lib/object/selector.h"
#include "node/pod/ref_watch.h"
#include "node/resources/resources.h"
#include "node/volume/volume.h"

/* After what changed while it was read; a server that lags behind must not be asked all the time.
 */
#define AGAIN_NS (200 * NS_PER_MS)
#define SET_UP_MARK "set-up" /* in the pod's directory */

enum {
	RETRY_MAX_S = 122, /* 2 min 2 s, as in Kubernetes */
	REFRESH_S = 900,   /* nothing has changed, it seems: what was missed is mended */
	ADOPTED_S = 5,	   /* volumes of a pod that an earlier agent set up: all are looked at */
	TELL_AFTER_MS = 123000 /* 2 min 3 s: then a pod's user hears that it still waits */
};

/* ---- where contents come from ---- */

static int source_config_map(void *user, const char *name, const struct json **ret, struct err *err)
{
	struct pod_op *op = user;

	*ret = pod_refs_config_map(op->refs, name);
	return *ret ? 0 : pod_refs_problem(op->refs, "configmaps", name, err);
}

static int source_secret(void *user, const char *name, const struct json **ret, struct err *err)
{
	struct pod_op *op = user;

	*ret = pod_refs_secret(op->refs, name);
	return *ret ? 0 : pod_refs_problem(op->refs, "secrets", name, err);
}

static bool is_of_claim(const struct json *volume, const char *claim)
{
	return streq(json_path_str(volume, "persistentVolumeClaim.claimName"), claim) ||
	       streq(json_path_str(volume, "dataVolume.name"), claim) ||
	       streq(json_path_str(volume, "ephemeral.persistentVolumeClaim.claimName"), claim);
}

/* A volume that was unplugged stays in the status until the guest has let it go. */
static bool guest_has(const struct json *vmi, const char *claim)
{
	JSON_FOR_EACH_ITEM(v, json_path(vmi, "spec.volumes"))
		if (is_of_claim(v, claim))
			return true;
	JSON_FOR_EACH_ITEM(v, json_path(vmi, "status.volumeStatus"))
		if (streq(json_path_str(v, "persistentVolumeClaimInfo.claimName"), claim))
			return true;
	return false;
}

/* A directory is a pod's or a guest's, not both at once: node/disk/claim_users.c. */
static int check_guests(const struct node *n, const char *ns, const char *claim, struct err *err)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object **list;
	size_t count = n->machines ? informer_list(n->machines, ns, &a, &list) : 0;

	for (size_t i = 0; i < count; i++) {
		const struct json *doc = object_doc(list[i], &a);
		const char *phase = json_path_str(doc, "status.phase");

		if (streq(phase, "Succeeded") || streq(phase, "Failed"))
			continue;
		if (guest_has(doc, claim))
			return err_set(err, -EBUSY,
				"it is in use by virtual machine instance \"%s\"", list[i]->name);
	}
	return 0;
}

static int source_claim(
	void *user, const char *name, bool own, const struct json **ret_volume, struct err *err)
{
	struct pod_op *op = user;
	int r = pod_refs_problem(op->refs, "persistentvolumeclaims", name, err);

	if (r == 0)
		r = check_guests(op->w->n, op->w->pod->namespace, name, err);
	if (r == 0 && op->w->n->check_claim)
		r = op->w->n->check_claim(op->w->n, op->w->pod->namespace, name, err);
	return r < 0 ? r : pod_refs_claim(op->refs, name, own ? op->w->uid : NULL, ret_volume, err);
}

/* Who names a node in a pod has passed by the scheduler: a path of another node's volume may lead
 * to somebody else's data here. */
static bool source_reaches(void *user, const struct json *volume)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct pod_op *op = user;
	const struct node *n = op->w->n;
	const struct json *terms =
		json_path(volume, "spec.nodeAffinity.required.nodeSelectorTerms");

	return !terms || (n->object && selector_node_terms_hold(&a, terms, n->object));
}

static int source_field(
	void *user, struct arena *a, const char *path, const char **ret, struct err *err)
{
	struct pod_op *op = user;
	struct env_context ctx = {
		.host_ip = op->w->n->host_ip,
		.pod_ip = op->w->pod_ip,
		.host_ips = pod_worker_ips(a, op->w->n->host_ip, op->w->n->host_ip6),
		.pod_ips = pod_worker_ips(a, op->w->pod_ip, op->w->pod_ip6),
	};

	return env_field(a, pod_worker_doc(op->w, a), path, &ctx, ret, err);
}

static int source_resource(
	void *user, struct arena *a, const struct json *ref, const char **ret, struct err *err)
{
	struct pod_op *op = user;
	struct env_context ctx = {
		.allocatable = resources_allocatable(op->w->n->resources),
	};

	return env_resource(a, pod_worker_doc(op->w, a), NULL, ref, &ctx, ret, err);
}

static int source_token(
	void *user, struct arena *a, const struct json *source, const char **ret, struct err *err)
{
	struct pod_op *op = user;
	const char *token = pod_refs_token(op->refs, source);

	if (!token) {
		_cleanup_(arena_finish) struct arena scratch = ARENA_INIT;
		int r = pod_refs_problem(op->refs, "tokens", pod_tokens_key(&scratch, source), err);
		return r < 0 ? r : err_set(err, -ENOENT, "there is no token for it");
	}
	*ret = arena_strdup(a, token);
	return 0;
}

/* ---- on the thread ---- */

struct making {
	struct pod_op *op; /* not to be touched when the job was cancelled */
	struct arena arena;
	struct pod_refs *refs; /* the plan's texts */
	struct volume_plan *plan;
	char *log_dir; /* NULL = it is there */
	void (*done)(struct pod_op *op, const struct volume_plan *p);
};

static void make_on_thread(void *user)
{
	struct making *m = user;

	volumes_make(m->plan);
	if (!m->log_dir || volumes_failure(m->plan) ||
		volume_make_dirs(m->log_dir, 0755, &m->plan->err) < 0)
		return;
	_cleanup_(free_p) char *mark = xasprintf("%s/" SET_UP_MARK, m->plan->pod_dir);
	_cleanup_(close_p) int fd = open(mark, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0)
		err_errno(&m->plan->err, -errno, "create '%s'", mark);
}

static void on_made(void *user, bool cancelled)
{
	struct making *m = user;

	if (!cancelled) {
		m->op->job = NULL;
		wakeup_destroy(TAKE_PTR(m->op->timer));
		m->done(m->op, m->plan);
	}
	pod_refs_destroy(m->refs);
	arena_finish(&m->arena);
	free(m);
}

static void on_waits_long(void *user)
{
	struct pod_op *op = user;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const char *names = "";

	JSON_FOR_EACH_ITEM(v, json_path(pod_worker_doc(op->w, &a), "spec.volumes"))
		names = arena_printf(&a, "%s%s%s", names, *names ? " " : "",
			json_str_or(json_get(v, "name"), ""));
	pod_worker_event(op->w, -1, "Warning", "FailedMount",
		"Unable to attach or mount volumes: unmounted volumes=[%s], unattached "
		"volumes=[], failed to process volumes=[]: timed out waiting for the condition",
		names);
	wakeup_in(op->timer, TELL_AFTER_MS);
}

static void make(struct pod_op *op, bool contents_only,
	void (*done)(struct pod_op *op, const struct volume_plan *p))
{
	struct pod_worker *w = op->w;
	struct making *m = xcalloc(1, sizeof(*m));
	const struct json *pod = pod_worker_doc(w, &m->arena);
	struct volume_source source = {
		.user = op,
		.memory_bytes = resources_capacity(w->n->resources)->memory_bytes,
		.config_map = source_config_map,
		.secret = source_secret,
		.claim = source_claim,
		.reaches = source_reaches,
		.field = source_field,
		.resource = source_resource,
		.token = source_token,
	};

	m->op = op;
	m->done = done;
	m->plan = volumes_plan(&m->arena, w->dir, pod, &source, contents_only);
	m->refs = TAKE_PTR(op->refs);
	m->log_dir = contents_only ? NULL : pod_log_dir(&m->arena, pod);
	op->timer = wakeup_create(w->n->loop, w->n->clock, on_waits_long, op);
	wakeup_in(op->timer, TELL_AFTER_MS);
	op->job = file_work_queue(w->n->files, w->uid, make_on_thread, on_made, m);
}

static void tell_failures(struct pod_worker *w, const struct volume_plan *p)
{
	if (p->err.code)
		pod_worker_event(w, -1, "Warning", "FailedMount", "%s", p->err.msg);
	for (size_t i = 0; i < p->count; i++) {
		if (p->steps[i].err.code)
			pod_worker_event(
				w, -1, "Warning", "FailedMount", "%s", p->steps[i].err.msg);
	}
}

static int64_t retry_ns(unsigned *failures)
{
	int64_t s = MIN(INT64_C(1) << MIN(*failures, 7u), (int64_t)RETRY_MAX_S);

	(*failures)++;
	return s * NS_PER_S;
}

/* ---- setup ---- */

static void setup_retry(struct pod_op *op)
{
	struct pod_worker *w = op->w;

	w->view.setup_busy = false;
	w->view.setup_retry_ns =
		wall(w->n) + (w->refs_changed ? AGAIN_NS : retry_ns(&w->setup_failures));
	w->refs_changed = false;
	pod_op_end(op);
}

static void setup_ready(struct pod_worker *w)
{
	w->view.setup_busy = false;
	w->view.setup_ready = true;
	w->setup_failures = 0;
}

/* The next look: when a token is to be renewed, when something has changed meanwhile, or, for what
 * nobody told, sometime. Spread, so that 110 pods do not look at once. */
static void plan_refresh(struct pod_worker *w)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	int64_t due_ns = pod_tokens_due_ns(w->tokens);
	int64_t wait_ns = REFRESH_S * NS_PER_S / 2;

	if (!volumes_need_refresh(pod_worker_doc(w, &a)))
		return;
	wait_ns += (int64_t)random_below(client_random(w->n->client), (uint64_t)wait_ns);
	if (due_ns != INT64_MAX)
		wait_ns = MIN(wait_ns, MAX(due_ns - wall(w->n), NS_PER_S));
	w->refresh_ns = mono(w->n) + (w->refs_changed ? AGAIN_NS : wait_ns);
	w->refs_changed = false;
}

static void on_set_up(struct pod_op *op, const struct volume_plan *p)
{
	struct pod_worker *w = op->w;

	if (volumes_failure(p)) {
		_cleanup_(arena_finish) struct arena a = ARENA_INIT;
		tell_failures(w, p);
		ref_watches_add(w->m->watches, w->uid, pod_worker_doc(w, &a),
			POD_REFS_VOLUMES | POD_REFS_CLAIMS);
		setup_retry(op);
		return;
	}
	setup_ready(w);
	plan_refresh(w);
	pod_op_end(op);
}

static void on_setup_refs(void *user, struct pod_refs *r, const struct err *err)
{
	struct pod_op *op = user;
	struct pod_worker *w = op->w;

	op->fetch = NULL;
	op->refs = r;
	w->refs_changed = ref_watches_saw(w->m->watches, w->uid, r);
	make(op, false, on_set_up);
}

static bool is_downward(const struct json *v)
{
	JSON_FOR_EACH_ITEM(src, json_path(v, "projected.sources")) {
		if (json_get(src, "downwardAPI"))
			return true;
	}
	return json_get(v, "downwardAPI") != NULL;
}

static bool shows_the_pod(const struct json *pod)
{
	JSON_FOR_EACH_ITEM(v, json_path(pod, "spec.volumes")) {
		if (is_downward(v))
			return true;
	}
	return false;
}

/* An earlier agent set them up, and the sandbox that they were for is there still: no tmpfs went
 * with a reboot. */
static bool is_set_up(struct pod_worker *w)
{
	_cleanup_(free_p) char *mark = xasprintf("%s/" SET_UP_MARK, w->dir);

	return w->view.sandbox_exists && w->view.sandbox_ready && access(mark, F_OK) == 0;
}

void pod_op_setup(struct pod_worker *w)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct json *pod = pod_worker_doc(w, &a);

	w->has_downward = shows_the_pod(pod);
	ref_watches_add(w->m->watches, w->uid, pod, POD_REFS_VOLUMES);
	if (is_set_up(w)) {
		setup_ready(w);
		if (volumes_need_refresh(pod))
			w->refresh_ns =
				mono(w->n) + (int64_t)random_below(client_random(w->n->client),
						     ADOPTED_S * NS_PER_S);
		pod_worker_poke(w);
		return;
	}
	struct pod_op *op = pod_op_new(w, SIZE_MAX, "set up volumes");
	w->view.setup_busy = true;
	if (pod_refs_needed(pod, POD_REFS_VOLUMES))
		op->fetch =
			pod_refs_fetch(w->n, pod, POD_REFS_VOLUMES, w->tokens, on_setup_refs, op);
	else
		make(op, false, on_set_up);
}

/* ---- refresh ---- */

static void on_refreshed(struct pod_op *op, const struct volume_plan *p)
{
	struct pod_worker *w = op->w;

	if (volumes_failure(p)) {
		tell_failures(w, p);
		w->refresh_ns =
			mono(w->n) + (w->refs_changed ? AGAIN_NS : retry_ns(&w->refresh_failures));
		w->refs_changed = false;
	} else {
		w->refresh_failures = 0;
		plan_refresh(w);
	}
	pod_op_end(op);
}

static void on_refresh_refs(void *user, struct pod_refs *r, const struct err *err)
{
	struct pod_op *op = user;

	op->fetch = NULL;
	op->refs = r;
	op->w->refs_changed = ref_watches_saw(op->w->m->watches, op->w->uid, r);
	/* A pod that has begun to leave must not get its volumes back behind the removal. */
	if (op->w->sm.state == POD_RUNNING)
		make(op, true, on_refreshed);
	else
		pod_op_end(op);
}

void pod_op_refresh(struct pod_worker *w)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct pod_op *op = pod_op_new(w, SIZE_MAX, "refresh volumes");

	/* Until it is over; then the next one is planned. */
	w->refresh_ns = 0;
	w->refs_changed = false;

	op->fetch = pod_refs_fetch(
		w->n, pod_worker_doc(w, &a), POD_REFS_VOLUMES, w->tokens, on_refresh_refs, op);
}

/* ---- changes ---- */

static bool under_way(const struct pod_worker *w, const char *what)
{
	LIST_FOR_EACH(op, &w->ops, struct pod_op, link) {
		if (streq(op->what, what))
			return true;
	}
	return false;
}

static void refresh_now(struct pod_worker *w)
{
	if (under_way(w, "refresh volumes"))
		w->refs_changed = true;
	else if (w->refresh_ns)
		w->refresh_ns = mono(w->n);
}

void pod_volumes_ref_changed(struct pod_worker *w)
{
	if (w->view.setup_busy)
		w->refs_changed = true;
	w->view.setup_retry_ns = 0;
	refresh_now(w);
	for (size_t i = 0; i < w->view.container_count; i++) {
		if (streq(w->containers[i].wait_reason, "CreateContainerConfigError"))
			w->view.containers[i].retry_ns = 0;
	}
	pod_worker_poke(w);
}

void pod_volumes_await_env(struct pod_worker *w)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;

	ref_watches_add(w->m->watches, w->uid, pod_worker_doc(w, &a), POD_REFS_ENV);
}

void pod_volumes_pod_changed(struct pod_worker *w, const struct object *new)
{
	static const char *const shown[] = {"metadata.labels", "metadata.annotations",
		"spec.containers", "spec.initContainers"};
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;

	if (!w->has_downward)
		return;
	const struct json *before = object_doc(w->pod, &a), *after = object_doc(new, &a);
	for (size_t i = 0; i < ARRAY_LEN(shown); i++) {
		if (!json_equal(json_path(before, shown[i]), json_path(after, shown[i]))) {
			refresh_now(w);
			return;
		}
	}
}

void pod_volumes_leave(struct pod_worker *w)
{
	w->refresh_ns = 0;
	ref_watches_drop(w->m->watches, w->uid);
}

/* ---- removal ---- */

void pod_volumes_forget(struct pod_worker *w)
{
	_cleanup_(free_p) char *mark = xasprintf("%s/" SET_UP_MARK, w->dir);

	unlink(mark);
}

struct removal {
	char *dirs[2];
	struct err err;
	void (*done)(void *user, const struct err *err);
	void *user;
};

static void remove_on_thread(void *user)
{
	struct removal *r = user;

	for (size_t i = 0; i < ARRAY_LEN(r->dirs); i++) {
		if (r->dirs[i] && volumes_remove(r->dirs[i], &r->err) < 0)
			return;
	}
}

static void on_removed(void *user, bool cancelled)
{
	struct removal *r = user;

	if (!cancelled && r->done)
		r->done(r->user, r->err.code ? &r->err : NULL);
	else if (r->err.code)
		log_warn("directory of a pod that is gone", "reason", r->err.msg, NULL);
	for (size_t i = 0; i < ARRAY_LEN(r->dirs); i++)
		free(r->dirs[i]);
	free(r);
}

struct file_job *pod_volumes_remove(struct node *n, const char *uid, const char *dir,
	const char *log_dir, void (*done)(void *user, const struct err *err), void *user)
{
	struct removal *r = xcalloc(1, sizeof(*r));

	/* The pod's own directory last: while it is there, the rest is known to be ours. */
	r->dirs[0] = log_dir ? xstrdup(log_dir) : NULL;
	r->dirs[1] = dir ? xstrdup(dir) : NULL;
	r->done = done;
	r->user = user;
	return file_work_queue(n->files, uid, remove_on_thread, on_removed, r);
}

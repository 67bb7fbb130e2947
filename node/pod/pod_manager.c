/* pod_manager.c - which pods there are, and what runs of them. The runtime is looked at when it
 * says that a task changed (containerd's events), a little later when an operation of ours is under
 * way on runtimes that say nothing, and every so often in any case: level-triggered, so nothing
 * that is missed stays missed. */
#include "node/pod/pod_internal.h"

#include <dirent.h>
#include <stdio.h>

#include "lib/base/log.h"
#include "lib/object/quantity.h"
#include "node/metrics/node_metrics.h"
#include "node/net/net.h"
#include "node/net/policy/policies.h"
#include "node/pod/pod_files.h"
#include "node/pod/pod_gc.h"
#include "node/pod/static_pods.h"
#include "node/pod/pod_volumes.h"
#include "node/pod/ref_watch.h"
#include "node/resources/resources.h"
#include "node/volume/volume.h"

enum {
	RELIST_WATCHED_MS = 15000, /* the runtime tells; this only mends what was missed */
	RELIST_BUSY_MS = 1000,	   /* it does not, and something is on its way */
	RELIST_IDLE_MS = 5000,
	RELIST_FAILED_MS = 2000,
	EVENT_GATHER_MS = 20,	   /* one exit gives several events */
	EVENT_GATHER_MAX_MS = 500, /* whatever else ends meanwhile: probes do all the time */
	/* What starts was nearly always started by us, and its status is asked for at once. */
	START_GATHER_MS = 1000,
	ORPHAN_GRACE_S = 30,
	ROTATE_MS = 10000,
	SWEEP_MS = 20000,
};

static void relist_in(struct pod_manager *m, int64_t ms)
{
	m->relist_due_ns = mono(m->n) + ms * NS_PER_MS;
	wakeup_in(m->relist, ms);
}

static void relist_within(struct pod_manager *m, int64_t ms)
{
	if (!wakeup_armed(m->relist) || m->relist_due_ns > mono(m->n) + ms * NS_PER_MS)
		relist_in(m, ms);
}

/* ---- orphans: what runs without a pod ---- */

struct orphan {
	struct list link;
	struct pod_manager *m;
	char *uid;
	VEC(char *) containers;
	VEC(char *) sandboxes;
	size_t at;
	enum { ORPHAN_STOP, ORPHAN_STOP_SANDBOX, ORPHAN_REMOVE, ORPHAN_REMOVE_SANDBOX } stage;
	struct grpc_call *call;
};

static void orphan_free(struct orphan *o)
{
	list_remove(&o->link);
	for (size_t i = 0; i < o->containers.count; i++)
		free(o->containers.items[i]);
	for (size_t i = 0; i < o->sandboxes.count; i++)
		free(o->sandboxes.items[i]);
	VEC_FINISH(&o->containers);
	VEC_FINISH(&o->sandboxes);
	free(o->uid);
	free(o);
}

static void orphan_step(void *user, const struct grpc_result *r)
{
	struct orphan *o = user;
	struct pod_manager *m = o->m;

	o->call = NULL;
	if (r && !grpc_ok(r) && r->status != GRPC_NOT_FOUND) {
		/* The next list finds it again. */
		log_warn("pod without an object could not be removed yet", "uid", o->uid, "reason",
			r->message, NULL);
		orphan_free(o);
		return;
	}
	for (;;) {
		bool containers = o->stage == ORPHAN_STOP || o->stage == ORPHAN_REMOVE;
		size_t count = containers ? o->containers.count : o->sandboxes.count;
		if (o->at < count)
			break;
		if (o->stage == ORPHAN_REMOVE_SANDBOX) {
			pod_files_remove(m, o->uid);
			log_info("removed what ran without a pod", "uid", o->uid, NULL);
			orphan_free(o);
			return;
		}
		o->stage++;
		o->at = 0;
	}
	switch (o->stage) {
	case ORPHAN_STOP:
		o->call = cri_stop_container(
			m->cri, o->containers.items[o->at++], ORPHAN_GRACE_S, orphan_step, o);
		break;
	case ORPHAN_STOP_SANDBOX:
		o->call = cri_stop_sandbox(m->cri, o->sandboxes.items[o->at++], orphan_step, o);
		break;
	case ORPHAN_REMOVE:
		o->call =
			cri_remove_container(m->cri, o->containers.items[o->at++], orphan_step, o);
		break;
	case ORPHAN_REMOVE_SANDBOX:
		o->call = cri_remove_sandbox(m->cri, o->sandboxes.items[o->at++], orphan_step, o);
		break;
	}
}

bool pod_manager_is_orphan(struct pod_manager *m, const char *uid)
{
	LIST_FOR_EACH(o, &m->orphan_ops, struct orphan, link) {
		if (streq(o->uid, uid))
			return true;
	}
	return false;
}

/* ---- lists ---- */

/* It names a directory; whoever may speak to the runtime may give any label. */
static const char *uid_of(Cri__Pair *const *labels, size_t count)
{
	const char *uid = cri_pair_get(labels, count, LABEL_POD_UID);

	return uid && *uid && *uid != '.' && !strchr(uid, '/') ? uid : NULL;
}

static const char *sandbox_uid(const Cri__PodSandbox *s)
{
	return uid_of(s->labels, s->n_labels);
}

static const char *container_uid(const Cri__Container *c)
{
	return uid_of(c->labels, c->n_labels);
}

static bool knows_all_pods(const struct pod_manager *m)
{
	return informer_synced(m->pods) && static_pods_known(m->statics);
}

bool pod_manager_synced(const struct pod_manager *m)
{
	return informer_synced(m->pods);
}

static bool is_known(void *user, const char *uid)
{
	struct pod_manager *m = user;

	return table_get(&m->workers, uid) || pod_manager_is_orphan(m, uid);
}

static void on_sweep(void *user)
{
	struct pod_manager *m = user;

	if (m->ever_listed && m->runtime_up && knows_all_pods(m))
		resources_sweep(m->n->resources, is_known, m);
	wakeup_in(m->sweep, SWEEP_MS);
}

static void take_down_orphans(struct pod_manager *m, const Cri__ListContainersResponse *containers)
{
	/* Without the whole list of pods nothing can be called an orphan. */
	if (!knows_all_pods(m))
		return;
	for (size_t i = 0; i < m->sandboxes->n_items; i++) {
		const char *uid = sandbox_uid(m->sandboxes->items[i]);
		if (!uid || table_get(&m->workers, uid) || pod_manager_is_orphan(m, uid) ||
			!pod_gc_is_ours(m, m->sandboxes->items[i], uid))
			continue;
		struct orphan *o = xcalloc(1, sizeof(*o));
		o->m = m;
		o->uid = xstrdup(uid);
		list_init(&o->link);
		list_append(&m->orphan_ops, &o->link);
		for (size_t k = 0; k < m->sandboxes->n_items; k++) {
			if (streq(sandbox_uid(m->sandboxes->items[k]), uid))
				VEC_PUSH(&o->sandboxes, xstrdup(m->sandboxes->items[k]->id));
		}
		for (size_t k = 0; k < containers->n_containers; k++) {
			if (streq(container_uid(containers->containers[k]), uid))
				VEC_PUSH(&o->containers, xstrdup(containers->containers[k]->id));
		}
		orphan_step(o, NULL);
	}
}

struct group {
	VEC(Cri__PodSandbox *) sandboxes;
	VEC(Cri__Container *) containers;
};

static struct group *group_of(struct table *groups, const char *uid)
{
	struct group *g = table_get(groups, uid);

	if (!g) {
		g = xcalloc(1, sizeof(*g));
		table_set(groups, uid, g);
	}
	return g;
}

static void apply(struct pod_manager *m, const Cri__ListContainersResponse *containers)
{
	struct table groups = TABLE_INIT;
	static struct group nothing;

	for (size_t i = 0; i < m->sandboxes->n_items; i++) {
		const char *uid = sandbox_uid(m->sandboxes->items[i]);
		if (uid)
			VEC_PUSH(&group_of(&groups, uid)->sandboxes, m->sandboxes->items[i]);
	}
	for (size_t i = 0; i < containers->n_containers; i++) {
		const char *uid = container_uid(containers->containers[i]);
		if (uid)
			VEC_PUSH(&group_of(&groups, uid)->containers, containers->containers[i]);
	}
	for (struct table_iter it = table_iterate(&m->workers); table_next(&it);) {
		struct group *g = table_get(&groups, it.key);
		if (!g)
			g = &nothing;
		pod_worker_apply(it.value, g->sandboxes.items, g->sandboxes.count,
			g->containers.items, g->containers.count, m->list_started_ns);
	}
	for (struct table_iter it = table_iterate(&groups); table_next(&it);) {
		struct group *g = it.value;
		VEC_FINISH(&g->sandboxes);
		VEC_FINISH(&g->containers);
		free(g);
	}
	table_finish(&groups);
}

static bool anything_busy(struct pod_manager *m)
{
	for (struct table_iter it = table_iterate(&m->workers); table_next(&it);) {
		if (pod_worker_busy(it.value))
			return true;
	}
	return false;
}

static double seconds_since(struct pod_manager *m, int64_t ns)
{
	return (double)(mono(m->n) - ns) / (double)NS_PER_S;
}

static void list_over(struct pod_manager *m)
{
	metric_observe(&metric_pleg_relist_seconds, seconds_since(m, m->list_started_ns), NULL);
	m->sandboxes = NULL;
	arena_finish(&m->list_arena);
	if (m->relist_again)
		relist_in(m, EVENT_GATHER_MS);
	else if (m->relist_later)
		relist_in(m, START_GATHER_MS);
	else if (m->watching)
		relist_in(m, RELIST_WATCHED_MS);
	else
		relist_in(m, anything_busy(m) ? RELIST_BUSY_MS : RELIST_IDLE_MS);
	m->relist_again = m->relist_later = false;
}

static void start_watch(struct pod_manager *m);
static void on_version(void *user, const struct grpc_result *r);

static void runtime_down(struct pod_manager *m, const char *message)
{
	_cleanup_(free_p) char *text = xasprintf("container runtime is down: %s", message);

	m->sandboxes = NULL;
	arena_finish(&m->list_arena);
	if (m->runtime_up)
		log_error("container runtime can't be reached, trying again", "reason", message,
			NULL);
	m->runtime_up = false;
	m->runtime.known = false;
	node_report(m->n, "runtime", false, "ContainerRuntimeIsDown", text);
	relist_in(m, RELIST_FAILED_MS);
}

static void on_containers(void *user, const struct grpc_result *r)
{
	struct pod_manager *m = user;

	m->list_containers = NULL;
	if (!grpc_ok(r)) {
		runtime_down(m, r->message);
		return;
	}
	if (!m->runtime_up) {
		m->runtime_up = true;
		/* It may have been updated while it was away. */
		if (!m->version)
			m->version = cri_version(m->cri, on_version, m);
		node_report(m->n, "runtime", true, "", "");
	}
	apply(m, r->response);
	take_down_orphans(m, r->response);
	if (!m->ever_listed && knows_all_pods(m)) {
		m->ever_listed = true;
		pod_files_sweep(m);
	}
	list_over(m);
	start_watch(m);
}

static void on_sandboxes(void *user, const struct grpc_result *r)
{
	struct pod_manager *m = user;

	m->list_sandboxes = NULL;
	if (!grpc_ok(r)) {
		runtime_down(m, r->message);
		return;
	}
	/* The response ends with this callback; keep it until the containers are in. */
	const Cri__ListPodSandboxResponse *list = r->response;
	size_t size = protobuf_c_message_get_packed_size(&list->base);
	uint8_t *packed = arena_alloc(&m->list_arena, size + 1);
	ProtobufCAllocator allocator = grpc_arena_allocator(&m->list_arena);
	protobuf_c_message_pack(&list->base, packed);
	m->sandboxes = cri__list_pod_sandbox_response__unpack(&allocator, size, packed);
	m->list_containers = cri_list_containers(m->cri, NULL, NULL, on_containers, m);
}

static void on_relist(void *user);

static void on_runtime_known(struct pod_manager *m, const char *failure)
{
	if (failure)
		runtime_down(m, failure);
	else
		on_relist(m);
}

static void on_relist(void *user)
{
	struct pod_manager *m = user;

	if (!m->runtime.known) {
		pod_runtime_ask(m, on_runtime_known);
		return;
	}
	if (m->list_sandboxes || m->list_containers) {
		m->relist_again = true;
		return;
	}
	if (m->list_started_ns)
		metric_observe(&metric_pleg_relist_interval_seconds,
			seconds_since(m, m->list_started_ns), NULL);
	m->list_started_ns = mono(m->n);
	m->end_seen_ns = 0;
	m->list_sandboxes = cri_list_sandboxes(m->cri, NULL, NULL, on_sandboxes, m);
}

/* ---- events of the runtime ---- */

static void relist_for_end(struct pod_manager *m)
{
	int64_t now = mono(m->n);

	if (!m->end_seen_ns)
		m->end_seen_ns = now;
	int64_t rest_ms = EVENT_GATHER_MAX_MS - (now - m->end_seen_ns) / NS_PER_MS;
	relist_in(m, MAX(MIN(rest_ms, (int64_t)EVENT_GATHER_MS), 0));
}

static void on_runtime_event(void *user, enum cri_change what)
{
	struct pod_manager *m = user;
	bool started = what == CRI_CHANGE_START;

	if (m->list_sandboxes || m->list_containers)
		*(started ? &m->relist_later : &m->relist_again) = true;
	else if (started)
		relist_within(m, START_GATHER_MS);
	else
		relist_for_end(m);
}

static void on_watch_ended(void *user, const struct grpc_result *r)
{
	struct pod_manager *m = user;

	m->watch = NULL;
	m->watching = false;
	if (r->status == GRPC_UNIMPLEMENTED)
		m->no_watch = true;
	/* The list that follows finds out whether the runtime is there, and subscribes again. */
	relist_in(m, RELIST_BUSY_MS);
}

static void start_watch(struct pod_manager *m)
{
	if (m->watch || m->no_watch)
		return;
	m->watch = cri_watch(m->cri, on_runtime_event, on_watch_ended, m);
	m->watching = true;
	/* What changed between the list and the subscription. */
	relist_within(m, RELIST_BUSY_MS);
}

static void on_version(void *user, const struct grpc_result *r)
{
	struct pod_manager *m = user;
	const Cri__VersionResponse *v = r->response;

	m->version = NULL;
	if (!grpc_ok(r))
		return;
	free(m->runtime_version);
	m->runtime_version = xasprintf("%s://%s", v->runtime_name, v->runtime_version);
}

/* ---- pods of the API ---- */

static struct pod_worker *take_on(struct pod_manager *m, const struct object *pod)
{
	struct pod_worker *w = pod_worker_create(m, (struct object *)(uintptr_t)pod);

	table_set(&m->workers, w->uid, w);
	if (m->ever_listed && !pod_manager_is_orphan(m, w->uid)) {
		/* It came after a list that knew all pods: nothing of it can run yet. */
		w->applied = true;
		pod_worker_poke(w);
	} else if (m->runtime_up) {
		relist_in(m, 0);
	}
	return w;
}

/* One that was told as gone and came back while it was being taken down (a store put back from a
 * backup) is taken on anew. */
static void worker_ended(struct pod_manager *m, const struct object *pod)
{
	struct object *o = informer_get(m->pods, pod->namespace, pod->name);

	if (o && streq(o->uid, pod->uid) && !o->deleting)
		take_on(m, o);
}

static void on_pod(void *user, const struct object *old, const struct object *new)
{
	struct pod_manager *m = user;
	const struct object *o = new ? new : old;
	struct pod_worker *w;

	if (static_pods_take(m->statics, old, new)) {
		net_mirror_changed(m->n->net, old, new);
		return;
	}
	net_pod_changed(m->n->net, old, new);
	/* Deleted and made anew between two looks: the old one ends by its own uid. */
	if (old && new && !streq(old->uid, new->uid)) {
		w = table_get(&m->workers, old->uid);
		if (w)
			pod_worker_changed(w, NULL);
	}
	w = table_get(&m->workers, o->uid);
	if (w) {
		pod_worker_changed(w, (struct object *)(uintptr_t) new);
		return;
	}
	if (new)
		take_on(m, new);
}

void pod_manager_offer(struct pod_manager *m, struct object *pod)
{
	struct pod_worker *w = table_get(&m->workers, pod->uid);

	/* By its own uid, and before it has a mirror: nothing of it starts before its policies. */
	policies_changed(m->n->policies, NULL, pod);
	if (w)
		pod_worker_changed(w, pod);
	else
		take_on(m, pod)->is_static = true;
}

void pod_manager_set_mirror(struct pod_manager *m, const char *uid, struct object *mirror)
{
	struct pod_worker *w = table_get(&m->workers, uid);

	if (w)
		pod_worker_set_mirror(w, mirror);
}

static void on_worker_gone(struct pod_manager *m, const char *uid)
{
	static_pods_gone(m->statics, uid);
}

static void on_ref_changed(void *user, const char *uid)
{
	struct pod_manager *m = user;
	struct pod_worker *w = table_get(&m->workers, uid);

	if (w)
		pod_volumes_ref_changed(w);
}

static void on_pods_synced(void *user)
{
	struct pod_manager *m = user;

	static_pods_synced(m->statics);
	net_pods_listed(m->n->net);
	if (m->list_sandboxes || m->list_containers)
		m->relist_again = true;
	else
		relist_in(m, 0);
}

static void on_rotate(void *user)
{
	struct pod_manager *m = user;

	pod_files_tend_logs(m);
	wakeup_in(m->rotate, ROTATE_MS);
}

/* ---- public ---- */

int pod_manager_create(struct node *n, struct pod_manager **ret, struct err *err)
{
	static const struct informer_handler handler = {
		.changed = on_pod,
		.synced = on_pods_synced,
	};
	struct pod_manager *m = xcalloc(1, sizeof(*m));
	char selector[300];

	m->n = n;
	m->pod_kind = kind_by_resource(n->kinds, "", "v1", "pods");
	const struct kind *services = kind_by_resource(n->kinds, "", "v1", "services");
	if (!m->pod_kind || !services) {
		free(m);
		return err_set(err, -ENOENT, "kinds Pod and Service are not known");
	}
	list_init(&m->orphan_ops);
	m->worker_ended = worker_ended;
	list_init(&m->clearances);
	list_init(&m->log_reopens);
	_cleanup_(free_p) char *root = xasprintf("%s/pods", n->data_dir);
	int r = volume_make_dirs(root, 0750, err);
	if (r < 0) {
		free(m);
		return r;
	}
	m->cri = cri_create(n->loop, n->cri_address);
	m->puller = image_puller_create(&(struct image_puller_options){
		.loop = n->loop,
		.clock = n->clock,
		.config = n->config,
		.cri = m->cri,
		.data_dir = n->data_dir,
	});
	m->relist = wakeup_create(n->loop, n->clock, on_relist, m);
	m->rotate = wakeup_create(n->loop, n->clock, on_rotate, m);
	wakeup_in(m->rotate, ROTATE_MS);
	m->sweep = wakeup_create(n->loop, n->clock, on_sweep, m);
	wakeup_in(m->sweep, SWEEP_MS);
	snprintf(selector, sizeof(selector), "spec.nodeName=%s", n->name);
	m->pods = informer_create(n->client, m->pod_kind, NULL, NULL, selector);
	informer_add_handler(m->pods, &handler, m);
	m->services = informer_create(n->client, services, NULL, NULL, NULL);
	m->watches = ref_watches_create(n, on_ref_changed, m);
	informer_start(m->services);
	informer_start(m->pods);
	pod_manager_add_check(m, pod_sandbox_check, m);
	relist_in(m, 0);
	m->worker_gone = on_worker_gone;
	m->statics = static_pods_create(m);
	*ret = m;
	return 0;
}

void pod_manager_destroy(struct pod_manager *m)
{
	if (!m)
		return;
	static_pods_destroy(TAKE_PTR(m->statics));
	for (struct table_iter it = table_iterate(&m->workers); table_next(&it);)
		pod_worker_destroy(it.value);
	table_finish(&m->workers);
	pod_gc_cancel(m);
	LIST_FOR_EACH(o, &m->orphan_ops, struct orphan, link) {
		grpc_call_cancel(o->call);
		orphan_free(o);
	}
	ref_watches_destroy(m->watches);
	informer_destroy(m->pods);
	informer_destroy(m->services);
	wakeup_destroy(m->relist);
	wakeup_destroy(m->rotate);
	wakeup_destroy(m->sweep);
	SSL_CTX_free(m->probe_tls);
	pod_files_stop(m);
	image_puller_destroy(m->puller);
	pod_runtime_finish(&m->runtime);
	cri_destroy(m->cri);
	arena_finish(&m->list_arena);
	VEC_FINISH(&m->checks);
	free(m->runtime_version);
	free(m);
}

static struct pod_worker *find(
	struct pod_manager *m, const char *ns, const char *pod, const char *uid)
{
	struct pod_worker *best = NULL;

	for (struct table_iter it = table_iterate(&m->workers); table_next(&it);) {
		struct pod_worker *w = it.value;
		if (!streq(w->ns, ns) || !streq(w->name, pod) || (uid && !streq(uid, w->uid)))
			continue;
		/* Of two namesakes the newer one is meant. */
		if (!best || (best->view.absent && !w->view.absent))
			best = w;
	}
	return best;
}

int pod_manager_find(struct pod_manager *m, struct arena *a, const char *ns, const char *pod,
	const char *uid, const char *container, struct pod_container_at *ret, struct err *err)
{
	struct pod_worker *w = find(m, ns, pod, uid);

	if (!w)
		return err_set(
			err, -ENOENT, "pod '%s' in namespace '%s' is not on this node", pod, ns);
	const struct json *doc = pod_worker_doc(w, a);
	bool first = !container || !*container;
	for (size_t i = 0; i < w->view.container_count; i++) {
		const struct pod_container *c = &w->containers[i];
		if (first ? w->view.containers[i].init : !streq(c->name, container))
			continue;
		const char *dir = pod_log_dir(a, doc);
		*ret = (struct pod_container_at){0};
		ret->tty = json_bool_or(json_get(pod_container_doc(doc, i), "tty"), false);
		ret->running = c->cur.id && c->cur.run == RUN_RUNNING;
		if (c->cur.id) {
			ret->container_id = arena_strdup(a, c->cur.id);
			if (c->cur.run != RUN_CREATED)
				ret->log_path = arena_printf(a, "%s/%s", dir,
					container_log_path(a, c->name, c->cur.attempt));
		}
		if (c->last.id)
			ret->previous_log_path = arena_printf(
				a, "%s/%s", dir, container_log_path(a, c->name, c->last.attempt));
		if (!ret->log_path && ret->previous_log_path)
			ret->log_path = ret->previous_log_path;
		ret->waiting_reason = c->wait_reason		  ? arena_strdup(a, c->wait_reason)
				      : pod_initialized(&w->view) ? "ContainerCreating"
								  : "PodInitializing";
		return 0;
	}
	return err_set(err, -ENOENT, "container %s is not valid for pod %s",
		container ? container : "", pod);
}

const char *pod_manager_sandbox(struct pod_manager *m, const char *ns, const char *pod)
{
	struct pod_worker *w = find(m, ns, pod, NULL);

	return w && w->view.sandbox_ready ? w->sandbox_id : NULL;
}

const char *pod_manager_ip(struct pod_manager *m, const char *ns, const char *pod)
{
	struct pod_worker *w = find(m, ns, pod, NULL);

	return w && w->view.sandbox_ready ? w->pod_ip : NULL;
}

void pod_manager_list(struct pod_manager *m, struct buf *out)
{
	bool first = true;

	buf_add_str(out, "{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"metadata\":{},\"items\":[");
	for (struct table_iter it = table_iterate(&m->workers); table_next(&it);) {
		struct pod_worker *w = it.value;
		if (!first)
			buf_add_char(out, ',');
		first = false;
		buf_add(out, w->pod->bytes->data, w->pod->bytes->size);
	}
	buf_add_str(out, "]}");
}

static bool image_is_listed(void *user, const char *id)
{
	const Cri__ListImagesResponse *list = user;

	for (size_t i = 0; i < list->n_images; i++)
		if (streq(list->images[i]->id, id))
			return true;
	return false;
}

void pod_manager_images_seen(struct pod_manager *m, const Cri__ListImagesResponse *list)
{
	struct image_records *records = image_puller_records(m->puller);

	if (image_records_lost(records)) {
		VEC(const char *) ids = {0};
		for (size_t i = 0; i < list->n_images; i++)
			VEC_PUSH(&ids, list->images[i]->id);
		image_records_found(records, ids.items, ids.count);
		VEC_FINISH(&ids);
	}
	image_records_sweep(records, image_is_listed, (void *)(uintptr_t)list);
}

struct cri *pod_manager_cri(struct pod_manager *m)
{
	return m->cri;
}

bool pod_manager_runtime_ready(const struct pod_manager *m)
{
	return m->runtime_up;
}

const char *pod_manager_runtime_version(const struct pod_manager *m)
{
	return m->runtime_version ? m->runtime_version : "containerd://unknown";
}

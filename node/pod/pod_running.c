/* pod_running.c - see pod_running.h. */
#include "node/pod/pod_running.h"

#include "node/metrics/node_metrics.h"
#include "node/pod/pod_internal.h"

void pod_manager_count(struct pod_manager *m, struct pod_counts *ret)
{
	*ret = (struct pod_counts){0};
	for (struct table_iter it = table_iterate(&m->workers); table_next(&it);) {
		const struct pod_worker *w = it.value;
		bool over = w->sm.state == POD_FINISHED || w->view.ended;
		ret->sandboxes += w->view.sandbox_ready;
		ret->desired[w->is_static] += !w->view.absent;
		ret->active[w->is_static] += !over || w->view.sandbox_ready;
		ret->mirrors += w->mirror != NULL;
		for (size_t i = 0; i < w->view.container_count; i++) {
			const struct instance *c = &w->containers[i].cur;
			if (!c->id)
				continue;
			ret->containers_created += c->run == RUN_CREATED;
			ret->containers_running += c->run == RUN_RUNNING;
			ret->containers_exited += c->run != RUN_CREATED && c->run != RUN_RUNNING;
		}
	}
}

void pod_manager_walk_running(
	struct pod_manager *m, void (*each)(void *user, const struct container_here *c), void *user)
{
	struct arena a = ARENA_INIT;

	for (struct table_iter it = table_iterate(&m->workers); table_next(&it);) {
		struct pod_worker *w = it.value;
		const struct json *doc = NULL;
		for (size_t i = 0; i < w->view.container_count; i++) {
			const struct pod_container *c = &w->containers[i];
			if (!c->cur.id || c->cur.run != RUN_RUNNING)
				continue;
			if (!doc)
				doc = pod_worker_doc(w, &a);
			const struct json *spec = pod_container_doc(doc, i);
			struct container_here here = {
				.ns = w->ns,
				.pod = w->name,
				.uid = w->uid,
				.container = c->name,
				.id = c->cur.id,
				.image = c->cur.image ? c->cur.image
						      : json_str_or(json_get(spec, "image"), ""),
				.pod_doc = doc,
				.started_ns = c->cur.started_ns,
				.host_network = json_path_bool(doc, "spec.hostNetwork", false),
			};
			each(user, &here);
		}
		arena_reset(&a);
	}
	arena_finish(&a);
}

static void count_since_creation(struct pod_worker *w)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const char *made = json_path_str(pod_worker_doc(w, &a), "metadata.creationTimestamp");
	int64_t made_ns;

	if (!made || time_parse_rfc3339(made, &made_ns) < 0)
		return;
	double s = (double)MAX(wall(w->n) - made_ns, 0) / (double)NS_PER_S;
	metric_observe(&metric_pod_start_total_seconds, s, NULL);
	/* Init containers are not counted either, and take as long as they like. */
	for (size_t i = 0; i < w->view.container_count; i++) {
		if (w->view.containers[i].init && !w->view.containers[i].sidecar)
			return;
	}
	s -= (double)w->pulling.took_ns / (double)NS_PER_S;
	metric_observe(&metric_pod_start_sli_seconds, MAX(s, 0), NULL);
}

void pod_count_pull(struct pod_worker *w, bool begins)
{
	if (begins && w->pulling.now++ == 0)
		w->pulling.since_ns = mono(w->n);
	if (!begins && --w->pulling.now == 0)
		w->pulling.took_ns += mono(w->n) - w->pulling.since_ns;
}

void pod_count_started(struct pod_worker *w, size_t container, bool ok)
{
	const struct container_view *v = &w->view.containers[container];
	const char *type = v->init	  ? "init_container"
			   : v->ephemeral ? "ephemeral_container"
					  : "container";

	metric_add(&metric_started_containers, 1, type);
	if (!ok)
		metric_add(&metric_started_container_errors, 1, type, "RunContainerError");
	/* The first time that all of them run; not of pods that an agent before this one began. */
	for (size_t i = 0; ok && i < w->view.container_count; i++) {
		const struct instance *c = &w->containers[i].cur;
		if (!container_is_main(&w->view.containers[i]))
			continue;
		if (!c->id || c->attempt > 0 || c->run != RUN_RUNNING)
			return;
	}
	if (ok && container_is_main(v)) {
		metric_observe(&metric_pod_start_seconds,
			(double)(mono(w->n) - w->seen_ns) / (double)NS_PER_S, NULL);
		count_since_creation(w);
	}
}

void pod_count_operation(const struct pod_op *op)
{
	const char *type = streq(op->what, "run sandbox")     ? "create"
			   : streq(op->what, "remove pod")    ? "terminated"
			   : str_has_prefix(op->what, "stop") ? "terminating"
							      : "sync";

	metric_observe(&metric_pod_worker_seconds,
		(double)(mono(op->w->n) - op->started_ns) / (double)NS_PER_S, type);
}

struct listing_run {
	struct arena a;
	struct json *items, *containers;
	const char *uid; /* of the pod that is being listed */
};

static void list_one(void *user, const struct container_here *c)
{
	struct listing_run *l = user;
	struct arena *a = &l->a;

	/* A pod's containers come one after the other. */
	if (!streq(l->uid, c->uid)) {
		struct json *pod = json_new_object(a), *meta = json_new_object(a);
		struct json *spec = json_new_object(a);
		json_set_str(a, meta, "name", c->pod);
		json_set_str(a, meta, "namespace", c->ns);
		json_set_str(a, meta, "uid", c->uid);
		json_set(a, meta, "creationTimestamp", json_new_null(a));
		json_set(a, pod, "metadata", meta);
		l->containers = json_new_array(a);
		json_set(a, spec, "containers", l->containers);
		json_set(a, pod, "spec", spec);
		json_set(a, pod, "status", json_new_object(a));
		json_push(a, l->items, pod);
		l->uid = c->uid;
	}
	struct json *container = json_new_object(a);
	json_set_str(a, container, "name", c->container);
	json_set_str(a, container, "image", c->image);
	json_set(a, container, "resources", json_new_object(a));
	json_push(a, l->containers, container);
}

void pod_manager_list_running(struct pod_manager *m, struct buf *out)
{
	struct listing_run l = {.a = ARENA_INIT};
	struct json *doc = json_new_object(&l.a);

	l.items = json_new_array(&l.a);
	pod_manager_walk_running(m, list_one, &l);
	json_set_str(&l.a, doc, "kind", "PodList");
	json_set_str(&l.a, doc, "apiVersion", "v1");
	json_set(&l.a, doc, "metadata", json_new_object(&l.a));
	json_set(&l.a, doc, "items", l.items);
	json_write(out, doc);
	arena_finish(&l.a);
}

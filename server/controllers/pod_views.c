#include "server/controllers/pod_views.h"

#include "lib/base/table.h"
#include "server/controllers/meta.h"

struct slot {
	struct pod_view view;
	struct arena arena; /* the view's strings */
};

struct pod_views {
	struct informer *pods;
	struct table by_uid; /* uid -> slot */
	struct slot gone;    /* the last one asked for that a sync held longer than the cache */
};

static void slot_free(struct slot *s)
{
	if (!s)
		return;
	arena_finish(&s->arena);
	free(s);
}

static void on_pod(void *user, const struct object *old, const struct object *new)
{
	struct pod_views *v = user;
	if (old && !new)
		slot_free(table_remove(&v->by_uid, old->uid));
}

struct pod_views *pod_views_create(struct informer *pods)
{
	static const struct informer_handler handler = {.changed = on_pod};
	struct pod_views *v = xcalloc(1, sizeof(*v));
	v->pods = pods;
	informer_add_handler(pods, &handler, v);
	return v;
}

void pod_views_destroy(struct pod_views *v)
{
	if (!v)
		return;
	struct table_iter it = table_iterate(&v->by_uid);
	while (table_next(&it))
		slot_free(it.value);
	table_finish(&v->by_uid);
	arena_finish(&v->gone.arena);
	free(v);
}

static unsigned phase_rank(const char *phase)
{
	return streq(phase, "Pending") || !phase[0] ? POD_PENDING
	       : streq(phase, "Unknown")	    ? POD_UNKNOWN
	       : streq(phase, "Running")	    ? POD_RUNNING
						    : POD_OTHER;
}

static const char *keep(struct arena *a, const struct json *text)
{
	const char *s = json_str(text);
	return s && s[0] ? arena_strdup(a, s) : "";
}

static bool is_sidecar(const struct json *spec, const char *name)
{
	JSON_FOR_EACH_ITEM(c, json_get(spec, "initContainers"))
		if (streq(json_str(json_get(c, "name")), name))
			return streq(json_str(json_get(c, "restartPolicy")), "Always");
	return false;
}

/* The latest end of all containers; 0 when one of them has none. */
static int64_t containers_end_ns(const struct json *spec, const struct json *status)
{
	static const char *const lists[] = {"containerStatuses", "initContainerStatuses"};
	int64_t end_ns = 0;
	for (size_t n = 0; n < ARRAY_LEN(lists); n++)
		JSON_FOR_EACH_ITEM(c, json_get(status, lists[n])) {
			/* Init containers ended before; sidecars end last. */
			if (n && !is_sidecar(spec, json_str(json_get(c, "name"))))
				continue;
			int64_t ns = meta_time_ns(json_path(c, "state.terminated.finishedAt"));
			if (!ns)
				return 0;
			end_ns = MAX(end_ns, ns);
		}
	return end_ns;
}

static int64_t finished_ns(const struct json *doc)
{
	const struct json *status = json_get(doc, "status"), *meta = json_get(doc, "metadata");
	int64_t ns = containers_end_ns(json_get(doc, "spec"), status);
	const struct json *ready = condition_find(json_get(status, "conditions"), "Ready");
	if (!ns && streq(json_str(json_get(ready, "status")), "False"))
		ns = meta_time_ns(json_get(ready, "lastTransitionTime"));
	if (!ns && json_get(meta, "deletionTimestamp"))
		ns = meta_time_ns(json_get(meta, "deletionTimestamp")) -
		     json_int_or(json_get(meta, "deletionGracePeriodSeconds"), 0) * NS_PER_S;
	return ns ? ns : meta_time_ns(json_get(meta, "creationTimestamp"));
}

static int64_t annotation_number(
	const struct json *annotations, const char *name, int64_t most, int64_t fallback)
{
	const char *text = json_str(json_get(annotations, name));
	int64_t n;
	return text && parse_i64(str_from(text), &n) == 0 && n >= 0 && n <= most ? n : fallback;
}

static void decode_job(struct pod_view *v, const struct json *doc)
{
	const struct json *annotations = json_path(doc, "metadata.annotations");
	v->job_tracked = meta_has_finalizer(doc, "batch.kubernetes.io/job-tracking");
	v->completion_index = annotation_number(
		annotations, "batch.kubernetes.io/job-completion-index", INT64_MAX, -1);
	v->index_failures = annotation_number(
		annotations, "batch.kubernetes.io/job-index-failure-count", INT32_MAX, 0);
	v->index_ignored_failures = annotation_number(
		annotations, "batch.kubernetes.io/job-index-ignored-failure-count", INT32_MAX, 0);
}

static void decode(struct slot *slot, const struct object *pod)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	arena_finish(&slot->arena);
	struct json *doc = object_doc(pod, &a), *status = json_get(doc, "status"),
		    *spec = json_get(doc, "spec");
	const char *phase = json_str_or(json_get(status, "phase"), "");
	struct json *ready = condition_find(json_get(status, "conditions"), "Ready");
	struct pod_view *v = &slot->view;
	*v = (struct pod_view){
		.revision = pod->revision,
		.succeeded = streq(phase, "Succeeded"),
		.failed = streq(phase, "Failed"),
		.ready = streq(json_str(json_get(ready, "status")), "True"),
		.phase = phase_rank(phase),
		.created_ns = meta_time_ns(json_path(doc, "metadata.creationTimestamp")),
		.node = keep(&slot->arena, json_get(spec, "nodeName")),
		.ip = keep(&slot->arena, json_get(status, "podIP")),
		.second_ip = keep(&slot->arena, json_path(status, "podIPs[1].ip")),
		.hostname = keep(&slot->arena, json_get(spec, "hostname")),
		.subdomain = keep(&slot->arena, json_get(spec, "subdomain")),
	};
	v->terminal = v->succeeded || v->failed;
	v->active = !v->terminal && !pod->deleting;
	if (v->ready)
		v->ready_since_ns = meta_time_ns(json_get(ready, "lastTransitionTime"));
	if (!v->active)
		v->finished_ns = finished_ns(doc);
	JSON_FOR_EACH_ITEM(c, json_get(status, "containerStatuses")) {
		int64_t restarts = json_int_or(json_get(c, "restartCount"), 0);
		v->restarts = MAX(v->restarts, restarts);
		v->restarts_sum += restarts;
	}
	JSON_FOR_EACH_ITEM(c, json_get(status, "initContainerStatuses"))
		v->restarts_sum += json_int_or(json_get(c, "restartCount"), 0);
	decode_job(v, doc);
	const char *cost = json_str(json_get(json_path(doc, "metadata.annotations"),
		"controller.kubernetes.io/pod-deletion-cost"));
	if (cost && parse_i64(str_from(cost), &v->deletion_cost) < 0)
		v->deletion_cost = 0;
}

const struct pod_view *pod_view(struct pod_views *v, const struct object *pod)
{
	struct slot *s = table_get(&v->by_uid, pod->uid);
	if (!s) {
		const struct object *is = informer_get(v->pods, pod->namespace, pod->name);
		/* Nobody would tell when to forget it. */
		if (!is || !streq(is->uid, pod->uid)) {
			decode(&v->gone, pod);
			return &v->gone.view;
		}
		s = xcalloc(1, sizeof(*s));
		table_set(&v->by_uid, pod->uid, s);
	}
	if (s->view.revision != pod->revision || !s->view.node)
		decode(s, pod);
	return &s->view;
}

bool pod_view_available(
	const struct pod_view *p, int64_t min_ready_s, int64_t now_ns, int64_t *ret_wait_ms)
{
	if (ret_wait_ms)
		*ret_wait_ms = -1;
	if (!p->ready)
		return false;
	int64_t left_ns = p->ready_since_ns + min_ready_s * NS_PER_S - now_ns;
	if (min_ready_s == 0 || left_ns <= 0)
		return true;
	if (ret_wait_ms)
		*ret_wait_ms = left_ns / NS_PER_MS + 1;
	return false;
}

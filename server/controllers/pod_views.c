#include "server/controllers/pod_views.h"

#include "lib/base/table.h"
#include "server/controllers/meta.h"

struct pod_views {
	struct table by_uid; /* uid -> slot */
};

struct slot {
	struct pod_view view;
	struct arena arena; /* the view's strings */
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
		.failed = streq(phase, "Failed"),
		.terminal = streq(phase, "Succeeded") || streq(phase, "Failed"),
		.ready = streq(json_str(json_get(ready, "status")), "True"),
		.phase = phase_rank(phase),
		.created_ns = meta_time_ns(json_path(doc, "metadata.creationTimestamp")),
		.node = keep(&slot->arena, json_get(spec, "nodeName")),
		.ip = keep(&slot->arena, json_get(status, "podIP")),
		.hostname = keep(&slot->arena, json_get(spec, "hostname")),
		.subdomain = keep(&slot->arena, json_get(spec, "subdomain")),
	};
	v->active = !v->terminal && !pod->deleting;
	if (v->ready)
		v->ready_since_ns = meta_time_ns(json_get(ready, "lastTransitionTime"));
	JSON_FOR_EACH_ITEM(c, json_get(status, "containerStatuses"))
		v->restarts = MAX(v->restarts, json_int_or(json_get(c, "restartCount"), 0));
	const char *cost = json_str(json_get(json_path(doc, "metadata.annotations"),
		"controller.kubernetes.io/pod-deletion-cost"));
	if (cost && parse_i64(str_from(cost), &v->deletion_cost) < 0)
		v->deletion_cost = 0;
}

const struct pod_view *pod_view(struct pod_views *v, const struct object *pod)
{
	struct slot *s = table_get(&v->by_uid, pod->uid);
	if (!s) {
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

#include "server/scheduler/scheduler.h"

#include <inttypes.h>

#include "lib/base/list.h"
#include "lib/base/log.h"
#include "lib/client/informer.h"
#include "lib/client/wakeup.h"
#include "server/scheduler/scheduler_queue.h"
#include "server/scheduler/workload.h"

#define COMPONENT "default-scheduler"
#define BATCH 256 /* placements in one turn of the loop */

struct scheduler {
	struct client *client;
	struct informers *informers;
	struct informer *nodes, *pods, *instances;
	struct scheduler_core *core;
	struct scheduler_queue *queue;
	struct wakeup *wakeup;
	bool synced;
	struct list calls;
};

/* An API call under way, so that destroying the scheduler can cancel it. */
struct call {
	struct list link;
	struct scheduler *s;
	struct client_call *client_call;
	struct object *object; /* that is being bound; NULL for others */
	char *node;
};

static int64_t mono(struct scheduler *s)
{
	return s->client->clock->mono_ns(s->client->clock);
}

static struct call *call_new(struct scheduler *s)
{
	struct call *call = xcalloc(1, sizeof(*call));
	call->s = s;
	list_append(&s->calls, &call->link);
	return call;
}

static void call_free(struct call *call)
{
	list_remove(&call->link);
	object_unref(call->object);
	free(call->node);
	free(call);
}

static void arm(struct scheduler *s)
{
	if (!s->synced)
		return;
	int64_t now_ns = mono(s), due_ns = queue_next_due(s->queue, now_ns);
	if (due_ns == INT64_MAX)
		wakeup_cancel(s->wakeup);
	else
		wakeup_at(s->wakeup, due_ns);
}

static bool is_pod(const struct object *o)
{
	return o->kind->group[0] == '\0';
}

/* The PodScheduled condition, which a virtual machine instance shows too. */

static struct json *with_scheduled(struct arena *a, const struct json *conditions,
	const char *status, const char *reason, const char *message, int64_t wall_ns)
{
	char now[TIME_RFC3339_ROOM];
	time_format_rfc3339(wall_ns, now);
	struct json *all = json_new_array(a), *new = json_new_object(a);
	const char *since = now;
	JSON_FOR_EACH_ITEM(c, conditions) {
		if (!streq(json_str(json_get(c, "type")), "PodScheduled"))
			json_push(a, all, c);
		else if (streq(json_str(json_get(c, "status")), status))
			since = json_str_or(json_get(c, "lastTransitionTime"), now);
	}
	json_set_str(a, new, "type", "PodScheduled");
	json_set_str(a, new, "status", status);
	json_set_str(a, new, "lastTransitionTime", since);
	if (reason) {
		json_set_str(a, new, "reason", reason);
		json_set_str(a, new, "message", message);
	}
	json_push(a, all, new);
	return all;
}

static struct json *patch_of(struct arena *a, const struct object *o)
{
	struct json *patch = json_new_object(a);
	json_path_set(
		a, patch, "metadata.resourceVersion", json_new_printf(a, "%" PRIu64, o->revision));
	json_path_set(a, patch, "metadata.uid", json_new_string(a, o->uid));
	return patch;
}

static void on_condition_written(void *user, const struct client_result *r)
{
	/* A conflict: the object has changed and comes again. */
	if (!client_ok(r) && r->code != 409 && r->code != 404)
		log_info("cannot write the PodScheduled condition", "message", r->message, NULL);
	call_free(user);
}

static void report_unschedulable(
	struct scheduler *s, const struct queued *w, struct arena *a, const char *message)
{
	const struct object *o = w->object;
	client_event_as(
		s->client, COMPONENT, o, NULL, "Warning", "FailedScheduling", "%s", message);
	struct json *conditions = json_path(object_doc(o, a), "status.conditions");
	JSON_FOR_EACH_ITEM(c, conditions)
		if (streq(json_str(json_get(c, "type")), "PodScheduled") &&
			streq(json_str(json_get(c, "status")), "False") &&
			streq(json_str(json_get(c, "reason")), "Unschedulable") &&
			streq(json_str(json_get(c, "message")), message))
			return;
	struct json *patch = patch_of(a, o);
	json_path_set(a, patch, "status.conditions",
		with_scheduled(a, conditions, "False", "Unschedulable", message,
			s->client->clock->wall_ns(s->client->clock)));
	struct call *call = call_new(s);
	call->client_call = client_patch(s->client, o->kind, o->namespace, o->name, "status",
		"application/merge-patch+json", patch, on_condition_written, call);
}

/* Binding. The node's room is taken at once, so that the next placements see it; it is given back
 * when the server refuses. */

static void on_bound(void *user, const struct client_result *r)
{
	struct call *call = user;
	struct scheduler *s = call->s;
	struct object *o = call->object;
	struct queued *w = queue_find(s->queue, o->uid);
	if (client_ok(r)) {
		client_event_as(s->client, COMPONENT, o, NULL, "Normal", "Scheduled",
			"Successfully assigned %s/%s to %s", o->namespace, o->name, call->node);
		/* The cache may have shown it already, or will; until then it must not be tried
		 * again. */
	} else if (w) {
		core_unassign(s->core, o->uid);
		if (r->code != 409 && r->code != 404)
			client_event_as(s->client, COMPONENT, o, NULL, "Warning",
				"FailedScheduling", "binding rejected: %s", r->message);
		queue_retry(s->queue, w, mono(s));
		arm(s);
	}
	call_free(call);
}

static void bind_pod(struct scheduler *s, struct call *call, struct arena *a)
{
	const struct object *o = call->object;
	_cleanup_(buf_finish) struct buf text = BUF_INIT;
	struct json *body = json_new_object(a);
	json_set_str(a, body, "apiVersion", "v1");
	json_set_str(a, body, "kind", "Binding");
	json_path_set(a, body, "metadata.name", json_new_string(a, o->name));
	json_path_set(a, body, "metadata.namespace", json_new_string(a, o->namespace));
	json_path_set(a, body, "metadata.uid", json_new_string(a, o->uid));
	json_path_set(a, body, "target.apiVersion", json_new_string(a, "v1"));
	json_path_set(a, body, "target.kind", json_new_string(a, "Node"));
	json_path_set(a, body, "target.name", json_new_string(a, call->node));
	json_write(&text, body);
	struct client_request req = {
		.method = "POST",
		.path = client_path(a, o->kind, o->namespace, o->name, "binding"),
		.body = text.data,
		.body_size = text.size,
	};
	call->client_call = client_request(s->client, &req, on_bound, call);
}

static void bind_instance(struct scheduler *s, struct call *call, struct arena *a)
{
	const struct object *o = call->object;
	struct json *patch = patch_of(a, o);
	struct json *conditions = json_path(object_doc(o, a), "status.conditions");
	json_path_set(a, patch, "status.nodeName", json_new_string(a, call->node));
	json_path_set(a, patch, "status.phase", json_new_string(a, "Scheduled"));
	json_path_set(a, patch, "status.conditions",
		with_scheduled(a, conditions, "True", NULL, NULL,
			s->client->clock->wall_ns(s->client->clock)));
	call->client_call = client_patch(s->client, o->kind, o->namespace, o->name, "status",
		"application/merge-patch+json", patch, on_bound, call);
}

static void try_one(struct scheduler *s, struct queued *w)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const char *message = "";
	const char *node =
		core_place(s->core, &w->workload, client_random(s->client), &a, &message);
	if (!node) {
		report_unschedulable(s, w, &a, message);
		queue_unschedulable(s->queue, w, mono(s));
		return;
	}
	core_assign(s->core, w->object->uid, node, &w->workload);
	struct call *call = call_new(s);
	call->object = object_ref(w->object);
	call->node = xstrdup(node);
	if (is_pod(w->object))
		bind_pod(s, call, &a);
	else
		bind_instance(s, call, &a);
}

static void on_wakeup(void *user)
{
	struct scheduler *s = user;
	int64_t now_ns = mono(s);
	queue_next_due(s->queue, now_ns);
	struct queued *w;
	for (unsigned n = 0; n < BATCH && (w = queue_pop(s->queue, now_ns)); n++)
		try_one(s, w);
	arm(s);
}

/* What the caches say. */

static void freed(struct scheduler *s, const char *uid)
{
	if (core_unassign(s->core, uid))
		queue_move_all(s->queue, mono(s));
	queue_remove(s->queue, uid);
}

static bool is_final(const char *phase)
{
	return streq(phase, "Succeeded") || streq(phase, "Failed");
}

static bool waits_for_us(const struct object *o, const struct json *doc)
{
	if (o->deleting)
		return false;
	if (is_pod(o))
		return streq(json_str_or(json_path(doc, "spec.schedulerName"), COMPONENT),
			       COMPONENT) &&
		       !json_count(json_path(doc, "spec.schedulingGates"));
	const char *phase = json_str_or(json_path(doc, "status.phase"), "");
	return streq(json_str_or(json_path(doc, "spec.schedulerName"), COMPONENT), COMPONENT) &&
	       (!phase[0] || streq(phase, "Pending") || streq(phase, "Scheduling"));
}

/* What was tried in vain is worth another try when its owner has changed what it asks for. */
static bool spec_changed(struct arena *a, const struct object *old, const struct json *doc)
{
	return !json_equal(json_get(object_doc(old, a), "spec"), json_get(doc, "spec"));
}

static void on_workload(void *user, const struct object *old, const struct object *new)
{
	struct scheduler *s = user;
	const struct object *o = new ? new : old;
	bool pod = is_pod(o);
	const char *phase = object_field(o, "status.phase");
	if (!new || is_final(phase ? phase : "")) {
		freed(s, o->uid);
		arm(s);
		return;
	}
	const char *node = object_field(o, pod ? "spec.nodeName" : "status.nodeName");
	bool placed = node && node[0];
	/* Most events are about placed workloads whose requests do not change. */
	if (placed && old && core_assigned(s->core, o->uid)) {
		const char *was = object_field(old, pod ? "spec.nodeName" : "status.nodeName");
		if (was && streq(was, node))
			return;
	}
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct json *doc = object_doc(o, &a);
	struct queued *w = queued_new((struct object *)o);
	if (pod)
		workload_from_pod(&w->arena, doc, &w->workload);
	else
		workload_from_instance(&w->arena, doc, &w->workload);
	w->priority = json_path_int(doc, "spec.priority", 0);
	if (!placed && waits_for_us(o, doc)) {
		queue_add(s->queue, w, mono(s));
		if (old && spec_changed(&a, old, doc))
			queue_move(s->queue, o->uid, mono(s));
		arm(s);
		return;
	}
	queue_remove(s->queue, o->uid);
	if (placed)
		core_assign(s->core, o->uid, node, &w->workload);
	object_unref(w->object);
	arena_finish(&w->arena);
	free(w);
}

static void on_node(void *user, const struct object *old, const struct object *new)
{
	struct scheduler *s = user;
	if (!new) {
		core_node_remove(s->core, old->name);
		return;
	}
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct core_node n;
	workload_node(&a, new, object_doc(new, &a), &n);
	if (core_node_set(s->core, &n)) {
		queue_move_all(s->queue, mono(s));
		arm(s);
	}
}

static void on_synced(void *user)
{
	struct scheduler *s = user;
	s->synced = true;
	log_info("scheduler runs", NULL);
	arm(s);
}

struct scheduler *scheduler_create(struct client *c)
{
	static const struct informer_handler workload_handler = {.changed = on_workload},
					     node_handler = {.changed = on_node};
	struct scheduler *s = xcalloc(1, sizeof(*s));
	s->client = c;
	list_init(&s->calls);
	s->core = core_create();
	s->queue = queue_create();
	s->wakeup = wakeup_create(c->loop, c->clock, on_wakeup, s);
	s->informers = informers_create(c);
	s->nodes = informers_get(s->informers, "", "v1", "Node");
	s->pods = informers_get(s->informers, "", "v1", "Pod");
	s->instances = informers_get(s->informers, "kubevirt.io", "v1", "VirtualMachineInstance");
	informer_add_handler(s->nodes, &node_handler, s);
	informer_add_handler(s->pods, &workload_handler, s);
	informer_add_handler(s->instances, &workload_handler, s);
	informers_on_synced(s->informers, on_synced, s);
	informers_start(s->informers);
	return s;
}

void scheduler_destroy(struct scheduler *s)
{
	if (!s)
		return;
	LIST_FOR_EACH(call, &s->calls, struct call, link) {
		client_cancel(s->client, call->client_call);
		call_free(call);
	}
	informers_destroy(s->informers);
	wakeup_destroy(s->wakeup);
	queue_destroy(s->queue);
	core_destroy(s->core);
	free(s);
}

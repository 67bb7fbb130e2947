/* binding.c - what the scheduler writes: bindings, the PodScheduled condition, events. */
#include <inttypes.h>

#include "lib/base/buf.h"
#include "lib/base/log.h"
#include "server/scheduler/scheduler_impl.h"

#define COMPONENT DEFAULT_SCHEDULER
/* Events say what has been done, so doing comes first; but they do not pile up. */
#define ANNOUNCEMENTS_MAX 4096
#define ANNOUNCEMENTS_AT_ONCE 32

struct call *scheduler_call(struct scheduler *s)
{
	struct call *call = xcalloc(1, sizeof(*call));
	call->s = s;
	list_append(&s->calls, &call->link);
	return call;
}

void scheduler_call_free(struct call *call)
{
	list_remove(&call->link);
	workload_unref(call->workload);
	free(call->node);
	free(call);
}

void scheduler_cancel_calls(struct scheduler *s)
{
	LIST_FOR_EACH(call, &s->calls, struct call, link) {
		client_cancel(s->client, call->client_call);
		scheduler_call_free(call);
	}
	for (size_t n = s->announced; n < s->announcements.count; n++) {
		object_unref(s->announcements.items[n].object);
		free(s->announcements.items[n].node);
	}
	VEC_FINISH(&s->announcements);
}

/* ---- conditions ---- */

static int64_t wall(struct scheduler *s)
{
	return s->client->clock->wall_ns(s->client->clock);
}

struct json *scheduler_with_condition(struct scheduler *s, struct arena *a,
	const struct json *conditions, const struct scheduler_condition *c)
{
	char now[TIME_RFC3339_ROOM];
	time_format_rfc3339(wall(s), now);
	struct json *all = json_new_array(a), *new = json_new_object(a);
	const char *since = now;
	bool there = false;
	JSON_FOR_EACH_ITEM(it, conditions) {
		if (!streq(json_str(json_get(it, "type")), c->type)) {
			json_push(a, all, it);
			continue;
		}
		if (streq(json_str(json_get(it, "status")), c->status))
			since = json_str_or(json_get(it, "lastTransitionTime"), now);
		json_push(a, all, new);
		there = true;
	}
	json_set_str(a, new, "type", c->type);
	json_set_str(a, new, "status", c->status);
	json_set(a, new, "lastProbeTime", json_new_null(a));
	json_set_str(a, new, "lastTransitionTime", since);
	if (c->reason) {
		json_set_str(a, new, "reason", c->reason);
		json_set_str(a, new, "message", c->message);
	}
	if (!there)
		json_push(a, all, new);
	return all;
}

struct json *scheduler_patch_of(struct arena *a, const struct object *o)
{
	struct json *patch = json_new_object(a);
	json_path_set(
		a, patch, "metadata.resourceVersion", json_new_printf(a, "%" PRIu64, o->revision));
	json_path_set(a, patch, "metadata.uid", json_new_string(a, o->uid));
	return patch;
}

static void on_status_written(void *user, const struct client_result *r)
{
	/* A conflict: the object has changed and comes again. */
	if (!client_ok(r) && r->code != 409 && r->code != 404)
		log_info("cannot write why a workload waits", "message", r->message, NULL);
	scheduler_call_free(user);
}

static void write_status(struct scheduler *s, const struct object *o, const struct json *patch)
{
	struct call *call = scheduler_call(s);
	call->client_call = client_patch(s->client, o->kind, o->namespace, o->name, "status",
		"application/merge-patch+json", patch, on_status_written, call);
}

static struct json *name_or_null(struct arena *a, const char *name)
{
	return name ? json_new_string(a, name) : json_new_null(a);
}

void scheduler_write_nomination(struct scheduler *s, const struct workload *w, const char *node)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	if (!workload_is_pod(w))
		return;
	struct json *patch = scheduler_patch_of(&a, w->object);
	json_path_set(&a, patch, "status.nominatedNodeName", name_or_null(&a, node));
	write_status(s, w->object, patch);
}

static bool says_so_already(const struct json *conditions, const char *message)
{
	JSON_FOR_EACH_ITEM(c, conditions)
		if (streq(json_str(json_get(c, "type")), "PodScheduled"))
			return streq(json_str(json_get(c, "status")), "False") &&
			       streq(json_str(json_get(c, "reason")), "Unschedulable") &&
			       streq(json_str(json_get(c, "message")), message);
	return false;
}

void scheduler_refused(
	struct scheduler *s, const struct workload *w, const char *message, const char *nominated)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct object *o = w->object;
	client_event_as(
		s->client, COMPONENT, o, NULL, "Warning", "FailedScheduling", "%s", message);
	const struct json *status = json_get(object_doc(o, &a), "status");
	const struct json *conditions = json_get(status, "conditions");
	bool same_node =
		!workload_is_pod(w) || streq(json_str_or(json_get(status, "nominatedNodeName"), ""),
					       nominated ? nominated : "");
	if (same_node && says_so_already(conditions, message))
		return;
	const struct scheduler_condition c = {"PodScheduled", "False", "Unschedulable", message};
	struct json *patch = scheduler_patch_of(&a, o);
	json_path_set(
		&a, patch, "status.conditions", scheduler_with_condition(s, &a, conditions, &c));
	if (!same_node)
		json_path_set(&a, patch, "status.nominatedNodeName", name_or_null(&a, nominated));
	write_status(s, o, patch);
}

/* ---- binding ---- */

static void announce_one(struct scheduler *s)
{
	struct announcement *n = &s->announcements.items[s->announced++];
	client_event_as(s->client, COMPONENT, n->object, NULL, "Normal", "Scheduled",
		"Successfully assigned %s/%s to %s", n->object->namespace, n->object->name,
		n->node);
	object_unref(n->object);
	free(n->node);
	if (s->announced == s->announcements.count)
		s->announced = s->announcements.count = 0;
}

bool scheduler_announce(struct scheduler *s, bool idle)
{
	size_t at_once = idle ? ANNOUNCEMENTS_AT_ONCE : 0;
	while (s->announced < s->announcements.count &&
		(at_once > 0 || s->announcements.count - s->announced > ANNOUNCEMENTS_MAX)) {
		announce_one(s);
		at_once -= at_once > 0;
	}
	/* What has been said does not keep the list growing. */
	if (s->announced > ANNOUNCEMENTS_MAX) {
		size_t left = s->announcements.count - s->announced;
		memmove(s->announcements.items, s->announcements.items + s->announced,
			left * sizeof(*s->announcements.items));
		s->announcements.count = left;
		s->announced = 0;
	}
	return s->announced < s->announcements.count;
}

/* An answer may be lost, and a conflict may be with a binding of ours whose answer was: the node's
 * room stays taken until the cache says whether it is, and the next attempt is for the same node.
 */
static bool certainly_not_bound(const struct client_result *r)
{
	return r->code >= 400 && r->code < 500 && r->code != 409;
}

/* The node's room was taken at once, so that the next placements see it; it is given back when the
 * server refuses. */
static void on_bound(void *user, const struct client_result *r)
{
	struct call *call = user;
	struct scheduler *s = call->s;
	const struct workload *bound = call->workload;
	struct queued *w = queue_find(s->queue, bound->uid);
	int64_t now_ns = scheduler_now(s);
	enum attempt_result result = client_ok(r) ? ATTEMPT_SCHEDULED : ATTEMPT_ERROR;
	s->binding--;
	s->metrics.attempts[result]++;
	durations_add(&s->metrics.attempt[result], now_ns - call->begun_ns);
	if (client_ok(r)) {
		durations_add(&s->metrics.waited, now_ns - call->added_ns);
		/* The cache may have shown it already, or will; until then it must not be tried
		 * again. */
		VEC_PUSH(&s->announcements,
			((struct announcement){object_ref(bound->object), TAKE_PTR(call->node)}));
		scheduler_arm(s);
	} else if (w && w->sm.state == QUEUE_TRYING) {
		if (certainly_not_bound(r))
			core_unassign(&s->core, bound->uid);
		if (r->code != 409 && r->code != 404)
			client_event_as(s->client, COMPONENT, bound->object, NULL, "Warning",
				"FailedScheduling", "binding rejected: %s", r->message);
		queue_retry(s->queue, w, now_ns);
		scheduler_arm(s);
	}
	scheduler_call_free(call);
}

static void bind_pod(struct scheduler *s, struct call *call)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct object *o = call->workload->object;
	char *body = arena_printf(&a,
		"{\"apiVersion\":\"v1\",\"kind\":\"Binding\",\"metadata\":{\"name\":\"%s\","
		"\"namespace\":\"%s\",\"uid\":\"%s\"},\"target\":{\"apiVersion\":\"v1\","
		"\"kind\":\"Node\",\"name\":\"%s\"}}",
		o->name, o->namespace, o->uid, call->node);
	struct client_request req = {
		.method = "POST",
		.path = client_path(&a, o->kind, o->namespace, o->name, "binding"),
		.body = body,
		.body_size = strlen(body),
	};
	call->client_call = client_request(s->client, &req, on_bound, call);
}

static struct json *with_transition(
	struct scheduler *s, struct arena *a, const struct json *doc, const char *phase)
{
	const struct json *was = json_path(doc, "status.phaseTransitionTimestamps");
	struct json *list = was ? json_copy(a, was) : json_new_array(a), *it = json_new_object(a);
	char now[TIME_RFC3339_ROOM];
	time_format_rfc3339(wall(s), now);
	json_set_str(a, it, "phase", phase);
	json_set_str(a, it, "phaseTransitionTimestamp", now);
	json_push(a, list, it);
	return list;
}

static void bind_instance(struct scheduler *s, struct call *call)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct object *o = call->workload->object;
	struct json *patch = scheduler_patch_of(&a, o);
	struct json *conditions = json_path(object_doc(o, &a), "status.conditions");
	json_path_set(&a, patch, "status.nodeName", json_new_string(&a, call->node));
	json_path_set(&a, patch, "status.phase", json_new_string(&a, "Scheduled"));
	json_path_set(&a, patch, "status.phaseTransitionTimestamps",
		with_transition(s, &a, object_doc(o, &a), "Scheduled"));
	const struct scheduler_condition c = {"PodScheduled", "True", NULL, NULL};
	json_path_set(
		&a, patch, "status.conditions", scheduler_with_condition(s, &a, conditions, &c));
	call->client_call = client_patch(s->client, o->kind, o->namespace, o->name, "status",
		"application/merge-patch+json", patch, on_bound, call);
}

void scheduler_bind(struct scheduler *s, const struct queued *q, const char *node)
{
	struct workload *w = q->workload;
	struct call *call = scheduler_call(s);
	call->workload = workload_ref(w);
	call->node = xstrdup(node);
	call->added_ns = q->added_ns;
	call->begun_ns = q->sm.since_ns;
	s->binding++;
	if (workload_is_pod(w))
		bind_pod(s, call);
	else
		bind_instance(s, call);
}

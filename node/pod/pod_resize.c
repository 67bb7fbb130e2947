/* pod_resize.c - in-place resize of a pod's containers, level-triggered: what the spec asks for is
 * compared with what was allowed (`allocated`) and what the containers have (`actual`).
 *
 *   spec == allocated == actual          nothing to do
 *   spec != allocated                    allowed when it fits, else PodResizePending
 *   allocated != actual                  PodResizeInProgress: the runtime is told, or the container
 *                                        is restarted where its resizePolicy says so
 *
 * Both are in the pod's status, which is where the next agent finds them. */
#include "node/pod/pod_internal.h"

#include <stdio.h>

#include "lib/base/log.h"
#include "lib/object/quantity.h"
#include "node/pod/pod_admit.h"
#include "node/pod/pod_resources.h"
#include "node/resources/cgroup.h"
#include "node/resources/resources.h"

enum { RETRY_S = 10 };

/* Plain init containers have what they began with. */
static bool resizable(const struct container_view *v)
{
	return !v->ephemeral && (!v->init || v->sidecar);
}

/* What this container had when the last agent, or this one, looked. */
static void know(struct pod_worker *w, const struct json *pod, size_t i)
{
	struct pod_container *c = &w->containers[i];
	const struct json *was = pod_container_status(pod, c->name);
	const struct json *had = c->cur.id ? json_get(was, "resources") : NULL;

	if (c->amounts_known)
		return;
	container_amounts_read(
		had ? had : json_get(pod_container_doc(pod, i), "resources"), &c->actual);
	c->allocated = c->actual;
	c->amounts_known = true;
}

const struct json *pod_resize_doc(
	struct pod_worker *w, struct arena *a, const struct json *pod, size_t i)
{
	const struct json *doc = pod_container_doc(pod, i);
	struct pod_container *c = &w->containers[i];
	struct container_amounts wanted;

	if (!resizable(&w->view.containers[i]) || !c->amounts_known)
		return doc;
	container_amounts_read(json_get(doc, "resources"), &wanted);
	const struct json *had = json_get(pod_container_status(pod, c->name), "resources");
	if (container_amounts_equal(&wanted, &c->allocated) || !had)
		return doc;
	struct json *copy = json_copy(a, doc);
	json_set(a, copy, "resources", json_copy(a, had));
	return copy;
}

void pod_resize_created(struct pod_worker *w, size_t i)
{
	w->containers[i].actual = w->containers[i].allocated;
	w->resize_look = true;
}

/* ---- whether it may be ---- */

/* The pod with the resources that its containers may have, not those that somebody wishes. */
const struct json *pod_resize_pod(struct pod_worker *w, struct arena *a)
{
	static const char *const lists[] = {"initContainers", "containers"};
	const struct json *pod = pod_worker_doc(w, a);
	size_t i = 0;

	if (w->resize.pending == RESIZE_FITS)
		return pod;
	struct json *copy = json_copy(a, pod);
	for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
		JSON_FOR_EACH_ITEM(c, json_get(json_get(copy, "spec"), lists[l])) {
			if (i >= w->view.container_count)
				break;
			const struct json *now =
				json_get(pod_resize_doc(w, a, pod, i++), "resources");
			if (now)
				json_set(a, (struct json *)(uintptr_t)c, "resources",
					json_copy(a, now));
		}
	}
	return copy;
}

/* Pods that are not admitted yet may ask for anything. */
static int64_t sum(int64_t a, int64_t b)
{
	int64_t s;

	return __builtin_add_overflow(a, b, &s) ? INT64_MAX : s;
}

static void room_of(struct pod_worker *w, struct resize_room *ret)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct node *n = w->n;
	const struct json *room =
		n->object ? json_path(object_doc(n->object, &a), "status.allocatable") : NULL;

	*ret = (struct resize_room){
		.cpu_milli = quantity_json_milli(json_get(room, "cpu"), INT64_MAX / 4),
		.memory = quantity_json_value(json_get(room, "memory"), INT64_MAX / 4),
	};
	for (struct table_iter it = table_iterate(&w->m->workers); table_next(&it);) {
		struct pod_worker *other = it.value;
		_cleanup_(arena_finish) struct arena b = ARENA_INIT;
		if (other == w || other->view.ended)
			continue;
		const struct json *pod = pod_resize_pod(other, &b);
		ret->cpu_used_milli = sum(ret->cpu_used_milli, pod_request(pod, "cpu"));
		ret->memory_used = sum(ret->memory_used, pod_request(pod, "memory"));
	}
}

static void set_text(char **to, const char *text)
{
	free(*to);
	*to = text ? xstrdup(text) : NULL;
}

static bool allowed(struct pod_worker *w, const struct json *pod)
{
	struct resize_state *r = &w->resize;
	struct resize_room room;
	char why[256] = "";

	room_of(w, &room);
	r->pending = resize_check(
		&room, pod_request(pod, "cpu"), pod_request(pod, "memory"), why, sizeof(why));
	set_text(&r->message, r->pending == RESIZE_FITS ? NULL : why);
	return r->pending == RESIZE_FITS;
}

/* ---- doing it ---- */

/* The pod's group first gets room for what its containers are given, and is narrowed once they gave
 * it back: the kernel refuses a limit below what is used, so it is said before and after. */
static void update_group(struct pod_worker *w)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct err err = ERR_INIT;

	if (resources_pod_cgroup_update(w->n->resources, pod_resize_pod(w, &a), &err) < 0)
		log_warn("control group of a resized pod", "namespace", w->ns, "pod", w->name,
			"reason", err.msg, NULL);
}

static void on_updated(void *user, const struct grpc_result *r)
{
	struct pod_op *op = user;
	struct pod_worker *w = op->w;
	struct pod_container *c = &w->containers[op->container];

	op->grpc = NULL;
	if (!streq(c->cur.id, op->id)) {
		/* Another instance came meanwhile: it was made with what is allowed. */
	} else if (grpc_ok(r)) {
		c->actual = op->amounts;
		update_group(w);
		set_text(&w->resize.error, NULL);
	} else {
		_cleanup_(free_p) char *text =
			xasprintf("resize of container %s: %s", c->name, r->message);
		log_warn("container could not be resized", "namespace", w->ns, "pod", w->name,
			"container", c->name, "reason", r->message, NULL);
		set_text(&w->resize.error, text);
		w->resize_retry_ns = mono(w->n) + RETRY_S * NS_PER_S;
	}
	w->resize_look = true;
	pod_op_end(op);
}

static bool under_way(struct pod_worker *w, size_t i)
{
	LIST_FOR_EACH(op, &w->ops, struct pod_op, link) {
		if (op->container == i && streq(op->what, "resize"))
			return true;
	}
	return false;
}

static void update(struct pod_worker *w, struct arena *a, const struct json *pod, size_t i)
{
	struct pod_op *op = pod_op_new(w, i, "resize");
	struct pod_container *c = &w->containers[i];

	op->id = xstrdup(c->cur.id);
	op->amounts = c->allocated;
	update_group(w);
	op->grpc = cri_update_resources(w->m->cri, op->id,
		container_resources(a, pod, pod_container_doc(pod, i),
			resources_rules(w->n->resources),
			resources_cgroups(w->n->resources)->version == 2),
		on_updated, op);
}

/* True when the container still has something else than it is to have. */
static bool actuate(struct pod_worker *w, struct arena *a, const struct json *pod, size_t i)
{
	struct container_view *v = &w->view.containers[i];
	struct pod_container *c = &w->containers[i];

	if (container_amounts_equal(&c->allocated, &c->actual))
		return false;
	if (v->run != RUN_RUNNING && !v->busy) {
		/* The next instance gets it. */
		c->actual = c->allocated;
		return false;
	}
	if (v->busy || v->killing || v->sick || under_way(w, i))
		return true;
	if (container_resize_restarts(pod_container_doc(pod, i), &c->actual, &c->allocated))
		v->sick = KILL_RESIZED;
	else if (w->resize_retry_ns <= mono(w->n))
		update(w, a, pod, i);
	return true;
}

void pod_resize_step(struct pod_worker *w)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct resize_state *r = &w->resize;
	const struct pod_view *view = &w->view;
	bool differs = false, doing = false;

	/* Read anew when somebody asks. */
	if (w->resize_look)
		pod_ask_destroy(TAKE_PTR(w->ask));
	if (!w->resize_look || !view->listed || view->state != POD_RUNNING || view->ended ||
		view->deleting || view->absent)
		return;
	const struct json *pod = pod_worker_doc(w, &a);
	for (size_t i = 0; i < view->container_count; i++) {
		struct container_amounts wanted;
		know(w, pod, i);
		if (!resizable(&view->containers[i]))
			continue;
		container_amounts_read(json_get(pod_container_doc(pod, i), "resources"), &wanted);
		differs = differs || !container_amounts_equal(&wanted, &w->containers[i].allocated);
	}
	if (!differs) {
		r->pending = RESIZE_FITS;
		set_text(&r->message, NULL);
	} else if (allowed(w, pod)) {
		for (size_t i = 0; i < view->container_count; i++) {
			if (resizable(&view->containers[i]))
				container_amounts_read(
					json_get(pod_container_doc(pod, i), "resources"),
					&w->containers[i].allocated);
		}
		r->in_progress = true;
	}
	for (size_t i = 0; i < view->container_count; i++)
		doing = actuate(w, &a, pod, i) || doing;
	r->in_progress = doing;
	if (!doing) {
		set_text(&r->error, NULL);
		/* Others may leave: what is deferred is looked at again. */
		w->resize_look = r->pending == RESIZE_DEFERRED;
	}
}

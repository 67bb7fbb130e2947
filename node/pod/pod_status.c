/* pod_status.c - see pod_status.h. */
#include "node/pod/pod_status.h"

#include <stdio.h>

#include "node/pod/pod_message.h"

static const char *phase_name(enum pod_phase p)
{
	static const char *const names[] = {
		[PHASE_PENDING] = "Pending",
		[PHASE_RUNNING] = "Running",
		[PHASE_SUCCEEDED] = "Succeeded",
		[PHASE_FAILED] = "Failed",
	};
	return names[p];
}

bool pod_container_ready(const struct container_view *v, const struct pod_container *c)
{
	if (v->ephemeral)
		return false;
	if (v->init && !v->sidecar)
		return v->run == RUN_EXITED && v->exit_code == 0;
	return container_is_up(v) && v->started && (!c->has_readiness || c->probe_ready);
}

static void set_time(struct arena *a, struct json *o, const char *name, int64_t ns)
{
	char text[TIME_RFC3339_ROOM];

	/* A null would mean "delete" in the patch. */
	if (ns <= 0)
		return;
	time_format_rfc3339(ns, text);
	json_set_str(a, o, name, text);
}

static char *container_id(struct arena *a, const struct instance *i)
{
	return arena_printf(a, "containerd://%s", i->id);
}

static struct json *terminated(
	struct arena *a, const struct pod_status_input *in, const struct instance *i)
{
	struct json *o = json_new_object(a), *t = json_new_object(a);
	const char *reason = i->reason && *i->reason ? i->reason
			     : i->exit_code == 0     ? "Completed"
						     : "Error";

	json_set_str(a, t, "containerID", container_id(a, i));
	json_set_int(a, t, "exitCode", i->exit_code);
	set_time(a, t, "finishedAt", i->finished_ns);
	/* All of them share what a pod may say. */
	size_t most = POD_MESSAGES_MAX_BYTES / MAX(in->view->container_count, (size_t)1);
	if (i->message && *i->message)
		json_set(a, t, "message",
			json_new_string_n(
				a, i->message, utf8_cut(i->message, strlen(i->message), most)));
	json_set_str(a, t, "reason", reason);
	/* What never started says so by the beginning of time; clients require the field. */
	if (i->started_ns > 0)
		set_time(a, t, "startedAt", i->started_ns);
	else
		json_set_str(a, t, "startedAt", "1970-01-01T00:00:00Z");
	json_set(a, o, "terminated", t);
	return o;
}

static struct json *waiting(struct arena *a, const char *reason, const char *message)
{
	struct json *o = json_new_object(a), *w = json_new_object(a);

	if (message && *message)
		json_set_str(a, w, "message", message);
	json_set_str(a, w, "reason", reason);
	json_set(a, o, "waiting", w);
	return o;
}

/* The last state of a container of which the API knows and the runtime does not. */
static struct json *lost(struct arena *a, const struct json *was, struct json *nothing)
{
	const struct json *ended = json_path(was, "state.terminated");
	struct json *o = json_new_object(a), *t = json_new_object(a);

	if (!ended && !json_path(was, "state.running"))
		return json_get(was, "lastState") ? json_copy(a, json_get(was, "lastState"))
						  : nothing;
	if (ended) {
		json_set(a, o, "terminated", json_copy(a, ended));
		return o;
	}
	json_set_int(a, t, "exitCode", 137);
	json_set_str(a, t, "message",
		"The container could not be located when the pod was deleted.  The container used "
		"to be Running");
	json_set_str(a, t, "reason", "ContainerStatusUnknown");
	json_set(a, o, "terminated", t);
	return o;
}

static char *crash_loop_message(struct arena *a, const struct pod_status_input *in,
	const struct pod_container *c, int64_t s)
{
	return arena_printf(a, "back-off %s restarting failed container=%s pod=%s_%s(%s)",
		s >= 60 ? (s % 60 ? arena_printf(a, "%lldm%llds", (long long)(s / 60),
					    (long long)(s % 60))
				  : arena_printf(a, "%lldm0s", (long long)(s / 60)))
			: arena_printf(a, "%llds", (long long)s),
		c->name, json_str_or(json_path(in->pod, "metadata.name"), ""),
		json_str_or(json_path(in->pod, "metadata.namespace"), ""),
		json_str_or(json_path(in->pod, "metadata.uid"), ""));
}

/* What it may have and what it has: as the spec says, or, while that is not so (yet), as before. */
static void add_resources(struct arena *a, struct json *o, const struct json *doc,
	const struct json *was, const struct pod_container *c)
{
	static const char *const lists[] = {"limits", "requests"}, *const names[] = {
									   "cpu", "memory"};
	const struct json *spec = json_get(doc, "resources"), *had = json_get(was, "resources");
	const struct json *had_allocated = json_get(was, "allocatedResources");
	struct container_amounts wanted;

	container_amounts_read(spec, &wanted);
	const struct json *actual = spec, *allocated = json_get(spec, "requests");
	if (c->amounts_known && had && !container_amounts_equal(&wanted, &c->actual))
		actual = had;
	if (c->amounts_known && had_allocated && !container_amounts_equal(&wanted, &c->allocated))
		allocated = had_allocated;
	struct json *resources = json_new_object(a), *requests = json_new_object(a);
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		if (json_get(allocated, names[i]))
			json_set(
				a, requests, names[i], json_copy(a, json_get(allocated, names[i])));
	}
	if (json_count(requests) > 0)
		json_set(a, o, "allocatedResources", requests);
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		if (json_count(json_get(actual, lists[i])) > 0)
			json_set(a, resources, lists[i], json_copy(a, json_get(actual, lists[i])));
	}
	json_set(a, o, "resources", resources);
}

static struct json *container_status(
	struct arena *a, const struct pod_status_input *in, size_t i, bool initialized)
{
	const struct container_view *v = &in->view->containers[i];
	const struct pod_container *c = &in->containers[i];
	const struct json *doc = pod_container_doc(in->pod, i);
	const struct instance *cur = &c->cur, *last = &c->last;
	struct json *o = json_new_object(a);
	struct json *state, *last_state = json_new_object(a);
	const struct json *was = pod_container_status(in->pod, c->name);

	/* An instance that was created and never started says nothing yet, nor does one whose
	 * postStart hook runs. */
	bool shown = cur->id && !v->unread && (container_is_up(v) || v->run == RUN_EXITED);
	bool fresh = c->wait_reason && in->now_ns < c->wait_show_ns;
	bool restarts = !in->view->ended && !in->view->deleting &&
			container_restarts(in->view, v) && v->in_sandbox;
	int64_t until = container_wait_until(v, in->now_ns);

	if (shown && v->run == RUN_RUNNING) {
		struct json *r = json_new_object(a);
		state = json_new_object(a);
		set_time(a, r, "startedAt", cur->started_ns);
		json_set(a, state, "running", r);
	} else if (shown && restarts && until && !fresh) {
		state = waiting(a, "CrashLoopBackOff",
			crash_loop_message(a, in, c, v->restart.delay_ns / NS_PER_S));
	} else if (shown && restarts && c->wait_reason) {
		state = waiting(a, c->wait_reason, c->wait_message);
	} else if (shown) {
		state = terminated(a, in, cur);
	} else if (c->wait_reason) {
		state = waiting(a, c->wait_reason, c->wait_message);
	} else if (!initialized && !v->init) {
		state = waiting(a, "PodInitializing", NULL);
	} else {
		bool has_init = in->view->container_count > 0 && in->view->containers[0].init;
		state = waiting(a, has_init ? "PodInitializing" : "ContainerCreating", NULL);
	}
	/* When the newest has ended and something else is shown as state, it is the last state. */
	if (shown && v->run == RUN_EXITED && !json_get(state, "terminated"))
		last_state = terminated(a, in, cur);
	else if (last->id)
		last_state = terminated(a, in, last);
	else if (!cur->id)
		last_state = lost(a, was, last_state);

	if (cur->id && !v->ephemeral)
		add_resources(a, o, doc, was, c);
	if (cur->id)
		json_set_str(a, o, "containerID", container_id(a, cur));
	json_set_str(a, o, "image",
		cur->id && cur->image ? cur->image : json_str_or(json_get(doc, "image"), ""));
	json_set_str(a, o, "imageID", cur->id && cur->image_ref ? cur->image_ref : "");
	json_set(a, o, "lastState", last_state);
	json_set_str(a, o, "name", c->name);
	json_set_bool(a, o, "ready", pod_container_ready(v, c));
	/* It never goes back, even if the runtime has forgotten everything. */
	json_set_int(a, o, "restartCount",
		MAX(cur->id ? (int64_t)cur->attempt : 0,
			json_int_or(json_get(was, "restartCount"), 0)));
	if (!v->ephemeral)
		json_set_bool(a, o, "started", container_is_up(v) && v->started);
	json_set(a, o, "state", state);
	return o;
}

/* ---- conditions ---- */

static const struct json *condition_named(const struct json *conditions, const char *type)
{
	JSON_FOR_EACH_ITEM(c, conditions) {
		if (streq(json_str(json_get(c, "type")), type))
			return c;
	}
	return NULL;
}

/* 0 where the server does not count them. */
static int64_t generation(const struct json *pod)
{
	return json_path_int(pod, "metadata.generation", 0);
}

static void add_condition(struct arena *a, struct json *list, const struct pod_status_input *in,
	const char *type, bool value, const char *reason, const char *message)
{
	const struct json *old = condition_named(json_path(in->pod, "status.conditions"), type);
	const char *status = value ? "True" : "False";
	struct json *c = json_new_object(a);
	const char *since = json_str(json_get(old, "lastTransitionTime"));

	if (old && since && streq(json_str(json_get(old, "status")), status))
		json_set_str(a, c, "lastTransitionTime", since);
	else
		set_time(a, c, "lastTransitionTime", in->now_ns);
	/* The patch merges conditions by type, so what is gone must be said. */
	if (message && *message)
		json_set_str(a, c, "message", message);
	else if (json_get(old, "message"))
		json_set(a, c, "message", json_new_null(a));
	if (reason)
		json_set_str(a, c, "reason", reason);
	else if (json_get(old, "reason"))
		json_set(a, c, "reason", json_new_null(a));
	json_set_str(a, c, "status", status);
	json_set_str(a, c, "type", type);
	if (generation(in->pod))
		json_set_int(a, c, "observedGeneration", generation(in->pod));
	json_push(a, list, c);
}

/* "containers with unready status: [a b]", or NULL when all are fine. */
static char *list_unready(
	struct arena *a, const struct pod_status_input *in, bool init, const char *what)
{
	_cleanup_(buf_finish) struct buf names = BUF_INIT;

	for (size_t i = 0; i < in->view->container_count; i++) {
		const struct container_view *v = &in->view->containers[i];
		if (v->ephemeral || (v->init != init && !(v->sidecar && !init)))
			continue;
		bool fine = init && v->sidecar ? container_is_up(v) && v->started
					       : pod_container_ready(v, &in->containers[i]);
		if (!fine)
			buf_printf(&names, "%s%s", names.size ? " " : "", in->containers[i].name);
	}
	return names.size ? arena_printf(a, "containers with %s status: [%s]", what, names.data)
			  : NULL;
}

/* What is missing at the pod's readiness gates; NULL = nothing. */
static char *gates_message(struct arena *a, const struct json *pod)
{
	_cleanup_(buf_finish) struct buf text = BUF_INIT;

	JSON_FOR_EACH_ITEM(gate, json_path(pod, "spec.readinessGates")) {
		const char *type = json_str_or(json_get(gate, "conditionType"), "");
		const struct json *c = condition_named(json_path(pod, "status.conditions"), type);
		const char *status = json_str_or(json_get(c, "status"), "");
		if (!c)
			buf_printf(&text,
				"%scorresponding condition of pod readiness gate \"%s\" does not "
				"exist.",
				text.size ? ", " : "", type);
		else if (!streq(status, "True"))
			buf_printf(&text,
				"%sthe status of pod readiness gate \"%s\" is not \"True\", but %s",
				text.size ? ", " : "", type, status);
	}
	return text.size ? arena_strdup(a, text.data) : NULL;
}

static void drop_condition(
	struct arena *a, struct json *list, const struct pod_status_input *in, const char *type)
{
	struct json *c;

	if (!condition_named(json_path(in->pod, "status.conditions"), type))
		return;
	c = json_new_object(a);
	json_set_str(a, c, "$patch", "delete");
	json_set_str(a, c, "type", type);
	json_push(a, list, c);
}

static void add_resize(struct arena *a, struct json *list, const struct pod_status_input *in)
{
	const struct resize_state *r = in->resize;

	if (r && r->pending != RESIZE_FITS)
		add_condition(a, list, in, "PodResizePending", true,
			r->pending == RESIZE_DEFERRED ? "Deferred" : "Infeasible", r->message);
	else
		drop_condition(a, list, in, "PodResizePending");
	if (r && r->in_progress)
		add_condition(a, list, in, "PodResizeInProgress", true, r->error ? "Error" : NULL,
			r->error);
	else
		drop_condition(a, list, in, "PodResizeInProgress");
}

static struct json *conditions(
	struct arena *a, const struct pod_status_input *in, enum pod_phase phase, bool initialized)
{
	struct json *list = json_new_array(a);
	const char *unready = list_unready(a, in, false, "unready");

	add_condition(a, list, in, "PodReadyToStartContainers",
		in->view->sandbox_exists && in->view->sandbox_ready, NULL, NULL);
	if (phase == PHASE_SUCCEEDED) {
		add_condition(a, list, in, "Initialized", true, "PodCompleted", NULL);
		add_condition(a, list, in, "Ready", false, "PodCompleted", NULL);
		add_condition(a, list, in, "ContainersReady", false, "PodCompleted", NULL);
	} else {
		const char *incomplete =
			initialized ? NULL : list_unready(a, in, true, "incomplete");
		add_condition(a, list, in, "Initialized", initialized,
			initialized ? NULL : "ContainersNotInitialized", incomplete);
		if (phase == PHASE_FAILED) {
			add_condition(a, list, in, "Ready", false, "PodFailed", NULL);
			add_condition(a, list, in, "ContainersReady", false, "PodFailed", NULL);
		} else {
			const char *gates = gates_message(a, in->pod);
			const char *reason = unready ? "ContainersNotReady"
					     : gates ? "ReadinessGatesNotReady"
						     : NULL;
			add_condition(a, list, in, "Ready", !unready && !gates, reason,
				unready ? unready : gates);
			add_condition(a, list, in, "ContainersReady", !unready,
				unready ? "ContainersNotReady" : NULL, unready);
		}
	}
	if (!condition_named(json_path(in->pod, "status.conditions"), "PodScheduled"))
		add_condition(a, list, in, "PodScheduled", true, NULL, NULL);
	add_resize(a, list, in);
	if (in->disruption)
		add_condition(a, list, in, "DisruptionTarget", true, "TerminationByKubelet",
			in->disruption);
	return list;
}

/* A pod is over when nothing of it runs, not before: who waits for its end may take its place. */
static enum pod_phase phase_of(const struct pod_status_input *in, bool *ret_over)
{
	const char *was = json_str_or(json_path(in->pod, "status.phase"), "");
	const struct pod_view *v = in->view;

	*ret_over = true;
	/* What is over stays over, whatever is still being taken down. */
	if (streq(was, "Succeeded"))
		return PHASE_SUCCEEDED;
	if (streq(was, "Failed"))
		return PHASE_FAILED;
	*ret_over = !pod_runs(v);
	if (v->ended && *ret_over)
		return in->ended_phase;
	if (v->ended)
		return streq(was, "Running") ? PHASE_RUNNING : PHASE_PENDING;
	/* Deleted: how it ended, for those who count. */
	if (v->state == POD_REMOVING || v->state == POD_CONFIRMING)
		return pod_phase_at_end(v);
	return pod_phase_compute(v);
}

static void set_start(struct arena *a, struct json *s, const struct pod_status_input *in)
{
	const char *start = json_str(json_path(in->pod, "status.startTime"));

	if (start)
		json_set_str(a, s, "startTime", start);
	else
		set_time(a, s, "startTime", in->start_ns);
}

static struct json *refused_status(struct arena *a, const struct pod_status_input *in)
{
	struct json *s = json_new_object(a);

	json_set_str(a, s, "message", in->ended_message);
	json_set_str(a, s, "phase", "Failed");
	json_set_str(a, s, "qosClass", pod_qos_name(pod_qos(in->pod)));
	json_set_str(a, s, "reason", in->ended_reason);
	set_start(a, s, in);
	return s;
}

static void push_ip(struct arena *a, struct json *list, const char *address)
{
	struct json *ip = json_new_object(a);

	if (!address || !*address)
		return;
	json_set_str(a, ip, "ip", address);
	json_push(a, list, ip);
}

struct json *pod_status_make(struct arena *a, const struct pod_status_input *in)
{
	struct json *s = json_new_object(a), *main = json_new_array(a), *init = json_new_array(a),
		    *ephemeral = json_new_array(a);
	bool initialized = pod_initialized(in->view), over;
	enum pod_phase phase = phase_of(in, &over);

	if (in->refused)
		return refused_status(a, in);
	for (size_t i = 0; i < in->view->container_count; i++) {
		const struct container_view *v = &in->view->containers[i];
		struct json *c = container_status(a, in, i, initialized);
		json_push(a, v->init ? init : v->ephemeral ? ephemeral : main, c);
	}
	json_set(a, s, "conditions", conditions(a, in, phase, initialized));
	json_set(a, s, "containerStatuses", main);
	if (json_count(init) > 0)
		json_set(a, s, "initContainerStatuses", init);
	if (json_count(ephemeral) > 0)
		json_set(a, s, "ephemeralContainerStatuses", ephemeral);
	if (*in->host_ip) {
		struct json *ips = json_new_array(a);
		json_set_str(a, s, "hostIP", in->host_ip);
		push_ip(a, ips, in->host_ip);
		push_ip(a, ips, in->host_ip6);
		json_set(a, s, "hostIPs", ips);
	}
	if (in->ended_message && over)
		json_set_str(a, s, "message", in->ended_message);
	if (generation(in->pod))
		json_set_int(a, s, "observedGeneration", generation(in->pod));
	json_set_str(a, s, "phase", phase_name(phase));
	if (*in->pod_ip) {
		struct json *ips = json_new_array(a);
		json_set_str(a, s, "podIP", in->pod_ip);
		push_ip(a, ips, in->pod_ip);
		push_ip(a, ips, in->pod_ip6);
		json_set(a, s, "podIPs", ips);
	}
	json_set_str(a, s, "qosClass", pod_qos_name(pod_qos(in->pod)));
	if (in->ended_reason && over)
		json_set_str(a, s, "reason", in->ended_reason);
	set_start(a, s, in);
	return s;
}

static bool same_conditions(const struct json *old, const struct json *new)
{
	static const char *const fields[] = {"status", "reason", "message"};

	JSON_FOR_EACH_ITEM(c, new) {
		const struct json *o = condition_named(old, json_str(json_get(c, "type")));
		if (!o)
			return false;
		for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
			if (!streq(json_str_or(json_get(o, fields[i]), ""),
				    json_str_or(json_get(c, fields[i]), "")))
				return false;
		}
	}
	return true;
}

/* Lists of addresses are merged by ip, so an older address would stay: say "replace" in the list.
 */
static void replace_list(struct arena *a, struct json *status, const char *name)
{
	struct json *list = json_get(status, name), *mark = json_new_object(a);

	if (!list)
		return;
	json_set_str(a, mark, "$patch", "replace");
	json_push(a, list, mark);
}

struct json *pod_status_patch(struct arena *a, const struct json *pod, struct json *status)
{
	const struct json *old = json_get(pod, "status");
	bool same = true;

	JSON_FOR_EACH_MEMBER(m, status) {
		const struct json *o = json_get_n(old, m->name, m->name_size);
		same = same && (streq(m->name, "conditions") ? same_conditions(o, m->value)
							     : json_equal(o, m->value));
	}
	if (same)
		return NULL;
	if (json_count(json_get(old, "podIPs")) > 0 &&
		!json_equal(json_get(old, "podIPs"), json_get(status, "podIPs")))
		replace_list(a, status, "podIPs");
	if (json_count(json_get(old, "hostIPs")) > 0 &&
		!json_equal(json_get(old, "hostIPs"), json_get(status, "hostIPs")))
		replace_list(a, status, "hostIPs");

	struct json *patch = json_new_object(a), *meta = json_new_object(a);
	/* The uid makes the server refuse the patch for a namesake that came later. */
	json_set_str(a, meta, "uid", json_str_or(json_path(pod, "metadata.uid"), ""));
	json_set(a, patch, "metadata", meta);
	json_set(a, patch, "status", status);
	return patch;
}

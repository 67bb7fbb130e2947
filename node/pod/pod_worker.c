/* pod_worker.c - one pod: the view is brought up to date by operations and lists, pod_decide() says
 * what is next, and the status goes to the API whenever it differs from what the object says. The
 * state diagram is in pod_decide.h. */
#include "node/pod/pod_admit.h"
#include "node/pod/pod_gc.h"
#include "node/pod/pod_internal.h"

#include <stdarg.h>
#include <stdio.h>

#include "lib/base/log.h"
#include "node/pod/pod_volumes.h"

enum { PATCH_RETRY_MS = 1000 };

const struct json *pod_worker_doc(struct pod_worker *w, struct arena *a)
{
	return object_doc(w->pod, a);
}

void pod_worker_event(struct pod_worker *w, long container, const char *type, const char *reason,
	const char *fmt, ...)
{
	char text[1024], path[320] = "";
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (container >= 0)
		snprintf(path, sizeof(path), "spec.%s{%s}",
			w->view.containers[container].init	  ? "initContainers"
			: w->view.containers[container].ephemeral ? "ephemeralContainers"
								  : "containers",
			w->containers[container].name);
	client_event(w->n->client, w->pod, *path ? path : NULL, type, reason, "%s", text);
}

/* ---- status ---- */

static void status_publish(struct pod_worker *w);

static void on_patched(void *user, const struct client_result *r)
{
	struct pod_worker *w = user;
	struct object *o = NULL;
	struct err err = ERR_INIT;

	w->patch = NULL;
	w->view.confirm_busy = false;
	if (client_ok(r)) {
		/* The answer is newer than what the informer has: no need to wait for it. */
		if (object_from_bytes(w->m->pod_kind, r->body, r->body_size, &o, &err) == 0) {
			w->patched_revision = o->revision;
			struct object **at = w->is_static ? &w->mirror : &w->pod;
			if (*at && streq(o->uid, (*at)->uid) && o->revision > (*at)->revision) {
				/* It may hold what others changed before: their event is older
				 * than this, and will not be looked at. */
				if (!w->is_static)
					pod_volumes_pod_changed(w, o);
				object_unref(*at);
				*at = TAKE_PTR(o);
			}
			object_unref(o);
		}
	} else if (r->code == 404 || r->code == 409) {
		/* Gone, or another pod of that name: the informer will say so. */
		log_debug("pod status refused", "pod", w->name, "reason", r->message, NULL);
	} else {
		log_warn("pod status could not be written, trying again", "namespace", w->ns, "pod",
			w->name, "reason", r->message, NULL);
		w->patch_hash = 0;
		w->patch_again = true;
		w->patch_retry_ns = mono(w->n) + PATCH_RETRY_MS * NS_PER_MS;
	}
	pod_worker_poke(w);
}

/* A pod that the API knows as over, and whose containers the runtime has forgotten: what the API
 * says is all that is left of them. */
static bool nothing_to_say(const struct pod_worker *w, const struct json *pod)
{
	const char *phase = json_str_or(json_path(pod, "status.phase"), "");

	if (!streq(phase, "Succeeded") && !streq(phase, "Failed"))
		return false;
	for (size_t i = 0; i < w->view.container_count; i++) {
		if (!w->containers[i].cur.id)
			return true;
	}
	return false;
}

/* The pod as the API has it: of a static one, what its mirror says of itself and of its status. */
static const struct json *published_doc(struct pod_worker *w, struct arena *a)
{
	const struct json *doc = pod_worker_doc(w, a);

	if (!w->is_static)
		return doc;
	const struct json *mirror = object_doc(w->mirror, a);
	struct json *both = json_copy(a, doc);
	json_set(a, both, "metadata", json_copy(a, json_get(mirror, "metadata")));
	json_set(a, both, "status",
		json_get(mirror, "status") ? json_copy(a, json_get(mirror, "status"))
					   : json_new_object(a));
	return both;
}

static void status_publish(struct pod_worker *w)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;

	w->patch_again = false;
	if (w->patch) {
		w->patch_again = true;
		return;
	}
	if (w->view.absent || !w->view.listed || w->sm.state == POD_NEW ||
		(w->is_static && !w->mirror))
		return;
	if (w->patch_retry_ns > mono(w->n)) {
		w->patch_again = true;
		return;
	}
	const struct json *pod = published_doc(w, &a);
	if (nothing_to_say(w, pod))
		return;
	struct pod_status_input in = {
		.pod = pod,
		.view = &w->view,
		.containers = w->containers,
		.ended_phase = w->ended_phase,
		.ended_reason = w->ended_reason,
		.ended_message = w->ended_message,
		.disruption = w->disruption,
		.refused = w->refused,
		.resize = &w->resize,
		.host_ip = w->n->host_ip,
		.pod_ip = w->pod_ip,
		.pod_ip6 = w->pod_ip6,
		.host_ip6 = w->n->host_ip6,
		.start_ns = w->start_ns,
		.now_ns = wall(w->n),
	};
	struct json *patch = pod_status_patch(&a, pod, pod_status_make(&a, &in));
	if (!patch)
		return;
	const char *text = json_text(&a, patch);
	uint64_t hash = fnv1a_64(text, strlen(text));
	const struct object *o = w->is_static ? w->mirror : w->pod;
	if (hash == w->patch_hash && o->revision == w->patched_revision)
		return;
	w->patch_hash = hash;
	w->patched_revision = 0;
	w->patch = client_patch(w->n->client, w->m->pod_kind, w->ns, w->name, "status",
		"application/strategic-merge-patch+json", patch, on_patched, w);
}

/* ---- steps ---- */

static void carry_out(struct pod_worker *w, const struct pod_action *act)
{
	switch (act->type) {
	case POD_DO_SETUP:
		pod_op_setup(w);
		break;
	case POD_DO_RUN_SANDBOX:
		pod_op_run_sandbox(w);
		break;
	case POD_DO_STOP_SANDBOX:
		pod_op_stop_sandbox(w);
		break;
	case POD_DO_IMAGE:
		pod_op_image(w, act->container);
		break;
	case POD_DO_START:
		pod_op_start(w, act->container);
		break;
	case POD_DO_KILL:
		pod_op_kill(w, act->container, act->why, act->grace_s);
		break;
	case POD_DO_REMOVE:
		pod_op_remove(w);
		break;
	case POD_DO_CONFIRM:
		/* The last status first: the object is gone after this. */
		if (!w->patch)
			pod_op_confirm(w);
		break;
	}
}

static void set_end(struct pod_worker *w, const struct pod_decision *d)
{
	w->view.ended = true;
	w->ended_phase = d->phase;
	if (d->reason) {
		free(w->ended_reason);
		w->ended_reason = xstrdup(d->reason);
		free(w->ended_message);
		w->ended_message = xstrdup("Pod was active on the node longer than the specified "
					   "deadline");
		pod_worker_event(w, -1, "Normal", "DeadlineExceeded", "%s", w->ended_message);
	}
	/* A pod that ends by itself gives its sidecars the time that the spec grants. */
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	int64_t grace =
		pod_seconds(pod_worker_doc(w, &a), "spec.terminationGracePeriodSeconds", 30);
	w->view.stop_by_ns = wall(w->n) + grace * NS_PER_S;
}

static void note_readiness(struct pod_worker *w)
{
	for (size_t i = 0; i < w->view.container_count; i++)
		w->containers[i].ready =
			pod_container_ready(&w->view.containers[i], &w->containers[i]);
}

/* How long what crashes has been made to wait is the runtime's memory, too. */
static void recall_backoff(struct pod_worker *w)
{
	for (size_t i = 0; i < w->view.container_count; i++) {
		const struct instance *cur = &w->containers[i].cur, *last = &w->containers[i].last;
		struct backoff *b = &w->view.containers[i].restart;
		if (cur->id && b->delay_ns == 0)
			*b = backoff_recall(cur->attempt, cur->created_ns,
				last->id ? last->created_ns : 0, last->id ? last->finished_ns : 0);
	}
}

/* How what has ended did so. */
static bool all_read(const struct pod_worker *w)
{
	for (size_t i = 0; i < w->view.container_count; i++) {
		if (w->view.containers[i].unread)
			return false;
	}
	return true;
}

static void step(void *user)
{
	struct pod_worker *w = user;
	struct pod_decision *d = xmalloc(sizeof(*d));

	w->dirty = false;
	/* What was found is known only when its details are in. */
	if (w->applied && list_empty(&w->ops) && !w->view.listed && all_read(w)) {
		w->view.listed = true;
		recall_backoff(w);
		pod_worker_admit(w);
	}
	w->view.state = (enum pod_state)w->sm.state;
	pod_resize_step(w);
	for (;;) {
		w->view.state = (enum pod_state)w->sm.state;
		pod_decide(&w->view, wall(w->n), d);
		if (d->ended && !w->view.ended)
			set_end(w, d);
		if (d->next == (enum pod_state)w->sm.state)
			break;
		sm_move(&w->sm, d->next, mono(w->n));
		w->view.state = d->next;
		if (d->next == POD_STOPPING) {
			pod_ops_give_up(w);
			pod_volumes_leave(w);
		}
		/* Its object never says that it is over, and its address is free. */
		if (d->next == POD_FINISHED && w->is_static)
			pod_network_ended(w);
		if (d->next == POD_GONE) {
			_cleanup_(object_unref_p) struct object *pod = object_ref(w->pod);
			struct pod_manager *m = w->m;
			free(d);
			pod_network_ended(w);
			pod_worker_destroy(w);
			m->worker_ended(m, pod);
			return;
		}
	}
	note_readiness(w);
	pod_stop_time_note(w);
	/* Before the actions: they may take long, and "ContainerCreating" is worth telling. An
	 * action that ends at once pokes again. */
	if (w->sm.state != POD_CONFIRMING || d->action_count > 0)
		status_publish(w);
	for (size_t i = 0; i < d->action_count; i++)
		carry_out(w, &d->actions[i]);
	for (size_t i = 0; i < d->held_count; i++)
		pod_tell_held(w, d->held[i]);

	int64_t wait = d->wake_ns == INT64_MAX ? INT64_MAX : d->wake_ns - wall(w->n);
	wait = MIN(wait, pod_finished_step(w));
	if (w->resize_retry_ns > mono(w->n))
		wait = MIN(wait, w->resize_retry_ns - mono(w->n));
	for (size_t i = 0; i < w->view.container_count; i++) {
		if (w->containers[i].wait_show_ns > wall(w->n))
			wait = MIN(wait, w->containers[i].wait_show_ns - wall(w->n));
	}
	if (w->patch_again && !w->patch)
		wait = MIN(wait, MAX(w->patch_retry_ns - mono(w->n), 0));
	if (w->refresh_ns && w->sm.state == POD_RUNNING) {
		if (w->refresh_ns <= mono(w->n))
			pod_op_refresh(w);
		else
			wait = MIN(wait, w->refresh_ns - mono(w->n));
	}
	if (wait != INT64_MAX && !w->dirty)
		wakeup_in(w->wake, wait / NS_PER_MS + 1);
	free(d);
}

void pod_worker_poke(struct pod_worker *w)
{
	w->dirty = true;
	wakeup_in(w->wake, 0);
}

bool pod_worker_busy(const struct pod_worker *w)
{
	if (w->sm.state != POD_RUNNING && w->sm.state != POD_FINISHED)
		return true;
	return !list_empty(&w->ops);
}

/* ---- what the runtime has ---- */

static void show(struct pod_worker *w, size_t i, const struct json *pod)
{
	struct container_view *v = &w->view.containers[i];
	const struct instance *cur = &w->containers[i].cur;

	if (!cur->id) {
		v->run = RUN_NONE;
		v->unread = false;
		return;
	}
	v->run = cur->run;
	v->attempt = cur->attempt;
	v->exit_code = cur->exit_code;
	v->unread = cur->run == RUN_EXITED && !cur->detailed;
	v->finished_ns = cur->finished_ns ? cur->finished_ns : cur->created_ns;
	v->in_sandbox = streq(cur->sandbox_id, w->sandbox_id);
	const struct json *doc = pod_container_doc(pod, i);
	v->hash_differs = doc && cur->hash && cur->hash != container_hash(doc);
	if (v->run != RUN_RUNNING) {
		pod_probes_stop(w, i);
		v->sick = KILL_NOT;
	}
}

void pod_worker_show(struct pod_worker *w, size_t i)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;

	show(w, i, pod_worker_doc(w, &a));
}

void pod_worker_show_all(struct pod_worker *w)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct json *pod = pod_worker_doc(w, &a);

	for (size_t i = 0; i < w->view.container_count; i++)
		show(w, i, pod);
}

static enum container_run run_of(Cri__ContainerState s)
{
	switch (s) {
	case CRI__CONTAINER_STATE__CONTAINER_CREATED:
		return RUN_CREATED;
	case CRI__CONTAINER_STATE__CONTAINER_RUNNING:
		return RUN_RUNNING;
	case CRI__CONTAINER_STATE__CONTAINER_EXITED:
		return RUN_EXITED;
	default:
		return RUN_UNKNOWN;
	}
}

static void replace_text(char **to, const char *s)
{
	free(*to);
	*to = s ? xstrdup(s) : NULL;
}

static void instance_from_list(struct instance *to, const Cri__Container *c)
{
	const char *hash = cri_pair_get(c->annotations, c->n_annotations, ANNOTATION_HASH);

	instance_finish(to);
	replace_text(&to->id, c->id);
	replace_text(&to->sandbox_id, c->pod_sandbox_id);
	replace_text(&to->image_ref, c->image_ref);
	to->attempt = c->metadata ? c->metadata->attempt : 0;
	to->hash = hash ? strtoull(hash, NULL, 16) : 0;
	to->created_ns = c->created_at;
	to->run = run_of(c->state);
}

static bool newer(const Cri__Container *a, const Cri__Container *b)
{
	return !b || a->metadata->attempt > b->metadata->attempt ||
	       (a->metadata->attempt == b->metadata->attempt && a->created_at > b->created_at);
}

/* What runs comes before what does not. */
static bool better(const Cri__Container *a, const Cri__Container *b)
{
	bool a_runs = a->state == CRI__CONTAINER_STATE__CONTAINER_RUNNING;
	bool b_runs = b && b->state == CRI__CONTAINER_STATE__CONTAINER_RUNNING;

	return !b || (a_runs != b_runs ? a_runs : newer(a, b));
}

/* Newest instance and the newest one beside it that has ended; others are of no use, and one that
 * runs beside the newest, which no sane runtime has, is a mistake. */
static void apply_container(
	struct pod_worker *w, size_t i, Cri__Container **list, size_t count, int64_t started_ns)
{
	struct pod_container *c = &w->containers[i];
	struct container_view *v = &w->view.containers[i];
	const Cri__Container *cur = NULL, *last = NULL;

	if (v->busy || w->touched_ns[i] >= started_ns)
		return;
	for (size_t k = 0; k < count; k++) {
		if (list[k]->metadata && streq(list[k]->metadata->name, c->name) &&
			better(list[k], cur))
			cur = list[k];
	}
	for (size_t k = 0; k < count; k++) {
		if (list[k] != cur && list[k]->metadata &&
			streq(list[k]->metadata->name, c->name) &&
			list[k]->state == CRI__CONTAINER_STATE__CONTAINER_EXITED &&
			newer(list[k], last))
			last = list[k];
	}
	for (size_t k = 0; k < count; k++) {
		if (list[k] != cur && list[k] != last && list[k]->metadata &&
			streq(list[k]->metadata->name, c->name) && !streq(list[k]->id, cur->id) &&
			(list[k]->state == CRI__CONTAINER_STATE__CONTAINER_EXITED ||
				list[k]->state == CRI__CONTAINER_STATE__CONTAINER_RUNNING)) {
			/* At most one dead container is kept, for its log and status. */
			pod_op_remove_dead(w, i, list[k]->id);
		}
	}
	if (!cur) {
		/* Only "not found" to a question for this very one is believed. */
		if (c->cur.id && v->run == RUN_RUNNING)
			pod_op_detail(w, i);
		return;
	}
	if (last && !streq(c->last.id, last->id)) {
		instance_from_list(&c->last, last);
		c->last.detailed = false;
	}
	if (!streq(c->cur.id, cur->id)) {
		instance_from_list(&c->cur, cur);
		pod_op_detail(w, i);
	} else if (c->cur.run != run_of(cur->state) || !c->cur.detailed) {
		pod_op_detail(w, i);
	}
}

static void apply_sandbox(
	struct pod_worker *w, Cri__PodSandbox **list, size_t count, int64_t started_ns)
{
	const Cri__PodSandbox *s = NULL;
	struct pod_view *v = &w->view;

	if (v->sandbox_busy || w->sandbox_touched_ns >= started_ns)
		return;
	for (size_t i = 0; i < count; i++) {
		if (list[i]->metadata && (!s || list[i]->metadata->attempt > s->metadata->attempt))
			s = list[i];
	}
	if (!s && v->sandbox_exists && v->sandbox_ready) {
		pod_op_sandbox_detail(w);
		return;
	}
	v->sandbox_exists = v->sandbox_exists || s;
	v->sandbox_ready = s && s->state == CRI__POD_SANDBOX_STATE__SANDBOX_READY;
	if (!s)
		return;
	v->sandbox_attempt = s->metadata->attempt;
	if (!streq(w->sandbox_id, s->id)) {
		replace_text(&w->sandbox_id, s->id);
		w->pod_ip[0] = w->pod_ip6[0] = '\0';
		w->sandbox_unread = true;
	}
	if (v->sandbox_ready && w->sandbox_unread)
		pod_op_sandbox_detail(w);
}

void pod_worker_apply(struct pod_worker *w, Cri__PodSandbox **sandboxes, size_t sandbox_count,
	Cri__Container **containers, size_t container_count, int64_t started_ns)
{
	apply_sandbox(w, sandboxes, sandbox_count, started_ns);
	for (size_t i = 0; i < w->view.container_count; i++)
		apply_container(w, i, containers, container_count, started_ns);
	pod_gc_sandboxes(w, sandboxes, sandbox_count, containers, container_count);
	w->applied = true;
	pod_worker_poke(w);
}

/* ---- life ---- */

static enum pod_restart_policy restart_policy(const struct json *pod)
{
	const char *s = json_str_or(json_path(pod, "spec.restartPolicy"), "Always");

	if (streq(s, "Never"))
		return POD_RESTART_NEVER;
	return streq(s, "OnFailure") ? POD_RESTART_ON_FAILURE : POD_RESTART_ALWAYS;
}

static void read_deletion(struct pod_worker *w, const struct json *pod)
{
	if (!w->pod->deleting)
		return;
	const char *at = json_path_str(pod, "metadata.deletionTimestamp");
	int64_t grace = pod_seconds(pod, "metadata.deletionGracePeriodSeconds", 30);
	int64_t stop_by = wall(w->n) + MAX(grace, 1) * NS_PER_S;
	int64_t stamp;

	/* The timestamp is when the grace period ends, by the server's clock; a clock that is off
	 * must not take the container's time away. Cut short only by a newer wish. */
	if (w->view.ended || (w->view.deleting && at && time_parse_rfc3339(at, &stamp) == 0))
		stop_by = MIN(stop_by, w->view.stop_by_ns);
	w->view.stop_by_ns = MIN(stop_by, w->stop_by_recall_ns);
	w->view.deleting = true;
}

static void read_deadline(struct pod_worker *w, const struct json *pod)
{
	int64_t s = pod_seconds(pod, "spec.activeDeadlineSeconds", 0);

	w->view.deadline_ns = s > 0 ? w->start_ns + s * NS_PER_S : 0;
}

/* Those of the object that are not known yet: all of them at first, ephemeral ones later. */
static void take_containers(struct pod_worker *w, const struct json *doc)
{
	size_t had = w->view.container_count, n = pod_container_total(doc);
	size_t inits = json_count(json_path(doc, "spec.initContainers"));
	size_t mains = pod_container_count(doc);

	if (n <= had)
		return;
	w->view.containers = xrealloc(w->view.containers, n * sizeof(*w->view.containers));
	w->containers = xrealloc(w->containers, n * sizeof(*w->containers));
	w->pulls = xrealloc(w->pulls, n * sizeof(*w->pulls));
	w->touched_ns = xrealloc(w->touched_ns, n * sizeof(*w->touched_ns));
	w->probes = xrealloc(w->probes, 3 * n * sizeof(struct pod_probe *));
	w->view.container_count = n;
	for (size_t i = had; i < n; i++) {
		const struct json *c = pod_container_doc(doc, i);
		struct container_view *v = &w->view.containers[i];
		*v = (struct container_view){.init = i < inits, .ephemeral = i >= mains};
		v->sidecar = v->init && streq(json_str(json_get(c, "restartPolicy")), "Always");
		w->containers[i] = (struct pod_container){
			.name = xstrdup(json_str_or(json_get(c, "name"), "")),
			.has_readiness = json_get(c, "readinessProbe"),
			.has_startup = json_get(c, "startupProbe"),
			.image_uid = -1,
		};
		w->pulls[i] = (struct backoff){0};
		w->touched_ns[i] = 0;
		for (size_t k = 0; k < 3; k++)
			w->probes[3 * i + k] = NULL;
		v->started = !w->containers[i].has_startup;
	}
}

/* More than one decision can hold: said, not cut off. */
static void refuse_too_many(struct pod_worker *w, const struct json *doc)
{
	size_t n = json_count(json_path(doc, "spec.initContainers")) +
		   json_count(json_path(doc, "spec.containers"));

	if (n <= POD_CONTAINER_MAX)
		return;
	_cleanup_(free_p) char *text = xasprintf(
		"Pod was rejected: it has %zu containers, and a node runs at most %d in one pod", n,
		POD_CONTAINER_MAX);
	pod_worker_end(w, &(struct pod_end){
				  .reason = "UnexpectedAdmissionError",
				  .message = text,
				  .event = "UnexpectedAdmissionError",
			  });
}

void pod_worker_changed(struct pod_worker *w, struct object *new)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;

	if (!new) {
		w->view.absent = true;
		if (!w->view.deleting)
			w->view.stop_by_ns = wall(w->n);
		pod_worker_poke(w);
		return;
	}
	/* Our own writes come back, some after newer ones were answered. */
	if (new->revision < w->pod->revision)
		return;
	pod_volumes_pod_changed(w, new);
	object_ref(new);
	object_unref(w->pod);
	w->pod = new;
	const struct json *pod = pod_worker_doc(w, &a);
	read_deletion(w, pod);
	read_deadline(w, pod);
	take_containers(w, pod);
	w->resize_look = true;
	pod_worker_show_all(w);
	pod_worker_poke(w);
}

void pod_worker_set_mirror(struct pod_worker *w, struct object *mirror)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	int64_t start;

	if (mirror && w->mirror && streq(mirror->uid, w->mirror->uid) &&
		mirror->revision < w->mirror->revision)
		return;
	object_unref(w->mirror);
	w->mirror = mirror ? object_ref(mirror) : NULL;
	/* An agent that was started again has not started the pod again. */
	const char *text =
		mirror ? json_path_str(object_doc(mirror, &a), "status.startTime") : NULL;
	if (text && time_parse_rfc3339(text, &start) == 0)
		w->start_ns = start;
	pod_worker_poke(w);
}

struct pod_worker *pod_worker_create(struct pod_manager *m, struct object *pod)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct pod_worker *w = xcalloc(1, sizeof(*w));
	char label[320];

	w->m = m;
	w->n = m->n;
	w->seen_ns = mono(w->n);
	w->pod = object_ref(pod);
	w->uid = xstrdup(pod->uid);
	w->ns = xstrdup(pod->namespace);
	w->name = xstrdup(pod->name);
	w->dir = xasprintf("%s/pods/%s", m->n->data_dir, pod->uid);
	w->tokens = pod_tokens_create();
	list_init(&w->ops);
	snprintf(label, sizeof(label), "%s/%s", pod->namespace, pod->name);
	sm_init(&w->sm, &pod_state_class, w, label, POD_NEW, mono(w->n));

	const struct json *doc = pod_worker_doc(w, &a);
	take_containers(w, doc);
	w->resize_look = true;
	w->view.restart_policy = restart_policy(doc);
	const char *phase = json_str_or(json_path(doc, "status.phase"), "");
	bool over = streq(phase, "Succeeded") || streq(phase, "Failed");
	w->stop_by_recall_ns = over || pod->deleting ? pod_stop_time_recall(w) : INT64_MAX;
	if (over) {
		w->view.ended = true;
		w->ended_phase = *phase == 'S' ? PHASE_SUCCEEDED : PHASE_FAILED;
		const char *reason = json_path_str(doc, "status.reason");
		const char *message = json_path_str(doc, "status.message");
		w->ended_reason = reason ? xstrdup(reason) : NULL;
		w->ended_message = message ? xstrdup(message) : NULL;
		/* What of it still runs ends in peace, whoever began with that. */
		w->view.stop_by_ns = MIN(w->stop_by_recall_ns,
			wall(w->n) + NS_PER_S * pod_seconds(doc,
							"spec.terminationGracePeriodSeconds", 30));
	}
	const char *start = json_path_str(doc, "status.startTime");
	if (!start || time_parse_rfc3339(start, &w->start_ns) < 0)
		w->start_ns = wall(w->n);
	read_deadline(w, doc);
	read_deletion(w, doc);
	w->wake = wakeup_create(w->n->loop, w->n->clock, step, w);
	refuse_too_many(w, doc);
	return w;
}

void pod_worker_destroy(struct pod_worker *w)
{
	pod_ops_cancel(w);
	pod_volumes_leave(w);
	for (size_t i = 0; i < w->view.container_count; i++) {
		pod_probes_stop(w, i);
		pod_container_finish(&w->containers[i]);
	}
	if (w->patch)
		client_cancel(w->n->client, w->patch);
	wakeup_destroy(w->wake);
	table_remove(&w->m->workers, w->uid);
	if (w->m->worker_gone)
		w->m->worker_gone(w->m, w->uid);
	object_unref(w->pod);
	object_unref(w->mirror);
	pod_tokens_destroy(w->tokens);
	free(w->view.containers);
	free(w->containers);
	free(w->pulls);
	free(w->touched_ns);
	free(w->probes);
	free(w->sandbox_id);
	free(w->runtime_handler);
	free(w->ended_reason);
	free(w->ended_message);
	free(w->disruption);
	pod_ask_destroy(w->ask);
	free(w->resize.message);
	free(w->resize.error);
	free(w->uid);
	free(w->ns);
	free(w->name);
	free(w->dir);
	free(w);
}

#include "server/controllers/workloads/job_orphans.h"

#include "server/controllers/claim.h"
#include "server/controllers/workloads/job_plan.h"

#define LATER_MS 1000 /* the cache of jobs is behind */

struct job_orphans {
	struct loop *loop;
	struct informer *jobs, *pods;
	struct pod_views *views;
};

struct json *job_untracking_patch(struct arena *a, const struct object *pod)
{
	struct json *patch = json_new_object(a), *rest = json_new_array(a);
	JSON_FOR_EACH_ITEM(it, json_path(object_doc(pod, a), "metadata.finalizers"))
		if (!streq(json_str(it), JOB_TRACKING_FINALIZER))
			json_push(a, rest, it);
	json_path_set(a, patch, "metadata.finalizers", json_count(rest) ? rest : json_new_null(a));
	return patch;
}

static void let_go(struct sync *s, const struct object *pod)
{
	sync_patch(s, pod, NULL, job_untracking_patch(&s->arena, pod), NULL, NULL);
}

/* What can't be undone is asked of the server: the cache may not know a new job yet. */
static void on_owner(struct sync *s, const struct client_result *r, void *user)
{
	struct object *pod = user;
	struct json *doc = NULL;
	if (r->code == 404) {
		let_go(s, pod);
	} else if (!client_ok(r)) {
		sync_check(s, r);
	} else if (json_parse(&s->arena, r->body, r->body_size, NULL, &doc, NULL) == 0) {
		if (!streq(json_path_str(doc, "metadata.uid"), object_controller(pod)->uid))
			let_go(s, pod);
		else
			sync_again(s, LATER_MS);
	}
}

/* Some job would adopt it, and count it then. */
static bool wanted(struct job_orphans *o, struct arena *a, const struct object *pod)
{
	struct object **all;
	size_t count = informer_list(o->jobs, pod->namespace, a, &all);
	for (size_t n = 0; n < count && !pod->deleting; n++) {
		struct selector selector;
		if (!all[n]->deleting && claim_selector(a, all[n], &selector) &&
			selector_matches_labels(&selector, pod->labels, pod->label_count) &&
			!job_is_finished(object_doc(all[n], a)))
			return true;
	}
	return false;
}

static void reconcile(struct sync *s)
{
	struct job_orphans *o = s->self;
	struct object *pod = informer_get(o->pods, s->ns, s->name);
	if (!pod || !pod_view(o->views, pod)->job_tracked)
		return;
	const struct object_owner *owner = object_controller(pod);
	struct object *job = claim_owner(o->jobs, pod);
	sync_hold(s, pod);
	if (job) {
		struct json *doc = object_doc(job, &s->arena);
		if (job_is_ours(doc) && job_is_finished(doc))
			let_go(s, pod);
	} else if (!owner) {
		if (!wanted(o, &s->arena, pod))
			let_go(s, pod);
	} else if (streq(owner->kind, "Job")) {
		sync_get(s, informer_kind(o->jobs), pod->namespace, owner->name, on_owner, pod);
	} else {
		let_go(s, pod);
	}
}

void job_orphans_consider(struct job_orphans *o, const struct object *pod)
{
	const struct object_owner *owner = object_controller(pod);
	if (owner && (!streq(owner->kind, "Job") || claim_owner(o->jobs, pod)))
		return;
	if (pod_view(o->views, pod)->job_tracked)
		loop_add_object(o->loop, pod);
}

void job_orphans_of(struct job_orphans *o, const struct object *job)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object **pods;
	size_t count = informer_by_index(o->pods, "owner", job->uid, &a, &pods);
	for (size_t n = 0; n < count; n++)
		if (pod_view(o->views, pods[n])->job_tracked)
			loop_add_object(o->loop, pods[n]);
}

struct job_orphans *job_orphans_create(
	struct shared *sh, struct informer *jobs, struct informer *pods)
{
	struct job_orphans *o = xcalloc(1, sizeof(*o));
	o->loop = loop_create(sh->client, "job-controller", 5, reconcile, o);
	o->jobs = jobs;
	o->pods = pods;
	o->views = shared_pod_views(sh);
	return o;
}

void job_orphans_start(struct job_orphans *o)
{
	loop_start(o->loop);
}

void job_orphans_destroy(struct job_orphans *o)
{
	loop_destroy(o->loop);
	free(o);
}

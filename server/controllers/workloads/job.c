/* Job: runs pods until enough of them have succeeded. Decisions are in job_plan.c, counting in
 * job_count.c; here are the writes and their order.
 *
 * A pass never begins before the caches show what the last one wrote: a pod that was counted and
 * still seems to have its finalizer would be counted again, and one that lost it before the job's
 * new status is seen would not be counted at all. */
#include "lib/base/log.h"
#include "server/controllers/claim.h"
#include "server/controllers/controller.h"
#include "server/controllers/expectations.h"
#include "server/controllers/meta.h"
#include "server/controllers/workloads/job_orphans.h"
#include "server/controllers/workloads/job_pods.h"

#define OWN_NAME "kubernetes.io/job-controller" /* of spec.managedBy */
#define POD_BATCH_MS 200			/* pods that end together are counted together */
#define UNSEEN_MS 60000				/* a look at what should have been seen long ago */

struct jobs {
	struct loop *loop;
	struct client *client;
	struct informer *jobs, *pods;
	struct pod_views *views;
	struct expectations *pods_expected, *jobs_expected;
	struct job_orphans *orphans;
};

/* One sync. */
struct run {
	struct jobs *jobs;
	struct object *job; /* as last written */
	struct json *doc;   /* of it */
	struct job_pass *pass;
	size_t created, batch; /* so far; of the next batch of creations */
	bool undone;	       /* a deletion failed */
};

static void say(struct sync *s, const char *type, const char *reason, const char *message)
{
	struct run *r = s->state;
	client_event_as(
		r->jobs->client, loop_name(s->loop), r->job, NULL, type, reason, "%s", message);
}

bool job_is_ours(const struct json *job)
{
	const char *by = json_path_str(job, "spec.managedBy");
	return !by || streq(by, OWN_NAME);
}

/* ---- last: the counters, and the end ---- */

static void on_final_status(struct sync *s, const struct client_result *res, void *user)
{
	struct run *r = s->state;
	struct job_pass *p = r->pass;
	sync_check(s, res);
	if (!client_ok(res))
		return;
	expectations_changed(r->jobs->jobs_expected, s->key, r->job);
	if (!p->finished)
		return;
	if (!streq(p->finish, "SuccessCriteriaMet")) {
		say(s, "Warning", p->reason, p->message);
		return;
	}
	if (p->completions >= 0 && p->counted_succeeded > p->completions)
		say(s, "Warning", "TooManySucceededPods",
			"Too many succeeded pods running after completion count reached");
	say(s, "Normal", "Completed", "Job completed");
}

static void write_final_status(struct sync *s)
{
	struct run *r = s->state;
	job_count_untracked(r->pass);
	sync_status(s, r->job, r->doc, job_status(r->pass), on_final_status, NULL);
	if (r->pass->too_many && !s->failed)
		sync_again(s, 0); /* a failure has its back-off */
}

/* ---- finalizers ---- */

static void on_untracked(struct sync *s, const struct client_result *res, void *user)
{
	struct run *r = s->state;
	struct job_pod *pod = user;
	if (client_ok(res) || res->code == 404) {
		pod->tracked = false;
		expectations_changed(r->jobs->pods_expected, s->key, pod->object);
	} else {
		sync_check(s, res);
	}
}

static void untrack(struct sync *s, struct job_pod *pod, sync_done *done)
{
	sync_patch(s, pod->object, NULL, job_untracking_patch(&s->arena, pod->object), done, pod);
}

static void remove_finalizers(struct sync *s)
{
	struct run *r = s->state;
	for (size_t n = 0; n < r->pass->pod_count; n++)
		if (r->pass->pods[n].untrack)
			untrack(s, &r->pass->pods[n], on_untracked);
	s->next = write_final_status;
}

/* ---- the list of uncounted pods, before their finalizers go ---- */

static void on_status(struct sync *s, const struct client_result *res, void *user)
{
	struct run *r = s->state;
	struct object *job = NULL;
	sync_check(s, res);
	if (!client_ok(res))
		return;
	expectations_changed(r->jobs->jobs_expected, s->key, r->job);
	if (r->pass->suspend_changed && r->pass->suspended)
		say(s, "Normal", "Suspended", "Job suspended");
	else if (r->pass->suspend_changed)
		say(s, "Normal", "Resumed", "Job resumed");
	if (object_from_bytes(r->job->kind, res->body, res->body_size, &job, NULL) < 0) {
		s->failed = true;
		return;
	}
	r->job = sync_hold(s, job);
	object_unref(job);
	r->doc = object_doc(r->job, &s->arena);
	r->pass->status = json_get(r->doc, "status");
	s->next = remove_finalizers;
}

static void write_status(struct sync *s)
{
	struct run *r = s->state;
	struct job_pass *p = r->pass;
	bool untracks = p->new_condition || p->suspend_changed;
	for (size_t n = 0; n < p->pod_count; n++)
		untracks |= p->pods[n].untrack;
	if (!untracks)
		write_final_status(s);
	else if (!sync_status(s, r->job, r->doc, job_status(p), on_status, NULL))
		remove_finalizers(s);
}

/* ---- first: pods come and go ---- */

static void conclude(struct sync *s)
{
	struct run *r = s->state;
	job_conclude(r->pass, !r->undone);
	job_count_ended(r->pass);
	write_status(s);
}

static void on_created(struct sync *s, const struct client_result *res, void *user)
{
	struct run *r = s->state;
	if (client_ok(res)) {
		const struct json *doc =
			expectations_created_by(r->jobs->pods_expected, s->key, &s->arena, res);
		r->pass->active++;
		client_event_as(r->jobs->client, loop_name(s->loop), r->job, NULL, "Normal",
			"SuccessfulCreate", "Created pod: %s",
			json_str_or(json_path(doc, "metadata.name"), ""));
		return;
	}
	r->created = r->pass->create_count; /* no more of them now */
	if (sync_namespace_terminating(res))
		return;
	s->failed = true;
	client_event_as(r->jobs->client, loop_name(s->loop), r->job, NULL, "Warning",
		"FailedCreate", "Error creating: %s", res->message);
}

/* Batches of 1, 2, 4, ...: what fails for one pod (a quota) is not tried five hundred times. */
static void create_batch(struct sync *s)
{
	struct run *r = s->state;
	struct job_pass *p = r->pass;
	size_t end = MIN(r->created + r->batch, p->create_count), begin = r->created;
	if (begin == end) {
		conclude(s);
		return;
	}
	r->created = end;
	r->batch *= 2;
	for (size_t n = begin; n < end; n++) {
		struct json *pod =
			job_pod_new(p, r->job, p->create_indexes ? p->create_indexes[n] : -1,
				p->create_indexes ? p->replaced[n] : NULL);
		sync_create(
			s, informer_kind(r->jobs->pods), r->job->namespace, pod, on_created, NULL);
	}
	s->next = create_batch;
}

static void on_deleted(struct sync *s, const struct client_result *res, void *user)
{
	struct run *r = s->state;
	struct job_pod *pod = user;
	if (!client_ok(res) && res->code != 404) {
		s->failed = true;
		r->undone = true;
		client_event_as(r->jobs->client, loop_name(s->loop), r->job, NULL, "Warning",
			"FailedDelete", "Error deleting: %s", res->message);
		return;
	}
	expectations_deleted(r->jobs->pods_expected, s->key, pod->object);
	r->pass->active--;
	r->pass->ready -= pod->view.ready;
	r->pass->terminating++;
	if (client_ok(res))
		client_event_as(r->jobs->client, loop_name(s->loop), r->job, NULL, "Normal",
			"SuccessfulDelete", "Deleted pod: %s", pod->object->name);
}

static void on_untracked_to_delete(struct sync *s, const struct client_result *res, void *user)
{
	struct run *r = s->state;
	struct job_pod *pod = user;
	on_untracked(s, res, user);
	if (pod->tracked)
		r->undone = true;
	else
		sync_delete(s, pod->object, -1, NULL, on_deleted, pod);
}

static void remove_pods(struct sync *s)
{
	struct run *r = s->state;
	struct job_pass *p = r->pass;
	for (size_t n = 0; n < p->remove_count; n++)
		if (p->remove[n]->tracked && !p->remove_tracked)
			untrack(s, p->remove[n], on_untracked_to_delete);
		else
			sync_delete(s, p->remove[n]->object, -1, NULL, on_deleted, p->remove[n]);
	s->next = conclude;
}

static void reconcile(struct sync *s)
{
	struct jobs *jobs = s->self;
	struct object *job = informer_get(jobs->jobs, s->ns, s->name);
	if (!job) {
		expectations_forget(jobs->pods_expected, s->key);
		expectations_forget(jobs->jobs_expected, s->key);
		return;
	}
	struct run *r = ARENA_NEW(&s->arena, struct run);
	s->state = r;
	r->jobs = jobs;
	r->job = sync_hold(s, job);
	r->doc = object_doc(job, &s->arena);
	if (!job_is_ours(r->doc))
		return;
	if (job_is_finished(r->doc)) {
		expectations_forget(jobs->pods_expected, s->key);
		expectations_forget(jobs->jobs_expected, s->key);
		job_orphans_of(jobs->orphans, job);
		return;
	}
	if (!expectations_met(jobs->pods_expected, s->key) ||
		!expectations_met(jobs->jobs_expected, s->key)) {
		sync_again(s, UNSEEN_MS);
		return;
	}
	struct selector selector;
	if (!claim_selector(&s->arena, job, &selector))
		return; /* validation keeps such selectors out */
	struct claim claim = claim_children_with_finalizer(
		s, job, &selector, jobs->pods, JOB_TRACKING_FINALIZER);
	if (claim.changing)
		return;
	for (size_t n = 0; n < claim.count; n++)
		sync_hold(s, claim.mine[n]);
	struct job_pass *p = job_pass_read(&s->arena, r->doc, job->deleting, claim.mine,
		claim.count, jobs->views, loop_wall_ns(s->loop));
	r->pass = p;
	job_decide(p);
	if (p->again_ms >= 0)
		sync_again(s, p->again_ms);
	r->batch = 1;
	if (p->remove_count)
		remove_pods(s);
	else
		create_batch(s);
}

/* ---- events ---- */

static void on_pod(void *user, const struct object *old, const struct object *new)
{
	struct jobs *jobs = user;
	struct object *was = old ? claim_owner(jobs->jobs, old) : NULL,
		      *is = new ? claim_owner(jobs->jobs, new) : NULL;
	if (was)
		loop_add_after(jobs->loop, was->namespace, was->name, POD_BATCH_MS);
	if (is && is != was)
		loop_add_after(jobs->loop, is->namespace, is->name, POD_BATCH_MS);
	if (!is)
		claim_tell(jobs->loop, jobs->jobs, NULL, new);
	if (new)
		job_orphans_consider(jobs->orphans, new);
}

static void on_job(void *user, const struct object *old, const struct object *new)
{
	struct jobs *jobs = user;
	loop_add_object(jobs->loop, new ? new : old);
	if (!new)
		job_orphans_of(jobs->orphans, old);
}

static void *create(struct shared *sh)
{
	static const struct informer_handler pod_handler = {.changed = on_pod},
					     job_handler = {.changed = on_job};
	struct jobs *jobs = xcalloc(1, sizeof(*jobs));
	jobs->client = sh->client;
	jobs->loop = loop_create(sh->client, "job-controller", 5, reconcile, jobs);
	jobs->jobs = shared_informer(sh, "batch", "v1", "Job");
	jobs->pods = shared_informer(sh, "", "v1", "Pod");
	jobs->views = shared_pod_views(sh);
	jobs->pods_expected = expectations_create(jobs->pods, sh->client->clock);
	jobs->jobs_expected = expectations_create(jobs->jobs, sh->client->clock);
	jobs->orphans = job_orphans_create(sh, jobs->jobs, jobs->pods);
	informer_add_index(jobs->pods, "namespace");
	informer_add_index(jobs->pods, "owner");
	informer_add_index(jobs->jobs, "namespace");
	informer_add_handler(jobs->jobs, &job_handler, jobs);
	informer_add_handler(jobs->pods, &pod_handler, jobs);
	return jobs;
}

/* What an earlier process counted may be in the list of jobs and not yet in that of pods. */
static void expect_same_age(struct jobs *jobs)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct object **all;
	size_t count = informer_list(jobs->jobs, NULL, &a, &all);
	for (size_t n = 0; n < count; n++) {
		_cleanup_(free_p) char *key = xasprintf("%s/%s", all[n]->namespace, all[n]->name);
		expectations_created(jobs->pods_expected, key, all[n]->revision);
	}
}

static void start(void *self)
{
	struct jobs *jobs = self;
	expect_same_age(jobs);
	loop_start(jobs->loop);
	job_orphans_start(jobs->orphans);
}

static void destroy(void *self)
{
	struct jobs *jobs = self;
	loop_destroy(jobs->loop);
	job_orphans_destroy(jobs->orphans);
	expectations_destroy(jobs->pods_expected);
	expectations_destroy(jobs->jobs_expected);
	free(jobs);
}

const struct controller_class job_controller = {"job", create, start, destroy};

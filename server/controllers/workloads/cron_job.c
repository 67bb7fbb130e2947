/* CronJob: makes a job whenever the schedule says so. Decisions are in cron_job_plan.c. */
#include "lib/base/log.h"
#include "lib/base/table.h"
#include "server/controllers/claim.h"
#include "server/controllers/controller.h"
#include "server/controllers/expectations.h"
#include "server/controllers/meta.h"
#include "server/controllers/workloads/cron_job_plan.h"

#define MISSED_MANY 100
#define LATE_MS 100	     /* behind the time, so that it has surely come */
#define LOOK_AGAIN_MS 600000 /* clocks may be set */
#define ZONE_KEPT_NS (600 * NS_PER_S)
#define UNSEEN_MS 60000

struct cron_jobs {
	struct loop *loop;
	struct client *client;
	struct informer *cron_jobs, *jobs;
	struct expectations *jobs_expected, *cron_jobs_expected;
	struct table zones; /* name -> struct kept_zone */
};

struct kept_zone {
	struct zone *zone;
	int64_t read_ns; /* monotonic */
};

/* One sync. */
struct run {
	struct cron_jobs *all;
	struct object *cron_job;
	struct json *doc, *spec;
	struct json *active; /* status.active as it should be */
	const char *last_schedule, *last_success;
	const struct zone *zone; /* in the step that asked for it only: it may be read anew */
	struct json *due_job;
	struct cron_run *runs; /* jobs it owns */
	size_t run_count;
	int64_t now_ns, due_ns;
	bool stop; /* nothing is started now */
};

static void say(struct sync *s, const char *type, const char *reason, const char *fmt, ...)
	_printf_(4, 5);
static void say(struct sync *s, const char *type, const char *reason, const char *fmt, ...)
{
	struct run *r = s->state;
	va_list ap;
	va_start(ap, fmt);
	char *message = arena_vprintf(&s->arena, fmt, ap);
	va_end(ap);
	client_event_as(
		r->all->client, loop_name(s->loop), r->cron_job, NULL, type, reason, "%s", message);
}

/* ---- zones ---- */

static void kept_zone_free(struct kept_zone *k)
{
	if (!k)
		return;
	zone_destroy(k->zone);
	free(k);
}

/* Files are read again from time to time: the database is updated while a server runs. */
static const struct zone *zone_named(struct cron_jobs *all, const char *name, struct err *err)
{
	struct kept_zone *k = table_get(&all->zones, name);
	int64_t now_ns = loop_mono_ns(all->loop);
	if (k && now_ns - k->read_ns < ZONE_KEPT_NS)
		return k->zone;
	struct zone *zone;
	if (zone_load(name, &zone, err) < 0)
		return NULL;
	kept_zone_free(table_remove(&all->zones, name));
	k = xcalloc(1, sizeof(*k));
	k->zone = zone;
	k->read_ns = now_ns;
	table_set(&all->zones, name, k);
	return zone;
}

/* ---- last: the status ---- */

static void on_status(struct sync *s, const struct client_result *res, void *user)
{
	struct run *r = s->state;
	sync_check(s, res);
	if (client_ok(res))
		expectations_changed(r->all->cron_jobs_expected, s->key, r->cron_job);
}

static void write_status(struct sync *s)
{
	struct run *r = s->state;
	struct arena *a = &s->arena;
	struct json *status = json_new_object(a);
	json_set(a, status, "active", json_count(r->active) ? r->active : json_new_null(a));
	if (r->last_schedule)
		json_set_str(a, status, "lastScheduleTime", r->last_schedule);
	if (r->last_success)
		json_set_str(a, status, "lastSuccessfulTime", r->last_success);
	sync_status(s, r->cron_job, r->doc, status, on_status, NULL);
}

static void drop_active(struct run *r, struct arena *a, const char *uid)
{
	struct json *rest = json_new_array(a);
	JSON_FOR_EACH_ITEM(it, r->active)
		if (!streq(json_str(json_get(it, "uid")), uid))
			json_push(a, rest, it);
	r->active = rest;
}

static bool is_active(const struct run *r, const char *uid)
{
	JSON_FOR_EACH_ITEM(it, r->active)
		if (streq(json_str(json_get(it, "uid")), uid))
			return true;
	return false;
}

/* ---- starting a run ---- */

static void note_run(struct sync *s, const struct json *job)
{
	struct run *r = s->state;
	struct arena *a = &s->arena;
	struct json *ref = json_new_object(a);
	json_set_str(a, ref, "kind", "Job");
	json_set_str(a, ref, "namespace", r->cron_job->namespace);
	json_set_str(a, ref, "name", json_str_or(json_path(job, "metadata.name"), ""));
	json_set_str(a, ref, "uid", json_str_or(json_path(job, "metadata.uid"), ""));
	json_set_str(a, ref, "apiVersion", "batch/v1");
	json_set_str(a, ref, "resourceVersion",
		json_str_or(json_path(job, "metadata.resourceVersion"), ""));
	json_push(a, r->active, ref);
	r->last_schedule = json_str(meta_time(a, r->due_ns));
}

/* Made before a process died that did not come to say so; or somebody else's. */
static void on_existing(struct sync *s, const struct client_result *res, void *user)
{
	struct run *r = s->state;
	struct json *job = NULL;
	if (!client_ok(res)) {
		sync_check(s, res);
		return;
	}
	if (json_parse(&s->arena, res->body, res->body_size, NULL, &job, NULL) < 0)
		return;
	bool ours = false;
	JSON_FOR_EACH_ITEM(ref, json_path(job, "metadata.ownerReferences"))
		ours |= json_bool_or(json_get(ref, "controller"), false) &&
			streq(json_str(json_get(ref, "uid")), r->cron_job->uid);
	const char *uid = json_path_str(job, "metadata.uid");
	if (ours && cron_job_run_end(job))
		r->last_schedule = json_str(meta_time(&s->arena, r->due_ns));
	else if (ours && !is_active(r, uid))
		note_run(s, job);
	else if (ours)
		r->last_schedule = json_str(meta_time(&s->arena, r->due_ns));
}

static void on_created(struct sync *s, const struct client_result *res, void *user)
{
	struct run *r = s->state;
	const char *name = user;
	if (client_ok(res)) {
		struct json *job =
			expectations_created_by(r->all->jobs_expected, s->key, &s->arena, res);
		if (!job) {
			s->failed = true;
			return;
		}
		say(s, "Normal", "SuccessfulCreate", "Created job %s", name);
		note_run(s, job);
	} else if (streq(res->reason, "AlreadyExists")) {
		sync_get(s, informer_kind(r->all->jobs), r->cron_job->namespace, name, on_existing,
			NULL);
	} else if (!sync_namespace_terminating(res)) {
		say(s, "Warning", "FailedCreate", "Error creating job: %s", res->message);
		sync_check(s, res);
	}
}

static void start_run(struct sync *s)
{
	struct run *r = s->state;
	s->next = write_status;
	if (r->stop)
		return;
	sync_create(s, informer_kind(r->all->jobs), r->cron_job->namespace, r->due_job, on_created,
		cron_job_run_name(&s->arena, r->cron_job, r->due_ns));
}

static void on_deleted(struct sync *s, const struct client_result *res, void *user)
{
	struct run *r = s->state;
	struct object *job = user;
	if (!client_ok(res) && res->code != 404) {
		say(s, "Warning", "FailedDelete", "Deleted job: %s", res->message);
		sync_check(s, res);
		r->stop = true;
		return;
	}
	drop_active(r, &s->arena, job->uid);
	say(s, "Normal", "SuccessfulDelete", "Deleted job %s", job->name);
}

static void replace_active(struct sync *s)
{
	struct run *r = s->state;
	s->next = start_run;
	JSON_FOR_EACH_ITEM(ref, r->active) {
		const char *name = json_str_or(json_get(ref, "name"), "");
		struct object *job = informer_get(r->all->jobs, r->cron_job->namespace, name);
		if (job && streq(job->uid, json_str(json_get(ref, "uid")))) {
			sync_delete(s, job, -1, "Background", on_deleted, sync_hold(s, job));
		} else {
			r->stop = true; /* not seen yet */
			sync_again(s, 1000);
		}
	}
}

/* ---- is a run due? ---- */

/* The zone and the schedule; events say what is wrong with them. */
static bool read_schedule(struct sync *s, struct cron *ret)
{
	struct run *r = s->state;
	struct err err = ERR_INIT;
	const char *text = json_str_or(json_get(r->spec, "schedule"), ""),
		   *zone = json_str(json_get(r->spec, "timeZone"));
	r->zone = zone_named(r->all, zone ? zone : "UTC", &err);
	if (!r->zone) {
		say(s, "Warning", "UnknownTimeZone", "invalid timeZone: \"%s\": %s", zone, err.msg);
		return false;
	}
	if (cron_parse(text, ret, &err) < 0) {
		say(s, "Warning", "UnparseableSchedule", "unparseable schedule: \"%s\" : %s", text,
			err.msg);
		return false;
	}
	if (strstr(text, "TZ"))
		say(s, "Warning", "UnsupportedSchedule",
			"CRON_TZ or TZ used in schedule \"%s\" is not officially supported, see "
			"https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for "
			"more details",
			text);
	return true;
}

static bool due(struct sync *s)
{
	struct run *r = s->state;
	struct cron schedule;
	if (r->cron_job->deleting || json_bool_or(json_get(r->spec, "suspend"), false) ||
		!read_schedule(s, &schedule))
		return false;
	int64_t deadline_s = json_int_or(json_get(r->spec, "startingDeadlineSeconds"), -1),
		last_ns = meta_time_ns(json_path(r->doc, "status.lastScheduleTime")),
		made_ns = meta_time_ns(json_path(r->doc, "metadata.creationTimestamp"));
	struct cron_job_times t = cron_job_times(
		&schedule, r->zone, last_ns ? last_ns : made_ns, deadline_s, r->now_ns);
	if (t.next_ns)
		sync_again(s,
			MIN((t.next_ns - r->now_ns) / NS_PER_MS + LATE_MS, (int64_t)LOOK_AGAIN_MS));
	if (t.missed > MISSED_MANY)
		say(s, "Warning", "TooManyMissedTimes",
			"too many missed start times. Set or decrease "
			".spec.startingDeadlineSeconds or "
			"check clock skew");
	r->due_ns = t.due_ns;
	return t.due_ns != 0;
}

static void schedule(struct sync *s)
{
	struct run *r = s->state;
	s->next = write_status;
	if (!due(s))
		return;
	const char *policy = json_str_or(json_get(r->spec, "concurrencyPolicy"), "Allow"),
		   *name = cron_job_run_name(&s->arena, r->cron_job, r->due_ns);
	JSON_FOR_EACH_ITEM(ref, r->active)
		if (streq(json_str(json_get(ref, "name")), name))
			return;
	if (streq(policy, "Forbid") && json_count(r->active)) {
		say(s, "Normal", "JobAlreadyActive",
			"Not starting job because prior execution is running and concurrency "
			"policy "
			"is Forbid");
		return;
	}
	r->due_job = cron_job_run(&s->arena, r->cron_job, r->doc, r->zone, r->due_ns);
	s->next = streq(policy, "Replace") ? replace_active : start_run;
}

/* ---- what became of the runs ---- */

static void on_missing(struct sync *s, const struct client_result *res, void *user)
{
	struct run *r = s->state;
	const struct json *ref = user;
	struct json *job = NULL;
	if (client_ok(res)) {
		const char *uid = json_str(json_get(ref, "uid"));
		if (json_parse(&s->arena, res->body, res->body_size, NULL, &job, NULL) < 0 ||
			streq(json_path_str(job, "metadata.uid"), uid))
			return; /* the cache is behind */
				/* Another one of that name. */
	} else if (res->code != 404) {
		sync_check(s, res);
		r->stop = true;
		return;
	}
	say(s, "Normal", "MissingJob", "Active job went missing: %s",
		json_str_or(json_get(ref, "name"), ""));
	drop_active(r, &s->arena, json_str_or(json_get(ref, "uid"), ""));
}

static void note_success(struct run *r, const struct json *job)
{
	const char *when = json_path_str(job, "status.completionTime");
	int64_t last_ns = 0;
	if (r->last_success && time_parse_rfc3339(r->last_success, &last_ns) < 0)
		last_ns = 0;
	if (when && meta_time_ns(json_path(job, "status.completionTime")) > last_ns)
		r->last_success = when;
}

static void look_at_runs(struct sync *s)
{
	struct run *r = s->state;
	for (size_t n = 0; n < r->run_count; n++) {
		const struct object *o = r->runs[n].job;
		const char *end = r->runs[n].end;
		if (!is_active(r, o->uid)) {
			if (!end && !o->deleting)
				say(s, "Warning", "UnexpectedJob",
					"Saw a job that the controller did not create or forgot: "
					"%s",
					o->name);
		} else if (end) {
			drop_active(r, &s->arena, o->uid);
			say(s, "Normal", "SawCompletedJob", "Saw completed job: %s, condition: %s",
				o->name, end);
		}
		if (streq(end, "Complete"))
			note_success(r, object_doc(o, &s->arena));
	}
	s->next = schedule;
	JSON_FOR_EACH_ITEM(ref, r->active) {
		bool found = false;
		for (size_t n = 0; n < r->run_count; n++)
			found |= streq(r->runs[n].job->uid, json_str(json_get(ref, "uid")));
		if (!found)
			sync_get(s, informer_kind(r->all->jobs), r->cron_job->namespace,
				json_str_or(json_get(ref, "name"), ""), on_missing, ref);
	}
}

static void remove_old_runs(struct sync *s)
{
	struct run *r = s->state;
	static const struct {
		const char *end, *limit;
	} histories[] = {
		{"Complete", "successfulJobsHistoryLimit"}, {"Failed", "failedJobsHistoryLimit"}};
	s->next = look_at_runs;
	for (size_t n = 0; n < ARRAY_LEN(histories); n++) {
		int64_t limit = json_int_or(json_get(r->spec, histories[n].limit), -1);
		size_t old = cron_job_too_old(r->runs, r->run_count, histories[n].end, limit);
		for (size_t i = 0; i < old; i++)
			if (!r->runs[i].job->deleting)
				sync_delete(s, r->runs[i].job, -1, "Background", on_deleted,
					r->runs[i].job);
	}
}

static void reconcile(struct sync *s)
{
	struct cron_jobs *all = s->self;
	struct object *cron_job = informer_get(all->cron_jobs, s->ns, s->name), **jobs;
	if (!cron_job) {
		expectations_forget(all->jobs_expected, s->key);
		expectations_forget(all->cron_jobs_expected, s->key);
		return;
	}
	if (!expectations_met(all->jobs_expected, s->key) ||
		!expectations_met(all->cron_jobs_expected, s->key)) {
		sync_again(s, UNSEEN_MS);
		return;
	}
	struct run *r = ARENA_NEW(&s->arena, struct run);
	s->state = r;
	r->all = all;
	r->cron_job = sync_hold(s, cron_job);
	r->doc = object_doc(cron_job, &s->arena);
	r->spec = json_get(r->doc, "spec");
	r->now_ns = loop_wall_ns(s->loop);
	r->last_schedule = json_path_str(r->doc, "status.lastScheduleTime");
	r->last_success = json_path_str(r->doc, "status.lastSuccessfulTime");
	r->active = json_new_array(&s->arena);
	JSON_FOR_EACH_ITEM(ref, json_path(r->doc, "status.active"))
		json_push(&s->arena, r->active, ref);
	size_t count = informer_by_index(all->jobs, "owner", cron_job->uid, &s->arena, &jobs);
	r->runs = arena_zalloc(&s->arena, (count + 1) * sizeof(*r->runs));
	for (size_t n = 0; n < count; n++) {
		struct cron_run *run = &r->runs[r->run_count];
		if (claim_owner(all->cron_jobs, jobs[n]) != cron_job)
			continue;
		struct json *doc = object_doc(jobs[n], &s->arena);
		run->job = sync_hold(s, jobs[n]);
		run->end = cron_job_run_end(doc);
		run->start_ns = meta_time_ns(json_path(doc, "status.startTime"));
		if (!run->start_ns)
			run->start_ns = INT64_MAX;
		r->run_count++;
	}
	remove_old_runs(s);
}

static void on_cron_job(void *user, const struct object *old, const struct object *new)
{
	struct cron_jobs *all = user;
	loop_add_object(all->loop, new ? new : old);
}

static void on_job(void *user, const struct object *old, const struct object *new)
{
	struct cron_jobs *all = user;
	struct object *owner = claim_owner(all->cron_jobs, new ? new : old);
	if (owner)
		loop_add_object(all->loop, owner);
}

static void *create(struct shared *sh)
{
	static const struct informer_handler job_handler = {.changed = on_job},
					     cron_job_handler = {.changed = on_cron_job};
	struct cron_jobs *all = xcalloc(1, sizeof(*all));
	all->client = sh->client;
	all->loop = loop_create(sh->client, "cronjob-controller", 5, reconcile, all);
	all->cron_jobs = shared_informer(sh, "batch", "v1", "CronJob");
	all->jobs = shared_informer(sh, "batch", "v1", "Job");
	all->jobs_expected = expectations_create(all->jobs, sh->client->clock);
	all->cron_jobs_expected = expectations_create(all->cron_jobs, sh->client->clock);
	informer_add_index(all->jobs, "owner");
	informer_add_handler(all->cron_jobs, &cron_job_handler, all);
	informer_add_handler(all->jobs, &job_handler, all);
	return all;
}

static void start(void *self)
{
	loop_start(((struct cron_jobs *)self)->loop);
}

static void destroy(void *self)
{
	struct cron_jobs *all = self;
	loop_destroy(all->loop);
	expectations_destroy(all->jobs_expected);
	expectations_destroy(all->cron_jobs_expected);
	struct table_iter it = table_iterate(&all->zones);
	while (table_next(&it))
		kept_zone_free(it.value);
	table_finish(&all->zones);
	free(all);
}

const struct controller_class cron_job_controller = {"cronjob", create, start, destroy};

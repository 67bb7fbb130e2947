#include "server/controllers/workloads/cron_job_plan.h"

#include <inttypes.h>

#include "lib/base/clock.h"
#include "lib/base/str.h"
#include "server/controllers/meta.h"

#define MISSED_MAX 101

struct cron_job_times cron_job_times(const struct cron *schedule, const struct zone *zone,
	int64_t earliest_ns, int64_t starting_deadline_s, int64_t now_ns)
{
	struct cron_job_times t = {0};
	if (starting_deadline_s >= 0 && starting_deadline_s < now_ns / NS_PER_S)
		earliest_ns = MAX(earliest_ns, now_ns - starting_deadline_s * NS_PER_S);
	t.due_ns = cron_last(schedule, zone, earliest_ns, now_ns, MISSED_MAX, &t.missed);
	/* "@every" counts from the last time. */
	int64_t from_ns = schedule->every_ns ? (t.due_ns ? t.due_ns : earliest_ns) : now_ns;
	t.next_ns = cron_next(schedule, zone, from_ns);
	return t;
}

char *cron_job_run_name(struct arena *a, const struct object *cron_job, int64_t due_ns)
{
	return arena_printf(a, "%s-%" PRId64, cron_job->name, due_ns / NS_PER_S / 60);
}

/* RFC 3339 with the zone's distance from UTC. */
static char *local_time(struct arena *a, const struct zone *zone, int64_t ns)
{
	char text[TIME_RFC3339_ROOM];
	int64_t offset_s = zone_at(zone, ns / NS_PER_S).offset_s,
		minutes = (offset_s < 0 ? -offset_s : offset_s) / 60;
	time_format_rfc3339(ns + offset_s * NS_PER_S, text);
	if (!offset_s)
		return arena_strdup(a, text);
	return arena_printf(a, "%.19s%c%02" PRId64 ":%02" PRId64, text, offset_s < 0 ? '-' : '+',
		minutes / 60, minutes % 60);
}

struct json *cron_job_run(struct arena *a, const struct object *cron_job, const struct json *doc,
	const struct zone *zone, int64_t due_ns)
{
	const struct json *template = json_path(doc, "spec.jobTemplate"),
			  *from = json_get(template, "metadata");
	struct json *job = json_new_object(a), *meta = json_new_object(a),
		    *refs = json_new_array(a), *annotations = json_new_object(a);
	json_set_str(a, job, "apiVersion", "batch/v1");
	json_set_str(a, job, "kind", "Job");
	json_set(a, job, "metadata", meta);
	json_set_str(a, meta, "name", cron_job_run_name(a, cron_job, due_ns));
	json_set_str(a, meta, "namespace", cron_job->namespace);
	if (json_get(from, "labels"))
		json_set(a, meta, "labels", json_get(from, "labels"));
	JSON_FOR_EACH_MEMBER(m, json_get(from, "annotations"))
		json_set(a, annotations, m->name, m->value);
	json_set_str(a, annotations, "batch.kubernetes.io/cronjob-scheduled-timestamp",
		local_time(a, zone, due_ns));
	json_set(a, meta, "annotations", annotations);
	json_push(a, refs, owner_reference(a, cron_job));
	json_set(a, meta, "ownerReferences", refs);
	struct json *spec = json_get(template, "spec");
	json_set(a, job, "spec", spec ? spec : json_new_object(a));
	return job;
}

const char *cron_job_run_end(const struct json *job)
{
	static const char *const ends[] = {"Complete", "Failed"};
	const struct json *conditions = json_path(job, "status.conditions");
	for (size_t n = 0; n < ARRAY_LEN(ends); n++)
		if (condition_is(conditions, ends[n], "True"))
			return ends[n];
	return NULL;
}

static int older_first(const void *pa, const void *pb)
{
	const struct cron_run *a = pa, *b = pb;
	if (a->start_ns != b->start_ns)
		return a->start_ns < b->start_ns ? -1 : 1;
	return strcmp(a->job->name, b->job->name);
}

size_t cron_job_too_old(struct cron_run *runs, size_t count, const char *end, int64_t limit)
{
	size_t ended = 0;
	for (size_t n = 0; n < count; n++)
		if (streq(runs[n].end, end)) {
			struct cron_run run = runs[n];
			runs[n] = runs[ended];
			runs[ended++] = run;
		}
	if (limit < 0 || ended <= (size_t)limit)
		return 0;
	qsort(runs, ended, sizeof(*runs), older_first);
	return ended - (size_t)limit;
}

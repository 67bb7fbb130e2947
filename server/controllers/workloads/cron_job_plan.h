/* cron_job_plan.h - the decisions of the CronJob loop. Pure. */
#pragma once

#include "lib/base/cron.h"
#include "lib/object/object.h"

/* When a cron job runs: `earliest_ns` is its last run, or its creation. */
struct cron_job_times {
	int64_t due_ns;	 /* the latest time that was not served yet; 0 = none */
	unsigned missed; /* how many such times there were, 101 = more than a hundred */
	int64_t next_ns; /* after now; 0 = never */
};
struct cron_job_times cron_job_times(const struct cron *schedule, const struct zone *zone,
	int64_t earliest_ns, int64_t starting_deadline_s /* -1 = none */, int64_t now_ns);

/* A run's job: <name>-<minutes since 1970>. */
char *cron_job_run_name(struct arena *a, const struct object *cron_job, int64_t due_ns);
struct json *cron_job_run(struct arena *a, const struct object *cron_job, const struct json *doc,
	const struct zone *zone, int64_t due_ns);

/* "Complete", "Failed", or NULL while it goes on. */
const char *cron_job_run_end(const struct json *job);

struct cron_run {
	struct object *job;
	int64_t start_ns; /* wall; INT64_MAX = not yet */
	const char *end;  /* as cron_job_run_end has it */
};
/* Those that ended this way and are too many, oldest first: moves them to the front. */
size_t cron_job_too_old(struct cron_run *runs, size_t count, const char *end, int64_t limit);

/* job_plan.h - the decisions of the Job loop: functions over a job, its pods and the time, that
 * write nothing themselves.
 *
 * A pod that ended is counted in steps, so that none is counted twice or lost wherever the steps
 * are cut off (KEP-2307):
 *
 *	pod has ended, finalizer on   uid in status.uncounted...   finalizer off   uid off, counter
 *up
 *	------------------------------>---------------------------->--------------->----------------
 *
 * A pod without the finalizer is counted already, or its uid is in the list. Indexes that succeeded
 * need no list: status.completedIndexes can't hold one twice.
 *
 * One pass: job_pass_read, job_decide; the loop creates and deletes; job_conclude, job_count_ended;
 * the loop writes job_status and takes finalizers off; job_count_untracked; it writes again. */
#pragma once

#include "server/controllers/pod_views.h"
#include "server/controllers/workloads/index_set.h"
#include "server/controllers/workloads/job_policy.h"

#define JOB_TRACKING_FINALIZER "batch.kubernetes.io/job-tracking"
#define JOB_BURST                                                                                  \
	500 /* pods created, deleted, or put on the list of uncounted ones in one pass             \
	     */

enum job_uncounted { JOB_NOT_LISTED, JOB_LISTED_SUCCEEDED, JOB_LISTED_FAILED };

struct job_pod {
	struct object *object;
	struct pod_view view; /* a copy: but for its texts it outlives the pod's next change */
	bool tracked;	      /* has the finalizer */
	bool failed;	      /* over, or given up because it is being deleted */
	bool valid;   /* has an index below completions; always, when there are no indexes */
	bool delayed; /* the last failed pod of an index that has no other yet: its finalizer stays
			 until the next pod carries on the count of failures */
	bool untrack; /* the finalizer is to go */
	enum job_uncounted uncounted;
	enum job_failure_action action; /* of failed ones */
};

struct job_pass {
	struct arena *a;
	int64_t now_ns; /* wall */
	const struct json *doc, *spec, *status;

	/* spec; -1 = not set */
	bool indexed, suspended, deleting, only_replace_failed;
	int64_t parallelism, completions, backoff_limit, per_index_limit, max_failed_indexes,
		deadline_s;

	struct job_pod *pods;
	size_t pod_count;

	/* As the cache has them; the loop corrects the first three as it creates and deletes. */
	int64_t active, ready, terminating;
	int64_t succeeded, failed;		   /* with those that are not counted yet */
	int64_t counted_succeeded, counted_failed; /* status.succeeded, status.failed */
	struct index_set was_succeeded_indexes, succeeded_indexes, failed_indexes;

	/* What to do. */
	struct job_pod **remove;
	size_t remove_count;
	bool remove_tracked; /* with their finalizers on: they are counted as failed */
	size_t create_count;
	int64_t *create_indexes;   /* NULL without indexes */
	struct job_pod **replaced; /* the pod that failed before, of each of these; NULL = none */
	int64_t again_ms;	   /* < 0 = no need */
	bool managed;		   /* pods were (to be) created or deleted by counts */
	const char *finish;	   /* FailureTarget or SuccessCriteriaMet; NULL = it goes on */
	const char *reason, *message; /* of finish */
	const char *fail_job_message; /* by a rule of the failure policy */

	/* What becomes of the status. */
	const struct json *conditions, *start_time, *completion_time;
	bool new_condition;   /* one that must be known before finalizers go */
	bool suspend_changed; /* to spec.suspend */
	bool too_many;	      /* not all that ended was listed */
	bool finished;
};

/* Pods: all that are the job's. In the arena; `views` is asked once. */
struct job_pass *job_pass_read(struct arena *a, const struct json *job, bool deleting,
	struct object **pods, size_t pod_count, struct pod_views *views, int64_t now_ns);
void job_decide(struct job_pass *p);
/* all_done: every deletion that was to be done was. */
void job_conclude(struct job_pass *p, bool all_done);
/* Puts pods that ended on the list, says which finalizers are to go (pods[].untrack). */
void job_count_ended(struct job_pass *p);
/* Counts listed pods that are no longer tracked; ends the job when nothing is left to be counted.
 */
void job_count_untracked(struct job_pass *p);
/* The wanted members of the status, for sync_status. */
struct json *job_status(const struct job_pass *p);

bool job_is_finished(const struct json *job);
/* Of those that end as long after failures as `failures` in a row ask for: 10 s, doubling to 6
 * minutes. */
int64_t job_backoff_left_ns(int64_t failures, int64_t last_failure_ns, int64_t now_ns);

/* pod_views.h - what the loops want to know of a pod, decoded once for each state of the pod and
 * shared by all loops of the process. */
#pragma once

#include "lib/client/informer.h"

struct pod_view {
	uint64_t revision;
	bool terminal; /* phase Succeeded or Failed */
	bool active;   /* neither terminal nor being deleted */
	bool ready;    /* condition Ready is True */
	bool failed;   /* phase Failed */
	enum { POD_PENDING, POD_UNKNOWN, POD_RUNNING, POD_OTHER } phase; /* in order of deletion */
	int64_t ready_since_ns; /* wall; 0 when not ready */
	int64_t created_ns;	/* wall */
	int64_t restarts;	/* the most of any container */
	int64_t restarts_sum;	/* of all containers, init containers too */
	bool succeeded;		/* phase Succeeded */
	int64_t finished_ns;	/* wall; when a pod that is over (or being deleted) ended */
	const char *node;	/* "" = unassigned */
	const char *ip;		/* "" = none */
	const char *second_ip;	/* of the other family; "" = none */
	const char *hostname, *subdomain;
	int64_t deletion_cost; /* annotation controller.kubernetes.io/pod-deletion-cost */
	/* Of a job's pods: the finalizer batch.kubernetes.io/job-tracking, and the annotations
	 * job-completion-index (-1 = none), job-index-failure-count and
	 * job-index-ignored-failure-count. */
	bool job_tracked;
	int64_t completion_index, index_failures, index_ignored_failures;
};

struct pod_views;
struct pod_views *pod_views_create(struct informer *pods);
void pod_views_destroy(struct pod_views *v);
/* Valid until the next change of the pod; of one that has gone already, until the next call. */
const struct pod_view *pod_view(struct pod_views *v, const struct object *pod);
/* Ready for at least min_ready_s; else *ret_wait_ms (if not NULL) is the time that is missing, or
 * -1 when the pod is not ready. */
bool pod_view_available(
	const struct pod_view *p, int64_t min_ready_s, int64_t now_ns, int64_t *ret_wait_ms);

#include "server/scheduler/scheduler_metrics.h"

#include <inttypes.h>
#include <stdio.h>

#define FIRST_S 0.0001
#define PROFILE "profile=\"default-scheduler\""

static const char *const results[ATTEMPT_RESULTS] = {"scheduled", "unschedulable", "error"};

void durations_add(struct durations *d, int64_t ns)
{
	double s = (double)MAX(ns, 0) / 1e9, limit = FIRST_S;
	size_t n = 0;
	for (; n < DURATION_BUCKETS && s > limit; n++)
		limit *= 2;
	d->buckets[n]++;
	d->count++;
	d->sum_s += s;
}

static void write_one(
	struct buf *out, const char *name, const char *labels, const struct durations *d)
{
	uint64_t sum = 0;
	double limit = FIRST_S;
	const char *comma = labels[0] ? "," : "";
	for (size_t n = 0; n <= DURATION_BUCKETS; n++, limit *= 2) {
		char bound[32] = "+Inf";
		if (n < DURATION_BUCKETS)
			snprintf(bound, sizeof(bound), "%g", limit);
		sum += d->buckets[n];
		buf_printf(out, "%s_bucket{%s%sle=\"%s\"} %" PRIu64 "\n", name, labels, comma,
			bound, sum);
	}
	buf_printf(out, "%s_sum{%s} %.9g\n%s_count{%s} %" PRIu64 "\n", name, labels, d->sum_s, name,
		labels, d->count);
}

static void head(struct buf *out, const char *name, const char *type, const char *help)
{
	buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void write_pending(struct buf *out, const struct pending_counts *p)
{
	head(out, "scheduler_pending_pods", "gauge", "Workloads that wait, by queue.");
	buf_printf(out,
		"scheduler_pending_pods{queue=\"active\"} %zu\n"
		"scheduler_pending_pods{queue=\"backoff\"} %zu\n"
		"scheduler_pending_pods{queue=\"unschedulable\"} %zu\n"
		"scheduler_pending_pods{queue=\"gated\"} %zu\n",
		p->active, p->backoff, p->unschedulable, p->gated);
}

void scheduler_metrics_write(
	const struct scheduler_metrics *m, const struct pending_counts *pending, struct buf *out)
{
	head(out, "scheduler_schedule_attempts_total", "counter",
		"Attempts to schedule workloads, by result.");
	for (size_t n = 0; n < ATTEMPT_RESULTS; n++)
		buf_printf(out,
			"scheduler_schedule_attempts_total{" PROFILE ",result=\"%s\"} %" PRIu64
			"\n",
			results[n], m->attempts[n]);
	write_pending(out, pending);
	head(out, "scheduler_scheduling_algorithm_duration_seconds", "histogram",
		"Time to find a node.");
	write_one(out, "scheduler_scheduling_algorithm_duration_seconds", "", &m->algorithm);
	head(out, "scheduler_scheduling_attempt_duration_seconds", "histogram",
		"Time of an attempt, with the binding.");
	for (size_t n = 0; n < ATTEMPT_RESULTS; n++) {
		char labels[80];
		snprintf(labels, sizeof(labels), PROFILE ",result=\"%s\"", results[n]);
		write_one(out, "scheduler_scheduling_attempt_duration_seconds", labels,
			&m->attempt[n]);
	}
	head(out, "scheduler_pod_scheduling_sli_duration_seconds", "histogram",
		"Time from when a workload was first seen until it was bound.");
	write_one(out, "scheduler_pod_scheduling_sli_duration_seconds", "", &m->waited);
	head(out, "scheduler_preemption_attempts_total", "counter",
		"Attempts to make room by preemption.");
	buf_printf(out, "scheduler_preemption_attempts_total %" PRIu64 "\n", m->preemptions);
	head(out, "scheduler_preemption_victims", "counter", "Workloads that were preempted.");
	buf_printf(out, "scheduler_preemption_victims %" PRIu64 "\n", m->victims);
}

/* scheduler_metrics.h - figures about scheduling, in the text form that Prometheus reads and under
 * upstream's names. */
#pragma once

#include "lib/base/buf.h"

enum attempt_result { ATTEMPT_SCHEDULED, ATTEMPT_UNSCHEDULABLE, ATTEMPT_ERROR, ATTEMPT_RESULTS };

#define DURATION_BUCKETS 20

struct durations {
	uint64_t buckets[DURATION_BUCKETS + 1]; /* 0.1 ms doubling; the last is the rest */
	uint64_t count;
	double sum_s;
};

struct scheduler_metrics {
	uint64_t attempts[ATTEMPT_RESULTS];
	struct durations algorithm;		   /* looking for a node */
	struct durations attempt[ATTEMPT_RESULTS]; /* until the answer, with the binding */
	struct durations waited;		   /* from first sight to bound */
	uint64_t preemptions, victims;
};

struct pending_counts {
	size_t active, backoff, unschedulable, gated;
};

void durations_add(struct durations *d, int64_t ns);
void scheduler_metrics_write(
	const struct scheduler_metrics *m, const struct pending_counts *pending, struct buf *out);

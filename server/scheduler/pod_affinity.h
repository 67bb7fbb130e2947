/* pod_affinity.h - affinity and anti-affinity among workloads within a pass: its own terms, and
 * those that workloads on nodes have about it. */
#pragma once

#include "server/scheduler/snapshot.h"

struct pass;

/* Pods by value of a label. */
struct affinity_sum {
	const struct column *column;
	int32_t *sum;
	const struct pod_term *term; /* NULL: of many */
};

struct affinity_pass {
	struct affinity_sum *with, *without; /* as many as the workload has terms */
	struct affinity_sum *refusing;	     /* terms of others, by label */
	size_t refusing_count, refusing_room;
	int64_t with_total;  /* pods anywhere that match all terms */
	bool matches_itself; /* it is the first of those that want to be together */
	bool active;
};

void affinity_begin(struct pass *p);
uint32_t affinity_check(struct pass *p, uint32_t slot);
void affinity_account(struct pass *p, const struct assigned *as, int sign);
void affinity_score(
	struct pass *p, const uint32_t *slots, size_t count, int64_t weight, int64_t *scores);

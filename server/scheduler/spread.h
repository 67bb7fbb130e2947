/* spread.h - pod topology spread constraints within a pass. */
#pragma once

#include "server/scheduler/snapshot.h"

struct pass;

struct spread_test {
	const struct spread *constraint;
	const struct column *column;
	const struct counter *counter;
	int32_t *sum; /* by value of the label: pods on nodes that count; -1 = no such node */
	size_t value_count;
	int64_t least;
	bool stale; /* least must be found anew */
};

struct spread_pass {
	struct spread_test *tests; /* the required ones */
	size_t count;
};

void spread_begin(struct pass *p);
uint32_t spread_check(struct pass *p, uint32_t slot);
void spread_account(struct pass *p, const struct assigned *as, int sign);
/* Adds weight times 0 to 100 to each score. */
void spread_score(
	struct pass *p, const uint32_t *slots, size_t count, int64_t weight, int64_t *scores);

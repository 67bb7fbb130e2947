/* index_set.h - sets of completion indexes, as an Indexed job's status and rules write them:
 * "0,2-4" (batch/v1 JobStatus.completedIndexes, failedIndexes, SuccessPolicyRule.succeededIndexes).
 *
 * Sets are values in an arena and never change. */
#pragma once

#include "lib/base/arena.h"

struct index_range {
	int64_t first, last;
};

struct index_set {
	const struct index_range *ranges; /* rising, with a gap between any two */
	size_t count;			  /* of ranges */
};

/* What can't be read is left out, and so is what is not below `below`. NULL is the empty set. */
struct index_set index_set_parse(struct arena *a, const char *text, int64_t below);
struct index_set index_set_of(struct arena *a, int64_t *indexes, size_t count); /* sorts them */
struct index_set index_set_union(struct arena *a, struct index_set x, struct index_set y);
/* Two neighbours are written "3,4", three "3-5". */
char *index_set_text(struct arena *a, struct index_set s);
int64_t index_set_size(struct index_set s);
int64_t index_set_common(struct index_set x, struct index_set y); /* size of the intersection */
bool index_set_has(struct index_set s, int64_t index);
/* The lowest indexes below `below` that are not in the set, at most `most` of them. */
size_t index_set_missing(struct index_set s, int64_t below, size_t most, int64_t *ret);

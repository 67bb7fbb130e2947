/* samples.h - the latest figures of all nodes, and the rates between the two latest: what
 * metrics.k8s.io tells. Pure: time comes in. */
#pragma once

#include "server/usage/exposition.h"

struct usage_samples;
struct usage_samples *usage_samples_create(void);
void usage_samples_destroy(struct usage_samples *s); /* NULL allowed */

/* What a node told at now_ns (monotonic); takes *f over, whatever it was. */
void usage_samples_put(
	struct usage_samples *s, const char *node, struct figures *f, int64_t now_ns);
/* Forgets nodes that told nothing since before_ns. */
void usage_samples_expire(struct usage_samples *s, int64_t before_ns);

struct usage_rate {
	const char *container;	 /* "" unless a container's */
	uint64_t cpu_nano_cores; /* billionths of a CPU, over the window */
	uint64_t memory_bytes;
	int64_t time_ns;   /* wall clock of the node: the window's end */
	int64_t window_ns; /* > 0 */
};
/* What `owner` uses, by container for a pod. 0: it is not known (yet: a rate takes two tellings).
 * A container that has no rate yet makes its whole pod unknown. In the arena. */
size_t usage_samples_get(const struct usage_samples *s, const char *node, enum figure_type type,
	const char *ns, const char *owner, struct arena *a, struct usage_rate **ret);

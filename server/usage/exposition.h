/* exposition.h - reads the figures of /metrics/resource (Prometheus text exposition format 0.0.4)
 * that say what a node, its containers and its virtual machines use. Other lines are passed over.
 * The text comes from another machine: what is no such text is refused, sizes are bounded. */
#pragma once

#include "lib/base/arena.h"
#include "lib/base/err.h"

enum figure_type { FIGURE_NODE, FIGURE_CONTAINER, FIGURE_MACHINE };

struct figure {
	enum figure_type type;
	const char *ns, *owner; /* pod or virtual machine instance; "" for the node */
	const char *container;	/* "" unless a container */
	uint64_t cpu_ns;	/* used since it started */
	uint64_t memory_bytes;	/* in use now */
	int64_t time_ns;	/* of the CPU figure, by the node's wall clock */
	bool has_cpu, has_memory;
};

#define FIGURES_MAX 20000u /* of one node */

struct figures {
	struct arena arena;
	struct figure *items; /* by figure_compare; each once */
	size_t count;
};

/* Lines without a time of their own are of `now_ns`. -EBADMSG with the line's number, -E2BIG.
 * figures_finish frees; on failure nothing is to be freed. */
int figures_parse(const char *text, size_t size, int64_t now_ns, struct figures *ret,
	struct err *err) _must_check_;
void figures_finish(struct figures *f);
int figure_compare(const struct figure *a, const struct figure *b); /* type, ns, owner, container */

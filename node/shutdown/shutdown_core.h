/* shutdown_core.h - a node that is being shut down ends its pods in groups, the less important ones
 * first, each within its part of the time. Pure; times are monotonic nanoseconds.
 *
 *            the host is about to go down          last group over, or its time
 *   HOLDING ------------------------------> ENDING ----------------------------> ENDED
 *      ^                                      |                                    |
 *      +--------------------------------------+------------------------------------+
 *                              the shutdown was called off
 *
 * HOLDING and ENDING keep the host up (an inhibitor lock); ENDED has let go of it. */
#pragma once

#include "lib/base/clock.h"
#include "lib/base/sm.h"
#include "node/node_config.h"

/* Pods of at least this priority, and less than the next group's; the first has all below too. */
struct shutdown_group {
	int64_t priority, grace_s;
};
/* By priority as configured, else regular pods and critical ones (priority 2000000000). In
 * ascending order; 0 = there is no graceful shutdown. Needs room for SHUTDOWN_GROUPS_MAX. */
#define SHUTDOWN_GROUPS_MAX 64
size_t shutdown_groups(const struct node_config *config, struct shutdown_group *ret);
size_t shutdown_group_of(const struct shutdown_group *groups, size_t count, int64_t priority);
/* All of the time together. */
int64_t shutdown_total_s(const struct shutdown_group *groups, size_t count);

enum shutdown_state { SHUTDOWN_HOLDING, SHUTDOWN_ENDING, SHUTDOWN_ENDED };

struct shutdown_core {
	struct sm sm;
	const struct shutdown_group *groups;
	size_t count, at; /* ENDING: the group whose turn it is */
	bool told;	  /* its pods have been told */
	int64_t until_ns; /* its time */
};

enum shutdown_action {
	SHUTDOWN_WAIT,
	SHUTDOWN_END_GROUP, /* tell the pods of group `at` */
	SHUTDOWN_LET_GO,    /* of the host */
};
struct shutdown_step {
	enum shutdown_action action;
	int64_t wake_ns; /* ask again then at the latest; INT64_MAX = no need */
};

void shutdown_core_init(
	struct shutdown_core *c, const struct shutdown_group *groups, size_t count, int64_t now_ns);
/* The host is about to go down, or not any more. */
void shutdown_core_prepare(struct shutdown_core *c, bool going_down, int64_t now_ns);
/* What is next; left: something of the groups up to `at` (with the last one: anything) still runs.
 */
struct shutdown_step shutdown_core_next(struct shutdown_core *c, bool left, int64_t now_ns);

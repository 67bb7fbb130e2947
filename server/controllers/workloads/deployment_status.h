/* deployment_status.h - a Deployment's status from its ReplicaSets: counts and the conditions
 * Available, Progressing and ReplicaFailure. Pure: `now` is passed in. Inside the deployment loop
 * only. */
#pragma once

#include "server/controllers/workloads/deployment_sets.h"

struct deployment_view {
	const struct object *object;
	const struct json *doc;
	const struct rollout_limits *limits;
	const struct deployment_set *new_set; /* NULL = none yet */
	const struct deployment_set *sets;    /* all */
	size_t count;
	int64_t collisions; /* status.collisionCount */
	/* What happened in this sync, for Progressing; reason NULL = nothing. */
	const char *progress_status, *progress_reason, *progress_message;
	bool paused;
};

/* The status' members (null = absent). *ret_check_ms: when the progress deadline should be looked
 * at again, or -1. */
struct json *deployment_status(
	struct arena *a, const struct deployment_view *d, int64_t now_ns, int64_t *ret_check_ms);
/* All replicas are updated and available, none of the old are left. */
bool deployment_complete(const struct json *doc, const struct json *status);

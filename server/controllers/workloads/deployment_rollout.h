/* deployment_rollout.h - the arithmetic of rolling a Deployment from its old ReplicaSets to the new
 * one. Pure: sizes in, sizes out. (Kubernetes: "Deployments", sections on rolling update and
 * proportional scaling.) */
#pragma once

#include "lib/json/json.h"

struct rollout_set {
	const char *name;
	int64_t replicas;     /* spec.replicas */
	int64_t available;    /* status.availableReplicas */
	int64_t max_replicas; /* annotation max-replicas when it was last sized; 0 = none */
	int64_t created_ns;   /* wall */
	int64_t target;	      /* out: what spec.replicas should be */
};

struct rollout_limits {
	int64_t replicas;    /* wanted in all */
	int64_t surge;	     /* so many more may exist for a while */
	int64_t unavailable; /* so many less may be available for a while */
};

/* maxSurge (rounded up) and maxUnavailable (rounded down) as numbers or percentages; NULL = 25%.
 * Both 0 makes unavailable 1; unavailable is at most replicas, and 0 when replicas is 0. */
struct rollout_limits rollout_limits(
	int64_t replicas, const struct json *max_surge, const struct json *max_unavailable);
/* The new set's next size, when all sets together (with the new one) have `total` replicas. */
int64_t rollout_grow_new(const struct rollout_limits *l, int64_t new_replicas, int64_t total);
/* Sets the targets of the old sets; `new` may be NULL. Returns how many replicas go. */
int64_t rollout_shrink_old(const struct rollout_limits *l, const struct rollout_set *new,
	struct rollout_set **olds, size_t count);
/* Spreads a change of size over all sets that have replicas, in proportion to their sizes.
 * status_replicas stands in for sets without the max-replicas annotation. */
void rollout_spread(const struct rollout_limits *l, int64_t status_replicas,
	struct rollout_set **sets, size_t count);

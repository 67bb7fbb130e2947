/* stateful_set_pods.h - a StatefulSet's pods and claims as documents. Pure. */
#pragma once

#include "server/controllers/workloads/stateful_set_plan.h"

#define POD_NAME_LABEL "statefulset.kubernetes.io/pod-name"
#define POD_INDEX_LABEL "apps.kubernetes.io/pod-index"

/* By a revision's template and the set's claim templates. */
struct json *stateful_new_pod(struct arena *a, const struct object *set, const struct json *doc,
	const struct json *template, const char *revision, int64_t ordinal);
/* A patch that gives a pod that was adopted the labels of its place; NULL = it has them. */
struct json *stateful_identity_patch(struct arena *a, const struct object *pod, int64_t ordinal);
/* "TEMPLATE-SET-ORDINAL". */
char *stateful_claim_name(
	struct arena *a, const struct object *set, const struct json *claim, int64_t ordinal);
struct json *stateful_new_claim(struct arena *a, const struct object *set, const struct json *doc,
	const struct json *claim, int64_t ordinal);
/* The claim's owner references as they should be; NULL = they are. Those of others stay, and with a
 * controller among them the claim is none of the set's. */
struct json *stateful_claim_owners(struct arena *a, const struct object *claim,
	const struct object *set, const struct object *pod, enum claim_keeper keeper);
/* The claim goes with a pod of that name that was there before: it can't serve the next one. */
bool stateful_claim_stale(const struct object *claim, const char *pod, const char *pod_uid);

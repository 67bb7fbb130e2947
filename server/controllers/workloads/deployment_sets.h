/* deployment_sets.h - a Deployment's ReplicaSets as one sync sees them, and the annotations that
 * tie them together. Inside the deployment loop only. */
#pragma once

#include "server/controllers/workloads/deployment_rollout.h"
#include "server/controllers/loop.h"

#define REVISION "deployment.kubernetes.io/revision"
#define REVISION_HISTORY "deployment.kubernetes.io/revision-history"
#define DESIRED_REPLICAS "deployment.kubernetes.io/desired-replicas"
#define MAX_REPLICAS "deployment.kubernetes.io/max-replicas"
#define TEMPLATE_HASH "pod-template-hash"

struct deployment_set {
	struct object *object;
	struct json *doc;
	struct rollout_set size;
	int64_t status_replicas, ready;
	int64_t revision;
	int64_t desired; /* annotation; -1 = none */
};

struct deployment_set deployment_set_read(struct arena *a, struct object *o);
/* The same template but for the hash label. */
bool deployment_template_equal(
	struct arena *a, const struct json *deployment, const struct json *set);
/* Of the template and the count of collisions so far, in the alphabet of generated names. */
char *deployment_template_hash(struct arena *a, const struct json *template, int64_t collisions);
/* The ReplicaSet to create: template, selector and labels with the hash, owner, annotations. */
struct json *deployment_new_set(struct arena *a, const struct object *deployment,
	const struct json *doc, const char *hash, int64_t replicas, int64_t revision,
	int64_t max_replicas);
/* Annotations that the new set should have, as a merge patch of metadata.annotations; NULL = it
 * has. */
struct json *deployment_set_annotations(struct arena *a, const struct json *doc,
	const struct deployment_set *set, int64_t revision, int64_t max_replicas);

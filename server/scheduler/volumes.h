/* volumes.h - persistent volumes and claims as the scheduler sees them, and what they demand of a
 * node within a pass. Pure. (Kubernetes: "Persistent Volumes", "Storage Classes: Volume Binding
 * Mode", "Node-specific Volume Limits".) */
#pragma once

#include "server/scheduler/snapshot.h"

struct pass;

#define VOLUME_SELECTED_NODE "volume.kubernetes.io/selected-node"

struct claim {
	struct arena arena;
	struct object *object;				   /* a reference */
	const char *key;				   /* "namespace/name" */
	const char *volume, *class, *mode, *selected_node; /* "" = none */
	unsigned access;				   /* bits by ACCESS_ */
	int64_t bytes;
	bool bound, lost, has_selector;
	struct selector selector;
};

struct volume {
	struct arena arena;
	struct object *object;
	const char *class, *mode;
	unsigned access;
	int64_t bytes;
	bool available;
	const char *claim, *claim_uid; /* "namespace/name" that it is for; "" = any */
	const struct node_term *terms; /* where it can be reached; one must match */
	size_t term_count;
	bool has_terms;
	char *assumed_claim; /* its key, NULL = none */
};

struct storage_class {
	struct arena arena;
	bool waits;	 /* WaitForFirstConsumer */
	bool provisions; /* else volumes must be there */
	const struct node_term *topologies;
	size_t topology_count;
};

enum { ACCESS_RWO = 1, ACCESS_ROX = 2, ACCESS_RWX = 4, ACCESS_RWOP = 8 };

struct volumes {
	struct table claims;  /* "namespace/name" -> claim */
	struct table volumes; /* name -> volume */
	struct table classes; /* name -> storage_class */
};

void volumes_finish(struct volumes *v);
/* New NULL: it is gone. */
void volumes_claim_changed(struct volumes *v, const struct object *old, const struct object *new);
void volumes_volume_changed(struct volumes *v, const struct object *old, const struct object *new);
void volumes_class_changed(struct volumes *v, const struct object *old, const struct object *new);

struct claim *volumes_claim(const struct volumes *v, const char *ns, const char *name);

/* Within a pass. */
struct bound_volume {
	const struct volume *volume; /* NULL: it is gone */
	struct node_test *terms;
	const struct volume_zone {
		const struct column *column;
		const char *values; /* one, or several with "__" between */
	} * zones;
	size_t zone_count;
};
/* A volume that would do for a claim, on nodes that reach it. */
struct volume_candidate {
	struct volume *volume;
	struct node_test *terms;
};
struct unbound_claim {
	struct claim *claim;
	struct volume_candidate *candidates; /* the best first */
	size_t candidate_count;
};
struct volume_pass {
	const struct volumes *volumes;
	struct bound_volume *bound;
	struct unbound_claim *unbound; /* that wait for a node */
	struct volume_choice *chosen;  /* for the node that is looked at */
	size_t bound_count, unbound_count;
	int64_t in_use; /* others that hold claims which only one may hold */
	bool active;
};
void volume_begin(struct pass *p, const struct volumes *v);
uint32_t volume_check(struct pass *p, uint32_t slot);
void volume_account(struct pass *p, const struct assigned *as, int sign);

/* What must be written so that the claims are bound on this node: for each a volume, or NULL when
 * one is to be made. After a pass in which the node passed; in the arena. */
struct volume_choice {
	struct claim *claim;
	struct volume *volume;
};
size_t volume_choose(struct pass *p, uint32_t slot, struct volume_choice **ret);

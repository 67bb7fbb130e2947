/* scheduler_core.h - the nodes in arrays, what is placed on them, and which one is best for a
 * workload. Pure: no clock, no I/O; randomness for ties is passed in.
 *
 * A workload is a pod or a virtual machine instance: both are requests, a node selector, required
 * node affinity, and tolerations. (Kubernetes: "Assigning Pods to Nodes", "Taints and Tolerations",
 * "Scheduler Configuration".) */
#pragma once

#include "lib/base/random.h"
#include "lib/object/selector.h"

enum taint_effect { TAINT_NO_SCHEDULE, TAINT_PREFER_NO_SCHEDULE, TAINT_NO_EXECUTE, TAINT_ANY };

struct taint {
	const char *key, *value;
	enum taint_effect effect;
};

struct toleration {
	const char *key;   /* "" with exists = any */
	const char *value; /* compared unless exists */
	bool exists;
	enum taint_effect effect; /* TAINT_ANY = all effects */
};

struct resources {
	int64_t milli_cpu, memory_bytes;
};

/* One term of node affinity: labels, and the node's name where matchFields says so. */
struct node_term {
	struct selector labels;
	struct selector fields; /* over metadata.name only */
	bool empty;		/* no requirement at all: matches nothing */
	int64_t weight;		/* of preferred terms */
};

/* A port of the node's own addresses. Two are in each other's way when port and protocol are the
 * same and the addresses are, or one of them is all addresses (""). */
struct host_port {
	char ip[46], protocol[8]; /* ip "" = all; protocol "TCP" "UDP" "SCTP" */
	int64_t port;
};

struct workload {
	struct resources request;
	struct resources scored;       /* request, with small amounts in place of none */
	const char *node_name;	       /* wanted by name; NULL = any */
	struct selector selector;      /* nodeSelector */
	const struct node_term *terms; /* required: one must match */
	size_t term_count;
	bool has_terms;
	const struct node_term *preferred;
	size_t preferred_count;
	const struct toleration *tolerations;
	size_t toleration_count;
	const struct host_port *ports;
	size_t port_count;
};

struct core_node {
	const char *name;
	struct resources allocatable;
	int64_t pods; /* so many workloads may be there */
	bool unschedulable;
	const struct object_label *labels; /* sorted by key */
	size_t label_count;
	const struct taint *taints;
	size_t taint_count;
};

struct scheduler_core;
struct scheduler_core *core_create(void);
void core_destroy(struct scheduler_core *c);
/* Adds or changes a node (copied). True when it may now take what it could not before. */
bool core_node_set(struct scheduler_core *c, const struct core_node *n);
void core_node_remove(struct scheduler_core *c, const char *name);
size_t core_node_count(const struct scheduler_core *c);

/* Accounts a workload on a node, which need not be known yet. Again for the same uid: moves it. */
void core_assign(
	struct scheduler_core *c, const char *uid, const char *node, const struct workload *w);
/* False when it was not assigned. */
bool core_unassign(struct scheduler_core *c, const char *uid);
bool core_assigned(const struct scheduler_core *c, const char *uid);

/* The best node's name (valid until nodes change), or NULL with the reasons in *ret_message (in the
 * arena): "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) were unschedulable." */
const char *core_place(struct scheduler_core *c, const struct workload *w, struct random *random,
	struct arena *a, const char **ret_message);
bool core_tolerates(const struct workload *w, const struct taint *t);

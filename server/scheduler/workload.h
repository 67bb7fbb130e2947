/* workload.h - the scheduler's view of a pod or a virtual machine instance: what it asks for, in
 * plain numbers, selectors and names. Made from a document once for each state of the object,
 * shared by the queue and the snapshot. Pure.
 *
 * (Kubernetes: "Assigning Pods to Nodes", "Taints and Tolerations", "Resource Management for Pods
 * and Containers", "Pod Topology Spread Constraints", "Pod Priority and Preemption".) */
#pragma once

#include "lib/object/selector.h"

#define DEFAULT_SCHEDULER "default-scheduler"

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

enum { CPU, MEMORY, STORAGE, RESOURCES }; /* thousandths of a CPU, bytes, bytes */

struct extended {
	const char *name; /* "hugepages-2Mi", "example.com/gpu" */
	int64_t amount;
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

/* Which pods: by their namespaces (by name, or by the namespace's labels) and their labels. */
struct pod_matcher {
	const char *key; /* canonical text: the same key, the same pods */
	const char **namespaces;
	size_t namespace_count;
	bool by_namespace_labels; /* also those that namespace_labels matches */
	struct selector namespace_labels;
	struct selector labels;
};

/* A term of affinity to other pods: nodes count as one where they have the same value of a label.
 */
struct pod_term {
	struct pod_matcher pods;
	const char *topology_key;
	int64_t weight;	 /* preferred: positive for affinity, negative for anti-affinity */
	const char *key; /* canonical text of all of this */
};

struct spread {
	struct pod_matcher pods;
	const char *topology_key;
	int64_t max_skew, min_domains;
	bool required;	     /* DoNotSchedule */
	bool every_node;     /* nodeAffinityPolicy Ignore: nodes that it cannot go to count too */
	bool skip_tainted;   /* nodeTaintsPolicy Honor */
	bool matches_itself; /* the workload is one of the pods that are counted */
};

/* A persistent volume claim in the workload's namespace. */
struct workload_claim {
	const char *name;
	bool ephemeral; /* somebody makes it for the workload */
};

struct workload {
	unsigned refs;
	struct arena arena;
	struct object *object; /* newest state known; a reference */
	/* Of the object: they live as long as it does. */
	const char *ns, *name, *uid;
	const struct object_label *labels; /* sorted by key */
	size_t label_count;

	int64_t request[RESOURCES];
	int64_t scored[2]; /* CPU and MEMORY with small amounts in place of none */
	const struct extended *extended;
	size_t extended_count;
	bool asks_for_something; /* else a free place for a pod is all it takes */

	int64_t priority;
	bool never_preempts;   /* preemptionPolicy Never */
	bool terminating;      /* has a deletionTimestamp */
	int64_t started_ns;    /* status.startTime, wall; 0 = not yet */
	const char *nominated; /* status.nominatedNodeName; NULL = none */
	bool gated;	       /* has scheduling gates */

	const char *node_name;	       /* wanted by name; NULL = any */
	struct selector selector;      /* nodeSelector */
	const struct node_term *terms; /* required: one must match */
	size_t term_count;
	bool has_terms;
	const struct node_term *preferred;
	size_t preferred_count;
	const struct toleration *tolerations;
	size_t toleration_count;
	struct host_port *ports;
	size_t port_count;
	const char **images; /* of containers and init containers, with a tag */
	size_t image_count;
	const struct pod_term *affinity, *anti_affinity, *preferred_pods;
	size_t affinity_count, anti_affinity_count, preferred_pods_count;
	const struct spread *spreads;
	size_t spread_count;
	bool spreads_by_default; /* they are the profile's, not the workload's own */
	struct workload_claim *claims;
	size_t claim_count;
};

/* From any pod or virtual machine instance. The caller has the only reference. */
struct workload *workload_create(struct object *o);
struct workload *workload_ref(struct workload *w);
void workload_unref(struct workload *w); /* NULL allowed */
/* A newer state of the same object in which nothing has changed that the scheduler looks at. */
void workload_renew(struct workload *w, struct object *o);

/* Spreads a workload that asks for no spreading itself over hosts and zones, among the pods of its
 * namespace that `pods` selects; none when that has no requirement. May be repeated. */
void workload_spread_by_default(struct workload *w, const struct selector *pods);

bool workload_tolerates(const struct workload *w, const struct taint *t);
bool pod_matcher_matches(const struct pod_matcher *m, const struct workload *w,
	const struct object_label *namespace_labels, size_t namespace_label_count);

const struct node_term *node_terms_read(
	struct arena *a, const struct json *list, size_t *ret_count);

/* Parts of workload_create, each in a file of its own. */
void workload_pod_requests(struct workload *w, const struct json *spec);
void workload_instance_requests(struct workload *w, const struct json *spec);
void workload_read_affinity(struct workload *w, const struct json *spec);
int64_t workload_bounded_amount(int64_t amount);

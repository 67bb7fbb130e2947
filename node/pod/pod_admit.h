/* pod_admit.h - whether a pod that the API put on this node fits it, asked once before anything of
 * it runs. What is admitted stays so, whatever becomes of the node. Pure; reasons and messages are
 * Kubernetes'. */
#pragma once

#include "lib/base/vec.h"
#include "lib/object/object.h"
#include "node/pod/pod_resources.h"

/* What a pod asks for, kept while it is here so that its document need not be read for each
 * newcomer. */
struct pod_ask {
	VEC(struct pod_amount {
		char *resource;
		int64_t amount; /* milli of "cpu", units of others */
	})
	amounts;
	VEC(struct pod_host_port {
		char protocol[5]; /* TCP, UDP, SCTP */
		char *ip;	  /* "" = all addresses */
		int64_t port;
	})
	ports;
	int64_t priority;
	enum pod_qos qos;
	bool critical;
};
struct pod_ask *pod_ask_make(const struct json *pod);
void pod_ask_destroy(struct pod_ask *a); /* NULL allowed */

/* A pod that is here already and not over. */
struct pod_resident {
	const char *uid;
	const struct pod_ask *ask;
};

struct pod_verdict {
	bool admitted;
	const char *reason;   /* "OutOfcpu", "NodeAffinity", ... */
	char *message;	      /* in the arena, without the prefix "Pod was rejected: " */
	const char **victims; /* uids of those that must go first; only for critical pods */
	size_t victim_count;
};
/* node NULL: nothing is known of it, all are admitted. pod_doc is the pod's document. */
void pod_admit(struct arena *a, const struct object *node, const struct json *pod_doc,
	const struct pod_ask *ask, const struct pod_resident *others, size_t count,
	struct pod_verdict *ret);

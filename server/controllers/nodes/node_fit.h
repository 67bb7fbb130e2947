/* node_fit.h - which nodes a pod may be on by its node selector, its required node affinity and its
 * tolerations; what it asks for is the scheduler's business. Pure. (Kubernetes: "Assigning Pods to
 * Nodes", "Taints and Tolerations".) */
#pragma once

#include "lib/object/selector.h"

struct node_fit {
	const char *node_name;	  /* spec.nodeName; NULL = any */
	struct selector selector; /* nodeSelector */
	struct node_fit_term {
		struct selector labels, fields;
		bool empty; /* requires nothing: matches nothing */
	} * terms;
	size_t term_count;
	bool has_terms;
	const struct json *tolerations;
};

/* Texts are the spec's. */
struct node_fit node_fit_of(struct arena *a, const struct json *pod_spec);
bool node_fit_matches(const struct node_fit *f, const struct object *node);
/* All NoExecute taints and, unless running, all NoSchedule ones. */
bool node_fit_tolerates(const struct node_fit *f, const struct json *taints, bool running);

/* pod_spec.h - the parts of a pod's validation. Pods are made often: a check builds the path of a
 * field only when there is something to say about it. */
#pragma once

#include "lib/json/json_seen.h"
#include "server/api/hooks/workload.h"

/* What the checks of parts need to know of the whole. */
struct pod_check {
	struct hook *h;
	const struct json *spec;
	const char *at;			       /* of the spec */
	int64_t grace_period_s;		       /* terminationGracePeriodSeconds */
	bool host_users, host_network, is_pod; /* is_pod: not a template */
	const char *restart_policy;
	struct json_seen volumes, containers, init_containers, claims; /* by name */
};

void pod_containers_validate(const struct pod_check *p);
/* Variables, and where they come from. */
void pod_env_validate(const struct pod_check *p, const struct json *container, const char *at);
void pod_probes_validate(const struct pod_check *p, const struct json *container, const char *at);
void pod_security_validate(const struct pod_check *p);
void container_security_validate(
	const struct pod_check *p, const struct json *context, const char *at);
void pod_affinity_validate(struct hook *h, const struct json *affinity, const char *at);
void tolerations_validate(struct hook *h, const struct json *tolerations, const char *at);
void topology_spread_validate(struct hook *h, const struct json *constraints, const char *at);
void node_selector_requirements_validate(
	struct hook *h, const struct json *list, const char *at, bool with_values);

/* All of the above. `pod_name` is "" for templates. */
void pod_spec_check(
	struct hook *h, const struct json *spec, const char *at, bool is_pod, const char *pod_name);

/* Updates of a pod: the pod itself, its ephemeral containers, its resources (pod_update.c). */
void pod_validate_update(struct hook *h, const struct json *doc, const struct json *old);
/* Leaves of the new pod only what the subresource may change. */
void pod_keep_part(struct arena *a, const char *part, struct json *doc, const struct json *old);

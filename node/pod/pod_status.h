/* pod_status.h - a pod's status as Kubernetes words it, from what the agent knows. Pure. */
#pragma once

#include "node/pod/pod_model.h"

struct pod_status_input {
	const struct json *pod; /* the newest object: older conditions keep their times */
	const struct pod_view *view;
	const struct pod_container *containers;	  /* same order and count as in the view */
	enum pod_phase ended_phase;		  /* when view->ended */
	const char *ended_reason, *ended_message; /* NULL = none */
	const char *disruption;			  /* why the node ended it; NULL = it did not */
	const struct resize_state *resize;	  /* NULL = none */
	const char *host_ip6, *pod_ip6;		  /* second addresses; "" or NULL = none */
	const char *host_ip, *pod_ip;		  /* "" when unknown */
	bool refused;	  /* nothing of it ever ran here: there are no containers to tell of */
	int64_t start_ns; /* when the agent accepted the pod */
	int64_t now_ns;
};

/* The status document, in the arena. */
struct json *pod_status_make(struct arena *a, const struct pod_status_input *in);
/* The strategic merge patch that brings the object's status there; NULL when it is there already.
 */
struct json *pod_status_patch(struct arena *a, const struct json *pod, struct json *status);
/* Ready as the last call of pod_status_make for this container would say. */
bool pod_container_ready(const struct container_view *v, const struct pod_container *c);

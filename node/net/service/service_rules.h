/* service_rules.h - what a Service and its EndpointSlices mean on this node: which addresses and
 * ports there are (cluster IPs, node ports, load balancer's and external IPs), and which endpoints
 * each of them leads to (traffic policies, zones, endpoints that are about to end). Pure. */
#pragma once

#include "lib/json/json.h"
#include "node/net/service/service_map.h"

struct service_place {
	const char *node; /* name of this one */
	const char *zone; /* its label topology.kubernetes.io/zone; NULL = none */
	bool has[2];	  /* IPv4, IPv6 are offered */
};

/* A load balancer asks here whether this node has endpoints (healthCheckNodePort). */
struct service_health {
	uint16_t port; /* 0 = nobody asks */
	size_t local_endpoints;
};

/* `slices`: its EndpointSlices, `slice_count` of them. Everything in *ret is in the arena. A
 * service that is not ours to proxy has no fronts. */
void service_rules_build(struct arena *a, const struct json *service, struct json *const *slices,
	size_t slice_count, const struct service_place *place, struct service_desc *ret,
	struct service_health *ret_health);

/* service_health.h - answers load balancers that ask whether this node has endpoints of a service
 * (healthCheckNodePort of a LoadBalancer with externalTrafficPolicy Local): one small HTTP server a
 * service, as kube-proxy has it. */
#pragma once

#include <uv.h>

#include "node/net/service/service_rules.h"

struct service_healths;
struct service_healths *service_healths_create(uv_loop_t *loop);
void service_healths_destroy(struct service_healths *h); /* NULL allowed */
/* key: "namespace/name"; a port of 0 ends it. */
void service_health_set(
	struct service_healths *h, const char *key, const struct service_health *health);
/* Whether the rules that lead to the endpoints are in the kernel. */
void service_healths_proxy(struct service_healths *h, bool healthy);

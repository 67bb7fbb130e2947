/* services.h - keeps the kernel's service maps at what Services and EndpointSlices say: the watches
 * on one side, netd on the other, service_map.h between. */
#pragma once

#include "node/net/netd_client.h"
#include "node/node.h"

struct services;
struct services *services_create(struct node *n, struct netd_client *netd);
void services_destroy(struct services *s); /* NULL allowed */
/* This node's zone (NULL = none) and the families that it offers; every service is thought over
 * when that changes. */
void services_set_place(struct services *s, const char *zone, bool v4, bool v6);
/* netd is configured and knows no elements (fresh), or refused some: everything is sent once the
 * watches have their first lists. Until then the kernel keeps what an earlier agent left there. */
void services_resync(struct services *s);
/* The answer to an operations message. */
void services_result(struct services *s, uint32_t serial, int code, const char *text);

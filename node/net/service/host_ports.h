/* host_ports.h - ports of this node that lead to one pod or machine (hostPort; static PAT), as
 * elements of maps beside the services'. Each owner says the whole of its ports at once. */
#pragma once

#include "node/net/net.h"
#include "node/net/netd_client.h"

struct host_ports;
struct host_ports *host_ports_create(uv_loop_t *loop, struct netd_client *netd);
void host_ports_destroy(struct host_ports *h); /* the kernel's state stays; NULL allowed */
/* What `owner` has now; count 0 = none. A port that another owner has stays with that one until it
 * lets go, then the oldest of those that wait gets it; the log tells who waits. */
void host_ports_set(
	struct host_ports *h, const char *owner, const struct net_host_port *ports, size_t count);
/* All owners are known: until then the kernel keeps what an earlier agent left there. */
void host_ports_complete(struct host_ports *h);
void host_ports_offer(struct host_ports *h, bool v4, bool v6); /* families there are */
/* netd is configured and knows no elements, or refused some: everything is sent. */
void host_ports_resync(struct host_ports *h);
/* False when the serial is of another's message. */
bool host_ports_result(struct host_ports *h, uint32_t serial, int code, const char *text);
/* The ports of a pod (its containers' hostPort and the addresses in its status), for an owner
 * called by its uid. */
void host_ports_of_pod(struct host_ports *h, const struct object *old, const struct object *new);

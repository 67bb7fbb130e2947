/* networks.h - networks of this node beside that of the pods, as NetworkAttachmentDefinitions say
 * (net_config.h): bridges, their addresses, DHCP and rules are there while a guest is attached.
 *
 * Attaching is done at once and again does no harm; an agent that starts anew attaches what runs,
 * then says networks_complete, and bridges of ours that nobody uses go. Which those are is their
 * alias (`ip link` shows it): the kernel's state is the truth. */
#pragma once

#include "node/net/net.h"
#include "node/net/netd_client.h"
#include "node/net/service/host_ports.h"

struct links;
struct ports;

struct networks_config {
	struct node *node;
	struct links *links;
	struct netd_client *netd;
	struct host_ports *host_ports;
	struct ports *ports;
	const char *directory; /* of the agent's runtime files; made when needed */
};
struct networks;
struct networks *networks_create(const struct networks_config *c);
void networks_destroy(struct networks *n); /* the kernel's state stays; NULL allowed */

int networks_attach(struct networks *n, const struct net_attachment *a, struct net_attached *ret,
	struct err *err) _must_check_;
void networks_detach(struct networks *n, const char *uid, const char *const *keep, size_t count);
void networks_complete(struct networks *n);
/* Ranges that are somebody else's: pods, services. */
void networks_set_taken(struct networks *n, const struct net_range *taken, size_t count);

/* netd has no state any more; it can take everything. */
void networks_stale(struct networks *n);
void networks_resync(struct networks *n);
/* The answer to one of our messages; false: it is not ours. */
bool networks_result(struct networks *n, uint32_t serial, int code, const char *text);

/* net.h - the network of this node: the bridge hanok0 that containers and VMs share, addresses,
 * DHCP for VMs, routes to the other nodes, and services.
 *
 * Everything that needs rules in the kernel goes through `hanok netd` (netd.h), a process of its
 * own. State of the kernel is the truth: an agent that starts anew finds bridge, addresses and
 * rules, and only mends what differs. */
#pragma once

#include <net/if.h>

#include "node/net/address.h"
#include "node/net/dhcp.h"
#include "node/node.h"

#define NET_BRIDGE "hanok0"

/* Starts netd and, once the pod range is known, bridge, DHCP and service rules. Problems of the
 * host are reported with node_report(n, "network", ...) and tried again. n->pod_cidr may still be
 * "". */
int net_create(struct node *n, struct node_net **ret, struct err *err) _must_check_;
void net_destroy(struct node_net *net); /* the kernel's state stays; NULL allowed */
/* Whether node->service_cidr may be this. */
bool net_service_ranges_ok(const char *text);
/* "10.244.0.0/24"; at most one change from "" to a value in the life of the agent. */
void net_set_pod_cidr(struct node_net *net, const char *cidr);

/* An address for a VM from the range that pods use too (CNI host-local), and its DHCP entry. `id`
 * is the VMI's uid and interface ("UID-0"): asking again gives the same address. `wanted` (may be
 * NULL or "") is given if it is free; what `machine` (NAMESPACE_NAME; NULL) kept comes before.
 * `runs`: the guest does already. `mac` like
 * "52:54:00:12:34:56"; `hostname` may be NULL. done is called later, once; address is "" on
 * failure. */
struct net_lease {
	const char *address; /* "10.244.0.7" */
	unsigned prefix;     /* 24 */
	const char *gateway; /* "10.244.0.1" */
};
typedef void net_lease_done(void *user, const struct net_lease *lease, const struct err *err);
struct net_call;
/* A port of the bridge came (a VM's tap): lets its owner reach itself through a service. CNI does
 * it for pods. */
void net_ports_changed(struct node_net *net);
struct net_call *net_lease_add(struct node_net *net, const char *id, const char *machine,
	const char *wanted, const char *mac, const char *hostname,
	const struct dhcp_resolvers *resolvers, bool runs, net_lease_done *done, void *user);
/* Gives the address back; with `keep` it stays with that machine (NAMESPACE_NAME) until it is
 * asked for by net_lease_add, or dropped (vm/vm_addresses.h). done may be NULL. */
struct net_call *net_lease_remove(
	struct node_net *net, const char *id, const char *keep, net_lease_done *done, void *user);
void net_call_cancel(struct net_call *c); /* done is not called; the work itself still ends */

/* A guest's interface on another network of the node than that of the pods (networks/networks.h).
 */
struct net_attachment {
	const char *uid;       /* of the VMI */
	const char *owner;     /* what keeps the address: namespace and name of the machine */
	const char *interface; /* its name in the VMI */
	const char *namespace, *network; /* of the NetworkAttachmentDefinition */
	const char *mac, *hostname;	 /* hostname may be NULL */
};
struct net_attached {
	char bridge[IFNAMSIZ], tap[IFNAMSIZ];
	char address[NET_ADDRESS_TEXT]; /* "" = the node gives none there */
	unsigned mtu;			/* 0 = the bridge's own */
};
/* The network is there and knows the guest; again is harmless. -EAGAIN while the networks are not
 * known yet, -ENOENT when there is no such one. */
int net_attach(struct node_net *net, const struct net_attachment *a, struct net_attached *ret,
	struct err *err) _must_check_;
/* From all of them, but for the interfaces named in `keep` (may be NULL with count 0). */
void net_detach(struct node_net *net, const char *uid, const char *const *keep, size_t count);
/* All machines that run were told: what no guest uses may go. */
void net_attachments_complete(struct node_net *net);

/* Servers that trust this node by its address (netd/server_rules.h): pods and machines don't reach
 * them through it. In place of all earlier ones; `whole` false: some are not known yet, so those
 * that the kernel has stay. Until the first call it keeps what it has. */
struct netd_server;
void net_trusting_set(
	struct node_net *net, const struct netd_server *list, size_t count, bool whole);

/* A port of this node that leads to a pod or a machine (static PAT). Loopback addresses of the node
 * are left out. */
struct net_host_port {
	struct net_address
		address; /* of this node; unspecified = all; the family is that of `to` */
	struct net_address to;
	uint8_t proto; /* IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP */
	uint16_t port, to_port;
};
/* Where users' URLs are fetched (import_net.h). */
struct import_net;
struct import_net *net_imports(struct node_net *net);
/* All ports of `owner` (a uid); count 0 when it is gone. Records are compared as memory: made with
 * an initializer. After a start of the agent the kernel keeps what it has until all owners were
 * told and net_pods_listed was called. */
void net_host_ports_set(
	struct node_net *net, const char *owner, const struct net_host_port *ports, size_t count);
/* From the watch of this node's pods: their hostPorts follow, and network policies. */
void net_pod_changed(struct node_net *net, const struct object *old, const struct object *new);
/* The same of a static pod's mirror: policies know the pod itself, as policies_changed was told. */
void net_mirror_changed(struct node_net *net, const struct object *old, const struct object *new);
void net_pods_listed(struct node_net *net);

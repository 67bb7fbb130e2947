/* policies.h - keeps the kernel's network policies at what the API says: the watches on one side,
 * netd on the other, policy_map.h between.
 *
 * Pods and machines of this node are told by their managers. Those of other nodes, and namespaces,
 * are watched only while some policy that applies here asks for them, and kept as digests.
 *
 * A new pod's address is judged before anything of the pod runs: see policies_admit. */
#pragma once

#include "node/net/netd_client.h"
#include "node/net/policy/policy_map.h"
#include "node/net/ports.h"
#include "node/node.h"

struct policies;
struct policies *policies_create(struct node *n, struct netd_client *netd);
void policies_destroy(struct policies *p); /* NULL allowed */
/* For ports of other bridges. */
struct ports *policies_ports(struct policies *p);

/* netd has no state any more: nothing is sent until policies_resync. What the kernel has stays. */
void policies_stale(struct policies *p);
/* netd can take everything; ranges: of this node's pods. */
void policies_resync(struct policies *p, const struct net_range *ranges, size_t count);
/* Where the cluster's DNS answers: on each node, at the first address of its ranges. Each counts as
 * a pod of kube-system with the label k8s-app=kube-dns. */
void policies_set_dns(struct policies *p, const struct net_address *addresses, size_t count);
/* The answer to one of our messages; false: it is not ours. */
bool policies_result(struct policies *p, uint32_t serial, int code, const char *text);

/* A Pod or VirtualMachineInstance of this node changed. new NULL: it has no object any more, but
 * stays isolated until policies_ended. */
void policies_changed(struct policies *p, const struct object *old, const struct object *new);
/* Nothing of it runs. */
void policies_ended(struct policies *p, const char *uid);
/* All of them were told. */
void policies_listed(struct policies *p, bool machines);

/* The pod has these addresses, and this port of the bridge (NULL: it is not known), which is kept
 * to them from now on. done is called later, once, when the kernel has the rules for them; or with
 * why it has not after some seconds, while it is still tried. done NULL: nobody waits. */
struct policy_admission;
typedef void policy_admitted(void *user, const struct err *err);
struct policy_admission *policies_admit(struct policies *p, const char *uid,
	const struct net_port *port, const struct net_address *addresses, size_t count,
	policy_admitted *done, void *user);
void policies_admit_cancel(struct policy_admission *a); /* NULL allowed */

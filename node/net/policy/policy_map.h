/* policy_map.h - what the kernel should have for network policies, and the operations that bring it
 * there when something changes. Pure: no kernel, no API.
 *
 * Only policies that select a pod of this node are compiled: each has a chain for each direction
 * that it isolates. Pods of this node that the same policies select share a chain that jumps to
 * theirs and ends in a drop. Peers are sets, shared by all rules with the same selectors, so that a
 * pod's coming or going is an element in each set that it is in.
 *
 * Each call below leaves the operations of that one change in *ops (appended; to be sent as one
 * transaction, in order), and nothing when nothing changes for the kernel. "Pods" are virtual
 * machines too. */
#pragma once

#include "lib/object/object.h"
#include "node/net/policy/policy_rules.h"

#define POLICY_POD_ADDRESSES_MAX 16

struct policy_pod {
	const char *uid, *ns;
	const struct object_label *labels; /* sorted by key */
	size_t label_count;
	const struct net_address *addresses;
	size_t address_count; /* at most POLICY_POD_ADDRESSES_MAX */
	const struct policy_port_name *ports;
	size_t port_count;
	bool local; /* on this node: may be isolated */
	bool gone;  /* nobody's peer any more; while it is kept, its addresses stay isolated */
};

struct policy_map;
struct policy_map *policy_map_create(void);
/* Before policy_map_all, if ever. bridge: see NETD_POLICY_RESET. group, up to 8 ranges: addresses
 * for many, and those that everybody has, which pass from port to port without any pod's address in
 * them. */
void policy_map_set_host(
	struct policy_map *m, bool bridge, const struct policy_range *group, size_t group_count);
/* Likewise: up to 4 addresses at which this node itself answers for the cluster's DNS. */
void policy_map_set_own(struct policy_map *m, const struct net_address *own, size_t count);
/* Until it is released the map only takes note: with first lists that come object by object each
 * policy would be compared with all others for each pod that it selects. */
void policy_map_hold(struct policy_map *m);
void policy_map_release(struct policy_map *m, netd_policy_ops *ops);
void policy_map_destroy(struct policy_map *m); /* NULL allowed */

/* labels NULL: the namespace is gone. */
void policy_map_set_namespace(struct policy_map *m, const char *name,
	const struct object_label *labels, size_t count, netd_policy_ops *ops);
/* Everything is copied. Of several pods with one address the one that was last said to have it
 * counts, and one of this node before any other. */
void policy_map_set_pod(struct policy_map *m, const struct policy_pod *pod, netd_policy_ops *ops);
void policy_map_remove_pod(struct policy_map *m, const char *uid, netd_policy_ops *ops);
/* The policy becomes the map's; NULL = it is gone. */
void policy_map_set_policy(struct policy_map *m, const char *ns, const char *name,
	struct policy *policy, netd_policy_ops *ops);
/* Everything, in place of whatever is there. */
void policy_map_all(struct policy_map *m, netd_policy_ops *ops);

/* It selects a pod of this node. */
bool policy_map_applies(const struct policy_map *m, const char *ns, const char *name);
/* Some rule asks for pods of other nodes, or for labels of namespaces. */
bool policy_map_needs_pods(const struct policy_map *m);
bool policy_map_needs_namespaces(const struct policy_map *m);

struct policy_map_counts {
	size_t policies, compiled; /* known; that select a pod here */
	size_t pods, isolated;	   /* known; addresses in either direction */
	size_t sets, chains;
};
struct policy_map_counts policy_map_count(const struct policy_map *m);

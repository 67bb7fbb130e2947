/* resources.h - the control groups of this node's pods:
 *
 *   kubepods                 what pods may have in all (allocatable.h: enforced)
 *     podUID                 of class Guaranteed
 *     burstable/podUID       cpu: what these pods request together
 *     besteffort/podUID      cpu: what nobody else wants
 *
 * below node_config's cgroup_root, with the files of cgroup.h or, where systemd owns the tree, as
 * slices (slice.h). The runtime makes a container's group below its pod's. A pod's group is made
 * before its sandbox and removed after it. Where control groups can't be written pods run without,
 * in the runtime's own, and resources_unavailable() says why. */
#pragma once

#include "node/node.h"
#include "node/resources/allocatable.h"

struct resources;
/* Looks at the host; nothing is made before the driver is known. What node/node_facts.h knows of
 * the machine is given: cpu_milli, memory_bytes, ephemeral_bytes. */
struct resources *resources_create(struct node *n, const struct node_amounts *machine);
void resources_destroy(struct resources *r); /* NULL allowed; groups stay */

/* What the runtime makes its groups with; node_config's cgroup_driver goes before it. Called when
 * the runtime has said so, again after it was away. Makes kubepods and its classes. */
void resources_set_driver(struct resources *r, bool systemd);
/* The group of all pods has the limits that the configuration wants enforced. */
bool resources_enforcing(const struct resources *r);
bool resources_driver_known(const struct resources *r);
/* NULL = control groups are in use. */
const char *resources_unavailable(const struct resources *r);

/* The pod's group, made and given its values, or given new ones. done is called later, once; err
 * NULL = it is there. Without control groups it is called just the same. */
struct resources_call;
struct resources_call *resources_pod_cgroup_make(struct resources *r, const struct json *pod,
	void (*done)(void *user, const struct err *err), void *user);
void resources_call_cancel(struct resources_call *c); /* NULL allowed */
/* For PodSandboxConfig.linux.cgroup_parent; "" = the runtime's own. In the arena. */
const char *resources_pod_cgroup_parent(
	struct resources *r, struct arena *a, const struct json *pod);
/* In-place resize: the pod's limits are now these. Before its containers get more, and after they
 * got less. */
int resources_pod_cgroup_update(
	struct resources *r, const struct json *pod, struct err *err) _must_check_;
/* A pod that was found running counts among its class from now on. */
void resources_pod_adopt(struct resources *r, const struct json *pod);
/* Its group is removed in whatever class it is. A failure is logged: the next sweep finds it. */
void resources_pod_cgroup_remove(struct resources *r, const char *uid);
/* Removes the groups of pods that are not known and were not at the sweep before either: of a pod
 * whose processes took their time to go, or for which a runtime that was killed in the midst of a
 * start left somebody behind who went on with it. Nothing may be known too late by a sweep. */
void resources_sweep(struct resources *r, bool (*known)(void *user, const char *uid), void *user);

/* What the node has, what the scheduler may give away, and which huge pages there are. */
const struct node_amounts *resources_capacity(const struct resources *r);
const struct node_amounts *resources_allocatable(const struct resources *r);
const struct qos_rules *resources_rules(const struct resources *r);
const struct cgroup_tree *resources_cgroups(const struct resources *r);

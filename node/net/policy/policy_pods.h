/* policy_pods.h - what network policies ask of a Pod or a VirtualMachineInstance. Pure. */
#pragma once

#include "node/net/policy/policy_map.h"

/* False: policies are not about it (it has its node's network). Of an ended one `gone` is set. What
 * ret points to is in the arena or in o. A machine has the labels that KubeVirt gives the pod that
 * carries it, too: policies written for those select it. */
bool policy_pod_read(struct arena *a, const struct object *o, struct policy_pod *ret);
/* On which node it is; "" = none yet. In the arena. */
const char *policy_pod_node(struct arena *a, const struct object *o);
/* The object with nothing but what policy_pod_read and policy_pod_node look at: a tenth of it. */
struct object *policy_pod_digest(struct object *o);

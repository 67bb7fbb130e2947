/* machine_pod.h - what a VirtualMachineInstance is to Services and NetworkPolicies: in KubeVirt
 * they see the pod that carries it; here the instance itself counts as that pod. */
#pragma once

#include "lib/object/object.h"

/* On an instance: its grace period is that of the stop that was asked for, not its template's. */
#define MACHINE_STOP_GRACE_ANNOTATION "hanok.io/stop-grace"

/* The instance's labels and those that KubeVirt gives its pod: kubevirt.io=virt-launcher and
 * vm.kubevirt.io/name. Sorted by key, in the arena; texts are the object's. */
size_t machine_pod_labels(struct arena *a, const struct object *o, struct object_label **ret);
/* The address on the pod network, as its node gave it; "" = none. What else a guest says of its
 * addresses counts for nothing. */
const char *machine_pod_address(const struct json *vmi);

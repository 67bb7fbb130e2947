/* cluster_settings.h - what the cluster's KubeVirt object says about hosts: which devices may be
 * given to machines, and where equal pages are merged (KSM, told on the Node by the label
 * kubevirt.io/ksm-enabled and the annotations kubevirt.io/ksm-handler-managed and
 * hanok.io/ksm-saved). */
#pragma once

#include "node/node.h"
#include "node/vm/spec/vm_spec.h"

struct cluster_settings;
struct cluster_settings *cluster_settings_create(struct node *n);
void cluster_settings_destroy(struct cluster_settings *c); /* NULL allowed */
/* memBalloonStatsPeriod and virtualMachineOptions.disableFreePageReporting, into a guest's memory.
 */
void cluster_settings_memory(const struct cluster_settings *c, struct vm_memory *m);
/* The pciVendorSelector of a device's name, in the arena. -EOPNOTSUPP: it is not permitted, or of a
 * sort that this agent does not give. `asked` names what was asked for. */
int cluster_settings_device(const struct cluster_settings *c, struct arena *a, const char *asked,
	const char *device_name, const char **ret_selector, struct err *err) _must_check_;

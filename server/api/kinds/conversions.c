#include "server/api/kinds/conversions_impl.h"

static const struct {
	const char *group, *version, *kind; /* group NULL: the end */
	const struct kind_conversion *conversion;
} all[] = {
	{"autoscaling", "v1", "HorizontalPodAutoscaler", &conversion_autoscaler_v1},
	{"events.k8s.io", "v1", "Event", &conversion_event},
	{"batch", "v1beta1", "CronJob", &conversion_same_members},
	{"policy", "v1beta1", "PodDisruptionBudget", &conversion_disruption_budget_beta},
	{"discovery.k8s.io", "v1beta1", "EndpointSlice", &conversion_endpoint_slice_beta},
	{"export.kubevirt.io", "v1beta1", "VirtualMachineExport", &conversion_same_members},
	{"export.kubevirt.io", "v1alpha1", "VirtualMachineExport", &conversion_same_members},
	/* Versions of which only the name differs: what virtctl before 1.3 speaks, and after 1.6.
	 */
	{"kubevirt.io", "v1alpha3", "VirtualMachine", &conversion_same_members},
	{"kubevirt.io", "v1alpha3", "VirtualMachineInstance", &conversion_same_members},
	{"kubevirt.io", "v1alpha3", "VirtualMachineInstanceReplicaSet", &conversion_same_members},
	{"kubevirt.io", "v1alpha3", "KubeVirt", &conversion_same_members},
	{"pool.kubevirt.io", "v1alpha1", "VirtualMachinePool", &conversion_same_members},
	{"instancetype.kubevirt.io", "v1", "VirtualMachineInstancetype", &conversion_same_members},
	{"instancetype.kubevirt.io", "v1", "VirtualMachineClusterInstancetype",
		&conversion_same_members},
	{"instancetype.kubevirt.io", "v1", "VirtualMachinePreference", &conversion_same_members},
	{"instancetype.kubevirt.io", "v1", "VirtualMachineClusterPreference",
		&conversion_same_members},
	{"snapshot.kubevirt.io", "v1alpha1", "VirtualMachineSnapshot", &conversion_same_members},
	{"snapshot.kubevirt.io", "v1alpha1", "VirtualMachineSnapshotContent",
		&conversion_same_members},
	{"snapshot.kubevirt.io", "v1alpha1", "VirtualMachineRestore", &conversion_same_members},
	{"clone.kubevirt.io", "v1alpha1", "VirtualMachineClone", &conversion_same_members},
	{NULL, NULL, NULL, NULL},
};

static const struct kind_conversion *find(const struct kind *k)
{
	for (size_t i = 0; all[i].group; i++)
		if (streq(all[i].group, k->group) && streq(all[i].version, k->version) &&
			streq(all[i].kind, k->kind))
			return all[i].conversion;
	return NULL;
}

int conversions_attach(struct kind_registry *kinds, struct err *err)
{
	for (size_t i = 0; i < kind_count(kinds); i++) {
		struct kind *k = kind_at(kinds, i);
		if (kind_is_storage(k) || k->conversion)
			continue;
		k->conversion = find(k);
		if (!k->conversion)
			return err_set(err, -EINVAL, "kind %s %s has no conversion to %s", k->gv,
				k->kind, k->storage->gv);
	}
	return 0;
}

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

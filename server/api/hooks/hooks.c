#include "server/api/hooks/hooks_internal.h"

static const struct kind_hooks none = {0};

static const struct kind_hooks *const all[] = {&hooks_custom_resource_definition, &hooks_role,
	&hooks_cluster_role, &hooks_role_binding, &hooks_cluster_role_binding, &hooks_autoscaler,
	&hooks_controller_revision, &hooks_cron_job, &hooks_daemon_set, &hooks_disruption_budget,
	&hooks_job, &hooks_limit_range, &hooks_persistent_volume, &hooks_persistent_volume_claim,
	&hooks_pod_template, &hooks_resource_quota, &hooks_stateful_set, &hooks_config_map,
	&hooks_deployment, &hooks_endpoint_slice, &hooks_endpoints, &hooks_event, &hooks_namespace,
	&hooks_node, &hooks_pod, &hooks_replica_set, &hooks_replication_controller, &hooks_secret,
	&hooks_service, &hooks_service_account, &hooks_virtual_machine,
	&hooks_virtual_machine_instance, &hooks_network_attachment_definition, &hooks_data_volume,
	&hooks_data_source, &hooks_machine_set, &hooks_machine_pool, &hooks_machine_snapshot,
	&hooks_machine_restore, &hooks_machine_clone, &hooks_machine_export, &hooks_machine_content,
	&hooks_machine_migration, &hooks_kubevirt,
	/* networking, storage, scheduling, node */
	&hooks_ingress, &hooks_ingress_class, &hooks_network_policy, &hooks_ip_address,
	&hooks_service_cidr, &hooks_storage_class, &hooks_volume_attachment, &hooks_csi_driver,
	&hooks_csi_node, &hooks_csi_storage_capacity, &hooks_priority_class, &hooks_runtime_class,
	&hooks_lease,
	/* certificates, admission registration, flow control */
	&hooks_certificate_signing_request, &hooks_mutating_webhook_configuration,
	&hooks_validating_webhook_configuration, &hooks_validating_admission_policy,
	&hooks_validating_admission_policy_binding, &hooks_flow_schema,
	&hooks_priority_level_configuration,
	/* hanok.io */
	&hooks_application,
	/* usage */
	&hooks_node_metrics, &hooks_pod_metrics, &hooks_machine_metrics};

const struct kind_hooks *hooks_find(const struct kind *k)
{
	if (k->hooks)
		return k->hooks;
	if (k->storage && k->storage != k)
		return hooks_find(k->storage);
	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		if (streq(all[i]->kind, k->kind) && streq(all[i]->group, k->group))
			return all[i];
	return &none;
}

void field_immutable(struct hook *h, const char *field, const struct json *value)
{
	field_error(h->errors, FIELD_INVALID, field, value ? value : json_new_string(h->arena, ""),
		"field is immutable");
}

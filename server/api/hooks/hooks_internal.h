/* hooks_internal.h - the kinds' hooks and what they share. */
#pragma once

#include "server/api/api_internal.h"

extern const struct kind_hooks hooks_custom_resource_definition;
extern const struct kind_hooks hooks_config_map, hooks_secret, hooks_service_account;
extern const struct kind_hooks hooks_endpoints, hooks_endpoint_slice;
extern const struct kind_hooks hooks_event, hooks_namespace, hooks_node, hooks_pod, hooks_service;
extern const struct kind_hooks hooks_limit_range, hooks_resource_quota;
extern const struct kind_hooks hooks_persistent_volume, hooks_persistent_volume_claim;
extern const struct kind_hooks hooks_controller_revision, hooks_daemon_set, hooks_stateful_set;
extern const struct kind_hooks hooks_cron_job, hooks_job, hooks_pod_template;
extern const struct kind_hooks hooks_autoscaler, hooks_disruption_budget;
extern const struct kind_hooks hooks_deployment, hooks_replica_set, hooks_replication_controller;
extern const struct kind_hooks hooks_role, hooks_cluster_role;
extern const struct kind_hooks hooks_role_binding, hooks_cluster_role_binding;
extern const struct kind_hooks hooks_virtual_machine, hooks_virtual_machine_instance;
extern const struct kind_hooks hooks_machine_set, hooks_machine_pool;
extern const struct kind_hooks hooks_machine_snapshot, hooks_machine_restore, hooks_machine_clone,
	hooks_machine_export, hooks_machine_content;
extern const struct kind_hooks hooks_kubevirt;
extern const struct kind_hooks hooks_machine_migration;
extern const struct kind_hooks hooks_application;
extern const struct kind_hooks hooks_network_attachment_definition;
extern const struct kind_hooks hooks_data_volume;
extern const struct kind_hooks hooks_data_source;

extern const struct kind_hooks hooks_ingress, hooks_ingress_class, hooks_network_policy;
extern const struct kind_hooks hooks_ip_address, hooks_service_cidr;
extern const struct kind_hooks hooks_storage_class, hooks_volume_attachment, hooks_csi_driver,
	hooks_csi_node, hooks_csi_storage_capacity;
extern const struct kind_hooks hooks_priority_class, hooks_runtime_class;
extern const struct kind_hooks hooks_certificate_signing_request;
extern const struct kind_hooks hooks_mutating_webhook_configuration,
	hooks_validating_webhook_configuration, hooks_validating_admission_policy,
	hooks_validating_admission_policy_binding;
extern const struct kind_hooks hooks_node_metrics, hooks_pod_metrics, hooks_machine_metrics;
extern const struct kind_hooks hooks_lease, hooks_flow_schema, hooks_priority_level_configuration;

/* Cells (cells.c). */
struct json *cell_text(const struct table_row *row, const char *fmt, ...) _printf_(2, 3);
struct json *cell_int(const struct table_row *row, const char *path); /* 0 when absent */
struct json *cell_age(const struct table_row *row, const char *path); /* "<unknown>" when absent */
/* Containers, Images and Selector of workloads; NULL for other columns. */
struct json *cell_workload(const struct table_row *row, const char *column);
/* "a=b,c=d" in the map's key order; none when it is empty. */
const char *labels_text(struct arena *a, const struct json *map, const char *none);

/* Pods in templates are completed and checked like pods (pod.c). `at` is the path of the spec. */
void pod_spec_default(struct arena *a, struct json *spec);
/* "Guaranteed", "Burstable" or "BestEffort". */
const char *pod_qos_class(const struct json *spec);
void pod_spec_validate(struct hook *h, const struct json *spec, const char *at);
/* Annotations that mean something, of a pod or template; `at` is the path of its annotations. */
void pod_annotations_validate(struct hook *h, const struct json *pod, const char *at);
/* No amount of a ResourceRequirements is negative. */
void resources_validate(struct hook *h, const struct json *resources, const char *at);
struct json *pod_cell(const struct table_row *row, const char *column);
struct json *pod_row_conditions(const struct table_row *row);

void field_immutable(struct hook *h, const char *field, const struct json *value);

/* controller.h - what a control loop is to controllers.c, and what the loops of a process share. */
#pragma once

#include "server/controllers/controllers.h"
#include "server/controllers/loop.h"
#include "server/controllers/pod_views.h"

struct shared {
	struct client *client;
	struct informers *informers;
	struct cluster_ca ca;	     /* members NULL = there is none */
	struct pod_views *pod_views; /* decoded pods; made at first use by shared_pod_views */
};
struct pod_views *shared_pod_views(struct shared *sh);
struct informer *shared_informer(
	struct shared *sh, const char *group, const char *version, const char *kind);

struct controller_class {
	const char *name; /* upstream's, for --controllers */
	/* Registers handlers and indexes with the informers; runs nothing yet. */
	void *(*create)(struct shared *sh);
	void (*start)(void *self); /* the caches are filled */
	void (*destroy)(void *self);
};

extern const struct controller_class application_controller, annotated_workload_controller;
extern const struct controller_class autoscaler_controller;
extern const struct controller_class certificate_approving_controller;
extern const struct controller_class certificate_cleaner_controller;
extern const struct controller_class certificate_signing_controller;
extern const struct controller_class claim_protection_controller;
extern const struct controller_class kubevirt_controller, cdi_controller;
extern const struct controller_class cluster_dns_controller;
extern const struct controller_class cluster_role_aggregation_controller;
extern const struct controller_class cron_job_controller;
extern const struct controller_class daemon_set_controller;
extern const struct controller_class data_source_controller;
extern const struct controller_class upload_claims_controller, cdi_settings_controller;
extern const struct controller_class data_volume_controller;
extern const struct controller_class deployment_controller;
extern const struct controller_class disruption_budget_controller;
extern const struct controller_class endpoint_slice_controller;
extern const struct controller_class endpoint_slice_mirroring_controller;
extern const struct controller_class endpoints_controller;
extern const struct controller_class ephemeral_volume_controller;
extern const struct controller_class garbage_collector_controller;
extern const struct controller_class job_controller;
extern const struct controller_class job_ttl_controller;
extern const struct controller_class memory_dump_controller;
extern const struct controller_class namespace_controller;
extern const struct controller_class node_lifecycle_controller;
extern const struct controller_class node_ttl_controller;
extern const struct controller_class pod_gc_controller;
extern const struct controller_class replica_set_controller;
extern const struct controller_class replication_controller;
extern const struct controller_class resource_quota_controller;
extern const struct controller_class root_ca_controller;
extern const struct controller_class service_account_controller;
extern const struct controller_class service_account_token_controller;
extern const struct controller_class stateful_set_controller;
extern const struct controller_class token_cleaner_controller;
extern const struct controller_class virtual_machine_controller;
extern const struct controller_class virtual_machine_instance_controller;
extern const struct controller_class virtual_machine_pool_controller;
extern const struct controller_class virtual_machine_replica_set_controller;
extern const struct controller_class virtual_machine_clone_controller;
extern const struct controller_class virtual_machine_export_controller;
extern const struct controller_class virtual_machine_restore_controller;
extern const struct controller_class virtual_machine_snapshot_controller;
extern const struct controller_class volume_binder_controller;
extern const struct controller_class volume_protection_controller;

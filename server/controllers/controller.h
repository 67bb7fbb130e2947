/* controller.h - what a control loop is to controllers.c, and what the loops of a process share. */
#pragma once

#include "server/controllers/loop.h"
#include "server/controllers/pod_views.h"

struct shared {
	struct client *client;
	struct informers *informers;
	const char *root_ca;	     /* PEM; NULL = none is published */
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

application_controller, autoscaler_controller, claim_protection_controller,
	cluster_role_aggregation_controller, daemon_set_controller, deployment_controller,
	endpoint_slice_controller, endpoints_controller, garbage_collector_controller,
	job_controller, namespace_controller, node_lifecycle_controller, pod_gc_controller,
	replica_set_controller, replication_controller, resource_quota_controller,
	root_ca_controller, service_account_controller, service_account_token_controller,
	stateful_set_controller, token_cleaner_controller, virtual_machine_controller,
	virtual_machine_instance_controller, volume_protection_controller,
	disruption_budget_controller;

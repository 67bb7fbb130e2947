/* node_metrics.h - the agent's metrics that more than one part counts in, by the names that
 * kubelets have (Kubernetes: "Kubernetes Metrics Reference"), so that dashboards made for those
 * work. What belongs to one part alone is a static struct metric there. */
#pragma once

#include "node/metrics/metrics.h"

extern struct metric metric_runtime_operations;	       /* operation_type */
extern struct metric metric_runtime_operation_errors;  /* operation_type */
extern struct metric metric_runtime_operation_seconds; /* operation_type */
extern struct metric metric_pleg_relist_seconds;
extern struct metric metric_pleg_relist_interval_seconds;
extern struct metric metric_pod_worker_seconds; /* operation_type: create, update, sync, kill */
extern struct metric metric_pod_start_seconds;	/* from seen to all containers running */
extern struct metric metric_started_pods;
extern struct metric metric_started_pod_errors; /* message */
extern struct metric metric_started_containers; /* container_type: container, init_container, ... */
extern struct metric metric_started_container_errors; /* container_type, code */
extern struct metric metric_evictions;		      /* eviction_signal */
extern struct metric metric_image_pull_seconds;	      /* image_size_in_bytes: "0-10MB", ... */
extern struct metric metric_pod_start_total_seconds;  /* from the object's making */
extern struct metric metric_pod_start_sli_seconds;    /* the same without pulls of images */
extern struct metric metric_cgroup_seconds;	      /* operation_type: create, update, destroy */

/* All of the above that have no labels show 0 from the start. */
void node_metrics_init(const char *node_name);
/* startup_metrics.c: the agent has begun, asks for its Node, has made it, and it is ready; each may
 * be said again. */
void node_startup_began(void);
void node_startup_attempted(void);
void node_startup_registered(void);
void node_startup_ready(void);
/* rest_client_requests_total: for client.answered. */
void node_metrics_answered(const char *host, const char *method, int code);
/* kubelet_http_requests_total and its like: a request of the agent's port has begun, has ended.
 * path is the request's, "/metrics/cadvisor". */
void node_metrics_request_begin(const char *method, const char *path);
void node_metrics_request_end(const char *method, const char *path, int64_t took_ns);
/* An image was pulled. */
void node_metrics_pulled(uint64_t size_bytes, int64_t took_ns);
/* An operation of the runtime has ended: `method` as gRPC has it. */
void node_metrics_runtime(const char *method, bool ok, int64_t took_ns);

/* node_config.h - settings of the agent, by the names and with the defaults of Kubernetes'
 * KubeletConfiguration (kubelet.config.k8s.io/v1beta1). One per process, in struct node; read only
 * after the start. Percentages of a capacity and absolute amounts: struct node_amount. */
#pragma once

#include "lib/base/err.h"
#include "lib/base/str.h"

/* "10%" or "100Mi": of what there is, or as it is. */
struct node_amount {
	bool is_percent;
	double percent; /* 0..100 */
	int64_t value;	/* bytes, inodes, or processes */
};

enum node_signal {
	SIGNAL_MEMORY_AVAILABLE,
	SIGNAL_NODEFS_AVAILABLE,
	SIGNAL_NODEFS_INODES_FREE,
	SIGNAL_IMAGEFS_AVAILABLE,
	SIGNAL_IMAGEFS_INODES_FREE,
	SIGNAL_PID_AVAILABLE,
	SIGNAL_COUNT,
};

/* A threshold of eviction: hard has no grace period. */
struct node_threshold {
	bool set;
	struct node_amount below;
	int64_t grace_ms;		/* soft only */
	struct node_amount min_reclaim; /* 0 = none */
};

/* What is kept from pods. */
struct node_reserved {
	int64_t cpu_milli, memory_bytes, ephemeral_bytes, pids; /* 0 = nothing */
};

struct node_config {
	int64_t max_pods;	/* 110 */
	int64_t pod_pids_limit; /* -1 = none */
	struct node_reserved kube_reserved, system_reserved;
	const char *cgroup_driver; /* "cgroupfs", "systemd", or "" = as the runtime says */
	const char *cgroup_root;   /* "" = the root */
	bool cgroups_per_qos;	   /* true */

	struct node_threshold eviction_hard[SIGNAL_COUNT], eviction_soft[SIGNAL_COUNT];
	int64_t eviction_pressure_transition_ms; /* 5 min */
	int64_t eviction_max_pod_grace_s;	 /* 0 */

	int64_t image_gc_high_percent, image_gc_low_percent;	  /* 85, 80 */
	int64_t image_minimum_gc_age_ms, image_maximum_gc_age_ms; /* 2 min; 0 = never too old */
	bool serialize_image_pulls;				  /* false: in parallel */
	int64_t max_parallel_image_pulls; /* 5; Kubernetes has no bound unless it is set */
	double registry_pull_qps;	  /* 5; 0 = no limit */
	int64_t registry_burst;		  /* 10 */

	int64_t container_log_max_bytes, container_log_max_files; /* 10 MiB, 5 */

	const char *const *cluster_dns; /* addresses, NULL at the end; default 10.96.0.10 */
	const char *cluster_domain;	/* cluster.local */
	const char *resolv_conf;	/* /etc/resolv.conf */

	const char *static_pod_path;			       /* "" = none */
	int64_t shutdown_grace_ms, shutdown_grace_critical_ms; /* 0 = no graceful shutdown */
	const char *const *allowed_unsafe_sysctls; /* names or prefixes with '*', NULL at the end */
	bool anonymous_auth;			   /* false */
	int64_t authn_cache_ms, authz_allow_cache_ms, authz_deny_cache_ms; /* 2 min, 5 min, 30 s */
	const char *healthz_address;	    /* "127.0.0.1:10248"; "" = none */
	int64_t status_update_ms;	    /* 10 s, how often status is computed */
	int64_t status_report_ms;	    /* 5 min, how often it is sent when nothing changed */
	int64_t lease_duration_s;	    /* 40 */
	int64_t event_qps, event_burst;	    /* 50, 100 */
	bool fail_swap_on;		    /* false: swap does not keep the agent from starting */
	const char *const *register_labels; /* "key=value", NULL at the end */
	const char *const *register_taints; /* "key=value:Effect", NULL at the end */
};

/* The defaults. */
const struct node_config *node_config_default(void);

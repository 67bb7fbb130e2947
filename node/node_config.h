/* node_config.h - settings of the agent, by the names and with the defaults of Kubernetes'
 * KubeletConfiguration (kubelet.config.k8s.io/v1beta1). One per process, in struct node; read only
 * after the start. Percentages of a capacity and absolute amounts: struct node_amount. */
#pragma once

#include "lib/base/err.h"
#include "lib/base/str.h"
#include "lib/json/json.h"

/* "10%" or "100Mi": of what there is, or as it is. */
struct node_amount {
	bool is_percent;
	double percent; /* 0..100 */
	int64_t value;	/* bytes, inodes, or processes */
};
/* In units; percentages are of the capacity. */
static inline int64_t node_amount_of(const struct node_amount *a, int64_t capacity)
{
	return a->is_percent ? (int64_t)((double)capacity * a->percent / 100) : a->value;
}

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

/* Graceful shutdown by priority: pods of at least `priority` have that long. */
struct node_shutdown_step {
	int64_t priority, grace_s;
};

struct node_config {
	int64_t max_pods;	/* 110 */
	int64_t pods_per_core;	/* 0 = only max_pods counts */
	int64_t pod_pids_limit; /* -1 = none */
	struct node_reserved kube_reserved, system_reserved;
	const char *cgroup_driver;	 /* "cgroupfs", "systemd", or "" = as the runtime says */
	const char *cgroup_root;	 /* "" = the root */
	bool cgroups_per_qos;		 /* true */
	bool cpu_cfs_quota;		 /* true: limits of CPU are enforced */
	int64_t cpu_cfs_quota_period_ms; /* 100 */
	const char *const *enforce_node_allocatable; /* "pods"; NULL at the end */
	bool seccomp_default;	   /* false; true = RuntimeDefault where a pod says nothing */
	int64_t crash_loop_max_ms; /* longest back-off of a crashing container: 5 min */

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
	int64_t container_log_monitor_ms; /* 10 s, how often sizes are looked at */

	const char *const *cluster_dns; /* addresses, NULL at the end; default 10.96.0.10 */
	const char *cluster_domain;	/* cluster.local */
	const char *resolv_conf;	/* /etc/resolv.conf */

	const char *static_pod_path; /* directory or file; "" = none */
	int64_t file_check_ms;	     /* 20 s, how often it is read without being told */
	int64_t shutdown_grace_ms, shutdown_grace_critical_ms; /* 0 = no graceful shutdown */
	/* Instead of the two above; by rising priority. */
	const struct node_shutdown_step *shutdown_by_priority;
	size_t shutdown_by_priority_count;
	const char *const *allowed_unsafe_sysctls; /* names or prefixes with '*', NULL at the end */

	/* The port. */
	const char *address;			  /* "0.0.0.0" */
	int64_t port;				  /* 10250 */
	const char *tls_cert_file, *tls_key_file; /* "" = as the kubeconfig says */
	const char *client_ca_file;		  /* "" = the kubeconfig's */
	bool anonymous_auth;			  /* false */
	bool token_auth;			  /* true: bearer tokens, by TokenReview */
	bool always_allow; /* false; true: whoever is authenticated may do everything */
	int64_t authn_cache_ms, authz_allow_cache_ms, authz_deny_cache_ms; /* 2 min, 5 min, 30 s */
	bool debugging_handlers;	  /* true: exec, attach, logs, port-forward */
	bool system_log_handler;	  /* true: /logs/ */
	int64_t streaming_idle_ms;	  /* 4 h */
	const char *healthz_bind_address; /* "127.0.0.1" */
	int64_t healthz_port;		  /* 10248; 0 = none */

	int64_t status_update_ms;	    /* 10 s, how often status is computed */
	int64_t status_report_ms;	    /* 5 min, how often it is sent when nothing changed */
	int64_t lease_duration_s;	    /* 40 */
	int64_t images_in_status_max;	    /* 50; -1 = all */
	int64_t volume_stats_ms;	    /* 1 min, how long usage of volumes is believed */
	int64_t event_qps, event_burst;	    /* 50, 100 */
	bool fail_swap_on;		    /* false: swap does not keep the agent from starting */
	bool register_node;		    /* true */
	const char *provider_id;	    /* of the Node when it is made; "" = none */
	const char *cri_address;	    /* unix:///run/containerd/containerd.sock */
	const char *const *register_labels; /* "key=value", NULL at the end */
	const char *const *register_taints; /* "key=value:Effect", NULL at the end */
};

/* The defaults. */
const struct node_config *node_config_default(void);

/* A KubeletConfiguration (kubelet.config.k8s.io/v1beta1), YAML or JSON, over what is in *c: a field
 * that it leaves out stays. Texts live in the arena. What Kubernetes knows and this agent has no
 * use for is logged as one warning. Else -EINVAL with "FILE: field: value: what to give". On
 * failure *c may be half changed. */
int node_config_read(
	struct arena *a, const char *path, struct node_config *c, struct err *err) _must_check_;
int node_config_parse(struct arena *a, const char *path, struct str text, struct node_config *c,
	struct err *err) _must_check_;
/* "a=b,c=d" and "key=value:Effect,..." of the command line, over what is in *c. */
int node_config_add_labels(
	struct arena *a, struct node_config *c, const char *text, struct err *err) _must_check_;
int node_config_add_taints(
	struct arena *a, struct node_config *c, const char *text, struct err *err) _must_check_;
/* The same as a document: the body of /configz is {"kubeletconfig": this}. */
struct json *node_config_doc(struct arena *a, const struct node_config *c);

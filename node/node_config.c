/* node_config.c - see node_config.h. */
#include "node/node_config.h"

#include "lib/base/clock.h"

enum { MINUTE_MS = 60 * 1000 };

static const char *const cluster_dns[] = {"10.96.0.10", NULL};
static const char *const pods_only[] = {"pods", NULL};
static const char *const none[] = {NULL};

static const struct node_config defaults = {
	.max_pods = 110,
	.pod_pids_limit = -1,
	.cgroup_driver = "",
	.cgroup_root = "",
	.cgroups_per_qos = true,
	.cpu_cfs_quota = true,
	.cpu_cfs_quota_period_ms = 100,
	.enforce_node_allocatable = pods_only,
	.crash_loop_max_ms = 5 * MINUTE_MS,
	.eviction_hard =
		{
			[SIGNAL_MEMORY_AVAILABLE] = {.set = true,
				.below = {.value = INT64_C(100) << 20}},
			[SIGNAL_NODEFS_AVAILABLE] = {.set = true,
				.below = {.is_percent = true, .percent = 10}},
			[SIGNAL_NODEFS_INODES_FREE] = {.set = true,
				.below = {.is_percent = true, .percent = 5}},
			[SIGNAL_IMAGEFS_AVAILABLE] = {.set = true,
				.below = {.is_percent = true, .percent = 15}},
			[SIGNAL_IMAGEFS_INODES_FREE] = {.set = true,
				.below = {.is_percent = true, .percent = 5}},
		},
	.eviction_pressure_transition_ms = 5 * MINUTE_MS,
	.image_gc_high_percent = 85,
	.image_gc_low_percent = 80,
	.image_minimum_gc_age_ms = 2 * MINUTE_MS,
	.max_parallel_image_pulls = 5,
	.registry_pull_qps = 5,
	.registry_burst = 10,
	.container_log_max_bytes = 10 << 20,
	.container_log_max_files = 5,
	.container_log_monitor_ms = 10 * 1000,
	.cluster_dns = cluster_dns,
	.cluster_domain = "cluster.local",
	.resolv_conf = "/etc/resolv.conf",
	.static_pod_path = "",
	.file_check_ms = 20 * 1000,
	.allowed_unsafe_sysctls = none,
	.address = "0.0.0.0",
	.port = 10250,
	.tls_cert_file = "",
	.tls_key_file = "",
	.client_ca_file = "",
	.token_auth = true,
	.authn_cache_ms = 2 * MINUTE_MS,
	.authz_allow_cache_ms = 5 * MINUTE_MS,
	.authz_deny_cache_ms = 30 * 1000,
	.debugging_handlers = true,
	.system_log_handler = true,
	.streaming_idle_ms = 240 * MINUTE_MS,
	.healthz_bind_address = "127.0.0.1",
	.healthz_port = 10248,
	.status_update_ms = 10 * 1000,
	.status_report_ms = 5 * MINUTE_MS,
	.lease_duration_s = 40,
	.images_in_status_max = 50,
	.volume_stats_ms = MINUTE_MS,
	.event_qps = 50,
	.event_burst = 100,
	.register_node = true,
	.provider_id = "",
	.cri_address = "unix:///run/containerd/containerd.sock",
	.register_labels = none,
	.register_taints = none,
};

const struct node_config *node_config_default(void)
{
	return &defaults;
}

/* node_metrics.c - see node_metrics.h. */
#include "node/metrics/node_metrics.h"

#include "lib/base/clock.h"
#include "lib/base/str.h"

#include <stdio.h>

static const double start_bounds[] = {0.5, 1, 2, 3, 4, 5, 6, 8, 10, 20, 30, 45, 60, 120, 180, 240,
	300, 360, 480, 600, 900, 1200, 1800, 2700, 3600, 0};
static const double operation_bounds[] = {0.005, 0.0125, 0.03125, 0.078125, 0.1953125, 0.48828125,
	1.220703125, 3.0517578125, 7.62939453125, 19.073486328125, 47.6837158203125,
	119.20928955078125, 298.0232238769531, 745.0580596923828, 0};
static const double pull_bounds[] = {
	1, 5, 10, 20, 30, 60, 180, 300, 600, 900, 1200, 1800, 2700, 3600, 0};

struct metric metric_runtime_operations = METRIC_COUNTER("kubelet_runtime_operations_total",
	"[ALPHA] Operations asked of the container runtime, by type", "operation_type");
struct metric metric_runtime_operation_errors = METRIC_COUNTER(
	"kubelet_runtime_operations_errors_total",
	"[ALPHA] Operations of the container runtime that failed, by type", "operation_type");
struct metric metric_runtime_operation_seconds =
	METRIC_HISTOGRAM("kubelet_runtime_operations_duration_seconds",
		"[ALPHA] How long operations of the container runtime took, by type",
		"operation_type", operation_bounds);
struct metric metric_pleg_relist_seconds = METRIC_HISTOGRAM("kubelet_pleg_relist_duration_seconds",
	"[ALPHA] How long it took to list what runs", "", metric_seconds);
struct metric metric_pleg_relist_interval_seconds =
	METRIC_HISTOGRAM("kubelet_pleg_relist_interval_seconds",
		"[ALPHA] Time between two lists of what runs", "", metric_seconds);
struct metric metric_pod_worker_seconds = METRIC_HISTOGRAM("kubelet_pod_worker_duration_seconds",
	"[ALPHA] How long steps of a pod's worker took, by type", "operation_type", metric_seconds);
struct metric metric_pod_start_seconds = METRIC_HISTOGRAM("kubelet_pod_start_duration_seconds",
	"[ALPHA] From seeing a pod to its containers running", "", start_bounds);
struct metric metric_started_pods = METRIC_COUNTER(
	"kubelet_started_pods_total", "[ALPHA] Pods whose sandbox was asked for", "");
struct metric metric_started_pod_errors = METRIC_COUNTER(
	"kubelet_started_pods_errors_total", "[ALPHA] Sandboxes that could not be made", "");
struct metric metric_started_containers = METRIC_COUNTER("kubelet_started_containers_total",
	"[ALPHA] Containers that were to be started", "container_type");
struct metric metric_started_container_errors =
	METRIC_COUNTER("kubelet_started_containers_errors_total",
		"[ALPHA] Containers that could not be started", "container_type,code");
struct metric metric_evictions =
	METRIC_COUNTER("kubelet_evictions", "[ALPHA] Pods evicted, by signal", "eviction_signal");
struct metric metric_image_pull_seconds = METRIC_HISTOGRAM("kubelet_image_pull_duration_seconds",
	"[ALPHA] How long pulls of images took, by size", "image_size_in_bytes", pull_bounds);
struct metric metric_pod_start_total_seconds =
	METRIC_HISTOGRAM("kubelet_pod_start_total_duration_seconds",
		"[ALPHA] From a pod's creation to its containers running", "", start_bounds);
struct metric metric_pod_start_sli_seconds =
	METRIC_HISTOGRAM("kubelet_pod_start_sli_duration_seconds",
		"[ALPHA] From a pod's creation to its containers running, less the time of image "
		"pulls; of pods without init containers",
		"", start_bounds);
struct metric metric_cgroup_seconds = METRIC_HISTOGRAM("kubelet_cgroup_manager_duration_seconds",
	"[ALPHA] How long operations on pods' control groups took, by type", "operation_type",
	metric_seconds);
static struct metric http_requests = METRIC_COUNTER("kubelet_http_requests_total",
	"[ALPHA] Requests to the agent's port", "long_running,method,path,server_type");
static struct metric http_seconds = METRIC_HISTOGRAM("kubelet_http_requests_duration_seconds",
	"[ALPHA] How long requests to the agent's port took",
	"long_running,method,path,server_type", metric_seconds);
static struct metric http_inflight = METRIC_GAUGE("kubelet_http_inflight_requests",
	"[ALPHA] Requests to the agent's port that are under way",
	"long_running,method,path,server_type");
static struct metric client_requests = METRIC_COUNTER("rest_client_requests_total",
	"[ALPHA] Requests of the agent to the API", "code,host,method");
static struct metric node_name_metric =
	METRIC_GAUGE("kubelet_node_name", "[ALPHA] The node's name; always 1", "node");
static struct metric build_info = METRIC_GAUGE("kubernetes_build_info",
	"[ALPHA] What this program is; always 1", "major,minor,git_version,platform,compiler");

void node_metrics_init(const char *node_name)
{
	struct metric *const plain[] = {&metric_pleg_relist_seconds,
		&metric_pleg_relist_interval_seconds, &metric_pod_start_seconds,
		&metric_pod_start_total_seconds, &metric_pod_start_sli_seconds,
		&metric_started_pods, &metric_started_pod_errors};

	for (size_t i = 0; i < ARRAY_LEN(plain); i++)
		metric_show(plain[i]);
	metric_set(&node_name_metric, 1, node_name);
#ifdef __aarch64__
	const char *platform = "linux/arm64";
#else
	const char *platform = "linux/amd64";
#endif
	metric_set(&build_info, 1, "1", "33", "v1.33.0+hanok-" HANOK_VERSION, platform, "gcc");
}

void node_metrics_answered(const char *host, const char *method, int code)
{
	char text[16];

	snprintf(text, sizeof(text), "%d", code);
	metric_add(&client_requests, 1, code ? text : "<error>", host, method);
}

struct request_labels {
	const char *long_running, *method, *path;
};

/* Whoever asks for what is not there must not make a line of it. */
static struct request_labels labels_of(const char *method, const char *path)
{
	static const char *const methods[] = {
		"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"};
	static const char *const paths[] = {"metrics/cadvisor", "metrics/probes",
		"metrics/resource", "metrics", "pods", "runningpods", "configz", "healthz", "stats",
		"containerLogs", "exec", "attach", "portForward", "run", "logs", "checkpoint",
		"virtualmachineinstances", "podProxy"};
	/* The last ones are streams of a virtual machine. */
	static const char *const long_ones[] = {
		"exec", "attach", "portForward", "/console", "/vnc", "/portforward/"};
	struct request_labels l = {"false", "other", "other"};

	path += *path == '/';
	for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
		if (streq(method, methods[i]))
			l.method = methods[i];
	}
	for (size_t i = 0; i < ARRAY_LEN(paths); i++) {
		size_t size = strlen(paths[i]);
		if (strncmp(path, paths[i], size) == 0 &&
			(path[size] == '\0' || path[size] == '/')) {
			l.path = paths[i];
			break;
		}
	}
	for (size_t i = 0; i < ARRAY_LEN(long_ones); i++) {
		if (streq(l.path, long_ones[i]) ||
			(streq(l.path, "virtualmachineinstances") && strstr(path, long_ones[i])))
			l.long_running = "true";
	}
	return l;
}

void node_metrics_request_begin(const char *method, const char *path)
{
	struct request_labels l = labels_of(method, path);

	metric_add(&http_requests, 1, l.long_running, l.method, l.path, "readwrite");
	metric_add(&http_inflight, 1, l.long_running, l.method, l.path, "readwrite");
}

void node_metrics_request_end(const char *method, const char *path, int64_t took_ns)
{
	struct request_labels l = labels_of(method, path);

	metric_add(&http_inflight, -1, l.long_running, l.method, l.path, "readwrite");
	metric_observe(&http_seconds, (double)took_ns / (double)NS_PER_S, l.long_running, l.method,
		l.path, "readwrite");
}

void node_metrics_pulled(uint64_t size_bytes, int64_t took_ns)
{
	static const struct {
		uint64_t below_mb;
		const char *name;
	} sizes[] = {
		{10, "0-10MB"},
		{100, "10MB-100MB"},
		{500, "100MB-500MB"},
		{1000, "500MB-1GB"},
		{5000, "1GB-5GB"},
		{10000, "5GB-10GB"},
		{20000, "10GB-20GB"},
		{30000, "20GB-30GB"},
		{40000, "30GB-40GB"},
		{60000, "40GB-60GB"},
		{100000, "60GB-100GB"},
	};
	const char *name = "GT100GB";

	for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
		if (size_bytes < sizes[i].below_mb * 1000000) {
			name = sizes[i].name;
			break;
		}
	}
	metric_observe(&metric_image_pull_seconds, (double)took_ns / (double)NS_PER_S, name);
}

/* "/runtime.v1.RuntimeService/ListPodSandbox" -> the name that kubelets give it. */
static const char *operation_type(const char *method)
{
	static const char *const names[][2] = {
		{"Version", "version"},
		{"Status", "status"},
		{"UpdateRuntimeConfig", "update_runtime_config"},
		{"RunPodSandbox", "run_podsandbox"},
		{"StopPodSandbox", "stop_podsandbox"},
		{"RemovePodSandbox", "remove_podsandbox"},
		{"PodSandboxStatus", "podsandbox_status"},
		{"ListPodSandbox", "list_podsandbox"},
		{"PodSandboxStats", "podsandbox_stats"},
		{"ListPodSandboxStats", "list_podsandbox_stats"},
		{"CreateContainer", "create_container"},
		{"StartContainer", "start_container"},
		{"StopContainer", "stop_container"},
		{"RemoveContainer", "remove_container"},
		{"ListContainers", "list_containers"},
		{"ContainerStatus", "container_status"},
		{"ContainerStats", "container_stats"},
		{"ListContainerStats", "list_container_stats"},
		{"UpdateContainerResources", "update_container"},
		{"ReopenContainerLog", "reopen_container_log"},
		{"ExecSync", "exec_sync"},
		{"Exec", "exec"},
		{"Attach", "attach"},
		{"PortForward", "port_forward"},
		{"ListImages", "list_images"},
		{"ImageStatus", "image_status"},
		{"PullImage", "pull_image"},
		{"RemoveImage", "remove_image"},
		{"ImageFsInfo", "image_fs_info"},
	};
	const char *slash = strrchr(method, '/');

	for (size_t i = 0; slash && i < ARRAY_LEN(names); i++) {
		if (streq(names[i][0], slash + 1))
			return names[i][1];
	}
	return NULL;
}

void node_metrics_runtime(const char *method, bool ok, int64_t took_ns)
{
	const char *type = operation_type(method);

	if (!type)
		return;
	metric_add(&metric_runtime_operations, 1, type);
	if (!ok)
		metric_add(&metric_runtime_operation_errors, 1, type);
	metric_observe(&metric_runtime_operation_seconds, (double)took_ns / (double)NS_PER_S, type);
}

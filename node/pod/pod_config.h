/* pod_config.h - a pod's spec in the runtime's words: the CRI configurations of its sandbox and its
 * containers. Pure but for the host paths that it is given. Everything lives in the arena. */
#pragma once

#include "node/cri/cri.h"
#include "node/pod/pod_env.h"
#include "node/pod/pod_model.h"
#include "node/pod/pod_security.h"

#define LABEL_POD_NAME "io.kubernetes.pod.name"
#define LABEL_POD_NAMESPACE "io.kubernetes.pod.namespace"
#define LABEL_POD_UID "io.kubernetes.pod.uid"
#define LABEL_CONTAINER_NAME "io.kubernetes.container.name"
/* On every sandbox: made by an agent of ours, not by another user of the same runtime. */
#define ANNOTATION_OURS "hanok.io/node-agent"
#define ANNOTATION_HASH "io.kubernetes.container.hash"
#define ANNOTATION_RESTART_COUNT "io.kubernetes.container.restartCount"
#define ANNOTATION_MESSAGE_PATH "io.kubernetes.container.terminationMessagePath"
#define ANNOTATION_MESSAGE_POLICY "io.kubernetes.container.terminationMessagePolicy"
#define ANNOTATION_GRACE "io.kubernetes.pod.terminationGracePeriod"

#define POD_LOG_ROOT "/var/log/pods"

struct config_mount {
	const char *container_path, *host_path;
	bool read_only, recursive_read_only;
	Cri__MountPropagation propagation;
};

struct config_device {
	const char *container_path, *host_path;
	const char *permissions; /* of "mrw" */
};

char *pod_log_dir(struct arena *a, const struct json *pod);
/* NAME/0.log */
char *container_log_path(struct arena *a, const char *name, unsigned attempt);

struct sandbox_config_input {
	const struct json *pod;
	unsigned attempt;
	const char *hostname;	   /* pod_kernel_hostname() */
	Cri__DNSConfig *dns;	   /* pod_dns_config() */
	const char *cgroup_parent; /* "" = the runtime's own */
	const struct security_rules *security;
	const struct qos_rules *qos;
};
Cri__PodSandboxConfig *pod_sandbox_config(struct arena *a, const struct sandbox_config_input *in);

struct container_config_input {
	const struct json *pod, *container;
	unsigned attempt;
	const struct env_vars *env;
	const struct config_mount *mounts;
	size_t mount_count;
	const struct config_device *devices;
	size_t device_count;
	const char *image; /* as the runtime knows it */
	struct image_user image_user;
	const struct security_rules *security;
	const struct qos_rules *qos;
	bool cgroup2;
	const char *target_id; /* container whose processes it sees; NULL = none */
};
/* NULL when command and args are more than a process can be given. */
Cri__ContainerConfig *pod_container_config(
	struct arena *a, const struct container_config_input *in);
/* Limits and shares of one container. cgroup2: of the host, which then can be told more. */
Cri__LinuxContainerResources *container_resources(struct arena *a, const struct json *pod,
	const struct json *container, const struct qos_rules *qos, bool cgroup2);

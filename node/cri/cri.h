/* cri.h - the Container Runtime Interface (runtime.v1) as asynchronous calls.
 *
 * Thin on purpose: requests and responses are the protobuf-c types of api/proto/cri.proto, which
 * the caller fills in; what is added is the method's name and a time limit that suits it. Rules of
 * calls are those of grpc.h: `done` once, later, with r->response of the type named beside the
 * function.
 *
 * Stop, remove and status calls on something that does not exist: containerd answers stop and
 * remove with OK and status with GRPC_NOT_FOUND. */
#pragma once

#include "api/proto/cri.pb-c.h"
#include "lib/grpc/grpc.h"

struct cri;
struct cri *cri_create(uv_loop_t *loop, const char *address);
void cri_destroy(struct cri *c); /* calls under way end silently */

struct grpc_call *cri_version(struct cri *c, grpc_done *done, void *user); /* VersionResponse */
struct grpc_call *cri_status(struct cri *c, grpc_done *done, void *user);  /* StatusResponse */
/* With `info`: the runtime's own words, JSON in its "config". */
struct grpc_call *cri_status_verbose(struct cri *c, grpc_done *done, void *user);
/* GRPC_UNIMPLEMENTED on runtimes before 2023. */
struct grpc_call *cri_runtime_config(
	struct cri *c, grpc_done *done, void *user); /* RuntimeConfigResponse */
struct grpc_call *cri_update_pod_cidr(struct cri *c, const char *cidr, grpc_done *done,
	void *user); /* UpdateRuntimeConfigResponse */

struct grpc_call *cri_run_sandbox(struct cri *c, Cri__PodSandboxConfig *config,
	const char *runtime_handler /* NULL = default */, grpc_done *done,
	void *user); /* RunPodSandboxResponse */
struct grpc_call *cri_stop_sandbox(struct cri *c, const char *id, grpc_done *done, void *user);
struct grpc_call *cri_remove_sandbox(struct cri *c, const char *id, grpc_done *done, void *user);
struct grpc_call *cri_sandbox_status(
	struct cri *c, const char *id, grpc_done *done, void *user); /* PodSandboxStatusResponse */
/* Only those whose label is so; label NULL = all. */
struct grpc_call *cri_list_sandboxes(struct cri *c, const char *label, const char *value,
	grpc_done *done, void *user); /* ListPodSandboxResponse */

struct grpc_call *cri_create_container(struct cri *c, const char *sandbox_id,
	Cri__ContainerConfig *config, Cri__PodSandboxConfig *sandbox_config, grpc_done *done,
	void *user); /* CreateContainerResponse */
struct grpc_call *cri_start_container(struct cri *c, const char *id, grpc_done *done, void *user);
/* SIGTERM (or the image's stop signal), then SIGKILL after grace_s. */
struct grpc_call *cri_stop_container(
	struct cri *c, const char *id, int64_t grace_s, grpc_done *done, void *user);
struct grpc_call *cri_remove_container(struct cri *c, const char *id, grpc_done *done, void *user);
struct grpc_call *cri_list_containers(struct cri *c, const char *label, const char *value,
	grpc_done *done, void *user); /* ListContainersResponse */
struct grpc_call *cri_container_status(
	struct cri *c, const char *id, grpc_done *done, void *user); /* ContainerStatusResponse */
struct grpc_call *cri_update_resources(struct cri *c, const char *id,
	Cri__LinuxContainerResources *resources, grpc_done *done, void *user);
struct grpc_call *cri_reopen_log(struct cri *c, const char *id, grpc_done *done, void *user);

/* timeout_s 0 = the default of 120 s. */
struct grpc_call *cri_exec_sync(struct cri *c, const char *id, char **argv, size_t argc,
	int64_t timeout_s, grpc_done *done, void *user); /* ExecSyncResponse */
struct grpc_call *cri_exec(
	struct cri *c, Cri__ExecRequest *request, grpc_done *done, void *user); /* ExecResponse */
struct grpc_call *cri_attach(struct cri *c, Cri__AttachRequest *request, grpc_done *done,
	void *user); /* AttachResponse */
struct grpc_call *cri_port_forward(struct cri *c, const char *sandbox_id, grpc_done *done,
	void *user); /* PortForwardResponse */

struct grpc_call *cri_list_stats(
	struct cri *c, grpc_done *done, void *user); /* ListContainerStatsResponse */

/* auth may be NULL. Pulls have no time limit of their own but cri_pull_image's caller can cancel.
 */
struct grpc_call *cri_pull_image(struct cri *c, const char *image, Cri__AuthConfig *auth,
	Cri__PodSandboxConfig *sandbox_config, grpc_done *done, void *user); /* PullImageResponse */
struct grpc_call *cri_image_status(
	struct cri *c, const char *image, grpc_done *done, void *user); /* ImageStatusResponse */
struct grpc_call *cri_list_images(
	struct cri *c, grpc_done *done, void *user); /* ListImagesResponse */
struct grpc_call *cri_remove_image(struct cri *c, const char *image, grpc_done *done, void *user);
struct grpc_call *cri_image_fs_info(
	struct cri *c, grpc_done *done, void *user); /* ImageFsInfoResponse */

/* What containerd fetches just now, by its content service: parts of images whose size is known.
 * To be read from the result by cri_downloads_read(): all zero on runtimes that have no such
 * service. */
struct grpc_call *cri_list_downloads(struct cri *c, grpc_done *done, void *user);
struct cri_downloads {
	unsigned count;
	int64_t done_bytes, total_bytes;
};
void cri_downloads_read(const struct grpc_result *r, struct cri_downloads *ret);

/* Tells of changes of tasks: containerd's event service. `changed` says only that it is worth
 * looking, and what for; `ended` once when the subscription is over, with GRPC_UNIMPLEMENTED on
 * runtimes that have no such service. */
enum cri_change {
	CRI_CHANGE_START, /* a container or sandbox runs now */
	CRI_CHANGE_END,	  /* it ended, was killed for memory, is gone */
};
struct grpc_call *cri_watch(struct cri *c, void (*changed)(void *user, enum cri_change what),
	grpc_done *ended, void *user);

/* Value of a label or annotation; NULL when absent. */
const char *cri_pair_get(Cri__Pair *const *pairs, size_t count, const char *key);
/* Pairs in an arena from key, value, key, value, ..., NULL. */
Cri__Pair **cri_pairs(struct arena *a, size_t *ret_count, ...) __attribute__((sentinel));
void cri_pair_add(struct arena *a, Cri__Pair ***pairs, size_t *count, const char *key,
	const char *value); /* texts are kept by reference */

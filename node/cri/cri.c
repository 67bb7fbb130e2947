/* cri.c - one function a method. */
#include "node/cri/cri.h"

#include <stdarg.h>

#include "api/proto/containerd_content.pb-c.h"
#include "api/proto/containerd_events.pb-c.h"
#include "lib/base/list.h"
#include "lib/base/str.h"
#include "node/metrics/node_metrics.h"

enum {
	CALL_MS = 120 * 1000,
	/* Creating a sandbox includes the CNI plugins, and on first use the pull of the pause
	   image. */
	SANDBOX_MS = 240 * 1000,
};

struct cri {
	struct grpc_channel *channel;
	struct list watches; /* struct watch */
};

struct watch {
	struct list link;
	void (*changed)(void *user, enum cri_change what);
	grpc_done *ended;
	void *user;
};

#define RUNTIME(method) "/runtime.v1.RuntimeService/" method
#define IMAGE(method) "/runtime.v1.ImageService/" method

static void count(const char *method, int status, int64_t took_ns)
{
	node_metrics_runtime(method, status == GRPC_OK, took_ns);
}

struct cri *cri_create(uv_loop_t *loop, const char *address)
{
	struct cri *c = xcalloc(1, sizeof(*c));

	c->channel = grpc_channel_create(&(struct grpc_channel_options){
		.loop = loop,
		.address = address,
		.user_agent = "hanok-node/" HANOK_VERSION,
		.ended = count,
		/* For containerd's own services; the CRI has this namespace of itself. */
		.metadata_name = "containerd-namespace",
		.metadata_value = "k8s.io",
	});
	list_init(&c->watches);
	return c;
}

void cri_destroy(struct cri *c)
{
	if (!c)
		return;
	grpc_channel_destroy(c->channel);
	/* Those whose call was cancelled, too: nobody told us. */
	LIST_FOR_EACH(w, &c->watches, struct watch, link)
		free(w);
	free(c);
}

/* The time limit of a call that takes as long as somebody's Pod says, which may be any number. */
static unsigned limit_ms(int64_t seconds, unsigned more_ms)
{
	return (unsigned)MIN(MAX(seconds, 0), INT64_C(1000000)) * 1000 + more_ms;
}

/* protobuf-c's structs take char *, and reading them is all that packing does. */
static char *text(const char *s)
{
	return (char *)(uintptr_t)(s ? s : "");
}

#define CALL(c, path, request, response, timeout_ms, done, user)                                   \
	grpc_call((c)->channel, path, &(request)->base, &cri__##response##__descriptor,            \
		timeout_ms, done, user)

struct grpc_call *cri_version(struct cri *c, grpc_done *done, void *user)
{
	Cri__VersionRequest q = CRI__VERSION_REQUEST__INIT;

	q.version = text("v1");
	return CALL(c, RUNTIME("Version"), &q, version_response, CALL_MS, done, user);
}

struct grpc_call *cri_status(struct cri *c, grpc_done *done, void *user)
{
	Cri__StatusRequest q = CRI__STATUS_REQUEST__INIT;

	return CALL(c, RUNTIME("Status"), &q, status_response, CALL_MS, done, user);
}

struct grpc_call *cri_status_verbose(struct cri *c, grpc_done *done, void *user)
{
	Cri__StatusRequest q = CRI__STATUS_REQUEST__INIT;

	q.verbose = true;
	return CALL(c, RUNTIME("Status"), &q, status_response, CALL_MS, done, user);
}

struct grpc_call *cri_runtime_config(struct cri *c, grpc_done *done, void *user)
{
	Cri__RuntimeConfigRequest q = CRI__RUNTIME_CONFIG_REQUEST__INIT;

	return CALL(c, RUNTIME("RuntimeConfig"), &q, runtime_config_response, CALL_MS, done, user);
}

struct grpc_call *cri_update_pod_cidr(struct cri *c, const char *cidr, grpc_done *done, void *user)
{
	Cri__NetworkConfig network = CRI__NETWORK_CONFIG__INIT;
	Cri__RuntimeConfig config = CRI__RUNTIME_CONFIG__INIT;
	Cri__UpdateRuntimeConfigRequest q = CRI__UPDATE_RUNTIME_CONFIG_REQUEST__INIT;

	network.pod_cidr = text(cidr);
	config.network_config = &network;
	q.runtime_config = &config;
	return CALL(c, RUNTIME("UpdateRuntimeConfig"), &q, update_runtime_config_response, CALL_MS,
		done, user);
}

struct grpc_call *cri_run_sandbox(struct cri *c, Cri__PodSandboxConfig *config,
	const char *runtime_handler, grpc_done *done, void *user)
{
	Cri__RunPodSandboxRequest q = CRI__RUN_POD_SANDBOX_REQUEST__INIT;

	q.config = config;
	q.runtime_handler = text(runtime_handler);
	return CALL(
		c, RUNTIME("RunPodSandbox"), &q, run_pod_sandbox_response, SANDBOX_MS, done, user);
}

struct grpc_call *cri_stop_sandbox(struct cri *c, const char *id, grpc_done *done, void *user)
{
	Cri__StopPodSandboxRequest q = CRI__STOP_POD_SANDBOX_REQUEST__INIT;

	q.pod_sandbox_id = text(id);
	return CALL(
		c, RUNTIME("StopPodSandbox"), &q, stop_pod_sandbox_response, CALL_MS, done, user);
}

struct grpc_call *cri_remove_sandbox(struct cri *c, const char *id, grpc_done *done, void *user)
{
	Cri__RemovePodSandboxRequest q = CRI__REMOVE_POD_SANDBOX_REQUEST__INIT;

	q.pod_sandbox_id = text(id);
	return CALL(c, RUNTIME("RemovePodSandbox"), &q, remove_pod_sandbox_response, CALL_MS, done,
		user);
}

struct grpc_call *cri_sandbox_status(struct cri *c, const char *id, grpc_done *done, void *user)
{
	Cri__PodSandboxStatusRequest q = CRI__POD_SANDBOX_STATUS_REQUEST__INIT;

	q.pod_sandbox_id = text(id);
	return CALL(c, RUNTIME("PodSandboxStatus"), &q, pod_sandbox_status_response, CALL_MS, done,
		user);
}

struct grpc_call *cri_list_sandboxes(
	struct cri *c, const char *label, const char *value, grpc_done *done, void *user)
{
	Cri__ListPodSandboxRequest q = CRI__LIST_POD_SANDBOX_REQUEST__INIT;
	Cri__PodSandboxFilter filter = CRI__POD_SANDBOX_FILTER__INIT;
	Cri__Pair pair = CRI__PAIR__INIT, *pairs = &pair;

	pair.key = text(label);
	pair.value = text(value);
	filter.label_selector = &pairs;
	filter.n_label_selector = 1;
	if (label)
		q.filter = &filter;
	return CALL(
		c, RUNTIME("ListPodSandbox"), &q, list_pod_sandbox_response, CALL_MS, done, user);
}

struct grpc_call *cri_create_container(struct cri *c, const char *sandbox_id,
	Cri__ContainerConfig *config, Cri__PodSandboxConfig *sandbox_config, grpc_done *done,
	void *user)
{
	Cri__CreateContainerRequest q = CRI__CREATE_CONTAINER_REQUEST__INIT;

	q.pod_sandbox_id = text(sandbox_id);
	q.config = config;
	q.sandbox_config = sandbox_config;
	return CALL(
		c, RUNTIME("CreateContainer"), &q, create_container_response, CALL_MS, done, user);
}

struct grpc_call *cri_start_container(struct cri *c, const char *id, grpc_done *done, void *user)
{
	Cri__StartContainerRequest q = CRI__START_CONTAINER_REQUEST__INIT;

	q.container_id = text(id);
	return CALL(
		c, RUNTIME("StartContainer"), &q, start_container_response, CALL_MS, done, user);
}

struct grpc_call *cri_stop_container(
	struct cri *c, const char *id, int64_t grace_s, grpc_done *done, void *user)
{
	Cri__StopContainerRequest q = CRI__STOP_CONTAINER_REQUEST__INIT;

	q.container_id = text(id);
	q.timeout = grace_s;
	return CALL(c, RUNTIME("StopContainer"), &q, stop_container_response,
		limit_ms(grace_s, CALL_MS), done, user);
}

struct grpc_call *cri_remove_container(struct cri *c, const char *id, grpc_done *done, void *user)
{
	Cri__RemoveContainerRequest q = CRI__REMOVE_CONTAINER_REQUEST__INIT;

	q.container_id = text(id);
	return CALL(
		c, RUNTIME("RemoveContainer"), &q, remove_container_response, CALL_MS, done, user);
}

struct grpc_call *cri_list_containers(
	struct cri *c, const char *label, const char *value, grpc_done *done, void *user)
{
	Cri__ListContainersRequest q = CRI__LIST_CONTAINERS_REQUEST__INIT;
	Cri__ContainerFilter filter = CRI__CONTAINER_FILTER__INIT;
	Cri__Pair pair = CRI__PAIR__INIT, *pairs = &pair;

	pair.key = text(label);
	pair.value = text(value);
	filter.label_selector = &pairs;
	filter.n_label_selector = 1;
	if (label)
		q.filter = &filter;
	return CALL(
		c, RUNTIME("ListContainers"), &q, list_containers_response, CALL_MS, done, user);
}

struct grpc_call *cri_container_status(struct cri *c, const char *id, grpc_done *done, void *user)
{
	Cri__ContainerStatusRequest q = CRI__CONTAINER_STATUS_REQUEST__INIT;

	q.container_id = text(id);
	return CALL(
		c, RUNTIME("ContainerStatus"), &q, container_status_response, CALL_MS, done, user);
}

struct grpc_call *cri_update_resources(struct cri *c, const char *id,
	Cri__LinuxContainerResources *resources, grpc_done *done, void *user)
{
	Cri__UpdateContainerResourcesRequest q = CRI__UPDATE_CONTAINER_RESOURCES_REQUEST__INIT;

	q.container_id = text(id);
	q.linux = resources;
	return CALL(c, RUNTIME("UpdateContainerResources"), &q, update_container_resources_response,
		CALL_MS, done, user);
}

struct grpc_call *cri_reopen_log(struct cri *c, const char *id, grpc_done *done, void *user)
{
	Cri__ReopenContainerLogRequest q = CRI__REOPEN_CONTAINER_LOG_REQUEST__INIT;

	q.container_id = text(id);
	return CALL(c, RUNTIME("ReopenContainerLog"), &q, reopen_container_log_response, CALL_MS,
		done, user);
}

struct grpc_call *cri_exec_sync(struct cri *c, const char *id, char **argv, size_t argc,
	int64_t timeout_s, grpc_done *done, void *user)
{
	Cri__ExecSyncRequest q = CRI__EXEC_SYNC_REQUEST__INIT;

	q.container_id = text(id);
	q.cmd = argv;
	q.n_cmd = argc;
	q.timeout = timeout_s;
	/* The runtime ends the command at its limit; ours only guards against a stuck runtime. */
	return CALL(c, RUNTIME("ExecSync"), &q, exec_sync_response,
		timeout_s > 0 ? limit_ms(timeout_s, 5000) : CALL_MS, done, user);
}

struct grpc_call *cri_exec(struct cri *c, Cri__ExecRequest *request, grpc_done *done, void *user)
{
	return CALL(c, RUNTIME("Exec"), request, exec_response, CALL_MS, done, user);
}

struct grpc_call *cri_attach(
	struct cri *c, Cri__AttachRequest *request, grpc_done *done, void *user)
{
	return CALL(c, RUNTIME("Attach"), request, attach_response, CALL_MS, done, user);
}

struct grpc_call *cri_port_forward(
	struct cri *c, const char *sandbox_id, grpc_done *done, void *user)
{
	Cri__PortForwardRequest q = CRI__PORT_FORWARD_REQUEST__INIT;

	q.pod_sandbox_id = text(sandbox_id);
	return CALL(c, RUNTIME("PortForward"), &q, port_forward_response, CALL_MS, done, user);
}

struct grpc_call *cri_list_stats(struct cri *c, grpc_done *done, void *user)
{
	Cri__ListContainerStatsRequest q = CRI__LIST_CONTAINER_STATS_REQUEST__INIT;

	return CALL(c, RUNTIME("ListContainerStats"), &q, list_container_stats_response, CALL_MS,
		done, user);
}

struct grpc_call *cri_pull_image(struct cri *c, const char *image, Cri__AuthConfig *auth,
	Cri__PodSandboxConfig *sandbox_config, grpc_done *done, void *user)
{
	Cri__ImageSpec spec = CRI__IMAGE_SPEC__INIT;
	Cri__PullImageRequest q = CRI__PULL_IMAGE_REQUEST__INIT;

	spec.image = text(image);
	q.image = &spec;
	q.auth = auth;
	q.sandbox_config = sandbox_config;
	return CALL(c, IMAGE("PullImage"), &q, pull_image_response, GRPC_NO_TIMEOUT, done, user);
}

struct grpc_call *cri_image_status(struct cri *c, const char *image, grpc_done *done, void *user)
{
	Cri__ImageSpec spec = CRI__IMAGE_SPEC__INIT;
	Cri__ImageStatusRequest q = CRI__IMAGE_STATUS_REQUEST__INIT;

	spec.image = text(image);
	q.image = &spec;
	return CALL(c, IMAGE("ImageStatus"), &q, image_status_response, CALL_MS, done, user);
}

struct grpc_call *cri_list_images(struct cri *c, grpc_done *done, void *user)
{
	Cri__ListImagesRequest q = CRI__LIST_IMAGES_REQUEST__INIT;

	return CALL(c, IMAGE("ListImages"), &q, list_images_response, CALL_MS, done, user);
}

struct grpc_call *cri_remove_image(struct cri *c, const char *image, grpc_done *done, void *user)
{
	Cri__ImageSpec spec = CRI__IMAGE_SPEC__INIT;
	Cri__RemoveImageRequest q = CRI__REMOVE_IMAGE_REQUEST__INIT;

	spec.image = text(image);
	q.image = &spec;
	return CALL(c, IMAGE("RemoveImage"), &q, remove_image_response, CALL_MS, done, user);
}

struct grpc_call *cri_image_fs_info(struct cri *c, grpc_done *done, void *user)
{
	Cri__ImageFsInfoRequest q = CRI__IMAGE_FS_INFO_REQUEST__INIT;

	return CALL(c, IMAGE("ImageFsInfo"), &q, image_fs_info_response, CALL_MS, done, user);
}

/* ---- downloads ---- */

struct grpc_call *cri_list_downloads(struct cri *c, grpc_done *done, void *user)
{
	Containerd__ListStatusesRequest q = CONTAINERD__LIST_STATUSES_REQUEST__INIT;

	return grpc_call(c->channel, "/containerd.services.content.v1.Content/ListStatuses",
		&q.base, &containerd__list_statuses_response__descriptor, CALL_MS, done, user);
}

void cri_downloads_read(const struct grpc_result *r, struct cri_downloads *ret)
{
	const Containerd__ListStatusesResponse *list = r->response;

	*ret = (struct cri_downloads){0};
	for (size_t i = 0; grpc_ok(r) && i < list->n_statuses; i++) {
		const Containerd__IngestStatus *s = list->statuses[i];
		if (s->total <= 0 || s->offset < 0)
			continue;
		ret->count++;
		ret->done_bytes += s->offset;
		ret->total_bytes += s->total;
	}
}

/* ---- events ---- */

#define TOPIC_START "/tasks/start"

static void on_event(void *user, const void *response)
{
	const Containerd__Envelope *e = response;
	struct watch *w = user;

	if (streq(e->namespace_, "k8s.io"))
		w->changed(
			w->user, streq(e->topic, TOPIC_START) ? CRI_CHANGE_START : CRI_CHANGE_END);
}

static void on_watch_ended(void *user, const struct grpc_result *r)
{
	struct watch *w = user;
	grpc_done *ended = w->ended;
	void *ended_user = w->user;

	list_remove(&w->link);
	free(w);
	ended(ended_user, r);
}

struct grpc_call *cri_watch(struct cri *c, void (*changed)(void *user, enum cri_change what),
	grpc_done *ended, void *user)
{
	Containerd__SubscribeRequest q = CONTAINERD__SUBSCRIBE_REQUEST__INIT;
	char *filters[] = {text("topic==" TOPIC_START), text("topic==/tasks/exit"),
		text("topic==/tasks/delete"), text("topic==/tasks/oom")};
	struct watch *w = xmalloc(sizeof(*w));

	*w = (struct watch){.changed = changed, .ended = ended, .user = user};
	list_append(&c->watches, &w->link);
	q.filters = filters;
	q.n_filters = ARRAY_LEN(filters);
	return grpc_call_streaming(c->channel, "/containerd.services.events.v1.Events/Subscribe",
		&q.base, &containerd__envelope__descriptor, on_event, on_watch_ended, w);
}

/* ---- pairs ---- */

const char *cri_pair_get(Cri__Pair *const *pairs, size_t count, const char *key)
{
	for (size_t i = 0; i < count; i++) {
		if (streq(pairs[i]->key, key))
			return pairs[i]->value;
	}
	return NULL;
}

void cri_pair_add(
	struct arena *a, Cri__Pair ***pairs, size_t *count, const char *key, const char *value)
{
	Cri__Pair *p = ARENA_NEW(a, Cri__Pair);

	cri__pair__init(p);
	p->key = text(key);
	p->value = text(value);
	/* Room for a power of two: one by one, thousands of them would leave copies of copies. */
	if ((*count & (*count - 1)) == 0)
		*pairs = arena_grow(a, *pairs, *count * sizeof(**pairs),
			MAX(*count * 2, (size_t)1) * sizeof(**pairs));
	(*pairs)[(*count)++] = p;
}

Cri__Pair **cri_pairs(struct arena *a, size_t *ret_count, ...)
{
	Cri__Pair **pairs = NULL;
	const char *key;
	va_list ap;

	*ret_count = 0;
	va_start(ap, ret_count);
	while ((key = va_arg(ap, const char *)))
		cri_pair_add(a, &pairs, ret_count, key, va_arg(ap, const char *));
	va_end(ap);
	return pairs;
}

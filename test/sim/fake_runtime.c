/* fake_runtime.c - see fake_runtime.h. */
#include "test/sim/fake_runtime.h"

#include <stdio.h>

#include "lib/base/list.h"
#include "lib/base/str.h"
#include "lib/base/vec.h"
#include "lib/client/wakeup.h"
#include "lib/grpc/grpc.h"

enum { ANSWER_MS = 2, TERM_MS = 10, NEVER_MS = 1000 * 1000 * 1000 };

struct sandbox {
	char *id;
	Cri__PodSandboxConfig *config;
	bool ready;
	int64_t created_ns;
};

struct container {
	char *id;
	const struct sandbox *in; /* never freed before the end */
	Cri__ContainerConfig *config;
	Cri__ContainerState state;
	int64_t created_ns, started_ns, finished_ns, ends_ns; /* ends_ns 0 = by itself never */
	int exit_code;
	bool removed;
};

struct fake_runtime {
	struct clock *clock;
	enum fake_answer (*script)(void *user, const char *method, const char *pod);
	void *user;
	VEC(struct sandbox *) sandboxes;
	VEC(struct container *) containers;
	VEC(bool) sandbox_removed;
	struct list calls;
	unsigned ids;
};

/* There is one: channels are made by those who know nothing of it. */
static struct fake_runtime *the;

struct grpc_channel {
	int unused;
};

struct grpc_call {
	struct list link;
	const char *method; /* without the service */
	ProtobufCMessage *request;
	grpc_done *done;
	void *user;
	struct wakeup *timer;
	enum fake_answer answer;
	bool streaming;
	struct container *stopping;
};

static int64_t now(void)
{
	return the->clock->wall_ns(the->clock);
}

/* Those whose time has come have ended. */
static void settle(void)
{
	for (size_t i = 0; i < the->containers.count; i++) {
		struct container *c = the->containers.items[i];
		if (c->state != CRI__CONTAINER_STATE__CONTAINER_RUNNING || !c->ends_ns ||
			c->ends_ns > now())
			continue;
		c->state = CRI__CONTAINER_STATE__CONTAINER_EXITED;
		c->finished_ns = c->ends_ns;
	}
}

static struct sandbox *find_sandbox(const char *id)
{
	for (size_t i = 0; i < the->sandboxes.count; i++) {
		if (streq(the->sandboxes.items[i]->id, id) && !the->sandbox_removed.items[i])
			return the->sandboxes.items[i];
	}
	return NULL;
}

static struct container *find_container(const char *id)
{
	for (size_t i = 0; i < the->containers.count; i++) {
		struct container *c = the->containers.items[i];
		if (!c->removed && streq(c->id, id))
			return c;
	}
	return NULL;
}

static void *again(const ProtobufCMessage *m)
{
	size_t size = protobuf_c_message_get_packed_size(m);
	uint8_t *packed = xmalloc(size + 1);

	protobuf_c_message_pack(m, packed);
	void *copy = protobuf_c_message_unpack(m->descriptor, NULL, size, packed);
	free(packed);
	return copy;
}

/* ---- methods: an error's status, or 0 with *ret ---- */

static void end_container(struct container *c, int code, int64_t after_ms)
{
	int64_t at = now() + after_ms * NS_PER_MS;

	if (c->state != CRI__CONTAINER_STATE__CONTAINER_RUNNING || (c->ends_ns && c->ends_ns <= at))
		return;
	c->ends_ns = at;
	c->exit_code = code;
}

static const char *arg(const struct container *c, size_t i)
{
	return i < c->config->n_args ? c->config->args[i] : "";
}

static Cri__ContainerStatus *status_of(struct arena *a, struct container *c)
{
	Cri__ContainerStatus *s = ARENA_NEW(a, Cri__ContainerStatus);

	cri__container_status__init(s);
	s->id = c->id;
	s->metadata = c->config->metadata;
	s->state = c->state;
	s->created_at = c->created_ns;
	s->started_at = c->started_ns;
	s->finished_at = c->state == CRI__CONTAINER_STATE__CONTAINER_EXITED ? c->finished_ns : 0;
	s->exit_code = s->finished_at ? c->exit_code : 0;
	s->image = c->config->image;
	s->image_ref = c->config->image->image;
	s->n_labels = c->config->n_labels;
	s->labels = c->config->labels;
	s->n_annotations = c->config->n_annotations;
	s->annotations = c->config->annotations;
	return s;
}

static void *list_containers(struct arena *a, const Cri__ListContainersRequest *q, bool nonsense)
{
	Cri__ListContainersResponse *r = ARENA_NEW(a, Cri__ListContainersResponse);
	const Cri__ContainerFilter *f = q->filter;

	cri__list_containers_response__init(r);
	r->containers = arena_alloc(a, (3 * the->containers.count + 2) * sizeof(void *));
	for (size_t i = 0; i < the->containers.count; i++) {
		struct container *c = the->containers.items[i];
		const char *uid = c->in->config->metadata->uid;
		if (c->removed ||
			(f && f->n_label_selector > 0 && !streq(f->label_selector[0]->value, uid)))
			continue;
		Cri__Container *o = ARENA_NEW(a, Cri__Container);
		cri__container__init(o);
		o->id = c->id;
		o->pod_sandbox_id = c->in->id;
		o->metadata = c->config->metadata;
		o->image_ref = c->config->image->image;
		o->state = c->state;
		o->created_at = c->created_ns;
		o->n_labels = c->config->n_labels;
		o->labels = c->config->labels;
		o->n_annotations = c->config->n_annotations;
		o->annotations = c->config->annotations;
		r->containers[r->n_containers++] = o;
		if (!nonsense)
			continue;
		/* The same again, in a state that there is not and without a name; and one more
		 * that nobody made. */
		Cri__Container *bad = ARENA_NEW(a, Cri__Container);
		*bad = *o;
		bad->metadata = NULL;
		bad->state = (Cri__ContainerState)77;
		r->containers[r->n_containers++] = bad;
		bad = ARENA_NEW(a, Cri__Container);
		*bad = *o;
		bad->id = "nobody-made-this";
		bad->pod_sandbox_id = "";
		bad->state = CRI__CONTAINER_STATE__CONTAINER_EXITED;
		bad->created_at = -1;
		r->containers[r->n_containers++] = bad;
	}
	return r;
}

static void *list_sandboxes(struct arena *a, const Cri__ListPodSandboxRequest *q, bool nonsense)
{
	Cri__ListPodSandboxResponse *r = ARENA_NEW(a, Cri__ListPodSandboxResponse);
	const Cri__PodSandboxFilter *f = q->filter;

	cri__list_pod_sandbox_response__init(r);
	r->items = arena_alloc(a, (2 * the->sandboxes.count + 1) * sizeof(void *));
	for (size_t i = 0; i < the->sandboxes.count; i++) {
		struct sandbox *s = the->sandboxes.items[i];
		if (the->sandbox_removed.items[i] ||
			(f && f->n_label_selector > 0 &&
				!streq(f->label_selector[0]->value, s->config->metadata->uid)))
			continue;
		Cri__PodSandbox *o = ARENA_NEW(a, Cri__PodSandbox);
		cri__pod_sandbox__init(o);
		o->id = s->id;
		o->metadata = s->config->metadata;
		o->state = s->ready ? CRI__POD_SANDBOX_STATE__SANDBOX_READY
				    : CRI__POD_SANDBOX_STATE__SANDBOX_NOTREADY;
		o->created_at = s->created_ns;
		o->n_labels = s->config->n_labels;
		o->labels = s->config->labels;
		r->items[r->n_items++] = o;
		if (nonsense) {
			Cri__PodSandbox *bad = ARENA_NEW(a, Cri__PodSandbox);
			*bad = *o;
			bad->metadata = NULL;
			r->items[r->n_items++] = bad;
		}
	}
	return r;
}

static int run_sandbox(struct arena *a, const Cri__RunPodSandboxRequest *q, void **ret)
{
	Cri__RunPodSandboxResponse *r = ARENA_NEW(a, Cri__RunPodSandboxResponse);
	struct sandbox *s = xcalloc(1, sizeof(*s));

	/* As containerd does: a name can be had once. */
	for (size_t i = 0; i < the->sandboxes.count; i++) {
		const Cri__PodSandboxMetadata *m = the->sandboxes.items[i]->config->metadata;
		if (!the->sandbox_removed.items[i] && streq(m->uid, q->config->metadata->uid) &&
			m->attempt == q->config->metadata->attempt) {
			free(s);
			return GRPC_ALREADY_EXISTS;
		}
	}
	s->id = xasprintf("sandbox-%u", ++the->ids);
	s->config = again(&q->config->base);
	s->ready = true;
	s->created_ns = now();
	VEC_PUSH(&the->sandboxes, s);
	VEC_PUSH(&the->sandbox_removed, false);
	cri__run_pod_sandbox_response__init(r);
	r->pod_sandbox_id = s->id;
	*ret = r;
	return 0;
}

static int create_container(struct arena *a, const Cri__CreateContainerRequest *q, void **ret)
{
	Cri__CreateContainerResponse *r = ARENA_NEW(a, Cri__CreateContainerResponse);
	struct sandbox *s = find_sandbox(q->pod_sandbox_id);

	if (!s)
		return GRPC_NOT_FOUND;
	for (size_t i = 0; i < the->containers.count; i++) {
		const struct container *c = the->containers.items[i];
		if (!c->removed && c->in == s &&
			streq(c->config->metadata->name, q->config->metadata->name) &&
			c->config->metadata->attempt == q->config->metadata->attempt)
			return GRPC_ALREADY_EXISTS;
	}
	struct container *c = xcalloc(1, sizeof(*c));
	c->id = xasprintf("container-%u", ++the->ids);
	c->in = s;
	c->config = again(&q->config->base);
	c->created_ns = now();
	VEC_PUSH(&the->containers, c);
	cri__create_container_response__init(r);
	r->container_id = c->id;
	*ret = r;
	return 0;
}

static int start_container(const char *id)
{
	struct container *c = find_container(id);

	if (!c)
		return GRPC_NOT_FOUND;
	c->state = CRI__CONTAINER_STATE__CONTAINER_RUNNING;
	c->started_ns = now();
	if (streq(arg(c, 0), "exit"))
		end_container(c, atoi(arg(c, 1)), atoi(arg(c, 2)));
	return 0;
}

#define EMPTY(a, type, init)                                                                       \
	({                                                                                         \
		type *_r = ARENA_NEW(a, type);                                                     \
		init(_r);                                                                          \
		(void *)_r;                                                                        \
	})

static int handle(struct grpc_call *call, struct arena *a, void **ret)
{
	const char *m = call->method;
	const void *q = call->request;
	bool nonsense = call->answer == FAKE_NONSENSE;

	if (streq(m, "Version")) {
		Cri__VersionResponse *r =
			EMPTY(a, Cri__VersionResponse, cri__version_response__init);
		r->runtime_name = r->runtime_version = "fake";
		*ret = r;
		return 0;
	}
	if (streq(m, "ListPodSandbox")) {
		*ret = list_sandboxes(a, q, nonsense);
		if (call->answer == FAKE_NOTHING)
			((Cri__ListPodSandboxResponse *)*ret)->n_items = 0;
		return 0;
	}
	if (streq(m, "ListContainers")) {
		*ret = list_containers(a, q, nonsense);
		if (call->answer == FAKE_NOTHING)
			((Cri__ListContainersResponse *)*ret)->n_containers = 0;
		return 0;
	}
	if (streq(m, "RunPodSandbox")) {
		int r = run_sandbox(a, q, ret);
		if (!r && nonsense)
			((Cri__RunPodSandboxResponse *)*ret)->pod_sandbox_id = "";
		return r;
	}
	if (streq(m, "PodSandboxStatus")) {
		const Cri__PodSandboxStatusRequest *p = q;
		struct sandbox *s = find_sandbox(p->pod_sandbox_id);
		Cri__PodSandboxStatusResponse *r = EMPTY(
			a, Cri__PodSandboxStatusResponse, cri__pod_sandbox_status_response__init);
		*ret = r;
		if (!s)
			return GRPC_NOT_FOUND;
		if (nonsense)
			return 0;
		r->status = EMPTY(a, Cri__PodSandboxStatus, cri__pod_sandbox_status__init);
		r->status->id = s->id;
		r->status->metadata = s->config->metadata;
		r->status->state = s->ready ? CRI__POD_SANDBOX_STATE__SANDBOX_READY
					    : CRI__POD_SANDBOX_STATE__SANDBOX_NOTREADY;
		r->status->network = EMPTY(
			a, Cri__PodSandboxNetworkStatus, cri__pod_sandbox_network_status__init);
		r->status->network->ip = call->answer == FAKE_NOTHING ? "" : "10.244.0.2";
		return 0;
	}
	if (streq(m, "StopPodSandbox")) {
		struct sandbox *s =
			find_sandbox(((const Cri__StopPodSandboxRequest *)q)->pod_sandbox_id);
		for (size_t i = 0; s && i < the->containers.count; i++) {
			if (the->containers.items[i]->in == s)
				end_container(the->containers.items[i], 137, 0);
		}
		if (s)
			s->ready = false;
		*ret = EMPTY(a, Cri__StopPodSandboxResponse, cri__stop_pod_sandbox_response__init);
		return 0;
	}
	if (streq(m, "RemovePodSandbox")) {
		struct sandbox *s =
			find_sandbox(((const Cri__RemovePodSandboxRequest *)q)->pod_sandbox_id);
		for (size_t i = 0; i < the->sandboxes.count; i++) {
			if (the->sandboxes.items[i] == s)
				the->sandbox_removed.items[i] = true;
		}
		for (size_t i = 0; s && i < the->containers.count; i++) {
			struct container *c = the->containers.items[i];
			if (c->in == s) {
				end_container(c, 137, 0);
				c->removed = true;
			}
		}
		*ret = EMPTY(
			a, Cri__RemovePodSandboxResponse, cri__remove_pod_sandbox_response__init);
		return 0;
	}
	if (streq(m, "CreateContainer")) {
		int r = create_container(a, q, ret);
		if (!r && nonsense)
			((Cri__CreateContainerResponse *)*ret)->container_id = "";
		return r;
	}
	if (streq(m, "StartContainer")) {
		*ret = EMPTY(a, Cri__StartContainerResponse, cri__start_container_response__init);
		return start_container(((const Cri__StartContainerRequest *)q)->container_id);
	}
	if (streq(m, "StopContainer")) {
		*ret = EMPTY(a, Cri__StopContainerResponse, cri__stop_container_response__init);
		return 0;
	}
	if (streq(m, "RemoveContainer")) {
		struct container *c =
			find_container(((const Cri__RemoveContainerRequest *)q)->container_id);
		if (c)
			c->removed = true;
		*ret = EMPTY(a, Cri__RemoveContainerResponse, cri__remove_container_response__init);
		return 0;
	}
	if (streq(m, "ContainerStatus")) {
		struct container *c =
			find_container(((const Cri__ContainerStatusRequest *)q)->container_id);
		Cri__ContainerStatusResponse *r = EMPTY(
			a, Cri__ContainerStatusResponse, cri__container_status_response__init);
		*ret = r;
		if (!c)
			return GRPC_NOT_FOUND;
		if (!nonsense)
			r->status = status_of(a, c);
		return 0;
	}
	if (streq(m, "ExecSync")) {
		const Cri__ExecSyncRequest *p = q;
		Cri__ExecSyncResponse *r =
			EMPTY(a, Cri__ExecSyncResponse, cri__exec_sync_response__init);
		r->exit_code = p->n_cmd > 1 ? atoi(p->cmd[1]) : 0;
		*ret = r;
		return 0;
	}
	if (streq(m, "PullImage")) {
		Cri__PullImageResponse *r =
			EMPTY(a, Cri__PullImageResponse, cri__pull_image_response__init);
		r->image_ref = "sha256:1";
		*ret = r;
		return 0;
	}
	if (streq(m, "ImageStatus")) {
		Cri__ImageStatusResponse *r =
			EMPTY(a, Cri__ImageStatusResponse, cri__image_status_response__init);
		*ret = r;
		if (nonsense)
			return 0;
		r->image = EMPTY(a, Cri__Image, cri__image__init);
		r->image->id = "sha256:1";
		r->image->username = "root";
		return 0;
	}
	if (streq(m, "ListImages")) {
		*ret = EMPTY(a, Cri__ListImagesResponse, cri__list_images_response__init);
		return 0;
	}
	return GRPC_UNIMPLEMENTED;
}

/* ---- calls ---- */

static void call_free(struct grpc_call *call)
{
	list_remove(&call->link);
	wakeup_destroy(call->timer);
	if (call->request)
		protobuf_c_message_free_unpacked(call->request, NULL);
	free(call);
}

static void on_due(void *user)
{
	struct grpc_call *call = user;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct grpc_result r = {.message = ""};
	void *response = NULL;

	settle();
	if (call->streaming)
		r.status = GRPC_UNIMPLEMENTED;
	else if (call->answer == FAKE_HANG)
		r.status = GRPC_DEADLINE_EXCEEDED;
	else if (call->answer == FAKE_FAIL)
		r.status = GRPC_INTERNAL;
	else
		r.status = handle(call, &a, &response);
	settle();
	if (r.status == GRPC_OK)
		r.response = response;
	else
		r.message = arena_printf(&a, "rpc error: %s", grpc_status_name(r.status));
	grpc_done *done = call->done;
	void *their = call->user;
	call_free(call);
	done(their, &r);
}

/* The name of the pod that a call is about. */
static const char *pod_of(const struct grpc_call *call)
{
	const char *m = call->method;
	const void *q = call->request;
	const struct sandbox *s = NULL;
	const struct container *c = NULL;

	if (streq(m, "RunPodSandbox"))
		return ((const Cri__RunPodSandboxRequest *)q)->config->metadata->name;
	if (streq(m, "StopPodSandbox"))
		s = find_sandbox(((const Cri__StopPodSandboxRequest *)q)->pod_sandbox_id);
	else if (streq(m, "RemovePodSandbox"))
		s = find_sandbox(((const Cri__RemovePodSandboxRequest *)q)->pod_sandbox_id);
	else if (streq(m, "PodSandboxStatus"))
		s = find_sandbox(((const Cri__PodSandboxStatusRequest *)q)->pod_sandbox_id);
	else if (streq(m, "CreateContainer"))
		s = find_sandbox(((const Cri__CreateContainerRequest *)q)->pod_sandbox_id);
	else if (streq(m, "StartContainer"))
		c = find_container(((const Cri__StartContainerRequest *)q)->container_id);
	else if (streq(m, "StopContainer"))
		c = find_container(((const Cri__StopContainerRequest *)q)->container_id);
	else if (streq(m, "RemoveContainer"))
		c = find_container(((const Cri__RemoveContainerRequest *)q)->container_id);
	else if (streq(m, "ContainerStatus"))
		c = find_container(((const Cri__ContainerStatusRequest *)q)->container_id);
	else if (streq(m, "ExecSync"))
		c = find_container(((const Cri__ExecSyncRequest *)q)->container_id);
	if (c)
		s = c->in;
	return s ? s->config->metadata->name : "";
}

struct grpc_call *grpc_call(struct grpc_channel *ch, const char *method,
	const ProtobufCMessage *request, const ProtobufCMessageDescriptor *response_type,
	unsigned timeout_ms, grpc_done *done, void *user)
{
	struct grpc_call *call = xcalloc(1, sizeof(*call));
	int64_t ms = ANSWER_MS;

	call->method = strrchr(method, '/') + 1;
	call->request = again(request);
	call->done = done;
	call->user = user;
	list_init(&call->link);
	list_append(&the->calls, &call->link);
	settle();
	call->answer =
		the->script ? the->script(the->user, call->method, pod_of(call)) : FAKE_RIGHT;
	if (call->answer == FAKE_HANG) {
		ms = timeout_ms == GRPC_NO_TIMEOUT ? NEVER_MS : timeout_ms;
	} else if (streq(call->method, "StopContainer") && call->answer != FAKE_FAIL) {
		const Cri__StopContainerRequest *q = (const void *)call->request;
		struct container *c = find_container(q->container_id);
		bool stubborn = c && streq(arg(c, 0), "stubborn");
		ms = !c		? ANSWER_MS
		     : stubborn ? q->timeout * 1000
				: MIN(TERM_MS, q->timeout * 1000);
		if (c)
			end_container(c, stubborn ? 137 : 143, ms);
		ms++;
	}
	call->timer = wakeup_create(NULL, the->clock, on_due, call);
	wakeup_in(call->timer, ms);
	return call;
}

struct grpc_call *grpc_call_streaming(struct grpc_channel *ch, const char *method,
	const ProtobufCMessage *request, const ProtobufCMessageDescriptor *response_type,
	void (*message)(void *user, const void *response), grpc_done *done, void *user)
{
	struct grpc_call *call = xcalloc(1, sizeof(*call));

	call->method = strrchr(method, '/') + 1;
	call->done = done;
	call->user = user;
	call->streaming = true;
	list_init(&call->link);
	list_append(&the->calls, &call->link);
	call->timer = wakeup_create(NULL, the->clock, on_due, call);
	wakeup_in(call->timer, ANSWER_MS);
	return call;
}

void grpc_call_cancel(struct grpc_call *call)
{
	if (call)
		call_free(call);
}

struct grpc_channel *grpc_channel_create(const struct grpc_channel_options *options)
{
	return xcalloc(1, sizeof(struct grpc_channel));
}

void grpc_channel_destroy(struct grpc_channel *ch)
{
	if (!ch)
		return;
	LIST_FOR_EACH(call, &the->calls, struct grpc_call, link)
		call_free(call);
	free(ch);
}

/* ---- the test's side ---- */

struct fake_runtime *fake_runtime_create(struct clock *clock)
{
	the = xcalloc(1, sizeof(*the));
	the->clock = clock;
	list_init(&the->calls);
	return the;
}

void fake_runtime_destroy(struct fake_runtime *f)
{
	for (size_t i = 0; i < f->containers.count; i++) {
		struct container *c = f->containers.items[i];
		protobuf_c_message_free_unpacked(&c->config->base, NULL);
		free(c->id);
		free(c);
	}
	for (size_t i = 0; i < f->sandboxes.count; i++) {
		protobuf_c_message_free_unpacked(&f->sandboxes.items[i]->config->base, NULL);
		free(f->sandboxes.items[i]->id);
		free(f->sandboxes.items[i]);
	}
	VEC_FINISH(&f->containers);
	VEC_FINISH(&f->sandboxes);
	VEC_FINISH(&f->sandbox_removed);
	free(f);
	the = NULL;
}

void fake_runtime_script(struct fake_runtime *f,
	enum fake_answer (*script)(void *user, const char *method, const char *pod), void *user)
{
	f->script = script;
	f->user = user;
}

unsigned fake_runtime_sandboxes(struct fake_runtime *f, const char *pod, bool ready_only)
{
	unsigned n = 0;

	for (size_t i = 0; i < f->sandboxes.count; i++) {
		struct sandbox *s = f->sandboxes.items[i];
		n += !f->sandbox_removed.items[i] && streq(s->config->metadata->name, pod) &&
		     (s->ready || !ready_only);
	}
	return n;
}

unsigned fake_runtime_containers(struct fake_runtime *f, const char *pod, bool running_only)
{
	unsigned n = 0;

	settle();
	for (size_t i = 0; i < f->containers.count; i++) {
		struct container *c = f->containers.items[i];
		if (!streq(c->in->config->metadata->name, pod))
			continue;
		n += running_only
			     ? !c->removed && c->state == CRI__CONTAINER_STATE__CONTAINER_RUNNING
			     : 1;
	}
	return n;
}

void fake_runtime_crash(struct fake_runtime *f)
{
	settle();
	for (size_t i = 0; i < f->containers.count; i++) {
		struct container *c = f->containers.items[i];
		if (c->state == CRI__CONTAINER_STATE__CONTAINER_RUNNING)
			end_container(c, 255, 0);
	}
	for (size_t i = 0; i < f->sandboxes.count; i++)
		f->sandboxes.items[i]->ready = false;
	settle();
}

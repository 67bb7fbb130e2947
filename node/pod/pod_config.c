/* pod_config.c - see pod_config.h. */
#include "node/pod/pod_config.h"

#include <stdio.h>

#include "node/config/sysctls.h"
#include "node/pod/pod_refusal.h"

/* protobuf-c wants char *; it only reads. */
static char *text(const char *s)
{
	return (char *)(uintptr_t)(s ? s : "");
}

static const char *meta(const struct json *pod, const char *name)
{
	return json_str_or(json_get(json_get(pod, "metadata"), name), "");
}

char *pod_log_dir(struct arena *a, const struct json *pod)
{
	return arena_printf(a, POD_LOG_ROOT "/%s_%s_%s", meta(pod, "namespace"), meta(pod, "name"),
		meta(pod, "uid"));
}

char *container_log_path(struct arena *a, const char *name, unsigned attempt)
{
	return arena_printf(a, "%s/%u.log", name, attempt);
}

static void port_mappings(struct arena *a, const struct json *pod, Cri__PodSandboxConfig *c)
{
	bool host_network = json_path_bool(pod, "spec.hostNetwork", false);

	for (size_t i = 0; !host_network && i < pod_container_count(pod); i++) {
		JSON_FOR_EACH_ITEM(port, json_get(pod_container_doc(pod, i), "ports")) {
			int64_t host = json_int_or(json_get(port, "hostPort"), 0);
			const char *proto = json_str_or(json_get(port, "protocol"), "TCP");
			if (host <= 0)
				continue;
			Cri__PortMapping *m = ARENA_NEW(a, Cri__PortMapping);
			cri__port_mapping__init(m);
			m->protocol = streq(proto, "UDP")    ? CRI__PROTOCOL__UDP
				      : streq(proto, "SCTP") ? CRI__PROTOCOL__SCTP
							     : CRI__PROTOCOL__TCP;
			m->container_port =
				(int32_t)json_int_or(json_get(port, "containerPort"), 0);
			m->host_port = (int32_t)host;
			m->host_ip = text(json_str(json_get(port, "hostIP")));
			c->port_mappings =
				arena_grow(a, c->port_mappings, c->n_port_mappings * sizeof(m),
					(c->n_port_mappings + 1) * sizeof(m));
			c->port_mappings[c->n_port_mappings++] = m;
		}
	}
}

/* What the sandbox's pod has as a whole, for runtimes that size a virtual machine by it. */
static Cri__LinuxContainerResources *resources_of(struct arena *a, const struct cgroup_values *v)
{
	Cri__LinuxContainerResources *r = ARENA_NEW(a, Cri__LinuxContainerResources);

	cri__linux_container_resources__init(r);
	r->cpu_shares = v->cpu_shares;
	r->cpu_period = v->cpu_period_us;
	r->cpu_quota = v->cpu_quota_us;
	r->memory_limit_in_bytes = v->memory_bytes;
	r->hugepage_limits = arena_alloc(a, (v->hugepage_count + 1) * sizeof(*r->hugepage_limits));
	for (size_t i = 0; i < v->hugepage_count; i++) {
		Cri__HugepageLimit *limit = ARENA_NEW(a, Cri__HugepageLimit);
		cri__hugepage_limit__init(limit);
		limit->page_size = text(arena_strdup(a, v->hugepages[i].size->cgroup));
		limit->limit = (uint64_t)v->hugepages[i].bytes;
		r->hugepage_limits[r->n_hugepage_limits++] = limit;
	}
	return r;
}

static void set_resources(
	struct arena *a, const struct sandbox_config_input *in, Cri__LinuxPodSandboxConfig *l)
{
	const struct json *overhead = json_path(in->pod, "spec.overhead");
	struct json *resources = json_new_object(a), *wrapped = json_new_object(a);
	struct cgroup_values v;

	pod_cgroup_values(in->pod, in->qos, &v);
	l->resources = resources_of(a, &v);
	if (json_count(overhead) == 0)
		return;
	json_set(a, resources, "limits", json_copy(a, overhead));
	json_set(a, wrapped, "resources", resources);
	container_cgroup_values(wrapped, in->qos, &v);
	l->overhead = resources_of(a, &v);
}

Cri__PodSandboxConfig *pod_sandbox_config(struct arena *a, const struct sandbox_config_input *in)
{
	const struct json *pod = in->pod;
	Cri__PodSandboxConfig *c = ARENA_NEW(a, Cri__PodSandboxConfig);
	Cri__PodSandboxMetadata *m = ARENA_NEW(a, Cri__PodSandboxMetadata);
	Cri__LinuxPodSandboxConfig *l = ARENA_NEW(a, Cri__LinuxPodSandboxConfig);

	cri__pod_sandbox_config__init(c);
	cri__pod_sandbox_metadata__init(m);
	cri__linux_pod_sandbox_config__init(l);
	m->name = text(meta(pod, "name"));
	m->namespace_ = text(meta(pod, "namespace"));
	m->uid = text(meta(pod, "uid"));
	m->attempt = in->attempt;
	c->metadata = m;
	c->hostname = text(in->hostname);
	c->log_directory = pod_log_dir(a, pod);
	c->dns_config = in->dns;
	port_mappings(a, pod, c);
	JSON_FOR_EACH_MEMBER(label, json_path(pod, "metadata.labels"))
		cri_pair_add(a, &c->labels, &c->n_labels, label->name, json_str(label->value));
	cri_pair_add(a, &c->labels, &c->n_labels, LABEL_POD_NAME, m->name);
	cri_pair_add(a, &c->labels, &c->n_labels, LABEL_POD_NAMESPACE, m->namespace_);
	cri_pair_add(a, &c->labels, &c->n_labels, LABEL_POD_UID, m->uid);
	cri_pair_add(a, &c->annotations, &c->n_annotations, ANNOTATION_OURS, "true");
	JSON_FOR_EACH_MEMBER(note, json_path(pod, "metadata.annotations"))
		cri_pair_add(
			a, &c->annotations, &c->n_annotations, note->name, json_str(note->value));

	l->cgroup_parent = text(in->cgroup_parent);
	l->security_context = security_of_sandbox(a, pod, in->security);
	JSON_FOR_EACH_ITEM(item, json_path(pod, "spec.securityContext.sysctls"))
		cri_pair_add(a, &l->sysctls, &l->n_sysctls,
			sysctl_name(a, json_str_or(json_get(item, "name"), "")),
			json_str(json_get(item, "value")));
	set_resources(a, in, l);
	c->linux = l;
	return c;
}

Cri__LinuxContainerResources *container_resources(struct arena *a, const struct json *pod,
	const struct json *container, const struct qos_rules *qos, bool cgroup2)
{
	struct cgroup_values v;

	container_cgroup_values(container, qos, &v);
	Cri__LinuxContainerResources *r = resources_of(a, &v);
	r->oom_score_adj = container_oom_score_adj(pod, container, qos->node_memory);
	if (cgroup2) {
		/* All of a container dies together, and none of it goes to swap. */
		r->unified = cri_pairs(a, &r->n_unified, "memory.oom.group", "1", NULL);
		if (v.memory_bytes > 0)
			r->memory_swap_limit_in_bytes = v.memory_bytes;
	}
	return r;
}

/* NULL when it is more than a process can be given. */
static char **expanded(struct arena *a, const struct json *list, const struct env_vars *env,
	size_t *room, size_t *ret_count)
{
	char **v = arena_alloc(a, (json_count(list) + 1) * sizeof(*v));
	size_t n = 0;

	JSON_FOR_EACH_ITEM(s, list) {
		const char *word = env_expand(a, json_str_or(s, ""), env, room);
		if (!word)
			return NULL;
		v[n++] = text(word);
	}
	*ret_count = n;
	return v;
}

Cri__ContainerConfig *pod_container_config(struct arena *a, const struct container_config_input *in)
{
	Cri__ContainerConfig *c = ARENA_NEW(a, Cri__ContainerConfig);
	Cri__ContainerMetadata *m = ARENA_NEW(a, Cri__ContainerMetadata);
	Cri__ImageSpec *image = ARENA_NEW(a, Cri__ImageSpec);
	Cri__LinuxContainerConfig *l = ARENA_NEW(a, Cri__LinuxContainerConfig);
	const struct json *doc = in->container;
	const char *name = json_str_or(json_get(doc, "name"), "");
	size_t room = ENV_TEXT_MAX_BYTES;

	cri__container_config__init(c);
	cri__container_metadata__init(m);
	cri__image_spec__init(image);
	cri__linux_container_config__init(l);
	m->name = text(name);
	m->attempt = in->attempt;
	c->metadata = m;
	image->image = text(in->image);
	image->user_specified_image = text(json_str(json_get(doc, "image")));
	c->image = image;
	c->command = expanded(a, json_get(doc, "command"), in->env, &room, &c->n_command);
	if (!c->command)
		return NULL;
	c->args = expanded(a, json_get(doc, "args"), in->env, &room, &c->n_args);
	if (!c->args)
		return NULL;
	c->working_dir = text(json_str(json_get(doc, "workingDir")));
	for (size_t i = 0; i < in->env->count; i++)
		cri_pair_add(
			a, &c->envs, &c->n_envs, in->env->items[i].name, in->env->items[i].value);
	c->mounts = arena_alloc(a, (in->mount_count + 1) * sizeof(*c->mounts));
	for (size_t i = 0; i < in->mount_count; i++) {
		Cri__Mount *mount = ARENA_NEW(a, Cri__Mount);
		cri__mount__init(mount);
		mount->container_path = text(in->mounts[i].container_path);
		mount->host_path = text(in->mounts[i].host_path);
		mount->readonly = in->mounts[i].read_only;
		mount->recursive_read_only = in->mounts[i].recursive_read_only;
		mount->propagation = in->mounts[i].propagation;
		c->mounts[c->n_mounts++] = mount;
	}
	c->devices = arena_alloc(a, (in->device_count + 1) * sizeof(*c->devices));
	for (size_t i = 0; i < in->device_count; i++) {
		Cri__Device *device = ARENA_NEW(a, Cri__Device);
		cri__device__init(device);
		device->container_path = text(in->devices[i].container_path);
		device->host_path = text(in->devices[i].host_path);
		device->permissions = text(in->devices[i].permissions);
		c->devices[c->n_devices++] = device;
	}
	c->labels = cri_pairs(a, &c->n_labels, LABEL_CONTAINER_NAME, name, LABEL_POD_NAME,
		meta(in->pod, "name"), LABEL_POD_NAMESPACE, meta(in->pod, "namespace"),
		LABEL_POD_UID, meta(in->pod, "uid"), NULL);
	c->annotations = cri_pairs(a, &c->n_annotations, ANNOTATION_HASH,
		arena_printf(a, "%llx", (unsigned long long)container_hash(doc)),
		ANNOTATION_RESTART_COUNT, arena_printf(a, "%u", in->attempt),
		ANNOTATION_MESSAGE_PATH,
		json_str_or(json_get(doc, "terminationMessagePath"), "/dev/termination-log"),
		ANNOTATION_MESSAGE_POLICY,
		json_str_or(json_get(doc, "terminationMessagePolicy"), "File"), ANNOTATION_GRACE,
		arena_printf(a, "%lld",
			(long long)json_path_int(
				in->pod, "spec.terminationGracePeriodSeconds", 30)),
		NULL);
	c->log_path = container_log_path(a, name, in->attempt);
	c->stdin = json_bool_or(json_get(doc, "stdin"), false);
	c->stdin_once = json_bool_or(json_get(doc, "stdinOnce"), false);
	c->tty = json_bool_or(json_get(doc, "tty"), false);
	l->resources = container_resources(a, in->pod, doc, in->qos, in->cgroup2);
	l->security_context = security_of_container(a, in->pod, doc, &in->image_user, in->security);
	Cri__NamespaceOption *spaces = l->security_context->namespace_options;
	if (in->target_id && spaces->pid == CRI__NAMESPACE_MODE__CONTAINER) {
		spaces->pid = CRI__NAMESPACE_MODE__TARGET;
		spaces->target_id = text(in->target_id);
	}
	c->linux = l;
	return c;
}

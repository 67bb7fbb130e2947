/* pod_config.c - see pod_config.h. */
#include "node/pod/pod_config.h"

#include <stdio.h>

#include "lib/object/quantity.h"

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

char *pod_hostname(struct arena *a, const struct json *pod)
{
	const char *name = json_str_or(json_path(pod, "spec.hostname"), "");
	size_t size;

	if (!*name)
		name = meta(pod, "name");
	/* Linux allows 64 with the NUL; a cut name must not end in '-' or '.'. */
	size = MIN(strlen(name), (size_t)63);
	while (size > 1 && strlen(name) > 63 && (name[size - 1] == '-' || name[size - 1] == '.'))
		size--;
	return arena_memdup(a, name, size);
}

static Cri__Int64 *int64_value(struct arena *a, const struct json *v)
{
	if (!json_is(v, JSON_INT))
		return NULL;
	Cri__Int64 *o = ARENA_NEW(a, Cri__Int64);
	cri__int64__init(o);
	o->value = v->i;
	return o;
}

/* The container's own setting, else the pod's. */
static const struct json *security(
	const struct json *pod, const struct json *container, const char *name)
{
	const struct json *v = json_get(json_get(container, "securityContext"), name);

	return v ? v : json_get(json_path(pod, "spec.securityContext"), name);
}

static Cri__NamespaceOption *namespaces(struct arena *a, const struct json *pod)
{
	Cri__NamespaceOption *o = ARENA_NEW(a, Cri__NamespaceOption);

	cri__namespace_option__init(o);
	if (json_path_bool(pod, "spec.hostNetwork", false))
		o->network = CRI__NAMESPACE_MODE__NODE;
	if (json_path_bool(pod, "spec.hostIPC", false))
		o->ipc = CRI__NAMESPACE_MODE__NODE;
	if (json_path_bool(pod, "spec.hostPID", false))
		o->pid = CRI__NAMESPACE_MODE__NODE;
	else if (!json_path_bool(pod, "spec.shareProcessNamespace", false))
		o->pid = CRI__NAMESPACE_MODE__CONTAINER;
	return o;
}

static void supplemental_groups(
	struct arena *a, const struct json *pod, int64_t **ret, size_t *ret_count)
{
	const struct json *context = json_path(pod, "spec.securityContext");
	const struct json *list = json_get(context, "supplementalGroups");
	const struct json *fs_group = json_get(context, "fsGroup");
	size_t n = 0;

	*ret = arena_alloc(a, (json_count(list) + 1) * sizeof(**ret));
	JSON_FOR_EACH_ITEM(g, list)
		(*ret)[n++] = json_int_or(g, 0);
	if (fs_group)
		(*ret)[n++] = json_int_or(fs_group, 0);
	*ret_count = n;
}

static Cri__SecurityProfile *seccomp(struct arena *a, const struct json *profile)
{
	const char *type = json_str(json_get(profile, "type"));

	if (!type)
		return NULL;
	Cri__SecurityProfile *p = ARENA_NEW(a, Cri__SecurityProfile);
	cri__security_profile__init(p);
	if (streq(type, "RuntimeDefault")) {
		p->profile_type = CRI__SECURITY_PROFILE__PROFILE_TYPE__RuntimeDefault;
	} else if (streq(type, "Localhost")) {
		p->profile_type = CRI__SECURITY_PROFILE__PROFILE_TYPE__Localhost;
		p->localhost_ref = text(json_str(json_get(profile, "localhostProfile")));
	} else {
		p->profile_type = CRI__SECURITY_PROFILE__PROFILE_TYPE__Unconfined;
	}
	return p;
}

static bool any_privileged(const struct json *pod)
{
	for (size_t i = 0; i < pod_container_count(pod); i++) {
		if (json_path_bool(pod_container_doc(pod, i), "securityContext.privileged", false))
			return true;
	}
	return false;
}

static char **strings(struct arena *a, const struct json *list, size_t *ret_count)
{
	size_t n = 0;
	char **v = arena_alloc(a, (json_count(list) + 1) * sizeof(*v));

	JSON_FOR_EACH_ITEM(s, list)
		v[n++] = text(json_str(s));
	*ret_count = n;
	return v;
}

/* ClusterFirst without a cluster DNS is Default: the runtime copies the host's resolv.conf. */
static Cri__DNSConfig *dns(struct arena *a, const struct json *pod)
{
	const struct json *config = json_path(pod, "spec.dnsConfig");
	const char *policy = json_str_or(json_path(pod, "spec.dnsPolicy"), "ClusterFirst");

	if (!streq(policy, "None") && json_count(json_get(config, "nameservers")) == 0)
		return NULL;
	Cri__DNSConfig *d = ARENA_NEW(a, Cri__DNSConfig);
	cri__dnsconfig__init(d);
	d->servers = strings(a, json_get(config, "nameservers"), &d->n_servers);
	d->searches = strings(a, json_get(config, "searches"), &d->n_searches);
	const struct json *options = json_get(config, "options");
	d->options = arena_alloc(a, (json_count(options) + 1) * sizeof(*d->options));
	JSON_FOR_EACH_ITEM(o, options) {
		const char *name = json_str_or(json_get(o, "name"), "");
		const char *value = json_str(json_get(o, "value"));
		d->options[d->n_options++] =
			value ? arena_printf(a, "%s:%s", name, value) : text(name);
	}
	return d;
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

Cri__PodSandboxConfig *pod_sandbox_config(struct arena *a, const struct json *pod, unsigned attempt)
{
	Cri__PodSandboxConfig *c = ARENA_NEW(a, Cri__PodSandboxConfig);
	Cri__PodSandboxMetadata *m = ARENA_NEW(a, Cri__PodSandboxMetadata);
	Cri__LinuxPodSandboxConfig *l = ARENA_NEW(a, Cri__LinuxPodSandboxConfig);
	Cri__LinuxSandboxSecurityContext *s = ARENA_NEW(a, Cri__LinuxSandboxSecurityContext);
	const struct json *context = json_path(pod, "spec.securityContext");

	cri__pod_sandbox_config__init(c);
	cri__pod_sandbox_metadata__init(m);
	cri__linux_pod_sandbox_config__init(l);
	cri__linux_sandbox_security_context__init(s);
	m->name = text(meta(pod, "name"));
	m->namespace_ = text(meta(pod, "namespace"));
	m->uid = text(meta(pod, "uid"));
	m->attempt = attempt;
	c->metadata = m;
	/* In the host's network the name is the host's, and the runtime refuses another. */
	c->hostname =
		json_path_bool(pod, "spec.hostNetwork", false) ? text("") : pod_hostname(a, pod);
	c->log_directory = pod_log_dir(a, pod);
	c->dns_config = dns(a, pod);
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

	s->namespace_options = namespaces(a, pod);
	s->privileged = any_privileged(pod);
	s->run_as_user = int64_value(a, json_get(context, "runAsUser"));
	if (s->run_as_user)
		s->run_as_group = int64_value(a, json_get(context, "runAsGroup"));
	s->seccomp = seccomp(a, json_get(context, "seccompProfile"));
	supplemental_groups(a, pod, &s->supplemental_groups, &s->n_supplemental_groups);
	l->security_context = s;
	JSON_FOR_EACH_ITEM(item, json_get(context, "sysctls"))
		cri_pair_add(a, &l->sysctls, &l->n_sysctls, json_str(json_get(item, "name")),
			json_str(json_get(item, "value")));
	c->linux = l;
	return c;
}

Cri__LinuxContainerResources *container_resources(
	struct arena *a, const struct json *pod, const struct json *container, int64_t node_memory)
{
	enum { PERIOD_US = 100000, SHARES_PER_CPU = 1024, SHARES_MIN = 2, QUOTA_MIN_US = 1000 };
	Cri__LinuxContainerResources *r = ARENA_NEW(a, Cri__LinuxContainerResources);
	const struct json *limits = json_path(container, "resources.limits");
	const struct json *requests = json_path(container, "resources.requests");
	int64_t limit = quantity_json_milli(json_get(limits, "cpu"), 0);
	int64_t request = quantity_json_milli(json_get(requests, "cpu"), limit);

	cri__linux_container_resources__init(r);
	r->cpu_shares =
		MIN(MAX(request * SHARES_PER_CPU / 1000, (int64_t)SHARES_MIN), INT64_C(262144));
	if (limit > 0) {
		r->cpu_period = PERIOD_US;
		r->cpu_quota = MAX(limit * PERIOD_US / 1000, (int64_t)QUOTA_MIN_US);
	}
	r->memory_limit_in_bytes = quantity_json_value(json_get(limits, "memory"), 0);
	r->oom_score_adj = container_oom_score_adj(pod, container, node_memory);
	return r;
}

static Cri__LinuxContainerSecurityContext *container_security(
	struct arena *a, const struct json *pod, const struct json *container)
{
	/* What a container must not see or change of the kernel (procMount Default). The runtime
	 * hides nothing by itself. */
	static const char *const masked[] = {"/proc/asound", "/proc/acpi", "/proc/interrupts",
		"/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
		"/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
		"/sys/devices/virtual/powercap"};
	static const char *const read_only[] = {
		"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};
	Cri__LinuxContainerSecurityContext *s = ARENA_NEW(a, Cri__LinuxContainerSecurityContext);
	Cri__Capability *caps = ARENA_NEW(a, Cri__Capability);
	const struct json *own = json_get(container, "securityContext");

	cri__linux_container_security_context__init(s);
	cri__capability__init(caps);
	caps->add_capabilities =
		strings(a, json_path(own, "capabilities.add"), &caps->n_add_capabilities);
	caps->drop_capabilities =
		strings(a, json_path(own, "capabilities.drop"), &caps->n_drop_capabilities);
	s->capabilities = caps;
	s->privileged = json_bool_or(json_get(own, "privileged"), false);
	s->namespace_options = namespaces(a, pod);
	s->run_as_user = int64_value(a, security(pod, container, "runAsUser"));
	if (s->run_as_user)
		s->run_as_group = int64_value(a, security(pod, container, "runAsGroup"));
	s->readonly_rootfs = json_bool_or(json_get(own, "readOnlyRootFilesystem"), false);
	s->no_new_privs = !json_bool_or(json_get(own, "allowPrivilegeEscalation"), true);
	s->seccomp = seccomp(a, security(pod, container, "seccompProfile"));
	supplemental_groups(a, pod, &s->supplemental_groups, &s->n_supplemental_groups);
	if (!s->privileged && !streq(json_str(json_get(own, "procMount")), "Unmasked")) {
		s->masked_paths = (char **)(uintptr_t)masked;
		s->n_masked_paths = ARRAY_LEN(masked);
		s->readonly_paths = (char **)(uintptr_t)read_only;
		s->n_readonly_paths = ARRAY_LEN(read_only);
	}
	return s;
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
	l->resources = container_resources(a, in->pod, doc, in->node_memory);
	l->security_context = container_security(a, in->pod, doc);
	Cri__NamespaceOption *spaces = l->security_context->namespace_options;
	if (in->target_id && spaces->pid == CRI__NAMESPACE_MODE__CONTAINER) {
		spaces->pid = CRI__NAMESPACE_MODE__TARGET;
		spaces->target_id = text(in->target_id);
	}
	c->linux = l;
	return c;
}

char *pod_hosts_file(struct arena *a, const struct json *pod, const char *pod_ip)
{
	_cleanup_(buf_finish) struct buf b = BUF_INIT;
	const char *host = pod_hostname(a, pod);
	const char *subdomain = json_str_or(json_path(pod, "spec.subdomain"), "");

	buf_add_str(&b, "# Written by hanok for this pod.\n"
			"127.0.0.1\tlocalhost\n"
			"::1\tlocalhost ip6-localhost ip6-loopback\n"
			"fe00::0\tip6-localnet\n"
			"fe00::0\tip6-mcastprefix\n"
			"fe00::1\tip6-allnodes\n"
			"fe00::2\tip6-allrouters\n");
	if (*pod_ip && *subdomain)
		buf_printf(&b, "%s\t%s.%s.%s.svc.cluster.local\t%s\n", pod_ip, host, subdomain,
			meta(pod, "namespace"), host);
	else if (*pod_ip)
		buf_printf(&b, "%s\t%s\n", pod_ip, host);
	JSON_FOR_EACH_ITEM(alias, json_path(pod, "spec.hostAliases")) {
		buf_printf(&b, "%s", json_str_or(json_get(alias, "ip"), ""));
		JSON_FOR_EACH_ITEM(name, json_get(alias, "hostnames"))
			buf_printf(&b, "\t%s", json_str_or(name, ""));
		buf_add_char(&b, '\n');
	}
	return arena_strdup(a, b.data);
}

bool container_would_be_root(
	const struct json *pod, const struct json *container, int64_t image_uid)
{
	if (!json_bool_or(security(pod, container, "runAsNonRoot"), false))
		return false;
	const struct json *user = security(pod, container, "runAsUser");
	return user ? json_int_or(user, 0) == 0 : image_uid == 0;
}

/* pod_security.c - see pod_security.h. */
#include "node/pod/pod_security.h"

#include <strings.h>

#include "node/pod/pod_model.h"

#define APPARMOR_ANNOTATION "container.apparmor.security.beta.kubernetes.io/"

/* protobuf-c wants char *; it only reads. */
static char *text(const char *s)
{
	return (char *)(uintptr_t)(s ? s : "");
}

static const char *meta(const struct json *pod, const char *name)
{
	return json_str_or(json_get(json_get(pod, "metadata"), name), "");
}

const struct json *security_setting(
	const struct json *pod, const struct json *container, const char *name)
{
	const struct json *v = json_get(json_get(container, "securityContext"), name);

	return v ? v : json_get(json_path(pod, "spec.securityContext"), name);
}

static Cri__Int64 *number(struct arena *a, int64_t n)
{
	Cri__Int64 *o = ARENA_NEW(a, Cri__Int64);

	cri__int64__init(o);
	o->value = n;
	return o;
}

static Cri__Int64 *int64_value(struct arena *a, const struct json *v)
{
	return json_is(v, JSON_INT) ? number(a, v->i) : NULL;
}

/* ---- who ---- */

int security_check_user(const struct json *pod, const struct json *container,
	const struct image_user *image, struct err *err)
{
	const char *name = json_str_or(json_get(container, "name"), "");
	const struct json *user = security_setting(pod, container, "runAsUser");
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;

	if (!json_bool_or(security_setting(pod, container, "runAsNonRoot"), false))
		return 0;
	const char *where = arena_printf(&a, "(pod: \"%s_%s(%s)\", container: %s)",
		meta(pod, "name"), meta(pod, "namespace"), meta(pod, "uid"), name);
	if (json_is(user, JSON_INT)) {
		if (user->i == 0)
			return err_set(err, -EPERM,
				"container's runAsUser breaks non-root policy %s", where);
		return 0;
	}
	if (image->uid == 0)
		return err_set(err, -EPERM,
			"container has runAsNonRoot and image will run as root %s", where);
	if (image->uid < 0 && image->name && *image->name)
		return err_set(err, -EPERM,
			"container has runAsNonRoot and image has non-numeric user (%s), cannot "
			"verify user is non-root %s",
			image->name, where);
	return 0;
}

static void supplemental_groups(
	struct arena *a, const struct json *pod, int64_t **ret, size_t *ret_count)
{
	const struct json *context = json_path(pod, "spec.securityContext");
	const struct json *list = json_get(context, "supplementalGroups");
	const struct json *fs_group = json_get(context, "fsGroup");
	size_t n = 0;

	*ret = arena_alloc(a, (json_count(list) + 1) * sizeof(**ret));
	if (json_is(fs_group, JSON_INT))
		(*ret)[n++] = fs_group->i;
	JSON_FOR_EACH_ITEM(g, list)
		(*ret)[n++] = json_int_or(g, 0);
	*ret_count = n;
}

static Cri__SupplementalGroupsPolicy groups_policy(const struct json *pod)
{
	const char *policy = json_str_or(
		json_path(pod, "spec.securityContext.supplementalGroupsPolicy"), "Merge");

	return streq(policy, "Strict") ? CRI__SUPPLEMENTAL_GROUPS_POLICY__Strict
				       : CRI__SUPPLEMENTAL_GROUPS_POLICY__Merge;
}

/* ---- profiles ---- */

static Cri__SecurityProfile *profile(
	struct arena *a, Cri__SecurityProfile__ProfileType type, const char *local)
{
	Cri__SecurityProfile *p = ARENA_NEW(a, Cri__SecurityProfile);

	cri__security_profile__init(p);
	p->profile_type = type;
	p->localhost_ref = text(local);
	return p;
}

#define PROFILE(a, type) profile(a, CRI__SECURITY_PROFILE__PROFILE_TYPE__##type, NULL)

static const char *seccomp_path(
	struct arena *a, const struct json *setting, const struct security_rules *rules)
{
	return arena_printf(a, "%s/%s", rules->seccomp_dir,
		json_str_or(json_get(setting, "localhostProfile"), ""));
}

static Cri__SecurityProfile *seccomp(
	struct arena *a, const struct json *setting, const struct security_rules *rules)
{
	const char *type = json_str_or(
		json_get(setting, "type"), rules->seccomp_default ? "RuntimeDefault" : "");

	if (streq(type, "RuntimeDefault"))
		return PROFILE(a, RuntimeDefault);
	if (streq(type, "Localhost"))
		return profile(a, CRI__SECURITY_PROFILE__PROFILE_TYPE__Localhost,
			seccomp_path(a, setting, rules));
	return PROFILE(a, Unconfined);
}

int security_check_seccomp(const struct json *pod, const struct json *container,
	const struct security_rules *rules, struct err *err)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	const struct json *setting = security_setting(pod, container, "seccompProfile");

	if (!streq(json_str(json_get(setting, "type")), "Localhost"))
		return 0;
	const char *path = seccomp_path(&a, setting, rules);
	if (access(path, R_OK) < 0)
		return err_errno(err, -errno,
			"cannot load seccomp profile \"%s\" "
			"(securityContext.seccompProfile.localhostProfile)",
			path);
	return 0;
}

const char *security_apparmor(struct arena *a, const struct json *pod, const struct json *container)
{
	const struct json *setting = security_setting(pod, container, "appArmorProfile");
	const char *type = json_str(json_get(setting, "type"));

	if (!type) {
		const char *key = arena_printf(
			a, APPARMOR_ANNOTATION "%s", json_str_or(json_get(container, "name"), ""));
		return json_str_or(json_get(json_path(pod, "metadata.annotations"), key), "");
	}
	if (streq(type, "RuntimeDefault"))
		return "runtime/default";
	if (streq(type, "Localhost"))
		return arena_printf(
			a, "localhost/%s", json_str_or(json_get(setting, "localhostProfile"), ""));
	return "unconfined";
}

static void set_apparmor(struct arena *a, const struct json *pod, const struct json *container,
	Cri__LinuxContainerSecurityContext *s)
{
	const char *name = security_apparmor(a, pod, container);

	if (!*name)
		return;
	s->apparmor_profile = text(name);
	if (streq(name, "runtime/default"))
		s->apparmor = PROFILE(a, RuntimeDefault);
	else if (str_has_prefix(name, "localhost/"))
		s->apparmor = profile(a, CRI__SECURITY_PROFILE__PROFILE_TYPE__Localhost,
			name + strlen("localhost/"));
	else
		s->apparmor = PROFILE(a, Unconfined);
}

static Cri__SELinuxOption *selinux(struct arena *a, const struct json *options)
{
	if (!options)
		return NULL;
	Cri__SELinuxOption *o = ARENA_NEW(a, Cri__SELinuxOption);
	cri__selinux_option__init(o);
	o->user = text(json_str(json_get(options, "user")));
	o->role = text(json_str(json_get(options, "role")));
	o->type = text(json_str(json_get(options, "type")));
	o->level = text(json_str(json_get(options, "level")));
	return o;
}

/* ---- what it may do ---- */

Cri__NamespaceOption *security_namespaces(
	struct arena *a, const struct json *pod, const struct security_rules *rules)
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
	o->userns_options = (Cri__UserNamespace *)(uintptr_t)rules->user_namespace;
	return o;
}

/* The runtime adds the prefix itself, and knows ALL. */
static char **capabilities(struct arena *a, const struct json *list, size_t *ret_count)
{
	char **v = arena_alloc(a, (json_count(list) + 1) * sizeof(*v));
	size_t n = 0;

	JSON_FOR_EACH_ITEM(s, list) {
		const char *name = json_str_or(s, "");
		if (strncasecmp(name, "CAP_", 4) == 0)
			name += 4;
		v[n++] = text(name);
	}
	*ret_count = n;
	return v;
}

static bool any_privileged(const struct json *pod)
{
	for (size_t i = 0; i < pod_container_count(pod); i++) {
		if (json_path_bool(pod_container_doc(pod, i), "securityContext.privileged", false))
			return true;
	}
	return false;
}

Cri__LinuxSandboxSecurityContext *security_of_sandbox(
	struct arena *a, const struct json *pod, const struct security_rules *rules)
{
	Cri__LinuxSandboxSecurityContext *s = ARENA_NEW(a, Cri__LinuxSandboxSecurityContext);
	const struct json *context = json_path(pod, "spec.securityContext");

	cri__linux_sandbox_security_context__init(s);
	s->namespace_options = security_namespaces(a, pod, rules);
	s->privileged = any_privileged(pod);
	s->run_as_user = int64_value(a, json_get(context, "runAsUser"));
	if (s->run_as_user)
		s->run_as_group = int64_value(a, json_get(context, "runAsGroup"));
	/* The sandbox does nothing but wait: it needs no more than the least. */
	s->seccomp = PROFILE(a, RuntimeDefault);
	s->selinux_options = selinux(a, json_get(context, "seLinuxOptions"));
	supplemental_groups(a, pod, &s->supplemental_groups, &s->n_supplemental_groups);
	s->supplemental_groups_policy = groups_policy(pod);
	return s;
}

/* A container whose users are the host's must not see or change these of the kernel; with users of
 * its own it may ask to (procMount Unmasked). The runtime hides nothing by itself. */
static void hide_kernel(
	const struct json *pod, const struct json *container, Cri__LinuxContainerSecurityContext *s)
{
	static const char *const masked[] = {"/proc/asound", "/proc/acpi", "/proc/interrupts",
		"/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
		"/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware",
		"/sys/devices/virtual/powercap"};
	static const char *const read_only[] = {
		"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};
	const char *mount = json_str(json_path(container, "securityContext.procMount"));

	if (s->privileged ||
		(streq(mount, "Unmasked") && !json_path_bool(pod, "spec.hostUsers", true)))
		return;
	s->masked_paths = (char **)(uintptr_t)masked;
	s->n_masked_paths = ARRAY_LEN(masked);
	s->readonly_paths = (char **)(uintptr_t)read_only;
	s->n_readonly_paths = ARRAY_LEN(read_only);
}

static bool adds_sys_admin(const struct json *own)
{
	JSON_FOR_EACH_ITEM(c, json_path(own, "capabilities.add")) {
		const char *name = json_str_or(c, "");
		if (strcasecmp(name, "SYS_ADMIN") == 0 || strcasecmp(name, "CAP_SYS_ADMIN") == 0)
			return true;
	}
	return false;
}

Cri__LinuxContainerSecurityContext *security_of_container(struct arena *a, const struct json *pod,
	const struct json *container, const struct image_user *image,
	const struct security_rules *rules)
{
	Cri__LinuxContainerSecurityContext *s = ARENA_NEW(a, Cri__LinuxContainerSecurityContext);
	Cri__Capability *caps = ARENA_NEW(a, Cri__Capability);
	const struct json *own = json_get(container, "securityContext");

	cri__linux_container_security_context__init(s);
	cri__capability__init(caps);
	caps->add_capabilities =
		capabilities(a, json_path(own, "capabilities.add"), &caps->n_add_capabilities);
	caps->drop_capabilities =
		capabilities(a, json_path(own, "capabilities.drop"), &caps->n_drop_capabilities);
	s->capabilities = caps;
	s->privileged = json_bool_or(json_get(own, "privileged"), false);
	s->namespace_options = security_namespaces(a, pod, rules);
	s->run_as_user = int64_value(a, security_setting(pod, container, "runAsUser"));
	/* The runtime takes a group only beside a user. */
	if (!s->run_as_user && image->uid >= 0)
		s->run_as_user = number(a, image->uid);
	else if (!s->run_as_user && image->name && *image->name)
		s->run_as_username = text(image->name);
	if (s->run_as_user || *text(s->run_as_username))
		s->run_as_group = int64_value(a, security_setting(pod, container, "runAsGroup"));
	s->readonly_rootfs = json_bool_or(json_get(own, "readOnlyRootFilesystem"), false);
	/* Privileged, or with the right to do anything, it can't be kept from getting more. */
	s->no_new_privs = !s->privileged && !adds_sys_admin(own) &&
			  !json_bool_or(json_get(own, "allowPrivilegeEscalation"), true);
	s->seccomp = seccomp(a, security_setting(pod, container, "seccompProfile"), rules);
	s->selinux_options = selinux(a, security_setting(pod, container, "seLinuxOptions"));
	set_apparmor(a, pod, container, s);
	supplemental_groups(a, pod, &s->supplemental_groups, &s->n_supplemental_groups);
	s->supplemental_groups_policy = groups_policy(pod);
	hide_kernel(pod, container, s);
	return s;
}

/* pod_security.c - security contexts of pods and containers, kernel parameters, and what a pod for
 * another operating system may not say. */
#include "server/api/hooks/pod_spec.h"

#define SYSCTL_MAX_BYTES 253
#define PROFILE_MAX_BYTES 4095

static void seccomp_validate(struct hook *h, const struct json *profile, const char *at)
{
	const struct json *name = json_get(profile, "localhostProfile");
	const char *name_at = at_child(h, at, "localhostProfile");
	if (!streq(json_str(json_get(profile, "type")), "Localhost")) {
		if (present(name))
			invalid(h, name_at, profile,
				"can only be set when seccomp type is Localhost");
	} else if (!present(name)) {
		required(h, name_at, "must be set when seccomp type is Localhost");
	} else {
		path_relative(h, name_at, name);
	}
}

static void apparmor_validate(struct hook *h, const struct json *profile, const char *at)
{
	const struct json *name = json_get(profile, "localhostProfile");
	const char *name_at = at_child(h, at, "localhostProfile"), *text = json_str_or(name, "");
	if (!streq(json_str(json_get(profile, "type")), "Localhost")) {
		if (present(name))
			invalid(h, name_at, name,
				"can only be set when AppArmor type is Localhost");
		return;
	}
	size_t size = strlen(text);
	if (!size)
		required(h, name_at, "must be set when AppArmor type is Localhost");
	else if (strspn(text, " \t\r\n") || strchr(" \t\r\n", text[size - 1]))
		invalid(h, name_at, name, "must not be padded with whitespace");
	if (size > PROFILE_MAX_BYTES)
		field_error(h->errors, FIELD_TOO_LONG, name_at, NULL,
			"may not be more than %d bytes", PROFILE_MAX_BYTES);
}

static void profiles_validate(struct hook *h, const struct json *context, const char *at)
{
	const struct json *seccomp = json_get(context, "seccompProfile");
	const struct json *apparmor = json_get(context, "appArmorProfile");
	if (present(seccomp))
		seccomp_validate(h, seccomp, at_child(h, at, "seccompProfile"));
	if (present(apparmor))
		apparmor_validate(h, apparmor, at_child(h, at, "appArmorProfile"));
}

void container_security_validate(
	const struct pod_check *p, const struct json *context, const char *at)
{
	struct hook *h = p->h;
	const struct json *escalation = json_get(context, "allowPrivilegeEscalation");
	if (p->host_users && streq(json_str(json_get(context, "procMount")), "Unmasked"))
		invalid(h, at_child(h, at, "procMount"), json_get(context, "procMount"),
			"`hostUsers` must be false to use `Unmasked`");
	profiles_validate(h, context, at);
	if (!present(escalation) || json_bool_or(escalation, true))
		return;
	if (json_bool_or(json_get(context, "privileged"), false))
		invalid(h, at, context,
			"cannot set `allowPrivilegeEscalation` to false and `privileged` to true");
	JSON_FOR_EACH_ITEM(cap, json_path(context, "capabilities.add"))
		if (streq(json_str(cap), "CAP_SYS_ADMIN")) {
			invalid(h, at, context,
				"cannot set `allowPrivilegeEscalation` to false and "
				"`capabilities.Add` CAP_SYS_ADMIN");
			break;
		}
}

/* Segments of lower case letters, digits, - and _ (not at their ends), between . or /. */
static bool sysctl_valid(const char *name)
{
	size_t size = strlen(name);
	bool inner = false; /* the last character may end a segment */
	if (size > SYSCTL_MAX_BYTES)
		return false;
	for (size_t i = 0; i < size; i++) {
		char c = name[i];
		bool word = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
		bool separator = c == '.' || c == '/';
		bool begin = i == 0 || name[i - 1] == '.' || name[i - 1] == '/';
		if (!word && !separator && c != '-' && c != '_')
			return false;
		if ((begin && !word) || (separator && !inner))
			return false;
		inner = word;
	}
	return inner;
}

/* "net/ipv4/x" and "net.ipv4.x" are the same; the first separator decides. */
static bool sysctl_is(const char *name, const char *prefix)
{
	size_t size = strlen(prefix);
	return strncmp(name, prefix, size) == 0 && (name[size] == '.' || name[size] == '/');
}

static bool sysctl_of_ipc(const char *name)
{
	return sysctl_is(name, "fs.mqueue") || sysctl_is(name, "fs/mqueue") ||
	       str_has_prefix(name, "kernel.shm") || str_has_prefix(name, "kernel/shm") ||
	       str_has_prefix(name, "kernel.msg") || str_has_prefix(name, "kernel/msg") ||
	       streq(name, "kernel.sem") || streq(name, "kernel/sem");
}

static void sysctls_validate(const struct pod_check *p, const struct json *list, const char *at)
{
	bool host_ipc = json_bool_or(json_get(p->spec, "hostIPC"), false);
	struct json_seen names = {.arena = p->h->arena, .by = {"name"}};
	for (size_t i = 0; i < json_count(list); i++) {
		const struct json *name = json_get(json_at(list, i), "name");
		const char *text = json_str_or(name, "");
		const char *field = arena_printf(p->h->arena, "%s[%zu].name", at, i);
		if (!*text)
			continue;
		bool valid = sysctl_valid(text);
		if (!valid)
			invalid(p->h, field, name,
				"must have at most %d characters and match regex "
				"^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*"
				"[a-z0-9])?$",
				SYSCTL_MAX_BYTES);
		if (valid && json_seen_put(&names, json_at(list, i)))
			duplicate(p->h, field, name);
		if (p->host_network && sysctl_is(text, "net"))
			invalid(p->h, field, name,
				"may not be specified when 'hostNetwork' is true");
		else if (host_ipc && sysctl_of_ipc(text))
			invalid(p->h, field, name, "may not be specified when 'hostIPC' is true");
	}
}

static void cannot_be_set(struct hook *h, const struct json *holder, const char *at,
	const char *const *names, const char *why)
{
	for (; *names; names++)
		if (present(json_get(holder, *names)))
			forbid(h, at_child(h, at, *names), "%s", why);
}

static void true_cannot_be_set(
	struct hook *h, const struct json *holder, const char *at, const char *const *names)
{
	for (; *names; names++)
		if (json_bool_or(json_get(holder, *names), false))
			forbid(h, at_child(h, at, *names), "cannot be set for a windows pod");
}

static void operating_system_validate(const struct pod_check *p)
{
	static const char *const lists[] = {"initContainers", "containers", "ephemeralContainers"};
	static const char *const windows_only[] = {"windowsOptions", NULL};
	static const char *const of_pods[] = {"appArmorProfile", "seLinuxOptions", "seccompProfile",
		"fsGroup", "fsGroupChangePolicy", "sysctls", "runAsUser", "runAsGroup",
		"supplementalGroups", "supplementalGroupsPolicy", "seLinuxChangePolicy", NULL};
	static const char *const of_containers[] = {"appArmorProfile", "seLinuxOptions",
		"seccompProfile", "capabilities", "readOnlyRootFilesystem", "privileged",
		"allowPrivilegeEscalation", "procMount", "runAsUser", "runAsGroup", NULL};
	static const char *const set[] = {"hostUsers", "shareProcessNamespace", NULL};
	static const char *const shared[] = {"hostPID", "hostIPC", NULL};
	static const char for_linux[] = "windows options cannot be set for a linux pod";
	static const char for_windows[] = "cannot be set for a windows pod";
	const struct json *os = json_get(p->spec, "os");
	if (!present(os))
		return;
	bool windows = streq(json_str(json_get(os, "name")), "windows");
	cannot_be_set(p->h, json_get(p->spec, "securityContext"),
		at_child(p->h, p->at, "securityContext"), windows ? of_pods : windows_only,
		windows ? for_windows : for_linux);
	if (windows) {
		cannot_be_set(p->h, p->spec, p->at, set, for_windows);
		true_cannot_be_set(p->h, p->spec, p->at, shared);
	}
	for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
		size_t i = 0;
		JSON_FOR_EACH_ITEM(c, json_get(p->spec, lists[l]))
			cannot_be_set(p->h, json_get(c, "securityContext"),
				arena_printf(p->h->arena, "%s.%s[%zu].securityContext", p->at,
					lists[l], i++),
				windows ? of_containers : windows_only,
				windows ? for_windows : for_linux);
	}
}

static void own_users_validate(const struct pod_check *p)
{
	static const char *const shared[][2] = {
		{"hostNetwork", "hostNetwork"}, {"hostPID", "HostPID"}, {"hostIPC", "HostIPC"}};
	if (p->host_users)
		return;
	for (size_t i = 0; i < ARRAY_LEN(shared); i++)
		if (json_bool_or(json_get(p->spec, shared[i][0]), false))
			forbid(p->h, at_child(p->h, p->at, shared[i][1]),
				"when `pod.Spec.HostUsers` is false");
}

void pod_security_validate(const struct pod_check *p)
{
	static const char *const group_policies[] = {"Merge", "Strict", NULL};
	static const char *const selinux_policies[] = {"MountOption", "Recursive", NULL};
	struct hook *h = p->h;
	const struct json *context = json_get(p->spec, "securityContext");
	const struct json *share = json_get(p->spec, "shareProcessNamespace");
	const char *at = json_count(context) ? at_child(h, p->at, "securityContext") : "";
	size_t i = 0;
	JSON_FOR_EACH_ITEM(gid, json_get(context, "supplementalGroups")) {
		if (json_int_or(gid, -1) < 0 || json_int_or(gid, -1) > INT32_MAX)
			invalid(h, arena_printf(h->arena, "%s.supplementalGroups[%zu]", at, i), gid,
				"must be between 0 and 2147483647, inclusive");
		i++;
	}
	if (json_bool_or(share, false) && json_bool_or(json_get(p->spec, "hostPID"), false))
		invalid(h, at_child(h, p->at, "securityContext.shareProcessNamespace"), share,
			"ShareProcessNamespace and HostPID cannot both be enabled");
	if (json_count(context)) {
		if (json_count(json_get(context, "sysctls")))
			sysctls_validate(
				p, json_get(context, "sysctls"), at_child(h, at, "sysctls"));
		profiles_validate(h, context, at);
		if (present(json_get(context, "supplementalGroupsPolicy")))
			check_one_of(h, at_child(h, at, "supplementalGroupsPolicy"),
				json_get(context, "supplementalGroupsPolicy"), group_policies);
		if (present(json_get(context, "seLinuxChangePolicy")))
			check_one_of(h, at_child(h, at, "seLinuxChangePolicy"),
				json_get(context, "seLinuxChangePolicy"), selinux_policies);
	}
	own_users_validate(p);
	operating_system_validate(p);
}

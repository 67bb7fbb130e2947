/* pod_security_policy.c - see pod_security_policy.h. Checks are listed at the end, each with the
 * versions it is for; the words are upstream's. */
#include "server/api/admission/pod_security_policy.h"

#include <inttypes.h>

#include "lib/base/listing.h"

#define APPARMOR_PREFIX "container.apparmor.security.beta.kubernetes.io/"
#define SECCOMP_POD "seccomp.security.alpha.kubernetes.io/pod"
#define SECCOMP_PREFIX "container.seccomp.security.alpha.kubernetes.io/"

static const char *const level_names[] = {"privileged", "baseline", "restricted"};

int pod_security_level_parse(const char *text, enum pod_security_level *ret)
{
	for (size_t i = 0; i < ARRAY_LEN(level_names); i++)
		if (streq(text, level_names[i])) {
			*ret = (enum pod_security_level)i;
			return 0;
		}
	return -EINVAL;
}

int pod_security_version_parse(const char *text, int *ret_minor)
{
	uint64_t minor;
	if (streq(text, "latest")) {
		*ret_minor = POD_SECURITY_LATEST;
		return 0;
	}
	if (!str_has_prefix(text, "v1.") || parse_u64(str_from(text + 3), &minor) < 0 ||
		minor >= INT_MAX || (text[3] == '0' && text[4]))
		return -EINVAL;
	*ret_minor = (int)minor;
	return 0;
}

char *pod_security_policy_text(struct arena *a, struct pod_security_policy p)
{
	if (p.minor == POD_SECURITY_LATEST)
		return arena_printf(a, "%s:latest", level_names[p.level]);
	return arena_printf(a, "%s:v1.%d", level_names[p.level], p.minor);
}

/* ---- lists of words ---- */

#define WORDS_MAX 1000 /* more than are told */

struct words {
	const char **items;
	size_t count, room;
};

static void add(struct arena *a, struct words *w, const char *word)
{
	if (w->count == WORDS_MAX)
		return;
	if (w->count == w->room) {
		size_t room = w->room ? w->room * 2 : 8;
		w->items = arena_grow(
			a, w->items, w->room * sizeof(*w->items), room * sizeof(*w->items));
		w->room = room;
	}
	w->items[w->count++] = word;
}

/* Sorted, each word once. */
static void add_sorted(struct arena *a, struct words *w, const char *word)
{
	size_t at = 0, end = w->count;
	while (at < end) {
		size_t middle = (at + end) / 2;
		if (strcmp(w->items[middle], word) < 0)
			at = middle + 1;
		else
			end = middle;
	}
	if (w->count == WORDS_MAX || (at < w->count && streq(w->items[at], word)))
		return;
	add(a, w, word);
	memmove(&w->items[at + 1], &w->items[at], (w->count - 1 - at) * sizeof(*w->items));
	w->items[at] = word;
}

static const char *join(struct arena *a, const struct words *w, const char *between)
{
	struct listing list = {.between = between};
	for (size_t i = 0; i < w->count; i++)
		listing_add(&list, "%s", w->items[i]);
	return listing_take(&list, a);
}

static const char *quoted(struct arena *a, const struct words *w)
{
	struct listing list = {.between = ", "};
	for (size_t i = 0; i < w->count; i++)
		listing_add(&list, "\"%s\"", w->items[i]);
	return listing_take(&list, a);
}

static const char *plural(const struct words *w, const char *one, const char *many)
{
	return w->count == 1 ? one : many;
}

/* ---- what is checked ---- */

struct subject {
	struct arena *a;
	int minor;
	const struct json *annotations, *spec, *security; /* of the pod */
	struct json **containers;			  /* of all lists */
	size_t container_count;
	bool windows;
};

struct finding {
	const char *reason, *detail;
};

static const struct json *security_of(const struct json *container)
{
	return json_get(container, "securityContext");
}

static const char *name_of(const struct json *v)
{
	return json_str_or(json_get(v, "name"), "");
}

/* `containers "a", "b"` */
static const char *containers_text(const struct subject *s, const struct words *names)
{
	return arena_printf(
		s->a, "%s %s", plural(names, "container", "containers"), quoted(s->a, names));
}

/* `pod and containers "a", "b"`; either part may be missing. */
static const char *setters(const struct subject *s, bool pod, const struct words *names)
{
	if (!names->count)
		return "pod";
	return arena_printf(s->a, "%s%s", pod ? "pod and " : "", containers_text(s, names));
}

static bool any_of(const char *text, const char *const *list)
{
	for (; *list; list++)
		if (streq(text, *list))
			return true;
	return false;
}

/* ---- baseline ---- */

static bool apparmor_type_allowed(const char *type)
{
	static const char *const allowed[] = {"RuntimeDefault", "Localhost", NULL};
	return any_of(type, allowed);
}

static bool check_apparmor(const struct subject *s, struct finding *f)
{
	struct words names = {0}, who = {0}, values = {0}, annotations = {0};
	const struct json *profile = json_get(s->security, "appArmorProfile");
	const char *type = json_str_or(json_get(profile, "type"), "");
	if (profile && !apparmor_type_allowed(type)) {
		add(s->a, &who, "pod");
		add_sorted(s->a, &values, type);
	}
	for (size_t i = 0; i < s->container_count; i++) {
		profile = json_get(security_of(s->containers[i]), "appArmorProfile");
		type = json_str_or(json_get(profile, "type"), "");
		if (!profile || apparmor_type_allowed(type))
			continue;
		add(s->a, &names, name_of(s->containers[i]));
		add_sorted(s->a, &values, type);
	}
	if (names.count)
		add(s->a, &who, containers_text(s, &names));
	JSON_FOR_EACH_MEMBER(m, s->annotations) {
		const char *value = json_str_or(m->value, "");
		if (str_has_prefix(m->name, APPARMOR_PREFIX) && *value &&
			!streq(value, "runtime/default") && !str_has_prefix(value, "localhost/"))
			add_sorted(s->a, &annotations,
				arena_printf(s->a, "%s=\"%s\"", m->name, value));
	}
	for (size_t i = 0; i < annotations.count; i++)
		add(s->a, &values, annotations.items[i]);
	if (annotations.count)
		add(s->a, &who, plural(&annotations, "annotation", "annotations"));
	if (!who.count)
		return false;
	f->reason = plural(&values, "forbidden AppArmor profile", "forbidden AppArmor profiles");
	f->detail = arena_printf(s->a, "%s must not set AppArmor profile type to %s",
		join(s->a, &who, " and "), quoted(s->a, &values));
	return true;
}

/* Adds what the container adds of capabilities that are not allowed. */
static bool adds_capabilities(const struct subject *s, const struct json *container,
	const char *const *allowed, struct words *values)
{
	bool bad = false;
	JSON_FOR_EACH_ITEM(c, json_path(security_of(container), "capabilities.add")) {
		if (any_of(json_str_or(c, ""), allowed))
			continue;
		bad = true;
		add_sorted(s->a, values, json_str_or(c, ""));
	}
	return bad;
}

static bool check_capabilities_baseline(const struct subject *s, struct finding *f)
{
	static const char *const allowed[] = {"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER",
		"FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP",
		"SETUID", "SYS_CHROOT", NULL};
	struct words names = {0}, values = {0};
	for (size_t i = 0; i < s->container_count; i++)
		if (adds_capabilities(s, s->containers[i], allowed, &values))
			add(s->a, &names, name_of(s->containers[i]));
	f->reason = "non-default capabilities";
	f->detail = arena_printf(s->a, "%s must not include %s in securityContext.capabilities.add",
		containers_text(s, &names), quoted(s->a, &values));
	return names.count > 0;
}

static bool check_host_namespaces(const struct subject *s, struct finding *f)
{
	static const char *const flags[] = {"hostNetwork", "hostPID", "hostIPC"};
	struct words found = {0};
	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		if (json_bool_or(json_get(s->spec, flags[i]), false))
			add(s->a, &found, arena_printf(s->a, "%s=true", flags[i]));
	f->reason = "host namespaces";
	f->detail = join(s->a, &found, ", ");
	return found.count > 0;
}

static bool check_host_path_volumes(const struct subject *s, struct finding *f)
{
	struct words names = {0};
	JSON_FOR_EACH_ITEM(v, json_get(s->spec, "volumes"))
		if (json_get(v, "hostPath"))
			add(s->a, &names, name_of(v));
	f->reason = "hostPath volumes";
	f->detail = arena_printf(
		s->a, "%s %s", plural(&names, "volume", "volumes"), quoted(s->a, &names));
	return names.count > 0;
}

static bool check_host_ports(const struct subject *s, struct finding *f)
{
	struct words names = {0}, ports = {0};
	for (size_t i = 0; i < s->container_count; i++) {
		bool bad = false;
		JSON_FOR_EACH_ITEM(p, json_get(s->containers[i], "ports")) {
			int64_t port = json_int_or(json_get(p, "hostPort"), 0);
			if (!port)
				continue;
			bad = true;
			add_sorted(s->a, &ports, arena_printf(s->a, "%" PRId64, port));
		}
		if (bad)
			add(s->a, &names, name_of(s->containers[i]));
	}
	f->reason = "hostPort";
	f->detail = arena_printf(s->a, "%s %s %s %s", containers_text(s, &names),
		plural(&names, "uses", "use"), plural(&ports, "hostPort", "hostPorts"),
		join(s->a, &ports, ", "));
	return names.count > 0;
}

static bool check_probe_hosts(const struct subject *s, struct finding *f)
{
	static const char *const handlers[] = {"livenessProbe", "readinessProbe", "startupProbe",
		"lifecycle.postStart", "lifecycle.preStop"};
	static const char *const actions[] = {"httpGet", "tcpSocket"};
	struct words names = {0}, hosts = {0};
	for (size_t i = 0; i < s->container_count; i++)
		for (size_t h = 0; h < ARRAY_LEN(handlers); h++)
			for (size_t n = 0; n < ARRAY_LEN(actions); n++) {
				const char *host = json_str_or(
					json_get(json_get(json_path(s->containers[i], handlers[h]),
							 actions[n]),
						"host"),
					"");
				if (!*host)
					continue;
				add_sorted(s->a, &names, name_of(s->containers[i]));
				add_sorted(s->a, &hosts, host);
			}
	f->reason = "probe or lifecycle host";
	f->detail = arena_printf(s->a, "%s %s %s %s", containers_text(s, &names),
		plural(&names, "uses", "use"),
		plural(&hosts, "probe or lifecycle host", "probe or lifecycle hosts"),
		quoted(s->a, &hosts));
	return names.count > 0;
}

static bool check_privileged(const struct subject *s, struct finding *f)
{
	struct words names = {0};
	for (size_t i = 0; i < s->container_count; i++)
		if (json_bool_or(json_get(security_of(s->containers[i]), "privileged"), false))
			add(s->a, &names, name_of(s->containers[i]));
	f->reason = "privileged";
	f->detail = arena_printf(s->a, "%s must not set securityContext.privileged=true",
		containers_text(s, &names));
	return names.count > 0;
}

static bool check_proc_mount(const struct subject *s, struct finding *f)
{
	struct words names = {0}, values = {0};
	for (size_t i = 0; i < s->container_count; i++) {
		const char *type = json_str(json_get(security_of(s->containers[i]), "procMount"));
		if (!type || streq(type, "Default"))
			continue;
		add(s->a, &names, name_of(s->containers[i]));
		add_sorted(s->a, &values, type);
	}
	f->reason = "procMount";
	f->detail = arena_printf(s->a, "%s must not set securityContext.procMount to %s",
		containers_text(s, &names), quoted(s->a, &values));
	return names.count > 0;
}

struct selinux {
	struct words types;
	bool user, role;
};

static bool selinux_bad(const struct subject *s, const struct json *security, struct selinux *found)
{
	static const char *const allowed[] = {
		"", "container_t", "container_init_t", "container_kvm_t", NULL};
	const struct json *options = json_get(security, "seLinuxOptions");
	const char *type = json_str_or(json_get(options, "type"), "");
	bool user = *json_str_or(json_get(options, "user"), "");
	bool role = *json_str_or(json_get(options, "role"), "");
	bool bad = !any_of(type, allowed) && !(s->minor >= 31 && streq(type, "container_engine_t"));
	if (bad)
		add_sorted(s->a, &found->types, type);
	found->user |= user;
	found->role |= role;
	return bad || user || role;
}

static bool check_selinux(const struct subject *s, struct finding *f)
{
	struct selinux found = {0};
	struct words names = {0}, data = {0};
	bool pod = selinux_bad(s, s->security, &found);
	for (size_t i = 0; i < s->container_count; i++)
		if (selinux_bad(s, security_of(s->containers[i]), &found))
			add(s->a, &names, name_of(s->containers[i]));
	if (!pod && !names.count)
		return false;
	if (found.types.count)
		add(s->a, &data,
			arena_printf(s->a, "%s %s", plural(&found.types, "type", "types"),
				quoted(s->a, &found.types)));
	if (found.user)
		add(s->a, &data, "user may not be set");
	if (found.role)
		add(s->a, &data, "role may not be set");
	f->reason = "seLinuxOptions";
	f->detail = arena_printf(s->a, "%s set forbidden securityContext.seLinuxOptions: %s",
		setters(s, pod, &names), join(s->a, &data, "; "));
	return true;
}

static void check_seccomp_annotation(const struct subject *s, const char *key, struct words *found)
{
	const char *value = json_str(json_get(s->annotations, key));
	if (value && !streq(value, "runtime/default") && !streq(value, "docker/default") &&
		!str_has_prefix(value, "localhost/"))
		add_sorted(s->a, found, arena_printf(s->a, "%s=\"%s\"", key, value));
}

static bool check_seccomp_annotations(const struct subject *s, struct finding *f)
{
	struct words found = {0};
	check_seccomp_annotation(s, SECCOMP_POD, &found);
	for (size_t i = 0; i < s->container_count; i++)
		check_seccomp_annotation(s,
			arena_printf(s->a, SECCOMP_PREFIX "%s", name_of(s->containers[i])), &found);
	f->reason = "seccompProfile";
	f->detail = arena_printf(s->a, "forbidden %s %s",
		plural(&found, "annotation", "annotations"), join(s->a, &found, ", "));
	return found.count > 0;
}

static bool seccomp_bad(const struct subject *s, const struct json *profile, struct words *values)
{
	static const char *const allowed[] = {"RuntimeDefault", "Localhost", NULL};
	const char *type = json_str_or(json_get(profile, "type"), "");
	if (!profile || any_of(type, allowed))
		return false;
	add_sorted(s->a, values, type);
	return true;
}

static bool check_seccomp_baseline(const struct subject *s, struct finding *f)
{
	struct words names = {0}, values = {0};
	bool pod = seccomp_bad(s, json_get(s->security, "seccompProfile"), &values);
	for (size_t i = 0; i < s->container_count; i++)
		if (seccomp_bad(
			    s, json_get(security_of(s->containers[i]), "seccompProfile"), &values))
			add(s->a, &names, name_of(s->containers[i]));
	if (!pod && !names.count)
		return false;
	f->reason = "seccompProfile";
	f->detail = arena_printf(s->a, "%s must not set securityContext.seccompProfile.type to %s",
		setters(s, pod, &names), quoted(s->a, &values));
	return true;
}

static bool check_sysctls(const struct subject *s, struct finding *f)
{
	static const struct {
		const char *name;
		int since;
	} allowed[] = {
		{"kernel.shm_rmid_forced", 0},
		{"net.ipv4.ip_local_port_range", 0},
		{"net.ipv4.tcp_syncookies", 0},
		{"net.ipv4.ping_group_range", 0},
		{"net.ipv4.ip_unprivileged_port_start", 0},
		{"net.ipv4.ip_local_reserved_ports", 27},
		{"net.ipv4.tcp_keepalive_time", 29},
		{"net.ipv4.tcp_fin_timeout", 29},
		{"net.ipv4.tcp_keepalive_intvl", 29},
		{"net.ipv4.tcp_keepalive_probes", 29},
		{"net.ipv4.tcp_rmem", 32},
		{"net.ipv4.tcp_wmem", 32},
	};
	struct words found = {0};
	JSON_FOR_EACH_ITEM(sysctl, json_get(s->security, "sysctls")) {
		bool fine = false;
		for (size_t i = 0; i < ARRAY_LEN(allowed); i++)
			fine |= s->minor >= allowed[i].since &&
				streq(allowed[i].name, name_of(sysctl));
		if (!fine)
			add(s->a, &found, name_of(sysctl));
	}
	f->reason = "forbidden sysctls";
	f->detail = join(s->a, &found, ", ");
	return found.count > 0;
}

static bool check_host_process(const struct subject *s, struct finding *f)
{
	struct words names = {0};
	bool pod = json_path_bool(s->security, "windowsOptions.hostProcess", false);
	for (size_t i = 0; i < s->container_count; i++)
		if (json_path_bool(
			    security_of(s->containers[i]), "windowsOptions.hostProcess", false))
			add(s->a, &names, name_of(s->containers[i]));
	if (!pod && !names.count)
		return false;
	f->reason = "hostProcess";
	f->detail = arena_printf(s->a,
		"%s must not set securityContext.windowsOptions.hostProcess=true",
		setters(s, pod, &names));
	return true;
}

/* ---- restricted ---- */

static bool check_privilege_escalation(const struct subject *s, struct finding *f)
{
	struct words names = {0};
	if (s->windows && s->minor >= 25)
		return false;
	for (size_t i = 0; i < s->container_count; i++)
		if (json_bool_or(
			    json_get(security_of(s->containers[i]), "allowPrivilegeEscalation"),
			    true))
			add(s->a, &names, name_of(s->containers[i]));
	f->reason = "allowPrivilegeEscalation != false";
	f->detail = arena_printf(s->a, "%s must set securityContext.allowPrivilegeEscalation=false",
		containers_text(s, &names));
	return names.count > 0;
}

static bool drops_all(const struct json *container)
{
	JSON_FOR_EACH_ITEM(c, json_path(security_of(container), "capabilities.drop"))
		if (streq(json_str(c), "ALL"))
			return true;
	return false;
}

static bool check_capabilities_restricted(const struct subject *s, struct finding *f)
{
	static const char *const allowed[] = {"NET_BIND_SERVICE", NULL};
	struct words keeping = {0}, adding = {0}, values = {0}, details = {0};
	if (s->windows && s->minor >= 25)
		return false;
	for (size_t i = 0; i < s->container_count; i++) {
		if (!drops_all(s->containers[i]))
			add(s->a, &keeping, name_of(s->containers[i]));
		if (adds_capabilities(s, s->containers[i], allowed, &values))
			add(s->a, &adding, name_of(s->containers[i]));
	}
	if (keeping.count)
		add(s->a, &details,
			arena_printf(s->a,
				"%s must set securityContext.capabilities.drop=[\"ALL\"]",
				containers_text(s, &keeping)));
	if (adding.count)
		add(s->a, &details,
			arena_printf(s->a,
				"%s must not include %s in securityContext.capabilities.add",
				containers_text(s, &adding), quoted(s->a, &values)));
	f->reason = "unrestricted capabilities";
	f->detail = join(s->a, &details, "; ");
	return details.count > 0;
}

static bool check_restricted_volumes(const struct subject *s, struct finding *f)
{
	static const char *const allowed[] = {"configMap", "csi", "downwardAPI", "emptyDir",
		"ephemeral", "image", "persistentVolumeClaim", "projected", "secret", NULL};
	struct words names = {0}, types = {0};
	JSON_FOR_EACH_ITEM(v, json_get(s->spec, "volumes")) {
		const char *type = "unknown";
		bool fine = false;
		JSON_FOR_EACH_MEMBER(m, v) {
			if (streq(m->name, "name"))
				continue;
			type = m->name;
			fine |= any_of(m->name, allowed);
		}
		if (fine)
			continue;
		add(s->a, &names, name_of(v));
		add_sorted(s->a, &types, type);
	}
	f->reason = "restricted volume types";
	f->detail = arena_printf(s->a, "%s %s %s %s %s", plural(&names, "volume", "volumes"),
		quoted(s->a, &names), plural(&names, "uses", "use"),
		plural(&types, "restricted volume type", "restricted volume types"),
		quoted(s->a, &types));
	return names.count > 0;
}

static bool check_run_as_non_root(const struct subject *s, struct finding *f)
{
	struct words refusing = {0}, silent = {0};
	const struct json *own = json_get(s->security, "runAsNonRoot");
	bool pod_bad = json_is(own, JSON_BOOL) && !own->b;
	bool pod_good = json_bool_or(own, false);
	for (size_t i = 0; i < s->container_count; i++) {
		const struct json *v = json_get(security_of(s->containers[i]), "runAsNonRoot");
		if (json_is(v, JSON_BOOL) && !v->b)
			add(s->a, &refusing, name_of(s->containers[i]));
		else if (!json_is(v, JSON_BOOL) && !pod_good)
			add(s->a, &silent, name_of(s->containers[i]));
	}
	f->reason = "runAsNonRoot != true";
	if (pod_bad || refusing.count)
		f->detail = arena_printf(s->a, "%s must not set securityContext.runAsNonRoot=false",
			setters(s, pod_bad, &refusing));
	else
		f->detail =
			arena_printf(s->a, "pod or %s must set securityContext.runAsNonRoot=true",
				containers_text(s, &silent));
	return pod_bad || refusing.count || silent.count;
}

static bool is_root(const struct json *security)
{
	const struct json *user = json_get(security, "runAsUser");
	return json_is(user, JSON_INT) && user->i == 0;
}

static bool check_run_as_user(const struct subject *s, struct finding *f)
{
	struct words names = {0};
	bool pod = is_root(s->security);
	for (size_t i = 0; i < s->container_count; i++)
		if (is_root(security_of(s->containers[i])))
			add(s->a, &names, name_of(s->containers[i]));
	if (!pod && !names.count)
		return false;
	f->reason = "runAsUser=0";
	f->detail = arena_printf(s->a, "%s must not set runAsUser=0", setters(s, pod, &names));
	return true;
}

static bool check_seccomp_restricted(const struct subject *s, struct finding *f)
{
	struct words silent = {0}, none = {0};
	if (s->windows && s->minor >= 25)
		return false;
	if (check_seccomp_baseline(s, f))
		return true;
	bool pod = seccomp_bad(s, json_get(s->security, "seccompProfile"), &none);
	bool pod_set = json_get(s->security, "seccompProfile") && !pod;
	for (size_t i = 0; i < s->container_count; i++)
		if (!json_get(security_of(s->containers[i]), "seccompProfile") && !pod_set)
			add(s->a, &silent, name_of(s->containers[i]));
	f->reason = "seccompProfile";
	f->detail = arena_printf(s->a,
		"pod or %s must set securityContext.seccompProfile.type to \"RuntimeDefault\" or "
		"\"Localhost\"",
		containers_text(s, &silent));
	return silent.count > 0;
}

/* ---- all of them ---- */

static const struct check {
	enum pod_security_level level;
	int since, until; /* minor versions; until 0 = still */
	/* At the restricted level another check sees to it from this version on; 0 = none does. */
	int replaced;
	bool (*check)(const struct subject *s, struct finding *f);
} checks[] = {
	{POD_SECURITY_BASELINE, 0, 0, 0, check_apparmor},
	{POD_SECURITY_BASELINE, 0, 0, 22, check_capabilities_baseline},
	{POD_SECURITY_BASELINE, 0, 0, 0, check_host_namespaces},
	{POD_SECURITY_BASELINE, 0, 0, -1, check_host_path_volumes},
	{POD_SECURITY_BASELINE, 0, 0, 0, check_host_ports},
	{POD_SECURITY_BASELINE, 34, 0, 0, check_probe_hosts},
	{POD_SECURITY_BASELINE, 0, 0, 0, check_privileged},
	{POD_SECURITY_BASELINE, 0, 0, 0, check_proc_mount},
	{POD_SECURITY_BASELINE, 0, 0, 0, check_selinux},
	{POD_SECURITY_BASELINE, 0, 19, 0, check_seccomp_annotations},
	{POD_SECURITY_BASELINE, 19, 0, 19, check_seccomp_baseline},
	{POD_SECURITY_BASELINE, 0, 0, 0, check_sysctls},
	{POD_SECURITY_BASELINE, 0, 0, 0, check_host_process},
	{POD_SECURITY_RESTRICTED, 8, 0, 0, check_privilege_escalation},
	{POD_SECURITY_RESTRICTED, 22, 0, 0, check_capabilities_restricted},
	{POD_SECURITY_RESTRICTED, 0, 0, 0, check_restricted_volumes},
	{POD_SECURITY_RESTRICTED, 0, 0, 0, check_run_as_non_root},
	{POD_SECURITY_RESTRICTED, 23, 0, 0, check_run_as_user},
	{POD_SECURITY_RESTRICTED, 19, 0, 0, check_seccomp_restricted},
};

static bool applies(const struct check *c, struct pod_security_policy p)
{
	if (c->level > p.level || p.minor < c->since || (c->until && p.minor >= c->until))
		return false;
	return p.level == POD_SECURITY_BASELINE || !c->replaced || p.minor < c->replaced;
}

static void gather(struct subject *s)
{
	static const char *const lists[] = {"initContainers", "containers", "ephemeralContainers"};
	size_t room = 0;
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		room += json_count(json_get(s->spec, lists[i]));
	s->containers = arena_alloc(s->a, (room + 1) * sizeof(struct json *));
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		JSON_FOR_EACH_ITEM(c, json_get(s->spec, lists[i]))
			s->containers[s->container_count++] = c;
}

bool pod_security_allows(struct arena *a, struct pod_security_policy p,
	const struct json *annotations, const struct json *spec, const char **ret_reasons,
	const char **ret_details)
{
	struct subject s = {
		.a = a,
		.minor = p.minor,
		.annotations = annotations,
		.spec = spec,
		.security = json_get(spec, "securityContext"),
		.windows = streq(json_path_str(spec, "os.name"), "windows"),
	};
	struct words reasons = {0}, details = {0};
	if (p.level == POD_SECURITY_PRIVILEGED)
		return true;
	gather(&s);
	for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
		struct finding f = {0};
		if (!applies(&checks[i], p) || !checks[i].check(&s, &f))
			continue;
		add(a, &reasons, f.reason);
		add(a, &details, arena_printf(a, "%s (%s)", f.reason, f.detail));
	}
	if (!reasons.count)
		return true;
	*ret_reasons = join(a, &reasons, ", ");
	*ret_details = join(a, &details, ", ");
	return false;
}

/* pod_refusal.c - see pod_refusal.h. */
#include "node/pod/pod_refusal.h"

#include "node/config/sysctls.h"
#include "node/pod/pod_model.h"
#include "node/pod/pod_security.h"

/* Namespaced by the kernel, and harmless to others: every pod may set them. */
static const char *const safe_sysctls[] = {
	"kernel.shm_rmid_forced",
	"net.ipv4.ip_local_port_range",
	"net.ipv4.tcp_syncookies",
	"net.ipv4.ping_group_range",
	"net.ipv4.ip_unprivileged_port_start",
	"net.ipv4.ip_local_reserved_ports",
	"net.ipv4.tcp_keepalive_time",
	"net.ipv4.tcp_fin_timeout",
	"net.ipv4.tcp_keepalive_intvl",
	"net.ipv4.tcp_keepalive_probes",
	"net.ipv4.tcp_rmem",
	"net.ipv4.tcp_wmem",
};

static bool is_allowed(struct arena *a, const char *name, const struct node_abilities *node)
{
	for (size_t i = 0; i < ARRAY_LEN(safe_sysctls); i++) {
		if (streq(name, safe_sysctls[i]))
			return true;
	}
	for (const char *const *p = node->allowed_sysctls; p && *p; p++) {
		const char *pattern = sysctl_name(a, *p);
		size_t size = strlen(pattern);
		/* One that is not namespaced is never a pod's to set. */
		if (!sysctl_namespace(name))
			continue;
		if (size > 0 && pattern[size - 1] == '*' ? strncmp(name, pattern, size - 1) == 0
							 : streq(name, pattern))
			return true;
	}
	return false;
}

static bool sysctls_refused(struct arena *a, const struct json *pod,
	const struct node_abilities *node, struct pod_refusal *ret)
{
	bool host_net = json_path_bool(pod, "spec.hostNetwork", false);
	bool host_ipc = json_path_bool(pod, "spec.hostIPC", false);

	JSON_FOR_EACH_ITEM(s, json_path(pod, "spec.securityContext.sysctls")) {
		const char *name = sysctl_name(a, json_str_or(json_get(s, "name"), ""));
		const char *ns = sysctl_namespace(name);
		ret->reason = "SysctlForbidden";
		if (!is_allowed(a, name, node)) {
			ret->message =
				arena_printf(a, "forbidden sysctl: \"%s\" not allowlisted", name);
			return true;
		}
		if ((host_net && streq(ns, "net")) || (host_ipc && streq(ns, "ipc"))) {
			ret->message = arena_printf(a,
				"forbidden sysctl: \"%s\" not allowed with host %s enabled", name,
				ns);
			return true;
		}
	}
	return false;
}

static bool wants_apparmor(struct arena *a, const struct json *pod)
{
	for (size_t i = 0; i < pod_container_count(pod); i++) {
		const char *name = security_apparmor(a, pod, pod_container_doc(pod, i));
		if (*name && !streq(name, "unconfined"))
			return true;
	}
	return false;
}

bool pod_is_refused(struct arena *a, const struct json *pod, const struct node_abilities *node,
	struct pod_refusal *ret)
{
	const char *groups =
		json_str(json_path(pod, "spec.securityContext.supplementalGroupsPolicy"));

	if (sysctls_refused(a, pod, node, ret))
		return true;
	if (!node->apparmor && wants_apparmor(a, pod)) {
		*ret = (struct pod_refusal){
			"AppArmor", "Cannot enforce AppArmor: AppArmor is not enabled on the host"};
		return true;
	}
	if (streq(groups, "Strict") && !node->supplemental_groups_policy) {
		*ret = (struct pod_refusal){"SupplementalGroupsPolicyNotSupported",
			"SupplementalGroupsPolicy=Strict is not supported in this node"};
		return true;
	}
	return false;
}

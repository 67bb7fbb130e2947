/* pod_names.h - how a pod is called inside: its host name, its domain, and /etc/hosts. Pure. */
#pragma once

#include "lib/json/json.h"

/* The longest name that Linux keeps (nodename). */
#define POD_FQDN_MAX 64

/* spec.hostname or the pod's name, at most 63 characters. */
char *pod_hostname(struct arena *a, const struct json *pod);
/* SUBDOMAIN.NAMESPACE.svc.DOMAIN; "" when the pod has no subdomain. */
const char *pod_host_domain(struct arena *a, const struct json *pod, const char *cluster_domain);
/* What the kernel is told: the host name, or with setHostnameAsFQDN the name with its domain, which
 * may be too long. "" in the host's network: its name is the host's. */
int pod_kernel_hostname(struct arena *a, const struct json *pod, const char *cluster_domain,
	const char **ret, struct err *err) _must_check_;

/* The text of /etc/hosts. In the host's network it is the host's (host_file) with the pod's aliases
 * behind it. */
char *pod_hosts_file(struct arena *a, const struct json *pod, const char *cluster_domain,
	const char *const *pod_ips, size_t pod_ip_count, struct str host_file);

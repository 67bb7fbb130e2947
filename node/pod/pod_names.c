/* pod_names.c - see pod_names.h. */
#include "node/pod/pod_names.h"

static const char *meta(const struct json *pod, const char *name)
{
	return json_str_or(json_get(json_get(pod, "metadata"), name), "");
}

static bool in_host_network(const struct json *pod)
{
	return json_path_bool(pod, "spec.hostNetwork", false);
}

char *pod_hostname(struct arena *a, const struct json *pod)
{
	enum { LABEL_MAX = 63 };
	const char *name = json_str_or(json_path(pod, "spec.hostname"), "");
	size_t size;

	if (!*name)
		name = meta(pod, "name");
	size = MIN(strlen(name), (size_t)LABEL_MAX);
	/* A cut name must not end in '-' or '.'. */
	while (size > 1 && strlen(name) > LABEL_MAX &&
		(name[size - 1] == '-' || name[size - 1] == '.'))
		size--;
	return arena_memdup(a, name, size);
}

const char *pod_host_domain(struct arena *a, const struct json *pod, const char *cluster_domain)
{
	const char *subdomain = json_str_or(json_path(pod, "spec.subdomain"), "");

	return *subdomain ? arena_printf(a, "%s.%s.svc.%s", subdomain, meta(pod, "namespace"),
				    cluster_domain)
			  : "";
}

int pod_kernel_hostname(struct arena *a, const struct json *pod, const char *cluster_domain,
	const char **ret, struct err *err)
{
	const char *domain = pod_host_domain(a, pod, cluster_domain);
	const char *name = in_host_network(pod) ? "" : pod_hostname(a, pod);

	if (*name && *domain && json_path_bool(pod, "spec.setHostnameAsFQDN", false)) {
		name = arena_printf(a, "%s.%s", name, domain);
		if (strlen(name) > POD_FQDN_MAX)
			return err_set(err, -ENAMETOOLONG,
				"failed to construct FQDN from pod hostname and cluster domain, "
				"FQDN %s is too long (%d characters is the max, %zu characters "
				"requested)",
				name, POD_FQDN_MAX, strlen(name));
	}
	*ret = name;
	return 0;
}

static void add_aliases(struct buf *b, const struct json *aliases)
{
	if (json_count(aliases) == 0)
		return;
	buf_add_str(b, "\n# Entries added by HostAliases.\n");
	JSON_FOR_EACH_ITEM(alias, aliases) {
		buf_add_str(b, json_str_or(json_get(alias, "ip"), ""));
		JSON_FOR_EACH_ITEM(name, json_get(alias, "hostnames"))
			buf_printf(b, "\t%s", json_str_or(name, ""));
		buf_add_char(b, '\n');
	}
}

char *pod_hosts_file(struct arena *a, const struct json *pod, const char *cluster_domain,
	const char *const *pod_ips, size_t pod_ip_count, struct str host_file)
{
	_cleanup_(buf_finish) struct buf b = BUF_INIT;
	const char *host = pod_hostname(a, pod);
	const char *domain = pod_host_domain(a, pod, cluster_domain);
	const struct json *aliases = json_path(pod, "spec.hostAliases");

	if (in_host_network(pod)) {
		buf_add_str(&b, "# Kubernetes-managed hosts file (host network).\n");
		buf_add(&b, host_file.p, host_file.size);
		add_aliases(&b, aliases);
		return arena_memdup(a, b.data, b.size);
	}
	buf_add_str(&b, "# Kubernetes-managed hosts file.\n"
			"127.0.0.1\tlocalhost\n"
			"::1\tlocalhost ip6-localhost ip6-loopback\n"
			"fe00::0\tip6-localnet\n"
			"fe00::0\tip6-mcastprefix\n"
			"fe00::1\tip6-allnodes\n"
			"fe00::2\tip6-allrouters\n");
	for (size_t i = 0; i < pod_ip_count; i++) {
		if (*domain)
			buf_printf(&b, "%s\t%s.%s\t%s\n", pod_ips[i], host, domain, host);
		else
			buf_printf(&b, "%s\t%s\n", pod_ips[i], host);
	}
	add_aliases(&b, aliases);
	return arena_memdup(a, b.data, b.size);
}

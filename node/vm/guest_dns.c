/* guest_dns.c - see guest_dns.h. */
#include "node/vm/guest_dns.h"

#include "lib/base/file.h"
#include "node/pod/pod_dns.h"

#define RESOLV_CONF_MAX_BYTES (64u << 10)

static const char *const *ended(struct arena *a, char **items, size_t count)
{
	const char **list = arena_alloc(a, (count + 1) * sizeof(*list));

	for (size_t i = 0; i < count; i++)
		list[i] = items[i];
	list[count] = NULL;
	return list;
}

struct dhcp_resolvers guest_dns(
	struct arena *a, const struct json *vmi, const struct node_config *config)
{
	struct pod_dns_note notes[POD_DNS_NOTES_MAX];
	struct err err = ERR_INIT;
	struct resolv_conf host;
	struct str text = {"", 0};
	size_t count;

	if (*config->resolv_conf &&
		file_load(a, config->resolv_conf, RESOLV_CONF_MAX_BYTES, &text, &err) < 0)
		text = (struct str){"", 0};
	resolv_conf_parse(a, text, &host);
	const struct json *annotations = json_path(vmi, "metadata.annotations");
	const Cri__DNSConfig *dns = pod_dns_config(a,
		&(struct pod_dns_input){
			.pod = vmi,
			.host = &host,
			.host_file = *config->resolv_conf,
			.cluster_dns = config->cluster_dns,
			.cluster_domain = config->cluster_domain,
		},
		notes, &count);
	return (struct dhcp_resolvers){
		.servers = ended(a, dns->servers, dns->n_servers),
		.searches = ended(a, dns->searches, dns->n_searches),
		.boot_file = json_str(json_get(annotations, BOOT_FILE_ANNOTATION)),
		.boot_server = json_str(json_get(annotations, BOOT_SERVER_ANNOTATION)),
	};
}

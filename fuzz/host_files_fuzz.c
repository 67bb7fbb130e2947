/* host_files_fuzz.c - files of the host that pods' settings come from: resolv.conf, and the mounts
 * by which control groups are found. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "node/pod/pod_dns.h"
#include "node/resources/cgroup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const servers[] = {"10.96.0.10", NULL};
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct pod_dns_note notes[POD_DNS_NOTES_MAX];
	struct resolv_conf host;
	struct cgroup_tree tree;
	size_t count;

	char *text = arena_memdup(&a, data, size);
	resolv_conf_parse(&a, (struct str){text, size}, &host);
	Cri__DNSConfig *c = pod_dns_config(&a,
		&(struct pod_dns_input){json_new_object(&a), &host, true, servers, "cluster.local"},
		notes, &count);
	if (c->n_servers > DNS_SERVERS_MAX || c->n_searches > DNS_SEARCHES_MAX)
		abort();
	cgroup_tree_read(text, &tree);
	if (tree.count > CGROUP_HIERARCHIES_MAX)
		abort();
	cgroup_tree_finish(&tree);
	return 0;
}

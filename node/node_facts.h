/* node_facts.h - what the machine is: probed, never assumed. */
#pragma once

#include "lib/json/json.h"

struct node_facts {
	int64_t cpu_count;
	int64_t memory_bytes;
	int64_t swap_bytes;	  /* -1 = can't be told */
	int64_t disk_bytes;	  /* of the file system that holds the data directory */
	char hostname[65];	  /* lower case */
	const char *architecture; /* as Go names it: amd64, arm64 */
	char kernel[65];
	char os_image[128];
	char machine_id[65], system_uuid[65], boot_id[65];
};

void node_facts_read(const char *data_dir, struct node_facts *ret);

/* Address of this machine as the server sees it: the source address of a connection towards it, and
 * if that is the loopback, the first other one. False when there is none. */
/* An IPv6 address of the interface that has `ipv4`, not a link-local one; false when it has none.
 */
bool node_address_find6(const char *ipv4, char ret[64]);
bool node_address_find(const char *server_host, char ret[64]);

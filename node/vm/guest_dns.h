/* guest_dns.h - whom a guest asks for names: as a pod with the same dnsPolicy and dnsConfig would.
 * Options for resolvers (ndots) are not DHCP's to give. */
#pragma once

#include "lib/json/json.h"
#include "node/net/dhcp.h"
#include "node/node_config.h"

/* In the arena. */
struct dhcp_resolvers guest_dns(
	struct arena *a, const struct json *vmi, const struct node_config *config);

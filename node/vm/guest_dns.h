/* guest_dns.h - what DHCP tells a guest: whom to ask for names, as a pod with the same dnsPolicy
 * and dnsConfig would (options for resolvers, ndots, are not DHCP's to give), and from where to
 * boot when its firmware boots from the network. */
#pragma once

#include "lib/json/json.h"
#include "node/net/dhcp.h"
#include "node/node_config.h"

/* Of the VMI: what is loaded (a URL for QEMU's iPXE, or a file of a TFTP server), and that server's
 * IPv4 address. */
#define BOOT_FILE_ANNOTATION "hanok.io/boot-file"
#define BOOT_SERVER_ANNOTATION "hanok.io/boot-server"

/* In the arena. */
struct dhcp_resolvers guest_dns(
	struct arena *a, const struct json *vmi, const struct node_config *config);

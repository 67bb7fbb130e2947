/* dhcp.h - tells VMs their addresses: a dnsmasq on the bridge that answers only MAC addresses it
 * was given, one file each in a directory that it watches. No DNS, no other interface, no lease
 * database. */
#pragma once

#include <stdbool.h>
#include <uv.h>

#include "lib/base/err.h"

/* Whom a guest asks for names. Lists end with NULL. */
struct dhcp_resolvers {
	const char *const *servers;  /* addresses; those of IPv6 are not for DHCP */
	const char *const *searches; /* domains */
	/* For firmware that boots from the network; NULL = nothing. A file of the TFTP server at
	 * boot_server (an IPv4 address), or, for firmware that can (QEMU's has iPXE), a URL. */
	const char *boot_file, *boot_server;
};
/* What dnsmasq is told of it, one line an option: name servers (6), search list (119; RFC 3397)
 * and, for guests that know no lists, its first domain (15); the boot file (67) and its server (66,
 * and the header's). What a guest can't use is left out: servers on a loopback address, words that
 * are no domain, domains for which an option has no room. To be freed. */
char *dhcp_resolver_options(const char *id, const struct dhcp_resolvers *r);

struct dhcp;
struct dhcp_config {
	const char *bridge;
	const char *network, *netmask; /* "10.244.0.0", "255.255.255.0" */
	const char *gateway;	       /* for guests' default route; NULL = they get none here */
	const char *directory;	       /* for hosts, options and the pid file; made when missing,
					  world-readable */
};
/* Starts dnsmasq, and starts it again when it ends; one that an earlier agent left is ended first.
 * report(user, NULL) when it runs, else with the reason. */
struct dhcp *dhcp_create(uv_loop_t *loop, const struct dhcp_config *c,
	void (*report)(void *user, const char *problem), void *user);
void dhcp_destroy(struct dhcp *d); /* ends dnsmasq; NULL allowed */
/* Ends the dnsmasq of this directory that an agent which was killed left. */
void dhcp_end_earlier(const char *directory);
/* Before dhcp_create: guests of this directory that `known` does not know are forgotten. They went
 * while no agent was there, and who has their address now would be kept from it by their line. */
void dhcp_forget_others(
	const char *directory, bool (*known)(void *user, const char *id), void *user);
/* id: a file name. options: of dhcp_resolver_options(). Again with something else: that counts from
 * now on. */
int dhcp_add(struct dhcp *d, const char *id, const char *mac, const char *address,
	const char *hostname, const char *options, struct err *err) _must_check_;
void dhcp_remove(struct dhcp *d, const char *id);

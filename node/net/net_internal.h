/* net_internal.h - what net.c (bridge, rules, DHCP, routes) and net_call.c (addresses of VMs)
 * share. */
#pragma once

#include <uv.h>

#include "lib/base/list.h"
#include "node/net/net.h"
#include "node/net/netd/links.h"

/* Parts that can be wrong; each remembers what, and the node is told of the first. */
enum part { PART_RANGE, PART_LINKS, PART_NETD, PART_DHCP, PART_COUNT };

struct node_net {
	struct node *node;
	struct links *links;
	struct netd_client *netd;
	struct services *services;
	struct policies *policies;
	struct host_ports *host_ports;
	struct networks *networks;
	struct import_net *imports;
	struct trusting *trusting;
	struct dhcp *dhcp;
	struct dns_child *dns;
	char dns_program[4096]; /* beside this program */
	struct informer *nodes;
	uv_timer_t timer; /* next time to bring about links, routes, rules */
	char cidr[64];
	struct net_range pods, service_net;   /* IPv4 */
	struct net_range pods6, service_net6; /* family 0 = the cluster or the host has no IPv6 */
	char gateway[NET_ADDRESS_TEXT], netmask[16], network[NET_ADDRESS_TEXT];
	char directory[128]; /* /run/hanok-node-NAME: dhcp hosts */
	char *problems[PART_COUNT];
	bool reported_ready, reported;
	bool nodes_synced;
	bool netd_there, netd_fresh; /* it runs; it has nothing yet */
	struct buf config;	     /* as last sent */
	uint32_t config_serial;	     /* unanswered config message; 0 = none */
	struct list calls;
	bool told_no_ipv6;
	char *refused; /* ranges of Nodes that are not believed; NULL = none */
	bool destroyed;
};

/* The calls that are under way end here without a word; their owners are gone. */
void net_calls_cancel_all(struct node_net *net);

/* server_rules.h - servers that trust this node by its address, and that pods and machines may
 * therefore not reach through it: their traffic leaves by the same address. Part of netd.
 *
 * The table "inet hanok-servers":
 *
 *   bridges              where pods and machines are: the pods' bridge, networks with NAT
 *   given same           bridges of the administrator that guests are on, and each with itself:
 * what stays on such a bridge has the guest's own address and passes servers4 servers6    address,
 * protocol and port own                  likewise at any address of this node
 *
 * What was led to a server by a service or a port of the node is judged wherever it came from: it
 * goes on by the node's address too. The node itself, and pods in its network, are not judged. */
#pragma once

#include "node/net/netd/nft_batch.h"

#define NETD_SERVERS_TABLE "hanok-servers"

struct server_rules {
	const struct netd_server *servers;
	size_t server_count;
	bool more_servers; /* beside those that the table has; else in their place */
	const char *bridge;
	const struct netd_network *networks;
	size_t network_count;
	bool more_networks;
};

/* As text for nft(8), one transaction. Removes the table when there are no servers and none shall
 * stay. */
void server_rules_write(struct buf *out, const struct server_rules *r);
/* 1 = the table is there, 0 = it is not, or negative. */
int server_rules_exist(struct nft_socket *s);

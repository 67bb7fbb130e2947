/* import_net.h - the network in which this node fetches what users name by a URL.
 *
 * It is a pod's: a network namespace of its own with a port and an address on the pods' bridge. So
 * a URL leads where one of the user's own pods gets, and nowhere else: not to what listens on the
 * host's loopback addresses, nor past its firewall. Names are asked of the cluster's DNS.
 *
 *   NONE --asked--> CLEARING (what an agent before left) --> MAKING --> ADDING --> THERE
 *     ^                                                         |         |
 *     +----------------------- failed: whoever asked is told <--+---------+
 *
 * It stays until the host restarts; each agent makes it anew when it is first asked for, and again
 * when pods get other ranges: transfers that are under way then break, and go on with their next
 * attempt. */
#pragma once

#include "node/child/child.h"

struct import_net;
/* directory: of the node's network, for the files that are made. */
struct import_net *import_net_create(uv_loop_t *loop, const char *directory);
void import_net_destroy(struct import_net *n); /* done of calls is not called; NULL allowed */
/* The pods' bridge is there, and pods get these ranges; range6 "" = IPv4 alone. */
void import_net_set_ranges(struct import_net *n, const char *range, const char *range6);

/* err NULL: `network` is what child_options wants, valid during the callback. */
typedef void import_net_done(
	void *user, const struct child_network *network, const struct err *err);
struct import_net_call;
/* done is called later, once. */
struct import_net_call *import_net_ask(struct import_net *n, import_net_done *done, void *user);
void import_net_cancel(struct import_net_call *c); /* NULL allowed */

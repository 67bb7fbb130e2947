/* tunnel.h - local TCP ports whose connections go, each, to a stream of a virtual machine: port
 * forwarding, VNC; and UDP ports (datagrams.h). */
#pragma once

#include "lib/client/kubeconfig.h"

struct tunnel_port {
	const char *address; /* "127.0.0.1", "::1", "localhost" */
	unsigned local;	     /* 0 = any free one */
	const char *path;    /* of the API's stream */
	bool udp;
};
struct tunnel_options {
	const struct tunnel_port *ports;
	size_t count;
	/* All ports listen: their numbers, in order. May start a program and give its PID: then the
	 * tunnel ends with it. Negative ends everything. */
	int (*listening)(void *user, const unsigned *local, int *ret_pid, struct err *err);
	void *user;
	bool once; /* ends with the first connection's end */
};
/* Runs until interrupted (0), or one of the ends above. What goes wrong with one connection is told
 * on standard error, and ends that connection alone. */
int tunnel_run(
	const struct kubeconfig *k, const struct tunnel_options *o, struct err *err) _must_check_;

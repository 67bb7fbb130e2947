/* node_proxy.h - requests that the node's agent answers: logs, exec, attach, port forwarding,
 * consoles. The node terminates the streaming protocols; here bytes are passed through. */
#pragma once

#include "lib/base/util.h"

struct api_request;
struct arena;
struct object;

/* Sends the request on to the node, to `target` (path and query), and joins the two: an upgrade
 * becomes one byte stream between client and node, any other answer is relayed as it comes. */
void node_proxy(struct api_request *req, const char *node, const char *target);
/* The same for what may take longer than 30 s until its answer begins. */
void node_proxy_within(
	struct api_request *req, const char *node, const char *target, unsigned timeout_ms);

/* Where a node's agent is to be reached. Strings are in the arena. */
struct node_endpoint {
	const char *address; /* "tcp://192.0.2.1:10250" */
	const char *ip;
	uint16_t port;
	const char *tls_name; /* its certificate must name it */
};
bool node_endpoint(struct arena *a, const struct object *node,
	struct node_endpoint *ret); /* false: it has none */

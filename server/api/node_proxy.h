/* node_proxy.h - requests that the node's agent answers: logs, exec, attach, port forwarding,
 * consoles. The node terminates the streaming protocols; here bytes are passed through. */
#pragma once

struct api_request;

/* Sends the request on to the node, to `target` (path and query), and joins the two: an upgrade
 * becomes one byte stream between client and node, any other answer is relayed as it comes. */
void node_proxy(struct api_request *req, const char *node, const char *target);

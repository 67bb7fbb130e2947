/* node_stream.h - what the server streams: logs of containers, and their standard streams.
 * Each function answers the request, now or later. */
#pragma once

#include "node/node.h"

/* GET /containerLogs/NS/POD/CONTAINER?follow&previous&tailLines&sinceSeconds&sinceTime&timestamps
 * &limitBytes */
void node_logs_serve(struct node *n, struct http_request *req, const char *ns, const char *pod,
	const char *container);
/* /exec and /attach: SPDY/3.1 upgrades go through to the runtime as they are; WebSocket ones are
 * translated. uid may be NULL. */
void node_exec_serve(struct node *n, struct http_request *req, bool attach, const char *ns,
	const char *pod, const char *uid, const char *container);
void node_port_forward_serve(
	struct node *n, struct http_request *req, const char *ns, const char *pod);

/* paths.h - what the agent's port serves besides streams and figures of containers. Each function
 * answers the request, now or later. */
#pragma once

#include "node/node.h"

/* /logs/...: files and directories below `root` ("/var/log"), nothing outside of it whatever links
 * say. `path` is what stands behind "/logs", with the leading '/'. */
void host_logs_serve(struct http_request *req, const char *root, const char *path);
/* /run/NS/POD[/UID]/CONTAINER?cmd=...: a command in a container, its output as the answer. */
void node_run_serve(struct node *n, struct http_request *req, const char *ns, const char *pod,
	const char *uid, const char *container);
/* /healthz, and "log", "ping", "syncloop" below it; `name` NULL = all. */
void health_serve(struct http_request *req, const char *name);
/* The text of /metrics, and of /metrics/probes. */
void agent_metrics_write(struct node *n, bool probes, struct buf *out);

/* The listener for /healthz without TLS: 127.0.0.1:10248. NULL with a warning in the log when it
 * can't be had, or none is configured. */
struct http_server *health_listen(struct node *n);

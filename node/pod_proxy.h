/* pod_proxy.h - HTTP to the pods of this node, for an API server that is not on their network:
 * ANY /podProxy/NS/POD/http|https/IP/PORT/PATH. */
#pragma once

#include "node/node.h"

/* `path` begins with "/podProxy/". Answers the request, now or later. */
void pod_proxy_serve(struct node *n, struct http_request *req);

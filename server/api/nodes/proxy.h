/* proxy.h - the proxy subresources: GET /api/v1/namespaces/NS/pods/[SCHEME:]NAME[:PORT]/proxy/PATH
 * and the same of services and nodes. Any method, path and query go on as they are. */
#pragma once

struct api_request;

void api_proxy(struct api_request *req);

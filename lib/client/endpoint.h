/* endpoint.h - where a kubeconfig's cluster answers, ready for lib/http's requests. */
#pragma once

#include "lib/client/kubeconfig.h"
#include "lib/http/http_client.h"

int client_endpoint_create(uv_loop_t *loop, const struct kubeconfig *k, struct http_endpoint **ret,
	struct err *err) _must_check_;
/* Header lines that say who is asking ("Authorization: ..."), "" for client certificates. Caller
 * frees. */
char *client_auth_headers(const struct kubeconfig *k);

/* node_auth.h - who may ask this node's port for what, as kubelets have it: a client certificate of
 * the cluster's CA or a bearer token (TokenReview) says who, a SubjectAccessReview on
 * nodes/SUBRESOURCE says what. Answers are remembered (config: authn_cache_ms,
 * authz_allow_cache_ms, authz_deny_cache_ms); questions that are being asked are not asked twice.
 *
 * Members of system:masters who show a certificate are let in without a question: nothing could
 * refuse them, and the API server, which asks for every log and exec, is one. So its requests are
 * served while the API itself is away. */
#pragma once

#include "lib/client/client.h"
#include "lib/http/http.h"
#include "node/node_config.h"

struct node_auth;
struct node_auth *node_auth_create(
	struct client *c, const struct node_config *config, const char *node_name);
/* Whoever waits is told 503. NULL allowed. */
void node_auth_destroy(struct node_auth *a);

/* status 200 = let in; else the answer to give: 401, 403, 500, 503 and its text, which lives in the
 * request's arena. */
typedef void node_auth_done(void *user, struct http_request *req, int status, const char *text);
/* Answers at once where it can, inside the call, else later. The request must stay unanswered until
 * then. */
void node_auth_check(
	struct node_auth *a, struct http_request *req, node_auth_done *done, void *user);

/* Pure: the subresources of "nodes" one of which must be allowed for a path, most special first;
 * NULL at the end. */
void node_auth_subresources(const char *path, const char *ret[3]);

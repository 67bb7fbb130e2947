/* http_front.c - from HTTP to a struct api_request: who asks, and the headers that matter. */
#include "server/api/api_internal.h"

/* Open to anyone: nothing in them is secret, and load balancers ask without a certificate. */
static bool is_open(const char *path)
{
	static const char *const open[] = {"/healthz", "/livez", "/readyz", "/version"};
	for (size_t i = 0; i < ARRAY_LEN(open); i++)
		if (str_has_prefix(path, open[i]) &&
			(!path[strlen(open[i])] || path[strlen(open[i])] == '/'))
			return true;
	return false;
}

/* Certificates of our CA say who somebody is (CN) and in which groups (O). Administrators may do
 * anything; nodes are let in as what they are: docs/decisions/0005-authentication.md. */
static bool is_allowed(const struct api_user *u)
{
	for (size_t i = 0; i < u->group_count; i++) {
		if (streq(u->groups[i], "system:masters"))
			return true;
		if (streq(u->groups[i], "system:nodes") && str_has_prefix(u->name, "system:node:"))
			return true;
	}
	return false;
}

static void respond_http(struct api_request *req, int code, const char *content_type,
	const char *extra, const struct http_part *parts, size_t count)
{
	http_respond_parts(req->http, code, content_type, extra, parts, count);
}

void api_http_handler(struct http_request *http, void *user)
{
	struct api *api = user;
	struct api_request *req = ARENA_NEW(&http->arena, struct api_request);
	*req = (struct api_request){
		.api = api,
		.arena = &http->arena,
		.method = http->method,
		.path = http->path,
		.query = query_parse(&http->arena, http->query),
		.accept = http_header_get(http, "Accept"),
		.content_type = http_header_get(http, "Content-Type"),
		.user_agent = http_header_get(http, "User-Agent"),
		.if_none_match = http_header_get(http, "If-None-Match"),
		.body = http->body,
		.body_size = http->body_size,
		.user = {http->peer_cn, http->peer_orgs, http->peer_org_count},
		.http = http,
		.started_ns = http->received_ns,
		.respond = respond_http,
	};
	if (!is_open(req->path) && !is_allowed(&req->user)) {
		status_set(req->arena, &req->st, 401, "Unauthorized", "Unauthorized");
		api_fail(req);
		return;
	}
	api_handle(req);
}

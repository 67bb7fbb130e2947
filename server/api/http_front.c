/* http_front.c - from HTTP to a struct api_request: who asks, and the headers that matter. */
#include "server/api/api_internal.h"
#include "server/api/auth/auth.h"

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
		.http = http,
		.started_ns = http->received_ns,
		.respond = respond_http,
	};
	if (auth_authenticate(req) < 0)
		api_fail(req);
	else
		api_handle(req);
}

/* http_front.c - from HTTP to a struct api_request: who asks, and the headers that matter. */
#include "server/api/api_internal.h"
#include "server/api/auth/auth.h"
#include "server/api/machines/export.h"
#include "server/api/machines/upload.h"

/* As upstream: smaller bodies are not worth it. Larger ones are also written bit by bit. */
#define LARGE_BYTES (128u << 10)

static bool takes_gzip(const struct http_request *http)
{
	struct str rest = str_from(http_header_get(http, "Accept-Encoding")), one;
	while (str_split(&rest, ',', &one)) {
		while (one.size && *one.p == ' ')
			one.p++, one.size--;
		if (one.size < 4 || memcmp(one.p, "gzip", 4) != 0)
			continue;
		struct str quality = {one.p + 4, one.size - 4};
		if (quality.size == 0)
			return true;
		return !(str_has_prefix(quality.p, ";q=0") &&
			 (quality.size == 4 || str_eq(quality, ";q=0.0") ||
				 str_eq(quality, ";q=0.00") || str_eq(quality, ";q=0.000")));
	}
	return false;
}

const char *api_http_headers(struct api_request *req, const char *extra)
{
	const char *given = http_header_get(req->http, "Audit-ID");
	char id[37];
	if (!given || !*given || strlen(given) > 64)
		random_uuid(&req->api->audit_ids, id);
	if (!extra)
		extra = "";
	return arena_printf(req->arena, "Audit-Id: %s\r\n%s%s",
		given && *given && strlen(given) <= 64 ? given : id,
		strstr(extra, "Cache-Control:") ? "" : "Cache-Control: no-cache, private\r\n",
		extra);
}

static void respond_http(struct api_request *req, int code, const char *content_type,
	const char *extra, const struct http_part *parts, size_t count)
{
	struct http_request *http = req->http;
	size_t size = 0;
	deadline_stop(req);
	for (size_t i = 0; i < count && size < LARGE_BYTES; i++)
		size += parts[i].blob ? parts[i].blob->size : parts[i].text_size;
	extra = api_http_headers(req, extra);
	if (size < LARGE_BYTES) {
		http_respond_parts(http, code, content_type, extra, parts, count);
		return;
	}
	extra = arena_printf(req->arena, "%sVary: Accept-Encoding\r\n", extra);
	http_respond_large(http, code, content_type, extra, parts, count,
		streq(http->method, "GET") && takes_gzip(http));
}

void api_http_respond_source(struct api_request *req, const char *content_type,
	const struct http_source *source, bool large)
{
	const char *extra = api_http_headers(req, api_warning_headers(req));
	deadline_stop(req);
	if (large)
		extra = arena_printf(req->arena, "%sVary: Accept-Encoding\r\n", extra);
	http_respond_source(
		req->http, 200, content_type, extra, source, large && takes_gzip(req->http));
}

/* Bodies come as they are: what a compressed one grows to is only known after the work. */
static bool is_encoded(const struct http_request *http)
{
	const char *encoding = http_header_get(http, "Content-Encoding");
	return encoding && *encoding && !streq(encoding, "identity");
}

void api_http_handler(struct http_request *http, void *user)
{
	struct api *api = user;
	if (upload_is_path(http->path)) {
		upload_serve(api, http);
		return;
	}
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
	list_init(&req->deadline);
	if (export_is_path(http->path)) {
		export_serve(req);
	} else if (auth_authenticate(req) < 0) {
		api_fail(req);
	} else if (is_encoded(http)) {
		status_set(req->arena, &req->st, 415, "UnsupportedMediaType",
			"the body of the request was in an unknown format - accepted content "
			"encodings "
			"include: identity");
		api_fail(req);
	} else if (deadline_read(req) < 0) {
		api_fail(req);
	} else {
		api_handle(req);
		if (!http_answered(http) && !request_lasts(req))
			deadline_start(req);
	}
}

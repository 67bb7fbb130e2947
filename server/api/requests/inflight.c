#include "server/api/requests/inflight.h"

#include "server/api/api_internal.h"

static bool is_reading(const char *method)
{
	return streq(method, "GET") || streq(method, "HEAD");
}

bool request_lasts(const struct api_request *req)
{
	static const char *const subresources[] = {
		"attach", "exec", "log", "portforward", "proxy", "console", "vnc"};
	const struct route *r = &req->route;
	if (r->type != ROUTE_RESOURCE)
		return r->type == ROUTE_NONE && streq(req->path, API_BACKUP_PATH);
	if (r->subresource) {
		for (size_t i = 0; i < ARRAY_LEN(subresources); i++)
			if (streq(r->subresource, subresources[i]))
				return true;
		return false;
	}
	return streq(req->method, "GET") &&
	       (r->watch || (!r->name && query_bool(&req->query, "watch")));
}

static bool is_exempt(const struct api_request *req)
{
	return !req->http || req->route.type == ROUTE_HEALTH || request_lasts(req) ||
	       user_in_group(&req->user, GROUP_MASTERS);
}

static void leave_reading(struct http_request *http)
{
	struct inflight *f = http->closed_user;
	f->reading--;
}

static void leave_writing(struct http_request *http)
{
	struct inflight *f = http->closed_user;
	f->writing--;
}

bool inflight_enter(struct api_request *req)
{
	static const char text[] = "Too many requests, please try again later.\n";
	struct inflight *f = &req->api->inflight;
	if (is_exempt(req))
		return true;
	bool reading = is_reading(req->method);
	unsigned *now = reading ? &f->reading : &f->writing;
	unsigned max = reading ? f->reading_max : f->writing_max;
	if (max && *now >= max) {
		api_respond_text(req, 429, "text/plain; charset=utf-8",
			"Retry-After: 1\r\nX-Content-Type-Options: nosniff\r\n", text,
			sizeof(text) - 1);
		return false;
	}
	++*now;
	req->http->closed_user = f;
	req->http->closed = reading ? leave_reading : leave_writing;
	return true;
}

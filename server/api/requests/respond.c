/* respond.c - answers: objects in the form that was asked for, Status errors, plain text. */
#include <inttypes.h>
#include <stdio.h>

#include "server/api/api_internal.h"
#include "server/api/tables/table.h"

int64_t api_now_ns(const struct api_request *req)
{
	return req->api->clock->wall_ns(req->api->clock);
}

/* Figures are kept for each name for ever: of what clients invent there is one. */
static const char *known_method(const char *method)
{
	static const char *const methods[] = {
		"GET", "PUT", "POST", "PATCH", "DELETE", "HEAD", "OPTIONS", "CONNECT", "TRACE"};

	for (size_t i = 0; i < ARRAY_LEN(methods); i++)
		if (streq(method, methods[i]))
			return methods[i];
	return "other";
}

static const char *metric_verb(const struct api_request *req)
{
	if (req->route.type != ROUTE_RESOURCE)
		return known_method(req->method);
	bool named = req->route.name != NULL;
	if (streq(req->method, "GET"))
		return named ? "GET" : "LIST";
	if (streq(req->method, "DELETE") && !named)
		return "DELETECOLLECTION";
	return known_method(req->method);
}

static const char *metric_subresource(const struct api_request *req)
{
	if (req->subresource)
		return req->subresource->name;
	/* Those have a kind only if they are known (machines/subresources.c). */
	return req->kind && streq(req->route.group, "subresources.kubevirt.io") &&
			       req->route.subresource
		       ? req->route.subresource
		       : "";
}

void api_count_answer(struct api_request *req, int code)
{
	struct api *api = req->api;
	if (req->late)
		return;
	metrics_count(&api->metrics, metric_verb(req), req->kind ? req->kind->plural : "",
		metric_subresource(req), code, api->clock->mono_ns(api->clock) - req->started_ns);
}

void api_respond_parts(struct api_request *req, int code, const char *content_type,
	const char *extra, const struct http_part *parts, size_t count)
{
	api_count_answer(req, code);
	req->respond(req, code, content_type, extra, parts, count);
}

void api_respond_source(struct api_request *req, const char *content_type,
	const struct http_source *source, bool large)
{
	if (req->http) {
		api_count_answer(req, 200);
		api_http_respond_source(req, content_type, source, large);
		return;
	}
	_cleanup_(buf_finish) struct buf out = BUF_INIT;
	while (source->next(source->user, &out))
		;
	source->finish(source->user);
	api_respond_text(req, 200, content_type, api_warning_headers(req), out.data, out.size);
}

void api_respond_text(struct api_request *req, int code, const char *content_type,
	const char *extra, const char *text, size_t size)
{
	struct http_part part = {.text = text, .text_size = size};
	api_respond_parts(req, code, content_type, extra, &part, 1);
}

void api_warn(struct api_request *req, const char *text)
{
	if (!req->warnings)
		req->warnings = json_new_array(req->arena);
	json_push(req->arena, req->warnings, json_new_string(req->arena, text));
}

void api_warnings_cut(struct api_request *req, size_t count)
{
	if (json_count(req->warnings) > count)
		req->warnings->count = (uint32_t)count;
}

/* Warning headers (RFC 7234 5.5 with code 299), which kubectl prints. */
const char *api_warning_headers(struct api_request *req)
{
	if (json_count(req->warnings) == 0)
		return NULL;
	_cleanup_(buf_finish) struct buf out = BUF_INIT;
	size_t left = 16; /* a header line each: keep the answer's header small */
	JSON_FOR_EACH_ITEM(w, req->warnings) {
		if (left-- == 0)
			break;
		buf_add_str(&out, "Warning: 299 - \"");
		for (const char *p = json_str_or(w, ""); *p; p++) {
			if (*p == '"' || *p == '\\')
				buf_add_char(&out, '\\');
			buf_add_char(&out, (unsigned char)*p < 0x20 ? ' ' : *p);
		}
		buf_add_str(&out, "\"\r\n");
	}
	return arena_memdup(req->arena, out.data, out.size);
}

static bool wants_pretty(const struct api_request *req)
{
	return query_get(&req->query, "pretty") && query_bool(&req->query, "pretty");
}

void api_respond_doc(struct api_request *req, int code, const struct json *doc)
{
	_cleanup_(buf_finish) struct buf out = BUF_INIT;
	const char *type = "application/json";
	if (req->wanted.yaml) {
		yaml_write(&out, doc);
		type = "application/yaml";
	} else if (wants_pretty(req)) {
		json_write_pretty(&out, doc);
		buf_add_char(&out, '\n');
	} else {
		json_write(&out, doc);
		buf_add_char(&out, '\n');
	}
	api_respond_text(req, code, type, api_warning_headers(req), out.data, out.size);
}

static void respond_table(
	struct api_request *req, int code, const struct kind *kind, const struct json *doc)
{
	_cleanup_(buf_finish) struct buf out = BUF_INIT;
	const char *include = query_get(&req->query, "includeObject");
	struct table_writer t = {
		.kind = kind,
		.version = req->wanted.version,
		.include = streq(include, "Object") ? INCLUDE_OBJECT
			   : streq(include, "None") ? INCLUDE_NONE
						    : INCLUDE_METADATA,
		.now_ns = api_now_ns(req),
		.out = &out,
	};
	const char *rv = json_path_str(doc, "metadata.resourceVersion");
	table_begin(&t, rv ? arena_printf(req->arena, "\"resourceVersion\":\"%s\"", rv) : "", true);
	table_add(&t, req->arena, doc);
	table_end(&t);
	api_respond_text(
		req, code, "application/json", api_warning_headers(req), out.data, out.size);
}

void api_respond_unstored(
	struct api_request *req, int code, const struct kind *kind, struct json *doc)
{
	if (req->wanted.form == ACCEPT_TABLE)
		respond_table(req, code, kind, doc);
	else if (req->wanted.form == ACCEPT_PARTIAL)
		api_respond_doc(req, code, partial_metadata(req->arena, doc, req->wanted.version));
	else
		api_respond_doc(req, code, doc);
}

/* The kind that the client speaks of, when it is another one over the same storage. */
static const struct kind *shown_as(const struct api_request *req, const struct object *o)
{
	return req->kind && req->kind->storage == o->kind ? req->kind : o->kind;
}

void api_respond_object(struct api_request *req, int code, const struct object *o)
{
	const struct kind *kind = shown_as(req, o);
	if (kind != o->kind || req->wanted.form != ACCEPT_OBJECT || req->wanted.yaml ||
		wants_pretty(req)) {
		api_respond_unstored(req, code, kind, object_doc_as(o, kind, req->arena));
		return;
	}
	struct http_part parts[2] = {{.blob = o->bytes}, {.text = "\n", .text_size = 1}};
	api_respond_parts(req, code, "application/json", api_warning_headers(req), parts, 2);
}

void api_fail(struct api_request *req)
{
	_cleanup_(buf_finish) struct buf out = BUF_INIT;
	json_write(&out, req->st.doc);
	buf_add_char(&out, '\n');
	const char *extra = api_warning_headers(req);
	int64_t retry = json_path_int(req->st.doc, "details.retryAfterSeconds", 0);
	if (retry > 0)
		extra = arena_printf(
			req->arena, "%sRetry-After: %" PRId64 "\r\n", extra ? extra : "", retry);
	api_respond_text(req, req->st.code, "application/json", extra, out.data, out.size);
}

void api_fail_method(struct api_request *req)
{
	status_set(req->arena, &req->st, 405, "MethodNotAllowed",
		"the server does not allow this method on the requested resource");
	api_fail(req);
}

void api_fail_unknown_resource(struct api_request *req)
{
	status_set(req->arena, &req->st, 404, "NotFound",
		"the server could not find the requested resource");
	api_fail(req);
}

/* list_options.c - the query of lists and watches, checked as upstream checks metav1.ListOptions.
 */
#include <inttypes.h>

#include "server/api/api_internal.h"
#include "server/api/requests/option_kinds.h"

const struct kind list_options_kind = {.group = "meta.k8s.io",
	.version = "v1",
	.kind = "ListOptions",
	.plural = "listoptions",
	.gv = "meta.k8s.io/v1",
	.resource = "listoptions.meta.k8s.io"};
const struct kind create_options_kind = {.group = "meta.k8s.io",
	.version = "v1",
	.kind = "CreateOptions",
	.plural = "createoptions",
	.gv = "meta.k8s.io/v1",
	.resource = "createoptions.meta.k8s.io"};
const struct kind update_options_kind = {.group = "meta.k8s.io",
	.version = "v1",
	.kind = "UpdateOptions",
	.plural = "updateoptions",
	.gv = "meta.k8s.io/v1",
	.resource = "updateoptions.meta.k8s.io"};
const struct kind patch_options_kind = {.group = "meta.k8s.io",
	.version = "v1",
	.kind = "PatchOptions",
	.plural = "patchoptions",
	.gv = "meta.k8s.io/v1",
	.resource = "patchoptions.meta.k8s.io"};
const struct kind delete_options_kind = {.group = "meta.k8s.io",
	.version = "v1",
	.kind = "DeleteOptions",
	.plural = "deleteoptions",
	.gv = "meta.k8s.io/v1",
	.resource = "deleteoptions.meta.k8s.io"};

static int check_match(struct api_request *req, const struct list_options *o)
{
	struct field_errors e = {.arena = req->arena};
	const char *rv = o->resource_version;
	if (o->send_initial && !o->watch)
		field_error(&e, FIELD_FORBIDDEN, "sendInitialEvents", NULL,
			"sendInitialEvents is forbidden for list");
	if (o->watch && !o->send_initial && o->match)
		field_error(&e, FIELD_FORBIDDEN, "resourceVersionMatch", NULL,
			"resourceVersionMatch is forbidden for watch unless sendInitialEvents is "
			"provided");
	if (o->send_initial && o->watch) {
		if (!streq(o->match, "NotOlderThan"))
			field_error(&e, FIELD_FORBIDDEN, "resourceVersionMatch", NULL,
				"sendInitialEvents requires setting resourceVersionMatch to "
				"NotOlderThan");
		if (!o->allow_bookmarks)
			field_error(&e, FIELD_FORBIDDEN, "sendInitialEvents", NULL,
				"sendInitialEvents requires allowWatchBookmarks");
	}
	if (o->match && !o->watch) {
		struct json *v = json_new_string(req->arena, o->match);
		bool exact = streq(o->match, "Exact");
		if (!rv)
			field_error(&e, FIELD_FORBIDDEN, "resourceVersionMatch", NULL,
				"resourceVersionMatch is forbidden unless resourceVersion is "
				"provided");
		if (o->continue_token)
			field_error(&e, FIELD_FORBIDDEN, "resourceVersionMatch", NULL,
				"resourceVersionMatch is forbidden when continue is provided");
		if (!exact && !streq(o->match, "NotOlderThan"))
			field_error(&e, FIELD_NOT_SUPPORTED, "resourceVersionMatch", v,
				"supported values: \"Exact\", \"NotOlderThan\", \"\"");
		if (exact && streq(rv, "0"))
			field_error(&e, FIELD_FORBIDDEN, "resourceVersionMatch", NULL,
				"resourceVersionMatch \"exact\" is forbidden for resourceVersion "
				"\"0\"");
	}
	if (field_error_count(&e))
		return status_invalid(req->arena, &req->st, &list_options_kind, "", &e);
	return 0;
}

int status_too_new(struct api_request *req, uint64_t wanted)
{
	status_set(req->arena, &req->st, 504, "Timeout",
		"Timeout: Too large resource version: %" PRIu64 ", current: %" PRIu64, wanted,
		cache_revision(req->api->cache));
	struct json *causes = json_new_array(req->arena), *cause = json_new_object(req->arena);
	json_set_str(req->arena, cause, "reason", "ResourceVersionTooLarge");
	json_set_str(req->arena, cause, "message", "Too large resource version");
	json_push(req->arena, causes, cause);
	status_detail(req->arena, &req->st, "causes", causes);
	status_detail(req->arena, &req->st, "retryAfterSeconds", json_new_int(req->arena, 1));
	return -EREMOTEIO;
}

static const char *not_empty(const char *s)
{
	return s && *s ? s : NULL;
}

int list_options_parse(struct api_request *req, struct list_options *ret)
{
	const struct query *q = &req->query;
	struct list_options o = {
		.resource_version = not_empty(query_get(q, "resourceVersion")),
		.match = not_empty(query_get(q, "resourceVersionMatch")),
		.continue_token = not_empty(query_get(q, "continue")),
		.watch = req->route.watch || query_bool(q, "watch"),
		.allow_bookmarks = query_bool(q, "allowWatchBookmarks"),
		.send_initial = query_bool(q, "sendInitialEvents"),
	};
	const char *labels = not_empty(query_get(q, "labelSelector"));
	const char *fields = not_empty(query_get(q, "fieldSelector"));
	const char *limit = not_empty(query_get(q, "limit"));
	const char *timeout = not_empty(query_get(q, "timeoutSeconds"));
	int r = 0;
	if (labels)
		r = selector_parse_labels(req->arena, labels, &o.labels, &req->st);
	if (r == 0 && fields)
		r = selector_parse_fields(req->arena, req->kind, fields, &o.fields, &req->st);
	if (r < 0)
		return r;
	if (limit) {
		int64_t n;
		if (parse_i64(str_from(limit), &n) < 0)
			return status_bad_request(req->arena, &req->st,
				"strconv.ParseInt: parsing \"%s\": invalid syntax", limit);
		o.limit = n > 0 ? (uint64_t)n : 0;
	}
	if (timeout && (parse_i64(str_from(timeout), &o.timeout_s) < 0 || o.timeout_s < 0))
		return status_bad_request(req->arena, &req->st,
			"strconv.ParseInt: parsing \"%s\": invalid syntax", timeout);
	r = check_match(req, &o);
	if (r < 0)
		return r;
	if (o.resource_version && parse_u64(str_from(o.resource_version), &o.revision) < 0)
		return status_bad_request(req->arena, &req->st,
			"resourceVersion: Invalid value: \"%s\": strconv.ParseUint: parsing "
			"\"%s\": "
			"invalid syntax",
			o.resource_version, o.resource_version);
	*ret = o;
	return 0;
}

const char *continue_encode(struct arena *a, uint64_t revision, const char *ns, const char *name)
{
	struct json *t = json_new_object(a);
	json_set_str(a, t, "v", "meta.k8s.io/v1");
	json_set_int(a, t, "rv", (int64_t)revision);
	json_set(a, t, "start", json_new_printf(a, "%s/%s", ns, name));
	const char *text = json_text(a, t);
	return base64url_encode(a, text, strlen(text));
}

int continue_decode(struct api_request *req, const char *token, uint64_t *ret_revision,
	const char **ret_ns, const char **ret_name)
{
	struct arena *a = req->arena;
	char *text;
	size_t size;
	struct json *t;
	if (strlen(token) > 2048 || base64url_decode(a, str_from(token), &text, &size) < 0 ||
		json_parse(a, text, size, NULL, &t, NULL) < 0)
		return status_bad_request(a, &req->st,
			"invalid continue token: continue key is not valid: not a token of this "
			"server");
	const char *start = json_str(json_get(t, "start"));
	const char *slash = start ? strchr(start, '/') : NULL;
	const char *version = json_str_or(json_get(t, "v"), "");
	int64_t rv = json_int_or(json_get(t, "rv"), 0);
	if (!streq(version, "meta.k8s.io/v1"))
		return status_bad_request(a, &req->st,
			"invalid continue token: continue key is not valid: server does not "
			"recognize this encoded version \"%s\"",
			version);
	if (rv == 0)
		return status_bad_request(a, &req->st,
			"invalid continue token: continue key is not valid: incorrect encoded "
			"start resourceVersion (version meta.k8s.io/v1)");
	if (!slash)
		return status_bad_request(a, &req->st,
			"invalid continue token: continue key is not valid: encoded start key "
			"empty (version meta.k8s.io/v1)");
	*ret_revision = rv < 0 ? CONTINUE_IN_PRESENT : (uint64_t)rv;
	*ret_ns = arena_memdup(a, start, (size_t)(slash - start));
	*ret_name = slash + 1;
	return 0;
}

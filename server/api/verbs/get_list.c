/* get_list.c - reads. Objects are answered as their stored bytes; only tables and metadata lists
 * parse. */
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>

#include "server/api/api_internal.h"
#include "server/api/verbs/sliced_list.h"

static bool is_made(const struct api_request *req)
{
	return !req->kind->custom && hooks_find(req->kind)->make;
}

/* The kind whose objects are looked for: the request's, or that of which its objects are made. */
static const struct kind *sought_kind(const struct api_request *req)
{
	if (!is_made(req))
		return req->kind;
	const struct kind_hooks *h = hooks_find(req->kind);
	return kind_by_name(req->api->kinds, h->made_of.group, h->made_of.version, h->made_of.kind);
}

/* Figures that are not there are missed in metrics-server's words, which clients know: it names
 * them by their kind, those of pods with the namespace. */
static void status_no_figures(struct api_request *req)
{
	const char *ns = req->route.namespace;
	char *lower = arena_strdup(req->arena, req->kind->kind);
	for (char *c = lower; *c; c++)
		*c = (char)tolower((unsigned char)*c);
	struct kind named = *req->kind;
	named.plural = lower;
	snprintf(named.resource, sizeof(named.resource), "%s.%s", lower, named.group);
	status_not_found(req->arena, &req->st, &named,
		ns && *ns ? arena_printf(req->arena, "%s/%s", ns, req->route.name)
			  : req->route.name);
}

static void get_made(struct api_request *req)
{
	const struct object *of = cache_get(req->api->cache, sought_kind(req),
		req->route.namespace ? req->route.namespace : "", req->route.name);
	const struct compute c = {.api = req->api, .arena = req->arena, .kind = req->kind};
	struct json *doc = of ? hooks_find(req->kind)->make(&c, of) : NULL;
	if (!doc) {
		status_no_figures(req);
		api_fail(req);
		return;
	}
	struct object *o = object_new(req->kind, req->arena, doc, 0);
	api_respond_object(req, 200, o);
	object_unref(o);
}

void api_get(struct api_request *req)
{
	if (is_made(req)) {
		get_made(req);
		return;
	}
	const char *rv = query_get(&req->query, "resourceVersion");
	if (rv && *rv && !streq(rv, "0")) {
		uint64_t wanted;
		if (parse_u64(str_from(rv), &wanted) < 0) {
			status_bad_request(req->arena, &req->st,
				"resourceVersion: Invalid value: \"%s\": strconv.ParseUint: "
				"parsing "
				"\"%s\": invalid syntax",
				rv, rv);
			api_fail(req);
			return;
		}
		if (wanted > cache_revision(req->api->cache)) {
			status_too_new(req, wanted);
			api_fail(req);
			return;
		}
	}
	const struct object *o = cache_get(req->api->cache, req->kind,
		req->route.namespace ? req->route.namespace : "", req->route.name);
	if (!o) {
		status_not_found(req->arena, &req->st, req->kind, req->route.name);
		api_fail(req);
		return;
	}
	api_respond_object(req, 200, o);
}

/* What a token stands for is not kept any more. The answer has another one, which goes on in the
 * present: whoever takes it knows that the pages do not belong together. */
static int status_continue_expired(struct api_request *req, const struct cache_query *q)
{
	status_set(req->arena, &req->st, 410, "Expired",
		"The provided continue parameter is too old to display a consistent list result. "
		"You can start a new list without the continue parameter, or use the continue "
		"token in this response to retrieve the remainder of the results. Continuing with "
		"the provided token results in an inconsistent list - objects that were created, "
		"modified, or deleted between the time the first chunk was returned and now may "
		"show up in the list.");
	json_set_str(req->arena, json_object_at(req->arena, req->st.doc, "metadata"), "continue",
		continue_encode(
			req->arena, CONTINUE_IN_PRESENT, q->after_namespace, q->after_name));
	return -EREMOTEIO;
}

/* The revision whose state is asked for, UINT64_MAX = the present. A limit with a revision asks
 * for exactly that one, as upstream has had it since before resourceVersionMatch. */
static int list_revision(
	struct api_request *req, const struct list_options *o, struct cache_query *q, uint64_t *ret)
{
	*ret = UINT64_MAX;
	if (o->continue_token) {
		if (o->revision)
			return status_bad_request(req->arena, &req->st,
				"specifying resource version is not allowed when using continue");
		return continue_decode(
			req, o->continue_token, ret, &q->after_namespace, &q->after_name);
	}
	if (o->revision > cache_revision(req->api->cache))
		return status_too_new(req, o->revision);
	if (o->revision && (streq(o->match, "Exact") || (!o->match && o->limit)))
		*ret = o->revision;
	return 0;
}

static int list_page(struct api_request *req, const struct list_options *o, struct cache_page *ret)
{
	struct cache_query q = {
		.kind = sought_kind(req),
		.namespace = req->route.namespace,
		.labels = o->labels.count ? &o->labels : NULL,
		.fields = o->fields.count ? &o->fields : NULL,
		.limit = o->limit,
	};
	uint64_t revision;
	int r = list_revision(req, o, &q, &revision);
	if (r < 0)
		return r;
	if (revision != CONTINUE_IN_PRESENT && revision > cache_revision(req->api->cache))
		return status_too_new(req, revision);
	r = cache_list_at(req->api->cache, &q, revision, req->arena, ret);
	if (r == 0)
		return 0;
	if (r == -EAGAIN) {
		status_set(req->arena, &req->st, 429, "TooManyRequests",
			"too many lists of earlier resource versions, please try again later");
		status_detail(
			req->arena, &req->st, "retryAfterSeconds", json_new_int(req->arena, 1));
		return r;
	}
	if (o->continue_token)
		return status_continue_expired(req, &q);
	return status_set(req->arena, &req->st, 410, "Expired",
		"The resourceVersion for the provided list is too old.");
}

static const char *list_meta(struct api_request *req, const struct cache_page *page, bool selected)
{
	uint64_t revision = page->revision;
	const char *rest = "";
	if (page->more && page->count) {
		const struct object *last = page->items[page->count - 1];
		rest = arena_printf(req->arena, ",\"continue\":\"%s\"",
			continue_encode(req->arena, revision, last->namespace, last->name));
		if (!selected)
			rest = arena_printf(req->arena, "%s,\"remainingItemCount\":%" PRIu64, rest,
				page->remaining);
	}
	return arena_printf(req->arena, "\"resourceVersion\":\"%" PRIu64 "\"%s", revision, rest);
}

static struct http_part object_part(struct api_request *req, const struct object *o)
{
	if (o->kind == req->kind)
		return (struct http_part){.blob = o->bytes};
	const char *text = json_text(req->arena, object_doc_as(o, req->kind, req->arena));
	return (struct http_part){.text = text, .text_size = strlen(text)};
}

static void respond_objects(
	struct api_request *req, const struct cache_page *page, const char *meta)
{
	const struct kind *k = req->kind;
	const char *head = arena_printf(req->arena,
		"{\"kind\":\"%s\",\"apiVersion\":\"%s\",\"metadata\":{%s},\"items\":[",
		k->list_kind, k->gv, meta);
	/* Not of the arena, which a slow client keeps for as long as it reads. */
	struct http_part *parts = xcalloc(2 * page->count + 2, sizeof(*parts));
	size_t n = 0;
	parts[n++] = (struct http_part){.text = head, .text_size = strlen(head)};
	for (size_t i = 0; i < page->count; i++) {
		if (i)
			parts[n++] = (struct http_part){.text = ",", .text_size = 1};
		parts[n++] = object_part(req, page->items[i]);
	}
	parts[n++] = (struct http_part){.text = "]}\n", .text_size = 3};
	api_respond_parts(req, 200, "application/json", api_warning_headers(req), parts, n);
	free(parts);
}

void api_list(struct api_request *req)
{
	struct list_options o;
	if (list_options_parse(req, &o) < 0) {
		api_fail(req);
		return;
	}
	struct cache_page page;
	if (list_page(req, &o, &page) < 0) {
		api_fail(req);
		return;
	}
	/* How many can be made of the rest is not known. */
	bool made = is_made(req);
	const char *meta = list_meta(req, &page, made || o.labels.count || o.fields.count);
	if (made || req->wanted.form != ACCEPT_OBJECT || req->wanted.yaml ||
		query_bool(&req->query, "pretty"))
		sliced_list_respond(req, &page, meta);
	else
		respond_objects(req, &page, meta);
}

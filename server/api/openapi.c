#include "server/api/openapi.h"

#include <inttypes.h>
#include <stdio.h>

#include "lib/base/table.h"
#include "server/api/api_internal.h"

struct openapi {
	const struct kind_registry *kinds;
	struct table hashes; /* "api/v1" -> char * */
	char *v2_hash;
};

struct openapi *openapi_create(const struct kind_registry *kinds)
{
	struct openapi *o = xcalloc(1, sizeof(*o));
	o->kinds = kinds;
	return o;
}

void openapi_destroy(struct openapi *o)
{
	if (!o)
		return;
	for (struct table_iter it = table_iterate(&o->hashes); table_next(&it);)
		free(it.value);
	table_finish(&o->hashes);
	free(o->v2_hash);
	free(o);
}

bool openapi_is_shared(const struct schema *s)
{
	return s->name != NULL;
}

struct visit {
	const struct kind_registry *kinds;
	struct table seen;
	openapi_visit *visit;
	void *user;
};

static void visit_schema(struct visit *v, const struct schema *s);

static void visit_below(struct visit *v, const struct schema *s)
{
	for (size_t i = 0; i < s->property_count; i++)
		visit_schema(v, s->properties[i].schema);
	if (s->additional)
		visit_schema(v, s->additional);
	if (s->items)
		visit_schema(v, s->items);
}

static void visit_named(
	struct visit *v, const char *name, const struct schema *s, const struct kind *k)
{
	if (table_get(&v->seen, name))
		return;
	table_set(&v->seen, name, v);
	/* Uses may say more than the definition (their own description): the definition counts. */
	const struct schema *own = k ? NULL : kind_definition(v->kinds, name);
	if (own)
		s = own;
	v->visit(v->user, name, s, k);
	visit_below(v, s);
}

static void visit_schema(struct visit *v, const struct schema *s)
{
	if (openapi_is_shared(s))
		visit_named(v, s->name, s, NULL);
	else
		visit_below(v, s);
}

void openapi_visit_definitions(const struct kind_registry *kinds, const char *group,
	const char *version, openapi_visit *visit, void *user)
{
	struct visit v = {.kinds = kinds, .seen = TABLE_INIT, .visit = visit, .user = user};
	for (size_t i = 0; i < kind_count(kinds); i++) {
		const struct kind *k = kind_at(kinds, i);
		if (!k->served ||
			(group && (!streq(k->group, group) || !streq(k->version, version))))
			continue;
		char name[300];
		snprintf(name, sizeof(name), "%s", k->schema->name ? k->schema->name : k->kind);
		visit_named(&v, name, k->schema, k);
	}
	table_finish(&v.seen);
}

const char *openapi_patch_strategy(const struct schema *s)
{
	if (s->patch_merge)
		return s->patch_retain_keys ? "merge,retainKeys" : "merge";
	return s->patch_retain_keys ? "retainKeys" : NULL;
}

const char *openapi_type_name(enum schema_type t)
{
	switch (t) {
	case SCHEMA_OBJECT:
		return "object";
	case SCHEMA_ARRAY:
		return "array";
	case SCHEMA_STRING:
		return "string";
	case SCHEMA_INTEGER:
		return "integer";
	case SCHEMA_NUMBER:
		return "number";
	case SCHEMA_BOOLEAN:
		return "boolean";
	case SCHEMA_ANY:
	case SCHEMA_INT_OR_STRING:
		break;
	}
	return NULL;
}

/* OpenAPI 3.0 as JSON. */
static void add_key(struct buf *out, bool *first, const char *key)
{
	if (!*first)
		buf_add_char(out, ',');
	*first = false;
	json_write_string(out, key, strlen(key));
	buf_add_char(out, ':');
}

static void add_string(struct buf *out, bool *first, const char *key, const char *value)
{
	add_key(out, first, key);
	json_write_string(out, value, strlen(value));
}

static void write_schema(struct buf *out, const struct schema *s, const struct kind *k);

/* Where a schema is used: a $ref, with allOf when something stands beside it. */
static void write_use(struct buf *out, const struct schema *s)
{
	if (!openapi_is_shared(s)) {
		write_schema(out, s, NULL);
		return;
	}
	buf_printf(out, "{\"allOf\":[{\"$ref\":\"#/components/schemas/%s\"}]", s->name);
	if (s->description) {
		buf_add_str(out, ",\"description\":");
		json_write_string(out, s->description, strlen(s->description));
	}
	if (s->default_value) {
		buf_add_str(out, ",\"default\":");
		json_write(out, s->default_value);
	}
	const char *strategy = openapi_patch_strategy(s);
	if (strategy)
		buf_printf(out, ",\"x-kubernetes-patch-strategy\":\"%s\"", strategy);
	buf_add_char(out, '}');
}

static void write_required(struct buf *out, bool *first, const struct schema *s)
{
	bool any = false;
	for (size_t i = 0; i < s->property_count; i++) {
		if (!s->properties[i].required)
			continue;
		if (!any)
			add_key(out, first, "required");
		buf_add_char(out, any ? ',' : '[');
		json_write_string(out, s->properties[i].name, s->properties[i].name_size);
		any = true;
	}
	if (any)
		buf_add_char(out, ']');
}

static void write_list_hints(struct buf *out, bool *first, const struct schema *s)
{
	static const char *const types[] = {
		[LIST_ATOMIC] = "atomic", [LIST_SET] = "set", [LIST_MAP] = "map"};
	add_string(out, first, "x-kubernetes-list-type", types[s->list_type]);
	for (size_t i = 0; i < s->list_map_key_count; i++) {
		if (i == 0)
			add_key(out, first, "x-kubernetes-list-map-keys");
		buf_add_char(out, i ? ',' : '[');
		json_write_string(out, s->list_map_keys[i], strlen(s->list_map_keys[i]));
	}
	if (s->list_map_key_count)
		buf_add_char(out, ']');
}

static void write_schema(struct buf *out, const struct schema *s, const struct kind *k)
{
	bool first = true;
	buf_add_char(out, '{');
	if (s->description)
		add_string(out, &first, "description", s->description);
	const char *type = openapi_type_name(s->type);
	if (type)
		add_string(out, &first, "type", type);
	if (s->type == SCHEMA_INT_OR_STRING) {
		add_key(out, &first, "oneOf");
		buf_add_str(out, "[{\"type\":\"integer\"},{\"type\":\"string\"}]");
		add_string(out, &first, "format", "int-or-string");
	} else if (s->format) {
		add_string(out, &first, "format", s->format);
	}
	if (s->nullable) {
		add_key(out, &first, "nullable");
		buf_add_str(out, "true");
	}
	write_required(out, &first, s);
	if (s->property_count) {
		add_key(out, &first, "properties");
		buf_add_char(out, '{');
		bool first_property = true;
		for (size_t i = 0; i < s->property_count; i++) {
			add_key(out, &first_property, s->properties[i].name);
			write_use(out, s->properties[i].schema);
		}
		buf_add_char(out, '}');
	}
	if (s->additional) {
		add_key(out, &first, "additionalProperties");
		write_use(out, s->additional);
	}
	if (s->items) {
		add_key(out, &first, "items");
		write_use(out, s->items);
		write_list_hints(out, &first, s);
	}
	if (s->default_value) {
		add_key(out, &first, "default");
		json_write(out, s->default_value);
	}
	if (s->enum_values) {
		add_key(out, &first, "enum");
		json_write(out, s->enum_values);
	}
	if (s->pattern)
		add_string(out, &first, "pattern", s->pattern);
	if (s->has_minimum) {
		add_key(out, &first, "minimum");
		buf_printf(out, "%.17g", s->minimum);
	}
	if (s->has_maximum) {
		add_key(out, &first, "maximum");
		buf_printf(out, "%.17g", s->maximum);
	}
	if (openapi_patch_strategy(s))
		add_string(out, &first, "x-kubernetes-patch-strategy", openapi_patch_strategy(s));
	if (s->patch_merge_key)
		add_string(out, &first, "x-kubernetes-patch-merge-key", s->patch_merge_key);
	if (s->preserve_unknown || s->type == SCHEMA_ANY) {
		add_key(out, &first, "x-kubernetes-preserve-unknown-fields");
		buf_add_str(out, "true");
	}
	if (k) {
		add_key(out, &first, "x-kubernetes-group-version-kind");
		buf_printf(out, "[{\"group\":\"%s\",\"version\":\"%s\",\"kind\":\"%s\"}]", k->group,
			k->version, k->kind);
	}
	buf_add_char(out, '}');
}

static void write_operation(struct buf *out, const struct kind *k, const char *method,
	const char *action, const char *const *queries, const char *const *media)
{
	buf_printf(out,
		"\"%s\":{\"x-kubernetes-action\":\"%s\",\"x-kubernetes-group-version-kind\":"
		"{\"group\":\"%s\",\"version\":\"%s\",\"kind\":\"%s\"},\"parameters\":[",
		method, action, k->group, k->version, k->kind);
	for (size_t i = 0; queries && queries[i]; i++)
		buf_printf(out,
			"%s{\"name\":\"%s\",\"in\":\"query\",\"schema\":{\"type\":\"string\","
			"\"uniqueItems\":true}}",
			i ? "," : "", queries[i]);
	buf_add_char(out, ']');
	const char *name = k->schema->name ? k->schema->name : k->kind;
	for (size_t i = 0; media && media[i]; i++)
		buf_printf(out, "%s\"%s\":{\"schema\":{\"$ref\":\"#/components/schemas/%s\"}}",
			i ? "," : ",\"requestBody\":{\"content\":{", media[i], name);
	if (media)
		buf_add_str(out, "}}");
	buf_printf(out,
		",\"responses\":{\"200\":{\"description\":\"OK\",\"content\":{\"application/json\":"
		"{\"schema\":{\"$ref\":\"#/components/schemas/%s\"}}}}}}",
		name);
}

static const char *const write_queries[] = {"dryRun", "fieldManager", "fieldValidation", NULL};
static const char *const patch_queries[] = {
	"dryRun", "fieldManager", "fieldValidation", "force", NULL};
static const char *const list_queries[] = {"continue", "fieldSelector", "labelSelector", "limit",
	"resourceVersion", "resourceVersionMatch", "timeoutSeconds", "watch", "allowWatchBookmarks",
	"sendInitialEvents", NULL};
static const char *const delete_queries[] = {
	"dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy", NULL};
static const char *const body_media[] = {
	"application/json", "application/yaml", "application/vnd.kubernetes.protobuf", NULL};
static const char *const patch_media[] = {"application/json-patch+json",
	"application/merge-patch+json", "application/strategic-merge-patch+json",
	"application/apply-patch+yaml", NULL};
static const char *const plain_patch_media[] = {"application/json-patch+json",
	"application/merge-patch+json", "application/apply-patch+yaml", NULL};

static void write_paths(struct buf *out, const struct kind *k, bool *first)
{
	char base[256];
	snprintf(base, sizeof(base), "/%s/%s%s%s", *k->group ? "apis" : "api",
		*k->group ? k->group : "", *k->group ? "/" : "", k->version);
	char path[640];
	snprintf(path, sizeof(path), "%s/%s%s", base,
		k->namespaced ? "namespaces/{namespace}/" : "", k->plural);
	bool any = false;
	add_key(out, first, path);
	buf_add_char(out, '{');
	if (kind_has_verb(k, "list")) {
		write_operation(out, k, "get", "list", list_queries, NULL);
		any = true;
	}
	if (kind_has_verb(k, "create")) {
		buf_add_str(out, any ? "," : "");
		write_operation(out, k, "post", "post", write_queries, body_media);
		any = true;
	}
	if (kind_has_verb(k, "deletecollection")) {
		buf_add_str(out, any ? "," : "");
		write_operation(out, k, "delete", "deletecollection", delete_queries, NULL);
	}
	buf_add_str(out, "},");
	buf_printf(out, "\"%s/{name}\":{", path);
	any = false;
	if (kind_has_verb(k, "get")) {
		write_operation(out, k, "get", "get", NULL, NULL);
		any = true;
	}
	if (kind_has_verb(k, "update")) {
		buf_add_str(out, any ? "," : "");
		write_operation(out, k, "put", "put", write_queries, body_media);
		any = true;
	}
	if (kind_has_verb(k, "patch")) {
		buf_add_str(out, any ? "," : "");
		write_operation(out, k, "patch", "patch", patch_queries,
			k->strategic_patch ? patch_media : plain_patch_media);
		any = true;
	}
	if (kind_has_verb(k, "delete")) {
		buf_add_str(out, any ? "," : "");
		write_operation(out, k, "delete", "delete", delete_queries, NULL);
	}
	buf_add_char(out, '}');
}

struct v3_writer {
	struct buf *out;
	bool first;
};

static void write_definition(
	void *user, const char *name, const struct schema *s, const struct kind *k)
{
	struct v3_writer *w = user;
	add_key(w->out, &w->first, name);
	write_schema(w->out, s, k);
}

bool openapi_v3_write(
	const struct kind_registry *kinds, const char *group, const char *version, struct buf *out)
{
	bool first = true, any = false;
	buf_printf(out,
		"{\"openapi\":\"3.0.0\",\"info\":{\"title\":\"hanok\",\"version\":\"%s\"},"
		"\"paths\":{",
		HANOK_VERSION);
	for (size_t i = 0; i < kind_count(kinds); i++) {
		const struct kind *k = kind_at(kinds, i);
		if (!k->served || !streq(k->group, group) || !streq(k->version, version))
			continue;
		any = true;
		write_paths(out, k, &first);
	}
	buf_add_str(out, "},\"components\":{\"schemas\":{");
	struct v3_writer w = {.out = out, .first = true};
	openapi_visit_definitions(kinds, group, version, write_definition, &w);
	buf_add_str(out, "}}}\n");
	return any;
}

/* Requests. */
static const char *hash_of(
	struct openapi *o, const char *key, const char *group, const char *version)
{
	char *hash = table_get(&o->hashes, key);
	if (!hash) {
		struct buf doc = BUF_INIT;
		openapi_v3_write(o->kinds, group, version, &doc);
		hash = xasprintf("%016" PRIX64, fnv1a_64(doc.data, doc.size));
		buf_finish(&doc);
		table_set(&o->hashes, key, hash);
	}
	return hash;
}

static const char *gv_key(struct arena *a, const struct kind *k)
{
	return arena_printf(a, *k->group ? "apis/%s" : "api/%s", k->gv);
}

static bool etag_matches(const struct api_request *req, const char *hash)
{
	return req->if_none_match && strstr(req->if_none_match, hash);
}

static void respond_root(struct api_request *req)
{
	struct arena *a = req->arena;
	struct openapi *o = req->api->openapi;
	struct json *doc = json_new_object(a), *paths = json_object_at(a, doc, "paths");
	for (size_t i = 0; i < kind_count(o->kinds); i++) {
		const struct kind *k = kind_at(o->kinds, i);
		const char *key = gv_key(a, k);
		if (!k->served || json_get(paths, key))
			continue;
		struct json *entry = json_new_object(a);
		json_set(a, entry, "serverRelativeURL",
			json_new_printf(a, "/openapi/v3/%s?hash=%s", key,
				hash_of(o, key, k->group, k->version)));
		json_set(a, paths, key, entry);
	}
	const char *text = json_text(a, doc);
	const char *hash = arena_printf(a, "%016" PRIX64, fnv1a_64(text, strlen(text)));
	const char *extra = arena_printf(
		a, "ETag: \"%s\"\r\nVary: Accept\r\nCache-Control: no-cache, private\r\n", hash);
	bool same = etag_matches(req, hash);
	api_respond_text(req, same ? 304 : 200, same ? NULL : "application/json", extra,
		same ? "" : text, same ? 0 : strlen(text));
}

static bool respond_group_version(struct api_request *req, const char *key)
{
	struct openapi *o = req->api->openapi;
	for (size_t i = 0; i < kind_count(o->kinds); i++) {
		const struct kind *k = kind_at(o->kinds, i);
		if (!k->served || !streq(gv_key(req->arena, k), key))
			continue;
		const char *hash = hash_of(o, key, k->group, k->version);
		const char *asked = query_get(&req->query, "hash");
		const char *extra = arena_printf(req->arena,
			"ETag: \"%s\"\r\nVary: Accept\r\nCache-Control: %s\r\n", hash,
			streq(asked, hash) ? "public, immutable, max-age=31536000"
					   : "no-cache, private");
		if (etag_matches(req, hash)) {
			api_respond_text(req, 304, NULL, extra, "", 0);
			return true;
		}
		_cleanup_(buf_finish) struct buf doc = BUF_INIT;
		openapi_v3_write(o->kinds, k->group, k->version, &doc);
		api_respond_text(req, 200, "application/json", extra, doc.data, doc.size);
		return true;
	}
	return false;
}

static void respond_v2(struct api_request *req)
{
	struct openapi *o = req->api->openapi;
	if (!req->accept ||
		accept_parse(req->arena, req->accept, SERVES(ACCEPT_OPENAPI_V2), &req->wanted) <
			0 ||
		req->wanted.form != ACCEPT_OPENAPI_V2) {
		status_set(req->arena, &req->st, 406, "NotAcceptable",
			"only the following media types are accepted: "
			"application/com.github.proto-openapi.spec.v2@v1.0+protobuf");
		api_fail(req);
		return;
	}
	_cleanup_(buf_finish) struct buf doc = BUF_INIT;
	if (!o->v2_hash || !etag_matches(req, o->v2_hash))
		openapi_v2_write_protobuf(o->kinds, &doc);
	if (!o->v2_hash)
		o->v2_hash = xasprintf("%016" PRIX64, fnv1a_64(doc.data, doc.size));
	const char *extra = arena_printf(req->arena,
		"ETag: \"%s\"\r\nVary: Accept\r\nCache-Control: no-cache, private\r\n", o->v2_hash);
	bool same = etag_matches(req, o->v2_hash);
	api_respond_text(req, same ? 304 : 200, same ? NULL : "application/octet-stream", extra,
		same ? "" : doc.data, same ? 0 : doc.size);
}

void api_openapi(struct api_request *req)
{
	if (streq(req->path, "/openapi/v2"))
		respond_v2(req);
	else if (streq(req->path, "/openapi/v3") || streq(req->path, "/openapi/v3/"))
		respond_root(req);
	else if (!str_has_prefix(req->path, "/openapi/v3/") ||
		 !respond_group_version(req, req->path + strlen("/openapi/v3/")))
		api_respond_text(
			req, 404, "text/plain; charset=utf-8", NULL, "404 page not found\n", 19);
}

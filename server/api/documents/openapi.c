#include "server/api/documents/openapi.h"

#include <inttypes.h>
#include <stdio.h>

#include "lib/base/table.h"
#include "lib/object/custom.h"
#include "server/api/api_internal.h"

struct openapi {
	const struct kind_registry *kinds;
	struct table hashes; /* "api/v1" -> char * */
	char *v2_hash;
	uint64_t generation; /* of the registry, when these were made */
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

/* Kinds that only subresources speak of: scales, evictions, requests for tokens. */
static void visit_subresources(struct visit *v, const struct kind *k)
{
	for (size_t i = 0; i < k->subresource_count; i++) {
		const struct kind_subresource *sub = &k->subresources[i];
		const struct kind *spoken =
			kind_by_name(v->kinds, sub->group, sub->version, sub->kind);
		char name[OPENAPI_NAME_ROOM];
		if (!spoken || spoken->served)
			continue;
		openapi_definition_name(spoken, name);
		visit_named(v, name, spoken->schema, spoken);
	}
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
		char name[OPENAPI_NAME_ROOM];
		openapi_definition_name(k, name);
		visit_named(&v, name, k->schema, k);
		visit_subresources(&v, k);
	}
	table_finish(&v.seen);
}

const char *openapi_patch_strategy(const struct schema *s)
{
	if (s->patch_merge)
		return s->patch_retain_keys ? "merge,retainKeys" : "merge";
	return s->patch_retain_keys ? "retainKeys" : s->patch_replace ? "replace" : NULL;
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

void openapi_definition_name(const struct kind *k, char ret[OPENAPI_NAME_ROOM])
{
	snprintf(ret, OPENAPI_NAME_ROOM, "%s", k->schema->name ? k->schema->name : k->kind);
}

void openapi_list_name(const struct kind *k, char ret[OPENAPI_NAME_ROOM + 8])
{
	char name[OPENAPI_NAME_ROOM];
	openapi_definition_name(k, name);
	snprintf(ret, OPENAPI_NAME_ROOM + 8, "%sList", name);
}

void openapi_subresource_name(const struct kind_subresource *sub, char ret[OPENAPI_NAME_ROOM])
{
	snprintf(
		ret, OPENAPI_NAME_ROOM, "io.k8s.api.%s.%s.%s", sub->group, sub->version, sub->kind);
}

bool openapi_describes_subresource(const struct kind *k, const struct kind_subresource *sub)
{
	return streq(sub->kind, k->kind) && streq(sub->group, k->group) &&
	       streq(sub->version, k->version) && !streq(sub->name, "log") &&
	       !streq(sub->name, "exec") && !streq(sub->name, "attach") &&
	       !streq(sub->name, "portforward") && !streq(sub->name, "proxy");
}

/* Requests. */

static const char *gv_key(struct arena *a, const struct kind *k)
{
	return arena_printf(a, *k->group ? "apis/%s" : "api/%s", k->gv);
}

/* Custom kinds changed: the hashes of documents that have any are not theirs any more. */
static void refresh(struct openapi *o, struct arena *a)
{
	if (o->generation == kind_registry_generation(o->kinds))
		return;
	o->generation = kind_registry_generation(o->kinds);
	free(TAKE_PTR(o->v2_hash));
	struct json *builtin = json_new_object(a);
	for (size_t i = 0; i < kind_count(o->kinds); i++) {
		const struct kind *k = kind_at(o->kinds, i);
		if (k->served)
			json_set_bool(a, builtin, gv_key(a, k),
				!k->custom && json_bool_or(json_get(builtin, gv_key(a, k)), true));
	}
	for (struct table_iter it = table_iterate(&o->hashes); table_next(&it);) {
		if (json_bool_or(json_get(builtin, it.key), false))
			continue;
		free(it.value);
		table_remove(&o->hashes, it.key);
	}
}

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
	if (accept_parse(req->arena, req->accept, SERVES(ACCEPT_OPENAPI_V2), &req->wanted) < 0 ||
		req->wanted.yaml) {
		status_set(req->arena, &req->st, 406, "NotAcceptable",
			"only the following media types are accepted: application/json, "
			"application/com.github.proto-openapi.spec.v2@v1.0+protobuf");
		api_fail(req);
		return;
	}
	bool json = req->wanted.form != ACCEPT_OPENAPI_V2;
	_cleanup_(buf_finish) struct buf doc = BUF_INIT;
	if (!o->v2_hash) {
		openapi_v2_write_json(o->kinds, &doc);
		o->v2_hash = xasprintf("%016" PRIX64, fnv1a_64(doc.data, doc.size));
	}
	const char *extra = arena_printf(req->arena,
		"ETag: \"%s%s\"\r\nVary: Accept\r\nCache-Control: no-cache, private\r\n",
		o->v2_hash, json ? "" : "-PB");
	if (etag_matches(
		    req, arena_printf(req->arena, "\"%s%s\"", o->v2_hash, json ? "" : "-PB"))) {
		api_respond_text(req, 304, NULL, extra, "", 0);
		return;
	}
	if (!json || !doc.size) {
		buf_clear(&doc);
		(json ? openapi_v2_write_json : openapi_v2_write_protobuf)(o->kinds, &doc);
	}
	api_respond_text(req, 200, json ? "application/json" : "application/octet-stream", extra,
		doc.data, doc.size);
}

void api_openapi(struct api_request *req)
{
	refresh(req->api->openapi, req->arena);
	if (streq(req->path, "/openapi/v2"))
		respond_v2(req);
	else if (streq(req->path, "/openapi/v3") || streq(req->path, "/openapi/v3/"))
		respond_root(req);
	else if (!str_has_prefix(req->path, "/openapi/v3/") ||
		 !respond_group_version(req, req->path + strlen("/openapi/v3/")))
		api_respond_text(
			req, 404, "text/plain; charset=utf-8", NULL, "404 page not found\n", 19);
}

/* openapi_json.c - OpenAPI documents as JSON: 3.0 of one group and version, and 2.0 of everything.
 * Schemas are the same in both but for where they are; operations differ in where bodies and types
 * of parameters stand. */
#include "server/api/documents/openapi.h"

#include <stdio.h>

#include "lib/json/json.h"
#include "server/api/api_internal.h"

#define LIST_META "io.k8s.apimachinery.pkg.apis.meta.v1.ListMeta"

struct writer {
	struct buf *out;
	bool v2;
	bool first; /* the next member is the first of its object */
};

/* ---- members ---- */

static void add_key(struct writer *w, const char *key)
{
	if (!w->first)
		buf_add_char(w->out, ',');
	w->first = false;
	json_write_string(w->out, key, strlen(key));
	buf_add_char(w->out, ':');
}

static void begin(struct writer *w)
{
	buf_add_char(w->out, '{');
	w->first = true;
}

static void end(struct writer *w)
{
	buf_add_char(w->out, '}');
	w->first = false;
}

static void add_string(struct writer *w, const char *key, const char *value)
{
	add_key(w, key);
	json_write_string(w->out, value, strlen(value));
}

static void add_raw(struct writer *w, const char *key, const char *json)
{
	add_key(w, key);
	buf_add_str(w->out, json);
}

static void add_json(struct writer *w, const char *key, const struct json *value)
{
	add_key(w, key);
	json_write(w->out, value);
}

static void add_number(struct writer *w, const char *key, double value)
{
	add_key(w, key);
	buf_printf(w->out, "%.17g", value);
}

static void add_count(struct writer *w, const char *key, int64_t value)
{
	if (value < 0)
		return;
	add_key(w, key);
	buf_printf(w->out, "%lld", (long long)value);
}

static void add_ref(struct writer *w, const char *name)
{
	add_key(w, "$ref");
	buf_printf(w->out, "\"#/%s/%s\"", w->v2 ? "definitions" : "components/schemas", name);
}

/* ---- schemas ---- */

static void write_schema(struct writer *w, const struct schema *s, const struct kind *k);

/* Where a schema is used: a $ref, with allOf when something stands beside it (3.0). */
static void write_use(struct writer *w, const struct schema *s)
{
	const char *strategy = openapi_patch_strategy(s);
	if (!openapi_is_shared(s)) {
		write_schema(w, s, NULL);
		return;
	}
	begin(w);
	if (w->v2) {
		add_ref(w, s->name);
	} else {
		add_key(w, "allOf");
		buf_add_char(w->out, '[');
		begin(w);
		add_ref(w, s->name);
		end(w);
		buf_add_char(w->out, ']');
	}
	if (s->description)
		add_string(w, "description", s->description);
	if (s->default_value)
		add_json(w, "default", s->default_value);
	if (strategy)
		add_string(w, "x-kubernetes-patch-strategy", strategy);
	if (s->patch_merge_key)
		add_string(w, "x-kubernetes-patch-merge-key", s->patch_merge_key);
	end(w);
}

static void write_required(struct writer *w, const struct schema *s)
{
	bool any = false;
	for (size_t i = 0; i < s->property_count; i++) {
		if (!s->properties[i].required)
			continue;
		if (!any)
			add_key(w, "required");
		buf_add_char(w->out, any ? ',' : '[');
		json_write_string(w->out, s->properties[i].name, s->properties[i].name_size);
		any = true;
	}
	for (size_t i = 0; s->values && i < s->values->required_only_count; i++) {
		const char *name = s->values->required_only[i];
		if (!any)
			add_key(w, "required");
		buf_add_char(w->out, any ? ',' : '[');
		json_write_string(w->out, name, strlen(name));
		any = true;
	}
	if (any)
		buf_add_char(w->out, ']');
}

static void write_list_hints(struct writer *w, const struct schema *s)
{
	static const char *const types[] = {
		[LIST_ATOMIC] = "atomic", [LIST_SET] = "set", [LIST_MAP] = "map"};
	add_string(w, "x-kubernetes-list-type", types[s->list_type]);
	for (size_t i = 0; i < s->list_map_key_count; i++) {
		if (i == 0)
			add_key(w, "x-kubernetes-list-map-keys");
		buf_add_char(w->out, i ? ',' : '[');
		json_write_string(w->out, s->list_map_keys[i], strlen(s->list_map_keys[i]));
	}
	if (s->list_map_key_count)
		buf_add_char(w->out, ']');
}

static void write_alternatives(
	struct writer *w, const char *key, const struct schema **all, size_t count)
{
	if (count == 0)
		return;
	add_key(w, key);
	for (size_t i = 0; i < count; i++) {
		buf_add_char(w->out, i ? ',' : '[');
		write_schema(w, all[i], NULL);
	}
	buf_add_char(w->out, ']');
}

/* Of 2.0, only 3.0 has room for alternatives. */
static void write_values(struct writer *w, const struct schema_values *v)
{
	if (v->exclusive_minimum)
		add_raw(w, "exclusiveMinimum", "true");
	if (v->exclusive_maximum)
		add_raw(w, "exclusiveMaximum", "true");
	if (v->multiple_of > 0)
		add_number(w, "multipleOf", v->multiple_of);
	add_count(w, "minProperties", v->min_properties);
	add_count(w, "maxProperties", v->max_properties);
	if (w->v2)
		return;
	write_alternatives(w, "allOf", v->all_of, v->all_of_count);
	write_alternatives(w, "anyOf", v->any_of, v->any_of_count);
	write_alternatives(w, "oneOf", v->one_of, v->one_of_count);
	if (v->not_) {
		add_key(w, "not");
		write_schema(w, v->not_, NULL);
	}
}

static void write_type(struct writer *w, const struct schema *s)
{
	const char *type = openapi_type_name(s->type);
	if (type)
		add_string(w, "type", type);
	if (s->type == SCHEMA_INT_OR_STRING) {
		if (w->v2)
			add_string(w, "type", "string");
		else
			add_raw(w, "oneOf", "[{\"type\":\"integer\"},{\"type\":\"string\"}]");
		add_string(w, "format", "int-or-string");
	} else if (s->format) {
		add_string(w, "format", s->format);
	}
	if (s->nullable && !w->v2)
		add_raw(w, "nullable", "true");
}

static void write_bounds(struct writer *w, const struct schema *s)
{
	if (s->enum_values)
		add_json(w, "enum", s->enum_values);
	if (s->pattern)
		add_string(w, "pattern", s->pattern);
	if (s->has_minimum)
		add_number(w, "minimum", s->minimum);
	if (s->has_maximum)
		add_number(w, "maximum", s->maximum);
	add_count(w, "minLength", s->min_length);
	add_count(w, "maxLength", s->max_length);
	add_count(w, "minItems", s->min_items);
	add_count(w, "maxItems", s->max_items);
	if (s->values)
		write_values(w, s->values);
}

static void write_gvk(struct writer *w, const struct kind *k, const char *kind)
{
	add_key(w, "x-kubernetes-group-version-kind");
	buf_printf(w->out, "[{\"group\":\"%s\",\"version\":\"%s\",\"kind\":\"%s\"}]", k->group,
		k->version, kind);
}

static void write_schema(struct writer *w, const struct schema *s, const struct kind *k)
{
	begin(w);
	if (s->description)
		add_string(w, "description", s->description);
	write_type(w, s);
	write_required(w, s);
	if (s->property_count) {
		add_key(w, "properties");
		begin(w);
		for (size_t i = 0; i < s->property_count; i++) {
			add_key(w, s->properties[i].name);
			write_use(w, s->properties[i].schema);
		}
		end(w);
	}
	if (s->additional) {
		add_key(w, "additionalProperties");
		write_use(w, s->additional);
	}
	if (s->items) {
		add_key(w, "items");
		write_use(w, s->items);
		write_list_hints(w, s);
	}
	if (s->default_value)
		add_json(w, "default", s->default_value);
	write_bounds(w, s);
	if (openapi_patch_strategy(s))
		add_string(w, "x-kubernetes-patch-strategy", openapi_patch_strategy(s));
	if (s->patch_merge_key)
		add_string(w, "x-kubernetes-patch-merge-key", s->patch_merge_key);
	if (s->preserve_unknown)
		add_raw(w, "x-kubernetes-preserve-unknown-fields", "true");
	if (s->embedded_resource)
		add_raw(w, "x-kubernetes-embedded-resource", "true");
	if (k)
		write_gvk(w, k, k->kind);
	end(w);
}

static void write_list_schema(struct writer *w, const struct kind *k)
{
	char name[OPENAPI_NAME_ROOM];
	openapi_definition_name(k, name);
	buf_add_str(w->out, "{\"description\":\"A list.\",\"type\":\"object\",\"required\":"
			    "[\"items\"],\"properties\":{\"apiVersion\":{\"type\":\"string\"},"
			    "\"items\":{\"type\":\"array\",\"items\":");
	begin(w);
	add_ref(w, name);
	end(w);
	buf_add_str(w->out, "},\"kind\":{\"type\":\"string\"},\"metadata\":");
	begin(w);
	add_ref(w, LIST_META);
	end(w);
	end(w);
	write_gvk(w, k, k->list_kind);
	end(w);
}

static void write_definition(
	void *user, const char *name, const struct schema *s, const struct kind *k)
{
	struct writer *w = user;
	add_key(w, name);
	write_schema(w, s, k);
	if (!k || !k->served || !*k->list_kind || !kind_has_verb(k, "list"))
		return;
	char list[OPENAPI_NAME_ROOM + 8];
	openapi_list_name(k, list);
	add_key(w, list);
	write_list_schema(w, k);
}

static void write_definitions(
	struct writer *w, const struct kind_registry *kinds, const char *group, const char *version)
{
	const struct schema *list_meta = kind_definition(kinds, LIST_META);
	begin(w);
	if (list_meta) {
		add_key(w, LIST_META);
		write_schema(w, list_meta, NULL);
	}
	openapi_visit_definitions(kinds, group, version, write_definition, w);
	end(w);
}

/* ---- operations ---- */

struct operation {
	const char *method, *action, *verb; /* "post", "post", "create" */
	const char *const *queries;
	const char *const *media; /* of the body; NULL = none */
	bool list;		  /* answers a list */
};

static const char *const write_queries[] = {"dryRun", "fieldManager", "fieldValidation", NULL};
static const char *const patch_queries[] = {
	"dryRun", "fieldManager", "fieldValidation", "force", NULL};
static const char *const list_queries[] = {"allowWatchBookmarks", "continue", "fieldSelector",
	"labelSelector", "limit", "resourceVersion", "resourceVersionMatch", "sendInitialEvents",
	"timeoutSeconds", "watch", NULL};
static const char *const delete_queries[] = {
	"dryRun", "gracePeriodSeconds", "orphanDependents", "propagationPolicy", NULL};
static const char *const no_queries[] = {NULL};
static const char *const body_media[] = {
	"application/json", "application/yaml", "application/vnd.kubernetes.protobuf", NULL};
static const char *const patch_media[] = {"application/json-patch+json",
	"application/merge-patch+json", "application/strategic-merge-patch+json",
	"application/apply-patch+yaml", NULL};
static const char *const custom_patch_media[] = {"application/json-patch+json",
	"application/merge-patch+json", "application/apply-patch+yaml", NULL};

static void write_parameter(struct writer *w, const char *name, const char *in)
{
	static const char *const booleans[] = {
		"allowWatchBookmarks", "force", "orphanDependents", "sendInitialEvents", "watch"};
	static const char *const integers[] = {"gracePeriodSeconds", "limit", "timeoutSeconds"};
	const char *type = "string";
	for (size_t i = 0; i < ARRAY_LEN(booleans); i++)
		if (streq(booleans[i], name))
			type = "boolean";
	for (size_t i = 0; i < ARRAY_LEN(integers); i++)
		if (streq(integers[i], name))
			type = "integer";
	buf_printf(w->out, "{\"name\":\"%s\",\"in\":\"%s\"%s,", name, in,
		streq(in, "path") ? ",\"required\":true" : "");
	buf_printf(w->out,
		w->v2 ? "\"type\":\"%s\",\"uniqueItems\":true}"
		      : "\"schema\":{\"type\":\"%s\",\"uniqueItems\":true}}",
		type);
}

static void write_body(struct writer *w, const struct operation *o, const char *name, bool patch)
{
	char ref[OPENAPI_NAME_ROOM + 64];
	if (patch)
		snprintf(ref, sizeof(ref), "{\"type\":\"object\"}");
	else
		snprintf(ref, sizeof(ref), "{\"$ref\":\"#/%s/%s\"}",
			w->v2 ? "definitions" : "components/schemas", name);
	if (w->v2) {
		for (size_t i = 0; o->media[i]; i++)
			buf_printf(w->out, "%s\"%s\"", i ? "," : ",\"consumes\":[", o->media[i]);
		buf_add_char(w->out, ']');
		return;
	}
	for (size_t i = 0; o->media[i]; i++)
		buf_printf(w->out, "%s\"%s\":{\"schema\":%s}",
			i ? "," : ",\"requestBody\":{\"required\":true,\"content\":{", o->media[i],
			ref);
	buf_add_str(w->out, "}}");
}

static void write_operation(struct writer *w, const struct kind *k, const struct operation *o,
	const char *name, const char *gvk, const char *id)
{
	add_key(w, o->method);
	buf_printf(w->out,
		"{\"operationId\":\"%s\",\"tags\":[\"%s_%s\"],\"x-kubernetes-action\":\"%s\","
		"\"x-kubernetes-group-version-kind\":%s,\"parameters\":[",
		id, *k->group ? k->group : "core", k->version, o->action, gvk);
	bool patch = streq(o->method, "patch"), any = false;
	for (size_t i = 0; o->queries[i]; i++) {
		buf_add_str(w->out, i ? "," : "");
		write_parameter(w, o->queries[i], "query");
		any = true;
	}
	if (w->v2 && o->media) {
		buf_printf(w->out,
			"%s{\"name\":\"body\",\"in\":\"body\",\"required\":true,\"schema\":",
			any ? "," : "");
		buf_printf(w->out,
			patch ? "{\"type\":\"object\"}}" : "{\"$ref\":\"#/definitions/%s\"}}",
			name);
	}
	buf_add_char(w->out, ']');
	if (o->media)
		write_body(w, o, name, patch);
	buf_printf(w->out,
		w->v2 ? ",\"produces\":[\"application/json\",\"application/yaml\"],\"responses\":"
			"{\"200\":{\"description\":\"OK\",\"schema\":{\"$ref\":\"#/definitions/"
			"%s\"}}}}"
		      : ",\"responses\":{\"200\":{\"description\":\"OK\",\"content\":"
			"{\"application/json\":{\"schema\":{\"$ref\":"
			"\"#/components/schemas/%s\"}}}}}}",
		name);
}

/* One path with those of the operations that the verbs allow. `sub` NULL: the resource itself. */
static void write_path(struct writer *w, const struct kind *k, const char *path, bool named,
	const struct kind_subresource *sub, const struct operation *all, size_t count)
{
	char name[OPENAPI_NAME_ROOM], list[OPENAPI_NAME_ROOM + 8], gvk[400], id[600];
	bool any = false, in_namespace = strstr(path, "{namespace}") != NULL;
	openapi_definition_name(k, name);
	openapi_list_name(k, list);
	snprintf(gvk, sizeof(gvk), "{\"group\":\"%s\",\"version\":\"%s\",\"kind\":\"%s\"}",
		sub ? sub->group : k->group, sub ? sub->version : k->version,
		sub ? sub->kind : k->kind);
	if (sub && !streq(sub->kind, k->kind))
		openapi_subresource_name(sub, name);
	for (size_t i = 0; i < count; i++) {
		const struct operation *o = &all[i];
		bool has = false;
		for (size_t v = 0; sub && v < sub->verb_count; v++)
			has |= streq(sub->verbs[v], o->verb);
		if (sub ? !has : !kind_has_verb(k, o->verb))
			continue;
		if (!any) {
			add_key(w, path);
			begin(w);
		}
		any = true;
		snprintf(id, sizeof(id), "%s%s%s%s%s%s", o->action, *k->group ? k->group : "Core",
			k->version, in_namespace ? "Namespaced" : "", k->kind,
			sub					    ? sub->name
			: o->list && !in_namespace && k->namespaced ? "ForAllNamespaces"
								    : "");
		write_operation(w, k, o, o->list && *k->list_kind ? list : name, gvk, id);
	}
	if (!any)
		return;
	if (named || in_namespace) {
		add_key(w, "parameters");
		buf_add_char(w->out, '[');
		if (named)
			write_parameter(w, "name", "path");
		if (named && in_namespace)
			buf_add_char(w->out, ',');
		if (in_namespace)
			write_parameter(w, "namespace", "path");
		buf_add_char(w->out, ']');
	}
	end(w);
}

static void write_paths(struct writer *w, const struct kind *k)
{
	const struct operation collection[] = {
		{"delete", "deletecollection", "deletecollection", delete_queries, NULL, false},
		{"get", "list", "list", list_queries, NULL, true},
		{"post", "post", "create", write_queries, body_media, false},
	};
	const struct operation object[] = {
		{"delete", "delete", "delete", delete_queries, NULL, false},
		{"get", "get", "get", no_queries, NULL, false},
		{"patch", "patch", "patch", patch_queries,
			k->strategic_patch ? patch_media : custom_patch_media, false},
		{"put", "put", "update", write_queries, body_media, false},
		{"post", "post", "create", write_queries, body_media, false},
	};
	char base[300], path[900];
	snprintf(base, sizeof(base), "/%s/%s", *k->group ? "apis" : "api", k->gv);
	if (k->namespaced) {
		snprintf(path, sizeof(path), "%s/%s", base, k->plural);
		write_path(w, k, path, false, NULL, &collection[1], 1);
		strcat(base, "/namespaces/{namespace}");
	}
	snprintf(path, sizeof(path), "%s/%s", base, k->plural);
	write_path(w, k, path, false, NULL, collection, ARRAY_LEN(collection));
	snprintf(path, sizeof(path), "%s/%s/{name}", base, k->plural);
	write_path(w, k, path, true, NULL, object, ARRAY_LEN(object) - 1);
	for (size_t i = 0; i < k->subresource_count; i++) {
		const struct kind_subresource *sub = &k->subresources[i];
		if (!openapi_describes_subresource(k, sub))
			continue;
		snprintf(path, sizeof(path), "%s/%s/{name}/%.100s", base, k->plural, sub->name);
		write_path(w, k, path, true, sub, object, ARRAY_LEN(object));
	}
}

/* ---- documents ---- */

bool openapi_v3_write(
	const struct kind_registry *kinds, const char *group, const char *version, struct buf *out)
{
	struct writer w = {.out = out};
	bool any = false;
	buf_printf(out,
		"{\"openapi\":\"3.0.0\",\"info\":{\"title\":\"hanok\",\"version\":\"%s\"},"
		"\"paths\":",
		HANOK_VERSION);
	begin(&w);
	for (size_t i = 0; i < kind_count(kinds); i++) {
		const struct kind *k = kind_at(kinds, i);
		if (!k->served || !streq(k->group, group) || !streq(k->version, version))
			continue;
		any = true;
		write_paths(&w, k);
	}
	end(&w);
	buf_add_str(out, ",\"components\":{\"schemas\":");
	write_definitions(&w, kinds, group, version);
	buf_add_str(out, "}}\n");
	return any;
}

void openapi_v2_write_json(const struct kind_registry *kinds, struct buf *out)
{
	struct writer w = {.out = out, .v2 = true};
	buf_printf(out,
		"{\"swagger\":\"2.0\",\"info\":{\"title\":\"hanok\",\"version\":\"%s\"},\"paths\":",
		HANOK_VERSION);
	begin(&w);
	for (size_t i = 0; i < kind_count(kinds); i++)
		if (kind_at(kinds, i)->served)
			write_paths(&w, kind_at(kinds, i));
	end(&w);
	buf_add_str(out, ",\"definitions\":");
	write_definitions(&w, kinds, NULL, NULL);
	buf_add_str(out, "}\n");
}

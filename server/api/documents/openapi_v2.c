/* openapi_v2.c - OpenAPI 2.0 as the protobuf message openapi.v2.Document. Written directly: the
 * fields that kubectl reads are few, and messages nest by length, so each is built in a buffer of
 * its own. */
#include <stdio.h>

#include "lib/base/buf.h"
#include "lib/base/str.h"
#include "server/api/documents/openapi.h"

/* Field numbers (google/gnostic, openapiv2/OpenAPIv2.proto). */
enum {
	DOCUMENT_SWAGGER = 1,
	DOCUMENT_INFO = 2,
	DOCUMENT_PATHS = 8,
	DOCUMENT_DEFINITIONS = 9,
	INFO_TITLE = 1,
	INFO_VERSION = 2,
	NAMED_NAME = 1,
	NAMED_VALUE = 2,
	DEFINITIONS_SCHEMA = 1,
	PROPERTIES_SCHEMA = 1,
	SCHEMA_REF = 1,
	SCHEMA_FORMAT = 2,
	SCHEMA_DESCRIPTION = 4,
	SCHEMA_REQUIRED = 19,
	SCHEMA_ADDITIONAL = 21,
	SCHEMA_TYPE = 22,
	SCHEMA_ITEMS = 23,
	SCHEMA_PROPERTIES = 25,
	SCHEMA_EXTENSION = 31,
	ADDITIONAL_SCHEMA = 1,
	TYPE_VALUE = 1,
	ITEMS_SCHEMA = 1,
	ANY_YAML = 2,
	PATHS_PATH = 2,
	PATH_ITEM_GET = 2,
	PATH_ITEM_PATCH = 8,
	OPERATION_OPERATION_ID = 5,
	OPERATION_PRODUCES = 6,
	OPERATION_CONSUMES = 7,
	OPERATION_PARAMETERS = 8,
	OPERATION_RESPONSES = 9,
	OPERATION_EXTENSION = 13,
	PARAMETERS_ITEM_PARAMETER = 1,
	PARAMETER_NON_BODY = 2,
	NON_BODY_QUERY = 3,
	QUERY_IN = 2,
	QUERY_NAME = 4,
	QUERY_TYPE = 6,
	RESPONSES_CODE = 1,
	RESPONSE_VALUE_RESPONSE = 1,
	RESPONSE_DESCRIPTION = 1,
};

#define WIRE_BYTES 2

static void put_varint(struct buf *out, uint64_t n)
{
	while (n >= 0x80) {
		buf_add_char(out, (char)(n | 0x80));
		n >>= 7;
	}
	buf_add_char(out, (char)n);
}

static void put_bytes(struct buf *out, unsigned field, const void *p, size_t size)
{
	put_varint(out, field << 3 | WIRE_BYTES);
	put_varint(out, size);
	buf_add(out, p, size);
}

static void put_string(struct buf *out, unsigned field, const char *s)
{
	put_bytes(out, field, s, strlen(s));
}

/* Puts a finished message into its parent and lets it go. */
static void put_message(struct buf *out, unsigned field, struct buf *message)
{
	put_bytes(out, field, message->data ? message->data : "", message->size);
	buf_finish(message);
}

static void put_extension(struct buf *out, unsigned field, const char *name, const char *yaml)
{
	struct buf named = BUF_INIT, any = BUF_INIT;
	put_string(&any, ANY_YAML, yaml);
	put_string(&named, NAMED_NAME, name);
	put_message(&named, NAMED_VALUE, &any);
	put_message(out, field, &named);
}

static void put_schema(
	struct buf *out, unsigned field, const struct schema *s, const struct kind *k, bool as_use);

static void put_hints(struct buf *m, const struct schema *s)
{
	if (openapi_patch_strategy(s))
		put_extension(m, SCHEMA_EXTENSION, "x-kubernetes-patch-strategy",
			openapi_patch_strategy(s));
	if (s->patch_merge_key)
		put_extension(
			m, SCHEMA_EXTENSION, "x-kubernetes-patch-merge-key", s->patch_merge_key);
}

static void put_properties(struct buf *m, const struct schema *s)
{
	struct buf properties = BUF_INIT;
	for (size_t i = 0; i < s->property_count; i++) {
		struct buf named = BUF_INIT;
		put_string(&named, NAMED_NAME, s->properties[i].name);
		put_schema(&named, NAMED_VALUE, s->properties[i].schema, NULL, true);
		put_message(&properties, PROPERTIES_SCHEMA, &named);
	}
	put_message(m, SCHEMA_PROPERTIES, &properties);
}

static void put_schema(
	struct buf *out, unsigned field, const struct schema *s, const struct kind *k, bool as_use)
{
	struct buf m = BUF_INIT;
	if (as_use && openapi_is_shared(s)) {
		char ref[300];
		snprintf(ref, sizeof(ref), "#/definitions/%s", s->name);
		put_string(&m, SCHEMA_REF, ref);
		if (s->description)
			put_string(&m, SCHEMA_DESCRIPTION, s->description);
		put_hints(&m, s);
		put_message(out, field, &m);
		return;
	}
	bool int_or_string = s->type == SCHEMA_INT_OR_STRING;
	if (s->format || int_or_string)
		put_string(&m, SCHEMA_FORMAT, int_or_string ? "int-or-string" : s->format);
	if (s->description)
		put_string(&m, SCHEMA_DESCRIPTION, s->description);
	for (size_t i = 0; i < s->property_count; i++)
		if (s->properties[i].required)
			put_string(&m, SCHEMA_REQUIRED, s->properties[i].name);
	if (s->additional) {
		struct buf item = BUF_INIT;
		put_schema(&item, ADDITIONAL_SCHEMA, s->additional, NULL, true);
		put_message(&m, SCHEMA_ADDITIONAL, &item);
	}
	const char *type = int_or_string ? "string" : openapi_type_name(s->type);
	if (type) {
		struct buf item = BUF_INIT;
		put_string(&item, TYPE_VALUE, type);
		put_message(&m, SCHEMA_TYPE, &item);
	}
	if (s->items) {
		struct buf item = BUF_INIT;
		put_schema(&item, ITEMS_SCHEMA, s->items, NULL, true);
		put_message(&m, SCHEMA_ITEMS, &item);
	}
	if (s->property_count)
		put_properties(&m, s);
	put_hints(&m, s);
	if (k) {
		char gvk[300];
		snprintf(gvk, sizeof(gvk), "- group: \"%s\"\n  version: %s\n  kind: %s\n", k->group,
			k->version, k->kind);
		put_extension(&m, SCHEMA_EXTENSION, "x-kubernetes-group-version-kind", gvk);
	}
	put_message(out, field, &m);
}

static void put_query_parameter(struct buf *operation, const char *name)
{
	struct buf query = BUF_INIT, non_body = BUF_INIT, parameter = BUF_INIT, item = BUF_INIT;
	put_string(&query, QUERY_IN, "query");
	put_string(&query, QUERY_NAME, name);
	put_string(&query, QUERY_TYPE, "string");
	put_message(&non_body, NON_BODY_QUERY, &query);
	put_message(&parameter, PARAMETER_NON_BODY, &non_body);
	put_message(&item, PARAMETERS_ITEM_PARAMETER, &parameter);
	put_message(operation, OPERATION_PARAMETERS, &item);
}

static void put_operation(struct buf *path_item, unsigned field, const struct kind *k, bool patch)
{
	struct buf operation = BUF_INIT, response = BUF_INIT, value = BUF_INIT, named = BUF_INIT;
	struct buf responses = BUF_INIT;
	char text[300];
	snprintf(text, sizeof(text), "%s%s%s", patch ? "patch" : "read", k->version, k->kind);
	put_string(&operation, OPERATION_OPERATION_ID, text);
	put_string(&operation, OPERATION_PRODUCES, "application/json");
	if (patch) {
		put_string(&operation, OPERATION_CONSUMES, "application/json-patch+json");
		put_string(&operation, OPERATION_CONSUMES, "application/merge-patch+json");
		if (k->strategic_patch)
			put_string(&operation, OPERATION_CONSUMES,
				"application/strategic-merge-patch+json");
		put_string(&operation, OPERATION_CONSUMES, "application/apply-patch+yaml");
		put_query_parameter(&operation, "dryRun");
		put_query_parameter(&operation, "fieldManager");
		put_query_parameter(&operation, "fieldValidation");
	}
	put_string(&response, RESPONSE_DESCRIPTION, "OK");
	put_message(&value, RESPONSE_VALUE_RESPONSE, &response);
	put_string(&named, NAMED_NAME, "200");
	put_message(&named, NAMED_VALUE, &value);
	put_message(&responses, RESPONSES_CODE, &named);
	put_message(&operation, OPERATION_RESPONSES, &responses);
	snprintf(text, sizeof(text), "group: \"%s\"\nversion: %s\nkind: %s\n", k->group, k->version,
		k->kind);
	put_extension(&operation, OPERATION_EXTENSION, "x-kubernetes-group-version-kind", text);
	put_message(path_item, field, &operation);
}

static void put_path(struct buf *paths, const struct kind *k)
{
	struct buf item = BUF_INIT, named = BUF_INIT;
	char path[640];
	snprintf(path, sizeof(path), "/%s/%s/%s%s/{name}", *k->group ? "apis" : "api", k->gv,
		k->namespaced ? "namespaces/{namespace}/" : "", k->plural);
	put_string(&named, NAMED_NAME, path);
	if (kind_has_verb(k, "get"))
		put_operation(&item, PATH_ITEM_GET, k, false);
	if (kind_has_verb(k, "patch"))
		put_operation(&item, PATH_ITEM_PATCH, k, true);
	put_message(&named, NAMED_VALUE, &item);
	put_message(paths, PATHS_PATH, &named);
}

static void put_definition(
	void *user, const char *name, const struct schema *s, const struct kind *k)
{
	struct buf *definitions = user, named = BUF_INIT;
	put_string(&named, NAMED_NAME, name);
	put_schema(&named, NAMED_VALUE, s, k, false);
	put_message(definitions, DEFINITIONS_SCHEMA, &named);
}

void openapi_v2_write_protobuf(const struct kind_registry *kinds, struct buf *out)
{
	struct buf info = BUF_INIT, paths = BUF_INIT, definitions = BUF_INIT;
	put_string(out, DOCUMENT_SWAGGER, "2.0");
	put_string(&info, INFO_TITLE, "hanok");
	put_string(&info, INFO_VERSION, HANOK_VERSION);
	put_message(out, DOCUMENT_INFO, &info);
	for (size_t i = 0; i < kind_count(kinds); i++)
		if (kind_at(kinds, i)->served)
			put_path(&paths, kind_at(kinds, i));
	put_message(out, DOCUMENT_PATHS, &paths);
	openapi_visit_definitions(kinds, NULL, NULL, put_definition, &definitions);
	put_message(out, DOCUMENT_DEFINITIONS, &definitions);
}

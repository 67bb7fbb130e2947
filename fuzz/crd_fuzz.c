/* CustomResourceDefinitions and their objects. The input is two texts with a zero byte between: a
 * schema (or, beginning with a dot or a bracket, a path) and an object. Whatever is accepted must
 * be buildable, and what is made of an object must stay the same when it is made again. */
#include "lib/object/custom.h"
#include "server/api/hooks/crd.h"
#include "server/api/tables/jsonpath.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct kind_registry *registry;
static struct api api;

static struct json *definition(struct arena *a, struct json *schema)
{
	static const char text[] =
		"{\"metadata\":{\"name\":\"things.example.org\"},\"spec\":{\"group\":"
		"\"example.org\",\"scope\":\"Namespaced\",\"names\":{\"plural\":\"things\","
		"\"kind\":\"Thing\",\"listKind\":\"ThingList\"},\"conversion\":{\"strategy\":"
		"\"None\"},\"versions\":[{\"name\":\"v1\",\"served\":true,\"storage\":true,"
		"\"schema\":{}}]}}";
	struct json *doc;

	if (json_parse(a, text, sizeof(text) - 1, NULL, &doc, NULL) < 0)
		abort();
	json_set(a, json_path(doc, "spec.versions[0].schema"), "openAPIV3Schema", schema);
	return doc;
}

/* As a request would decode the schema: types are right from here on. */
static bool decode_schema(struct arena *a, struct json *doc)
{
	const struct kind *k =
		kind_by_name(registry, "apiextensions.k8s.io", "v1", "CustomResourceDefinition");
	struct decode_options options = {.field_validation = FIELD_VALIDATION_IGNORE};
	struct field_errors errors = {.arena = a};
	struct status st = {0};

	return object_check(k, a, doc, &options, &errors, &st) == 0 &&
	       field_error_count(&errors) == 0;
}

static void try_object(struct arena *a, const struct kind *k, const char *text, size_t size)
{
	struct decode_options options = {
		.field_validation = FIELD_VALIDATION_IGNORE, .skip_validation = true};
	struct field_errors errors = {.arena = a};
	struct status st = {0};
	struct json *doc, *again;

	if (json_parse(a, text, size, NULL, &doc, NULL) < 0 || !json_is(doc, JSON_OBJECT))
		return;
	json_object_at(a, doc, "metadata");
	if (object_check(k, a, doc, &options, &errors, &st) < 0)
		return;
	again = json_copy(a, doc);
	if (object_check(k, a, again, &options, &errors, &st) == 0 && !json_equal(doc, again))
		abort();
	options.skip_validation = false;
	(void)!object_check(k, a, doc, &options, &errors, &st);
	struct object *o = object_new(k, a, doc, 5), *adopted;
	if (object_adopt(k, o->bytes->data, o->bytes->size, 5, &adopted, NULL) == 0) {
		if (!json_equal(object_doc(o, a), object_doc(adopted, a)))
			abort();
		object_unref(adopted);
	}
	object_unref(o);
}

static void try_path(const char *path, const char *text, size_t size)
{
	struct arena a = ARENA_INIT;
	struct json *doc;

	if (json_parse(&a, text, size, NULL, &doc, NULL) == 0 && jsonpath_first(doc, path) &&
		!jsonpath_valid(path))
		abort();
	arena_finish(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const char *text = (const char *)data, *zero = memchr(data, 0, size);
	size_t schema_size = zero ? (size_t)(zero - text) : size;
	struct arena a = ARENA_INIT;
	struct json *schema, *doc;
	struct kind *k;
	struct err err = ERR_INIT;

	if (!registry) {
		registry = kind_registry_create();
		if (kind_registry_load_builtin(registry, NULL) < 0)
			abort();
		api.kinds = registry;
	}
	if (zero && (*text == '.' || *text == '[')) {
		try_path(text, zero + 1, size - schema_size - 1);
		return 0;
	}
	if (json_parse(&a, text, schema_size, NULL, &schema, NULL) == 0) {
		struct field_errors errors = {.arena = &a};
		struct hook h = {.api = &api, .arena = &a, .errors = &errors};

		doc = definition(&a, schema);
		schema = decode_schema(&a, doc)
				 ? json_path(doc, "spec.versions[0].schema.openAPIV3Schema")
				 : NULL;
		if (schema)
			crd_schema_validate(&h, "schema", schema);
		if (schema && field_error_count(&errors) == 0) {
			if (kind_registry_set_custom(registry, doc, &k, &err) < 0)
				abort();
			if (zero)
				try_object(&a, k, zero + 1, size - schema_size - 1);
		}
	}
	arena_finish(&a);
	return 0;
}

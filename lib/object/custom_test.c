#include "lib/object/custom.h"
#include "lib/object/selector.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* A definition of things.example.org with the given versions (YAML flow). */
static const char frame[] =
	"metadata: {name: things.example.org}\n"
	"spec:\n"
	"  group: example.org\n"
	"  scope: Namespaced\n"
	"  names: {plural: things, singular: thing, kind: Thing, listKind: ThingList}\n"
	"  conversion: {strategy: None}\n"
	"  versions: [%s]\n";

#define VERSION(name, storage, schema)                                                             \
	"{name: " name ", served: true, storage: " storage ", schema: {openAPIV3Schema: {type: "   \
	"object, properties: {spec: " schema "}}}}"

static struct kind_registry *registry;

static int setup(void **state)
{
	struct err err = ERR_INIT;

	registry = kind_registry_create();
	return kind_registry_load_builtin(registry, &err);
}

static int teardown(void **state)
{
	kind_registry_destroy(registry);
	return 0;
}

static struct json *yaml(struct arena *a, const char *text)
{
	struct json *doc;
	struct err err = ERR_INIT;

	if (yaml_parse(a, text, strlen(text), NULL, &doc, &err) < 0)
		fail_msg("%s: %s", text, err.msg);
	return doc;
}

static struct kind *define(const char *versions)
{
	struct arena a = ARENA_INIT;
	struct kind *k = NULL;
	struct err err = ERR_INIT;
	char *text = xasprintf(frame, versions);

	if (kind_registry_set_custom(registry, yaml(&a, text), &k, &err) < 0)
		fail_msg("%s", err.msg);
	free(text);
	arena_finish(&a);
	return k;
}

/* The spec of a checked thing as JSON, or the errors, one a line. */
static char *checked(struct arena *a, const struct kind *k, const char *spec)
{
	struct json *doc = json_new_object(a), *meta = json_object_at(a, doc, "metadata");
	struct field_errors errors = {.arena = a};
	struct status st = {0};
	struct buf out = BUF_INIT;
	char *text;

	json_set_str(a, meta, "name", "x");
	json_set_str(a, doc, "kind", "Thing");
	json_set_str(a, doc, "apiVersion", "example.org/v1");
	json_set(a, doc, "spec", yaml(a, spec));
	assert_int_equal(object_check(k, a, doc, NULL, &errors, &st), 0);
	if (field_error_count(&errors) == 0)
		return json_text(a, json_get(doc, "spec"));
	JSON_FOR_EACH_ITEM(c, errors.causes)
		buf_printf(&out, "%s%s: %s", out.size ? "\n" : "", json_path_str(c, "field"),
			json_path_str(c, "message"));
	text = arena_strdup(a, out.data);
	buf_finish(&out);
	return text;
}

struct example {
	const char *schema, *spec, *result;
};

static void try_all(const struct example *all, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		struct arena a = ARENA_INIT;
		char *version = xasprintf(VERSION("v1", "true", "%s"), all[i].schema);
		struct kind *k = define(version);

		assert_string_equal(checked(&a, k, all[i].spec), all[i].result);
		free(version);
		arena_finish(&a);
	}
}

static void pruning_and_defaults(void **state)
{
	static const struct example all[] = {
		{"{type: object, properties: {a: {type: string}}}", "{a: x, b: y}",
			"{\"a\":\"x\"}"},
		{"{type: object, x-kubernetes-preserve-unknown-fields: true, properties: {a: "
		 "{type: object, properties: {b: {type: string}}}}}",
			"{a: {b: x, c: y}, d: {e: f}}",
			"{\"a\":{\"b\":\"x\"},\"d\":{\"e\":\"f\"}}"},
		{"{type: object, additionalProperties: {type: object, properties: {a: {type: "
		 "string}}}}",
			"{k: {a: x, b: y}}", "{\"k\":{\"a\":\"x\"}}"},
		{"{type: array, items: {type: object, properties: {a: {type: string}}}}",
			"[{a: x, b: y}, {c: z}]", "[{\"a\":\"x\"},{}]"},
		{"{type: object, additionalProperties: true}", "{a: x, b: {c: d}}",
			"{\"a\":\"x\",\"b\":{}}"},
		{"{type: object, properties: {a: {type: string, default: x}}}", "{}",
			"{\"a\":\"x\"}"},
		{"{type: object, properties: {a: {type: string, default: x}}}", "{a: ''}",
			"{\"a\":\"\"}"},
		{"{type: object, properties: {a: {type: string, default: x}}}", "{a: null}",
			"{\"a\":\"x\"}"},
		{"{type: object, properties: {a: {type: string, nullable: true, default: x}}}",
			"{a: null}", "{\"a\":null}"},
		{"{type: object, properties: {a: {type: string}}}", "{a: null}", "{}"},
		{"{type: object, properties: {a: {type: object, default: {}, properties: {b: "
		 "{type: integer, default: 3}}}}}",
			"{}", "{\"a\":{\"b\":3}}"},
		{"{type: object, properties: {a: {type: object, properties: {b: {type: integer, "
		 "default: 3}}}}}",
			"{}", "{}"},
		{"{type: array, items: {type: object, properties: {b: {type: integer, default: "
		 "3}}}}",
			"[{}, {b: 1}]", "[{\"b\":3},{\"b\":1}]"},
	};

	try_all(all, ARRAY_LEN(all));
}

static void values(void **state)
{
	static const struct example all[] = {
		{"{type: integer}", "x",
			"spec: Invalid value: \"string\": spec in body must be of type integer: "
			"\"string\""},
		{"{type: integer}", "5.0", "5"},
		{"{type: integer, minimum: 1}", "0",
			"spec: Invalid value: 0: spec in body should be greater than or equal to "
			"1"},
		{"{type: integer, minimum: 1, exclusiveMinimum: true}", "1",
			"spec: Invalid value: 1: spec in body should be greater than 1"},
		{"{type: number, maximum: 1.5}", "2",
			"spec: Invalid value: 2: spec in body should be less than or equal to 1.5"},
		{"{type: integer, multipleOf: 3}", "10",
			"spec: Invalid value: 10: spec in body should be a multiple of 3"},
		{"{type: string, minLength: 2}", "a",
			"spec: Invalid value: \"a\": spec in body should be at least 2 chars long"},
		{"{type: string, maxLength: 2}", "abc",
			"spec: Too long: may not be more than 2 bytes"},
		{"{type: string, pattern: '^a+$'}", "b",
			"spec: Invalid value: \"b\": spec in body should match '^a+$'"},
		{"{type: string, enum: [a, b]}", "c",
			"spec: Unsupported value: \"c\": supported values: \"a\", \"b\""},
		{"{type: string, format: ipv4}", "1.2.3",
			"spec: Invalid value: \"1.2.3\": spec in body must be of type ipv4: "
			"\"1.2.3\""},
		{"{type: string, format: nonsense}", "1.2.3", "\"1.2.3\""},
		{"{type: array, maxItems: 1, items: {type: string}}", "[a, b]",
			"spec: Too many: 2: must have at most 1 items"},
		{"{type: array, minItems: 1, items: {type: string}}", "[]",
			"spec: Invalid value: 0: spec in body should have at least 1 items"},
		{"{type: object, maxProperties: 1, additionalProperties: {type: string}}",
			"{a: b, c: d}", "spec: Too many: 2: must have at most 1 items"},
		{"{type: object, required: [a], properties: {a: {type: string}}}", "{}",
			"spec.a: Required value"},
		{"{type: array, x-kubernetes-list-type: set, items: {type: string}}", "[a, b, a]",
			"spec[2]: Duplicate value: \"a\""},
		{"{type: array, items: {type: object, properties: {a: {type: integer}}}}",
			"[{a: 1}, {a: x}]",
			"spec[1].a: Invalid value: \"string\": spec[1].a in body must be of type "
			"integer: \"string\""},
		{"{x-kubernetes-int-or-string: true}", "true",
			"spec: Invalid value: \"boolean\": spec in body must be of type "
			"integer,string: \"boolean\""},
		{"{type: object, properties: {a: {type: string}, b: {type: string}}, oneOf: "
		 "[{required: [a]}, {required: [b]}]}",
			"{a: x, b: z}",
			"<nil>: Invalid value: \"\": \"spec\" must validate one and only one "
			"schema (oneOf). Found 2 valid alternatives"},
		{"{type: object, properties: {a: {type: string}, b: {type: string}}, anyOf: "
		 "[{required: [a]}, {required: [b]}]}",
			"{}",
			"<nil>: Invalid value: \"\": \"spec\" must validate at least one schema "
			"(anyOf)\nspec.a: Required value"},
		{"{type: string, not: {enum: [a]}}", "a",
			"<nil>: Invalid value: \"\": \"spec\" must not validate the schema (not)"},
		{"{type: object, x-kubernetes-embedded-resource: true, "
		 "x-kubernetes-preserve-unknown-fields: true}",
			"{kind: Pod, metadata: {name: a}, spec: {b: c}}",
			"spec.apiVersion: Required value: must not be empty"},
	};

	try_all(all, ARRAY_LEN(all));
}

static void versions_convert_by_their_schemas(void **state)
{
	struct kind *storage = define(VERSION("v1", "true",
		"{type: object, properties: {a: {type: string}, b: {type: "
		"string}}}") "," VERSION("v2", "false",
		"{type: object, properties: {a: {type: string}, c: {type: "
		"integer, default: 7}}}"));
	const struct kind *v2 = kind_by_resource(registry, "example.org", "v2", "things");
	struct arena a = ARENA_INIT;
	struct json *doc = yaml(&a, "{kind: Thing, apiVersion: example.org/v1, metadata: {name: "
				    "x}, spec: {a: p, b: q}}");

	assert_string_equal(storage->gv, "example.org/v1");
	assert_ptr_equal(v2->storage, storage);
	assert_int_equal(v2->slot, storage->slot);
	assert_ptr_equal(v2->checked_as, v2);
	doc = kind_convert(&a, storage, v2, doc);
	assert_string_equal(json_text(&a, json_get(doc, "spec")), "{\"a\":\"p\",\"c\":7}");
	assert_string_equal(json_path_str(doc, "apiVersion"), "example.org/v2");
	doc = kind_convert(&a, v2, storage, doc);
	assert_string_equal(json_text(&a, json_get(doc, "spec")), "{\"a\":\"p\"}");
	arena_finish(&a);
}

static void rows_of_any_version_are_adopted(void **state)
{
	static const char row[] =
		"{\"kind\":\"Thing\",\"apiVersion\":\"example.org/v0\",\"metadata\":"
		"{\"resourceVersion\":\"\",\"name\":\"x\"},\"spec\":{\"a\":\"p\",\"b\":\"q\"}}";
	struct kind *k = define(VERSION("v1", "true",
		"{type: object, properties: {a: {type: string}, d: {type: string, default: z}}}"));
	struct arena a = ARENA_INIT;
	struct object *o;
	struct err err = ERR_INIT;

	assert_int_equal(object_adopt(k, row, sizeof(row) - 1, 12, &o, &err), 0);
	assert_string_equal(
		json_text(&a, json_get(object_doc(o, &a), "spec")), "{\"a\":\"p\",\"d\":\"z\"}");
	assert_string_equal(json_path_str(object_doc(o, &a), "apiVersion"), "example.org/v1");
	assert_int_equal(o->revision, 12);
	object_unref(o);
	assert_int_equal(object_adopt(k, "{}", 2, 12, &o, &err), -EBADMSG);
	arena_finish(&a);
}

static unsigned told;

static void on_change(struct kind_observer *o, const struct kind *k)
{
	told++;
}

static void kinds_come_change_and_go(void **state)
{
	struct kind_observer observer = {.changed = on_change};
	struct kind *k = define(VERSION("v1", "true", "{type: string}")), *again;
	unsigned slot = k->slot, index = k->index;
	size_t count = kind_count(registry);
	uint64_t generation = kind_registry_generation(registry);
	struct object *o;
	struct arena a = ARENA_INIT;
	struct json *doc = yaml(&a, "{metadata: {name: x}, spec: y}");

	kind_registry_observe(registry, &observer);
	kind_registry_notify(registry, k);
	assert_int_equal(told, 1);
	kind_registry_unobserve(&observer);

	/* The same struct, whatever becomes of the definition: objects hold on to it. */
	o = object_new(k, &a, doc, 3);
	assert_ptr_equal(kind_registry_custom(registry, "things.example.org"), k);
	assert_ptr_equal(kind_registry_remove_custom(registry, "things.example.org"), k);
	assert_null(kind_registry_remove_custom(registry, "things.example.org"));
	assert_null(kind_registry_custom(registry, "things.example.org"));
	assert_null(kind_by_resource(registry, "example.org", "v1", "things"));
	assert_null(kind_by_name(registry, "example.org", "v1", "Thing"));
	assert_true(kind_registry_generation(registry) > generation);
	assert_false(o->kind->served);
	assert_string_equal(o->kind->plural, "things");
	assert_string_equal(o->kind->group, "example.org");
	assert_string_equal(object_field(o, "metadata.name"), "x");

	again = define(VERSION("v1", "true", "{type: integer}"));
	assert_ptr_equal(again, k);
	assert_int_equal(again->slot, slot);
	assert_int_equal(again->index, index);
	assert_int_equal(kind_count(registry), count);
	assert_true(again->served);

	/* Another version of the same resource is another kind in the same slot. */
	again = define(VERSION("v2", "true", "{type: integer}"));
	assert_ptr_not_equal(again, k);
	assert_int_equal(again->slot, slot);
	assert_null(kind_by_resource(registry, "example.org", "v1", "things"));
	object_unref(o);
	arena_finish(&a);
}

static void a_definition_that_cannot_be_built_changes_nothing(void **state)
{
	struct kind *k = define(VERSION("v1", "true", "{type: string}"));
	struct arena a = ARENA_INIT;
	struct err err = ERR_INIT;
	struct kind *ret;
	char *text = xasprintf(frame, VERSION("v1", "true", "{type: string, pattern: '['}"));

	assert_true(kind_registry_set_custom(registry, yaml(&a, text), &ret, &err) < 0);
	assert_true(k->served);
	assert_int_equal(
		k->schema->properties[schema_find(k->schema, "spec", 4) - k->schema->properties]
			.schema->type,
		SCHEMA_STRING);
	free(text);
	arena_finish(&a);
}

static void alternatives_without_end_are_refused(void **state)
{
	/* Ten levels of ten alternatives that all look at the value. */
	struct buf schema = BUF_INIT, version = BUF_INIT;
	struct arena a = ARENA_INIT;
	struct field_errors errors = {.arena = &a};
	struct status st = {0};
	struct kind *k;
	struct json *doc;

	buf_add_str(&schema, "{enum: [b]}");
	for (int level = 0; level < 10; level++) {
		struct buf next = BUF_INIT;

		buf_add_str(&next, level == 9 ? "{type: string, oneOf: [" : "{oneOf: [");
		for (int n = 0; n < 4; n++)
			buf_printf(&next, "%s%.*s", n ? ", " : "", (int)schema.size, schema.data);
		buf_add_str(&next, "]}");
		buf_finish(&schema);
		schema = next;
		if (schema.size > 1u << 20)
			break;
	}
	if (!str_has_prefix(schema.data, "{type")) {
		struct buf outer = BUF_INIT;

		buf_printf(&outer, "{type: string, allOf: [%.*s]}", (int)schema.size, schema.data);
		buf_finish(&schema);
		schema = outer;
	}
	buf_printf(&version, VERSION("v1", "true", "%.*s"), (int)schema.size, schema.data);
	k = define(version.data);
	doc = yaml(&a, "{kind: Thing, apiVersion: example.org/v1, metadata: {name: x}, spec: a}");
	/* Whatever the verdict is, it comes soon. */
	if (object_check(k, &a, doc, NULL, &errors, &st) < 0)
		assert_int_equal(st.code, 413);
	else
		assert_true(field_error_count(&errors) > 0);
	buf_finish(&schema);
	buf_finish(&version);
	arena_finish(&a);
}

/* The code of the answer to a thing whose spec is `count` times the text; 0 = it is accepted. */
static int code_of_list(const char *schema, const char *text, size_t count)
{
	struct arena a = ARENA_INIT;
	struct field_errors errors = {.arena = &a};
	struct status st = {0};
	char *version = xasprintf(VERSION("v1", "true", "%s"), schema);
	struct kind *k = define(version);
	struct json *doc =
		yaml(&a, "{kind: Thing, apiVersion: example.org/v1, metadata: {name: x}}");
	struct json *list = json_new_array(&a);
	int code;

	for (size_t i = 0; i < count; i++)
		json_push(&a, list, json_new_string(&a, text));
	json_set(&a, doc, "spec", list);
	code = object_check(k, &a, doc, NULL, &errors, &st) < 0 ? st.code
	       : field_error_count(&errors)			? 422
								: 0;
	free(version);
	arena_finish(&a);
	return code;
}

static void slow_patterns_end_the_check(void **state)
{
	static const char schema[] = "{type: array, items: {type: string, pattern: "
				     "'^([a-z0-9]+([-.][a-z0-9]+)*)+$'}}";

	assert_int_equal(code_of_list(schema, "www.example-of-names.org", 10000), 0);
	assert_int_equal(code_of_list(schema, "a!", 10), 422);
	assert_int_equal(
		code_of_list(schema, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!", 60000), 413);
	/* Each of these ends by itself, but all of them take too long. */
	assert_int_equal(code_of_list(schema, "aaaaaaaaaaaaa!", 60000), 413);
}

static void long_enums_end_the_check(void **state)
{
	struct buf schema = BUF_INIT;

	buf_add_str(&schema, "{type: array, items: {type: string, enum: [");
	for (int i = 0; i < 2000; i++)
		buf_printf(&schema, "v%d, ", i);
	buf_add_str(&schema, "last]}}");
	assert_int_equal(code_of_list(schema.data, "last", 1000), 0);
	assert_int_equal(code_of_list(schema.data, "other", 10), 422);
	assert_int_equal(code_of_list(schema.data, "last", 20000), 413);
	assert_int_equal(code_of_list(schema.data, "other", 20000), 413);
	buf_finish(&schema);
}

static void long_names_are_cut_in_errors(void **state)
{
	struct arena a = ARENA_INIT;
	struct buf spec = BUF_INIT;
	struct kind *k = define(
		VERSION("v1", "true", "{type: object, additionalProperties: {type: integer}}"));
	char *errors;

	/* Two bytes each, the last of which would be cut. */
	buf_add_str(&spec, "{? x");
	for (int i = 0; i < 5000; i++)
		buf_add_str(&spec, "\xc3\xa4");
	buf_add_str(&spec, " : text}");
	errors = checked(&a, k, spec.data);
	assert_non_null(strstr(errors, "must be of type integer"));
	assert_true(strlen(errors) < 4096);
	assert_true(utf8_valid(errors, strlen(errors)));
	buf_finish(&spec);
	arena_finish(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pruning_and_defaults),
		cmocka_unit_test(values),
		cmocka_unit_test(slow_patterns_end_the_check),
		cmocka_unit_test(long_enums_end_the_check),
		cmocka_unit_test(long_names_are_cut_in_errors),
		cmocka_unit_test(versions_convert_by_their_schemas),
		cmocka_unit_test(rows_of_any_version_are_adopted),
		cmocka_unit_test(kinds_come_change_and_go),
		cmocka_unit_test(a_definition_that_cannot_be_built_changes_nothing),
		cmocka_unit_test(alternatives_without_end_are_refused),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}

/* Which schemas are structural, and what is said of those that are not. */
#include "server/api/hooks/crd.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

struct example {
	const char *spec;  /* the schema of .spec; at the root when it begins with "ROOT " */
	const char *error; /* NULL = fine */
};

static const struct example all[] = {
	{"{type: string}", NULL},
	{"{}", "properties[spec].type: Required value: must not be empty for specified object "
	       "fields"},
	{"{type: text}", "properties[spec].type: Unsupported value: \"text\": supported values: "
			 "\"array\", \"boolean\", \"integer\", \"number\", \"object\", \"string\""},
	{"{x-kubernetes-int-or-string: true}", NULL},
	{"{x-kubernetes-preserve-unknown-fields: true}", NULL},
	{"{type: object, x-kubernetes-preserve-unknown-fields: false}",
		"properties[spec].x-kubernetes-preserve-unknown-fields: Invalid value: false: must "
		"be true or undefined"},
	{"{type: integer, x-kubernetes-int-or-string: true}",
		"properties[spec].type: Forbidden: must be empty if x-kubernetes-int-or-string is "
		"true"},
	{"{type: array}", "properties[spec].items: Required value: must be specified"},
	{"{type: array, items: {}}", "properties[spec].items.type: Required value: must not be "
				     "empty for specified array "
				     "items"},
	{"{type: array, items: {type: string}, uniqueItems: true}",
		"properties[spec].uniqueItems: Forbidden: uniqueItems cannot be set to true since "
		"the runtime complexity becomes quadratic"},
	{"{type: object, additionalProperties: false}",
		"properties[spec].additionalProperties: Forbidden: additionalProperties cannot be "
		"set to false"},
	{"{type: object, additionalProperties: {type: string}, properties: {a: {type: string}}}",
		"properties[spec].additionalProperties: Forbidden: additionalProperties and "
		"properties are mutual exclusive"},
	{"{type: object, $ref: x}", "properties[spec].$ref: Forbidden: $ref is not supported"},
	{"{type: string, pattern: '['}",
		": Invalid value: \"\": .spec: pattern '[' is wrong at offset 1"},
	{"{type: string, default: 5}",
		"properties[spec].default: Invalid value: \"integer\": "
		"ROOT.properties[spec].default in body must be of type string: \"integer\""},
	{"{type: object, default: {b: 1}, properties: {a: {type: string}}}",
		"properties[spec].default: Invalid value: {\"b\":1}: must not have unknown fields"},
	{"{type: array, items: {type: string}, x-kubernetes-list-type: bag}",
		"properties[spec].x-kubernetes-list-type: Unsupported value: \"bag\": supported "
		"values: \"atomic\", \"map\", \"set\""},
	{"{type: object, x-kubernetes-list-type: set}",
		"properties[spec].type: Invalid value: \"object\": must be array if "
		"x-kubernetes-list-type is specified"},
	{"{type: array, items: {type: object, properties: {a: {type: string}}}, "
	 "x-kubernetes-list-type: map, x-kubernetes-list-map-keys: [a]}",
		"properties[spec].items.properties[a].default: Required value: this property is in "
		"x-kubernetes-list-map-keys, so it must have a default or be a required property"},
	{"{type: array, items: {type: object, required: [a], properties: {a: {type: string}}}, "
	 "x-kubernetes-list-type: map, x-kubernetes-list-map-keys: [a]}",
		NULL},
	{"{type: array, items: {type: object, required: [a], properties: {a: {type: object}}}, "
	 "x-kubernetes-list-type: map, x-kubernetes-list-map-keys: [a]}",
		"properties[spec].items.properties[a].type: Invalid value: \"object\": must be a "
		"scalar type if parent array's x-kubernetes-list-type is map"},
	{"{type: array, items: {type: object}, x-kubernetes-list-type: map}",
		"properties[spec].x-kubernetes-list-map-keys: Required value: must not be empty if "
		"x-kubernetes-list-type is map"},
	{"{type: array, items: {type: object}, x-kubernetes-list-type: set}",
		"properties[spec].items.x-kubernetes-map-type: Invalid value: \"\": must be atomic "
		"as item of a list with x-kubernetes-list-type=set"},
	{"{type: object, anyOf: [{type: object}]}",
		"properties[spec].anyOf[0].type: Forbidden: must be empty to be structural"},
	{"{type: object, anyOf: [{description: x}]}",
		"properties[spec].anyOf[0].description: Forbidden: must be empty to be structural"},
	{"{type: object, not: {default: {}}}",
		"properties[spec].not.default: Forbidden: must be undefined to be structural"},
	{"{type: object, oneOf: [{properties: {a: {minimum: 1}}}]}",
		"properties[spec].oneOf[0].properties[a]: Required value: because it must be "
		"defined in the structure outside, too"},
	{"{type: object, properties: {a: {type: integer}}, oneOf: [{properties: {a: {minimum: "
	 "1}}}]}",
		NULL},
	{"{x-kubernetes-int-or-string: true, anyOf: [{type: integer}, {type: string}]}", NULL},
	{"{type: object, x-kubernetes-embedded-resource: true}",
		"properties[spec].properties: Required value: must not be empty if "
		"x-kubernetes-embedded-resource is true without "
		"x-kubernetes-preserve-unknown-fields"},
	{"{type: string, x-kubernetes-map-type: atomic}",
		"properties[spec].type: Invalid value: \"string\": must be object if "
		"x-kubernetes-map-type is specified"},
	{"ROOT {type: string}", "type: Invalid value: \"string\": must be object at the root"},
	{"ROOT {}", "type: Required value: must not be empty at the root"},
	{"ROOT {type: object, nullable: true}",
		"nullable: Forbidden: nullable cannot be true at the root"},
	{"ROOT {type: object, properties: {metadata: {type: object, properties: {labels: {type: "
	 "object}}}}}",
		"properties[metadata]: Forbidden: must not specify anything other than name and "
		"generateName, but metadata is implicitly specified"},
	{"ROOT {type: object, properties: {metadata: {type: object, properties: {name: {type: "
	 "string, maxLength: 5}}}}}",
		NULL},
};

static void schemas(void **state)
{
	struct kind_registry *kinds = kind_registry_create();
	struct err err = ERR_INIT;

	assert_int_equal(kind_registry_load_builtin(kinds, &err), 0);
	for (size_t i = 0; i < ARRAY_LEN(all); i++) {
		struct arena a = ARENA_INIT;
		struct api api = {.kinds = kinds};
		struct field_errors errors = {.arena = &a};
		struct hook h = {.api = &api, .arena = &a, .errors = &errors};
		bool root = str_has_prefix(all[i].spec, "ROOT ");
		char *text =
			arena_printf(&a, root ? "%s" : "{type: object, properties: {spec: %s}}",
				all[i].spec + (root ? 5 : 0));
		struct json *schema;

		assert_int_equal(yaml_parse(&a, text, strlen(text), NULL, &schema, &err), 0);
		crd_schema_validate(&h, "ROOT", schema);
		if (!all[i].error) {
			if (field_error_count(&errors))
				fail_msg("%s: %s", all[i].spec, json_text(&a, errors.causes));
			arena_finish(&a);
			continue;
		}
		if (!field_error_count(&errors))
			fail_msg("%s: nothing was said", all[i].spec);
		const struct json *first = json_at(errors.causes, 0);
		const char *field = json_path_str(first, "field");
		char *said = arena_printf(&a, "%s: %s",
			str_has_prefix(field, "ROOT.") ? field + 5
			: streq(field, "ROOT")	       ? ""
						       : field,
			json_path_str(first, "message"));
		assert_string_equal(said, all[i].error);
		arena_finish(&a);
	}
	kind_registry_destroy(kinds);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(schemas)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

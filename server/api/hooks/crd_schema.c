/* crd_schema.c - is a schema structural? (Kubernetes: "Extend the API with
 * CustomResourceDefinitions", "Specifying a structural schema"; KEP-1111.) What is wrong is told at
 * the path in the definition, in upstream's words. */
#include "server/api/hooks/crd.h"

#include "lib/json/json_seen.h"
#include "lib/object/custom.h"

#define ERRORS_MAX 100

/* A path, made into text only for errors. */
struct at {
	const struct at *up;
	const char *field, *key; /* "properties[key]"; key NULL: the field alone */
	size_t index;		 /* "allOf[2]" when it is not SIZE_MAX */
};

enum level { LEVEL_ROOT, LEVEL_FIELD, LEVEL_ITEM };

struct walk {
	struct arena *arena;
	struct field_errors *errors;
	size_t schemas;
	bool rules; /* x-kubernetes-validations were met */
};

static void add_path(struct buf *out, const struct at *at)
{
	if (at->up) {
		add_path(out, at->up);
		buf_add_char(out, '.');
	}
	buf_add_str(out, at->field);
	if (at->key)
		buf_printf(out, "[%.1024s]", at->key);
	if (at->index != SIZE_MAX)
		buf_printf(out, "[%zu]", at->index);
}

static struct at child(const struct at *up, const char *field)
{
	return (struct at){up, field, NULL, SIZE_MAX};
}

static bool full(const struct walk *w)
{
	return field_error_count(w->errors) >= ERRORS_MAX;
}

static char *path_text(struct arena *a, const struct at *at)
{
	_cleanup_(buf_finish) struct buf text = BUF_INIT;
	add_path(&text, at);
	return arena_memdup(a, text.data, text.size);
}

/* field "" is the place itself. */
static void error(struct walk *w, const struct at *at, const char *field,
	enum field_error_type type, const struct json *value, const char *detail)
{
	if (full(w))
		return;
	struct at here = child(at, field);
	const char *path = path_text(w->arena, *field ? &here : at);
	if (detail)
		field_error(w->errors, type, path, value, "%s", detail);
	else
		field_error(w->errors, type, path, value, NULL);
}

static bool flag(const struct json *s, const char *name)
{
	return json_bool_or(json_get(s, name), false);
}

static const char *text(const struct json *s, const char *name)
{
	return json_str_or(json_get(s, name), "");
}

/* Keywords that JSON Schema has and structural schemas have not. */
static void check_unsupported(struct walk *w, const struct at *at, const struct json *s)
{
	static const char *const none[] = {"$ref", "definitions", "dependencies",
		"patternProperties", "additionalItems", "id"};
	for (size_t i = 0; i < ARRAY_LEN(none); i++)
		if (json_get(s, none[i]))
			error(w, at, none[i], FIELD_FORBIDDEN, NULL,
				arena_printf(w->arena, "%s is not supported", none[i]));
	if (flag(s, "uniqueItems"))
		error(w, at, "uniqueItems", FIELD_FORBIDDEN, NULL,
			"uniqueItems cannot be set to true since the runtime complexity becomes "
			"quadratic");
}

static void check_type(struct walk *w, const struct at *at, const struct json *s, enum level level)
{
	static const char *const types[] = {
		"array", "boolean", "integer", "number", "object", "string"};
	const char *type = text(s, "type");
	bool any = flag(s, "x-kubernetes-int-or-string") ||
		   flag(s, "x-kubernetes-preserve-unknown-fields");
	if (level == LEVEL_ROOT && flag(s, "nullable"))
		error(w, at, "nullable", FIELD_FORBIDDEN, NULL,
			"nullable cannot be true at the root");
	if (!*type) {
		if (level == LEVEL_ROOT)
			error(w, at, "type", FIELD_REQUIRED, NULL, "must not be empty at the root");
		else if (!any)
			error(w, at, "type", FIELD_REQUIRED, NULL,
				level == LEVEL_ITEM
					? "must not be empty for specified array items"
					: "must not be empty for specified object fields");
		return;
	}
	bool known = false;
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		known |= streq(types[i], type);
	if (streq(type, "null"))
		error(w, at, "type", FIELD_FORBIDDEN, NULL,
			"type cannot be set to null, use nullable as an alternative");
	else if (!known)
		error(w, at, "type", FIELD_NOT_SUPPORTED, json_get(s, "type"),
			"supported values: \"array\", \"boolean\", \"integer\", \"number\", "
			"\"object\", \"string\"");
	else if (level == LEVEL_ROOT && !streq(type, "object"))
		error(w, at, "type", FIELD_INVALID, json_get(s, "type"),
			"must be object at the root");
}

static bool is_scalar(const struct json *s)
{
	const char *type = text(s, "type");
	return streq(type, "string") || streq(type, "integer") || streq(type, "number") ||
	       streq(type, "boolean") || flag(s, "x-kubernetes-int-or-string");
}

static void check_map_keys(struct walk *w, const struct at *at, const struct json *s)
{
	const struct json *items = json_get(s, "items");
	const struct json *keys = json_get(s, "x-kubernetes-list-map-keys");
	const struct json *properties = json_get(items, "properties");
	struct at items_at = child(at, "items");
	if (!json_count(keys))
		error(w, at, "x-kubernetes-list-map-keys", FIELD_REQUIRED, NULL,
			"must not be empty if x-kubernetes-list-type is map");
	if (items && !streq(text(items, "type"), "object"))
		error(w, &items_at, "type", FIELD_INVALID,
			json_new_string(w->arena, text(items, "type")),
			"must be object if parent array's x-kubernetes-list-type is map");
	struct json_seen seen = {.arena = w->arena};
	struct json_seen needed = json_seen_of(w->arena, json_get(items, "required"), NULL);
	size_t i = 0;
	JSON_FOR_EACH_ITEM(key, keys) {
		const char *name = json_str_or(key, "");
		const struct json *p = json_get(properties, name);
		struct at key_at = {at, "x-kubernetes-list-map-keys", NULL, i};
		struct at property_at = {&items_at, "properties", name, SIZE_MAX};
		if (json_seen_put(&seen, key))
			error(w, &key_at, "", FIELD_DUPLICATE, key, NULL);
		i++;
		if (!p) {
			error(w, &key_at, "", FIELD_INVALID, key,
				"entries must all be names of item properties");
			continue;
		}
		if (!is_scalar(p))
			error(w, &property_at, "type", FIELD_INVALID,
				json_new_string(w->arena, text(p, "type")),
				"must be a scalar type if parent array's x-kubernetes-list-type is "
				"map");
		if (flag(p, "nullable"))
			error(w, &property_at, "nullable", FIELD_FORBIDDEN, NULL,
				"this property is in x-kubernetes-list-map-keys, so it cannot be "
				"nullable");
		if (!json_get(p, "default") && !json_seen_find(&needed, key))
			error(w, &property_at, "default", FIELD_REQUIRED, NULL,
				"this property is in x-kubernetes-list-map-keys, so it must have a "
				"default or be a required property");
	}
}

static void check_list(struct walk *w, const struct at *at, const struct json *s)
{
	const struct json *list_type = json_get(s, "x-kubernetes-list-type");
	const struct json *items = json_get(s, "items");
	const char *type = json_str_or(list_type, "");
	if (json_get(s, "x-kubernetes-list-map-keys") && !streq(type, "map"))
		error(w, at, "x-kubernetes-list-map-keys", FIELD_FORBIDDEN, NULL,
			"must not be specified if x-kubernetes-list-type is not map");
	if (!list_type)
		return;
	if (!streq(text(s, "type"), "array"))
		error(w, at, "type", FIELD_INVALID, json_new_string(w->arena, text(s, "type")),
			"must be array if x-kubernetes-list-type is specified");
	if (!streq(type, "atomic") && !streq(type, "set") && !streq(type, "map")) {
		error(w, at, "x-kubernetes-list-type", FIELD_NOT_SUPPORTED, list_type,
			"supported values: \"atomic\", \"map\", \"set\"");
		return;
	}
	if (!streq(type, "atomic") && !items)
		error(w, at, "items", FIELD_REQUIRED, NULL,
			arena_printf(w->arena, "must have a schema if x-kubernetes-list-type is %s",
				type));
	if (streq(type, "map"))
		check_map_keys(w, at, s);
	if (!streq(type, "set") || !items)
		return;
	struct at items_at = child(at, "items");
	if (flag(items, "nullable"))
		error(w, &items_at, "nullable", FIELD_FORBIDDEN, NULL,
			"cannot be nullable when x-kubernetes-list-type is set");
	if (streq(text(items, "type"), "object") &&
		!streq(text(items, "x-kubernetes-map-type"), "atomic"))
		error(w, &items_at, "x-kubernetes-map-type", FIELD_INVALID,
			json_new_string(w->arena, text(items, "x-kubernetes-map-type")),
			"must be atomic as item of a list with x-kubernetes-list-type=set");
	if (streq(text(items, "type"), "array") && json_get(items, "x-kubernetes-list-type") &&
		!streq(text(items, "x-kubernetes-list-type"), "atomic"))
		error(w, &items_at, "x-kubernetes-list-type", FIELD_INVALID,
			json_get(items, "x-kubernetes-list-type"),
			"must be atomic as item of a list with x-kubernetes-list-type=set");
}

static void check_extensions(struct walk *w, const struct at *at, const struct json *s)
{
	const struct json *preserve = json_get(s, "x-kubernetes-preserve-unknown-fields");
	const struct json *map_type = json_get(s, "x-kubernetes-map-type");
	const char *type = text(s, "type");
	if (preserve && !json_bool_or(preserve, false))
		error(w, at, "x-kubernetes-preserve-unknown-fields", FIELD_INVALID, preserve,
			"must be true or undefined");
	if (preserve && *type && !streq(type, "object") && !streq(type, "array"))
		error(w, at, "type", FIELD_INVALID, json_get(s, "type"),
			"must be object if x-kubernetes-preserve-unknown-fields is true");
	if (map_type && !streq(json_str(map_type), "granular") &&
		!streq(json_str(map_type), "atomic"))
		error(w, at, "x-kubernetes-map-type", FIELD_NOT_SUPPORTED, map_type,
			"supported values: \"atomic\", \"granular\"");
	if (map_type && !streq(type, "object"))
		error(w, at, "type", FIELD_INVALID, json_new_string(w->arena, type),
			"must be object if x-kubernetes-map-type is specified");
	if (flag(s, "x-kubernetes-int-or-string")) {
		if (*type)
			error(w, at, "type", FIELD_FORBIDDEN, NULL,
				"must be empty if x-kubernetes-int-or-string is true");
		if (flag(s, "x-kubernetes-embedded-resource"))
			error(w, at, "x-kubernetes-embedded-resource", FIELD_FORBIDDEN, NULL,
				"must be false if x-kubernetes-int-or-string is true");
	}
	if (flag(s, "x-kubernetes-embedded-resource")) {
		if (!streq(type, "object"))
			error(w, at, "type", FIELD_INVALID, json_new_string(w->arena, type),
				"must be object if x-kubernetes-embedded-resource is true");
		if (!json_count(json_get(s, "properties")) && !preserve)
			error(w, at, "properties", FIELD_REQUIRED, NULL,
				"must not be empty if x-kubernetes-embedded-resource is true "
				"without x-kubernetes-preserve-unknown-fields");
		if (json_get(s, "additionalProperties"))
			error(w, at, "additionalProperties", FIELD_FORBIDDEN, NULL,
				"must not be used if x-kubernetes-embedded-resource is set");
	}
	check_list(w, at, s);
}

/* The metadata of a resource is what it is; only the name may be narrowed. */
static void check_metadata(struct walk *w, const struct at *at, const struct json *s)
{
	const struct json *meta = json_path(s, "properties.metadata");
	struct at meta_at = {at, "properties", "metadata", SIZE_MAX};
	if (!meta)
		return;
	if (!streq(text(meta, "type"), "object"))
		error(w, &meta_at, "type", FIELD_INVALID,
			json_new_string(w->arena, text(meta, "type")), "must be object");
	JSON_FOR_EACH_MEMBER(m, json_get(meta, "properties"))
		if (!streq(m->name, "name") && !streq(m->name, "generateName")) {
			error(w, &meta_at, "", FIELD_FORBIDDEN, NULL,
				"must not specify anything other than name and generateName, but "
				"metadata is implicitly specified");
			break;
		}
	if (json_get(meta, "additionalProperties") || json_get(meta, "default"))
		error(w, &meta_at, "", FIELD_FORBIDDEN, NULL,
			"must not specify anything other than name and generateName, but metadata "
			"is implicitly specified");
}

static void check_combinations(struct walk *w, const struct at *at, const struct json *s,
	const struct json *core, bool int_or_string);

/* Within allOf, anyOf, oneOf and not only values are judged: the structure is said once, outside.
 * `core` is the structure at this place, NULL when there is none. */
static void check_value_schema(struct walk *w, const struct at *at, const struct json *s,
	const struct json *core, bool int_or_string)
{
	static const char *const texts[] = {"type", "title", "description"};
	static const char *const flags[] = {"x-kubernetes-preserve-unknown-fields",
		"x-kubernetes-embedded-resource", "x-kubernetes-int-or-string"};
	static const char *const others[] = {"default", "additionalProperties",
		"x-kubernetes-list-type", "x-kubernetes-list-map-keys", "x-kubernetes-map-type"};
	if (full(w) || ++w->schemas > CUSTOM_SCHEMAS_MAX)
		return;
	check_unsupported(w, at, s);
	for (size_t i = 0; i < ARRAY_LEN(texts); i++)
		if (*text(s, texts[i]) && !(i == 0 && int_or_string))
			error(w, at, texts[i], FIELD_FORBIDDEN, NULL,
				"must be empty to be structural");
	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		if (flag(s, flags[i]))
			error(w, at, flags[i], FIELD_FORBIDDEN, NULL,
				"must be false to be structural");
	if (flag(s, "nullable"))
		error(w, at, "nullable", FIELD_FORBIDDEN, NULL, "must be false to be structural");
	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		if (json_get(s, others[i]))
			error(w, at, others[i], FIELD_FORBIDDEN, NULL,
				"must be undefined to be structural");
	w->rules |= json_count(json_get(s, "x-kubernetes-validations")) > 0;
	if (json_get(s, "items") && core && !json_get(core, "items"))
		error(w, at, "items", FIELD_REQUIRED, NULL,
			"because it must be defined in the structure outside, too");
	JSON_FOR_EACH_MEMBER(m, json_get(s, "properties")) {
		struct at here = {at, "properties", m->name, SIZE_MAX};
		const struct json *of = json_get_n(
					  json_get(core, "properties"), m->name, m->name_size),
				  *all = json_get(core, "additionalProperties");
		if (!of && json_is(all, JSON_OBJECT))
			of = all;
		if (core && !of && !flag(core, "x-kubernetes-preserve-unknown-fields") &&
			!(flag(core, "x-kubernetes-embedded-resource") || json_bool_or(all, false)))
			error(w, &here, "", FIELD_REQUIRED, NULL,
				"because it must be defined in the structure outside, too");
		check_value_schema(w, &here, m->value, of, false);
	}
	if (json_get(s, "items")) {
		struct at here = child(at, "items");
		check_value_schema(w, &here, json_get(s, "items"), json_get(core, "items"), false);
	}
	check_combinations(w, at, s, core, int_or_string);
}

static void check_combinations(struct walk *w, const struct at *at, const struct json *s,
	const struct json *core, bool int_or_string)
{
	static const char *const lists[] = {"allOf", "anyOf", "oneOf"};
	for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
		size_t n = 0;
		JSON_FOR_EACH_ITEM(it, json_get(s, lists[i])) {
			struct at here = {at, lists[i], NULL, n++};
			check_value_schema(w, &here, it, core, int_or_string);
		}
	}
	if (json_get(s, "not")) {
		struct at here = child(at, "not");
		check_value_schema(w, &here, json_get(s, "not"), core, false);
	}
}

static void check_schema(
	struct walk *w, const struct at *at, const struct json *s, enum level level)
{
	if (full(w))
		return;
	if (++w->schemas > CUSTOM_SCHEMAS_MAX) {
		error(w, at, "", FIELD_TOO_MANY, json_new_int(w->arena, (int64_t)w->schemas),
			arena_printf(w->arena, "must have at most %d items", CUSTOM_SCHEMAS_MAX));
		return;
	}
	check_type(w, at, s, level);
	check_unsupported(w, at, s);
	check_extensions(w, at, s);
	w->rules |= json_count(json_get(s, "x-kubernetes-validations")) > 0;
	if (level == LEVEL_ROOT || flag(s, "x-kubernetes-embedded-resource"))
		check_metadata(w, at, s);
	const struct json *additional = json_get(s, "additionalProperties");
	if (json_is(additional, JSON_BOOL) && !additional->b)
		error(w, at, "additionalProperties", FIELD_FORBIDDEN, NULL,
			"additionalProperties cannot be set to false");
	if (additional && json_count(json_get(s, "properties")))
		error(w, at, "additionalProperties", FIELD_FORBIDDEN, NULL,
			"additionalProperties and properties are mutual exclusive");
	if (level == LEVEL_ROOT && additional)
		error(w, at, "additionalProperties", FIELD_FORBIDDEN, NULL,
			"must not be used at the root");
	if (streq(text(s, "type"), "array") && !json_get(s, "items") &&
		!flag(s, "x-kubernetes-preserve-unknown-fields"))
		error(w, at, "items", FIELD_REQUIRED, NULL, "must be specified");
	JSON_FOR_EACH_MEMBER(m, json_get(s, "properties")) {
		struct at here = {at, "properties", m->name, SIZE_MAX};
		check_schema(w, &here, m->value, LEVEL_FIELD);
	}
	if (json_is(additional, JSON_OBJECT)) {
		struct at here = child(at, "additionalProperties");
		check_schema(w, &here, additional, LEVEL_FIELD);
	}
	if (json_get(s, "items")) {
		struct at here = child(at, "items");
		check_schema(w, &here, json_get(s, "items"), LEVEL_ITEM);
	}
	check_combinations(w, at, s, s, flag(s, "x-kubernetes-int-or-string"));
}

bool crd_schema_validate(struct hook *h, const char *path, const struct json *schema)
{
	struct walk w = {.arena = h->arena, .errors = h->errors};
	struct at root = child(NULL, path);
	size_t before = field_error_count(h->errors);
	check_schema(&w, &root, schema, LEVEL_ROOT);
	if (field_error_count(h->errors) == before)
		custom_schema_check(h->api->kinds, schema, path, h->errors);
	return w.rules;
}

#include "lib/object/schema_build.h"

static const struct schema empty_schema = {
	.type = SCHEMA_ANY,
	.max_length = -1,
	.min_length = -1,
	.min_items = -1,
	.max_items = -1,
};

void schema_builder_init(struct schema_builder *b, struct arena *arena, struct table *definitions,
	schema_regexes *regexes)
{
	*b = (struct schema_builder){
		.arena = arena,
		.definitions = definitions,
		.regexes = regexes,
	};
}

void schema_builder_finish(struct schema_builder *b)
{
	table_finish(&b->texts);
	table_finish(&b->leaves);
	VEC_FINISH(&b->overlays);
	arena_finish(&b->scratch);
}

const char *schema_intern(struct schema_builder *b, const char *s)
{
	char *copy;

	if (!s)
		return NULL;
	copy = table_get(&b->texts, s);
	if (!copy) {
		copy = arena_strdup(b->arena, s);
		table_set(&b->texts, s, copy);
	}
	return copy;
}

static const struct json *own_json(struct schema_builder *b, const struct json *v)
{
	return json_copy(b->arena, v);
}

static int parse_type(const struct json *json, struct schema *s, struct err *err)
{
	static const char *const names[] = {
		[SCHEMA_OBJECT] = "object",
		[SCHEMA_ARRAY] = "array",
		[SCHEMA_STRING] = "string",
		[SCHEMA_INTEGER] = "integer",
		[SCHEMA_NUMBER] = "number",
		[SCHEMA_BOOLEAN] = "boolean",
	};
	const char *type = json_str(json_get(json, "type"));

	if (json_bool_or(json_get(json, "x-kubernetes-int-or-string"), false)) {
		s->type = SCHEMA_INT_OR_STRING;
		return 0;
	}
	if (!type) {
		s->type = SCHEMA_ANY;
		return 0;
	}
	for (size_t i = SCHEMA_OBJECT; i < ARRAY_LEN(names); i++) {
		if (!streq(names[i], type))
			continue;
		s->type = (enum schema_type)i;
		return 0;
	}
	return err_set(err, -EINVAL, "unknown type '%s'", type);
}

static int parse_strings(
	struct schema_builder *b, const struct json *json, const char ***ret, size_t *ret_count)
{
	size_t count = json_count(json);
	const char **items;

	if (!json_is(json, JSON_ARRAY))
		return 0;
	items = arena_alloc(b->arena, MAX(count, 1) * sizeof(*items));
	for (size_t i = 0; i < count; i++)
		items[i] = schema_intern(b, json_str_or(json_at(json, i), ""));
	*ret = items;
	*ret_count = count;
	return 0;
}

static double number_or(const struct json *v, double fallback)
{
	if (json_is(v, JSON_INT))
		return (double)v->i;
	return json_is(v, JSON_DOUBLE) ? v->d : fallback;
}

/* What a use of a definition may add to it, and every schema may say of itself. */
static int apply_common(
	struct schema_builder *b, const struct json *json, struct schema *s, struct err *err)
{
	const struct json *v;
	const char *text;
	int r;

	if ((v = json_get(json, "description")))
		s->description = schema_intern(b, json_str(v));
	if ((v = json_get(json, "default")))
		s->default_value = own_json(b, v);
	if ((v = json_get(json, "nullable")))
		s->nullable = json_bool_or(v, false);
	if ((v = json_get(json, "enum")))
		s->enum_values = own_json(b, v);
	if ((v = json_get(json, "minimum"))) {
		s->has_minimum = true;
		s->minimum = number_or(v, 0);
	}
	if ((v = json_get(json, "maximum"))) {
		s->has_maximum = true;
		s->maximum = number_or(v, 0);
	}
	s->min_length = json_int_or(json_get(json, "minLength"), s->min_length);
	s->max_length = json_int_or(json_get(json, "maxLength"), s->max_length);
	s->min_items = json_int_or(json_get(json, "minItems"), s->min_items);
	s->max_items = json_int_or(json_get(json, "maxItems"), s->max_items);
	if ((text = json_str(json_get(json, "pattern")))) {
		s->pattern = schema_intern(b, text);
		r = schema_regex_compile(b->regexes, text, &s->regex, err);
		if (r < 0)
			return r;
	}
	if ((text = json_str(json_get(json, "x-kubernetes-patch-strategy")))) {
		s->patch_merge = strstr(text, "merge") != NULL;
		s->patch_retain_keys = strstr(text, "retainKeys") != NULL;
		s->patch_replace = streq(text, "replace");
	}
	if ((text = json_str(json_get(json, "x-kubernetes-map-type"))))
		s->map_atomic = streq(text, "atomic");
	if ((text = json_str(json_get(json, "x-kubernetes-patch-merge-key"))))
		s->patch_merge_key = schema_intern(b, text);
	if ((text = json_str(json_get(json, "x-hanok-rule"))) && rule_from_name(text, &s->rule) < 0)
		return err_set(err, -EINVAL, "unknown x-hanok-rule '%s'", text);
	if ((text = json_str(json_get(json, "x-hanok-unique"))))
		s->unique_key = schema_intern(b, text);
	s->or_bool = json_bool_or(json_get(json, "x-hanok-or-bool"), s->or_bool);
	/* A string with a default is never meaningfully empty: Go clients send "" for unset. */
	s->zero_is_unset = json_bool_or(json_get(json, "x-hanok-zero-unset"), s->zero_is_unset);
	if (!b->custom && json_is(s->default_value, JSON_STRING) && s->default_value->count > 0 &&
		s->type == SCHEMA_STRING)
		s->zero_is_unset = true;
	return 0;
}

static int property_compare(const void *a, const void *b)
{
	const struct schema_property *x = a, *y = b;

	if (x->name_size != y->name_size)
		return x->name_size < y->name_size ? -1 : 1;
	return memcmp(x->name, y->name, x->name_size);
}

static bool names_contain(const struct json *names, const char *name)
{
	JSON_FOR_EACH_ITEM(it, names)
		if (streq(json_str(it), name))
			return true;
	return false;
}

static int build_properties(
	struct schema_builder *b, const struct json *json, struct schema *s, struct err *err)
{
	const struct json *properties = json_get(json, "properties");
	const struct json *required = json_get(json, "required");
	size_t count = json_count(properties), n = 0;
	int r;

	if (count == 0)
		return 0;
	if (count > INT16_MAX)
		return err_set(err, -EINVAL, "too many properties");
	s->properties = arena_zalloc(b->arena, count * sizeof(*s->properties));
	JSON_FOR_EACH_MEMBER(m, properties) {
		struct schema_property *p = &s->properties[n];
		const char *step = schema_intern(b, arena_printf(&b->scratch, "f:%s", m->name));

		*p = (struct schema_property){
			.step = step,
			.name = step + 2,
			.name_size = m->name_size,
			.order = (uint16_t)n,
			.expected = -1,
			.required = names_contain(required, m->name),
		};
		r = schema_build(b, m->value, &p->schema, err);
		if (r < 0)
			return err_context(err, r, ".%s", m->name);
		n++;
	}
	s->property_count = count;
	qsort(s->properties, count, sizeof(*s->properties), property_compare);
	JSON_FOR_EACH_ITEM(name, required)
		if (!b->custom && !schema_property(s, json_str_or(name, ""), name->count))
			return err_set(err, -EINVAL, "requires '%s', which it does not have",
				json_str_or(name, ""));
	return 0;
}

static int build_list(struct schema_builder *b, const struct json *json, const char *name,
	const struct schema ***ret, size_t *ret_count, struct err *err)
{
	const struct json *list = json_get(json, name);
	size_t count = json_count(list);
	int r;

	*ret = count ? arena_alloc(b->arena, count * sizeof(**ret)) : NULL;
	*ret_count = count;
	for (size_t i = 0; i < count; i++) {
		r = schema_build(b, json_at(list, i), &(*ret)[i], err);
		if (r < 0)
			return err_context(err, r, ".%s[%zu]", name, i);
	}
	return 0;
}

static bool has_values(const struct json *json)
{
	static const char *const names[] = {"exclusiveMinimum", "exclusiveMaximum", "multipleOf",
		"minProperties", "maxProperties", "allOf", "anyOf", "oneOf", "not"};

	for (size_t i = 0; i < ARRAY_LEN(names); i++)
		if (json_get(json, names[i]))
			return true;
	return false;
}

static int fill_values(
	struct schema_builder *b, const struct json *json, struct schema *s, struct err *err)
{
	const struct json *required = json_get(json, "required"), *not_ = json_get(json, "not");
	struct schema_values *v;
	size_t undescribed = 0;
	int r;

	JSON_FOR_EACH_ITEM(name, required)
		if (!schema_property(s, json_str_or(name, ""), name->count))
			undescribed++;
	if (undescribed == 0 && !has_values(json))
		return 0;
	v = ARENA_NEW(b->arena, struct schema_values);
	v->exclusive_minimum = json_bool_or(json_get(json, "exclusiveMinimum"), false);
	v->exclusive_maximum = json_bool_or(json_get(json, "exclusiveMaximum"), false);
	v->multiple_of = number_or(json_get(json, "multipleOf"), 0);
	v->min_properties = json_int_or(json_get(json, "minProperties"), -1);
	v->max_properties = json_int_or(json_get(json, "maxProperties"), -1);
	r = build_list(b, json, "allOf", &v->all_of, &v->all_of_count, err);
	if (r == 0)
		r = build_list(b, json, "anyOf", &v->any_of, &v->any_of_count, err);
	if (r == 0)
		r = build_list(b, json, "oneOf", &v->one_of, &v->one_of_count, err);
	if (r == 0 && not_)
		r = schema_build(b, not_, &v->not_, err);
	if (r < 0)
		return r;
	v->required_only = arena_alloc(b->arena, MAX(undescribed, 1) * sizeof(char *));
	JSON_FOR_EACH_ITEM(name, required)
		if (!schema_property(s, json_str_or(name, ""), name->count))
			v->required_only[v->required_only_count++] =
				schema_intern(b, json_str_or(name, ""));
	s->values = v;
	return 0;
}

/* The fields that every embedded object has, put before its own. */
static const struct json *with_type_meta(struct schema_builder *b, const struct json *json)
{
	struct json *all = json_new_object(&b->scratch), *text = json_new_object(&b->scratch);
	struct json *meta = json_new_object(&b->scratch), *copy = json_new_object(&b->scratch);

	json_set_str(&b->scratch, text, "type", "string");
	json_set_str(&b->scratch, meta, "$ref", "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");
	json_set(&b->scratch, all, "apiVersion", text);
	json_set(&b->scratch, all, "kind", text);
	json_set(&b->scratch, all, "metadata", meta);
	JSON_FOR_EACH_MEMBER(m, json_get(json, "properties"))
		if (!json_get(all, m->name))
			json_set_n(&b->scratch, all, m->name, m->name_size, m->value);
	JSON_FOR_EACH_MEMBER(m, json)
		json_set_n(&b->scratch, copy, m->name, m->name_size, m->value);
	json_set(&b->scratch, copy, "properties", all);
	/* What a schema says of the name is checked beside what holds for every ObjectMeta. */
	if (json_count(json_path(json, "properties.metadata.properties"))) {
		struct json *of = json_new_object(&b->scratch), *one = json_new_object(&b->scratch);
		struct json *list = json_new_array(&b->scratch);

		json_set(&b->scratch, of, "metadata", json_path(json, "properties.metadata"));
		json_set(&b->scratch, one, "properties", of);
		JSON_FOR_EACH_ITEM(it, json_get(json, "allOf"))
			json_push(&b->scratch, list, it);
		json_push(&b->scratch, list, one);
		json_set(&b->scratch, copy, "allOf", list);
	}
	return copy;
}

const struct schema schema_anything = {
	.type = SCHEMA_ANY,
	.max_length = -1,
	.min_length = -1,
	.min_items = -1,
	.max_items = -1,
	.nullable = true,
};

static int fill(
	struct schema_builder *b, const struct json *json, struct schema *s, struct err *err)
{
	const char *list_type = json_str(json_get(json, "x-kubernetes-list-type"));
	const struct json *v;
	int r;

	if (json_bool_or(json_get(json, "x-kubernetes-embedded-resource"), false)) {
		json = with_type_meta(b, json);
		s->embedded_resource = true;
	}
	s->list_typed = list_type != NULL;
	r = parse_type(json, s, err);
	if (r < 0)
		return r;
	s->format = schema_intern(b, json_str(json_get(json, "format")));
	s->preserve_unknown =
		json_bool_or(json_get(json, "x-kubernetes-preserve-unknown-fields"), false);
	if (streq(list_type, "set"))
		s->list_type = LIST_SET;
	else if (streq(list_type, "map"))
		s->list_type = LIST_MAP;
	r = parse_strings(b, json_get(json, "x-kubernetes-list-map-keys"), &s->list_map_keys,
		&s->list_map_key_count);
	if (r < 0)
		return r;
	if ((v = json_get(json, "items"))) {
		r = schema_build(b, v, &s->items, err);
		if (r < 0)
			return err_context(err, r, "[]");
	}
	v = json_get(json, "additionalProperties");
	if (json_is(v, JSON_OBJECT)) {
		r = schema_build(b, v, &s->additional, err);
		if (r < 0)
			return err_context(err, r, "{}");
	} else if (json_bool_or(v, false)) {
		s->additional = &schema_anything;
	}
	r = build_properties(b, json, s, err);
	if (r == 0)
		r = fill_values(b, json, s, err);
	if (r < 0)
		return r;
	return apply_common(b, json, s, err);
}

int schema_build(struct schema_builder *b, const struct json *json, const struct schema **ret,
	struct err *err)
{
	const char *ref = json_str(json_get(json, "$ref"));
	bool leaf = !json_get(json, "properties") && !json_get(json, "items");
	const char *text = NULL;
	struct schema *s;
	int r;

	if (!json_is(json, JSON_OBJECT))
		return err_set(err, -EINVAL, "a schema must be a map");
	if (ref) {
		const struct schema *of = table_get(b->definitions, ref);

		if (!of)
			return err_set(err, -EINVAL, "refers to '%s', which nothing defines", ref);
		if (json_count(json) == 1) {
			*ret = of;
			return 0;
		}
		s = ARENA_NEW(b->arena, struct schema);
		VEC_PUSH(&b->overlays, ((struct schema_overlay){s, of, json}));
		*ret = s;
		return 0;
	}
	if (leaf) {
		text = json_text(&b->scratch, json);
		s = table_get(&b->leaves, text);
		if (s) {
			*ret = s;
			return 0;
		}
	}
	if (b->room && b->made++ == b->room)
		return err_set(err, -E2BIG, "more than %zu schemas", b->room);
	s = ARENA_NEW(b->arena, struct schema);
	*s = empty_schema;
	r = fill(b, json, s, err);
	if (r < 0)
		return r;
	if (leaf)
		table_set(&b->leaves, text, s);
	*ret = s;
	return 0;
}

/* Which properties must be looked at when they are absent. Known only once all uses are built. */
static void build_expected(struct schema_builder *b, struct schema *s)
{
	uint16_t *expected, *by_order;
	size_t n = 0;

	if (s->expected || s->property_count == 0)
		return;
	expected = arena_alloc(b->arena, s->property_count * sizeof(*expected));
	by_order = arena_alloc(&b->scratch, s->property_count * sizeof(*by_order));
	for (size_t i = 0; i < s->property_count; i++)
		by_order[s->properties[i].order] = (uint16_t)i;
	for (size_t order = 0; order < s->property_count; order++) {
		struct schema_property *p = &s->properties[by_order[order]];

		if (!p->required && !p->schema->default_value)
			continue;
		p->expected = (int16_t)n;
		expected[n++] = by_order[order];
	}
	s->expected = expected;
	s->expected_count = n;
}

static void build_expected_below(struct schema_builder *b, const struct schema *c)
{
	struct schema *s = (struct schema *)c;

	if (!s || s->expected)
		return;
	build_expected(b, s);
	build_expected_below(b, s->items);
	build_expected_below(b, s->additional);
	for (size_t i = 0; i < s->property_count; i++)
		build_expected_below(b, s->properties[i].schema);
}

void schema_build_expected(struct schema_builder *b, const struct schema *s)
{
	build_expected_below(b, s);
}

int schema_build_resource(struct schema_builder *b, const struct json *json,
	const struct schema **ret, struct err *err)
{
	struct schema *s = ARENA_NEW(b->arena, struct schema);
	int r;

	*s = empty_schema;
	r = fill(b, with_type_meta(b, json), s, err);
	if (r < 0)
		return r;
	schema_build_expected(b, s);
	*ret = s;
	return 0;
}

int schema_build_definitions(
	struct schema_builder *b, const struct json *definitions, struct err *err)
{
	int r;

	JSON_FOR_EACH_MEMBER(m, definitions) {
		struct schema *s = ARENA_NEW(b->arena, struct schema);

		*s = empty_schema;
		s->name = schema_intern(b, m->name);
		if (table_set(b->definitions, m->name, s))
			return err_set(err, -EEXIST, "'%s' is defined twice", m->name);
	}
	JSON_FOR_EACH_MEMBER(m, definitions) {
		struct schema *s = table_get(b->definitions, m->name);

		r = fill(b, m->value, s, err);
		if (r < 0)
			return err_context(err, r, "%s", m->name);
		s->embedded_meta = str_has_suffix(m->name, ".meta.v1.ObjectMeta");
	}
	return 0;
}

/* Kubernetes' own types write some members always, as {} or null: structures that are held by
 * value, and lists that can't be left out. The JSON form of the types does not tell which, but what
 * they are called does. */
static void mark_always_there(struct schema *s)
{
	static const char *const by_value[] = {"daemonEndpoints", "jobTemplate", "kubeletEndpoint",
		"loadBalancer", "metadata", "nodeInfo", "resources", "spec", "status", "strategy",
		"template", "updateStrategy"};

	if (!str_has_prefix(s->name, "io.k8s.") ||
		streq(s->name, "io.k8s.api.core.v1.ReplicationControllerSpec"))
		return;
	for (size_t i = 0; i < s->property_count; i++) {
		struct schema_property *p = &s->properties[i];
		const struct schema *of = p->schema;

		p->always_there = of->type == SCHEMA_ARRAY && p->required;
		for (size_t j = 0; j < ARRAY_LEN(by_value); j++)
			if (of->type == SCHEMA_OBJECT && of->property_count > 0 &&
				!of->map_atomic && streq(p->name, by_value[j]))
				p->always_there = true;
	}
}

int schema_build_overlays(struct schema_builder *b, struct err *err)
{
	struct table_iter it;
	int r;

	for (size_t i = 0; i < b->overlays.count; i++) {
		const struct schema_overlay *o = &b->overlays.items[i];

		*o->schema = *o->of;
		o->schema->description = NULL;
		r = apply_common(b, o->json, o->schema, err);
		if (r < 0)
			return err_context(err, r, "use of %s", o->of->name);
	}
	it = table_iterate(b->definitions);
	while (table_next(&it)) {
		build_expected_below(b, it.value);
		mark_always_there(it.value);
	}
	/* The copies were made before their originals knew what they expect. */
	for (size_t i = 0; i < b->overlays.count; i++) {
		const struct schema_overlay *o = &b->overlays.items[i];

		o->schema->expected = o->of->expected;
		o->schema->expected_count = o->of->expected_count;
	}
	b->overlays.count = 0;
	return 0;
}

const struct schema_property *schema_find(const struct schema *s, const char *name, size_t size)
{
	size_t low = 0, high = s ? s->property_count : 0;

	while (low < high) {
		size_t mid = (low + high) / 2;
		const struct schema_property *p = &s->properties[mid];
		int c = p->name_size != size ? (p->name_size < size ? -1 : 1)
					     : memcmp(p->name, name, size);

		if (c == 0)
			return p;
		if (c < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

const struct schema *schema_property(const struct schema *s, const char *name, size_t size)
{
	const struct schema_property *p = schema_find(s, name, size);

	return p ? p->schema : NULL;
}

/* check_custom.c - custom resources: pruning, nulls, defaults and value validation, each a walk of
 * its own, in upstream's order. What is wrong with a value is a field error in the words of its
 * OpenAPI validator. */
#include <inttypes.h>
#include <math.h>

#include "lib/object/check_internal.h"
#include "lib/object/format.h"
#include "lib/object/schema_build.h"

/* ---- pruning ---- */

static bool is_type_meta(const struct json_member *m)
{
	return streq(m->name, "apiVersion") || streq(m->name, "kind") || streq(m->name, "metadata");
}

static void prune(struct check *c, const struct place *at, const struct schema *s, struct json *v,
	bool resource);

static void prune_object(struct check *c, const struct place *at, const struct schema *s,
	struct json *v, bool resource)
{
	struct json *kept = NULL;

	JSON_FOR_EACH_MEMBER(m, v) {
		const struct schema_property *p = s ? schema_find(s, m->name, m->name_size) : NULL;
		struct place here = {at, PLACE_FIELD, m->name, m->name_size,
			p ? p->order : UINT16_MAX, p ? p->schema : NULL};

		if (resource && is_type_meta(m))
			continue; /* metadata has a check of its own */
		if (p) {
			prune(c, &here, p->schema, m->value, p->schema->embedded_resource);
		} else if (s && s->additional) {
			here.schema = s->additional;
			prune(c, &here, s->additional, m->value, s->additional->embedded_resource);
		} else if (!s || !s->preserve_unknown) {
			check_problem(c, "unknown field", &here);
			m->value = NULL;
			kept = v;
		}
	}
	if (!kept)
		return;
	kept = json_new_object(c->arena);
	JSON_FOR_EACH_MEMBER(m, v)
		if (m->value)
			json_set_n(c->arena, kept, m->name, m->name_size, m->value);
	*v = *kept;
}

/* s NULL: nothing describes the value, so no member of an object in it may stay. */
static void prune(struct check *c, const struct place *at, const struct schema *s, struct json *v,
	bool resource)
{
	uint32_t i = 0;

	if (v->type == JSON_OBJECT) {
		prune_object(c, at, s, v, resource);
		return;
	}
	if (v->type != JSON_ARRAY || (s && s->preserve_unknown && !s->items))
		return;
	JSON_FOR_EACH_ITEM(it, v) {
		const struct schema *items = s ? s->items : NULL;
		struct place here = {at, PLACE_ITEM, NULL, 0, i++, items};

		prune(c, &here, items, it, items && items->embedded_resource);
	}
}

/* ---- nulls and defaults ---- */

static bool is_stray_null(const struct json *v, const struct schema *s)
{
	return v->type == JSON_NULL && s && !s->nullable;
}

/* Takes out nulls that may not be there and that no default replaces. */
static void drop_nulls(struct check *c, const struct schema *s, struct json *v)
{
	struct json *kept = NULL;

	if (!s)
		return;
	JSON_FOR_EACH_ITEM(it, v)
		drop_nulls(c, s->items, it);
	JSON_FOR_EACH_MEMBER(m, v) {
		const struct schema *p = schema_property(s, m->name, m->name_size);

		if (!p)
			p = s->additional;
		if (p && is_stray_null(m->value, p) && !p->default_value) {
			m->value = NULL;
			kept = v;
			continue;
		}
		drop_nulls(c, p, m->value);
	}
	if (!kept)
		return;
	kept = json_new_object(c->arena);
	JSON_FOR_EACH_MEMBER(m, v)
		if (m->value)
			json_set_n(c->arena, kept, m->name, m->name_size, m->value);
	*v = *kept;
}

static int put_defaults(struct check *c, const struct schema *s, struct json *v);

static int put_default_at(struct check *c, const struct schema *s, struct json *v)
{
	if (is_stray_null(v, s) && s->default_value)
		*v = *json_copy(c->arena, s->default_value);
	return put_defaults(c, s, v);
}

static int put_defaults(struct check *c, const struct schema *s, struct json *v)
{
	int r = 0;

	if (!s)
		return 0;
	JSON_FOR_EACH_ITEM(it, v) {
		if (s->items)
			r = put_default_at(c, s->items, it);
		if (r < 0)
			return r;
	}
	if (v->type != JSON_OBJECT)
		return 0;
	for (size_t i = 0; i < s->expected_count; i++) {
		const struct schema_property *p = &s->properties[s->expected[i]];

		if (!p->schema->default_value || json_get_n(v, p->name, p->name_size))
			continue;
		if (check_too_large(c))
			return -EREMOTEIO;
		json_set_n(c->arena, v, p->name, p->name_size,
			json_copy(c->arena, p->schema->default_value));
	}
	JSON_FOR_EACH_MEMBER(m, v) {
		const struct schema *p = schema_property(s, m->name, m->name_size);

		if (!p)
			p = s->additional;
		if (p)
			r = put_default_at(c, p, m->value);
		if (r < 0)
			return r;
	}
	return 0;
}

/* ---- values ---- */

static void validate(
	struct check *c, const struct place *at, const struct schema *s, const struct json *v);

static const char *type_of(const struct json *v)
{
	static const char *const names[] = {
		[JSON_NULL] = "null",
		[JSON_BOOL] = "boolean",
		[JSON_INT] = "integer",
		[JSON_DOUBLE] = "number",
		[JSON_STRING] = "string",
		[JSON_ARRAY] = "array",
		[JSON_OBJECT] = "object",
	};

	return names[v->type];
}

static bool has_type(const struct schema *s, const struct json *v)
{
	switch (s->type) {
	case SCHEMA_OBJECT:
		return v->type == JSON_OBJECT;
	case SCHEMA_ARRAY:
		return v->type == JSON_ARRAY;
	case SCHEMA_STRING:
		return v->type == JSON_STRING;
	case SCHEMA_INTEGER:
		return v->type == JSON_INT || (v->type == JSON_DOUBLE && v->d == trunc(v->d));
	case SCHEMA_NUMBER:
		return v->type == JSON_INT || v->type == JSON_DOUBLE;
	case SCHEMA_BOOLEAN:
		return v->type == JSON_BOOL;
	case SCHEMA_INT_OR_STRING:
		return v->type == JSON_INT || v->type == JSON_STRING ||
		       (v->type == JSON_DOUBLE && v->d == trunc(v->d));
	case SCHEMA_ANY:
		return true;
	}
	return true;
}

static void type_error(
	struct check *c, const struct place *at, const struct schema *s, const struct json *v)
{
	static const char *const names[] = {
		[SCHEMA_OBJECT] = "object",
		[SCHEMA_ARRAY] = "array",
		[SCHEMA_STRING] = "string",
		[SCHEMA_INTEGER] = "integer",
		[SCHEMA_NUMBER] = "number",
		[SCHEMA_BOOLEAN] = "boolean",
		[SCHEMA_INT_OR_STRING] = "integer,string",
	};

	check_error(c, at, FIELD_TYPE_INVALID, json_new_string(c->arena, type_of(v)),
		"%s in body must be of type %s: \"%s\"", check_path(c, at), names[s->type],
		type_of(v));
}

static char *number_text(struct check *c, double n)
{
	return json_text(c->arena, n == trunc(n) && fabs(n) < 1e15
					   ? json_new_int(c->arena, (int64_t)n)
					   : json_new_double(c->arena, n));
}

static void validate_number(
	struct check *c, const struct place *at, const struct schema *s, const struct json *v)
{
	double n = v->type == JSON_INT ? (double)v->i : v->d;
	const struct schema_values *more = s->values;
	bool above = more && more->exclusive_minimum, below = more && more->exclusive_maximum;

	if (more && more->multiple_of > 0) {
		double times = n / more->multiple_of;

		if (fabs(times - nearbyint(times)) > 1e-9 * fmax(1, fabs(times)))
			check_error(c, at, FIELD_INVALID, v,
				"%s in body should be a multiple of %s", check_path(c, at),
				number_text(c, more->multiple_of));
	}
	if (s->has_maximum && (below ? n >= s->maximum : n > s->maximum))
		check_error(c, at, FIELD_INVALID, v, "%s in body should be less than %s%s",
			check_path(c, at), below ? "" : "or equal to ", number_text(c, s->maximum));
	if (s->has_minimum && (above ? n <= s->minimum : n < s->minimum))
		check_error(c, at, FIELD_INVALID, v, "%s in body should be greater than %s%s",
			check_path(c, at), above ? "" : "or equal to ", number_text(c, s->minimum));
}

static int64_t code_points(const struct json *v)
{
	int64_t n = 0;

	for (size_t i = 0; i < v->count; i++)
		n += ((unsigned char)v->s[i] & 0xc0) != 0x80;
	return n;
}

static void validate_pattern(
	struct check *c, const struct place *at, const struct schema *s, const struct json *v)
{
	int r = schema_regex_matches(s->regex, v->s, v->count, &c->steps);

	if (r < 0)
		c->steps = CHECK_STEPS_MAX + 1; /* see check_custom */
	else if (r == 0)
		check_error(c, at, FIELD_INVALID, v, "%s in body should match '%s'",
			check_path(c, at), s->pattern);
}

static void validate_string(
	struct check *c, const struct place *at, const struct schema *s, const struct json *v)
{
	if (s->max_length >= 0 && code_points(v) > s->max_length)
		check_error(c, at, FIELD_TOO_LONG, NULL, "may not be more than %" PRId64 " bytes",
			s->max_length);
	if (s->min_length >= 0 && code_points(v) < s->min_length)
		check_error(c, at, FIELD_INVALID, v,
			"%s in body should be at least %" PRId64 " chars long", check_path(c, at),
			s->min_length);
	if (s->regex)
		validate_pattern(c, at, s, v);
	if (s->format && !format_holds(s->format, v->s, v->count))
		check_error(c, at, FIELD_TYPE_INVALID, v,
			"%s in body must be of type %s: \"%.256s\"", check_path(c, at), s->format,
			v->s);
}

static void validate_enum(
	struct check *c, const struct place *at, const struct schema *s, const struct json *v)
{
	_cleanup_(buf_finish) struct buf text = BUF_INIT;

	c->steps += json_count(s->enum_values) / 8;
	JSON_FOR_EACH_ITEM(it, s->enum_values)
		if (json_equal(it, v))
			return;
	c->steps += json_count(s->enum_values); /* for the texts */
	JSON_FOR_EACH_ITEM(it, s->enum_values) {
		const char *one = json_is(it, JSON_STRING) ? it->s : json_text(c->arena, it);

		if (text.size > 0)
			buf_add_str(&text, ", ");
		json_write_string(&text, one, strlen(one));
	}
	check_error(
		c, at, FIELD_NOT_SUPPORTED, v, "supported values: %s", text.data ? text.data : "");
}

/* What makes two items of a list the same: of a map its keys, of a set all of it. */
static const char *identity(struct check *c, const struct schema *s, const struct json *item)
{
	struct json *keys;

	if (s->list_type == LIST_SET)
		return json_text(c->arena, item);
	if (item->type != JSON_OBJECT)
		return NULL;
	keys = json_new_array(c->arena);
	for (size_t i = 0; i < s->list_map_key_count; i++) {
		struct json *v = json_get(item, s->list_map_keys[i]);

		json_push(c->arena, keys, v ? v : json_new_null(c->arena));
	}
	return json_text(c->arena, keys);
}

static void validate_list_type(
	struct check *c, const struct place *at, const struct schema *s, const struct json *v)
{
	_cleanup_(table_finish) struct table seen = TABLE_INIT;
	uint32_t i = 0;

	if (s->list_type == LIST_ATOMIC || v->count < 2)
		return;
	JSON_FOR_EACH_ITEM(it, v) {
		struct place here = {at, PLACE_ITEM, NULL, 0, i++, s->items};
		const char *key = identity(c, s, it);
		struct json *shown = it;

		if (!key || !table_set(&seen, key, it))
			continue;
		if (s->list_type == LIST_MAP) {
			shown = json_new_object(c->arena);
			for (size_t k = 0; k < s->list_map_key_count; k++)
				if (json_get(it, s->list_map_keys[k]))
					json_set(c->arena, shown, s->list_map_keys[k],
						json_get(it, s->list_map_keys[k]));
		}
		check_error(c, &here, FIELD_DUPLICATE, shown, NULL);
	}
}

static void validate_array(
	struct check *c, const struct place *at, const struct schema *s, const struct json *v)
{
	uint32_t i = 0;

	if (s->items) {
		JSON_FOR_EACH_ITEM(it, v) {
			struct place here = {at, PLACE_ITEM, NULL, 0, i++, s->items};

			validate(c, &here, s->items, it);
		}
	}
	if (s->min_items >= 0 && (int64_t)v->count < s->min_items)
		check_error(c, at, FIELD_INVALID, json_new_int(c->arena, v->count),
			"%s in body should have at least %" PRId64 " items", check_path(c, at),
			s->min_items);
	if (s->max_items >= 0 && (int64_t)v->count > s->max_items)
		check_error(c, at, FIELD_TOO_MANY, json_new_int(c->arena, v->count),
			"must have at most %" PRId64 " items", s->max_items);
	validate_list_type(c, at, s, v);
}

static void require(struct check *c, const struct place *at, const struct schema *s,
	const struct json *v, const char *name, size_t size, uint32_t order)
{
	struct place here = {at, PLACE_FIELD, name, (uint32_t)size, order, NULL};

	if (!json_get_n(v, name, size))
		check_error(c, &here, FIELD_REQUIRED, NULL, NULL);
}

static void validate_object(struct check *c, const struct place *at, const struct schema *s,
	const struct json *v, bool resource)
{
	const struct schema_values *more = s->values;

	if (more && more->max_properties >= 0 && (int64_t)v->count > more->max_properties)
		check_error(c, at, FIELD_TOO_MANY, json_new_int(c->arena, v->count),
			"must have at most %" PRId64 " items", more->max_properties);
	if (more && more->min_properties >= 0 && (int64_t)v->count < more->min_properties)
		check_error(c, at, FIELD_INVALID, json_new_int(c->arena, v->count),
			"%s in body should have at least %" PRId64 " properties", check_path(c, at),
			more->min_properties);
	c->steps += (s->property_count + (more ? more->required_only_count : 0)) / 8;
	for (size_t i = 0; i < s->property_count; i++)
		if (s->properties[i].required)
			require(c, at, s, v, s->properties[i].name, s->properties[i].name_size,
				s->properties[i].order);
	for (size_t i = 0; more && i < more->required_only_count; i++)
		require(c, at, s, v, more->required_only[i], strlen(more->required_only[i]),
			UINT16_MAX);
	JSON_FOR_EACH_MEMBER(m, v) {
		const struct schema_property *p = schema_find(s, m->name, m->name_size);
		struct place here = {at, PLACE_FIELD, m->name, m->name_size,
			p ? p->order : UINT16_MAX, p ? p->schema : s->additional};

		if (resource && streq(m->name, "metadata"))
			continue; /* see check_metas */
		if (here.schema)
			validate(c, &here, here.schema, m->value);
	}
}

/* ---- combinations ---- */

/* How many errors the value has by the schema; they are told to no one. */
static size_t count_errors(
	struct check *c, const struct place *at, const struct schema *s, const struct json *v)
{
	size_t before = c->quiet_errors;

	c->quiet++;
	validate(c, at, s, v);
	c->quiet--;
	return c->quiet_errors - before;
}

static bool holds(
	struct check *c, const struct place *at, const struct schema *s, const struct json *v)
{
	return count_errors(c, at, s, v) == 0;
}

/* Told of no field at all, as upstream does. */
static void combination_error(struct check *c, const struct place *at, const char *fmt, ...)
	_printf_(3, 4);
static void combination_error(struct check *c, const struct place *at, const char *fmt, ...)
{
	struct place nowhere = {at, PLACE_NOWHERE, NULL, 0, 0, NULL};
	_cleanup_(buf_finish) struct buf text = BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&text, fmt, ap);
	va_end(ap);
	check_error(c, &nowhere, FIELD_INVALID, json_new_string(c->arena, ""), "\"%s\" %s",
		check_path(c, at), text.data);
}

/* The errors of the alternative that came nearest. */
static void tell_nearest(struct check *c, const struct place *at, const struct schema **all,
	size_t count, const struct json *v)
{
	size_t best = 0, least = SIZE_MAX;

	for (size_t i = 0; i < count; i++) {
		size_t errors = count_errors(c, at, all[i], v);

		if (errors < least) {
			least = errors;
			best = i;
		}
	}
	if (count)
		validate(c, at, all[best], v);
}

static void validate_combinations(struct check *c, const struct place *at,
	const struct schema_values *s, const struct json *v)
{
	size_t good = 0;

	for (size_t i = 0; i < s->any_of_count && good == 0; i++)
		good += holds(c, at, s->any_of[i], v);
	if (s->any_of_count && good == 0) {
		combination_error(c, at, "must validate at least one schema (anyOf)");
		tell_nearest(c, at, s->any_of, s->any_of_count, v);
	}
	good = 0;
	for (size_t i = 0; i < s->one_of_count; i++)
		good += holds(c, at, s->one_of[i], v);
	if (s->one_of_count && good == 0) {
		combination_error(
			c, at, "must validate one and only one schema (oneOf). Found none valid");
		tell_nearest(c, at, s->one_of, s->one_of_count, v);
	} else if (good > 1) {
		combination_error(c, at,
			"must validate one and only one schema (oneOf). Found %zu valid "
			"alternatives",
			good);
	}
	good = 0;
	for (size_t i = 0; i < s->all_of_count; i++) {
		if (holds(c, at, s->all_of[i], v))
			good++;
		else
			validate(c, at, s->all_of[i], v);
	}
	if (good < s->all_of_count)
		combination_error(c, at, "must validate all the schemas (allOf)%s",
			good == 0 ? ". None validated" : "");
	if (s->not_ && holds(c, at, s->not_, v))
		combination_error(c, at, "must not validate the schema (not)");
}

static void validate(
	struct check *c, const struct place *at, const struct schema *s, const struct json *v)
{
	if (++c->steps > CHECK_STEPS_MAX)
		return;
	if (c->steps >= c->next_look) {
		c->next_look = c->steps + 1024;
		if (check_too_large(c)) {
			c->steps = CHECK_STEPS_MAX + 1;
			return;
		}
	}
	if (v->type == JSON_NULL && s->nullable)
		return;
	if (!has_type(s, v)) {
		type_error(c, at, s, v);
		return;
	}
	if (s->enum_values)
		validate_enum(c, at, s, v);
	if (v->type == JSON_OBJECT)
		validate_object(c, at, s, v, s->embedded_resource || !at->up);
	else if (v->type == JSON_ARRAY)
		validate_array(c, at, s, v);
	else if (v->type == JSON_STRING)
		validate_string(c, at, s, v);
	else if (v->type == JSON_INT || v->type == JSON_DOUBLE)
		validate_number(c, at, s, v);
	if (s->values)
		validate_combinations(c, at, s->values, v);
}

/* ---- metadata: as of every object, here and in what is embedded ---- */

static int check_meta(
	struct check *c, const struct place *at, const struct schema *s, struct json *v)
{
	const struct schema_property *p = schema_find(s, "metadata", 8);
	struct json *meta = json_get(v, "metadata");
	struct place here = {
		at, PLACE_FIELD, "metadata", 8, p ? p->order : 0, p ? p->schema : NULL};

	return p && meta ? check_value(c, &here, p->schema, meta) : 0;
}

static int check_embedded(
	struct check *c, const struct place *at, const struct schema *s, struct json *v)
{
	uint32_t i = 0;
	int r = 0;

	if (s->embedded_resource && v->type == JSON_OBJECT) {
		static const char *const needed[] = {"apiVersion", "kind"};

		for (size_t n = 0; n < ARRAY_LEN(needed); n++) {
			struct place here = {at, PLACE_FIELD, needed[n],
				(uint32_t)strlen(needed[n]), (uint32_t)n, NULL};

			if (!json_str(json_get(v, needed[n])))
				check_error(c, &here, FIELD_REQUIRED, NULL, "must not be empty");
		}
		r = check_meta(c, at, s, v);
	}
	JSON_FOR_EACH_ITEM(it, v) {
		struct place here = {at, PLACE_ITEM, NULL, 0, i++, s->items};

		if (r == 0 && s->items)
			r = check_embedded(c, &here, s->items, it);
	}
	JSON_FOR_EACH_MEMBER(m, v) {
		const struct schema_property *p = schema_find(s, m->name, m->name_size);
		const struct schema *of = p ? p->schema : s->additional;
		struct place here = {at, PLACE_FIELD, m->name, m->name_size, p ? p->order : 0, of};

		if (r == 0 && of && !of->embedded_meta)
			r = check_embedded(c, &here, of, m->value);
	}
	return r;
}

int check_custom(struct check *c, const struct place *root, struct json *doc)
{
	const struct schema *s = root->schema;
	int r;

	prune(c, root, s, doc, true);
	r = check_meta(c, root, s, doc);
	if (r < 0)
		return r;
	if (!c->options->skip_defaults) {
		drop_nulls(c, s, doc);
		r = put_defaults(c, s, doc);
		if (r < 0)
			return r;
	}
	if (c->options->skip_validation)
		return 0;
	validate(c, root, s, doc);
	if (c->steps > CHECK_STEPS_MAX)
		return status_set(c->arena, c->st, 413, "RequestEntityTooLarge",
			"Request entity too large: it takes too long to validate");
	return c->kind->custom_embeds ? check_embedded(c, root, s, doc) : 0;
}

void check_custom_value(const struct schema *s, struct arena *a, struct json *value,
	const struct decode_options *options, const char *field, struct field_errors *errors)
{
	static const struct kind nothing = {.kind = "", .version = "", .group = ""};
	struct status st = {0};
	struct check c = {
		.arena = a,
		.kind = &nothing,
		.options = options,
		.st = &st,
		.found = {.arena = errors->arena},
		.used_before = a->used_bytes,
	};
	struct place root = {.type = PLACE_ROOT, .schema = s};
	struct place at = {&root, PLACE_FIELD, field, (uint32_t)strlen(field), 0, s};
	struct json *before = json_copy(a, value);

	prune(&c, &at, s, value, s->embedded_resource);
	if (json_count(c.problems))
		field_error(errors, FIELD_INVALID, field, before, "must not have unknown fields");
	drop_nulls(&c, s, value);
	if (put_defaults(&c, s, value) == 0)
		validate(&c, &at, s, value);
	check_hand_out(&c, errors);
	VEC_FINISH(&c.order);
}

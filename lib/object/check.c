#include "lib/object/check_internal.h"

/* Enough for any person; bounds what a hostile body can make us say. */
#define ERRORS_MAX 500
#define PROBLEMS_MAX 100
#define NAME_SHOWN_MAX 1024 /* bytes: of a field or key in a path */
/* What a check may put into the arena: a body of "{}," a million times would have defaults of 250
 * MiB. */
#define ADDED_BYTES_MAX (32u << 20)

/* ---- places ---- */

static void add_path(struct buf *out, const struct place *at)
{
	if (at->type == PLACE_NOWHERE) {
		buf_add_str(out, "<nil>");
		return;
	}
	if (at->up)
		add_path(out, at->up);
	switch (at->type) {
	case PLACE_ROOT:
	case PLACE_NOWHERE:
		break;
	case PLACE_FIELD:
		if (out->size > 0)
			buf_add_char(out, '.');
		buf_add(out, at->name, utf8_cut(at->name, at->size, NAME_SHOWN_MAX));
		break;
	case PLACE_KEY:
		buf_add_char(out, '[');
		buf_add(out, at->name, utf8_cut(at->name, at->size, NAME_SHOWN_MAX));
		buf_add_char(out, ']');
		break;
	case PLACE_ITEM:
		buf_printf(out, "[%u]", at->rank);
		break;
	}
}

const char *check_path(struct check *c, const struct place *at)
{
	_cleanup_(buf_finish) struct buf text = BUF_INIT;

	if (c->quiet > 0)
		return "";
	add_path(&text, at);
	return arena_memdup(c->arena, text.data ? text.data : "", text.size);
}

/* As the decoder names fields: keys after a dot. */
static void add_decoder_path(struct buf *out, const struct place *at, bool with_items)
{
	if (at->up)
		add_decoder_path(out, at->up, with_items);
	if (at->type == PLACE_FIELD || (at->type == PLACE_KEY && with_items)) {
		if (out->size > 0)
			buf_add_char(out, '.');
		buf_add(out, at->name, utf8_cut(at->name, at->size, NAME_SHOWN_MAX));
	} else if (at->type == PLACE_ITEM && with_items) {
		buf_printf(out, "[%u]", at->rank);
	}
}

/* ---- errors ---- */

void check_error(struct check *c, const struct place *at, enum field_error_type type,
	const struct json *value, const char *fmt, ...)
{
	struct found_error e = {.at = c->order.count};
	va_list ap;

	if (c->quiet > 0) {
		c->quiet_errors++;
		return;
	}
	if (c->options->skip_validation || c->order.count >= ERRORS_MAX)
		return;
	va_start(ap, fmt);
	field_error_v(&c->found, type, check_path(c, at), value, fmt, ap);
	va_end(ap);
	for (const struct place *p = at; p->up; p = p->up)
		e.rank_count++;
	e.ranks = arena_alloc(c->arena, MAX(e.rank_count, 1) * sizeof(*e.ranks));
	for (size_t i = e.rank_count; i > 0; i--, at = at->up)
		e.ranks[i - 1] = at->rank;
	VEC_PUSH(&c->order, e);
}

static int found_compare(const void *a, const void *b)
{
	const struct found_error *x = a, *y = b;

	for (size_t i = 0; i < x->rank_count && i < y->rank_count; i++)
		if (x->ranks[i] != y->ranks[i])
			return x->ranks[i] < y->ranks[i] ? -1 : 1;
	if (x->rank_count != y->rank_count)
		return x->rank_count < y->rank_count ? -1 : 1;
	return x->at < y->at ? -1 : x->at > y->at;
}

/* Errors are told in the order of the kind file, whatever the order of the document. */
void check_hand_out(struct check *c, struct field_errors *ret)
{
	if (c->order.count == 0)
		return;
	if (c->order.count > 1)
		qsort(c->order.items, c->order.count, sizeof(*c->order.items), found_compare);
	if (!ret->causes)
		ret->causes = json_new_array(ret->arena);
	for (size_t i = 0; i < c->order.count; i++)
		json_push(ret->arena, ret->causes, json_at(c->found.causes, c->order.items[i].at));
}

int check_refuse(struct check *c, const char *fmt, ...)
{
	_cleanup_(buf_finish) struct buf text = BUF_INIT;
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&text, fmt, ap);
	va_end(ap);
	return status_bad_request(c->arena, c->st,
		"%s in version \"%s\" cannot be handled as a %s: %s", c->kind->kind,
		c->kind->version, c->kind->kind, text.data);
}

/* "io.k8s.api.core.v1.Container" -> "Container"; with_version: "v1.Container". */
static const char *short_name(const char *name, bool with_version)
{
	const char *dot = strrchr(name, '.');

	if (!dot)
		return name;
	if (!with_version)
		return dot + 1;
	while (dot > name && dot[-1] != '.')
		dot--;
	return dot;
}

static void add_go_type(struct buf *out, const struct schema *s)
{
	switch (s->type) {
	case SCHEMA_ARRAY:
		buf_add_str(out, "[]");
		if (s->items)
			add_go_type(out, s->items);
		return;
	case SCHEMA_OBJECT:
		if (s->additional) {
			buf_add_str(out, "map[string]");
			add_go_type(out, s->additional);
		} else {
			buf_add_str(out,
				s->name ? short_name(s->name, true) : "map[string]interface {}");
		}
		return;
	case SCHEMA_INTEGER:
		buf_add_str(out, streq(s->format, "int32") ? "int32" : "int64");
		return;
	case SCHEMA_NUMBER:
		buf_add_str(out, "float64");
		return;
	case SCHEMA_BOOLEAN:
		buf_add_str(out, "bool");
		return;
	case SCHEMA_STRING:
		buf_add_str(out, streq(s->format, "byte") ? "[]uint8" : "string");
		return;
	case SCHEMA_INT_OR_STRING:
		buf_add_str(out, "intstr.IntOrString");
		return;
	case SCHEMA_ANY:
		buf_add_str(out, "interface {}");
		return;
	}
}

int check_type_error(
	struct check *c, const struct place *at, const struct schema *s, const struct json *v)
{
	static const char *const words[] = {
		[JSON_NULL] = "null",
		[JSON_BOOL] = "bool",
		[JSON_INT] = "number",
		[JSON_DOUBLE] = "number",
		[JSON_STRING] = "string",
		[JSON_ARRAY] = "array",
		[JSON_OBJECT] = "object",
	};
	_cleanup_(buf_finish) struct buf text = BUF_INIT, path = BUF_INIT;
	const struct place *holder = at;

	buf_printf(&text, "json: cannot unmarshal %s", words[v->type]);
	/* A number that is merely the wrong number is shown. */
	if (s->type == SCHEMA_INTEGER && (v->type == JSON_INT || v->type == JSON_DOUBLE)) {
		buf_add_char(&text, ' ');
		json_write(&text, v);
	}
	while (holder->up && (holder->type != PLACE_FIELD || !holder->up->schema->name))
		holder = holder->up;
	add_decoder_path(&path, at, false);
	if (holder->up && path.size > 0)
		buf_printf(&text, " into Go struct field %s.%s of type ",
			short_name(holder->up->schema->name, false), path.data);
	else
		buf_add_str(&text, " into Go value of type ");
	add_go_type(&text, s);
	return check_refuse(c, "%s", text.data);
}

static void add_problem(struct check *c, const char *text)
{
	if (c->options->field_validation == FIELD_VALIDATION_IGNORE)
		return;
	if (!c->problems)
		c->problems = json_new_array(c->arena);
	if (json_count(c->problems) < PROBLEMS_MAX)
		json_push(c->arena, c->problems, json_new_string(c->arena, text));
}

void check_problem(struct check *c, const char *what, const struct place *at)
{
	_cleanup_(buf_finish) struct buf text = BUF_INIT, path = BUF_INIT;

	if (c->options->field_validation == FIELD_VALIDATION_IGNORE)
		return;
	add_decoder_path(&path, at, true);
	buf_printf(&text, "%s \"%s\"", what, path.data ? path.data : "");
	add_problem(c, text.data);
}

/* ---- structure ---- */

/* Go has no null in a list or map of values: it becomes the zero value. */
static void make_zero(struct check *c, const struct schema *s, struct json *v)
{
	switch (s->type) {
	case SCHEMA_OBJECT:
		*v = *json_new_object(c->arena);
		return;
	case SCHEMA_ARRAY:
		*v = *json_new_array(c->arena);
		return;
	case SCHEMA_STRING:
		*v = *json_new_string(c->arena, streq(s->format, "quantity") ? "0" : "");
		return;
	case SCHEMA_INTEGER:
	case SCHEMA_NUMBER:
	case SCHEMA_INT_OR_STRING:
		*v = *json_new_int(c->arena, 0);
		return;
	case SCHEMA_BOOLEAN:
		*v = *json_new_bool(c->arena, false);
		return;
	case SCHEMA_ANY:
		return;
	}
}

static bool is_zero(const struct json *v)
{
	return (v->type == JSON_STRING && v->count == 0) || (v->type == JSON_INT && v->i == 0);
}

static int check_map(
	struct check *c, const struct place *at, const struct schema *s, struct json *v)
{
	uint32_t rank = 0;
	int r;

	JSON_FOR_EACH_MEMBER(m, v) {
		struct place here = {at, PLACE_KEY, m->name, m->name_size, rank++, s->additional};

		if (m->value->type == JSON_NULL && !s->additional->nullable)
			make_zero(c, s->additional, m->value);
		r = check_value(c, &here, s->additional, m->value);
		if (r < 0)
			return r;
	}
	if (c->options->skip_validation)
		return 0;
	if (s->rule == RULE_LABELS)
		check_labels(c, at, v);
	else if (s->rule == RULE_CONFIG_KEYS)
		check_config_keys(c, at, v);
	return 0;
}

bool check_too_large(struct check *c)
{
	if (c->arena->used_bytes - c->used_before <= ADDED_BYTES_MAX)
		return false;
	status_set(c->arena, c->st, 413, "RequestEntityTooLarge",
		"Request entity too large: with its defaults");
	return true;
}

/* Puts in defaults and tells what is missing. `seen` has a bit for each of the first 64 expected.
 */
static int check_absent(struct check *c, const struct place *at, const struct schema *s,
	struct json *v, uint64_t seen)
{
	int r;

	for (size_t i = 0; i < s->expected_count; i++) {
		const struct schema_property *p = &s->properties[s->expected[i]];
		struct place here = {at, PLACE_FIELD, p->name, p->name_size, p->order, p->schema};
		struct json *value;

		if (i < 64 ? (seen >> i & 1) != 0 : json_get_n(v, p->name, p->name_size) != NULL)
			continue;
		if (!p->schema->default_value) {
			check_error(c, &here, FIELD_REQUIRED, NULL, NULL);
			continue;
		}
		if (c->options->skip_defaults)
			continue;
		if (check_too_large(c))
			return -EREMOTEIO;
		value = json_copy(c->arena, p->schema->default_value);
		json_set_n(c->arena, v, p->name, p->name_size, value);
		/* A default may have defaults in it: {} of a strategy, a template, a spec. */
		if (value->type == JSON_OBJECT || value->type == JSON_ARRAY) {
			r = check_value(c, &here, p->schema, value);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

/* Keeps the members whose value is not NULL. */
static void drop_members(struct check *c, struct json *v)
{
	struct json *kept = json_new_object(c->arena);

	JSON_FOR_EACH_MEMBER(m, v)
		if (m->value)
			json_set_n(c->arena, kept, m->name, m->name_size, m->value);
	*v = *kept;
}

static bool is_template_meta(const struct place *at)
{
	return at->up && at->up->up && at->type == PLACE_FIELD && at->size == 8 &&
	       memcmp(at->name, "metadata", 8) == 0;
}

/* Names, owners and finalizers of the object itself are checked where they are made: by the server.
 */
static void check_metadata(struct check *c, const struct place *at, const struct json *meta)
{
	/* Templates name their labels without the metadata between, as upstream does. */
	const struct place *parent = is_template_meta(at) ? at->up : at;
	struct place labels = {parent, PLACE_FIELD, "labels", 6, 1, NULL};
	struct place annotations = {parent, PLACE_FIELD, "annotations", 11, 2, NULL};
	struct place generate = {at, PLACE_FIELD, "generateName", 12, 0, NULL};
	const struct json *name = json_get(meta, "generateName");

	if (json_is(name, JSON_STRING) && name->count > 0 && !at->up->up && c->kind->served) {
		/* A prefix may end in a dash: what follows is alphanumeric. */
		const char *messages[RULE_MESSAGES_MAX];
		char *text = arena_memdup(c->arena, name->s, name->count);
		enum rule rule = RULE_NONE;
		size_t n;

		if (name->count > 1 && text[name->count - 1] == '-')
			text[name->count - 1] = 'a';
		if (rule_from_name(c->kind->name_rule, &rule) < 0)
			rule = RULE_DNS_SUBDOMAIN;
		n = rule_check(rule, text, name->count, messages);
		for (size_t i = 0; i < n; i++)
			check_error(c, &generate, FIELD_INVALID, name, "%s", messages[i]);
	}
	check_labels(c, &labels, json_get(meta, "labels"));
	check_annotations(c, &annotations, json_get(meta, "annotations"));
}

static int check_object(
	struct check *c, const struct place *at, const struct schema *s, struct json *v)
{
	bool dropped = false;
	uint64_t seen = 0;
	int r;

	if (v->type == JSON_BOOL && s->or_bool)
		return 0;
	if (v->type != JSON_OBJECT)
		return check_type_error(c, at, s, v);
	if (s->additional && s->property_count == 0)
		return check_map(c, at, s, v);
	JSON_FOR_EACH_MEMBER(m, v) {
		const struct schema_property *p = schema_find(s, m->name, m->name_size);
		struct place here = {at, PLACE_FIELD, m->name, m->name_size,
			p ? p->order : UINT16_MAX, p ? p->schema : NULL};

		if (!p) {
			if (s->preserve_unknown)
				continue;
			check_problem(c, "unknown field", &here);
			m->value = NULL;
			dropped = true;
			continue;
		}
		if ((m->value->type == JSON_NULL && !p->schema->nullable &&
			    p->schema->type != SCHEMA_ANY) ||
			(p->schema->zero_is_unset && is_zero(m->value))) {
			m->value = NULL;
			dropped = true;
			continue;
		}
		if (p->expected >= 0 && p->expected < 64)
			seen |= (uint64_t)1 << p->expected;
		r = check_value(c, &here, p->schema, m->value);
		if (r < 0)
			return r;
		/* An empty text is no text: Go clients send "" for what they leave out. */
		if (p->schema->min_length > 0 && m->value->type == JSON_STRING &&
			m->value->count == 0 && p->required)
			check_error(c, &here, FIELD_REQUIRED, NULL, NULL);
	}
	if (dropped)
		drop_members(c, v);
	r = check_absent(c, at, s, v, seen);
	if (r < 0)
		return r;
	if (s->embedded_meta && !c->options->skip_validation)
		check_metadata(c, at, v);
	return 0;
}

static void check_unique(
	struct check *c, const struct place *at, const struct schema *s, const struct json *v)
{
	_cleanup_(table_finish) struct table seen = TABLE_INIT;
	uint32_t i = 0;

	if (json_count(v) < 2)
		return;
	JSON_FOR_EACH_ITEM(it, v) {
		const struct json *key = json_get(it, s->unique_key);
		struct place item = {at, PLACE_ITEM, NULL, 0, i++, s->items};
		const struct schema_property *p =
			schema_find(s->items, s->unique_key, strlen(s->unique_key));
		struct place here = {&item, PLACE_FIELD, s->unique_key,
			(uint32_t)strlen(s->unique_key), p ? p->order : 0, NULL};

		if (!json_is(key, JSON_STRING) || key->count == 0)
			continue;
		if (table_set(&seen, key->s, (void *)key))
			check_error(c, &here, FIELD_DUPLICATE, key, NULL);
	}
}

static int check_array(
	struct check *c, const struct place *at, const struct schema *s, struct json *v)
{
	uint32_t i = 0;
	int r;

	if (v->type != JSON_ARRAY)
		return check_type_error(c, at, s, v);
	if (s->items) {
		JSON_FOR_EACH_ITEM(it, v) {
			struct place here = {at, PLACE_ITEM, NULL, 0, i++, s->items};

			if (it->type == JSON_NULL && !s->items->nullable)
				make_zero(c, s->items, it);
			r = check_value(c, &here, s->items, it);
			if (r < 0)
				return r;
		}
	}
	if (c->options->skip_validation)
		return 0;
	if (s->min_items > 0 && (int64_t)v->count < s->min_items) {
		if (v->count == 0)
			check_error(c, at, FIELD_REQUIRED, NULL, NULL);
		else
			check_error(c, at, FIELD_INVALID, json_new_int(c->arena, v->count),
				"must have at least %lld items", (long long)s->min_items);
	}
	if (s->max_items >= 0 && (int64_t)v->count > s->max_items)
		check_error(c, at, FIELD_TOO_MANY, json_new_int(c->arena, v->count),
			"must have at most %lld items", (long long)s->max_items);
	if (s->unique_key)
		check_unique(c, at, s, v);
	return 0;
}

int check_value(struct check *c, const struct place *at, const struct schema *s, struct json *v)
{
	if (v->type == JSON_NULL)
		return 0; /* only where null may stand */
	switch (s->type) {
	case SCHEMA_ANY:
		return 0;
	case SCHEMA_OBJECT:
		return check_object(c, at, s, v);
	case SCHEMA_ARRAY:
		return check_array(c, at, s, v);
	case SCHEMA_STRING:
	case SCHEMA_INTEGER:
	case SCHEMA_NUMBER:
	case SCHEMA_BOOLEAN:
	case SCHEMA_INT_OR_STRING:
		return check_scalar(c, at, s, v);
	}
	return 0;
}

static int settle_problems(struct check *c)
{
	_cleanup_(buf_finish) struct buf text = BUF_INIT;

	if (json_count(c->problems) == 0)
		return 0;
	if (c->options->field_validation != FIELD_VALIDATION_STRICT) {
		if (!c->options->ret_warnings)
			return 0;
		if (!*c->options->ret_warnings)
			*c->options->ret_warnings = json_new_array(c->arena);
		JSON_FOR_EACH_ITEM(it, c->problems)
			json_push(c->arena, *c->options->ret_warnings, it);
		return 0;
	}
	JSON_FOR_EACH_ITEM(it, c->problems) {
		if (text.size > 0)
			buf_add_str(&text, ", ");
		buf_add(&text, it->s, it->count);
	}
	return check_refuse(c, "strict decoding error: %s", text.data);
}

int object_check_with(const struct kind *k, struct arena *a, struct json *doc,
	const struct decode_options *options, const struct json *duplicates,
	struct field_errors *errors, struct status *st)
{
	static const struct decode_options defaults;
	struct check c = {
		.arena = a,
		.kind = k,
		.options = options ? options : &defaults,
		.st = st,
		.found = {.arena = a},
		.used_before = a->used_bytes,
	};
	struct place root = {.type = PLACE_ROOT, .schema = k->schema};
	int r;

	r = k->custom ? check_custom(&c, &root, doc) : check_value(&c, &root, k->schema, doc);
	JSON_FOR_EACH_ITEM(it, duplicates)
		add_problem(&c, arena_printf(a, "duplicate field \"%s\"", json_str_or(it, "")));
	if (r >= 0)
		r = settle_problems(&c);
	if (r >= 0)
		check_hand_out(&c, errors);
	VEC_FINISH(&c.order);
	return r;
}

int object_check(const struct kind *k, struct arena *a, struct json *doc,
	const struct decode_options *options, struct field_errors *errors, struct status *st)
{
	return object_check_with(k, a, doc, options, NULL, errors, st);
}

/* yaml.c - YAML from libyaml's events to a JSON document. */
#include "lib/json/json_internal.h"
#include "lib/json/yaml_internal.h"
#include "lib/base/table.h"

#include <math.h>
#include <stdio.h>
#include <yaml.h>

#define TAG_PREFIX "tag:yaml.org,2002:"
#define TAG_DIRECTIVES_MAX 100
/* libyaml looks at every open bracket again at each token. */
#define FLOW_DEPTH_MAX 100
#define NODE_WEIGHT 16 /* bytes that a value costs at least, for the limit on aliases */

/* Where the value being read stands, for paths of duplicate keys. */
struct place {
	const struct place *up;
	const char *name; /* NULL in a sequence */
	size_t item;
	unsigned depth;
};

struct reader {
	struct arena *arena;
	const struct json_limits *limits;
	struct err *err;
	yaml_parser_t parser;
	struct table anchors; /* struct json *, or &open_anchor */
	size_t alias_bytes;   /* weight of all aliases so far */
	unsigned duplicates_told;
	unsigned flow_depth; /* brackets and braces that are open */
};

/* Stands for an anchor whose value is still being read. */
static struct json open_anchor;

static int bad(struct reader *rd, const yaml_mark_t *mark, const char *what)
{
	return err_set(rd->err, -EINVAL, "line %zu, column %zu: %s", mark->line + 1,
		mark->column + 1, what);
}

static int next_event(struct reader *rd, yaml_event_t *event)
{
	const yaml_parser_t *p = &rd->parser;
	const yaml_mark_t *mark = &p->problem_mark;

	if (yaml_parser_parse(&rd->parser, event))
		return 0;
	if (p->error == YAML_MEMORY_ERROR)
		abort();
	if (p->error == YAML_READER_ERROR)
		return err_set(rd->err, -EINVAL, "offset %zu: %s", p->problem_offset,
			p->problem ? p->problem : "bad text");
	return bad(rd, mark, p->problem ? p->problem : "bad YAML");
}

/* Scalars. */

/* A whole float is an integer once it has gone through JSON, as it does in kubectl: the integer of
 * its shortest digits. */
static struct json *new_number(struct arena *a, double d)
{
	_cleanup_(buf_finish) struct buf text = BUF_INIT;
	int64_t i;

	json_write_double(&text, d);
	if (parse_i64((struct str){text.data, text.size}, &i) == 0)
		return json_new_int(a, i);
	return json_new_double(a, d);
}

static bool is_tag(const char *tag, const char *name)
{
	return str_has_prefix(tag, TAG_PREFIX) && streq(tag + strlen(TAG_PREFIX), name);
}

static int read_binary(
	struct reader *rd, const yaml_event_t *event, struct str text, struct json **ret)
{
	size_t size;
	char *bytes;

	if (base64_decode(rd->arena, text, &bytes, &size) < 0)
		return bad(rd, &event->start_mark, "!!binary is not base64");
	if (!utf8_valid(bytes, size))
		return bad(rd, &event->start_mark, "!!binary that is not text has no JSON form");
	*ret = json_new_string_n(rd->arena, bytes, size);
	return 0;
}

static bool tag_allows(const char *tag, enum yaml_scalar_type type)
{
	switch (type) {
	case YAML_SCALAR_NULL:
		return is_tag(tag, "null");
	case YAML_SCALAR_BOOL:
		return is_tag(tag, "bool");
	case YAML_SCALAR_INT:
		return is_tag(tag, "int") || is_tag(tag, "float");
	case YAML_SCALAR_FLOAT:
		return is_tag(tag, "float");
	case YAML_SCALAR_TIMESTAMP:
		return is_tag(tag, "timestamp");
	case YAML_SCALAR_STRING:
		break;
	}
	return false;
}

static bool tag_resolves(const char *tag)
{
	return is_tag(tag, "null") || is_tag(tag, "bool") || is_tag(tag, "int") ||
	       is_tag(tag, "float") || is_tag(tag, "timestamp");
}

/* *ret_scalar tells how the text was understood, which a key needs. */
static int read_scalar(struct reader *rd, const yaml_event_t *event, struct json **ret,
	struct yaml_scalar *ret_scalar)
{
	const char *tag = (const char *)event->data.scalar.tag;
	struct str text = {(const char *)event->data.scalar.value, event->data.scalar.length};
	struct yaml_scalar v = {.type = YAML_SCALAR_STRING};

	if (tag && is_tag(tag, "binary")) {
		*ret_scalar = v;
		return read_binary(rd, event, text, ret);
	}
	if (tag && tag_resolves(tag)) {
		v = yaml_resolve(text);
		if (!tag_allows(tag, v.type))
			return bad(rd, &event->start_mark, "the text does not fit its tag");
	} else if (!tag && event->data.scalar.plain_implicit) {
		v = yaml_resolve(text);
	}
	switch (v.type) {
	case YAML_SCALAR_NULL:
		*ret = json_new_null(rd->arena);
		break;
	case YAML_SCALAR_BOOL:
		*ret = json_new_bool(rd->arena, v.b);
		break;
	case YAML_SCALAR_INT:
		*ret = json_new_int(rd->arena, v.i);
		break;
	case YAML_SCALAR_FLOAT:
		*ret = new_number(rd->arena, v.d);
		break;
	case YAML_SCALAR_TIMESTAMP:
	case YAML_SCALAR_STRING:
		*ret = json_new_string_n(rd->arena, text.p, text.size);
		break;
	}
	*ret_scalar = v;
	return 0;
}

/* A float as a key, as Go's %g of a float32, which is what the Kubernetes tools make of it. */
static struct json *float_key(struct arena *a, double d)
{
	float f = (float)d;
	char text[48];
	int exponent, precision;

	if (isnan(d))
		return json_new_string(a, ".nan");
	if (isinf(f))
		return json_new_string(a, f < 0 ? "-.inf" : ".inf");
	for (precision = 1; precision < 9; precision++) {
		snprintf(text, sizeof(text), "%.*e", precision - 1, (double)f);
		if (strtof(text, NULL) == f)
			break;
	}
	snprintf(text, sizeof(text), "%.*e", precision - 1, (double)f);
	exponent = atoi(strchr(text, 'e') + 1);
	if (exponent >= -4 && exponent < 6)
		snprintf(text, sizeof(text), "%.*f", MAX(precision - 1 - exponent, 0), (double)f);
	return json_new_string(a, text);
}

/* Aliases. */

/* Adds the weight of v to *weight, until that is over `limit`; the nesting into *depth. */
static void weigh(
	const struct json *v, unsigned level, size_t limit, size_t *weight, unsigned *depth)
{
	*weight += NODE_WEIGHT;
	if (v->type == JSON_STRING)
		*weight += v->count;
	if (json_count(v) == 0 && v->type != JSON_ARRAY && v->type != JSON_OBJECT)
		return;
	*depth = MAX(*depth, level + 1);
	JSON_FOR_EACH_ITEM(item, v) {
		if (*weight > limit)
			return;
		weigh(item, level + 1, limit, weight, depth);
	}
	JSON_FOR_EACH_MEMBER(m, v) {
		*weight += m->name_size;
		if (*weight > limit)
			return;
		weigh(m->value, level + 1, limit, weight, depth);
	}
}

/* Copies a value for an alias or a merge, within the limits: all copies together may weigh as much
 * as a text may. */
static int copy_limited(struct reader *rd, const yaml_mark_t *mark, const struct json *v,
	unsigned depth, struct json **ret)
{
	unsigned inner = 0;

	weigh(v, 0, rd->limits->size_bytes, &rd->alias_bytes, &inner);
	if (rd->alias_bytes > rd->limits->size_bytes)
		return err_set(
			rd->err, -E2BIG, "line %zu: aliases expand to too much", mark->line + 1);
	if (depth + inner > rd->limits->depth)
		return err_set(rd->err, -E2BIG, "line %zu: nested deeper than %u", mark->line + 1,
			rd->limits->depth);
	*ret = json_copy(rd->arena, v);
	return 0;
}

static int read_alias(
	struct reader *rd, const yaml_event_t *event, const struct place *place, struct json **ret)
{
	struct json *v = table_get(&rd->anchors, (const char *)event->data.alias.anchor);

	if (!v)
		return bad(rd, &event->start_mark, "unknown anchor");
	if (v == &open_anchor)
		return bad(rd, &event->start_mark, "the anchor's value contains itself");
	return copy_limited(rd, &event->start_mark, v, place->depth, ret);
}

/* Collections. */

static int read_value(
	struct reader *rd, yaml_event_t *event, const struct place *place, struct json **ret);

static int read_sequence(struct reader *rd, const struct place *place, struct json **ret)
{
	struct place inner = {.up = place, .depth = place->depth + 1};
	struct json *array = json_new_array(rd->arena), *item;
	yaml_event_t event;
	int r;

	for (;; inner.item++) {
		if (inner.item == JSON_COUNT_MAX)
			return err_set(rd->err, -E2BIG, "too many items");
		r = next_event(rd, &event);
		if (r < 0)
			return r;
		if (event.type == YAML_SEQUENCE_END_EVENT) {
			yaml_event_delete(&event);
			*ret = array;
			return 0;
		}
		r = read_value(rd, &event, &inner, &item);
		if (r < 0)
			return r;
		json_push(rd->arena, array, item);
	}
}

static void report_duplicate(struct reader *rd, const struct place *place, const char *name)
{
	struct path_text path;

	if (!rd->limits->on_duplicate || rd->duplicates_told == JSON_DUPLICATES_MAX)
		return;
	rd->duplicates_told++;
	path_text_start(&path);
	path_text_name(&path, name);
	for (; place->up; place = place->up) {
		if (place->name)
			path_text_name(&path, place->name);
		else
			path_text_item(&path, place->item);
	}
	rd->limits->on_duplicate(rd->limits->user, path_text_done(&path));
}

/* Reads a key as the string that JSON needs. */
static int read_key(struct reader *rd, yaml_event_t *event, const struct place *place,
	struct json **ret, bool *ret_merge)
{
	const char *tag;
	struct yaml_scalar v = {.type = YAML_SCALAR_STRING};
	struct json *key;
	int r;

	*ret_merge = false;
	if (event->type == YAML_ALIAS_EVENT) {
		r = read_alias(rd, event, place, &key);
		if (r < 0)
			return r;
		/* The value is resolved already. */
		switch (key->type) {
		case JSON_BOOL:
			v = (struct yaml_scalar){.type = YAML_SCALAR_BOOL, .b = key->b};
			break;
		case JSON_INT:
			v = (struct yaml_scalar){.type = YAML_SCALAR_INT, .i = key->i};
			break;
		case JSON_DOUBLE:
			v = (struct yaml_scalar){.type = YAML_SCALAR_FLOAT, .d = key->d};
			break;
		case JSON_STRING:
			break;
		default:
			v.type = YAML_SCALAR_NULL;
		}
	} else if (event->type == YAML_SCALAR_EVENT) {
		tag = (const char *)event->data.scalar.tag;
		*ret_merge = streq((const char *)event->data.scalar.value, "<<") &&
			     (tag ? is_tag(tag, "merge") : event->data.scalar.plain_implicit);
		if (event->data.scalar.anchor)
			return bad(rd, &event->start_mark, "anchor on a key");
		r = read_scalar(rd, event, &key, &v);
		if (r < 0)
			return r;
	} else {
		return bad(rd, &event->start_mark, "a key must be a scalar");
	}
	switch (v.type) {
	case YAML_SCALAR_NULL:
		return bad(rd, &event->start_mark, "a key must not be null or a collection");
	case YAML_SCALAR_BOOL:
		key = json_new_string(rd->arena, v.b ? "true" : "false");
		break;
	case YAML_SCALAR_INT:
		key = json_new_printf(rd->arena, "%lld", (long long)v.i);
		break;
	case YAML_SCALAR_FLOAT:
		key = float_key(rd->arena, v.d);
		break;
	case YAML_SCALAR_TIMESTAMP:
	case YAML_SCALAR_STRING:
		break;
	}
	*ret = key;
	return 0;
}

/* Adds the members of a "<<" value that the mapping itself lacks. */
static int merge_into(struct reader *rd, const yaml_mark_t *mark, struct json *object,
	const struct json *from, unsigned depth)
{
	struct json *copy;
	int r;

	if (json_is(from, JSON_ARRAY)) {
		JSON_FOR_EACH_ITEM(item, from) {
			if (!json_is(item, JSON_OBJECT))
				return bad(rd, mark, "'<<' needs a mapping or a list of mappings");
			r = merge_into(rd, mark, object, item, depth);
			if (r < 0)
				return r;
		}
		return 0;
	}
	if (!json_is(from, JSON_OBJECT))
		return bad(rd, mark, "'<<' needs a mapping or a list of mappings");
	JSON_FOR_EACH_MEMBER(m, from) {
		if (json_get_n(object, m->name, m->name_size))
			continue;
		r = copy_limited(rd, mark, m->value, depth, &copy);
		if (r < 0)
			return r;
		json_set_n(rd->arena, object, m->name, m->name_size, copy);
	}
	return 0;
}

static int read_mapping(struct reader *rd, const struct place *place, struct json **ret)
{
	struct place inner = {.up = place, .depth = place->depth + 1};
	struct json *object = json_new_object(rd->arena), *key = NULL, *value = NULL;
	struct json *merges = json_new_array(rd->arena);
	yaml_event_t event;
	yaml_mark_t mark;
	bool merge;
	int r;

	for (;;) {
		if (json_count(object) == JSON_COUNT_MAX)
			return err_set(rd->err, -E2BIG, "too many items");
		r = next_event(rd, &event);
		if (r < 0)
			return r;
		mark = event.start_mark;
		if (event.type == YAML_MAPPING_END_EVENT) {
			yaml_event_delete(&event);
			break;
		}
		inner.name = "";
		r = read_key(rd, &event, &inner, &key, &merge);
		yaml_event_delete(&event);
		if (r < 0)
			return r;
		inner.name = key->s;
		r = next_event(rd, &event);
		if (r < 0)
			return r;
		r = read_value(rd, &event, &inner, &value);
		if (r < 0)
			return r;
		if (merge) {
			json_push(rd->arena, merges, value);
			continue;
		}
		if (json_get_n(object, key->s, key->count))
			report_duplicate(rd, place, key->s);
		json_set_n(rd->arena, object, key->s, key->count, value);
	}
	/* Last, since what stands in the mapping itself goes before. */
	JSON_FOR_EACH_ITEM(from, merges) {
		r = merge_into(rd, &mark, object, from, inner.depth);
		if (r < 0)
			return r;
	}
	*ret = object;
	return 0;
}

static const char *anchor_of(const yaml_event_t *event)
{
	switch (event->type) {
	case YAML_SCALAR_EVENT:
		return (const char *)event->data.scalar.anchor;
	case YAML_SEQUENCE_START_EVENT:
		return (const char *)event->data.sequence_start.anchor;
	case YAML_MAPPING_START_EVENT:
		return (const char *)event->data.mapping_start.anchor;
	default:
		return NULL;
	}
}

/* Consumes the event, and for a collection all up to its end. */
static int read_value(
	struct reader *rd, yaml_event_t *event, const struct place *place, struct json **ret)
{
	yaml_event_type_t type = event->type;
	yaml_mark_t mark = event->start_mark;
	struct yaml_scalar scalar;
	char *anchor = NULL;
	int r;

	if (anchor_of(event)) {
		anchor = arena_strdup(rd->arena, anchor_of(event));
		table_set(&rd->anchors, anchor, &open_anchor);
	}
	if (type == YAML_SCALAR_EVENT)
		r = read_scalar(rd, event, ret, &scalar);
	else if (type == YAML_ALIAS_EVENT)
		r = read_alias(rd, event, place, ret);
	else
		r = 0;
	if (r == 0 && type == YAML_SCALAR_EVENT && scalar.type == YAML_SCALAR_FLOAT &&
		!isfinite(scalar.d))
		r = bad(rd, &mark, "a number that JSON can't express");
	bool flow = (type == YAML_SEQUENCE_START_EVENT &&
			    event->data.sequence_start.style == YAML_FLOW_SEQUENCE_STYLE) ||
		    (type == YAML_MAPPING_START_EVENT &&
			    event->data.mapping_start.style == YAML_FLOW_MAPPING_STYLE);
	yaml_event_delete(event);
	if (r < 0)
		return r;
	if (flow && rd->flow_depth >= FLOW_DEPTH_MAX)
		return err_set(rd->err, -E2BIG, "line %zu: brackets nested deeper than %u",
			mark.line + 1, FLOW_DEPTH_MAX);
	rd->flow_depth += flow;
	if (type == YAML_SEQUENCE_START_EVENT || type == YAML_MAPPING_START_EVENT) {
		if (place->depth >= rd->limits->depth)
			return err_set(rd->err, -E2BIG, "line %zu: nested deeper than %u",
				mark.line + 1, rd->limits->depth);
		r = type == YAML_SEQUENCE_START_EVENT ? read_sequence(rd, place, ret)
						      : read_mapping(rd, place, ret);
		if (r < 0)
			return r;
	}
	rd->flow_depth -= flow;
	if (anchor)
		table_set(&rd->anchors, anchor, *ret);
	return 0;
}

/* Reads the next document: 1, or 0 at the stream's end. */
static int read_document(struct reader *rd, struct json **ret)
{
	struct place root = {0};
	yaml_event_type_t type;
	yaml_event_t event;
	int r;

	for (;;) {
		r = next_event(rd, &event);
		if (r < 0)
			return r;
		type = event.type;
		if (type == YAML_NO_EVENT || type == YAML_STREAM_END_EVENT) {
			yaml_event_delete(&event);
			return 0;
		}
		if (type != YAML_STREAM_START_EVENT && type != YAML_DOCUMENT_START_EVENT &&
			type != YAML_DOCUMENT_END_EVENT)
			break;
		yaml_event_delete(&event);
	}
	table_finish(&rd->anchors);
	r = read_value(rd, &event, &root, ret);
	return r < 0 ? r : 1;
}

/* libyaml compares each %TAG with all others of the document: many would take minutes. Counts the
 * lines that begin so; a line may begin behind LF, CR, NEL, LS, PS or a byte order mark. */
static bool has_many_tag_directives(const char *text, size_t size)
{
	const char *at = text, *end = text + size;
	unsigned count = 0;

	while (size && (at = memmem(at, (size_t)(end - at), "%TAG", 4))) {
		if (at == text || memchr("\n\r\x85\xa8\xa9\xbf", at[-1], 6))
			count++;
		if (count > TAG_DIRECTIVES_MAX)
			return true;
		at += 4;
	}
	return false;
}

static int reader_init(struct reader *rd, struct arena *a, const char *text, size_t size,
	const struct json_limits *limits, struct err *err)
{
	*rd = (struct reader){.arena = a, .limits = limits, .err = err};
	if (size > limits->size_bytes || size >= UINT32_MAX)
		return err_set(err, -E2BIG, "text of %zu bytes is over the limit of %zu", size,
			limits->size_bytes);
	if (has_many_tag_directives(text, size))
		return err_set(err, -E2BIG, "more than %d %%TAG directives", TAG_DIRECTIVES_MAX);
	if (!yaml_parser_initialize(&rd->parser))
		abort();
	yaml_parser_set_encoding(
		&rd->parser, YAML_UTF8_ENCODING); /* as JSON: nothing else is taken */
	yaml_parser_set_input_string(&rd->parser, (const unsigned char *)text, size);
	return 0;
}

static void reader_finish(struct reader *rd)
{
	table_finish(&rd->anchors);
	yaml_parser_delete(&rd->parser);
}

int yaml_parse(struct arena *a, const char *text, size_t size, const struct json_limits *limits,
	struct json **ret, struct err *err)
{
	struct json_limits defaults = JSON_LIMITS_DEFAULT;
	struct reader rd;
	struct json *v;
	int r;

	r = reader_init(&rd, a, text, size, limits ? limits : &defaults, err);
	if (r < 0)
		return r;
	r = read_document(&rd, &v);
	reader_finish(&rd);
	if (r < 0)
		return r;
	*ret = r == 0 ? json_new_null(a) : v;
	return 0;
}

int yaml_parse_all(struct arena *a, const char *text, size_t size, const struct json_limits *limits,
	struct json **ret, struct err *err)
{
	struct json_limits defaults = JSON_LIMITS_DEFAULT;
	struct json *all = json_new_array(a), *v;
	struct reader rd;
	int r;

	r = reader_init(&rd, a, text, size, limits ? limits : &defaults, err);
	if (r < 0)
		return r;
	while ((r = read_document(&rd, &v)) > 0)
		if (!json_is(v, JSON_NULL))
			json_push(a, all, v);
	reader_finish(&rd);
	if (r < 0)
		return r;
	*ret = all;
	return 0;
}

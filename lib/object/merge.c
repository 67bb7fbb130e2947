#include "lib/object/merge.h"

#include "lib/base/table.h"
#include "lib/base/vec.h"

/* ---- checking a configuration ---- */

#define ERRORS_MAX 100

struct check_walk {
	struct buf path;
	struct buf *errors; /* a line each */
	size_t count;
};

static void cut_path(struct check_walk *w, size_t size)
{
	w->path.size = size;
	if (w->path.data)
		w->path.data[size] = '\0';
}

static void _printf_(2, 3) problem(struct check_walk *w, const char *fmt, ...)
{
	va_list ap;

	if (w->count++ >= ERRORS_MAX)
		return;
	if (w->errors->size)
		buf_add_char(w->errors, '\n');
	if (w->path.size) {
		buf_add(w->errors, w->path.data, w->path.size);
		buf_add_str(w->errors, ": ");
	}
	va_start(ap, fmt);
	buf_vprintf(w->errors, fmt, ap);
	va_end(ap);
}

/* As Go prints a decoded JSON value. */
static void add_value(struct buf *out, const struct json *v)
{
	bool comma = false;

	switch (v->type) {
	case JSON_NULL:
		buf_add_str(out, "<nil>");
		return;
	case JSON_STRING:
		buf_add(out, v->s, v->count);
		return;
	case JSON_ARRAY:
		buf_add_char(out, '[');
		JSON_FOR_EACH_ITEM(item, v) {
			if (comma)
				buf_add_char(out, ' ');
			comma = true;
			add_value(out, item);
		}
		buf_add_char(out, ']');
		return;
	case JSON_OBJECT:
		buf_add_str(out, "map[");
		JSON_FOR_EACH_MEMBER(m, v) {
			if (comma)
				buf_add_char(out, ' ');
			comma = true;
			buf_add(out, m->name, m->name_size);
			buf_add_char(out, ':');
			add_value(out, m->value);
		}
		buf_add_char(out, ']');
		return;
	case JSON_BOOL:
	case JSON_INT:
	case JSON_DOUBLE:
		json_write(out, v);
		return;
	}
}

static void wrong_type(struct check_walk *w, const char *expected, const struct json *v)
{
	static const char *const go[] = {"nil", "bool", "int64", "float64", "string",
		"[]interface {}", "map[string]interface {}"};
	_cleanup_(buf_finish) struct buf text = BUF_INIT;

	if (streq(expected, "numeric (int or float)"))
		buf_add_str(&text, go[v->type]);
	else if (streq(expected, "string"))
		buf_printf(&text, "&value.valueUnstructured{Value:");
	if (streq(expected, "string") || text.size == 0)
		add_value(&text, v);
	if (streq(expected, "string"))
		buf_add_char(&text, '}');
	problem(w, "expected %s, got %.512s", expected, text.data ? text.data : "");
}

static void check_value(struct check_walk *w, const struct schema *s, const struct json *v);

static void check_members(struct check_walk *w, const struct schema *s, const struct json *v)
{
	size_t size = w->path.size;

	JSON_FOR_EACH_MEMBER(m, v) {
		const struct schema_property *p;
		const struct schema *of = field_member_schema(s, m->name, m->name_size, &p);

		buf_add_char(&w->path, '.');
		buf_add(&w->path, m->name, m->name_size);
		if (!of && s && s->type == SCHEMA_OBJECT && !s->preserve_unknown) {
			problem(w, "field not declared in schema");
			cut_path(w, size);
			return;
		}
		check_value(w, of, m->value);
		cut_path(w, size);
	}
}

static void check_items(struct check_walk *w, const struct schema *s, const struct json *v)
{
	_cleanup_(table_finish) struct table seen = TABLE_INIT;
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	size_t size = w->path.size, i = 0;
	struct err err = ERR_INIT;

	JSON_FOR_EACH_ITEM(item, v) {
		struct str step;

		if (s->list_type == LIST_ATOMIC) {
			buf_printf(&w->path, "[%zu]", i);
		} else if (field_item_step(&a, s, item, &step, &err) < 0) {
			problem(w, "element %zu: %s", i, err.msg);
			return;
		} else {
			if (table_set(&seen, step.p, (void *)item)) {
				_cleanup_(buf_finish) struct buf text = BUF_INIT;

				field_step_text(&text, step.p, step.size);
				problem(w, "duplicate entries for key %s", text.data);
			}
			field_step_text(&w->path, step.p, step.size);
		}
		check_value(w, s->items, item);
		cut_path(w, size);
		i++;
	}
}

static void check_value(struct check_walk *w, const struct schema *s, const struct json *v)
{
	bool scalar = v->type != JSON_OBJECT && v->type != JSON_ARRAY;

	if (!s || v->type == JSON_NULL || w->count >= ERRORS_MAX)
		return;
	switch (s->type) {
	case SCHEMA_ANY:
		return;
	case SCHEMA_OBJECT:
		if (v->type == JSON_OBJECT)
			check_members(w, s, v);
		else
			wrong_type(w, "map", v);
		return;
	case SCHEMA_ARRAY:
		if (v->type == JSON_ARRAY)
			check_items(w, s, v);
		else
			wrong_type(w, "list", v);
		return;
	case SCHEMA_INTEGER:
	case SCHEMA_NUMBER:
		if (v->type != JSON_INT && v->type != JSON_DOUBLE)
			wrong_type(w, "numeric (int or float)", v);
		return;
	case SCHEMA_BOOLEAN:
		if (v->type != JSON_BOOL)
			wrong_type(w, "boolean", v);
		return;
	case SCHEMA_STRING:
		if (v->type != JSON_STRING && !(scalar && streq(s->format, "quantity")))
			wrong_type(w, "string", v);
		return;
	case SCHEMA_INT_OR_STRING:
		if (!scalar)
			wrong_type(w, "any scalar", v);
		return;
	}
}

int merge_check(const struct schema *schema, const struct json *config, struct buf *ret_errors)
{
	_cleanup_(buf_finish) struct buf errors = BUF_INIT;
	struct check_walk w = {.errors = &errors};

	check_value(&w, schema, config);
	buf_finish(&w.path);
	if (w.count == 0)
		return 0;
	if (w.count == 1) {
		buf_add(ret_errors, errors.data, errors.size);
		return -EINVAL;
	}
	buf_add_str(ret_errors, "errors:");
	for (struct str rest = {errors.data, errors.size}, line; str_split(&rest, '\n', &line);) {
		buf_add_str(ret_errors, "\n  ");
		buf_add(ret_errors, line.p, line.size);
	}
	return -EINVAL;
}

/* ---- merging ---- */

static const struct json *merge(struct arena *a, const struct schema *s, const struct json *live,
	const struct json *config);

static const struct json *merge_structures(
	struct arena *a, const struct schema *s, const struct json *live, const struct json *config)
{
	struct json *out = json_new_object_room(a, (size_t)live->count + config->count);

	JSON_FOR_EACH_MEMBER(m, live) {
		const struct json *wanted = json_get_n(config, m->name, m->name_size);
		const struct schema_property *p;
		const struct json *v = m->value;

		if (wanted)
			v = merge(a, field_member_schema(s, m->name, m->name_size, &p), v, wanted);
		json_add_n(a, out, m->name, m->name_size, (struct json *)v);
	}
	JSON_FOR_EACH_MEMBER(m, config)
		if (!json_get_n(live, m->name, m->name_size))
			json_add_n(a, out, m->name, m->name_size, m->value);
	return out;
}

/* An item of either list. */
struct item {
	struct str step;
	const struct json *value;
	struct item *other; /* the first of the same step in the other list, or NULL */
	bool repeated;	    /* not the first of its step, or followed by another */
	bool done;
};

static struct item *items_of(struct arena *a, const struct schema *s, const struct json *list,
	struct table *by_step, size_t *ret_count)
{
	struct item *items = arena_zalloc(a, MAX(list->count, 1u) * sizeof(*items));
	size_t count = 0;

	JSON_FOR_EACH_ITEM(v, list) {
		struct item *i = &items[count], *first;

		if (field_item_step(a, s, v, &i->step, NULL) < 0)
			continue;
		i->value = v;
		first = table_get(by_step, i->step.p);
		if (first)
			first->repeated = i->repeated = true;
		else
			table_set(by_step, i->step.p, i);
		count++;
	}
	*ret_count = count;
	return items;
}

/* Items of the live list alone stay where they are, between the shared ones; shared ones and new
 * ones come in the configuration's order. */
static const struct json *merge_lists(
	struct arena *a, const struct schema *s, const struct json *live, const struct json *config)
{
	_cleanup_(table_finish) struct table live_steps = TABLE_INIT, config_steps = TABLE_INIT;
	size_t live_count, config_count, i = 0, j = 0, next = 0;
	struct item *left = items_of(a, s, live, &live_steps, &live_count);
	struct item *right = items_of(a, s, config, &config_steps, &config_count);
	struct json *out = json_new_array(a);

	for (size_t n = 0; n < live_count; n++)
		left[n].other = table_get(&config_steps, left[n].step.p);
	for (size_t n = 0; n < config_count; n++)
		right[n].other = table_get(&live_steps, right[n].step.p);
	while (i < live_count || j < config_count) {
		struct item *l = i < live_count ? &left[i] : NULL;
		struct item *r = j < config_count ? &right[j] : NULL;

		while (next < config_count && (next < j || !right[next].other))
			next++;
		if (l && r && l->other && l->other != r && next < config_count &&
			l->other != &right[next]) {
			i++; /* shared, but its turn has not come, or is over */
			continue;
		}
		if (l && !l->other) {
			json_push(a, out, (struct json *)l->value);
			i++;
			continue;
		}
		if (l && (l->other == r || l->other->done))
			i++;
		if (!r)
			continue;
		/* Repeated live items give way to the one that is applied. */
		json_push(a, out,
			(struct json *)(r->other && !r->other->repeated
						? merge(a, s->items, r->other->value, r->value)
						: r->value));
		r->done = true;
		j++;
	}
	return out;
}

static bool is_empty(const struct json *v)
{
	return v->type == JSON_NULL ||
	       ((v->type == JSON_OBJECT || v->type == JSON_ARRAY) && v->count == 0);
}

static const struct json *merge(
	struct arena *a, const struct schema *s, const struct json *live, const struct json *config)
{
	enum field_form was = field_form(s, live), is = field_form(s, config);

	/* Nothing that is wanted takes nothing away: that is the business of ownership. */
	if (was != FIELD_LEAF && !is_empty(live) && is_empty(config) &&
		(config->type == JSON_NULL || was == is))
		return live;
	if (was == FIELD_STRUCTURE && is == FIELD_STRUCTURE)
		return merge_structures(a, s, live, config);
	if (was == FIELD_LIST && is == FIELD_LIST)
		return merge_lists(a, s, live, config);
	return config;
}

const struct json *merge_apply(struct arena *a, const struct schema *schema,
	const struct json *live, const struct json *config)
{
	return merge(a, schema, live, config);
}

/* ---- removing ---- */

static bool has_below(const struct json *node)
{
	return node->count > field_node_first(node);
}

const struct json *merge_remove(
	struct arena *a, const struct schema *s, const struct json *doc, const struct json *set)
{
	enum field_form form = field_form(s, doc);
	struct json *out;

	if (!set)
		return doc;
	if (form == FIELD_LEAF) /* whole or not at all: steps into it mean what it was before */
		return doc->type == JSON_ARRAY || doc->type == JSON_OBJECT ? NULL : doc;
	out = form == FIELD_LIST ? json_new_array(a) : json_new_object_room(a, doc->count);
	if (form == FIELD_STRUCTURE) {
		JSON_FOR_EACH_MEMBER(m, doc) {
			const struct schema_property *p;
			const struct schema *of = field_member_schema(s, m->name, m->name_size, &p);
			struct str step = field_member_step(a, p, m);
			const struct json *node = json_get_n(set, step.p, step.size);
			const struct json *v = m->value;

			if (node && field_node_is_member(node))
				continue;
			if (node && has_below(node))
				v = merge_remove(a, of, v, node);
			if (v)
				json_add_n(a, out, m->name, m->name_size, (struct json *)v);
		}
	} else {
		JSON_FOR_EACH_ITEM(item, doc) {
			const struct json *node = NULL, *v = item;
			struct str step;

			if (field_item_step(a, s, item, &step, NULL) == 0)
				node = json_get_n(set, step.p, step.size);
			if (node && field_node_is_member(node))
				continue;
			if (node && has_below(node))
				v = merge_remove(a, s->items, v, node);
			if (v)
				json_push(a, out, (struct json *)v);
		}
	}
	return out->count ? out : NULL;
}

/* The set with the structures that lead to its fields as members, too: "a.b.c" has "a" as well when
 * the schema names it, entries of maps and items of lists not. */
static const struct json *with_structures(
	struct arena *a, const struct schema *s, const struct json *node, bool root, bool member)
{
	struct json *out = field_node_begin(a, node->count, member);

	for (uint32_t i = field_node_first(node); i < node->count; i++) {
		const struct json_member *m = &node->members[i];
		const struct schema_property *p = NULL;
		const struct schema *of = NULL;
		bool named = false;

		if (m->name[0] == 'f') {
			of = field_member_schema(s, m->name + 2, m->name_size - 2u, &p);
			/* Nobody can take away an object's metadata. */
			named = p && !(root && streq(p->name, "metadata"));
		} else if (m->name[0] == 'k' && s && s->type == SCHEMA_ARRAY) {
			of = s->items;
		}
		json_add_n(a, out, m->name, m->name_size,
			(struct json *)with_structures(
				a, of, m->value, false, named || field_node_is_member(m->value)));
	}
	return field_node_end(out);
}

static const struct json *closed(struct arena *a, const struct schema *s, const struct json *set)
{
	return set ? with_structures(a, s, set, true, false) : NULL;
}

const struct json *merge_prune(struct arena *a, const struct schema *schema, const struct json *doc,
	const struct json *last, const struct json *owned)
{
	const struct json *had = closed(a, schema, last), *pruned, *all, *left;

	if (!last)
		return doc;
	all = closed(a, schema, fields_applied(a, schema, doc));
	pruned = merge_remove(a, schema, doc, had);
	/* What others have, or the configuration has again, stays. */
	left = pruned ? closed(a, schema, fields_applied(a, schema, pruned)) : NULL;
	left = field_set_union(a, left, closed(a, schema, owned));
	pruned = merge_remove(a, schema, doc, field_set_difference(a, all, left));
	/* And what nobody has, unless it was the manager's before. */
	left = pruned ? closed(a, schema, fields_applied(a, schema, pruned)) : NULL;
	return merge_remove(
		a, schema, doc, field_set_intersection(a, field_set_difference(a, all, left), had));
}

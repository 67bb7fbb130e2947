#include "server/api/tables/table.h"

#include <math.h>
#include <strings.h>

#include "lib/base/clock.h"
#include "server/api/tables/jsonpath.h"

/* Of paths that users wrote, in all of one table: what each cell adds is more than a plain path
 * takes, so that only tables of others get empty cells when they are long. */
#define TABLE_STEPS 200000
#define CELL_STEPS 64

#define NAME_COLUMN                                                                                \
	{                                                                                          \
		.name = "Name", .type = "string", .format = "name", .json_path = ".metadata.name", \
		.description = "Name of the object, unique in its namespace"                       \
	}

/* Of kinds that say nothing: built-in ones tell when, custom ones how long ago. */
static const struct kind_column builtin_columns[] = {
	NAME_COLUMN,
	{.name = "Created At",
		.type = "date",
		.json_path = ".metadata.creationTimestamp",
		.description = "When the object was created"},
};

static const struct kind_column custom_columns[] = {
	NAME_COLUMN,
	{.name = "Age",
		.type = "date",
		.json_path = ".metadata.creationTimestamp",
		.description = "Time since the object was created"},
};

static size_t columns_of(const struct kind *k, const struct kind_column **ret)
{
	if (k->column_count) {
		*ret = k->columns;
		return k->column_count;
	}
	*ret = k->strategic_patch ? builtin_columns : custom_columns;
	return ARRAY_LEN(custom_columns);
}

const char *table_age(struct arena *a, const char *time, int64_t now_ns)
{
	int64_t at;
	if (!time || time_parse_rfc3339(time, &at) < 0)
		return "<unknown>";
	return duration_human(a, now_ns - at);
}

struct json *table_path(struct arena *a, const struct json *doc, const char *path)
{
	return (struct json *)jsonpath_first(doc, path);
}

/* A custom column shows values of its type, and nothing for others. */
static struct json *custom_cell(
	struct arena *a, const struct kind_column *c, const struct json *v, int64_t now_ns)
{
	int64_t at;
	if (!v || json_is(v, JSON_NULL))
		return json_new_null(a);
	if (streq(c->type, "date")) {
		if (!json_is(v, JSON_STRING))
			return json_new_null(a);
		return json_new_string(a, time_parse_rfc3339(v->s, &at) < 0
						  ? "<invalid>"
						  : duration_human(a, now_ns - at));
	}
	bool number = json_is(v, JSON_INT) || json_is(v, JSON_DOUBLE);
	if (streq(c->type, "string"))
		return json_is(v, JSON_STRING) ? (struct json *)v
					       : json_new_string(a, json_text(a, v));
	if (streq(c->type, "boolean") ? !json_is(v, JSON_BOOL) : !number)
		return json_new_null(a);
	if (streq(c->type, "integer") && json_is(v, JSON_DOUBLE))
		return json_new_int(a, fabs(v->d) < 9e18 ? (int64_t)v->d : 0);
	return (struct json *)v;
}

static struct json *path_cell(
	struct arena *a, const struct kind_column *c, const struct json *doc, int64_t now_ns)
{
	const struct json *v = c->json_path ? table_path(a, doc, c->json_path) : NULL;
	bool date = (streq(c->type, "date") && c != &builtin_columns[1]) ||
		    (streq(c->name, "Age") && streq(c->type, "string"));
	if (date)
		return json_new_string(a, table_age(a, json_str(v), now_ns));
	if (!v || json_is(v, JSON_NULL))
		return json_new_null(a);
	if (streq(c->type, "string") && !json_is(v, JSON_STRING)) {
		char *text = json_text(a, v);
		return json_new_string(a, text);
	}
	return (struct json *)v;
}

void table_begin(struct table_writer *t, const char *list_meta, bool columns)
{
	t->steps = TABLE_STEPS;
	buf_printf(t->out,
		"{\"kind\":\"Table\",\"apiVersion\":\"meta.k8s.io/%s\",\"metadata\":{%s},"
		"\"columnDefinitions\":",
		t->version, list_meta);
	if (!columns) {
		buf_add_str(t->out, "null,\"rows\":[");
		return;
	}
	const struct kind_column *c;
	size_t count = columns_of(t->kind->checked_as, &c);
	for (size_t i = 0; i < count; i++) {
		buf_add_str(t->out, i ? ",{\"name\":" : "[{\"name\":");
		json_write_string(t->out, c[i].name, strlen(c[i].name));
		buf_printf(t->out, ",\"type\":\"%s\",\"format\":\"%s\",\"description\":", c[i].type,
			c[i].format ? c[i].format : "");
		const char *description = c[i].description ? c[i].description : "";
		json_write_string(t->out, description, strlen(description));
		buf_printf(t->out, ",\"priority\":%d}", c[i].priority);
	}
	buf_add_str(t->out, "],\"rows\":[");
}

struct json *partial_metadata(struct arena *a, const struct json *doc, const char *version)
{
	struct json *p = json_new_object(a);
	json_set_str(a, p, "kind", "PartialObjectMetadata");
	json_set(a, p, "apiVersion", json_new_printf(a, "meta.k8s.io/%s", version));
	struct json *meta = json_get(doc, "metadata");
	json_set(a, p, "metadata", meta ? meta : json_new_object(a));
	return p;
}

void table_add(struct table_writer *t, struct arena *scratch, const struct json *doc)
{
	const struct kind_hooks *hooks = hooks_find(t->kind);
	const struct kind *shown = t->kind->checked_as;
	struct table_row row = {.arena = scratch, .doc = doc, .now_ns = t->now_ns};
	const struct kind_column *c;
	size_t count = columns_of(shown, &c);
	if (shown != t->kind)
		row.doc = kind_convert(scratch, t->kind, shown, json_copy(scratch, doc));
	buf_add_str(t->out, t->row_count++ ? ",{\"cells\":[" : "{\"cells\":[");
	for (size_t i = 0; i < count; i++) {
		struct json *cell = hooks->cell ? hooks->cell(&row, c[i].name) : NULL;
		t->steps += CELL_STEPS;
		if (!cell && shown->custom)
			cell = custom_cell(scratch, &c[i],
				jsonpath_first_within(row.doc, c[i].json_path, &t->steps),
				t->now_ns);
		else if (!cell)
			cell = path_cell(scratch, &c[i], row.doc, t->now_ns);
		if (i)
			buf_add_char(t->out, ',');
		json_write(t->out, cell);
	}
	buf_add_char(t->out, ']');
	struct json *conditions = hooks->row_conditions ? hooks->row_conditions(&row) : NULL;
	if (conditions) {
		buf_add_str(t->out, ",\"conditions\":");
		json_write(t->out, conditions);
	}
	buf_add_str(t->out, ",\"object\":");
	if (t->include == INCLUDE_NONE)
		buf_add_str(t->out, "null");
	else if (t->include == INCLUDE_OBJECT)
		json_write(t->out, doc);
	else
		json_write(t->out, partial_metadata(scratch, doc, t->version));
	buf_add_char(t->out, '}');
}

void table_end(struct table_writer *t)
{
	buf_add_str(t->out, "]}\n");
}

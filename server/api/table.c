#include "server/api/table.h"

#include <strings.h>

#include "lib/base/clock.h"

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

/* One step of a path: ".name", "['name']", "[3]" or "[?(@.name=='value')]". Moves *p behind it. */
static const struct json *path_step(struct arena *a, const struct json *v, const char **p)
{
	const char *s = *p;
	if (*s == '.') {
		size_t n = strcspn(++s, ".[}");
		*p = s + n;
		return n ? json_get_n(v, s, n) : v;
	}
	const char *end = strchr(s, ']');
	if (s[1] == '?') {
		end = strstr(s, ")]");
		end = end ? end + 1 : NULL;
	}
	if (!end) {
		*p = s + strlen(s);
		return NULL;
	}
	if (s[1] == '\'' || s[1] == '"') {
		const char *close = strchr(s + 2, s[1]);
		if (!close || close[1] != ']')
			return NULL;
		*p = close + 2;
		return json_get_n(v, s + 2, (size_t)(close - s - 2));
	}
	*p = end + 1;
	if (s[1] != '?') {
		int64_t i;
		if (parse_i64((struct str){s + 1, (size_t)(end - s - 1)}, &i) < 0 || i < 0)
			return NULL;
		return json_at(v, (size_t)i);
	}
	const char *name = strstr(s, "@."), *eq = strstr(s, "==");
	if (!name || !eq || name > eq || eq > end)
		return NULL;
	name += 2;
	size_t name_size = (size_t)(eq - name);
	while (name_size && name[name_size - 1] == ' ')
		name_size--;
	const char *value = eq + 2;
	while (*value == ' ')
		value++;
	if (*value != '\'' && *value != '"')
		return NULL;
	const char *value_end = strchr(value + 1, *value);
	if (!value_end)
		return NULL;
	struct str wanted = {value + 1, (size_t)(value_end - value - 1)};
	JSON_FOR_EACH_ITEM(item, v) {
		const char *have = json_str(json_get_n(item, name, name_size));
		if (have && str_eq(wanted, have))
			return item;
	}
	return NULL;
}

struct json *table_path(struct arena *a, const struct json *doc, const char *path)
{
	const struct json *v = doc;
	const char *p = path;
	if (*p == '{')
		p++;
	while (v && *p && *p != '}') {
		if (*p != '.' && *p != '[')
			return NULL;
		v = path_step(a, v, &p);
	}
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
		if (!cell)
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

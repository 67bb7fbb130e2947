#include "server/api/hooks/hooks_internal.h"

#include <stdarg.h>
#include <stdio.h>

#include "server/api/tables/table.h"

struct json *cell_text(const struct table_row *row, const char *fmt, ...)
{
	_cleanup_(buf_finish) struct buf text = BUF_INIT;
	va_list ap;
	va_start(ap, fmt);
	buf_vprintf(&text, fmt, ap);
	va_end(ap);
	return json_new_string_n(row->arena, text.data ? text.data : "", text.size);
}

struct json *cell_int(const struct table_row *row, const char *path)
{
	return json_new_int(row->arena, json_path_int(row->doc, path, 0));
}

struct json *cell_age(const struct table_row *row, const char *path)
{
	return json_new_string(
		row->arena, table_age(row->arena, json_path_str(row->doc, path), row->now_ns));
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct json_member *)a)->name, ((const struct json_member *)b)->name);
}

const char *labels_text(struct arena *a, const struct json *map, const char *none)
{
	size_t count = json_count(map);
	if (count == 0 || !json_is(map, JSON_OBJECT))
		return none;
	struct json_member *sorted = arena_alloc(a, count * sizeof(*sorted));
	memcpy(sorted, json_members(map), count * sizeof(*sorted));
	qsort(sorted, count, sizeof(*sorted), by_name);
	_cleanup_(buf_finish) struct buf text = BUF_INIT;
	for (size_t i = 0; i < count; i++)
		buf_printf(&text, "%s%s=%s", i ? "," : "", sorted[i].name,
			json_str_or(sorted[i].value, ""));
	return arena_memdup(a, text.data, text.size);
}

static const char *join(struct arena *a, const struct json *list, const char *member)
{
	_cleanup_(buf_finish) struct buf text = BUF_INIT;
	JSON_FOR_EACH_ITEM(i, list)
		buf_printf(
			&text, "%s%s", text.size ? "," : "", json_str_or(json_get(i, member), ""));
	return arena_memdup(a, text.size ? text.data : "", text.size);
}

struct json *cell_workload(const struct table_row *row, const char *column)
{
	const struct json *containers = json_path(row->doc, "spec.template.spec.containers");
	if (streq(column, "Containers"))
		return cell_text(row, "%s", join(row->arena, containers, "name"));
	if (streq(column, "Images"))
		return cell_text(row, "%s", join(row->arena, containers, "image"));
	if (!streq(column, "Selector"))
		return NULL;
	const struct json *s = json_path(row->doc, "spec.selector");
	if (!json_get(s, "matchLabels") && !json_get(s, "matchExpressions"))
		return cell_text(row, "%s", labels_text(row->arena, s, "<none>"));
	struct selector parsed;
	if (selector_from_label_selector(row->arena, s, &parsed, NULL) < 0)
		return cell_text(row, "<error>");
	return cell_text(row, "%s", selector_text(row->arena, &parsed));
}

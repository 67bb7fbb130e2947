#include <ctype.h>
#include <inttypes.h>

#include "server/api/hooks/hooks_internal.h"
#include "server/api/table.h"

/* The first of several times that is there. */
static const char *first_time(const struct json *doc, const char *const *paths)
{
	for (size_t i = 0; paths[i]; i++) {
		const char *t = json_path_str(doc, paths[i]);
		if (t && *t)
			return t;
	}
	return NULL;
}

static struct json *event_cell(const struct table_row *row, const char *column)
{
	static const char *const last[] = {
		"series.lastObservedTime", "lastTimestamp", "firstTimestamp", "eventTime", NULL};
	static const char *const first[] = {"firstTimestamp", "eventTime", NULL};
	struct arena *a = row->arena;
	const struct json *doc = row->doc;
	if (streq(column, "Last Seen"))
		return cell_text(row, "%s", table_age(a, first_time(doc, last), row->now_ns));
	if (streq(column, "First Seen"))
		return cell_text(row, "%s", table_age(a, first_time(doc, first), row->now_ns));
	if (streq(column, "Type") || streq(column, "Reason"))
		return cell_text(row, "%s",
			json_str_or(json_get(doc, *column == 'T' ? "type" : "reason"), ""));
	if (streq(column, "Object")) {
		char *kind =
			arena_strdup(a, json_str_or(json_path(doc, "involvedObject.kind"), ""));
		for (char *p = kind; *p; p++)
			*p = (char)tolower((unsigned char)*p);
		return cell_text(
			row, "%s/%s", kind, json_str_or(json_path(doc, "involvedObject.name"), ""));
	}
	if (streq(column, "Subobject"))
		return cell_text(
			row, "%s", json_str_or(json_path(doc, "involvedObject.fieldPath"), ""));
	if (streq(column, "Source")) {
		const char *component = json_str_or(json_path(doc, "source.component"), "");
		const char *host = json_str_or(json_path(doc, "source.host"), "");
		if (!*component)
			component = json_str_or(json_get(doc, "reportingComponent"), "");
		return cell_text(row, "%s%s%s", component, *host ? ", " : "", host);
	}
	if (streq(column, "Message")) {
		const char *m = json_str_or(json_get(doc, "message"), "");
		size_t size = strlen(m);
		while (size && isspace((unsigned char)m[size - 1]))
			size--;
		return json_new_string_n(a, m, size);
	}
	if (streq(column, "Count")) {
		int64_t n = json_path_int(doc, "series.count", json_path_int(doc, "count", 1));
		return cell_text(row, "%" PRId64, n ? n : 1);
	}
	return NULL;
}

static void event_validate(struct hook *h, const struct json *doc)
{
	const char *ns = json_str_or(json_path(doc, "metadata.namespace"), "");
	const struct json *about = json_path(doc, "involvedObject.namespace");
	const char *of = json_str_or(about, "");
	/* Events about cluster-scoped objects live in "default". */
	bool ok = *of ? streq(of, ns) : streq(ns, "default") || streq(ns, "kube-system");
	if (!ok)
		field_error(h->errors, FIELD_INVALID, "involvedObject.namespace",
			about ? about : json_new_string(h->arena, ""),
			"does not match event.namespace");
}

const struct kind_hooks hooks_event = {
	.group = "",
	.kind = "Event",
	.validate = event_validate,
	.cell = event_cell,
};

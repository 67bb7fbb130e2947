#include <ctype.h>
#include <inttypes.h>

#include "server/api/hooks/validate.h"
#include "server/api/tables/table.h"

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

/* ---- checks: those that events of the core group have always had, and stricter ones for events
 * that come through events.k8s.io. Fields are named as the core group has them, as upstream does.
 */

static bool through_events_group(const struct hook *h)
{
	return h->req && h->req->kind && streq(h->req->kind->group, "events.k8s.io");
}

static void check_length(
	struct hook *h, const char *field, const struct json *value, bool needed, int limit)
{
	size_t size = json_is(value, JSON_STRING) ? value->count : 0;
	if (needed && size == 0)
		required(h, field, NULL);
	if (size > (size_t)limit)
		invalid(h, field, NULL, "can have at most %d characters", limit);
}

static void check_namespace(struct hook *h, const struct json *doc, bool timed)
{
	const char *ns = json_str_or(json_path(doc, "metadata.namespace"), "");
	const struct json *about = json_path(doc, "involvedObject.namespace");
	const char *of = json_str_or(about, "");
	/* Events about cluster-scoped objects live in "default". */
	bool ok = *of ? timed || streq(of, ns)
		      : streq(ns, "default") || (timed && streq(ns, "kube-system"));
	if (!ok)
		invalid(h, "involvedObject.namespace", about, "does not match event.namespace");
}

static void event_validate(struct hook *h, const struct json *doc)
{
	const struct json *controller = json_get(doc, "reportingComponent");
	const char *field = through_events_group(h) ? "reportingController" : "reportingComponent";
	bool timed = json_is(json_get(doc, "eventTime"), JSON_STRING);
	check_namespace(h, doc, timed);
	if (!timed)
		return;
	if (!*json_str_or(controller, ""))
		required(h, field, NULL);
	check_rule_at(h, RULE_QUALIFIED_NAME, field, controller);
	check_length(h, "reportingInstance", json_get(doc, "reportingInstance"), true, 128);
	check_length(h, "action", json_get(doc, "action"), true, 128);
	check_length(h, "reason", json_get(doc, "reason"), true, 128);
	check_length(h, "message", json_get(doc, "message"), false, 1024);
}

static void check_series(struct hook *h, const struct json *doc)
{
	const struct json *series = json_get(doc, "series");
	if (!series)
		return;
	if (json_path_int(series, "count", 0) < 2)
		invalid(h, "series.count", NULL, "should be at least 2");
	if (!json_is(json_get(series, "lastObservedTime"), JSON_STRING))
		required(h, "series.lastObservedTime", NULL);
}

/* What comes new through events.k8s.io says it in the new members. */
static int event_prepare_create(struct hook *h, struct json *doc)
{
	static const char *const old[] = {"firstTimestamp", "lastTimestamp"};
	const char *type = json_str_or(json_get(doc, "type"), "");
	if (!through_events_group(h))
		return 0;
	check_series(h, doc);
	if (!json_is(json_get(doc, "eventTime"), JSON_STRING))
		required(h, "eventTime", NULL);
	if (!streq(type, "Normal") && !streq(type, "Warning"))
		invalid(h, "type", NULL, "has invalid value: %s", type);
	for (size_t i = 0; i < ARRAY_LEN(old); i++)
		if (json_is(json_get(doc, old[i]), JSON_STRING))
			invalid(h, old[i], NULL, "needs to be unset");
	if (json_path_int(doc, "count", 0) != 0)
		invalid(h, "count", NULL, "needs to be unset");
	if (*json_str_or(json_path(doc, "source.component"), "") ||
		*json_str_or(json_path(doc, "source.host"), ""))
		invalid(h, "source", NULL, "needs to be unset");
	return 0;
}

static void event_validate_update(struct hook *h, const struct json *doc, const struct json *old)
{
	static const char *const fixed[] = {"involvedObject", "reason", "message", "source",
		"firstTimestamp", "lastTimestamp", "count", "type", "eventTime", "action",
		"related"};
	if (!through_events_group(h))
		return;
	if (!json_equal(json_get(doc, "series"), json_get(old, "series")))
		check_series(h, doc);
	for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
		check_fixed(h, fixed[i], doc, old, fixed[i]);
	check_fixed(h, "reportingController", doc, old, "reportingComponent");
	check_fixed(h, "reportingInstance", doc, old, "reportingInstance");
}

const struct kind_hooks hooks_event = {
	.group = "",
	.kind = "Event",
	.prepare_create = event_prepare_create,
	.validate = event_validate,
	.validate_update = event_validate_update,
	.cell = event_cell,
};

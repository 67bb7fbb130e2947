/* cron_job.c - CronJob: schedule and time zone. */
#include "server/api/hooks/job.h"

#include "lib/base/cron.h"

#define NAME_MAX_BYTES 52 /* 63 of a job's name less "-" and the time's ten digits */

static void set_defaults(struct hook *h, struct json *doc)
{
	struct json *pod = json_path(doc, "spec.jobTemplate.spec.template.spec");
	if (pod)
		pod_spec_default(h->arena, pod);
}

static void schedule_validate(struct hook *h, const struct json *spec, bool zone_allowed)
{
	const struct json *schedule = json_get(spec, "schedule");
	const char *text = json_str_or(schedule, "");
	struct cron unused;
	struct err err = ERR_INIT;
	if (!*text)
		return; /* the schema has said so */
	if (cron_parse(text, &unused, &err) < 0)
		invalid(h, "spec.schedule", schedule, "%s", err.msg);
	if (!strstr(text, "TZ"))
		return;
	if (!zone_allowed)
		invalid(h, "spec.schedule", schedule,
			"cannot use TZ or CRON_TZ in schedule, use timeZone field instead");
	else if (present(json_get(spec, "timeZone")))
		invalid(h, "spec.schedule", schedule,
			"cannot use both timeZone field and TZ or CRON_TZ in schedule");
}

/* https://data.iana.org/time-zones/theory.html#naming, with digits and + of old names. */
static bool zone_part_valid(struct str part)
{
	if (part.size < 1 || part.size > 14 || part.p[0] == '-' || str_eq(part, ".") ||
		str_eq(part, ".."))
		return false;
	for (size_t i = 0; i < part.size; i++) {
		char c = part.p[i];
		if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
			    strchr(".-_+", c)))
			return false;
	}
	return true;
}

static bool zone_exists(const char *name)
{
	struct zone *zone = NULL;
	if (access(ZONE_DIRECTORY, R_OK) < 0)
		return true; /* without the database any well-formed name is taken */
	int r = zone_load(name, &zone, NULL);
	zone_destroy(zone);
	return r == 0;
}

static void zone_validate(struct hook *h, const struct json *zone)
{
	const char *at = "spec.timeZone", *text = json_str_or(zone, "");
	if (!present(zone))
		return;
	if (!*text) {
		invalid(h, at, zone, "timeZone must be nil or non-empty string");
		return;
	}
	struct str rest = str_from(text), part;
	bool valid = strlen(text) == zone->count;
	while (valid && str_split(&rest, '/', &part))
		valid = zone_part_valid(part);
	if (!valid) {
		invalid(h, at, zone, "unknown time zone %s", text);
		return;
	}
	if (strcasecmp(text, "Local") == 0)
		invalid(h, at, zone,
			"timeZone must be an explicit time zone as defined in "
			"https://www.iana.org/time-zones");
	if (!zone_exists(text))
		invalid(h, at, zone, "unknown time zone %s", text);
}

static void template_validate(struct hook *h, const struct json *doc)
{
	static const char at[] = "spec.jobTemplate.spec";
	static const char *const not_manual[] = {"nil", "false", NULL};
	const struct json *spec = json_path(doc, at);
	if (!spec)
		return;
	job_spec_validate(h, spec, at);
	if (present(json_get(spec, "selector")))
		invalid(h, "spec.jobTemplate.spec.selector", json_get(spec, "selector"),
			"`selector` will be auto-generated");
	if (json_bool_or(json_get(spec, "manualSelector"), false))
		unsupported(h, "spec.jobTemplate.spec.manualSelector",
			json_get(spec, "manualSelector"), not_manual);
}

static void validate(struct hook *h, const struct json *doc)
{
	template_validate(h, doc);
}

static int prepare_create(struct hook *h, struct json *doc)
{
	const struct json *spec = json_get(doc, "spec"), *name = json_path(doc, "metadata.name");
	schedule_validate(h, spec, false);
	zone_validate(h, json_get(spec, "timeZone"));
	if (name && name->count > NAME_MAX_BYTES)
		invalid(h, "metadata.name", name, "must be no more than %d characters",
			NAME_MAX_BYTES);
	return 0;
}

static void validate_update(struct hook *h, const struct json *doc, const struct json *old)
{
	if (*h->part)
		return;
	const struct json *spec = json_get(doc, "spec"), *was = json_get(old, "spec");
	schedule_validate(
		h, spec, strstr(json_str_or(json_get(was, "schedule"), ""), "TZ") != NULL);
	if (!json_equal(json_get(spec, "timeZone"), json_get(was, "timeZone")))
		zone_validate(h, json_get(spec, "timeZone"));
}

static const char *names_of(const struct table_row *row, const char *member)
{
	_cleanup_(buf_finish) struct buf text = BUF_INIT;
	JSON_FOR_EACH_ITEM(c, json_path(row->doc, "spec.jobTemplate.spec.template.spec.containers"))
		buf_printf(
			&text, "%s%s", text.size ? "," : "", json_str_or(json_get(c, member), ""));
	return arena_memdup(row->arena, text.size ? text.data : "", text.size);
}

static struct json *cell(const struct table_row *row, const char *column)
{
	const struct json *spec = json_get(row->doc, "spec");
	const struct json *last = json_path(row->doc, "status.lastScheduleTime");
	if (streq(column, "Schedule"))
		return cell_text(row, "%s", json_str_or(json_get(spec, "schedule"), ""));
	if (streq(column, "Timezone"))
		return cell_text(row, "%s", json_str_or(json_get(spec, "timeZone"), "<none>"));
	if (streq(column, "Suspend"))
		return cell_text(row, "%s",
			!json_get(spec, "suspend")			 ? "<unset>"
			: json_bool_or(json_get(spec, "suspend"), false) ? "True"
									 : "False");
	if (streq(column, "Active"))
		return json_new_int(
			row->arena, (int64_t)json_count(json_path(row->doc, "status.active")));
	if (streq(column, "Last Schedule"))
		return present(last) ? cell_age(row, "status.lastScheduleTime")
				     : cell_text(row, "<none>");
	if (streq(column, "Containers"))
		return cell_text(row, "%s", names_of(row, "name"));
	if (streq(column, "Images"))
		return cell_text(row, "%s", names_of(row, "image"));
	if (streq(column, "Selector"))
		return cell_text(row, "<none>");
	return NULL;
}

const struct kind_hooks hooks_cron_job = {
	.group = "batch",
	.kind = "CronJob",
	.set_defaults = set_defaults,
	.prepare_create = prepare_create,
	.validate = validate,
	.validate_update = validate_update,
	.cell = cell,
};

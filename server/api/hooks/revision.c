/* revision.c - ControllerRevision and PodTemplate: kept descriptions, nothing that runs. */
#include "server/api/hooks/workload.h"

static int revision_prepare_create(struct hook *h, struct json *doc)
{
	const struct json *data = json_get(doc, "data");
	if (!present(data))
		required(h, "data", "data is mandatory");
	return 0;
}

static void revision_validate_update(struct hook *h, const struct json *doc, const struct json *old)
{
	check_unchanged(h, "data", json_get(doc, "data"), json_get(old, "data"));
}

static struct json *revision_cell(const struct table_row *row, const char *column)
{
	if (streq(column, "Revision"))
		return cell_int(row, "revision");
	if (!streq(column, "Controller"))
		return NULL;
	JSON_FOR_EACH_ITEM(o, json_path(row->doc, "metadata.ownerReferences")) {
		if (!json_bool_or(json_get(o, "controller"), false))
			continue;
		const char *gv = json_str_or(json_get(o, "apiVersion"), "");
		const char *slash = strchr(gv, '/');
		char *kind = arena_strdup(row->arena, json_str_or(json_get(o, "kind"), ""));
		for (char *c = kind; *c; c++)
			if (*c >= 'A' && *c <= 'Z')
				*c = (char)(*c | 32);
		return cell_text(row, "%s%s%.*s/%s", kind, slash ? "." : "",
			slash ? (int)(slash - gv) : 0, gv, json_str_or(json_get(o, "name"), ""));
	}
	return cell_text(row, "<none>");
}

const struct kind_hooks hooks_controller_revision = {
	.group = "apps",
	.kind = "ControllerRevision",
	.prepare_create = revision_prepare_create,
	.validate_update = revision_validate_update,
	.cell = revision_cell,
};

static void template_defaults(struct hook *h, struct json *doc)
{
	struct json *pod = json_path(doc, "template.spec");
	if (pod)
		pod_spec_default(h->arena, pod);
}

static void template_validate(struct hook *h, const struct json *doc)
{
	pod_template_validate(h, json_get(doc, "template"), "template");
}

static struct json *template_cell(const struct table_row *row, const char *column)
{
	const char *member = streq(column, "Containers") ? "name"
			     : streq(column, "Images")	 ? "image"
							 : NULL;
	if (streq(column, "Pod Labels"))
		return cell_text(row, "%s",
			labels_text(row->arena, json_path(row->doc, "template.metadata.labels"),
				"<none>"));
	if (!member)
		return NULL;
	const char *text = "";
	JSON_FOR_EACH_ITEM(c, json_path(row->doc, "template.spec.containers"))
		text = arena_printf(row->arena, "%s%s%s", text, *text ? "," : "",
			json_str_or(json_get(c, member), ""));
	return cell_text(row, "%s", text);
}

const struct kind_hooks hooks_pod_template = {
	.group = "",
	.kind = "PodTemplate",
	.set_defaults = template_defaults,
	.validate = template_validate,
	.cell = template_cell,
};

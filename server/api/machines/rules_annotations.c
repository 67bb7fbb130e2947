/* rules_annotations.c - hanok's own annotations of an instance: what its node would refuse later is
 * refused here. */
#include "server/api/machines/rules.h"

#include "lib/object/machine_annotations.h"

static bool is_named(const struct json *list, const char *name)
{
	JSON_FOR_EACH_ITEM(it, list)
		if (streq(json_str(json_get(it, "name")), name))
			return true;
	return false;
}

static void check_io_limits(struct hook *h, const struct json *template, const char *key,
	const struct json *value, const char *field)
{
	const char *disk = key + strlen(MACHINE_IO_LIMITS_ANNOTATION);
	const struct json *spec = json_get(template, "spec");
	struct machine_io_limits limits;
	struct err err = ERR_INIT;

	/* A volume without a disk is one. */
	if (!is_named(json_path(spec, "domain.devices.disks"), disk) &&
		!is_named(json_get(spec, "volumes"), disk))
		field_error(h->errors, FIELD_NOT_FOUND, field, json_new_string(h->arena, disk),
			"there is no disk '%.64s': behind " MACHINE_IO_LIMITS_ANNOTATION
			" must be the name of one",
			disk);
	if (machine_io_limits_read(json_str_or(value, ""), &limits, &err) < 0)
		invalid(h, field, value, "%s", err.msg);
}

void machine_rules_annotations(struct hook *h, const struct json *template, const char *at)
{
	const char *all_at = at(h, "%s%smetadata.annotations", at, *at ? "." : "");
	const struct json *was = json_path(h->old, all_at);

	JSON_FOR_EACH_MEMBER(m, json_path(template, "metadata.annotations")) {
		const char *field = at_key(h, all_at, m->name);
		struct err err = ERR_INIT;
		int64_t bytes;
		int r = 0;

		/* What is stored is to go on, and end. */
		if (json_equal(json_get(was, m->name), m->value))
			continue;
		if (str_has_prefix(m->name, MACHINE_IO_LIMITS_ANNOTATION))
			check_io_limits(h, template, m->name, m->value, field);
		else if (streq(m->name, MACHINE_ON_CRASH_ANNOTATION))
			r = machine_on_crash_read(json_str_or(m->value, ""), &err);
		else if (streq(m->name, MACHINE_SWAP_ANNOTATION))
			r = machine_swap_read(m->value, &bytes, &err);
		if (r < 0)
			invalid(h, field, m->value, "%s", err.msg);
	}
}

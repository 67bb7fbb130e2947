#include "server/controllers/snapshots/clone_patches.h"

#include "lib/object/schema_build.h"

#define FILTERS_MAX 64

static void push(
	struct arena *a, struct json *list, const char *op, const char *path, struct json *value)
{
	struct json *one = json_new_object(a);

	json_set_str(a, one, "op", op);
	json_set_str(a, one, "path", path);
	if (value)
		json_set(a, one, "value", value);
	json_push(a, list, json_new_string(a, json_text(a, one)));
}

static void remove_if_there(struct arena *a, struct json *list, const struct json *vm,
	const char *dotted, const char *path)
{
	if (json_path(vm, dotted))
		push(a, list, "remove", path, NULL);
}

static void patch_interfaces(
	struct arena *a, struct json *list, const struct json *clone, const struct json *vm)
{
	const struct json *new = json_path(clone, "spec.newMacAddresses");
	int i = 0;

	JSON_FOR_EACH_ITEM(it, json_path(vm, "spec.template.spec.domain.devices.interfaces")) {
		const char *path = arena_printf(
			a, "/spec/template/spec/domain/devices/interfaces/%d/macAddress", i++);
		const char *name = json_str_or(json_get(it, "name"), "");
		const char *mac = json_str(json_get(new, name));

		if (mac && *mac)
			push(a, list, "add", path, json_new_string(a, mac));
		else if (json_get(it, "macAddress"))
			push(a, list, "remove", path, NULL);
	}
}

static void patch_identity(
	struct arena *a, struct json *list, const struct json *clone, const struct json *vm)
{
	const char *serial = json_path_str(clone, "spec.newSMBiosSerial");

	remove_if_there(a, list, vm, "spec.template.spec.domain.firmware.uuid",
		"/spec/template/spec/domain/firmware/uuid");
	remove_if_there(a, list, vm, "spec.template.spec.hostname", "/spec/template/spec/hostname");
	if (!serial || !*serial) {
		remove_if_there(a, list, vm, "spec.template.spec.domain.firmware.serial",
			"/spec/template/spec/domain/firmware/serial");
		return;
	}
	if (!json_path(vm, "spec.template.spec.domain.firmware"))
		push(a, list, "add", "/spec/template/spec/domain/firmware", json_new_object(a));
	push(a, list, "add", "/spec/template/spec/domain/firmware/serial",
		json_new_string(a, serial));
}

/* A key as a part of a JSON pointer (RFC 6901). */
static const char *pointer_part(struct arena *a, const char *key)
{
	_cleanup_(buf_finish) struct buf out = BUF_INIT;

	for (; *key; key++) {
		if (*key == '~' || *key == '/')
			buf_add_str(&out, *key == '~' ? "~0" : "~1");
		else
			buf_add_char(&out, *key);
	}
	return arena_strdup(a, out.data ? out.data : "");
}

struct filter {
	const struct schema_regex *regex; /* NULL = all */
	bool negated;
};

static bool matches(const struct filter *f, const char *key)
{
	size_t steps = 0;

	return !f->regex || schema_regex_matches(f->regex, key, strlen(key), &steps) == 1;
}

/* What "!" takes away counts more than what the others let through. */
static bool passes(const struct filter *filters, size_t count, const char *key)
{
	bool in = false;

	for (size_t i = 0; i < count; i++)
		if (!filters[i].negated && matches(&filters[i], key))
			in = true;
	for (size_t i = 0; i < count; i++)
		if (filters[i].negated && matches(&filters[i], key))
			in = false;
	return in;
}

static int patch_map(struct arena *a, struct json *list, const struct json *map,
	const struct json *filters, const char *path, struct err *err)
{
	schema_regexes regexes = {0};
	struct filter all[FILTERS_MAX];
	size_t count = 0;
	int r = 0;

	if (!filters)
		return 0;
	JSON_FOR_EACH_ITEM(it, filters) {
		const char *text = json_str_or(it, "");
		struct filter *f = &all[count];

		if (count == FILTERS_MAX) {
			r = err_set(err, -EINVAL, "%s: more than %d filters", path, FILTERS_MAX);
			break;
		}
		*f = (struct filter){.negated = *text == '!'};
		text += f->negated;
		if (!streq(text, "*"))
			r = schema_regex_compile(&regexes, text, &f->regex, err);
		if (r < 0) {
			err_context(err, r, "%s: filter '%s'", path, text);
			break;
		}
		count++;
	}
	JSON_FOR_EACH_MEMBER(m, map)
		if (r == 0 && !passes(all, count, m->name))
			push(a, list, "remove",
				arena_printf(a, "%s/%s", path, pointer_part(a, m->name)), NULL);
	schema_regexes_finish(&regexes);
	return r;
}

/* The restore takes these away itself. */
static struct json *without_marks(struct arena *a, const struct json *annotations)
{
	static const char *const marks[] = {LAST_RESTORE_ANNOTATION, CURRENT_ANNOTATION,
		"kubectl.kubernetes.io/last-applied-configuration"};
	struct json *rest = annotations ? json_copy(a, annotations) : NULL;

	for (size_t i = 0; rest && i < ARRAY_LEN(marks); i++)
		json_remove(rest, marks[i]);
	return rest;
}

int clone_patches(struct arena *a, const struct json *clone, const struct json *vm,
	struct json **ret, struct err *err)
{
	struct json *list = json_new_array(a);
	int r;

	patch_interfaces(a, list, clone, vm);
	patch_identity(a, list, clone, vm);
	r = patch_map(a, list, json_path(vm, "metadata.labels"),
		json_path(clone, "spec.labelFilters"), "/metadata/labels", err);
	if (r == 0)
		r = patch_map(a, list, without_marks(a, json_path(vm, "metadata.annotations")),
			json_path(clone, "spec.annotationFilters"), "/metadata/annotations", err);
	if (r == 0)
		r = patch_map(a, list, json_path(vm, "spec.template.metadata.labels"),
			json_path(clone, "spec.template.labelFilters"),
			"/spec/template/metadata/labels", err);
	if (r == 0)
		r = patch_map(a, list, json_path(vm, "spec.template.metadata.annotations"),
			json_path(clone, "spec.template.annotationFilters"),
			"/spec/template/metadata/annotations", err);
	JSON_FOR_EACH_ITEM(it, json_path(clone, "spec.patches"))
		json_push(a, list, json_copy(a, it));
	if (r == 0)
		*ret = list;
	return r;
}

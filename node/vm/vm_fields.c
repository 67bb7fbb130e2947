#include "node/vm/vm_fields.h"

#include "node/pod/pod_env.h"

/* What is the instance's from the start: the seed is made before the guest has an address. */
static bool is_known(const char *path)
{
	return str_has_prefix(path, "metadata.");
}

static bool is_plain(const char *path)
{
	struct str rest = str_from(path), part;

	if (!*path || *path == '/')
		return false;
	while (str_split(&rest, '/', &part))
		if (!part.size || str_eq(part, "..") || str_eq(part, "."))
			return false;
	return true;
}

int vm_fields_read(struct arena *a, const struct vm_spec *s, struct vm_disk *d, struct err *err)
{
	static const struct env_context none = {0};
	struct json *fields = json_new_object(a);

	JSON_FOR_EACH_ITEM(it, json_get(d->cloud_init, "fields")) {
		const char *path = json_str_or(json_get(it, "path"), "");
		const char *field = json_str_or(json_path(it, "fieldRef.fieldPath"), "");
		const char *value;

		if (!is_plain(path))
			return err_set(err, -EINVAL,
				"downwardAPI.fields: path '%s' must be relative, without '..'",
				path);
		if (json_get(it, "resourceFieldRef"))
			return err_set(err, -EINVAL,
				"downwardAPI.fields: '%s': resourceFieldRef is not supported: a "
				"guest has no containers",
				path);
		if (!is_known(field))
			return err_set(err, -EINVAL,
				"downwardAPI.fields: unsupported fieldPath: %s", field);
		if (env_field(a, s->object, field, &none, &value, err) < 0)
			return err_context(err, -EINVAL, "downwardAPI.fields");
		json_set_str(a, fields, path, value);
	}
	d->fields = fields;
	return 0;
}

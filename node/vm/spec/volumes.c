#include "node/vm/spec/spec_internal.h"

#include <stdio.h>

#include "lib/object/quantity.h"

#define CAPACITY_MAX_BYTES (INT64_C(64) << 40)

static int read_capacity(
	const struct json *source, const char *field, int64_t *ret, struct err *err)
{
	int64_t bytes = quantity_json_value(json_get(source, "capacity"), 0);

	if (bytes < 0 || bytes > CAPACITY_MAX_BYTES)
		return err_set(err, -EINVAL, "%s.capacity: must be between 0 and 64Ti", field);
	*ret = bytes;
	return 0;
}

/* persistentVolumeClaim, dataVolume (which makes a claim of its name), and ephemeral on top of a
 * claim.
 */
static int read_claim(
	const struct json *volume, const char *field, struct vm_disk *d, struct err *err)
{
	const struct json *ephemeral = json_path(volume, "ephemeral.persistentVolumeClaim");
	const struct json *claim =
		ephemeral ? ephemeral : json_get(volume, "persistentVolumeClaim");
	const struct json *filled = json_get(volume, "dataVolume");

	d->volume = VM_VOLUME_CLAIM;
	d->ephemeral = ephemeral != NULL;
	d->claim = json_str(filled ? json_get(filled, "name") : json_get(claim, "claimName"));
	if (!d->claim || !*d->claim)
		return err_set(err, -EINVAL, "%s.%s: Required value", field,
			filled	    ? "dataVolume.name"
			: ephemeral ? "ephemeral.persistentVolumeClaim.claimName"
				    : "persistentVolumeClaim.claimName");
	d->hotpluggable = json_bool_or(json_get(filled ? filled : claim, "hotpluggable"), false);
	if (json_bool_or(json_get(claim, "readOnly"), false) && !ephemeral)
		d->readonly = true;
	return 0;
}

int spec_read_volume(
	const struct json *volume, const char *field, struct vm_disk *d, struct err *err)
{
	static const char *const known[] = {"containerDisk", "hostDisk", "emptyDisk"};
	static const char *const seeds[] = {"cloudInitNoCloud", "cloudInitConfigDrive", "sysprep",
		"configMap", "secret", "downwardAPI", "serviceAccount"};
	const struct json *source = NULL;
	char at[256];
	size_t type;
	int r = 0;

	if (json_get(volume, "persistentVolumeClaim") || json_get(volume, "dataVolume") ||
		json_get(volume, "ephemeral"))
		return read_claim(volume, field, d, err);
	for (type = 0; type < ARRAY_LEN(seeds); type++)
		if ((source = json_get(volume, seeds[type]))) {
			d->volume = VM_VOLUME_CLOUD_INIT;
			d->seed = (enum vm_seed)type;
			d->cloud_init = source;
			d->readonly = true;
			return 0;
		}
	for (type = 0; type < ARRAY_LEN(known); type++)
		if ((source = json_get(volume, known[type])))
			break;
	if (!source) {
		const char *other = "nothing";

		JSON_FOR_EACH_MEMBER(m, volume)
			if (!streq(m->name, "name"))
				other = m->name;
		return err_set(err, -EOPNOTSUPP,
			"%s: a volume of %s is not supported by this node agent", field, other);
	}
	snprintf(at, sizeof(at), "%s.%s", field, known[type]);
	d->volume = (enum vm_volume)type;
	switch (d->volume) {
	case VM_VOLUME_CONTAINER_DISK:
		r = spec_read_image(source, at, &d->image, err);
		d->image_path = json_str(json_get(source, "path"));
		if (d->image_path && !*d->image_path)
			d->image_path = NULL;
		if (!r && d->image_path && !spec_image_path_ok(d->image_path))
			r = err_set(err, -EINVAL, "%s.path: '%s' is not an absolute path", at,
				d->image_path);
		break;
	case VM_VOLUME_HOST_DISK:
		d->host_path = json_str(json_get(source, "path"));
		d->host_create = streq(json_str(json_get(source, "type")), "DiskOrCreate");
		if (!d->host_path || !spec_image_path_ok(d->host_path))
			return err_set(err, -EINVAL, "%s.path: must be an absolute path", at);
		r = read_capacity(source, at, &d->capacity_bytes, err);
		if (!r && d->host_create && !d->capacity_bytes)
			r = err_set(err, -EINVAL,
				"%s.capacity: Required value with type DiskOrCreate", at);
		break;
	case VM_VOLUME_EMPTY_DISK:
		r = read_capacity(source, at, &d->capacity_bytes, err);
		if (!r && !d->capacity_bytes)
			r = err_set(err, -EINVAL, "%s.capacity: Required value", at);
		break;
	case VM_VOLUME_CLOUD_INIT:
	case VM_VOLUME_CLAIM:
	case VM_VOLUME_NONE:
		break; /* not in that table */
	}
	return r;
}

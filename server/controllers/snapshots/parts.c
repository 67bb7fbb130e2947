#include "server/controllers/snapshots/parts.h"

bool finalizer_set(struct sync *s, struct object *o, const struct json *doc, const char *finalizer,
	bool wanted)
{
	struct arena *a = &s->arena;
	struct json *list = json_new_array(a), *patch = json_new_object(a);

	if (meta_has_finalizer(doc, finalizer) == wanted)
		return false;
	JSON_FOR_EACH_ITEM(f, json_path(doc, "metadata.finalizers"))
		if (!streq(json_str(f), finalizer))
			json_push(a, list, f);
	if (wanted)
		json_push(a, list, json_new_string(a, finalizer));
	json_path_set(a, patch, "metadata.finalizers", json_count(list) ? list : json_new_null(a));
	sync_patch(s, o, NULL, patch, NULL, NULL);
	return true;
}

struct json *reason_condition(struct arena *a, const struct json *conditions, const char *type,
	const char *status, const char *reason, int64_t now_ns)
{
	struct condition c = {type, status, reason, NULL, false};

	return condition_set(a, conditions, &c, now_ns);
}

const char *annotation_of(const struct json *doc, const char *name)
{
	return json_str(json_get(json_path(doc, "metadata.annotations"), name));
}

void annotation_patch(struct arena *a, struct json *patch, const char *name, const char *value)
{
	struct json *all = json_object_at(a, json_object_at(a, patch, "metadata"), "annotations");

	json_set(a, all, name, value ? json_new_string(a, value) : json_new_null(a));
}

const char *volume_claim(const struct json *volume)
{
	const char *name = json_path_str(volume, "persistentVolumeClaim.claimName");

	if (!name)
		name = json_path_str(volume, "dataVolume.name");
	return name ? name : json_path_str(volume, "memoryDump.claimName");
}

bool vm_is_memory_dump(const struct json *volume)
{
	return json_get(volume, "memoryDump") != NULL;
}

const struct json *vm_volumes(const struct json *vm)
{
	return json_path(vm, "spec.template.spec.volumes");
}

bool snapshot_ready(const struct json *doc)
{
	return json_path_bool(doc, "status.readyToUse", false);
}

bool snapshot_ended(const struct json *doc)
{
	const char *phase = json_str_or(json_path(doc, "status.phase"), "");

	return streq(phase, "Succeeded") || streq(phase, "Failed");
}

const char *snapshot_content_name(
	struct arena *a, const struct object *snapshot, const struct json *doc)
{
	const char *name = json_path_str(doc, "status.virtualMachineSnapshotContentName");

	return name ? name : arena_printf(a, "vmsnapshot-content-%s", snapshot->uid);
}

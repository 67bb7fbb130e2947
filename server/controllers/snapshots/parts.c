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

int64_t time_after(const struct json *since, int64_t wait_ns)
{
	int64_t at_ns;

	return __builtin_add_overflow(meta_time_ns(since), wait_ns, &at_ns) ? INT64_MAX : at_ns;
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

bool claim_is_populated(
	struct arena *a, struct informer *data_volumes, const char *ns, const struct json *claim)
{
	JSON_FOR_EACH_ITEM(ref, json_path(claim, "metadata.ownerReferences")) {
		struct object *o = streq(json_str(json_get(ref, "kind")), "DataVolume")
					   ? informer_get(data_volumes, ns,
						     json_str_or(json_get(ref, "name"), ""))
					   : NULL;

		if (o && !streq(json_path_str(object_doc(o, a), "status.phase"), "Succeeded"))
			return false;
	}
	return true;
}

/* Seeds are made anew, the same; what is ephemeral is not what it was. */
static bool is_written_and_lost(const struct json *volume)
{
	static const char *const kinds[] = {"containerDisk", "emptyDisk", "ephemeral", "hostDisk"};

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (json_get(volume, kinds[i]))
			return true;
	return false;
}

static bool is_cdrom(const struct json *vm, const char *volume)
{
	JSON_FOR_EACH_ITEM(d, json_path(vm, "spec.template.spec.domain.devices.disks"))
		if (streq(json_str(json_get(d, "name")), volume))
			return json_get(d, "cdrom") != NULL;
	return false;
}

const char *vm_memory_useless(struct arena *a, const struct json *vm)
{
	bool has_claim = false;

	JSON_FOR_EACH_ITEM(v, vm_volumes(vm)) {
		const char *name = json_str_or(json_get(v, "name"), "");

		has_claim = has_claim || (volume_claim(v) && !vm_is_memory_dump(v));
		if (is_written_and_lost(v) && !is_cdrom(vm, name))
			return arena_printf(a,
				"volume \"%s\" is in no snapshot: the guest could not go on "
				"without what it wrote there",
				name);
	}
	return has_claim ? NULL : "the machine has no persistent disk";
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

#include "server/controllers/machines/vm_revision.h"

#include <inttypes.h>

#include "server/controllers/meta.h"

#define PREFIX "revision-start-vm-"

const char *vm_revision_name(struct arena *a, const char *uid, int64_t generation)
{
	return arena_printf(a, PREFIX "%s-%" PRId64, uid, generation);
}

bool vm_revision_is(const char *name, const char *uid)
{
	size_t prefix = sizeof(PREFIX) - 1, size = strlen(uid);

	return !strncmp(name, PREFIX, prefix) && !strncmp(name + prefix, uid, size) &&
	       name[prefix + size] == '-';
}

struct json *vm_revision_new(struct arena *a, const struct object *vm, const struct json *doc,
	struct json *const refs[SIZE_ROLES])
{
	static const char *const matchers[SIZE_ROLES] = {
		[ROLE_INSTANCETYPE] = "instancetype", [ROLE_PREFERENCE] = "preference"};
	int64_t generation = json_path_int(doc, "metadata.generation", 1);
	struct json *r = json_new_object(a), *meta = json_object_at(a, r, "metadata");
	struct json *spec = json_copy(a, json_get(doc, "spec"));

	json_set_str(a, r, "apiVersion", "apps/v1");
	json_set_str(a, r, "kind", "ControllerRevision");
	json_set_str(a, meta, "name", vm_revision_name(a, vm->uid, generation));
	json_set_str(a, meta, "namespace", vm->namespace);
	json_push(a, json_array_at(a, meta, "ownerReferences"), owner_reference(a, vm));
	for (size_t i = 0; i < SIZE_ROLES; i++) {
		const char *name = json_path_str(refs[i], "controllerRevisionRef.name");
		struct json *matcher = json_get(spec, matchers[i]);

		if (name && matcher)
			json_set_str(a, matcher, "revisionName", name);
	}
	json_set(a, json_object_at(a, r, "data"), "spec", spec);
	json_set_int(a, r, "revision", generation);
	return r;
}

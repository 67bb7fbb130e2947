#include "server/controllers/machines/pool_template.h"

#include <inttypes.h>

int64_t pool_index(const char *pool, const char *machine)
{
	size_t size = strlen(pool);
	uint64_t index;
	if (!str_has_prefix(machine, pool) || machine[size] != '-' ||
		parse_u64(str_from(machine + size + 1), &index) < 0 || index > INT32_MAX)
		return -1;
	return (int64_t)index;
}

const char *pool_revision(struct arena *a, const struct object *pool, const struct json *doc)
{
	_cleanup_(buf_finish) struct buf text = BUF_INIT;
	const struct json *template = json_path(doc, "spec.virtualMachineTemplate");
	const struct json *naming = json_path(doc, "spec.nameGeneration");
	if (template)
		json_write(&text, template);
	if (naming)
		json_write(&text, naming);
	return arena_printf(a, "%s-%010" PRIx64, pool->name,
		fnv1a_64(text.data ? text.data : "", text.size) & 0xffffffffff);
}

static void append(struct arena *a, struct json *object, const char *member, int64_t index)
{
	const char *name = json_str(json_get(object, member));
	if (name && *name)
		json_set(a, object, member, json_new_printf(a, "%s-%" PRId64, name, index));
}

/* Names of the templates' data volumes, in claims and data volumes of the machine. */
static void rename_volume(struct arena *a, const struct json *templates, struct json *source,
	const char *member, int64_t index)
{
	JSON_FOR_EACH_ITEM(t, templates)
		if (source && streq(json_path_str(t, "metadata.name"),
				      json_str_or(json_get(source, member), ""))) {
			append(a, source, member, index);
			return;
		}
}

static void number_volumes(
	struct arena *a, const struct json *pool_spec, struct json *spec, int64_t index)
{
	static const struct {
		const char *path, *member;
		bool secret;
	} refs[] = {
		{"configMap", "name", false},
		{"secret", "secretName", true},
		{"cloudInitNoCloud.secretRef", "name", true},
		{"cloudInitNoCloud.networkDataSecretRef", "name", true},
		{"cloudInitConfigDrive.secretRef", "name", true},
		{"cloudInitConfigDrive.networkDataSecretRef", "name", true},
		{"sysprep.secret", "name", true},
		{"sysprep.configMap", "name", false},
	};
	bool secrets = json_path_bool(pool_spec, "nameGeneration.appendIndexToSecretRefs", false);
	bool maps = json_path_bool(pool_spec, "nameGeneration.appendIndexToConfigMapRefs", false);
	const struct json *templates =
		json_path(pool_spec, "virtualMachineTemplate.spec.dataVolumeTemplates");
	JSON_FOR_EACH_ITEM(v, json_path(spec, "template.spec.volumes")) {
		rename_volume(a, templates, json_get(v, "dataVolume"), "name", index);
		rename_volume(
			a, templates, json_get(v, "persistentVolumeClaim"), "claimName", index);
		for (size_t i = 0; i < ARRAY_LEN(refs); i++)
			if (refs[i].secret ? secrets : maps)
				append(a, json_path(v, refs[i].path), refs[i].member, index);
	}
	JSON_FOR_EACH_ITEM(t, json_get(spec, "dataVolumeTemplates"))
		append(a, json_get(t, "metadata"), "name", index);
}

struct json *pool_machine(struct arena *a, const struct object *pool, const struct json *doc,
	const char *revision, int64_t index)
{
	const struct json *pool_spec = json_get(doc, "spec");
	struct json *from = json_copy(a, json_get(pool_spec, "virtualMachineTemplate"));
	struct json *vm = json_new_object(a), *meta = json_object_at(a, vm, "metadata");
	struct json *spec = from ? json_object_at(a, from, "spec") : json_new_object(a);
	json_set_str(a, vm, "apiVersion", "kubevirt.io/v1");
	json_set_str(a, vm, "kind", "VirtualMachine");
	json_set(a, meta, "name", json_new_printf(a, "%s-%" PRId64, pool->name, index));
	json_set_str(a, meta, "namespace", pool->namespace);
	if (json_path(from, "metadata.annotations"))
		json_set(a, meta, "annotations", json_path(from, "metadata.annotations"));
	if (json_path(from, "metadata.labels"))
		json_set(a, meta, "labels", json_path(from, "metadata.labels"));
	json_set_str(a, json_object_at(a, meta, "labels"), POOL_REVISION_LABEL, revision);
	number_volumes(a, pool_spec, spec, index);
	struct json *template = json_object_at(a, spec, "template");
	json_set_str(a, json_object_at(a, json_object_at(a, template, "metadata"), "labels"),
		POOL_REVISION_LABEL, revision);
	json_set(a, vm, "spec", spec);
	return vm;
}

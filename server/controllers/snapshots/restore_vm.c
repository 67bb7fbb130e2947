#include "server/controllers/snapshots/restore_vm.h"

#include "lib/object/patch.h"

static const struct json *kept_machine(const struct json *content)
{
	return json_path(content, "spec.source.virtualMachine");
}

static const struct json *find_by_name(
	const struct json *list, const char *member, const char *name)
{
	JSON_FOR_EACH_ITEM(it, list)
		if (streq(json_path_str(it, member), name))
			return it;
	return NULL;
}

static const struct json *template_of(const struct json *vm, const char *data_volume)
{
	return find_by_name(
		json_path(vm, "spec.dataVolumeTemplates"), "metadata.name", data_volume);
}

const char *restore_mark(struct arena *a, const struct json *restore)
{
	return arena_printf(a, "%s-%s", json_str_or(json_path(restore, "metadata.name"), ""),
		json_str_or(json_path(restore, "metadata.uid"), ""));
}

/* ---- claims ---- */

const char *restore_claim_name(
	struct arena *a, const struct json *restore, const char *volume, const char *old_claim)
{
	const struct json *given = find_by_name(
		json_path(restore, "spec.volumeRestoreOverrides"), "volumeName", volume);
	const char *name = json_str(json_get(given, "restoreName"));
	const char *policy = json_str_or(json_path(restore, "spec.volumeRestorePolicy"), "");

	if (name && *name)
		return name;
	if (streq(policy, "InPlace"))
		return old_claim;
	if (streq(policy, "PrefixTargetName"))
		return arena_printf(a, "%s-%s",
			json_str_or(json_path(restore, "spec.target.name"), ""), volume);
	return arena_printf(
		a, "restore-%s-%s", json_str_or(json_path(restore, "metadata.uid"), ""), volume);
}

struct json *restore_list(struct arena *a, const struct json *restore, const struct json *content)
{
	const struct json *vm = kept_machine(content);
	struct json *list = json_new_array(a);

	JSON_FOR_EACH_ITEM(b, json_path(content, "spec.volumeBackups")) {
		const char *volume = json_str_or(json_get(b, "volumeName"), "");
		const char *old =
			json_str_or(json_path(b, "persistentVolumeClaim.metadata.name"), "");
		const struct json *v = find_by_name(vm_volumes(vm), "name", volume);
		struct json *item = json_new_object(a);

		if (vm_is_memory_dump(v))
			continue;
		const char *name = restore_claim_name(a, restore, volume, old);
		const char *data_volume = json_path_str(v, "dataVolume.name");
		json_set_str(a, item, "volumeName", volume);
		json_set_str(a, item, "persistentVolumeClaim", name);
		json_set_str(a, item, "volumeSnapshotName",
			json_str_or(json_get(b, "volumeSnapshotName"), ""));
		if (data_volume && template_of(vm, data_volume))
			json_set_str(a, item, "dataVolumeName", name);
		json_push(a, list, item);
	}
	return list;
}

/* What said how the old claim was bound and filled is not true of the new one. */
static bool goes_over(const char *annotation)
{
	static const char *const others[] = {"pv.kubernetes.io", "volume.beta.kubernetes.io",
		"cdi.kubevirt.io", "volume.kubernetes.io", "k8s.io/CloneRequest", "k8s.io/CloneOf",
		"hanok.io/disk-"};

	for (size_t i = 0; i < ARRAY_LEN(others); i++)
		if (str_has_prefix(annotation, others[i]))
			return false;
	return true;
}

static void copy_members(struct arena *a, struct json *to, const struct json *from)
{
	JSON_FOR_EACH_MEMBER(m, from)
		json_set(a, to, m->name, json_copy(a, m->value));
}

static void set_claim_metadata(struct arena *a, struct json *meta, const struct json *restore,
	const struct json *content, const struct json *old, const struct json *item)
{
	const struct json *source = kept_machine(content);
	const char *volume = json_str_or(json_get(item, "volumeName"), "");
	const struct json *given = find_by_name(
		json_path(restore, "spec.volumeRestoreOverrides"), "volumeName", volume);
	struct json *labels = json_object_at(a, meta, "labels");
	struct json *annotations = json_object_at(a, meta, "annotations");

	copy_members(a, labels, json_path(old, "metadata.labels"));
	json_set_str(a, labels, RESTORE_SOURCE_LABEL,
		json_str_or(json_path(source, "metadata.name"), ""));
	json_set_str(a, labels, RESTORE_SOURCE_NAMESPACE_LABEL,
		json_str_or(json_path(source, "metadata.namespace"), ""));
	JSON_FOR_EACH_MEMBER(m, json_path(old, "metadata.annotations"))
		if (goes_over(m->name))
			json_set(a, annotations, m->name, json_copy(a, m->value));
	json_set_str(a, annotations, RESTORE_NAME_ANNOTATION,
		json_str_or(json_path(restore, "metadata.name"), ""));
	json_set_str(a, annotations, LAST_RESTORE_ANNOTATION, restore_mark(a, restore));
	copy_members(a, labels, json_get(given, "labels"));
	copy_members(a, annotations, json_get(given, "annotations"));
}

struct json *restore_claim(struct arena *a, const struct json *restore, const struct json *content,
	const struct json *item, const char *mode)
{
	static const char *const copied[] = {
		"accessModes", "resources", "storageClassName", "volumeMode"};
	const char *volume = json_str_or(json_get(item, "volumeName"), "");
	const struct json *old = json_get(
		find_by_name(json_path(content, "spec.volumeBackups"), "volumeName", volume),
		"persistentVolumeClaim");
	struct json *doc = json_new_object(a), *meta = json_object_at(a, doc, "metadata");
	struct json *spec = json_object_at(a, doc, "spec"), *annotations;
	const char *data_volume = json_str(json_get(item, "dataVolumeName"));
	const char *node = json_str(json_get(json_path(content, "metadata.labels"), NODE_LABEL));

	json_set_str(a, doc, "apiVersion", "v1");
	json_set_str(a, doc, "kind", "PersistentVolumeClaim");
	json_set_str(a, meta, "name", json_str_or(json_get(item, "persistentVolumeClaim"), ""));
	json_set_str(
		a, meta, "namespace", json_str_or(json_path(restore, "metadata.namespace"), ""));
	set_claim_metadata(a, meta, restore, content, old, item);
	annotations = json_get(meta, "annotations");
	/* Where the disk comes from says where it will be. */
	json_set_str(a, annotations, DISK_CONTENT_ANNOTATION,
		json_str_or(json_path(content, "metadata.name"), ""));
	json_set_str(a, annotations, DISK_VOLUME_ANNOTATION, volume);
	if (mode)
		json_set_str(a, annotations, DISK_MODE_ANNOTATION, mode);
	if (node)
		json_set_str(a, annotations, SELECTED_NODE_ANNOTATION, node);
	json_set_str(a, annotations, PROVISIONER_ANNOTATION, LOCAL_PROVISIONER);
	if (data_volume)
		json_set_str(a, annotations, POPULATED_FOR_ANNOTATION, data_volume);
	for (size_t i = 0; i < ARRAY_LEN(copied); i++) {
		const struct json *v = json_path(old, "spec");
		v = json_get(v, copied[i]);
		if (v)
			json_set(a, spec, copied[i], json_copy(a, v));
	}
	return doc;
}

/* ---- the machine ---- */

static struct json *restored_volume(
	struct arena *a, const struct json *volume, const struct json *item)
{
	const char *name = json_str_or(json_get(volume, "name"), "");
	const char *claim = json_str_or(json_get(item, "persistentVolumeClaim"), "");
	const char *data_volume = json_str(json_get(item, "dataVolumeName"));
	struct json *v = json_copy(a, volume);

	if (json_is(json_get(v, "persistentVolumeClaim"), JSON_OBJECT)) {
		json_set_str(a, json_get(v, "persistentVolumeClaim"), "claimName", claim);
		return v;
	}
	if (data_volume && json_is(json_get(v, "dataVolume"), JSON_OBJECT)) {
		json_set_str(a, json_get(v, "dataVolume"), "name", data_volume);
		return v;
	}
	/* A DataVolume that the machine did not make stays what it is; here is a claim of its own.
	 */
	v = json_new_object(a);
	json_set_str(a, v, "name", name);
	json_set_str(a, json_object_at(a, v, "persistentVolumeClaim"), "claimName", claim);
	return v;
}

static void restore_volumes(struct arena *a, struct json *spec, const struct json *items)
{
	const struct json *templates = json_get(spec, "dataVolumeTemplates");
	struct json *template = json_path(spec, "template.spec"), *volumes = json_new_array(a);
	struct json *new_templates = json_new_array(a);

	JSON_FOR_EACH_ITEM(t, templates) {
		struct json *copy = json_copy(a, t);
		const char *old = json_path_str(t, "metadata.name");

		JSON_FOR_EACH_ITEM(v, json_get(template, "volumes")) {
			const struct json *item =
				find_by_name(items, "volumeName", json_str(json_get(v, "name")));
			const char *new = json_str(json_get(item, "dataVolumeName"));
			if (new &&old && streq(json_path_str(v, "dataVolume.name"), old))
				json_set_str(a, json_get(copy, "metadata"), "name", new);
		}
		json_push(a, new_templates, copy);
	}
	JSON_FOR_EACH_ITEM(v, json_get(template, "volumes")) {
		const struct json *item =
			find_by_name(items, "volumeName", json_str(json_get(v, "name")));
		if (!vm_is_memory_dump(v))
			json_push(a, volumes, item ? restored_volume(a, v, item) : v);
	}
	if (json_get(template, "volumes"))
		json_set(a, template, "volumes", volumes);
	if (templates)
		json_set(a, spec, "dataVolumeTemplates", new_templates);
}

/* ---- disks of other namespaces ---- */

/* Another namespace that a DataVolume of this spec would be copied from; NULL = none. */
static const char *foreign_source(const struct json *spec, const char *home)
{
	const char *from[] = {json_path_str(spec, "source.pvc.namespace"),
		json_path_str(spec, "source.snapshot.namespace"),
		json_path_str(spec, "sourceRef.namespace")};

	for (size_t i = 0; i < ARRAY_LEN(from); i++)
		if (from[i] && *from[i] && !streq(from[i], home))
			return from[i];
	return NULL;
}

static bool has_source(const struct json *templates, const struct json *spec)
{
	static const char *const members[] = {"source", "sourceRef"};

	JSON_FOR_EACH_ITEM(t, templates) {
		const struct json *other = json_get(t, "spec");
		bool same = true;

		for (size_t i = 0; i < ARRAY_LEN(members); i++)
			same = same &&
			       json_equal(json_get(other, members[i]), json_get(spec, members[i]));
		if (same)
			return true;
	}
	return false;
}

/* Its disk is the snapshot's already: that is what it is a copy of. */
static void set_snapshot_source(
	struct arena *a, struct json *spec, const char *home, const struct json *item)
{
	struct json *source = json_new_object(a), *from = json_object_at(a, source, "snapshot");

	json_set_str(a, from, "namespace", home);
	json_set_str(a, from, "name", json_str_or(json_get(item, "volumeSnapshotName"), ""));
	json_set(a, spec, "source", source);
	json_remove(spec, "sourceRef");
}

/* Who may write contents of snapshots need have no rights where other disks are, and the loops
 * that make DataVolumes have all. */
static int mend_sources(struct arena *a, const struct json *restore, const struct json *asked,
	struct json *vm, struct err *err)
{
	const char *home = json_str_or(json_path(restore, "metadata.namespace"), "");

	JSON_FOR_EACH_ITEM(t, json_path(vm, "spec.dataVolumeTemplates")) {
		struct json *spec = json_get(t, "spec");
		const char *from = foreign_source(spec, home);
		const char *name = json_str_or(json_path(t, "metadata.name"), "");
		const struct json *item =
			find_by_name(json_path(restore, "status.restores"), "dataVolumeName", name);

		if (!from || has_source(asked, spec))
			continue;
		if (!item)
			return err_set(err, -EINVAL,
				"the machine's DataVolume \"%s\" is not in the snapshot, and would "
				"take a disk out of namespace %s: of no machine that is here now "
				"anybody was asked for his rights there. Make that DataVolume by "
				"hand, or have the machine that the snapshot is of",
				name, from);
		set_snapshot_source(a, spec, home, item);
	}
	return 0;
}

/* Nobody asked the one who wrote the patches either. */
static int check_sources(const struct json *restore, const struct json *before,
	const struct json *vm, struct err *err)
{
	const char *home = json_str_or(json_path(restore, "metadata.namespace"), "");

	JSON_FOR_EACH_ITEM(t, json_path(vm, "spec.dataVolumeTemplates")) {
		const struct json *spec = json_get(t, "spec");
		const char *from = foreign_source(spec, home);

		if (from && !has_source(before, spec))
			return err_set(err, -EINVAL,
				"spec.patches: dataVolumeTemplates of a clone can't take disks out "
				"of namespace %s",
				from);
	}
	return 0;
}

/* Upstream's patches are JSON texts, each an operation. */
static int apply_patches(struct arena *a, const struct json *restore, struct json *vm,
	struct json **ret, struct err *err)
{
	struct json *operations = json_new_array(a);
	struct status st = {0};
	const char *name = json_str_or(json_path(vm, "metadata.name"), "");

	*ret = vm;
	const struct json *before = json_copy(a, json_path(vm, "spec.dataVolumeTemplates"));
	JSON_FOR_EACH_ITEM(p, json_path(restore, "spec.patches")) {
		const char *text = json_str_or(p, "");
		struct json *one;
		int r = json_parse(a, text, strlen(text), NULL, &one, err);

		if (r < 0)
			return err_context(err, r,
				"error patching VM %s: cannot decode vm patches %s", name, text);
		json_push(a, operations, one);
	}
	if (json_count(operations) && patch_json(a, vm, operations, ret, &st) != 0)
		return err_set(err, -EINVAL,
			"error patching VM %s: failed to apply patch for VM: %s", name,
			json_str_or(json_get(st.doc, "message"), ""));
	return check_sources(restore, before, *ret, err);
}

static struct json *new_metadata(
	struct arena *a, const struct json *restore, const struct json *kept)
{
	static const char *const own[] = {LAST_RESTORE_ANNOTATION, CURRENT_ANNOTATION,
		"kubectl.kubernetes.io/last-applied-configuration"};
	struct json *meta = json_new_object(a);

	json_set_str(a, meta, "name", json_str_or(json_path(restore, "spec.target.name"), ""));
	json_set_str(
		a, meta, "namespace", json_str_or(json_path(restore, "metadata.namespace"), ""));
	if (json_path(kept, "metadata.labels"))
		json_set(a, meta, "labels", json_copy(a, json_path(kept, "metadata.labels")));
	copy_members(
		a, json_object_at(a, meta, "annotations"), json_path(kept, "metadata.annotations"));
	for (size_t i = 0; i < ARRAY_LEN(own); i++)
		json_remove(json_get(meta, "annotations"), own[i]);
	return meta;
}

/* Who runs it, and whether, stays as it is; a new one waits for its user. */
static void set_strategy(struct arena *a, struct json *spec, const struct json *target)
{
	const struct json *running = json_path(target, "spec.running");

	if (!target) {
		bool old_form = json_get(spec, "running") != NULL;
		json_remove(spec, "running");
		json_remove(spec, "runStrategy");
		if (old_form)
			json_set_bool(a, spec, "running", false);
		else
			json_set_str(a, spec, "runStrategy", "Halted");
		return;
	}
	json_remove(spec, "running");
	json_remove(spec, "runStrategy");
	if (running)
		json_set_bool(a, spec, "running", false);
	else
		json_set_str(a, spec, "runStrategy",
			json_str_or(json_path(target, "spec.runStrategy"), "Halted"));
}

int restore_machine(struct arena *a, const struct json *restore, const struct json *content,
	const struct json *target, const struct json *asked, struct json **ret, struct err *err)
{
	const struct json *kept = kept_machine(content);
	struct json *vm = target ? json_copy(a, target) : json_new_object(a);
	struct json *spec = json_copy(a, json_get(kept, "spec"));

	if (!json_is(json_path(spec, "template.spec"), JSON_OBJECT))
		return err_set(err, -EINVAL, "unexpected snapshot source");
	if (!target) {
		json_set_str(a, vm, "apiVersion", "kubevirt.io/v1");
		json_set_str(a, vm, "kind", "VirtualMachine");
		json_set(a, vm, "metadata", new_metadata(a, restore, kept));
	}
	JSON_FOR_EACH_ITEM(v, target ? NULL : vm_volumes(kept)) {
		const char *name = json_str_or(json_get(v, "name"), "");

		/* Two machines would write to one disk. */
		if (volume_claim(v) && !vm_is_memory_dump(v) &&
			!find_by_name(json_path(restore, "status.restores"), "volumeName", name))
			return err_set(err, -EINVAL,
				"volume \"%s\" is not in the snapshot: a new VirtualMachine can't "
				"have its disk",
				name);
	}
	json_remove(vm, "status");
	set_strategy(a, spec, target);
	restore_volumes(a, spec, json_path(restore, "status.restores"));
	json_set(a, vm, "spec", spec);
	if (mend_sources(a, restore, asked, vm, err) < 0)
		return -EINVAL;
	struct json *annotations =
		json_object_at(a, json_object_at(a, vm, "metadata"), "annotations");
	json_set_str(a, annotations, LAST_RESTORE_ANNOTATION, restore_mark(a, restore));
	/* A machine that goes back is the one of before, to its guest too. */
	if (target) {
		json_set_str(a, annotations, CURRENT_ANNOTATION,
			json_str_or(json_path(restore, "spec.virtualMachineSnapshotName"), ""));
		*ret = vm;
		return 0;
	}
	return apply_patches(a, restore, vm, ret, err);
}

struct json *restore_data_volume(
	struct arena *a, const struct json *restore, const struct json *template)
{
	struct json *doc = json_new_object(a), *meta = json_object_at(a, doc, "metadata");
	struct json *annotations = json_object_at(a, meta, "annotations");

	json_set_str(a, doc, "apiVersion", "cdi.kubevirt.io/v1beta1");
	json_set_str(a, doc, "kind", "DataVolume");
	json_set_str(a, meta, "name", json_str_or(json_path(template, "metadata.name"), ""));
	json_set_str(
		a, meta, "namespace", json_str_or(json_path(restore, "metadata.namespace"), ""));
	copy_members(a, json_object_at(a, meta, "labels"), json_path(template, "metadata.labels"));
	copy_members(a, annotations, json_path(template, "metadata.annotations"));
	json_set_str(a, annotations, RESTORE_NAME_ANNOTATION,
		json_str_or(json_path(restore, "metadata.name"), ""));
	json_set_str(a, annotations, PREPOPULATED_ANNOTATION, "true");
	json_set(a, doc, "spec", json_copy(a, json_get(template, "spec")));
	return doc;
}

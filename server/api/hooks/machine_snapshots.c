/* machine_snapshots.c - VirtualMachineSnapshot and its content, VirtualMachineRestore,
 * VirtualMachineClone and VirtualMachineExport: what they may be of, and that what was asked for
 * stays (KubeVirt's webhooks, in their words). */
#include "server/api/hooks/validate.h"

#define VOLUMES_MAX 256 /* as of a machine */

/* A reference to a VirtualMachine. */
static void check_machine(struct hook *h, const struct json *ref, const char *at)
{
	const struct json *group = json_get(ref, "apiGroup");

	if (!group || json_is(group, JSON_NULL))
		field_error(h->errors, FIELD_REQUIRED, arena_printf(h->arena, "%s.apiGroup", at),
			NULL, "missing apiGroup");
	else if (!streq(json_str(group), "kubevirt.io"))
		invalid(h, arena_printf(h->arena, "%s.apiGroup", at), group, "invalid apiGroup");
	else if (!streq(json_str(json_get(ref, "kind")), "VirtualMachine"))
		invalid(h, arena_printf(h->arena, "%s.kind", at), json_get(ref, "kind"),
			"invalid kind");
}

static void snapshot_validate(struct hook *h, const struct json *doc)
{
	check_machine(h, json_path(doc, "spec.source"), "spec.source");
}

/* Patches of a machine: labels, annotations, and what is below spec. */
static void check_patches(struct hook *h, const struct json *patches)
{
	static const char *const allowed[] = {
		"/spec/", "/metadata/labels/", "/metadata/annotations/"};
	size_t n = 0;

	JSON_FOR_EACH_ITEM(p, patches) {
		const char *text = json_str_or(p, ""), *path;
		const char *at = arena_printf(h->arena, "spec.patches[%zu]", n++);
		struct json *one;
		struct err err = ERR_INIT;
		bool fits = false;

		if (json_parse(h->arena, text, strlen(text), NULL, &one, &err) < 0) {
			field_error(h->errors, FIELD_INVALID, at, p,
				"patch format is not valid: %s", err.msg);
			continue;
		}
		path = json_str_or(json_get(one, "path"), "");
		for (size_t i = 0; i < ARRAY_LEN(allowed); i++)
			fits = fits || str_has_prefix(path, allowed[i]);
		if (!fits)
			field_error(h->errors, FIELD_INVALID, at, p,
				"patching is valid only for elements under /spec/ only: %s", text);
	}
}

/* Two disks would be one. */
static void check_overrides(struct hook *h, const struct json *overrides)
{
	struct json_seen volumes = {.arena = h->arena, .by = {"volumeName"}},
			 names = {.arena = h->arena, .by = {"restoreName"}};
	size_t n = 0;

	if (json_count(overrides) > VOLUMES_MAX) {
		too_many(h, "spec.volumeRestoreOverrides", json_count(overrides), VOLUMES_MAX);
		return;
	}
	JSON_FOR_EACH_ITEM(it, overrides) {
		const char *at = at(h, "spec.volumeRestoreOverrides[%zu]", n++);
		const struct json *volume = json_get(it, "volumeName"),
				  *name = json_get(it, "restoreName");

		if (!*json_str_or(volume, ""))
			required(h, at_child(h, at, "volumeName"), "must provide a volume name");
		else if (json_seen_put(&volumes, it))
			duplicate(h, at_child(h, at, "volumeName"), volume);
		if (*json_str_or(name, "") && json_seen_put(&names, it))
			duplicate(h, at_child(h, at, "restoreName"), name);
		if (*json_str_or(name, ""))
			check_rule_at(h, RULE_DNS_SUBDOMAIN, at_child(h, at, "restoreName"), name);
	}
}

static void restore_validate(struct hook *h, const struct json *doc)
{
	const struct json *spec = json_get(doc, "spec");

	if (h->old && json_equal(spec, json_get(h->old, "spec")))
		return;
	check_machine(h, json_get(spec, "target"), "spec.target");
	check_overrides(h, json_get(spec, "volumeRestoreOverrides"));
	check_patches(h, json_path(doc, "spec.patches"));
}

static void clone_validate(struct hook *h, const struct json *doc)
{
	const struct json *source = json_path(doc, "spec.source");
	const struct json *target = json_path(doc, "spec.target");
	const char *group = json_str_or(json_get(source, "apiGroup"), "");
	const char *kind = json_str_or(json_get(source, "kind"), "");

	if (streq(kind, "VirtualMachineSnapshot") ? !streq(group, "snapshot.kubevirt.io")
						  : !streq(group, "kubevirt.io"))
		invalid(h, "spec.source.apiGroup", json_get(source, "apiGroup"),
			"invalid apiGroup");
	if (!streq(kind, "VirtualMachine") && !streq(kind, "VirtualMachineSnapshot"))
		invalid(h, "spec.source.kind", json_get(source, "kind"),
			"Source kind is not supported: VirtualMachine and VirtualMachineSnapshot "
			"are");
	if (!*json_str_or(json_get(source, "name"), ""))
		field_error(h->errors, FIELD_REQUIRED, "spec.source.name", NULL,
			"Source's name cannot be empty");
	if (target)
		check_machine(h, target, "spec.target");
	if (target && streq(kind, "VirtualMachine") && *json_str_or(json_get(target, "name"), "") &&
		json_equal(json_get(source, "name"), json_get(target, "name")))
		invalid(h, "spec.target.name", json_get(target, "name"),
			"Target name cannot be equal to source name when both are "
			"VirtualMachines");
	check_patches(h, json_path(doc, "spec.patches"));
}

static void export_validate(struct hook *h, const struct json *doc)
{
	static const struct {
		const char *kind, *message;
	} kinds[] = {{"PersistentVolumeClaim", "PVC name must not be empty"},
		{"VirtualMachineSnapshot", "VMSnapshot name must not be empty"},
		{"VirtualMachine", "Virtual Machine name must not be empty"}};
	const struct json *source = json_path(doc, "spec.source");
	const char *kind = json_str_or(json_get(source, "kind"), "");

	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		if (!streq(kinds[i].kind, kind))
			continue;
		if (!*json_str_or(json_get(source, "name"), ""))
			invalid(h, "spec.source.name", json_get(source, "name"), "%s",
				kinds[i].message);
		return;
	}
	invalid(h, "spec.source.kind", json_get(source, "kind"), "invalid kind");
}

static void check_kept(struct hook *h, const struct json *doc, const struct json *old)
{
	if (!*h->part && !json_equal(json_get(doc, "spec"), json_get(old, "spec")))
		/* Upstream's words, as they are. */
		field_error(
			h->errors, FIELD_INVALID, "spec", NULL, "spec in immutable after creation");
}

/* ---- contents ---- */

static void check_backup(
	struct hook *h, const struct json *backup, const char *at, struct json_seen *volumes)
{
	const struct json *volume = json_get(backup, "volumeName"),
			  *name = json_path(backup, "persistentVolumeClaim.metadata.name");
	const char *claim_at = at(h, "%s.persistentVolumeClaim", at);

	check_name_at(h, RULE_DNS_SUBDOMAIN, at_child(h, at, "volumeName"), volume);
	if (json_seen_put(volumes, backup))
		duplicate(h, at_child(h, at, "volumeName"), volume);
	check_name_at(h, RULE_DNS_SUBDOMAIN, at(h, "%s.metadata.name", claim_at), name);
	if (!json_is(json_path(backup, "persistentVolumeClaim.spec"), JSON_OBJECT))
		required(h, at_child(h, claim_at, "spec"),
			"the claim of the disk, as it was when the snapshot was taken");
}

/* The loop of snapshots writes them; users who bring them from elsewhere may, too, and what can't
 * be restored is told then and not later. */
static void content_validate(struct hook *h, const struct json *doc)
{
	static const char machine_at[] = "spec.source.virtualMachine";
	static const char list_at[] = "spec.volumeBackups";
	const struct json *spec = json_get(doc, "spec"), *machine = json_path(doc, machine_at),
			  *list = json_get(spec, "volumeBackups");
	struct json_seen volumes = {.arena = h->arena, .by = {"volumeName"}};
	size_t n = 0;

	/* What is stored is to go on, and end. */
	if (h->old && json_equal(spec, json_get(h->old, "spec")))
		return;
	if (!json_is(machine, JSON_OBJECT))
		required(h, machine_at, "a snapshot is of a VirtualMachine, as it was then");
	else if (!json_is(json_path(machine, "spec.template"), JSON_OBJECT))
		required(h, at(h, "%s.spec", machine_at),
			"the VirtualMachine's, as it was when the snapshot was taken");
	if (json_count(list) > VOLUMES_MAX) {
		too_many(h, list_at, json_count(list), VOLUMES_MAX);
		return;
	}
	JSON_FOR_EACH_ITEM(b, list)
		check_backup(h, b, at_item(h, list_at, n++), &volumes);
}

const struct kind_hooks hooks_machine_content = {
	.group = "snapshot.kubevirt.io",
	.kind = "VirtualMachineSnapshotContent",
	.validate = content_validate,
	.validate_update = check_kept,
};

const struct kind_hooks hooks_machine_snapshot = {
	.group = "snapshot.kubevirt.io",
	.kind = "VirtualMachineSnapshot",
	.validate = snapshot_validate,
	.validate_update = check_kept,
};

const struct kind_hooks hooks_machine_restore = {
	.group = "snapshot.kubevirt.io",
	.kind = "VirtualMachineRestore",
	.validate = restore_validate,
	.validate_update = check_kept,
};

const struct kind_hooks hooks_machine_clone = {
	.group = "clone.kubevirt.io",
	.kind = "VirtualMachineClone",
	.validate = clone_validate,
	.validate_update = check_kept,
};

const struct kind_hooks hooks_machine_export = {
	.group = "export.kubevirt.io",
	.kind = "VirtualMachineExport",
	.validate = export_validate,
	.validate_update = check_kept,
};

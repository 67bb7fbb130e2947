/* virtual_machine.c - VirtualMachine and VirtualMachineInstance (KubeVirt): what must fit together.
 */
#include "server/api/hooks/hooks_internal.h"
#include "server/api/hooks/machine_macs.h"

#include "lib/json/json_seen.h"
#include "server/api/machines/clone_rights.h"
#include "server/api/machines/rules.h"
#include "server/api/machines/sizes.h"

/* Holds an instance until its node's agent has stopped the guest. */
#define INSTANCE_FINALIZER "foregroundDeleteVirtualMachine"

/* Only the loop of VirtualMachines, which runs in this process, changes what runs. */
static void check_no_change(struct hook *h, const struct json *doc, const struct json *old)
{
	bool ours = h->req && !h->req->http;
	if (!*h->part && !ours && !json_equal(json_get(doc, "spec"), json_get(old, "spec")))
		field_error(h->errors, FIELD_FORBIDDEN, "spec", NULL,
			"update of VMI object is restricted: change the VirtualMachine's template "
			"and restart it");
}

/* Where its machine, as it was when it was started, can be looked up. */
static void name_revision(struct arena *a, struct json *doc)
{
	const struct json *meta = json_get(doc, "metadata");
	const char *generation =
		json_str(json_get(json_get(meta, "annotations"), "kubevirt.io/vm-generation"));
	JSON_FOR_EACH_ITEM(o, json_get(meta, "ownerReferences"))
		if (generation && streq(json_str(json_get(o, "kind")), "VirtualMachine"))
			json_path_set(a, doc, "status.virtualMachineRevisionName",
				json_new_string(a,
					arena_printf(a, "revision-start-vm-%s-%.20s",
						json_str_or(json_get(o, "uid"), ""), generation)));
}

static int instance_prepare_create(struct hook *h, struct json *doc)
{
	struct arena *a = h->arena;
	struct json *spec = json_object_at(a, doc, "spec");
	struct json *devices = json_object_at(a, json_object_at(a, spec, "domain"), "devices");
	bool attach = json_path_bool(devices, "autoattachPodInterface", true);
	/* Who asks for no network gets the pod network, unless told not to. */
	if (attach && !json_count(json_get(devices, "interfaces")) &&
		!json_count(json_get(spec, "networks"))) {
		struct json *i = json_new_object(a), *n = json_new_object(a);
		json_set_str(a, i, "name", "default");
		json_set(a, i, "masquerade", json_new_object(a));
		json_push(a, json_array_at(a, devices, "interfaces"), i);
		json_set_str(a, n, "name", "default");
		json_set(a, n, "pod", json_new_object(a));
		json_push(a, json_array_at(a, spec, "networks"), n);
	}
	/* A volume without a disk is one all the same. */
	struct json_seen disks = json_seen_of(a, json_get(devices, "disks"), "name");
	struct json_seen filesystems = json_seen_of(a, json_get(devices, "filesystems"), "name");
	JSON_FOR_EACH_ITEM(v, json_get(spec, "volumes")) {
		const char *name = json_str(json_get(v, "name"));
		if (!name || json_seen_find(&disks, json_get(v, "name")) ||
			json_seen_find(&filesystems, json_get(v, "name")))
			continue;
		struct json *d = json_new_object(a), *disk = json_object_at(a, d, "disk");
		json_set_str(a, disk, "bus", "virtio");
		json_set_str(a, d, "name", name);
		json_push(a, json_array_at(a, devices, "disks"), d);
	}
	machine_defaults(h, spec);
	struct json *list = json_array_at(a, json_get(doc, "metadata"), "finalizers");
	bool held = false;
	JSON_FOR_EACH_ITEM(f, list)
		held |= streq(json_str(f), INSTANCE_FINALIZER);
	if (!held)
		json_push(a, list, json_new_string(a, INSTANCE_FINALIZER));
	json_path_set(a, doc, "status.phase", json_new_string(a, "Pending"));
	name_revision(a, doc);
	struct json *since = json_new_object(a), *times = json_new_array(a);
	json_set_str(a, since, "phase", "Pending");
	json_set(
		a, since, "phaseTransitionTimestamp", json_path(doc, "metadata.creationTimestamp"));
	json_push(a, times, since);
	json_path_set(a, doc, "status.phaseTransitionTimestamps", times);
	return 0;
}

static void instance_validate(struct hook *h, const struct json *doc)
{
	machine_rules_check(h, json_get(doc, "spec"), "spec");
	machine_rules_annotations(h, doc, "");
}

const struct kind_hooks hooks_virtual_machine_instance = {
	.group = "kubevirt.io",
	.kind = "VirtualMachineInstance",
	.prepare_create = instance_prepare_create,
	.validate = instance_validate,
	.validate_update = check_no_change,
	.allocate = machine_macs_allocate,
	.occupy = machine_macs_occupy,
	.delete_returns_object = true,
};

static void machine_validate(struct hook *h, const struct json *doc)
{
	const struct json *spec = json_get(doc, "spec");
	const char *strategy = json_str_or(json_get(spec, "runStrategy"), "");
	const struct json *running = json_get(spec, "running");
	if (json_is(running, JSON_BOOL) && *strategy)
		field_error(h->errors, FIELD_INVALID, "spec.running", running,
			"Running and RunStrategy are mutually exclusive. Note that Running is "
			"deprecated, please "
			"use RunStrategy instead");
	else if (!json_is(running, JSON_BOOL) && !*strategy)
		field_error(h->errors, FIELD_REQUIRED, "spec.runStrategy", NULL,
			"One of Running or RunStrategy must be specified");
	/* What its status or its end changes is no reason to look for what it names. */
	bool settled = *h->part || json_path(doc, "metadata.deletionTimestamp");
	const struct json *template =
		settled ? json_get(spec, "template") : machine_sizes_template(h, doc);
	if (json_get(template, "spec"))
		machine_rules_check(h, json_get(template, "spec"), "spec.template.spec");
	machine_rules_annotations(h, json_get(spec, "template"), "spec.template");
	machine_rules_check_machine(h, spec);
}

static void warn_eviction(struct hook *h, const struct json *doc)
{
	static const char at[] = "spec.template.spec.evictionStrategy";
	const char *value = json_path_str(doc, at);
	if (h->req && h->req->http && value && !streq(value, "None"))
		api_warn(h->req,
			"spec.template.spec.evictionStrategy has no effect yet: draining a "
			"node leaves its virtual machines running");
}

static void check_clone_rights(struct hook *h, const struct json *doc, const struct json *old)
{
	clone_rights_check_templates(h, json_path(doc, "spec.dataVolumeTemplates"),
		json_path(old, "spec.dataVolumeTemplates"),
		json_str_or(json_path(doc, "metadata.namespace"), ""), "spec.dataVolumeTemplates");
}

static int machine_prepare_create(struct hook *h, struct json *doc)
{
	check_clone_rights(h, doc, NULL);
	/* Who may not copy a disk is not told by inferFromVolume what there is of it. */
	if (field_error_count(h->errors))
		return 0;
	warn_eviction(h, doc);
	return machine_sizes_complete(h, doc, NULL);
}

static int machine_prepare_update(struct hook *h, struct json *doc, const struct json *old)
{
	if (json_equal(json_get(doc, "spec"), json_get(old, "spec")))
		return 0;
	check_clone_rights(h, doc, old);
	if (field_error_count(h->errors))
		return 0;
	warn_eviction(h, doc);
	return machine_sizes_complete(h, doc, old);
}

static struct json *machine_cell(const struct table_row *row, const char *column)
{
	if (!streq(column, "Ready"))
		return NULL;
	JSON_FOR_EACH_ITEM(c, json_path(row->doc, "status.conditions"))
		if (streq(json_str(json_get(c, "type")), "Ready"))
			return cell_text(row, "%s", json_str_or(json_get(c, "status"), ""));
	return cell_text(row, "False");
}

const struct kind_hooks hooks_virtual_machine = {
	.group = "kubevirt.io",
	.kind = "VirtualMachine",
	.prepare_create = machine_prepare_create,
	.prepare_update = machine_prepare_update,
	.allocate = machine_macs_allocate,
	.occupy = machine_macs_occupy,
	.validate = machine_validate,
	.cell = machine_cell,
};

#include "server/controllers/snapshots/export_source.h"

struct look {
	struct arena *a;
	const struct export_caches *c;
	const char *ns;
	struct export_source *ret;
};

/* What was found first is said. */
static void not_ready(struct look *l, const char *reason, const char *message)
{
	if (!l->ret->reason) {
		l->ret->reason = reason;
		l->ret->message = message;
	}
}

static void parts_are(
	struct look *l, const char *type, bool right, const char *reason, const char *message)
{
	l->ret->parts = (struct condition){type, right ? "True" : "False", reason, message, false};
}

static const struct json *claim_doc(struct look *l, const char *name)
{
	struct object *o = informer_get(l->c->claims, l->ns, name);

	return o ? object_doc(o, l->a) : NULL;
}

static bool is_bound(const struct json *claim)
{
	return streq(json_path_str(claim, "status.phase"), "Bound");
}

static bool names(struct look *l, const char *claim)
{
	JSON_FOR_EACH_ITEM(name, l->ret->volumes)
		if (streq(json_str(name), claim))
			return true;
	return false;
}

static void add(struct look *l, const char *claim)
{
	if (!names(l, claim))
		json_push(l->a, l->ret->volumes, json_new_string(l->a, claim));
}

/* Only layers on a node can be read there. */
static void check_place(struct look *l, const char *name, const struct json *claim)
{
	if (!annotation_of(claim, SELECTED_NODE_ANNOTATION))
		not_ready(l, "NotSupported",
			arena_printf(l->a, "pvc %s/%s is none of hanok-local", l->ns, name));
}

/* ---- whoever runs with a claim writes to it ---- */

static bool runs(const struct json *doc)
{
	const char *phase = json_path_str(doc, "status.phase");

	return !streq(phase, "Succeeded") && !streq(phase, "Failed");
}

static bool instance_has(struct look *l, const char *claim)
{
	struct object **all;
	size_t count = informer_list(l->c->instances, l->ns, l->a, &all);

	for (size_t i = 0; i < count; i++) {
		const struct json *doc = object_doc(all[i], l->a);

		JSON_FOR_EACH_ITEM(v, json_path(doc, "spec.volumes"))
			if (streq(volume_claim(v), claim) && runs(doc))
				return true;
	}
	return false;
}

static bool pod_has(struct look *l, const char *claim)
{
	struct object **all;
	size_t count = informer_list(l->c->pods, l->ns, l->a, &all);

	for (size_t i = 0; i < count; i++) {
		const struct json *doc = object_doc(all[i], l->a);

		JSON_FOR_EACH_ITEM(v, json_path(doc, "spec.volumes"))
			if (streq(json_path_str(v, "persistentVolumeClaim.claimName"), claim) &&
				runs(doc))
				return true;
	}
	return false;
}

static void check_users(struct look *l, const char *claim)
{
	if (instance_has(l, claim) || pod_has(l, claim))
		not_ready(l, "InUse",
			arena_printf(l->a, "PersistentVolumeClaim %s/%s is in use", l->ns, claim));
}

/* ---- kinds of sources ---- */

static void look_at_claim(struct look *l)
{
	const char *name = l->ret->name;
	const struct json *claim = claim_doc(l, name);

	if (!claim) {
		not_ready(l, "Initializing", "");
		parts_are(l, "PVCReady", false, "PVCNotFound",
			arena_printf(l->a, "PersistentVolumeClaim %s/%s not found", l->ns, name));
		return;
	}
	parts_are(l, "PVCReady", is_bound(claim), is_bound(claim) ? "PVCBound" : "PVCPending", "");
	add(l, name);
	if (!is_bound(claim) || !claim_is_populated(l->a, l->c->data_volumes, l->ns, claim))
		not_ready(l, "PVCPending",
			arena_printf(
				l->a, "PersistentVolumeClaim %s/%s is not populated", l->ns, name));
	check_place(l, name, claim);
	check_users(l, name);
}

static void look_at_machine(struct look *l)
{
	const char *name = l->ret->name;
	struct object *o = informer_get(l->c->machines, l->ns, name);
	struct object *instance = informer_get(l->c->instances, l->ns, name);
	size_t waiting = 0;

	l->ret->machine = name;
	if (!o) {
		not_ready(l, "VMNotFound",
			arena_printf(l->a, "Virtual Machine %s/%s not found", l->ns, name));
		return;
	}
	JSON_FOR_EACH_ITEM(v, vm_volumes(object_doc(o, l->a))) {
		const char *claim = volume_claim(v);
		const struct json *doc = claim ? claim_doc(l, claim) : NULL;

		/* A dump of the memory is no disk. */
		if (!claim || vm_is_memory_dump(v))
			continue;
		waiting += !doc || !is_bound(doc) ||
			   !claim_is_populated(l->a, l->c->data_volumes, l->ns, doc);
		add(l, claim);
	}
	if (!json_count(l->ret->volumes)) {
		l->ret->skipped = true;
		not_ready(l, "VMNoVolumes",
			arena_printf(l->a, "Virtual Machine %s/%s has no volumes", l->ns, name));
	} else if (waiting) {
		not_ready(l, "VolumesNotPopulated",
			arena_printf(l->a,
				"Not all volumes in the Virtual Machine %s/%s are populated", l->ns,
				name));
	} else if (instance && runs(object_doc(instance, l->a))) {
		not_ready(l, "InUse",
			arena_printf(l->a, "Virtual Machine %s/%s is running", l->ns, name));
	}
	JSON_FOR_EACH_ITEM(claim, l->ret->volumes) {
		const char *text = json_str_or(claim, "");

		if (l->ret->reason)
			break;
		check_place(l, text, claim_doc(l, text));
		check_users(l, text);
	}
}

static void look_at_snapshot(struct look *l)
{
	const char *name = l->ret->name, *none;
	struct object *o = informer_get(l->c->snapshots, l->ns, name), *content = NULL;
	const struct json *doc = o ? object_doc(o, l->a) : NULL;

	none = arena_printf(l->a,
		"VirtualMachineSnapshot %s/%s does not contain any volume snapshots", l->ns, name);
	if (!o) {
		not_ready(l, "VMSnapshotNotFound",
			arena_printf(l->a, "VirtualMachineSnapshot %s/%s not found", l->ns, name));
		parts_are(l, "VolumesCreated", false, "VMSnapshotNotFound", l->ret->message);
		return;
	}
	l->ret->machine = json_path_str(doc, "spec.source.name");
	content = informer_get(l->c->contents, l->ns, snapshot_content_name(l->a, o, doc));
	if (!snapshot_ready(doc) || !content) {
		not_ready(l, "NotAllPVCsCreated", none);
		parts_are(l, "VolumesCreated", false, "NotAllPVCsCreated", none);
		return;
	}
	JSON_FOR_EACH_ITEM(b, json_path(object_doc(content, l->a), "spec.volumeBackups"))
		add(l, json_str_or(json_path(b, "persistentVolumeClaim.metadata.name"), ""));
	if (json_count(l->ret->volumes)) {
		parts_are(l, "VolumesCreated", true, "AllPVCsReady", "");
		return;
	}
	l->ret->skipped = true;
	not_ready(l, "Initializing", "");
	parts_are(l, "VolumesCreated", false, "VMSnapshotNoVolumes", none);
}

void export_source_look(struct arena *a, const struct export_caches *c, const char *ns,
	const struct json *export, struct export_source *ret)
{
	struct look l = {a, c, ns, ret};

	*ret = (struct export_source){
		.kind = json_str_or(json_path(export, "spec.source.kind"), ""),
		.name = json_str_or(json_path(export, "spec.source.name"), ""),
		.volumes = json_new_array(a),
	};
	if (streq(ret->kind, "PersistentVolumeClaim"))
		look_at_claim(&l);
	else if (streq(ret->kind, "VirtualMachine"))
		look_at_machine(&l);
	else if (streq(ret->kind, "VirtualMachineSnapshot"))
		look_at_snapshot(&l);
	else
		not_ready(&l, "NotSupported",
			arena_printf(a, "a source of kind %s can't be exported", ret->kind));
}

#include "server/controllers/machines/data_volume_plan.h"

#include "lib/object/quantity.h"
#include "server/controllers/meta.h"

#define CDI "cdi.kubevirt.io/"
#define IMMEDIATE CDI "storage.bind.immediate.requested"
#define POPULATED_FOR CDI "storage.populatedFor"
#define CSI_CLONE "CSICloneInProgress"
#define POD_PHASE CDI "storage.pod.phase"
#define POD_READY CDI "storage.pod.ready"
#define DISK_CONTENT "hanok.io/disk-from-content"
#define DISK_VOLUME "hanok.io/disk-from-volume"
/* The agent believes it if the DataVolume says the same. */
#define DISK_NAMESPACE "hanok.io/disk-source-namespace"
#define UPLOAD_TARGET CDI "storage.upload.target"

static const struct json *note(const struct json *doc, const char *name)
{
	return json_get(json_path(doc, "metadata.annotations"), name);
}

static const char *phase_of(const struct json *doc)
{
	return json_str_or(json_path(doc, "status.phase"), "");
}

bool data_volume_is_over(const struct json *doc)
{
	return streq(phase_of(doc), "Succeeded") || streq(phase_of(doc), "Failed");
}

bool data_volume_binds_at_once(const struct json *doc)
{
	const struct json *asked = note(doc, IMMEDIATE);

	return (asked && !streq(json_str(asked), "false")) || json_path(doc, "spec.source.upload");
}

/* ---- copies ---- */

const char *data_volume_source_claim(const struct json *doc)
{
	return json_path_str(doc, "spec.source.pvc.name");
}

const char *data_volume_source_namespace(const struct json *doc, const char *home)
{
	const char *ns = json_path_str(doc, "spec.source.pvc.namespace");

	if (!ns || !*ns)
		ns = json_path_str(doc, "spec.source.snapshot.namespace");
	return ns && *ns ? ns : home;
}

static void set_note(struct arena *a, struct json *doc, const char *name, const char *value)
{
	json_set_str(a, json_object_at(a, json_object_at(a, doc, "metadata"), "annotations"), name,
		value);
}

bool data_volume_is_prepopulated(const struct json *doc)
{
	const char *claim = json_str(note(doc, DV_PREPOPULATED));

	return claim && *claim;
}

bool data_volume_may_adopt(const struct json *doc, const struct json *claim)
{
	return streq(json_str(note(claim, POPULATED_FOR)),
		       json_str_or(json_path(doc, "metadata.name"), "")) &&
	       !json_count(json_path(claim, "metadata.ownerReferences"));
}

static int64_t size_of(const struct json *claim)
{
	return quantity_json_value(json_path(claim, "spec.resources.requests.storage"), 0);
}

/* Who says no size gets the source's. */
static int clone_size(
	struct arena *a, const struct json *source, struct json *claim, struct err *err)
{
	const struct json *size = json_path(source, "spec.resources.requests.storage");

	if (!json_path(claim, "spec.resources.requests.storage")) {
		if (size)
			json_path_set(
				a, claim, "spec.resources.requests.storage", json_copy(a, size));
		return 0;
	}
	if (size_of(claim) < size_of(source))
		return err_set(err, -EINVAL,
			"target resources requests storage size is smaller than the source");
	return 0;
}

static int clone_claim(struct arena *a, const struct object *dv, const struct json *doc,
	const struct json *source, struct json *claim, struct err *err)
{
	const char *name = data_volume_source_claim(doc);
	const char *node = json_str(note(source, DV_SELECTED_NODE));
	const char *ns = data_volume_source_namespace(doc, dv->namespace);

	if (!source)
		return err_set(err, -ENOENT, "The source pvc %s doesn't exist", name);
	if (streq(ns, dv->namespace)) {
		struct json *from = json_object_at(a, json_get(claim, "spec"), "dataSource");

		json_set_str(a, from, "kind", "PersistentVolumeClaim");
		json_set_str(a, from, "name", name);
	} else {
		set_note(a, claim, DISK_NAMESPACE, ns);
	}
	/* The copy is where its source is. */
	if (node && *node)
		json_set_str(a,
			json_object_at(a, json_object_at(a, claim, "metadata"), "annotations"),
			DV_SELECTED_NODE, node);
	return clone_size(a, source, claim, err);
}

/* The name of a volume's snapshot is vmsnapshot-UID-volume-NAME; what has it is the content. */
static int clone_snapshot(struct arena *a, const struct object *dv, const struct json *doc,
	struct json *claim, struct err *err)
{
	static const char begin[] = "vmsnapshot-", middle[] = "-volume-";
	const char *name = json_str_or(json_path(doc, "spec.source.snapshot.name"), "");
	const char *ns = data_volume_source_namespace(doc, dv->namespace);
	const char *volume = strstr(name, middle);
	struct json *notes = json_object_at(a, json_object_at(a, claim, "metadata"), "annotations");

	if (!streq(ns, dv->namespace))
		set_note(a, claim, DISK_NAMESPACE, ns);
	if (!str_has_prefix(name, begin) || !volume || !volume[sizeof(middle) - 1])
		return err_set(err, -EINVAL,
			"spec.source.snapshot.name: %s is not vmsnapshot-UID-volume-NAME, as "
			"VirtualMachineSnapshotContents have it in volumeSnapshotStatus",
			name);
	json_set(a, notes, DISK_CONTENT,
		json_new_printf(a, "vmsnapshot-content-%.*s",
			(int)(volume - name) - (int)(sizeof(begin) - 1), name + sizeof(begin) - 1));
	json_set_str(a, notes, DISK_VOLUME, volume + sizeof(middle) - 1);
	return 0;
}

int data_volume_clone(struct arena *a, const struct object *dv, const struct json *doc,
	const struct json *source, struct json *claim, struct err *err)
{
	if (data_volume_source_claim(doc))
		return clone_claim(a, dv, doc, source, claim, err);
	return json_path(doc, "spec.source.snapshot") ? clone_snapshot(a, dv, doc, claim, err) : 0;
}

/* ---- the claim ---- */

static bool has_mode(const struct json *modes, const char *wanted)
{
	JSON_FOR_EACH_ITEM(it, modes)
		if (streq(json_str(it), wanted))
			return true;
	return false;
}

void data_volume_fit(struct arena *a, struct json *doc, const struct json *sets)
{
	struct json *storage = json_path(doc, "spec.storage");
	const char *mode = json_str(json_path(storage, "accessModes[0]"));
	const char *volume = json_str(json_get(storage, "volumeMode"));

	if (!storage || (mode && volume))
		return;
	JSON_FOR_EACH_ITEM(set, sets) {
		const struct json *modes = json_get(set, "accessModes");
		const char *has = json_str(json_get(set, "volumeMode"));

		if (!has || !json_count(modes) || (mode && !has_mode(modes, mode)) ||
			(volume && !streq(volume, has)))
			continue;
		if (!volume)
			json_set_str(a, storage, "volumeMode", has);
		if (!mode)
			json_set(a, storage, "accessModes", json_copy(a, modes));
		return;
	}
}

/* `storage` leaves more to the cluster than `pvc` does. */
static struct json *claim_spec(struct arena *a, const struct json *storage)
{
	static const char *const copied[] = {"accessModes", "volumeMode", "resources",
		"storageClassName", "selector", "volumeName"};
	struct json *spec = json_new_object(a);

	for (size_t i = 0; i < ARRAY_LEN(copied); i++)
		if (json_get(storage, copied[i]))
			json_set(a, spec, copied[i], json_copy(a, json_get(storage, copied[i])));
	if (!json_count(json_get(spec, "accessModes"))) {
		struct json *modes = json_new_array(a);

		json_push(a, modes, json_new_string(a, "ReadWriteOnce"));
		json_set(a, spec, "accessModes", modes);
	}
	return spec;
}

int data_volume_claim(struct arena *a, const struct object *dv, const struct json *doc,
	struct json **ret, struct err *err)
{
	const struct json *pvc = json_path(doc, "spec.pvc");
	const struct json *storage = json_path(doc, "spec.storage");
	struct json *claim = json_new_object(a), *meta, *notes, *owners = json_new_array(a), *spec;

	if (!pvc == !storage)
		return err_set(err, -EINVAL,
			"spec: exactly one of pvc and storage must say what claim is wanted");
	spec = pvc ? json_copy(a, pvc) : claim_spec(a, storage);
	/* What the claim is filled with is the DataVolume's business. */
	json_remove(spec, "dataSource");
	json_remove(spec, "dataSourceRef");
	if (!json_path(spec, "resources.requests.storage") && !data_volume_source_claim(doc))
		return err_set(err, -EINVAL,
			"spec.%s.resources.requests.storage: Required value: how large shall the "
			"disk be?",
			pvc ? "pvc" : "storage");
	json_set_str(a, claim, "apiVersion", "v1");
	json_set_str(a, claim, "kind", "PersistentVolumeClaim");
	meta = json_object_at(a, claim, "metadata");
	json_set_str(a, meta, "name", dv->name);
	json_set_str(a, meta, "namespace", dv->namespace);
	json_set(a, meta, "labels",
		json_path(doc, "metadata.labels") ? json_copy(a, json_path(doc, "metadata.labels"))
						  : json_new_object(a));
	json_set_str(a, json_get(meta, "labels"), "app", "containerized-data-importer");
	notes = json_object_at(a, meta, "annotations");
	JSON_FOR_EACH_MEMBER(m, json_path(doc, "metadata.annotations"))
		if (!str_has_prefix(m->name, "kubectl.kubernetes.io/"))
			json_set(a, notes, m->name, json_copy(a, m->value));
	json_set_str(a, notes, CDI "storage.contentType",
		json_str_or(json_path(doc, "spec.contentType"), "kubevirt"));
	if (json_path(doc, "spec.source.upload"))
		json_set_str(a, notes, UPLOAD_TARGET, "");
	json_push(a, owners, owner_reference(a, dv));
	json_set(a, meta, "ownerReferences", owners);
	json_set(a, claim, "spec", spec);
	*ret = claim;
	return 0;
}

/* ---- uploads into claims ---- */

bool data_volume_is_of_claim(const struct json *doc, const struct object *claim)
{
	JSON_FOR_EACH_ITEM(owner, json_path(doc, "metadata.ownerReferences"))
		if (streq(json_str(json_get(owner, "uid")), claim->uid))
			return true;
	return false;
}

struct json *data_volume_for_upload(
	struct arena *a, const struct object *claim, const struct json *doc)
{
	static const char *const kept[] = {"volumeMode", "resources", "storageClassName"};
	struct json *dv = json_new_object(a), *meta, *owner = json_new_object(a), *owners, *spec;
	struct json *modes = json_new_array(a);
	const char *content;

	if (!note(doc, UPLOAD_TARGET) || note(doc, POPULATED_FOR) || note(doc, DISK_CONTENT) ||
		json_path(doc, "spec.dataSource") || json_path(doc, "spec.dataSourceRef") ||
		streq(json_str(note(doc, POD_PHASE)), "Succeeded"))
		return NULL;
	json_set_str(a, dv, "apiVersion", CDI "v1beta1");
	json_set_str(a, dv, "kind", "DataVolume");
	meta = json_object_at(a, dv, "metadata");
	json_set_str(a, meta, "name", claim->name);
	json_set_str(a, meta, "namespace", claim->namespace);
	json_set_str(a, owner, "apiVersion", "v1");
	json_set_str(a, owner, "kind", "PersistentVolumeClaim");
	json_set_str(a, owner, "name", claim->name);
	json_set_str(a, owner, "uid", claim->uid);
	owners = json_new_array(a);
	json_push(a, owners, owner);
	json_set(a, meta, "ownerReferences", owners);
	json_path_set(a, dv, "spec.source.upload", json_new_object(a));
	content = json_str(note(doc, CDI "storage.contentType"));
	if (content && *content)
		json_path_set(a, dv, "spec.contentType", json_new_string(a, content));
	spec = json_object_at(a, json_get(dv, "spec"), "pvc");
	/* DataVolumes have one mode. */
	json_push(a, modes,
		json_new_string(
			a, json_str_or(json_path(doc, "spec.accessModes[0]"), "ReadWriteOnce")));
	json_set(a, spec, "accessModes", modes);
	for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
		const struct json *value = json_get(json_get(doc, "spec"), kept[i]);

		if (value)
			json_set(a, spec, kept[i], json_copy(a, value));
	}
	return dv;
}

/* ---- phases ---- */

void data_volume_no_claim(struct dv_state *ret)
{
	*ret = (struct dv_state){
		.phase = "Pending",
		.bound_status = "False",
		.bound_reason = "NotFound",
		.bound_message = "No PVC found",
	};
}

void data_volume_foreign_claim(
	struct arena *a, const struct json *doc, const struct json *claim, struct dv_state *ret)
{
	const char *name = json_str_or(json_path(doc, "metadata.name"), "");

	data_volume_no_claim(ret);
	if (streq(json_str(note(claim, POPULATED_FOR)), name)) {
		ret->phase = "Succeeded";
		ret->bound_status = "True";
		ret->bound_reason = "Bound";
		ret->bound_message = arena_printf(a, "PVC %s Bound", name);
		return;
	}
	ret->bound_reason = "ErrResourceExists";
	ret->bound_message = arena_printf(
		a, "Resource \"%s\" already exists and is not managed by DataVolume", name);
	ret->event_type = "Warning";
	ret->event = ret->bound_reason;
	ret->message = ret->bound_message;
}

bool data_volume_with_claim(struct arena *a, const struct json *doc, const struct json *claim,
	bool waits, struct dv_state *ret)
{
	const char *name = json_str_or(json_path(doc, "metadata.name"), "");
	const char *claim_phase = json_str_or(json_path(claim, "status.phase"), "Pending");
	const char *phase = phase_of(doc);
	bool early = !*phase || streq(phase, "Pending") || streq(phase, "WaitForFirstConsumer") ||
		     streq(phase, CSI_CLONE);

	*ret = (struct dv_state){.phase = phase, .event_type = "Normal"};
	if (streq(claim_phase, "Bound")) {
		ret->bound_status = "True";
		ret->bound_reason = "Bound";
		ret->bound_message = arena_printf(a, "PVC %s Bound", name);
		if (early) {
			ret->phase = "PVCBound";
			ret->event = "Bound";
			ret->message = ret->bound_message;
		}
		return true;
	}
	if (streq(claim_phase, "Lost")) {
		ret->bound_status = "False";
		ret->bound_reason = "ClaimLost";
		ret->bound_message = "Claim Lost";
		ret->phase = "Failed";
		ret->event_type = "Warning";
		ret->event = "ErrClaimLost";
		ret->message = arena_printf(a, "PVC %s lost", name);
		return !data_volume_is_over(doc);
	}
	if (!early)
		return false;
	ret->bound_status = "False";
	ret->bound_reason = "Pending";
	ret->bound_message = arena_printf(a, "PVC %s Pending", name);
	ret->phase = waits && !note(claim, DV_SELECTED_NODE) && !data_volume_binds_at_once(doc)
			     ? "WaitForFirstConsumer"
			     : "Pending";
	if (data_volume_source_claim(doc) && note(claim, DV_SELECTED_NODE)) {
		ret->phase = ret->event = CSI_CLONE;
		ret->message = arena_printf(a, "CSI Volume clone in progress (for pvc %s/%s)",
			json_str_or(json_path(doc, "metadata.namespace"), ""),
			data_volume_source_claim(doc));
	} else if (streq(ret->phase, "Pending")) {
		ret->event = "Pending";
		ret->message = ret->bound_message;
	} else {
		ret->event = ret->phase;
		ret->message = arena_printf(a, "PVC %s is waiting for its first consumer", name);
	}
	return true;
}

struct json *data_volume_status(
	struct arena *a, const struct json *doc, const struct dv_state *state, int64_t now_ns)
{
	struct json *status = json_new_object(a);
	const struct json *was = json_path(doc, "status.conditions");
	const struct condition bound = {
		"Bound", state->bound_status, state->bound_reason, state->bound_message, false};
	const struct condition ready = {
		"Ready", streq(state->phase, "Succeeded") ? "True" : "False", NULL, NULL, false};
	const struct condition running = {"Running", "False", NULL, NULL, false};
	struct json *conditions = condition_set(a, was, &bound, now_ns);

	/* The node's agent says more, later. */
	if (!condition_find(conditions, "Ready") || streq(state->phase, "Succeeded"))
		conditions = condition_set(a, conditions, &ready, now_ns);
	if (!condition_find(conditions, "Running"))
		conditions = condition_set(a, conditions, &running, now_ns);
	json_set_str(a, status, "phase", state->phase);
	json_set_str(a, status, "claimName", json_str_or(json_path(doc, "metadata.name"), ""));
	if (!json_path(doc, "status.progress"))
		json_set_str(
			a, status, "progress", streq(state->phase, "Succeeded") ? "100.0%" : "N/A");
	json_set(a, status, "conditions", conditions);
	return status;
}

/* ---- notes on the claim ---- */

static void want_note(struct arena *a, const struct json *claim, struct json *patch,
	const char *name, const char *value, bool *changed)
{
	if (streq(json_str(note(claim, name)), value))
		return;
	json_set_str(a, json_object_at(a, json_object_at(a, patch, "metadata"), "annotations"),
		name, value);
	*changed = true;
}

bool data_volume_claim_notes(
	struct arena *a, const struct json *doc, const struct json *claim, struct json *patch)
{
	const char *phase = phase_of(doc), *name = json_str_or(json_path(doc, "metadata.name"), "");
	bool changed = false,
	     running = str_has_suffix(phase, "InProgress") || streq(phase, "UploadReady");

	/* There are no pods; who asks for their phase means the work that one would do. */
	if (streq(phase, "Succeeded") || streq(phase, "Failed") || running)
		want_note(a, claim, patch, POD_PHASE, running ? "Running" : phase, &changed);
	want_note(a, claim, patch, POD_READY, streq(phase, "UploadReady") ? "true" : "false",
		&changed);
	if (streq(phase, "Succeeded"))
		want_note(a, claim, patch, POPULATED_FOR, name, &changed);
	return changed;
}

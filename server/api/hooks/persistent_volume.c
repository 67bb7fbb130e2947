/* persistent_volume.c - PersistentVolume and PersistentVolumeClaim. */
#include "server/api/hooks/workload.h"

#define BETA_CLASS "volume.beta.kubernetes.io/storage-class"

static const char *const modes[] = {
	"ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod", NULL};

void access_modes_validate(struct hook *h, const struct json *list, const char *at)
{
	bool once_pod = false, other = false;
	JSON_FOR_EACH_ITEM(mode, list) {
		const char *text = json_str_or(mode, "");
		bool known = check_one_of(h, at, mode, modes);
		once_pod |= streq(text, "ReadWriteOncePod");
		other |= known && !streq(text, "ReadWriteOncePod");
	}
	if (once_pod && other)
		forbid(h, at, "may not use ReadWriteOncePod with other access modes");
}

/* Class names are names of objects. */
static void class_validate(
	struct hook *h, const struct json *spec, const char *name, const char *at)
{
	const struct json *class = json_get(spec, name);
	if (*json_str_or(class, ""))
		check_rule_at(h, RULE_DNS_SUBDOMAIN, at_child(h, at, name), class);
}

/* ---- volumes ---- */

static void node_affinity_validate(struct hook *h, const struct json *affinity)
{
	const struct json *terms = json_get(affinity, "required");
	if (!present(affinity))
		return;
	if (!present(terms))
		required(h, "spec.nodeAffinity.required", "must specify required node constraints");
	else
		node_selector_validate(h, terms, "spec.nodeAffinity.required");
}

static void capacity_validate(struct hook *h, const struct json *capacity)
{
	static const char *const only[] = {"storage", NULL};
	if (!json_count(capacity))
		required(h, "spec.capacity", NULL);
	if (!json_get(capacity, "storage") || json_count(capacity) > 1)
		unsupported(
			h, "spec.capacity", capacity ? capacity : json_new_object(h->arena), only);
	JSON_FOR_EACH_MEMBER(m, capacity)
		if (!resource_is_positive(m->value))
			invalid(h, arena_printf(h->arena, "spec.capacity[%s]", m->name), m->value,
				"must be greater than zero");
}

static bool is_root(const char *path)
{
	struct str rest = str_from(path), part;
	int depth = 0;
	while (str_split(&rest, '/', &part))
		if (str_eq(part, ".."))
			depth = MAX(depth - 1, 0);
		else if (part.size && !str_eq(part, "."))
			depth++;
	return *path == '/' && depth == 0;
}

static void volume_validate(struct hook *h, const struct json *doc)
{
	const struct json *spec = json_get(doc, "spec");
	const char *name = json_str_or(json_path(doc, "metadata.name"), "");
	const struct json *attributes = json_get(spec, "volumeAttributesClassName");
	if (!json_count(json_get(spec, "accessModes")))
		required(h, "spec.accessModes", NULL);
	access_modes_validate(h, json_get(spec, "accessModes"), "spec.accessModes");
	capacity_validate(h, json_get(spec, "capacity"));
	node_affinity_validate(h, json_get(spec, "nodeAffinity"));
	volume_source_validate(h, spec, "spec", true, name);
	if (present(json_get(spec, "local")) && !present(json_path(spec, "nodeAffinity.required")))
		required(h, "spec.nodeAffinity", "Local volume requires node affinity");
	if (present(json_get(spec, "hostPath")) &&
		is_root(json_str_or(json_path(spec, "hostPath.path"), "")) &&
		streq(json_str(json_get(spec, "persistentVolumeReclaimPolicy")), "Recycle"))
		forbid(h, "spec.persistentVolumeReclaimPolicy",
			"may not be 'recycle' for a hostPath mount of '/'");
	class_validate(h, spec, "storageClassName", "spec");
	if (!present(attributes))
		return;
	if (!*json_str_or(attributes, ""))
		required(h, "spec.volumeAttributesClassName", "an empty string is disallowed");
	class_validate(h, spec, "volumeAttributesClassName", "spec");
	if (!present(json_get(spec, "csi")))
		required(h, "spec.csi", "has to be specified when using volumeAttributesClassName");
}

/* What the volume is, apart from the one secret that may be added later. */
static struct json *source_of(struct arena *a, const struct json *spec, bool allow_secret)
{
	struct json *source = json_new_object(a);
	JSON_FOR_EACH_MEMBER(m, spec)
		if (volume_type_known(m->name) && present(m->value))
			json_set(a, source, m->name, m->value);
	struct json *csi = json_get(source, "csi");
	if (csi && allow_secret) {
		csi = json_copy(a, csi);
		json_remove(csi, "controllerExpandSecretRef");
		json_set(a, source, "csi", csi);
	}
	return source;
}

static void volume_validate_update(struct hook *h, const struct json *doc, const struct json *old)
{
	if (*h->part)
		return;
	const struct json *spec = json_get(doc, "spec"), *was = json_get(old, "spec");
	bool no_secret = json_path(was, "csi") && !json_path(was, "csi.controllerExpandSecretRef");
	if (!json_equal(source_of(h->arena, spec, no_secret), source_of(h->arena, was, no_secret)))
		forbid(h, "spec.persistentvolumesource",
			"spec.persistentvolumesource is immutable after creation");
	check_unchanged(h, "volumeMode", json_get(spec, "volumeMode"), json_get(was, "volumeMode"));
	if (present(json_get(was, "nodeAffinity")))
		check_unchanged(h, "nodeAffinity", json_get(spec, "nodeAffinity"),
			json_get(was, "nodeAffinity"));
	if (present(json_get(was, "volumeAttributesClassName")) &&
		!present(json_get(spec, "volumeAttributesClassName")))
		forbid(h, "spec.volumeAttributesClassName",
			"update from non-nil value to nil is forbidden");
}

/* status.lastPhaseTransitionTime is the server's. */
static int volume_prepare_update(struct hook *h, struct json *doc, const struct json *old)
{
	const struct json *now = json_path(doc, "status.phase");
	if (streq(h->part, "status") && !json_equal(now, json_path(old, "status.phase")) &&
		json_equal(json_path(doc, "status.lastPhaseTransitionTime"),
			json_path(old, "status.lastPhaseTransitionTime"))) {
		char time[TIME_RFC3339_ROOM];
		time_format_rfc3339(h->now_ns, time);
		json_path_set(h->arena, doc, "status.lastPhaseTransitionTime",
			json_new_string(h->arena, time));
	}
	return 0;
}

static int volume_prepare_create(struct hook *h, struct json *doc)
{
	char time[TIME_RFC3339_ROOM];
	time_format_rfc3339(h->now_ns, time);
	json_path_set(h->arena, doc, "status.phase", json_new_string(h->arena, "Pending"));
	json_path_set(
		h->arena, doc, "status.lastPhaseTransitionTime", json_new_string(h->arena, time));
	return 0;
}

/* ---- claims ---- */

void claim_spec_default(struct arena *a, struct json *spec)
{
	struct json *source = json_get(spec, "dataSource"), *ref = json_get(spec, "dataSourceRef");
	if (!*json_str_or(json_get(spec, "volumeMode"), ""))
		json_set_str(a, spec, "volumeMode", "Filesystem");
	/* Two names for the same thing, of which the second can do more. */
	if (present(source) && !present(ref))
		json_set(a, spec, "dataSourceRef", json_copy(a, source));
	else if (present(ref) && !present(source) &&
		 !*json_str_or(json_get(ref, "namespace"), "") &&
		 (!*json_str_or(json_get(ref, "apiGroup"), "") ||
			 streq(json_str(json_get(ref, "apiGroup")), "snapshot.storage.k8s.io")))
		json_set(a, spec, "dataSource", json_copy(a, ref));
}

static void data_source_validate(struct hook *h, const struct json *source, const char *at)
{
	const char *group = json_str_or(json_get(source, "apiGroup"), "");
	const char *kind = json_str_or(json_get(source, "kind"), "");
	if (!present(source))
		return;
	if (!*group && !streq(kind, "PersistentVolumeClaim"))
		invalid_text(h, at, kind,
			"must be 'PersistentVolumeClaim' when referencing the default apiGroup");
	if (*group)
		check_rule_at(h, RULE_DNS_SUBDOMAIN, at_child(h, at, "apiGroup"),
			json_get(source, "apiGroup"));
	if (*json_str_or(json_get(source, "namespace"), ""))
		check_rule_at(h, RULE_DNS_LABEL, at_child(h, at, "namespace"),
			json_get(source, "namespace"));
}

static bool same_source(const struct json *source, const struct json *ref)
{
	return json_equal(json_get(source, "apiGroup"), json_get(ref, "apiGroup")) &&
	       json_equal(json_get(source, "kind"), json_get(ref, "kind")) &&
	       json_equal(json_get(source, "name"), json_get(ref, "name"));
}

void claim_spec_validate(struct hook *h, const struct json *spec, const char *at)
{
	const struct json *list = json_get(spec, "accessModes");
	const struct json *storage = json_path(spec, "resources.requests.storage");
	const struct json *source = json_get(spec, "dataSource"),
			  *ref = json_get(spec, "dataSourceRef");
	const char *storage_at = at_child(h, at, "resources[storage]");
	if (!json_count(list))
		required(h, at_child(h, at, "accessModes"), "at least 1 access mode is required");
	check_label_selector(h, json_get(spec, "selector"), at_child(h, at, "selector"));
	access_modes_validate(h, list, at_child(h, at, "accessModes"));
	if (!present(storage))
		required(h, storage_at, NULL);
	else if (!resource_is_positive(storage))
		invalid(h, storage_at, storage, "must be greater than zero");
	class_validate(h, spec, "storageClassName", at);
	data_source_validate(h, source, at_child(h, at, "dataSource"));
	data_source_validate(h, ref, at_child(h, at, "dataSourceRef"));
	if (present(source) && present(ref)) {
		if (*json_str_or(json_get(ref, "namespace"), ""))
			invalid_text(h, at, at_child(h, at, "dataSource"),
				"may not be specified when dataSourceRef.namespace is specified");
		else if (!same_source(source, ref))
			invalid_text(
				h, at, at_child(h, at, "dataSource"), "must match dataSourceRef");
	}
	class_validate(h, spec, "volumeAttributesClassName", at);
}

static void claim_defaults(struct hook *h, struct json *doc)
{
	claim_spec_default(h->arena, json_object_at(h->arena, doc, "spec"));
}

static int claim_prepare_create(struct hook *h, struct json *doc)
{
	json_path_set(h->arena, doc, "status.phase", json_new_string(h->arena, "Pending"));
	return 0;
}

static void claim_validate(struct hook *h, const struct json *doc)
{
	claim_spec_validate(h, json_get(doc, "spec"), "spec");
}

/* Takes out of the new spec what may differ from the old one. */
static struct json *fixed_claim(struct arena *a, const struct json *doc, const struct json *old)
{
	struct json *spec = json_copy(a, json_get(doc, "spec"));
	const struct json *was = json_get(old, "spec");
	bool bound = streq(json_path_str(doc, "status.phase"), "Bound");
	if (!*json_str_or(json_get(was, "volumeName"), ""))
		json_remove(spec, "volumeName");
	const char *annotated =
		json_str(json_get(json_path(old, "metadata.annotations"), BETA_CLASS));
	const struct json *class = json_get(spec, "storageClassName");
	if (!present(json_get(was, "storageClassName")) && present(class) &&
		(!annotated || streq(annotated, json_str(class))))
		json_remove(spec, "storageClassName");
	struct json *requests = json_path(spec, "resources.requests");
	struct json *size = json_path(was, "resources.requests.storage");
	if (bound && requests && size)
		json_set(a, requests, "storage", size);
	if (bound && json_get(was, "volumeAttributesClassName") &&
		json_get(spec, "volumeAttributesClassName"))
		json_set(a, spec, "volumeAttributesClassName",
			json_get(was, "volumeAttributesClassName"));
	else if (bound)
		json_remove(spec, "volumeAttributesClassName");
	return spec;
}

static void claim_validate_update(struct hook *h, const struct json *doc, const struct json *old)
{
	static const char size_at[] = "spec.resources.requests.storage";
	if (*h->part)
		return;
	const struct json *spec = json_get(doc, "spec"), *was = json_get(old, "spec");
	const struct json *now_class = json_get(json_path(doc, "metadata.annotations"), BETA_CLASS);
	const struct json *old_class = json_get(json_path(old, "metadata.annotations"), BETA_CLASS);
	if (!json_equal(now_class, old_class) &&
		!(!now_class &&
			streq(json_str(old_class), json_path_str(doc, "spec.storageClassName"))))
		invalid(h, "metadata.annotations." BETA_CLASS, now_class, "field is immutable");
	struct json *fixed = fixed_claim(h->arena, doc, old), *before = json_copy(h->arena, was);
	if (!*json_str_or(json_get(was, "volumeName"), ""))
		json_remove(before, "volumeName");
	if (!json_equal(fixed, before))
		forbid(h, "spec",
			"spec is immutable after creation except resources.requests and "
			"volumeAttributesClassName for bound claims");
	const struct json *size = json_path(spec, "resources.requests.storage");
	if (resource_compare(size, json_path(was, "resources.requests.storage")) < 0 &&
		resource_compare(size, json_path(old, "status.capacity.storage")) <= 0)
		forbid(h, size_at, "field can not be less than status.capacity");
	check_unchanged(h, "volumeMode", json_get(spec, "volumeMode"), json_get(was, "volumeMode"));
	const struct json *attributes = json_get(spec, "volumeAttributesClassName");
	if (!present(json_get(was, "volumeAttributesClassName")))
		return;
	if (!present(attributes))
		forbid(h, "spec.volumeAttributesClassName",
			"update from non-nil value to nil is forbidden");
	else if (!*json_str_or(attributes, ""))
		forbid(h, "spec.volumeAttributesClassName",
			"update from non-nil value to an empty string is forbidden");
}

/* ---- tables ---- */

static const char *modes_text(struct arena *a, const struct json *list)
{
	static const char *const shorts[][2] = {{"ReadWriteOnce", "RWO"}, {"ReadOnlyMany", "ROX"},
		{"ReadWriteMany", "RWX"}, {"ReadWriteOncePod", "RWOP"}};
	const char *text = "";
	for (size_t i = 0; i < ARRAY_LEN(shorts); i++) {
		bool has = false;
		JSON_FOR_EACH_ITEM(mode, list)
			has |= streq(json_str(mode), shorts[i][0]);
		if (has)
			text = arena_printf(a, "%s%s%s", text, *text ? "," : "", shorts[i][1]);
	}
	return text;
}

static const char *class_text(const struct json *doc)
{
	const char *beta = json_str(json_get(json_path(doc, "metadata.annotations"), BETA_CLASS));
	return beta ? beta : json_str_or(json_path(doc, "spec.storageClassName"), "");
}

static struct json *common_cell(const struct table_row *row, const char *column)
{
	bool ending = json_path(row->doc, "metadata.deletionTimestamp");
	if (streq(column, "Status"))
		return cell_text(row, "%s",
			ending ? "Terminating"
			       : json_str_or(json_path(row->doc, "status.phase"), ""));
	if (streq(column, "StorageClass"))
		return cell_text(row, "%s", class_text(row->doc));
	if (streq(column, "VolumeAttributesClass"))
		return cell_text(row, "%s",
			json_str_or(
				json_path(row->doc, "spec.volumeAttributesClassName"), "<unset>"));
	if (streq(column, "VolumeMode"))
		return cell_text(
			row, "%s", json_str_or(json_path(row->doc, "spec.volumeMode"), "<unset>"));
	return NULL;
}

static struct json *volume_cell(const struct table_row *row, const char *column)
{
	const struct json *claim = json_path(row->doc, "spec.claimRef");
	if (streq(column, "Capacity"))
		return cell_text(
			row, "%s", json_str_or(json_path(row->doc, "spec.capacity.storage"), "0"));
	if (streq(column, "Access Modes"))
		return cell_text(
			row, "%s", modes_text(row->arena, json_path(row->doc, "spec.accessModes")));
	if (streq(column, "Reclaim Policy"))
		return cell_text(row, "%s",
			json_str_or(json_path(row->doc, "spec.persistentVolumeReclaimPolicy"), ""));
	if (streq(column, "Claim"))
		return present(claim) ? cell_text(row, "%s/%s",
						json_str_or(json_get(claim, "namespace"), ""),
						json_str_or(json_get(claim, "name"), ""))
				      : cell_text(row, "%s", "");
	if (streq(column, "Reason"))
		return cell_text(row, "%s", json_str_or(json_path(row->doc, "status.reason"), ""));
	return common_cell(row, column);
}

static struct json *claim_cell(const struct table_row *row, const char *column)
{
	const char *volume = json_str_or(json_path(row->doc, "spec.volumeName"), "");
	if (streq(column, "Volume"))
		return cell_text(row, "%s", volume);
	if (streq(column, "Capacity"))
		return cell_text(row, "%s",
			*volume ? json_str_or(json_path(row->doc, "status.capacity.storage"), "0")
				: "");
	if (streq(column, "Access Modes"))
		return cell_text(row, "%s",
			*volume ? modes_text(row->arena, json_path(row->doc, "status.accessModes"))
				: "");
	return common_cell(row, column);
}

const struct kind_hooks hooks_persistent_volume = {
	.group = "",
	.kind = "PersistentVolume",
	.prepare_create = volume_prepare_create,
	.prepare_update = volume_prepare_update,
	.validate = volume_validate,
	.validate_update = volume_validate_update,
	.cell = volume_cell,
	.delete_returns_object = true,
};

const struct kind_hooks hooks_persistent_volume_claim = {
	.group = "",
	.kind = "PersistentVolumeClaim",
	.set_defaults = claim_defaults,
	.prepare_create = claim_prepare_create,
	.validate = claim_validate,
	.validate_update = claim_validate_update,
	.cell = claim_cell,
	.delete_returns_object = true,
};

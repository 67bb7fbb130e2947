/* storage.c - storage.k8s.io: classes, drivers, attachments, capacities. */
#include <limits.h>

#include "server/api/hooks/validate.h"

#define PARAMETERS_MAX 512
#define PARAMETERS_BYTES_MAX (256 << 10)
#define NODE_ID_MAX 192
#define METADATA_BYTES_MAX (256 << 10)
#define MESSAGE_BYTES_MAX 1024
#define TOKEN_SECONDS_MIN 600
#define DEFAULT_ANNOTATION "storageclass.kubernetes.io/is-default-class"
#define DEFAULT_ANNOTATION_BETA "storageclass.beta.kubernetes.io/is-default-class"

static void too_long(struct hook *h, const char *field, int limit)
{
	field_error(h->errors, FIELD_TOO_LONG, field, NULL, "may not be more than %d bytes", limit);
}

static size_t map_bytes(const struct json *map)
{
	size_t bytes = 0;
	JSON_FOR_EACH_MEMBER(m, map)
		bytes += m->name_size + (json_is(m->value, JSON_STRING) ? m->value->count : 0);
	return bytes;
}

/* Driver names may be written in upper case; the rule is for lower case. */
static void check_driver_name(struct hook *h, const char *field, const struct json *value)
{
	if (!require_text(h, field, value))
		return;
	if (value->count > 63)
		too_long(h, field, 63);
	check_rule_at(h, RULE_DNS_SUBDOMAIN, field,
		json_new_string(h->arena, lower_text(h->arena, value->s)));
}

/* ---- StorageClass ---- */

/* Each key once, with values that differ. */
static void check_topology(struct hook *h, const struct json *term, const char *path)
{
	const struct json *list = json_get(term, "matchLabelExpressions");
	struct json_seen keys = {.arena = h->arena, .by = {"key"}};
	size_t i = 0;
	JSON_FOR_EACH_ITEM(e, list) {
		const char *field = at(h, "%s.matchLabelExpressions[%zu]", path, i);
		const struct json *key = json_get(e, "key"), *values = json_get(e, "values");
		struct json_seen seen = {.arena = h->arena};
		check_rule_at(h, RULE_QUALIFIED_NAME, at(h, "%s.key", field), key);
		if (json_seen_put(&keys, e))
			duplicate(h, at(h, "%s.key", field), key);
		if (json_count(values) == 0)
			required(h, at(h, "%s.values", field), NULL);
		for (size_t n = 0; n < json_count(values); n++)
			if (json_seen_put(&seen, json_at(values, n)))
				duplicate(h, at(h, "%s.values[%zu]", field, n), json_at(values, n));
		i++;
	}
}

static void class_validate(struct hook *h, const struct json *doc)
{
	const struct json *provisioner = json_get(doc, "provisioner");
	const struct json *parameters = json_get(doc, "parameters");
	const struct json *topologies = json_get(doc, "allowedTopologies");
	if (*json_str_or(provisioner, ""))
		check_rule_at(h, RULE_QUALIFIED_NAME, "provisioner",
			json_new_string(h->arena, lower_text(h->arena, provisioner->s)));
	if (json_count(parameters) > PARAMETERS_MAX) {
		too_long(h, "parameters", PARAMETERS_MAX);
	} else {
		JSON_FOR_EACH_MEMBER(m, parameters)
			if (m->name_size == 0)
				invalid(h, "parameters", NULL, "field can not be empty.");
		if (map_bytes(parameters) > PARAMETERS_BYTES_MAX)
			too_long(h, "parameters", PARAMETERS_BYTES_MAX);
	}
	struct json_seen seen = {.arena = h->arena};
	for (size_t i = 0; i < json_count(topologies); i++) {
		const char *path = at(h, "allowedTopologies[%zu]", i);
		check_topology(h, json_at(topologies, i), path);
		if (json_seen_put(&seen, json_at(topologies, i)))
			duplicate(h, at(h, "%s.matchLabelExpressions", path), NULL);
	}
}

static void forbid_change(
	struct hook *h, const char *field, const struct json *doc, const struct json *old)
{
	const struct json *now = json_get(doc, field), *was = json_get(old, field);
	/* No map is as good as an empty one. */
	bool empty = !(now && !json_is(now, JSON_OBJECT)) && json_count(now) + json_count(was) == 0;
	if (!empty && !json_equal(now, was))
		forbidden(h, field, at(h, "updates to %s are forbidden.", field));
}

static void class_validate_update(struct hook *h, const struct json *doc, const struct json *old)
{
	forbid_change(h, "parameters", doc, old);
	forbid_change(h, "provisioner", doc, old);
	forbid_change(h, "reclaimPolicy", doc, old);
	check_fixed(h, "volumeBindingMode", doc, old, "volumeBindingMode");
}

static struct json *class_cell(const struct table_row *row, const char *column)
{
	const struct json *notes = json_path(row->doc, "metadata.annotations");
	if (streq(column, "Name")) {
		bool is_default = streq(json_str(json_get(notes, DEFAULT_ANNOTATION)), "true") ||
				  streq(json_str(json_get(notes, DEFAULT_ANNOTATION_BETA)), "true");
		return cell_text(row, "%s%s", json_str_or(json_path(row->doc, "metadata.name"), ""),
			is_default ? " (default)" : "");
	}
	if (streq(column, "AllowVolumeExpansion"))
		return json_new_bool(
			row->arena, json_path_bool(row->doc, "allowVolumeExpansion", false));
	return NULL;
}

const struct kind_hooks hooks_storage_class = {
	.group = "storage.k8s.io",
	.kind = "StorageClass",
	.validate = class_validate,
	.validate_update = class_validate_update,
	.cell = class_cell,
};

/* ---- VolumeAttachment ---- */

static void check_volume_error(struct hook *h, const struct json *e, const char *path)
{
	const struct json *message = json_get(e, "message"), *code = json_get(e, "errorCode");
	if (json_is(message, JSON_STRING) && message->count > MESSAGE_BYTES_MAX)
		too_long(h, at(h, "%s.message", path), METADATA_BYTES_MAX);
	if (json_int_or(code, 0) < 0)
		invalid(h, at(h, "%s.errorCode", path), code, "must be between 0 and %d, inclusive",
			INT_MAX);
}

static void attachment_status(struct hook *h, const struct json *doc)
{
	const struct json *status = json_get(doc, "status");
	if (map_bytes(json_get(status, "attachmentMetadata")) > METADATA_BYTES_MAX)
		too_long(h, "status.attachmentMetadata", METADATA_BYTES_MAX);
	check_volume_error(h, json_get(status, "attachError"), "status.attachError");
	check_volume_error(h, json_get(status, "detachError"), "status.detachError");
}

static void attachment_validate(struct hook *h, const struct json *doc)
{
	static const char one_of[] =
		"must specify exactly one of inlineVolumeSpec and persistentVolumeName";
	const struct json *spec = json_get(doc, "spec"), *source = json_get(spec, "source");
	const struct json *name = json_get(source, "persistentVolumeName");
	const struct json *inlined = json_get(source, "inlineVolumeSpec");
	if (!name && !inlined)
		required(h, "spec.source", one_of);
	else if (name && inlined)
		forbidden(h, "spec.source", one_of);
	else if (name && !*json_str_or(name, ""))
		required(h, "spec.source.persistentVolumeName",
			"must specify non empty persistentVolumeName");
	check_rule_at(h, RULE_DNS_SUBDOMAIN, "spec.nodeName", json_get(spec, "nodeName"));
	if (*json_str_or(json_get(spec, "attacher"), ""))
		check_driver_name(h, "spec.attacher", json_get(spec, "attacher"));
	if (*json_str_or(name, ""))
		check_rule_at(h, RULE_DNS_SUBDOMAIN, "spec.source.persistentVolumeName", name);
	attachment_status(h, doc);
}

static void attachment_validate_update(
	struct hook *h, const struct json *doc, const struct json *old)
{
	if (streq(h->part, "status"))
		attachment_status(h, doc);
	check_fixed(h, "spec", doc, old, "spec");
}

static struct json *attachment_cell(const struct table_row *row, const char *column)
{
	if (streq(column, "PV"))
		return cell_text(row, "%s",
			json_str_or(json_path(row->doc, "spec.source.persistentVolumeName"), ""));
	if (streq(column, "Attached"))
		return json_new_bool(
			row->arena, json_path_bool(row->doc, "status.attached", false));
	return NULL;
}

const struct kind_hooks hooks_volume_attachment = {
	.group = "storage.k8s.io",
	.kind = "VolumeAttachment",
	.validate = attachment_validate,
	.validate_update = attachment_validate_update,
	.cell = attachment_cell,
};

/* ---- CSIDriver ---- */

static void check_token_requests(struct hook *h, const struct json *list)
{
	struct json_seen audiences = {.arena = h->arena, .by = {"audience"}};
	for (size_t i = 0; i < json_count(list); i++) {
		const struct json *t = json_at(list, i), *audience = json_get(t, "audience");
		const struct json *seconds = json_get(t, "expirationSeconds");
		const char *path = at(h, "spec.tokenRequests[%zu]", i);
		if (json_seen_put(&audiences, t)) {
			duplicate(h, at(h, "%s.audience", path), audience);
			continue;
		}
		if (!json_is(seconds, JSON_INT))
			continue;
		if (seconds->i < TOKEN_SECONDS_MIN)
			invalid(h, at(h, "%s.expirationSeconds", path), seconds,
				"may not specify a duration less than 10 minutes");
		if (seconds->i > 1LL << 32)
			invalid(h, at(h, "%s.expirationSeconds", path), seconds,
				"may not specify a duration larger than 2^32 seconds");
	}
}

static void driver_validate(struct hook *h, const struct json *doc)
{
	static const char *const policies[] = {"File", "None", "ReadWriteOnceWithFSType", NULL};
	static const char *const modes[] = {"Persistent", "Ephemeral", NULL};
	const struct json *spec = json_get(doc, "spec");
	const struct json *period = json_get(spec, "nodeAllocatableUpdatePeriodSeconds");
	check_one_of(h, "spec.fsGroupPolicy", json_get(spec, "fsGroupPolicy"), policies);
	check_token_requests(h, json_get(spec, "tokenRequests"));
	JSON_FOR_EACH_ITEM(m, json_get(spec, "volumeLifecycleModes"))
		check_one_of(h, "spec.volumeLifecycleModes", m, modes);
	if (json_is(period, JSON_INT) && period->i < 10)
		invalid(h, "spec.nodeAllocatableUpdatePeriodSeconds", period,
			"must be greater than or equal to 10 seconds");
}

static void driver_validate_update(struct hook *h, const struct json *doc, const struct json *old)
{
	check_fixed(h, "spec.attachedRequired", doc, old, "spec.attachRequired");
	check_fixed(h, "spec.volumeLifecycleModes", doc, old, "spec.volumeLifecycleModes");
}

/* The first change that counts makes it 1. */
static int driver_prepare_update(struct hook *h, struct json *doc, const struct json *old)
{
	if (!json_equal(json_get(doc, "spec"), json_get(old, "spec")))
		json_path_set(h->arena, doc, "metadata.generation",
			json_new_int(h->arena, json_path_int(old, "metadata.generation", 0) + 1));
	return 0;
}

static struct json *driver_cell(const struct table_row *row, const char *column)
{
	static const struct {
		const char *column, *path;
		bool absent;
	} flags[] = {
		{"AttachRequired", "spec.attachRequired", true},
		{"PodInfoOnMount", "spec.podInfoOnMount", false},
		{"StorageCapacity", "spec.storageCapacity", false},
		{"RequiresRepublish", "spec.requiresRepublish", false},
	};
	const struct json *tokens = json_path(row->doc, "spec.tokenRequests");
	const struct json *modes = json_path(row->doc, "spec.volumeLifecycleModes");
	const char *text = "";
	for (size_t i = 0; i < ARRAY_LEN(flags); i++)
		if (streq(column, flags[i].column))
			return json_new_bool(row->arena,
				json_path_bool(row->doc, flags[i].path, flags[i].absent));
	if (streq(column, "TokenRequests")) {
		if (!tokens)
			return cell_text(row, "<unset>");
		for (size_t i = 0; i < json_count(tokens); i++)
			text = arena_printf(row->arena, "%s%s%s", text, i ? "," : "",
				json_str_or(json_get(json_at(tokens, i), "audience"), ""));
		return cell_text(row, "%s", text);
	}
	if (!streq(column, "Modes"))
		return NULL;
	JSON_FOR_EACH_ITEM(m, modes)
		text = arena_printf(
			row->arena, "%s%s%s", text, *text ? "," : "", json_str_or(m, ""));
	return cell_text(row, "%s", *text ? text : "<none>");
}

const struct kind_hooks hooks_csi_driver = {
	.group = "storage.k8s.io",
	.kind = "CSIDriver",
	.prepare_update = driver_prepare_update,
	.validate = driver_validate,
	.validate_update = driver_validate_update,
	.cell = driver_cell,
};

/* ---- CSINode ---- */

static void check_node_driver(
	struct hook *h, const struct json *d, struct json_seen *names, const char *path)
{
	const struct json *name = json_get(d, "name");
	const struct json *id = json_get(d, "nodeID"), *keys = json_get(d, "topologyKeys");
	const struct json *count = json_path(d, "allocatable.count");
	struct json_seen seen = {.arena = h->arena};
	check_driver_name(h, at(h, "%s.name", path), name);
	if (require_text(h, at(h, "%s.nodeID", path), id) && id->count > NODE_ID_MAX)
		invalid(h, at(h, "%s.nodeID", path), id, "must be %d characters or less",
			NODE_ID_MAX);
	if (json_int_or(count, 0) < 0)
		invalid(h, at(h, "%s.allocatable.count", path), count,
			"must be greater than or equal to 0");
	if (json_seen_put(names, d))
		duplicate(h, at(h, "%s.name", path), name);
	for (size_t i = 0; i < json_count(keys); i++) {
		const struct json *key = json_at(keys, i);
		require_text(h, path, key);
		if (json_seen_put(&seen, key))
			duplicate(h, path, key);
		check_rule_at(h, RULE_QUALIFIED_NAME, path, key);
	}
}

static void csi_node_validate(struct hook *h, const struct json *doc)
{
	const struct json *drivers = json_path(doc, "spec.drivers");
	struct json_seen names = {.arena = h->arena, .by = {"name"}};
	for (size_t i = 0; i < json_count(drivers); i++)
		check_node_driver(h, json_at(drivers, i), &names, at(h, "spec.drivers[%zu]", i));
}

static struct json *find_driver(const struct json *doc, const struct json *name)
{
	JSON_FOR_EACH_ITEM(d, json_path(doc, "spec.drivers"))
		if (json_equal(json_get(d, "name"), name))
			return d;
	return NULL;
}

/* Drivers come and go; one that stays is as it was. */
static void csi_node_validate_update(struct hook *h, const struct json *doc, const struct json *old)
{
	JSON_FOR_EACH_ITEM(was, json_path(old, "spec.drivers")) {
		const struct json *now = find_driver(doc, json_get(was, "name"));
		if (now && !json_equal(now, was))
			field_immutable(h, "spec.drivers", now);
	}
}

static struct json *csi_node_cell(const struct table_row *row, const char *column)
{
	if (!streq(column, "Drivers"))
		return NULL;
	return json_new_int(row->arena, (int64_t)json_count(json_path(row->doc, "spec.drivers")));
}

const struct kind_hooks hooks_csi_node = {
	.group = "storage.k8s.io",
	.kind = "CSINode",
	.validate = csi_node_validate,
	.validate_update = csi_node_validate_update,
	.cell = csi_node_cell,
};

/* ---- CSIStorageCapacity ---- */

static void capacity_validate(struct hook *h, const struct json *doc)
{
	const struct json *capacity = json_get(doc, "capacity");
	check_label_selector(h, json_get(doc, "nodeTopology"), "nodeTopology");
	check_rule_at(h, RULE_DNS_SUBDOMAIN, "storageClassName", json_get(doc, "storageClassName"));
	if (*json_str_or(capacity, "") == '-')
		invalid(h, "capacity", capacity, "must be greater than or equal to 0");
}

static void capacity_validate_update(struct hook *h, const struct json *doc, const struct json *old)
{
	check_fixed(h, "nodeTopology", doc, old, "nodeTopology");
	check_fixed(h, "storageClassName", doc, old, "storageClassName");
}

static struct json *capacity_cell(const struct table_row *row, const char *column)
{
	if (!streq(column, "Capacity"))
		return NULL;
	return cell_text(row, "%s", json_str_or(json_get(row->doc, "capacity"), "<unset>"));
}

const struct kind_hooks hooks_csi_storage_capacity = {
	.group = "storage.k8s.io",
	.kind = "CSIStorageCapacity",
	.validate = capacity_validate,
	.validate_update = capacity_validate_update,
	.cell = capacity_cell,
};

/* volume_sources.c - the types of volumes, of pods and of persistent volumes: exactly one, and what
 * each must say beyond its schema. */
#include "server/api/hooks/workload.h"

#include "lib/object/quantity.h"

#define MODE_MAX 0777
#define TOKEN_SECONDS_MIN 600
#define TOKEN_SECONDS_MAX (1ll << 32)
#define DRIVER_NAME_MAX_BYTES 63

struct volume {
	struct hook *h;
	const struct json *source;
	const char *at; /* of the source */
	bool persistent;
	const char *name; /* of the volume */
};

/* ---- paths ---- */

static bool has_backstep(const char *path)
{
	struct str rest = str_from(path), part;
	while (str_split(&rest, '/', &part))
		if (str_eq(part, ".."))
			return true;
	return false;
}

void path_no_backsteps(struct hook *h, const char *at, const struct json *path)
{
	if (has_backstep(json_str_or(path, "")))
		invalid(h, at, path, "must not contain '..'");
}

void path_relative(struct hook *h, const char *at, const struct json *path)
{
	if (json_str_or(path, "")[0] == '/')
		invalid(h, at, path, "must be a relative path");
	path_no_backsteps(h, at, path);
}

void path_local(struct hook *h, const char *at, const struct json *path)
{
	const char *text = json_str_or(path, "");
	path_relative(h, at, path);
	if (str_has_prefix(text, "..") && !str_has_prefix(text, "../") && !has_backstep(text))
		invalid(h, at, path, "must not start with '..'");
}

/* ---- parts ---- */

static char *child(const struct volume *v, const char *name)
{
	return at_child(v->h, v->at, name);
}

static void mode_validate(struct hook *h, const struct json *mode, const char *at)
{
	if (present(mode) && (json_int_or(mode, 0) < 0 || json_int_or(mode, 0) > MODE_MAX))
		invalid(h, at, mode, "must be a number between 0 and 0777 (octal), both inclusive");
}

/* The everyday case has modes and paths that are right, and needs no path for messages. */
static void items_validate(struct hook *h, const struct json *items, const char *at)
{
	size_t i = 0;
	JSON_FOR_EACH_ITEM(item, items) {
		const char *path = json_str_or(json_get(item, "path"), "");
		bool plain = !json_get(item, "mode") && *path != '/' && !strstr(path, "..");
		if (plain) {
			i++;
			continue;
		}
		const char *field = at_item(h, at, i++);
		if (json_get(item, "path"))
			path_local(h, at_child(h, field, "path"), json_get(item, "path"));
		mode_validate(h, json_get(item, "mode"), at_child(h, field, "mode"));
	}
}

static void files_validate(const struct volume *v)
{
	const struct json *mode = json_get(v->source, "defaultMode");
	const struct json *items = json_get(v->source, "items");
	if (json_int_or(mode, 0) & ~MODE_MAX)
		mode_validate(v->h, mode, child(v, "defaultMode"));
	if (json_count(items))
		items_validate(v->h, items, child(v, "items"));
}

static void secret_validate(const struct volume *v)
{
	if (!*json_str_or(json_get(v->source, "secretName"), ""))
		required(v->h, child(v, "secretName"), NULL);
	files_validate(v);
}

static void config_map_validate(const struct volume *v)
{
	if (!*json_str_or(json_get(v->source, "name"), ""))
		required(v->h, child(v, "name"), NULL);
	files_validate(v);
}

static void empty_dir_validate(const struct volume *v)
{
	struct quantity q;
	const char *limit = json_str(json_get(v->source, "sizeLimit"));
	if (limit && quantity_parse(limit, &q) == 0 && q.nano < 0)
		forbid(v->h, child(v, "sizeLimit"),
			"SizeLimit field must be a valid resource quantity");
}

static void host_path_validate(const struct volume *v)
{
	if (json_get(v->source, "path"))
		path_no_backsteps(v->h, child(v, "path"), json_get(v->source, "path"));
}

static void nfs_validate(const struct volume *v)
{
	const struct json *path = json_get(v->source, "path");
	if (path && json_str_or(path, "")[0] != '/')
		invalid(v->h, child(v, "path"), path, "must be an absolute path");
}

static void git_validate(const struct volume *v)
{
	if (json_get(v->source, "directory"))
		path_relative(v->h, child(v, "directory"), json_get(v->source, "directory"));
}

static void local_validate(const struct volume *v)
{
	if (json_get(v->source, "path"))
		path_no_backsteps(v->h, child(v, "path"), json_get(v->source, "path"));
}

static void disk_validate(const struct volume *v)
{
	const struct json *partition = json_get(v->source, "partition");
	int64_t n = json_int_or(partition, 0);
	if (n < 0 || n > 255)
		invalid(v->h, child(v, "partition"), partition,
			"must be between 1 and 255, inclusive");
}

static bool alnum(char c, bool more)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
	       (more && (c == '-' || c == '.'));
}

/* iqn.YYYY-MM.NAMING-AUTHORITY:NAME, eui.16 characters, naa.32 characters. */
static bool iscsi_name_valid(const char *s)
{
	if (!str_has_prefix(s, "iqn")) {
		size_t digits = str_has_prefix(s, "eui") ? 16 : 32;
		if (strlen(s) != 4 + digits)
			return false;
		for (size_t i = 4; i < 4 + digits; i++)
			if (!alnum(s[i], false))
				return false;
		return true;
	}
	static const char shape[] = "iqn.0000-00.";
	for (size_t i = 0; shape[i]; i++)
		if (shape[i] == '0' ? s[i] < '0' || s[i] > '9' : s[i] != shape[i])
			return false;
	const char *p = s + strlen(shape), *colon = p;
	while (alnum(*colon, true))
		colon++;
	return colon > p && *colon == ':' && colon[1] && !strpbrk(colon + 1, "^,;*&$| \t\n\r\f\v");
}

static void iscsi_name_validate(
	const struct volume *v, const struct json *name, const char *at, const char *wrong_start)
{
	const char *s = json_str_or(name, "");
	if (!*s)
		return;
	if (!str_has_prefix(s, "iqn") && !str_has_prefix(s, "eui") && !str_has_prefix(s, "naa"))
		invalid(v->h, at, name, "%s", wrong_start);
	else if (!iscsi_name_valid(s))
		invalid(v->h, at, name, "must be valid format");
}

static void iscsi_validate(const struct volume *v)
{
	const char *start = v->persistent ? "must be valid format"
					  : "must be valid format starting with iqn, eui, or naa";
	const struct json *secret = json_get(v->source, "secretRef");
	const struct json *initiator = json_get(v->source, "initiatorName");
	const struct json *portal = json_get(v->source, "targetPortal");
	iscsi_name_validate(v, json_get(v->source, "iqn"), child(v, "iqn"), start);
	if ((json_bool_or(json_get(v->source, "chapAuthDiscovery"), false) ||
		    json_bool_or(json_get(v->source, "chapAuthSession"), false)) &&
		!present(secret))
		required(v->h, child(v, "secretRef"), NULL);
	if (!present(initiator))
		return;
	iscsi_name_validate(v, initiator, child(v, "initiatorname"), start);
	if (strlen(v->name) + 1 + strlen(json_str_or(portal, "")) > 64)
		invalid(v->h, child(v, "targetportal"), portal,
			"Total length of <volume name>:<iscsi.targetPortal> must be under 64 "
			"characters if iscsi.initiatorName is specified.");
}

static void fc_validate(const struct volume *v)
{
	const struct json *names = json_get(v->source, "targetWWNs");
	const struct json *lun = json_get(v->source, "lun");
	size_t ids = json_count(json_get(v->source, "wwids"));
	if (!json_count(names) && !ids)
		required(v->h, child(v, "targetWWNs"),
			"must specify either targetWWNs or wwids, but not both");
	if (json_count(names) && ids)
		invalid(v->h, child(v, "targetWWNs"), names,
			"targetWWNs and wwids can not be specified simultaneously");
	if (!json_count(names))
		return;
	if (!present(lun))
		required(v->h, child(v, "lun"), "lun is required if targetWWNs is specified");
	else if (json_int_or(lun, 0) < 0 || json_int_or(lun, 0) > 255)
		invalid(v->h, child(v, "lun"), lun, "must be between 0 and 255, inclusive");
}

static void flocker_validate(const struct volume *v)
{
	const struct json *name = json_get(v->source, "datasetName");
	bool named = *json_str_or(name, ""),
	     numbered = *json_str_or(json_get(v->source, "datasetUUID"), "");
	if (!named && !numbered)
		required(v->h, v->at, "one of datasetName and datasetUUID is required");
	if (named && numbered)
		invalid_text(v->h, v->at, "resource",
			"datasetName and datasetUUID can not be specified simultaneously");
	if (strchr(json_str_or(name, ""), '/'))
		invalid(v->h, child(v, "datasetName"), name, "must not contain '/'");
}

static void flex_validate(const struct volume *v)
{
	JSON_FOR_EACH_MEMBER(m, json_get(v->source, "options")) {
		char *space =
			arena_printf(v->h->arena, ".%.*s", (int)strcspn(m->name, "/"), m->name);
		for (char *c = space; *c; c++)
			if (*c >= 'A' && *c <= 'Z')
				*c = (char)(*c | 32);
		if (str_has_suffix(space, ".kubernetes.io") || str_has_suffix(space, ".k8s.io"))
			invalid_text(v->h, at_key(v->h, child(v, "options"), m->name), m->name,
				"kubernetes.io and k8s.io namespaces are reserved");
	}
}

static void secret_reference_validate(
	const struct volume *v, const char *member, bool with_namespace)
{
	const struct json *ref = json_get(v->source, member);
	const char *at = child(v, member);
	if (!present(ref))
		return;
	if (!*json_str_or(json_get(ref, "name"), ""))
		required(v->h, at_child(v->h, at, "name"), NULL);
	else
		check_rule_at(v->h, RULE_DNS_SUBDOMAIN, at_child(v->h, at, "name"),
			json_get(ref, "name"));
	if (!with_namespace)
		return;
	if (!*json_str_or(json_get(ref, "namespace"), ""))
		required(v->h, at_child(v->h, at, "namespace"), NULL);
	else
		check_rule_at(v->h, RULE_DNS_LABEL, at_child(v->h, at, "namespace"),
			json_get(ref, "namespace"));
}

static void cinder_validate(const struct volume *v)
{
	secret_reference_validate(v, "secretRef", v->persistent);
}

static void csi_validate(const struct volume *v)
{
	static const char *const refs[] = {"controllerPublishSecretRef",
		"controllerExpandSecretRef", "nodePublishSecretRef", "nodeExpandSecretRef"};
	const struct json *driver = json_get(v->source, "driver");
	const char *text = json_str_or(driver, "");
	char *lower = arena_strdup(v->h->arena, text);
	for (char *c = lower; *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c | 32);
	if (strlen(text) > DRIVER_NAME_MAX_BYTES)
		field_error(v->h->errors, FIELD_TOO_LONG, child(v, "driver"), NULL,
			"may not be more than %d bytes", DRIVER_NAME_MAX_BYTES);
	const char *messages[RULE_MESSAGES_MAX];
	size_t n = *lower ? rule_check(RULE_DNS_SUBDOMAIN, lower, strlen(lower), messages) : 0;
	for (size_t i = 0; i < n; i++)
		invalid(v->h, child(v, "driver"), driver, "%s", messages[i]);
	for (size_t i = 0; i < ARRAY_LEN(refs); i++)
		secret_reference_validate(v, refs[i], v->persistent);
}

static void storageos_validate(const struct volume *v)
{
	static const char *const names[] = {"volumeName", "volumeNamespace"};
	for (size_t i = 0; i < ARRAY_LEN(names); i++) {
		const struct json *name = json_get(v->source, names[i]);
		if (*json_str_or(name, ""))
			check_rule_at(v->h, RULE_DNS_LABEL, child(v, names[i]), name);
		else if (i == 0)
			required(v->h, child(v, names[i]), NULL);
	}
	secret_reference_validate(v, "secretRef", v->persistent);
}

static void quobyte_validate(const struct volume *v)
{
	static const char pairs[] =
		"must be a host:port pair or multiple pairs separated by commas";
	const struct json *registry = json_get(v->source, "registry");
	if (!*json_str_or(registry, "")) {
		required(v->h, child(v, "registry"), pairs);
		return;
	}
	if (strlen(json_str_or(json_get(v->source, "tenant"), "")) >= 65) {
		required(v->h, child(v, "tenant"),
			"must be a UUID and may not exceed a length of 64 characters");
		return;
	}
	struct str rest = str_from(json_str(registry)), part;
	while (str_split(&rest, ',', &part))
		if (!memchr(part.p, ':', part.size))
			invalid(v->h, child(v, "registry"), registry, "%s", pairs);
}

static void scaleio_validate(const struct volume *v)
{
	if (!*json_str_or(json_get(v->source, "volumeName"), ""))
		required(v->h, child(v, "volumeName"), NULL);
}

static void azure_disk_validate(const struct volume *v)
{
	static const char *const managed[] = {
		"/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/"
		"disks/{disk-id}",
		NULL};
	static const char *const blob[] = {
		"https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd",
		NULL};
	const struct json *uri = json_get(v->source, "diskURI");
	bool is_managed = streq(json_str(json_get(v->source, "kind")), "Managed");
	if (!str_has_prefix(json_str_or(uri, ""), is_managed ? "/subscriptions/" : "https://"))
		unsupported(v->h, child(v, "diskURI"), uri, is_managed ? managed : blob);
}

static void glusterfs_validate(const struct volume *v)
{
	const struct json *namespace = json_get(v->source, "endpointsNamespace");
	if (!present(namespace))
		return;
	if (!*json_str_or(namespace, ""))
		invalid(v->h, child(v, "endpointsNamespace"), namespace,
			"if the endpointnamespace is set, it must be a valid namespace name");
	else
		check_rule_at(v->h, RULE_DNS_LABEL, child(v, "endpointsNamespace"), namespace);
}

static void ephemeral_validate(const struct volume *v)
{
	const struct json *template = json_get(v->source, "volumeClaimTemplate");
	static const char *const allowed[] = {"labels", "annotations", NULL};
	if (!present(template)) {
		required(v->h, child(v, "volumeClaimTemplate"), NULL);
		return;
	}
	JSON_FOR_EACH_MEMBER(m, json_get(template, "metadata"))
		if (!is_one_of(m->name, allowed) && present(m->value))
			forbid(v->h,
				arena_printf(v->h->arena, "%s.volumeClaimTemplate.metadata.%s",
					v->at, m->name),
				"cannot be set");
	claim_spec_validate(v->h, json_get(template, "spec"), child(v, "volumeClaimTemplate.spec"));
}

/* ---- the pod's fields as files, and several sources in one directory ---- */

static void downward_file_validate(struct hook *h, const struct json *file, const char *at)
{
	const struct json *field = json_get(file, "fieldRef");
	const struct json *resource = json_get(file, "resourceFieldRef");
	const char *path = json_str_or(json_get(file, "path"), "");
	if (*path == '/' || strstr(path, ".."))
		path_local(h, at_child(h, at, "path"), json_get(file, "path"));
	if (present(field))
		pod_field_validate(h, field, at_child(h, at, "fieldRef"), true);
	if (present(field) && present(resource))
		invalid_text(h, at, "resource",
			"fieldRef and resourceFieldRef can not be specified simultaneously");
	else if (present(resource))
		pod_resource_field_validate(h, resource, at_child(h, at, "resourceFieldRef"), true);
	else if (!present(field))
		required(h, at, "one of fieldRef and resourceFieldRef is required");
	mode_validate(h, json_get(file, "mode"), at_child(h, at, "mode"));
}

static void downward_validate(const struct volume *v)
{
	mode_validate(v->h, json_get(v->source, "defaultMode"), child(v, "defaultMode"));
	JSON_FOR_EACH_ITEM(file, json_get(v->source, "items"))
		downward_file_validate(v->h, file, v->at);
}

static void token_validate(struct hook *h, const struct json *token, const char *at)
{
	const struct json *seconds = json_get(token, "expirationSeconds");
	int64_t n = json_int_or(seconds, 3600);
	if (n < TOKEN_SECONDS_MIN)
		invalid(h, at_child(h, at, "expirationSeconds"), seconds,
			"may not specify a duration less than 10 minutes");
	if (n > TOKEN_SECONDS_MAX)
		invalid(h, at_child(h, at, "expirationSeconds"), seconds,
			"may not specify a duration larger than 2^32 seconds");
}

static void bundle_validate(struct hook *h, const struct json *bundle, const char *at)
{
	bool name = present(json_get(bundle, "name")),
	     signer = present(json_get(bundle, "signerName"));
	if (name && signer)
		invalid(h, at, bundle, "only one of name and signerName may be used");
	else if (!name && !signer)
		required(h, at, "either name or signerName must be specified");
	else if (name && !*json_str_or(json_get(bundle, "name"), ""))
		required(h, at_child(h, at, "name"), "must be a valid object name");
	else if (name && present(json_get(bundle, "labelSelector")))
		invalid(h, at_child(h, at, "labelSelector"), json_get(bundle, "labelSelector"),
			"labelSelector must be unset if name is specified");
	else if (signer && !*json_str_or(json_get(bundle, "signerName"), ""))
		required(h, at_child(h, at, "signerName"), "must be a valid signer name");
	if (json_get(bundle, "path"))
		path_local(h, at_child(h, at, "path"), json_get(bundle, "path"));
}

/* A path that an earlier source has, too. */
static void path_taken(const struct volume *v, struct json *taken, const struct json *path,
	const struct json *shown)
{
	const char *text = json_str_or(path, "");
	if (!*text)
		return;
	if (json_get(taken, text))
		invalid(v->h, v->at, shown, "conflicting duplicate paths");
	else
		json_set_bool(v->h->arena, taken, text, true);
}

static void projection_validate(
	const struct volume *v, const struct json *source, const char *at, struct json *taken)
{
	static const char *const keyed[] = {"secret", "configMap"};
	struct hook *h = v->h;
	size_t count = 0;
	for (size_t i = 0; i < ARRAY_LEN(keyed); i++) {
		const struct json *s = json_get(source, keyed[i]);
		const char *field = at_child(h, at, keyed[i]);
		if (!present(s))
			continue;
		count++;
		if (!*json_str_or(json_get(s, "name"), ""))
			required(h, at_child(h, field, "name"), NULL);
		items_validate(h, json_get(s, "items"), at_child(h, field, "items"));
		JSON_FOR_EACH_ITEM(item, json_get(s, "items"))
			path_taken(v, taken, json_get(item, "path"), json_get(s, "name"));
	}
	const struct json *downward = json_get(source, "downwardAPI");
	const struct json *token = json_get(source, "serviceAccountToken");
	const struct json *bundle = json_get(source, "clusterTrustBundle");
	JSON_FOR_EACH_ITEM(file, json_get(downward, "items")) {
		downward_file_validate(h, file, at_child(h, at, "downwardAPI"));
		path_taken(v, taken, json_get(file, "path"), json_get(file, "path"));
	}
	if (present(token)) {
		token_validate(h, token, at_child(h, at, "serviceAccountToken"));
		if (*json_str_or(json_get(token, "path"), ""))
			path_local(h, child(v, "path"), json_get(token, "path"));
	}
	if (present(bundle)) {
		bundle_validate(h, bundle, at_child(h, at, "clusterTrustBundle"));
		path_taken(v, taken, json_get(bundle, "path"), json_get(bundle, "path"));
	}
	count += present(downward) + (size_t)present(token) + (size_t)present(bundle);
	if (count > 1)
		forbid(h, at, "may not specify more than 1 volume type per source");
}

static void projected_validate(const struct volume *v)
{
	struct json *taken = json_new_object(v->h->arena);
	size_t i = 0;
	mode_validate(v->h, json_get(v->source, "defaultMode"), child(v, "defaultMode"));
	JSON_FOR_EACH_ITEM(source, json_get(v->source, "sources"))
		projection_validate(v, source, at_child_item(v->h, v->at, "sources", i++), taken);
}

/* ---- the types, in the order in which they are looked for ---- */

static const struct {
	const char *name;
	void (*validate)(const struct volume *v); /* NULL = the schema says all */
} types[] = {
	{"emptyDir", empty_dir_validate},
	{"hostPath", host_path_validate},
	{"gitRepo", git_validate},
	{"gcePersistentDisk", disk_validate},
	{"awsElasticBlockStore", disk_validate},
	{"secret", secret_validate},
	{"nfs", nfs_validate},
	{"iscsi", iscsi_validate},
	{"glusterfs", glusterfs_validate},
	{"flocker", flocker_validate},
	{"persistentVolumeClaim", NULL},
	{"rbd", NULL},
	{"cinder", cinder_validate},
	{"cephfs", NULL},
	{"quobyte", quobyte_validate},
	{"downwardAPI", downward_validate},
	{"fc", fc_validate},
	{"flexVolume", flex_validate},
	{"configMap", config_map_validate},
	{"azureFile", NULL},
	{"vsphereVolume", NULL},
	{"photonPersistentDisk", NULL},
	{"portworxVolume", NULL},
	{"azureDisk", azure_disk_validate},
	{"storageos", storageos_validate},
	{"projected", projected_validate},
	{"scaleIO", scaleio_validate},
	{"csi", csi_validate},
	{"ephemeral", ephemeral_validate},
	{"image", NULL},
	{"local", local_validate},
};

static size_t type_of(const struct json_member *m)
{
	for (size_t i = 0; i < ARRAY_LEN(types); i++)
		if (*m->name == *types[i].name && streq(m->name, types[i].name))
			return i;
	return ARRAY_LEN(types);
}

bool volume_type_known(const char *type)
{
	return type_of(&(struct json_member){.name = type}) < ARRAY_LEN(types);
}

void volume_source_validate(struct hook *h, const struct json *volume, const char *at,
	bool persistent, const char *name)
{
	uint64_t given = 0;
	size_t count = 0;
	JSON_FOR_EACH_MEMBER(m, volume) {
		size_t type = present(m->value) ? type_of(m) : ARRAY_LEN(types);
		if (type == ARRAY_LEN(types))
			continue;
		given |= 1ull << type;
		count++;
	}
	if (count == 0)
		required(h, at, "must specify a volume type");
	bool first = true;
	for (size_t i = 0; i < ARRAY_LEN(types) && given >> i; i++) {
		if (!(given >> i & 1))
			continue;
		if (!first) {
			forbid(h, at_child(h, at, types[i].name),
				"may not specify more than 1 volume type");
			continue;
		}
		first = false;
		if (!types[i].validate)
			continue;
		struct volume v = {h, json_get(volume, types[i].name),
			at_child(h, at, types[i].name), persistent, name};
		types[i].validate(&v);
	}
}

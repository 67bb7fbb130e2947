/* crd.c - CustomResourceDefinitions: defaults, names, versions, what may not change. Whether the
 * names are free, and the resource itself, is custom_resources.c's business. */
#include "server/api/hooks/crd.h"

#include "lib/json/json_seen.h"
#include "server/api/kinds/custom_names.h"
#include "server/api/kinds/custom_resources.h"
#include "server/api/tables/jsonpath.h"

#define SELECTABLE_FIELDS_MAX 8

static struct json *text_of(struct hook *h, const char *s)
{
	return json_new_string(h->arena, s);
}

/* ---- defaults ---- */

static void set_defaults(struct hook *h, struct json *doc)
{
	struct arena *a = h->arena;
	struct json *names = json_path(doc, "spec.names");
	const char *kind = json_str_or(json_get(names, "kind"), "");
	if (names && !*json_str_or(json_get(names, "singular"), "")) {
		char *singular = arena_strdup(a, kind);
		for (char *p = singular; *p; p++)
			if (*p >= 'A' && *p <= 'Z')
				*p = (char)(*p | 32);
		json_set_str(a, names, "singular", singular);
	}
	if (names && *kind && !*json_str_or(json_get(names, "listKind"), ""))
		json_set(a, names, "listKind", json_new_printf(a, "%sList", kind));
	if (!json_path(doc, "spec.conversion"))
		json_path_set(a, doc, "spec.conversion.strategy", text_of(h, "None"));
	/* false is what it is when absent. */
	struct json *spec = json_get(doc, "spec");
	const struct json *preserve = json_get(spec, "preserveUnknownFields");
	if (json_is(preserve, JSON_BOOL) && !preserve->b)
		json_remove(spec, "preserveUnknownFields");
}

static const char *storage_version(const struct json *doc)
{
	JSON_FOR_EACH_ITEM(v, json_path(doc, "spec.versions"))
		if (json_bool_or(json_get(v, "storage"), false))
			return json_str_or(json_get(v, "name"), "");
	return NULL;
}

/* The version that objects are stored as from now on is one they were ever stored as. */
static void add_stored_version(struct hook *h, struct json *doc)
{
	const char *storage = storage_version(doc);
	if (!storage)
		return;
	struct json *list =
		json_array_at(h->arena, json_object_at(h->arena, doc, "status"), "storedVersions");
	JSON_FOR_EACH_ITEM(v, list)
		if (streq(json_str(v), storage))
			return;
	json_push(h->arena, list, text_of(h, storage));
}

static int prepare_create(struct hook *h, struct json *doc)
{
	struct arena *a = h->arena;
	set_defaults(h, doc);
	add_stored_version(h, doc);
	struct json *status = json_get(doc, "status");
	struct json *names = json_object_at(a, status, "acceptedNames");
	json_set_str(a, names, "plural", "");
	json_set_str(a, names, "kind", "");
	json_set(a, status, "conditions", json_new_array(a));
	return 0;
}

static int prepare_update(struct hook *h, struct json *doc, const struct json *old)
{
	set_defaults(h, doc);
	if (!*h->part)
		add_stored_version(h, doc);
	return 0;
}

/* ---- names ---- */

static void check_rule(struct hook *h, const char *field, const char *name, enum rule rule)
{
	const char *messages[RULE_MESSAGES_MAX];
	size_t n = rule_check(rule, name, strlen(name), messages);
	for (size_t i = 0; i < n; i++)
		field_error(h->errors, FIELD_INVALID, field, text_of(h, name), "%s", messages[i]);
}

static char *lower(struct arena *a, const char *s)
{
	char *copy = arena_strdup(a, s);
	for (char *p = copy; *p; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p | 32);
	return copy;
}

static void check_kind_name(struct hook *h, const char *field, const char *name)
{
	const char *messages[RULE_MESSAGES_MAX];
	const char *small = lower(h->arena, name);
	size_t n = *name ? rule_check(RULE_DNS_1035_LABEL, small, strlen(small), messages) : 0;
	if (!*name)
		field_error(h->errors, FIELD_REQUIRED, field, NULL, NULL);
	for (size_t i = 0; i < n; i++)
		field_error(h->errors, FIELD_INVALID, field, text_of(h, name),
			"may have mixed case, but should otherwise match: %s", messages[i]);
}

static void check_names(struct hook *h, const char *at, const struct json *names)
{
	struct arena *a = h->arena;
	const char *kind = json_str_or(json_get(names, "kind"), "");
	const char *list_kind = json_str_or(json_get(names, "listKind"), "");
	const char *plural = json_str_or(json_get(names, "plural"), "");
	const char *singular = json_str_or(json_get(names, "singular"), "");
	if (!*plural)
		field_error(
			h->errors, FIELD_REQUIRED, arena_printf(a, "%s.plural", at), NULL, NULL);
	else
		check_rule(h, arena_printf(a, "%s.plural", at), plural, RULE_DNS_1035_LABEL);
	if (*singular)
		check_rule(h, arena_printf(a, "%s.singular", at), singular, RULE_DNS_1035_LABEL);
	check_kind_name(h, arena_printf(a, "%s.kind", at), kind);
	check_kind_name(h, arena_printf(a, "%s.listKind", at), list_kind);
	if (*kind && streq(kind, list_kind))
		field_error(h->errors, FIELD_INVALID, arena_printf(a, "%s.listKind", at),
			text_of(h, list_kind), "kind and listKind may not be the same");
	static const char *const lists[] = {"shortNames", "categories"};
	for (size_t n = 0; n < ARRAY_LEN(lists); n++) {
		size_t i = 0;
		JSON_FOR_EACH_ITEM(name, json_get(names, lists[n]))
			check_rule(h, arena_printf(a, "%s.%s[%zu]", at, lists[n], i++),
				json_str_or(name, ""), RULE_DNS_1035_LABEL);
	}
}

/* ---- versions ---- */

/* ".spec.replicas": names with dots between. */
static bool is_simple_path(const char *path)
{
	if (path[0] != '.' || !path[1] || path[strlen(path) - 1] == '.' || strstr(path, ".."))
		return false;
	return strpbrk(path, "[]{}()*?@'\" ") == NULL;
}

static void check_scale_path(struct hook *h, const char *field, const struct json *value,
	const char *below, const char *or_below)
{
	const char *path = json_str_or(value, "");
	if (!*path)
		field_error(h->errors, FIELD_REQUIRED, field, NULL, NULL);
	else if (!is_simple_path(path))
		field_error(h->errors, FIELD_INVALID, field, value,
			"should be a simple json path, like .spec.replicas");
	else if (!str_has_prefix(path, below) && !(or_below && str_has_prefix(path, or_below)))
		field_error(h->errors, FIELD_INVALID, field, value,
			or_below ? "should be a json path under either .spec or .status"
			: streq(below, ".spec.") ? "should be a json path under .spec"
						 : "should be a json path under .status");
}

static void check_subresources(struct hook *h, const char *at, const struct json *sub)
{
	struct arena *a = h->arena;
	const struct json *scale = json_get(sub, "scale");
	if (!json_is(scale, JSON_OBJECT))
		return;
	const struct json *selector = json_get(scale, "labelSelectorPath");
	check_scale_path(h, arena_printf(a, "%s.scale.specReplicasPath", at),
		json_get(scale, "specReplicasPath"), ".spec.", NULL);
	check_scale_path(h, arena_printf(a, "%s.scale.statusReplicasPath", at),
		json_get(scale, "statusReplicasPath"), ".status.", NULL);
	if (*json_str_or(selector, ""))
		check_scale_path(h, arena_printf(a, "%s.scale.labelSelectorPath", at), selector,
			".spec.", ".status.");
}

static bool is_one_of(const char *s, const char *const *all, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (streq(all[i], s))
			return true;
	return false;
}

static void check_column(struct hook *h, const char *at, const struct json *column)
{
	static const char *const types[] = {"integer", "number", "string", "boolean", "date"};
	static const char *const formats[] = {
		"", "int32", "int64", "float", "double", "byte", "date", "date-time", "password"};
	struct arena *a = h->arena;
	const struct json *type = json_get(column, "type"), *format = json_get(column, "format");
	const struct json *path = json_get(column, "jsonPath");
	if (!*json_str_or(json_get(column, "name"), ""))
		field_error(h->errors, FIELD_REQUIRED, arena_printf(a, "%s.name", at), NULL, NULL);
	if (!*json_str_or(type, ""))
		field_error(h->errors, FIELD_REQUIRED, arena_printf(a, "%s.type", at), NULL,
			"must be one of boolean,date,integer,number,string");
	else if (!is_one_of(json_str(type), types, ARRAY_LEN(types)))
		field_error(h->errors, FIELD_INVALID, arena_printf(a, "%s.type", at), type,
			"must be one of boolean,date,integer,number,string");
	if (!is_one_of(json_str_or(format, ""), formats, ARRAY_LEN(formats)))
		field_error(h->errors, FIELD_INVALID, arena_printf(a, "%s.format", at), format,
			"must be one of byte,date,date-time,double,float,int32,int64,password");
	if (!*json_str_or(path, ""))
		field_error(
			h->errors, FIELD_REQUIRED, arena_printf(a, "%s.jsonPath", at), NULL, NULL);
	else if (!jsonpath_valid(json_str(path)))
		field_error(h->errors, FIELD_INVALID, arena_printf(a, "%s.jsonPath", at), path,
			"must be a valid JSONPath such as .spec.replicas");
}

static const struct json *schema_at(const struct json *schema, const char *path)
{
	struct str rest = str_from(path + 1), part;
	while (schema && str_split(&rest, '.', &part))
		schema = json_get_n(json_get(schema, "properties"), part.p, part.size);
	return schema;
}

static void check_selectable(struct hook *h, const char *at, const struct json *version)
{
	const struct json *fields = json_get(version, "selectableFields");
	const struct json *schema = json_path(version, "schema.openAPIV3Schema");
	struct arena *a = h->arena;
	struct json_seen seen = {.arena = h->arena, .by = {"jsonPath"}};
	size_t i = 0;
	if (json_count(fields) > SELECTABLE_FIELDS_MAX)
		field_error(h->errors, FIELD_TOO_MANY, at,
			json_new_int(a, (int64_t)json_count(fields)), "must have at most %d items",
			SELECTABLE_FIELDS_MAX);
	JSON_FOR_EACH_ITEM(f, fields) {
		const struct json *value = json_get(f, "jsonPath");
		const char *path = json_str_or(value, "");
		const char *field = arena_printf(a, "%s[%zu].jsonPath", at, i);
		bool again = json_seen_put(&seen, f) != NULL;
		i++;
		if (!*path) {
			field_error(h->errors, FIELD_REQUIRED, field, NULL, NULL);
			continue;
		}
		if (again)
			field_error(h->errors, FIELD_DUPLICATE, field, value, NULL);
		const struct json *s = is_simple_path(path) ? schema_at(schema, path) : NULL;
		const char *type = json_str_or(json_get(s, "type"), "");
		if (!is_simple_path(path))
			field_error(h->errors, FIELD_INVALID, field, value,
				"is an invalid path: must be a simple json path starting with .");
		else if (str_has_prefix(path, ".metadata.") || streq(path, ".metadata"))
			field_error(h->errors, FIELD_INVALID, field, value,
				"must not point to fields in metadata");
		else if (!s)
			field_error(h->errors, FIELD_INVALID, field, value,
				"is an invalid path: does not refer to a valid field");
		else if (!streq(type, "string") && !streq(type, "boolean") &&
			 !streq(type, "integer"))
			field_error(h->errors, FIELD_INVALID, field, value,
				"must point to a field of type string, boolean or integer. Enum "
				"string fields and strings with formats are allowed.");
	}
}

static void check_version(struct hook *h, size_t i, const struct json *version)
{
	struct arena *a = h->arena;
	const char *at = arena_printf(a, "spec.versions[%zu]", i);
	const char *name = json_str_or(json_get(version, "name"), "");
	const struct json *schema = json_path(version, "schema.openAPIV3Schema");
	const struct json *warning = json_get(version, "deprecationWarning");
	if (!*name)
		field_error(h->errors, FIELD_REQUIRED, arena_printf(a, "%s.name", at), NULL, NULL);
	else
		check_rule(h, arena_printf(a, "%s.name", at), name, RULE_DNS_1035_LABEL);
	if (warning && !json_bool_or(json_get(version, "deprecated"), false))
		field_error(h->errors, FIELD_INVALID, arena_printf(a, "%s.deprecationWarning", at),
			warning, "can only be set for deprecated versions");
	if (warning && json_is(warning, JSON_STRING)) {
		if (warning->count > 256)
			field_error(h->errors, FIELD_TOO_LONG,
				arena_printf(a, "%s.deprecationWarning", at), NULL,
				"may not be more than 256 bytes");
		if (warning->count == 0)
			field_error(h->errors, FIELD_INVALID,
				arena_printf(a, "%s.deprecationWarning", at), warning,
				"must not be empty");
	}
	if (!json_is(schema, JSON_OBJECT))
		field_error(h->errors, FIELD_REQUIRED,
			arena_printf(a, "%s.schema.openAPIV3Schema", at), NULL,
			"schemas are required");
	else if (crd_schema_validate(h, arena_printf(a, "%s.schema.openAPIV3Schema", at), schema) &&
		 h->req)
		api_warn(h->req, arena_printf(a,
					 "%s.schema: x-kubernetes-validations are kept, but this "
					 "server does not enforce them",
					 at));
	check_subresources(
		h, arena_printf(a, "%s.subresources", at), json_get(version, "subresources"));
	size_t n = 0;
	JSON_FOR_EACH_ITEM(c, json_get(version, "additionalPrinterColumns"))
		check_column(h, arena_printf(a, "%s.additionalPrinterColumns[%zu]", at, n++), c);
	check_selectable(h, arena_printf(a, "%s.selectableFields", at), version);
}

static void check_versions(struct hook *h, const struct json *doc)
{
	const struct json *versions = json_path(doc, "spec.versions");
	size_t storage = 0, i = 0;
	struct json_seen seen = {.arena = h->arena, .by = {"name"}};
	bool again = false;
	JSON_FOR_EACH_ITEM(v, versions) {
		storage += json_bool_or(json_get(v, "storage"), false);
		again |= json_seen_put(&seen, v) != NULL;
		check_version(h, i++, v);
	}
	struct json *names = json_new_array(h->arena);
	JSON_FOR_EACH_ITEM(v, versions)
		json_push(h->arena, names,
			json_new_string(h->arena, json_str_or(json_get(v, "name"), "")));
	if (again)
		field_error(h->errors, FIELD_INVALID, "spec.versions", names,
			"must contain unique version names");
	if (storage != 1)
		field_error(h->errors, FIELD_INVALID, "spec.versions", names,
			"must have exactly one version marked as storage version");
}

static void check_stored_versions(struct hook *h, const struct json *doc)
{
	const struct json *stored = json_path(doc, "status.storedVersions");
	const char *storage = storage_version(doc);
	bool has_storage = false;
	size_t i = 0;
	if (!json_count(stored))
		field_error(h->errors, FIELD_INVALID, "status.storedVersions",
			json_new_array(h->arena), "must have at least one stored version");
	JSON_FOR_EACH_ITEM(s, stored) {
		bool known = false;
		JSON_FOR_EACH_ITEM(v, json_path(doc, "spec.versions"))
			known |= streq(json_str(json_get(v, "name")), json_str(s));
		if (!known)
			field_error(h->errors, FIELD_INVALID,
				arena_printf(h->arena, "status.storedVersions[%zu]", i), s,
				"must appear in spec.versions");
		has_storage |= streq(json_str(s), storage);
		i++;
	}
	if (storage && i > 0 && !has_storage)
		field_error(h->errors, FIELD_INVALID, "status.storedVersions", stored,
			"must have the storage version %s", storage);
}

static void check_conversion(struct hook *h, const struct json *conversion)
{
	const struct json *strategy = json_get(conversion, "strategy");
	const struct json *webhook = json_get(conversion, "webhook");
	if (streq(json_str(strategy), "Webhook")) {
		const struct json *client = json_get(webhook, "clientConfig");
		bool url = *json_str_or(json_get(client, "url"), "");
		bool service = json_is(json_get(client, "service"), JSON_OBJECT);
		if (!client)
			field_error(h->errors, FIELD_REQUIRED,
				"spec.conversion.webhook.clientConfig", NULL,
				"required when strategy is set to Webhook");
		else if (url == service)
			field_error(h->errors, FIELD_REQUIRED,
				"spec.conversion.webhook.clientConfig", NULL,
				"exactly one of url or service is required");
		if (!json_count(json_get(webhook, "conversionReviewVersions")))
			field_error(h->errors, FIELD_REQUIRED,
				"spec.conversion.webhook.conversionReviewVersions", NULL, NULL);
		if (h->req)
			api_warn(h->req,
				"spec.conversion: this server does not call conversion webhooks; "
				"requests for versions other than the storage version will fail");
		return;
	}
	if (!streq(json_str(strategy), "None"))
		field_error(h->errors, FIELD_NOT_SUPPORTED, "spec.conversion.strategy",
			strategy ? strategy : text_of(h, ""),
			"supported values: \"None\", \"Webhook\"");
	if (webhook)
		field_error(h->errors, FIELD_FORBIDDEN, "spec.conversion.webhook", NULL,
			"should not be set when strategy is not set to Webhook");
}

static void check_group(struct hook *h, const struct json *doc)
{
	const struct json *group = json_path(doc, "spec.group");
	const char *name = json_str_or(group, "");
	if (!*name) {
		field_error(h->errors, FIELD_REQUIRED, "spec.group", NULL, NULL);
		return;
	}
	check_rule(h, "spec.group", name, RULE_DNS_SUBDOMAIN);
	if (!strchr(name, '.'))
		field_error(h->errors, FIELD_INVALID, "spec.group", group,
			"should be a domain with at least one dot");
}

static const char api_approved[] = "api-approved.kubernetes.io";

/* Groups of the Kubernetes project are not for anyone's kinds. */
static void check_protected_group(struct hook *h, const struct json *doc)
{
	const char *group = json_str_or(json_path(doc, "spec.group"), "");
	bool is_protected = streq(group, "k8s.io") || str_has_suffix(group, ".k8s.io") ||
			    streq(group, "kubernetes.io") ||
			    str_has_suffix(group, ".kubernetes.io");
	const struct json *approval =
		json_get(json_path(doc, "metadata.annotations"), api_approved);
	if (!is_protected)
		return;
	if (!*json_str_or(approval, ""))
		field_error(h->errors, FIELD_REQUIRED,
			arena_printf(h->arena, "metadata.annotations[%s]", api_approved), NULL,
			"protected groups must have approval annotation \"%s\", see "
			"https://github.com/kubernetes/enhancements/pull/1111",
			api_approved);
	else if (!str_has_prefix(json_str(approval), "unapproved") &&
		 !strstr(json_str(approval), "://"))
		field_error(h->errors, FIELD_INVALID,
			arena_printf(h->arena, "metadata.annotations[%s]", api_approved), approval,
			"protected groups must have approval annotation \"%s\" with either a URL "
			"or a reason starting with \"unapproved\", see "
			"https://github.com/kubernetes/enhancements/pull/1111",
			api_approved);
}

static void validate(struct hook *h, const struct json *doc)
{
	const struct json *names = json_path(doc, "spec.names"),
			  *scope = json_path(doc, "spec.scope");
	const char *name = json_str_or(json_path(doc, "metadata.name"), "");
	const char *plural = json_str_or(json_get(names, "plural"), "");
	const char *group = json_str_or(json_path(doc, "spec.group"), "");
	const struct json *preserve = json_path(doc, "spec.preserveUnknownFields");
	if (*name && !streq(name, arena_printf(h->arena, "%s.%s", plural, group)))
		field_error(h->errors, FIELD_INVALID, "metadata.name", text_of(h, name),
			"must be spec.names.plural+\".\"+spec.group");
	check_group(h, doc);
	if (strlen(plural) + strlen(group) > 120)
		field_error(h->errors, FIELD_TOO_LONG, "spec.group", NULL,
			"may not be more than 120 bytes together with spec.names.plural");
	if (!streq(json_str(scope), "Cluster") && !streq(json_str(scope), "Namespaced"))
		field_error(h->errors, FIELD_NOT_SUPPORTED, "spec.scope",
			scope ? scope : text_of(h, ""),
			"supported values: \"Cluster\", \"Namespaced\"");
	if (json_bool_or(preserve, false))
		field_error(h->errors, FIELD_INVALID, "spec.preserveUnknownFields", preserve,
			"cannot set to true, set x-kubernetes-preserve-unknown-fields to true in "
			"spec.versions[*].schema instead");
	check_names(h, "spec.names", names);
	check_versions(h, doc);
	check_conversion(h, json_path(doc, "spec.conversion"));
}

static void validate_create(struct hook *h, const struct json *doc)
{
	validate(h, doc);
	check_protected_group(h, doc);
}

static bool has_condition(const struct json *doc, const char *type)
{
	JSON_FOR_EACH_ITEM(c, json_path(doc, "status.conditions"))
		if (streq(json_str(json_get(c, "type")), type))
			return streq(json_str(json_get(c, "status")), "True");
	return false;
}

static void validate_update(struct hook *h, const struct json *doc, const struct json *old)
{
	static const char *const fixed[] = {"spec.scope", "spec.names.kind"};
	static const char *const always[] = {"spec.group", "spec.names.plural"};
	check_stored_versions(h, doc);
	for (size_t i = 0; i < ARRAY_LEN(always); i++)
		if (!json_equal(json_path(doc, always[i]), json_path(old, always[i])))
			field_immutable(h, always[i], json_path(doc, always[i]));
	if (!has_condition(old, "Established"))
		return;
	for (size_t i = 0; i < ARRAY_LEN(fixed); i++)
		if (!json_equal(json_path(doc, fixed[i]), json_path(old, fixed[i])))
			field_immutable(h, fixed[i], json_path(doc, fixed[i]));
}

/* ---- deletion: the objects go first ---- */

static void prepare_delete(struct hook *h, struct json *doc)
{
	definition_set_condition(h->api, h->arena, doc, "Terminating", true,
		"InstanceDeletionPending",
		"CustomResourceDefinition marked for deletion; CustomResource deletion will begin "
		"soon");
	struct json *list = json_array_at(h->arena, json_get(doc, "metadata"), "finalizers");
	JSON_FOR_EACH_ITEM(f, list)
		if (streq(json_str(f), CUSTOM_RESOURCE_FINALIZER))
			return;
	json_push(h->arena, list, json_new_string(h->arena, CUSTOM_RESOURCE_FINALIZER));
}

const struct kind_hooks hooks_custom_resource_definition = {
	.group = "apiextensions.k8s.io",
	.kind = "CustomResourceDefinition",
	.prepare_create = prepare_create,
	.prepare_update = prepare_update,
	.validate = validate_create,
	.validate_update = validate_update,
	.prepare_delete = prepare_delete,
	.delete_returns_object = true,
};

/* pod_env.c - variables of containers: exactly one source each, and fields of the pod that exist.
 */
#include "server/api/hooks/pod_spec.h"

#include "lib/object/quantity.h"

static const char *const fields_of_variables[] = {"metadata.name", "metadata.namespace",
	"metadata.uid", "spec.nodeName", "spec.serviceAccountName", "status.hostIP",
	"status.hostIPs", "status.podIP", "status.podIPs", NULL};
static const char *const fields_of_files[] = {"metadata.annotations", "metadata.labels",
	"metadata.name", "metadata.namespace", "metadata.uid", NULL};
/* All that may be named; which of them fits is a matter of the place. */
static const char *const fields[] = {"metadata.annotations", "metadata.labels", "metadata.name",
	"metadata.namespace", "metadata.uid", "spec.nodeName", "spec.restartPolicy",
	"spec.serviceAccountName", "spec.schedulerName", "status.phase", "status.hostIP",
	"status.hostIPs", "status.podIP", "status.podIPs", NULL};
static const char *const resources[] = {"limits.cpu", "limits.ephemeral-storage", "limits.memory",
	"requests.cpu", "requests.ephemeral-storage", "requests.memory", NULL};

/* metadata.labels['KEY']: the key, else NULL. */
static const char *subscript(struct hook *h, const char *path, const char **ret_path)
{
	size_t size = strlen(path);
	const char *open = strstr(path, "['");
	if (!open || size < 4 || !str_has_suffix(path, "']") || open + 2 > path + size - 2)
		return NULL;
	*ret_path = arena_memdup(h->arena, path, (size_t)(open - path));
	return arena_memdup(h->arena, open + 2, (size_t)(path + size - 2 - (open + 2)));
}

static void key_validate(struct hook *h, const char *at, const char *key, bool lower)
{
	char *text = arena_strdup(h->arena, key);
	for (char *c = text; lower && *c; c++)
		if (*c >= 'A' && *c <= 'Z')
			*c = (char)(*c | 32);
	check_rule_at(h, RULE_QUALIFIED_NAME, at, json_new_string(h->arena, text));
}

void pod_field_validate(struct hook *h, const struct json *ref, const char *at, bool as_file)
{
	const struct json *path_json = json_get(ref, "fieldPath");
	const char *path = json_str_or(path_json, "");
	const char *const *known = as_file ? fields_of_files : fields_of_variables;
	const char *version = json_str_or(json_get(ref, "apiVersion"), "");
	if (!*path || (streq(version, "v1") && is_one_of(path, known)))
		return;
	const char *map = path, *key = subscript(h, path, &map);
	if (!streq(version, "v1")) {
		invalid(h, at_child(h, at, "fieldPath"), path_json,
			"error converting fieldPath: unsupported pod version: %s", version);
	} else if (!is_one_of(map, fields)) {
		invalid(h, at_child(h, at, "fieldPath"), path_json,
			"error converting fieldPath: field label not supported: %s", map);
	} else if (key) {
		if (streq(map, "metadata.annotations"))
			key_validate(h, at, key, true);
		else if (streq(map, "metadata.labels"))
			key_validate(h, at, key, false);
		else
			invalid_text(h, at, map, "does not support subscript");
	} else {
		unsupported(h, at_child(h, at, "fieldPath"), path_json, known);
	}
}

static void divisor_validate(
	struct hook *h, const char *resource, const struct json *divisor, const char *at)
{
	static const char *const of_cpu[] = {"1m", "1", NULL};
	static const char *const of_bytes[] = {"1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki",
		"1Mi", "1Gi", "1Ti", "1Pi", "1Ei", NULL};
	struct quantity q;
	const char *text = json_str_or(divisor, "0");
	if (quantity_parse(text, &q) < 0 || q.nano == 0)
		return;
	bool cpu = str_has_suffix(resource, ".cpu");
	const char *what = str_has_suffix(resource, ".memory")		    ? "memory"
			   : str_has_suffix(resource, ".ephemeral-storage") ? "local ephemeral "
									      "storage"
			   : strstr(resource, ".hugepages-")		    ? "hugepages"
									    : NULL;
	if (cpu && !is_one_of(text, of_cpu))
		invalid_text(h, at_child(h, at, "divisor"), resource,
			"only divisor's values 1m and 1 are supported with the cpu resource");
	else if (what && !is_one_of(text, of_bytes))
		invalid_text(h, at_child(h, at, "divisor"), resource,
			"only divisor's values 1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, "
			"1Ei are supported with the %s resource",
			what);
}

void pod_resource_field_validate(
	struct hook *h, const struct json *ref, const char *at, bool as_file)
{
	const char *resource = json_str_or(json_get(ref, "resource"), "");
	if (as_file && !*json_str_or(json_get(ref, "containerName"), ""))
		required(h, at_child(h, at, "containerName"), NULL);
	else if (*resource && !is_one_of(resource, resources) &&
		 !str_has_prefix(resource, "requests.hugepages-") &&
		 !str_has_prefix(resource, "limits.hugepages-"))
		unsupported(h, at_child(h, at, "resource"), json_get(ref, "resource"), resources);
	divisor_validate(h, resource, json_get(ref, "divisor"), at);
}

static void name_validate(struct hook *h, const struct json *ref, const char *at)
{
	const char *name = json_str_or(json_get(ref, "name"), "");
	if (!rule_holds(RULE_DNS_SUBDOMAIN, name))
		check_rule_at(h, RULE_DNS_SUBDOMAIN, at_child(h, at, "name"),
			json_get(ref, "name") ? json_get(ref, "name")
					      : json_new_string(h->arena, ""));
}

static void variable_validate(struct hook *h, const struct json *variable, const char *at)
{
	const struct json *from = json_get(variable, "valueFrom");
	const struct json *field = json_get(from, "fieldRef");
	const struct json *resource = json_get(from, "resourceFieldRef");
	const struct json *map = json_get(from, "configMapKeyRef");
	const struct json *secret = json_get(from, "secretKeyRef");
	size_t count = 0;
	if (present(field)) {
		count++;
		pod_field_validate(h, field, at_child(h, at, "fieldRef"), false);
	}
	if (present(resource)) {
		count++;
		pod_resource_field_validate(
			h, resource, at_child(h, at, "resourceFieldRef"), false);
	}
	if (present(map)) {
		count++;
		name_validate(h, map, at_child(h, at, "configMapKeyRef"));
	}
	if (present(secret)) {
		count++;
		name_validate(h, secret, at_child(h, at, "secretKeyRef"));
	}
	if (count == 0)
		invalid_text(h, at, "",
			"must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or "
			"`secretKeyRef`");
	else if (*json_str_or(json_get(variable, "value"), ""))
		invalid_text(h, at, "", "may not be specified when `value` is not empty");
	else if (count > 1)
		invalid_text(h, at, "", "may not have more than one field specified at a time");
}

static void source_validate(
	struct hook *h, const struct json *source, const char *list_at, size_t i)
{
	const struct json *map = json_get(source, "configMapRef");
	const struct json *secret = json_get(source, "secretRef");
	const struct json *prefix = json_get(source, "prefix");
	const char *at = at_item(h, list_at, i);
	if (*json_str_or(prefix, ""))
		check_rule_at(h, RULE_ENV_NAME, at_child(h, at, "prefix"), prefix);
	const struct json *refs[] = {map, secret};
	static const char *const names[] = {"configMapRef", "secretRef"};
	for (size_t n = 0; n < ARRAY_LEN(refs); n++) {
		if (!present(refs[n]))
			continue;
		if (!*json_str_or(json_get(refs[n], "name"), ""))
			required(h, at_child(h, at_child(h, at, names[n]), "name"), NULL);
		else
			name_validate(h, refs[n], at_child(h, at, names[n]));
	}
	if (!present(map) && !present(secret))
		invalid_text(h, list_at, "", "must specify one of: `configMapRef` or `secretRef`");
	else if (present(map) && present(secret))
		invalid_text(
			h, list_at, "", "may not have more than one field specified at a time");
}

void pod_env_validate(const struct pod_check *p, const struct json *container, const char *at)
{
	size_t i = 0;
	JSON_FOR_EACH_ITEM(e, json_get(container, "env")) {
		if (present(json_get(e, "valueFrom")))
			variable_validate(p->h, e,
				at_child(p->h, at_child_item(p->h, at, "env", i), "valueFrom"));
		i++;
	}
	const struct json *sources = json_get(container, "envFrom");
	for (i = 0; i < json_count(sources); i++)
		source_validate(p->h, json_at(sources, i), at_child(p->h, at, "envFrom"), i);
}

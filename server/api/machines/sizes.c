#include "server/api/machines/sizes.h"

#include "server/api/machines/machines.h"
#include "server/api/machines/rules.h"

static const struct json *get(void *user, struct arena *a, const char *group, const char *kind,
	const char *namespace, const char *name)
{
	struct api *api = user;
	const struct object *o = NULL;
	static const char *const versions[] = {"v1", "v1beta1"};
	for (size_t i = 0; i < ARRAY_LEN(versions) && !o; i++) {
		const struct kind *k = kind_by_name(api->kinds, group, versions[i], kind);
		o = k ? cache_get(api->cache, k, namespace, name) : NULL;
	}
	return o ? object_doc(o, a) : NULL;
}

struct instancetype_source machine_sizes_source(struct api *api)
{
	return (struct instancetype_source){get, api};
}

static const struct {
	enum instancetype_role role;
	const char *field, *what, *kind; /* kind: as KubeVirt writes the default */
} roles[] = {
	{ROLE_INSTANCETYPE, "spec.instancetype", "instancetype",
		"virtualmachineclusterinstancetype"},
	{ROLE_PREFERENCE, "spec.preference", "preference", "virtualmachineclusterpreference"},
};

/* Disks that the templates ask for get the preferred class of storage. */
static void prefer_storage_class(struct arena *a, struct json *vm, const char *class)
{
	JSON_FOR_EACH_ITEM(t, json_path(vm, "spec.dataVolumeTemplates")) {
		struct json *storage = json_path(t, "spec.storage");
		if (!storage)
			storage = json_path(t, "spec.pvc");
		if (storage && !json_get(storage, "storageClassName"))
			json_set_str(a, storage, "storageClassName", class);
	}
}

int machine_sizes_complete(struct hook *h, struct json *vm, const struct json *old)
{
	const char *namespace = json_path_str(vm, "metadata.namespace");
	const struct json *preference = NULL;
	const char *revision;
	struct err err = ERR_INIT;
	if (!h->api)
		return 0;
	struct instancetype_source source = machine_sizes_source(h->api);
	namespace = namespace ? namespace : "";
	for (size_t i = 0; i < ARRAY_LEN(roles); i++) {
		int r = instancetype_infer(&source, h->arena, vm, namespace, roles[i].role, &err);
		if (r < 0)
			return status_bad_request(h->arena, h->st, "%s", err.msg);
		struct json *matcher = instancetype_matcher(vm, roles[i].role);
		if (matcher && !*json_str_or(json_get(matcher, "kind"), ""))
			json_set_str(h->arena, matcher, "kind", roles[i].kind);
	}
	if (instancetype_find(&source, h->arena, vm, namespace, ROLE_PREFERENCE, &preference,
		    &revision, &err) == 0) {
		const char *class =
			json_path_str(preference, "spec.volumes.preferredStorageClassName");
		if (class && *class)
			prefer_storage_class(h->arena, vm, class);
	}
	machine_template_defaults(h, vm, old, preference);
	return 0;
}

static bool check_matcher(struct hook *h, const struct json *matcher, const char *field)
{
	bool named = *json_str_or(json_get(matcher, "name"), "");
	if (!matcher || named)
		return true;
	field_error(h->errors, FIELD_REQUIRED, arena_printf(h->arena, "%s.name", field), NULL,
		"either name or inferFromVolume must be given");
	return false;
}

const struct json *machine_sizes_template(struct hook *h, const struct json *vm)
{
	const struct json *found[ARRAY_LEN(roles)] = {0};
	const char *namespace = json_path_str(vm, "metadata.namespace"), *revision, *field = "";
	const struct json *own = json_path(vm, "spec.template");
	struct instancetype_source source = machine_sizes_source(h->api);
	bool known = true;
	/* That it is required is said elsewhere. */
	if (!own || !h->api ||
		(!json_path(vm, "spec.instancetype") && !json_path(vm, "spec.preference")))
		return own;
	for (size_t i = 0; i < ARRAY_LEN(roles); i++) {
		const struct json *matcher = instancetype_matcher(vm, roles[i].role);
		struct err err = ERR_INIT;
		if (!check_matcher(h, matcher, roles[i].field)) {
			known = false;
		} else if (instancetype_find(&source, h->arena, vm, namespace ? namespace : "",
				   roles[i].role, &found[i], &revision, &err) < 0) {
			field_error(h->errors, FIELD_NOT_FOUND, roles[i].field,
				json_get(matcher, "name"), "Failure to find %s: %s", roles[i].what,
				err.msg);
			known = false;
		}
	}
	if (!known)
		return NULL;
	const char *why = preference_check(h->arena, found[0], found[1], own, &field);
	if (why) {
		field_error(h->errors, FIELD_INVALID, field, NULL,
			"failure checking preference requirements: %s", why);
		return NULL;
	}
	struct json *template = json_copy(h->arena, own);
	const struct json *conflicts =
		instancetype_apply(h->arena, found[0], found[1], template, "spec.template.spec");
	JSON_FOR_EACH_ITEM(c, conflicts)
		field_error(h->errors, FIELD_INVALID, json_str(c), NULL,
			"VM field(s) %s conflicts with selected instance type", json_str(c));
	return conflicts ? NULL : template;
}

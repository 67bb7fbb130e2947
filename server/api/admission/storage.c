/* Claims and volumes: DefaultStorageClass gives claims a class that name none,
 * PersistentVolumeClaimResize lets only those grow that can, StorageObjectInUseProtection keeps
 * what is in use until a control loop sees that it is not (Kubernetes: "Storage Classes",
 * "Expanding Persistent Volumes Claims", "Storage Object in Use Protection"). */
#include "lib/object/quantity.h"
#include "server/api/admission/admission_internal.h"

static bool is_claim(const struct admission_review *r)
{
	return r->kind == admission_of(r)->kinds.claims && !*r->part;
}

static bool has_class(const struct json *claim)
{
	return json_get(json_get(claim, "spec"), "storageClassName") ||
	       json_get(json_path(claim, "metadata.annotations"),
		       "volume.beta.kubernetes.io/storage-class");
}

static bool is_default(const struct json *class)
{
	static const char *const marks[] = {"storageclass.kubernetes.io/is-default-class",
		"storageclass.beta.kubernetes.io/is-default-class"};
	const struct json *annotations = json_path(class, "metadata.annotations");
	for (size_t i = 0; i < ARRAY_LEN(marks); i++)
		if (streq(json_str(json_get(annotations, marks[i])), "true"))
			return true;
	return false;
}

/* Of several defaults the newest one. Times are all of one form, so their texts compare. */
static int set_class(const struct admission_review *r)
{
	struct arena *a = r->req->arena;
	const struct kind *k = admission_of(r)->kinds.storage_classes;
	const char *best = NULL, *best_time = "";
	struct cache_page page;
	if (!is_claim(r) || r->operation != ADMISSION_CREATE || !k || has_class(r->doc))
		return 0;
	cache_list(r->req->api->cache, &(struct cache_query){.kind = k}, a, &page);
	for (size_t i = 0; i < page.count; i++) {
		const struct json *class = object_doc(page.items[i], a);
		const char *time = json_str_or(json_path(class, "metadata.creationTimestamp"), "");
		if (!is_default(class) || (best && strcmp(time, best_time) <= 0))
			continue;
		best = page.items[i]->name;
		best_time = time;
	}
	if (best)
		json_path_set(a, r->doc, "spec.storageClassName", json_new_string(a, best));
	return 0;
}

const struct admission_plugin admission_default_storage_class = {
	.name = "DefaultStorageClass",
	.mutate = set_class,
};

static bool may_grow(const struct admission_review *r)
{
	const struct kind *k = admission_of(r)->kinds.storage_classes;
	const char *name = json_path_str(r->doc, "spec.storageClassName");
	if (!name)
		name = json_str(json_get(json_path(r->doc, "metadata.annotations"),
			"volume.beta.kubernetes.io/storage-class"));
	const char *was = json_path_str(r->old, "spec.storageClassName");
	if (!k || !name || !*name || (was && !streq(was, name)))
		return false;
	const struct object *o = cache_get(r->req->api->cache, k, "", name);
	return o &&
	       json_bool_or(json_get(object_doc(o, r->req->arena), "allowVolumeExpansion"), false);
}

static int check_growth(const struct admission_review *r)
{
	if (!is_claim(r) || r->operation != ADMISSION_UPDATE)
		return 0;
	int64_t now = quantity_json_value(json_path(r->doc, "spec.resources.requests.storage"), 0);
	int64_t was = quantity_json_value(json_path(r->old, "spec.resources.requests.storage"), 0);
	if (now <= was)
		return 0;
	if (!streq(json_path_str(r->old, "status.phase"), "Bound"))
		return admission_forbid(r, "Only bound persistent volume claims can be expanded");
	if (!may_grow(r))
		return admission_forbid(r,
			"only dynamically provisioned pvc can be resized and the storageclass "
			"that provisions the pvc must support resize");
	return 0;
}

const struct admission_plugin admission_claim_resize = {
	.name = "PersistentVolumeClaimResize",
	.validate = check_growth,
};

static int protect(const struct admission_review *r)
{
	struct arena *a = r->req->arena;
	const struct admission_kinds *kinds = &admission_of(r)->kinds;
	if (*r->part || r->operation != ADMISSION_CREATE ||
		(r->kind != kinds->claims && r->kind != kinds->volumes))
		return 0;
	const char *finalizer = r->kind == kinds->claims ? "kubernetes.io/pvc-protection"
							 : "kubernetes.io/pv-protection";
	struct json *list = json_array_at(a, json_object_at(a, r->doc, "metadata"), "finalizers");
	JSON_FOR_EACH_ITEM(f, list)
		if (streq(json_str(f), finalizer))
			return 0;
	json_push(a, list, json_new_string(a, finalizer));
	return 0;
}

const struct admission_plugin admission_storage_protection = {
	.name = "StorageObjectInUseProtection",
	.mutate = protect,
};

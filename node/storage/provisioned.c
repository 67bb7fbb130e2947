#include "node/storage/provisioned.h"

#include <inttypes.h>

#include "lib/object/quantity.h"

int64_t provisioned_wanted_bytes(const struct json *claim)
{
	return quantity_json_value(json_path(claim, "spec.resources.requests.storage"), 0);
}

const char *provisioned_annotation(const struct json *doc, const char *name)
{
	return json_str(json_get(json_path(doc, "metadata.annotations"), name));
}

const struct json *provisioned_class(struct informer *classes, struct arena *a,
	const struct json *claim, const char *provisioner)
{
	const char *name = json_str_or(json_path(claim, "spec.storageClassName"), "");
	struct object *o = *name ? informer_get(classes, "", name) : NULL;
	const struct json *doc = o ? object_doc(o, a) : NULL;

	return streq(json_str(json_get(doc, "provisioner")), provisioner) ? doc : NULL;
}

struct json *provisioned_volume(struct arena *a, const struct object *claim, const struct json *doc,
	const struct json *class, const char *provisioner, const char *name)
{
	struct json *pv = json_new_object(a), *spec = json_new_object(a), *ref = json_new_object(a);
	struct json *meta = json_object_at(a, pv, "metadata");
	const char *size = json_path_str(doc, "spec.resources.requests.storage");
	static const char *const copied[] = {"storageClassName", "accessModes", "volumeMode"};

	json_set_str(a, pv, "apiVersion", "v1");
	json_set_str(a, pv, "kind", "PersistentVolume");
	json_set_str(a, meta, "name", name);
	json_set_str(a, json_object_at(a, meta, "annotations"), PROVISIONED_BY, provisioner);
	json_path_set(a, spec, "capacity.storage", json_new_string(a, size ? size : "0"));
	for (size_t i = 0; i < ARRAY_LEN(copied); i++) {
		const struct json *v = json_get(json_get(doc, "spec"), copied[i]);
		if (v)
			json_set(a, spec, copied[i], json_copy(a, v));
	}
	json_set_str(a, spec, "persistentVolumeReclaimPolicy",
		json_str_or(json_get(class, "reclaimPolicy"), "Delete"));
	json_set_str(a, ref, "kind", "PersistentVolumeClaim");
	json_set_str(a, ref, "apiVersion", "v1");
	json_set_str(a, ref, "namespace", claim->namespace);
	json_set_str(a, ref, "name", claim->name);
	json_set_str(a, ref, "uid", claim->uid);
	json_set(a, spec, "claimRef", ref);
	json_set(a, pv, "spec", spec);
	return pv;
}

struct client_call *provisioned_delete(struct client *c, const struct kind *kind, const char *name,
	const char *uid, uint64_t revision, client_done *done, void *user)
{
	_cleanup_(arena_finish) struct arena a = ARENA_INIT;
	struct json *options = json_new_object(&a);

	json_set_str(&a, options, "apiVersion", "v1");
	json_set_str(&a, options, "kind", "DeleteOptions");
	json_path_set(&a, options, "preconditions.uid", json_new_string(&a, uid));
	json_path_set(&a, options, "preconditions.resourceVersion",
		json_new_printf(&a, "%" PRIu64, revision));
	struct client_request request = {
		.method = "DELETE",
		.path = client_path(&a, kind, NULL, name, NULL),
		.body = json_text(&a, options),
	};
	request.body_size = strlen(request.body);
	return client_request(c, &request, done, user);
}

#include "server/controllers/workloads/pod_template.h"

#include "server/controllers/meta.h"

struct json *pod_from_template(
	struct arena *a, const struct object *owner, const struct json *template)
{
	static const char *const copied[] = {"labels", "annotations", "finalizers"};
	const struct json *from = json_get(template, "metadata");
	struct json *pod = json_new_object(a), *meta = json_new_object(a),
		    *refs = json_new_array(a), *spec = json_get(template, "spec");
	json_set_str(a, pod, "apiVersion", "v1");
	json_set_str(a, pod, "kind", "Pod");
	json_set(a, pod, "metadata", meta);
	json_set(a, meta, "generateName", json_new_printf(a, "%s-", owner->name));
	json_set_str(a, meta, "namespace", owner->namespace);
	for (size_t n = 0; n < ARRAY_LEN(copied); n++)
		if (json_get(from, copied[n]))
			json_set(a, meta, copied[n], json_get(from, copied[n]));
	json_push(a, refs, owner_reference(a, owner));
	json_set(a, meta, "ownerReferences", refs);
	json_set(a, pod, "spec", spec ? spec : json_new_object(a));
	return pod;
}

/* DefaultIngressClass: an ingress that names no class gets the default one. */
#include "server/api/admission/admission_internal.h"

#define CLASS_ANNOTATION "kubernetes.io/ingress.class"
#define DEFAULT_ANNOTATION "ingressclass.kubernetes.io/is-default-class"

static const char *annotation(const struct json *doc, const char *name)
{
	return json_str(json_get(json_path(doc, "metadata.annotations"), name));
}

/* Of several, the newest, then the first by name. */
static int mutate(const struct admission_review *r)
{
	struct api *api = r->req->api;
	struct arena *a = r->req->arena;
	struct json *spec = json_get(r->doc, "spec");
	if (!streq(r->kind->plural, "ingresses") || !streq(r->kind->group, "networking.k8s.io") ||
		r->operation != ADMISSION_CREATE || *r->part ||
		json_get(spec, "ingressClassName") || annotation(r->doc, CLASS_ANNOTATION))
		return 0;
	struct cache_query q = {
		.kind = kind_by_name(api->kinds, "networking.k8s.io", "v1", "IngressClass")};
	struct cache_page page;
	const char *best = NULL, *best_time = "";
	cache_list(api->cache, &q, a, &page);
	for (size_t i = 0; i < page.count; i++) {
		const struct json *class = object_doc(page.items[i], a);
		const char *time = json_path_str(class, "metadata.creationTimestamp");
		if (!streq(annotation(class, DEFAULT_ANNOTATION), "true") ||
			(best && strcmp(time, best_time) <= 0))
			continue;
		best = page.items[i]->name;
		best_time = time;
	}
	if (best)
		json_set_str(a, spec, "ingressClassName", best);
	return 0;
}

const struct admission_plugin admission_default_ingress_class = {
	.name = "DefaultIngressClass",
	.mutate = mutate,
};

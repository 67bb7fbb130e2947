/* RuntimeClass: what running in a class costs beside the containers, and where it can be done
 * (Kubernetes: "Runtime Class", "Pod Overhead"). */
#include "server/api/admission/admission_internal.h"

/* 0 with *ret NULL when the pod names no class. */
static int class_of(const struct admission_review *r, const struct json *spec, struct json **ret)
{
	const struct kind *k = admission_of(r)->kinds.runtime_classes;
	const char *name = json_str_or(json_get(spec, "runtimeClassName"), "");
	*ret = NULL;
	if (!*name)
		return 0;
	const struct object *o = k ? cache_get(r->req->api->cache, k, "", name) : NULL;
	if (!o)
		return admission_forbid(r, "pod rejected: RuntimeClass \"%s\" not found", name);
	*ret = object_doc(o, r->req->arena);
	return 0;
}

static int check_overhead(
	const struct admission_review *r, const struct json *class, const struct json *spec)
{
	const struct json *fixed = json_path(class, "overhead.podFixed");
	const struct json *overhead = json_get(spec, "overhead");
	if (!json_get(class, "overhead")) {
		if (json_count(overhead))
			return admission_forbid(r, "pod rejected: Pod Overhead set without "
						   "corresponding RuntimeClass defined Overhead");
	} else if (json_count(fixed) != json_count(overhead) ||
		   (fixed && overhead && !json_equal(fixed, overhead))) {
		return admission_forbid(r, "pod rejected: Pod's Overhead doesn't match "
					   "RuntimeClass's defined Overhead");
	}
	return 0;
}

static int merge_selector(
	const struct admission_review *r, const struct json *scheduling, struct json *spec)
{
	struct arena *a = r->req->arena;
	JSON_FOR_EACH_MEMBER(m, json_get(scheduling, "nodeSelector")) {
		struct json *selector = json_object_at(a, spec, "nodeSelector");
		const struct json *own = json_get_n(selector, m->name, m->name_size);
		if (own && !json_equal(own, m->value))
			return admission_forbid(r,
				"conflict: runtimeClass.scheduling.nodeSelector[%s] = %s; "
				"pod.spec.nodeSelector[%s] = %s",
				m->name, json_str_or(m->value, ""), m->name, json_str_or(own, ""));
		json_set_n(a, selector, m->name, m->name_size, m->value);
	}
	return 0;
}

static void merge_tolerations(struct arena *a, const struct json *scheduling, struct json *spec)
{
	JSON_FOR_EACH_ITEM(t, json_get(scheduling, "tolerations")) {
		struct json *list = json_array_at(a, spec, "tolerations");
		bool has = false;
		JSON_FOR_EACH_ITEM(own, list)
			has |= json_equal(own, t);
		if (!has)
			json_push(a, list, t);
	}
}

static int mutate(const struct admission_review *r)
{
	struct json *class;
	if (!admission_is_pod(r) || *r->part || r->operation != ADMISSION_CREATE)
		return 0;
	struct json *spec = json_get(r->doc, "spec");
	int result = class_of(r, spec, &class);
	if (result < 0 || !class)
		return result;
	struct json *fixed = json_path(class, "overhead.podFixed");
	if (json_count(json_get(spec, "overhead"))) {
		result = check_overhead(r, class, spec);
		if (result < 0)
			return result;
	} else if (json_count(fixed)) {
		json_set(r->req->arena, spec, "overhead", fixed);
	}
	const struct json *scheduling = json_get(class, "scheduling");
	result = merge_selector(r, scheduling, spec);
	if (result == 0)
		merge_tolerations(r->req->arena, scheduling, spec);
	return result;
}

static int validate(const struct admission_review *r)
{
	struct json *class;
	if (!admission_is_pod(r) || *r->part || r->operation != ADMISSION_CREATE)
		return 0;
	const struct json *spec = json_get(r->doc, "spec");
	int result = class_of(r, spec, &class);
	return result < 0 ? result : check_overhead(r, class, spec);
}

const struct admission_plugin admission_runtime_class = {
	.name = "RuntimeClass",
	.mutate = mutate,
	.validate = validate,
};

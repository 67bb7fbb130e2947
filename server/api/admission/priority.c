/* Priority: what a pod's priority class comes to (Kubernetes: "Pod Priority and Preemption"). */
#include <inttypes.h>

#include "server/api/admission/admission_internal.h"

struct priority {
	const char *class; /* "" when there is none */
	int64_t value;
	const char *policy;
};

static const struct priority none = {"", 0, "PreemptLowerPriority"};

static struct priority of_class(struct arena *a, const struct object *o)
{
	const struct json *doc = object_doc(o, a);
	return (struct priority){
		.class = arena_strdup(a, o->name),
		.value = json_int_or(json_get(doc, "value"), 0),
		.policy = json_str_or(json_get(doc, "preemptionPolicy"), none.policy),
	};
}

/* The class of pods that name none: of several the one of the lowest value. Looked for when some
 * class has changed since. */
static const struct priority *default_of(struct admission *admission)
{
	struct priority_default *memo = &admission->priority_default;
	struct cache *cache = admission->api->cache;
	const struct kind *k = admission->kinds.priority_classes;
	if (!k)
		return &none;
	uint64_t version = cache_version(cache, k);
	if (memo->known && memo->version == version)
		return memo->found ? memo->found : &none;
	arena_reset(&memo->arena);
	*memo = (struct priority_default){.arena = memo->arena, .known = true, .version = version};
	struct cache_page page;
	cache_list(cache, &(struct cache_query){.kind = k}, &memo->arena, &page);
	for (size_t i = 0; i < page.count; i++) {
		const struct json *doc = object_doc(page.items[i], &memo->arena);
		if (!json_bool_or(json_get(doc, "globalDefault"), false))
			continue;
		struct priority p = of_class(&memo->arena, page.items[i]);
		if (memo->found && memo->found->value <= p.value)
			continue;
		struct priority *found = ARENA_NEW(&memo->arena, struct priority);
		*found = p;
		memo->found = found;
	}
	return memo->found ? memo->found : &none;
}

static int set(const struct admission_review *r, struct json *spec, const struct priority *p)
{
	struct arena *a = r->req->arena;
	const struct json *value = json_get(spec, "priority");
	const char *policy = json_str(json_get(spec, "preemptionPolicy"));
	if (json_is(value, JSON_INT) && value->i != p->value)
		return admission_forbid(r,
			"the integer value of priority (%" PRId64
			") must not be provided in pod spec; priority admission controller "
			"computed %" PRId64 " from the given PriorityClass name",
			value->i, p->value);
	if (policy && !streq(policy, p->policy))
		return admission_forbid(r,
			"the string value of PreemptionPolicy (%s) must not be provided in pod "
			"spec; priority admission controller computed %s from the given "
			"PriorityClass name",
			policy, p->policy);
	json_set_int(a, spec, "priority", p->value);
	json_set_str(a, spec, "preemptionPolicy", p->policy);
	return 0;
}

/* Updates that leave them out do not mean to change them. */
static void keep(const struct admission_review *r, struct json *spec)
{
	static const char *const kept[] = {"priority", "preemptionPolicy"};
	for (size_t i = 0; i < ARRAY_LEN(kept); i++) {
		struct json *was = json_get(json_get(r->old, "spec"), kept[i]);
		if (was && !json_get(spec, kept[i]))
			json_set(r->req->arena, spec, kept[i], was);
	}
}

static const struct object *class_named(const struct admission_review *r, const char *name)
{
	const struct admission *admission = admission_of(r);
	const struct kind *k = admission->kinds.priority_classes;
	return k ? cache_get(admission->api->cache, k, "", name) : NULL;
}

/* An instance has a class, but no field for what it comes to: an annotation tells the scheduler.
 * Whatever a client writes there does not count. */
static int mutate_instance(const struct admission_review *r)
{
	struct arena *a = r->req->arena;
	const char *name = json_path_str(r->doc, "spec.priorityClassName");
	const struct object *o = name && *name ? class_named(r, name) : NULL;
	const struct priority *p = default_of(admission_of(r));
	struct json *annotations = json_path(r->doc, "metadata.annotations"), *was = NULL;
	if (r->operation == ADMISSION_UPDATE)
		was = json_get(json_path(r->old, "metadata.annotations"), ADMISSION_PRIORITY);
	else if (name && *name && !o)
		return admission_forbid(r, "no PriorityClass with name %s was found", name);
	else if (o || *p->class)
		was = json_new_printf(a, "%" PRId64, o ? of_class(a, o).value : p->value);
	if (was)
		json_set(a, json_object_at(a, json_get(r->doc, "metadata"), "annotations"),
			ADMISSION_PRIORITY, was);
	else if (annotations)
		json_remove(annotations, ADMISSION_PRIORITY);
	return 0;
}

static int mutate(const struct admission_review *r)
{
	struct arena *a = r->req->arena;
	struct admission *admission = admission_of(r);
	if (!admission_is_pod(r) || *r->part)
		return r->kind == admission->kinds.instances && !*r->part ? mutate_instance(r) : 0;
	struct json *spec = json_get(r->doc, "spec");
	if (r->operation == ADMISSION_UPDATE) {
		keep(r, spec);
		return 0;
	}
	const char *name = json_str_or(json_get(spec, "priorityClassName"), "");
	if (!*name) {
		const struct priority *p = default_of(admission);
		if (*p->class)
			json_set_str(a, spec, "priorityClassName", p->class);
		return set(r, spec, p);
	}
	const struct object *o = class_named(r, name);
	if (!o)
		return admission_forbid(r, "no PriorityClass with name %s was found", name);
	struct priority p = of_class(a, o);
	return set(r, spec, &p);
}

const struct admission_plugin admission_priority = {
	.name = "Priority",
	.mutate = mutate,
};

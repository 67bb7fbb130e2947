#include "server/controllers/workloads/daemon_set_pods.h"

#include "server/controllers/workloads/pod_template.h"
#include "server/controllers/workloads/revisions.h"

#define AFFINITY "nodeAffinity"
#define REQUIRED "requiredDuringSchedulingIgnoredDuringExecution"

/* In place of one for the same taint and effect. */
static void tolerate(struct arena *a, struct json *tolerations, const char *key, const char *effect)
{
	struct json *new = json_new_object(a);
	json_set_str(a, new, "effect", effect);
	json_set_str(a, new, "key", key);
	json_set_str(a, new, "operator", "Exists");
	JSON_FOR_EACH_ITEM(t, tolerations)
		if (json_equal(t, new))
			return;
	json_push(a, tolerations, new);
}

struct json *daemon_pod_spec(struct arena *a, const struct json *set)
{
	static const char *const no_schedule[] = {"disk-pressure", "memory-pressure",
		"pid-pressure", "unschedulable", "network-unavailable"};
	struct json *spec = json_copy(a, json_path(set, "spec.template.spec"));
	if (!spec)
		spec = json_new_object(a);
	struct json *tolerations = json_array_at(a, spec, "tolerations");
	tolerate(a, tolerations, "node.kubernetes.io/not-ready", "NoExecute");
	tolerate(a, tolerations, "node.kubernetes.io/unreachable", "NoExecute");
	size_t count = ARRAY_LEN(no_schedule);
	if (!json_bool_or(json_get(spec, "hostNetwork"), false))
		count--;
	for (size_t n = 0; n < count; n++)
		tolerate(a, tolerations, arena_printf(a, "node.kubernetes.io/%s", no_schedule[n]),
			"NoSchedule");
	return spec;
}

/* A term that only this node has: it takes the place of the template's, which the node fits. */
static struct json *terms_of(struct arena *a, const char *node)
{
	struct json *terms = json_new_array(a), *term = json_new_object(a),
		    *fields = json_new_array(a), *field = json_new_object(a),
		    *values = json_new_array(a);
	json_push(a, values, json_new_string(a, node));
	json_set_str(a, field, "key", "metadata.name");
	json_set_str(a, field, "operator", "In");
	json_set(a, field, "values", values);
	json_push(a, fields, field);
	json_set(a, term, "matchFields", fields);
	json_push(a, terms, term);
	return terms;
}

struct json *daemon_new_pod(struct arena *a, const struct object *set, const struct json *doc,
	const struct json *spec, const char *hash, const char *node)
{
	struct json *pod = pod_from_template(a, set, json_path(doc, "spec.template"));
	struct json *meta = json_get(pod, "metadata");
	struct json *labels = json_copy(a, json_get(meta, "labels"));
	if (!labels)
		labels = json_new_object(a);
	const char *generation = json_str(json_get(json_path(doc, "metadata.annotations"),
		"deprecated.daemonset.template.generation"));
	json_set_str(a, labels, REVISION_LABEL, hash);
	if (generation)
		json_set_str(a, labels, "pod-template-generation", generation);
	json_set(a, meta, "labels", labels);

	struct json *own = json_new_object(a);
	JSON_FOR_EACH_MEMBER(m, spec)
		json_add_n(a, own, m->name, m->name_size, m->value);
	struct json *affinity = json_copy(a, json_get(spec, "affinity"));
	if (!json_is(affinity, JSON_OBJECT))
		affinity = json_new_object(a);
	struct json *required = json_object_at(a, json_object_at(a, affinity, AFFINITY), REQUIRED);
	json_set(a, required, "nodeSelectorTerms", terms_of(a, node));
	json_set(a, own, "affinity", affinity);
	json_set(a, pod, "spec", own);
	return pod;
}

const char *daemon_target(struct arena *a, const struct object *pod)
{
	const struct json *spec = json_get(object_doc(pod, a), "spec");
	const char *node = json_path_str(spec, "nodeName");
	if (node && node[0])
		return node;
	JSON_FOR_EACH_ITEM(
		term, json_path(spec, "affinity." AFFINITY "." REQUIRED ".nodeSelectorTerms"))
		JSON_FOR_EACH_ITEM(field, json_get(term, "matchFields"))
			if (streq(json_str(json_get(field, "key")), "metadata.name") &&
				streq(json_str(json_get(field, "operator")), "In") &&
				json_count(json_get(field, "values")) == 1)
				return json_str(json_at(json_get(field, "values"), 0));
	return NULL;
}

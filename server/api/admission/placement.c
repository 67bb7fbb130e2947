/* HanokPlacement: what the annotation hanok.io/criticality of anybody's workload means for its
 * pods or virtual machines: a priority class, and that replicas keep apart, where the client has
 * said nothing about these. Other annotations of the profile are only read by `hanok advise`; a
 * value that is none is told as a warning here. */
#include "lib/placement/placement_defaults.h"
#include "server/api/admission/admission_internal.h"

static const struct workload_kind {
	const char *group, *kind;
	const char *spec;	 /* path of the pod's (machine's) spec */
	const char *annotations; /* of the template; NULL = there is none */
	const char *labels;	 /* by which replicas know each other */
	bool fixed;		 /* can't be completed once it is there */
} kinds[] = {
	{"", "Pod", "spec", NULL, "metadata.labels", true},
	{"apps", "Deployment", "spec.template.spec", "spec.template.metadata.annotations",
		"spec.selector.matchLabels", false},
	{"apps", "StatefulSet", "spec.template.spec", "spec.template.metadata.annotations",
		"spec.selector.matchLabels", false},
	{"kubevirt.io", "VirtualMachine", "spec.template.spec",
		"spec.template.metadata.annotations", "spec.template.metadata.labels", false},
	{"kubevirt.io", "VirtualMachineInstance", "spec", NULL, "metadata.labels", true},
};

static const struct workload_kind *kind_of(const struct admission_review *r)
{
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
		if (streq(kinds[i].kind, r->kind->kind) && streq(kinds[i].group, r->kind->group))
			return &kinds[i];
	return NULL;
}

static bool speaks_of_placement(const struct json *annotations)
{
	JSON_FOR_EACH_MEMBER(m, annotations)
		if (str_has_prefix(m->name, "hanok.io/"))
			return true;
	return false;
}

static void set_priority(
	const struct admission_review *r, struct json *spec, const char *criticality)
{
	const struct kind *classes = admission_of(r)->kinds.priority_classes;
	const char *class = placement_priority_class(criticality);
	/* Somebody may have deleted the class: pods must not be refused for what they did not ask.
	 */
	if (!class || json_get(spec, "priorityClassName") || json_get(spec, "priority") ||
		!classes || !cache_get(r->req->api->cache, classes, "", class))
		return;
	json_set_str(r->req->arena, spec, "priorityClassName", class);
}

static int mutate(const struct admission_review *r)
{
	struct arena *a = r->req->arena;
	const struct json *own = json_get(json_get(r->doc, "metadata"), "annotations");
	const struct workload_kind *k;
	if (*r->part || !(k = kind_of(r)) || (k->fixed && r->operation != ADMISSION_CREATE))
		return 0;
	const struct json *annotations = own;
	if (!speaks_of_placement(own))
		annotations = k->annotations ? json_path(r->doc, k->annotations) : NULL;
	if (!speaks_of_placement(annotations))
		return 0;
	const char *bad;
	struct placement_facts f = placement_facts_of_annotations(a, annotations, &bad);
	struct json *spec = json_path(r->doc, k->spec);
	if (bad)
		api_warn(r->req, arena_printf(a, "metadata.annotations: %s", bad));
	if (!json_is(spec, JSON_OBJECT))
		return 0;
	set_priority(r, spec, f.criticality);
	const struct json *labels = json_path(r->doc, k->labels);
	if (streq(f.criticality, "mission-critical") && !json_get(spec, "affinity") &&
		!json_get(spec, "topologySpreadConstraints") && json_count(labels))
		json_set(a, spec, "affinity", placement_spread(a, labels));
	return 0;
}

const struct admission_plugin admission_placement = {
	.name = "HanokPlacement",
	.mutate = mutate,
};

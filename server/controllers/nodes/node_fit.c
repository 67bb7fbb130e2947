#include "server/controllers/nodes/node_fit.h"

#include "server/controllers/nodes/node_health.h"

struct node_fit node_fit_of(struct arena *a, const struct json *pod_spec)
{
	const struct json *terms = json_path(pod_spec,
		"affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution."
		"nodeSelectorTerms");
	struct node_fit f = {
		.node_name = json_path_str(pod_spec, "nodeName"),
		.terms = arena_alloc(a, (json_count(terms) + 1) * sizeof(*f.terms)),
		.has_terms = terms != NULL,
		.tolerations = json_get(pod_spec, "tolerations"),
	};
	if (f.node_name && !f.node_name[0])
		f.node_name = NULL;
	selector_from_map(a, json_get(pod_spec, "nodeSelector"), &f.selector);
	/* Without one, any node will do. */
	f.selector.nothing = false;
	JSON_FOR_EACH_ITEM(term, terms) {
		const struct json *labels = json_get(term, "matchExpressions"),
				  *fields = json_get(term, "matchFields");
		f.terms[f.term_count++] = (struct node_fit_term){
			.labels = selector_from_node_requirements(a, labels),
			.fields = selector_from_node_requirements(a, fields),
			.empty = !json_count(labels) && !json_count(fields),
		};
	}
	return f;
}

static bool term_matches(const struct node_fit_term *t, const struct object *node)
{
	struct object_label name = {"metadata.name", node->name};
	return !t->empty && selector_matches_labels(&t->labels, node->labels, node->label_count) &&
	       selector_matches_labels(&t->fields, &name, 1);
}

bool node_fit_matches(const struct node_fit *f, const struct object *node)
{
	if (f->node_name && !streq(f->node_name, node->name))
		return false;
	if (!selector_matches_labels(&f->selector, node->labels, node->label_count))
		return false;
	if (!f->has_terms)
		return true;
	for (size_t n = 0; n < f->term_count; n++)
		if (term_matches(&f->terms[n], node))
			return true;
	return false;
}

bool node_fit_tolerates(const struct node_fit *f, const struct json *taints, bool running)
{
	JSON_FOR_EACH_ITEM(taint, taints) {
		const char *effect = json_str_or(json_get(taint, "effect"), "");
		if (!streq(effect, "NoExecute") && (running || !streq(effect, "NoSchedule")))
			continue;
		bool tolerated = false;
		JSON_FOR_EACH_ITEM(toleration, f->tolerations)
			tolerated |= taint_tolerated_s(taint, toleration) >= 0;
		if (!tolerated)
			return false;
	}
	return true;
}

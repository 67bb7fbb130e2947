#include "lib/placement/placement_defaults.h"

const char *placement_priority_class(const char *criticality)
{
	if (streq(criticality, "mission-critical"))
		return "hanok-mission-critical";
	return streq(criticality, "best-effort") ? "hanok-best-effort" : NULL;
}

struct json *placement_spread(struct arena *a, const struct json *match_labels)
{
	struct json *affinity = json_new_object(a), *term = json_new_object(a),
		    *weighted = json_new_object(a);
	json_path_set(a, term, "labelSelector.matchLabels", json_copy(a, match_labels));
	json_set_str(a, term, "topologyKey", "kubernetes.io/hostname");
	json_set_int(a, weighted, "weight", 100);
	json_set(a, weighted, "podAffinityTerm", term);
	json_push(a,
		json_array_at(a, json_object_at(a, affinity, "podAntiAffinity"),
			"preferredDuringSchedulingIgnoredDuringExecution"),
		weighted);
	return affinity;
}

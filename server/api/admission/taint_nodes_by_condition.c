/* TaintNodesByCondition: nothing is placed on a new node until its conditions are known. */
#include "server/api/admission/admission_internal.h"

#define TAINT "node.kubernetes.io/not-ready"

static int mutate(const struct admission_review *r)
{
	struct arena *a = r->req->arena;
	if (r->kind != r->req->api->nodes || *r->part || r->operation != ADMISSION_CREATE)
		return 0;
	struct json *list = json_array_at(a, json_object_at(a, r->doc, "spec"), "taints");
	JSON_FOR_EACH_ITEM(t, list)
		if (streq(json_str(json_get(t, "key")), TAINT) &&
			streq(json_str(json_get(t, "effect")), "NoSchedule"))
			return 0;
	struct json *taint = json_new_object(a);
	json_set_str(a, taint, "key", TAINT);
	json_set_str(a, taint, "effect", "NoSchedule");
	json_push(a, list, taint);
	return 0;
}

const struct admission_plugin admission_taint_nodes_by_condition = {
	.name = "TaintNodesByCondition",
	.mutate = mutate,
};

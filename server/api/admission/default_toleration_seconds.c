/* DefaultTolerationSeconds: pods bear an unready or unreachable node for five minutes, unless they
 * say something about these taints themselves. */
#include "server/api/admission/admission_internal.h"

#define SECONDS 300

static bool tolerates(const struct json *tolerations, const char *taint)
{
	JSON_FOR_EACH_ITEM(t, tolerations) {
		const char *key = json_str_or(json_get(t, "key"), "");
		const char *effect = json_str_or(json_get(t, "effect"), "");
		if ((streq(key, taint) || !*key) && (streq(effect, "NoExecute") || !*effect))
			return true;
	}
	return false;
}

static int mutate(const struct admission_review *r)
{
	static const char *const taints[] = {
		"node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"};
	struct arena *a = r->req->arena;
	if (!admission_is_pod(r) || *r->part)
		return 0;
	struct json *spec = json_get(r->doc, "spec");
	for (size_t i = 0; i < ARRAY_LEN(taints); i++) {
		if (tolerates(json_get(spec, "tolerations"), taints[i]))
			continue;
		struct json *t = json_new_object(a);
		json_set_str(a, t, "key", taints[i]);
		json_set_str(a, t, "operator", "Exists");
		json_set_str(a, t, "effect", "NoExecute");
		json_set_int(a, t, "tolerationSeconds", SECONDS);
		json_push(a, json_array_at(a, spec, "tolerations"), t);
	}
	return 0;
}

const struct admission_plugin admission_default_toleration_seconds = {
	.name = "DefaultTolerationSeconds",
	.mutate = mutate,
};

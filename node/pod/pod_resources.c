/* pod_resources.c - see pod_resources.h. */
#include "node/pod/pod_resources.h"

#include "lib/object/quantity.h"

/* So little that sums of all pods can be counted. */
#define AMOUNT_MAX (INT64_C(1) << 48)
#define PRIORITY_SYSTEM_CRITICAL INT64_C(2000000000)

static int64_t amount(const struct json *amounts, const char *resource)
{
	const struct json *v = json_get(amounts, resource);
	int64_t n = streq(resource, "cpu") ? quantity_json_milli(v, 0) : quantity_json_value(v, 0);

	return MIN(MAX(n, 0), AMOUNT_MAX);
}

int64_t container_request(const struct json *container, const char *resource)
{
	const struct json *r = json_get(container, "resources");
	const char *from = json_get(json_get(r, "requests"), resource) ? "requests" : "limits";

	return amount(json_get(r, from), resource);
}

static bool is_sidecar(const struct json *container)
{
	return streq(json_str(json_get(container, "restartPolicy")), "Always");
}

int64_t pod_request(const struct json *pod, const char *resource)
{
	const struct json *spec = json_get(pod, "spec"), *own = json_path(spec, "resources");
	int64_t all = 0, sidecars = 0, peak = 0;

	JSON_FOR_EACH_ITEM(c, json_get(spec, "containers"))
		all = MIN(all + container_request(c, resource), AMOUNT_MAX);
	JSON_FOR_EACH_ITEM(c, json_get(spec, "initContainers")) {
		int64_t r = container_request(c, resource);
		if (is_sidecar(c))
			sidecars = MIN(sidecars + r, AMOUNT_MAX);
		peak = MAX(peak, is_sidecar(c) ? sidecars : sidecars + r);
	}
	all = MAX(all + sidecars, peak);
	if (json_get(json_get(own, "requests"), resource) ||
		json_get(json_get(own, "limits"), resource))
		all = container_request(spec, resource);
	all += amount(json_get(spec, "overhead"), resource);
	return MIN(all, AMOUNT_MAX);
}

int64_t pod_limit(const struct json *pod, const char *resource)
{
	int64_t sum = 0;

	JSON_FOR_EACH_ITEM(c, json_path(pod, "spec.containers"))
		sum = MIN(sum + amount(json_path(c, "resources.limits"), resource), AMOUNT_MAX);
	return sum;
}

bool pod_is_static(const struct json *pod)
{
	const char *source = json_str(
		json_get(json_path(pod, "metadata.annotations"), "kubernetes.io/config.source"));

	return source && !streq(source, "api");
}

bool pod_is_critical(const struct json *pod)
{
	return pod_is_static(pod) ||
	       json_get(json_path(pod, "metadata.annotations"), "kubernetes.io/config.mirror") ||
	       json_path_int(pod, "spec.priority", 0) >= PRIORITY_SYSTEM_CRITICAL;
}

bool pod_tolerates(const struct json *pod, const char *key, const char *value, const char *effect)
{
	JSON_FOR_EACH_ITEM(t, json_path(pod, "spec.tolerations")) {
		const char *k = json_str_or(json_get(t, "key"), "");
		const char *e = json_str_or(json_get(t, "effect"), "");
		const char *op = json_str_or(json_get(t, "operator"), "Equal");
		if (*e && !streq(e, effect))
			continue;
		if (*k ? !streq(k, key) : !streq(op, "Exists"))
			continue;
		if (streq(op, "Exists") ||
			streq(json_str_or(json_get(t, "value"), ""), value ? value : ""))
			return true;
	}
	return false;
}

#include "server/quota/usage.h"

#include "lib/base/listing.h"

#define CLASS_SUFFIX ".storageclass.storage.k8s.io/"

static bool core(const struct kind *k, const char *plural)
{
	return !*k->group && streq(k->plural, plural);
}

/* ConfigMaps and the like have names of their own from before there was "count/". */
static bool counted_by_plural(const struct kind *k)
{
	static const char *const known[] = {"configmaps", "persistentvolumeclaims", "pods",
		"replicationcontrollers", "resourcequotas", "secrets", "services"};
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (core(k, known[i]))
			return true;
	return false;
}

static bool pod_resource(const char *resource)
{
	static const char *const exact[] = {"cpu", "memory", "ephemeral-storage"};
	for (size_t i = 0; i < ARRAY_LEN(exact); i++)
		if (streq(resource, exact[i]))
			return true;
	return (str_has_prefix(resource, "requests.") && !streq(resource, "requests.storage")) ||
	       str_has_prefix(resource, "limits.") || str_has_prefix(resource, "hugepages-");
}

bool usage_covers(const struct kind *k, const char *resource)
{
	if (str_has_prefix(resource, "count/"))
		return streq(resource + strlen("count/"), k->resource);
	if (counted_by_plural(k) && streq(resource, k->plural))
		return true;
	if (core(k, "pods"))
		return pod_resource(resource);
	if (core(k, "services"))
		return streq(resource, "services.nodeports") ||
		       streq(resource, "services.loadbalancers");
	if (core(k, "persistentvolumeclaims"))
		return streq(resource, "requests.storage") || strstr(resource, CLASS_SUFFIX);
	return false;
}

static void add_count(struct arena *a, struct amounts *list, const char *name, int64_t n)
{
	amounts_add(a, list, (struct amount){.name = name, .value.nano = (__int128)n * 1000000000});
}

/* ---- pods ---- */

static bool is_native(const char *name)
{
	static const char *const known[] = {"cpu", "memory", "ephemeral-storage"};
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (streq(name, known[i]))
			return true;
	return false;
}

/* What requests and limits are called by quotas. */
static void add_compute(struct arena *a, struct amounts *to, const struct amounts *requests,
	const struct amounts *limits)
{
	for (size_t i = 0; i < requests->count; i++) {
		struct amount amount = requests->items[i];
		const char *name = amount.name;
		bool huge = str_has_prefix(name, "hugepages-");
		bool extended = strchr(name, '/') && !strstr(name, "kubernetes.io/");
		if (is_native(name) || huge)
			amounts_add(a, to, amount);
		if (!is_native(name) && !huge && !extended)
			continue;
		amount.name = arena_printf(a, "requests.%s", name);
		amounts_add(a, to, amount);
	}
	for (size_t i = 0; i < limits->count; i++) {
		struct amount amount = limits->items[i];
		if (!is_native(amount.name))
			continue;
		amount.name = arena_printf(a, "limits.%s", amount.name);
		amounts_add(a, to, amount);
	}
}

static void pod_usage(struct arena *a, struct amounts *to, const struct json *pod)
{
	const char *phase = json_str_or(json_path(pod, "status.phase"), "");
	const struct json *spec = json_get(pod, "spec");
	if (streq(phase, "Succeeded") || streq(phase, "Failed"))
		return;
	add_count(a, to, "pods", 1);
	struct amounts requests = pod_amounts(a, spec, "requests");
	struct amounts limits = pod_amounts(a, spec, "limits");
	struct amount amount;
	JSON_FOR_EACH_MEMBER(m, json_get(spec, "overhead")) {
		if (!amount_of(m->name, m->value, &amount))
			continue;
		amounts_add(a, &requests, amount);
		const struct amount *limit = amounts_find(&limits, m->name);
		if (limit && limit->value.nano)
			amounts_add(a, &limits, amount);
	}
	add_compute(a, to, &requests, &limits);
}

static bool must_be_named(const char *resource)
{
	static const char *const known[] = {
		"cpu", "memory", "requests.cpu", "requests.memory", "limits.cpu", "limits.memory"};
	for (size_t i = 0; i < ARRAY_LEN(known); i++)
		if (streq(resource, known[i]))
			return true;
	return false;
}

static int compare(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The containers that do not name the resource, sorted: "a,b"; NULL when all do. */
static const char *silent(struct arena *a, const struct json *pod, const char *resource)
{
	static const char *const lists[] = {"containers", "initContainers"};
	size_t count = 0, room = 0;
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		room += json_count(json_get(json_get(pod, "spec"), lists[i]));
	const char **names = arena_alloc(a, (room + 1) * sizeof(*names));
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		JSON_FOR_EACH_ITEM(c, json_get(json_get(pod, "spec"), lists[i])) {
			struct amounts requests = {0}, limits = {0}, all = {0};
			const struct json *resources = json_get(c, "resources");
			amounts_add_map(a, &requests, json_get(resources, "requests"));
			amounts_add_map(a, &limits, json_get(resources, "limits"));
			add_compute(a, &all, &requests, &limits);
			if (!amounts_find(&all, resource))
				names[count++] = json_str_or(json_get(c, "name"), "");
		}
	qsort(names, count, sizeof(*names), compare);
	struct listing list = {.between = ","};
	for (size_t i = 0; i < count; i++)
		if (i == 0 || !streq(names[i], names[i - 1]))
			listing_add(&list, "%s", names[i]);
	return count ? listing_take(&list, a) : NULL;
}

const char *usage_missing(struct arena *a, const struct json *pod, const char *const *resources,
	size_t resource_count)
{
	const char **sorted = arena_alloc(a, (resource_count + 1) * sizeof(*sorted)), *text = NULL;
	size_t count = 0;
	for (size_t i = 0; i < resource_count; i++)
		if (must_be_named(resources[i]))
			sorted[count++] = resources[i];
	qsort(sorted, count, sizeof(*sorted), compare);
	for (size_t i = 0; i < count; i++) {
		const char *who = silent(a, pod, sorted[i]);
		if (who)
			text = arena_printf(a, "%s%s%s for: %s", text ? text : "", text ? "; " : "",
				sorted[i], who);
	}
	return text;
}

/* ---- services and claims ---- */

static void service_usage(struct arena *a, struct amounts *to, const struct json *service)
{
	const struct json *spec = json_get(service, "spec");
	const char *type = json_str_or(json_get(spec, "type"), "ClusterIP");
	const struct json *ports = json_get(spec, "ports");
	int64_t count = 0;
	if (streq(type, "NodePort")) {
		count = (int64_t)json_count(ports);
	} else if (streq(type, "LoadBalancer")) {
		add_count(a, to, "services.loadbalancers", 1);
		if (json_bool_or(json_get(spec, "allocateLoadBalancerNodePorts"), true))
			count = (int64_t)json_count(ports);
		else
			JSON_FOR_EACH_ITEM(p, ports)
				count += json_int_or(json_get(p, "nodePort"), 0) != 0;
	}
	if (count)
		add_count(a, to, "services.nodeports", count);
}

static void claim_usage(struct arena *a, struct amounts *to, const struct json *claim)
{
	const char *class = json_path_str(claim, "spec.storageClassName");
	if (!class)
		class = json_str(json_get(json_path(claim, "metadata.annotations"),
			"volume.beta.kubernetes.io/storage-class"));
	bool named = class && *class;
	struct amount amount;
	if (named)
		add_count(a, to, arena_printf(a, "%s" CLASS_SUFFIX "persistentvolumeclaims", class),
			1);
	if (!amount_of("requests.storage", json_path(claim, "spec.resources.requests.storage"),
		    &amount))
		return;
	amounts_add(a, to, amount);
	if (!named)
		return;
	amount.name = arena_printf(a, "%s" CLASS_SUFFIX "requests.storage", class);
	amounts_add(a, to, amount);
}

struct amounts usage_of(struct arena *a, const struct kind *k, const struct json *doc)
{
	struct amounts list = {0};
	add_count(a, &list, arena_printf(a, "count/%s", k->resource), 1);
	if (core(k, "pods")) {
		pod_usage(a, &list, doc);
		return list;
	}
	if (counted_by_plural(k))
		add_count(a, &list, k->plural, 1);
	if (core(k, "services"))
		service_usage(a, &list, doc);
	else if (core(k, "persistentvolumeclaims"))
		claim_usage(a, &list, doc);
	return list;
}

/* ---- scopes ---- */

static bool any_amount(const struct json *spec)
{
	static const char *const lists[] = {"containers", "initContainers"};
	static const char *const parts[] = {"requests", "limits"};
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		JSON_FOR_EACH_ITEM(c, json_get(spec, lists[i]))
			for (size_t n = 0; n < ARRAY_LEN(parts); n++) {
				const struct json *map =
					json_get(json_get(c, "resources"), parts[n]);
				if (json_get(map, "cpu") || json_get(map, "memory"))
					return true;
			}
	return false;
}

static bool terms_cross(const struct json *terms, bool weighted)
{
	JSON_FOR_EACH_ITEM(t, terms) {
		const struct json *term = weighted ? json_get(t, "podAffinityTerm") : t;
		if (json_count(json_get(term, "namespaces")) || json_get(term, "namespaceSelector"))
			return true;
	}
	return false;
}

/* Affinity to pods of other namespaces. */
static bool crosses_namespaces(const struct json *spec)
{
	static const char *const kinds[] = {"podAffinity", "podAntiAffinity"};
	for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
		const struct json *affinity = json_get(json_get(spec, "affinity"), kinds[i]);
		if (terms_cross(
			    json_get(affinity, "requiredDuringSchedulingIgnoredDuringExecution"),
			    false) ||
			terms_cross(json_get(affinity,
					    "preferredDuringSchedulingIgnoredDuringExecution"),
				true))
			return true;
	}
	return false;
}

static bool class_matches(const struct usage_scope *s, const char *class)
{
	bool listed = false;
	if (streq(s->operator, "Exists"))
		return *class;
	if (streq(s->operator, "DoesNotExist"))
		return !*class;
	JSON_FOR_EACH_ITEM(v, s->values)
		listed |= streq(json_str(v), class);
	return streq(s->operator, "In") ? listed && *class : streq(s->operator, "NotIn") && !listed;
}

bool usage_scope_matches(const struct usage_scope *s, const struct json *pod)
{
	const struct json *spec = json_get(pod, "spec");
	bool deadline = json_is(json_get(spec, "activeDeadlineSeconds"), JSON_INT);
	if (streq(s->name, "Terminating"))
		return deadline;
	if (streq(s->name, "NotTerminating"))
		return !deadline;
	if (streq(s->name, "BestEffort"))
		return !any_amount(spec);
	if (streq(s->name, "NotBestEffort"))
		return any_amount(spec);
	if (streq(s->name, "PriorityClass"))
		return class_matches(s, json_str_or(json_get(spec, "priorityClassName"), ""));
	if (streq(s->name, "CrossNamespacePodAffinity"))
		return crosses_namespaces(spec);
	return false;
}

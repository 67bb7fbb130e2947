/* pod_update.c - what may change of a pod: by the pod itself very little; by its subresources only
 * what they are for. */
#include "lib/base/listing.h"
#include "server/api/hooks/pod_spec.h"

#define MIRROR "kubernetes.io/config.mirror"

static const char *const container_lists[] = {"containers", "initContainers"};

static void take(struct arena *a, struct json *to, const struct json *from, const char *name)
{
	struct json *v = json_get(from, name);
	if (v)
		json_set(a, to, name, v);
	else
		json_remove(to, name);
}

/* ---- what a subresource may change is taken from the new pod, all else from the old ---- */

static bool same_containers(const struct json *a, const struct json *b)
{
	for (size_t l = 0; l < ARRAY_LEN(container_lists); l++) {
		const struct json *x = json_get(a, container_lists[l]),
				  *y = json_get(b, container_lists[l]);
		if (json_count(x) != json_count(y))
			return false;
		for (size_t i = 0; i < json_count(x); i++)
			if (!json_equal(json_get(json_at(x, i), "name"),
				    json_get(json_at(y, i), "name")))
				return false;
	}
	return true;
}

static bool is_sidecar(const struct json *container)
{
	return streq(json_str(json_get(container, "restartPolicy")), "Always");
}

static void take_resources(struct arena *a, struct json *spec, const struct json *from)
{
	for (size_t l = 0; l < ARRAY_LEN(container_lists); l++) {
		const struct json *list = json_get(spec, container_lists[l]);
		for (size_t i = 0; i < json_count(list); i++) {
			struct json *to = json_at(list, i);
			const struct json *c = json_at(json_get(from, container_lists[l]), i);
			if (l == 1 && !is_sidecar(to))
				continue;
			take(a, to, c, "resources");
			take(a, to, c, "resizePolicy");
		}
	}
}

void pod_keep_part(struct arena *a, const char *part, struct json *doc, const struct json *old)
{
	bool resize = streq(part, "resize");
	if (!resize && !streq(part, "ephemeralcontainers"))
		return;
	const struct json *wanted = json_get(doc, "spec"), *was = json_get(old, "spec");
	struct json *spec = json_copy(a, was), *meta = json_copy(a, json_get(old, "metadata"));
	if (resize && !same_containers(wanted, was))
		return; /* refused later, with a word on which container it is */
	if (resize)
		take_resources(a, spec, wanted);
	else
		take(a, spec, wanted, "ephemeralContainers");
	json_set(a, doc, "spec", spec);
	json_set(a, doc, "metadata", meta);
	take(a, doc, old, "status");
}

/* ---- ephemeral containers ---- */

static const struct json *named(const struct json *list, const struct json *name)
{
	JSON_FOR_EACH_ITEM(c, list)
		if (json_equal(json_get(c, "name"), name))
			return c;
	return NULL;
}

static bool is_mirror(const struct json *pod)
{
	return json_get(json_path(pod, "metadata.annotations"), MIRROR) != NULL;
}

static void ephemeral_validate_update(
	struct hook *h, const struct json *doc, const struct json *old)
{
	const struct json *now = json_path(doc, "spec.ephemeralContainers");
	if (is_mirror(old)) {
		forbid(h, "[]", "static pods do not support ephemeral containers");
		return;
	}
	JSON_FOR_EACH_ITEM(c, json_path(old, "spec.ephemeralContainers")) {
		const char *name = json_str_or(json_get(c, "name"), "");
		const struct json *kept = named(now, json_get(c, "name"));
		if (!kept)
			forbid(h, "spec.ephemeralContainers",
				"existing ephemeral containers \"%s\" may not be removed\n", name);
		else if (!json_equal(kept, c))
			forbid(h, "spec.ephemeralContainers",
				"existing ephemeral containers \"%s\" may not be changed\n", name);
	}
}

/* ---- resize ---- */

static bool has_amounts(const struct json *resources)
{
	return json_count(json_get(resources, "limits")) ||
	       json_count(json_get(resources, "requests"));
}

static bool node_can_resize(const struct json *pod)
{
	JSON_FOR_EACH_ITEM(s, json_path(pod, "status.containerStatuses"))
		if (present(json_path(s, "state.running")))
			return present(json_get(s, "resources"));
	return true;
}

static bool removed(const struct json *now, const struct json *was)
{
	JSON_FOR_EACH_MEMBER(m, was)
		if (!json_get_n(now, m->name, m->name_size))
			return true;
	return false;
}

static void memory_limit_validate(
	struct hook *h, const struct json *now, const struct json *was, const char *at)
{
	const struct json *limit = json_path(now, "resources.limits.memory");
	const struct json *before = json_path(was, "resources.limits.memory");
	JSON_FOR_EACH_ITEM(p, json_get(now, "resizePolicy"))
		if (streq(json_str(json_get(p, "resourceName")), "memory") &&
			streq(json_str(json_get(p, "restartPolicy")), "RestartContainer"))
			return;
	if (limit && before && resource_compare(limit, before) < 0)
		forbid(h, at_child(h, at, "limits[memory]"),
			"memory limits cannot be decreased unless resizePolicy is "
			"RestartContainer");
	else if (limit && !before)
		forbid(h, at_child(h, at, "limits[memory]"),
			"memory limits cannot be added unless resizePolicy is RestartContainer");
}

/* The container with cpu and memory as they were. */
static struct json *without_amounts(struct arena *a, const struct json *now, const struct json *was)
{
	static const char *const lists[] = {"limits", "requests"};
	static const char *const names[] = {"cpu", "memory"};
	struct json *c = json_copy(a, now);
	for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
		const struct json *before = json_get(json_get(was, "resources"), lists[l]);
		struct json *list = json_get(json_get(c, "resources"), lists[l]);
		if (!before) {
			if (list)
				json_remove(json_get(c, "resources"), lists[l]);
			continue;
		}
		list = json_object_at(a, json_object_at(a, c, "resources"), lists[l]);
		for (size_t n = 0; n < ARRAY_LEN(names); n++)
			take(a, list, before, names[n]);
	}
	return c;
}

static bool order_validate(struct hook *h, const struct json *spec, const struct json *was)
{
	bool fine = true;
	for (size_t l = 0; l < ARRAY_LEN(container_lists); l++) {
		const char *at = at_child(h, "spec", container_lists[l]);
		const struct json *now = json_get(spec, container_lists[l]);
		const struct json *old = json_get(was, container_lists[l]);
		if (json_count(now) != json_count(old)) {
			forbid(h, at, "%s may not be added or removed on resize",
				container_lists[l]);
			fine = false;
			continue;
		}
		for (size_t i = 0; i < json_count(old); i++)
			if (!json_equal(json_get(json_at(now, i), "name"),
				    json_get(json_at(old, i), "name"))) {
				forbid(h, arena_printf(h->arena, "%s[%zu].name", at, i),
					"%s may not be renamed or reordered on resize",
					container_lists[l]);
				fine = false;
			}
	}
	return fine;
}

static void containers_validate_resize(
	struct hook *h, const struct json *spec, const struct json *was)
{
	for (size_t l = 0; l < ARRAY_LEN(container_lists); l++) {
		const struct json *list = json_get(spec, container_lists[l]);
		for (size_t i = 0; i < json_count(list); i++) {
			const struct json *now = json_at(list, i);
			const struct json *old = json_at(json_get(was, container_lists[l]), i);
			const char *at = arena_printf(
				h->arena, "spec.%s[%zu].resources", container_lists[l], i);
			if (l == 1 && !is_sidecar(old)) {
				if (!json_equal(now, old))
					forbid(h, "spec",
						"resources for non-sidecar init containers are "
						"immutable");
				continue;
			}
			if (removed(json_path(now, "resources.requests"),
				    json_path(old, "resources.requests")))
				forbid(h, at_child(h, at, "requests"),
					"resource requests cannot be removed");
			if (removed(json_path(now, "resources.limits"),
				    json_path(old, "resources.limits")))
				forbid(h, at_child(h, at, "limits"),
					"resource limits cannot be removed");
			memory_limit_validate(h, now, old, at);
			if (!json_equal(without_amounts(h->arena, now, old), old))
				forbid(h, "spec",
					l ? "only cpu and memory resources for sidecar containers "
					    "are mutable"
					  : "only cpu and memory resources are mutable");
		}
	}
}

static void resize_validate(struct hook *h, const struct json *doc, const struct json *old)
{
	const struct json *spec = json_get(doc, "spec"), *was = json_get(old, "spec");
	const char *refused = NULL;
	if (has_amounts(json_get(was, "resources")) || has_amounts(json_get(spec, "resources")))
		refused = "pods with pod-level resources cannot be resized";
	else if (is_mirror(old))
		refused = "static pods cannot be resized";
	else if (streq(json_path_str(was, "os.name"), "windows"))
		refused = "windows pods cannot be resized";
	if (refused) {
		forbid(h, "[]", "%s", refused);
		return;
	}
	const char *class = json_path_str(old, "status.qosClass");
	if (class && !streq(class, pod_qos_class(spec)))
		invalid_text(
			h, "spec", class, "Pod QOS Class may not change as a result of resizing");
	if (!node_can_resize(old))
		forbid(h, "spec", "Pod running on node without support for resize");
	if (order_validate(h, spec, was))
		containers_validate_resize(h, spec, was);
}

/* ---- the pod itself ---- */

static bool containers_kept(struct hook *h, const struct json *spec, const struct json *was)
{
	for (size_t l = 0; l < ARRAY_LEN(container_lists); l++)
		if (json_count(json_get(spec, container_lists[l])) !=
			json_count(json_get(was, container_lists[l]))) {
			forbid(h, at_child(h, "spec", container_lists[l]),
				"pod updates may not add or remove containers");
			return false;
		}
	return true;
}

static bool deadline_validate(struct hook *h, const struct json *spec, const struct json *was)
{
	static const char at[] = "spec.activeDeadlineSeconds";
	const struct json *now = json_get(spec, "activeDeadlineSeconds");
	const struct json *before = json_get(was, "activeDeadlineSeconds");
	if (present(before) && !present(now)) {
		invalid(h, at, json_new_null(h->arena),
			"must not update from a positive integer to nil value");
	} else if (present(before) && json_int_or(now, 0) > json_int_or(before, 0)) {
		invalid(h, at, now, "must be less than or equal to previous value");
		return false;
	}
	return true;
}

/* By all but tolerationSeconds. */
static int compare_tolerations(const void *a, const void *b)
{
	static const char *const fields[] = {"key", "operator", "value", "effect"};
	const struct json *x = *(const struct json *const *)a, *y = *(const struct json *const *)b;
	int order = 0;
	for (size_t i = 0; i < ARRAY_LEN(fields) && !order; i++)
		order = strcmp(json_str_or(json_get(x, fields[i]), ""),
			json_str_or(json_get(y, fields[i]), ""));
	return order;
}

static void tolerations_validate_update(
	struct hook *h, const struct json *spec, const struct json *was)
{
	const struct json *now = json_get(spec, "tolerations");
	if (json_equal(now, json_get(was, "tolerations")))
		return;
	size_t count = json_count(now);
	struct json **sorted = arena_alloc(h->arena, (count + 1) * sizeof(*sorted));
	for (size_t i = 0; i < count; i++)
		sorted[i] = json_at(now, i);
	qsort(sorted, count, sizeof(*sorted), compare_tolerations);
	JSON_FOR_EACH_ITEM(old, json_get(was, "tolerations"))
		if (!bsearch(&old, sorted, count, sizeof(*sorted), compare_tolerations)) {
			forbid(h, "spec.tolerations",
				"existing toleration can not be modified except its "
				"tolerationSeconds");
			return;
		}
}

static void gates_validate_update(struct hook *h, const struct json *spec, const struct json *was)
{
	size_t i = 0;
	JSON_FOR_EACH_ITEM(gate, json_get(spec, "schedulingGates")) {
		if (!named(json_get(was, "schedulingGates"), json_get(gate, "name")))
			forbid(h, arena_printf(h->arena, "spec.schedulingGates[%zu].name", i),
				"only deletion is allowed, but found new scheduling gate '%s'",
				json_str_or(json_get(gate, "name"), ""));
		i++;
	}
}

/* While gates hold a pod back, its place may still be narrowed down. */
static void gated_validate(struct hook *h, struct json *munged, const struct json *was)
{
	const struct json *selector = json_get(munged, "nodeSelector");
	if (!json_equal(selector, json_get(was, "nodeSelector"))) {
		JSON_FOR_EACH_MEMBER(m, json_get(was, "nodeSelector"))
			if (!json_equal(json_get_n(selector, m->name, m->name_size), m->value)) {
				invalid(h, "spec.nodeSelector",
					selector ? selector : json_new_object(h->arena),
					"only additions to spec.nodeSelector are allowed (no "
					"mutations or deletions)");
				break;
			}
		take(h->arena, munged, was, "nodeSelector");
	}
	struct json *affinity = json_get(munged, "affinity");
	const struct json *node = json_get(affinity, "nodeAffinity");
	const struct json *before = json_path(was, "affinity.nodeAffinity");
	if (json_equal(node, before))
		return;
	const struct json *terms =
		json_path(node, "requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms");
	const struct json *old_terms = json_path(
		before, "requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms");
	static const char at[] = "spec.affinity.nodeAffinity."
				 "requiredDuringSchedulingIgnoredDuringExecution";
	if (json_count(old_terms) && json_count(terms) != json_count(old_terms))
		invalid(h,
			"spec.affinity.nodeAffinity."
			"requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms",
			terms,
			"no additions/deletions to non-empty NodeSelectorTerms list are "
			"allowed");
	for (size_t i = 0; i < json_count(old_terms) && json_count(terms) == json_count(old_terms);
		i++) {
		static const char *const lists[] = {"matchExpressions", "matchFields"};
		for (size_t l = 0; l < ARRAY_LEN(lists); l++) {
			const struct json *x = json_get(json_at(old_terms, i), lists[l]);
			const struct json *y = json_get(json_at(terms, i), lists[l]);
			bool kept = json_count(y) >= json_count(x);
			for (size_t n = 0; kept && n < json_count(x); n++)
				kept = json_equal(json_at(x, n), json_at(y, n));
			if (!kept)
				invalid(h,
					arena_printf(h->arena, "%s.nodeSelectorTerms[%zu]", at, i),
					json_at(terms, i),
					"only additions are allowed (no mutations or deletions)");
		}
	}
	if (!json_get(was, "affinity") && json_count(affinity) == 1 && node) {
		json_remove(munged, "affinity");
	} else {
		affinity = json_object_at(h->arena, munged, "affinity");
		if (before)
			json_set(h->arena, affinity, "nodeAffinity", (struct json *)before);
		else
			json_remove(affinity, "nodeAffinity");
	}
}

static const char *changed_fields(struct arena *a, const struct json *now, const struct json *was)
{
	struct listing list = {.between = ", "};
	JSON_FOR_EACH_MEMBER(m, now)
		if (!json_equal(m->value, json_get_n(was, m->name, m->name_size)))
			listing_add(&list, "spec.%s", m->name);
	JSON_FOR_EACH_MEMBER(m, was)
		if (!json_get_n(now, m->name, m->name_size))
			listing_add(&list, "spec.%s", m->name);
	return listing_take(&list, a);
}

static void spec_validate_update(struct hook *h, const struct json *doc, const struct json *old)
{
	static const char *const free_fields[] = {
		"activeDeadlineSeconds", "schedulingGates", "tolerations"};
	const struct json *spec = json_get(doc, "spec"), *was = json_get(old, "spec");
	if (!containers_kept(h, spec, was) || !deadline_validate(h, spec, was))
		return;
	tolerations_validate_update(h, spec, was);
	gates_validate_update(h, spec, was);
	if (json_equal(spec, was))
		return;
	struct json *munged = json_copy(h->arena, spec);
	for (size_t i = 0; i < ARRAY_LEN(free_fields); i++)
		take(h->arena, munged, was, free_fields[i]);
	for (size_t l = 0; l < ARRAY_LEN(container_lists); l++) {
		const struct json *list = json_get(munged, container_lists[l]);
		for (size_t i = 0; i < json_count(list); i++)
			take(h->arena, json_at(list, i),
				json_at(json_get(was, container_lists[l]), i), "image");
	}
	if (json_int_or(json_get(was, "terminationGracePeriodSeconds"), 0) < 0 &&
		json_int_or(json_get(munged, "terminationGracePeriodSeconds"), 0) == 1)
		take(h->arena, munged, was, "terminationGracePeriodSeconds");
	if (json_count(json_get(was, "schedulingGates")))
		gated_validate(h, munged, was);
	if (!json_equal(munged, was))
		forbid(h, "spec",
			"pod updates may not change fields other than `spec.containers[*].image`,"
			"`spec.initContainers[*].image`,`spec.activeDeadlineSeconds`,"
			"`spec.tolerations` (only additions to existing tolerations),"
			"`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was "
			"previously negative)\n  changed: %s\n",
			changed_fields(h->arena, munged, was));
}

static void annotations_validate_update(
	struct hook *h, const struct json *doc, const struct json *old)
{
	const struct json *now = json_get(json_path(doc, "metadata.annotations"), MIRROR);
	const struct json *was = json_get(json_path(old, "metadata.annotations"), MIRROR);
	if (json_equal(now, was))
		return;
	forbid(h, "metadata.annotations[" MIRROR "]",
		was ? "may not remove or update mirror pod annotation"
		    : "may not add mirror pod annotation");
}

/* ---- status ---- */

/* What has ended for good does not run again. */
static void states_validate(struct hook *h, const struct json *doc, const struct json *old,
	const char *list, const char *policy)
{
	const struct json *now = json_get(json_get(doc, "status"), list);
	const struct json *was = json_get(json_get(old, "status"), list);
	if (streq(policy, "Always"))
		return;
	for (size_t i = 0; i < json_count(was); i++) {
		const struct json *ended = json_path(json_at(was, i), "state.terminated");
		const struct json *name = json_get(json_at(was, i), "name");
		const struct json *s = named(now, name);
		if (!present(ended) || !s ||
			(streq(policy, "OnFailure") && json_path_int(ended, "exitCode", 0) != 0))
			continue;
		if (streq(list, "initContainerStatuses") &&
			is_sidecar(named(json_path(doc, "spec.initContainers"), name)))
			continue;
		if (!present(json_path(s, "state.terminated")))
			forbid(h, arena_printf(h->arena, "status.%s[%zu].state", list, i),
				"may not be transitioned to non-terminated state");
	}
}

static void status_validate(struct hook *h, const struct json *doc, const struct json *old)
{
	const struct json *nominated = json_path(doc, "status.nominatedNodeName");
	const char *policy = json_str_or(json_path(old, "spec.restartPolicy"), "Always");
	size_t i = 0;
	JSON_FOR_EACH_ITEM(c, json_path(doc, "status.conditions")) {
		const struct json *type = json_get(c, "type");
		if (!rule_holds(RULE_QUALIFIED_NAME, json_str_or(type, "")))
			check_rule_at(h, RULE_QUALIFIED_NAME,
				arena_printf(h->arena, "status.conditions[%zu].Type", i), type);
		i++;
	}
	if (*json_str_or(nominated, "") &&
		!json_equal(nominated, json_path(old, "status.nominatedNodeName")))
		check_rule_at(h, RULE_DNS_SUBDOMAIN, "status.nominatedNodeName", nominated);
	states_validate(h, doc, old, "containerStatuses", policy);
	states_validate(h, doc, old, "initContainerStatuses", policy);
	states_validate(h, doc, old, "ephemeralContainerStatuses", "Never");
}

void pod_validate_update(struct hook *h, const struct json *doc, const struct json *old)
{
	if (streq(h->part, "status")) {
		status_validate(h, doc, old);
	} else if (streq(h->part, "ephemeralcontainers")) {
		ephemeral_validate_update(h, doc, old);
	} else if (streq(h->part, "resize")) {
		resize_validate(h, doc, old);
	} else if (!*h->part) {
		annotations_validate_update(h, doc, old);
		spec_validate_update(h, doc, old);
	}
}

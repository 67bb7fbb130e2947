/* pod.c - what is filled in and checked of pods, and of the pods in templates. */
#include "server/api/hooks/pod_spec.h"

#include "lib/object/quantity.h"

static const char *const container_lists[] = {
	"initContainers", "containers", "ephemeralContainers"};

/* Always for :latest, also when it is meant by leaving the tag out; a digest never changes. */
static const char *pull_policy(const char *image)
{
	const char *slash = strrchr(image, '/');
	const char *tail = slash ? slash + 1 : image;
	if (strchr(tail, '@'))
		return "IfNotPresent";
	const char *tag = strchr(tail, ':');
	return !tag || streq(tag, ":latest") ? "Always" : "IfNotPresent";
}

void pod_spec_default(struct arena *a, struct json *spec)
{
	bool host_network = json_path_bool(spec, "hostNetwork", false);
	for (size_t l = 0; l < ARRAY_LEN(container_lists); l++) {
		JSON_FOR_EACH_ITEM(c, json_get(spec, container_lists[l])) {
			if (!*json_str_or(json_get(c, "imagePullPolicy"), ""))
				json_set_str(a, c, "imagePullPolicy",
					pull_policy(json_str_or(json_get(c, "image"), "")));
			if (!host_network)
				continue;
			JSON_FOR_EACH_ITEM(p, json_get(c, "ports"))
				if (!json_get(p, "hostPort") && json_get(p, "containerPort"))
					json_set(a, p, "hostPort", json_get(p, "containerPort"));
		}
	}
	/* A volume of no type is an empty directory. */
	JSON_FOR_EACH_ITEM(v, json_get(spec, "volumes"))
		if (json_count(v) == 1 && json_get(v, "name"))
			json_set(a, v, "emptyDir", json_new_object(a));
}

/* What is limited and not asked for is asked for in full. */
static void default_requests(struct arena *a, struct json *spec)
{
	for (size_t l = 0; l < 2; l++)
		JSON_FOR_EACH_ITEM(c, json_get(spec, container_lists[l])) {
			struct json *resources = json_get(c, "resources");
			JSON_FOR_EACH_MEMBER(limit, json_get(resources, "limits")) {
				struct json *requests = json_object_at(a, resources, "requests");
				if (!json_get_n(requests, limit->name, limit->name_size))
					json_set_n(a, requests, limit->name, limit->name_size,
						limit->value);
			}
		}
}

static bool same_amounts(const struct json *requests, const struct json *limits)
{
	static const char *const needed[] = {"cpu", "memory"};
	for (size_t i = 0; i < ARRAY_LEN(needed); i++) {
		const char *r = json_str(json_get(requests, needed[i]));
		const char *l = json_str(json_get(limits, needed[i]));
		struct quantity qr, ql;
		if (!l || quantity_parse(l, &ql) < 0 || ql.nano <= 0)
			return false;
		if (r && (quantity_parse(r, &qr) < 0 || qr.nano != ql.nano))
			return false;
	}
	return true;
}

static bool has_amount(const struct json *map)
{
	return json_get(map, "cpu") || json_get(map, "memory");
}

/* Quality of service (Kubernetes: "Pod Quality of Service Classes"). */
const char *pod_qos_class(const struct json *spec)
{
	bool any = false, guaranteed = true;
	for (size_t l = 0; l < 2; l++)
		JSON_FOR_EACH_ITEM(c, json_get(spec, container_lists[l])) {
			const struct json *r = json_path(c, "resources.requests");
			const struct json *m = json_path(c, "resources.limits");
			any |= has_amount(r) || has_amount(m);
			guaranteed &= same_amounts(r, m);
		}
	return !any ? "BestEffort" : guaranteed ? "Guaranteed" : "Burstable";
}

static void set_defaults(struct hook *h, struct json *doc)
{
	struct json *spec = json_get(doc, "spec");
	if (!spec)
		return;
	pod_spec_default(h->arena, spec);
	default_requests(h->arena, spec);
	if (!json_get(spec, "enableServiceLinks"))
		json_set_bool(h->arena, spec, "enableServiceLinks", true);
}

/* What only a new pod may not have; told before all else. */
static void validate_new(struct hook *h, const struct json *spec)
{
	if (json_count(json_get(spec, "ephemeralContainers")))
		forbid(h, "spec.ephemeralContainers", "cannot be set on create");
	if (*json_str_or(json_get(spec, "nodeName"), "") &&
		json_count(json_get(spec, "schedulingGates")))
		forbid(h, "spec.nodeName",
			"cannot be set until all schedulingGates have been cleared");
}

static int prepare_create(struct hook *h, struct json *doc)
{
	struct arena *a = h->arena;
	struct json *spec = json_object_at(a, doc, "spec");
	const char *account = json_str_or(json_get(spec, "serviceAccountName"), "");
	if (!*account)
		account = json_str_or(json_get(spec, "serviceAccount"), "");
	if (*account) {
		json_set_str(a, spec, "serviceAccountName", account);
		json_set_str(a, spec, "serviceAccount", account);
	}
	struct json *status = json_new_object(a);
	json_set_str(a, status, "phase", "Pending");
	json_set_str(a, status, "qosClass", pod_qos_class(spec));
	/* A condition from the start, so that it shows why nothing happens. */
	if (json_count(json_get(spec, "schedulingGates"))) {
		struct json *c = json_new_object(a);
		json_set_str(a, c, "type", "PodScheduled");
		json_set_str(a, c, "status", "False");
		json_set_str(a, c, "reason", "SchedulingGated");
		json_set_str(
			a, c, "message", "Scheduling is blocked due to non-empty scheduling gates");
		json_push(a, json_array_at(a, status, "conditions"), c);
	}
	json_set(a, doc, "status", status);
	validate_new(h, spec);
	return 0;
}

static int prepare_update(struct hook *h, struct json *doc, const struct json *old)
{
	/* What is said once and never again. */
	struct json *qos = json_path(old, "status.qosClass");
	if (qos)
		json_set(h->arena, json_object_at(h->arena, doc, "status"), "qosClass", qos);
	return 0;
}

static void validate(struct hook *h, const struct json *doc)
{
	const struct json *spec = json_get(doc, "spec");
	if (streq(h->part, "binding") || !spec)
		return;
	pod_annotations_validate(h, doc, "metadata.annotations");
	pod_spec_check(h, spec, "spec", true, json_str_or(json_path(doc, "metadata.name"), ""));
}

const struct kind_hooks hooks_pod = {
	.group = "",
	.kind = "Pod",
	.set_defaults = set_defaults,
	.prepare_create = prepare_create,
	.prepare_update = prepare_update,
	.validate = validate,
	.validate_update = pod_validate_update,
	.keep_part = pod_keep_part,
	.cell = pod_cell,
	.row_conditions = pod_row_conditions,
	.delete_returns_object = true,
};

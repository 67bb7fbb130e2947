/* pod.c - what is filled in and checked of pods, and of the pods in templates. */
#include "server/api/hooks/hooks_internal.h"

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
	json_set(a, doc, "status", status);
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

/* Checks of a container against the pod it is in. */
static void validate_mounts(
	struct hook *h, const struct json *spec, const struct json *c, const char *at)
{
	size_t i = 0;
	JSON_FOR_EACH_ITEM(m, json_get(c, "volumeMounts")) {
		const char *name = json_str_or(json_get(m, "name"), "");
		bool found = false;
		JSON_FOR_EACH_ITEM(v, json_get(spec, "volumes"))
			found |= streq(json_str(json_get(v, "name")), name);
		if (*name && !found)
			field_error(h->errors, FIELD_NOT_FOUND,
				arena_printf(h->arena, "%s.volumeMounts[%zu].name", at, i),
				json_get(m, "name"), NULL);
		const struct json *path = json_get(m, "mountPath");
		for (size_t n = 0; n < i; n++)
			if (json_str(path) &&
				json_equal(path, json_get(json_at(json_get(c, "volumeMounts"), n),
							 "mountPath")))
				field_error(h->errors, FIELD_INVALID,
					arena_printf(
						h->arena, "%s.volumeMounts[%zu].mountPath", at, i),
					path, "must be unique");
		i++;
	}
}

void resources_validate(struct hook *h, const struct json *resources, const char *at)
{
	static const char *const lists[] = {"limits", "requests"};
	for (size_t i = 0; i < ARRAY_LEN(lists); i++)
		JSON_FOR_EACH_MEMBER(r, json_get(resources, lists[i])) {
			struct quantity q;
			if (json_str(r->value) && quantity_parse(json_str(r->value), &q) == 0 &&
				q.nano < 0)
				field_error(h->errors, FIELD_INVALID,
					arena_printf(h->arena, "%s.%s[%s]", at, lists[i], r->name),
					r->value, "must be greater than or equal to 0");
		}
}

static void validate_resources(struct hook *h, const struct json *c, const char *at)
{
	const struct json *limits = json_path(c, "resources.limits");
	resources_validate(h, json_get(c, "resources"), arena_printf(h->arena, "%s.resources", at));
	JSON_FOR_EACH_MEMBER(r, json_path(c, "resources.requests")) {
		const struct json *limit = json_get_n(limits, r->name, r->name_size);
		struct quantity qr, ql;
		if (!json_str(limit) || !json_str(r->value) ||
			quantity_parse(json_str(limit), &ql) < 0 ||
			quantity_parse(json_str(r->value), &qr) < 0)
			continue;
		if (qr.nano > ql.nano)
			field_error(h->errors, FIELD_INVALID,
				arena_printf(h->arena, "%s.resources.requests", at), r->value,
				"must be less than or equal to %s limit of %s", r->name,
				json_str(limit));
	}
}

static void validate_env(struct hook *h, const struct json *c, const char *at)
{
	static const char *const sources[] = {
		"fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef"};
	size_t i = 0;
	JSON_FOR_EACH_ITEM(e, json_get(c, "env")) {
		const struct json *from = json_get(e, "valueFrom");
		const char *field = arena_printf(h->arena, "%s.env[%zu].valueFrom", at, i++);
		if (!from || json_is(from, JSON_NULL))
			continue;
		size_t count = 0;
		for (size_t n = 0; n < ARRAY_LEN(sources); n++)
			count += json_get(from, sources[n]) != NULL;
		if (*json_str_or(json_get(e, "value"), ""))
			field_error(h->errors, FIELD_INVALID, field, json_new_string(h->arena, ""),
				"may not be specified when `value` is not empty");
		else if (count == 0)
			field_error(h->errors, FIELD_INVALID, field, json_new_string(h->arena, ""),
				"must specify one of: `fieldRef`, `resourceFieldRef`, "
				"`configMapKeyRef` or "
				"`secretKeyRef`");
		else if (count > 1)
			field_error(h->errors, FIELD_INVALID, field, json_new_string(h->arena, ""),
				"may not have more than one field specified at a time");
	}
}

static void validate_handler(struct hook *h, const struct json *handler, const char *at)
{
	static const char *const types[] = {"exec", "httpGet", "tcpSocket", "grpc", "sleep"};
	size_t count = 0;
	for (size_t i = 0; i < ARRAY_LEN(types); i++) {
		if (!json_get(handler, types[i]))
			continue;
		if (count++)
			field_error(h->errors, FIELD_FORBIDDEN,
				arena_printf(h->arena, "%s.%s", at, types[i]), NULL,
				"may not specify more than 1 handler type");
	}
	if (count == 0)
		field_error(h->errors, FIELD_REQUIRED, at, NULL, "must specify a handler type");
}

static void validate_probes(struct hook *h, const struct json *c, const char *at)
{
	static const char *const probes[] = {"livenessProbe", "readinessProbe", "startupProbe",
		"lifecycle.postStart", "lifecycle.preStop"};
	for (size_t i = 0; i < ARRAY_LEN(probes); i++) {
		const struct json *p = json_path(c, probes[i]);
		const char *field = arena_printf(h->arena, "%s.%s", at, probes[i]);
		if (!p || json_is(p, JSON_NULL))
			continue;
		validate_handler(h, p, field);
		if ((i == 0 || i == 2) && json_path_int(p, "successThreshold", 1) != 1)
			field_error(h->errors, FIELD_INVALID,
				arena_printf(h->arena, "%s.successThreshold", field),
				json_get(p, "successThreshold"), "must be 1");
	}
}

static void validate_host_ports(struct hook *h, const struct json *c, const char *at)
{
	size_t i = 0;
	JSON_FOR_EACH_ITEM(p, json_get(c, "ports")) {
		const struct json *host = json_get(p, "hostPort");
		if (json_is(host, JSON_INT) && host->i &&
			!json_equal(host, json_get(p, "containerPort")))
			field_error(h->errors, FIELD_INVALID,
				arena_printf(h->arena, "%s.ports[%zu].containerPort", at, i),
				json_get(p, "containerPort"),
				"must match `hostPort` when `hostNetwork` is true");
		i++;
	}
}

static void validate_volumes(struct hook *h, const struct json *spec, const char *at)
{
	size_t i = 0;
	JSON_FOR_EACH_ITEM(v, json_get(spec, "volumes")) {
		const char *field = arena_printf(h->arena, "%s.volumes[%zu]", at, i++);
		size_t types = 0;
		JSON_FOR_EACH_MEMBER(m, v) {
			if (streq(m->name, "name") || json_is(m->value, JSON_NULL))
				continue;
			if (types++)
				field_error(h->errors, FIELD_FORBIDDEN,
					arena_printf(h->arena, "%s.%s", field, m->name), NULL,
					"may not specify more than 1 volume type");
		}
	}
}

void pod_spec_validate(struct hook *h, const struct json *spec, const char *at)
{
	bool host_network = json_path_bool(spec, "hostNetwork", false);
	validate_volumes(h, spec, at);
	for (size_t l = 0; l < ARRAY_LEN(container_lists); l++) {
		size_t i = 0;
		JSON_FOR_EACH_ITEM(c, json_get(spec, container_lists[l])) {
			const char *field =
				arena_printf(h->arena, "%s.%s[%zu]", at, container_lists[l], i++);
			/* Within one list the schema sees to it. */
			JSON_FOR_EACH_ITEM(other, l ? json_get(spec, "initContainers") : NULL)
				if (json_equal(json_get(other, "name"), json_get(c, "name")))
					field_error(h->errors, FIELD_DUPLICATE,
						arena_printf(h->arena, "%s.name", field),
						json_get(c, "name"), NULL);
			validate_mounts(h, spec, c, field);
			validate_env(h, c, field);
			validate_resources(h, c, field);
			validate_probes(h, c, field);
			if (host_network)
				validate_host_ports(h, c, field);
		}
	}
}

static void validate(struct hook *h, const struct json *doc)
{
	const struct json *spec = json_get(doc, "spec");
	if (!*h->part && spec)
		pod_spec_validate(h, spec, "spec");
}

/* Takes out of a spec what may change. */
static struct json *fixed_part(struct hook *h, const struct json *spec)
{
	struct json *s = json_copy(h->arena, spec);
	json_remove(s, "activeDeadlineSeconds");
	json_remove(s, "tolerations");
	for (size_t l = 0; l < 2; l++)
		JSON_FOR_EACH_ITEM(c, json_get(s, container_lists[l])) {
			json_remove(c, "image");
			/* Follows from the image where it was not given. */
			json_remove(c, "imagePullPolicy");
		}
	return s;
}

static bool tolerations_kept(const struct json *now, const struct json *was)
{
	JSON_FOR_EACH_ITEM(w, was) {
		bool found = false;
		JSON_FOR_EACH_ITEM(n, now) {
			struct json *seconds = json_get(n, "tolerationSeconds");
			struct json *before = json_get(w, "tolerationSeconds");
			/* How long something is borne may change. */
			found |= json_equal(json_get(n, "key"), json_get(w, "key")) &&
				 json_equal(json_get(n, "operator"), json_get(w, "operator")) &&
				 json_equal(json_get(n, "value"), json_get(w, "value")) &&
				 json_equal(json_get(n, "effect"), json_get(w, "effect")) &&
				 !seconds == !before;
		}
		if (!found)
			return false;
	}
	return true;
}

static const char *changed_fields(struct arena *a, const struct json *now, const struct json *was)
{
	const char *text = "";
	JSON_FOR_EACH_MEMBER(m, now)
		if (!json_equal(m->value, json_get_n(was, m->name, m->name_size)))
			text = arena_printf(a, "%s%sspec.%s", text, *text ? ", " : "", m->name);
	JSON_FOR_EACH_MEMBER(m, was)
		if (!json_get_n(now, m->name, m->name_size))
			text = arena_printf(a, "%s%sspec.%s", text, *text ? ", " : "", m->name);
	return text;
}

static void validate_update(struct hook *h, const struct json *doc, const struct json *old)
{
	if (*h->part)
		return; /* those change what they are for */
	struct json *now = fixed_part(h, json_get(doc, "spec"));
	struct json *was = fixed_part(h, json_get(old, "spec"));
	bool equal = json_equal(now, was);
	bool kept = tolerations_kept(
		json_path(doc, "spec.tolerations"), json_path(old, "spec.tolerations"));
	if (equal && kept)
		return;
	field_error(h->errors, FIELD_FORBIDDEN, "spec", NULL,
		"pod updates may not change fields other than `spec.containers[*].image`, "
		"`spec.initContainers[*].image`, `spec.activeDeadlineSeconds` or "
		"`spec.tolerations` (only "
		"additions to existing tolerations)\n  changed: %s\n",
		equal ? "spec.tolerations" : changed_fields(h->arena, now, was));
}

const struct kind_hooks hooks_pod = {
	.group = "",
	.kind = "Pod",
	.set_defaults = set_defaults,
	.prepare_create = prepare_create,
	.prepare_update = prepare_update,
	.validate = validate,
	.validate_update = validate_update,
	.cell = pod_cell,
	.row_conditions = pod_row_conditions,
	.delete_returns_object = true,
};

/* application_parts.c - what all parts share, and the Service. */
#include "server/controllers/applications/application_parts.h"

#include <inttypes.h>

#include "server/controllers/meta.h"

bool application_has_range(const struct json *doc)
{
	return json_path_int(doc, "spec.maxReplicas", 0) > 0;
}

int64_t application_replicas(const struct json *doc)
{
	return application_has_range(doc) ? json_path_int(doc, "spec.minReplicas", 1)
					  : json_path_int(doc, "spec.replicas", 1);
}

struct json *application_selector(
	struct arena *a, const struct object *app, enum application_selects selects)
{
	struct json *labels = json_new_object(a);
	json_set_str(a, labels, LABEL_APPLICATION, app->name);
	if (selects == SELECTS_MACHINES || selects == SELECTS_CONTAINERS)
		json_set_str(a, labels, LABEL_ISOLATION,
			placement_isolation_name(selects == SELECTS_CONTAINERS
							 ? PLACEMENT_CONTAINER
							 : PLACEMENT_VIRTUAL_MACHINE));
	return labels;
}

static struct json *labels_over(struct arena *a, const struct json *doc, const struct json *own)
{
	const struct json *theirs = json_path(doc, "metadata.labels");
	struct json *all = theirs ? json_copy(a, theirs) : json_new_object(a);
	JSON_FOR_EACH_MEMBER(m, own)
		json_set(a, all, m->name, m->value);
	return all;
}

struct json *application_template_labels(struct arena *a, const struct object *app,
	const struct json *doc, enum placement_isolation side)
{
	return labels_over(a, doc, application_selector(a, app, application_selects_side(side)));
}

struct json *application_part(struct arena *a, const struct object *app, const struct json *doc,
	const char *api_version, const char *kind, const char *name, struct json *spec)
{
	struct json *part = json_new_object(a), *meta = json_object_at(a, part, "metadata");
	char *text = json_text(a, spec);
	json_set_str(a, part, "apiVersion", api_version);
	json_set_str(a, part, "kind", kind);
	json_set_str(a, meta, "name", name);
	json_set_str(a, meta, "namespace", app->namespace);
	json_set(
		a, meta, "labels", labels_over(a, doc, application_selector(a, app, SELECTS_BOTH)));
	json_set(a, json_object_at(a, meta, "annotations"), ANNOTATION_MADE_FROM,
		json_new_printf(a, "%016" PRIx64, fnv1a_64(text, strlen(text))));
	json_push(a, json_array_at(a, meta, "ownerReferences"), owner_reference(a, app));
	json_set(a, part, "spec", spec);
	return part;
}

/* The Service. */

enum application_selects application_service_selects(const struct json *service)
{
	const char *side = json_str(json_get(json_path(service, "spec.selector"), LABEL_ISOLATION));
	if (!side)
		return SELECTS_BOTH;
	return application_selects_side(placement_isolation_from_name(side));
}

struct json *application_service(struct arena *a, const struct object *app, const struct json *doc,
	enum application_selects selects)
{
	const struct json *ports = json_path(doc, "spec.ports");
	struct json *spec = json_new_object(a), *all = json_new_array(a);
	if (!json_count(ports))
		return NULL;
	json_set_str(a, spec, "type", json_str_or(json_path(doc, "spec.serviceType"), "ClusterIP"));
	json_set(a, spec, "selector", application_selector(a, app, selects));
	JSON_FOR_EACH_ITEM(p, ports) {
		struct json *port = json_copy(a, p);
		if (!json_get(port, "targetPort"))
			json_set(a, port, "targetPort", json_copy(a, json_get(p, "port")));
		json_push(a, all, port);
	}
	json_set(a, spec, "ports", all);
	return application_part(a, app, doc, "v1", "Service", app->name, spec);
}

/* Comparing and renewing. */

static bool is_nothing(const struct json *v)
{
	return !v || json_is(v, JSON_NULL) ||
	       ((json_is(v, JSON_OBJECT) || json_is(v, JSON_ARRAY)) && !json_count(v));
}

bool part_is_as_wanted(const struct json *live, const struct json *wanted)
{
	if (is_nothing(wanted))
		return true;
	if (json_is(wanted, JSON_OBJECT)) {
		JSON_FOR_EACH_MEMBER(m, wanted)
			if (!part_is_as_wanted(json_get(live, m->name), m->value))
				return false;
		return true;
	}
	if (!json_is(wanted, JSON_ARRAY))
		return live && json_equal(live, wanted);
	if (json_count(live) != json_count(wanted))
		return false;
	for (size_t i = 0; i < json_count(wanted); i++)
		if (!part_is_as_wanted(json_at(live, i), json_at(wanted, i)))
			return false;
	return true;
}

static void keep_member(
	struct arena *a, struct json *spec, const struct json *live, const char *name)
{
	struct json *v = json_get(live, name);
	if (v && !json_get(spec, name))
		json_set(a, spec, name, v);
}

static void keep_node_ports(struct arena *a, struct json *spec, const struct json *live)
{
	if (streq(json_str(json_get(spec, "type")), "ClusterIP"))
		return;
	JSON_FOR_EACH_ITEM(p, json_get(spec, "ports"))
		JSON_FOR_EACH_ITEM(l, json_get(live, "ports"))
			if (json_equal(json_get(p, "port"), json_get(l, "port")) &&
				streq(json_str_or(json_get(p, "protocol"), "TCP"),
					json_str_or(json_get(l, "protocol"), "TCP")))
				keep_member(a, p, l, "nodePort");
}

struct json *part_renewed(struct arena *a, const struct json *live, const struct json *wanted)
{
	static const char *const allotted[] = {"clusterIP", "clusterIPs", "ipFamilies",
		"ipFamilyPolicy", "healthCheckNodePort", "replicas"};
	struct json *doc = json_copy(a, live), *meta = json_object_at(a, doc, "metadata");
	struct json *spec = json_copy(a, json_get(wanted, "spec"));
	const struct json *was = json_get(live, "spec");
	for (size_t i = 0; i < ARRAY_LEN(allotted); i++)
		keep_member(a, spec, was, allotted[i]);
	if (streq(json_str(json_get(wanted, "kind")), "Service"))
		keep_node_ports(a, spec, was);
	json_set(a, doc, "spec", spec);
	static const char *const maps[] = {"labels", "annotations"};
	for (size_t i = 0; i < ARRAY_LEN(maps); i++) {
		struct json *all = json_object_at(a, meta, maps[i]);
		JSON_FOR_EACH_MEMBER(m, json_get(json_get(wanted, "metadata"), maps[i]))
			json_set(a, all, m->name, m->value);
	}
	return doc;
}

/* container_side.c - an application in containers: a Deployment, and what keeps it at its size. */
#include "server/controllers/applications/application_parts.h"
#include "server/controllers/meta.h"

/* Between the Service's Endpoints and the last proxy that follows them, a pod that is to end goes
 * on answering. */
#define LINGER_S 3

static const char *const copied[] = {"image", "imagePullPolicy", "command", "args", "env"};

static struct json *requests_with_defaults(struct arena *a, const struct json *resources)
{
	static const struct {
		const char *name, *amount;
	} defaults[] = {{"cpu", "100m"}, {"memory", "128Mi"}};
	struct json *all = resources ? json_copy(a, resources) : json_new_object(a);
	for (size_t i = 0; i < ARRAY_LEN(defaults); i++)
		if (!json_get(json_get(all, "requests"), defaults[i].name) &&
			!json_get(json_get(all, "limits"), defaults[i].name))
			json_set_str(a, json_object_at(a, all, "requests"), defaults[i].name,
				defaults[i].amount);
	return all;
}

static struct json *target_port(const struct json *port)
{
	struct json *target = json_get(port, "targetPort");
	return target ? target : json_get(port, "port");
}

static struct json *container_ports(struct arena *a, const struct json *ports)
{
	struct json *all = json_new_array(a);
	JSON_FOR_EACH_ITEM(p, ports) {
		struct json *port = json_new_object(a);
		json_set(a, port, "containerPort", json_copy(a, target_port(p)));
		json_set_str(a, port, "protocol", json_str_or(json_get(p, "protocol"), "TCP"));
		json_push(a, all, port);
	}
	return all;
}

static struct json *readiness(struct arena *a, const struct json *spec)
{
	const struct json *given = json_get(spec, "readinessProbe");
	if (json_count(given))
		return json_copy(a, given);
	JSON_FOR_EACH_ITEM(p, json_get(spec, "ports")) {
		if (!streq(json_str_or(json_get(p, "protocol"), "TCP"), "TCP"))
			continue;
		struct json *probe = json_new_object(a);
		json_path_set(a, probe, "tcpSocket.port", json_copy(a, target_port(p)));
		json_set_int(a, probe, "periodSeconds", 2);
		return probe;
	}
	return NULL;
}

static void add_volumes(
	struct arena *a, const struct json *spec, struct json *pod, struct json *container)
{
	JSON_FOR_EACH_ITEM(v, json_get(spec, "volumes")) {
		const char *name = json_str_or(json_get(v, "name"), "");
		struct json *volume = json_copy(a, v), *mount = json_new_object(a),
			    *path = json_get(v, "mountPath"), *read_only = json_get(v, "readOnly");
		json_remove(volume, "mountPath");
		json_remove(volume, "readOnly");
		json_push(a, json_array_at(a, pod, "volumes"), volume);
		json_set_str(a, mount, "name", name);
		json_set(a, mount, "mountPath",
			path ? json_copy(a, path) : json_new_printf(a, "/mnt/%s", name));
		if (read_only)
			json_set(a, mount, "readOnly", json_copy(a, read_only));
		json_push(a, json_array_at(a, container, "volumeMounts"), mount);
	}
}

static struct json *container_of(struct arena *a, const struct object *app, const struct json *spec)
{
	struct json *c = json_new_object(a), *probe = readiness(a, spec);
	int64_t grace_s = json_path_int(spec, "terminationGracePeriodSeconds", 30);
	json_set_str(a, c, "name", app->name);
	for (size_t i = 0; i < ARRAY_LEN(copied); i++)
		if (json_get(spec, copied[i]))
			json_set(a, c, copied[i], json_copy(a, json_get(spec, copied[i])));
	json_set(a, c, "resources", requests_with_defaults(a, json_get(spec, "resources")));
	if (json_count(json_get(spec, "ports")))
		json_set(a, c, "ports", container_ports(a, json_get(spec, "ports")));
	if (probe)
		json_set(a, c, "readinessProbe", probe);
	if (json_count(json_get(spec, "ports")) && grace_s > LINGER_S)
		json_path_set(a, c, "lifecycle.preStop.sleep.seconds", json_new_int(a, LINGER_S));
	return c;
}

struct json *application_deployment(
	struct arena *a, const struct object *app, const struct json *doc)
{
	const struct json *spec = json_get(doc, "spec");
	struct json *wanted = json_new_object(a), *pod = json_new_object(a),
		    *template = json_new_object(a), *containers = json_new_array(a);
	struct json *container = container_of(a, app, spec);
	const char *criticality = json_path_str(spec, "profile.criticality");
	const char *priority = placement_priority_class(criticality);
	struct json *selector = application_selector(a, app, SELECTS_CONTAINERS);
	json_push(a, containers, container);
	json_set(a, pod, "containers", containers);
	add_volumes(a, spec, pod, container);
	if (json_get(spec, "imagePullSecrets"))
		json_set(a, pod, "imagePullSecrets",
			json_copy(a, json_get(spec, "imagePullSecrets")));
	json_set_int(a, pod, "terminationGracePeriodSeconds",
		json_path_int(spec, "terminationGracePeriodSeconds", 30));
	if (priority)
		json_set_str(a, pod, "priorityClassName", priority);
	if (!streq(criticality, "best-effort"))
		json_set(a, pod, "affinity", placement_spread(a, selector));
	json_path_set(a, template, "metadata.labels",
		application_template_labels(a, app, doc, PLACEMENT_CONTAINER));
	json_set(a, template, "spec", pod);

	/* With a range the size is the autoscaler's. */
	if (!application_has_range(doc))
		json_set_int(a, wanted, "replicas", application_replicas(doc));
	json_path_set(a, wanted, "selector.matchLabels", selector);
	json_path_set(a, wanted, "strategy.type", json_new_string(a, "RollingUpdate"));
	json_path_set(a, wanted, "strategy.rollingUpdate.maxUnavailable", json_new_int(a, 0));
	json_path_set(a, wanted, "strategy.rollingUpdate.maxSurge", json_new_int(a, 1));
	json_set_int(a, wanted, "progressDeadlineSeconds",
		json_path_int(spec, "progressDeadlineSeconds", 600));
	json_set(a, wanted, "template", template);
	return application_part(a, app, doc, "apps/v1", "Deployment", app->name, wanted);
}

struct json *application_autoscaler(
	struct arena *a, const struct object *app, const struct json *doc)
{
	struct json *spec = json_new_object(a), *metric = json_new_object(a);
	if (!application_has_range(doc))
		return NULL;
	json_path_set(a, spec, "scaleTargetRef.apiVersion", json_new_string(a, "apps/v1"));
	json_path_set(a, spec, "scaleTargetRef.kind", json_new_string(a, "Deployment"));
	json_path_set(a, spec, "scaleTargetRef.name", json_new_string(a, app->name));
	json_set_int(a, spec, "minReplicas", application_replicas(doc));
	json_set_int(a, spec, "maxReplicas", json_path_int(doc, "spec.maxReplicas", 1));
	json_set_str(a, metric, "type", "Resource");
	json_path_set(a, metric, "resource.name", json_new_string(a, "cpu"));
	json_path_set(a, metric, "resource.target.type", json_new_string(a, "Utilization"));
	json_path_set(a, metric, "resource.target.averageUtilization",
		json_new_int(a, json_path_int(doc, "spec.targetCPUUtilizationPercentage", 80)));
	json_push(a, json_array_at(a, spec, "metrics"), metric);
	return application_part(
		a, app, doc, "autoscaling/v2", "HorizontalPodAutoscaler", app->name, spec);
}

struct json *application_budget(struct arena *a, const struct object *app, const struct json *doc)
{
	struct json *spec = json_new_object(a);
	bool critical = streq(json_path_str(doc, "spec.profile.criticality"), "mission-critical");
	int64_t replicas = application_replicas(doc);
	if (replicas < 2 && !(critical && replicas == 1))
		return NULL;
	/* The only replica of a mission-critical application goes when somebody decides so, not
	 * because a node is emptied. */
	json_set_int(a, spec, replicas < 2 ? "minAvailable" : "maxUnavailable", 1);
	json_path_set(
		a, spec, "selector.matchLabels", application_selector(a, app, SELECTS_CONTAINERS));
	return application_part(a, app, doc, "policy/v1", "PodDisruptionBudget", app->name, spec);
}
